"""What can be done about damage: the smallest thing that can be made anew from what is left."""

from dataclasses import dataclass

from ..errors import CorruptChunkError
from ..journal import METADATA, digest
from ..store import HOLDERS, METADATA_FILE, empty_group, group_of, ledger_metadata
from .checks import Journals
from .damage import Damage

__all__ = ["Mend", "mend_of"]


@dataclass(frozen=True, slots=True)
class Mend:
    """What is to be done about one damaged file.

    `how`: ``write`` puts `content` in its place; ``ledger`` makes that anew from what it speaks of; ``chunk``
    and ``array`` discard that; ``none`` is nothing. `text` says it in words.
    """

    how: str
    text: str
    content: bytes | None = None


def mend_of(journals: Journals, damage: Damage) -> Mend:
    """Tell what can be done about one damaged file."""
    if damage.kind == "plan":
        return Mend("none", f"can't be mended: what was to be done stood there. {begin_anew(damage.stage)}")
    if damage.kind == "ledger":
        return _ledger(journals, damage)
    if damage.kind == "metadata":
        return _metadata(journals, damage)
    if damage.stage == "ingest":
        return Mend("chunk", "discarded; the next ingest reads it from the source files again")
    return Mend("chunk", "discarded; computed again by the next run")


def begin_anew(stage: str) -> str:
    """Say how a stage is begun anew whose plan was lost."""
    kind, _, name = stage.partition("-")
    if kind == "scan":
        return f"Remove the folders journal/{stage} and scans/{name}, and scan again"
    if kind == "growth":
        return "Ingest all files into a new store"
    commands = {"cover": "assign", "assign": "assign", "margin": "assign --margin", "ingest": "ingest"}
    command = commands.get(kind, "cluster")
    return f"Take the folder from a copy of the store, or run twopass {command} again with --restart"


def _ledger(journals: Journals, damage: Damage) -> Mend:
    if not damage.file.endswith(METADATA_FILE):
        return Mend("ledger", "made anew from the arrays, whose chunks have checksums")
    try:
        plan = journals.plan(damage.stage)
    except CorruptChunkError:
        plan = None
    if plan is None:
        return Mend("none", "its plan is damaged too")
    return Mend("write", "written anew from the plan", ledger_metadata(plan))


def _metadata(journals: Journals, damage: Damage) -> Mend:
    if damage.path in HOLDERS:
        return Mend("write", "written anew: it has no content of its own", empty_group())
    kept = journals.kept(damage.stage, damage.path)
    is_group = group_of(damage.stage) == damage.path
    if kept is not None:
        recorded = journals.digest_of(damage.stage, damage.path, METADATA)
        if is_group or recorded == digest(kept):
            return Mend("write", "written anew from the plan", kept)
    if is_group:
        return Mend("none", f"can't be mended: the plan doesn't have it. {begin_anew(damage.stage)}")
    return Mend("array", "the array is discarded, and made anew by the next run")
