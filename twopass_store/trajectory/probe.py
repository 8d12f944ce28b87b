"""Find out what a trajectory file holds, and whether it is whole.

mdtraj's readers of DCD, NetCDF and text take the end of a file within a frame for the end of the trajectory.
"""

import math
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

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
from .compressed import compression_of, open_unpacked, unpacked_bytes
from .containment import contained
from .formats import TrajectoryFormat, check_file, plain_name
from .info import TrajectoryInfo, digest_file
from .mended import GRO_TIME, check_units, find_records, mend_readers
from .pdb import find_models
from .recognition import format_of
from .stream import read_frames
from .topology import TOPOLOGY_BYTES_PER_ATOM, load_topology
from .universe import count_frames
from .xdr import find_frames, is_zero_from, numbers_at

__all__ = ["examine", "mixed_cells", "other_reader", "probe", "require_reader"]

# Address space for a look at a file: of the libraries, and for each frame to know where it is.
_EXAMINE_BYTES = {"mdtraj": 256 << 20, "mdanalysis": 1 << 30}
_PLACE_BYTES = 64

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

    Parameters
    ----------
    path
        The file.
    topology
        Its atoms; None for formats that carry their own (HDF5, PDB, GRO).
    topology_path
        Where the topology comes from; for messages only.
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
    per_atom = 8 * entry.bytes_per_atom + (TOPOLOGY_BYTES_PER_ATOM if entry.has_topology else 0)
    # A frame has at least a byte for each atom.
    n_frames = unpacked_bytes(file) // (topology.n_atoms + 40)
    needs_bytes = _EXAMINE_BYTES[reader] + per_atom * topology.n_atoms + _PLACE_BYTES * n_frames
    found = contained(
        examine,
        str(file),
        entry,
        topology.n_atoms,
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


def examine(path: str, entry: TrajectoryFormat, n_atoms: int) -> TrajectoryInfo:
    """Count the frames of a file, check that it is whole, and look at its first frames; in a reader.

    Formats that don't say how many atoms they hold are taken to have `n_atoms`.
    """
    mend_readers()
    status = Path(path).stat()
    if entry.mdanalysis is not None:
        n_frames, n_atoms, has_time, n_begun = count_frames(path, n_atoms, entry.mdanalysis)
        n_promised = -1 if n_begun == n_frames else n_begun
        count = _Count(n_frames, n_atoms, has_time, n_promised=n_promised)
    elif entry.name in ("XTC", "TRR"):
        count = _count_xdr(path, entry)
    elif entry.name == "DCD":
        count = _count_dcd(path, entry)
    elif entry.name == "Amber NetCDF":
        count = _count_netcdf(path, entry)
    elif entry.name in ("Amber NetCDF restart", "Amber restart"):
        count = _read_restart(path, entry)
    elif entry.name == "MDTraj HDF5":
        count = _count_hdf5(path, entry)
    elif entry.name == "PDB":
        count = _count_pdb(path)
    else:
        count = _count_lines(path, entry, n_atoms)
    if not count.n_frames:
        raise TruncatedTrajectoryError(f"{path} holds no whole frame. Write it again, or leave it out.")
    frames = count.positions_at or FrameList.of(range(count.n_frames))
    first = next(read_frames(path, entry, count.n_atoms, frames.part(0, 1), 1, None, None))
    has_unitcell = count.has_unitcell
    if has_unitcell is None:
        lengths = first.unitcell_lengths
        # VMD and NAMD write a cell of zeros where there is none.
        has_unitcell = lengths is not None and bool(np.any(lengths[0]))
        vectors = first.unitcell_vectors
        if has_unitcell and vectors is not None and entry.name == "PDB":
            # As mdtraj: files of the PDB need a CRYST1 record, and a cell too small for its atoms is none.
            has_unitcell = not count.n_atoms > 1000 * np.linalg.det(vectors[0])
    size_bytes = status.st_size if count.size_bytes is None else count.size_bytes
    return TrajectoryInfo(
        path=path,
        format=entry,
        n_frames=count.n_frames,
        n_atoms=count.n_atoms,
        has_unitcell=has_unitcell,
        has_time=count.has_time,
        size_bytes=size_bytes,
        modified_ns=status.st_mtime_ns,
        digest=digest_file(path, size_bytes=size_bytes),
        n_without_positions=count.n_without_positions,
        positions_at=count.positions_at,
        n_promised=count.n_promised,
        bytes_left=status.st_size - size_bytes if count.bytes_left is None else count.bytes_left,
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
    """As in `TrajectoryInfo`."""

    n_frames: int
    n_atoms: int
    has_time: bool
    size_bytes: int | None = None  # all of the file
    n_promised: int = -1
    bytes_left: int | None = None  # what is behind these bytes
    has_unitcell: bool | None = None  # as the first frame has it
    n_without_positions: int = 0
    positions_at: FrameList | None = None


def _count_xdr(path: str, entry: TrajectoryFormat) -> _Count:
    found = find_frames(path, entry)
    positions_at = np.flatnonzero(found.has_positions)
    if len(found.offsets) and not len(positions_at):
        raise TrajectoryError(
            f"No frame of {path} holds positions (only velocities or forces). Give the file that has them."
        )
    has_box = found.has_box[positions_at]
    if has_box.any() and not has_box.all():
        # mdtraj gives whatever was in the memory as the cell of a frame without one.
        raise mixed_cells(path, int(positions_at[np.argmin(has_box == has_box[0])]), has_cell=not has_box[0])
    n_without = len(found.offsets) - len(positions_at)
    return _Count(
        n_frames=len(positions_at),
        n_atoms=found.n_atoms,
        has_time=True,
        size_bytes=found.end,
        has_unitcell=bool(has_box.all()),
        n_without_positions=n_without,
        positions_at=FrameList.from_indices(positions_at) if n_without else None,
    )


def _count_dcd(path: str, entry: TrajectoryFormat) -> _Count:
    start = np.fromfile(path, "<i4", 25)
    order = "<" if start[0] == 84 else ">"

    def number(place: int) -> int:
        return int(numbers_at(path, np.array([place]), order + "i4")[0, 0])

    control = [number(8 + 4 * index) for index in range(20)]
    n_promised, n_fixed, is_charmm = control[0], control[8], control[19] != 0
    place = 92 + 12 + 80 * number(96)
    n_atoms = number(place + 4)
    place += 12 + (8 + 4 * (n_atoms - n_fixed) if n_fixed else 0)
    cell = 56 if is_charmm and control[10] else 0
    n_arrays = 4 if is_charmm and control[11] else 3
    first = cell + n_arrays * (8 + 4 * n_atoms)
    each = first - n_arrays * 4 * n_fixed
    n_frames = max(0, (Path(path).stat().st_size - place - first) // each + 1)
    # Where a machine has lost its power, zeros may be in the place of what was written last.
    begins = place + first - each + each * np.arange(1, n_frames)
    is_written = numbers_at(path, begins, order + "i4")[:, 0] != 0 if n_frames else np.zeros(0, bool)
    if not is_written.all() and is_zero_from(path, int(begins[np.argmin(is_written)])):
        n_frames = 1 + int(np.argmin(is_written))
    end = place + first + (n_frames - 1) * each
    return _Count(n_frames, n_atoms, False, end, n_promised)


def _count_netcdf(path: str, entry: TrajectoryFormat) -> _Count:
    records = find_records(path)
    with Path(path).open("rb") as head:
        n_stored = None if head.read(3) == b"CDF" else _n_stored(path)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames, n_atoms = int(file.n_frames), int(file.n_atoms)
        has_time = "time" in file._handle.variables
    if n_stored is not None:
        return _Count(n_stored, n_atoms, has_time, n_promised=n_frames)
    if records is None:
        return _Count(0, n_atoms, has_time)
    n_frames, n_promised, end = records
    # A program that streams its output promises -1.
    return _Count(n_frames, n_atoms, has_time, end, n_promised)


def _read_restart(path: str, entry: TrajectoryFormat) -> _Count:
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        xyz, time, *_ = file.read()
        return _Count(1, xyz.shape[1], time is not None)


def _count_hdf5(path: str, entry: TrajectoryFormat) -> _Count:
    n_stored = _n_stored(path)
    with plain_name(path, entry.extensions) as name, md.open(name) as file:
        n_frames, n_atoms = file.root.coordinates.shape[:2]
        names = {child._v_name: child._v_attrs for child in file.root}
        check_units(path, names)
        return _Count(n_stored, int(n_atoms), "time" in names, n_promised=int(n_frames))


def _n_stored(path: str) -> int:
    """Count the leading frames of an HDF5 file that were written: pieces that weren't read as zeros."""
    import h5py

    with h5py.File(path, "r") as file:
        positions = file["coordinates"]
        if positions.chunks is None:
            return len(positions)
        n_frames_each = int(positions.chunks[0])
        n_pieces = [-(-n // chunk) for n, chunk in zip(positions.shape, positions.chunks, strict=True)]
        n_there = positions.id.get_num_chunks()
        if n_there == math.prod(n_pieces):
            return len(positions)
        places = [positions.id.get_chunk_info(piece).chunk_offset[0] for piece in range(n_there)]
        rows = np.bincount(np.array(places, np.int64) // n_frames_each, minlength=n_pieces[0])
        n_whole = int(np.argmax(rows < math.prod(n_pieces[1:])))
    if rows[n_whole + 1 :].any():
        raise TrajectoryError(
            f"{path} is damaged: it promises {math.prod(n_pieces)} pieces of positions and holds {n_there}, "
            "with gaps among them. Copy it again."
        )
    return n_whole * n_frames_each


def _count_pdb(path: str) -> _Count:
    models, size_bytes = find_models(path), None
    if models.n_left and compression_of(path) is None:
        size_bytes = Path(path).stat().st_size - models.n_left
    return _Count(len(models.places), models.n_atoms, False, size_bytes, bytes_left=models.n_left)


def _count_lines(path: str, entry: TrajectoryFormat, n_atoms: int) -> _Count:
    """Count the frames of a text file, which all have the same number of lines."""
    name, row, n_title, n_last = entry.name, 0, 0, 0
    with open_unpacked(path, "rb") as file:
        head = [file.readline() for _ in range(9)]
        if name == "Amber mdcrd":
            has_box = _has_box(path, entry, n_atoms)
            n_title, per_frame = 1, -(-3 * n_atoms // 10) + has_box
            n_last = 3 if has_box else (3 * n_atoms - 1) % 10 + 1
        else:
            row, n_others = {"XYZ": (0, 2), "GRO": (1, 3), "LAMMPS": (3, 9)}[name]
            n_atoms = int(head[row])
            per_frame = n_others + n_atoms
        if name == "LAMMPS":
            _check_columns(path, head[8].split())
        file.seek(0)
        n_lines, untimed, wrong, place = 0, None if name == "GRO" else 0, None, 0
        ends, last = deque([0], maxlen=2), deque[bytes](maxlen=6)
        for number, line in enumerate(file):
            place += len(line)
            if not line.isspace():  # some programs end the file with an empty line
                n_lines = number + 1
                last.append(line)
            of_frame = (number - n_title) % per_frame
            if of_frame == row and wrong is None and not n_title and line.strip() != head[row].strip():
                wrong = number
            elif of_frame == per_frame - 1:
                ends.append(place)
            if untimed is None and of_frame == 0 and not GRO_TIME.search(line.decode("utf-8", "replace")):
                untimed = number
    has_time = untimed is None or untimed >= n_lines
    n_frames, n_left = divmod(n_lines - n_title, per_frame)
    if wrong is not None and (wrong < n_lines - 1 or (wrong < n_lines and last[-1].endswith(b"\n"))):
        raise TrajectoryError(
            f"{path} is damaged before line {wrong + 1}: frame {wrong // per_frame} (counted from 0) doesn't "
            f"begin where one of {n_atoms} atoms should. All frames must have the same atoms; copy the file "
            "again, or write the frames before to a new file."
        )
    if not n_left and _is_cut(name, [*last], n_last):
        n_frames, n_left = n_frames - 1, per_frame
    if not n_left:
        return _Count(n_frames, n_atoms, has_time)
    end = ends[-1] if n_left < per_frame else ends[0]
    # A compressed file can't be taken in part.
    size_bytes = end if compression_of(path) is None else None
    return _Count(n_frames, n_atoms, has_time, size_bytes, bytes_left=place - end)


def _is_cut(name: str, lines: list[bytes], n_numbers: int) -> bool:
    """Tell whether a text file of whole frames ends within its last number.

    Columns tell; where numbers have as many decimals as they need, the last is taken to be whole.
    """
    *before, last = lines
    if last.endswith(b"\n"):
        return False
    if name == "Amber mdcrd":
        return b"*" not in last and (last.count(b".") < n_numbers or last.rstrip()[-4:-3] != b".")
    *others, number = last.split()
    if name == "GRO":
        if len(others) not in (2, 8):
            return True
    elif len(others) + 1 < len(before[-1].split()):
        return True
    else:
        others = [line.split()[-1] for line in before[2 - len(lines) :]]
    decimals = {len(other.partition(b".")[2]) for other in others}
    return len(decimals) == 1 and len(number.partition(b".")[2]) < decimals.pop()


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


def mixed_cells(path: str, frame: int, *, has_cell: bool) -> TrajectoryError:
    """Error for a file of which some frames have a unit cell and others haven't."""
    what = (
        "a unit cell, though its first frame has none"
        if has_cell
        else "no unit cell, though its first has one"
    )
    return TrajectoryError(
        f"Frame {frame} of {path} has {what}. Split the file, or give all frames a cell, as with "
        "`gmx trjconv -box`."
    )
