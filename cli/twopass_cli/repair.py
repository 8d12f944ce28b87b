"""``twopass repair``: discard what is damaged, for the next run to make it anew."""

from pathlib import Path
from typing import Annotated

import typer

from .options import BreakLock, Debug, Quiet, StoreArgument

__all__ = ["repair"]


def repair(
    store: StoreArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; tell what would be done.")
    ] = False,
    break_lock: BreakLock = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Mend what `twopass verify` finds, so that the next run makes exactly that anew.

    Metadata come back from copies in the journal. Damaged chunks are discarded, and computed again, or read
    again from the source files if these are unchanged, by the commands that are printed. What was made from
    them stays: they come back with the same bytes.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.errors import CorruptChunkError
        from twopass_store.integrity import repair_store

        from .console import make_progress
        from .tables import count, stdout_console
        from .verify import print_damage

        result = repair_store(
            store, dry_run=dry_run, break_lock=break_lock, progress=make_progress(quiet=quiet)
        )
        console = stdout_console()
        if result.was_whole:
            typer.echo(f"{store}: all as recorded; nothing to repair.")
        else:
            print_damage(console, result.damage)
        for source in result.sources:
            is_there = "" if Path(source).is_file() else ", WHICH IS NOT THERE: see twopass relocate"
            typer.echo(f"Read again from {source}{is_there}")
        for number, command in enumerate(result.commands):
            typer.echo(f"{'Then' if number else 'Next'}: {command}")
        if dry_run and result.damage:
            typer.echo("Nothing was changed.")
        if result.left:
            raise CorruptChunkError(f"{store}: {count(len(result.left), 'file')} can't be mended, see above.")
