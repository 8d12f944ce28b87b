"""A real disk that is too small, or not ours to write to: one line, and the same bytes once it is mended."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
    export_representatives,
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
    ("stage", "workers", "shares"),
    [
        ("ingest", 2, [0.5]),
        ("cluster", 1, [0.4]),
        ("assign", 2, [0.5]),
        *(
            pytest.param(stage, workers, [number / 25 for number in range(25)], marks=pytest.mark.slow)
            for stage in ("ingest", "cluster", "assign")
            for workers in (1, 2)
        ),
    ],
)
def test_full_disk__is_one_line_and_resumes_with_more_space(
    stage: str,
    workers: int,
    shares: Sequence[float],
    files: Path,
    small_disk: SmallDisk,
    tmp_path: Path,
    twopass: Twopass,
) -> None:
    before = {"cluster": "ingest", "assign": "cluster"}.get(stage)
    options = command_of(stage, files, workers)
    for share in shares:
        store = small_disk.path / "s.zarr"
        small_disk.resize(65_536)
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
        shutil.rmtree(store)


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
    export_representatives(store, folder / "medoids.pdb", kind="medoids")
    export_coordinates(store, folder / "c1.xtc", cluster="C1")
    relocate_trajectories(store, files, files, dry_run=True)
    assert ingest_trajectories(store, str(files / "*.xtc"), top=TOP).n_frames_computed == 0
    assert cluster_subset(store, subset_frames=1_600, n_clusters=4).was_complete
    assert assign_frames(store).n_frames_computed == 0


# Exports to disks of many sizes: each is whole, or an error and no file. In a process of its own, since C
# code that is refused a write may take its process down.
_EXPORTS = """
import json, shutil, subprocess, sys
from pathlib import Path
import mdtraj as md, numpy as np
from twopass_store import export_coordinates
from twopass_store.errors import TwopassError

store, disk, target, top, n_sizes = sys.argv[1:]
disk, whole, target = Path(disk), Path(target), Path(disk) / Path(target).name
needs_top = not target.name.endswith((".h5", ".pdb", ".pdb.gz", ".gro", ".cif", ".cif.gz"))

def export(path):
    export_coordinates(store, path, frames=range(300))

def loaded(path):
    return md.load(str(path), **({"top": top} if needs_top else {}))

export(whole)
kib = -(-whole.stat().st_size // 1024)
told = []
for number in range(int(n_sizes)):
    size = 4 + 4 * (kib * number // int(n_sizes) // 4)
    subprocess.run(["mount", "-o", f"remount,size={size}k", disk], check=True)
    try:
        export(target)
    except TwopassError as error:
        told.append(type(error).__name__)
        assert not list(disk.iterdir()), (size, list(disk.iterdir()))
    else:
        assert np.array_equal(loaded(target).xyz, loaded(whole).xyz), size
        told.append("whole")
        target.unlink()
print(json.dumps(told))
"""
EXTENSIONS = ("xtc", "trr", "dcd", "h5", "nc", "mdcrd", "gro", "xyz", "xyz.gz", "pdb", "pdb.gz", "cif")


@pytest.mark.parametrize(
    ("extension", "n_sizes"),
    [(extension, 3) for extension in ("dcd", "h5", "nc")]
    + [pytest.param(extension, 40, marks=pytest.mark.slow) for extension in EXTENSIONS],
)
def test_export_to_a_full_disk__is_an_error_or_whole(
    extension: str, n_sizes: int, files: Path, small_disk: SmallDisk, tmp_path: Path
) -> None:
    store, target = files / "assign" / "s.zarr", tmp_path / f"whole.{extension}"
    done = subprocess.run(
        [sys.executable, "-c", _EXPORTS, store, small_disk.path, target, TOP, str(n_sizes)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told[0] == "StoreWriteError"
    assert set(told) <= {"StoreWriteError", "whole"}, told
