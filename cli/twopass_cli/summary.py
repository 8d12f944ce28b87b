"""``twopass summary``: a finished clustering, cluster by cluster."""

from typing import Any

import typer

from .command import Format, StorePath, command

__all__ = ["summary"]


@command("twopass summary run.zarr --by blocks:5", model="SummaryConfig")
def summary(store: StorePath, form: Format = "text", **options: Any) -> None:
    """Show each cluster of a finished assign: population, spread, visits, and how far to trust them.

    The ± of a population is its standard error by bootstrap over runs. A visit is a stretch of frames in one
    run without a gap in time; the mean residence is the time in all visits divided by the departures seen, so
    that visits cut off by the beginning or the end of a run count too.
    """
    from twopass_store.report import summarize

    from .summary_tables import csv_table, print_clusters
    from .tables import csv_text, json_text

    found = summarize(store, **options)
    if form == "text":
        print_clusters(found)
    else:
        typer.echo(json_text(found) if form == "json" else csv_text(csv_table(found)), nl=False)
