"""Files as runs leave them and people write them: what is there is taken, what is absent stays absent."""

import struct
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import netCDF4
import numpy as np
import pytest

from conftest import Twopass
from damage import as_netcdf4
from trajectory_files import load, make_trajectory, write
from twopass_store import ingest_trajectories
from twopass_store.errors import TrajectoryError, TruncatedTrajectoryError
from twopass_store.store import Store
from twopass_store.trajectory import probe, read_blocks, read_times

N_FRAMES = 17
BINARY = ("xtc", "trr", "dcd", "nc")
TEXT = ("mdcrd", "xyz", "lammpstrj", "gro")


@pytest.fixture(scope="module")
def trajectory() -> md.Trajectory:
    return make_trajectory(N_FRAMES)


@pytest.fixture
def top(trajectory: md.Trajectory, tmp_path: Path) -> Path:
    return write(trajectory[:1], tmp_path / "top.pdb")


def cut(content: bytes) -> bytes:
    return content[: len(content) - len(content) // 40]


def header(offset: int, number: int, order: str) -> Callable[[bytes], bytes]:
    return lambda content: content[:offset] + struct.pack(order + "i", number) + content[offset + 4 :]


UNFINISHED: dict[str, tuple[str, Callable[[bytes], bytes], int, int]] = {
    # What is wrong: format, how, whole frames, frames promised.
    **{f"{name}, cut": (name, cut, N_FRAMES - 1, -1) for name in ("xtc", "trr", *TEXT)},
    "xtc, zeros behind": ("xtc", lambda content: content + bytes(300), N_FRAMES, -1),
    "dcd, cut": ("dcd", cut, N_FRAMES - 1, N_FRAMES),
    "dcd, more promised": ("dcd", header(8, 40, "<"), N_FRAMES, 40),
    "dcd, none promised and cut": ("dcd", lambda content: header(8, 0, "<")(cut(content)), N_FRAMES - 1, 0),
    "nc, cut": ("nc", cut, N_FRAMES - 1, N_FRAMES),
    "nc, fewer promised": ("nc", header(4, 3, ">"), N_FRAMES, 3),
    "nc, none promised and cut": ("nc", lambda content: header(4, 0, ">")(cut(content)), N_FRAMES - 1, 0),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished__whole_frames_now_and_the_rest_by_append(
    name: str, trajectory: md.Trajectory, top: Path, tmp_path: Path, twopass: Twopass
) -> None:
    extension, spoil, n_whole, n_promised = UNFINISHED[name]
    path = write(trajectory, tmp_path / f"run.{extension}")
    content, whole = path.read_bytes(), load(path, trajectory.topology)
    path.write_bytes(spoil(content))

    refused = twopass("ingest", "s.zarr", path, "--top", top, "--strict", code=3).stderr
    assert f"{path} is unfinished" in refused and "--strict" in refused
    said = twopass("ingest", "s.zarr", path, "--top", top).stderr
    store = Store.open(tmp_path / "s.zarr")
    n_left = int(store.read("trajectory_bytes_left")[0])
    promised = f" of {n_promised} promised" if n_promised >= 0 else ""
    assert said.count(f"({n_whole} whole frames{promised}, and {n_left} bytes behind them)") == 1
    assert store.read("trajectory_n_promised").tolist() == [n_promised]
    assert n_left + int(store.read("trajectory_size")[0]) == path.stat().st_size
    assert (n_left > 0) == ("cut" in name or "behind" in name)
    np.testing.assert_array_equal(store.read("position"), whole.xyz[:n_whole])

    path.write_bytes(content)
    twopass("ingest", "s.zarr", path, "--append")
    ingest_trajectories(tmp_path / "whole.zarr", path, top=top)
    appended, expected = Store.open(tmp_path / "s.zarr"), Store.open(tmp_path / "whole.zarr")
    arrays = ["position", "time", "source_frame", "trajectory_n_frames"]
    arrays += ["trajectory_digest", "trajectory_bytes_left"] if n_whole < N_FRAMES else []
    for array in arrays:
        np.testing.assert_array_equal(appended.read(array), expected.read(array), err_msg=array)


def test_format__that_is_wrong_is_what_the_error_names(
    trajectory: md.Trajectory, top: Path, tmp_path: Path, twopass: Twopass
) -> None:
    path = write(trajectory, tmp_path / "run.xtc")
    said = twopass("ingest", "s.zarr", path, "--top", top, "--format", "trr", code=3).stderr
    assert "taken for trr; without --format, its content decides" in said


@pytest.mark.parametrize("extension", ["xtc", "trr", "dcd", "nc", *TEXT])
def test_unfinished__blocks_end_before_what_was_cut(
    extension: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = write(trajectory, tmp_path / f"run.{extension}")
    whole = load(path, trajectory.topology)
    path.write_bytes(cut(path.read_bytes()))
    info = probe(path, trajectory.topology)
    blocks = list(read_blocks(info, frames=range(N_FRAMES - 1), block_frames=5))
    np.testing.assert_array_equal(np.concatenate([block.xyz for block in blocks]), whole.xyz[:-1])


@pytest.mark.parametrize("unwritten", ["coordinates", "time", "cell_lengths"])
def test_netcdf__what_was_never_written_is_absent(
    unwritten: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = write(trajectory, tmp_path / "run.nc")
    fill = netCDF4.default_fillvals["f8" if unwritten == "cell_lengths" else "f4"]
    with netCDF4.Dataset(path, "a") as opened:
        opened[unwritten][-1] = fill
    info = probe(path, trajectory.topology)
    assert (info.n_frames, info.n_promised) == (N_FRAMES - 1, N_FRAMES)
    if unwritten == "coordinates":
        return
    with netCDF4.Dataset(path, "a") as opened:
        opened[unwritten][:] = fill
    info = probe(path, trajectory.topology)
    assert info.n_frames == N_FRAMES
    assert (info.has_time, info.has_unitcell) == (unwritten != "time", unwritten != "cell_lengths")
    (block,) = read_blocks(info, frames=range(N_FRAMES))
    assert (block.time if unwritten == "time" else block.unitcell_lengths) is None


@pytest.mark.parametrize("name", ["nc4", "h5"])
def test_unfinished__leading_pieces_that_were_written(
    name: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    import h5py

    if name == "h5":
        path = write(trajectory, tmp_path / "run.h5")
    else:
        path = as_netcdf4(write(trajectory, tmp_path / "classic.nc"), tmp_path / "run.nc")
    whole = load(path, trajectory.topology)
    with h5py.File(path, "a") as opened:
        positions = opened["coordinates"]
        n_each = positions.chunks[0]
        positions.resize(N_FRAMES // n_each * n_each + 20 * n_each, axis=0)
        n_whole = positions.id.get_num_chunks() * n_each
        assert n_whole >= N_FRAMES
    info = probe(path, trajectory.topology)
    assert (info.n_frames, info.n_promised) == (n_whole, N_FRAMES // n_each * n_each + 20 * n_each)
    (block,) = read_blocks(info, frames=range(N_FRAMES))
    np.testing.assert_array_equal(block.xyz, whole.xyz)


@pytest.mark.parametrize("extension", ["xtc", "trr", "xyz", "lammpstrj", "gro"])
def test_damage_in_the_middle__is_an_error(
    extension: str, trajectory: md.Trajectory, top: Path, tmp_path: Path
) -> None:
    path = write(trajectory, tmp_path / f"run.{extension}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + content[len(content) // 2 + 400 :])
    with pytest.raises(TrajectoryError, match=f"run.{extension}"):
        ingest_trajectories(tmp_path / "s.zarr", path, top=top)
    path.write_bytes(content[:100])
    with pytest.raises(TrajectoryError, match=f"run.{extension}"):
        ingest_trajectories(tmp_path / "s.zarr", path, top=top)


def trr_frames(path: Path) -> list[bytearray]:
    content = path.read_bytes()
    size = len(content) // N_FRAMES
    return [bytearray(content[start : start + size]) for start in range(0, len(content), size)]


def test_trr__frames_without_positions_are_left_out_and_counted(
    trajectory: md.Trajectory, top: Path, tmp_path: Path, twopass: Twopass
) -> None:
    path = write(trajectory, tmp_path / "run.trr")
    whole, frames = load(path, trajectory.topology), trr_frames(path)
    parts = []
    for index, frame in enumerate(frames):
        velocities = bytearray(frame)
        velocities[52:56], velocities[56:60] = frame[56:60], frame[52:56]  # x_size and v_size
        parts += [velocities, velocities, frame] if index % 5 == 0 else [frame]
    path.write_bytes(b"".join(parts))
    n_without, has_positions = 8, [part in frames for part in parts]
    said = twopass("ingest", "s.zarr", path, "--top", top, "--discard-first", 2, "--stride", 3).stderr
    assert said.count(f"{n_without} frames of velocities or forces alone are left out of run.trr") == 1
    store = Store.open(tmp_path / "s.zarr")
    assert store.read("trajectory_n_without_positions").tolist() == [n_without]
    assert store.read("trajectory_n_frames").tolist() == [N_FRAMES]
    np.testing.assert_array_equal(store.read("position"), whole.xyz[2::3])
    np.testing.assert_array_equal(store.read("time"), whole.time[2::3])
    # As other programs number the frames of the file.
    np.testing.assert_array_equal(store.read("source_frame"), np.flatnonzero(has_positions)[2::3])
    path.write_bytes(path.read_bytes() + b"".join(frames))
    twopass("ingest", "s.zarr", path, "--append")
    expected = np.concatenate([whole.xyz, whole.xyz])[2::3]
    np.testing.assert_array_equal(Store.open(tmp_path / "s.zarr").read("position"), expected)
    path.write_bytes(b"".join(part for part in parts if part not in frames))
    with pytest.raises(TrajectoryError, match=r"No frame of .*run\.trr holds positions"):
        probe(path, trajectory.topology)


def without_box(frame: bytearray) -> bytearray:
    return frame[:32] + bytes(4) + frame[36:84] + frame[120:]


def test_trr__without_a_box(trajectory: md.Trajectory, tmp_path: Path) -> None:
    path = write(trajectory, tmp_path / "run.trr")
    frames = trr_frames(path)
    whole = load(path, trajectory.topology)
    path.write_bytes(b"".join(map(without_box, frames)))
    info = probe(path, trajectory.topology)
    assert not info.has_unitcell
    (block,) = read_blocks(info, frames=range(N_FRAMES))
    assert block.unitcell_lengths is None
    np.testing.assert_array_equal(block.xyz, whole.xyz)
    for start, others in (("no", frames[3:]), ("a", map(without_box, frames[3:]))):
        first = map(without_box, frames[:3]) if start == "no" else frames[:3]
        path.write_bytes(b"".join([*first, *others]))
        has = "a unit cell, though its first frame has none" if start == "no" else "no unit cell, though"
        with pytest.raises(TrajectoryError, match=rf"Frame 3 of .*run\.trr has {has}"):
            probe(path, trajectory.topology)


@pytest.mark.parametrize("extension", ["dcd", "nc", "xtc"])
def test_cell__of_some_frames_only(extension: str, tmp_path: Path) -> None:
    mixed = make_trajectory(8)
    mixed.unitcell_lengths[:5] = 0
    path = write(mixed, tmp_path / f"mixed.{extension}")
    with pytest.raises(TrajectoryError, match=r"Frame 5 .* a unit cell, though its first frame has none"):
        list(read_blocks(probe(path, mixed.topology), frames=range(8)))


ENDINGS: dict[str, Callable[[str], str]] = {
    "empty lines": lambda text: text + "\n \n\n",
    "no last line end": lambda text: text.rstrip("\n"),
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "Windows, no last line end": lambda text: text.rstrip("\n").replace("\n", "\r\n"),
    "Windows, empty lines": lambda text: (text + "\n\n").replace("\n", "\r\n"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("extension", [*TEXT, "pdb"])
def test_text__as_people_write_it(
    extension: str, ending: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = write(trajectory, tmp_path / f"run.{extension}")
    whole = load(path, trajectory.topology)
    path.write_bytes(ENDINGS[ending](path.read_text()).encode())
    info = probe(path, trajectory.topology)
    assert (info.n_frames, info.unfinished) == (N_FRAMES, "")
    found = np.concatenate([block.xyz for block in read_blocks(info, frames=range(N_FRAMES))])
    np.testing.assert_array_equal(found, whole.xyz)


@pytest.mark.parametrize("extension", TEXT)
def test_text__that_ends_within_its_last_number(
    extension: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = write(trajectory, tmp_path / f"run.{extension}")
    lines = path.read_text().splitlines()
    if extension == "lammpstrj":  # whose numbers have no fixed columns
        lines[-1] = lines[-1].rpartition(" ")[0]
    else:
        lines[-1] = lines[-1][:-1]
    path.write_text("\n".join(lines))
    assert probe(path, trajectory.topology).n_frames == N_FRAMES - 1


@pytest.mark.parametrize(
    ("title", "time"),
    [
        ("t= 5", 5.0),
        ("water t=   7.50000 step= 100", 7.5),
        ("t=1.5e3", 1500.0),
        ("at t=300K", None),
        ("t= soon", None),
        ("dt= 0.002", None),
        ("", None),
        ("Wässer", None),
    ],
)
def test_gro__any_title(title: str, time: float | None, trajectory: md.Trajectory, tmp_path: Path) -> None:
    path = write(trajectory[:1], tmp_path / "one.gro")
    path.write_text("\n".join([title, *path.read_text().splitlines()[1:], ""]))
    info = probe(path, None)
    (block,) = read_blocks(info, frames=range(1))
    np.testing.assert_allclose(block.xyz, trajectory.xyz[:1], atol=6e-4)
    assert (block.time is None and not info.has_time) if time is None else block.time.tolist() == [time]


def test_text__lists_and_tables_as_people_write_them(
    trajectory: md.Trajectory, top: Path, tmp_path: Path, twopass: Twopass
) -> None:
    write(trajectory, tmp_path / "a.xtc")
    for name, lines in {
        "list.csv": ["path,topology,label", "a.xtc,top.pdb,first", "", ""],
        "index.ndx": ["[ System ]", "1 2 3", "", "[ Heavy ]", "1 3 5", "7", ""],
        "masses.dat": ["# all", "N 14", "CA 12", "CB 12"],
    }.items():
        (tmp_path / name).write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    twopass("ingest", "s.zarr", "--from-list", "list.csv", "--ndx", "index.ndx", "--group", "Heavy")
    assert Store.open(tmp_path / "s.zarr").read("atom_name").tolist() == ["N", "CA", "CB", "O"]
    assert Store.open(tmp_path / "s.zarr").read("trajectory_label").tolist() == ["first"]


@pytest.mark.parametrize("units", ["usual", "other"])
def test_netcdf__units_are_read(units: str, trajectory: md.Trajectory, tmp_path: Path) -> None:
    path = write(trajectory, tmp_path / "run.nc")
    changes = {
        "time": ("femtosecond", 1000.0),
        "coordinates": ("nm", 0.1),
        "cell_lengths": ("picometers", 100.0),
        "cell_angles": ("radian", np.pi / 180),
    }
    if units == "other":
        with netCDF4.Dataset(path, "a") as opened:
            for name, (unit, factor) in changes.items():
                opened[name].units = unit
                opened[name][:] = opened[name][:] * factor
    info = probe(path, trajectory.topology)
    (block,) = read_blocks(info, frames=range(N_FRAMES))
    np.testing.assert_allclose(block.xyz, trajectory.xyz, rtol=1e-6)
    np.testing.assert_array_equal(block.time, trajectory.time)
    np.testing.assert_array_equal(read_times(info), trajectory.time)
    np.testing.assert_allclose(block.unitcell_lengths, trajectory.unitcell_lengths, rtol=1e-6)
    np.testing.assert_allclose(block.unitcell_angles, 90.0, rtol=1e-6)


@pytest.mark.parametrize("extension", ["nc", "h5"])
@pytest.mark.parametrize("unknown", ["time", "coordinates", "cell_lengths", "cell_angles"])
def test_units__that_are_unknown_are_refused(
    extension: str, unknown: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    import h5py

    path = write(trajectory, tmp_path / f"run.{extension}")
    if extension == "nc":
        with netCDF4.Dataset(path, "a") as opened:
            opened[unknown].units = "blah"
    else:
        with h5py.File(path, "a") as opened:
            opened[unknown].attrs["units"] = np.bytes_("blah")
    with pytest.raises(TrajectoryError, match=rf"run\.{extension} gives {unknown} in 'blah'"):
        probe(path, trajectory.topology)


def test_hdf5__short_units_are_read(trajectory: md.Trajectory, tmp_path: Path) -> None:
    import h5py

    path = write(trajectory, tmp_path / "run.h5")
    with h5py.File(path, "a") as opened:
        opened["time"].attrs["units"] = np.bytes_("fs")
        opened["time"][:] = 1000 * opened["time"][:]
    np.testing.assert_allclose(read_times(probe(path, None)), trajectory.time)


@pytest.mark.parametrize("extension", ["dcd", "nc", "h5", "gro"])
def test_output__is_ours_alone(
    extension: str, trajectory: md.Trajectory, top: Path, tmp_path: Path, twopass: Twopass
) -> None:
    path = write(trajectory, tmp_path / f"run.{extension}")
    done = twopass("ingest", "s.zarr", path, "--top", top, "-q")
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")
    done = twopass("export", "s.zarr", "coordinates", "--to", f"out.{extension}", "-q")
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_strict__takes_what_is_whole(trajectory: md.Trajectory, top: Path, tmp_path: Path) -> None:
    path = write(trajectory, tmp_path / "run.dcd")
    assert ingest_trajectories(tmp_path / "s.zarr", path, top=top, strict=True).n_frames == N_FRAMES
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TruncatedTrajectoryError, match="is unfinished: 16 whole frames of 17 promised"):
        ingest_trajectories(tmp_path / "t.zarr", path, top=top, strict=True)
