"""The tables of ``twopass summary``, and the one that a run ends with."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from twopass_store.assign import Rule
from twopass_store.config import count, format_length, format_time
from twopass_store.report import Summary, cover_in_words, representative
from twopass_store.schema import DEFAULT_METRIC

from .tables import decimal, formatted, print_facts, print_table, stdout_console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["csv_table", "print_clusters", "print_summary"]

Columns = dict[str, tuple[str, str]]
"""Names and formats of variables by their headings."""

POPULATIONS: Columns = {
    "frames": ("n_frames", ",d"),
    "share": ("share", ".1%"),
    "±": ("share_error", ".1%"),
    "runs": ("n_runs", "d"),
    "faithful": ("faithfulness", ".1%"),
    "held out": ("faithfulness_held_out", ".1%"),
}
ENDING: Columns = {
    **{heading: POPULATIONS[heading] for heading in ("frames", "share", "faithful")},
    "mean RMSD\n(nm)": ("rmsd_mean_nm", ".4f"),
}
RMSDS: Columns = {
    "to leader:\nmean": ("rmsd_mean_nm", ".4f"),
    "\nsd": ("rmsd_sd_nm", ".4f"),
    "\n5 %": ("rmsd_q05_nm", ".4f"),
    "\n50 %": ("rmsd_q50_nm", ".4f"),
    "\n95 %": ("rmsd_q95_nm", ".4f"),
    "pairs:\nmean": ("pair_rmsd_mean_nm", ".4f"),
    " \nsd": ("pair_rmsd_sd_nm", ".4f"),
    "nearest\ncluster": ("nearest_label", "d"),
    "medoids\napart": ("nearest_rmsd_nm", ".4f"),
}
MARGINS: Columns = {
    "5 %": ("margin_q05", ".2f"),
    "25 %": ("margin_q25", ".2f"),
    "50 %": ("margin_q50", ".2f"),
    "near a tie": ("near_tie_share", ".1%"),
}
STRIDES: Columns = {
    "stride": ("stride", ",d"),
    "frames": ("stride_n_subset_frames", ",d"),
    "clusters": ("stride_n_clusters", "d"),
    "Rand index": ("stride_adjusted_rand", ".3f"),
}


def print_summary(table: Summary) -> None:
    """Print the table that a run ends with."""
    clusters = _along(table, "cluster")
    print_facts(_facts(table.attrs))
    print()
    _print("", {"cluster": clusters.cluster} | _shown(clusters, ENDING) | _medoids(clusters, table.attrs))
    _print_versions(table.attrs)


def print_clusters(summary: Summary) -> None:
    """Print the main columns in tables that fit a terminal of 80 columns."""
    clusters, attrs = _along(summary, "cluster"), summary.attrs
    numbers, n_runs = {"cluster": clusters.cluster}, len(summary.along("run")["run"])
    print_facts(_facts(attrs))

    populations, note = _shown(clusters, POPULATIONS), ""
    if n_runs == 1:
        del populations["runs"]
    else:
        note = f"± standard error, bootstrap over {n_runs} runs (seed {attrs['bootstrap_seed']})."
        if (clusters.n_runs == 1).any():
            note += " A population seen in one run only is a matter of luck."
    _print("Populations", numbers | populations, note)

    note = "To leader: all frames, with quantiles. Pairs: those of the subset's frames."
    _print("RMSD (nm)", numbers | _shown(clusters, RMSDS), note)

    if "near_tie_share" in attrs:
        note = (
            "1 − RMSD to the leader / RMSD to the nearest leader of another cluster. Near a tie: below 0.1, "
            f"{attrs['near_tie_share']:.1%} of all frames."
        )
        if Rule.of(attrs).within_nm is not None:
            note += " Below 0, and counted as 0, where the rule took a leader that isn't the nearest."
        _print("Margins", numbers | _shown(clusters, MARGINS), note)

    unit = "ps" if "length_ps" in attrs else "frames"
    columns = {
        "visits": formatted(clusters.n_visits, ","),
        "cut off": formatted(clusters.n_visits - clusters.n_complete_visits, ","),
        "mean residence": _lengths(clusters, f"residence_{unit}"),
        "complete visits": _lengths(clusters, f"complete_visit_{unit}"),
        "longest": _lengths(clusters, f"longest_visit_{unit}"),
    }
    note = (
        "A visit is a stretch of frames in one run without a gap in time. Mean residence: time in all visits "
        "by departures seen, so that visits cut off by a run's beginning or end count too."
    )
    _print(f"Visits (in {unit})", numbers | columns, note)
    if attrs.get("n_cover_clusters"):
        _print_opened(clusters, attrs)
    title = "Medoids" if "subset" in attrs else "Leaders from outside"
    _print(title, numbers | _medoids(clusters, attrs))
    if attrs["n_beyond_noise_cutoff"]:
        _print_noise(summary)
    if "group" in summary.variables:
        _print_groups(summary)
    if "stride" in summary.variables:
        _print_strides(summary)
    _print_versions(attrs)


def csv_table(summary: "xr.Dataset") -> "pd.DataFrame":
    """Return the table of CSV: strides or groups with the clusters if asked for, else the clusters."""
    dim = next((one for one in ("stride", "group") if one in summary.dims), "cluster")
    names = [name for name, values in summary.data_vars.items() if values.dims[0] == dim]
    return summary[names].to_dataframe().reset_index()


def _print_opened(clusters: SimpleNamespace, attrs: Mapping[str, Any]) -> None:
    opened = clusters.cluster > attrs["n_clusters_found"]
    time = "time_ps" if "length_ps" in attrs else "frame"
    columns: dict[str, Iterable[Any]] = {
        "cluster": clusters.cluster[opened],
        "frames": formatted(clusters.n_frames[opened], ","),
        "share": formatted(clusters.share[opened], ".2%"),
        "visits": formatted(clusters.n_visits[opened], ","),
    }
    for end in ("first", "last"):
        values = getattr(clusters, f"{end}_{time}")[opened]
        columns[f"{end} seen\n({'ps' if 'length_ps' in attrs else 'frame'})"] = [
            decimal(one) for one in values
        ]
    _print("Clusters opened by the cover", columns)


def _print_noise(summary: Summary) -> None:
    attrs, files, bins = summary.attrs, _along(summary, "trajectory_file"), _along(summary, "time_bin")
    inside = files.file_n_beyond_noise_cutoff > 0
    beyond = files.file_n_beyond_noise_cutoff[inside]
    columns: dict[str, Iterable[Any]] = {
        "file": [Path(path).name for path in files.trajectory_file[inside]],
        "frames": formatted(beyond, ","),
        "of these": formatted(beyond / attrs["n_beyond_noise_cutoff"], ".1%"),
    }
    _print("Frames without a label, by file", columns)
    beyond = bins.time_bin_n_beyond_noise_cutoff
    unit = "ps" if "length_ps" in attrs else "frame"
    columns = {
        f"time ({unit})": _ranges(bins.time_bin_start, bins.time_bin_stop),
        "frames": formatted(beyond, ","),
        "of all then": formatted(beyond / np.maximum(bins.time_bin_n_frames, 1), ".1%"),
    }
    note = (
        f"The longest of {attrs['n_noise_visits']:,} stretches of such frames has "
        f"{count(attrs['longest_noise_visit_frames'], 'frame')}: a long one may be a state that the stride "
        "of the first pass missed."
    )
    _print("… by time", columns, note)


def _print_groups(summary: Summary) -> None:
    groups, by = _along(summary, "group"), summary.attrs["by"]
    # Files that weren't grouped into runs are runs by their paths.
    names = [Path(name).name if Path(name).is_absolute() else name for name in groups.group]
    if by.startswith("blocks") and len(summary.along("run")["run"]) == 1 and "length_ps" in summary.attrs:
        # With several runs, times would mean nothing.
        names = [f"{one} ps" for one in _ranges(groups.group_first_time_ps, groups.group_last_time_ps)]
    counts = summary.variables["group_n_frames_of"][1]
    none = groups.group_n_beyond_noise_cutoff + groups.group_n_not_finite
    room = (stdout_console().width - min(max(map(len, names)), 30) - 20) // 8
    shown = min(counts.shape[1], max(1, room))
    parts = {str(place + 1): counts[:, place] for place in range(shown)}
    parts |= {"others": counts[:, shown:].sum(axis=1)} if shown < counts.shape[1] else {}
    parts |= {"none": none} if none.any() else {}
    shares = {heading: formatted(part / groups.group_n_frames, ".1%") for heading, part in parts.items()}
    kind = {"run": "run", "trajectory": "file"}.get(by, "block of time")
    columns = {"name": names, "frames": formatted(groups.group_n_frames, ","), **shares}
    _print(f"Shares by {kind}", columns)


def _print_strides(summary: Summary) -> None:
    columns, room = _shown(_along(summary, "stride"), STRIDES), max(1, (stdout_console().width - 40) // 8)
    for place, shares in enumerate(summary.variables["stride_share"][1].T[:room], 1):
        columns[str(place)] = formatted(shares, ".1%")
    note = (
        "Adjusted Rand index with the labels at the first stride, over the frames that both have. Far below "
        "1, or shares that move: a smaller stride would give other clusters too. Shares of the subset."
    )
    _print("First pass at larger strides", columns, note)


def _facts(attrs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what a clustering was made from, and how."""
    counted = (("n_trajectories", "file"), ("n_frames", "frame"), ("n_atoms", "atom"))
    size = ", ".join(count(attrs[name], noun) for name, noun in counted)
    length = "no times in the files: frames are numbered"
    if "length_ps" in attrs:
        where = {"file": "from the files", "user": "as given"}[attrs["time_source"]]
        length = f"{format_time(attrs['length_ps'])} (times {where})"
    facts = [
        ("Store", f"{attrs['store']}, clustering {attrs['clustering']}"),
        ("Input", f"{size}, {length}"),
        ("RMSD", f"{attrs['n_selected_atoms']:,} of {count(attrs['n_atoms'], 'atom')} ({attrs['atoms']})"),
    ]
    if attrs.get("metric", DEFAULT_METRIC) != DEFAULT_METRIC:
        more = "; ".join(attrs[key] for key in ("alignment", "symmetry") if key in attrs)
        facts.append(("Metric", f"{attrs['metric']}{more and f' ({more})'}"))
    facts += _passes(attrs)
    if "cover_nm" in attrs:
        facts.append(("Cover", cover_in_words(attrs)))
    beyond, why = attrs["n_beyond_noise_cutoff"], []
    if "noise_cutoff_nm" in attrs:
        why.append(f"farther than {format_length(attrs['noise_cutoff_nm'])} from every leader")
    if attrs["n_subset_noise"] and Rule.of(attrs).keeps_subset:
        why.append("that are noise of the first pass")
    if why:
        text = f"{count(beyond, 'frame')} {' or '.join(why)} ({beyond / attrs['n_frames']:.1%})"
        facts.append(("No label", text))
    if attrs["n_not_finite"]:
        facts.append(("No label", f"{count(attrs['n_not_finite'], 'frame')} that are not finite"))
    return facts


def _print_versions(attrs: Mapping[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in json.loads(attrs["versions"]).items())
    print()
    print_facts([("Versions", versions)])


def _passes(attrs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what the first pass did, and what leaders the second one had."""
    n_chosen = attrs["n_leaders"] - attrs.get("n_cover_leaders", 0)
    if "subset" not in attrs:
        each = "each a cluster" if attrs["labels_by"] == "order" else "a cluster for each file"
        return [("Leaders", f"{count(n_chosen, 'structure')} from outside, {each}; no first pass")]
    if "min_cluster_size" in attrs:
        asked = f"at least {count(attrs['min_cluster_size'], 'frame')} each"
    elif "cutoff_nm" in attrs:
        asked = f"cut at {format_length(attrs['cutoff_nm'])}"
    else:
        asked = f"{count(attrs['n_clusters_asked'], 'cluster')} asked for"
    every = "every frame" if attrs["subset_stride"] == 1 else f"stride {attrs['subset_stride']}"
    rows = " on the rows of the RMSD matrix" if attrs.get("linkage_input") == "rows" else ""
    by = f"{attrs['linkage_method']} linkage{rows}" if "linkage" in attrs else attrs["method"]
    first = (
        f"{count(attrs['n_subset_frames'], 'subset frame')} ({every}), {by}, {asked}, "
        f"{attrs['n_clusters_found']} found"
    )
    if attrs["n_subset_noise"]:
        first += f", {attrs['n_subset_noise'] / attrs['n_subset_frames']:.1%} noise"
    first += ", numbered as by scipy" if attrs.get("label_order") == "linkage" else ""
    method = {
        "frames": "chosen by frame",
        "faithful": "faithful",
        "centres": "centres in the order found",
        "medoid": "medoids" if attrs.get("leaders_per_cluster") == 1 else "medoids, then farthest first",
        "random": f"random, seed {attrs.get('seed')}",
    }[attrs["leader_method"]]
    rule = Rule.of(attrs)
    second = f"{count(n_chosen, 'leader')} ({method})"
    second += "" if rule == Rule() else f", {rule.text}"
    share, got = attrs["recovered_share"], "got"
    if rule.keeps_subset:
        share, got = attrs.get("faithfulness_overall"), "would get"
    if share is not None:
        clustered = "clustered " if attrs["n_subset_noise"] else ""
        second += f", {share:.1%} of the {clustered}subset frames {got} their first-pass label back"
    if "faithfulness_held_out_overall" in attrs:
        second += f", {attrs['faithfulness_held_out_overall']:.1%} with leaders of the other half"
    if attrs.get("most_confused"):
        second += f"; most often confused: {attrs['most_confused']}"
    return [("First pass", first), ("Second pass", second)]


def _medoids(clusters: SimpleNamespace, attrs: Mapping[str, Any]) -> dict[str, Iterable[Any]]:
    noun = representative(attrs)
    inside = noun != "leader"
    columns: dict[str, Iterable[Any]] = {
        f"{noun}:\nfile": [Path(path).name for path in clusters.medoid_path],
        "\nframe" if inside else "\nmodel": clusters.medoid_source_frame,
    }
    if inside and "length_ps" in attrs:
        columns["time\n(ps)"] = [decimal(time) for time in clusters.medoid_time_ps]
    return columns


def _along(summary: Summary, dim: str) -> SimpleNamespace:
    return SimpleNamespace(**summary.along(dim))


def _shown(variables: SimpleNamespace, columns: Columns) -> dict[str, Iterable[Any]]:
    """Write variables in their formats, but for those of which nothing is known."""
    return {
        heading: formatted(values, form)
        for heading, (name, form) in columns.items()
        if not np.isnan(values := getattr(variables, name)).all()
    }


def _lengths(clusters: SimpleNamespace, name: str) -> list[str]:
    values = getattr(clusters, name)
    return ["–" if np.isnan(one) else f"{one:,.4g}" if one < 1e4 else f"{one:,.0f}" for one in values]


def _ranges(starts: Iterable[float], stops: Iterable[float]) -> list[str]:
    return [f"{start:,.6g} – {stop:,.6g}" for start, stop in zip(starts, stops, strict=True)]


def _print(title: str, columns: Mapping[str, Iterable[Any]], note: str = "") -> None:
    text = [one for one in columns if "file" in one or one == "name"]
    print_table(list(columns), zip(*columns.values(), strict=True), text=text, title=title, note=note)
