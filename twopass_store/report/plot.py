"""Pictures, where matplotlib is installed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, StoreWriteError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check_plot", "draw_scan", "plot_scan"]

PANELS = {
    "silhouette": "silhouette (high)",
    "stability": "stability (high)",
    "davies_bouldin": "Davies–Bouldin (low)",
    "pseudo_f": "pseudo-F (high)",
    "ssr_sst": "SSR/SST",
    "largest_cluster": "largest cluster (frames)",
}


def check_plot(path: str | os.PathLike[str]) -> Path:
    """Refuse what can't be drawn, before what takes time; returns the path.

    Raises
    ------
    ConfigError
        If matplotlib isn't installed, or doesn't know the format.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ConfigError(
            "A plot needs matplotlib, which isn't installed: pip install matplotlib. Or take the figures as "
            "--format csv."
        ) from error
    known: Any = FigureCanvasAgg.filetypes
    if Path(path).suffix.removeprefix(".") not in known:
        raise ConfigError(f"{path}: matplotlib writes no such format. End it in .png, .pdf or .svg.")
    return Path(path)


def plot_scan(scan: "xr.Dataset", path: str | os.PathLike[str]) -> Path:
    """Draw the figures of a scan against the number of clusters.

    Parameters
    ----------
    scan
        What `scan_cuts` returns.
    path
        Where to; the ending says the format (png, pdf, svg). Replaced where it exists.

    Raises
    ------
    ConfigError
        If matplotlib isn't installed, or doesn't know the format.
    StoreWriteError
        If it can't be written.
    """
    path = check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    draw_scan(scan, figure)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise StoreWriteError(f"Cannot write {path}: {error.strerror or error}.") from error
    return path


def draw_scan(scan: "xr.Dataset", figure: Any) -> None:
    """Draw the figures of a scan on an empty figure of matplotlib."""
    panels = figure.subplots(3, 2, sharex=True)
    for axes, (name, label) in zip(panels.flat, PANELS.items(), strict=True):
        for linkage in scan.linkage.values:
            values = scan[name].sel(linkage=linkage)
            (line,) = axes.plot(scan.n_clusters, values, marker=".", linewidth=1, label=str(linkage))
            chosen = scan.n_clusters.values == scan.suggested_n_clusters.sel(linkage=linkage).item()
            axes.plot(
                scan.n_clusters[chosen], np.asarray(values)[chosen], "o", color=line.get_color(), mfc="none"
            )
        axes.set_ylabel(label)
    for axes in panels[-1]:
        axes.set_xlabel("clusters")
    panels[0, 0].plot([], [], "o", color="0.4", mfc="none", label="(suggested)")
    panels[0, 0].legend(title="linkage", frameon=False)
