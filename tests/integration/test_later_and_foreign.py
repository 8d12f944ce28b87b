"""Stores of a later version are refused with both versions; what others put into a store is left alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
import pytest
import zarr

from conftest import EXAMPLE
from faults import assert_opens
from twopass_store import (
    adopt_leaders,
    assign_frames,
    cluster_subset,
    compare_labels,
    export_coordinates,
    ingest_trajectories,
    open_results,
    recut_clustering,
    relocate_trajectories,
    scan_cuts,
    store_status,
    summarize,
    verify_store,
)
from twopass_store.errors import FormatVersionError, StoreError
from twopass_store.journal import Plan
from twopass_store.schema import FORMAT_VERSION

TOP = EXAMPLE / "alanine-dipeptide.pdb"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 80 frames with two clusterings and a scan."""
    path = tmp_path_factory.mktemp("made") / "s.zarr"
    ingest_trajectories(path, EXAMPLE / "alanine-dipeptide.xtc", top=TOP, stride=50, workers=1)
    cluster_subset(path, stride=2, n_clusters=3, workers=1)
    assign_frames(path, margin=True, noise_cutoff=0.05, workers=1)
    recut_clustering(path, name="default", new_name="fine", n_clusters=5, workers=1)
    scan_cuts(path, stride=2, n_clusters="2:5", workers=1)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "s.zarr"))


@pytest.fixture
def more(tmp_path: Path) -> Path:
    """Of which every 50th, as of the store, is appended."""
    path = tmp_path / "more.xtc"
    md.load(EXAMPLE / "alanine-dipeptide.xtc", top=TOP)[7:1507].save_xtc(path)
    return path


def rewrite(file: Path, **changes: Any) -> None:
    metadata = json.loads(file.read_text())
    metadata["attributes"].update(changes)
    file.write_text(json.dumps(metadata))


READERS = {
    "open_results": lambda path, _: open_results(path, "default"),
    "status": lambda path, _: store_status(path),
    "summary": lambda path, _: summarize(path, "default"),
    "compare": lambda path, _: compare_labels(path, TOP, "default"),
    "export": lambda path, folder: export_coordinates(path, folder / "out.xtc"),
    "verify": lambda path, _: verify_store(path),
}
WRITERS = {
    "ingest": lambda path, more: ingest_trajectories(path, more, top=TOP, workers=1),
    "ingest anew": lambda path, more: ingest_trajectories(path, more, top=TOP, workers=1, restart=True),
    "append": lambda path, more: ingest_trajectories(path, more, top=TOP, append=True),
    "cluster": lambda path, _: cluster_subset(path, n_clusters=2, restart=True),
    "recut": lambda path, _: recut_clustering(path, name="fine", new_name="x", n_clusters=2),
    "scan": lambda path, _: scan_cuts(path, n_clusters="2:3"),
    "assign": lambda path, _: assign_frames(path, name="fine", restart=True),
    "adopt": lambda path, _: adopt_leaders(path, TOP, name="x"),
    "relocate": lambda path, _: relocate_trajectories(path, "/tmp", "/elsewhere"),
}


def make_newer(store: Path) -> None:
    """Let a store say that it is of the next version, without what only this one has on record of it."""
    for file in store.glob("journal/*/zarr.json"):
        plan = Plan.from_json(json.loads(file.read_text())["attributes"]["plan"])
        rewrite(file, plan=plan.with_metadata({}).to_json())
    rewrite(store / "zarr.json", twopass_format=FORMAT_VERSION + 1)


WORDS = f"has format version {FORMAT_VERSION + 1}, and this version of twopass-store reads {FORMAT_VERSION}"


def test_newer_store__is_refused_with_both_versions_before_all_else(store: Path, more: Path) -> None:
    """What a later version may have changed isn't looked at: here nothing else is as it should be."""
    make_newer(store)
    rewrite(store / "zarr.json", topology=[], provenance=0)
    for file in store.rglob("zarr.json"):
        if file.parent != store:
            file.write_text("{}")
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    for act in READERS.values():
        with pytest.raises(FormatVersionError, match=WORDS):
            act(store, store.parent)
    for act in WRITERS.values():
        with pytest.raises(FormatVersionError, match=WORDS):
            act(store, more)
    assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == before
    assert not store.with_name("s.zarr.lock").exists()


EXTRA = (
    ("note", ("line",), 3),
    ("mine/deep/table", ("row", "column"), 4),
    ("clusterings/default/colour", ("cluster_colour",), 3),
    ("subsets/{subset}/weight", ("subset",), 40),
    ("scans/{scan}/mark", ("cut",), 4),
)
ALONG_FRAME = (
    ("energy", ("frame",), 80),
    ("clusterings/default/free_energy", ("frame",), 80),
    ("mine/dihedral", ("frame", "angle"), 80),
)


def add(store: Path, *extra: tuple[str, tuple[str, ...], int]) -> dict[Path, bytes]:
    """Put arrays and attributes of somebody else into a store; returns their files."""
    names = {kind: next((store / f"{kind}s").glob("*/zarr.json")).parent.name for kind in ("subset", "scan")}
    folders = []
    for path, dims, length in extra:
        path = path.format(**names)
        array = zarr.create_array(
            store, name=path, shape=(length, *[2] * (len(dims) - 1)), dtype="f4", dimension_names=dims
        )
        array[:] = np.arange(array.size).reshape(array.shape)
        folders.append(store / path)
    return {file: file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


def act_on(store: Path) -> None:
    """Everything that a store is for, but for an append."""
    for read in READERS.values():
        if read is not READERS["compare"]:
            read(store, store.parent)
    (store.parent / "out.xtc").unlink()
    cluster_subset(store, stride=3, n_clusters=2, name="new", workers=1)
    recut_clustering(store, name="default", new_name="again", n_clusters=2, workers=1)
    scan_cuts(store, stride=3, n_clusters="2:3", workers=1)
    assign_frames(store, name="default", noise_cutoff=0.06, restart=True, workers=1)
    assign_frames(store, name="new", workers=1)


def test_unknown_arrays__are_left_alone(store: Path, more: Path) -> None:
    extra = add(store, *EXTRA)
    assert_opens(store)
    act_on(store)
    ingest_trajectories(store, more, top=TOP, append=True, workers=1)
    assign_frames(store, name="default", noise_cutoff=0.06, workers=1)
    assert {file: file.read_bytes() for file in extra} == extra
    assert_opens(store)
    # A clustering goes with all that lies in it, and nothing else does.
    cluster_subset(store, stride=2, n_clusters=4, restart=True, workers=1)
    left = {file: content for file, content in extra.items() if "clusterings" not in file.parts}
    assert {file: file.read_bytes() for file in extra if file.exists()} == left


def test_unknown_arrays_along_frame__are_left_alone_and_keep_a_store_from_growing(
    store: Path, more: Path
) -> None:
    extra = add(store, *ALONG_FRAME)
    assert_opens(store)
    act_on(store)
    before = store_status(store)
    listed = "clusterings/default/free_energy, energy, mine/dihedral along frame"
    with pytest.raises(StoreError, match=f"it holds {listed}, which twopass-store didn't make"):
        ingest_trajectories(store, more, top=TOP, append=True, workers=1)
    assert store_status(store) == before
    assert {file: file.read_bytes() for file in extra} == extra
    for name in ("energy", "clusterings/default/free_energy", "mine"):
        shutil.rmtree(store / name)
    assert ingest_trajectories(store, more, top=TOP, append=True, workers=1).n_frames == 110
    assert_opens(store)
