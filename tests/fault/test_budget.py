"""`--memory` where frames, atoms, files or clusters are more, or fewer, than anybody would think of."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from conftest import Twopass
from measuring import Runs
from shapes import write_shape
from twopass_store import ingest_trajectories
from twopass_store.trajectory import topology_bytes, topology_from_json, topology_to_json

READING = 400
"""MiB that commands take which only read, and aren't told how much they may use."""


@contextmanager
def allocating() -> Iterator[list[int]]:
    """Gives a list that holds the peak of what was allocated, in bytes, when the block ends."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def all_stages(
    runs: Runs, trajectory: Path, *, n_frames: int, n_atoms: int, n_clusters: int, subset_frames: int
) -> None:
    """Run every command on a trajectory of that shape, each with the very figure that it names."""
    top = write_shape(trajectory, n_frames=n_frames, n_atoms=n_atoms)
    store = f"{trajectory.stem}.zarr"
    subset = ["--select", "all", "--subset-frames", subset_frames]
    runs.exactly("ingest", store, trajectory, "--top", top)
    # The minimal RMSD of one atom is 0.
    runs.exactly("cluster", store, *subset, "--no-fit", "--n-clusters", n_clusters)
    runs.exactly("assign", store, "--margin", "--noise-cutoff", "0.0001A")
    runs.exactly("recut", store, "--as", "other", "--n-clusters", 1 + n_clusters // 2)
    runs.within("scan", store, *subset, "--n-clusters", "2:5", memory=runs.figure("scan", store, *subset))
    summary = ["summary", store, "--name", "default"]
    runs.within(*summary, memory=runs.figure(*summary))
    read_all(runs, store, n_frames)


def read_all(runs: Runs, store: str, n_frames: int) -> None:
    """Run the commands that only read."""
    runs.bounded("status", store, memory=READING)
    runs.bounded("export", store, "coordinates", "--to", "thin.dcd", "--frames", "::7", memory=READING)
    runs.bounded("export", store, "medoids", "--to", "medoids.pdb", "--name", "default", memory=READING)
    with (runs.folder / "labels.txt").open("w") as file:
        for start in range(0, n_frames, 1 << 20):
            np.savetxt(file, np.arange(start, min(start + (1 << 20), n_frames)) % 5, fmt="%d")
    runs.bounded("compare", store, "--with", "labels.txt", "--name", "default", memory=READING)


def test_budget__as_many_leaders_as_subset_frames(tmp_path: Path, twopass: Twopass) -> None:
    """And every frame is beyond the noise cutoff, but those that lead."""
    runs = Runs(tmp_path, twopass)
    top = write_shape(tmp_path / "few.xtc", n_frames=70_000, n_atoms=3)
    store = ingest_trajectories(tmp_path / "few.zarr", tmp_path / "few.xtc", top=top, wide=True).store
    runs.exactly("cluster", store, "--select", "all", "--stride", 234, "--n-clusters", 300)
    assign = ["assign", store, "--margin", "--noise-cutoff", "0.000001A", "--workers", 8]
    runs.within(*assign, memory=runs.figure(*assign))
    runs.within("summary", store, memory=runs.figure("summary", store))


@pytest.mark.parametrize("extension", ["xtc", "dcd"])
def test_budget__one_frame_of_one_atom(extension: str, tmp_path: Path, twopass: Twopass) -> None:
    trajectory = tmp_path / f"one.{extension}"
    top = write_shape(trajectory, n_frames=1, n_atoms=1)
    twopass("ingest", "one.zarr", trajectory, "--top", top)
    for words in (["cluster", "--n-clusters", 1], ["scan"]):
        said = twopass(words[0], "one.zarr", "--select", "all", *words[1:], code=2).stderr
        assert "The subset has 1 of 1 frames; clustering needs at least 2" in said
    assert "1 file, 1 frame, 1 atom" in twopass("status", "one.zarr").stdout
    twopass("export", "one.zarr", "coordinates", "--to", "again.xtc")
    with md.formats.XTCTrajectoryFile(str(tmp_path / "again.xtc")) as file:
        assert len(file) == 1


@pytest.mark.parametrize("atoms_of_residue", [1, 8])
def test_topology__takes_no_more_memory_than_its_bound(atoms_of_residue: int) -> None:
    topology = md.Topology()
    chain = topology.add_chain()
    before = None
    for atom in range(20_000):
        if atom % atoms_of_residue == 0:
            residue = topology.add_residue("ALA", chain)
        here = topology.add_atom("CA", md.element.carbon, residue)
        if before is not None:
            topology.add_bond(before, here)
        before = here
    text = topology_to_json(topology)
    with allocating() as peak:
        again = topology_from_json(text)
    assert again.n_atoms == 20_000
    assert 0.4 * topology_bytes(text) < peak[0] <= topology_bytes(text)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("extension", ["xtc", "dcd"])
def test_budget__ten_million_frames_of_one_atom(extension: str, tmp_path: Path, twopass: Twopass) -> None:
    runs = Runs(tmp_path, twopass, timeout=1800)
    trajectory = tmp_path / f"long.{extension}"
    all_stages(runs, trajectory, n_frames=10_000_000, n_atoms=1, n_clusters=10, subset_frames=2_000)
    more = tmp_path / f"more.{extension}"
    write_shape(more, n_frames=100_000, n_atoms=1, seed=1)
    runs.exactly("ingest", "long.zarr", more, "--append")
    runs.exactly("assign", "long.zarr", "--name", "default", "--margin", "--noise-cutoff", "0.0001A")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_budget__a_hundred_thousand_atoms(tmp_path: Path, twopass: Twopass) -> None:
    runs = Runs(tmp_path, twopass, timeout=1800)
    all_stages(runs, tmp_path / "wide.xtc", n_frames=50, n_atoms=100_000, n_clusters=5, subset_frames=50)
    three = ["cluster", "wide.zarr", "--select", "index < 3", "--n-clusters", 3, "--name", "three"]
    runs.exactly(*three)
    runs.exactly("assign", "wide.zarr", "--name", "three", "--workers", 8)


@pytest.mark.parametrize("extension", ["pdb", "gro", "h5"])
def test_topology__too_large_is_refused_at_first_sight(
    extension: str, tmp_path: Path, twopass: Twopass
) -> None:
    top = tmp_path / f"many.{extension}"
    few = write_shape(tmp_path / "few.xtc", n_frames=9, n_atoms=3)
    ingest_trajectories(tmp_path / "few.zarr", tmp_path / "few.xtc", top=few)
    topology = md.Topology()
    residue = topology.add_residue("HOH", topology.add_chain())
    for _ in range(30_000):
        topology.add_atom("O", md.element.oxygen, residue)
    md.Trajectory(np.zeros((1, 30_000, 3), np.float32), topology).save(str(top))
    runs = Runs(tmp_path, twopass)
    ingest = ["ingest", "s.zarr", top]
    for words in (ingest, [*ingest, "--plan"], ["assign", "few.zarr", "--leaders", top]):
        said = runs.refused(*words, memory=350)
        assert f"30,000 atoms (many.{extension})" in said and "--memory 415MiB" in said
