"""Saddle points of the field-space perceptron: published numbers, brute-force integrals, gradients, limits, branches."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_ndtr

from hebb.errors import NoSolution, ParameterError
from hebb.theory import Perceptron
from hebb.theory.perceptron_curve import Branches
from hebb.theory.perceptron_energy import Conjugates, Order, energy
from hebb.theory.perceptron_first import FirstEquations, free_entropy
from hebb.theory.perceptron_saddle import newton, sensitivity
from hebb.theory.perceptron_second import SecondEquations

ANCHORS = [entry for entry in json.loads((Path(__file__).parent / "data" / "reference_perceptron.json").read_text())
           if entry["call"] in ("first_task", "second_task")]


@cache
def first(beta, alpha, kl=0.0, branch="unique"):
    return Perceptron(beta).first_task(alpha, kl, branch)


@cache
def second(beta, reference, alpha, correlation, kl, branch="unique"):
    return Perceptron(beta).second_task(reference, alpha, correlation, kl, branch)


def good():
    return first(20.0, 2.0, 0.0, "good")


@pytest.mark.parametrize("entry", ANCHORS, ids=[entry["id"] for entry in ANCHORS])
def test_anchors(entry):
    args = dict(entry["args"])
    if "first" in args:
        args["first"] = first(**args["first"])
    found = getattr(Perceptron(**entry["init"]), entry["call"])(**args)
    for name, value in entry["values"].items():
        assert getattr(found, name) == pytest.approx(value, rel=0, abs=entry["abs_err"][name]), name
    assert found.converged and found.residual < 1e-10 and found.stable == (found.replicon_ratio < 1)
    assert found.free_energy == -found.free_entropy / found.beta


# ---- integrals against uniform grids ---------------------------------------------------------------------------------

ORDERS = [(20.0, Order.of(0.85, 0.6, 0.91)), (5.0, Order.of(0.38, 0.45, 0.52)), (20.0, Order.of(0.6, -0.3, 0.64)),
          (1.0, Order.of(0.2, 0.0, 0.45)), (100.0, Order.of(0.13, 0.19, 0.14)), (0.3, Order.of(0.5, 0.6, 0.8)),
          (6.0, Order.of(0.0135, 0.0126, 0.9934))]


def grid_energy(q0, r, qd, beta, step=0.03):
    """G_E, and z, ln f and the teacher's weights on its grid; the arguments may be complex."""
    z, x = np.arange(-10, 10, step), np.arange(-11, 26, step)
    u = (np.sqrt(q0 + 0j) * z[:, None] + np.sqrt(qd - q0 + 0j) * x) / np.sqrt(1 - qd + 0j)
    exponent = beta * log_ndtr(u) - x * x / 2
    top = exponent.real.max(axis=1)
    log_f = np.log(np.exp(exponent - top[:, None]).sum(axis=1) * step / math.sqrt(2 * math.pi)) + top
    teacher = np.exp(log_ndtr(r * z / np.sqrt(q0 - r * r + 0j)) - z * z / 2) * step * 2 / math.sqrt(2 * math.pi)
    return teacher @ log_f, z, log_f.real, teacher.real


@pytest.mark.parametrize(("beta", "order"), ORDERS)
def test_energy_is_its_double_integral(beta, order):
    found, (value, _, log_f, teacher) = energy(order, beta), grid_energy(*order[:3], beta)
    assert found.value == pytest.approx(value.real, rel=2e-13)
    # fourth-order differences of ln f in omega; their error is the step to the fourth power
    step = 0.03 * math.sqrt(order.q0)
    bend = (-log_f[4:] + 16 * log_f[3:-1] - 30 * log_f[2:-2] + 16 * log_f[1:-3] - log_f[:-4]) / (12 * step**2)
    assert found.curvature == pytest.approx(teacher[2:-2] @ bend**2, rel=2e-4)


@pytest.mark.parametrize(("beta", "order"), ORDERS)
def test_slopes_are_derivatives_of_the_energy(beta, order):
    """By complex steps through the double integral, which knows nothing of the integration by parts."""
    point, tiny = np.array(order[:3], complex), 1e-25
    derivative = [grid_energy(*(point + 1j * tiny * unit), beta, 0.05)[0].imag / tiny for unit in np.eye(3)]
    expected = (-2 * derivative[0], derivative[1], derivative[2])
    np.testing.assert_allclose(energy(order, beta).slopes, expected, rtol=1e-11, atol=1e-13)


def grid_spins(h, A, c, step):
    """<m>, <m^2>, <sgn m> and ln Z at fields h on midpoints in t, m = tanh t."""
    t = np.arange(-19.2, 19.2 - step / 2, step) + step / 2
    m = np.tanh(t)
    entropy = np.logaddexp(t, -t) - t * m
    exponent = A * m * m + h[:, None] * m + c * entropy - 2 * np.logaddexp(t, -t) + 2 * math.log(2)
    top = exponent.max(axis=1)
    weight = np.exp(exponent - top[:, None])
    z = weight.sum(axis=1)
    return weight @ m / z, weight @ m**2 / z, weight @ np.sign(m) / z, np.log(z * step) + top, t, weight / (z * step)[:, None]


def without_step(averages, step, jumps):
    """Averages on midpoints; those of sgn m, which jumps, extrapolated to step 0 (their error is even in the step)."""
    fine, middle, coarse = averages(step), averages(2 * step), averages(4 * step)
    return np.where(jumps, (64 * fine - 20 * middle + coarse) / 45, fine)


SITES = [(15.6, 2.44, 9.4, 0.0), (1228.0, 159.0, 588.0, 0.0), (1324.0, 22.2, 659.7, 100.0), (0.02, 0.05, 0.01, 0.0),
         (3.0, 1.0, -2.0, 0.0), (67.0, 5.5, 33.0, 20.0)]


@pytest.mark.parametrize(("Q", "R", "Qd", "c"), SITES)
def test_averages_over_magnetisations(Q, R, Qd, c):
    step = min(0.05, 0.5 / math.sqrt(Q))
    z = np.arange(-9, 9, step)
    weight = np.exp(-z * z / 2) * step / math.sqrt(2 * math.pi)

    def averages(step):
        m, square, sign, log_z, *_ = grid_spins(math.sqrt(Q) * z + R, Qd - Q / 2, c, step)
        return np.array([weight @ m**2, weight @ m, weight @ square, weight @ (square - m**2), weight @ sign, weight @ log_z,
                         weight @ (square - m * m) ** 2])

    expected = without_step(averages, 0.0125, [0, 0, 0, 0, 1, 0, 0])
    found = FirstEquations(1.0, c).point(Conjugates(Q, R, Qd)).site
    order = found.order
    np.testing.assert_allclose([order.q0, order.r, order.qd, order.spread, found.overlap, found.log_z, found.variance2],
                               expected, rtol=1e-9, atol=1e-12)
    assert order.rest == pytest.approx(1 - order.qd, abs=1e-15)
    assert order.gap == pytest.approx(order.q0 - order.r**2, abs=1e-15)
    assert order.spread == pytest.approx(order.qd - order.q0, abs=1e-15)
    assert math.cos(math.pi * found.error) == pytest.approx(found.overlap, abs=1e-15)


SECOND = [(1.0, 0.5, (760.0, 19.3, 364.5)), (0.1, -0.5, (60.0, 6.0, 33.0)), (1.0, -0.5, (4.0, 0.7, 2.0)),
          (0.0, 0.3, (60.0, 6.0, 33.0)), (1.0, 0.2, (150.0, 5.0, 73.0))]


@pytest.mark.parametrize(("kl", "correlation", "conjugates"), SECOND)
def test_averages_of_the_second_task(kl, correlation, conjugates):
    """The law of the field on a uniform grid, from that of theta' on another one."""
    Q, R, Qd = conjugates
    reference, c = good(), 20 * kl
    Q1, R1, Qd1 = reference.conjugates
    z = np.arange(-9, 9, 0.01)
    *_, theta, density = grid_spins(math.sqrt(Q1) * z + R1, Qd1 - Q1 / 2, 0.0, 0.04)
    density = np.exp(-z * z / 2) @ density * 0.01 / math.sqrt(2 * math.pi) * 0.04
    step = min(0.4, 0.25 * math.sqrt(Q))
    edge = 19.5 * c + 10 * math.sqrt(Q) + R
    b = np.arange(-edge, edge, step)

    def averages(width):
        m, square, sign, log_z, *_ = grid_spins(b, Qd - Q / 2, c, width)
        total = np.zeros(7)
        for B in (1, -1):
            away = (b[:, None] - c * theta - R * B) / math.sqrt(Q)
            law = np.exp(-away * away / 2) @ density * step / math.sqrt(2 * math.pi * Q) * (1 + B * correlation) / 2
            total += [law @ m**2, B * law @ m, law @ square, B * law @ sign, law @ m, law @ sign, law @ log_z]
        return total

    expected = without_step(averages, 0.02, [0, 0, 0, 1, 0, 1, 0])
    equations = SecondEquations(20.0, kl, correlation, FirstEquations(20.0), reference.conjugates)
    found, one = equations.point(Conjugates(*conjugates)).site, equations.first_site(Conjugates(*conjugates))
    np.testing.assert_allclose([found.order.q0, found.order.r, found.order.qd, found.overlap, one.order.r, one.overlap,
                                found.log_z], expected, rtol=3e-9, atol=1e-11)


# ---- the saddle is stationary ----------------------------------------------------------------------------------------

CASES = [(FirstEquations(20.0), (66.0, 7.4, 41.0)), (FirstEquations(100.0, 1.0), (1324.0, 22.2, 659.7)),
         (FirstEquations(1.0), (0.5, 0.7, 0.0)),
         *((SecondEquations(20.0, kl, 0.3, FirstEquations(20.0), Conjugates(1228.2, 159.17, 587.73)), conjugates)
           for kl, conjugates in ((1.0, (760.0, 19.3, 364.5)), (0.0, (66.0, 7.4, 41.0)), (1.0, (10.0, 1.0, 4.9))))]


@pytest.mark.parametrize(("equations", "conjugates"), CASES)
def test_order_parameters_are_slopes_of_the_site_part(equations, conjugates):
    """d G_S/d(Q, R, Qd) = (-q0/2, r, qd), by differences of fourth order."""
    c, found = np.array(conjugates), equations.point(Conjugates(*conjugates)).site.order
    for k, expected in enumerate((-found.q0 / 2, found.r, found.qd)):
        h = 2e-3 * max(1.0, abs(c[k])) * np.eye(3)[k]
        values = [equations.point(Conjugates(*(c + j * h))).site.log_z for j in (-2, -1, 1, 2)]
        slope = np.dot([1, -8, 8, -1], values) / (12 * h[k])
        assert slope == pytest.approx(expected, rel=3e-7)


@pytest.mark.parametrize(("beta", "alpha", "kl", "branch"), [(20.0, 0.5, 0.0, "unique"), (100.0, 2.0, 1.0, "poor"),
                                                            (100.0, 2.0, 1.0, "good"), (1.0, 1.5, 0.0, "unique")])
def test_free_entropy_changes_with_the_load_by_the_energy(beta, alpha, kl, branch):
    h = 1e-3
    phi = [first(beta, alpha + k * h, kl, branch).free_entropy for k in (-2, -1, 1, 2)]
    state = first(beta, alpha, kl, branch)
    expected = energy(Order.of(state.q0, state.r1, state.qd), beta).value
    rounding = 2e-15 * state.q0_hat / h                    # phi is a difference of terms of the size of Q
    assert np.dot([1, -8, 8, -1], phi) / (12 * h) == pytest.approx(expected, rel=1e-9, abs=rounding)


@pytest.mark.parametrize(("kl", "correlation"), [(1.0, 0.5), (0.1, -0.5)])
def test_free_entropy_of_the_second_task_changes_by_the_energy(kl, correlation):
    h, states = 1e-3, {}
    for k in (-2, -1, 0, 1, 2):
        states[k] = second(20.0, good(), 0.7 + k * h, correlation, kl)
    expected = energy(Order.of(states[0].q0, states[0].r2, states[0].qd), 20.0).value
    slope = sum(w * states[k].free_entropy for k, w in zip((-2, -1, 1, 2), (1, -8, 8, -1), strict=True)) / (12 * h)
    assert slope == pytest.approx(expected, rel=1e-9)


def test_free_entropy_changes_with_the_weight_of_the_divergence():
    """d phi/d kl = -beta <KL>: here of the first task, beta <S(m)>, which the site part knows as a derivative too."""
    h, state = 1e-4, first(20.0, 1.0, 0.5)
    phi = [first(20.0, 1.0, 0.5 + k * h).free_entropy for k in (-2, -1, 1, 2)]
    site = [FirstEquations(20.0, 0.5 + k * h).point(state.conjugates).site.log_z for k in (-2, -1, 1, 2)]
    assert np.dot([1, -8, 8, -1], phi) == pytest.approx(np.dot([1, -8, 8, -1], site), rel=1e-8)


@pytest.mark.parametrize("nodes", [0.75, 1.6])
@pytest.mark.parametrize(("equations", "conjugates"), CASES)
def test_nodes_do_not_matter(equations, conjugates, nodes):
    expected, found = (equations.point(Conjugates(*conjugates), n) for n in (1.0, nodes))
    np.testing.assert_allclose(found.site.order, expected.site.order, rtol=1e-10)
    np.testing.assert_allclose(found.energy.slopes, expected.energy.slopes, rtol=1e-10)
    assert (found.energy.value, found.site.log_z, found.site.wrong) == pytest.approx(
        (expected.energy.value, expected.site.log_z, expected.site.wrong), rel=1e-10)
    assert found.energy.curvature == pytest.approx(expected.energy.curvature, rel=1e-9)
    assert found.site.variance2 == pytest.approx(expected.site.variance2, rel=1e-9)


# ---- numbers of the theory note, to the digits printed ---------------------------------------------------------------

@pytest.mark.parametrize(("alpha", "branch", "error", "ratio"), [
    (0.5, "unique", 0.3554, 0.41), (1.0, "unique", 0.2828, 2.59), (1.5, "poor", 0.2352, 9.66), (1.5, "good", 0.0492, None),
    (2.0, "unique", 0.0013, 0.016)])
def test_table_of_the_first_task(alpha, branch, error, ratio):
    state = first(20.0, alpha, 0.0, branch)
    assert state.generalization_error == pytest.approx(error, abs=5.1e-5)
    assert ratio is None or state.replicon_ratio == pytest.approx(ratio, rel=0.03)
    assert state.converged and state.branch == branch


def test_first_task_with_divergence_has_two_branches_at_low_temperature():
    poor, better = (first(100.0, 2.0, 1.0, branch) for branch in ("poor", "good"))
    assert poor.free_entropy - better.free_entropy == pytest.approx(0.083, abs=5.1e-4)
    assert (poor.replicon_ratio, better.replicon_ratio) == (pytest.approx(0.17, abs=0.005), pytest.approx(1.5e-5, rel=0.04))
    assert poor.stable and better.stable and poor.generalization_error == pytest.approx(0.1308, abs=5.1e-5)
    for alpha, error in ((0.5, 0.3537), (1.0, 0.2770), (1.5, 0.2076)):
        state = first(100.0, alpha, 1.0, "poor" if alpha > 1 else "unique")
        assert state.generalization_error == pytest.approx(error, abs=5.1e-5)


@pytest.mark.parametrize(("correlation", "alpha", "errors"), [
    (-0.5, 0.5, (0.120, 0.644)), (-0.5, 1.0, (0.176, 0.617)), (-0.5, 2.0, (0.263, 0.559)), (0.0, 0.5, (0.100, 0.488)),
    (0.0, 2.0, (0.233, 0.420)), (0.5, 0.5, (0.069, 0.328)), (0.5, 1.0, (0.114, 0.313)), (0.5, 2.0, (0.189, 0.267))])
def test_table_of_the_second_task(correlation, alpha, errors):
    state = second(20.0, good(), alpha, correlation, 1.0)
    assert (state.error_task1, state.error_task2) == pytest.approx(errors, abs=5.1e-4)
    assert state.converged and state.stable


@pytest.mark.parametrize(("kl", "correlation", "alpha", "poor", "better"), [(0.1, -0.5, 2.0, 0.2327, 0.00405),
                                                                         (1.0, 0.0, 5.0, 0.1943, 0.0)])
def test_two_saddles_of_a_second_task(kl, correlation, alpha, poor, better):
    states = [second(20.0, good(), alpha, correlation, kl, branch) for branch in ("poor", "good")]
    assert [state.error_task2 for state in states] == pytest.approx([poor, better], abs=5.1e-5)
    assert all(state.converged for state in states)
    with pytest.raises(NoSolution, match="window from .* where a poor and a good branch coexist"):
        second(20.0, good(), alpha, correlation, kl)


@pytest.mark.parametrize(("alpha", "beta", "numbers"), [(0.3, 20.0, (0.3596, 0.248, 0.5528, 0.310)),
                                                     (0.6, 20.0, (0.6186, 0.436, 0.7382, 0.490))])
def test_second_task_after_small_loads(alpha, beta, numbers):
    state = first(beta, alpha)
    assert (state.q0, state.r1, state.qd, state.overlap) == pytest.approx(numbers, abs=5.1e-4)
    after = second(beta, state, 0.5, 0.5, 1.0)
    expected = (0.4802, 0.4997, 0.236, 0.269, 0.340, 0.285) if alpha == 0.3 else (0.5872, 0.6012, 0.294, 0.410, 0.492, 0.324)
    assert (after.q0, after.qd, after.r2, after.r1, after.overlap1, after.overlap2) == pytest.approx(expected, abs=5.1e-4)


# ---- limits ----------------------------------------------------------------------------------------------------------

def test_no_examples():
    """alpha -> 0: m uniform on [-1, 1] (kl = 0), or of density exp(c S(m)); r and q0 grow like alpha."""
    state = first(20.0, 1e-6)
    assert state.free_entropy == pytest.approx(math.log(2), abs=1e-5) and state.qd == pytest.approx(1 / 3, abs=1e-5)
    assert abs(state.r1) < 1e-5 and state.converged
    m = np.linspace(-1, 1, 20001)[1:-1]
    weight = np.exp(10 * (-(1 + m) / 2 * np.log((1 + m) / 2) - (1 - m) / 2 * np.log((1 - m) / 2)))
    assert first(20.0, 1e-6, 0.5).qd == pytest.approx(weight @ m**2 / weight.sum(), abs=1e-6)


def test_without_divergence_the_second_task_begins_afresh():
    fresh = first(20.0, 0.8)
    for correlation in (0.5, -0.2, 0.0):
        state = second(20.0, good(), 0.8, correlation, 0.0)
        assert (state.q0, state.r2, state.qd) == pytest.approx((fresh.q0, fresh.r1, fresh.qd), abs=1e-12)
        assert state.r1 == pytest.approx(correlation * fresh.r1, abs=1e-12)
        assert state.overlap1 == pytest.approx(correlation * fresh.overlap, abs=1e-12)
        assert state.free_entropy == pytest.approx(fresh.free_entropy, abs=1e-11)


def test_teachers_that_agree_or_are_opposite():
    same, opposite = (second(20.0, good(), 0.5, correlation, 1.0) for correlation in (1.0, -1.0))
    assert (same.r2, same.overlap2) == pytest.approx((same.r1, same.overlap1), abs=1e-13)
    assert (opposite.r2, opposite.overlap2) == pytest.approx((-opposite.r1, -opposite.overlap1), abs=1e-13)
    assert same.error_task1 < good().generalization_error + 1e-3 and opposite.error_task2 > 0.8


@pytest.mark.slow
def test_strong_divergence_pins_the_weights_to_the_reference():
    reference = first(20.0, 1.0)
    gaps = [abs(np.array([state.r1 - reference.r1, state.overlap1 - reference.overlap, state.qd - reference.qd]))
            for state in (second(20.0, reference, 0.5, 0.0, kl) for kl in (1e3, 1e4))]
    assert np.all(gaps[0] < 0.005) and np.all(gaps[1] < 0.12 * gaps[0])            # like 1/kl


def test_second_task_for_a_reference_of_another_temperature():
    """A reference of independent signs: r0 = 0 and one task's statistics decide nothing of the second teacher's spins."""
    reference = first(5.0, 1.0)
    one, other = (second(20.0, reference, 0.5, correlation, 1.0) for correlation in (0.4, -0.4))
    assert one.first.beta == 5.0 and one.beta == 20.0 and one.converged and other.converged
    assert one.error_task2 < other.error_task2


# ---- branches --------------------------------------------------------------------------------------------------------

def numbers(state):
    return (state.q0, state.r1, state.qd, state.q0_hat, state.r1_hat, state.qd_hat, state.free_entropy, state.replicon_ratio)


def test_names_of_branches_and_where_they_exist():
    theory = Perceptron(20.0)
    assert numbers(theory.first_task(1.2, branch="poor")) == pytest.approx(numbers(theory.first_task(1.2)), rel=1e-10)
    assert numbers(theory.first_task(2.2, branch="good")) == pytest.approx(numbers(theory.first_task(2.2)), rel=1e-10)
    with pytest.raises(NoSolution, match=r"alpha = 1.7 lies in the window from 1.498898 to 1.905803"):
        theory.first_task(1.7)
    with pytest.raises(NoSolution, match=r"no poor branch at alpha = 2; the nearest alpha where it exists is 1.905803"):
        theory.first_task(2.0, branch="poor")
    with pytest.raises(NoSolution, match=r"no good branch at alpha = 1.2; the nearest alpha where it exists is 1.498898"):
        theory.first_task(1.2, branch="good")
    smooth = Perceptron(5.0)
    assert smooth.first_branches().window is None
    assert len({numbers(smooth.first_task(1.5, branch=branch)) for branch in ("unique", "poor", "good")}) == 1


def test_one_saddle_alone_is_that_of_the_curve():
    """The first saddle asked for is found without following the branches."""
    curve = Perceptron(20.0).first_branches()
    assert curve.window is not None
    for alpha, branch in ((0.2, "unique"), (1.0, "unique"), (1.6, "good"), (2.2, "good")):
        alone = Branches(FirstEquations(20.0), 0.5)
        np.testing.assert_allclose(alone.saddle(alpha, branch).c, curve.saddle(alpha, branch).c, rtol=1e-10)
        assert "poor_curve" not in vars(alone)


def test_three_saddles_between_the_spinodals():
    """Error and conjugates along the branches are ordered; only the middle saddle is no extremum (one negative factor)."""
    branches = Perceptron(20.0).first_branches()
    for alpha in (1.55, 1.9):
        poor, middle, better = branches.saddle(alpha, "poor"), branches.between(alpha), branches.saddle(alpha, "good")
        assert poor.point.site.order.r < middle.point.site.order.r < better.point.site.order.r
        assert max(poor.error, middle.error, better.error) < 1e-11
        factors = [np.linalg.det(np.eye(3) - sensitivity(branches.equations, state.c)[:3]) for state in (poor, middle, better)]
        assert factors[0] > 0 > factors[1] and factors[2] > 0
    assert branches.between(1.8).point.site.error == pytest.approx(0.1668, abs=5.1e-5)       # where a cold start may end
    low, high = branches.lower_spinodal, branches.upper_spinodal
    assert (low.alpha, high.alpha) == pytest.approx((1.498898, 1.905803), abs=5.1e-7)
    for fold, branch, inside in ((low, "good", 1 + 1e-9), (high, "poor", 1 - 1e-9)):
        near = branches.saddle(fold.alpha * inside, branch)                       # the square root of the distance is left
        assert near.error < 1e-11 and near.point.site.order.r == pytest.approx(fold.point.site.order.r, abs=1e-4)
        assert abs(np.linalg.det(np.eye(3) - sensitivity(branches.equations, fold.c, 1.0)[:3])) < 1e-5


def test_poor_branch_that_runs_off_at_very_low_temperature():
    """Without an upper spinodal the good branch is followed from large loads."""
    theory = Perceptron(100.0)
    low, high = theory.first_branches().window
    assert theory.first_branches().upper_spinodal is None and low < 0.9 and high > 2
    poor, better = (theory.first_task(1.0, branch=branch) for branch in ("poor", "good"))
    assert poor.converged and better.converged and poor.r1 < 0.6 and better.r1 > 0.99
    with pytest.raises(NoSolution, match="no poor branch at alpha = 2.5"):
        theory.first_task(2.5, branch="poor")


def test_continuation_from_a_neighbour():
    theory = Perceptron(20.0)
    state = theory.first_task(1.6, branch="poor", start=first(20.0, 1.5, 0.0, "poor"))
    assert state.branch == "poor" and numbers(state) == pytest.approx(numbers(first(20.0, 1.6, 0.0, "poor")), rel=1e-9)
    assert theory.first_task(0.9, start=first(20.0, 1.0)).branch == "continued"
    with pytest.raises(NoSolution, match="does not reach 2; the nearest alpha where it was found is 1.90"):
        theory.first_task(2.0, start=first(20.0, 1.5, 0.0, "poor"))
    after = theory.second_task(good(), 0.6, 0.0, start=second(20.0, good(), 0.5, 0.0, 1.0))
    assert after.error_task2 == pytest.approx(second(20.0, good(), 0.6, 0.0, 1.0).error_task2, abs=1e-11)


def test_imposed_self_overlap():
    """qd_hat is the multiplier: at the free qd it is the conjugate, and d phi/d qd = alpha dG_E/dqd - qd_hat."""
    theory, alpha, free = Perceptron(5.0), 2.0, first(5.0, 2.0)
    assert numbers(theory.first_task(alpha, qd=free.qd)) == pytest.approx(numbers(free), rel=1e-9)
    errors = []
    for qd in (0.75, 0.9, 0.99):
        state, h = theory.first_task(alpha, qd=qd), 1e-3 * (1 - qd)
        phi = [theory.first_task(alpha, qd=qd + k * h, start=free).free_entropy for k in (-1, 1)]
        slope = alpha * energy(Order.of(state.q0, state.r1, qd), 5.0).slopes.qd - state.qd_hat
        assert (phi[1] - phi[0]) / (2 * h) == pytest.approx(slope, rel=1e-5)
        assert state.qd == pytest.approx(qd, abs=1e-12) and state.converged and state.imposed_qd
        errors.append(state.generalization_error)
    assert errors == sorted(errors, reverse=True) and errors[0] < free.generalization_error
    with pytest.raises(ParameterError, match="no Gibbs state"):
        theory.second_task(theory.first_task(alpha, qd=0.9), 1.0, 0.0)


def test_saddle_in_a_plane_and_free_entropy():
    """The three ways to close the equations meet in one saddle, where phi does not depend on the order parameters."""
    equations, state = FirstEquations(20.0), first(20.0, 0.5)
    saddle = newton(equations, Conjugates(*(1.01 * value for value in state.conjugates)), 0.5)
    np.testing.assert_allclose(saddle.c, state.conjugates, rtol=1e-11)
    u = np.array([math.log(state.q0_hat), state.r1_hat / state.q0_hat, state.qd_hat / state.q0_hat])
    plane = newton(equations, Conjugates(*(1.01 * value for value in state.conjugates)), plane=(np.array([1.0, 0.3, 0.1]), u))
    assert plane.alpha == pytest.approx(0.5, rel=1e-10)
    for moved in (0.999, 1.001):
        c = Conjugates(*(moved * value for value in state.conjugates))
        shifted = equations.point(c)._replace(energy=saddle.point.energy)
        order = saddle.point.site.order
        shifted = shifted._replace(site=shifted.site._replace(order=order))
        change = free_entropy(c, 0.5, shifted) - state.free_entropy
        assert 0 < abs(change) < 1e-5                                             # of second order in the move


# ---- refusals --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("call", "message"), [
    (lambda: Perceptron(0.0), "beta = 0.0 is not a number in [1e-40, 10000]"),
    (lambda: Perceptron(-1), "beta = -1 is not"),
    (lambda: Perceptron(20.0).first_task(0), "alpha = 0 is not a number in [1e-100, 1000]; it is the number of examples"),
    (lambda: Perceptron(20.0).first_task([1.0]), "alpha = [1.0] is not"),
    (lambda: Perceptron(20.0).first_task(1.0, kl=-0.1), "kl = -0.1 is not"),
    (lambda: Perceptron(20.0).first_task(1.0, branch="god"), "did you mean 'good'?"),
    (lambda: Perceptron(20.0).first_task(1.0, qd=1.0), "qd = 1.0 is not a number in ]0, 1["),
    (lambda: Perceptron(20.0).second_task(good(), 1.0, 1.5), "teacher_correlation = 1.5 is not a number in [-1, 1]"),
    (lambda: Perceptron(20.0).second_task(good(), 1.0, 0.0, kl=-1), "kl = -1 is not"),
    (lambda: Perceptron(20.0).second_task(2.0, 1.0, 0.0), "first is not a FirstTask")])
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ParameterError) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)
