"""Variants of formats as other programs write them: read for what they mean, or refused."""

import struct
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from trajectory_files import load, make_trajectory, write
from twopass_store.errors import TrajectoryError
from twopass_store.trajectory import Block, load_topology, probe, read_blocks

N_FRAMES = 5


@pytest.fixture(scope="module")
def trajectory() -> md.Trajectory:
    return make_trajectory(N_FRAMES)


def read(path: Path, topology: md.Topology) -> tuple[Block, bool]:
    info = probe(path, topology)
    (block,) = read_blocks(info, topology, frames=range(info.n_frames), atom_indices=None)
    return block, info.has_unitcell


def dcd(xyz_angstrom: np.ndarray, cells: np.ndarray | None, *, stated_titles: int = 1) -> bytes:
    """A CHARMM file by the book; `cells` are the six numbers of its unit cell record."""

    def record(content: bytes, stated: int | None = None) -> bytes:
        length = struct.pack("<i", len(content) if stated is None else stated)
        return length + content + length

    n_frames, n_atoms, _ = xyz_angstrom.shape
    control = [n_frames, 0, 1, n_frames, 0, 0, 0, 0, 0]
    flags = [int(cells is not None), *[0] * 8, 24]
    parts = [
        record(b"CORD" + struct.pack("<9if10i", *control, 1.0, *flags)),
        record(struct.pack("<i", 2) + b" " * 160, 4 + 80 * stated_titles),
        record(struct.pack("<i", n_atoms)),
    ]
    for index, frame in enumerate(xyz_angstrom):
        parts += [] if cells is None else [record(cells[index].astype("<f8").tobytes())]
        parts += [record(frame[:, axis].astype("<f4").tobytes()) for axis in range(3)]
    return b"".join(parts)


def test_dcd__charmm_gives_the_matrix_of_the_cell(trajectory, tmp_path):
    # A truncated octahedron of growing size, turned so that its matrix is symmetric, as CHARMM has it.
    size = 30 + np.arange(N_FRAMES)
    matrix = (
        np.array([[0.96, -0.18, -0.18], [-0.18, 0.96, -0.18], [-0.18, -0.18, 0.96]]) * size[:, None, None]
    )
    cells = np.stack([matrix[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))], axis=1)
    path = tmp_path / "charmm.dcd"
    path.write_bytes(dcd(trajectory.xyz * 10, cells, stated_titles=2))
    block, _ = read(path, trajectory.topology)
    lengths = np.linalg.norm(matrix, axis=2)
    np.testing.assert_allclose(block.unitcell_lengths, lengths / 10, rtol=1e-5)
    cosine = (matrix[:, 0] * matrix[:, 1]).sum(axis=1) / (lengths[:, 0] * lengths[:, 1])
    angle = np.degrees(np.arccos(cosine))
    np.testing.assert_allclose(block.unitcell_angles, np.stack([angle] * 3, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(block.xyz, load(path, trajectory.topology).xyz)


@pytest.mark.parametrize("angles", [(90, 90, 90), (60, 60, 90), (109.47, 109.47, 109.47), (70.5, 110, 70.5)])
def test_dcd__angles_stay_angles(angles, trajectory, tmp_path):
    celled = trajectory[:]
    celled.unitcell_angles = np.full((N_FRAMES, 3), angles, np.float32)
    path = write(celled, tmp_path / "angles.dcd")
    block, _ = read(path, trajectory.topology)
    np.testing.assert_array_equal(block.unitcell_angles, load(path, trajectory.topology).unitcell_angles)
    np.testing.assert_allclose(block.unitcell_angles, celled.unitcell_angles, rtol=1e-5)


def test_dcd__a_length_for_fewer_titles_than_there_are(trajectory, tmp_path):
    path = tmp_path / "titles.dcd"
    path.write_bytes(dcd(trajectory.xyz * 10, None, stated_titles=1))
    block, has_unitcell = read(path, trajectory.topology)
    np.testing.assert_allclose(block.xyz, trajectory.xyz, atol=1e-6)
    assert not has_unitcell


def test_pdb__a_cell_of_zeros_is_none(trajectory, tmp_path):
    path = write(make_trajectory(N_FRAMES, has_cell=False), tmp_path / "vmd.pdb")
    header = "CRYST1    0.000    0.000    0.000  90.00  90.00  90.00 P 1           1\n"
    path.write_text(header + path.read_text())
    block, has_unitcell = read(path, load_topology(path))
    assert not has_unitcell and block.unitcell_lengths is None
    np.testing.assert_allclose(block.xyz, trajectory.xyz, atol=6e-5)


def test_netcdf__a_cell_of_zeros_is_none(trajectory, tmp_path):
    celled = trajectory[:]
    celled.unitcell_lengths = np.zeros((N_FRAMES, 3), np.float32)
    path = write(celled, tmp_path / "amber.nc")
    block, has_unitcell = read(path, trajectory.topology)
    assert not has_unitcell and block.unitcell_lengths is None


def test_xyz__may_end_with_an_empty_line(trajectory, tmp_path):
    path = write(trajectory, tmp_path / "run.xyz")
    expected = load(path, trajectory.topology).xyz
    text = path.read_text()
    for end in ("\n", "\n\n", "  \n"):
        path.write_text(text + end)
        block, _ = read(path, trajectory.topology)
        np.testing.assert_array_equal(block.xyz, expected)
    lines = text.splitlines(keepends=True)
    path.write_text("".join([*lines[:30], "\n", *lines[30:]]))
    with pytest.raises(TrajectoryError, match="an empty line stands where the number of atoms should"):
        read(path, trajectory.topology)


@pytest.mark.parametrize("columns", ["xs ys zs", "xsu ysu zsu"])
def test_lammps__scaled_coordinates_are_refused(columns, trajectory, tmp_path):
    path = write(trajectory, tmp_path / "run.lammpstrj")
    path.write_text(path.read_text().replace("xu yu zu", columns))
    with pytest.raises(TrajectoryError, match=r"run\.lammpstrj holds scaled coordinates"):
        read(path, trajectory.topology)


@pytest.mark.parametrize("columns", ["x y z", "xu yu zu"])
def test_lammps__lines_in_any_order(columns, trajectory, tmp_path):
    path = write(trajectory, tmp_path / "run.lammpstrj")
    expected = load(path, trajectory.topology).xyz
    lines = path.read_text().replace("xu yu zu", columns).splitlines(keepends=True)
    n_lines = len(lines) // N_FRAMES
    for start in range(0, len(lines), n_lines):
        lines[start + 9 : start + n_lines] = lines[start + 9 : start + n_lines][::-1]
    path.write_text("".join(lines))
    block, _ = read(path, trajectory.topology)
    np.testing.assert_array_equal(block.xyz, expected)
