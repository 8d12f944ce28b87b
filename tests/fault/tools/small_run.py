"""A run so small that it can be repeated hundreds of times: few atoms and frames, several units a stage."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from actions import make_actions
from power import Run, State, state_of
from small_chunks import small_chunks
from twopass_store import open_results, verify_store
from twopass_store.errors import TwopassError
from twopass_store.journal import Lock, hold
from twopass_store.report import store_status
from twopass_store.store import Store

N_ATOMS = 14  # XTC compresses from 10 on, and only then lies on a grid


class _Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 1, tzinfo=UTC)


@contextmanager
def shrunk(patch: pytest.MonkeyPatch, *, block: int = 4, frames: int = 8, pairs: int = 16) -> Iterator[None]:
    """Have chunks small, ledgers written with every unit, and provenance the same in each run.

    Nothing waits for a writer: none is there.

    Parameters
    ----------
    block, frames, pairs
        Frames in a chunk of positions, frames in a chunk of other arrays, and pairs.
    """
    patch.setattr(importlib.import_module("twopass_store.journal.ledger"), "COMMIT_SECONDS", -1.0)
    patch.setattr(importlib.import_module("twopass_store.store.provenance"), "datetime", _Clock)
    patch.setattr(importlib.import_module("twopass_store.store.reading"), "PATIENCE_SECONDS", 0.0)
    patch.setattr(importlib.import_module("twopass_store.integrity.verify"), "RECHECK_SECONDS", 0.0)
    position_bytes = block * N_ATOMS * 12
    with small_chunks(frames=frames, pairs=pairs, position_bytes=position_bytes, frame_files=2):
        yield


def lock_of_a_dead_process(folder: Path) -> bytes:
    """Return what a process of this host that is gone had written into its lock."""
    with hold(folder / "any.lock", [Lock("ingest")]):
        holder = json.loads((folder / "any.lock" / "ingest.json").read_text())
    # No process id is as high as this one.
    return json.dumps({**holder, "pid": 2**22 + 1, "process_start": 0.0}).encode()


def check_readers(store: Path, results: dict[str, list[xr.Dataset]]) -> None:
    """Look at a store after a crash: readers find what is right, or are told that it isn't there.

    What isn't finished is no damage.

    Parameters
    ----------
    store
        Path of the store.
    results
        What they may find, by clustering.
    """
    try:
        store_status(store)
        damage = verify_store(store, workers=1).damage
        names = Store.open(store).members("clusterings")
    except TwopassError:
        return
    assert damage == (), damage
    for name in names:
        try:
            found = open_results(store, name).load()
        except TwopassError:
            continue
        wrong = _wrong_parts(found, results[name])
        assert [] in wrong, f"{name} is wrong in {wrong}"


def _wrong_parts(found: xr.Dataset, results: list[xr.Dataset]) -> list[list[str]]:
    """Name what differs from each of the results that are right; labels may be missing that aren't finished.

    Of a file that has grown, each column of the table may speak of it as it was, or as it is.
    """
    wrong = []
    for right in results:
        if found.sizes != right.sizes:
            wrong.append([f"sizes {dict(found.sizes)} for {dict(right.sizes)}"])
            continue
        # Without their coordinates, which labels are.
        variables = {str(name): variable for name, variable in found.variables.items()}
        differ = [name for name in variables if not variables[name].identical(right.variables.get(name))]
        wrong.append([name for name in differ if not _is_of_a_file(name, variables[name], results)])
        wrong[-1] += [f"attrs {found.attrs} for {right.attrs}"] if found.attrs != right.attrs else []
    return wrong


def _is_of_a_file(name: str, column: xr.Variable, results: list[xr.Dataset]) -> bool:
    """Tell whether a column of the table of files is that of any of the results."""
    cut = {"trajectory_file": slice(column.size)}
    return column.dims == tuple(cut) and any(
        column.identical(each.variables[name].isel(cut)) for each in results
    )


def small_runs(folder: Path, **options: Any) -> dict[str, Run]:
    """Make the runs of `make_actions`, with its options; chunks must be small already (`shrunk`)."""
    actions = make_actions(folder, **options)
    lock = lock_of_a_dead_process(folder)
    runs = {}
    for name, action in actions.items():
        before: State = frozenset() if action.before is None else state_of(action.before.parent)
        results: dict[str, list[xr.Dataset]] = {}
        for store in filter(None, (action.before, action.after)):
            for clustering in Store.open(store).members("clusterings"):
                results.setdefault(clustering, []).append(open_results(store, clustering).load())
        check = partial(check_readers, results=results)
        runs[name] = Run(before, state_of(action.after.parent), action.act, check, lock)
    return runs
