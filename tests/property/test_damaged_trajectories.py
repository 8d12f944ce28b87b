"""Any damage to a trajectory: what it held, one clear error, or values that nothing tells from right ones."""

from random import Random

import pytest

from damage import FORMATS, damaged, make_sound, sweep
from twopass_store.trajectory import end_reader


@pytest.fixture(params=FORMATS)
def sound(request, tmp_path):
    yield make_sound(request.param, tmp_path)
    end_reader()


def test_damage__is_told_or_unknowable(sound):
    random = Random(5)
    counts = sweep(sound, [damaged(sound.data, random) for _ in range(30)])
    assert sum(counts.values()) == 30 and counts["right"] < 30


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_damage__thousands_in_each_format(sound, record_property):
    random = Random(11)
    counts = sweep(sound, [damaged(sound.data, random) for _ in range(3000)])
    print(sound.path.suffix, len(sound.data), dict(sorted(counts.items())))
    record_property("counts", str(counts))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_truncation__at_every_length(sound):
    step = 1 + len(sound.data) // 4000
    counts = sweep(sound, [sound.data[:length] for length in range(1, len(sound.data), step)])
    print(sound.path.suffix, len(sound.data), dict(sorted(counts.items())))
    # Cut exactly between two frames, a file of a format that doesn't say how many it has is one of fewer.
    assert counts["other values"] <= {".h5": 0, ".pdb": 12}.get(sound.path.suffix, 4)
