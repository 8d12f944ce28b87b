"""How near the labels of all frames come to those of the method over all frames, and at what price.

Run as ``python tests/benchmarks/bench_quality.py results.jsonl`` for the two molecules that come with the
package and for made-up states, or with ``--dipeptide XTC PDB`` or ``--chignolin XTC PDB`` for longer
trajectories of these; it takes about 12 minutes of CPU time. Cases that the file holds already are not
measured again. ``--page`` writes the tables of the file into the documentation, and measures nothing.

A case is a method, a rule, a stride and a cover; `twopass cluster` and `twopass assign` do it in a copy of a
store that holds nothing else. The exact labels come from a float64 matrix of all RMSDs and from fastcluster
and scipy, scikit-learn, kmedoids, or the few lines of gromos below. scikit-learn gives the adjusted Rand
index; frames that HDBSCAN leaves as noise on either side don't count.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastcluster
import kmedoids
import mdtraj as md
import numpy as np
import numpy.typing as npt
from bench_headline import TWOPASS, measure
from bench_leaders import made_up
from scipy.cluster.hierarchy import fcluster
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from twopass_store import open_results

ROOT = Path(__file__).parents[2]
DATA = ROOT / "twopass_store" / "data"
PAGE = ROOT / "twopass_store" / "docs" / "quality.md"
BEGIN, END = "<!-- tables of bench_quality.py -->\n", "<!-- end of tables -->\n"

MAX_FRAMES = 8_000
MIN_CLUSTER_SIZE = 150
N_COMMON = 8
RARE_FRAMES = (1_003, 2_513, 3_781)
"""Where 6 frames of a made-up state begin that is visited once; no stride of 10 or 30 meets them."""

Row = dict[str, Any]
Cell = Callable[[Row], str]
Labels = npt.NDArray[np.int64]
Square = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class System:
    """Frames to cluster, and the cuts that suit them; lengths in nm."""

    title: str
    select: str
    average: float
    complete: float
    gromos: float
    cover: float
    wide: float
    n_clusters: int = 8


SYSTEMS = {
    "dipeptide": System("alanine dipeptide", "element != H", 0.05, 0.1, 0.05, cover=0.06, wide=0.09),
    "chignolin": System("chignolin", "name CA", 0.25, 0.4, 0.2, cover=0.2, wide=0.3),
    "made-up": System("made-up states", "name CA", 0.3, 0.5, 0.25, cover=0.3, wide=0.4, n_clusters=11),
}
STRIDES = (1, 3, 10, 30)
METHODS = ("average", "complete", "ward", "gromos", "kmedoids", "hdbscan")
RULES = {
    "average, first-within": ["--rule", "first-within"],
    "gromos, nearest": ["--rule", "nearest", "--leader-method", "faithful"],
}
CASES = [
    *((method, "", stride) for method in (*METHODS, *RULES) for stride in STRIDES),
    *((method, "kept", stride) for method in METHODS for stride in (1, 10)),
    *((method, "cover", stride) for method in METHODS for stride in (10, 30)),
    *((method, "wide", 10) for method in METHODS),
    *((method, "linked", stride) for method in METHODS[:2] for stride in (10, 30)),
]
"""Method, what is asked for besides, and stride."""
HEADS = {
    "exact": "{}, subset only",
    "": "{}",
    "kept": "{}, labels kept",
    "cover": "{}, cover",
    "linked": "{}, cover linked",
    "wide": "{}, wide cover",
}


def cluster_options(system: System, method: str, stride: int) -> list[object]:
    """What `twopass cluster` is told."""
    name = method.partition(",")[0]
    if name in ("average", "complete"):
        cut = ["--linkage", name, "--cutoff", getattr(system, name)]
    elif name == "ward":
        cut = ["--linkage", name, "--n-clusters", system.n_clusters]
    elif name == "gromos":
        cut = ["--method", name, "--cutoff", system.gromos]
    elif name == "kmedoids":
        cut = ["--method", name, "--n-clusters", system.n_clusters]
    else:
        cut = ["--method", name, "--min-cluster-size", max(5, MIN_CLUSTER_SIZE // stride)]
    return ["--select", system.select, "--stride", stride, *cut, *RULES.get(method, [])]


def exact_labels(system: System, method: str, stride: int, square: Square) -> Labels:
    """Cluster every nth frame by another implementation of a method, from the RMSDs of all in nm."""
    square = np.ascontiguousarray(square[::stride, ::stride])
    if method == "kmedoids":
        return kmedoids.fasterpam(square, system.n_clusters, random_state=0).labels.astype(int)
    if method == "hdbscan":
        size = max(5, MIN_CLUSTER_SIZE // stride)
        return HDBSCAN(min_cluster_size=size, metric="precomputed", copy=True).fit(square).labels_
    if method == "gromos":
        return plain_gromos(square, system.gromos)
    tree = fastcluster.linkage(squareform(square, checks=False), method)
    if method == "ward":
        return fcluster(tree, system.n_clusters, "maxclust")
    return fcluster(tree, getattr(system, method), "distance")


def plain_gromos(square: Square, cutoff: float) -> Labels:
    """Take out the frame with the most neighbours, together with them, again and again."""
    near = square < cutoff
    n_near = near.sum(axis=1)
    labels = np.full(len(square), -1)
    for label in range(len(square)):
        left = labels < 0
        if not left.any():
            break
        centre = np.argmax(np.where(left, n_near, -1))
        taken = np.flatnonzero(near[centre] & left)
        labels[taken] = label
        n_near -= near[taken].sum(axis=0)
    return labels


def square_rmsd(xyz: npt.NDArray[np.float32]) -> Square:
    """RMSD of all pairs over proper rotations, in float64: Theobald's quartic, by Newton from above."""
    centred = xyz.astype(np.float64) - xyz.mean(axis=1, dtype=np.float64, keepdims=True)
    n_frames, n_atoms, _ = centred.shape
    inner = (centred**2).sum(axis=(1, 2))
    flat = centred.transpose(0, 2, 1).reshape(-1, n_atoms)
    square = np.zeros((n_frames, n_frames))
    for row in range(n_frames):
        product = (flat[3 * row : 3 * row + 3] @ flat[3 * row :].T).reshape(3, -1, 3).transpose(1, 0, 2)
        # l⁴ + c2 l² + c1 l + c0: its largest root is the sum of the singular values, the last one signed.
        gram = np.einsum("fij,fik->fjk", product, product)
        trace = np.trace(gram, axis1=1, axis2=2)
        c2, c1 = -2 * trace, -8 * np.linalg.det(product)
        c0 = 2 * (gram**2).sum(axis=(1, 2)) - trace**2
        upper = (inner[row] + inner[row:]) / 2
        root = upper.copy()
        for _ in range(30):
            value = ((root**2 + c2) * root + c1) * root + c0
            slope = (4 * root**2 + 2 * c2) * root + c1
            step = np.divide(value, slope, out=np.zeros_like(root), where=slope > 0)
            root -= step
            if np.abs(step).max() < 1e-12 * upper.max():
                break
        square[row, row:] = np.sqrt(np.maximum(2 * (upper - root), 0) / n_atoms)
        square[row, row] = 0
    return np.maximum(square, square.T)


def frames_of(name: str, files: list[Path] | None) -> tuple[md.Trajectory, Labels | None]:
    """Frames of a system, and the states of those that are made up."""
    if files is not None:
        loaded = md.load(files[0], top=files[1])
        return loaded[:: -(-loaded.n_frames // MAX_FRAMES)], None
    xyz, states = made_up(5_000, N_COMMON, seed=0)
    rng = np.random.default_rng(1)
    for number, start in enumerate(RARE_FRAMES, start=N_COMMON):
        rare = slice(start, start + 6)
        xyz[rare] = xyz[0] + rng.normal(size=(1, 30, 3)) * 0.25 + rng.normal(size=(6, 30, 3)) * 0.04
        states[rare] = number
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(xyz.shape[1]):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("GLY", chain))
    return md.Trajectory(xyz, topology), states


def rand(found: Labels, exact: Labels, *, skip_noise: bool) -> float:
    """Adjusted Rand index, over frames with a label on both sides if noise is to be skipped."""
    chosen = (found >= 0) & (exact >= 0) if skip_noise else slice(None)
    return round(float(adjusted_rand_score(exact[chosen], found[chosen])), 4)


def n_rare_found(labels: Labels, states: Labels) -> int:
    """Number of states visited once that have a label which mostly they bear."""
    found = 0
    for state in range(N_COMMON, N_COMMON + len(RARE_FRAMES)):
        if state not in states:
            continue
        values, counts = np.unique(labels[states == state], return_counts=True)
        most = values[counts.argmax()]
        found += int(most >= 0 and np.mean(states[labels == most] == state) > 0.5)
    return found


def run_case(store: Path, system: System, method: str, extra: str, stride: int) -> tuple[Labels, Row]:
    """Do both passes in a copy of a store: all labels, and what they took."""
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        copy = Path(shutil.copytree(store, Path(folder) / store.name))
        kept = ["--keep-subset-labels"] if extra == "kept" else []
        lengths = {"cover": system.cover, "linked": system.cover, "wide": system.wide}
        cover = ["--cover", lengths[extra]] if extra in lengths else []
        linked = ["--cover-link"] if extra == "linked" else []
        common = ["--workers", 1, "--quiet"]
        first = measure(
            [TWOPASS, "cluster", copy, *cluster_options(system, method, stride), *kept, *common], threads=1
        )
        second = measure([TWOPASS, "assign", copy, *cover, *linked, *common], threads=1)
        with open_results(copy) as results:
            labels = results["label"].values.astype(int)
            leaders = results.sizes["leader"]
    return labels, {
        "leaders": leaders,
        "clusters": len(np.unique(labels[labels > 0])),
        "cpu_seconds": round(first["cpu_seconds"] + second["cpu_seconds"], 2),
        "peak_mib": max(first["peak_mib"], second["peak_mib"]),
    }


def measure_system(name: str, files: list[Path] | None, folder: Path, done: set[str]) -> Iterator[Row]:
    """Measure the cases of a system that are not done."""
    system = SYSTEMS[name]
    trajectory, states = frames_of(name, files)
    trajectory.save(folder / "frames.xtc")
    trajectory[0].save(folder / "frames.pdb")
    # What the store holds, to the last bit: XTC rounds.
    xyz = md.load(folder / "frames.xtc", top=folder / "frames.pdb").xyz
    square = square_rmsd(xyz[:, trajectory.topology.select(system.select)])
    store = folder / f"{name}.zarr"
    ingest = [TWOPASS, "ingest", store, folder / "frames.xtc", "--top", folder / "frames.pdb", "--quiet"]
    subprocess.run([str(part) for part in ingest], check=True)
    exact = {
        (method, stride): exact_labels(system, method, stride, square)
        for method in METHODS
        for stride in STRIDES
    }
    del square

    for method, extra, stride in [*((method, "exact", stride) for method, stride in exact), *CASES]:
        case = {"system": name, "method": method, "extra": extra, "stride": stride}
        if json.dumps(case) in done:
            continue
        of = method.partition(",")[0]
        every = 1
        if extra == "exact":
            every = stride
            labels = exact[method, stride]
            figures = {"frames": len(labels), "clusters": len(np.unique(labels[labels >= 0]))}
        else:
            labels, figures = run_case(store, system, method, extra, stride)
        figures["rand"] = rand(labels, exact[of, 1][::every], skip_noise=of == "hdbscan")
        if states is not None:
            figures["rand_truth"] = rand(labels, states[::every], skip_noise=of == "hdbscan")
            figures["rare"] = n_rare_found(labels, states[::every])
        yield {**case, **figures, "noise": round(float(np.mean(labels < 0)), 4)}


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="JSON lines, which are added to")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    shipped = ("alanine-dipeptide", "chignolin")
    for name, piece in zip(SYSTEMS, shipped, strict=False):
        files = [DATA / f"{piece}.xtc", DATA / f"{piece}.pdb"]
        parser.add_argument(f"--{name}", nargs=2, type=Path, metavar=("XTC", "PDB"), default=files)
    parser.add_argument("--page", action="store_true", help="write the page's tables")
    asked = parser.parse_args()
    asked.results.touch()
    rows = [json.loads(line) for line in asked.results.read_text().splitlines()]
    if asked.page:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + tables(rows) + END + rest.partition(END)[2], encoding="utf-8")
        return
    done = {json.dumps({key: row[key] for key in ("system", "method", "extra", "stride")}) for row in rows}
    for name in asked.systems:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure_system(name, getattr(asked, name, None), Path(folder), done):
                with asked.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


def tables(rows: list[Row]) -> str:
    """Make the tables of the page; a case that was not measured leaves its cell empty."""
    found = {(row["system"], row["method"], row["extra"], row["stride"]): row for row in rows}
    bases = [("", stride) for stride in STRIDES]
    covers = [("cover", 10), ("cover", 30)]
    methods = sorted((*METHODS, *RULES))

    def table(name: str, methods: Sequence[str], columns: list[tuple[str, int]], cell: Cell) -> str:
        heads = [
            HEADS[extra].format(stride) if stride > 1 or extra != "exact" else "exact"
            for extra, stride in columns
        ]
        lines = [["stride", *heads], ["---"] * (len(columns) + 1)]
        for method in methods:
            of = [found.get((name, method, *column)) for column in columns]
            lines.append([method, *("" if row is None else cell(row) for row in of)])
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    text = ""
    for name, system in SYSTEMS.items():
        counts = {method: found[name, method, "exact", 1]["clusters"] for method in METHODS}
        text += f"\n## {system.title.capitalize()}\n\n"
        text += f"{found[name, 'ward', 'exact', 1]['frames']:,} frames; clusters over all of them: "
        text += ", ".join(f"{_cut(system, method)} {count}" for method, count in counts.items())
        text += f". Cover {10 * system.cover:g} Å, wide {10 * system.wide:g} Å.\n\n"
        columns = [("kept", 1), *bases, ("exact", 10), *covers, ("wide", 10)]
        text += table(name, methods, columns, _rand)
    text += "\n## Made-up states against the truth\n\n"
    columns = [("exact", 1), *bases[2:], *covers, ("linked", 10), ("wide", 10)]
    text += table("made-up", METHODS, columns, lambda row: f"{row['rand_truth']:.2f}, {row['rare']} of 3")
    text += "\n## What it costs\n\nCPU time and peak memory of both passes, on the alanine dipeptide.\n\n"
    columns = [*bases, covers[0]]
    text += table(
        "dipeptide", METHODS, columns, lambda row: f"{row['cpu_seconds']:.1f} s, {row['peak_mib']} MiB"
    )
    return text + "\n"


def _rand(row: Row) -> str:
    return f"{row['rand']:.2f}" + (f" ({row['leaders']})" if "leaders" in row else "")


def _cut(system: System, method: str) -> str:
    if method in ("average", "complete", "gromos"):
        return f"{method} at {10 * getattr(system, method):g} Å"
    return method


if __name__ == "__main__":
    main()
