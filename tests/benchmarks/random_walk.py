"""A long trajectory of known states, written piece by piece as XTC: what the benchmarks run on.

A chain of C-alphas wanders about one of several states, hops to another now and then, and tumbles. Each state
is the same compact chain bent by slow modes, so that states lie 0.9 to 1.5 nm apart and frames of one state
0.1 to 0.2 nm. Run as ``python tests/benchmarks/random_walk.py walk.xtc --frames 10000``; the topology is
written beside it. The same arguments always give the same frames, and any number of frames begins with those
of a smaller number.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import mdtraj as md
import numpy as np
import numpy.typing as npt
from mdtraj.formats import XTCTrajectoryFile
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

PIECE = 2_000
"""Frames made at once."""

N_STATES = 12
STAY = 0.999
"""Probability to be in the same state in the next frame."""

MEMORY = 0.9
"""Correlation of the motion within a state from one frame to the next."""

NOISE_NM = 0.08
STEP_PS = 10.0


def write_random_walk(path: Path, *, n_frames: int, n_atoms: int = 300, seed: int = 0) -> Path:
    """Write the trajectory and its topology; returns the path of the topology.

    Parameters
    ----------
    path
        The XTC file.
    n_frames, n_atoms
        Its size.
    seed
        Of the random numbers.
    """
    top = path.with_suffix(".pdb")
    box = np.eye(3, dtype=np.float32)[np.newaxis] * 20.0
    with XTCTrajectoryFile(str(path), "w") as file:
        for start, xyz in _pieces(n_frames, n_atoms, seed):
            if start == 0:
                md.Trajectory(xyz[:1], _topology(n_atoms)).save_pdb(str(top))
            frame = np.arange(start, start + len(xyz))
            times = (frame * STEP_PS).astype(np.float32)
            file.write(xyz, time=times, step=frame.astype(np.int32), box=np.repeat(box, len(xyz), axis=0))
    return top


def _pieces(n_frames: int, n_atoms: int, seed: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield the index of the first frame and the positions, shape (n, n_atoms, 3), nm."""
    rng = np.random.default_rng(seed)
    states = _states(n_atoms, rng)
    state, motion, turn = 0, np.zeros((n_atoms, 3), np.float32), Rotation.identity()
    for start in range(0, n_frames, PIECE):
        hops = rng.random(PIECE) > STAY
        state_of = np.where(hops, rng.integers(0, N_STATES, PIECE), -1)
        state_of[0] = state if state_of[0] < 0 else state_of[0]
        since = np.maximum.accumulate(np.where(state_of >= 0, np.arange(PIECE), 0))
        state_of = state_of[since]
        state = int(state_of[-1])

        kicks = rng.standard_normal((PIECE, n_atoms, 3), dtype=np.float32)
        kicks *= np.float32(NOISE_NM * np.sqrt(1.0 - MEMORY**2))
        begin = np.float32(MEMORY) * motion[np.newaxis]
        wander, _ = lfilter([np.float32(1)], [np.float32(1), np.float32(-MEMORY)], kicks, axis=0, zi=begin)
        motion = wander[-1]

        turns = Rotation.from_rotvec(rng.normal(scale=0.02, size=(PIECE, 3)))
        matrices = np.empty((PIECE, 3, 3), np.float32)
        for i in range(PIECE):
            turn = turns[i] * turn
            matrices[i] = turn.as_matrix()
        xyz = np.matmul(states[state_of] + wander, matrices.transpose(0, 2, 1)) + np.float32(10.0)
        yield start, np.ascontiguousarray(xyz[: n_frames - start], dtype=np.float32)


def _states(n_atoms: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Reference structures, shape (N_STATES, n_atoms, 3), nm, centred."""
    steps = rng.normal(size=(n_atoms, 3))
    chain = np.zeros(3)
    native = np.empty((n_atoms, 3))
    for atom, step in enumerate(steps):
        step -= 0.25 * chain  # back towards the middle: a globule
        chain = chain + 0.38 * step / np.linalg.norm(step)
        native[atom] = chain
    along = np.linspace(0.0, np.pi, n_atoms)
    modes = np.array([np.cos(k * along) for k in range(1, 7)])
    bends = rng.normal(scale=0.25, size=(N_STATES, 3, len(modes)))
    states = native + np.einsum("sxk,ka->sax", bends, modes)
    states -= states.mean(axis=1, keepdims=True)
    return states.astype(np.float32)


def _topology(n_atoms: int) -> md.Topology:
    topology = md.Topology()
    chain = topology.add_chain()
    for _ in range(n_atoms):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("ALA", chain))
    return topology


def main() -> None:
    """Write one from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    top = write_random_walk(chosen.path, n_frames=chosen.frames, n_atoms=chosen.atoms, seed=chosen.seed)
    print(f"{chosen.path}: {chosen.frames} frames of {chosen.atoms} atoms; topology: {top}")


if __name__ == "__main__":
    main()
