"""Which files are parts of which simulation, in what order, and which of their frames are kept."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, InputFile, format_time
from ..errors import ConfigError, TrajectoryError
from ..partition import FrameList
from ..trajectory import TrajectoryInfo, read_times
from .choice import Choice, choose_by_number, choose_by_time
from .systems import System

__all__ = ["Run", "Source", "group_runs", "order_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One trajectory file, small enough to be handed to another process.

    Attributes
    ----------
    info
        What the file holds.
    system
        Its atoms, and which of them are kept.
    kept
        The frames kept.
    label
        What a list calls it; empty for nothing.
    run
        The simulation that it is a part of, an index into the table of runs.
    user_time
        Time of its first frame and time between its frames, ps, if the user gives them; else None.
    """

    info: TrajectoryInfo
    system: System
    kept: FrameList
    label: str = ""
    run: int = -1
    user_time: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation: its name, its files as indices into the list of all, and what a list says of it.

    `temperature` is in K; it and `replica` are None and empty if nothing is known.
    """

    label: str
    members: tuple[int, ...]
    replica: str = ""
    temperature: float | None = None


def group_runs(files: Sequence[InputFile], config: IngestConfig) -> list[Run]:
    """Group files into runs, in the order of their first files; what nothing groups is a run of its own.

    Raises a `ConfigError` if the pattern doesn't match a path, or the files of a run contradict each other.
    """
    groups: dict[str | int, list[int]] = {}
    names = [file.run for file in files]
    if config.run_pattern is not None:
        names = [*_matched(files, config.run_pattern)]
    for member, found in enumerate(names):
        groups.setdefault(member if found is None else found, []).append(member)
    runs = []
    for name, members in groups.items():
        first = files[members[0]]
        for member in members:
            for key in ("replica", "temperature"):
                one, other = getattr(first, key), getattr(files[member], key)
                if one != other:
                    raise ConfigError(
                        f"The run {name!r} has the {key} {one} for {first.path.name} and {other} for "
                        f"{files[member].path.name}. Give all files of a run the same."
                    )
        label = name if isinstance(name, str) else first.label or first.path.name
        runs.append(Run(label, tuple(members), first.replica, first.temperature))
    return runs


def _matched(files: Sequence[InputFile], pattern: str) -> list[str]:
    """Return what the pattern finds in each path."""
    listed = next((file for file in files if file.run is not None), None)
    if listed is not None:
        raise ConfigError(
            f"`run_pattern` and the list's column `run` (for {listed.path.name}) both say what the runs are. "
            "Leave one out."
        )
    # First below the folder that all share: names above it say nothing about runs.
    shared = os.path.commonpath([file.path.parent for file in files])
    labels = [_label(os.path.relpath(file.path, shared), pattern) for file in files]
    if not all(labels):
        labels = [_label(str(file.path), pattern) for file in files]
    for file, label in zip(files, labels, strict=True):
        if not label:
            raise ConfigError(
                f"`run_pattern` {pattern!r} finds no run in {file.path}. Widen it, such as "
                "'(?P<run>rep[0-9]+)', or name runs with `from_list`."
            )
    return labels


def _label(path: str, pattern: str) -> str:
    found = re.search(pattern, path)
    if found is None:
        return ""
    named = found.groupdict().get("run")
    return named or (found[1] if found.re.groups else found[0]) or ""


def order_parts(run: Run, sources: Sequence[Source], config: IngestConfig) -> tuple[list[Source], Choice]:
    """Put the parts of a run in order of their first times (as given if a file has none), and choose frames.

    Returns the parts with the frames kept, and what was chosen of them. Raises a `ConfigError` if times are
    needed and a file has none, a `TrajectoryError` if they aren't finite, or parts overlap and mustn't.
    """
    parts, times = [], []
    begin = 0.0
    for part in (sources[member] for member in run.members):
        found = read_times(part.info)
        if found is None:
            # Also where a program that knows no times wrote the same one for all frames.
            part = replace(part, info=replace(part.info, has_time=False))
            if config.dt is not None:
                part = replace(part, user_time=(begin, config.dt))
                found = begin + config.dt * np.arange(part.info.n_frames, dtype=np.float64)
        if found is None:
            _refuse_timeless(part.info, config)
        else:
            _require_finite(part.info, found)
            # A file without times goes on where the part before it ended.
            begin = float(found[-1]) + (config.dt or 0.0)
            times.append(found)
        parts.append(part)
    if len(times) < len(parts):
        chosen = choose_by_number([part.info.n_frames for part in parts], config)
    else:
        if not any(part.user_time for part in parts):
            order = sorted(range(len(parts)), key=lambda part: float(times[part][0]))
            parts, times = [parts[part] for part in order], [times[part] for part in order]
        chosen = choose_by_time(times, config)
        if config.overlap == "error" and any(chosen.n_repeated):
            first = next(part for part, n in enumerate(chosen.n_repeated) if n)
            raise TrajectoryError(
                f"{chosen.n_repeated[first]} frames of {parts[first].info.path} come at times that "
                f"{parts[first + 1].info.path} covers again, from {format_time(times[first + 1][0])} on. "
                "Use `overlap` later to keep those of the later file, or `overlap` keep for both."
            )
    kept = map(FrameList.from_indices, chosen.kept)
    return [replace(part, kept=frames) for part, frames in zip(parts, kept, strict=True)], chosen


def _require_finite(info: TrajectoryInfo, times: NDArray[np.float64]) -> None:
    if not np.isfinite(times).all():
        raise TrajectoryError(
            f"{info.path}: the time of frame {np.argmin(np.isfinite(times))} isn't finite. Write the file "
            "again, or ingest it without options that need times."
        )


def _refuse_timeless(info: TrajectoryInfo, config: IngestConfig) -> None:
    for key in ("burn_in", "begin", "end", "every"):
        if getattr(config, key) is not None:
            raise ConfigError(
                f"`{key}` needs times, and {Path(info.path).name} has none. Give the time "
                'between its frames, such as `dt` "10 ps", or use `discard_first` and `stride`.'
            )
