"""Learning thresholds, directions in which examples part, and states that follow single examples, against sums over all
columns of all examples, closed forms and a direct simulation."""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z
from scipy.special import erf
from scipy.stats import binom

from hebb.errors import NoSolution, ParameterError
from hebb.params import MultitaskLaw
from hebb.theory import Multitask
from hebb.theory.column_integral import ColumnIntegral
from hebb.theory.multitask_examples import ExampleColumns, example_modes, example_state
from hebb.theory.multitask_learning import (
    class_threshold,
    example_crossing,
    multicritical_dilution,
    one_step,
    parallel_threshold,
)
from hebb.theory.multitask_states import find_states, free_energy


def law(n_patterns, dilution, protocol="unsupervised", **dataset):
    return MultitaskLaw.from_keywords(n_patterns, dilution, protocol=protocol, **dataset)


# ---- directions in which the examples of one pattern part ------------------------------------------------------------

class AllExamples:
    """Unsupervised learning with K M patterns and no symmetry assumed: sums over all columns of all examples.

    f(v) = |v|^2/2 - T E log 2cosh(y.v/T) with y = eta/sqrt(M R), v = g sqrt(1/M) the overlap with each example.
    """

    def __init__(self, law):
        m, kinds = law.n_examples, []
        for signs in itertools.product((1, -1), repeat=m):
            up = sum(s == 1 for s in signs)
            chance = binom.pmf(up, m, (1 + law.r) / 2) / math.comb(m, up)
            kinds += [(np.array(signs), chance * law.density / 2, 1), (-np.array(signs), chance * law.density / 2, -1)]
        kinds.append((np.zeros(m), law.dilution, 0))
        columns = list(itertools.product(kinds, repeat=law.n_patterns))
        self.eta = np.array([np.concatenate([kind[0] for kind in column]) for column in columns], float)
        self.weight = np.array([math.prod(kind[1] for kind in column) for column in columns])
        self.xi = np.array([[kind[2] for kind in column] for column in columns], float)
        self.y = self.eta / math.sqrt(m * law.second_moment)

    def field(self, v, temperature):
        return (self.weight * np.tanh(self.y @ v / temperature)) @ self.y

    def free_energy(self, v, temperature):
        x = self.y @ v / temperature
        return v @ v / 2 - temperature * self.weight @ np.logaddexp(x, -x)

    def hessian(self, v, temperature):
        flat = self.weight * np.cosh(self.y @ v / temperature) ** -2 / temperature
        return np.eye(v.size) - (self.y.T * flat) @ self.y


@pytest.mark.parametrize("n_patterns, r, m", [(1, 0.4, 5), (2, 0.5, 3), (2, 0.9, 2), (3, 0.3, 2)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_hessian_over_all_examples(n_patterns, r, m, temperature):
    data = law(n_patterns, 0.3, r=r, n_examples=m)
    g, columns = np.array([0.5, 0.2, 0.1])[:n_patterns], ColumnIntegral(data)
    exact = np.linalg.eigvalsh(AllExamples(data).hessian(np.repeat(g, m) / math.sqrt(m), temperature))
    together = np.linalg.eigvalsh(np.eye(n_patterns) - columns.jacobian(g, temperature))
    apart = example_modes(data, g, temperature, columns)
    assert np.abs(np.sort(np.concatenate([together, np.repeat(apart, m - 1)])) - exact).max() < 1e-12


@pytest.mark.parametrize("temperature", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("rho", [0.1, 0.6, 3.0])
def test_many_examples_do_not_destabilise_supervised_states(temperature, rho):
    """Stein's identity: modes are a m/g > 0 at the states, that is n = m/(1+rho) + rho/(1+rho) q n/T; close to M = 1e6."""
    data = law(2, 0.3, rho=rho)
    columns = ColumnIntegral(data)
    g = find_states(columns, temperature, np.array([0.6, 0.25])).g
    m, a = columns.archetype(g, temperature), 1 / math.sqrt(1 + rho)
    modes = example_modes(data, g, temperature, columns)
    condensed = g > 1e-6
    assert condensed[0] and np.abs(modes - a * m / g)[condensed].max() < 1e-10 and np.all(modes > 0)
    n, response = a * g, columns.scatter(g, temperature)
    assert np.abs(n - m / (1 + rho) - rho / (1 + rho) * response * n).max() < 1e-13
    if temperature > 0:
        r = 1 / math.sqrt(1 + rho * 1e6)
        many = law(2, 0.3, r=r, n_examples=10**6)
        assert np.abs(example_modes(many, g, temperature, ColumnIntegral(many)) - modes).max() < 1e-4
    zero = example_modes(data, np.zeros(2), 0.9, columns)
    assert zero == pytest.approx(1 - 0.7 / 0.9 * rho / (1 + rho), abs=1e-14)


def test_modes_without_directions():
    for data in (law(2, 0.3, r=0.4, n_examples=1), law(2, 0.3, "supervised", r=0.4, n_examples=5), law(2, 0.3, "storage")):
        assert np.all(np.isinf(example_modes(data, np.ones((4, 2)), 0.2, ColumnIntegral(data))))
    noiseless = law(2, 0.3, rho=0.0)
    assert np.all(example_modes(noiseless, np.ones((4, 2)), 0.2, ColumnIntegral(noiseless)) == 1)
    even = law(1, 0.3, r=0.4, n_examples=4)
    assert example_modes(even, np.ones(1), 0.0, ColumnIntegral(even)) == -np.inf        # examples that cancel: ties


@pytest.mark.parametrize("temperature", [0.05, 0.3])
def test_states_at_finite_m_approach_the_limit_as_one_over_m(temperature):
    limit = ColumnIntegral(law(2, 0.3, rho=0.2))
    start = np.array([0.6, 0.25])
    exact = find_states(limit, temperature, start)
    error = []
    for m in (100, 200, 400):
        columns = ColumnIntegral(law(2, 0.3, r=1 / math.sqrt(1 + 0.2 * m), n_examples=m))
        found = find_states(columns, temperature, start)
        error.append([np.abs(found.g - exact.g).max(), abs(found.free_energy - exact.free_energy)])
    error = np.array(error)
    assert np.allclose(error[:-1] / error[1:], 2, rtol=0.05) and error.max() < 0.02


# ---- states that follow single examples ------------------------------------------------------------------------------

@pytest.mark.parametrize("n_patterns, r, m, followed, temperature", [
    (1, 0.3, 4, 1, 0.05), (1, 0.2, 2, 1, 0.1), (2, 0.2, 3, 1, 0.05), (2, 0.1, 3, 2, 0.03), (3, 0.1, 2, 1, 0.05)])
def test_example_states_solve_the_problem_of_all_examples(n_patterns, r, m, followed, temperature):
    data = law(n_patterns, 0.3, r=r, n_examples=m)
    full, state = AllExamples(data), example_state(data, temperature, followed)
    assert state.converged and state.branch == "example"
    v = np.empty((n_patterns, m))
    root = math.sqrt(m * data.second_moment)
    v[:followed, 0] = state.example / root
    v[:followed, 1:] = state.others[:, None] / root
    v[followed:] = state.n[followed:, None] * math.sqrt(1 + data.rho) / math.sqrt(m)
    v = v.ravel()
    assert np.abs(full.field(v, temperature) - v).max() < 1e-13
    assert state.free_energy == pytest.approx(full.free_energy(v, temperature), abs=1e-14)
    assert state.smallest_hessian_eigenvalue == pytest.approx(np.linalg.eigvalsh(full.hessian(v, temperature))[0], abs=1e-11)
    tanh = full.weight * np.tanh(full.y @ v / temperature)
    assert state.m == pytest.approx(tanh @ full.xi, abs=1e-13)
    average = full.eta.reshape(-1, n_patterns, m).mean(axis=2)
    assert state.n == pytest.approx(tanh @ average / (r * (1 + data.rho)), abs=1e-13)
    assert np.all(state.example > state.others + 0.05)


@pytest.mark.parametrize("data, followed", [(law(2, 0.3, rho=1.3), 2), (law(3, 0.4, rho=0.5), 1),
                                            (law(2, 0.3, r=0.4, n_examples=5), 1)], ids=str)
def test_example_columns_at_zero_temperature(data, followed):
    """The limit of small T (T^2 for Gaussian data) and, at equal overlaps of all examples, the symmetric averages."""
    columns, k = ExampleColumns(data, followed), data.n_patterns
    x = np.array([0.31, 0.17, 0.09, 0.42, 0.23])[:k + followed]
    for name in ("field", "archetype", "jacobian", "scatter"):
        cold = getattr(columns, name)(x, 0.0)
        near, nearer = (np.abs(getattr(columns, name)(x, t) - cold).max() for t in (2e-4, 1e-4))
        assert nearer < 1e-11 if data.n_examples else near / nearer == pytest.approx(4, rel=1e-2), name
    if data.n_examples:
        alike = ColumnIntegral(data)
        g = np.array([0.5, 0.2, 0.1])[:k]
        x = np.concatenate([columns.common * g[:followed], g[followed:], g[:followed] / math.sqrt(data.n_examples)])
        for temperature in (0.0, 0.2):
            assert columns.potential(x, temperature) == pytest.approx(alike.potential(g, temperature), abs=1e-14)
            assert columns.archetype(x, temperature)[:k] == pytest.approx(alike.archetype(g, temperature), abs=1e-14)


@pytest.mark.parametrize("rho", [0.5, 2.0])
def test_following_every_pattern_in_the_limit_is_storage(rho):
    """Many examples: examples are patterns of weight b^2, f = b^2 f_storage(T/b^2), and archetypes are forgotten."""
    data, b2 = law(2, 0.3, rho=rho), rho / (1 + rho)
    for temperature in (0.0, 0.05):
        state = example_state(data, temperature, followed=2)
        columns = ColumnIntegral(law(2, 0.3, "storage"))
        found = find_states(columns, temperature / b2, np.array([0.7, 0.21]))
        assert state.example == pytest.approx(found.g, abs=1e-12) and np.abs(state.m).max() < 1e-13
        assert state.free_energy == pytest.approx(b2 * float(found.free_energy), abs=1e-13)


def test_energies_of_one_pattern_at_zero_temperature():
    """K = 1: e = -(p E|a+bz|)^2/2 symmetric, -(p b)^2/2 following an example; archetype overlap p erf(1/sqrt(2 rho))."""
    for rho in (0.3, 1.8912518407, 5.0):
        data = law(1, 0.4, rho=rho)
        a, b = 1 / math.sqrt(1 + rho), math.sqrt(rho / (1 + rho))
        mean = a * erf(a / b / math.sqrt(2)) + b * math.sqrt(2 / math.pi) * math.exp(-((a / b) ** 2) / 2)
        found = find_states(ColumnIntegral(data), 0.0, np.array([0.6]))
        assert float(found.free_energy) == pytest.approx(-((0.6 * mean) ** 2) / 2, abs=1e-15)
        assert ColumnIntegral(data).archetype(found.g, 0.0)[0] == pytest.approx(0.6 * erf(1 / math.sqrt(2 * rho)), abs=1e-15)
        state = example_state(data, 0.0)
        assert state.stable and state.free_energy == pytest.approx(-((0.6 * b) ** 2) / 2, abs=1e-15)
        assert state.example[0] == pytest.approx(0.6) and abs(state.m[0]) < 1e-15


def test_crossing_of_one_pattern():
    cold = [example_crossing(1, d) for d in (0.0, 0.3, 0.8)]
    assert all(found.rho == pytest.approx(1.8912518407, abs=1e-10) and abs(found.residual) < 1e-14 for found in cold)
    warm = [example_crossing(1, d, 0.3 * (1 - d)).rho for d in (0.0, 0.5)]        # T/p is all that matters
    assert warm[0] == pytest.approx(warm[1], rel=1e-11) and warm[0] > 1.9


def test_crossing_of_two_patterns():
    """T = 0, d = 0.3: two followed examples, energy -b^2 p^2 (1 + d^2)/2, against the parallel symmetric state."""
    found = example_crossing(2, 0.3)
    assert len(found.example.example) == 2
    columns = ColumnIntegral(law(2, 0.3, rho=found.rho))
    m = columns.field(np.ones(2), 0.0)
    energy = float(free_energy(columns, 0.0, m))
    assert energy == pytest.approx(-found.rho / (1 + found.rho) * 0.49 * 1.09 / 2, abs=1e-12)


def test_crossing_in_whole_numbers_of_examples():
    r, temperature = 0.3, 0.1
    found = example_crossing(1, 0.3, temperature, r=r)
    assert isinstance(found.n_examples, int) and found.residual > 0
    for m, sign in ((found.n_examples, 1), (found.n_examples - 1, -1)):
        data = law(1, 0.3, r=r, n_examples=m)
        symmetric = find_states(ColumnIntegral(data), temperature, np.array([0.7]))
        difference = example_state(data, temperature).free_energy - float(symmetric.free_energy)
        assert sign * difference > 0
    many = example_crossing(1, 0.3, temperature, r=0.02)                           # 1/M corrections are small here
    limit = example_crossing(1, 0.3, temperature).rho
    assert many.rho == pytest.approx(limit, rel=0.03) and many.n_examples > 1000


# ---- thresholds ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n_patterns, dilution, rho", [
    (2, 0.1, 1.06836), (2, 0.2, 0.589817), (2, 0.3, 0.368452951), (2, 0.5, 0.141316), (2, 0.7, 0.0396511), (3, 0.3, 0.395752),
    (3, 0.5, 0.160312)])
def test_parallel_threshold_at_zero_temperature(n_patterns, dilution, rho):
    """The printed values, and states on both sides: equal amplitudes beyond, different ones below."""
    found = parallel_threshold(n_patterns, dilution)
    assert found.rho == pytest.approx(rho, rel=1e-5) and abs(found.residual) < 1e-13
    start = 0.4 * np.array([1.0, 0.8, 0.7])[:n_patterns]
    for factor, split in ((1.1, False), (0.9, True)):
        state = find_states(ColumnIntegral(law(n_patterns, dilution, rho=factor * found.rho)), 0.0, start)
        assert state.hessian > 0 and (np.ptp(state.g) > 0.01 * state.g.max()) == split


def test_parallel_threshold_of_strong_dilution():
    """Nearly blank patterns, g = p: only sites (1, -1), p^2/2 of all, have small fields, of deviation b g sqrt(2), so that
    1 = J_11 - J_12 = p^2/(sqrt(pi) b p) and rho_par = b^2 = p^2/pi."""
    for p in (1e-2, 1e-3, 1e-4):
        assert parallel_threshold(2, 1 - p).rho / p**2 == pytest.approx(1 / math.pi, rel=1.1 * p)


def test_amplitudes_split_as_a_square_root():
    threshold = parallel_threshold(2, 0.3).rho
    slope = []
    for distance in (4e-3, 2e-3, 1e-3):
        g = find_states(ColumnIntegral(law(2, 0.3, rho=threshold * (1 - distance))), 0.0, np.array([0.5, 0.4])).g
        slope.append((g[0] - g[1]) ** 2 / distance)
    assert 2 * slope[2] - slope[1] == pytest.approx(0.3136, abs=1e-4)             # extrapolated to the threshold
    assert (slope[0] - slope[1]) / (slope[1] - slope[2]) == pytest.approx(2, rel=0.1)


def test_parallel_threshold_ends_at_the_multicritical_point():
    """T -> T_c = p: d = (2/3)/(1+rho)^2."""
    rho = [parallel_threshold(2, 0.3, t * 0.7).rho for t in (0.998, 0.999)]
    assert 2 * rho[1] - rho[0] == pytest.approx(math.sqrt(2 / 0.9) - 1, abs=3e-6)
    assert parallel_threshold(2, 0.3, 1e-3).rho == pytest.approx(parallel_threshold(2, 0.3).rho, abs=1e-5)


def test_parallel_threshold_in_whole_numbers_of_examples():
    r, temperature = 0.3, 0.2
    exact, limit = parallel_threshold(2, 0.3, temperature, r, exact=True), parallel_threshold(2, 0.3, temperature, r)
    assert abs(exact.n_examples - limit.n_examples) < 3 and exact.n_examples == int(exact.n_examples)
    for m, stable in ((exact.n_examples - 1, True), (exact.n_examples, False)):
        columns = ColumnIntegral(law(2, 0.3, r=r, n_examples=m))
        g = find_states(columns, temperature, np.array([0.4, 0.4]), np.full((2, 2), 0.5)).g
        assert (np.linalg.eigvalsh(np.eye(2) - columns.jacobian(g, temperature))[0] > 0) == stable


@pytest.mark.parametrize("dataset", [{"rho": 0.4}, {"r": 0.6, "n_examples": 5}, {"r": 0.3, "n_examples": 2}, {}], ids=str)
def test_multicritical_dilution(dataset):
    """Just below T_c the pure state is stable on one side, the parallel one on the other."""
    def stable(dilution):
        data = law(2, dilution, "supervised" if dataset else "storage", **dataset)
        columns, temperature = ColumnIntegral(data), 0.9999 * data.density
        size = 0.01 * math.sqrt(data.density)
        states = (find_states(columns, temperature, start, groups).g for start, groups in (
            (np.array([size, 0.0]), np.diag([1.0, 0.0])), (np.array([size, size]), np.full((2, 2), 0.5))))
        return [bool(np.linalg.eigvalsh(np.eye(2) - columns.jacobian(g, temperature))[0] > 0) for g in states]
    edge = multicritical_dilution(law(2, 0.3, "supervised" if dataset else "storage", **dataset))
    assert stable(edge - 0.005) == [True, False] and stable(edge + 0.005) == [False, True]


def test_multicritical_dilution_in_closed_form():
    assert multicritical_dilution(law(3, 0.3, rho=0.5)) == pytest.approx(2 / 3 / 1.5**2, rel=1e-15)
    for r, m in ((0.6, 5), (0.1, 1), (0.3, 40)):
        data = law(2, 0.3, r=r, n_examples=m)
        k = np.arange(m + 1)
        kappa = binom.pmf(k, m, (1 + r) / 2) @ (2 * k / m - 1) ** 4 / data.second_moment**2
        assert multicritical_dilution(data) == pytest.approx(1 - kappa / 3, abs=1e-14)


def test_one_step_by_error_functions_and_by_sites():
    """Gaussian: the formula; finite M: 4e5 sites, which tell the exact sum over the binomial law from the Gaussian limit."""
    d, r, m, n_spins = 0.3, 0.3, 9, 400_000
    data = law(2, d, "supervised", r=r, n_examples=m)
    m0 = np.array([1 - d, d * (1 - d)])
    gaussian = one_step(law(2, d, "supervised", rho=data.rho), m0)
    columns = np.array(list(itertools.product((0.0, 1.0, -1.0), repeat=2))[1:])
    weight = np.prod(np.where(columns == 0, d, (1 - d) / 2), axis=1)
    expected = (weight * erf(columns @ m0 / np.sqrt(2 * data.rho * columns**2 @ m0**2))) @ columns
    assert gaussian == pytest.approx(expected, abs=1e-15)

    rng = np.random.Generator(np.random.Philox(11))
    xi = rng.choice([0, 1, -1], p=[d, (1 - d) / 2, (1 - d) / 2], size=(2, n_spins))
    examples = xi * (2 * rng.binomial(m, (1 + r) / 2, size=xi.shape) - m)
    spins = np.where(xi[0] != 0, xi[0], xi[1])                                     # hierarchical, overlaps m0
    spins = np.where(spins == 0, rng.choice([1, -1], size=n_spins), spins)
    overlaps = examples @ spins
    new = np.sign(overlaps @ examples)
    m1 = xi @ new / n_spins
    exact = one_step(data, m0)
    error = np.sqrt((np.mean(xi**2 * np.abs(new), axis=1) - m1**2) / n_spins)
    assert_z((m1 - exact) / error, 1e-6, "one parallel update")
    assert np.abs((m1 - gaussian) / error).max() > 8 and np.abs(exact - gaussian).max() < 0.03


def test_class_thresholds():
    data = law(2, 0.3, "supervised", rho=0.3)
    alone = class_threshold(data, 0.2, column=[1, 0])
    assert (alone.snr, alone.rho) == (1, 1) and alone.n_examples == pytest.approx(24)
    worst = class_threshold(data, 0.2)
    assert list(np.abs(worst.column)) == [1, 1] and worst.column[0] == -worst.column[1]
    assert worst.rho == pytest.approx((1 - 0.3) ** 2 / (1 + 0.3**2)) and worst.n_examples > 24
    assert class_threshold(data, 0.2, theta2=2.0).rho == pytest.approx(worst.rho / 4)
    assert class_threshold(data, 0.2, m0=[0.5, 0.5]).n_examples == math.inf
    # at the threshold the argument of the error function of the class is sqrt(theta2)
    single = one_step(law(1, 0.3, "supervised", rho=alone.rho), [0.7])[0] / 0.7
    assert single == pytest.approx(erf(math.sqrt(0.5)), abs=1e-15)


# ---- the public class ------------------------------------------------------------------------------------------------

def test_supervised_state_and_its_unsupervised_twin():
    """A printed state; unsupervised learning has the same one, judged in the directions of the examples as well."""
    state = Multitask(2, 0.3, r=0.5, n_examples=20).solve(0.1)
    assert state.m == pytest.approx([0.6570249566425344, 0.228381880761544], abs=1e-12)
    assert state.n == pytest.approx([0.5989216735020619, 0.21439791228642432], abs=1e-12)
    assert state.free_energy == pytest.approx(-0.24419851563311007, abs=1e-13)
    assert state.smallest_hessian_eigenvalue == pytest.approx(0.5416461544206038, abs=1e-11)
    twin = Multitask(2, 0.3, r=0.5, n_examples=20, protocol="unsupervised").solve(0.1)
    assert np.array_equal(twin.m, state.m) and twin.free_energy == state.free_energy
    few = Multitask(2, 0.3, r=0.5, n_examples=2, protocol="unsupervised").solve(0.03, "pure")
    alike = Multitask(2, 0.3, r=0.5, n_examples=2).solve(0.03, "pure")
    assert few.smallest_hessian_eigenvalue < alike.smallest_hessian_eigenvalue - 0.1      # ties of even M at low T


def test_one_example_and_noiseless_examples():
    """M = 1 stores the example: g of storage, m = r g. r = 1 is storage."""
    stored = Multitask(3, 0.4).solve(0.1)
    single = Multitask(3, 0.4, r=0.6, n_examples=1).solve(0.1)
    assert single.n / 0.6 == pytest.approx(stored.m, abs=1e-12)
    assert single.m == pytest.approx(0.6 * stored.m, abs=1e-12)
    assert single.free_energy == pytest.approx(stored.free_energy, abs=1e-13)
    clean = Multitask(3, 0.4, r=1.0, n_examples=6).solve(0.1)
    assert clean.m == pytest.approx(stored.m, abs=1e-12) and clean.n == pytest.approx(stored.m, abs=1e-12)


def test_methods_in_the_units_of_the_network():
    network, units = Multitask(2, 0.3, rho=0.1), Multitask(2, 0.3, rho=0.1, normalize_dilution=True)
    assert network.parallel_threshold().rho == pytest.approx(0.368452951, rel=1e-8)
    for method in ("parallel_threshold", "example_crossing"):
        one, other = getattr(network, method)(0.14), getattr(units, method)(0.2)
        assert one.rho == pytest.approx(other.rho, rel=1e-12) and (one.temperature, other.temperature) == (0.14, 0.2)
    assert network.multicritical_dilution() == pytest.approx(2 / 3 / 1.1**2)
    assert network.critical_examples(r=0.2, column=[0, 1]).n_examples == pytest.approx(24)
    assert Multitask(2, 0.3).one_step([0.7, 0.21]) == pytest.approx([0.7, 0.21], abs=1e-15)
    with pytest.raises(ParameterError, match="normalize_examples"):
        Multitask(2, 0.3, r=0.5, n_examples=3, normalize_examples=False).parallel_threshold()
    learned = Multitask(1, 0.3, rho=2.0, protocol="unsupervised", normalize_dilution=True)
    state = learned.solve(0.2, branch="example")
    plain = Multitask(1, 0.3, rho=2.0, protocol="unsupervised").solve(0.14, branch="example")
    assert state.free_energy == pytest.approx(plain.free_energy / 0.7, abs=1e-14) and state.m == pytest.approx(plain.m)


def test_refusals():
    with pytest.raises(ParameterError, match="unsupervised"):
        example_state(law(2, 0.3, "supervised", rho=0.3), 0.1)
    with pytest.raises(NoSolution, match="n_examples = 1"):
        example_state(law(2, 0.3, r=0.3, n_examples=1), 0.1)
    with pytest.raises(NoSolution, match="highest of 26 temperatures where it exists is 0.[23]"):
        example_state(law(1, 0.3, rho=1.0), 0.5)
    with pytest.raises(ParameterError, match="followed"):
        example_state(law(2, 0.3, rho=0.3), 0.1, followed=3)
    with pytest.raises(ParameterError, match="columns at T = 0"):
        example_state(law(4, 0.3, r=0.3, n_examples=50), 0.0)
    with pytest.raises(NoSolution, match="stable for every rho from 1e-10 on"):
        parallel_threshold(2, 0.8, 0.1)
    with pytest.raises(NoSolution, match="unstable up to"):
        parallel_threshold(2, 0.0)
    for call in (lambda: parallel_threshold(2, 0.3, 0.9), lambda: example_crossing(1, 0.3, 0.9)):
        with pytest.raises(NoSolution, match="T_c"):
            call()
    with pytest.raises(ParameterError, match="exact"):
        parallel_threshold(2, 0.3, 0.0, r=0.3, exact=True)
    with pytest.raises(ParameterError, match="undecided"):
        example_crossing(2, 0.3, 0.0, r=0.3)
    with pytest.raises(ParameterError, match="m0"):
        one_step(law(2, 0.3, rho=0.3), [0.5])
    data = law(2, 0.3, rho=0.3)
    for wrong in (lambda: one_step(data, "all"), lambda: class_threshold(data, 0.2, m0=["a", 1]),
                  lambda: class_threshold(data, 0.2, column=[1, "x"])):
        with pytest.raises(ParameterError, match="= .* is not"):
            wrong()
    with pytest.raises(ParameterError, match="column"):
        class_threshold(law(2, 0.3, rho=0.3), 0.2, column=[0, 0])
