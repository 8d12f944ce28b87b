"""CPU time and peak memory of exact gromos over all frames, by the command itself.

Run as ``python tests/benchmarks/bench_all_frames.py``. Prints one JSON line a size. The time grows with the
square of the frames; on free processors, wall time is CPU time by their number.
"""

import argparse
import json
import tempfile
from pathlib import Path

from bench_headline import TWOPASS, measure
from random_walk import write_random_walk


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--cutoff", default="2A")
    parser.add_argument("--memory", default="600MiB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        for n_frames in chosen.frames:
            trajectory, store = Path(name) / f"{n_frames}.xtc", Path(name) / f"{n_frames}.zarr"
            top = write_random_walk(trajectory, n_frames=n_frames, n_atoms=chosen.atoms)
            measure([TWOPASS, "ingest", store, trajectory, "--top", top, "--quiet"], threads=1)
            command = [
                *(TWOPASS, "cluster", store, "--method", "gromos", "--all-frames", "--quiet"),
                *("--select", "all", "--cutoff", chosen.cutoff),
                *("--memory", chosen.memory, "--workers", chosen.threads),
            ]
            found = measure(command, threads=chosen.threads)
            print(json.dumps({"n_frames": n_frames, "n_atoms": chosen.atoms, **found}), flush=True)


if __name__ == "__main__":
    main()
