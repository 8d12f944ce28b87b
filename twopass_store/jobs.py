"""Job arrays: a stage planned here, worked on anywhere in parts, and committed here.

A job keeps the stage's locks, and a folder beside the store, in ``<store>.lock``: nothing foreign may lie in
the store, and with the folder goes the right to write. It holds the job itself, and receipts: each process
that works on a part has a file of its own, written whole every few seconds and renamed into place. So parts
may die, be repeated, or run twice at once. The ledger takes the receipts at the end.
"""

import json
import os
import re
import socket
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Unpack

from .config import AssignConfig, ClusterConfig, WorkConfig, WorkOptions, validated
from .errors import ConfigError, FingerprintMismatchError, StageIncompleteError, StoreNotFoundError
from .executors import affordable_workers, available_cpus, memory_budget
from .ingest.stage import ending_readers, run_ingest
from .journal import Record, StageJournal, Writer, closing_job, digest, in_batches
from .partition import format_ranges
from .progress import Progress, Silent, counting
from .store import (
    CHUNK_PREFIX,
    JOB,
    METADATA_FILE,
    RECEIPTS,
    Job,
    Store,
    chunk_key,
    identity,
    lock_folder,
    open_jobs,
    run_stage,
    sealed,
    store_path,
)
from .units import Receipt, Unit, Units, UnitStage, note_rounding, other_versions, perform

__all__ = ["JobResult", "commit_job", "list_jobs", "plan_job", "work_job"]


@dataclass(frozen=True, slots=True)
class JobResult:
    """How far a job is.

    Attributes
    ----------
    store, stage
        Path of the store, and what is done: ``ingest``, ``cluster`` or ``assign``.
    n_units
        Units planned; 0 if all was done already.
    n_done
        Those of which there is a receipt.
    next_commands
        What goes on with it; nothing if it isn't open.
    """

    store: Path
    stage: str
    n_units: int
    n_done: int
    next_commands: tuple[str, ...] = ()


def plan_job(
    store: str | os.PathLike[str],
    stage: str,
    *,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> JobResult:
    """Plan a stage as a job, on which `work_job` works on any machine that sees the store.

    Until `commit_job` it keeps the stage's locks. A job that was planned with the same options stays as it
    is.

    Parameters
    ----------
    store
        Path of the store.
    stage
        ``ingest``, with the keywords `trajectories` and `append`; ``cluster``, of which the distances are
        done in parts, and the rest by `cluster_subset` afterwards; or ``assign``.
    restart, break_lock, progress
        As for the stage itself; `break_lock` also drops a job that has these locks.
    **options
        Those of the stage.

    Raises
    ------
    TwopassError
        As the stage does before its first unit.
    """
    path, progress = store_path(store), progress or Silent()
    asked = json.loads(json.dumps(options, default=os.fspath))
    if asked.get("scheduler") is not None:
        raise ConfigError("`scheduler`: the units of a job are done by `twopass work`; leave it out.")
    is_there = (path / METADATA_FILE).is_file()  # not removed under its job
    if is_there and not (restart or break_lock) and (job := _same(path, stage, asked)):
        progress.note("this job was planned already")
        return _result(path, job)

    def keep(units: Iterable[Units], writer: Writer) -> None:
        if steps := [*map(_described, units)]:
            described = {"identity": identity(), "options": asked, "steps": steps}
            writer.write(writer.staging / JOB, sealed(described))
            writer.job = stage

    common: dict[str, Any] = {"restart": restart, "break_lock": break_lock, "progress": progress}
    if stage == "ingest":
        given: Any = {"append": False, "trajectories": (), **options}
        files, append = given.pop("trajectories"), given.pop("append")
        run_ingest(path, files, given, append=append, plan_job=keep, **common)
    else:
        making = _stage(stage, path, options, progress, restart=restart)
        run_stage(
            path,
            making,
            plan_job=lambda store, steps, writer: keep(making.units(store, steps, writer), writer),
            **common,
        )
    job = _same(path, stage, asked)
    return JobResult(path, stage, 0, 0) if job is None else _result(path, job)


def work_job(
    store: str | os.PathLike[str],
    stage: str,
    *,
    progress: Progress | None = None,
    **options: Unpack[WorkOptions],
) -> JobResult:
    """Do a part of a planned job, or what is missing of it.

    Parameters
    ----------
    store, stage
        As they were planned.
    progress
        Progress reporter.
    **options
        See `WorkConfig`.

    Raises
    ------
    StageIncompleteError
        If there is no such job, and the stage isn't complete.
    ConfigError
        If this machine has other versions than the one that planned it.
    StoreLockedError
        If the job was committed or dropped meanwhile.
    """
    path, progress = store_path(store), progress or Silent()
    config = validated(WorkConfig, options)
    job = _job(path, stage, config.name)
    if job is None:
        return JobResult(path, stage, 0, 0)
    if reason := other_versions(job.described["identity"]):
        raise ConfigError(
            f"This machine can't work on the job: {reason} Or plan the job anew here, with --break-lock."
        )
    writer = Writer(job.kept.staging)
    opened = Store.open(path, writer=writer)
    chunks = sorted({chunk for _, chunk in job.units()})
    number, n_parts = config.part
    mine = set(chunks[(number - 1) * len(chunks) // n_parts : number * len(chunks) // n_parts])
    left = {(step, chunk) for step, chunk in job.units() - job.done() if chunk in mine}
    file = writer.staging / RECEIPTS.replace("*", uuid.uuid4().hex)
    receipts: list[tuple[str, Receipt]] = []

    def commit(new: list[tuple[str, Receipt]]) -> None:
        if new:
            receipts.extend(new)
            writer.write(file, sealed(_as_file(job, receipts)))

    counted = counting(progress, f"{stage}, part {number}/{n_parts}", total=len(left), unit="units")
    with counted, ending_readers(), in_batches(commit) as finished:
        for step in job.described["steps"]:
            chunks = sorted(chunk for each, chunk in left if each == step["stage"])
            units = _units(opened, step, chunks, writer)
            n_threads = affordable_workers(
                config.workers or available_cpus(),
                memory_budget(config.memory),
                shared=units.shared_bytes,
                per_worker=units.worker_bytes,
                stage=stage,
                mend="Or run it on a machine that has more.",
                progress=progress,
            )
            for receipt in perform(units, workers=n_threads, progress=progress):
                finished((step["stage"], receipt))
                progress.advance(len(receipt.chunks))
    return _result(path, job)


def commit_job(
    store: str | os.PathLike[str],
    stage: str,
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> JobResult:
    """Put what was done of a job on record, complete the stage, and give its locks back.

    Parameters
    ----------
    store, stage, name
        As for `work_job`.
    progress
        Progress reporter.

    Raises
    ------
    StageIncompleteError
        If units are missing, which the message names: they weren't done, or their files are gone. The job
        stays open. Also if there is no such job, and the stage isn't complete.
    ConfigError
        If receipts are of other versions than the job.
    StoreLockedError
        If another process commits it.
    """
    path = store_path(store)
    job = _job(path, stage, name)
    if job is None:
        return JobResult(path, stage, 0, 0)
    opened, expected = Store.open(path), job.described["identity"]
    for step in job.described["steps"]:
        _journal(opened, step)

    @cache
    def present(array: str) -> set[int]:
        # One listing: a network's file system takes a while for each file that is asked for.
        return {int(chunk.name.split(".")[1]) for chunk in opened.at(array).glob(f"{CHUNK_PREFIX}*")}

    for file, receipt in job.receipts().items():
        if differing := ", ".join(key for key in expected if receipt["identity"].get(key) != expected[key]):
            raise ConfigError(
                f"Units of this job were done on {receipt['host']} with other versions than it was planned "
                f"with ({differing}), and results would be mixed. Plan it anew, with --break-lock."
            )
        if not all(present(array).issuperset(chunks) for array, (chunks, _) in receipt["records"].items()):
            # What it made is gone, as when the store was put back from a copy.
            file.unlink(missing_ok=True)
    if missing := sorted(job.units() - job.done()):
        by_step = {step: [chunk for each, chunk in missing if each == step] for step, _ in missing}
        listed = "; ".join(f"{step}, chunks {format_ranges(chunks)}" for step, chunks in by_step.items())
        raise StageIncompleteError(
            f"{len(missing)} of {len(job.units())} units of this job are missing ({listed}). Run "
            f"`{job.kept.command('work', path)}` with those parts again, or without --part: it does what is "
            "missing."
        )
    with closing_job(lock_folder(path), job.kept) as writer:
        opened = Store.open(path, writer=writer)
        files = [*replace(job, folder=writer.staging).receipts().values()]
        records = _records(opened, files)
        note_rounding(opened, max((file["rounded_by"] for file in files), default=0.0))
        for step in job.described["steps"]:
            journal = _journal(opened, step)
            journal.commit(record for record in records if journal.has(record.path))
            opened.complete(journal)
    return JobResult(path, stage, len(job.units()), len(job.units()))


def list_jobs(store: str | os.PathLike[str]) -> list[JobResult]:
    """Return the jobs of a store that were planned and not committed yet."""
    path = store_path(store, reads=True)
    return [_result(path, job) for job in open_jobs(path)]


def _result(path: Path, job: Job) -> JobResult:
    commands = tuple(job.next_commands(path))
    return JobResult(path, job.kept.job, len(job.units()), len(job.done()), commands)


def _same(path: Path, stage: str, options: Mapping[str, Any]) -> Job | None:
    """Return the job that was planned with these options."""
    return next((job for job in open_jobs(path, stage) if job.described["options"] == options), None)


def _job(path: Path, stage: str, name: str | None) -> Job | None:
    """Return the open job of a stage; None if there is none since all is done."""
    if not (path / METADATA_FILE).is_file():
        raise StoreNotFoundError(
            f"{socket.gethostname()} sees no store at {path}. Check the path, and whether the file system is "
            "mounted."
        )
    jobs = open_jobs(path, stage)
    if name is not None:
        jobs = [job for job in jobs if f"clustering-{name}" in job.kept.locks]
    if len(jobs) > 1:
        listed = ", ".join(job.kept.arguments[-1] for job in jobs)
        raise ConfigError(f"{path} has several jobs {stage}, of {listed}: choose one with `name`.")
    if jobs:
        return jobs[0]
    if _is_complete(Store.open(path), stage, name):
        return None
    of = f" of clustering {name!r}" if name else ""
    raise StageIncompleteError(
        f"{path} has no job {stage}{of}: none was planned, or it was dropped. Plan one with `twopass plan "
        f"{path} {stage}`, with the options of `twopass {stage}`. (If the store was moved, {path.name}.lock "
        "must move with it.)"
    )


def _is_complete(store: Store, stage: str, name: str | None) -> bool:
    own = {"ingest": "ingest", "cluster": "subset-.*", "assign": f"(cover|assign|margin)-{name or '.*'}"}
    found = [store.journal(each) for each in store.stages() if re.fullmatch(own.get(stage, ""), each)]
    return bool(found) and all(journal is not None and journal.complete for journal in found)


def _stage(
    stage: str, path: Path, options: Mapping[str, Any], progress: Progress, *, restart: bool
) -> UnitStage[Any]:
    # These import numba.
    from .assign.stage import AssignStage
    from .cluster.stage import ClusterStage

    if stage == "assign":
        return AssignStage(path, validated(AssignConfig, options), progress, restart=restart)
    if stage == "cluster":
        return ClusterStage(validated(ClusterConfig, options), None, progress, restart=restart)
    raise ConfigError(f"There are no jobs of {stage!r}: plan ingest, cluster or assign.")


def _unit_type(stage: str) -> type[Unit]:
    # These import numba, or mdtraj.
    from .assign.unit import AssignUnit
    from .cluster.pairs import PairUnit
    from .ingest.unit import IngestUnit

    kinds: dict[str, type[Unit]] = {"ingest": IngestUnit, "subset": PairUnit}
    return kinds.get(stage.partition("-")[0], AssignUnit)


def _journal(store: Store, step: Mapping[str, Any]) -> StageJournal:
    journal = store.journal(step["stage"])
    if journal is None or journal.plan.fingerprint != step["fingerprint"]:
        raise FingerprintMismatchError(
            f"{step['stage']} is no longer as the job planned it. Plan it anew, with --break-lock."
        )
    return journal


_KEPT = ("title", "measure", "total", "left", "shared_bytes", "worker_bytes", "at_once", "threads_each")


def _described(units: Units) -> dict[str, Any]:
    return {
        "stage": units.journal.plan.stage,
        "fingerprint": units.journal.plan.fingerprint,
        "unit": units.unit.to_json(),
        "chunks": format_ranges(units.chunks),
        **{name: getattr(units, name) for name in _KEPT},
    }


def _units(store: Store, step: Mapping[str, Any], chunks: Sequence[int], writer: Writer) -> Units:
    unit = _unit_type(step["stage"]).from_json(step["unit"], path=store.path, staging=writer.staging)
    return Units(_journal(store, step), unit, chunks, **{name: step[name] for name in _KEPT})


def _as_file(job: Job, receipts: Sequence[tuple[str, Receipt]]) -> dict[str, Any]:
    units: dict[str, list[int]] = {}
    records: dict[str, tuple[list[int], list[int]]] = {}
    for step, receipt in receipts:
        units.setdefault(step, []).extend(range(receipt.chunks.start, receipt.chunks.stop))
        for each in receipt.records:
            chunks, digests = records.setdefault(each.path, ([], []))
            chunks.append(each.chunk)
            digests.append(each.digest)
    return {
        "job": job.kept.staging.name,
        "host": receipts[0][1].host,
        "identity": dict(receipts[0][1].identity),
        "rounded_by": max(receipt.rounded_by for _, receipt in receipts),
        "units": {step: format_ranges(sorted(chunks)) for step, chunks in units.items()},
        "records": records,
    }


def _records(store: Store, files: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Return entries for the ledger; of a chunk that was done to different bytes, of those that are there."""
    found: dict[tuple[str, int], int] = {}
    for path, columns in (part for file in files for part in file["records"].items()):
        for chunk, said in zip(*columns, strict=True):
            if found.setdefault((path, chunk), said) != said:
                found[path, chunk] = digest(store.at(chunk_key(path, chunk)).read_bytes())
    return [Record(path, chunk, said) for (path, chunk), said in found.items()]
