"""What a trajectory file holds, found out without decoding it where the format allows."""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import mdtraj as md
import numpy as np

from ..errors import TopologyMismatchError, TrajectoryError, TruncatedTrajectoryError
from .containment import contained, is_fragile
from .dcd import count_dcd_frames
from .formats import check_file, format_of, reading
from .netcdf import check_netcdf
from .sources import Source, open_source
from .text import TextCount, check_pdb_end, count_text_frames
from .topology import load_topology
from .xdr import FrameIndex, frame_index

__all__ = ["TrajectoryInfo", "check_unchanged", "digest_file", "probe"]

_WHOLE_BYTES = 16 << 20
_END_BYTES = 1 << 20
_SAMPLE_BYTES = 64 << 10
_N_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class TrajectoryInfo:
    """What a trajectory file holds.

    Attributes
    ----------
    path
        Absolute path.
    n_frames, n_atoms
        Whole frames in the file, atoms in each.
    has_unitcell
        Whether its first frame has a unit cell.
    has_time
        Whether it carries times. DCD, mdcrd, XYZ, LAMMPS and PDB files don't; GRO files do if every title
        says ``t=``.
    loads_whole
        Whether mdtraj can only load all of it at once.
    size_bytes, modified_ns
        From the file system.
    digest
        Hexadecimal, see :func:`digest_file`.
    index
        Where the frames of XTC and TRR begin; None for other formats.
    has_oblique_unitcell
        Whether the unit cell of its first frame has an angle other than 90°.
    spacing
        Time between two of its first frames, ps; None where it has no times, or one frame.
    """

    path: str
    n_frames: int
    n_atoms: int
    has_unitcell: bool
    has_time: bool
    loads_whole: bool
    size_bytes: int
    modified_ns: int
    digest: str
    index: FrameIndex | None = field(default=None, compare=False, repr=False)
    has_oblique_unitcell: bool = False
    spacing: float | None = None


def probe(
    path: str | Path,
    topology: md.Topology | None,
    *,
    topology_path: str | Path | None = None,
    is_growing: bool = False,
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
    """
    file = check_file(path)
    entry = format_of(file)
    where = str(file)
    status = file.stat()
    if topology is None:
        if not entry.has_topology:
            raise TrajectoryError(
                f"{where} doesn't say which atoms it holds ({entry.name} files don't). Give a topology "
                "with it, "
                "such as a PDB or GRO file of the same atoms."
            )
        topology, topology_path = load_topology(file), file
    index = None
    with reading(where, "the frames"):
        if file.suffix.lower() in (".xtc", ".trr"):
            index = FrameIndex(where, is_growing=True) if is_growing else frame_index(where)
        count = _count(where, topology, index)
        if count.n_frames == 0:
            raise TrajectoryError(f"{where} holds no frames. Write it again, or leave it out.")
        _check_atoms(where, count.n_atoms, topology, topology_path)
        source = open_source(where, topology, has_box=count.has_box, index=index)
        try:
            first = source.read(0, 1, 1)
            has_time = count.has_time or bool(getattr(source, "has_time", False))
            spacing = _spacing(source, count.n_frames) if has_time else None
        finally:
            source.close()
        _check_atoms(where, first.n_atoms, topology, topology_path)
    # VMD and NAMD write a cell of zeros where there is none.
    has_unitcell = first.unitcell_lengths is not None and bool(np.any(first.unitcell_lengths))
    size_bytes = status.st_size if index is None else index.size_bytes
    return TrajectoryInfo(
        path=where,
        n_frames=count.n_frames,
        n_atoms=count.n_atoms,
        has_unitcell=has_unitcell,
        has_time=has_time,
        loads_whole=entry.loads_whole,
        size_bytes=size_bytes,
        modified_ns=status.st_mtime_ns,
        digest=digest_file(file, size_bytes=size_bytes),
        index=index,
        has_oblique_unitcell=has_unitcell and bool(np.any(first.unitcell_angles != 90)),
        spacing=spacing,
    )


def _spacing(source: Source, n_frames: int) -> float | None:
    """Time between two of the first frames; not the very first, which programs write out of turn."""
    if n_frames < 2:
        return None
    last = min(2, n_frames - 1)
    times = [float(source.read(frame, 1, 1).time[0]) for frame in (last - 1, last)]
    return times[1] - times[0]


def _check_atoms(path: str, n_atoms: int, topology: md.Topology, topology_path: str | Path | None) -> None:
    if n_atoms != topology.n_atoms:
        of = "its topology" if topology_path is None else f"the topology {topology_path}"
        raise TopologyMismatchError(
            f"{path} has {n_atoms} atoms, {of} has {topology.n_atoms}. Give the topology of the very "
            "atoms that "
            "were written to the trajectory (without the water, if it was stripped)."
        )


def _count(path: str, topology: md.Topology, index: FrameIndex | None) -> TextCount:
    extension = Path(path).suffix.lower()
    if index is not None:
        return TextCount(index.count(), index.n_atoms, has_time=True)
    if extension == ".dcd":
        n_frames, n_atoms = count_dcd_frames(path)
        return TextCount(n_frames, n_atoms)
    if extension == ".pdb":
        check_pdb_end(path)
        with md.formats.PDBTrajectoryFile(path, top=topology) as pdb:
            n_frames, n_atoms, _ = pdb.positions.shape
            return TextCount(n_frames, n_atoms)
    if extension in (".h5", ".hdf5"):
        return contained(_count_hdf5, path, path=path, what="the frames")
    if extension in (".nc", ".netcdf", ".ncdf"):
        check_netcdf(path)
        if is_fragile(path):
            return contained(_count_netcdf, path, path=path, what="the frames")
        return _count_netcdf(path)
    return count_text_frames(path, n_atoms=topology.n_atoms)


def _count_hdf5(path: str) -> TextCount:
    with md.formats.HDF5TrajectoryFile(path) as hdf5:
        n_frames, n_atoms, n_axes = hdf5.root.coordinates.shape
        if n_axes != 3:
            raise TrajectoryError(f"{path} has positions of {n_axes} dimensions instead of 3.")
        has_time = hasattr(hdf5.root, "time")
        _check_cell(path, hasattr(hdf5.root, "cell_lengths"), hasattr(hdf5.root, "cell_angles"))
    _check_stored(path)
    return TextCount(n_frames, n_atoms, has_time=has_time)


def _count_netcdf(path: str) -> TextCount:
    with md.formats.NetCDFTrajectoryFile(path) as netcdf:
        # What a frame takes isn't known to be sane before its atoms are compared.
        there = netcdf._handle.variables
        shape = there["coordinates"].shape
        if shape[1:] != (netcdf.n_atoms, 3):
            raise TrajectoryError(f"{path} has positions of shape {shape}, and {netcdf.n_atoms} atoms.")
        _check_cell(path, "cell_lengths" in there, "cell_angles" in there)
        count = TextCount(netcdf.n_frames, netcdf.n_atoms, has_time="time" in there)
    if is_fragile(path):
        _check_stored(path)
    return count


def _check_cell(path: str, has_lengths: bool, has_angles: bool) -> None:
    if has_lengths != has_angles:
        there, missing = ("lengths", "angles") if has_lengths else ("angles", "lengths")
        raise TrajectoryError(
            f"{path} has {there} of a unit cell and no {missing}: it is damaged, or another program's. Write "
            "both, or neither."
        )


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


def check_unchanged(info: TrajectoryInfo, found_same: tuple[int, int] | None = None) -> tuple[int, int]:
    """Make sure that a file holds what it held when it was looked at; it may have grown since.

    Its size and time are looked at, and its content where they differ.

    Parameters
    ----------
    info
        What it held.
    found_same
        Size and time with which its content was found to be the same before.

    Returns
    -------
    Its size in bytes, and the time of its last change in ns.

    Raises
    ------
    TrajectoryError
        If it is another one now, or shorter, or gone.
    """
    status = check_file(info.path).stat()
    stamp = status.st_size, status.st_mtime_ns
    if stamp in ((info.size_bytes, info.modified_ns), found_same):
        return stamp
    if status.st_size < info.size_bytes:
        raise TruncatedTrajectoryError(
            f"{info.path} has shrunk from {info.size_bytes} to {status.st_size} bytes since it was looked "
            "at. Restore the file, or start anew with it as it is."
        )
    if digest_file(info.path, size_bytes=info.size_bytes) != info.digest:
        raise TrajectoryError(
            f"{info.path} has changed since it was looked at: frames of two different files would be mixed. "
            "Restore the file, or start anew with it as it is (--restart)."
        )
    return stamp


def digest_file(path: str | Path, *, size_bytes: int | None = None) -> str:
    """Digest of a file's content that costs little on a file of any size.

    Up to 16 MiB all bytes go in; beyond that the size, the first and last MiB, and 64 evenly spaced pieces of
    64 KiB. It tells files apart that differ as trajectories do; it is no proof against a forger.

    Parameters
    ----------
    path
        The file.
    size_bytes
        How much of its beginning counts; all where None. A file that has only grown since keeps the digest
        of what it was.

    Returns
    -------
    Hexadecimal BLAKE2b of 20 bytes.
    """
    file = Path(path)
    with reading(file, "the bytes"), file.open("rb") as handle:
        size = file.stat().st_size if size_bytes is None else size_bytes
        digest = hashlib.blake2b(str(size).encode(), digest_size=20)
        if size <= _WHOLE_BYTES:
            digest.update(handle.read(size))
            return digest.hexdigest()
        digest.update(handle.read(_END_BYTES))
        for sample in range(_N_SAMPLES):
            handle.seek((size - _SAMPLE_BYTES) * (sample + 1) // (_N_SAMPLES + 1))
            digest.update(handle.read(_SAMPLE_BYTES))
        handle.seek(size - _END_BYTES)
        digest.update(handle.read(_END_BYTES))
        return digest.hexdigest()
