"""``twopass summary``: a finished clustering, cluster by cluster."""

from enum import StrEnum
from typing import Annotated

import typer

from .options import Debug, Memory, StoreArgument

__all__ = ["Format", "summary"]


class Format(StrEnum):
    """What is printed on stdout."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"


def summary(
    store: StoreArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the clustering; may be left out where there is only one.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="run|trajectory|blocks:N",
            help="Count frames by run, by source file, or by N blocks of time: each run is cut into N "
            "blocks, and the k-th blocks of all runs are taken together.",
        ),
    ] = None,
    convergence: Annotated[
        bool,
        typer.Option(
            "--convergence",
            help="Make the first pass again with twice and four times its stride, from the stored distances, "
            "to see whether the stride was fine enough. With csv, that table alone.",
        ),
    ] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="text has the main columns only.")
    ] = Format.TEXT,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap over runs.")] = 0,
    memory: Memory = None,
    debug: Debug = False,
) -> None:
    """Show each cluster of a finished assign: population, spread, visits, and how far to trust them.

    The ± of a population is its standard error by bootstrap over runs. A visit is a stretch of frames in one
    run without a gap in time; the mean residence is the time in all visits divided by the departures seen, so
    that visits cut off by the beginning or the end of a run count too.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.report import summarize

        from .summary_tables import csv_table, print_clusters
        from .tables import csv_text, json_text

        found = summarize(store, name, by=by, convergence=convergence, seed=seed, memory=memory)
        if format_ is Format.TEXT:
            print_clusters(found)
        else:
            text = json_text(found) if format_ is Format.JSON else csv_text(csv_table(found))
            typer.echo(text, nl=False)
