"""A local folder as a Zarr store: durable writes, no missing chunks, and nothing that lies outside of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from ..errors import CorruptChunkError, StoreError, StoreNotFoundError, TwopassError, limit_of_the_machine
from ..journal import Writer, digest
from .bucket import is_url
from .places import CHUNK_PREFIX, METADATA_FILE, metadata_key, spec_at
from .reading import stamp
from .wall import check_metadata

__all__ = ["DurableLocalStore", "damaged_file", "gone", "inside", "naming_the_file"]

CHECKSUM_BYTES = 4
"""Length of the crc32c that each chunk ends with."""


class DurableLocalStore(LocalStore):
    """Every read of a store's metadata and chunks, and every write, goes through here.

    zarr's own `LocalStore` renames whole files into place but never syncs them, and reads a missing chunk
    as fill. Here a missing chunk is an error, since every chunk of ours is written, also one that is all
    fill; and so are metadata that differ from the schema.

    With `absent_is_fill` a missing chunk is read as zarr does it: for arrays that are still being written.
    With `known_only` only arrays of the format are listed; others that a user keeps in the store may need
    codecs of their own. Whoever writes gives the `writer` of the lock.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        read_only: bool = False,
        writer: Writer | None = None,
        absent_is_fill: bool = False,
        known_only: bool = False,
    ) -> None:
        super().__init__(root, read_only=read_only)
        self.writer = writer
        self._absent_is_fill = absent_is_fill
        self._known_only = known_only
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._sharded: set[str] = set()
        self._digests: dict[str, int] = {}
        self._replaced: set[str] = set()

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
        )

    @contextmanager
    def replacing(self, key: str) -> Iterator[None]:
        """Take a file for absent while it is written whole: zarr reads a shard before it writes one."""
        self._replaced.add(key)
        try:
            yield
        finally:
            self._replaced.discard(key)

    def take_digest(self, key: str) -> int:
        """Return the digest of what was last written under a key, and forget it."""
        return self._digests.pop(key)

    def read_metadata(self, path: str) -> bytes:
        """Return the metadata of a group or array; raises `FileNotFoundError` if there are none."""
        key = metadata_key(path)
        file = inside(self.root, key)
        if not file.is_file():
            raise FileNotFoundError(file)
        with naming_the_file(file):
            data = file.read_bytes()
        check_metadata(self.root, path, data)
        return data

    def read_chunk(self, key: str, place: int = 0, per_file: int = 1) -> bytes:
        """Return a chunk as it is encoded, without its checksum, which was compared.

        `place` is its place in a file of `per_file` chunks, which is a shard if they are more than one.
        """
        file = inside(self.root, key)
        data = None
        with naming_the_file(file), suppress(FileNotFoundError, NotADirectoryError):
            data = file.read_bytes() if per_file == 1 else self._read_inner(key, place, per_file)
        if self.read_only:
            self.require_same(key.rpartition("/")[0].rpartition("/")[0])
        if data is None:
            raise missing_chunk(file)
        if not _checksum_holds(np.frombuffer(data, np.uint8)):
            raise damaged_file(file, "its checksum differs")
        return data[:-CHECKSUM_BYTES]

    def _read_inner(self, key: str, place: int, per_file: int) -> bytes:
        """Read a chunk of a shard, which ends with offset and length of each, and a checksum of these."""
        n_bytes = 16 * per_file + CHECKSUM_BYTES
        index = np.frombuffer(self._read_part(key, -n_bytes, n_bytes), np.uint8)
        if not _checksum_holds(index):
            raise ValueError("the checksum of its index differs")
        return self._read_part(key, *index[16 * place : 16 * (place + 1)].view("<u8").tolist())

    def _read_part(self, key: str, start: int, n_bytes: int) -> bytes:
        """Read so many bytes of a file, from `start`, or from so many before its end."""
        with (self.root / key).open("rb", buffering=0) as file:
            file.seek(start, os.SEEK_END if start < 0 else os.SEEK_SET)
            return file.read(n_bytes)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a file; a missing chunk is an error."""
        if key in self._replaced:
            return None
        with naming_the_file(inside(self.root, key)):
            value = await self._get(key, prototype, byte_range)
        return self._checked(key, value, is_whole=byte_range is None)

    def get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        """Read a file; a missing chunk is an error."""
        if key in self._replaced:
            return None
        with naming_the_file(inside(self.root, key)):
            value = self._get_sync(key, **kwargs)
        return self._checked(key, value, is_whole=kwargs.get("byte_range") is None)

    async def _get(
        self, key: str, prototype: BufferPrototype | None, byte_range: ByteRequest | None
    ) -> Buffer | None:
        return await super().get(key, prototype, byte_range)

    def _get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        return super().get_sync(key, **kwargs)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List what is in a folder."""
        async for name in super().list_dir(prefix):
            if not self._known_only or self._is_known(prefix, name):
                yield name

    @staticmethod
    def _is_known(prefix: str, name: str) -> bool:
        return spec_at(f"{prefix}/{name}".lstrip("/")) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file whole, and durably."""
        await asyncio.to_thread(self.put, key, value.to_bytes())

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a file whole, and durably."""
        self.put(key, value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a file unless it is there. Only one process writes a node, so looking first is enough."""
        if not await self.exists(key):
            await self.set(key, value)

    def put(self, key: str, data: bytes) -> None:
        """Write a file whole, and durably."""
        self._check_writable()
        if self.writer is None:
            raise ValueError("a store that is written to needs a writer")
        path = inside(self.root, key)
        if path.name == METADATA_FILE and path.parent != self.root and not path.exists():
            # Only the metadata of a group or array begin its folder; if chunks miss theirs, it was lost.
            self.writer.make_folder(path.parent)
        self.writer.write(path, data)
        self._digests[key] = digest(data)

    def _checked(self, key: str, value: Buffer | None, *, is_whole: bool) -> Buffer | None:
        path, _, name = key.rpartition("/")
        if self.read_only and path and not path.startswith("journal/"):
            group = path.rpartition("/")[0]
            # zarr reads the metadata of a group's members at once, and of several errors prints all but one.
            if not self._is_same(group) and name != METADATA_FILE:
                self.require_same(group)
        if name == METADATA_FILE and value is not None:
            if check_metadata(self.root, path, value.to_bytes()):
                self._sharded.add(path)
        elif name.startswith(CHUNK_PREFIX):
            if value is None and not self._absent_is_fill:
                raise missing_chunk(self.root / key)
            # zarr checks it too, but doesn't say which file it was.
            is_chunk = value is not None and is_whole and path not in self._sharded
            if is_chunk and value is not None and not _checksum_holds(value.as_numpy_array().view(np.uint8)):
                raise damaged_file(self.root / key, "its checksum differs")
        return value

    def require_same(self, group: str) -> None:
        """Refuse a group that was made anew since it, or an array of it, was read for the first time."""
        if not self._is_same(group):
            raise StoreError(
                f"{self.root / group} was changed while it was read: it, or its labels, were made anew. Open "
                "it again, and read it anew."
            )

    def _is_same(self, group: str) -> bool:
        found = stamp(self.root / group / METADATA_FILE)
        if found is None and (group not in self._stamps or not (self.root / METADATA_FILE).is_file()):
            return True  # damaged or gone; said by who reads it
        return self._stamps.setdefault(group, found) == found


def inside(root: Path, key: str) -> Path:
    """Return where a group, an array or a file of a store lies, by its path within.

    Raises a `StoreError` if it leads elsewhere, such as through a symbolic link.
    """
    path = root / key
    place = os.fspath(root)
    for name in key.split("/") if key else ():
        place = f"{place}/{name}"
        if name == ".." or os.path.islink(place):  # noqa: PTH114, for speed
            raise StoreError(
                f"{path} leads to {os.path.realpath(path)}, and links in a store are not followed. If it is "
                "yours, put the files themselves there (such as with `cp -rL`)."
            )
    return path


@contextmanager
def naming_the_file(path: Path) -> Iterator[None]:
    """Say which file it is that can't be read, or which limit of the machine is in the way."""
    try:
        yield
    except TwopassError:
        raise
    except OSError as error:
        if isinstance(error, PermissionError):
            raise StoreError(f"Cannot read {path}: {error.strerror}. Mend its permissions.") from error
        limit = limit_of_the_machine(error)
        if limit is not None:
            raise limit from error
        raise damaged_file(path, str(error)) from error
    except ValueError as error:  # a shard that is shorter than its index
        raise damaged_file(path, str(error)) from error


def damaged_file(path: Path, why: str) -> CorruptChunkError:
    """Return the error that says so."""
    return CorruptChunkError(f"{path} is damaged: {why}. {_mend(path)}.")


def _mend(path: Path) -> str:
    command = "publish` copies it" if is_url(path) else "repair` has it made"
    return f"`twopass verify` tells what else is; `twopass {command} anew"


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
        f"{_mend(path)}."
    )


def _checksum_holds(data: NDArray[np.uint8]) -> bool:
    stored = int.from_bytes(data[-CHECKSUM_BYTES:].tobytes(), "little")
    return len(data) > CHECKSUM_BYTES and google_crc32c.value(data[:-CHECKSUM_BYTES]) == stored
