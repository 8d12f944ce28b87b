"""How far each stage of a store is."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import METRIC_OPTIONS
from ..journal import StageJournal
from ..partition import FRAME_CHUNK, chunk_range
from ..schema import FORMAT_VERSION
from ..store import GROWTH, Store, at_one_state, store_path

__all__ = ["StageStatus", "StoreStatus", "store_status"]


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage, or one persisted step of it.

    Attributes
    ----------
    stage
        Name of its journal, such as ``assign-default``.
    complete
        Whether it has finished.
    units_done, units
        Units of work that are committed, and all of them.
    parameters
        What determines its result.
    size_bytes
        What its arrays take on disk.
    """

    stage: str
    complete: bool
    units_done: int
    units: int
    parameters: Mapping[str, Any]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What is in a store.

    Attributes
    ----------
    path, format_version
        The store.
    n_frames, n_atoms, n_trajectories
        What ingest plans to hold, or holds.
    time_source
        ``file``, ``user`` or ``index``.
    size_bytes
        All of it on disk.
    stages
        In the order of the pipeline.
    clusterings
        Attributes of each clustering that has finished its first pass.
    n_frames_without_label
        Frames that each clustering's second pass hasn't come to, such as those appended since; only where
        it was begun and there are any.
    next_command
        What to run next.
    """

    path: str
    format_version: int
    n_frames: int
    n_atoms: int
    n_trajectories: int
    time_source: str
    size_bytes: int
    stages: tuple[StageStatus, ...]
    clusterings: Mapping[str, Mapping[str, Any]]
    n_frames_without_label: Mapping[str, int]
    next_command: str


_AGAIN = "the command that began it  (to resume)"

_ORDER = ("ingest", "transcode", "subset-", "linkage-", "scan-", "clustering-", "assign-", "margin-")


def store_status(store: str | os.PathLike[str]) -> StoreStatus:
    """Look at a store, finished or not.

    Raises
    ------
    StoreNotFoundError
        If there is none.
    FormatVersionError
        If it is of another format.
    """
    path = store_path(store)
    return at_one_state(path, lambda: _status(Store.open(path)))


def _status(opened: Store) -> StoreStatus:
    journals = [opened.journal(name) for name in opened.members("journal") if name != GROWTH]
    found = sorted((journal for journal in journals if journal is not None), key=_rank)
    shape = opened.shape("position") if opened.has("position") else (0, 0, 3)
    finished = [
        journal.plan.stage.removeprefix("clustering-")
        for journal in found
        if journal.plan.stage.startswith("clustering-") and journal.complete
    ]
    return StoreStatus(
        path=str(opened.path),
        format_version=FORMAT_VERSION,
        n_frames=shape[0],
        n_atoms=shape[1],
        n_trajectories=opened.shape("trajectory_path")[0] if opened.has("trajectory_path") else 0,
        time_source=opened.attrs("time").get("time_source", "") if opened.has("time") else "",
        size_bytes=_folder_bytes(opened.path),
        stages=tuple(_stage(opened, journal) for journal in found),
        clusterings={name: opened.attrs(f"clusterings/{name}") for name in finished},
        n_frames_without_label={
            journal.plan.stage.removeprefix("assign-"): missing
            for journal in found
            if journal.plan.stage.startswith("assign-") and (missing := _without_label(journal))
        },
        next_command=_next_command(opened, found, finished),
    )


def _without_label(journal: StageJournal) -> int:
    """Count the frames that a second pass hasn't come to."""
    n_frames = int(journal.plan.parameters["n_frames"])
    done = np.logical_and.reduce([journal.done(product.path) for product in journal.plan.products])
    edge, n_present = divmod(int(journal.plan.request.get("covered", 0)), FRAME_CHUNK)
    missing = [int(chunk) for chunk in np.flatnonzero(~done)]
    n_missing = sum(len(chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)) for chunk in missing)
    return n_missing - (n_present if edge in missing else 0)


def _rank(journal: StageJournal) -> tuple[int, str]:
    stage = journal.plan.stage
    return next(rank for rank, prefix in enumerate(_ORDER) if stage.startswith(prefix)), stage


def _stage(store: Store, journal: StageJournal) -> StageStatus:
    products = journal.plan.products
    # The product with the most chunks is the one that the units write.
    units = max(products, key=lambda product: product.n_chunks)
    return StageStatus(
        stage=journal.plan.stage,
        complete=journal.complete,
        units_done=int(journal.done(units.path).sum()),
        units=units.n_chunks,
        parameters=journal.plan.parameters,
        size_bytes=sum(_folder_bytes(store.at(product.path)) for product in products),
    )


def _next_command(store: Store, journals: list[StageJournal], clusterings: list[str]) -> str:
    by_stage = {journal.plan.stage: journal for journal in journals}
    ingest = by_stage.get("ingest")
    inside = store.path.is_relative_to(Path.cwd())
    path = shlex.quote(os.path.relpath(store.path) if inside else str(store.path))
    if ingest is None or not ingest.complete:
        append = {} if ingest is None else ingest.plan.request.get("append", {})
        files = " ".join(shlex.quote(file) for file, *_ in append.get("files", []))
        command = f"twopass ingest --append {path} {files}  (to resume)"
        return (command if command.isprintable() else _AGAIN) if files else _resuming(store.attrs())
    for name in clusterings:
        assign = by_stage.get(f"assign-{name}")
        margin = by_stage.get(f"margin-{name}")
        is_begun = margin is not None and not margin.complete
        if assign is None or not assign.complete or is_begun:
            cutoff = None if assign is None else assign.plan.request.get("noise_cutoff")
            options = "" if name == "default" else f" --name {name}"
            options += "" if cutoff is None else f" --noise-cutoff {cutoff:.12g}"
            options += " --margin" if is_begun else ""
            return f"twopass assign {path}{options}"
    subsets = [store.attrs(f"subsets/{key}") for key in store.members("subsets")]
    for journal in journals:
        if not journal.complete and journal.plan.stage.startswith(("subset-", "linkage-", "clustering-")):
            stride = journal.plan.parameters.get("stride")
            return _resuming(next((each for each in subsets if each["stride"] == stride), {}))
    if not clusterings:
        select = "".join(f" --select {shlex.quote(each['select'])}" for each in subsets[:1] if each["select"])
        stride = "".join(f" --stride {int(each['stride'])}" for each in subsets[:1])
        metric = "".join(_metric_options(each) for each in subsets[:1])
        command = f"twopass cluster {path}{select}{metric}{stride} --n-clusters K"
        return command if command.isprintable() else f"twopass cluster {path} --n-clusters K"
    opened = f"twopass_store.open_results({str(store.path)!r}, {clusterings[0]!r})"
    return f"python -c {_double_quoted(f'import twopass_store; print({opened})')}"


def _double_quoted(code: str) -> str:
    # In double quotes, where what is quoted has single ones, unless the shell would see more in it.
    return shlex.quote(code) if set(code) & set('"\\$`!') else f'"{code}"'


def _metric_options(subset: Mapping[str, Any]) -> str:
    """Write the options with which a subset's metric was chosen."""
    given = {name: subset[name] for name in METRIC_OPTIONS if subset.get(name) is not None}
    flags = {name: "" if value is True else f" {shlex.quote(str(value))}" for name, value in given.items()}
    return "".join(f" --{name.replace('_', '-')}{value}" for name, value in flags.items())


def _resuming(attrs: Mapping[str, Any]) -> str:
    """Return the command that is recorded, quoted anew, if it is one of ours: a user may well paste it."""
    command = str(attrs.get("provenance", {}).get("command", ""))
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    is_ours = words[:1] == ["twopass"] and words[1:2] in (["ingest"], ["cluster"], ["recut"], ["run"])
    return f"{shlex.join(words)}  (to resume)" if is_ours and command.isprintable() else _AGAIN


def _folder_bytes(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.stat(os.path.join(root, file), follow_symlinks=False).st_size  # noqa: PTH116, PTH118
            except FileNotFoundError:
                continue  # replaced by a writer meanwhile
    return total
