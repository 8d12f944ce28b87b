"""What is counted frame by frame, against counting one after the other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twopass_store.report.quantiles import LENGTH_EDGES, SHARE_EDGES, Histogram

PROFILE = settings(deadline=None, max_examples=80, derandomize=True)


SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@PROFILE
@given(
    values=st.lists(st.floats(0, 100, width=32), min_size=1, max_size=200),
    labels=st.lists(st.integers(0, 1), min_size=200, max_size=200),
)
def test_quantiles_of_lengths__are_numpys_within_the_resolution(values, labels):
    length, label = np.array(values, np.float32), np.array(labels[: len(values)])
    histogram = Histogram(3, LENGTH_EDGES)
    for part in np.array_split(np.arange(len(length)), 3):
        histogram.add(label[part], length[part])
    found = histogram.quantiles(SHARES)
    for one in range(3):
        if not (label == one).any():
            assert np.isnan(found[one]).all()
            continue
        expected = np.quantile(length[label == one], SHARES, method="inverted_cdf")
        np.testing.assert_allclose(found[one], expected, rtol=0.004, atol=1e-5)


@PROFILE
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_quantiles_of_shares__are_numpys_within_the_resolution(values):
    share = np.array(values)
    histogram = Histogram(1, SHARE_EDGES)
    histogram.add(np.zeros(len(share), int), share)
    expected = np.quantile(share, SHARES, method="inverted_cdf")
    np.testing.assert_allclose(histogram.quantiles(SHARES)[0], expected, atol=1 / 4096)
