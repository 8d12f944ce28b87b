"""``twopass assign``: the second pass."""

from typing import Annotated

import typer

from .options import Debug, Memory, Quiet, Restart, StoreArgument, Workers

__all__ = ["assign"]


def assign(
    store: StoreArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the clustering; may be left out where there is only one.")
    ] = None,
    noise_cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="Give frames farther than this from every leader the label -1: 0.2, 0.2nm or 2A.",
        ),
    ] = None,
    margin: Annotated[
        bool,
        typer.Option(
            "--margin",
            help="Find each frame's nearest leader of another cluster too, to tell how sure its label is; "
            "also when the labels are there already. Takes about as long as the labels.",
        ),
    ] = False,
    memory: Memory = None,
    workers: Workers = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a dask.distributed cluster, such as tcp://host:8786."),
    ] = None,
    restart: Restart = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Second pass: give every frame the label of its nearest leader."""
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.assign import assign_frames
        from twopass_store.report import summarize

        from .console import make_progress
        from .tables import print_summary

        result = assign_frames(
            store,
            name=name,
            noise_cutoff=noise_cutoff,
            margin=margin,
            memory=memory,
            workers=workers,
            scheduler=scheduler,
            restart=restart,
            progress=make_progress(quiet=quiet),
        )
        print_summary(summarize(store, result.name))
        if not result.n_frames_computed + result.n_margins_computed:
            typer.echo("\nAll was done already; nothing was changed.")
