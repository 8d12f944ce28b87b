"""Any damage to a trajectory: what it held, one clear error, or values that nothing tells from right ones."""

from random import Random

import pytest

from damage import FORMATS, Sound, damaged, make_sound, sweep
from twopass_store.trajectory import end_readers


def is_hdf5(sound: Sound) -> bool:
    return sound.data[1:4] == b"HDF"


@pytest.fixture(params=FORMATS)
def sound(request, tmp_path):
    yield make_sound(request.param, tmp_path)
    end_readers()


def test_damage__is_told_or_unknowable(sound):
    random = Random(5)
    # Each error of HDF5 costs the start of another reader.
    n_mutants = 8 if is_hdf5(sound) else 30
    counts = sweep(sound, [damaged(sound.data, random) for _ in range(n_mutants)])
    assert sum(counts.values()) == n_mutants and counts["right"] < n_mutants
