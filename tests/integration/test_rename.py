"""`rename`: a clustering is then as if it had been made under its new name, wherever that was stopped."""

import shutil

import pytest
import zarr

from actions import Stopped, stopping_at
from faults import assert_same
from small_chunks import small_chunks
from small_stores import SMALL, forget, make_small
from twopass_store import assign_frames, cluster_subset, open_results, rename_clustering, verify_store
from twopass_store.errors import StageIncompleteError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that makes a store with two clusterings, the second of which has a given name."""
    with small_chunks(**SMALL):
        small = make_small(tmp_path_factory.mktemp("small"))

        def make(name):
            store = shutil.copytree(small, tmp_path_factory.mktemp(name) / "s.zarr")
            cluster_subset(store, name=name, select="all", stride=4, linkage="ward", n_clusters=4, workers=1)
            assign_frames(store, name=name, noise_cutoff=0.3, margin=True, workers=1)
            return store

        yield make("old"), make("new")


@pytest.mark.parametrize("step", range(0, 251, 25))
def test_rename__leaves_what_the_new_name_had_made(made, tmp_path, step):
    old, new = made
    store = shutil.copytree(old, tmp_path / "s.zarr")
    try:
        with stopping_at(step):
            rename_clustering(store, "old", "new")
        assert not step
    except Stopped:
        assert verify_store(store, workers=1).is_whole
        open_results(store, "default").load()
        try:
            found = open_results(store, "new").load()
        except StageIncompleteError:
            found = open_results(store, "old").load()
        assert "second_label" in found
    rename_clustering(store, "old", "new")
    assert_same(store, new)


CONFIG = """
store = "s.zarr"
[ingest]
trajectories = ["example:alanine-dipeptide.xtc"]
top = "example:alanine-dipeptide.pdb"
stride = 20
[cluster]
stride = 4
n_clusters = 3
"""


def test_renamed__is_resumed_repaired_and_cut_anew_under_its_name(tmp_path, twopass):
    store = tmp_path / "s.zarr"
    (tmp_path / "c.toml").write_text(CONFIG)
    twopass("run", "c.toml")
    twopass("recut", "s.zarr", "--as=fine", "--n-clusters", "4")
    mine = zarr.create_array(store, name="clusterings/default/mine", shape=3, dtype="i4")
    mine[:] = [1, 2, 3]
    forget(store, "assign-default")
    said = twopass("rename", "s.zarr", "--name", "default", "--to", "own").stdout
    assert said == "s.zarr: clustering default is now own\n"
    assert "nothing was changed" in twopass("rename", "s.zarr", "--name", "default", "--to", "own").stdout
    twopass("rename", "s.zarr", "--name", "fine", "--to", "finer")
    assert zarr.open_array(store, path="clusterings/own/mine", mode="r")[:].tolist() == [1, 2, 3]
    assert "twopass assign s.zarr --name own" in twopass("status", "s.zarr").stdout
    again = ("run", "c.toml", "--set", "cluster.name=own")
    assert "All was done" not in twopass(*again).stdout
    assert "All was done" in twopass(*again).stdout
    assert [file.name for file in tmp_path.glob("*.pdb")] == ["s.own.medoids.pdb"]
    for name in ("own", "finer"):
        next((store / "clusterings" / name / "leader_position").glob("c.*")).unlink()
    said = twopass("repair", "s.zarr").stdout
    commands = ["twopass run c.toml --set cluster.name=own", "twopass recut s.zarr --as=finer --n-clusters 4"]
    assert all(command in said for command in commands)
    for command in commands:
        twopass(*command.split()[1:])
    twopass("verify", "s.zarr")
    for name, to, code, words in [
        ("nobody", "x", 8, "there are: finer, own"),
        ("own", "finer", 2, "has a clustering 'finer' already"),
        ("own", "own", 2, "already"),
        ("own", "a/b", 2, "can't be the name"),
    ]:
        assert words in twopass("rename", "s.zarr", "--name", name, "--to", to, code=code).stderr
