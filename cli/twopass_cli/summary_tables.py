"""The tables of ``twopass summary``: for people, as CSV and as JSON."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from twopass_store.config import format_length
from twopass_store.report import ClusterDetails, ClusterSummary, Convergence

from .plain import plain
from .tables import count, decimal, plain_table, print_facts, stdout_console

__all__ = ["print_clusters", "summary_csv", "summary_json"]

NONE = "–"


def print_clusters(summary: ClusterSummary) -> None:
    """Print the main columns in tables that fit a terminal of 80 columns."""
    console = stdout_console()
    print_facts(console, summary.overview)
    _populations(console, summary)
    _spread(console, summary.clusters)
    if any(row.margin_q50 is not None for row in summary.clusters):
        _margins(console, summary)
    _visits(console, summary)
    _medoids(console, summary)
    if summary.noise_by_file:
        _noise(console, summary)
    if summary.groups:
        _groups(console, summary)
    if summary.convergence is not None:
        _convergence(console, summary.convergence)


def _print_table(
    console: Console, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], note: str = ""
) -> None:
    console.print()
    console.print(title, style="bold underline", highlight=False)
    table = plain_table(console)
    for heading in headings:
        is_text = heading.lstrip("\n") in ("file", "name", "") or "file" in heading
        if is_text:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, map(plain, row)))
    console.print(table)
    if note:
        console.print(note, style="dim", markup=False, highlight=False)


def _populations(console: Console, summary: ClusterSummary) -> None:
    has_runs, has_faith = len(summary.runs) > 1, any(row.faithfulness is not None for row in summary.clusters)
    headings = ["rank", "label", "frames", "share", *(["±", "runs"] if has_runs else [])]
    headings += ["faithful", "held out"] if has_faith else []
    rows = []
    for row in summary.clusters:
        cells = [f"C{row.rank}", str(row.label), f"{row.n_frames:,}", f"{row.share:.1%}"]
        if has_runs:
            mark = "!" if row.n_runs == 1 else " "
            cells += [_percent(row.share_error), f"{row.n_runs}{mark}"]
        if has_faith:
            cells += [_percent(row.faithfulness), _percent(row.faithfulness_held_out)]
        rows.append(cells)
    note = ""
    if has_runs:
        note = f"± standard error, bootstrap over {len(summary.runs)} runs (seed {summary.seed})."
        if any(row.n_runs == 1 for row in summary.clusters):
            note += " ! seen in one run only: that population is a matter of luck."
    _print_table(console, "Populations", headings, rows, note)


def _spread(console: Console, clusters: Sequence[ClusterDetails]) -> None:
    rank_of = {row.label: row.rank for row in clusters}
    headings = ["rank", "to leader:\nmean ± sd", "\n5 %", "\n50 %", "\n95 %"]
    headings += ["all pairs:\nmean ± sd", "nearest\ncluster", "medoids\napart"]
    rows = [
        [
            f"C{row.rank}",
            _mean_sd(row.rmsd_mean_nm, row.rmsd_sd_nm),
            *map(_length, (row.rmsd_q05_nm, row.rmsd_q50_nm, row.rmsd_q95_nm)),
            _mean_sd(row.pair_rmsd_mean_nm, row.pair_rmsd_sd_nm),
            NONE if row.nearest_label is None else f"C{rank_of[row.nearest_label]}",
            _length(row.nearest_rmsd_nm),
        ]
        for row in clusters
    ]
    note = "To leader: all frames, with quantiles. All pairs: the subset's frames."
    _print_table(console, "RMSD (nm)", headings, rows, note)


def _margins(console: Console, summary: ClusterSummary) -> None:
    rows = [
        [
            f"C{row.rank}",
            *map(_number, (row.margin_q05, row.margin_q25, row.margin_q50)),
            _percent(row.near_tie_share),
        ]
        for row in summary.clusters
    ]
    note = (
        "1 − RMSD to the leader / RMSD to the nearest leader of another cluster. Near a tie: below 0.1, "
        f"{_percent(summary.near_tie_share)} of all frames."
    )
    _print_table(console, "Margins", ["rank", "5 %", "25 %", "50 %", "near a tie"], rows, note)


def _visits(console: Console, summary: ClusterSummary) -> None:
    has_times = summary.overview.length_ps is not None
    unit = "ps" if has_times else "frames"

    def when(path: str | None, frame: int | None, time: float | None) -> str:
        if path is None:
            return NONE
        where = decimal(time) if time is not None else f"{frame}"
        return f"{where} {Path(path).name}" if summary.overview.n_trajectories > 1 else where

    rows = []
    for row in summary.clusters:
        durations = (
            (row.residence_ps, row.complete_visit_ps, row.longest_visit_ps)
            if has_times
            else (row.residence_frames, row.complete_visit_frames, row.longest_visit_frames)
        )
        rows.append(
            [
                f"C{row.rank}",
                f"{row.n_visits:,}",
                f"{row.n_visits - row.n_complete_visits:,}",
                *(
                    NONE if one is None else f"{one:,.4g}" if one < 1e4 else f"{one:,.0f}"
                    for one in durations
                ),
                when(row.first_path, row.first_source_frame, row.first_time_ps),
                when(row.last_path, row.last_source_frame, row.last_time_ps),
            ]
        )
    headings = ["rank", "visits", "cut\noff", "mean\nresidence", "complete\nvisits", "longest"]
    ends = " (ps)" if has_times else " (frame)"
    many = ", file" if summary.overview.n_trajectories > 1 else ""
    headings += [f"first seen{ends}{many}", f"last seen{ends}{many}"]
    note = (
        "A visit is a stretch of frames in one run without a gap in time. Mean residence: time in all visits "
        "by departures seen, so that visits cut off by a run's beginning or end count too."
    )
    _print_table(console, f"Visits (in {unit})", headings, rows, note)


def _medoids(console: Console, summary: ClusterSummary) -> None:
    is_outside = summary.overview.clustering["subset"] is None
    has_times = summary.overview.length_ps is not None and not is_outside
    rows = [
        [
            f"C{row.rank}",
            Path(row.medoid_path).name,
            str(row.medoid_source_frame),
            *([NONE if row.medoid_time_ps is None else decimal(row.medoid_time_ps)] if has_times else []),
        ]
        for row in summary.clusters
    ]
    headings = ["rank", "file", "model" if is_outside else "frame", *(["time (ps)"] if has_times else [])]
    _print_table(console, "Leaders from outside" if is_outside else "Medoids", headings, rows)


def _noise(console: Console, summary: ClusterSummary) -> None:
    overview = summary.overview
    total = overview.n_beyond_noise_cutoff
    rows = [
        [Path(path).name, f"{frames:,}", f"{frames / total:.1%}"] for path, frames in summary.noise_by_file
    ]
    title = f"Farther than {format_length(overview.noise_cutoff_nm or 0)} from every leader"
    note = (
        f"The longest of {summary.n_noise_visits:,} stretches of such frames has "
        f"{count(summary.longest_noise_visit_frames, 'frame')}: a long one may be a state that the stride of "
        "the first pass missed."
    )
    _print_table(console, title, ["file", "frames", "of these"], rows)
    unit = "ps" if overview.length_ps is not None else "frame"
    bins = [
        [
            f"{one.start:,.6g} – {one.stop:,.6g}",
            f"{one.n_beyond_noise_cutoff:,}",
            NONE if not one.n_frames else f"{one.n_beyond_noise_cutoff / one.n_frames:.1%}",
        ]
        for one in summary.noise_by_time
    ]
    _print_table(console, "… by time", [f"time ({unit})", "frames", "of all then"], bins, note)


def _groups(console: Console, summary: ClusterSummary) -> None:
    has_none = any(group.n_beyond_noise_cutoff + group.n_not_finite for group in summary.groups)
    # Files that weren't grouped into runs are runs by their paths.
    names = [
        Path(group.name).name if Path(group.name).is_absolute() else group.name for group in summary.groups
    ]
    if summary.by not in ("run", "trajectory") and len(summary.runs) == 1:
        names = [
            name
            if group.first_time_ps is None or group.last_time_ps is None
            # Those of several runs would mean nothing.
            else f"{group.first_time_ps:,.6g} – {group.last_time_ps:,.6g} ps"
            for name, group in zip(names, summary.groups, strict=True)
        ]
    name_width = min(max(map(len, names), default=0), 30)
    room = (console.width - name_width - 12 - (8 if has_none else 0)) // 8
    shown = min(len(summary.clusters), max(1, room))
    headings = ["name", "frames", *(f"C{rank}" for rank in range(1, shown + 1))]
    headings += [*(["others"] if shown < len(summary.clusters) else []), *(["none"] if has_none else [])]
    rows = []
    for name, group in zip(names, summary.groups, strict=True):
        counts = list(group.n_frames_of[:shown])
        if shown < len(summary.clusters):
            counts.append(sum(group.n_frames_of[shown:]))
        if has_none:
            counts.append(group.n_beyond_noise_cutoff + group.n_not_finite)
        shares = [f"{one / group.n_frames:.1%}" if group.n_frames else NONE for one in counts]
        rows.append([name, f"{group.n_frames:,}", *shares])
    kind = {"run": "run", "trajectory": "file"}.get(summary.by or "", "block of time")
    _print_table(console, f"Shares by {kind}", headings, rows)


def _convergence(console: Console, found: Convergence) -> None:
    shown = min(len(found.labels), max(1, (console.width - 40) // 8))
    headings = ["stride", "frames", "clusters", "Rand index", *(f"C{rank}" for rank in range(1, shown + 1))]
    rows = [
        [
            f"{row.stride:,}",
            f"{row.n_subset_frames:,}",
            str(row.n_clusters),
            f"{row.adjusted_rand:.3f}",
            *map(_percent, row.shares[:shown]),
        ]
        for row in found.rows
    ]
    note = (
        "Adjusted Rand index with the labels at the first stride, over the frames that both have. Far below "
        "1, or shares that move: a smaller stride would give other clusters too. Shares of the subset."
    )
    _print_table(console, "First pass at larger strides", headings, rows, note)


def summary_csv(summary: ClusterSummary) -> str:
    """Return all columns of the clusters; where the summary is split, the frames by group and cluster."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if summary.convergence is not None:
        writer.writerows(_stride_lines(summary.convergence))
        return text.getvalue()
    if not summary.groups:
        names = [one.name for one in dataclasses.fields(ClusterDetails)]
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in summary.clusters)
        return text.getvalue()
    writer.writerow(["group", "rank", "label", "status", "n_frames", "share_of_group"])
    for group in summary.groups:
        lines: list[tuple[int | None, int, str, int]] = [
            (row.rank, row.label, "assigned", frames)
            for row, frames in zip(summary.clusters, group.n_frames_of, strict=True)
        ]
        lines.append((None, -1, "beyond_noise_cutoff", group.n_beyond_noise_cutoff))
        lines.append((None, -1, "not_finite", group.n_not_finite))
        for rank, label, status, frames in lines:
            share = frames / group.n_frames if group.n_frames else None
            writer.writerow([group.name, rank, label, status, frames, share])
    return text.getvalue()


def _stride_lines(found: Convergence) -> Iterable[list[Any]]:
    names = ["stride", "n_subset_frames", "n_clusters", "adjusted_rand"]
    yield [*names, "rank", "label", "share"]
    for row in found.rows:
        for rank, (label, share) in enumerate(zip(found.labels, row.shares, strict=True), 1):
            yield [*(getattr(row, name) for name in names), rank, label, share]


def summary_json(summary: ClusterSummary) -> str:
    """Return all of it as JSON; what isn't known is null."""
    found = dataclasses.asdict(dataclasses.replace(summary, convergence=None))
    if summary.convergence is not None:
        rows = [dataclasses.asdict(row) for row in summary.convergence.rows]
        found["convergence"] = {"labels": summary.convergence.labels, "rows": rows}
    return json.dumps(_plain(found), indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Replace NaN, which JSON doesn't have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.1%}"


def _length(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _mean_sd(mean: float | None, sd: float | None) -> str:
    return NONE if mean is None or sd is None else f"{mean:.4f} ± {sd:.4f}"
