"""Sampled distributions against full enumeration of 2^N configurations, with no thinning and no tolerance.

For N = 8 (or 9) the transition matrix P of one sweep is known exactly, hence the covariance of the occupation of all 256
configurations along a *correlated* chain (from the fundamental matrix of P): three judges with exact false-alarm levels,

    occupation   chi-square of all occupation numbers against the Boltzmann law, in that covariance
    energy       z of the mean energy, in that covariance
    law          z of sum_t [E(s_t+1) - (P E)(s_t)], whose terms are uncorrelated: judges single sweeps

The Boltzmann law itself comes from the slow reference energy, and must be invariant under P. The whole file raises a
false alarm with probability ALARM if its seeds were drawn afresh.
"""

import itertools

import numpy as np
import pytest
from conftest import assert_z
from scipy.stats import chi2, norm
from test_kernels import SETS, small_model, streams

from hebb import models

N_SPINS, REPLICAS, N_SAMPLES = 8, 4, 20_000
ALARM = 1e-4
CASES = list(itertools.product([2, 3, 4, 6], ["distinct", "naive"], [False, True], [False, True], ["metropolis", "glauber"],
                               ["random", "sequential"]))


def configurations(n_spins):
    """The numbers of all configurations and their spins (2^N, N)."""
    states = np.arange(2**n_spins)
    return states, 1 - 2 * (states[:, None] >> np.arange(n_spins) & 1)


STATES, SPINS = configurations(N_SPINS)

pytestmark = pytest.mark.statistical


def boltzmann(energy, temperature):
    weight = np.exp(-(energy - energy.min()) / temperature)
    return weight / weight.sum()


def suitable_temperature(energy, spread):
    """The highest T at which the standard deviation of E/T reaches `spread`: neither frozen nor free."""
    for temperature in np.geomspace(1e3, 1e-3, 2000):
        p = boltzmann(energy, temperature)
        if p @ (energy - p @ energy) ** 2 > (spread * temperature) ** 2:
            return temperature
    raise AssertionError("no such temperature")


def sweep_matrix(energy, temperature, rule, order):
    """P[s, t]: probability that one sweep leads from s to t."""
    single, states = [], np.arange(len(energy))
    n_spins = len(energy).bit_length() - 1
    for site in range(n_spins):
        flipped = states ^ (1 << site)
        y = (energy[flipped] - energy) / temperature
        accept = np.minimum(1, np.exp(-y)) if rule == "metropolis" else 1 / (1 + np.exp(y))
        step = np.diag(1 - accept)
        step[states, flipped] = accept
        single.append(step)
    if order == "random":
        return np.linalg.matrix_power(sum(single) / n_spins, n_spins)
    return np.linalg.multi_dot(single)


def judge(instance, temperature, kernel_temperature=None, rule="metropolis", order="random", instruction_set=None,
          n_samples=N_SAMPLES):
    """({judge: z}, samples). The chains start from configurations drawn from the Boltzmann law."""
    numbers, every = configurations(instance.n_spins)
    energy = instance.energy(every)
    p, sweep = boltzmann(energy, temperature), sweep_matrix(energy, temperature, rule, order)
    np.testing.assert_allclose(p @ sweep, p, atol=1e-14)
    start = np.random.default_rng(5).choice(numbers, REPLICAS, p=p)
    kernel = instance.kernel(instruction_set)
    kernel.load(every[start])
    spins = kernel.sample(n_samples, 1, kernel_temperature or temperature, streams(REPLICAS, seed=17), rule, order)
    states = ((1 - spins.astype(np.int64)) // 2) @ (1 << np.arange(instance.n_spins))

    n = states.size
    deviation = np.bincount(states.ravel(), minlength=p.size) / n - p
    fundamental = np.linalg.inv(np.eye(p.size) - sweep + p)
    covariance = p[:, None] * fundamental
    covariance = (covariance + covariance.T - np.diag(p) - np.outer(p, p)) / n
    seen = p * n >= 10  # rarer configurations have no normal law: pool them by leaving them out of the chi-square
    chi_square = deviation[seen] @ np.linalg.pinv(covariance[np.ix_(seen, seen)], rcond=1e-9, hermitian=True) @ deviation[seen]
    dof = np.sum(seen) - (1 if np.all(seen) else 0)
    before = np.vstack([start, states[:-1]])
    increments = energy[states] - (sweep @ energy)[before]
    variance = (sweep @ energy**2 - (sweep @ energy) ** 2)[before]
    return {"occupation": norm.isf(chi2.sf(chi_square, dof)), "law": increments.sum() / np.sqrt(variance.sum()),
            "energy": deviation @ energy / np.sqrt(energy @ covariance @ energy)}, spins


@pytest.mark.parametrize("p_body, hamiltonian, zeros, fields, rule, order", CASES)
def test_boltzmann(p_body, hamiltonian, zeros, fields, rule, order):
    instance = small_model(p_body, hamiltonian, zeros, fields, n_spins=N_SPINS).draw(0)
    temperature = suitable_temperature(instance.energy(SPINS), spread=1.0)
    z, spins = judge(instance, temperature, rule=rule, order=order)
    assert_z(list(z.values()), ALARM / len(CASES), f"T = {temperature:.3g}, {z}")
    for instruction_set in SETS[:-1]:  # the widest set is the default
        _, other = judge(instance, temperature, rule=rule, order=order, instruction_set=instruction_set, n_samples=2000)
        np.testing.assert_array_equal(other, spins[:2000])


@pytest.mark.parametrize("p_body", [2, 3, 4])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
def test_boltzmann_of_many_patterns(p_body, hamiltonian):
    """Enough patterns and few enough acceptances for the widest blocks of proposals."""
    instance = small_model(p_body, hamiltonian, zeros=False, fields=False, n_spins=N_SPINS, n_patterns=300).draw(0)
    temperature = suitable_temperature(instance.energy(SPINS), spread=1.0)
    z, spins = judge(instance, temperature, n_samples=40_000)
    assert_z(list(z.values()), ALARM / 60, f"T = {temperature:.3g}, {z}")
    _, other = judge(instance, temperature, instruction_set="plain", n_samples=2000)
    np.testing.assert_array_equal(other, spins[:2000])


PERCEPTRONS = list(itertools.product([8, 9], ["violations", "margin", "hinge", "quadratic", "tabulated"],
                                     [("metropolis", "random"), ("glauber", "sequential")], [False, True]))


@pytest.mark.parametrize("n_spins, loss, chain, coupled", PERCEPTRONS)
def test_boltzmann_of_perceptrons(n_spins, loss, chain, coupled):
    """Every loss, with ties (N = 8) and without, one task and a second one coupled to its reference."""
    shape = {"margin": dict(kappa=0.5), "tabulated": dict(loss=lambda d: np.exp(-d))}.get(loss, dict(loss=loss))
    model = models.BinaryPerceptron(n_spins, n_patterns=15, **shape)
    temperature = suitable_temperature(model.draw(2).energy(configurations(n_spins)[1]), spread=1.0)
    if coupled:
        model = models.SecondTask(model, 1.5, 0.3, 0.4, reference_sweeps=20)
    instance = model.draw(2).at(temperature, 7)
    assert instance.fields.any() == coupled
    z, spins = judge(instance, temperature, rule=chain[0], order=chain[1])
    assert_z(list(z.values()), ALARM / len(PERCEPTRONS), f"T = {temperature:.3g}, {z}")
    _, other = judge(instance, temperature, rule=chain[0], order=chain[1], instruction_set="plain", n_samples=1000)
    np.testing.assert_array_equal(other, spins[:1000])


@pytest.mark.parametrize("p_body", [2, 4])
@pytest.mark.parametrize("order", ["random", "sequential"])
@pytest.mark.parametrize("rule, tie", [("metropolis", 1.0), ("glauber", 0.5)])
@pytest.mark.parametrize("free", [False, True])
def test_zero_temperature_law(p_body, order, rule, tie, free):
    """At T = 0 a flip of lower energy is taken, one at no cost with probability 1 or 1/2: one sweep from every configuration,
    400 times. Ties come from two patterns that differ in three spins, or from spins with vanishing entries only."""
    last = [0] * 3 if free else [-1] * 3
    first = [-1] + [1] * 4                      # the same law whatever the signs
    instance = models.Dense(patterns=[first + ([0] * 3 if free else [1] * 3), first + last], p_body=p_body).draw(0)
    energy = np.round(instance.energy(SPINS), 9)
    single = []
    for site in range(N_SPINS):
        flipped = STATES ^ (1 << site)
        accept = np.where(energy[flipped] < energy, 1.0, np.where(energy[flipped] == energy, tie, 0.0))
        step = np.diag(1 - accept)
        step[STATES, flipped] = accept
        single.append(step)
    sweep = np.linalg.matrix_power(sum(single) / N_SPINS, N_SPINS) if order == "random" else np.linalg.multi_dot(single)
    assert np.sum(energy[STATES ^ 128] == energy) > 40  # a spin on which the patterns differ
    kernel, generators, counts = instance.kernel(), streams(len(STATES), seed=3), np.zeros_like(sweep)
    for _ in range(400):
        kernel.load(SPINS)
        kernel.sweep(1, 0.0, generators, rule, order)
        reached = ((1 - kernel.spins.astype(np.int64)) // 2) @ (1 << np.arange(N_SPINS))
        np.add.at(counts, (STATES, reached), 1)
    assert np.all(counts[sweep < 1e-12] == 0)
    changed = np.array([[bin(s ^ t).count("1") for t in STATES] for s in STATES])
    mean = np.sum(sweep * changed, axis=1)
    variance = 400 * np.sum(np.sum(sweep * changed**2, axis=1) - mean**2)
    excess = np.sum(counts * changed) - 400 * np.sum(mean)
    if variance > 1e-6:
        assert_z([excess / np.sqrt(variance)], ALARM / 60)
    else:  # sequential Metropolis leaves nothing to chance
        assert abs(excess) < 1e-6


@pytest.mark.parametrize("p_body", [2, 4])
@pytest.mark.parametrize("rule", ["metropolis", "glauber"])
def test_canary_one_percent_wrong_acceptance_is_caught(p_body, rule):
    """Costs taken 1 % too high must fail the judges that the right rule passes with the same streams."""
    instance = small_model(p_body, "distinct", zeros=False, fields=True, n_spins=N_SPINS).draw(0)
    temperature = suitable_temperature(instance.energy(SPINS), spread=1.3)
    right, _ = judge(instance, temperature, rule=rule, n_samples=200_000)
    wrong, _ = judge(instance, temperature, kernel_temperature=temperature / 1.01, rule=rule, n_samples=200_000)
    assert_z(list(right.values()), 1e-6, f"the right rule {right}")
    with pytest.raises(AssertionError, match="exceeds"):
        assert_z(list(wrong.values()), 1e-6, f"the wrong rule {wrong}")
