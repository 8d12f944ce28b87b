"""Find out what a trajectory file holds, and whether it is whole.

mdtraj's readers of DCD, NetCDF and text take the end of a file within a frame for the end of the trajectory.
"""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import (
    ConfigError,
    TopologyMismatchError,
    TrajectoryError,
    TruncatedTrajectoryError,
    TwopassError,
    UnreadableError,
)
from .compressed import compression_of, open_unpacked, unpacked_bytes
from .containment import contained
from .formats import TrajectoryFormat, check_file, plain_name
from .info import TrajectoryInfo, digest_file
from .pdb import find_models
from .recognition import format_of
from .stream import bare_topology, frame_offsets, iterload, numbers_at
from .topology import load_topology
from .universe import count_frames

__all__ = ["examine", "other_reader", "probe", "require_reader"]

# Address space for a look at the first frames: of any size, or of a file that can only be read whole.
_EXAMINE_BYTES = 1 << 30
_EXAMINE_FACTOR = 40

_TRR_SIZES = 52
_INSTALL = "pip install 'twopass-store[mdanalysis]'"


def probe(
    path: str | Path,
    topology: md.Topology | None,
    *,
    topology_path: str | Path | None = None,
    is_growing: bool = False,
    format_name: str | None = None,
    reader: str = "mdtraj",
) -> TrajectoryInfo:
    """Find out what a trajectory file holds, and that it is whole and fits its topology.

    Parameters
    ----------
    path
        The file.
    topology
        Its atoms; None for formats that carry their own (HDF5, PDB, GRO).
    topology_path
        Where the topology comes from; for messages only.
    is_growing
        Whether the file is one that is still being written: of XTC and TRR, the whole frames are taken.
    format_name
        What to read it as, see `format_of`; found out if None.
    reader
        What to read it with: ``mdtraj`` or ``mdanalysis``.

    Raises
    ------
    TrajectoryNotFoundError
        If there is no such file.
    TruncatedTrajectoryError
        If it ends within a frame, or before the frames that it promises.
    TopologyMismatchError
        If it has another number of atoms than the topology.
    TrajectoryError
        If it can't be read, is of an unknown format, or holds no frames.
    ConfigError
        If there is no format of this name.
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
    needs_bytes = _EXAMINE_BYTES if entry.can_seek else _EXAMINE_FACTOR * unpacked_bytes(file)
    found = contained(
        examine,
        str(file),
        entry,
        topology.n_atoms,
        is_growing,
        path=file,
        what="the frames",
        needs_bytes=needs_bytes,
    )
    if found.n_atoms != topology.n_atoms:
        of = "its topology" if topology_path is None else f"the topology {topology_path}"
        raise TopologyMismatchError(
            f"{file} has {found.n_atoms} atoms, {of} has {topology.n_atoms}. Give the topology of the very "
            "atoms that were written to the trajectory (without the water, if it was stripped)."
        )
    return found


def examine(path: str, entry: TrajectoryFormat, n_atoms: int, is_growing: bool) -> TrajectoryInfo:
    """Count the frames of a file, check that it is whole, and look at its first frames; in a reader.

    Formats that don't say how many atoms they hold are taken to have `n_atoms`.
    """
    status = Path(path).stat()
    if entry.mdanalysis is not None:
        count = _Count(*count_frames(path, n_atoms, entry.mdanalysis))
    elif entry.name in ("XTC", "TRR"):
        count = _count_xdr(path, entry, is_growing)
    elif entry.name == "DCD":
        count = _count_dcd(path, entry)
    elif entry.name == "Amber NetCDF":
        count = _count_netcdf(path, entry)
    elif entry.name in ("Amber NetCDF restart", "Amber restart"):
        count = _read_restart(path, entry)
    elif entry.name == "MDTraj HDF5":
        count = _count_hdf5(path, entry)
    elif entry.name == "PDB":
        count = _count_pdb(path, is_growing)
    else:
        count = _count_lines(path, entry, n_atoms)
    n_frames, n_atoms, has_time, size_bytes = count
    if not n_frames:
        raise TrajectoryError(f"{path} holds no frames. Write it again, or leave it out.")
    first = next(iterload(path, entry, bare_topology(n_atoms), chunk=1))
    # VMD and NAMD write a cell of zeros where there is none.
    has_unitcell = first.unitcell_lengths is not None and bool(np.any(first.unitcell_lengths[0]))
    if has_unitcell and entry.name == "PDB":
        # As mdtraj: every file of the PDB needs a CRYST1 record, and a cell too small for its atoms is none.
        has_unitcell = not n_atoms > 1000 * first.unitcell_volumes[0]
    size_bytes = size_bytes or status.st_size
    return TrajectoryInfo(
        path=path,
        format=entry,
        n_frames=n_frames,
        n_atoms=n_atoms,
        has_unitcell=has_unitcell,
        has_time=has_time,
        size_bytes=size_bytes,
        modified_ns=status.st_mtime_ns,
        digest=digest_file(path, size_bytes=size_bytes),
    )


def require_reader(reader: str) -> None:
    """Raise a `ConfigError` if a reader isn't installed."""
    if reader == "mdanalysis" and find_spec("MDAnalysis") is None:
        raise ConfigError(f"`reader` mdanalysis needs MDAnalysis, which isn't installed: {_INSTALL}.")


def other_reader(error: TrajectoryError, path: str | Path, topology_path: str | Path | None) -> str:
    """Say how to read a file that mdtraj failed on, if MDAnalysis can: its ends are read to find out.

    Parameters
    ----------
    error
        What mdtraj failed with.
    path, topology_path
        The file, and the topology given for it.

    Returns
    -------
    A sentence; empty if there is no other way.
    """
    if find_spec("MDAnalysis") is None:
        other = f"MDAnalysis may read it: {_INSTALL}, and use `reader` mdanalysis."
        return other if isinstance(error, UnreadableError) else ""
    try:
        topology = load_topology(topology_path or path, "mdanalysis")
        probe(path, topology, reader="mdanalysis")
    except TwopassError:
        return ""
    return "MDAnalysis can read it: use `reader` mdanalysis."


class _Count(NamedTuple):
    n_frames: int
    n_atoms: int
    has_time: bool
    size_bytes: int | None = None  # all of the file


def _count_xdr(path: str, entry: TrajectoryFormat, is_growing: bool) -> _Count:
    offsets, size_bytes = frame_offsets(path, entry), None
    n_frames = len(offsets)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_atoms = file.read(1)[0].shape[1]
        try:
            file.seek(n_frames - 1)
            # The end of the file must come right behind the last frame.
            is_whole = len(file.read(2)[0]) == 1
        except RuntimeError:
            is_whole = False
    if not is_whole:
        if not is_growing or n_frames == 1:
            raise _cut(path, n_frames - 1)
        n_frames, size_bytes = n_frames - 1, int(offsets[-1])
    if entry.name == "TRR":
        _check_positions(path, offsets[:n_frames])
    return _Count(n_frames, n_atoms, True, size_bytes)


def _check_positions(path: str, offsets: NDArray[np.int64]) -> None:
    """Refuse TRR frames of velocities alone, for which mdtraj returns whatever was in the memory."""
    absent = numbers_at(path, offsets + _TRR_SIZES, ">i4") == 0
    if absent.any():
        raise TrajectoryError(
            f"Frame {int(np.argmax(absent))} of {path} holds no positions (only velocities or forces). "
            "Write the frames with positions to a file of their own, as with `gmx trjconv`."
        )


def _count_dcd(path: str, entry: TrajectoryFormat) -> _Count:
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames = len(file)
        n_atoms = file.read(1)[0].shape[1] if n_frames else 0
    # A record of 84 bytes, in either byte order, that begins with CORD and the number of frames.
    start = np.fromfile(path, "<i4", 3)
    promised = int((start if start[0] == 84 else start.byteswap())[2])
    if n_frames < promised:
        raise TruncatedTrajectoryError(
            f"{path} is cut off: its header promises {promised} frames, the file holds {n_frames} whole "
            "frames. If it is still being written, wait; otherwise copy it again, or write the whole frames "
            "to a new file, as with `mdconvert`."
        )
    return _Count(n_frames, n_atoms, False)


def _count_netcdf(path: str, entry: TrajectoryFormat) -> _Count:
    from scipy.io import netcdf_file

    with Path(path).open("rb") as head:
        is_classic = head.read(3) == b"CDF"
    if is_classic:
        try:
            with netcdf_file(path, mmap=True) as classic:  # maps all that the header promises
                n_mapped = classic.variables["coordinates"].shape[0]
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise TruncatedTrajectoryError(
                f"{path} is cut off: its header promises more than the file holds ({error}). If it is still "
                "being written, wait; otherwise copy it again."
            ) from error
    else:
        _check_stored(path)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames, n_atoms = file._handle.variables["coordinates"].shape[0], file.n_atoms
        has_time = "time" in file._handle.variables
    if is_classic and n_frames != n_mapped:
        raise TruncatedTrajectoryError(
            f"{path} doesn't say how many frames it holds: its program hasn't finished it. Write it again, "
            "as with `cpptraj`."
        )
    return _Count(int(n_frames), int(n_atoms), has_time)


def _read_restart(path: str, entry: TrajectoryFormat) -> _Count:
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        xyz, time, *_ = file.read()
        return _Count(1, xyz.shape[1], time is not None)


def _count_hdf5(path: str, entry: TrajectoryFormat) -> _Count:
    _check_stored(path)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames, n_atoms = file.root.coordinates.shape[:2]
        return _Count(int(n_frames), int(n_atoms), hasattr(file.root, "time"))


def _check_stored(path: str) -> None:
    """Refuse an HDF5 file with pieces of positions that were never written: they would read as zeros."""
    import h5py

    with h5py.File(path, "r") as file:
        positions = file["coordinates"]
        if positions.chunks is None:
            return
        n_there = positions.id.get_num_chunks()
        n_due = math.prod(-(-n // chunk) for n, chunk in zip(positions.shape, positions.chunks, strict=True))
    if n_there < n_due:
        raise TruncatedTrajectoryError(
            f"{path} is damaged: it promises {n_due} pieces of positions and holds {n_there}. Copy it again, "
            "or write the frames that it holds to a new file."
        )


def _count_pdb(path: str, is_growing: bool) -> _Count:
    models, size_bytes = find_models(path), None
    if models.n_left:
        if not is_growing or not len(models.places) or compression_of(path) is not None:
            raise _cut(path, len(models.places))
        size_bytes = Path(path).stat().st_size - models.n_left
    return _Count(len(models.places), models.n_atoms, False, size_bytes)


def _count_lines(path: str, entry: TrajectoryFormat, n_atoms: int) -> _Count:
    """Count the frames of a text file, which all have the same number of lines."""
    name, n_title = entry.name, 0
    with open_unpacked(path, "rb") as file:
        head = [file.readline() for _ in range(9)]
        if name == "Amber mdcrd":
            n_title, per_frame = 1, -(-3 * n_atoms // 10) + _has_box(path, entry, n_atoms)
        else:
            row, n_others = {"XYZ": (0, 2), "GRO": (1, 3), "LAMMPS": (3, 9)}[name]
            n_atoms = int(head[row])
            per_frame = n_others + n_atoms
        if name == "LAMMPS":
            _check_columns(path, head[8].split())
        file.seek(0)
        n_lines, has_time, line = 0, name == "GRO", b""
        for number, line in enumerate(file):
            if not line.isspace():  # some programs end the file with an empty line
                n_lines = number + 1
            if has_time and number % per_frame == 0:
                has_time = b"t=" in line
    n_frames, left = divmod(n_lines - n_title, per_frame)
    if left:
        raise _cut(path, n_frames, f", with {n_atoms} atoms each")
    if not line.endswith(b"\n"):
        raise TruncatedTrajectoryError(
            f"{path} seems cut off within the last line of frame {n_frames - 1}: it doesn't end with a line "
            "end. If the last number is whole, add a line end; otherwise copy the file again."
        )
    return _Count(n_frames, n_atoms, has_time)


def _has_box(path: str, entry: TrajectoryFormat, n_atoms: int) -> bool:
    with plain_name(path, entry.extensions) as name, md.open(name, n_atoms=n_atoms) as file:
        try:
            return file.read(1)[1] is not None
        except OSError as error:
            raise TrajectoryError(
                f"The first frame of {path} doesn't end where one of {n_atoms} atoms should. The topology "
                "has another number of atoms than the file, or the file is no mdcrd file."
            ) from error


def _check_columns(path: str, columns: list[bytes]) -> None:
    """Refuse fractions of the box, which mdtraj takes for Å."""
    if not {b"x", b"xu"} & set(columns) and {b"xs", b"xsu"} & set(columns):
        raise UnreadableError(
            f"{path} holds scaled coordinates (xs, ys, zs), which mdtraj doesn't read. Dump x, y and z "
            "(`dump … custom … id type x y z`), or convert the file."
        )


def _cut(path: str, frame: int, more: str = "") -> TruncatedTrajectoryError:
    last = f"the last whole one is frame {frame - 1}" if frame else "not one of them is whole"
    return TruncatedTrajectoryError(
        f"{path} is cut off within frame {frame} (counted from 0{more}), or damaged there: {last}. If it is "
        "still being written, wait; otherwise copy it again, or cut it after its whole frames."
    )
