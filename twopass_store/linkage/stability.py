"""Would half of the frames be cut alike?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..condensed import count_frames
from ..errors import ConfigError
from ._passes import copy_part, nearest_of_other_kind
from .cut import cut
from .link import link_in_place, link_rows, linkage_bytes
from .quality import adjusted_rand

__all__ = ["scanning_bytes", "stability_of_cuts"]


def scanning_bytes(n_frames: int, n_clusters: int, *, rows: bool) -> int:
    """Upper bound of the memory that figures and stability of cuts need, distances included.

    `n_clusters` are those of the finest cut, and `rows` says what the tree was made from.
    """
    half = n_frames // 2 + 1
    # The distances as float32, those of a half too, and its linkage; before that, sums for each cluster.
    needed = 2 * n_frames**2 + 2 * half**2 + linkage_bytes(half, rows=rows)
    return needed + 6 * 8 * n_frames * n_clusters + 300 * n_frames + (16 << 20)


def stability_of_cuts(
    condensed: npt.NDArray[np.float32],
    *,
    method: str,
    rows: bool = False,
    n_clusters: Sequence[int],
    n_threads: int = 1,
) -> list[float]:
    """How alike two interleaved halves of the subset are cut, for several numbers of clusters.

    Each half is linked, by scipy's `method` and on `rows` of the square matrix or not, and cut by itself.
    Then every frame takes over the label of the frame of the other half that is nearest to it, and these
    labels are compared with its half's own.

    Takes condensed distances, shape (n_pairs,), and half of their memory besides. Returns adjusted Rand
    indices, the mean of both directions; NaN if a half has too few frames, or fewer than two clusters. Raises
    a `ConfigError` if there are fewer than 4 frames.

    References
    ----------
    Lange, Roth, Braun, Buhmann, Neural Comput. 16 (2004) 1299.
    """
    n_frames = count_frames(condensed)
    if n_frames < 4:
        raise ConfigError(f"{n_frames} frames can't be halved and clustered: take a larger subset.")
    is_second = np.arange(n_frames) % 2 == 1
    nearest = np.empty(n_frames, np.int64)
    nearest_of_other_kind(condensed, is_second, nearest)
    own = np.zeros((len(n_clusters), n_frames), np.int32)
    for half in (~is_second, is_second):
        members = np.flatnonzero(half)
        part = np.empty(members.size * (members.size - 1) // 2, np.float32)
        copy_part(condensed, members, n_frames, part)
        if rows:
            tree = link_rows(part, method=method, n_threads=n_threads)
        else:
            tree = link_in_place(part.astype(np.float64), method=method)
        for number, wanted in enumerate(n_clusters):
            if wanted <= members.size:
                own[number, members] = cut(tree, n_clusters=wanted)
    found = []
    for labels in own:
        taken = labels[nearest]
        sides = [(labels[half], taken[half]) for half in (~is_second, is_second)]
        alike = [adjusted_rand(a, b) if a.max() > 1 and b.max() > 1 else np.nan for a, b in sides]
        found.append(float(np.mean(alike)))
    return found
