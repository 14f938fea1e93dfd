"""One step of replica symmetry breaking, lines and diagrams: against a bordered system, single points and limits."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.optimize import root

from hebb.errors import NoSolution
from hebb.params import DenseLaw
from hebb.theory import Dense, PhaseDiagram
from hebb.theory.parisi import Parisi, Point


@cache
def theory(p_body):
    return Dense(p_body=p_body)


@pytest.mark.parametrize("p_body, temperature", [(4, 0.2), (3, 0.3), (2, 0.01), (6, 0.0)])
def test_spinodal_is_the_fold_of_the_branch(p_body, temperature):
    """Two overlaps on either side of the fold have the same load: gamma(nt) is a parabola there, with its top at the fold."""
    edge = theory(p_body).spinodal(temperature, ansatz="1RSB")
    s, parisi = edge.solution, Parisi(DenseLaw(p_body), 1)
    step = 1e-3 * (1 - s.m)
    nt = s.n + step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    here = Point.of(nt, [[s.q0]], s.C, [[s.breaking_slope]], s.gamma, temperature)
    found = parisi.solve(here, unknowns=("gamma", "q0", "C", "x1"), equations=("nt", "q0", "C", "x1"))
    gamma = found.point.gamma
    assert np.argmax(gamma) == 2 and found.residual.max() < 1e-12
    bend = gamma[3] + gamma[1] - 2 * gamma[2]
    assert abs((gamma[3] - gamma[1]) / (2 * bend)) < 5e-3               # in steps: 5e-6 (1 - m)
    assert edge.converged and edge.residual < 1e-10 and not s.stable


def test_spinodal_loads_of_both_ansaetze_join_where_the_fold_is_stable():
    th = theory(4)
    gaps = []
    for temperature in (0.40, 0.43, 0.45):
        broken, symmetric = th.spinodal(temperature, ansatz="1RSB"), th.spinodal(temperature)
        gaps.append(broken.gamma - symmetric.gamma)
        assert broken.solution.q0 < broken.solution.q1 and symmetric.solution.replicon < 0
    assert all(a > 1.5 * b > 0 for a, b in zip(gaps, gaps[1:], strict=False))
    above = th.spinodal(0.48, ansatz="1RSB")
    assert above.gamma == th.spinodal(0.48).gamma and above.solution.replicon > 0


@pytest.mark.parametrize("p_body, temperature", [(4, 0.0), (4, 0.3), (4, 0.55), (3, 0.2), (6, 0.1), (2, 0.2)])
def test_free_energies_are_equal_at_the_transition(p_body, temperature):
    th = theory(p_body)
    line = th.transition(temperature, ansatz="1RSB")
    assert line.converged and line.residual < 1e-12
    frozen = p_body == 2 or temperature < th.glass_temperature(line.gamma, "static").temperature
    assert line.other.branch == ("glass" if frozen else "paramagnet")
    for factor, sign in ((0.98, -1), (1.02, 1)):
        retrieval = th.solve(line.gamma * factor, temperature, ansatz="1RSB")
        other = th.solve(line.gamma * factor, temperature, "1RSB", line.other.branch)
        assert sign * (retrieval.free_energy - other.free_energy) > 0


@pytest.mark.slow
def test_transition_of_large_orders_is_that_of_random_energies():
    """P -> infinity: frozen retrieval, f = -1/2, against random energies, f = -sqrt(gamma ln 2)."""
    distance = [theory(p).transition(0.0, ansatz="1RSB").gamma - 1 / (4 * math.log(2)) for p in (6, 8, 10)]
    assert 0 < distance[2] < 0.3 * distance[1] < 0.1 * distance[0] < 1e-3


@pytest.mark.slow
def test_breaking_puts_the_transition_of_the_glass_at_higher_loads():
    """The RS glass is too low in f, so that RS retrieval gives way far too early for P >= 3."""
    for p_body in (2, 3, 4):
        th = theory(p_body)
        assert th.transition(0.05, ansatz="1RSB").gamma > 1.05 * th.transition(0.05).gamma


def dynamic_by_bordered_system(p_body):
    """(T, q) with theta = 1: q = E[tanh^2 cosh]/E[cosh] and its derivative 1, in z with 4001 points."""
    z = np.linspace(-12, 12, 4001)
    weight = np.exp(-z * z / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)

    def update(q, T):
        field = np.sqrt(p_body * q ** (p_body - 1) / 2) * z / T
        cosh = weight * np.cosh(field)
        return cosh @ np.tanh(field) ** 2 / cosh.sum()

    def system(unknown):
        q, T = unknown
        return [update(q, T) - q, (update(q + 1e-5, T) - update(q - 1e-5, T)) / 2e-5 - 1]

    return root(system, (0.8, 0.68), tol=1e-13).x[::-1]


@pytest.mark.parametrize("p_body", [3, 4, 6])
def test_dynamic_line_by_another_route(p_body):
    line = theory(p_body).glass_temperature(1.0, "dynamic")
    temperature, q1 = dynamic_by_bordered_system(p_body)
    assert abs(line.temperature - temperature) < 1e-9 and abs(line.solution.q1 - q1) < 1e-4
    assert line.solution.theta == pytest.approx(1) and line.solution.complexity > 0 and line.converged


def test_static_line_bounds_the_glass():
    th = theory(4)
    edge = th.glass_temperature(1.0, "static")
    below = th.solve(1.0, edge.temperature * (1 - 1e-6), ansatz="1RSB", branch="glass")
    assert below.theta < 1 and abs(below.q1 - edge.solution.q1) < 1e-4 and abs(edge.solution.complexity) < 1e-12
    paramagnet = th.solve(1.0, edge.temperature, ansatz="1RSB", branch="paramagnet")
    assert abs(edge.solution.free_energy - paramagnet.free_energy) < 1e-13
    with pytest.raises(NoSolution, match="gamma > "):
        th.solve(1.0, edge.temperature * (1 + 1e-6), ansatz="1RSB", branch="glass")


@pytest.mark.parametrize("p_body", [3, 4, 6])
def test_replicon_changes_sign_at_the_gardner_temperature(p_body):
    th = theory(p_body)
    edge = th.glass_temperature(1.0, "gardner")
    up, down = (th.solve(1.0, edge.temperature * (1 + d), ansatz="1RSB", branch="glass").replicon for d in (1e-3, -1e-3))
    assert down < 0 < up and edge.converged and edge.residual < 1e-10


@pytest.mark.parametrize("gamma", [0.2, 0.43, 0.4602])
def test_spinodal_temperature_inverts_the_spinodal(gamma):
    line = theory(4).spinodal_temperature(gamma, ansatz="1RSB")
    assert line.gamma == gamma and line.converged
    assert abs(theory(4).spinodal(line.temperature, ansatz="1RSB").gamma - gamma) < 1e-11


@pytest.mark.parametrize("p_body, gamma", [
    (4, 0.2), (4, 0.3798), pytest.param(2, 0.05, marks=pytest.mark.slow)])
def test_transition_temperature_inverts_the_transition(p_body, gamma):
    line = theory(p_body).transition_temperature(gamma, ansatz="1RSB")
    assert line.converged and line.residual < 1e-10
    assert abs(theory(p_body).transition(line.temperature, ansatz="1RSB").gamma - gamma) < 1e-9


def test_loads_beyond_all_lines():
    with pytest.raises(NoSolution, match="retrieval is the lowest 1RSB state at no temperature.*0.37978"):
        theory(4).transition_temperature(0.42, ansatz="1RSB")
    with pytest.raises(NoSolution, match="no retrieval at any temperature"):
        theory(4).spinodal_temperature(0.48, ansatz="1RSB")
    top = theory(4).transition_temperature(0.0, ansatz="1RSB")
    assert top.temperature == theory(4).transition_temperature(0.0).temperature and top.other.ansatz == "1RSB"


# ---- diagrams --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def diagram():
    return theory(4).phase_diagram(np.linspace(0.01, 0.6, 12), np.linspace(0.0, 1.1, 9), ansatz="1RSB")


def label_of(th, gamma, temperature):
    def free_energy(branch):
        try:
            return th.solve(gamma, temperature, ansatz="1RSB", branch=branch).free_energy
        except NoSolution:
            return None

    glass, retrieval = free_energy("glass"), free_energy("retrieval")
    if retrieval is None:
        return "paramagnet" if glass is None else "glass"
    other = free_energy("paramagnet") if glass is None else glass
    return "retrieval" if retrieval < other else "retrieval_metastable"


def test_labels_equal_single_points(diagram):
    names = [[diagram.names[label] for label in row] for row in diagram.labels]
    rng = np.random.default_rng(3)
    for _ in range(25):
        i, j = rng.integers(9), rng.integers(12)
        assert names[i][j] == label_of(theory(4), diagram.gamma[j], diagram.temperature[i])
    assert {name for row in names for name in row} == {"paramagnet", "glass", "retrieval", "retrieval_metastable"}
    i, j = 1, 8                                                          # T = .1375, gamma = .439: broken retrieval
    s = theory(4).solve(diagram.gamma[j], diagram.temperature[i], ansatz="1RSB")
    assert s.q0 < s.q1 and abs(diagram.m[i, j] - s.m) < 1e-10 and abs(diagram.replicon[i, j] - s.replicon) < 1e-9


def test_lines_of_the_diagram(diagram):
    assert set(diagram.lines) == {"spinodal", "transition", "glass", "glass_dynamic", "gardner", "at", "spinodal_rs",
                                  "transition_rs"}
    assert max(diagram.residuals.values()) <= 1e-10
    for line in diagram.lines.values():
        assert np.all(np.diff(line[:, 1]) > 0) and np.all(line >= 0)
    for name, method in (("spinodal", theory(4).spinodal), ("transition", theory(4).transition)):
        line = diagram.lines[name]
        for gamma, temperature in line[[0, len(line) // 4]]:
            assert abs(method(temperature, ansatz="1RSB").gamma - gamma) < 1e-10
    gamma, temperature = diagram.lines["glass"][40]
    assert temperature == pytest.approx(theory(4).glass_temperature(gamma, "static").temperature)
    assert diagram.lines["spinodal"][0, 0] > diagram.lines["spinodal_rs"][0, 0] + 0.06


def test_lines_stay_within_the_temperatures_of_the_diagram():
    """One temperature: the Gardner line lies below it at every load of the grid."""
    lines = theory(4).phase_diagram([0.1, 0.6], [0.3], ansatz="1RSB").lines
    assert all(np.all(line[:, 1] == 0.3) for line in lines.values()) and "gardner" not in lines
    assert len(lines["glass"]) == 1 and abs(lines["glass"][0, 0] - (0.3 / 0.6168832895) ** 2) < 1e-9


def test_diagrams_are_stored_and_drawn(diagram, tmp_path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    diagram.save(tmp_path / "diagram.h5")
    again = PhaseDiagram.load(tmp_path / "diagram.h5")
    assert again.ansatz == "1RSB" and again.residuals == diagram.residuals and set(again.lines) == set(diagram.lines)
    ax = again.plot()
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert len(ax.lines) == len(diagram.lines) and colours["spinodal (RS)"] != colours["spinodal"]
    plt.close("all")
