"""How many commands the fault tests kill, and what became of them."""

from collections import Counter

import pytest

from conftest import FEW_RUNS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "run_number" in metafunc.fixturenames:
        first, _, end = metafunc.config.getoption("--runs").rpartition(":")
        metafunc.parametrize("run_number", range(int(first or 0), int(end)), ids="run{}".format)


TALLIES = pytest.StashKey[dict[str, Counter[str]]]()


@pytest.fixture(scope="session")
def tallies(pytestconfig: pytest.Config) -> dict[str, Counter[str]]:
    """What was killed, and what became of it; shown at the end where runs are asked for."""
    return pytestconfig.stash.setdefault(TALLIES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tallies = config.stash.get(TALLIES, {})
    if tallies and config.getoption("--runs") != FEW_RUNS:
        terminalreporter.section("kills")
        for title, counts in tallies.items():
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
            terminalreporter.write_line(f"{title}: {listed}")
