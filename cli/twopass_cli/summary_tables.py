"""The tables of ``twopass summary``, and the one that a run ends with."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from twopass_store.config import format_length
from twopass_store.report import ClusterTable
from twopass_store.schema import DEFAULT_METRIC

from .tables import count, decimal, formatted, print_facts, print_table, stdout_console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["csv_table", "print_clusters", "print_summary"]

NONE = "–"


def print_summary(table: ClusterTable) -> None:
    """Print the table that a run ends with."""
    console, clusters = stdout_console(), SimpleNamespace(**table.columns)
    print_facts(console, _facts(table.attrs))
    columns = {
        "cluster": _names(clusters),
        "label": clusters.label,
        "frames": formatted(clusters.n_frames, ","),
        "share": formatted(clusters.share, ".1%"),
        "faithful": formatted(clusters.faithfulness, ".1%"),
        "mean RMSD\n(nm)": formatted(clusters.rmsd_mean_nm, ".4f"),
    }
    console.print()
    _print(console, "", columns | _medoids(clusters, table.attrs))


def print_clusters(summary: "xr.Dataset") -> None:
    """Print the main columns in tables that fit a terminal of 80 columns."""
    console, clusters, attrs = stdout_console(), _along(summary, "cluster"), summary.attrs
    names, n_runs = _names(clusters), summary.sizes["run"]
    print_facts(console, _facts(attrs))

    columns: dict[str, Iterable[Any]] = {
        "cluster": names,
        "label": clusters.label,
        "frames": formatted(clusters.n_frames, ","),
        "share": formatted(clusters.share, ".1%"),
    }
    note = ""
    if n_runs > 1:
        columns["±"] = formatted(clusters.share_error, ".1%")
        columns["runs"] = [f"{one}{'!' if one == 1 else ' '}" for one in clusters.n_runs]
        note = f"± standard error, bootstrap over {n_runs} runs (seed {attrs['bootstrap_seed']})."
        if (clusters.n_runs == 1).any():
            note += " ! seen in one run only: that population is a matter of luck."
    if not np.isnan(clusters.faithfulness).all():
        columns["faithful"] = formatted(clusters.faithfulness, ".1%")
        columns["held out"] = formatted(clusters.faithfulness_held_out, ".1%")
    _print(console, "Populations", columns, note)

    name_of = dict(zip(clusters.label, names, strict=True))
    columns = {
        "cluster": names,
        "to leader:\nmean ± sd": _mean_sd(clusters.rmsd_mean_nm, clusters.rmsd_sd_nm),
        "\n5 %": formatted(clusters.rmsd_q05_nm, ".4f"),
        "\n50 %": formatted(clusters.rmsd_q50_nm, ".4f"),
        "\n95 %": formatted(clusters.rmsd_q95_nm, ".4f"),
        "all pairs:\nmean ± sd": _mean_sd(clusters.pair_rmsd_mean_nm, clusters.pair_rmsd_sd_nm),
        "nearest\ncluster": [name_of.get(label, NONE) for label in clusters.nearest_label],
        "medoids\napart": formatted(clusters.nearest_rmsd_nm, ".4f"),
    }
    note = "To leader: all frames, with quantiles. All pairs: the subset's frames."
    _print(console, "RMSD (nm)", columns, note)

    if "near_tie_share" in attrs:
        columns = {
            "cluster": names,
            "5 %": formatted(clusters.margin_q05, ".2f"),
            "25 %": formatted(clusters.margin_q25, ".2f"),
            "50 %": formatted(clusters.margin_q50, ".2f"),
            "near a tie": formatted(clusters.near_tie_share, ".1%"),
        }
        note = (
            "1 − RMSD to the leader / RMSD to the nearest leader of another cluster. Near a tie: below 0.1, "
            f"{attrs['near_tie_share']:.1%} of all frames."
        )
        _print(console, "Margins", columns, note)

    unit = "ps" if "length_ps" in attrs else "frames"
    residence, complete, longest = (
        _lengths(getattr(clusters, f"{name}_{unit}"))
        for name in ("residence", "complete_visit", "longest_visit")
    )
    where = f" ({'ps' if unit == 'ps' else 'frame'}{', file' if attrs['n_trajectories'] > 1 else ''})"
    columns = {
        "cluster": names,
        "visits": formatted(clusters.n_visits, ","),
        "cut\noff": formatted(clusters.n_visits - clusters.n_complete_visits, ","),
        "mean\nresidence": residence,
        "complete\nvisits": complete,
        "longest": longest,
        f"first seen{where}": _seen(clusters, attrs, "first"),
        f"last seen{where}": _seen(clusters, attrs, "last"),
    }
    note = (
        "A visit is a stretch of frames in one run without a gap in time. Mean residence: time in all visits "
        "by departures seen, so that visits cut off by a run's beginning or end count too."
    )
    _print(console, f"Visits (in {unit})", columns, note)
    _print(
        console,
        "Medoids" if "subset" in attrs else "Leaders from outside",
        {"cluster": names} | _medoids(clusters, attrs),
    )
    if attrs["n_beyond_noise_cutoff"]:
        _print_noise(console, summary)
    if "group" in summary.dims:
        _print_groups(console, summary)
    if "stride" in summary.dims:
        _print_strides(console, summary)


def csv_table(summary: "xr.Dataset") -> "pd.DataFrame":
    """Return the table of CSV: strides or groups with the clusters if asked for, else the clusters."""
    dim = next((one for one in ("stride", "group") if one in summary.dims), "cluster")
    names = [name for name, values in summary.data_vars.items() if values.dims[0] == dim]
    return summary[names].to_dataframe().reset_index()


def _print_noise(console: Console, summary: "xr.Dataset") -> None:
    attrs, files, bins = summary.attrs, _along(summary, "trajectory_file"), _along(summary, "time_bin")
    inside = files.file_n_beyond_noise_cutoff > 0
    n_beyond = files.file_n_beyond_noise_cutoff[inside]
    columns: dict[str, Iterable[Any]] = {
        "file": [Path(path).name for path in files.trajectory_file[inside]],
        "frames": formatted(n_beyond, ","),
        "of these": formatted(n_beyond / attrs["n_beyond_noise_cutoff"], ".1%"),
    }
    _print(console, f"Farther than {format_length(attrs['noise_cutoff_nm'])} from every leader", columns)
    columns = {
        f"time ({'ps' if 'length_ps' in attrs else 'frame'})": _ranges(
            bins.time_bin_start, bins.time_bin_stop
        ),
        "frames": formatted(bins.time_bin_n_beyond_noise_cutoff, ","),
        "of all then": formatted(bins.time_bin_n_beyond_noise_cutoff / bins.time_bin_n_frames, ".1%"),
    }
    note = (
        f"The longest of {attrs['n_noise_visits']:,} stretches of such frames has "
        f"{count(attrs['longest_noise_visit_frames'], 'frame')}: a long one may be a state that the stride "
        "of the first pass missed."
    )
    _print(console, "… by time", columns, note)


def _print_groups(console: Console, summary: "xr.Dataset") -> None:
    groups, by = _along(summary, "group"), summary.attrs["by"]
    # Files that weren't grouped into runs are runs by their paths.
    names = [Path(name).name if Path(name).is_absolute() else name for name in groups.group]
    if by.startswith("blocks") and summary.sizes["run"] == 1 and hasattr(groups, "group_first_time_ps"):
        # With several runs, times would mean nothing.
        names = [f"{one} ps" for one in _ranges(groups.group_first_time_ps, groups.group_last_time_ps)]
    n_frames, counts = groups.group_n_frames, summary.group_n_frames_of.values
    none = groups.group_n_beyond_noise_cutoff + groups.group_n_not_finite
    room = (console.width - min(max(map(len, names)), 30) - 12 - (8 if none.any() else 0)) // 8
    shown = min(counts.shape[1], max(1, room))
    parts = {f"C{place + 1}": counts[:, place] for place in range(shown)}
    if shown < counts.shape[1]:
        parts["others"] = counts[:, shown:].sum(axis=1)
    if none.any():
        parts["none"] = none
    shares = {heading: formatted(part / n_frames, ".1%") for heading, part in parts.items()}
    kind = {"run": "run", "trajectory": "file"}.get(by, "block of time")
    _print(console, f"Shares by {kind}", {"name": names, "frames": formatted(n_frames, ","), **shares})


def _print_strides(console: Console, summary: "xr.Dataset") -> None:
    strides, shares = _along(summary, "stride"), summary.stride_share.to_pandas()
    columns = {
        "stride": formatted(strides.stride, ","),
        "frames": formatted(strides.stride_n_subset_frames, ",.0f"),
        "clusters": formatted(strides.stride_n_clusters, ".0f"),
        "Rand index": formatted(strides.stride_adjusted_rand, ".3f"),
    }
    for cluster in shares.columns[: max(1, (console.width - 40) // 8)]:
        columns[f"C{cluster}"] = formatted(shares[cluster], ".1%")
    note = (
        "Adjusted Rand index with the labels at the first stride, over the frames that both have. Far below "
        "1, or shares that move: a smaller stride would give other clusters too. Shares of the subset."
    )
    _print(console, "First pass at larger strides", columns, note)


def _facts(attrs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what a clustering was made from, and how."""
    counted = (("n_trajectories", "file"), ("n_frames", "frame"), ("n_atoms", "atom"))
    size = ", ".join(count(attrs[name], noun) for name, noun in counted)
    length = "no times in the files: frames are numbered"
    if "length_ps" in attrs:
        where = {"file": "from the files", "user": "as given"}[attrs["time_source"]]
        length = f"{_duration(attrs['length_ps'])} (times {where})"
    facts = [
        ("Store", f"{attrs['store']}, clustering {attrs['clustering']}"),
        ("Input", f"{size}, {length}"),
        ("RMSD", f"{attrs['n_selected_atoms']:,} of {count(attrs['n_atoms'], 'atom')} ({attrs['atoms']})"),
    ]
    if attrs.get("metric", DEFAULT_METRIC) != DEFAULT_METRIC:
        alignment = f" ({attrs['alignment']})" if "alignment" in attrs else ""
        facts.append(("Metric", f"{attrs['metric']}{alignment}"))
    facts += _passes(attrs)
    if "noise_cutoff_nm" in attrs:
        beyond = attrs["n_beyond_noise_cutoff"]
        text = f"{count(beyond, 'frame')} farther than {format_length(attrs['noise_cutoff_nm'])}"
        facts.append(("No label", f"{text} from every leader ({beyond / attrs['n_frames']:.1%})"))
    if attrs["n_not_finite"]:
        facts.append(("No label", f"{count(attrs['n_not_finite'], 'frame')} that are not finite"))
    versions = json.loads(attrs["versions"])
    return [*facts, ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()))]


def _passes(attrs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what the first pass did, and what leaders the second one had."""
    if "subset" not in attrs:
        each = "each a cluster" if attrs["labels_by"] == "order" else "a cluster for each file"
        return [("Leaders", f"{count(attrs['n_leaders'], 'structure')} from outside, {each}; no first pass")]
    if "cutoff_nm" in attrs:
        asked = f"cut at {format_length(attrs['cutoff_nm'])}"
    else:
        asked = f"{count(attrs['n_clusters_asked'], 'cluster')} asked for"
    every = "every frame" if attrs["subset_stride"] == 1 else f"stride {attrs['subset_stride']}"
    rows = " on the rows of the RMSD matrix" if attrs.get("linkage_input") == "rows" else ""
    by = f"{attrs['linkage_method']} linkage{rows}" if "linkage" in attrs else "gromos"
    first = (
        f"{count(attrs['n_subset_frames'], 'subset frame')} ({every}), {by}, {asked}, "
        f"{attrs['n_clusters_found']} found"
    )
    method = {
        "frames": "chosen by frame",
        "faithful": "faithful",
        "medoid": "medoids" if attrs.get("leaders_per_cluster") == 1 else "medoids, then farthest first",
        "random": f"random, seed {attrs.get('seed')}",
    }[attrs["leader_method"]]
    second = (
        f"{count(attrs['n_leaders'], 'leader')} ({method}), {attrs['recovered_share']:.1%} of the subset "
        "frames got their first-pass label back"
    )
    if "faithfulness_held_out_overall" in attrs:
        second += f", {attrs['faithfulness_held_out_overall']:.1%} with leaders of the other half"
    if attrs.get("most_confused"):
        second += f"; most often confused: {attrs['most_confused']}"
    return [("First pass", first), ("Second pass", second)]


def _medoids(clusters: SimpleNamespace, attrs: Mapping[str, Any]) -> dict[str, Iterable[Any]]:
    inside = "subset" in attrs
    columns: dict[str, Iterable[Any]] = {
        "medoid:\nfile" if inside else "leader:\nfile": [Path(path).name for path in clusters.medoid_path],
        "\nframe" if inside else "\nmodel": clusters.medoid_source_frame,
    }
    if inside and "length_ps" in attrs:
        columns["time\n(ps)"] = [decimal(time) for time in clusters.medoid_time_ps]
    return columns


def _seen(clusters: SimpleNamespace, attrs: Mapping[str, Any], which: str) -> Iterable[str]:
    found = (getattr(clusters, f"{which}_{what}") for what in ("path", "source_frame", "time_ps"))
    for path, frame, time in zip(*found, strict=True):
        when = str(frame) if np.isnan(time) else decimal(time)
        where = f" {Path(path).name}" if attrs["n_trajectories"] > 1 else ""
        yield f"{when}{where}" if path else NONE


def _along(summary: "xr.Dataset", dim: str) -> SimpleNamespace:
    """Return the variables along one dimension."""
    return SimpleNamespace(
        **{str(name): each.values for name, each in summary.variables.items() if each.dims == (dim,)}
    )


def _print(console: Console, title: str, columns: Mapping[str, Iterable[Any]], note: str = "") -> None:
    rows = zip(*columns.values(), strict=True)
    text = [one for one in columns if "file" in one or one == "name"]
    print_table(console, list(columns), rows, text=text, title=title, note=note)


def _names(clusters: SimpleNamespace) -> list[str]:
    return [f"C{rank}" for rank in range(1, len(clusters.label) + 1)]


def _mean_sd(means: Iterable[float], deviations: Iterable[float]) -> list[str]:
    pairs = zip(means, deviations, strict=True)
    return [NONE if np.isnan(mean + sd) else f"{mean:.4f} ± {sd:.4f}" for mean, sd in pairs]


def _lengths(values: Iterable[float]) -> list[str]:
    return [NONE if np.isnan(one) else f"{one:,.4g}" if one < 1e4 else f"{one:,.0f}" for one in values]


def _ranges(starts: Iterable[float], stops: Iterable[float]) -> list[str]:
    return [f"{start:,.6g} – {stop:,.6g}" for start, stop in zip(starts, stops, strict=True)]


def _duration(length_ps: float) -> str:
    for unit in ("ps", "ns"):
        if length_ps < 1000:
            return f"{length_ps:.6g} {unit}"
        length_ps /= 1000
    return f"{length_ps:.6g} µs"
