"""A published store as a Zarr store; and the files of a store, wherever it lies."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync

from .local import DurableLocalStore
from .objects import ObjectPath
from .places import METADATA_FILE

__all__ = ["files_at", "folder_sizes"]


class PublishedStore(DurableLocalStore):
    """A published store as a Zarr store that is read, with the checks of a local one."""

    def __init__(self, root: Path, *, absent_is_fill: bool = False, known_only: bool = False) -> None:
        super().__init__(root, read_only=True, absent_is_fill=absent_is_fill, known_only=known_only)
        published, _ = ObjectPath(root).place
        self._files, self._bucket = published.files, published.bucket
        self._objects = self._bucket.objects()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (str(self.root), self._absent_is_fill, self._known_only)

    async def _get(
        self, key: str, prototype: BufferPrototype | None, byte_range: ByteRequest | None
    ) -> Buffer | None:
        prototype = prototype or default_buffer_prototype()
        if byte_range is None and key in self._files:
            return prototype.buffer.from_bytes(self._files[key])
        if key.endswith(METADATA_FILE):
            return None
        with self._bucket.naming():
            found: Buffer | None = await self._objects.get(key, prototype, byte_range)
            return found

    def _get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        return sync(self._get(key, kwargs.get("prototype"), kwargs.get("byte_range")))

    def _read_part(self, key: str, start: int, n_bytes: int) -> bytes:
        part = SuffixByteRequest(-start) if start < 0 else RangeByteRequest(start, start + n_bytes)
        found = sync(self._get(key, None, part))
        if found is None:
            raise FileNotFoundError(key)
        return found.to_bytes()

    async def exists(self, key: str) -> bool:
        """Tell whether an object is there."""
        return key in self._files or await self._objects.exists(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the groups and arrays in a group."""
        for each in (self.root / prefix).iterdir():
            if not self._known_only or self._is_known(prefix, each.name):
                yield each.name


def _reopened(url: str, absent_is_fill: bool, known_only: bool) -> PublishedStore:
    root = ObjectPath.opened(url)
    return PublishedStore(root, absent_is_fill=absent_is_fill, known_only=known_only)


def files_at(path: Path, *, absent_is_fill: bool = False, known_only: bool = False) -> DurableLocalStore:
    """Return a store as a Zarr store for reading, wherever it is; parameters as for `DurableLocalStore`."""
    if isinstance(path, ObjectPath):
        return PublishedStore(path, absent_is_fill=absent_is_fill, known_only=known_only)
    return DurableLocalStore(path, read_only=True, absent_is_fill=absent_is_fill, known_only=known_only)


def folder_sizes(root: Path) -> Callable[[str], int]:
    """Look at all files of a store once; the returned function tells what those below a path in it take.

    Of a store on a web server, sizes are 0.
    """
    own: dict[str, int] = {}  # by folder, without the folders in it
    if isinstance(root, ObjectPath):
        for key, size in (root.place[0].sizes or {}).items():
            folder = key.rpartition("/")[0]
            own[folder] = own.get(folder, 0) + size
    folders = [] if isinstance(root, ObjectPath) else [os.fspath(root)]
    while folders:  # `os.walk` takes twice as long, and there may be 100,000 files
        folder, total = folders.pop(), 0
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                try:
                    total += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # replaced by a writer meanwhile
                    continue
        own[folder[len(str(root)) + 1 :]] = total
    return lambda path: sum(
        size for folder, size in own.items() if not path or f"{folder}/".startswith(f"{path}/")
    )
