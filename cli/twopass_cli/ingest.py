"""``twopass ingest``: trajectories into a store."""

from typing import Annotated, Any

import typer

from .options import BreakLock, Debug, Memory, Quiet, Restart, StoreArgument

__all__ = ["ingest"]


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
    break_lock: BreakLock = False,
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
            append_to = store if append else None
            estimate = estimate_ingest(trajectories or (), append_to=append_to, **options, progress=progress)
            print_estimate(estimate)
            return
        result = ingest_trajectories(
            store,
            trajectories or (),
            **options,
            restart=restart,
            break_lock=break_lock,
            append=append,
            progress=progress,
        )
        sizes = f"{count(result.n_frames, 'frame')} of {count(result.n_atoms, 'atom')}"
        typer.echo(f"{store}: {sizes} from {count(result.n_trajectories, 'file')}")
        if result.rounded_by:
            typer.echo(f"Coordinates were rounded, by at most {result.rounded_by:.4g} nm.")
        if not result.n_frames_computed:
            typer.echo("All was done already; nothing was changed.")
