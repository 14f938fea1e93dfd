"""Branches of the field-space perceptron: where they end, cross and become unstable; curves over the load, second tasks."""

import math
from functools import cache

import numpy as np
import pytest

from hebb.errors import NoSolution, ParameterError
from hebb.theory import Perceptron, PerceptronCurve, SecondTaskMap
from hebb.theory.perceptron_branches import QUANTITIES


@cache
def cold():
    return Perceptron(20.0)


@cache
def first():
    return cold().first_task(2.0, branch="good")


# ---- ends, crossing and stability of the branches --------------------------------------------------------------------

def test_where_branches_coexist():
    lower, upper = cold().spinodals()
    assert lower.alpha == pytest.approx(1.498898, abs=6e-7) and upper.alpha == pytest.approx(1.905803, abs=6e-7)
    assert lower.solution.generalization_error == pytest.approx(0.0543, abs=6e-5)
    assert upper.solution.generalization_error == pytest.approx(0.1955, abs=6e-5)
    assert lower.converged and upper.converged and not lower.solution.stable and not upper.solution.stable
    assert (lower.solution.branch, upper.solution.branch) == ("good", "poor")
    crossing = cold().transition()
    assert crossing.alpha == pytest.approx(1.65022, abs=6e-6) and crossing.converged
    assert crossing.solution.generalization_error == pytest.approx(0.2229, abs=6e-5)
    assert crossing.other.generalization_error == pytest.approx(0.0124, abs=6e-5)
    assert crossing.solution.free_entropy == pytest.approx(crossing.other.free_entropy, abs=1e-11)
    edge = cold().at_line()
    assert edge.alpha == float(edge) == pytest.approx(0.728926, abs=6e-7) and edge.converged
    assert cold().first_task(0.72).stable and not cold().first_task(0.74).stable
    with pytest.raises(NoSolution, match="replicon ratio of the good branch does not pass 1; it is below 1"):
        cold().at_line(branch="good")


@pytest.mark.slow
def test_branches_meet_at_the_spinodals():
    # poor and middle state, and middle and good one, approach each other as the root of the distance to the fold
    family = cold()._first_family(0.0)
    for edge, side, name in zip(cold().spinodals(), (1, -1), ("good", "poor"), strict=True):
        gaps = []
        for distance in (1e-5, 1e-7):
            alpha = edge.alpha * (1 + side * distance)
            states = cold().first_task(alpha, branch=name), family.middle(alpha)
            assert states[0].converged and states[1].converged and not states[1].stable and states[1].branch == "middle"
            gaps.append(abs(states[0].overlap - states[1].overlap))
        assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.02)             # next order: the root of the distance
        with pytest.raises(NoSolution, match=f"no {name} branch .*nearest alpha where it exists is {edge.alpha:.7g}"):
            cold().first_task(edge.alpha * (1 - side * 1e-4), branch=name)
        assert family.middle(edge.alpha * (1 - side * 1e-4)) is None
    # det(1 - dc'/dc) of the update has the other sign between the folds
    branches = cold().first_branches()
    signs = [math.copysign(1, saddle.crossing) for saddle in
             (branches.saddle(1.7, "poor"), branches.between(1.7), branches.saddle(1.7, "good"))]
    assert signs == [1, -1, 1]


def test_coexistence_with_a_divergence():
    theory = Perceptron(100.0)
    lower, upper = theory.spinodals(kl=1.0)
    assert 1.5 < lower.alpha < 1.6 and 2.2 < upper.alpha < 2.4               # where a scan saw them
    assert (lower.alpha, upper.alpha) == pytest.approx((1.50016271, 2.21577239), abs=1e-8)          # computed here
    crossing = theory.transition(kl=1.0)
    assert crossing.alpha == pytest.approx(2.00355, abs=6e-6) and crossing.converged
    assert crossing.solution.generalization_error == pytest.approx(0.1302, abs=6e-5)
    assert crossing.other.generalization_error < 1e-6 and crossing.solution.stable and crossing.other.stable
    poor, good = (theory.first_task(2.0, kl=1.0, branch=name) for name in ("poor", "good"))
    assert poor.free_entropy - good.free_entropy == pytest.approx(0.083, abs=6e-4)
    assert (poor.replicon_ratio, good.replicon_ratio) == pytest.approx((0.17, 1.5e-5), rel=0.05)     # as printed
    with pytest.raises(NoSolution, match="replicon ratio of the poor branch does not pass 1; it is below 1"):
        theory.at_line(kl=1.0)


@pytest.mark.parametrize(("beta", "kl"), [(20.0, 0.0), (100.0, 1.0),
                                            pytest.param(300.0, 1.0, marks=pytest.mark.slow)])
def test_followed_curves_know_their_folds(beta, kl):
    # curves are followed with residuals of 1e-5, in steps so long that cubics alone miss folds by up to 1e-2
    branches = Perceptron(beta).first_branches(kl)
    assert branches.window == pytest.approx((branches.lower_spinodal.alpha, branches.upper_spinodal.alpha), rel=1e-5)
    # a load just inside the window is not taken for a unique one
    for alpha in (branches.lower_spinodal.alpha * (1 + 1e-6), branches.upper_spinodal.alpha * (1 - 1e-6)):
        with pytest.raises(NoSolution, match="a poor and a good branch coexist"):
            branches.saddle(alpha)


def test_transition_between_states_whose_free_entropies_are_differences_of_large_numbers():
    edge = Perceptron(300.0).transition(1.0)
    assert edge.converged and edge.alpha == pytest.approx(1.8525078391, abs=1e-9)                    # computed here
    # terms of 4e6 cancel in each free entropy: rounding leaves 1e-9
    assert 1 < edge.other.q0_hat / 4e6 < 1.1 and edge.residual < 1e-9


def test_one_smooth_branch():
    theory = Perceptron(5.0)
    for call, word in ((theory.spinodals, "spinodal"), (theory.transition, "transition")):
        with pytest.raises(NoSolution, match=f"beta = 5, kl = 0: one smooth branch at all loads, so there is no {word}"):
            call()
    curve = theory.curve([0.5, 1.0, 2.0])
    assert curve.names == ("unique",) and np.all(np.isnan(curve.spinodals)) and curve.q0.shape == (1, 3)
    assert np.all(np.isfinite(curve.overlap)) and np.all(curve.replicon_ratio < 1) and np.all(curve.equilibrium == 0)
    assert curve.overlap[0, 1] == theory.first_task(1.0).overlap


def test_a_poor_branch_without_an_end():
    theory = Perceptron(100.0)
    edge = theory.at_line()                                                  # before the load where curves begin
    assert edge.converged and 0.4 < edge.alpha < 0.5
    ratios = [theory.first_task(edge.alpha * factor).replicon_ratio for factor in (0.99, 1.01)]
    assert ratios[0] < 1 < ratios[1]
    with pytest.raises(NoSolution, match=r"begins at alpha = 0\.83294\d+ and the poor one has no fold .* take a smaller beta"):
        theory.spinodals()


# ---- curves ----------------------------------------------------------------------------------------------------------

def check_curve(curve):
    lower, upper = cold().spinodals()
    assert curve.spinodals == pytest.approx([lower.alpha, upper.alpha], abs=1e-12)
    poor, good, middle = (curve.row(name) for name in ("poor", "good", "middle"))
    np.testing.assert_array_equal(np.isfinite(curve.q0[poor]), curve.alpha < upper.alpha)
    np.testing.assert_array_equal(np.isfinite(curve.q0[good]), curve.alpha > lower.alpha)
    between = (curve.alpha > lower.alpha) & (curve.alpha < upper.alpha)
    np.testing.assert_array_equal(np.isfinite(curve.q0[middle]), between)
    assert np.nanmax(curve.residual) < 1e-10
    # monotone along the curve: more examples help on the two branches, and less in between
    for row, sign in ((poor, 1), (good, 1), (middle, -1)):
        there = np.isfinite(curve.overlap[row])
        assert np.all(sign * np.diff(curve.overlap[row][there]) > 0)
    values = curve.overlap[:, between]
    assert np.all(values[poor] < values[middle]) and np.all(values[middle] < values[good])
    np.testing.assert_array_equal(curve.equilibrium == good, curve.alpha > 1.65022)
    assert np.all(curve.free_entropy[middle, between] < curve.free_entropy[:, between].max(axis=0))


def test_curve_of_all_branches():
    curve = cold().curve([0.3, 1.45, 1.5, 1.7, 1.9, 1.95], middle=True)
    check_curve(curve)
    state = cold().first_task(1.7, branch="good")
    for name in QUANTITIES:
        assert getattr(curve, name)[1, 3] == getattr(state, name)
    assert cold().curve([1.7]).names == ("poor", "good")


@pytest.mark.slow
def test_published_range():
    check_curve(cold().curve(np.arange(1, 201) / 100, middle=True))


def test_curves_are_stored_and_drawn(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curve = cold().curve([0.5, 1.7], middle=True)
    curve.save(tmp_path / "curve.h5")
    again = PerceptronCurve.load(tmp_path / "curve.h5")
    assert (again.names, again.beta, again.kl) == (curve.names, 20.0, 0.0)
    for name in ("alpha", "spinodals", *QUANTITIES):
        np.testing.assert_array_equal(getattr(again, name), getattr(curve, name))
    ax = again.plot(quantity="overlap")
    assert ax.get_ylabel() == "$p_1$" and {"poor", "good", "middle"} <= set(ax.get_legend_handles_labels()[1])
    plt.close(ax.figure)


# ---- second tasks ----------------------------------------------------------------------------------------------------

def test_map_of_second_tasks(tmp_path):
    found = cold().second_task_map(first(), [0.5, 2.0], [-0.5, 0.5], kl=1.0)
    assert found.error_task1.shape == (1, 2, 2, 2) and np.nanmax(found.residual) < 1e-10
    published = np.array([[(0.120, 0.644), (0.263, 0.559)], [(0.069, 0.328), (0.189, 0.267)]])
    errors = np.stack([found.at_equilibrium("error_task1")[0], found.at_equilibrium("error_task2")[0]], axis=-1)
    assert errors == pytest.approx(published, abs=6e-4)                      # as printed
    assert np.all(np.isnan(found.q0[:, :, 1])) and np.all(found.spinodals[0, :, 0] > 2)
    found.save(tmp_path / "map.h5")
    again = SecondTaskMap.load(tmp_path / "map.h5")
    np.testing.assert_array_equal(again.error_task2, found.error_task2)
    assert (again.names, again.first_branch, again.first_alpha) == (("poor", "good"), "good", 2.0)


def test_two_states_of_a_second_task():
    found = cold().second_task_map(first(), [2.0], -0.5, 0.1)
    assert found.error_task2[0, 0, :, 0] == pytest.approx([0.2327, 0.00405], abs=6e-5)
    assert found.equilibrium[0, 0, 0] == np.argmax(found.free_entropy[0, 0, :, 0])
    low, high = found.spinodals[0, 0]
    assert low < 2 < high
    state = cold().second_task(first(), 2.0, -0.5, kl=0.1, branch="good")
    assert state.error_task2 == found.error_task2[0, 0, 1, 0] and state.converged


def test_maps_are_drawn():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = cold().second_task_map(first(), [1.0, 2.0], -0.5, [0.1, 1.0])       # curves that were followed before
    ax = found.plot(task=1)
    assert ax.get_ylabel() == r"$\epsilon_1$" and len(ax.get_legend_handles_labels()[1]) == 2
    plt.close(ax.figure)


@pytest.mark.parametrize("call, message", [
    (lambda: cold().curve([]), "is not a 1-d increasing array of numbers in"),
    (lambda: cold().curve([1.0, 0.5]), "alpha = .* is not a 1-d increasing array"),
    (lambda: cold().curve([0.0, 0.5]), "numpy.linspace"), (lambda: cold().curve("a"), "alpha = 'a'"),
    (lambda: cold().at_line(branch="unique"), "branch = 'unique' is not one of poor, good"),
    (lambda: cold().transition(kl=-1), "kl = -1 is not a number"),
    (lambda: cold().second_task_map(first(), [1.0], 1.5), r"teacher_correlation = 1.5 is neither a number in \[-1, 1\]"),
    (lambda: cold().second_task_map(first(), [1.0], 0.5, [-1]), r"kl = \[-1\] is neither a number in \[0, inf\["),
    (lambda: cold().second_task_map(3, [1.0], 0.5), "first is not a FirstTask")])
def test_bad_input(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
