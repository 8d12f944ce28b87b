"""One way to write frames, whatever the format."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..progress import Progress
from ..store import H5mdWriter

if TYPE_CHECKING:
    import mdtraj as md

    from ..trajectory import OutputFormat, WrittenFrames

__all__ = ["FrameWriter", "fitted_topology", "opened_writer"]


class FrameWriter(Protocol):
    """Takes frames one block after the other."""

    def write(self, frames: "WrittenFrames") -> None:
        """Write frames behind those that are there."""


def fitted_topology(
    topology: "md.Topology", entry: "OutputFormat", target: Path, progress: Progress
) -> "md.Topology":
    """Return a topology that fits into a format; tells the user what had to be cut."""
    from ..trajectory import fit_names

    fitted, cut = fit_names(topology, entry)
    if cut:
        progress.note(f"{target.name}: {entry.name} files have {', '.join(cut)}")
    return fitted


@contextmanager
def opened_writer(
    entry: "OutputFormat",
    path: Path,
    topology: "md.Topology",
    *,
    n_frames: int,
    has_unitcell: bool,
    xtc_grid_nm: float,
) -> Iterator[FrameWriter]:
    """Open a file, or a folder, of a format for writing.

    Parameters
    ----------
    entry
        The format.
    path
        Where to, with an extension of the format.
    topology
        The atoms.
    n_frames
        Frames that are going to be written.
    has_unitcell
        Whether they have unit cells.
    xtc_grid_nm
        What XTC rounds positions to.
    """
    from ..trajectory import ZARRMD, open_writer

    if entry.name == ZARRMD:
        yield _Numbered(
            H5mdWriter(path, n_frames=n_frames, n_atoms=topology.n_atoms, has_unitcell=has_unitcell)
        )
        return
    with open_writer(path, topology, n_frames=n_frames, xtc_grid_nm=xtc_grid_nm) as writer:
        yield writer


class _Numbered:
    """H5MD, whose steps tell frames apart: those of several files may repeat, so frames are numbered."""

    def __init__(self, writer: H5mdWriter) -> None:
        self._writer = writer
        self._n_written = 0

    def write(self, frames: "WrittenFrames") -> None:
        step = np.arange(self._n_written, self._n_written + len(frames.xyz), dtype=np.int64)
        time = frames.step.astype(np.float64) if frames.time is None else frames.time
        self._writer.write(frames.xyz, step, time, frames.unitcell_vectors)
        self._n_written += len(frames.xyz)
