"""Lumped chains: the kernel against full transition matrices and enumeration, and the chains on it.

V is the 0/1 matrix from configurations to class magnetisations. A chain P on configurations projects exactly on Q if PV = VQ.
"""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z
from scipy.stats import binom, chi2, norm
from test_kernels import streams

from hebb import models, sample
from hebb.errors import ParameterError
from hebb.kernels.lumped import LumpedKernel
from hebb.models.classes import Classes
from hebb.sampling.chain import Chain, chain_class
from hebb.sampling.lumped import GibbsChain, LumpedChain

ALARM = 2e-7  # of each test
RULES = [("metropolis", 0.31), ("glauber", 0.31), ("glauber", 0.0)]


def storage(n_spins, k, seed=0, **options):
    """Given patterns with zeros, of which some spins have the same column or its reverse."""
    patterns = np.random.default_rng([seed, n_spins, k]).choice([-1, 0, 1], size=(k, n_spins))
    patterns[:, 0] = 1
    return models.Multitask(patterns=patterns, **options)


SMALL = {
    "K=1": storage(9, 1),
    "K=2": storage(8, 2, normalize_dilution=True),
    "K=3": storage(9, 3),
    "supervised": models.Multitask(8, 2, 0.3, r=0.6, n_examples=2, normalize_examples=False),
    "unsupervised": models.Multitask(8, 2, 0.3, r=0.6, n_examples=2, protocol="unsupervised"),
}


def accepted(cost, rule, temperature):
    if temperature == 0:
        return np.where(cost < 0, 1.0, np.where(cost == 0, 0.5, 0.0))
    with np.errstate(over="ignore"):
        return np.minimum(1, np.exp(-cost / temperature)) if rule == "metropolis" else 1 / (1 + np.exp(cost / temperature))


def lumped_states(classes):
    return np.array(list(itertools.product(*(range(n + 1) for n in classes.counts))))


def lumped_matrix(classes, kernel, rule, temperature):
    """Q of one flip, from the costs that the kernel computes."""
    states = lumped_states(classes)
    place = {tuple(state): j for j, state in enumerate(states)}
    q = np.zeros((len(states), len(states)))
    kernel.load(states)
    for j, state in enumerate(states):
        probability = accepted(kernel.costs(j), rule, temperature) / classes.n_spins
        for c, side in itertools.product(range(classes.n_classes), range(2)):
            spins = state[c] if side == 0 else classes.counts[c] - state[c]
            if spins:
                other = state.copy()
                other[c] += 2 * side - 1
                q[j, place[tuple(other)]] += spins * probability[c, side]
    q[np.diag_indices(len(q))] = 1 - q.sum(axis=1)
    return states, place, q


def all_spins(n):
    return 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def boltzmann(energy, temperature):
    weight = np.exp(-(energy - energy.min()) / temperature)
    return weight / weight.sum()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("rule, temperature", RULES)
def test_the_lumped_chain_is_the_projection_of_the_full_one(name, rule, temperature):
    instance = SMALL[name].draw(3)
    classes = Classes.of(instance)
    n, spins = classes.n_spins, all_spins(classes.n_spins)
    energy = instance.energy(spins)
    assert classes.n_classes < n
    states, place, q = lumped_matrix(classes, classes.kernel(), rule, temperature)
    p = np.zeros((2**n, 2**n))
    for site in range(n):
        flipped = np.arange(2**n) ^ (1 << site)
        cost = energy[flipped] - energy
        p[np.arange(2**n), flipped] = accepted(np.where(abs(cost) < 1e-12, 0, cost), rule, temperature) / n
    p[np.diag_indices(2**n)] = 1 - p.sum(axis=1)
    v = np.zeros((2**n, len(states)))
    v[np.arange(2**n), [place[tuple(up)] for up in classes.up(spins)]] = 1
    assert np.max(np.abs(p @ v - v @ q)) < 1e-15
    if temperature:
        law = boltzmann(energy, temperature) @ v
        np.testing.assert_allclose(law @ q, law, atol=1e-15)


def transitions(states, place, kernel, advance, n_steps):
    """Counts (before, after) along the chains of a kernel."""
    counts = np.zeros((len(states), len(states)))
    before = [place[tuple(up)] for up in kernel.up]
    for _ in range(n_steps):
        advance()
        after = [place[tuple(up)] for up in kernel.up]
        np.add.at(counts, (before, after), 1)
        before = after
    return counts


def transition_z(counts, law):
    """z of every transition seen often enough to be normal."""
    visits = counts.sum(axis=1, keepdims=True)
    assert np.all(counts[law == 0] == 0)
    often = (visits * law > 50) & (visits * (1 - law) > 50)
    assert often.sum() > 20
    return ((counts - visits * law) / np.sqrt(np.maximum(visits * law * (1 - law), 1e-300)))[often]


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["K=2", "supervised"])
@pytest.mark.parametrize("rule, temperature", RULES[:2])
def test_single_flips_have_the_frequencies_of_the_matrix(name, rule, temperature):
    classes = Classes.of(SMALL[name].draw(3))
    kernel, generators = classes.kernel(), streams(4, seed=8)
    states, place, q = lumped_matrix(classes, kernel, rule, temperature)
    kernel.load(states[:4])
    counts = transitions(states, place, kernel, lambda: kernel.flips(1, temperature, generators, rule), 15_000)
    assert_z(transition_z(counts, q), ALARM, f"{name}, {rule}")


@pytest.mark.statistical
def test_flips_at_no_cost_are_taken_half_of_the_time_at_zero_temperature():
    """Blank spins, and a pair of spins whose flips cancel."""
    kernel = LumpedKernel([4, 2], [[0], [1]], 1.0, 1.0)
    kernel.load([[2, 2]])
    assert np.all(kernel.costs(0)[0] == 0) and kernel.costs(0)[1, 0] > 0
    kernel.flips(60_000, 0.0, streams(1, seed=4), "glauber")
    tried = 60_000 * 4 / 6
    assert kernel.up[0, 1] == 2
    assert_z((kernel.accepted[0] - tried / 2) / math.sqrt(60_000 * (1 / 3) * (2 / 3)), ALARM)
    kernel = LumpedKernel([4, 2], [[0], [1]], 1.0, 1.0)
    kernel.load([[2, 1]])  # x = 0: either flip of the pair is downhill
    assert np.all(kernel.costs(0)[1] < 0)


def gibbs_matrix(classes, kernel, temperature, nodes=48):
    """G of one sweep: quadrature over the field z of the kernel's own law of the spins given z."""
    states = lumped_states(classes)
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.array(list(itertools.product(x, repeat=classes.columns.shape[1])))
    weight = np.array([math.prod(row) for row in itertools.product(w / w.sum(), repeat=classes.columns.shape[1])])
    grid, weight = grid[weight > 1e-18], weight[weight > 1e-18]
    width = math.sqrt(temperature / (kernel.scale * classes.n_spins))
    g = np.empty((len(states), len(states)))
    for j, state in enumerate(states):
        centre = classes.unit * (2 * state - classes.counts) @ classes.columns / classes.n_spins
        up = np.array([kernel.up_probability(z, temperature) for z in centre + width * grid])
        law = np.ones((len(grid), 1))
        for c, n in enumerate(classes.counts):
            law = (law[:, :, None] * binom.pmf(np.arange(n + 1), n, up[:, c, None])[:, None]).reshape(len(grid), -1)
        g[j] = weight @ law
    return states, g


@pytest.mark.statistical
@pytest.mark.parametrize("name, temperature", [("K=1", 0.4), ("K=2", 0.6), ("supervised", 0.5)])
def test_gibbs_sweeps_leave_the_boltzmann_law_and_follow_their_own(name, temperature):
    instance = SMALL[name].draw(3)
    classes = Classes.of(instance)
    spins, kernel, generators = all_spins(classes.n_spins), classes.kernel(), streams(4, seed=9)
    states, g = gibbs_matrix(classes, kernel, temperature)
    place = {tuple(state): j for j, state in enumerate(states)}
    law = np.bincount([place[tuple(up)] for up in classes.up(spins)], boltzmann(instance.energy(spins), temperature))
    np.testing.assert_allclose(law @ g, law, atol=1e-11)
    np.testing.assert_allclose(g.sum(axis=1), 1, atol=1e-11)
    kernel.load(states[:4])
    counts = transitions(states, place, kernel, lambda: kernel.gibbs(1, temperature, generators), 15_000)
    assert_z(transition_z(counts, g), ALARM, name)


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["K=3", "unsupervised"])
def test_gibbs_sweeps_against_enumeration(name):
    """Means of E and E^2 over chains that are each run into equilibrium from a random start, one value from each."""
    instance = SMALL[name].draw(3)
    temperature, energy = 0.5, instance.energy(all_spins(instance.n_spins))
    law, seen = boltzmann(energy, temperature), []
    for seed in range(20):
        chain = GibbsChain(instance, temperature, replicas=200, start="random", seed=seed)
        chain.advance(40)
        seen.append(chain.measure()["energy"] * instance.n_spins)
    seen = np.concatenate(seen)
    spread = [math.sqrt(law @ energy ** (2 * j) - (law @ energy**j) ** 2) for j in (1, 2)]
    assert_z([(np.mean(seen**j) - law @ energy**j) / spread[j - 1] * math.sqrt(len(seen)) for j in (1, 2)], ALARM, name)


@pytest.mark.statistical
@pytest.mark.parametrize("rule", ["metropolis", "glauber"])
def test_kinetics_of_the_lumped_chain(rule):
    """Mean overlaps after t sweeps from the same start are those of the bit kernel."""
    instance, z = models.Multitask(300, 3, 0.3).draw(2), []
    options = {"replicas": 300, "start": "corrupted", "corruption": 0.2, "seed": 4}
    full = Chain(instance, 0.25, dynamics=rule, **options)
    lumped = LumpedChain(instance, 0.25, rule=rule, **options | {"seed": 5})
    for sweeps in (1, 2, 5):
        means = []
        for chain in (full, lumped):
            chain.advance(sweeps)
            seen = chain.measure()
            values = np.column_stack([seen["m"], seen["energy"]])
            means.append((values.mean(axis=0), values.var(axis=0, ddof=1) / len(values)))
        z.append((means[0][0] - means[1][0]) / np.sqrt(means[0][1] + means[1][1]))
    assert_z(z, ALARM, rule)
    assert abs(full.acceptance / lumped.acceptance - 1) < 0.03


@pytest.mark.parametrize("chain", [LumpedChain, GibbsChain])
def test_resume_bit_for_bit(chain):
    model = models.Multitask(10**5, 2, 0.3, r=0.7, n_examples=5)
    classes = Classes.draw(model, 1)
    sweeps = 12 if chain is GibbsChain else 4
    straight, cut, resumed = (chain(classes, 0.2, start="random", seed=7) for _ in range(3))
    straight.advance(sweeps)
    cut.advance(1)
    cut.spins  # noqa: B018  (a look leaves the streams alone)
    resumed.restore(cut.snapshot())
    resumed.advance(sweeps - 1)
    for name, array in straight.snapshot().items():
        np.testing.assert_array_equal(resumed.snapshot()[name], array, name)
    for name, array in straight.measure().items():
        np.testing.assert_array_equal(resumed.measure()[name], array, name)
    assert straight.acceptance == resumed.acceptance or chain is GibbsChain


@pytest.mark.parametrize("start", ["planted", "hierarchical", "parallel"])
def test_starts_are_those_of_spins(start):
    instance = models.Multitask(500, 3, 0.3).draw(1)
    one, other = Chain(instance, 0.3, start=start), LumpedChain(instance, 0.3, start=start)
    known = slice(1) if start == "planted" else slice(3) if start == "hierarchical" else slice(0)
    np.testing.assert_allclose(other.measure()["m"][:, known], one.measure()["m"][:, known], atol=1e-14)
    np.testing.assert_array_equal(other.planted, instance.condensed)
    drawn = LumpedChain(Classes.draw(models.Multitask(10**12, 3, 0.3), 1), 0.3, start=start).measure()["m"]
    expected = {"planted": [0.7, 0, 0], "hierarchical": [0.7, 0.21, 0.063], "parallel": [0.7 * (0.335 + 0.21)] * 3}
    np.testing.assert_allclose(drawn, [expected[start]] * 2, atol=1e-5)


@pytest.mark.statistical
@pytest.mark.parametrize("dynamics", ["lumped", "hubbard_stratonovich"])
def test_sampled_configurations(dynamics):
    """They have the class magnetisations of the chain, and no preference among the spins of a class."""
    instance = storage(12, 2).draw(0)
    classes = Classes.of(instance)
    spins = sample(instance, 0.5, n_samples=2000, replicas=2, dynamics=dynamics, seed=3)
    assert spins.shape == (2000, 2, 12) and set(np.unique(spins)) == {-1, 1}
    chain = chain_class(dynamics)(instance, 0.5, 2, "random", seed=3)
    for row in spins[:50]:
        chain.advance(1)
        np.testing.assert_array_equal(classes.up(row), chain.kernel.up)
    z, reduced = [], spins * classes.site_sign
    for c in range(classes.n_classes):
        sites = np.flatnonzero(classes.site_class == c)
        for i, j in itertools.combinations(sites, 2):
            difference = reduced[..., i].astype(float) - reduced[..., j]
            z.append(difference.sum() / np.sqrt(np.sum(difference**2)))
    assert len(z) > 3
    assert_z(z, ALARM)


@pytest.mark.statistical
@pytest.mark.parametrize("n_spins", [10**9, 10**12, 10**15])
def test_gibbs_sweeps_of_many_spins_meet_the_fixed_point(n_spins):
    """K = 1: m = p tanh(m/T) with the share p of occupied sites in the sample; var m = (T/N) J/(1-J), J = p sech^2(m/T)/T."""
    temperature = 0.4
    classes = Classes.draw(models.Multitask(n_spins, 1, 0.3), 1)
    p = classes.counts[classes.archetypes[:, 0] != 0].sum() / n_spins
    m = p
    for _ in range(500):
        m = p * math.tanh(m / temperature)
    j = p * (1 - math.tanh(m / temperature) ** 2) / temperature
    chain = GibbsChain(classes, temperature, replicas=200, seed=2)
    chain.advance(150)
    deviation = (chain.measure()["m"][:, 0] - m) / math.sqrt(temperature / n_spins * j / (1 - j))
    assert_z([deviation.sum() / math.sqrt(200), norm.isf(chi2.sf(np.sum(deviation**2), 200))], ALARM)


@pytest.mark.statistical
@pytest.mark.parametrize("options", [{}, {"normalize_dilution": True},
                                     {"r": 0.6, "n_examples": 3, "normalize_examples": False}])
def test_one_gibbs_sweep_has_its_mean_and_variance(options):
    """z = g + noise, then independent spins: g' has the mean F(g) and, with noise of variance T/(scale N), the variance
    F'(g)^2 T/(scale N) + E[y^2 sech^2]/N. At N = 1e12 both are sharp (a width wrong by 3 % would be seen)."""
    n, temperature, rounds, replicas = 10**12, 0.35, 400, 1000
    classes = Classes.draw(models.Multitask(n, 1, 0.3, **options), 1)
    scale, share, y = classes.model.law.scale, classes.counts / n, classes.unit * classes.columns[:, 0]
    up = np.rint(classes.counts * np.where(y == 0, 0.5, 0.8)).astype(np.int64)
    g = share @ (y * (2 * up / classes.counts - 1))
    tanh = np.tanh(scale * y * g / temperature)
    slope = scale / temperature * share @ (y**2 * (1 - tanh**2))
    variance = (slope**2 + slope) * temperature / (scale * n)
    kernel, generators, seen = classes.kernel(), streams(replicas, seed=6), []
    for _ in range(rounds):
        kernel.load(np.tile(up, (replicas, 1)))
        kernel.gibbs(1, temperature, generators)
        seen.append(classes.unit / n * kernel.overlaps[:, 0])
    deviation = (np.ravel(seen) - share @ (y * tanh)) / math.sqrt(variance)
    size = math.sqrt(deviation.size)
    assert_z([deviation.mean() * size, (np.mean(deviation**2) - 1) * size / math.sqrt(2)], ALARM, f"{options}")


def test_gibbs_sweeps_at_tiny_temperatures():
    """2 beta beyond the largest double: every spin follows its field, blank ones are free."""
    model = models.Multitask(10**6, 2, 0.3)
    for temperature in (1e-300, 1e-308, 5e-324):
        chain = GibbsChain(Classes.draw(model, 1), temperature, start="hierarchical")
        begun, blank = chain.kernel.up, ~chain.instance.archetypes.any(axis=1)
        chain.advance(3)
        np.testing.assert_array_equal(chain.kernel.up[:, ~blank], begun[:, ~blank])
        free = chain.instance.counts[blank]
        assert_z(np.ravel((chain.kernel.up[:, blank] - free / 2) / np.sqrt(free / 4)), ALARM)



LARGE = models.Multitask(10**7, 40, 0.3)


@pytest.mark.parametrize("model, options, sentence", [
    (models.Dense(10, n_patterns=2), {}, "exists for multitasking networks"),
    (LARGE, {}, r"n_patterns = 40 makes 6.08e\+18 classes.*n_patterns <= 14"),
    (models.Multitask(10**7, 1, 0.3, r=0.5, n_examples=10**8), {}, r"supervised, r = 0.5, M = 1.*smaller n_examples"),
    (models.Multitask(10**9, 10**5, 0.3), {}, "makes inf classes"),
    (models.Multitask(100, 2, 0.3, rho=0.2), {}, "every spin is a class of its own"),
    (models.Multitask(100, 2, 0.3, fields=np.ones(100)), {}, "leave fields out"),
    (SMALL["K=2"], {"temperature": 0.0}, r"temperature = 0.0 is not a number in \]0"),
    (SMALL["K=2"], {"order": "sequential"}, "keep no order"),
    (SMALL["K=2"], {"start": "example"}, "start = 'example' is not one of"),
    (SMALL["K=2"], {"start": np.ones(7)}, "start of shape"),
    (models.Multitask(100, 2, 0.3), {"start": np.ones(100)}, "have no sites"),
    (SMALL["K=2"], {"damping": 0.5}, "belongs to 'plefka'"),
    (SMALL["K=2"], {"dynamics": "metropolis"}, "is not one of"),
])
@pytest.mark.parametrize("chain", [LumpedChain, GibbsChain])
def test_bad_input(chain, model, options, sentence):
    with pytest.raises(ParameterError, match=sentence):
        chain.check(model, **{"temperature": 0.3} | options)


@pytest.mark.parametrize("chain", [LumpedChain, GibbsChain])
def test_bad_input_of_known_spins(chain):
    with pytest.raises(ParameterError, match="corruption = 0.1 has no meaning with start = array"):
        chain(SMALL["K=2"].draw(1), 0.3, start=np.ones(8), corruption=0.1)
    with pytest.raises(ParameterError, match="start of shape"):
        chain(SMALL["K=2"].draw(1), 0.3, start=np.ones(7))
    huge = chain(Classes.draw(models.Multitask(10**13, 2, 0.3), 1), 0.3)
    for look in (lambda: huge.spins, lambda: huge.planted):
        with pytest.raises(ParameterError, match="n_spins = 10000000000000 needs .* GiB"):
            look()


def test_bad_input_of_one_chain():
    model = models.Multitask(10**15, 2, 0.3, r=0.5, n_examples=200)
    GibbsChain.check(model, temperature=0.3)
    with pytest.raises(ParameterError, match="give an n_spins below 5.*e.13"):
        LumpedChain.check(model, temperature=0.3)
    with pytest.raises(ParameterError, match="rule = 'glauber' has no meaning"):
        GibbsChain.check(model, temperature=0.3, rule="glauber")
    with pytest.raises(ParameterError, match="rule = 'heat_bath' is not one of metropolis, glauber"):
        LumpedChain.check(SMALL["K=2"], temperature=0.3, rule="heat_bath")
    with pytest.raises(ParameterError, match="n_examples = 1000000000; lower n_examples$"):
        LumpedChain.check(models.Multitask(100, 2, 0.3, r=0.5, n_examples=10**9), temperature=0.3)
    with pytest.raises(ParameterError, match="at 0 give rule = 'glauber'"):
        LumpedChain.check(SMALL["K=2"], temperature=0.0)  # metropolis by default
    LumpedChain.check(SMALL["K=2"], temperature=0.0, rule="glauber")
    LumpedChain.check(models.Multitask(1000, 40, 0.3), temperature=0.3)  # never more classes than spins
    with pytest.raises(ValueError, match="62 bits"):
        LumpedKernel([2**61], [[3]], 1.0, 1.0)
    with pytest.raises(ValueError, match="must be positive"):
        LumpedKernel([3, 0], [[1], [0]], 1.0, 1.0)
    kernel = LumpedKernel([3, 2], [[1], [0]], 1.0, 1.0)
    with pytest.raises(ValueError, match="load"):
        kernel.flips(1, 0.3, streams(1))
    with pytest.raises(ValueError, match="from 0 to the counts"):
        kernel.load([[4, 0]])
    kernel.load([[3, 0]])
    with pytest.raises(ValueError, match="> 0"):
        kernel.gibbs(1, 0.0, streams(1))
    with pytest.raises(ValueError, match="2 generators for 1"):
        kernel.gibbs(1, 0.1, streams(2))
