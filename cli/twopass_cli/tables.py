"""What the commands print on stdout."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from twopass_store.config import format_bytes, format_length
from twopass_store.ingest import IngestEstimate
from twopass_store.report import StoreStatus, Summary
from twopass_store.schema import DEFAULT_METRIC

from .plain import plain, plain_console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "count",
    "csv_text",
    "decimal",
    "json_text",
    "plain_table",
    "print_estimate",
    "print_facts",
    "print_status",
    "print_summary",
    "print_table",
    "status_json",
    "stdout_console",
]

PLAIN_WIDTH = 200
"""Width of tables where there is no terminal to fit them to."""


def print_summary(summary: Summary) -> None:
    """Print the table that a run ends with."""
    console = stdout_console()
    print_facts(console, summary)
    console.print()

    rows = plain_table(console)
    for heading in ("rank", "label", "frames", "share", "faithful", "mean RMSD\n(nm)"):
        rows.add_column(heading, justify="right", no_wrap=True)
    is_outside = summary.clustering["subset"] is None
    rows.add_column("leader:\nfile" if is_outside else "medoid:\nfile", overflow="fold")
    rows.add_column("\nmodel" if is_outside else "\nframe", justify="right", no_wrap=True)
    if summary.length_ps is not None and not is_outside:
        rows.add_column("time\n(ps)", justify="right", no_wrap=True)
    for row in summary.clusters:
        cells = [
            f"C{row.rank}",
            str(row.label),
            f"{row.n_frames:,}",
            f"{row.share:.1%}",
            "–" if math.isnan(row.faithfulness) else f"{row.faithfulness:.1%}",
            "–" if math.isnan(row.mean_rmsd_nm) else f"{row.mean_rmsd_nm:.4f}",
            Path(row.medoid_path).name,
            str(row.medoid_source_frame),
            "" if row.medoid_time_ps is None else decimal(row.medoid_time_ps),
        ]
        rows.add_row(*map(Text, map(plain, cells[: len(rows.columns)])))
    console.print(rows)


def print_table(
    console: Console,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: Sequence[str] = (),
    title: str = "",
    note: str = "",
) -> None:
    """Print a table; columns whose headings are in `text` are folded, the others are numbers."""
    if title:
        console.print("", Text(title, style="bold underline"), sep="\n")
    table = plain_table(console)
    for heading in headings:
        if heading in text:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, map(plain, row)))
    console.print(table)
    if note:
        console.print(note, style="dim")


def csv_text(frame: "pd.DataFrame") -> str:
    """Write a table as CSV; text that a spreadsheet would take for a formula begins with an apostrophe."""

    def neutral(cell: object) -> object:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell

    return str(frame.map(neutral).to_csv(index=False, lineterminator="\n"))


def json_text(dataset: "xr.Dataset") -> str:
    """Write a dataset as JSON: its attributes, and a list of rows for each set of dimensions."""
    tables: dict[str, Any] = {}
    for dims in dict.fromkeys(variable.dims for variable in dataset.data_vars.values()):
        names = [name for name, variable in dataset.data_vars.items() if variable.dims == dims]
        frame = dataset[names].to_dataframe().reset_index()
        tables["_by_".join(map(str, dims))] = json.loads(frame.to_json(orient="records", double_precision=15))
    attrs = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in dataset.attrs.items()
    }
    return json.dumps({**attrs, **tables}, indent=2, ensure_ascii=False) + "\n"


def print_facts(console: Console, summary: Summary) -> None:
    """Print what a clustering was made from, and how."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, text in _facts(summary):
        facts.add_row(label, Text(plain(text)))
    console.print(facts)


def print_estimate(estimate: IngestEstimate) -> None:
    """Print what an ingest would take."""
    console = stdout_console()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    runs = f" in {count(estimate.n_runs, 'run')}" if estimate.n_runs else ""
    workers = count(estimate.workers, "worker")
    memory = f"at most {format_bytes(estimate.memory_bytes)} with {workers}"
    if estimate.memory_bytes > estimate.budget_bytes:
        memory += f", MORE than the {format_bytes(estimate.budget_bytes)} that it may use (--memory)"
    else:
        memory += f", and may use {format_bytes(estimate.budget_bytes)}"
    files = format_bytes(estimate.source_bytes)
    rows = [
        ("Files", f"{count(estimate.n_trajectories, 'file')}{runs}, {files}"),
        ("Frames", f"{estimate.n_frames:,} of {estimate.n_source_frames:,}"),
        ("Atoms", f"{estimate.n_atoms:,}"),
        ("Storage", estimate.packing.removeprefix("positions: ")),
        ("Memory", memory),
        ("Disk", f"about {format_bytes(estimate.disk_bytes)}"),
        ("Time", f"about {_wall_time(estimate.seconds)} with {workers}"),
    ]
    for label, text in rows:
        facts.add_row(label, Text(text))
    console.print(facts)
    console.print("\nNothing was written.")


def _wall_time(seconds: float) -> str:
    if seconds < 1:
        return "1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _facts(summary: Summary) -> list[tuple[str, str]]:
    clustering = summary.clustering
    size = ", ".join(
        count(number, noun)
        for number, noun in (
            (summary.n_trajectories, "file"),
            (summary.n_frames, "frame"),
            (summary.n_atoms, "atom"),
        )
    )
    if summary.length_ps is None:
        length = "no times in the files: frames are numbered"
    else:
        where = {"file": "from the files", "user": "as given"}[summary.time_source]
        length = f"{_duration(summary.length_ps)} (times {where})"

    facts = [
        ("Versions", ", ".join(f"{name} {version}" for name, version in summary.versions.items())),
        ("Store", f"{summary.path}, clustering {summary.name}"),
        ("Input", f"{size}, {length}"),
        ("RMSD", f"{summary.n_selected_atoms:,} of {count(summary.n_atoms, 'atom')} ({clustering['atoms']})"),
        *_metric(clustering),
        *_passes(summary),
    ]
    if summary.noise_cutoff_nm is not None:
        beyond = f"{count(summary.n_beyond_noise_cutoff, 'frame')} farther than "
        beyond += f"{format_length(summary.noise_cutoff_nm)} from every leader"
        share = summary.n_beyond_noise_cutoff / summary.n_frames
        facts.append(("No label", f"{beyond} ({share:.1%})"))
    if summary.n_not_finite:
        facts.append(("No label", f"{count(summary.n_not_finite, 'frame')} that are not finite"))
    return facts


def _passes(summary: Summary) -> list[tuple[str, str]]:
    """Say what the first pass did, and what leaders the second one had."""
    clustering = summary.clustering
    if clustering["subset"] is None:
        each = "each a cluster" if clustering["labels_by"] == "order" else "a cluster for each file"
        return [("Leaders", f"{count(summary.n_leaders, 'structure')} from outside, {each}; no first pass")]
    asked = (
        f"{count(clustering['n_clusters_asked'], 'cluster')} asked for"
        if clustering["cutoff_nm"] is None
        else f"cut at {format_length(clustering['cutoff_nm'])}"
    )
    every = "every frame" if summary.subset_stride == 1 else f"stride {summary.subset_stride}"
    rows = " on the rows of the RMSD matrix" if clustering["linkage_input"] == "rows" else ""
    by = "gromos" if clustering["linkage"] is None else f"{clustering['linkage_method']} linkage{rows}"
    first = (
        f"{count(summary.n_subset_frames, 'subset frame')} ({every}), {by}, {asked}, "
        f"{clustering['n_clusters_found']} found"
    )
    one_each = clustering.get("leaders_per_cluster") == 1
    method = {
        "frames": "chosen by frame",
        "faithful": "faithful",
        "medoid": "medoids" if one_each else "medoids, then farthest first",
        "random": f"random, seed {clustering.get('seed')}",
    }[clustering["leader_method"]]
    second = (
        f"{count(summary.n_leaders, 'leader')} ({method}), {summary.recovered_share:.1%} of the subset "
        "frames got their first-pass label back"
    )
    held_out = clustering.get("faithfulness_held_out_overall")
    if held_out is not None:
        second += f", {held_out:.1%} with leaders of the other half"
    confused = clustering.get("most_confused")
    if confused:
        second += f"; most often confused: {confused}"
    return [("First pass", first), ("Second pass", second)]


def _metric(clustering: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say how frames are compared, where that isn't by the minimal RMSD of atoms of equal weight."""
    metric = clustering.get("metric", DEFAULT_METRIC)
    if metric == DEFAULT_METRIC:
        return []
    alignment = clustering.get("alignment")
    return [("Metric", f"{metric} ({alignment})" if alignment else metric)]


def print_status(status: StoreStatus) -> None:
    """Print what is in a store."""
    console = stdout_console()
    header = f"{status.path}  (format {status.format_version}, {format_bytes(status.size_bytes)})"
    source = {"file": "times from the files", "user": "times as given", "index": "no times"}
    sizes = [count(status.n_trajectories, "file"), count(status.n_frames, "frame")]
    sizes += [count(status.n_atoms, "atom"), source.get(status.time_source, "nothing yet")]
    console.print(header, ", ".join(sizes), "", sep="\n", markup=False)
    stages = plain_table(console)
    for heading in ("stage", "progress"):
        stages.add_column(heading, overflow="fold")
    stages.add_column("size", justify="right", no_wrap=True)
    stages.add_column("parameters", overflow="fold", ratio=1)
    for stage in status.stages:
        done = "complete" if stage.complete else f"{stage.units_done} of {count(stage.units, 'unit')}"
        cells = [stage.stage, done, format_bytes(stage.size_bytes), _parameters(stage.parameters)]
        stages.add_row(*map(Text, map(plain, cells)))
    console.print(stages)
    if status.clusterings:
        lines = [plain(_clustering(name, attrs)) for name, attrs in status.clusterings.items()]
        console.print("", *lines, sep="\n", markup=False)
    for name, missing in status.n_frames_without_label.items():
        console.print(
            f"{name}: {missing:,} of {count(status.n_frames, 'frame')} have no label yet", markup=False
        )
    console.print("", f"Next: {status.next_command}", sep="\n", markup=False, soft_wrap=True)


def _clustering(name: str, attrs: Mapping[str, Any]) -> str:
    found = f"Clustering {name}: {count(attrs['n_clusters_found'], 'cluster')}"
    overall, held_out = (attrs.get(f"faithfulness_{part}overall") for part in ("", "held_out_"))
    if overall is not None:
        found += f", faithfulness of the leaders {overall:.1%}"
    if held_out is not None:
        found += f", held out {held_out:.1%} (split by {attrs['held_out_split']})"
    if attrs.get("most_confused"):
        found += f", most often confused {attrs['most_confused']}"
    return found


def status_json(status: StoreStatus) -> str:
    """Return the same as JSON."""
    return json.dumps(dataclasses.asdict(status), indent=2, ensure_ascii=False)


def _parameters(parameters: object) -> str:
    # Digests tell runs apart, but nothing to a reader.
    hidden = ("ingest", "clustering", "assign", "topology", "masses", "align_masses", "reference")
    items = [] if not isinstance(parameters, dict) else list(parameters.items())
    items = [(key, value) for key, value in items if (key, value) != ("metric", DEFAULT_METRIC)]
    shown = [f"{key} {_short(value)}" for key, value in items if key not in hidden and value is not None]
    return ", ".join(shown)


def _short(value: object) -> str:
    if isinstance(value, list) and len(value) > 2:
        return f"{value[0]}, … ({len(value)})"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 90 else f"{text[:57]}…"


def count(number: int, noun: str) -> str:
    """Write a number and what it counts, such as ``1 frame`` and ``2,000 frames``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def decimal(value: float) -> str:
    """Write a time with what a float32 in ps holds, without the rest of its binary fraction."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def plain_table(console: Console) -> Table:
    """Return a table without lines."""
    gap = 2 if console.width >= 100 else 1
    return Table(box=None, padding=(0, gap, 0, 0), header_style="bold")


def _duration(length_ps: float) -> str:
    for unit in ("ps", "ns"):
        if length_ps < 1000:
            return f"{length_ps:.6g} {unit}"
        length_ps /= 1000
    return f"{length_ps:.6g} µs"


def stdout_console() -> Console:
    """Return what prints on stdout, wide where that is no terminal."""
    return plain_console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
