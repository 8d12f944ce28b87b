"""The contract of the room: inputs, ties, frames that aren't finite, threads, memory, cache."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from distances import rmsd_to_leaders
from kabsch import kabsch_matrix, plain_rmsd, random_rotations, weighted_kabsch_rmsd
from twopass_store.errors import ConfigError, NonFiniteError, TopologyMismatchError
from twopass_store.rmsd import (
    PairwiseRmsd,
    assign_bytes,
    nearest_leaders,
    pairwise_bytes,
    prepare_leaders,
    superpose,
)

Positions = npt.NDArray[np.float32]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def frames(rng: np.random.Generator, n_frames: int, n_atoms: int) -> Positions:
    base = rng.normal(size=(n_atoms, 3)) * 0.5
    return (base + rng.normal(size=(n_frames, n_atoms, 3)) * 0.1).astype(np.float32)


def all_pairs(xyz: npt.ArrayLike) -> Positions:
    prepared = PairwiseRmsd(xyz)
    return prepared.pairs(0, prepared.n_pairs)


@pytest.mark.parametrize("duplicate_at", [3, 8, 16, 17, 31, 69])
def test_nearest_leaders__tie_goes_to_the_lowest_index(rng: np.random.Generator, duplicate_at: int) -> None:
    xyz = frames(rng, 200, 13)
    leaders = np.tile(frames(rng, 1, 13) + 5, (70, 1, 1)) * rng.uniform(2, 3, size=(70, 1, 1))
    leaders[2] = leaders[duplicate_at] = frames(rng, 1, 13)[0]
    matrix = rmsd_to_leaders(xyz, prepare_leaders(leaders))
    np.testing.assert_array_equal(matrix[:, 2], matrix[:, duplicate_at])
    assert (nearest_leaders(xyz, prepare_leaders(leaders)).index == matrix.argmin(axis=1)).all()
    assert (matrix.argmin(axis=1) == 2).any()


@pytest.mark.parametrize("n_leaders", [1, 2, 15, 16, 17, 100])
@pytest.mark.parametrize("n_frames", [0, 1, 63, 64, 65, 300])
def test_nearest_leaders__any_number_of_frames_and_leaders(
    rng: np.random.Generator, n_frames: int, n_leaders: int
) -> None:
    xyz, leaders = frames(rng, n_frames, 7), frames(rng, n_leaders, 7)
    reference = kabsch_matrix(xyz, leaders)
    nearest = nearest_leaders(xyz, prepare_leaders(leaders))
    np.testing.assert_array_equal(nearest.index, reference.argmin(axis=1))
    np.testing.assert_allclose(nearest.rmsd, reference.min(axis=1), atol=1e-7)
    assert rmsd_to_leaders(xyz, prepare_leaders(leaders)).shape == (n_frames, n_leaders)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rmsd__frames_that_are_not_finite(rng: np.random.Generator, bad: float) -> None:
    xyz = frames(rng, 150, 9)
    clean_nearest = nearest_leaders(xyz, prepare_leaders(xyz[:4]))
    clean_pairs = all_pairs(xyz)
    leaders = prepare_leaders(xyz[:4])
    spoilt = [5, 64, 149]
    xyz[spoilt, [0, 8, 4], [0, 1, 2]] = bad

    nearest = nearest_leaders(xyz, leaders)
    matrix = rmsd_to_leaders(xyz, leaders)
    mask = np.zeros(150, bool)
    mask[spoilt] = True
    assert (nearest.index[mask] == -1).all()
    assert np.isnan(nearest.rmsd[mask]).all()
    assert np.isnan(matrix[mask]).all()
    assert not np.isnan(matrix[~mask]).any()
    np.testing.assert_array_equal(nearest.index[~mask], clean_nearest.index[~mask])
    np.testing.assert_array_equal(nearest.rmsd[~mask], clean_nearest.rmsd[~mask])
    i, j = np.triu_indices(150, 1)
    touched = mask[i] | mask[j]
    pairs = all_pairs(xyz)
    assert np.isnan(pairs[touched]).all()
    np.testing.assert_array_equal(pairs[~touched], clean_pairs[~touched])


def test_prepare_leaders__refuses_leaders_that_are_not_finite(rng: np.random.Generator) -> None:
    xyz = frames(rng, 5, 4)
    xyz[3, 0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"1 of 5 leaders .* index 3"):
        prepare_leaders(xyz)


def test_prepare_leaders__refuses_none() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        prepare_leaders(np.empty((0, 4, 3), np.float32))


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 2), (2, 0, 3), (1, 2, 4, 3)])
def test_rmsd__refuses_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(TopologyMismatchError, match="n_frames, n_atoms, 3"):
        prepare_leaders(np.zeros(shape))
    with pytest.raises(TopologyMismatchError, match="n_frames, n_atoms, 3"):
        PairwiseRmsd(np.zeros(shape))


def test_rmsd__refuses_other_atom_counts(rng: np.random.Generator) -> None:
    leaders = prepare_leaders(frames(rng, 2, 5))
    with pytest.raises(TopologyMismatchError, match=r"6 atoms .* 5"):
        nearest_leaders(frames(rng, 3, 6), leaders)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 46), (46, 46)])
def test_pairs__refuses_ranges_outside(rng: np.random.Generator, start: int, stop: int) -> None:
    with pytest.raises(ConfigError, match="45 pairs"):
        PairwiseRmsd(frames(rng, 10, 3)).pairs(start, stop)


@pytest.mark.parametrize("n_frames", [0, 1, 2, 3])
def test_pairs__few_frames(rng: np.random.Generator, n_frames: int) -> None:
    prepared = PairwiseRmsd(frames(rng, n_frames, 4))
    assert prepared.n_frames == n_frames
    assert prepared.n_atoms == 4
    assert prepared.pairs(0, prepared.n_pairs).shape == (n_frames * (n_frames - 1) // 2,)


@pytest.mark.parametrize("n_frames", [2, 17, 64, 65, 130])
def test_pairs__every_pair_finds_its_row(rng: np.random.Generator, n_frames: int) -> None:
    xyz = frames(rng, n_frames, 5)
    prepared = PairwiseRmsd(xyz)
    whole = prepared.pairs(0, prepared.n_pairs)
    one_by_one = np.concatenate([prepared.pairs(k, k + 1) for k in range(prepared.n_pairs)])
    np.testing.assert_array_equal(whole, one_by_one)
    i, j = np.triu_indices(n_frames, 1)
    np.testing.assert_allclose(whole, kabsch_matrix(xyz, xyz)[i, j], atol=1e-7)


def test_rmsd__layouts_and_types_give_the_same_bits(rng: np.random.Generator) -> None:
    xyz = np.round(frames(rng, 140, 11) * 100)
    expected, expected_pairs = nearest_leaders(xyz, prepare_leaders(xyz[:20])), all_pairs(xyz)
    read_only = xyz.copy()
    read_only.flags.writeable = False
    padded = np.zeros((280, 13, 4), np.float32)
    padded[::2, 1:12, :3] = xyz
    variants = [
        xyz.astype(np.float64),
        np.asfortranarray(xyz),
        padded[::2, 1:12, :3],
        read_only,
        xyz.astype(">f4"),
        xyz.astype(np.int16),
        xyz.astype(np.float16),
    ]
    for variant in variants:
        found = nearest_leaders(variant, prepare_leaders(variant[:20]))
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.rmsd, expected.rmsd)
        np.testing.assert_array_equal(all_pairs(variant), expected_pairs)


def test_rmsd__float64_input_keeps_its_digits(rng: np.random.Generator) -> None:
    xyz = frames(rng, 2, 10).astype(np.float64) + 1e5
    xyz[1] = xyz[0] + rng.normal(size=(10, 3)) * 1e-4
    np.testing.assert_allclose(all_pairs(xyz)[0], kabsch_matrix(xyz[:1], xyz[1:])[0, 0], rtol=1e-4)


def test_rmsd__threads_give_the_same_bits(rng: np.random.Generator) -> None:
    xyz = frames(rng, 700, 22)
    leaders = prepare_leaders(xyz[::30])
    prepared = PairwiseRmsd(xyz)
    nearest, pairs = nearest_leaders(xyz, leaders), prepared.pairs(0, prepared.n_pairs)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda k: nearest_leaders(xyz[k : k + 37], leaders), range(0, 700, 37)))
        cuts = [*range(0, prepared.n_pairs, 9973), prepared.n_pairs]
        ranges = list(pool.map(prepared.pairs, cuts[:-1], cuts[1:]))
    np.testing.assert_array_equal(np.concatenate([p.index for p in pieces]), nearest.index)
    np.testing.assert_array_equal(np.concatenate([p.rmsd for p in pieces]), nearest.rmsd)
    np.testing.assert_array_equal(np.concatenate(ranges), pairs)


def test_rmsd__prepared_objects_travel_to_processes(rng: np.random.Generator) -> None:
    xyz = frames(rng, 30, 6)
    leaders, pairwise = prepare_leaders(xyz[:3]), PairwiseRmsd(xyz)
    again, pairwise_again = pickle.loads(pickle.dumps((leaders, pairwise)))
    np.testing.assert_array_equal(rmsd_to_leaders(xyz, again), rmsd_to_leaders(xyz, leaders))
    np.testing.assert_array_equal(pairwise_again.pairs(10, 99), pairwise.pairs(10, 99))


@pytest.mark.parametrize(
    ("n_frames", "n_atoms", "n_leaders"), [(100, 22, 10), (5000, 22, 500), (3000, 300, 100), (200, 3001, 300)]
)
def test_assign_bytes__bounds_what_is_allocated(
    rng: np.random.Generator, n_frames: int, n_atoms: int, n_leaders: int
) -> None:
    xyz = rng.normal(size=(n_frames, n_atoms, 3)).astype(np.float16)
    chosen = xyz[:n_leaders]
    nearest_leaders(xyz[:1], prepare_leaders(xyz[:1]))
    tracemalloc.start()
    leaders = prepare_leaders(chosen)
    nearest_leaders(xyz, leaders)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # What tracemalloc doesn't see: copies in the BLAS library.
    unseen = 4 * n_atoms * (3 * 64 + 384) + 200_000
    assert peak <= assign_bytes(n_frames, n_atoms, len(chosen)) <= 1.5 * peak + unseen


@pytest.mark.parametrize(("n_frames", "n_atoms"), [(100, 22), (2000, 22), (300, 300), (70, 3001)])
def test_pairwise_bytes__bounds_what_is_allocated(
    rng: np.random.Generator, n_frames: int, n_atoms: int
) -> None:
    xyz = rng.normal(size=(n_frames, n_atoms, 3)).astype(np.float16)
    all_pairs(xyz[:2])
    tracemalloc.start()
    prepared = PairwiseRmsd(xyz)
    n_pairs = min(prepared.n_pairs, 10_000)
    prepared.pairs(0, n_pairs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    unseen = 24 * 128 * n_atoms + 200_000
    assert peak <= pairwise_bytes(n_frames, n_atoms, n_pairs) <= 1.5 * peak + unseen


def test_superpose__recovers_a_moved_structure(rng: np.random.Generator) -> None:
    reference = rng.normal(size=(12, 3))
    xyz = (reference @ random_rotations(rng, 6) + rng.normal(size=(6, 1, 3)) * 50).astype(np.float32)
    before = xyz.copy()
    np.testing.assert_allclose(superpose(xyz, reference), np.broadcast_to(reference, xyz.shape), atol=2e-5)
    np.testing.assert_array_equal(xyz, before)


def test_superpose__fits_on_some_atoms_and_never_mirrors(rng: np.random.Generator) -> None:
    reference = rng.normal(size=(12, 3))
    xyz = (reference * [-1, 1, 1])[np.newaxis].astype(np.float32)
    xyz[0, 11] = np.nan
    fitted = np.arange(1, 11)
    moved = superpose(xyz, reference, atom_indices=fitted)
    assert np.isnan(moved[0, 11]).all()
    assert np.isfinite(moved[0, :11]).all()
    distance = np.sqrt(((moved[0, fitted] - reference[fitted]) ** 2).sum() / 10)
    best = kabsch_matrix(xyz[:, fitted], reference[np.newaxis, fitted])[0, 0]
    assert distance == pytest.approx(best, abs=1e-6)
    assert best > 0.1
    chirality = [np.linalg.det(a[[2, 3, 4]] - a[1]) for a in (xyz[0].astype(float), moved[0].astype(float))]
    assert chirality[0] == pytest.approx(chirality[1], rel=1e-4)


def test_superpose__by_weights_leaves_the_least_weighted_distance(rng: np.random.Generator) -> None:
    xyz, masses = frames(rng, 5, 9), rng.choice([1.008, 12.011, 32.06], size=9)
    moved = superpose(xyz, xyz[0], weights=masses)
    distance = plain_rmsd(moved, xyz[0], masses)
    np.testing.assert_allclose(distance, weighted_kabsch_rmsd(xyz, xyz[0], masses), atol=1e-6)
    assert (distance[1:] < plain_rmsd(superpose(xyz, xyz[0]), xyz[0], masses)[1:]).all()
    with pytest.raises(ConfigError, match="index 0"):
        superpose(xyz, xyz[0], weights=np.zeros(9))


def test_superpose__frames_and_references_that_are_not_finite(rng: np.random.Generator) -> None:
    xyz = frames(rng, 3, 5)
    xyz[1, 2, 0] = np.inf
    moved = superpose(xyz, xyz[0])
    assert np.isnan(moved[1]).all()
    assert np.isfinite(moved[[0, 2]]).all()
    with pytest.raises(NonFiniteError, match="reference"):
        superpose(xyz, xyz[1])
    with pytest.raises(TopologyMismatchError, match="0 to 4"):
        superpose(xyz, xyz[0], atom_indices=[1, 5])
    with pytest.raises(TopologyMismatchError, match="atoms"):
        superpose(xyz, xyz[0, :4])
