"""A real disk that is too small, or not ours to write to: one line, and the same bytes once it is mended."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import EXAMPLE, Twopass
from faults import assert_same
from twopass_store import (
    assign_frames,
    cluster_subset,
    compare_labels,
    export_coordinates,
    export_structures,
    ingest_trajectories,
    open_results,
    relocate_trajectories,
    scan_cuts,
    store_status,
    summarize,
)

XTC, TOP = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory."""

    path: Path

    def resize(self, kib: int) -> None:
        self._remount(f"size={kib}k")

    def set_read_only(self, *, read_only: bool) -> None:
        self._remount("ro" if read_only else "rw")

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", path], capture_output=True, text=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("file systems can't be mounted here, which takes root")
    yield SmallDisk(path)
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32,000 frames in 8 files, and the store after each stage, as ``<stage>/s.zarr``."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(8):
        shutil.copy(XTC, folder / f"{number}.xtc")
    store = folder / "ingest" / "s.zarr"
    store.parent.mkdir()
    ingest_trajectories(store, str(folder / "*.xtc"), top=TOP, workers=1)
    cluster_subset(_copied(store, folder / "cluster"), subset_frames=1_600, n_clusters=4, workers=1)
    assign_frames(_copied(folder / "cluster" / "s.zarr", folder / "assign"), workers=1)
    return folder


def _copied(store: Path, folder: Path) -> Path:
    shutil.copytree(store, folder / store.name)
    return folder / store.name


def command_of(stage: str, files: Path, workers: int) -> list[str]:
    options = {
        "ingest": [str(files / "*.xtc"), "--top", str(TOP)],
        "cluster": ["--subset-frames", "1600", "--n-clusters", "4"],
        "assign": [],
    }
    return [*options[stage], "--workers", str(workers), "-q"]


def kib_of(folder: Path) -> int:
    return int(subprocess.run(["du", "-sk", folder], capture_output=True, check=True).stdout.split()[0])


@pytest.mark.parametrize(
    ("stage", "workers", "share"),
    [
        ("ingest", 2, 0.5),
        ("cluster", 1, 0.4),
        ("assign", 2, 0.5),
    ],
)
def test_full_disk__is_one_line_and_resumes_with_more_space(
    stage: str, workers: int, share: float, files: Path, small_disk: SmallDisk, twopass: Twopass
) -> None:
    before = {"cluster": "ingest", "assign": "cluster"}.get(stage)
    options = command_of(stage, files, workers)
    store = small_disk.path / "s.zarr"
    needed = kib_of(_copied(files / stage / "s.zarr", small_disk.path))
    shutil.rmtree(store)
    if before is not None:
        shutil.copytree(files / before / "s.zarr", store)
    used = kib_of(small_disk.path)
    small_disk.resize(int(used + share * (needed - used)) // 4 * 4 + 4)
    refused = twopass(stage, store, *options, code=10)
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert "No space left on device" in refused.stderr
    assert [path for path in small_disk.path.iterdir() if path != store] == []
    small_disk.resize(65_536)
    twopass(stage, store, *options)
    assert_same(store, files / stage / "s.zarr")


def test_read_only_disk__can_be_read(
    files: Path, small_disk: SmallDisk, tmp_path: Path, twopass: Twopass
) -> None:
    store = small_disk.path / "s.zarr"
    shutil.copytree(files / "assign" / "s.zarr", store)
    scan_cuts(store, stride=20, n_clusters="2:4")
    small_disk.set_read_only(read_only=True)
    assert_read(store, files, tmp_path)
    twopass("status", store)
    for arguments in (
        ["assign", store, "--margin", "-q"],
        ["export", store, "coordinates", "--to", small_disk.path / "c1.dcd", "-q"],
    ):
        refused = twopass(*arguments, code=10)
        assert "Read-only file system" in refused.stderr
        assert refused.stderr.count("\n") == 1


def assert_read(store: Path, files: Path, folder: Path) -> None:
    """Assert that whatever only reads does so, and what finds all done too."""
    labels = folder / "labels.dat"
    labels.write_text("1\n2\n" * 16_000)
    assert store_status(store).n_frames == 32_000
    assert summarize(store, convergence=True).sizes["cluster"]
    assert open_results(store).label.values.min() == 1
    assert compare_labels(store, labels)
    scan_cuts(store, stride=20, n_clusters="2:4")
    export_structures(store, folder / "medoids.pdb")
    export_coordinates(store, folder / "c1.xtc", cluster=1)
    relocate_trajectories(store, files, files, dry_run=True)
    assert ingest_trajectories(store, str(files / "*.xtc"), top=TOP).n_frames_computed == 0
    assert cluster_subset(store, subset_frames=1_600, n_clusters=4).was_complete
    assert assign_frames(store).n_frames_computed == 0
