"""What all tests share: the command as a user runs it, the example's files, deterministic hypothesis."""

import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from forked import Forked
from strangers import make_finished

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

EXAMPLE = Path(__file__).parents[1] / "twopass_store" / "data"
SHARED = Path(__file__).parents[2] / "shared" / "data"

Twopass = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--runs",
        default="18",
        help="Commands that tests/fault kills at a step and resumes: how many, or FIRST:END.",
    )
    group.addoption("--seed", default="0", help="What the steps are drawn with.")


@pytest.fixture(scope="session", autouse=True)
def kept_readers() -> Iterator[None]:
    """Ingests of this process leave their reader to the next: one takes half a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("twopass_store.trajectory", "twopass_store.trajectory.reader"):
            patch.setattr(f"{module}.end_readers", lambda: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_syncs() -> Iterator[None]:
    """Nobody cuts this machine's power: writes needn't wait for its disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def example_xtc() -> Path:
    """4,000 frames of alanine dipeptide, 22 atoms, 0.05 ps apart."""
    return EXAMPLE / "alanine-dipeptide.xtc"


@pytest.fixture
def example_top() -> Path:
    return EXAMPLE / "alanine-dipeptide.pdb"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all stages done, beside its source files; to be copied before it is changed."""
    xtc, top = (EXAMPLE / f"alanine-dipeptide.{extension}" for extension in ("xtc", "pdb"))
    return make_finished(tmp_path_factory.mktemp("finished"), xtc, top)


def shared_file(name: str) -> Path:
    """A file of the shared test data; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is test data that doesn't come with the project")
    return path


@pytest.fixture
def ala2_h5() -> Path:
    return shared_file("ala2.h5")


def command() -> str:
    """The installed command of the environment that runs the tests."""
    return str(Path(sys.executable).with_name("twopass"))


@pytest.fixture
def unprivileged() -> list[str]:
    """What a command is begun with so that permissions hold for it, also where root runs the tests."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read and write everywhere, and there is no setpriv to take that away")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked | None]:
    if sys.platform != "linux":  # elsewhere libraries of the system may not survive a fork
        yield None
        return
    with Forked() as forked:
        yield forked


@pytest.fixture(scope="session")
def twopass_in(forked: Forked | None) -> Twopass:
    """Runs ``twopass`` in a folder, `cwd`, as the fixture `twopass` does: for fixtures of a module."""

    def run(
        *arguments: object, cwd: Path, code: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if forked is None:
            return _started(*arguments, cwd=cwd, code=code, **options)
        return _checked(forked.command(*arguments, cwd=cwd, **options), code)

    return run


@pytest.fixture
def twopass(tmp_path: Path, twopass_in: Twopass) -> Twopass:
    """Runs ``twopass`` with arguments, in the test's folder; `code` is the exit code expected.

    The process is forked with all imports done where the system can do that.
    """
    return partial(twopass_in, cwd=tmp_path)


@pytest.fixture
def on_a_terminal(tmp_path: Path, forked: Forked | None) -> Callable[..., str]:
    """Runs ``twopass`` with arguments; returns what it shows on a terminal, stdout and stderr together."""

    def run(*arguments: object, columns: int = 80) -> str:
        if forked is None:
            pytest.skip("the system may not survive a fork")
        ours, theirs = pty.openpty()
        shown = []

        def read() -> None:
            with suppress(OSError):  # where the other end was closed
                while part := os.read(ours, 65536):
                    shown.append(part)

        reading = threading.Thread(target=read)
        reading.start()
        env = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
        forked.command(*arguments, cwd=tmp_path, env=env, terminal=os.ttyname(theirs))
        os.close(theirs)
        reading.join()
        os.close(ours)
        return b"".join(shown).decode().replace("\r\n", "\n")

    return run


@pytest.fixture
def started_twopass(tmp_path: Path) -> Twopass:
    """Runs ``twopass`` likewise, in a process that is started anew as a user's is."""
    return partial(_started, cwd=tmp_path)


def _started(
    *arguments: object, cwd: Path, code: int | None = 0, prefix: Sequence[str] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [*prefix, command(), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=cwd,
        **options,
    )
    return _checked(result, code)


def _checked(result: subprocess.CompletedProcess[str], code: int | None) -> subprocess.CompletedProcess[str]:
    assert code in (None, result.returncode), f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result
