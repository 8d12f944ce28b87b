"""The journals of a store as they stand, for reading; also where all else of the store is damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import CorruptChunkError, StoreError, TwopassError
from ..journal import StageJournal
from .local import DurableLocalStore, inside, limit_of_the_machine
from .places import chunk_name, metadata_key, stages_with_arrays

__all__ = ["COPIES", "JournalFiles"]

COPIES = "metadata"
"""Name of the array in a stage's journal that holds copies of metadata."""


class JournalFiles:
    """The journals of a store, for reading; a `JournalStorage` that refuses writes.

    Parameters
    ----------
    root
        The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._reading = DurableLocalStore(root, read_only=True)

    def stages(self) -> list[str]:
        """List the stages that have a journal, and those that have lost it but left arrays; sorted."""
        folder = inside(self.root, "journal")
        planned = folder.iterdir() if folder.is_dir() else ()
        # A folder that is empty is what a kill left in the first instant.
        found = {each.name for each in planned if each.is_dir() and any(each.iterdir())}
        return sorted(found.union(stages_with_arrays(self.root)))

    def load(self, stage: str) -> StageJournal | None:
        """Return a stage's journal, None if the stage was never planned.

        Raises
        ------
        CorruptChunkError
            If plan or ledger are damaged.
        """
        return StageJournal.load(self, stage)

    def read_plan(self, stage: str) -> str | None:
        """Return a plan's text, None if there is none."""
        key = metadata_key(f"journal/{stage}")
        try:
            return str(json.loads(self._reading.read_metadata(f"journal/{stage}"))["attributes"]["plan"])
        except FileNotFoundError as error:
            if (self.root / "journal" / stage / "ledger" / chunk_name(0, 1)).is_file():
                # The plan is written first, and both are removed at one stroke.
                raise _damaged(self.root / key, FileNotFoundError("it is missing")) from error
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(self.root / key, error) from error

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return a ledger's entries, None if none was written yet.

        Raises
        ------
        CorruptChunkError
            If it is damaged.
        """
        values = self._read(f"journal/{stage}/ledger")
        return None if values is None else values.astype(np.uint64)

    def read_copies(self, stage: str) -> dict[str, str]:
        """Return the copies that are kept of the metadata of what a stage made, by path; empty without any.

        Raises
        ------
        CorruptChunkError
            If they are damaged.
        """
        path = f"journal/{stage}/{COPIES}"
        values = self._read(path)
        try:
            copies = {} if values is None else json.loads(values[0])
            if not all(isinstance(text, str) for text in (*copies, *copies.values())):
                raise ValueError("it doesn't hold texts")
            return dict(copies)
        except (ValueError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(self.root / path, error) from error

    def write_plan(self, stage: str, text: str) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def replace_plan(self, stage: str, text: str) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def _read(self, path: str) -> NDArray[Any] | None:
        file = inside(self.root, f"{path}/{chunk_name(0, 1)}")
        if not file.is_file():
            return None
        try:
            array = zarr.open_array(self._reading, path=path, mode="r", zarr_format=3)
            return np.asarray(array[:])
        except StoreError as error:
            if not file.is_file():
                return None  # removed meanwhile
            raise _damaged(file, error) from error
        except Exception as error:  # zarr and codecs raise many kinds
            limit = limit_of_the_machine(error)
            raise limit or _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> TwopassError:
    return CorruptChunkError(
        f"{file} is damaged ({error}). `twopass verify` tells what else is. Copy the store again whole, or "
        "make it anew."
    )
