"""What to run after a repair: the commands that began what isn't finished now."""

import os
import shlex
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..journal import StageJournal
from ..store import Store

__all__ = ["next_commands"]


def next_commands(root: Path) -> tuple[str, ...]:
    """List the commands that finish what is unfinished in a store, in the order in which to run them."""
    try:
        store = Store.open(root)
    except StoreError:
        return ()
    stages = [store.journal(stage) for stage in store.members("journal")]
    open_stages = {each.plan.stage: each for each in stages if each is not None and not each.complete}
    found: dict[str, None] = {}
    if "ingest" in open_stages:
        found[_ingest(store, open_stages["ingest"])] = None
    for name in store.members("clusterings"):
        attrs = store.attrs(f"clusterings/{name}")
        key, linkage = attrs.get("subset"), attrs.get("linkage")
        if {f"subset-{key}", f"linkage-{key}-{linkage}", f"clustering-{name}"} & open_stages.keys():
            found[_recorded(attrs)] = None
    for key in store.members("scans"):
        attrs = store.attrs(f"scans/{key}")
        subset = attrs.get("subset")
        method = str(attrs.get("linkage_method"))
        linkage = f"linkage_{method}{'_rows' if attrs.get('linkage_input') == 'rows' else ''}"
        if {f"subset-{subset}", f"linkage-{subset}-{linkage}", f"scan-{key}"} & open_stages.keys():
            found[_recorded(attrs)] = None
    for stage, journal in open_stages.items():
        kind, _, name = stage.partition("-")
        if kind in ("assign", "margin"):
            found.pop(_assign(root, name, None, margin=False), None)
            assign = open_stages.get(f"assign-{name}") or store.journal(f"assign-{name}")
            has_margin = store.journal(f"margin-{name}")
            margin = has_margin is not None and not has_margin.complete
            found[_assign(root, name, assign, margin=margin)] = None
        elif kind in ("subset", "linkage", "clustering", "scan") and not found:
            group = f"subsets/{name.partition('-linkage_')[0]}"
            found[_recorded(store.attrs(group) if store.has(group) else {})] = None
        del journal
    return tuple(found)


def _ingest(store: Store, journal: StageJournal) -> str:
    """Write the ingest of all files: also frames that were appended later can be read so."""
    request = journal.plan.request
    if "append" not in request:
        return _recorded(store.attrs())
    try:
        paths = [str(path) for path in store.read("trajectory_path")]
    except StoreError:
        both = (*request.get("trajectories", []), *request["append"]["files"])
        paths = list(dict.fromkeys(str(path) for path, *_ in both))  # a file that has grown is in both
    named = dict(
        zip(request.get("named", []), (str(path) for path, *_ in request.get("top", [])), strict=False)
    )
    options = {**request.get("options", {}), **named}
    words = ["twopass", "ingest", _shown(store.path), *paths]
    for name, value in options.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return shlex.join(words)


def _assign(root: Path, name: str, assign: StageJournal | None, *, margin: bool) -> str:
    cutoff = None if assign is None else assign.plan.request.get("noise_cutoff")
    words = ["twopass", "assign", _shown(root), *([] if name == "default" else ["--name", name])]
    words += [] if cutoff is None else ["--noise-cutoff", f"{cutoff:.12g}"]
    return shlex.join([*words, *(["--margin"] if margin else [])])


def _recorded(attrs: dict[str, Any]) -> str:
    return str(attrs.get("provenance", {}).get("command", "the command that began it"))


def _shown(root: Path) -> str:
    return os.path.relpath(root) if root.is_relative_to(Path.cwd()) else str(root)
