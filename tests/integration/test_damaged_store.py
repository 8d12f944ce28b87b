"""A damaged store raises where it is read, and never gives other numbers."""

import sys

import pytest
import xarray as xr
import zarr

from small_chunks import small_chunks
from small_stores import SMALL, copied, flip, make_small
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


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of other systems hold for other things")
@pytest.mark.parametrize("limit", ["-n 6", "-n 8", "-v 600000"])
def test_limit_of_the_machine__is_no_damage(small, started_twopass, limit):
    prefix = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh"]
    for command in ("status", "verify", "summary"):
        said = started_twopass(command, small, prefix=prefix, code=None)
        assert said.returncode in (0, 4), said.stderr
        assert "Traceback" not in said.stderr and "damage" not in said.stderr
        assert said.returncode == 0 or "Raise the limit" in said.stderr
