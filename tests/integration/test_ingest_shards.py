"""Several chunks of positions in one file."""

import warnings

import mdtraj as md
import numpy as np
import pytest
import xarray as xr
import zarr

from conftest import EXAMPLE
from twopass_store import ingest_trajectories, partition
from twopass_store.errors import CorruptChunkError, MemoryBudgetError, NonFiniteError
from twopass_store.partition import FrameRange
from twopass_store.progress import Silent
from twopass_store.store import Store

CHUNK = 8_192  # frames of 22 atoms


class Notes(Silent):
    """A progress that remembers."""

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Frames of the example in random order: 18.3 chunks, and one more than two of the per-frame arrays."""
    data = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    order = np.random.default_rng(4).integers(0, data.n_frames, 150_000)
    folder = tmp_path_factory.mktemp("frames")
    made = md.Trajectory(data.xyz[order], data.topology, time=np.arange(len(order)) / 4)
    made.save_xtc(str(folder / "run.xtc"))
    return folder / "run.xtc", made.xyz


def chunk_files(store):
    return sorted((store / "position").glob("c.*"))


@pytest.mark.parametrize(
    ("shard", "n_files", "codec"),
    [
        ("20MiB", 3, "small"),
        ("5MiB", 10, "fast"),
        ("1KiB", 19, "fast"),
    ],
)
def test_shards__hold_the_same_values_in_fewer_files(
    tmp_path, frames, example_top, shard, n_files, codec, monkeypatch
):
    monkeypatch.setattr(partition, "MAX_FRAME_FILES", 2)
    file, xyz = frames
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, file, top=example_top, shard=shard, codec=codec)
    assert len(chunk_files(store)) == n_files
    assert len(list((store / "time").glob("c.*"))) == 2  # of 3 chunks
    opened = Store.open(store)
    assert opened.chunk_length("position") == CHUNK
    assert opened.read("position").tobytes() == xyz.tobytes()
    np.testing.assert_array_equal(opened.read("time"), np.arange(150_000) / 4)
    np.testing.assert_array_equal(opened.read("source_frame"), np.arange(150_000))
    part = FrameRange(CHUNK - 5, 9 * CHUNK + 5)
    np.testing.assert_array_equal(
        opened.read_positions(part, np.array([1, 20])), xyz[part.start : part.stop, [1, 20]]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(store, engine="zarr", consolidated=False)
        assert tree["position"][-9:].values.astype(np.float32).tobytes() == xyz[-9:].tobytes()
        np.testing.assert_array_equal(tree["time"], np.arange(150_000) / 4)


def test_auto__shards_only_what_would_be_too_many_files(tmp_path, frames, example_top, monkeypatch):
    file, xyz = frames
    ingest_trajectories(tmp_path / "few", file, top=example_top)
    assert len(chunk_files(tmp_path / "few")) == 19
    monkeypatch.setattr(partition, "MAX_POSITION_FILES", 4)
    ingest_trajectories(tmp_path / "many", file, top=example_top)
    assert len(chunk_files(tmp_path / "many")) == 3
    assert Store.open(tmp_path / "many").read("position").tobytes() == xyz.tobytes()


def test_flipped_bytes_of_a_shard__raise_for_us_and_for_zarr(tmp_path, frames, example_top):
    file, _ = frames
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, file, top=example_top, shard="20MiB")
    shard = chunk_files(store)[0]
    whole = shard.read_bytes()
    n_chunks = 8
    index = 16 * n_chunks + 4
    places = np.random.default_rng(3).integers(0, len(whole), 20).tolist()
    places += [len(whole) - 1, len(whole) - index, len(whole) - index // 2]
    plain = zarr.open_array(store / "position", mode="r")
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        shard.write_bytes(damaged)
        with pytest.raises(CorruptChunkError, match=r"position.*is damaged"):
            Store.open(store).read_positions(FrameRange(0, n_chunks * CHUNK))
        with pytest.raises(Exception, match="checksum"):
            plain[: n_chunks * CHUNK]
    shard.write_bytes(whole[:100])
    with pytest.raises(CorruptChunkError, match=r"position.*is damaged"):
        Store.open(store).read_positions(FrameRange(0, 1))
    shard.unlink()
    with pytest.raises(CorruptChunkError, match="is missing"):
        Store.open(store).read_positions(FrameRange(0, 1))


def test_unit__is_the_shard_and_a_resume_keeps_it(tmp_path, frames, example_top):
    _, xyz = frames
    data = md.load(EXAMPLE / "alanine-dipeptide.pdb")
    bad = xyz.copy()
    bad[100_000, 3, 1] = np.nan
    trajectory = md.Trajectory(bad, data.topology)
    trajectory.save_trr(str(tmp_path / "run.trr"))
    store = tmp_path / "s.zarr"
    with pytest.raises(NonFiniteError):
        ingest_trajectories(store, tmp_path / "run.trr", top=example_top, shard="20MiB")
    assert Store.open(store).journal("ingest").done("position").tolist() == [True, False, False]
    notes = Notes()
    with pytest.raises(NonFiniteError):
        ingest_trajectories(store, tmp_path / "run.trr", top=example_top, shard="none", progress=notes)
    assert any("begun with another `shard`, 8 chunks a file" in note for note in notes.notes)


def test_shard_too_large_for_memory__says_so(tmp_path, frames, example_top):
    file, _ = frames
    with pytest.raises(MemoryBudgetError, match="smaller `shard`"):
        ingest_trajectories(tmp_path / "s", file, top=example_top, shard="1GiB", memory="400MiB", workers=1)
