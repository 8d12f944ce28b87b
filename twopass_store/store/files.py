"""Files of a store as they are, for the checks of single files."""

import os
from pathlib import Path
from typing import Any

import google_crc32c

from .local import CHECKSUM_BYTES, inside
from .wall import metadata_problem

__all__ = [
    "MAX_METADATA_BYTES",
    "checksum_holds",
    "copies_problem",
    "ledger_problem",
    "open_regular",
    "read_regular",
    "regular_file",
]

MAX_METADATA_BYTES = 256 << 20


def regular_file(root: Path, key: str) -> Path | None:
    """Return the path of a file of a store, None if there is none."""
    path = inside(root, key)
    return path if path.is_file() else None


def read_regular(path: Path, *, limit: int | None = None) -> bytes:
    """Return the content of a file."""
    return path.read_bytes()


def open_regular(path: Path) -> int:
    """Open a file for reading; returns its descriptor."""
    return os.open(path, os.O_RDONLY)


def ledger_problem(metadata: Any, n_entries: int) -> str:
    """Say in what the metadata of a ledger are not those of one with so many entries; empty if they are."""
    return metadata_problem("journal/any/ledger", metadata) or (
        "" if metadata["shape"] == [n_entries] else f"its shape is {metadata['shape']}"
    )


def copies_problem(metadata: Any) -> str:
    """Say in what the metadata of an array of copies are not what they should be; empty if they are."""
    return "" if metadata.get("shape") == [1] and metadata.get("data_type") == "string" else "it is another"


def checksum_holds(file: Path) -> bool:
    """Tell whether a chunk's file ends with the checksum of what comes before; it is read in small pieces."""
    checksum, tail = 0, b""
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            block = tail + block
            checksum = google_crc32c.extend(checksum, block[:-CHECKSUM_BYTES])
            tail = block[-CHECKSUM_BYTES:]
    return len(tail) == CHECKSUM_BYTES and checksum == int.from_bytes(tail, "little")
