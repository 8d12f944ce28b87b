"""Find out what a trajectory file holds, and whether it is whole.

mdtraj's readers of DCD, NetCDF and text take the end of a file within a frame for the end of the trajectory.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np

from ..errors import (
    ConfigError,
    TopologyMismatchError,
    TrajectoryError,
    TruncatedTrajectoryError,
    TwopassError,
    UnreadableError,
)
from ..partition import FrameList
from .arrays import count_hdf5, count_netcdf, count_restart
from .compressed import unpacked_bytes
from .containment import contained
from .formats import TrajectoryFormat, check_file
from .info import TrajectoryInfo, digest_file
from .offsets import count_dcd, count_xdr
from .pdb import count_models
from .recognition import format_of
from .stream import read_frames
from .text import count_text
from .topology import TOPOLOGY_BYTES_PER_ATOM, load_topology
from .universe import count_frames

__all__ = ["examine", "other_reader", "probe", "require_reader"]

# Address space for a look at a file: of the libraries, and for each frame to know where it is.
_EXAMINE_BYTES = {"mdtraj": 256 << 20, "mdanalysis": 1 << 30}
_PLACE_BYTES = 64

_COUNTS = {
    "XTC": count_xdr,
    "TRR": count_xdr,
    "DCD": count_dcd,
    "Amber NetCDF": count_netcdf,
    "Amber NetCDF restart": count_restart,
    "Amber restart": count_restart,
    "MDTraj HDF5": count_hdf5,
    "PDB": count_models,
}
_INSTALL = "pip install 'twopass-store[mdanalysis]'"


def probe(
    path: str | Path,
    topology: md.Topology | None,
    *,
    topology_path: str | Path | None = None,
    format_name: str | None = None,
    reader: str = "mdtraj",
) -> TrajectoryInfo:
    """Find out what a trajectory file holds, and that it is whole and fits its topology.

    Without a `topology`, its format must have its own. `topology_path` is for messages only; `format_name`
    and `reader` are as for `format_of`. Raises a `TopologyMismatchError` if it has another number of atoms
    than the topology, a `TrajectoryError` if it can't be read, is of an unknown format, or holds no whole
    frame.
    """
    file = check_file(path)
    entry = format_of(file, format_name, reader=reader)
    if topology is None:
        if not entry.has_topology:
            raise TrajectoryError(
                f"{file} doesn't say which atoms it holds ({entry.name} files don't). Give a topology with "
                "it, such as a PDB or GRO file of the same atoms."
            )
        topology, topology_path = load_topology(file, reader), file
    per_atom = 8 * entry.bytes_per_atom + (TOPOLOGY_BYTES_PER_ATOM if entry.has_topology else 0)
    # A frame has at least a byte for each atom.
    n_frames = unpacked_bytes(file) // (topology.n_atoms + 40)
    needs_bytes = _EXAMINE_BYTES[reader] + per_atom * topology.n_atoms + _PLACE_BYTES * n_frames
    found = contained(
        examine, str(file), entry, topology.n_atoms, path=file, what="the frames", needs_bytes=needs_bytes
    )
    if found.n_atoms != topology.n_atoms:
        of = "its topology" if topology_path is None else f"the topology {topology_path}"
        raise TopologyMismatchError(
            f"{file} has {found.n_atoms} atoms, {of} has {topology.n_atoms}. Give the topology of the very "
            "atoms that were written to the trajectory (without the water, if it was stripped)."
        )
    return found


def examine(path: str, entry: TrajectoryFormat, n_atoms: int) -> TrajectoryInfo:
    """Count the frames of a file, of `n_atoms` unless it says, and look at the first; in a reader."""
    status = Path(path).stat()
    if entry.mdanalysis is not None:
        count = count_frames(path, n_atoms, entry.mdanalysis)
    else:
        count = _COUNTS.get(entry.name, count_text)(path, entry, n_atoms)
    if not count.n_frames:
        raise TruncatedTrajectoryError(f"{path} holds no whole frame. Write it again, or leave it out.")
    frames = count.positions_at or FrameList.of(range(count.n_frames))
    first = next(read_frames(path, entry, count.n_atoms, frames.part(0, 1), 1, None, None))
    if count.has_unitcell is None:
        # VMD and NAMD write a cell of zeros where there is none.
        has_unitcell = first.unitcell_lengths is not None and bool(np.any(first.unitcell_lengths[0]))
        vectors = first.unitcell_vectors
        if has_unitcell and vectors is not None and entry.name == "PDB":
            # As mdtraj: files of the PDB need a CRYST1 record, and a cell too small for its atoms is none.
            has_unitcell = not count.n_atoms > 1000 * np.linalg.det(vectors[0])
        count = count._replace(has_unitcell=has_unitcell)
    size_bytes = status.st_size if count.size_bytes is None else count.size_bytes
    left = status.st_size - size_bytes if count.bytes_left is None else count.bytes_left
    found: dict[str, Any] = count._replace(size_bytes=size_bytes, bytes_left=left)._asdict()
    digest = digest_file(path, size_bytes=size_bytes)
    return TrajectoryInfo(path, entry, modified_ns=status.st_mtime_ns, digest=digest, **found)


def require_reader(reader: str) -> None:
    """Raise a `ConfigError` if a reader isn't installed."""
    if reader == "mdanalysis" and find_spec("MDAnalysis") is None:
        raise ConfigError(f"`reader` mdanalysis needs MDAnalysis, which isn't installed: {_INSTALL}.")


def other_reader(error: TrajectoryError, path: str | Path, topology_path: str | Path | None) -> str:
    """Say how to read a file that mdtraj failed on, if MDAnalysis can: its ends are read to find out."""
    if find_spec("MDAnalysis") is None:
        other = f"MDAnalysis may read it: {_INSTALL}, and use `reader` mdanalysis."
        return other if isinstance(error, UnreadableError) else ""
    try:
        topology = load_topology(topology_path or path, "mdanalysis")
        probe(path, topology, reader="mdanalysis")
    except TwopassError:
        return ""
    return "MDAnalysis can read it: use `reader` mdanalysis."
