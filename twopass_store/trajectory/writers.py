"""Trajectories written block by block, in every format that mdtraj writes so and md.load reads back."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .formats import output_format, plain_name
from .probe import probe
from .stream import Block

__all__ = ["open_writer"]

# C libraries may hide that the disk is full; Python's files don't.
_WRITTEN_IN_C = ("XTC", "TRR", "DCD", "MDTraj HDF5", "Amber NetCDF")


class _Writer:
    """A file that is being written, through mdtraj's file object of its format; as `open_writer`."""

    def __init__(
        self, path: str, topology: md.Topology, *, n_frames: int, xtc_grid_nm: float, remarks: Sequence[str]
    ) -> None:
        self._format = output_format(path).name
        self._topology = _fitted(topology, self._format)
        self._n_frames = n_frames
        self._remarks = remarks
        self._n_written = 0
        # The grid may come from float32, and is mostly of a whole number per nm.
        whole = round(1 / xtc_grid_nm)
        self._per_nm = np.float32(whole if abs(1 / xtc_grid_nm - whole) < 1e-6 * whole else 1 / xtc_grid_nm)
        self._file: Any = md.open(path, "w")
        if self._format == "MDTraj HDF5":
            self._file.topology = topology

    def write(self, frames: Block) -> None:
        """Write frames after those already there."""
        xyz, time, angles, vectors = frames.xyz, frames.time, frames.unitcell_angles, frames.unitcell_vectors
        lengths_angstrom = None if frames.unitcell_lengths is None else 10.0 * frames.unitcell_lengths
        step = np.arange(self._n_written, self._n_written + len(xyz), dtype=np.int32)
        match self._format:
            case "XTC" | "TRR":
                time32 = (step if time is None else time).astype(np.float32)
                box = None if vectors is None else np.ascontiguousarray(vectors, np.float32)
                if self._format == "TRR":
                    self._file.write(xyz, time=time32, step=step, box=box)
                else:
                    # The public method knows no other precision than 1000 per nm.
                    box = np.zeros((len(xyz), 3, 3), np.float32) if box is None else box
                    self._file._write(xyz, time32, step, box, np.full(len(xyz), self._per_nm))
            case "DCD":
                self._file.write(xyz * np.float32(10), cell_lengths=lengths_angstrom, cell_angles=angles)
            case "Amber NetCDF":
                self._file.write(xyz * np.float32(10), time, lengths_angstrom, angles)
            case "MDTraj HDF5":
                self._file.write(xyz, time=time, cell_lengths=frames.unitcell_lengths, cell_angles=angles)
            case "Amber mdcrd":
                if angles is not None and not (angles == 90).all():
                    raise TrajectoryError(
                        "mdcrd has room for rectangular unit cells only. Choose another format, such as nc."
                    )
                self._file.write(10.0 * xyz, cell_lengths=lengths_angstrom)
            case "XYZ":
                self._file.write(10.0 * xyz, types=[atom.name for atom in self._topology.atoms])
            case "LAMMPS":
                if lengths_angstrom is None:
                    raise TrajectoryError(
                        "a LAMMPS dump needs a unit cell, and the frames have none. Choose another format, "
                        "such as xyz."
                    )
                self._write_lammps(10.0 * xyz.astype(np.float64), lengths_angstrom, angles)
            case "GRO":
                low, high = float(xyz.min(initial=0)), float(xyz.max(initial=0))
                if low <= -999.9995 or high >= 9999.9995:
                    raise TrajectoryError(
                        "GRO has no room for a coordinate of "
                        f"{low if low <= -999.9995 else high:.3f} nm. Choose another format, such as trr."
                    )
                self._file.write(xyz, self._topology, time=time, unitcell_vectors=vectors)
            case "PDB":
                self._write_pdb(frames, lengths_angstrom)
            case _:
                for index, positions in enumerate(xyz):
                    cell: dict[str, Any] = {}
                    if frames.unitcell_lengths is not None and angles is not None:
                        lengths = frames.unitcell_lengths[index]
                        cell = {"unitcell_lengths": lengths, "unitcell_angles": angles[index]}
                    self._file.write(positions, self._topology, keepIds=True, **cell)
        self._n_written += len(xyz)

    def _write_lammps(
        self, xyz: NDArray[np.float64], lengths: NDArray[np.float64], angles: NDArray[np.float64] | None
    ) -> None:
        handle, self._file._fh = self._file._fh, io.StringIO()
        try:
            self._file.write(xyz, cell_lengths=lengths, cell_angles=angles)
            text = self._file._fh.getvalue()
        finally:
            self._file._fh = handle
        # mdtraj counts time steps from 0 in every call.
        steps = count(self._n_written)
        handle.write(re.sub(r"(?<=ITEM: TIMESTEP\n)\d+", lambda _: str(next(steps)), text))

    def _write_pdb(self, frames: Block, lengths: NDArray[np.float64] | None) -> None:
        if not self._n_written and lengths is not None and frames.unitcell_angles is not None:
            # mdtraj would write it within the model.
            self._file._write_header(lengths[0], frames.unitcell_angles[0])
        self._file._header_written = True
        for number, positions in enumerate(frames.xyz, start=self._n_written):
            several = self._n_frames > 1
            opening = f"MODEL     {number + 1:4d}\n" if several else ""
            self._file._file.write(opening + "".join(self._remarks[number : number + 1]))
            self._file.write(10.0 * positions.astype(np.float64), self._topology)
            self._file._file.write("ENDMDL\n" if several else "")

    def close(self) -> None:
        """Write what mdtraj holds back, and close the file."""
        if self._format == "Amber NetCDF":
            try:
                self._file.flush()
            except RuntimeError:
                # A close that fails takes the process down when netCDF4 closes once more as the object goes.
                self._file._closed = True
                self._file._handle._isopen = 0
                raise
        self._file.close()


def _fitted(topology: md.Topology, name: str) -> md.Topology:
    """Topology that fits a format whose writer doesn't see to it."""
    if name not in ("GRO", "mmCIF"):
        return topology
    fitted = topology.copy()
    if name == "GRO":
        # Longer ones would shift the columns; mdtraj cuts those of PDB.
        for residue in fitted.residues:
            residue.name, residue.resSeq = residue.name[:5], residue.resSeq % 100_000
        for atom in fitted.atoms:
            atom.name = atom.name[:5]
    elif len({chain.chain_id or "" for chain in fitted.chains} - {""}) < fitted.n_chains:
        # mmCIF tells chains apart by their identifiers.
        for chain in fitted.chains:
            chain.chain_id = str(chain.index + 1)
    return fitted


@contextmanager
def open_writer(
    path: Path,
    topology: md.Topology,
    *,
    n_frames: int,
    xtc_grid_nm: float = 0.001,
    remarks: Sequence[str] = (),
) -> Iterator[_Writer]:
    """Open a new trajectory file for writing; closes it, and checks that all `n_frames` are in it.

    XTC rounds positions to `xtc_grid_nm`. `remarks` are whole lines that stand in front of the
    atoms of each model of a PDB file. Raises a `TrajectoryError` if the format has no room for a frame, or
    frames are missing in the closed file.
    """
    with plain_name(str(path), output_format(path).extensions) as name:
        writer = _Writer(name, topology, n_frames=n_frames, xtc_grid_nm=xtc_grid_nm, remarks=remarks)
        try:
            yield writer
        finally:
            writer.close()
    if output_format(path).name in _WRITTEN_IN_C:
        try:
            n_found = probe(path, topology).n_frames
        except TrajectoryError as error:
            raise TrajectoryError("the file can't be read back: is the disk full?") from error
        if n_found != n_frames:
            raise TrajectoryError(f"the file holds {n_found} of {n_frames} frames: is the disk full?")
