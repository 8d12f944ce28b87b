"""What can be done about damage: the smallest thing that can be made anew from what is left."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CorruptChunkError
from ..journal import METADATA, Plan, digest
from ..store import group_of
from .checks import Journals
from .damage import Damage
from .layout import HOLDERS, group_problem

__all__ = ["Mend", "hanging_on", "mend_of"]

EMPTY_GROUP = b'{\n  "attributes": {},\n  "zarr_format": 3,\n  "node_type": "group"\n}'
"""Metadata of a group without attributes, as zarr writes them."""


@dataclass(frozen=True, slots=True)
class Mend:
    """What is to be done about one damaged file.

    Attributes
    ----------
    how
        ``write`` puts `content` in its place; ``ledger`` and ``copies`` make these anew from what they speak
        of; ``chunk`` and ``array`` discard that; ``stage`` discards a stage and what hangs on it; ``none``
        is nothing.
    text
        The same in words.
    content
        What the file held.
    """

    how: str
    text: str
    content: bytes | None = None


def mend_of(journals: Journals, damage: Damage) -> Mend:
    """Tell what can be done about one damaged file."""
    if damage.kind == "metadata":
        return _metadata(journals, damage)
    if damage.kind == "plan":
        return _plan(journals, damage)
    if damage.kind == "ledger":
        return Mend("ledger", "made anew from the arrays, whose chunks have checksums")
    if damage.kind == "copies":
        return Mend("copies", "made anew from what it has copies of")
    if damage.stage == "ingest":
        return Mend("chunk", "discarded; the next ingest reads it from the source files again")
    return Mend("chunk", "discarded; computed again by the next run")


def _metadata(journals: Journals, damage: Damage) -> Mend:
    if damage.path in HOLDERS:
        return Mend("write", "written anew: it has no content of its own", EMPTY_GROUP)
    copy = journals.copies(damage.stage).get(damage.path)
    is_group = group_of(damage.stage) == damage.path
    if copy is not None:
        recorded = journals.digest_of(damage.stage, damage.path, METADATA)
        if is_group or recorded == digest(copy.encode()):
            return Mend("write", "restored from the copy in the journal", copy.encode())
    if not is_group:
        return Mend("array", "the array is discarded, and made anew by the next run")
    if damage.path == "":
        return Mend(
            "none",
            "can't be mended: topology and provenance stand there, and this store has no copy of them. Take "
            "the file from a copy of the store, or ingest into a new one",
        )
    return Mend("stage", f"{damage.path} is discarded, and made anew by the next run")


def _plan(journals: Journals, damage: Damage) -> Mend:
    copy = journals.copies(damage.stage).get(damage.path)
    if copy is not None and _fits(journals, damage.stage, copy):
        return Mend("write", "restored from the copy in the journal", copy.encode())
    return Mend(
        "none",
        "can't be mended: what was to be done stood there. Take the folder from a copy of the store, or run "
        "the stage anew with --restart",
    )


def _fits(journals: Journals, stage: str, text: str) -> bool:
    """Tell whether a copy of a plan is of the plan that the ledger belongs to."""
    try:
        metadata = json.loads(text)
        plan = Plan.from_json(metadata["attributes"]["plan"])
    except (CorruptChunkError, ValueError, KeyError, TypeError):
        return False
    try:
        entries = journals.files.read_ledger(stage)
    except CorruptChunkError:
        entries = None
    n_entries = sum(product.n_chunks + 1 for product in plan.products)
    return (
        not group_problem(metadata) and plan.stage == stage and (entries is None or len(entries) == n_entries)
    )


def hanging_on(stage: str, stages: Sequence[str]) -> list[str]:
    """List the stages that can't be without another, that one last."""
    kind, _, name = stage.partition("-")
    if kind == "subset":
        found = [each for each in stages if each.startswith((f"linkage-{name}-", f"scan-{name}-"))]
    elif kind == "clustering":
        found = [each for each in (f"margin-{name}", f"assign-{name}") if each in stages]
    elif kind == "assign":
        found = [each for each in (f"margin-{name}",) if each in stages]
    else:
        found = []
    return [*found, stage]
