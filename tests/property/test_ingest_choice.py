"""Which frames of a run are kept, against plain loops over the frames."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twopass_store.config import IngestConfig
from twopass_store.ingest.choice import choose_by_number, choose_by_time, seams, typical_spacing
from twopass_store.trajectory import Times

SPACING = 2.0


@st.composite
def runs(draw):
    """Parts of a run on one grid of times, each beginning where an earlier one was, or after a gap."""
    parts, start = [], draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 12))
        parts.append(SPACING * np.arange(start, start + size, dtype=np.float64))
        start += draw(st.integers(0, size + 2))
    return parts


def plain(
    parts, *, overlap="later", discard_first=0, burn_in=None, begin=None, end=None, every=None, stride=1
):
    left = []
    first_of_run = min(part[0] for part in parts)
    for number, part in enumerate(parts):
        for index, time in enumerate(part):
            superseded = any(time >= later[0] for later in parts[number + 1 :])
            keep = overlap == "keep" or not superseded
            keep = keep and index >= discard_first
            keep = keep and (burn_in is None or time >= first_of_run + burn_in)
            keep = keep and (begin is None or time >= begin) and (end is None or time <= end)
            if keep:
                left.append((number, index, time))
    if every is None:
        return [frame[:2] for frame in left[::stride]]
    kept, last = [], None
    for number, index, time in left:
        interval = (time - left[0][2]) // every
        if interval != last:
            kept.append((number, index))
        last = interval
    return kept


def in_pieces(times):
    """Times as they come from a file, a piece at a time."""
    return Times.of(np.array_split(np.asarray(times), range(5, len(times), 5)))


def pairs(choice):
    return [(number, index) for number, part in enumerate(choice.kept) for index in part.to_array().tolist()]


optional_time = st.none() | st.integers(0, 40).map(float)


@given(
    parts=runs(),
    burn_in=optional_time,
    begin=optional_time,
    end=optional_time,
    every=st.none() | st.integers(1, 12).map(float),
    stride=st.integers(1, 4),
    discard_first=st.integers(0, 3),
)
def test_choice__is_that_of_a_plain_loop(parts, burn_in, begin, end, every, stride, discard_first):
    if begin is not None and end is not None and begin > end:
        begin, end = end, begin
    options = {"burn_in": burn_in, "begin": begin, "end": end, "every": every, "discard_first": discard_first}
    options["stride"] = stride if every is None else 1
    config = IngestConfig(trajectories=("a",), **options)
    assert pairs(choose_by_time([*map(in_pieces, parts)], config)) == plain(parts, **options)


@given(parts=runs(), stride=st.integers(1, 4))
def test_overlap_keep__keeps_all(parts, stride):
    config = IngestConfig(trajectories=("a",), overlap="keep", stride=stride)
    assert pairs(choose_by_time([*map(in_pieces, parts)], config)) == plain(
        parts, overlap="keep", stride=stride
    )


@given(parts=runs(), offset=st.floats(0, 1e7), stride=st.integers(1, 3))
def test_times_in_float32__choose_the_same(parts, offset, stride):
    """Most formats keep times as float32: a restart's times differ from the first part's in the last bits."""
    spacing = 50 * SPACING
    exact = [part * 50 + offset for part in parts]
    rounded = [part.astype(np.float32).astype(np.float64) for part in exact]
    config = IngestConfig(trajectories=("a",), every=stride * spacing, burn_in=3 * spacing)
    expected = plain([part * 50 for part in parts], every=stride * spacing, burn_in=3 * spacing)
    assert pairs(choose_by_time([*map(in_pieces, rounded)], config)) == expected


@given(pieces=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=5))
def test_seams__are_where_time_does_not_go_on(pieces):
    joined = [start + step for start, size in pieces for step in range(size)]
    expected = [i for i in range(1, len(joined)) if joined[i] <= joined[i - 1]]
    assume(len(expected) < len(joined) - 1)  # it goes on somewhere
    assert seams(in_pieces(SPACING * np.array(joined, np.float64))).tolist() == expected


@given(
    step=st.sampled_from([Fraction(femtoseconds, 1000) for femtoseconds in (1, 2, 4, 5, 10, 20)]),
    start=st.integers(50_000, 200_000),
    sizes=st.tuples(st.integers(600, 900), st.integers(100, 500), st.integers(400, 900)),
    every=st.integers(1, 5),
)
def test_times_closer_than_float32_can_tell__choose_as_the_exact_ones(step, start, sizes, every):
    """After 100 ns, float32 is in steps of 8 fs; the file is two parts joined."""
    n_first, n_repeated, n_second = sizes
    exact = [[start + step * number for number in range(n_first)]]
    begin = exact[0][-n_repeated]
    exact.append([begin + step * number for number in range(n_second)])
    joined = np.array([float(time) for part in exact for time in part], np.float32).astype(np.float64)
    assert seams(in_pieces(joined)).tolist() == [n_first]
    config = IngestConfig(trajectories=("a",), every=float(every * step))
    choice = choose_by_time([*map(in_pieces, np.split(joined, [n_first]))], config)
    assert pairs(choice) == plain(exact, every=every * step)
    assert choice.n_repeated == (n_repeated, 0)
    assert choice.spacing == pytest.approx(float(step))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), stride=st.integers(1, 5))
def test_runs_without_times__are_strided_as_one(sizes, stride):
    config = IngestConfig(trajectories=("a",), stride=stride, discard_first=2)
    left = [(number, index) for number, size in enumerate(sizes) for index in range(2, size)]
    assert pairs(choose_by_number(sizes, config)) == left[::stride]


def test_spacing__is_right_late_in_a_long_run():
    """At 2 µs float32 knows times to 0.25 ps only."""
    times = (2e6 + np.arange(2000) * 1.0).astype(np.float32).astype(np.float64)
    assert abs(typical_spacing(in_pieces(times).steps()) - 1.0) < 1e-3
