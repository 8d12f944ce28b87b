"""`verify`: finds what isn't as it was recorded, says what it is, and nothing else."""

import json
import shutil
from contextlib import suppress

import pytest

from conftest import EXAMPLE
from small_chunks import small_chunks
from small_stores import SMALL, copied, files_of, flip, make_small, replace
from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results, verify_store
from twopass_store.errors import FormatVersionError, StoreError, StoreNotFoundError
from twopass_store.journal import Lock, Writer, hold
from twopass_store.store import Store, lock_folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with small_chunks(**SMALL):
        yield make_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def store(small, tmp_path):
    return copied(small, tmp_path / "copy")


def only_damage(store):
    (found,) = verify_store(store, workers=1).damage
    return found


def test_verify__finds_a_finished_store_whole(store):
    before = files_of(store)
    found = verify_store(store)
    assert found.is_whole and found.damage == found.unfinished == found.notes == ()
    assert found.n_files == len(before)
    assert found.n_bytes == sum(map(len, before.values()))
    assert files_of(store) == before


def test_what_the_plans_list__is_there_or_missed(store, tmp_path):
    """Whole arrays, groups and journals; readers have all that there was, or an error."""
    whole = open_results(store).load()
    for path in sorted(path for path in store.rglob("*") if path.is_dir()):
        path.rename(tmp_path / "away")
        assert not verify_store(store, workers=1).is_whole, path
        with suppress(StoreError):
            assert open_results(store).load().identical(whole), path
        (tmp_path / "away").rename(path)


@pytest.mark.parametrize(
    ("file", "stage", "elements"),
    [
        ("position/c.2.0.0", "ingest", "frames 32 to 47"),
        ("position/c.4.0.0", "ingest", "frames 64 to 69"),
        ("time/c.1", "ingest", "frames 32 to 63"),
        ("atom_name/c.0", "ingest", "atoms 0 to 11"),
        ("clusterings/default/label/c.2", "assign-default", "frames 64 to 69"),
        ("clusterings/default/rmsd_to_second/c.0", "margin-default", "frames 0 to 31"),
        ("clusterings/default/subset_label/c.1", "clustering-default", "subset frames 12 to 17"),
    ],
)
@pytest.mark.parametrize("kind", ["altered", "missing"])
def test_verify__names_array_chunk_and_elements(store, file, stage, elements, kind):
    flip(store / file, 7) if kind == "altered" else (store / file).unlink()
    found = only_damage(store)
    path, _, name = file.rpartition("/")
    assert (found.file, found.path, found.stage, found.problem) == (file, path, stage, kind)
    assert (found.kind, found.chunk, found.elements) == ("chunk", int(name.split(".")[1]), elements)


@pytest.mark.parametrize("path", ["position", "clusterings/default/leader_frame", "trajectory_path"])
def test_verify__finds_altered_metadata(store, path):
    text = (store / path / "zarr.json").read_text()
    replace(store / path / "zarr.json", text.replace('"long_name"', '"long_nane"').encode())
    found = only_damage(store)
    assert (found.kind, found.path, found.problem) == ("metadata", path, "altered")


def test_verify__finds_damaged_journals(store):
    for stage, file, kind in (
        ("ingest", "zarr.json", "plan"),
        ("assign-default", "ledger/c.0", "ledger"),
        ("margin-default", "ledger/zarr.json", "ledger"),
    ):
        whole = (store / "journal" / stage / file).read_bytes()
        for content in (whole[:-30], whole.replace(b"p", b"q"), whole.replace(b"\0", b"\1")):
            if content != whole:
                replace(store / "journal" / stage / file, content)
                found = only_damage(store)
                assert (found.stage, found.kind, found.problem) == (stage, kind, "altered")
        (store / "journal" / stage / file).unlink()
        found = only_damage(store)
        assert (found.stage, found.kind, found.problem) == (stage, kind, "missing")
        replace(store / "journal" / stage / file, whole)


def test_verify__leaves_alone_what_is_not_the_stores(store):
    shutil.copytree(store / "time", store / "my_own")
    (store / "notes.txt").write_text("mine")
    (store / "position" / ".nfs0001").touch()
    found = verify_store(store)
    assert found.is_whole
    (note,) = found.notes
    assert note.endswith("my_own, notes.txt, position/.nfs0001")


def test_verify__takes_an_unfinished_stage_for_no_damage(small, tmp_path):
    ingest_trajectories(tmp_path / "s.zarr", small.parent / "md0.xtc", top=small.parent / "top.pdb")
    cluster_subset(tmp_path / "s.zarr", select="all", stride=4, n_clusters=3)
    store = Store.open(tmp_path / "s.zarr")
    journal = store.journal("clustering-default")
    ledger = tmp_path / "s.zarr" / "journal" / "clustering-default" / "ledger" / "c.0"
    with hold(lock_folder(store.path), [Lock("x")]) as writer:
        entries = journal.extended(journal.plan, {("clusterings/default/leader_frame", 0)})
        Store.open(store.path, writer=writer).write_ledger("clustering-default", entries)
    assert ledger.exists()
    found = verify_store(store.path)
    assert found.is_whole and found.unfinished == ("clustering-default",)


def test_verify__refuses_what_is_no_store_or_of_another_format(tmp_path, store):
    with pytest.raises(StoreNotFoundError, match="There is no store"):
        verify_store(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreNotFoundError, match="no twopass store"):
        verify_store(tmp_path / "folder")
    text = (store / "zarr.json").read_text()
    replace(store / "zarr.json", text.replace('"twopass_format": 1', '"twopass_format": 2').encode())
    assert only_damage(store).file == "zarr.json"
    shutil.rmtree(store / "journal" / "ingest")
    with pytest.raises(FormatVersionError):
        verify_store(store)


def test_verify__gives_no_false_alarm_at_any_write(small, tmp_path, monkeypatch):
    """Whatever a run had written when it was stopped is no damage."""
    store = tmp_path / "s.zarr"
    n_checked = 0

    def checked(method):
        def acting(self, *arguments):
            nonlocal n_checked
            method(self, *arguments)
            n_checked += 1
            if n_checked % 7 == 0 and (store / "zarr.json").exists():
                monkeypatch.setattr("twopass_store.integrity.verify.RECHECK_SECONDS", 0)
                found = verify_store(store, workers=1)
                assert found.is_whole, (arguments, found.damage)

        return acting

    for name in ("write", "remove"):
        monkeypatch.setattr(Writer, name, checked(getattr(Writer, name)))
    files, top = small.parent / "md0.xtc", small.parent / "top.pdb"
    monkeypatch.setattr("twopass_store.journal.ledger.COMMIT_SECONDS", -1)
    ingest_trajectories(store, files, top=top, workers=1)
    cluster_subset(store, select="all", stride=4, n_clusters=3, workers=1)
    assign_frames(store, workers=1, margin=True)
    shutil.copy(files, tmp_path / "more.xtc")
    ingest_trajectories(store, tmp_path / "more.xtc", append=True, workers=1)
    assign_frames(store, workers=1, margin=True)
    assert n_checked > 200


def test_command__names_the_damage_and_exits_with_9(tmp_path, twopass):
    store = tmp_path / "s.zarr"
    top = EXAMPLE / "alanine-dipeptide.pdb"
    twopass("ingest", store, EXAMPLE / "alanine-dipeptide.xtc", "--top", top, "--select", "name CA", "-q")
    result = twopass("verify", store, "-q")
    assert "all as recorded" in result.stdout and not result.stderr
    assert json.loads(twopass("verify", store, "--json", "-q").stdout)["is_whole"] is True
    flip(store / "time" / "c.0", 9)
    result = twopass("verify", store, "-q", code=9)
    assert "time" in result.stdout and "frames 0 to 3,999" in result.stdout
    assert "1 file damaged" in result.stderr
    found = json.loads(twopass("verify", store, "--json", "-q", code=9).stdout)
    assert found["damage"][0]["path"] == "time" and found["damage"][0]["stop"] == 4000
