"""Clusterings by libraries that take the square matrix of distances, each call in a process of its own.

There it doesn't matter that a library keeps Python's lock until it is done, nor that it keeps its memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..condensed import Int64Array, count_frames
from ..errors import WorkerError
from .link import require_finite

__all__ = ["hdbscan", "hdbscan_bytes", "kmedoids", "kmedoids_bytes"]

Float32Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

_PROCESS_BYTES = 160 << 20
"""Python with the libraries, before it has any distances."""


def hdbscan(condensed: Float32Array, *, min_cluster_size: int, min_samples: int | None) -> Labels:
    """Density-based clusters, by scikit-learn's ``HDBSCAN``, whose parameters these are.

    Takes condensed distances, shape (n_pairs,); returns labels, shape (n_frames,), from 1 and -1 for noise.
    Raises a `ConfigError` if the distances aren't finite, and a `WorkerError` if the process dies.

    References
    ----------
    Campello et al., PAKDD 2013, 160; McInnes et al., J. Open Source Softw. 2 (2017) 205.
    """
    found = _call(condensed, "hdbscan", min_cluster_size=min_cluster_size, min_samples=min_samples)
    labels = np.array(found["labels"], np.int32)
    return np.where(labels < 0, -1, labels + 1).astype(np.int32)


def kmedoids(condensed: Float32Array, *, n_clusters: int, seed: int) -> tuple[Labels, Int64Array]:
    """Clusters around medoids whose frames are nearest to their own, by ``kmedoids.fasterpam``.

    Returns labels, shape (n_frames,), from 1, and the index of each one's medoid, shape (n_clusters,). Of
    medoids at distance 0 but one has a cluster. `seed` is that of the medoids to begin with, and of the order
    in which frames are tried. Takes distances and raises errors as `hdbscan` does.

    References
    ----------
    Schubert and Rousseeuw, Inf. Syst. 101 (2021) 101804.
    """
    found = _call(condensed, "kmedoids", n_clusters=n_clusters, seed=seed)
    used, labels = np.unique(found["labels"], return_inverse=True)
    return (labels.reshape(-1) + 1).astype(np.int32), np.array(found["medoids"], np.int64)[used]


def hdbscan_bytes(n_frames: int) -> int:
    """Upper bound of the memory of `hdbscan` in both processes, its input included."""
    # The square in float64; while the library looks whether it is symmetric, two more and one of bytes.
    return 2 * n_frames**2 + 25 * n_frames**2 + 1000 * n_frames + _PROCESS_BYTES


def kmedoids_bytes(n_frames: int) -> int:
    """Upper bound of the memory of `kmedoids` in both processes, its input included."""
    return 2 * n_frames**2 + 4 * n_frames**2 + 1000 * n_frames + _PROCESS_BYTES


def _call(condensed: Float32Array, method: str, **options: Any) -> dict[str, Any]:
    require_finite(condensed)
    script = Path(__file__).with_name("_square_process.py")
    options |= {"method": method, "n_frames": count_frames(condensed)}
    # It is killed if anything is raised meanwhile, such as KeyboardInterrupt.
    done = subprocess.run(
        [sys.executable, "-P", script, json.dumps(options)],
        input=np.ascontiguousarray(condensed, np.float32).view(np.uint8).data,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise WorkerError(
            f"The process that clustered by {method} {how}{f' ({said[-1]})' if said else ''}; if nobody did "
            "that, the system may have run out of memory. What was committed stays: run the same command "
            "again to resume."
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
