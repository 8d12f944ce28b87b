"""Runs that are killed or interrupted at random moments, and resumed: the same bytes, nothing done twice."""

import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import EXAMPLE
from faults import (
    Finished,
    Moment,
    Stage,
    Standing,
    assert_opens,
    assert_same,
    assign_stage,
    cluster_stage,
    copied,
    ingest_stage,
    lock_file,
    run_uninterrupted,
    some_moment,
    stamps,
    standing,
    stop,
    unit_of,
    write_trajectories,
)

TOP = EXAMPLE / "alanine-dipeptide.pdb"
LEDGER_SECONDS = 2.0
"""Between two writes of the ledger by a run as a user starts it."""

SLACK_SECONDS = 3.0
"""For a unit and a ledger that are being written when the kill comes, on busy disks and processors."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """360,000 frames (44 units), 10.1 million pairs (10), 6 units of labels."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    files = write_trajectories(
        folder / "input", EXAMPLE / "alanine-dipeptide.xtc", TOP, files=9, frames=40_000
    )
    yield run_uninterrupted(
        folder,
        ingest_stage(files, TOP),
        cluster_stage(workers=1, subset_frames=4_500, n_clusters=5),
        assign_stage(workers=1),
    )
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def long_finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """Stages that work for several batches of the ledger each: 1.4 million frames, 72 million pairs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    files = write_trajectories(
        folder / "input", EXAMPLE / "alanine-dipeptide.xtc", TOP, files=9, frames=40_000
    )
    for copy in range(1, 4):
        for path in files[:9]:
            files.append(path.with_name(f"copy{copy}-{path.name}"))
            files[-1].hardlink_to(path)
    yield run_uninterrupted(
        folder,
        ingest_stage(files, TOP),
        cluster_stage(workers=1, subset_frames=12_000, n_clusters=200, select="all"),
        assign_stage(workers=1),
    )
    shutil.rmtree(folder)


def stage_of(finished: Finished, name: str, workers: int) -> Stage:
    """The stage of the uninterrupted run, with that many workers."""
    stage = finished[name]
    options = list(stage.options)
    options[options.index("--workers") + 1] = str(workers)
    # A worker of ingest writes two chunks, and one more waits for them.
    in_flight = 3 * workers if name == "ingest" else workers
    return Stage(name, tuple(options), stage.units, stage.journal, stage.lock, in_flight)


def kill_and_resume(
    finished: Finished,
    stage: Stage,
    folder: Path,
    rng: random.Random,
    *,
    kills: int,
    commit_seconds: float | None,
) -> tuple[int, int]:
    """Kill a stage several times over, resume it; returns how many kills came in time and found units done.

    The first kill falls soon after the first batch of units is in the ledger.
    """
    store = copied(finished, stage, folder)
    in_time = with_units = 0
    said = None
    before = standing(stage, store)
    for number in range(kills):
        moment = some_moment(stage, rng, seconds=1.5 * finished.seconds[stage.name] / kills)
        if number == 0:
            moment = Moment(new_units=1, delay=rng.uniform(0, finished.seconds[stage.name] / 10))
        process = stage.start(store, commit_seconds=commit_seconds)
        stopped, said_by_it = stop(stage, process, store, moment, signal.SIGKILL)
        killed_ns = time.time_ns()
        left = standing(stage, store)
        assert stamps(list(before.recorded)) == before.recorded, "a unit in the ledger was written again"
        if not stopped:
            said = said_by_it
            break
        lock = lock_file(store, stage.lock)
        if number == 0 and left.n_items_recorded < left.n_items:
            # It is dead, and its lock still stands: the next run takes it over.
            assert json.loads(lock.read_text())["pid"] == process.pid
        in_time += 1
        with_units += left.n_recorded > 0
        if (store / "zarr.json").exists():
            assert_opens(store)
        assert_at_most_a_batch(stage, left, before, killed_ns, commit_seconds)
        before = left

    said = said or stage.finish(store)
    if 0 < before.n_items_recorded < before.n_items:
        assert f"{before.n_items_recorded:,} of {before.n_items:,}" in said
    assert stamps(list(before.recorded)) == before.recorded, "a unit in the ledger was written again"
    assert_same(store, finished.after[stage.name])
    assert_opens(store)
    shutil.rmtree(folder)
    return in_time, with_units


def assert_at_most_a_batch(
    stage: Stage, left: Standing, before: Standing, killed_ns: int, commit_seconds: float | None
) -> None:
    """Assert that what the kill undid is one batch: what was written since the ledger, or along with it."""
    undone = {
        file: written_ns
        for file, (inode, written_ns) in left.unrecorded.items()
        if before.unrecorded.get(file) != (inode, written_ns)
    }
    along = {unit_of(file) for file, written_ns in undone.items() if written_ns < left.committed_ns}
    assert len(along) <= stage.in_flight
    since = [written_ns for written_ns in undone.values() if written_ns >= left.committed_ns]
    seconds = LEDGER_SECONDS if commit_seconds is None else commit_seconds
    assert killed_ns - min(since, default=killed_ns) <= (seconds + SLACK_SECONDS) * 1e9
    if commit_seconds == 0:
        assert len({unit_of(file) for file in undone}) <= stage.in_flight


@pytest.mark.parametrize(("name", "workers"), [("ingest", 1), ("ingest", 2), ("cluster", 2), ("assign", 2)])
def test_kill__resumes_with_the_same_bytes_and_never_does_a_unit_twice(
    finished: Finished, name: str, workers: int, tmp_path: Path
) -> None:
    rng = random.Random(f"short {name}")
    stage = stage_of(finished, name, workers)
    in_time, with_units = kill_and_resume(
        finished, stage, tmp_path / "store", rng, kills=3, commit_seconds=0.0
    )
    assert in_time >= 1
    assert with_units >= 1


def test_kill__in_the_last_instant_leaves_nothing_beside_the_store(
    finished: Finished, tmp_path: Path
) -> None:
    """All is complete, but the lock was not given back: the next run has to do that."""
    stage = finished["assign"]
    store = tmp_path / "store" / "run.zarr"
    shutil.copytree(finished.after["assign"], store)
    lock = lock_file(store, stage.lock)
    staging = lock.parent / "staging.1"
    staging.mkdir(parents=True)
    (staging / "half-written").write_bytes(bytes(10))
    lock.write_text(json.dumps({"host": "here", "pid": 1, "since": "just now", "staging": staging.name}))
    stage.finish(store)
    assert_same(store, finished.after["assign"])
    shutil.rmtree(store.parent)


@pytest.mark.slow
@pytest.mark.parametrize("commit_seconds", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "workers"),
    [("ingest", 1), ("ingest", 2), ("cluster", 1), ("cluster", 2), ("assign", 1), ("assign", 2)],
)
def test_kill__at_many_random_moments(
    finished: Finished, name: str, workers: int, commit_seconds: float, tmp_path: Path
) -> None:
    rng = random.Random(f"{name} {workers} {commit_seconds}")
    stage = stage_of(finished, name, workers)
    in_time = with_units = 0
    for _ in range(6):
        if in_time >= 6:
            break
        came, found = kill_and_resume(
            finished, stage, tmp_path / "store", rng, kills=5, commit_seconds=commit_seconds
        )
        in_time += came
        with_units += found
    assert in_time >= 6
    assert with_units >= 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", ["ingest", "cluster", "assign"])
def test_kill__loses_two_seconds_of_a_run_as_users_start_it(
    long_finished: Finished, name: str, workers: int, tmp_path: Path
) -> None:
    rng = random.Random(f"long {name} {workers}")
    stage = stage_of(long_finished, name, workers)
    in_time = with_units = 0
    for _ in range(3):
        if in_time >= 3:
            break
        came, found = kill_and_resume(
            long_finished, stage, tmp_path / "store", rng, kills=4, commit_seconds=None
        )
        in_time += came
        with_units += found
    assert in_time >= 3
    assert with_units >= 1
