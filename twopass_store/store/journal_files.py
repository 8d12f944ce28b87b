"""Journals as files: read without zarr, which is quick, and works where all else of a store is damaged."""

import json
import os
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs.blosc
import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptChunkError
from ..journal import MAX_CHUNKS, StageJournal
from .attributes import check_plan
from .confined import inside, open_regular, read_regular, regular_file
from .limits import MAX_METADATA_BYTES
from .lost import stages_with_arrays
from .names import CHECKSUM_BYTES, CHUNK_PREFIX

__all__ = ["COPIES", "JournalFiles", "checksum_holds", "copies_problem", "ledger_problem"]

COPIES = "metadata"
"""Name of the array in a stage's journal that holds copies of metadata."""

LEDGER_BYTES = 8 * MAX_CHUNKS + 1024
"""The largest ledger that a plan can have."""


class JournalFiles:
    """The journals of a store, for reading; a `JournalStorage` that refuses writes.

    Parameters
    ----------
    root
        The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def stages(self) -> list[str]:
        """List the stages that have a journal, and those that have lost it but left arrays; sorted."""
        folder = inside(self.root, "journal")
        planned = folder.iterdir() if folder.is_dir() else ()
        # A folder that is empty is what a kill left in the first instant.
        found = {each.name for each in planned if each.is_dir() and any(each.iterdir())}
        return sorted(found.union(stages_with_arrays(self.root)))

    def load(self, stage: str) -> StageJournal | None:
        """Return a stage's journal, None where the stage was never planned.

        Raises
        ------
        CorruptChunkError
            If plan or ledger are damaged.
        """
        journal = StageJournal.load(self, stage)
        if journal is not None:
            check_plan(journal.plan)
        return journal

    def read_plan(self, stage: str) -> str | None:
        """Return a plan's text, None where there is none."""
        key = f"journal/{stage}/zarr.json"
        file = regular_file(self.root, key)
        try:
            if file is not None:
                return str(json.loads(read_regular(file, limit=MAX_METADATA_BYTES))["attributes"]["plan"])
        except FileNotFoundError:
            pass  # removed meanwhile
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(self.root / key, error) from error
        if regular_file(self.root, f"journal/{stage}/ledger/{CHUNK_PREFIX}0") is not None:
            # The plan is written first, and both are removed at one stroke.
            raise _damaged(self.root / key, FileNotFoundError("it is missing"))
        return None

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return a ledger's entries, None where none was written yet.

        Raises
        ------
        CorruptChunkError
            If its file is damaged.
        """
        file = regular_file(self.root, f"journal/{stage}/ledger/{CHUNK_PREFIX}0")
        if file is None:
            return None
        try:
            return np.frombuffer(
                _decoded(read_regular(file, limit=LEDGER_BYTES), LEDGER_BYTES), "<u8"
            ).astype(np.uint64)
        except FileNotFoundError:
            return None
        except (ValueError, RuntimeError) as error:
            raise _damaged(file, error) from error

    def read_copies(self, stage: str) -> dict[str, str]:
        """Return the copies that are kept of the metadata of what a stage made, by path; empty without any.

        Raises
        ------
        CorruptChunkError
            If their file is damaged.
        """
        file = regular_file(self.root, f"journal/{stage}/{COPIES}/{CHUNK_PREFIX}0")
        if file is None:
            return {}
        try:
            # How Zarr encodes texts: their number, then each one's length and itself.
            data = _decoded(read_regular(file, limit=MAX_METADATA_BYTES), 2 * MAX_METADATA_BYTES)
            n_texts, length = np.frombuffer(data, "<u4", 2).tolist()
            if n_texts != 1 or len(data) != 8 + length:
                raise ValueError("it doesn't hold one text")
            copies = json.loads(data[8:])
            if not all(isinstance(text, str) for text in (*copies, *copies.values())):
                raise ValueError("it doesn't hold texts")
            return dict(copies)
        except FileNotFoundError:
            return {}
        except (ValueError, RuntimeError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(file, error) from error

    def write_plan(self, stage: str, text: str) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def replace_plan(self, stage: str, text: str) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")


def ledger_problem(metadata: Any, n_entries: int) -> str:
    """Say in what the metadata of a ledger are not those of one with so many entries; empty if they are.

    They are no part of what `JournalFiles` reads: they are for readers of plain Zarr.
    """
    return _array_problem(metadata, n_entries, "uint64", 0, "entry", ["bytes", "blosc", "crc32c"])


def copies_problem(metadata: Any) -> str:
    """Say in what the metadata of an array of copies are not what they should be; empty if they are."""
    return _array_problem(metadata, 1, "string", "", "copy", ["vlen-utf8", "blosc", "crc32c"])


def _array_problem(
    metadata: Any, length: int, dtype: str, fill_value: int | str, dim: str, codecs: list[str]
) -> str:
    expected = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [length],
        "data_type": dtype,
        "fill_value": fill_value,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(1, length)]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "dimension_names": [dim],
    }
    for key, value in expected.items():
        if metadata.get(key) != value:
            return f"its {key} is {str(metadata.get(key))[:60]}"
    names = [codec.get("name") for codec in metadata.get("codecs", [])]
    return "" if names == codecs else f"its codecs are {str(names)[:60]}"


def checksum_holds(file: Path) -> bool:
    """Tell whether a chunk's file ends with the checksum of what comes before; it is read in small pieces."""
    checksum, tail = 0, b""
    with os.fdopen(open_regular(file), "rb") as opened:
        while block := opened.read(1 << 20):
            block = tail + block
            checksum = google_crc32c.extend(checksum, block[:-CHECKSUM_BYTES])
            tail = block[-CHECKSUM_BYTES:]
    return len(tail) == CHECKSUM_BYTES and checksum == int.from_bytes(tail, "little")


def _decoded(data: bytes, limit: int) -> bytes:
    content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if not content or google_crc32c.value(content) != int.from_bytes(checksum, "little"):
        raise ValueError("its checksum differs")
    # The header of blosc says how much memory is taken.
    if int.from_bytes(content[4:8], "little") > limit:
        raise ValueError("it is larger than it may be")
    return bytes(numcodecs.blosc.decompress(content))


def _damaged(file: Path, error: Exception) -> CorruptChunkError:
    return CorruptChunkError(
        f"{file} is damaged ({error}). `twopass verify` tells what else is. Copy the store again whole, or "
        "make it anew."
    )
