"""What to run next, made from what is on record and checked: a user may well paste it into a shell."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..config import METRIC_OPTIONS, AssignConfig, ClusterConfig, IngestConfig, RecutConfig, ScanConfig
from ..journal import StageJournal
from ..store import GROWTH, OF_A_CLUSTERING, Store, is_url, open_jobs

__all__ = ["next_command", "resuming_commands"]

UNKNOWN = "the command that began it"

_MODELS: Mapping[str, type[BaseModel]] = {
    "ingest": IngestConfig,
    "cluster": ClusterConfig,
    "recut": RecutConfig,
    "scan": ScanConfig,
    "assign": AssignConfig,
}
_FURTHER = {"run": {"--set", "--store"}, "ingest": {"--append"}, "recut": {"--as", "--from"}}
_IGNORED = {"-q", "--quiet", "--debug", "--restart", "--break-lock"}


def resuming_commands(store: Store) -> tuple[str, ...]:
    """List the commands that finish what was begun in a store, in the order in which to run them."""
    found = (store.journal(stage) for stage in store.stages() if stage != GROWTH)
    begun = {each.plan.stage: each for each in found if each is not None}
    jobs = open_jobs(store.path)
    of_jobs = {step["stage"] for job in jobs if job.kept.job != "cluster" for step in job.described["steps"]}
    unfinished = {stage for stage, journal in begun.items() if not journal.complete} - of_jobs
    commands = [_ingest(store, begun["ingest"])] if "ingest" in unfinished else []
    first_passes = []
    for group, kind in (("clusterings", "clustering"), ("scans", "scan")):
        for name in store.members(group):
            attrs = store.attrs(f"{group}/{name}")
            key = attrs.get("subset")
            linkage = f"linkage_{attrs.get('linkage_method')}"
            linkage += "_rows" if attrs.get("linkage_input") == "rows" else ""
            if {f"subset-{key}", f"linkage-{key}-{linkage}", f"{kind}-{name}"} & unfinished:
                first_passes.append(_recorded(attrs))
    if not commands and not first_passes:
        # Of a clustering that has no group yet, the subset has the command.
        for stage in unfinished:
            kind, _, name = stage.partition("-")
            if kind in ("subset", "linkage", "clustering", "scan"):
                group = f"subsets/{name.partition('-linkage_')[0]}"
                first_passes.append(_recorded(store.attrs(group) if store.has(group) else {}))
    kinds = tuple(f"{kind}-" for kind in OF_A_CLUSTERING[1:])
    second_passes = [
        _assign(
            store,
            name,
            begun.get(f"assign-{name}") or begun.get(f"cover-{name}"),
            margin=f"margin-{name}" in unfinished,
        )
        for name in sorted({stage.partition("-")[2] for stage in unfinished if stage.startswith(kinds)})
    ]
    on_jobs = [command for job in jobs for command in job.next_commands(shown_path(store))]
    return tuple(dict.fromkeys([*on_jobs, *commands, *first_passes, *second_passes]))


def next_command(store: Store, clusterings: list[str]) -> str:
    """Return what to run next; `clusterings` have their first pass."""
    begun = resuming_commands(store)
    command = begun[0] if begun else _suggested(store, clusterings)
    if begun and not command.startswith(("twopass assign", "twopass work", "twopass commit")):
        command += "  (to resume)"
    if is_url(store.path) and not command.startswith("twopass summary"):
        return f"{command.replace(str(store.path), 'STORE')}, and then twopass publish STORE {store.path}"
    return command


def _suggested(store: Store, clusterings: list[str]) -> str:
    """Return what to run on a store in which nothing is unfinished."""
    path = shown_path(store)
    for name in clusterings:
        if store.journal(f"assign-{name}") is None:
            return _assign(store, name, None, margin=False)
    if clusterings:
        name = "default" if "default" in clusterings else clusterings[0]
        return shlex.join(["twopass", "summary", path, "--name", name])
    words, stride = ["twopass", "cluster", path], 1
    for subset in [store.attrs(f"subsets/{key}") for key in store.members("subsets")][:1]:
        words += ["--select", subset["select"]] if subset["select"] else []
        for name in METRIC_OPTIONS:
            if subset.get(name) is not None:
                words += _option(name, subset[name])
        stride = int(subset["stride"])
        words += ["--stride", str(stride)]
    # Judging cuts takes halves of two frames at least.
    n_clusters = "auto" if len(range(0, store.shape("position")[0], stride)) > 3 else "2"
    command = shlex.join([*words, "--n-clusters", n_clusters])
    return command if command.isprintable() else shlex.join([*words[:3], "--n-clusters", n_clusters])


def shown_path(store: Store) -> str:
    """Return the store's path, relative if it lies below the working folder."""
    inside = store.path.is_relative_to(Path.cwd())
    return os.path.relpath(store.path) if inside else str(store.path)


def _ingest(store: Store, journal: StageJournal) -> str:
    # Once finished, what is missing was discarded or comes with an append: its files may have grown since.
    if "append" in journal.plan.request or "position" in journal.plan.metadata:
        command = shlex.join(["twopass", "ingest", "--append", shown_path(store)])
        return command if command.isprintable() else UNKNOWN
    return _recorded(store.attrs())


def _assign(store: Store, name: str, assign: StageJournal | None, *, margin: bool) -> str:
    words = ["twopass", "assign", shown_path(store), *([] if name == "default" else ["--name", name])]
    for option in ("noise_cutoff", "cover", "cover_link", "max_leaders"):
        value = None if assign is None else assign.plan.request.get(option)
        if value is not None and value is not False:
            words += _option(option, f"{value:.12g}" if isinstance(value, float) else value)
    return shlex.join([*words, *(["--margin"] if margin else [])])


def _recorded(attrs: Mapping[str, Any]) -> str:
    """Return the command that is on record, quoted anew, if all its options are ours and discard nothing."""
    command = str(attrs.get("provenance", {}).get("command", ""))
    try:
        program, name, *rest = shlex.split(command)
        if name == "plan":
            store, name, *rest = (word for word in rest if word not in _IGNORED)
            rest.insert(0, store)
    except ValueError:
        return UNKNOWN
    if program != "twopass" or name not in {*_MODELS, *_FURTHER} or not command.isprintable():
        return UNKNOWN
    fields = _MODELS[name].model_fields if name in _MODELS else ()
    allowed = {f"--{field.replace('_', '-')}" for field in fields} | _FURTHER.get(name, set())
    words = [word for word in rest if word not in _IGNORED]
    if any(word.startswith("--") and word.partition("=")[0] not in allowed for word in words):
        return UNKNOWN
    return shlex.join([program, name, *words])


def _option(name: str, value: object) -> list[str]:
    return [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
