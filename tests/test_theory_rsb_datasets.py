"""One step of RSB with noisy datasets: states that replica symmetry hides, ends of retrieval, no unstable record."""

import numpy as np
import pytest

from hebb.errors import NoSolution
from hebb.theory import Dense
from hebb.theory.parisi import Parisi, Point

CASES = [({"p_body": 6, "r": 0.8, "n_examples": 5}, 0.5, 0.3671326779),
         ({"p_body": 4, "r": 0.3, "n_examples": 5}, 0.35, 0.2583735868)]


def test_a_state_that_parts_with_a_jump():
    """P = 6, r = .5, M = 3, T = .35: RS has replicon -.096 there; the levels part at theta = .98, not continuously."""
    network = Dense(6, r=0.5, n_examples=3)
    state = network.solve(0.2024, 0.35, "1RSB")
    assert (state.q0, state.q1, state.breaking_slope, state.free_energy) == pytest.approx(
        (0.607178, 0.924466, 2.566628, -0.33644601), abs=1e-6)
    assert state.stable and state.converged and network.solve(0.2024, 0.35).replicon < -0.09


@pytest.mark.parametrize(("keywords", "temperature", "end"), CASES)
def test_a_positive_replicon_is_not_enough(keywords, temperature, end):
    """The RS fold lies beyond the 1RSB end with positive replicon, but at its overlap a 1RSB solution with theta < 1 has the
    larger f (a maximum over q), and no minimum over n is left: the RS state is none."""
    network = Dense(**keywords)
    fold = network.spinodal(temperature)
    assert fold.solution.replicon > 0.01 and fold.gamma > end + 1e-3
    edge = network.spinodal(temperature, "1RSB")
    assert edge.converged and edge.gamma == pytest.approx(end, abs=1e-8) and edge.solution.theta < 1

    gamma = fold.gamma * (1 - 1e-6)
    symmetric = network.solve(gamma, temperature)
    nt = symmetric.n * (1 + network.law.rho)
    parisi, spread = Parisi(network.law, 1), 1 - symmetric.q
    upper = symmetric.q + spread * np.array([0.6, 0.9])
    start = Point.from_columns(np.array(
        [[nt, symmetric.q - 0.1 * spread, (1 - q) / temperature, 0.9 / temperature, gamma, temperature] for q in upper]))
    broken = parisi.solve(start, unknowns=("q0", "C", "x1"), equations=("q0", "C", "x1"))
    k = int(np.argmin(broken.residual))
    assert broken.residual[k] < 1e-11 and not broken.collapsed[k] and broken.point.x[k, 0] * temperature < 1
    assert broken.free_energy[k] > symmetric.free_energy + 1e-5
    # df/dn ~ n - E u <tanh> stays positive at all overlaps around: no minimum
    for direction in (-1, 1):
        point = broken.point.rows([k])
        for share in 1 + direction * 0.004 * np.arange(1, 11):
            saddle = parisi.solve(point._replace(nt=np.array([nt * share])), unknowns=("q0", "C", "x1"),
                                  equations=("q0", "C", "x1"))
            point = saddle.point
            assert saddle.residual[0] < 1e-10 and point.x[0, 0] * temperature < 1
            assert point.nt[0] - parisi.evaluate(point).nt[0] > 1e-4
    with pytest.raises(NoSolution, match="ends at gamma"):
        network.solve((fold.gamma + edge.gamma) / 2, temperature, "1RSB")


def test_the_line_is_smooth_where_theta_reaches_one():
    """P = 4, rho = .15: the broken end joins the replica-symmetric one at T = .45, where its theta is 1."""
    network = Dense(4, rho=0.15)
    temperature = np.array([0.40, 0.42, 0.44, 0.46, 0.48])
    ends = [network.spinodal(T, "1RSB") for T in temperature]
    theta = [edge.solution.theta for edge in ends]
    assert 0.8 < theta[0] < theta[1] < theta[2] < 1 and np.isnan(theta[3:]).all()
    loads = np.array([edge.gamma for edge in ends])
    assert np.abs(np.diff(loads)).max() < 6e-3 and np.abs(np.diff(loads, 2)).max() < 4e-3
    assert ends[3].gamma == network.spinodal(0.46).gamma


@pytest.mark.parametrize("keywords", [{"p_body": 4, "rho": 0.88}, {"p_body": 2, "r": 0.5, "n_examples": 5}])
def test_no_record_is_unstable_and_unbroken(keywords):
    """Over the whole branch at several T: levels apart wherever the replica-symmetric replicon is negative."""
    network = Dense(**keywords)
    for temperature in (0.03, 0.1):
        end = network.spinodal(temperature, "1RSB").gamma
        found = 0
        for gamma in end * np.linspace(0.05, 1, 9):
            try:
                state = network.solve(gamma, temperature, "1RSB")
            except NoSolution as error:
                assert "no 1RSB state was found" in str(error)
                continue
            found += 1
            assert state.q1 > state.q0 or state.replicon >= 0
            assert state.converged
        assert found >= 8
