"""Whole chunks read from their files and made for them, past the general machinery of zarr.

zarr takes about 0.3 ms for each chunk, more than the coding of some, copies what it decoded, and reads a
shard before it replaces it. Only arrays with the codecs that we choose go this way, any other through zarr;
the bytes of a chunk are the same.
"""

import json
import os
import threading
from math import prod
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numcodecs
import numcodecs.blosc
import numpy as np
import zarr
from numpy.typing import NDArray

from .confined import open_regular, read_regular
from .local import missing_chunk
from .names import CHECKSUM_BYTES, CHUNK_PREFIX

__all__ = ["ChunkFiles"]

# In the main thread it would start threads of its own; zarr never calls it from there.
numcodecs.blosc.use_threads = False

_ABSENT = np.iinfo(np.uint64).max
_SHUFFLES = {
    "noshuffle": numcodecs.Blosc.NOSHUFFLE,
    "shuffle": numcodecs.Blosc.SHUFFLE,
    "bitshuffle": numcodecs.Blosc.BITSHUFFLE,
}


class ChunkFiles:
    """The chunks of one array that is cut along its first dimension only.

    Parameters
    ----------
    array
        The array.
    folder
        Its folder.
    codecs
        The configurations of its codecs by name, those within a shard where it has shards.
    """

    def __init__(self, array: "zarr.Array[Any]", folder: Path, codecs: dict[str, Any]) -> None:
        self._folder = folder
        self._rest = ".0" * (array.ndim - 1)
        self._dtype = array.dtype
        self._fill_value = array.fill_value
        self._thread = threading.local()
        self._chunk_shape = tuple(array.chunks)
        self._chunks_per_file = array.shards[0] // array.chunks[0] if array.shards else 0
        self._order = tuple(codecs.get("transpose", {}).get("order", range(array.ndim)))
        self._stored_shape = tuple(array.chunks[axis] for axis in self._order)
        # Encoded, a chunk is hardly larger than it is decoded.
        self._limit = prod(self._chunk_shape) * self._dtype.itemsize + 1024
        packed = codecs["blosc"]
        self._blosc = numcodecs.Blosc(
            cname=packed["cname"],
            clevel=packed["clevel"],
            shuffle=_SHUFFLES[packed["shuffle"]],
            blocksize=packed["blocksize"],
            typesize=packed["typesize"],
        )

    @classmethod
    def of(cls, array: "zarr.Array[Any]", folder: Path, metadata: bytes) -> Self | None:
        """Return the reader of an array, None where its codecs aren't those that we write."""
        chain: list[dict[str, Any]] = json.loads(metadata)["codecs"]
        if [codec["name"] for codec in chain] == ["sharding_indexed"]:
            sharding = chain[0]["configuration"]
            index = [codec["name"] for codec in sharding["index_codecs"]]
            if index != ["bytes", "crc32c"] or sharding["index_location"] != "end":
                return None
            chain = sharding["codecs"]
        names = [codec["name"] for codec in chain]
        if names[-3:] != ["bytes", "blosc", "crc32c"] or names[:-3] not in ([], ["transpose"]):
            return None
        codecs = {codec["name"]: codec.get("configuration", {}) for codec in chain}
        is_little = codecs["bytes"].get("endian", "little") == "little"
        return cls(array, folder, codecs) if is_little and array.chunks[1:] == array.shape[1:] else None

    def read(self, chunk: int) -> NDArray[Any]:
        """Read a chunk.

        Returns
        -------
        Its shape is that of every chunk; the last one is filled up. Not always C-contiguous. It is valid
        until this thread reads another chunk of the array.

        Raises
        ------
        CorruptChunkError
            If its file is missing.
        ValueError, RuntimeError
            If its bytes are damaged.
        """
        stored = getattr(self._thread, "buffer", None)
        if stored is None:
            # Kept, since new memory takes as long as decoding into it.
            stored = self._thread.buffer = np.empty(self._stored_shape, self._dtype)
        content = _checked(self._encoded(chunk))
        # The header of blosc says how much is written to the buffer.
        if len(content) < 16 or int.from_bytes(content[4:8].tobytes(), "little") != stored.nbytes:
            raise ValueError("its header promises another size")
        numcodecs.blosc.decompress(content, stored.reshape(-1).view(np.uint8))
        found: NDArray[Any] = stored.transpose(np.argsort(self._order))
        return found

    def encode(self, data: NDArray[Any]) -> bytes:
        """Return the content of the file of a chunk, or of a shard where there are shards.

        Parameters
        ----------
        data
            Its elements; filled up where they are fewer, as at the end of an array.
        """
        if not self._chunks_per_file:
            return self._encode_chunk(data)
        length = self._chunk_shape[0]
        parts = [self._encode_chunk(data[at : at + length]) for at in range(0, len(data), length)]
        index = np.full((self._chunks_per_file, 2), _ABSENT, "<u8")
        sizes = np.array([len(part) for part in parts])
        index[: len(parts)] = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
        return b"".join([*parts, _with_checksum(index.tobytes())])

    def _encode_chunk(self, data: NDArray[Any]) -> bytes:
        if data.shape != self._chunk_shape:
            whole = np.full(self._chunk_shape, self._fill_value, self._dtype)
            whole[: len(data)] = data
            data = whole
        stored = np.ascontiguousarray(data.transpose(self._order), self._dtype)
        return _with_checksum(self._blosc.encode(stored.reshape(-1).view(np.uint8)))

    def _encoded(self, chunk: int) -> bytes:
        file, within = divmod(chunk, self._chunks_per_file or 1)
        path = self._folder / f"{CHUNK_PREFIX}{file}{self._rest}"
        try:
            if not self._chunks_per_file:
                return read_regular(path, limit=self._limit)
            with os.fdopen(open_regular(path), "rb") as shard:
                # A pair of offset and length for each chunk, at the end.
                index_bytes = 16 * self._chunks_per_file + CHECKSUM_BYTES
                shard.seek(max(0, shard.seek(0, os.SEEK_END) - index_bytes))
                index = _checked(shard.read()).view("<u8").reshape(-1, 2)
                offset, length = (int(number) for number in index[within])
                if offset == _ABSENT:
                    raise ValueError(f"{path.name} lacks chunk {within} of its shard")
                if length > self._limit or offset + length > shard.seek(0, os.SEEK_END):
                    raise ValueError(f"{path.name} ends before chunk {within} of its shard")
                shard.seek(offset)
                return shard.read(length)
        except FileNotFoundError:
            raise missing_chunk(path) from None


def _checked(data: bytes) -> NDArray[np.uint8]:
    """Return what the checksum at the end speaks of."""
    if len(data) <= CHECKSUM_BYTES:
        # The checksum of nothing is 0.
        raise ValueError("it is cut short")
    content = np.frombuffer(data, np.uint8)[:-CHECKSUM_BYTES]
    if google_crc32c.value(content) != int.from_bytes(data[-CHECKSUM_BYTES:], "little"):
        raise ValueError("its checksum differs")
    return content


def _with_checksum(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return data + checksum.to_bytes(CHECKSUM_BYTES, "little")
