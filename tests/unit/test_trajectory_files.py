"""Paths from patterns, the index of XTC and TRR frames, digests, and silence on stdout."""

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from mdtraj.formats import XTCTrajectoryFile

from trajectory_files import make_trajectory, write
from twopass_store.config import expand_paths
from twopass_store.errors import TrajectoryError, TrajectoryNotFoundError, TruncatedTrajectoryError
from twopass_store.trajectory import digest_file, probe
from twopass_store.trajectory import xdr as xdr_module
from twopass_store.trajectory.dcd import silent_stdout
from twopass_store.trajectory.formats import reading
from twopass_store.trajectory.xdr import FrameIndex, frame_index


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_expand_paths__natural_order_within_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "run10.xtc", "run2.xtc", "run1.xtc", "a.xtc", "r/run2/t.dcd", "r/run10/t.dcd")
    found = expand_paths(["run*.xtc", "r/*/t.dcd", "a.xtc"], relative_to=tmp_path)
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["run1.xtc", "run2.xtc", "run10.xtc", "r/run2/t.dcd", "r/run10/t.dcd", "a.xtc"]
    assert expand_paths(["**/t.dcd"], relative_to=tmp_path) == found[3:5]


def test_expand_paths__literal_names_with_glob_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "odd[1]"
    touch(base, "run[a].xtc", "runa.xtc", "b?.xtc")
    assert expand_paths(["run[a].xtc"], relative_to=base) == [base / "run[a].xtc"]
    assert expand_paths(["r*.xtc"], relative_to=base) == [base / "run[a].xtc", base / "runa.xtc"]
    monkeypatch.chdir(base)
    assert expand_paths([Path("b?.xtc"), str(base / "runa.xtc")]) == [base / "b?.xtc", base / "runa.xtc"]


def test_expand_paths__duplicates_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a1.xtc", "a2.xtc")
    (tmp_path / "link.xtc").symlink_to(tmp_path / "a1.xtc")
    for patterns in (["a1.xtc", "a*.xtc"], ["a1.xtc", "./a1.xtc"], ["a1.xtc", "link.xtc"]):
        with pytest.raises(TrajectoryError, match=r"given twice, by '.*' and by"):
            expand_paths(patterns, relative_to=tmp_path)


def test_expand_paths__nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryNotFoundError, match=r"no file .*none\.xtc"):
        expand_paths(["none.xtc"], relative_to=tmp_path)
    with pytest.raises(TrajectoryNotFoundError, match=r"'\*\.xtc' matches no file"):
        expand_paths(["*.xtc"], relative_to=tmp_path)
    for empty in ("", "a\0b"):
        with pytest.raises(TrajectoryNotFoundError, match="no path"):
            expand_paths([empty], relative_to=tmp_path)
    with pytest.raises(TrajectoryError, match="No trajectory"):
        expand_paths([])


@pytest.mark.parametrize("extension", ["xtc", "trr"])
def test_frame_index__sparse_offsets_in_any_order(
    extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write(make_trajectory(101), tmp_path / f"run.{extension}"))
    full = FrameIndex(path)
    offsets = [full.offset(frame) for frame in range(101)]
    if extension == "xtc":  # mdtraj's own scan
        with XTCTrajectoryFile(path) as file:
            np.testing.assert_array_equal(offsets, file.offsets)
    monkeypatch.setattr(xdr_module, "_MAX_OFFSETS", 8)
    sparse = FrameIndex(path)
    for frame in np.random.default_rng(3).permutation(101):
        assert sparse.offset(int(frame)) == offsets[frame]
    assert len(sparse._offsets) <= 8
    assert sparse.count() == 101
    with pytest.raises(TruncatedTrajectoryError, match="ends after 101 frames"):
        sparse.offset(101)


def test_frame_index__reads_many_headers_at_once_and_is_the_same_elsewhere(tmp_path: Path) -> None:
    path = write(make_trajectory(4000), tmp_path / "run.xtc")
    index = FrameIndex(str(path))
    assert index.count() == 4000
    with XTCTrajectoryFile(str(path)) as file:
        expected = file.offsets
    sent = pickle.loads(pickle.dumps(index))
    for frame in (0, 1, 3999, 2049, 2050, 17):
        assert index.offset(frame) == sent.offset(frame) == expected[frame]
    data = bytearray(path.read_bytes())
    assert len(data) > xdr_module._WINDOW_BYTES
    data[expected[1234] + 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrajectoryError, match="where frame 1234 should begin"):
        FrameIndex(str(path)).count()
    path.write_bytes(data[: expected[1000] - 1])
    with pytest.raises(TruncatedTrajectoryError, match="cut off within frame 999"):
        FrameIndex(str(path)).count()


@pytest.mark.parametrize("n_atoms", [1, 3, 9])
def test_frame_index__of_few_atoms_is_mdtrajs(n_atoms: int, tmp_path: Path) -> None:
    """Such frames aren't compressed, and so many at once that hopping would take longer than reading."""
    path, n_frames = tmp_path / "few.xtc", 30_000
    rng = np.random.default_rng(n_atoms)
    with XTCTrajectoryFile(str(path), "w") as file:
        file.write(rng.normal(size=(n_frames, n_atoms, 3)).astype(np.float32))
    with XTCTrajectoryFile(str(path)) as file:
        expected = file.offsets
    index = FrameIndex(str(path))
    assert index.count() == n_frames == len(expected)
    assert len(index._offsets) <= xdr_module._MAX_OFFSETS < n_frames
    for frame in (0, 1, n_frames - 1, 4097, 16):
        assert index.offset(frame) == expected[frame]
    data = bytearray(path.read_bytes())
    assert len(data) > 3 * xdr_module._WINDOW_BYTES
    data[expected[12_345] + 55] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrajectoryError, match="where frame 12345 should begin"):
        FrameIndex(str(path)).count()
    path.write_bytes(data[: expected[12_000] - 1])
    with pytest.raises(TruncatedTrajectoryError, match="cut off within frame 11999"):
        FrameIndex(str(path)).count()


@pytest.mark.parametrize("n_frames", [1, 2])
def test_frame_index__of_few_atoms_and_few_frames(n_frames: int, tmp_path: Path) -> None:
    path = tmp_path / "few.xtc"
    with XTCTrajectoryFile(str(path), "w") as file:
        file.write(np.ones((n_frames, 1, 3), np.float32))
    assert FrameIndex(str(path)).count() == n_frames


def test_frame_index__shared_until_the_file_changes(tmp_path: Path) -> None:
    path = str(write(make_trajectory(5), tmp_path / "run.xtc"))
    first = frame_index(path)
    assert frame_index(path) is first
    write(make_trajectory(6), Path(path))
    assert frame_index(path).count() == 6


def test_digest__changes_with_content_only(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    content = bytearray(os.urandom(18 << 20))
    path.write_bytes(content)
    first = digest_file(path)
    path.touch()
    assert digest_file(path) == first
    for place in (0, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert digest_file(path) != first
    path.write_bytes(content[:-1])
    assert digest_file(path) != first
    path.write_bytes(b"small")
    small = digest_file(path)
    path.write_bytes(b"smalm")
    assert digest_file(path) != small


def test_silent_stdout__threads_never_lose_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        for _ in range(200):
            with silent_stdout():
                os.write(1, b"noise\n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"heard\n")
    assert capfd.readouterr().out == "heard\n"


def test_silent_stdout__without_stdout(tmp_path: Path) -> None:
    trajectory = make_trajectory(3)
    path = write(trajectory, tmp_path / "run.dcd")
    top = write(trajectory[:1], tmp_path / "top.pdb")
    code = (
        "import os; os.close(1)\n"
        "from twopass_store.trajectory import load_topology, probe\n"
        f"assert probe({str(path)!r}, load_topology({str(top)!r})).n_frames == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.parametrize(
    "error",
    [
        OSError("x"),
        RuntimeError(),
        ValueError("a\nb\nc\nd\nlast"),
        KeyError("k"),
        AssertionError(),
        Exception("e"),
    ],
)
def test_reading__wraps_every_kind_of_error(error: Exception) -> None:
    with (
        pytest.raises(TrajectoryError, match=rf"the frames of run\.xtc: {type(error).__name__}"),
        reading("run.xtc", "the frames"),
    ):
        raise error


def test_reading__permission(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match="permission denied"), reading("run.xtc", "the frames"):
        raise PermissionError(13, "Permission denied")
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    trajectory = make_trajectory(2)
    path = write(trajectory, tmp_path / "run.xtc")
    path.chmod(0)
    with pytest.raises(TrajectoryError, match="permission denied"):
        probe(path, trajectory.topology)
