"""What is known of a trajectory file, and whether it is still the same file."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from ..errors import TrajectoryError, TruncatedTrajectoryError
from ..partition import FrameList
from .formats import TrajectoryFormat, check_file, reading

__all__ = ["Count", "TrajectoryInfo", "check_unchanged", "digest_file", "mixed_cells", "remembered"]

Function = TypeVar("Function", bound=Callable[..., Any])

_WHOLE_BYTES = 16 << 20
_END_BYTES = 1 << 20
_SAMPLE_BYTES = 64 << 10
_N_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class TrajectoryInfo:
    """What a trajectory file holds."""

    path: str  # absolute
    format: TrajectoryFormat
    n_frames: int  # whole frames with positions
    n_atoms: int
    has_unitcell: bool
    has_time: bool  # GRO files have it if every title says ``t=``
    size_bytes: int  # of these frames
    modified_ns: int
    digest: str  # see `digest_file`
    n_without_positions: int = 0  # other frames, of velocities or forces alone
    positions_at: FrameList | None = None  # numbers in the file of those with positions; None: all have them
    n_promised: int = -1  # frames that its header promises; -1 if it says nothing
    bytes_left: int = 0  # behind the last whole frame

    @property
    def unfinished(self) -> str:
        """What of it is missing, in words; empty if it is whole."""
        if not self.bytes_left and self.n_promised in (-1, self.n_frames):
            return ""
        promised = "" if self.n_promised < 0 else f" of {self.n_promised:,} promised"
        return f"{self.n_frames:,} whole frames{promised}, and {self.bytes_left:,} bytes behind them"

    def in_file(self, frames: FrameList) -> FrameList:
        """Number frames as the file does: those without positions count."""
        if self.positions_at is None:
            return frames
        return FrameList.from_indices(self.positions_at.at(frames.to_array()))


class Count(NamedTuple):
    """What a look at all frames of a file finds, as in `TrajectoryInfo`."""

    n_frames: int
    n_atoms: int
    has_time: bool
    size_bytes: int | None = None  # all of the file
    n_promised: int = -1
    bytes_left: int | None = None  # what is behind these bytes
    has_unitcell: bool | None = None  # as the first frame has it
    n_without_positions: int = 0
    positions_at: FrameList | None = None


def check_unchanged(info: TrajectoryInfo, found_same: tuple[int, int] | None = None) -> tuple[int, int]:
    """Make sure that a file holds what it held when it was looked at; it may have grown since.

    Its size and time are looked at, and its content where they differ from those and from `found_same`, with
    which it was found to be the same before. Returns them: bytes, and ns. Raises a `TrajectoryError` if it is
    another file now, or shorter, or gone.
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
    """Digest of a file's content that costs little on a file of any size: hexadecimal BLAKE2b of 20 bytes.

    How many frames the headers of DCD and NetCDF files promise doesn't count: programs write it anew as the
    file grows. Up to 16 MiB all other bytes go in; beyond that the size, the first and last MiB, and 64
    evenly spaced pieces of 64 KiB. It tells files apart that differ as trajectories do; it is no proof
    against a forger. With `size_bytes`, only so much of the beginning counts, so that a file that has only
    grown keeps its digest.
    """
    file = Path(path)
    with reading(file, "the bytes"), file.open("rb") as handle:
        size = file.stat().st_size if size_bytes is None else size_bytes
        digest = hashlib.blake2b(str(size).encode(), digest_size=20)
        start = handle.read(min(size, _END_BYTES))
        digest.update(_without_counts(start))
        if size <= _WHOLE_BYTES:
            digest.update(handle.read(size - len(start)))
            return digest.hexdigest()
        for sample in range(_N_SAMPLES):
            handle.seek((size - _SAMPLE_BYTES) * (sample + 1) // (_N_SAMPLES + 1))
            digest.update(handle.read(_SAMPLE_BYTES))
        handle.seek(size - _END_BYTES)
        digest.update(handle.read(_END_BYTES))
        return digest.hexdigest()


def _without_counts(start: bytes) -> bytes:
    if start[:3] == b"CDF":
        return start[:4] + start[8:]
    if (place := start[:12].find(b"CORD")) > 0:  # the number of frames, and that of the last step
        return start[: place + 4] + start[place + 8 : place + 16] + start[place + 20 :]
    return start


def remembered(n_files: int) -> Callable[[Function], Function]:
    """Remember what a function of a path finds in the last so many files, as long as they don't change."""

    def decorate(function: Function) -> Function:
        @lru_cache(maxsize=n_files)
        def found(_size: int, _modified_ns: int, *arguments: Any) -> Any:
            return function(*arguments)

        @wraps(function)
        def find(path: str, *others: Any) -> Any:
            file = check_file(path)
            status = file.stat()
            return found(status.st_size, status.st_mtime_ns, str(file), *others)

        return cast(Function, find)

    return decorate


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
