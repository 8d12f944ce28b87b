"""The peak of each command against the figure that its plan names: at 1x and 10x the frames, and cold."""

import re
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from conftest import EXAMPLE
from faults import write_trajectories
from measuring import MEBIBYTE, Runs
from trajectory_files import make_topology
from twopass_store.partition import n_pairs

SUBSET_FRAMES = 2_000


@dataclass(frozen=True)
class Inputs:
    """A trajectory and one of ten times its length."""

    top: Path
    once: Path
    ten_times: Path


@pytest.fixture(scope="module")
def peptide(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """22 atoms, 4,000 and 40,000 frames: the tenfold is several units of every kind."""
    folder, top = tmp_path_factory.mktemp("peptide"), EXAMPLE / "alanine-dipeptide.pdb"
    example = EXAMPLE / "alanine-dipeptide.xtc"
    (ten_times,) = write_trajectories(folder, example, top, files=1, frames=40_000)
    return Inputs(top, example, ten_times)


@pytest.fixture(scope="module")
def protein(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """301 atoms, 2,000 and 20,000 frames."""
    folder = tmp_path_factory.mktemp("protein")
    topology = make_topology(43)
    rng = np.random.default_rng(5)
    start = rng.normal(scale=0.8, size=(1, topology.n_atoms, 3)).astype(np.float32)
    md.Trajectory(start, topology).save(str(folder / "top.pdb"))
    inputs = Inputs(folder / "top.pdb", folder / "once.xtc", folder / "ten-times.xtc")
    for path, frames in ((inputs.once, 2_000), (inputs.ten_times, 20_000)):
        with md.formats.XTCTrajectoryFile(str(path), "w") as file:
            for _ in range(0, frames, 1_000):
                noise = rng.normal(scale=0.05, size=(1_000, topology.n_atoms, 3))
                file.write((start + noise).astype(np.float32))
    return inputs


def cluster_arguments(store: str, *, subset_frames: int = SUBSET_FRAMES) -> list[object]:
    return ["cluster", store, "--select", "all", "--subset-frames", subset_frames, "--n-clusters", 10]


@pytest.mark.parametrize("system", ["peptide", pytest.param("protein", marks=pytest.mark.slow)])
def test_memory__peaks_stay_below_the_figures_at_1x_and_10x(
    system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    inputs: Inputs = request.getfixturevalue(system)
    runs = Runs(tmp_path)
    figures = []
    for store, trajectory in (("once.zarr", inputs.once), ("ten-times.zarr", inputs.ten_times)):
        ingest = runs.exactly("ingest", store, trajectory, "--top", inputs.top)
        cluster = runs.exactly(*cluster_arguments(store))
        assign = runs.exactly("assign", store)
        figures.append((ingest, cluster, assign))
    print("figures (MiB) of ingest, cluster, assign at 1x and 10x:", figures)
    # A block is whole only from a few thousand frames on; beyond that nothing grows with the frames.
    (ingest_once, *others_once), (ingest_ten, *others_ten) = figures
    assert ingest_ten <= ingest_once + 16
    assert others_ten == others_once


@pytest.mark.parametrize("system", ["peptide", pytest.param("protein", marks=pytest.mark.slow)])
def test_memory__superposing_on_a_reference_keeps_to_the_figures(
    system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    inputs: Inputs = request.getfixturevalue(system)
    runs = Runs(tmp_path)
    runs.within("ingest", "run.zarr", inputs.ten_times, "--top", inputs.top, memory=2_000)
    chosen = ["--select", "resid 0", "--align-to", 0, "--align-select", "resid > 0", "--mass-weighted"]
    for arguments in ([*cluster_arguments("run.zarr"), *chosen], ["assign", "run.zarr"]):
        runs.within(*arguments, memory=runs.figure(*arguments))


def test_memory__first_run_compiles_within_the_figures(peptide: Inputs, tmp_path: Path) -> None:
    """A user's first run has no machine code cached yet."""
    runs = Runs(tmp_path)
    runs.within("ingest", "run.zarr", peptide.ten_times, "--top", peptide.top, memory=2_000)
    for arguments in (cluster_arguments("run.zarr"), ["assign", "run.zarr"]):
        cache = tmp_path / f"cache-{arguments[0]}"
        cache.mkdir()
        cold = Runs(tmp_path, env={"NUMBA_CACHE_DIR": str(cache)})
        figure = cold.figure(*arguments)
        cold.within(*arguments, memory=figure)
        assert any(cache.rglob("*.nbi")), "nothing was compiled"


def test_memory__refused_subset_names_the_largest_that_fits_and_it_does(
    peptide: Inputs, tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    runs.within("ingest", "run.zarr", peptide.ten_times, "--top", peptide.top, memory=2_000)
    budget = runs.figure(*cluster_arguments("run.zarr", subset_frames=5_000)) + 10
    said = runs.refused(*cluster_arguments("run.zarr", subset_frames=20_000), memory=budget)
    named = re.search(r"the largest that fits has (\d+) frames \(--subset-frames (\d+)\)", said)
    assert named, said
    assert named[1] == named[2]
    largest = int(named[1])
    assert 5_000 <= largest < 20_000
    # The distances in float64 are most of it, so that 10 MiB more give room for few frames more.
    assert 8 * (n_pairs(largest) - n_pairs(5_000)) <= 20 * MEBIBYTE
    runs.within(*cluster_arguments("run.zarr", subset_frames=largest), memory=budget)


def test_memory__workers_are_fewer_where_memory_is_short(peptide: Inputs, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.within("ingest", "run.zarr", peptide.ten_times, "--top", peptide.top, memory=2_000)
    cluster, assign = cluster_arguments("run.zarr"), ["assign", "run.zarr", "--workers", 8]
    runs.within(*cluster, "--workers", 8, memory=runs.figure(*cluster))
    budget = runs.figure(*assign)
    result = runs.within(*assign, memory=budget)
    assert f"1 of 8 workers, as {budget} MiB of memory have no room for more" in result.stderr


@pytest.mark.slow
def test_memory__more_workers_keep_to_a_budget_that_has_room_for_some(
    peptide: Inputs, tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    runs.within("ingest", "run.zarr", peptide.ten_times, "--top", peptide.top, memory=2_000)
    cluster, assign = cluster_arguments("run.zarr"), ["assign", "run.zarr", "--workers", 8]
    runs.within(*cluster, "--workers", 8, memory=runs.figure(*cluster) + 30)
    runs.within(*assign, memory=runs.figure(*assign) + 30)


@pytest.mark.slow
def test_memory__many_threads_before_a_large_linkage_keep_to_the_figure(
    peptide: Inputs, tmp_path: Path
) -> None:
    """What the threads of the distances leave in the heap must not come on top of the linkage."""
    cache = tmp_path / "cache"
    cache.mkdir()
    runs = Runs(tmp_path, env={"NUMBA_CACHE_DIR": str(cache)})
    runs.within("ingest", "run.zarr", peptide.ten_times, "--top", peptide.top, memory=2_000)
    cluster = [*cluster_arguments("run.zarr", subset_frames=10_000), "--workers", 8]
    runs.within(*cluster, memory=runs.figure(*cluster))
