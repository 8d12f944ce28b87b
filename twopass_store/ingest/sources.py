"""The trajectory files of an ingest: what each holds, its atoms, and the frames of it that are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from ..config import IngestConfig, InputFile, expand_paths, format_time
from ..errors import (
    ConfigError,
    TopologyMismatchError,
    TrajectoryError,
    TrajectoryNotFoundError,
    TruncatedTrajectoryError,
)
from ..partition import FrameList
from ..trajectory import MAY_BE, TrajectoryInfo, other_reader, probe, read_times, require_reader
from .choice import Choice, choose_by_time
from .runs import Part, Run, Source, cut_at_seams, group_runs, order_parts, short_name
from .systems import SystemTable, listed

__all__ = ["Inputs", "find_inputs"]

SAME_SPACING = 0.01
"""How far a multiple of a spacing may be off an integer."""

LIKE_SPACING = 0.1
"""Relative difference up to which two spacings give frames the same weight."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that goes in."""

    sources: tuple[Source, ...]  # in the order of their frames in the store
    runs: tuple[Run, ...] | None  # None if nothing tells them apart
    time_source: str  # see the schema
    n_timed: int  # frames whose times are looked at together: all of the longest run, or file
    remarks: tuple[str, ...]  # what the user should see


def find_inputs(config: IngestConfig, files: Sequence[InputFile], systems: SystemTable) -> Inputs:
    """Probe the files, group them into runs and choose their frames.

    Raises a `TrajectoryError` if a file can't be used, or the files' atoms differ; a `ConfigError` if nothing
    is left of a file, or of all if times choose.
    """
    top = expand_paths([config.top])[0] if config.top is not None else None
    sources = []
    require_reader(config.reader)
    for file in files:
        given = file.topology or top
        try:
            sources.append(_looked_at(file, given, config, systems))
        except (TrajectoryNotFoundError, TopologyMismatchError):
            raise
        except TrajectoryError as error:
            other = other_reader(error, file.path, given) if config.reader == "mdtraj" else ""
            said = str(error).replace(MAY_BE, "").strip() if other else str(error)
            if config.format is not None:
                other = f"It was taken for {config.format}; without `format`, its content decides."
            raise type(error)(f"{said} {other}".strip()) from error
        if config.strict and (missing := sources[-1].info.unfinished):
            raise TruncatedTrajectoryError(
                f"{file.path} is unfinished: {missing}. Wait until it is written, copy it again, or take its "
                "whole frames by leaving out `strict`."
            )
    remarks: list[str] = []
    if config.dt is not None and all(source.info.has_time for source in sources):
        remarks = ["`dt` isn't used: all files have times of their own"]
        config = config.model_copy(update={"dt": None})
    runs: list[Run] = []
    if config.uses_times or config.from_list is not None:
        sources, runs, more = _by_time(files, sources, config)
        remarks += more
    else:
        sources = [replace(source, kept=_by_number(source.info, config)) for source in sources]
        remarks += _untimed(sources, config)
    timeless = [short_name(one.info) for one in sources if not one.info.has_time and one.user_time is None]
    if timeless:
        rest = "" if len(timeless) == len(sources) else ", and those of the other files are left out"
        remarks.append(f"no times in {listed(timeless)}: frames are numbered instead{rest}")
    n_timed = [0 for _ in runs]
    for one in sources if runs else ():
        n_timed[one.run] += one.info.n_frames
    is_grouped = config.from_list is not None or config.run_pattern is not None
    is_users = any(source.user_time is not None for source in sources)
    return Inputs(
        sources=tuple(sources),
        runs=tuple(runs) if is_grouped else None,
        time_source="index" if timeless else "user" if is_users else "file",
        n_timed=max(n_timed or [source.info.n_frames for source in sources]),
        remarks=tuple(remarks),
    )


def _looked_at(file: InputFile, top: Path | None, config: IngestConfig, systems: SystemTable) -> Source:
    system = systems.of(file.path, top)
    info = probe(
        file.path,
        system.load_topology(),
        topology_path=system.topology_path,
        format_name=config.format,
        reader=config.reader,
    )
    return Source(info, system, FrameList.of(), file.label)


def _by_number(info: TrajectoryInfo, config: IngestConfig) -> FrameList:
    left = info.n_frames - config.discard_first
    if left <= 0:
        raise ConfigError(
            f"{info.path} has {info.n_frames} frames, and `discard_first` {config.discard_first} leaves "
            "none. Discard fewer, or leave the file out."
        )
    if config.stride > left:
        raise ConfigError(
            f"{info.path} has {left} frames{' after those discarded' if config.discard_first else ''}, "
            f"fewer than `stride` {config.stride}. Use a stride of at most {left}, or leave the file out."
        )
    return FrameList.of(range(config.discard_first, info.n_frames, config.stride))


def _by_time(
    files: Sequence[InputFile], found: Sequence[Source], config: IngestConfig
) -> tuple[list[Source], list[Run], list[str]]:
    """Group files into runs and choose their frames by time; returns remarks too."""
    runs = group_runs(files, config)
    sources, parts, choices = [], [], []
    for number, run in enumerate(runs):
        members, cut, choice = order_parts(run, found, config)
        choices.append(choice)
        parts.append(cut)
        sources += [replace(member, run=number) for member in members]
    if not any(len(source.kept) for source in sources):
        raise ConfigError(
            "No frame is left: all lie outside of the times asked for. Change `burn_in`, `begin`, `end` "
            "or `discard_first`."
        )
    by_file: dict[str, list[Part]] = {}
    for part in sorted((part for cut in parts for part in cut), key=lambda part: part.start):
        by_file.setdefault(part.info.path, []).append(part)
    remarks = [*_seams([*by_file.values()])]
    if config.run_pattern is None and config.from_list is None:
        remarks += _nested([*by_file.values()])
    remarks += [*_repeats(parts, choices, config), *_spacings(runs, choices, config)]
    empty = [run.label for run, choice in zip(runs, choices, strict=True) if not any(map(len, choice.kept))]
    if empty:
        remarks.append(f"nothing is kept of {listed(empty)}: outside of the times asked for")
    return sources, runs, remarks


def _untimed(sources: Sequence[Source], config: IngestConfig) -> Iterator[str]:
    """Say what the times of files show where all of their frames are kept."""
    files, spacings, repeated = [], [], []
    for source in sources:
        if source.info.format.mdanalysis is not None:  # which reads all of a frame for its time
            continue
        cut = sorted(cut_at_seams(source.info, read_times(source.info)), key=lambda one: one[0].first)
        if not cut:
            continue
        chosen = choose_by_time([times for _, times in cut], config)
        name, parts = short_name(source.info), [part for part, _ in cut]
        files.append(sorted(parts, key=lambda part: part.start))
        if any(chosen.n_repeated):
            repeated.append((name, sum(chosen.n_repeated)))
        if not parts[0].is_steps:
            spacings.append((name, chosen.spacing))
    yield from _seams(files)
    if repeated:
        yield (
            f"{_frames(repeated)} at times that come again in the same file: both are kept (`overlap` later "
            "keeps the later ones)"
        )
    yield from _nested(files)
    yield from _mixed("files", spacings)


def _seams(files: Sequence[Sequence[Part]]) -> Iterator[str]:
    """Say where time goes back within files, of which these are the parts."""
    backwards = [parts[0].name for parts in files if parts[0].is_backwards]
    if backwards:
        yield f"time runs backwards in {listed(backwards)}: frames stay in the order of the file"
    found = [parts for parts in files if len(parts) > 1]
    if found:
        one, other = found[0][:2]
        n_places = sum(len(parts) - 1 for parts in found)
        more = f", the first of {n_places:,} such places in {_count(len(found), 'file')}"
        how = "goes back" if other.first < one.last else "stands still"
        yield (
            f"time {how} within {one.name} at frame {other.start}, from {one.written(one.last)} to "
            f"{other.written(other.first)}{more if n_places > 1 else ''}"
        )


def _nested(files: Sequence[Sequence[Part]]) -> Iterator[str]:
    """Say which files begin within the one before, though nothing groups them; replicas begin together."""
    found = [
        (after[0], before[-1])
        for before, after in pairwise(files)
        if before[-1].is_steps == after[0].is_steps and before[-1].first < after[0].first <= before[-1].last
    ]
    if found:
        after, before = found[0]
        more = f", and {_count(len(found) - 1, 'other file')} likewise" if len(found) > 1 else ""
        yield (
            f"{after.name} begins at {after.written(after.first)}, within {before.name}{more}: if these are "
            "parts of one run, group them with `run_pattern` or a list, or frames count twice"
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number > 1 else ''}"


def _frames(repeated: Sequence[tuple[str, int]]) -> str:
    return f"{_count(sum(n for _, n in repeated), 'frame')} of {listed([name for name, _ in repeated])}"


def _repeats(
    runs: Sequence[Sequence[Part]], choices: Sequence[Choice], config: IngestConfig
) -> Iterator[str]:
    """Say which frames come at times that a later part of their run covers again."""
    repeated = [
        (part.name, n)
        for parts, choice in zip(runs, choices, strict=True)
        for part, n in zip(parts, choice.n_repeated, strict=True)
        if n
    ]
    if repeated:
        done = "both are kept" if config.overlap == "keep" else "the later ones are kept (`overlap` later)"
        yield f"{_frames(repeated)} at times that a later part of the run covers again: {done}"
    n_beyond = sum(choice.n_beyond for choice in choices)
    if n_beyond and config.overlap != "keep":
        yield (
            f"{n_beyond:,} of these lie after the end of the later part: the run is taken to have gone on "
            "from where that begins (`overlap` keep keeps them)"
        )


def _spacings(runs: Sequence[Run], choices: Sequence[Choice], config: IngestConfig) -> Iterator[str]:
    """Say where frames don't lie as far apart as asked for, or as those of other runs."""
    known = [(run.label, choice) for run, choice in zip(runs, choices, strict=True) if choice.spacing > 0]
    if config.every is not None:
        uneven = [
            label
            for label, choice in known
            if abs(config.every / choice.spacing - round(config.every / choice.spacing)) > SAME_SPACING
            or config.every < choice.spacing * (1 - SAME_SPACING)
        ]
        if uneven:
            spacing = next(choice.spacing for label, choice in known if label == uneven[0])
            yield (
                f"the frames of {listed(uneven)} are {format_time(spacing)} apart, of which "
                f"{format_time(config.every)} is no multiple: the first in each such interval is kept"
            )
    yield from _mixed("runs", [(label, choice.kept_spacing) for label, choice in known])


def _mixed(what: str, spacings: Sequence[tuple[str, float]]) -> Iterator[str]:
    """Say whether frames lie differently far apart."""
    known = [(spacing, name) for name, spacing in spacings if spacing > 0]
    if not known:
        return
    (least, near), (most, far) = min(known), max(known)
    if most > least * (1 + LIKE_SPACING):
        yield (
            f"frames of {near} are {format_time(least)} apart, those of {far} {format_time(most)}: {what} "
            "with closer frames weigh more in populations (`every` evens that out)"
        )
