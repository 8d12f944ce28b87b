"""How much faster two workers are than one, as threads, as processes of a job array, and with Dask.

Run as ``python tests/benchmarks/bench_workers.py`` on two free processors. Makes a store of frames of 300
atoms with a clustering of 1,000 leaders, and does the labels of its frames and the distances of a larger
subset by one worker and by two, in turns. Prints one JSON line a case: the medians of the wall times, in
seconds, and the efficiency, the first over twice the second. They are those of whole processes; with Dask,
of the whole ``twopass assign``, while its workers have started before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from random_walk import write_random_walk

BIN = Path(sys.executable).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=262_144)
    parser.add_argument("--atoms", type=int, default=300)
    parser.add_argument("--leaders", type=int, default=1_000)
    parser.add_argument("--subset-frames", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, times = Path(name), {}
        store = folder / "walk.zarr"
        top = write_random_walk(folder / "walk.xtc", n_frames=chosen.frames, n_atoms=chosen.atoms)
        _run("ingest", store, folder / "walk.xtc", "--top", top)
        _run(
            "cluster",
            store,
            "--subset-frames",
            4_096,
            "--n-clusters",
            chosen.leaders,
            "--leader-method",
            "medoid",
        )
        stages: dict[str, list[object]] = {
            "assign": ["--restart"],
            "cluster": ["--name", "other", "--subset-frames", chosen.subset_frames],
        }
        for _ in range(chosen.repeats):
            for stage, options in stages.items():
                for n_workers in (1, 2):
                    times.setdefault((stage, "threads", n_workers), []).append(
                        _of_job(store, stage, options, [["--workers", n_workers]])
                    )
                    parts = [["--workers", 1, "--part", f"{k + 1}/{n_workers}"] for k in range(n_workers)]
                    times.setdefault((stage, "parts", n_workers), []).append(
                        _of_job(store, stage, options, parts)
                    )
            for n_workers in (1, 2):
                with _dask(folder / "scheduler.json", n_workers) as scheduler:
                    seconds = _run("assign", store, "--restart", "--scheduler", scheduler)
                times.setdefault(("assign", "dask", n_workers), []).append(seconds)
        for stage, kind, _ in filter(lambda case: case[2] == 1, times):
            one, two = (median(times[stage, kind, n_workers]) for n_workers in (1, 2))
            found = {"one": round(one, 2), "two": round(two, 2), "efficiency": round(one / two / 2, 3)}
            print(json.dumps({"stage": stage, "workers": kind, **found}))


def _of_job(store: Path, stage: str, options: list[object], parts: list[list[object]]) -> float:
    """Plan a job, time its parts, which run at once, and remove what they did."""
    _run("plan", store, stage, *options)
    start = time.perf_counter()
    processes = [_start("work", store, stage, *part) for part in parts]
    if any(process.wait() for process in processes):
        raise RuntimeError(f"a part of {stage} has failed")
    seconds = time.perf_counter() - start
    _run("commit", store, stage)
    if stage == "cluster":
        _run("remove", store, "--unused")
    return seconds


def _run(*command: object) -> float:
    start = time.perf_counter()
    if _start(*command).wait():
        raise RuntimeError(f"{command} has failed")
    return time.perf_counter() - start


def _start(*command: object) -> "subprocess.Popen[bytes]":
    words = [str(BIN / "twopass"), *map(str, command)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENV)


_ENV = {**os.environ, **ONE_THREAD}


@contextmanager
def _dask(file: Path, n_workers: int) -> Iterator[Path]:
    """Start a scheduler and workers of one thread each; yields the file that names it."""
    dask = [str(BIN / "dask")]
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    workers = ["--nworkers", str(n_workers), "--nthreads", "1", "--local-directory", str(file.parent)]
    processes = [
        subprocess.Popen([*dask, *command, *options], stderr=subprocess.DEVNULL, env=_ENV)
        for command in (["scheduler", "--port", "0"], ["worker", *workers])
    ]
    try:
        time.sleep(10)
        yield file
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
        file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
