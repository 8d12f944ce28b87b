"""The journals of a store as they stand, for reading; also where all else of the store is damaged."""

import json
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import CorruptChunkError, StoreError, TwopassError, limit_of_the_machine
from ..journal import StageJournal
from .local import DurableLocalStore, inside
from .places import arrays_of, chunk_key, metadata_key, stages_with_arrays
from .published import files_at
from .reading import GROWTH

__all__ = ["JournalFiles"]


class JournalFiles:
    """The journals of a store, for reading."""

    def __init__(self, path: Path, files: DurableLocalStore | None = None) -> None:
        self.path = path
        self._files = files or files_at(path)

    def stages(self) -> list[str]:
        """List the stages that have a journal, and those that have lost it but left arrays; sorted."""
        folder = inside(self.path, "journal")
        planned = folder.iterdir() if folder.is_dir() else ()
        # A folder that is empty is what a kill left in the first instant.
        found = {each.name for each in planned if each.is_dir() and any(each.iterdir())}
        return sorted(found.union(stages_with_arrays(self.path)))

    def journal(self, stage: str) -> StageJournal | None:
        """Return a stage's journal as it stands, None if the stage was never planned.

        Raises a `CorruptChunkError` if plan or ledger are damaged, or missing though there are arrays.
        """
        journal = StageJournal.load(self, stage)
        self._require(stage)
        return journal

    def require_journals(self) -> None:
        """Refuse a store that holds arrays of stages whose plans or ledgers were lost."""
        for stage in sorted(stages_with_arrays(self.path)):
            self._require(stage)

    def lost(self, stage: str) -> list[str]:
        """List the files of a stage's journal that are missing, though arrays of the stage are there."""
        plan = metadata_key(f"journal/{stage}")
        ledger = f"journal/{stage}/ledger"
        is_growing = inside(self.path, f"journal/{GROWTH}").is_dir()
        files = [plan, *([] if is_growing else [metadata_key(ledger), chunk_key(ledger, 0)])]
        missing = [file for file in files if not inside(self.path, file).is_file()]
        # Plan and ledger are written before the first array, and removed after the last.
        has_arrays = missing and any(inside(self.path, path).is_dir() for path in arrays_of(stage))
        return missing if has_arrays else []

    def _require(self, stage: str) -> None:
        if self.lost(stage) and (missing := self.lost(stage)):  # a writer may have come in between
            raise self._damaged(stage, f"{missing[0]} is missing, but not what the stage made")

    def read_plan(self, stage: str) -> str | None:
        """Return a plan's text, None if there is none."""
        try:
            return str(json.loads(self._files.read_metadata(f"journal/{stage}"))["attributes"]["plan"])
        except FileNotFoundError as error:
            if self._has_ledger(stage):
                # Both are removed at one stroke.
                raise self._damaged(stage, "its plan is missing") from error
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(stage, error) from error

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return a ledger's entries, None if none was written yet."""
        if not self._has_ledger(stage):
            return None
        try:
            array = zarr.open_array(self._files, path=f"journal/{stage}/ledger", mode="r", zarr_format=3)
            return np.asarray(array[:], np.uint64)
        except Exception as error:  # zarr and codecs raise many kinds
            if isinstance(error, StoreError | FileNotFoundError) and not self._has_ledger(stage):
                return None  # removed meanwhile
            raise limit_of_the_machine(error) or self._damaged(stage, error) from error

    def write_plan(self, stage: str, text: str) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Refuse to."""
        raise ValueError("the store is open for reading only")

    def _has_ledger(self, stage: str) -> bool:
        return inside(self.path, chunk_key(f"journal/{stage}/ledger", 0)).is_file()

    def _damaged(self, stage: str, problem: object) -> TwopassError:
        return CorruptChunkError(
            f"{self.path} is damaged: the journal of {stage} can't be used ({problem}). `twopass verify "
            f"{self.path}` tells what else is, and how it can be mended."
        )
