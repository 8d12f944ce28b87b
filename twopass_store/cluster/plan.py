"""What a first pass will do: its atoms, its subset, the steps' names, and the memory that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig, format_length
from ..errors import ConfigError
from ..executors import PROCESS_BYTES, available_cpus, memory_budget, require_room, require_within
from ..journal import Plan
from ..linkage import FAITHFUL_PER_CLUSTER, choosing_bytes, scanning_bytes
from ..metric import ClusterMetric, read_metric
from ..partition import PAIR_CHUNK, format_ranges, largest_subset, n_pairs, stride_for_subset
from ..rmsd import pairwise_bytes
from ..schema import LEADER_CHUNK_BYTES, SUBSET, ArraySpec, linkage_spec
from ..store import Store, present_journal, provenance, require_ingest
from ..trajectory import topology_bytes
from .methods import METHODS, require_package
from .metric import choose_atoms, remarks_on, resolve_metric
from .neighbours import affordable

__all__ = [
    "DEFAULT_FAITHFULNESS",
    "DEFAULT_RANGE",
    "ClusterPlan",
    "chunks_at_once",
    "leader_options",
    "pair_unit_bytes",
    "plan_cluster",
]

DEFAULT_SUBSET_FRAMES = 10_000
DEFAULT_FAITHFULNESS = 0.95
DEFAULT_RANGE = (2, 30)
"""First and last number of clusters that are judged where none are given."""

ROWS_AT_ONCE = 512
"""Rows of the distances that one task computes; the fewer, the more is computed twice."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """All that a first pass does, fixed before its first distance."""

    config: ClusterConfig
    metric: ClusterMetric
    atoms_text: str  # the atoms of the metric, in words
    remarks: list[str]  # what the user should know about the selections
    subset_frame: NDArray[np.int64]  # 0, stride, 2·stride, …
    subset_attrs: dict[str, Any]
    linkage: ArraySpec | None  # None if no tree is made
    distances: Plan
    tree: Plan | None
    parameters: dict[str, Any]  # of the clustering itself
    workers: int  # threads for the distances
    list_bytes: int = 0  # memory for lists of neighbours, if all frames are clustered

    @property
    def subset(self) -> str:
        """Name of the subset, which says its stride and holds a hash of the rest."""
        return self.distances.stage.removeprefix("subset-")

    @property
    def subset_group(self) -> str:
        """Path of its group."""
        return f"subsets/{self.subset}"

    @property
    def rmsd(self) -> str:
        """Path of the distances."""
        return f"{self.subset_group}/rmsd"


def plan_cluster(
    store: Store,
    config: ClusterConfig,
    *,
    like: str | None = None,
    begun: Mapping[str, Any] | None = None,
    n_judged: int | None = None,
    restart: bool = False,
) -> ClusterPlan:
    """Resolve the parameters against the store.

    With `like`, the subset and metric of that finished clustering are taken, which are whole in the store: no
    selection is parsed, and no file read again. `begun` are the parameters of the same clustering if it was
    begun: it goes on with the frames of then, even if others were appended since. `n_judged` are the clusters
    of the finest cut that a scan is to judge. With `restart`, a subset whose journal is damaged is made anew.

    Raises a `ConfigError` or `TrajectoryError` if an option or a file doesn't fit the store, and a
    `MemoryBudgetError` that names the largest subset that fits.
    """
    require_package(config)
    n_frames = store.shape("position")[0]
    fixed_bytes = PROCESS_BYTES + store.metadata_bytes
    if like is None:
        n_frames = n_frames if begun is None else min(n_frames, int(begun.get("frames", n_frames)))
        fixed_bytes += topology_bytes(store.attrs()["topology"])
        stage, mend = "cluster" if n_judged is None else "scan", "The subset comes on top."
        require_room(memory_budget(config.memory), fixed_bytes, stage=stage, mend=mend)
        topology, atoms, atoms_text = choose_atoms(store, config.select)
        metric, remarks = resolve_metric(store, topology, config, atoms)
        remarks += remarks_on(store, topology, config.select, config.align_select)
    else:
        attrs = store.attrs(f"clusterings/{like}")
        n_frames = store.attrs(f"subsets/{attrs['subset']}")["frame_stop"]
        metric, atoms_text = read_metric(store, f"clusterings/{like}"), attrs["atoms"]
        remarks = []

    stride = 1 if config.all_frames else _stride(config, n_frames)
    subset_frame = np.arange(0, n_frames, stride, dtype=np.int64)
    n_subset = len(subset_frame)
    _check_counts(config, subset_frame, n_frames)
    list_bytes = 0
    if config.all_frames:
        workers, list_bytes = affordable(store, config, metric, n_frames, fixed_bytes)
    else:
        workers = _affordable_workers(store, config, metric, n_subset, fixed_bytes, n_judged)

    ranges = format_ranges(metric.atoms.tolist())
    key_of = {"frames": n_frames, "stride": stride, "atoms": ranges, **metric.parameters()}
    digest = blake2b(repr(sorted(key_of.items())).encode(), digest_size=4).hexdigest()
    key = f"{'all' if config.all_frames else f'stride{stride}'}-{digest}"
    # Frames that are there never change: what was made of them stays what it is when others are appended.
    subset = present_journal(store, f"subset-{key}", restart=restart)
    made_from = begun if begun is not None else None if subset is None else subset.plan.parameters
    source = {"ingest": (made_from or {}).get("ingest", require_ingest(store).plan.fingerprint), **key_of}
    shapes = {"subset_frame": (n_subset,), "rmsd": (n_pairs(n_subset),)}
    linkage = tree = None
    if METHODS[config.method].makes_tree:
        linkage = linkage_spec(config.linkage, rows=config.linkage_input == "rows")
        product = store.product(f"subsets/{key}", linkage, (n_subset - 1, 4))
        tree = Plan(f"linkage-{key}-{linkage.name}", {**source, "linkage": linkage.name}, (product,), {})
    specs = SUBSET[:1] if config.all_frames else SUBSET
    products = tuple(store.product(f"subsets/{key}", spec, shapes[spec.name]) for spec in specs)
    return ClusterPlan(
        config=config,
        metric=metric,
        atoms_text=atoms_text,
        remarks=remarks,
        subset_frame=subset_frame,
        subset_attrs={
            "frame_start": 0,
            "frame_stop": n_frames,
            "stride": stride,
            "atoms": ranges,
            "metric": metric.text,
            "select": config.select,
            **config.metric_options(),
            "provenance": provenance(),
        },
        linkage=linkage,
        distances=Plan(f"subset-{key}", source, products, {}),
        tree=tree,
        parameters=_parameters(config, source, len(metric.atoms)),
        workers=workers,
        list_bytes=list_bytes,
    )


def _stride(config: ClusterConfig, n_frames: int) -> int:
    if config.stride is None:
        return stride_for_subset(n_frames, config.subset_frames or DEFAULT_SUBSET_FRAMES)
    if config.stride > n_frames:
        raise ConfigError(
            f"The store has {n_frames} frames, fewer than --stride {config.stride}. Use a smaller stride."
        )
    return config.stride


def _check_counts(config: ClusterConfig, subset_frame: NDArray[np.int64], n_frames: int) -> None:
    n_subset = len(subset_frame)
    if n_subset < 2:
        mend = "Add frames with `twopass ingest --append`" if n_frames < 2 else "Use a smaller --stride"
        raise ConfigError(
            f"The subset has {n_subset} of {n_frames} frames; clustering needs at least 2. {mend}."
        )
    if config.n_clusters == "auto" and n_subset < 4:
        raise ConfigError(
            f"--n-clusters auto compares halves of the subset, which has {n_subset} frames. Give a number, "
            "or take a larger subset (--subset-frames, --stride)."
        )
    if isinstance(config.n_clusters, int) and config.n_clusters > n_subset:
        raise ConfigError(
            f"{config.n_clusters} clusters are asked for, and the subset has {n_subset} frames. "
            "Ask for fewer clusters, or take a larger subset (--subset-frames, --stride)."
        )
    at_least = max(config.min_cluster_size, config.min_samples or 0)
    if config.method == "hdbscan" and at_least > n_subset:
        raise ConfigError(
            f"{at_least} frames are asked for in a cluster, and the subset has {n_subset}. Use a smaller "
            "--min-cluster-size or --min-samples, or take a larger subset (--subset-frames, --stride)."
        )
    if config.leader_frames is not None:
        outside = [frame for frame in config.leader_frames if frame not in subset_frame]
        if outside:
            listed = ", ".join(map(str, outside[:5]))
            raise ConfigError(
                f"--leader-frames: {listed} {'is' if len(outside) == 1 else 'are'} not in the subset, which "
                f"is frames 0, {subset_frame[1]}, …, {subset_frame[-1]} of the store. Choose among those."
            )


def _parameters(config: ClusterConfig, source: dict[str, Any], n_selected: int) -> dict[str, Any]:
    # The linkages go without their method, as those of before there was another.
    chosen: dict[str, Any] = {} if config.method == "linkage" else {"method": config.method}
    chosen |= config.method_options()
    chosen["label_order"] = config.label_order
    chosen["cutoff"] = None if config.cutoff is None else format_length(config.cutoff)
    if config.leader_frames is not None:
        chosen["leader_frames"] = list(config.leader_frames)
    else:
        chosen["leader_method"] = config.chosen_by
        chosen |= leader_options(config)
    # Without the defaults, as those of before there was another rule.
    chosen |= {"rule": config.assigned_by} if config.assigned_by != "nearest" else {}
    chosen |= {"keep_subset_labels": True} if config.keep_subset_labels else {}
    return {**chosen, **source, "atoms": f"{n_selected} atoms ({source['atoms']})"}


def _affordable_workers(
    store: Store,
    config: ClusterConfig,
    metric: ClusterMetric,
    n_subset: int,
    fixed_bytes: int,
    n_judged: int | None,
) -> int:
    """Return the threads to use, fewer than asked if memory is short; refuse if one is too much."""
    budget = memory_budget(config.memory)
    stage = "cluster" if n_judged is None else "scan"
    if config.n_clusters == "auto":
        n_judged = DEFAULT_RANGE[1]
    block, a_chunk = _block_bytes(store), 3 * PAIR_CHUNK * 4
    # As stored, of the atoms of the RMSD, and while they are made.
    permutations = 0
    if metric.permutations is not None:
        permutations = 24 * (metric.permutations.size + len(metric.permutations) * len(metric.atoms))

    def projected(n_frames: int, workers: int) -> int:
        gathered = n_frames * len(metric.read_atoms) * 12 + permutations
        one = _pairwise_bytes(metric, n_frames, PAIR_CHUNK)
        needs = [
            gathered + one + (workers - 1) * (one - _pairwise_bytes(metric, n_frames, 0)),
            METHODS[config.method].n_bytes(config, n_frames, workers) + a_chunk,
            choosing_bytes(n_frames, n_threads=workers) + a_chunk,
            # Distances, and one chunk of leaders with all their atoms.
            n_pairs(n_frames) * 4 + block + 3 * max(LEADER_CHUNK_BYTES, 12 * store.shape("position")[1]),
        ]
        if n_judged is not None:
            rows = config.linkage_input == "rows"
            needs.append(scanning_bytes(n_frames, min(n_judged, n_frames), rows=rows) + a_chunk)
        # What the threads wrote from isn't given back to the system before the linkage begins.
        # The distances of one permutation come beside the least so far.
        n_held = chunks_at_once(n_frames) * (1 if metric.permutations is None else 2)
        writing = workers * PAIR_CHUNK * 4 * (2 + n_held)
        return fixed_bytes + max(gathered + block, writing + max(needs))

    if projected(n_subset, 1) > budget:
        fits = largest_subset(lambda size: projected(size, 1) <= budget, at_most=n_subset)
        advice = "No subset fits in that."
        if fits >= 2:
            advice = (
                f"Or take a smaller subset: the largest that fits has {fits} frames (--subset-frames {fits})."
            )
        require_within(budget, projected(n_subset, 1), stage=stage, mend=advice)
    asked = config.workers or available_cpus()
    return max(workers for workers in range(1, asked + 1) if projected(n_subset, workers) <= budget)


def pair_unit_bytes(store: Store, metric: ClusterMetric, n_subset: int) -> tuple[int, int]:
    """Return the memory that a process needs for distances, and each of its threads beside that, in bytes."""
    gathered, kernel = n_subset * len(metric.read_atoms) * 12, _pairwise_bytes(metric, n_subset, 0)
    shared = PROCESS_BYTES + store.metadata_bytes + _block_bytes(store) + gathered + kernel
    at_once = PAIR_CHUNK * chunks_at_once(n_subset)
    return shared, _pairwise_bytes(metric, n_subset, at_once) - kernel + 4 * (at_once + 2 * PAIR_CHUNK)


def _block_bytes(store: Store) -> int:
    """Return the memory of a chunk of positions, as it lies on disk and decoded."""
    return 3 * store.chunk_length("position") * store.shape("position")[1] * 12


def _pairwise_bytes(metric: ClusterMetric, n_frames: int, n_pairs_at_once: int) -> int:
    n_atoms = len(metric.atoms)
    return pairwise_bytes(n_frames, n_atoms, n_pairs_at_once, n_frame_atoms=metric.n_frame_atoms)


def chunks_at_once(n_frames: int) -> int:
    """Return how many chunks of distances one task computes: those of `ROWS_AT_ONCE` rows, at least one."""
    return max(1, ROWS_AT_ONCE * n_frames // PAIR_CHUNK)


def leader_options(config: ClusterConfig) -> dict[str, Any]:
    """Return what determines the leaders beside the method."""
    if config.chosen_by == "faithful":
        return {
            "faithfulness": config.faithfulness or DEFAULT_FAITHFULNESS,
            "max_leaders": config.max_leaders or f"{FAITHFUL_PER_CLUSTER} per cluster",
        }
    if config.chosen_by == "centres":
        return {}
    options: dict[str, Any] = {"leaders_per_cluster": config.leaders_per_cluster or 1}
    if config.chosen_by == "random":
        options["seed"] = config.seed
    return options
