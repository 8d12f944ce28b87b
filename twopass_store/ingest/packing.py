"""How an ingest packs positions: chosen from samples of all files, checked for every chunk."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, format_length
from ..errors import NonFiniteError, PrecisionError
from ..partition import FrameRange
from ..store import LOSSLESS, Misfit, Packing
from ..trajectory import grid_step
from .chunks import Columns, read_frames
from .plan import IngestPlan

__all__ = ["check_samples", "choose_packing", "describe_packing", "pack"]

# Grids looked for where no file says which it is on, as in a TRR file made from XTC.
COMMON_STEPS_NM = (0.01, 0.001, 0.0001, 0.00001)
HEADROOM = 2.0  # int16 is taken where it holds this many times the largest coordinate of the samples


def choose_packing(plan: IngestPlan, config: IngestConfig) -> Packing:
    """Choose how positions are packed, from samples of every file.

    Integers on the grid that all samples lie on, bit for bit; float32 if there is none, or if it was asked
    for; integers on any grid asked for.
    """
    # To undo periodic images moves atoms by the vectors of the box, which lie on no grid.
    if config.precision == "lossless" or (config.precision == "auto" and config.image != "none"):
        return LOSSLESS
    rounds = config.precision != "auto"
    steps = [float(config.precision)] if rounds else _likely_steps(plan)
    candidates = [Packing.on_grid(step, "int32", rounds=rounds) for step in steps]
    largest = 0.0
    for sample in (block["position"] for block in _samples(plan)):
        candidates = [packing for packing in candidates if not isinstance(packing.pack(sample), Misfit)]
        if not candidates:
            # What was asked for is kept, and the chunk with the coordinate will tell where it lies.
            return Packing.on_grid(steps[0], "int32", rounds=True) if rounds else LOSSLESS
        largest = max(largest, float(np.abs(sample).max()))
    if not candidates:
        return LOSSLESS
    chosen = candidates[0]
    assert chosen.scale is not None
    narrow = Packing.on_grid(chosen.scale, "int16", rounds=rounds)
    return narrow if not config.wide and largest * HEADROOM <= narrow.limit_nm else chosen


def describe_packing(packing: Packing) -> str:
    """Say how positions are stored, for users."""
    if packing.scale is None:
        return "positions: float32, as they are in the files"
    step = format_length(packing.scale)
    how = f"rounded to {step}" if packing.rounds else f"exact, on the files' own grid of {step}"
    return f"positions: {packing.dtype}, {how}"


def check_samples(plan: IngestPlan, packing: Packing) -> None:
    """Raise a `PrecisionError` unless samples of all files fit how a store packs positions."""
    for block in _samples(plan):
        pack(block, packing, plan)


def pack(columns: Columns, packing: Packing, plan: IngestPlan) -> NDArray[Any]:
    """Turn positions into what is stored; an error if one doesn't come back as it is, or as rounded."""
    packed = packing.pack(columns["position"])
    if not isinstance(packed, Misfit):
        return packed
    trajectory, frame = (int(columns[name][packed.frame]) for name in ("trajectory", "source_frame"))
    source = plan.sources[plan.trajectories.index(trajectory)]
    where = (
        f"{source.info.path}: frame {frame} (counted from 0), atom {packed.atom} of those kept "
        f"({plan.stored_topology.atom(packed.atom)}) has {'xyz'[packed.axis]} = {packed.value:.9g} nm"
    )
    stored = f"{packing.dtype} in steps of {format_length(packing.scale or 0.0)}"
    mend = "`precision` lossless"
    if not packed.is_too_large:
        reason = f"off the grid: positions are stored as {stored}, since samples of all files are on it"
    else:
        reason = f"beyond the {packing.limit_nm:.6g} nm that {stored} holds"
        if packing.dtype == "int16":
            mend = "`wide`"
        elif packing.rounds:
            mend = "a coarser `precision`"
    raise PrecisionError(f"{where}, {reason}. Make the store anew (`restart`) with {mend}.")


def _likely_steps(plan: IngestPlan) -> list[float]:
    """Return the grids that the files may be on, those that they name first, the finest first."""
    named = {
        step
        for source in plan.sources
        if (step := grid_step(source.info.path, source.info.format)) is not None
    }
    return sorted(named) or list(COMMON_STEPS_NM)


def _samples(plan: IngestPlan) -> Iterator[Columns]:
    """Yield frames as they will be stored, from the head, the middle and the tail of each file."""
    start = plan.n_stored
    for source in plan.sources:
        stop = start + len(source.kept)
        places = [FrameRange(start, min(start + 3, stop))]
        # A text format is parsed up to the frame.
        if source.info.format.can_seek:
            middle = (start + stop) // 2
            places += [FrameRange(middle, middle + 1), FrameRange(stop - 1, stop)]
        for frames in places:
            try:
                yield from (block for block in read_frames(plan, frames) if len(block["time"]))
            except NonFiniteError:
                continue  # reported when it is its turn
        start = stop
