"""Thresholds in the number of examples and noise on couplings, against closed forms and direct searches."""

import math
from itertools import combinations

import numpy as np
import pytest

from hebb import theory
from hebb.errors import NoSolution, ParameterError
from hebb.params import dilution_factor, load
from hebb.theory import Dense, critical_examples, example_scaling, noise_load, tolerable_noise


@pytest.mark.parametrize("p_body, gamma, rho", [(2, 0.071541, 0.1), (4, 0.314909, 0.05), (4, 0.197406, 0.2),
                                                (6, 0.231327, 0.1)])
@pytest.mark.parametrize("r", [0.05, 0.4])
def test_supervised_threshold_is_one_entropy(p_body, gamma, rho, r):
    """T = 0: the printed capacities at given rho, M = (1-r^2)/(rho r^2), at every r."""
    found = critical_examples(p_body, gamma, 0.0, r, exact=False)
    assert found.rho == pytest.approx(rho, abs=2e-6)
    assert found.n_examples == pytest.approx((1 - r * r) / (rho * r * r), rel=2e-5)
    assert found.boundary.converged and found.boundary.gamma == pytest.approx(gamma, abs=1e-12)


@pytest.mark.parametrize("p_body", [3, 4, 6])
def test_unsupervised_threshold_at_zero_temperature(p_body):
    """Small r: u = 1, the signal kappa = (1+rho_P)^(-1/2) scales the capacity of storage by kappa^2."""
    r, share = 0.03, 0.6
    capacity = Dense(p_body).spinodal(0.0).gamma
    found = critical_examples(p_body, share * capacity, 0.0, r, "unsupervised", exact=False)
    power = r ** (2 * p_body)
    # corrections: rho = 1/(M r^2) changes u
    assert found.n_examples == pytest.approx((1 - power) / (power * (1 / share - 1)), rel=1e-5 + 5 * found.rho)
    assert found.rho < 0.01


@pytest.mark.parametrize("arguments, exponent", [
    ((4, 0.3, 0.0, "supervised"), 2), ((2, 0.08, 0.2, "supervised"), 2), ((3, 0.2, 0.3, "unsupervised"), 6),
    ((4, 0.3, 0.0, "unsupervised"), 8), ((2, 0.08, 0.0, "unsupervised"), 4)])
def test_example_scaling(arguments, exponent):
    fit = example_scaling(*arguments, r=np.geomspace(0.02, 0.08, 5))
    assert abs(fit.exponent - exponent) < 4 * fit.error + 1e-6 and fit.error < 0.02
    slopes = -np.diff(np.log(fit.n_examples)) / np.diff(np.log(fit.r))
    assert abs(slopes[0] - exponent) < 0.05 and fit.n_examples.shape == fit.r.shape == (5,)


@pytest.mark.parametrize("arguments", [
    (4, 0.3, 0.0, 0.6, "supervised", "spinodal"), (3, 0.25, 0.2, 0.6, "unsupervised", "spinodal"),
    (4, 0.2, 0.5, 0.7, "supervised", "transition"), (2, 0.06, 0.3, 0.5, "unsupervised", "spinodal")])
def test_whole_numbers_of_examples(arguments):
    """Retrieval with M and a few more examples, none with M - 1, by solving at the point; the limit is near."""
    p_body, gamma, temperature, r, protocol, kind = arguments
    found = critical_examples(*arguments)
    assert isinstance(found.n_examples, int) and found.exact and found.boundary.gamma >= gamma

    def retrieves(n_examples):
        network = Dense(p_body, r=r, n_examples=n_examples, protocol=protocol)
        if gamma > network.spinodal(temperature).gamma:
            return False
        state = network.solve(gamma, temperature)
        return kind == "spinodal" or state.free_energy < network.solve(gamma, temperature, branch="paramagnet").free_energy

    assert not retrieves(found.n_examples - 1)
    assert all(retrieves(found.n_examples + k) for k in range(3))
    many = critical_examples(*arguments, exact=False).n_examples
    assert abs(found.n_examples - many) < 1 + 0.1 * many + 2


def test_thresholds_without_load():
    """gamma = 0: the temperature of the line takes the place of the load."""
    for kind, method in (("spinodal", "spinodal_temperature"), ("transition", "transition_temperature")):
        found = critical_examples(4, 0.0, 0.6, 0.3, kind=kind, exact=False)
        assert getattr(Dense(4, rho=found.rho), method)(0.0).temperature == pytest.approx(0.6, abs=1e-12)
        assert found.boundary.kind == kind and found.boundary.temperature == pytest.approx(0.6, abs=1e-12)


def test_points_without_threshold():
    with pytest.raises(NoSolution, match="no number of examples suffices"):
        critical_examples(4, 0.4, 0.0, 0.5)
    with pytest.raises(NoSolution, match="no number of examples suffices"):
        critical_examples(4, 0.1, 1.1, 0.5)
    with pytest.raises(NoSolution, match="any number of examples suffices"):
        critical_examples(4, 0.01, 0.1, 0.5, exact=False)
    for keywords, words in (({"r": 1.0}, "r = 1.0"), ({"r": 0.5, "protocol": "storage"}, "protocol"),
                            ({"r": 0.5, "kind": "at"}, "kind"), ({"r": 0.01, "protocol": "unsupervised"}, "exact = False")):
        with pytest.raises(ParameterError, match=words):
            critical_examples(4, 0.3, 0.0, **keywords)


@pytest.mark.parametrize("r", ["few", [0.1, 0.2], [0.1, 0.1, 0.2, 0.3], [0.1, 0.2, 0.3, math.nan], [[0.1], [0.2, 0.3]]])
def test_qualities_are_checked(r):
    with pytest.raises(ParameterError, match="4 different qualities"):
        example_scaling(4, 0.3, 0.1, r=r)


def test_noise_load_is_the_variance_of_the_energy():
    """Energies of independent couplings, all of them for N = 9: variance N (gamma_w/2) f_N, exactly."""
    n_spins, w, rng = 9, 0.7, np.random.default_rng(5)
    for p_body in (3, 4):
        spins = rng.choice([-1, 1], n_spins)
        sets = np.array(list(combinations(range(n_spins), p_body)))
        factor = math.factorial(p_body) / (2 * n_spins ** (p_body - 1))
        variance = np.sum((factor * w * np.prod(spins[sets], axis=1)) ** 2)
        gamma = noise_load(w, n_spins, p_body)
        assert variance == pytest.approx(n_spins * gamma / 2 * dilution_factor(n_spins, p_body), rel=1e-13)
        assert gamma == pytest.approx(math.factorial(p_body) / 2 * w * w / n_spins ** (p_body - 1), rel=1e-14)


def test_tolerable_noise():
    capacity = Dense(4).spinodal(0.0).gamma
    for n_spins in (50, 800):
        w = tolerable_noise(4, n_spins)
        assert w == pytest.approx(math.sqrt(2 * capacity / 24) * n_spins**1.5, rel=1e-13)
        assert noise_load(w, n_spins, 4) == pytest.approx(capacity, rel=1e-13)
    assert noise_load(tolerable_noise(3, 100, 0.4, 0.1), 100, 3) + 0.1 == pytest.approx(Dense(3).spinodal(0.4).gamma, rel=1e-13)
    assert noise_load(2.0, 100, 2) == pytest.approx(load(4, 100, 2), rel=1e-15)
    with pytest.raises(NoSolution):
        tolerable_noise(4, 100, 0.0, 0.5)
    with pytest.raises(ParameterError, match="SK term"):
        tolerable_noise(2, 100)


def test_public_names():
    assert set(theory.__all__) >= {"critical_examples", "example_scaling", "noise_load", "tolerable_noise"}


@pytest.mark.parametrize(("arguments", "m"), [((4, 0.005, 0.3, 0.6), 5), ((4, 0.005, 0.3, 0.8), 3), ((2, 0.005, 0.1, 0.5), 3),
                                              ((4, 0.0, 0.2, 0.6), 5)])  # fmt: skip
def test_examples_that_spins_follow_one_by_one_do_not_suffice(arguments, m):
    """Unsupervised: with M - 1 examples the retrieval branch exists, but x >= 1. Before, "any number suffices"."""
    p_body, gamma, temperature, r = arguments
    found = critical_examples(*arguments, protocol="unsupervised")
    assert found.n_examples == m
    many = critical_examples(*arguments, protocol="unsupervised", exact=False)
    assert m - 1.5 < many.n_examples < m + 1 or p_body == 2, "the limit of many examples, of so few"
    states = [Dense(p_body, r=r, n_examples=k, protocol="unsupervised").solve(gamma, temperature) for k in (m - 1, m)]
    assert states[0].example_response > 1 > states[1].example_response and states[1].stable
