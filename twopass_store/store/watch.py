"""Reading while others write: what was read is of one state of the store, or an error says that it isn't.

Readers never wait, and never keep a writer waiting. Finished chunks are not changed, but arrays may be
discarded and made anew (``--restart``), positions be turned into another type, and an append makes arrays
longer. All that is to be seen from the plans in the journal, so that a reader looks at them once more after
it has read.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StageIncompleteError, StoreError, TwopassError
from ..journal import Plan
from ..schema import ASSIGNMENT, MARGIN
from .confined import read_regular
from .groups import GROWTH
from .journal_files import JournalFiles

__all__ = ["Watch", "at_one_state"]

ATTEMPTS = 20

PATIENCE_SECONDS = 1.0
"""How long arrays may be in the course of becoming longer, or of another type; it takes milliseconds."""

STAGE_OF = {spec.name: "assign" for spec in ASSIGNMENT} | {spec.name: "margin" for spec in MARGIN}

Result = TypeVar("Result")


def at_one_state(path: Path, read: Callable[[], Result], *, name: str | None = None) -> Result:
    """Return what a reader makes of a store, of a state that nobody has changed meanwhile.

    Parameters
    ----------
    path
        The store.
    read
        The reader; called again where the state has changed.
    name
        The clustering that it reads; any of them where None.

    Raises
    ------
    StageIncompleteError
        If the store is changed again and again.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for _ in range(ATTEMPTS):
        before = _stamps(path, name)
        try:
            result = read()
        except Exception:
            if _stamps(path, name) != before:
                continue
            if not _is_between_steps(path) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            if _stamps(path, name) == before:
                return result
    raise StageIncompleteError(
        f"{path} was changed by other commands whenever it was read. Try again when they have finished."
    )


class Watch:
    """Tells a reader that goes on for long, such as that of a lazy dataset, when it reads something else.

    Parameters
    ----------
    path
        The store.
    name
        The clustering that is read; None where none is.
    """

    def __init__(self, path: Path, name: str | None) -> None:
        self._path = path
        self._name = name
        self._stamps = _stamps(path, name or "")
        self._origins = self._look()

    def require(self, *keys: str) -> None:
        """Refuse what lies under these paths unless it is what was there at first; call it after reading.

        Frames that were appended meanwhile change nothing.

        Raises
        ------
        StoreError
            If it was discarded, made anew, or is stored in another type now.
        """
        stamps = _stamps(self._path, self._name or "")
        if stamps == self._stamps:
            return
        found = self._look()
        if any(found[part] != self._origins[part] for key in keys for part in _parts(key)):
            raise StoreError(
                f"{self._path} was changed while it was read: {', '.join(keys)} is no longer what it was "
                "when the store was opened. Open it again, and read it anew."
            )
        if found == self._origins:
            self._stamps = stamps

    @contextmanager
    def over(self, *keys: str) -> Iterator[None]:
        """Require it after the block, also where that fails: it may have failed by that."""
        try:
            yield
        except TwopassError:
            self.require(*keys)
            raise
        self.require(*keys)

    def _look(self) -> dict[str, Any]:
        """Return what tells where values come from; frames that are appended don't change it."""
        clustering, assign, margin = (self._plan(stage) for stage in ("clustering", "assign", "margin"))
        labels = assign and {key: value for key, value in assign.parameters.items() if key != "n_frames"}
        return {
            "root": _metadata(self._path / "zarr.json").get("attributes", {}).get("provenance"),
            "position": _metadata(self._path / "position" / "zarr.json").get("data_type"),
            "clustering": clustering and clustering.fingerprint,
            "assign": labels,
            "margin": margin and labels,
        }

    def _plan(self, stage: str) -> Plan | None:
        if self._name is None:
            return None
        try:
            text = JournalFiles(self._path).read_plan(f"{stage}-{self._name}")
            return None if text is None else Plan.from_json(text)
        except StoreError:
            return None


def _is_between_steps(path: Path) -> bool:
    """Tell whether a writer is between steps that follow each other at once, if its process lives."""
    if (path / "journal" / GROWTH).is_dir():
        return True
    return (path / "journal" / "transcode").is_dir() and not (path / "position").is_dir()


def _parts(key: str) -> tuple[str, ...]:
    """Name what the values of an array, of which this is a chunk, come from."""
    group, _, rest = key.partition("/")
    if group == "clusterings":
        array = rest.partition("/")[2].partition("/")[0]
        return "root", "clustering", STAGE_OF.get(array, "clustering")
    return ("root", "position") if group == "position" else ("root",)


def _stamps(path: Path, name: str | None) -> tuple[tuple[int, int] | None, ...]:
    """Return what changes with every plan; of one clustering, or of all where None."""
    journal = path / "journal"
    if name is None:
        folders = sorted(journal.iterdir()) if journal.is_dir() else []
    else:
        folders = [journal / each for each in ("ingest", "transcode", GROWTH)]
        folders += [journal / f"{stage}-{name}" for stage in ("clustering", "assign", "margin") if name]
    # That of a ledger's metadata, too: it is removed and comes back while a plan becomes longer.
    files = [path / "zarr.json", path / "position" / "zarr.json"]
    files += [folder / file for folder in folders for file in ("zarr.json", "ledger/zarr.json")]
    return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    # Every write makes a new file and renames it.
    return status.st_ino, status.st_mtime_ns


def _metadata(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_regular(file))
    except (OSError, ValueError, RecursionError, StoreError):
        return {}
    return found if isinstance(found, dict) else {}
