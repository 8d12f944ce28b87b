"""Wall time, CPU and memory of an ingest, against mdtraj reading the same file.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_ingest.py --frames 400000

Writes an XTC file of 300 atoms, piece by piece, and one of a tenth of its frames. Prints one JSON line for
the bare `md.iterload`, and one for each ingest with its ratios to it. Every run is a process of its own, so
imports count; CPU is that of all its processes, and so is the peak memory (proportional set size, sampled).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import mdtraj as md
import numpy as np
import psutil

COMMAND = str(Path(sys.executable).with_name("twopass"))
BARE = (
    "import sys, mdtraj as md\n"
    "print(sum(block.n_frames for block in md.iterload(sys.argv[1], top=sys.argv[2], chunk=1000)))"
)
PIECE = 1000


@dataclass(frozen=True)
class Run:
    """One finished process, with its children."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def write_trajectory(folder: Path, n_frames: int, n_atoms: int) -> tuple[Path, Path]:
    """Write a chain that fluctuates by 0.05 nm about a random walk; returns the XTC file and its topology."""
    rng = np.random.default_rng(5)
    topology = md.Topology()
    chain = topology.add_chain("A")
    for number in range(n_atoms):
        residue = topology.add_residue("ALA", chain, resSeq=number + 1)
        topology.add_atom("CA", md.element.carbon, residue)
    start = 5 + np.cumsum(rng.normal(scale=0.1, size=(n_atoms, 3)), axis=0)
    top, path = folder / "top.pdb", folder / f"{n_frames}.xtc"
    md.Trajectory(start[None].astype(np.float32), topology).save(str(top))
    with md.formats.XTCTrajectoryFile(str(path), "w") as file:
        for first in range(0, n_frames, PIECE):
            size = min(PIECE, n_frames - first)
            noise = rng.normal(scale=0.05, size=(size, n_atoms, 3))
            file.write(
                (start + noise).astype(np.float32), time=np.arange(first, first + size, dtype=np.float32)
            )
    return path, top


def measure(*command: object) -> Run:
    """Run a command."""
    began = time.monotonic()
    process = psutil.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, memory_of(process))
        time.sleep(0.02)
    assert status == 0, command
    return Run(time.monotonic() - began, usage.ru_utime + usage.ru_stime, peak / (1 << 20))


def memory_of(process: psutil.Process) -> int:
    """Return the proportional set size of a process and its children, bytes."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:
        pass  # one of them has just ended
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=400_000)
    parser.add_argument("--atoms", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        path, top = write_trajectory(folder, asked.frames, asked.atoms)
        tenth, _ = write_trajectory(folder, asked.frames // 10, asked.atoms)
        variants = {"default": (), "1 worker": ("--workers", 1), "2 workers": ("--workers", 2)}

        def ingest(file: Path, options: tuple[object, ...]) -> Run:
            store = folder / "run.zarr"
            run = measure(COMMAND, "ingest", store, file, "--top", top, *options)
            shutil.rmtree(store)
            return run

        bare: list[Run] = []
        runs: dict[str, list[Run]] = {variant: [] for variant in variants}
        for _ in range(asked.repeats):  # side by side, so that they share what else goes on
            bare.append(measure(sys.executable, "-c", BARE, path, top))
            for variant, options in variants.items():
                runs[variant].append(ingest(path, options))
        base = middle(bare)
        sizes = {"frames": asked.frames, "atoms": asked.atoms, "load": os.getloadavg()[0]}
        print(json.dumps({"run": "md.iterload", **sizes, **asdict(base)}))
        one = middle(runs["1 worker"])
        for variant, options in variants.items():
            run = middle(runs[variant])
            ratios = {
                "wall_ratio": run.wall_s / base.wall_s,
                "cpu_ratio": run.cpu_s / base.cpu_s,
                "wall_ratio_to_1_worker": run.wall_s / one.wall_s,
                "peak_mib_at_a_tenth": ingest(tenth, options).peak_mib,
            }
            line = {"run": f"ingest, {variant}", **sizes, **asdict(run), **ratios}
            print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in line.items()}))


def middle(runs: list[Run]) -> Run:
    """Return the medians."""
    return Run(*(median(getattr(run, name) for run in runs) for name in ("wall_s", "cpu_s", "peak_mib")))


if __name__ == "__main__":
    main()
