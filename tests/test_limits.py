"""Where a verdict turns: the limits of chains that are too short, and the largest |z| of a comparison."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hebb import statistics
from hebb.comparison import Comparison, Row


@pytest.mark.parametrize("tau, worst, too_short", [
    (10.0, 1.0, False), (10.001, 1.0, True), (1.0, 1.3, False), (1.0, 1.3001, True), (1.0, math.nan, True), (0.2, 1.0, False)])
def test_too_short_begins_at_20_tau_and_at_an_r_hat_of_1_3(monkeypatch, tau, worst, too_short):
    """200 bins, 4 samples; the worst sample counts, not their average."""
    monkeypatch.setattr(statistics, "autocorrelation_time", lambda chains: tau)
    monkeypatch.setattr(statistics, "_r_hats", lambda chains: np.array([1.0, worst, 1.0, 1.0]))
    found = statistics.estimate(np.random.default_rng(0).normal(size=(4, 200, 2)))
    assert found.too_short == too_short and found.tau == tau
    np.testing.assert_equal(found.r_hat, worst)


def test_twenty_measurements_are_the_fewest():
    """A chain that is independent from one measurement to the next still needs 20 of them."""
    values = np.random.default_rng(1).normal(size=(200, 20, 1))
    assert not statistics.estimate(values).n_measurements < 20
    assert statistics.estimate(values[:, :19]).too_short


def row(z, excluded=""):
    return Row({"n_spins": 10}, "m", 0.0, 1.0, 0.0, 0.0, z, z, "retrieval", excluded)


@pytest.mark.parametrize("z, worst", [([1.0, -6.0, 2.0], 6.0), ([math.nan, 3.0], 3.0), ([math.nan], 0.0), ([], 0.0)])
def test_the_worst_z_has_no_sign_and_needs_a_theory(z, worst):
    comparison = Comparison(SimpleNamespace(points=[]), [row(value, "" if value == value else "no theory") for value in z])
    assert comparison.worst == worst
    for line in comparison.summary():
        finite = [value for value in z if value == value]
        assert line["values"] == len(finite) and line["mean_z"] == pytest.approx(np.mean(finite))
        assert line["rms_z"] == pytest.approx(math.sqrt(np.mean(np.square(finite))))
