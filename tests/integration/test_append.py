"""Frames added to a store: the same as if all had come at once, and what was there stays as it was."""

import json
import warnings
from itertools import pairwise
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from conftest import EXAMPLE, Twopass
from small_chunks import small_chunks
from trajectory_files import make_topology, make_trajectory
from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results, store_status
from twopass_store.errors import (
    ConfigError,
    FingerprintMismatchError,
    StageIncompleteError,
    StoreNotFoundError,
    TrajectoryError,
)
from twopass_store.progress import Silent
from twopass_store.store import Store

TOP = EXAMPLE / "alanine-dipeptide.pdb"
ALONG_FRAME = ("position", "time", "trajectory", "source_frame")
LABELS = ("label", "label_status", "leader_index", "rmsd_to_leader")


@pytest.fixture(scope="module")
def frames() -> md.Trajectory:
    """70,000 frames of alanine dipeptide, as XTC has them."""
    example = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=TOP)
    order = np.random.default_rng(4).integers(0, 4_000, 70_000)
    return md.Trajectory(example.xyz[order], example.topology, time=np.arange(70_000) / 8)


class Stop(Silent):
    """Ends a run at its n-th chunk, as an error would."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks

    def advance(self, amount: int) -> None:
        self.chunks -= 1
        if self.chunks == 0:
            raise InterruptedError


def assert_equal(found: Store, expected: Store) -> None:
    """Assert that the two hold the same frames from the same places, and that the plans are the same."""
    names = [name for name in expected.members("") if expected.has(name) and "zarr" not in name]
    arrays = [name for name in names if name not in ("journal", "subsets", "clusterings")]
    for name in arrays:
        np.testing.assert_array_equal(found.read(name), expected.read(name), err_msg=name)
    assert found.journal("ingest").plan.parameters == expected.journal("ingest").plan.parameters


def test_append__gives_the_same_as_all_at_once_and_leaves_what_is_there(
    frames: md.Trajectory, tmp_path: Path
) -> None:
    """A file grows over the edges of chunks of positions and of labels; two more come."""
    first, grown, more = tmp_path / "1.xtc", tmp_path / "2.xtc", tmp_path / "10.xtc"
    frames[:9_000].save_xtc(first)
    frames[9_000:30_000].save_xtc(grown)
    path = tmp_path / "s.zarr"
    ingest_trajectories(path, [first, grown], top=TOP, select="element != H")
    cluster_subset(path, stride=100, n_clusters=3, workers=1)
    assign_frames(path, workers=1, margin=True)
    store = Store.open(path)
    group = "clusterings/default"
    before = {name: store.read(name) for name in ALONG_FRAME}
    labels = {name: store.read(f"{group}/{name}") for name in (*LABELS, "second_label", "rmsd_to_second")}

    frames[9_000:66_000].save_xtc(grown)
    frames[66_000:].save_xtc(more)
    # Topology and selection are those of the store.
    result = ingest_trajectories(path, str(tmp_path / "*.xtc"), append=True)
    assert (result.n_frames, result.n_frames_computed, result.n_trajectories) == (70_000, 40_000, 3)
    again = ingest_trajectories(path, [grown], append=True)
    assert (again.n_frames, again.n_frames_computed) == (70_000, 0)
    assert not (tmp_path / "s.zarr.lock").exists()

    whole = tmp_path / "whole.zarr"
    ingest_trajectories(whole, str(tmp_path / "*.xtc"), top=TOP, select="element != H")
    store = Store.open(path)
    assert_equal(store, Store.open(whole))
    for name, values in before.items():
        np.testing.assert_array_equal(store.read(name)[:30_000], values)

    # One tree in xarray, without a warning; labels are pending.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xr.open_datatree(path, engine="zarr", consolidated=False)
    for name, values in labels.items():
        np.testing.assert_array_equal(tree[f"{group}/{name}"].values[:30_000], values)
    assert set(tree[f"{group}/label"].values[30_000:]) == {-1}
    assert set(tree[f"{group}/label_status"].values[30_000:]) == {0}
    assert np.isnan(tree[f"{group}/rmsd_to_leader"].values[30_000:]).all()
    results = open_results(path)
    np.testing.assert_array_equal(results.label, tree[f"{group}/label"])
    assert results.attrs["share_without_label"] == pytest.approx(4 / 7)
    status = store_status(path)
    assert status.n_frames_without_label == {"default": 40_000}
    assert status.next_command.startswith("twopass assign")

    # The same clustering, done long ago; and only the new frames get labels.
    assert cluster_subset(path, stride=100, n_clusters=3, workers=1).was_complete
    assert assign_frames(path, workers=1, margin=True).n_frames_computed == 40_000
    assert store_status(path).n_frames_without_label == {}
    completed = {name: Store.open(path).read(f"{group}/{name}") for name in labels}
    for name, values in labels.items():
        np.testing.assert_array_equal(completed[name][:30_000], values)
    # Labelled anew from nothing, they are the same.
    store = Store.open(path)
    for name in labels:
        for file in (path / group / name).rglob("*"):
            file.unlink()
        (path / group / name).rmdir()
    for stage in ("assign-default", "margin-default"):
        for file in sorted((path / "journal" / stage).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        (path / "journal" / stage).rmdir()
    assert assign_frames(path, workers=2, margin=True).n_frames_computed == 70_000
    for name, values in completed.items():
        np.testing.assert_array_equal(Store.open(path).read(f"{group}/{name}"), values)


N_FRAMES = 230
TOPOLOGY = make_topology(2)


@settings(max_examples=4, phases=[Phase.generate])
@given(data=st.data())
@small_chunks(position_bytes=64 * 12 * TOPOLOGY.n_atoms, frame_files=2)
def test_any_cutting_into_appends__gives_the_same(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A chunk holds 64 frames, a file one or two; each step is a source file, or the last one grown."""
    folder = tmp_path_factory.mktemp("cut")
    grid = np.random.default_rng(8).integers(-3000, 3000, (N_FRAMES, TOPOLOGY.n_atoms, 3))
    xyz = grid.astype(np.float32) * np.float32(0.001)
    trajectory = md.Trajectory(xyz, TOPOLOGY, time=np.arange(N_FRAMES) * 2.5 + 10)
    trajectory[0].save_pdb(folder / "top.pdb")
    cuts = sorted(
        3 * cut for cut in data.draw(st.sets(st.integers(1, 75), min_size=1, max_size=4), "cuts / 3")
    )
    grows = data.draw(st.lists(st.booleans(), min_size=5, max_size=5), "grows")
    discarded, stride = data.draw(st.sampled_from([(0, 1), (1, 1), (0, 2), (1, 2)]), "discarded, stride")
    workers = data.draw(st.sampled_from([1, 1, 1, 2]), "workers")
    store, begin = folder / "s.zarr", 0
    files: list[Path] = []
    for step, (start, stop) in enumerate(pairwise([0, *cuts, N_FRAMES])):
        if step == 0 or not grows[step]:
            files.append(folder / f"{len(files)}.{('xtc', 'trr')[step % 2]}")
            begin = start
        trajectory[begin:stop].save(str(files[-1]))
        if step == 0:
            options = {"top": folder / "top.pdb", "stride": stride, "discard_first": discarded}
            ingest_trajectories(store, files, **options)
        else:
            ingest_trajectories(store, files[-1], append=True, workers=workers)
    ingest_trajectories(folder / "whole.zarr", files, **options)
    assert_equal(Store.open(store), Store.open(folder / "whole.zarr"))


def test_file_that_grew_before_others__goes_on_at_the_end(tmp_path: Path) -> None:
    trajectory = make_trajectory(30)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    a, b = tmp_path / "a.xtc", tmp_path / "b.trr"
    trajectory[:10].save(str(a))
    trajectory[20:].save(str(b))
    path = tmp_path / "s.zarr"
    ingest_trajectories(path, [a, b], top=tmp_path / "top.pdb")
    trajectory[:17].save(str(a))
    ingest_trajectories(path, [a, b], append=True)
    store = Store.open(path)
    assert store.read("trajectory").tolist() == 10 * [0] + 10 * [1] + 7 * [0]
    assert store.read("source_frame").tolist() == [*range(10), *range(10), *range(10, 17)]
    np.testing.assert_array_equal(store.read("time")[20:], trajectory.time[10:17])
    assert store.read("trajectory_n_frames").tolist() == [17, 10]
    # It isn't what an ingest of all at once would make, and is no less complete for that.
    with pytest.raises(FingerprintMismatchError, match="appended"):
        ingest_trajectories(path, [a, b], top=tmp_path / "top.pdb")
    assert ingest_trajectories(path, [a, b], append=True).n_frames_computed == 0


@pytest.mark.parametrize("extension", ["xtc", "trr"])
def test_frame_that_is_still_being_written__comes_with_the_next_append(
    extension: str, tmp_path: Path
) -> None:
    trajectory = make_trajectory(30)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    file, path = tmp_path / f"a.{extension}", tmp_path / "s.zarr"
    trajectory[:10].save(str(file))
    ingest_trajectories(path, file, top=tmp_path / "top.pdb")
    trajectory.save(str(tmp_path / f"whole.{extension}"))
    data = (tmp_path / f"whole.{extension}").read_bytes()
    file.write_bytes(data[: int(0.75 * len(data))])
    first = ingest_trajectories(path, file, append=True).n_frames
    assert 10 < first < 30
    file.write_bytes(data)
    assert ingest_trajectories(path, file, append=True).n_frames == 30
    ingest_trajectories(tmp_path / "whole.zarr", file, top=tmp_path / "top.pdb")
    assert_equal(Store.open(path), Store.open(tmp_path / "whole.zarr"))


def test_runs_and_times__hold_for_what_is_appended(tmp_path: Path) -> None:
    trajectory = make_trajectory(40)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    parts = {"r1.part1.xtc": (0, 15), "r1.part2.xtc": (15, 28), "r2.part1.xtc": (3, 31)}
    options = {"top": tmp_path / "top.pdb", "run_pattern": r"(?P<run>r\d+)", "every": "5 ps"}
    for name, (start, stop) in list(parts.items())[:2]:
        trajectory[start:stop].save(str(tmp_path / name))
    path = tmp_path / "s.zarr"
    ingest_trajectories(path, str(tmp_path / "*.xtc"), **options)
    trajectory[3:31].save(str(tmp_path / "r2.part1.xtc"))
    ingest_trajectories(path, tmp_path / "r2.part1.xtc", append=True)
    ingest_trajectories(tmp_path / "whole.zarr", str(tmp_path / "*.xtc"), **options)
    assert_equal(Store.open(path), Store.open(tmp_path / "whole.zarr"))


def test_new_file_of_which_nothing_is_kept__is_left_out(tmp_path: Path) -> None:
    trajectory = make_trajectory(30)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    for name, part in {"a": trajectory[:10], "late": trajectory[25:], "b": trajectory[10:20]}.items():
        part.save(str(tmp_path / f"{name}.xtc"))
    path = tmp_path / "s.zarr"
    ingest_trajectories(path, tmp_path / "a.xtc", top=tmp_path / "top.pdb", end=float(trajectory.time[19]))
    ingest_trajectories(path, [tmp_path / "late.xtc", tmp_path / "b.xtc"], append=True)
    store = Store.open(path)
    assert [Path(str(each)).name for each in store.read("trajectory_path")] == ["a.xtc", "b.xtc"]
    np.testing.assert_array_equal(store.read("time"), trajectory.time[:20])


def test_what_does_not_fit__is_refused_and_nothing_changes(tmp_path: Path) -> None:
    trajectory = make_trajectory(30)
    trajectory[0].save_pdb(tmp_path / "top.pdb")
    file, more = tmp_path / "a.xtc", tmp_path / "b.xtc"
    trajectory[:20].save(str(file))
    trajectory.save(str(more))
    path = tmp_path / "s.zarr"
    with pytest.raises(StoreNotFoundError):
        ingest_trajectories(path, file, append=True)
    ingest_trajectories(path, file, top=tmp_path / "top.pdb", stride=2, select="name CA CB")

    def state() -> list[tuple[Path, int]]:
        return sorted((each, each.stat().st_mtime_ns) for each in path.rglob("*") if each.is_file())

    before = state()
    with pytest.raises(FingerprintMismatchError, match="stored 2, requested 3"):
        ingest_trajectories(path, more, append=True, stride=3)
    with pytest.raises(FingerprintMismatchError, match="stored 8 of 28 atoms"):
        ingest_trajectories(path, more, append=True, select="name CA")
    with pytest.raises(ConfigError, match="`restart`"):
        ingest_trajectories(path, more, append=True, restart=True)
    make_trajectory(30, has_cell=False).save_dcd(str(tmp_path / "c.dcd"))
    with pytest.raises(FingerprintMismatchError, match="its times are of the kind 'file'"):
        ingest_trajectories(path, tmp_path / "c.dcd", append=True)
    make_trajectory(25, seed=8).save(str(file))
    with pytest.raises(TrajectoryError, match=r"a\.xtc has changed since it was looked at"):
        ingest_trajectories(path, file, append=True)
    trajectory[:12].save(str(file))
    with pytest.raises(TrajectoryError, match=r"a\.xtc has shrunk"):
        ingest_trajectories(path, file, append=True)
    assert state() == before


def test_append_that_was_stopped__shows_the_old_frames_until_it_is_finished(
    frames: md.Trajectory, tmp_path: Path, twopass: Twopass
) -> None:
    file = tmp_path / "a.xtc"
    frames[:10_000].save_xtc(file)
    path = tmp_path / "s.zarr"
    ingest_trajectories(path, file, top=TOP)
    cluster_subset(path, stride=50, n_clusters=3, workers=1)
    assign_frames(path, workers=1)
    old = open_results(path).load()

    frames[:60_000].save_xtc(file)
    with pytest.raises(InterruptedError):
        ingest_trajectories(path, file, append=True, progress=Stop(3))
    found = open_results(path).load()
    for name in (*ALONG_FRAME, "label", "rmsd_to_leader"):
        np.testing.assert_array_equal(found[name].values, old[name].values)
    for stage in (cluster_subset, assign_frames):
        with pytest.raises(StageIncompleteError, match="ingest has not finished"):
            stage(path, **({"name": "other", "n_clusters": 2} if stage is cluster_subset else {}))
    assert store_status(path).next_command.startswith("twopass ingest --append ")
    frames[:100].save_xtc(tmp_path / "b.xtc")

    # It has grown again meanwhile, as files of running simulations do: what was begun is finished first.
    frames[:61_000].save_xtc(file)
    said = twopass("ingest", "--append", path, tmp_path / "b.xtc")
    assert "60,100 frames of 22 atoms" in said.stdout
    said = twopass("ingest", "--append", path, file)
    assert "61,100 frames of 22 atoms" in said.stdout
    np.testing.assert_array_equal(
        Store.open(path).read("position"), frames.xyz[np.r_[:60_000, :100, 60_000:61_000]]
    )
    assert "default: 51,100 of 61,100 frames have no label yet" in twopass("status", path).stdout
    assert json.loads(twopass("status", path, "--json").stdout)["n_frames_without_label"] == {
        "default": 51_100
    }
    twopass("assign", path, "-q")
    np.testing.assert_array_equal(open_results(path).label.values[:10_000], old.label.values)
