"""Kernels that find and decode the frames of XTC data: bytes in, arrays out, nothing trusted.

The format is that of xdrfile: an atom in full, three numbers of a mixed radix; a bit that says whether five
more follow, with the length of the run of atoms that are given relative to it in fewer bits, and whether that
number of bits changes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import inlined, kernel

__all__ = ["BEYOND_DATA", "BEYOND_FRAME", "NO_SUCH_SIZE", "TOO_SHORT", "decode", "find_frames"]

BEYOND_DATA, BEYOND_FRAME, NO_SUCH_SIZE, TOO_SHORT = 1, 2, 3, 4
"""What is wrong with a frame."""

# numba makes floats of a signed and an unsigned integer, and compares the former with zero to index.
U: Any = np.uint64
INT: Any = np.int64
_FIRST = 9
# fmt: off
MAGIC = np.array([
    0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256, 322, 406,
    512, 645, 812, 1024, 1290, 1625, 2048, 2580, 3250, 4096, 5060, 6501, 8192, 10321, 13003, 16384, 20642,
    26007, 32768, 41285, 52015, 65536, 82570, 104031, 131072, 165140, 208063, 262144, 330280, 416127, 524287,
    660561, 832255, 1048576, 1321122, 1664510, 2097152, 2642245, 3329021, 4194304, 5284491, 6658042, 8388607,
    10568983, 13316085, 16777216,
], np.int64)
# fmt: on
"""Sizes of the small numbers by their index."""


@kernel
def find_frames(
    data: NDArray[np.uint8], n_bytes: int, n_atoms: int, offsets: NDArray[np.int64]
) -> tuple[int, int]:
    """Hop from compressed frame to compressed frame.

    Parameters
    ----------
    data
        Bytes that begin with a frame.
    n_bytes
        How many of them count.
    n_atoms
        Atoms in each frame.
    offsets
        Where each frame begins, shape (n_wanted,); filled.

    Returns
    -------
    Whole frames found, and where the next one begins. A header of another kind ends the search.
    """
    position, found = 0, 0
    while found < len(offsets) and position + 92 <= n_bytes:
        for place, expected in ((0, 1995), (4, n_atoms), (52, n_atoms)):
            if _int(data, position + place) != expected:
                return found, position
        length = _int(data, position + 88)
        end = position + 92 + (length + 3) // 4 * 4
        if length <= 0 or end > n_bytes:
            return found, position
        offsets[found] = position
        found += 1
        position = end
    return found, position


@inlined
def _int(data: NDArray[np.uint8], place: int) -> Any:
    value = INT(0)
    for k in range(4):
        value = (value << 8) | INT(data[place + k])
    return value - ((value >> 31) << 32)


@kernel
def decode(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    header: NDArray[np.int64],
    per_grid: NDArray[np.float32],
    xyz: NDArray[np.float32],
) -> tuple[int, int]:
    """Decode frames.

    Parameters
    ----------
    data
        Bytes, with at least 8 more behind the last frame.
    offsets
        Where the compressed data of each frame begin, shape (n_frames,).
    header
        Lowest and highest numbers along each axis, index of the size of small ones, and bytes of data, shape
        (n_frames, 8); checked.
    per_grid
        Step of the grid, shape (n_frames,), nm.
    xyz
        Shape (n_frames, n_atoms, 3), nm; filled.

    Returns
    -------
    Frames that are whole, and what is wrong with the next one; 0 where all are.
    """
    n_atoms = xyz.shape[1]
    for frame in range(len(offsets)):
        low_x, low_y, low_z = header[frame, 0], header[frame, 1], header[frame, 2]
        size_x = U(header[frame, 3] - low_x + 1)
        size_y = U(header[frame, 4] - low_y + 1)
        size_z = U(header[frame, 5] - low_z + 1)
        small, n_bits = header[frame, 6], 8 * header[frame, 7]
        is_large = (size_x | size_y | size_z) > U(0xFFFFFF)
        widths = _bit_length(size_x), _bit_length(size_y), _bit_length(size_z)
        width = sum(widths) if is_large else _bits_of_product(size_x, size_y, size_z)
        begin = position = 8 * offsets[frame]
        scale = per_grid[frame]
        atom, n_small = 0, 0
        smaller = MAGIC[max(_FIRST, small - 1)] // 2
        half = MAGIC[small] // 2
        while atom < n_atoms:
            if is_large:
                x = INT(_read(data, position, widths[0]))
                y = INT(_read(data, position + widths[0], widths[1]))
                z = INT(_read(data, position + widths[0] + widths[1], widths[2]))
            else:
                x, y, z = _unpack(data, position, width, size_x, size_y, size_z)
            x, y, z = x + low_x, y + low_y, z + low_z
            position += width
            change = 0
            bits = INT(_read(data, position, 6))
            position += 1
            if bits >= 32:
                position += 5
                n_small = (bits - 32) // 3
                change = (bits - 32) % 3 - 1
            if atom + 1 + n_small > n_atoms:
                return frame, BEYOND_FRAME
            if position + n_small * small - begin > n_bits:
                return frame, BEYOND_DATA
            # The first of a run changes places with the atom before it: water compresses better so.
            first = atom + (1 if n_small else 0)
            xyz[frame, first, 0] = np.float32(x) * scale
            xyz[frame, first, 1] = np.float32(y) * scale
            xyz[frame, first, 2] = np.float32(z) * scale
            size = U(MAGIC[small])
            for k in range(n_small):
                dx, dy, dz = _unpack(data, position, small, size, size, size)
                position += small
                x, y, z = x + dx - half, y + dy - half, z + dz - half
                place = atom if k == 0 else atom + k + 1
                xyz[frame, place, 0] = np.float32(x) * scale
                xyz[frame, place, 1] = np.float32(y) * scale
                xyz[frame, place, 2] = np.float32(z) * scale
            atom += 1 + n_small
            small += change
            if small < _FIRST or small >= len(MAGIC):
                return frame, NO_SUCH_SIZE
            if change < 0:
                half = smaller
                smaller = MAGIC[small - 1] // 2 if small > _FIRST else 0
            elif change > 0:
                smaller = half
                half = MAGIC[small] // 2
        # Some writers fill the last four bytes.
        if n_bits - (position - begin) >= 32:
            return frame, TOO_SHORT
    return len(offsets), 0


@inlined
def _window(data: NDArray[np.uint8], byte: int) -> Any:
    """Bytes as a number of 64 bits, the highest first; written out, it becomes one instruction."""
    k = U(byte)
    return (
        (U(data[k]) << U(56))
        | (U(data[k + U(1)]) << U(48))
        | (U(data[k + U(2)]) << U(40))
        | (U(data[k + U(3)]) << U(32))
        | (U(data[k + U(4)]) << U(24))
        | (U(data[k + U(5)]) << U(16))
        | (U(data[k + U(6)]) << U(8))
        | U(data[k + U(7)])
    )


@inlined
def _read(data: NDArray[np.uint8], position: int, width: int) -> Any:
    """Read a number of 1 to 56 bits, the highest first."""
    return (_window(data, position >> 3) << U(position & 7)) >> U(64 - width)


@inlined
def _packed(data: NDArray[np.uint8], position: int, width: int) -> Any:
    """Read a number of 1 to 56 bits whose bytes come lowest first, the last of them not whole."""
    bits = _read(data, position, width)
    last = (width - 1) % 8 + 1
    if last == width:
        return bits
    whole = bits >> U(last)
    swapped = (
        (whole << U(56))
        | ((whole & U(0xFF00)) << U(40))
        | ((whole & U(0xFF0000)) << U(24))
        | ((whole & U(0xFF000000)) << U(8))
        | ((whole >> U(8)) & U(0xFF000000))
        | ((whole >> U(24)) & U(0xFF0000))
        | ((whole >> U(40)) & U(0xFF00))
        | (whole >> U(56))
    )
    number = (bits & ((U(1) << U(last)) - U(1))) << U(width - last)
    return number | (swapped >> U(64 - width + last))


@inlined
def _unpack(
    data: NDArray[np.uint8], position: int, width: int, size_x: int, size_y: int, size_z: int
) -> tuple[int, int, int]:
    """Read three numbers that make one of mixed radix, in at most 72 bits."""
    if width <= 56:
        number = _packed(data, position, width)
        left = number // size_z
        z = number - left * size_z
        x = left // size_y
        return INT(x), INT(left - x * size_y), INT(z)
    # By hand, with digits of 32 bits.
    low, rest = _packed(data, position, 32), _packed(data, position + 32, width - 32)
    middle, high = rest & U(0xFFFFFFFF), rest >> U(32)
    high, middle, low, z = _divide(high, middle, low, size_z)
    _, _, low, y = _divide(high, middle, low, size_y)
    return INT(low), INT(y), INT(z)


@inlined
def _divide(high: int, middle: int, low: int, size: int) -> tuple[int, int, int, int]:
    rest = ((high % size) << U(32)) | middle
    further = ((rest % size) << U(32)) | low
    return high // size, rest // size, further // size, further % size


@inlined
def _bit_length(number: int) -> int:
    length = 0
    while number:
        number >>= U(1)
        length += 1
    return length


@inlined
def _bits_of_product(size_x: int, size_y: int, size_z: int) -> int:
    """Bits of the product of three numbers below 2²⁴."""
    product = size_x * size_y
    low = (product & U(0xFFFFFFFF)) * size_z
    high = (product >> U(32)) * size_z + (low >> U(32))
    return 32 + _bit_length(high) if high else _bit_length(low)
