"""The one wall of a store: its metadata must be those of the schema, so that nothing foreign is decoded."""

import json
from collections.abc import Mapping
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorruptChunkError
from ..schema import CODECS, GROUP_ATTRS, TIME_SOURCES, ArraySpec
from .codecs import codecs
from .places import HOLDERS, metadata_key, spec_at

__all__ = ["check_metadata", "metadata_problem"]

_SIZES = {"xyz": 3, "cell_vector": 3, "linkage_column": 4}
_POSITION_TYPES = ("float32", "int16", "int32")
_ENCODING = {"name": "default", "configuration": {"separator": "."}}
_INDEX_CODECS = ["bytes", "crc32c"]


def check_metadata(root: Path, path: str, data: bytes) -> bool:
    """Check a ``zarr.json`` of a group or array; tells whether the array's chunks lie in shards.

    Raises a `CorruptChunkError` if a name, type, dimension, codec or a needed attribute isn't as the schema
    has it; arrays that it doesn't know are left alone.
    """
    try:
        metadata = json.loads(data)
        problem = metadata_problem(path, metadata)
        if not problem:
            return "sharding_indexed" in [codec.get("name") for codec in metadata.get("codecs", ())]
    except (ValueError, AttributeError, RecursionError) as error:
        problem = str(error)[:200]
    raise CorruptChunkError(
        f"{root / metadata_key(path)} is damaged: {problem}. `twopass verify` tells what else is; copy the "
        "store again whole, or make it anew."
    )


def metadata_problem(path: str, metadata: Mapping[str, Any]) -> str:
    """Say in what metadata differ from the schema; empty if in nothing."""
    spec = spec_at(path)
    try:
        if spec is not None:
            return _array_problem(spec, metadata)
        return _group_problem(path, metadata)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        return f"it lacks {error}" if isinstance(error, KeyError) else f"it has another structure ({error})"


def _group_problem(path: str, metadata: Mapping[str, Any]) -> str:
    holder, *names = path.split("/")
    if path and (holder not in HOLDERS or len(names) > 1):
        return ""  # not ours
    if (metadata["zarr_format"], metadata["node_type"]) != (3, "group"):
        return "it is no group"
    unknown = metadata.keys() - {"zarr_format", "node_type", "attributes", "consolidated_metadata"}
    if unknown:
        return f"it has {min(unknown)[:40]!r}"
    attrs = metadata.get("attributes", {})
    needed = GROUP_ATTRS.get(holder, {}) if names or not path else {}
    for key, kind in needed.items():
        if key not in attrs or not isinstance(attrs[key], kind):
            return f"its attribute {key} is {str(attrs.get(key))[:40]!r}"
    return ""


def _array_problem(spec: ArraySpec, metadata: Mapping[str, Any]) -> str:
    dtype, shape = metadata["data_type"], metadata["shape"]
    chunks = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    chain, problem = metadata["codecs"], ""
    if chain[0]["name"] == "sharding_indexed":
        shard, outer = chain[0]["configuration"], chunks
        chunks, chain = shard["chunk_shape"], shard["codecs"]
        if [codec["name"] for codec in shard["index_codecs"]] != _INDEX_CODECS or outer[0] % chunks[0]:
            problem = "its shards are others"
    types = _POSITION_TYPES if spec.name == "position" else (spec.dtype.replace("str", "string"),)
    expected: dict[str, tuple[Any, Any]] = {
        "format": ((metadata["zarr_format"], metadata["node_type"]), (3, "array")),
        "type": (dtype if dtype in types else types[0], dtype),
        "dimensions": (list(spec.dims), metadata["dimension_names"]),
        "number of dimensions": (len(spec.dims), len(shape)),
        "sizes": ([_SIZES.get(dim, size) for dim, size in zip(spec.dims, shape, strict=False)], shape),
        "grid": ("regular", metadata["chunk_grid"]["name"]),
        "chunks": ([max(1, size) for size in shape[1:]], chunks[1:]),
        "file names": (_ENCODING, metadata["chunk_key_encoding"]),
        "transformers": ([], list(metadata.get("storage_transformers", ()))),
        "fill value": (_fill_value(spec, dtype), metadata["fill_value"]),
    }
    for what, (wanted, found) in expected.items():
        if wanted != found:
            return f"its {what} {'is' if what[-1] != 's' else 'are'} {str(found)[:60]}, not {wanted}"
    if not all(type(size) is int and size >= 0 for size in (*shape, *chunks)) or chunks[0] < 1:
        return "its shape is none"
    return (
        problem
        or _codec_problem(spec, dtype, chain)
        or _attribute_problem(spec, dtype, metadata["attributes"])
    )


def _codec_problem(spec: ArraySpec, dtype: str, chain: Any) -> str:
    found = [(codec["name"], codec.get("configuration") or {}) for codec in chain]
    first = "vlen-utf8" if spec.dtype == "str" else "bytes"
    for codec in CODECS if spec.name == "position" else CODECS[:1]:
        ours = codecs(spec, codec=codec)
        filters = ["transpose"] if "filters" in ours else []
        blosc = ours["compressors"][0].to_dict()["configuration"]
        if [name for name, _ in found] == [*filters, first, "blosc", "crc32c"]:
            settings = dict(found)
            same = all(settings["blosc"][key] == blosc[key] for key in ("cname", "shuffle"))
            order = not filters or tuple(settings["transpose"]["order"]) == ours["filters"][0].order
            if same and order and settings[first].get("endian", "little") == "little":
                return ""
    return f"its codecs are {str([name for name, _ in found])[:80]}, or have other settings"


def _attribute_problem(spec: ArraySpec, dtype: str, attrs: Mapping[str, Any]) -> str:
    if not isinstance(attrs.get("complete", False), bool):
        return "its attribute complete is neither true nor false"
    scale = attrs.get("scale_factor")
    if spec.name == "position" and dtype != "float32":
        is_scale = isinstance(scale, float) and isfinite(scale) and scale > 0
        return "" if is_scale else f"its scale_factor is {scale}"
    if spec.name == "time" and attrs.get("time_source", "file") not in TIME_SOURCES:
        return f"its time_source is {str(attrs['time_source'])[:40]!r}"
    return ""


def _fill_value(spec: ArraySpec, dtype: str) -> Any:
    if spec.name == "position" and dtype != "float32":
        return int(np.iinfo(dtype).min)
    return "NaN" if isinstance(spec.fill_value, float) and isnan(spec.fill_value) else spec.fill_value
