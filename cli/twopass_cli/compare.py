"""``twopass compare``: a clustering against one that another program made of the same frames."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .command import Format, StorePath, command

__all__ = ["compare"]


@command("twopass compare run.zarr --with cnumvtime.dat", model="CompareConfig")
def compare(
    store: StorePath,
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
    form: Format = "text",
    **options: Any,
) -> None:
    """Compare labels with those of another program: confusion table and adjusted Rand index."""
    from twopass_store.report import compare_labels

    from .compare_tables import print_comparison
    from .tables import csv_text, json_text

    found = compare_labels(store, other, **options)
    if form == "text":
        print_comparison(found)
    elif form == "json":
        typer.echo(json_text(found), nl=False)
    else:
        pairs = found.n_frames.to_dataframe().reset_index()
        typer.echo(csv_text(pairs[pairs.n_frames > 0]), nl=False)
