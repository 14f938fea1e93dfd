"""Dense networks, replica symmetric: published numbers, free energy and its derivatives, limits, refusals."""

import math
import subprocess
import sys
from functools import cache, reduce

import numpy as np
import pytest
from conftest import clean_environment
from hypothesis import given, settings
from hypothesis import strategies as st

from hebb.errors import NoSolution, ParameterError
from hebb.theory import Dense

LAWS = [(2, "distinct"), (3, "distinct"), (4, "distinct"), (6, "distinct"), (3, "naive"), (4, "naive"), (6, "naive")]


@cache
def theory(p_body, hamiltonian="distinct"):
    return Dense(p_body=p_body, hamiltonian=hamiltonian)


# Each number was found by two independent codes. (P, method, arguments, attribute, value, largest error)
PUBLISHED = [
    (2, "spinodal", {"temperature": 0.0}, "gamma", 0.13790556649493182, 1e-10),
    (2, "spinodal", {"temperature": 0.0}, "solution.m", 0.9674171153169812, 1e-7),
    (2, "solve", {"gamma": 0.05, "temperature": 0.0}, "m", 0.9999922281490462, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.0}, "q", 1.0, 0.0),
    (2, "solve", {"gamma": 0.05, "temperature": 0.0}, "C", 0.00016252444400070124, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.0}, "free_energy", -0.500000356382941, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.3}, "n", 0.9911649957015342, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.3}, "q", 0.9829609502157876, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.3}, "C", 0.05679683261404149, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.3}, "free_energy", -0.5012361699455985, 1e-10),
    (2, "solve", {"gamma": 0.05, "temperature": 0.3}, "replicon", 0.8885598753732107, 1e-10),
    (2, "spinodal_temperature", {"gamma": 0.02}, "temperature", 0.7164810882, 1e-10),
    (2, "spinodal_temperature", {"gamma": 0.05}, "temperature", 0.5422550379181413, 1e-10),
    (2, "spinodal_temperature", {"gamma": 0.1}, "temperature", 0.3154322237, 1e-10),
    (2, "transition_temperature", {"gamma": 0.01}, "temperature", 0.7216239674, 1e-10),
    (2, "transition_temperature", {"gamma": 0.02}, "temperature", 0.5913002788, 1e-10),
    (2, "transition_temperature", {"gamma": 0.04}, "temperature", 0.3652314592, 1e-10),
    (2, "transition_temperature", {"gamma": 0.05}, "temperature", 0.2163833500, 1e-10),
    (2, "at_line", {"gamma": 0.1}, "temperature", 0.00145025, 5e-9),
    (2, "glass_temperature", {"gamma": 0.1}, "temperature", 1 + math.sqrt(0.1), 1e-15),
    (4, "spinodal", {"temperature": 0.0}, "gamma", 0.395720238390763, 1e-10),
    (4, "spinodal", {"temperature": 0.0}, "solution.m", 0.9179219384722532, 1e-7),
    (4, "solve", {"gamma": 0.2, "temperature": 0.5}, "m", 0.9869651488160415, 1e-10),
    (4, "solve", {"gamma": 0.2, "temperature": 0.5}, "q", 0.9780434869859754, 1e-10),
    (4, "solve", {"gamma": 0.2, "temperature": 0.5}, "C", 0.04391302602804914, 1e-10),
    (4, "solve", {"gamma": 0.2, "temperature": 0.5}, "free_energy", -0.5034418262902083, 1e-10),
    (4, "solve", {"gamma": 0.2, "temperature": 0.5}, "replicon", 0.9684559768167197, 1e-10),
    (3, "spinodal", {"temperature": 0.0}, "gamma", 0.3782856462, 1e-10),
    (6, "spinodal", {"temperature": 0.0}, "gamma", 0.4730386097, 1e-10),
    (2, "transition", {"temperature": 0.0}, "gamma", 0.0518543309, 1e-10),
    (3, "transition", {"temperature": 0.0}, "gamma", 0.2663673173, 1e-10),
    (4, "transition", {"temperature": 0.0}, "gamma", 0.1965439464, 1e-10),
    (6, "transition", {"temperature": 0.0}, "gamma", 0.1308998013, 1e-10),
]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: f"P{e[0]}-{e[1]}-{e[3]}-{list(e[2].values())}")
def test_published_numbers(entry):
    p_body, method, arguments, attribute, value, error = entry
    result = getattr(theory(p_body), method)(**arguments)
    assert result.converged
    assert abs(reduce(getattr, attribute.split("."), result) - value) <= error


def test_no_transition_of_the_hopfield_model_at_high_load():
    with pytest.raises(NoSolution, match="reaches gamma = 0.05"):
        theory(2).transition_temperature(gamma=0.1)


@pytest.mark.parametrize("p_body, capacity", [(4, 0.1583), (6, 0.060), (3, 0.252)])
def test_naive_capacities(p_body, capacity):
    digits = len(str(capacity)) - 2
    assert round(theory(p_body, "naive").spinodal(temperature=0.0).gamma, digits) == capacity


def test_naive_covariances():
    def g(p):
        return theory(p, "naive").branches.equations.noise.covariance
    assert g(3) == (0, 1.5, 0, 1) and g(4) == (0, 0, 3, 0, 1) and g(6) == (0, 0, 5.625, 0, 7.5, 0, 1)


# ---- the free energy, coded once more: trapezoid in z, q instead of C, r of the Hopfield model written out ----

STEP = 1 / 400
Z = STEP * np.arange(-4000, 4001)
WEIGHT = STEP * np.exp(-Z * Z / 2) / np.sqrt(2 * np.pi)


def mixture(p_body, hamiltonian):
    if hamiltonian == "distinct":
        return {p_body: 1.0}
    return {3: {3: 1.0, 1: 1.5}, 4: {4: 1.0, 2: 3.0}, 6: {6: 1.0, 4: 7.5, 2: 5.625}}[p_body]


def log_2cosh(v):
    """ln 2cosh v, also for complex v of small imaginary part."""
    v = np.where(v.real < 0, -v, v)
    return v + np.log1p(np.exp(-2 * v))


def free_energy(p_body, hamiltonian, n, q, gamma, temperature):
    """f(n, q); complex arguments allowed."""
    beta = 1 / temperature
    if p_body == 2:
        C = beta * (1 - q)
        r = q / (1 - C) ** 2
        noise = gamma / 2 + gamma / 2 * (temperature * np.log(1 - C) - q / (1 - C)) + gamma / 2 * r * C
        field = n + np.sqrt(gamma * r) * Z
        return n**2 / 2 + noise - temperature * (WEIGHT @ log_2cosh(beta * field))
    g = mixture(p_body, hamiltonian)
    slope = sum(c * k * q ** (k - 1) for k, c in g.items())
    bracket = sum(c * (1 - q**k) for k, c in g.items()) - (1 - q) * slope
    field = p_body / 2 * n ** (p_body - 1) + np.sqrt(gamma / 2 * slope) * Z
    return (p_body - 1) / 2 * n**p_body - beta * gamma / 4 * bracket - temperature * (WEIGHT @ log_2cosh(beta * field))


@pytest.mark.parametrize("p_body, hamiltonian", LAWS)
def test_update_is_the_gradient_of_the_free_energy(p_body, hamiltonian):
    """df/dn = A'(n) (n - update), df/dC = (gamma/2) dv/dC (C - update) off the saddle, by another code."""
    rng = np.random.default_rng(p_body)
    equations = theory(p_body, hamiltonian).branches.equations
    for _ in range(20):
        n, q, gamma, temperature = rng.uniform(0.2, 1), rng.uniform(0.6, 1), rng.uniform(0.02, 1), rng.uniform(0.2, 1.2)
        if p_body == 2:
            q = 1 - temperature * rng.uniform(0, 0.8)
        C = (1 - q) / temperature
        if q < 0.05:
            continue
        n_new, C_new = equations.update(n, C, gamma, temperature)
        variance_slope = gamma * equations.noise.variance_slope(C, temperature)
        f = free_energy(p_body, hamiltonian, n, q, gamma, temperature)
        by_n = free_energy(p_body, hamiltonian, n + 1e-30j, q, gamma, temperature).imag / 1e-30
        by_q = free_energy(p_body, hamiltonian, n, q + 1e-30j, gamma, temperature).imag / 1e-30
        assert abs(f - equations.free_energy(n, C, gamma, temperature)) < 1e-13 * (1 + abs(f))
        assert abs(by_n - equations.amplitude_slope(n) * (n - n_new)) < 1e-12
        assert abs(-temperature * by_q - variance_slope / 2 * (C - C_new)) < 1e-12 * (1 + abs(variance_slope))


@pytest.mark.parametrize("p_body, hamiltonian", LAWS)
def test_solutions_are_stationary_points_of_the_right_kind(p_body, hamiltonian):
    """Gradient zero, minimum over n; and for P >= 3 maximum over q."""
    th = theory(p_body, hamiltonian)
    for temperature in (0.25, 0.5):
        gamma = 0.7 * th.spinodal(temperature).gamma
        s = th.solve(gamma, temperature)

        def f(n, q, gamma=gamma, temperature=temperature):
            return free_energy(p_body, hamiltonian, n, q, gamma, temperature)

        assert abs(f(s.n + 1e-30j, s.q).imag / 1e-30) < 1e-12 and abs(f(s.n, s.q + 1e-30j).imag / 1e-30) < 1e-11
        assert abs(f(s.n, s.q) - s.free_energy) < 1e-13
        h = 1e-4
        by_q = (f(s.n, s.q + h) + f(s.n, s.q - h) - 2 * f(s.n, s.q)) / h**2
        by_n = (f(s.n + h, s.q) + f(s.n - h, s.q) - 2 * f(s.n, s.q)) / h**2
        mixed = (f(s.n + h, s.q + h) - f(s.n - h, s.q + h) - f(s.n + h, s.q - h) + f(s.n - h, s.q - h)) / (4 * h * h)
        assert by_n - mixed**2 / by_q > 0
        if p_body > 2:
            assert by_q < 0
        assert s.converged and s.stable == (s.replicon > 0)


@pytest.mark.parametrize("p_body, hamiltonian", LAWS)
@pytest.mark.parametrize("branch", ["retrieval", "glass", "paramagnet"])
def test_entropy_is_the_slope_of_the_free_energy(p_body, hamiltonian, branch):
    th = theory(p_body, hamiltonian)
    if branch == "paramagnet" and hamiltonian == "naive" and p_body == 3:
        pytest.skip("odd naive P has no paramagnet")
    temperature = {"retrieval": 0.3, "glass": 0.08, "paramagnet": 1.3}[branch]
    gamma = 0.6 * th.spinodal(0.3).gamma if branch == "retrieval" else 0.4
    s, h = th.solve(gamma, temperature, branch=branch), 1e-3
    f = [th.solve(gamma, temperature + k * h, branch=branch).free_energy for k in (-2, -1, 1, 2)]
    slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
    assert s.converged and s.branch == branch
    assert abs(s.entropy + slope) < 1e-9
    assert s.energy == pytest.approx(s.free_energy + temperature * s.entropy, abs=1e-15)
    assert s.C == pytest.approx((1 - s.q) / temperature, abs=1e-14)


@pytest.mark.parametrize("p_body, hamiltonian", LAWS)
def test_zero_temperature_is_the_limit_of_low_temperature(p_body, hamiltonian):
    """f - f(0) = -s(0) T to second order; n and C join with corrections of order T^2 and T."""
    th = theory(p_body, hamiltonian)
    gamma = 0.8 * th.spinodal(0.0).gamma
    for branch in ("retrieval", "glass"):
        frozen = th.solve(gamma, 0.0, branch=branch)
        assert frozen.converged and frozen.q == 1.0 and frozen.replicon == -math.inf and not frozen.stable
        for temperature in (1e-2, 1e-3, 1e-5, 1e-8):
            cold = th.solve(gamma, temperature, branch=branch)
            assert cold.converged
            linear = frozen.free_energy - temperature * frozen.entropy
            assert abs(cold.free_energy - linear) < 20 * temperature**2 + 1e-14
            assert abs(cold.n - frozen.n) < 5 * temperature and abs(cold.C - frozen.C) < 20 * temperature + 1e-13


@pytest.mark.parametrize("p_body", [2, 3, 4, 6, 11, 20])
def test_without_load(p_body):
    """gamma = 0: m = tanh(beta (P/2) m^(P-1)), and gamma -> 0 joins it."""
    th = theory(p_body)
    top = th.spinodal_temperature(gamma=0.0)
    assert top.gamma == 0.0 and top.converged
    if p_body == 2:
        assert top.temperature == 1.0
    else:
        y = np.linspace(0.2, 8, 400001)
        assert top.temperature == pytest.approx(np.max(p_body / 2 * np.tanh(y) ** (p_body - 1) / y), abs=1e-9)
    for temperature in (0.0, 0.01, 0.3 * top.temperature, 0.9 * top.temperature):
        s = th.solve(0.0, temperature)
        expected = math.tanh(p_body / 2 * s.m ** (p_body - 1) / temperature) if temperature else 1.0
        assert s.converged and abs(s.m - expected) < 1e-14 and s.stable
        f = (p_body - 1) / 2 * s.m**p_body
        field = p_body / 2 * s.m ** (p_body - 1)
        f -= temperature * np.logaddexp(field / temperature, -field / temperature) if temperature else field
        assert abs(s.free_energy - f) < 1e-14
        near = th.solve(1e-7, temperature)
        assert abs(near.m - s.m) < 1e-5 and abs(near.free_energy - s.free_energy) < 1e-5
    crossing = th.transition_temperature(gamma=0.0)
    if p_body > 2:
        s = th.solve(0.0, crossing.temperature)
        assert abs(s.free_energy + crossing.temperature * math.log(2)) < 1e-13
    free = th.solve(0.0, 0.0, branch="paramagnet")
    assert (free.m, free.q, free.free_energy, free.entropy, free.converged) == (0, 0, 0, math.log(2), True)


def test_paramagnet():
    th = theory(4)
    s = th.solve(0.2, 1.5, branch="paramagnet")
    assert (s.m, s.q, s.replicon, s.stable) == (0.0, 0.0, 1.0, True)
    assert s.free_energy == pytest.approx(-1.5 * math.log(2) - 0.2 / 6.0, abs=1e-15)
    assert s.energy == pytest.approx(-0.2 / 3, abs=1e-15)
    naive = theory(4, "naive").solve(0.2, 1.5, branch="paramagnet")
    assert naive.energy == pytest.approx(-4 * 0.2 / 3, abs=1e-14)
    hopfield = theory(2).solve(0.1, 2.0, branch="paramagnet")
    assert hopfield.replicon == pytest.approx(0.5**2 - 0.1 / 4, abs=1e-15)
    assert hopfield.energy == pytest.approx(-0.05, abs=1e-15)
    assert hopfield.stable and not theory(2).solve(0.1, 1.2, branch="paramagnet").stable


def test_continuous_glass_transitions():
    """Glass and paramagnet join: T = 1 + sqrt(alpha), and T = sqrt(3 gamma) for the SK term of naive P = 4."""
    for th, wanted in ((theory(2), 1 + math.sqrt(0.3)), (theory(4, "naive"), math.sqrt(0.9))):
        edge = th.glass_temperature(gamma=0.3)
        assert edge.temperature == pytest.approx(wanted, abs=1e-14) and edge.converged and edge.residual < 1e-12
        below = th.solve(0.3, wanted * (1 - 1e-4), branch="glass")
        assert 0 < below.q < 1e-3 and below.converged and below.replicon < 0
        para = th.solve(0.3, wanted * (1 - 1e-4), branch="paramagnet")
        assert abs(below.free_energy - para.free_energy) < 1e-8
        with pytest.raises(NoSolution):
            th.solve(0.3, wanted * (1 + 1e-9), branch="glass")


def test_onset_of_the_replica_symmetric_glass():
    """P = 4: a discontinuous onset at T = .3750371 sqrt(gamma) (an artefact of replica symmetry)."""
    th = theory(4)
    limit = th.branches.glass.onset_temperature(1.0)
    assert limit == pytest.approx(0.3750371, abs=5e-8)
    assert th.solve(1.0, limit * (1 - 1e-9), branch="glass").q > 0.3
    with pytest.raises(NoSolution, match="below temperature = 0.37503710"):
        th.solve(1.0, 0.38, branch="glass")


def test_random_field_of_naive_odd_p():
    th = theory(3, "naive")
    with pytest.raises(NoSolution, match="random-field"):
        th.solve(0.1, 1.0, branch="paramagnet")
    hot = th.solve(0.1, 5.0, branch="glass")
    for gamma in (1e-10, 1e-16):
        faint = th.solve(gamma, 1.0, branch="glass")
        assert faint.converged and faint.q == pytest.approx(0.75 * gamma, abs=1e-15)
    assert hot.stable and hot.q == pytest.approx(0.75 * 0.1 / 25, rel=0.05)


@pytest.mark.parametrize("p_body", [2, 4])
def test_naive_and_distinct_hopfield_are_the_same(p_body):
    points = [theory(p_body, hamiltonian).solve(0.05, 0.4) for hamiltonian in ("distinct", "naive")]
    assert (points[0] == points[1]) == (p_body == 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(law=st.sampled_from([*LAWS, (9, "distinct"), (20, "distinct"), (20, "naive")]),
       warmth=st.one_of(st.just(0.0), st.floats(1e-280, 0.999)),
       share=st.one_of(st.just(0.0), st.floats(1e-280, 0.99999), st.just(1.0)))
def test_any_point_of_the_branch_is_found(law, warmth, share):
    """Converged, on the branch, and with a smaller overlap than any smaller load."""
    th = theory(*law)
    temperature = warmth * th.spinodal_temperature(0.0).temperature
    end = th.spinodal(temperature)
    s, before = th.solve(share * end.gamma, temperature), th.solve(0.9 * share * end.gamma, temperature)
    assert s.converged and s.residual < 1e-11
    assert end.solution.m - 1e-9 <= s.m <= before.m + 1e-14 <= 1 + 1e-13
    assert s.n == s.m and all(type(value) is float for value in (s.m, s.q, s.C, s.free_energy, s.replicon, s.gamma))
    n, C = th.branches.equations.update(s.n, s.C, s.gamma, s.temperature, finer=True)
    assert abs(n - s.n) < 1e-11 and abs(C - s.C) < 1e-11 * max(1, s.C)


def test_next_to_the_spinodal():
    th = theory(4)
    for temperature in (0.0, 0.3, 0.9):
        end = th.spinodal(temperature)
        for distance in (1e-4, 1e-8, 1e-12):
            s = th.solve(end.gamma * (1 - distance), temperature)
            assert s.converged or distance == 1e-12
            assert s.residual < 1e-11 and 0 <= s.m - end.solution.m < 2 * math.sqrt(distance)


def test_missing_branches_name_the_nearest_point():
    th = theory(4)
    with pytest.raises(NoSolution) as caught:
        th.solve(0.5, 0.3)
    assert f"ends at gamma = {th.spinodal(0.3).gamma:.10g}" in str(caught.value)
    with pytest.raises(NoSolution) as caught:
        th.solve(0.2, 0.95)
    edge = th.spinodal_temperature(0.2).temperature
    assert f"up to temperature = {edge:.10g}" in str(caught.value)
    assert th.solve(0.2, edge * (1 - 1e-9)).converged
    with pytest.raises(NoSolution, match="it exists from temperature = 0.23") as caught:
        th.solve(0.44, 0.1)
    bottom = float(str(caught.value).split("from temperature = ")[1].split()[0])
    assert th.solve(0.44, bottom * (1 + 1e-8)).converged
    for call, words in ((lambda: th.solve(0.1, 2.0), "exists below temperature = 0.9915726"),
                        (lambda: th.spinodal(1.0), "exists below temperature"),
                        (lambda: th.spinodal_temperature(0.47), "reaches gamma = 0.460241"),
                        (lambda: th.transition(0.9), "metastable at every gamma"),
                        (lambda: th.solve(0.0, 0.5, branch="glass"), "gamma > "),
                        (lambda: th.solve(0.1, 0.0, branch="paramagnet"), "above temperature = 0"),
                        (lambda: theory(2).solve(0.1, 0.9, branch="paramagnet"), "above temperature = 1"),
                        (lambda: th.at_line(0.0), "positive")):
        with pytest.raises(NoSolution, match=words):
            call()


@pytest.mark.parametrize("call, words", [
    (lambda: theory(4).solve(-0.1, 0.3), "gamma = -0.1 is not a number in"),
    (lambda: theory(4).solve(float("nan"), 0.3), "gamma"), (lambda: theory(4).solve(0.1, -1e-9), "temperature"),
    (lambda: theory(4).solve(0.1, math.inf), "temperature"), (lambda: theory(4).solve("much", 0.1), "gamma"),
    (lambda: theory(4).solve(0.1, 0.3, branch="retreival"), "did you mean 'retrieval'"),
    (lambda: theory(4).spinodal(0.3, ansatz="rs"), "ansatz"), (lambda: theory(4).spinodal_temperature(-1), "gamma"),
    (lambda: theory(2).glass_temperature(1.0, kind="static"), "continuous"),
    (lambda: theory(4).glass_temperature(1.0, kind="continuous"), "discontinuously"),
    (lambda: theory(3, "naive").glass_temperature(1.0), "random-field"),
    (lambda: theory(4).phase_diagram([0.3, 0.1], [0.1, 0.2]), "increasing array"),
    (lambda: theory(4).phase_diagram([0.1], 0.3), "temperature"), (lambda: Dense(p_body=1), "p_body"),
    (lambda: Dense(p_body=4, r=0.8), "exactly one of them"),
    (lambda: Dense(hamiltonian="full"), "hamiltonian"),
    (lambda: theory(4).curve(0.3, branch="glass"), "gamma_max"), (lambda: theory(4).curve(0.3, points=1), "points"),
])
def test_bad_parameters_are_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()


def test_unknown_keywords_are_type_errors():
    with pytest.raises(TypeError):
        Dense(p=4)
    with pytest.raises(TypeError):
        theory(4).solve(alpha=0.1, temperature=0.1)


def test_curve():
    th = theory(4)
    c = th.curve(0.3, points=50)
    assert c.gamma[0] == 0 and c.gamma[-1] == th.spinodal(0.3).gamma and np.all(np.diff(c.m) < 0)
    s = th.solve(float(c.gamma[20]), 0.3)
    assert abs(c.m[20] - s.m) < 1e-14 and abs(c.free_energy[20] - s.free_energy) < 1e-14
    glass = theory(2).curve(0.5, branch="glass", gamma_max=0.3, points=30)
    assert np.all(np.diff(glass.q) > 0) and np.all(glass.m == 0)
    para = th.curve(1.0, branch="paramagnet", gamma_max=0.3, points=30)
    assert np.all(para.replicon == 1)


def test_import_is_light():
    code = "import sys, hebb.theory; print([m for m in ('matplotlib', 'h5py', 'mpi4py') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env=clean_environment()).stdout
    assert shown.strip() == "[]"
