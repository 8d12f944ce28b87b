"""The error of populations, by bootstrap over runs."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_RESAMPLES", "share_errors"]

N_RESAMPLES = 1_000
"""Resamples; the error itself then has an error of 2 %."""


def share_errors(counts: NDArray[np.int64], n_frames: NDArray[np.int64], *, seed: int) -> NDArray[np.float64]:
    """Standard errors of the shares of clusters, shape (n_clusters,); NaN if fewer than two runs have frames.

    Frames of one run depend on each other, runs don't: so runs are drawn with replacement. `counts` are
    frames by run and cluster, shape (n_runs, n_clusters), `n_frames` those of each run, also without a label.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.
    """
    has_frames = n_frames > 0
    n_runs = int(has_frames.sum())
    if n_runs < 2:
        return np.full(counts.shape[1], np.nan)
    # How often each run is drawn is all that matters.
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_runs, np.full(n_runs, 1.0 / n_runs), size=N_RESAMPLES).astype(np.float64)
    shares = (drawn @ counts[has_frames]) / (drawn @ n_frames[has_frames])[:, np.newaxis]
    errors: NDArray[np.float64] = shares.std(axis=0, ddof=1)
    return errors
