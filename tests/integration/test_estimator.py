"""`TwoPassClustering` in memory gives what the store gives, for all that holds positions."""

import numpy as np
import pytest
from sklearn.base import clone

from kabsch import kabsch_rmsd
from trajectory_files import make_trajectory
from twopass_store import (
    TwoPassClustering,
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    nearest,
    open_results,
    rmsd_matrix,
)
from twopass_store.errors import ConfigError, TopologyMismatchError

FRAMES = make_trajectory(120, n_residues=2, seed=5)


@pytest.mark.parametrize(
    "options",
    [
        {"n_clusters": 4, "stride": 3},
        {
            "n_clusters": 3,
            "stride": 2,
            "linkage": "ward",
            "leader_method": "medoid",
            "label_order": "linkage",
        },
        {"n_clusters": 3, "linkage_input": "rows", "leader_method": "random", "seed": 3},
        {"method": "gromos", "cutoff": 0.08, "stride": 2},
        {"cutoff": 0.1, "stride": 3, "rule": "first-within", "keep_subset_labels": True},
    ],
)
def test_fit__gives_what_the_store_gives(tmp_path, options):
    FRAMES.save_xtc(str(tmp_path / "md.xtc"))
    FRAMES[0].save_pdb(str(tmp_path / "top.pdb"))
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, tmp_path / "md.xtc", top=tmp_path / "top.pdb")
    cluster_subset(store, select="all", **options)
    assign_frames(store, noise_cutoff=0.1)
    expected = open_results(store)
    found = TwoPassClustering(noise_cutoff=0.1, **options).fit(expected.position.values)
    for attribute, name in {
        "labels_": "label",
        "rmsd_to_leader_": "rmsd_to_leader",
        "subset_indices_": "subset_frame",
        "subset_labels_": "subset_label",
        "leader_indices_": "leader_frame",
        "leader_labels_": "leader_label",
        "leaders_": "leader_position",
        "medoid_indices_": "medoid_frame",
        "linkage_": "linkage",
    }.items():
        if name in expected:
            np.testing.assert_array_equal(getattr(found, attribute), expected[name], err_msg=attribute)
    by_leaders = expected.label_status.values[7:30] != 4
    predicted = found.predict(expected.position.values[7:30])
    np.testing.assert_array_equal(predicted[by_leaders], expected.label[7:30][by_leaders])
    if "rule" in options:
        with pytest.raises(ConfigError, match=r"`noise_cutoff` 0\.09 is less"):
            TwoPassClustering(noise_cutoff="0.9A", **options).fit(FRAMES)


def test_inputs__of_mdtraj_and_mdanalysis_are_alike():
    mda = pytest.importorskip("MDAnalysis")
    from MDAnalysis.coordinates.memory import MemoryReader

    universe = mda.Universe.empty(FRAMES.n_atoms, trajectory=True)
    universe.load_new(np.float64(FRAMES.xyz) * 10, format=MemoryReader)
    some = np.arange(0, FRAMES.n_atoms, 2)
    matrices = [rmsd_matrix(each) for each in (FRAMES.atom_slice(some), universe.atoms[some])]
    np.testing.assert_allclose(matrices[1], matrices[0], atol=1e-6)
    for one, other in ((0, 1), (5, 90), (119, 3)):
        reference = kabsch_rmsd(FRAMES.xyz[one, some], FRAMES.xyz[other, some])
        assert matrices[0][one, other] == pytest.approx(reference, abs=1e-6)
    found = nearest(FRAMES, FRAMES[[3, 50]])
    np.testing.assert_array_equal(found.index, np.argmin(rmsd_matrix(FRAMES)[:, [3, 50]], axis=1))


def test_estimator__is_cloned_and_says_what_is_wrong():
    made = TwoPassClustering(n_clusters=3, stride=4)
    assert clone(made).get_params() == made.get_params()
    labels = made.fit_predict(FRAMES)
    np.testing.assert_array_equal(clone(made).set_params(n_clusters=3).fit(FRAMES).labels_, labels)
    with pytest.raises(ConfigError, match="n_clusters"):
        TwoPassClustering().fit(FRAMES)
    with pytest.raises(ConfigError, match="select"):
        TwoPassClustering(select="protein")
    with pytest.raises(ConfigError, match="fit"):
        TwoPassClustering(n_clusters=2).predict(FRAMES)
    with pytest.raises(TopologyMismatchError, match=r"\(n_frames, n_atoms, 3\)"):
        made.fit(np.zeros((4, 6)))
