"""Phase boundaries against routes that share nothing with the code: closed forms in many digits, bordered systems."""

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, root

from hebb.errors import NoSolution
from hebb.theory import Dense

MIXTURES = {(3, "naive"): {3: 1.0, 1: 1.5}, (4, "naive"): {4: 1.0, 2: 3.0}, (6, "naive"): {6: 1.0, 4: 7.5, 2: 5.625}}


def mixture(p_body, hamiltonian):
    return MIXTURES.get((p_body, hamiltonian), {p_body: 1.0})


# ---- spinodal ----------------------------------------------------------------------------------------------

def zero_temperature_spinodal(p_body, hamiltonian="distinct"):
    """max_y gamma(y): P >= 3, gamma = P^2 erf(y)^(2P-2)/(4 y^2 g'(1)); P = 2, alpha = sigma^2 (1-C)^2. In 30 digits."""
    with mpmath.workdps(30):
        slope = sum(k * c for k, c in mixture(p_body, hamiltonian).items())

        def gamma(y):
            if p_body == 2:
                sigma = mpmath.erf(y) / (mpmath.sqrt(2) * y)
                C = mpmath.sqrt(2 / mpmath.pi) / sigma * mpmath.exp(-y * y)
                return sigma**2 * (1 - C) ** 2
            return p_body**2 * mpmath.erf(y) ** (2 * p_body - 2) / (4 * y**2 * slope)

        y = mpmath.findroot(lambda y: mpmath.diff(gamma, y), (0.7, 3), solver="anderson")
        return float(gamma(y)), float(mpmath.erf(y))


@pytest.mark.parametrize("p_body, hamiltonian, printed", [
    (2, "distinct", (0.1379055665, 0.9674171)), (3, "distinct", (0.3782856462, 0.8384823)),
    (4, "distinct", (0.3957202384, 0.9179219)), (6, "distinct", (0.4730386097, 0.9619872)), (3, "naive", None),
    (4, "naive", None), (6, "naive", None), (12, "distinct", None)])
def test_spinodal_at_zero_temperature(p_body, hamiltonian, printed):
    edge = Dense(p_body, hamiltonian=hamiltonian).spinodal(temperature=0.0)
    gamma, m = zero_temperature_spinodal(p_body, hamiltonian)
    assert abs(edge.gamma - gamma) < 1e-14 and abs(edge.solution.m - m) < 1e-12
    assert edge.converged and edge.residual < 1e-12
    if printed:
        assert round(edge.gamma, 10) == printed[0] and abs(edge.solution.m - printed[1]) < 6e-8


def panel_rule():
    """Gauss-Legendre, 12 points on each of 400 equal panels of [-9.5, 9.5]: good down to T/sigma = .02."""
    x, w = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(-9.5, 9.5, 401)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    z = (middle[:, None] + half[:, None] * x).ravel()
    return z, (half[:, None] * w).ravel() * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


Z, WEIGHT = panel_rule()


def equations(p_body, hamiltonian, n, q, gamma, temperature):
    """update - value of the pair (n, q); complex arguments allowed."""
    if p_body == 2:
        field = n + np.sqrt(gamma * q) / (1 - (1 - q) / temperature) * Z
    else:
        slope = sum(k * c * q ** (k - 1) for k, c in mixture(p_body, hamiltonian).items())
        field = p_body / 2 * n ** (p_body - 1) + np.sqrt(gamma / 2 * slope) * Z
    t = np.tanh(field / temperature)
    return WEIGHT @ t - n, WEIGHT @ t**2 - q


def bordered_fold(p_body, hamiltonian, temperature, start):
    """Solve equations = 0 and determinant of their Jacobian = 0 for (n, q, gamma); Jacobian by complex steps."""
    def system(unknown):
        n, q, gamma = unknown
        by_n = equations(p_body, hamiltonian, n + 1e-30j, q, gamma, temperature)
        by_q = equations(p_body, hamiltonian, n, q + 1e-30j, gamma, temperature)
        determinant = (by_n[0].imag * by_q[1].imag - by_n[1].imag * by_q[0].imag) / 1e-60
        return [by_n[0].real, by_n[1].real, determinant]

    found = root(system, start, tol=1e-14)
    assert np.max(np.abs(system(found.x))) < 1e-11
    return found.x


@pytest.mark.parametrize("p_body, hamiltonian, temperature, start, printed", [
    (4, "distinct", 0.1, (0.905, 0.95, 0.42), None), (4, "distinct", 0.2, (0.89, 0.92, 0.43), 0.435337),
    (4, "distinct", 0.3, (0.87, 0.87, 0.45), 0.4493), (4, "distinct", 0.5, (0.80, 0.70, 0.46), 0.4590877),
    (4, "distinct", 0.9, (0.80, 0.65, 0.12), None), (2, "distinct", 0.3, (0.93, 0.89, 0.10), None),
    (3, "distinct", 0.4, (0.69, 0.7, 0.46), None), (6, "distinct", 0.4, (0.93, 0.9, 0.52), None),
    (4, "naive", 0.3, (0.9, 0.85, 0.16), None), (3, "naive", 0.3, (0.8, 0.8, 0.25), None)])
def test_spinodal_at_finite_temperature(p_body, hamiltonian, temperature, start, printed):
    edge = Dense(p_body, hamiltonian=hamiltonian).spinodal(temperature)
    n, q, gamma = bordered_fold(p_body, hamiltonian, temperature, start)
    assert abs(edge.gamma - gamma) < 1e-12 and abs(edge.solution.n - n) < 1e-10 and abs(edge.solution.q - q) < 1e-10
    assert edge.converged and not edge.solution.stable
    if printed:
        assert round(gamma, len(str(printed)) - 2) == printed == round(edge.gamma, len(str(printed)) - 2)


def test_first_of_two_folds():
    """P = 3, T = .3: gamma(n) has a second maximum at small n, at a smaller load: the spinodal is the first one."""
    th = Dense(p_body=3)
    temperature, branch = 0.3, th.branches.retrieval
    low, high = branch.window(np.array([temperature]))
    n, _, _, gamma, determinant, _ = branch.follow(np.linspace(high[0], low[0], 2002)[1:-1], temperature)
    turns = np.flatnonzero(determinant[1:] * determinant[:-1] < 0)
    assert turns.size == 3
    edge = th.spinodal(temperature)
    assert n[turns[0] + 1] <= edge.solution.n <= n[turns[0]]
    assert np.all(np.diff(gamma[:turns[0]]) > 0) and np.max(gamma) <= edge.gamma
    second = th.spinodal(temperature, branch="retrieval_low")
    assert n[turns[2] + 1] <= second.solution.n <= n[turns[2]] and second.gamma < edge.gamma
    assert second.solution.replicon < 0


def test_spinodal_temperature_inverts_the_spinodal():
    """The highest temperature: the RS line of P = 4 is re-entrant, gamma = .43 is met twice."""
    th = Dense(p_body=4)
    for gamma in (1e-6, 0.01, 0.2, 0.3957, 0.43, 0.46024):
        edge = th.spinodal_temperature(gamma)
        assert edge.converged and edge.gamma == gamma
        assert abs(th.spinodal(edge.temperature).gamma - gamma) < 1e-13
        above = edge.temperature * (1 + 1e-6)
        assert above > th.spinodal_temperature(0.0).temperature or th.spinodal(above).gamma < gamma
    assert th.spinodal_temperature(0.43).temperature > 0.6
    with pytest.raises(NoSolution, match="reaches gamma = 0.46024"):
        th.spinodal_temperature(0.46025)


# ---- transition --------------------------------------------------------------------------------------------

def zero_temperature_transition(p_body):
    """Equal RS ground-state energies of retrieval and glass, P >= 3 distinct: both in closed form."""
    def energies(gamma):
        sigma = math.sqrt(gamma * p_body / 2)
        n = 1.0
        for _ in range(200):
            n = math.erf(p_body / 2 * n ** (p_body - 1) / (sigma * math.sqrt(2)))
        a = p_body / 2 * n ** (p_body - 1)
        absolute = sigma * math.sqrt(2 / math.pi) * math.exp(-a * a / (2 * sigma**2)) + a * n
        return (p_body - 1) / 2 * n**p_body - absolute, -sigma * math.sqrt(2 / math.pi)

    return brentq(lambda gamma: np.subtract(*energies(gamma)), 0.02, 0.37, xtol=1e-15)


@pytest.mark.parametrize("p_body, printed", [(3, 0.2663673173), (4, 0.1965439464), (6, 0.1308998013)])
def test_transition_at_zero_temperature(p_body, printed):
    edge = Dense(p_body).transition(temperature=0.0)
    assert abs(edge.gamma - zero_temperature_transition(p_body)) < 1e-12
    assert abs(edge.gamma - printed) < 1e-10 and edge.residual < 1e-13 and edge.converged
    assert edge.other.branch == "glass" and edge.other.gamma == edge.gamma


def test_transition_to_the_paramagnet_by_scipy():
    """P = 4, T = .5: f(retrieval) = -T ln 2 - gamma/4T with everything integrated by scipy's adaptive rule."""
    p_body, temperature = 4, 0.5

    def average(function, n, q, gamma):
        a, sigma = p_body / 2 * n ** (p_body - 1), math.sqrt(gamma * p_body / 2 * q ** (p_body - 1))
        return quad(lambda z: function((a + sigma * z) / temperature) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
                    -10, 10, epsabs=1e-13, epsrel=1e-13, points=[-a / sigma], limit=200)[0]

    def difference(gamma):
        n, q = root(lambda x: [average(np.tanh, *x, gamma) - x[0],
                               average(lambda v: np.tanh(v) ** 2, *x, gamma) - x[1]], (0.97, 0.95), tol=1e-13).x
        bracket = 1 - p_body * q ** (p_body - 1) + (p_body - 1) * q**p_body
        f = (p_body - 1) / 2 * n**p_body - gamma / (4 * temperature) * bracket
        f -= temperature * average(lambda v: np.logaddexp(v, -v), n, q, gamma)
        return f + temperature * math.log(2) + gamma / (4 * temperature)

    edge = Dense(p_body).transition(temperature)
    assert edge.other.branch == "paramagnet"
    assert abs(edge.gamma - brentq(difference, 0.2, 0.43, xtol=1e-13)) < 1e-11


def test_transition_temperature_inverts_the_transition():
    for p_body, loads in ((2, (1e-4, 0.02, 0.05)), (4, (0.01, 0.15, 0.3, 0.35))):
        th = Dense(p_body)
        for gamma in loads:
            edge = th.transition_temperature(gamma)
            assert edge.converged and edge.residual < 1e-10
            assert abs(th.transition(edge.temperature).gamma - gamma) < 1e-12


def test_transition_at_the_onset_of_the_glass():
    """P = 4 near T = .205: the RS glass appears below retrieval in free energy: the line follows its onset."""
    th = Dense(p_body=4)
    hits = 0
    for temperature in np.linspace(0.199, 0.209, 21):
        edge = th.transition(float(temperature))
        assert edge.converged and edge.residual < 1e-10
        onset = float(th.branches.glass.onset(temperature))
        if abs(edge.gamma - onset) < 1e-9:
            hits += 1
            assert th.solve(edge.gamma * (1 - 1e-6), temperature).free_energy < \
                th.solve(edge.gamma * (1 - 1e-6), temperature, branch="paramagnet").free_energy
            assert th.solve(edge.gamma * (1 + 1e-6), temperature).free_energy > \
                th.solve(edge.gamma * (1 + 1e-6), temperature, branch="glass").free_energy
    assert hits > 0


# ---- stability ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("p_body, hamiltonian, gamma", [
    (2, "distinct", 0.1), (2, "distinct", 0.13), (4, "distinct", 0.2), (4, "distinct", 0.38), (4, "distinct", 0.45),
    (3, "distinct", 0.3), (4, "naive", 0.15), (3, "naive", 0.25)])
def test_replicon_vanishes_on_the_at_line(p_body, hamiltonian, gamma):
    """The replicon once more by panels in u = h/T: E sech^4 = (T/sigma) integral du sech^4(u) phi((T u - A)/sigma)."""
    th = Dense(p_body, hamiltonian=hamiltonian)
    edge = th.at_line(gamma)
    s, T = edge.solution, edge.temperature
    assert edge.converged and edge.residual < 1e-9
    u = np.linspace(-20, 20, 4001)
    a = p_body / 2 * s.n ** (p_body - 1)
    g = mixture(p_body, hamiltonian)
    if p_body == 2:
        sigma = math.sqrt(gamma * s.q) / (1 - s.C)
    else:
        sigma = math.sqrt(gamma / 2 * sum(k * c * s.q ** (k - 1) for k, c in g.items()))
    density = np.exp(-((T * u - a) / sigma) ** 2 / 2) / math.sqrt(2 * math.pi)
    sech4 = T / sigma * (u[1] - u[0]) * np.sum(np.cosh(u) ** -4.0 * density)
    if p_body == 2:
        replicon = (1 - s.C) ** 2 - gamma * sech4 / T**2
    else:
        replicon = 1 - gamma / (2 * T**2) * sum(k * (k - 1) * c * s.q ** (k - 2) for k, c in g.items()) * sech4
    assert abs(replicon) < 1e-9
    assert th.solve(gamma, T * 1.01).stable and not th.solve(gamma, T * 0.99).stable


def test_at_line_at_small_load():
    """Exponentially low, T -> (gamma g''(1)/2) D(0); P = 4, gamma = .02: about 1e-21."""
    th = Dense(p_body=4)
    edge = th.at_line(0.02)
    sigma = math.sqrt(0.02 * 2)
    limit = 0.01 * 12 * 4 / 3 * math.exp(-2 / sigma**2) / (sigma * math.sqrt(2 * math.pi))
    assert edge.temperature == pytest.approx(limit, rel=1e-6) and edge.converged
    with pytest.raises(NoSolution, match="larger gamma"):
        th.at_line(1e-4)


@pytest.mark.parametrize("p_body", [3, 4, 6, 9])
def test_nishimori_line(p_body):
    """On T = gamma the retrieval state of a planted P-spin model has q = m, energy -1/2 and is RS stable; the spinodal
    has its largest load exactly there, where the replicon vanishes (Nishimori; distinct indices only)."""
    th = Dense(p_body)
    tip = th.branches.spinodal_line
    best = np.argmax(tip.gamma)
    assert tip.temperature[best] == pytest.approx(tip.gamma[best], abs=1e-7)
    for gamma in (0.05, 0.2, 0.3, 0.999 * tip.gamma[best]):
        s = th.solve(gamma, gamma)
        assert abs(s.m - s.q) < 1e-12 and abs(s.energy + 0.5) < 1e-13 and s.stable
    edge = th.spinodal(tip.gamma[best])
    assert abs(edge.gamma - tip.gamma[best]) < 1e-14 and abs(edge.solution.replicon) < 1e-7
    assert th.at_line(tip.gamma[best] - 1e-6).temperature == pytest.approx(tip.temperature[best], abs=2e-3)


def test_no_at_line_where_retrieval_is_unstable_wherever_it_exists():
    """P = 2 and naive P: the tip of the re-entrant spinodal lies below the AT line."""
    for th in (Dense(p_body=2), Dense(p_body=4, hamiltonian="naive")):
        gamma = th.branches.spinodal_line.gamma.max() - 1e-9
        with pytest.raises(NoSolution, match="is negative wherever"):
            th.at_line(gamma)


def test_replicon_on_the_spinodal():
    """P = 4, T = .5: stable up to the fold, replicon +.09."""
    assert Dense(p_body=4).spinodal(0.5).solution.replicon == pytest.approx(0.09, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
def test_spinodals_and_states_of_every_p(hamiltonian):
    """The first fold on a four times finer scan; solutions at 1200 random points of each P, some next to the fold."""
    rng = np.random.default_rng(11)
    for p_body in (3, 5, 8, 11, 15, 20):
        branches = Dense(p_body, hamiltonian=hamiltonian).branches
        top = branches.retrieval.start_temperature
        temperature = np.concatenate([[0.0], top * np.array([1e-6, 1e-3, 0.999]), 10.0 ** rng.uniform(-10, -1, 4),
                                      top * rng.uniform(0, 1, 16)])
        segments = branches.retrieval.segments(temperature)
        folds = segments.parts[0]
        low, high = branches.retrieval.window(temperature)
        y = low[:, None] + (high - low)[:, None] * (1 - (np.arange(512) + 0.5) / 512)
        points = branches.retrieval.follow(y, temperature[:, None])
        n, determinant = points.n.reshape(y.shape), points.determinant.reshape(y.shape)
        first = np.argmax(determinant <= 0, axis=1)
        rows = np.arange(temperature.size)
        assert np.all(n[rows, first] <= folds.n) and np.all(folds.n <= n[rows, first - 1]), p_body
        index = np.repeat(rows, 50)
        share = rng.random(index.size)
        share = np.where(rng.random(index.size) < 0.3, 1 - 10.0 ** rng.uniform(-8, -1, index.size), share)
        states = branches.states("retrieval", share * folds.gamma[index], temperature[index], segments.rows(index))
        assert np.all(states.residual < 1e-11) and np.all(states.shift < 1e-8) and np.all(states.extremum), p_body
        assert np.all(states.n >= folds.n[index])
