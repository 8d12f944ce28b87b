"""Whatever the cutting into files, blocks and stretches of chunks: the same frames from the same places."""

from itertools import pairwise
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trajectory_files import make_topology
from twopass_store import ingest_trajectories
from twopass_store.ingest import unit
from twopass_store.partition import FrameRange
from twopass_store.store import Store
from twopass_store.trajectory import reader

N_FRAMES = 230
TOPOLOGY = make_topology(430)
"""3010 atoms, so that a chunk holds 64 frames: 3 whole chunks and a part of one."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> md.Trajectory:
    """A trajectory on the grid of XTC, so that XTC and TRR give it back as it is."""
    rng = np.random.default_rng(8)
    grid = rng.integers(-3000, 3000, (N_FRAMES, TOPOLOGY.n_atoms, 3)).astype(np.float32)
    return md.Trajectory(grid * np.float32(0.001), TOPOLOGY, time=np.arange(N_FRAMES) * 2.5 + 10)


def written(frames: md.Trajectory, cuts: list[int], formats: list[str], folder: Path) -> list[Path]:
    """Write the frames into files, cut there."""
    folder.mkdir()
    frames[0].save_pdb(folder / "top.pdb")
    files = []
    for number, (start, stop) in enumerate(pairwise([0, *cuts, N_FRAMES])):
        files.append(folder / f"part{number}.{formats[number % len(formats)]}")
        frames[start:stop].save(str(files[-1]))
    return files


def assert_holds(store: Store, frames: md.Trajectory, cuts: list[int], discarded: int, stride: int) -> None:
    parts = [np.arange(start, stop)[discarded::stride] for start, stop in pairwise([0, *cuts, N_FRAMES])]
    kept = np.concatenate(parts)
    np.testing.assert_array_equal(store.read("position"), frames.xyz[kept])
    np.testing.assert_array_equal(store.read("time"), frames.time[kept])
    np.testing.assert_array_equal(
        store.read("trajectory"), np.repeat(range(len(parts)), list(map(len, parts)))
    )
    firsts = np.repeat([0, *cuts], list(map(len, parts)))
    np.testing.assert_array_equal(store.read("source_frame"), kept - firsts)


# Shrinking takes minutes here, and a failing example says enough.
@settings(max_examples=5, phases=[Phase.generate])
@given(data=st.data())
def test_any_cutting__gives_the_same_positions_times_and_provenance(
    data: st.DataObject, frames: md.Trajectory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    # At least 3 frames a file: discarding and stride leave one of each.
    cuts = sorted(data.draw(st.sets(st.integers(1, N_FRAMES // 3 - 1), max_size=5), "cuts / 3"))
    cuts = [3 * cut for cut in cuts]
    formats = data.draw(st.lists(st.sampled_from(["xtc", "trr"]), min_size=1, max_size=3), "formats")
    discarded, stride = data.draw(st.sampled_from([(0, 1), (1, 1), (0, 2), (1, 2)]), "discarded, stride")
    block_bytes = data.draw(st.integers(1, 40 * 24 * TOPOLOGY.n_atoms), "bytes of a block")
    shuffle = data.draw(st.permutations(range(4)), "order of the chunks")
    in_order = unit.cut_stretches

    def in_any_order(*arguments: object, **options: object) -> list[FrameRange]:
        stretches = in_order(*arguments, **options)
        chunks = [chunk for stretch in stretches for chunk in range(stretch.start, stretch.stop)]
        return [FrameRange(chunk, chunk + 1) for chunk in shuffle if chunk in chunks]

    files = written(frames, cuts, formats, folder / "in")
    options = {
        "top": folder / "in" / "top.pdb",
        "select": "all",
        "stride": stride,
        "discard_first": discarded,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", block_bytes)
        patch.setattr(unit, "cut_stretches", in_any_order)
        ingest_trajectories(folder / "run.zarr", files, **options)
    assert_holds(Store.open(folder / "run.zarr"), frames, cuts, discarded, stride)
