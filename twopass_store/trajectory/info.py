"""What is known of a trajectory file, and whether it is still the same file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import TrajectoryError, TruncatedTrajectoryError
from .formats import TrajectoryFormat, check_file, reading

__all__ = ["TrajectoryInfo", "check_unchanged", "digest_file"]

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
    format
        What it is read as.
    n_frames, n_atoms
        Whole frames in the file, atoms in each.
    has_unitcell
        Whether its first frame has a unit cell.
    has_time
        Whether it carries times. DCD, mdcrd, XYZ, LAMMPS and PDB files don't; GRO files do if every title
        says ``t=``.
    size_bytes
        Bytes of these frames.
    modified_ns
        From the file system.
    digest
        Hexadecimal, see :func:`digest_file`.
    """

    path: str
    format: TrajectoryFormat
    n_frames: int
    n_atoms: int
    has_unitcell: bool
    has_time: bool
    size_bytes: int
    modified_ns: int
    digest: str


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
            "Restore the file, or start anew with it as it is (`restart`)."
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
