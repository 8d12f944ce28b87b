"""A run on 10,000 frames of real dynamics, held against plain references."""

import warnings
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
import xarray as xr

from kabsch import kabsch_condensed, kabsch_matrix
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
)
from twopass_store.schema import ASSIGNMENT, ATOM, CLUSTERING, FRAME, SUBSET, TRAJECTORY_FILE

HEAVY = "element != H"


@pytest.fixture(scope="module")
def trajectory(tmp_path_factory) -> tuple[md.Trajectory, Path, Path]:
    """10,000 frames: every 4th of the shared dynamics, or the example's 4,000 where that is absent."""
    from conftest import EXAMPLE, SHARED

    xtc, top = SHARED / "ala2-dynamics.xtc", SHARED / "ala2.pdb"
    if xtc.exists():
        frames = md.load(xtc, top=top, stride=4)
        folder = tmp_path_factory.mktemp("dynamics")
        frames.save_xtc(folder / "dynamics.xtc")
        return frames, folder / "dynamics.xtc", top
    xtc, top = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"
    return md.load(xtc, top=top), xtc, top


@pytest.fixture(scope="module")
def run(trajectory, tmp_path_factory) -> Path:
    _, xtc, top = trajectory
    store = tmp_path_factory.mktemp("run") / "run.zarr"
    ingest_trajectories(store, xtc, top=top)
    cluster_subset(store, select=HEAVY, stride=8, n_clusters=12, leaders_per_cluster=3)
    assign_frames(store)
    return store


def test_assign__finds_the_nearest_leader_of_every_frame(trajectory, run):
    frames, _, _ = trajectory
    heavy = frames.topology.select(HEAVY)
    with open_results(run, "default") as results:
        leaders = frames.xyz[results.leader_frame.values][:, heavy]
        reference = kabsch_matrix(frames.xyz[:, heavy], leaders)
        np.testing.assert_array_equal(results.leader_index.values, reference.argmin(axis=1))
        np.testing.assert_allclose(results.rmsd_to_leader.values, reference.min(axis=1), atol=1e-6, rtol=0)
        labels = results.leader_label.values[results.leader_index.values]
        np.testing.assert_array_equal(results.label.values, labels)


def test_distances__equal_kabsch(trajectory, run):
    frames, _, _ = trajectory
    heavy = frames.topology.select(HEAVY)
    with open_results(run, "default") as results:
        rmsd = results.rmsd.values
        subset = frames.xyz[results.subset_frame.values][:, heavy]
    np.testing.assert_allclose(rmsd, kabsch_condensed(subset), atol=1e-6, rtol=0)


def test_positions__are_bit_identical_to_mdtraj(trajectory, run):
    frames, _, _ = trajectory
    with open_results(run, "default") as results:
        assert results.position.dtype == np.float32
        np.testing.assert_array_equal(results.position.values, frames.xyz)
        np.testing.assert_array_equal(results.time.values, frames.time)
        np.testing.assert_array_equal(results.source_frame.values, np.arange(frames.n_frames))


def test_results__open_plainly_without_a_warning(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with (
            open_results(run, "default") as results,
            xr.open_datatree(run, engine="zarr", consolidated=False) as tree,
        ):
            everything = [*results.variables.values()]
            everything += [variable for node in tree.subtree for variable in node.variables.values()]
            # xarray by itself decodes packed integers to float64.
            np.testing.assert_array_equal(tree["position"].values.astype("f4"), results.position.values)
            np.testing.assert_array_equal(tree["clusterings/default/label"].values, results.label.values)
    for variable in everything:
        # Of a date, xarray keeps them apart.
        assert {**variable.encoding, **variable.attrs}["units"], variable
        assert variable.attrs["long_name"], variable
    always = {spec.name for spec in (*FRAME, *TRAJECTORY_FILE, *ATOM, *SUBSET, *CLUSTERING, *ASSIGNMENT)}
    assert always | {"linkage"} <= set(results.variables)
    assert set(results.dims) & set(results.variables) == {"frame"}
