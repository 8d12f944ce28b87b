"""Trajectory files that are removed or changed while they are read: an error, and never a mixture."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import pytest

from actions import LosingDisk
from conftest import EXAMPLE
from faults import assert_alone, assert_same
from twopass_store import ingest_trajectories
from twopass_store.errors import TrajectoryError
from twopass_store.journal import Writer, ledger

XTC, TOP = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"


def remove(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    """Put another trajectory of as many frames there."""
    other = path.with_name("other.xtc")
    md.load(str(path), top=str(TOP))[::-1].save_xtc(str(other))
    other.replace(path)


@pytest.mark.parametrize("lose", [remove, cut_short, replace])
@pytest.mark.parametrize("number", [2])
def test_input_lost_in_the_middle__is_an_error_and_never_a_mixture(
    lose: Callable[[Path], None], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "COMMIT_SECONDS", 0.0)
    folder = tmp_path / "in"
    folder.mkdir()
    for copy in range(6):
        shutil.copy2(XTC, folder / f"{copy}.xtc")

    def ingest(store: Path) -> object:
        return ingest_trajectories(store, str(folder / "*.xtc"), top=TOP, workers=1)

    reference, store = tmp_path / "reference" / "s.zarr", tmp_path / "lost" / "s.zarr"
    for each in (reference, store):
        each.parent.mkdir()
    counting = LosingDisk(0, lambda: None)
    monkeypatch.setattr(Writer, "disk", counting)
    ingest(reference)
    at = counting.n_steps // 2
    while not (store / "position" / "c.0.0.0").exists():  # the first chunk is there, and the last isn't
        shutil.rmtree(store, ignore_errors=True)
        monkeypatch.setattr(Writer, "disk", LosingDisk(at, lambda: lose(folder / f"{number}.xtc")))
        with pytest.raises(TrajectoryError, match=f"{number}.xtc"):
            ingest(store)
        shutil.copy2(XTC, folder / f"{number}.xtc")
        at += 5
    assert_alone(store)
    monkeypatch.setattr(Writer, "disk", LosingDisk(0, lambda: None))
    ingest(store)
    assert_same(store, reference)


def test_input_overwritten_in_place__is_never_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of the other content, at the places of those of the first."""
    monkeypatch.setattr(ledger, "COMMIT_SECONDS", 0.0)
    example = md.load(str(XTC), top=str(TOP))
    source, other = tmp_path / "md.dcd", tmp_path / "other.dcd"
    frames = md.join([example] * 10)
    frames.save_dcd(str(source))
    frames[::-1].save_dcd(str(other))
    kept = tmp_path / "kept.dcd"
    shutil.copy2(source, kept)

    def ingest(store: Path) -> object:
        return ingest_trajectories(store, source, top=TOP, workers=1)

    reference = tmp_path / "reference" / "s.zarr"
    reference.parent.mkdir()
    counting = LosingDisk(0, lambda: None)
    monkeypatch.setattr(Writer, "disk", counting)
    ingest(reference)
    for share in (0.4, 0.5):  # later, all frames may have been read
        store = tmp_path / "lost" / "s.zarr"
        store.parent.mkdir()
        lose = LosingDisk(int(share * counting.n_steps), lambda: shutil.copyfile(other, source))
        monkeypatch.setattr(Writer, "disk", lose)
        with pytest.raises(TrajectoryError, match=r"md\.dcd"):
            ingest(store)
        shutil.copy2(kept, source)
        monkeypatch.setattr(Writer, "disk", LosingDisk(0, lambda: None))
        ingest(store)
        assert_same(store, reference)
        shutil.rmtree(store.parent)
