"""Which format a file is of: its first bytes decide, and its extension where they leave that open."""

import lzma
import re
import zlib
from pathlib import Path

from ..errors import ConfigError, TrajectoryError, UnreadableError
from .compressed import COMPRESSED_SUFFIXES, Compression, compression_of, read_head
from .containment import contained
from .formats import FORMATS, TrajectoryFormat, check_file, reading
from .info import remembered

__all__ = ["format_of", "mdanalysis_name", "topology_format"]

_HEAD_BYTES = 4096
_BY_EXTENSION = {extension: entry for entry in FORMATS if not entry.mend for extension in entry.extensions}
_TOPOLOGIES = {entry.topology: entry for entry in FORMATS if entry.topology}
_ALIASES = {".ent": ".pdb", ".hdf5": ".h5", ".parm7": ".prmtop", ".prm7": ".prmtop"}
# MDAnalysis tells these from PDB by their names.
_LIKE_PDB = (".pqr", ".pdbqt", ".xpdb")


def format_of(path: str | Path, name: str | None = None, *, reader: str = "mdtraj") -> TrajectoryFormat:
    """Format of a trajectory file to be read, by its content, or by its extension if that tells nothing.

    `name` is an extension without its dot, such as ``nc``, of the format to take it for instead. MDAnalysis
    reads more formats and has other names for them. Raises a `ConfigError` if there is no format of this
    name, a `TrajectoryError` if the file's isn't read, or it is compressed and not text.
    """
    if reader == "mdanalysis":
        known = name or mdanalysis_name(path)
        suffix = Path(path).suffix.lower()
        return TrajectoryFormat(
            "MDAnalysis", (suffix,), has_topology=True, bytes_per_atom=96, mdanalysis=known
        )
    if name is not None:  # without a look at the file: that of a plan may be gone
        named = _BY_EXTENSION.get(f".{name.lower().removeprefix('.')}")
        if named is None:
            known = ", ".join(extension[1:] for extension in _BY_EXTENSION)
            raise ConfigError(f"`format` {name!r} isn't one of those that are read. Use one of {known}.")
        return named
    file = check_file(path)
    (compression, content), suffix = _look_at(str(file)), _suffix(file)
    entry = content or _BY_EXTENSION.get(suffix)
    _refuse_packed(file, compression, content, is_text=entry is not None and entry.is_text)
    if entry is None:
        raise UnreadableError(
            f"Cannot tell the format of {file}: its first bytes are those of no format that is read, and "
            f"{suffix or 'a name without an extension'} isn't one of their extensions "
            f"({', '.join(_BY_EXTENSION)}). Name the format with `format`, or convert the file."
        )
    if entry.mend:
        error = UnreadableError if entry.in_mdanalysis else TrajectoryError
        mend = entry.mend.format(file=file.name)
        raise error(f"Cannot read {file} as a trajectory: its content is {entry.name}. {mend}")
    return entry


def mdanalysis_name(path: str | Path) -> str:
    """What MDAnalysis calls the format of a file's content; empty if the file's name has to say it."""
    file = check_file(path)
    compression, content = _look_at(str(file))
    # MDAnalysis reads text from gzip and bzip2, but our index of LAMMPS' frames needs the plain file.
    is_text = content is None or (content.is_text and content.name != "LAMMPS")
    is_packed = compression is not None and compression.name not in ("gzip", "bzip2")
    _refuse_packed(file, compression, content, is_text=is_text and not is_packed)
    return "" if content is None or _suffix(file) in _LIKE_PDB else content.in_mdanalysis


def topology_format(path: str | Path) -> TrajectoryFormat:
    """Format of a topology file, by its content, or by its extension if that tells nothing."""
    file = check_file(path)
    compression, content = _look_at(str(file))
    _refuse_packed(file, compression, content, is_text=content is None or content.is_text)
    if content is None:
        suffix = _ALIASES.get(_suffix(file), _suffix(file))
        return _TOPOLOGIES.get(suffix) or TrajectoryFormat("unknown", topology=suffix)
    if not content.topology:
        raise UnreadableError(
            f"Cannot take a topology from {file}: its content is {content.name}. Give a PDB, GRO, PSF or "
            "prmtop file of the same atoms."
        )
    return content


def _refuse_packed(
    file: Path, compression: Compression | None, content: TrajectoryFormat | None, *, is_text: bool
) -> None:
    is_tar = content is not None and content.name == "tar archive"
    if compression is None or is_tar or (compression.opens is not None and is_text):
        return
    inside = f" and holds {content.name}" if content else ""
    raise TrajectoryError(
        f"Cannot read {file}: it is compressed with {compression.name}{inside}. Unpack it first, with "
        f"`{compression.to_unpack(file)}`."
    )


def _suffix(file: Path) -> str:
    """Extension of a file in lower case, without that of its compression."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@remembered(8)
def _look_at(path: str) -> tuple[Compression | None, TrajectoryFormat | None]:
    """How a file is compressed, and the format of its first bytes, as far as known."""
    with reading(path, "the first bytes"):
        compression = compression_of(path)
    try:
        head = read_head(path, _HEAD_BYTES)
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError):  # told by who reads all of it
        return compression, None
    found = next((entry for entry in FORMATS if _starts(entry, head)), None)
    if found is not None and found.name == "HDF5" and compression is None:
        name = contained(hdf5_content, path, path=path, what="the header")
        found = next((entry for entry in FORMATS if entry.name == name), None)
    return compression, found


def _starts(entry: TrajectoryFormat, head: bytes) -> bool:
    is_possible = entry.start and not (entry.is_text and b"\0" in head)
    return bool(is_possible and re.match(entry.start, head, re.MULTILINE))


def hdf5_content(path: str) -> str | None:
    """Name of the format of an HDF5 file; in a reader."""
    import h5py

    with h5py.File(path, "r") as file:
        conventions = str(file.attrs.get("Conventions", ""))
        if "h5md" in file:
            return "H5MD"
        if "AMBERRESTART" in conventions:
            return "Amber restart as NetCDF-4"
        if "AMBER" in conventions:
            return "Amber NetCDF"
        if "topology" in file and "coordinates" in file:
            return "MDTraj HDF5"
        return None
