"""Arrays without the plan that made them are damage: nothing is removed or made anew without a restart."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import EXAMPLE
from twopass_store import assign_frames, cluster_subset, ingest_trajectories
from twopass_store.errors import CorruptChunkError
from twopass_store.store import Store

TOP = EXAMPLE / "alanine-dipeptide.pdb"


def ingest(path: Path, *, restart: bool = False) -> object:
    return ingest_trajectories(path, EXAMPLE / "alanine-dipeptide.xtc", top=TOP, restart=restart)


def cluster(path: Path, *, restart: bool = False) -> object:
    return cluster_subset(path, stride=20, n_clusters=3, workers=1, restart=restart)


def assign(path: Path, *, restart: bool = False) -> object:
    return assign_frames(path, margin=True, workers=1, restart=restart)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "s.zarr"
    for stage in (ingest, cluster, assign):
        stage(path)
    return path


@pytest.mark.parametrize(
    ("lost", "stage", "is_mended"),
    [
        ("ingest", ingest, True),
        ("ingest", cluster, False),
        ("ingest", assign, False),
        ("", ingest, True),
        ("", assign, False),
        ("clustering-default", cluster, True),
        ("clustering-default", assign, False),
        ("assign-default", assign, True),
        ("margin-default", assign, True),
    ],
)
def test_stage__refuses_arrays_without_a_plan(
    finished: Path, tmp_path: Path, lost: str, stage: Callable[..., object], is_mended: bool
) -> None:
    path = tmp_path / "s.zarr"
    shutil.copytree(finished, path)
    shutil.rmtree(path / "journal" / lost)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(CorruptChunkError, match="is there, but not its plan"):
        stage(path)
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if is_mended:
        stage(path, restart=True)
        assert {"position", *(("clusterings",) if stage is not ingest else ())} <= set(
            Store.open(path).members("")
        )
        stage(path)
