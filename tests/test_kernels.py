"""The overlap kernel against slow references: energies, flip costs, thresholds, instruction sets, state keeping."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hebb import models
from hebb.errors import ParameterError
from hebb.kernels import overlap
from hebb.models.base import tabulate, uniform_mean
from hebb.models.patterns import pack, rademacher
from hebb.sampling.chain import Chain, sample

SETS = overlap.INSTRUCTION_SETS[: overlap.INSTRUCTION_SETS.index(overlap.instruction_set()) + 1]


def streams(n, seed=0):
    return [np.random.Generator(np.random.PCG64DXSM([seed, r])) for r in range(n)]


def small_model(p_body, hamiltonian, zeros, fields, n_spins=10, n_patterns=21, seed=0):
    rng = np.random.default_rng([seed, p_body])
    patterns = rng.choice([-1, 0, 1] if zeros else [-1, 1], size=(n_patterns, n_spins))
    return models.Dense(p_body=p_body, hamiltonian=hamiltonian, patterns=patterns,
                        fields=rng.normal(scale=0.3, size=n_spins) if fields else None)


def brute_force_energy(model, spins):
    """Straight from the definition, index tuple by index tuple."""
    n, p = model.n_spins, model.p_body
    local = model.array * spins
    fields = np.zeros(n) if model.fields is None else model.fields
    if model.hamiltonian == "distinct":
        tuples = sum(np.prod(local[:, list(c)], axis=1) for c in itertools.combinations(range(n), p))
        return -math.factorial(p) / (2 * n ** (p - 1)) * np.sum(tuples) - fields @ spins
    return -n / 2 * np.sum((local.sum(axis=1) / n) ** p) - fields @ spins


@pytest.mark.parametrize("p_body", [2, 3, 4, 6])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("zeros", [False, True])
def test_energy_is_the_definition(p_body, hamiltonian, zeros):
    """The naive energy differs from its definition by its uniform average: subtract it over all configurations."""
    model = small_model(p_body, hamiltonian, zeros, fields=True, n_spins=7, n_patterns=5)
    every = np.array(list(itertools.product([-1, 1], repeat=7)))
    expected = np.array([brute_force_energy(model, s) for s in every])
    if hamiltonian == "naive":
        expected -= expected.mean()
    np.testing.assert_allclose(model.draw(0).energy(every), expected, atol=1e-12)


@pytest.mark.parametrize("p_body", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("fields", [False, True])
@pytest.mark.parametrize("instruction_set", SETS)
def test_kernel_costs_and_energies_are_the_reference(p_body, hamiltonian, zeros, fields, instruction_set):
    model = small_model(p_body, hamiltonian, zeros, fields, n_spins=11, n_patterns=37)
    instance = model.draw(1)
    kernel = instance.kernel(instruction_set)
    kernel.load(np.random.default_rng(1).choice([-1, 1], size=(3, 11)))
    for _ in range(3):
        spins = kernel.spins
        energy = instance.energy(spins)
        np.testing.assert_allclose(kernel.energy, energy, atol=1e-11)
        np.testing.assert_array_equal(kernel.overlaps, spins @ model.array.T)
        for r in range(3):
            flipped = np.where(np.eye(11, dtype=bool), -spins[r], spins[r])
            np.testing.assert_allclose(kernel.costs(r), instance.energy(flipped) - energy[r], atol=1e-11)
        kernel.sweep(7, 1.0, streams(3))


@pytest.mark.parametrize("n_spins, n_patterns, p_body, zeros", [(64, 1000, 4, False), (100, 333, 3, False), (200, 17, 6, False),
                                                                 (1000, 50, 2, False), (90, 401, 4, True), (300, 5, 2, True)])
@pytest.mark.parametrize("rule", ["metropolis", "glauber"])
@pytest.mark.parametrize("order", ["random", "sequential"])
def test_instruction_sets_give_the_same_chain(n_spins, n_patterns, p_body, zeros, rule, order):
    rng = np.random.default_rng(n_spins)
    model = models.Dense(patterns=rng.choice([-1, 0, 1] if zeros else [-1, 1], size=(n_patterns, n_spins)), p_body=p_body)
    instance = model.draw(0)
    chains = []
    for instruction_set in SETS:
        kernel = instance.kernel(instruction_set)
        kernel.load(np.where(instance.condensed == 0, 1, instance.condensed)[None].repeat(2, axis=0))
        kernel.sweep(15, [0.8, 0.3], streams(2), rule, order)
        np.testing.assert_allclose(kernel.energy, instance.energy(kernel.spins), rtol=1e-9)
        chains.append((kernel.spins, kernel.energy, kernel.accepted, kernel.lowest_overlap))
    for chain in chains[1:]:
        for one, other in zip(chains[0], chain, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_blocks_do_not_change_the_chain():
    """A plain one-by-one Metropolis loop that draws the same words meets the same configurations."""
    model = small_model(4, "distinct", zeros=False, fields=True, n_spins=9)
    instance = model.draw(0)
    kernel = instance.kernel()
    kernel.load(np.ones((1, 9)))
    recorded = kernel.sample(40, 1, 0.7, streams(1))[:, 0]
    (stream,) = streams(1)
    spins = np.ones(9, int)
    for sweep in range(40):
        for _ in range(9):
            word = int(stream.bit_generator.random_raw())
            site, fraction = divmod(word * 9, 2**64)
            uniform = ((fraction >> 12) + 0.5) / 2**52
            flipped = spins.copy()
            flipped[site] *= -1
            change = instance.energy(flipped)[0] - instance.energy(spins)[0]
            if uniform < math.exp(min(0.0, -change / 0.7)):
                spins = flipped
        np.testing.assert_array_equal(recorded[sweep], spins)


def test_logarithm_and_thresholds():
    x = np.concatenate([np.geomspace(2**-53, 1, 4001)[:-1], 1 - np.geomspace(2**-52, 0.5, 500)])
    ours = np.array([overlap.logarithm(v) for v in x])
    np.testing.assert_allclose(ours, np.log(x), rtol=4e-16)
    for instruction_set in SETS:
        metropolis = overlap.thresholds("metropolis", 0.7, x, instruction_set)
        glauber = overlap.thresholds("glauber", 0.7, x, instruction_set)
        np.testing.assert_array_equal(metropolis, -0.7 * ours)
        np.testing.assert_allclose(np.exp(-metropolis / 0.7), x, rtol=1e-13)
        np.testing.assert_allclose(1 / (1 + np.exp(glauber / 0.7)), x, rtol=1e-13)
    ties = np.array([0.25, 0.75])
    assert np.all(0 <= overlap.thresholds("metropolis", 0.0, ties))  # dE = 0 is always taken
    np.testing.assert_array_equal(0 <= overlap.thresholds("glauber", 0.0, ties), [True, False])
    assert np.all(overlap.thresholds("glauber", 0.0, ties) < 1e-6)


def test_zero_cost_flips_are_exactly_zero():
    """Two patterns that disagree on a spin and agree elsewhere: flipping it is free, at any overlap and any P."""
    for p_body in (2, 3, 4, 6):
        patterns = np.ones((2, 24), int)
        patterns[1, 5] = -1
        kernel = models.Dense(patterns=patterns, p_body=p_body).draw(0).kernel()
        kernel.load(np.ones((1, 24)))
        assert kernel.costs(0)[5] == 0.0


def test_rounded_tables_are_used_only_when_needed_and_stay_close():
    counts = np.array([60], np.int32)
    exact = tabulate(lambda n: [x**2 for x in range(-n, n + 1, 2)], counts, 1.0, centred=False)
    assert exact.exact and exact.a.dtype == np.int32
    steep = tabulate(lambda n: [x**8 for x in range(-n, n + 1, 2)], counts, 1e-12, centred=False)
    assert not steep.exact
    x = np.arange(-60.0, 61, 2)
    rebuilt = steep.constant + steep.unit * steep.f
    assert np.abs(rebuilt - 1e-12 * x**8).max() < 2e-8 * np.abs(np.diff(1e-12 * x**8)).max()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(n_patterns=st.integers(1, 200), n_spins=st.integers(2, 40), zeros=st.booleans(), seed=st.integers(0, 1000))
def test_packing_round_trip(n_patterns, n_spins, zeros, seed):
    patterns = np.random.default_rng(seed).choice([-1, 0, 1] if zeros else [-1, 1], size=(n_patterns, n_spins))
    bits = pack(patterns)
    np.testing.assert_array_equal(bits.unpack(), patterns)
    np.testing.assert_array_equal(bits.pattern(n_patterns - 1), patterns[-1])
    np.testing.assert_array_equal(bits.counts(), np.abs(patterns).sum(axis=1))


def test_rademacher_patterns_have_clean_padding_and_balanced_signs():
    bits = rademacher(70, 4000, np.random.default_rng(2))
    assert not np.unpackbits(bits.minus, axis=1, bitorder="little")[:, 70:].any()
    assert abs(bits.unpack().mean()) < 5 / math.sqrt(70 * 4000)


def test_snapshot_continues_bit_for_bit():
    instance = models.Dense(n_spins=64, p_body=4, gamma=0.1).draw(3, 2)
    whole, first, second = (Chain(instance, 0.5, replicas=2, seed=9) for _ in range(3))
    whole.advance(30)
    first.advance(11)
    second.restore(first.snapshot())
    second.advance(19)
    for name, value in whole.snapshot().items():
        np.testing.assert_array_equal(second.snapshot()[name], value)
    for name, value in whole.measure().items():
        np.testing.assert_array_equal(second.measure()[name], value)
    assert whole.acceptance == second.acceptance


def test_disorder_is_shared_over_temperature_and_independent_over_samples():
    model = models.Dense(n_spins=50, p_body=2, gamma=0.2)
    by_number = models.Dense(n_spins=50, p_body=2, n_patterns=10)
    np.testing.assert_array_equal(model.draw(1, 0).patterns, by_number.draw(1, 0).patterns)
    assert abs((model.draw(1, 0).patterns * model.draw(1, 1).patterns).mean()) < 0.3
    same = models.Dense(n_spins=50, p_body=4, n_patterns=10, hamiltonian="naive")
    np.testing.assert_array_equal(model.draw(1, 0).patterns, same.draw(1, 0).patterns)
    one, other = (Chain(model.draw(1, 0), t, seed=1, start="random") for t in (0.5, 0.5001))
    np.testing.assert_array_equal(one.spins, other.spins)  # starts are shared like the disorder, the dynamics is not
    one.advance(1)
    other.advance(1)
    assert not np.array_equal(one.spins, other.spins)


def test_observables():
    instance = models.Dense(n_spins=60, p_body=4, gamma=0.1).draw(0)
    chain = Chain(instance, 0.8, replicas=3, seed=4)
    chain.advance(5)
    seen = chain.measure()
    np.testing.assert_allclose(seen["m"], chain.spins @ instance.condensed / 60)
    np.testing.assert_allclose(seen["energy"], instance.energy(chain.spins) / 60)
    f_n = (1 - 1 / 60) * (1 - 2 / 60) * (1 - 3 / 60)
    np.testing.assert_allclose(seen["energy_cv"], seen["energy"] - instance.energy(instance.condensed)[0] / 60 - f_n / 2)
    s = chain.spins
    np.testing.assert_allclose(seen["q"], [s[0] @ s[1] / 60, s[0] @ s[2] / 60, s[1] @ s[2] / 60])


def test_starts():
    instance = models.Dense(n_spins=2000, p_body=2, gamma=0.02).draw(0)
    corrupted = Chain(instance, 0.5, replicas=1, start="corrupted", corruption=0.2).measure()["m"][0]
    assert abs(corrupted - 0.6) < 5 * math.sqrt(0.64 / 2000)
    given = np.random.default_rng(0).choice([-1, 1], size=(2, 2000))
    np.testing.assert_array_equal(Chain(instance, 0.5, start=given).spins, given)
    assert not Chain(instance, 0.5, start="random").lost


def test_lost_samples_are_seen_even_if_they_return():
    instance = models.Dense(n_spins=40, p_body=2, n_patterns=4).draw(0)
    hot = Chain(instance, 5.0, replicas=2, seed=0)
    hot.advance(30)
    assert hot.lost
    cold = Chain(instance, 0.05, replicas=2, seed=0)
    cold.advance(30)
    assert not cold.lost


def test_zero_temperature_descends_and_stops():
    model = models.Dense(n_spins=500, p_body=2, gamma=0.05)
    instance = model.draw(0)
    chain = Chain(instance, 0.0, replicas=2, start="corrupted", corruption=0.1, dynamics="zero_temperature", order="sequential")
    before = chain.measure()["energy"]
    chain.advance(50)
    frozen = chain.spins
    assert np.all(chain.measure()["energy"] < before) and np.all(chain.measure()["m"] > 0.95)
    for r in range(2):
        assert np.all(chain.kernel.costs(r) >= 0)
    chain.advance(5)
    np.testing.assert_array_equal(chain.spins, frozen)


@pytest.mark.parametrize("model", [
    small_model(3, "distinct", True, True), small_model(4, "naive", False, False), models.Multitask(10, 3, 0.3),
    models.Dense(10, 2, n_patterns=4, r=0.7, n_examples=3), models.BinaryPerceptron(10, n_patterns=7)])
def test_unstable_counts_the_flips_that_lower_the_energy(model):
    """One by one, from energies computed from scratch."""
    instance = model.draw(3)
    spins = np.random.default_rng(1).choice([-1, 1], size=(6, 10))
    flipped = spins[:, None] * np.where(np.eye(10), -1, 1)
    lower = np.array([instance.energy(row) for row in flipped]) < instance.energy(spins)[:, None] - 1e-9
    np.testing.assert_array_equal(instance.unstable(spins), lower.sum(axis=1))
    assert instance.unstable(spins[0]).shape == (1,)
    with pytest.raises(ParameterError, match="not .-1 of shape .R, 10."):
        instance.unstable(spins[:, :9])


@pytest.mark.parametrize("settings_, words", [
    (dict(temperature=0.0), "temperature = 0.0"),
    (dict(temperature=math.nan), "temperature = nan"),
    (dict(temperature=0.5, dynamics="zero_temperature"), "zero_temperature"),
    (dict(temperature=0.5, dynamics="metropolos"), "did you mean 'metropolis'"),
    (dict(temperature=0.5, start="corrupted"), "corruption = None"),
    (dict(temperature=0.5, start="corrupted", corruption=0.7), "corruption = 0.7"),
    (dict(temperature=0.5, corruption=0.1), "no meaning"),
    (dict(temperature=0.5, replicas=0), "replicas = 0"),
    (dict(temperature=0.5, start=np.zeros(8)), "start of shape"),
])
def test_bad_chain_settings(settings_, words):
    instance = models.Dense(n_spins=8, p_body=2, n_patterns=2).draw(0)
    with pytest.raises(ParameterError, match=words):
        Chain(instance, **settings_)


@pytest.mark.parametrize("keys, words", [
    (dict(n_spins=10, p_body=1, gamma=0.1), "p_body = 1"),
    (dict(n_spins=10, p_body=2.5, gamma=0.1), "p_body = 2.5"),
    (dict(n_spins=3, p_body=4, gamma=0.1), "n_spins = 3"),
    (dict(n_spins=10, p_body=2, gamma=0.1, n_patterns=3), "exactly one"),
    (dict(n_spins=10, p_body=2), "exactly one"),
    (dict(n_spins=10, p_body=2, gamma=-0.1), "gamma = -0.1"),
    (dict(n_spins=10, p_body=2, gamma=math.nan), "gamma = nan"),
    (dict(n_spins=10**7, p_body=2, gamma=0.5), "GiB"),
    (dict(n_spins=10, p_body=2, gamma=0.1, hamiltonian="naiv"), "did you mean 'naive'"),
    (dict(patterns=[[1, math.nan, -1]], p_body=2), "nan is not -1, 0 or [+]1"),
    (dict(patterns=[[1, 2, -1]], p_body=2), "patterns"),
    (dict(patterns=[1, -1, 1], p_body=2), "shape"),
    (dict(patterns=[[1, 1, -1]], n_spins=4), "contradicts"),
    (dict(n_spins=10, gamma=0.1, r=0.5, protocol="storage"), "noisy dataset"),
])
def test_bad_models(keys, words):
    with pytest.raises(ParameterError, match=words):
        models.Dense(**keys)


def test_unknown_key_is_suggested():
    with pytest.raises(ParameterError, match="did you mean 'n_spins'"):
        models.from_keys("dense", {"n_spin": 10})
    with pytest.raises(TypeError):
        models.Dense(n_spin=10)


def test_kernel_refuses_what_would_read_out_of_bounds():
    kernel = models.Dense(n_spins=12, p_body=2, n_patterns=3).draw(0).kernel()
    for use in (lambda: kernel.energy, lambda: kernel.costs(0), lambda: kernel.sweep(1, 1.0, streams(1)), lambda: kernel.spins):
        with pytest.raises(ValueError, match="load configurations first"):
            use()
    with pytest.raises(ValueError, match="must be [+]-1"):
        kernel.load(np.full((1, 12), 1.7))
    kernel.load(np.ones((2, 12)))
    for use in (lambda: kernel.costs(2), lambda: kernel.costs(-1), lambda: kernel.sweep(-1, 1.0, streams(2)),
                lambda: kernel.sample(3, 0, 1.0, streams(2)), lambda: kernel.sweep(1, -1.0, streams(2)),
                lambda: kernel.sweep(1, 1.0, streams(1))):
        with pytest.raises(ValueError):
            use()


def test_control_variate_is_left_out_where_its_mean_is_unknown():
    rng = np.random.default_rng(0)
    biased = models.Dense(patterns=rng.choice([-1, 1], p=[0.25, 0.75], size=(40, 64)), p_body=2)
    assert "energy_cv" not in Chain(biased.draw(0), 0.5).measure()
    assert "energy_cv" in Chain(models.Dense(n_spins=64, n_patterns=4).draw(0), 0.5).measure()


def test_diluted_planted_start_is_not_lost_by_definition():
    patterns = np.random.default_rng(1).choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=(2, 400))
    chain = Chain(models.Dense(patterns=patterns, p_body=2).draw(0), 0.01)
    assert not chain.lost
    chain.advance(20)
    assert not chain.lost


def test_tables_of_many_spins_are_quick_to_build():
    """A quadratic cost in N would take minutes here."""
    tables = models.Dense(n_spins=20000, p_body=2, n_patterns=3, hamiltonian="naive").full_tables
    assert tables.a.size == 20001 and tables.exact


@pytest.mark.parametrize("keys", [
    dict(patterns=[[1, -1], [1]]), dict(patterns=[[1j, -1]]), dict(patterns=[[True, False]]), dict(patterns=[["a", "b"]]),
    dict(patterns=np.ma.masked_array([[1, -1]], [[True, False]])), dict(patterns=[[0, 0], [1, 1]]),
    dict(n_spins=4, n_patterns=2, fields="x"), dict(n_spins=4, n_patterns=2, fields=[1.0, math.nan, 0, 0]),
])
def test_arrays_that_are_no_patterns_or_fields(keys):
    with pytest.raises(ParameterError):
        models.Dense(**keys)


def test_model_and_instance_mixed_up():
    with pytest.raises(ParameterError, match="draw"):
        sample(models.Dense(n_spins=12, n_patterns=3), temperature=0.5)
    with pytest.raises(ParameterError, match="GiB"):
        sample(models.Dense(n_spins=12, n_patterns=3).draw(0), temperature=0.5, n_samples=10**15)


def test_sample_shape_and_reproducibility():
    instance = models.Dense(n_spins=12, p_body=2, n_patterns=3).draw(0)
    one, two = (sample(instance, temperature=0.5, n_samples=20, thin=3, thermalize=4, replicas=2, seed=8) for _ in range(2))
    assert one.shape == (20, 2, 12) and one.dtype == np.int8
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, sample(instance, temperature=0.5, n_samples=20, thin=3, thermalize=4, replicas=2, seed=9))


@pytest.mark.parametrize("p", [2, 3, 4, 6])
def test_averages_over_the_configurations_of_many_spins(p):
    """From 2001 spins on they are summed near x = 0 alone: the same float as the exact sum, and zero where it is."""
    for n in (2001, 2500):
        row = [x**p for x in range(-n, n + 1, 2)]
        exact = Fraction(sum(math.comb(n, k) * x for k, x in enumerate(row)), 2**n)
        assert float(uniform_mean(row)) == float(exact)
    instance = models.Dense(n_spins=10**6, p_body=2, n_patterns=1)
    assert instance.full_tables.exact and instance.full_tables.constant == -0.5 * (10**6 - 1)
