"""The whole pipeline on a long trajectory: CPU time and peak memory of each stage, and of reading alone.

Run as ``python tests/benchmarks/bench_headline.py`` for one million frames of 300 atoms, 10,000 subset frames
and 100 leaders, or with ``--frames 10000`` for a look that takes seconds. Each stage is the command itself, a
process of its own; its CPU time is user and system time of all its processes, and its peak memory the largest
sum of what they hold (shared pages counted once). Prints one JSON line a stage and one for all together. The
stage ``iterload`` is a bare loop of mdtraj's over the same file, for comparison.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from random_walk import write_random_walk

TWOPASS = Path(sys.executable).with_name("twopass")
SAMPLE_SECONDS = 0.05

ITERLOAD = """
import sys
import mdtraj as md
for block in md.iterload(sys.argv[1], top=sys.argv[2], chunk=1000):
    pass
"""


def measure(command: list[object], *, threads: int) -> dict[str, float]:
    """Run a command to its end.

    Returns
    -------
    ``cpu_seconds``, ``wall_seconds``, ``peak_mib`` of all its processes together, and ``largest_mib``, the
    maximum resident size of the largest one, or 0 if this process has been larger.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(names, str(threads))}
    # A process begins with the maximum of the one that started it.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, env=env)
    peak = 0
    ended = 0
    while not ended:
        time.sleep(SAMPLE_SECONDS)
        peak = max(peak, _tree_bytes(process.pid))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    largest = usage.ru_maxrss if usage.ru_maxrss > inherited else 0
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_seconds": round(wall, 2),
        "peak_mib": round(max(peak, largest << 10) / 2**20),
        "largest_mib": round(largest / 2**10),
    }


def _tree_bytes(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # it has just ended
        pass
    return total


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--atoms", type=int, default=300)
    parser.add_argument("--subset-frames", type=int, default=10_000)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ingest", nargs="*", default=[], help="further options of ingest, without the --")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    parser.add_argument("--trajectory", type=Path, help="made by random_walk.py before")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        trajectory, top = chosen.trajectory, None
        if trajectory is None:
            trajectory = folder / "walk.xtc"
            write_random_walk(trajectory, n_frames=chosen.frames, n_atoms=chosen.atoms)
        top = trajectory.with_suffix(".pdb")
        store = folder / "walk.zarr"
        stages: dict[str, list[object]] = {
            "iterload": [sys.executable, "-c", ITERLOAD, trajectory, top],
            "ingest": [TWOPASS, "ingest", store, trajectory, "--top", top, *_options(chosen.ingest)],
            "cluster": [
                *(TWOPASS, "cluster", store, "--subset-frames", chosen.subset_frames),
                *("--n-clusters", chosen.clusters, "--leader-method", "medoid"),
                *("--workers", chosen.threads),
            ],
            "assign": [TWOPASS, "assign", store, "--workers", chosen.threads],
        }
        total = 0.0
        peak = 0.0
        for stage, command in stages.items():
            load = os.getloadavg()[0]
            found = measure(command, threads=chosen.threads if stage != "iterload" else 1)
            print(json.dumps({"stage": stage, **found, "load_before": round(load, 2)}), flush=True)
            if stage != "iterload":
                total += found["cpu_seconds"]
                peak = max(peak, found["peak_mib"])
        sizes = {"xtc_mib": _mebibytes(trajectory), "store_mib": _mebibytes(store)}
        print(json.dumps({"stage": "all", "cpu_seconds": round(total, 2), "peak_mib": peak, **sizes}))


def _options(words: list[str]) -> list[str]:
    """``codec=fast`` as ``--codec fast``."""
    return [part for word in words for part in (f"--{word.partition('=')[0]}", word.partition("=")[2])]


def _mebibytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 2**20)


if __name__ == "__main__":
    main()
