"""Worker processes of an ingest: the same bytes for any number of them, in every format."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from conftest import EXAMPLE, Twopass, command
from faults import assert_same, wait_for, write_trajectories
from trajectory_files import WITH_TOPOLOGY, make_trajectory, write
from twopass_store import ingest_trajectories
from twopass_store.config import IngestConfig, list_inputs
from twopass_store.ingest.plan import plan_ingest
from twopass_store.store import Store

MEBIBYTE = 1 << 20
TOP = EXAMPLE / "alanine-dipeptide.pdb"


@pytest.mark.parametrize("extension", ["xtc", "dcd", "h5", "xyz"])
def test_two_workers__leave_the_same_bytes(extension: str, tmp_path: Path) -> None:
    trajectory = make_trajectory(200, n_residues=430)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    folder = tmp_path / "in"
    folder.mkdir()
    for number, (start, stop) in enumerate(pairwise([0, 90, 107, 200])):
        write(trajectory[start:stop], folder / f"{number}.{extension}")
    top = None if extension in WITH_TOPOLOGY else tmp_path / "top.pdb"
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        store = tmp_path / str(workers) / "s.zarr"
        assert (
            ingest_trajectories(store, f"{folder}/*", top=top, workers=workers, stride=2).n_frames_computed
            == 101
        )
    assert_same(tmp_path / "1" / "s.zarr", tmp_path / "2" / "s.zarr")
    assert Store.open(tmp_path / "2" / "s.zarr").shape("position") == (101, 3010, 3)


def test_killed_worker__is_told_in_one_line_and_the_next_run_goes_on(
    tmp_path: Path, twopass: Twopass
) -> None:
    files = write_trajectories(
        tmp_path / "in", EXAMPLE / "alanine-dipeptide.xtc", TOP, files=3, frames=40_000
    )
    store = tmp_path / "run" / "s.zarr"
    store.parent.mkdir()
    arguments = ["ingest", str(store), *map(str, files), "--top", str(TOP), "--workers", "2"]
    process = subprocess.Popen([command(), *arguments], stderr=subprocess.PIPE, text=True)
    driver = psutil.Process(process.pid)
    assert wait_for(process, lambda: any((store / "position").glob("c.*")))
    workers = driver.children()
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 13, said
    assert "was killed by signal 9" in said.splitlines()[-1] and ".xtc" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not any(worker.is_running() for worker in workers)
    twopass(*arguments)
    whole = tmp_path / "whole" / "s.zarr"
    whole.parent.mkdir()
    ingest_trajectories(whole, files, top=TOP, workers=1)
    assert_same(store, whole)


def test_interrupt__of_all_processes_says_how_to_resume_and_nothing_else(tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the workers too, and so does what a batch system sends."""
    files = write_trajectories(
        tmp_path / "in", EXAMPLE / "alanine-dipeptide.xtc", TOP, files=2, frames=40_000
    )
    store = tmp_path / "s.zarr"
    arguments = ["ingest", str(store), *map(str, files), "--top", str(TOP), "--workers", "2"]
    process = subprocess.Popen(
        [command(), *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert wait_for(process, lambda: any((store / "position").glob("c.*")))
    workers = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "run the same command again to resume" in said
    assert "Traceback" not in said
    assert len(workers) == 2
    assert not psutil.wait_procs(workers, timeout=20)[1]


def test_memory__bounds_all_processes_together(tmp_path: Path, twopass: Twopass) -> None:
    files = write_trajectories(
        tmp_path / "in", EXAMPLE / "alanine-dipeptide.xtc", TOP, files=3, frames=40_000
    )
    config = IngestConfig(trajectories=tuple(map(str, files)), top=str(TOP))
    shared, of_worker = plan_ingest(config, list_inputs(config)).memory
    figure = -(-(shared + 2 * of_worker) // MEBIBYTE)
    arguments = ["ingest", "s.zarr", *map(str, files), "--top", str(TOP), "--workers", "2", "--memory"]
    process = psutil.Popen([command(), *arguments, f"{figure}MiB"], cwd=tmp_path, stderr=subprocess.PIPE)
    peak, n_workers = 0, 0
    while process.poll() is None:
        with suppress(psutil.Error):
            workers = process.children()
            peak = max(peak, sum(each.memory_info().rss for each in (process, *workers)))
            n_workers = max(n_workers, len(workers))
        time.sleep(0.005)
    assert (process.wait(), n_workers) == (0, 2)
    assert peak <= figure * MEBIBYTE
    process.stderr.close()
    arguments[1] = "t.zarr"
    less = twopass(*arguments, f"{figure - 1}MiB")
    assert f"1 of 2 workers, as {figure - 1} MiB of memory have no room for more" in less.stderr


def test_script_without_a_main_guard__is_not_run_again_by_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "import twopass_store\n"
        f"twopass_store.ingest_trajectories('s.zarr', {str(EXAMPLE / 'alanine-dipeptide.xtc')!r}, "
        f"top={str(TOP)!r}, workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("once\n", "")
