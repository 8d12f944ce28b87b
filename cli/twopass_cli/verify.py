"""``twopass verify``: is a store as it was written?"""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Debug, Quiet, StoreArgument, Workers

if TYPE_CHECKING:
    from twopass_store.integrity import Damage, Verification

__all__ = ["verify"]


def verify(
    store: StoreArgument,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
    workers: Workers = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare every file of a store with the digest that was recorded when it was written.

    Reads all of it once and changes nothing; also while a command writes to the store. The exit code is 0
    where it is whole, 9 where there is damage.
    """
    from .guard import guarded

    with guarded(debug=debug):
        from twopass_store.errors import CorruptChunkError
        from twopass_store.integrity import verify_store

        from .console import make_progress
        from .tables import count

        found = verify_store(store, workers=workers, progress=make_progress(quiet=quiet))
        if json:
            typer.echo(verification_json(found))
        else:
            print_verification(found)
        if not found.is_whole:
            raise CorruptChunkError(f"{store}: {count(len(found.damage), 'file')} damaged or missing.")


def print_verification(found: "Verification") -> None:
    """Print what a verification found."""
    from twopass_store.config import format_bytes

    from .tables import count, stdout_console

    console = stdout_console()
    if found.damage:
        print_damage(console, found.damage)
        console.print()
    for stage in found.unfinished:
        console.print(f"{stage} has not finished; that is no damage", markup=False)
    for note in found.notes:
        console.print(note, markup=False, soft_wrap=True)
    checked = f"{count(found.n_files, 'file')} of {found.path} checked, {format_bytes(found.n_bytes)}"
    console.print(
        f"{checked}: {'all as recorded' if found.is_whole else 'damaged'}", markup=False, soft_wrap=True
    )


def print_damage(console: Any, damage: "tuple[Damage, ...]") -> None:
    """Print a table of what is damaged."""
    from rich.text import Text

    from .tables import plain_table

    rows = plain_table(console)
    rows.add_column("damaged", overflow="fold")
    rows.add_column("part", no_wrap=True)
    rows.add_column("elements", no_wrap=True)
    rows.add_column("problem", overflow="fold")
    rows.add_column("repair", overflow="fold", ratio=1)
    for each in damage:
        part = each.kind if each.chunk is None else f"{each.kind} {each.chunk}"
        cells = [each.path or "the store", part, each.elements or "–", each.problem, each.mend]
        rows.add_row(*map(Text, cells))
    console.print(rows)


def verification_json(found: "Verification") -> str:
    """Return the same as JSON."""
    return json.dumps({**dataclasses.asdict(found), "is_whole": found.is_whole}, indent=2, ensure_ascii=False)
