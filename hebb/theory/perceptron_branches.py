"""Where the branches of a field-space perceptron end, cross and become unstable, and all of them over a range of loads.

At low temperature a poor and a good branch coexist between two spinodals (`hebb.theory.perceptron_curve`); they exchange the
largest free entropy phi in between. phi is stationary in the order parameters, so that d phi/d alpha = G_E along a branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from ..errors import NoSolution, ParameterError
from ..params import float_array, shown
from ..progress import counted
from .array_record import ArrayRecord
from .perceptron_boundary import PerceptronBoundary
from .perceptron_curve import Branches
from .perceptron_saddle import COARSE, Saddle, conjugates, sensitivity, tangent

__all__ = ["Family", "LOADS", "PerceptronCurve", "Spinodals", "at_line", "load_axis", "spinodals", "transition"]

_EPS = np.finfo(float).eps
_STEPS = 20              # of Newton's method, which takes about 6
_ROUNDING = _EPS         # of a difference of two sums, relative to their largest terms
_FLAT = 1e-5             # d ln alpha/d(arc) at a fold, which its place is known to
LOADS = 1e-100, 1e3      # order parameters are as small as the smallest load; the fields grow like the square of the largest
QUANTITIES = ("q0", "r1", "qd", "overlap", "generalization_error", "free_entropy", "replicon_ratio", "residual")


class Spinodals(NamedTuple):
    """The ends of coexistence: `lower`, where the good branch begins, and `upper`, where the poor one ends."""

    lower: PerceptronBoundary
    upper: PerceptronBoundary


class Family(NamedTuple):
    """The saddles of a perceptron at all loads. state(saddle, branch): the record of one; name: how messages call it."""

    branches: Branches
    state: Callable[[Saddle, str], Any]
    name: str

    def at(self, alpha: float, branch: str):
        """The record of a branch at a load; NoSolution where it does not exist."""
        return self.state(self.branches.saddle(alpha, branch), branch)

    def middle(self, alpha: float):
        """The record of the unstable state between the branches at a load, or None."""
        saddle = self.branches.between(alpha)
        return None if saddle is None else replace(self.state(saddle, "middle"), stable=False)

    def ends(self) -> tuple[float, float]:
        """The loads between which branches coexist, to rounding where they end in folds; NaN if they nowhere do."""
        branches = self.branches
        if branches.window is None:
            return math.nan, math.nan
        folds = branches.lower_spinodal, branches.upper_spinodal
        return tuple(end if fold is None else fold.alpha for end, fold in zip(branches.window, folds, strict=True))

    def no_coexistence(self, what: str) -> NoSolution:
        return NoSolution(f"{self.name}: one smooth branch at all loads, so there is no {what}; a larger beta may have "
                          "two branches")


def spinodals(family: Family) -> Spinodals:
    """Both ends of the window in which branches coexist. alpha is known to 1e-12, order parameters there to its root."""
    branches = family.branches
    if branches.window is None:
        raise family.no_coexistence("spinodal")
    lower, upper = branches.lower_spinodal, branches.upper_spinodal
    if lower is None or upper is None:
        known = [f"the {name} branch {does} at alpha = {fold.alpha:.10g}" if fold else
                 f"the {name} one has no fold that can be followed (it was, {way} alpha = {end:.6g})"
                 for name, does, way, fold, end in zip(("good", "poor"), ("begins", "ends"), ("down to", "up to"),
                                                       (lower, upper), branches.window, strict=True)]
        raise NoSolution(f"{family.name}: {' and '.join(known)}; take a smaller beta")
    found = []
    for saddle, branch in ((lower, "good"), (upper, "poor")):
        fresh = saddle._replace(slopes=sensitivity(branches.equations, saddle.c, 1.0))
        flat, state = abs(tangent(fresh)[1]), replace(family.state(saddle, branch), stable=False)
        found.append(PerceptronBoundary("spinodal", saddle.alpha, state, flat, state.residual < 1e-10 and flat < _FLAT))
    return Spinodals(*found)


def transition(family: Family) -> PerceptronBoundary:
    """The load at which poor and good branch have one free entropy; solution: the poor state, other: the good one."""
    if family.branches.window is None:
        raise family.no_coexistence("transition")
    low, high = (end * (1 + side * 1e-3) for end, side in zip(family.ends(), (1, -1), strict=True))
    alpha = (low + high) / 2
    for _ in range(_STEPS):                             # Newton on a difference that is nearly a straight line
        saddles = [family.branches.saddle(alpha, name) for name in ("poor", "good")]
        poor, good = (family.state(saddle, name) for saddle, name in zip(saddles, ("poor", "good"), strict=True))
        gap, slope = good.free_entropy - poor.free_entropy, saddles[1].point.energy.value - saddles[0].point.energy.value
        step = -gap / slope
        if (alpha == low and step < 0) or (alpha == high and step > 0):
            raise NoSolution(f"{family.name}: the free entropies of the branches do not cross between alpha = {low:.6g} and "
                             f"{high:.6g}, where they coexist")
        left, rounding = abs(gap), _ROUNDING * max(_largest_term(poor), _largest_term(good))
        if abs(step) <= 1e-12 * alpha or left <= rounding:
            break
        alpha = min(max(alpha + step, low), high)
    return PerceptronBoundary("transition", poor.alpha, poor, left, poor.converged and good.converged and left <= 10 * rounding,
                              good)


def _largest_term(state) -> float:
    """Size of the terms that nearly cancel in a free entropy."""
    return 1 + abs(state.q0 * state.q0_hat) / 2 + abs(state.r1 * state.r1_hat) + abs(state.qd * state.qd_hat)


def at_line(family: Family, branch: str = "poor") -> PerceptronBoundary:
    """The load at which the replicon ratio of a branch passes 1: the first one from alpha = 0 on ("poor"), the last ("good").

    Beyond it the poor branch breaks replica symmetry, the good one keeps it. Where branches do not coexist both names mean the
    only one.
    """
    branches = family.branches
    curve, end = (branches.poor_curve, 0) if branch == "poor" else (branches.good_curve, -1)
    inside = np.arange(curve.s.size, dtype=float)
    if curve.folds:
        place = curve.folds[end][0]
        inside = inside[inside < place] if branch == "poor" else inside[inside > place]
    ratios = np.array([_ratio(branches, math.exp(curve.log_alpha[int(k)]), conjugates(curve.u[int(k)])) for k in inside])
    passed = np.flatnonzero((ratios[:-1] < 1) != (ratios[1:] < 1))
    if branch == "poor" and ratios[0] >= 1:             # before the first point of the curve: it vanishes with the load
        high = low = branches.begin
        while family.at(low, branch).replicon_ratio >= 1:
            high, low = low, low / 2
    elif passed.size:
        low, high = (math.exp(curve.log_alpha[int(inside[passed[end] + k])]) for k in (0, 1))
    else:
        raise NoSolution(f"{family.name}: the replicon ratio of the {branch} branch does not pass 1; it is "
                         f"{'below' if ratios[0] < 1 else 'above'} 1, from {ratios.min():.3g} to {ratios.max():.3g}, wherever "
                         "it was followed")
    alpha = brentq(lambda alpha: math.log(family.at(alpha, branch).replicon_ratio), low, high, xtol=1e-13, rtol=4 * _EPS)
    state = family.at(alpha, branch)
    left = abs(state.replicon_ratio - 1)
    return PerceptronBoundary("at", alpha, state, left, state.converged and left < 1e-9)


def _ratio(branches: Branches, alpha: float, c) -> float:
    """Replicon ratio at a point of a curve, to its accuracy."""
    point = branches.equations.point(c, COARSE)
    return alpha * point.energy.curvature * point.site.variance2


def load_axis(alpha) -> np.ndarray:
    """alpha as a 1-d increasing array of loads from 1e-100 to 1e3; ParameterError."""
    axis = float_array(alpha)
    if axis.ndim != 1 or axis.size == 0 or not np.all(np.isfinite(axis)) or axis[0] < LOADS[0] or axis[-1] > LOADS[1] \
            or np.any(np.diff(axis) <= 0):
        raise ParameterError(f"alpha = {shown(alpha)} is not a 1-d increasing array of numbers in {list(LOADS)}; use for "
                             "example alpha = numpy.linspace(0.01, 2, 200)")
    return axis


@dataclass(frozen=True)
class PerceptronCurve(ArrayRecord):
    """All states of the first task over a range of loads.

    alpha (n,): the loads. names: of the B branches: "poor", "good" and, if asked for, "middle"; ("unique",) where no branches
    coexist at any load. q0, r1, qd, overlap, generalization_error, free_entropy, replicon_ratio, residual (B, n): as in
    `FirstTask`, NaN where a branch does not exist. spinodals (2,): the loads between which branches coexist, or NaN.
    """

    beta: float
    kl: float
    names: tuple[str, ...]
    alpha: np.ndarray
    q0: np.ndarray
    r1: np.ndarray
    qd: np.ndarray
    overlap: np.ndarray
    generalization_error: np.ndarray
    free_entropy: np.ndarray
    replicon_ratio: np.ndarray
    residual: np.ndarray
    spinodals: np.ndarray

    @classmethod
    def compute(cls, family: Family, beta: float, kl: float, alpha, middle: bool = False) -> PerceptronCurve:
        """The states at an increasing array of loads. Cost: 10 ms per state and 0.3 s."""
        alpha = load_axis(alpha)
        window = family.branches.window
        names = ("unique",) if window is None else ("poor", "good") + ("middle",) * middle
        values = np.full((len(QUANTITIES), len(names), alpha.size), np.nan)
        for row, name in enumerate(names):
            for column, load in enumerate(counted(alpha.tolist(), "state")):
                try:
                    state = family.middle(load) if name == "middle" else family.at(load, name)
                except NoSolution:
                    continue
                if state is not None:
                    values[:, row, column] = [getattr(state, quantity) for quantity in QUANTITIES]
        return cls(beta, kl, names, alpha, **dict(zip(QUANTITIES, values, strict=True)), spinodals=np.array(family.ends()))

    def row(self, name: str) -> int:
        """The index of a branch."""
        return self.names.index(name)

    @property
    def equilibrium(self) -> np.ndarray:
        """(n,) index of the branch of largest free entropy."""
        return np.argmax(np.nan_to_num(self.free_entropy, nan=-np.inf), axis=0)

    def plot(self, ax=None, quantity="generalization_error"):
        """Draw a quantity of all branches against the load on matplotlib axes (new ones by default); returns the axes.

        Full lines: equilibrium; dashed: metastable; dotted: middle. Grey: replica symmetry is unstable.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")[1]
        values, best = getattr(self, quantity), self.equilibrium
        for row, name in enumerate(self.names):
            style = ":" if name == "middle" else "--"
            colour = f"C{row}"
            ax.plot(self.alpha, values[row], style, color=colour, linewidth=1.0)
            ax.plot(self.alpha, np.where(best == row, values[row], np.nan), "-", color=colour, label=name)
            broken = self.replicon_ratio[row] >= 1
            ax.plot(self.alpha, np.where(broken, values[row], np.nan), color="0.75", linewidth=4, zorder=0,
                    label="replica symmetry unstable" if row == 0 and broken.any() else None)
        for load in self.spinodals[np.isfinite(self.spinodals)]:
            ax.axvline(load, color="0.6", linewidth=0.6)
        ax.set(xlabel=r"$\alpha$", ylabel=_LABELS.get(quantity, quantity.replace("_", " ")),
               title=rf"first task, $\beta$ = {self.beta:g}" + (f", KL x {self.kl:g}" if self.kl else ""))
        ax.legend(fontsize="small")
        return ax


_LABELS = {"generalization_error": r"$\epsilon_g$", "q0": r"$q_0$", "r1": r"$r_1$", "qd": r"$q_d$", "overlap": r"$p_1$",
           "free_entropy": r"$\phi$"}
