"""A paragraph for the methods section of a paper."""

import json
from collections.abc import Mapping
from typing import Any

import xarray as xr

from ..assign import Rule
from ..config import count
from ..store import Store

__all__ = ["methods"]


def methods(store: Store, summary: xr.Dataset) -> str:
    """Say in plain sentences what was done, with parameters and versions."""
    facts = {**summary.attrs, "n_runs": summary.sizes["run"]}
    if facts.get("subset"):
        subset = store.attrs(f"subsets/{facts['subset']}")
        facts |= {name: subset[name] for name in ("stride", "frame_start", "frame_stop")}
    n_frames, versions = facts["n_frames"], json.loads(facts["versions"])
    length = "" if not facts.get("length_ps") else f" ({facts['length_ps'] / 1000:,.6g} ns in all)"
    atoms = [facts[key] for key in ("atoms", "alignment", "symmetry") if facts.get(key)]
    text = [
        f"{count(n_frames, 'frame')} of {count(facts['n_trajectories'], 'trajectory file')}{length} were "
        f"clustered with twopass-store {versions.pop('twopass-store', '')}.",
        f"Structures were compared by the {facts['metric']}, over "
        f"{count(facts['n_selected_atoms'], 'atom')} ({'; '.join(atoms)}).",
    ]
    n_chosen = facts["n_leaders"] - facts.get("n_cover_leaders", 0)
    if facts.get("subset"):
        text += [_first_pass(facts), *_second_pass(facts, n_chosen)]
    else:
        leaders = f"{count(n_chosen, 'leader')}, which are structures from elsewhere"
        text.append(f"Each frame was given the label of the nearest of {leaders}.")
    if facts.get("cover_nm"):
        text.append(_cover(facts))
    if facts.get("noise_cutoff_nm"):
        beyond = facts["n_beyond_noise_cutoff"]
        beyond -= facts["n_subset_noise"] if Rule.of(facts).keeps_subset else 0
        text.append(
            f"Frames farther than {facts['noise_cutoff_nm']:.6g} nm from every leader were given none "
            f"({count(beyond, 'frame')}, {beyond / n_frames:.1%})."
        )
    if facts.get("faithfulness_overall") is not None:
        held_out = facts.get("faithfulness_held_out_overall")
        other = (
            "" if held_out is None else f" ({held_out:.1%} with leaders chosen from the other half of them)"
        )
        clustered = "clustered " if facts.get("n_subset_noise") else ""
        share = f"{facts['faithfulness_overall']:.1%} of the {clustered}first-pass frames"
        verb = "would have got" if Rule.of(facts).keeps_subset else "got"
        text.append(f"{share} {verb} the label of their own cluster from the leaders{other}.")
    if facts["n_runs"] > 1:
        text.append(
            f"Standard errors of populations are from a bootstrap over {facts['n_runs']:,} runs "
            f"(seed {facts['bootstrap_seed']})."
        )
    text.append(f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}.")
    return " ".join(text)


def _first_pass(facts: Mapping[str, Any]) -> str:
    stride, start, stop = facts["stride"], facts["frame_start"], facts["frame_stop"]
    which = "every frame" if stride == 1 else f"every {_ordinal(stride)} frame"
    if (start, stop) != (0, facts["n_frames"]):
        which += f" from {start:,} to {stop - 1:,}, counted from 0"
    subset = f"In the first pass, {count(facts['n_subset_frames'], 'frame')} ({which})"
    found, cutoff = count(facts["n_clusters_found"], "cluster"), facts.get("cutoff_nm")
    if facts["method"] == "gromos":
        return (
            f"{subset} were clustered by the gromos method (Daura et al., Angew. Chem. Int. Ed. 38 "
            f"(1999) 236) with a cutoff of {cutoff:.6g} nm, which gave {found}."
        )
    if facts["method"] == "hdbscan":
        size, noise = facts["min_cluster_size"], facts["n_subset_noise"]
        return (
            f"{subset} were clustered by HDBSCAN (Campello et al., PAKDD 2013, 160; McInnes et al., J. Open "
            f"Source Softw. 2 (2017) 205) with a minimum cluster size of {size} and "
            f"{count(facts.get('min_samples', size), 'neighbour')} for the density, which gave {found} and "
            f"left {noise / facts['n_subset_frames']:.1%} of the frames as noise."
        )
    if facts["method"] == "kmedoids":
        return (
            f"{subset} were clustered around medoids by FasterPAM (Schubert and Rousseeuw, Inf. Syst. 101 "
            f"(2021) 101804) into {found} (seed {facts['seed']})."
        )
    rows = " of the rows of the RMSD matrix" if facts.get("linkage_input") == "rows" else ""
    where = f"into {found}" if cutoff is None else f"at a height of {cutoff:.6g} nm, which gave {found}"
    return (
        f"{subset} were clustered hierarchically with {facts['linkage_method']} linkage{rows}, and the tree "
        f"was cut {where}."
    )


def _cover(facts: Mapping[str, Any]) -> str:
    added, share = count(facts["n_cover_leaders"], "leader"), f"{facts['cover_share']:.2%} of the frames"
    then = f"each opened a cluster ({share})"
    if facts["cover_link"]:
        opened = count(facts["n_cover_clusters"], "cluster")
        then = (
            f"each joined the cluster at the least distance by {facts['linkage_method']} linkage, if that "
            f"was not above the cut, or opened one ({opened}, {share})"
        )
    return (
        f"Before, frames farther than {facts['cover_nm']:.6g} nm from every leader were made leaders too, "
        f"one after the other in their order, until there was none ({added}); {then}."
    )


def _second_pass(facts: Mapping[str, Any], n_leaders: int) -> list[str]:
    rule, leaders = Rule.of(facts), count(n_leaders, "leader")
    text = f"In the second pass, each frame was given the label of the nearest of {leaders}{_leaders(facts)}."
    if rule.within_nm is not None:
        text = (
            f"In the second pass, there were {leaders}{_leaders(facts)}. Each frame was given the label of "
            f"the first of them, in this order, to which its RMSD was below {rule.within_nm:.6g} nm, or of "
            "the nearest if there was none."
        )
    kept = "The frames of the first pass kept the labels that it had given them."
    return [text, kept] if rule.keeps_subset else [text]


def _leaders(facts: Mapping[str, Any]) -> str:
    share = facts.get("faithfulness")
    return {
        "frames": ", which are frames chosen by hand",
        "medoid": ": medoids of the clusters"
        + ("" if facts.get("leaders_per_cluster") == 1 else ", then frames farthest from them"),
        "centres": ": the centres of the clusters, in the order in which the method found them",
        "random": f", drawn at random from the clusters (seed {facts.get('seed')})",
        "faithful": ": medoids of the clusters, then frames that bring back most first-pass labels"
        + ("" if share is None else f", up to {share:.0%}, at most {facts.get('max_leaders')}"),
    }[facts["leader_method"]]


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number:,}{'th' if 10 <= number % 100 <= 20 else ends.get(number % 10, 'th')}"
