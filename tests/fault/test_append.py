"""Appends that end at any write, or are killed: the same bytes after a resume, old results until then."""

import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from conftest import EXAMPLE, command
from faults import Stage, assert_same, lock_file, wait_for, write_trajectories
from trajectory_files import make_trajectory
from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results
from twopass_store.journal import Writer
from twopass_store.store import Store

TOP = EXAMPLE / "alanine-dipeptide.pdb"


class _Cut(BaseException):
    """The end of a run: nothing is written after it."""


def test_append__that_ends_at_any_write_is_finished_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A reader takes half a second to start; each of the many appends here would start its own.
    monkeypatch.setattr("twopass_store.trajectory.end_readers", lambda: None)
    trajectory = make_trajectory(300)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    grown, more = tmp_path / "a.xtc", tmp_path / "b.xtc"
    trajectory[:100].save(str(grown))
    before = tmp_path / "before" / "s.zarr"
    before.parent.mkdir()
    ingest_trajectories(before, grown, top=tmp_path / "top.pdb")
    for name in ("default", "other"):
        cluster_subset(before, name=name, select="all", n_clusters=2, workers=1)
    assign_frames(before, name="default", workers=1, margin=True)
    trajectory[:250].save(str(grown))
    trajectory[250:].save(str(more))

    n_writes = limit = 0
    write, remove = Writer.write, Writer.remove

    def counted(method):
        def limited(self, *arguments):
            nonlocal n_writes
            n_writes += 1
            if limit and n_writes >= limit:
                raise _Cut
            method(self, *arguments)

        return limited

    def append(store: Path) -> None:
        ingest_trajectories(store, [grown, more], append=True, workers=1)

    reference = tmp_path / "reference" / "s.zarr"
    shutil.copytree(before, reference)
    monkeypatch.setattr(Writer, "write", counted(write))
    monkeypatch.setattr(Writer, "remove", counted(remove))
    append(reference)
    total = n_writes
    assert total > 40
    old = open_results(before, "default").load()

    for at in range(1, total + 1, 2):
        store = tmp_path / "cut" / "s.zarr"
        shutil.copytree(before, store)
        n_writes, limit = 0, at
        with pytest.raises(_Cut):
            append(store)
        # A second cut, now in what mends the first.
        n_writes, limit = 0, 1 + at // 2
        with suppress(_Cut):
            append(store)
        limit = 0
        if not Store.open(store).has("journal/growth"):
            found = open_results(store, "default").load()
            for name in ("position", "source_frame"):
                np.testing.assert_array_equal(found[name][:100], old[name])
            if found.sizes["frame"] == 100:
                assert found.sizes["trajectory_file"] == 1
                np.testing.assert_array_equal(found["label"], old["label"])
        append(store)
        assert_same(store, reference)
        shutil.rmtree(store.parent)


def test_killed_append__shows_what_was_there_and_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    rng = random.Random("append")
    example = EXAMPLE / "alanine-dipeptide.xtc"
    files = write_trajectories(tmp_path / "in", example, TOP, files=6, frames=40_000)
    before = tmp_path / "before" / "run.zarr"
    before.parent.mkdir()
    ingest_trajectories(before, files[:2], top=TOP)
    cluster_subset(before, n_clusters=5, subset_frames=500, workers=1)
    assign_frames(before)
    old = open_results(before)[["label", "source_frame"]].load()
    options = ("--append", *map(str, files[2:]), "--workers", "2")
    stage = Stage("ingest", options, ("position",), "ingest", "ingest", in_flight=4)

    reference = tmp_path / "reference" / "run.zarr"
    shutil.copytree(before, reference)
    began = time.monotonic()
    stage.finish(reference)
    seconds = time.monotonic() - began
    in_time = 0
    for _ in range(3):
        store = tmp_path / "killed" / "run.zarr"
        shutil.copytree(before, store)
        process = stage.start(store, commit_seconds=0.0)
        wait_for(process, lambda: stage.works(process, store))  # noqa: B023
        time.sleep(rng.uniform(0, 0.8 * seconds))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if process.returncode == -signal.SIGKILL:
            in_time += 1
            assert lock_file(store, "ingest").exists()
            if not Store.open(store).has("journal/growth"):
                found = open_results(store)
                n_frames = found.sizes["frame"]
                assert n_frames in (80_000, 240_000)
                np.testing.assert_array_equal(found.source_frame[:80_000], old.source_frame)
                if n_frames == 80_000:
                    np.testing.assert_array_equal(found.label, old.label)
        stage.finish(store)
        assert_same(store, reference)
        shutil.rmtree(store.parent)
    assert in_time >= 1
    subprocess.run([command(), "assign", reference, "-q"], check=True, capture_output=True)
    np.testing.assert_array_equal(open_results(reference).label[:80_000], old.label)
