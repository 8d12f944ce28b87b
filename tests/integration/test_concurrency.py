"""Commands at the same time on one store: the second is told who writes, or both do what each does alone."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
import pytest

from conftest import EXAMPLE, Twopass, command
from faults import assert_opens
from twopass_store import (
    adopt_leaders,
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    recut_clustering,
    relocate_trajectories,
    scan_cuts,
)
from twopass_store.errors import StageIncompleteError, StoreLockedError
from twopass_store.journal import Disk, Writer, locks
from twopass_store.pipeline import run_pipeline
from twopass_store.store import stage as run_stage

TOP = EXAMPLE / "alanine-dipeptide.pdb"
ALL = "everything"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with trajectories and a store: one clustering is assigned, two wait for it."""
    folder = tmp_path_factory.mktemp("prepared")
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=TOP)
    (folder / "md").mkdir()
    (folder / "moved").mkdir()
    frames[:400].save_xtc(folder / "md" / "1.xtc")
    frames[400:500].save_xtc(folder / "md" / "2.xtc")
    frames[0].save_pdb(folder / "state.pdb")
    shutil.copy(folder / "md" / "1.xtc", folder / "moved" / "1.xtc")
    path = folder / "s.zarr"
    ingest_trajectories(path, [folder / "md" / "1.xtc"], top=TOP)
    cluster_subset(path, stride=4, n_clusters=3, workers=1)
    assign_frames(path, workers=1)
    cluster_subset(path, stride=4, n_clusters=5, name="a", workers=1)
    cluster_subset(path, stride=5, n_clusters=3, name="b", workers=1)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared / "s.zarr", tmp_path / "s.zarr")
    for name in ("md", "moved", "state.pdb"):
        (tmp_path / name).symlink_to(prepared / name)
    return tmp_path


Command = Callable[[Path], object]

# What each command writes to, beside the store itself: two that share something exclude each other.
COMMANDS: dict[str, tuple[set[str], Command]] = {
    "ingest": (
        {ALL},
        lambda p: ingest_trajectories(p / "s.zarr", [p / "md/1.xtc"], top=TOP, stride=2, restart=True),
    ),
    "append": ({ALL}, lambda p: ingest_trajectories(p / "s.zarr", [p / "md/2.xtc"], append=True)),
    "relocate": ({ALL}, lambda p: relocate_trajectories(p / "s.zarr", (p / "md").resolve(), p / "moved")),
    "cluster": (
        {"subset 4", "new"},
        lambda p: cluster_subset(p / "s.zarr", stride=4, n_clusters=6, name="new", workers=1),
    ),
    "cluster of another subset": (
        {"subset 8", "newer"},
        lambda p: cluster_subset(p / "s.zarr", stride=8, n_clusters=6, name="newer", workers=1),
    ),
    "restart": (
        {"subset 4", "a"},
        lambda p: cluster_subset(p / "s.zarr", stride=4, n_clusters=4, name="a", restart=True, workers=1),
    ),
    "recut": (
        {"subset 5", "fine"},
        lambda p: recut_clustering(p / "s.zarr", name="b", new_name="fine", n_clusters=9, workers=1),
    ),
    "scan": ({"subset 4"}, lambda p: scan_cuts(p / "s.zarr", n_clusters="2:5", stride=4, workers=1)),
    "assign": ({"a"}, lambda p: assign_frames(p / "s.zarr", name="a", workers=1)),
    "assign another": ({"b"}, lambda p: assign_frames(p / "s.zarr", name="b", workers=1, margin=True)),
    "assign to structures": (
        {"outside"},
        lambda p: adopt_leaders(p / "s.zarr", p / "state.pdb", name="outside"),
    ),
}


def excludes(first: str, second: str) -> bool:
    mine, theirs = COMMANDS[first][0], COMMANDS[second][0]
    return ALL in mine | theirs or bool(mine & theirs)


@contextmanager
def paused_in_its_first_write(act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold something that writes at its first write while the block runs, and let it finish after that."""
    begun, go_on = threading.Event(), threading.Event()

    class Paused(Disk):
        def write(self, *arguments: Any) -> None:
            if not begun.is_set():
                begun.set()
                assert go_on.wait(60)
            super().write(*arguments)

    errors: list[BaseException] = []

    def work() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)
            begun.set()

    monkeypatch.setattr(Writer, "disk", Paused())
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)  # it isn't given back before the block ends
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        go_on.set()
        thread.join()
    assert not errors


QUICK = ("append", "cluster", "assign")


@pytest.mark.parametrize(
    "first", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_second_command__is_told_who_writes_or_works(
    folder: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "s.zarr"
    with paused_in_its_first_write(lambda: COMMANDS[first][1](folder), monkeypatch):
        for second, (_, act) in COMMANDS.items():
            if not excludes(first, second):
                act(folder)
                continue
            with pytest.raises(StoreLockedError, match=rf"is held by process {os.getpid()} on \S+ since 2"):
                act(folder)
    assert not (folder / "s.zarr.lock").exists()
    assert_opens(path)
    for second, (_, act) in COMMANDS.items():
        if second not in ("ingest", "append", "relocate") and first != "ingest":
            act(folder)  # what was refused before, or nothing
    assert not (folder / "s.zarr.lock").exists()


@contextmanager
def just_before_its_lock(
    module: Any, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Do something at the moment when a stage has made its plan, and hasn't its lock yet."""
    hold, done = module.hold, []

    def later(*arguments: Any, **options: Any) -> Any:
        if not done:
            done.append(True)
            act()
        return hold(*arguments, **options)

    monkeypatch.setattr(module, "hold", later)
    yield
    assert done


@pytest.mark.parametrize("between", ["append", "restart"])
def test_assign__refuses_what_came_between_its_plan_and_its_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    path = folder / "s.zarr"
    with (
        just_before_its_lock(run_stage, lambda: COMMANDS[between][1](folder), monkeypatch),
        pytest.raises(StageIncompleteError, match="changed by another command"),
    ):
        assign_frames(path, name="a", workers=1)
    assign_frames(path, name="a", workers=1)
    assert_opens(path)
    with open_results(path, "a") as results:
        labels = results.leader_label.values[results.leader_index.values]
        assert results.sizes["leader"] == len(results.leader_label)
        np.testing.assert_array_equal(results.label, np.where(results.label_status == 1, labels, -1))


@pytest.mark.parametrize("name", ["cluster", "recut", "scan", "assign to structures"])
@pytest.mark.parametrize("between", ["append", pytest.param("ingest", marks=pytest.mark.slow)])
def test_first_pass__refuses_frames_that_came_between_its_plan_and_its_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, between: str
) -> None:
    with just_before_its_lock(run_stage, lambda: COMMANDS[between][1](folder), monkeypatch):
        if name == "assign to structures" or (name, between) == ("recut", "append"):
            # Its atoms, or its frames, are the same.
            COMMANDS[name][1](folder)
        else:
            with pytest.raises(StageIncompleteError, match=r"changed by another|no finished clustering"):
                COMMANDS[name][1](folder)
    assert not (folder / "s.zarr.lock").exists()
    if between == "append" or name != "recut":
        COMMANDS[name][1](folder)
    assert_opens(folder / "s.zarr")


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [command(), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err and "Unexpected" not in err
    return process.returncode, err


def test_new_store__is_made_by_one_of_those_that_begin_at_the_same_time(folder: Path) -> None:
    """Each wins, is told who does, or finds all done; the store is whole and of one of them."""
    files = {"1.xtc": 400, "2.xtc": 100}
    processes = [
        (name, start(folder, "ingest", "new.zarr", f"md/{name}", "--top", TOP)) for name in (*files, *files)
    ]
    codes = [(name, *finish(process)) for name, process in processes]
    won = {name for name, code, _ in codes if code == 0}
    assert len(won) == 1
    for _, code, err in codes:
        assert code in (0, 6, 7)
        assert code != 6 or "is held by process" in err
    import zarr

    assert zarr.open_array(folder / "new.zarr/position").shape[0] == files[won.pop()]
    assert_opens(folder / "new.zarr")
    assert not (folder / "new.zarr.lock").exists()


def test_lock_of_a_dead_process_of_another_host__is_taken_over(folder: Path, twopass: Twopass) -> None:
    """As of a job that was killed with its node, and requeued on another one."""
    lock = folder / "s.zarr.lock"
    leave_lock(lock)
    twopass("assign", "s.zarr", "--name", "a", cwd=folder)
    assert not lock.exists()


def leave_lock(lock: Path) -> None:
    (lock / "staging.1").mkdir(parents=True)
    record = {"host": "node7", "pid": 41, "since": "2026-01-02 03:04:05 UTC", "staging": "staging.1"}
    (lock / "ingest.json").write_text(json.dumps(record))


def test_break_lock__takes_a_lock_where_the_file_system_has_none_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (folder / "run.toml").write_text(f"""store = "r.zarr"
[ingest]
trajectories = ["md/2.xtc"]
top = "{TOP}"
[cluster]
n_clusters = 2
stride = 2
""")
    lock = folder / "r.zarr.lock"
    leave_lock(lock)
    held = "ingest is held by process 41 on node7 since 2026-01-02 03:04:05 UTC.*--break-lock"
    with pytest.raises(StoreLockedError, match=held):
        run_pipeline(folder / "run.toml")
    run_pipeline(folder / "run.toml", break_lock=True)
    assert not lock.exists()
