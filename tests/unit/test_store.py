import numpy as np
import pytest
import zarr

from twopass_store.config import AssignConfig, validated
from twopass_store.errors import (
    ConfigError,
    StageIncompleteError,
    StoreExistsError,
    StoreNotFoundError,
)
from twopass_store.journal import Plan, Writer
from twopass_store.partition import FrameRange
from twopass_store.schema import INGESTED, SUBSET, attributes, chunk_shape
from twopass_store.store import Store

SPEC = {spec.name: spec for spec in (*INGESTED, *SUBSET)}


@pytest.fixture
def store(tmp_path):
    (tmp_path / "staging").mkdir()
    return Store.create(tmp_path / "s.zarr", {"topology": "{}"}, writer=Writer(tmp_path / "staging"))


def test_write_chunk__reads_back_and_has_a_digest_of_its_bytes(store):
    store.ensure_array("", SPEC["time"], [100_000])
    values = np.random.default_rng(1).normal(size=100_000)
    records = store.write_all("time", values)
    assert [record.chunk for record in records] == [0, 1]
    assert len({record.digest for record in records}) == 2
    assert store.write_chunk("time", 1, values[65_536:]) == records[1]
    np.testing.assert_array_equal(store.read("time"), values)
    np.testing.assert_array_equal(store.read("time", FrameRange(65_000, 66_000)), values[65_000:66_000])


def test_chunks_that_are_all_fill__are_written_too(store):
    store.ensure_array("", SPEC["time"], [10])
    store.write_all("time", np.full(10, np.nan))
    assert (store.path / "time" / "c.0").is_file()


def test_open__refuses_what_is_no_store(tmp_path, store):
    with pytest.raises(StoreNotFoundError, match="There is no store"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreNotFoundError, match="no twopass store"):
        Store.open(tmp_path / "folder")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StoreNotFoundError, match="no twopass store"):
        Store.open(tmp_path / "other.zarr")
    (store.path / "zarr.json").write_text("{ not json")
    with pytest.raises(StoreNotFoundError, match="can't be read"):
        Store.open(store.path)


def test_exists__tells_ours_from_a_stranger(tmp_path, store):
    assert Store.exists(store.path)
    assert not Store.exists(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert not Store.exists(tmp_path / "empty")
    (tmp_path / "empty" / "thesis.docx").touch()
    with pytest.raises(StoreExistsError, match="is no twopass store"):
        Store.exists(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(StoreExistsError):
        Store.exists(tmp_path / "file")


def test_step__marks_complete_only_when_it_ends_well(store):
    product = store.product("", SPEC["time"], [5])
    plan = Plan("test", {}, (product,), {})

    def interrupted():
        with store.step(plan, hint="") as journal:
            store.ensure_array("", SPEC["time"], [5])
            journal.commit(store.write_all("time", np.zeros(5)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not store.is_complete("time")
    assert store.journal("test").done("time").all()
    with store.step(plan, hint=""):
        pass
    assert store.is_complete("time")
    assert store.journal("test").complete


def test_absent_array__names_the_stage_as_incomplete(store):
    with pytest.raises(StageIncompleteError):
        store.read("position")


def test_remove__takes_a_group_and_its_cached_arrays(store):
    store.ensure_group("subsets/x", {"frame_stop": 6, "stride": 2, "atoms": "all"})
    store.ensure_array("subsets/x", SPEC["rmsd"], [3])
    store.remove("subsets/x")
    assert store.members("subsets") == []
    with pytest.raises(StageIncompleteError):
        store.shape("subsets/x/rmsd")


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "..", "ä", "a" * 101, "a\n"])
def test_names__that_are_not(name):
    with pytest.raises(ConfigError):
        validated(AssignConfig, {"name": name})


def test_every_spec__has_units_and_long_name_and_a_sound_chunk():
    sizes = {"frame": 70_000, "atom": 22, "xyz": 3, "cell_vector": 3, "pair": 10**7}
    for spec in SPEC.values():
        described = attributes(spec)
        assert described["units"] and described["long_name"]
        shape = tuple(sizes.get(dim, 5) for dim in spec.dims)
        chunks = chunk_shape(spec, shape)
        assert len(chunks) == len(shape) and all(chunk >= 1 for chunk in chunks)
        assert chunks[1:] == shape[1:]
