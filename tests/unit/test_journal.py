import os

import numpy as np
import pytest

from twopass_store.errors import (
    ConfigError,
    CorruptChunkError,
    FingerprintMismatchError,
    StoreWriteError,
)
from twopass_store.journal import (
    METADATA,
    Plan,
    Product,
    Record,
    StageJournal,
    Writer,
    differences,
    digest,
    fingerprint,
)


class Memory:
    """Storage of journals in dictionaries."""

    def __init__(self):
        self.plans, self.ledgers, self.writes = {}, {}, 0

    def read_plan(self, stage):
        return self.plans.get(stage)

    def write_plan(self, stage, text):
        self.plans[stage] = text

    def read_ledger(self, stage):
        return self.ledgers.get(stage)

    def write_ledger(self, stage, entries):
        self.ledgers[stage] = entries.copy()
        self.writes += 1


def plan(**parameters):
    return Plan("stage", parameters, (Product("a", 3), Product("b", 1)), {})


def test_ledger__holds_what_was_committed_and_nothing_else():
    storage = Memory()
    journal = StageJournal.begin(storage, plan(stride=2), hint="")
    journal.commit([Record("a", 1, 77)])
    again = StageJournal.begin(storage, plan(stride=2), hint="")
    assert again.done("a").tolist() == [False, True, False]
    assert again.digest_of("a", 1) == 77
    assert not again.complete


def test_ledger__is_complete_with_all_chunks_and_metadata():
    journal = StageJournal.begin(Memory(), plan(), hint="")
    records = [Record("a", chunk, 5) for chunk in range(3)] + [Record("b", 0, 5), Record("a", METADATA, 5)]
    journal.commit(records)
    assert not journal.complete
    journal.commit([Record("b", METADATA, 5)])
    assert journal.complete


def test_begin__refuses_another_plan_and_shows_what_differs():
    storage = Memory()
    StageJournal.begin(storage, plan(stride=2, linkage="ward"), hint="")
    with pytest.raises(FingerprintMismatchError) as caught:
        StageJournal.begin(storage, plan(stride=3, linkage="ward"), hint="Use --restart.")
    assert "stored 2, requested 3" in str(caught.value)
    assert "linkage" not in str(caught.value)
    assert str(caught.value).endswith("Use --restart.")


def test_begin__writes_nothing_of_a_plan_that_no_ledger_can_hold():
    storage = Memory()
    with pytest.raises(ConfigError, match=r"position would have 268,435,456 files.*--shard auto"):
        StageJournal.begin(storage, Plan("ingest", {}, (Product("position", 1 << 28),), {}), hint="")
    assert storage.plans == storage.ledgers == {}


def test_batches__commit_at_the_end_also_after_an_error():
    storage = Memory()
    journal = StageJournal.begin(storage, plan(), hint="")
    begun = storage.writes

    def failing():
        with journal.batches() as finished:
            finished(Record("a", 0, 9))
            assert storage.writes == begun  # a batch is seconds long
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert StageJournal.load(storage, "stage").done("a").tolist() == [True, False, False]


def test_ledger_of_another_length__is_damaged():
    storage = Memory()
    StageJournal.begin(storage, plan(), hint="")
    storage.ledgers["stage"] = np.zeros(2, np.uint64)
    with pytest.raises(CorruptChunkError):
        StageJournal.load(storage, "stage")


def test_fingerprint__knows_values_not_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert differences({"a": 1, "c": 3}, {"a": 2, "b": 4}) == [("a", 1, 2), ("b", None, 4), ("c", 3, None)]


def test_digest__is_never_absent():
    assert digest(b"") > 0
    assert digest(b"x") != digest(b"y")


@pytest.fixture
def writer(tmp_path):
    (tmp_path / "staging").mkdir()
    return Writer(tmp_path / "staging")


def test_writer__replaces_whole_files(writer, tmp_path):
    target = tmp_path / "folder" / "file"
    writer.make_folder(target.parent)
    writer.write(target, b"one")
    writer.make_folder(target.parent)
    writer.write(target, b"two")
    assert target.read_bytes() == b"two"
    assert not list(writer.staging.iterdir())


def test_writer__syncs_the_file_and_then_its_folder(writer, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    writer.write(tmp_path / "file", b"content")
    assert synced == [path.stat().st_ino for path in (tmp_path / "file", tmp_path)]


def test_writer__makes_no_folder_of_a_store_that_is_gone(writer, tmp_path):
    gone = tmp_path / "s.zarr"
    for act in (
        lambda: writer.write(gone / "array" / "c.0", b"x"),
        lambda: writer.make_folder(gone / "array"),
    ):
        with pytest.raises(StoreWriteError, match=r"s\.zarr was removed or renamed meanwhile"):
            act()
    assert list(tmp_path.iterdir()) == [writer.staging]
    assert not list(writer.staging.iterdir())


def test_batches__raise_what_went_wrong_first():
    class Full(Memory):
        def write_ledger(self, stage, entries):
            if self.writes:
                raise StoreWriteError("second")
            super().write_ledger(stage, entries)

    journal = StageJournal.begin(Full(), plan(), hint="")
    with pytest.raises(StoreWriteError, match="first"), journal.batches():
        raise StoreWriteError("first")
    with pytest.raises(StoreWriteError, match="second"), journal.batches():
        pass


def test_writer__removes_folders_and_takes_absence(writer, tmp_path):
    (tmp_path / "tree" / "branch").mkdir(parents=True)
    writer.remove(tmp_path / "tree")
    writer.remove(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
