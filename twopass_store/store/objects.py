"""Stores that were published to an object store (S3, GCS, Azure, HTTP): a path and a Zarr store to read them.

Whatever reads a store goes through its path or through `DurableLocalStore`; here are both for a URL. Opening
takes the root's ``zarr.json``, whose consolidated metadata have all the others, and the ledgers. They are
kept as the files that they were.
"""

import io
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import ObjectStore

from ..errors import ConfigError, StoreError, StoreNotFoundError
from .local import DurableLocalStore
from .places import METADATA_FILE, chunk_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

__all__ = [
    "ObjectPath",
    "PublishedStore",
    "connected",
    "files_at",
    "folder_bytes",
    "folder_sizes",
    "is_url",
    "listed",
    "naming_the_service",
    "with_consolidated",
]

_SCHEME = re.compile(r"(s3|gs|az|abfss?|https?):/+", re.ASCII)

RECHECK_SECONDS = 1.0
"""Time after which a published store is asked again whether it is still the same."""

CONNECTIONS = 16
"""Small files that are fetched at once."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is an address in an object store; a `Path` has only one slash of it."""
    return _SCHEME.match(os.fspath(path)) is not None


class ObjectPath(PosixPath):
    """An address in a published store that can be read as the path of a file or folder is."""

    def __str__(self) -> str:
        return _SCHEME.sub(r"\1://", super().__str__(), count=1)

    __fspath__ = __str__

    @classmethod
    def opened(cls, url: str | os.PathLike[str], *, consolidated: bool = True) -> Self:
        """Return the address of a store as it is now.

        Parameters
        ----------
        url
            Such as ``s3://bucket/run.zarr``.
        consolidated
            Whether the consolidated metadata are used, or each file of metadata is fetched.

        Raises
        ------
        StoreNotFoundError
            If there is none.
        StoreError
            If the service can't be reached, or refuses.
        """
        root = cls(os.fspath(url))
        known = _published.get(root)
        if known is None or not consolidated or known.stamp() != known.etag:
            _published[root] = _Published(root, consolidated=consolidated)
        return root

    @property
    def _place(self) -> "tuple[_Published, str] | None":
        for root in (self, *self.parents):
            if root in _published:
                return _published[root], self.relative_to(root).as_posix().removeprefix(".").lstrip("/")
        return None

    def _is_known_folder(self) -> bool:
        place = self._place
        return place is not None and f"{place[1]}/{METADATA_FILE}".lstrip("/") in place[0].files

    def is_file(self, **_: Any) -> bool:
        """Tell whether there is an object of that name."""
        place = self._place
        if place is None or place[1] in place[0].files:
            return place is not None
        try:
            return place[0].size(place[1]) >= 0
        except FileNotFoundError:
            return False

    def is_dir(self, **_: Any) -> bool:
        """Tell whether a group or array is there."""
        return self._is_known_folder()

    def exists(self, **_: Any) -> bool:
        """Tell whether a group, an array or an object is there."""
        return self._is_known_folder() or self.is_file()

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def iterdir(self) -> Generator[Self, None, None]:
        """Yield the groups, arrays and metadata in a group; no chunks."""
        place = self._place
        files, start = (place[0].files, f"{place[1]}/".lstrip("/")) if place else ({}, "")
        names = {key.removeprefix(start).split("/")[0] for key in files if key.startswith(start)}
        yield from (self / name for name in sorted(names))

    def glob(self, pattern: str, **_: Any) -> Iterator[Self]:  # type: ignore[override]
        """Yield the metadata that match; in other folders than a published store's, nothing."""
        place = self._place
        if place is not None and not place[1]:
            yield from (self / key for key in place[0].files if fnmatch(key, pattern))

    def read_bytes(self) -> bytes:
        """Return an object's content; that of metadata and ledgers as it was when the store was opened."""
        place = self._place
        if place is None:
            raise FileNotFoundError(str(self))
        return place[0].files.get(place[1]) or place[0].fetch(place[1])

    def read_text(self, *_: Any, **__: Any) -> str:
        """Return an object's content as text."""
        return self.read_bytes().decode()

    def open(self, *_: Any, **__: Any) -> Any:
        """Fetch an object anew, and return it as a file that is open for reading."""
        place = self._place
        if place is None:
            raise FileNotFoundError(str(self))
        return io.BytesIO(place[0].fetch(place[1]))

    def stat(self, **_: Any) -> os.stat_result:
        """Return the size of an object, and numbers that change when the store is published again."""
        place = self._place
        if place is None:
            raise FileNotFoundError(str(self))
        published, key = place
        if key in published.files:
            size, stamp = len(published.files[key]), published.stamp()
            if not stamp:
                raise FileNotFoundError(str(self))
        else:
            size, stamp = published.size(key), ""
        return os.stat_result((0, hash(stamp), 0, 0, 0, 0, size, 0, 0, 0))

    lstat = stat


class _Published:
    """A published store as it was when it was opened; `files` has its metadata and ledgers."""

    def __init__(self, root: ObjectPath, *, consolidated: bool) -> None:
        self.root = root
        self.client = connected(str(root))
        try:
            data, self.etag = self._get(METADATA_FILE)
        except FileNotFoundError as error:
            why = "no such bucket" if "NoSuchBucket" in str(error) else "it has no zarr.json"
            raise StoreNotFoundError(
                f"There is no store at {root}: {why}. Check the address; `twopass publish STORE {root}` puts "
                "one there, when it has finished."
            ) from error
        self._stamp, self._checked = self.etag, time.monotonic()
        self.files = files_of(data)
        if len(self.files) == 1 or not consolidated:  # or it was copied there by other means
            keys = self.files if self.sizes is None else self.sizes
            if len(keys) == 1:
                raise StoreError(
                    f"{root} was copied there without consolidated metadata, and a web server doesn't list "
                    "its files. Publish the store (`twopass publish`), and serve what is then there."
                )
            self.files = {METADATA_FILE: self.files[METADATA_FILE]}
            self.files |= self._fetched(key for key in keys if key.endswith(f"/{METADATA_FILE}"))
        ledgers = (key for key in self.files if key.endswith(f"/ledger/{METADATA_FILE}"))
        self.files |= self._fetched(key.replace(METADATA_FILE, chunk_name(0, 1)) for key in ledgers)

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
            import obstore

            try:
                with naming_the_service(str(self.root)):
                    self._stamp = str(obstore.head(self.client, METADATA_FILE)["e_tag"])
            except FileNotFoundError:
                self._stamp = ""
            self._checked = time.monotonic()
        return self._stamp

    def fetch(self, key: str) -> bytes:
        """Return an object's content, the root's as it was before it was published."""
        data, _ = self._get(key)
        return files_of(data)[METADATA_FILE] if key == METADATA_FILE else data

    @cached_property
    def sizes(self) -> dict[str, int] | None:
        """Sizes of all objects, by key; None if they can't be listed, as most web servers can't."""
        try:
            return {key: size for key, (size, _) in listed(self.client, str(self.root)).items()}
        except StoreError:
            if str(self.root).startswith("http"):
                return None
            raise

    def size(self, key: str) -> int:
        """Return an object's size."""
        import obstore

        folder = key.rpartition("/")[0]
        listed_size = (self.__dict__.get("sizes") or {}).get(key)  # where they were listed already
        if listed_size is not None:
            return int(listed_size)
        if key.endswith(METADATA_FILE) or f"{folder}/{METADATA_FILE}" not in self.files:
            raise FileNotFoundError(key)
        with naming_the_service(str(self.root)):
            return int(obstore.head(self.client, key)["size"])

    def _get(self, key: str) -> tuple[bytes, str]:
        import obstore

        with naming_the_service(str(self.root)):
            found = obstore.get(self.client, key)
            return bytes(found.bytes()), str(found.meta["e_tag"])


_published: dict[ObjectPath, _Published] = {}


class PublishedStore(DurableLocalStore):
    """A published store as a Zarr store that is read, with the checks of a local one."""

    def __init__(self, root: Path, *, absent_is_fill: bool = False, known_only: bool = False) -> None:
        super().__init__(root, read_only=True, absent_is_fill=absent_is_fill, known_only=known_only)
        published = _published[ObjectPath(root)]
        self._files, self._objects = published.files, ObjectStore(published.client, read_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (str(self.root), self._absent_is_fill, self._known_only)

    def with_read_only(self, read_only: bool = False) -> "PublishedStore":
        """Return a store at the same address; it can't be written to."""
        if not read_only:
            raise ValueError("a published store is open for reading only")
        return type(self)(self.root, absent_is_fill=self._absent_is_fill, known_only=self._known_only)

    async def _get(
        self, key: str, prototype: BufferPrototype | None, byte_range: ByteRequest | None
    ) -> Buffer | None:
        prototype = prototype or default_buffer_prototype()
        if byte_range is None and key in self._files:
            return prototype.buffer.from_bytes(self._files[key])
        if key.endswith(METADATA_FILE):
            return None
        with naming_the_service(str(self.root)):
            return await self._objects.get(key, prototype, byte_range)

    def _get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        return sync(self._get(key, kwargs.get("prototype"), kwargs.get("byte_range")))

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


def connected(url: str) -> "Client":
    """Return obstore's client for an address; credentials and endpoint come from the environment.

    Raises
    ------
    ConfigError
        If obstore isn't installed, or can't be set up.
    """
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise ConfigError(
            f"{url} needs obstore, which isn't installed: pip install 'twopass-store[s3]'"
        ) from error
    options: Any = {"allow_http": True} if url.startswith("http:") else None
    try:
        return from_url(
            url,
            client_options=options,
            retry_config={"max_retries": 8, "retry_timeout": timedelta(seconds=60)},
        )
    except Exception as error:  # obstore raises several kinds
        raise ConfigError(f"{url} is no address that can be read: {_reason(error)}") from error


def listed(client: "Client", url: str) -> dict[str, tuple[int, str]]:
    """Return size and version of all objects below an address, by key."""
    import obstore

    with naming_the_service(url):
        batches = list(obstore.list(client))
    return {each["path"]: (each["size"], each["e_tag"] or "") for batch in batches for each in batch}


def files_at(path: Path, *, absent_is_fill: bool = False, known_only: bool = False) -> DurableLocalStore:
    """Return a store as a Zarr store for reading, wherever it is; parameters as for `DurableLocalStore`."""
    if isinstance(path, ObjectPath):
        return PublishedStore(path, absent_is_fill=absent_is_fill, known_only=known_only)
    return DurableLocalStore(path, read_only=True, absent_is_fill=absent_is_fill, known_only=known_only)


@contextmanager
def naming_the_service(url: str) -> Iterator[None]:
    """Turn obstore's errors into ours, but for those of objects that aren't there."""
    import obstore.exceptions as kinds

    try:
        yield
    except (FileNotFoundError, NotImplementedError):
        raise
    except (kinds.BaseError, OSError, ValueError) as error:
        reason = _reason(error)
        is_refused = isinstance(error, kinds.PermissionDeniedError | kinds.UnauthenticatedError)
        if "169.254.169.254" in reason or "metadata.google" in reason or "redential" in reason:
            raise StoreError(
                f"Cannot use {url}: there are no credentials. Set them in the environment (for S3 "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public "
                "bucket)."
            ) from error
        if is_refused:
            raise StoreError(
                f"Cannot use {url}: access is refused ({reason}). Check the credentials in the environment, "
                "and what they may do."
            ) from error
        if "NoSuchBucket" in str(error):
            raise StoreError(
                f"Cannot use {url}: there is no such bucket. Check its name, or make it."
            ) from error
        if "builder error" in reason and "http://" in reason:
            reason = "the endpoint is http, which needs AWS_ALLOW_HTTP=true"
        raise StoreError(
            f"Cannot use {url}: {reason}. Check the network, and endpoint and region in the environment (for "
            "S3 AWS_ENDPOINT_URL and AWS_REGION); then run the same command again."
        ) from error


def _reason(error: BaseException) -> str:
    """Return obstore's message without the structures that it prints after it."""
    text = " ".join(str(error).split("\n\nDebug source:")[0].split())
    return text[:300].rstrip(".")


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


def folder_sizes(root: Path) -> Callable[[str], int]:
    """Look at all files in a folder once; the returned function tells what those below a path in it take.

    Of a published store, sizes of objects are known.
    """
    own: dict[str, int] = {}  # by folder, without the folders in it
    if isinstance(root, ObjectPath):
        place = root._place
        sizes, start = (place[0].sizes or {}, f"{place[1]}/".lstrip("/")) if place else ({}, "")
        for key, size in sizes.items():
            if key.startswith(start):
                folder = key.removeprefix(start).rpartition("/")[0]
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


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder, or of all objects of a published store below an address."""
    return folder_sizes(folder)("")
