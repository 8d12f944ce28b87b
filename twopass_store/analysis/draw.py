"""The pictures of a clustering with matplotlib, each on axes that the caller may bring."""

from typing import Any

import numpy as np
import xarray as xr

from ..errors import ConfigError
from .distances import dendrogram, distance_map, evenly_spaced, square_distances
from .frames import n_clusters, populations, rmsd_histogram, timeline, transitions

__all__ = ["COLORS", "OTHERS", "Plots", "brief", "color_of", "draw_convergence", "new_figure"]

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7a33e0", "#999933")
"""Of the largest clusters, told apart with any colour vision (after Okabe and Ito, and Tol)."""

OTHERS = "#767676"
"""Of all other clusters."""

NONE = "#ffffff"
N_MATRIX = 600

LEGEND: dict[str, Any] = {
    "title": "cluster",
    "fontsize": "small",
    "frameon": False,
    "loc": "upper left",
    "bbox_to_anchor": (1, 1),
}


def color_of(label: int) -> str:
    """Return the colour of a cluster."""
    return COLORS[label - 1] if 1 <= label <= len(COLORS) else OTHERS


def brief(name: str) -> str:
    """Shorten the name of a run; the end tells more often than the beginning."""
    return name if len(name) <= 20 else f"{name[:5]}…{name[-14:]}"


class Plots:
    """Pictures of the results of a clustering; each method returns matplotlib's axes.

    `ax` are the axes to draw on; None makes a new figure.
    """

    def __init__(self, results: xr.Dataset) -> None:
        self._results = results

    def timeline(self, ax: Any = None) -> Any:
        """Draw the cluster of each frame against time, one row a run; long runs are thinned."""
        ax = _axes(ax)
        from matplotlib.colors import ListedColormap

        rows, colors = timeline(self._results), ListedColormap([*COLORS, OTHERS])
        for height, row in enumerate(rows):
            middles = (row.time[1:] + row.time[:-1]) / 2
            half = np.diff(row.time[:2]).sum() / 2 or 0.5
            edges = np.concatenate([row.time[:1] - half, middles, row.time[-1:] + half])
            shown = np.ma.masked_less(np.minimum(row.label, colors.N), 1)[np.newaxis]
            bar = (height - 0.4, height + 0.4)
            # As paths, an SVG would be large and show seams.
            ax.pcolormesh(edges, bar, shown, cmap=colors, vmin=1, vmax=colors.N, rasterized=True)
        ax.set_yticks(range(len(rows)), [brief(row.name) for row in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        has_times = self._results["time"].attrs.get("time_source") != "index"
        ax.set_xlabel("time (ps)" if has_times else "frame")
        strides = {row.stride for row in rows}
        if strides != {1}:
            ax.set_title(f"1 of {max(strides):,} frames is shown", loc="left", fontsize="small")
        return _legend(ax, self._results)

    def populations(self, ax: Any = None) -> Any:
        """Draw the share of each cluster, with standard errors where there are several runs."""
        ax = _axes(ax)
        found = populations(self._results)
        errors = None if found.share_error.isnull().all() else 100 * found.share_error
        colors = [color_of(int(label)) for label in found.cluster]
        ax.bar(found.cluster, 100 * found.share, yerr=errors, color=colors, capsize=3)
        ax.set(xlabel="cluster", ylabel="share of all frames (%)")
        ax.xaxis.get_major_locator().set_params(integer=True)
        return ax

    def dendrogram(self, ax: Any = None, *, n_leaves: int | None = None) -> Any:
        """Draw the tree above the cut: one leaf a cluster, or `n_leaves`."""
        ax = _axes(ax)
        found = dendrogram(self._results, n_leaves=n_leaves)
        for x, height in zip(found.x, found.height, strict=True):
            ax.plot(x, height, color="0.4", linewidth=1)
        leaves = [f"{label}\n({n})" for label, n in zip(found.label, found.n_frames, strict=True)]
        ax.set_xticks(5 + 10 * np.arange(len(leaves)), leaves)
        for tick, label in zip(ax.get_xticklabels(), found.label, strict=True):
            tick.set_color(color_of(int(label)))
        ax.set(
            xlabel="cluster (subset frames)",
            ylabel="height (nm)" if found.is_rmsd else "height",
            ylim=(0, None),
        )
        return ax

    def map(self, ax: Any = None) -> Any:
        """Draw subset frames in a plane, as far apart as their RMSDs as nearly as it can show."""
        ax = _axes(ax)
        found = distance_map(self._results)
        for label in np.unique(found.label)[::-1]:
            x, y = found.xy[found.label == label].T
            if label > 0:
                ax.scatter(x, y, s=8, color=color_of(int(label)), linewidths=0)
            else:
                ax.scatter(x, y, s=8, color=NONE, edgecolors=OTHERS, label="noise")
        ax.set(xlabel="first coordinate (nm)", ylabel="second coordinate (nm)", aspect="equal")
        ax.set_title(
            f"{found.shown_share:.0%} of the variance is in this plane", loc="left", fontsize="small"
        )
        return _legend(ax, self._results)

    def rmsd_matrix(self, ax: Any = None) -> Any:
        """Draw the RMSDs between subset frames, ordered by cluster; a larger subset is thinned."""
        ax = _axes(ax)
        rows = evenly_spaced(self._results, N_MATRIX)
        labels = self._results["subset_label"].values[rows]
        order = np.argsort(labels, kind="stable")
        matrix = square_distances(self._results, rows)[np.ix_(order, order)]
        image = ax.imshow(matrix, cmap="viridis", interpolation="nearest")
        edges = np.flatnonzero(np.diff(labels[order])) + 0.5
        for edge in edges:
            ax.axhline(edge, color="white", linewidth=0.8)
            ax.axvline(edge, color="white", linewidth=0.8)
        middles = (np.append(-0.5, edges) + np.append(edges, len(rows) - 0.5)) / 2
        # Where clusters are thin, numbers would lie on each other.
        wide = np.diff(edges, prepend=-0.5, append=len(rows) - 0.5) > len(rows) / 30
        for set_ticks in (ax.set_xticks, ax.set_yticks):
            set_ticks(middles[wide], np.unique(labels)[wide])
        ax.set(xlabel="cluster", ylabel="cluster")
        ax.figure.colorbar(image, ax=ax, label="RMSD (nm)")
        return ax

    def rmsd(self, ax: Any = None) -> Any:
        """Draw how far frames are from their leaders."""
        ax = _axes(ax)
        edges, counts = rmsd_histogram(self._results)
        below = np.zeros(len(edges) - 1)
        for label, row in enumerate(counts):
            if row.any():
                color, name = (NONE, "no label") if label == 0 else (color_of(label), None)
                style = {"color": color, "label": name, "ec": "0.5", "lw": 0.2}
                ax.bar(edges[:-1], row, np.diff(edges), below, align="edge", **style)
                below += row
        cutoff = self._results["label_status"].attrs.get("noise_cutoff_nm")
        if cutoff is not None:
            ax.axvline(cutoff, color="0.2", linestyle="--", label="noise cutoff")
        ax.set(xlabel="RMSD to the leader (nm)", ylabel="frames", xlim=(0, edges[-1]))
        return _legend(ax, self._results)

    def transitions(self, ax: Any = None, *, lag: int = 1) -> Any:
        """Draw the probabilities to be in another cluster after so many frames."""
        ax = _axes(ax)
        found = transitions(self._results, lag)
        image = ax.imshow(found.probability, cmap="cividis", vmin=0, vmax=1)
        if found.sizes["cluster"] <= 15:
            for (row, column), value in np.ndenumerate(found.probability.values):
                if value >= 0.005:
                    color = "black" if value > 0.5 else "white"
                    ax.text(
                        column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize="small"
                    )
        ticks = np.arange(found.sizes["cluster"])
        ax.set_xticks(ticks, found.to_cluster.values)
        ax.set_yticks(ticks, found.cluster.values)
        ax.set(xlabel=f"to, after {lag} frame{'s' if lag > 1 else ''}", ylabel="from")
        ax.figure.colorbar(image, ax=ax, label="probability")
        return ax


def draw_convergence(summary: xr.Dataset, ax: Any) -> Any:
    """Draw the shares of the largest clusters in first passes at larger strides, of `summarize`."""
    strides, shares = summary["stride"].values, 100 * summary["stride_share"].values[:, : len(COLORS)]
    for label, share in enumerate(shares.T, 1):
        ax.plot(strides, share, marker="o", color=color_of(label), label=str(label))
    rand = summary["stride_adjusted_rand"].values
    ax.set_xticks(strides, [f"{n}\n({each:.2f})" for n, each in zip(strides, rand, strict=True)])
    ax.set(xlabel="stride (adjusted Rand index with the labels used)", ylabel="share of the subset (%)")
    ax.set_ylim(0, None)
    ax.legend(**LEGEND)
    return ax


def new_figure() -> Any:
    """Return a figure that no window shows; raises a `ConfigError` where matplotlib isn't installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "Pictures need matplotlib, which isn't installed: pip install matplotlib."
        ) from error
    return Figure(layout="constrained")


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    new_figure()
    # Notebooks show the figures of pyplot.
    from matplotlib import pyplot

    return pyplot.figure(layout="constrained").subplots()


def _legend(ax: Any, results: xr.Dataset) -> Any:
    """Name the colours, the largest clusters first."""
    from matplotlib.patches import Patch

    size = n_clusters(results)
    shown = min(size, len(COLORS))
    handles = [Patch(color=COLORS[index], label=str(index + 1)) for index in range(shown)]
    if size > shown:
        handles.append(Patch(color=OTHERS, label="others"))
    named, _ = ax.get_legend_handles_labels()
    ax.legend(handles=handles + list(named), **LEGEND)
    return ax
