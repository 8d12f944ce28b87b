"""`twopass summary`: every figure against the arrays that it speaks of."""

import csv
import io
import itertools
import json

import mdtraj as md
import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import squareform

from conftest import EXAMPLE, command
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    summarize_clusters,
)
from twopass_store.errors import ConfigError, MemoryBudgetError, StageIncompleteError


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
        md.Trajectory(part.xyz, part.topology, time=time).save_xtc(folder / f"run{place}.xtc")
    path = folder / "s.zarr"
    ingest_trajectories(path, str(folder / "run*.xtc"), top=EXAMPLE / "alanine-dipeptide.pdb")
    cluster_subset(path, stride=6, n_clusters=5)
    assign_frames(path, noise_cutoff="0.6A", margin=True)
    return path


@pytest.fixture(scope="module")
def arrays(store):
    with open_results(store) as results:
        return results.load()


def test_summary__is_true_of_the_arrays(store, arrays):
    summary = summarize_clusters(store)
    label, rmsd = arrays.label.values, arrays.rmsd_to_leader.values.astype(float)
    second, time = arrays.rmsd_to_second.values.astype(float), arrays.time.values
    square = squareform(arrays.rmsd.values).astype(float)
    medoids = np.searchsorted(arrays.subset_frame, arrays.medoid_frame)
    apart = square[np.ix_(medoids, medoids)] + np.diag(np.full(5, np.inf))
    assert [row.rank for row in summary.clusters] == [1, 2, 3, 4, 5]
    near = np.isfinite(second) & (rmsd > 0.9 * second)
    assert summary.near_tie_share == pytest.approx(near.sum() / np.isfinite(second).sum())
    counts = [row.n_frames for row in summary.clusters]
    assert counts == sorted(np.bincount(label[label > 0], minlength=6)[1:].tolist(), reverse=True)
    for row in summary.clusters:
        mine = label == row.label
        assert row.n_frames == mine.sum()
        assert row.share == pytest.approx(mine.mean())
        assert row.rmsd_mean_nm == pytest.approx(rmsd[mine].mean())
        assert row.rmsd_sd_nm == pytest.approx(rmsd[mine].std())
        assert row.rmsd_q95_nm == pytest.approx(np.quantile(rmsd[mine], 0.95), rel=0.01)
        assert row.margin_q50 == pytest.approx(np.median(1 - rmsd[mine] / second[mine]), abs=0.002)
        assert row.near_tie_share == pytest.approx(np.mean(rmsd[mine] > 0.9 * second[mine]))
        inside = arrays.subset_label.values == row.label
        pairs = squareform(square[np.ix_(inside, inside)], checks=False)
        assert row.n_subset_frames == inside.sum()
        assert row.pair_rmsd_mean_nm == pytest.approx(pairs.mean() if len(pairs) else None)
        assert row.pair_rmsd_sd_nm == pytest.approx(pairs.std() if len(pairs) else None)
        assert row.nearest_label == apart[row.label - 1].argmin() + 1
        assert row.nearest_rmsd_nm == pytest.approx(apart[row.label - 1].min())
        assert row.first_frame == np.flatnonzero(mine)[0]
        assert row.last_time_ps == pytest.approx(time[np.flatnonzero(mine)[-1]])
        assert row.medoid_frame == arrays.medoid_frame.values[row.label - 1]
        assert row.n_runs == len(set(arrays.trajectory.values[mine]))
        assert row.share_error > 0


def test_visits__are_counted_within_runs_and_between_gaps(store, arrays):
    summary = summarize_clusters(store)
    label, status = arrays.label.values, arrays.label_status.values
    pieces = [slice(0, 1500), slice(1500, 1800), slice(1800, 2200), slice(2200, 3000)]
    spacing = [2.0, 2.0, 2.0, 10.0]
    for row in summary.clusters:
        n_visits = n_left = n_complete = 0
        time = longest = 0.0
        for piece, step in zip(pieces, spacing, strict=True):
            states = list(zip(label[piece], status[piece], strict=True))
            edges = [0, *(k for k in range(1, len(states)) if states[k] != states[k - 1]), len(states)]
            for start, stop in itertools.pairwise(edges):
                if states[start][0] != row.label:
                    continue
                n_visits += 1
                n_left += stop < len(states)
                n_complete += start > 0 and stop < len(states)
                time += (stop - start) * step
                longest = max(longest, (stop - start) * step)
        assert (row.n_visits, row.n_departures, row.n_complete_visits) == (n_visits, n_left, n_complete)
        assert row.residence_ps == pytest.approx(time / n_left)
        assert row.longest_visit_ps == pytest.approx(longest)


def test_visits__go_across_the_files_of_a_run(tmp_path):
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")[:1200]
    frames.save_xtc(tmp_path / "whole.xtc")
    for part, piece in enumerate((frames[:500], frames[500:900], frames[900:])):
        piece.save_xtc(tmp_path / f"part{part}-of-one.xtc")
    summaries = []
    for name, files, options in (
        ("whole", "whole.xtc", {}),
        ("files", "part*.xtc", {}),
        ("run", "part*.xtc", {"run_pattern": r"of-(\w+)\.xtc"}),
    ):
        path = tmp_path / f"{name}.zarr"
        ingest_trajectories(path, str(tmp_path / files), top=EXAMPLE / "alanine-dipeptide.pdb", **options)
        cluster_subset(path, stride=6, n_clusters=3)
        assign_frames(path)
        summaries.append(summarize_clusters(path, by="run"))
    whole, files, run = summaries
    assert [len(each.runs) for each in summaries] == [1, 3, 1]
    assert run.runs == ("one",)
    for a, b, c in zip(whole.clusters, run.clusters, files.clusters, strict=True):
        assert a.n_frames == b.n_frames == c.n_frames
        assert (a.n_visits, a.n_departures) == (b.n_visits, b.n_departures)
        assert a.residence_ps == pytest.approx(b.residence_ps)
        assert a.share_error is b.share_error is None
        assert c.share_error is not None
    assert sum(row.n_visits for row in files.clusters) == sum(row.n_visits for row in whole.clusters) + 2


def test_noise__is_counted_by_file_and_time(store, arrays):
    summary = summarize_clusters(store)
    beyond = arrays.label_status.values == 2
    by_file = np.bincount(arrays.trajectory.values[beyond], minlength=3)
    assert [frames for _, frames in summary.noise_by_file] == by_file[by_file > 0].tolist()
    assert sum(one.n_beyond_noise_cutoff for one in summary.noise_by_time) == beyond.sum()
    assert sum(one.n_frames for one in summary.noise_by_time) == 3000
    time = arrays.time.values
    for one in summary.noise_by_time[:-1]:
        assert one.n_frames == ((time >= one.start) & (time < one.stop)).sum()


@pytest.mark.parametrize("by", ["run", "trajectory", "blocks:4"])
def test_groups__add_up_to_the_clusters(store, arrays, by):
    summary = summarize_clusters(store, by=by)
    counts = np.array([group.n_frames_of for group in summary.groups])
    assert counts.sum(axis=0).tolist() == [row.n_frames for row in summary.clusters]
    assert len(summary.groups) == {"blocks:4": 4}.get(by, 3)
    if by != "blocks:4":
        for place, group in enumerate(summary.groups):
            mine = arrays.trajectory.values == place
            assert group.n_frames == mine.sum()
            assert group.n_beyond_noise_cutoff == (mine & (arrays.label_status.values == 2)).sum()
    else:
        assert [group.n_frames for group in summary.groups] == [750, 750, 750, 750]


def test_dataset__has_units_and_the_same_values(store):
    summary = summarize_clusters(store, by="run")
    dataset = summary.to_xarray()
    assert isinstance(dataset, xr.Dataset)
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in dataset.data_vars.values())
    assert dataset.rmsd_mean_nm.attrs["units"] == "nm"
    assert dataset.residence_ps.attrs["units"] == "ps"
    assert dataset.n_frames.values.tolist() == [row.n_frames for row in summary.clusters]
    assert dataset.group_n_frames_of.sum("group").values.tolist() == dataset.n_frames.values.tolist()
    dataset.to_netcdf(store.parent / "summary.nc")


def test_csv_and_json__hold_what_the_library_says(store, twopass):
    summary = summarize_clusters(store)
    rows = list(csv.DictReader(io.StringIO(twopass("summary", store, "--format", "csv").stdout)))
    assert [int(row["n_frames"]) for row in rows] == [row.n_frames for row in summary.clusters]
    assert [float(row["share_error"]) for row in rows] == [row.share_error for row in summary.clusters]
    found = json.loads(twopass("summary", store, "--format", "json").stdout)
    assert found["clusters"][0]["residence_ps"] == summary.clusters[0].residence_ps
    assert found["overview"]["fingerprint"] == summary.overview.fingerprint

    split = twopass("summary", store, "--format", "csv", "--by", "run").stdout
    rows = list(csv.DictReader(io.StringIO(split)))
    assert sum(int(row["n_frames"]) for row in rows) == 3000
    assert {row["status"] for row in rows} == {"assigned", "beyond_noise_cutoff", "not_finite"}


def test_text__fits_a_narrow_terminal(store):
    import os
    import pty
    import subprocess

    def shown(columns):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [command(), "summary", str(store), "--by", "run"],
            stdout=slave,
            env={**os.environ, "COLUMNS": str(columns), "TERM": "dumb"},
        )
        os.close(slave)
        text = b""
        try:
            while part := os.read(master, 65536):
                text += part
        except OSError:
            pass  # how a terminal says that it was closed
        assert process.wait(timeout=60) == 0
        os.close(master)
        return text.decode().splitlines()

    for columns in (80, 120):
        lines = shown(columns)
        assert max(map(len, lines)) <= columns
        text = "\n".join(lines)
        assert "…" not in text.replace("… by time", "")
        for title in ("Populations", "RMSD (nm)", "Margins", "Visits (in ps)", "Medoids", "Shares by run"):
            assert title in text


def test_frames_without_times__are_counted_in_frames(tmp_path, twopass):
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    frames[:200].save_dcd(tmp_path / "x.dcd")
    frames[200].save_dcd(tmp_path / "y.dcd")
    path = tmp_path / "s.zarr"
    files = [tmp_path / "x.dcd", tmp_path / "y.dcd"]
    ingest_trajectories(path, files, top=EXAMPLE / "alanine-dipeptide.pdb")
    cluster_subset(path, stride=5, n_clusters=1)
    assign_frames(path, margin=True)
    (row,) = summarize_clusters(path).clusters
    # One visit to each file, and no end of either seen.
    assert (row.n_visits, row.n_departures, row.longest_visit_frames) == (2, 0, 200)
    assert row.residence_frames is row.residence_ps is row.longest_visit_ps is row.first_time_ps is None
    assert row.margin_q50 is row.near_tie_share is row.nearest_label is None
    assert "Visits (in frames)" in twopass("summary", path).stdout


def test_what_is_not_there__is_refused_in_one_line(store, tmp_path, twopass):
    with pytest.raises(ConfigError, match="blocks:N"):
        summarize_clusters(store, by="week")
    with pytest.raises(MemoryBudgetError, match="summary needs"):
        summarize_clusters(store, memory="200MiB")
    with pytest.raises(ConfigError, match="seed"):
        summarize_clusters(store, seed=-1)
    with pytest.raises(StageIncompleteError, match="twopass assign"):
        summarize_clusters(store, "other")
    assert "blocks:N" in twopass("summary", store, "--by", "week", code=2).stderr
