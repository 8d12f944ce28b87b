"""Labels that other programs gave the same frames: cpptraj, gmx cluster, or any column of integers."""

from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["read_labels"]

COMMENTS = ("#", "@", "&")
"""Start of lines without a label: headings of cpptraj, settings and ends of data of xvg."""

LOG_HEADER = "cl. | #st"


def read_labels(
    path: Path, *, column: int | None = None, times: Callable[[], NDArray[np.float64]]
) -> NDArray[np.int64]:
    """Read one label a frame, shape (n_frames,).

    The file is a table of numbers, one frame a line, with the label in its last column: ``cnumvtime`` of
    cpptraj (frame, cluster), ``clid.xvg`` of gmx cluster (time, cluster), labels alone, CSV with or without a
    heading. Or it is the log of gmx cluster, which lists the times of each cluster's members; only then
    `times` is called for those of all frames, ps. Columns count from 1.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"Cannot read labels from {path}: it is not a regular file.")
        with path.open(encoding="utf-8") as lines:
            is_log = any(line.lstrip().startswith(LOG_HEADER) for line in islice(lines, 10_000))
            lines.seek(0)
            return _members(path, lines, times()) if is_log else _table(path, lines, column)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read labels from {path}: {getattr(error, 'strerror', error)}.") from error


def _table(path: Path, lines: TextIO, column: int | None) -> NDArray[np.int64]:
    rows = (line for line in lines if line.strip() and not line.lstrip().startswith(COMMENTS))
    first = next(rows, "")
    separator = next((one for one in ",;" if one in first), None)
    fields = first.split(separator)
    if first and not 1 <= (column or 1) <= len(fields):
        raise ConfigError(f"{path} has {len(fields)} columns, and no column {column}.")
    place = len(fields) - 1 if column is None else column - 1
    try:
        float(fields[place])
    except (ValueError, IndexError):
        first = next(rows, "")  # that was a heading
    if not first:
        raise ConfigError(f"{path} has no labels: give a file with one line a frame.")
    try:
        values = np.loadtxt(chain([first], rows), delimiter=separator, usecols=place, ndmin=1, comments=None)
    except ValueError as error:
        raise ConfigError(f"Cannot read labels from {path}: {error}.") from error
    wrong = np.flatnonzero((values != np.round(values)) | ~(np.abs(values) < 2**53))
    if len(wrong):
        raise ConfigError(
            f"{path}: the label of frame {wrong[0] + 1} is {values[wrong[0]]:g}, and not an integer. "
            "Name another --column if this is not the column of clusters."
        )
    return values.astype(np.int64)


def _members(path: Path, lines: TextIO, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Read the log of gmx cluster: clusters with the times of their members, six digits each."""
    frame_at: dict[str, int] = {}
    for frame, time in enumerate(times):
        # Refused at the first duplicate, so that a long trajectory doesn't fill the memory with its times.
        if frame_at.setdefault(f"{time:.6g}", frame) != frame:
            raise ConfigError(
                f"{path} is a log of gmx cluster, which names frames by their times, and several frames of "
                "the store have the same time to six digits. Use its clid.xvg (gmx cluster -clid) instead."
            )
    labels = np.full(len(times), -1, np.int64)
    label, n_listed = 0, 0
    for line in lines:
        fields = line.split("|")
        if len(fields) != 4 or line.lstrip().startswith(LOG_HEADER):
            continue
        try:
            label = int(np.int64(fields[0])) if fields[0].strip() else label
            members = [frame_at[f"{float(text):.6g}"] for text in fields[3].split()]
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{path}: {line.strip()[:40]!r} lists no frames.") from error
        except KeyError as error:
            raise ConfigError(f"{path}: no frame of the store has the time {error.args[0]} ps.") from error
        labels[members] = label
        n_listed += len(members)
    if n_listed != len(times):
        raise ConfigError(
            f"{path} lists {n_listed:,} frames and the store has {len(times):,}. Give the labels of all."
        )
    return labels
