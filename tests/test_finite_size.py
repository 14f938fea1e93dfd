"""Closed forms of finite systems against enumeration and their own definitions."""

import itertools
import math

import numpy as np
import pytest
from conftest import dense_point

from hebb import models
from hebb.errors import NoSolution
from hebb.finite_size import _log_pairs, _naive_noise, annealed_energy, mapped_point, paramagnet_energy
from hebb.params import patterns_at_load
from hebb.theory.noise import noise_law

# ---- the mapping of retrieval ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, p, k, factor, mapped_load", [
    (2000, 2, 61, 1999 / 2000, 60 / 1999),
    (128, 3, 400, 127 * 126 / 128**2, 3 * 399 / (127 * 126)),
    (128, 4, 5000, 127 * 126 * 125 / 128**3, 12 * 4999 / (127 * 126 * 125)),
])
def test_distinct_indices_are_mapped_by_the_share_of_tuples_without_coincidence(n, p, k, factor, mapped_load):
    temperature, gamma, scale, shift = mapped_point(dense_point(n, p, k, 0.45))
    np.testing.assert_allclose([temperature, gamma, scale, shift], [0.45 / factor, mapped_load, factor, 0.0], rtol=1e-13)


@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("p", [2, 3, 4, 6])
@pytest.mark.parametrize("n", [7, 16])
def test_the_mapping_keeps_cost_and_variance_of_single_flips(n, p, hamiltonian):
    """Mean and variance, over all sets of Rademacher patterns, of what one flip of the planted state costs, from energies
    of configurations alone: they are those of the infinite system at the mapped point, P and 2 gamma g'(1)."""
    planted, flipped = np.ones(n, np.int8), np.ones(n, np.int8)
    flipped[0] = -1

    def cost(*patterns):
        model = models.Dense(p_body=p, hamiltonian=hamiltonian, patterns=np.array(patterns))
        before, after = model.draw(0).energy([planted, flipped])
        return after - before

    signal = cost(planted)
    weights, noise = [], []
    for first, minus in itertools.product((-1, 1), range(n)):  # a pattern's entry at the flipped spin, and -1 elsewhere
        other = np.array([first, *[-1] * minus, *[1] * (n - 1 - minus)])
        weights.append(math.comb(n - 1, minus) / 2**n)
        noise.append(cost(planted, other) - signal)
    assert sum(weights) == 1 and np.dot(weights, noise) == pytest.approx(0, abs=1e-12 * signal)
    k = 50
    variance = (k - 1) * np.dot(weights, np.square(noise))

    temperature, gamma, scale, _ = mapped_point(dense_point(n, p, k, 0.5, hamiltonian))
    stretch = 0.5 / temperature  # the unit of energy of the infinite system
    slope = 2.0 if p == 2 else noise_law(p, hamiltonian).g(1.0, 1)
    assert stretch == pytest.approx(scale) and signal == pytest.approx(stretch * p, rel=1e-12)
    assert variance == pytest.approx(stretch**2 * 2 * gamma * slope, rel=1e-11)


@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("p", [3, 4, 6])
def test_the_mapped_energy_of_the_planted_state(p, hamiltonian):
    """-f_N/2 for distinct indices; -1/2 for naive ones, whose energies are relative to a small average of their own."""
    model = models.Dense(40, p, n_patterns=9, hamiltonian=hamiltonian)
    *_, scale, shift = mapped_point(model.parameters() | {"temperature": 0.4})
    own_average = 0.0
    if hamiltonian == "naive":
        own_average = sum(math.comb(40, k) * (2 * k - 40) ** p for k in range(41)) / 2**40 / (2 * 40**p)
    assert scale * -0.5 + shift == pytest.approx(model.planted_energy - own_average, rel=1e-12)


def test_mean_energy_of_a_stored_pattern_is_the_reference_of_energy_cv():
    """Over all 2^(2 N) pairs of patterns."""
    for p, hamiltonian in itertools.product((2, 3, 4), ("distinct", "naive")):
        every = np.array(list(itertools.product((-1, 1), repeat=5)))
        energies = [models.Dense(p_body=p, hamiltonian=hamiltonian, patterns=[every[-1], other]).draw(0).energy(every[-1])[0]
                    for other in every]
        model = models.Dense(5, p, n_patterns=2, hamiltonian=hamiltonian)
        assert np.mean(energies) / 5 == pytest.approx(model.planted_energy, rel=1e-12)


@pytest.mark.parametrize("p", [3, 4, 6])
def test_naive_noise_approaches_its_limit_like_1_over_n(p):
    gaps = [n * (_naive_noise(n, p) - 1) for n in (10**4, 10**5)]
    assert abs(gaps[0]) > 0.1 and gaps[1] == pytest.approx(gaps[0], rel=1e-2)


# ---- the paramagnet --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, k, p, temperature, hamiltonian", [
    (4, 2, 3, 1.0, "distinct"), (4, 2, 4, 0.8, "distinct"), (4, 2, 4, 0.8, "naive"), (4, 2, 3, 0.9, "naive"),
    (6, 1, 4, 0.7, "distinct"), (7, 1, 6, 0.9, "naive"),
])
def test_annealed_energy_by_full_enumeration(n, k, p, temperature, hamiltonian):
    """Every configuration in every set of patterns."""
    every = np.array(list(itertools.product((-1, 1), repeat=n)))
    total = weighted = 0.0
    for chosen in itertools.product(every, repeat=k):
        energies = models.Dense(p_body=p, hamiltonian=hamiltonian, patterns=np.array(chosen)).draw(0).energy(every)
        total += np.sum(np.exp(-energies / temperature))
        weighted += np.sum(energies * np.exp(-energies / temperature))
    assert annealed_energy(n, k, p, temperature, hamiltonian) == pytest.approx(weighted / total / n, rel=1e-11)


@pytest.mark.parametrize("n, k, p, temperature, hamiltonian", [
    (4, 2, 2, 2.0, "distinct"), (5, 2, 2, 1.5, "naive"), (4, 2, 4, 0.8, "naive"), (5, 2, 4, 0.9, "naive"),
])
def test_two_replica_sum_by_full_enumeration(n, k, p, temperature, hamiltonian):
    """E[Z^2], every configuration in every set of patterns."""
    every = np.array(list(itertools.product((-1, 1), repeat=n)))
    sets = (models.Dense(p_body=p, hamiltonian=hamiltonian, patterns=np.array(chosen)).draw(0)
            for chosen in itertools.product(every, repeat=k))
    z = [np.exp(-instance.energy(every) / temperature).sum() for instance in sets]
    ours = np.exp(_log_pairs(n, k, p, hamiltonian, 1 / temperature)).sum() * 4.0**n
    assert ours == pytest.approx(np.mean(np.square(z)), rel=1e-12)


@pytest.mark.parametrize("n, p, temperature", [(120, 2, 1.6), (120, 2, 2.0), (120, 4, 1.0)])
def test_paramagnet_energy_against_the_exact_quenched_energy(n, p, temperature):
    """Two patterns are two independent sums: every pattern and configuration is counted. The two-replica term is the
    difference between the annealed and the quenched energy, but for a few percent."""
    log_binomial = [np.array([math.lgamma(a + 1) - math.lgamma(j + 1) - math.lgamma(a - j + 1) for j in range(a + 1)])
                    for a in range(n + 1)]
    uniform = np.exp(log_binomial[n] - n * math.log(2))
    sums = np.arange(-n, n + 1, 2.0)
    average = np.sum(uniform * sums**p)

    def energy(x):
        return -(x**p - average) / (2 * n ** (p - 1))

    quenched = 0.0
    for agree in range(n + 1):
        x, y = np.arange(-agree, agree + 1, 2.0)[:, None], np.arange(agree - n, n - agree + 1, 2.0)[None]
        both = energy(x + y) + energy(x - y)
        weight = np.exp(log_binomial[agree][:, None] + log_binomial[n - agree] - n * math.log(2) - both / temperature)
        quenched += uniform[agree] * np.sum(both * weight) / np.sum(weight) / n
    weight = uniform * np.exp(-energy(sums) / temperature)
    plain = 2 * np.sum(energy(sums) * weight) / np.sum(weight) / n
    assert annealed_energy(n, 2, p, temperature, "naive") == pytest.approx(plain, rel=1e-11)
    assert abs(paramagnet_energy(n, 2, p, temperature, "naive") - quenched) < 0.06 * abs(plain - quenched)


@pytest.mark.parametrize("n, energy", [(40, -0.0834), (60, -0.0761), (80, -0.0731)])
def test_annealed_energies_of_four_body_networks(n, energy):
    """Each within 1.5 standard errors of Monte Carlo: -0.0827(5), -0.0757(4), -0.0725(4)."""
    assert round(annealed_energy(n, patterns_at_load(0.2, n, 4), 4, 1.5), 4) == energy


def test_no_paramagnet_energy_beside_the_glass():
    infinite = -0.1 / 2 * 0.5 / (1 - 0.5)  # -(alpha/2) beta/(1-beta)
    assert paramagnet_energy(2000, 200, 2, 2.0) == pytest.approx(infinite, rel=0.02)
    with pytest.raises(NoSolution, match="T = 1.33: too near the glass"):
        paramagnet_energy(200, 20, 2, 1.33)
