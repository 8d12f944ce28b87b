"""One walk over all frames, cut into chunks anyhow, against the whole arrays."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twopass_store.partition import FrameRange
from twopass_store.report import runs as runs_module
from twopass_store.report.bootstrap import share_errors
from twopass_store.report.frames import walk_frames
from twopass_store.report.runs import Runs, group_of_frames
from twopass_store.schema import LABEL_STATUS

PROFILE = settings(deadline=None, max_examples=60, derandomize=True)
N_CLUSTERS = 3


def in_memory(arrays):
    """What the walk needs of a store, on arrays."""

    def read(path, rows=None):
        values = arrays[path]
        return values if rows is None else values[rows.start : rows.stop]

    return SimpleNamespace(
        has=lambda path: path in arrays,
        is_complete=lambda path: path in arrays,
        shape=lambda path: arrays[path].shape,
        read=read,
    )


@st.composite
def stores(draw):
    """A few short runs with gaps, labels, and frames without one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    run = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    n_frames = len(run)
    steps = np.where(rng.random(n_frames) < 0.15, rng.choice([-3.0, 0.0, 40.0], n_frames), 1.0)
    time = np.concatenate([np.cumsum(steps[run == one]) * (one + 1) for one in range(len(lengths))])
    label = rng.integers(1, N_CLUSTERS + 1, n_frames).astype(np.int32)
    label = np.repeat(label, rng.integers(1, 5, n_frames))[:n_frames]
    status = np.full(n_frames, LABEL_STATUS["assigned"], np.int8)
    status[rng.random(n_frames) < 0.15] = LABEL_STATUS["beyond_noise_cutoff"]
    status[rng.random(n_frames) < 0.05] = LABEL_STATUS["not_finite"]
    label[status != LABEL_STATUS["assigned"]] = -1
    rmsd = rng.random(n_frames).astype(np.float32)
    rmsd[status == LABEL_STATUS["not_finite"]] = np.nan
    second = np.where(label > 0, rmsd + rng.choice([0, 0.01, 0.5], n_frames), np.nan).astype(np.float32)
    arrays = {
        "position": np.empty((n_frames, 0, 3)),
        "trajectory": run,
        "trajectory_path": np.array([f"run{one}.xtc" for one in range(len(lengths))]),
        "time": time,
        "g/label": label,
        "g/label_status": status,
        "g/rmsd_to_leader": rmsd,
        "g/rmsd_to_second": second,
    }
    return arrays, draw(st.integers(1, n_frames + 1))


@PROFILE
@given(case=stores())
def test_walk__counts_what_is_there_however_it_is_cut(case):
    arrays, chunk = case
    run, time, label = arrays["trajectory"], arrays["time"], arrays["g/label"]
    status, rmsd = arrays["g/label_status"], arrays["g/rmsd_to_leader"].astype(float)
    second = arrays["g/rmsd_to_second"].astype(float)
    n_runs = run.max() + 1
    store = in_memory(arrays)
    subset = np.arange(0, len(label), 3), np.roll(label, 1)[::3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "FRAME_CHUNK", chunk)
        runs = Runs.of(store)
        found = walk_frames(
            store,
            "g",
            runs,
            n_clusters=N_CLUSTERS,
            subset=subset,
            groups=group_of_frames(store, runs, "blocks:1"),
        )

    assert runs.n_frames.tolist() == np.bincount(run).tolist()
    for one in range(n_runs):
        assert found.spans["file"][one].tolist() == [time[run == one].min(), time[run == one].max()]
        steps = np.diff(time[run == one])
        if (steps > 0).any():
            usual = np.median(steps[steps > 0])
            near = steps[(steps > usual / 1.5) & (steps < usual * 1.5)]
            assert runs.spacing[one] == pytest.approx(near.mean() if len(near) else usual)
    assert found.n_recovered == (label[subset[0]] == subset[1]).sum()

    codes = label - 1
    codes[status == LABEL_STATUS["beyond_noise_cutoff"]] = N_CLUSTERS
    codes[status == LABEL_STATUS["not_finite"]] = N_CLUSTERS + 1
    for code in range(N_CLUSTERS + 2):
        mine = codes == code
        assert found.counts["run"][:, code].tolist() == np.bincount(run[mine], minlength=n_runs).tolist()
        assert found.counts["file"][:, code].tolist() == found.counts["run"][:, code].tolist()
        assert found.counts["group"][:, code].tolist() == [mine.sum()]
        assert found.counts["time"][:, code].sum() == mine.sum()
        assert found.visits["n_frames"][code] == mine.sum()
        where = np.flatnonzero(mine)
        assert found.first_frame[code] == (where[0] if len(where) else -1)
        assert found.last_frame[code] == (where[-1] if len(where) else -1)
        if code <= N_CLUSTERS:
            assert found.rmsd_sum[code] == pytest.approx(rmsd[mine].sum())
            assert found.rmsd_squares[code] == pytest.approx((rmsd[mine] ** 2).sum())
            assert found.rmsd.counts[code].sum() == mine.sum()
        if code < N_CLUSTERS:
            ties = np.where(second[mine] > 0, rmsd[mine] > 0.9 * second[mine], True)
            assert found.n_near_ties[code] == ties.sum()
            assert found.margin.counts[code].sum() == mine.sum()


@pytest.mark.parametrize("n_blocks", [1, 3, 7])
def test_blocks__cut_each_run_into_parts_of_as_many_frames(n_blocks):
    run = np.repeat([0, 1, 2], [7, 70, 23])
    arrays = {
        "position": np.empty((100, 0, 3)),
        "trajectory": run,
        "trajectory_path": np.array(["a", "b", "c"]),
        "time": np.arange(100.0),
    }
    store = in_memory(arrays)
    names, group_of = group_of_frames(store, Runs.of(store), f"blocks:{n_blocks}")
    blocks = np.concatenate(
        [group_of(FrameRange(a, b), run[a:b]) for a, b in ((0, 5), (5, 50), (50, 51), (51, 100))]
    )
    assert len(names) == n_blocks
    for one in range(3):
        sizes = np.bincount(blocks[run == one], minlength=n_blocks)
        assert sizes.max() - sizes.min() <= 1
        assert (np.diff(blocks[run == one]) >= 0).all()


def test_bootstrap__is_that_of_drawing_runs_one_by_one():
    rng = np.random.default_rng(5)
    n_frames = rng.integers(50, 200, 12)
    counts = np.stack([rng.binomial(n_frames, rng.random(12)) for _ in range(3)], axis=1)
    found = share_errors(counts, n_frames, seed=1)
    np.testing.assert_array_equal(found, share_errors(counts, n_frames, seed=1))
    draws = rng.integers(12, size=(4000, 12))
    shares = counts[draws].sum(axis=1) / n_frames[draws].sum(axis=1)[:, np.newaxis]
    np.testing.assert_allclose(found, shares.std(axis=0), rtol=0.1)
    # Frames of a run are no independent observations.
    assert (found > 5 * np.sqrt(0.25 / n_frames.sum()) / 2).any()
    assert np.isnan(share_errors(counts[:1], n_frames[:1], seed=1)).all()
