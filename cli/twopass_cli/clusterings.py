"""What the commands of the first pass print on stdout."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from twopass_store.cluster import ClusterResult

from .plain import plain
from .tables import count, csv_text, formatted, print_table, records, stdout_console

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["print_clustering", "print_scan"]

COLUMNS = {
    "n_clusters": ("clusters", "d"),
    "silhouette": ("silhouette", ".3f"),
    "davies_bouldin": ("Davies-\nBouldin", ".3f"),
    "pseudo_f": ("pseudo-F", ",.0f"),
    "ssr_sst": ("SSR/SST", ".3f"),
    "stability": ("stability", ".3f"),
    "smallest_cluster": ("smallest", ",d"),
    "largest_cluster": ("largest", ",d"),
}
"""Heading and format of each figure in the table."""

FIGURES = ("n_clusters", "n_clusters_found", *list(COLUMNS)[1:])
"""The same and what else there is, in CSV and JSON."""

VERDICTS = ("cophenetic_correlation", "suggested_n_clusters", "suggestion_reason")
"""What there is for each linkage."""


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
    rows = scan[list(FIGURES)].to_dataframe(dim_order=["linkage", "cut"]).reset_index()
    rows = rows[["linkage", *FIGURES]]
    verdicts = scan[list(VERDICTS)].to_dataframe()
    if form == "csv":
        print(csv_text(rows), end="")
        return
    if form == "json":
        print(json.dumps({"cuts": records(rows), "linkages": records(verdicts.reset_index())}, indent=2))
        return
    console = stdout_console()
    for linkage, verdict in verdicts.iterrows():
        correlation = verdict.cophenetic_correlation
        shown = "undefined" if math.isnan(correlation) else f"{correlation:.3f}"
        cuts = rows[rows.linkage == linkage]
        cells = zip(*(formatted(cuts[name], form) for name, (_, form) in COLUMNS.items()), strict=True)
        console.print(f"{linkage} linkage, cophenetic correlation {shown}")
        print_table(console, [heading for heading, _ in COLUMNS.values()], cells)
        suggested = f"Suggested: {verdict.suggested_n_clusters} clusters, {verdict.suggestion_reason}."
        console.print(plain(suggested), "", sep="\n", soft_wrap=True)


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
