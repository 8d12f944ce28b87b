"""The trajectory files of an ingest: what each holds, its atoms, and the frames of it that are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..config import IngestConfig, InputFile, expand_paths
from ..errors import (
    ConfigError,
    TopologyMismatchError,
    TrajectoryError,
    TrajectoryNotFoundError,
    TruncatedTrajectoryError,
)
from ..partition import FrameList
from ..trajectory import MAY_BE, TrajectoryInfo, other_reader, probe, require_reader
from .runs import Run, Source, choose_within, group_runs, order_parts, short_name
from .systems import SystemTable, listed
from .timing import remarks_on_times

__all__ = ["Inputs", "find_inputs"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that goes in."""

    sources: tuple[Source, ...]  # in the order of their frames in the store
    runs: tuple[Run, ...] | None  # None if nothing tells them apart
    time_source: str  # see the schema
    remarks: tuple[str, ...]  # what the user should see


def find_inputs(config: IngestConfig, files: Sequence[InputFile], systems: SystemTable) -> Inputs:
    """Probe the files, group them into runs and choose their frames."""
    top = expand_paths([config.top])[0] if config.top is not None else None
    sources = []
    require_reader(config.reader)
    for file in files:
        given = file.topology or top
        try:
            system = systems.of(file.path, given)
            info = probe(
                file.path,
                system.load_topology(),
                topology_path=system.topology_path,
                format_name=config.format,
                reader=config.reader,
            )
        except (TrajectoryNotFoundError, TopologyMismatchError):
            raise
        except TrajectoryError as error:
            other = other_reader(error, file.path, given) if config.reader == "mdtraj" else ""
            said = str(error).replace(MAY_BE, "").strip() if other else str(error)
            if config.format is not None:
                other = f"It was taken for {config.format}; without `format`, its content decides."
            raise type(error)(f"{said} {other}".strip()) from error
        if config.strict and info.unfinished:
            raise TruncatedTrajectoryError(
                f"{file.path} is unfinished: {info.unfinished}. Wait until it is written, copy it again, or "
                "take its whole frames by leaving out `strict`."
            )
        sources.append(Source(info, system, FrameList.of(), file.label))
    remarks: list[str] = []
    if config.dt is not None and all(source.info.has_time for source in sources):
        remarks = ["`dt` isn't used: all files have times of their own"]
        config = config.model_copy(update={"dt": None})
    runs: list[Run] = []
    is_grouped = config.from_list is not None or config.run_pattern is not None
    if config.uses_times or is_grouped:
        runs = group_runs(files, config)
        ordered = [order_parts(run, sources, config) for run in runs]
        sources = [replace(one, run=run) for run, (members, _) in enumerate(ordered) for one in members]
        if not any(len(source.kept) for source in sources):
            raise ConfigError(
                "No frame is left: all lie outside of the times asked for. Change `burn_in`, `begin`, `end` "
                "or `discard_first`."
            )
        timed = [of_run for _, of_run in ordered]
    else:
        sources = [replace(source, kept=_by_number(source.info, config)) for source in sources]
        timed = [choose_within(one.info, config) for one in sources]
    remarks += remarks_on_times(timed, config)
    timeless = [short_name(one.info) for one in sources if not one.info.has_time and one.user_time is None]
    if timeless:
        rest = "" if len(timeless) == len(sources) else ", and those of the other files are left out"
        remarks.append(f"no times in {listed(timeless)}: frames are numbered instead{rest}")
    is_users = any(source.user_time is not None for source in sources)
    time_source = "index" if timeless else "user" if is_users else "file"
    return Inputs(tuple(sources), tuple(runs) if is_grouped else None, time_source, tuple(remarks))


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
