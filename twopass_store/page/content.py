"""What the page shows, as plain values that JSON takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..analysis import COLORS, OTHERS, brief, dendrogram, distance_map, rmsd_histogram, timeline, transitions
from ..assign import Rule
from ..cluster import stored_scan
from ..errors import ConfigError
from ..report import cover_in_words, representative
from ..store import Store
from .methods import methods
from .structures import MAX_BYTES, structures

__all__ = ["page_content", "scan_of"]

N_RUNS = 40
"""Rows of the timeline; of more runs, evenly spaced ones are shown."""

N_POINTS = 1_500
"""Frames on the map; fewer of large structures."""


def page_content(store: Store, results: xr.Dataset, summary: xr.Dataset, *, lag: int) -> dict[str, Any]:
    """Gather what the page shows of a clustering with labels; `lag` of the transitions is in frames."""
    edges, counts = rmsd_histogram(results)
    found: dict[str, Any] = {
        "name": summary.attrs["clustering"],
        "store": Path(summary.attrs["store"]).name,
        "colors": [*COLORS, OTHERS],
        "facts": _facts(summary),
        "methods": methods(store, summary),
        "clusters": list(_clusters(summary)),
        "timeline": _timeline(results),
        "rmsd": {
            "edges": _rounded(edges, 5),
            "counts": counts.tolist(),
            "cutoff": summary.attrs.get("noise_cutoff_nm"),
        },
        "transitions": {"lag": lag, "count": transitions(results, lag)["count"].values.tolist()},
        "convergence": _convergence(summary),
        "scan": _scan(store, results),
    }
    # Each frame on the map brings its structure.
    n_points = min(N_POINTS, MAX_BYTES // (8 * results.sizes["selected_atom"]))
    points = distance_map(results, n_points=n_points) if "rmsd" in results else None
    if points is not None:
        found["map"] = {
            "xy": _rounded(points.xy, 5),
            "frame": points.frame.tolist(),
            "label": points.label.tolist(),
            "share": points.shown_share,
            "n_subset": results.sizes["subset"],
        }
    found["representative"] = representative(summary.attrs)
    found["tree"] = _tree(results)
    found["structures"] = structures(
        store, results, np.empty(0, np.int64) if points is None else points.frame
    )
    return found


def _facts(summary: xr.Dataset) -> dict[str, Any]:
    names = (
        "n_trajectories n_frames n_atoms n_leaders n_clusters_found recovered_share n_beyond_noise_cutoff "
        "n_subset_noise"
    )
    found = {name: _plain(summary.attrs[name]) for name in names.split() if name in summary.attrs}
    rule = Rule.of(summary.attrs)
    if rule.keeps_subset:
        del found["recovered_share"]
    if rule != Rule():
        found["rule"] = rule.text
    if "cover_nm" in summary.attrs:
        found["cover"] = cover_in_words(summary.attrs)
    return found


def _clusters(summary: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield what the table says of each cluster."""
    names = (
        "n_frames share share_error n_runs rmsd_mean_nm faithfulness n_visits residence_ps residence_frames "
        "medoid_path medoid_source_frame medoid_frame medoid_time_ps"
    )
    for row in range(summary.sizes["cluster"]):
        values = {name: _plain(summary[name].values[row]) for name in names.split()}
        values["medoid_path"] = Path(str(values["medoid_path"])).name
        yield {"label": int(summary["cluster"].values[row]), **values}


def _timeline(results: xr.Dataset) -> dict[str, Any]:
    rows = timeline(results)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), N_RUNS)).astype(int))
    shown = [rows[index] for index in chosen]
    return {
        "has_times": results["time"].attrs.get("time_source") != "index",
        "n_runs": len(rows),
        "runs": [
            {
                "name": row.name,
                "brief": brief(row.name),
                "time": _rounded(row.time, 4),
                "label": row.label.tolist(),
                "stride": row.stride,
            }
            for row in shown
        ],
    }


def _convergence(summary: xr.Dataset) -> dict[str, Any] | None:
    if "stride" not in summary.sizes:
        return None
    names = ("stride", "stride_n_subset_frames", "stride_n_clusters", "stride_adjusted_rand")
    found: dict[str, Any] = {name: [_plain(each) for each in summary[name].values] for name in names}
    return {**found, "share": [[_plain(each) for each in row] for row in summary["stride_share"].values]}


def scan_of(store: Store, results: xr.Dataset) -> xr.Dataset | None:
    """Return the stored scan of the tree that a clustering was cut from; None if there is none."""
    names = ("subset", "linkage_method", "linkage_input")
    return stored_scan(store, *(str(results.attrs.get(name)) for name in names))


def _scan(store: Store, results: xr.Dataset) -> dict[str, Any] | None:
    scan = scan_of(store, results)
    if scan is None:
        return None
    names = ("silhouette", "davies_bouldin", "pseudo_f", "ssr_sst", "stability")
    return {
        "n_clusters": scan["n_clusters"].values.tolist(),
        "suggested": _plain(scan["suggested_n_clusters"].values[0]),
        "reason": str(scan["suggestion_reason"].values[0]),
        **{name: [_plain(each) for each in scan[name].values[0]] for name in names},
    }


def _tree(results: xr.Dataset) -> dict[str, Any] | None:
    if results.attrs["n_clusters_found"] < 2:  # nothing is above the cut
        return None
    try:
        found = dendrogram(results)
    except ConfigError:
        return None
    return {
        "x": found.x.tolist(),
        "height": _rounded(found.height, 5),
        "label": found.label.tolist(),
        "n_frames": found.n_frames.tolist(),
        "is_rmsd": found.is_rmsd,
    }


def _rounded(values: NDArray[np.floating[Any]], digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()


def _plain(value: Any) -> Any:
    """Return a value that JSON has: None for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
