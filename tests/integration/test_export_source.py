"""Frames and structures read again from the files that a store was made from, with all their atoms."""

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from trajectory_files import FORMATS, load, make_topology, write
from twopass_store import (
    assign_frames,
    cluster_subset,
    export_coordinates,
    export_structures,
    ingest_trajectories,
    open_results,
)
from twopass_store.errors import ConfigError, TrajectoryError

N_FRAMES = 60


def make_solvated(*, n_waters: int = 5) -> md.Trajectory:
    """Three alanines that hop between two shapes, in water."""
    topology = make_topology(3, n_waters=n_waters)
    rng = np.random.default_rng(5)
    shapes = rng.uniform(0.3, 2, size=(2, topology.n_atoms, 3))
    shape = (rng.random(N_FRAMES) < 0.4).astype(int)
    xyz = shapes[shape] + rng.normal(scale=0.01, size=(N_FRAMES, topology.n_atoms, 3))
    found = md.Trajectory(xyz.astype(np.float32), topology, time=np.arange(N_FRAMES) * 2.0)
    found.unitcell_lengths, found.unitcell_angles = np.full((N_FRAMES, 3), 3.0), np.full((N_FRAMES, 3), 90.0)
    return found


def make_store(files: list[Path], top: Path, **options: object) -> Path:
    store = files[0].parent / "s.zarr"
    ingest_trajectories(store, files, top=top, select="protein", stride=2, discard_first=1, **options)
    cluster_subset(store, select="all", n_clusters=2)
    assign_frames(store)
    return store


@pytest.mark.parametrize("extension", FORMATS)
def test_from_source__is_what_mdtraj_loads(extension, tmp_path):
    solvated = make_solvated()
    parts = np.array_split(np.arange(N_FRAMES), 2)
    files = [write(solvated[part], tmp_path / f"{number}.{extension}") for number, part in enumerate(parts)]
    top = write(solvated[:1], tmp_path / "top.pdb")
    store = make_store(files, top)
    with open_results(store) as results:
        label, medoids = results.label.values, results.medoid_frame.values
    original = md.join([load(file, solvated.topology)[1::2] for file in files])
    assert set(label) == {1, 2}

    export_coordinates(store, tmp_path / "c2.h5", from_source=True, cluster=2)
    found = md.load(tmp_path / "c2.h5")
    assert found.topology.n_atoms == solvated.n_atoms > results.sizes["atom"]
    np.testing.assert_array_equal(found.xyz, original.xyz[label == 2])
    if original.unitcell_lengths is not None:
        np.testing.assert_allclose(found.unitcell_lengths, 3, atol=1e-4)

    export_structures(store, tmp_path / "m.pdb", from_source=True)
    structures, protein = md.load(tmp_path / "m.pdb"), solvated.topology.select("protein")
    expected = original[medoids].superpose(structures, 0, atom_indices=protein)
    np.testing.assert_allclose(structures.xyz, expected.xyz, atol=3e-4)
    assert (tmp_path / "m.pdb").read_text().count("REMARK   6 FRAME") == 2


@pytest.mark.parametrize("options", [[], ["--from-source", "--stride", 3]], ids=["stored", "source"])
def test_each_cluster__has_a_file(options, tmp_path, twopass):
    solvated = make_solvated()
    file = write(solvated, tmp_path / "in.xtc")
    store = make_store([file], write(solvated[:1], tmp_path / "top.pdb"))
    with open_results(store) as results:
        label, atoms = results.label.values, results.sizes["atom"]
    twopass("export", store, "coordinates", "--each-cluster", "all", "--top-to", "out.pdb", *options)
    original = md.load(file, top=solvated.topology)[1::2]
    assert sorted(each.name for each in (tmp_path / "all").iterdir()) == ["cluster_1.xtc", "cluster_2.xtc"]
    for cluster in (1, 2):
        found = md.load(tmp_path / "all" / f"cluster_{cluster}.xtc", top=tmp_path / "out.pdb")
        assert found.n_atoms == (solvated.n_atoms if options else atoms)
        expected = original[np.flatnonzero(label == cluster)[:: 3 if options else 1]]
        np.testing.assert_array_equal(found.xyz, expected.xyz[:, : found.n_atoms])
        np.testing.assert_array_equal(found.time, expected.time)
    words = "exists already"
    assert words in twopass("export", store, "coordinates", "--each-cluster", "all", code=2).stderr
    twopass("export", store, "coordinates", "--each-cluster", "all", "--format", "trr", "--cluster", 2)
    assert (tmp_path / "all" / "cluster_2.trr").exists()
    assert "--to a file" in twopass("export", store, "coordinates", code=2).stderr


def test_from_source__in_any_order(tmp_path):
    solvated = make_solvated()
    files = [write(solvated[part], tmp_path / f"{part.start}.xtc") for part in (slice(0, 40), slice(40, 60))]
    store = make_store(files, write(solvated[:1], tmp_path / "top.pdb"))
    frames = np.random.default_rng(1).permutation(30)
    export_coordinates(store, tmp_path / "out.xtc", frames=frames, from_source=True)
    original = md.load(files, top=solvated.topology)
    kept = np.r_[1:40:2, 41:60:2][frames]
    np.testing.assert_array_equal(
        md.load(tmp_path / "out.xtc", top=solvated.topology).xyz, original.xyz[kept]
    )


@pytest.mark.parametrize("image", ["none", "whole", "anchor=protein"])
def test_from_source__undoes_periodic_images(image, tmp_path, twopass):
    """As mdtraj does; by default as the store was ingested."""
    solvated = make_solvated()
    rng = np.random.default_rng(2)
    solvated.xyz = np.cumsum(rng.normal(scale=0.05, size=solvated.xyz.shape), axis=1).astype(np.float32) % 3
    file, top = write(solvated, tmp_path / "in.xtc"), write(solvated[:1], tmp_path / "top.pdb")
    store = make_store([file], top, image=image)
    twopass("export", store, "coordinates", "--from-source", "--to", "default.h5")
    twopass("export", store, "coordinates", "--from-source", "--image", "whole", "--to", "whole.h5")
    original = md.load(file, top=top)[1::2]
    whole = original.make_molecules_whole()
    expected = {"none": original, "whole": whole}.get(image)
    if expected is None:
        protein, *waters = original.topology.find_molecules()
        bonds = np.array([(a.index, b.index) for a, b in original.topology.bonds], np.int32)
        expected = original.image_molecules(
            anchor_molecules=[protein], other_molecules=waters, sorted_bonds=bonds[np.lexsort(bonds.T[::-1])]
        )
    np.testing.assert_allclose(md.load(tmp_path / "default.h5").xyz, expected.xyz, atol=2e-6)
    np.testing.assert_allclose(md.load(tmp_path / "whole.h5").xyz, whole.xyz, atol=2e-6)


def test_from_source__refuses_other_files(tmp_path, twopass):
    solvated, other = make_solvated(), make_solvated(n_waters=7)
    files = [write(solvated, tmp_path / "a.h5"), write(other, tmp_path / "b.h5")]
    store = make_store(files, files[0])
    with pytest.raises(ConfigError, match=r"a\.h5 and .*b\.h5 have different atoms"):
        export_coordinates(store, tmp_path / "out.xtc", from_source=True)
    export_coordinates(store, tmp_path / "out.xtc", from_source=True, frames="30:")
    assert md.load(tmp_path / "out.xtc", top=files[1]).n_frames == 30
    for options, words in (
        (["--of", "averages", "--from-source"], "--from-source: an average is no frame of a file"),
        (["--image", "whole"], "--image goes with --from-source"),
    ):
        assert words in twopass("export", store, "structures", *options, "--to", "a.pdb", code=2).stderr
    write(solvated[::-1], tmp_path / "a.h5")
    with pytest.raises(TrajectoryError, match="since it was looked at"):
        export_coordinates(store, tmp_path / "c.xtc", from_source=True, frames="0:3")
    (tmp_path / "a.h5").unlink()
    with pytest.raises(TrajectoryError, match=r"a\.h5"):
        export_coordinates(store, tmp_path / "c.xtc", from_source=True, frames="0:3")
    assert not (tmp_path / "c.xtc").exists()
