"""Parameters: numbers are numbers, and everything else is refused in one sentence."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebb import models, theory
from hebb.errors import ParameterError
from hebb.params import (
    DenseLaw,
    PerceptronLaw,
    check_choice,
    check_integer,
    check_real,
    float_array,
    load,
    patterns_at_load,
    shown,
)

NOT_NUMBERS = [
    "0.5", b"1", None, True, np.True_, np.array(True), [1.0], (1.0,), {"a": 1}, 1j, math.nan, np.nan, math.inf, -math.inf,
    np.array([1.0]), np.array([[1]]), np.array([]), np.array("1"), np.ma.masked, 10**400, -(10**400), 10**5000,
]  # fmt: skip


def refused(call, *arguments, **keywords):
    with pytest.raises(ParameterError) as caught:
        call(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    return message


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=shown)
def test_what_is_not_a_number_is_refused(value):
    assert "x = " in refused(check_real, "x", value)
    assert "x = " in refused(check_integer, "x", value, -5)
    assert "x = " in refused(check_real, "x", value, 0.0, 2.0, open_low=True)


@pytest.mark.parametrize("value", [1, 1.0, np.float64(1), np.float32(1), np.int64(1), np.uint8(1), np.array(1), np.array(1.0)])
def test_numbers_of_every_kind_are_accepted(value):
    for number in (check_real("x", value, 0.0, 1.0), check_integer("x", value, 1, 1)):
        assert number == 1 and type(number) in (int, float)


def test_messages_say_what_is_allowed():
    assert refused(check_real, "T", math.inf, 0.0, open_low=True) == "T = inf is not a number in ]0, inf["
    assert refused(check_real, "r", 2, 0.0, 1.0) == "r = 2 is not a number in [0, 1]"
    assert refused(check_real, "r", np.array([0.5])).endswith("; give one number, not an array")
    assert refused(check_integer, "n", 10**400, 1).endswith("characters) is not a whole number from 1 to 2^63 - 1")
    assert refused(check_integer, "n", 2.5, 1, 4) == "n = 2.5 is not a whole number from 1 to 4"
    assert refused(check_choice, "c", np.array(["a", "b"]), ("a", "b")).endswith("is not one of a, b")
    assert refused(check_choice, "c", "ab", ("abc", "xyz")).endswith("did you mean 'abc'?")
    assert len(shown(list(range(10**4)))) < 80 and shown(10**5000) == "an integer of thousands of digits"


def test_arrays_hold_real_numbers_only():
    for values in ("1", ["1"], [True], [1j], [None], [[1], [1, 2]], [10**400], 10**400, None, {}):
        assert float_array(values).size == 0
    for values in ([1, 2.0], np.array([1, 2], np.uint8), [np.float32(1), 2], [Fraction(1), 2]):
        assert float_array(values).dtype == float and float_array(values).tolist() == [1, 2]
    assert float_array(3).shape == () and np.isnan(float_array([math.nan])).all()


@pytest.mark.parametrize("name", ["r", "n_examples", "rho", "protocol", "hamiltonian", "p_body"])
@pytest.mark.parametrize("value", [np.array([1.0, 1.0]), np.array([1]), True, [1.0], "1"], ids=shown)
def test_keywords_of_a_law_are_checked(name, value):
    """For the record itself and for both who share it."""
    keywords = {"p_body": 3} | {name: value}
    assert name in refused(DenseLaw.from_keywords, **keywords)
    assert name in refused(theory.Dense, **keywords)
    assert name in refused(models.Dense, n_spins=10, n_patterns=2, **keywords)


def test_noiseless_spellings_are_storage():
    assert DenseLaw.from_keywords(4, r=1, rho=np.float64(0)) == DenseLaw.from_keywords(4)
    assert "describe a noisy dataset" in refused(DenseLaw.from_keywords, 4, r=0.5, protocol="storage")


@given(st.integers(2, 400), st.integers(2, 6), st.integers(1, 10**6))
def test_patterns_and_loads_are_inverse(n_spins, p_body, n_patterns):
    assert patterns_at_load(load(n_patterns, n_spins, p_body), n_spins, p_body) == n_patterns


def test_a_load_beyond_counting_is_refused():
    assert "lower gamma" in refused(patterns_at_load, 1e300, 10**6, 20)
    assert patterns_at_load(1e-300, 10, 3) == 1


def test_costs_of_stabilities():
    """V at, below and above the margin; a tie of even N counts one half, a stability at a margin that is not 0 does not err."""
    stabilities = [-1.0, 0.0, 0.5, 2.0]
    for loss, kappa, expected in (("violations", 0.0, [1, 0.5, 0, 0]), ("violations", 0.5, [1, 1, 0, 0]),
                                  ("hinge", 0.5, [1.5, 0.5, 0, 0]), ("quadratic", 0.5, [2.25, 0.25, 0, 0])):
        np.testing.assert_array_equal(PerceptronLaw.from_keywords(loss, kappa).cost(stabilities), expected)


def test_laws_of_a_perceptron_are_checked():
    assert refused(PerceptronLaw.from_keywords, "violation").endswith("did you mean 'violations'?")
    assert "kappa = inf" in refused(PerceptronLaw.from_keywords, kappa=math.inf)
    assert "labels = 'taecher'" in refused(PerceptronLaw.from_keywords, labels="taecher")
