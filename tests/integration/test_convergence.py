"""The first pass at larger strides, against first passes that were made so."""

import json

import numpy as np
import pytest

from conftest import EXAMPLE
from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results, summarize_clusters
from twopass_store.errors import MemoryBudgetError
from twopass_store.linkage import adjusted_rand


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("convergence") / "s.zarr"
    ingest_trajectories(path, EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"n_clusters": 5},
        {"n_clusters": 4, "linkage": "ward"},
        {"cutoff": "0.9A", "linkage": "complete"},
        {"n_clusters": 3, "linkage_input": "rows"},
        {"method": "gromos", "cutoff": "0.6A"},
    ],
)
def test_larger_strides__are_what_first_passes_with_them_find(store, options):
    name = "-".join(str(value).replace(".", "") for value in options.values())
    cluster_subset(store, name=name, stride=10, **options)
    assign_frames(store, name=name)
    found = summarize_clusters(store, name, convergence=True).convergence
    assert [row.stride for row in found.rows] == [10, 20, 40]
    own = None
    for place, row in enumerate(found.rows):
        other = f"{name}-{row.stride}"
        cluster_subset(store, name=other, stride=row.stride, **options)
        with open_results(store, other) as results:
            labels, frames = results.subset_label.values, results.subset_frame.values
        own = labels if own is None else own
        taken = np.searchsorted(found.subset_frame, frames)
        assert found.subset_frame[taken].tolist() == frames.tolist()
        assert row.n_subset_frames == len(labels)
        assert row.n_clusters == labels.max()
        assert row.adjusted_rand == pytest.approx(adjusted_rand(own[taken], labels))
        matched = found.subset_label[place, taken]
        assert (np.delete(found.subset_label[place], taken) == -1).all()
        # Other names for the same clusters; those that stand for none are one.
        known = matched > 0
        assert len(set(zip(matched[known], labels[known], strict=True))) == len(set(matched[known]))
        for label, share in zip(found.labels, row.shares, strict=True):
            assert (share or 0.0) == pytest.approx(np.mean(matched == label))
        assert sum(share or 0.0 for share in row.shares) <= 1.0 + 1e-12
    assert found.rows[0].adjusted_rand == 1.0
    assert found.to_xarray().share.attrs["units"] == "1"


def test_command__prints_the_table_where_it_is_asked_for(store, twopass):
    cluster_subset(store, name="shown", stride=20, n_clusters=3)
    assign_frames(store, name="shown")
    arguments = ("summary", store, "--name", "shown")
    assert "larger strides" not in twopass(*arguments).stdout
    assert "larger strides" in twopass(*arguments, "--convergence").stdout
    lines = twopass(*arguments, "--convergence", "--format", "csv").stdout.splitlines()
    assert lines[0] == "stride,n_subset_frames,n_clusters,adjusted_rand,rank,label,share"
    assert len(lines) == 1 + 3 * 3
    found = json.loads(twopass(*arguments, "--convergence", "--format", "json").stdout)
    assert [row["stride"] for row in found["convergence"]["rows"]] == [20, 40, 80]


def test_strides_that_leave_too_few_frames__are_left_out(store):
    cluster_subset(store, name="few", stride=800, n_clusters=3)
    assign_frames(store, name="few")
    found = summarize_clusters(store, "few", convergence=True).convergence
    assert [row.n_subset_frames for row in found.rows] == [5, 3]


def test_memory__bounds_it(store):
    cluster_subset(store, name="large", stride=1, n_clusters=3)
    assign_frames(store, name="large")
    with pytest.raises(MemoryBudgetError, match="--convergence needs"):
        summarize_clusters(store, "large", convergence=True, memory="330MiB")
    assert summarize_clusters(store, "large", memory="345MiB").convergence is None
