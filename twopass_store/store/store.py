"""`Store`: the groups and arrays of the format, and the journals kept among them."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from ..config import expanded
from ..errors import ConfigError, CorruptChunkError
from ..journal import Plan, StageJournal
from .arrays import Arrays
from .attributes import check_plan
from .groups import CONFIG, GROWTH
from .journal_files import COPIES, JournalFiles
from .names import METADATA_FILE
from .recorded import arrays_of, group_of

__all__ = ["GROWTH", "Store", "check_name", "lock_folder", "store_path"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_name(name: str) -> str:
    """Return `name` if a clustering may be called so.

    Raises
    ------
    ConfigError
        Otherwise.
    """
    if not _NAME.fullmatch(name) or len(name) > 100:
        raise ConfigError(
            f"{name!r} can't be the name of a clustering: use letters, digits, _ and -, "
            "beginning with a letter or digit, at most 100."
        )
    return name


def store_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a store; ``~`` is the home folder, and links are followed.

    Two names of one store must share one lock.

    Raises
    ------
    ConfigError
        If there can be no such path.
    """
    home = expanded(path)
    try:
        os.fspath(home).encode()  # any bytes may be a name, but the path is recorded as text
        return home.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, links that go round
        raise ConfigError(f"{str(home)[:80]!r} can't be the path of a store: {error}.") from error


def lock_folder(path: Path) -> Path:
    """Return the folder beside a store that holds its locks and temporary files."""
    return path.with_name(path.name + ".lock")


class Store(Arrays):
    """An open store: groups, arrays, and the journals of the stages, kept as `JournalStorage` has them.

    Paths of groups and arrays are relative to its root and have no leading slash. Threads may share it.
    """

    def members(self, path: str) -> list[str]:
        """List the names of the groups and arrays in a group, sorted; none where the group is absent."""
        # Also journals whose plans are lost: who asks for them is told.
        return self.journals.stages() if path == "journal" else super().members(path)

    def attrs(self, path: str = "") -> dict[str, Any]:
        """Return the attributes of a group or array."""
        found = super().attrs(path)
        holder, _, name = path.partition("/")
        if holder == "clusterings" and name and "/" not in name:
            counted = f"{path}/{'leader_frame' if found['subset'] is None else 'medoid_frame'}"
            # Tables are made with a row for each cluster.
            n_rows = self._array(counted).shape[0] if self.has(counted) else None
            if n_rows is not None and found["n_clusters_found"] > n_rows:
                raise CorruptChunkError(
                    f"{self.path / path} is damaged: it has {n_rows} clusters, and says "
                    f"{found['n_clusters_found']}. Copy the store again whole, or make the clustering anew."
                )
        return found

    @property
    def journals(self) -> JournalFiles:
        """The journals as they stand, for reading."""
        return JournalFiles(self.path)

    def read_plan(self, stage: str) -> str | None:
        """Return a plan's text, None where there is none."""
        return self.journals.read_plan(stage)

    def write_plan(self, stage: str, text: str) -> None:
        """Put a plan's text."""
        self.ensure_group(f"journal/{stage}", {"plan": text})

    def replace_plan(self, stage: str, text: str) -> None:
        """Put another text in the place of the plan's, at one stroke."""
        self._root[f"journal/{stage}"].update_attributes({"plan": text})
        self.renew_plan_copy(stage)

    def renew_plan_copy(self, stage: str) -> None:
        """Let the copy of a plan be that of the plan, also where an interruption came between the two."""
        copies, plan = self.journals.read_copies(stage), f"journal/{stage}"
        text = self._files.read_metadata(plan).decode()
        if copies and copies.get(plan) != text:
            self._write_copies(stage, {**copies, plan: text})

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return a ledger's entries, None where none was written yet."""
        return self.journals.read_ledger(stage)

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Replace a ledger's entries."""
        path = f"journal/{stage}/ledger"
        if not self.has(path):
            self._root.create_array(path, **_ledger_array(len(entries)))
        self.write_chunk(path, 0, entries)

    def keep_metadata(self, stage: str, paths: Iterable[str]) -> None:
        """Keep copies of the plan of a stage and of the metadata of what it made, to mend damage from.

        The copy of a group is kept as it is where there is one already: what stands in the group's place may
        be damaged since.
        """
        copies, group = self.journals.read_copies(stage), group_of(stage)
        kept = {path: copies[path] for path in copies if path == group}
        for path in (f"journal/{stage}", *paths):
            if path not in kept:
                kept[path] = self._files.read_metadata(path).decode()
        if kept != copies:
            self._write_copies(stage, kept)

    def _write_copies(self, stage: str, copies: Mapping[str, str]) -> None:
        path = f"journal/{stage}/{COPIES}"
        text = json.dumps(copies, sort_keys=True, ensure_ascii=False)
        if not self.has(path):
            self._root.create_array(path, **_COPIES_ARRAY)
        self._array(path)[:] = np.array([text], object)

    def mend_journal_array(self, stage: str, name: str) -> None:
        """Write the metadata of a ledger, or of an array of copies, anew."""
        plan = self.journals.read_plan(stage)
        products = () if plan is None else Plan.from_json(plan).products
        n_entries = sum(product.n_chunks + 1 for product in products)
        made: dict[str, Any] = {}
        zarr.create_array(made, **(_COPIES_ARRAY if name == COPIES else _ledger_array(n_entries)))
        self._files.put(f"journal/{stage}/{name}/{METADATA_FILE}", made[METADATA_FILE].to_bytes())

    def make_group(self, stage: str, path: str, attrs: Mapping[str, Any]) -> None:
        """Make the group of a stage that was begun, unless it is there, and keep a copy of its metadata."""
        self.ensure_group(path, attrs)
        self.keep_metadata(stage, [path])

    def remove_journal(self, stage: str) -> None:
        """Remove plan and ledger."""
        self.remove(f"journal/{stage}")

    def journal(self, stage: str) -> StageJournal | None:
        """Return a stage's journal as it stands, None if the stage was never planned.

        Raises
        ------
        CorruptChunkError
            If plan or ledger are damaged, or arrays are there that only this stage makes, but no plan.
        """
        journal = StageJournal.load(self, stage)
        if journal is None and (left := [path for path in arrays_of(stage) if self.at(path).is_dir()]):
            # A stage writes its plan first, and removes it last; so it may be there by now.
            journal = StageJournal.load(self, stage)
            if journal is None and self.at(left[0]).is_dir():
                raise CorruptChunkError(
                    f"{self.path} is damaged: {left[0]} is there, but not its plan, journal/{stage}. "
                    "Copy the store again whole, or make this stage anew with --restart."
                )
        if journal is not None:
            check_plan(journal.plan)
            self._require_ledger(journal.plan)
        return journal

    def _require_ledger(self, plan: Plan) -> None:
        # It is written before an array is complete, and absent while a store becomes longer.
        if any(self.has(f"journal/{each}") for each in (f"{plan.stage}/ledger", GROWTH)):
            return
        left = [each.path for each in plan.products if self.has(each.path)]
        if any(self.attrs(path).get("complete") for path in left):
            raise CorruptChunkError(
                f"{self.path} is damaged: {left[0]} is there, but not the ledger of {plan.stage}. "
                "Run `twopass repair`, or make this stage anew with --restart."
            )

    @contextmanager
    def step(self, plan: Plan, *, hint: str) -> Iterator[StageJournal]:
        """Begin or go on with a stage's plan; when the block ends well, mark its products complete."""
        journal = StageJournal.begin(self, plan, hint=hint)
        group = group_of(plan.stage)
        groups = [group] if group is not None and self.has(group) else []
        self.keep_metadata(plan.stage, groups)
        yield journal
        paths = [product.path for product in journal.plan.products]
        records = [self.mark_complete(path) for path in paths]
        self.keep_metadata(plan.stage, [*paths, *([] if group is None else [group])])
        journal.commit(records)


_COPIES_ARRAY: dict[str, Any] = {
    "shape": (1,),
    "dtype": str,
    "chunks": (1,),
    "compressors": [BloscCodec(cname="zstd", clevel=5, shuffle="noshuffle"), Crc32cCodec()],
    "fill_value": "",
    "attributes": {"units": "1", "long_name": "copies of metadata, a table in JSON"},
    "dimension_names": ("copy",),
    "chunk_key_encoding": {"name": "default", "separator": "."},
    "config": CONFIG,
}


def _ledger_array(n_entries: int) -> dict[str, Any]:
    return {
        "shape": (n_entries,),
        "dtype": "uint64",
        "chunks": (max(1, n_entries),),
        "compressors": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()],
        "fill_value": 0,
        "attributes": {"units": "1", "long_name": "digests of the chunks that are finished; 0: not yet"},
        "dimension_names": ("entry",),
        "chunk_key_encoding": {"name": "default", "separator": "."},
        "config": CONFIG,
    }
