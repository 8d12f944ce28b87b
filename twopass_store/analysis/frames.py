"""Labels along frames: discrete trajectories, transitions, populations, what fits into a picture.

All functions take the Dataset of `open_results`, or a part of it along ``frame``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import ConfigError, StageIncompleteError
from ..partition import FrameRange
from ..report import Runs, frame_chunks, group_of_frames, share_errors, short_names

__all__ = ["dtrajs", "labelled", "populations", "rmsd_histogram", "runs_of", "timeline", "transitions"]

N_SHOWN = 1_500
"""Frames of a run in a picture; more can't be told apart."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Arrays of a Dataset, read as those of a store are."""

    results: xr.Dataset

    def has(self, name: str) -> bool:
        return name in self.results

    def shape(self, name: str) -> tuple[int, ...]:
        return self.results[name].shape

    def read(self, name: str, rows: FrameRange | None = None) -> NDArray[Any]:
        found = self.results[name]
        return found.values if rows is None else found[rows.start : rows.stop].values


def runs_of(results: xr.Dataset) -> Runs:
    """Return which frames follow each other in time."""
    return Runs.of(_Columns(results))


def labelled(results: xr.Dataset) -> xr.Dataset:
    """Return the Dataset; raises a `StageIncompleteError` if frames have no labels yet."""
    if "label" not in results:
        name = results.attrs.get("clustering", "")
        raise StageIncompleteError(
            f"The frames of clustering {name!r} have no labels yet. Run `twopass assign STORE --name {name}` "
            "and open the results again."
        )
    return results


def n_clusters(results: xr.Dataset) -> int:
    """Count the clusters, populated or not."""
    return int(results.attrs["n_clusters_found"]) + int(results.attrs.get("n_cover_clusters", 0))


def _stretches(
    results: xr.Dataset,
) -> Iterator[tuple[FrameRange, NDArray[np.int32], NDArray[np.integer[Any]], NDArray[np.bool_]]]:
    """Yield pieces of frames: labels, runs, and whether each frame doesn't go on from the one before."""
    columns, runs, before = _Columns(labelled(results)), runs_of(results), None
    for frames in frame_chunks(results.sizes["frame"]):
        run, time = columns.read(runs.column, frames), columns.read("time", frames)
        yield frames, columns.read("label", frames), run, runs.breaks(run, time, before)
        before = int(run[-1]), float(time[-1])


def dtrajs(results: xr.Dataset) -> tuple[list[NDArray[np.int32]], list[range]]:
    """Return labels as discrete trajectories, as packages for Markov models take them.

    Parameters
    ----------
    results
        Of `open_results`.

    Returns
    -------
    States of consecutive frames of one run, each of shape (n_frames,), and which frames of `results` these
    are. State s is cluster s + 1. A trajectory ends with its run, at a gap in time (more than 1.5 of the
    usual spacing), and before a frame without a label.

    Raises
    ------
    StageIncompleteError
        If assign has not finished.
    """
    n_frames = labelled(results).sizes["frame"]
    label, starts = np.empty(n_frames, np.int32), np.empty(n_frames, np.bool_)
    for frames, found, _, is_break in _stretches(results):
        here = slice(frames.start, frames.stop)
        label[here], starts[here] = found, is_break
    is_labelled = label >= 1
    starts |= ~is_labelled
    starts[1:] |= ~is_labelled[:-1]
    edges = np.append(np.flatnonzero(starts), n_frames)
    kept = [range(a, b) for a, b in pairwise(edges.tolist()) if is_labelled[a]]
    return [label[frames.start : frames.stop] - 1 for frames in kept], kept


def transitions(results: xr.Dataset, lag: int = 1) -> xr.Dataset:
    """Count the transitions between clusters at a lag, within the trajectories of `dtrajs`.

    Parameters
    ----------
    results
        Of `open_results`.
    lag
        In frames; windows overlap.

    Returns
    -------
    A Dataset with ``count`` and ``probability``, the counts of each row divided by its sum, both along
    (``cluster``, ``to_cluster``); NaN in rows without counts. Counts of overlapping windows are not
    independent of each other.

    Raises
    ------
    ConfigError
        If `lag` is less than 1.
    StageIncompleteError
        If assign has not finished.
    """
    if lag < 1:
        raise ConfigError(f"A lag of {lag} frames: give 1 or more.")
    size = n_clusters(results)
    counts = np.zeros((size, size), np.int64)
    for states in dtrajs(results)[0]:
        np.add.at(counts, (states[:-lag], states[lag:]), 1)
    numbers = np.arange(1, size + 1)
    with np.errstate(invalid="ignore"):
        probability = counts / counts.sum(axis=1, keepdims=True)
    dims = ("cluster", "to_cluster")
    return xr.Dataset(
        {
            "count": (dims, counts, {"units": "1", "long_name": f"transitions in {lag} frames"}),
            "probability": (dims, probability, {"units": "1", "long_name": "share of the row's transitions"}),
        },
        coords={"cluster": numbers, "to_cluster": numbers},
        attrs={"lag_frames": lag},
    )


def populations(results: xr.Dataset, by: str | None = None, *, seed: int = 0) -> xr.Dataset:
    """Count the frames of each cluster.

    Parameters
    ----------
    results
        Of `open_results`.
    by
        ``run``, ``trajectory`` or ``blocks:N``: count each of them, too.
    seed
        Of the bootstrap over runs.

    Returns
    -------
    A Dataset with ``n_frames``, ``share`` of all frames and its standard error ``share_error`` along
    ``cluster``, and with `by`, ``group_n_frames`` and ``group_share`` along (``group``, ``cluster``). The
    error is NaN with fewer than two runs.

    Raises
    ------
    ConfigError
        If `by` is none of these.
    StageIncompleteError
        If assign has not finished.
    """
    size, columns, runs = n_clusters(results), _Columns(labelled(results)), runs_of(results)
    names, group_of = (runs.names, None) if by is None else group_of_frames(columns, runs, by)
    by_run = np.zeros((len(runs.names), size + 1), np.int64)
    by_group = np.zeros((len(names), size + 1), np.int64)
    for frames, label, run, _ in _stretches(results):
        state = np.maximum(label, 0)  # column 0 is of frames without a label
        np.add.at(by_run, (run, state), 1)
        if group_of is not None:
            np.add.at(by_group, (group_of(frames, run), state), 1)
    counts = by_run[:, 1:].sum(axis=0)
    errors = share_errors(by_run[:, 1:], by_run.sum(axis=1), seed=seed)
    found: dict[str, Any] = {
        "n_frames": ("cluster", counts, {"units": "1", "long_name": "frames"}),
        "share": ("cluster", counts / by_run.sum(), {"units": "1", "long_name": "share of all frames"}),
        "share_error": ("cluster", errors, {"units": "1", "long_name": "its standard error"}),
    }
    coords: dict[str, Any] = {"cluster": np.arange(1, size + 1)}
    if group_of is not None:
        with np.errstate(invalid="ignore"):
            shares = by_group[:, 1:] / by_group.sum(axis=1, keepdims=True)
        dims = ("group", "cluster")
        found["group_n_frames"] = (dims, by_group[:, 1:], {"units": "1", "long_name": "frames of the group"})
        found["group_share"] = (dims, shares, {"units": "1", "long_name": "share of the group's frames"})
        coords["group"] = np.array(names, dtype=str)
    return xr.Dataset(found, coords=coords)


@dataclass(frozen=True, slots=True)
class RunTimeline:
    """Every nth label of a run."""

    name: str
    time: NDArray[np.float64]  # ps, or frame numbers if the input has no times
    label: NDArray[np.int32]  # -1 for none
    frame: NDArray[np.int64]  # of the store
    stride: int  # one of so many frames is here


def timeline(results: xr.Dataset, *, n_shown: int = N_SHOWN) -> list[RunTimeline]:
    """Return labels against time, run by run, thinned evenly to at most `n_shown` frames a run."""
    columns, runs = _Columns(labelled(results)), runs_of(results)
    strides = -(-runs.n_frames // n_shown)
    found: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in runs.names]
    seen = np.zeros(len(runs.names), np.int64)
    for frames in frame_chunks(results.sizes["frame"]):
        run, time, label = (columns.read(name, frames) for name in (runs.column, "time", "label"))
        for one in np.unique(run):
            here = np.flatnonzero(run == one)
            here = here[-seen[one] % strides[one] :: strides[one]]
            seen[one] += np.count_nonzero(run == one)
            found[one].append((time[here], label[here], here + frames.start))
    rows = []
    for name, parts, stride in zip(short_names(runs.names), found, strides, strict=True):
        if parts:
            time, label, frame = (np.concatenate(each) for each in zip(*parts, strict=True))
            rows.append(RunTimeline(name, time, label, frame, int(stride)))
    return rows


def rmsd_histogram(results: xr.Dataset, *, n_bins: int = 60) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the edges of bins of RMSD to the leader, shape (n_bins + 1,), nm, and the frames in each.

    Frames count in the row of their cluster, shape (n_clusters + 1, n_bins); row 0 is of those without a
    label, beyond the noise cutoff.
    """
    columns = _Columns(labelled(results))
    chunks = list(frame_chunks(results.sizes["frame"]))
    rmsds = (columns.read("rmsd_to_leader", frames) for frames in chunks)
    top = max((float(rmsd.max(where=np.isfinite(rmsd), initial=0.0)) for rmsd in rmsds), default=0.0)
    edges = np.linspace(0.0, top or 1.0, n_bins + 1)
    counts = np.zeros((n_clusters(results) + 1, n_bins), np.int64)
    for frames in chunks:
        rmsd, label = columns.read("rmsd_to_leader", frames), columns.read("label", frames)
        known = np.isfinite(rmsd)
        bins = np.minimum((rmsd[known] / edges[-1] * n_bins).astype(np.int64), n_bins - 1)
        np.add.at(counts, (np.maximum(label[known], 0), bins), 1)
    return edges, counts
