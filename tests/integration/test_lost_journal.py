"""A store that has lost plans or ledgers is refused and named, and nothing is removed without a request."""

import shutil

import pytest

from small_chunks import small_chunks
from small_stores import SMALL, copied, files_of, make_small, run_small
from twopass_store import assign_frames, open_results, repair_store, verify_store
from twopass_store.errors import CorruptChunkError
from twopass_store.report import store_status, summarize


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with small_chunks(**SMALL):
        yield make_small(tmp_path_factory.mktemp("small"))


INGEST = ["ingest", "s.zarr", "md.xtc", "--top", "md.pdb"]
CLUSTER = ["cluster", "s.zarr", "--n-clusters", "3", "--stride", "4", "--select", "element != H"]
ASSIGN = ["assign", "s.zarr", "--margin"]
AGAIN = {
    "ingest": INGEST,
    "subset-*": CLUSTER,
    "linkage-*": CLUSTER,
    "clustering-default": CLUSTER,
    "assign-default": ASSIGN,
    "margin-default": ASSIGN,
}
COMMANDS = [
    ["verify", "s.zarr"],
    ["status", "s.zarr"],
    ["summary", "s.zarr"],
    [*INGEST, "--stride", "2"],
    ["ingest", "s.zarr", "md.xtc", "--append"],
    [*CLUSTER, "--name", "other"],
]


@pytest.mark.parametrize(
    ("stage", "part"), [*((stage, "") for stage in AGAIN), ("ingest", "ledger/c.0"), ("linkage-*", "ledger")]
)
def test_lost_journal__is_damage_and_nothing_is_removed(twopass, finished, tmp_path, stage, part):
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    store = tmp_path / "s.zarr"
    (folder,) = (store / "journal").glob(stage)
    lost = folder / part
    lost.unlink() if lost.is_file() else shutil.rmtree(lost)
    before = files_of(store)
    for command in COMMANDS:
        said = twopass(*command, code=9)
        assert folder.name in said.stdout + said.stderr, command
        assert files_of(store) == before, command
    found = twopass("repair", "s.zarr", code=0 if part else 9).stdout
    assert files_of(store).keys() >= before.keys()
    # The table folds what it says.
    assert part or "--restart" in found.replace("\n", "")
    twopass(*AGAIN[stage], *([] if part else ["--restart"]))
    twopass("verify", "s.zarr")


def test_lost_journal_of_a_scan__is_removed_by_hand(small, tmp_path):
    store = copied(small, tmp_path / "lost")
    (plan,) = store.glob("journal/scan-*")
    shutil.rmtree(plan)
    with pytest.raises(CorruptChunkError, match=plan.name):
        run_small(store)
    (left,) = repair_store(store).left
    scan = plan.name.removeprefix("scan-")
    assert f"Remove the folders journal/{plan.name} and scans/{scan}, and scan again" in left.mend
    shutil.rmtree(store / "scans" / scan)
    run_small(store)
    assert verify_store(store).is_whole


@pytest.mark.parametrize("part", ["zarr.json", "ledger/zarr.json", "ledger/c.0", ""])
def test_lost_part_of_a_journal__is_refused_by_readers(small, tmp_path, part):
    store = copied(small, tmp_path / "lost")
    for folder in sorted(each for each in (store / "journal").iterdir() if each.is_dir()):
        shutil.move(folder, tmp_path / "kept")
        if part:
            shutil.copytree(tmp_path / "kept", folder)
            (folder / part).unlink()
        before = files_of(store)
        assert not verify_store(store, workers=1).is_whole
        for read in (store_status, open_results, summarize, assign_frames):
            with pytest.raises(CorruptChunkError, match=folder.name):
                read(store)
        assert files_of(store) == before
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(tmp_path / "kept", folder)


def test_store_of_the_first_instant__is_begun_anew(twopass, finished, tmp_path):
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    store = tmp_path / "s.zarr"
    for folder in [each for each in store.iterdir() if each.is_dir()]:
        shutil.rmtree(folder)
    twopass(*INGEST)
    twopass("verify", "s.zarr")
