"""Cuts, scans and structures that break off at any write, and are asked for again: the same bytes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import EXAMPLE
from faults import tells_of_command
from twopass_store import (
    adopt_leaders,
    cluster_subset,
    ingest_trajectories,
    open_results,
    recut_clustering,
    scan_cuts,
)
from twopass_store.store import Store

ACTIONS: dict[str, Callable[[Path], Any]] = {
    "recut": lambda store: recut_clustering(store, name="base", new_name="new", n_clusters=6),
    "gromos": lambda store: cluster_subset(store, name="new", stride=40, method="gromos", cutoff="0.7A"),
    "auto": lambda store: cluster_subset(store, name="new", stride=40, n_clusters="auto", linkage="ward"),
    "scan": lambda store: scan_cuts(store, stride=40, n_clusters="2:6"),
    "structures": lambda store: adopt_leaders(store, EXAMPLE / "alanine-dipeptide.pdb", name="new"),
}


class BrokenOffError(Exception):
    pass


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuts")
    top = EXAMPLE / "alanine-dipeptide.pdb"
    ingest_trajectories(folder / "s.zarr", EXAMPLE / "alanine-dipeptide.xtc", top=top)
    cluster_subset(folder / "s.zarr", name="base", stride=40, n_clusters=3)
    return folder


def data(store: Path) -> dict[str, bytes]:
    files = (file for file in sorted(store.rglob("c.*")) if not tells_of_command(file))
    return {str(file.relative_to(store)): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ACTIONS)
def test_broken_off_at_any_write__and_asked_for_again_gives_the_same_bytes(
    name: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = ACTIONS[name]
    write = Store.write_chunk
    n_written = 0
    fails_at: int | None = None

    def writes(self: Store, *arguments: Any, **options: Any) -> Any:
        nonlocal n_written
        if n_written == fails_at:
            raise BrokenOffError
        n_written += 1
        return write(self, *arguments, **options)

    monkeypatch.setattr(Store, "write_chunk", writes)
    shutil.copytree(base, tmp_path / "whole")
    act(tmp_path / "whole" / "s.zarr")
    expected, n_writes = data(tmp_path / "whole" / "s.zarr"), n_written
    assert n_writes > 6
    for fails_at in range(0, n_writes, max(1, n_writes // 4)):
        n_written = 0
        store = tmp_path / f"broken{fails_at}" / "s.zarr"
        shutil.copytree(base, store.parent)
        with pytest.raises(BrokenOffError):
            act(store)
        # Before the ledger's last write, the arrays are complete already.
        if name != "scan" and fails_at < n_writes - 1:
            with pytest.raises(Exception, match="no finished clustering 'new'"):
                open_results(store, "new")
        fails_at, n_written = None, 0
        act(store)
        assert data(store) == expected
        shutil.rmtree(store.parent)
