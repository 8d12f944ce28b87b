"""What is counted frame by frame, against counting one after the other."""

from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twopass_store.report.quantiles import LENGTH_EDGES, SHARE_EDGES, Histogram
from twopass_store.report.visits import Visits

PROFILE = settings(deadline=None, max_examples=80, derandomize=True)


def brute_force_visits(label, run, is_break):
    """Every visit as (label, run, frames, whether its beginning and its end were seen)."""
    stretch = np.cumsum(is_break)
    keys = list(zip(stretch.tolist(), label.tolist(), run.tolist(), strict=True))
    found = [(key, len(list(group))) for key, group in groupby(keys)]
    visits = []
    for place, ((stretch, one, of_run), length) in enumerate(found):
        begun = place > 0 and found[place - 1][0][0] == stretch
        left = place + 1 < len(found) and found[place + 1][0][0] == stretch
        visits.append((one, of_run, length, begun, left))
    return visits


@PROFILE
@given(data=st.data(), n_frames=st.integers(1, 60), n_labels=st.integers(1, 3))
def test_visits__are_those_counted_one_by_one(data, n_frames, n_labels):
    ints = st.lists(st.integers(0, n_labels - 1), min_size=n_frames, max_size=n_frames)
    label = np.array(data.draw(ints))
    run = np.sort(data.draw(st.lists(st.integers(0, 2), min_size=n_frames, max_size=n_frames)))
    gaps = np.array(data.draw(st.lists(st.booleans(), min_size=n_frames, max_size=n_frames)))
    is_break = gaps | (np.diff(run, prepend=-1) != 0)
    spacing = np.array([1.0, 2.5, 10.0])
    visits = Visits(n_labels, spacing)
    cuts = sorted(data.draw(st.lists(st.integers(0, n_frames), max_size=5)))
    for start, stop in zip([0, *cuts], [*cuts, n_frames], strict=True):
        visits.add(label[start:stop], run[start:stop], is_break[start:stop])
    found = visits.finish()

    expected = brute_force_visits(label, run, is_break)
    for one in range(n_labels):
        mine = [(spacing[run], length, begun, left) for of, run, length, begun, left in expected if of == one]
        complete = [(step, length) for step, length, begun, left in mine if begun and left]
        row = SimpleNamespace(**{name: values[one] for name, values in found.items()})
        assert row.n_visits == len(mine)
        assert row.n_frames == sum(length for _, length, _, _ in mine) == (label == one).sum()
        assert row.n_departures == sum(left for _, _, _, left in mine)
        assert row.n_complete == len(complete)
        assert row.n_complete_frames == sum(length for _, length in complete)
        assert row.longest_frames == max((length for _, length, _, _ in mine), default=0)
        times = [step * length for step, length, _, _ in mine]
        assert row.time == pytest.approx(sum(times))
        assert row.longest_time == pytest.approx(max(times, default=np.nan), nan_ok=True)
        assert row.complete_time == pytest.approx(sum(step * length for step, length in complete))


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
