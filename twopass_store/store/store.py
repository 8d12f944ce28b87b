"""`Store`: the groups and arrays of the format, and the journals kept among them."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array_spec import ArrayConfigParams

from ..errors import (
    ConfigError,
    CorruptChunkError,
    FormatVersionError,
    StageIncompleteError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
)
from ..journal import METADATA, Plan, Product, Record, StageJournal, Writer, uninterrupted
from ..partition import FrameRange, n_chunks
from ..schema import DEFAULT_CODEC, FORMAT_VERSION, PACKING_ATTRS, ArraySpec, attributes, chunk_shape
from .chunk_files import ChunkFiles
from .codecs import codec_of, codecs
from .local import CHUNK_PREFIX, DurableLocalStore
from .packing import Packing

__all__ = ["GROWTH", "Store", "check_name", "lock_folder", "store_path"]

GROWTH = "growth"
"""Name of the journal that is there only while arrays along ``frame`` are made longer."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# Chunks that are all fill are written too: what is absent then is missing, not empty.
_CONFIG: ArrayConfigParams = {"write_empty_chunks": True}


def check_name(name: str) -> str:
    """Return `name` if a clustering may be called so.

    Raises
    ------
    ConfigError
        Otherwise.
    """
    if not _NAME.fullmatch(name) or len(name) > 100:
        raise ConfigError(
            f"{name!r} can't be the name of a clustering: use letters, digits, _ and -, "
            "beginning with a letter or digit, at most 100."
        )
    return name


def store_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a store; ``~`` is the home folder, and links are followed.

    Two names of one store must share one lock.
    """
    return Path(path).expanduser().resolve()


def lock_folder(path: Path) -> Path:
    """Return the folder beside a store that holds its locks and temporary files."""
    return path.with_name(path.name + ".lock")


class Store:
    """An open store.

    Paths of groups and arrays are relative to its root and have no leading slash. Threads may share it.
    """

    def __init__(self, path: Path, root: zarr.Group, files: DurableLocalStore) -> None:
        self.path = path
        self._root = root
        self._files = files
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._files_of: dict[str, ChunkFiles | None] = {}

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Tell whether a store (of any format version) is at `path`.

        Raises
        ------
        StoreExistsError
            If something else is there.
        """
        try:
            if (path / "zarr.json").is_file():
                return True
            # An empty folder may be what a kill left in the first instant.
            is_taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
        except OSError as error:
            raise StoreError(f"Cannot look at {path}: {error.strerror}. Mend its permissions.") from error
        if is_taken:
            raise StoreExistsError(
                f"{path} exists and is no twopass store. Choose another path, or remove it yourself."
            )
        return False

    @classmethod
    def create(cls, path: Path, attrs: Mapping[str, Any], *, writer: Writer) -> Self:
        """Make an empty store.

        Parameters
        ----------
        path
            Its folder; its parent must exist.
        attrs
            Attributes of the root beside ``twopass_format``, as JSON values.
        writer
            What writes, from the lock.
        """
        files = DurableLocalStore(path, writer=writer)
        marked = {"twopass_format": FORMAT_VERSION, **attrs}
        with uninterrupted():
            zarr.create_group(files, zarr_format=3, attributes=marked)
        return cls.open(path, writer=writer)

    @classmethod
    def open(cls, path: Path, *, writer: Writer | None = None, grows: bool = False) -> Self:
        """Open a store, for reading unless a writer is given.

        Parameters
        ----------
        path
            Its folder.
        writer
            What writes, from the lock.
        grows
            Whether it may be written to though its arrays are of different lengths: for whoever mends that.

        Raises
        ------
        StageIncompleteError
            If it shall be written to, and an append was interrupted while it made the arrays longer.
        StoreNotFoundError
            If nothing is there, or what is there is no store.
        FormatVersionError
            If it is of another format version.
        """
        try:
            exists, has_metadata = path.exists(), (path / "zarr.json").is_file()
        except OSError as error:
            raise StoreError(f"Cannot look at {path}: {error.strerror}. Mend its permissions.") from error
        if not exists:
            raise StoreNotFoundError(f"There is no store at {path}. Make one with `twopass ingest {path} …`.")
        if not has_metadata:
            raise StoreNotFoundError(f"{path} is no twopass store: it has no zarr.json.")
        files = DurableLocalStore(path, read_only=writer is None, writer=writer)
        try:
            root = zarr.open_group(
                files, mode="r" if writer is None else "r+", zarr_format=3, use_consolidated=False
            )
            found = dict(root.attrs).get("twopass_format")
        except PermissionError as error:
            raise StoreError(f"Cannot read {path}: {error.strerror}. Mend its permissions.") from error
        except Exception as error:  # zarr raises many kinds on metadata that it can't parse
            raise StoreNotFoundError(
                f"{path} is no twopass store: its zarr.json can't be read ({error})."
            ) from error
        if found is None:
            raise StoreNotFoundError(f"{path} is a Zarr group, but no twopass store.")
        if found != FORMAT_VERSION:
            raise FormatVersionError(
                f"{path} has format version {found}, and this version of twopass-store reads "
                f"{FORMAT_VERSION}. Install the version of twopass-store that wrote it, or a newer one."
            )
        if writer is not None and not grows and (path / "journal" / GROWTH / "zarr.json").is_file():
            raise StageIncompleteError(
                f"{path}: an append was interrupted while it made the store longer. Run the same "
                "`twopass ingest --append` again; it goes on where it was stopped."
            )
        return cls(path, root, files)

    # Groups and attributes

    def attrs(self, path: str = "") -> dict[str, Any]:
        """Return the attributes of a group or array."""
        try:
            return dict((self._root[path] if path else self._root).attrs)
        except (KeyError, ValueError) as error:
            raise CorruptChunkError(
                f"{self.path / path / 'zarr.json'} is missing or damaged. Copy the store again whole, or "
                "make it anew."
            ) from error

    def has(self, path: str) -> bool:
        """Tell whether a group or array is there."""
        return (self.path / path / "zarr.json").is_file()

    def members(self, path: str) -> list[str]:
        """List the names of the groups and arrays in a group, sorted; none where the group is absent."""
        folder = self.path / path
        return sorted(child.parent.name for child in folder.glob("*/zarr.json")) if folder.is_dir() else []

    def ensure_group(self, path: str, attrs: Mapping[str, Any]) -> None:
        """Make a group, and those that it lies in, unless it is there."""
        parent, _, _ = path.rpartition("/")
        if parent:
            self.ensure_group(parent, {})
        if not self.has(path):
            with uninterrupted():
                zarr.create_group(self._files, path=path, zarr_format=3, attributes=dict(attrs))

    def remove(self, path: str) -> None:
        """Remove a group or array and all in it, at one stroke."""
        if self._files.writer is None:
            raise ValueError("the store is open for reading only")
        self._forget(path)
        with uninterrupted():
            self._files.writer.remove(self.path / path)

    def _forget(self, path: str) -> None:
        self._arrays = {name: array for name, array in self._arrays.items() if not name.startswith(path)}
        self._files_of = {name: files for name, files in self._files_of.items() if not name.startswith(path)}

    # Arrays

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
            with uninterrupted():
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
                    config=_CONFIG,
                )
        return product

    def ensure_array_like(self, path: str, new: str, spec: ArraySpec) -> None:
        """Make an array like another one, but for type, fill value and what `spec` says of them."""
        if self.has(new):
            return
        like = self._array(path)
        kept = {key: value for key, value in like.attrs.items() if key not in PACKING_ATTRS}
        with uninterrupted():
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
                config=_CONFIG,
            )

    def exchange(self, path: str, new: str) -> None:
        """Put the array `new` in the place of another; after a crash in between, `new` is there whole."""
        if self._files.writer is None:
            raise ValueError("the store is open for reading only")
        self._forget(path)
        with uninterrupted():
            self._files.writer.remove(self.path / path)
            self._files.writer.move(self.path / new, self.path / path)

    def grow(self, path: str, length: int) -> None:
        """Lengthen an array along its first dimension; what is new reads as fill, and it is not complete.

        Chunks stay as they are: those at the edge are stored filled up. Can be repeated.
        """
        array = self._array(path)
        with uninterrupted():
            if array.attrs.get("complete", False):
                array.update_attributes({"complete": False})
            if array.shape[0] != length:
                array.resize((length, *array.shape[1:]))
        self._forget(path)

    def along_frame(self, group: str) -> list[str]:
        """List the paths of a group's arrays along ``frame``."""
        paths = [f"{group}/{name}" if group else name for name in self.members(group)]
        return [path for path in paths if self._first_dimension(path) == "frame"]

    def _first_dimension(self, path: str) -> str | None:
        metadata = json.loads((self.path / path / "zarr.json").read_text())
        names = metadata.get("dimension_names") or [None]
        return None if names[0] is None else str(names[0])

    @staticmethod
    def product(group: str, spec: ArraySpec, shape: Sequence[int], *, shard_chunks: int = 1) -> Product:
        """Describe an array of the format for a plan, whether it is there or not."""
        chunks = n_chunks(shape[0], shard_chunks * chunk_shape(spec, tuple(shape))[0])
        return Product(f"{group}/{spec.name}" if group else spec.name, chunks)

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
        return self._stored(path, rows)

    def _stored(self, path: str, rows: FrameRange | None) -> NDArray[Any]:
        array = self._array(path)
        try:
            return np.asarray(array[:] if rows is None else array[rows.start : rows.stop])
        except (RuntimeError, ValueError) as error:
            # blosc and crc32c raise these; a chunk's own message doesn't say which file it was.
            where = "" if rows is None else f", elements {rows.start} to {rows.stop}"
            raise CorruptChunkError(f"{self.path / path} is damaged{where}: {error}") from error

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
            try:
                stored = files.read(chunk)[start - first : stop - first]
            except (RuntimeError, ValueError) as error:
                raise CorruptChunkError(
                    f"{self.path / 'position'} is damaged, frames {start} to {stop}: {error}"
                ) from error
            if atoms is not None:
                stored = stored[:, atoms]
            packing.unpack(stored, positions[start - frames.start : stop - frames.start])
        return positions

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
            with uninterrupted():
                self._files.put(key, content)
        else:
            start = chunk * self.unit_length(path)
            with uninterrupted():
                array[start : start + len(data)] = data
        return Record(path, chunk, self._files.take_digest(key))

    def write_all(self, path: str, data: NDArray[Any]) -> list[Record]:
        """Write a whole array chunk by chunk, durably; returns the ledger's entries."""
        length = self.unit_length(path)
        return [
            self.write_chunk(path, chunk, data[chunk * length : (chunk + 1) * length])
            for chunk in range(n_chunks(len(data), length))
        ]

    def set_attrs(self, path: str, attrs: Mapping[str, Any]) -> None:
        """Set attributes of an array that isn't complete yet."""
        with uninterrupted():
            self._array(path).update_attributes(dict(attrs))

    def mark_complete(self, path: str) -> Record:
        """Set ``complete`` on an array; returns the ledger's entry for its metadata."""
        with uninterrupted():
            self._array(path).update_attributes({"complete": True})
        return Record(path, METADATA, self._files.take_digest(f"{path}/zarr.json"))

    def _chunk_files(self, path: str) -> ChunkFiles | None:
        if path not in self._files_of:
            self._files_of[path] = ChunkFiles.of(self._array(path), self.path / path)
        return self._files_of[path]

    def _array(self, path: str) -> "zarr.Array[Any]":
        array = self._arrays.get(path)
        if array is None:
            mode = "r" if self._files.read_only else "r+"
            try:
                opened = zarr.open_array(self._files, path=path, mode=mode, zarr_format=3)
            except FileNotFoundError as error:
                raise StageIncompleteError(f"{self.path} has no {path} yet.") from error
            except (KeyError, ValueError) as error:
                raise CorruptChunkError(
                    f"{self.path / path / 'zarr.json'} is damaged ({error}). Copy the store again whole, or "
                    "make it anew."
                ) from error
            # open_array takes a config, but heeds it only where it creates.
            array = self._arrays[path] = opened.with_config(_CONFIG)
        return array

    # Journals: `JournalStorage` on the group /journal

    def read_plan(self, stage: str) -> str | None:
        """Return a plan's text, None where there is none."""
        path = f"journal/{stage}"
        return str(self.attrs(path)["plan"]) if self.has(path) else None

    def write_plan(self, stage: str, text: str) -> None:
        """Put a plan's text."""
        self.ensure_group(f"journal/{stage}", {"plan": text})

    def replace_plan(self, stage: str, text: str) -> None:
        """Put another text in the place of the plan's, at one stroke."""
        with uninterrupted():
            self._root[f"journal/{stage}"].update_attributes({"plan": text})

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return a ledger's entries, None where none was written yet."""
        path = f"journal/{stage}/ledger"
        # The array's metadata are written before its only chunk: without that, there is no entry.
        written = (self.path / path / f"{CHUNK_PREFIX}0").is_file()
        return self.read(path).astype(np.uint64) if self.has(path) and written else None

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Replace a ledger's entries."""
        path = f"journal/{stage}/ledger"
        if not self.has(path):
            with uninterrupted():
                self._root.create_array(
                    path,
                    shape=entries.shape,
                    dtype="uint64",
                    chunks=(max(1, len(entries)),),
                    compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()],
                    fill_value=0,
                    attributes={
                        "units": "1",
                        "long_name": "digests of the chunks that are finished; 0: not yet",
                    },
                    dimension_names=("entry",),
                    chunk_key_encoding={"name": "default", "separator": "."},
                    config=_CONFIG,
                )
        self.write_chunk(path, 0, entries)

    def remove_journal(self, stage: str) -> None:
        """Remove plan and ledger."""
        self.remove(f"journal/{stage}")

    def journal(self, stage: str) -> StageJournal | None:
        """Return a stage's journal as it stands, None where the stage was never planned."""
        return StageJournal.load(self, stage)

    @contextmanager
    def step(self, plan: Plan, *, hint: str) -> Iterator[StageJournal]:
        """Begin or go on with a stage's plan; when the block ends well, mark its products complete."""
        journal = StageJournal.begin(self, plan, hint=hint)
        yield journal
        journal.commit(self.mark_complete(product.path) for product in plan.products)
