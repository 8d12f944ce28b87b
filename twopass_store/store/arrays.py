"""The arrays of a store: made, read and written, chunk by chunk."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numcodecs.blosc
import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import (
    CorruptChunkError,
    StageIncompleteError,
    StoreError,
    TwopassError,
    limit_of_the_machine,
)
from ..journal import ABSENT, METADATA, Plan, Product, Record, StageJournal, digest
from ..partition import FrameRange, chunk_range, n_chunks
from ..schema import DEFAULT_CODEC, LEDGER, ArraySpec, attributes, chunk_shape
from .codecs import codec_of, codecs
from .journal_files import JournalFiles
from .local import DurableLocalStore, gone, inside
from .packing import Packing
from .places import METADATA_FILE, chunk_key, group_of, metadata_key, spec_at, stages_of

__all__ = ["Arrays", "Rows", "array_options", "empty_group", "encoded_bytes", "ledger_metadata"]


class Rows(Protocol):
    """A numpy array, or anything that gives parts of one when it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def __len__(self) -> int:
        """Its length along the first dimension."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Some of its rows."""


def array_options(
    spec: ArraySpec,
    shape: Sequence[int],
    attrs: Mapping[str, Any] | None = None,
    *,
    codec: str = DEFAULT_CODEC,
    shard_chunks: int = 1,
) -> dict[str, Any]:
    """Return what zarr's ``create_array`` takes for an array of the format, see `Arrays.ensure_array`."""
    chunks = chunk_shape(spec, tuple(shape))
    return {
        "shape": tuple(shape),
        "dtype": str if spec.dtype == "str" else spec.dtype,
        "chunks": chunks,
        "shards": (shard_chunks * chunks[0], *chunks[1:]) if shard_chunks > 1 else None,
        **codecs(spec, codec=codec),
        "fill_value": spec.fill_value,
        "attributes": {**attributes(spec), **(attrs or {})},
        "dimension_names": spec.dims,
        "chunk_key_encoding": {"name": "default", "separator": "."},
        "config": _CONFIG,
    }


def ledger_metadata(plan: Plan) -> bytes:
    """Return the metadata of a plan's ledger, as they are written."""
    made: dict[str, Any] = {}
    n_entries = sum(product.n_chunks + 1 for product in plan.products)
    zarr.create_array(made, **array_options(LEDGER, (n_entries,)))
    return bytes(made[METADATA_FILE].to_bytes())


def empty_group() -> bytes:
    """Return the metadata of a group without attributes, as they are written."""
    made: dict[str, Any] = {}
    zarr.create_group(made, zarr_format=3)
    return bytes(made[METADATA_FILE].to_bytes())


def encoded_bytes(spec: ArraySpec, values: NDArray[Any], *, codec: str = DEFAULT_CODEC) -> int:
    """Return how many bytes an array of the format takes on the disk, its chunks together."""
    files: dict[str, Any] = {}
    zarr.create_array(files, **array_options(spec, values.shape, codec=codec))[:] = values
    return sum(len(data) for name, data in files.items() if not name.endswith(METADATA_FILE))


# In the main thread it would start threads of its own.
numcodecs.blosc.use_threads = False

# Chunks that are all fill are written too: what is absent then is missing, not empty.
_CONFIG: Any = {"write_empty_chunks": True}


class Arrays(JournalFiles):
    """An open store, with its arrays."""

    def __init__(self, path: Path, root: zarr.Group, files: DurableLocalStore) -> None:
        super().__init__(path, files)
        self._root = root
        self._files = files
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._buffers = threading.local()
        self._journals: dict[str, StageJournal | None] = {}

    def at(self, path: str) -> Path:
        """Return the folder of a group or array, or a file in it."""
        return inside(self.path, path)

    def has(self, path: str) -> bool:
        """Tell whether a group or array is there; refuse the store if it isn't, though the journal has it."""
        if inside(self.path, metadata_key(path)).is_file():
            return True
        self._require_recorded(path)
        return False

    def ensure_array(
        self,
        group: str,
        spec: ArraySpec,
        shape: Sequence[int],
        attrs: Mapping[str, Any] | None = None,
        *,
        codec: str = DEFAULT_CODEC,
        shard_chunks: int | None = None,
    ) -> None:
        """Make an array of the format unless it is there.

        `attrs` come beside those of `spec`; `codec` is that of `codecs`. Arrays along ``frame`` have as many
        chunks in a file as those of the root, which is made with `shard_chunks`.
        """
        path = f"{group}/{spec.name}".lstrip("/")
        if not self.has(path):
            n_inner = shard_chunks or self._shard_chunks(group, spec)
            self._root.create_array(
                path, **array_options(spec, shape, attrs, codec=codec, shard_chunks=n_inner)
            )

    def product(self, group: str, spec: ArraySpec, shape: Sequence[int]) -> Product:
        """Describe an array of a group for a plan, whether it is there or not."""
        length = self._shard_chunks(group, spec) * chunk_shape(spec, tuple(shape))[0]
        return Product(f"{group}/{spec.name}".lstrip("/"), n_chunks(shape[0], length))

    def _shard_chunks(self, group: str, spec: ArraySpec) -> int:
        return self.chunks_per_file("time") if group and spec.dims[0] == "frame" else 1

    def members(self, path: str) -> list[str]:
        """List the names of the groups and arrays in a group, sorted; none if the group is absent."""
        folder = self.at(path)
        names = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
        return [name for name in names if self.has(f"{path}/{name}".lstrip("/"))]

    def grow(self, path: str, length: int) -> None:
        """Lengthen an array along its first dimension; what is new reads as fill, and it is not complete.

        Chunks stay as they are: those at the edge are stored filled up. Can be repeated.
        """
        array = self._array(path)
        self.unmark_complete(path)
        if array.shape[0] != length:
            array.resize((length, *array.shape[1:]))
        self._forget(path)

    def along_frame(self, group: str) -> list[str]:
        """List the paths of a group's arrays along ``frame``."""
        paths = [f"{group}/{name}".lstrip("/") for name in self.members(group)]
        return [path for path in paths if _dimensions(self._files.read_metadata(path))[:1] == ["frame"]]

    def unknown_along_frame(self) -> list[str]:
        """List the paths of arrays along ``frame`` that the format doesn't have, wherever they are."""
        found = []
        for file in sorted(self.path.rglob(METADATA_FILE)):
            path = file.parent.relative_to(self.path).as_posix()
            if spec_at(path) is None and "frame" in _dimensions(file.read_bytes()):
                found.append(path)
        return found

    def shape(self, path: str) -> tuple[int, ...]:
        """Return an array's shape."""
        return tuple(self._array(path).shape)

    def chunk_length(self, path: str) -> int:
        """Return the size of an array's chunks along its first dimension."""
        return int(self._array(path).chunks[0])

    def unit_length(self, path: str) -> int:
        """Return how many elements along the first dimension lie in one file: those of a shard, or chunk."""
        array = self._array(path)
        return int((array.shards or array.chunks)[0])

    def chunks_per_file(self, path: str) -> int:
        """Return how many chunks of an array lie in one file."""
        return self.unit_length(path) // self.chunk_length(path)

    @property
    def frames_per_file(self) -> int:
        """Frames in one file of each per-frame array but positions, fixed when the store is begun."""
        return self.unit_length("time")

    def codec(self, path: str) -> str:
        """Return how an array is encoded, see :func:`codecs`."""
        return codec_of(self._array(path))

    def is_complete(self, path: str) -> bool:
        """Tell whether an array is there, finished and may be relied on."""
        return self.has(path) and bool(self._array(path).attrs.get("complete", False))

    def read(self, path: str, rows: FrameRange | None = None) -> NDArray[Any]:
        """Read an array, or a range of its first dimension; positions as `read_positions` does."""
        if path == "position":
            return self.read_positions(FrameRange(0, self.shape(path)[0]) if rows is None else rows)
        return self._stored(path, rows)

    def _stored(self, path: str, rows: FrameRange | None) -> NDArray[Any]:
        array = self._array(path)
        if rows is not None and array.dtype.kind in "iuf":
            chunk = rows.start // array.chunks[0]
            is_one = rows == chunk_range(chunk, chunk=array.chunks[0], length=array.shape[0])
            if is_one and (whole := self._whole_chunk(path, chunk)) is not None:
                return whole[: len(rows)].copy()
        where = "" if rows is None else f", elements {rows.start} to {rows.stop}"
        with self._reading(path, where):
            return np.asarray(array[:] if rows is None else array[rows.start : rows.stop])

    def read_positions(
        self, frames: FrameRange, atoms: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Read positions as float32, however they are stored; shape (n_frames, n_atoms, 3), nm.

        `atoms` are indices along ``atom``; all if None.
        """
        packing = self.packing()
        array = self._array("position")
        n_atoms = array.shape[1] if atoms is None else len(atoms)
        positions = np.empty((len(frames), n_atoms, 3), np.float32)
        length = array.chunks[0]
        # Chunk by chunk, so that never more than one is there in its stored type.
        for start in range(frames.start - frames.start % length, frames.stop, length):
            rows = FrameRange(max(frames.start, start), min(frames.stop, start + length))
            stored = self._whole_chunk("position", start // length)
            if stored is None:
                stored = self._stored("position", rows)
            else:
                stored = stored[rows.start - start : rows.stop - start]
            into = positions[rows.start - frames.start : rows.stop - frames.start]
            packing.unpack(stored if atoms is None else stored[:, atoms], into)
        return positions

    def _whole_chunk(self, path: str, chunk: int) -> NDArray[Any] | None:
        """Decode a chunk into this thread's buffer; None if it is transposed.

        zarr takes new memory for each chunk, copies what it decoded, and hands each read to another thread:
        reading all positions takes half as much CPU time again, and a chunk of labels three times as much.
        """
        array = self._array(path)
        if codec_of(array) != DEFAULT_CODEC:
            return None
        file, place = divmod(chunk, per_file := self.chunks_per_file(path))
        stored: NDArray[Any] | None = getattr(self._buffers, path, None)
        if stored is None or (stored.shape, stored.dtype) != (array.chunks, array.dtype):
            stored = np.empty(array.chunks, array.dtype)
            setattr(self._buffers, path, stored)
        with self._reading(path, f", chunk {chunk}"):
            data = self._files.read_chunk(chunk_key(path, file), place, per_file)
            # The header of blosc says how much is written to the buffer.
            if len(data) < 16 or int.from_bytes(data[4:8], "little") != stored.nbytes:
                raise ValueError("its header promises another size")
            numcodecs.blosc.decompress(data, stored.reshape(-1).view(np.uint8))
        return stored

    @contextmanager
    def _reading(self, path: str, where: str) -> Iterator[None]:
        """Say which array it was: codecs raise errors of many kinds, and know nothing of files."""
        try:
            yield
        except TwopassError:
            raise
        except Exception as error:
            limit = limit_of_the_machine(error)
            raise limit or CorruptChunkError(
                f"{self.path / path} is damaged{where}: {error}. `twopass verify {self.path}` tells what "
                "else is; `twopass repair` discards it, so that it is made anew."
            ) from error

    def packing(self) -> Packing:
        """Return how positions are stored."""
        array = self._array("position")
        return Packing.of_array(array.dtype, array.attrs)

    def write_chunk(self, path: str, chunk: int, data: NDArray[Any]) -> Record:
        """Write one whole chunk (of the first dimension), durably; returns the ledger's entry for it.

        Where the array has shards, what is meant is a shard.
        """
        array = self._array(path)
        start, key = chunk * self.unit_length(path), chunk_key(path, chunk)
        with self._files.replacing(key):
            array[start : start + len(data)] = data
        return Record(path, chunk, self._files.take_digest(key))

    def write_all(self, path: str, data: Rows) -> list[Record]:
        """Write a whole array chunk by chunk, durably; returns the ledger's entries."""
        length = self.unit_length(path)
        return [
            self.write_chunk(path, chunk, data[chunk * length : (chunk + 1) * length])
            for chunk in range(n_chunks(len(data), length))
        ]

    def set_attrs(self, path: str, attrs: Mapping[str, Any]) -> None:
        """Set attributes of an array that isn't complete yet."""
        self._array(path).update_attributes(dict(attrs))

    def mark_complete(self, path: str) -> Record:
        """Set ``complete`` on an array; returns the ledger's entry for its metadata."""
        self._array(path).update_attributes({"complete": True})
        return Record(path, METADATA, self._files.take_digest(metadata_key(path)))

    def unmark_complete(self, path: str) -> None:
        """Say of an array that it isn't complete any more, once its metadata have no entry in the ledger."""
        if self._array(path).attrs.get("complete", False):
            self._array(path).update_attributes({"complete": False})

    def has_chunk(self, path: str, chunk: int) -> bool:
        """Tell whether the file of a chunk (or shard) is there."""
        return self.at(chunk_key(path, chunk)).is_file()

    def remove(self, path: str) -> None:
        """Remove a group or array and all in it, at one stroke, or a file."""
        self._forget(path)
        if self._files.writer is None:
            raise ValueError("the store is open for reading only")
        self._files.writer.remove(self.at(path))

    def _forget(self, path: str) -> None:
        self._arrays = {name: array for name, array in self._arrays.items() if not name.startswith(path)}

    def _array(self, path: str) -> "zarr.Array[Any]":
        array = self._arrays.get(path)
        if array is None:
            self._require_recorded(path)
            mode = "r" if self._files.read_only else "r+"
            with self._reading(path, ""):
                try:
                    opened = zarr.open_array(self._files, path=path, mode=mode, zarr_format=3)
                except FileNotFoundError as error:
                    if not self.path.is_dir():
                        raise gone(self.path) from error
                    raise StageIncompleteError(f"{self.path} has no {path} yet.") from error
            # open_array takes a config, but heeds it only where it creates.
            array = self._arrays[path] = opened.with_config(_CONFIG)
        return array

    def _require_recorded(self, path: str) -> None:
        """Refuse metadata of which the journal has another digest: numbers would be read as others.

        While metadata change, as those of an array that becomes longer do, there is no entry.
        """
        for _ in range(5):
            recorded = self._recorded(path)
            try:
                found = digest(self._files.read_metadata(path)) if recorded != ABSENT else ABSENT
            except FileNotFoundError:
                found = None
            if found == recorded:
                return
            # A writer may have come in between.
            for stage in stages_of(path):
                self._journals.pop(stage, None)
        what = "missing" if found is None else "not as they were written"
        raise CorruptChunkError(
            f"The metadata {self.path / metadata_key(path)} are {what}: the store is damaged, or the copy of "
            f"it is incomplete. `twopass verify {self.path}` tells what else is; `twopass repair` mends what "
            "can be."
        )

    def _recorded(self, path: str) -> int:
        """Return the digest of metadata that a journal has, `ABSENT` if none has any."""
        for stage in stages_of(path):
            try:
                if stage not in self._journals:
                    self._journals[stage] = self.journal(stage)
            except StoreError:
                continue  # a damaged journal; whoever needs it is told
            journal = self._journals[stage]
            if journal is not None and group_of(stage) == path:
                text = journal.plan.metadata.get(path)
                # Of a stage that is being discarded nothing is finished any more.
                return ABSENT if text is None or not journal.begun else digest(text.encode())
            if journal is not None and journal.has(path):
                return journal.digest_of(path, METADATA)
        return ABSENT


def _dimensions(metadata: bytes) -> list[str]:
    try:
        return list(json.loads(metadata).get("dimension_names") or [])
    except (ValueError, AttributeError, RecursionError):
        return []  # nothing that a reader could open
