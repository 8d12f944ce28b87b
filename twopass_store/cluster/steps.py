"""The persisted steps of a first pass: distances, linkage, and the cut with its leaders."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import HEIGHT_IS_RMSD, ClusterConfig, WithUnit, doubt_of_unit, format_length
from ..errors import ConfigError
from ..executors import ThreadExecutor
from ..journal import Plan, Writer
from ..linkage import Leaders, suggest_n_clusters
from ..metric import named_after
from ..partition import FrameRange, chunk_range, n_pairs
from ..progress import Progress
from ..rmsd import NearFrames
from ..schema import CLUSTERING, FAITHFULNESS, SUBSET
from ..store import Rows, Step, Store, StoredRows, discard, is_complete, provenance, read_distances
from ..units import Units, carry_out
from .choice import choose, noise_warning, warning
from .judge import scan_tree
from .methods import METHODS, FirstPass, Tree, label_as, link_as, tree_input
from .neighbours import AllFrames, PositionFile
from .pairs import PairUnit, forget_frames
from .plan import DEFAULT_RANGE, ClusterPlan, chunks_at_once, leader_options, pair_unit_bytes
from .stage import HINT, asked_in_words
from .state import StoredState

__all__ = ["compute_distances", "distance_units", "label_all_frames", "label_and_choose", "link"]


def compute_distances(store: Store, plan: ClusterPlan, writer: Writer, progress: Progress) -> int:
    """Compute the RMSDs of all pairs of the subset; returns how many weren't there yet."""
    if is_complete(store, plan.distances):
        progress.note("distances of this subset are there already")
        return 0
    units, scheduler = distance_units(store, plan, writer), plan.config.scheduler
    try:
        return carry_out(store, units, workers=plan.workers, scheduler=scheduler, progress=progress)
    finally:
        forget_frames()


def distance_units(store: Store, plan: ClusterPlan, writer: Writer) -> Units:
    """Begin the distances; returns what is left of them."""
    rmsd, metric, n_subset = plan.rmsd, plan.metric, len(plan.subset_frame)
    total = n_pairs(n_subset)
    journal = store.begin(plan.distances, hint=HINT, attrs=plan.subset_attrs)
    for spec, size in zip(SUBSET, (n_subset, total), strict=True):
        store.ensure_array(plan.subset_group, spec, [size], named_after(metric.text, spec))
    journal.commit(store.write_all(f"{plan.subset_group}/subset_frame", plan.subset_frame))
    missing = np.flatnonzero(~journal.done(rmsd)).tolist()
    length = store.chunk_length(rmsd)
    shared_bytes, worker_bytes = pair_unit_bytes(store, metric, n_subset)
    return Units(
        journal=journal,
        unit=PairUnit(
            path=store.path,
            staging=writer.staging,
            group=plan.subset_group,
            fingerprint=plan.distances.fingerprint,
            metric=metric,
        ),
        chunks=missing,
        title="cluster: distances",
        measure="pairs",
        total=total,
        left=sum(len(chunk_range(chunk, chunk=length, length=total)) for chunk in missing),
        shared_bytes=shared_bytes,
        worker_bytes=worker_bytes,
        at_once=chunks_at_once(n_subset),
    )


def link(store: Store, plan: ClusterPlan, progress: Progress) -> Tree | None:
    """Link the distances, or read the tree if it is there already; None if the method makes none."""
    if plan.linkage is None or plan.tree is None:
        return None
    path = f"{plan.subset_group}/{plan.linkage.name}"
    if is_complete(store, plan.tree):
        progress.note(f"{plan.config.linkage} linkage of this subset is there already")
        return np.asarray(store.read(path), np.float64)
    progress.note(f"linking {len(plan.subset_frame)} frames ({plan.config.linkage})")
    with store.step(plan.tree, hint=HINT) as journal:
        store.ensure_array(plan.subset_group, plan.linkage, [len(plan.subset_frame) - 1, 4])
        distances = read_distances(store, plan.rmsd, tree_input(plan.config))
        linking = partial(link_as, plan.config, distances, plan.workers)
        # On a thread, since Ctrl-C can't end a process whose main thread is in the middle of C code.
        (tree,) = ThreadExecutor(1).map_unordered(lambda call: call(), [linking])
        assert tree is not None
        journal.commit(store.write_all(path, tree))
    return tree


def label_and_choose(
    store: Store, plan: ClusterPlan, tree: Tree | None, as_planned: Plan, progress: Progress
) -> None:
    """Label the subset, choose leaders and write the clustering.

    `as_planned` has no products, since their shapes are known only now. Raises a `ConfigError` that suggests
    where to cut the tree if the plan doesn't say.
    """
    config, package = plan.config, METHODS[plan.config.method].package
    if tree is not None and config.n_clusters is None and config.cutoff is None:
        raise ConfigError(
            "Where to cut the tree? Give --n-clusters K, or auto, or --cutoff LENGTH (or the same keys in a "
            "config); `twopass scan` judges cuts. "
            f"Its largest gaps suggest {_suggested(tree, config)}. "
            "Distances and linkage are kept: the next call takes seconds."
        )
    distances = read_distances(store, plan.rmsd)
    reason = None
    if config.n_clusters == "auto":
        assert tree is not None
        low, high = DEFAULT_RANGE
        auto = scan_tree(store, plan, tree, distances, low, min(high, len(plan.subset_frame)), progress)
        config, reason = config.model_copy(update={"n_clusters": auto.n_clusters}), auto.reason
        progress.note(f"{config.n_clusters} clusters: {reason}")
    if package is not None:
        progress.note(f"clustering {len(plan.subset_frame):,} frames by {config.method} ({package})")
    found = label_as(config, distances, tree)
    chosen = choose(store, distances, found, plan)
    leaders, n_found = chosen.leaders, len(found.medoids)
    if unled := n_found - len(set(leaders.label.tolist())):
        progress.note(f"no leader for {unled} of {n_found} clusters: they get no frames")
    attrs = {**_attrs(plan, config, n_found, reason), **chosen.attrs()}
    _write(store, plan, as_planned, found, leaders, attrs, chosen.arrays())
    asked = f"{config.n_clusters} asked for" if config.n_clusters else asked_in_words(config)
    progress.note(f"clusters found: {n_found} ({asked}); leaders: {len(leaders.label)}")
    if config.keep_subset_labels:
        changed = 1 - chosen.measured.overall
        progress.note(f"subset frames keep their labels; the leaders would change {changed:.1%} of them")
    heights = distances if tree is None else tree[:, 2]
    doubt_of_cutoff = _doubt_of_cutoff(config, found, heights)
    for doubt in (doubt_of_cutoff, warning(chosen, config), noise_warning(chosen, found.labels)):
        if doubt:
            progress.note(doubt)


def _write(
    store: Store,
    plan: ClusterPlan,
    as_planned: Plan,
    found: FirstPass,
    leaders: Leaders,
    attrs: dict[str, Any],
    more: dict[str, NDArray[Any]],
) -> None:
    """Write a clustering, with `more` arrays that say what its leaders are worth."""
    leader_frame = plan.subset_frame[leaders.subset_index]
    values: dict[str, Rows] = {
        "selected_atom_index": plan.metric.atoms,
        "subset_label": found.labels,
        "leader_frame": leader_frame,
        "leader_label": leaders.label,
        "leader_position": StoredRows(store, "position", leader_frame),
        "medoid_frame": plan.subset_frame[found.medoids],
        **more,
    }
    # Those that may be absent are complete before the others, which tell that a clustering is.
    specs = [spec for spec in (*FAITHFULNESS, *CLUSTERING) if spec.name in values]
    arrays = [*plan.metric.arrays(), *((spec, values[spec.name]) for spec in specs)]
    group = f"clusterings/{plan.config.name}"
    products = tuple(store.product(group, spec, array.shape) for spec, array in arrays)
    store.write_group(replace(as_planned, products=products), group, attrs, arrays, hint=HINT)


def label_all_frames(
    store: Store, plan: ClusterPlan, steps: Sequence[Step], staging: Path, progress: Progress
) -> int:
    """Cluster all frames without distances; returns how many pairs there were to compare."""
    config, as_planned = plan.config, steps[-1].plan
    stage, frames = f"neighbours-{config.name}", plan.subset_frame
    with store.step(plan.distances, hint=HINT, attrs=plan.subset_attrs) as journal:
        store.ensure_array(plan.subset_group, SUBSET[0], [len(frames)])
        journal.commit(store.write_all(f"{plan.subset_group}/subset_frame", frames))
    compared = 0
    if not is_complete(store, as_planned):
        store.begin(steps[1].plan, hint=HINT)
        kept, atoms = StoredState(store, stage, len(frames)), plan.metric.read_atoms
        origin = store.read_positions(FrameRange(0, 1), atoms)[0]
        near = NearFrames(config.cutoff or 0.0, origin, plan.metric.for_kernels())
        file, workers = staging / "positions", plan.workers
        with PositionFile.of(store, len(frames), atoms, file, workers=workers) as positions:
            method = AllFrames(
                positions, near, kept, list_bytes=plan.list_bytes, workers=workers, progress=progress
            )
            found = FirstPass(*method.run())
        compared, n_found = n_pairs(len(frames)), len(found.medoids)
        leaders = Leaders(found.medoids, np.arange(1, n_found + 1, dtype=np.int32))
        _write(store, plan, as_planned, found, leaders, _attrs(plan, config, n_found, None), {})
        progress.note(f"clusters found: {n_found} ({asked_in_words(config)}); their centres lead")
    discard(store, stage)
    return compared


def _attrs(plan: ClusterPlan, config: ClusterConfig, n_found: int, reason: str | None) -> dict[str, Any]:
    """Return the clustering's attributes, but for what its leaders are worth."""
    options, of_package = config.method_options(), ("min_cluster_size", "min_samples", "seed")
    package = METHODS[config.method].package
    return {
        "subset": plan.subset,
        "method": config.method,
        "linkage": plan.linkage and plan.linkage.name,
        "linkage_method": plan.linkage and config.linkage,
        "linkage_input": plan.linkage and config.linkage_input,
        "select": config.select,
        "atoms": plan.atoms_text,
        **plan.metric.attrs(),
        "n_clusters_asked": config.n_clusters,
        "n_clusters_reason": reason,
        "cutoff_nm": config.cutoff,
        **{name: value for name, value in options.items() if name in of_package},
        "n_clusters_found": n_found,
        "label_order": config.label_order,
        "leader_method": config.chosen_by,
        **({} if config.chosen_by == "frames" else leader_options(config)),
        "rule": config.assigned_by,
        "keep_subset_labels": config.keep_subset_labels,
        "provenance": provenance(also=() if package is None else (package,)),
    }


def _doubt_of_cutoff(
    config: ClusterConfig, found: FirstPass, heights: NDArray[np.floating[Any]]
) -> str | None:
    """Say in which range a cutoff makes sense if it left all frames together, or nearly all alone."""
    n_found, n_subset = len(found.medoids), len(found.labels)
    if config.cutoff is None or 1 < n_found <= n_subset / 2:
        return None
    low, high = float(heights.min()), float(heights.max())
    joined = (
        "the tree joins frames at" if METHODS[config.method].makes_tree else "the RMSDs of the frames are"
    )
    # Once is enough: implausible ones were doubted before.
    is_bare = not isinstance(config.cutoff, WithUnit) and not doubt_of_unit("cutoff", config.cutoff)
    unit = "; a number without a unit is in nm (for Å, write --cutoff 2A)" if is_bare else ""
    return (
        f"warning: the cutoff of {format_length(config.cutoff)} gives {n_found} cluster{'s' * (n_found > 1)} "
        f"of {n_subset} frames; {joined} {low:.3g} to {high:.3g} nm ({10 * low:.3g} to {10 * high:.3g} Å). "
        f"Choose one in between{unit}"
    )


def _suggested(tree: NDArray[np.float64], config: ClusterConfig) -> str:
    is_rmsd = config.linkage in HEIGHT_IS_RMSD and config.linkage_input == "condensed"
    values = [
        f"--n-clusters {each.n_clusters}" + (f" (--cutoff {each.cutoff:g})" if is_rmsd else "")
        for each in suggest_n_clusters(tree)
    ]
    return ", ".join(values) or "nothing: all merges are alike, so try --n-clusters 2"
