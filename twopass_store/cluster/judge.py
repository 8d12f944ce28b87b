"""How good the cuts of a tree are, and which one to take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..journal import Plan
from ..linkage import CutQuality, assess_cuts, cophenetic_correlation, cut, stability_of_cuts
from ..progress import Progress
from ..schema import SCAN
from ..store import Store, is_complete, provenance
from .plan import ClusterPlan

__all__ = ["Suggestion", "plan_scan", "scan_tree", "suggest"]

STABLE = 0.8
"""Adjusted Rand index of two halves from which on a cut counts as stable."""

MOSTLY_ONE = 0.95
"""Share of the frames in the largest cluster above which a cut has but parted outliers from the rest."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A number of clusters, and why."""

    n_clusters: int
    reason: str


def plan_scan(store: Store, plan: ClusterPlan, low: int, high: int) -> Plan:
    """Plan the figures of the cuts of one tree into `low` to `high` clusters."""
    n_subset = len(plan.subset_frame)
    if not 2 <= low <= high:
        raise ConfigError(f"--n-clusters {low}:{high}: the first number is at least 2, the last no smaller.")
    if high > n_subset:
        raise ConfigError(
            f"--n-clusters {low}:{high}: the subset has {n_subset} frames. End with fewer clusters, or take "
            "a larger subset (--subset-frames, --stride)."
        )
    assert plan.linkage is not None
    assert plan.tree is not None
    name = f"{plan.subset}-{plan.linkage.name}-{low}-{high}"
    return Plan(
        stage=f"scan-{name}",
        parameters={**plan.tree.parameters, "first": low, "last": high},
        products=tuple(store.product(f"scans/{name}", spec, [high - low + 1]) for spec in SCAN),
        request={},
    )


def scan_tree(
    store: Store,
    plan: ClusterPlan,
    tree: NDArray[np.float64],
    distances: NDArray[np.float32],
    low: int,
    high: int,
    progress: Progress,
) -> Suggestion:
    """Judge the cuts of one tree, or read the figures if they are there; returns what they suggest."""
    as_planned = plan_scan(store, plan, low, high)
    group = as_planned.stage.replace("scan-", "scans/", 1)
    if is_complete(store, as_planned):
        attrs = store.attrs(group)
        return Suggestion(attrs["suggested_n_clusters"], attrs["suggestion_reason"])
    n_subset, config = len(plan.subset_frame), plan.config
    progress.note(f"judging {low} to {high} clusters of {n_subset:,} frames ({config.linkage} linkage)")
    asked = list(range(low, high + 1))
    cuts = assess_cuts(distances, [cut(tree, n_clusters=wanted) for wanted in asked])
    correlation = cophenetic_correlation(distances, tree)
    stability = stability_of_cuts(
        distances,
        method=config.linkage,
        rows=config.linkage_input == "rows",
        n_clusters=asked,
        n_threads=plan.workers,
    )
    suggestion = suggest(asked, cuts, stability)
    columns = {
        "n_clusters": asked,
        "n_clusters_found": [each.n_clusters for each in cuts],
        "stability": stability,
        "smallest_cluster": [each.smallest for each in cuts],
        "largest_cluster": [each.largest for each in cuts],
        **{
            name: [getattr(each, name) for each in cuts]
            for name in ("silhouette", "davies_bouldin", "pseudo_f", "ssr_sst")
        },
    }
    attrs = {
        "subset": plan.subset,
        "linkage_method": config.linkage,
        "linkage_input": config.linkage_input,
        "cophenetic_correlation": None if np.isnan(correlation) else correlation,
        "suggested_n_clusters": suggestion.n_clusters,
        "suggestion_reason": suggestion.reason,
        "provenance": provenance(),
    }
    arrays = [(spec, np.array(columns[spec.name], spec.dtype)) for spec in SCAN]
    store.write_group(as_planned, group, attrs, arrays, hint="")
    return suggestion


def suggest(n_clusters: Sequence[int], cuts: Sequence[CutQuality], stability: Sequence[float]) -> Suggestion:
    """Choose among cuts: the best silhouette of those that are stable and do more than part outliers.

    `n_clusters` are the numbers asked for, ascending; a `stability` of NaN counts as 0.
    """
    silhouette = np.nan_to_num(np.array([each.silhouette for each in cuts]), nan=-1.0)
    alike = np.nan_to_num(np.asarray(stability), nan=0.0)
    is_apart = np.array([each.largest_share <= MOSTLY_ONE for each in cuts])
    pool = is_apart if is_apart.any() else np.ones(len(cuts), dtype=bool)
    most = float(alike[pool].max())
    # Where no cut is stable, those that come near to the most stable one.
    least = STABLE if most >= STABLE else 0.9 * most
    pool = pool & (alike >= least)
    best = int(np.flatnonzero(pool)[silhouette[pool].argmax()])
    among = f"stable between two halves of the subset (adjusted Rand index {alike[best]:.2f})"
    if most < STABLE:
        among = "about as stable as any between two halves of the subset, though none is (adjusted Rand "
        among += f"index {alike[best]:.2f} of at most {most:.2f})"
    reason = f"highest silhouette, {silhouette[best]:.2f}, among the cuts that are {among}"
    if is_apart.any() and not is_apart.all():
        reason += f" and leave no more than {MOSTLY_ONE:.0%} of the frames in one cluster"
    return Suggestion(int(n_clusters[best]), reason)
