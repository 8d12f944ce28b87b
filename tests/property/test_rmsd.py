"""What holds of minimal RMSD whatever the structures, and of the kernels however they are called."""

from itertools import pairwise, permutations, product

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distances import rmsd_to_leaders
from kabsch import aligned_positions, kabsch_matrix, plain_rmsd, random_rotations, weighted_kabsch_rmsd
from twopass_store.rmsd import (
    Alignment,
    Metric,
    PairwiseRmsd,
    best_permutations,
    nearest_leaders,
    prepare_leaders,
)

Positions = npt.NDArray[np.float32]

settings.register_profile("rmsd", derandomize=True, deadline=None, max_examples=60)
PROFILE = settings.get_profile("rmsd")


def coordinates(
    n_frames: st.SearchStrategy[int], n_atoms: st.SearchStrategy[int]
) -> st.SearchStrategy[Positions]:
    """Coordinates on a coarse grid or none, so that coincidences and degenerate shapes come up often."""
    element = st.one_of(
        st.integers(-2, 2).map(float), st.floats(-5, 5, width=32, allow_nan=False, allow_infinity=False)
    )
    shapes = st.tuples(n_frames, n_atoms, st.just(3))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=element))


FEW = coordinates(st.integers(3, 6), st.integers(1, 7))


def matrix(x: npt.ArrayLike, y: npt.ArrayLike) -> Positions:
    return rmsd_to_leaders(x, prepare_leaders(y))


@PROFILE
@given(FEW)
def test_rmsd__is_a_metric_and_that_of_kabsch(xyz: Positions) -> None:
    d = matrix(xyz, xyz).astype(np.float64)
    np.testing.assert_allclose(d, kabsch_matrix(xyz, xyz), rtol=1e-6, atol=1e-7)
    assert (d >= 0).all()
    assert (np.diagonal(d) == 0).all()
    np.testing.assert_allclose(d, d.T, rtol=1e-6, atol=1e-7)
    assert (d[:, :, np.newaxis] <= d[:, np.newaxis, :] + d.T[np.newaxis, :, :] + 1e-6).all()


@PROFILE
@given(FEW, st.integers(0, 2**32 - 1))
def test_rmsd__does_not_see_rotation_translation_or_atom_order(xyz: Positions, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(xyz.shape[1])
    turns, shifts = random_rotations(rng, len(xyz)), rng.normal(size=(len(xyz), 1, 3)) * 100
    moved = (xyz.astype(np.float64) @ turns + shifts)[:, order]
    np.testing.assert_allclose(matrix(moved, xyz[:, order]), matrix(xyz, xyz), rtol=1e-6, atol=1e-7)


@PROFILE
@given(
    st.integers(2, 200),
    st.integers(1, 9),
    st.lists(st.integers(0, 20_000), max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_pairs__any_cutting_gives_the_same_bits(
    n_frames: int, n_atoms: int, cuts: list[int], seed: int
) -> None:
    xyz = np.random.default_rng(seed).normal(size=(n_frames, n_atoms, 3)).astype(np.float32)
    xyz[n_frames // 2] = xyz[0]
    prepared = PairwiseRmsd(xyz)
    edges = sorted({0, prepared.n_pairs, *(cut % (prepared.n_pairs + 1) for cut in cuts)})
    pieces = [prepared.pairs(a, b) for a, b in pairwise(edges)]
    whole = prepared.pairs(0, prepared.n_pairs)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    i, j = np.triu_indices(n_frames, 1)
    np.testing.assert_array_equal(whole, matrix(xyz, xyz)[j, i])


@PROFILE
@given(
    st.integers(1, 200),
    st.integers(1, 40),
    st.lists(st.integers(0, 200), max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_nearest_leaders__neither_cutting_nor_order_of_leaders_matters(
    n_frames: int, n_leaders: int, cuts: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(size=(n_frames, 6, 3)).astype(np.float32)
    chosen = rng.normal(size=(n_leaders, 6, 3)).astype(np.float32)
    leaders = prepare_leaders(chosen)
    whole = nearest_leaders(xyz, leaders)
    edges = sorted({0, n_frames, *(cut % (n_frames + 1) for cut in cuts)})
    pieces = [nearest_leaders(xyz[a:b], leaders) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([p.index for p in pieces]), whole.index)
    np.testing.assert_array_equal(np.concatenate([p.rmsd for p in pieces]), whole.rmsd)
    order = rng.permutation(n_leaders)
    shuffled = nearest_leaders(xyz, prepare_leaders(chosen[order]))
    np.testing.assert_array_equal(order[shuffled.index], whole.index)
    np.testing.assert_array_equal(shuffled.rmsd, whole.rmsd)


@PROFILE
@given(coordinates(st.integers(1, 5), st.integers(1, 5)), st.data())
def test_nearest_leaders__duplicated_leaders_tie_exactly(xyz: Positions, data: st.DataObject) -> None:
    picks = data.draw(st.lists(st.integers(0, len(xyz) - 1), min_size=1, max_size=40))
    leaders = xyz[picks]
    nearest = nearest_leaders(xyz, prepare_leaders(leaders))
    for index in nearest.index:
        same = [k for k, pick in enumerate(picks) if (xyz[pick] == leaders[index]).all()]
        assert index == same[0]
    distances = matrix(xyz, leaders)
    np.testing.assert_array_equal(distances[np.arange(len(xyz)), nearest.index], distances.min(axis=1))


@PROFILE
@given(FEW)
def test_rmsd__inputs_are_not_changed(xyz: Positions) -> None:
    before = xyz.copy()
    leaders = prepare_leaders(xyz)
    rows = leaders.rows.copy()
    prepared = PairwiseRmsd(xyz)
    nearest_leaders(xyz, leaders)
    rmsd_to_leaders(xyz, leaders)
    prepared.pairs(0, prepared.n_pairs)
    np.testing.assert_array_equal(xyz, before)
    np.testing.assert_array_equal(leaders.rows, rows)


@settings(PROFILE, max_examples=30)
@given(
    coordinates(st.integers(3, 5), st.just(7)),
    st.lists(st.integers(0, 3), min_size=7, max_size=7),
    st.sampled_from(["fit", "mass", "none", "aligned"]),
)
def test_rmsd__is_the_least_over_a_group_and_a_metric(xyz: Positions, colours: list[int], kind: str) -> None:
    classes = [np.flatnonzero(np.equal(colours, colour)) for colour in set(colours)]
    # All exchanges of the first three of each colour.
    group = np.tile(np.arange(7), (int(np.prod([len(list(permutations(c[:3]))) for c in classes])), 1))
    for order, images in zip(group, product(*(permutations(c[:3]) for c in classes)), strict=True):
        for members, image in zip(classes, images, strict=True):
            order[members[:3]] = image
    masses = 1.0 + np.array(colours)
    on, fitted = np.eye(3), np.array([0, 2, 5])
    metric = {
        "fit": Metric(permutations=group),
        "mass": Metric(weights=masses, permutations=group),
        "none": Metric(fit=False, permutations=group),
        "aligned": Metric(False, None, Alignment(fitted, np.arange(7), on), group),
    }[kind]
    frames = aligned_positions(xyz, on, fitted) if kind == "aligned" else xyz.astype(np.float64)
    of_pair = {"fit": kabsch_matrix, "mass": lambda x, y: weighted_kabsch_rmsd(x[:, None], y, masses)}
    plain = of_pair.get(kind, lambda x, y: plain_rmsd(x[:, None], y))
    each = np.array([plain(frames, frames[:, order]) for order in group])
    expected = each.min(axis=0)
    leaders = prepare_leaders(xyz, metric)
    found = rmsd_to_leaders(xyz, leaders).astype(np.float64)
    # Where three atoms on a line are superposed, any turn about it will do.
    if (
        kind != "aligned"
        or np.linalg.svd(xyz[:, fitted] - xyz[:, fitted].mean(1)[:, None])[1][:, 1].min() > 1e-3
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        best = best_permutations(xyz, xyz[0], metric)
        np.testing.assert_allclose(each[best, range(len(xyz)), 0], expected[:, 0], rtol=1e-6, atol=1e-6)
    above = np.triu_indices(len(xyz), 1)
    pairs = PairwiseRmsd(xyz, metric)
    np.testing.assert_allclose(pairs.pairs(0, pairs.n_pairs), found[above], rtol=1e-6, atol=1e-6)
    nearest = nearest_leaders(xyz, leaders)
    np.testing.assert_array_equal(nearest.rmsd, found.min(axis=1).astype(np.float32))
    assert (found[range(len(xyz)), nearest.index] == found.min(axis=1)).all()
    values = np.unique(found)
    cutoff = float(values[len(values) // 2 :][:2].mean())
    within = np.where(found < cutoff, 0, 1).argmin(axis=1)
    within = np.where((found < cutoff).any(axis=1), within, nearest.index)
    first = nearest_leaders(xyz, leaders, first_within=cutoff)
    if len(values) > 1 and abs(values - cutoff).min() > 1e-5:
        np.testing.assert_array_equal(first.index, within)
        np.testing.assert_array_equal(first.rmsd, found[range(len(xyz)), within].astype(np.float32))
    assert (found[:, :, None] <= found[:, None, :] + found.T[None] + 1e-6).all()
