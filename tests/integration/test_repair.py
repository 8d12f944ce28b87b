"""`repair`: discards what is damaged, and the next run makes the very same bytes."""

import json
import shutil
from contextlib import suppress

import pytest

from actions import Stopped, stopping_at
from conftest import EXAMPLE
from small_chunks import small_chunks
from small_stores import SMALL, copied, files_of, flip, make_small, replace, run_small
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    repair_store,
    verify_store,
)
from twopass_store.errors import StageIncompleteError, StoreLockedError, TwopassError
from twopass_store.journal import Lock, hold
from twopass_store.report import store_status
from twopass_store.store import Store, lock_folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with small_chunks(**SMALL):
        yield make_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def store(small):
    """The store itself, which must be as it was after each test."""
    before = files_of(small)
    yield small
    for path in files_of(small).keys() | before.keys():
        if path in before:
            (small / path).parent.mkdir(parents=True, exist_ok=True)
            replace(small / path, before[path])
        else:
            (small / path).unlink()


DAMAGED = [
    "position/c.2.0.0",
    "time/c.1",
    "trajectory_path/c.0",
    "atom_name/c.0",
    "subsets/*/rmsd/c.1",
    "subsets/*/subset_frame/c.0",
    "subsets/*/linkage_average/c.0.0",
    "clusterings/default/leader_position/c.0.0.0",
    "clusterings/default/subset_label/c.1",
    "clusterings/default/label/c.1",
    "clusterings/default/second_label/c.2",
    "scans/*/silhouette/c.0",
    "zarr.json",
    "journal/zarr.json",
    "subsets/zarr.json",
    "position/zarr.json",
    "subsets/*/zarr.json",
    "clusterings/default/zarr.json",
    "clusterings/default/label/zarr.json",
    "scans/*/zarr.json",
    "journal/ingest/ledger/c.0",
    "journal/clustering-default/ledger/c.0",
    "journal/margin-default/ledger/zarr.json",
]


KINDS = ("flipped", "missing", "cut short")


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        pytest.param(pattern, kind, marks=() if place % 3 == which else pytest.mark.slow)
        for place, pattern in enumerate(DAMAGED)
        for which, kind in enumerate(KINDS)
    ],
)
def test_repair_and_rerun__give_the_very_bytes(store, pattern, kind):
    before = files_of(store)
    (file, *_) = sorted(store.glob(pattern))
    if kind == "flipped":
        flip(file, len(file.read_bytes()) // 2)
    elif kind == "cut short":
        replace(file, file.read_bytes()[:5])
    else:
        file.unlink()
    assert not verify_store(store, workers=1).is_whole
    planned = repair_store(store, dry_run=True)
    assert planned.damage and all(each.mend for each in planned.damage)
    repaired = repair_store(store)
    assert repaired.left == ()
    assert verify_store(store, workers=1).is_whole
    chunk = file.name != "zarr.json" and "journal" not in file.parts
    assert bool(repaired.commands) == chunk
    if pattern.startswith(("position", "time")) and chunk:
        assert repaired.sources == (str(store.parent / "md0.xtc"),)
    run_small(store)
    assert verify_store(store, workers=1).is_whole and not verify_store(store).unfinished
    assert files_of(store) == before
    assert repair_store(store).was_whole


@pytest.mark.parametrize(
    "pattern",
    [
        "zarr.json",
        "time/zarr.json",
        "journal/zarr.json",
        "journal/ingest/ledger/zarr.json",
        "journal/ingest/ledger/c.0",
        "clusterings/zarr.json",
        "clusterings/default/zarr.json",
    ],
)
def test_folder_in_the_place_of_metadata__is_repaired(store, pattern):
    before = files_of(store)
    (store / pattern).unlink()
    (store / pattern / "deep").mkdir(parents=True)
    assert not verify_store(store, workers=1).is_whole
    assert repair_store(store).left == ()
    assert files_of(store) == before


@pytest.mark.parametrize("content", ["all", "nothing"])
@pytest.mark.parametrize("place", ["clusterings/default", "position", "journal", "journal/ingest/ledger"])
def test_repair__writes_nothing_where_a_link_leads(small, tmp_path, place, content):
    store, decoy = copied(small, tmp_path / "copy"), tmp_path / "decoy"
    if content == "all":
        shutil.copytree(store / place, decoy)
        for file in decoy.rglob("zarr.json"):
            file.write_text("{}")
    else:
        decoy.mkdir()
    shutil.rmtree(store / place)
    (store / place).symlink_to(decoy)
    before = sorted((path, path.stat().st_mtime_ns) for path in decoy.rglob("*"))
    for act in (verify_store, repair_store, assign_frames):
        with suppress(TwopassError):
            act(store)
    assert sorted((path, path.stat().st_mtime_ns) for path in decoy.rglob("*")) == before


def test_killed_repair__leaves_a_lock_that_the_next_command_clears(small, tmp_path):
    store = copied(small, tmp_path / "copy")
    folder = lock_folder(store)

    def of_a_damaged_store(path):
        (path / "zarr.json").write_text("{}")
        with suppress(TwopassError):
            store_status(path)

    for command in (verify_store, store_status, open_results, repair_store, of_a_damaged_store):
        folder.mkdir()
        (folder / "ingest.json").write_text(json.dumps({"host": "here", "pid": 1, "staging": "staging.dead"}))
        (folder / "staging.dead").mkdir()
        (folder / "staging.dead" / "half").touch()
        command(store)
        assert not folder.exists(), command


def test_ledger_whose_metadata_are_damaged__is_made_anew(store):
    """What the schema doesn't look at, but zarr stumbles over."""
    before = files_of(store)
    file = store / "journal" / "margin-default" / "ledger" / "zarr.json"
    replace(file, file.read_bytes().replace(b'"typesize"', b'"typesiZe"'))
    assert not verify_store(store, workers=1).is_whole
    assert repair_store(store).left == ()
    assert files_of(store) == before


def test_dry_run__changes_nothing(store):
    flip(store / "position" / "c.0.0.0", 3)
    (store / "time" / "zarr.json").unlink()
    before = files_of(store)
    assert len(repair_store(store, dry_run=True).damage) == 2
    assert files_of(store) == before


def test_repair__of_much_at_once(store):
    before = files_of(store)
    for pattern in DAMAGED[::2]:
        (file, *_) = sorted(store.glob(pattern))
        flip(file, 6)
    assert repair_store(store).left == ()
    run_small(store)
    assert files_of(store) == before


def test_shards_of_per_frame_arrays__are_named_and_made_anew(tmp_path):
    with small_chunks(**SMALL, frame_files=2):
        store = make_small(tmp_path)
        before = files_of(store)
        flip(store / "time/c.0", 40)
        (store / "clusterings/default/label/c.1").unlink()
        replace(store / "clusterings/default/rmsd_to_second/c.0", before["time/c.0"][:60])
        found = {(each.file, each.start, each.stop) for each in verify_store(store).damage}
        assert found == {
            ("time/c.0", 0, 64),
            ("clusterings/default/label/c.1", 64, 70),
            ("clusterings/default/rmsd_to_second/c.0", 0, 64),
        }
        assert repair_store(store).left == ()
        run_small(store)
    assert files_of(store) == before


def test_repair__computes_only_what_was_damaged(store):
    (rmsd,) = store.glob("subsets/*/rmsd/c.1")
    label = store / "clusterings" / "default" / "label" / "c.2"
    rmsd.unlink()
    label.unlink()
    (store / "position" / "c.1.0.0").unlink()
    commands = repair_store(store).commands
    assert commands == (
        f"twopass ingest --append {store}",
        "the command that began it",
        f"twopass assign {store}",
    )
    ingested = ingest_trajectories(store, store.parent / "md0.xtc", top=store.parent / "top.pdb", workers=1)
    assert ingested.n_frames_computed == 16
    clustered = cluster_subset(store, select="all", stride=4, n_clusters=3, workers=1)
    assert clustered.n_pairs_computed == 64
    assert assign_frames(store, workers=1, margin=True).n_frames_computed == 6


def test_repair__that_is_stopped_at_any_write_goes_on(store):
    before = files_of(store)
    damaged = ["position/c.1.0.0", "time/c.1", "clusterings/default/label/c.0", "zarr.json"]
    damaged += ["journal/margin-default/ledger/c.0", "position/zarr.json"]
    for step in range(5, 77, 18):
        for path in damaged:
            flip(store / path, 9)
        with pytest.raises(Stopped), stopping_at(step):
            repair_store(store)
        assert repair_store(store).left == ()
        run_small(store)
        assert files_of(store) == before, step


def test_repair__of_what_was_appended(small, tmp_path):
    store = tmp_path / "s.zarr"
    trajectory = make_small(tmp_path / "two", files=2).parent
    files, top = sorted(trajectory.glob("md*.xtc")), trajectory / "top.pdb"
    ingest_trajectories(store, files[0], top=top, workers=1)
    cluster_subset(store, select="all", stride=4, n_clusters=3, workers=1)
    assign_frames(store, workers=1, margin=True)
    ingest_trajectories(store, files[1], append=True, workers=1)
    assign_frames(store, workers=1, margin=True)
    before = files_of(store)
    # 35 frames were there: the chunk 32 to 63 of labels was completed.
    for path in (
        "position/c.0.0.0",
        "clusterings/default/label/c.1",
        "clusterings/default/rmsd_to_second/c.1",
    ):
        flip(store / path, 8)
    repaired = repair_store(store)
    assert repaired.sources == (str(files[0]),)
    assert repaired.commands[0] == f"twopass ingest --append {store}"
    ingest_trajectories(store, append=True, workers=1)
    assign_frames(store, workers=1, margin=True)
    after = files_of(store)
    assert after.keys() == before.keys()
    different = {path for path in before if after[path] != before[path]}
    assert different == set()


@pytest.mark.parametrize("stage", ["ingest", "assign-default", "scan-*"])
def test_damaged_plan__is_left_and_says_how_to_begin_anew(small, tmp_path, stage):
    store = copied(small, tmp_path / "lost")
    (file,) = store.glob(f"journal/{stage}/zarr.json")
    flip(file, 200)
    before = files_of(store)
    (left,) = repair_store(store).left
    assert left.file == str(file.relative_to(store)) and "can't be mended" in left.mend
    assert ("--restart" in left.mend) == (stage != "scan-*")
    assert files_of(store) == before
    if stage == "scan-*":
        shutil.rmtree(file.parent)
        for scan in store.glob("scans/*/"):
            shutil.rmtree(scan)
    run_again = {
        "ingest": lambda: ingest_trajectories(
            store, sorted(store.parent.glob("md*.xtc")), top=store.parent / "top.pdb", restart=True
        ),
        "assign-default": lambda: assign_frames(store, margin=True, restart=True),
        "scan-*": lambda: run_small(store),
    }
    run_again[stage]()
    assert verify_store(store).is_whole


def test_metadata_of_an_unfinished_array__are_made_anew(small, tmp_path):
    store = copied(small, tmp_path / "begun")
    (store / "position" / "c.1.0.0").unlink()
    repair_store(store)
    (store / "position" / "zarr.json").unlink()
    assert repair_store(store).left == ()
    assert not (store / "position").exists()
    run_small(store)
    assert verify_store(store).is_whole
    assert (store / "position" / "zarr.json").read_bytes() == (small / "position" / "zarr.json").read_bytes()


def test_repair__of_all_frames_keeps_what_hangs_on_them(store):
    before = files_of(store)
    for file in store.glob("position/c.*"):
        flip(file, 5)
    assert repair_store(store).left == ()
    run_small(store)
    assert files_of(store) == before


def test_damaged_root_and_plan__are_told(small, tmp_path):
    store = copied(small, tmp_path / "lost")
    flip(store / "zarr.json", 9)
    flip(store / "journal" / "ingest" / "zarr.json", 200)
    left = repair_store(store).left
    assert {each.file for each in left} == {"zarr.json", "journal/ingest/zarr.json"}
    assert all("--restart" in each.mend for each in left)
    with pytest.raises(TwopassError):
        open_results(store)


def test_repair__takes_its_lock_and_refuses_a_half_grown_store(store):
    flip(store / "time" / "c.0", 3)
    with hold(lock_folder(store), [Lock("clustering-x")]), pytest.raises(StoreLockedError):
        repair_store(store)
    with hold(lock_folder(store), [Lock("x")]) as writer:
        from twopass_store.journal import Plan

        text = Plan("growth", {"n_before": 70, "lengths": {}, "journals": {}}, (), {}).to_json()
        Store.open(store, writer=writer).write_plan("growth", text)
    with pytest.raises(StageIncompleteError, match="append"):
        repair_store(store)


def test_command__repairs_and_says_what_to_run(tmp_path, twopass):
    top, frames = EXAMPLE / "alanine-dipeptide.pdb", EXAMPLE / "alanine-dipeptide.xtc"
    store = tmp_path / "s.zarr"
    ingest = ("ingest", store, frames, "--top", top, "-q")
    twopass(*ingest)
    before = files_of(store)
    flip(store / "position" / "c.0.0.0", 1000)
    flip(store / "zarr.json", 30)
    planned = twopass("repair", store, "--dry-run", "-q").stdout
    assert "frames 0 to 3,999" in planned and planned.endswith("Nothing was changed.\n")
    said = twopass("repair", store, "-q").stdout
    assert f"Read again from {frames}\n" in said and "Next: twopass ingest" in said
    assert "ingest has not finished; that is no damage" in twopass("verify", store, "-q").stdout
    twopass(*ingest)
    assert "all as recorded" in twopass("verify", store, "-q").stdout
    assert files_of(store) == before
