"""All arrays along ``frame`` made longer in one burst, which is finished whatever interrupts it.

The burst is written down whole before its first step: the longer shapes, and for every stage that writes
along ``frame`` its longer plan and ledger. Each step can be repeated. The plans come first, so that whoever
opens the store from then on sees that it isn't complete, and how many frames are.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..journal import METADATA, Plan, StageJournal
from ..partition import n_chunks
from ..store import GROWTH, Store, clustering_stages

__all__ = ["begin_growth", "finish_growth"]


def begin_growth(store: Store, ingest: Plan, lengths: dict[str, int], *, n_before: int) -> None:
    """Write down the burst, and carry it out; the store is complete, and locked exclusively.

    `ingest` is its longer plan, `lengths` are those of the root's arrays that become longer, by path.
    """
    journal = store.journal("ingest")
    assert journal is not None
    n_frames = lengths["position"]
    undone = {(path, METADATA) for path in lengths}
    if n_before % store.unit_length("position"):
        undone.add(("position", n_before // store.unit_length("position")))
    journals = {"ingest": _recorded(journal, ingest, undone)}
    for name in store.members("clusterings"):
        group = f"clusterings/{name}"
        lengths |= dict.fromkeys(store.along_frame(group), n_frames)
        labels: dict[str, str] = {}
        for stage in clustering_stages(name)[1:]:
            journal = store.journal(stage)
            if journal is not None:
                longer = _longer(journal, n_frames, n_before, store.frames_per_file, labels)
                undone = _undone(longer, n_before, store.frames_per_file)
                journals[stage] = _recorded(journal, longer, undone)
                labels = {"assign": longer.fingerprint} if stage.startswith("assign-") else {}
    parameters = {"n_before": n_before, "lengths": lengths, "journals": journals}
    store.write_plan(GROWTH, Plan(GROWTH, parameters, (), {}).to_json())
    finish_growth(store)


def finish_growth(store: Store) -> None:
    """Carry out a burst that is written down, from its beginning; does nothing if there is none."""
    text = store.read_plan(GROWTH)
    if text is None:
        return
    burst = Plan.from_json(text).parameters
    for stage, recorded in burst["journals"].items():
        # Without a ledger nothing is finished: plan and ledger of different lengths never meet.
        store.remove(f"journal/{stage}/ledger")
        store.write_plan(stage, recorded["plan"])
        store.write_ledger(stage, np.frombuffer(b64decode(recorded["ledger"]), "<u8").astype(np.uint64))
    for path, length in burst["lengths"].items():
        store.grow(path, length)
    store.remove(f"journal/{GROWTH}")


def _recorded(journal: StageJournal, plan: Plan, undone: set[tuple[str, int]]) -> dict[str, str]:
    entries = journal.extended(plan, undone)
    return {"plan": plan.to_json(), "ledger": b64encode(entries.astype("<u8").tobytes()).decode()}


def _longer(
    journal: StageJournal, n_frames: int, n_before: int, per_file: int, labels: Mapping[str, Any]
) -> Plan:
    """Return the plan of a stage along ``frame`` for more frames."""
    plan, n_files = journal.plan, n_chunks(n_frames, per_file)
    # Frames at the beginning that have a label, so that the chunk at the edge isn't begun anew. Of an
    # unfinished stage, the edge that an append before this one left.
    covered = n_before if journal.units_done().all() else int(plan.request.get("covered", 0))
    request = {**plan.request, "covered": covered}
    if "cover_nm" in plan.parameters:
        request["appended"] = [*plan.request.get("appended", []), n_before]
    return replace(
        plan,
        parameters={**plan.parameters, "n_frames": n_frames, **labels},
        products=tuple(replace(product, n_chunks=n_files) for product in plan.products),
        request=request,
    )


def _undone(plan: Plan, n_before: int, per_file: int) -> set[tuple[str, int]]:
    edge = {n_before // per_file} if n_before % per_file else set()
    return {(product.path, chunk) for product in plan.products for chunk in {METADATA, *edge}}
