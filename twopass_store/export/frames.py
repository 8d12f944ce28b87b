"""Which frames of a store are exported, and their values, piece by piece."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..partition import FRAME_CHUNK, FrameRange
from ..store import Store

__all__ = ["FrameChoice", "Frames", "chosen_frames", "rows_by_chunk", "take"]

Frames = str | slice | range | Sequence[int] | NDArray[np.integer[Any]] | None
"""How frames are asked for."""

_FRAME = re.compile(r"\s*-?\d+\s*")
_RANGE = re.compile(r"\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(-?\d*)\s*)?")


def chosen_frames(frames: Frames, n_frames: int) -> range | NDArray[np.int64]:
    """Frames of a store that are asked for.

    Parameters
    ----------
    frames
        A range, as Python's slices have it: ``"100:2000:10"``, ``":50"``, ``"-100:"`` (the last hundred),
        or one frame, ``"7"``; a slice or a range; indices in any order; None for all.
    n_frames
        Frames of the store.

    Raises
    ------
    ConfigError
        If it is no such thing, or holds no frame of the store, or others.
    """
    if not (frames is None or isinstance(frames, str | slice)):
        return _checked(np.asarray(frames), n_frames)
    piece = _parsed(frames, n_frames) if isinstance(frames, str) else frames or slice(None)
    if piece.step is not None and piece.step <= 0:
        raise ConfigError(f"The step of the frames {frames} must be positive.")
    chosen = range(*piece.indices(n_frames))
    if not len(chosen):
        raise ConfigError(
            f"{frames} holds none of the {n_frames} frames of the store, which are counted from 0. "
            "Give START:STOP:STEP, as in 0:1000:10."
        )
    return chosen


def _parsed(text: str, n_frames: int) -> slice:
    if _FRAME.fullmatch(text):
        frame = int(text) + n_frames * (int(text) < 0)
        if not 0 <= frame < n_frames:
            raise ConfigError(f"There is no frame {text} among the {n_frames} of the store, counted from 0.")
        return slice(frame, frame + 1)
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no range of frames; write it like 0:1000, ::10, -100: or 7.")
    return slice(*(int(part) if part else None for part in found.groups()))


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Frames of a store, in the order in which they are written.

    Attributes
    ----------
    store
        The store.
    frames
        The frames to choose from: a range, or indices in any order.
    label_path
        Array with the label of every frame, if `labels` are chosen by.
    labels
        Labels of the frames that are chosen; None for all.
    stride
        Every `stride`-th of those.
    """

    store: Store
    frames: range | NDArray[np.int64]
    label_path: str | None = None
    labels: Collection[int] | None = None
    stride: int = 1

    def pieces(self) -> Iterator[NDArray[np.int64]]:
        """Yield indices of frames, at most `FRAME_CHUNK` at a time."""
        n_before = 0
        for piece in self._candidates():
            found = piece
            if self.labels is not None and self.label_path is not None:
                labels = take(self.store, self.label_path, piece)
                found = piece[np.isin(labels, list(self.labels))]
            kept = found[-n_before % self.stride :: self.stride]
            n_before += len(found)
            if len(kept):
                yield kept

    def _candidates(self) -> Iterator[NDArray[np.int64]]:
        start = 0
        while start < len(self.frames):
            stop = start + FRAME_CHUNK
            if isinstance(self.frames, range):
                # Cut where the store's chunks are cut, so that each is read once.
                first, step = self.frames[start], self.frames.step
                stop = start + -(-(FRAME_CHUNK - first % FRAME_CHUNK) // step)
            yield np.asarray(self.frames[start:stop], dtype=np.int64)
            start = stop


def rows_by_chunk(rows: NDArray[np.int64], chunk: int) -> Iterator[NDArray[np.int64]]:
    """Cut indices, in any order, into runs that lie in one chunk each."""
    ends = np.flatnonzero(np.diff(rows // chunk)) + 1
    yield from np.split(rows, ends)


def take(store: Store, path: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Read rows of an array, in any order, chunk by chunk."""
    parts = []
    for run in rows_by_chunk(rows, store.chunk_length(path)):
        first, last = int(run.min()), int(run.max())
        parts.append(store.read(path, FrameRange(first, last + 1))[run - first])
    return np.concatenate(parts)


def _checked(indices: NDArray[Any], n_frames: int) -> NDArray[np.int64]:
    if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu":
        raise ConfigError("Frames are START:STOP:STEP, or a list of indices, at least one.")
    outside = indices[(indices < 0) | (indices >= n_frames)]
    if len(outside):
        raise ConfigError(
            f"There is no frame {outside[0]} among the {n_frames} of the store, counted from 0."
        )
    return indices.astype(np.int64)
