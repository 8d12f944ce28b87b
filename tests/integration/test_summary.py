"""`twopass summary`: every figure against the arrays that it speaks of."""

import io
import itertools
import json
import os

import mdtraj as md
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.spatial.distance import squareform

from conftest import EXAMPLE
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    summarize,
)
from twopass_store.errors import ConfigError, MemoryBudgetError, StageIncompleteError
from twopass_store.report import cluster_table


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three runs of different length, the second of them with a gap, with margins and a noise cutoff."""
    folder = tmp_path_factory.mktemp("summary")
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    times = np.arange(700) * 2.0
    times[300:] += 1000.0
    for place, (part, time) in enumerate(
        [(frames[:1500], np.arange(1500) * 2.0), (frames[1500:2200], times), (frames[2200:3000], None)]
    ):
        time = np.arange(800) * 10.0 if time is None else time
        md.Trajectory(part.xyz, part.topology, time=time).save_xtc(folder / f"=run{place}.xtc")
    path = folder / "é→.zarr"
    top = EXAMPLE / "alanine-dipeptide.pdb"
    ingest_trajectories(path, str(folder / "=run*.xtc"), top=top, run_pattern="=run[0-9]")
    cluster_subset(path, stride=6, n_clusters=5)
    assign_frames(path, noise_cutoff="0.6A", margin=True)
    return path


@pytest.fixture(scope="module")
def arrays(store):
    with open_results(store) as results:
        return results.load()


def rows(summary):
    """The clusters one by one."""
    names = [name for name, values in summary.data_vars.items() if values.dims == ("cluster",)]
    return list(summary[names].to_dataframe().reset_index().itertuples())


def test_summary__is_true_of_the_arrays(store, arrays):
    summary = summarize(store)
    label, rmsd = arrays.label.values, arrays.rmsd_to_leader.values.astype(float)
    second, time = arrays.rmsd_to_second.values.astype(float), arrays.time.values
    square = squareform(arrays.rmsd.values).astype(float)
    medoids = np.searchsorted(arrays.subset_frame, arrays.medoid_frame)
    apart = square[np.ix_(medoids, medoids)] + np.diag(np.full(5, np.inf))
    near = np.isfinite(second) & (rmsd > 0.9 * second)
    assert summary.attrs["near_tie_share"] == pytest.approx(near.sum() / np.isfinite(second).sum())
    again = label[arrays.subset_frame.values] == arrays.subset_label.values
    assert summary.attrs["recovered_share"] == pytest.approx(again.mean())
    assert summary.attrs["length_ps"] == pytest.approx(1499 * 2 + 699 * 2 + 1000 + 799 * 10)
    assert summary.n_frames.values.tolist() == np.bincount(label[label > 0])[1:].tolist()
    for row in rows(summary):
        mine = label == row.cluster
        assert row.n_frames == mine.sum()
        assert row.share == pytest.approx(mine.mean())
        assert row.rmsd_mean_nm == pytest.approx(rmsd[mine].mean())
        assert row.rmsd_sd_nm == pytest.approx(rmsd[mine].std())
        assert row.rmsd_q95_nm == pytest.approx(np.quantile(rmsd[mine], 0.95), rel=0.01)
        assert row.margin_q50 == pytest.approx(np.median(1 - rmsd[mine] / second[mine]), abs=0.002)
        assert row.near_tie_share == pytest.approx(np.mean(rmsd[mine] > 0.9 * second[mine]))
        inside = arrays.subset_label.values == row.cluster
        pairs = squareform(square[np.ix_(inside, inside)], checks=False)
        assert row.n_subset_frames == inside.sum()
        assert row.pair_rmsd_mean_nm == pytest.approx(pairs.mean() if len(pairs) else np.nan, nan_ok=True)
        assert row.pair_rmsd_sd_nm == pytest.approx(pairs.std() if len(pairs) else np.nan, nan_ok=True)
        assert row.nearest_label == apart[row.cluster - 1].argmin() + 1
        assert row.nearest_rmsd_nm == pytest.approx(apart[row.cluster - 1].min())
        assert row.first_frame == np.flatnonzero(mine)[0]
        assert row.last_time_ps == pytest.approx(time[np.flatnonzero(mine)[-1]])
        assert row.medoid_frame == arrays.medoid_frame.values[row.cluster - 1]
        assert row.n_runs == len(set(arrays.trajectory.values[mine]))
        assert row.share_error > 0
    # What a run ends with is the same, with less of it.
    brief = cluster_table(store)
    for name, values in brief.along("cluster").items():
        np.testing.assert_array_equal(values, summary[name])
    assert {name: summary.attrs[name] for name in brief.attrs} == brief.attrs


def test_visits__are_counted_within_runs_and_between_gaps(store, arrays):
    label, status = arrays.label.values, arrays.label_status.values
    pieces = [slice(0, 1500), slice(1500, 1800), slice(1800, 2200), slice(2200, 3000)]
    spacing = [2.0, 2.0, 2.0, 10.0]
    for row in rows(summarize(store)):
        n_visits = n_left = n_complete = 0
        time = longest = 0.0
        for piece, step in zip(pieces, spacing, strict=True):
            states = list(zip(label[piece], status[piece], strict=True))
            edges = [0, *(k for k in range(1, len(states)) if states[k] != states[k - 1]), len(states)]
            for start, stop in itertools.pairwise(edges):
                if states[start][0] != row.cluster:
                    continue
                n_visits += 1
                n_left += stop < len(states)
                n_complete += start > 0 and stop < len(states)
                time += (stop - start) * step
                longest = max(longest, (stop - start) * step)
        assert (row.n_visits, row.n_departures, row.n_complete_visits) == (n_visits, n_left, n_complete)
        assert row.residence_ps == pytest.approx(time / n_left)
        assert row.longest_visit_ps == pytest.approx(longest)


def test_noise__is_counted_by_file_and_time(store, arrays):
    summary = summarize(store)
    beyond, time = arrays.label_status.values == 2, arrays.time.values
    by_file = np.bincount(arrays.trajectory.values[beyond], minlength=3)
    assert summary.file_n_beyond_noise_cutoff.values.tolist() == by_file.tolist()
    assert summary.time_bin_n_beyond_noise_cutoff.sum() == beyond.sum()
    assert summary.time_bin_n_frames.sum() == 3000
    for one in range(9):
        start, stop = summary.time_bin_start.values[one], summary.time_bin_stop.values[one]
        assert summary.time_bin_n_frames[one] == ((time >= start) & (time < stop)).sum()


@pytest.mark.parametrize("by", ["run", "trajectory", "blocks:4"])
def test_groups__add_up_to_the_clusters(store, arrays, by):
    summary = summarize(store, by=by)
    np.testing.assert_array_equal(summary.group_n_frames_of.sum("group"), summary.n_frames)
    if by == "blocks:4":
        assert summary.group_n_frames.values.tolist() == [750] * 4
        return
    for place in range(3):
        mine = arrays.trajectory.values == place
        assert summary.group_n_frames[place] == mine.sum()
        assert summary.group_n_beyond_noise_cutoff[place] == (mine & (arrays.label_status.values == 2)).sum()
    np.testing.assert_array_equal(summary.run_n_frames_of, summary.group_n_frames_of)


def test_dataset__has_units_and_goes_into_a_file(store):
    summary = summarize(store, by="run", convergence=True)
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in summary.variables.values())
    assert summary.rmsd_mean_nm.attrs["units"] == "nm"
    assert summary.residence_ps.attrs["units"] == "ps"
    summary.to_netcdf(store.parent / "summary.nc")
    with xr.open_dataset(store.parent / "summary.nc") as again:
        xr.testing.assert_equal(again, summary)


def test_csv_and_json__hold_what_the_library_says(store, twopass):
    summary = summarize(store, by="run")
    table = pd.read_csv(io.StringIO(twopass("summary", store, "--format", "csv").stdout))
    for name in ("n_frames", "share_error", "medoid_path", "residence_ps"):
        assert table[name].tolist() == summary[name].values.tolist()
    found = json.loads(twopass("summary", store, "--format", "json", "--by", "run").stdout)
    assert [row["residence_ps"] for row in found["cluster"]] == summary.residence_ps.values.tolist()
    assert found["fingerprint"] == summary.attrs["fingerprint"]
    split = pd.read_csv(io.StringIO(twopass("summary", store, "--format", "csv", "--by", "run").stdout))
    assert split.group_n_frames_of.tolist() == summary.group_n_frames_of.values.ravel().tolist()
    assert split.group.str.startswith("'=run").all()  # no formula
    assert split.groupby("group").group_n_beyond_noise_cutoff.first().sum() > 0


def test_text__fits_a_narrow_terminal(store, on_a_terminal):
    for columns in (80, 120):
        lines = on_a_terminal("summary", store, "--by", "run", columns=columns).splitlines()
        assert max(map(len, lines)) <= columns
        text = "\n".join(lines)
        assert "…" not in text.replace("… by time", "")
        for title in ("Populations", "RMSD (nm)", "Margins", "Visits (in ps)", "Medoids", "Shares by run"):
            assert title in text


@pytest.mark.parametrize(
    ("encoding", "error", "squares"),
    [("ascii", "+-", "RMSD^2 = sum m"), ("latin-1", "±", "RMSD² = sum m"), ("utf-8", "±", "RMSD² = Σ m")],
)
def test_text__is_printed_in_any_encoding(store, encoding, error, squares, twopass):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    assert error in twopass("summary", store, env=environment).stdout
    assert squares in twopass("cluster", "--help", env=environment).stdout
    # What programs read is UTF-8 always.
    found = twopass("summary", store, "--format", "json", env=environment).stdout
    assert json.loads(found.encode(encoding, "surrogateescape"))["store"] == str(store)


def test_frames_without_times__are_counted_in_frames(tmp_path, twopass):
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    frames[:200].save_dcd(tmp_path / "x.dcd")
    frames[200].save_dcd(tmp_path / "y.dcd")
    path = tmp_path / "s.zarr"
    files = [tmp_path / "x.dcd", tmp_path / "y.dcd"]
    ingest_trajectories(path, files, top=EXAMPLE / "alanine-dipeptide.pdb")
    cluster_subset(path, stride=5, n_clusters=1)
    assign_frames(path, margin=True)
    (row,) = rows(summarize(path))
    # One visit to each file, and no end of either seen.
    assert (row.n_visits, row.n_departures, row.longest_visit_frames) == (2, 0, 200)
    unknown = (row.residence_frames, row.residence_ps, row.longest_visit_ps, row.first_time_ps)
    assert np.isnan([*unknown, row.margin_q50, row.near_tie_share]).all()
    assert row.nearest_label == -1
    assert "Visits (in frames)" in twopass("summary", path).stdout


def test_what_is_not_there__is_refused_in_one_line(store, tmp_path, twopass):
    with pytest.raises(ConfigError, match="blocks:N"):
        summarize(store, by="week")
    with pytest.raises(MemoryBudgetError, match="summary needs"):
        summarize(store, memory="200MiB")
    with pytest.raises(ConfigError, match="seed"):
        summarize(store, seed=-1)
    with pytest.raises(StageIncompleteError, match="there are: default"):
        summarize(store, "other")
    assert "blocks:N" in twopass("summary", store, "--by", "week", code=2).stderr
