"""The tables of ``twopass compare``."""

from typing import TYPE_CHECKING

import numpy as np

from .plain import plain
from .tables import count, print_table, stdout_console

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from rich.console import Console

__all__ = ["print_comparison"]

N_MATCHES = 3
"""Labels listed for a cluster if the whole table is too wide."""


def print_comparison(found: "xr.Dataset") -> None:
    """Print the confusion table, or each cluster's best matches if that is too wide."""
    console = stdout_console()
    table = found.n_frames.to_pandas()
    compared, n_frames = int(table.iloc[:-1, :-1].to_numpy().sum()), int(table.to_numpy().sum())
    index = found.attrs["adjusted_rand"]
    lines = [
        f"{found.attrs['store']}, clustering {found.attrs['clustering']}: {count(len(table) - 1, 'cluster')}",
        f"{found.attrs['other']}: {count(len(table.columns) - 1, 'cluster')}",
        f"Adjusted Rand index {'–' if np.isnan(index) else f'{index:.4f}'} over {count(compared, 'frame')} "
        "with a label on both sides",
    ]
    if compared < n_frames:
        lines.append(
            f"{found.attrs['adjusted_rand_all']:.4f} over all {count(n_frames, 'frame')}, those without a "
            "label taken as one more cluster"
        )
    console.print(*map(plain, lines), "", sep="\n", soft_wrap=True)
    widths = [max(len(f"{table[one].max():,}"), len(str(one)), 4) for one in table.columns]
    if 16 + sum(widths) + 2 * len(widths) <= console.width:
        _print_matrix(console, table, has_none=compared < n_frames)
    else:
        _print_matches(console, table)


def _print_matrix(console: "Console", table: "pd.DataFrame", *, has_none: bool) -> None:
    shown = table if has_none else table.iloc[:-1, :-1]
    rows = [
        ["" if label < 0 else f"C{place}", _name(label), *(f"{one:,}" for one in counts)]
        for place, (label, *counts) in enumerate(shown.itertuples(), 1)
    ]
    print_table(console, ["cluster", "label", *map(_name, shown.columns)], rows)


def _print_matches(console: "Console", table: "pd.DataFrame") -> None:
    rows = []
    for place, (label, counts) in enumerate(table.iloc[:-1].iterrows(), 1):
        best = counts[counts > 0].sort_values(ascending=False, kind="stable")
        total = counts.sum()
        parts = [f"{_name(one)} ({frames / total:.1%})" for one, frames in best.iloc[:N_MATCHES].items()]
        parts += [f"{len(best) - N_MATCHES} more"] if len(best) > N_MATCHES else []
        rows.append([f"C{place}", str(label), f"{total:,}", ", ".join(parts)])
    headings = ["cluster", "label", "frames", "most of them have there"]
    print_table(console, headings, rows, text=headings[3:], note="The whole table: --format csv")


def _name(label: int) -> str:
    return "none" if label < 0 else str(label)
