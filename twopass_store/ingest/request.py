"""The request of an ingest, before any file is opened."""

from pathlib import Path
from typing import Any

from ..config import IngestConfig, expand_paths, list_inputs

__all__ = ["requested"]

# What `trajectories` and `top` say already, or has no influence on the frames.
_NO_CHOICES = {"trajectories", "from_list", "top", "ndx", "memory", "workers", "wide", "codec", "shard"}


def requested(config: IngestConfig) -> dict[str, Any]:
    """Describe what is asked for without opening a file: by names, sizes and times, and what a list says.

    Equal requests resolve to equal plans, so that a repeated command needs to open no trajectory.
    """
    inputs = list_inputs(config)
    given = {"top": config.top, "ndx": config.ndx}
    named = [expand_paths([path])[0] for path in given.values() if path is not None]
    listed = {file.topology for file in inputs if file.topology is not None}
    # Integers on the files' own grid and float32 are the same values.
    no_choices = _NO_CHOICES | ({"precision"} if isinstance(config.precision, str) else set())
    return {
        "trajectories": [_stamp(file.path) for file in inputs],
        "listed": [[file.label, file.run, file.replica, file.temperature] for file in inputs],
        "top": [_stamp(path) for path in (*named, *sorted(listed))],
        # What the first entries of "top" were given as.
        "named": [name for name, path in given.items() if path is not None],
        "options": config.model_dump(mode="json", exclude_defaults=True, exclude=no_choices),
    }


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]
