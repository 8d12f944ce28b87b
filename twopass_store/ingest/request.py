"""What is asked of an ingest, before any trajectory is opened, and what of it a store keeps otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import IngestConfig, InputFile, expand_paths, validated
from ..journal import Plan
from ..partition import chunks_per_shard
from ..store import Store
from .origins import ORIGINS

__all__ = ["JUMPS", "as_before", "is_requested", "kept_choices", "requested"]

JUMPS = "jumps"  # where a request keeps in how many frames atoms were seen to jump across the box

# What an append doesn't take from the options of a store; topology and groups are in other places.
_NOT_RECORDED = {"trajectories", "from_list", "top", "ndx", "memory", "workers", "scheduler"}
# What `trajectories` and `top` say already, or has no influence on the frames.
_NO_CHOICES = _NOT_RECORDED | {"wide", "codec", "shard"}


def is_requested(plan: Plan, config: IngestConfig, files: Sequence[InputFile]) -> bool:
    """Tell whether a plan was made for the very same request."""
    found = {key: value for key, value in plan.request.items() if key not in (ORIGINS, JUMPS)}
    return found == requested(config, files)


def requested(config: IngestConfig, files: Sequence[InputFile]) -> dict[str, Any]:
    """Describe what is asked for without opening a file: by names, sizes and times, and what a list says.

    `files` are the inputs that the config stands for, see `list_inputs`.
    Equal requests resolve to equal plans, so that a repeated command needs to open no trajectory.
    """
    given = {"top": config.top, "ndx": config.ndx}
    named = [expand_paths([path])[0] for path in given.values() if path is not None]
    listed = {file.topology for file in files if file.topology is not None}
    # Integers on the files' own grid and float32 are the same values.
    no_choices = _NO_CHOICES | ({"precision"} if isinstance(config.precision, str) else set())
    return {
        "trajectories": [_stamp(file.path) for file in files],
        "listed": [[file.label, file.run, file.replica, file.temperature] for file in files],
        "top": [_stamp(path) for path in (*named, *sorted(listed))],
        # What the first entries of "top" were given as.
        "named": [name for name, path in given.items() if path is not None],
        "options": config.model_dump(mode="json", exclude_defaults=True, exclude=no_choices),
    }


def _stamp(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


def as_before(config: IngestConfig, request: Mapping[str, Any]) -> IngestConfig:
    """Return the config with what it leaves open as it was when the store was made."""
    given = config.model_dump(exclude_defaults=True)
    stamps = iter(request.get("top", []))
    # What isn't recorded by us: files to read, and more memory than is allowed, are for the user to say.
    before = {key: value for key, value in request.get("options", {}).items() if key not in _NOT_RECORDED}
    before |= {name: next(stamps)[0] for name in request.get("named", [])}
    # The two ways to choose atoms exclude each other.
    if {"select", "group"} & given.keys():
        before = {key: value for key, value in before.items() if key not in ("select", "group", "ndx")}
    return validated(IngestConfig, {**before, **given})


def kept_choices(store: Store, config: IngestConfig) -> list[str]:
    """Say what is asked for, but stays as it was when the store was begun."""
    n_frames, n_atoms, _ = store.shape("position")
    remarks = []
    codec = store.codec("position")
    if config.codec not in (None, codec):
        remarks.append(f"the store was begun with `codec` {codec} and keeps it")
    per_file = store.chunks_per_file("position")
    if config.shard is not None and per_file != chunks_per_shard(n_frames, n_atoms, shard=config.shard):
        remarks.append(f"the store was begun with another `shard`, {per_file} chunks a file, and keeps it")
    dtype = store.packing().dtype
    if (config.precision == "lossless" and dtype != "float32") or (config.wide and dtype == "int16"):
        remarks.append(
            f"the store has the same positions as {dtype} and keeps them so; `restart` changes that"
        )
    return remarks
