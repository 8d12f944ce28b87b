"""The commands that compute: each makes one call of the library and prints what came of it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import BREAK_LOCK, NOTHING_NEW, QUIET, RESTART, Format, StorePath, command
from .plain import say

__all__ = ["adopt", "assign", "cluster", "ingest", "recut", "run", "scan"]

WRITES = (RESTART, BREAK_LOCK, QUIET)

OF_LEADERS = ("select", "leader_labels", "symmetry")
"""Options that only leaders from outside have."""


@command("twopass run configs/demo.toml --set cluster.n_clusters=5", flags=WRITES)
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to do.")],
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where to, instead of the config's store.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one key of the config; repeatable."),
    ] = None,
    **options: Any,
) -> None:
    """Ingest, cluster and assign as a config says, resuming wherever an earlier run was stopped."""
    from twopass_store.config import load_config
    from twopass_store.pipeline import run_pipeline

    from .summary_tables import print_summary

    result = run_pipeline(load_config(config, store=store, overrides=set_ or ()), **options)
    if result.was_complete:
        _say_all_was_done(result.assign.store, result.assign.name)
    else:
        print_summary(result.table)
    say(f"\nMedoids, one model per cluster: {result.medoids}")


@command(
    'twopass ingest run.zarr "md*.xtc" --top system.pdb --select protein', model="IngestConfig", flags=WRITES
)
def ingest(
    store: StorePath,
    trajectories: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TRAJ...", help="Trajectory files or glob patterns, in the order of their frames."
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Estimate frames, memory, disk space and time from samples; write nothing."
        ),
    ] = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add what the store lacks: new files, and frames by which files have grown (a running "
            "simulation). Topology and selection stay those of the store. Without TRAJ, only finish what was "
            "begun or repaired.",
        ),
    ] = False,
    **options: Any,
) -> None:
    """Stream trajectories into a store.

    Reads xtc, trr, dcd, h5, nc, netcdf, mdcrd, xyz, lammpstrj, pdb and gro; with --reader mdanalysis, what
    MDAnalysis reads.
    """
    from twopass_store.config import count
    from twopass_store.ingest import estimate_ingest, ingest_trajectories

    from .results import print_estimate

    files = trajectories or ()
    if plan:
        for name in ("restart", "break_lock"):
            del options[name]
        print_estimate(estimate_ingest(files, append_to=store if append else None, **options))
        return
    result = ingest_trajectories(store, files, append=append, **options)
    sizes = f"{count(result.n_frames, 'frame')} of {count(result.n_atoms, 'atom')}"
    say(f"{store}: {sizes} from {count(result.n_trajectories, 'file')}")
    if result.rounded_by:
        say(f"Coordinates were rounded, by at most {result.rounded_by:.4g} nm.")
    if not result.n_frames_computed:
        say(NOTHING_NEW)


@command("twopass cluster run.zarr --linkage average --cutoff 2A", model="ClusterConfig", flags=WRITES)
def cluster(store: StorePath, **options: Any) -> None:
    """First pass: cluster a subset of the frames by RMSD and pick leaders.

    Give --n-clusters or --cutoff. Distances and tree are kept: under a new --name, another cut or other
    leaders of the same subset take seconds.
    """
    from twopass_store.cluster import cluster_subset

    from .results import print_clustering

    print_clustering(store, cluster_subset(store, **options), options.get("n_clusters"))


@command(
    "twopass scan run.zarr --n-clusters 2:30 --linkage average --linkage ward",
    model="ScanConfig",
    flags=(BREAK_LOCK, QUIET),
)
def scan(
    store: StorePath,
    form: Format = "text",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the figures as well: a png, pdf or svg.")
    ] = None,
    **options: Any,
) -> None:
    """Judge cuts of the tree into several numbers of clusters, and suggest one.

    All figures come from the RMSDs alone. Silhouette: how much nearer frames are to their own cluster than
    to the next, −1 to 1. Davies-Bouldin: spreads over the distance of the medoids; low is good. pseudo-F
    (Calinski-Harabasz) and SSR/SST: sums of squares between clusters, over those within and over all.
    Stability: adjusted Rand index between cuts of two interleaved halves of the subset. Cophenetic
    correlation: of the RMSDs with the heights at which the tree joins them. Distances and trees that are
    missing are computed and kept.
    """
    from twopass_store.cluster import scan_cuts
    from twopass_store.report import check_plot, plot_scan

    from .results import print_scan

    if plot is not None:
        check_plot(plot)
    found = scan_cuts(store, **options)
    print_scan(found, form)
    if plot is not None:
        plot_scan(found, plot)


@command("twopass recut run.zarr --as fine --n-clusters 20", model="RecutConfig", flags=WRITES)
def recut(
    store: StorePath,
    new_name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the new clustering.")],
    **options: Any,
) -> None:
    """Cut the tree of a clustering elsewhere, without computing a distance.

    Subset, distances, tree and the way leaders are chosen stay; the result is a clustering of its own.
    """
    from twopass_store.cluster import recut_clustering

    from .results import print_clustering

    result = recut_clustering(store, new_name=new_name, **options)
    print_clustering(store, result, options.get("n_clusters"))


@command(
    "twopass assign run.zarr --noise-cutoff 1.5A --workers 4",
    model="AssignConfig LeadersConfig",
    flags=WRITES,
)
def assign(
    store: StorePath,
    leaders: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Structures from outside that lead instead, as a clustering of that --name (pdb, gro, h5; "
            "all models of each; repeatable). Atoms are matched by residue and name.",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Second pass: give every frame the label of its nearest leader.

    Leaders are those of the clustering, or structures of your own:
    twopass assign run.zarr --name states --leaders open.pdb --leaders closed.pdb
    """
    from twopass_store.assign import assign_frames
    from twopass_store.report import cluster_table

    from .summary_tables import print_summary

    adopt(store, leaders or (), options)
    result = assign_frames(store, **options)
    if result.n_frames_computed + result.n_margins_computed:
        print_summary(cluster_table(store, result.name))
    else:
        _say_all_was_done(store, result.name)


def _say_all_was_done(store: Path, name: str) -> None:
    # To count frames takes minutes if there are a thousand million.
    say(f"{NOTHING_NEW} The table: twopass summary {shlex.quote(str(store))} --name {name}")


def adopt(store: Path, leaders: Sequence[str], options: dict[str, Any]) -> None:
    """Make a clustering of leaders from outside, if there are any; takes the options that are theirs."""
    from twopass_store.errors import ConfigError

    of_leaders = {name: options.pop(name) for name in OF_LEADERS if name in options}
    if leaders:
        # numba takes a while to import.
        from twopass_store.cluster import adopt_leaders

        options.setdefault("name", "default")
        names = ("name", "restart", "break_lock", "progress", "memory")
        shared = {name: options[name] for name in names if name in options}
        adopt_leaders(store, leaders, **of_leaders, **shared)
    elif foreign := of_leaders.keys() - {"leader_labels"}:
        raise ConfigError(
            f"`{min(foreign)}` goes with `leaders`: other clusterings have their metric already."
        )
