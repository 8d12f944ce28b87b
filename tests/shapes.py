"""Trajectories of extreme shapes, written piece by piece."""

import struct
from pathlib import Path

import mdtraj as md
import numpy as np
from mdtraj.formats import XTCTrajectoryFile

__all__ = ["write_shape", "write_topology"]

_PIECE_COORDINATES = 1 << 21


def write_shape(path: Path, *, n_frames: int, n_atoms: int, centre_nm: float = 5.0, seed: int = 0) -> Path:
    """Write points at random as XTC or DCD, by the extension; returns the path of a topology beside it.

    Frames are 1 ps apart; XTC has a cubic unit cell.
    """
    rng = np.random.default_rng(seed)
    piece = max(1, min(n_frames, _PIECE_COORDINATES // (3 * n_atoms)))
    pieces = [(start, min(start + piece, n_frames)) for start in range(0, n_frames, piece)]

    def positions(start: int, stop: int) -> np.ndarray:
        xyz = rng.standard_normal((stop - start, n_atoms, 3), dtype=np.float32)
        xyz += np.float32(centre_nm)
        return xyz

    if path.suffix == ".dcd":
        with path.open("wb") as file:
            file.write(_dcd_header(n_frames, n_atoms))
            for start, stop in pieces:
                # mdtraj's writer takes half a minute for a million frames.
                frames = np.empty((stop - start, 3, n_atoms + 2), np.float32)
                frames[:, :, 1:-1] = 10 * positions(start, stop).transpose(0, 2, 1)
                frames.view(np.int32)[:, :, [0, -1]] = 4 * n_atoms
                file.write(frames.tobytes())
    else:
        with XTCTrajectoryFile(str(path), "w") as file:
            for start, stop in pieces:
                frame = np.arange(start, stop)
                box = np.repeat(10 * np.eye(3, dtype=np.float32)[np.newaxis], stop - start, axis=0)
                time, step = frame.astype(np.float32), frame.astype(np.int32)
                file.write(positions(start, stop), time=time, step=step, box=box)
    return write_topology(path.with_suffix(".pdb"), n_atoms)


def write_topology(path: Path, n_atoms: int) -> Path:
    """Write a PDB file of carbon atoms, each a residue of its own."""
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(n_atoms):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("ALA", chain))
    md.Trajectory(np.zeros((1, n_atoms, 3), np.float32), topology).save_pdb(str(path))
    return path


def _dcd_header(n_frames: int, n_atoms: int) -> bytes:
    numbers = [0] * 20
    numbers[0], numbers[1], numbers[2] = n_frames, 1, 1
    numbers[19] = 24  # CHARMM's version
    control = b"CORD" + struct.pack("<20i", *numbers)
    records = (control, struct.pack("<i", 1) + b"random points".ljust(80), struct.pack("<i", n_atoms))
    return b"".join(
        struct.pack("<i", len(record)) + record + struct.pack("<i", len(record)) for record in records
    )
