"""What the metadata and chunks of our arrays may be, looked at before zarr acts on them.

A store may come from a stranger, whose digests fit. Metadata choose types and codecs, and how much memory a
chunk takes; a chunk's own header does so again. Of the arrays of the format only what the format has is
allowed. Arrays that it doesn't know are left alone, and never read here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, prod
from typing import Any

import numcodecs.blosc
import numpy as np

from ..errors import CorruptChunkError
from ..journal import MAX_CHUNKS
from ..schema import (
    ASSIGNMENT,
    CLUSTERING,
    FAITHFULNESS,
    INGESTED,
    LINKAGE,
    MARGIN,
    METRIC,
    OUTSIDE,
    SCAN,
    SUBSET,
    TIME_SOURCES,
    ArraySpec,
)

__all__ = ["MAX_METADATA_BYTES", "MAX_TEXT_BYTES", "ArrayFormat", "check_metadata", "known_spec"]

MAX_METADATA_BYTES = 256 << 20
"""Of one ``zarr.json``; the topology of five million atoms takes so much."""

MAX_TEXT_BYTES = 64 << 20
"""Of one chunk of text, decoded."""

MAX_CHUNK_BYTES = 16 << 20
"""Of one other chunk, decoded, unless a single row is larger. Those that we write have up to 4 MiB."""

MAX_ROWS = 65_536
"""Of one chunk of text."""

_SIZES = {"xyz": 3, "cell_vector": 3, "linkage_column": 4}
_KNOWN: dict[str, dict[str, ArraySpec]] = {
    holder: {spec.name: spec for specs in rooms for spec in specs}
    for holder, rooms in {
        "": (INGESTED,),
        "subsets": (SUBSET,),
        "clusterings": (CLUSTERING, METRIC, OUTSIDE, FAITHFULNESS, ASSIGNMENT, MARGIN),
        "scans": (SCAN,),
    }.items()
}
_TYPES = {"str": ("string",), "position": ("float32", "int16", "int32")}
_GROUP_KEYS = {"zarr_format", "node_type", "attributes", "consolidated_metadata"}
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
_COMPRESSORS = ("lz4", "lz4hc", "blosclz", "zstd", "zlib", "snappy")
# Possessive: to go back it would keep as much for each escaped quote of a topology as twenty times the file.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SMALL = 4 << 20
_OVERHEAD = 1024


@dataclass(frozen=True, slots=True)
class ArrayFormat:
    """What the chunks of an array must be.

    Attributes
    ----------
    rows
        Elements along the first dimension in a chunk.
    chunk_bytes
        Of a chunk, decoded; of text, at most.
    is_text
        Whether it holds text.
    chunks_per_file
        In a shard; 0 where there are none.
    """

    rows: int
    chunk_bytes: int
    is_text: bool
    chunks_per_file: int

    @property
    def file_bytes(self) -> int:
        """A file can't have more bytes, encoded."""
        files = max(1, self.chunks_per_file)
        return files * (self.chunk_bytes + _OVERHEAD) + 16 * files

    def check(self, name: str, data: bytes, *, is_whole: bool) -> None:
        """Raise `CorruptChunkError` if decoding would take other memory than a chunk does.

        Parameters
        ----------
        name
            The file, for the message.
        data
            A chunk, encoded, or a part of a shard.
        is_whole
            Whether it is the whole file.
        """
        if not self.chunks_per_file:
            self._check_chunk(name, data)
            return
        index_bytes = 16 * self.chunks_per_file + 4
        if not is_whole:
            # The index is no chunk, and has its own size.
            if len(data) != index_bytes:
                self._check_chunk(name, data)
            return
        if len(data) < index_bytes:
            raise _damaged(name, "it is cut short")
        index = np.frombuffer(data[-index_bytes:-4], "<u8").reshape(-1, 2)
        for offset, length in index[index[:, 0] != np.iinfo(np.uint64).max].tolist():
            self._check_chunk(name, data[offset : offset + length])

    def _check_chunk(self, name: str, data: bytes) -> None:
        if len(data) < 20:
            raise _damaged(name, "it is cut short")
        # The header of blosc: versions, flags and item size, then the size decoded.
        promised = int.from_bytes(data[4:8], "little")
        if promised > self.chunk_bytes or (promised != self.chunk_bytes and not self.is_text):
            raise _damaged(
                name, f"its header promises {promised:,} bytes where a chunk has {self.chunk_bytes:,}"
            )
        if self.is_text:
            # The number of texts comes first, and is trusted by who decodes them.
            try:
                decoded = numcodecs.blosc.decompress(data[:-4])
            except RuntimeError as error:
                raise _damaged(name, str(error)) from error
            if int.from_bytes(decoded[:4], "little") != self.rows:
                raise _damaged(name, f"it doesn't hold {self.rows} texts")


def known_spec(path: str) -> ArraySpec | None:
    """Return what the format says of the array at a path, None where it has none there."""
    parts = path.split("/")
    if len(parts) not in (1, 3):
        return None
    holder, name = "" if len(parts) == 1 else parts[0], parts[-1]
    if path == "position_transcoded":
        return INGESTED[0]
    if holder == "subsets" and name.startswith("linkage_"):
        return LINKAGE
    return _KNOWN.get(holder, {}).get(name)


def check_metadata(path: str, data: bytes) -> ArrayFormat | None:
    """Look at the metadata of a group or array before zarr reads them.

    Parameters
    ----------
    path
        Of the group or array in the store.
    data
        Its ``zarr.json``.

    Returns
    -------
    What its chunks must be; None for a group, and for an array that the format doesn't know.

    Raises
    ------
    CorruptChunkError
        If they aren't as the format has them, or take much more memory than bytes.
    """
    if len(data) > _SMALL and len(_STRING.sub(b"", data)) > _SMALL:
        raise _damaged(f"{path}/zarr.json".lstrip("/"), "it holds too much beside text")
    try:
        metadata = json.loads(data)
        if not isinstance(metadata, dict) or not isinstance(metadata.get("attributes", {}), dict):
            raise ValueError("it is no table with attributes")
        spec = known_spec(path)
        if spec is None:
            if _is_group(path):
                is_group = metadata.get("node_type") == "group" and metadata.get("zarr_format") == 3
                _require(is_group and metadata.keys() <= _GROUP_KEYS, "it is no group")
            return None
        return _array_format(spec, metadata)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _damaged(f"{path}/zarr.json".lstrip("/"), _reason(error)) from error


def _is_group(path: str) -> bool:
    """Tell whether the format has a group at a path."""
    holder, *names = path.split("/")
    return not path or (holder in (*_KNOWN, "journal") and len(names) <= 1)


def _array_format(spec: ArraySpec, metadata: Mapping[str, Any]) -> ArrayFormat:
    _require(metadata["node_type"] == "array" and metadata["zarr_format"] == 3, "it is no array")
    dtype = metadata["data_type"]
    types = _TYPES.get(spec.name) or _TYPES.get(spec.dtype) or (spec.dtype,)
    _require(dtype in types, f"its type is {str(dtype)[:40]!r}")
    names = metadata["dimension_names"]
    _require(names == list(spec.dims), f"its dimensions are {str(names)[:80]}")
    shape = [_size(size, 0) for size in metadata["shape"]]
    _require(len(shape) == len(spec.dims), f"its shape is {str(shape)[:80]}")
    for name, size in zip(spec.dims, shape, strict=True):
        _require(size == _SIZES.get(name, size), f"its size along {name} is {size}")
    grid, encoding = metadata["chunk_grid"], metadata["chunk_key_encoding"]
    _require(grid["name"] == "regular", "its chunks are not regular")
    _require(
        encoding == {"name": "default", "configuration": {"separator": "."}}, "its files have other names"
    )
    _require(metadata.get("storage_transformers", []) == [], "it has storage transformers")
    _require(_is_fill(spec, dtype, metadata["fill_value"]), "it has another fill value")
    _check_attributes(spec, dtype, metadata["attributes"])
    outer = [_size(size, 1) for size in grid["configuration"]["chunk_shape"]]
    codecs, inner = metadata["codecs"], outer
    if codecs[0]["name"] == "sharding_indexed":
        inner, codecs = _within_shards(codecs, outer)
    _require(outer[1:] == inner[1:] == [max(1, size) for size in shape[1:]], "its chunks are cut otherwise")
    _require(shape[0] // outer[0] < MAX_CHUNKS, "it has too many chunks")
    is_text = spec.dtype == "str"
    _check_codecs(codecs, ndim=len(shape), is_text=is_text)
    if is_text:
        _require(inner[0] <= MAX_ROWS, f"its chunks have {inner[0]} rows")
        return ArrayFormat(inner[0], MAX_TEXT_BYTES, True, 0)
    row_bytes = prod(inner[1:]) * np.dtype(dtype).itemsize
    chunk_bytes = inner[0] * row_bytes
    _require(chunk_bytes <= max(MAX_CHUNK_BYTES, row_bytes), f"its chunks have {chunk_bytes:,} bytes")
    _require(chunk_bytes < 1 << 31, "a chunk has more bytes than its codec can hold")
    return ArrayFormat(inner[0], chunk_bytes, False, 0 if inner is outer else outer[0] // inner[0])


def _within_shards(codecs: Any, outer: Sequence[int]) -> tuple[list[int], Any]:
    """Return the shape of the chunks in a shard, and their codecs."""
    sharding = codecs[0]["configuration"]
    inner = [_size(size, 1) for size in sharding["chunk_shape"]]
    index = [codec["name"] for codec in sharding["index_codecs"]]
    is_ours = len(codecs) == 1 and index == ["bytes", "crc32c"] and sharding["index_location"] == "end"
    _require(is_ours and outer[0] % inner[0] == 0 and outer[0] // inner[0] < 1 << 20, "its shards are others")
    return inner, sharding["codecs"]


def _check_codecs(chain: Sequence[Mapping[str, Any]], *, ndim: int, is_text: bool) -> None:
    names = [codec["name"] for codec in chain]
    first = "vlen-utf8" if is_text else "bytes"
    wanted = [first, "blosc", "crc32c"]
    _require(names in (wanted, ["transpose", *wanted]), f"its codecs are {str(names)[:80]}")
    settings = {codec["name"]: codec.get("configuration") or {} for codec in chain}
    _require(settings[first].get("endian", "little") == "little", "its bytes are in another order")
    if "transpose" in settings:
        _require(sorted(settings["transpose"]["order"]) == list(range(ndim)), "its axes are in no order")
    blosc = settings["blosc"]
    is_ours = (
        blosc["cname"] in _COMPRESSORS
        and blosc["shuffle"] in _SHUFFLES
        and type(blosc["clevel"]) is int
        and 0 <= blosc["clevel"] <= 9
        and 1 <= _size(blosc["typesize"], 1) <= 255
        and _size(blosc["blocksize"], 0) < 1 << 31
    )
    _require(is_ours, "blosc has settings that it doesn't know")


def _check_attributes(spec: ArraySpec, dtype: str, attrs: Mapping[str, Any]) -> None:
    _require(
        isinstance(attrs.get("complete", False), bool), "its attribute complete is neither true nor false"
    )
    for name in ("largest_rounding_error", "noise_cutoff_nm"):
        _require(attrs.get(name) is None or _is_number(attrs[name]), f"its attribute {name} is no number")
    if spec.name == "time":
        _require(attrs.get("time_source", "file") in TIME_SOURCES, "its attribute time_source is unknown")
    if spec.name == "element":
        guessed = attrs.get("guessed_atoms", "")
        _require(isinstance(guessed, str), "its attribute guessed_atoms is no text")
    if spec.name == "position" and dtype != "float32":
        _require(_is_number(attrs["scale_factor"]) and attrs["scale_factor"] > 0, "it has no scale_factor")


def _is_fill(spec: ArraySpec, dtype: str, value: Any) -> bool:
    if spec.name == "position" and dtype != "float32":
        return bool(value == np.iinfo(dtype).min)
    if isinstance(spec.fill_value, float) and isnan(spec.fill_value):
        return bool(value == "NaN")
    return type(value) is type(spec.fill_value) and bool(value == spec.fill_value)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(value)  # type: ignore[arg-type]


def _size(value: object, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 48:
        raise ValueError(f"{str(value)[:40]!r} is no size")
    return value


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{str(error)[:40]} is missing"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def _damaged(name: str, problem: str) -> CorruptChunkError:
    return CorruptChunkError(
        f"{name} is damaged: {problem}. The store isn't as twopass-store writes it; copy it again whole, or "
        "make it anew."
    )
