"""The result of a run: what a user cites."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StageIncompleteError
from ..partition import FRAME_CHUNK, FrameRange, chunk_range, n_chunks
from ..schema import LABEL_STATUS
from ..store import Store, at_one_state, store_path

__all__ = ["ClusterRow", "Summary", "summarize"]


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """One cluster.

    Attributes
    ----------
    rank
        1 is the most populated; users see it as C1.
    label
        scipy's label, as in the store.
    n_frames, share
        Frames that the second pass gave it, and their share of all frames.
    mean_rmsd_nm
        Mean RMSD of those to their leaders; NaN where there are none.
    faithfulness
        Share of its subset frames whose nearest leader carries its label; NaN where it wasn't measured.
    medoid_frame
        Frame of the store: the subset frame with the least mean RMSD to its cluster. −1 where leaders are
        structures from outside: then path and source frame are the file and the model of the first one.
    medoid_path, medoid_source_frame
        Where that frame is from.
    medoid_time_ps
        Its time; None where the input has no times.
    """

    rank: int
    label: int
    n_frames: int
    share: float
    mean_rmsd_nm: float
    faithfulness: float
    medoid_frame: int
    medoid_path: str
    medoid_source_frame: int
    medoid_time_ps: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished run.

    Attributes
    ----------
    path, name
        The store and the clustering.
    fingerprint
        Digest of all that determines the labels.
    versions
        Of what computed the clustering.
    n_trajectories, n_frames, n_atoms
        The input.
    time_source
        ``file``, ``user`` or ``index``.
    length_ps
        Time covered, summed over the files; None where the input has no times.
    clustering
        Attributes of the clustering, see the store's layout.
    n_selected_atoms, n_subset_frames, subset_stride, n_leaders
        The sizes of both passes.
    recovered_share
        Share of the subset's frames to which the second pass gave their first-pass label back; NaN where
        leaders are structures from outside, and there is no subset.
    noise_cutoff_nm, n_beyond_noise_cutoff
        RMSD to the nearest leader from which on frames have no label, None where all have one; and how many
        have none for it.
    n_not_finite
        Frames without a label since they aren't finite.
    clusters
        In order of population.
    """

    path: str
    name: str
    fingerprint: str
    versions: Mapping[str, str]
    n_trajectories: int
    n_frames: int
    n_atoms: int
    time_source: str
    length_ps: float | None
    clustering: Mapping[str, Any]
    n_selected_atoms: int
    n_subset_frames: int
    subset_stride: int
    n_leaders: int
    recovered_share: float
    noise_cutoff_nm: float | None
    n_beyond_noise_cutoff: int
    n_not_finite: int
    clusters: tuple[ClusterRow, ...]


def summarize(store: str | os.PathLike[str], name: str) -> Summary:
    """Summarize a finished clustering; memory doesn't grow with the number of frames.

    Raises
    ------
    StageIncompleteError
        If assign has not finished.
    """
    path = store_path(store)
    return at_one_state(path, lambda: _summarize(Store.open(path), name), name=name)


def _summarize(opened: Store, name: str) -> Summary:
    group = f"clusterings/{name}"
    assign = opened.journal(f"assign-{name}")
    if assign is None or not assign.complete:
        raise StageIncompleteError(
            f"{opened.path}: assign has not finished for {name!r}. "
            f"Run `twopass assign {opened.path} --name {name}`."
        )
    attrs = opened.attrs(group)
    n_frames, n_atoms, _ = opened.shape("position")
    # Leaders from outside stand for no first pass.
    has_subset = attrs["subset"] is not None
    subset_frame, subset_label = np.empty(0, np.int64), np.empty(0, np.int32)
    if has_subset:
        subset_frame = opened.read(f"subsets/{attrs['subset']}/subset_frame")
        subset_label = opened.read(f"{group}/subset_label")
    time_source = opened.attrs("time")["time_source"]
    tally = _tally(opened, group, attrs["n_clusters_found"], subset_label, subset_frame, n_frames)
    if has_subset:
        medoids = _medoids(opened, group, with_time=time_source != "index")
    else:
        medoids = _first_leaders(opened, group)
    n_files = opened.shape("trajectory_path")[0]
    rows = sorted(range(1, len(medoids) + 1), key=lambda label: (-tally.n_frames[label], label))
    faithfulness = np.full(len(medoids), np.nan)
    if opened.has(f"{group}/faithfulness"):
        faithfulness = opened.read(f"{group}/faithfulness")
    with np.errstate(invalid="ignore"):
        mean_rmsd = tally.rmsd_sum / tally.n_frames
    return Summary(
        path=str(opened.path),
        name=name,
        fingerprint=assign.plan.fingerprint,
        versions=attrs["provenance"]["versions"],
        n_trajectories=n_files,
        n_frames=n_frames,
        n_atoms=n_atoms,
        time_source=time_source,
        length_ps=None if time_source == "index" else _length_ps(opened, n_files, n_frames),
        clustering=attrs,
        n_selected_atoms=opened.shape(f"{group}/selected_atom_index")[0],
        n_subset_frames=len(subset_label),
        subset_stride=opened.attrs(f"subsets/{attrs['subset']}")["stride"] if has_subset else 0,
        n_leaders=opened.shape(f"{group}/leader_frame")[0],
        recovered_share=tally.n_recovered / len(subset_label) if has_subset else np.nan,
        noise_cutoff_nm=opened.attrs(f"{group}/label_status").get("noise_cutoff_nm"),
        n_beyond_noise_cutoff=tally.n_beyond,
        n_not_finite=tally.n_not_finite,
        clusters=tuple(
            ClusterRow(
                rank=rank,
                label=label,
                n_frames=int(tally.n_frames[label]),
                share=float(tally.n_frames[label] / n_frames),
                mean_rmsd_nm=float(mean_rmsd[label]),
                faithfulness=float(faithfulness[label - 1]),
                **medoids[label - 1],
            )
            for rank, label in enumerate(rows, start=1)
        ),
    )


@dataclass(slots=True)
class _Tally:
    n_frames: NDArray[np.int64]
    rmsd_sum: NDArray[np.float64]
    n_recovered: int = 0
    n_beyond: int = 0
    n_not_finite: int = 0


def _tally(
    store: Store,
    group: str,
    n_clusters: int,
    subset_label: NDArray[np.int32],
    subset_frame: NDArray[np.int64],
    n_frames: int,
) -> _Tally:
    n_labels = n_clusters + 1
    tally = _Tally(np.zeros(n_labels, np.int64), np.zeros(n_labels))
    for frames in _frame_chunks(n_frames):
        label = store.read(f"{group}/label", frames)
        labelled = label >= 0
        rmsd = store.read(f"{group}/rmsd_to_leader", frames)[labelled].astype(np.float64)
        tally.n_frames += np.bincount(label[labelled], minlength=n_labels)
        tally.rmsd_sum += np.bincount(label[labelled], weights=rmsd, minlength=n_labels)
        status = store.read(f"{group}/label_status", frames)
        tally.n_beyond += int((status == LABEL_STATUS["beyond_noise_cutoff"]).sum())
        tally.n_not_finite += int((status == LABEL_STATUS["not_finite"]).sum())
        inside = slice(*np.searchsorted(subset_frame, [frames.start, frames.stop]))
        again = label[subset_frame[inside] - frames.start]
        tally.n_recovered += int((again == subset_label[inside]).sum())
    return tally


def _first_leaders(store: Store, group: str) -> list[dict[str, Any]]:
    """Return the first leader of each label in place of its medoid, where leaders are from outside."""
    labels = store.read(f"{group}/leader_label")
    paths, models = store.read(f"{group}/leader_path"), store.read(f"{group}/leader_model")
    return [
        {
            "medoid_frame": -1,
            "medoid_path": str(paths[leader]),
            "medoid_source_frame": int(models[leader]),
            "medoid_time_ps": None,
        }
        for leader in np.unique(labels, return_index=True)[1]
    ]


def _medoids(store: Store, group: str, *, with_time: bool) -> list[dict[str, Any]]:
    paths = store.read("trajectory_path")
    found = []
    for frame in store.read(f"{group}/medoid_frame"):
        one = FrameRange(int(frame), int(frame) + 1)
        found.append(
            {
                "medoid_frame": int(frame),
                "medoid_path": str(paths[store.read("trajectory", one)[0]]),
                "medoid_source_frame": int(store.read("source_frame", one)[0]),
                "medoid_time_ps": float(store.read("time", one)[0]) if with_time else None,
            }
        )
    return found


def _length_ps(store: Store, n_files: int, n_frames: int) -> float:
    first, last = np.full(n_files, np.inf), np.full(n_files, -np.inf)
    for frames in _frame_chunks(n_frames):
        file, time = store.read("trajectory", frames), store.read("time", frames)
        np.minimum.at(first, file, time)
        np.maximum.at(last, file, time)
    # A file of which nothing is kept covers no time.
    return float((last - first)[first <= last].sum())


def _frame_chunks(n_frames: int) -> Iterator[FrameRange]:
    for chunk in range(n_chunks(n_frames, FRAME_CHUNK)):
        yield chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)
