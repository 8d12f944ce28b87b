"""Which files are parts of which simulation, in what order, and which of their frames are kept."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, InputFile, format_time
from ..errors import ConfigError, TrajectoryError
from ..trajectory import TrajectoryInfo, read_times
from .choice import Choice, choose_by_number, choose_by_time

__all__ = ["Part", "Run", "group_runs", "order_parts"]


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation.

    Attributes
    ----------
    label
        Its name.
    members
        Its files, as indices into the list of all.
    replica, temperature
        What is known of it; empty and None if nothing is. K.
    """

    label: str
    members: tuple[int, ...]
    replica: str = ""
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a run.

    Attributes
    ----------
    member
        Index into the list of all files.
    kept
        Frames kept, ascending.
    has_time
        Whether its frames have times, of the file or of the user.
    user_time
        Time of its first frame and time between its frames, ps, if the user gives them; else None.
    """

    member: int
    kept: NDArray[np.int64]
    has_time: bool
    user_time: tuple[float, float] | None


def group_runs(files: Sequence[InputFile], config: IngestConfig) -> list[Run]:
    """Group files into runs, in the order of their first files; what nothing groups is a run of its own.

    Raises
    ------
    ConfigError
        If the pattern doesn't match a path, or the files of a run contradict each other.
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


def order_parts(run: Run, infos: Sequence[TrajectoryInfo], config: IngestConfig) -> tuple[list[Part], Choice]:
    """Put the parts of a run in order and choose their frames.

    Parameters
    ----------
    run
        Its files.
    infos
        What all files hold, indexed by `run.members`.
    config
        What is asked for.

    Returns
    -------
    The parts in order of their first times (as given where a file has none), and what was chosen of them, in
    the same order.

    Raises
    ------
    ConfigError
        If times are asked for and a file has none.
    TrajectoryError
        If times aren't finite, or parts overlap and that is to be an error.
    """
    times, user_times = _times(run, infos, config)
    members = list(run.members)
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        chosen = choose_by_number([infos[member].n_frames for member in members], config)
    else:
        if not any(user_times):
            order = sorted(range(len(known)), key=lambda part: float(known[part][0]))
            members, known = [members[part] for part in order], [known[part] for part in order]
        chosen = choose_by_time(known, config)
        if config.overlap == "error" and any(chosen.n_repeated):
            part = next(part for part, n in enumerate(chosen.n_repeated) if n)
            raise TrajectoryError(
                f"{chosen.n_repeated[part]} frames of {infos[members[part]].path} come at times that "
                f"{infos[members[part + 1]].path} covers again, from {format_time(known[part + 1][0])} on. "
                "Use `overlap` later to keep those of the later file, or `overlap` keep for both."
            )
    has_time = {member: time is not None for member, time in zip(run.members, times, strict=True)}
    parts = [
        Part(member, kept, has_time[member], user_time)
        for member, kept, user_time in zip(members, chosen.kept, user_times, strict=True)
    ]
    return parts, chosen


def _times(
    run: Run, infos: Sequence[TrajectoryInfo], config: IngestConfig
) -> tuple[list[NDArray[np.float64] | None], list[tuple[float, float] | None]]:
    times: list[NDArray[np.float64] | None] = []
    user_times: list[tuple[float, float] | None] = []
    begin = 0.0
    for member in run.members:
        info = infos[member]
        found, user_time = read_times(info), None
        if found is None and config.dt is not None:
            user_time = begin, config.dt
            found = begin + config.dt * np.arange(info.n_frames, dtype=np.float64)
        if found is None:
            _refuse_timeless(info, config)
        elif not np.isfinite(found).all():
            frame = int(np.argmin(np.isfinite(found)))
            raise TrajectoryError(
                f"{info.path}: the time of frame {frame} isn't finite. Write the file again, or ingest it "
                "without options that need times."
            )
        else:
            # A file without times goes on where the part before it ended.
            begin = float(found[-1]) + (config.dt or 0.0)
        times.append(found)
        user_times.append(user_time)
    return times, user_times


def _refuse_timeless(info: TrajectoryInfo, config: IngestConfig) -> None:
    for key in ("burn_in", "begin", "end", "every"):
        if getattr(config, key) is not None:
            raise ConfigError(
                f"`{key}` needs times, and {Path(info.path).name} has none. Give the time "
                'between its frames, such as `dt` "10 ps", or use `discard_first` and `stride`.'
            )
