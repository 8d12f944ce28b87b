"""Which format a file is of: its first bytes decide, and its extension where they leave that open."""

import lzma
import re
import zlib
from functools import lru_cache
from pathlib import Path

from ..errors import ConfigError, TrajectoryError, UnreadableError
from .compressed import COMPRESSED_SUFFIXES, Compression, compression_of, read_head
from .containment import contained
from .formats import FORMATS, TrajectoryFormat, check_file, reading

__all__ = ["format_of", "mdanalysis_name", "topology_extension"]

_HEAD_BYTES = 4096
_TAR = 257

_BY_NAME = {entry.name: entry for entry in FORMATS if entry.is_read}
_BY_EXTENSION = {extension: entry for entry in _BY_NAME.values() for extension in entry.extensions}

_GMX = "Convert it with `gmx trjconv -f {file} -o out.xtc`."
_TOPOLOGY = "Give it with `top`, beside the trajectory."
_NOT_READ = {
    "XTC of GROMACS 2023": "No reader here knows its magic number 2023, for more than 298 million atoms. "
    "Write the atoms that you need with `gmx trjconv -f {file} -s topol.tpr -o out.xtc`.",
    "TNG": _GMX,
    "GROMOS96": _GMX,
    "DCD of velocities": "Give the trajectory of positions.",
    "DCD of 64-bit records": "Convert it to one of 32-bit records, as with CatDCD or VMD.",
    "NetCDF of 64-bit data (CDF-5)": "Convert it with `nccopy -k nc6 {file} out.nc`.",
    "Amber restart as NetCDF-4": "Convert it with `nccopy -k nc6 {file} out.ncrst`.",
    "Amber prmtop": _TOPOLOGY,
    "PSF": _TOPOLOGY,
    "MOL2": _TOPOLOGY,
    "mmCIF": _TOPOLOGY,
    "GROMACS topology": "Give the trajectory; its topology is a GRO or PDB file.",
    "GROMACS run input (TPR)": "Give the trajectory; `gmx editconf -f {file} -o top.gro` makes its topology.",
    "tar archive": "Unpack it with `tar -xf {file}`.",
}
_TOPOLOGIES = {
    "PDB": ".pdb",
    "GRO": ".gro",
    "MDTraj HDF5": ".h5",
    "MSMBuilder HDF5": ".lh5",
    "Amber prmtop": ".prmtop",
    "PSF": ".psf",
    "MOL2": ".mol2",
    "mmCIF": ".cif",
    "HOOMD XML": ".hoomdxml",
    "GSD": ".gsd",
    "Tinker XYZ": ".arc",
}
_IN_MDANALYSIS = {
    "XTC": "XTC",
    "TRR": "TRR",
    "DCD": "DCD",
    "Amber NetCDF": "NCDF",
    "Amber mdcrd": "TRJ",
    "Amber restart": "INPCRD",
    "XYZ": "XYZ",
    "Tinker XYZ": "TXYZ",
    "LAMMPS": "LAMMPSDUMP",
    "LAMMPS data": "DATA",
    "GRO": "GRO",
    "PDB": "PDB",
    "H5MD": "H5MD",
    "GSD": "GSD",
    "TNG": "TNG",
    "CHARMM coordinates": "CRD",
    "MOL2": "MOL2",
    "PSF": "PSF",
    "Amber prmtop": "TOP",
    "GROMACS run input (TPR)": "TPR",
    "HOOMD XML": "XML",
}
_LIKE_PDB = (".pqr", ".pdbqt", ".xpdb")
_CONVERT = "Convert it, as with MDAnalysis or VMD, to XTC or DCD."


def format_of(path: str | Path, name: str | None = None, *, reader: str = "mdtraj") -> TrajectoryFormat:
    """Format of a trajectory file to be read, by its content, or by its extension if that tells nothing.

    Parameters
    ----------
    path
        The file.
    name
        An extension without its dot, such as ``nc``, of the format to take it for instead.
    reader
        ``mdtraj``, or ``mdanalysis``, which reads more formats and has other names for them.

    Raises
    ------
    ConfigError
        If there is no format of this name.
    TrajectoryError
        If its format isn't one of those that are read, or it is compressed and not text.
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
    (compression, content), suffix = _look_at(file), _suffix(file)
    entry = _BY_EXTENSION.get(suffix) if content is None else _BY_NAME.get(content)
    _refuse_packed(file, compression, content, is_text=entry is not None and entry.is_text)
    if entry is not None:
        return entry
    if content is not None:
        way = _NOT_READ.get(content, _CONVERT).format(file=file.name)
        error = UnreadableError if content in _IN_MDANALYSIS else TrajectoryError
        raise error(f"Cannot read {file} as a trajectory: its content is {content}. {way}")
    raise UnreadableError(
        f"Cannot tell the format of {file}: its first bytes are those of no format that is read, and "
        f"{suffix or 'a name without an extension'} isn't one of their extensions ({', '.join(_BY_EXTENSION)}"
        "). Name the format with `format`, or convert the file."
    )


def mdanalysis_name(path: str | Path) -> str:
    """What MDAnalysis calls the format of a file's content; empty if the file's name has to say it."""
    file = check_file(path)
    compression, content = _look_at(file)
    # MDAnalysis reads text from gzip and bzip2, but our index of LAMMPS' frames needs the plain file.
    is_text = content is None or (content in _STRUCTURES and content != "LAMMPS")
    is_packed = compression is not None and compression.name not in ("gzip", "bzip2")
    _refuse_packed(file, compression, content, is_text=is_text and not is_packed)
    return "" if _suffix(file) in _LIKE_PDB else _IN_MDANALYSIS.get(content or "", "")


def topology_extension(path: str | Path) -> str:
    """Extension by which mdtraj reads the topology in a file: that of its content, or else its own.

    Raises
    ------
    TrajectoryError
        If it is a file of a known format without a topology.
    """
    file = check_file(path)
    compression, content = _look_at(file)
    extension = _suffix(file).replace(".ent", ".pdb") if content is None else _TOPOLOGIES.get(content)
    is_text = extension not in (None, ".h5", ".hdf5", ".lh5", ".gsd")
    _refuse_packed(file, compression, content, is_text=is_text)
    if extension is None:
        raise UnreadableError(
            f"Cannot take a topology from {file}: its content is {content}. Give a PDB, GRO, PSF or prmtop "
            "file of the same atoms."
        )
    return extension


def _refuse_packed(
    file: Path, compression: Compression | None, content: str | None, *, is_text: bool
) -> None:
    if compression is None or content == "tar archive" or (compression.opens is not None and is_text):
        return
    inside = f" and holds {content}" if content else ""
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


def _look_at(file: Path) -> tuple[Compression | None, str | None]:
    """How a file is compressed, and the name of the format of its first bytes, as far as known."""
    status = file.stat()
    return _looked_at(str(file), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _looked_at(path: str, size: int, modified_ns: int) -> tuple[Compression | None, str | None]:
    # Size and time are part of the cache's key only.
    with reading(path, "the first bytes"):
        compression = compression_of(path)
    try:
        head = read_head(path, _HEAD_BYTES)
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError):  # told by who reads all of it
        return compression, None
    if not head.startswith(b"\x89HDF"):
        return compression, _binary_content(head) or _text_content(head)
    if compression is not None:
        return compression, "HDF5"
    return None, contained(hdf5_content, path, path=path, what="the header")


def _binary_content(head: bytes) -> str | None:
    if head.startswith(b"CDF\x05"):
        return "NetCDF of 64-bit data (CDF-5)"
    if head.startswith((b"CDF\x01", b"CDF\x02")):
        return "Amber NetCDF restart" if b"AMBERRESTART" in head else "Amber NetCDF"
    for n_bytes in (4, 8):  # of the first record's length, 84 in either byte order
        if sorted(head[:n_bytes]) == [0] * (n_bytes - 1) + [84]:
            kind = head[n_bytes : n_bytes + 4]
            if kind == b"VELD":
                return "DCD of velocities"
            if kind == b"CORD":
                return "DCD" if n_bytes == 4 else "DCD of 64-bit records"
    if head.startswith(b"\x00\x00\x07\xc9") and head[12:24] == b"GMX_trn_file":
        return "TRR"
    if head[_TAR : _TAR + 5] == b"ustar":
        return "tar archive"
    magics = {
        b"\x00\x00\x07\xcb": "XTC",
        b"\x00\x00\x07\xe7": "XTC of GROMACS 2023",
        b"\xdf\x65\xdf\x65\xdf\x65\xdf\x65": "GSD",
        b"fxyz": "Amber binpos",
    }
    found = next((name for magic, name in magics.items() if head.startswith(magic)), None)
    if found is None and head[8:15] == b"VERSION" and not head[0]:
        return "GROMACS run input (TPR)"
    if found is None and b"GENERAL INFO" in head[:64]:
        return "TNG"
    return found


_REAL = rb"[ \t]+-?\d+\.?\d*(?:[eE][-+]?\d+)?"
# Where lines count, they tell formats apart whatever the title says.
_STRUCTURES = {
    "GRO": rb".*\n *\d+\s*\n.{15}[ \d]{5}(?: *-?\d+\.\d+){3}",
    "Tinker XYZ": rb" *\d+[^\n]*\n(?: *-?\d+\.\d+){0,6} *\n? *1 +[A-Za-z]\S*" + _REAL * 3 + rb" +\d+",
    "XYZ": rb" *\d+\s*?\n.*\n *\S+" + _REAL * 3,
    "Amber restart": rb".*\n *\d+(?: +[-+.\dEe]+){0,2} *\r?\n(?:[ \d-]{3}\d\.\d{7}){3}",
    "Amber mdcrd": rb".*\n(?:[ \d-]{3}\d\.\d{3}){1,10} *\r?(?:\n|$)",
    "LAMMPS": rb"ITEM: ",
    "GROMOS96": rb"TITLE\r?\n",
    "Amber prmtop": rb"%VERSION",
    "PSF": rb"PSF\b",
    "mmCIF": rb"(?:#.*\n|\s)*data_",
    "HOOMD XML": rb"(?s:.*)<hoomd_xml",
    "MOL2": rb"(?s:.*)@<TRIPOS>MOLECULE",
    "CHARMM coordinates": rb"(?:\*.*\n)+ *\d+",
    "LAMMPS data": rb"(?s:.*)^ *\d+ +atoms\b(?s:.*)^ *\d+ +atom types\b",
    "GROMACS topology": rb"(?s:.*)^(?:#include|\[ *(?:moleculetype|defaults|system) *\])",
    # Of a record, six columns are its name.
    "PDB": rb"(?:[ \t\r]*\n)*(?:HEADER|OBSLTE|TITLE |CAVEAT|COMPND|EXPDTA|NUMMDL|AUTHOR|REMARK|SEQRES|CONECT"
    rb"|CRYST1|ORIGX1|SCALE1|MODEL |USER  |(?:ATOM  |HETATM).{24}[ \d-]{4}\.\d{3})",
}


def _text_content(head: bytes) -> str | None:
    if b"\x00" in head:
        return None
    return next((name for name, start in _STRUCTURES.items() if re.match(start, head, re.MULTILINE)), None)


def hdf5_content(path: str) -> str | None:
    """Name of the format of an HDF5 file; in a reader."""
    import h5py

    with h5py.File(path, "r") as file:
        conventions = bytes(str(file.attrs.get("Conventions", "")), "utf-8", "replace")
        if "h5md" in file:
            return "H5MD"
        if "XYZList" in file:
            return "MSMBuilder HDF5"
        if b"AMBERRESTART" in conventions:
            return "Amber restart as NetCDF-4"
        if b"AMBER" in conventions:
            return "Amber NetCDF"
        if "topology" in file and "coordinates" in file:
            return "MDTraj HDF5"
        return None
