"""Mean-field dynamics: fields and free energies against enumeration and differences; fixed points against replica theory,
against the theory of the naive fixed points, and against Metropolis site by site."""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z

import hebb
from hebb import models, sample, theory
from hebb.compare import normal_score
from hebb.errors import ParameterError
from hebb.models.mean_field import MeanFieldEnergy
from hebb.params import DenseLaw, dilution_factor
from hebb.runs.plan import Plan
from hebb.runs.worker import run_task
from hebb.sampling.plefka import Plefka, Reaction, entropy


def settled(instance, temperature, expansion, updates=600, **options):
    """The observables of the fixed point from the planted state, and the chain that found it."""
    chain = Plefka(instance, temperature, 1, expansion=expansion, **options)
    chain.advance(10)
    while chain.measure()["fixed_point_change"][0] > 1e-11:
        assert chain.sweeps_done < updates, "no fixed point"
        chain.advance(10)
    return {name: float(value[0]) for name, value in chain.measure().items() if np.size(value)}, chain


# ---- energy and field


def by_enumeration(rows, m, p, prefactor, hamiltonian, fields):
    """The average of the energy over independent spins of magnetisations m (N,), tuple by tuple and state by state."""
    states = np.array(list(itertools.product((-1.0, 1.0), repeat=len(m))))
    if hamiltonian == "distinct":
        tuples = np.array(list(itertools.combinations(range(len(m)), p)))
        values = sum(np.prod((a * states)[:, tuples], axis=2).sum(axis=1) for a in rows)
    else:
        values = np.sum((states @ rows.T) ** p, axis=1) / math.factorial(p)
        values = values - values.mean()
    weights = np.prod((1 + states * m) / 2, axis=1)
    return weights @ (-prefactor * values - states @ fields)


@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("p", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("kind", ["signs", "zeros", "real"])
def test_energy_and_field_are_those_of_independent_spins(kind, p, hamiltonian):
    rng = np.random.default_rng(p)
    rows = {"signs": rng.choice(np.array([-1, 1], np.int8), (3, 8)), "zeros": rng.integers(-1, 2, (3, 8)).astype(np.int8),
            "real": rng.normal(size=(3, 8))}[kind]
    fields, m = rng.normal(size=8), rng.uniform(-1, 1, (2, 8))
    energies, field = MeanFieldEnergy(rows, p, 0.3, hamiltonian, fields).energy_and_field(m)
    for r in range(2):
        def energy(at):
            return by_enumeration(rows, at, p, 0.3, hamiltonian, fields)

        assert energies[r] == pytest.approx(energy(m[r]), rel=1e-11, abs=1e-11)
        for i in range(8):  # E is linear in m_i: a difference is the derivative
            up, down = (np.where(np.arange(8) == i, s, m[r]) for s in (1.0, -1.0))
            assert field[r, i] == pytest.approx((energy(down) - energy(up)) / 2, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
@pytest.mark.parametrize("dataset", [{}, {"r": 0.8, "n_examples": 3}, {"r": 0.8, "n_examples": 3, "protocol": "unsupervised"}])
def test_spins_have_their_energy_and_flips_their_cost(dataset, hamiltonian):
    fields = np.random.default_rng(5).normal(size=14)
    instance = models.Dense(14, 4, n_patterns=9, hamiltonian=hamiltonian, fields=fields, **dataset).draw(seed=1)
    spins = np.random.default_rng(6).choice([-1, 1], (3, 14))
    energies, field = MeanFieldEnergy.of(instance).energy_and_field(spins.astype(float))
    np.testing.assert_allclose(energies, instance.energy(spins), rtol=1e-10, atol=1e-10)
    for i in range(14):
        flipped = np.where(np.arange(14) == i, -spins, spins)
        np.testing.assert_allclose(instance.energy(flipped) - energies, 2 * spins[:, i] * field[:, i], rtol=1e-9, atol=1e-9)


def test_blocks_of_rows_add_up(monkeypatch):
    rng = np.random.default_rng(0)
    rows, m = rng.choice(np.array([-1, 1], np.int8), (50, 12)), rng.uniform(-1, 1, (2, 12))
    whole = MeanFieldEnergy(rows, 4, 1.0).energy_and_field(m)
    monkeypatch.setattr("hebb.models.mean_field._BLOCK", 7 * 12)
    for one, two in zip(whole, MeanFieldEnergy(rows, 4, 1.0).energy_and_field(m), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


# ---- the free energies

LAWS = {
    "P=2": DenseLaw(2),
    "P=2 unsupervised": DenseLaw.from_keywords(2, 0.6, 5, None, "unsupervised"),
    "P=3": DenseLaw(3),
    "P=4 naive": DenseLaw(4, hamiltonian="naive"),
    "P=5 naive unsupervised": DenseLaw.from_keywords(5, 0.7, 5, None, "unsupervised", "naive"),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_reaction_and_energy_are_derivatives_of_phi(law):
    reaction, q, temperature, d = Reaction.of(law, 0.2, 50), np.array([0.6, 0.9]), 0.7, 1e-4
    slope = (reaction.free_energy(q + d, temperature) - reaction.free_energy(q - d, temperature)) / (2 * d)
    np.testing.assert_allclose(reaction.coefficient(q, temperature), 2 * slope, rtol=1e-6)
    beta = 1 / temperature
    up, down = ((beta + s) * reaction.free_energy(q, 1 / (beta + s)) for s in (d, -d))
    np.testing.assert_allclose(reaction.energy(q, temperature), (up - down) / (2 * d), rtol=1e-6)
    assert np.all(reaction.free_energy(q, temperature) < 0) and np.all(reaction.coefficient(q, temperature) > 0)


@pytest.mark.parametrize("p", [2, 3, 4])
def test_phi_is_the_second_order_of_plefkas_expansion(p):
    """beta times the variance of H without its part linear in the spins, halved, averaged over samples: tuple by tuple.

    For P = 2 phi has all orders; its leading one in the coupling is compared, at a temperature where the rest is 1e-3."""
    n, k, temperature, q = 12, 4, 300.0 if p == 2 else 0.5, 0.3
    tuples = [c for size in range(2, p + 1) for c in itertools.combinations(range(n), size)]
    model, values = models.Dense(n, p, n_patterns=k), []
    for disorder in range(100):
        rows = model.draw(seed=2, disorder=disorder).patterns.astype(float) * math.sqrt(q)
        signs = rows / math.sqrt(q)
        total = 0.0
        for chosen in tuples:  # derivatives of E with respect to the m of `chosen`, m_i = sqrt(q) throughout
            others = np.delete(rows, chosen, axis=1)
            e = np.zeros((p - len(chosen) + 1, k))
            e[0] = 1
            for column in others.T:
                e[1:] += column * e[:-1]
            total += (model.weight * np.sum(np.prod(signs[:, chosen], axis=1) * e[-1])) ** 2 * (1 - q) ** len(chosen)
        values.append(-total / (2 * temperature * n))
    values = np.array(values)
    phi = Reaction.of(model.law, model.gamma, n).free_energy(np.array([q]), temperature)[0] * (1 - 1 / n if p == 2 else 1)
    assert_z(normal_score((values.mean() - phi) / values.std(ddof=1) * 10, 100), 1e-6, f"second order, P = {p}")


@pytest.mark.parametrize("options", [
    {"p_body": 2, "gamma": 0.05}, {"p_body": 4, "n_patterns": 500}, {"p_body": 3, "n_patterns": 60, "hamiltonian": "naive"},
    {"p_body": 2, "n_patterns": 3, "r": 0.8, "n_examples": 8, "protocol": "unsupervised"},
    {"p_body": 4, "n_patterns": 100, "r": 0.9, "n_examples": 8}])
@pytest.mark.parametrize("expansion", ["mean_field", "tap"])
def test_fixed_points_are_stationary_points_of_the_free_energy(options, expansion):
    instance, temperature = models.Dense(60, **options).draw(seed=1), 0.3
    _, chain = settled(instance, temperature, expansion)
    point = chain.m.copy()
    assert 0.9 < abs(point[0] @ chain.planted) / 60 < 1

    def slope(m, i):
        values, d = [], 1e-3 * (1 - m[0, i] ** 2)  # the entropy varies on the scale of the distance to +-1
        for s in (d, -d):
            chain.restore(chain.snapshot() | {"m": np.where(np.arange(60) == i, m + s, m)})
            values.append(60 * chain.measure()["free_energy"][0])
        return (values[0] - values[1]) / (2 * d)

    softest = np.argsort(np.abs(point[0]))[:4]
    assert max(abs(slope(point, i)) for i in softest) < 1e-6 and abs(slope(point * 0.99, softest[0])) > 1e-3


def test_entropy_of_free_spins():
    m = np.array([[0.0, 0.6, -0.6], [1.0, -1.0, 1.0]])
    expected = [(math.log(2) - 2 * (0.8 * math.log(0.8) + 0.2 * math.log(0.2))) / 3, 0.0]
    np.testing.assert_allclose(entropy(m), expected, rtol=1e-14)


# ---- fixed points against theory


def naive_fixed_point(p, load, temperature):
    """(m, q) of m_i = tanh(beta h_i) at extensive load, N -> infinity, by the replica theory of networks with graded response
    (Kuehn, Boes and van Hemmen, Phys. Rev. A 43, 2084 (1991)), whose energy E(m) - T S(m) has these fixed points as minima.

    Without the reaction term a spin feels itself through the others: M = tanh beta (A + sigma z + Gamma M), with the
    response C = E dM/dh that M really has in place of beta (1 - q)."""
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    weight, m, q, response = weight / weight.sum(), 1.0, 1.0, 0.0
    for _ in range(400):
        if p == 2:
            gain, sigma = load * response / (1 - response), math.sqrt(load * q) / (1 - response)
        else:
            gain, sigma = load / 2 * p * (p - 1) * q ** (p - 2) * response, math.sqrt(load / 2 * p * q ** (p - 1))
        h, spin = p / 2 * m ** (p - 1) + sigma * x, np.tanh(x)
        for _ in range(60):  # gain/T < 1: a contraction
            spin = np.tanh((h + gain * spin) / temperature)
        slope = (1 - spin**2) / (temperature - gain * (1 - spin**2))
        m, q, response = 0.5 * m + 0.5 * weight @ spin, 0.5 * q + 0.5 * weight @ spin**2, 0.5 * response + 0.5 * weight @ slope
    return m, q


RETRIEVAL = {
    "P=2": ({"n_spins": 2000, "p_body": 2, "gamma": 0.05}, 0.45, 40),
    "P=3": ({"n_spins": 160, "p_body": 3, "gamma": 0.1}, 0.4, 40),
    "P=4": ({"n_spins": 80, "p_body": 4, "gamma": 0.1}, 0.5, 40),
    "P=2 supervised": ({"n_spins": 2000, "p_body": 2, "gamma": 0.03, "r": 0.8, "n_examples": 10}, 0.3, 20),
    "P=2 unsupervised": (
        {"n_spins": 1200, "p_body": 2, "gamma": 0.02, "r": 0.6, "n_examples": 20, "protocol": "unsupervised"}, 0.2, 16),
    "P=4 supervised": ({"n_spins": 80, "p_body": 4, "gamma": 0.03, "r": 0.9, "n_examples": 8}, 0.4, 30),
}


def mapped(model, temperature):
    """(gamma, temperature, f_N) at which the infinite system stands for this one (`hebb.compare`)."""
    f = dilution_factor(model.n_spins, model.p_body)
    return model.gamma * (1 - 1 / model.n_patterns) / f, temperature / f, f


@pytest.mark.parametrize("keys, temperature, samples", RETRIEVAL.values(), ids=RETRIEVAL)
def test_tap_is_the_replica_symmetric_state(keys, temperature, samples):
    """m, q, energy and free energy of the TAP fixed point, averaged over samples, are those of replica theory."""
    model = models.Dense(**keys)
    law = {key: value for key, value in keys.items() if key not in ("n_spins", "gamma")}
    gamma, at, f = mapped(model, temperature)
    state = theory.Dense(**law).solve(gamma=gamma, temperature=at)
    expected = {"m": state.m, "q_self": state.q, "energy_cv": f * state.energy}
    if model.protocol != "storage":
        expected["n"] = state.n
    seen = [settled(model.draw(seed=1, disorder=d), temperature, "tap")[0] for d in range(samples)]
    for name, value in expected.items():
        values = np.array([item[name] for item in seen])
        z = (values.mean() - value) / (values.std(ddof=1) / math.sqrt(samples))
        assert_z(normal_score(z, samples), 2e-6, f"{name} of TAP")
    gap = np.array([item["free_energy"] - item["energy"] for item in seen])
    z = (gap.mean() - f * (state.free_energy - state.energy)) / (gap.std(ddof=1) / math.sqrt(samples))
    assert_z(normal_score(z, samples), 2e-6, "-T S of TAP")
    assert min(item["replicon"] for item in seen) > 0


@pytest.mark.parametrize("name", ["P=2", "P=3", "P=4"])
def test_the_naive_fixed_point_is_off_by_what_its_theory_says(name):
    """The distance between the fixed points with and without reaction, sample by sample, is the predicted one, not zero."""
    keys, temperature, samples = RETRIEVAL[name]
    model = models.Dense(**keys)
    gamma, at, _ = mapped(model, temperature)
    state = theory.Dense(p_body=model.p_body).solve(gamma=gamma, temperature=at)
    naive = naive_fixed_point(model.p_body, gamma, at)
    distances = []
    for disorder in range(samples):
        instance = model.draw(seed=1, disorder=disorder)
        one, two = (settled(instance, temperature, expansion)[0] for expansion in ("tap", "mean_field"))
        distances.append([two["m"] - one["m"], two["q_self"] - one["q_self"]])
    mean, error = np.mean(distances, axis=0), np.std(distances, axis=0, ddof=1) / math.sqrt(samples)
    predicted = np.array([naive[0] - state.m, naive[1] - state.q])
    assert np.all(mean > 5 * error) and np.all(predicted > 0)
    assert_z([normal_score(z, samples) for z in (mean - predicted) / error], 2e-6, "bias of naive mean field")


def test_the_numbers_in_the_documentation():
    for p, gamma, temperature, naive, exact in ((2, 0.05, 0.5, (0.9170, 0.8530), (0.9041, 0.8334)),
                                                (4, 0.3, 0.5, (0.9732, 0.9654), (0.9647, 0.9506))):
        state = theory.Dense(p_body=p).solve(gamma=gamma, temperature=temperature)
        assert (state.m, state.q) == pytest.approx(exact, abs=6e-5)
        assert naive_fixed_point(p, gamma, temperature) == pytest.approx(naive, abs=6e-5)


def test_the_replicon_is_that_of_theory():
    model = models.Dense(4000, 2, gamma=0.05)
    state = theory.Dense(p_body=2).solve(gamma=0.05, temperature=0.45)
    seen = np.array([settled(model.draw(seed=4, disorder=d), 0.45, "tap")[0]["replicon"] for d in range(12)])
    expected = state.replicon / (1 - state.C) ** 2  # theory multiplies by (1-C)^2
    assert_z(normal_score((seen.mean() - expected) / (seen.std(ddof=1) / math.sqrt(12)), 12), 2e-6, "replicon")


@pytest.mark.parametrize("p", [2, 3, 4, 6])
def test_one_pattern_is_a_ferromagnet(p):
    """All sites are alike: m = tanh(beta (P/2) f_N m^(P-1)), exactly at any N."""
    model = models.Dense(50, p, n_patterns=1)
    seen, _ = settled(model.draw(seed=1), 0.4, "mean_field")
    m = 1.0
    for _ in range(500):
        m = math.tanh(p / 2 * dilution_factor(50, p) * m ** (p - 1) / 0.4)
    assert seen["m"] == pytest.approx(m, abs=1e-10) and seen["q_self"] == pytest.approx(m * m, abs=1e-10)
    assert seen["energy"] == pytest.approx(-dilution_factor(50, p) * m**p / 2, abs=1e-10)


@pytest.mark.parametrize("keys, temperature", [({"n_spins": 2000, "p_body": 2, "gamma": 0.05}, 0.45),
                                               ({"n_spins": 160, "p_body": 3, "gamma": 0.15}, 0.45)])
def test_sites_have_the_magnetisations_of_metropolis(keys, temperature):
    """TAP agrees with <s_i> of Metropolis in the same sample to within the noise of the latter; naive mean field does not."""
    instance = models.Dense(**keys).draw(seed=3)
    spins = sample(instance, temperature, n_samples=8000, thermalize=300, replicas=2, start="planted", seed=3)
    means = spins.mean(axis=0, dtype=float)
    noise = math.sqrt(np.mean((means[0] - means[1]) ** 2)) / 2
    metropolis = means.mean(axis=0)
    tap, naive = (settled(instance, temperature, expansion)[1].m[0] for expansion in ("tap", "mean_field"))
    distance = {name: math.sqrt(np.mean((m - metropolis) ** 2)) for name, m in (("tap", tap), ("naive", naive))}
    assert distance["tap"] < 1.25 * noise < 0.006 and distance["naive"] > 1.5 * noise
    assert np.corrcoef(tap, metropolis)[0, 1] > 0.9995 and np.mean((naive - metropolis) * instance.condensed) > 3 * abs(
        np.mean((tap - metropolis) * instance.condensed))


# ---- the dynamics


def test_an_update_is_the_equation():
    """tanh of the field, the reaction on the magnetisation before, damping; replicas do not see each other."""
    instance, temperature = models.Dense(60, 3, n_patterns=200).draw(seed=2), 0.6
    energy, reaction = MeanFieldEnergy.of(instance), Reaction.of(instance.model.law, instance.model.gamma, 60)
    chain = Plefka(instance, temperature, 3, start="corrupted", corruption=0.1, expansion="tap", damping=0.3, seed=9)
    before, m = np.zeros((3, 60)), chain.spins.astype(float)
    assert len(np.unique(m, axis=0)) == 3
    for _ in range(4):
        chain.advance(1)
        gain = reaction.coefficient(np.mean(m**2, axis=1), temperature)[:, None]
        fields = np.concatenate([energy.energy_and_field(row[None])[1] for row in m])
        m, before = 0.7 * np.tanh((fields - gain * before) / temperature) + 0.3 * m, m
        np.testing.assert_allclose(chain.m, m, rtol=1e-12, atol=1e-14)
    seen = chain.measure()
    np.testing.assert_allclose(seen["fixed_point_change"], np.abs(m - before).max(axis=1), rtol=1e-9)
    np.testing.assert_allclose(seen["q"], [m[0] @ m[1] / 60, m[0] @ m[2] / 60, m[1] @ m[2] / 60], rtol=1e-12)
    np.testing.assert_allclose(seen["q_self"], np.mean(m**2, axis=1), rtol=1e-12)
    np.testing.assert_allclose(seen["m"], m @ instance.patterns[0] / 60, rtol=1e-12)
    assert chain.sweeps_done == 4 and math.isnan(chain.acceptance) and np.array_equal(chain.spins, np.sign(m))


def test_damping_moves_no_fixed_point():
    instance = models.Dense(200, 2, n_patterns=8).draw(seed=2)
    one, two = (settled(instance, 0.4, "tap", damping=damping)[1].m for damping in (None, 0.5))
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_zero_temperature_ends_where_no_flip_lowers_the_energy():
    instance = models.Dense(40, 4, n_patterns=60).draw(seed=1)
    chain = Plefka(instance, 0.0, 8, start="corrupted", corruption=0.2, seed=1)
    chain.advance(60)
    still = chain.measure()["fixed_point_change"] == 0
    assert still.sum() >= 4 and set(np.unique(chain.m)) == {-1.0, 1.0}
    for spins in chain.spins[still]:
        flipped = np.where(np.eye(40, dtype=bool), -spins, spins)
        assert np.all(instance.energy(flipped) >= instance.energy(spins) - 1e-12)
    assert chain.measure()["free_energy"] == pytest.approx(chain.measure()["energy"])


def test_parallel_updates_cycle_and_damping_ends_it():
    """Two spins that want to differ and start alike flip together for ever; with damping they settle."""
    instance = models.Dense(2, 2, patterns=[[1, -1]]).draw(seed=1)
    chain = Plefka(instance, 0.0, 1, start=[1, 1])
    seen = chain.sample(4, 1)[:, 0]
    np.testing.assert_array_equal(seen, [[-1, -1], [1, 1], [-1, -1], [1, 1]])
    assert chain.measure()["fixed_point_change"] == 2
    warm = Plefka(instance, 0.2, 1, start=[1, 1])
    warm.advance(100)
    assert warm.measure()["fixed_point_change"] > 1
    damped = Plefka(instance, 0.2, 1, start=[1, 1], damping=0.5)
    damped.advance(100)
    assert damped.measure()["fixed_point_change"] < 1e-9


def test_a_spin_without_field_stays_at_zero_temperature():
    instance = models.Dense(4, 2, patterns=[[1, -1, 0, 0]]).draw(seed=1)
    chain = Plefka(instance, 0.0, 1, start=[1, -1, -1, 1])
    chain.advance(3)
    np.testing.assert_array_equal(chain.m, [[1, -1, -1, 1]])


def test_outside_its_domain_tap_says_so():
    """P = 2 below T = 1 has no Plefka free energy at q = 0: nan, a negative replicon, and no warning."""
    chain = Plefka(models.Dense(300, 2, n_patterns=60).draw(seed=1), 0.5, 2, start="random", expansion="tap", damping=0.5)
    chain.restore(chain.snapshot() | {"m": np.zeros((2, 300))})
    seen = chain.measure()
    assert np.all(np.isnan(seen["free_energy"])) and np.all(np.isnan(seen["energy"])) and np.all(seen["replicon"] < 0)
    chain.advance(5)
    assert np.all(np.abs(chain.m) <= 1)


def test_the_reaction_acts_one_step_earlier():
    """In the paramagnet at alpha = 4, T = 3.9 (glass below T = 3) the iteration converges; with the reaction on the present
    magnetisation its slope is beta (lambda - alpha beta/(1-beta)) = -1.12 at the lower edge of J, 1 - 2 sqrt(alpha)."""
    temperature, chain = 3.9, Plefka(models.Dense(300, 2, gamma=4).draw(seed=1), 3.9, 1, start="random", expansion="tap")
    chain.advance(300)
    assert np.max(np.abs(chain.m)) < 1e-9
    m = np.random.default_rng(0).uniform(-0.01, 0.01, (1, 300))
    for _ in range(300):
        gain = chain.reaction.coefficient(np.mean(m**2, axis=1), temperature)[:, None]
        m = np.tanh((chain.mean_field.energy_and_field(m)[1] - gain * m) / temperature)
    assert np.max(np.abs(m)) > 0.1


# ---- runs

SETTINGS = {"disorder": 2, "thermalize": 2, "sweeps": 9, "measure_every": 3, "dynamics": "plefka", "expansion": "tap",
            "start": "corrupted", "corruption": 0.1, "keep_spins": True}


def test_simulate_is_what_a_chain_shows():
    model = models.Dense(40, 3, n_patterns=60, r=0.9, n_examples=4)
    results = hebb.simulate(model, 0.5, seed=3, **SETTINGS)
    for disorder in range(2):
        chain = Plefka(model.draw(3, disorder), 0.5, 2, "corrupted", 0.1, seed=3, expansion="tap")
        np.testing.assert_array_equal(results.spins[0, disorder]["start"], chain.spins)
        chain.advance(2)
        for place in range(3):
            chain.advance(3)
            for name, value in chain.measure().items():
                np.testing.assert_array_equal(results[name].series(0)[disorder, place], value)
        np.testing.assert_array_equal(results.spins[0, disorder]["final"], chain.spins)
    assert {"n", "q_self", "free_energy", "fixed_point_change", "replicon"} < set(results) and not results.lost.any()
    assert results.job["sampling"]["dynamics"] == "plefka" and results.job["sampling"]["expansion"] == "tap"


def test_planted_replicas_and_lost_samples():
    model = models.Dense(100, 2, n_patterns=4)
    results = hebb.simulate(model, [0.3, 1.5], disorder=3, thermalize=50, sweeps=20, dynamics="plefka", seed=1)
    np.testing.assert_allclose(results["q"].samples, results["q_self"].samples, rtol=1e-12)  # replicas of one start are one
    assert results.lost.tolist() == [0, 3] and np.all(results["m"].mean > [0.9, -0.1])
    assert not results["m"].too_short[0] and results["m"].raw_error[0] > 0  # a fixed point has no autocorrelation


def test_stopping_and_going_on_changes_no_bit():
    task = Plan.from_keywords(models.Dense(30, 4, n_patterns=50), 0.6, seed=2, **SETTINGS).tasks[1]
    whole, record = run_task(task), None
    while record is None or record.status != "done":
        record = run_task(task, record, stop=lambda: True)
    for left, right in ((whole.series, record.series), (whole.spins, record.spins)):
        assert left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)
    assert whole.sweeps_done == record.sweeps_done == 11 and whole.lost == record.lost


def test_sample_gives_magnetisations():
    instance = models.Dense(60, 2, n_patterns=3).draw(seed=1)
    seen = sample(instance, 0.5, n_samples=3, thin=20, replicas=2, dynamics="plefka", start="planted")
    assert seen.shape == (3, 2, 60) and seen.dtype == np.float64 and 0 < np.abs(seen[-1]).min() < np.abs(seen[-1]).max() < 1
    np.testing.assert_allclose(seen[-1, 0], settled(instance, 0.5, "mean_field")[1].m[0], atol=1e-8)


def test_a_job_file_gives_the_numbers_of_simulate(tmp_path):
    (tmp_path / "job.toml").write_text("""
[job]
seed = 3
[model]
kind = "dense"
n_spins = 30
p_body = 3
n_patterns = 20
temperature = 0.5
[sampling]
disorder = 2
thermalize = 20
sweeps = 4
dynamics = "plefka"
expansion = "tap"
damping = 0.1
""")
    plan = Plan.from_toml(tmp_path / "job.toml")
    results = hebb.simulate(models.Dense(30, 3, n_patterns=20), 0.5, disorder=2, thermalize=20, sweeps=4, seed=3,
                            dynamics="plefka", expansion="tap", damping=0.1)
    record = run_task(plan.tasks[1])
    for name in results:
        if name in record.series:
            np.testing.assert_array_equal(results[name].series(0)[1], record.series[name])
    assert set(record.series) < set(results)


@pytest.mark.parametrize("changes, message", [
    ({"expansion": "TAP"}, "not one of mean_field, tap"),
    ({"damping": 1.0}, r"damping = 1.0 is not a number in \[0, 0.99\]"),
    ({"damping": "half"}, "damping = 'half'"),
    ({"temperature": 0.0}, "expansion = 'tap' at temperature = 0"),
    ({"temperature": 0.0, "expansion": None, "damping": 0.2}, "damping = 0.2 at temperature = 0"),
    ({"temperature": -1.0}, "temperature = -1.0"),
    ({"order": "sequential"}, "order = 'sequential' has no meaning"),
    ({"start": "nowhere"}, "start = 'nowhere'"),
    ({"dynamics": "metropolis"}, "expansion = 'tap' has no meaning with dynamics = 'metropolis'"),
    ({"dynamics": "glauber", "expansion": None, "damping": 0.1}, "damping = 0.1 has no meaning"),
    ({"dynamics": "plefk"}, "did you mean 'plefka'"),
    ({"tempering": True}, "tempering"),
])
def test_bad_settings_are_refused_in_one_sentence(changes, message):
    settings = {"disorder": 1, "thermalize": 0, "sweeps": 5, "dynamics": "plefka", "expansion": "tap", "temperature": 0.5}
    settings |= changes
    with pytest.raises(ParameterError, match=message) as caught:
        Plan.from_keywords(models.Dense(20, 2, n_patterns=2), settings.pop("temperature"), **settings)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused(monkeypatch):
    model = models.Dense(400, 2, n_patterns=400)
    monkeypatch.setattr("hebb.sampling.plefka.available_memory", lambda: 10**5)
    with pytest.raises(ParameterError, match="GiB"):
        Plefka.check(model, temperature=0.5)
