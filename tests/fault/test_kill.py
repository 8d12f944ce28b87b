"""The command as a user starts it, killed at random moments and run again: the same bytes, no unit twice."""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import EXAMPLE, Twopass
from faults import (
    Stage,
    assert_opens,
    assert_same,
    lock_file,
    recorded_units,
    stamps,
    wait_for,
    write_trajectories,
)
from twopass_store import open_results
from twopass_store.store import Store

XTC, TOP = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"
N_KILLS = 3

Stages = dict[str, tuple[Stage, Path | None, Path]]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, twopass_in: Twopass) -> Iterator[Stages]:
    """Stages with the store that each finds and leaves; 80,000 frames, and as many that are appended."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    files = [str(file) for file in write_trajectories(folder, XTC, TOP, files=4, frames=40_000)]
    clustering = "clustering-default"
    found: Stages = {}
    before = None
    for name, stage in {
        "ingest": Stage("ingest", (*files[:2], "--top", str(TOP), "--workers", "2"), "ingest"),
        "cluster": Stage("cluster", ("--subset-frames", "3000", "--n-clusters", "5"), clustering),
        "assign": Stage("assign", ("--margin",), clustering),
        "append": Stage("ingest", ("--append", *files[2:], "--workers", "2"), "ingest"),
    }.items():
        after = folder / f"after-{name}" / "run.zarr"
        after.parent.mkdir()
        if before is not None:
            shutil.copytree(before, after)
        twopass_in(stage.name, after, *stage.options, cwd=folder)
        found[name] = stage, before, after
        before = after
    yield found
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["ingest", "cluster", "assign", "append"])
def test_kill__resumes_with_the_same_bytes_and_never_does_a_unit_twice(
    name: str, stages: Stages, tmp_path: Path, twopass: Twopass
) -> None:
    rng = random.Random(name)
    stage, before, after = stages[name]
    store = tmp_path / "run.zarr"
    if before is not None:
        shutil.copytree(before, store)
    in_time = 0
    for number in range(N_KILLS):
        recorded = recorded_units(store) if name != "append" else {}
        process = stage.start(store, commit_seconds=0.0)
        wait_for(process, lambda: stage.works(process, store))  # noqa: B023
        time.sleep(0.05 if number == 0 else rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), err
        in_time += process.returncode != 0
        assert stamps(list(recorded)) == recorded, "a unit in the ledger was written again"
        if name == "append":
            assert_shows_what_was_there(store, before)
    assert in_time >= 1
    recorded = recorded_units(store) if name != "append" else {}
    twopass(stage.name, store, *stage.options)
    assert stamps(list(recorded)) == recorded, "a unit in the ledger was written again"
    assert_same(store, after)
    assert_opens(store)


def assert_shows_what_was_there(store: Path, before: Path | None) -> None:
    """Assert that frames and labels of before an append are as they were."""
    assert before is not None
    if Store.open(store).has("journal/growth"):
        return  # the one moment in which a reader is told to wait
    with open_results(store) as found, open_results(before) as old:
        assert found.sizes["frame"] in (80_000, 160_000)
        np.testing.assert_array_equal(found.source_frame[:80_000], old.source_frame)
        if found.sizes["frame"] == 80_000:
            np.testing.assert_array_equal(found.label, old.label)


def test_kill__in_the_last_instant_leaves_nothing_beside_the_store(
    stages: Stages, tmp_path: Path, twopass: Twopass
) -> None:
    """All is complete, but the lock was not given back: the next run has to do that."""
    stage, _, after = stages["assign"]
    store = tmp_path / "run.zarr"
    shutil.copytree(after, store)
    lock = lock_file(store, stage.lock)
    staging = lock.parent / "staging.1"
    staging.mkdir(parents=True)
    (staging / "half-written").write_bytes(bytes(10))
    lock.write_text(f'{{"host": "here", "pid": 1, "since": "just now", "staging": "{staging.name}"}}')
    twopass(stage.name, store, *stage.options)
    assert_same(store, after)
