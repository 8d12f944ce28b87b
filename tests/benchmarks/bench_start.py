"""CPU time until something happens: help, the status of a small store, the kernels' first call.

Run as ``python tests/benchmarks/bench_start.py``. Each is a process of its own, with all that it imports, and
is run once before it is measured: machine code and bytecode are cached then. Prints one JSON line a case:
medians of user and system time and of elapsed time, in seconds.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench_headline import TWOPASS, measure

KERNELS = """
import numpy as np
from twopass_store.rmsd import PairwiseRmsd, nearest_leaders, prepare_leaders
xyz = np.random.default_rng(0).normal(size=(100, 22, 3)).astype(np.float32)
for n_leaders in (16, 64):
    nearest_leaders(xyz, prepare_leaders(xyz[:n_leaders]))
PairwiseRmsd(xyz).pairs(0, 4950)
"""


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "small.zarr"
        example = ["example:alanine-dipeptide.xtc", "--top", "example:alanine-dipeptide.pdb"]
        measure([TWOPASS, "ingest", store, *example, "--quiet"], threads=1)
        measure([TWOPASS, "cluster", store, "--n-clusters", 4, "--quiet"], threads=1)
        cases: dict[str, list[object]] = {
            "help": [TWOPASS, "--help"],
            "status": [TWOPASS, "status", store],
            "kernels": [sys.executable, "-c", KERNELS],
        }
        for name, command in cases.items():
            measure(command, threads=1)
            found = [measure(command, threads=1) for _ in range(chosen.repeats)]
            keys = "cpu_seconds", "wall_seconds"
            medians = {key: round(statistics.median(one[key] for one in found), 2) for key in keys}
            print(json.dumps({"case": name, **medians}), flush=True)


if __name__ == "__main__":
    main()
