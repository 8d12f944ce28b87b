"""`ObjectPath`: an address in a published store that reads like the path of a file or folder.

Opening takes the root's ``zarr.json``, whose consolidated metadata have all the others, and the ledgers. They
are kept as the files that they were.
"""

import io
import json
import os
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from functools import cached_property
from pathlib import PosixPath
from typing import Any, Self

from ..errors import StoreError, StoreNotFoundError
from .bucket import ADDRESS, Bucket
from .places import METADATA_FILE, chunk_key

__all__ = ["ObjectPath", "with_consolidated"]

RECHECK_SECONDS = 1.0
"""Time after which a published store is asked again whether it is still the same."""

CONNECTIONS = 16
"""Small files that are fetched at once."""


class ObjectPath(PosixPath):
    """An address in a published store that can be read as the path of a file or folder is."""

    def __str__(self) -> str:
        return ADDRESS.sub(r"\1://", super().__str__(), count=1)

    __fspath__ = __str__

    @classmethod
    def opened(cls, url: str | os.PathLike[str], *, consolidated: bool = True) -> Self:
        """Return the address of a store as it is now, by consolidated metadata or by each file of them."""
        root = cls(os.fspath(url))
        known = _published.get(root)
        if known is None or not consolidated or known.stamp() != known.version:
            _published[root] = Published(str(root), consolidated=consolidated)
        return root

    @property
    def place(self) -> "tuple[Published, str]":
        """The store that it lies in, and the key there; `FileNotFoundError` if none was opened."""
        for root in (self, *self.parents):
            if root in _published:
                return _published[root], self.relative_to(root).as_posix().removeprefix(".").lstrip("/")
        raise FileNotFoundError(str(self))

    def is_file(self, **_: Any) -> bool:
        """Tell whether there is an object of that name."""
        try:
            return self.stat().st_size >= 0
        except FileNotFoundError:
            return False

    def is_dir(self, **_: Any) -> bool:
        """Tell whether a group or array is there."""
        try:
            published, key = self.place
        except FileNotFoundError:
            return False
        return f"{key}/{METADATA_FILE}".lstrip("/") in published.files

    def exists(self, **_: Any) -> bool:
        """Tell whether a group, an array or an object is there."""
        return self.is_dir() or self.is_file()

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def iterdir(self) -> Generator[Self, None, None]:
        """Yield the groups, arrays and metadata in a group; no chunks."""
        published, key = self.place
        start = f"{key}/".lstrip("/")
        names = {each.removeprefix(start).split("/")[0] for each in published.files if each.startswith(start)}
        yield from (self / name for name in sorted(names))

    def glob(self, pattern: str, **_: Any) -> Iterator[Self]:  # type: ignore[override]
        """Yield the metadata of a store that match; in other places, nothing."""
        files = _published[self].files if self in _published else ()
        yield from (self / key for key in files if fnmatch(key, pattern))

    def read_bytes(self) -> bytes:
        """Return an object's content; that of metadata and ledgers as it was when the store was opened."""
        published, key = self.place
        return published.files.get(key) or published.fetch(key)

    def read_text(self, *_: Any, **__: Any) -> str:
        """Return an object's content as text."""
        return self.read_bytes().decode()

    def open(self, *_: Any, **__: Any) -> Any:
        """Fetch an object anew, and return it as a file that is open for reading."""
        published, key = self.place
        return io.BytesIO(published.fetch(key))

    def stat(self, **_: Any) -> os.stat_result:
        """Return the size of an object, and numbers that change when the store is published again."""
        published, key = self.place
        stamp = ""
        if key in published.files:
            size, stamp = len(published.files[key]), published.stamp()
            if not stamp:
                raise FileNotFoundError(str(self))
        else:
            size = published.size(key)
        return os.stat_result((0, hash(stamp), 0, 0, 0, 0, size, 0, 0, 0))

    lstat = stat


class Published:
    """A published store as it was when it was opened; `files` has its metadata and ledgers."""

    def __init__(self, url: str, *, consolidated: bool) -> None:
        self.bucket = Bucket(url)
        try:
            data, self.version = self.bucket.read(METADATA_FILE)
        except FileNotFoundError as error:
            raise StoreNotFoundError(
                f"There is no store at {url}: it has no zarr.json, which `twopass publish` copies last. "
                "Check the address, and whether that has finished."
            ) from error
        self._stamp, self._checked = self.version, time.monotonic()
        self.files = files_of(data)
        if len(self.files) == 1 or not consolidated:  # or it was copied there by other means
            keys = self.files if self.sizes is None else self.sizes
            if len(keys) == 1:
                raise StoreError(
                    f"{url} was copied there without consolidated metadata, and a web server doesn't list "
                    "its files. Publish the store (`twopass publish`), and serve what is then there."
                )
            self.files = {METADATA_FILE: self.files[METADATA_FILE]}
            self.files |= self._fetched(key for key in keys if key.endswith(f"/{METADATA_FILE}"))
        nodes = (key.removesuffix(f"/{METADATA_FILE}") for key in self.files)
        self.files |= self._fetched(chunk_key(node, 0) for node in nodes if node.endswith("/ledger"))

    def _fetched(self, keys: Iterable[str]) -> dict[str, bytes]:
        def fetched(key: str) -> tuple[str, bytes]:
            try:
                return key, self.fetch(key)
            except FileNotFoundError:
                return key, b""

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return {key: data for key, data in pool.map(fetched, keys) if data}

    def stamp(self) -> str:
        """Return the version of the store that is there now, as of a second ago; empty if none is."""
        if time.monotonic() - self._checked > RECHECK_SECONDS:
            try:
                _, self._stamp = self.bucket.look(METADATA_FILE)
            except FileNotFoundError:
                self._stamp = ""
            self._checked = time.monotonic()
        return self._stamp

    def fetch(self, key: str) -> bytes:
        """Return an object's content, the root's as it was before it was published."""
        data, _ = self.bucket.read(key)
        return files_of(data)[METADATA_FILE] if key == METADATA_FILE else data

    @cached_property
    def sizes(self) -> dict[str, int] | None:
        """Sizes of all objects, by key; None on a web server."""
        return None if self.bucket.is_web else {key: size for key, (size, _) in self.bucket.list().items()}

    def size(self, key: str) -> int:
        """Return an object's size; `FileNotFoundError` if it isn't there."""
        known = (self.__dict__.get("sizes") or {}).get(key)  # where they were listed already
        if known is None and (
            key.endswith(METADATA_FILE) or f"{key.rpartition('/')[0]}/{METADATA_FILE}" not in self.files
        ):
            raise FileNotFoundError(key)
        return self.bucket.look(key)[0] if known is None else known


_published: dict[ObjectPath, Published] = {}


def with_consolidated(files: dict[str, bytes]) -> bytes:
    """Return a root's ``zarr.json`` with all metadata of the store in it, as zarr consolidates them."""
    inner = {
        key.removesuffix(f"/{METADATA_FILE}"): json.loads(data)
        for key, data in sorted(files.items())
        if key.endswith(f"/{METADATA_FILE}")
    }
    consolidated = {"kind": "inline", "must_understand": False, "metadata": inner}
    return _written(json.loads(files[METADATA_FILE]) | {"consolidated_metadata": consolidated})


def files_of(root: bytes) -> dict[str, bytes]:
    """Return all metadata that `with_consolidated` put in a root's, by key, as the files that they were."""
    try:
        document = json.loads(root)
        consolidated = document.pop("consolidated_metadata", None)
        if consolidated is None:
            return {METADATA_FILE: root}
        documents = {METADATA_FILE: document}
        documents |= {f"{path}/{METADATA_FILE}": each for path, each in consolidated["metadata"].items()}
        return {key: _written(each) for key, each in documents.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {METADATA_FILE: root}  # damaged, as who reads it says


def _written(metadata: dict[str, Any]) -> bytes:
    # As zarr writes them, since journals have digests of these files.
    return json.dumps(metadata, indent=2).encode()
