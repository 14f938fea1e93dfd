"""One step of replica symmetry breaking, states: anchors, derivatives of f, limits, where branches begin and end."""

import math
from functools import cache, reduce

import numpy as np
import pytest

from hebb.errors import NoSolution, ParameterError
from hebb.params import DenseLaw
from hebb.theory import Dense
from hebb.theory.parisi import Parisi, Point


@cache
def theory(p_body, hamiltonian="distinct"):
    return Dense(p_body, hamiltonian=hamiltonian)


# ---- numbers ---------------------------------------------------------------------------------------------------------

GLASS, STEP = {"gamma": 1.0, "temperature": 0.0, "ansatz": "1RSB", "branch": "glass"}, {"ansatz": "1RSB"}
PUBLISHED = [
    (3, "solve", GLASS, "free_energy", -0.8135349639842313, 1e-10),
    (3, "solve", GLASS, "breaking_slope", 1.3835639927064687, 2e-9),
    (3, "solve", GLASS, "C", 0.08116864508733143, 1e-10),
    (4, "solve", GLASS, "free_energy", -0.8254705422, 1e-10),
    (6, "solve", GLASS, "free_energy", -0.8312755196, 1e-10),
    (3, "glass_temperature", {"gamma": 1.0, "kind": "static"}, "temperature", 0.6513852269359217, 1e-9),
    (3, "glass_temperature", {"gamma": 1.0, "kind": "static"}, "solution.q1", 0.8135175760877745, 1e-7),
    (3, "glass_temperature", {"gamma": 1.0, "kind": "dynamic"}, "temperature", 0.6815980405760867, 1e-9),
    (3, "glass_temperature", {"gamma": 1.0, "kind": "dynamic"}, "solution.q1", 0.6431435989747554, 1e-7),
    (3, "glass_temperature", {"gamma": 1.0, "kind": "gardner"}, "temperature", 0.2402600364, 1e-9),
    (4, "glass_temperature", {"gamma": 1.0, "kind": "static"}, "q1", 0.9480882725, 1e-9),
    (4, "glass_temperature", {"gamma": 1.0, "kind": "static"}, "temperature", 0.6168832895, 1e-9),
    (4, "glass_temperature", {"gamma": 1.0, "kind": "dynamic"}, "temperature", 0.6784110549, 1e-9),
    (6, "glass_temperature", {"gamma": 1.0, "kind": "static"}, "temperature", 0.6032958112, 1e-9),
    (6, "glass_temperature", {"gamma": 1.0, "kind": "dynamic"}, "temperature", 0.7274755742, 1e-9),
    (2, "spinodal", {"temperature": 0.0, **STEP}, "gamma", 0.1381864896, 1e-10),
    (2, "spinodal", {"temperature": 0.0, **STEP}, "solution.m", 0.966778, 1e-6),
    (2, "spinodal", {"temperature": 0.0, **STEP}, "solution.q0", 0.996488, 1e-6),
    (2, "spinodal", {"temperature": 0.0, **STEP}, "solution.breaking_slope", 36.7840, 1e-4),
    (3, "spinodal", {"temperature": 0.0, **STEP}, "gamma", 0.4612117870, 1e-10),
    (3, "spinodal", {"temperature": 0.0, **STEP}, "solution.m", 0.6507714, 1e-6),
    (4, "spinodal", {"temperature": 0.0, **STEP}, "gamma", 0.4583434668, 1e-10),
    (4, "spinodal", {"temperature": 0.0, **STEP}, "solution.m", 0.8182772, 1e-6),
    (6, "spinodal", {"temperature": 0.0, **STEP}, "gamma", 0.5277083495, 1e-10),
    (4, "spinodal", {"temperature": 0.1, **STEP}, "gamma", 0.45952, 5e-6),
    (4, "spinodal", {"temperature": 0.2, **STEP}, "gamma", 0.46004, 5e-6),
    (4, "spinodal", {"temperature": 0.3, **STEP}, "gamma", 0.46020, 5e-6),
    (4, "spinodal", {"temperature": 0.4, **STEP}, "gamma", 0.46023, 5e-6),
    (4, "spinodal", {"temperature": 0.5, **STEP}, "gamma", 0.45908774, 1e-8),
    (2, "transition", {"temperature": 0.0, **STEP}, "gamma", 0.0561416114, 1e-10),
    (4, "transition", {"temperature": 0.0, **STEP}, "gamma", 0.3797873392, 1e-10),
    (4, "solve", {"gamma": 0.35, "temperature": 0.0, **STEP}, "breaking_slope", 8.70, 5e-3),
    (4, "solve", {"gamma": 0.35, "temperature": 0.025, **STEP}, "breaking_slope", 7.35, 5e-3),
    (4, "solve", {"gamma": 0.35, "temperature": 0.1, **STEP}, "breaking_slope", 4.90, 5e-3),
]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: f"P{e[0]}-{e[1]}-{e[3]}-{list(e[2].values())[:2]}")
def test_published_numbers(entry):
    p_body, method, arguments, attribute, value, error = entry
    result = getattr(theory(p_body), method)(**arguments)
    assert result.converged
    assert abs(reduce(getattr, attribute.split("."), result) - value) <= error


def test_hopfield_glass_at_high_load_is_the_sk_glass():
    """f -> sqrt(alpha) e_SK, q0 -> .476784 for alpha -> infinity, corrections of relative order alpha^(-1/2)."""
    scaled = [theory(2).solve(alpha, 0.0, **STEP, branch="glass") for alpha in (4e4, 1.6e5)]
    q0 = [s.q0 for s in scaled]
    assert abs(2 * q0[1] - q0[0] - 0.476784) < 2e-6
    energy = [s.free_energy / math.sqrt(s.gamma) for s in scaled]
    assert abs(2 * energy[1] - energy[0] + 0.7652594347) < 1e-5


# ---- the free energy and its derivatives -----------------------------------------------------------------------------

POINTS = [(4, "distinct", "retrieval", 0.40, 0.15), (4, "distinct", "retrieval", 0.42, 0.0),
          (3, "distinct", "retrieval", 0.45, 0.25), (2, "distinct", "retrieval", 0.1375, 0.01),
          (2, "distinct", "glass", 0.1, 0.4), (3, "distinct", "glass", 0.6, 0.3), (4, "naive", "glass", 0.3, 0.4),
          (6, "naive", "glass", 0.3, 0.5), (3, "naive", "glass", 1.0, 0.3)]


@pytest.mark.parametrize("p_body, hamiltonian, branch, gamma, temperature", POINTS)
def test_free_energy_is_stationary(p_body, hamiltonian, branch, gamma, temperature):
    """Differences of f itself, not the gradient that the solver uses: f moves by O(h^2) in every order parameter."""
    s = theory(p_body, hamiltonian).solve(gamma, temperature, ansatz="1RSB", branch=branch)
    assert s.converged and s.q0 < s.q1 and 0 <= s.theta <= 1 and abs(s.complexity) < 1e-10
    parisi = Parisi(DenseLaw(p_body, hamiltonian=hamiltonian), 1)
    here = Point.of(s.n, [[s.q0]], s.C, [[s.breaking_slope]], gamma, temperature)

    def f(**moved):
        return float(parisi.evaluate(here._replace(**moved)).free_energy[0])

    assert abs(f() - s.free_energy) < 1e-13
    gap = s.q1 - s.q0
    for name, size in (("nt", 1e-4 * (s.n > 0)), ("q", 1e-3 * gap * (s.q0 > 0)), ("C", 1e-3 * s.C * min(1, gap)),
                       ("x", 1e-3 * s.breaking_slope)):
        if size:
            value = getattr(here, name)
            up, down = f(**{name: value + size}), f(**{name: value - size})
            assert abs(up - down) < 1e-2 * abs(up + down - 2 * f()) + 1e-15, name


@pytest.mark.parametrize("p_body, hamiltonian, branch, gamma, temperature",
                         [point for point in POINTS if point[4] > 0])
def test_entropy_is_minus_the_temperature_derivative(p_body, hamiltonian, branch, gamma, temperature):
    th, h = theory(p_body, hamiltonian), 1e-3 * temperature
    up, down = (th.solve(gamma, temperature + side * h, ansatz="1RSB", branch=branch).free_energy for side in (1, -1))
    s = th.solve(gamma, temperature, ansatz="1RSB", branch=branch)
    assert abs((up - down) / (2 * h) + s.entropy) < 2e-5 * abs(s.entropy) + 1e-9
    assert s.energy == s.free_energy + temperature * s.entropy


@pytest.mark.parametrize("p_body, branch, gamma", [(4, "retrieval", 0.42), (4, "glass", 0.42), (2, "glass", 0.1)])
def test_zero_temperature_is_the_limit(p_body, branch, gamma):
    """f, C, x and q0 of T = 1e-4 differ from those of T = 0 by O(T)."""
    cold, frozen = (theory(p_body).solve(gamma, T, ansatz="1RSB", branch=branch) for T in (1e-4, 0.0))
    for name in ("free_energy", "C", "breaking_slope", "q0", "m"):
        assert abs(getattr(cold, name) - getattr(frozen, name)) < 3e-3 * abs(getattr(frozen, name)) + 1e-12, name
    assert frozen.theta == 0 and frozen.q1 == 1 and frozen.replicon == -math.inf


@pytest.mark.parametrize("p_body", [2, 3, 4])
def test_breaking_raises_the_free_energy_of_the_glass(p_body):
    th, gamma = theory(p_body), 0.3
    for temperature in (0.0, 0.1, 0.2):
        broken, symmetric = (th.solve(gamma, temperature, ansatz, "glass") for ansatz in ("1RSB", "RS"))
        assert broken.free_energy > symmetric.free_energy + 1e-6
        assert broken.entropy > symmetric.entropy


# ---- where branches begin and end ------------------------------------------------------------------------------------

def test_retrieval_breaks_continuously_at_the_at_line():
    """Above the AT temperature the RS state is returned; below it the gap opens linearly."""
    th = theory(4)
    edge = th.at_line(0.42).temperature
    above = th.solve(0.42, edge * 1.01, ansatz="1RSB")
    symmetric = th.solve(0.42, edge * 1.01)
    assert above.stable and above.q0 == above.q1 == symmetric.q and math.isnan(above.theta)
    assert above.free_energy == symmetric.free_energy and above.ansatz == "1RSB"
    gaps = [(s.q1 - s.q0, s.theta) for s in (th.solve(0.42, edge * (1 - d), ansatz="1RSB") for d in (0.01, 0.02, 0.04))]
    assert gaps[1][0] / gaps[0][0] == pytest.approx(2, rel=0.05) and gaps[2][0] / gaps[1][0] == pytest.approx(2, rel=0.1)
    assert 0.5 < gaps[0][1] < 0.7 and abs(gaps[1][1] - gaps[0][1]) < 0.02


def test_hopfield_retrieval_breaks_below_its_at_line():
    th = theory(2)
    edge = th.at_line(0.13).temperature
    below, above = (th.solve(0.13, edge * factor, ansatz="1RSB") for factor in (0.9, 1.1))
    assert below.q1 - below.q0 > 1e-5 and below.replicon < 0 and math.isnan(above.theta) and above.stable
    symmetric = th.solve(0.13, edge * 0.9)
    assert 0 < below.free_energy - symmetric.free_energy < 1e-9 and abs(below.m - symmetric.m) < 1e-5


def test_merged_levels_at_small_load_and_zero_temperature():
    """T = 0: the gap closes exponentially for gamma -> 0 and the resolved part joins the RS state."""
    th = theory(4)
    previous = 1.0
    for gamma in (0.3, 0.2, 0.15):
        s = th.solve(gamma, 0.0, ansatz="1RSB")
        gap = s.q1 - s.q0
        assert s.converged and 0 < gap < previous / 5
        previous = gap
    tiny = th.solve(0.05, 0.0, ansatz="1RSB")
    assert tiny.q0 == tiny.q1 and not tiny.stable and tiny.free_energy == th.solve(0.05, 0.0).free_energy


def test_naive_glass_of_order_six_appears_with_a_jump():
    """Its q^4 term makes q1 jump before the paramagnet becomes unstable at sqrt(g''(0)/2)."""
    th = theory(6, "naive")
    static, dynamic, linear = (th.glass_temperature(1.0, kind).temperature for kind in ("static", "dynamic", "continuous"))
    assert linear < static < dynamic and th.glass_temperature(1.0, "static").solution.q1 > 0.8


def test_temperatures_of_the_glass_scale_with_the_load():
    th = theory(4)
    for kind in ("static", "dynamic", "gardner"):
        one, four = th.glass_temperature(1.0, kind), th.glass_temperature(4.0, kind)
        assert four.temperature == pytest.approx(2 * one.temperature, rel=1e-12)
        assert four.solution.q1 == pytest.approx(one.solution.q1, rel=1e-10) and four.converged and one.converged


def test_complexity():
    """Sigma(f) falls with slope x, vanishes at the stationary x, and at theta = 1 joins the total entropy."""
    th, temperature = theory(3), 0.66
    x = np.linspace(0.97, 1.03, 25) / temperature
    c = th.complexity(1.0, temperature, x)
    assert np.isfinite(c.complexity).all()
    slope = np.gradient(c.complexity, x) / np.gradient(c.free_energy, x)
    np.testing.assert_allclose(slope[2:-2], x[2:-2], rtol=2e-3)
    middle = 12                                                       # theta = 1: f - T Sigma is that of the paramagnet
    paramagnet = th.solve(1.0, temperature, branch="paramagnet").free_energy
    assert abs(c.free_energy[middle] - temperature * c.complexity[middle] - paramagnet) < 1e-12
    below = th.solve(1.0, 0.5, ansatz="1RSB", branch="glass")
    at = th.complexity(1.0, 0.5, [below.breaking_slope])
    assert abs(at.complexity[0]) < 1e-12 and abs(at.free_energy[0] - below.free_energy) < 1e-12


def test_curve():
    th = theory(4)
    c = th.curve(0.2, ansatz="1RSB", points=12)
    assert c.ansatz == "1RSB" and c.gamma[-1] == th.spinodal(0.2, ansatz="1RSB").gamma and np.all(np.diff(c.m) < 0)
    s = th.solve(float(c.gamma[10]), 0.2, ansatz="1RSB")
    assert abs(c.m[10] - s.m) < 1e-11 and abs(c.q[10] - s.q1) < 1e-11 and abs(c.free_energy[10] - s.free_energy) < 1e-12
    glass = th.curve(0.2, branch="glass", ansatz="1RSB", points=6, gamma_max=0.5)
    assert np.all(np.diff(glass.q) > 0) and np.all(glass.m == 0) and glass.gamma[0] > (0.2 / 0.6168832895) ** 2


@pytest.mark.parametrize("keywords", [{"rho": 0.1}, {"r": 0.8, "n_examples": 12},
                                      {"r": 0.8, "n_examples": 12, "protocol": "unsupervised"}])
def test_datasets(keywords):
    th = Dense(4, **keywords)
    symmetric, broken = th.spinodal(0.0), th.spinodal(0.0, ansatz="1RSB")
    assert broken.converged and 1.05 * symmetric.gamma < broken.gamma < 1.6 * symmetric.gamma
    s = th.solve(0.97 * broken.gamma, 0.0, ansatz="1RSB")
    assert s.converged and s.q0 < s.q1 and 0 < s.n and s.m < 1


def test_even_numbers_of_examples_at_low_temperature():
    """Spins of u = 0 hear noise only, so that at T = 0 the levels are apart from gamma = 0 on."""
    th = Dense(4, r=0.8, n_examples=2)
    cold = th.solve(0.2, 0.0, ansatz="1RSB")
    assert cold.converged and 0.04 < cold.q1 - cold.q0 < 0.05 and abs(cold.n - th.solve(0.2, 0.0).n) > 1e-5
    near, edge = th.solve(0.2, 1e-3, ansatz="1RSB"), th.spinodal(0.0, ansatz="1RSB")
    for name in ("q0", "n", "C", "breaking_slope", "free_energy"):
        assert abs(getattr(near, name) / getattr(cold, name) - 1) < 0.02, name
    assert abs(near.free_energy - cold.free_energy + 5e-4 * (near.entropy + cold.entropy)) < 1e-7
    assert edge.converged and abs(edge.gamma / th.spinodal(1e-3, ansatz="1RSB").gamma - 1) < 1e-4
    # the width of the noise is the only scale at small load, also below the first point that is followed
    one, two = (th.solve(gamma, 0.0, ansatz="1RSB") for gamma in (1e-3, 4e-3))
    assert one.converged and two.converged and abs(one.breaking_slope / two.breaking_slope - 2) < 1e-6
    assert abs(one.q0 - two.q0) < 1e-7


def test_shorter_traces_are_gone_on_from():
    """The order in which the loads of one temperature are asked for does not matter."""
    for p_body, temperature, loads in ((4, 0.0, (0.3, 0.35, 0.45)), (2, 0.001, (0.11, 0.13))):
        up, down = Dense(p_body), Dense(p_body)
        rising = [up.solve(gamma, temperature, ansatz="1RSB") for gamma in loads]
        falling = [down.solve(gamma, temperature, ansatz="1RSB") for gamma in loads[::-1]][::-1]
        for one, two in zip(rising, falling, strict=True):
            assert one.converged and two.converged and abs(one.q0 - two.q0) < 1e-11 and abs(one.C / two.C - 1) < 1e-8
        assert abs(up.spinodal(temperature, "1RSB").gamma / down.spinodal(temperature, "1RSB").gamma - 1) < 1e-12


def test_one_example_is_the_pattern():
    """M = 1: the example is the stored pattern, m = r m0 and everything else as without a dataset."""
    clean, noisy = theory(4), Dense(4, r=0.7, n_examples=1)
    one, two = (th.solve(0.43, 0.1, ansatz="1RSB") for th in (clean, noisy))
    for name in ("free_energy", "q0", "q1", "breaking_slope", "C"):
        assert abs(getattr(one, name) - getattr(two, name)) < 1e-9, name
    assert abs(two.m - 0.7 * one.m) < 1e-10 and abs(two.n - 0.7 * one.n) < 1e-10


@pytest.mark.parametrize("call, words", [
    (lambda: theory(4).solve(0.47, 0.1, ansatz="1RSB"), "ends at gamma = 0.45951585.*at no temperature"),
    (lambda: theory(4).solve(0.459, 0.6, ansatz="1RSB"), "up to temperature = 0.50"),
    (lambda: theory(4).solve(0.1, 2.0, ansatz="1RSB"), "gamma = 0.1, temperature = 2: .*at this gamma it exists up to "
                                                       "temperature = 0.927"),
    (lambda: theory(4).solve(0.1, 0.5, "1RSB", "glass"), "gamma > 0.6569.*below temperature = 0.195"),
    (lambda: theory(4).complexity(1.0, 0.7, [1.0]), "below temperature = 0.678411"),
    (lambda: theory(4).complexity(0.0, 0.1, [1.0]), "no glass without load"),
    (lambda: theory(4).glass_temperature(0.0, "static"), "no glass without load"),
    (lambda: theory(4).spinodal(1.1, ansatz="1RSB"), "no retrieval at any gamma")])
def test_branches_that_do_not_exist(call, words):
    with pytest.raises(NoSolution, match=words):
        call()


@pytest.mark.parametrize("call, words", [
    (lambda: theory(4).solve(0.1, 0.1, ansatz="2RSB"), "ansatz"), (lambda: theory(4).complexity(0.1, 0.1, [-1.0]), "positive"),
    (lambda: theory(4).complexity(0.1, 0.1, "x"), "positive"), (lambda: theory(4).solve(-1, 0.1, ansatz="1RSB"), "gamma"),
    (lambda: theory(4, "naive").glass_temperature(1.0, "static"), "continuous"),
    (lambda: theory(3, "naive").glass_temperature(1.0, "dynamic"), "random-field")])
def test_bad_parameters_are_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()


@pytest.mark.parametrize("temperature", [1e-10, 1e-30, 1e-100])
def test_temperatures_close_to_zero(temperature):
    cold, near = (theory(4).solve(0.4, T, ansatz="1RSB") for T in (0.0, temperature))
    assert near.converged and abs(near.breaking_slope / cold.breaking_slope - 1) < 1e-7
    assert abs(near.C / cold.C - 1) < 1e-7 and near.q0 < near.q1
    assert theory(4).solve(0.1, temperature, ansatz="1RSB").converged
