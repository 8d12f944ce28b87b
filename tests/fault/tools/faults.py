"""Runs of the command that are stopped in the middle, and what may have become of the store after them."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import mdtraj as md
import numpy as np
import xarray as xr

from twopass_store.journal import StageJournal
from twopass_store.partition import FRAME_CHUNK, PAIR_CHUNK, chunk_range, position_chunk_frames
from twopass_store.store import JournalFiles, Store

COMMAND = str(Path(sys.executable).with_name("twopass"))

# The command itself, but with batches of the ledger so short that a run of a second has many, or with a
# disk so slow that a signal falls into a write for sure.
_PACED = """
import sys, time
commit_seconds, write_seconds = map(float, sys.argv[1:3])
del sys.argv[1:3]
from twopass_store.journal import Writer, ledger
ledger.COMMIT_SECONDS = commit_seconds
write = Writer.write
def slowly(*arguments):
    time.sleep(write_seconds)
    write(*arguments)
Writer.write = slowly
from twopass_cli.main import app
app()
"""

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """One command on one store, and which of its arrays are made of units.

    Attributes
    ----------
    name
        Of the command.
    options
        What follows the store on the command line.
    units
        Last parts of the paths of the arrays whose chunks are units.
    journal
        How the name of the journal with the units begins.
    lock
        Name of the lock that is held while it works.
    in_flight
        Units that are under way at any moment, at most.
    """

    name: str
    options: tuple[str, ...]
    units: tuple[str, ...]
    journal: str
    lock: str
    in_flight: int

    def start(
        self,
        store: Path,
        *,
        commit_seconds: float | None = None,
        write_seconds: float = 0.0,
        prefix: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """Start the command; its ledger written that often, and every write taking so much longer."""
        command = [COMMAND]
        if commit_seconds is not None:
            command = [sys.executable, "-c", _PACED, str(commit_seconds), str(write_seconds)]
        return subprocess.Popen(
            [*prefix, *command, self.name, str(store), *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=store.parent,
        )

    def finish(self, store: Path) -> str:
        """Run the command to its end; returns what it said on stderr."""
        process = self.start(store)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return err

    def works(self, process: subprocess.Popen[str], store: Path) -> bool:
        """Tell whether the process holds the lock: its imports and its plan are behind it."""
        try:
            holder = json.loads(lock_file(store, self.lock).read_text())
        except (OSError, ValueError):
            return False
        return bool(holder["pid"] == process.pid)

    def files(self, store: Path) -> list[Path]:
        """List the chunks of the arrays of units."""
        folders = [store, *store.glob("subsets/*"), *store.glob("clusterings/*")]
        return [file for folder in folders for name in self.units for file in (folder / name).glob("c.*")]


def ingest_stage(trajectories: Sequence[Path], top: Path) -> Stage:
    files = tuple(str(path) for path in trajectories)
    # Two threads write a chunk each, and one more waits for them.
    return Stage(
        "ingest", (*files, "--top", str(top), "--workers", "1"), ("position",), "ingest", "ingest", 3
    )


def cluster_stage(*, workers: int, subset_frames: int, n_clusters: int, select: str | None = None) -> Stage:
    numbers = {"--subset-frames": subset_frames, "--n-clusters": n_clusters, "--workers": workers}
    options = [word for key, value in numbers.items() for word in (key, str(value))]
    options += [] if select is None else ["--select", select]
    return Stage("cluster", tuple(options), ("rmsd",), "subset-", "clustering-default", workers)


def assign_stage(*, workers: int) -> Stage:
    arrays = ("label", "label_status", "leader_index", "rmsd_to_leader")
    return Stage(
        "assign", ("--workers", str(workers)), arrays, "assign-default", "clustering-default", workers
    )


def lock_file(store: Path, name: str) -> Path:
    """Return where the lock of that name stands while it is held."""
    return store.with_name(f"{store.name}.lock") / f"{name}.json"


def write_trajectories(folder: Path, example: Path, top: Path, *, files: int, frames: int) -> list[Path]:
    """Write XTC files with the example's frames in another order each time, a little noise on top."""
    folder.mkdir(parents=True, exist_ok=True)
    example_xyz = md.load(str(example), top=str(top)).xyz
    rng = np.random.default_rng(20)
    paths = [folder / f"part{number}.xtc" for number in range(files)]
    for path in paths:
        with md.formats.XTCTrajectoryFile(str(path), "w") as file:
            for start in range(0, frames, len(example_xyz)):
                order = rng.permutation(len(example_xyz))[: frames - start]
                noise = rng.normal(scale=0.002, size=(len(order), *example_xyz.shape[1:]))
                file.write((example_xyz[order] + noise).astype(np.float32))
    return paths


@dataclass
class Finished:
    """An uninterrupted run, kept as it was before each stage and after the last.

    Attributes
    ----------
    stages
        What was run.
    before
        The store as each stage found it, by the stage's name; absent before ingest.
    after
        The store as each stage left it.
    seconds
        How long each stage worked, without imports and plan.
    """

    stages: tuple[Stage, ...]
    before: dict[str, Path] = field(default_factory=dict)
    after: dict[str, Path] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)


def run_uninterrupted(folder: Path, *stages: Stage) -> Finished:
    """Run the stages one after the other, each on a copy of what the one before it left."""
    finished = Finished(stages)
    previous: Path | None = None
    for stage in stages:
        store = folder / f"after-{stage.name}" / "run.zarr"
        store.parent.mkdir(parents=True)
        if previous is not None:
            shutil.copytree(previous, store)
            finished.before[stage.name] = previous
        finished.seconds[stage.name] = _timed(stage, store)
        finished.after[stage.name] = previous = store
    return finished


def _timed(stage: Stage, store: Path) -> float:
    """Run a stage; returns how long it held its lock."""
    process = stage.start(store)
    assert wait_for(process, lambda: stage.works(process, store))
    began = time.monotonic()
    wait_for(process, lambda: not lock_file(store, stage.lock).exists())
    seconds = time.monotonic() - began
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}"
    return seconds


def copied(finished: Finished, stage: Stage, folder: Path) -> Path:
    """Put the store as the stage finds it into a folder of its own."""
    store = folder / "run.zarr"
    folder.mkdir(parents=True, exist_ok=True)
    before = finished.before.get(stage.name)
    if before is not None:
        shutil.copytree(before, store)
    return store


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool], *, seconds: float = 120) -> bool:
    """Wait until the condition holds; False where the process ended first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "nothing to be seen of what was waited for"
        time.sleep(0.001)
    return True


@dataclass(frozen=True)
class Moment:
    """When to stop a run, counted from when it took its lock.

    Attributes
    ----------
    new_files
        First wait until it has written so many files of units,
    new_units
        and its ledger has got so many more units;
    delay
        then wait for so many seconds.
    """

    new_files: int = 0
    new_units: int = 0
    delay: float = 0.0


def some_moment(stage: Stage, rng: random.Random, *, seconds: float) -> Moment:
    """Draw a moment of a run that works for so many seconds."""
    kind = rng.random()
    if kind < 0.3:
        return Moment(new_files=rng.randint(1, 4 * stage.in_flight * len(stage.units)))
    if kind < 0.5:
        return Moment(new_units=1, delay=rng.uniform(0, seconds / 3))
    return Moment(delay=rng.uniform(0, seconds))


def stop(
    stage: Stage, process: subprocess.Popen[str], store: Path, moment: Moment, number: signal.Signals
) -> tuple[bool, str]:
    """Send the signal at that moment; tells whether it came in time, and what was said on stderr."""
    before, files = standing(stage, store), stamps(stage.files(store))
    ledgers: dict[Path, Stamp] = {}

    def has_files() -> bool:
        present = stamps(stage.files(store))
        return sum(files.get(file) != stamp for file, stamp in present.items()) >= moment.new_files

    def has_units() -> bool:
        nonlocal ledgers
        present = stamps(list(store.glob("journal/*/ledger/c.0")))
        if present == ledgers:
            return False
        ledgers = present
        return standing(stage, store).n_recorded >= before.n_recorded + moment.new_units

    in_time = wait_for(process, lambda: stage.works(process, store))
    if in_time and moment.new_files:
        in_time = wait_for(process, has_files)
    if in_time and moment.new_units:
        in_time = wait_for(process, has_units)
    if in_time and moment.delay:
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment.delay)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    stopped = process.returncode != 0
    if not stopped:
        assert "Traceback" not in err
    elif number is signal.SIGKILL:
        assert process.returncode == -number, f"exit {process.returncode}\n{out}\n{err}"
    return stopped, err


def stamps(files: Sequence[Path]) -> dict[Path, Stamp]:
    """Return what changes with every write of a file, as each write makes a new one and renames it."""
    found = {}
    for file in files:
        with suppress(FileNotFoundError):
            status = file.stat()
            found[file] = status.st_ino, status.st_mtime_ns
    return found


@dataclass(frozen=True)
class Standing:
    """What a run that is over left of a stage's units.

    Attributes
    ----------
    recorded
        Files that the ledger speaks of and that no later run may touch.
    unrecorded
        Files of units that the ledger lacks: work that is done again.
    committed_ns
        When the ledger was last written; 0 where it never was.
    n_recorded
        Units in the ledger.
    n_items, n_items_recorded
        Frames or pairs, as the command counts them.
    """

    recorded: dict[Path, Stamp] = field(default_factory=dict)
    unrecorded: dict[Path, Stamp] = field(default_factory=dict)
    committed_ns: int = 0
    n_recorded: int = 0
    n_items: int = 0
    n_items_recorded: int = 0


def standing(stage: Stage, path: Path) -> Standing:
    """Look at the ledgers and the files."""
    files = stamps(stage.files(path))
    store = Store.open(path) if Store.exists(path) else None
    names = [] if store is None else store.members("journal")
    name = next((name for name in names if name.startswith(stage.journal)), "")
    journal = None if store is None or not name else store.journal(name)
    if store is None or journal is None:
        return Standing(unrecorded=files)

    paths = [product.path for product in journal.plan.products]
    done = np.logical_and.reduce(
        [journal.done(array) for array in paths if array.rpartition("/")[2] in stage.units]
    )
    ledger = path / "journal" / name / "ledger" / "c.0"
    lengths = _unit_lengths(stage, store, journal, len(done))
    return Standing(
        recorded={file: stamp for file, stamp in files.items() if done[unit_of(file)]}
        | _settled(stage, store, path, done),
        unrecorded={file: stamp for file, stamp in files.items() if not done[unit_of(file)]},
        committed_ns=ledger.stat().st_mtime_ns if ledger.exists() else 0,
        n_recorded=int(done.sum()),
        n_items=int(lengths.sum()),
        n_items_recorded=int(lengths[done].sum()),
    )


def unit_of(file: Path) -> int:
    """Return the index along the first dimension of a chunk's file."""
    return int(file.name.split(".")[1])


def _unit_lengths(stage: Stage, store: Store, journal: StageJournal, n_units: int) -> np.ndarray:
    """Frames or pairs of each unit."""
    if stage.name == "cluster":
        array = next(p.path for p in journal.plan.products if p.path.endswith("rmsd"))
    else:
        array = "position"
    if not store.has(array):
        return np.zeros(n_units, np.int64)
    n_items, *rest = store.shape(array)
    length = {"ingest": position_chunk_frames(rest[0] if rest else 1), "cluster": PAIR_CHUNK}.get(
        stage.name, FRAME_CHUNK
    )
    return np.array([len(chunk_range(unit, chunk=length, length=n_items)) for unit in range(n_units)])


def _settled(stage: Stage, store: Store, path: Path, done: np.ndarray) -> dict[Path, Stamp]:
    """Return further files that must stay as they are: full per-frame chunks of ingest, linkages."""
    files: list[Path] = []
    if stage.name == "ingest" and store.has("source_frame"):
        n_frames, n_atoms, _ = store.shape("position")
        per_chunk = FRAME_CHUNK // position_chunk_frames(n_atoms)
        for chunk in range(-(-n_frames // FRAME_CHUNK)):
            if done[chunk * per_chunk : (chunk + 1) * per_chunk].all():
                files += [path / name / f"c.{chunk}" for name in ("time", "trajectory", "source_frame")]
    if stage.name == "cluster":
        for name in store.members("journal"):
            journal = store.journal(name) if name.startswith("linkage-") else None
            if journal is not None and journal.complete:
                files += [path / journal.plan.products[0].path / "c.0.0"]
    return stamps(files)


def assert_opens(path: Path) -> None:
    """Assert that xarray opens the store without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_datatree(path, engine="zarr", consolidated=False).close()


def assert_same(store: Path, reference: Path) -> None:
    """Assert that two stores are equal byte for byte but for time and command, and nothing else is there."""
    found, expected = _listing(store), _listing(reference)
    assert found == expected
    for name in sorted(found):
        ours, theirs = (store / name).read_bytes(), (reference / name).read_bytes()
        if name.endswith("zarr.json"):
            assert metadata_but_for_time(ours) == metadata_but_for_time(theirs), name
        elif tells_of_command(Path(name)):
            stage = Path(name).parts[1]
            copies = (JournalFiles(path).read_copies(stage) for path in (store, reference))
            ours_of, theirs_of = (
                {p: metadata_but_for_time(t.encode()) for p, t in each.items()} for each in copies
            )
            assert ours_of == theirs_of, name
        else:
            same = ours == theirs  # a name of its own: pytest would print megabytes
            assert same, name
    assert_alone(store)


def tells_of_command(name: Path) -> bool:
    """Tell whether a file of a store is one of the copies of metadata, in which time and command are too."""
    return name.match("journal/*/metadata/c.0")


def assert_alone(store: Path) -> None:
    """Assert that nothing lies beside the store."""
    left = sorted(str(path.relative_to(store.parent)) for path in store.parent.rglob("*"))
    assert [name for name in left if not name.startswith(store.name + "/")] == [store.name]


def _listing(store: Path) -> set[str]:
    return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}


def metadata_but_for_time(text: bytes) -> dict[str, object]:
    """Read the metadata of a group or array, without what tells one run from another of the same kind."""
    metadata: dict[str, object] = json.loads(text)
    attributes = metadata.get("attributes")
    provenance = attributes.get("provenance") if isinstance(attributes, dict) else None
    if provenance:
        for key in ("time", "command"):
            provenance.pop(key)
    return metadata
