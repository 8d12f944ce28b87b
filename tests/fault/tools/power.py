"""A disk that loses power: what it may hold after a crash, worked out from the steps that were asked of it.

The model, which is what POSIX allows and not what one file system happens to do:

- A file's data are on the disk once the file is synced. Before that its name, where that is on the disk
  already, may lead to all of the data, to none, to their beginning, or to as many zeros.
- A name (made, renamed to, or removed) is on the disk once the folder that it stands in is synced. Until then
  any of the changes to a folder's names may have come through and any others not, in whatever order they were
  asked for: also a rename before the data of the file, and a later rename without an earlier one.
- Syncing a file doesn't sync its name, and syncing a folder syncs the names in it, not its own: a folder
  whose name is lost takes along all that is in it.
- A tree whose removal was begun may be there in any part.
- A rename within one folder comes through whole or not at all. Between folders, the old name may still be
  there. No rename takes both names away, and no crash touches what was synced before.
- A killed process takes nothing with it: what it asked for is still under way, and may be lost later.

What lies outside of the store (staging, locks) is made up anew for each crash, see `leave_debris`.
"""

import itertools
import json
import math
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from twopass_store.journal import Disk, Writer

State = frozenset[tuple[str, bytes | None]]
"""A tree: paths relative to the folder that holds the store, with contents; None for a folder."""

EXHAUSTIVE = 6
"""Changes that are under way at once up to which every subset of them is looked at."""


@dataclass(eq=False)
class File:
    """The data of a file, and whether they are on the disk."""

    content: bytes = b""
    is_synced: bool = False

    def after_crash(self) -> Iterator[bytes]:
        """Yield what a name of it may lead to, first where nothing is lost."""
        if self.is_synced:
            yield self.content
            return
        torn = (self.content[:-1], self.content[: len(self.content) // 2], bytes(len(self.content)))
        yield from dict.fromkeys((self.content, *torn, b""))


@dataclass(eq=False)
class Folder:
    """The names in a folder that are on the disk, and the changes to them that may be lost."""

    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    changes: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    def names(self, changes: Sequence[int] | None = None) -> dict[str, "File | Folder"]:
        """Return the names with some of the changes, by default with all: as whoever looks sees them."""
        found: dict[str, File | Folder | None] = dict(self.durable)
        for index in range(len(self.changes)) if changes is None else changes:
            found.update(self.changes[index])
        return {name: node for name, node in found.items() if node is not None}

    def sync(self) -> None:
        """Put the names on the disk."""
        self.durable = self.names()
        self.changes.clear()

    def after_crash(self) -> Iterator[dict[str, object]]:
        """Yield the trees that may be found, first where nothing is lost."""
        for chosen in _subsets(len(self.changes)):
            names = self.names(chosen)
            for contents in _combined([list(node.after_crash()) for node in names.values()]):
                yield dict(zip(names, contents, strict=True))


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    """Yield all subsets of so many changes; of many only the most telling ones."""
    everything = tuple(range(count))
    if count <= EXHAUSTIVE:
        for size in range(count, -1, -1):
            yield from itertools.combinations(everything, size)
        return
    yield everything
    for index in range(count):
        yield everything[:index] + everything[index + 1 :]
        yield everything[index : index + 1]
        yield everything[:index]


def _combined(choices: list[list[object]]) -> Iterator[tuple[object, ...]]:
    """Yield all combinations; where that is too many, those in which one of them differs from the first."""
    if math.prod(len(each) for each in choices) <= 2**EXHAUSTIVE:
        yield from itertools.product(*choices)
        return
    first = tuple(each[0] for each in choices)
    yield first
    yield tuple(each[-1] for each in choices)
    for index, each in enumerate(choices):
        for other in each[1:]:
            yield (*first[:index], other, *first[index + 1 :])


class Killed(BaseException):
    """The end of a process: no step is done after it."""


class PowerDisk(Disk):
    """Does the steps, and gathers all states in which a crash between any two of them may leave the store.

    It syncs in its books only, which is faster and all that matters here.

    Parameters
    ----------
    store
        Path of the store. What is there is on the disk.
    """

    def __init__(self, store: Path) -> None:
        self.states: dict[State, int] = {}
        self.n_steps = 0
        self.killed_at: int | None = None
        self._store = store
        self._home = Folder()
        self._loose: dict[Path, File | Folder] = {}
        self._lock = threading.RLock()
        if store.exists():
            self._home.durable[store.name] = _loaded(store)
        self._look()

    def make_folder(self, path: Path) -> None:
        with self._step():
            if path.parent.name.startswith("staging."):
                self._loose[path] = Folder()
            elif not path.exists():
                self._folder(path.parent).changes.append({path.name: Folder()})
            super().make_folder(path)
            self._look()

    def write(self, file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
        with self._step():
            super().write(file, data)
            self._file(Path(file.name)).content += bytes(data)

    def sync(self, file: BinaryIO) -> None:
        with self._step():
            self._file(Path(file.name)).is_synced = True

    def rename(self, source: Path, target: Path) -> None:
        with self._step():
            super().rename(source, target)
            if source in self._loose:
                self._place(target, {target.name: self._loose.pop(source)})
            else:
                node = self._folder(source.parent).names()[source.name]
                if target.parent == source.parent:
                    self._place(target, {source.name: None, target.name: node})
                else:
                    self._place(source, {source.name: None})
                    self._loose[target] = node
            self._look()

    def sync_folder(self, path: Path) -> None:
        with self._step():
            path.stat()
            self._folder(path).sync()

    def remove_tree(self, path: Path) -> None:
        with self._step():
            super().remove_tree(path)
            doomed = [self._loose.pop(path, None)]
            for node in doomed:  # grows while it is gone through
                if isinstance(node, Folder):
                    names = node.names()
                    doomed += names.values()
                    node.changes += [{name: None} for name in names]
            self._look()

    def _step(self) -> threading.RLock:
        """Return the lock under which a step is done and booked."""
        with self._lock:
            if self.killed_at is not None and self.n_steps >= self.killed_at:
                raise Killed
            self.n_steps += 1
        return self._lock

    def _folder(self, path: Path) -> Folder:
        above = next((each for each in (path, *path.parents) if each in self._loose), self._store.parent)
        node: File | Folder = self._loose.get(above, self._home)
        for name in path.relative_to(above).parts:
            assert isinstance(node, Folder)
            node = node.names()[name]
        assert isinstance(node, Folder)
        return node

    def _file(self, path: Path) -> File:
        """Return a file that is being written: in the staging folder, or in a folder there."""
        if self._loose.keys().isdisjoint(path.parents):
            found = self._loose.setdefault(path, File())
        else:
            folder = self._folder(path.parent)
            if path.name not in folder.names():
                folder.changes.append({path.name: File()})
            found = folder.names()[path.name]
        assert isinstance(found, File)
        return found

    def _place(self, path: Path, change: dict[str, File | Folder | None]) -> None:
        self._folder(path.parent).changes.append(change)

    def _look(self) -> None:
        """Note what a crash at this moment may leave; a sync leaves nothing that wasn't possible before."""
        for tree in self._home.after_crash():
            self.states.setdefault(frozenset(_flat(tree)), self.n_steps)


def _loaded(path: Path) -> File | Folder:
    if path.is_dir():
        return Folder({child.name: _loaded(child) for child in path.iterdir()})
    return File(path.read_bytes(), is_synced=True)


def _flat(tree: dict[str, object], above: str = "") -> Iterator[tuple[str, bytes | None]]:
    for name, content in tree.items():
        path = f"{above}{name}"
        if isinstance(content, dict):
            yield path, None
            yield from _flat(content, f"{path}/")
        else:
            assert isinstance(content, bytes)
            yield path, content


def state_of(folder: Path) -> State:
    """Return all that is in a folder."""
    return frozenset(
        (str(path.relative_to(folder)), None if path.is_dir() else path.read_bytes())
        for path in folder.rglob("*")
    )


def materialise(state: State, folder: Path) -> None:
    """Put a state on the real disk."""
    folder.mkdir(parents=True)
    for name, content in sorted(state):
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


def leave_debris(store: Path, lock: bytes, rng: random.Random) -> None:
    """Leave what a dead process may have left beside the store: all, some or none of it, torn anywhere."""
    folder = store.with_name(f"{store.name}.lock")
    if rng.random() < 0.25:
        return
    folder.mkdir()
    for name in ("ingest", "clustering-default"):
        if rng.random() < 0.5:
            length = rng.choice([len(lock), 0, rng.randrange(len(lock))])
            (folder / f"{name}.json").write_bytes(rng.choice([lock[:length], bytes(length)]))
    if rng.random() < 0.5:
        staging = folder / json.loads(lock)["staging"]
        (staging / "0123" / "part").mkdir(parents=True)
        (staging / "4567").write_bytes(bytes(rng.randrange(3)))


def leave_lock(store: Path, lock: bytes) -> None:
    """Leave a dead process's lock, as it is after a kill."""
    folder = store.with_name(f"{store.name}.lock")
    folder.mkdir()
    (folder / "ingest.json").write_bytes(lock)


class LossError(AssertionError):
    """What was promised doesn't hold after some crash."""


@dataclass(frozen=True)
class Run:
    """A run over a store, and what it takes to try it.

    Attributes
    ----------
    before, after
        What is there before it, and what it leaves.
    run
        Runs it, or takes it up again, on the store at a path.
    check
        Looks at a store after a crash, and raises what is wrong.
    lock
        What a dead process had written into its lock.
    """

    before: State
    after: State
    run: Callable[[Path], object]
    check: Callable[[Path], object]
    lock: bytes

    def take_up(
        self,
        state: State,
        folder: Path,
        rng: random.Random,
        make_disk: Callable[[Path], PowerDisk] = PowerDisk,
    ) -> PowerDisk:
        """Take the run up in a state, in a new folder; returns the disk that it ran on.

        Raises
        ------
        LossError
            If `check` or `run` fails, or something else is left than by the run from its beginning.
        """
        store = folder / "s.zarr"
        materialise(state, folder)
        if state != self.before:
            leave_debris(store, self.lock, rng)
        disk = make_disk(store)
        try:
            self.check(store)
            with on_disk(disk):
                self.run(store)
        except Exception as error:
            raise LossError(f"{type(error).__name__}: {error}") from error
        found = state_of(folder)
        if found != self.after:
            raise LossError(f"what is left differs in {differing(found, self.after)}")
        Disk().remove_tree(folder)
        return disk


@contextmanager
def on_disk(disk: Disk) -> Iterator[None]:
    """Have all that is written go to a disk."""
    before = Writer.disk
    Writer.disk = disk
    try:
        yield
    finally:
        Writer.disk = before


@dataclass
class Explored:
    """How many states a run was taken up from, how many were only found, and the steps of the whole run."""

    n_states: int = 0
    n_left: int = 0
    n_steps: int = 0


def explore(run: Run, folder: Path, *, rng: random.Random, limit: int | None = None) -> Explored:
    """Crash a run everywhere, take it up again, crash that everywhere too, and so on until nothing is new.

    Parameters
    ----------
    run
        The run.
    folder
        Where to work.
    rng
        Draws debris, and which states are taken up where not all are.
    limit
        How many; all where None.

    Raises
    ------
    LossError
        If the run can't be taken up in some state, or something else is left.
    """
    known: dict[State, str] = {run.before: "the beginning"}
    waiting = [run.before]
    explored = Explored()
    while waiting and (limit is None or explored.n_states < limit):
        state = waiting.pop(0 if limit is None else rng.randrange(len(waiting)))
        try:
            disk = run.take_up(state, folder / str(explored.n_states), rng)
        except LossError as error:
            raise LossError(f"{known[state]}: {error}") from error
        if not explored.n_states:
            explored.n_steps = disk.n_steps
        explored.n_states += 1
        for found, step in disk.states.items():
            if found not in known:
                known[found] = f"{known[state]}, a crash after step {step} ({differing(found, state)})"
                waiting.append(found)
    explored.n_left = len(waiting)
    return explored


def differing(found: State, other: State) -> str:
    """Name a few paths in which two trees differ."""
    names = sorted({name for name, _ in found ^ other})
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
