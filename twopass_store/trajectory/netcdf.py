"""How many frames a classic NetCDF file promises and holds.

The netCDF library reads what lies behind the end of a truncated file as zeros, without a word.
"""

import struct
from pathlib import Path
from struct import unpack
from typing import BinaryIO

from ..errors import TrajectoryError, TruncatedTrajectoryError

__all__ = ["check_netcdf"]

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_MAX_ENTRIES = 10_000
_MAX_NAME = 65_536


class _Header:
    """Reader of the classic header (CDF-1, CDF-2 and CDF-5)."""

    def __init__(self, file: BinaryIO, version: int) -> None:
        self._file = file
        self._count = ">q" if version == 5 else ">i"
        self._offset = ">i" if version == 1 else ">q"

    def number(self, code: str = ">i") -> int:
        width = 8 if code[1] == "q" else 4
        value: int = unpack(code, self._file.read(width))[0]
        return value

    def count(self) -> int:
        return self.number(self._count)

    def offset(self) -> int:
        return self.number(self._offset)

    def skip_name(self) -> None:
        length = self.count()
        if not 0 <= length <= _MAX_NAME:
            raise ValueError(f"a name of {length} characters")
        self._file.read((length + 3) // 4 * 4)

    def entries(self) -> range:
        self.number()
        n = self.count()
        if not 0 <= n <= _MAX_ENTRIES:
            raise ValueError(f"a list of {n} entries")
        return range(n)

    def skip_attributes(self) -> None:
        for _ in self.entries():
            self.skip_name()
            width = _TYPE_BYTES[self.number()]
            n_bytes = (self.count() * width + 3) // 4 * 4
            self._file.seek(n_bytes, 1)


def check_netcdf(path: str) -> None:
    """Refuse a classic NetCDF file that is shorter than its header says.

    NetCDF-4 files are HDF5 inside; that library notices by itself.

    Raises
    ------
    TruncatedTrajectoryError
        If the file ends before its last frame.
    TrajectoryError
        If it is no NetCDF file.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        magic = file.read(4)
        if magic == b"\x89HDF":
            return
        if magic[:3] != b"CDF" or magic[3:] not in (b"\1", b"\2", b"\5"):
            raise TrajectoryError(
                f"{path} isn't a NetCDF file: it doesn't begin like one. Rename it to the extension of "
                "its format."
            )
        try:
            n_records, record_bytes, ends = _layout(_Header(file, magic[3]))
        except (struct.error, ValueError, KeyError, IndexError) as error:
            raise TruncatedTrajectoryError(
                f"{path} is cut off or damaged within its header: {error}. Copy it again."
            ) from error
    if n_records < 0:
        # The library takes this for four billion, and reads zeros where there is nothing.
        raise TruncatedTrajectoryError(
            f"{path} doesn't say how many frames it holds, as one that is a stream, or isn't finished. "
            "Write it again, as with `cpptraj`."
        )
    if not ends:
        return
    missing = max(end + (n_records - 1) * record_bytes for end in ends) - size
    if n_records and missing > 0:
        n_whole = max(0, n_records - -(-missing // record_bytes))
        raise TruncatedTrajectoryError(
            f"{path} is cut off: its header promises {n_records} frames, the file holds {n_whole} whole "
            "frames. "
            "If it is still being written, wait; otherwise copy it again, or write the whole frames to a "
            "new file."
        )


def _layout(header: _Header) -> tuple[int, int, list[int]]:
    """Number of records, bytes of one, and where each record variable's part of the first record ends."""
    n_records = header.count()
    lengths = []
    for _ in header.entries():
        header.skip_name()
        lengths.append(header.count())
    header.skip_attributes()
    starts_and_sizes: list[tuple[int, int]] = []
    for _ in header.entries():
        header.skip_name()
        shape = [lengths[header.count()] for _ in range(_checked(header.count()))]
        header.skip_attributes()
        width = _TYPE_BYTES[header.number()]
        header.count()  # vsize: overflows for large variables, so it is computed instead
        begin = header.offset()
        if shape and shape[0] == 0:
            n_bytes = width
            for length in shape[1:]:
                n_bytes *= length
            starts_and_sizes.append((begin, n_bytes))
    # A single record variable is not padded to 4 bytes (the format's own exception).
    padded = [(n + 3) // 4 * 4 for _, n in starts_and_sizes]
    record_bytes = sum(padded) if len(padded) != 1 else starts_and_sizes[0][1]
    return n_records, record_bytes, [begin + n for begin, n in starts_and_sizes]


def _checked(n_dims: int) -> int:
    if not 0 <= n_dims <= 64:
        raise ValueError(f"a variable of {n_dims} dimensions")
    return n_dims
