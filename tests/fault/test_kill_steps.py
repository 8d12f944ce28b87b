"""Commands killed exactly before, within or after a step of the commit protocol, and resumed.

``pytest tests/fault/test_kill_steps.py --runs 1000`` kills so many. What a run draws depends on its number
and on ``--seed`` alone, so that one of them can be repeated: ``--runs 17:18`` is the 18th.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from faults import stamps
from kills import (
    MOST,
    SCENARIOS,
    UNITS,
    Bench,
    Ended,
    Reference,
    Scenario,
    differences,
    opened_bench,
    was_killed,
)
from twopass_store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # A kill leaves to the system what it was given, so that a disk in memory does, and is fast.
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30:
        with (
            tempfile.TemporaryDirectory(dir=memory, prefix="twopass-kills-") as folder,
            opened_bench(Path(folder)) as found,
        ):
            yield found
    else:
        with opened_bench(tmp_path_factory.mktemp("kills")) as found:
            yield found


@pytest.fixture
def folder(bench: Bench) -> Iterator[Path]:
    """Where a command runs; not there yet."""
    yield bench.root / "case"
    shutil.rmtree(bench.root / "case", ignore_errors=True)


@dataclass
class Case:
    """One command that is killed, perhaps again when it is resumed, until it is done.

    Attributes
    ----------
    scenario, workers
        The command.
    as_installed
        Whether the command itself is started each time.
    ended
        How it ended each time.
    said
        What was to be done to it, for whoever repeats it.
    """

    scenario: Scenario
    workers: int | None
    as_installed: bool
    commit_seconds: float
    ended: list[Ended] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def kills(self) -> list[Ended]:
        return self.ended[:-1]

    @property
    def in_flight(self) -> int:
        """Units that are under way at any moment, at most."""
        # A worker of ingest writes two, and one more waits for them.
        return (3 if self.scenario.stage in ("ingest", "run") else 1) * (self.workers or 2)


def test_kill_at_a_step__resumes_to_the_same_bytes_and_does_no_recorded_unit_twice(
    bench: Bench, folder: Path, run_number: int, pytestconfig: pytest.Config, tallies: dict[str, Counter[str]]
) -> None:
    seed = pytestconfig.getoption("--seed")
    rng = random.Random(f"{seed} {run_number}")
    scenario = SCENARIOS[run_number % len(SCENARIOS)]
    # Each worker of ingest takes a second to start.
    workers = rng.choice((1, *scenario.workers)) if scenario.workers else None
    case = Case(
        scenario, workers, as_installed=rng.random() < 0.03, commit_seconds=rng.choice((0.0, 0.0, 0.2))
    )
    try:
        kill_until_done(bench, case, folder, rng)
        twice = units_done_twice(case)
    except AssertionError as error:
        raise AssertionError(
            f"{error}\nrun {run_number} of seed {seed}: {scenario.name}, {workers} workers, ledgers every "
            f"{case.commit_seconds} s{', as installed' * case.as_installed}; {'; '.join(case.said)}. "
            f"Repeat it with --runs {run_number}:{run_number + 1} --seed {seed}"
        ) from error
    _tally(case, twice, tallies)


@pytest.mark.parametrize("name", ["scan", "recut"])
def test_kill_after_the_last_step__leaves_a_lock_that_the_same_command_removes(
    bench: Bench, folder: Path, name: str
) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    reference = bench.reference(scenario, 1)
    bench.copy(scenario, folder)
    words = bench.words(scenario.arguments, 1)
    assert was_killed(bench.run(folder, words, kill=("driver", len(reference.moments["driver"]))))
    assert differences(folder, reference.folder)
    assert not was_killed(bench.run(folder, words))
    assert differences(folder, reference.folder) == []


def kill_until_done(bench: Bench, case: Case, folder: Path, rng: random.Random) -> None:
    """Kill a command, and what resumes it, up to three times; then let it end, and look at what it made."""
    reference = bench.reference(case.scenario, case.workers)
    bench.copy(case.scenario, folder)
    store = folder / "run.zarr"
    n_kills = 1 + sum(rng.random() < 0.5 for _ in range(2))
    settled: dict[Path, tuple[int, int]] = {}
    while not case.ended or was_killed(case.ended[-1]):
        kill, delay = (None, None)
        if len(case.ended) < n_kills:
            kill, delay = drawn(reference, rng, first=not case.ended, slow=case.as_installed)
        ended = bench.run(
            folder,
            bench.words(case.scenario.arguments, case.workers),
            kill=kill,
            delay=delay,
            commit_seconds=case.commit_seconds,
            as_installed=case.as_installed,
        )
        case.ended.append(ended)
        planned = "let run" if kill is None and delay is None else f"kill {kill}, after {delay} s"
        case.said.append(f"{planned}: ended with {ended.code} at {ended.killed_at}")
        for file, stamp in settled.items():
            # A ledger speaks of what is damaged until that is discarded.
            if case.scenario.name == "repair" and file not in stamps([file]):
                continue
            assert stamps([file]) == {file: stamp}, f"{file} was in the ledger and was written again"
        settled = finished_files(store, reference.folder / "run.zarr")
    assert differences(folder, reference.folder) == []


def drawn(
    reference: Reference, rng: random.Random, *, first: bool, slow: bool
) -> tuple[tuple[str, int] | None, float | None]:
    """Draw a moment: of any kind with the same chance, or any one, or a time."""
    if rng.random() < 0.15:
        return None, rng.uniform(0, 1.2 * reference.seconds) + (rng.uniform(0.3, 1.5) if slow else 0.0)
    roles = {role: 3 if role == "driver" else 1 for role in sorted(reference.moments)}
    role = rng.choices(list(roles), list(roles.values()))[0]
    moments = reference.moments[role]
    if rng.random() < 0.6:
        kinds: dict[tuple[str, ...], list[int]] = {}
        for index, moment in enumerate(moments):
            kinds.setdefault(moment[:3], []).append(index)
        index = rng.choice(kinds[rng.choice(sorted(kinds))])
    else:
        index = rng.randrange(len(moments))
    if not first and rng.random() < 0.7:
        # What is resumed has less to do.
        index = int(index * rng.random())
    return (role, 1 + index), None


def finished_files(store: Path, reference: Path) -> dict[Path, tuple[int, int]]:
    """List the files of units in the ledgers of stages that aren't going to be begun anew."""
    if not (store / "zarr.json").exists() or (store / "journal/growth/zarr.json").exists():
        return {}
    opened, expected = Store.open(store), Store.open(reference)
    files: list[Path] = []
    for name in opened.members("journal"):
        journal, last = opened.journal(name), expected.journal(name)
        if journal is None or last is None or journal.plan.fingerprint != last.plan.fingerprint:
            continue
        for product in journal.plan.products:
            array = product.path.rpartition("/")[2]
            if array not in UNITS_OF_LEDGERS or not (store / product.path / "zarr.json").exists():
                continue
            if array == "position" and opened.packing() != expected.packing():
                continue  # about to be exchanged
            rest = ".0.0" if array == "position" else ""
            done = np.flatnonzero(journal.done(product.path))
            files += [store / product.path / f"c.{chunk}{rest}" for chunk in done]
    return stamps(files)


UNITS_OF_LEDGERS = (*UNITS, "label_status", "leader_index", "rmsd_to_leader", "rmsd_to_second")


def units_done_twice(case: Case) -> list[int]:
    """Count for each kill the units that were done before it and again after it, at most one batch."""
    counts = []
    for number, ended in enumerate(case.kills):
        before = ended.units()
        after = {unit for later in case.ended[number + 1 :] for unit in later.units() if not _is_ledger(unit)}
        twice = {unit for unit in before if unit in after}
        last = max((at for at, unit in enumerate(before) if _is_ledger(unit)), default=-1)
        since = sum(not _is_ledger(unit) for unit in before[last + 1 :])
        assert len(twice) <= since + case.in_flight, f"{twice} were done twice, {since} since the ledger"
        counts.append(len(twice))
    return counts


def _is_ledger(unit: str) -> bool:
    return "/ledger/" in unit


def _tally(case: Case, twice: list[int], tallies: dict[str, Counter[str]]) -> None:
    def count(title: str, name: str, number: int = 1) -> None:
        tallies.setdefault(title, Counter())[name] += number

    count("runs", "all")
    count("runs", "killed at least once", bool(case.kills))
    count("runs", "killed again when resumed", len(case.kills) > 1)
    count("runs", "of the command as installed", case.as_installed)
    count("units done twice", "all", sum(twice))
    most = tallies["units done twice"]
    most[MOST] = max(most[MOST], *twice, 0)
    for ended in case.kills:
        count("kills by command", case.scenario.name)
        count("kills by workers", f"{case.workers or 'as the command has it'}")
        if ended.killed_at is None:
            count("kills by step", "at a random time")
            continue
        role, what, step, phase, _ = ended.killed_at
        count("kills by process", role)
        count("kills by purpose", what)
        count("kills by step", f"{phase} {step.partition(' of ')[0]}")
