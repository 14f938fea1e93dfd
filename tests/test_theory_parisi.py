"""k steps of replica symmetry breaking: the functional against independent sums, its gradient, limits, published numbers."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad

from hebb.params import DenseLaw
from hebb.theory.noise import MixtureNoise
from hebb.theory.parisi import Parisi, Point
from hebb.theory.replica_symmetric import ReplicaSymmetric

LAWS = {
    "hopfield": {"p_body": 2},
    "hopfield-M6": {"p_body": 2, "r": 0.7, "n_examples": 6},
    "hopfield-unsupervised": {"p_body": 2, "r": 0.7, "n_examples": 6, "protocol": "unsupervised"},
    "hopfield-rho": {"p_body": 2, "rho": 0.1},
    "p3": {"p_body": 3},
    "p3-naive": {"p_body": 3, "hamiltonian": "naive"},
    "p3-M5": {"p_body": 3, "r": 0.6, "n_examples": 5},
    "p4-naive": {"p_body": 4, "hamiltonian": "naive"},
    "p4-rho": {"p_body": 4, "rho": 0.2},
    "p4-unsupervised": {"p_body": 4, "r": 0.8, "n_examples": 4, "protocol": "unsupervised"},
    "p6": {"p_body": 6},
}
TEMPERATURES = (0.0, 0.03, 0.4, 1.5)


@cache
def parisi(name, steps):
    return Parisi(DenseLaw.from_keywords(**LAWS[name]), steps)


SK = MixtureNoise((0.0, 0.0, 1.0))


def random_point(rng, steps, temperature):
    """An ordered point off the saddles whose response C + sum x (q_j - q_{j-1}) is at most 0.6."""
    C = min(rng.uniform(0.05, 0.4), 0.3 / max(temperature, 1e-9))
    q = (1 - temperature * C) * np.sort(rng.uniform(0.1, 0.9, steps)) * (1 - 0.05 * np.arange(steps, 0, -1))
    x = np.cumsum(rng.uniform(0.2, 1.0, steps))
    x /= max(1.0, x @ np.diff(np.append(q, 1 - temperature * C)) / (0.6 - C))
    return Point.of(rng.uniform(0.3, 0.95), q, C, x, rng.uniform(0.1, 0.6), temperature)


# ---- the functional ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("name", LAWS)
def test_gradient_is_the_derivative_of_the_free_energy(name, steps):
    engine, rng, unknowns = parisi(name, steps), np.random.default_rng(steps), 2 * steps + 2
    for temperature in TEMPERATURES:
        for _ in range(2):
            point = random_point(rng, steps, temperature)
            table = point.columns()
            size = 1e-3 * np.maximum(0.05, np.append(np.diff(point.overlaps[0]).min(initial=1.0), point.C[0]).min())
            moves = np.multiply.outer([-2, -1, 1, 2], size * np.eye(unknowns, table.shape[1])).reshape(-1, table.shape[1])
            f = engine.evaluate(Point.from_columns(table + moves)).free_energy.reshape(4, unknowns)
            numerical = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * size)
            analytic = engine.gradient(point, engine.evaluate(point))[0]
            assert np.abs(numerical - analytic).max() < 3e-10 * max(1, np.abs(analytic).max()), (temperature, table)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", LAWS)
def test_finer_quadrature_changes_nothing(name, steps):
    engine, rng = parisi(name, steps), np.random.default_rng(10 + steps)
    for temperature in (*TEMPERATURES, 1e-4):
        point = random_point(rng, steps, temperature)
        for coarse, fine in zip(engine.evaluate(point), engine.evaluate(point, finer=True), strict=True):
            assert coarse == pytest.approx(fine, abs=2e-13, rel=2e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", LAWS)
def test_without_steps_it_is_the_replica_symmetric_theory(name, temperature):
    engine, rng = parisi(name, 0), np.random.default_rng(3)
    equations = ReplicaSymmetric(engine.law)
    for _ in range(5):
        point = random_point(rng, 0, temperature)
        values = engine.evaluate(point)
        arguments = point.nt, point.C, point.gamma, point.temperature
        nt, C = equations.update(*arguments)
        assert values.free_energy == pytest.approx(equations.free_energy(*arguments), rel=1e-13)
        assert values.nt == pytest.approx(nt, rel=1e-12) and values.C == pytest.approx(C, rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", LAWS)
def test_a_level_between_equal_breaking_points_does_not_matter(name, temperature):
    """f does not depend on q_1 if x_1 = x_2, and is then that of one step less."""
    rng = np.random.default_rng(4)
    one = random_point(rng, 1, temperature)
    expected = parisi(name, 1).evaluate(one)
    q0, q1 = one.overlaps[0]
    for share in (0.2, 0.7):
        inserted = Point.of(one.nt, [q0, q0 + share * (q1 - q0)], one.C, np.repeat(one.x[0], 2), one.gamma, temperature)
        values = parisi(name, 2).evaluate(inserted)
        assert values.free_energy == pytest.approx(expected.free_energy, rel=1e-12)
        assert values.nt == pytest.approx(expected.nt, rel=1e-11) and values.C == pytest.approx(expected.C, rel=1e-11)
        assert values.Q[:, [0, 2]] == pytest.approx(expected.Q, rel=1e-11)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["hopfield", "p3", "p4-naive", "p6"])
def test_equal_overlaps_make_a_step_vanish(name, steps):
    """As q_1 -> q_0 the first step disappears, linearly: the first x no longer matters."""
    rng = np.random.default_rng(5)
    point = random_point(rng, steps - 1, 0.4)
    q = point.overlaps[0]
    expected = parisi(name, steps - 1).evaluate(point).free_energy
    small = point.x[0, 0] / 2 if steps > 1 else 0.7
    gaps = np.array([1e-4, 2e-4])
    merged = Point.of(point.nt, np.stack([np.concatenate([[q[0] - gap], q[:-1]]) for gap in gaps]), point.C,
                      np.concatenate([[small], point.x[0]]), point.gamma, 0.4)
    f = parisi(name, steps).evaluate(merged).free_energy
    assert 2 * f[0] - f[1] == pytest.approx(expected[0], abs=1e-7)
    assert abs(f[1] - f[0]) > 1e-8


@pytest.mark.parametrize("name", ["hopfield-M6", "p3", "p4-naive"])
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_one_step_against_nested_adaptive_quadrature(name, temperature):
    engine, data = parisi(name, 1), parisi(name, 1).dataset
    point = random_point(np.random.default_rng(6), 1, temperature)
    nt, gamma, x, C = point.nt[0], point.gamma[0], point.x[0, 0], point.C[0]
    q0, q1 = point.overlaps[0]
    p, kappa = engine.law.p_body, engine.law.signal
    if p == 2:
        outer = 1 - C
        inner = outer - x * (q1 - q0)
        r0 = q0 / inner**2
        r1 = r0 + (q1 - q0) / (outer * inner)
        noise = (1 + temperature * math.log(outer) + math.log(inner / outer) / x - q0 / inner + C * r1
                 + x * (r1 * q1 - r0 * q0)) / 2
    else:
        g = np.polynomial.Polynomial(engine.noise.covariance)
        r0, r1 = g.deriv()(q0) / 2, g.deriv()(q1) / 2
        noise = x / 4 * (q1 * g.deriv()(q1) - g(q1) - q0 * g.deriv()(q0) + g(q0))
        if temperature:
            noise -= (g(1) - g(q1) - (1 - q1) * g.deriv()(q1)) / (4 * temperature)
    s0, s1 = math.sqrt(gamma * r0), math.sqrt(gamma * (r1 - r0))

    def free(h):
        return abs(h) + temperature * math.log1p(math.exp(-2 * abs(h) / temperature)) if temperature else abs(h)

    def average(function, centre, sigma):
        total = 0.0
        ends = sorted({centre - 12 * sigma, *(h for h in (-1.0, -0.3, 0.0, 0.3, 1.0) if abs(h - centre) < 12 * sigma),
                       centre, centre + 12 * sigma})
        for low, high in zip(ends, ends[1:], strict=False):
            total += quad(lambda h: function(h) * math.exp(-(((h - centre) / sigma) ** 2) / 2), low, high,
                          epsabs=1e-13, epsrel=1e-12)[0]
        return total / (sigma * math.sqrt(2 * math.pi))

    def outer_free(h):
        return math.log(average(lambda field: math.exp(x * free(field)), h, s1)) / x

    signal = p / 2 * kappa * nt ** (p - 1)
    spin = sum(w * average(outer_free, signal * u, s0) for u, w in zip(data.sizes, data.weights, strict=True))
    expected = (p - 1) / 2 * kappa * nt**p + gamma * noise - spin
    assert engine.evaluate(point).free_energy[0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("p_body", [2, 3, 4])
def test_one_example_is_the_stored_pattern(p_body, steps):
    """With M = 1 the example takes the place of the pattern: nt = n/r and nothing else changes."""
    clean = Parisi(DenseLaw.from_keywords(p_body), steps)
    noisy = Parisi(DenseLaw.from_keywords(p_body, r=0.6, n_examples=1), steps)
    point = random_point(np.random.default_rng(7), steps, 0.3)
    one, other = clean.evaluate(point), noisy.evaluate(point._replace(nt=point.nt / 0.6))
    assert one.free_energy == pytest.approx(other.free_energy, rel=1e-13)
    assert one.nt == pytest.approx(0.6 * other.nt, rel=1e-12) and 0.6 * one.m == pytest.approx(other.m, rel=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_the_limit_of_zero_temperature_is_regular(name):
    """f(T) at fixed C and x approaches f(0) linearly in T."""
    point = random_point(np.random.default_rng(8), 2, 0.0)
    engine = parisi(name, 2)
    f = [engine.evaluate(point._replace(temperature=np.array([T]))).free_energy[0] for T in (0.0, 1e-6, 2e-6, 1e-200)]
    assert f[3] == pytest.approx(f[0], abs=1e-15)
    assert 2 * f[1] - f[2] == pytest.approx(f[0], abs=1e-10) and abs(f[1] - f[0]) < 1e-5


# ---- saddle points -------------------------------------------------------------------------------------------------------


def glass(noise_or_p, start, temperature=0.0):
    """Saddle of the pure glass at gamma = 1 from (q, C, x)."""
    law, noise = (DenseLaw(2), noise_or_p) if isinstance(noise_or_p, MixtureNoise) else (DenseLaw(noise_or_p), None)
    q, C, x = start
    engine = Parisi(law, len(x), noise=noise)
    saddle = engine.solve(Point.of(0.0, q, C, x, 1.0, temperature))
    assert saddle.residual[0] < 1e-13 and saddle.shift[0] < 1e-9 and not saddle.collapsed[0]
    assert saddle.gradient[0] < 1e-12
    return saddle


def test_sherrington_kirkpatrick():
    rs = Parisi(DenseLaw(2), 0, noise=SK).solve(Point.of(0.0, [], 0.5, [], 1.0, 0.0))
    assert rs.free_energy[0] == pytest.approx(-math.sqrt(2 / math.pi), abs=1e-15)
    one = glass(SK, ([0.47], 0.4, [1.2]))
    assert one.free_energy[0] == pytest.approx(-0.7652594347, abs=5e-11)
    assert one.q[0, 0] == pytest.approx(0.476784, abs=5e-7)


@pytest.mark.parametrize(("p_body", "energy"), [(3, -0.8135349640), (4, -0.8254705422), (6, -0.8312755196)])
def test_glass_of_p_spins(p_body, energy):
    saddle = glass(p_body, ([0.0], 0.08, [1.4]))
    assert saddle.free_energy[0] == pytest.approx(energy, abs=5e-11)
    if p_body == 3:
        assert saddle.point.C[0] == pytest.approx(0.08116864508733143, rel=1e-12)
        assert saddle.point.x[0, 0] == pytest.approx(1.3835639927064687, rel=1e-12)


def test_capacity_of_the_hopfield_network():
    """One step of breaking at T = 0 near the fold, with n as control parameter and the load as unknown."""
    engine = parisi("hopfield", 1)
    nt = 0.966778 + np.array([-2e-4, 0.0, 2e-4])
    saddle = engine.solve(Point.of(nt, [[0.99]], 0.1, [[15.0]], 0.137, 0.0), equations=("nt", "q0", "C", "x1"),
                          unknowns=("gamma", "q0", "C", "x1"))
    assert saddle.residual.max() < 1e-13 and saddle.shift.max() < 1e-9
    alpha = saddle.point.gamma
    top = np.polynomial.Polynomial.fit(nt, alpha, 2)
    best = top.deriv().roots()[0]
    assert top(best) == pytest.approx(0.1381864896, abs=5e-11) and best == pytest.approx(0.966778, abs=2e-6)
    assert saddle.q[1, 0] == pytest.approx(0.996488, abs=2e-6) and saddle.point.x[1, 0] == pytest.approx(36.784, abs=2e-3)


def test_ground_states_of_the_hopfield_network_cross():
    """T = 0: retrieval (replica symmetric) and the one-step glass have equal energies at alpha = 0.0561416114."""
    alpha = 0.0561416114
    retrieval = parisi("hopfield", 0).solve(Point.of(1.0, [], 0.001, [], alpha, 0.0))
    one = parisi("hopfield", 1).solve(Point.of(0.0, [[0.6]], 0.6, [[0.5]], alpha, 0.0))
    assert max(one.residual[0], retrieval.residual[0]) < 1e-13 and not one.collapsed[0]
    assert one.free_energy[0] == pytest.approx(retrieval.free_energy[0], abs=1e-10)                 # alpha has ten digits


def test_retrieval_of_four_body_patterns_at_zero_temperature():
    engine = parisi_storage(4)
    nt = 0.8182772 + np.array([-2e-3, 0.0, 2e-3])
    saddle = engine.solve(Point.of(nt, [[0.9]], 0.07, [[2.5]], 0.45, 0.0), equations=("nt", "q0", "C", "x1"),
                          unknowns=("gamma", "q0", "C", "x1"))
    assert saddle.point.gamma[1] == pytest.approx(0.4583434668, abs=5e-11)
    assert saddle.point.gamma[1] > max(saddle.point.gamma[[0, 2]])


@cache
def parisi_storage(p_body, steps=1):
    return Parisi(DenseLaw(p_body), steps)


@pytest.mark.parametrize("temperature", [0.01, 0.2, 0.3])
def test_entropy_is_the_temperature_derivative_along_saddles(temperature):
    engine, step = parisi_storage(4), 1e-3
    around = temperature + step * np.array([-2, -1, 0, 1, 2])
    saddle = engine.solve(Point.of(0.883, [[0.909]], 0.1, [[2.2]], 0.45, around))
    assert saddle.residual.max() < 1e-12 and not saddle.collapsed.any()
    f = saddle.free_energy
    assert -(f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * step) == pytest.approx(saddle.entropy[2], abs=1e-9)
    assert saddle.energy == pytest.approx(f + around * saddle.entropy, rel=1e-15)


def test_hopfield_entropy_is_the_temperature_derivative_along_saddles():
    engine, step = parisi("hopfield-unsupervised", 1), 1e-3
    around = 0.3 + step * np.array([-2, -1, 0, 1, 2])
    saddle = engine.solve(Point.of(0.0, [[0.4]], 0.4, [[0.3]], 0.5, around))
    assert saddle.residual.max() < 1e-12 and not saddle.collapsed.any()
    f = saddle.free_energy
    assert -(f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * step) == pytest.approx(saddle.entropy[2], abs=1e-9)


def test_complexity_is_the_legendre_transform_over_x():
    """With x prescribed: Sigma = x (f_states - f), f_states = d(x f)/dx, and dSigma/df_states = x; Sigma = 0 at equilibrium."""
    engine, T, step = parisi_storage(3), 0.3, 1e-3
    x = 1.2 + step * np.array([-2, -1, 0, 1, 2])
    names = ("C",)
    saddle = engine.solve(Point.of(0.0, [[0.0]], 0.146, x[:, None], 1.0, T), equations=names, unknowns=names)
    assert saddle.residual.max() < 1e-13
    xf, sigma = x * saddle.free_energy, saddle.complexity
    states = (xf[0] - 8 * xf[1] + 8 * xf[3] - xf[4]) / (12 * step)
    assert sigma[2] == pytest.approx(x[2] * (states - saddle.free_energy[2]), abs=1e-9)
    own = saddle.free_energy + sigma / x
    assert (sigma[3] - sigma[1]) / (own[3] - own[1]) == pytest.approx(x[2], rel=1e-5)
    assert sigma[2] > 0 > engine.solve(Point.of(0.0, [[0.0]], 0.146, [[1.5]], 1.0, T), equations=names,
                                       unknowns=names).complexity[0]


@pytest.mark.parametrize("name", ["hopfield", "hopfield-unsupervised", "p3-naive", "p4-rho"])
def test_replicon_decides_whether_the_innermost_level_splits(name):
    """Two levels a gap apart: E <tanh>^2 differs between them by (1 - replicon) times the gap (P = 2: over (1-C)^2)."""
    one = random_point(np.random.default_rng(9), 1, 0.5)
    engine, values = parisi(name, 1), parisi(name, 1).evaluate(one)
    quiet, drop = engine.noise.replicon_parts(one.C, 0.5, one.gamma, values.D)
    expected = (quiet - drop / 0.5) / quiet
    gaps = np.array([1e-4, 2e-4])
    q0, q1 = one.overlaps[0]
    split = Point.of(one.nt, [[q0, q1 - gap] for gap in gaps], one.C, [one.x[0, 0], 1.5], one.gamma, 0.5)
    ratio = np.diff(parisi(name, 2).evaluate(split).Q, axis=1)[:, 1] / gaps
    assert 1 - (2 * ratio[0] - ratio[1]) == pytest.approx(expected[0], abs=1e-6)


def test_many_points_at_once_are_each_what_they_are_alone():
    engine = parisi_storage(4)
    start = Point.of(0.88, [[0.9]], 0.09, [[2.2]], [0.44, 0.45, 0.455], [0.0, 0.1, 0.2])
    together = engine.solve(start)
    assert together.residual.max() < 1e-13
    for row in range(3):
        alone = engine.solve(start.rows([row]))
        for field in ("q", "free_energy", "n", "entropy", "replicon"):
            assert getattr(together, field)[row] == pytest.approx(getattr(alone, field)[0], abs=1e-11)


def test_collapse_and_bad_starts_are_reported():
    """P = 4 at T = 0.45 has replica-symmetric retrieval only; a point outside the domain stays NaN."""
    lost = parisi_storage(4).solve(Point.of(0.88, [[0.80]], 0.25, [[1.7]], 0.45, 0.45))
    assert lost.collapsed[0] or not lost.residual[0] < 1e-9
    outside = parisi_storage(4).solve(Point.of(0.88, [[0.9]], 0.5, [[1.7]], 0.45, 0.45))
    assert np.isnan(outside.residual[0]) and np.isnan(outside.free_energy[0])
