"""``twopass scan`` and ``twopass recut``: where to cut a tree, and another cut of it."""

from pathlib import Path
from typing import Annotated

import typer

from .options import BreakLock, Debug, Memory, Quiet, Restart, StoreArgument, Workers

__all__ = ["recut", "scan"]


def scan(
    store: StoreArgument,
    n_clusters: Annotated[
        str, typer.Option(metavar="LOW:HIGH", help="First and last number of clusters.")
    ] = "2:30",
    linkage: Annotated[
        list[str] | None,
        typer.Option(help="As in twopass cluster; repeatable, to compare.  [default: average]"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Take the subset, atoms and metric of this clustering.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(metavar="DSL", help="Atoms of the RMSD, as in twopass cluster.")
    ] = None,
    subset_frames: Annotated[
        int | None, typer.Option(min=1, help="Frames of the subset at most.  [default: 10000]")
    ] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Every N-th frame of the store instead.")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="text|csv|json", help="How the figures are printed.")
    ] = "text",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them as well: a png, pdf or svg.")
    ] = None,
    memory: Memory = None,
    workers: Workers = None,
    break_lock: BreakLock = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Judge cuts of the tree into several numbers of clusters, and suggest one.

    All figures come from the RMSDs alone. Silhouette: how much nearer frames are to their own cluster than
    to the next, −1 to 1. Davies-Bouldin: spreads over the distance of the medoids, low is good. pseudo-F
    (Calinski-Harabasz) and SSR/SST: sums of squares between clusters, over those within and over all.
    Stability: adjusted Rand index between cuts of two interleaved halves of the subset. Cophenetic
    correlation: of the RMSDs with the heights at which the tree joins them. Whatever is missing (distances,
    tree) is computed and kept.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.cluster import scan_cuts
        from twopass_store.errors import ConfigError
        from twopass_store.report import plot_scan

        from .clusterings import print_scan
        from .console import make_progress

        if form not in ("text", "csv", "json"):
            raise ConfigError(f"--format: {form!r} is none of text, csv and json.")
        found = scan_cuts(
            store,
            n_clusters=n_clusters,
            linkage=linkage or ["average"],
            name=name,
            select=select,
            subset_frames=subset_frames,
            stride=stride,
            memory=memory,
            workers=workers,
            break_lock=break_lock,
            progress=make_progress(quiet=quiet),
        )
        print_scan(found, form)
        if plot is not None:
            plot_scan(found, plot)


def recut(
    store: StoreArgument,
    new_name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the new clustering.")],
    name: Annotated[
        str | None, typer.Option(help="The clustering to cut anew; may be left out where there is only one.")
    ] = None,
    n_clusters: Annotated[
        str | None, typer.Option(metavar="K|auto", help="Cut the tree into so many clusters.")
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH", help="Cut it at this height: 0.2, 0.2nm or 2A. See twopass cluster --help."
        ),
    ] = None,
    memory: Memory = None,
    workers: Workers = None,
    restart: Restart = False,
    break_lock: BreakLock = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Cut the tree of a clustering elsewhere, without computing a distance.

    Subset, distances, tree and the way leaders are chosen stay; the result is a clustering of its own.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.cluster import recut_clustering

        from .clusterings import print_clustering
        from .console import make_progress

        result = recut_clustering(
            store,
            name=name,
            new_name=new_name,
            n_clusters=n_clusters,
            cutoff=cutoff,
            memory=memory,
            workers=workers,
            restart=restart,
            break_lock=break_lock,
            progress=make_progress(quiet=quiet),
        )
        print_clustering(store, result, n_clusters)
