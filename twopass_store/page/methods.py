"""A paragraph for the methods section of a paper."""

from collections.abc import Mapping
from typing import Any

__all__ = ["methods"]


def methods(facts: Mapping[str, Any]) -> str:
    """Say in plain sentences what was done, with parameters and versions."""
    n_files, n_frames = facts["n_trajectories"], facts["n_frames"]
    length = "" if not facts.get("length_ps") else f" ({facts['length_ps'] / 1000:,.6g} ns)"
    files = "1 trajectory file" if n_files == 1 else f"{n_files:,} trajectory files"
    text = [
        f"{n_frames:,} frames of {files}{length} were clustered in two passes with twopass-store {_v(facts)}."
    ]
    if facts.get("subset_stride"):
        text.append(
            f"In the first pass, every {_ordinal(facts['subset_stride'])} frame "
            f"({facts['n_subset_frames']:,} frames) was compared with every other by "
            f"{facts['metric']}, over {facts['atoms']}."
        )
        text.append(_clustered(facts))
        text.append(
            f"{facts['n_leaders']:,} leaders (method {facts['leader_method']}) stand for the clusters."
        )
    else:
        text.append(f"{facts['n_leaders']:,} structures from outside lead the clusters.")
        text.append(f"Frames were compared with them by {facts['metric']}, over {facts['atoms']}.")
    rule = "In the second pass, every frame took the label of its nearest leader"
    if facts.get("noise_cutoff_nm"):
        rule += f"; frames farther than {facts['noise_cutoff_nm']:g} nm from all of them took none"
    text.append(f"{rule}.")
    if facts.get("recovered_share") is not None:
        text.append(f"{facts['recovered_share']:.1%} of the subset's frames got their first label back.")
    versions = ", ".join(
        f"{name} {version}" for name, version in facts["versions"].items() if name != "twopass-store"
    )
    text.append(f"Versions: {versions}.")
    return " ".join(text)


def _v(facts: Mapping[str, Any]) -> str:
    return str(facts["versions"].get("twopass-store", ""))


def _clustered(facts: Mapping[str, Any]) -> str:
    found = f"{facts['n_clusters_found']:,} clusters"
    if facts["method"] == "gromos":
        return (
            f"The gromos method with a cutoff of {facts['cutoff_nm']:g} nm found {found} (Daura et al. 1999)."
        )
    where = f"at {facts['cutoff_nm']:g} nm" if facts.get("cutoff_nm") else f"into {found}"
    more = f", which gave {found}" if facts.get("cutoff_nm") else ""
    return (
        f"The tree of hierarchical clustering with {facts['linkage_method']} linkage was cut {where}{more}."
    )


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number:,}{'th' if 10 <= number % 100 <= 20 else ends.get(number % 10, 'th')}"
