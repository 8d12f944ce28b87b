"""Peak memory and CPU time of the first pass: distances of all pairs, linkage and cut, by the command itself.

Run as ``python tests/benchmarks/bench_linkage.py``; 20,000 frames take 2 GiB. Prints one JSON line a size:
peak memory of the process and its children (shared pages counted once), that of the largest of them, and what
four bytes a pair take. Atoms are few, so that linkage is what counts.
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
    parser.add_argument("--subset-frames", type=int, nargs="+", default=[10_000, 20_000])
    parser.add_argument("--atoms", type=int, default=10)
    parser.add_argument("--linkage", default="average")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        trajectory, store = Path(name) / "walk.xtc", Path(name) / "walk.zarr"
        write_random_walk(trajectory, n_frames=max(chosen.subset_frames), n_atoms=chosen.atoms)
        top = trajectory.with_suffix(".pdb")
        measure([TWOPASS, "ingest", store, trajectory, "--top", top, "--quiet"], threads=1)
        for n_frames in chosen.subset_frames:
            stride = max(chosen.subset_frames) // n_frames
            command = [
                *(TWOPASS, "cluster", store, "--name", f"of-{n_frames}", "--select", "all"),
                *("--stride", stride, "--linkage", chosen.linkage),
                *("--n-clusters", 50, "--workers", chosen.threads, "--quiet"),
            ]
            found = measure(command, threads=chosen.threads)
            n_pairs = n_frames * (n_frames - 1) // 2
            line = {"n_frames": n_frames, **found, "distances_mib": round(4 * n_pairs / 2**20)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
