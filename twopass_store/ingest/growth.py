"""All arrays along ``frame`` made longer in one burst, which is brought to its end whatever comes between.

The burst is written down whole before its first step: the longer shapes, and for every stage that writes
along ``frame`` its longer plan and ledger. Each step can be repeated. The stages' plans come first, so that
whoever opens the store from then on sees that it isn't complete, and how many frames are.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptChunkError
from ..journal import METADATA, Plan, StageJournal
from ..partition import FRAME_CHUNK, n_chunks
from ..store import GROWTH, Store

__all__ = ["begin_growth", "finish_growth"]


def begin_growth(store: Store, ingest: Plan, shapes: Mapping[str, int], *, n_before: int) -> None:
    """Write down the burst, and carry it out.

    Parameters
    ----------
    store
        A store that is complete, held alone.
    ingest
        The longer plan of the ingest.
    shapes
        Lengths of the root's arrays that become longer, by path.
    n_before
        Frames in the store.
    """
    journal = store.journal("ingest")
    assert journal is not None
    n_frames = shapes["position"]
    undone = {(path, METADATA) for path in shapes}
    if n_before % store.unit_length("position"):
        undone.add(("position", n_before // store.unit_length("position")))
    journals = {"ingest": _recorded(journal, ingest, undone)}
    lengths = dict(shapes)
    for name in store.members("clusterings"):
        group = f"clusterings/{name}"
        lengths |= dict.fromkeys(store.along_frame(group), n_frames)
        assign = store.journal(f"assign-{name}")
        if assign is None:
            continue
        longer = _longer(assign, n_frames, n_before)
        journals[longer.stage] = _recorded(assign, longer, _undone(longer, n_before))
        margin = store.journal(f"margin-{name}")
        if margin is not None:
            longer = _longer(margin, n_frames, n_before, assign=longer.fingerprint)
            journals[longer.stage] = _recorded(margin, longer, _undone(longer, n_before))
    parameters = {"n_before": n_before, "lengths": lengths, "journals": journals}
    store.write_plan(GROWTH, Plan(GROWTH, parameters, (), {}).to_json())
    finish_growth(store)


def finish_growth(store: Store) -> None:
    """Carry out a burst that is written down, from its beginning; nothing where there is none."""
    text = store.read_plan(GROWTH)
    if text is None:
        return
    journals, lengths = _checked(store, Plan.from_json(text).parameters)
    for stage, journal in journals.items():
        # Without a ledger nothing is finished: plan and ledger of different lengths never meet.
        store.remove(f"journal/{stage}/ledger")
        store.replace_plan(stage, journal.plan)
        store.write_ledger(stage, journal.ledger)
    for path, length in lengths.items():
        store.grow(path, length)
    store.remove_journal(GROWTH)


@dataclass(frozen=True, slots=True)
class _Longer:
    plan: str
    ledger: NDArray[np.uint64]


def _checked(store: Store, parameters: Mapping[str, Any]) -> tuple[dict[str, _Longer], dict[str, int]]:
    """Return the journals and lengths of a burst, if carrying it out only makes this store longer.

    What is written down may come from a stranger, and nothing of it is done before all of it was looked at.
    """
    try:
        journals, plans = {}, {}
        for stage, recorded in parameters["journals"].items():
            ledger = np.frombuffer(b64decode(recorded["ledger"]), "<u8").astype(np.uint64)
            plans[stage] = plan = Plan.from_json(recorded["plan"])
            StageJournal(store, plan, ledger)  # raises where it doesn't fit the plan
            if plan.stage != stage or store.read_plan(stage) is None:
                raise ValueError(f"{stage!r} is no stage of it")
            journals[stage] = _Longer(recorded["plan"], ledger)
        n_chunks_of = {each.path: each.n_chunks for plan in plans.values() for each in plan.products}
        lengths = dict(parameters["lengths"])
        for path, length in lengths.items():
            if type(length) is not int or length < store.shape(path)[0]:
                raise ValueError(f"{path} would not be longer")
            known = n_chunks_of.get(path, n_chunks(lengths["position"], FRAME_CHUNK))
            if n_chunks(length, store.unit_length(path)) != known:
                raise ValueError(f"{path} would have other chunks than its stage has planned")
        n_chunks_of["position"]  # of the ingest, which tells how many there may be
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptChunkError(
            f"{store.path}: the record of an append that was interrupted can't be carried out ({error}). The "
            "store was damaged, or made to mislead: make it anew."
        ) from error
    return journals, lengths


def _recorded(journal: StageJournal, plan: Plan, undone: set[tuple[str, int]]) -> dict[str, str]:
    entries = journal.extended(plan, undone)
    return {"plan": plan.to_json(), "ledger": b64encode(entries.astype("<u8").tobytes()).decode()}


def _longer(journal: StageJournal, n_frames: int, n_before: int, **parameters: Any) -> Plan:
    """Return the plan of a stage along ``frame`` for more frames."""
    plan = journal.plan
    length = n_chunks(n_frames, FRAME_CHUNK)
    return replace(
        plan,
        parameters={**plan.parameters, "n_frames": n_frames, **parameters},
        products=tuple(replace(product, n_chunks=length) for product in plan.products),
        request={**plan.request, "covered": _covered(journal, n_before)},
    )


def _covered(journal: StageJournal, n_before: int) -> int:
    """Return how many frames at the beginning have a label: the chunk at the edge isn't begun anew."""
    done = np.logical_and.reduce([journal.done(product.path) for product in journal.plan.products])
    if done.all():
        return n_before
    # The edge that an append before this one left.
    return int(journal.plan.request.get("covered", 0))


def _undone(plan: Plan, n_before: int) -> set[tuple[str, int]]:
    found = {(product.path, METADATA) for product in plan.products}
    if n_before % FRAME_CHUNK:
        found |= {(product.path, n_before // FRAME_CHUNK) for product in plan.products}
    return found
