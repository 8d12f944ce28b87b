"""Positions packed into integers and read back, straight from the files and by zarr and xarray alone."""

import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

from twopass_store.errors import CorruptChunkError
from twopass_store.journal import Writer
from twopass_store.partition import FrameRange
from twopass_store.schema import position_spec
from twopass_store.store import Misfit, Packing, Store

N_FRAMES, N_ATOMS = 20_000, 32
STEP = np.float32(0.001)
KINDS = [Packing("float32"), Packing.on_grid(0.001, "int16"), Packing.on_grid(0.001, "int32")]


def positions(packing):
    limit = 32_767 if packing.dtype == "int16" else 1_000_000
    rng = np.random.default_rng(7)
    steps = rng.integers(-limit, limit, (N_FRAMES, N_ATOMS, 3), endpoint=True)
    xyz = steps.astype(np.float32) * STEP
    return xyz if packing.scale else xyz + rng.random(xyz.shape, np.float32)


@pytest.fixture
def store(tmp_path):
    (tmp_path / "staging").mkdir()
    return Store.create(tmp_path / "s.zarr", {"topology": "{}"}, writer=Writer(tmp_path / "staging"))


def write(store, xyz, packing, codec):
    spec = position_spec(packing.dtype, packing.scale, rounds=packing.rounds)
    store.ensure_array("", spec, xyz.shape, codec=codec)
    packed = packing.pack(xyz)
    assert not isinstance(packed, Misfit)
    store.write_all("position", packed)
    return packed


@pytest.mark.parametrize("codec", ["fast", "small"])
@pytest.mark.parametrize("packing", KINDS, ids=lambda packing: packing.dtype)
def test_positions__come_back_bit_for_bit_whatever_their_type_and_codec(store, packing, codec):
    xyz = positions(packing)
    packed = write(store, xyz, packing, codec)
    assert store.packing() == packing
    length = store.chunk_length("position")
    assert N_FRAMES // length > 1
    atoms = np.array([0, 4, 10])
    for frames in (FrameRange(0, N_FRAMES), FrameRange(length - 3, 2 * length + 5), FrameRange(7, 8)):
        part = xyz[frames.start : frames.stop]
        assert store.read_positions(frames).tobytes() == part.tobytes()
        found = store.read_positions(frames, atoms)
        assert found.flags.c_contiguous and found.tobytes() == part[:, atoms].tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(zarr.open_array(store.path / "position", mode="r")[:], packed)
        seen = xr.open_datatree(store.path, engine="zarr", consolidated=False)["position"]
        assert not np.isnan(seen.values).any()
    # What the README promises of plain zarr, and of xarray, whose decoding is in float64.
    by_hand = packed.astype(np.float32) * np.float32(packing.scale or 1)
    assert by_hand.tobytes() == xyz.tobytes()
    assert seen.values.astype(np.float32).tobytes() == xyz.tobytes()


@pytest.mark.parametrize("codec", ["fast", "small"])
def test_flipped_bytes__raise_wherever_the_chunk_is_read(store, codec):
    packing = KINDS[1]
    write(store, positions(packing)[:100], packing, codec)
    file = store.path / "position" / "c.0.0.0"
    whole = file.read_bytes()
    for place in np.random.default_rng(3).integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        with pytest.raises(CorruptChunkError, match="is damaged: its checksum differs"):
            store.read_positions(FrameRange(0, 1))
    with pytest.raises(Exception, match="checksum"):
        zarr.open_array(store.path / "position", mode="r")[:]
    for length in (0, 3, len(whole) // 2):
        file.write_bytes(whole[:length])
        with pytest.raises(CorruptChunkError, match="is damaged: its checksum differs"):
            store.read_positions(FrameRange(0, 1))
    file.unlink()
    with pytest.raises(CorruptChunkError, match=r"c\.0\.0\.0 is missing"):
        store.read_positions(FrameRange(0, 1))


def test_misfit__tells_which_coordinate_and_why():
    xyz = np.zeros((4_000, 7, 3), np.float32)
    packing = KINDS[1]
    xyz[3_000, 5, 1] = np.float32(0.0015)
    assert packing.pack(xyz) == Misfit(3_000, 5, 1, float(np.float32(0.0015)), is_too_large=False)
    xyz[2_999, 0, 2] = 33
    assert packing.pack(xyz) == Misfit(2_999, 0, 2, 33.0, is_too_large=True)
    # The least integer stands for what was never written, so a coordinate may not be it.
    assert isinstance(packing.pack(np.full((1, 1, 3), np.int16(-32_768) * STEP)), Misfit)
    # A zero with a sign is another bit pattern, and an integer has none.
    assert isinstance(packing.pack(np.full((1, 1, 3), -0.0, np.float32)), Misfit)
    rounding = Packing.on_grid(0.001, "int16", rounds=True)
    assert rounding.pack(xyz).is_too_large
    xyz[2_999, 0, 2] = 0
    packed = rounding.pack(xyz)
    assert rounding.largest_error(xyz, packed) == pytest.approx(0.0005, rel=1e-3)


@pytest.mark.parametrize("codec", ["fast", "small"])
@pytest.mark.parametrize("packing", KINDS, ids=lambda packing: packing.dtype)
def test_files__hold_the_bytes_that_zarr_writes(store, packing, codec):
    xyz = positions(packing)[:9_000]
    packed = write(store, xyz, packing, codec)
    files = [store.path / "position" / f"c.{chunk}.0.0" for chunk in range(2)]
    ours = [file.read_bytes() for file in files]
    zarr.open_array(store.path / "position", mode="r+")[:] = packed
    assert [file.read_bytes() for file in files] == ours


@pytest.mark.parametrize("codec", ["fast", "small"])
def test_shards__are_what_zarr_takes_for_its_own(store, codec):
    packing = KINDS[1]
    xyz = positions(packing)
    packed = packing.pack(xyz[:, :31])
    spec = position_spec(packing.dtype, packing.scale)
    store.ensure_array("", spec, packed.shape, codec=codec, shard_chunks=2)
    store.write_all("position", packed)
    assert len(list((store.path / "position").glob("c.*"))) == 2
    plain = zarr.open_array(store.path / "position", mode="r+")
    np.testing.assert_array_equal(plain[:], packed)
    plain[5:10_000] = packed[5:10_000]  # it writes the shard anew, from what it read of ours
    np.testing.assert_array_equal(store.read("position"), xyz[:, :31])
