"""Frames of a file as mdtraj's `iterload` gives them; runs in a reader process."""

import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats import GroTrajectoryFile
from mdtraj.formats.registry import FormatRegistry
from mdtraj.utils import in_units_of
from mdtraj.utils.unitcell import box_vectors_to_lengths_and_angles, lengths_and_angles_to_box_vectors
from numpy.typing import NDArray

from ..errors import TruncatedTrajectoryError
from ..partition import FrameList
from .compressed import open_unpacked
from .formats import TrajectoryFormat, plain_name
from .imaging import Imager, make_imager
from .pdb import read_models
from .topology import shared_topology
from .universe import frames_of

__all__ = [
    "Block",
    "bare_topology",
    "frame_offsets",
    "iterload",
    "numbers_at",
    "read_all_times",
    "read_frames",
]

# Bytes from the beginning of a frame.
_XTC_TIME = 12
_TRR_POSITION_BYTES = 52
_TRR_TIME = 76
# The line of a frame with its time or step, and its lines besides those of atoms.
_NUMBERED = {"GRO": (0, 3), "LAMMPS": (1, 9)}
_GRO_TIME = re.compile(rb"t= *(\d+\.\d+)")  # mdtraj's own
_OFFSET_BYTES = 32 << 20
"""Memory for the places of frames of files that were looked at."""


@dataclass(frozen=True, slots=True)
class Block:
    """Successive frames of a trajectory.

    Attributes
    ----------
    xyz
        Positions, shape (n_frames, n_selected_atoms, 3), nm.
    time
        Shape (n_frames,), ps; None if the file has no times.
    unitcell_lengths, unitcell_angles
        Shape (n_frames, 3), nm and degrees; None if the file has no unit cell.
    """

    xyz: NDArray[np.float32]
    time: NDArray[np.float64] | None = None
    unitcell_lengths: NDArray[np.float64] | None = None
    unitcell_angles: NDArray[np.float64] | None = None

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
    for wanted in _stretches(frames.to_array(), 4 * block_frames, entry):
        position, stop = int(wanted[0]), int(wanted[-1]) + 1
        chunk = min(block_frames, stop - position)
        topology = bare_topology(n_atoms) if imager is None else shared_topology(images[0], images[2])  # type: ignore[index]
        if position and entry.name in ("XTC", "TRR"):
            frame_offsets(path, entry)
        for part in iterload(path, entry, topology, chunk=chunk, skip=position):
            first, last = np.searchsorted(wanted, [position, position + part.n_frames])
            rows = wanted[first:last] - position
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


def _stretches(wanted: NDArray[np.int64], gap: int, entry: TrajectoryFormat) -> list[NDArray[np.int64]]:
    """Part frames where it is cheaper to skip those between than to read them."""
    if not entry.can_seek or not len(wanted):
        return [wanted] if len(wanted) else []
    return np.split(wanted, np.flatnonzero(np.diff(wanted) > gap) + 1)


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
        lengths, angles = _cells_of_dcd(lengths, angles)
    xyz = np.ma.filled(trajectory.xyz, np.nan)[chosen]  # NetCDF masks what was never written
    if imager is not None and lengths is not None:
        moved = md.Trajectory(np.array(xyz, order="C"), trajectory.topology)
        moved.unitcell_lengths, moved.unitcell_angles = lengths, angles
        imager(moved)
        xyz = moved.xyz
    if atom_indices is not None:
        xyz = xyz[:, atom_indices]
    return Block(np.ascontiguousarray(xyz, dtype=np.float32), time, lengths, angles)


def _cells_of_dcd(
    lengths: NDArray[np.float64], angles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mend cells that CHARMM wrote as a symmetric matrix, of which mdtraj makes lengths and angles."""
    is_cell = (angles > 0).all(axis=1) & (angles.sum(axis=1) > 2 * angles.max(axis=1))
    is_matrix = lengths.any(axis=1) & ~(is_cell & (angles.sum(axis=1) < 360))
    if not is_matrix.any():
        return lengths, angles
    (xx, yy, zz), (yz, xz, xy) = lengths.T, 0.1 * angles.T
    vectors = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).swapaxes(1, 2)
    cell = np.stack(box_vectors_to_lengths_and_angles(*vectors), axis=1)
    here = is_matrix[:, None]
    return np.where(here, cell[:, :3], lengths), np.where(here, cell[:, 3:], angles)


class _BareTopology(md.Topology):  # type: ignore[misc]
    """So many atoms without names: all that readers ask of a topology."""

    def __init__(self, n_atoms: int) -> None:
        super().__init__()
        self._numAtoms = n_atoms

    @property
    def n_atoms(self) -> int:
        return self._numAtoms


def bare_topology(n_atoms: int) -> md.Topology:
    """Topology of so many nameless atoms."""
    return _BareTopology(n_atoms)


@lru_cache(maxsize=2)
def _imager(topology_path: str, image: str, reader: str, atom_indices: bytes | None) -> Imager:
    atoms = None if atom_indices is None else np.frombuffer(atom_indices, np.int64)
    return make_imager(shared_topology(topology_path, reader), image, atoms, path=topology_path)


class _GroFile(GroTrajectoryFile):  # type: ignore[misc]
    """A GRO file of which `iterload` gets the frames that it asks for, where mdtraj has it load all."""

    def seek(self, offset: int) -> None:
        n_lines = offset * (self.n_atoms + 3)
        deque(islice(self._file, n_lines), maxlen=0)

    def read_as_traj(self, n_frames: int, **options: Any) -> md.Trajectory:
        self.read = partial(super().read, n_frames)
        return super().read_as_traj(**options)


FormatRegistry.fileobjects[".gro"] = _GroFile
_FILES = {extension: FormatRegistry.fileobjects[extension] for extension in (".xtc", ".trr")}
_offsets: dict[tuple[str, int, int], NDArray[np.int64]] = {}


def frame_offsets(path: str, entry: TrajectoryFormat) -> NDArray[np.int64]:
    """Bytes at which the frames of an XTC or TRR file begin, as mdtraj finds them."""
    status = Path(path).stat()
    key = os.path.realpath(path), status.st_size, status.st_mtime_ns
    if key not in _offsets:
        with plain_name(path, entry.extensions) as name, _FILES[name[-4:]](name) as file:
            found = np.array(file.offsets, np.int64)
        while _offsets and sum(each.nbytes for each in _offsets.values()) + found.nbytes > _OFFSET_BYTES:
            _offsets.pop(next(iter(_offsets)))
        _offsets[key] = found
        FormatRegistry.fileobjects.update(dict.fromkeys(_FILES, _open_where_known))
    return _offsets[key]


def _open_where_known(name: str, *arguments: Any, **options: Any) -> Any:
    """Open a file for `iterload`, which otherwise scans all of it at each open to skip frames."""
    file = _FILES[name[-4:]](name, *arguments, **options)
    status = Path(name).stat()
    known = _offsets.get((os.path.realpath(name), status.st_size, status.st_mtime_ns))
    if known is not None:
        file.offsets = known
    return file


def read_all_times(path: str, entry: TrajectoryFormat, n_atoms: int, n_frames: int) -> NDArray[np.float64]:
    """Times of the first `n_frames` frames, shape (n_frames,), ps, or their steps; in a reader."""
    if entry.name == "XTC":
        return numbers_at(path, frame_offsets(path, entry)[:n_frames] + _XTC_TIME, ">f4").astype(np.float64)
    if entry.name == "TRR":
        starts = frame_offsets(path, entry)[:n_frames]
        times = numbers_at(path, starts + _TRR_TIME, ">f4")
        is_double = numbers_at(path, starts + _TRR_POSITION_BYTES, ">i4") == 24 * n_atoms
        times[is_double] = numbers_at(path, starts[is_double] + _TRR_TIME, ">f8")
        return times.astype(np.float64)
    if entry.name in _NUMBERED:
        row, n_others = _NUMBERED[entry.name]
        with open_unpacked(path, "rb") as file:
            per_frame = n_others + n_atoms
            lines = islice(file, row, n_frames * per_frame, per_frame)
            words = [_GRO_TIME.findall(line)[-1] if entry.name == "GRO" else line for line in lines]
        return np.array(words, np.float64)
    if entry.name in ("Amber NetCDF", "MDTraj HDF5"):
        with plain_name(path, entry.extensions) as name, md.open(name) as file:
            if entry.name == "Amber NetCDF":
                found = file._handle.variables["time"][:n_frames]
            else:
                units = file.root.time.attrs.units
                units = units if isinstance(units, str) else units.decode()
                found = in_units_of(file.root.time[:n_frames], units, "picoseconds")
        return np.ma.filled(found, np.nan).astype(np.float64)
    block_frames = max(1, (8 << 20) // (24 * n_atoms))
    blocks = read_frames(
        path, entry, n_atoms, FrameList.of(range(n_frames)), block_frames, np.arange(1), None
    )
    return np.concatenate([block.time for block in blocks if block.time is not None])


def numbers_at(path: str, places: NDArray[np.int64], dtype: str) -> NDArray[Any]:
    """Numbers that begin at some bytes of a file, shape (n_places,)."""
    content = np.memmap(path, np.uint8, "r")
    found: NDArray[Any] = content[places[:, None] + np.arange(np.dtype(dtype).itemsize)].view(dtype)[:, 0]
    return found
