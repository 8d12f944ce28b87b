"""However a run is cut into overlapping parts, in their own files or joined: the frames of the uncut run."""

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trajectory_files import make_topology
from twopass_store import ingest_trajectories
from twopass_store.store import Store

N_FRAMES = 60
TOPOLOGY = make_topology(3)
FORMATS = ("xtc", "trr", "nc", "h5", "gro")


@pytest.fixture(scope="module")
def frames() -> md.Trajectory:
    """A run on the grid of XTC, so that all formats but NetCDF (which is in Å) give it back as it is."""
    rng = np.random.default_rng(3)
    grid = rng.integers(1, 3000, (N_FRAMES, TOPOLOGY.n_atoms, 3)).astype(np.float32)
    run = md.Trajectory(grid * np.float32(0.001), TOPOLOGY, time=np.arange(N_FRAMES) * 2.5 + 10)
    run.unitcell_lengths = np.full((N_FRAMES, 3), 3.0)
    run.unitcell_angles = np.full((N_FRAMES, 3), 90.0)
    return run


@st.composite
def parts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges of frames that cover the run; each may begin within the one before, and goes on further."""
    ranges, stop = [], 0
    while stop < N_FRAMES:
        start = 0 if not ranges else draw(st.integers(ranges[-1][0] + 1, stop), "start")
        stop = draw(st.integers(stop + 1, N_FRAMES), "stop") if len(ranges) < 5 else N_FRAMES
        ranges.append((start, stop))
    return ranges


@settings(max_examples=6, phases=[Phase.generate])
@given(ranges=parts(), data=st.data())
def test_any_restarts__give_the_uncut_run(
    frames: md.Trajectory,
    tmp_path_factory: pytest.TempPathFactory,
    ranges: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    folder: Path = tmp_path_factory.mktemp("cut")
    frames[0].save_pdb(folder / "top.pdb")
    # Successive parts may stand in one file, in which time then goes back.
    file_of = np.cumsum([0, *(data.draw(st.booleans(), "new file") for _ in ranges[1:])])
    names = data.draw(st.permutations(range(file_of[-1] + 1)), "names")
    order, offsets = [], []
    for file, name in enumerate(names):
        inside = [
            frames[start:stop] for (start, stop), one in zip(ranges, file_of, strict=True) if one == file
        ]
        offsets += np.cumsum([0, *(part.n_frames for part in inside[:-1])]).tolist()
        extension = data.draw(st.sampled_from(FORMATS), "format")
        order.append(folder / f"{name}.{extension}")
        md.join(inside).save(str(order[-1]))
    every, burn_in = data.draw(st.sampled_from([(None, None), (7.5, None), (5, 20), (None, 37.5)]), "times")
    ingest_trajectories(
        folder / "s.zarr",
        sorted(order),
        top=folder / "top.pdb",
        run_pattern=folder.name,
        every=every,
        burn_in=burn_in,
        workers=1,
    )
    store = Store.open(folder / "s.zarr")

    kept = np.flatnonzero((frames.time - 10) >= (burn_in or 0))[:: 1 if every is None else int(every / 2.5)]
    np.testing.assert_array_equal(store.read("time"), frames.time[kept])
    np.testing.assert_allclose(store.read("position"), frames.xyz[kept], atol=3e-7, rtol=0)
    np.testing.assert_array_equal(store.read("run"), np.zeros(len(kept)))
    # Each frame is from the last part that has it.
    last = np.array([max(i for i, (start, _) in enumerate(ranges) if start <= frame) for frame in kept])
    paths = np.array([str(path) for path in order])
    np.testing.assert_array_equal(
        store.read("trajectory_path")[store.read("trajectory")], paths[file_of[last]]
    )
    starts = np.array([start for start, _ in ranges])
    np.testing.assert_array_equal(store.read("source_frame"), kept - starts[last] + np.array(offsets)[last])
