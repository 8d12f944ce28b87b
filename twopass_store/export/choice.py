"""Which structures stand for the clusters of a clustering, and how many frames each stands for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import StructuresConfig
from ..errors import ConfigError, StageIncompleteError
from ..executors import PROCESS_BYTES, memory_budget, require_within
from ..linkage import choose_leaders, choose_medoids
from ..report import Runs, finished_assign, frame_chunks
from ..store import Store, StoredRows, read_distances, read_leaders, take

__all__ = ["Chosen", "choose_structures", "shares"]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Structures by cluster, then run."""

    frame: NDArray[np.int64]  # in the store, -1 for a structure from outside
    label: NDArray[np.int32]
    run: NDArray[np.int64] | None = None  # None if they stand for all runs together


def choose_structures(store: Store, name: str, config: StructuresConfig, runs: Runs) -> Chosen:
    """Return the structures that are asked for; clusters without a subset frame in a run have none there."""
    group, leaders = f"clusterings/{name}", read_leaders(store, name)
    if config.of == "leaders":
        return Chosen(leaders.frame, leaders.label)
    if not store.has(f"{group}/medoid_frame"):
        raise ConfigError(
            f"The clusters of {name} in {store.path} are led by structures from outside and have no medoids. "
            "Export leaders instead."
        )
    subset, medoids = f"subsets/{store.attrs(group)['subset']}", store.read(f"{group}/medoid_frame")
    per_cluster = config.representatives or 1
    # Of clusters that a cover opened, no distances are known: their first leader stands for them.
    opened = np.arange(leaders.n_clusters_found, leaders.n_clusters, dtype=np.int32) + 1
    if config.by is None and per_cluster == 1:
        labels = np.append(np.arange(1, len(medoids) + 1, dtype=np.int32), opened)
        return Chosen(np.append(medoids, leaders.opened), labels)
    if not store.has(f"{subset}/rmsd"):
        raise ConfigError(
            f"{name} is a clustering of all frames, which stores no distances to choose others by. "
            "Export its medoids without `representatives` and `by`: they are the centres of the clusters."
        )
    frame, label = store.read(f"{subset}/subset_frame"), store.read(f"{group}/subset_label")
    run = take(store, runs.column, frame) if config.by else np.zeros(len(frame), np.int64)
    parts, part = np.unique(np.stack([label, run])[:, label > 0], axis=1, return_inverse=True)
    of_frame = np.full(len(label), -1)
    of_frame[label > 0] = part.reshape(-1) + 1
    if per_cluster == 1:
        index = choose_medoids(StoredRows(store, f"{subset}/rmsd"), of_frame)
        of_part = np.arange(len(index), dtype=np.int32)
    else:
        n_pairs = store.shape(f"{subset}/rmsd")[0]
        needed = PROCESS_BYTES + 4 * n_pairs + 8 * store.chunk_length(f"{subset}/rmsd")
        mend = "Or take the medoids alone, without `representatives`."
        require_within(memory_budget(None), needed, stage="export of representatives", mend=mend)
        distances = read_distances(store, f"{subset}/rmsd")
        known = None if config.by else np.searchsorted(frame, medoids)
        found = choose_leaders(distances, of_frame, method="medoid", per_cluster=per_cluster, medoids=known)
        index, of_part = found.subset_index, found.label - 1
    labels, of_run = parts[:, of_part]
    if config.by:
        of_run = np.append(of_run, take(store, runs.column, leaders.opened)).astype(np.int64)
    labels = np.append(labels.astype(np.int32), opened)
    return Chosen(np.append(frame[index], leaders.opened), labels, of_run if config.by else None)


def shares(store: Store, name: str, chosen: Chosen, runs: Runs) -> tuple[NDArray[np.float64], str]:
    """Return the share of each structure's cluster in the frames of its run, or all; and which they are."""
    group, n_frames = f"clusterings/{name}", store.shape("position")[0]
    counts = np.zeros((len(runs.names), read_leaders(store, name).n_clusters + 1), np.int64)
    what = "frames"
    try:
        finished_assign(store, name)
    except StageIncompleteError:
        what = "frames of the first pass"
        subset = store.attrs(group)["subset"]
        if subset is None:
            return np.full(len(chosen.label), np.nan), what
        run = take(store, runs.column, store.read(f"subsets/{subset}/subset_frame"))
        np.add.at(counts, (run, np.maximum(store.read(f"{group}/subset_label"), 0)), 1)
    else:
        for frames in frame_chunks(n_frames):
            label = np.maximum(store.read(f"{group}/label", frames), 0)
            np.add.at(counts, (store.read(runs.column, frames), label), 1)
    if chosen.run is None:
        return counts.sum(axis=0)[chosen.label] / counts.sum(), f"all {what}"
    return counts[chosen.run, chosen.label] / counts.sum(axis=1)[chosen.run], f"the run's {what}"
