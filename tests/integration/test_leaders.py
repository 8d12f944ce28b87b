"""Leaders and how faithful they are, from the command to the store."""

import json
import re
import shutil

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import squareform

from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results
from twopass_store.errors import ConfigError


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """1,000 frames each of three files, as one store."""
    import mdtraj as md

    from conftest import EXAMPLE

    folder = tmp_path_factory.mktemp("leaders")
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    for part in range(3):
        frames[part * 1000 : (part + 1) * 1000].save_xtc(folder / f"part{part}.xtc")
    ingest_trajectories(folder / "s.zarr", folder / "part*.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    return folder / "s.zarr"


def test_faithfulness__is_what_the_second_pass_then_does(ingested):
    for method in ("faithful", "medoid", "random"):
        result = cluster_subset(
            ingested, name=method, stride=5, n_clusters=8, linkage="complete", leader_method=method
        )
        assign_frames(ingested, name=method)
        with open_results(ingested, method) as results:
            given = results.label.values[results.subset_frame.values]
            first = results.subset_label.values
            # Distances of the first pass are float32: a frame at a tie may go either way.
            assert result.faithfulness == pytest.approx(np.mean(given == first), abs=0.004)
            for label in range(1, 9):
                share = np.mean(given[first == label] == label)
                assert results.faithfulness.values[label - 1] == pytest.approx(share, abs=0.05)
            assert results.n_confused.values.sum() == round((1 - result.faithfulness) * 600)
            wrong = results.confused_label.values != results.confused_with.values
            assert wrong.all()
            assert results.attrs["faithfulness_overall"] == result.faithfulness
            assert results.attrs["held_out_split"] == "trajectories"
            for name in ("faithfulness", "faithfulness_held_out", "n_confused"):
                assert results[name].attrs["units"] == "1"
                assert results[name].attrs["long_name"]
    tree = xr.open_datatree(ingested, engine="zarr", consolidated=False)
    assert tree["clusterings/medoid/faithfulness"].dims == ("cluster",)


def test_faithful__stops_at_what_is_asked_for(ingested):
    options = {"stride": 5, "n_clusters": 8, "linkage": "complete"}
    medoids = cluster_subset(ingested, name="m", leader_method="medoid", **options)
    assert medoids.n_leaders == 8
    some = cluster_subset(ingested, name="f90", faithfulness=0.9, **options)
    most = cluster_subset(ingested, name="f99", faithfulness=0.99, **options)
    assert medoids.faithfulness < 0.9 <= some.faithfulness < most.faithfulness
    assert medoids.n_leaders < some.n_leaders < most.n_leaders
    few = cluster_subset(ingested, name="few", faithfulness=0.99, max_leaders=10, **options)
    assert few.n_leaders == 10
    with pytest.raises(ConfigError, match="7 leaders can't stand for 8 clusters"):
        cluster_subset(ingested, name="none", max_leaders=7, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"leader_method": "faithful", "leaders_per_cluster": 3}, "max_leaders"),
        ({"leader_method": "medoid", "faithfulness": 0.9}, "`faithfulness` is for leader method faithful"),
        ({"leaders_per_cluster": 2, "max_leaders": 20}, "`max_leaders` is for leader method faithful"),
        ({"faithfulness": 1.5}, "faithfulness"),
        ({"leader_method": "best"}, "leader_method"),
    ],
)
def test_options_that_do_not_go_together__are_refused(ingested, options, words):
    with pytest.raises(ConfigError, match=words):
        cluster_subset(ingested, name="refused", stride=5, n_clusters=3, **options)


def test_command__shows_faithfulness_and_warns_where_it_is_low(ingested, twopass, tmp_path):
    shutil.copytree(ingested, tmp_path / "s.zarr")
    arguments = ("cluster", "s.zarr", "--stride", 10, "--n-clusters", 20, "--linkage", "ward")
    result = twopass(*arguments, "--leader-method", "random", "--name", "loose")
    shown = float(re.search(r"leaders: ([\d.]+)% of the subset", result.stdout)[1]) / 100
    assert shown < 0.8
    assert re.search(r"most often confused: \d+ with \d+ \(\d+ frames\)", result.stdout)
    assert "warning: only" in result.stderr
    assert "use --leader-method faithful" in result.stderr
    again = twopass(*arguments, "--leader-method", "random", "--name", "loose")
    assert "All was done already" in again.stdout
    assert f"{shown:.1%} of the subset" in again.stdout
    good = twopass("cluster", "s.zarr", "--stride", 10, "--n-clusters", 2, "--name", "good")
    assert "warning" not in good.stderr
    status = twopass("status", "s.zarr").stdout
    assert re.search(rf"\nloose +ward +into 20 +20 +{shown:.1%} +\d\d\.\d% +– ", status)
    clusterings = json.loads(twopass("status", "s.zarr", "--json").stdout)["clusterings"]
    assert clusterings["loose"]["faithfulness_overall"] == pytest.approx(shown, abs=6e-4)


def test_held_out__halves_are_whole_runs_where_there_are_runs(ingested, tmp_path):
    folder = ingested.parent
    for part, run in enumerate(("one", "two", "one")):
        (tmp_path / run).mkdir(exist_ok=True)
        shutil.copy(folder / f"part{part}.xtc", tmp_path / run / f"part{part}.xtc")
    from conftest import EXAMPLE

    store = tmp_path / "runs.zarr"
    top = EXAMPLE / "alanine-dipeptide.pdb"
    ingest_trajectories(store, tmp_path / "*/*.xtc", top=top, run_pattern="(one|two)/", overlap="keep")
    result = cluster_subset(store, stride=10, n_clusters=4, leader_method="medoid")
    with open_results(store) as results:
        assert results.attrs["held_out_split"] == "runs"
        run = results.run.values[results.subset_frame.values]
        labels, rmsd = results.subset_label.values, squareform(results.rmsd.values)
    n_right = n_judged = 0
    for half in (run == 0, run == 1):
        known = np.unique(labels[half])
        medoids = []
        for label in known:
            members = np.flatnonzero(half & (labels == label))
            medoids.append(members[rmsd[np.ix_(members, members)].sum(axis=1).argmin()])
        judged = ~half & np.isin(labels, known)
        given = known[rmsd[np.ix_(judged, medoids)].argmin(axis=1)]
        n_right += (given == labels[judged]).sum()
        n_judged += judged.sum()
    assert result.faithfulness_held_out == pytest.approx(n_right / n_judged)
