"""Any range of frames of a trajectory file, as a stream of blocks of bounded size."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError, TrajectoryError, TruncatedTrajectoryError
from ..partition import FrameList
from .containment import end_readers, streamed
from .info import TrajectoryInfo, check_unchanged, mixed_cells
from .probe import probe
from .stream import Block, read_all_times, read_frames
from .times import Times
from .topology import load_topology

__all__ = ["Block", "load_structures", "read_blocks", "read_steps", "read_times", "reading_bytes"]

# Bound on what a block takes while it is decoded, all atoms of the file counted; a frame is read anyway.
BLOCK_BYTES = 8 << 20

# Time, unit cell and what its conversion takes, per frame.
_FRAME_BYTES = 512
# Buffers of the libraries.
_FIXED_BYTES = 8 << 20
# What importing MDAnalysis takes. Measured: 64 MiB.
_UNIVERSE_BYTES = 80 << 20
# Where the frames of XTC, TRR and PDB files are, per frame.
_OFFSET_BYTES = 24


def read_blocks(
    info: TrajectoryInfo,
    *,
    frames: range | FrameList,
    atom_indices: NDArray[np.int64] | None = None,
    images: tuple[str, str, str] | None = None,
    block_frames: int | None = None,
) -> Generator[Block, None, None]:
    """Read frames of a trajectory in order, a block at a time, in a reader process.

    Values are bit for bit those of `mdtraj.load`, whatever the range and the size of the blocks. Whether
    positions are finite isn't checked.

    `frames` lie within ``range(info.n_frames)``; `atom_indices` None is all atoms. `images` are the topology
    file, how periodic images are undone before atoms are selected, see `make_imager`, and what reads the
    topology; None takes positions as they are. A block has at least one frame, and at most `block_frames`.

    Raises a `TruncatedTrajectoryError` if the file ends before the frames asked for, a `TrajectoryError` if
    it can't be read, or some of its frames lack the unit cell that its first frame has.
    """
    wanted = info.in_file(FrameList.of(frames) if isinstance(frames, range) else frames)
    if not len(wanted):
        return
    if images is not None and not info.has_unitcell:
        raise TrajectoryError(f"{info.path} has no unit cell, and `image` needs it. Leave `image` out.")
    n_frames = min(_block_frames(info), block_frames or info.n_frames)
    same = check_unchanged(info)
    n_read = 0
    n_selected = info.n_atoms if atom_indices is None else len(atom_indices)
    stream = streamed(
        read_frames,
        info.path,
        info.format,
        info.n_atoms,
        wanted,
        n_frames,
        atom_indices,
        images,
        path=info.path,
        what="the frames",
        needs_bytes=4 * reading_bytes(info, n_selected=n_selected),
    )
    with closing(stream):
        for block in stream:
            # What was written over the file meanwhile must not be taken for it, or stay when it is restored.
            same = check_unchanged(info, same)
            checked = _checked(info, block, wanted.part(n_read, n_read + block.n_frames).to_array())
            n_read += block.n_frames
            if n_read == len(wanted):
                # Whoever has all frames may ask for no more, and a reader that wasn't heard out is ended.
                next(stream, None)
            yield checked


def _block_frames(info: TrajectoryInfo) -> int:
    return max(1, BLOCK_BYTES // (info.n_atoms * info.format.bytes_per_atom + _FRAME_BYTES))


def _checked(info: TrajectoryInfo, block: Block, frames: NDArray[np.int64]) -> Block:
    lengths, angles, time = block.unitcell_lengths, block.unitcell_angles, block.time
    if info.has_unitcell:
        missing = np.ones(len(frames), bool) if lengths is None else ~np.any(lengths, axis=1)
        if lengths is None or angles is None or missing.any():
            raise mixed_cells(info.path, frames[int(np.argmax(missing))], has_cell=False)
        # The damage that formats without checksums show.
        with np.errstate(invalid="ignore"):
            cells = np.hstack([lengths, angles])
            wrong = np.logical_or(~np.isfinite(cells).all(axis=1), (lengths < 0).any(axis=1))
        _refuse(info, frames, wrong, "an impossible unit cell")
    # Of a TRR frame without a cell, mdtraj gives whatever was in the memory; PDB has cells that are none,
    # and of NetCDF all cells were looked at.
    elif lengths is not None and lengths.any() and info.format.name not in ("TRR", "PDB", "Amber NetCDF"):
        raise mixed_cells(info.path, frames[int(np.argmax(lengths.any(axis=1)))], has_cell=True)
    if info.has_time and time is not None:
        _refuse(info, frames, ~np.isfinite(time), "a time that is no finite number")
    return Block(
        xyz=block.xyz,
        time=time if info.has_time else None,
        unitcell_lengths=lengths if info.has_unitcell else None,
        unitcell_angles=angles if info.has_unitcell else None,
    )


def _refuse(info: TrajectoryInfo, frames: NDArray[np.int64], wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise NonFiniteError(
            f"{info.path}: frame {frames[int(np.argmax(wrong))]} (counted from 0) has {what}. Copy the file "
            "again, or leave that frame out with `discard_first` or `stride`."
        )


def load_structures(path: str | Path, *, only_first: bool = False) -> tuple[md.Topology, NDArray[np.float32]]:
    """Atoms, and positions in nm, shape (n_models, n_atoms, 3), of a file that has both, as PDB, GRO or HDF5.

    Raises a `TrajectoryError` if it has not, can't be read or isn't whole.
    """
    try:
        topology = load_topology(path)
        info = probe(path, topology, topology_path=path)
        if info.unfinished:
            raise TruncatedTrajectoryError(
                f"{path} is unfinished: {info.unfinished}. Copy it again, or cut it after these."
            )
        blocks = list(read_blocks(info, frames=range(1 if only_first else info.n_frames)))
        return topology, np.concatenate([block.xyz for block in blocks])
    finally:
        end_readers()  # what comes next doesn't count their memory


def read_times(info: TrajectoryInfo) -> Times | None:
    """Times of the frames, ps, bit for bit those that are read with their positions.

    None if the file has none, or the same for all frames. No positions are decoded, but by MDAnalysis: times
    stand in headers, titles, or an array of their own.
    """
    if not info.has_time:
        return None
    times = _numbers(info, "the times")
    # Programs that know no times write 0 for all frames.
    first = next(iter(times))[0]
    return None if len(times) > 1 and all((piece == first).all() for piece in times) else times


def read_steps(info: TrajectoryInfo) -> Times | None:
    """Numbers of the simulation's steps, in the place of times, of formats that have these; else None."""
    return _numbers(info, "the steps") if info.format.has_steps else None


def _numbers(info: TrajectoryInfo, what: str) -> Times:
    arguments = info.path, info.format, info.n_atoms, info.in_file(FrameList.of(range(info.n_frames)))
    needs_bytes = reading_bytes(info, n_selected=1) + 100 * info.n_frames
    return Times.of(streamed(read_all_times, *arguments, path=info.path, what=what, needs_bytes=needs_bytes))


def reading_bytes(info: TrajectoryInfo, *, n_selected: int) -> int:
    """Upper bound of the memory that `read_blocks` needs beyond that of the idle processes, in bytes."""
    entry = info.format
    n_frames = min(info.n_frames, _block_frames(info))
    needed = n_frames * (info.n_atoms * entry.bytes_per_atom + 12 * n_selected + _FRAME_BYTES)
    if entry.name in ("XTC", "TRR", "PDB"):
        needed += _OFFSET_BYTES * info.n_frames
    if entry.mdanalysis is not None:
        needed += _UNIVERSE_BYTES
    return needed + _FIXED_BYTES
