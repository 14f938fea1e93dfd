"""Dense networks with noisy datasets, replica symmetric: published numbers, and a free energy coded once more."""

import math
from functools import cache, reduce

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf
from scipy.stats import binom

from hebb.errors import NoSolution
from hebb.params import DenseLaw
from hebb.theory import Dense
from hebb.theory.dataset import Dataset
from hebb.theory.noise import noise_law


@cache
def theory(**keywords):
    return Dense(**keywords)


def f_n(n_spins):
    return (1 - 1 / n_spins) * (1 - 2 / n_spins) * (1 - 3 / n_spins)


M5, RHO = {"p_body": 4, "r": 0.5, "n_examples": 5}, {"p_body": 4, "rho": 0.1}
EXACT = {"r": 0.8, "n_examples": 10}
UNSUPERVISED = {"protocol": "unsupervised"}
# Each number was found by two independent codes, or (last block) by Monte Carlo. (keywords, arguments, values, error)
PUBLISHED = [
    (M5, (0.1, 0.5), {"m": 0.6641447068221524, "n": 0.6177172839624058, "q": 0.7023535785617144, "C": 0.5952928428765711,
                      "free_energy": -0.3670874983379743, "replicon": 0.7674777749691091}, 1e-10),
    (RHO, (0.1, 0.3), {"m": 0.9740174529827312, "n": 0.8988788495256527, "q": 0.9723072584035248,
                       "C": 0.09230913865491723, "free_energy": -0.41989369204963767, "replicon": 0.9038127710281527}, 1e-10),
    ({"p_body": 2} | EXACT, (0.03, 0.2), {"m": 0.98815, "n": 0.94236, "q": 0.98406}, 5.1e-6),
    (M5, (0.0, 0.5), {"m": 0.7116}, 5e-5), (M5, (0.2, 0.5), {"m": 0.5945}, 5e-5),
    ({"p_body": 4, "rho": 0.6}, (0.0, 0.5), {"m": 0.6943}, 5e-5),
    ({"p_body": 2, "r": 0.6, "n_examples": 20} | UNSUPERVISED, (0.02, 0.2),
     {"m": 0.9825, "n": 0.9943 / (1 + 0.64 / 7.2), "q": 0.9770}, 6e-5),
    ({"p_body": 2, "r": 0.5, "n_examples": 20} | UNSUPERVISED, (0.01, 0.2),
     {"m": 0.9603, "n": 0.9937 / (1 + 0.75 / 5), "q": 0.9567}, 6e-5),
    ({"p_body": 4, "r": 0.75, "n_examples": 8} | UNSUPERVISED, (0.02 / f_n(100), 0.35 / f_n(100)),
     {"m": 0.9683, "n": 0.9918 / (1 + 0.4375 / 4.5), "q": 0.9583}, 6e-5),
    ({"p_body": 4, "r": 0.75, "n_examples": 8} | UNSUPERVISED, (0.02 / f_n(140), 0.35 / f_n(140)), {"m": 0.9692}, 5e-5),
    ({"p_body": 4, "r": 0.8, "n_examples": 5}, (0.03 / f_n(120), 0.4 / f_n(120)), {"m": 0.956}, 5e-4),
    ({"p_body": 4, "r": 0.8, "n_examples": 5, "hamiltonian": "naive"}, (0.03 / f_n(120), 0.4 / f_n(120)), {"m": 0.942}, 5e-4),
    ({"p_body": 4, "r": 0.8, "n_examples": 5, "hamiltonian": "naive"}, (0.03, 0.4), {"m": 0.9455}, 5e-5),
]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: f"{entry[0]}-{entry[1]}")
def test_published_numbers(entry):
    keywords, point, values, error = entry
    solution = theory(**keywords).solve(*point)
    assert solution.converged
    for name, value in values.items():
        assert abs(reduce(getattr, name.split("."), solution) - value) <= error, name


@pytest.mark.parametrize("p_body, printed", [
    (2, (0.099149, 0.071541, 0.038760, 0.009069)), (4, (0.314909, 0.261157, 0.197406, 0.127462)),
    (6, (0.321335, 0.231327, 0.139648, 0.062843))])
def test_capacity_with_gaussian_datasets(p_body, printed):
    for rho, gamma in zip((0.05, 0.1, 0.2, 0.5), printed, strict=True):
        edge = theory(p_body=p_body, rho=rho).spinodal(0.0)
        assert edge.converged and abs(edge.gamma - gamma) < 5.1e-7


def test_capacity_with_few_examples():
    for r, n_examples, exact, gaussian in ((0.8, 10, 0.312914, 0.306978), (0.5, 20, 0.229530, 0.224029),
                                           (0.5, 50, 0.303504, 0.302409)):
        rho = (1 - r * r) / (n_examples * r * r)
        assert abs(theory(p_body=4, r=r, n_examples=n_examples).spinodal(0.0).gamma - exact) < 5.1e-7
        assert abs(theory(p_body=4, rho=rho).spinodal(0.0).gamma - gaussian) < 5.1e-7


def test_the_limit_of_many_examples_has_no_state_where_few_have_one():
    assert theory(**M5).solve(0.2, 0.5).converged
    with pytest.raises(NoSolution, match="ends at gamma = 0.134"):
        theory(p_body=4, rho=0.6).solve(0.2, 0.5)


# ---- the free energy, coded once more: u and z summed, q instead of C, the examples' covariance as a matrix ----

def law_of_u(law):
    """(u, weights): all values of u, a trapezoid in y for the limit of many examples."""
    if law.gaussian:
        y = np.linspace(-9, 9, 181)
        return 1 + math.sqrt(law.rho) * y, (y[1] - y[0]) * np.exp(-y * y / 2) / math.sqrt(2 * math.pi)
    k = np.arange(law.n_examples + 1)
    return (2 * k - law.n_examples) / (law.n_examples * law.r), binom.pmf(k, law.n_examples, (1 + law.r) / 2)


def examples_of(law):
    return (1 - law.r**2) / (law.rho * law.r**2) if law.gaussian else law.n_examples


@cache
def mixture(law):
    """Covariance of the noise as a list of its Taylor coefficients, from moments of Gaussian pairs.

    E[(z w)^P] - E[z^P]^2 of two overlaps of correlation c is a polynomial in c, fitted here; unsupervised, two examples
    of a pattern have c = r^2 q and one with itself c = q.
    """
    p = law.p_body
    if law.hamiltonian == "distinct":
        return np.array([0.0] * p + [1.0])
    x, w = np.polynomial.hermite_e.hermegauss(40)
    w = w / w.sum()
    c = np.cos(np.pi * (np.arange(p + 1) + 0.5) / (p + 1))
    moment = [np.sum(w[:, None] * w * (x[:, None] * (a * x[:, None] + math.sqrt(1 - a * a) * x)) ** p) for a in c]
    g = np.polynomial.Polynomial.fit(c, np.array(moment) - (w @ x**p) ** 2, p, domain=[-1, 1]).convert().coef
    g = np.where(np.abs(g) < 1e-9, 0, g) / math.factorial(p)
    if law.protocol == "unsupervised":
        M, r2 = examples_of(law), law.r**2
        g = g * (1 / M + (1 - 1 / M) * r2 ** np.arange(p + 1)) / (1 / M + (1 - 1 / M) * r2**p)
    return g


def log_2cosh(v):
    v = np.where(v.real < 0, -v, v)
    return v + np.log1p(np.exp(-2 * v))


STEP = 1 / 40
Z = STEP * np.arange(-380, 381)
WEIGHT = STEP * np.exp(-Z * Z / 2) / np.sqrt(2 * np.pi)


def by_trapezoid(function, u, weights):
    """E function(u, z)."""
    return weights @ function(u[:, None], Z) @ WEIGHT


def free_energy(law, nt, q, gamma, temperature, mean=by_trapezoid):
    """f(nt, q) with nt = n (1+rho); complex arguments allowed."""
    p, beta = law.p_body, 1 / temperature
    if law.protocol == "unsupervised" and p > 2:
        power = law.r ** (2 * p)
        kappa = (1 + (1 - power) / (examples_of(law) * power)) ** -0.5
    else:
        kappa = (1 + law.rho) ** (-p / 2)
    if p == 2:
        eigenvalues, counts = [1.0], [1.0]
        if law.protocol == "unsupervised" and law.gaussian:
            eigenvalues, counts = [1.0, law.rho / (1 + law.rho)], [1.0, examples_of(law) - 1]
        elif law.protocol == "unsupervised":
            covariance = law.r**2 + (1 - law.r**2) * np.eye(law.n_examples)
            eigenvalues = np.linalg.eigvalsh(covariance) / (law.n_examples * law.r**2 * (1 + law.rho))
            counts = np.ones(law.n_examples)
        R = law.r**2 * (1 + law.rho) if law.protocol == "unsupervised" else 1.0
        C, noise, width = beta * (1 - q), 1 / (2 * R), 0.0
        for x, count in zip(eigenvalues, counts, strict=True):
            noise = noise + count / 2 * (temperature * np.log(1 - x * C) - x * q / (1 - x * C))
            width = width + count * x * x * q / (1 - x * C) ** 2
        noise = gamma * (noise + width * C / 2)
        variance = gamma * width
    else:
        g = np.polynomial.Polynomial(mixture(law))
        noise = -beta * gamma / 4 * (g(1.0) - g(q) - (1 - q) * g.deriv()(q))
        variance = gamma / 2 * g.deriv()(q)
    a, sigma = p / 2 * kappa * nt ** (p - 1), np.sqrt(variance)
    condensed = (p - 1) / 2 * kappa * nt**p
    return condensed + noise - temperature * mean(lambda u, z: log_2cosh(beta * (a * u + sigma * z)), *law_of_u(law))


DATA = [{"r": 0.5, "n_examples": 5}, {"r": 0.3, "n_examples": 6}, {"r": 0.9, "n_examples": 2}, {"r": 0.8, "n_examples": 25},
        {"r": 0.6, "n_examples": 1}, {"rho": 0.05}, {"rho": 0.8}]


def laws():
    """All combinations of P, data, protocol and Hamiltonian."""
    for p_body in (2, 3, 4, 6):
        for data in DATA:
            for protocol in ("supervised", "unsupervised"):
                quality = {"r": 0.4} if protocol == "unsupervised" and "rho" in data else {}
                for hamiltonian in ("distinct", "naive") if p_body > 2 else ("distinct",):
                    yield {"p_body": p_body, "protocol": protocol, "hamiltonian": hamiltonian} | data | quality


LAWS = list(laws())


def test_update_is_the_gradient_of_the_free_energy():
    """df/dn = A'(n) (n - update), df/dC = (gamma/2) dv/dC (C - update) at random points off the saddle."""
    rng = np.random.default_rng(1)
    points = 0
    for keywords in LAWS:
        equations, law = theory(**keywords).branches.equations, DenseLaw.from_keywords(**keywords)
        for _ in range(3):
            gamma, temperature = rng.uniform(0.02, 0.6), rng.uniform(0.3, 1.2)
            C = rng.uniform(0.05, 0.8) if law.p_body == 2 else rng.uniform(0.02, 0.6) / temperature
            n, q = rng.uniform(0.2, 1) * equations.mean_size, 1 - temperature * C
            if q < 0.1:
                continue
            n_new, C_new = equations.update(n, C, gamma, temperature)
            variance_slope = gamma * equations.noise.variance_slope(C, temperature)
            f = free_energy(law, n, q, gamma, temperature)
            by_n = free_energy(law, n + 1e-30j, q, gamma, temperature).imag / 1e-30
            by_q = free_energy(law, n, q + 1e-30j, gamma, temperature).imag / 1e-30
            assert abs(f - equations.free_energy(n, C, gamma, temperature)) < 1e-12 * (1 + abs(f)), keywords
            expected = equations.amplitude_slope(n) * (n - n_new)
            assert abs(by_n - expected) < 1e-11 * (1 + abs(expected)), keywords
            expected = variance_slope / 2 * (C - C_new)
            assert abs(-temperature * by_q - expected) < 1e-10 * (1 + abs(variance_slope)), keywords
            points += 1
    assert points >= 200


def adaptive(function, u, weights):
    """E function(u, z) by scipy's adaptive rule, one u after the other."""
    def inner(x):
        return quad(lambda z: float(function(x, np.float64(z))) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -9, 9,
                    epsabs=1e-12, epsrel=1e-12, limit=300)[0]
    return sum(w * inner(x) for x, w in zip(u, weights, strict=True) if w > 1e-17)


@pytest.mark.parametrize("keywords, gamma, temperature", [
    ({"p_body": 4, "r": 0.5, "n_examples": 5}, 0.1, 0.2), ({"p_body": 2, "r": 0.8, "n_examples": 10}, 0.03, 0.1),
    ({"p_body": 2, "r": 0.6, "n_examples": 8, "protocol": "unsupervised"}, 0.02, 0.3),
    ({"p_body": 3, "r": 0.7, "n_examples": 6, "protocol": "unsupervised", "hamiltonian": "naive"}, 0.02, 0.2)])
def test_free_energy_by_adaptive_quadrature(keywords, gamma, temperature):
    """At the saddle, where its gradient by finite differences vanishes too."""
    th, law = theory(**keywords), DenseLaw.from_keywords(**keywords)
    s, h = th.solve(gamma, temperature), 1e-4
    nt = s.n * (1 + law.rho)

    def f(n, q):
        return free_energy(law, n, q, gamma, temperature, mean=adaptive)

    assert abs(f(nt, s.q) - s.free_energy) < 1e-11
    assert abs(f(nt + h, s.q) - f(nt - h, s.q)) / (2 * h) < 1e-6
    assert abs(f(nt, s.q + h) - f(nt, s.q - h)) / (2 * h) < 1e-6
    u, weights = law_of_u(law)
    g = np.polynomial.Polynomial(mixture(law)) if law.p_body > 2 else None
    if g is not None:
        sigma = math.sqrt(gamma / 2 * g.deriv()(s.q))
        a = law.p_body / 2 * law.signal * nt ** (law.p_body - 1)
        assert abs(adaptive(lambda x, z: np.tanh((a * x + sigma * z) / temperature), u, weights) - s.m) < 1e-11


@pytest.mark.parametrize("keywords", LAWS[::5], ids=str)
def test_entropy_and_limits_of_low_temperature(keywords):
    """s = -df/dT on retrieval and glass; T = 0 is the limit of low T."""
    th = theory(**keywords)
    top = th.spinodal_temperature(0.0).temperature
    temperature = 0.35 * top
    gamma, h = 0.5 * th.spinodal(temperature, branch="retrieval_high").gamma, 1e-3 * top
    s = th.solve(gamma, temperature)
    f = [th.solve(gamma, temperature + k * h).free_energy for k in (-2, -1, 1, 2)]
    assert abs(s.entropy + (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)) < 1e-7
    assert s.converged and s.energy == pytest.approx(s.free_energy + temperature * s.entropy, abs=1e-15)
    gamma = 0.7 * th.spinodal(0.0).gamma
    frozen = th.solve(gamma, 0.0)
    assert frozen.converged and frozen.q == 1.0 and not frozen.stable
    for share in (1e-3, 1e-5, 1e-8):
        cold = th.solve(gamma, share * top)
        assert cold.converged and abs(cold.n - frozen.n) < 20 * share and abs(cold.m - frozen.m) < 20 * share
        assert abs(cold.free_energy - frozen.free_energy + share * top * frozen.entropy) < 200 * share**2 + 1e-13


@pytest.mark.parametrize("p_body", [2, 3, 4, 6, 20])
@pytest.mark.parametrize("protocol", ["supervised", "unsupervised"])
def test_one_example_is_a_stored_pattern(p_body, protocol):
    """M = 1: m = r m0, n = r m0, q = q0, f = f0, in every state and on every line."""
    r, th = 0.6, theory(p_body=p_body, r=0.6, n_examples=1, protocol=protocol)
    clean = theory(p_body=p_body)
    for temperature in (0.0, 0.3, 0.6):
        edge, stored = th.spinodal(temperature), clean.spinodal(temperature)
        assert abs(edge.gamma - stored.gamma) < 1e-13
        for share in (0.0, 0.3, 0.9):
            s, s0 = th.solve(share * stored.gamma, temperature), clean.solve(share * stored.gamma, temperature)
            assert abs(s.m - r * s0.m) < 1e-13 and abs(s.n - r * s0.n) < 1e-13 and abs(s.q - s0.q) < 1e-13
            assert abs(s.free_energy - s0.free_energy) < 1e-13 and abs(s.entropy - s0.entropy) < 1e-12
    assert abs(th.transition(0.3).gamma - clean.transition(0.3).gamma) < 1e-12
    assert abs(th.spinodal_temperature(0.0).temperature - clean.spinodal_temperature(0.0).temperature) < 1e-13


@pytest.mark.parametrize("protocol", ["supervised", "unsupervised"])
def test_many_examples_approach_their_limit(protocol):
    """At fixed rho the difference falls like 1/M; with rho -> 0 storage is left."""
    rho, differences = 0.2, []
    for n_examples in (100, 400):
        r = 1 / math.sqrt(1 + n_examples * rho)
        limit = {"rho": rho} | ({"r": r} if protocol == "unsupervised" else {})
        loads = [theory(p_body=2, protocol=protocol, **data).spinodal(0.2).gamma
                 for data in ({"r": r, "n_examples": n_examples}, limit)]
        differences.append(abs(loads[0] / loads[1] - 1))
    assert differences[1] < 0.35 * differences[0] < 0.01
    for p_body in (2, 4):
        limit = {"rho": 0.0, "r": 0.5} if protocol == "unsupervised" else {"rho": 1e-9}
        for keywords in ({"r": 0.5, "n_examples": 10**7}, limit):
            edge = theory(p_body=p_body, protocol=protocol, **keywords).spinodal(0.2)
            assert edge.gamma == pytest.approx(theory(p_body=p_body).spinodal(0.2).gamma, rel=2e-4)


def test_law_of_u():
    """Moments exact for few and for thinned sums of many examples; |u| and its bias by direct summation."""
    for r, n_examples in ((0.5, 1), (0.3, 2), (0.5, 5), (0.2, 60), (0.9999, 3), (0.05, 5000), (0.01, 10**9)):
        law = DenseLaw.from_keywords(4, r=r, n_examples=n_examples)
        data = Dataset.of(law)
        assert data.weights.sum() == pytest.approx(1, abs=1e-13) and data.bias @ data.sizes == pytest.approx(1, abs=1e-12)
        assert data.second_moment == pytest.approx(1 + law.rho, rel=1e-12)
        if n_examples <= 60:
            u, weights = law_of_u(law)
            assert data.mean_size == pytest.approx(weights @ abs(u), abs=1e-14)
            assert data.bias.sum() == pytest.approx(weights @ np.sign(u), abs=1e-14)
            assert data.undecided == pytest.approx(weights[u == 0].sum(), abs=1e-15)
    gaussian = Dataset.of(DenseLaw.from_keywords(4, rho=0.3))
    x = 1 / math.sqrt(0.6)
    assert gaussian.mean_size == pytest.approx(erf(x) + math.exp(-x * x) / (x * math.sqrt(math.pi)), abs=1e-15)


# ---- lines -------------------------------------------------------------------------------------------------

SOME = [{"p_body": 4, "r": 0.5, "n_examples": 5}, {"p_body": 2, "r": 0.8, "n_examples": 10, "protocol": "unsupervised"},
        {"p_body": 3, "rho": 0.1}, {"p_body": 4, "r": 0.9, "n_examples": 6, "protocol": "unsupervised", "hamiltonian": "naive"},
        {"p_body": 2, "rho": 0.2, "r": 0.3, "protocol": "unsupervised"}]


@pytest.mark.parametrize("keywords", SOME, ids=str)
def test_hessian_is_singular_on_the_spinodal(keywords):
    """Determinant of the Hessian of the other free energy, relative to its size, along the branch and on its end."""
    th, law = theory(**keywords), DenseLaw.from_keywords(**keywords)
    temperature, h = 0.35 * th.spinodal_temperature(0.0).temperature, 1e-30
    edge = th.spinodal(temperature)
    assert edge.converged

    def determinant(s):
        nt, q, d = s.n * (1 + law.rho), s.q, 1e-5

        def gradient(n, q):
            return np.array([free_energy(law, n + 1j * h, q, s.gamma, temperature).imag,
                             free_energy(law, n, q + 1j * h, s.gamma, temperature).imag]) / h
        by_n = (gradient(nt + d, q) - gradient(nt - d, q)) / (2 * d)
        by_q = (gradient(nt, q + d) - gradient(nt, q - d)) / (2 * d)
        return (by_n[0] * by_q[1] - by_n[1] * by_q[0]) / (abs(by_n[0] * by_q[1]) + abs(by_n[1] * by_q[0]))

    assert abs(determinant(edge.solution)) < 1e-6
    inside = th.solve(0.9 * edge.gamma, temperature)
    assert abs(determinant(inside)) > 0.1 and inside.m > edge.solution.m
    with pytest.raises(NoSolution, match="ends at gamma"):
        th.solve(edge.gamma * (1 + 1e-9), temperature)


@pytest.mark.parametrize("keywords", [{"r": 0.5, "n_examples": 5}, {"r": 0.3, "n_examples": 8}, {"rho": 0.7},
                                      {"r": 0.6, "n_examples": 4, "protocol": "unsupervised"}], ids=str)
def test_without_load(keywords):
    """P = 2: T_c = 1 for every dataset. P = 4: T_spin = max A(n)/v, and T_thermo, from sums over all u."""
    assert theory(p_body=2, **keywords).spinodal_temperature(0.0).temperature == 1.0
    assert theory(p_body=2, **keywords).solve(0.0, 0.999).m > 0
    th, law = theory(p_body=4, **keywords), DenseLaw.from_keywords(4, **keywords)
    u, weights = law_of_u(law)
    v = np.linspace(0.05, 12, 40001)
    n = np.concatenate([weights @ (u[:, None] * np.tanh(u[:, None] * part)) for part in np.array_split(v, 40)])
    line = 2 * law.signal * n**3 / v
    edge = th.spinodal_temperature(0.0)
    assert edge.converged and edge.temperature == pytest.approx(line.max(), abs=1e-7)
    crossing = th.transition_temperature(0.0)
    s, T = crossing.solution, crossing.temperature
    assert crossing.converged and 0.5 * edge.temperature < T < edge.temperature
    nt = s.n * (1 + law.rho)
    f = 1.5 * law.signal * nt**4 - T * (weights @ log_2cosh(2 * law.signal * nt**3 * u / T))
    assert abs(f + T * math.log(2)) < 1e-12 and abs(f - s.free_energy) < 1e-12


def test_noise_of_unsupervised_naive_examples():
    law = DenseLaw.from_keywords(4, r=0.5, n_examples=3, protocol="unsupervised", hamiltonian="naive")
    np.testing.assert_allclose(noise_law(law).covariance, mixture(law), atol=1e-9)
    supervised = DenseLaw.from_keywords(4, r=0.5, n_examples=3, hamiltonian="naive")
    assert noise_law(supervised).covariance == (0, 0, 3, 0, 1)
