"""Phase diagrams: labels against single points, lines against what vanishes on them, speed, storage."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root

from hebb.errors import NoSolution
from hebb.theory import Dense, PhaseDiagram

GRIDS = {(2, "distinct"): (0.2, 1.4), (3, "distinct"): (0.6, 1.0), (4, "distinct"): (0.6, 1.1),
         (4, "naive"): (0.25, 1.1), (3, "naive"): (0.3, 1.0)}


def label_of(th, gamma, temperature):
    """The phase at one point from the existence and free energies of the branches there."""
    def free_energy(branch):
        try:
            return th.solve(gamma, temperature, branch=branch).free_energy
        except NoSolution:
            return None

    glass, retrieval = free_energy("glass"), free_energy("retrieval")
    if retrieval is None:
        return "paramagnet" if glass is None else "glass"
    other = free_energy("paramagnet") if glass is None else glass
    return "retrieval" if retrieval < other else "retrieval_metastable"


@pytest.fixture(scope="module", params=list(GRIDS), ids=lambda law: f"P{law[0]}-{law[1]}")
def diagram(request):
    p_body, hamiltonian = request.param
    th = Dense(p_body, hamiltonian=hamiltonian)
    end = GRIDS[request.param]
    return th, th.phase_diagram(np.linspace(0.001, end[0], 60), np.linspace(0, end[1], 45))


def test_labels_equal_single_points(diagram):
    th, pd = diagram
    assert pd.labels.shape == (45, 60) and pd.labels.dtype.kind == "i"
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(40):
        i, j = rng.integers(45), rng.integers(60)
        name = pd.names[pd.labels[i, j]]
        assert name == label_of(th, pd.gamma[j], pd.temperature[i]), (pd.gamma[j], pd.temperature[i])
        assert np.isnan(pd.m[i, j]) == (not name.startswith("retrieval"))
        if name.startswith("retrieval"):
            s = th.solve(pd.gamma[j], pd.temperature[i])
            assert abs(pd.m[i, j] - s.m) < 1e-9
            assert pd.replicon[i, j] == s.replicon or abs(pd.replicon[i, j] - s.replicon) < 1e-6 * (1 + abs(s.replicon))
        seen.add(name)
    assert len(seen) >= 3


def test_lines_are_where_something_vanishes(diagram):
    th, pd = diagram
    assert {"spinodal", "transition", "at"} <= set(pd.lines)
    assert ("glass" in pd.lines) == (th.law != Dense(3, hamiltonian="naive").law)
    for name, line in pd.lines.items():
        assert line.ndim == 2 and line.shape[1] == 2 and np.all(np.diff(line[:, 1]) > 0) and np.all(line >= 0)
        assert pd.residuals[name] <= 1e-10
    rng = np.random.default_rng(8)
    for gamma, temperature in pd.lines["spinodal"][rng.integers(len(pd.lines["spinodal"]) - 1, size=3)]:
        assert th.spinodal(temperature).gamma == pytest.approx(gamma, abs=1e-13)
    for gamma, temperature in pd.lines["transition"][rng.integers(len(pd.lines["transition"]) - 1, size=3)]:
        assert th.transition(temperature).gamma == pytest.approx(gamma, abs=1e-12)
    for gamma, temperature in pd.lines["at"][rng.integers(len(pd.lines["at"]), size=3)]:
        if temperature > 0:
            assert abs(th.solve(gamma, temperature).replicon) < 1e-8
    assert tuple(pd.lines["spinodal"][-1]) == (0.0, th.spinodal_temperature(0.0).temperature)


def test_grid_of_one_point_and_zero_temperature():
    pd = Dense(p_body=4).phase_diagram([0.1], [0.0])
    assert pd.names[pd.labels[0, 0]] == "retrieval" and pd.m[0, 0] == pytest.approx(1, abs=1e-4)
    assert pd.lines["spinodal"].shape == (1, 2)
    corner = Dense(p_body=4).phase_diagram([0.0, 0.1], [0.0, 2.0])
    assert [corner.names[label] for label in corner.labels.ravel()] == ["retrieval"] * 2 + ["paramagnet"] * 2


def test_arrays_and_back(diagram):
    _, pd = diagram
    arrays, attributes = pd.to_arrays()
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    again = PhaseDiagram.from_arrays(arrays, attributes)
    assert again.names == pd.names and again.residuals == pd.residuals
    assert (again.ansatz, again.title) == (pd.ansatz, pd.title)
    for name in ("gamma", "temperature", "labels", "m", "replicon"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pd, name))
    assert set(again.lines) == set(pd.lines)


def test_save_and_load(diagram, tmp_path):
    _, pd = diagram
    pd.save(tmp_path / "diagram.h5")
    again = PhaseDiagram.load(tmp_path / "diagram.h5")
    np.testing.assert_array_equal(again.labels, pd.labels)
    np.testing.assert_array_equal(again.lines["spinodal"], pd.lines["spinodal"])
    assert again.names == pd.names and again.title == pd.title and again.residuals == pd.residuals


def test_plot(diagram):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    _, pd = diagram
    ax = pd.plot()
    assert len(ax.lines) == len(pd.lines) and ax.get_xlim()[1] < 1.02 * pd.gamma[-1]
    own = plt.figure().add_subplot()
    assert pd.plot(own) is own
    plt.close("all")


def pointwise_by_scipy(gamma, temperature):
    """The usual way, P = 4: scipy's root on integrals by scipy's quad for two starts, then both free energies."""
    def average(function, m, q):
        a, sigma = 2 * m**3, np.sqrt(2 * gamma * abs(q) ** 3)
        return quad(lambda z: function((a + sigma * z) / temperature) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), -9, 9,
                    limit=200)[0]

    states = [root(lambda x: [average(np.tanh, *x) - x[0], average(lambda v: np.tanh(v) ** 2, *x) - x[1]], start)
              for start in ((1.0, 1.0), (0.0, 1.0))]
    energies = [1.5 * m**4 - gamma / (4 * temperature) * (1 - 4 * q**3 + 3 * q**4)
                - temperature * average(lambda v: np.logaddexp(v, -v), m, q) for m, q in (s.x for s in states)]
    return states[0], energies


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning", "ignore::RuntimeWarning")
def test_phase_diagram_holds_the_states_that_scipy_finds():
    """The retrieval overlaps of a diagram against root and quad, point by point; scipy may miss a state, hebb may not."""
    gamma, temperature = np.linspace(0.005, 0.6, 100), np.linspace(0.01, 1.1, 100)
    pd = Dense(p_body=4).phase_diagram(gamma, temperature)
    rng = np.random.default_rng(1)
    agreeing, points = 0, [(rng.integers(100), rng.integers(100)) for _ in range(60)]
    for i, j in points:
        found, _ = pointwise_by_scipy(gamma[j], temperature[i])
        agreeing += found.success and abs(found.x[0] - pd.m[i, j]) < 1e-5
    assert agreeing >= 20
