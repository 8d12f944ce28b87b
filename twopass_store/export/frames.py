"""Which frames of a store are exported, and their values, piece by piece."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..partition import FRAME_CHUNK
from ..store import Store, take

__all__ = ["Frames", "chosen_frames", "frame_pieces"]

Frames = str | slice | range | Sequence[int] | NDArray[np.integer[Any]] | None  # how they are asked for
_RANGE = re.compile(r"\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(-?\d*)\s*)?")


def chosen_frames(frames: Frames, n_frames: int) -> range | NDArray[np.int64]:
    """Resolve a range of frames, such as "100:2000:10", ":50", "-100:" or "7", or indices in any order."""
    if isinstance(frames, str):
        if re.fullmatch(r"\s*-?\d+\s*", frames):
            frame = int(frames)
            frames = np.array([frame + n_frames if -n_frames <= frame < 0 else frame])
        elif found := _RANGE.fullmatch(frames):
            frames = slice(*(int(part) if part else None for part in found.groups()))
        else:
            raise ConfigError(f"{frames!r} is no range of frames; write it like 0:1000, ::10, -100: or 7.")
    if frames is None or isinstance(frames, slice):
        piece = frames or slice(None)
        if piece.step is not None and piece.step <= 0:
            raise ConfigError("The step of a range of frames must be positive.")
        chosen = range(*piece.indices(n_frames))
        if not len(chosen):
            raise ConfigError(
                f"The range holds none of the {n_frames} frames of the store, which are counted from 0. Give "
                "START:STOP:STEP, as in 0:1000:10."
            )
        return chosen
    indices = np.asarray(frames)
    if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu":
        raise ConfigError("Frames are START:STOP:STEP, or a list of indices, at least one.")
    outside = indices[(indices < 0) | (indices >= n_frames)]
    if len(outside):
        raise ConfigError(
            f"There is no frame {outside[0]} among the {n_frames} of the store, counted from 0."
        )
    return indices.astype(np.int64)


def frame_pieces(
    store: Store,
    frames: range | NDArray[np.int64],
    *,
    label_path: str | None = None,
    labels: Collection[int] = (),
    stride: int = 1,
    in_each: bool = False,
) -> Iterator[NDArray[np.int64]]:
    """Yield every `stride`-th of `frames` of some `labels`, or `in_each` of them; `FRAME_CHUNK` at a time."""
    n_before, start = Counter[int](), 0
    while start < len(frames):
        stop = start + FRAME_CHUNK
        if isinstance(frames, range):
            # Cut where the store's chunks are cut, so that each is read once.
            stop = start + -(-(FRAME_CHUNK - frames[start] % FRAME_CHUNK) // frames.step)
        piece = np.asarray(frames[start:stop], dtype=np.int64)
        start = stop
        group = np.zeros(len(piece), np.int8)
        if label_path is not None:
            label = take(store, label_path, piece)
            is_chosen = np.isin(label, list(labels))
            piece, group = piece[is_chosen], (label if in_each else group)[is_chosen]
        is_kept = np.zeros(len(piece), np.bool_)
        for each in np.unique(group).tolist():
            members = np.flatnonzero(group == each)
            is_kept[members[-n_before[each] % stride :: stride]] = True
            n_before[each] += len(members)
        if is_kept.any():
            yield piece[is_kept]
