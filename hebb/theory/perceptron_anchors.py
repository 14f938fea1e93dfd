"""Classical results on perceptrons with binary or spherical weights: storage capacities and Gibbs learning of a teacher.

Replica-symmetric curves that need no iteration: the conjugate order parameter is chosen, the overlap and the load follow.
With h = phi/Phi and averages over normal z:

    storage (binary), margin kappa     q = E tanh^2(sqrt(Q) z),  Q = alpha E h^2(u)/(1-q),  u = (sqrt(q) z - kappa)/sqrt(1-q)
                                       s = -Q(1-q)/2 + E ln 2cosh(sqrt(Q) z) + alpha E ln Phi(u)
    teacher and student (binary)       R = E tanh(sqrt(Q) z + Q),  Q = 2 alpha E[Phi(a) h^2(a)]/(1-R),  a = z sqrt(R/(1-R))
                                       s = -Q(1+R)/2 + E ln 2cosh(sqrt(Q) z + Q) + 2 alpha E[Phi(a) ln Phi(a)]

The capacity of binary weights is the load at which s = 0 (W. Krauth and M. Mezard, J. Physique 50 (1989) 3057), that of
spherical ones is E. Gardner's, J. Phys. A 21 (1988) 257; for the teacher see G. Gyorgyi, Phys. Rev. A 41 (1990) 7097 and
H. Sompolinsky, N. Tishby and H. S. Seung, Phys. Rev. Lett. 65 (1990) 1683.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from ..errors import NoSolution
from ..params import check_choice, check_real
from .gaussian_panels import gaussian_nodes, mills
from .perceptron_boundary import PerceptronBoundary

__all__ = ["TeacherStudent", "high_temperature_spinodal", "high_temperature_transition", "storage_at_line", "storage_capacity",
           "teacher_student", "teacher_student_spinodal", "teacher_student_transition"]

_MARGINS = -5.0, 10.0           # margins for which 2^N weights of size 1 are told from none by numbers of order 1
_EPS = np.finfo(float).eps
_TINY = np.finfo(float).tiny


# ---- storage of random patterns --------------------------------------------------------------------------------------

class _Storage(NamedTuple):
    """The state of binary weights that store random patterns at the conjugate Q: load, entropy and replicon ratio."""

    alpha: float
    entropy: float
    replicon_ratio: float


def storage_capacity(kind="binary", kappa=0.0) -> float:
    """alpha_c = K/N, the largest number of random patterns that a perceptron classifies with stabilities x/sqrt(N) > kappa.

    kind: "binary" weights +-1 (0.83308 at kappa = 0: the entropy of the solutions vanishes while they are stable) or
    "spherical" ones of norm sqrt(N) (2 at kappa = 0: their overlap becomes 1). kappa: -5 to 10. For kappa < 0 the spherical
    value is an upper bound: replica symmetry is broken there. Relative accuracy 1e-13. Raises ParameterError. Cost: 10 ms.
    """
    check_choice("kind", kind, ("binary", "spherical"))
    kappa = check_real("kappa", kappa, *_MARGINS)
    if kind == "spherical":                 # 1/alpha = E (z + kappa)_+^2; without cancellation on either side
        h = float(mills(kappa))
        return 1 / (float(ndtr(kappa)) * (1 + kappa * (kappa + h)))
    return _storage_where(kappa, lambda state: state.entropy).alpha


def storage_at_line(kappa=0.0) -> float:
    """The load at which replica symmetry breaks for random patterns stored by binary weights: 1.01465 at kappa = 0.

    It lies above the capacity, on the continuation of the states to negative entropy. kappa: -5 to 10. Raises ParameterError.
    """
    return _storage_where(check_real("kappa", kappa, *_MARGINS), lambda state: 1 - state.replicon_ratio).alpha


def _storage_where(kappa: float, positive) -> _Storage:
    """The first state, from small loads, at which a function of the state that begins positive vanishes."""
    def value(t):
        return positive(_stored(t, kappa))

    high = 1e-2
    while value(high) > 0:
        high *= 1.5
    return _stored(brentq(value, high / 1.5 if high > 1e-2 else 0.0, high, xtol=_TINY, rtol=4 * _EPS), kappa)


def _stored(t: float, kappa: float) -> _Storage:
    """The state with Q = t^2."""
    z, weight = gaussian_nodes((0.0, 1 / (t + _TINY)))
    size = np.abs(t * z)
    e = np.exp(-2 * size)
    sech2 = 4 * e / (1 + e) ** 2
    free, q = weight @ sech2, weight @ ((1 - e) / (1 + e)) ** 2                 # 1 - q and q
    if q == 0:
        return _Storage(0.0, math.log(2), 0.0)
    z, outer = gaussian_nodes((kappa / math.sqrt(q), math.sqrt(free / q)))
    u = (math.sqrt(q) * z - kappa) / math.sqrt(free)
    h = mills(u)
    alpha = t * t * free / (outer @ h**2)
    entropy = -t * t * free / 2 + weight @ (size + np.log1p(e)) + alpha * (outer @ log_ndtr(u))
    replicon_ratio = alpha * (outer @ (h * (u + h)) ** 2) / free**2 * (weight @ sech2**2)
    return _Storage(float(alpha), float(entropy), float(replicon_ratio))


# ---- Gibbs learning of a binary teacher ------------------------------------------------------------------------------

@dataclass(frozen=True)
class TeacherStudent:
    """A student drawn at random from the binary weights that agree with a binary teacher on alpha N random examples.

    R: overlap with the teacher, and of two students; R_hat: its conjugate. gibbs_error = arccos(R)/pi of one student,
    bayes_error = arccos(sqrt R)/pi of the vote of all. free_entropy = entropy: (1/N) ln of the number of students with this R;
    equilibrium: whether it is positive. If not, the teacher itself wins: all students have R = 1, and this state is metastable.
    replicon_ratio: below 1 (students and teacher are equivalent, replica symmetry holds). stable: not the end of the branch.
    residual: largest change of R and R_hat by the saddle-point equations.
    """

    alpha: float
    R: float
    R_hat: float
    gibbs_error: float
    bayes_error: float
    entropy: float
    replicon_ratio: float
    equilibrium: bool
    stable: bool
    converged: bool
    residual: float
    branch: str = "poor"

    @property
    def free_entropy(self) -> float:
        return self.entropy

    @property
    def free_energy(self) -> float:
        """Energy of a student without errors at zero temperature."""
        return 0.0


def teacher_student(alpha=1.0) -> TeacherStudent:
    """The imperfect students at load alpha >= 0, thermodynamic or metastable.

    Raises ParameterError, and NoSolution beyond the spinodal, where only the teacher itself is left. Relative accuracy of R
    1e-13, less where the branch ends (it goes as the root of the distance). Cost: 5 ms.
    """
    alpha = check_real("alpha", alpha, 0.0)
    top = _spinodal()
    if alpha > _student(top).alpha:
        raise NoSolution(f"alpha = {alpha:g}: all students that agree with the teacher are the teacher (R = 1); others "
                         f"exist up to alpha = {_student(top).alpha:.10g}")
    t = brentq(lambda t: _student(t).alpha - alpha, 0.0, top, xtol=_TINY, rtol=4 * _EPS)
    return _solution(t, alpha)


def teacher_student_transition() -> PerceptronBoundary:
    """The load above which all students are the teacher: alpha = 1.24468, where R jumps from 0.69376 to 1."""
    t = brentq(lambda t: _student(t).entropy, 0.5, _spinodal(), xtol=_TINY, rtol=4 * _EPS)
    state = _solution(t)
    left = abs(state.entropy)
    return PerceptronBoundary("transition", state.alpha, state, left, state.converged and left < 1e-12)


def teacher_student_spinodal() -> PerceptronBoundary:
    """The load up to which metastable students other than the teacher exist: alpha = 1.49263, R = 0.89366."""
    t = _spinodal()
    state = _solution(t)
    left = abs(state.replicon_ratio - 1)
    return PerceptronBoundary("spinodal", state.alpha, state, left, state.converged and left < 1e-10)


def high_temperature_transition() -> float:
    """alpha/T at which, for T and alpha -> infinity, the teacher begins to win over students with errors: 1.69593.

    There (1/N) ln(number of students of overlap R) = (alpha/T) arccos(R)/pi at R < 1 as at R = 1.
    """
    def advantage(R):
        errors = _mean_field_load(R) * math.acos(R) / math.pi
        return -sum(p * math.log(p) for p in ((1 + R) / 2, (1 - R) / 2)) - errors

    return _mean_field_load(brentq(advantage, 0.1, _mean_field_top(), rtol=4 * _EPS))


def high_temperature_spinodal() -> float:
    """alpha/T up to which, for T and alpha -> infinity, students with errors exist: 2.08207, the maximum of
    pi sqrt(1-R^2) atanh(R)."""
    return _mean_field_load(_mean_field_top())


def _mean_field_load(R: float) -> float:
    return math.pi * math.sqrt(1 - R * R) * math.atanh(R)


def _mean_field_top() -> float:
    return brentq(lambda R: R * math.atanh(R) - 1, 0.5, 0.99, rtol=4 * _EPS)


class _Student(NamedTuple):
    """The state at the conjugate R_hat = t^2."""

    alpha: float
    R: float
    entropy: float
    replicon_ratio: float


def _student(t: float, finer=False) -> _Student:
    z, weight = gaussian_nodes((-t, 1 / (t + _TINY)), finer=finer)
    field = t * z + t * t
    e = np.exp(-2 * np.abs(field))
    R, free = weight @ np.tanh(field), weight @ (np.where(field > 0, 2 * e, 2.0) / (1 + e))          # free = 1 - R
    if R == 0:
        return _Student(0.0, 0.0, math.log(2), 0.0)
    z, outer = gaussian_nodes((0.0, math.sqrt(free / R)), finer=finer)
    a = z * math.sqrt(R / free)
    h, right = mills(a), 2 * outer * ndtr(a)                         # examples, weighted by the teacher's answer
    alpha = t * t * free / (right @ h**2)
    entropy = -t * t * (1 + R) / 2 + weight @ (np.abs(field) + np.log1p(e)) + alpha * (right @ log_ndtr(a))
    curvature = right @ (h * (a + h)) ** 2 / free**2
    return _Student(*map(float, (alpha, R, entropy, alpha * curvature * (weight @ (4 * e / (1 + e) ** 2) ** 2))))


@cache
def _spinodal() -> float:
    """t = sqrt(R_hat) at the largest load: on this branch, alpha'(t) and the replicon vanish together."""
    return brentq(lambda t: _student(t).replicon_ratio - 1, 1.0, 4.0, xtol=_TINY, rtol=4 * _EPS)


def _solution(t: float, alpha: float | None = None) -> TeacherStudent:
    """The state at R_hat = t^2 as a record; alpha: the load asked for, None on the boundaries, where it follows."""
    state, check = _student(t), _student(t, finer=True)
    alpha = state.alpha if alpha is None else alpha
    residual = float(max(abs(check.R - state.R), t * t * abs(check.alpha - alpha) / (alpha + _TINY)))
    return TeacherStudent(alpha, state.R, t * t, gibbs_error=math.acos(state.R) / math.pi,
                          bayes_error=math.acos(math.sqrt(state.R)) / math.pi, entropy=state.entropy,
                          replicon_ratio=state.replicon_ratio, equilibrium=state.entropy > 0, stable=t < _spinodal(),
                          converged=residual < 1e-11 * (1 + t * t), residual=residual)
