"""Binary weights under the Gibbs measure: the free entropy by brute force and its derivatives, limits, published numbers."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from hebb.errors import NoSolution, ParameterError
from hebb.params import PerceptronLaw
from hebb.theory.perceptron_anchors import (
    high_temperature_transition,
    storage_at_line,
    storage_capacity,
    teacher_student,
    teacher_student_transition,
)
from hebb.theory.perceptron_gibbs import gibbs, gibbs_second, gibbs_transition
from hebb.theory.perceptron_losses import tilted

ANCHORS = json.loads((Path(__file__).parent / "data" / "reference_perceptron.json").read_text())
GIBBS = [entry for entry in ANCHORS if entry["call"].startswith("gibbs")]

# brute force: even grids over z, and Gauss-Legendre panels over the stability, split at kappa
Z = np.linspace(-11, 11, 601)
DZ = np.exp(-Z * Z / 2) / math.sqrt(2 * math.pi) * 22 / (Z.size - 1)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


def example(law, beta, omega, sigma, moment=lambda D, V: 1.0):
    """int dx phi(x) exp(-beta V(D)) moment(D, V) at D = omega + sigma x, for an array omega."""
    total = np.zeros_like(omega)
    for ends in (np.linspace(-32, 0, 33), np.linspace(0, 32, 33)):
        half = np.diff(ends) / 2
        D = law.kappa + sigma * (ends[:-1, None] + half[:, None] * (1 + NODES)).ravel()[:, None]
        V = law.cost(D)
        density = np.exp(-(((D - omega) / sigma) ** 2) / 2 - beta * V) / math.sqrt(2 * math.pi)
        total += (half[:, None] * WEIGHTS).ravel() @ (density * moment(D, V))
    return total


@pytest.mark.parametrize("loss", ["violations", "hinge", "quadratic"])
@pytest.mark.parametrize(("kappa", "beta", "sigma"), [(0.0, 1.0, 0.9), (0.7, 4.0, 0.5), (-0.5, 20.0, 0.3), (0.2, 0.01, 1.0)])
def test_closed_forms_of_one_example(loss, kappa, beta, sigma):
    law = PerceptronLaw(loss, kappa)
    omega = np.array([-2.0, -0.6, 0.0, 0.3, 1.9])
    at = tilted(law, beta, omega, sigma)
    g = example(law, beta, omega, sigma)
    push = example(law, beta, omega, sigma, lambda D, V: (D - omega) / sigma**2) / g
    spread = example(law, beta, omega, sigma, lambda D, V: ((D - omega) ** 2 / sigma**2 - 1) / sigma**2) / g
    assert at.log_g == pytest.approx(np.log(g), abs=1e-12)
    assert at.slope == pytest.approx(push, abs=1e-11) and at.bend == pytest.approx(spread - push**2, abs=1e-10)
    assert at.violated == pytest.approx(example(law, beta, omega, sigma, lambda D, V: D < kappa) / g, abs=1e-12)
    assert at.cost == pytest.approx(example(law, beta, omega, sigma, lambda D, V: V) / g, abs=1e-12)


def test_costs_far_on_either_side_are_finite():
    for loss in ("violations", "hinge", "quadratic"):
        at = tilted(PerceptronLaw(loss), 1e4, np.array([-30.0, -20.0, 20.0, 30.0]), 0.05)
        assert all(np.all(np.isfinite(part)) for part in at) and at.violated[2:] == pytest.approx(0, abs=1e-12)


def phi(law, beta, alpha, q, r, Q, R, shifts=((1.0, 0.0),)):
    """The free entropy by brute force, at any order parameters."""
    field = math.sqrt(Q) * Z + R
    site = sum(share * (DZ @ np.logaddexp(field + shift, -field - shift)) for share, shift in shifts)
    log_g = np.log(example(law, beta, math.sqrt(q) * Z, math.sqrt(1 - q)))
    weight = 2 * ndtr(r / math.sqrt(q - r * r) * Z) if law.labels == "teacher" else 1.0
    return -Q * (1 - q) / 2 - R * r + site + alpha * (DZ @ (weight * log_g))


def slopes(function, point, step=1e-4):
    """Central differences of a function of several numbers, with an error of step^4."""
    def moved(k, size):
        return function(*(value + size * (i == k) for i, value in enumerate(point)))

    return [(8 * (moved(k, step) - moved(k, -step)) - moved(k, 2 * step) + moved(k, -2 * step)) / (12 * step)
            for k in range(len(point))]


CASES = [("violations", 0.0, "teacher", 1.0, 0.7), ("hinge", 0.4, "teacher", 0.8, 0.5), ("quadratic", 0.0, "teacher", 0.6, 0.3),
         ("violations", 0.3, "random", 0.3, 0.6), ("hinge", 0.0, "random", 0.9, 1.5), ("quadratic", -0.3, "random", 0.7, 0.4)]


@pytest.mark.parametrize(("loss", "kappa", "labels", "alpha", "temperature"), CASES)
def test_states_are_stationary_points_of_the_free_entropy(loss, kappa, labels, alpha, temperature):
    state = gibbs(alpha, temperature, loss, kappa, labels)
    law, beta = PerceptronLaw(loss, kappa, labels), 1 / temperature
    point = (state.q, state.r, state.q_hat, state.r_hat)
    assert phi(law, beta, alpha, *point) == pytest.approx(state.free_entropy, abs=1e-12)
    if labels == "random":
        assert state.r == state.r_hat == 0
        left = slopes(lambda q, Q: phi(law, beta, alpha, q, 0.0, Q, 0.0), (state.q, state.q_hat))
    else:
        left = slopes(lambda *point: phi(law, beta, alpha, *point), point)
    assert left == pytest.approx([0] * len(left), abs=1e-10)            # rounding over the step
    assert state.converged and state.free_energy == -temperature * state.free_entropy


@pytest.mark.parametrize(("loss", "kappa", "labels", "alpha", "temperature"), CASES)
def test_cost_and_entropy_are_derivatives(loss, kappa, labels, alpha, temperature):
    # d phi/d beta = -alpha <V> and d phi/d alpha = G_E along the states; and the share of violated examples
    state = gibbs(alpha, temperature, loss, kappa, labels)
    cost, value = (-slopes(lambda beta: gibbs(alpha, 1 / beta, loss, kappa, labels).free_entropy, (1 / temperature,), 1e-3)[0],
                   slopes(lambda alpha: gibbs(alpha, temperature, loss, kappa, labels).free_entropy, (alpha,), 1e-3)[0])
    assert cost == pytest.approx(alpha * state.cost, abs=1e-10)
    assert state.entropy == pytest.approx(state.free_entropy + alpha * state.cost / temperature, abs=1e-14)
    law, beta, sigma = PerceptronLaw(loss, kappa, labels), 1 / temperature, math.sqrt(1 - state.q)
    omega = math.sqrt(state.q) * Z
    weight = DZ * (2 * ndtr(state.r / math.sqrt(state.q - state.r**2) * Z) if labels == "teacher" else 1.0)
    g = example(law, beta, omega, sigma)
    assert value == pytest.approx(weight @ np.log(g), abs=1e-9)
    assert state.training_error == pytest.approx(weight @ (example(law, beta, omega, sigma, lambda D, V: D < kappa) / g),
                                                 abs=1e-12)
    # replica symmetry: alpha E f''^2 E sech^4
    bend = example(law, beta, omega, sigma, lambda D, V: ((D - omega) ** 2 / sigma**2 - 1) / sigma**2) / g
    bend -= (example(law, beta, omega, sigma, lambda D, V: (D - omega) / sigma**2) / g) ** 2
    flat = DZ @ np.cosh(math.sqrt(state.q_hat) * Z + state.r_hat) ** -4
    assert state.replicon_ratio == pytest.approx(alpha * (weight @ bend**2) * flat, rel=1e-9)
    assert state.stable == (state.replicon_ratio < 1)


@pytest.mark.parametrize("entry", GIBBS, ids=[entry["id"] for entry in GIBBS])
def test_anchors(entry):
    state = gibbs(**entry["args"])
    for name, value in entry["values"].items():
        assert getattr(state, name) == pytest.approx(value, abs=entry["abs_err"][name])
    assert state.converged and state.stable and state.branch == "poor"


@pytest.mark.parametrize(("temperature", "alpha", "numbers"), [
    (1.0, 0.5, (0.2417, 0.1402, 0.0753)), (1.0, 1.0, (0.2165, 0.2714, 0.1635)), (1.0, 1.5, (0.1916, 0.3992, 0.2653)),
    (0.5, 0.8, (0.0957, 0.3428, 0.2773)), (2.0, 2.0, (0.2966, 0.2978, 0.1423))])
def test_table_of_one_task(temperature, alpha, numbers):
    state = gibbs(alpha, temperature)
    assert (state.training_error, state.r, state.q) == pytest.approx(numbers, abs=5.1e-5)          # as printed
    assert state.generalization_error == math.acos(state.r) / math.pi


@cache
def first():
    return gibbs(1.5, 1.0)


@pytest.mark.parametrize(("coupling", "correlation", "alpha", "numbers"), [
    (0.5, 0.5, 1.0, (0.2744, 0.4409, 0.3127, 0.2221)), (1.0, 0.5, 1.0, (0.3462, 0.7107, 0.2846, 0.2652)),
    (1.0, 0.0, 1.0, (0.2725, 0.6826, 0.1439, 0.3020)), (1.0, -0.5, 1.5, (0.1447, 0.5913, 0.0907, 0.3092))])
def test_table_of_a_second_task(coupling, correlation, alpha, numbers):
    state = gibbs_second(first(), alpha, 1.0, coupling, correlation)
    assert (state.r1, state.overlap_reference, state.r2, state.training_error) == pytest.approx(numbers, abs=5.1e-5)
    assert state.error_task1 == math.acos(state.r1) / math.pi and state.error_task2 == math.acos(state.r2) / math.pi
    assert state.converged and state.stable


def test_the_second_task_by_brute_force():
    alpha, temperature, coupling, r0, before = 1.2, 0.8, 0.7, -0.4, first()
    state = gibbs_second(before, alpha, temperature, coupling, r0)
    # sites: B = W1 W2 and the reference w' in the gauge W1 = 1; the field on w is sqrt(Q) z + R B + coupling w'
    field, mean, law = {}, {}, PerceptronLaw()
    for B in (1, -1):
        for w in (1, -1):
            chance = (1 + B * r0) / 2 * (1 + w * before.r) / 2
            x = math.sqrt(state.q_hat) * Z + state.r2_hat * B + coupling * w
            mean[B, w] = chance * np.array([DZ @ np.tanh(x), DZ @ np.tanh(x) ** 2])
            field[B, w] = chance * (DZ @ np.logaddexp(x, -x))
    assert state.r1 == pytest.approx(sum(m[0] for m in mean.values()), abs=1e-13)
    assert state.q == pytest.approx(sum(m[1] for m in mean.values()), abs=1e-13)
    assert state.r2 == pytest.approx(sum(B * m[0] for (B, _), m in mean.items()), abs=1e-13)
    assert state.overlap_reference == pytest.approx(sum(w * m[0] for (_, w), m in mean.items()), abs=1e-13)
    agree = (1 + r0 * before.r) / 2
    shifts, point = ((agree, coupling), (1 - agree, -coupling)), (state.q, state.r2, state.q_hat, state.r2_hat)
    assert phi(law, 1 / temperature, alpha, *point, shifts) == pytest.approx(state.free_entropy, abs=1e-12)
    no_coupling = phi(law, 1 / temperature, alpha, *point, ((1.0, 0.0),))
    whole = state.free_entropy - no_coupling
    assert whole == pytest.approx(sum(field.values()) - DZ @ np.logaddexp(math.sqrt(state.q_hat) * Z + state.r2_hat,
                                                                        -math.sqrt(state.q_hat) * Z - state.r2_hat), abs=1e-12)
    left = slopes(lambda *point: phi(law, 1 / temperature, alpha, *point, shifts), point)
    assert left == pytest.approx([0] * 4, abs=1e-10)
    # d phi/d coupling is the overlap with the reference
    slope = slopes(lambda c: gibbs_second(before, alpha, temperature, c, r0).free_entropy, (coupling,), 1e-3)[0]
    assert slope == pytest.approx(state.overlap_reference, abs=1e-10)
    expected = state.free_entropy + alpha * state.cost / temperature - coupling * state.overlap_reference
    assert state.entropy == pytest.approx(expected, abs=1e-14)


def test_a_second_task_without_coupling_is_a_first_one():
    alone, second = gibbs(1.0, 0.9), gibbs_second(first(), 1.0, 0.9, 0.0, 0.3)
    for one, other in (("q", "q"), ("r", "r2"), ("q_hat", "q_hat"), ("r_hat", "r2_hat"), ("entropy", "entropy")):
        assert getattr(alone, one) == pytest.approx(getattr(second, other), abs=1e-13)
    assert second.r1 == pytest.approx(0.3 * alone.r, abs=1e-14) and second.overlap_reference == pytest.approx(
        0.3 * first().r * alone.r, abs=1e-14)


def test_a_second_task_before_its_examples_and_in_strong_coupling():
    start = gibbs_second(first(), 0.0, 1.0, 0.8, 0.5)
    assert start.overlap_reference == pytest.approx(math.tanh(0.8), abs=1e-14)
    assert (start.r1, start.r2) == pytest.approx((first().r * math.tanh(0.8), 0.5 * first().r * math.tanh(0.8)), abs=1e-14)
    bound = gibbs_second(first(), 1e-3, 1.0, 15.0, 0.5)
    assert (bound.r1, bound.r2, bound.overlap_reference) == pytest.approx((first().r, first().r / 2, 1.0), abs=1e-9)
    with pytest.raises(ParameterError, match=r"coupling = 16.0 .*\[-15, 15\]; stronger ones leave nothing but the reference"):
        gibbs_second(first(), 1.0, 1.0, 16.0, 0.5)


def test_cold_gibbs_learning_is_the_teacher_and_student_at_zero_temperature():
    # where the cost of an error is beyond reach, only students without errors are left
    cold, exact = gibbs(1.0, 0.02), teacher_student(1.0)
    assert (cold.q, cold.r) == pytest.approx((exact.R, exact.R), abs=1e-10)         # errors cost e^-50
    assert cold.entropy == pytest.approx(exact.entropy, abs=1e-10) and cold.training_error < 1e-20
    assert cold.replicon_ratio == pytest.approx(exact.replicon_ratio, abs=1e-9)
    assert gibbs_transition(0.03).alpha == pytest.approx(teacher_student_transition().alpha, abs=1e-10)


def test_cold_storage_ends_at_the_capacity():
    for kappa in (0.0, 0.5):
        edge = gibbs_transition(0.02, kappa=kappa, labels="random")
        assert edge.alpha == pytest.approx(storage_capacity(kappa=kappa), rel=1e-6) and edge.solution.stable
        assert edge.converged and edge.alpha < storage_at_line(kappa)


def test_high_temperature():
    # alpha/T at which the teacher wins approaches its limit as 1/T
    loads = [gibbs_transition(T).alpha / T - high_temperature_transition() for T in (200.0, 400.0)]
    assert loads[0] / loads[1] == pytest.approx(2, rel=5e-3)
    state = gibbs(1.0, 1e5)
    assert (state.training_error, state.q) == pytest.approx((0.5, 0), abs=1e-4)
    # first order in beta: R = alpha beta d(error)/dr = alpha beta/pi
    assert state.r == pytest.approx(1e-5 / math.pi, rel=1e-4) and state.entropy == pytest.approx(math.log(2), abs=1e-9)


def test_nothing_is_learnt_without_examples():
    state = gibbs(0.0, 0.7, "hinge", 0.3)
    assert (state.q, state.r, state.free_entropy, state.generalization_error) == (0, 0, pytest.approx(math.log(2)), 0.5)
    law = PerceptronLaw("hinge", 0.3)
    cost = example(law, 1 / 0.7, np.zeros(1), 1.0, lambda D, V: V) / example(law, 1 / 0.7, np.zeros(1), 1.0)
    assert state.cost == pytest.approx(cost[0], abs=1e-12)


def test_where_the_perfect_state_wins():
    edge = gibbs_transition(0.5)
    assert edge.converged and abs(edge.solution.free_entropy) < 1e-13
    assert gibbs(edge.alpha * (1 - 1e-6), 0.5).free_entropy > 0
    with pytest.raises(NoSolution, match=r"the perfect state wins, by .*equilibrium up to alpha = 1.57083878"):
        gibbs(edge.alpha * 1.01, 0.5)
    with pytest.raises(NoSolution, match=r"alpha = 4, temperature = 0.5: the perfect state wins, or .* to alpha = 1\.9026"):
        gibbs(4, 0.5)
    with pytest.raises(NoSolution, match="entropy of the replica-symmetric state is negative.*positive up to alpha = 1.042249"):
        gibbs(1.2, 0.2, labels="random")
    with pytest.raises(NoSolution, match="the perfect state wins"):
        gibbs_second(first(), 3.0, 1.0, 0.5, 0.0)
    # a margin costs the teacher as well, so that it never wins
    with pytest.raises(NoSolution, match="is the equilibrium up to"):
        gibbs_transition(1.0, kappa=0.5)


def test_two_states_with_errors_at_one_load():
    # a cold quadratic cost with a margin: past a jump the weights are nearly those of the teacher, but not quite
    before, after = gibbs(1.2, 0.05, "quadratic", 0.5), gibbs(3.0, 0.05, "quadratic", 0.5)
    assert (before.branch, after.branch) == ("poor", "good")
    assert before.r < 0.8 < 0.999 < after.r < 1 and before.converged and after.converged


@pytest.mark.parametrize("call", [
    lambda: gibbs(-1, 1.0), lambda: gibbs(1, 0.0), lambda: gibbs(1, 1.0, loss="square"), lambda: gibbs(1, 1.0, kappa=math.nan),
    lambda: gibbs(1, 1.0, labels="noisy"), lambda: gibbs_second(gibbs(0.3, 1.0, labels="random"), 1, 1, 1, 0),
    lambda: gibbs_second(1.0, 1, 1, 1, 0), lambda: gibbs_second(first(), 1, 1, 1, 1.2),
    lambda: gibbs_second(first(), 1, 1, 99, 0), lambda: gibbs_transition(-2.0)])
def test_bad_input(call):
    with pytest.raises(ParameterError, match=r"= .* is not"):
        call()
