"""CPU time of ``twopass assign`` as a whole beside second passes written with mdtraj, one thread a side.

Run as ``python tests/benchmarks/bench_assign.py --atoms 22 100 300``. Every side is a process of its own, its
start and imports included: ours reads the store, theirs the XTC file that the store was made from, and both
compare each frame with the same leaders. ``chunk=1`` is the loop of MDTraj's worked example, one frame at a
time against all leaders; it runs on the first frames only and its time is scaled up. ``chunk=1000`` reads a
thousand frames at a time and calls ``md.rmsd`` once for each leader, coordinates centred once. Prints one
JSON line a case: medians of user and system time in seconds, and ratios of the medians. Labels are compared
too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from random_walk import write_random_walk

import twopass_store

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
TWOPASS = Path(sys.executable).with_name("twopass")

# Arguments: trajectory, topology, frames of it that lead, frames to label, output.
THEIRS = {
    "chunk=1": """
import sys
import mdtraj as md, numpy as np
trajectory, top, leaders, n_frames, output = sys.argv[1:]
frames = [int(frame) for frame in leaders.split(",")]
leaders = md.join([md.load_frame(trajectory, frame, top=top) for frame in frames])
labels = []
for frame in md.iterload(trajectory, top=top, chunk=1):
    labels.append(np.argmin(md.rmsd(leaders, frame, 0, parallel=False)))
    if len(labels) == int(n_frames):
        break
np.save(output, np.array(labels))
""",
    "chunk=1000": """
import sys
import mdtraj as md, numpy as np
trajectory, top, leaders, n_frames, output = sys.argv[1:]
frames = [int(frame) for frame in leaders.split(",")]
leaders = md.join([md.load_frame(trajectory, frame, top=top) for frame in frames])
leaders.center_coordinates()
labels = []
for block in md.iterload(trajectory, top=top, chunk=1000):
    block.center_coordinates()
    rmsd = [md.rmsd(block, leaders, k, precentered=True, parallel=False) for k in range(len(frames))]
    labels.extend(np.argmin(rmsd, axis=0))
    if len(labels) >= int(n_frames):
        break
np.save(output, np.array(labels))
""",
}


def cpu_seconds(command: list[object]) -> float:
    """User and system time of a process and its children."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ONE_THREAD
    )
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(message.decode())
    return usage.ru_utime + usage.ru_stime


def bench(folder: Path, n_atoms: int, n_leaders: int, n_frames: int, repeats: int) -> dict[str, object]:
    """One size; the sides take turns."""
    trajectory = folder / f"walk-{n_atoms}.xtc"
    top = write_random_walk(trajectory, n_frames=n_frames, n_atoms=n_atoms)
    store = folder / f"walk-{n_atoms}.zarr"
    cpu_seconds([TWOPASS, "ingest", store, trajectory, "--top", top])
    choice = ["--n-clusters", n_leaders, "--subset-frames", 2000, "--workers", 1, "--restart"]
    results = {}
    times: dict[str, list[float]] = {"twopass": [], **{name: [] for name in THEIRS}}
    for turn in range(repeats + 1):
        # A clustering made anew has no labels, so that assign starts from nothing each time.
        subprocess.run(["rm", "-rf", store / "clusterings", *store.glob("journal/*-default")], check=True)
        cpu_seconds([TWOPASS, "cluster", store, *choice])
        ours = cpu_seconds([TWOPASS, "assign", store, "--workers", 1])
        if turn == 0:
            continue  # numba may have compiled
        times["twopass"].append(ours)
        found = twopass_store.open_results(store)
        leaders = ",".join(str(frame) for frame in found.leader_frame.values)
        for name, program in THEIRS.items():
            some = min(n_frames, 10_000) if name == "chunk=1" else n_frames
            output = folder / "labels.npy"
            command = [sys.executable, "-c", program, trajectory, top, leaders]
            start = cpu_seconds([*command, 1, output])
            whole = cpu_seconds([*command, some, output])
            times[name].append(start + (whole - start) * n_frames / some)
            theirs = np.load(output)[:some]
            results[name] = int((found.leader_index.values[:some] != theirs).sum())
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "n_atoms": n_atoms,
        "n_leaders": n_leaders,
        "n_frames": n_frames,
        "cpu_seconds": {name: round(value, 2) for name, value in medians.items()},
        "times_faster": {name: round(medians[name] / medians["twopass"], 1) for name in THEIRS},
        "labels_that_differ": results,
    }


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, nargs="+", default=[22, 100, 300])
    parser.add_argument("--leaders", type=int, default=16)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for n_atoms in chosen.atoms:
            found = bench(Path(folder), n_atoms, chosen.leaders, chosen.frames, chosen.repeats)
            print(json.dumps({"case": "assign", **found}), flush=True)


if __name__ == "__main__":
    main()
