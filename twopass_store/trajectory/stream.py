"""Frames of a file as mdtraj's `iterload` gives them; runs in a reader process."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.utils.unitcell import lengths_and_angles_to_box_vectors
from numpy.typing import NDArray

from ..errors import TruncatedTrajectoryError
from ..partition import FrameList
from .arrays import array_times
from .formats import TrajectoryFormat, plain_name
from .imaging import Imager, make_imager
from .offsets import find_frames, mended_cells, xdr_times
from .pdb import read_models
from .text import text_numbers
from .topology import shared_topology
from .universe import frames_of

__all__ = ["Block", "iterload", "read_all_times", "read_frames"]

# Where times stand without positions.
_TIMES = {
    "XTC": xdr_times,
    "TRR": xdr_times,
    "GRO": text_numbers,
    "LAMMPS": text_numbers,
    "Amber NetCDF": array_times,
    "MDTraj HDF5": array_times,
}


@dataclass(frozen=True, slots=True)
class Block:
    """Successive frames of a trajectory."""

    xyz: NDArray[np.float32]  # nm, shape (n_frames, n_selected_atoms, 3)
    time: NDArray[np.float64] | None = None  # ps, shape (n_frames,); None if the file has no times
    unitcell_lengths: NDArray[np.float64] | None = None  # nm, shape (n_frames, 3); None without unit cells
    unitcell_angles: NDArray[np.float64] | None = None  # degrees, likewise

    @property
    def n_frames(self) -> int:
        """Frames in the block."""
        return len(self.xyz)

    @property
    def unitcell_vectors(self) -> NDArray[np.float64] | None:
        """Vectors of the unit cells, shape (n_frames, 3, 3), nm."""
        if self.unitcell_lengths is None or self.unitcell_angles is None:
            return None
        # In float64: float32 leaves a rectangular cell of more than 20 nm askew.
        cells = np.hstack([self.unitcell_lengths, self.unitcell_angles]).astype(np.float64)
        return np.stack(lengths_and_angles_to_box_vectors(*cells.T), axis=1)

    def first(self) -> "Block":
        """Return the first frame alone."""
        others = self.time, self.unitcell_lengths, self.unitcell_angles
        return Block(self.xyz[:1], *(None if each is None else each[:1] for each in others))


def read_frames(
    path: str,
    entry: TrajectoryFormat,
    n_atoms: int,
    frames: FrameList,
    block_frames: int,
    atom_indices: NDArray[np.int64] | None,
    images: tuple[str, str, str] | None,
) -> Iterator[Block]:
    """Yield frames of a file in blocks of so many frames; in a reader, for `read_blocks`."""
    kept = None if atom_indices is None else atom_indices.tobytes()
    imager = None if images is None else _imager(*images, kept)
    for wanted in _stretches(frames, 4 * block_frames, entry):
        position, last = map(int, wanted.at(np.array([0, len(wanted) - 1])))
        stop = last + 1
        chunk = min(block_frames, stop - position)
        if images is None:
            # All that readers ask of a topology is its number of atoms.
            topology = md.Topology()
            topology._atoms, topology._numAtoms = range(n_atoms), n_atoms
        else:
            topology = shared_topology(images[0], images[2])
        if position and entry.name in ("XTC", "TRR"):
            find_frames(path, entry)
        for part in _parts(path, entry, topology, chunk=chunk, position=position, stop=stop):
            here = wanted.part(wanted.before(position), wanted.before(position + part.n_frames))
            rows = here.to_array() - position
            position += part.n_frames
            for start in range(0, len(rows), block_frames):
                yield _block(part, rows[start : start + block_frames], entry, atom_indices, imager)
            if position >= stop:
                break
        else:
            raise TruncatedTrajectoryError(
                f"{path} ends before frame {position}, and frame {stop - 1} was asked for. Restore the file, "
                "or start anew with it as it is."
            )


def _parts(
    path: str, entry: TrajectoryFormat, topology: md.Topology, *, chunk: int, position: int, stop: int
) -> Iterator[md.Trajectory]:
    """Yield so many frames at once, up to `stop`: what follows may be cut off, which is an error to read."""
    try:
        for part in iterload(path, entry, topology, chunk=chunk, skip=position):
            position += part.n_frames
            yield part
    except Exception:
        if not 0 < stop - position < chunk:
            raise
        yield from iterload(path, entry, topology, chunk=stop - position, skip=position)


def _stretches(wanted: FrameList, gap: int, entry: TrajectoryFormat) -> Iterator[FrameList]:
    """Part frames where it is cheaper to skip those between than to read them."""
    start = place = 0
    for piece in wanted.pieces() if entry.can_seek else ():
        before = wanted.at(np.array([max(0, place - 1)]))
        for edge in (np.flatnonzero(np.diff(piece, prepend=before) > gap) + place).tolist():
            yield wanted.part(start, edge)
            start = edge
        place += len(piece)
    if len(wanted):
        yield wanted.part(start, len(wanted))


def iterload(
    path: str, entry: TrajectoryFormat, topology: md.Topology, *, chunk: int, skip: int = 0
) -> Iterator[md.Trajectory]:
    """`mdtraj.iterload`, for files of any name; a chunk at a time for PDB and GRO, too; or MDAnalysis."""
    if entry.mdanalysis is not None:
        yield from frames_of(path, topology, entry.mdanalysis, chunk=chunk, skip=skip)
        return
    if entry.name == "PDB":
        yield from read_models(path, topology, chunk=chunk, skip=skip)
        return
    # Never `stride`: an XTC file with `skip` then has no end, and HDF5 counts otherwise.
    options: dict[str, Any] = {"chunk": chunk, "skip": skip}
    if not entry.has_topology:
        options["top"] = topology
    with plain_name(path, entry.extensions) as name:
        if entry.name in ("Amber NetCDF restart", "Amber restart"):  # unknown to iterload
            yield md.load(name, top=topology)
        else:
            yield from md.iterload(name, **options)


def _block(
    trajectory: md.Trajectory,
    rows: NDArray[np.int64],
    entry: TrajectoryFormat,
    atom_indices: NDArray[np.int64] | None,
    imager: Imager | None,
) -> Block:
    # Rows are taken here, since a slice of a trajectory rounds its unit cells to float32.
    chosen = slice(None) if len(rows) == trajectory.n_frames else rows
    columns = (trajectory.time, trajectory.unitcell_lengths, trajectory.unitcell_angles)
    time, lengths, angles = (
        None if column is None else np.ma.filled(column, np.nan)[chosen].astype(np.float64)
        for column in columns
    )
    if lengths is not None and angles is not None and entry.name == "DCD":
        lengths, angles = mended_cells(lengths, angles)
    xyz = np.ma.filled(trajectory.xyz, np.nan)[chosen]  # NetCDF masks what was never written
    if imager is not None and lengths is not None:
        moved = md.Trajectory(np.array(xyz, order="C"), trajectory.topology)
        moved.unitcell_lengths, moved.unitcell_angles = lengths, angles
        imager(moved)
        xyz = moved.xyz
    if atom_indices is not None:
        xyz = xyz[:, atom_indices]
    return Block(np.ascontiguousarray(xyz, dtype=np.float32), time, lengths, angles)


@lru_cache(maxsize=2)
def _imager(topology_path: str, image: str, reader: str, atom_indices: bytes | None) -> Imager:
    atoms = None if atom_indices is None else np.frombuffer(atom_indices, np.int64)
    return make_imager(shared_topology(topology_path, reader), image, atoms, path=topology_path)


def read_all_times(
    path: str, entry: TrajectoryFormat, n_atoms: int, frames: FrameList
) -> Iterator[NDArray[np.float64]]:
    """Yield times of frames of a file, ps, or their steps; in a reader."""
    if entry.name in _TIMES:
        yield from _TIMES[entry.name](path, entry, n_atoms, frames)
        return
    block_frames = max(1, (8 << 20) // (24 * n_atoms))
    for block in read_frames(path, entry, n_atoms, frames, block_frames, np.arange(1), None):
        if block.time is not None:
            yield block.time
