"""Which file of a store belongs to what, read from its metadata as plain JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ..errors import StoreError
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
    ArraySpec,
)
from ..store import CHUNK_PREFIX, MAX_METADATA_BYTES, inside, read_regular

__all__ = [
    "HOLDERS",
    "Layout",
    "chunk_key",
    "group_problem",
    "layout_of",
    "read_metadata",
    "spec_of",
]

HOLDERS = ("journal", "subsets", "clusterings", "scans")
"""Groups without attributes, whose members are groups."""

_ARRAY_KEYS = {"zarr_format": 3, "node_type": "array"}
_GROUP_KEYS = {"zarr_format": 3, "node_type": "group"}


_SPECS = {
    spec.name: spec
    for specs in (INGESTED, SUBSET, CLUSTERING, METRIC, OUTSIDE, FAITHFULNESS, SCAN, ASSIGNMENT, MARGIN)
    for spec in specs
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array is cut into files.

    Attributes
    ----------
    dims
        Names of the dimensions.
    shape
        Its shape.
    file_length
        Elements along the first dimension in one file.
    is_complete
        Its attribute ``complete``.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    file_length: int
    is_complete: bool

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Layout":
        """Read it from an array's metadata.

        Raises
        ------
        ValueError, KeyError, TypeError
            If they are none of an array of ours.
        """
        for key, value in _ARRAY_KEYS.items():
            if metadata[key] != value:
                raise ValueError(f"its {key} is {str(metadata[key])[:60]}")
        shape = tuple(_whole(size, least=0) for size in metadata["shape"])
        grid = metadata["chunk_grid"]
        chunks = tuple(_whole(size, least=1) for size in grid["configuration"]["chunk_shape"])
        dims = tuple(str(name) for name in metadata["dimension_names"])
        if not len(shape) == len(chunks) == len(dims) > 0:
            raise ValueError("shape, chunks and dimensions differ in number")
        if prod(shape) >= 1 << 62 or prod(chunks) >= 1 << 40:
            raise ValueError(f"its shape is {shape}, its chunks are {chunks}")
        for key in ("data_type", "fill_value", "codecs"):
            metadata[key]
        return cls(dims, shape, chunks[0], metadata["attributes"].get("complete") is True)

    @property
    def n_files(self) -> int:
        """Files that hold the array."""
        return -(-self.shape[0] // self.file_length)

    def elements(self, chunk: int) -> tuple[int, int]:
        """What of the first dimension lies in a file, half-open."""
        return chunk * self.file_length, min((chunk + 1) * self.file_length, self.shape[0])


def read_metadata(root: Path, path: str) -> Any:
    """Return what the metadata of a group or array in a store say, as JSON.

    Raises
    ------
    FileNotFoundError
        If they are missing.
    ValueError
        If they are damaged.
    """
    try:
        return json.loads(read_regular(inside(root, path) / "zarr.json", limit=MAX_METADATA_BYTES))
    except (StoreError, RecursionError) as error:
        raise ValueError(str(error)) from error


def group_problem(metadata: Any) -> str:
    """Say in what metadata are not those of a group; empty if they are."""
    if not isinstance(metadata, dict):
        return "they are no table"
    for key, value in _GROUP_KEYS.items():
        if metadata.get(key) != value:
            return f"its {key} is {str(metadata.get(key))[:60]}"
    if not isinstance(metadata.get("attributes"), dict):
        return "they have no attributes"
    unknown = metadata.keys() - {*_GROUP_KEYS, "attributes", "consolidated_metadata"}
    return f"they have {sorted(unknown)[0][:60]!r}" if unknown else ""


def spec_of(path: str) -> ArraySpec | None:
    """Return what the format says of an array, None where it doesn't know it."""
    name = path.rpartition("/")[2]
    return LINKAGE if name.startswith("linkage_") else _SPECS.get(name)


def layout_of(root: Path, path: str, n_files: int) -> Layout | None:
    """Return how an array is cut into so many files, None where its metadata don't tell."""
    try:
        found = Layout.of(read_metadata(root, path))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None
    return found if found.n_files == n_files else None


def chunk_key(root: Path, path: str, chunk: int) -> str:
    """Return the path in the store of the file of a chunk, or shard, of an array."""
    spec = spec_of(path)
    if spec is not None:
        n_dims = len(spec.dims)
    else:
        try:
            n_dims = len(read_metadata(root, path)["shape"])
        except (ValueError, KeyError, TypeError, OSError):
            n_dims = 1
    return f"{path}/{CHUNK_PREFIX}{chunk}{'.0' * (n_dims - 1)}"


def _whole(value: object, *, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 62:
        raise ValueError(f"{str(value)[:60]} is no size")
    return value
