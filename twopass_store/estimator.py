"""The two passes in memory, for notebooks, with scikit-learn's conventions."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .cluster.choice import choose_as
from .cluster.methods import METHODS, label_as, link_as, require_package
from .config import METRIC_OPTIONS, AssignConfig, ClusterConfig, validated
from .errors import ConfigError, TopologyMismatchError
from .executors import PROCESS_BYTES, ThreadExecutor, available_cpus, memory_budget, require_within
from .linkage import choosing_bytes
from .metric import ClusterMetric
from .partition import n_pairs, stride_for_subset
from .rmsd import Metric, Nearest, PairwiseRmsd, nearest_leaders, prepare_leaders

__all__ = ["TwoPassClustering", "nearest", "rmsd_matrix"]

PAIRS_AT_ONCE = 1 << 18
FRAMES_AT_ONCE = 4096
DEFAULT_SUBSET = 5_000

RESOURCES = {"memory", "workers", "scheduler"}
NEEDS_STORE = {*METRIC_OPTIONS, "all_frames", "name", "select", "leader_frames", *RESOURCES} - {"symmetry"}
"""Options of `ClusterConfig` that mean nothing for arrays."""


def rmsd_matrix(X: Any, *, symmetry: str | None = None) -> NDArray[np.float32]:
    """Minimal RMSDs of all pairs of frames.

    Parameters
    ----------
    X
        Positions in nm, shape (n_frames, n_atoms, 3); or an `mdtraj.Trajectory`; or an MDAnalysis AtomGroup
        or Universe, of which all frames are read. All atoms count: select them before.
    symmetry
        ``auto`` or ``auto,chains``, see `ClusterConfig`; then `X` is an `mdtraj.Trajectory`.

    Returns
    -------
    Shape (n_frames, n_frames), nm; NaN where a frame isn't finite.

    Raises
    ------
    MemoryBudgetError
        If the matrix takes more than half of the memory that is available.
    """
    from scipy.spatial.distance import squareform

    positions = _positions(X)
    require_within(
        memory_budget(None),
        PROCESS_BYTES + 8 * len(positions) ** 2,
        stage="rmsd_matrix",
        mend="Give fewer frames, or cluster them with `TwoPassClustering`.",
    )
    matrix: NDArray[np.float32] = squareform(_distances(positions, _metric(X, symmetry)))
    return matrix


def nearest(X: Any, references: Any, *, symmetry: str | None = None) -> Nearest:
    """Nearest of some structures to each frame.

    Parameters
    ----------
    X, references
        Frames of the same atoms, see `rmsd_matrix`.
    symmetry
        See `rmsd_matrix`.

    Returns
    -------
    ``index`` and ``rmsd`` (nm) of each frame, shape (n_frames,); the lowest index of equals, -1 and NaN for a
    frame that isn't finite.

    Raises
    ------
    TopologyMismatchError
        If the numbers of atoms differ.
    NonFiniteError
        If a reference isn't finite.
    """
    return _nearest(_positions(X), _positions(references), _metric(X, symmetry))


def _nearest(
    positions: NDArray[np.float32],
    references: NDArray[np.float32],
    metric: Metric,
    first_within: float | None = None,
) -> Nearest:
    leaders = prepare_leaders(references, metric)
    index, rmsd = np.empty(len(positions), np.int32), np.empty(len(positions), np.float32)

    def compare(start: int) -> None:
        rows = slice(start, start + FRAMES_AT_ONCE)
        found = nearest_leaders(positions[rows], leaders, first_within=first_within)
        index[rows], rmsd[rows] = found.index, found.rmsd

    _on_threads(compare, range(0, len(positions), FRAMES_AT_ONCE))
    return Nearest(index, rmsd)


class TwoPassClustering:
    """Cluster every N-th frame, then give every frame the label of a leader, by default the nearest.

    Parameters
    ----------
    n_clusters, cutoff
        Where the tree is cut: a number of clusters, or a height: 0.2 (nm) or ``2A``. With the method gromos,
        the RMSD of neighbours; with kmedoids, the number of medoids.
    noise_cutoff
        Frames farther than this from every leader get the label -1: 0.2 (nm) or ``2A``.
    **options
        Further options of the first pass by the names of `ClusterConfig`: ``stride`` or ``subset_frames``,
        ``method``, ``linkage``, ``label_order``, ``leader_method``, ``rule`` and others. Those that need a
        store or files (``select``, ``masses``, ``align_to``, …) aren't for arrays; ``symmetry`` is for an
        `mdtraj.Trajectory`.

    Attributes
    ----------
    labels_
        Cluster of each frame of `fit`, from 1, the largest first; -1 for noise. Shape (n_frames,).
    rmsd_to_leader_
        Of each frame of `fit`, shape (n_frames,), nm.
    subset_indices_, subset_labels_
        Frames of the first pass and their labels, shape (n_subset,); -1 for noise of the method hdbscan.
    leader_indices_, leader_labels_
        Frames that lead, and their clusters, shape (n_leaders,).
    medoid_indices_
        The medoid of each cluster, shape (n_clusters,).
    leaders_
        Their positions, shape (n_leaders, n_atoms, 3), nm.
    linkage_
        scipy's linkage of the subset, shape (n_subset - 1, 4); None if the method makes no tree.
    """

    def __init__(
        self,
        *,
        n_clusters: int | None = None,
        cutoff: float | str | None = None,
        noise_cutoff: float | str | None = None,
        **options: Any,
    ) -> None:
        self._given: dict[str, Any] = {"noise_cutoff": noise_cutoff}
        self.set_params(n_clusters=n_clusters, cutoff=cutoff, noise_cutoff=noise_cutoff, **options)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, as scikit-learn's tools ask for them."""
        return dict(self._given)

    def set_params(self, **params: Any) -> Self:
        """Change parameters."""
        if foreign := params.keys() & NEEDS_STORE:
            raise ConfigError(
                f"`{min(foreign)}` is for stores: select atoms and compare positions beforehand."
            )
        self._given |= params
        return self

    def fit(self, X: Any, y: None = None) -> Self:
        """Cluster frames; `X` as in `rmsd_matrix`, `y` is ignored.

        Raises
        ------
        ConfigError
            If the options don't fit each other, or neither says where to cut.
        MemoryBudgetError
            If the distances of the subset need more than half of the memory that is available.
        """
        given = {
            name: value for name, value in self._given.items() if name != "noise_cutoff" and value is not None
        }
        config, noise = validated(ClusterConfig, given), self._noise_nm()
        method = METHODS[config.method]
        require_package(config)
        if method.makes_tree and not isinstance(config.n_clusters, int) and config.cutoff is None:
            raise ConfigError("Say where to cut the tree: give `n_clusters` (a number) or `cutoff` (in nm).")
        if noise is not None and config.within_nm is not None and noise < config.within_nm:
            raise ConfigError(
                f"`noise_cutoff` {noise} is less than the `cutoff` within which leaders take frames (`rule` "
                "first-within): these have their label. Give at least that, or `rule` nearest."
            )
        positions, threads = _positions(X), available_cpus()
        stride = config.stride or stride_for_subset(len(positions), config.subset_frames or DEFAULT_SUBSET)
        subset = np.arange(0, len(positions), stride)
        in_method = n_pairs(len(subset)) * 4 + method.n_bytes(config, len(subset), threads)
        needed = max(in_method, choosing_bytes(len(subset), n_threads=threads))
        require_within(
            memory_budget(None), PROCESS_BYTES + needed, stage="fit", mend="Use a larger `stride`."
        )
        self._metric = _metric(X, config.symmetry)
        distances = _distances(positions[subset], self._metric)
        self.linkage_ = link_as(config, distances, threads)
        found = label_as(config, distances, self.linkage_)
        leaders = choose_as(config, threads, distances, found.labels, found.medoids)
        self.subset_indices_, self.subset_labels_ = subset, found.labels
        self.medoid_indices_ = subset[found.medoids]
        self.leader_indices_, self.leader_labels_ = subset[leaders.subset_index], leaders.label
        self.leaders_ = positions[self.leader_indices_].copy()
        self._within = config.within_nm
        self.labels_, self.rmsd_to_leader_ = self._assign(positions)
        if config.keep_subset_labels:
            self.labels_[subset] = self.subset_labels_
        return self

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Return the label of each frame by the leaders, shape (n_frames,); `X` as in `rmsd_matrix`."""
        if not hasattr(self, "leaders_"):
            raise ConfigError("This clustering has no leaders yet: call `fit` first.")
        return self._assign(_positions(X))[0]

    def fit_predict(self, X: Any, y: None = None) -> NDArray[np.int32]:
        """Cluster frames and return their labels, as `fit` and ``labels_`` do."""
        return self.fit(X).labels_

    def _noise_nm(self) -> float | None:
        return validated(AssignConfig, {"noise_cutoff": self._given["noise_cutoff"]}).noise_cutoff

    def _assign(self, positions: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        found = _nearest(positions, self.leaders_, self._metric, self._within)
        labels = np.where(found.index >= 0, self.leader_labels_[found.index], -1).astype(np.int32)
        if (noise := self._noise_nm()) is not None:
            labels[found.rmsd > np.float32(noise)] = -1
        return labels, found.rmsd


def _positions(X: Any) -> NDArray[np.float32]:
    """Return the positions of frames, shape (n_frames, n_atoms, 3), nm."""
    if hasattr(X, "xyz"):  # mdtraj.Trajectory
        X = X.xyz
    elif hasattr(X, "universe"):  # MDAnalysis, in Å
        atoms = X.atoms
        X = np.stack([atoms.positions for _ in X.universe.trajectory]).astype(np.float64) / 10.0
    found = np.ascontiguousarray(X, np.float32)
    if found.ndim != 3 or found.shape[2] != 3 or not found.size:
        raise TopologyMismatchError(
            f"Positions have the shape (n_frames, n_atoms, 3), not {found.shape}. For a trajectory, give "
            "its `xyz` in nm."
        )
    return found


def _metric(X: Any, symmetry: str | None) -> Metric:
    """Return the minimal RMSD, the least over equivalent atoms if asked for."""
    if symmetry is None:
        return Metric()
    config = validated(ClusterConfig, {"symmetry": symmetry})
    if not hasattr(X, "topology"):
        raise ConfigError("`symmetry` needs the atoms and bonds: give an `mdtraj.Trajectory`.")
    from .trajectory import find_symmetry

    atoms = np.arange(X.n_atoms)
    found, _ = find_symmetry(X.topology, atoms, chains=config.symmetry == "auto,chains")
    if found is None:
        return Metric()
    return ClusterMetric(atoms, symmetry_atoms=found.atoms, permutations=found.permutations).for_kernels()


def _distances(positions: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Return the minimal RMSDs of all pairs, condensed."""
    kernel = PairwiseRmsd(positions, metric)
    distances = np.empty(kernel.n_pairs, np.float32)

    def compute(start: int) -> None:
        stop = min(start + PAIRS_AT_ONCE, kernel.n_pairs)
        distances[start:stop] = kernel.pairs(start, stop)

    _on_threads(compute, range(0, kernel.n_pairs, PAIRS_AT_ONCE))
    return distances


def _on_threads(work: Any, starts: range) -> None:
    for _ in ThreadExecutor(available_cpus()).map_unordered(work, starts):
        pass
