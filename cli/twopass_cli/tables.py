"""Tables, CSV and JSON on stdout."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .plain import plain, plain_console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "decimal",
    "formatted",
    "print_csv",
    "print_dataset",
    "print_facts",
    "print_json",
    "print_table",
    "records",
    "stdout_console",
]

PLAIN_WIDTH = 200
"""Width of tables if there is no terminal to fit them to."""


def stdout_console() -> Console:
    """Return what prints on stdout, wide if that is no terminal."""
    return plain_console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    text: Sequence[str] = (),
    title: str = "",
    note: str = "",
) -> None:
    """Print a table; columns whose headings are in `text` are folded or shortened, the others are numbers."""
    console = stdout_console()
    if title:
        console.print("", Text(title, style="bold underline"), sep="\n")
    gap = 2 if console.width >= 100 else 1
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="bold")
    for heading in headings:
        if heading in text:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    cells = [[plain(cell) for cell in row] for row in rows]
    if console.is_terminal:
        _shorten(cells, headings, text, room=console.width - gap * len(headings))
    for row in cells:
        table.add_row(*map(Text, row))
    _print(console, table)
    if note:
        console.print(note, style="dim")


def _shorten(cells: list[list[str]], headings: Sequence[str], text: Sequence[str], *, room: int) -> None:
    """Leave out the middle of names of one word that would be broken, down to 16 characters."""
    columns = list(zip(*cells, strict=True))
    widths = [
        max(map(len, [*heading.split("\n"), *column]))
        for heading, column in zip(headings, columns, strict=False)
    ]
    has_words = [any(" " in cell for cell in column) for column in columns]
    # Words are folded.
    widths = [min(width, 30) if words else width for width, words in zip(widths, has_words, strict=False)]
    for place, width in enumerate(widths):
        if headings[place] in text and not has_words[place]:
            width = max(16, width - max(0, sum(widths) - room))
            widths[place] = min(width, widths[place])
            for row in cells:
                name, half = row[place], (width - 1) // 2
                if len(name) > width:
                    row[place] = f"{name[: width - 1 - half]}…{name[-half:]}"


def _print(console: Console, table: Table) -> None:
    """Print a table; without the blanks that end its lines where it isn't shown on a terminal."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    console.file.write("".join(f"{line.rstrip()}\n" for line in lines))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print lines of a label and a text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in facts:
        table.add_row(label, Text(plain(text)))
    _print(stdout_console(), table)


def _print_data(text: str) -> None:
    # In UTF-8 whatever the encoding of the terminal.
    typer.echo(text.encode(), nl=False)


def print_json(found: Any) -> None:
    """Print plain values as JSON."""
    _print_data(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def print_csv(frame: "pd.DataFrame") -> None:
    """Print a table as CSV; text that a spreadsheet would take for a formula begins with an apostrophe."""

    def neutral(cell: object) -> object:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell

    _print_data(frame.map(neutral).to_csv(index=False, lineterminator="\n"))


def print_dataset(dataset: "xr.Dataset") -> None:
    """Print a dataset as JSON: its attributes, and a list of rows for each set of dimensions."""
    tables: dict[str, Any] = {}
    for dims in dict.fromkeys(variable.dims for variable in dataset.data_vars.values()):
        names = [name for name, variable in dataset.data_vars.items() if variable.dims == dims]
        tables["_by_".join(map(str, dims))] = records(dataset[names].to_dataframe().reset_index())
    attrs = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in dataset.attrs.items()
    }
    print_json({**attrs, **tables})


def records(frame: "pd.DataFrame") -> Any:
    """Return the rows of a table for JSON, with null for NaN."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def formatted(values: Iterable[Any], form: str) -> list[str]:
    """Write each value in a format, and a dash for NaN."""
    return ["–" if value != value else format(value, form) for value in values]


def decimal(value: float) -> str:
    """Write a time with what a float32 in ps holds, without the rest of its binary fraction."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")
