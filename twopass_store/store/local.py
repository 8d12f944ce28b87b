"""A local folder as a Zarr store whose writes survive a power cut and whose reads miss nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from ..errors import CorruptChunkError, StoreError, StoreNotFoundError
from ..journal import Writer, digest
from .confined import inside, read_regular, regular_file
from .limits import MAX_METADATA_BYTES, ArrayFormat, check_metadata, known_spec
from .names import CHECKSUM_BYTES, CHUNK_PREFIX, METADATA_FILE
from .recorded import RecordedMetadata, read_file

__all__ = ["DurableLocalStore", "gone", "missing_chunk"]


class DurableLocalStore(LocalStore):
    """Writes through the journal's durable write and notes the digest of what it wrote.

    zarr's own `LocalStore` renames whole files into place but never syncs them, and reads a missing chunk
    as fill. Here a missing chunk is an error: every chunk of ours is written, also one that is all fill. So
    are metadata of which the journal has another digest: numbers would be read as others.

    Parameters
    ----------
    root
        The folder.
    read_only
        Whether writes are refused.
    writer
        What writes, from the lock; needed for writing.
    absent_is_fill
        Read a missing chunk as fill, as zarr does: for arrays that are still being written.
    known_only
        List no arrays but those of the format: who opens all that is listed meets nobody's own.
    check
        Called with the key after a chunk was read, or couldn't be; raises where it isn't what was opened.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        read_only: bool = False,
        writer: Writer | None = None,
        absent_is_fill: bool = False,
        known_only: bool = False,
        check: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(root, read_only=read_only)
        self.writer = writer
        self.recorded = RecordedMetadata(self.root)
        self._absent_is_fill = absent_is_fill
        self._known_only = known_only
        self._check = check
        self._digests: dict[str, int] = {}
        self._digests_lock = threading.Lock()
        self._formats: dict[str, ArrayFormat | None] = {}

    async def _open(self, **options: Any) -> None:
        # LocalStore's own makes the folder, also that of a store that is gone.
        await ZarrStore._open(self, **options)

    def with_read_only(self, read_only: bool = False) -> "DurableLocalStore":
        """Return a store on the same folder."""
        return type(self)(
            self.root,
            read_only=read_only,
            writer=self.writer,
            absent_is_fill=self._absent_is_fill,
            known_only=self._known_only,
            check=self._check,
        )

    def take_digest(self, key: str) -> int:
        """Return the digest of what was last written under a key, and forget it."""
        with self._digests_lock:
            return self._digests.pop(key)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a file; a missing chunk is an error."""
        with self._checking(key):
            regular_file(self.root, key, limit=self._limit(key))
            with self._told(key):
                value = await super().get(key, prototype, byte_range)
            return self._allowed(key, self._checked(key, value), is_whole=byte_range is None)

    def get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        """Read a file; a missing chunk is an error."""
        with self._checking(key):
            regular_file(self.root, key, limit=self._limit(key))
            with self._told(key):
                value = super().get_sync(key, **kwargs)
            return self._allowed(key, self._checked(key, value), is_whole=kwargs.get("byte_range") is None)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List what is in a folder."""
        async for name in super().list_dir(prefix):
            if not self._known_only or known_spec(f"{prefix}/{name}".lstrip("/")) is not None:
                yield name

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file whole, and durably."""
        await asyncio.to_thread(self._put, key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a file whole, and durably."""
        self._put(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a file unless it is there. Only one process writes a node, so looking first is enough."""
        if not await self.exists(key):
            await self.set(key, value)

    def _put(self, key: str, value: Buffer) -> None:
        self.put(key, value.to_bytes())

    def put(self, key: str, data: bytes) -> None:
        """Write a file whole, and durably."""
        self._check_writable()
        if self.writer is None:
            raise ValueError("a store that is written to needs a writer")
        path = inside(self.root, key)
        if path.name == METADATA_FILE and path.parent != self.root and not path.exists():
            # Only the metadata of a group or array begin its folder; where chunks miss theirs, it was lost.
            self.writer.make_folder(path.parent)
        self.writer.write(path, data)
        if path.name == METADATA_FILE:
            self.forget(key.rpartition("/")[0])
        with self._digests_lock:
            self._digests[key] = digest(data)

    def forget(self, path: str) -> None:
        """Forget what the chunks of an array are: another one takes its place."""
        self._formats.pop(path, None)

    def _allowed(self, key: str, value: Buffer | None, *, is_whole: bool) -> Buffer | None:
        """Return what was read, if decoding it takes no codec and no memory but those of the format."""
        path, _, name = key.rpartition("/")
        if value is None:
            return None
        if name == METADATA_FILE:
            self._formats[path] = check_metadata(path, value.to_bytes())
        elif name.startswith(CHUNK_PREFIX) and (array := self._format(path)) is not None:
            array.check(key, value.to_bytes(), is_whole=is_whole)
        return value

    def _limit(self, key: str) -> int | None:
        path, _, name = key.rpartition("/")
        if name == METADATA_FILE:
            return MAX_METADATA_BYTES
        array = self._format(path) if name.startswith(CHUNK_PREFIX) else None
        return None if array is None else array.file_bytes

    def _format(self, path: str) -> ArrayFormat | None:
        if path not in self._formats:
            file = regular_file(self.root, f"{path}/{METADATA_FILE}", limit=MAX_METADATA_BYTES)
            self._formats[path] = None if file is None else check_metadata(path, read_regular(file))
        return self._formats[path]

    @contextmanager
    def _checking(self, key: str) -> Iterator[None]:
        if self._check is None or not key.rpartition("/")[2].startswith(CHUNK_PREFIX):
            yield
            return
        try:
            yield
        except StoreError:
            self._check(key)
            raise
        self._check(key)

    def read_metadata(self, path: str) -> bytes:
        """Return the metadata of a group or array, if they are as recorded.

        Raises
        ------
        FileNotFoundError
            If there are none.
        CorruptChunkError
            If they are not as recorded.
        """
        key = f"{path}/{METADATA_FILE}" if path else METADATA_FILE
        data = read_file(self.root, key)
        if data is None:
            raise FileNotFoundError(key)
        return self.recorded.settled(path, data, lambda: read_file(self.root, key))

    def _checked(self, key: str, value: Buffer | None) -> Buffer | None:
        path, _, name = key.rpartition("/")
        if name.startswith(CHUNK_PREFIX):
            if value is None and not (self._absent_is_fill and not self.recorded.has_chunk(path, name)):
                raise missing_chunk(self.root / key)
            # zarr would raise too, but not say which file it was. Of shards it reads any number of chunks at
            # once, and checks each.
            array = self._format(path) if self.recorded.knows(path) else None
            is_chunk = value is not None and array is not None and not array.chunks_per_file
            if is_chunk and value is not None and not _ends_with_checksum(value):
                raise damaged_chunk(self.root / key, "its checksum differs")
        if value is None or name != METADATA_FILE:
            return value
        found = self.recorded.settled(path, value.to_bytes(), lambda: read_file(self.root, key))
        return type(value).from_bytes(found)

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise StoreError(
                f"Cannot read {self.root / key}: {error.strerror}. Mend its permissions."
            ) from error
        except (OSError, ValueError) as error:
            # A shard that is shorter than its index, or a disk that can't read it any more.
            raise damaged_chunk(self.root / key, str(error)) from error


def _ends_with_checksum(value: Buffer) -> bool:
    data = value.as_numpy_array().view(np.uint8)
    stored = int.from_bytes(data[-CHECKSUM_BYTES:].tobytes(), "little")
    return len(data) > CHECKSUM_BYTES and google_crc32c.value(data[:-CHECKSUM_BYTES]) == stored


def damaged_chunk(path: Path, why: str) -> CorruptChunkError:
    """Return the error that says so."""
    return CorruptChunkError(
        f"{path} is damaged: {why}. `twopass verify` tells what else is; `twopass repair` discards it, so "
        "that it is made anew."
    )


def gone(path: Path) -> StoreNotFoundError:
    """Return the error that says that a store, or a group of it, went away while it was open."""
    return StoreNotFoundError(
        f"{path} was removed or renamed meanwhile. Put it back, and run the same command again to resume."
    )


def missing_chunk(path: Path) -> StoreError:
    """Return the error that says so."""
    if not path.parent.parent.is_dir():
        return gone(path.parent.parent)
    return CorruptChunkError(
        f"{path} is missing: the store is damaged, or the copy of it is incomplete. Copy it again whole; or "
        "`twopass verify` tells what else is, and `twopass repair` has it made anew."
    )
