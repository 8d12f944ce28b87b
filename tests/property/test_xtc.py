"""XTC decoded by our kernels: bit for bit what mdtraj reads, and no crash on damage."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdtraj.formats import XTCTrajectoryFile

from trajectory_files import make_trajectory, write
from twopass_store.errors import TrajectoryError
from twopass_store.trajectory import load_topology, probe, read_blocks
from twopass_store.trajectory.xdr import FrameIndex
from twopass_store.trajectory.xtc import XtcFile


def frames(kind: str, *, n_frames: int, n_atoms: int, extent_nm: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (n_frames, n_atoms, 3)
    if kind == "chain":
        xyz = np.cumsum(rng.normal(scale=extent_nm / 10, size=shape), axis=1)
    elif kind == "water":  # molecules of three near atoms, which is what runs are for
        xyz = np.repeat(rng.uniform(-extent_nm, extent_nm, (n_frames, n_atoms // 3 + 1, 3)), 3, axis=1)[
            :, :n_atoms
        ]
        xyz = xyz + rng.normal(scale=0.05, size=shape)
    else:
        xyz = np.full(shape, extent_nm) + (rng.integers(0, 2, shape) if kind == "two places" else 0)
    return xyz.astype(np.float32)


def read(path: Path, start: int, n_frames: int) -> tuple[np.ndarray, ...]:
    file = XtcFile(str(path), FrameIndex(str(path)))
    try:
        return file.read(start, n_frames)
    finally:
        file.close()


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["chain", "water", "one place", "two places"]),
    n_frames=st.integers(1, 5),
    n_atoms=st.one_of(st.integers(1, 40), st.sampled_from([300, 2000])),
    # From numbers of a few bits to those of more than 24, which are written axis by axis.
    extent_nm=st.sampled_from([0.001, 0.1, 1.0, 8.0, 120.0, 3000.0, 15_000.0]),
    precision=st.sampled_from([1000.0, 100.0, 33.0, 12_345.0]),
    start=st.integers(0, 2),
    seed=st.integers(0, 10**6),
)
def test_read__bit_for_bit(kind, n_frames, n_atoms, extent_nm, precision, start, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("xtc") / "run.xtc"
    xyz = frames(kind, n_frames=n_frames, n_atoms=n_atoms, extent_nm=extent_nm, seed=seed)
    boxes = np.tile(np.diag([3, 4, 5]).astype(np.float32), (n_frames, 1, 1))
    with XTCTrajectoryFile(str(path), "w") as file:
        times, steps = np.arange(n_frames, dtype=np.float32) / 3, np.arange(n_frames, dtype=np.int32) * 7
        file._write(xyz, times, steps, boxes, np.full(n_frames, precision, np.float32))
    with XTCTrajectoryFile(str(path)) as file:
        expected = file.read()
    start = min(start, n_frames - 1)
    for found, whole in zip(read(path, start, n_frames), expected, strict=True):
        assert found.dtype == whole.dtype
        np.testing.assert_array_equal(found, whole[start:])


def test_read__blocks_of_any_size_and_small_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("twopass_store.trajectory.xtc._WINDOW_BYTES", 0)
    path = write(make_trajectory(101), tmp_path / "run.xtc")
    whole = read(path, 0, 200)
    assert len(whole[0]) == 101
    file = XtcFile(str(path), FrameIndex(str(path)))
    for start, n_frames in ((0, 1), (1, 50), (51, 7), (3, 3), (100, 5), (101, 5), (60, 41)):
        for part, all_of_it in zip(file.read(start, n_frames), whole, strict=True):
            np.testing.assert_array_equal(part, all_of_it[start : start + n_frames])
    file.close()


def test_read__real_frames(example_xtc):
    with XTCTrajectoryFile(str(example_xtc)) as file:
        expected = file.read()
    for found, whole in zip(read(example_xtc, 0, 4000)[:3], expected[:3], strict=True):
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("n_residues", [1, 2, 43])
def test_flips__no_crash_and_what_shows_is_said(n_residues, tmp_path):
    """Any flip once in each byte: mdtraj's decoder dies of one in two hundred of the larger file's."""
    trajectory = make_trajectory(4, n_residues=n_residues)
    path = write(trajectory, tmp_path / "run.xtc")
    top = load_topology(write(trajectory[:1], tmp_path / "top.pdb"))
    data = path.read_bytes()
    info = probe(path, top)
    expected = np.concatenate(
        [block.xyz for block in read_blocks(info, top, frames=range(4), atom_indices=None)]
    )
    rng = np.random.default_rng(1)
    refused = 0
    for place in range(0, len(data), 1 + len(data) // 250):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.integers(8)]) + data[place + 1 :])
        found = []
        try:
            info = probe(path, top)
            blocks = read_blocks(info, top, frames=range(info.n_frames), atom_indices=None, block_frames=1)
            found.extend(block.xyz for block in blocks)
        except TrajectoryError:
            refused += 1
        # The frames before the damage are the right ones.
        damaged_frame = place * 4 // len(data) - 1
        for frame, xyz in enumerate(found[: max(0, damaged_frame)]):
            np.testing.assert_array_equal(xyz[0], expected[frame])
    assert refused > 10


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (56, 0x7F800000, "impossible numbers"),  # a precision that is infinite
        (56, 0, "impossible numbers"),
        (60, 0x7FFFFFFF, "impossible numbers"),  # the lowest number above the highest
        (84, 3, "impossible numbers"),
        (84, 60, "more bytes than it has"),
    ],
)
def test_header__of_impossible_numbers(place, value, said, tmp_path):
    path = write(make_trajectory(3), tmp_path / "run.xtc")
    begin = FrameIndex(str(path)).offset(1)
    data = bytearray(path.read_bytes())
    data[begin + place : begin + place + 4] = value.to_bytes(4, "big")
    path.write_bytes(data)
    assert len(read(path, 0, 1)[0]) == 1
    with pytest.raises(TrajectoryError, match=rf"Frame 1 \(counted from 0\) of .* is damaged: .*{said}"):
        read(path, 0, 3)
