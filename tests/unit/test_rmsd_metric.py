"""The plain fit, weights, no fit, and one superposition of all frames, each against plain float64."""

import pickle
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from distances import rmsd_to_leaders
from kabsch import aligned_positions, kabsch_matrix, plain_rmsd, random_rotations, weighted_kabsch_rmsd
from twopass_store.errors import ConfigError, NonFiniteError, TopologyMismatchError
from twopass_store.rmsd import (
    Alignment,
    Metric,
    PairwiseRmsd,
    assign_bytes,
    nearest_leaders,
    pairwise_bytes,
    prepare_leaders,
)

Positions = npt.NDArray[np.float32]
Reference = Callable[[npt.NDArray[np.floating], npt.NDArray[np.floating]], npt.NDArray[np.float64]]

KINDS = ["fit", "mass", "no-fit", "no-fit mass", "align", "align mass"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def moved_copies(rng: np.random.Generator, n_frames: int, n_atoms: int) -> Positions:
    base = rng.normal(size=(n_atoms, 3)) * 0.5
    noisy = base + rng.normal(size=(n_frames, n_atoms, 3)) * 0.1
    return (noisy @ random_rotations(rng, n_frames) + rng.normal(size=(n_frames, 1, 3))).astype(np.float32)


def case(kind: str, xyz: Positions, rng: np.random.Generator) -> tuple[Metric, Reference]:
    """A metric, and the same as a function of two sets of structures that gives a matrix."""
    n_atoms = xyz.shape[1]
    masses = rng.choice([1.008, 12.011, 15.999, 196.97], size=n_atoms)
    if kind.startswith("align"):
        fitted = rng.choice(n_atoms, size=max(3, 2 * n_atoms // 3), replace=False)
        measured = rng.choice(n_atoms, size=max(1, n_atoms // 2), replace=False)
        on = xyz[3, fitted].astype(np.float64)
        of_fitted, of_measured = (masses[fitted], masses[measured]) if "mass" in kind else (None, None)
        metric = Metric(
            fit=False, weights=of_measured, alignment=Alignment(fitted, measured, on, weights=of_fitted)
        )

        def reference(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
            left, right = (aligned_positions(a, on, fitted, of_fitted)[:, measured] for a in (x, y))
            return plain_rmsd(left[:, np.newaxis], right, of_measured)

        return metric, reference
    if kind == "fit":
        return Metric(), kabsch_matrix
    if kind == "mass":
        return Metric(weights=masses), lambda x, y: weighted_kabsch_rmsd(x[:, np.newaxis], y, masses)
    weights = masses if "mass" in kind else None
    return Metric(fit=False, weights=weights), lambda x, y: plain_rmsd(x[:, np.newaxis], y, weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_atoms", [3, 4, 22, 200])
def test_metric__agrees_with_plain_float64(rng: np.random.Generator, kind: str, n_atoms: int) -> None:
    xyz = moved_copies(rng, 90, n_atoms)
    before = xyz.copy()
    metric, reference = case(kind, xyz, rng)
    for n_leaders in (7, 40):  # without and with the screening of leaders
        expected = reference(xyz, xyz[:n_leaders])
        leaders = prepare_leaders(xyz[:n_leaders], metric)
        matrix = rmsd_to_leaders(xyz, leaders)
        np.testing.assert_allclose(matrix, expected, atol=1e-7, rtol=1e-6)
        nearest = nearest_leaders(xyz, leaders)
        np.testing.assert_array_equal(nearest.index, matrix.argmin(axis=1))
        np.testing.assert_array_equal(nearest.rmsd, matrix.min(axis=1))
    pairwise = PairwiseRmsd(xyz, metric)
    i, j = np.triu_indices(len(xyz), 1)
    pairs = pairwise.pairs(0, pairwise.n_pairs)
    np.testing.assert_allclose(pairs, reference(xyz, xyz)[i, j], atol=1e-7, rtol=1e-6)
    # The bits of a pair are those of the matrix, so that a leader's members get the distances of the tree.
    inside = i < 40
    np.testing.assert_array_equal(pairs[inside], matrix[j[inside], i[inside]])
    np.testing.assert_array_equal(xyz, before)


@pytest.mark.parametrize("n_atoms", [1, 2])
@pytest.mark.parametrize("kind", ["fit", "mass", "no-fit", "no-fit mass"])
def test_metric__of_one_and_two_atoms(rng: np.random.Generator, kind: str, n_atoms: int) -> None:
    xyz = moved_copies(rng, 20, n_atoms)
    metric, reference = case(kind, xyz, rng)
    found = rmsd_to_leaders(xyz, prepare_leaders(xyz, metric))
    np.testing.assert_allclose(found, reference(xyz, xyz), atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_metric__is_as_good_a_thousand_nanometres_away(rng: np.random.Generator, kind: str) -> None:
    """Without the origin's help: positions and distances as in float64, which holds 1e-13 nm there."""
    xyz = moved_copies(rng, 30, 12).astype(np.float64)
    xyz[1:] = xyz[0] + rng.normal(size=(29, 12, 3)) * np.geomspace(1e-6, 1e-1, 29)[:, np.newaxis, np.newaxis]
    xyz += 1000.0
    metric, reference = case(kind, xyz, rng)
    found = rmsd_to_leaders(xyz, prepare_leaders(xyz, metric))
    np.testing.assert_allclose(found, reference(xyz, xyz), atol=1e-9, rtol=1e-6)


def test_no_fit__of_identical_frames_is_exactly_0_and_of_a_shift_its_length(rng: np.random.Generator) -> None:
    xyz = (moved_copies(rng, 1, 50) + 1000).astype(np.float32)
    shifted = xyz.astype(np.float64) + np.array([0.003, 0.004, 0.0])
    leaders = prepare_leaders(np.concatenate([xyz, xyz]), Metric(fit=False))
    np.testing.assert_array_equal(rmsd_to_leaders(xyz, leaders), 0.0)
    np.testing.assert_allclose(rmsd_to_leaders(shifted, leaders), 0.005, rtol=1e-6)


def test_align__does_not_see_how_frames_lie(rng: np.random.Generator) -> None:
    xyz = moved_copies(rng, 40, 15).astype(np.float64)
    metric, _ = case("align", xyz, rng)
    turned = xyz @ random_rotations(rng, 40) + rng.normal(size=(40, 1, 3)) * 50
    there = rmsd_to_leaders(turned, prepare_leaders(xyz, metric))
    np.testing.assert_allclose(there, rmsd_to_leaders(xyz, prepare_leaders(xyz, metric)), atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_metric__frames_that_are_not_finite(rng: np.random.Generator, kind: str, bad: float) -> None:
    xyz = moved_copies(rng, 150, 9)
    metric, _ = case(kind, xyz, rng)
    leaders = prepare_leaders(xyz[:40], metric)
    clean, pairs_clean = nearest_leaders(xyz, leaders), PairwiseRmsd(xyz, metric).pairs(0, 150 * 149 // 2)
    atoms = np.arange(9)
    if metric.alignment is not None:  # any atom that matters, and one that doesn't
        atoms = np.union1d(metric.alignment.fitted, metric.alignment.measured)
        idle = np.setdiff1d(np.arange(9), atoms)
        xyz[60, idle] = bad
    spoilt = np.array([50, 64, 77, 149])
    xyz[spoilt, rng.choice(atoms, size=4), [0, 1, 2, 1]] = bad
    mask = np.isin(np.arange(150), spoilt)
    nearest = nearest_leaders(xyz, leaders)
    np.testing.assert_array_equal(nearest.index, np.where(mask, -1, clean.index))
    np.testing.assert_array_equal(nearest.rmsd, np.where(mask, np.nan, clean.rmsd))
    assert np.isnan(rmsd_to_leaders(xyz, leaders)[mask]).all()
    i, j = np.triu_indices(150, 1)
    pairs = PairwiseRmsd(xyz, metric).pairs(0, 150 * 149 // 2)
    np.testing.assert_array_equal(pairs, np.where(mask[i] | mask[j], np.nan, pairs_clean))
    with pytest.raises(NonFiniteError, match="1 of 3 leaders"):
        prepare_leaders(xyz[[0, 50, 1]], metric)


@pytest.mark.parametrize("kind", KINDS)
def test_metric__cutting_threads_and_layouts_do_not_matter(rng: np.random.Generator, kind: str) -> None:
    xyz = moved_copies(rng, 210, 13)
    metric, _ = case(kind, xyz, rng)
    leaders = prepare_leaders(xyz[::5], metric)
    whole = nearest_leaders(xyz, leaders)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda k: nearest_leaders(xyz[k : k + 37], leaders), range(0, 210, 37)))
    np.testing.assert_array_equal(np.concatenate([piece.rmsd for piece in pieces]), whole.rmsd)
    again = pickle.loads(pickle.dumps(leaders))
    padded = np.zeros((420, 15, 4), np.float32)
    padded[::2, 1:14, :3] = xyz
    padded.flags.writeable = False
    for variant in (np.asfortranarray(xyz), xyz.astype(np.float64), xyz.astype(">f4"), padded[::2, 1:14, :3]):
        np.testing.assert_array_equal(nearest_leaders(variant, again).rmsd, whole.rmsd)
    prepared = PairwiseRmsd(xyz, metric)
    pairs = prepared.pairs(0, prepared.n_pairs)
    edges = [*range(0, prepared.n_pairs, 997), prepared.n_pairs]
    with ThreadPoolExecutor(8) as pool:
        cut = list(pool.map(prepared.pairs, edges[:-1], edges[1:]))
    np.testing.assert_array_equal(np.concatenate(cut), pairs)


@pytest.mark.parametrize("weights", [[1.0, 0.0, 2.0], [1.0, -1.0, 2.0], [1.0, np.nan, 1.0], [[1.0]], []])
def test_metric__refuses_weights_that_are_none(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"[Ww]eights"):
        Metric(weights=np.array(weights))


def test_metric__refuses_what_does_not_fit_together(rng: np.random.Generator) -> None:
    xyz = moved_copies(rng, 4, 6)
    with pytest.raises(TopologyMismatchError, match="5 weights for 6 atoms"):
        prepare_leaders(xyz, Metric(weights=np.ones(5)))
    with pytest.raises(TopologyMismatchError, match="5 weights for 6 atoms"):
        PairwiseRmsd(xyz, Metric(weights=np.ones(5)))
    alignment = Alignment(np.arange(4), np.array([5]), xyz[0, :4])
    with pytest.raises(ConfigError, match="would undo"):
        Metric(alignment=alignment)
    leaders = prepare_leaders(xyz, Metric(fit=False, alignment=alignment))
    with pytest.raises(TopologyMismatchError, match="5 atoms"):
        nearest_leaders(xyz[:, :5], leaders)
    with pytest.raises(TopologyMismatchError, match="0 to 4"):
        prepare_leaders(xyz[:, :5], Metric(fit=False, alignment=alignment))


def test_alignment__refuses_references_that_leave_a_rotation_open(rng: np.random.Generator) -> None:
    line = np.outer(np.arange(5.0), [0.3, -0.2, 0.5])
    for count, reference in ((2, line[:2]), (5, line), (5, np.zeros((5, 3)))):
        with pytest.raises(ConfigError, match=f"The {count} atoms .* on a line"):
            Alignment(np.arange(count), np.array([0]), reference)
    with pytest.raises(TopologyMismatchError, match="one position"):
        Alignment(np.arange(3), np.array([0]), line)
    line[2, 1] = np.nan
    with pytest.raises(NonFiniteError, match="reference"):
        Alignment(np.arange(5), np.array([0]), line)


@pytest.mark.parametrize(
    ("n_frames", "n_atoms", "n_leaders"), [(5000, 22, 40), (2000, 300, 40), (200, 3001, 5)]
)
@pytest.mark.parametrize("kind", ["fit", "mass", "no-fit", "align mass"])
def test_bytes__bound_what_is_allocated(
    rng: np.random.Generator, kind: str, n_frames: int, n_atoms: int, n_leaders: int
) -> None:
    xyz = rng.normal(size=(n_frames, n_atoms, 3)).astype(np.float16)
    metric, _ = case(kind, xyz, rng)
    size = n_atoms if metric.alignment is None else metric.alignment.measured.size
    of_frame = None if metric.alignment is None else n_atoms
    nearest_leaders(xyz[:1], prepare_leaders(xyz[:1], metric))
    PairwiseRmsd(xyz[:2], metric).pairs(0, 1)
    tracemalloc.start()
    nearest_leaders(xyz, prepare_leaders(xyz[:n_leaders], metric))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    projected = assign_bytes(n_frames, size, n_leaders, n_frame_atoms=of_frame)
    assert peak <= projected
    # What tracemalloc doesn't see: copies in the BLAS library.
    assert kind != "fit" or projected <= 1.5 * peak + 4 * n_atoms * (3 * 64 + 384) + 200_000
    few = min(n_frames, 1000)
    tracemalloc.start()
    PairwiseRmsd(xyz[:few], metric).pairs(0, 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    projected = pairwise_bytes(few, size, 10_000, n_frame_atoms=of_frame)
    assert peak <= projected
    assert kind != "fit" or projected <= 1.5 * peak + 24 * 128 * n_atoms + 200_000
