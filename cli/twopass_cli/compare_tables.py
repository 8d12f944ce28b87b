"""The tables of ``twopass compare``."""

import csv
import dataclasses
import io
import json

from rich.console import Console
from rich.text import Text

from twopass_store.report import Comparison

from .tables import count, plain_table, stdout_console

__all__ = ["comparison_csv", "comparison_json", "print_comparison"]

N_MATCHES = 3
"""Columns listed for a row where the table is too wide."""


def print_comparison(found: Comparison) -> None:
    """Print the confusion table, or each cluster's best matches where that is too wide."""
    console = stdout_console()
    compared = sum(map(sum, found.counts))
    index = "–" if found.adjusted_rand is None else f"{found.adjusted_rand:.4f}"
    lines = [
        f"{found.path}, clustering {found.name}: {count(len(found.labels), 'cluster')}",
        f"{found.other}: {count(len(found.other_labels), 'cluster')}",
        f"Adjusted Rand index {index} over {count(compared, 'frame')} with a label on both sides",
    ]
    if compared < found.n_frames:
        lines.append(
            f"{found.adjusted_rand_all:.4f} over all {count(found.n_frames, 'frame')}, those without a label "
            "taken as one more cluster"
        )
    console.print(*lines, "", sep="\n", markup=False, soft_wrap=True)
    width = 7 + 9 + max((len(f"{max(row, default=0):,}") for row in found.counts), default=1)
    cell = max(len(f"{compared:,}"), *(len(str(one)) for one in found.other_labels), 4) + 2
    if width + cell * (len(found.other_labels) + 1) <= console.width:
        _print_matrix(console, found)
    else:
        _print_matches(console, found)


def _print_matrix(console: Console, found: Comparison) -> None:
    has_noise = any(found.unlabelled_there) or any(found.unlabelled_here) or found.n_unlabelled_both
    table = plain_table(console)
    for heading in ["rank", "label", *map(str, found.other_labels), *(["none"] if has_noise else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for rank, (label, row) in enumerate(zip(found.labels, found.counts, strict=True), 1):
        cells = [f"C{rank}", str(label), *(f"{one:,}" for one in row)]
        table.add_row(*map(Text, [*cells, *([f"{found.unlabelled_there[rank - 1]:,}"] if has_noise else [])]))
    if has_noise:
        none = ["", "none", *(f"{one:,}" for one in found.unlabelled_here), f"{found.n_unlabelled_both:,}"]
        table.add_row(*map(Text, none))
    console.print(table)


def _print_matches(console: Console, found: Comparison) -> None:
    table = plain_table(console)
    for heading in ("rank", "label", "frames"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("most of them have there", overflow="fold")
    for rank, (label, row) in enumerate(zip(found.labels, found.counts, strict=True), 1):
        total = sum(row) + found.unlabelled_there[rank - 1]
        columns = [
            *zip(row, map(str, found.other_labels), strict=True),
            (found.unlabelled_there[rank - 1], "none"),
        ]
        best = sorted((each for each in columns if each[0]), key=lambda each: -each[0])
        text = ", ".join(f"{name} ({frames / total:.1%})" for frames, name in best[:N_MATCHES])
        more = f", {len(best) - N_MATCHES} more" if len(best) > N_MATCHES else ""
        table.add_row(*map(Text, [f"C{rank}", str(label), f"{total:,}", text + more]))
    console.print(table)
    console.print("The whole table: --format csv", style="dim")


def comparison_csv(found: Comparison) -> str:
    """Return one line a pair of labels that frames have; -1 for none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "other_label", "n_frames"])
    rows = [*zip(found.labels, found.counts, found.unlabelled_there, strict=True)]
    for label, row, none in [*rows, (-1, found.unlabelled_here, found.n_unlabelled_both)]:
        pairs = [*zip(found.other_labels, row, strict=True), (-1, none)]
        writer.writerows([label, other, frames] for other, frames in pairs if frames)
    return text.getvalue()


def comparison_json(found: Comparison) -> str:
    """Return all of it as JSON."""
    return json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False) + "\n"
