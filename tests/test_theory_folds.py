"""The end of retrieval with broken replica symmetry: published loads, what another step changes, refusals."""

from functools import cache

import numpy as np
import pytest

from hebb.errors import NoSolution
from hebb.params import DenseLaw
from hebb.theory.folds import one_more_step, retrieval_fold
from hebb.theory.parisi import Parisi, Point

GUESSES = {2: (0.966, [0.99], 0.05, [30.0], 0.138), 3: (0.66, [0.7], 0.13, [2.0], 0.46),
           4: (0.82, [0.85], 0.07, [2.0], 0.458), 6: (0.917, [0.93], 0.03, [1.8], 0.527)}


@cache
def fold(p_body, steps, temperature=0.0):
    if steps > 1:
        start = one_more_step(fold(p_body, steps - 1).saddle.point)
    elif temperature > 0:
        start = fold(p_body, 1).saddle.point
    else:
        start = Point.of(*GUESSES[p_body], 0.0)
    return retrieval_fold(Parisi(DenseLaw(p_body), steps), start._replace(temperature=np.array([temperature])))


@pytest.mark.parametrize(("p_body", "gamma", "n", "error"), [
    (2, 0.1381864896, 0.9667780, 1e-7), (3, 0.4612117870, 0.6507714, 1e-7), (4, 0.4583434668, 0.8182772, 1e-7),
    (6, 0.5277083495, 0.9167797, 1e-7)])
def test_one_step_at_zero_temperature(p_body, gamma, n, error):
    found = fold(p_body, 1)
    assert found.gamma == pytest.approx(gamma, abs=5.1e-11) and found.nt == pytest.approx(n, abs=error)
    assert found.error < 1e-10 and found.saddle.residual[0] < 1e-13 and found.saddle.shift[0] < 1e-10


@pytest.mark.parametrize(("temperature", "gamma"), [(0.1, 0.45952), (0.2, 0.46004), (0.3, 0.46020)])
def test_one_step_at_finite_temperature(temperature, gamma):
    found = fold(4, 1, temperature)
    assert found.gamma == pytest.approx(gamma, abs=5.1e-6) and found.saddle.replicon[0] < 0


@pytest.mark.parametrize("p_body", [3, 4, 6])
def test_the_second_step_moves_the_fold_in_the_third_digit(p_body):
    """Another step raises f, a maximum over q and x, at any n and gamma, and the load at which retrieval ends."""
    one, two = fold(p_body, 1), fold(p_body, 2)
    assert 1e-3 < two.gamma - one.gamma < 4e-3
    assert two.saddle.residual[0] < 1e-13 and two.saddle.gradient[0] < 1e-12 and not two.saddle.collapsed[0]
    at_two = one.saddle.point._replace(gamma=np.array([0.99 * one.gamma]), nt=np.array([one.nt + 0.05 * (1 - one.nt)]))
    engines = Parisi(DenseLaw(p_body), 1), Parisi(DenseLaw(p_body), 2)
    names = engines[0].names[1:-2], engines[1].names[1:-2]           # all but nt: off the saddle in nt
    lower = engines[0].solve(at_two, equations=names[0])
    upper = engines[1].solve(one_more_step(lower.point), equations=names[1])
    assert max(lower.residual[0], upper.residual[0]) < 1e-13 and upper.free_energy[0] > lower.free_energy[0] + 1e-6


def test_the_third_step_moves_it_ten_times_less():
    gamma = [fold(3, steps).gamma for steps in (1, 2, 3)]
    assert 5 < (gamma[1] - gamma[0]) / (gamma[2] - gamma[1]) < 20


def test_there_is_no_fold_of_broken_symmetry_where_replica_symmetry_is_stable():
    with pytest.raises(NoSolution, match="1 distinct levels"):
        fold(4, 1, 0.6)


def test_more_steps_keep_the_shape_of_the_profiles():
    """What is equally spaced in log x stays so; q_0 stays; order is kept."""
    start = Point.of(0.9, [0.5, 0.9], 0.1, [1.0, 2.0], 0.4, 0.0)
    three = one_more_step(start)
    assert three.q[0, 0] == pytest.approx(0.5, abs=1e-15) and (np.diff(three.overlaps[0]) > 0).all()
    assert np.diff(np.log(three.x[0])) == pytest.approx(np.full(2, np.log(2) * 2 / 3), rel=1e-12)
