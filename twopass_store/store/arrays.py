"""The arrays of a store: made, read and written, chunk by chunk."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptChunkError, StoreError, TwopassError
from ..journal import METADATA, Product, Record
from ..partition import FrameRange, n_chunks
from ..schema import DEFAULT_CODEC, PACKING_ATTRS, ArraySpec, attributes, chunk_shape
from .bounds import REFERENCES, check_size, check_values
from .codecs import codec_of, codecs
from .confined import read_regular, regular_file
from .groups import CONFIG, GROWTH, Groups
from .limits import MAX_METADATA_BYTES, known_spec
from .names import CHUNK_PREFIX
from .packing import Packing

__all__ = ["Arrays", "Rows"]

GROWING = ("frame", "trajectory_file", "simulation_run")
"""Dimensions that an append makes longer, one array after the other."""


class Rows(Protocol):
    """A numpy array, or anything that gives parts of one when it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def __len__(self) -> int:
        """Its length along the first dimension."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Some of its rows."""


class Arrays(Groups):
    """An open store, with its arrays."""

    def ensure_array(
        self,
        group: str,
        spec: ArraySpec,
        shape: Sequence[int],
        attrs: Mapping[str, Any] | None = None,
        *,
        codec: str = DEFAULT_CODEC,
        shard_chunks: int = 1,
    ) -> Product:
        """Make an array of the format unless it is there; returns it as a journal's product.

        Parameters
        ----------
        group, spec, shape
            Where, what, and how large.
        attrs
            Attributes beside those of `spec`.
        codec
            How positions are encoded, see :func:`codecs`.
        shard_chunks
            Chunks that lie in one file.
        """
        product = self.product(group, spec, shape, shard_chunks=shard_chunks)
        chunks = chunk_shape(spec, tuple(shape))
        if not self.has(product.path):
            self._root.create_array(
                product.path,
                shape=tuple(shape),
                dtype=str if spec.dtype == "str" else spec.dtype,
                chunks=chunks,
                shards=(shard_chunks * chunks[0], *chunks[1:]) if shard_chunks > 1 else None,
                **codecs(spec, codec=codec),
                fill_value=spec.fill_value,
                attributes={**attributes(spec), **(attrs or {})},
                dimension_names=spec.dims,
                chunk_key_encoding={"name": "default", "separator": "."},
                config=CONFIG,
            )
        return product

    def ensure_array_like(self, path: str, new: str, spec: ArraySpec) -> None:
        """Make an array like another one, but for type, fill value and what `spec` says of them."""
        if self.has(new):
            return
        like = self._array(path)
        kept = {key: value for key, value in like.attrs.items() if key not in PACKING_ATTRS}
        self._root.create_array(
            new,
            shape=like.shape,
            dtype=spec.dtype,
            chunks=like.chunks,
            shards=like.shards,
            **codecs(spec, codec=codec_of(like)),
            fill_value=spec.fill_value,
            attributes={**kept, **spec.attrs},
            dimension_names=spec.dims,
            chunk_key_encoding={"name": "default", "separator": "."},
            config=CONFIG,
        )

    def exchange(self, path: str, new: str) -> None:
        """Put the array `new` in the place of another; after a crash in between, `new` is there whole."""
        if self._files.writer is None:
            raise ValueError("the store is open for reading only")
        self._forget(path)
        self._files.writer.remove(self.at(path))
        self._files.writer.move(self.at(new), self.at(path))

    def grow(self, path: str, length: int) -> None:
        """Lengthen an array along its first dimension; what is new reads as fill, and it is not complete.

        Chunks stay as they are: those at the edge are stored filled up. Can be repeated.
        """
        array = self._array(path)
        if array.attrs.get("complete", False):
            array.update_attributes({"complete": False})
        if array.shape[0] != length:
            array.resize((length, *array.shape[1:]))
        self._forget(path)

    def along_frame(self, group: str) -> list[str]:
        """List the paths of a group's arrays along ``frame``."""
        paths = [f"{group}/{name}" if group else name for name in self.members(group)]
        return [path for path in paths if self._first_dimension(path) == "frame"]

    def unknown_along_frame(self) -> list[str]:
        """List the paths of arrays along ``frame`` that the format doesn't have, wherever they are."""
        found = []
        for file in sorted(self.path.rglob("zarr.json")):
            path = file.parent.relative_to(self.path).as_posix()
            if known_spec(path) is not None:
                continue
            try:
                names = json.loads(read_regular(file, limit=MAX_METADATA_BYTES)).get("dimension_names")
            except (ValueError, AttributeError, RecursionError):
                continue  # nothing that a reader could open
            if "frame" in (names or []):
                found.append(path)
        return found

    def _first_dimension(self, path: str) -> str | None:
        metadata = json.loads(self._files.read_metadata(path))
        names = metadata.get("dimension_names") or [None]
        return None if names[0] is None else str(names[0])

    @staticmethod
    def product(group: str, spec: ArraySpec, shape: Sequence[int], *, shard_chunks: int = 1) -> Product:
        """Describe an array of the format for a plan, whether it is there or not."""
        chunks = n_chunks(shape[0], shard_chunks * chunk_shape(spec, tuple(shape))[0])
        return Product(f"{group}/{spec.name}" if group else spec.name, chunks)

    def shape(self, path: str) -> tuple[int, ...]:
        """Return an array's shape."""
        self._require_sizes(path)
        return tuple(self._array(path).shape)

    def chunk_length(self, path: str) -> int:
        """Return the size of an array's chunks along its first dimension."""
        return int(self._array(path).chunks[0])

    def unit_length(self, path: str) -> int:
        """Return how many elements along the first dimension lie in one file: those of a shard, or chunk."""
        array = self._array(path)
        return int((array.shards or array.chunks)[0])

    def codec(self, path: str) -> str:
        """Return how an array is encoded, see :func:`codecs`."""
        return codec_of(self._array(path))

    def is_complete(self, path: str) -> bool:
        """Tell whether an array is there, finished and may be relied on."""
        return self.has(path) and bool(self._array(path).attrs.get("complete", False))

    def read(self, path: str, rows: FrameRange | None = None) -> NDArray[Any]:
        """Read an array, or a range of its first dimension; positions as `read_positions` does.

        Raises
        ------
        CorruptChunkError
            If a chunk is missing or damaged.
        """
        if path == "position":
            return self.read_positions(FrameRange(0, self.shape(path)[0]) if rows is None else rows)
        self._require_sizes(path)
        values = self._stored(path, rows)
        check_values(path, values, is_complete=self.is_complete(path), size_of=partial(self._size_of, path))
        return values

    def _require_sizes(self, path: str) -> None:
        """Raise `CorruptChunkError` unless an array of the format is as long as those that go with it."""
        spec = known_spec(path)
        if spec is None or path in self._sized:
            return
        for axis, dim in enumerate(spec.dims):
            reference = self._reference(path, dim)
            if reference is None or reference == path or not self.has(reference):
                continue
            at = 1 if dim == "atom" else 0
            try:
                check_size(path, dim, self._array(path).shape[axis], self._array(reference).shape[at])
            except CorruptChunkError:
                if dim in GROWING and self.has(f"journal/{GROWTH}"):
                    return
                # An append may have ended since one of them was opened.
                self._forget(path)
                self._forget(reference)
                check_size(path, dim, self._array(path).shape[axis], self._array(reference).shape[at])
        self._sized.add(path)

    def _reference(self, path: str, dim: str) -> str | None:
        """Return the array that tells the size along a dimension, None where the format fixes it."""
        if dim not in REFERENCES:
            return None
        group = "" if dim in (*GROWING, "atom") else path.rpartition("/")[0]
        if dim == "subset" and group.startswith("clusterings/"):
            subset = self.attrs(group)["subset"]
            return None if subset is None else f"subsets/{subset}/{REFERENCES[dim]}"
        return f"{group}/{REFERENCES[dim]}".lstrip("/")

    def _size_of(self, path: str, dim: str) -> int:
        if dim == "clusters":
            return int(self.attrs(path.rpartition("/")[0])["n_clusters_found"])
        reference = self._reference(path, dim)
        assert reference is not None
        return int(self._array(reference).shape[1 if dim == "atom" else 0])

    def _stored(self, path: str, rows: FrameRange | None) -> NDArray[Any]:
        array = self._array(path)
        where = "" if rows is None else f", elements {rows.start} to {rows.stop}"
        with self._reading(path, where):
            return np.asarray(array[:] if rows is None else array[rows.start : rows.stop])

    def read_positions(
        self,
        frames: FrameRange,
        atoms: NDArray[np.int64] | None = None,
        *,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Read positions as float32, however they are stored.

        Parameters
        ----------
        frames
            A range of the store's frames.
        atoms
            Indices along ``atom``; all where None.
        out
            Where to put them, of the shape that is returned. New memory costs as much as decoding, so who
            reads many chunks should use its own again.

        Returns
        -------
        Shape (n_frames, n_atoms, 3), nm, C-contiguous unless `out` isn't.
        """
        packing = self.packing()
        array, files = self._array("position"), self._chunk_files("position")
        n_atoms = array.shape[1] if atoms is None else len(atoms)
        positions = np.empty((len(frames), n_atoms, 3), np.float32) if out is None else out
        if files is None:
            stored = self._stored("position", frames)
            return packing.unpack(stored if atoms is None else stored[:, atoms], positions)
        length = array.chunks[0]
        for chunk in range(frames.start // length, n_chunks(frames.stop, length)):
            first = chunk * length
            start, stop = max(frames.start, first), min(frames.stop, first + length)
            with self._reading("position", f", frames {start} to {stop}"):
                stored = files.read(chunk)[start - first : stop - first]
            if atoms is not None:
                stored = stored[:, atoms]
            packing.unpack(stored, positions[start - frames.start : stop - frames.start])
        return positions

    @contextmanager
    def _reading(self, path: str, where: str) -> Iterator[None]:
        """Say which array it was: codecs raise errors of many kinds, and know nothing of files."""
        try:
            yield
        except (TwopassError, MemoryError):
            raise
        except PermissionError as error:
            raise StoreError(
                f"Cannot read {self.path / path}: {error.strerror}. Mend its permissions."
            ) from error
        except Exception as error:
            raise CorruptChunkError(
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
        array, files = self._array(path), self._chunk_files(path)
        key = f"{path}/{CHUNK_PREFIX}{'.'.join([str(chunk), *['0'] * (array.ndim - 1)])}"
        if files is not None:
            content = files.encode(data)
            self._files.put(key, content)
        else:
            start = chunk * self.unit_length(path)
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
        return Record(path, METADATA, self._files.take_digest(f"{path}/zarr.json"))

    def discard_chunk(self, path: str, chunk: int, n_dims: int) -> None:
        """Remove the file of a chunk (or shard), for the next run to write it anew."""
        if self._files.writer is None:
            raise ValueError("the store is open for reading only")
        self._files.writer.remove(self.at(f"{path}/{CHUNK_PREFIX}{chunk}{'.0' * (n_dims - 1)}"))

    def unmark_complete(self, path: str) -> None:
        """Say of an array that it isn't complete any more, once its metadata have no entry in the ledger."""
        if self._array(path).attrs.get("complete", False):
            self._array(path).update_attributes({"complete": False})

    def has_chunk(self, path: str, chunk: int) -> bool:
        """Tell whether the file of a chunk (or shard) is there."""
        n_dims = self._array(path).ndim
        return regular_file(self.path, f"{path}/{CHUNK_PREFIX}{chunk}{'.0' * (n_dims - 1)}") is not None
