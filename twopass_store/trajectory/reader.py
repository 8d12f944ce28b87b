"""Any range of frames of a trajectory file, as a stream of blocks of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError, TopologyMismatchError, TrajectoryError, TruncatedTrajectoryError
from ..partition import FrameList
from .formats import format_of, reading
from .imaging import Imager
from .probe import TrajectoryInfo, check_unchanged
from .sources import Source, open_source

__all__ = ["DEFAULT_BLOCK_BYTES", "Block", "read_blocks", "reading_bytes"]

DEFAULT_BLOCK_BYTES = 8 << 20

# Step, time, box vectors, precision and what the conversion of the box takes, per frame.
_FRAME_BYTES = 512
# Buffers of the libraries and the index of frames.
_FIXED_BYTES = 8 << 20
# Python objects that mdtraj makes of a PDB file, per byte of it. Measured: 14; a test holds it.
_PDB_FACTOR = 24


@dataclass(frozen=True, slots=True)
class Block:
    """Successive frames of a trajectory.

    Attributes
    ----------
    xyz
        Positions, shape (n_frames, n_selected_atoms, 3), nm.
    time
        Shape (n_frames,), ps; None where the file has no times.
    unitcell_lengths, unitcell_angles
        Shape (n_frames, 3), nm and degrees; None where the file has no unit cell.
    step
        Numbers of the simulation steps, shape (n_frames,); None where the format has none.
    unitcell_vectors
        Vectors of the unit cell as XTC and TRR have them, shape (n_frames, 3, 3), nm; None elsewhere.
    """

    xyz: NDArray[np.float32]
    time: NDArray[np.float64] | None
    unitcell_lengths: NDArray[np.float64] | None
    unitcell_angles: NDArray[np.float64] | None
    step: NDArray[np.int64] | None = None
    unitcell_vectors: NDArray[np.float32] | None = None

    @property
    def n_frames(self) -> int:
        """Frames in the block."""
        return len(self.xyz)


def read_blocks(
    info: TrajectoryInfo,
    topology: md.Topology,
    *,
    frames: range | FrameList,
    atom_indices: NDArray[np.int64] | None,
    imager: Imager | None = None,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    block_frames: int | None = None,
) -> Iterator[Block]:
    """Read frames of a trajectory in order, a block at a time.

    Values are bit for bit those of ``md.load``, whatever the range and the size of the blocks. Whether they
    are finite isn't checked.

    Parameters
    ----------
    info
        The file, as :func:`probe` found it.
    topology
        Its atoms.
    frames
        Which frames, within ``range(info.n_frames)``; a range has a positive step.
    atom_indices
        Which atoms, or None for all.
    imager
        What moves atoms to the periodic images where they belong, before some are selected; None to take
        them as they are.
    block_bytes
        Bound on what one block takes while it is decoded, all atoms of the file counted; at least one frame
        is read whatever it takes.
    block_frames
        Bound on the frames of a block.

    Yields
    ------
    Blocks of at least one frame, ``len(frames)`` frames in all.

    Raises
    ------
    TruncatedTrajectoryError
        If the file ends before the frames asked for.
    TopologyMismatchError
        If the topology or the indices don't fit the file.
    TrajectoryError
        If the file can't be read, or some of its frames lack the unit cell that its first frame has.
    """
    # Checked now rather than at the first next(): this function is no generator itself.
    if block_bytes <= 0 or (isinstance(frames, range) and frames.step <= 0):
        raise ValueError(f"the step of {frames} and block_bytes ({block_bytes}) must be positive")
    runs = FrameList.of(frames) if isinstance(frames, range) else frames
    _check_request(info, topology, runs, atom_indices)
    if imager is not None and not info.has_unitcell:
        raise TrajectoryError(
            f"{info.path} has no unit cell, and --image needs it. Ingest the file without --image."
        )
    return _blocks(info, topology, runs, atom_indices, imager, block_bytes, block_frames)


def _check_request(
    info: TrajectoryInfo,
    topology: md.Topology,
    frames: FrameList,
    atom_indices: NDArray[np.int64] | None,
) -> None:
    for run in frames.runs():
        if run.start < 0 or run[-1] >= info.n_frames:
            raise ValueError(f"frames {run} don't lie in the {info.n_frames} frames of {info.path}")
    if topology.n_atoms != info.n_atoms:
        raise TopologyMismatchError(
            f"{info.path} has {info.n_atoms} atoms, the topology {topology.n_atoms}. Give the topology it "
            "was "
            "probed with."
        )
    if atom_indices is not None and len(atom_indices):
        low, high = int(np.min(atom_indices)), int(np.max(atom_indices))
        if low < 0 or high >= info.n_atoms:
            raise TopologyMismatchError(
                f"Atoms {low} to {high} were asked of {info.path}, which has atoms 0 to {info.n_atoms - 1}. "
                "Select the atoms on the topology of this file."
            )


def _blocks(
    info: TrajectoryInfo,
    topology: md.Topology,
    frames: FrameList,
    atom_indices: NDArray[np.int64] | None,
    imager: Imager | None,
    block_bytes: int,
    block_frames: int | None,
) -> Iterator[Block]:
    if not len(frames):
        return
    same = check_unchanged(info)
    with reading(info.path, f"frame {frames.starts[0]}"):
        source = open_source(info.path, topology, has_box=info.has_unitcell, index=info.index)
    try:
        for part in _parts(info, frames, block_bytes, block_frames, source):
            with reading(info.path, f"frames {part[0]} to {part[-1]}"):
                trajectory = source.read(part.start, len(part), part.step)
            if trajectory.n_frames < len(part):
                raise TruncatedTrajectoryError(
                    f"{info.path} ends before frame {part[trajectory.n_frames]}; it had {info.n_frames} "
                    "frames "
                    "when it was looked at. Restore the file, or start anew with it as it is."
                )
            # What was written over the file meanwhile must not be taken for it, or stay when it is restored.
            same = check_unchanged(info, same)
            yield _block(info, trajectory, part, atom_indices, imager)
            del trajectory
    finally:
        source.close()


def _parts(
    info: TrajectoryInfo, frames: FrameList, block_bytes: int, block_frames: int | None, source: Source
) -> Iterator[range]:
    for run in frames.runs():
        n_block = _frames_per_block(info, block_bytes, source, run.step)
        n_block = min(n_block, block_frames or n_block)
        for first in range(0, len(run), n_block):
            yield run[first : first + n_block]


def _block_frames(n_atoms: int, path: str, block_bytes: int) -> int:
    return max(1, block_bytes // (n_atoms * format_of(path).bytes_per_atom + _FRAME_BYTES))


def _frames_per_block(info: TrajectoryInfo, block_bytes: int, source: Source, step: int) -> int:
    n_raw = _block_frames(info.n_atoms, info.path, block_bytes)
    # raw_frames is linear in the frames taken, so one frame's share says how many fit.
    return max(1, n_raw // source.raw_frames(1, step))


def _block(
    info: TrajectoryInfo,
    trajectory: md.Trajectory,
    frames: range,
    atom_indices: NDArray[np.int64] | None,
    imager: Imager | None,
) -> Block:
    lengths, angles = trajectory.unitcell_lengths, trajectory.unitcell_angles
    if info.has_unitcell:
        missing = np.ones(len(frames), bool) if lengths is None else ~np.any(np.asarray(lengths), axis=1)
        if missing.any():
            raise TrajectoryError(
                f"Frame {frames[int(np.argmax(missing))]} of {info.path} has no unit cell, though its "
                "first frame has one. Split the file, or give all frames a cell, as with `gmx trjconv -box`."
            )
        _refuse_wrong_cells(info, frames, np.asarray(lengths), np.asarray(angles))
    if info.has_time:
        _refuse(info, frames, ~np.isfinite(trajectory.time), "a time that is no finite number")
    step = getattr(trajectory, "source_step", None)
    xyz = np.ma.filled(trajectory.xyz, np.nan)  # NetCDF marks what was never written
    if imager is not None:
        # What a source keeps must stay as it is; else the frames are ours, and only must lie side by side.
        trajectory.xyz = xyz = xyz.copy() if info.loads_whole else np.ascontiguousarray(xyz)
        imager.apply(trajectory)
    # Copies, so that the block doesn't keep frames or atoms alive that it doesn't show.
    if atom_indices is not None:
        xyz = xyz[:, atom_indices]
    elif xyz.base is not None and xyz.base.nbytes > xyz.nbytes:
        xyz = xyz.copy()
    return Block(
        xyz=np.ascontiguousarray(xyz, dtype=np.float32),
        time=np.array(trajectory.time, dtype=np.float64) if info.has_time else None,
        unitcell_lengths=np.array(lengths, dtype=np.float64) if info.has_unitcell else None,
        unitcell_angles=np.array(angles, dtype=np.float64) if info.has_unitcell else None,
        step=None if step is None else step.astype(np.int64),
        unitcell_vectors=getattr(trajectory, "source_vectors", None) if info.has_unitcell else None,
    )


def _refuse_wrong_cells(
    info: TrajectoryInfo, frames: range, lengths: NDArray[np.floating], angles: NDArray[np.floating]
) -> None:
    """Refuse a frame whose unit cell can't be one: the damage that formats without checksums show."""
    with np.errstate(invalid="ignore"):
        wrong = ~(np.isfinite(lengths).all(axis=1) & np.isfinite(angles).all(axis=1))
        wrong |= (lengths < 0).any(axis=1)
    _refuse(info, frames, wrong, "a unit cell that is none")


def _refuse(info: TrajectoryInfo, frames: range, wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise NonFiniteError(
            f"{info.path}: frame {frames[int(np.argmax(wrong))]} (counted from 0) has {what}. Copy the file "
            "again, or leave that frame out with --discard-first or --stride."
        )


def reading_bytes(info: TrajectoryInfo, *, n_selected: int, block_bytes: int = DEFAULT_BLOCK_BYTES) -> int:
    """Upper bound of the memory that :func:`read_blocks` needs, its current block included, in bytes.

    Parameters
    ----------
    info
        The file.
    n_selected
        Atoms that are selected.
    block_bytes
        As for :func:`read_blocks`.

    Returns
    -------
    Bytes above what the process takes without reading. A file that mdtraj can only load whole counts whole.
    """
    n_frames = min(info.n_frames, _block_frames(info.n_atoms, info.path, block_bytes))
    entry = format_of(Path(info.path))
    block = n_frames * (info.n_atoms * entry.bytes_per_atom + 12 * n_selected + _FRAME_BYTES)
    if info.loads_whole:
        block += _PDB_FACTOR * info.size_bytes
    return block + _FIXED_BYTES
