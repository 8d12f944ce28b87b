"""A store that is published to an S3 server on this machine, and read there."""

import logging
import shutil
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from object_service import Proxy, proxied
from small_chunks import small_chunks
from small_stores import SMALL, flip, make_small
from twopass_store import (
    export_structures,
    open_results,
    publish_store,
    remove_clustering,
    store_status,
    summarize,
    verify_store,
)
from twopass_store.errors import (
    ConfigError,
    CorruptChunkError,
    StageIncompleteError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
)
from twopass_store.partition import FrameRange
from twopass_store.store import Store, store_path

obstore = pytest.importorskip("obstore")
moto = pytest.importorskip("moto.server")

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "anyone",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="module")
def port() -> int:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    found = int(server.get_host_and_port()[1])
    connection = HTTPConnection("127.0.0.1", found)
    connection.request("PUT", "/bucket")
    connection.getresponse().read()
    connection.close()
    return found


@pytest.fixture
def service(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxied(port) as proxy:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}.items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def url(service: Proxy, request: pytest.FixtureRequest) -> str:
    return f"s3://bucket/{request.node.name.replace('[', '-').rstrip(']')}.zarr"


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run.zarr"))


def test_publish__reads_as_the_store_itself(finished: Path, service: Proxy, url: str, tmp_path: Path) -> None:
    published = publish_store(finished, url)
    assert published.n_copied == published.n_files > 50
    service.requests.clear()
    ours = open_results(url)
    assert len(service.requests) < 20  # not one for each of the arrays
    xr.testing.assert_identical(ours.load(), open_results(finished).load())
    there, here = summarize(url), summarize(finished)
    here.attrs["store"] = url
    xr.testing.assert_identical(there, here)
    assert store_status(url).size_bytes > store_status(finished).size_bytes  # with consolidated metadata
    for source in (url, finished):
        export_structures(source, tmp_path / f"{source == url}.pdb", of="medoids")
    assert (tmp_path / "True.pdb").read_text() == (tmp_path / "False.pdb").read_text()
    assert not verify_store(url).damage


def test_publish__opens_in_plain_zarr(finished: Path, service: Proxy, url: str) -> None:
    publish_store(finished, url)
    service.requests.clear()
    objects = zarr.storage.ObjectStore(obstore.store.from_url(url), read_only=True)
    root = zarr.open_group(objects, mode="r", use_consolidated=True)
    np.testing.assert_array_equal(
        root["clusterings/default/label"][:],
        zarr.open_group(finished, mode="r")["clusterings/default/label"][:],
    )
    assert len(service.requests) < 6


def test_publish__reads_no_more_of_a_shard_than_a_chunk(service: Proxy, url: str, tmp_path: Path) -> None:
    with small_chunks(**SMALL, frame_files=2):
        store = make_small(tmp_path, shard=4 * SMALL["position_bytes"])
        publish_store(store, url)
        here, there = Store.open(store), Store.open(store_path(url, reads=True))
        for path in ("position", "time", "clusterings/default/label"):
            frames = FrameRange(32, 32 + there.chunk_length(path))
            assert there.chunks_per_file(path) > 1
            there.shape(path)
            service.requests.clear()
            np.testing.assert_array_equal(there.read(path, frames), here.read(path, frames))
            assert len(service.requests) <= 3  # the index, the chunk, and whether it is still the same store


@pytest.mark.parametrize("fault", ["503", "drop", "cut"])
def test_publish__gets_over_a_bad_network(finished: Path, service: Proxy, url: str, fault: str) -> None:
    service.latency = 0.02 if fault == "503" else 0.0
    service.fault = lambda number, line: fault if number % 40 == 2 else ""
    publish_store(finished, url)
    assert not verify_store(url).damage
    xr.testing.assert_identical(open_results(url).load(), open_results(finished).load())


def test_publish__goes_on_where_it_was_stopped(finished: Path, service: Proxy, url: str) -> None:
    puts = 0

    def fault(number: int, line: str) -> str:
        nonlocal puts
        puts += line.startswith("PUT")
        return "alter" if puts > 40 and line.startswith("PUT") else ""

    service.fault = fault
    with pytest.raises(CorruptChunkError, match="didn't arrive"):
        publish_store(finished, url)
    with pytest.raises(StoreNotFoundError, match="no store at s3://bucket"):
        open_results(url)
    service.fault = lambda number, line: ""
    first = publish_store(finished, url)
    assert 0 < first.n_copied < first.n_files
    service.requests.clear()
    assert publish_store(finished, url).n_copied == 0
    assert not [line for line in service.requests if line.startswith(("PUT", "DELETE"))]


def test_publish__tells_readers_of_a_change(
    store: Path, service: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twopass_store.store.objects.RECHECK_SECONDS", 0.0)
    publish_store(store, url)
    results = open_results(url)
    remove_clustering(store, "default")
    assert publish_store(store, url).n_removed > 5
    with pytest.raises(StoreError, match="was changed while it was read"):
        results["position"].load()
    with pytest.raises(StageIncompleteError, match="no clustering"):
        open_results(url)


def test_publish__finds_and_mends_damage(store: Path, service: Proxy, url: str) -> None:
    publish_store(store, url)
    obstore.put(obstore.store.from_url(url), "time/c.0", b"something else")
    [damage] = verify_store(url).damage
    assert (damage.file, damage.problem) == ("time/c.0", "altered")
    assert publish_store(store, url).n_copied == 2
    assert not verify_store(url).damage
    flip(store / "time" / "c.0", 10)
    with pytest.raises(CorruptChunkError, match="isn't as it was recorded"):
        publish_store(store, url)


def test_publish__takes_an_address_as_it_is_typed(finished: Path, service: Proxy) -> None:
    urls = [f"s3://bucket/ü {end}" for end in ("b", "b#1", "b?x=1", "b%20c")]
    for url in urls:
        assert publish_store(finished, f"{url}/").n_copied > 50  # each is another place
        assert store_status(url).path == url
    objects = obstore.store.from_url("s3://bucket").list_with_delimiter("")
    assert {url.removeprefix("s3://bucket/") for url in urls} <= set(objects["common_prefixes"])


def test_publish__refuses_what_it_cannot_do(
    finished: Path, service: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    obstore.put(obstore.store.from_url("s3://bucket/taken"), "letter.txt", b"mine")
    with pytest.raises(StoreExistsError, match=r"letter\.txt"):
        publish_store(finished, "s3://bucket/taken")
    theirs = obstore.store.from_url("s3://bucket/theirs")
    # Arrays with names of ours, in a group that isn't.
    zarr.create_array(zarr.storage.ObjectStore(theirs), name="time", data=np.zeros(3), overwrite=False)
    with pytest.raises(StoreExistsError, match="another store"):
        publish_store(finished, "s3://bucket/theirs")
    for run in (lambda: publish_store(finished, "s3://nowhere/x"), lambda: open_results("s3://nowhere/x")):
        with pytest.raises(StoreError, match="no such bucket"):
            run()
    with pytest.raises(ConfigError, match="no address"):
        publish_store(finished, "elsewhere")
    with pytest.raises(ConfigError, match="can only be read"):
        remove_clustering(url, "default")
    with pytest.raises(ConfigError, match="begins with s3://, gs://"):
        summarize("ftp://host/run.zarr")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL is"):
        summarize(url)
