"""`publish_store`: the finished stages of a store copied to an object store, where they can be read."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, CorruptChunkError, StageIncompleteError, StoreError, StoreExistsError
from .executors import ThreadExecutor
from .journal import ABSENT, METADATA, digest
from .progress import Progress, Silent
from .store import (
    GROWTH,
    HOLDERS,
    METADATA_FILE,
    ObjectPath,
    Store,
    at_one_state,
    chunk_name,
    connected,
    group_of,
    is_url,
    listed,
    metadata_key,
    naming_the_service,
    require_ingest,
    spec_at,
    store_path,
    with_consolidated,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["PublishResult", "publish_store"]

WORKERS = 8

ATTEMPTS = 3
"""How often a file is copied that doesn't arrive as it was."""

MULTIPART_BYTES = 64 << 20
"""Larger files are sent in parts."""


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
    if not is_url(url) or url.startswith("http"):
        raise ConfigError(f"{url} is no address to publish to. Give one such as s3://bucket/run.zarr.")
    finish = at_one_state(path, lambda: _copied(Store.open(path), url, progress or Silent()))
    return finish()


def _copied(opened: Store, url: str, progress: Progress) -> Callable[[], PublishResult]:
    """Copy all but the root's metadata, and return what does that: to be called if nothing changed."""
    require_ingest(opened)
    if opened.read_plan(GROWTH) is not None:
        raise StageIncompleteError(
            f"{opened.path}: an append was interrupted. Run it again; then publish the store."
        )
    unfinished: list[str] = []
    recorded = dict(_files(opened, unfinished))
    copy = _Copy(opened, url, listed(client := connected(url), url), client)
    copy.require_own_place(recorded)
    n_bytes = sum(opened.at(key).stat().st_size for key in recorded)
    metadata: dict[str, bytes] = {}
    progress.start("publish", total=n_bytes, done=0, unit="bytes")
    try:
        executor = ThreadExecutor(WORKERS, queued=2)
        for key, data in executor.map_unordered(lambda each: (each[0], copy.file(*each)), recorded.items()):
            progress.advance(len(data))
            if key.endswith(METADATA_FILE):
                metadata[key] = data
        left = sorted(copy.there.keys() - recorded.keys())
        for key in left:
            copy.remove(key)
    finally:
        progress.finish()

    def finish() -> PublishResult:
        copy.put_root(with_consolidated(metadata))
        return PublishResult(
            url=str(ObjectPath(url)),
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
        yield f"journal/{stage}/ledger/{chunk_name(0, 1)}", ABSENT
        for product in journal.plan.products:
            spec = spec_at(product.path)
            yield metadata_key(product.path), journal.digest_of(product.path, METADATA)
            for chunk in range(product.n_chunks):
                name = chunk_name(chunk, len(spec.dims) if spec else 1)
                yield f"{product.path}/{name}", journal.digest_of(product.path, chunk)


@dataclass(slots=True)
class _Copy:
    """A copy that is under way; `there` has size and version of what is there already."""

    opened: Store
    url: str
    there: dict[str, tuple[int, str]]
    client: "ObjectStore"
    n_copied: int = 0
    is_withdrawn: bool = False
    _lock: Any = field(default_factory=threading.Lock)

    def require_own_place(self, recorded: dict[str, int]) -> None:
        """Refuse an address at which anything else is, or another store."""
        foreign = [
            key
            for key in self.there.keys() - recorded.keys()
            if (top := key.split("/")[0]) not in HOLDERS and spec_at(top) is None
        ]
        other = ""
        if METADATA_FILE in self.there:
            try:
                theirs = json.loads(self._fetched(METADATA_FILE))["attributes"].get("provenance")
            except (ValueError, KeyError, TypeError, AttributeError):
                theirs = None  # damaged
            if theirs is not None and theirs != self.opened.attrs().get("provenance"):
                other = "another store"
        if foreign or other:
            raise StoreExistsError(
                f"At {self.url} there is something else already ({other or min(foreign)}). Choose another "
                "address, or remove it there yourself."
            )

    def file(self, key: str, recorded: int) -> bytes:
        """Copy a file unless it is there as it is here; returns it."""
        data = self.opened.at(key).read_bytes()
        if recorded not in (ABSENT, digest(data)):
            raise CorruptChunkError(
                f"{self.opened.at(key)} isn't as it was recorded. `twopass verify {self.opened.path}` tells "
                "what else is; `twopass repair` has it made anew."
            )
        if key != METADATA_FILE and not self._is_there(key, data):
            self._withdraw()
            self._put(key, data)
        return data

    def remove(self, key: str) -> None:
        """Remove what is no part of the store any more."""
        import obstore

        self._withdraw()
        with naming_the_service(self.url):
            obstore.delete(self.client, key)

    def put_root(self, data: bytes) -> None:
        """Copy the root's metadata, which make all of it a store."""
        if self.is_withdrawn or not self._is_there(METADATA_FILE, data):
            self._put(METADATA_FILE, data)

    def _withdraw(self) -> None:
        """Take the root's metadata away before anything changes, so that nobody opens half a store."""
        with self._lock:
            if METADATA_FILE in self.there and not self.is_withdrawn:
                import obstore

                with naming_the_service(self.url):
                    obstore.delete(self.client, METADATA_FILE)
            self.is_withdrawn = True

    def _is_there(self, key: str, data: bytes) -> bool:
        size, version = self.there.get(key, (-1, ""))
        return size == len(data) and self._is_same(key, data, version)

    def _is_same(self, key: str, data: bytes, version: str) -> bool:
        # S3's version is the MD5 of what it holds; other services' is not, nor that of an encrypted object.
        return version.strip('"') == md5(data, usedforsecurity=False).hexdigest() or digest(
            self._fetched(key)
        ) == digest(data)

    def _fetched(self, key: str) -> bytes:
        import obstore

        with naming_the_service(self.url):
            return bytes(obstore.get(self.client, key).bytes())

    def _put(self, key: str, data: bytes) -> None:
        import obstore

        for _ in range(ATTEMPTS):
            try:
                with naming_the_service(self.url):
                    put = obstore.put(self.client, key, data, use_multipart=len(data) > MULTIPART_BYTES)
            except FileNotFoundError as error:
                raise StoreError(
                    f"Cannot write to {self.url}: there is no such bucket. Make it first."
                ) from error
            if self._is_same(key, data, put["e_tag"] or ""):
                with self._lock:
                    self.n_copied += 1
                return
        raise CorruptChunkError(
            f"{key} didn't arrive at {self.url} as it was sent, {ATTEMPTS} times. Check the network; then "
            "run the same command again."
        )
