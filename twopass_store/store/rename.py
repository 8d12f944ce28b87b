"""A clustering under another name: copied whole, then the old one is removed.

Readers always find one of the two finished, and at each step the store is one that other commands can use.
"""

import json
import os
import shlex
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..config import ClusterConfig, validated
from ..errors import ConfigError, StageIncompleteError
from ..journal import ABSENT, Lock, Plan, StageJournal, Writer, hold, naming_writer
from .places import METADATA_FILE, clustering_stages, lock_folder
from .stage import discard, require_clustering
from .store import Store, medoids_path, store_path

__all__ = ["rename_clustering"]


def rename_clustering(store: str | os.PathLike[str], name: str, to: str, *, break_lock: bool = False) -> bool:
    """Give a clustering another name; all is then as if it had been made under that one.

    For a moment it takes its space on the disk twice. It can be stopped at any moment: the same call
    finishes it, and until then both names may be there.

    Parameters
    ----------
    store
        Path of the store.
    name, to
        The name that it has, and the one that it shall have.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.

    Returns
    -------
    Whether anything was changed; not if only the new name is there.

    Raises
    ------
    ConfigError
        If the new name isn't allowed, or another clustering has it.
    StageIncompleteError
        If there is no finished clustering of the old name.
    StoreError
        If the store is damaged or locked, or can't be written.
    """
    validated(ClusterConfig, {"name": to}, source="`to`")
    path = store_path(store)
    with naming_writer(lock_folder(path), Lock("ingest"), break_lock=break_lock):
        if _is_renamed(Store.open(path), name, to):
            return False
    with hold(lock_folder(path), [Lock("ingest")], break_lock=break_lock) as writer:
        opened = Store.open(path, writer=writer)
        if _is_renamed(opened, name, to):
            return False
        if any(map(partial(_lacks, opened), clustering_stages(to), clustering_stages(name))):
            _copy(opened, name, to, writer)
        _rename_medoids(path, name, to, writer)
        discard(opened, *reversed(clustering_stages(name)))
    return True


def _is_renamed(store: Store, name: str, to: str) -> bool:
    """Tell whether only the new name is there; refuse what can't be renamed."""
    old, new = store.journal(f"clustering-{name}"), store.journal(f"clustering-{to}")
    if old is None:
        if new is not None and new.complete:
            return True
        names = ", ".join(store.members("clusterings")) or "none"
        raise StageIncompleteError(f"{store.path} has no clustering {name!r} (there are: {names}).")
    # If it was made from the old one, an earlier call was stopped.
    if name == to or (new is not None and new.plan.metadata != _renamed(old.plan, name, to).metadata):
        raise ConfigError(
            f"{store.path} has a clustering {to!r} already. Choose another name (`to`), or remove that one "
            f"first (`twopass remove {shlex.quote(str(store.path))} --name {to}`)."
        )
    if new is None or not new.complete:
        require_clustering(store, name)
    return False


def _lacks(store: Store, stage: str, other: str) -> bool:
    """Tell whether a stage's ledger lacks what another's has; while that is discarded, it has nothing."""
    ours, theirs = store.read_ledger(stage), store.read_ledger(other)
    if theirs is None or not theirs.any():
        return False
    return ours is None or len(ours) != len(theirs) or bool(((theirs != ABSENT) & (ours != theirs)).any())


def _copy(store: Store, name: str, to: str, writer: Writer) -> None:
    """Copy a clustering: its plans, its folder with all that is in it, and then its ledgers."""
    found = (store.journal(stage) for stage in clustering_stages(name))
    journals = [journal for journal in found if journal is not None]
    plans = [_renamed(journal.plan, name, to) for journal in journals]
    discard(store, *(plan.stage for plan in reversed(plans)))  # what a call that was stopped has left
    for plan in plans:
        StageJournal.begin(store, plan, hint="")
    group = f"clusterings/{to}"
    own = {METADATA_FILE: plans[0].metadata[group].encode()}
    writer.copy(store.at(f"clusterings/{name}"), store.at(group), but=own)
    for journal, plan in zip(journals, plans, strict=True):
        entries = store.read_ledger(journal.plan.stage)
        if entries is not None:
            store.write_ledger(plan.stage, entries)


def _renamed(plan: Plan, name: str, to: str) -> Plan:
    """Return a plan of the clustering under its new name; its fingerprint stays, which knows no names."""
    old, new = f"clusterings/{name}", f"clusterings/{to}"
    metadata = {new + path.removeprefix(old): text for path, text in plan.metadata.items()}
    if new in metadata:
        command = json.loads(metadata[new])["attributes"]["provenance"]["command"]
        metadata[new] = metadata[new].replace(json.dumps(command), json.dumps(_command(command, to)), 1)
    renamed = replace(
        plan,
        stage=f"{plan.stage.partition('-')[0]}-{to}",
        products=tuple(replace(each, path=new + each.path.removeprefix(old)) for each in plan.products),
        request={**plan.request, **({"name": to} if "name" in plan.request else {})},
    )
    return renamed.with_metadata(metadata) if metadata else renamed


def _command(command: str, to: str) -> str:
    """Return the command on record as it makes the clustering under its new name; `repair` suggests it."""
    try:
        program, kind, *words = shlex.split(command)
    except ValueError:
        return command
    if program != "twopass":
        return command
    option = {"run": "--set", "recut": "--as"}.get(kind, "--name")
    value = f"cluster.name={to}" if kind == "run" else to
    before = "cluster.name=" if kind == "run" else ""
    for at, word in enumerate(words):
        if word.startswith(f"{option}={before}"):
            words[at] = f"{option}={value}"
            break
        if word == option and words[at + 1].startswith(before):
            words[at + 1] = value
            break
    else:
        words += [option, value]
    return shlex.join([program, kind, *words])


def _rename_medoids(store: Path, name: str, to: str, writer: Writer) -> None:
    """Rename the file beside the store if it is of the clustering, which each of its models names."""
    old = medoids_path(store, name)
    with suppress(FileNotFoundError, UnicodeDecodeError):
        text = old.read_text(encoding="utf-8")
        if (title := f"MEDOIDS OF {name}, ") in text:
            writer.write(medoids_path(store, to), text.replace(title, f"MEDOIDS OF {to}, ").encode())
            writer.remove(old)
