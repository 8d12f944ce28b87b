"""What a DCD header promises against what the file's size holds, and mdtraj's chatter on stdout.

mdtraj's DCD plugin takes the number of frames from the file's size and loads a truncated file without a word.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import unpack, unpack_from
from threading import Lock
from typing import BinaryIO

from ..errors import TrajectoryError, TruncatedTrajectoryError

__all__ = ["DcdHeader", "count_dcd_frames", "read_dcd_header", "silent_stdout"]

_MARKER = 84
_stdout_lock = Lock()


@dataclass(frozen=True, slots=True)
class DcdHeader:
    """Sizes of a DCD file.

    Attributes
    ----------
    n_atoms
        Atoms in each frame.
    n_promised
        Frames that the header promises; 0 where the writer never came back to fill it in.
    header_bytes, first_frame_bytes, frame_bytes
        Sizes in bytes; the first frame differs from the rest where atoms are fixed.
    """

    n_atoms: int
    n_promised: int
    header_bytes: int
    first_frame_bytes: int
    frame_bytes: int


def read_dcd_header(path: str) -> DcdHeader:
    """Read the header of a CHARMM, NAMD, X-PLOR or OpenMM file, of either byte order, 32 or 64 bit markers.

    Raises
    ------
    TrajectoryError
        If the file doesn't begin like a DCD file.
    """
    try:
        with Path(path).open("rb") as file:
            return _parse(file)
    except (struct.error, ValueError) as error:
        raise TrajectoryError(
            f"{path} isn't a DCD file, or is cut off within its header: {error}. Copy it again, or rename it."
        ) from error


def _parse(file: BinaryIO) -> DcdHeader:
    start = file.read(12)
    order, marker = _byte_order(start)
    file.seek(0)
    control = _record(file, order, marker)
    if len(control) != _MARKER or control[:4] != b"CORD":
        raise ValueError("its first record isn't a CORD record")
    n_promised = unpack_from(order + "i", control, 4)[0]
    n_fixed = unpack_from(order + "i", control, 36)[0]
    is_charmm = unpack_from(order + "i", control, 80)[0] != 0
    has_cell = is_charmm and unpack_from(order + "i", control, 44)[0] != 0
    n_dims = 4 if is_charmm and unpack_from(order + "i", control, 48)[0] == 1 else 3
    _skip_titles(file, order, marker)
    (n_atoms,) = unpack(order + "i", _record(file, order, marker))
    if n_atoms <= 0 or not 0 <= n_fixed <= n_atoms or n_promised < 0:
        raise ValueError(f"it claims {n_atoms} atoms, {n_fixed} of them fixed, and {n_promised} frames")
    if n_fixed:
        _record(file, order, marker)
    cell = 48 + 2 * marker if has_cell else 0
    return DcdHeader(
        n_atoms=n_atoms,
        n_promised=n_promised,
        header_bytes=file.tell(),
        first_frame_bytes=cell + n_dims * (4 * n_atoms + 2 * marker),
        frame_bytes=cell + n_dims * (4 * (n_atoms - n_fixed) + 2 * marker),
    )


def _byte_order(start: bytes) -> tuple[str, int]:
    if len(start) == 12:
        for order in "<>":
            if unpack(order + "i", start[:4])[0] == _MARKER and start[4:8] == b"CORD":
                return order, 4
            if unpack(order + "q", start[:8])[0] == _MARKER and start[8:] == b"CORD":
                return order, 8
    raise ValueError("it doesn't begin like one")


def _record(file: BinaryIO, order: str, marker: int) -> bytes:
    code = order + ("i" if marker == 4 else "q")
    (length,) = unpack(code, file.read(marker))
    # Python sets aside what it is asked to read, before it looks how much there is.
    if not 0 <= length <= os.fstat(file.fileno()).st_size:
        raise ValueError(f"a record claims {length} bytes")
    content = file.read(length)
    if len(content) < length or unpack(code, file.read(marker))[0] != length:
        raise ValueError("a record is broken")
    return content


def _skip_titles(file: BinaryIO, order: str, marker: int) -> None:
    start = file.tell()
    try:
        if (len(_record(file, order, marker)) - 4) % 80:
            raise ValueError("its title record has an odd length")
    except ValueError:
        # Some writers state a length for fewer titles than they count and write; readers go by the count.
        code = order + ("i" if marker == 4 else "q")
        file.seek(start)
        stated, n_titles = unpack(code, file.read(marker)), unpack(order + "i", file.read(4))[0]
        if not 0 <= n_titles <= 1000:
            raise
        file.seek(80 * n_titles, os.SEEK_CUR)
        if unpack(code, file.read(marker)) != stated:
            raise


def count_dcd_frames(path: str) -> tuple[int, int]:
    """Frames and atoms of a DCD file, checked against its size.

    Returns
    -------
    Number of frames, number of atoms. More frames than promised are taken as they are: a writer that was
    killed between a frame and the update of the header leaves such a file, and it is whole.

    Raises
    ------
    TruncatedTrajectoryError
        If the file holds fewer frames than its header promises, or ends within a frame.
    TrajectoryError
        If it isn't a DCD file.
    """
    header = read_dcd_header(path)
    size = Path(path).stat().st_size
    body = size - header.header_bytes - header.first_frame_bytes
    if body < 0:
        n_found, left = 0, body + header.first_frame_bytes
    else:
        n_later, left = divmod(body, header.frame_bytes)
        n_found = n_later + 1
    if left or n_found < header.n_promised:
        rest = f" and {left} bytes of another one" if left else ""
        raise TruncatedTrajectoryError(
            f"{path} is cut off: its header promises {header.n_promised} frames, the file holds {n_found} "
            "whole "
            f"frames{rest}. If it is still being written, wait; otherwise copy it again, or write the whole "
            "frames to a new file, as with `mdconvert`."
        )
    return n_found, header.n_atoms


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Keep what C code prints away from file descriptor 1.

    The DCD plugin printf's two lines at every open (and only then, as long as the file is sound). What
    other threads print in these microseconds is lost with it, so wrap nothing but the open.
    """
    # Two threads redirecting at once would save each other's /dev/null as the real stdout.
    with _stdout_lock:
        try:
            saved = os.dup(1)
        except OSError:  # there is no stdout to protect
            yield
            return
        # C buffers of its own: what was printed before must come out before, and what is printed now, now.
        libc = ctypes.CDLL(None)
        try:
            libc.fflush(None)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)
            yield
        finally:
            with suppress(OSError):
                libc.fflush(None)
            os.dup2(saved, 1)
            os.close(saved)
