"""What `square.py` runs: reads condensed distances on stdin, writes labels to stdout."""

import ctypes
import json
import signal
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt


def main() -> None:
    """Cluster by the options on the command line."""
    options = json.loads(sys.argv[1])
    # Python's own handler would wait until the library is done, and so would a process without a parent.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(AttributeError):  # only Linux can do that
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    method, n_frames = options.pop("method"), options.pop("n_frames")
    json.dump(_METHODS[method](n_frames, **options), sys.stdout)


def _hdbscan(n_frames: int, **options: Any) -> dict[str, list[int]]:
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(metric="precomputed", copy=False, **options)
    return {"labels": model.fit(_read_square(n_frames, np.float64)).labels_.tolist()}


def _kmedoids(n_frames: int, *, n_clusters: int, seed: int) -> dict[str, list[int]]:
    from kmedoids import fasterpam

    # On one thread: on several, others might be found.
    found = fasterpam(_read_square(n_frames, np.float32), n_clusters, random_state=seed, n_cpu=1)
    return {"labels": found.labels.tolist(), "medoids": found.medoids.tolist()}


def _read_square(n_frames: int, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
    square = np.zeros((n_frames, n_frames), dtype)
    for index in range(n_frames - 1):
        row = np.frombuffer(sys.stdin.buffer.read(4 * (n_frames - 1 - index)), np.float32)
        square[index, index + 1 :] = row
        square[index + 1 :, index] = row
    return square


_METHODS = {"hdbscan": _hdbscan, "kmedoids": _kmedoids}

if __name__ == "__main__":
    main()
