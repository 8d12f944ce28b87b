"""`Bucket`: what lies below an address in an object store (S3, GCS, Azure, HTTP), by obstore."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import ConfigError, StoreError

__all__ = ["ADDRESS", "Bucket", "is_url"]

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
"""How an address begins; a `Path` has only one slash of it."""

_ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT")

_S3 = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (as `aws configure export-credentials --format env` does)"
_AZURE = "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_SKIP_SIGNATURE=true"
_CREDENTIALS = {
    "s3": f"{_S3}, or AWS_SKIP_SIGNATURE=true",
    "gs": "GOOGLE_SERVICE_ACCOUNT, the path of a key, or GOOGLE_SKIP_SIGNATURE=true",
    **dict.fromkeys(("az", "abfs", "abfss"), _AZURE),
    **dict.fromkeys(("http", "https"), "none: addresses of web servers are read without"),
}
"""What to set in the environment, by how an address begins; ``SKIP_SIGNATURE`` is for public data."""

_NO_CREDENTIALS = ("169.254.169.254", "metadata.google", "redential", "SecretAccessKey", "Account must be")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

_RETRIES: Any = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 3},
}
"""A server is given up after some 10 seconds if it refuses at once, and after 60 if it doesn't answer."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is an address, of whatever kind."""
    return ADDRESS.match(os.fspath(path)) is not None


class Bucket:
    """The objects below an address, by their keys relative to it.

    Credentials and endpoint come from the environment. `FileNotFoundError` is of an object that isn't there,
    a `StoreError` of a service that can't be reached, or refuses. The address is taken as it is typed; only
    that of a web server is encoded. A request is made again if it takes longer than so many `seconds`.
    """

    def __init__(self, url: str, *, seconds: float = 30) -> None:
        self.url = url
        scheme, _, place = url.partition("://")
        if scheme not in _CREDENTIALS:
            raise ConfigError(
                f"{url} can't be used. Give the path of a folder, or an address that begins with "
                f"{', '.join(f'{each}://' for each in _CREDENTIALS)}."
            )
        for name in _ENDPOINTS:  # of which obstore would panic
            value = os.environ.get(name, "http://localhost")
            if not re.match(r"https?://[^\s/]", value):
                raise ConfigError(
                    f"{name} is {value!r}. Set it to an address, such as http://127.0.0.1:9000."
                )
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise ConfigError(
                f"{url} needs obstore, which isn't installed: pip install 'twopass-store[s3]'"
            ) from error
        if not self.is_web:
            bucket, _, prefix = place.partition("/")
            url = f"{scheme}://{bucket}/{quote(prefix)}"
        with self.naming():
            options: Any = {"allow_http": True, "timeout": timedelta(seconds=seconds)}
            self._client = from_url(url, client_options=options, retry_config=_RETRIES)

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server, which isn't written to; most list nothing, so none is asked."""
        return self.url.startswith("http")

    def read(self, key: str) -> tuple[bytes, str]:
        """Return an object's content and version."""
        with self.naming():
            found = self._client.get(key)
            return bytes(found.bytes()), str(found.meta["e_tag"])

    def blocks(self, key: str) -> Iterator[bytes]:
        """Yield an object's content piece by piece."""
        with self.naming():
            yield from map(bytes, self._client.get(key).stream())

    def look(self, key: str) -> tuple[int, str]:
        """Return an object's size and version."""
        with self.naming():
            found = self._client.head(key)
            return found["size"], str(found["e_tag"])

    def list(self) -> dict[str, tuple[int, str]]:
        """Return size and version of all objects."""
        with self.naming():
            batches = list(self._client.list())
        return {each["path"]: (each["size"], each["e_tag"] or "") for batch in batches for each in batch}

    def write(self, key: str, content: bytes | Path, *, in_parts: bool = False) -> str:
        """Write an object, and return its version."""
        with self.naming():
            put = self._client.put(key, content, use_multipart=in_parts, max_concurrency=2)
            return put["e_tag"] or ""

    def remove(self, key: str) -> None:
        """Remove an object."""
        with self.naming():
            self._client.delete(key)

    def objects(self) -> Any:
        """Return it as zarr's own store, for reading."""
        from zarr.storage import ObjectStore

        return ObjectStore(self._client, read_only=True)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Turn obstore's errors into ours, but for those of objects that aren't there."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            is_nowhere = any(part in str(error) for part in _NO_BUCKET)
            if isinstance(error, FileNotFoundError) and not is_nowhere:
                raise
            text = " ".join(str(error).split("\n\nDebug source:")[0].split())[:300].rstrip(".")
            credentials = _CREDENTIALS[self.url.partition(":")[0]]
            if is_nowhere:
                why, mend = "there is no such bucket", "Check its name, or make it."
            elif any(part in text for part in _NO_CREDENTIALS):
                why, mend = "there are no credentials", f"Set them in the environment: {credentials}."
            elif isinstance(error, PermissionDeniedError | UnauthenticatedError):
                why = f"access is refused ({text})"
                mend = f"Check what the credentials in the environment may do: {credentials}."
            else:
                why = text
                mend = "Check address, network, and endpoint in the environment; then try again."
            raise StoreError(f"Cannot use {self.url}: {why}. {mend}") from error
