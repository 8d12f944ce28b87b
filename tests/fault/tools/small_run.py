"""A run so small that it can be repeated hundreds of times: few atoms and frames, several units a stage."""

import importlib
import json
import pkgutil
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import xarray as xr

import twopass_store
from power import Run, State, state_of
from trajectory_files import make_trajectory
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    recut_clustering,
    scan_cuts,
    verify_store,
)
from twopass_store.errors import TwopassError
from twopass_store.journal import Lock, hold
from twopass_store.report import store_status
from twopass_store.store import Store

N_ATOMS = 14  # XTC compresses from 10 on, and only then lies on a grid


class _Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 1, tzinfo=UTC)


def shrink(patch: pytest.MonkeyPatch, *, block: int = 4, frames: int = 8, pairs: int = 16) -> None:
    """Make chunks small, ledgers written with every unit, and provenance the same in each run.

    Parameters
    ----------
    block, frames, pairs
        Frames in a chunk of positions, frames in a chunk of other arrays, and pairs.
    """
    # All modules now: one imported later would keep what is meant for this test.
    for module in pkgutil.walk_packages(twopass_store.__path__, "twopass_store."):
        loaded = importlib.import_module(module.name)
        for name, value in (("FRAME_CHUNK", frames), ("PAIR_CHUNK", pairs)):
            if hasattr(loaded, name):
                patch.setattr(loaded, name, value)
    partition = importlib.import_module("twopass_store.partition")
    patch.setattr(partition, "POSITION_CHUNK_BYTES", block * N_ATOMS * 12)
    patch.setattr(importlib.import_module("twopass_store.journal.ledger"), "COMMIT_SECONDS", -1.0)
    patch.setattr(importlib.import_module("twopass_store.store.provenance"), "datetime", _Clock)


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
    assert damage == ()
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
        names = [str(name) for name in found.variables]
        differ = [name for name in names if not found[name].identical(right.get(name))]
        wrong.append([name for name in differ if not _is_of_a_file(found[name], results)])
        wrong[-1] += [f"attrs {found.attrs} for {right.attrs}"] if found.attrs != right.attrs else []
    return wrong


def _is_of_a_file(column: xr.DataArray, results: list[xr.Dataset]) -> bool:
    """Tell whether a column of the table of files is that of any of the results."""
    cut = {"trajectory_file": slice(column.size)}
    return column.dims == tuple(cut) and any(column.identical(each[column.name][cut]) for each in results)


def small_runs(
    folder: Path, *, frames: int = 20, workers: int = 1, only: str | None = None
) -> dict[str, Run]:
    """Make the runs, each on what another one left; chunks must be small already (`shrink`).

    Parameters
    ----------
    folder
        Where to work.
    frames
        Frames at first.
    workers
        Threads of the first and the second pass, and what an ingest takes for processes.
    only
        The last one that is needed.
    """
    inputs = folder / "in"
    inputs.mkdir(parents=True)
    first, top = inputs / "a.xtc", inputs / "top.pdb"
    short, long, more = inputs / "short.xtc", inputs / "long.xtc", inputs / "b.xtc"
    trajectory = make_trajectory(frames + 11, n_residues=2)
    trajectory[0].save_pdb(str(top))
    trajectory[:frames].save(str(short))
    trajectory[: frames + 6].save(str(long))
    trajectory[frames + 6 :].save(str(more))

    def ingest(store: Path) -> None:
        shutil.copy2(short, first)
        ingest_trajectories(store, first, top=top, workers=workers)

    def cluster(store: Path) -> None:
        cluster_subset(store, select="all", n_clusters=3, stride=2, workers=workers)

    def cluster_anew(store: Path) -> None:
        cluster_subset(store, select="all", n_clusters=2, stride=3, workers=workers, restart=True)

    def recut(store: Path) -> None:
        recut_clustering(store, name="default", new_name="fine", n_clusters=4, workers=workers)

    def scan(store: Path) -> None:
        scan_cuts(store, n_clusters="2:4", linkage=["ward"], name="default", workers=workers)

    def assign(store: Path) -> None:
        assign_frames(store, name="default", margin=True, workers=workers)

    def assign_anew(store: Path) -> None:
        assign_frames(store, name="default", noise_cutoff=0.05, margin=True, workers=workers, restart=True)

    def append(store: Path) -> None:
        shutil.copy2(long, first)
        ingest_trajectories(store, [first, more], append=True, workers=workers)

    def ingest_anew(store: Path) -> None:
        shutil.copy2(short, first)
        ingest_trajectories(store, first, top=top, workers=workers, stride=2, restart=True)

    made: dict[str, Run] = {}
    right: dict[str, dict[str, list[xr.Dataset]]] = {}
    lock = lock_of_a_dead_process(folder)

    def add(name: str, run: Callable[[Path], object], *, on: str | None) -> None:
        here = folder / name
        here.mkdir()
        store = here / "s.zarr"
        before: State = frozenset()
        if on is not None:
            shutil.copytree(folder / on / "s.zarr", store)
            before = state_of(here)
        results = {} if on is None else {key: list(value) for key, value in right[on].items()}
        run(store)
        for clustering in Store.open(store).members("clusterings"):
            results.setdefault(clustering, []).append(open_results(store, clustering).load())
        right[name] = results
        made[name] = Run(before, state_of(here), run, partial(check_readers, results=results), lock)

    plan: list[tuple[str, Callable[[Path], object], str | None]] = [
        ("ingest", ingest, None),
        ("cluster", cluster, "ingest"),
        ("recut", recut, "cluster"),
        ("assign", assign, "recut"),
        ("append", append, "assign"),
        ("assign-anew", assign_anew, "assign"),
        ("cluster-anew", cluster_anew, "assign"),
        ("ingest-anew", ingest_anew, "cluster"),
        ("scan", scan, "cluster"),
    ]
    for name, run, on in plan:
        add(name, run, on=on)
        if name == only:
            break
    return made
