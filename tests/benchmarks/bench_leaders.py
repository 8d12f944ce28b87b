"""What choices of leaders are worth: methods × linkages × numbers of clusters × strides.

Run as ``python tests/benchmarks/bench_leaders.py --trajectory md.xtc --topology md.pdb`` for real frames
(heavy atoms), or without these for made-up states whose truth is known. Prints one JSON line a case.

A clustering of every stride-th frame chooses leaders, and these label all frames, as the second pass does.

- ``subset``: share of the subset's frames that get their first-pass label back; ``held_out``: the same with
  leaders chosen from one half of the subset and judged on the other;
- ``unseen``: share of all other frames that get the label of the subset frame nearest to them;
- ``rand_full``: adjusted Rand index of all labels with a clustering of all frames that is cut alike;
  ``rand_truth``: with the states, where these are known;
- ``leaders``, and ``assign_us``: CPU time to label a frame, µs; ``choose_s``: to choose the leaders, s.

``faithful`` is the default since it comes nearest to the first pass everywhere, on unseen frames too, with
about as many leaders as three of each cluster; what is held out tells how near in advance, to 0.05. Against
a clustering of all frames it does as well as medoids: how far that differs is a matter of the stride. It
can't be better than the first pass: where that misses the states (complete linkage, or too few clusters),
medoids smooth its borders and may be nearer to the truth by accident. Where it finds them (ward), faithful
leaders are as near to the truth as three of each cluster, with half as many.
More than five a cluster gain unseen frames less than a hundredth, which is why the choice ends there.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from statistics import mean
from typing import Any

import mdtraj as md
import numpy as np
import numpy.typing as npt

from twopass_store.linkage import (
    Leaders,
    adjusted_rand,
    choose_leaders,
    cut,
    halves,
    held_out_labels,
    link_in_place,
    measure_faithfulness,
    second_pass,
)
from twopass_store.partition import n_pairs
from twopass_store.rmsd import PairwiseRmsd, nearest_leaders, prepare_leaders

METHODS: dict[str, dict[str, Any]] = {
    "random 1": {"method": "random", "per_cluster": 1},
    "random 2": {"method": "random", "per_cluster": 2},
    "medoid 1": {"method": "medoid", "per_cluster": 1},
    "medoid 3": {"method": "medoid", "per_cluster": 3},
    "faithful": {"method": "faithful"},
}

Positions = npt.NDArray[np.float32]


def made_up(n_frames: int, n_states: int, seed: int) -> tuple[Positions, npt.NDArray[np.int64]]:
    """Walks among states of unlike size and spread that touch each other, in runs; and the states."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(30, 3)).cumsum(axis=0) * 0.2
    states = base + rng.normal(size=(n_states, 30, 3)) * 0.12
    spread = rng.uniform(0.03, 0.07, n_states)
    # A few soft directions for each state, so that clusters are no spheres.
    soft = rng.normal(size=(n_states, 3, 30, 3)) * 0.05
    weights = rng.dirichlet(np.full(n_states, 1.5))
    state = np.repeat(rng.choice(n_states, size=n_frames // 50 + 1, p=weights), 50)[:n_frames]
    along = rng.normal(size=(n_frames, 3))
    noise = rng.normal(size=(n_frames, 30, 3)) * spread[state][:, None, None]
    xyz = states[state] + np.einsum("fk,fkax->fax", along, soft[state]) + noise
    return xyz.astype(np.float32), state


def real(trajectory: str, topology: str, n_frames: int) -> Positions:
    """Heavy atoms of frames that are spread over a trajectory."""
    loaded = md.load(trajectory, top=topology)
    heavy = loaded.topology.select("element != H")
    chosen = np.linspace(0, loaded.n_frames - 1, min(n_frames, loaded.n_frames)).astype(int)
    return np.ascontiguousarray(loaded.xyz[chosen][:, heavy])


def distances(xyz: Positions) -> npt.NDArray[np.float32]:
    """All pairs, condensed."""
    return PairwiseRmsd(xyz).pairs(0, n_pairs(len(xyz)))


def judge(
    xyz: Positions,
    subset: Positions,
    condensed: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    options: dict[str, Any],
) -> tuple[npt.NDArray[np.int32], dict[str, float]]:
    """Choose leaders of a subset and label all frames by them: the labels, and what the leaders are worth."""

    def choose(part: npt.NDArray[np.float32], of_part: npt.NDArray[np.int32]) -> Leaders:
        return choose_leaders(part, of_part, **options)

    start = time.process_time()
    leaders = choose(condensed, labels)
    chosen = time.process_time()
    held_out = held_out_labels(condensed, labels, halves(np.zeros(labels.size, np.int64)), choose)
    prepared = prepare_leaders(subset[leaders.subset_index])
    begin = time.process_time()
    found = nearest_leaders(xyz, prepared)
    end = time.process_time()
    return leaders.label[found.index], {
        "subset": measure_faithfulness(labels, second_pass(condensed, leaders)[0]).overall,
        "held_out": measure_faithfulness(labels, held_out).overall,
        "leaders": leaders.label.size,
        "assign_us": 1e6 * (end - begin) / len(xyz),
        "choose_s": chosen - start,
    }


def cases(
    xyz: Positions,
    truth: npt.NDArray[np.int64] | None,
    *,
    linkages: list[str],
    clusters: list[int],
    strides: list[int],
    seeds: int,
) -> Iterator[dict[str, Any]]:
    """Measure every method on every linkage, number of clusters and stride."""
    full = distances(xyz)
    full_trees = {linkage: link_in_place(full.astype(np.float64), method=linkage) for linkage in linkages}
    del full
    for stride, linkage in product(strides, linkages):
        subset = np.ascontiguousarray(xyz[::stride])
        condensed = distances(subset)
        tree = link_in_place(condensed.astype(np.float64), method=linkage)
        # The first-pass label that each frame ought to get: that of the subset frame nearest to it.
        nearest = nearest_leaders(xyz, prepare_leaders(subset)).index
        unseen = np.arange(len(xyz)) % stride != 0
        for wanted, (name, options) in product(clusters, METHODS.items()):
            labels = cut(tree, n_clusters=wanted)
            of_all = cut(full_trees[linkage], n_clusters=wanted)
            runs = []
            for seed in range(seeds if options["method"] == "random" else 1):
                given, figures = judge(xyz, subset, condensed, labels, {**options, "seed": seed})
                figures["unseen"] = float(np.mean((given == labels[nearest])[unseen]))
                figures["rand_full"] = adjusted_rand(given, of_all)
                if truth is not None:
                    figures["rand_truth"] = adjusted_rand(given, truth)
                runs.append(figures)
            case = {"method": name, "linkage": linkage, "clusters": wanted, "stride": stride}
            yield {**case, **{key: round(mean(run[key] for run in runs), 4) for key in runs[0]}}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trajectory", help="real frames instead of made-up ones")
    parser.add_argument("--topology")
    parser.add_argument("--frames", type=int, default=12_000)
    parser.add_argument("--states", type=int, default=10, help="of made-up frames")
    parser.add_argument("--linkages", nargs="+", default=["average", "complete", "ward"])
    parser.add_argument("--clusters", nargs="+", type=int, default=[5, 10, 20, 30])
    parser.add_argument("--strides", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--seeds", type=int, default=3, help="of random leaders")
    asked = parser.parse_args()
    truth = None
    if asked.trajectory:
        xyz = real(asked.trajectory, asked.topology, asked.frames)
    else:
        xyz, truth = made_up(asked.frames, asked.states, seed=0)
    options = {key: getattr(asked, key) for key in ("linkages", "clusters", "strides", "seeds")}
    for row in cases(xyz, truth, **options):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
