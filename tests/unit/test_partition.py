from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twopass_store.partition import (
    FRAME_CHUNK,
    FrameList,
    chunk_range,
    consecutive_runs,
    format_ranges,
    largest_subset,
    n_chunks,
    parse_ranges,
    position_chunk_frames,
    stride_for_subset,
    subset_size,
)


@given(n_atoms=st.integers(1, 10_000_000))
def test_position_chunk__divides_the_frame_chunk_and_stays_small(n_atoms):
    frames = position_chunk_frames(n_atoms)
    assert FRAME_CHUNK % frames == 0
    assert frames == 1 or frames * n_atoms * 12 <= 4 << 20


@given(
    indices=st.sets(st.integers(0, 80), max_size=40), cut=st.tuples(st.integers(0, 40), st.integers(0, 40))
)
def test_frame_list__holds_any_ascending_frames_and_any_part_of_them(indices, cut):
    expected = sorted(indices)
    frames = FrameList.from_indices(np.array(expected, dtype=np.int64))
    start, stop = sorted(min(edge, len(expected)) for edge in cut)
    for found, wanted in ((frames, expected), (frames.part(start, stop), expected[start:stop])):
        assert len(found) == len(wanted)
        assert found.to_array().tolist() == wanted
        assert [found.before(frame) for frame in range(82)] == [
            sum(i < frame for i in wanted) for frame in range(82)
        ]
    known, more = np.split(np.array(expected, dtype=np.int64), [start])
    grown = FrameList.from_indices(known).followed_by(more)
    assert (grown.starts.tolist(), grown.ends.tolist()) == (frames.starts.tolist(), frames.ends.tolist())
    assert grown.to_array().tolist() == expected


@given(length=st.integers(0, 1000), chunk=st.integers(1, 100))
def test_chunk_ranges__tile_the_length(length, chunk):
    ranges = [chunk_range(index, chunk=chunk, length=length) for index in range(n_chunks(length, chunk))]
    assert [i for r in ranges for i in range(r.start, r.stop)] == list(range(length))
    assert all(0 < len(r) <= chunk for r in ranges)


@given(st.sets(st.integers(0, 60)))
def test_consecutive_runs__cover_exactly_the_indices(indices):
    runs = list(consecutive_runs(sorted(indices)))
    assert {i for run in runs for i in range(run.start, run.stop)} == indices
    assert all(a.stop < b.start for a, b in pairwise(runs))


@given(n_frames=st.integers(1, 10**9), wanted=st.integers(1, 10**6))
def test_stride_for_subset__takes_at_most_what_was_asked(n_frames, wanted):
    stride = stride_for_subset(n_frames, wanted)
    assert subset_size(n_frames, stride) <= wanted
    assert stride == 1 or subset_size(n_frames, stride - 1) > wanted


@given(limit=st.integers(0, 50), at_most=st.integers(0, 50))
def test_largest_subset__is_the_last_that_fits(limit, at_most):
    assert largest_subset(lambda size: size <= limit, at_most=at_most) == min(limit, at_most)


@given(indices=st.sets(st.integers(0, 60)).map(sorted))
def test_ranges__read_back(indices):
    assert parse_ranges(format_ranges(indices)) == indices
