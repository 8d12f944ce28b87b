"""What an ingest does once the store is its own: plan, make arrays, read and write frames, complete."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, InputFile, list_inputs
from ..errors import FingerprintMismatchError
from ..executors import affordable_workers, available_cpus, memory_budget
from ..journal import Record, StageJournal, Writer
from ..partition import chunk_range, format_ranges
from ..progress import Progress, counting
from ..schema import DEFAULT_CODEC, position_spec
from ..store import CHUNK_PREFIX, Store, is_complete, note_versions, provenance
from ..trajectory import topology_to_json
from ..units import Units, carry_out, note_rounding
from .append import plan_append
from .columns import COLUMNS_PER_WORKER, FrameColumns
from .growth import begin_growth, finish_growth
from .origins import ORIGINS
from .packing import check_samples, choose_packing, describe_packing
from .plan import IngestPlan, plan_ingest
from .request import kept_choices
from .resume import plan_rest
from .stretches import useful_workers
from .unit import IngestUnit, chunks_per_unit, n_new, write_missing

__all__ = ["Ingest"]

HINT = "Use the same parameters, another store, or `restart` to discard this one with its clusterings."


@dataclass(frozen=True)
class Ingest:
    """An ingest that holds the lock of a store; it hands its units to `plan_job` if there is one."""

    path: Path
    config: IngestConfig
    writer: Writer
    progress: Progress
    plan_job: Callable[[Sequence[Units], Writer], None] | None

    def all_of(self, files: Sequence[InputFile], *, restart: bool) -> int:
        """Ingest these files, or go on with it; returns how many frames were read and written."""
        store = None
        if Store.exists(self.path):
            store = Store.open(self.path, writer=self.writer, mends=True)
            finish_growth(store)
        plan = plan_ingest(self.config, files)
        workers = self._affordable_workers(plan)
        store = self._opened(store, plan, restart=restart)
        if is_complete(store, plan.journal):
            return 0
        return self._carry_out(store, plan, self.config, workers)

    def append(self, *, adds: bool) -> int:
        """Finish what was begun, and `adds` what the store lacks of the files; returns frames as above."""
        store = Store.open(self.path, writer=self.writer, mends=True)
        finish_growth(store)
        journal, n_done = store.journal("ingest"), 0
        if journal is None or not journal.complete:
            plan, as_begun = plan_rest(store, self.config)
            note_versions(store.attrs()["provenance"], self.progress)
            n_done = self._carry_out(store, plan, as_begun, self._affordable_workers(plan))
            if self.plan_job is not None:
                self.progress.note("a job to finish what was begun: commit it before you append")
                return 0
        if not adds:
            return n_done
        longer = plan_append(store, self.config, list_inputs(self.config, self.progress.note))
        if longer is None:
            return n_done
        workers = self._affordable_workers(longer)
        # Once the store has grown, only another ingest from the beginning would help.
        check_samples(longer, store.packing())
        lengths = {spec.name: shape[0] for spec, shape in longer.arrays}
        begin_growth(store, longer.journal, lengths, n_before=longer.n_stored)
        return n_done + self._carry_out(store, longer, self.config, workers)

    def _affordable_workers(self, plan: IngestPlan) -> int:
        """Show the plan; return how many processes are asked for or worth it, and fit into memory."""
        config = self.config
        for message in plan.messages:
            self.progress.note(message)
        smaller = "select fewer atoms" if plan.shard_chunks == 1 else "take a smaller `shard`, or fewer atoms"
        here = config.workers or min(available_cpus(), useful_workers(plan.sources))
        return affordable_workers(
            here if config.scheduler is None else 1,
            memory_budget(config.memory),
            shared=plan.memory[0],
            per_worker=plan.memory[1],
            stage="ingest",
            mend=f"Or {smaller}.",
            progress=self.progress,
        )

    def _opened(self, store: Store | None, plan: IngestPlan, *, restart: bool) -> Store:
        """Return the store to go on with, or make one in its place."""
        if store is not None:
            journal = None if restart else store.journal("ingest")
            # Without a journal, it is what a kill left in the first instant, or to be discarded.
            if journal is not None:
                if journal.plan.fingerprint == plan.journal.fingerprint:
                    note_versions(store.attrs()["provenance"], self.progress)
                    return store
                if _holds_results(store):
                    _refuse_changed(store, plan)
                    return store
            store.remove("")
        also = ["MDAnalysis"] if self.config.reader == "mdanalysis" else []
        attrs = {"provenance": provenance(also=also), "topology": topology_to_json(plan.stored_topology)}
        return Store.create(self.path, attrs, writer=self.writer)

    def _carry_out(self, store: Store, plan: IngestPlan, config: IngestConfig, workers: int) -> int:
        """Read and write what is missing of a plan; returns how many frames that was."""
        journal = store.begin(plan.journal, hint=HINT)
        # The same files may have moved since the plan was made.
        request = {**journal.plan.request, ORIGINS: plan.journal.request[ORIGINS]}
        if request != journal.plan.request:
            journal.amend(replace(journal.plan, request=request))
        self._make_arrays(store, plan, config)
        tables = [spec.name for spec, _ in plan.arrays if spec.name in plan.tables]
        journal.commit([each for name in tables for each in store.write_all(name, plan.tables[name])])

        missing, length = np.flatnonzero(~journal.done("position")), store.unit_length("position")
        frames = (chunk_range(int(chunk), chunk=length, length=plan.n_frames) for chunk in missing)
        n_left = sum(n_new(plan, each) for each in frames)
        if self.plan_job is None and config.scheduler is None:
            n_done = plan.n_frames - n_left
            with counting(self.progress, "ingest", total=plan.n_frames, done=n_done, unit="frames"):
                self._write(store, journal, plan, missing, workers)
            store.complete(journal)
            return n_left
        units = Units(
            journal=journal,
            unit=IngestUnit(path=store.path, staging=self.writer.staging),
            chunks=np.unique(missing // chunks_per_unit(store)).tolist(),
            title="ingest",
            measure="frames",
            total=plan.n_frames,
            left=n_left,
            shared_bytes=plan.memory[0],
            worker_bytes=plan.memory[1],
        )
        if self.plan_job is not None:
            self.plan_job([units], self.writer)
            return 0
        return carry_out(store, units, workers=workers, scheduler=config.scheduler, progress=self.progress)

    def _make_arrays(self, store: Store, plan: IngestPlan, config: IngestConfig) -> None:
        """Make the arrays that aren't there yet."""
        if store.has("position"):
            packing = store.packing()
            for remark in kept_choices(store, config):
                self.progress.note(remark)
        else:
            packing = choose_packing(plan, config)
        self.progress.note(describe_packing(packing))
        extra: dict[str, dict[str, Any]] = {
            "time": {"time_source": plan.time_source},
            "element": {"guessed_atoms": format_ranges(plan.guessed.tolist())},
        }
        if plan.time_source == "index":
            extra["time"] |= {"units": "1", "long_name": "frame number in the source file (it has no times)"}
        codec = config.codec or DEFAULT_CODEC
        for spec, shape in plan.arrays:
            if spec.name == "position":
                spec = position_spec(packing.dtype, packing.scale, rounds=packing.rounds)
            chunks = plan.chunks_per_file(spec)
            store.ensure_array("", spec, shape, extra.get(spec.name), codec=codec, shard_chunks=chunks)
        if packing.rounds and "largest_rounding_error" not in store.attrs("position"):
            store.set_attrs("position", {"largest_rounding_error": 0.0})

    def _write(
        self, store: Store, journal: StageJournal, plan: IngestPlan, missing: NDArray[np.int64], workers: int
    ) -> None:
        """Read and write the missing chunks of positions, and what belongs to their frames."""
        columns = FrameColumns(store, plan.n_frames, at_once=COLUMNS_PER_WORKER * workers)
        rounded_by = 0.0

        def flush() -> list[Record]:
            # Before the ledger says that the chunks are done.
            note_rounding(store, rounded_by)
            return columns.flush()

        with (
            journal.batches(flush=flush) as finished,
            closing(write_missing(store, plan, missing, workers=workers)) as written,
        ):
            for each in written:
                columns.put(each.frames.start, each.columns)
                rounded_by = max(rounded_by, each.rounded_by)
                finished(each.record)
                self.progress.advance(each.n_new)


def _holds_results(store: Store) -> bool:
    """Tell whether there are frames, or anything made from frames: these are removed on request only."""
    has_frames = any(store.at("position").glob(f"{CHUNK_PREFIX}*"))
    return has_frames or any(map(store.members, ("subsets", "clusterings", "scans")))


def _refuse_changed(store: Store, plan: IngestPlan) -> None:
    """Refuse files that are recorded with another content."""
    if not store.has("trajectory_digest"):
        return
    digests = dict(zip(store.read("trajectory_path"), store.read("trajectory_digest"), strict=True))
    for source in plan.sources:
        if digests.get(source.info.path, source.info.digest) != source.info.digest:
            raise FingerprintMismatchError(
                f"{source.info.path} has changed since its frames were ingested: what is in the store may "
                f"differ from what is in the file now. If it has only grown, `twopass ingest --append "
                f"{store.path}` goes on with it as it was; otherwise restore the file, or `restart`."
            )
