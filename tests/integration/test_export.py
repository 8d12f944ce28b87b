"""Frames back out of a store, as trajectories of every format that is written."""

import os
import tracemalloc
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trajectory_files import load, make_trajectory, write
from twopass_store import (
    assign_frames,
    cluster_subset,
    export_coordinates,
    ingest_trajectories,
    open_results,
)
from twopass_store.errors import ConfigError, StageIncompleteError, TrajectoryError
from twopass_store.export import frames as frames_module
from twopass_store.export.frames import chosen_frames, frame_pieces
from twopass_store.progress import Silent
from twopass_store.store import Store
from twopass_store.trajectory import load_topology, output_format

WRITTEN = ("xtc", "trr", "dcd", "h5", "nc", "netcdf", "ncdf", "mdcrd", "crd", "xyz", "lammpstrj")
WRITTEN_WITH_TOPOLOGY = ("gro", "pdb", "cif")
# What positions are rounded to, nm; float32 in other formats.
GRID_NM = {"xtc": 1e-3, "gro": 1e-3, "cif": 1e-5} | dict.fromkeys(
    ("mdcrd", "crd", "xyz", "lammpstrj", "pdb"), 1e-4
)
N_FRAMES = 23


class Notes(Silent):
    """A progress reporter that keeps what is noted."""

    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


@pytest.fixture(scope="module")
def trajectory() -> md.Trajectory:
    return make_trajectory(N_FRAMES)


@pytest.fixture(scope="module")
def walk(trajectory, tmp_path_factory) -> Path:
    """A store of a random walk with times and changing unit cells, from a format without loss."""
    folder = tmp_path_factory.mktemp("walk")
    source = write(trajectory, folder / "walk.h5")
    ingest_trajectories(folder / "walk.zarr", source)
    return folder / "walk.zarr"


@pytest.fixture(scope="module")
def dipeptide(tmp_path_factory) -> Path:
    """A finished run on the example."""
    store = tmp_path_factory.mktemp("dipeptide") / "run.zarr"
    ingest_trajectories(store, "example:alanine-dipeptide.xtc", top="example:alanine-dipeptide.pdb")
    cluster_subset(store, select="element != H", stride=16, n_clusters=4)
    assign_frames(store)
    return store


@pytest.mark.parametrize("extension", [*WRITTEN, *WRITTEN_WITH_TOPOLOGY])
def test_export__every_format_reads_back_in_mdtraj(extension, trajectory, walk, tmp_path, capfd):
    notes = Notes()
    target = tmp_path / f"out.{extension}"
    result = export_coordinates(walk, target, progress=notes)
    assert capfd.readouterr().out == ""
    assert (result.path, result.n_frames, result.n_atoms) == (target, N_FRAMES, trajectory.n_atoms)
    assert list(tmp_path.iterdir()) == [target]

    entry = output_format(target)
    found = md.load(str(target), **({} if entry.has_topology else {"top": trajectory.topology}))
    rounding = GRID_NM[extension] / 2 + 1e-6 if extension in GRID_NM else 3e-7
    rounding = 0 if extension in ("trr", "h5") else rounding
    np.testing.assert_allclose(found.xyz, trajectory.xyz, rtol=0, atol=rounding)
    if entry.has_time:
        np.testing.assert_array_equal(found.time, trajectory.time)
    if entry.unitcell == "none":
        assert found.unitcell_lengths is None
    else:
        frames = slice(None) if entry.unitcell == "each" else slice(1)
        expected = trajectory.unitcell_lengths[frames]
        np.testing.assert_allclose(found.unitcell_lengths[frames], expected, atol=2e-4)
        np.testing.assert_allclose(found.unitcell_angles[frames], 90, atol=1e-5)
    if entry.has_topology:
        assert list(map(str, found.topology.atoms)) == list(map(str, trajectory.topology.atoms))

    said = "\n".join(notes.lines)
    assert ("no times" in said) == (not entry.has_time)
    assert ("no unit cells" in said) == (entry.unitcell == "none")
    assert ("first frame only" in said) == (entry.unitcell == "first")


@pytest.mark.parametrize("extension", ["xtc", "trr", "dcd", "nc", "mdcrd", "lammpstrj", "gro", "xyz"])
def test_export__same_format_as_the_source(extension, trajectory, tmp_path):
    """What md.load gives of the source it gives of the export."""
    source = write(trajectory, tmp_path / f"in.{extension}")
    ingest_trajectories(tmp_path / "run.zarr", source, top=write(trajectory[:1], tmp_path / "top.pdb"))
    target = tmp_path / f"out.{extension}"
    export_coordinates(tmp_path / "run.zarr", target)
    before, after = load(source, trajectory.topology), load(target, trajectory.topology)
    # Å in the file: one rounding of float32 on the way in, one on the way out.
    max_ulp = 2 if extension in ("dcd", "nc") else 0
    np.testing.assert_array_max_ulp(after.xyz, before.xyz, max_ulp)
    np.testing.assert_array_equal(after.time, before.time)
    if before.unitcell_lengths is not None:
        np.testing.assert_allclose(after.unitcell_lengths, before.unitcell_lengths, rtol=1e-6)
        np.testing.assert_array_equal(after.unitcell_angles, before.unitcell_angles)


@pytest.mark.parametrize(
    ("angles", "precision", "block"),
    [
        ((90, 90, 90), 1000, 1),
        ((60, 60, 90), 10_000, 65_536),
        ((70.5288, 109.4712, 70.5288), 100, 5),
    ],
)
def test_export__xtc_as_gromacs_writes_it(angles, precision, block, trajectory, tmp_path, monkeypatch):
    """Positions, times, oblique cells and the precision go back, however the frames are cut on the way."""
    monkeypatch.setattr(frames_module, "FRAME_CHUNK", block)
    source, top = tmp_path / "in.xtc", write(trajectory[:1], tmp_path / "top.pdb")
    boxes, steps = oblique(angles, N_FRAMES), np.arange(N_FRAMES, dtype=np.int32)
    with md.formats.XTCTrajectoryFile(str(source), "w") as file:
        precisions = np.full(N_FRAMES, precision, np.float32)
        file._write(trajectory.xyz, trajectory.time.astype(np.float32), steps, boxes, precisions)
    ingest_trajectories(tmp_path / "run.zarr", source, top=top)
    export_coordinates(tmp_path / "run.zarr", tmp_path / "out.xtc")
    before, after = (md.load(tmp_path / name, top=top) for name in ("in.xtc", "out.xtc"))
    np.testing.assert_array_equal(after.xyz, before.xyz)
    np.testing.assert_array_equal(after.time, before.time)
    np.testing.assert_allclose(after.unitcell_vectors, boxes, rtol=0, atol=2e-6)


def oblique(angles: tuple[float, float, float], n_frames: int) -> np.ndarray:
    """Vectors of a cell under pressure coupling, in float32 as GROMACS has them."""
    cell = md.utils.unitcell.lengths_and_angles_to_box_vectors(
        *[np.full(1, 3.1)] * 3, *np.array(angles)[:, None]
    )
    scales = 1 + 0.001 * np.random.default_rng(5).normal(size=(n_frames, 1, 1))
    return (np.stack(cell, axis=1) * scales).astype(np.float32)


def test_export__frames_without_times_or_cells(tmp_path):
    bare = make_trajectory(6, has_cell=False)
    write(bare, tmp_path / "in.dcd")
    ingest_trajectories(tmp_path / "run.zarr", tmp_path / "in.dcd", top=write(bare[:1], tmp_path / "top.pdb"))
    notes = Notes()
    export_coordinates(tmp_path / "run.zarr", tmp_path / "out.xtc", frames="1::2", progress=notes)
    assert "frame numbers in place of times" in notes.lines[0]
    found = md.load(tmp_path / "out.xtc", top=bare.topology)
    assert found.time.tolist() == [1, 3, 5]
    assert found.unitcell_lengths is None
    export_coordinates(tmp_path / "run.zarr", tmp_path / "out.h5", progress=notes)
    with md.formats.HDF5TrajectoryFile(str(tmp_path / "out.h5")) as file:
        assert not hasattr(file.root, "time")
        assert not hasattr(file.root, "cell_lengths")
    with pytest.raises(TrajectoryError, match="LAMMPS dump needs a unit cell"):
        export_coordinates(tmp_path / "run.zarr", tmp_path / "out.lammpstrj")
    assert not (tmp_path / "out.lammpstrj").exists()


def test_export__names_and_numbers_without_room(tmp_path):
    """Columns stay columns."""
    topology = md.Topology()
    chain = topology.add_chain("L")
    for number, name in ((7, "POPC"), (12_345, "LONGNAME"), (123_456, "LIG")):
        residue = topology.add_residue(name, chain, resSeq=number)
        for atom in ("C1", "LONGATOM"):
            topology.add_atom(atom, md.element.carbon, residue)
    frames = md.Trajectory(np.random.default_rng(2).normal(size=(3, 6, 3)).astype(np.float32), topology)
    ingest_trajectories(tmp_path / "run.zarr", write(frames, tmp_path / "in.h5"), select="all")
    expected = {
        "gro": [("POPC", 7), ("LONGN", 12_345), ("LIG", 23_456)],
        "pdb": [("POP", 7), ("LON", 2_345), ("LIG", 3_456)],
        "cif": [("POPC", 7), ("LONGNAME", 12_345), ("LIG", 123_456)],
    }
    for extension, residues in expected.items():
        export_coordinates(tmp_path / "run.zarr", tmp_path / f"out.{extension}")
        found = md.load(str(tmp_path / f"out.{extension}"))
        assert [(residue.name, residue.resSeq) for residue in found.topology.residues] == residues
        np.testing.assert_allclose(found.xyz, frames.xyz, atol=6e-4)
    assert load_topology(tmp_path / "in.h5").residue(1).name == "LONGNAME"


def test_export__frames_of_clusters(dipeptide, tmp_path, twopass):
    with open_results(dipeptide) as results:
        label, position, time = results.label.values, results.position.values, results.time.values
    twopass("export", dipeptide, "coordinates", "--to", "c1.xtc", "--cluster", 1, "--top-to", "c1.pdb")
    found = md.load(tmp_path / "c1.xtc", top=tmp_path / "c1.pdb")
    np.testing.assert_array_equal(found.xyz, position[label == 1])
    np.testing.assert_array_equal(found.time, time[label == 1].astype(np.float32))

    options = ["--cluster", 3, "--cluster", 2, "--frames", "100:3000", "--stride", 7, "--name", "default"]
    result = twopass("export", dipeptide, "coordinates", "--to", "some.trr", *options)
    expected = np.flatnonzero(np.isin(label, [2, 3]))
    expected = expected[(expected >= 100) & (expected < 3000)][::7]
    found = md.load(tmp_path / "some.trr", top=tmp_path / "c1.pdb")
    np.testing.assert_array_equal(found.xyz, position[expected])
    assert f"{len(expected)} frames of 22 atoms, TRR" in result.stdout


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_frame_choice__equals_numpy(data, dipeptide, monkeypatch):
    monkeypatch.setattr(frames_module, "FRAME_CHUNK", data.draw(st.integers(1, 900)))
    store = Store.open(dipeptide)
    label = store.read("clusterings/default/label")
    bounds = st.one_of(st.none(), st.integers(-4200, 4200))
    piece = slice(data.draw(bounds), data.draw(bounds), data.draw(st.one_of(st.none(), st.integers(1, 500))))
    labels = data.draw(st.one_of(st.none(), st.sets(st.integers(1, 4))))
    stride = data.draw(st.integers(1, 50))
    expected = np.arange(4000)[piece]
    if not len(expected):
        with pytest.raises(ConfigError, match="holds none of the 4000 frames"):
            chosen_frames(piece, 4000)
        return
    parts = ["" if part is None else str(part) for part in (piece.start, piece.stop, piece.step)]
    assert chosen_frames(":".join(parts), 4000) == chosen_frames(piece, 4000)
    if labels is not None:
        expected = expected[np.isin(label[expected], list(labels))]
    path = None if labels is None else "clusterings/default/label"
    chosen = chosen_frames(piece, 4000)
    found = list(frame_pieces(store, chosen, label_path=path, labels=labels or (), stride=stride))
    np.testing.assert_array_equal(np.concatenate([[], *found]), expected[::stride])


@pytest.mark.parametrize(
    "text", ["", "a:b", "1:2:3:4", "5:2", "::-1", "::0", "4000", "-4001", "9000:", "1,2"]
)
def test_frames__what_is_no_range_is_refused(text):
    with pytest.raises(ConfigError):
        chosen_frames(text, 4000)


def test_export__refusals(dipeptide, walk, tmp_path, twopass):
    def refused(path, *, store=dipeptide, error=ConfigError, **options):
        with pytest.raises(error) as caught:
            export_coordinates(store, tmp_path / path, **options)
        return str(caught.value)

    (tmp_path / "there.xtc").write_bytes(b"mine")
    result = twopass("export", dipeptide, "coordinates", "--to", "there.xtc", code=2)
    assert "exists already. Use --overwrite" in result.stderr
    assert (tmp_path / "there.xtc").read_bytes() == b"mine"
    assert ".xtc, .trr, .dcd" in refused("out.tng")
    assert "lies in the store" in refused(dipeptide / "out.xtc")
    assert "There is no folder" in refused("nowhere/out.xtc")
    assert "has no cluster 5; they are 1 to 4" in refused("out.xtc", cluster=5)
    assert "`cluster`" in refused("out.xtc", cluster="C1")
    other = refused("out.xtc", cluster=1, name="fine", error=StageIncompleteError)
    assert "no finished clustering 'fine'" in other
    assert "Give `cluster` too" in refused("out.xtc", name="default")
    assert "(.h5, .gro, " in refused("out.xtc", top_to="out.xtc")
    assert "can't both be" in refused("out.pdb", top_to=tmp_path / "out.pdb")
    assert "no clustering yet" in refused("out.xtc", cluster=1, store=walk, error=StageIncompleteError)
    assert "was made from" in refused(walk.with_name("walk.h5"), overwrite=True, store=walk)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.xtc"]


@pytest.mark.parametrize("extension", ["xtc", "dcd", "nc", "h5", "pdb"])
def test_export__a_full_disk_leaves_what_was_there(extension, dipeptide, tmp_path, twopass):
    """The limit on the size of a file stands for the disk; the C libraries behind mdtraj don't all notice."""
    target = tmp_path / f"out.{extension}"
    target.write_bytes(b"older")
    to = ["--to", target, "--overwrite", "-q"]
    result = twopass("export", dipeptide, "coordinates", *to, code=None, file_bytes=100_000)
    assert result.returncode in (3, 10), result.stderr
    assert str(target) in result.stderr
    assert f".{target.name}" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"older"


def test_export__memory_does_not_grow_with_the_frames(tmp_path):
    long = make_trajectory(60_000, has_cell=False)
    size = long.xyz.nbytes
    write(long, tmp_path / "long.xtc")
    ingest_trajectories(
        tmp_path / "run.zarr", tmp_path / "long.xtc", top=write(long[:1], tmp_path / "top.pdb")
    )
    del long
    export_coordinates(tmp_path / "run.zarr", tmp_path / "warm.xtc", frames="0")
    tracemalloc.start()
    try:
        export_coordinates(tmp_path / "run.zarr", tmp_path / "out.trr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 20_000_000
    # Four chunks of positions, and a chunk of 65,536 frames of the small columns with the its buffer.
    assert peak < 17 << 20
    assert load_topology(tmp_path / "top.pdb").n_atoms == 28
    assert os.path.getsize(tmp_path / "out.trr") > size  # noqa: PTH202
