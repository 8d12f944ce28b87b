"""Commands that are killed at a chosen step, and what each should have made of its store in the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
import zarr

from conftest import EXAMPLE, command
from faults import metadata_but_for_time

HOOKS = Path(__file__).parent / "hooks"
VARIABLE = "TWOPASS_FAULT"

# A store of 510 frames has 16 chunks of positions, 4 of labels, and 3 of the distances of 100 frames.
CHUNKS = {"POSITION_CHUNK_BYTES": 1 << 14, "FRAME_CHUNK": 128, "PAIR_CHUNK": 2048}

UNITS = ("position", "rmsd", "label", "second_label")
"""Arrays of which a chunk is written once for each unit."""

MOST = "most at one kill"
"""A number in the tallies of kills of which the largest counts, not the sum."""

TOP = EXAMPLE / "alanine-dipeptide.pdb"


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
    def stage(self) -> str:
        """The command's name."""
        return self.arguments.split()[0]

    @property
    def is_restart(self) -> bool:
        """Whether it discards something first."""
        return "--restart" in self.arguments


INGEST = "ingest run.zarr {in}/a.xtc {in}/b.xtc --top {in}/top.pdb"
APPEND = "ingest run.zarr {in}/growing.xtc {in}/b.xtc --append"
CLUSTER = "cluster run.zarr --stride 5"
SCAN = "scan run.zarr --stride 5 --n-clusters 2:6"
EXPORT = "export run.zarr coordinates --overwrite"

# The folder before a scenario: the one that it is made of, and commands, one of which may end with an error.
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
            "assign run.zarr --margin",
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
    Scenario("assign with margins", "clustered", "assign run.zarr --margin"),
    Scenario("cluster by gromos", "ingested", f"{CLUSTER} --method gromos --cutoff 0.7A"),
    Scenario("assign what was appended", "appended", "assign run.zarr --margin"),
    Scenario("scan", "clustered", f"{SCAN} --linkage average --linkage ward"),
    Scenario("recut", "labelled", "recut run.zarr --as fine --n-clusters 6"),
    Scenario("assign anew", "labelled", "assign run.zarr --noise-cutoff 0.8A --restart"),
    Scenario("cluster anew", "labelled", f"{CLUSTER} --linkage ward --n-clusters 3 --restart"),
    Scenario("ingest anew", "labelled", f"{INGEST} --stride 2 --restart"),
    Scenario("cluster by rows", "ingested", f"{CLUSTER} --linkage-input rows --n-clusters auto"),
    Scenario("recut anew", "cut twice", "recut run.zarr --name default --as fine --n-clusters 5 --restart"),
    Scenario("assign to structures", "clustered", "assign run.zarr --name own --leaders {in}/top.pdb"),
    Scenario("relocate", "to move", "relocate run.zarr {in}/here {in}/there", workers=()),
    Scenario("export", "exported", f"{EXPORT} --to out.xtc --top-to top.pdb", workers=()),
    Scenario("repair", "damaged", "repair run.zarr", workers=()),
    Scenario("run", "configured", "run config.toml", workers=()),
)


@dataclass
class Ended:
    """A process that ended, however: its exit code, what it said, its moments, and where it was killed."""

    code: int
    said: str
    moments: list[tuple[str, ...]]
    killed_at: tuple[str, ...] | None
    seconds: float

    def units(self) -> list[str]:
        """List the chunks of units that it put in their place, in their order; ledgers among them."""
        return [
            target.partition("/run.zarr/")[2]
            for _, _, step, phase, target in self.moments
            if step == "rename" and phase == "after" and _is_unit_or_ledger(Path(target))
        ]


def _is_unit_or_ledger(path: Path) -> bool:
    return path.name.startswith("c.") and path.parent.name in (*UNITS, "ledger")


@dataclass
class Reference:
    """An uninterrupted run: the folder that it left, its moments by role, its time."""

    folder: Path
    moments: dict[str, list[tuple[str, ...]]]
    seconds: float


@dataclass
class Bench:
    """Runs commands, and keeps the folders that scenarios begin with and should end with."""

    root: Path
    _warm: "subprocess.Popen[str]"
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
                ended = self.run(folder, self.words(each))
                assert ended.code == 0, ended.said
            if name == "to append":
                _write(self.inputs / "growing.xtc", first=0, n_frames=420)
            self._bases[name] = folder
        return self._bases[name]

    def reference(self, scenario: Scenario, workers: int | None) -> Reference:
        """Return what an uninterrupted run does, made at the first call."""
        key = (scenario.name, workers)
        if key not in self._references:
            folder = self.copy(scenario, self.root / "references" / f"{scenario.name}-{workers}")
            ended = self.run(folder, self.words(scenario.arguments, workers), follow=True)
            assert ended.code == 0, ended.said
            moments: dict[str, list[tuple[str, ...]]] = {}
            for role, *moment in ended.moments:
                moments.setdefault(role, []).append(tuple(moment))
            self._references[key] = Reference(folder, moments, ended.seconds)
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
        kill: tuple[str, int] | None = None,
        delay: float | None = None,
        commit_seconds: float = 0.0,
        follow: bool = False,
        as_installed: bool = False,
    ) -> Ended:
        """Run a command in a folder.

        Parameters
        ----------
        folder
            Where.
        words
            The command's.
        kill
            Role and number of the moment at which that process kills itself, as in `fault_hook`.
        delay
            After how many seconds it is killed.
        commit_seconds
            Time between two writes of a ledger.
        follow
            Log the lines of code that handle locks and exported files too.
        as_installed
            Start the command itself, instead of a child of the process that has imported all.
        """
        log = self.root / "log.txt"
        for left in (log, log.with_suffix(".fuse")):
            left.unlink(missing_ok=True)
        said = self.root / "said.txt"
        settings = {
            "log": str(log),
            "chunks": CHUNKS,
            "commit_seconds": commit_seconds,
            "follow": follow,
            "kill": kill,
        }
        asked = {"cwd": str(folder), "arguments": words, "said": str(said), "delay": delay}
        asked["settings"] = settings
        answer = _run_installed(asked) if as_installed else self._run_warm(asked)
        moments, killed_at = _read_log(log)
        return Ended(answer["code"], said.read_text(), moments, killed_at, answer["seconds"])

    def _run_warm(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._warm.stdin is not None and self._warm.stdout is not None
        print(json.dumps(asked), file=self._warm.stdin, flush=True)
        line = self._warm.stdout.readline()
        assert line, (self.root / "warm.txt").read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def opened_bench(folder: Path) -> Iterator[Bench]:
    """Start the process that imports all, and write the inputs."""
    for name, frames in {"a": (0, 300), "b": (300, 210), "growing": (0, 300), "far": (510, 100)}.items():
        _write(folder / "in" / f"{name}.xtc", first=frames[0], n_frames=frames[1], is_far=name == "far")
    shutil.copy(TOP, folder / "in" / "top.pdb")
    for place in ("here", "there"):
        (folder / "in" / place).mkdir()
        for name in ("a.xtc", "b.xtc", "top.pdb"):
            (folder / "in" / place / name).hardlink_to(folder / "in" / name)
    # Libraries that start threads of their own when they are imported do without.
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    warm = subprocess.Popen(
        [sys.executable, str(HOOKS / "warm.py"), json.dumps({"chunks": CHUNKS})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "warm.txt").open("w"),
        text=True,
        env={**os.environ, **quiet},
    )
    try:
        yield Bench(folder, warm)
    finally:
        warm.communicate(timeout=60)


def _write(path: Path, *, first: int, n_frames: int, is_far: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    xyz = md.load(str(EXAMPLE / "alanine-dipeptide.xtc"), top=str(TOP))[:: 4000 // 800].xyz
    frames = xyz[first : first + n_frames]
    if is_far:
        # Beyond what 16 bits hold, where the ingest takes no sample when it chooses how to store positions.
        frames = frames.copy()
        frames[70:74, 3] += 40.0
    time = np.arange(first, first + n_frames, dtype=np.float32)
    temporary = path.with_suffix(".part")
    with md.formats.XTCTrajectoryFile(str(temporary), "w") as file:
        file.write(frames.astype(np.float32), time=time)
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


def _run_installed(asked: dict[str, Any]) -> dict[str, Any]:
    path = filter(None, (str(HOOKS), os.environ.get("PYTHONPATH")))
    began = time.monotonic()
    with Path(asked["said"]).open("w") as said:
        process = subprocess.Popen(
            [sys.executable, command(), *asked["arguments"]],
            stdout=said,
            stderr=said,
            cwd=asked["cwd"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), VARIABLE: json.dumps(asked["settings"])},
        )
        try:
            process.wait(asked["delay"] or 240)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return {"code": process.returncode, "seconds": time.monotonic() - began}


def _read_log(log: Path) -> tuple[list[tuple[str, ...]], tuple[str, ...] | None]:
    moments, killed_at = [], None
    for line in log.read_text().splitlines() if log.exists() else ():
        words = tuple(line.split("\t"))
        if words[0] == "KILLED":
            killed_at = words[1:]
        else:
            moments.append(words)
    return moments, killed_at


def was_killed(ended: Ended) -> bool:
    """Tell whether a run was killed; asserts that it ended well, or as it should, where not."""
    assert ended.code in (0, -signal.SIGKILL), f"exit {ended.code}\n{ended.said}"
    return ended.code != 0


def differences(found: Path, expected: Path) -> list[str]:
    """List what two folders differ in, files byte by byte, but for time and command in the provenance."""
    ours, theirs = _tree(found), _tree(expected)
    listed = [f"{name} is missing" for name in sorted(theirs.keys() - ours.keys())]
    listed += [f"{name} is too many" for name in sorted(ours.keys() - theirs.keys())]
    both = sorted(ours.keys() & theirs.keys())
    return listed + [f"{name} differs" for name in both if ours[name] != theirs[name]]


def _tree(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else _content(path) for path in folder.rglob("*")
    }


def _content(path: Path) -> object:
    data = path.read_bytes()
    if path.match("journal/*/metadata/c.0"):
        # Copies of metadata, as texts by the path of what they are of.
        [text] = np.asarray(zarr.open_array(path.parent, mode="r")[:])
        return {name: metadata_but_for_time(copy.encode()) for name, copy in json.loads(text).items()}
    return metadata_but_for_time(data) if path.name == "zarr.json" else data
