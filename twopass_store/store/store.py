"""`Store`: the groups and arrays of the format, and the journals kept among them."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from ..config import expanded
from ..errors import ConfigError
from ..journal import Plan, StageJournal, uninterrupted
from .arrays import Arrays
from .attributes import check_plan
from .groups import CONFIG, GROWTH
from .journal_files import JournalFiles

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
        with uninterrupted():
            self._root[f"journal/{stage}"].update_attributes({"plan": text})

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return a ledger's entries, None where none was written yet."""
        return self.journals.read_ledger(stage)

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Replace a ledger's entries."""
        path = f"journal/{stage}/ledger"
        if not self.has(path):
            with uninterrupted():
                self._root.create_array(
                    path,
                    shape=entries.shape,
                    dtype="uint64",
                    chunks=(max(1, len(entries)),),
                    compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()],
                    fill_value=0,
                    attributes={
                        "units": "1",
                        "long_name": "digests of the chunks that are finished; 0: not yet",
                    },
                    dimension_names=("entry",),
                    chunk_key_encoding={"name": "default", "separator": "."},
                    config=CONFIG,
                )
        self.write_chunk(path, 0, entries)

    def remove_journal(self, stage: str) -> None:
        """Remove plan and ledger."""
        self.remove(f"journal/{stage}")

    def journal(self, stage: str) -> StageJournal | None:
        """Return a stage's journal as it stands, None where the stage was never planned."""
        journal = StageJournal.load(self, stage)
        if journal is not None:
            check_plan(journal.plan)
        return journal

    @contextmanager
    def step(self, plan: Plan, *, hint: str) -> Iterator[StageJournal]:
        """Begin or go on with a stage's plan; when the block ends well, mark its products complete."""
        journal = StageJournal.begin(self, plan, hint=hint)
        yield journal
        journal.commit(self.mark_complete(product.path) for product in plan.products)
