"""Column averages by the O(K) integral, against sums over all columns, identities and the limits T = 0 and M = infinity."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from hebb.errors import ParameterError
from hebb.params import MultitaskLaw
from hebb.theory import column_integral
from hebb.theory.column_integral import ColumnIntegral
from hebb.theory.columns import Columns
from hebb.theory.frozen_columns import frozen_columns
from hebb.theory.multitask_examples import ExampleColumns

NAMES = ("log_cosh", "field", "archetype", "jacobian")


def law(n_patterns, dilution, **dataset):
    return MultitaskLaw.from_keywords(n_patterns, dilution, **dataset)


def letters(law):
    """(y, probability, xi) of one pattern: a blank, or an average of M examples, or of a Gaussian on a fine grid."""
    p = law.density
    if law.protocol == "storage":
        y, weight = np.ones(1), np.ones(1)
    elif law.gaussian:
        z = np.arange(-12, 12, 1 / 16)
        y = (1 + np.sqrt(law.rho) * z) / np.sqrt(1 + law.rho)
        weight = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / 16
    else:
        m = law.n_examples
        y = (2 * np.arange(m + 1) - m) / (m * np.sqrt(law.second_moment))
        weight = binom.pmf(np.arange(m + 1), m, (1 + law.r) / 2)
    ones = np.ones(y.size)
    return (np.concatenate([y, -y, [0]]), np.concatenate([weight * p / 2, weight * p / 2, [law.dilution]]),
            np.concatenate([ones, -ones, [0]]))


def by_enumeration(law, g, temperature):
    y, weight, xi = (np.array(list(itertools.product(item, repeat=law.n_patterns))) for item in letters(law))
    weight = weight.prod(axis=1)
    h = y @ g / temperature
    decay = np.exp(-2 * np.abs(h))
    tanh, flat = weight * np.tanh(h), weight * 4 * decay / (1 + decay) ** 2 / temperature
    y, xi = np.ascontiguousarray(y.T), np.ascontiguousarray(xi.T)
    return {"log_cosh": np.sum(weight * np.logaddexp(h, -h)), "field": np.sum(tanh * y, axis=1),      # pairwise sums
            "archetype": np.sum(tanh * xi, axis=1), "jacobian": np.sum(flat * y * y[:, None], axis=2)}


LAWS = [law(1, 0.3), law(3, 0.4), law(1, 0.3, r=0.6, n_examples=5), law(2, 0.3, r=0.3, n_examples=6),
        law(2, 0.0, r=0.2, n_examples=2), law(3, 0.45, r=0.8, n_examples=4), law(3, 0.2, r=0.9, n_examples=1),
        law(3, 0.2, r=1.0, n_examples=3), law(2, 0.9, r=0.02, n_examples=6), law(1, 0.3, rho=0.6), law(2, 0.3, rho=0.3),
        law(2, 0.5, rho=6.0)]


# the grid of Gaussian noise is finer than the step of tanh at the higher temperatures only
@pytest.mark.parametrize("law, temperature", [(law, temperature) for law in LAWS for temperature in (0.05, 0.2, 2.0)
                                              if temperature > 0.1 or not law.gaussian], ids=str)
def test_every_average_against_the_sum_over_columns(law, temperature):
    rng = np.random.default_rng(law.n_patterns)
    columns = ColumnIntegral(law)
    for g in (rng.normal(size=law.n_patterns) * 0.5, np.full(law.n_patterns, 0.3), np.zeros(law.n_patterns)):
        exact = by_enumeration(law, g, temperature)
        size = 1 + (1 + np.abs(g).sum()) / temperature               # of log cosh and of the jacobian
        for name in NAMES:
            assert np.abs(getattr(columns, name)(g, temperature) - exact[name]).max() < 2e-15 * size, name


def test_twelve_patterns_against_the_sum_over_columns():
    g = 0.7 * 0.6 ** np.arange(12)
    exact, columns = Columns(12, 0.4), ColumnIntegral(law(12, 0.4))
    for name in ("log_cosh", "field", "jacobian"):
        assert np.abs(getattr(columns, name)(g, 0.3) - getattr(exact, name)(g, 0.3)).max() < 1e-14, name


@pytest.mark.parametrize("law", [law(6, 0.4, r=0.4, n_examples=30), law(6, 0.4, rho=0.5), law(6, 0.4)], ids=str)
@pytest.mark.parametrize("temperature", [0.03, 0.4])
def test_derivatives_of_one_another(law, temperature):
    """d potential/dg = field, d field/dg = jacobian, by central differences."""
    columns, step = ColumnIntegral(law), 1e-5 * temperature
    g = np.linspace(0.4, -0.1, 6)
    shifted = g + step * np.concatenate([np.eye(6), -np.eye(6)])
    for potential, slope in ((columns.potential, columns.field), (columns.field, columns.jacobian)):
        values = potential(shifted, temperature)
        assert np.abs((values[:6] - values[6:]) / (2 * step) - slope(g, temperature)).max() < 1e-8 / temperature


@pytest.mark.parametrize("law", [law(2, 0.3, rho=1e3), law(3, 0.1, rho=3.0), law(2, 0.3, r=0.05, n_examples=2000),
                                 law(2, 0.3, r=0.003, n_examples=10), law(50, 0.3, rho=0.5), law(50, 0.3)], ids=str)
def test_the_range_of_waves_suffices(law, monkeypatch):
    """Half the step and twice the range change nothing, also where y has long tails."""
    g = 0.5 * np.random.default_rng(5).normal(size=(3, law.n_patterns))
    columns, temperature = ColumnIntegral(law), np.array([0.02, 0.2, 2.0])
    coarse = [getattr(columns, name)(g, temperature) for name in NAMES]
    monkeypatch.setattr(column_integral, "_EXPONENT", 90.0)
    monkeypatch.setattr(column_integral, "CUT", 40.0)
    monkeypatch.setattr(column_integral, "_DECAYED", 20.0)
    for name, value in zip(NAMES, coarse, strict=True):
        size = 1 + (1 + np.abs(g).sum(axis=1)) / temperature
        change = np.abs(getattr(columns, name)(g, temperature) - value).reshape(3, -1).max(axis=1)
        assert np.all(change < 1e-14 * size), name


@pytest.mark.parametrize("r, largest", [(0.3, 1e9), (0.02, 1e8)])
def test_many_examples_approach_the_gaussian_limit_as_one_over_m(r, largest):
    """At fixed r the leading corrections are of order 1/(M r)^2 (third cumulant); at fixed rho of order 1/M."""
    g, temperature, rho = np.array([0.5, 0.2, 0.05]), 0.1, 0.7
    limit = ColumnIntegral(law(3, 0.3, rho=rho))
    error = []
    for m in (50, 100, 200, 400, 10**6):
        columns = ColumnIntegral(law(3, 0.3, r=1 / np.sqrt(1 + rho * m), n_examples=m))
        error.append(np.abs(columns.field(g, temperature) - limit.field(g, temperature)).max())
    assert np.allclose(np.array(error[:3]) / error[1:4], 2, rtol=0.05) and error[-1] * 1e6 < 1.1 * error[0] * 50
    huge = law(3, 0.3, r=r, n_examples=int(largest))
    columns, limit = ColumnIntegral(huge), ColumnIntegral(law(3, 0.3, rho=huge.rho))
    for name in NAMES:
        assert np.abs(getattr(columns, name)(g, temperature) - getattr(limit, name)(g, temperature)).max() < 1e-11


def test_one_example_and_noiseless_examples_are_storage():
    g, temperature = np.array([0.6, 0.2, 0.1]), np.array([0.02, 0.3, 2.0])
    stored = ColumnIntegral(law(3, 0.3))
    for quality, n_examples in ((0.4, 1), (1e-6, 1), (1.0, 7)):
        columns = ColumnIntegral(law(3, 0.3, r=quality, n_examples=n_examples))
        for name in NAMES:
            share = quality if name == "archetype" else 1.0
            assert np.abs(getattr(columns, name)(g, temperature)
                          - share * getattr(stored, name)(g, temperature)).max() < 2e-13


def test_many_points_are_the_points_one_by_one():
    rng = np.random.default_rng(2)
    g, temperature = rng.normal(size=(7, 5, 3)), rng.uniform(0.01, 1, size=(7, 1))
    temperature[3] = 0.0
    columns = ColumnIntegral(law(3, 0.3, rho=0.4))
    for name in ("potential", "field", "archetype", "jacobian"):
        together = getattr(columns, name)(g, temperature)
        assert together.shape[:2] == (7, 5)
        for i, j in ((0, 0), (3, 1), (6, 4)):
            alone = getattr(columns, name)(g[i, j], temperature[i, 0])
            assert np.abs(together[i, j] - alone).max() < 1e-12 and alone.shape == together.shape[2:]


@pytest.mark.parametrize("law", [law(2, 0.3, rho=0.3), law(3, 0.5, rho=2.0)], ids=str)
def test_gaussian_data_at_zero_temperature(law):
    """The limit of small T, approached as T^2, and derivatives of one another."""
    columns, g, step = ColumnIntegral(law), np.array([0.5, 0.22, 0.13])[:law.n_patterns], 1e-5
    for name in ("field", "archetype", "jacobian"):
        cold = getattr(columns, name)(g, 0.0)
        near, nearer = (np.abs(getattr(columns, name)(g, t) - cold).max() for t in (2e-3, 1e-3))
        assert nearer < 1e-4 and near / nearer == pytest.approx(4, rel=0.02), name
    for name in ("field", "archetype", "jacobian"):                                # the noise leaves few waves to sum
        assert np.abs(getattr(columns, name)(g, 1e-8) - getattr(columns, name)(g, 0.0)).max() < 1e-11, name
    for first, second in ((columns.potential, columns.field), (columns.field, columns.jacobian)):
        slope = [(first(g + step * e, 0.0) - first(g - step * e, 0.0)) / (2 * step) for e in np.eye(law.n_patterns)]
        assert np.abs(np.array(slope) - second(g, 0.0)).max() < 1e-8
    assert np.isinf(columns.jacobian(0 * g, 0.0).diagonal()).all()


@pytest.mark.parametrize("law", [law(3, 0.3), law(1, 0.3, r=0.5, n_examples=4), law(2, 0.2, r=0.3, n_examples=7),
                                 law(3, 0.3, r=0.6, n_examples=4)], ids=str)
def test_exact_examples_at_zero_temperature(law):
    """Signs summed over all columns; ties count nothing."""
    y, weight, xi = (np.array(list(itertools.product(item, repeat=law.n_patterns))) for item in letters(law))
    weight, columns = weight.prod(axis=1), ColumnIntegral(law)
    for g in (np.array([0.61, 0.27, 0.13]), np.full(3, 0.4), np.array([0.5, 0.0, 0.0])):
        g = g[:law.n_patterns]
        field = y @ g
        sign = np.where(np.abs(field) < 1e-12, 0.0, np.sign(field))
        assert np.abs(columns.field(g, 0.0) - (weight * sign) @ y).max() < 1e-14
        assert np.abs(columns.archetype(g, 0.0) - (weight * sign) @ xi).max() < 1e-14
        assert columns.potential(g, 0.0) == pytest.approx(weight @ np.abs(field), abs=1e-14)
        tied = np.any((sign == 0)[:, None] & (y != 0) & (weight > 0)[:, None], axis=0)
        assert np.array_equal(np.isinf(columns.jacobian(g, 0.0).diagonal()), tied)


def test_refusals():
    columns = ColumnIntegral(law(3, 0.3, rho=0.4))
    with pytest.raises(ParameterError, match="temperature above"):
        ColumnIntegral(law(13, 0.3, rho=0.4)).log_cosh(np.full(13, 0.2), 1e-9)
    with pytest.raises(ParameterError, match="temperature above"):
        ColumnIntegral(law(3, 0.3, r=0.4, n_examples=30)).field([0.5, 0.2, 0.1], 1e-9)
    with pytest.raises(ParameterError, match="log|above 0"):
        columns.log_cosh([0.5, 0.2, 0.1], 0.0)
    with pytest.raises(ParameterError, match="3 patterns"):
        columns.field([0.5, 0.2], 0.1)
    for big in (law(13, 0.3, rho=0.4), law(5, 0.3, r=0.3, n_examples=400)):
        with pytest.raises(ParameterError, match="T = 0"):
            frozen_columns(big)


@pytest.mark.parametrize(("K", "d", "rho"), [(1, 0.3, 0.5), (2, 0.3, 1.0), (3, 0.0, 1e-3), (3, 0.5, 100.0), (2, 0.2, 1e-10)])
def test_enumeration_of_gaussian_datasets_is_the_sum_over_waves(monkeypatch, K, d, rho):
    """Both at one low temperature, with the columns of single examples too."""
    one = law(K, d, rho=rho, protocol="unsupervised")
    rng = np.random.default_rng(K)
    for columns in (ColumnIntegral(one), *(ExampleColumns(one, n) for n in range(1, K + 1))):
        g = rng.random((4, columns.n_patterns)) / 2
        g[0, 0] = g[1, :K - 1] = 0
        values = []
        for kinds in (math.inf, 0.0):
            monkeypatch.setattr(type(columns), "_kinds", lambda self, kinds=kinds: kinds)
            values.append([getattr(columns, name)(g, 0.03) for name in (*NAMES, "scatter")])
        for waves, listed in zip(*values, strict=True):
            assert np.abs(waves - listed).max() < 1e-13


def test_gaussian_datasets_at_the_lowest_temperatures():
    """The averages of T = 0, which they reach as T^2; 4 million waves would not do."""
    columns, g = ColumnIntegral(law(3, 0.3, rho=0.4)), np.array([0.5, 0.2, 0.1])
    for name in ("field", "archetype", "jacobian", "scatter"):
        assert getattr(columns, name)(g, 1e-8) == pytest.approx(getattr(columns, name)(g, 0.0), rel=1e-12, abs=1e-14)
    assert 1e-8 * columns.log_cosh(g, 1e-8) == pytest.approx(float(columns.potential(g, 0.0)), rel=1e-7)


def test_letters_of_very_many_examples():
    """10^9 examples at T = 0: only those numbers of agreeing ones count that occur, near the two means."""
    many = law(2, 0.3, r=0.5, n_examples=10**9)
    g = np.array([0.7, 0.21])
    assert ColumnIntegral(many).archetype(g, 0.0) == pytest.approx(g, abs=1e-12)
    with pytest.raises(ParameterError, match="columns, more than"):
        frozen_columns(law(3, 0.3, r=0.5, n_examples=10**9))
