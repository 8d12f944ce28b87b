"""One open trajectory file: positioned at any frame, read any number of frames, whatever the format.

The file objects under ``md.iterload`` are used rather than it: it ignores ``skip`` for PDB, can't ``seek`` in
GRO, parses the topology anew for every chunk of HDF5, scans all of an XTC or TRR file at each open, prints on
stdout for DCD, and means a different thing by ``chunk`` with ``stride`` in each format.
"""

from abc import ABC, abstractmethod
from itertools import count
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.formats import (
    DCDTrajectoryFile,
    GroTrajectoryFile,
    HDF5TrajectoryFile,
    LAMMPSTrajectoryFile,
    MDCRDTrajectoryFile,
    NetCDFTrajectoryFile,
    TRRTrajectoryFile,
    XYZTrajectoryFile,
)
from mdtraj.utils.unitcell import box_vectors_to_lengths_and_angles

from .ascii_names import ascii_name
from .containment import contained, is_fragile, reader_serial
from .dcd import silent_stdout
from .xdr import FrameIndex, frame_index

__all__ = ["Source", "open_source"]

# Particles per nm^3 above which mdtraj takes a CRYST1 record for a dummy.
_MAX_DENSITY = 1000


class Source(ABC):
    """An open trajectory file."""

    @abstractmethod
    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        """Frames ``start, start + step, ...``, ``n_frames`` of them, or fewer where the file ends."""

    def raw_frames(self, n_frames: int, step: int) -> int:
        """Frames that are in memory at once while ``read`` works."""
        return n_frames

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class _XdrSource(Source):
    """XTC and TRR."""

    def __init__(self, path: str, topology: md.Topology, index: FrameIndex) -> None:
        self._index = index
        self._topology = topology
        self._open(path)

    @abstractmethod
    def _open(self, path: str) -> None:
        """Open the file."""

    @abstractmethod
    def _read_run(self, start: int, n_frames: int) -> tuple[Any, ...]:
        """Positions, times, steps and vectors of the unit cell (None without) of consecutive frames."""

    def raw_frames(self, n_frames: int, step: int) -> int:
        return n_frames if self._hops(step) else n_frames * step

    def _hops(self, step: int) -> bool:
        # A hop costs as much as decoding about 5000 atoms.
        return (step - 1) * int(self._topology.n_atoms) > 5000

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        if self._hops(step):
            runs = [self._read_run(start + step * i, 1) for i in range(n_frames)]
        else:
            runs = [self._read_run(start, (n_frames - 1) * step + 1)]
            step_in_run = slice(None, None, step)
            runs = [tuple(None if part is None else part[step_in_run] for part in runs[0])]
        xyz = np.concatenate([run[0] for run in runs]) if len(runs) > 1 else runs[0][0]
        time = np.concatenate([run[1] for run in runs]) if len(runs) > 1 else runs[0][1]
        boxes = [np.zeros((len(run[0]), 3, 3), np.float32) if run[3] is None else run[3] for run in runs]
        trajectory = md.Trajectory(xyz=xyz, topology=self._topology, time=time)
        with np.errstate(invalid="ignore", divide="ignore"):  # frames without a box among others with one
            trajectory.unitcell_vectors = np.concatenate(boxes) if len(boxes) > 1 else boxes[0]
        # A trajectory of mdtraj keeps neither.
        trajectory.source_step = np.concatenate([run[2] for run in runs])
        trajectory.source_vectors = np.concatenate(boxes)
        return trajectory


class _XtcSource(_XdrSource):
    """XTC."""

    def _open(self, path: str) -> None:
        # numba takes a fifth of a second to import.
        from .xtc import XtcFile

        self._file = XtcFile(path, self._index)

    def _read_run(self, start: int, n_frames: int) -> tuple[Any, ...]:
        return self._file.read(start, n_frames)

    def close(self) -> None:
        self._file.close()


class _TrrSource(_XdrSource):
    """TRR."""

    def _open(self, path: str) -> None:
        with ascii_name(path) as name:
            self._file: Any = TRRTrajectoryFile(name)
        self._position = 0

    def _read_run(self, start: int, n_frames: int) -> tuple[Any, ...]:
        if start != self._position:
            # mdtraj's own seek() looks the frame up in offsets that it scans from the whole file.
            self._file.offsets = np.array([self._index.offset(start)], dtype=np.int64)
            self._file.seek(0)
        result: tuple[Any, ...] = self._file.read(n_frames=n_frames)
        self._position = start + len(result[0])
        return result

    def close(self) -> None:
        self._file.close()


class _SeekableSource(Source):
    """Formats whose file object seeks forward and strides as documented: DCD, NetCDF, mdcrd, XYZ, LAMMPS.

    The text formats seek by parsing what lies before, one frame at a time; so does ``stride``.
    """

    def __init__(self, path: str, topology: md.Topology, *, has_box: bool) -> None:
        self._topology = topology
        self._file = self._open(path, has_box=has_box)

    def _open(self, path: str, *, has_box: bool) -> Any:
        extension = Path(path).suffix.lower()
        if extension in (".nc", ".netcdf", ".ncdf"):
            return NetCDFTrajectoryFile(path)
        if extension in (".mdcrd", ".crd"):
            # Left to detect boxes itself, it splits the next line at blanks; -100.000-200.000 breaks it.
            return MDCRDTrajectoryFile(path, n_atoms=self._topology.n_atoms, has_box=has_box)
        return XYZTrajectoryFile(path) if extension == ".xyz" else LAMMPSTrajectoryFile(path)

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        if int(self._file.tell()) != start:
            self._file.seek(start)
        return self._file.read_as_traj(self._topology, n_frames=n_frames, stride=step)

    def close(self) -> None:
        self._file.close()


class _DcdSource(_SeekableSource):
    """DCD, whose unit cells may be given in two ways."""

    def _open(self, path: str, *, has_box: bool) -> Any:
        with silent_stdout(), ascii_name(path) as name:
            return DCDTrajectoryFile(name)

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        trajectory = super().read(start, n_frames, step)
        if trajectory.unitcell_lengths is None:
            return trajectory
        lengths, angles = trajectory.unitcell_lengths, trajectory.unitcell_angles
        is_cell = (angles > 0).all(axis=1) & (angles.sum(axis=1) > 2 * angles.max(axis=1))
        is_matrix = lengths.any(axis=1) & ~(is_cell & (angles.sum(axis=1) < 360))
        if is_matrix.any():
            # CHARMM writes the symmetric matrix of the cell's vectors, which mdtraj takes for angles.
            (xx, yy, zz), (yz, xz, xy) = lengths.T, 0.1 * angles.T
            vectors = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).swapaxes(1, 2)
            cell = np.stack(box_vectors_to_lengths_and_angles(*vectors), axis=1)
            trajectory.unitcell_lengths = np.where(is_matrix[:, None], cell[:, :3], lengths)
            trajectory.unitcell_angles = np.where(is_matrix[:, None], cell[:, 3:], angles)
        return trajectory


class _NetcdfSource(_SeekableSource):
    """NetCDF, whose strided reads fetch number by number and whose file object can't tell where it stands."""

    def raw_frames(self, n_frames: int, step: int) -> int:
        return n_frames * step

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        # After a strided or final read its position lies beyond what was read.
        self._file.seek(start)
        trajectory = self._file.read_as_traj(self._topology, n_frames=(n_frames - 1) * step + 1)
        # Indexing would copy the topology too, atom by atom.
        return trajectory if step == 1 else trajectory.slice(slice(None, None, step), copy=False)


class _Hdf5Source(Source):
    """MDTraj's HDF5."""

    def __init__(self, path: str, topology: md.Topology) -> None:
        self._file: Any = HDF5TrajectoryFile(path)
        self._topology = topology

    def raw_frames(self, n_frames: int, step: int) -> int:
        # Velocities, where there are any, come along unasked.
        return n_frames * (2 if hasattr(self._file.root, "velocities") else 1)

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        self._file.seek(start)
        # Its n_frames counts the frames before striding, unlike that of the other formats.
        data = self._file.read(n_frames=(n_frames - 1) * step + 1, stride=step)
        if len(data) == 0:
            return md.Trajectory(np.zeros((0, self._topology.n_atoms, 3), np.float32), self._topology)
        return md.Trajectory(
            xyz=data.coordinates,
            topology=self._topology,
            time=data.time,
            unitcell_lengths=data.cell_lengths,
            unitcell_angles=data.cell_angles,
        )

    @property
    def has_time(self) -> bool:
        """Whether the file has an array of times."""
        return hasattr(self._file.root, "time")

    def close(self) -> None:
        self._file.close()


class _GroSource(Source):
    """GRO: ``read_as_traj`` ignores ``n_frames``, ``seek`` is missing, ``read`` goes on where it stopped."""

    def __init__(self, path: str, topology: md.Topology) -> None:
        self._path = path
        self._file = self._open(path, topology)
        self._position = 0
        self._topology = topology

    @staticmethod
    def _open(path: str, topology: md.Topology) -> Any:
        opener: Any = GroTrajectoryFile
        return opener(path, top=topology)

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        if start < self._position:
            self._file.close()
            self._file, self._position = self._open(self._path, self._topology), 0
        frames = []
        for wanted in range(start, start + n_frames * step, step):
            while self._position <= wanted:
                frame = self._file.read(n_frames=1)
                if len(frame[0]) == 0:
                    break
                self._position += 1
            else:
                frames.append(frame)
                continue
            break
        if not frames:
            return md.Trajectory(np.zeros((0, self._topology.n_atoms, 3), np.float32), self._topology)
        times = [frame[1] for frame in frames]
        time = None if any(part is None for part in times) else np.concatenate(times)
        trajectory = md.Trajectory(np.concatenate([frame[0] for frame in frames]), self._topology, time=time)
        with np.errstate(invalid="ignore", divide="ignore"):
            trajectory.unitcell_vectors = np.concatenate([frame[2] for frame in frames])
        return trajectory

    def close(self) -> None:
        self._file.close()


class _PdbSource(Source):
    """PDB: mdtraj parses all models at once, so they are kept and sliced."""

    def __init__(self, path: str, topology: md.Topology) -> None:
        # The check of the unit cell is made here, since mdtraj's warns on every read.
        trajectory = md.load_pdb(path, top=topology, no_boxchk=True)
        if trajectory.unitcell_lengths is not None:
            volume = float(trajectory.unitcell_volumes[0])
            if trajectory.n_atoms / (volume if volume > 0 else 1.0) > _MAX_DENSITY:
                trajectory.unitcell_vectors = None
        self._trajectory = trajectory

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        # Indexing would copy the topology too, atom by atom.
        return self._trajectory.slice(slice(start, start + (n_frames - 1) * step + 1, step), copy=False)

    def close(self) -> None:
        del self._trajectory


class _ContainedSource(Source):
    """A file that is open in the reader's process."""

    def __init__(self, path: str, topology: md.Topology) -> None:
        self._path = path
        self._topology = topology
        self._open()

    def _open(self) -> None:
        self._number = next(_numbers)
        self.has_time = contained(
            _open_there, self._number, self._path, self._topology, path=self._path, what="the frames"
        )
        self._reader = reader_serial()

    def raw_frames(self, n_frames: int, step: int) -> int:
        return self._ask("raw_frames", n_frames, step, n_frames=0)  # type: ignore[no-any-return]

    def read(self, start: int, n_frames: int, step: int) -> md.Trajectory:
        xyz, time, lengths, angles = self._ask("read", start, n_frames, step, n_frames=n_frames * step)
        return md.Trajectory(xyz, self._topology, time=time, unitcell_lengths=lengths, unitcell_angles=angles)

    def _ask(self, method: str, *arguments: int, n_frames: int) -> Any:
        if reader_serial() != self._reader:  # it ended over another file
            self._open()
        needs_bytes = 200 * n_frames * int(self._topology.n_atoms)
        return contained(
            _ask_there,
            self._number,
            method,
            arguments,
            path=self._path,
            what="frames",
            needs_bytes=needs_bytes,
        )

    def close(self) -> None:
        if reader_serial() == self._reader:  # otherwise it went with the reader
            contained(_ask_there, self._number, "close", (), path=self._path, what="the file")


# Never used twice: a number of one reader's process means nothing to the next.
_numbers = count()
# In the reader's process.
_open_sources: dict[int, Source] = {}


def _open_there(number: int, path: str, topology: md.Topology) -> bool:
    source = _open_sources[number] = _open_here(path, topology, False, None)
    return bool(getattr(source, "has_time", False))


def _ask_there(number: int, method: str, arguments: tuple[int, ...]) -> Any:
    if method == "close":
        source = _open_sources.pop(number, None)
        return None if source is None else source.close()
    answer = getattr(_open_sources[number], method)(*arguments)
    if not isinstance(answer, md.Trajectory):
        return answer
    cell = [
        None if part is None else np.ma.filled(part, np.nan)
        for part in (answer.time, answer.unitcell_lengths, answer.unitcell_angles)
    ]
    return np.ma.filled(answer.xyz, np.nan), *cell


def open_source(
    path: str, topology: md.Topology, *, has_box: bool, index: FrameIndex | None = None
) -> Source:
    """Open a trajectory file of a supported format.

    Parameters
    ----------
    path
        The file.
    topology
        Its atoms.
    has_box
        Whether frames carry a unit cell; only mdcrd needs to be told.
    index
        Where the frames of XTC and TRR begin; found anew where None.
    """
    if is_fragile(path):
        return _ContainedSource(path, topology)
    return _open_here(path, topology, has_box, index)


def _open_here(path: str, topology: md.Topology, has_box: bool, index: FrameIndex | None) -> Source:
    extension = Path(path).suffix.lower()
    if extension in (".xtc", ".trr"):
        opener = _XtcSource if extension == ".xtc" else _TrrSource
        return opener(path, topology, index or frame_index(path))
    if extension in (".h5", ".hdf5"):
        return _Hdf5Source(path, topology)
    if extension == ".gro":
        return _GroSource(path, topology)
    if extension == ".pdb":
        return _PdbSource(path, topology)
    if extension == ".dcd":
        return _DcdSource(path, topology, has_box=has_box)
    if extension in (".nc", ".netcdf", ".ncdf"):
        return _NetcdfSource(path, topology, has_box=has_box)
    return _SeekableSource(path, topology, has_box=has_box)
