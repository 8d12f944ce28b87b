"""The trajectory files of an ingest: what each holds, its atoms, and the frames of it that are kept."""

from dataclasses import dataclass
from pathlib import Path

from ..config import IngestConfig, expand_paths, list_inputs
from ..errors import ConfigError
from ..partition import FrameList, kept_frames
from ..trajectory import TrajectoryInfo, probe
from .systems import System, SystemTable

__all__ = ["Source", "find_sources"]


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
    """

    info: TrajectoryInfo
    system: System
    kept: FrameList


def find_sources(config: IngestConfig, systems: SystemTable) -> tuple[Source, ...]:
    """Probe the files, in the order of their frames in the store.

    Raises
    ------
    TrajectoryError
        If a file can't be used, or the files' atoms differ.
    ConfigError
        If nothing is left of a file.
    """
    top = expand_paths([config.top])[0] if config.top is not None else None
    return tuple(_source(file.path, file.topology or top, config, systems) for file in list_inputs(config))


def _source(path: Path, top: Path | None, config: IngestConfig, systems: SystemTable) -> Source:
    system = systems.of(path, top)
    info = probe(path, system.load_topology(), topology_path=system.topology_path)
    kept = kept_frames(info.n_frames, discard_first=config.discard_first, stride=config.stride)
    left = info.n_frames - config.discard_first
    if left <= 0:
        raise ConfigError(
            f"{path} has {info.n_frames} frames, and --discard-first {config.discard_first} leaves none. "
            "Discard fewer, or leave the file out."
        )
    if config.stride > left:
        raise ConfigError(
            f"{path} has {left} frames{' after those discarded' if config.discard_first else ''}, "
            f"fewer than --stride {config.stride}. Use a stride of at most {left}, or leave the file out."
        )
    return Source(info, system, FrameList.of(kept))
