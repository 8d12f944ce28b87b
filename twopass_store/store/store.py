"""`Store`: a store's folder, opened or made, with its groups and the journals of its stages."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import ContainsGroupError

from ..config import expanded
from ..errors import (
    ConfigError,
    CorruptChunkError,
    FormatVersionError,
    StageIncompleteError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
    limit_of_the_machine,
)
from ..journal import Plan, StageJournal, Writer, clear_dead
from ..schema import FORMAT_VERSION, LEDGER, ArraySpec
from .arrays import Arrays, Rows, array_options
from .bucket import is_url
from .local import DurableLocalStore, inside, naming_the_file
from .objects import ObjectPath
from .places import METADATA_FILE, group_of, lock_folder, metadata_key
from .published import files_at
from .reading import GROWTH

__all__ = ["Store", "medoids_path", "store_path"]

METADATA_FACTOR = 20
"""Memory that the root's metadata take while they are read, per byte of the file.

Measured: 4, and 17 where a stage opens the store three times."""


def store_path(path: str | os.PathLike[str], *, reads: bool = False) -> Path:
    """Return the absolute path of a store; ``~`` is the home folder, and links are followed.

    Two names of one store must share one lock.

    Parameters
    ----------
    path
        A folder, or the address of a published store, such as ``s3://bucket/run.zarr``.
    reads
        Whether the store is only read: a published one can't be written to.

    Raises
    ------
    ConfigError
        If there can be no such path, or a published store shall be written to.
    StoreError
        If there is no store at an address, or it can't be reached.
    """
    if is_url(path):
        address = ObjectPath(path)
        if not reads:
            raise ConfigError(
                f"{address} is an address, and there stores can only be read: work on a store in a folder of "
                f"this machine, and copy it with `twopass publish STORE {address}`."
            )
        return ObjectPath.opened(address)
    home = expanded(path)
    try:
        os.fspath(home).encode()  # any bytes may be a name, but the path is recorded as text
        return home.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, links that go round
        raise ConfigError(f"{str(home)[:80]!r} can't be the path of a store: {error}.") from error


def medoids_path(store: str | os.PathLike[str], name: str) -> Path:
    """Return where a run leaves the medoids of a clustering: beside the store."""
    path = store_path(store)
    stem = path.stem if path.suffix == ".zarr" else path.name
    return path.with_name(f"{stem}.{name}.medoids.pdb")


class Store(Arrays):
    """An open store: groups, arrays, and the journals of the stages, kept as `JournalStorage` has them.

    Paths of groups and arrays are relative to its root and have no leading slash. Threads may share it.
    """

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Tell whether a store (of any format version) is at `path`.

        Raises
        ------
        StoreExistsError
            If something else is there.
        """
        with naming_the_file(path):
            if (path / METADATA_FILE).is_file():
                return True
            # An empty folder may be what a kill left in the first instant.
            is_taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
        if is_taken:
            raise StoreExistsError(
                f"{path} exists and is no twopass store. Choose another path, or remove it yourself."
            )
        return False

    @classmethod
    def create(cls, path: Path, attrs: Mapping[str, Any], *, writer: Writer) -> Self:
        """Make an empty store; `attrs` are those of the root beside ``twopass_format``, as JSON values."""
        files = DurableLocalStore(path, writer=writer)
        writer.make_folder(path)
        zarr.create_group(files, zarr_format=3, attributes={"twopass_format": FORMAT_VERSION, **attrs})
        return cls.open(path, writer=writer)

    @classmethod
    def open(cls, path: Path, *, writer: Writer | None = None, mends: bool = False) -> Self:
        """Open a store, for reading unless the lock's writer is given.

        Journals may be missing, and arrays be of different lengths, for whoever `mends` that.

        Raises
        ------
        StageIncompleteError
            If it shall be written to, and an append was interrupted while it made the arrays longer.
        StoreNotFoundError
            If nothing is there, or what is there is no store.
        FormatVersionError
            If it is of another format version.
        CorruptChunkError
            If its metadata differ from the schema, or it is read and has lost a journal.
        """
        if writer is None:
            clear_dead(lock_folder(path))
        with naming_the_file(path):
            exists, has_metadata = path.exists(), (path / METADATA_FILE).is_file()
        if not exists:
            raise StoreNotFoundError(f"There is no store at {path}. Make one with `twopass ingest {path} …`.")
        if not has_metadata:
            raise StoreNotFoundError(f"{path} is no twopass store: it has no zarr.json.")
        _require_format(path)
        files = files_at(path) if writer is None else DurableLocalStore(path, writer=writer)
        try:
            root = zarr.open_group(
                files, mode="r" if writer is None else "r+", zarr_format=3, use_consolidated=False
            )
        except StoreError:
            raise
        except Exception as error:  # zarr raises many kinds on metadata that it can't parse
            limit = limit_of_the_machine(error)
            raise limit or StoreNotFoundError(
                f"{path} is no twopass store: its zarr.json can't be read ({error})."
            ) from error
        if writer is not None and not mends and inside(path, f"journal/{GROWTH}/{METADATA_FILE}").is_file():
            raise StageIncompleteError(
                f"{path}: an append was interrupted while it made the store longer. Run the "
                "same `twopass ingest` again; it goes on where it was stopped."
            )
        store = cls(path, root, files)
        if writer is None and not mends:
            store.require_journals()
        return store

    @property
    def metadata_bytes(self) -> int:
        """Upper bound of the memory that opening takes for the root's metadata, which hold the topology."""
        return METADATA_FACTOR * (self.path / METADATA_FILE).stat().st_size

    def attrs(self, path: str = "") -> dict[str, Any]:
        """Return the attributes of a group or array."""
        self._require_recorded(path)
        try:
            return dict((self._root[path] if path else self._root).attrs)
        except (KeyError, ValueError) as error:
            raise CorruptChunkError(
                f"{self.path / path / METADATA_FILE} is missing or damaged. Copy the store again whole, or "
                "make it anew."
            ) from error

    def ensure_group(self, path: str, attrs: Mapping[str, Any]) -> None:
        """Make a group, and those that it lies in, unless it is there."""
        parent, _, _ = path.rpartition("/")
        if parent:
            self.ensure_group(parent, {})
        if not self.has(path):
            # Another process, with another lock, may make the group of all clusterings in this moment.
            with suppress(ContainsGroupError):
                zarr.create_group(self._files, path=path, zarr_format=3, attributes=dict(attrs))

    @contextmanager
    def unchanged(self, name: str | None) -> Iterator[None]:
        """Refuse what was read if a clustering, or the root, was made anew since, also if the block fails."""
        try:
            yield
        finally:
            for group in ("", *([f"clusterings/{name}"] if name else [])):
                self._files.require_same(group)

    def touch_group(self, path: str) -> None:
        """Write a group's metadata again as they are: readers see that something in it is made anew."""
        if self.has(path):
            self._files.put(metadata_key(path), self._files.read_metadata(path))

    def write_plan(self, stage: str, text: str) -> None:
        """Put a plan's text, in the place of another one."""
        self.ensure_group(f"journal/{stage}", {"plan": text})
        group = self._root[f"journal/{stage}"]
        if group.attrs["plan"] != text:
            group.update_attributes({"plan": text})

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Replace a ledger's entries."""
        path = f"journal/{stage}/ledger"
        if not self.has(path):
            self._root.create_array(path, **array_options(LEDGER, (len(entries),)))
        self.write_chunk(path, 0, entries)

    @contextmanager
    def step(
        self, plan: Plan, *, hint: str, attrs: Mapping[str, Any] | None = None
    ) -> Iterator[StageJournal]:
        """Begin or go on with a stage's plan; when the block ends well, mark its products complete.

        `attrs` are those of the group that the stage makes, if it makes one.
        """
        journal = self.begin(plan, hint=hint, attrs=attrs)
        yield journal
        self.complete(journal)

    def write_group(
        self,
        plan: Plan,
        group: str,
        attrs: Mapping[str, Any],
        arrays: Sequence[tuple[ArraySpec, Rows]],
        *,
        hint: str,
    ) -> None:
        """Write a group with all its arrays as one step."""
        with self.step(plan, hint=hint, attrs=attrs) as journal:
            for spec, values in arrays:
                self.ensure_array(group, spec, values.shape)
                journal.commit(self.write_all(f"{group}/{spec.name}", values))

    def begin(self, plan: Plan, *, hint: str, attrs: Mapping[str, Any] | None = None) -> StageJournal:
        """Begin or go on with a stage's plan, see `step`."""
        journal = StageJournal.begin(self, plan, hint=hint)
        kept, group = journal.plan.metadata, group_of(plan.stage)
        # A discard that was stopped leaves the plan without the group.
        if group is not None and (group not in kept or not self.has(group)):
            if group:
                self.ensure_group(group, attrs or {})
            kept[group] = self._files.read_metadata(group).decode()
            journal.amend(journal.plan.with_metadata(kept))
        return journal

    def complete(self, journal: StageJournal) -> None:
        """Mark the products of a stage complete whose chunks are all in its ledger."""
        paths = [product.path for product in journal.plan.products]
        records = [self.mark_complete(path) for path in paths]
        kept = journal.plan.metadata
        kept |= {path: self._files.read_metadata(path).decode() for path in paths}
        if kept != journal.plan.metadata:
            journal.amend(journal.plan.with_metadata(kept))
        journal.commit(records)


def _require_format(path: Path) -> None:
    """Refuse another format before anything else is understood, and what is no store of ours."""
    file = inside(path, METADATA_FILE)
    with naming_the_file(file):
        data = file.read_bytes()
    try:
        found = json.loads(data)["attributes"]["twopass_format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if (path / "journal").is_dir():
            raise CorruptChunkError(
                f"{path / METADATA_FILE} is damaged ({error!r}). `twopass verify {path}` tells what else is; "
                "`twopass repair` mends what can be."
            ) from error
        raise StoreNotFoundError(
            f"{path} is no twopass store: its zarr.json can't be read as one ({error!r})."
        ) from error
    if found != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has format version {found}, and this version of twopass-store reads "
            f"{FORMAT_VERSION}. Install the version of twopass-store that wrote it, or a newer one."
        )
