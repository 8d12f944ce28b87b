"""Frames of a store read again from the files that they came from, with all atoms."""

from collections.abc import Collection, Iterator
from contextlib import closing

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..partition import FrameList
from ..store import Store
from ..trajectory import read_blocks
from .resume import recorded_files, recorded_source
from .runs import Source
from .systems import SystemTable

__all__ = ["SourceFrames"]


class SourceFrames:
    """Source files of a store, which must hold what was ingested, with all atoms.

    `files` are the indices of those that are read; `image` says how periodic images are undone; None as at
    ingest. Raises a `TrajectoryError` or `FingerprintMismatchError` if a file or its topology has changed, a
    `ConfigError` if the files don't have the same atoms.
    """

    def __init__(self, store: Store, files: Collection[int], *, image: str | None) -> None:
        plan, origins, asked = recorded_files(store)
        asked = asked if image is None else asked.model_copy(update={"image": image})
        systems = SystemTable(asked)
        self._sources: dict[int, Source] = {
            file: recorded_source(origins.files[file], file, plan.parameters, systems, asked.reader)
            for file in sorted(files)
        }
        first, *others = self._sources.values()
        for other in others:
            if other.system is not first.system:
                raise ConfigError(
                    f"{first.info.path} and {other.info.path} have different atoms outside the store, "
                    "and one file can't hold both. Choose frames of one of them, or leave out `from_source`."
                )
        self._system = first.system

    @property
    def topology(self) -> md.Topology:
        """All atoms; not to be modified."""
        return self._system.load_topology()

    @property
    def kept_atoms(self) -> NDArray[np.int64]:
        """Those in the store, in its order, as indices among all, shape (n_kept,)."""
        return self._system.kept_atoms()

    def read(
        self, file: NDArray[np.integer], source_frame: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield positions of frames, given by file and index in it, in this order and a few at a time.

        Each has shape (n_frames, n_atoms, 3), nm.
        """
        system = self._system
        images = None if system.image is None else (system.topology_path, system.image, system.reader)
        edges = np.flatnonzero((np.diff(file) != 0) | (np.diff(source_frame) <= 0)) + 1
        for rows in np.split(np.arange(len(file)), edges):
            info = self._sources[int(file[rows[0]])].info
            frames = FrameList.from_indices(source_frame[rows])
            with closing(read_blocks(info, frames=frames, images=images)) as blocks:
                for block in blocks:
                    yield block.xyz
