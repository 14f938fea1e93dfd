"""Theory of continual learning in the binary perceptron with field-space (variational) weights (arXiv:2212.02846).

Weights are independent spins of magnetisations m = tanh(theta); a teacher with N binary weights labels alpha N examples, and

    L(m) = - sum_mu ln Phi(u_mu) + kl KL(m || m') ,     P(m) ~ exp(-beta L) on the flat measure of [-1, 1]^N

with m' = 0 for the first task and m' a sample of the first task's Gibbs measure for the second. Replica symmetric; classical
anchors of the perceptron and binary weights under the Gibbs measure are methods of the class too.

How the modules fit together, from the bottom:

- `perceptron_energy`: `energy(order, beta)`, G_E and its slopes at the order parameters; `perceptron_site`: order parameters in
  given fields. `FirstEquations(beta, kl).point(c)`, `SecondEquations(...).point(c)` evaluate both at conjugates c = (Q, R, Qd):
  a saddle has c = alpha point.energy.slopes. `free_entropy(c, alpha, point)` is stationary there.
- `perceptron_saddle.newton`: a saddle near c at given alpha, at given (alpha, qd), or in a plane across a branch.
- `perceptron_curve.Branches(equations, begin)`: the curve alpha(s) of all saddles through its folds (`poor_curve`,
  `good_curve`: `.crossings(alpha)`, `.at(place)`, `.folds`), `window`, `upper_spinodal`, `lower_spinodal` (saddles to rounding)
  and `saddle(alpha, branch)`. `Perceptron.first_branches(kl)` and `.second_branches(first, teacher_correlation, kl)` make them
  and keep them; `Perceptron.first_record(saddle, kl, branch)`, `.second_record(...)` turn saddles into records.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ..errors import NoSolution, ParameterError
from ..params import check_choice, check_real
from .perceptron_anchors import (
    high_temperature_spinodal,
    high_temperature_transition,
    storage_at_line,
    storage_capacity,
    teacher_student,
    teacher_student_spinodal,
    teacher_student_transition,
)
from .perceptron_boundary import PerceptronBoundary
from .perceptron_branches import LOADS, Family, PerceptronCurve, Spinodals, at_line, spinodals, transition
from .perceptron_curve import Branches
from .perceptron_first import FirstEquations, free_entropy
from .perceptron_gibbs import gibbs, gibbs_second, gibbs_transition
from .perceptron_maps import SecondTaskMap
from .perceptron_records import FirstTask, SecondTask
from .perceptron_saddle import Saddle, follow, newton, residual
from .perceptron_second import SecondEquations

__all__ = ["FirstTask", "Perceptron", "SecondTask"]

BRANCHES = ("unique", "poor", "good")
CONVERGED = 1e-10            # of the residual, with the finer quadrature too
_FINER = 1.5                 # nodes of that quadrature
_COLDEST = 1e4              # beta up to which branches have been followed
_HOTTEST = 1e-40            # beta below which order parameters underflow
_STIFFEST = 1e5             # beta kl beyond which averages take seconds and m is lost beside 1


class Perceptron:
    """Replica-symmetric saddle points at inverse temperature beta in [1e-40, 1e4] (of the loss and of the divergence alike).

    Cost on one core: 10-20 ms a saddle of the first task, 30-60 ms one of the second; the first call for given beta and kl (for
    the second task: reference, teacher_correlation and kl) may follow the branches through their folds, 0.1-0.3 s (0.5 s).
    """

    def __init__(self, beta):
        self.beta = check_real("beta", beta, _HOTTEST, _COLDEST, remedy="beta is an inverse temperature")

    def __repr__(self) -> str:
        return f"Perceptron(beta={self.beta!r})"

    # ---- first task --------------------------------------------------------------------------------------------------

    def first_task(self, alpha, kl=0.0, branch="unique", qd=None, start=None) -> FirstTask:
        """The saddle of the first task at load alpha from 1e-100 to 1e3, `FirstTask`; kl from 0 to 1e5/beta: weight of
        KL(m || 0).

        branch: "unique" where one saddle exists; "poor" and "good" name the branches continued from small and from large loads
        through the window where both exist, and beyond it as far as they go (without a window both are the only branch).
        qd in (0, 1): imposed self-overlap, qd_hat being its Lagrange multiplier; followed from the free saddle of the branch.
        start: a FirstTask nearby (of the same kl) whose branch is continued to this load; where others exist is not asked, so
        that what began as "unique" is named "continued".
        Raises NoSolution for "unique" inside the window, naming it, and where a branch does not exist, naming the nearest load
        where it does.
        """
        alpha, kl, branch = self._checked(alpha, kl, branch)
        if qd is not None:
            qd = check_real("qd", qd, 0.0, 1.0, open_low=True, open_high=True, remedy="it is the self-overlap <m^2>")
        equations = FirstEquations(self.beta, kl)
        if start is not None:
            saddle, branch = _continued(equations, start, alpha), _name(start)
        else:
            saddle = self.first_branches(kl).saddle(alpha, branch)
        if qd is not None:
            saddle = _imposed(equations, saddle, alpha, qd)
        return self.first_record(saddle, kl, branch, qd)

    def first_branches(self, kl=0.0) -> Branches:
        """All saddles of the first task, `hebb.theory.perceptron_curve.Branches`."""
        return _first_branches(self.beta, self._weight(kl))

    def first_record(self, saddle: Saddle, kl=0.0, branch="unique", qd=None) -> FirstTask:
        """The record of a saddle; its residual is judged with a finer quadrature."""
        c, alpha, point = saddle.c, saddle.alpha, saddle.point
        left, ratio = _judged(FirstEquations(self.beta, kl), saddle, qd)
        phi, order = free_entropy(c, alpha, point), point.site.order
        stable = ratio < 1 and left <= CONVERGED and (qd is not None or saddle.crossing > 0)
        return FirstTask(alpha, self.beta, kl, branch, order.q0, order.r, order.qd, *c, point.site.overlap, point.site.error,
                         phi, -phi / self.beta, ratio, stable, left <= CONVERGED, left, qd is not None)

    # ---- second task -------------------------------------------------------------------------------------------------

    def second_task(self, first, alpha, teacher_correlation, kl=1.0, branch="unique", start=None) -> SecondTask:
        """The saddle of a second task at load alpha > 0, `SecondTask`, with a sample of `first` as the reference.

        first: a `FirstTask` of any beta; teacher_correlation in [-1, 1]: mean product of the two teachers; kl >= 0: weight of
        KL(m || m'). branch, start and errors as in `first_task`: there may be two saddles here too.
        """
        _free_reference(first)
        alpha, kl, branch = self._checked(alpha, kl, branch)
        branches = self.second_branches(first, teacher_correlation, kl)
        if start is not None:
            saddle, branch = _continued(branches.equations, start, alpha), _name(start)
        else:
            saddle = branches.saddle(alpha, branch)
        return self.second_record(saddle, first, branches.equations, branch)

    def second_branches(self, first, teacher_correlation, kl=1.0) -> Branches:
        """All saddles of a second task, `hebb.theory.perceptron_curve.Branches`."""
        correlation = check_real("teacher_correlation", teacher_correlation, -1.0, 1.0)
        return _second_branches(self.beta, self._weight(kl), correlation, FirstEquations(first.beta, first.kl),
                                first.conjugates)

    def second_record(self, saddle: Saddle, first, equations: SecondEquations, branch="unique") -> SecondTask:
        """The record of a saddle; its residual is judged with a finer quadrature."""
        c, alpha, point = saddle.c, saddle.alpha, saddle.point
        left, ratio = _judged(equations, saddle, None)
        phi, order = free_entropy(c, alpha, point) + equations.constant(), point.site.order
        with_first = equations.first_site(c)
        stable = ratio < 1 and left <= CONVERGED and saddle.crossing > 0
        return SecondTask(alpha, self.beta, equations.kl, equations.teacher_correlation, branch, order.q0, order.r, order.qd,
                          *c, with_first.order.r, with_first.overlap, point.site.overlap, with_first.error, point.site.error,
                          phi, -phi / self.beta, ratio, stable, left <= CONVERGED, left, first)

    # ---- all branches ------------------------------------------------------------------------------------------------

    def spinodals(self, kl=0.0) -> Spinodals:
        """(lower, upper): where the good branch of the first task begins and the poor one ends, with the states there.

        Raises NoSolution where one smooth branch exists at all loads. Cost: 0.5 s.
        """
        return spinodals(self._first_family(kl))

    def transition(self, kl=0.0) -> PerceptronBoundary:
        """The load at which poor (`solution`) and good branch (`other`) of the first task have one free entropy.

        Raises NoSolution where one smooth branch exists at all loads. Cost: 0.5 s.
        """
        return transition(self._first_family(kl))

    def at_line(self, kl=0.0, branch="poor") -> PerceptronBoundary:
        """The load beyond which the poor branch of the first task breaks replica symmetry, or the good one keeps it.

        Raises NoSolution if the replicon ratio does not pass 1 on that branch. Cost: 0.1 s.
        """
        return at_line(self._first_family(kl), check_choice("branch", branch, BRANCHES[1:]))

    def curve(self, alpha, kl=0.0, middle=False) -> PerceptronCurve:
        """All states of the first task at an increasing array of loads; middle: the unstable ones between branches, too.

        Cost: 15 ms a state (middle: 0.1 s), and 0.5 s.
        """
        return PerceptronCurve.compute(self._first_family(kl), self.beta, float(kl), alpha, middle)

    def second_task_map(self, first, alpha, teacher_correlation, kl=1.0) -> SecondTaskMap:
        """All states of a second task on a grid: alpha an increasing array, teacher_correlation and kl numbers or arrays.

        Cost: 0.5 s for each curve over alpha and 50 ms a state.
        """
        _free_reference(first)

        def family(correlation, weight):
            branches = self.second_branches(first, correlation, weight)
            return Family(branches, lambda saddle, branch: self.second_record(saddle, first, branches.equations, branch),
                          f"beta = {self.beta:g}, teacher_correlation = {correlation:g}, kl = {weight:g}")

        return SecondTaskMap.compute(family, self.beta, first, alpha, teacher_correlation, kl)

    def _first_family(self, kl) -> Family:
        branches = self.first_branches(kl)
        return Family(branches, lambda saddle, branch: self.first_record(saddle, branches.equations.kl, branch),
                      f"beta = {self.beta:g}, kl = {branches.equations.kl:g}")

    # ---- classical anchors, and binary weights under the Gibbs measure -----------------------------------------------

    storage_capacity = staticmethod(storage_capacity)
    storage_at_line = staticmethod(storage_at_line)
    teacher_student = staticmethod(teacher_student)
    teacher_student_transition = staticmethod(teacher_student_transition)
    teacher_student_spinodal = staticmethod(teacher_student_spinodal)
    high_temperature_transition = staticmethod(high_temperature_transition)
    high_temperature_spinodal = staticmethod(high_temperature_spinodal)
    gibbs = staticmethod(gibbs)
    gibbs_transition = staticmethod(gibbs_transition)
    gibbs_second = staticmethod(gibbs_second)

    def _checked(self, alpha, kl, branch) -> tuple[float, float, str]:
        return (check_real("alpha", alpha, *LOADS, remedy="it is the number of examples per weight"), self._weight(kl),
                check_choice("branch", branch, BRANCHES))

    def _weight(self, kl) -> float:
        return check_real("kl", kl, 0.0, _STIFFEST / self.beta, remedy="it is the weight of a divergence; beta kl above 1e5 "
                          "leaves m = 0 in a first task, and in a second one nothing but the first")


@lru_cache(maxsize=32)
def _first_branches(beta: float, kl: float) -> Branches:
    return Branches(FirstEquations(beta, kl), 0.5)


@lru_cache(maxsize=128)
def _second_branches(beta: float, kl: float, correlation: float, first: FirstEquations, conjugates) -> Branches:
    return Branches(SecondEquations(beta, kl, correlation, first, conjugates), 0.05)


def _free_reference(first) -> None:
    """ParameterError if `first` is not what a second task refers to."""
    if not isinstance(first, FirstTask):
        raise ParameterError("first is not a FirstTask; use the result of first_task")
    if first.imposed_qd:
        raise ParameterError("first has an imposed qd, so that it is no Gibbs state; use a free first_task")


def _judged(equations, saddle: Saddle, qd: float | None) -> tuple[float, float]:
    """Largest residual of two quadratures, and the replicon ratio."""
    finer = equations.point(saddle.c, _FINER)
    left = max(residual(saddle.c, saddle.alpha, point, qd is not None) for point in (saddle.point, finer))
    if qd is not None:
        left = max(left, *(abs(point.site.order.qd - qd) / (1 - qd) for point in (saddle.point, finer)))
    return float(left), saddle.alpha * finer.energy.curvature * finer.site.variance2


def _name(start) -> str:
    return "continued" if start.branch == "unique" else start.branch


def _continued(equations, start, alpha: float) -> Saddle:
    """The saddle at alpha on the branch of a record nearby."""
    found = follow(equations, newton(equations, start.conjugates, start.alpha), alpha)
    if found.alpha != alpha:
        raise NoSolution(f"the {start.branch} branch continued from alpha = {start.alpha:.6g} does not reach {alpha:.6g}; the "
                         f"nearest alpha where it was found is {found.alpha:.6g}")
    return found


def _imposed(equations, saddle: Saddle, alpha: float, qd: float) -> Saddle:
    """The saddle with the self-overlap qd: ln(1 - qd) moved there from the free saddle in small steps."""
    rest, target, step = math.log(saddle.point.site.order.rest), math.log1p(-qd), 0.5
    while True:
        goal = target if abs(target - rest) <= step else rest + math.copysign(step, target - rest)
        found = newton(equations, saddle.c, alpha, qd=-math.expm1(goal), slopes=saddle.slopes, iterations=20)
        if found.error <= CONVERGED:
            if goal == target:
                return found
            saddle, rest, step = found, goal, 1.5 * step
        elif step < 1e-3:
            raise NoSolution(f"no saddle with qd = {qd:.6g} at alpha = {alpha:.6g} is connected to the free one; the nearest "
                             f"qd where one was found is {-math.expm1(rest):.6g}")
        else:
            step = min(step, abs(target - rest)) / 2
