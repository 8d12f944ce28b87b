"""Trajectories written frame by frame, in every format for which mdtraj does so and md.load reads it back."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, count
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
    PDBTrajectoryFile,
    PDBxTrajectoryFile,
    TRRTrajectoryFile,
    XTCTrajectoryFile,
    XYZTrajectoryFile,
)
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .ascii_names import ascii_name
from .dcd import count_dcd_frames
from .output_formats import XTC_GRID_NM, file_extension, output_format
from .xdr import frame_index

__all__ = ["TrajectoryWriter", "WrittenFrames", "open_writer"]

# Components of cell vectors below this are rounding of 90°, as mdtraj has it.
_ASKEW_NM = 1e-6

# Frames of a closed file that are read at once to be compared.
_CHECKED_FRAMES = 1000


@dataclass(frozen=True, slots=True)
class WrittenFrames:
    """Successive frames to be written.

    Attributes
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm.
    step
        Numbers of the simulation steps, shape (n_frames,).
    time
        Shape (n_frames,), ps; None where there are none: formats that must have some take `step`.
    unitcell_lengths, unitcell_angles
        Shape (n_frames, 3), nm and degrees; None where there is no unit cell.
    source_vectors
        Vectors of the unit cell as the source file had them, shape (n_frames, 3, 3), nm; NaN for frames where
        it had none, None where no file has any.
    """

    xyz: NDArray[np.float32]
    step: NDArray[np.int64]
    time: NDArray[np.float64] | None
    unitcell_lengths: NDArray[np.float64] | None
    unitcell_angles: NDArray[np.float64] | None
    source_vectors: NDArray[np.float32] | None = None

    @property
    def unitcell_vectors(self) -> NDArray[np.float32] | None:
        """Vectors of the unit cell, shape (n_frames, 3, 3), nm."""
        if self.unitcell_lengths is None or self.unitcell_angles is None:
            return None
        # mdtraj's function looks at each frame's angles by itself, in Python, and works in float32, which
        # leaves a rectangular cell of more than 20 nm askew.
        a, b, c = self.unitcell_lengths.T
        cos_alpha, cos_beta, cos_gamma = np.cos(np.radians(self.unitcell_angles)).T
        sin_gamma = np.sin(np.radians(self.unitcell_angles[:, 2]))
        cx, cy = c * cos_beta, c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma
        vectors = np.zeros((len(a), 3, 3))
        vectors[:, 0, 0], vectors[:, 1, 0], vectors[:, 1, 1] = a, b * cos_gamma, b * sin_gamma
        vectors[:, 2, 0], vectors[:, 2, 1], vectors[:, 2, 2] = cx, cy, np.sqrt(c * c - cx * cx - cy * cy)
        vectors[np.abs(vectors) < _ASKEW_NM] = 0
        if self.source_vectors is not None:
            vectors = np.where(np.isfinite(self.source_vectors), self.source_vectors, vectors)
        return vectors.astype(np.float32)


class TrajectoryWriter(ABC):
    """A trajectory file that is being written.

    Parameters
    ----------
    path
        The file.
    topology
        Its atoms.
    """

    def __init__(self, path: Path, topology: md.Topology) -> None:
        self._path = path
        self._topology = topology
        self._names = ExitStack()
        self._file: Any = self._open()

    @abstractmethod
    def _open(self) -> Any:
        """Open mdtraj's file object."""

    @abstractmethod
    def write(self, frames: WrittenFrames) -> None:
        """Write frames behind those that are there."""

    def close(self) -> None:
        """Write what mdtraj holds back, and close the file."""
        with self._names:
            self._file.close()

    def n_frames_on_disk(self) -> int | None:
        """Count what is in the closed file, where that takes no decoding; None otherwise.

        The C libraries under mdtraj don't always tell that the disk was full when they closed a file.
        """
        return None

    def is_intact(self) -> bool:
        """Tell whether the closed file has what was written; only looked at where nothing else tells."""
        return True


class _XdrWriter(TrajectoryWriter):
    """XTC and TRR."""

    def __init__(self, path: Path, topology: md.Topology, precision: float) -> None:
        self._precision = precision
        super().__init__(path, topology)

    def _open(self) -> Any:
        opener = TRRTrajectoryFile if file_extension(self._path) == ".trr" else XTCTrajectoryFile
        return opener(self._names.enter_context(ascii_name(str(self._path))), "w")

    def write(self, frames: WrittenFrames) -> None:
        # The field has 32 bits, and wraps round in GROMACS too.
        step = frames.step.astype(np.int64).astype(np.int32)
        time = (step if frames.time is None else frames.time).astype(np.float32)
        box = frames.unitcell_vectors
        if isinstance(self._file, TRRTrajectoryFile) or self._precision == 1 / XTC_GRID_NM:
            self._file.write(frames.xyz, time=time, step=step, box=box)
            return
        # Its write() knows no other precision than 1000 a nm.
        n_frames = len(frames.xyz)
        box = np.zeros((n_frames, 3, 3), np.float32) if box is None else box
        self._file._write(frames.xyz, time, step, box, np.full(n_frames, self._precision, np.float32))

    def n_frames_on_disk(self) -> int | None:
        return frame_index(str(self._path)).count()


class _DcdWriter(TrajectoryWriter):
    def _open(self) -> Any:
        return DCDTrajectoryFile(self._names.enter_context(ascii_name(str(self._path))), "w")

    def write(self, frames: WrittenFrames) -> None:
        self._file.write(
            frames.xyz * np.float32(10),
            cell_lengths=_angstrom(frames.unitcell_lengths),
            cell_angles=frames.unitcell_angles,
        )

    def n_frames_on_disk(self) -> int | None:
        return count_dcd_frames(str(self._path))[0]


class _Hdf5Writer(TrajectoryWriter):
    def _open(self) -> Any:
        self._digests = [blake2b() for _ in range(4)]
        file = HDF5TrajectoryFile(str(self._path), "w")
        file.topology = self._topology
        return file

    def write(self, frames: WrittenFrames) -> None:
        columns = frames.xyz, frames.time, frames.unitcell_lengths, frames.unitcell_angles
        _update(self._digests, columns)
        xyz, time, lengths, angles = columns
        self._file.write(xyz, time=time, cell_lengths=lengths, cell_angles=angles)

    def n_frames_on_disk(self) -> int | None:
        with HDF5TrajectoryFile(str(self._path)) as file:
            return len(file)

    def is_intact(self) -> bool:
        # On a full disk, PyTables writes, flushes and closes without a word, and leaves holes.
        found = [blake2b() for _ in self._digests]
        with HDF5TrajectoryFile(str(self._path)) as file:
            for _ in range(0, len(file), _CHECKED_FRAMES):
                block = file.read(n_frames=_CHECKED_FRAMES)
                _update(found, (block.coordinates, block.time, block.cell_lengths, block.cell_angles))
        return [each.digest() for each in found] == [each.digest() for each in self._digests]


def _update(digests: Iterable[blake2b], columns: Iterable[NDArray[Any] | None]) -> None:
    for each, values in zip(digests, columns, strict=True):
        if values is not None:
            each.update(np.ascontiguousarray(values, np.float32).data)


class _NetcdfWriter(TrajectoryWriter):
    def _open(self) -> Any:
        return NetCDFTrajectoryFile(str(self._path), "w")

    def write(self, frames: WrittenFrames) -> None:
        self._file.write(
            frames.xyz * np.float32(10),
            time=frames.time,
            cell_lengths=_angstrom(frames.unitcell_lengths),
            cell_angles=frames.unitcell_angles,
        )

    def close(self) -> None:
        try:
            self._file.flush()
        except RuntimeError:
            # A close that fails takes the process down, when netCDF4 closes once more as the object goes.
            self._file._closed = True
            self._file._handle._isopen = 0
            raise
        super().close()

    def n_frames_on_disk(self) -> int | None:
        with NetCDFTrajectoryFile(str(self._path)) as file:
            return int(file.n_frames)


class _MdcrdWriter(TrajectoryWriter):
    def _open(self) -> Any:
        return MDCRDTrajectoryFile(str(self._path), mode="w")

    def write(self, frames: WrittenFrames) -> None:
        if frames.unitcell_angles is not None and not np.all(frames.unitcell_angles == 90):
            raise TrajectoryError(
                f"Cannot write {self._path}: mdcrd has room for rectangular unit cells only. "
                "Choose another format, such as nc."
            )
        self._file.write(10.0 * frames.xyz, cell_lengths=_angstrom(frames.unitcell_lengths))


class _XyzWriter(TrajectoryWriter):
    def _open(self) -> Any:
        self._types = [atom.name for atom in self._topology.atoms]
        return XYZTrajectoryFile(str(self._path), "w")

    def write(self, frames: WrittenFrames) -> None:
        self._file.write(10.0 * frames.xyz, types=self._types)


class _LammpsWriter(TrajectoryWriter):
    def _open(self) -> Any:
        file = LAMMPSTrajectoryFile(str(self._path), "w")
        # mdtraj counts time steps from 0 in every call of write().
        file._fh = self._steps = _TimeSteps(file._fh)
        return file

    def write(self, frames: WrittenFrames) -> None:
        if frames.unitcell_lengths is None or frames.unitcell_angles is None:
            raise TrajectoryError(
                f"Cannot write {self._path}: a LAMMPS dump needs a unit cell, and the frames have none. "
                "Choose another format, such as xyz."
            )
        self._file.write(
            10.0 * frames.xyz.astype(np.float64),
            cell_lengths=_angstrom(frames.unitcell_lengths),
            cell_angles=frames.unitcell_angles,
        )


class _TimeSteps:
    """A text file that numbers the frames of a LAMMPS dump itself."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._numbers = count()
        self._is_number = False

    def write(self, text: str) -> None:
        self._file.write(f"{next(self._numbers)}\n" if self._is_number else text)
        self._is_number = text == "ITEM: TIMESTEP\n"

    def close(self) -> None:
        self._file.close()


class _GroWriter(TrajectoryWriter):
    def _open(self) -> Any:
        return GroTrajectoryFile(str(self._path), "w")

    def write(self, frames: WrittenFrames) -> None:
        low, high = float(frames.xyz.min(initial=0)), float(frames.xyz.max(initial=0))
        if low <= -999.9995 or high >= 9999.9995:
            raise TrajectoryError(
                f"Cannot write {self._path}: GRO has no room for a coordinate of "
                f"{low if low <= -999.9995 else high:.3f} nm. Choose another format, such as trr."
            )
        self._file.write(
            frames.xyz, self._topology, time=frames.time, unitcell_vectors=frames.unitcell_vectors
        )


class _ModelWriter(TrajectoryWriter):
    """PDB and mmCIF: one call a model, the unit cell of the first."""

    def __init__(self, path: Path, topology: md.Topology, n_frames: int) -> None:
        self._models = iter([None]) if n_frames == 1 else iter(range(1, n_frames + 1))
        self._is_pdb = file_extension(path).startswith(".pdb")
        super().__init__(path, topology if self._is_pdb else _with_chain_ids(topology))

    def _open(self) -> Any:
        return (PDBTrajectoryFile if self._is_pdb else PDBxTrajectoryFile)(str(self._path), "w")

    def write(self, frames: WrittenFrames) -> None:
        lengths, angles = frames.unitcell_lengths, frames.unitcell_angles
        for index, positions in enumerate(frames.xyz):
            cell: dict[str, Any] = {}
            if lengths is not None and angles is not None:
                cell = {"unitcell_lengths": lengths[index], "unitcell_angles": angles[index]}
            if not self._is_pdb:
                self._file.write(positions, self._topology, keepIds=True, **cell)
                continue
            if cell:
                cell["unitcell_lengths"] = 10.0 * cell["unitcell_lengths"]
            self._file.write(
                10.0 * positions.astype(np.float64), self._topology, modelIndex=next(self._models), **cell
            )


def _per_nm(grid_nm: float) -> float:
    """Precision of an XTC file; the grid may come from float32, and mostly is of a whole number a nm."""
    exact = 1 / grid_nm
    return float(round(exact)) if abs(exact - round(exact)) < 1e-6 * exact else exact


def _with_chain_ids(topology: md.Topology) -> md.Topology:
    """Copy with an identifier of its own for each chain: mmCIF tells chains apart by them."""
    copied = topology.copy()
    taken: set[str] = set()
    for each, original in zip(copied.chains, topology.chains, strict=True):
        wanted = "".join(str(original.chain_id or "").split()) or _letters(original.index)
        name = next(name for name in chain([wanted], map(_letters, count())) if name not in taken)
        taken.add(name)
        each.chain_id = name
    return copied


def _letters(index: int) -> str:
    rest, last = divmod(index, 26)
    return (_letters(rest - 1) if rest else "") + chr(ord("A") + last)


def _angstrom(lengths: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return None if lengths is None else 10.0 * lengths


_WRITERS: dict[str, type[TrajectoryWriter]] = {
    "DCD": _DcdWriter,
    "MDTraj HDF5": _Hdf5Writer,
    "Amber NetCDF": _NetcdfWriter,
    "Amber mdcrd": _MdcrdWriter,
    "XYZ": _XyzWriter,
    "LAMMPS": _LammpsWriter,
    "GRO": _GroWriter,
}


@contextmanager
def open_writer(
    path: Path, topology: md.Topology, *, n_frames: int, xtc_grid_nm: float = XTC_GRID_NM
) -> Iterator[TrajectoryWriter]:
    """Open a trajectory file for writing; closes it, and counts what is in it.

    Parameters
    ----------
    path
        The file, with an extension of `output_format`; replaced where it exists.
    topology
        Its atoms.
    n_frames
        Frames that are going to be written.
    xtc_grid_nm
        What XTC rounds positions to.

    Raises
    ------
    TrajectoryError
        If the format has no room for a frame, or frames are missing in the closed file.
    """
    entry = output_format(path)
    writer: TrajectoryWriter
    if entry.name in ("XTC", "TRR"):
        writer = _XdrWriter(path, topology, _per_nm(xtc_grid_nm))
    elif entry.name in ("PDB", "mmCIF"):
        writer = _ModelWriter(path, topology, n_frames)
    else:
        writer = _WRITERS[entry.name](path, topology)
    try:
        yield writer
    finally:
        writer.close()
    found = writer.n_frames_on_disk()
    if found is not None and found != n_frames:
        raise TrajectoryError(f"{path} holds {found} frames, and {n_frames} were written: is the disk full?")
    if not writer.is_intact():
        raise TrajectoryError(f"{path} doesn't hold what was written: is the disk full?")
