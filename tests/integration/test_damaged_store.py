"""A damaged store raises where it is read, and never gives other numbers."""

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from small_chunks import small_chunks
from small_stores import SMALL, copied, flip, make_small, replace
from twopass_store import open_results
from twopass_store.errors import CorruptChunkError, TwopassError
from twopass_store.journal import ABSENT, METADATA, Lock, Record, hold
from twopass_store.store import Store, lock_folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with small_chunks(**SMALL):
        yield make_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def store(small, tmp_path):
    return copied(small, tmp_path / "copy")


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("position", '"scale_factor": 0.001', '"scale_factor": 0.002'),
        ("position", '"int16"', '"uint8"'),
        ("position", "    70,\n", "    71,\n"),
        ("position", "        16,\n", "        32,\n"),
        ("position", '"fill_value": -32768', '"fill_value": -32767'),
        ("position", '"complete": true', '"complete": truE'),
        ("time", '"units": "ps"', '"units": "fs"'),
        ("clusterings/default/leader_frame", '"long_name"', '"lonG_name"'),
        ("clusterings/default", '"n_clusters_found": 3', '"n_clusters_found": 2'),
        ("clusterings/default", '"leader_method"', '"leader_Method"'),
        ("", '\\"CA\\"', '\\"CB\\"'),
        ("", '"twopass_format"', '"twopass_Format"'),
    ],
)
def test_altered_metadata__raise_and_are_named(store, path, before, after):
    file = store / path / "zarr.json"
    assert before in file.read_text()
    replace(file, file.read_text().replace(before, after, 1).encode())
    with pytest.raises(CorruptChunkError) as caught:
        open_results(store)
    assert str(file) in str(caught.value) and "twopass verify" in str(caught.value)


@pytest.mark.parametrize("path", ["unitcell_lengths", "clusterings/default/second_label", "element"])
def test_missing_metadata__of_what_may_be_absent_raise(store, path):
    (store / path / "zarr.json").unlink()
    with pytest.raises(CorruptChunkError, match="missing"):
        open_results(store)


def test_missing_group__is_not_passed_over(store):
    shutil.copytree(store / "clusterings" / "default", store / "clusterings" / "other")
    (store / "clusterings" / "default" / "zarr.json").unlink()
    with pytest.raises(CorruptChunkError, match="missing"):
        open_results(store)


def test_lost_plan__is_not_taken_for_a_stage_that_never_was(store):
    (store / "journal" / "assign-default" / "zarr.json").unlink()
    with pytest.raises(CorruptChunkError, match="assign-default"):
        Store.open(store).journal("assign-default")


@pytest.mark.parametrize("path", ["position", "time", "atom_name"])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 20, -1])
def test_truncated_chunk__raises(store, path, length):
    (file, *_) = sorted((store / path).glob("c.*"))
    replace(file, file.read_bytes()[:length])
    with pytest.raises(CorruptChunkError, match=f"{path}.* is damaged"):
        Store.open(store).read(path)
    # Four zeros are the checksum of nothing.
    replace(file, bytes(4))
    with pytest.raises(CorruptChunkError, match=f"{path}.* is damaged"):
        Store.open(store).read(path)


def test_every_length_and_byte_of_a_shard__raises(small, tmp_path):
    store = make_small(tmp_path / "shards", shard=16 * 14 * 12 * 3)
    file = store / "position" / "c.0.0.0"
    whole = file.read_bytes()
    expected = Store.open(store).read("position")
    for length in (0, 1, 3, 4, *range(5, len(whole), 97), len(whole) - 52, len(whole) - 1):
        replace(file, whole[:length])
        with pytest.raises(CorruptChunkError):
            Store.open(store).read("position")
    for offset in (*range(0, len(whole), 61), *range(len(whole) - 52, len(whole))):
        replace(file, whole)
        flip(file, offset)
        with pytest.raises(CorruptChunkError):
            Store.open(store).read("position")
    replace(file, whole)
    np.testing.assert_array_equal(Store.open(store).read("position"), expected)


def test_missing_chunk__is_no_pending_one(store):
    with hold(lock_folder(store), [Lock("x")]) as writer:
        opened = Store.open(store, writer=writer)
        journal = opened.journal("assign-default")
        path = "clusterings/default/label"
        journal.commit([Record(path, 2, ABSENT), Record(path, METADATA, ABSENT)])
        opened.unmark_complete(path)
    (store / path / "c.2").unlink()
    assert open_results(store, partial=True).label.values.tolist()[64:] == [-1] * 6
    (store / path / "c.0").unlink()
    with pytest.raises(CorruptChunkError, match=r"c\.0 is missing"):
        open_results(store, partial=True).label.load()


def test_flipped_byte__raises_in_plain_zarr_and_xarray_too(store):
    for path in ("position/c.1.0.0", "atom_name/c.0", "clusterings/default/label/c.0"):
        flip(store / path, 11)
        array, _, _ = path.rpartition("/")
        group, _, name = array.rpartition("/")
        with pytest.raises((RuntimeError, ValueError)):
            zarr.open_array(store / array, mode="r")[:]
        opened = xr.open_dataset(store / group, engine="zarr", consolidated=False, chunks=None)
        with pytest.raises((RuntimeError, ValueError)):
            opened[name].load()
        with pytest.raises(TwopassError):
            open_results(store).load()


def test_extra_arrays_of_a_user__are_left_alone(store):
    expected = open_results(store).load()
    mine = zarr.create_array(
        store / "mine", shape=(70,), chunks=(10,), dtype="float32", dimension_names=["frame"]
    )
    mine[:] = 1
    zarr.create_group(store / "my_group")
    xr.testing.assert_identical(open_results(store).load(), expected)
