"""`publish_store`: the finished stages of a store copied to an object store, where they can be read."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b, md5
from pathlib import Path
from typing import Any, Self

from .errors import ConfigError, CorruptChunkError, StageIncompleteError, StoreExistsError
from .executors import ThreadExecutor
from .journal import ABSENT, METADATA
from .progress import Progress, Silent, counting
from .store import (
    GROWTH,
    HOLDERS,
    METADATA_FILE,
    Bucket,
    ObjectPath,
    Store,
    at_one_state,
    chunk_key,
    damaged_file,
    group_of,
    is_url,
    metadata_key,
    naming_the_file,
    require_ingest,
    spec_at,
    store_path,
    with_consolidated,
)

__all__ = ["PublishResult", "publish_store"]

WORKERS = 8

ATTEMPTS = 3
"""How often a file is copied that doesn't arrive as it was."""

MULTIPART_BYTES = 16 << 20
"""Larger files are sent in parts, so that none is in memory whole."""

BLOCK_BYTES = 1 << 20

UPLOAD_SECONDS = 300.0
"""How long a file, or part, may take: what a read has got so far is kept, what a write has sent is lost."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What was published.

    Attributes
    ----------
    url
        Where it can be read.
    n_files, n_bytes
        Files of the finished stages, and their size.
    n_copied
        Files that were missing there, or were others.
    n_removed
        Files that were there, and belong to nothing in the store any more.
    unfinished
        Stages that were begun and have not finished; they weren't copied.
    """

    url: str
    n_files: int
    n_bytes: int
    n_copied: int
    n_removed: int
    unfinished: tuple[str, ...]


def publish_store(
    store: str | os.PathLike[str], url: str, *, progress: Progress | None = None
) -> PublishResult:
    """Copy the finished stages of a store to an object store; a second time, only what is missing or differs.

    The root's ``zarr.json`` comes last, with the metadata of all others; while it isn't there, there is no
    store for who reads. It is taken away first if anything else must change.

    Parameters
    ----------
    store
        Path of the store.
    url
        Where to: ``s3://bucket/name``, ``gs://…`` or ``az://…``. Credentials and endpoint come from the
        environment.
    progress
        Who is told how it goes.

    Raises
    ------
    StageIncompleteError
        If ingest, or an append, hasn't finished.
    CorruptChunkError
        If a file isn't as it was recorded, or doesn't arrive so.
    StoreExistsError
        If something else is there.
    StoreError
        If the store was changed meanwhile, or the service can't be reached or refuses.
    """
    path = store_path(store)
    place = str(ObjectPath(url))
    if not is_url(place) or place.startswith("http"):
        raise ConfigError(f"{url} is no address to publish to. Give one such as s3://bucket/run.zarr.")
    finish = at_one_state(
        path, lambda: _copied(Store.open(path), Bucket(place, seconds=UPLOAD_SECONDS), progress or Silent())
    )
    return finish()


def _copied(opened: Store, bucket: Bucket, progress: Progress) -> Callable[[], PublishResult]:
    """Copy all but the root's metadata, and return what does that: to be called if nothing changed."""
    require_ingest(opened)
    if opened.read_plan(GROWTH) is not None:
        raise StageIncompleteError(
            f"{opened.path}: an append was interrupted. Run it again; then publish the store."
        )
    unfinished: list[str] = []
    recorded = dict(_files(opened, unfinished))
    copy = _Copy(opened, bucket, bucket.list())
    copy.require_own_place(recorded)
    n_bytes = 0
    for path in map(opened.at, recorded):
        with naming_the_file(path):
            n_bytes += path.stat().st_size
    with counting(progress, "publish", total=n_bytes, unit="bytes"):
        executor = ThreadExecutor(WORKERS, queued=2)
        for size in executor.map_unordered(lambda each: copy.file(*each), recorded.items()):
            progress.advance(size)
        left = sorted(copy.there.keys() - recorded.keys())
        for key in left:
            copy.withdraw()
            bucket.remove(key)
    metadata = {key: opened.at(key).read_bytes() for key in recorded if key.endswith(METADATA_FILE)}

    def finish() -> PublishResult:
        root = with_consolidated(metadata)
        copy.bring(METADATA_FILE, root, _Sums.of([root]))
        return PublishResult(
            url=bucket.url,
            n_files=len(recorded),
            n_bytes=n_bytes,
            n_copied=copy.n_copied,
            n_removed=len(left),
            unfinished=tuple(unfinished),
        )

    return finish


def _files(opened: Store, unfinished: list[str]) -> Iterator[tuple[str, int]]:
    """Yield the files of all finished stages with their recorded digests, `ABSENT` if they have none."""
    for path in ("", *HOLDERS):
        if opened.has(path):
            yield metadata_key(path), ABSENT
    for stage in opened.stages():
        journal = opened.journal(stage)
        if journal is None or not journal.complete:
            unfinished.append(stage)
            continue
        for group in {group_of(stage), f"journal/{stage}", f"journal/{stage}/ledger"} - {None, ""}:
            yield metadata_key(str(group)), ABSENT
        yield chunk_key(f"journal/{stage}/ledger", 0), ABSENT
        for product in journal.plan.products:
            yield metadata_key(product.path), journal.digest_of(product.path, METADATA)
            for chunk in range(product.n_chunks):
                yield chunk_key(product.path, chunk), journal.digest_of(product.path, chunk)


@dataclass(slots=True)
class _Copy:
    """A copy that is under way; `there` has size and version of what is there already."""

    opened: Store
    bucket: Bucket
    there: dict[str, tuple[int, str]]
    n_copied: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def require_own_place(self, recorded: dict[str, int]) -> None:
        """Refuse an address at which anything else is, or another store."""
        foreign = [
            key
            for key in self.there.keys() - recorded.keys()
            if (top := key.split("/")[0]) not in HOLDERS and spec_at(top) is None
        ]
        if METADATA_FILE in self.there:
            with suppress(ValueError):  # damaged
                theirs = json.loads(self.bucket.read(METADATA_FILE)[0])
                ours = self.opened.attrs()["provenance"]
                if not isinstance(theirs, dict) or theirs.get("attributes", {}).get("provenance") != ours:
                    foreign = ["another store"]
        if foreign:
            raise StoreExistsError(
                f"At {self.bucket.url} there is something else already ({min(foreign)}). Choose another "
                "address, or remove it there yourself."
            )

    def file(self, key: str, recorded: int) -> int:
        """Copy a file unless it is there as it is here; returns its size."""
        path = self.opened.at(key)
        with naming_the_file(path), path.open("rb") as file:
            sums = _Sums.of(iter(lambda: file.read(BLOCK_BYTES), b""))
        if recorded not in (ABSENT, sums.digest):
            raise damaged_file(path, "it isn't as it was recorded")
        if key != METADATA_FILE:  # which makes all of it a store
            self.bring(key, path, sums)
        return sums.size

    def withdraw(self) -> None:
        """Take the root's metadata away before anything changes, so that nobody opens half a store."""
        with self._lock:
            if self.there.pop(METADATA_FILE, None):
                self.bucket.remove(METADATA_FILE)

    def _is_same(self, key: str, sums: "_Sums", version: str) -> bool:
        # S3's version is the MD5 of what it holds; other services' is not, nor that of an encrypted object.
        return version.strip('"') == sums.md5 or _Sums.of(self.bucket.blocks(key)) == sums

    def bring(self, key: str, content: bytes | Path, sums: "_Sums") -> None:
        """Copy what isn't there yet, and see that it arrives as it was sent."""
        size, version = self.there.get(key, (-1, ""))
        if size == sums.size and self._is_same(key, sums, version):
            return
        if key != METADATA_FILE:
            self.withdraw()
        for _ in range(ATTEMPTS):
            version = self.bucket.write(key, content, in_parts=sums.size > MULTIPART_BYTES)
            if self._is_same(key, sums, version):
                with self._lock:
                    self.n_copied += 1
                return
        raise CorruptChunkError(
            f"{key} didn't arrive at {self.bucket.url} as it was sent, {ATTEMPTS} times. Check the network; "
            "then run the same command again."
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """What tells one content from another."""

    size: int
    digest: int
    md5: str

    @classmethod
    def of(cls, blocks: Iterable[bytes]) -> Self:
        """Return those of a content that comes piece by piece."""
        size, sums = 0, (blake2b(digest_size=8), md5(usedforsecurity=False))
        for block in blocks:
            size += len(block)
            for each in sums:
                each.update(block)
        return cls(size, int.from_bytes(sums[0].digest(), "little") or 1, sums[1].hexdigest())
