"""A local folder as a Zarr store whose writes survive a power cut and whose reads miss nothing."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from ..errors import CorruptChunkError
from ..journal import Writer, digest
from .confined import inside, regular_file

__all__ = ["CHUNK_PREFIX", "DurableLocalStore", "missing_chunk"]

CHUNK_PREFIX = "c."
"""File names of chunks begin so: they lie flat in their array's folder (``c.12.0.0``)."""

METADATA_FILE = "zarr.json"
"""Each group and each array has one in its folder."""


class DurableLocalStore(LocalStore):
    """Writes through the journal's durable write and notes the digest of what it wrote.

    zarr's own `LocalStore` renames whole files into place but never syncs them, and reads a missing chunk
    as fill. Here a missing chunk is an error: every chunk of ours is written, also one that is all fill.

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
    """

    def __init__(
        self,
        root: Path | str,
        *,
        read_only: bool = False,
        writer: Writer | None = None,
        absent_is_fill: bool = False,
    ) -> None:
        super().__init__(root, read_only=read_only)
        self.writer = writer
        self._absent_is_fill = absent_is_fill
        self._digests: dict[str, int] = {}
        self._digests_lock = threading.Lock()

    async def _open(self, **options: Any) -> None:
        # LocalStore's own makes the folder, also that of a store that is gone.
        await ZarrStore._open(self, **options)

    def with_read_only(self, read_only: bool = False) -> "DurableLocalStore":
        """Return a store on the same folder."""
        return type(self)(
            self.root, read_only=read_only, writer=self.writer, absent_is_fill=self._absent_is_fill
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
        regular_file(self.root, key)
        return self._present(key, await super().get(key, prototype, byte_range))

    def get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        """Read a file; a missing chunk is an error."""
        regular_file(self.root, key)
        return self._present(key, super().get_sync(key, **kwargs))

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
        if path.name == METADATA_FILE and path.parent != self.root:
            # Only the metadata of a group or array begin its folder; where chunks miss theirs, it was lost.
            self.writer.make_folder(path.parent)
        self.writer.write(path, data)
        with self._digests_lock:
            self._digests[key] = digest(data)

    def _present(self, key: str, value: Buffer | None) -> Buffer | None:
        if value is None and not self._absent_is_fill and key.rpartition("/")[2].startswith(CHUNK_PREFIX):
            raise missing_chunk(self.root / key)
        return value


def missing_chunk(path: Path) -> CorruptChunkError:
    """Return the error that says so."""
    return CorruptChunkError(
        f"{path} is missing: the store is damaged, or the copy of it is incomplete. "
        "Copy it again whole, or make it anew."
    )
