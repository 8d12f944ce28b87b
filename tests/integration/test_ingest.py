"""What ingest leaves in the store, for every format, against `mdtraj.load`."""

import json

import mdtraj as md
import numpy as np
import pytest
import xarray as xr

from trajectory_files import (
    FORMATS,
    WITH_CELL,
    WITH_TIME,
    WITH_TOPOLOGY,
    load,
    make_topology,
    make_trajectory,
    write,
)
from twopass_store import cluster_subset, ingest_trajectories, open_results
from twopass_store.errors import (
    ConfigError,
    FingerprintMismatchError,
    NonFiniteError,
    SelectionError,
    TopologyMismatchError,
)
from twopass_store.store import Store
from twopass_store.trajectory import digest_file, topology_from_json


class Notes:
    """A progress that remembers."""

    def __init__(self):
        self.notes, self.counts = [], []

    def note(self, message):
        self.notes.append(message)

    def start(self, stage, *, total, done, unit):
        self.counts.append([stage, total, done])

    def advance(self, amount):
        self.counts[-1][2] += amount

    def finish(self):
        pass


def results(store):
    cluster_subset(store, select="all", n_clusters=2, workers=1)
    return open_results(store)


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format__is_bit_identical_to_mdtraj(extension, tmp_path):
    trajectory = make_trajectory(23, has_cell=extension in WITH_CELL)
    file = write(trajectory, tmp_path / f"run.{extension}")
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    top = None if extension in WITH_TOPOLOGY else tmp_path / "top.pdb"
    notes = Notes()
    ingest_trajectories(tmp_path / "run.zarr", file, top=top, progress=notes)
    expected = load(file, trajectory.topology)
    found = results(tmp_path / "run.zarr")

    assert found.position.dtype == np.float32
    np.testing.assert_array_equal(found.position.values, expected.xyz)
    np.testing.assert_array_equal(found.source_frame.values, np.arange(23))
    np.testing.assert_array_equal(found.time.values, expected.time)
    if extension in WITH_TIME:
        assert found.time.attrs["time_source"] == "file"
        assert found.time.attrs["units"] == "ps"
    else:
        assert found.time.attrs["time_source"] == "index"
        assert found.time.attrs["units"] == "1"
        assert any("no times" in note for note in notes.notes)
    if extension in WITH_CELL:
        np.testing.assert_array_equal(found.unitcell_lengths.values, expected.unitcell_lengths)
        np.testing.assert_array_equal(found.unitcell_angles.values, expected.unitcell_angles)
    else:
        assert "unitcell_lengths" not in found
    assert found.atom_name.values.tolist() == [atom.name for atom in trajectory.topology.atoms]
    assert found.residue_id.values.tolist() == [atom.residue.resSeq for atom in trajectory.topology.atoms]


def test_several_files__keep_order_discard_and_stride(tmp_path):
    whole = make_trajectory(30, seed=3)
    whole[0].save_pdb(tmp_path / "top.pdb")
    parts = {"run1.xtc": whole[:7], "run2.dcd": whole[7:12], "run10.trr": whole[12:]}
    for name, part in parts.items():
        part.save(str(tmp_path / name))
    ingest_trajectories(
        tmp_path / "s.zarr", str(tmp_path / "run*"), top=tmp_path / "top.pdb", stride=3, discard_first=2
    )
    found = results(tmp_path / "s.zarr")
    loaded = [md.load(tmp_path / name, top=whole.topology)[2::3] for name in parts]
    np.testing.assert_array_equal(found.position.values, np.concatenate([part.xyz for part in loaded]))
    np.testing.assert_array_equal(found.trajectory.values, [0, 0, 1, 2, 2, 2, 2, 2, 2])
    np.testing.assert_array_equal(found.source_frame.values, [2, 5, 2, 2, 5, 8, 11, 14, 17])
    # One of the files has no times, so the store has none.
    np.testing.assert_array_equal(found.time.values, found.source_frame.values)
    assert [path.rpartition("/")[2] for path in found.trajectory_path.values] == list(parts)
    assert found.trajectory_n_frames.values.tolist() == [7, 5, 18]
    assert len(set(found.trajectory_digest.values.tolist())) == 3


def test_selection__is_echoed_and_kept_with_its_topology(tmp_path):
    trajectory = make_trajectory(5)
    trajectory.save_hdf5(tmp_path / "run.h5")
    notes = Notes()
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "run.h5", select="name CA CB", progress=notes)
    store = Store.open(tmp_path / "s.zarr")
    chosen = trajectory.topology.select("name CA CB")
    np.testing.assert_array_equal(store.read("position"), trajectory.xyz[:, chosen])
    topology = topology_from_json(store.attrs()["topology"])
    assert [str(atom) for atom in topology.atoms] == [str(trajectory.topology.atom(i)) for i in chosen]
    echoed = notes.notes[0]
    assert '"name CA CB"' in echoed
    assert "8 atoms in 4 residues of 1 chain" in echoed


def test_solvent__is_refused_unless_it_is_meant(tmp_path):
    topology = make_topology(n_residues=2, n_waters=20)
    trajectory = md.Trajectory(np.random.default_rng(1).random((4, topology.n_atoms, 3)), topology)
    trajectory.save_hdf5(tmp_path / "box.h5")
    with pytest.raises(SelectionError, match=r'solvent.*`select` "not resname HOH".*`select` all'):
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "box.h5")
    assert ingest_trajectories(tmp_path / "s.zarr", tmp_path / "box.h5", select="all").n_atoms == 74


def test_repeated_ingest__reads_and_writes_nothing(tmp_path, example_xtc, example_top):
    def state():
        files = sorted((tmp_path / "s.zarr").rglob("*"))
        return [(file, file.stat().st_mtime_ns, file.stat().st_ino) for file in files]

    first = ingest_trajectories(tmp_path / "s.zarr", example_xtc, top=example_top)
    before = state()
    again = ingest_trajectories(tmp_path / "s.zarr", example_xtc, top=example_top)
    assert (first.n_frames_computed, again.n_frames_computed) == (4000, 0)
    # Another way to say the same: resolved, it is the same plan.
    ingest_trajectories(tmp_path / "s.zarr", example_xtc, top=example_top, select="all")
    assert state() == before
    assert not (tmp_path / "s.zarr.lock").exists()


def test_other_parameters__are_refused_then_restarted(tmp_path, example_xtc, example_top):
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, example_xtc, top=example_top)
    with pytest.raises(FingerprintMismatchError, match="stored 1, requested 4"):
        ingest_trajectories(store, example_xtc, top=example_top, stride=4)
    with pytest.raises(FingerprintMismatchError, match=r"22 of 22 atoms.*10 of 22 atoms"):
        ingest_trajectories(store, example_xtc, top=example_top, select="element != H")
    assert Store.open(store).shape("position")[0] == 4000
    cluster_subset(store, stride=20, n_clusters=2)
    assert ingest_trajectories(store, example_xtc, top=example_top, stride=4, restart=True).n_frames == 1000
    assert Store.open(store).members("clusterings") == []
    again = ingest_trajectories(store, example_xtc, top=example_top, stride=4, restart=True)
    assert again.n_frames_computed == 1000


def test_bad_frame__is_named_and_what_came_before_stays(tmp_path, example_xtc, example_top):
    frames = md.load(example_xtc, top=example_top)
    xyz = np.tile(frames.xyz, (7, 1, 1))
    xyz[20_001, 3, 1] = np.nan
    trajectory = md.Trajectory(xyz, frames.topology)
    trajectory.save_dcd(tmp_path / "bad.dcd")
    with pytest.raises(NonFiniteError, match=r"bad\.dcd: frame 20001 "):
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "bad.dcd", top=example_top)
    store = Store.open(tmp_path / "s.zarr")
    assert store.journal("ingest").done("position").tolist() == [True, True, False, False]
    assert not store.is_complete("position")


def test_atoms_that_differ__are_refused_with_both_counts_or_names(tmp_path):
    small, large = make_trajectory(4, n_residues=3), make_trajectory(4, n_residues=4)
    small.save_xtc(tmp_path / "small.xtc")
    large[0].save_pdb(tmp_path / "large.pdb")
    with pytest.raises(TopologyMismatchError, match=r"21.*28"):
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "small.xtc", top=tmp_path / "large.pdb")
    small.save_hdf5(tmp_path / "a.h5")
    small.topology.atom(2).name = "CX"
    small.save_hdf5(tmp_path / "b.h5")
    with pytest.raises(TopologyMismatchError, match=r"b\.h5 .*a\.h5 .*: atom 2 is ALA3-CX and .* ALA3-CA"):
        ingest_trajectories(tmp_path / "s.zarr", [tmp_path / "a.h5", tmp_path / "b.h5"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"stride": 5}, ConfigError, "4 frames.*`stride` 5"),
        ({"discard_first": 4}, ConfigError, "4 frames.*`discard_first` 4"),
        ({"discard_first": 2, "stride": 3}, ConfigError, "2 frames after those discarded"),
        ({"select": "name XX"}, SelectionError, "name XX.*matches none"),
        ({"stride": 0}, ConfigError, "`stride` = 0"),
        ({"memory": "lots"}, ConfigError, "`memory` = 'lots'"),
    ],
)
def test_parameters_that_do_not_fit__say_so_in_one_line(tmp_path, options, error, words):
    make_trajectory(4).save_hdf5(tmp_path / "run.h5")
    with pytest.raises(error, match=words) as caught:
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "run.h5", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.zarr").exists()


def test_provenance__is_recorded(tmp_path, example_xtc, example_top):
    ingest_trajectories(tmp_path / "s.zarr", example_xtc, top=example_top)
    with xr.open_datatree(tmp_path / "s.zarr", engine="zarr", consolidated=False) as tree:
        assert tree["trajectory_size"].values.tolist() == [example_xtc.stat().st_size]
        modified = np.datetime64(example_xtc.stat().st_mtime_ns, "ns")
        assert tree["trajectory_modified"].values.tolist() == [modified.astype(np.int64)]
        assert tree["trajectory_modified"].dtype == np.dtype("datetime64[ns]")
        assert tree["trajectory_digest"].values.tolist() == [digest_file(example_xtc)]
        assert "trajectory_label" not in tree
    attrs = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())["attributes"]
    assert attrs["twopass_format"] == 1
    provenance = attrs["provenance"]
    assert provenance["versions"]["mdtraj"] == md.__version__
    assert provenance["cpu"] and provenance["command"] and provenance["time"]
