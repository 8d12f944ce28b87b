"""Power cuts in every stage: all that a disk may have lost by then, and the same bytes after a resume.

The exhaustive form goes on from each state that a crash may leave, to all that a crash of the resume may
leave, until there is nothing new: any number of power cuts in a row. See `power` for what a disk may lose.
"""

import importlib
import random
from pathlib import Path

import pytest

from actions import NAMES
from power import (
    Killed,
    LossError,
    PowerDisk,
    Run,
    State,
    explore,
    leave_lock,
    materialise,
    on_disk,
    state_of,
)
from small_run import shrunk, small_runs
from twopass_store.executors import ThreadExecutor
from twopass_store.journal import Disk, Writer
from twopass_store.store import Store

STAGES = (*NAMES[:9], "rename")

# Of xarray, where a power cut came between a folder and its metadata.
pytestmark = pytest.mark.filterwarnings("ignore:Object at .* is not recognized")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch, shrunk(patch):
        yield small_runs(tmp_path_factory.mktemp("small"))


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several, each order in which they can finish chunks makes states of its own."""
    unit = importlib.import_module("twopass_store.ingest.unit")
    monkeypatch.setattr(unit, "ThreadExecutor", lambda *_, **options: ThreadExecutor(1, **options))


@pytest.mark.parametrize("stage", STAGES)
def test_power_cuts__are_resumed_to_the_same_bytes(runs: dict[str, Run], stage: str, tmp_path: Path) -> None:
    explored = explore(runs[stage], tmp_path, rng=random.Random(stage), limit=2)
    assert explored.n_steps > 100
    assert explored.n_left > 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("stage", STAGES)
def test_all_power_cuts__are_resumed_to_the_same_bytes(
    runs: dict[str, Run], stage: str, tmp_path: Path, one_thread: None
) -> None:
    # Where the burst of an append is cut and begun anew again and again, there are thousands: some are drawn.
    limit = 1000 if stage == "append" else None
    explored = explore(runs[stage], tmp_path, rng=random.Random(stage), limit=limit)
    assert explored.n_left == 0 or limit
    print(f"{stage}: {explored.n_states} states, {explored.n_left} left, from {explored.n_steps} steps")


@pytest.mark.parametrize("stage", ["append"])
def test_kill_and_then_a_power_cut__lose_nothing(runs: dict[str, Run], stage: str, tmp_path: Path) -> None:
    rng = random.Random(stage)
    plain = runs[stage].take_up(runs[stage].before, tmp_path / "plain", rng)
    for at in rng.sample(range(1, plain.n_steps), 2):
        states = after_kill(runs[stage], at, tmp_path / str(at))
        new = [state for state in states if state not in plain.states]
        for number, crashed in enumerate(rng.sample(new, min(1, len(new)))):
            runs[stage].take_up(crashed, tmp_path / f"{at}-{number}", rng)


def after_kill(run: Run, at: int, folder: Path) -> list[State]:
    """Kill a run before a step, take it up, and return the states in which a power cut may leave it then."""
    store = folder / "s.zarr"
    materialise(run.before, folder)
    disk = PowerDisk(store)
    with on_disk(disk):
        disk.killed_at = at
        with pytest.raises(Killed):
            run.run(store)
        # Its own lock it gave back, as exceptions do.
        leave_lock(store, run.lock)
        disk.killed_at, disk.states = None, {}
        run.run(store)
    assert state_of(folder) == run.after
    Disk().remove_tree(folder)
    return list(disk.states)


def is_caught(run: Run, good: PowerDisk, bad: PowerDisk, folder: Path) -> bool:
    """Take a run up in the states that only a careless writer leaves; tells whether one of them is a loss."""
    careless = [state for state in bad.states if state not in good.states]
    for number, crashed in enumerate(reversed(careless)):  # the longer ago, the more hangs on it
        try:
            run.take_up(crashed, folder / str(number), random.Random(number))
        except LossError:
            return True
    return False


class Forgetful(PowerDisk):
    """Leaves out some syncs, counted from 0."""

    def __init__(self, store: Path, kind: str, numbers: range) -> None:
        super().__init__(store)
        self.n_syncs = 0
        self.kind, self.numbers = kind, numbers

    def sync(self, file):
        if not self._forgets("file"):
            super().sync(file)

    def sync_folder(self, path):
        if not self._forgets("folder"):
            super().sync_folder(path)

    def _forgets(self, kind: str) -> bool:
        if kind != self.kind:
            return False
        self.n_syncs += 1
        return self.n_syncs - 1 in self.numbers


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_forgotten_sync__is_caught(runs, kind, tmp_path):
    assign, rng = runs["assign"], random.Random(kind)
    good = assign.take_up(assign.before, tmp_path / "good", rng)
    for number in rng.sample(range(45), 1):
        bad = assign.take_up(
            assign.before,
            tmp_path / f"bad{number}",
            rng,
            lambda store, number=number: Forgetful(store, kind, range(number, number + 4)),
        )
        assert is_caught(assign, good, bad, tmp_path / str(number))


def test_ledger_before_the_data__is_caught(runs, tmp_path, monkeypatch):
    assign = runs["assign"]
    good = assign.take_up(assign.before, tmp_path / "good", random.Random(1))
    write, ledger = Writer.write, Store.write_ledger
    late = []

    def write_late(self, path, data):
        # The data of a label's chunk, some other time.
        if path.parent.name == "label" and path.name.startswith("c."):
            late.append((self, path, data))
        else:
            write(self, path, data)

    def write_ledger(self, stage, entries):
        ledger(self, stage, entries)
        while late:
            write(*late.pop())

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", write_late)
        patch.setattr(Store, "write_ledger", write_ledger)
        bad = assign.take_up(assign.before, tmp_path / "bad", random.Random(1))
    assert is_caught(assign, good, bad, tmp_path)
