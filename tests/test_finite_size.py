"""Closed forms of finite systems against enumeration and their own definitions."""

import itertools
import math

import numpy as np
import pytest
from conftest import dense_point

from hebb import models
from hebb.errors import NoSolution
from hebb.finite_size import (
    _alike,
    _log_pairs,
    _naive_noise,
    annealed_energy,
    learning_paramagnet_energy,
    mapped_point,
    paramagnet_energy,
    retrieval_at_size,
)
from hebb.params import DenseLaw, patterns_at_load
from hebb.theory import Dense
from hebb.theory.noise import noise_law

# ---- the mapping of retrieval ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, p, k, factor, mapped_load", [
    (2000, 2, 61, 1999 / 2000, 60 / 1999),
    (128, 3, 400, 127 * 126 / 128**2, 3 * 399 / (127 * 126)),
    (128, 4, 5000, 127 * 126 * 125 / 128**3, 12 * 4999 / (127 * 126 * 125)),
])
def test_distinct_indices_are_mapped_by_the_share_of_tuples_without_coincidence(n, p, k, factor, mapped_load):
    np.testing.assert_allclose(mapped_point(dense_point(n, p, k, 0.45)), [0.45 / factor, mapped_load, factor], rtol=1e-13)


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

    temperature, gamma, scale = mapped_point(dense_point(n, p, k, 0.5, hamiltonian))
    stretch = 0.5 / temperature  # the unit of energy of the infinite system
    slope = 2.0 if p == 2 else noise_law(DenseLaw(p, hamiltonian=hamiltonian)).g(1.0, 1)
    assert stretch == pytest.approx(scale) and signal == pytest.approx(stretch * p, rel=1e-12)
    assert variance == pytest.approx(stretch**2 * 2 * gamma * slope, rel=1e-11)


@pytest.mark.parametrize("p, protocol, r, examples", [
    (2, "supervised", 0.6, 7), (4, "supervised", 0.8, 1), (4, "supervised", 0.7, 5), (3, "unsupervised", 0.8, 4),
    (2, "unsupervised", 0.5, 6), (4, "unsupervised", 0.9, 3),
])
def test_the_mapping_keeps_cost_and_variance_of_single_flips_after_learning(p, protocol, r, examples):
    """In any state of independent u_i s_i, here the planted one. E prod c = r^P for the condensed pattern; for the others the
    products of P entries have mean square R^P, of averages, or M^2 R_P, summed over examples."""
    n, k = 20, 9
    model = models.Dense(n, p, n_patterns=k, r=r, n_examples=examples, protocol=protocol)
    tuples = math.comb(n - 1, p - 1)
    if protocol == "supervised":
        mean, square = r**p, (r**2 + (1 - r**2) / examples) ** p
    else:
        mean, square = examples * r**p, examples**2 * (r ** (2 * p) + (1 - r ** (2 * p)) / examples)
    temperature, gamma, scale = mapped_point(model.parameters() | {"temperature": 0.5})
    noise = noise_law(model.law)
    v = float(noise.variance(np.float64(0.0), 0.5))  # at q = 1, where C = 0
    assert 0.5 / temperature == pytest.approx(scale)
    assert 2 * model.weight * tuples * mean == pytest.approx(scale * p * model.law.signal, rel=1e-12)
    assert (k - 1) * 4 * model.weight**2 * tuples * square == pytest.approx(scale**2 * 4 * gamma * v, rel=1e-12)


# ---- what single samples add at order 1/N ----------------------------------------------------------------------------------


def single_pattern(n, p, r, temperature, protocol, hamiltonian):
    """m, n, q and energy of one pattern with two examples, every configuration and every dataset counted. The examples agree
    at k sites, where s follows them, and differ elsewhere; of both signs of m the positive one is taken."""
    model = models.Dense(n, p, n_patterns=1, r=r, n_examples=2, protocol=protocol, hamiltonian=hamiltonian)
    agree = (1 + r**2) / 2
    total, seen = 0.0, np.zeros(4)
    for k in range(n + 1):
        weight = math.comb(n, k) * agree**k * (1 - agree) ** (n - k)
        if weight < 1e-9:
            continue
        a, b = np.arange(-k, k + 1, 2.0), np.zeros(1)
        log_states = log_choose(k, a)
        if protocol == "unsupervised":
            b = np.arange(k - n, n - k + 1, 2.0)
            log_states = log_states[:, None] + log_choose(n - k, b)
            energy = -model.weight * sum(products(a[:, None] + sign * b, n, p) for sign in (-1, 1))
        else:
            energy = -model.weight * (products(a, k, p) if hamiltonian == "distinct" else a**p)
        kept = a > 0.3 * k
        exponent = (log_states - energy / temperature)[kept]
        share = np.exp(exponent - exponent.max())
        share /= share.sum()
        t = np.sum(share.T * a[kept]) / k
        seen += weight * np.array([k / n * t * r / agree, k / n * t / (r * (1 + model.law.rho)), k / n * t * t,
                                   np.sum(share * energy[kept]) / n])
        total += weight
    return seen / total


def log_choose(k, x):
    return np.array([math.lgamma(k + 1) - math.lgamma((k + y) / 2 + 1) - math.lgamma((k - y) / 2 + 1) for y in x])


def products(x, n, p):
    """e_P of n signs of sum x."""
    lower, value = np.ones_like(x), x
    for k in range(1, p):
        lower, value = value, (x * value - (n - k + 1) * lower) / (k + 1)
    return value


@pytest.mark.parametrize("p, r, temperature, protocol, hamiltonian", [
    (2, 0.8, 0.5, "supervised", "distinct"), (3, 0.7, 0.4, "supervised", "distinct"), (4, 0.8, 0.4, "supervised", "distinct"),
    (3, 0.8, 0.4, "supervised", "naive"), (4, 0.8, 0.4, "supervised", "naive"), (4, 1.0, 0.5, "supervised", "naive"),
    (2, 0.9, 0.5, "unsupervised", "distinct"), (2, 0.7, 0.45, "unsupervised", "distinct"),
    (4, 0.98, 0.5, "unsupervised", "distinct"),
])
def test_one_pattern_is_exact_to_order_1_over_n(p, r, temperature, protocol, hamiltonian):
    """Its m, n, q and energy leave the theory by O(1/N^2), the mapped infinite system by O(1/N)."""
    theory = Dense(p, r=r, n_examples=2, protocol=protocol, hamiltonian=hamiltonian)
    ours, mapped = [], []
    for n in (200, 400):
        point = {"n_spins": n, "n_patterns": 1, "p_body": p, "hamiltonian": hamiltonian, "temperature": temperature}
        exact = single_pattern(n, p, r, temperature, protocol, hamiltonian)
        state, values = retrieval_at_size(point, theory)
        scale = mapped_point(point)[2]
        energy = scale * state.energy - ((1 - scale) / 2 if hamiltonian == "naive" else 0)
        ours.append(np.array([values[name] for name in ("m", "n", "q", "energy_cv")]) - exact)
        mapped.append(np.array([state.m, state.n, state.q, energy]) - exact)
    assert np.all(np.abs(ours[1]) < 0.35 * np.abs(ours[0])), "falls like 1/N^2"
    assert np.all(np.abs(ours[1]) < 0.2 * np.abs(mapped[1]))


def test_examples_that_spins_tell_apart():
    """Two examples of a pattern, half of whose sites they leave undecided: in the cold, spins follow one of the two."""
    point = {"n_spins": 100, "n_patterns": 1, "p_body": 4, "hamiltonian": "distinct"}
    theory = Dense(4, r=0.8, n_examples=2, protocol="unsupervised")
    with pytest.raises(NoSolution, match="spins rather follow one example than all 2 alike"):
        retrieval_at_size(point | {"temperature": 0.35}, theory)
    exact = single_pattern(100, 4, 0.8, 0.35, "unsupervised", "distinct")
    assert exact[3] < theory.solve(0.0, 0.35).energy - 0.03, "lower than the state that treats them alike"


@pytest.mark.parametrize("examples", [1, 4])
def test_perfect_examples_are_the_patterns(examples):
    point = dense_point(128, 4, 9000, 0.5)
    expected = retrieval_at_size(point, Dense(4))[1]
    for protocol in ("supervised", "unsupervised"):
        found = retrieval_at_size(point, Dense(4, r=1.0, n_examples=examples, protocol=protocol))[1]
        assert found == pytest.approx(expected, rel=1e-9)


def test_a_single_example_is_a_pattern():
    """m and n fall by r, q and the energy stay."""
    r, point = 0.7, dense_point(128, 4, 9000, 0.5)
    expected = retrieval_at_size(point, Dense(4))[1]
    for protocol in ("supervised", "unsupervised"):
        found = retrieval_at_size(point, Dense(4, r=r, n_examples=1, protocol=protocol))[1]
        assert (found["m"], found["n"]) == pytest.approx((r * expected["m"], r * expected["n"]), rel=1e-9)
        assert (found["q"], found["energy_cv"]) == pytest.approx((expected["q"], expected["energy_cv"]), rel=1e-9)


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


@pytest.mark.parametrize("n, p, temperature", [(120, 2, 1.6), (120, 2, 2.0), (120, 4, 1.3)])
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


# ---- the paramagnet after learning -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.8, 3.0])
def test_closed_form_of_the_hopfield_paramagnet_against_the_two_replica_sum(temperature):
    """They differ by O(1/N^2)."""
    theory = Dense(2, r=1.0, n_examples=1)
    gaps = []
    for n in (200, 400, 800):
        point = {"n_spins": n, "n_patterns": n // 10, "p_body": 2, "hamiltonian": "distinct", "temperature": temperature}
        exact = paramagnet_energy(n, n // 10, 2, temperature)
        infinite = theory.solve(0.1, temperature, branch="paramagnet").energy
        gaps.append(learning_paramagnet_energy(point, theory) - exact)
        assert abs(gaps[-1]) < 15 / n * abs(infinite - exact)
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.1) and gaps[1] / gaps[2] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("p, protocol", [(4, "supervised"), (4, "unsupervised"), (3, "unsupervised")])
def test_annealed_energy_after_learning_by_full_enumeration(p, protocol):
    """Two examples of one pattern on six spins: every pair of examples (of one configuration: the others are equivalent) with
    its probability. The first two orders in beta are exact."""
    n, r = 6, 0.6
    model = models.Dense(n, p, n_patterns=1, r=r, n_examples=2, protocol=protocol)
    every = np.array(list(itertools.product((-1, 1), repeat=n)))
    same = every @ every.T == n
    agreement = (n + every @ every.T) / 2
    chance = (1 + r**2) ** agreement * (1 - r**2) ** (n - agreement) / 4.0**n
    assert chance.sum() == pytest.approx(1) and same.sum() == 2**n
    if protocol == "supervised":
        entries = (every[:, None] + every[None]) / 2
        e = np.zeros((p + 1, *same.shape))
        e[0] = 1
        for site in range(n):
            e[1:] += entries[..., site] * e[:-1]
        energy = -model.weight * e[p]
    else:
        one = products(every.sum(1).astype(float), n, p)
        energy = -model.weight * (one[:, None] + one[None])
    theory = Dense(p, r=r, n_examples=2, protocol=protocol)
    left = []
    for beta in (0.02, 0.04):
        weight = chance * np.exp(-beta * energy)
        exact = np.sum(weight * energy) / np.sum(weight) / n
        point = model.parameters() | {"temperature": 1 / beta}
        left.append(learning_paramagnet_energy(point, theory) - exact)
        assert abs(left[-1]) < beta**3 / 2
    assert left[1] / left[0] == pytest.approx(8, rel=0.2), "begins at the third order"


def test_graphs_of_examples_by_counting():
    law = models.Dense(8, 4, n_patterns=1, r=0.7, n_examples=4, protocol="unsupervised").law
    edges = {(0, 1): 2, (1, 2): 1, (2, 3): 3, (0, 3): 0, (0, 2): 1, (1, 3): 1}
    by_hand = np.mean([0.7 ** (2 * sum(m for (i, j), m in edges.items() if a[i] != a[j]))
                       for a in itertools.product(range(4), repeat=4)])
    assert _alike(law, edges) == pytest.approx(by_hand, rel=1e-12)
    assert _alike(law, {(0, 1): 4}) == pytest.approx(0.7**8 * (1 + law.tuple_entropy(4)), rel=1e-12)


def test_no_paramagnet_energy_of_naive_indices_after_learning():
    point = dense_point(128, 4, 9000, 1.5, "naive")
    with pytest.raises(NoSolution, match="naive indices has no energy at finite N for noisy datasets"):
        learning_paramagnet_energy(point, Dense(4, r=0.8, n_examples=5, hamiltonian="naive"))


def test_no_paramagnet_energy_of_small_unsupervised_networks():
    """Monte Carlo at N = 64, T = 1.5, gamma = 0.2, r = 0.8, M = 5: -0.0712(2), the scaled remainder gives -0.0718."""
    theory = Dense(4, r=0.8, n_examples=5, protocol="unsupervised")
    point = {"n_spins": 64, "n_patterns": 4369, "p_body": 4, "hamiltonian": "distinct", "protocol": "unsupervised"}
    with pytest.raises(NoSolution, match="N = 64, T = 1.5: too small and cold"):
        learning_paramagnet_energy(point | {"temperature": 1.5}, theory)
