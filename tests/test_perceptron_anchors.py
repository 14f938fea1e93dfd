"""Classical results on perceptrons: capacities and Gibbs learning, against published numbers, brute force and each other."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from hebb.errors import NoSolution, ParameterError
from hebb.theory.gaussian_panels import gaussian_nodes, mills
from hebb.theory.perceptron_anchors import (
    high_temperature_spinodal,
    high_temperature_transition,
    storage_at_line,
    storage_capacity,
    teacher_student,
    teacher_student_spinodal,
    teacher_student_transition,
)

Z = np.linspace(-12, 12, 48001)                   # brute force: the trapezoidal rule, exact to rounding for smooth functions
DZ = np.exp(-Z * Z / 2) / math.sqrt(2 * math.pi) * 24 / (Z.size - 1)


@pytest.mark.parametrize(("kappa", "value"), [(0.0, 2.0), (0.5, 0.9612050528015417), (1.0, 0.519572229604938)])
def test_gardner_capacity(kappa, value):
    assert storage_capacity("spherical", kappa) == pytest.approx(value, abs=1e-12)


def test_krauth_mezard_capacity():
    assert storage_capacity() == storage_capacity("binary", 0.0) == pytest.approx(0.8330785997395739, abs=1e-12)
    assert storage_at_line() == pytest.approx(1.0146536101, abs=1e-10)


@pytest.mark.parametrize("kappa", [-2.0, -0.7, 0.3, 1.5, 4.0])
def test_spherical_capacity_is_the_integral_and_bounds_the_binary_one(kappa):
    assert 1 / storage_capacity("spherical", kappa) == pytest.approx(DZ @ np.maximum(Z + kappa, 0) ** 2, rel=1e-7)    # a kink
    assert storage_capacity("binary", kappa) < storage_capacity("spherical", kappa)


def storage(t, alpha, kappa):
    """(entropy, change of Q by the equations) at Q = t^2 by brute force."""
    q = DZ @ np.tanh(t * Z) ** 2
    u = (math.sqrt(q) * Z - kappa) / math.sqrt(1 - q)
    h = np.exp(-u * u / 2 - log_ndtr(u)) / math.sqrt(2 * math.pi)
    entropy = -t * t * (1 - q) / 2 + DZ @ np.logaddexp(t * Z, -t * Z) + alpha * (DZ @ log_ndtr(u))
    return entropy, alpha * (DZ @ h**2) / (1 - q) - t * t


@pytest.mark.parametrize("kappa", [-1.0, 0.0, 0.5, 2.0])
def test_binary_capacity_is_where_the_entropy_of_a_saddle_vanishes(kappa):
    alpha = storage_capacity("binary", kappa)
    t = brentq(lambda t: storage(t, alpha, kappa)[1], 0.5, 20, rtol=1e-14)
    assert storage(t, alpha, kappa)[0] == pytest.approx(0, abs=1e-10)
    assert storage_at_line(kappa) > alpha                       # stable where the solutions run out
    # the entropy falls as (ds/dalpha) = E ln Phi, at fixed order parameters because it is stationary in them
    step = 1e-4 * alpha
    t = [brentq(lambda t, a=a: storage(t, a, kappa)[1], 0.5, 20, rtol=1e-14) for a in (alpha - step, alpha, alpha + step)]
    low, _, high = (storage(x, alpha + k * step, kappa)[0] for k, x in zip((-1, 0, 1), t, strict=True))
    q = DZ @ np.tanh(t[1] * Z) ** 2
    slope = DZ @ log_ndtr((math.sqrt(q) * Z - kappa) / math.sqrt(1 - q))
    assert (high - low) / (2 * step) == pytest.approx(slope, rel=1e-5)          # second order in the step


@pytest.mark.parametrize(("alpha", "gibbs", "bayes"), [(0.5, 0.4053167635, 0.3179031953), (1.0, 0.3105264389, 0.2306260867),
                                                       (1.4, 0.2102366936, 0.1516438393)])
def test_teacher_and_student(alpha, gibbs, bayes):
    state = teacher_student(alpha)
    assert (state.gibbs_error, state.bayes_error) == pytest.approx((gibbs, bayes), abs=1e-10)
    assert state.converged and state.stable and state.equilibrium == (alpha < 1.2446839899)
    Q, R = state.R_hat, state.R
    assert DZ @ np.tanh(math.sqrt(Q) * Z + Q) == pytest.approx(R, abs=1e-13)
    a = Z * math.sqrt(R / (1 - R))
    h = np.exp(-a * a / 2 - log_ndtr(a)) / math.sqrt(2 * math.pi)
    assert 2 * alpha * (DZ @ (ndtr(a) * h**2)) / (1 - R) == pytest.approx(Q, rel=1e-12)
    x = math.sqrt(Q) * Z + Q
    entropy = -Q * (1 + R) / 2 + DZ @ np.logaddexp(x, -x) + 2 * alpha * (DZ @ (ndtr(a) * log_ndtr(a)))
    assert state.entropy == pytest.approx(entropy, abs=1e-13)


def test_where_students_become_the_teacher():
    crossing, end = teacher_student_transition(), teacher_student_spinodal()
    assert (crossing.alpha, crossing.solution.R) == pytest.approx((1.2446839899, 0.6937602197), abs=1e-10)
    assert end.alpha == float(end) == pytest.approx(1.4926318182, abs=1e-10)
    assert end.solution.R == pytest.approx(0.893661, abs=1e-6)                  # as published
    assert crossing.converged and end.converged and not end.solution.stable
    assert abs(crossing.solution.entropy) < 1e-14
    # the end of the branch is a maximum of alpha: R moves as the root of the distance to it
    near = [end.solution.R - teacher_student(end.alpha - d).R for d in (1e-4, 1e-6)]
    assert near[0] / near[1] == pytest.approx(10, rel=0.03)
    with pytest.raises(NoSolution, match=r"alpha = 1\.5: .*R = 1.*1\.492631818"):
        teacher_student(1.5)


def test_students_without_examples_and_with_few():
    state = teacher_student(0.0)
    assert (state.R, state.gibbs_error, state.entropy) == (0, 0.5, math.log(2))
    assert teacher_student(1e-7).R == pytest.approx(2e-7 / math.pi, rel=1e-6)           # R = Q = 2 alpha/pi


def test_high_temperature():
    assert high_temperature_transition() == pytest.approx(1.6959326431, abs=1e-10)
    assert high_temperature_spinodal() == pytest.approx(2.0820698574, abs=1e-10)
    R = np.linspace(0.7, 0.95, 100001)
    assert high_temperature_spinodal() == pytest.approx(np.max(math.pi * np.sqrt(1 - R * R) * np.arctanh(R)), abs=1e-9)


@pytest.mark.parametrize("width", [1e-3, 0.03, 2.0])
def test_gaussian_nodes_resolve_what_they_are_told_of(width):
    for place in (-3.0, 0.0, 1.7):
        z, weight = gaussian_nodes((place, width))
        assert weight.sum() == pytest.approx(1, abs=1e-14) and weight @ z**6 == pytest.approx(15, abs=1e-12)
        # E Phi((z - c)/w) = Phi(-c/sqrt(1 + w^2))
        assert weight @ ndtr((z - place) / width) == pytest.approx(ndtr(-place / math.hypot(1, width)), abs=1e-14)


def test_mills_ratio_on_both_sides():
    u = np.array([-400.0, -30.0, -3.0, 0.0, 3.0, 30.0])
    # for u -> -infinity: h = -u (1 + 1/u^2 - 2/u^4 + 10/u^6 - ...)
    assert mills(u[:2]) == pytest.approx(-u[:2] * (1 + u[:2] ** -2.0 - 2 * u[:2] ** -4.0), rel=2e-8)
    assert mills(u[2:]) == pytest.approx(np.exp(-u[2:] ** 2 / 2) / math.sqrt(2 * math.pi) / ndtr(u[2:]), rel=1e-14)


@pytest.mark.parametrize("call", [lambda: storage_capacity("ternary"), lambda: storage_capacity(kappa=99),
                                  lambda: storage_at_line(math.nan), lambda: teacher_student(-1), lambda: teacher_student("1")])
def test_bad_input(call):
    with pytest.raises(ParameterError, match="is not"):
        call()
