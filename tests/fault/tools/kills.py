"""Commands that are killed at a chosen step, and what each should have made of its store in the end."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mdtraj as md
import numpy as np

from conftest import EXAMPLE
from faults import content_but_for_time
from forked import Forked

# A store of 510 frames has 16 chunks of positions, 4 of labels, and 3 of the distances of 100 frames.
CHUNKS = {"position_bytes": 1 << 14, "frames": 128, "pairs": 2048}

UNITS = ("position", "rmsd", "cover_label", "label", "second_label")
"""Arrays of which a chunk is written once for each unit."""

TOP = EXAMPLE / "alanine-dipeptide.pdb"

Moment = tuple[str, str, str]
"""Step, phase and path; see `SteppingDisk`."""


@dataclass(frozen=True)
class Scenario:
    """A command to be killed.

    Attributes
    ----------
    name
        What it does.
    base
        The folder that it finds, see `BASES`.
    arguments
        Its arguments; ``{in}`` is the folder with the trajectories.
    workers
        Numbers of workers to run it with; ``--workers`` isn't given where there are none.
    """

    name: str
    base: str
    arguments: str
    workers: tuple[int, ...] = (1, 2)

    @property
    def begins_anew(self) -> bool:
        """Whether it doesn't go on where a kill has stopped it."""
        return "--restart" in self.arguments or self.name == "rename"

    @property
    def in_flight(self) -> int:
        """Units that each worker has under way at any moment, at most."""
        # A worker of ingest writes two, and one more waits for them.
        return 3 if self.arguments.split()[0] in ("ingest", "run") else 1


INGEST = "ingest run.zarr {in}/a.xtc {in}/b.xtc --top {in}/top.pdb"
APPEND = "ingest run.zarr {in}/growing.xtc {in}/b.xtc --append"
CLUSTER = "cluster run.zarr --stride 5"
SCAN = "scan run.zarr --stride 5 --n-clusters 2:6"
COVER = "assign run.zarr --cover 0.5A"
EXPORT = "export run.zarr coordinates --overwrite"

# The folder before a scenario: the one that it is made of, and commands.
BASES: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "empty": (None, ()),
    "ingested": ("empty", (f"{INGEST} --workers 1",)),
    "clustered": ("ingested", (f"{CLUSTER} --n-clusters 4",)),
    "labelled": ("clustered", ("assign run.zarr --margin",)),
    "cut twice": ("labelled", ("recut run.zarr --as fine --n-clusters 6", "assign run.zarr --name fine")),
    "to append": (
        "empty",
        (
            "ingest run.zarr {in}/growing.xtc --top {in}/top.pdb --workers 1",
            "cluster run.zarr --stride 3 --n-clusters 4",
            f"{COVER} --margin",
        ),
    ),
    "appended": ("to append", (f"{APPEND} --workers 1",)),
    "exported": (
        "labelled",
        ("export run.zarr coordinates --to out.xtc --frames ::3 --top-to top.pdb",),
    ),
    "configured": ("empty", ()),
    "damaged": ("labelled", ()),
    "to move": ("empty", ("ingest run.zarr {in}/here/a.xtc {in}/here/b.xtc --top {in}/here/top.pdb",)),
}

SCENARIOS = (
    Scenario("ingest", "empty", INGEST),
    Scenario("append", "to append", APPEND),
    Scenario("cluster", "ingested", f"{CLUSTER} --n-clusters 4"),
    Scenario("assign with cover and margins", "clustered", f"{COVER} --cover-link --margin"),
    Scenario("cluster by gromos", "ingested", f"{CLUSTER} --method gromos --cutoff 0.7A"),
    Scenario("cluster all frames", "ingested", "cluster run.zarr --method gromos --cutoff 0.7A --all-frames"),
    Scenario("assign what was appended", "appended", f"{COVER} --margin"),
    Scenario("scan", "clustered", f"{SCAN} --linkage average --linkage ward"),
    Scenario("recut", "labelled", "recut run.zarr --as fine --n-clusters 6"),
    Scenario("assign anew", "labelled", "assign run.zarr --noise-cutoff 0.8A --restart"),
    Scenario("cluster anew", "labelled", f"{CLUSTER} --n-clusters 4 --restart"),
    Scenario("ingest anew", "labelled", f"{INGEST} --stride 2 --restart"),
    Scenario("cluster by rows", "ingested", f"{CLUSTER} --linkage-input rows --n-clusters auto"),
    Scenario("recut anew", "cut twice", "recut run.zarr --name default --as fine --n-clusters 5 --restart"),
    Scenario("assign to structures", "clustered", "assign run.zarr --name own --leaders {in}/top.pdb"),
    Scenario("relocate", "to move", "relocate run.zarr {in}/here {in}/there", workers=()),
    Scenario("rename", "cut twice", "rename run.zarr --name fine --to thin", workers=()),
    Scenario("export", "exported", f"{EXPORT} --to out.xtc --top-to top.pdb", workers=()),
    Scenario("repair", "damaged", "repair run.zarr", workers=()),
    Scenario("run", "configured", "run config.toml", workers=()),
)


@dataclass(frozen=True)
class Ended:
    """A command that ended, however: its exit code, what it said, and its moments; the last is a kill's."""

    code: int
    said: str
    moments: list[Moment]

    @property
    def was_killed(self) -> bool:
        """Whether it was; asserts that it ended well where not."""
        assert self.code in (0, -signal.SIGKILL), f"exit {self.code}\n{self.said}"
        return self.code != 0

    def units(self) -> list[str]:
        """List the chunks of units that it put in their place, in their order; ledgers among them."""
        return [
            path.partition("/run.zarr/")[2]
            for step, phase, path in self.moments
            if (step, phase) == ("rename", "after") and _is_unit_or_ledger(Path(path))
        ]


def _is_unit_or_ledger(path: Path) -> bool:
    return path.name.startswith("c.") and path.parent.name in (*UNITS, "ledger")


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run: the folder that it left, its moments, its time."""

    folder: Path
    moments: list[Moment]
    seconds: float


@dataclass
class Bench:
    """Runs commands, and keeps the folders that scenarios begin with and should end with."""

    root: Path
    _forked: Forked
    _bases: dict[str, Path] = field(default_factory=dict)
    _references: dict[tuple[str, int | None], Reference] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        return self.root / "in"

    def base(self, name: str) -> Path:
        """Return the folder with that name, made at the first call."""
        if name not in self._bases:
            before, commands = BASES[name]
            folder = self.root / "bases" / name.replace(" ", "-")
            if before is None:
                folder.mkdir(parents=True)
            else:
                shutil.copytree(self.base(before), folder)
            if name == "configured":
                (folder / "config.toml").write_text(_CONFIG.format(**{"in": self.inputs}))
            if name == "damaged":
                (folder / "run.zarr/position/c.3.0.0").unlink()
                for damaged in ("subsets/stride5-*/rmsd/c.1", "clusterings/default/label/c.1"):
                    for file in (folder / "run.zarr").glob(damaged):
                        file.write_bytes(file.read_bytes()[:-1])
            for each in commands:
                assert not self.run(folder, self.words(each)).was_killed
            if name == "to append":
                _write(self.inputs / "growing.xtc", first=0, n_frames=420)
            self._bases[name] = folder
        return self._bases[name]

    def reference(self, scenario: Scenario, workers: int | None) -> Reference:
        """Return what an uninterrupted run does, made at the first call."""
        key = (scenario.name, workers)
        if key not in self._references:
            folder = self.copy(scenario, self.root / "references" / f"{scenario.name}-{workers}")
            began = time.monotonic()
            ended = self.run(folder, self.words(scenario.arguments, workers))
            assert not ended.was_killed
            self._references[key] = Reference(folder, ended.moments, time.monotonic() - began)
        return self._references[key]

    def copy(self, scenario: Scenario, folder: Path) -> Path:
        """Put the folder that a scenario begins with somewhere."""
        shutil.copytree(self.base(scenario.base), folder)
        return folder

    def words(self, arguments: str, workers: int | None = None) -> list[str]:
        """Return the words of a command line."""
        words = arguments.format(**{"in": self.inputs}).split()
        return [*words, *([] if workers is None else ["--workers", str(workers)])]

    def run(
        self,
        folder: Path,
        words: list[str],
        *,
        kill_at: int | None = None,
        kill_after: float | None = None,
        commit_seconds: float = 0.0,
    ) -> Ended:
        """Run a command in a folder; see `Forked.command` and `SteppingDisk`."""
        log = self.root / "log.txt"
        log.unlink(missing_ok=True)
        done: subprocess.CompletedProcess[str] = self._forked.command(
            *words,
            cwd=folder,
            kill_after=kill_after,
            log=str(log),
            kill_at=kill_at,
            commit_seconds=commit_seconds,
        )
        lines = log.read_text().splitlines() if log.exists() else []
        moments = [(step, phase, path) for step, phase, path in (line.split("\t") for line in lines)]
        return Ended(done.returncode, done.stdout + done.stderr, moments)


@contextmanager
def opened_bench(folder: Path) -> Iterator[Bench]:
    """Start the process that forks, and write the inputs."""
    for name, (first, n_frames) in {"a": (0, 300), "b": (300, 210), "growing": (0, 300)}.items():
        _write(folder / "in" / f"{name}.xtc", first=first, n_frames=n_frames)
    shutil.copy(TOP, folder / "in" / "top.pdb")
    for place in ("here", "there"):
        (folder / "in" / place).mkdir()
        for name in ("a.xtc", "b.xtc", "top.pdb"):
            (folder / "in" / place / name).hardlink_to(folder / "in" / name)
    with Forked(CHUNKS) as forked:
        yield Bench(folder, forked)


def _write(path: Path, *, first: int, n_frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    xyz = md.load(str(EXAMPLE / "alanine-dipeptide.xtc"), top=str(TOP))[:: 4000 // 800].xyz
    time = np.arange(first, first + n_frames, dtype=np.float32)
    temporary = path.with_suffix(".part")
    with md.formats.XTCTrajectoryFile(str(temporary), "w") as file:
        file.write(xyz[first : first + n_frames], time=time)
    temporary.replace(path)


_CONFIG = """
store = "run.zarr"

[ingest]
trajectories = ["{in}/a.xtc", "{in}/b.xtc"]
top = "{in}/top.pdb"
workers = 1

[cluster]
stride = 5
n_clusters = 4

[assign]
margin = true
"""


def differences(found: Path, expected: Path) -> list[str]:
    """List what two folders differ in, files byte by byte, but for time and command in the provenance."""
    ours, theirs = _tree(found), _tree(expected)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name, 0) != theirs.get(name, 0))


def _tree(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else content_but_for_time(path)
        for path in folder.rglob("*")
    }
