"""Which files are parts of which simulation, in what order, and which of their frames are kept."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import IngestConfig, InputFile, format_time
from ..errors import ConfigError, TrajectoryError
from ..partition import FrameList
from ..trajectory import Times, TrajectoryInfo, read_steps, read_times
from .choice import Choice, choose_by_number, choose_by_time, is_backwards, seams
from .systems import System

__all__ = [
    "Part",
    "Run",
    "Source",
    "Timed",
    "choose_within",
    "group_runs",
    "order_parts",
    "short_name",
    "times_by_user",
]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One trajectory file, small enough to be handed to another process."""

    info: TrajectoryInfo
    system: System
    kept: FrameList
    label: str = ""  # what a list calls it
    run: int = -1  # an index into the table of runs
    # Time of its first frame and between frames, or of step 0 and between steps, ps, if the user gives them.
    user_time: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation."""

    label: str
    members: tuple[int, ...]  # its files as indices into the list of all
    replica: str = ""  # this and the next as a list says
    temperature: float | None = None  # K


def group_runs(files: Sequence[InputFile], config: IngestConfig) -> list[Run]:
    """Group files into runs, in the order of their first files; what nothing groups is a run of its own."""
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


@dataclass(frozen=True, slots=True)
class Part:
    """Frames of a file through which time goes on: a part of a run."""

    info: TrajectoryInfo
    file: int  # which file of its run that is
    start: int  # the first of its frames
    first: float  # time of its first frame, ps, or number of its step
    last: float
    is_steps: bool

    @property
    def name(self) -> str:
        """What messages call it."""
        name = short_name(self.info)
        return f"{name} from frame {self.start} on" if self.start else name

    @property
    def is_backwards(self) -> bool:
        """Whether time runs backwards in it."""
        return self.last < self.first

    def written(self, time: float) -> str:
        """Write one of its times."""
        return f"step {time:.0f}" if self.is_steps else format_time(time)


class Timed(NamedTuple):
    """A run, or a file alone: its parts in order of their times, if it has any, and what is kept."""

    name: str
    parts: list[Part]
    choice: Choice


def short_name(info: TrajectoryInfo) -> str:
    """Name a file with its folder: the parts of runs mostly have the same names."""
    return "/".join(Path(info.path).parts[-2:])


def cut_at_seams(info: TrajectoryInfo, times: Times | None, *, file: int = 0) -> list[tuple[Part, Times]]:
    """Cut a file where time goes back: by its times, or else by its steps; no parts if it has neither."""
    is_steps = times is None
    if times is None:
        times = read_steps(info)
    if times is None:
        return []
    places, parts = seams(times), []
    if 2 * len(places) > len(times) and is_backwards(times):
        places = places[:0]  # it runs backwards throughout
    for start, stop in pairwise([0, *places.tolist(), len(times)]):
        part = times.part(start, stop)
        first, last = part.at(np.array([0, stop - start - 1])).tolist()
        parts.append((Part(info, file, start, first, last, is_steps), part))
    return parts


def order_parts(run: Run, sources: Sequence[Source], config: IngestConfig) -> tuple[list[Source], Timed]:
    """Put the parts of a run in order of their first times (as given if a file has none), and choose frames.

    A file in which time goes back is several parts; its frames stay in order.
    """
    files: list[Source] = []
    cut: list[tuple[Part, Times]] = []
    begin, is_as_given = 0.0, False
    for file in (sources[member] for member in run.members):
        times = read_times(file.info)
        if times is None:
            # Also where a program that knows no times wrote the same one for all frames.
            file = replace(file, info=replace(file.info, has_time=False))
            if config.dt is None:
                _refuse_timeless(file.info, config)
            else:
                # Steps say where a file belongs; without, it goes on where the part before it ended.
                has_steps = file.info.format.has_steps
                file = replace(file, user_time=(0.0 if has_steps else begin, config.dt))
                times = times_by_user(file)
                is_as_given |= not has_steps
        found = cut_at_seams(file.info, times, file=len(files))
        if times is not None:
            _require_order(found[0][0], times, config)
            begin = found[-1][0].last + (config.dt or 0.0)
        files.append(file)
        cut += found
    if not is_as_given:
        cut.sort(key=lambda one: one[0].first)
    parts = [part for part, _ in cut]
    if len({part.file for part in parts}) < len(files) or len({part.is_steps for part in parts}) > 1:
        chosen = choose_by_number([file.info.n_frames for file in files], config)
        files = [replace(file, kept=kept) for file, kept in zip(files, chosen.kept, strict=True)]
        return files, Timed(run.label, [], chosen)
    chosen = _choose(cut, config)
    if config.overlap == "error" and any(chosen.n_repeated):
        _refuse_overlap(parts, chosen)
    kept: dict[int, list[tuple[int, FrameList]]] = {}
    for part, frames in zip(parts, chosen.kept, strict=True):
        kept.setdefault(part.file, []).append((part.start, frames))
    files = [_keeping(files[file], pieces) for file, pieces in kept.items()]
    return files, Timed(run.label, parts, chosen)


def _choose(cut: Sequence[tuple[Part, Times]], config: IngestConfig) -> Choice:
    chosen = choose_by_time([times for _, times in cut], config)
    return replace(chosen, spacing=np.nan, kept_spacing=np.nan) if cut[0][0].is_steps else chosen


def choose_within(info: TrajectoryInfo, config: IngestConfig) -> Timed:
    """Cut a file where time goes back, and choose as if it were a run, for remarks: no frames are kept."""
    # MDAnalysis reads all of a frame for its time.
    cut = [] if info.format.mdanalysis is not None else cut_at_seams(info, read_times(info))
    cut.sort(key=lambda one: one[0].first)
    choice = replace(_choose(cut, config), kept=()) if cut else Choice()
    return Timed(short_name(info), [part for part, _ in cut], choice)


def _keeping(file: Source, parts: Sequence[tuple[int, FrameList]]) -> Source:
    """Keep frames of its parts, which begin at these of its frames."""
    kept = FrameList.of()
    for start, frames in sorted(parts, key=lambda part: part[0]):
        for piece in frames.pieces():
            kept = kept.followed_by(start + piece)
    return replace(file, kept=kept)


def times_by_user(source: Source) -> Times:
    """Return the times of all frames of a file that the user gives: by its steps if it has these."""
    assert source.user_time is not None
    first, between = source.user_time
    steps = read_steps(source.info)
    if steps is None:
        return Times.evenly(first, between, source.info.n_frames)
    return Times.of(first + between * piece for piece in steps)


def _refuse_overlap(parts: Sequence[Part], chosen: Choice) -> None:
    first = next(number for number, n in enumerate(chosen.n_repeated) if n)
    later = parts[first + 1]
    raise TrajectoryError(
        f"{chosen.n_repeated[first]} frames of {parts[first].name} come at times that {later.name} covers "
        f"again, from {later.written(later.first)} on. Use `overlap` later to keep those of the later part, "
        "or `overlap` keep for both."
    )


def _require_order(part: Part, times: Times, config: IngestConfig) -> None:
    start = 0
    for piece in times:
        if not (finite := np.isfinite(piece)).all():
            raise TrajectoryError(
                f"{part.info.path}: the time of frame {start + np.argmin(finite)} isn't finite. Write the "
                "file again, or ingest it without options that need times."
            )
        start += len(piece)
    if part.is_backwards and config.every is not None:
        raise TrajectoryError(
            f"{part.info.path}: time runs backwards, from {part.written(part.first)} to "
            f"{part.written(part.last)}, so `every` can't take the first frame of each interval. Write the "
            "frames in order of time, or use `stride`."
        )


def _refuse_timeless(info: TrajectoryInfo, config: IngestConfig) -> None:
    for key in ("burn_in", "begin", "end", "every"):
        if getattr(config, key) is not None:
            given = '"2 fs", between its steps' if info.format.has_steps else '"10 ps", between its frames'
            raise ConfigError(
                f"`{key}` needs times, and {Path(info.path).name} has none. Give the time, such as `dt` "
                f"{given}, or use `discard_first` and `stride`."
            )
