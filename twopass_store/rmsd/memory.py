"""Upper bounds of the memory that the kernels allocate, for planning before any work starts."""

from ._packing import LANES, blocks_per_slab, n_blocks, padded_atoms
from ._quartic import QUARTIC
from ._screen import SCREEN_FROM, SCREEN_ROWS
from ._tile import ROWS, SCRATCH_BYTES

__all__ = ["assign_bytes", "pairwise_bytes"]

FIXED = 16 * 1024
"""Small arrays of a kernel and Python's objects, in bytes."""


def assign_bytes(n_frames: int, n_atoms: int, n_leaders: int, *, n_frame_atoms: int | None = None) -> int:
    """Peak memory of `prepare_leaders` and then one call of `nearest_leaders`.

    The frames as the caller holds them are not counted. With several calls at once, the leaders' share
    (36 bytes an atom, padded to four atoms) is counted once too often for each further call.
    `rmsd_to_leaders` needs ``4 * n_frames * n_leaders`` on top.

    Parameters
    ----------
    n_frames
        Frames in one call.
    n_atoms
        Atoms that are compared.
    n_leaders
        Number of leaders.
    n_frame_atoms
        Atoms of a frame where frames are superposed on a reference first; the same where None.

    Returns
    -------
    An upper bound, in bytes: leaders, converted and packed slabs, scratch, index and distance.
    """
    leaders = n_leaders * (24 * padded_atoms(n_atoms) + 8)
    # Preparing leaders packs slabs of them too, but is done before frames come.
    slab = _slab_bytes(max(n_frames, n_leaders), n_atoms, n_frame_atoms)
    # prepare_leaders looks for NaN with one byte a leader; index and distance take four each a frame.
    return leaders + _screen_bytes(n_atoms, n_leaders) + n_leaders + slab + _scratch_bytes() + 8 * n_frames


def pairwise_bytes(
    n_frames: int, n_atoms: int, n_pairs_at_once: int, *, n_frame_atoms: int | None = None
) -> int:
    """Peak memory of a `PairwiseRmsd` and of one call of `PairwiseRmsd.pairs`.

    Parameters
    ----------
    n_frames
        Frames of the whole set.
    n_atoms
        Atoms that are compared.
    n_pairs_at_once
        Pairs under way at any moment: those of one call, or of all threads together.
    n_frame_atoms
        Atoms of a frame where frames are superposed on a reference first; the same where None.

    Returns
    -------
    An upper bound, in bytes, for one thread; each further thread adds ``384 * (n_atoms + 3)`` and 40 kB.
    """
    row_bytes = 24 * padded_atoms(n_atoms)
    packed = n_blocks(n_frames) * LANES * (row_bytes + 8)
    # Conversion while packing and rows while computing are never there at once, but are small.
    return (
        packed
        + _converted_bytes(n_frames, n_atoms, n_frame_atoms)
        + _scratch_bytes()
        + ROWS * row_bytes
        + 4 * n_pairs_at_once
    )


def _screen_bytes(n_atoms: int, n_leaders: int) -> int:
    """Leaders and a tile of frames in float32, bounds and what pairs need; nothing for few leaders."""
    if n_leaders < SCREEN_FROM:
        return 0
    row_bytes = 12 * padded_atoms(n_atoms)
    columns = n_blocks(n_leaders) * LANES
    tile = SCREEN_ROWS * (row_bytes + 4 * columns + 4 * (9 * LANES + QUARTIC))
    return columns * (row_bytes + 4) + tile + 4 * n_leaders


def _scratch_bytes() -> int:
    """What the pairs of one tile need."""
    return SCRATCH_BYTES + FIXED


def _converted_bytes(n_frames: int, n_atoms: int, n_frame_atoms: int | None) -> int:
    """Copy of one slab of frames that aren't contiguous or not of a kernel's type, and what is moved."""
    whole = n_frame_atoms or n_atoms
    frames = min(n_frames, blocks_per_slab(whole) * LANES)
    # Weights, their roots and the reference, with the indices of their atoms.
    metric = 96 * whole
    return 24 * frames * (whole + (0 if n_frame_atoms is None else n_atoms)) + metric


def _slab_bytes(n_frames: int, n_atoms: int, n_frame_atoms: int | None) -> int:
    """One packed slab and the copies that it may be made from."""
    blocks = min(n_blocks(n_frames), blocks_per_slab(n_frame_atoms or n_atoms))
    packed = blocks * LANES * (24 * padded_atoms(n_atoms) + 8)
    return packed + _converted_bytes(n_frames, n_atoms, n_frame_atoms)
