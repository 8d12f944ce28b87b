"""What an ingest does once it is planned: make arrays, read and write frames or hand them out, complete."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig
from ..journal import Record, StageJournal, Writer
from ..partition import chunk_range, format_ranges
from ..progress import Progress, counting
from ..schema import DEFAULT_CODEC, position_spec
from ..store import Packing, Store
from ..units import Units, carry_out, note_rounding
from .columns import COLUMNS_PER_WORKER, FrameColumns
from .origins import with_origins_of
from .request import kept_choices

if TYPE_CHECKING:
    from .plan import IngestPlan

__all__ = ["PlanJob", "carry_out_plan"]

PlanJob = Callable[[Sequence[Units], Writer], None]

HINT = "Use the same parameters, another store, or `restart` to discard this one with its clusterings."


def carry_out_plan(
    store: Store,
    plan: "IngestPlan",
    config: IngestConfig,
    workers: int,
    writer: Writer,
    progress: Progress,
    plan_job: PlanJob | None,
) -> int:
    """Read and write what is missing of a plan; returns how many frames that was."""
    journal = store.begin(plan.journal, hint=HINT)
    # The same files may have moved since the plan was made.
    renewed = with_origins_of(plan.journal, journal.plan)
    if renewed != journal.plan:
        journal.amend(renewed)
    _begin(store, journal, plan, config, progress)
    if plan_job is not None:
        plan_job([_units(store, journal, plan, writer)], writer)
        return 0
    if config.scheduler is not None:
        units = _units(store, journal, plan, writer)
        return carry_out(store, units, workers=workers, scheduler=config.scheduler, progress=progress)
    n_frames = _run(store, journal, plan, workers, progress)
    store.complete(journal)
    return n_frames


def _begin(
    store: Store, journal: StageJournal, plan: "IngestPlan", config: IngestConfig, progress: Progress
) -> None:
    """Make the arrays, and write those that are no frames."""
    from .packing import choose_packing, describe_packing

    if store.has("position"):
        packing = store.packing()
        for remark in kept_choices(store, config):
            progress.note(remark)
    else:
        packing = choose_packing(plan, config)
    progress.note(describe_packing(packing))
    _ensure_arrays(store, plan, packing, config.codec or DEFAULT_CODEC)
    if packing.rounds and "largest_rounding_error" not in store.attrs("position"):
        store.set_attrs("position", {"largest_rounding_error": 0.0})
    tables = [spec for spec, _ in plan.arrays if spec.name in plan.tables]
    journal.commit([each for spec in tables for each in store.write_all(spec.name, plan.tables[spec.name])])


def _run(store: Store, journal: StageJournal, plan: "IngestPlan", workers: int, progress: Progress) -> int:
    """Read and write what is missing; returns how many frames that was."""
    from .unit import write_missing

    missing, n_left = _left(store, journal, plan)
    counted = counting(progress, "ingest", total=plan.n_frames, done=plan.n_frames - n_left, unit="frames")
    columns = FrameColumns(store, plan.n_frames, at_once=COLUMNS_PER_WORKER * workers)
    rounded_by = 0.0

    def flush() -> list[Record]:
        # Before the ledger says that the chunks are done.
        note_rounding(store, rounded_by)
        return columns.flush()

    with (
        counted,
        journal.batches(flush=flush) as finished,
        closing(write_missing(store, plan, missing, workers=workers)) as written,
    ):
        for each in written:
            columns.put(each.frames.start, each.columns)
            rounded_by = max(rounded_by, each.rounded_by)
            finished(each.record)
            progress.advance(each.n_new)
    return n_left


def _left(store: Store, journal: StageJournal, plan: "IngestPlan") -> tuple[NDArray[np.int64], int]:
    """Return which chunks of positions are missing, and how many new frames they have."""
    from .unit import n_new

    missing, length = np.flatnonzero(~journal.done("position")), store.unit_length("position")
    frames = (chunk_range(int(chunk), chunk=length, length=plan.n_frames) for chunk in missing)
    return missing, sum(n_new(plan, each) for each in frames)


def _units(store: Store, journal: StageJournal, plan: "IngestPlan", writer: Writer) -> Units:
    from .unit import IngestUnit, chunks_per_unit

    missing, n_left = _left(store, journal, plan)
    return Units(
        journal=journal,
        unit=IngestUnit(path=store.path, staging=writer.staging),
        chunks=np.unique(missing // chunks_per_unit(store)).tolist(),
        title="ingest",
        measure="frames",
        total=plan.n_frames,
        left=n_left,
        shared_bytes=plan.memory[0],
        worker_bytes=plan.memory[1],
    )


def _ensure_arrays(store: Store, plan: "IngestPlan", packing: Packing, codec: str) -> None:
    """Make the arrays that aren't there yet."""
    extra: dict[str, dict[str, Any]] = {
        "time": {"time_source": plan.time_source},
        "element": {"guessed_atoms": format_ranges(plan.guessed.tolist())},
    }
    if plan.time_source == "index":
        extra["time"] |= {"units": "1", "long_name": "frame number in the source file (it has no times)"}
    for spec, shape in plan.arrays:
        if spec.name == "position":
            spec = position_spec(packing.dtype, packing.scale, rounds=packing.rounds)
        chunks = plan.chunks_per_file(spec)
        store.ensure_array("", spec, shape, extra.get(spec.name), codec=codec, shard_chunks=chunks)
