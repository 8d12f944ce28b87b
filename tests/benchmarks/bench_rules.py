"""How near the second pass comes to the method over all frames, by rule.

Run as ``python tests/benchmarks/bench_rules.py md.xtc md.pdb --select "name CA" --cutoffs 2A``. Prints for
each cutoff, leader method and rule the leaders and the adjusted Rand index of all labels with those of the
method with every frame in its first pass.
"""

import argparse
from itertools import product

import mdtraj as md
import numpy as np

from twopass_store import TwoPassClustering
from twopass_store.linkage import adjusted_rand

LEADERS = {"gromos": ("centres", "faithful", "medoid"), "linkage": ("faithful", "medoid")}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trajectory")
    parser.add_argument("topology")
    parser.add_argument("--select", default="element != H")
    parser.add_argument("--frames", type=int, default=12_000)
    parser.add_argument("--stride", type=int, default=10)
    parser.add_argument("--cutoffs", nargs="+", default=["2A"])
    asked = parser.parse_args()
    loaded = md.load(asked.trajectory, top=asked.topology)
    chosen = np.unique(np.linspace(0, loaded.n_frames - 1, asked.frames).astype(int))
    xyz = loaded.xyz[chosen][:, loaded.topology.select(asked.select)]
    for method, cutoff in product(LEADERS, asked.cutoffs):
        exact = TwoPassClustering(method=method, cutoff=cutoff, stride=1, keep_subset_labels=True).fit(xyz)
        print(f"{method} {cutoff}: {exact.labels_.max()} clusters of {len(xyz)} frames", flush=True)
        for leaders, rule, kept in product(LEADERS[method], ("first-within", "nearest"), (False, True)):
            found = TwoPassClustering(
                method=method,
                cutoff=cutoff,
                stride=asked.stride,
                leader_method=leaders,
                rule=rule,
                keep_subset_labels=kept,
            ).fit(xyz)
            rand = adjusted_rand(found.labels_, exact.labels_)
            words = f"{leaders} {rule}{' kept' if kept else ''}"
            n_clusters = found.subset_labels_.max()
            print(
                f"  {words:30} {n_clusters:6} clusters {len(found.leaders_):6} leaders  {rand:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
