"""The trajectory formats that are read and written, and how mdtraj behaves on each."""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryDirectory
from typing import Literal

from ..errors import ConfigError, TrajectoryError, TrajectoryNotFoundError, TwopassError, UnreadableError
from .compressed import teach_mdtraj

__all__ = [
    "FORMATS",
    "TrajectoryFormat",
    "check_file",
    "grid_step",
    "output_format",
    "plain_name",
    "reading",
]


@dataclass(frozen=True, slots=True)
class TrajectoryFormat:
    """What must be known of a format before a file of it is opened.

    Attributes
    ----------
    name
        Name for messages.
    extensions
        Lower case, with the dot.
    has_topology
        Whether a file says which atoms it holds.
    has_time
        Whether frames carry times.
    has_steps
        Whether they carry the numbers of the simulation's steps instead.
    needs_time
        Whether frames must carry times.
    unitcell
        Whether each frame has a unit cell in a file that is written, only the first has, or none.
    is_text
        Whether it is text, which may be compressed.
    can_seek
        Whether a frame is found without parsing those before it.
    is_read, is_written
        Whether files of it are read, and written.
    bytes_per_atom
        Peak memory of mdtraj for one atom of one frame while it decodes, in bytes; 12 is the float32 result
        alone. Measured; a test holds it.
    mdanalysis
        What MDAnalysis calls the format, if that reads it; empty if the file's name says it. Else None.
    """

    name: str
    extensions: tuple[str, ...]
    has_topology: bool = False
    has_time: bool = False
    has_steps: bool = False
    needs_time: bool = False
    unitcell: Literal["each", "first", "none"] = "each"
    is_text: bool = False
    can_seek: bool = True
    is_read: bool = True
    is_written: bool = True
    bytes_per_atom: int = 12
    mdanalysis: str | None = None


# HDF5 and NetCDF are decoded with what the libraries keep of it (48 bytes), and copied (48).
# PDB is cut from its text (81 bytes).
# xyz and lammpstrj are parsed into float64 frames (24 bytes), joined into one array (24) and cast (12).
FORMATS = (
    TrajectoryFormat("XTC", (".xtc",), has_time=True, needs_time=True, bytes_per_atom=24),
    TrajectoryFormat("TRR", (".trr",), has_time=True, needs_time=True, bytes_per_atom=24),
    TrajectoryFormat("DCD", (".dcd",), bytes_per_atom=24),
    TrajectoryFormat("MDTraj HDF5", (".h5", ".hdf5"), has_topology=True, has_time=True, bytes_per_atom=96),
    TrajectoryFormat("Amber NetCDF", (".nc", ".netcdf", ".ncdf"), has_time=True, bytes_per_atom=96),
    TrajectoryFormat(
        "Amber NetCDF restart",
        (".ncrst",),
        has_time=True,
        is_written=False,
        bytes_per_atom=96,
    ),
    TrajectoryFormat(
        "Amber restart",
        (".rst7", ".inpcrd", ".restrt"),
        has_time=True,
        is_text=True,
        is_written=False,
        bytes_per_atom=96,
    ),
    TrajectoryFormat("Amber mdcrd", (".mdcrd", ".crd"), is_text=True, can_seek=False, bytes_per_atom=36),
    TrajectoryFormat("XYZ", (".xyz",), unitcell="none", is_text=True, can_seek=False, bytes_per_atom=72),
    TrajectoryFormat(
        "LAMMPS", (".lammpstrj",), has_steps=True, is_text=True, can_seek=False, bytes_per_atom=72
    ),
    TrajectoryFormat(
        "GRO",
        (".gro",),
        has_topology=True,
        has_time=True,
        is_text=True,
        bytes_per_atom=96,
    ),
    TrajectoryFormat(
        "PDB",
        (".pdb",),
        has_topology=True,
        unitcell="first",
        is_text=True,
        bytes_per_atom=240,
    ),
    TrajectoryFormat("mmCIF", (".cif",), has_topology=True, unitcell="first", is_text=True, is_read=False),
)

_LINKS = "twopass-"
_XTC_HEADER_BYTES = 60
_XTC_UNPACKED_ATOMS = 9

_WRITTEN = {extension: entry for entry in FORMATS if entry.is_written for extension in entry.extensions}
del _WRITTEN[".hdf5"]  # mdtraj warns of any name but .h5


def output_format(path: str | os.PathLike[str], *, with_topology: bool = False) -> TrajectoryFormat:
    """Format in which a file is written, by its extension in any case.

    Parameters
    ----------
    path
        The file.
    with_topology
        Whether it has to say which atoms it holds.

    Raises
    ------
    ConfigError
        If there is no such format, or it holds no topology; the message lists those that there are.
    """
    suffix = Path(path).suffix.lower()
    known = [name for name, each in _WRITTEN.items() if each.has_topology or not with_topology]
    if suffix not in known:
        what = "topologies" if with_topology else "trajectories"
        raise ConfigError(
            f"Cannot write {path}: {suffix or 'a name without an extension'} is none of the formats of "
            f"{what} ({', '.join(known)}). Give a name with one of these extensions."
        )
    return _WRITTEN[suffix]


@contextmanager
def plain_name(path: str, extensions: tuple[str, ...]) -> Iterator[str]:
    """Yield a name under which mdtraj opens a file: in ASCII, with an extension of its format.

    mdtraj chooses its reader or writer by the extension; those of XTC, TRR and DCD take no other letters.
    What it opens so may be compressed.

    Parameters
    ----------
    path
        The file to be read, or to be written if it doesn't exist.
    extensions
        Those of its format.
    """
    suffix = Path(path).suffix
    teach_mdtraj()
    if path.isascii() and suffix in extensions:
        yield path
        return
    with TemporaryDirectory(prefix=_LINKS) as folder:
        is_same = suffix.lower() in extensions
        link = Path(folder) / f"file{suffix.lower() if is_same else extensions[0]}"
        link.symlink_to(Path(path).absolute())
        yield str(link)


def grid_step(path: str, entry: TrajectoryFormat) -> float | None:
    """Step of the grid that the first frame of an XTC file says its positions are on, nm.

    None for other formats, and for XTC frames of so few atoms that they aren't compressed.
    """
    if entry.name != "XTC":
        return None
    with Path(path).open("rb") as file:
        header = file.read(_XTC_HEADER_BYTES)
    if len(header) < _XTC_HEADER_BYTES:
        return None
    n_atoms, per_nm = struct.unpack_from(">if", header, 52)
    return 1.0 / per_nm if n_atoms > _XTC_UNPACKED_ATOMS and per_nm > 0 else None


def check_file(path: str | Path) -> Path:
    """Absolute path of a file that exists, is a plain file and isn't empty.

    Raises
    ------
    TrajectoryNotFoundError
        If there is nothing at the path.
    TrajectoryError
        If it is a directory, a device or a pipe, or empty, or may not be looked at.
    """
    # absolute, not resolved: what is recorded stays recognisable where the user works with links.
    file = Path(path).absolute()
    try:
        status = file.stat()
    except FileNotFoundError:
        raise TrajectoryNotFoundError(f"There is no file {file}. Check the path.") from None
    except (OSError, ValueError) as error:
        raise TrajectoryError(
            f"Cannot look at {path}: {error}. Check the path and its permissions."
        ) from error
    if not S_ISREG(status.st_mode):
        kind = "a directory" if file.is_dir() else "not a regular file"
        raise TrajectoryError(f"Cannot read {file}: it is {kind}. Give the path of a file.")
    if status.st_size == 0:
        raise TrajectoryError(f"Cannot read {file}: it is empty. Copy or write it again.")
    return file


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turn whatever mdtraj raises into one :class:`TrajectoryError` that names the file.

    mdtraj's readers raise OSError, RuntimeError, ValueError, KeyError, AssertionError, IndexError,
    ``tables.HDF5ExtError`` and bare ``Exception``, without saying of which file.

    Parameters
    ----------
    path
        The file being read.
    what
        What is being read, such as ``"the topology"``.
    """
    try:
        yield
    except TwopassError:
        raise
    except MemoryError as error:
        raise TrajectoryError(
            f"Cannot read {what} of {path}: it would take more memory than any sound file of its size. The "
            "file is damaged; write it again, or copy it again."
        ) from error
    except PermissionError as error:
        raise TrajectoryError(
            f"May not read {path}: permission denied. Ask for read access to it."
        ) from error
    except ImportError as error:  # of a package that only some formats need
        raise TrajectoryError(
            f"Cannot read {what} of {path}: {_reason(error)}. Install what is missing."
        ) from error
    except Exception as error:
        raise UnreadableError(
            f"Cannot read {what} of {path}: {_reason(error)}. The file may be damaged, of a kind that its "
            "reader doesn't know, or of another format than it was taken for."
        ) from error


def _reason(error: Exception) -> str:
    # HDF5 gives its back trace of 20 lines, the cause last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 3:
        lines = lines[-1:]
    # The link of `plain_name` means nothing to users.
    text = re.sub(rf"\S*/{_LINKS}\w+/file\.\w+", "the file", " ".join(lines))[:300].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
