"""``twopass assign``: the second pass."""

from typing import Annotated

import typer

from .options import BreakLock, Debug, Memory, Quiet, Restart, StoreArgument, Workers

__all__ = ["assign"]


def assign(
    store: StoreArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the clustering; may be left out where there is only one.")
    ] = None,
    leaders: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Structures from outside that lead instead, as a clustering of that --name (pdb, gro, h5; "
            "all models of each; repeatable). Atoms are matched by residue and name.",
        ),
    ] = None,
    leader_labels: Annotated[
        str,
        typer.Option(
            metavar="order|file",
            help="With --leaders: each structure is a cluster, or those of a file are one.",
        ),
    ] = "order",
    select: Annotated[
        str | None,
        typer.Option(metavar="DSL", help="With --leaders: atoms of the RMSD, as in twopass cluster."),
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
    break_lock: BreakLock = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Second pass: give every frame the label of its nearest leader.

    Leaders are those of the clustering, or structures of your own:
    twopass assign run.zarr --name states --leaders open.pdb --leaders closed.pdb
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.assign import assign_frames
        from twopass_store.cluster import adopt_leaders
        from twopass_store.errors import ConfigError
        from twopass_store.report import summarize

        from .console import make_progress
        from .summary_tables import print_summary

        progress = make_progress(quiet=quiet)
        if leaders:
            name = name or "default"
            adopt_leaders(
                store,
                leaders,
                name=name,
                select=select,
                leader_labels=leader_labels,
                restart=restart,
                break_lock=break_lock,
                progress=progress,
            )
        elif select is not None:
            raise ConfigError("--select goes with --leaders: other clusterings have their atoms already.")
        result = assign_frames(
            store,
            name=name,
            noise_cutoff=noise_cutoff,
            margin=margin,
            memory=memory,
            workers=workers,
            scheduler=scheduler,
            restart=restart,
            break_lock=break_lock,
            progress=progress,
        )
        print_summary(summarize(store, result.name, details=False))
        if not result.n_frames_computed + result.n_margins_computed:
            typer.echo("\nAll was done already; nothing was changed.")
