"""Ctrl-C, SIGTERM and SIGHUP end a command at once; output that can't be written."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import EXAMPLE, Twopass, command
from faults import Stage, assert_same, wait_for

XTC, TOP = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"
INGEST = Stage("ingest", (str(XTC), "--top", str(TOP)), "ingest")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, twopass_in: Twopass) -> Path:
    store = tmp_path_factory.mktemp("whole") / "run.zarr"
    twopass_in("ingest", store, *INGEST.options, cwd=store.parent)
    return store


@pytest.mark.parametrize("numbers", [("INT",), ("TERM", "TERM"), ("HUP", "TERM")])
def test_signal__ends_a_run_at_once_that_the_same_command_resumes(
    numbers: tuple[str, ...], whole: Path, tmp_path: Path, twopass: Twopass
) -> None:
    """One or several, as `timeout` sends them to the process and to its group, and a closed terminal does."""
    store = tmp_path / "run.zarr"
    process = INGEST.start(store, commit_seconds=0.0, write_seconds=30.0)
    assert wait_for(process, lambda: INGEST.works(process, store))
    began = time.monotonic()
    for number in numbers:
        process.send_signal(signal.Signals[f"SIG{number}"])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, f"{out}\n{err}"
    assert time.monotonic() - began < 5
    again = shlex.join(["ingest", str(store), *INGEST.options])
    assert err.splitlines()[-1] == f"Interrupted; run the same command again to resume: -c {again}"
    assert "Traceback" not in err
    twopass("ingest", store, *INGEST.options)
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
