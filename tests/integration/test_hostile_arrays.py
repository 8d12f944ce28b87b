"""A stranger's store whose metadata and chunks promise what they don't hold."""

import json
import os

import google_crc32c
import numcodecs
import numpy as np
import pytest

import twopass_store
from strangers import change_metadata, copied
from twopass_store.errors import CorruptChunkError, StoreError, TwopassError
from twopass_store.journal import Lock, hold
from twopass_store.store import Store, lock_folder


@pytest.fixture
def store(finished, tmp_path):
    return copied(finished, tmp_path / "sent")


def set_codecs(metadata, codecs):
    metadata["codecs"] = codecs


CHAIN = [{"name": "bytes", "configuration": {"endian": "little"}}]
BLOSC = {"typesize": 8, "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}

MUTATIONS = {
    "another type": lambda m: m.update(data_type="float16"),
    "objects": lambda m: m.update(data_type="object"),
    "a structure": lambda m: m.update(data_type={"name": "struct", "configuration": {"fields": []}}),
    "bytes of any length": lambda m: m.update(data_type="variable_length_bytes"),
    "other dimensions": lambda m: m.update(dimension_names=["atom"]),
    "no dimensions": lambda m: m.pop("dimension_names"),
    "a negative shape": lambda m: m.update(shape=[-1]),
    "a fractional shape": lambda m: m.update(shape=[1.5]),
    "a shape of text": lambda m: m.update(shape="120"),
    "no shape": lambda m: m.pop("shape"),
    "two dimensions": lambda m: m.update(shape=[120, 3]),
    "more chunks than there are": lambda m: m.update(shape=[1 << 47]),
    "a chunk of 2^40": lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[1 << 40]),
    "a chunk of nothing": lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[0]),
    "another grid": lambda m: m.update(chunk_grid={"name": "rectilinear", "configuration": {}}),
    "other file names": lambda m: m["chunk_key_encoding"]["configuration"].update(separator="/"),
    "a codec that reads files": lambda m: set_codecs(m, [{"name": "numcodecs.pickle"}]),
    "gzip": lambda m: set_codecs(m, [*CHAIN, {"name": "gzip", "configuration": {"level": 5}}]),
    "no checksum": lambda m: set_codecs(m, [*CHAIN, {"name": "blosc", "configuration": BLOSC}]),
    "no codecs": lambda m: set_codecs(m, []),
    "codecs of text": lambda m: set_codecs(m, "bytes"),
    "shards in shards": lambda m: set_codecs(m, [{"name": "sharding_indexed", "configuration": {}}]),
    "a storage transformer": lambda m: m.update(storage_transformers=[{"name": "x"}]),
    "complete as text": lambda m: m["attributes"].update(complete="yes"),
    "attributes of another kind": lambda m: m.update(attributes=[1]),
    "a group": lambda m: m.update(node_type="group"),
    "another fill value": lambda m: m.update(fill_value=0.0),
    "zarr 2": lambda m: m.update(zarr_format=2),
    "deep": lambda m: m["attributes"].update(x=eval("[" * 90 + "]" * 90)),
}
HARMLESS = {"deep"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_metadata_that_the_format_has_not__are_refused(store, name):
    change_metadata(store, "time", MUTATIONS[name])
    if name in HARMLESS:
        assert len(Store.open(store).read("time")) == 120
        return
    with pytest.raises(CorruptChunkError, match="damaged"):
        Store.open(store).read("time")
    with pytest.raises(TwopassError):
        twopass_store.open_results(store).time.load()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ufeff{}",
        "\x00",
        '{"shape": NaN}',
        "1" * 9999,
    ],
)
@pytest.mark.parametrize("path", ["zarr.json", "time/zarr.json", "clusterings/default/zarr.json"])
def test_metadata_that_are_no_metadata__are_refused(store, path, text):
    (store / path).write_text(text)
    with pytest.raises(StoreError):
        twopass_store.open_results(store)
    with pytest.raises(StoreError):
        Store.open(store).attrs(path.removesuffix("zarr.json").rstrip("/"))


def bomb(n_bytes: int) -> bytes:
    """A chunk that decodes to so many zeros, with a checksum that fits."""
    encoded = numcodecs.Blosc(cname="zstd", clevel=9, shuffle=0).encode(np.zeros(n_bytes, np.uint8))
    return encoded + google_crc32c.value(encoded).to_bytes(4, "little")


def header_bomb(n_bytes: int) -> bytes:
    """A chunk that only promises to."""
    encoded = bytearray(bomb(1 << 16)[:-4])
    encoded[4:8] = n_bytes.to_bytes(4, "little")
    return bytes(encoded) + google_crc32c.value(bytes(encoded)).to_bytes(4, "little")


def text_bomb(n_texts: int) -> bytes:
    encoded = numcodecs.Blosc(cname="zstd").encode(n_texts.to_bytes(4, "little") + bytes(64))
    return encoded + google_crc32c.value(encoded).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("time/c.0", bomb(400 << 20)),
        ("time/c.0", header_bomb(2_000_000_000)),
        ("position/c.0.0.0", bomb(400 << 20)),
        ("position/c.0.0.0", header_bomb(2_000_000_000)),
        ("position/c.0.0.0", bomb(16)),
        ("atom_name/c.0", text_bomb(4_000_000_000)),
        ("atom_name/c.0", bomb(400 << 20)),
        ("trajectory_path/c.0", text_bomb(5)),
        ("time/c.0", b""),
        ("position/c.0.0.0", b"\0" * 4),
        ("journal/assign-default/ledger/c.0", bomb(400 << 20)),
        ("journal/assign-default/ledger/c.0", header_bomb(2_000_000_000)),
    ],
)
def test_chunk_that_would_swell__is_refused_and_takes_no_memory(store, path, data, memory_limit):
    (store / path).write_bytes(data)
    array = path.rpartition("/")[0]
    with pytest.raises(CorruptChunkError, match="damaged"), memory_limit(200 << 20):
        read_or_load(store, array)
    if not array.startswith("journal"):
        with pytest.raises(StoreError), memory_limit(200 << 20):
            twopass_store.open_results(store)[array].load()


def read_or_load(store, array):
    opened = Store.open(store)
    return opened.journal(array.split("/")[1]) if array.startswith("journal") else opened.read(array)


@pytest.fixture
def memory_limit():
    """Lets a block take so many bytes of address space more than there are taken, and no more."""
    import resource
    from contextlib import contextmanager

    import psutil

    @contextmanager
    def limited(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    return limited


@pytest.mark.parametrize(
    "path", ["time/c.0", "position/c.0.0.0", "time/zarr.json", "zarr.json", "journal/ingest/zarr.json"]
)
def test_file_that_is_mostly_a_hole__is_not_read(store, path, memory_limit):
    os.truncate(store / path, 50 << 30)
    with pytest.raises(StoreError), memory_limit(400 << 20):
        read_or_load(store, path.rpartition("/")[0] or "time")


def test_array_of_ones_own__is_left_alone(store):
    import zarr

    own = zarr.open_group(store).create_array("my notes", shape=(3,), dtype="complex128", fill_value=1j)
    own[:] = [1, 2, 3]
    results = twopass_store.open_results(store)
    assert "my notes" not in results
    assert json.loads((store / "my notes" / "zarr.json").read_text())["data_type"] == "complex128"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("clusterings/default/subset_label", 1 << 30),
        ("clusterings/default/subset_label", 0),
        ("clusterings/default/leader_label", 7),
        ("clusterings/default/leader_frame", 120),
        ("clusterings/default/selected_atom_index", -5),
        ("clusterings/default/selected_atom_index", 22),
        ("clusterings/default/label", 4),
        ("clusterings/default/label", -2),
        ("clusterings/default/leader_index", 99),
        ("clusterings/default/label_status", 9),
        ("clusterings/default/medoid_frame", -1),
        ("subsets/*/subset_frame", 1 << 40),
        ("subsets/*/subset_frame", 3),
        ("subsets/*/linkage_average", 1e9),
        ("subsets/*/linkage_average", float("nan")),
        ("trajectory", 1),
    ],
)
def test_value_out_of_range__is_refused_before_a_kernel_has_it(store, path, value):
    found = next(store.glob(path))
    path = str(found.relative_to(store))
    with hold(lock_folder(store), [Lock("ingest")]) as writer:
        opened = Store.open(store, writer=writer)
        values = opened.read(path)
        values.reshape(-1)[5 % values.size] = value
        opened.write_all(path, values)
    with pytest.raises(CorruptChunkError, match="damaged"):
        Store.open(store).read(path)


@pytest.mark.parametrize(
    "path",
    ["time", "clusterings/default/label", "clusterings/default/subset_label", "trajectory"],
)
def test_array_of_another_length__is_refused(store, path):
    path = str(next(store.glob(path)).relative_to(store))
    change_metadata(store, path, lambda metadata: metadata.update(shape=[metadata["shape"][0] - 1]))
    with pytest.raises(CorruptChunkError, match=r"elements along"):
        twopass_store.summarize(store)


@pytest.mark.parametrize(
    "change",
    [{"node_type": None}, {"node_type": "array"}, {"zarr_format": None}, {"zarr_format": 2}, {"own": 3}],
)
@pytest.mark.parametrize("path", ["journal/ingest", "journal", "clusterings/default"])
def test_group_that_is_none__is_refused(store, path, change):
    change_metadata(store, path, lambda metadata: metadata.update(change))
    with pytest.raises(CorruptChunkError, match="damaged"):
        Store.open(store).attrs(path)
