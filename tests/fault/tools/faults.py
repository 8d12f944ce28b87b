"""Runs of the command that are stopped in the middle, and what may have become of the store after them."""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md
import numpy as np
import xarray as xr

from twopass_store.journal import Plan
from twopass_store.store import Store

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

UNITS = "position", "rmsd", "label", "label_status", "leader_index", "rmsd_to_leader", "second_label"
"""Arrays whose chunks are units."""

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """One command on one store.

    Attributes
    ----------
    name
        Of the command.
    options
        What follows the store on the command line.
    lock
        Name of the lock that is held while it works.
    """

    name: str
    options: tuple[str, ...]
    lock: str

    def start(
        self, store: Path, *, commit_seconds: float | None = None, write_seconds: float = 0.0
    ) -> subprocess.Popen[str]:
        """Start the command; its ledger written that often, and every write taking so much longer."""
        command = [COMMAND]
        if commit_seconds is not None:
            command = [sys.executable, "-c", _PACED, str(commit_seconds), str(write_seconds)]
        return subprocess.Popen(
            [*command, self.name, str(store), *self.options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=store.parent,
        )

    def works(self, process: subprocess.Popen[str], store: Path) -> bool:
        """Tell whether the process holds the lock: its imports and its plan are behind it."""
        try:
            holder = json.loads(lock_file(store, self.lock).read_text())
        except (OSError, ValueError):
            return False
        return bool(holder["pid"] == process.pid)


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


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool], *, seconds: float = 120) -> bool:
    """Wait until the condition holds; False where the process ended first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "nothing to be seen of what was waited for"
        time.sleep(0.001)
    return True


def stamps(files: Sequence[Path]) -> dict[Path, Stamp]:
    """Return what changes with every write of a file, as each write makes a new one and renames it."""
    found = {}
    for file in files:
        with suppress(FileNotFoundError):
            status = file.stat()
            found[file] = status.st_ino, status.st_mtime_ns
    return found


def recorded_units(path: Path, stages: Sequence[str] | None = None) -> dict[Path, Stamp]:
    """Return the files of units in the ledgers of stages, by default of all."""
    if not Store.exists(path):
        return {}
    store = Store.open(path)
    files: list[Path] = []
    for name in store.members("journal") if stages is None else stages:
        journal = store.journal(name)
        for product in () if journal is None else journal.plan.products:
            if product.path.rpartition("/")[2] in UNITS:
                chunks = np.flatnonzero(journal.done(product.path))
                rest = ".0.0" if product.path == "position" else ""
                files += [path / product.path / f"c.{chunk}{rest}" for chunk in chunks]
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
        # A name of its own: pytest would print megabytes.
        same = content_but_for_time(store / name) == content_but_for_time(reference / name)
        assert same, name
    assert_alone(store)


def assert_alone(store: Path) -> None:
    """Assert that nothing lies beside the store."""
    left = sorted(str(path.relative_to(store.parent)) for path in store.parent.rglob("*"))
    assert [name for name in left if not name.startswith(store.name + "/")] == [store.name]


def _listing(store: Path) -> set[str]:
    return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}


def content_but_for_time(file: Path) -> object:
    """Read a file of a store, without what tells one run from another of the same kind."""
    return _metadata_but_for_time(file.read_bytes()) if file.name == "zarr.json" else file.read_bytes()


def _metadata_but_for_time(text: bytes) -> dict[str, object]:
    metadata: dict[str, object] = json.loads(text)
    attributes = metadata.get("attributes")
    provenance = attributes.get("provenance") if isinstance(attributes, dict) else None
    if provenance:
        for key in ("time", "command"):
            provenance.pop(key)
    if isinstance(attributes, dict) and "plan" in attributes:
        plan = Plan.from_json(attributes.pop("plan"))
        kept = {path: _metadata_but_for_time(text.encode()) for path, text in plan.metadata.items()}
        metadata["plan"] = plan.with_metadata({}), kept
    return metadata
