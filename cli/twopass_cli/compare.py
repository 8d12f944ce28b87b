"""``twopass compare``: a clustering against one that another program made of the same frames."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, StoreArgument
from .summary import Format

__all__ = ["compare"]


def compare(
    store: StoreArgument,
    other: Annotated[
        Path,
        typer.Option(
            "--with",
            metavar="FILE",
            help="One label for each frame of the store, in its order: cpptraj's cluster number against time "
            "(cluster ... out cnumvtime.dat), gmx cluster's clid.xvg or log, or a column of integers. "
            "Negative means none.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the clustering; may be left out where there is only one.")
    ] = None,
    column: Annotated[
        int | None, typer.Option(min=1, help="Column of the labels, from 1; by default the last.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="csv has one line a pair of labels.")
    ] = Format.TEXT,
    debug: Debug = False,
) -> None:
    """Compare labels with those of another program: confusion table and adjusted Rand index."""
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.report import compare_labels

        from .compare_tables import print_comparison
        from .tables import csv_text, json_text

        found = compare_labels(store, other, name, column=column)
        if format_ is Format.TEXT:
            print_comparison(found)
        elif format_ is Format.JSON:
            typer.echo(json_text(found), nl=False)
        else:
            pairs = found.n_frames.to_dataframe().reset_index()
            typer.echo(csv_text(pairs[pairs.n_frames > 0]), nl=False)
