"""Commands killed exactly before, within or after a step of the commit protocol, and resumed.

``pytest tests/fault/test_kill_steps.py --runs 1000`` kills so many. What a run draws depends on its number
and on ``--seed`` alone, so that one of them can be repeated: ``--runs 17:18`` is the 18th.
"""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import recorded_units, stamps
from kills import SCENARIOS, Bench, Ended, Moment, Reference, Scenario, differences, opened_bench
from twopass_store.store import Store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "run_number" in metafunc.fixturenames:
        first, _, end = metafunc.config.getoption("--runs").rpartition(":")
        metafunc.parametrize("run_number", range(int(first or 0), int(end)), ids="run{}".format)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # A kill leaves to the system what it was given, so that a disk in memory does, and is fast.
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30
    parent = memory if has_room else tmp_path_factory.mktemp("kills")
    with (
        tempfile.TemporaryDirectory(dir=parent, prefix="twopass-kills-") as folder,
        opened_bench(Path(folder)) as found,
    ):
        yield found


@pytest.fixture
def folder(bench: Bench) -> Iterator[Path]:
    """Where a command runs; not there yet."""
    yield bench.root / "case"
    shutil.rmtree(bench.root / "case", ignore_errors=True)


def test_kill_at_a_step__resumes_to_the_same_bytes_and_does_no_recorded_unit_twice(
    bench: Bench, folder: Path, run_number: int, pytestconfig: pytest.Config
) -> None:
    seed = pytestconfig.getoption("--seed")
    rng = random.Random(f"{seed} {run_number}")
    scenario = SCENARIOS[run_number % len(SCENARIOS)]
    workers = rng.choice(scenario.workers) if scenario.workers else None
    said: list[str] = []
    try:
        ended = kill_until_done(bench, scenario, workers, folder, rng, said)
        if not scenario.begins_anew:
            assert_done_twice_at_most_a_batch(ended, scenario.in_flight * (workers or 2))
    except AssertionError as error:
        raise AssertionError(
            f"{error}\nrun {run_number} of seed {seed}: {scenario.name}, {workers} workers; "
            f"{'; '.join(said)}. Repeat it with --runs {run_number}:{run_number + 1} --seed {seed}"
        ) from error


@pytest.mark.parametrize("name", ["scan", "recut"])
def test_kill_after_the_last_step__leaves_a_lock_that_the_same_command_removes(
    bench: Bench, folder: Path, name: str
) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    reference = bench.reference(scenario, 1)
    bench.copy(scenario, folder)
    words = bench.words(scenario.arguments, 1)
    assert bench.run(folder, words, kill_at=len(reference.moments)).was_killed
    assert differences(folder, reference.folder)
    assert not bench.run(folder, words).was_killed
    assert differences(folder, reference.folder) == []


def kill_until_done(
    bench: Bench, scenario: Scenario, workers: int | None, folder: Path, rng: random.Random, said: list[str]
) -> list[Ended]:
    """Kill a command, and what resumes it, up to three times; then let it end, and look at what it made."""
    reference = bench.reference(scenario, workers)
    bench.copy(scenario, folder)
    store = folder / "run.zarr"
    n_kills = 1 + sum(rng.random() < 0.5 for _ in range(2))
    commit_seconds = rng.choice((0.0, 0.0, 0.2))
    settled: dict[Path, tuple[int, int]] = {}
    ended: list[Ended] = []
    while not ended or ended[-1].was_killed:
        kill_at, kill_after = (None, None)
        if len(ended) < n_kills:
            kill_at, kill_after = drawn(reference, rng, first=not ended)
        words = bench.words(scenario.arguments, workers)
        ended.append(
            bench.run(folder, words, kill_at=kill_at, kill_after=kill_after, commit_seconds=commit_seconds)
        )
        said.append(f"kill at {kill_at}, after {kill_after} s: ended at {ended[-1].moments[-1:]}")
        for file, stamp in settled.items():
            # A ledger speaks of what is damaged until that is discarded.
            if scenario.name != "repair" or stamps([file]):
                assert stamps([file]) == {file: stamp}, f"{file} was in the ledger and was written again"
        if not scenario.begins_anew:
            settled = finished_files(store, reference.folder / "run.zarr")
    assert differences(folder, reference.folder) == []
    return ended


def drawn(reference: Reference, rng: random.Random, *, first: bool) -> tuple[int | None, float | None]:
    """Draw a moment: of any kind with the same chance, or any one, or a time."""
    if rng.random() < 0.15:
        return None, rng.uniform(0.01, 1.2 * reference.seconds)
    if rng.random() < 0.6:
        kinds: dict[Moment, list[int]] = {}
        for index, (step, phase, path) in enumerate(reference.moments):
            kinds.setdefault((step, phase, kind_of(Path(path))), []).append(index)
        index = rng.choice(kinds[rng.choice(sorted(kinds))])
    else:
        index = rng.randrange(len(reference.moments))
    if not first and rng.random() < 0.7:
        # What is resumed has less to do.
        index = int(index * rng.random())
    return 1 + index, None


def kind_of(path: Path) -> str:
    """Tell what a file or folder is for."""
    kinds = ("growth", "ledger", "journal", "run.zarr.lock", "run.zarr")
    kind = next((kind for kind in kinds if kind in path.parts), "export")
    return f"{kind} chunk" if path.name.startswith("c.") else kind


def finished_files(store: Path, reference: Path) -> dict[Path, tuple[int, int]]:
    """List the files of units in the ledgers of stages that aren't going to be begun anew."""
    if not (store / "zarr.json").exists() or (store / "journal/growth/zarr.json").exists():
        return {}
    opened, expected = Store.open(store), Store.open(reference)
    stages = []
    for name in opened.members("journal"):
        journal, last = opened.journal(name), expected.journal(name)
        if journal is not None and last is not None and journal.plan.fingerprint == last.plan.fingerprint:
            stages.append(name)
    return recorded_units(store, stages)


def assert_done_twice_at_most_a_batch(ended: list[Ended], in_flight: int) -> None:
    """Assert that units done before a kill and again after it are of one batch of the ledger."""
    for number, killed in enumerate(ended[:-1]):
        before = killed.units()
        after = {unit for later in ended[number + 1 :] for unit in later.units() if not is_ledger(unit)}
        twice = {unit for unit in before if unit in after}
        last = max((at for at, unit in enumerate(before) if is_ledger(unit)), default=-1)
        since = sum(not is_ledger(unit) for unit in before[last + 1 :])
        assert len(twice) <= since + in_flight, f"{twice} were done twice, {since} since the ledger"


def is_ledger(unit: str) -> bool:
    return "/ledger/" in unit
