"""Distances against an independent float64 Kabsch, on structures chosen to be hard."""

from collections.abc import Callable

import mdtraj as md
import numpy as np
import numpy.typing as npt
import pytest

from distances import rmsd_to_leaders
from kabsch import kabsch_condensed, kabsch_matrix, random_rotations
from twopass_store.rmsd import PairwiseRmsd, nearest_leaders, prepare_leaders

Positions = npt.NDArray[np.float32]
N_FRAMES, N_LEADERS = 90, 20
TOLERANCE_NM = 1e-6


def structure(rng: np.random.Generator, n_atoms: int, size: float = 0.5) -> npt.NDArray[np.float64]:
    return rng.normal(size=(n_atoms, 3)) * size


def noisy_copies(rng: np.random.Generator, base: npt.NDArray[np.float64], noise: float) -> Positions:
    moved = (base + rng.normal(size=(N_FRAMES, *base.shape)) * noise) @ random_rotations(rng, N_FRAMES)
    return moved.astype(np.float32)


def mirrored(rng: np.random.Generator, n_atoms: int) -> Positions:
    xyz = noisy_copies(rng, structure(rng, n_atoms), 0.02)
    xyz[::2, :, 0] *= -1.0
    return xyz


def mirrored_symmetric(rng: np.random.Generator, n_atoms: int) -> Positions:
    """Mirror images of bodies with equal moments, where the two largest eigenvalues meet."""
    base = structure(rng, n_atoms)
    base -= base.mean(axis=0)
    u, _, vt = np.linalg.svd(base, full_matrices=False)
    xyz = noisy_copies(rng, np.sqrt(n_atoms) * (u @ vt), 0.0)
    xyz[1::2] = noisy_copies(rng, np.sqrt(n_atoms) * (u @ vt), 1e-4)[1::2]
    xyz[::3] *= -1.0
    return xyz


def planar(rng: np.random.Generator, n_atoms: int) -> Positions:
    xyz = rng.normal(size=(N_FRAMES, n_atoms, 3))
    xyz[:, :, 2] = 0.0
    return (xyz @ random_rotations(rng, N_FRAMES)).astype(np.float32)


def collinear(rng: np.random.Generator, n_atoms: int) -> Positions:
    line = rng.normal(size=(N_FRAMES, n_atoms, 1)) * [[[1.0, 0.0, 0.0]]]
    return (line @ random_rotations(rng, N_FRAMES)).astype(np.float32)


def collinear_identical(rng: np.random.Generator, n_atoms: int) -> Positions:
    line = rng.normal(size=(n_atoms, 1)) * [[0.3, -0.5, 0.8]]
    return np.broadcast_to(line, (N_FRAMES, n_atoms, 3)).astype(np.float32)


def needles(rng: np.random.Generator, n_atoms: int) -> Positions:
    thin = np.geomspace(1e-1, 1e-9, N_FRAMES)[:, np.newaxis, np.newaxis]
    xyz = rng.normal(size=(N_FRAMES, n_atoms, 3)) * np.concatenate([np.ones_like(thin), thin, thin], axis=2)
    return (xyz @ random_rotations(rng, N_FRAMES)).astype(np.float32)


def identical(rng: np.random.Generator, n_atoms: int) -> Positions:
    return np.broadcast_to(structure(rng, n_atoms), (N_FRAMES, n_atoms, 3)).astype(np.float32)


def far_away(rng: np.random.Generator, n_atoms: int) -> Positions:
    offsets = random_rotations(rng, N_FRAMES)[:, :1, :] * 1000.0
    return (noisy_copies(rng, structure(rng, n_atoms), 0.1) + offsets).astype(np.float32)


def unequal_sizes(rng: np.random.Generator, n_atoms: int) -> Positions:
    sizes = np.geomspace(1e-6, 1e3, N_FRAMES)[:, np.newaxis, np.newaxis]
    return (rng.normal(size=(N_FRAMES, n_atoms, 3)) * sizes).astype(np.float32)


def copies(noise: float) -> Callable[[np.random.Generator, int], Positions]:
    return lambda rng, n_atoms: noisy_copies(rng, structure(rng, n_atoms), noise)


CASES: list[tuple[str, Callable[[np.random.Generator, int], Positions], tuple[int, ...]]] = [
    ("noise_0.1", copies(0.1), (1, 2, 3, 4, 22, 301)),
    ("noise_1e-4", copies(1e-4), (2, 3, 22, 100)),
    ("noise_1e-6", copies(1e-6), (3, 22, 100)),
    ("mirrored", mirrored, (4, 22, 100)),
    ("mirrored_symmetric", mirrored_symmetric, (4, 22, 100)),
    ("planar", planar, (3, 22, 100)),
    ("collinear", collinear, (2, 3, 22)),
    ("collinear_identical", collinear_identical, (2, 3, 22)),
    ("needles", needles, (3, 22, 100)),
    ("identical", identical, (1, 3, 22, 1000)),
    ("far_away", far_away, (2, 22, 100)),
]
PARAMETERS = [
    pytest.param(make, n_atoms, id=f"{name}-{n_atoms}") for name, make, counts in CASES for n_atoms in counts
]


def rounding(reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Half a unit in the last place of a float32 result."""
    return 0.5 * np.spacing(reference.astype(np.float32)).astype(np.float64)


@pytest.mark.parametrize(("make", "n_atoms"), PARAMETERS)
def test_rmsd__agrees_with_kabsch(make: Callable[..., Positions], n_atoms: int) -> None:
    xyz = make(np.random.default_rng(n_atoms), n_atoms)
    prepared = prepare_leaders(xyz[:N_LEADERS])
    reference = kabsch_matrix(xyz, xyz[:N_LEADERS])

    matrix = rmsd_to_leaders(xyz, prepared)
    nearest = nearest_leaders(xyz, prepared)
    condensed = PairwiseRmsd(xyz).pairs(0, N_FRAMES * (N_FRAMES - 1) // 2)

    assert matrix.dtype == nearest.rmsd.dtype == condensed.dtype == np.float32
    assert nearest.index.dtype == np.int32
    # The kernel's tolerance, and as much for the reference; but float32 has no exact lines, and the turn
    # about a line as thick as the rounding of its coordinates is lost on both sides.
    allowed = 1e-7 if make in (collinear, collinear_identical, needles) else 2e-9
    assert (np.abs(matrix - reference) - rounding(reference)).max() <= allowed
    assert (np.diagonal(matrix) == 0).all()
    assert np.abs(condensed - kabsch_condensed(xyz)).max() <= TOLERANCE_NM
    # The winner may differ from the reference's only between distances that float64 can't tell apart.
    won = reference[np.arange(N_FRAMES), nearest.index]
    assert (won - reference.min(axis=1)).max() <= 1e-8
    assert np.abs(nearest.rmsd - reference.min(axis=1)).max() <= TOLERANCE_NM
    for distances in (matrix, nearest.rmsd, condensed):
        assert (distances >= 0).all()


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e19])
@pytest.mark.parametrize(
    ("make", "n_atoms"), [*PARAMETERS, pytest.param(unequal_sizes, 22, id="unequal_sizes")]
)
def test_nearest_leaders__screening_changes_no_bit(
    make: Callable[..., Positions], n_atoms: int, scale: float
) -> None:
    xyz = make(np.random.default_rng(300 + n_atoms), n_atoms) * scale
    for chosen in (xyz, xyz[::2]):  # every frame at zero from itself, and every other one not
        leaders = prepare_leaders(chosen)
        screened, every = nearest_leaders(xyz, leaders), rmsd_to_leaders(xyz, leaders)
        np.testing.assert_array_equal(screened.rmsd, every.min(axis=1))
        np.testing.assert_array_equal(screened.rmsd, every[np.arange(N_FRAMES), screened.index])


@pytest.mark.parametrize("n_atoms", [2, 3, 22, 100])
def test_rmsd__structures_of_very_unequal_size(n_atoms: int) -> None:
    xyz = unequal_sizes(np.random.default_rng(0), n_atoms)
    reference = kabsch_matrix(xyz, xyz)
    matrix = rmsd_to_leaders(xyz, prepare_leaders(xyz))
    np.testing.assert_allclose(matrix, reference, rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("n_atoms", [1, 3, 22, 1000])
def test_rmsd__identical_frames_are_at_zero(n_atoms: int, scale: float) -> None:
    xyz = identical(np.random.default_rng(1), n_atoms) * np.float32(scale)
    assert (PairwiseRmsd(xyz).pairs(0, N_FRAMES * (N_FRAMES - 1) // 2) == 0).all()
    nearest = nearest_leaders(xyz, prepare_leaders(xyz[:3]))
    assert (nearest.rmsd == 0).all()
    assert (nearest.index == 0).all()


def test_rmsd__all_atoms_in_one_place() -> None:
    xyz = np.zeros((3, 5, 3), np.float32)
    xyz[2] = np.random.default_rng(2).normal(size=(5, 3))
    spread = float(np.sqrt(((xyz[2] - xyz[2].mean(axis=0)) ** 2).sum() / 5))
    np.testing.assert_allclose(PairwiseRmsd(xyz).pairs(0, 3), [0.0, spread, spread], rtol=1e-6)


@pytest.mark.parametrize("n_atoms", [22, 100, 300])
def test_rmsd__agrees_with_mdtraj_as_far_as_that_goes(n_atoms: int) -> None:
    xyz = noisy_copies(np.random.default_rng(4), structure(np.random.default_rng(5), n_atoms), 0.1)
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(n_atoms):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("ALA", chain))
    trajectory = md.Trajectory(xyz.copy(), topology)
    expected = np.stack(
        [md.rmsd(trajectory, md.Trajectory(one[np.newaxis].copy(), topology), 0) for one in xyz[:7]], axis=1
    )
    np.testing.assert_allclose(rmsd_to_leaders(xyz, prepare_leaders(xyz[:7]))[8:], expected[8:], atol=2e-5)
