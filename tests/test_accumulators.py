"""Bins: fixed memory, no measurement lost or counted twice, wherever the stream is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hebb.errors import ParameterError
from hebb.sampling.accumulators import MAX_BINS, Accumulators, bin_length_for

EXACT = settings(derandomize=True, deadline=None, max_examples=60)


def filled(bin_length, values, name="m"):
    accumulators = Accumulators(bin_length)
    for value in values:
        accumulators.add(name, value)
    return accumulators


@given(st.integers(1, 7), st.lists(st.floats(-1e3, 1e3), max_size=60), st.lists(st.integers(0, 60), max_size=5))
@EXACT
def test_cutting_the_stream_anywhere_changes_no_bit(bin_length, values, cuts):
    """(a + b) + c = a + (b + c): a snapshot at any set of moments gives the bins of the uncut stream, bit for bit."""
    values = np.array(values)[:, None] * np.array([1.0, 0.3])
    whole = filled(bin_length, values).bins()
    part = Accumulators(bin_length)
    for i, value in enumerate(values):
        if i in cuts:
            heir = Accumulators(bin_length)
            heir.restore(part.snapshot(), part.bins())
            part = heir
        part.add("m", value)
    assert part.bins().keys() == whole.keys()
    for name, bins in whole.items():
        assert part.bins()[name].tobytes() == bins.tobytes() and bins.shape == (len(values) // bin_length, 2)


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.integers(-1000, 1000), max_size=80))
@EXACT
def test_bins_of_bins(inner, outer, values):
    """Binning by `inner` and then by `outer` is binning by their product."""
    twice = filled(outer, filled(inner, values).bins().get("m", [])).bins()
    once = filled(inner * outer, values).bins()
    np.testing.assert_allclose(twice.get("m", []), once.get("m", []), rtol=1e-12, atol=1e-12)


def test_a_snapshot_is_a_copy():
    accumulators = filled(3, [1.0, 2.0])
    snapshot = accumulators.snapshot()
    accumulators.add("m", 30.0)
    assert snapshot["m/sum"] == 3.0 and snapshot["m/count"] == 2 and accumulators.bins()["m"].tolist() == [11.0]


def test_a_change_of_shape_is_refused():
    accumulators = filled(2, [np.zeros(3)])
    with pytest.raises(ParameterError, match=r"'m' was measured with shape \(3,\) before and now has shape \(2,\)"):
        accumulators.add("m", np.zeros(2))
    accumulators.add("q", np.zeros((2, 4)))
    assert accumulators.bins()["q"].shape == (0, 2, 4)
    with pytest.raises(ParameterError, match="bin_length = 0"):
        Accumulators(0)


def test_memory_is_bounded():
    for n in (1, MAX_BINS, MAX_BINS + 1, 10**9):
        assert n // bin_length_for(n) <= MAX_BINS
    assert bin_length_for(MAX_BINS) == 1 and bin_length_for(MAX_BINS + 1) == 2 and bin_length_for(0) == 1
