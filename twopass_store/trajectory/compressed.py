"""Compressed files: text is read as it is, whatever else is told how to be unpacked."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = [
    "COMPRESSED_SUFFIXES",
    "Compression",
    "compression_of",
    "open_unpacked",
    "read_head",
    "teach_mdtraj",
    "unpacked_bytes",
]

_UNPACKED_FACTOR = 20  # text of coordinates: 2 to 5
_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Compression:
    """A kind of compression; the program that unpacks it has its name."""

    name: str
    magic: bytes  # the first bytes of a file
    suffix: str
    opens: Callable[..., IO[Any]] | None = None  # to read bytes; None if nothing here can

    def to_unpack(self, file: Path) -> str:
        """Return the command that unpacks a file."""
        if self.name == "zip":
            return f"unzip {file.name}"
        if file.suffix == self.suffix:
            return f"{self.name} -dk {file.name}"
        return f"{self.name} -dc {file.name} > OTHER_NAME"


_KINDS = (
    Compression("gzip", b"\x1f\x8b", ".gz", gzip.open),
    Compression("bzip2", b"BZh", ".bz2", bz2.open),
    Compression("xz", b"\xfd7zXZ\x00", ".xz", lzma.open),
    Compression("zstd", b"\x28\xb5\x2f\xfd", ".zst"),
    Compression("zip", b"PK\x03\x04", ".zip"),
)
COMPRESSED_SUFFIXES = tuple(kind.suffix for kind in _KINDS)


def compression_of(path: str | Path) -> Compression | None:
    """Find out how a file is compressed, by its first bytes; None if it isn't."""
    with Path(path).open("rb") as file:
        head = file.read(max(len(kind.magic) for kind in _KINDS))
    return next((kind for kind in _KINDS if head.startswith(kind.magic)), None)


def unpacked_bytes(path: str | Path) -> int:
    """Bound on the size of a file once it is unpacked, for limits of time and memory."""
    return Path(path).stat().st_size * (1 if compression_of(path) is None else _UNPACKED_FACTOR)


def open_unpacked(path: str | Path, mode: str = "r") -> IO[Any]:
    """Open a file as `open` does; what is read of a compressed one is what it was before."""
    kind = compression_of(path) if mode in ("r", "rb") else None
    if kind is None or kind.opens is None:
        return Path(path).open(mode)
    # mdtraj's reader of mdcrd goes back by a line at each frame. Outside of the buffer, that starts over.
    unpacked = io.BufferedReader(kind.opens(path), _BUFFER_BYTES)  # type: ignore[type-var]
    return unpacked if mode == "rb" else io.TextIOWrapper(unpacked)


def read_head(path: str | Path, n_bytes: int) -> bytes:
    """Read the first bytes of a file, unpacked."""
    with open_unpacked(path, "rb") as file:
        return bytes(file.read(n_bytes))


def teach_mdtraj() -> None:
    """Have mdtraj's readers of text open compressed files, too."""
    from mdtraj.formats import amberrst, gro, lammpstrj, mdcrd, mol2, prmtop, psf, xyzfile
    from mdtraj.utils import zipped

    for module in (amberrst, gro, lammpstrj, mdcrd, mol2, prmtop, psf, xyzfile, zipped):
        module.open = open_unpacked
