"""Packing is exact, or refuses."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from twopass_store.store import Misfit, Packing

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.just(3))
STEPS = st.sampled_from([0.001, 0.01, 0.0001, 1 / 128, 0.0025])
DTYPES = st.sampled_from(["int16", "int32"])


@given(xyz=arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32)), step=STEPS, dtype=DTYPES)
def test_any_floats__come_back_bit_for_bit_or_are_refused(xyz, step, dtype):
    packing = Packing.on_grid(step, dtype)
    packed = packing.pack(xyz)
    if isinstance(packed, Misfit):
        value = xyz[packed.frame, packed.atom, packed.axis]
        assert packed.value == float(value) or np.isnan(value)
        before = xyz.reshape(-1)[: np.ravel_multi_index((packed.frame, packed.atom, packed.axis), xyz.shape)]
        assert not isinstance(packing.pack(before.reshape(-1, 1, 1)), Misfit) or not len(before)
    else:
        assert packing.unpack(packed).tobytes() == xyz.tobytes()
        assert (packed != np.iinfo(dtype).min).all()


@given(data=st.data(), step=STEPS, dtype=DTYPES)
def test_what_lies_on_the_grid__is_never_refused(data, step, dtype):
    # Beyond 2^22 steps float32 doesn't tell all neighbours apart.
    limit = 32_767 if dtype == "int16" else 1 << 22
    steps = data.draw(arrays.arrays(np.int32, SHAPES, elements=st.integers(-limit, limit)))
    packing = Packing.on_grid(step, dtype)
    xyz = steps.astype(np.float32) * np.float32(step)
    np.testing.assert_array_equal(packing.pack(xyz), steps)


@given(xyz=arrays.arrays(np.float32, SHAPES, elements=st.floats(-30, 30, width=32)), step=STEPS, dtype=DTYPES)
def test_rounding__moves_by_half_a_step_at_most(xyz, step, dtype):
    packing = Packing.on_grid(step, dtype, rounds=True)
    packed = packing.pack(xyz)
    if isinstance(packed, Misfit):
        assert packed.is_too_large and abs(packed.value) > packing.limit_nm * 0.999
    else:
        error = packing.largest_error(xyz, packed)
        # Half a step, and what float32 rounds at 30 nm.
        assert error <= step / 2 + 4e-6
        assert error == np.abs(packing.unpack(packed).astype(np.float64) - xyz).max()
