"""Every claimed format: what probe finds, and that any range in any blocks equals ``md.load``."""

import os
import shutil
import struct
import tracemalloc
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectory_files import FORMATS, WITH_CELL, WITH_TIME, WITH_TOPOLOGY, load, make_trajectory, write
from twopass_store.errors import (
    TopologyMismatchError,
    TrajectoryError,
    TrajectoryNotFoundError,
    TruncatedTrajectoryError,
)
from twopass_store.trajectory import Block, TrajectoryInfo, load_topology, probe, read_blocks, reading_bytes

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
N_FRAMES = 17


@pytest.fixture(scope="module")
def trajectory() -> md.Trajectory:
    return make_trajectory(N_FRAMES)


@pytest.fixture(scope="module")
def files(trajectory: md.Trajectory, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    return {extension: write(trajectory, folder / f"run.{extension}") for extension in FORMATS}


def read_all(
    info: TrajectoryInfo,
    topology: md.Topology,
    frames: range,
    *,
    atom_indices: np.ndarray | None = None,
    block_bytes: int = 8 << 20,
) -> list[Block]:
    return list(
        read_blocks(info, topology, frames=frames, atom_indices=atom_indices, block_bytes=block_bytes)
    )


def assert_equals_load(
    blocks: list[Block], info: TrajectoryInfo, whole: md.Trajectory, frames: range
) -> None:
    wanted = list(frames)
    assert sum(block.n_frames for block in blocks) == len(wanted)
    if not wanted:
        return
    np.testing.assert_array_equal(np.concatenate([block.xyz for block in blocks]), whole.xyz[wanted])
    assert blocks[0].xyz.dtype == np.float32
    if info.has_time:
        times = np.concatenate([block.time for block in blocks])
        assert times.dtype == np.float64
        np.testing.assert_array_equal(times, whole.time[wanted].astype(np.float64))
    else:
        assert all(block.time is None for block in blocks)
    if info.has_unitcell:
        for name in ("unitcell_lengths", "unitcell_angles"):
            values = np.concatenate([getattr(block, name) for block in blocks])
            assert values.dtype == np.float64
            np.testing.assert_array_equal(values, getattr(whole, name)[wanted])
    else:
        assert all(block.unitcell_lengths is None and block.unitcell_angles is None for block in blocks)


@pytest.mark.parametrize("extension", FORMATS)
def test_probe__finds_what_was_written(
    extension: str, trajectory: md.Trajectory, files: dict[str, Path]
) -> None:
    info = probe(files[extension], trajectory.topology)
    assert (info.n_frames, info.n_atoms) == (N_FRAMES, trajectory.n_atoms)
    assert info.has_unitcell == (extension in WITH_CELL)
    assert info.has_time == (extension in WITH_TIME)
    assert info.loads_whole == (extension == "pdb")
    assert info.path == str(files[extension])
    status = files[extension].stat()
    assert (info.size_bytes, info.modified_ns) == (status.st_size, status.st_mtime_ns)
    assert len(info.digest) == 40


@pytest.mark.parametrize("extension", sorted(set(FORMATS) - {"xyz"}))
def test_probe__without_unit_cell(extension: str, tmp_path: Path) -> None:
    if extension == "lammpstrj":
        pytest.skip("a LAMMPS dump always has a box")
    bare = make_trajectory(5, has_cell=False)
    path = write(bare, tmp_path / f"bare.{extension}")
    info = probe(path, bare.topology)
    assert not info.has_unitcell
    assert_equals_load(read_all(info, bare.topology, range(5)), info, load(path, bare.topology), range(5))


@pytest.mark.parametrize("extension", FORMATS)
def test_probe__own_topology(extension: str, trajectory: md.Trajectory, files: dict[str, Path]) -> None:
    if extension in WITH_TOPOLOGY:
        assert probe(files[extension], None) == probe(files[extension], trajectory.topology)
        assert load_topology(files[extension]).n_atoms == trajectory.n_atoms
    else:
        with pytest.raises(TrajectoryError, match="Give a topology"):
            probe(files[extension], None)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("block_bytes", [1, 6000, 1 << 20])
def test_read_blocks__any_range_equals_load(
    extension: str, block_bytes: int, trajectory: md.Trajectory, files: dict[str, Path]
) -> None:
    info = probe(files[extension], trajectory.topology)
    whole = load(files[extension], trajectory.topology)
    ranges = [
        range(17),
        range(0),
        range(5, 17),
        range(16, 17),
        range(3, 12, 2),
        range(2, 17, 5),
        range(1, 17, 16),
    ]
    for frames in ranges:
        blocks = read_all(info, trajectory.topology, frames, block_bytes=block_bytes)
        assert_equals_load(blocks, info, whole, frames)
        if block_bytes == 1:
            assert all(block.n_frames == 1 for block in blocks)


@pytest.mark.parametrize("extension", FORMATS)
def test_read_blocks__selects_atoms(
    extension: str, trajectory: md.Trajectory, files: dict[str, Path]
) -> None:
    info = probe(files[extension], trajectory.topology)
    whole = load(files[extension], trajectory.topology)
    atoms = np.array([2, 9, 16, 23], dtype=np.int64)
    blocks = read_all(info, trajectory.topology, range(4, 15, 3), atom_indices=atoms, block_bytes=5000)
    np.testing.assert_array_equal(
        np.concatenate([block.xyz for block in blocks]), whole.xyz[4:15:3][:, atoms]
    )
    assert all(block.xyz.base is None or block.xyz.base.nbytes <= block.xyz.nbytes for block in blocks)


@pytest.mark.parametrize("extension", FORMATS)
@settings(derandomize=True, max_examples=12, deadline=None)
@given(data=st.data())
def test_read_blocks__property(
    extension: str, data: st.DataObject, trajectory: md.Trajectory, files: dict[str, Path]
) -> None:
    start = data.draw(st.integers(0, N_FRAMES))
    stop = data.draw(st.integers(start, N_FRAMES))
    frames = range(start, stop, data.draw(st.integers(1, N_FRAMES)))
    info = probe(files[extension], trajectory.topology)
    blocks = read_all(info, trajectory.topology, frames, block_bytes=data.draw(st.integers(1, 60_000)))
    assert_equals_load(blocks, info, load(files[extension], trajectory.topology), frames)


@pytest.mark.parametrize("extension", ["xtc", "trr"])
def test_read_blocks__hops_over_many_atoms(extension: str, tmp_path: Path) -> None:
    large = make_trajectory(9, n_residues=900)
    path = write(large, tmp_path / f"large.{extension}")
    info, whole = probe(path, large.topology), load(path, large.topology)
    for frames in (range(9), range(1, 9, 3), range(0, 9, 2)):
        assert_equals_load(read_all(info, large.topology, frames, block_bytes=400_000), info, whole, frames)


@pytest.mark.parametrize("n_residues", [1, 2])
def test_read_blocks__few_atoms_in_xtc(n_residues: int, tmp_path: Path) -> None:
    few = make_trajectory(6, n_residues=n_residues)  # up to 9 atoms XTC isn't compressed
    path = write(few, tmp_path / "few.xtc")
    info = probe(path, few.topology)
    assert_equals_load(
        read_all(info, few.topology, range(1, 6, 2)), info, load(path, few.topology), range(1, 6, 2)
    )


@pytest.mark.parametrize("extension", FORMATS)
def test_truncated__error_or_fewer_whole_frames(
    extension: str, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = files[extension].read_bytes()
    whole = load(files[extension], trajectory.topology)
    cuts = {1, 3, 50, 95, 130, len(content) - 40, len(content) - 9, len(content) - 6, len(content) - 2}
    cuts |= {len(content) * part // 12 for part in range(1, 12)}
    path = tmp_path / f"cut.{extension}"
    n_errors = 0
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        try:
            info = probe(path, trajectory.topology)
            blocks = read_all(info, trajectory.topology, range(info.n_frames))
        except TrajectoryError as error:
            n_errors += str(path) in str(error)
            continue
        # Where a cut falls between two frames of a format without a count, fewer frames is all one can see;
        # the last bytes of a PDB file are its END.
        assert info.n_frames < N_FRAMES or (extension == "pdb" and cut > len(content) - 7)
        assert_equals_load(blocks, info, whole, range(info.n_frames))
    assert n_errors >= 17


@pytest.mark.parametrize("extension", ["xtc", "trr", "dcd", "nc", "mdcrd", "xyz", "lammpstrj", "gro", "pdb"])
def test_truncated__says_how_much_is_whole(
    extension: str, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = files[extension].read_bytes()
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(content[: len(content) - len(content) // 40])
    with pytest.raises(TruncatedTrajectoryError, match=r"frame 15|16 whole frames|16 of 17 models"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("extension", FORMATS)
def test_read_blocks__file_that_shrank_since(
    extension: str, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(files[extension], tmp_path))
    info = probe(path, trajectory.topology)
    write(trajectory[:6], path)
    with pytest.raises(TruncatedTrajectoryError, match="shrunk"):
        read_all(info, trajectory.topology, range(N_FRAMES))


@pytest.mark.parametrize("extension", FORMATS)
def test_probe__garbage_empty_missing_directory(
    extension: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = tmp_path / f"bad.{extension}"
    with pytest.raises(TrajectoryNotFoundError, match="no file"):
        probe(path, trajectory.topology)
    path.write_bytes(b"")
    with pytest.raises(TrajectoryError, match="empty"):
        probe(path, trajectory.topology)
    for content in (np.random.default_rng(1).bytes(5000), b"\0" * 4000, b"hello\n" * 50, b"\xff" * 300):
        path.write_bytes(content)
        with pytest.raises(TrajectoryError, match=f"bad.{extension}"):
            probe(path, trajectory.topology)
    path.unlink()
    path.mkdir()
    with pytest.raises(TrajectoryError, match="directory"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("wearing", ["xtc", "dcd", "nc", "h5", "xyz"])
def test_probe__file_of_another_format(
    extension: str, wearing: str, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    if files[extension].read_bytes()[:3] == files[wearing].read_bytes()[:3] and extension != "gro":
        pytest.skip("the same format")
    path = Path(shutil.copy(files[extension], tmp_path / f"disguised.{wearing}"))
    with pytest.raises(TrajectoryError, match="disguised"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("extension", FORMATS)
def test_probe__topology_of_other_atoms(extension: str, files: dict[str, Path]) -> None:
    other = make_trajectory(1, n_residues=5).topology
    with pytest.raises(TrajectoryError, match=r"atoms") as caught:
        probe(files[extension], other, topology_path="other.pdb")
    # An mdcrd file doesn't say how many atoms it has.
    if extension not in ("mdcrd", "crd"):
        assert isinstance(caught.value, TopologyMismatchError)
        assert "28 atoms, the topology other.pdb has 35" in str(caught.value)


def test_probe__unknown_extension(trajectory: md.Trajectory, tmp_path: Path) -> None:
    path = tmp_path / "run.binpos"
    path.write_bytes(b"x")
    with pytest.raises(TrajectoryError, match=r"\.binpos.*\.xtc, \.trr, \.dcd"):
        probe(path, trajectory.topology)


def test_probe__extension_in_capitals(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copy(files["xtc"], tmp_path / "RUN.XTC"))
    info = probe(path, trajectory.topology)
    whole = load(files["xtc"], trajectory.topology)
    assert_equals_load(read_all(info, trajectory.topology, range(3, 9)), info, whole, range(3, 9))


def test_probe__named_pipe_does_not_hang(trajectory: md.Trajectory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xtc")
    with pytest.raises(TrajectoryError, match="not a regular file"):
        probe(tmp_path / "pipe.xtc", trajectory.topology)


def test_dcd__prints_nothing(
    trajectory: md.Trajectory, files: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    os.write(1, b"before\n")
    info = probe(files["dcd"], trajectory.topology)
    read_all(info, trajectory.topology, range(2, 9), block_bytes=3000)
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "before\nafter\n"


def test_dcd__frames_beyond_the_header_are_taken(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(files["dcd"].read_bytes())
    whole = load(files["dcd"], trajectory.topology)
    path = tmp_path / "unclosed.dcd"
    for promised in (0, 16):
        content[8:12] = struct.pack("<i", promised)
        path.write_bytes(content)
        info = probe(path, trajectory.topology)
        assert info.n_frames == N_FRAMES
        assert_equals_load(read_all(info, trajectory.topology, range(5, 17)), info, whole, range(5, 17))


def test_dcd__header_promises_more_than_there_is(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(files["dcd"].read_bytes())
    content[8:12] = struct.pack("<i", 40)
    path = tmp_path / "short.dcd"
    path.write_bytes(content)
    with pytest.raises(TruncatedTrajectoryError, match="promises 40 frames, the file holds 17"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("n_fixed", [0, 20])
def test_dcd__byte_orders_and_fixed_atoms(
    order: str, n_fixed: int, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = tmp_path / "namd.dcd"
    path.write_bytes(_dcd(trajectory.xyz * 10, order, n_fixed))
    info, whole = probe(path, trajectory.topology), load(path, trajectory.topology)
    assert info.n_frames == N_FRAMES
    assert not info.has_unitcell
    for frames in (range(N_FRAMES), range(6, 15), range(1, 17, 4)):
        assert_equals_load(read_all(info, trajectory.topology, frames, block_bytes=4000), info, whole, frames)


def _dcd(xyz: np.ndarray, order: str, n_fixed: int) -> bytes:
    """A CHARMM DCD file by the book, the first ``n_fixed`` atoms written in frame 0 only."""
    n_frames, n_atoms, _ = xyz.shape

    def record(content: bytes) -> bytes:
        return struct.pack(order + "i", len(content)) + content + struct.pack(order + "i", len(content))

    control = [n_frames, 0, 1, n_frames, 0, 0, 0, 0, n_fixed]
    header = b"CORD" + struct.pack(order + "9if", *control, 1.0) + struct.pack(order + "10i", *[0] * 9, 24)
    parts = [
        record(header),
        record(struct.pack(order + "i", 1) + b" " * 80),
        record(struct.pack(order + "i", n_atoms)),
    ]
    if n_fixed:
        parts.append(record(np.arange(n_fixed + 1, n_atoms + 1, dtype=order + "i4").tobytes()))
    for index, frame in enumerate(xyz):
        moving = frame if index == 0 else frame[n_fixed:]
        parts += [record(moving[:, axis].astype(order + "f4").tobytes()) for axis in range(3)]
    return b"".join(parts)


def test_trr__frames_without_positions_are_refused(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = files["trr"].read_bytes()
    frame_bytes = len(content) // N_FRAMES
    # The fields x_size and v_size swapped: a frame of velocities, for which mdtraj returns raw memory.
    frame = bytearray(content[:frame_bytes])
    frame[52:56], frame[56:60] = frame[56:60], frame[52:56]
    path = tmp_path / "velocities.trr"
    path.write_bytes(content[: 2 * frame_bytes] + frame + content[2 * frame_bytes :])
    with pytest.raises(TrajectoryError, match=r"Frame 2 .* no positions"):
        probe(path, trajectory.topology)


def test_xtc__damaged_in_the_middle(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = files["xtc"].read_bytes()
    path = tmp_path / "damaged.xtc"
    path.write_bytes(content[:1000] + b"\0" * 300 + content[1300:])
    with pytest.raises(TrajectoryError, match=r"damaged\.xtc"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize(("place", "value"), [(84, 73), (84, -1), (88, 404), (88, -5), (4, 27), (52, 29)])
def test_xtc__header_that_would_crash_the_decoder(
    place: int, value: int, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(files["xtc"].read_bytes())
    content[place : place + 4] = struct.pack(">i", value)
    path = tmp_path / "hostile.xtc"
    path.write_bytes(content)
    with pytest.raises(TrajectoryError, match="hostile"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("extension", ["xtc", "trr", "dcd"])
def test_read_blocks__frame_without_cell_among_others(extension: str, tmp_path: Path) -> None:
    mixed = make_trajectory(8)
    mixed.unitcell_lengths[5] = 0
    path = write(mixed, tmp_path / f"mixed.{extension}")
    info = probe(path, mixed.topology)
    for block_bytes in (1, 1 << 20):
        with pytest.raises(TrajectoryError, match=r"Frame 5 .* no unit cell"):
            read_all(info, mixed.topology, range(8), block_bytes=block_bytes)


def test_mdcrd__numbers_without_blanks(trajectory: md.Trajectory, tmp_path: Path) -> None:
    wide = trajectory[:]
    wide.xyz = np.clip(wide.xyz * 20 - 40, -90, 90)
    path = write(wide, tmp_path / "wide.mdcrd")
    assert b"-" in path.read_bytes().splitlines()[1][1:]
    info = probe(path, wide.topology)
    blocks = read_all(info, wide.topology, range(N_FRAMES))
    np.testing.assert_allclose(np.concatenate([block.xyz for block in blocks]), wide.xyz, atol=1e-4)


def test_gro__times_only_if_all_titles_have_one(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    text = files["gro"].read_text()
    path = tmp_path / "some.gro"
    path.write_text(text.replace("t= 12.5", "no time", 1))
    assert not probe(path, None).has_time
    path.write_text(text.replace("t= 12.5", "t= soon", 1))
    with pytest.raises(TrajectoryError, match="t= soon"):
        probe(path, None)


def test_pdb__dummy_cell_is_dropped_as_md_load_does(tmp_path: Path) -> None:
    crowded = make_trajectory(3)
    crowded.unitcell_lengths = np.full((3, 3), 0.1, np.float32)
    path = write(crowded, tmp_path / "dummy.pdb")
    info = probe(path, None)
    assert not info.has_unitcell
    assert read_all(info, crowded.topology, range(3))[0].unitcell_lengths is None


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("step", [1, 7])
def test_reading_bytes__bounds_what_is_measured(extension: str, step: int, tmp_path: Path) -> None:
    n_frames = 60 if extension in ("pdb", "xyz", "lammpstrj", "gro", "mdcrd", "crd") else 600
    long = make_trajectory(n_frames, n_residues=40)
    path = write(long, tmp_path / f"long.{extension}")
    info = probe(path, long.topology)
    block_bytes = 1 << 20
    bound = reading_bytes(info, n_selected=info.n_atoms, block_bytes=block_bytes)
    read_all(info, long.topology, range(0, 2, 1))  # what is imported at the first use isn't the reader's
    tracemalloc.start()
    try:
        for block in read_blocks(
            info, long.topology, frames=range(0, n_frames, step), atom_indices=None, block_bytes=block_bytes
        ):
            assert block.n_frames > 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Without the fixed allowance, so that the share that grows with the block is what is tested.
    assert peak <= bound - (8 << 20) + (1 << 18)


def test_read_blocks__refuses_what_does_not_fit(trajectory: md.Trajectory, files: dict[str, Path]) -> None:
    info = probe(files["xtc"], trajectory.topology)
    with pytest.raises(ValueError, match="don't lie in"):
        read_blocks(info, trajectory.topology, frames=range(10, 18), atom_indices=None)
    with pytest.raises(ValueError, match="positive"):
        read_blocks(info, trajectory.topology, frames=range(10, 2, -1), atom_indices=None)
    with pytest.raises(TopologyMismatchError, match="atoms 0 to 27"):
        read_blocks(info, trajectory.topology, frames=range(3), atom_indices=np.array([28]))
    with pytest.raises(TopologyMismatchError, match="28 atoms, the topology 35"):
        read_blocks(info, make_trajectory(1, n_residues=5).topology, frames=range(3), atom_indices=None)


def test_read_blocks__sample_data() -> None:
    path, top = SHARED / "ala2-dynamics.xtc", SHARED / "ala2.pdb"
    if not path.exists():
        pytest.skip("the sample data isn't here")
    topology = load_topology(top)
    info = probe(path, topology)
    assert (info.n_frames, info.n_atoms) == (40_000, 22)
    whole = md.load(str(path), top=topology)
    for frames in (range(39_000, 40_000), range(0, 40_000, 200), range(17, 30_000, 3)):
        assert_equals_load(read_all(info, topology, frames, block_bytes=1 << 18), info, whole, frames)
