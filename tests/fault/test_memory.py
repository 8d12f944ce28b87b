"""The peak of each command against the figure that its plan names: at 1x and 10x the frames, and cold."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import EXAMPLE, Twopass
from faults import write_trajectories
from measuring import MEBIBYTE, Runs
from twopass_store import ingest_trajectories
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


@pytest.fixture
def runs(tmp_path: Path, twopass: Twopass) -> Runs:
    return Runs(tmp_path, twopass)


@pytest.fixture(scope="module")
def ten_times(peptide: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("ingested") / "run.zarr"
    ingest_trajectories(store, peptide.ten_times, top=peptide.top)
    return store


@pytest.fixture
def ingested(ten_times: Path, tmp_path: Path) -> None:
    """The longer trajectory is in ``run.zarr``."""
    shutil.copytree(ten_times, tmp_path / "run.zarr")


def cluster_arguments(store: str, *, subset_frames: int = SUBSET_FRAMES) -> list[object]:
    return ["cluster", store, "--select", "all", "--subset-frames", subset_frames, "--n-clusters", 10]


def test_memory__peaks_stay_below_the_figures_at_1x_and_10x(peptide: Inputs, runs: Runs) -> None:
    figures = []
    for store, trajectory in (("once.zarr", peptide.once), ("ten-times.zarr", peptide.ten_times)):
        ingest = runs.exactly("ingest", store, trajectory, "--top", peptide.top)
        cluster = runs.exactly(*cluster_arguments(store))
        assign = runs.exactly("assign", store)
        figures.append((ingest, cluster, assign))
    print("figures (MiB) of ingest, cluster, assign at 1x and 10x:", figures)
    # A block is whole only from a few thousand frames on; beyond that nothing grows with the frames.
    (ingest_once, *others_once), (ingest_ten, *others_ten) = figures
    assert ingest_ten <= ingest_once + 16
    assert others_ten == others_once


@pytest.mark.usefixtures("ingested")
def test_memory__superposing_on_a_reference_keeps_to_the_figures(runs: Runs) -> None:
    chosen = ["--select", "resid 0", "--align-to", 0, "--align-select", "resid > 0", "--mass-weighted"]
    for arguments in ([*cluster_arguments("run.zarr"), *chosen], ["assign", "run.zarr"]):
        runs.within(*arguments, memory=runs.figure(*arguments))


def test_memory__all_frames_keep_to_the_figure(peptide: Inputs, runs: Runs) -> None:
    ingest_trajectories(runs.folder / "run.zarr", peptide.once, top=peptide.top)
    # All pairs are near: with 130 MiB more, the lists have room for them.
    chosen = ["--method", "gromos", "--cutoff", "5nm", "--all-frames", "--restart"]
    arguments = ["cluster", "run.zarr", "--select", "all", *chosen]
    figure = runs.figure(*arguments)
    for memory in (figure, figure + 130):
        runs.within(*arguments, memory=memory)


@pytest.mark.usefixtures("ingested")
def test_memory__the_square_matrix_of_hdbscan_keeps_to_the_figure(runs: Runs) -> None:
    pytest.importorskip("sklearn")
    options = ["--subset-frames", 4_000, "--select", "all", "--min-samples", 3]
    arguments = ["cluster", "run.zarr", "--method", "hdbscan", *options]
    runs.within(*arguments, memory=runs.figure(*arguments))


@pytest.mark.usefixtures("ingested")
def test_memory__first_run_compiles_within_the_figures(runs: Runs, tmp_path: Path, twopass: Twopass) -> None:
    """A user's first run has no machine code cached yet."""
    cache = tmp_path / "cache"
    cache.mkdir()
    cold = Runs(tmp_path, twopass, env={"NUMBA_CACHE_DIR": str(cache)})
    arguments = cluster_arguments("run.zarr")
    cold.within(*arguments, memory=cold.figure(*arguments))
    assert any(cache.rglob("*.nbi")), "nothing was compiled"


@pytest.mark.usefixtures("ingested")
def test_memory__refused_subset_names_the_largest_that_fits_and_it_does(runs: Runs) -> None:
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


@pytest.mark.usefixtures("ingested")
def test_memory__workers_are_fewer_where_memory_is_short(runs: Runs) -> None:
    cluster, assign = cluster_arguments("run.zarr"), ["assign", "run.zarr", "--workers", 8]
    runs.within(*cluster, "--workers", 8, memory=runs.figure(*cluster))
    budget = runs.figure(*assign)
    result = runs.within(*assign, memory=budget)
    assert f"1 of 8 workers, as {budget} MiB of memory have no room for more" in result.stderr
