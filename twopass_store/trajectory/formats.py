"""The trajectory formats that are read and written, and how mdtraj behaves on each."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryDirectory
from typing import Any, Literal

from ..errors import ConfigError, TrajectoryError, TrajectoryNotFoundError, TwopassError, UnreadableError
from .compressed import teach_mdtraj

__all__ = ["FORMATS", "MAY_BE", "TrajectoryFormat", "check_file", "output_format", "plain_name", "reading"]


@dataclass(frozen=True, slots=True)
class TrajectoryFormat:
    """What must be known of a format before a file of it is opened."""

    name: str  # for messages
    extensions: tuple[str, ...] = ()  # in lower case, with the dot
    start: bytes = b""  # regular expression of the first bytes; empty if they don't tell
    in_mdanalysis: str = ""  # what MDAnalysis calls it; empty if it doesn't read it
    topology: str = ""  # extension by which mdtraj reads the atoms in such a file; empty if it can't
    mend: str = ""  # how to get at the frames, if files of it aren't read
    atoms: bytes = b""  # regular expression of how many atoms such a topology says that there are
    elements: Literal["kept", "some", "none"] = "kept"  # whether a topology says those of its atoms
    has_topology: bool = False  # a trajectory says which atoms it holds
    has_time: bool = False  # frames carry times
    has_steps: bool = False  # they carry the numbers of the simulation's steps instead
    needs_time: bool = False  # frames must carry times
    unitcell: Literal["each", "first", "none"] = "each"  # which frames have one in a file that is written
    is_text: bool = False  # so it may be compressed
    can_seek: bool = True  # a frame is found without parsing those before it
    is_written: bool = True
    # Peak memory of mdtraj for one atom of one frame while it decodes; 12 is the float32 result alone.
    # Measured; a test holds it.
    bytes_per_atom: int = 12
    mdanalysis: str | None = None  # what MDAnalysis reads it as; "" if the name tells; None for mdtraj


_CONVERT = "Convert it, as with MDAnalysis or VMD, to XTC or DCD."
_GMX = "Convert it with `gmx trjconv -f {file} -o out.xtc`."
_MAGIC = (
    "No reader here knows its magic number 2023, for more than 298 million atoms. Write the atoms that you "
    "need with `gmx trjconv -f {file} -s topol.tpr -o out.xtc`."
)
_NCCOPY = "Convert it with `nccopy -k nc6 {file} out.nc`."
_SHORT = "Convert it to one of 32-bit records, as with CatDCD or VMD."
_STRUCTURES = "Give the trajectory; its topology is a GRO or PDB file."
_TOP = "Give it with `top`, beside the trajectory."
_TPR = "Give the trajectory; `gmx editconf -f {file} -o top.gro` makes its topology."

# What text begins with. Of a PDB record, six columns are its name.
_REAL = rb"[ \t]+-?\d+\.?\d*(?:[eE][-+]?\d+)?"
_GRO = rb".*\n *\d+\s*\n.{15}[ \d]{5}(?: *-?\d+\.\d+){3}"
_TINKER = rb" *\d+[^\n]*\n(?: *-?\d+\.\d+){0,6} *\n? *1 +[A-Za-z]\S*" + _REAL * 3 + rb" +\d+"
_XYZ = rb" *\d+\s*?\n.*\n *\S+" + _REAL * 3
_RESTART = rb".*\n *\d+(?: +[-+.\dEe]+){0,2} *\r?\n(?:[ \d-]{3}\d\.\d{7}){3}"
_POINTERS = rb"(?s:.*?)%FLAG POINTERS.*\n(?:%.*\n)* *(\d+)"
_MOL2 = rb"(?s:.*?)@<TRIPOS>MOLECULE"
_MDCRD = rb".*\n(?:[ \d-]{3}\d\.\d{3}){1,10} *\r?(?:\n|$)"
_DATA = rb"(?s:.*)^ *\d+ +atoms\b(?s:.*)^ *\d+ +atom types\b"
_ITP = rb"(?s:.*)^(?:#include|\[ *(?:moleculetype|defaults|system) *\])"
_PDB = (
    rb"(?:[ \t\r]*\n)*(?:HEADER|OBSLTE|TITLE |CAVEAT|COMPND|EXPDTA|NUMMDL|AUTHOR|REMARK|SEQRES|CONECT"
    rb"|CRYST1|ORIGX1|SCALE1|MODEL |USER  |(?:ATOM  |HETATM).{24}[ \d-]{4}\.\d{3})"
)

_TIMED: dict[str, Any] = {"has_time": True, "needs_time": True, "bytes_per_atom": 24}
# HDF5 and NetCDF are decoded with what the libraries keep of it (48 bytes), and copied (48).
_ARRAYS: dict[str, Any] = {"has_time": True, "bytes_per_atom": 96}
_INPUT: dict[str, Any] = {"is_written": False, **_ARRAYS}
_TEXT: dict[str, Any] = {"is_text": True}
_NAMES: dict[str, Any] = {"is_text": True, "elements": "none"}
_MASSES: dict[str, Any] = {"is_text": True, "elements": "some"}
_STREAM: dict[str, Any] = {"is_text": True, "can_seek": False}
# xyz and lammpstrj are parsed into float64 frames (24 bytes), joined into one array (24) and cast (12).
_NUMBERS: dict[str, Any] = {"bytes_per_atom": 72, **_STREAM}
_FIRST: dict[str, Any] = {"unitcell": "first", "has_topology": True}

# The first whose start matches counts. Of text, those that the structure of lines tells apart come first, so
# that a title may say anything.
FORMATS = (
    TrajectoryFormat("XTC", (".xtc",), rb"\x00\x00\x07\xcb", "XTC", **_TIMED),
    TrajectoryFormat("TRR", (".trr",), rb"\x00\x00\x07\xc9(?s:.{8})GMX_trn_file", "TRR", **_TIMED),
    TrajectoryFormat("DCD", (".dcd",), rb"(?:T\0{3}|\0{3}T)CORD", "DCD", bytes_per_atom=24),
    TrajectoryFormat("MDTraj HDF5", (".h5", ".hdf5"), topology=".h5", has_topology=True, **_ARRAYS),
    TrajectoryFormat("Amber NetCDF restart", (".ncrst",), rb"CDF[\x01\x02](?s:.*)AMBERRESTART", **_INPUT),
    TrajectoryFormat("Amber NetCDF", (".nc", ".netcdf", ".ncdf"), rb"CDF[\x01\x02]", "NCDF", **_ARRAYS),
    TrajectoryFormat("XTC of GROMACS 2023", start=rb"\x00\x00\x07\xe7", mend=_MAGIC),
    TrajectoryFormat("DCD of velocities", start=rb"(?:T\0+|\0+T)VELD", mend="Give that of positions."),
    TrajectoryFormat("DCD of 64-bit records", start=rb"(?:T\0{7}|\0{7}T)CORD", mend=_SHORT),
    TrajectoryFormat("NetCDF of 64-bit data (CDF-5)", start=rb"CDF\x05", mend=_NCCOPY),
    TrajectoryFormat("Amber restart as NetCDF-4", mend=_NCCOPY),
    TrajectoryFormat("H5MD", in_mdanalysis="H5MD", mend=_CONVERT),
    TrajectoryFormat("HDF5", start=rb"\x89HDF", mend=_CONVERT),
    TrajectoryFormat("GSD", (), rb"(?:\xdf\x65){4}", "GSD", ".gsd", _CONVERT, elements="none"),
    TrajectoryFormat("TNG", (), rb"(?s:.{0,52})GENERAL INFO", "TNG", mend=_GMX),
    TrajectoryFormat("GROMACS run input (TPR)", (), rb"\0(?s:.{7})VERSION", "TPR", mend=_TPR),
    TrajectoryFormat("tar archive", start=rb"(?s:.{257})ustar", mend="Unpack it with `tar -xf {file}`."),
    TrajectoryFormat(
        "GRO", (".gro",), _GRO, "GRO", ".gro", "", rb".*\n *(\d+)", has_topology=True, **_ARRAYS, **_NAMES
    ),
    TrajectoryFormat("Tinker XYZ", (), _TINKER, "TXYZ", ".arc", _CONVERT, rb" *(\d+)", **_NAMES),
    TrajectoryFormat("XYZ", (".xyz",), _XYZ, "XYZ", unitcell="none", **_NUMBERS),
    TrajectoryFormat("Amber restart", (".rst7", ".inpcrd", ".restrt"), _RESTART, "INPCRD", **_INPUT, **_TEXT),
    TrajectoryFormat("Amber mdcrd", (".mdcrd", ".crd"), _MDCRD, "TRJ", bytes_per_atom=36, **_STREAM),
    TrajectoryFormat("LAMMPS", (".lammpstrj",), rb"ITEM: ", "LAMMPSDUMP", has_steps=True, **_NUMBERS),
    TrajectoryFormat("GROMOS96", start=rb"TITLE\r?\n", mend=_GMX, **_TEXT),
    TrajectoryFormat("Amber prmtop", (), rb"%VERSION", "TOP", ".prmtop", _TOP, _POINTERS, **_MASSES),
    TrajectoryFormat("PSF", (), rb"PSF\b", "PSF", ".psf", _TOP, rb"(?s:.*?)\n *(\d+) +!NATOM", **_MASSES),
    TrajectoryFormat("mmCIF", (".cif",), rb"(?:#.*\n|\s)*data_", "", ".cif", _TOP, **_FIRST, **_TEXT),
    TrajectoryFormat("HOOMD XML", (), rb"(?s:.*)<hoomd_xml", "XML", ".hoomdxml", _CONVERT, **_NAMES),
    TrajectoryFormat("MOL2", (), _MOL2, "MOL2", ".mol2", _TOP, _MOL2 + rb".*\n.*\n *(\d+)", **_TEXT),
    TrajectoryFormat("CHARMM coordinates", (), rb"(?:\*.*\n)+ *\d+", "CRD", mend=_CONVERT, **_TEXT),
    TrajectoryFormat("LAMMPS data", (), _DATA, "DATA", mend=_CONVERT, **_TEXT),
    TrajectoryFormat("GROMACS topology", start=_ITP, mend=_STRUCTURES, **_TEXT),
    # PDB is cut from its text (81 bytes).
    TrajectoryFormat("PDB", (".pdb",), _PDB, "PDB", ".pdb", bytes_per_atom=240, **_FIRST, **_MASSES),
)

_LINKS = "twopass-"

_WRITTEN = {extension: entry for entry in FORMATS if entry.is_written for extension in entry.extensions}
del _WRITTEN[".hdf5"]  # mdtraj warns of any name but .h5


def output_format(path: str | os.PathLike[str], *, with_topology: bool = False) -> TrajectoryFormat:
    """Format in which a file is written, by its extension in any case; a `ConfigError` if there is none.

    `with_topology` asks for one that says which atoms it holds.
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
    """Yield a name under which mdtraj opens a file, compressed or not: in ASCII, with a known extension."""
    # mdtraj goes by the extension, and the readers of XTC, TRR and DCD take no other letters.
    suffix = Path(path).suffix
    teach_mdtraj()
    if path.isascii() and suffix in extensions:
        yield path
        return
    with TemporaryDirectory(prefix=_LINKS) as folder:
        known = suffix.lower() if suffix.lower() in extensions else extensions[0]
        link = Path(folder) / f"file{known}"
        link.symlink_to(Path(path).absolute())
        yield str(link)


def check_file(path: str | Path) -> Path:
    """Absolute path of a file that exists, is a plain file and isn't empty; else a `TrajectoryError`."""
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


MAY_BE = (
    "The file may be damaged, of a kind that its reader doesn't know, or of another format than it was taken "
    "for."
)
"""Why a reader may fail; not said where another reader is known to succeed."""


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turn whatever mdtraj raises into one `TrajectoryError` that names the file and `what` is being read."""
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
        raise UnreadableError(f"Cannot read {what} of {path}: {_reason(error)}. {MAY_BE}") from error


def _reason(error: Exception) -> str:
    # HDF5 gives its back trace of 20 lines, the cause last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 3:
        lines = lines[-1:]
    # The link of `plain_name` means nothing to users.
    text = re.sub(rf"\S*/{_LINKS}\w+/file\.\w+", "the file", " ".join(lines))[:300].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
