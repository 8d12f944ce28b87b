"""`remove`: a clustering goes whole, then the distances that none uses; all else stays as it is."""

import pytest

from actions import Stopped, stopping_at
from small_chunks import small_chunks
from small_stores import SMALL, copied, files_of, make_small
from twopass_store import (
    assign_frames,
    cluster_subset,
    open_results,
    recut_clustering,
    remove_clustering,
    store_status,
    verify_store,
)
from twopass_store.errors import ConfigError, StageIncompleteError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with a clustering and a scan, and a copy to which two more clusterings were added."""
    with small_chunks(**SMALL):
        small = make_small(tmp_path_factory.mktemp("small"))
        more = copied(small, tmp_path_factory.mktemp("more") / "more")
        recut_clustering(more, name="default", new_name="fine", n_clusters=5, workers=1)
        cluster_subset(more, name="b", select="all", stride=3, linkage="ward", n_clusters=4, workers=1)
        assign_frames(more, name="b", margin=True, workers=1)
        yield small, more


@pytest.mark.parametrize("step", range(0, 81, 8))
def test_remove__leaves_what_was_there_before_the_clustering(made, tmp_path, step):
    small, more = made
    store = copied(more, tmp_path / "copy")
    remove_clustering(store, "fine")
    try:
        with stopping_at(step):
            remove_clustering(store, "b")
            assert list(store_status(store).unused_subsets)
            remove_clustering(store, unused=True)
        assert not step
    except Stopped:
        assert verify_store(store, workers=1).is_whole
        open_results(store, "default").load()
    if (
        "b" in {path.name for path in (store / "clusterings").iterdir()}
        or (store / "journal" / "clustering-b").exists()
    ):
        remove_clustering(store, "b")
    remove_clustering(store, unused=True)
    assert files_of(store) == files_of(small)
    with pytest.raises(StageIncompleteError, match="no clustering 'b'"):
        remove_clustering(store, "b")


def test_removed_clusterings__leave_distances_to_be_removed(made, tmp_path, twopass):
    _, more = made
    store = copied(more, tmp_path / "copy")
    with pytest.raises(ConfigError, match="`unused`"):
        remove_clustering(store)
    assert store_status(store).unused_subsets == {}
    for name in ("default", "fine"):
        twopass("remove", store, "--name", name)
    (unused,) = store_status(store).unused_subsets
    assert f"No clustering uses subset {unused}" in twopass("status", store).stdout
    assert unused in twopass("remove", store, "--unused").stdout
    assert not list(store.glob(f"*/*{unused}*")) and verify_store(store, workers=1).is_whole
    open_results(store, "b").load()
    assert store_status(store).next_command.startswith("twopass summary")
