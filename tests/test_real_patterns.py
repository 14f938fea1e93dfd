"""The kernel of real patterns against the definition, index tuple by index tuple, and against full enumeration."""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z
from test_exact import N_SPINS, SPINS, judge, suitable_temperature
from test_kernels import SETS, streams

from hebb import models
from hebb.sampling.chain import Chain

ALARM = 3e-5  # of all enumerations here together
DATA = {"supervised": dict(r=0.7, n_examples=5), "unsupervised": dict(r=0.7, n_examples=3, protocol="unsupervised"),
        "gaussian": dict(rho=0.4), "many": dict(r=0.1, n_examples=10**6)}


def data_model(p_body, hamiltonian, data, n_spins=9, n_patterns=7, fields=False):
    fields = np.random.default_rng(4).normal(scale=0.3, size=n_spins) if fields else None
    if data == "given":
        rng = np.random.default_rng([3, p_body])
        patterns = rng.choice([-1, 1], size=(n_patterns, n_spins))
        examples = np.clip(patterns * rng.normal(0.5, 0.4, size=patterns.shape), -1, 1)
        return models.Dense(p_body=p_body, patterns=patterns, examples=examples, hamiltonian=hamiltonian, fields=fields)
    return models.Dense(n_spins, p_body, n_patterns=n_patterns, hamiltonian=hamiltonian, fields=fields, **DATA[data])


def definition(model, instance, spins):
    """H of the module docstring of `hebb.models.dense`, term by term; naive energies not yet centred."""
    n, p, law = model.n_spins, model.p_body, model.law
    m = law.n_examples
    if law.protocol == "unsupervised":
        scale = m * (law.r**2 + (1 - law.r**2) / m if p == 2 else math.sqrt(law.r ** (2 * p) + (1 - law.r ** (2 * p)) / m))
    elif model.examples is not None:
        scale = np.mean(instance.stored**2) ** (p / 2)
    else:
        scale = (1 + law.rho if m is None else law.r**2 + (1 - law.r**2) / m) ** (p / 2)
    local = instance.stored * spins
    if model.hamiltonian == "distinct":
        tuples = sum(np.prod(local[:, list(c)], axis=1) for c in itertools.combinations(range(n), p))
        return -math.factorial(p) / (2 * n ** (p - 1) * scale) * np.sum(tuples) - instance.fields @ spins
    return -n / (2 * scale) * np.sum((local.sum(axis=1) / n) ** p) - instance.fields @ spins


@pytest.mark.parametrize("p_body", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("data", [*DATA, "given"])
def test_energy_is_the_definition(p_body, hamiltonian, data):
    model = data_model(p_body, hamiltonian, data, n_spins=7, n_patterns=4, fields=True)
    instance = model.draw(2)
    every = np.array(list(itertools.product([-1, 1], repeat=7)))
    expected = np.array([definition(model, instance, s) for s in every])
    if hamiltonian == "naive":
        expected -= expected.mean()
    np.testing.assert_allclose(instance.energy(every), expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("p_body", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("data", ["supervised", "gaussian", "many", "given"])
@pytest.mark.parametrize("instruction_set", SETS)
def test_kernel_costs_and_energies_are_the_reference(p_body, hamiltonian, data, instruction_set):
    instance = data_model(p_body, hamiltonian, data, n_spins=33, n_patterns=29, fields=True).draw(1)
    kernel = instance.kernel(instruction_set)
    kernel.load(np.random.default_rng(1).choice([-1, 1], size=(2, 33)))
    for _ in range(2):
        spins = kernel.spins
        energy = instance.energy(spins)
        size = np.abs(energy).max()
        np.testing.assert_allclose(kernel.energy, energy, atol=1e-11 * size)
        np.testing.assert_array_equal(kernel.first_overlap, spins @ instance.condensed.astype(int))
        for r in range(2):
            flipped = np.where(np.eye(33, dtype=bool), -spins[r], spins[r])
            np.testing.assert_allclose(kernel.costs(r), instance.energy(flipped) - energy[r], atol=1e-11 * size)
        kernel.sweep(5, 1.0, streams(2))


@pytest.mark.parametrize("p_body", [12, 20])
def test_high_orders_keep_detailed_balance(p_body):
    """Newton's identities cancel more and more as P nears N; a flip and its reversal must still cost the same."""
    instance = models.Dense(4 * p_body, p_body, n_patterns=40, rho=0.3).draw(1)
    kernel = instance.kernel()
    kernel.load(np.random.default_rng(0).choice([-1, 1], size=(1, 4 * p_body)))
    costs = kernel.costs(0)
    flipped = np.where(np.eye(4 * p_body, dtype=bool), -kernel.spins[0], kernel.spins[0])
    kernel.load(flipped)
    back = [kernel.costs(i)[i] for i in range(4 * p_body)]
    np.testing.assert_allclose(back, -costs, atol=1e-7 * np.sqrt(np.mean(costs**2)))


@pytest.mark.parametrize("n_spins, n_patterns, p_body, data", [
    (64, 1001, 4, "supervised"), (100, 333, 3, "gaussian"), (200, 17, 6, "given"), (500, 50, 2, "supervised"),
    (40, 100, 5, "many")])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("rule, order", [("metropolis", "random"), ("glauber", "sequential")])
def test_instruction_sets_give_the_same_chain(n_spins, n_patterns, p_body, data, hamiltonian, rule, order):
    instance = data_model(p_body, hamiltonian, data, n_spins, n_patterns).draw(0)
    chains = []
    for instruction_set in SETS:
        kernel = instance.kernel(instruction_set)
        kernel.load(np.stack([instance.condensed] * 2))
        kernel.sweep(3, [1.5, 0.3], streams(2), rule, order)
        chains.append((kernel.spins, kernel.energy, kernel.accepted, kernel.lowest_overlap, kernel.costs(0)))
    assert chains[0][2].max() > 0
    for chain in chains[1:]:
        for one, other in zip(chains[0], chain, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("data", ["supervised", "unsupervised"])
def test_the_blocks_do_not_change_the_chain(data):
    """A plain one-by-one Metropolis loop that draws the same words meets the same configurations."""
    instance = data_model(4, "distinct", data, fields=True).draw(0)
    kernel = instance.kernel()
    kernel.load(np.ones((1, 9)))
    recorded = kernel.sample(40, 1, 0.7, streams(1))[:, 0]
    (stream,) = streams(1)
    spins = np.ones(9, int)
    for sweep in range(40):
        for _ in range(9):
            site, fraction = divmod(int(stream.bit_generator.random_raw()) * 9, 2**64)
            flipped = spins.copy()
            flipped[site] *= -1
            change = instance.energy(flipped)[0] - instance.energy(spins)[0]
            if ((fraction >> 12) + 0.5) / 2**52 < math.exp(min(0.0, -change / 0.7)):
                spins = flipped
        np.testing.assert_array_equal(recorded[sweep], spins)


@pytest.mark.parametrize("data", ["supervised", "unsupervised", "gaussian"])
def test_chains_can_be_cut_anywhere(data):
    instance = data_model(5, "distinct", data, n_spins=60, n_patterns=90).draw(3, 2)
    whole, first, second = (Chain(instance, 0.8, replicas=2, seed=9) for _ in range(3))
    whole.advance(30)
    for sweeps in (1, 4, 6):
        first.advance(sweeps)
    second.restore(first.snapshot())
    second.advance(19)
    assert 0 < whole.acceptance < 1
    for name, value in whole.snapshot().items():
        np.testing.assert_array_equal(second.snapshot()[name], value)
    for name, value in whole.measure().items():
        np.testing.assert_array_equal(second.measure()[name], value)


def test_zero_cost_flips_are_exactly_zero():
    """Averages of few examples are small integers, for which nothing is rounded: opposite entries of two patterns that agree
    elsewhere cancel, and entries that average to zero do nothing."""
    rng = np.random.default_rng(0)
    for p_body in (2, 3, 4, 6):
        patterns = np.ones((2, 24), int)
        examples = np.repeat(rng.choice([-1, 1], p=[0.2, 0.8], size=(1, 4, 24)), 2, axis=0)
        examples[1, :, 5] *= -1
        examples[:, :2, 7], examples[:, 2:, 7] = 1, -1
        instance = models.Dense(patterns=patterns, examples=examples, p_body=p_body).draw(0)
        kernel = instance.kernel()
        kernel.load(np.ones((1, 24)))
        costs = kernel.costs(0)
        assert costs[5] == 0.0 and costs[7] == 0.0 and np.count_nonzero(costs) > 15


CASES = [*itertools.product([2, 4], ["supervised", "unsupervised"], ["distinct", "naive"], ["metropolis", "glauber"]),
         *itertools.product([3], ["supervised", "unsupervised"], ["distinct"], ["metropolis"]),
         *itertools.product([4, 6], ["gaussian", "given"], ["distinct"], ["glauber"])]


@pytest.mark.statistical
@pytest.mark.parametrize("p_body, data, hamiltonian, rule", CASES)
def test_boltzmann_by_full_enumeration(p_body, data, hamiltonian, rule):
    instance = data_model(p_body, hamiltonian, data, N_SPINS, n_patterns=11, fields=True).draw(0)
    temperature = suitable_temperature(instance.energy(SPINS), spread=1.0)
    order = "random" if p_body % 2 else "sequential"
    z, spins = judge(instance, temperature, rule=rule, order=order)
    assert_z(list(z.values()), ALARM / len(CASES), f"T = {temperature:.3g}, {z}")
    _, other = judge(instance, temperature, rule=rule, order=order, instruction_set="plain", n_samples=1000)
    np.testing.assert_array_equal(other, spins[:1000])


@pytest.mark.statistical
@pytest.mark.parametrize("data", ["supervised", "unsupervised"])
@pytest.mark.parametrize("rule", ["metropolis", "glauber"])
def test_canary_one_percent_wrong_acceptance_is_caught(data, rule):
    """Costs taken 1 % too high must fail the judges that the right rule passes with the same streams."""
    instance = data_model(4, "distinct", data, N_SPINS, n_patterns=11).draw(0)
    temperature = suitable_temperature(instance.energy(SPINS), spread=1.3)
    right, _ = judge(instance, temperature, rule=rule, n_samples=200_000)
    wrong, _ = judge(instance, temperature, kernel_temperature=temperature / 1.01, rule=rule, n_samples=200_000)
    assert_z(list(right.values()), 1e-6, f"the right rule {right}")
    with pytest.raises(AssertionError, match="exceeds"):
        assert_z(list(wrong.values()), 1e-6, f"the wrong rule {wrong}")


def test_zero_temperature_descends_and_stops():
    chain = Chain(data_model(4, "distinct", "supervised", 80, 60).draw(0), 0.0, start="corrupted", corruption=0.1,
                  dynamics="zero_temperature")
    before = chain.measure()["energy"]
    chain.advance(60)
    assert np.all(chain.measure()["energy"] < before) and np.all(chain.measure()["m"] > 0.9)
    assert all(np.all(chain.kernel.costs(r) >= 0) for r in range(2))


def test_kernel_refuses_what_would_read_out_of_bounds():
    from hebb.kernels.real_patterns import RealPatternKernel

    columns, condensed = np.ones((12, 8), np.int16), np.ones(12, np.int8)
    for bad in (dict(columns=columns[:, :7]), dict(n_patterns=9), dict(p_body=21), dict(p_body=1),
                dict(condensed=condensed[:5])):
        keys = dict(columns=columns, n_patterns=3, p_body=4, condensed=condensed) | bad
        with pytest.raises(ValueError):
            RealPatternKernel(np.ascontiguousarray(keys["columns"]), keys["n_patterns"], 1.0, keys["p_body"], False, 1.0, 0.0,
                              keys["condensed"])
    kernel = RealPatternKernel(columns, 3, 1.0, 4, False, 1.0, 0.0, condensed)
    for use in (lambda: kernel.energy, lambda: kernel.costs(0), lambda: kernel.sweep(1, 1.0, streams(1)), lambda: kernel.spins):
        with pytest.raises(ValueError, match="load configurations first"):
            use()
