"""Averages over the local field against quadrature of another kind, and the root finders on known roots."""

import mpmath
import numpy as np
import pytest

from hebb.theory.quadrature import FieldAverages, field_averages
from hebb.theory.solver import bracketed_root, increasing_root, newton_pairs


def by_mpmath(a, sigma, temperature):
    """The seven averages by adaptive Gauss-Legendre panels in 30 digits."""
    with mpmath.workdps(30):
        a, sigma, temperature = mpmath.mpf(a), mpmath.mpf(sigma), mpmath.mpf(temperature)
        centre, width = -a / sigma, temperature / sigma
        inner = [centre + k * width for k in (-40, -12, -4, -1, 0, 1, 4, 12, 40)]
        panels = sorted({mpmath.mpf(-13), mpmath.mpf(0), mpmath.mpf(13), *(p for p in inner if -13 < p < 13)})

        def mean(function):
            return mpmath.quad(lambda z: function((a + sigma * z) / temperature) * mpmath.npdf(z), panels)

        def sech2(v):
            return mpmath.sech(v) ** 2

        return [float(value) for value in (
            mean(lambda v: 1 - mpmath.tanh(v)), mean(sech2) / temperature,
            -2 * mean(lambda v: mpmath.tanh(v) * sech2(v)) / temperature**2,
            mean(lambda v: 4 * sech2(v) - 6 * sech2(v) ** 2) / temperature**3,
            mean(lambda v: sech2(v) ** 2) / temperature, temperature * mean(lambda v: mpmath.log(2 * mpmath.cosh(v))),
            mean(lambda v: mpmath.log(2 * mpmath.cosh(v)) - v * mpmath.tanh(v)))]


@pytest.mark.parametrize("point", [(1, 0.3, 0.2), (1, 0.3, 0.2999), (1, 0.3, 0.3001), (1, 0.5, 0.004), (0, 0.5, 0.4),
                                   (0.2, 0.1, 1.0), (2, 0.3, 0.1)])
def test_averages_equal_adaptive_quadrature(point):
    exact = by_mpmath(*point)
    for finer in (False, True):
        for name, value, wanted in zip(FieldAverages._fields, field_averages(*point, finer=finer), exact, strict=True):
            assert abs(value - wanted) < 2e-15 * (1 + abs(wanted)), (name, finer)


def test_averages_are_continuous_where_the_rule_changes():
    low, high = (np.array(field_averages(0.7, 0.4, 0.4 * (1 + e))) for e in (-1e-15, 1e-15))
    assert np.max(np.abs(low - high) / (1 + np.abs(low))) < 1e-14


def test_zero_temperature_and_zero_noise():
    cold = field_averages(0.8, 0.5, 0.0)
    assert cold.loss == pytest.approx(mpmath.erfc(0.8 / (0.5 * mpmath.sqrt(2))), rel=1e-14)
    assert cold.C == pytest.approx(float(mpmath.sqrt(2 / mpmath.pi) / 0.5 * mpmath.exp(-1.28)), rel=1e-14)
    assert cold.S == 0
    quiet = field_averages(0.8, 0.0, 0.5)
    assert quiet.loss == pytest.approx(1 - np.tanh(1.6), rel=1e-14)
    assert field_averages(0.8, 0.0, 0.0)[:2] == (0.0, 0.0)
    assert field_averages(0.0, 0.0, 0.0)[:2] == (1.0, np.inf)


def test_small_losses_keep_their_relative_precision():
    loss = field_averages(10.0, 1.0, 1e-3).loss
    assert loss == pytest.approx(by_mpmath(10, 1, 1e-3)[0], rel=1e-6)
    assert 1e-24 < loss < 1e-22


def test_derivatives_are_derivatives():
    rng = np.random.default_rng(3)
    a, sigma, temperature = rng.uniform(0.1, 2, 50), rng.uniform(0.1, 1, 50), rng.uniform(0.05, 1, 50)
    h = 1e-4

    def slope(shift):
        up, down = np.array(field_averages(*shift(h))), np.array(field_averages(*shift(-h)))
        return (up - down) / (2 * h)

    here = field_averages(a, sigma, temperature)
    by_field = FieldAverages(*slope(lambda e: (a + e, sigma, temperature)))
    by_temperature = FieldAverages(*slope(lambda e: (a, sigma, temperature + e)))
    by_width = FieldAverages(*slope(lambda e: (a, sigma + e, temperature)))
    for got, wanted in ((-by_field.loss, here.C), (by_field.C, here.C_a), (by_field.L, 1 - here.loss),
                        (by_temperature.L, here.S), (-by_width.loss, sigma * here.C_a), (by_width.L, sigma * here.C),
                        (by_width.C, sigma * here.C_aa)):
        assert np.max(np.abs(got - wanted) / (1 + np.abs(wanted))) < 1e-4


def test_bracketed_root():
    targets = np.array([0.3, 2.0, 1e-9, 8.0])
    root = bracketed_root(lambda x, rows: x**3 - targets[rows], np.zeros(4), 3.0)
    assert np.max(np.abs(root - targets ** (1 / 3)) / targets ** (1 / 3)) < 1e-12
    assert np.isnan(bracketed_root(lambda x, rows: x**2 + 1, -1.0, 1.0)).all()
    assert bracketed_root(lambda x, rows: np.sign(x - 0.25), 0.0, 1.0)[0] == pytest.approx(0.25, abs=1e-14)


def test_increasing_root_and_newton_pairs():
    targets = np.array([0.5, 20.0, 1e-6])
    root = increasing_root(lambda x, rows: (np.expm1(x) - targets[rows], np.exp(x)), np.zeros(3), 50.0, 40.0)
    assert np.max(np.abs(root / np.log1p(targets) - 1)) < 1e-14

    def circle_and_line(x, y, rows):
        return x**2 + y**2 - 1, y - x, 2 * x, 2 * y, -np.ones_like(x), np.ones_like(x)

    x, y, step = newton_pairs(circle_and_line, [0.9, 0.1], [0.1, 0.2], ((0.0, 2.0), (0.0, 2.0)))
    assert np.max(np.abs(np.array([x, y]) - np.sqrt(0.5))) < 1e-15 and step.max() < 1e-14
