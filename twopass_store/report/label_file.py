"""Labels that other programs gave the same frames: cpptraj, gmx cluster, or any column of integers."""

import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["read_labels"]

LINES_AT_ONCE = 65_536

COMMENTS = "#@&"
"""What begins a line that holds no label: cpptraj's headings, xvg's settings and its ends of data."""

_LOG_HEADER = re.compile(r"\s*cl\.\s*\|\s*#st")
_NUMBER = re.compile(r"[+-]?(\d|\.\d)")


def read_labels(
    path: Path, *, column: int | None = None, times: Callable[[], NDArray[np.float64]]
) -> Iterator[NDArray[np.int64]]:
    """Read one label a frame, piece by piece.

    Parameters
    ----------
    path
        A table of numbers, one frame a line, with the label in its last column: ``cnumvtime`` of cpptraj
        (frame, cluster), ``clid.xvg`` of gmx cluster (time, cluster), labels alone, CSV with or without a
        heading. Lines that begin with ``#``, ``@`` or ``&`` are passed over. Or the log of gmx cluster, which
        lists the times of each cluster's members.
    column
        Which column instead of the last, from 1.
    times
        Gives the times of all frames, ps, in their order; called for a log only.

    Yields
    ------
    Labels of consecutive frames, shape (n,).

    Raises
    ------
    ConfigError
        If the file can't be read, a line has no integer there, or frames are numbered with gaps.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"Cannot read labels from {path}: it is no regular file. Save them in one.")
        with path.open(encoding="utf-8") as lines:
            if any(_LOG_HEADER.match(line) for line in islice(lines, 10_000)):
                lines.seek(0)
                yield _members(path, lines, times())
                return
            lines.seek(0)
            yield from _table(path, lines, column)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read labels from {path}: {error}.") from error


def _table(path: Path, lines: Iterator[str], column: int | None) -> Iterator[NDArray[np.int64]]:
    is_numbered = has_heading = False
    rows = _rows(lines)
    for first in rows:
        if first[1][0] in COMMENTS:
            # As cpptraj heads its columns; the first then has the frames, from 1.
            is_numbered |= first[1].startswith("#Frame")
        elif has_heading or _NUMBER.match(first[1]):
            break
        else:
            has_heading = True
    else:
        raise ConfigError(f"{path} holds no labels: give a file with one line a frame.")
    separator = "," if "," in first[1] else ";" if ";" in first[1] else None
    n_columns = len(first[1].split(separator))
    place = n_columns - 1 if column is None else column - 1
    if not 0 <= place < n_columns:
        raise ConfigError(f"{path} has {n_columns} columns, and no column {column}.")
    n_read = 0
    rows = chain([first], (row for row in rows if row[1][0] not in COMMENTS))
    while part := list(islice(rows, LINES_AT_ONCE)):
        fields = [row.split(separator) for _, row in part]
        values = _numbers(path, part, fields, place)
        if is_numbered and n_columns > 1:
            numbers = _numbers(path, part, fields, 0)
            wrong = np.flatnonzero(numbers != np.arange(n_read + 1, n_read + 1 + len(part)))
            if len(wrong):
                line, due = part[wrong[0]][0], n_read + int(wrong[0]) + 1
                raise ConfigError(
                    f"{path}, line {line}: frame {numbers[wrong[0]]} stands where frame {due} is due. Labels "
                    "must be those of all frames of the store, in its order."
                )
        n_read += len(part)
        yield values


def _rows(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, numbered from 1."""
    return ((number, text) for number, line in enumerate(lines, 1) if (text := line.strip()))


def _numbers(
    path: Path, part: list[tuple[int, str]], fields: list[list[str]], place: int
) -> NDArray[np.int64]:
    try:
        values = np.array([field[place] for field in fields], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            integers = values.astype(np.int64)
        if (integers == values).all():
            return integers
    except (ValueError, IndexError):
        pass
    for (number, text), field in zip(part, fields, strict=True):
        try:
            is_integer = float(field[place]).is_integer()
        except (ValueError, IndexError):
            is_integer = False
        if not is_integer:
            raise ConfigError(f"{path}, line {number}: {text[:40]!r} has no integer in column {place + 1}.")
    raise ConfigError(f"{path}: a label is too large.")


def _members(path: Path, lines: Iterator[str], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Read the log of gmx cluster: clusters with the times of their members, six digits each."""
    frame_at: dict[str, int] = {}
    for frame, time in enumerate(times):
        # Refused at the first, so that a long trajectory doesn't fill the memory with its times.
        if frame_at.setdefault(f"{time:.6g}", frame) != frame:
            raise ConfigError(
                f"{path} is a log of gmx cluster, which tells frames by their times, and several frames of "
                "the store have the same time to six digits. Use its clid.xvg (gmx cluster -clid) instead."
            )
    labels = np.full(len(times), -1, np.int64)
    inside, label, n_listed = False, 0, 0
    for number, line in enumerate(lines, 1):
        if _LOG_HEADER.match(line):
            inside = True
            continue
        fields = line.split("|")
        if not inside or len(fields) != 4:
            continue
        try:
            label = int(np.int64(fields[0])) if fields[0].strip() else label
            members = [f"{float(text):.6g}" for text in fields[3].split()]
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{path}, line {number}: {line.strip()[:40]!r} lists no frames.") from error
        for text in members:
            if text not in frame_at:
                raise ConfigError(f"{path}, line {number}: no frame of the store has the time {text} ps.")
            labels[frame_at[text]] = label
        n_listed += len(members)
    if n_listed != len(times):
        raise ConfigError(
            f"{path} lists {n_listed:,} frames and the store has {len(times):,}. Labels must be those of all "
            "frames of the store."
        )
    return labels
