"""How many commands the fault tests kill, and what became of them."""

from collections import Counter
from typing import Any

import pytest

from conftest import FEW_RUNS
from kills import MOST


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "run_number" in metafunc.fixturenames:
        first, _, end = metafunc.config.getoption("--runs").rpartition(":")
        metafunc.parametrize("run_number", range(int(first or 0), int(end)), ids="run{}".format)


TALLIES = pytest.StashKey[dict[str, Counter[str]]]()


@pytest.fixture(scope="session")
def tallies(pytestconfig: pytest.Config) -> dict[str, Counter[str]]:
    """What was killed, and what became of it; shown at the end where runs are asked for."""
    return pytestconfig.stash.setdefault(TALLIES, {})


def pytest_sessionfinish(session: pytest.Session) -> None:
    # In a process of several, which shows nothing itself.
    if hasattr(session.config, "workeroutput"):
        tallies = session.config.stash.get(TALLIES, {})
        session.config.workeroutput["tallies"] = {title: dict(each) for title, each in tallies.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    tallies = node.config.stash.setdefault(TALLIES, {})
    for title, counts in getattr(node, "workeroutput", {}).get("tallies", {}).items():
        present = tallies.setdefault(title, Counter())
        most = max(present[MOST], counts.get(MOST, 0))
        present.update(counts)
        if most:
            present[MOST] = most


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tallies = config.stash.get(TALLIES, {})
    if tallies and config.getoption("--runs") != FEW_RUNS:
        terminalreporter.section("kills")
        for title, counts in tallies.items():
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
            terminalreporter.write_line(f"{title}: {listed}")
