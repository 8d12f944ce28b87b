"""Equivalent atoms: which they are, and the least RMSD over them in both passes and in what is written."""

import mdtraj as md
import numpy as np
import pytest
from mdtraj.core import element

from kabsch import aligned_positions, kabsch_matrix, plain_rmsd, random_rotations
from twopass_store import (
    TwoPassClustering,
    assign_frames,
    cluster_subset,
    export_structures,
    ingest_trajectories,
    nearest,
    open_results,
    rmsd_matrix,
)
from twopass_store.errors import ConfigError
from twopass_store.trajectory import find_symmetry

nx = pytest.importorskip("networkx")

RING = [(k, (k + 1) % 6) for k in range(6)]
XYLENE = [*RING, (0, 6), (3, 7)]
ANGLES = np.arange(6) * np.pi / 3
HEXAGON = np.stack([np.cos(ANGLES), np.sin(ANGLES), 0 * ANGLES], axis=1)
BENZENE = np.concatenate([0.14 * HEXAGON, 0.249 * HEXAGON])
BACKBONE = "N CA C O"
SIDE_CHAINS = {
    "ARG": "NH1 HH11 HH12 NH2 HH21 HH22",
    "ASP": "OD1 OD2",
    "GLU": "OE1 OE2",
    "LEU": "CD1 1HD1 2HD1 3HD1 CD2 1HD2 2HD2 3HD2",
    "PHE": "CG CD1 HD1 CE1 HE1 CZ CE2 HE2 CD2 HD2",
    "TYR": "CG CD1 CE1 CZ OH CE2 CD2",
    "VAL": "CG1 CG2",
}


def add_residue(topology, chain, name, names, edges=()):
    residue = topology.add_residue(name, chain, resSeq=chain.n_residues + 1)
    for each in names.split():
        topology.add_atom(each, element.get_by_symbol(each.lstrip("0123456789")[0]), residue)
    atoms = list(residue.atoms)
    for one, other in edges:
        topology.add_bond(atoms[one], atoms[other])


def with_hydrogens(carbons, edges):
    """Add the hydrogens of an aromatic ring and its methyls."""
    degree = {atom: sum(atom in edge for edge in edges) for atom in range(len(carbons))}
    bound = [atom for atom, n in degree.items() for _ in range({1: 3, 2: 1, 3: 0}[n])]
    bonds = [*edges, *((atom, len(carbons) + k) for k, atom in enumerate(bound))]
    return carbons + "H" * len(bound), bonds


def ligand(elements, edges):
    topology = md.Topology()
    names = " ".join(f"{symbol}{number}" for number, symbol in enumerate(elements))
    add_residue(topology, topology.add_chain("L"), "LIG", names, edges)
    return topology


@pytest.mark.parametrize(
    ("elements", "edges", "selected", "n_expected"),
    [
        pytest.param(*with_hydrogens("C" * 6, RING), None, 12, id="benzene"),
        pytest.param("C" * 6, RING, [0, 3], 2, id="two-of-a-ring"),
        pytest.param("C" * 8, XYLENE, None, 4, id="xylene"),
        pytest.param(*with_hydrogens("C" * 8, XYLENE), None, 144, id="xylene-with-hydrogens"),
        pytest.param(*with_hydrogens("C" * 8, XYLENE), range(8), 4, id="xylene-of-hydrogens"),
        pytest.param("CCOOHHH", [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5), (0, 6)], range(4), 2, id="acetate"),
        pytest.param("CCOO", [(0, 1), (1, 2)], None, 1, id="loose-atom"),
    ],
)
def test_symmetry__of_ligands_is_that_of_their_bonds(elements, edges, selected, n_expected):
    selected = np.arange(len(elements)) if selected is None else np.array(selected)
    found, remarks = find_symmetry(ligand(elements, edges), selected)
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(len(elements)))
    for atom in graph:
        graph.nodes[atom]["of"] = elements[atom], atom in selected, not graph[atom]
    matches = nx.isomorphism.GraphMatcher(graph, graph, node_match=lambda a, b: a == b).isomorphisms_iter()
    expected = {tuple(match[atom] for atom in selected) for match in matches}
    assert len(expected) == n_expected
    if found is None:
        assert n_expected == 1 and "lacks bonds" in remarks[0]
        return
    whole = np.tile(np.arange(len(elements)), (n_expected, 1))
    whole[:, found.atoms] = found.permutations
    assert sorted(map(tuple, whole[:, selected])) == sorted(expected)
    assert f"{n_expected} permutations (LIG 1: {n_expected})" == found.text


def protein(*residues):
    topology = md.Topology()
    chain = topology.add_chain("A")
    for name in residues:
        add_residue(topology, chain, name, f"{BACKBONE} {SIDE_CHAINS[name]}")
    return topology


@pytest.mark.parametrize("name", SIDE_CHAINS)
def test_symmetry__of_amino_acids_goes_by_names(name):
    topology = protein(name)
    atoms = list(topology.atoms)
    found, _ = find_symmetry(topology, np.arange(len(atoms)))
    names = {atoms[a].name: atoms[b].name for a, b in zip(found.atoms, found.permutations[1], strict=True)}
    if name == "LEU":
        assert names["CD1"] == "CD2" and names["3HD1"] == "3HD2" and names["1HD2"] == "1HD1"
    if name == "ARG":
        assert names["HH11"] == "HH21" and names["NH2"] == "NH1"
    assert found.permutations.shape[0] == 2 and all(names[names[each]] == each for each in names)
    assert not set(names) & {*BACKBONE.split(), "CG", "CZ", "OH"}
    some = np.array([atom.index for atom in atoms if atom.name in (*BACKBONE.split(), "CD1", "OE1")])
    assert find_symmetry(topology, some) == (None, [])


def test_symmetry__leaves_protonated_and_anchored_atoms():
    topology = md.Topology()
    chain = topology.add_chain("A")
    add_residue(topology, chain, "ASP", f"{BACKBONE} OD1 OD2 HD2")
    add_residue(topology, chain, "LIG", "C1 O1 O2", [(0, 1), (0, 2)])
    topology.add_bond(topology.atom(2), topology.atom(8))
    assert find_symmetry(topology, np.arange(topology.n_atoms)) == (None, [])


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """A benzene in two places before a fixed protein, turned by any of its symmetries, with noise."""
    folder, rng = tmp_path_factory.mktemp("symmetry"), np.random.default_rng(8)
    topology = md.Topology()
    chain = topology.add_chain("A")
    for _ in range(6):
        add_residue(topology, chain, "ALA", "CA")
    edges = [*RING, *((k, k + 6) for k in range(6))]
    names = " ".join(f"{symbol}{number}" for symbol in "CH" for number in range(1, 7))
    add_residue(topology, topology.add_chain("L"), "LIG", names, edges)
    site = rng.normal(size=(6, 3))
    turns = [np.roll(side, by) for side in (np.arange(6), np.arange(6)[::-1]) for by in range(6)]
    frames = []
    for frame in range(60):
        turn = turns[rng.integers(12)] if frame else turns[0]
        pose = BENZENE[np.concatenate([turn, turn + 6])] + [0.4 * (frame % 3 == 0), 0, 0.2]
        pose = pose + 0.004 * rng.normal(size=pose.shape) * (frame > 5)
        frames.append(np.concatenate([site, pose]) @ random_rotations(rng, 1)[0])
    trajectory = md.Trajectory(np.array(frames, np.float32), topology)
    trajectory.save_dcd(str(folder / "md.dcd"))
    trajectory[0].save_pdb(str(folder / "top.pdb"))
    ingest_trajectories(folder / "s.zarr", folder / "md.dcd", top=folder / "top.pdb", precision="lossless")
    trajectory = md.load(folder / "md.dcd", top=folder / "top.pdb")
    carbons = np.arange(6, 12)
    group = [np.concatenate([turn, turn + 6]) for turn in turns]
    return folder, trajectory, carbons, group


POSE = {"select": "resname LIG and element C", "align_to": 0, "align_select": "name CA", "stride": 2}


def least(xyz, others, group):
    """The least plain RMSD over all permutations, shape (n_frames, n_others)."""
    return np.min([plain_rmsd(xyz[:, np.newaxis], others[:, turn]) for turn in group], axis=0)


def test_symmetry__of_poses_in_both_passes(poses, twopass):
    folder, trajectory, carbons, group = poses
    store = folder / "s.zarr"
    options = [f"--{key.replace('_', '-')}={value}" for key, value in POSE.items()]
    run = twopass("cluster", store, "--name=p", "--cutoff=0.5A", "--symmetry=auto", *options)
    assert "symmetry: 12 permutations (LIG 1 L: 12)" in run.stderr
    assign_frames(store, name="p", margin=True)
    placed = aligned_positions(trajectory.xyz, trajectory.xyz[0, :6], np.arange(6))
    carbon_turns = [turn[:6] for turn in group]
    with open_results(store, "p") as results:
        subset, leaders = results.subset_frame.values, results.leader_frame.values
        of = placed[:, carbons]
        expected = least(of[subset], of[subset], carbon_turns)
        np.testing.assert_allclose(results.rmsd, expected[np.triu_indices(len(subset), 1)], atol=1e-6)
        # Frames 2 and 4, which differ by a turn alone.
        assert results.rmsd.values[len(subset) - 1] < 1e-6 < plain_rmsd(of[2], of[4])
        to_leaders = least(of, of[leaders], carbon_turns)
        np.testing.assert_allclose(results.rmsd_to_leader, to_leaders.min(axis=1), atol=1e-6)
        np.testing.assert_array_equal(results.leader_index, to_leaders.argmin(axis=1))
        others = np.where(results.leader_label.values != results.label.values[:, None], to_leaders, np.inf)
        np.testing.assert_allclose(results.rmsd_to_second, others.min(axis=1), atol=1e-6)
        assert results.attrs["n_clusters_found"] == 2
        np.testing.assert_array_equal(results.label, 1 + (np.arange(60) % 3 == 0))
        whole = np.tile(np.arange(18), (12, 1))
        whole[:, results.symmetry_atom_index] = results.symmetry_permutation
        assert sorted(map(tuple, whole[:, 6:] - 6)) == sorted(map(tuple, group))
    assert "n_permutations 12" in twopass("status", store).stdout
    assert "12 permutations (LIG 1 L: 12)" in twopass("summary", store, "--name=p").stdout
    cluster_subset(store, name="plain", cutoff=0.05, **POSE)
    with open_results(store, "plain") as results:
        assert results.attrs["n_clusters_found"] > 2


def test_symmetry__averages_equivalent_atoms_as_one(poses, tmp_path):
    folder, trajectory, _, group = poses
    cluster_subset(folder / "s.zarr", name="mean", cutoff=0.05, symmetry="auto", **POSE)
    assign_frames(folder / "s.zarr", name="mean")
    export_structures(folder / "s.zarr", tmp_path / "mean.pdb", name="mean", of="averages")
    found = md.load(tmp_path / "mean.pdb")
    placed = aligned_positions(trajectory.xyz, trajectory.xyz[0, :6], np.arange(6))
    with open_results(folder / "s.zarr", "mean") as results:
        for row, medoid in enumerate(results.medoid_frame.values):
            pose = placed[medoid, 6:]
            nearest_of = [
                min((frame[6:][turn] for turn in group), key=lambda each: plain_rmsd(each[:6], pose[:6]))
                for frame in placed[results.label.values == row + 1]
            ]
            expected = np.mean(nearest_of, axis=0) - np.mean(nearest_of, axis=(0, 1))
            of_ligand = found.xyz[row, 6:]
            # Hydrogens, too, though they weren't selected.
            np.testing.assert_allclose(of_ligand - of_ligand.mean(axis=0), expected, atol=1.5e-4)


def test_symmetry__in_memory_and_of_leaders_from_outside(poses, twopass):
    folder, trajectory, carbons, group = poses
    ring = trajectory.atom_slice(carbons)
    turns = [turn[:6] for turn in group]
    expected = np.min([kabsch_matrix(ring.xyz, ring.xyz[:, turn]) for turn in turns], axis=0)
    found = rmsd_matrix(ring, symmetry="auto")
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert (found[:, :, None] <= found[:, None, :] + found[None] + 1e-6).all()
    assert nearest(ring[5], ring[2], symmetry="auto").rmsd < 1e-6
    model = TwoPassClustering(n_clusters=2, stride=3, symmetry="auto").fit(ring)
    to_leaders = expected[:, model.leader_indices_]
    np.testing.assert_allclose(model.rmsd_to_leader_, to_leaders.min(axis=1), atol=2e-6)
    with pytest.raises(ConfigError, match=r"mdtraj\.Trajectory"):
        rmsd_matrix(ring.xyz, symmetry="auto")
    trajectory[7].save_pdb(str(folder / "known.pdb"))
    outside = "--leaders=known.pdb", "--select=element C and resname LIG", "--symmetry=auto", "--name=known"
    twopass("assign", folder / "s.zarr", *outside, cwd=folder)
    with open_results(folder / "s.zarr", "known") as results:
        np.testing.assert_allclose(results.rmsd_to_leader, expected[:, 7], atol=2e-4)
    refused = twopass("assign", folder / "s.zarr", "--name=known", "--symmetry=auto", code=2)
    assert "`symmetry`" in refused.stderr or "--symmetry" in refused.stderr


def test_symmetry__of_identical_chains(tmp_path):
    topology, rng = md.Topology(), np.random.default_rng(4)
    for name in "AB":
        chain = topology.add_chain(name)
        add_residue(topology, chain, "PHE", f"{BACKBONE} {SIDE_CHAINS['PHE']}")
        add_residue(topology, chain, "GLU", f"{BACKBONE} {SIDE_CHAINS['GLU']}")
    add_residue(topology, chain, "HOH", "O H1 H2")
    add_residue(topology, topology.add_chain("C"), "PHE", BACKBONE)
    n_each, n_atoms = 20, topology.n_atoms
    start = rng.normal(size=(topology.n_atoms, 3))
    swap = np.concatenate([np.arange(n_each, 2 * n_each), np.arange(n_each), np.arange(2 * n_each, n_atoms)])
    frames = [start + 0.02 * rng.normal(size=start.shape) for _ in range(12)]
    frames = np.array([frame[swap] if k % 2 else frame for k, frame in enumerate(frames)])
    trajectory = md.Trajectory(frames @ random_rotations(rng, 12), topology)
    trajectory.save_hdf5(str(tmp_path / "md.h5"))
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "md.h5", precision="lossless")
    options = {"select": "name CA or name CD1 or name CD2", "symmetry": "auto,chains"}
    cluster_subset(tmp_path / "s.zarr", n_clusters=1, **options)
    assign_frames(tmp_path / "s.zarr")
    atoms = topology.select(options["select"])
    of = [np.arange(len(atoms))]
    names = [topology.atom(a).name for a in atoms]
    assert names == ["CA", "CD1", "CD2", "CA", "CA", "CD1", "CD2", "CA", "CA"]
    rings = [[0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 2, 1, 3, 4, 5, 6, 7, 8]]
    rings += [[*ring[:4], 4, 6, 5, 7, 8] for ring in rings]
    of = [
        np.array(ring)[np.array(order)] for ring in rings for order in (range(9), [4, 5, 6, 7, 0, 1, 2, 3, 8])
    ]
    xyz = trajectory.xyz[:, atoms]
    expected = np.min([kabsch_matrix(xyz, xyz[:, one]) for one in of], axis=0)
    with open_results(tmp_path / "s.zarr") as results:
        assert results.attrs["symmetry"] == "8 permutations (chains A, B, PHE 1 A, PHE 1 B: 2 each)"
        np.testing.assert_allclose(results.rmsd, expected[np.triu_indices(12, 1)], atol=1e-6)
        assert results.rmsd.max() < 0.1
    export_structures(tmp_path / "s.zarr", tmp_path / "mean.pdb", of="averages")
    mean = md.load(tmp_path / "mean.pdb").xyz[0]
    assert min(kabsch_matrix(mean[None], start[None, one])[0, 0] for one in (np.arange(n_atoms), swap)) < 0.05


def test_symmetry__names_what_is_too_much_and_a_way_out(tmp_path, twopass):
    topology, rng = protein(*["LEU"] * 8, *["ASP"] * 4, "PHE"), np.random.default_rng(1)
    xyz = rng.normal(size=(6, topology.n_atoms, 3)).astype(np.float32)
    md.Trajectory(xyz, topology).save_hdf5(str(tmp_path / "md.h5"))
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "md.h5")
    given = ["cluster", "s.zarr", "--n-clusters=2", "--symmetry=auto"]
    refused = twopass(*given, "--select=not name N", code=2).stderr
    for part in ("8,192 permutations", "8 residues LEU", "256", "--select"):
        assert part in refused
    smaller = refused.split('--select "')[1].split('"')[0]
    assert "32 permutations" in twopass(*given, f"--select={smaller}").stderr
    masses = tmp_path / "masses.txt"
    masses.write_text("".join(f"{12 + (k % 2)}\n" for k in range(topology.n_atoms)))
    weighed = ["--mass-weighted", f"--masses={masses}", "--name=m", "--select=resname PHE"]
    assert "PHE13-CD1 (13 Da)" in twopass(*given, *weighed, code=2).stderr
    nothing = twopass(*given, "--name=ca", "--select=name CA").stderr
    assert "--symmetry changes nothing" in nothing
