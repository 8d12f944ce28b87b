"""How an ingest stores coordinates: on the files' grid where they have one, else as they are, or rounded."""

import json
import struct
import warnings

import mdtraj as md
import numpy as np
import pytest
import xarray as xr

from trajectory_files import load, make_trajectory
from twopass_store import cluster_subset, ingest_trajectories, open_results
from twopass_store.errors import FingerprintMismatchError, PrecisionError
from twopass_store.progress import Silent
from twopass_store.store import Packing, Store


def with_precision(path, per_nm):
    """Change the precision that an XTC file says it has: mdtraj can only write 1000 steps a nanometre.

    The integers in the file stay, so that the coordinates change by the same factor.
    """
    data = bytearray(path.read_bytes())
    at = 0
    while at < len(data):
        struct.pack_into(">f", data, at + 56, per_nm)
        (n_bytes,) = struct.unpack_from(">i", data, at + 88)
        at += 92 + (n_bytes + 3) // 4 * 4
    path.write_bytes(data)
    return path


class Notes(Silent):
    """A progress that remembers."""

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


def long_run(example_xtc, example_top, *, n_frames=20_000):
    """Frames of the example in random order, three chunks of them."""
    frames = md.load(example_xtc, top=example_top)
    order = np.random.default_rng(11).integers(0, frames.n_frames, n_frames)
    return md.Trajectory(frames.xyz[order], frames.topology, time=np.arange(n_frames))


def contents(store):
    """All files of a store but for the two that tell of the command."""
    telling = (store / "zarr.json", store / "journal" / "ingest" / "zarr.json")
    files = (file for file in store.rglob("*") if file.is_file() and file not in telling)
    return {str(file.relative_to(store)): file.read_bytes() for file in files}


def attributes(store):
    return json.loads((store / "position" / "zarr.json").read_text())["attributes"]


@pytest.mark.parametrize(("per_nm", "codec"), [(1000, "fast"), (100, "small"), (345.6, "fast")])
def test_xtc__is_kept_on_its_own_grid_bit_for_bit(tmp_path, example_xtc, example_top, per_nm, codec):
    file = tmp_path / "run.xtc"
    file.write_bytes(example_xtc.read_bytes())
    with_precision(file, per_nm)
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, file, top=example_top, codec=codec)
    expected = md.load(file, top=example_top).xyz
    assert Store.open(store).packing() == Packing.on_grid(1 / per_nm, "int16")
    assert Store.open(store).read("position").tobytes() == expected.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(store, engine="zarr", consolidated=False)
        assert tree["position"].values.astype(np.float32).tobytes() == expected.tobytes()
    cluster_subset(store, n_clusters=2, subset_frames=100, workers=1)
    found = open_results(store).position
    assert found.dtype == np.float32 and found.values.tobytes() == expected.tobytes()
    assert "_FillValue" not in found.attrs


def test_grid__is_recognised_where_the_file_does_not_name_it(tmp_path, example_xtc, example_top):
    trajectory = md.load(example_xtc, top=example_top)[:300]
    trajectory.save_trr(str(tmp_path / "run.trr"))
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "run.trr", top=example_top)
    assert Store.open(tmp_path / "s.zarr").packing() == Packing.on_grid(0.001, "int16")


@pytest.mark.parametrize("extension", ["trr", "dcd", "h5", "nc"])
def test_no_grid__is_float32(tmp_path, extension):
    trajectory = make_trajectory(20)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    files = [tmp_path / "a.xtc", tmp_path / f"b.{extension}"]
    for file in files:
        trajectory.save(str(file))
    ingest_trajectories(tmp_path / "s.zarr", files, top=tmp_path / "top.pdb")
    store = Store.open(tmp_path / "s.zarr")
    assert store.packing() == Packing("float32")
    expected = np.concatenate([load(file, trajectory.topology).xyz for file in files])
    assert store.read("position").tobytes() == expected.tobytes()


def test_lossless_and_wide__are_as_asked(tmp_path, example_xtc, example_top):
    expected = md.load(example_xtc, top=example_top).xyz.tobytes()
    for options, packing in (
        ({"precision": "lossless"}, Packing("float32")),
        ({"wide": True}, Packing.on_grid(0.001, "int32")),
    ):
        store = tmp_path / packing.dtype
        ingest_trajectories(store, example_xtc, top=example_top, **options)
        assert Store.open(store).packing() == packing
        assert Store.open(store).read("position").tobytes() == expected


def test_length__rounds_and_says_by_how_much(tmp_path, twopass):
    trajectory = make_trajectory(30)
    trajectory.save_hdf5(tmp_path / "run.h5")
    store = tmp_path / "s.zarr"
    said = twopass("ingest", store, "run.h5", "--precision", "0.1A")
    expected = np.rint(trajectory.xyz / np.float32(0.01)).astype(np.float32) * np.float32(0.01)
    np.testing.assert_array_equal(Store.open(store).read("position"), expected)
    error = np.abs(expected.astype(float) - trajectory.xyz).max()
    found = attributes(store)
    assert found["largest_rounding_error"] == error
    assert found["rounded_to"] == found["scale_factor"] == float(np.float32(0.01))
    assert f"rounded, by at most {error:.4g} nm" in said.stdout
    with pytest.raises(FingerprintMismatchError, match=r"rounded to 0\.01 nm"):
        ingest_trajectories(store, tmp_path / "run.h5")
    assert ingest_trajectories(store, tmp_path / "run.h5", precision=0.01).n_frames_computed == 0


def test_value_beyond_the_type__stops_and_says_how_to_go_on(tmp_path, twopass, example_xtc, example_top):
    trajectory = long_run(example_xtc, example_top)
    trajectory.xyz[17_000, 5, 1] = 40.125
    trajectory.save_xtc(str(tmp_path / "run one.xtc"))
    words = ("ingest", "s.zarr", "run one.xtc", "--top", example_top)
    said = twopass(*words, code=3).stderr
    assert "run one.xtc: frame 17000 (counted from 0), atom 5 " in said
    assert (
        "y = 40.125" in said and "32.767 nm" in said and "int16" in said and "(--restart) with --wide" in said
    )
    store = tmp_path / "s.zarr"
    assert Store.open(store).journal("ingest").done("position").tolist() == [True, True, False]
    before = [(file.name, file.read_bytes()) for file in sorted((store / "position").glob("c.*"))]

    # The same command stops at the same place, and nothing is lost by it.
    assert "frame 17000" in twopass(*words, code=3).stderr
    assert before == [(file.name, file.read_bytes()) for file in sorted((store / "position").glob("c.*"))]

    twopass(*words, "--wide", "--restart")
    twopass("ingest", "direct.zarr", *words[2:], "--wide")
    assert contents(store) == contents(tmp_path / "direct.zarr")
    expected = md.load(tmp_path / "run one.xtc", top=example_top).xyz
    assert Store.open(store).read_positions(range(len(expected))).tobytes() == expected.tobytes()
    assert Store.open(store).packing().dtype == "int32"


def test_value_off_the_grid__stops_and_says_how_to_go_on(tmp_path, example_xtc, example_top):
    trajectory = long_run(example_xtc, example_top)
    trajectory.save_xtc(str(tmp_path / "a.xtc"))
    trajectory = md.load(tmp_path / "a.xtc", top=example_top)
    trajectory.xyz[9_000, 21, 2] += np.float32(0.0004)
    trajectory.save_trr(str(tmp_path / "run.trr"))
    store = tmp_path / "s.zarr"
    with pytest.raises(PrecisionError, match=r"run\.trr: frame 9000 .*atom 21 .*off the grid.*lossless"):
        ingest_trajectories(store, tmp_path / "run.trr", top=example_top)
    committed = Store.open(store).journal("ingest").done("position")
    assert committed[0] and not committed[1]
    ingest_trajectories(store, tmp_path / "run.trr", top=example_top, precision="lossless", restart=True)
    assert Store.open(store).read("position").tobytes() == trajectory.xyz.tobytes()


def test_finished_store__keeps_how_it_was_begun_and_says_so(tmp_path, twopass, example_xtc, example_top):
    arguments = ("ingest", "s.zarr", example_xtc, "--top", example_top)
    twopass(*arguments)
    before = contents(tmp_path / "s.zarr")
    other = ("--codec", "small", "--shard", "64MiB", "--precision", "lossless")
    said = twopass(*arguments, *other)
    assert "begun with --codec fast" in said.stderr
    assert "another --shard, 1 chunks a file" in said.stderr
    assert "the same positions as int16" in said.stderr
    assert "All was done already" in said.stdout
    assert contents(tmp_path / "s.zarr") == before


def test_config__names_the_same_choices(tmp_path, twopass, example_xtc, example_top):
    trajectory = long_run(example_xtc, example_top)
    trajectory.xyz[17_000, 5, 1] = 40.125
    trajectory.save_xtc(str(tmp_path / "run.xtc"))
    (tmp_path / "run.toml").write_text(
        f'''store = "s.zarr"
[ingest]
trajectories = "run.xtc"
top = "{example_top}"
precision = "0.01A"
codec = "small"
shard = "10MiB"
[cluster]
n_clusters = 2
subset_frames = 50
'''
    )
    assert "`wide`" in twopass("run", "run.toml", code=3).stderr
    twopass("run", "run.toml", "--set", "ingest.wide=true", "--restart")
    store = Store.open(tmp_path / "s.zarr")
    assert store.packing() == Packing.on_grid(0.001, "int32", rounds=True)
    assert store.codec("position") == "small"
    assert store.unit_length("position") == 4 * store.chunk_length("position")
    # Rounding to the grid that the values are on moves none.
    assert attributes(tmp_path / "s.zarr")["largest_rounding_error"] == 0.0
    expected = md.load(tmp_path / "run.xtc", top=example_top).xyz
    assert store.read("position").tobytes() == expected.tobytes()
