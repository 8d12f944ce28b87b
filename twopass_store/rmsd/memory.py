"""Upper bounds of the memory that the kernels allocate, for planning before any work starts.

`n_atoms` are compared; a frame has `n_frame_atoms` if it is superposed on a reference first.
"""

from ._packing import frames_at_once
from ._screen import LANES
from ._tile import COLUMNS, ROWS
from .leaders import MAX_WIDTH, PRODUCT_BYTES

__all__ = ["assign_bytes", "near_bytes", "pairwise_bytes"]

FIXED = 16 * 1024
"""Python's objects and what else is small, in bytes."""


def assign_bytes(n_frames: int, n_atoms: int, n_leaders: int, *, n_frame_atoms: int | None = None) -> int:
    """Peak memory of `prepare_leaders` and then one call of `nearest_leaders`, beside the frames themselves.

    With several calls at once, the leaders' share (36 bytes an atom) is counted once too often for each
    further call.
    """
    padded = -(-n_leaders // LANES) * LANES
    leaders = n_leaders * (24 * n_atoms + 8 + 5) + padded * (12 * n_atoms + 4)
    step = min(frames_at_once(n_atoms), n_frames)
    width = min(3 * padded, MAX_WIDTH)
    at_once = min(PRODUCT_BYTES // (12 * width), step)
    scratch = at_once * (12 * n_atoms + 12 * width + 4 * padded)
    library = 4 * n_atoms * (3 * at_once + width)
    converted = _converted_bytes(max(n_frames, n_leaders), 1, n_atoms, n_frame_atoms)
    return leaders + converted + step * (24 * n_atoms + 8) + scratch + library + 12 * n_frames + FIXED


def pairwise_bytes(
    n_frames: int, n_atoms: int, n_pairs_at_once: int, *, n_frame_atoms: int | None = None
) -> int:
    """Peak memory of a `PairwiseRmsd` and of one call of its `pairs`; for no pairs, of the instance alone."""
    padded = -(-n_frames // COLUMNS) * COLUMNS
    packed = padded * (24 * n_atoms + 8) + _converted_bytes(n_frames, COLUMNS, n_atoms, n_frame_atoms)
    if n_pairs_at_once == 0:
        return packed + FIXED
    # One side of the tile, its products, and both sides once more as the library packs them.
    tile = 24 * (ROWS + ROWS + COLUMNS) * n_atoms + 72 * ROWS * COLUMNS + 16 * COLUMNS
    return packed + tile + 4 * n_pairs_at_once + FIXED


def near_bytes(
    n_rows: int, n_columns: int, n_atoms: int, *, n_frame_atoms: int | None = None
) -> tuple[int, int]:
    """Peak memory of a comparison by `NearFrames`: of the rows, and of each thread beside them."""
    # In float64, shifted, and in float32; and as they were read.
    a_frame = 60 * n_atoms + 12 * (n_frame_atoms or n_atoms) + 16
    converted = _converted_bytes(n_columns, COLUMNS, n_atoms, n_frame_atoms)
    # Products and marks, and both sides once more as the library packs them.
    tile = 3 * ROWS * 3 * n_columns * 4 + ROWS * n_columns * 20 + 12 * (ROWS + n_columns) * n_atoms
    rows = n_rows * a_frame + _converted_bytes(n_rows, COLUMNS, n_atoms, n_frame_atoms)
    return rows, n_columns * a_frame + converted + tile + 8 * n_rows + FIXED


def _converted_bytes(n_frames: int, lanes: int, n_atoms: int, n_frame_atoms: int | None) -> int:
    """Copy of frames that aren't contiguous or not of a kernel's type, and of those superposed."""
    whole = n_frame_atoms or n_atoms
    frames = min(n_frames, frames_at_once(whole) + lanes)
    # Weights, their roots and the reference, with the indices of their atoms.
    metric = 96 * whole
    # Fitted atoms twice, measured ones twice.
    return 24 * frames * (whole + (0 if n_frame_atoms is None else 2 * (whole + n_atoms))) + metric
