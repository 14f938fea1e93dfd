"""Retrieval on several stretches of loads: few noisy examples, states that exchange, where retrieval ends."""

from math import comb

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from hebb.errors import NoSolution, ParameterError
from hebb.theory import Dense, critical_examples
from hebb.theory.segments import with_turns

FIVE = {"p_body": 2, "r": 0.5, "n_examples": 5, "protocol": "supervised"}


@pytest.fixture(scope="module")
def five():
    return Dense(**FIVE)


def test_retrieval_goes_on_beyond_its_first_maximum(five):
    """alpha = .011, T = .1: chains of N = 4000 and 8000 stay retrieved with m .705(6), q .9315(11)."""
    state = five.solve(0.011, 0.1)
    assert state.stable and state.converged and state.replicon == pytest.approx(0.048, abs=1e-3)
    assert state.m == pytest.approx(0.7079513, abs=1e-7) and state.q == pytest.approx(0.9313357, abs=1e-7)
    assert five.spinodal(0.1).gamma == pytest.approx(0.0135255274, abs=1e-9)


def independent_curve(temperature, n):
    """(alpha, f) of the network `five` at the overlap n = E[u s]: plain quadrature, no code of hebb."""
    r, m = 0.5, 5
    k = np.arange(m + 1)
    weight = np.array([comb(m, j) * ((1 + r) / 2) ** j * ((1 - r) / 2) ** (m - j) for j in k])
    u = (2 * k - m) / (m * r)
    field = n * u[:, None] / (weight @ u**2)
    z = np.linspace(-9, 9, 4001)
    gauss = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])

    def overlap(sigma):
        return weight @ (u * (np.tanh((field + sigma * z) / temperature) @ gauss))

    low, high = 1e-9, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if overlap(middle) > n else (low, middle)
    h = (field + low * z) / temperature
    q = weight @ (np.tanh(h) ** 2 @ gauss)
    C = (1 - q) / temperature
    alpha = low**2 * (1 - C) ** 2 / q
    noise = 1 + temperature * np.log(1 - C) - q / (1 - C) + q * C / (1 - C) ** 2
    return alpha, n * n / (weight @ u**2) / 2 + alpha / 2 * noise - temperature * (weight @ (np.logaddexp(h, -h) @ gauss))


def test_stretches_against_plain_quadrature(five):
    """Ends, begin and exchange from a scan of gamma(n) that shares no code with hebb."""
    top = five.solve(1e-5, 0.1).n * (1 + five.law.rho)
    n = np.linspace(top, 0.9, 400)
    alpha, free = np.array([independent_curve(0.1, x) for x in n]).T
    rising = np.sign(np.diff(alpha))
    turns = np.flatnonzero(rising[1:] != rising[:-1]) + 1
    assert turns.size == 3
    for turn, load in zip(turns, (five.spinodal(0.1, branch="retrieval_high").gamma, five.onset(0.1).gamma,
                                  five.spinodal(0.1).gamma), strict=True):
        assert alpha[turn] == pytest.approx(load, rel=1e-4)
    exchange = five.exchange(0.1)
    first, second = (CubicSpline(alpha[part], free[part])(exchange.gamma)
                     for part in (slice(turns[0]), slice(turns[1] + 1, turns[2])))
    assert first == pytest.approx(second, abs=1e-8) and first == pytest.approx(exchange.solution.free_energy, abs=1e-7)
    assert exchange.converged and exchange.solution.m > exchange.other.m


def test_the_lower_state_takes_over(five):
    """Each state by its name on both sides of the exchange; "retrieval" is the one of lower free energy."""
    line = five.exchange(0.1).gamma
    assert five.onset(0.1).gamma < line < five.spinodal(0.1, branch="retrieval_high").gamma
    for gamma, name in ((line * (1 - 1e-3), "retrieval_high"), (line * (1 + 1e-3), "retrieval_low")):
        states = five.retrieval_states(gamma, 0.1)
        assert [state.branch for state in states] == ["retrieval_high", "retrieval_low"]
        assert all(state.stable and state.converged for state in states)
        assert five.solve(gamma, 0.1).m == min(states, key=lambda state: state.free_energy).m
        assert five.solve(gamma, 0.1).m == five.solve(gamma, 0.1, branch=name).m
    assert five.retrieval_states(0.02, 0.1) == ()
    ends = five.solve(five.onset(0.1).gamma, 0.1, branch="retrieval_low")
    assert not ends.stable and ends.m == five.onset(0.1).solution.m


def test_names_that_do_not_apply(five):
    with pytest.raises(NoSolution, match="from gamma = 0 to 0.00671"):
        five.solve(0.011, 0.1, branch="retrieval_high")
    with pytest.raises(NoSolution, match="retrieval states there: retrieval_high, retrieval_low"):
        five.solve(0.005, 0.1, branch="retrieval_middle")
    with pytest.raises(NoSolution, match="fewer than two"):
        five.exchange(0.4)
    with pytest.raises(NoSolution, match="retrieval"):
        five.onset(0.4)
    with pytest.raises(ParameterError, match="replica-symmetric"):
        five.solve(0.005, 0.1, "1RSB", "retrieval_high")


def test_curves_follow_one_state(five):
    """The curve of retrieval jumps at the exchange, those of its states do not."""
    whole, high, low = (five.curve(0.1, branch=name) for name in ("retrieval", "retrieval_high", "retrieval_low"))
    assert np.all(np.diff(high.m) < 0) and np.all(np.diff(low.m) < 0) and np.all(np.diff(whole.m) < 0)
    assert whole.gamma[-1] == five.spinodal(0.1).gamma and low.gamma[0] == five.onset(0.1).gamma
    line = five.exchange(0.1).gamma
    before, after = whole.m[whole.gamma < line][-1], whole.m[whole.gamma > line][0]
    assert before - after > 0.5 * (five.exchange(0.1).solution.m - five.exchange(0.1).other.m)
    assert high.residual.max() < 1e-12 and low.residual.max() < 1e-12


def test_lines_of_the_diagram(five):
    """The exchange lies between begin and end of the two states, and they meet where the temperature parts one from two."""
    diagram = five.phase_diagram(np.linspace(0, 0.015, 31), np.linspace(0.02, 1.0, 30))
    lines = diagram.lines
    assert {"exchange", "retrieval_high_end", "retrieval_low_onset"} <= set(lines)
    assert max(diagram.residuals.values()) < 1e-10
    for gamma, temperature in lines["exchange"][np.isfinite(lines["exchange"][:, 0])]:
        low, high = (np.interp(temperature, *lines[name][np.isfinite(lines[name][:, 0])].T[::-1])
                     for name in ("retrieval_low_onset", "retrieval_high_end"))
        assert low <= gamma * (1 + 2e-3) and gamma <= high * (1 + 2e-3)
    exists = (diagram.labels == 2) | (diagram.labels == 3)
    ends = np.array([five.spinodal(T).gamma if T < 1 else -1.0 for T in diagram.temperature])
    assert np.array_equal(exists, diagram.gamma <= ends[:, None])


def test_no_load_is_lost_between_temperatures(five):
    """spinodal(T) is continuous through the temperature (about .12) at which two states become one."""
    loads = np.array([five.spinodal(T).gamma for T in np.linspace(0.08, 0.16, 33)])
    assert np.abs(np.diff(loads)).max() < 3e-5


def test_any_number_of_examples_retrieves():
    """gamma = .011, T = .1, r = .5: also M = 3, 4 and 5, whose first maximum lies below."""
    for n_examples in (3, 4, 5, 6):
        network = Dense(2, r=0.5, n_examples=n_examples)
        assert network.solve(0.011, 0.1).stable and network.spinodal(0.1).gamma > 0.0119
    with pytest.raises(NoSolution, match="any number of examples suffices"):
        critical_examples(2, 0.011, 0.1, 0.5, "supervised")
    found = critical_examples(2, 0.0145, 0.1, 0.5, "supervised")
    assert found.n_examples == 6 and found.boundary.gamma > 0.0145


@pytest.mark.parametrize("keywords", [{"p_body": 4, "rho": 0.15}, {"p_body": 6, "r": 0.8, "n_examples": 5}])
def test_retrieval_ends_at_the_outermost_fold(keywords):
    """Two folds become one near T = .4; below, the second reaches farther. Its replicon is negative: RS only hints."""
    network = Dense(**keywords)
    temperature = np.linspace(0.33, 0.45, 49)
    loads = network.branches.spinodal_loads(temperature)
    counts = network.branches.retrieval.segments(temperature).count
    assert counts[0] == 2 and counts[-1] == 1
    assert np.abs(np.diff(loads)).max() < 1.5e-3             # the first fold alone jumps by .018 and .023
    assert not network.spinodal(0.35).solution.stable and network.spinodal(0.35).solution.replicon < 0


def test_states_without_a_dataset_stay():
    """Stretches of negative replicon at small overlaps (P = 4, T = .2, gamma = .2) do not replace retrieval."""
    network = Dense(4)
    states = network.retrieval_states(0.2, 0.2)
    assert len(states) == 2 and states[1].replicon < 0 and states[1].free_energy > states[0].free_energy - 0.1
    assert network.solve(0.2, 0.2).m == states[0].m > 0.99
    assert {"exchange", "retrieval_high_end"}.isdisjoint(
        network.phase_diagram(np.linspace(0, 0.5, 5), np.linspace(0.05, 0.9, 12)).lines)


def test_turns_between_grid_points():
    """A dip below zero narrower than the grid is found, a shallow one is not invented."""
    y = np.linspace(1, 0, 21)

    def value(x, row):
        width = np.where(row == 0, 0.01, 0.2)
        depth = np.where(row == 0, 1.2, 0.5)
        return 1 - depth / (1 + ((x - 0.4721) / width) ** 2)

    row, points = np.repeat([0, 1], 21), np.tile(y, 2)
    assert np.all(value(points, row) > 0)
    place, found = with_turns(value, row, points, value(points, row))
    assert place.tolist() == [0] and value(found, place)[0] < 0


def test_datasets_of_nothing_but_noise():
    """rho = 1e12: the spinodal is largest at the last temperature that is traced; one sentence, no IndexError."""
    with pytest.raises(NoSolution, match="no retrieval at any temperature"):
        Dense(4, rho=1e12, protocol="supervised").at_line(0.1)
