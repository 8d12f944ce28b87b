"""The trajectory files of an ingest: what each holds, its atoms, and the frames of it that are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import IngestConfig, InputFile, expand_paths, format_time, list_inputs
from ..errors import ConfigError, TopologyMismatchError, TrajectoryError, TrajectoryNotFoundError
from ..partition import FrameList
from ..trajectory import TrajectoryInfo, other_reader, probe, require_reader
from .choice import Choice
from .runs import Run, Source, group_runs, order_parts
from .systems import SystemTable, listed

__all__ = ["Inputs", "find_inputs"]

SAME_SPACING = 0.01
"""How far a multiple of a spacing may be off an integer."""

LIKE_SPACING = 0.1
"""Relative difference up to which two spacings give frames the same weight."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that goes in.

    Attributes
    ----------
    sources
        The files in the order of their frames in the store.
    runs
        The simulations that they are parts of; None if nothing tells them apart.
    time_source
        ``file``, ``user`` or ``index``; see the schema.
    timeless
        Names of the files without times.
    n_timed
        Frames whose times are looked at together: all of the longest run; 0 if times don't matter.
    remarks
        What the user should see.
    """

    sources: tuple[Source, ...]
    runs: tuple[Run, ...] | None
    time_source: str
    timeless: tuple[str, ...]
    n_timed: int
    remarks: tuple[str, ...]


def find_inputs(config: IngestConfig, systems: SystemTable, *, is_growing: bool = False) -> Inputs:
    """Probe the files, group them into runs and choose their frames.

    Raises a `TrajectoryError` if a file can't be used, or the files' atoms differ; a `ConfigError` if nothing
    is left of a file, or of all if times choose.
    """
    top = expand_paths([config.top])[0] if config.top is not None else None
    files = list_inputs(config)
    sources = []
    require_reader(config.reader)
    for file in files:
        given = file.topology or top
        try:
            sources.append(_looked_at(file, given, config, systems, is_growing=is_growing))
        except (TrajectoryNotFoundError, TopologyMismatchError):
            raise
        except TrajectoryError as error:
            other = other_reader(error, file.path, given) if config.reader == "mdtraj" else ""
            raise type(error)(f"{error} {other}".strip()) from error
    runs: list[Run] = []
    if config.uses_times or config.from_list is not None:
        sources, runs, remarks = _by_time(files, sources, config)
    else:
        sources = [replace(source, kept=_by_number(source.info, config)) for source in sources]
        remarks = [*_mixed("files", [(_short(one.info.path), one.info.spacing or 0.0) for one in sources])]
    timeless = [_short(one.info.path) for one in sources if not one.info.has_time and one.user_time is None]
    n_timed = [0 for _ in runs]
    for one in sources if runs else ():
        n_timed[one.run] += one.info.n_frames
    is_grouped = config.from_list is not None or config.run_pattern is not None
    is_users = any(source.user_time for source in sources)
    return Inputs(
        sources=tuple(sources),
        runs=tuple(runs) if is_grouped else None,
        time_source="index" if timeless else "user" if is_users else "file",
        timeless=tuple(timeless),
        n_timed=max(n_timed, default=0),
        remarks=tuple(remarks),
    )


def _looked_at(
    file: InputFile, top: Path | None, config: IngestConfig, systems: SystemTable, *, is_growing: bool
) -> Source:
    system = systems.of(file.path, top)
    info = probe(
        file.path,
        system.load_topology(),
        topology_path=system.topology_path,
        is_growing=is_growing,
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
    sources, choices, names = [], [], []
    for number, run in enumerate(runs):
        parts, choice = order_parts(run, found, config)
        choices.append(choice)
        names.append([_short(part.info.path) for part in parts])
        sources += [replace(part, run=number) for part in parts]
    if not any(len(source.kept) for source in sources):
        raise ConfigError(
            "No frame is left: all lie outside of the times asked for. Change `burn_in`, `begin`, `end` "
            "or `discard_first`."
        )
    remarks = [*_repeats(names, choices, config), *_spacings(runs, choices, config)]
    empty = [run.label for run, choice in zip(runs, choices, strict=True) if not any(map(len, choice.kept))]
    if empty:
        remarks.append(f"nothing is kept of {listed(empty)}: outside of the times asked for")
    if config.dt is not None and all(source.info.has_time for source in sources):
        remarks.append("`dt` isn't used: all files have times of their own")
    return sources, runs, remarks


def _repeats(names: Sequence[list[str]], choices: Sequence[Choice], config: IngestConfig) -> Iterator[str]:
    """Say which frames come at times that a later part of their run covers again."""
    repeated = [
        (name, n)
        for members, choice in zip(names, choices, strict=True)
        for name, n in zip(members, choice.n_repeated, strict=True)
        if n
    ]
    if repeated:
        n_frames = sum(n for _, n in repeated)
        done = "both are kept" if config.overlap == "keep" else "the later ones are kept (`overlap` later)"
        yield (
            f"{n_frames:,} frame{'s' if n_frames > 1 else ''} of {listed([name for name, _ in repeated])} at "
            f"times that a later part of the run covers again: {done}"
        )
    n_beyond = sum(choice.n_beyond for choice in choices)
    if n_beyond and config.overlap != "keep":
        yield (
            f"{n_beyond:,} of these lie after the end of the later part: the run is taken to have gone on "
            "from where that begins (`overlap` keep keeps them)"
        )
    back = [members[i] for members, choice in zip(names, choices, strict=True) for i in choice.goes_back]
    if back:
        yield f"time goes back within {listed(back)}: does it hold several runs? Its frames stay in order"


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


def _short(path: str) -> str:
    """Name a file with its folder: the parts of runs mostly have the same names."""
    return "/".join(Path(path).parts[-2:])


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
