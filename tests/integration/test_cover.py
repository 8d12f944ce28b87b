"""The cover of a second pass: every frame near a leader, and what the stride had missed found."""

import re
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from kabsch import kabsch_matrix
from small_chunks import small_chunks
from small_stores import files_of, flip
from trajectory_files import make_topology
from twopass_store import (
    assign_frames,
    cluster_subset,
    export_structures,
    ingest_trajectories,
    open_results,
    repair_store,
    store_status,
    summarize,
)
from twopass_store.errors import ConfigError, FingerprintMismatchError
from twopass_store.linkage import Joining
from twopass_store.report import cover_in_words

N_FRAMES = 300
VISIT = slice(131, 136)
"""A visit to a third state, between frames 120 and 140 of the first pass."""


@pytest.fixture(scope="module")
def trajectory() -> md.Trajectory:
    """Two wide states, and a short visit to a third."""
    topology, rng = make_topology(3), np.random.default_rng(5)
    centres = rng.normal(scale=0.3, size=(3, topology.n_atoms, 3))
    state = np.arange(N_FRAMES) // 100 % 2
    state[VISIT] = 2
    walk = np.cumsum(rng.normal(scale=0.004, size=(N_FRAMES, topology.n_atoms, 3)), axis=0)
    xyz = (centres[state] + walk).astype(np.float32)
    return md.Trajectory(xyz, topology, time=10.0 * np.arange(N_FRAMES))


@pytest.fixture(scope="module", autouse=True)
def chunks() -> None:
    with small_chunks(frames=64, position_bytes=16 * 12 * 17, frame_files=3):
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, trajectory: md.Trajectory) -> Path:
    """A store whose first pass saw every 20th frame."""
    folder = tmp_path_factory.mktemp("cover")
    trajectory.save_hdf5(str(folder / "md.h5"))
    ingest_trajectories(folder / "s.zarr", folder / "md.h5", workers=1)
    cluster_subset(folder / "s.zarr", select="all", stride=20, n_clusters=2)
    return folder / "s.zarr"


@pytest.fixture(scope="module")
def distances(trajectory: md.Trajectory) -> np.ndarray:
    return kabsch_matrix(trajectory.xyz, trajectory.xyz)


def greedy_net(distances: np.ndarray, chosen: list[int], radius: float) -> list[int]:
    """Frames that are added in their order, from the square matrix of all distances."""
    leaders = list(chosen)
    for frame in range(len(distances)):
        if distances[frame, leaders].min() > radius:
            leaders.append(frame)
    return leaders[len(chosen) :]


@given(radius=st.floats(0.02, 0.3), workers=st.integers(1, 3))
@settings(max_examples=6, deadline=None, phases=[Phase.generate])
def test_cover__is_the_greedy_net_and_leaves_no_frame_farther_than_it_says(
    store, trajectory, distances, radius, workers
):
    assign_frames(store, cover=radius, workers=workers, restart=True)
    with open_results(store) as results:
        n_cover = results.attrs["n_cover_leaders"]
        leaders, labels = results.leader_frame.values, results.leader_label.values
        label, index, rmsd = (results[name].values for name in ("label", "leader_index", "rmsd_to_leader"))
        positions = results.leader_position.values
    n_chosen = len(leaders) - n_cover
    assert leaders[n_chosen:].tolist() == greedy_net(distances, leaders[:n_chosen].tolist(), radius)
    assert labels[n_chosen:].tolist() == list(range(3, 3 + n_cover))
    np.testing.assert_array_equal(positions, trajectory.xyz[leaders])
    np.testing.assert_array_equal(index, distances[:, leaders].argmin(axis=1))
    np.testing.assert_array_equal(label, labels[index])
    assert rmsd.max() <= radius


def test_state_that_the_stride_missed__is_found_and_told_of(store, twopass, tmp_path):
    assign_frames(store, cover=0.2, restart=True)
    table = twopass("summary", store).stdout
    text = cover_in_words(summarize(store).attrs)
    assert text in table.replace("\n             ", " ")
    assert re.findall(r"[\d.]+%?(?= *[,;]|$| of the frames)", text) == ["1", "1", "1.67%", "1"]
    with open_results(store) as results:
        assert set(results.label.values[VISIT]) == {3}
        assert (results.label == 3).sum() == VISIT.stop - VISIT.start
        assert results.medoid_frame.values[2] == VISIT.start
        assert results.twopass.leaders().n_frames == results.sizes["leader"]
        assert results.twopass.populations().n_frames.values[2] == VISIT.stop - VISIT.start
    found = summarize(store)
    assert found.attrs["n_cover_clusters"] == 1
    assert found.attrs["cover_share"] == pytest.approx(5 / N_FRAMES)
    assert found.first_time_ps.values[2] == 10 * VISIT.start
    assert store_status(store).clusterings["default"]["n_cover_leaders"] == 1
    opened = twopass("summary", store).stdout.partition("Clusters opened by the cover")[2].splitlines()[3]
    assert opened.split() == ["3", "5", "1.67%", "1", "1,310", "1,350"]
    for of, expected in (("medoids", 3), ("leaders", found.attrs["n_leaders"])):
        assert export_structures(store, tmp_path / f"{of}.pdb", of=of).n_frames == expected


@pytest.mark.parametrize("method", ["average", "complete", "single", "weighted"])
def test_joining__goes_by_the_linkage_distance_to_frames_and_those_that_joined(method):
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(c, 0.3, size=(12, 2)) for c in (0, 2, 4)])
    further = rng.uniform(-1, 7, size=(25, 2))
    tree, cutoff = linkage(points, method), {"single": 0.5, "complete": 2.0}.get(method, 1.0)
    labels = fcluster(tree, cutoff, "distance").astype(np.int32)
    # As nested pairs, of which the linkage distance is found by its definition.
    nodes: list[object] = list(range(len(points)))
    for left, right in tree[:, :2].astype(int):
        nodes.append((nodes[left], nodes[right]))
    top = {labels[_first(node)]: node for node in nodes if len({labels[k] for k in _leaves(node)}) == 1}

    joining = Joining(tree, labels, method=method, cutoff=cutoff)
    members = list(points)
    for point in further:
        distances = np.linalg.norm(np.array(members) - point, axis=1)
        to_top = {label: _distance(node, distances, method) for label, node in top.items()}
        expected = min(to_top, key=lambda label: (to_top[label], label))
        if to_top[expected] > cutoff:
            expected = max(top) + 1
        found = joining.label_of(distances.astype(np.float32))
        assert found == expected
        joining.join(found)
        top[found] = (top[found], len(members)) if found in top else len(members)
        members.append(point)
    assert 3 < len(top) < 28


def _leaves(node):
    return [node] if isinstance(node, int) else _leaves(node[0]) + _leaves(node[1])


def _first(node):
    return _leaves(node)[0]


def _distance(node, distances, method):
    of = distances[_leaves(node)]
    if method != "weighted":
        return {"average": of.mean, "complete": of.max, "single": of.min}[method]()
    if isinstance(node, int):
        return distances[node]
    return (_distance(node[0], distances, method) + _distance(node[1], distances, method)) / 2


def test_cover_link__lets_leaders_join_clusters_and_opens_others(store, trajectory):
    assign_frames(store, cover=0.06, cover_link=True, restart=True)
    with open_results(store) as results:
        n_chosen = results.sizes["leader"] - results.attrs["n_cover_leaders"]
        frames, labels = results.leader_frame.values[n_chosen:], results.leader_label.values[n_chosen:]
        subset, subset_label = results.subset_frame.values, results.subset_label.values
        assert results.attrs["n_cover_clusters"] == 1 < len(set(labels))
        assert set(results.label.values[VISIT]) == {3}
    inside = np.isin(frames, subset)
    assert inside.any()
    np.testing.assert_array_equal(labels[inside], subset_label[np.searchsorted(subset, frames[inside])])


def test_too_many_leaders__are_refused_with_a_length_that_fits(store):
    assign_frames(store, restart=True)
    with pytest.raises(
        ConfigError, match=r"more than 12 leaders.*--cover ([\d.]+nm), which needs (\d+)"
    ) as error:
        assign_frames(store, cover="0.2A", max_leaders=12, restart=True)
    length, n_leaders = re.search(r"--cover (\S+nm), which needs (\d+)", str(error.value)).groups()
    assign_frames(store, cover=length, max_leaders=12)
    assert open_results(store).sizes["leader"] == int(n_leaders) <= 12


def test_appended_frames__are_covered_and_those_before_keep_their_values(tmp_path, trajectory):
    first, n_first = tmp_path / "first.h5", 150
    trajectory[:n_first].save_hdf5(str(first))
    trajectory[n_first:].save_hdf5(str(tmp_path / "second.h5"))
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, first, workers=1)
    cluster_subset(store, select="all", stride=20, n_clusters=2)
    names = ("label", "leader_index", "rmsd_to_leader")
    options = {"cover": 0.03, "margin": True}
    assign_frames(store, **options)
    before = [open_results(store)[name].values for name in names]
    ingest_trajectories(store, tmp_path / "second.h5", append=True, workers=1)
    with pytest.raises(ConfigError, match=r"--cover \S+nm --restart, which needs"):
        assign_frames(store, **options, max_leaders=int(before[1].max()) + 1)
    with open_results(store) as results:
        assert results.sizes["leader"] == before[1].max() + 1
        for name, values in zip(names, before, strict=True):
            np.testing.assert_array_equal(results[name].values[:n_first], values)
    assign_frames(store, **options)
    with open_results(store) as results:
        after, n_leaders = [results[name].values for name in names], results.sizes["leader"]
    for values, kept in zip(after, before, strict=True):
        np.testing.assert_array_equal(values[:n_first], kept)
    assert before[1].max() < after[1].max() == n_leaders - 1
    assert np.nanmax(after[2]) <= 0.03
    # What is damaged of them comes back as it was, though there are nearer leaders now.
    whole = files_of(store)
    for array in ("label", "cover_label", "rmsd_to_second"):
        flip(store / "clusterings" / "default" / array / "c.1", 40)
    repair_store(store)
    assign_frames(store, **options)
    assert {name: content for name, content in files_of(store).items() if "/c." in name} == {
        name: content for name, content in whole.items() if "/c." in name
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "cover_nm .stored 0.2, requested absent"),
        ({"cover": 0.1}, "cover_nm .stored 0.2, requested 0.1"),
        ({"cover": 0.2, "cover_link": True}, "cover_link .stored absent, requested True"),
        ({"cover_link": True}, "`cover_link` goes with `cover`"),
        ({"cover": 0.1, "max_leaders": 1, "restart": True}, "`max_leaders` is 1, and there are"),
    ],
)
def test_other_options__are_refused(store, options, said):
    if store_status(store).clusterings["default"].get("cover_nm") != 0.2:
        assign_frames(store, cover=0.2, restart=True)
    with pytest.raises((ConfigError, FingerprintMismatchError), match=said):
        assign_frames(store, **options)


def test_cover_link__is_refused_for_trees_whose_heights_are_no_rmsds(store):
    cluster_subset(store, name="ward", select="all", stride=20, n_clusters=2, linkage="ward")
    with pytest.raises(ConfigError, match="clusters of ward are by ward"):
        assign_frames(store, name="ward", cover=0.2, cover_link=True)
