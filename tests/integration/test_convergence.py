"""The first pass at larger strides, against first passes that were made so."""

import json

import numpy as np
import pytest

from conftest import EXAMPLE
from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results, summarize
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
    found = summarize(store, name, convergence=True)
    assert found.stride.values.tolist() == [10, 20, 40]
    own = None
    for place, stride in enumerate([10, 20, 40]):
        other = f"{name}-{stride}"
        cluster_subset(store, name=other, stride=stride, **options)
        with open_results(store, other) as results:
            labels = results.subset_label.values
        own = labels if own is None else own
        taken = own[:: stride // 10]
        assert found.stride_n_subset_frames[place] == len(labels)
        assert found.stride_n_clusters[place] == labels.max()
        assert found.stride_adjusted_rand[place] == pytest.approx(adjusted_rand(taken, labels))
        # Each share is that of a cluster at this stride which overlaps with the one that it stands for.
        shares = found.stride_share.values[place]
        for label, share in zip(found.cluster.values, shares, strict=True):
            sizes = [np.mean(labels == one) for one in set(labels[taken == label])]
            assert np.isnan(share) or share in [pytest.approx(size) for size in sizes]
        assert np.nansum(shares) <= 1.0 + 1e-12
    assert found.stride_adjusted_rand[0] == 1.0
    np.testing.assert_allclose(found.stride_share[0], found.n_subset_frames / len(own))


def test_command__prints_the_table_where_it_is_asked_for(store, twopass):
    cluster_subset(store, name="shown", stride=20, n_clusters=3)
    assign_frames(store, name="shown")
    arguments = ("summary", store, "--name", "shown")
    assert "larger strides" not in twopass(*arguments).stdout
    assert "larger strides" in twopass(*arguments, "--convergence").stdout
    lines = twopass(*arguments, "--convergence", "--format", "csv").stdout.splitlines()
    assert set(lines[0].split(",")) >= {"stride", "cluster", "stride_adjusted_rand", "stride_share"}
    assert len(lines) == 1 + 3 * 3
    found = json.loads(twopass(*arguments, "--convergence", "--format", "json").stdout)
    assert [row["stride"] for row in found["stride"]] == [20, 40, 80]


def test_memory__bounds_it(store):
    cluster_subset(store, name="large", stride=1, n_clusters=3)
    assign_frames(store, name="large")
    with pytest.raises(MemoryBudgetError, match="--convergence needs"):
        summarize(store, "large", convergence=True, memory="330MiB")
    assert "stride" not in summarize(store, "large", memory="345MiB").dims
