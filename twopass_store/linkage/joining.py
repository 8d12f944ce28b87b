"""Further frames in the clusters of a tree, by the rule of its linkage."""

import numpy as np
import numpy.typing as npt

from ..condensed import Float64Array

__all__ = ["Joining"]


class Joining:
    """The clusters of a cut tree, which frames from outside the tree join one after the other.

    A frame joins the cluster from which its linkage distance is least, of equals the one with the lower
    label, if that is not above the height of the cut; otherwise it opens a cluster of its own. Linkage
    distances are those of the method: to all members of the cluster the mean (average), the least (single),
    the largest (complete), or the mean by the weights that the tree gives them (weighted). Who joined is a
    member for those who follow, and has for weighted linkage half the weight, as a cluster merged last.

    Takes scipy's linkage by one of `HEIGHT_IS_RMSD`, shape (n_frames − 1, 4), the labels of its frames by the
    cut, shape (n_frames,), from 1, and the height of the cut. If that is None, it is that of the highest
    merge below the cut, the least that gives these labels.
    """

    def __init__(
        self, linkage: Float64Array, labels: npt.NDArray[np.int32], *, method: str, cutoff: float | None
    ) -> None:
        n_frames = len(labels)
        merges = linkage[: n_frames - int(labels.max())]
        self._cutoff = cutoff if cutoff is not None else float(merges[:, 2].max(initial=0.0))
        self._method = method
        self._label = labels.astype(np.int64) - 1
        weight = np.ones(n_frames + len(merges))
        if method == "weighted":
            for node, children in reversed([*enumerate(merges[:, :2].astype(np.int64), n_frames)]):
                weight[children] = weight[node] / 2
        self._weight = weight[:n_frames]

    def label_of(self, distances: npt.NDArray[np.floating]) -> int:
        """Return the label of a further frame, from its distances (nm) to all members, shape (n_members,).

        These are the frames of the tree, then those that joined, in their order.
        """
        n_clusters = int(self._label.max()) + 1
        if self._method in ("average", "weighted"):
            weights = np.bincount(self._label, self._weight)
            to_cluster = np.bincount(self._label, self._weight * distances) / weights
        else:
            to_cluster = np.full(n_clusters, np.inf if self._method == "single" else 0.0)
            reduce = np.minimum if self._method == "single" else np.maximum
            reduce.at(to_cluster, self._label, distances)
        nearest = int(to_cluster.argmin())
        return (nearest if to_cluster[nearest] <= self._cutoff else n_clusters) + 1

    def join(self, label: int) -> None:
        """Make a further frame a member of a cluster, an old one or the next."""
        weight = 1.0
        if self._method == "weighted" and label <= self._label.max() + 1:
            weight = 0.5
            self._weight[self._label == label - 1] /= 2
        self._label = np.append(self._label, label - 1)
        self._weight = np.append(self._weight, weight)
