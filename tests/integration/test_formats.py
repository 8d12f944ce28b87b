"""Every claimed format: what a file holds, and that any frames in any blocks are those of ``md.load``."""

import bz2
import gzip
import lzma
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mdtraj as md
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import as_netcdf4
from trajectory_files import FORMATS, WITH_CELL, WITH_TIME, WITH_TOPOLOGY, load, make_trajectory, write
from twopass_store.errors import (
    TopologyMismatchError,
    TrajectoryError,
    TrajectoryNotFoundError,
)
from twopass_store.trajectory import (
    Block,
    TrajectoryInfo,
    load_topology,
    probe,
    read_blocks,
    read_times,
)

N_FRAMES = 17


@pytest.fixture(scope="module")
def trajectory() -> md.Trajectory:
    found = make_trajectory(N_FRAMES)
    found.time = np.cumsum(np.random.default_rng(2).random(N_FRAMES) * 1000) + 1e5 / 3
    return found


@pytest.fixture(scope="module")
def files(trajectory: md.Trajectory, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    files = {extension: write(trajectory, folder / f"run.{extension}") for extension in FORMATS}
    return files | {"nc4": as_netcdf4(files["nc"], folder / "nc4.nc")}


def read_all(info: TrajectoryInfo, frames: range | None = None, **options: object) -> list[Block]:
    return list(read_blocks(info, frames=range(info.n_frames) if frames is None else frames, **options))


def assert_equals_load(
    blocks: list[Block], info: TrajectoryInfo, whole: md.Trajectory, frames: range
) -> None:
    wanted = list(frames)
    assert sum(block.n_frames for block in blocks) == len(wanted)
    if not wanted:
        return
    np.testing.assert_array_equal(np.concatenate([block.xyz for block in blocks]), whole.xyz[wanted])
    assert blocks[0].xyz.dtype == np.float32
    names = {
        "time": info.has_time,
        "unitcell_lengths": info.has_unitcell,
        "unitcell_angles": info.has_unitcell,
    }
    for name, has in names.items():
        if has:
            values = np.concatenate([getattr(block, name) for block in blocks])
            assert values.dtype == np.float64
            np.testing.assert_array_equal(values, getattr(whole, name)[wanted])
        else:
            assert all(getattr(block, name) is None for block in blocks)


@pytest.mark.parametrize("extension", [*FORMATS, "nc4"])
class TestReader:
    """What the reader of every format must do."""

    @pytest.fixture(autouse=True)
    def set_up(
        self, extension: str, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
    ) -> None:
        self.file, self.topology = files[extension], trajectory.topology
        self.extension = {"nc4": "nc"}.get(extension, extension)
        self.whole = load(self.file, self.topology)
        self.other = tmp_path / f"other.{self.extension}"

    def probe(self, path: Path | None = None) -> TrajectoryInfo:
        return probe(path or self.file, self.topology)

    def test_finds_what_was_written(self) -> None:
        info, status = self.probe(), self.file.stat()
        assert (info.n_frames, info.n_atoms) == (N_FRAMES, self.topology.n_atoms)
        assert info.has_unitcell == (self.extension in WITH_CELL)
        assert info.has_time == (self.extension in WITH_TIME)
        assert info.path == str(self.file)
        assert (info.size_bytes, info.modified_ns) == (status.st_size, status.st_mtime_ns)
        if self.extension in WITH_TOPOLOGY:
            assert probe(self.file, None) == info
        else:
            with pytest.raises(TrajectoryError, match="Give a topology"):
                probe(self.file, None)

    @settings(derandomize=True, max_examples=8, deadline=None)
    @given(data=st.data())
    def test_any_frames_in_any_blocks_are_those_of_load(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, N_FRAMES))
        frames = range(start, data.draw(st.integers(start, N_FRAMES)), data.draw(st.integers(1, N_FRAMES)))
        info = self.probe()
        blocks = read_all(info, frames, block_frames=data.draw(st.integers(1, N_FRAMES)))
        assert_equals_load(blocks, info, self.whole, frames)

    def test_selects_atoms(self) -> None:
        atoms = np.array([2, 9, 16, 23], dtype=np.int64)
        blocks = read_all(self.probe(), range(4, 15, 3), atom_indices=atoms, block_frames=3)
        found = np.concatenate([block.xyz for block in blocks])
        np.testing.assert_array_equal(found, self.whole.xyz[4:15:3][:, atoms])

    def test_times_are_those_of_load(self) -> None:
        times = read_times(self.probe())
        if self.extension in WITH_TIME:
            np.testing.assert_array_equal(times, self.whole.time)
        else:
            assert times is None

    def test_without_a_unit_cell(self) -> None:
        if self.extension == "lammpstrj":
            pytest.skip("a LAMMPS dump always has a box")
        bare = make_trajectory(5, has_cell=False)
        info = self.probe(write(bare, self.other))
        assert not info.has_unitcell
        assert_equals_load(read_all(info), info, load(self.other, bare.topology), range(5))

    def test_extension_in_capitals_and_other_letters(self) -> None:
        for name in (f"RUN.{self.extension.upper()}", f"läuft.{self.extension}"):
            info = self.probe(Path(shutil.copy(self.file, self.other.with_name(name))))
            assert_equals_load(read_all(info, range(3, 9)), info, self.whole, range(3, 9))

    def test_cut_file_gives_its_whole_frames(self) -> None:
        content = self.file.read_bytes()
        # HDF5 files that are cut can't be opened, and each error of theirs costs the start of another reader.
        n_parts = 2 if content[1:4] == b"HDF" else 8
        cuts = {130, len(content) - 40, len(content) - 9, len(content) - 2}
        cuts |= {len(content) * part // n_parts for part in range(1, n_parts)}
        n_frames, n_right, may_fail = 0, 0, content[1:4] == b"HDF" or self.extension == "pdb"
        for cut in sorted(cuts):
            self.other.write_bytes(content[:cut])
            try:
                info = self.probe(self.other)
                blocks = read_all(info)
            except TrajectoryError as error:
                n_right += str(self.other) in str(error) and (not n_frames or may_fail)
                continue
            n_right += 1
            assert n_frames <= info.n_frames and (info.unfinished or self.extension == "pdb")
            n_frames = info.n_frames
            assert_equals_load(blocks, info, self.whole, range(n_frames))
        assert n_right == len(cuts) and (n_frames == N_FRAMES - 1 or may_fail)

    def test_file_that_shrank_since(self) -> None:
        info = self.probe(Path(shutil.copy(self.file, self.other)))
        write(self.whole[:6], self.other)
        with pytest.raises(TrajectoryError, match=r"shrunk|changed"):
            read_all(info)

    def test_no_such_file(self) -> None:
        with pytest.raises(TrajectoryNotFoundError, match="no file"):
            self.probe(self.other)
        self.other.write_bytes(b"")
        with pytest.raises(TrajectoryError, match="empty"):
            self.probe(self.other)
        contents = np.random.default_rng(1).bytes(5000), b"\0" * 4000, b"hello\n" * 50, b"\xff" * 300
        for content in contents:
            self.other.write_bytes(content)
            with pytest.raises(TrajectoryError, match=f"other.{self.extension}"):
                self.probe(self.other)
        self.other.unlink()
        self.other.mkdir()
        with pytest.raises(TrajectoryError, match="directory"):
            self.probe(self.other)

    @pytest.mark.parametrize("wearing", [".xtc", ".h5", ".xyz", ".pdb", ".x", ".TRJ", ""])
    def test_under_the_name_of_another_format(self, wearing: str) -> None:
        info = self.probe(Path(shutil.copy(self.file, self.other.with_name(f"disguised{wearing}"))))
        assert_equals_load(read_all(info, range(3, 9)), info, self.whole, range(3, 9))

    @pytest.mark.parametrize("packed", [("gz", gzip), ("bz2", bz2), ("xz", lzma)], ids=lambda each: each[0])
    def test_compressed(self, packed: tuple[str, ModuleType]) -> None:
        suffix, module = packed
        path = self.other.with_name(f"run.{self.extension}.{suffix}")
        path.write_bytes(module.compress(self.file.read_bytes()))
        if self.extension in ("mdcrd", "crd", "xyz", "lammpstrj", "gro", "pdb"):
            info = self.probe(path)
            for frames in (range(N_FRAMES), range(5, 17, 3)):
                assert_equals_load(read_all(info, frames, block_frames=4), info, self.whole, frames)
            path.write_bytes(path.read_bytes()[:-300])
            with pytest.raises(TrajectoryError, match=re.escape(str(path))):
                self.probe(path)
        else:
            with pytest.raises(TrajectoryError, match=rf"`\w+ -dk run.{self.extension}.{suffix}`"):
                self.probe(path)

    def test_topology_of_other_atoms(self) -> None:
        other = make_trajectory(1, n_residues=5).topology
        with pytest.raises(TrajectoryError, match=r"atoms") as caught:
            probe(self.file, other, topology_path="other.pdb")
        # An mdcrd file doesn't say how many atoms it has.
        if self.extension not in ("mdcrd", "crd"):
            assert isinstance(caught.value, TopologyMismatchError)
            assert "28 atoms, the topology other.pdb has 35" in str(caught.value)


def test_probe__what_is_no_trajectory(trajectory: md.Trajectory, tmp_path: Path) -> None:
    (tmp_path / "run.binpos").write_bytes(b"x")
    with pytest.raises(TrajectoryError, match=r"\.binpos.*\.xtc, \.trr, \.dcd"):
        probe(tmp_path / "run.binpos", trajectory.topology)
    os.mkfifo(tmp_path / "pipe.xtc")
    with pytest.raises(TrajectoryError, match="not a regular file"):
        probe(tmp_path / "pipe.xtc", trajectory.topology)


# The first bytes of what isn't read, by the books of the formats.
NOT_READ = {
    "run.xtc": (struct.pack(">3if", 2023, 28, 0, 0.0), "GROMACS 2023.*gmx trjconv"),
    "vel.dcd": (struct.pack("<i4s20i", 84, b"VELD", *[0] * 20), "velocities"),
    "long.dcd": (struct.pack(">q4s20i", 84, b"CORD", *[0] * 20), "64-bit records.*CatDCD"),
    "run.nc": (b"CDF\x05" + bytes(100), "CDF-5.*nccopy"),
    "card.crd": (b"* A TITLE\n*\n   28\n    1    1 ALA  N      0.1 0.2 0.3 A    1      0.0\n", "CHARMM"),
    "conf.g96": (b"TITLE\nany\nEND\nPOSITION\n", "GROMOS96.*gmx trjconv"),
    "run.gsd": (bytes.fromhex("df65df65df65df65") + bytes(200), "GSD.*Convert"),
    "top.psf": (b"PSF CMAP\n\n       1 !NTITLE\n", "PSF.*`top`"),
    "run.tar.gz": (
        gzip.compress(b"run.xtc".ljust(257, b"\0") + b"ustar" + bytes(250)),
        "tar -xf run.tar.gz",
    ),
    "run.xyz.zst": (bytes.fromhex("28b52ffd") + b"any", "zstd -dk run.xyz.zst"),
    "run.zip": (b"PK\x03\x04any", "unzip run.zip"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_probe__names_what_is_not_read_and_a_way(
    name: str, trajectory: md.Trajectory, tmp_path: Path
) -> None:
    content, expected = NOT_READ[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrajectoryError, match=f"{re.escape(name)}.*{expected}"):
        probe(tmp_path / name, trajectory.topology)


@pytest.mark.parametrize("name", ["r.ncrst", "r.rst7", "r.inpcrd", "netcdf.rst7", "text.rst", "r.ncrst.7"])
def test_restart__is_one_frame(name: str, trajectory: md.Trajectory, tmp_path: Path) -> None:
    is_netcdf = name in ("r.ncrst", "netcdf.rst7", "r.ncrst.7")
    plain = tmp_path / ("plain.ncrst" if is_netcdf else "plain.rst7")
    trajectory[3].save(str(plain))
    info = probe(plain.rename(tmp_path / name), trajectory.topology)
    (block,) = read_all(info)
    assert info.has_time and info.has_unitcell
    np.testing.assert_allclose(block.xyz, trajectory.xyz[3:4], atol=1e-7 if is_netcdf else 1e-6)
    np.testing.assert_allclose(block.time, trajectory.time[3:4], rtol=1e-6)
    np.testing.assert_allclose(block.unitcell_lengths, trajectory.unitcell_lengths[3:4], rtol=1e-6)
    np.testing.assert_array_equal(block.unitcell_angles, trajectory.unitcell_angles[3:4])
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(TrajectoryError, match=re.escape(name)):
        probe(tmp_path / name, trajectory.topology)


def test_ingest__format_that_is_named(
    trajectory: md.Trajectory, tmp_path: Path, twopass: Callable[..., Any]
) -> None:
    # Four decimals fill the columns of mdcrd too, but aren't what these files mostly have.
    rows = trajectory.xyz.reshape(N_FRAMES, -1) * 10
    lines = ["any title"]
    for row in rows:
        lines += ["".join(f"{x:8.4f}" for x in row[start : start + 10]) for start in range(0, len(row), 10)]
    (tmp_path / "run.dat").write_text("\n".join(lines) + "\n")
    trajectory[0].save(str(tmp_path / "top.pdb"))
    asked = ("ingest", "s.zarr", "run.dat", "--top", "top.pdb", "--precision", "lossless")
    assert "--format" in twopass(*asked, code=3).stderr
    assert "xtc, trr, dcd" in twopass(*asked, "--format", "any", code=2).stderr
    assert "read as Amber mdcrd: run.dat" in twopass(*asked, "--format", "mdcrd").stderr
    assert "done already" in twopass(*asked, "--format", "crd").stdout
    stored = zarr.open_group(tmp_path / "s.zarr", mode="r")["position"][:]
    np.testing.assert_allclose(stored, trajectory.xyz, atol=6e-6)
    assert "format" in twopass(*asked, "--format", "xyz", code=3).stderr


def dcd(
    xyz: np.ndarray,
    *,
    order: str = "<",
    n_fixed: int = 0,
    cells: np.ndarray | None = None,
    stated_titles: int = 2,
) -> bytes:
    """A CHARMM file by the book, positions in Å; `cells` are the six numbers of its unit cell record."""

    def record(content: bytes, stated: int | None = None) -> bytes:
        length = struct.pack(order + "i", len(content) if stated is None else stated)
        return length + content + length

    n_frames, n_atoms, _ = xyz.shape
    control = [n_frames, 0, 1, n_frames, 0, 0, 0, 0, n_fixed]
    flags = [int(cells is not None), *[0] * 8, 24]
    parts = [
        record(b"CORD" + struct.pack(order + "9if10i", *control, 1.0, *flags)),
        record(struct.pack(order + "i", 2) + b" " * 160, 4 + 80 * stated_titles),
        record(struct.pack(order + "i", n_atoms)),
    ]
    if n_fixed:
        parts.append(record(np.arange(n_fixed + 1, n_atoms + 1, dtype=order + "i4").tobytes()))
    for index, frame in enumerate(xyz):
        moving = frame if index == 0 else frame[n_fixed:]
        parts += [] if cells is None else [record(cells[index].astype(order + "f8").tobytes())]
        parts += [record(moving[:, axis].astype(order + "f4").tobytes()) for axis in range(3)]
    return b"".join(parts)


@pytest.mark.parametrize(
    "variant", [{}, {"order": ">"}, {"n_fixed": 20}, {"order": ">", "n_fixed": 20}, {"stated_titles": 1}]
)
def test_dcd__as_other_programs_write_it(
    variant: dict[str, object], trajectory: md.Trajectory, tmp_path: Path
) -> None:
    path = tmp_path / "namd.dcd"
    path.write_bytes(dcd(trajectory.xyz * 10, **variant))
    info, whole = probe(path, trajectory.topology), load(path, trajectory.topology)
    assert (info.n_frames, info.has_unitcell) == (N_FRAMES, False)
    for frames in (range(N_FRAMES), range(6, 15), range(1, 17, 4)):
        assert_equals_load(read_all(info, frames, block_frames=5), info, whole, frames)


def test_dcd__charmm_gives_the_matrix_of_the_cell(trajectory: md.Trajectory, tmp_path: Path) -> None:
    # A truncated octahedron of growing size, turned so that its matrix is symmetric, as CHARMM has it.
    size = 30 + np.arange(N_FRAMES)
    shape = np.array([[0.96, -0.18, -0.18], [-0.18, 0.96, -0.18], [-0.18, -0.18, 0.96]])
    matrix = shape * size[:, None, None]
    cells = np.stack([matrix[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))], axis=1)
    path = tmp_path / "charmm.dcd"
    path.write_bytes(dcd(trajectory.xyz * 10, cells=cells))
    (block,) = read_all(probe(path, trajectory.topology))
    lengths = np.linalg.norm(matrix, axis=2)
    np.testing.assert_allclose(block.unitcell_lengths, lengths / 10, rtol=1e-5)
    cosine = (matrix[:, 0] * matrix[:, 1]).sum(axis=1) / (lengths[:, 0] * lengths[:, 1])
    angle = np.degrees(np.arccos(cosine))
    np.testing.assert_allclose(block.unitcell_angles, np.stack([angle] * 3, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(block.xyz, load(path, trajectory.topology).xyz)


@pytest.mark.parametrize("extension", ["xtc", "trr", "dcd"])
def test_frame_without_a_cell_among_others(extension: str, tmp_path: Path) -> None:
    mixed = make_trajectory(8)
    mixed.unitcell_lengths[5] = 0
    path = write(mixed, tmp_path / f"mixed.{extension}")
    for block_frames in (1, 100):
        with pytest.raises(TrajectoryError, match=r"Frame 5 .* no unit cell"):
            read_all(probe(path, mixed.topology), block_frames=block_frames)


def test_gro__times_only_if_all_titles_have_one(files: dict[str, Path], tmp_path: Path) -> None:
    text = files["gro"].read_text()
    title = text.splitlines()[0]
    path = tmp_path / "some.gro"
    path.write_text(text.replace(title, "no time", 1))
    assert not probe(path, None).has_time


def test_cells_that_are_none(trajectory: md.Trajectory, tmp_path: Path) -> None:
    crowded = make_trajectory(3)
    crowded.unitcell_lengths = np.full((3, 3), 0.1, np.float32)  # of a dummy, which md.load drops
    vmd = write(make_trajectory(3, has_cell=False), tmp_path / "vmd.pdb")
    header = "CRYST1    0.000    0.000    0.000  90.00  90.00  90.00 P 1           1\n"
    vmd.write_text(header + vmd.read_text())
    zeros = trajectory[:]
    zeros.unitcell_lengths = np.zeros((N_FRAMES, 3), np.float32)
    for path in (write(crowded, tmp_path / "dummy.pdb"), vmd, write(zeros, tmp_path / "amber.nc")):
        info = probe(path, trajectory.topology)
        assert not info.has_unitcell
        assert all(block.unitcell_lengths is None for block in read_all(info))


def test_xyz__may_end_with_an_empty_line(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    path, text = tmp_path / "run.xyz", files["xyz"].read_text()
    for end in ("\n", "\n\n", "  \n"):
        path.write_text(text + end)
        (block,) = read_all(probe(path, trajectory.topology))
        np.testing.assert_array_equal(block.xyz, load(files["xyz"], trajectory.topology).xyz)
    lines = text.splitlines(keepends=True)
    path.write_text("".join([*lines[:30], "\n", *lines[30:]]))
    with pytest.raises(TrajectoryError, match="damaged before line 31"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("columns", ["xs ys zs", "xsu ysu zsu"])
def test_lammps__scaled_coordinates_are_refused(
    columns: str, trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "run.lammpstrj"
    path.write_text(files["lammpstrj"].read_text().replace("xu yu zu", columns))
    with pytest.raises(TrajectoryError, match=r"run\.lammpstrj holds scaled coordinates"):
        probe(path, trajectory.topology)


def test_lammps__lines_in_any_order(
    trajectory: md.Trajectory, files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "run.lammpstrj"
    lines = files["lammpstrj"].read_text().replace("xu yu zu", "x y z").splitlines(keepends=True)
    n_lines = len(lines) // N_FRAMES
    for start in range(0, len(lines), n_lines):
        lines[start + 9 : start + n_lines] = lines[start + 9 : start + n_lines][::-1]
    path.write_text("".join(lines))
    (block,) = read_all(probe(path, trajectory.topology))
    np.testing.assert_array_equal(block.xyz, load(files["lammpstrj"], trajectory.topology).xyz)


def test_hdf5__has_a_topology(trajectory: md.Trajectory, tmp_path: Path) -> None:
    assert load_topology(write(trajectory, tmp_path / "run.h5")).n_atoms == trajectory.n_atoms


def test_reading__the_example(example_xtc: Path, example_top: Path) -> None:
    topology = load_topology(example_top)
    info, whole = probe(example_xtc, topology), md.load(str(example_xtc), top=topology)
    for frames in (range(3900, 4000), range(0, 4000, 200), range(17, 3000, 3)):
        assert_equals_load(read_all(info, frames, block_frames=120), info, whole, frames)
    np.testing.assert_array_equal(read_times(info), whole.time)
