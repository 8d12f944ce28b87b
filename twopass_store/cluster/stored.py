"""Arrays of a store at the frames and pairs of a subset, read chunk by chunk; a group written whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..journal import Plan
from ..partition import FrameRange, chunk_range, n_chunks
from ..schema import ArraySpec
from ..store import Rows, Store, take

__all__ = [
    "StoredDistances",
    "StoredPositions",
    "read_distances",
    "write_group",
]


@dataclass(frozen=True, slots=True)
class StoredPositions:
    """Positions of all atoms of some frames, read by slicing: of many leaders they may be large."""

    store: Store
    frames: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n_frames, n_atoms, 3)``."""
        return (len(self.frames), *self.store.shape("position")[1:])

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return take(self.store, "position", self.frames[rows])


@dataclass(frozen=True, slots=True)
class StoredDistances:
    """Condensed distances in the store, read by slicing."""

    store: Store
    path: str

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n_pairs,)``."""
        return self.store.shape(self.path)

    def __getitem__(self, pairs: slice) -> NDArray[np.float32]:
        start, stop, _ = pairs.indices(self.shape[0])
        return self.store.read(self.path, FrameRange(start, stop))


def read_distances(store: Store, path: str, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    """Read all distances, shape (n_pairs,), nm, chunk by chunk: never whole in two types at once."""
    total, length = store.shape(path)[0], store.chunk_length(path)
    values = np.empty(total, dtype)
    for chunk in range(n_chunks(total, length)):
        pairs = chunk_range(chunk, chunk=length, length=total)
        values[pairs.start : pairs.stop] = store.read(path, pairs)
    return values


def write_group(
    store: Store,
    plan: Plan,
    group: str,
    attrs: Mapping[str, Any],
    arrays: Sequence[tuple[ArraySpec, Rows]],
    *,
    hint: str,
) -> None:
    """Write a group with all its arrays as one step."""
    with store.step(plan, hint=hint, attrs=attrs) as journal:
        for spec, values in arrays:
            store.ensure_array(group, spec, values.shape)
            journal.commit(store.write_all(f"{group}/{spec.name}", values))
