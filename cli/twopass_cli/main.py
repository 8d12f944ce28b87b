"""The application: each command parses, makes one library call and prints.

Heavy imports stand inside the commands, so that help answers at once.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from .compare import compare
from .cuts import recut, scan
from .export import export
from .options import Debug, Memory, Name, Quiet, Restart, StoreArgument, Workers
from .relocate import relocate
from .summary import summary

__all__ = ["app"]

app = typer.Typer(
    name="twopass",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Two-pass clustering of molecular dynamics trajectories that do not fit in memory.",
    epilog="Try it: twopass ingest demo.zarr example:alanine-dipeptide.xtc "
    "--top example:alanine-dipeptide.pdb",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"twopass {version('twopass-store')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: twopass run configs/demo.toml --set cluster.n_clusters=5")
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to do.")],
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where, instead of the config's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one key of the config; repeatable."),
    ] = None,
    restart: Restart = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ingest, cluster and assign as a config says, going on wherever an earlier run was stopped."""
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.config import load_config
        from twopass_store.pipeline import run_pipeline

        from .console import make_progress
        from .tables import print_summary

        settings = load_config(config, overrides=set_ or [])
        if store is not None:
            settings = settings.model_copy(update={"store": str(store)})
        result = run_pipeline(settings, restart=restart, progress=make_progress(quiet=quiet))
        print_summary(result.summary)
        typer.echo(f"\nMedoids, one model a cluster in order of rank: {result.medoids}")
        if result.was_complete:
            typer.echo("All was done already; nothing was changed.")


@app.command(epilog='Example: twopass ingest run.zarr "md*.xtc" --top system.pdb --select protein')
def ingest(
    store: StoreArgument,
    trajectories: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TRAJ...", help="Trajectory files or glob patterns, in the order of their frames."
        ),
    ] = None,
    from_list: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A list of trajectories instead: CSV with the columns path, topology, label, run, replica, "
            "temperature (only path must be there), or TOML with a table [[trajectory]] for each. Paths are "
            "relative to the list.",
        ),
    ] = None,
    top: Annotated[
        str | None, typer.Option(metavar="FILE", help="Topology, where the trajectories carry none.")
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="DSL", help='Atoms to keep, in mdtraj\'s language, such as "protein"; all by default.'
        ),
    ] = None,
    ndx: Annotated[
        str | None, typer.Option(metavar="FILE", help="GROMACS index file with the group to keep instead.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Group of --ndx: its name, or its number from 0.")
    ] = None,
    image: Annotated[
        str,
        typer.Option(
            metavar="none|whole|anchor=DSL",
            help="Undo periodic images before atoms are selected: whole makes molecules whole; "
            'anchor=DSL, such as "anchor=protein", also brings the molecules of a selection together, and '
            "the others to them.",
        ),
    ] = "none",
    run_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Which simulation a file is a part of: what the group (?P<run>...), or the first group, "
            "matches in its path, such as '(rep[0-9]+)/'. Parts are put in order of their times.",
        ),
    ] = None,
    overlap: Annotated[
        str,
        typer.Option(
            help="Frames at times that a later part of the run covers again: later (keeps those of the later "
            "part), keep (both), error."
        ),
    ] = "later",
    burn_in: Annotated[
        str | None,
        typer.Option(metavar="TIME", help='Leave out the beginning of each run, such as "100 ns".'),
    ] = None,
    begin: Annotated[
        str | None, typer.Option(metavar="TIME", help="First time kept (a bare number is ps).")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Last time kept.")] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help='Time between the frames kept of each run, such as "100 ps".'),
    ] = None,
    dt: Annotated[
        str | None,
        typer.Option(metavar="TIME", help='Time between frames of formats that have none, such as "10 ps".'),
    ] = None,
    stride: Annotated[
        int,
        typer.Option(min=1, help="Keep every N-th frame of each file (of each run, where there are runs)."),
    ] = 1,
    discard_first: Annotated[
        int, typer.Option(min=0, help="Leave out so many frames at the beginning of each file.")
    ] = 0,
    precision: Annotated[
        str,
        typer.Option(
            metavar="auto|lossless|LENGTH",
            help="How coordinates are stored. auto: exact, as integers where they lie on a grid (XTC), else "
            "as float32. lossless: exact, as float32. A length, 0.001 (nm) or 0.01A, rounds to it.",
        ),
    ] = "auto",
    wide: Annotated[
        bool,
        typer.Option(
            "--wide", help="Integers of 32 bits, for coordinates that 16 don't hold (32.767 nm at 0.001 nm)."
        ),
    ] = False,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="fast|small",
            help="How chunks are compressed. small takes a tenth less space, five times the time to write "
            "and twice the time to read.  [default: fast]",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|SIZE",
            help="Chunks of coordinates in one file. none: one. auto: one, or as many as keep a store under "
            "about 10,000 files. SIZE: as many as fit, such as 256MiB of float32.  [default: auto]",
        ),
    ] = None,
    memory: Memory = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that read, encode and write; by default all processors, one for a small job.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Tell frames, memory, disk and time from a look at samples; write nothing."
        ),
    ] = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add to a store what it hasn't: new files, and frames by which files have grown (a running "
            "simulation). Topology and selection stay those of the store.",
        ),
    ] = False,
    restart: Restart = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stream trajectories into a store.

    Reads xtc, trr, dcd, h5, nc, netcdf, mdcrd, xyz, lammpstrj, pdb and gro.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.ingest import estimate_ingest, ingest_trajectories

        from .console import make_progress
        from .tables import count, print_estimate

        progress = make_progress(quiet=quiet)
        options: dict[str, Any] = {
            "from_list": from_list,
            "top": top,
            "select": select,
            "ndx": ndx,
            "group": group,
            "image": image,
            "run_pattern": run_pattern,
            "overlap": overlap,
            "burn_in": burn_in,
            "begin": begin,
            "end": end,
            "every": every,
            "dt": dt,
            "stride": stride,
            "discard_first": discard_first,
            "precision": precision,
            "wide": wide,
            "codec": codec,
            "shard": shard,
            "memory": memory,
            "workers": workers,
        }
        if plan:
            print_estimate(estimate_ingest(trajectories or (), **options, progress=progress))
            return
        result = ingest_trajectories(
            store, trajectories or (), **options, restart=restart, append=append, progress=progress
        )
        sizes = f"{count(result.n_frames, 'frame')} of {count(result.n_atoms, 'atom')}"
        typer.echo(f"{store}: {sizes} from {count(result.n_trajectories, 'file')}")
        if result.rounded_by:
            typer.echo(f"Coordinates were rounded, by at most {result.rounded_by:.4g} nm.")
        if not result.n_frames_computed:
            typer.echo("All was done already; nothing was changed.")


@app.command(epilog="Example: twopass cluster run.zarr --linkage average --cutoff 2A")
def cluster(
    store: StoreArgument,
    name: Name = "default",
    select: Annotated[
        str | None,
        typer.Option(
            metavar="DSL",
            help="Atoms of the RMSD, in mdtraj's language; by default the C-alphas where there is a protein "
            "of at least 10 residues, else all heavy atoms.",
        ),
    ] = None,
    mass_weighted: Annotated[
        bool,
        typer.Option(
            "--mass-weighted",
            help="Weight atoms by mass, in the fit and in the RMSD. Masses are those of the elements; where "
            "the topology file has no elements (gro, beads), --masses is needed.",
        ),
    ] = False,
    masses: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Masses for --mass-weighted: a number a line for each stored or each selected atom, or "
            "lines such as CA 12.011 or ALA:BB 72.",
        ),
    ] = None,
    no_fit: Annotated[
        bool, typer.Option("--no-fit", help="Compare positions as they are, without superposition.")
    ] = False,
    align_to: Annotated[
        str | None,
        typer.Option(
            metavar="FRAME|FILE",
            help="Superpose every frame once on this frame of the store, or on a structure (pdb, gro, h5) "
            "with the same atoms, by --align-select; then compare --select as it lies. For poses of a "
            'ligand: --align-to 0 --align-select "name CA" --select "resname LIG".',
        ),
    ] = None,
    align_select: Annotated[
        str | None, typer.Option(metavar="DSL", help="Atoms to superpose by, with --align-to.")
    ] = None,
    subset_frames: Annotated[
        int | None,
        typer.Option(min=1, help="Cluster at most so many frames, evenly spaced.  [default: 10000]"),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Cluster every N-th frame of the store instead.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="linkage makes a tree and cuts it. gromos takes the frame with most neighbours nearer than "
            "--cutoff out of the subset, with them, and so on with the rest, as gmx cluster does."
        ),
    ] = "linkage",
    linkage: Annotated[
        str,
        typer.Option(
            help="average, complete, single or weighted: their heights are RMSDs. ward, centroid and median "
            "are made for distances between vectors, and the RMSD is none: on it, ward still gives compact "
            "clusters of like size, but its heights aren't variances, nor those of centroid and median "
            "distances between mean structures, and these two may join clusters at a lower height than "
            "before, which makes fewer than asked for."
        ),
    ] = "average",
    n_clusters: Annotated[
        str | None,
        typer.Option(
            metavar="K|auto",
            help="Cut the tree into so many clusters; auto takes what twopass scan suggests (2 to 30).",
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH",
            help="Cut the tree at this height: 0.2, 0.2nm or 2A (a bare number is nm). Not for ward, "
            "centroid, median and rows, where a height is no RMSD. With gromos, the RMSD of neighbours.",
        ),
    ] = None,
    leader_method: Annotated[
        str | None,
        typer.Option(
            help="faithful: the medoids, then the frames that bring most first-pass labels back. medoid: the "
            "medoid, then farthest first. random: without replacement.  [default: faithful, or medoid with "
            "--leaders-per-cluster]"
        ),
    ] = None,
    leaders_per_cluster: Annotated[
        int | None, typer.Option(min=1, help="Leaders of each cluster, for medoid and random.  [default: 1]")
    ] = None,
    faithfulness: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Add faithful leaders until this share of the subset frames is nearest to a leader of their "
            "own cluster.  [default: 0.95]",
        ),
    ] = None,
    max_leaders: Annotated[
        int | None,
        typer.Option(min=1, help="Faithful leaders at most, in all.  [default: 5 for each cluster]"),
    ] = None,
    leader_frames: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,...", help="Frames of the store that lead instead; they must lie in the subset."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For random leaders.")] = 0,
    linkage_input: Annotated[
        str,
        typer.Option(
            help="condensed takes the RMSDs as distances, which is right. rows takes each frame's row of the "
            "RMSD matrix for a vector and clusters those: what scipy does when handed a square matrix, as "
            "MDTraj's worked example does; kept to reproduce such results."
        ),
    ] = "condensed",
    memory: Memory = None,
    workers: Workers = None,
    restart: Restart = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """First pass: cluster a subset of the frames by RMSD and pick leaders.

    Give --n-clusters or --cutoff. Distances and linkage are kept: under a new --name, another cut or other
    leaders of the same subset take seconds.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.cluster import cluster_subset
        from twopass_store.config import ClusterConfig, validated

        from .clusterings import print_clustering
        from .console import make_progress

        frames = validated(ClusterConfig, {"leader_frames": leader_frames}).leader_frames
        result = cluster_subset(
            store,
            name=name,
            select=select,
            mass_weighted=mass_weighted,
            masses=masses,
            no_fit=no_fit,
            align_to=align_to,
            align_select=align_select,
            subset_frames=subset_frames,
            stride=stride,
            method=method,
            linkage=linkage,
            linkage_input=linkage_input,
            n_clusters=n_clusters,
            cutoff=cutoff,
            leader_method=leader_method,
            leaders_per_cluster=leaders_per_cluster,
            faithfulness=faithfulness,
            max_leaders=max_leaders,
            leader_frames=frames,
            seed=seed,
            memory=memory,
            workers=workers,
            restart=restart,
            progress=make_progress(quiet=quiet),
        )
        print_clustering(store, result, n_clusters)


@app.command(epilog="Example: twopass assign run.zarr --noise-cutoff 1.5A --workers 4")
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


@app.command(epilog="Example: twopass status run.zarr --json | jq .stages")
def status(
    store: StoreArgument,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
    debug: Debug = False,
) -> None:
    """Show what is in a store, how far each stage is, and what to run next."""
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.report import store_status

        from .tables import print_status, status_json

        found = store_status(store)
        if json:
            typer.echo(status_json(found))
        else:
            print_status(found)


app.command(epilog="Example: twopass summary run.zarr --by blocks:5")(summary)
app.command(epilog="Example: twopass compare run.zarr --with cnumvtime.dat")(compare)
app.command(
    epilog="Example: twopass export run.zarr coordinates --to C1.xtc --cluster C1 --top-to C1.pdb",
)(export)
app.command(epilog="Example: twopass scan run.zarr --n-clusters 2:30 --linkage average --linkage ward")(scan)
app.command(epilog="Example: twopass recut run.zarr --as fine --n-clusters 20")(recut)
app.command(epilog="Example: twopass relocate run.zarr /scratch/md /archive/md --dry-run")(relocate)
