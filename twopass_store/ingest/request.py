"""What an ingest is asked for, before any file is opened."""

from pathlib import Path
from typing import Any

from ..config import IngestConfig, expand_paths

__all__ = ["requested"]


def requested(config: IngestConfig) -> dict[str, Any]:
    """Describe what is asked for by a look at the folder alone: names, sizes and times of files.

    Equal requests resolve to equal plans, so that a repeated command needs to open no trajectory.
    """
    paths = expand_paths(config.trajectories)
    tops = [] if config.top is None else expand_paths([config.top])
    return {
        "trajectories": [_stamp(path) for path in paths],
        "top": [_stamp(path) for path in tops],
        "select": config.select,
        "stride": config.stride,
        "discard_first": config.discard_first,
    }


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]
