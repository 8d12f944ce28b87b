"""What `twopass verify` and `twopass repair` print."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twopass_store.integrity import Damage, Verification

__all__ = ["print_damage", "print_verification", "verification_json"]


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
