"""CPU time of each metric beside the plain fit, one thread, for both passes.

Run as ``python tests/benchmarks/bench_metrics.py --atoms 22 300 --leaders 16 100``. Prints one JSON line a
case: medians of user and system time, in nanoseconds a frame and a pair, and how many times as long as the
fit each takes (``times_fit``, the median of ratios within a turn). The metrics take turns, so that a noisy
machine disturbs all alike. ``align`` superposes by three quarters of the atoms and compares the rest;
``superpose`` is that superposition alone, beside mdtraj's `Trajectory.superpose`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import mdtraj as md
import numpy as np
import numpy.typing as npt

from twopass_store.rmsd import Alignment, Metric, PairwiseRmsd, nearest_leaders, prepare_leaders
from twopass_store.rmsd.superposition import aligned


def frames(n_frames: int, n_atoms: int) -> npt.NDArray[np.float32]:
    """Noisy copies of ten structures."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(10, n_atoms, 3)) * 0.5
    noise = rng.normal(size=(n_frames, n_atoms, 3)) * 0.1
    return (states[rng.integers(0, 10, n_frames)] + noise).astype(np.float32)


def alignment(xyz: npt.NDArray[np.float32]) -> Alignment:
    """By the first three quarters of the atoms, on the first frame."""
    n_atoms = xyz.shape[1]
    fitted = np.arange(3 * n_atoms // 4)
    return Alignment(fitted, np.arange(len(fitted), n_atoms), xyz[0, fitted].astype(np.float64))


def metrics(xyz: npt.NDArray[np.float32]) -> dict[str, Metric]:
    """All metrics, the plain fit first."""
    masses = np.random.default_rng(1).choice([1.008, 12.011, 15.999], size=xyz.shape[1])
    return {
        "fit": Metric(),
        "mass-weighted": Metric(weights=masses),
        "no-fit": Metric(fit=False),
        "align": Metric(fit=False, alignment=alignment(xyz)),
    }


def in_turns(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each job, measured in turns after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            times[name].append(time.process_time() - start)
    return times


def report(case: dict[str, object], times: dict[str, list[float]], base: str, units: dict[str, int]) -> None:
    """Print one line for each job."""
    for name, taken in times.items():
        line = {**case, "metric": name, "cpu_seconds": round(statistics.median(taken), 4)}
        for unit, number in units.items():
            line[f"ns_a_{unit}"] = round(1e9 * statistics.median(taken) / number, 2)
        ratios = [one / other for one, other in zip(taken, times[base], strict=True)]
        line[f"times_{base}"] = round(statistics.median(ratios), 2)
        print(json.dumps(line), flush=True)


def bench_nearest(n_atoms: int, n_leaders: int, repeats: int) -> None:
    """Assignment of frames to leaders, their preparation included."""
    n_frames = max(2_000, min(20_000, int(4e8 / (n_leaders * (150 + n_atoms)))))
    xyz = frames(n_frames + n_leaders, n_atoms)

    def job(metric: Metric) -> Callable[[], object]:
        return lambda: nearest_leaders(xyz[n_leaders:], prepare_leaders(xyz[:n_leaders], metric))

    times = in_turns({name: job(metric) for name, metric in metrics(xyz).items()}, repeats)
    case = {"case": "nearest", "n_atoms": n_atoms, "n_leaders": n_leaders, "n_frames": n_frames}
    report(case, times, "fit", {"frame": n_frames, "pair": n_frames * n_leaders})


def bench_pairwise(n_atoms: int, repeats: int) -> None:
    """All pairs of a subset."""
    n_frames = max(300, min(2000, int((1e9 / (150 + n_atoms)) ** 0.5)))
    xyz = frames(n_frames, n_atoms)
    n_pairs = n_frames * (n_frames - 1) // 2

    def job(metric: Metric) -> Callable[[], object]:
        return lambda: PairwiseRmsd(xyz, metric).pairs(0, n_pairs)

    times = in_turns({name: job(metric) for name, metric in metrics(xyz).items()}, repeats)
    case = {"case": "pairwise", "n_atoms": n_atoms, "n_frames": n_frames}
    report(case, times, "fit", {"pair": n_pairs})


def bench_superpose(n_atoms: int, repeats: int) -> None:
    """The superposition of each frame on a reference, and nothing else."""
    n_frames = max(2_000, min(20_000, int(6e6 / n_atoms)))
    xyz = frames(n_frames, n_atoms)
    topology = md.Topology()
    residue = topology.add_residue("ALA", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("C", md.element.carbon, residue)
    everything, on = md.Trajectory(xyz.copy(), topology), alignment(xyz)
    jobs: dict[str, Callable[[], object]] = {
        "align": lambda: aligned(xyz, on),
        "mdtraj": lambda: everything.superpose(everything, 0, atom_indices=on.fitted, parallel=False),
    }
    case = {"case": "superpose", "n_atoms": n_atoms, "n_frames": n_frames}
    report(case, in_turns(jobs, repeats), "mdtraj", {"frame": n_frames})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, nargs="+", default=[22, 100, 300, 1000])
    parser.add_argument("--leaders", type=int, nargs="*", default=[16, 100])
    parser.add_argument("--only", choices=["nearest", "pairwise", "superpose"])
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    for n_atoms in chosen.atoms:
        for n_leaders in chosen.leaders if chosen.only in (None, "nearest") else []:
            bench_nearest(n_atoms, n_leaders, chosen.repeats)
        if chosen.only in (None, "pairwise"):
            bench_pairwise(n_atoms, chosen.repeats)
        if chosen.only in (None, "superpose"):
            bench_superpose(n_atoms, chosen.repeats)


if __name__ == "__main__":
    main()
