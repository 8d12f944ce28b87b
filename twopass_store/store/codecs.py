"""How chunks are encoded: plain Zarr v3 codecs, each chunk with a checksum that no flipped byte passes."""

from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec

from ..schema import ArraySpec

__all__ = ["codec_of", "codecs"]


def codecs(spec: ArraySpec, *, codec: str) -> dict[str, Any]:
    """Return the codecs of an array, as zarr's ``create_array`` takes them.

    `codec` is that of positions, ``fast`` or ``small``; other arrays are always encoded ``fast``. The figures
    are in tests/benchmarks/bench_codecs.py.
    """
    if spec.dtype == "str":
        return {"compressors": [BloscCodec(cname="zstd", clevel=5, shuffle="noshuffle"), Crc32cCodec()]}
    itemsize = np.dtype(spec.dtype).itemsize
    # blosc's own check misses most flipped bytes; crc32c behind it none.
    if spec.name == "position" and codec == "small":
        # All x of a frame, then all y, then all z: neighbours in a chain differ little in their upper bits.
        # Blocks of 512 KiB hold more such bits in a row than those that blosc chooses.
        packed = BloscCodec(
            cname="zstd", clevel=5, shuffle="bitshuffle", typesize=itemsize, blocksize=512 << 10
        )
        return {"filters": [TransposeCodec(order=(2, 0, 1))], "compressors": [packed, Crc32cCodec()]}
    packed = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=itemsize)
    return {"compressors": [packed, Crc32cCodec()]}


def codec_of(array: "zarr.Array[Any]") -> str:
    """Return how an array of positions is encoded, ``fast`` or ``small``."""
    return "small" if array.filters else "fast"
