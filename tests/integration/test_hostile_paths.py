"""A stranger's store that leads elsewhere: links, pipes, and paths out of its folder."""

import os
import shutil
from pathlib import Path

import pytest

import twopass_store
from strangers import add_growth, change_plan, copied
from twopass_store.errors import StoreError, TwopassError
from twopass_store.report import store_status, summarize
from twopass_store.store import Store


@pytest.fixture
def store(finished, tmp_path):
    return copied(finished, tmp_path / "sent")


@pytest.fixture
def outside(tmp_path):
    """Files of the user that no command may touch; checked at the end."""
    folder = tmp_path / "home"
    (folder / "staging" / "deep").mkdir(parents=True)
    (folder / "ledger").mkdir()
    for name in ("keep.json", "guard", "staging/deep/keep", "ledger/keep", "zarr.json", "c.0"):
        (folder / name).write_text("{}")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def replace_by_link(path: Path, target: Path) -> None:
    """Put a link in the place of a file or folder; what was there moves behind it."""
    if path.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(path, target)
    else:
        shutil.move(path, target)
    path.symlink_to(target)


def touch_everything(store: Path, folder: Path) -> list[TwopassError]:
    """Do all that the library does with a store; returns the errors, which must be ours."""
    errors = []
    new = str(folder / "new.xtc")
    for call in (
        lambda: store_status(store),
        lambda: summarize(store, "default"),
        lambda: twopass_store.open_results(store).load(),
        lambda: twopass_store.export_coordinates(store, folder / "out.xtc", overwrite=True),
        lambda: twopass_store.recut_clustering(store, new_name="fine", n_clusters=4, restart=True),
        lambda: twopass_store.assign_frames(store, name="default", noise_cutoff=0.01, restart=True),
        lambda: twopass_store.cluster_subset(store, n_clusters=2, stride=3, restart=True),
        lambda: twopass_store.ingest_trajectories(store, new, append=True),
        lambda: twopass_store.ingest_trajectories(store, new, top=str(folder / "md.pdb"), restart=True),
    ):
        try:
            call()
        except TwopassError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize(
    "path",
    [
        "zarr.json",
        "position",
        "position/c.0.0.0",
        "position/zarr.json",
        "atom_name",
        "clusterings",
        "clusterings/default",
        "clusterings/default/label/c.0",
        "clusterings/default/leader_frame",
        "subsets",
        "journal",
        "journal/zarr.json",
        "journal/assign-default",
        "journal/ingest/ledger/c.0",
    ],
)
def test_link_in_a_store__is_refused_and_what_it_leads_to_stays(store, outside, tmp_path, path):
    shutil.copy(store.parent / "md.xtc", store.parent / "new.xtc")
    target = outside.parent / "linked"
    replace_by_link(store / path, target)
    before = {file: file.read_bytes() for file in [target, *target.rglob("*")] if file.is_file()}
    errors = touch_everything(store, store.parent)
    assert any("link" in str(error) for error in errors), errors
    assert {file: file.read_bytes() for file in [target, *target.rglob("*")] if file.is_file()} == before


def test_links_own_to_a_store__are_followed(store, tmp_path):
    link = tmp_path / "mine.zarr"
    link.symlink_to(store)
    assert store_status(link).n_frames == store_status(store).n_frames
    assert twopass_store.open_results(link).sizes == twopass_store.open_results(store).sizes


@pytest.mark.parametrize("path", ["zarr.json", "position/c.0.0.0", "time/zarr.json", "time/c.0"])
def test_pipe_in_a_store__is_refused_and_not_waited_for(store, path):
    (store / path).unlink()
    os.mkfifo(store / path)
    with pytest.raises(StoreError, match="pipe"):
        twopass_store.open_results(store).load()
    with pytest.raises(StoreError, match="pipe"):
        Store.open(store).read("time" if "time" in path else "position")


@pytest.mark.parametrize("path", ["../../home", "/etc", "a/../../../home", "position/../../../home", "."])
def test_product_outside__is_refused(store, outside, path):
    change_plan(store, "assign-default", lambda plan: plan["products"][0].update(path=path))
    with pytest.raises(StoreError, match="a product isn't an array"):
        store_status(store)


def test_plan_of_another_stage__is_refused(store):
    change_plan(store, "assign-default", lambda plan: plan.update(stage="assign-$(reboot)"))
    with pytest.raises(StoreError, match="its stage is no name"):
        store_status(store)
    change_plan(store, "assign-default", lambda plan: plan.update(stage="assign-other"))
    with pytest.raises(StoreError, match="is one of assign-other"):
        store_status(store)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_before": 1, "lengths": {"../../home": 9}, "journals": {}},
        {"n_before": 1, "lengths": {}, "journals": {"../../../home": {"plan": "", "ledger": ""}}},
        {"n_before": 1, "lengths": {}, "journals": {"../../..": {"plan": "", "ledger": ""}}},
    ],
)
def test_growth_that_leads_outside__is_refused(store, outside, parameters):
    add_growth(store, parameters)
    before = sorted(path for path in store.rglob("c.*"))
    with pytest.raises(StoreError):
        twopass_store.ingest_trajectories(store, str(store.parent / "md.xtc"), append=True)
    assert sorted(path for path in store.rglob("c.*")) == before


def test_lock_folder_that_leads_outside__is_never_followed(store, outside):
    store.with_name("s.zarr.lock").symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        twopass_store.recut_clustering(store, new_name="fine", n_clusters=4)


def test_append__takes_neither_files_nor_memory_from_the_store(store, outside, tmp_path):
    shutil.copy(store.parent / "md.xtc", store.parent / "new.xtc")
    listed = str(outside / "keep.json")
    options = {"from_list": listed, "memory": 1, "workers": 9999, "trajectories": [listed]}
    change_plan(store, "ingest", lambda plan: plan["request"]["options"].update(options))
    result = twopass_store.ingest_trajectories(
        store, str(store.parent / "new.xtc"), top=str(store.parent / "md.pdb"), append=True
    )
    assert result.n_frames == 240
