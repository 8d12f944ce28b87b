"""What the commands print on stdout."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from twopass_store.config import format_bytes
from twopass_store.ingest import IngestEstimate
from twopass_store.report import StoreStatus
from twopass_store.schema import DEFAULT_METRIC

from .plain import plain, plain_console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "count",
    "csv_text",
    "decimal",
    "formatted",
    "json_text",
    "plain_table",
    "print_estimate",
    "print_facts",
    "print_status",
    "print_table",
    "records",
    "status_json",
    "stdout_console",
]

PLAIN_WIDTH = 200
"""Width of tables where there is no terminal to fit them to."""


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
        tables["_by_".join(map(str, dims))] = records(dataset[names].to_dataframe().reset_index())
    attrs = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in dataset.attrs.items()
    }
    return json.dumps({**attrs, **tables}, indent=2, ensure_ascii=False) + "\n"


def records(frame: "pd.DataFrame") -> Any:
    """Return the rows of a table for JSON, with null for NaN."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def formatted(values: Iterable[Any], form: str) -> list[str]:
    """Write each value in a format, and a dash for NaN."""
    return ["–" if value != value else format(value, form) for value in values]


def print_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Print lines of a label and a text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in facts:
        table.add_row(label, Text(plain(text)))
    console.print(table)


def print_estimate(estimate: IngestEstimate) -> None:
    """Print what an ingest would take."""
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
    console = stdout_console()
    print_facts(console, rows)
    console.print("\nNothing was written.")


def _wall_time(seconds: float) -> str:
    if seconds < 1:
        return "1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def print_status(status: StoreStatus) -> None:
    """Print what is in a store."""
    console = stdout_console()
    header = f"{status.path}  (format {status.format_version}, {format_bytes(status.size_bytes)})"
    source = {"file": "times from the files", "user": "times as given", "index": "no times"}
    sizes = [count(status.n_trajectories, "file"), count(status.n_frames, "frame")]
    sizes += [count(status.n_atoms, "atom"), source.get(status.time_source, "nothing yet")]
    console.print(plain(header), ", ".join(sizes), "", sep="\n")
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
        console.print("", *lines, sep="\n")
    for name, missing in status.n_frames_without_label.items():
        console.print(f"{name}: {missing:,} of {count(status.n_frames, 'frame')} have no label yet")
    console.print("", f"Next: {plain(status.next_command)}", sep="\n", soft_wrap=True)


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


def stdout_console() -> Console:
    """Return what prints on stdout, wide where that is no terminal."""
    return plain_console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
