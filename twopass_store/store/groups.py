"""A store's folder: opened or made, with its groups and their attributes."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import zarr
from zarr.core.array_spec import ArrayConfigParams
from zarr.errors import ContainsGroupError

from ..errors import (
    CorruptChunkError,
    FormatVersionError,
    StageIncompleteError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
)
from ..journal import Writer
from ..schema import FORMAT_VERSION
from .attributes import check_group
from .chunk_files import ChunkFiles
from .confined import inside, read_regular, regular_file
from .limits import MAX_METADATA_BYTES
from .local import DurableLocalStore, gone
from .names import METADATA_FILE

__all__ = ["CONFIG", "GROWTH", "Groups"]

GROWTH = "growth"
"""Name of the journal that is there only while arrays along ``frame`` are made longer."""

METADATA_FACTOR = 20
"""Memory that the root's metadata take while they are read, per byte of the file.

Measured: 4, and 17 where a stage opens the store three times."""

# Chunks that are all fill are written too: what is absent then is missing, not empty.
CONFIG: ArrayConfigParams = {"write_empty_chunks": True}


class Groups:
    """An open store, as far as its groups go."""

    def __init__(self, path: Path, root: zarr.Group, files: DurableLocalStore) -> None:
        self.path = path
        self._root = root
        self._files = files
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._files_of: dict[str, ChunkFiles | None] = {}
        self._sized: set[str] = set()

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
        writer.make_folder(path)
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
        # Before anything else is understood: the journals of another version may be otherwise, too.
        _require_format(path)
        files = DurableLocalStore(path, read_only=writer is None, writer=writer)
        try:
            # What begins an interrupted append decides how the store is opened, so it is looked at too.
            grown = regular_file(path, f"journal/{GROWTH}/zarr.json") is not None
            root = zarr.open_group(
                files, mode="r" if writer is None else "r+", zarr_format=3, use_consolidated=False
            )
            found = dict(root.attrs).get("twopass_format")
        except StoreError as error:
            if not isinstance(error, CorruptChunkError) or files.recorded.digest_of(""):
                raise  # a link, or a store whose journal knows what it was
            raise StoreNotFoundError(
                f"{path} is no twopass store: its zarr.json can't be read ({error})"
            ) from error
        except PermissionError as error:
            raise StoreError(f"Cannot read {path}: {error.strerror}. Mend its permissions.") from error
        except Exception as error:  # zarr raises many kinds on metadata that it can't parse
            raise StoreNotFoundError(
                f"{path} is no twopass store: its zarr.json can't be read ({error})."
            ) from error
        if found is None:
            raise StoreNotFoundError(f"{path} is a Zarr group, but no twopass store.")
        if writer is not None and not grows and grown:
            raise StageIncompleteError(
                f"{path}: an append was interrupted while it made the store longer. Run the same "
                "`twopass ingest --append` again; it goes on where it was stopped."
            )
        return cls(path, root, files)

    @property
    def metadata_bytes(self) -> int:
        """Upper bound of the memory that opening takes for the root's metadata, which hold the topology."""
        return METADATA_FACTOR * (self.path / "zarr.json").stat().st_size

    def attrs(self, path: str = "") -> dict[str, Any]:
        """Return the attributes of a group or array."""
        try:
            self.at(path)
            found = dict((self._root[path] if path else self._root).attrs)
        except (KeyError, ValueError) as error:
            raise CorruptChunkError(
                f"{self.path / path / 'zarr.json'} is missing or damaged. Copy the store again whole, or "
                "make it anew."
            ) from error
        check_group(path, found)
        return found

    def has(self, path: str) -> bool:
        """Tell whether a group or array is there.

        Raises
        ------
        CorruptChunkError
            If it isn't, though the journal has it on record.
        """
        if regular_file(self.path, f"{path}/{METADATA_FILE}" if path else METADATA_FILE) is not None:
            return True
        self._files.recorded.require_present(path)
        return False

    def at(self, path: str) -> Path:
        """Return the folder of a group or array, which is none that lies outside, or behind a link."""
        return inside(self.path, path)

    def members(self, path: str) -> list[str]:
        """List the names of the groups and arrays in a group, sorted; none where the group is absent."""
        folder = self.at(path)
        names = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
        return [name for name in names if self.has(f"{path}/{name}" if path else name)]

    def ensure_group(self, path: str, attrs: Mapping[str, Any]) -> None:
        """Make a group, and those that it lies in, unless it is there."""
        parent, _, _ = path.rpartition("/")
        if parent:
            self.ensure_group(parent, {})
        if not self.has(path):
            # What has no lock of its own, such as the group of all clusterings, another process may have made
            # in this moment.
            with suppress(ContainsGroupError):
                zarr.create_group(self._files, path=path, zarr_format=3, attributes=dict(attrs))

    def remove(self, path: str) -> None:
        """Remove a group or array and all in it, at one stroke."""
        if self._files.writer is None:
            raise ValueError("the store is open for reading only")
        self._forget(path)
        self._files.writer.remove(self.at(path))

    def _forget(self, path: str) -> None:
        self._files.forget(path)
        self._sized = {name for name in self._sized if not name.startswith(path)}
        self._arrays = {name: array for name, array in self._arrays.items() if not name.startswith(path)}
        self._files_of = {name: files for name, files in self._files_of.items() if not name.startswith(path)}

    def _chunk_files(self, path: str) -> ChunkFiles | None:
        if path not in self._files_of:
            self._files_of[path] = ChunkFiles.of(
                self._array(path), self.at(path), self._files.read_metadata(path)
            )
        return self._files_of[path]

    def _array(self, path: str) -> "zarr.Array[Any]":
        array = self._arrays.get(path)
        if array is None:
            mode = "r" if self._files.read_only else "r+"
            try:
                opened = zarr.open_array(self._files, path=path, mode=mode, zarr_format=3)
            except FileNotFoundError as error:
                if not self.path.is_dir():
                    raise gone(self.path) from error
                raise StageIncompleteError(f"{self.path} has no {path} yet.") from error
            except (KeyError, ValueError) as error:
                raise CorruptChunkError(
                    f"{self.path / path / 'zarr.json'} is damaged ({error}). Copy the store again whole, or "
                    "make it anew."
                ) from error
            # open_array takes a config, but heeds it only where it creates.
            array = self._arrays[path] = opened.with_config(CONFIG)
        return array


def _require_format(path: Path) -> None:
    try:
        found = json.loads(read_regular(path / METADATA_FILE, limit=MAX_METADATA_BYTES))["attributes"][
            "twopass_format"
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # no store, or a damaged one: told where it is opened
    if found != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has format version {found}, and this version of twopass-store reads "
            f"{FORMAT_VERSION}. Install the version of twopass-store that wrote it, or a newer one."
        )
