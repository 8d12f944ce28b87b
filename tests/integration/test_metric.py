"""The metrics through both passes: what they measure, what is kept of them, what is refused."""

import shutil
import warnings
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
import xarray as xr

from conftest import EXAMPLE, SHARED
from kabsch import aligned_positions, plain_rmsd, random_rotations, weighted_kabsch_rmsd
from trajectory_files import make_topology, make_trajectory
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    run_pipeline,
    store_status,
)
from twopass_store.config import METRIC_OPTIONS
from twopass_store.errors import (
    ConfigError,
    FingerprintMismatchError,
    NonFiniteError,
    TopologyMismatchError,
    TrajectoryNotFoundError,
)
from twopass_store.store import Store

HEAVY = "element != H"
CORE, POSE = "resid 0 1 and element != H", "resid 2"

OPTIONS = {
    "mass": ["--select", "all", "--mass-weighted"],
    "as-it-is": ["--select", HEAVY, "--no-fit"],
    "as-it-is-by-mass": ["--select", "all", "--no-fit", "--mass-weighted"],
    "pose": ["--select", POSE, "--align-to", "40", "--align-select", CORE],
    "pose-by-mass": ["--select", POSE, "--align-to", "40", "--align-select", CORE, "--mass-weighted"],
}


@pytest.fixture(scope="module")
def frames() -> tuple[md.Trajectory, Path, Path]:
    """4,000 frames of the shared dynamics, or of the example where those are absent."""
    if (SHARED / "ala2-dynamics.xtc").exists():
        xtc, top = SHARED / "ala2-dynamics.xtc", SHARED / "ala2.pdb"
        return md.load(xtc, top=top, stride=10), xtc, top
    xtc, top = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"
    return md.load(xtc, top=top), xtc, top


@pytest.fixture(scope="module")
def ingested(frames, tmp_path_factory) -> Path:
    trajectory, xtc, top = frames
    store = tmp_path_factory.mktemp("metric") / "s.zarr"
    stride = 10 if "dynamics" in xtc.name else 1
    ingest_trajectories(store, xtc, top=top, stride=stride)
    assert Store.open(store).shape("position")[0] == trajectory.n_frames
    return store


def expected_distances(trajectory, name, of, frames=slice(None)):
    """Distances of all frames, or some, to those named, in plain float64, shape (n_frames, n_of)."""
    masses = np.array([atom.element.mass for atom in trajectory.topology.atoms])
    xyz, others = trajectory.xyz[frames], trajectory.xyz[of]
    if name == "mass":
        return np.stack([weighted_kabsch_rmsd(xyz, one, masses) for one in others], axis=1)
    if name.startswith("as-it-is"):
        weighted = name.endswith("by-mass")
        atoms = np.arange(xyz.shape[1]) if weighted else trajectory.topology.select(HEAVY)
        weights = masses[atoms] if weighted else None
        return plain_rmsd(xyz[:, np.newaxis, atoms], others[:, atoms], weights)
    core, pose = trajectory.topology.select(CORE), trajectory.topology.select(POSE)
    weights = (masses[core], masses[pose]) if name.endswith("by-mass") else (None, None)
    on = trajectory.xyz[40, core]
    placed, beside = (aligned_positions(some, on, core, weights[0])[:, pose] for some in (xyz, others))
    return plain_rmsd(placed[:, np.newaxis], beside, weights[1])


@pytest.mark.parametrize("name", OPTIONS)
def test_metric__is_measured_in_both_passes(frames, ingested, twopass, name):
    trajectory, _, _ = frames
    twopass("cluster", ingested, "--name", name, "--stride", 20, "--n-clusters", 5, *OPTIONS[name])
    assign_frames(ingested, name=name, margin=True)
    with open_results(ingested, name) as results:
        subset, leaders = results.subset_frame.values, results.leader_frame.values
        i, j = np.triu_indices(len(subset), 1)
        expected = expected_distances(trajectory, name, subset, subset)
        np.testing.assert_allclose(results.rmsd.values, expected[i, j], atol=1e-6)
        to_leaders = expected_distances(trajectory, name, leaders)
        np.testing.assert_array_equal(results.leader_index.values, to_leaders.argmin(axis=1))
        np.testing.assert_allclose(results.rmsd_to_leader.values, to_leaders.min(axis=1), atol=1e-6)
        of_others = results.leader_label.values != results.label.values[:, np.newaxis]
        to_others = np.where(of_others, to_leaders, np.inf).min(axis=1)
        np.testing.assert_allclose(results.rmsd_to_second.values, to_others, atol=1e-6)
        metric = results.attrs["metric"]
        for distance in ("rmsd", "rmsd_to_leader", "rmsd_to_second"):
            assert metric in results[distance].attrs["long_name"]
    assert metric in Store.open(ingested).attrs(f"subsets/{results.attrs['subset']}")["metric"]


def test_metric__differs_from_the_default(frames, ingested):
    trajectory, _, _ = frames
    cluster_subset(ingested, name="plain", stride=400, n_clusters=2)
    with open_results(ingested, "plain") as results:
        of = results.subset_frame.values
        store, subset = Store.open(ingested), results.attrs["subset"]
        for stage in ("clustering-plain", f"subset-{subset}"):
            assert not set(METRIC_OPTIONS) & store.journal(stage).plan.parameters.keys()
        assert results.attrs["metric"] == "minimal RMSD after optimal superposition, atoms of equal weight"
        assert not {"selected_atom_mass", "align_atom_index", "reference_position"} & set(results.variables)
        i, j = np.triu_indices(len(of), 1)
        for name in OPTIONS:
            other = expected_distances(trajectory, name, of, of)[i, j]
            assert np.abs(other - results.rmsd.values).max() > 1e-3, name


def test_results__hold_all_that_the_metric_needs(frames, ingested, tmp_path):
    trajectory, _, _ = frames
    store = shutil.copytree(ingested, tmp_path / "s.zarr")
    core, pose = trajectory.topology.select(CORE), trajectory.topology.select(POSE)
    options = {"select": POSE, "align_select": CORE, "mass_weighted": True, "stride": 200, "n_clusters": 3}
    trajectory[77].save_pdb(tmp_path / "reference.pdb")
    cluster_subset(store, name="kept", align_to=tmp_path / "reference.pdb", **options)
    (tmp_path / "reference.pdb").unlink()
    assign_frames(store, name="kept")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = open_results(store, "kept")
        tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    np.testing.assert_array_equal(results.align_atom_index.values, core)
    np.testing.assert_array_equal(results.selected_atom_index.values, pose)
    for name, atoms in (("align_atom_mass", core), ("selected_atom_mass", pose)):
        masses = [trajectory.topology.atom(atom).element.mass for atom in atoms]
        np.testing.assert_allclose(results[name].values, masses)
        assert results[name].attrs["units"] == "Da"
    np.testing.assert_allclose(results.reference_position.values, trajectory.xyz[77, core], atol=6e-5)
    assert results.reference_position.attrs["units"] == "nm"
    assert all(results[name].attrs["long_name"] for name in results.variables)
    assert results.attrs["fit"] == "reference"
    assert 'on reference.pdb by "resid 0 1' in results.attrs["alignment"]
    assert "reference_position" in tree["clusterings/kept"]
    results.close()
    tree.close()


def test_align__a_frame_and_a_structure_of_the_same_positions_share_distances(frames, ingested, tmp_path):
    trajectory, _, _ = frames
    options = {"select": POSE, "align_select": CORE, "stride": 200, "n_clusters": 3}
    cluster_subset(ingested, name="by-frame", align_to=120, **options)
    trajectory[120].save_hdf5(tmp_path / "reference.h5")
    again = cluster_subset(ingested, name="by-file", align_to=str(tmp_path / "reference.h5"), **options)
    assert again.n_pairs_computed == 0
    # The same again with what lies in the file changed is another clustering.
    trajectory[121].save_hdf5(tmp_path / "reference.h5")
    with pytest.raises(FingerprintMismatchError, match=r"reference \(stored"):
        cluster_subset(ingested, name="by-file", align_to=str(tmp_path / "reference.h5"), **options)


@pytest.mark.parametrize("extension", ["pdb", "gro", "hdf5"])
def test_align__takes_references_of_other_systems_with_the_same_atoms(tmp_path, extension):
    chain = make_trajectory(20, n_residues=3, seed=3)
    chain.save_xtc(tmp_path / "chain.xtc")
    chain[0].save_pdb(tmp_path / "chain.pdb")
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "chain.xtc", top=tmp_path / "chain.pdb")
    # The reference has a residue more and lies elsewhere.
    larger = make_trajectory(1, n_residues=4, seed=3)
    path = tmp_path / f"larger.{extension}"
    larger.save(str(path.with_suffix(".h5") if extension == "hdf5" else path))
    if extension == "hdf5":
        path.with_suffix(".h5").rename(path)
    options = {
        "stride": 1,
        "n_clusters": 2,
        "select": "name CB O",
        "align_select": "resid < 3 and name N CA C",
    }
    cluster_subset(tmp_path / "s.zarr", align_to=str(path), **options)
    fitted, measured = (chain.topology.select(options[key]) for key in ("align_select", "select"))
    on = larger.xyz[0, larger.topology.select(options["align_select"])]
    placed = aligned_positions(chain.xyz, on, fitted)[:, measured]
    i, j = np.triu_indices(20, 1)
    with open_results(tmp_path / "s.zarr") as results:
        atol = 3e-3 if extension in ("gro", "pdb") else 1e-3  # of the reference, and of the XTC
        np.testing.assert_allclose(results.rmsd.values, plain_rmsd(placed[i], placed[j]), atol=atol)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"align_to": 4000}, ConfigError, "4000 frames, 0 to 3999"),
        ({"align_to": "nowhere.pdb"}, TrajectoryNotFoundError, "nowhere.pdb"),
        ({"align_to": 0, "align_select": "name CH3 and resid 0"}, ConfigError, "fewer than three"),
        ({"align_to": 0, "align_select": "name XX"}, ConfigError, "name XX"),
        ({"align_to": 0, "no_fit": True}, ConfigError, "exclude each other"),
        ({"align_to": 0, "align_select": None}, ConfigError, "give both"),
        ({"align_to": None}, ConfigError, "give both"),
        ({"align_to": None, "align_select": None, "masses": "m.txt"}, ConfigError, "mass_weighted"),
        ({"align_to": 0, "mass_weighted": True, "masses": "m.txt"}, TrajectoryNotFoundError, "m.txt"),
    ],
)
def test_what_does_not_fit__is_refused_and_leaves_nothing(ingested, options, error, words):
    given = {
        "name": "refused",
        "stride": 400,
        "n_clusters": 2,
        "select": POSE,
        "align_select": CORE,
        **options,
    }
    with pytest.raises(error, match=words):
        cluster_subset(ingested, **given)
    assert "refused" not in Store.open(ingested).members("clusterings")


def test_align__refuses_references_whose_atoms_differ(frames, ingested, tmp_path):
    other = make_trajectory(1)
    other.save_pdb(tmp_path / "other.pdb")
    options = {"stride": 400, "n_clusters": 2, "select": POSE, "align_select": "name N C O"}
    with pytest.raises(TopologyMismatchError, match=r"other\.pdb .*differ: atom \d+ is"):
        cluster_subset(ingested, align_to=str(tmp_path / "other.pdb"), **options)
    trajectory, _, _ = frames
    broken = trajectory[0]
    broken.xyz[0, 4] = np.nan
    broken.save_hdf5(tmp_path / "broken.h5")
    with pytest.raises(NonFiniteError, match="no finite position"):
        cluster_subset(ingested, align_to=str(tmp_path / "broken.h5"), **options)


def test_align__tells_poses_apart_that_a_fit_of_each_cannot(tmp_path, twopass):
    """A rigid ligand in two places of a tumbling host: by itself it is always the same."""
    rng = np.random.default_rng(4)
    topology = make_topology(5)
    host = topology.n_atoms
    residue = topology.add_residue("LIG", topology.add_chain())
    for number in range(6):
        topology.add_atom(f"C{number}", md.element.carbon, residue)
    still = rng.normal(size=(topology.n_atoms, 3)) * 0.4
    poses = rng.integers(0, 2, size=200)
    xyz = np.repeat(still[np.newaxis], 200, axis=0)
    xyz[poses == 1, host:] = still[host:] @ random_rotations(rng, 1)[0] + [0.3, 0.0, 0.1]
    xyz += rng.normal(size=xyz.shape) * 0.005
    xyz = xyz @ random_rotations(rng, 200) + rng.normal(size=(200, 1, 3)) * 2
    trajectory = md.Trajectory(xyz.astype(np.float32), topology)
    trajectory.save_xtc(tmp_path / "complex.xtc")
    trajectory[0].save_pdb(tmp_path / "complex.pdb")
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "complex.xtc", top=tmp_path / "complex.pdb")
    pose = ["--align-to", "complex.pdb", "--align-select", "name CA N C"]
    twopass("cluster", "s.zarr", "--select", "resname LIG", "--cutoff", "1A", "--stride", 3, *pose)
    assign_frames(tmp_path / "s.zarr")
    with open_results(tmp_path / "s.zarr") as results:
        labels = results.label.values
    assert set(labels) == {1, 2}
    assert len(set(zip(labels, poses, strict=True))) == 2
    fitted = cluster_subset(tmp_path / "s.zarr", name="fit", select="resname LIG", cutoff="1A", stride=3)
    assert fitted.n_clusters == 1


def coarse_grained(folder: Path, extension: str) -> tuple[Path, Path]:
    """Beads as a structure without elements, and a trajectory of them."""
    topology = md.Topology()
    chain = topology.add_chain()
    for number in range(6):
        residue = topology.add_residue("ALA" if number % 2 else "LEU", chain, resSeq=number + 1)
        topology.add_atom("BB", None, residue)
        if number % 2 == 0:
            topology.add_atom("SC1", None, residue)
    xyz = make_trajectory(30, n_residues=2).xyz[:, :9]
    trajectory = md.Trajectory(xyz, topology)
    trajectory.save_xtc(folder / "beads.xtc")
    top = folder / f"beads.{extension}"
    trajectory[0].save(str(top))
    if extension == "pdb":
        lines = top.read_text().splitlines()
        top.write_text("\n".join(line[:76] if line.startswith("ATOM") else line for line in lines) + "\n")
    return folder / "beads.xtc", top


@pytest.mark.parametrize("extension", ["gro", "pdb"])
def test_mass__of_beads_is_not_that_of_the_elements_that_mdtraj_makes_up(tmp_path, extension):
    xtc, top = coarse_grained(tmp_path, extension)
    ingest_trajectories(tmp_path / "s.zarr", xtc, top=top)
    with pytest.raises(ConfigError, match=r"atom 0, LEU1-BB, has no element.*`masses`"):
        cluster_subset(tmp_path / "s.zarr", select="all", n_clusters=2, mass_weighted=True)


def test_mass__of_beads_comes_from_a_file(tmp_path, twopass):
    xtc, top = coarse_grained(tmp_path, "gro")
    ingest_trajectories(tmp_path / "s.zarr", xtc, top=top)
    (tmp_path / "masses.txt").write_text("BB 72\nLEU:SC1 54.5\n")
    weighted = ["--mass-weighted", "--masses", "masses.txt"]
    twopass("cluster", "s.zarr", "--select", "all", "--n-clusters", "2", *weighted)
    masses = np.array([72, 54.5, 72] * 3)
    xyz = md.load(xtc, top=top).xyz
    i, j = np.triu_indices(30, 1)
    with open_results(tmp_path / "s.zarr") as results:
        np.testing.assert_array_equal(results.selected_atom_mass.values, masses)
        expected = weighted_kabsch_rmsd(xyz[i], xyz[j], masses)
        np.testing.assert_allclose(results.rmsd.values, expected, atol=1e-6)
    # Once more is done already; with other masses in the same file it is another clustering.
    options = {"select": "all", "n_clusters": 2, "mass_weighted": True, "masses": tmp_path / "masses.txt"}
    assert cluster_subset(tmp_path / "s.zarr", **options).was_complete
    (tmp_path / "masses.txt").write_text("BB 72\nLEU:SC1 72\n")
    with pytest.raises(FingerprintMismatchError, match=r"masses .stored .*--restart"):
        cluster_subset(tmp_path / "s.zarr", **options)
    assert not cluster_subset(tmp_path / "s.zarr", restart=True, **options).was_complete


RUN = """
store = "run.zarr"
[ingest]
trajectories = ["example:alanine-dipeptide.xtc"]
top = "example:alanine-dipeptide.pdb"
[cluster]
stride = 40
n_clusters = 3
select = "resid 2"
"""


@pytest.mark.parametrize("kind", ["no-fit", "align", "mass"])
def test_run__writes_medoids_as_the_metric_lays_them(tmp_path, twopass, kind, example_xtc, example_top):
    keys = {
        "no-fit": "no_fit = true\n",
        "align": f"align_to = 10\nalign_select = '{CORE}'\n",
        "mass": "mass_weighted = true\n",
    }[kind]
    (tmp_path / "run.toml").write_text(RUN + keys)
    if kind == "align":
        said = twopass("run", "run.toml").stdout
        assert (
            "RMSD after superposition of every frame on one reference, atoms of equal weight (on frame 10"
            in said
        )
        assert "metric RMSD after superposition of every frame" in twopass("status", "run.zarr").stdout
    else:
        run_pipeline(tmp_path / "run.toml")
    trajectory = md.load(example_xtc, top=example_top)
    core, pose = trajectory.topology.select(CORE), trajectory.topology.select("resid 2")
    with open_results(tmp_path / "run.zarr") as results:
        medoids = trajectory.xyz[results.medoid_frame.values]
    written = md.load(tmp_path / "run.default.medoids.pdb").xyz
    if kind == "no-fit":
        np.testing.assert_allclose(written, medoids, atol=1e-4)
    elif kind == "align":
        expected = aligned_positions(medoids, trajectory.xyz[10, core], core)
        np.testing.assert_allclose(written, expected, atol=1e-4)
    else:
        masses = np.array([trajectory.topology.atom(atom).element.mass for atom in pose])
        found = plain_rmsd(written[1:, pose], written[0, pose], masses)
        expected = weighted_kabsch_rmsd(medoids[1:, pose], medoids[0, pose], masses)
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_status__repeats_the_metric_in_what_to_run_next(tmp_path, example_xtc, example_top):
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, example_xtc, top=example_top)
    options = {"select": POSE, "align_to": 3, "align_select": CORE, "mass_weighted": True}
    with pytest.raises(ConfigError, match="Where to cut"):
        cluster_subset(store, stride=40, **options)
    said = store_status(store).next_command
    assert f"--select '{POSE}' --mass-weighted --align-to 3 --align-select '{CORE}' --stride 40" in said


def test_no_fit__medoids_far_out_are_moved_together_to_where_pdb_has_room(tmp_path):
    trajectory = make_trajectory(12, n_residues=2)
    trajectory.xyz += 1500
    trajectory.save_hdf5(tmp_path / "far.h5")
    (tmp_path / "run.toml").write_text(
        'store = "run.zarr"\n[ingest]\ntrajectories = ["far.h5"]\n[cluster]\nno_fit = true\nn_clusters = 2\n'
    )
    run_pipeline(tmp_path / "run.toml")
    written = md.load(tmp_path / "run.default.medoids.pdb").xyz
    assert np.abs(written).max() < 100
    with open_results(tmp_path / "run.zarr") as results:
        medoids = trajectory.xyz[results.medoid_frame.values]
    np.testing.assert_allclose(written[1] - written[0], medoids[1] - medoids[0], atol=3e-4)
