"""The nearest leader of each frame: lower bounds in float32 for all, float64 for those that remain.

The bounds hold whatever the rounding, and nothing of them is returned, so that results don't depend on how
the library sums up a matrix product. With u = 2⁻²⁴, in units of E = (Σ|x|² + Σ|y|²)/2:

- With M the inner products over E, F = ‖M‖², D = det M and N = ‖cof M‖², the largest root λ of
  p = (λ² − F)² − 8Dλ − 4N gives RMSD² = 2E(1 − λ)/A. In singular values, λ = s₁ + s₂ ± s₃, and Cauchy's
  inequality bounds it by √(F + 2√(3N)).
- Each inner product is wrong by at most γ Σ|x||y|, where γ counts the roundings on its way, one an atom. λ
  is the largest tr(RᵀM), so it moves by no more than the singular values of the error together, which is
  √3 γ at most (Cauchy and Schwarz, twice). That is the slack: λ of the rounded M is up to 1 + slack.
- ‖M‖ ≤ 1 bounds every intermediate. The quartic's value is wrong by less than 50 u: 20 u from 4N, 14 u from
  (λ² − F)², 11 u from 8Dλ, 5 u from their sum. Its slope is wrong by less than 60 u: 40 u from F alone. So
  `NOISE` leaves as much again for the rounding of the step itself. Newton's step from above, with the value
  taken as smaller and the slope as larger by `NOISE`, ends above λ.

Then RMSD² ≥ 2E(1 − λ − slack)/A. The leader with the lowest bound is compared first; the others follow whose
bound reaches the distance found, so ties are found too. Of few leaders, all are compared in float64. Where
the first leader within a cutoff is wanted, those are compared in order whose bound lies within it, up to the
first whose distance, rounded to float32 as those of the first pass are, does.

References
----------
Theobald, Acta Cryst. A 61 (2005) 478: the largest eigenvalue of the key matrix, without diagonalising.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import inlined, kernel
from ._pair import fitted_squared, invariants, plain_squared

__all__ = ["LANES", "NO_LABEL", "ZERO", "nearest_fitted", "nearest_plain"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]

LANES = 16
"""Leaders in a block, the leader index fastest; vector loops run over them."""

U = 2.0**-24
NOISE = np.float32(128 * U)
ZERO, HALF, ONE, TWO, THREE, FOUR, EIGHT = (np.float32(x) for x in (0, 0.5, 1, 2, 3, 4, 8))

TINY, HUGE = np.float32(1e-30), np.float32(1e30)
"""Squared sizes, nm², beyond which float32 may underflow or overflow: there the bound is 0."""

FEW = 4
"""Leaders that are all compared in float64: bounds of so few cost more than they save."""

SLACK_NM = 4e-9
"""More than float64 may be wrong by."""

FARTHEST = np.int32(0x7F800000)
"""Bits of infinity."""

NO_LABEL = np.int32(2147483647)
"""Label of a frame for which any leader will do."""


@inlined
def _lower(root: Any, norm: Any, minors4: Any, det8: Any) -> Any:
    """One step of Newton's, after which the root is an upper bound still."""
    excess = root * root - norm
    value = excess * excess - det8 * root - minors4
    slope = FOUR * root * excess - det8
    return root - max(value - NOISE, ZERO) / (max(slope, ZERO) + NOISE)


@inlined
def _fill_bounds(
    px: Float32Array,
    py: Float32Array,
    pz: Float32Array,
    trace: np.float32,
    traces: Float32Array,
    n_atoms: int,
    bounds: Float32Array,
) -> None:
    """Fill in lower bounds of RMSD², nm², of one frame to all leaders of some blocks.

    `px`, `py` and `pz` are products of its x, y and z with x, y and z of the leaders, shape (n_blocks * 3 *
    LANES,); `traces` and `bounds` have the shape (n_blocks * LANES,).
    """
    slack = np.float32(math.sqrt(3.0) * U * 1.01 * (n_atoms + 18))
    share = np.float32(2.0 * (1.0 - 32.0 * U) / n_atoms)
    for block in range(bounds.size // LANES):
        for lane in range(LANES):
            x = 3 * LANES * block + lane
            y, z, leader = x + LANES, x + 2 * LANES, LANES * block + lane
            half = (trace + traces[leader]) * HALF
            scale = ONE / half
            xx, xy, xz = px[x] * scale, px[y] * scale, px[z] * scale
            yx, yy, yz = py[x] * scale, py[y] * scale, py[z] * scale
            zx, zy, zz = pz[x] * scale, pz[y] * scale, pz[z] * scale
            norm, minors, det = invariants(xx, xy, xz, yx, yy, yz, zx, zy, zz)
            det8, minors4 = EIGHT * det, FOUR * minors
            # Not at most 1: from below two roots that rounding left there, a step would go anywhere.
            root = min(math.sqrt(norm + TWO * math.sqrt(THREE * minors + NOISE) + NOISE), ONE + slack)
            # Unrolled, or the loop over lanes wouldn't become one over vectors.
            root = _lower(root, norm, minors4, det8)
            root = _lower(root, norm, minors4, det8)
            root = _lower(root, norm, minors4, det8)
            bound = max(half * share * (ONE - root - slack), ZERO)
            bounds[leader] = bound if half > TINY and half < HUGE else ZERO  # False for NaN.


@kernel
def nearest_fitted(
    frames: Float64Array,
    traces: Float64Array,
    leaders: Float64Array,
    leader_traces: Float64Array,
    columns: Float32Array,
    column_traces: Float32Array,
    leader_label: Int32Array,
    label: Int32Array,
    below: np.float32,
    singles: Float32Array,
    products: Float32Array,
    bounds: Float32Array,
    index: Int32Array,
    rmsd: Float32Array,
) -> None:
    """First leader of other label that is near enough, else the nearest by minimal RMSD; the first of equals.

    `frames`, `leaders` and their traces are from `pack`, shapes (n, 3, n_atoms) and (n,); `columns` are the
    leaders in float32, in blocks of `LANES`, shape (n_blocks * 3 * LANES, n_atoms). A frame whose label is
    below 0 is passed over. `below` (nm) is near enough; 0 where the nearest is wanted. The scratch is for so
    many frames and blocks at once: shapes (3 * frames, n_atoms), (3 * frames * width,) where width is a
    multiple of 3 * LANES, and (frames, n_blocks * LANES). Fills `index` and `rmsd` (nm) with -1 and NaN for a
    frame that isn't finite, and if there is no leader of another label.
    """
    n_frames, _, n_atoms = frames.shape
    at_once = bounds.shape[0]
    flat = singles.reshape(at_once, 3 * n_atoms)
    most = products.size // (3 * at_once)
    for start in range(0, n_frames, at_once):
        size = min(at_once, n_frames - start)
        if leaders.shape[0] <= FEW:
            bounds[:size] = ZERO
        else:
            for frame in range(size):
                source, target = frames[start + frame].reshape(3 * n_atoms), flat[frame]
                for k in range(source.size):
                    target[k] = source[k]
            for first in range(0, columns.shape[0], most):
                width = min(most, columns.shape[0] - first)
                some = products[: 3 * size * width].reshape(3 * size, width)
                np.dot(singles[: 3 * size], columns[first : first + width].T, some)
                of_leaders = slice(first // 3, (first + width) // 3)
                for frame in range(size):
                    trace = np.float32(traces[start + frame])
                    x, y, z = some[3 * frame], some[3 * frame + 1], some[3 * frame + 2]
                    _fill_bounds(
                        x, y, z, trace, column_traces[of_leaders], n_atoms, bounds[frame, of_leaders]
                    )
        for frame in range(start, start + size):
            index[frame], rmsd[frame] = -1, np.nan
            if label[frame] >= 0 and not math.isnan(traces[frame]):
                of_frame = bounds[frame - start, : leaders.shape[0]]
                one = frames[frame], traces[frame]
                if below > ZERO:
                    index[frame], rmsd[frame] = _first_within(
                        one[0], one[1], leaders, leader_traces, leader_label, label[frame], below, of_frame
                    )
                if index[frame] < 0:
                    index[frame], rmsd[frame] = _settled(
                        one[0], one[1], leaders, leader_traces, leader_label, label[frame], of_frame
                    )


@inlined
def _first_within(
    frame: Float64Array,
    trace: float,
    leaders: Float64Array,
    leader_traces: Float64Array,
    leader_label: Int32Array,
    own: int,
    below: np.float32,
    bounds: Float32Array,
) -> tuple[int, float]:
    """Index and distance of the first leader that is near enough; -1 and NaN if there is none."""
    limit = below * below * np.float32(1.0 + 8.0 * U)
    for k in range(bounds.size):
        if bounds[k] <= limit and leader_label[k] != own:
            distance = math.sqrt(fitted_squared(frame, leaders[k], trace + leader_traces[k]))
            if np.float32(distance) < below:
                return k, distance
    return -1, np.nan


@inlined
def _settled(
    frame: Float64Array,
    trace: float,
    leaders: Float64Array,
    leader_traces: Float64Array,
    leader_label: Int32Array,
    own: int,
    bounds: Float32Array,
) -> tuple[int, float]:
    """Index and distance of the nearest leader, from bounds of all; -1 and NaN if there is none."""
    # Numbers that aren't negative have the order of their bits, and the least of integers is a vector loop.
    bits = bounds.view(np.int32)
    if own != NO_LABEL:
        for k in range(bits.size):
            bits[k] = FARTHEST if leader_label[k] == own else bits[k]
    limit = FARTHEST
    for k in range(bits.size):
        limit = min(limit, bits[k])
    index, best = -1, np.inf
    n_near = 1 if limit < FARTHEST else 0
    k = 0
    while n_near > 0:
        if bits[k] > limit:
            k += 1
            continue
        n_near -= 1
        squared = fitted_squared(frame, leaders[k], trace + leader_traces[k])
        if squared < best or (squared == best and k < index):
            best = squared
            if index < 0:
                # The one with the lowest bound is known: now all that may be nearer or as near.
                bounds[k] = (math.sqrt(best) + SLACK_NM) ** 2 * (1.0 + 4.0 * U)
                limit, bits[k] = bits[k], FARTHEST
                for other in range(bits.size):
                    n_near += 1 if bits[other] <= limit else 0
                index, k = k, -1
            else:
                index = k
        k += 1
    return index, math.sqrt(best) if index >= 0 else np.nan


@kernel
def nearest_plain(
    frames: Float64Array,
    traces: Float64Array,
    leaders: Float64Array,
    leader_traces: Float64Array,
    leader_label: Int32Array,
    label: Int32Array,
    below: np.float32,
    index: Int32Array,
    rmsd: Float32Array,
) -> None:
    """The same of structures as they are; parameters as for `nearest_fitted`."""
    n_frames, _, n_atoms = frames.shape
    flat = frames.reshape(n_frames, 3 * n_atoms)
    flat_leaders = leaders.reshape(leaders.shape[0], 3 * n_atoms)
    best = np.full(n_frames, np.inf)
    near_enough = np.zeros(n_frames, np.bool_)
    index[:] = -1
    # A leader stays in the first-level cache for all frames.
    for k in range(leaders.shape[0]):
        for frame in range(n_frames):
            if label[frame] >= 0 and leader_label[k] != label[frame] and not near_enough[frame]:
                squared = plain_squared(flat[frame], flat_leaders[k], n_atoms)
                if squared < best[frame]:
                    best[frame] = squared
                    index[frame] = k
                    near_enough[frame] = np.float32(math.sqrt(squared)) < below
    for frame in range(n_frames):
        rmsd[frame] = math.sqrt(best[frame]) if index[frame] >= 0 else np.nan
