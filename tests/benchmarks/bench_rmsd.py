"""CPU time of the RMSD kernels beside the best loop over mdtraj's, one thread on each side.

Run as ``python tests/benchmarks/bench_rmsd.py --atoms 22 300 --leaders 16 100``. Prints one JSON line a case:
medians of user and system time, in seconds and in nanoseconds a pair. The sides take turns, so that a noisy
machine disturbs all alike. ``times_sgemm`` is the time of BLAS for the same inner products alone, over ours
for everything. ``--trajectory`` and ``--topology`` take real frames instead of made-up ones.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import mdtraj as md
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from twopass_store.rmsd import PairwiseRmsd, nearest_leaders, prepare_leaders


def trajectory(xyz: npt.NDArray[np.float32]) -> md.Trajectory:
    """A trajectory of carbon atoms that owns its coordinates, centred for ``precentered=True``."""
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(xyz.shape[1]):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("ALA", chain))
    made = md.Trajectory(xyz.copy(), topology)
    made.center_coordinates()
    return made


def frames(n_frames: int, n_atoms: int, kind: str) -> npt.NDArray[np.float32]:
    """Noisy copies of ten structures, or chains that have nothing in common."""
    rng = np.random.default_rng(0)
    if kind == "unrelated":
        return (rng.normal(size=(n_frames, n_atoms, 3)).cumsum(axis=1) * 0.15).astype(np.float32)
    states = rng.normal(size=(10, n_atoms, 3)) * 0.5
    noise = rng.normal(size=(n_frames, n_atoms, 3)) * 0.1
    return (states[rng.integers(0, 10, n_frames)] + noise).astype(np.float32)


def cpu_seconds(function: Callable[[], object]) -> float:
    """Process time of one call, user and system."""
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], n_pairs: int, repeats: int
) -> dict[str, float]:
    """Median times of both sides, and the median ratio, measured in turns after a warm-up."""
    ours()
    theirs()
    times = [(cpu_seconds(ours), cpu_seconds(theirs)) for _ in range(repeats)]
    return {
        "cpu_seconds": round(statistics.median(t for t, _ in times), 4),
        "mdtraj_cpu_seconds": round(statistics.median(t for _, t in times), 4),
        "ns_a_pair": round(1e9 * statistics.median(t for t, _ in times) / n_pairs, 2),
        "mdtraj_ns_a_pair": round(1e9 * statistics.median(t for _, t in times) / n_pairs, 2),
        "times_faster": round(statistics.median(b / a for a, b in times), 2),
    }


def times_sgemm(
    ours: Callable[[], object], n_frames: int, n_atoms: int, n_leaders: int, repeats: int
) -> float:
    """Time of one matrix product of the same size on one thread, in float32, over the time of ``ours``."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=(3 * n_frames, n_atoms)).astype(np.float32)
    right = rng.normal(size=(n_atoms, 3 * n_leaders)).astype(np.float32)
    step = 3 * max(1, 2_000_000 // (9 * n_leaders))  # the product itself need not leave the cache
    out = np.empty((step, 3 * n_leaders), np.float32)

    def product() -> None:
        for start in range(0, len(left), step):
            part = left[start : start + step]
            np.matmul(part, right, out=out[: len(part)])

    with threadpool_limits(1, user_api="blas"):
        product()
        return statistics.median(cpu_seconds(product) / cpu_seconds(ours) for _ in range(repeats))


def bench_nearest(
    xyz: npt.NDArray[np.float32] | None, n_atoms: int, n_leaders: int, kind: str, repeats: int
) -> dict[str, float]:
    """Assignment of frames to leaders, preparation of the leaders included, centring of mdtraj's side not."""
    n_frames = max(2_000, min(20_000, int(4e8 / (n_leaders * (150 + n_atoms)))))
    if xyz is None:
        xyz = frames(n_frames + n_leaders, n_atoms, kind)
    else:
        n_frames = min(n_frames, len(xyz))
        xyz = np.concatenate([xyz[:: max(1, len(xyz) // n_leaders)][:n_leaders], xyz[:n_frames]])
    all_frames, leaders = trajectory(xyz[n_leaders:]), trajectory(xyz[:n_leaders])

    def theirs() -> object:
        best, which = np.full(n_frames, np.inf, np.float32), np.zeros(n_frames, np.int32)
        for leader in range(n_leaders):
            distance = md.rmsd(all_frames, leaders, leader, precentered=True, parallel=False)
            closer = distance < best
            best[closer], which[closer] = distance[closer], leader
        return best, which

    def ours() -> object:
        return nearest_leaders(xyz[n_leaders:], prepare_leaders(xyz[:n_leaders]))

    result = compare(ours, theirs, n_frames * n_leaders, repeats)
    product = times_sgemm(ours, n_frames, n_atoms, n_leaders, repeats)
    return {"n_frames": n_frames, **result, "times_sgemm": round(product, 2)}


def bench_pairwise(
    xyz: npt.NDArray[np.float32] | None, n_atoms: int, kind: str, repeats: int
) -> dict[str, float]:
    """All pairs of a subset against one call of mdtraj a frame, which computes each pair twice.

    Both are per distinct pair.
    """
    n_frames = max(300, min(2000, int((1e9 / (150 + n_atoms)) ** 0.5)))
    xyz = frames(n_frames, n_atoms, kind) if xyz is None else xyz[:: max(1, len(xyz) // n_frames)][:n_frames]
    n_frames = len(xyz)
    everything = trajectory(xyz)
    n_pairs = n_frames * (n_frames - 1) // 2

    def theirs() -> object:
        return [md.rmsd(everything, everything, k, precentered=True, parallel=False) for k in range(n_frames)]

    result = compare(lambda: PairwiseRmsd(xyz).pairs(0, n_pairs), theirs, n_pairs, repeats)
    return {"n_frames": n_frames, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, nargs="+", default=[22, 100, 300, 1000])
    parser.add_argument("--leaders", type=int, nargs="*", default=[16, 100, 500])
    parser.add_argument("--kind", choices=["states", "unrelated"], default="states")
    parser.add_argument("--only", choices=["nearest", "pairwise"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trajectory", help="real frames, in any format that mdtraj reads")
    parser.add_argument("--topology")
    chosen = parser.parse_args()
    real = md.load(chosen.trajectory, top=chosen.topology).xyz if chosen.trajectory else None
    for n_atoms in chosen.atoms if real is None else [real.shape[1]]:
        base = {"n_atoms": n_atoms, "kind": chosen.kind if real is None else "real"}
        for n_leaders in chosen.leaders if chosen.only in (None, "nearest") else []:
            found = bench_nearest(real, n_atoms, n_leaders, chosen.kind, chosen.repeats)
            print(json.dumps({"case": "nearest", **base, "n_leaders": n_leaders, **found}), flush=True)
        if chosen.only in (None, "pairwise"):
            found = bench_pairwise(real, n_atoms, chosen.kind, chosen.repeats)
            print(json.dumps({"case": "pairwise", **base, **found}), flush=True)


if __name__ == "__main__":
    main()
