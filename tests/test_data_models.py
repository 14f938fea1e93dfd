"""Learning from data: laws of the examples, limits in which a dataset is none, observables, who shares what, bad input."""

import math
import tracemalloc

import numpy as np
import pytest
from conftest import assert_z
from scipy.stats import binom

from hebb import models, simulate
from hebb.errors import ParameterError
from hebb.models.learning import power_of_random_sum
from hebb.models.patterns import random_bits
from hebb.runs.cost import series_bytes
from hebb.runs.plan import Plan
from hebb.runs.worker import run_task
from hebb.sampling.chain import Chain

ALARM = 1e-6
BOTH = ["supervised", "unsupervised"]


@pytest.mark.statistical
@pytest.mark.parametrize("probability", [0.0, 0.5, 0.25, 0.15, 1 / 3, 1e-3])
def test_random_bits_have_their_probability_and_are_independent(probability):
    words = random_bits(probability, 20_000, np.random.default_rng(5))
    bits = np.unpackbits(words.view(np.uint8)).astype(float)
    if probability == 0:
        assert not bits.any()
        return
    spread = probability * (1 - probability)
    centred = bits - probability
    z = [np.sum(centred) / math.sqrt(bits.size * spread)]
    z += [np.sum(centred[lag:] * centred[:-lag]) / (spread * math.sqrt(bits.size - lag)) for lag in (1, 8, 64)]
    assert_z(z, ALARM, f"probability {probability}")


@pytest.mark.statistical
@pytest.mark.parametrize("n_examples", [1, 4, 11, 10**6])
def test_law_of_averaged_examples(n_examples):
    """Binomial, level by level where there are few."""
    r = 0.6
    instance = models.Dense(400, 2, n_patterns=50, r=r, n_examples=n_examples).draw(1)
    c = instance.stored * instance.patterns
    variance = (1 - r * r) / n_examples
    z = [(c.mean() - r) / math.sqrt(variance / c.size)]
    if n_examples < 100:
        agree = np.rint((c + 1) / 2 * n_examples)
        np.testing.assert_allclose(c, 2 * agree / n_examples - 1, atol=1e-15)
        for k in range(n_examples + 1):
            p = binom.pmf(k, n_examples, (1 + r) / 2)
            z.append((np.sum(agree == k) - p * c.size) / math.sqrt(c.size * p * (1 - p)))
    else:
        z.append((c.var() / variance - 1) * math.sqrt(c.size / 2))
    assert_z(z, ALARM, f"M = {n_examples}")


@pytest.mark.statistical
def test_law_of_gaussian_averages_and_of_examples():
    rho = 0.3
    instance = models.Dense(400, 2, n_patterns=50, rho=rho).draw(1)
    c = instance.stored * instance.patterns
    z = [(c.mean() - 1) / math.sqrt(rho / c.size), (np.mean((c - 1) ** 2) / rho - 1) * math.sqrt(c.size / 2),
         np.mean((c - 1) ** 3) / rho**1.5 * math.sqrt(c.size / 15)]
    instance = models.Dense(400, 2, n_patterns=30, r=0.6, n_examples=5, protocol="unsupervised").draw(1)
    chi = instance.stored.reshape(30, 5, 400) * instance.patterns[:, None]
    z += [(chi.mean() - 0.6) / math.sqrt((1 - 0.36) / chi.size)]
    pairs = chi[:, 0] * chi[:, 1]
    z += [(pairs.mean() - 0.36) / math.sqrt((1 - 0.36**2) / pairs.size)]
    assert_z(z, ALARM)


@pytest.mark.parametrize("p_body", [2, 3, 4])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("protocol", BOTH)
def test_one_example_is_a_stored_pattern(p_body, hamiltonian, protocol):
    instance = models.Dense(20, p_body, n_patterns=9, r=0.5, n_examples=1, protocol=protocol, hamiltonian=hamiltonian).draw(4)
    stored = models.Dense(p_body=p_body, patterns=instance.stored.astype(int), hamiltonian=hamiltonian).draw(0)
    spins = np.random.default_rng(0).choice([-1, 1], size=(5, 20))
    np.testing.assert_allclose(instance.energy(spins), stored.energy(spins), rtol=1e-12)
    kernels = [one.kernel() for one in (instance, stored)]
    for kernel in kernels:
        kernel.load(spins)
    np.testing.assert_allclose(kernels[0].energy, kernels[1].energy, rtol=1e-12)


@pytest.mark.parametrize("p_body", [2, 4])
@pytest.mark.parametrize("protocol", BOTH)
def test_examples_without_noise_are_the_patterns(p_body, protocol):
    plain = models.Dense(20, p_body, n_patterns=9)
    spins = np.random.default_rng(0).choice([-1, 1], size=(5, 20))
    learned = models.Dense(20, p_body, n_patterns=9, r=1.0, n_examples=4, protocol=protocol)
    np.testing.assert_allclose(learned.draw(3).energy(spins), plain.draw(3).energy(spins), rtol=1e-12)
    assert learned.planted_energy == pytest.approx(plain.planted_energy, rel=1e-12)


def test_power_of_random_sum():
    x = np.random.default_rng(0).normal(size=(9, 4))
    p2, p4 = np.sum(x**2, axis=0), np.sum(x**4, axis=0)
    np.testing.assert_allclose(power_of_random_sum(x, 2), p2)
    np.testing.assert_allclose(power_of_random_sum(x, 4), 3 * p2**2 - 2 * p4)
    assert not power_of_random_sum(x, 5).any()


@pytest.mark.parametrize("protocol", BOTH)
def test_observables(protocol):
    model = models.Dense(50, 4, n_patterns=30, r=0.7, n_examples=6, protocol=protocol)
    instance = model.draw(1)
    chain = Chain(instance, 0.6, replicas=3, seed=4)
    chain.advance(6)
    seen, spins = chain.measure(), chain.spins.astype(float)
    average = instance.stored[:6].mean(axis=0) if protocol == "unsupervised" else instance.stored[0]
    np.testing.assert_allclose(seen["m"], spins @ instance.patterns[0] / 50)
    np.testing.assert_allclose(seen["n"], spins @ average / (50 * 0.7 * (1 + model.law.rho)))
    np.testing.assert_allclose(seen["energy"], instance.energy(chain.spins) / 50)
    own = instance.energy(instance.condensed)[0] / 50
    np.testing.assert_allclose(seen["energy_cv"], seen["energy"] - own + model.planted_energy)
    assert "n" not in Chain(models.Dense(50, 4, n_patterns=30).draw(1), 0.6).measure()


@pytest.mark.statistical
@pytest.mark.parametrize("p_body", [2, 4])
@pytest.mark.parametrize("data", [dict(r=0.6, n_examples=4), dict(rho=0.5), dict(r=0.6, n_examples=4, protocol="unsupervised")])
def test_mean_planted_energy(p_body, data):
    model = models.Dense(20, p_body, n_patterns=6, **data)
    energies = [float(instance.energy(instance.condensed)[0]) / 20 for instance in (model.draw(2, d) for d in range(1500))]
    z = (np.mean(energies) - model.planted_energy) / (np.std(energies) / math.sqrt(1500))
    assert_z([z], ALARM, f"{np.mean(energies)} against {model.planted_energy}")


def test_who_shares_patterns_and_examples():
    keys = dict(n_spins=40, n_patterns=7, r=0.7)
    plain = models.Dense(40, 2, n_patterns=7).draw(1, 2)
    for protocol in BOTH:
        one, other = (models.Dense(p_body=p, hamiltonian=h, protocol=protocol, n_examples=5, **keys).draw(1, 2)
                      for p, h in ((2, "distinct"), (4, "naive")))
        np.testing.assert_array_equal(one.patterns, plain.patterns)
        np.testing.assert_array_equal(one.stored, other.stored)
    few, many = (models.Dense(protocol="unsupervised", n_examples=m, **keys).draw(1).stored.reshape(7, m, 40) for m in (2, 5))
    np.testing.assert_array_equal(few, many[:, :2])
    again = models.Dense(protocol="unsupervised", n_examples=5, **keys).draw(1, 1).stored.reshape(7, 5, 40)
    assert abs(np.mean(again * many)) < 0.2


def test_given_examples():
    rng = np.random.default_rng(0)
    patterns = rng.choice([-1, 1], size=(3, 30))
    examples = patterns[:, None] * rng.choice([-1, 1], p=[0.2, 0.8], size=(3, 8, 30))
    averages = examples.mean(axis=1)
    every, mean = (models.Dense(p_body=4, patterns=patterns, examples=array) for array in (examples, averages))
    assert every.protocol == "supervised" and every.law.n_examples == 8
    np.testing.assert_allclose(every.draw(0).stored, averages, atol=1e-15)
    np.testing.assert_allclose(mean.draw(0).stored, averages, atol=2e-5)
    for model, tolerance in ((every, 1e-12), (mean, 1e-4)):
        r, spread = np.mean(patterns * averages), np.mean(averages**2)
        assert model.law.r == pytest.approx(r, rel=tolerance)
        assert model.law.r**2 * (1 + model.law.rho) == pytest.approx(spread, rel=tolerance)
        assert model.planted_energy is None
    known = models.Dense(p_body=4, patterns=patterns, examples=examples, r=0.6)
    assert known.law.rho == pytest.approx((1 - 0.36) / (8 * 0.36))
    unsupervised = models.Dense(p_body=4, patterns=patterns, examples=examples, protocol="unsupervised").draw(0)
    np.testing.assert_array_equal(unsupervised.stored, examples.reshape(-1, 30))
    assert every.digest != mean.digest


def test_many_spins_share_of_examples_in_blocks():
    """Enough entries that examples are interleaved block by block."""
    model = models.Dense(4000, 2, n_patterns=2000, r=0.9, n_examples=7, protocol="unsupervised")
    instance = model.draw(0)
    rows = [instance.stored_bits.pattern(7 * mu + a) * instance.bits.pattern(mu).astype(int) for mu, a in ((0, 0), (1999, 6))]
    assert all(abs(row.mean() - 0.9) < 0.05 for row in rows)


@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
def test_averaged_examples_need_the_memory_that_is_announced(hamiltonian):
    """What numpy holds at any moment of drawing and of building the kernel, whose caches are allocated beside it."""
    model = models.Dense(200, 4, n_patterns=20_000, r=0.6, n_examples=10, hamiltonian=hamiltonian)
    tracemalloc.start()
    try:
        model.draw(1).kernel()
        assert tracemalloc.get_traced_memory()[1] < model.bytes_needed(1)
    finally:
        tracemalloc.stop()


def test_jobs_with_datasets():
    text = """
    [model]
    kind = "dense"
    n_spins = 24
    p_body = 3
    n_patterns = 5
    r = [0.6, 0.9]
    n_examples = [3, 12]
    protocol = ["supervised", "unsupervised"]
    temperature = 0.4
    [sampling]
    disorder = 1
    thermalize = 0
    sweeps = 1
    """
    plan = Plan.from_text(text)
    assert len(plan.points) == 8 and len({model.digest for model, _ in plan.points}) == 8
    assert {model.n_stored for model, _ in plan.points} == {5, 15, 60}
    task = plan.tasks[0]
    assert sum(array.nbytes for array in run_task(task).series.values()) == series_bytes(task.model, task.sampling)
    for extra in ('start = "example"', 'start = "example"\ndynamics = "plefka"\nexpansion = "tap"'):
        task = Plan.from_text(text + extra).tasks[0]
        assert sum(array.nbytes for array in run_task(task).series.values()) == series_bytes(task.model, task.sampling)
    gaussian = Plan.from_text(text.replace("r = [0.6, 0.9]", "rho = [0.1, 0.2]").replace("n_examples = [3, 12]", "")
                              .replace(', "unsupervised"', ""))
    assert [model.law.rho for model, _ in gaussian.points] == [0.1, 0.2]


def test_simulated_overlaps_with_the_examples():
    results = simulate(models.Dense(100, 2, n_patterns=2, r=0.8, n_examples=5), temperature=[0.2, 0.4], disorder=2, sweeps=50,
                       thermalize=10)
    assert np.all(results["n"].mean > 0.8) and np.all(np.isfinite(results["energy_cv"].mean))


@pytest.mark.parametrize("keys, words", [
    (dict(r=0.0, n_examples=3), "r = 0.0"),
    (dict(r=1.5, n_examples=3), "r = 1.5"),
    (dict(r=0.5, n_examples=0), "n_examples = 0"),
    (dict(r=0.5, n_examples=2.5), "n_examples = 2.5"),
    (dict(r=0.5), "exactly one"),
    (dict(rho=-1.0), "rho = -1.0"),
    (dict(rho=0.2, r=0.5), "given together"),
    (dict(rho=0.2, r=0.5, protocol="unsupervised"), "must exist"),
    (dict(r=0.5, n_examples=3, protocol="storage"), "noisy dataset"),
    (dict(r=0.5, n_examples=10**9, protocol="unsupervised"), "examples each on 10 spins need .* GiB"),
    (dict(n_spins=10**6, n_patterns=10**7, r=0.5, n_examples=3), "GiB"),
    (dict(n_spins=20, p_body=12, rho=0.1), "at least 48 spins"),
    (dict(examples=np.ones((4, 10))), "as an array"),
])
def test_bad_datasets(keys, words):
    with pytest.raises(ParameterError, match=words):
        models.Dense(**(dict(n_spins=10, p_body=4, n_patterns=4) | keys))


@pytest.mark.parametrize("keys, words", [
    (dict(examples=np.ones((4, 9))), r"shape \(4, 9\)"),
    (dict(examples=np.ones((3, 2, 10))), r"shape \(3, 2, 10\)"),
    (dict(examples=np.ones(10)), r"shape \(10,\)"),
    (dict(examples=np.full((4, 10), 1.5)), "numbers in"),
    (dict(examples=np.full((4, 10), np.nan)), "numbers in"),
    (dict(examples=np.zeros((4, 2, 10))), "all [+]-1"),
    (dict(examples=np.zeros((4, 10))), "do not resemble"),
    (dict(examples=[["a"]]), "plain array"),
    (dict(examples=np.ones((4, 10)), protocol="unsupervised"), "every example"),
    (dict(examples=np.ones((4, 10)), protocol="storage"), "protocol = 'storage'"),
    (dict(examples=np.ones((4, 3, 10)), n_examples=5), "contradicts"),
    (dict(examples=np.ones((4, 10)), rho=0.5), "rho = 0.5 describes averages in units of r, and the examples are given"),
    (dict(patterns=np.zeros((4, 10)) + np.eye(4, 10), r=0.5, n_examples=3), "zeros"),
])
def test_bad_examples(keys, words):
    with pytest.raises(ParameterError, match=words):
        models.Dense(**(dict(patterns=np.ones((4, 10)), p_body=4) | keys))
