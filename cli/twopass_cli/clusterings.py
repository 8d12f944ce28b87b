"""What the commands of the first pass print on stdout."""

import csv
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from twopass_store.cluster import ClusterResult

from .plain import plain
from .tables import count, plain_table, stdout_console

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["print_clustering", "print_scan"]

COLUMNS = {
    "n_clusters": ("clusters", "{:d}"),
    "silhouette": ("silhouette", "{:.3f}"),
    "davies_bouldin": ("Davies-\nBouldin", "{:.3f}"),
    "pseudo_f": ("pseudo-F", "{:,.0f}"),
    "ssr_sst": ("SSR/SST", "{:.3f}"),
    "stability": ("stability", "{:.3f}"),
    "smallest_cluster": ("smallest", "{:,d}"),
    "largest_cluster": ("largest", "{:,d}"),
}
"""Heading and format of each figure in the table."""

FIGURES = ("n_clusters", "n_clusters_found", *list(COLUMNS)[1:])
"""The same and what else there is, in CSV and JSON."""


def print_clustering(store: Path, result: ClusterResult, n_asked: str | None) -> None:
    """Print what a first pass found, and how faithful its leaders are."""
    asked = f" ({n_asked} asked for)" if n_asked and not result.n_clusters_reason else ""
    print(
        f"{store}: clustering {result.name} has {count(result.n_clusters, 'cluster')}{asked} of "
        f"{count(result.n_subset_frames, 'subset frame')} and {count(result.n_leaders, 'leader')}"
    )
    if result.n_clusters_reason:
        print(f"So many since they have the {plain(result.n_clusters_reason)}.")
    print(_faithfulness(result))
    if result.was_complete:
        print("All was done already; nothing was changed.")


def print_scan(scan: "xr.Dataset", form: str) -> None:
    """Print the figures of a scan as ``text``, ``csv`` or ``json``."""
    rows = [
        {"linkage": str(linkage), **{name: _value(scan, name, place, number) for name in FIGURES}}
        for place, linkage in enumerate(scan.linkage.values)
        for number in range(scan.sizes["cut"])
    ]
    if form == "csv":
        writer = csv.DictWriter(sys.stdout, ["linkage", *FIGURES], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    verdicts = [
        {
            "linkage": str(one.linkage.item()),
            "cophenetic_correlation": _number(one.cophenetic_correlation.item()),
            "suggested_n_clusters": int(one.suggested_n_clusters),
            "suggestion_reason": str(one.suggestion_reason.item()),
        }
        for one in (scan.isel(linkage=place) for place in range(scan.sizes["linkage"]))
    ]
    if form == "json":
        print(json.dumps({"cuts": rows, "linkages": verdicts}, indent=2))
        return
    console = stdout_console()
    for verdict in verdicts:
        table = plain_table(console)
        for heading, _ in COLUMNS.values():
            table.add_column(heading, justify="right", no_wrap=True)
        for row in rows:
            if row["linkage"] == verdict["linkage"]:
                cells = ((row[name], form) for name, (_, form) in COLUMNS.items())
                table.add_row(*("–" if value is None else form.format(value) for value, form in cells))
        correlation = verdict["cophenetic_correlation"]
        shown = "undefined" if correlation is None else f"{correlation:.3f}"
        console.print(f"{verdict['linkage']} linkage, cophenetic correlation {shown}", markup=False)
        console.print(table)
        suggested = f"Suggested: {verdict['suggested_n_clusters']} clusters, {verdict['suggestion_reason']}."
        suggested = plain(suggested)
        console.print(suggested, "", sep="\n", markup=False, soft_wrap=True)


def _value(scan: "xr.Dataset", name: str, linkage: int, cut: int) -> float | int | None:
    variable = scan[name] if name == "n_clusters" else scan[name].isel(linkage=linkage)
    return _number(variable.values[cut].item())


def _number(value: float) -> float | int | None:
    """JSON and CSV have no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _faithfulness(result: ClusterResult) -> str:
    if math.isnan(result.faithfulness):
        return "Faithfulness of the leaders: not measured by the version that made it."
    text = f"Faithfulness of the leaders: {result.faithfulness:.1%} of the subset frames keep their label"
    if not math.isnan(result.faithfulness_held_out):
        text += f", {result.faithfulness_held_out:.1%} with leaders chosen from the other half of the subset"
    if result.most_confused:
        pairs = (f"{a} with {b} ({count(frames, 'frame')})" for a, b, frames in result.most_confused)
        text += f"; most often confused: {', '.join(pairs)}"
    return f"{text}."
