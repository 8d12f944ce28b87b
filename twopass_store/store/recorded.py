"""What the journals have on record of the metadata of groups and arrays, and whether these are as they were.

Of an array that is complete, the ledger has the digest; of a group, and of those arrays too, a copy is kept
in the journal of the stage that made it. While metadata change, as those of an array that becomes longer do,
there is no entry: it goes before they change, and comes back after.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import CorruptChunkError, StoreError
from ..journal import ABSENT, METADATA, StageJournal, digest
from ..schema import ASSIGNMENT, CLUSTERING, FAITHFULNESS, INGESTED, MARGIN, METRIC, OUTSIDE, SCAN, SUBSET
from .confined import read_regular, regular_file
from .journal_files import JournalFiles
from .limits import MAX_METADATA_BYTES
from .names import CHUNK_PREFIX, METADATA_FILE

__all__ = ["RecordedMetadata", "arrays_of", "group_of", "stages_of"]

_MADE = {
    "ingest": ("", INGESTED),
    "subset": ("subsets", SUBSET),
    "clustering": ("clusterings", (*CLUSTERING, *METRIC, *OUTSIDE, *FAITHFULNESS)),
    "assign": ("clusterings", ASSIGNMENT),
    "margin": ("clusterings", MARGIN),
    "scan": ("scans", SCAN),
}
_HOLDERS = {"subsets": "subset", "clusterings": "clustering", "scans": "scan"}

ATTEMPTS = 20
"""How often a writer may come in between before it is taken for damage."""


def arrays_of(stage: str) -> tuple[str, ...]:
    """Return the paths of all arrays that a stage may make."""
    kind, _, name = stage.partition("-")
    if kind == "linkage":
        subset, _, array = name.rpartition("-")
        return (f"subsets/{subset}/{array}",)
    holder, specs = _MADE.get(kind, ("", ()))
    return tuple(f"{holder}/{name}/{spec.name}" if holder else spec.name for spec in specs)


def group_of(stage: str) -> str | None:
    """Return the path of the group that a stage makes, None where it makes arrays only."""
    if stage == "ingest":
        return ""
    kind, _, name = stage.partition("-")
    holder = next((holder for holder, each in _HOLDERS.items() if each == kind), None)
    return f"{holder}/{name}" if holder and name else None


def stages_of(path: str) -> tuple[str, ...]:
    """Return the stages that may have made a group or array; none for what holds others, and for journals."""
    holder, *names = path.split("/")
    if not names:
        return () if holder in (*_HOLDERS, "journal") else ("ingest",)
    if holder not in _HOLDERS or len(names) > 2:
        return ()
    kind, name = _HOLDERS[holder], names[0]
    if len(names) == 1:
        return (f"{kind}-{name}",)
    further = {"subset": (f"linkage-{name}-{names[1]}",), "clustering": (f"assign-{name}", f"margin-{name}")}
    return (f"{kind}-{name}", *further.get(kind, ()))


class RecordedMetadata:
    """Digests of metadata, read from the journals when they are first needed. Threads may share it.

    Parameters
    ----------
    root
        The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = JournalFiles(root)
        self._lock = threading.Lock()
        self._journals: dict[str, StageJournal | None] = {}
        self._copies: dict[str, Mapping[str, str]] = {}

    def digest_of(self, path: str, *, anew: bool = False) -> int:
        """Return the digest of a group's or array's metadata, `ABSENT` where none is on record.

        A journal that is damaged is taken for none: whoever needs it is told.
        """
        stages = stages_of(path)
        with self._lock:
            if anew:
                for stage in stages:
                    self._journals.pop(stage, None)
                    self._copies.pop(stage, None)
            for stage in stages:
                found = (
                    self._group_digest(stage, path) if group_of(stage) == path else self._entry(stage, path)
                )
                if found != ABSENT:
                    return found
        return ABSENT

    def knows(self, path: str) -> bool:
        """Tell whether an array is one that a stage of ours writes."""
        with self._lock:
            return any(self._journal(stage, path) is not None for stage in stages_of(path))

    def has_chunk(self, path: str, name: str) -> bool:
        """Tell whether a chunk, by the name of its file, is in a ledger."""
        number = name.removeprefix(CHUNK_PREFIX).partition(".")[0]
        if not number.isdecimal():
            return False
        with self._lock:
            journals = [self._journal(stage, path) for stage in stages_of(path)]
            done = [journal.done(path) for journal in journals if journal is not None]
        return any(int(number) < len(each) and bool(each[int(number)]) for each in done)

    def settled(self, path: str, data: bytes, read: Callable[[], bytes | None]) -> bytes:
        """Return metadata that are as recorded: `data`, or what is read anew where a writer came between.

        Raises
        ------
        CorruptChunkError
            If they are not as recorded.
        """
        if self.digest_of(path) in (ABSENT, digest(data)):
            return data
        before = self.digest_of(path, anew=True)
        for _ in range(ATTEMPTS):
            found = read()
            recorded = self.digest_of(path, anew=True)
            if found is not None and recorded in (ABSENT, digest(found)):
                return found
            if recorded == before:
                break  # the journal stood still while the file was read
            before = recorded
        raise self._damaged(path, "not as they were written")

    def require_present(self, path: str) -> None:
        """Raise `CorruptChunkError` if a group or array, which isn't there, is on record."""
        key = f"{path}/{METADATA_FILE}" if path else METADATA_FILE
        if self.digest_of(path) == ABSENT or self.digest_of(path, anew=True) == ABSENT:
            return
        # A writer may have removed it, journal first, or put it there.
        if regular_file(self._root, key) is None and self.digest_of(path, anew=True) != ABSENT:
            raise self._damaged(path, "missing")

    def _entry(self, stage: str, path: str) -> int:
        journal = self._journal(stage, path)
        return ABSENT if journal is None else journal.digest_of(path, METADATA)

    def _journal(self, stage: str, path: str) -> StageJournal | None:
        """Return a stage's journal, None unless it speaks of an array."""
        if stage not in self._journals:
            try:
                self._journals[stage] = self._files.load(stage)
            except StoreError:
                self._journals[stage] = None
        journal = self._journals[stage]
        return journal if journal is not None and journal.has(path) else None

    def _group_digest(self, stage: str, path: str) -> int:
        if stage not in self._copies:
            try:
                self._copies[stage] = self._files.read_copies(stage)
            except StoreError:
                self._copies[stage] = {}
        text = self._copies[stage].get(path)
        return ABSENT if text is None else digest(text.encode())

    def _damaged(self, path: str, what: str) -> CorruptChunkError:
        file = self._root / path / METADATA_FILE
        return CorruptChunkError(
            f"The metadata {file} are {what}: the store is damaged, or the copy of it is incomplete. "
            f"`twopass verify {self._root}` tells what else is; `twopass repair` mends what can be."
        )


def read_file(root: Path, key: str) -> bytes | None:
    """Return the content of a file of metadata, None where there is none."""
    file = regular_file(root, key, limit=MAX_METADATA_BYTES)
    try:
        return None if file is None else read_regular(file, limit=MAX_METADATA_BYTES)
    except FileNotFoundError:
        return None
