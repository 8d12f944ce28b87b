"""What a driver takes for many frames: status, the summary, the table, verify, opening, and a plan.

Run as ``python tests/benchmarks/bench_driver.py --frames 10000000``. Makes one XTC file of three atoms and a
store of it, then runs each command once to warm up and once measured. Prints one JSON line a command: wall
and CPU time, in seconds, and the peak of the process.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench_headline import TWOPASS, measure
from random_walk import write_random_walk

OPEN = "import sys, twopass_store; twopass_store.open_results(sys.argv[1])"
TABLE = "import sys; from twopass_store.report import cluster_table; cluster_table(sys.argv[1])"


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, trajectory = Path(folder) / "run.zarr", Path(folder) / "walk.xtc"
        top = write_random_walk(trajectory, n_frames=chosen.frames, n_atoms=3)
        files = [trajectory, "--top", top]
        for command in (
            ["ingest", store, *files],
            ["cluster", store, "--subset-frames", 2_000, "--n-clusters", 20],
            ["assign", store],
        ):
            measure([TWOPASS, *command, "--quiet"], threads=chosen.threads)
        cases: dict[str, list[object]] = {
            "status": [TWOPASS, "status", store],
            "summary": [TWOPASS, "summary", store],
            "table": [sys.executable, "-c", TABLE, store],
            "verify": [TWOPASS, "verify", store],
            "open_results": [sys.executable, "-c", OPEN, store],
            "plan": [TWOPASS, "ingest", Path(folder) / "none.zarr", *files, "--plan", "--every", "100ps"],
        }
        for name, command in cases.items():
            measure(command, threads=chosen.threads)
            print(json.dumps({"case": name, **measure(command, threads=chosen.threads)}), flush=True)


if __name__ == "__main__":
    main()
