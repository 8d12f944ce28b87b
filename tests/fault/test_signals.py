"""Ctrl-C, SIGTERM and SIGHUP as terminals, `timeout` and queues send them, and what a command then leaves."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import EXAMPLE, command
from faults import Stage, assert_alone, assert_same, lock_file, wait_for

XTC, TOP = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"
INGEST = Stage("ingest", (str(XTC), "--top", str(TOP)), ("position",), "ingest", "ingest", 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "run.zarr"
    INGEST.finish(store)
    return store


def started(store: Path, *, write_seconds: float) -> subprocess.Popen[str]:
    """An ingest whose every write takes so long, as it holds its lock."""
    process = INGEST.start(store, commit_seconds=0.0, write_seconds=write_seconds)
    assert wait_for(process, lambda: INGEST.works(process, store))
    return process


def assert_stopped_in_order(process: subprocess.Popen[str], store: Path) -> None:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, f"{out}\n{err}"
    assert "Traceback" not in err
    again = shlex.join(["ingest", str(store), *INGEST.options])
    assert err.rstrip().endswith(f"run the same command again to resume: -c {again}")
    if store.exists():
        assert_alone(store)


@pytest.mark.parametrize("numbers", [("TERM", "TERM"), ("HUP", "HUP"), ("INT", "TERM"), ("HUP", "TERM")])
def test_signals_at_one_stroke__are_one_request(
    numbers: tuple[str, str], whole: Path, tmp_path: Path
) -> None:
    """As `timeout` sends them, to the process and to its group, and shells and terminals that are closed."""
    store = tmp_path / "run.zarr"
    process = started(store, write_seconds=0.1)
    for number in numbers:
        process.send_signal(signal.Signals[f"SIG{number}"])
        time.sleep(0.02)
    assert_stopped_in_order(process, store)
    INGEST.finish(store)
    assert_same(store, whole)


def test_sigterm_after_sighup__ends_at_once_only_where_it_comes_later(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    process = started(store, write_seconds=1.0)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.4)
    assert_stopped_in_order(process, store)
    INGEST.finish(store)
    assert_same(store, whole)


def test_second_interrupt__ends_at_once_and_blocks_nobody(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    process = started(store, write_seconds=30.0)
    assert wait_for(process, store.is_dir)
    time.sleep(0.2)  # it writes the root's metadata now
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "it waits for what is being written"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, f"{out}\n{err}"
    assert err.rstrip().endswith("once more ends at once.")
    assert lock_file(store, "ingest").exists()
    INGEST.finish(store)
    assert_same(store, whole)


def test_hangup__is_ignored_under_nohup(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    process = subprocess.Popen(
        ["nohup", command(), "ingest", store, *INGEST.options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_for(process, lambda: INGEST.works(process, store))
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert_same(store, whole)


def test_interrupt_in_the_imports__shows_no_traceback(tmp_path: Path) -> None:
    for delay in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8):
        store = tmp_path / f"{delay}.zarr"
        process = INGEST.start(store)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        # Before a command stands guard, the signal itself ends the process.
        assert process.returncode in (0, 130, -signal.SIGINT), err
        # Python's own start can't be guarded.
        assert "Traceback" not in err or "site.py" in err
        assert not lock_file(store, "ingest").parent.exists()


@pytest.mark.parametrize("seconds", ["0.9", "1.3"])
def test_timeout__stops_a_command_and_its_workers_in_order(seconds: str, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    for copy in range(4):
        shutil.copy(XTC, tmp_path / f"{copy}.xtc")
    line = [command(), "ingest", str(store), str(tmp_path / "*.xtc"), "--top", str(TOP), "--workers", "2"]
    done = subprocess.run(["timeout", seconds, *line], stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 124)
    assert done.returncode == 0 or done.stderr.endswith(f"{shlex.join(['twopass', *line[1:]])}\n")
    assert not lock_file(store, "ingest").parent.exists()


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written__is_one_line(unbuffered: str, whole: Path) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [command(), "status", whole],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr == "Error: Cannot write the output: No space left on device.\n"


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_log_that_cannot_be_written__stops_no_run(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    with FULL.open("w") as full:
        done = subprocess.run(
            [command(), "ingest", store, *INGEST.options], stdout=subprocess.DEVNULL, stderr=full, check=False
        )
    assert done.returncode == 0
    assert_same(store, whole)


def test_closed_standard_streams__are_not_taken_by_files_of_the_store(whole: Path, tmp_path: Path) -> None:
    """C code prints on descriptor 1, whatever that is."""
    store = tmp_path / "run.zarr"
    program = (
        "import os; from twopass_store.journal import Disk; import twopass_cli.main as main\n"
        "write = Disk.write\n"
        "def printing(self, file, data):\n"
        "    write(self, file, data); os.write(1, b'said'); os.write(2, b'said')\n"
        "Disk.write = printing; main.app()"
    )
    line = shlex.join([sys.executable, "-c", program, "ingest", str(store), *INGEST.options])
    done = subprocess.run(["sh", "-c", f"exec {line} <&- >&- 2>&-"], check=False)
    assert done.returncode == 0
    assert_same(store, whole)
