"""``twopass relocate``: source files have moved."""

from pathlib import Path
from typing import Annotated

import typer

from .options import BreakLock, Debug, StoreArgument

__all__ = ["relocate"]


def relocate(
    store: StoreArgument,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A folder, or a file, as it was recorded.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where that is now.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; list what would be recorded.")
    ] = False,
    break_lock: BreakLock = False,
    debug: Debug = False,
) -> None:
    """Record that trajectory files have moved.

    Each must have the content at its new place that it was ingested with; all are recorded or none. The same
    ingest or run with the new paths then finds all done, or goes on.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.errors import TrajectoryError
        from twopass_store.ingest import relocate_trajectories

        from .plain import plain
        from .tables import count

        result = relocate_trajectories(store, old, new, dry_run=dry_run, break_lock=break_lock)
        moves = [*result.trajectories, *result.topologies]
        if dry_run:
            for move in moves:
                typer.echo(plain(f"{move.old} -> {move.new}" + (f": {move.problem}" if move.problem else "")))
            bad = sum(bool(move.problem) for move in moves)
            if bad:
                raise TrajectoryError(
                    f"{bad} of {count(len(moves), 'file')} can't be relocated. Mend these first"
                )
        if result.was_done:
            typer.echo("All was done already; nothing was changed.")
            return
        tops = f" and {count(len(result.topologies), 'other file')}" if result.topologies else ""
        would = "would be recorded" if dry_run else "recorded"
        files = count(len(result.trajectories), "trajectory file")
        typer.echo(f"{store}: {files}{tops} {would} at the new place")
