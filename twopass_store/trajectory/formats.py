"""The trajectory formats that are claimed, and how mdtraj behaves on each."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from ..errors import TrajectoryError, TrajectoryNotFoundError, TwopassError

__all__ = [
    "FORMATS",
    "TrajectoryFormat",
    "check_file",
    "format_of",
    "grid_step",
    "reading",
    "supported_extensions",
]


@dataclass(frozen=True, slots=True)
class TrajectoryFormat:
    """What must be known of a format before a file of it is opened.

    Attributes
    ----------
    name
        How messages call it.
    extensions
        Lower case, with the dot.
    has_topology
        Whether a file says which atoms it holds.
    loads_whole
        Whether mdtraj can only load all frames at once.
    is_text
        Whether a frame is found only by parsing those before it.
    bytes_per_atom
        Memory that mdtraj takes at the peak for one atom of one frame while it decodes, in bytes; 12 is the
        float32 result alone. Measured; a test holds it.
    """

    name: str
    extensions: tuple[str, ...]
    has_topology: bool = False
    loads_whole: bool = False
    is_text: bool = False
    bytes_per_atom: int = 12


# HDF5 and NetCDF are decoded with what the libraries keep of it (48 bytes), and copied (48).
# xyz and lammpstrj are parsed into float64 frames (24 bytes), joined into one array (24) and cast (12).
FORMATS: tuple[TrajectoryFormat, ...] = (
    TrajectoryFormat("XTC", (".xtc",), bytes_per_atom=24),
    TrajectoryFormat("TRR", (".trr",), bytes_per_atom=24),
    TrajectoryFormat("DCD", (".dcd",), bytes_per_atom=24),
    TrajectoryFormat("MDTraj HDF5", (".h5", ".hdf5"), has_topology=True, bytes_per_atom=96),
    TrajectoryFormat("Amber NetCDF", (".nc", ".netcdf", ".ncdf"), bytes_per_atom=96),
    TrajectoryFormat("Amber mdcrd", (".mdcrd", ".crd"), is_text=True, bytes_per_atom=36),
    TrajectoryFormat("XYZ", (".xyz",), is_text=True, bytes_per_atom=72),
    TrajectoryFormat("LAMMPS", (".lammpstrj",), is_text=True, bytes_per_atom=72),
    TrajectoryFormat("GRO", (".gro",), has_topology=True, loads_whole=True, is_text=True, bytes_per_atom=96),
    TrajectoryFormat("PDB", (".pdb",), has_topology=True, loads_whole=True, is_text=True, bytes_per_atom=36),
)

_XTC_HEADER_BYTES = 60
_XTC_UNPACKED_ATOMS = 9

_BY_EXTENSION = {extension: entry for entry in FORMATS for extension in entry.extensions}


def supported_extensions() -> str:
    """All extensions of trajectories as a list for messages."""
    return ", ".join(_BY_EXTENSION)


def format_of(path: str | Path) -> TrajectoryFormat:
    """Format of a trajectory file, by its extension in any case.

    Raises
    ------
    TrajectoryError
        If the extension is none of those supported.
    """
    suffix = Path(path).suffix
    try:
        return _BY_EXTENSION[suffix.lower()]
    except KeyError:
        known = f"the extension {suffix!r}" if suffix else "a name without an extension"
        raise TrajectoryError(
            f"Cannot tell the format of {path}: {known} isn't one of those supported "
            f"({supported_extensions()}). Rename the file, or convert it."
        ) from None


def grid_step(path: str) -> float | None:
    """Step of the grid that the first frame of an XTC file says its positions are on, nm.

    None for other formats, and for XTC frames of so few atoms that they aren't compressed.
    """
    if not path.lower().endswith(".xtc"):
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
        kind = "a directory" if S_ISDIR(status.st_mode) else "not a regular file"
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
            f"Cannot read {what} of {path}: it takes more memory than there is. The file claims a size that "
            "it hasn't, and is damaged; or the machine is too small for it."
        ) from error
    except FileNotFoundError as error:
        raise TrajectoryNotFoundError(f"There is no file {path}. Check the path.") from error
    except PermissionError as error:
        raise TrajectoryError(
            f"May not read {path}: permission denied. Ask for read access to it."
        ) from error
    except Exception as error:
        raise TrajectoryError(
            f"Cannot read {what} of {path}: {_reason(error)}. The file is damaged, or isn't what its "
            "extension "
            f"{Path(path).suffix!r} says; write it again, or rename it."
        ) from error


def _reason(error: Exception) -> str:
    # HDF5 gives its back trace of 20 lines, the cause last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 3:
        lines = lines[-1:]
    text = " ".join(lines)[:300].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
