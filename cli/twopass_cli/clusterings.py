"""What the commands of the first pass print on stdout."""

import math
from pathlib import Path

from twopass_store.cluster import ClusterResult

from .tables import count

__all__ = ["print_clustering"]


def print_clustering(store: Path, result: ClusterResult, n_asked: int | None) -> None:
    """Print what a first pass found, and how faithful its leaders are."""
    asked = f" ({n_asked} asked for)" if n_asked else ""
    print(
        f"{store}: clustering {result.name} has {count(result.n_clusters, 'cluster')}{asked} of "
        f"{count(result.n_subset_frames, 'subset frame')} and {count(result.n_leaders, 'leader')}"
    )
    print(_faithfulness(result))
    if result.was_complete:
        print("All was done already; nothing was changed.")


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
