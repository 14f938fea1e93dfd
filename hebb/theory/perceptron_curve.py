"""Branches of saddles of the field-space perceptron: one curve alpha(s), followed along its arc and through its folds.

Between the spinodals three saddles share a load, and an iteration started cold may end on any of them. Followed from small
loads on, with the load left open, they are one smooth curve. Its turning points in alpha are the spinodals; what lies before
the first is the poor branch, what lies behind the last the good one, and what lies between is unstable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from ..errors import NoSolution
from .perceptron_energy import Conjugates, Order, energy
from .perceptron_saddle import (
    COARSE,
    Equations,
    Saddle,
    conjugates,
    coordinates,
    follow,
    moves,
    newton,
    sensitivity,
    settle,
    tangent,
)

__all__ = ["Branches", "Curve", "trace"]

_LONGEST, _SHORTEST = 0.8, 1e-4          # steps along the arc
_TURN = 0.4                              # of the direction, in one step
_TOLERANCE = 1e-5                        # of the points of a curve, which are starts
_SATURATED = 2e-5                        # 1 - qd of a poor branch that is followed no further
_KNOWN = 1e-6                            # last change of ln alpha at a fold of a curve
_MOST_POINTS = 600                       # of a curve, which takes 20-30 points and one for each factor 2 of the load
_CLOSE = 1e-3                            # of ln alpha: so near a fold its exact place is asked for
_PATIENCE = 40                           # plain updates from the teacher that may fall to the poor saddle


@dataclass(frozen=True)
class Curve:
    """Points of a branch in order, from small loads on; arrays with one row per point, good to 1e-5.

    u: (n, 3) coordinates of the conjugates; du, dlog: derivatives of u and of ln alpha with respect to s; slopes (n, 4, 3).
    """

    s: np.ndarray
    log_alpha: np.ndarray
    u: np.ndarray
    dlog: np.ndarray
    du: np.ndarray
    slopes: np.ndarray
    complete: bool = True

    @cached_property
    def panels(self) -> list[np.ndarray]:
        """ln alpha as a cubic in x = 0...1 between neighbouring points, coefficients highest first."""
        return [_hermite(self.log_alpha[k], self.log_alpha[k + 1], h * self.dlog[k], h * self.dlog[k + 1])
                for k, h in enumerate(np.diff(self.s))]

    @cached_property
    def folds(self) -> list[tuple[float, float]]:
        """(place, alpha) of every turning point of the load; place = index + x, to the accuracy of the curve."""
        found = []
        for k in np.flatnonzero(self.dlog[:-1] * self.dlog[1:] < 0):
            x = next(float(root.real) for root in np.roots(np.polyder(self.panels[k]))
                     if abs(root.imag) < 1e-9 and 0 <= root.real <= 1)
            found.append((float(k + x), math.exp(np.polyval(self.panels[k], x))))
        return found

    def crossings(self, alpha: float) -> list[float]:
        """Places where the curve passes the load, in order."""
        found = []
        for k, panel in enumerate(self.panels):
            roots = np.roots(panel - [0, 0, 0, math.log(alpha)])
            found += sorted(float(k + x.real) for x in roots if abs(x.imag) < 1e-9 and 0 <= x.real < 1)
        return found

    def at(self, place: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """u, its direction and the slopes at a place."""
        k = min(int(place), self.s.size - 2)
        x, h = place - k, self.s[k + 1] - self.s[k]
        cubics = np.stack([_hermite(*ends) for ends in zip(self.u[k], self.u[k + 1], h * self.du[k], h * self.du[k + 1],
                                                           strict=True)], axis=1)
        direction = np.array([3 * x * x, 2 * x, 1.0, 0.0]) @ cubics / h
        return np.array([x**3, x * x, x, 1.0]) @ cubics, direction, (1 - x) * self.slopes[k] + x * self.slopes[k + 1]

    def inserted(self, place: float, saddle: Saddle, dlog: float, direction: np.ndarray) -> Curve:
        """The curve with one more point at a place; dlog, direction: as `tangent` has them, along the curve."""
        k = int(place)
        u = coordinates(saddle.c)
        new = (self.s[k] + (place - k) * (self.s[k + 1] - self.s[k]), math.log(saddle.alpha), u, dlog, moves(u) * direction,
               saddle.slopes)
        old = (self.s, self.log_alpha, self.u, self.dlog, self.du, self.slopes)
        return Curve(*(np.insert(column, k + 1, value, axis=0) for column, value in zip(old, new, strict=True)), self.complete)


def _hermite(f0, f1, d0, d1) -> np.ndarray:
    """Coefficients, highest first, of the cubic on [0, 1] with these values and slopes at its ends."""
    return np.array([2 * (f0 - f1) + d0 + d1, 3 * (f1 - f0) - 2 * d0 - d1, d0, f0])


def trace(equations: Equations, start: Saddle, rising: bool = True, least: float = 0.0) -> Curve:
    """The branch through start, towards larger loads at first, until every larger load lies ahead.

    That is where r > 0.99 and Q grows like alpha^2 (`complete`). It also ends where it cannot be followed: without an upper
    spinodal, as at very low temperature, a poor branch runs off to 1 - qd -> 0. rising = False: towards smaller loads,
    through the lower spinodal and some way up behind it, or down to the load `least`; points are then reversed.
    Cost: 20-30 points of 7 coarse evaluations.
    """
    rows, s, step, lowest, complete = [], 0.0, 0.3, math.inf, False
    saddle = start._replace(slopes=sensitivity(equations, start.c))
    ahead = None
    while True:
        along, dlog = tangent(saddle)
        if (dlog > 0) != rising if ahead is None else along @ ahead < 0:
            along, dlog = -along, -dlog
        u, ahead = coordinates(saddle.c), along
        size, order = moves(u), saddle.point.site.order
        du = size * along
        rows.append((s, math.log(saddle.alpha), u, dlog, du, saddle.slopes))
        complete = order.r > 0.99 and 0.35 * along[0] < dlog < 0.7 * along[0]
        lowest = min(lowest, saddle.alpha)
        done = complete if rising else (dlog > 0 and saddle.alpha > 1.03 * lowest) or saddle.alpha < least
        if done or len(rows) > _MOST_POINTS or (order.rest < _SATURATED and order.r < 0.95):
            break
        bend = (du - rows[-2][4]) / (s - rows[-2][0]) if len(rows) > 1 else np.zeros(3)
        step = min(step, _TURN / max(1e-3, float(np.linalg.norm(bend / size))))
        while step > _SHORTEST:
            guess = u + step * du + step * step / 2 * bend
            found = newton(equations, conjugates(guess), plane=(along / size, guess), nodes=COARSE, slopes=saddle.slopes,
                           tolerance=_TOLERANCE, iterations=6)
            if found.error <= _TOLERANCE and np.linalg.norm((coordinates(found.c) - guess) / size) < 0.4 * step:
                break
            step /= 2
        else:
            break
        s, saddle = s + step, found._replace(slopes=sensitivity(equations, found.c, COARSE, found.point))
        step = min(_LONGEST, 1.4 * step)
    s, log_alpha, u, dlog, du, slopes = (np.array(column) for column in zip(*rows, strict=True))
    if not rising:
        s, log_alpha, u, dlog, du, slopes = (s[-1] - s[::-1], log_alpha[::-1], u[::-1], -dlog[::-1], -du[::-1], slopes[::-1])
    return _with_folds(equations, Curve(s, log_alpha, u, dlog, du, slopes, complete))


def _with_folds(equations: Equations, curve: Curve) -> Curve:
    """The curve with a point next to every fold, so near that ln alpha there is known to 1e-5."""
    for fold in range(len(curve.folds)):
        for _ in range(5):
            if fold >= len(curve.folds):                   # a pair that the cubics only seemed to have
                return curve
            place, alpha = curve.folds[fold]
            u, along, slopes = curve.at(place)
            found = newton(equations, conjugates(u), plane=(along / moves(u) ** 2, u), nodes=COARSE, slopes=slopes,
                           tolerance=_TOLERANCE / 10, iterations=15)
            if not found.error <= _TOLERANCE:
                break
            found = found._replace(slopes=sensitivity(equations, found.c, COARSE, found.point))
            direction, dlog = tangent(found)
            ahead = math.copysign(1.0, direction @ (along / moves(u)))
            curve = curve.inserted(place, found, ahead * dlog, ahead * direction)
            if abs(math.log(found.alpha / alpha)) < _KNOWN:
                break
    return curve


class Branches:
    """Saddles of one family by load and by name: "unique", "poor", "good".

    begin: the load from which the curve is followed; below it the poor branch is the end of plain updates. name: what the load
    is called in messages.
    """

    def __init__(self, equations: Equations, begin: float, name: str = "alpha"):
        self.equations, self.begin, self.name = equations, begin, name
        self._asked = False                                # one saddle alone is found faster without the curve

    @cached_property
    def poor_curve(self) -> Curve:
        """The curve from small loads on: the whole one, if it is `complete`."""
        return trace(self.equations, self._cold(self.begin))

    @cached_property
    def good_curve(self) -> Curve:
        """The curve up to large loads."""
        if self.poor_curve.complete:
            return self.poor_curve
        alpha = 2 * float(np.exp(self.poor_curve.log_alpha.max()))
        c = settle(self.equations, self._teacher(alpha), alpha, steps=20)
        return trace(self.equations, newton(self.equations, c, alpha, nodes=COARSE, tolerance=1e-7), rising=False)

    @cached_property
    def window(self) -> tuple[float, float] | None:
        """Loads (low, high) between which branches coexist, folds to 1e-5 (relative); None where there is one branch.

        Where a branch has no fold that can be followed, its end is where following it stops."""
        folds = self.poor_curve.folds
        if self.poor_curve.complete:
            return (folds[-1][1], folds[0][1]) if folds else None
        below = self.good_curve.folds
        return (below[-1][1] if below else float(np.exp(self.good_curve.log_alpha[0])),
                folds[0][1] if folds else float(np.exp(self.poor_curve.log_alpha[-1])))

    @cached_property
    def upper_spinodal(self) -> Saddle | None:
        """Where the poor branch ends in a fold, to rounding; None if it does not."""
        return self._upper[1] if self.poor_curve.folds else None

    @cached_property
    def lower_spinodal(self) -> Saddle | None:
        """Where the good branch ends in a fold, to rounding; None if it does not."""
        return self._lower[1] if self.good_curve.folds else None

    def saddle(self, alpha: float, branch: str = "unique") -> Saddle:
        """The saddle of a branch at a load, to rounding.

        "unique" raises NoSolution inside the window of coexistence; "poor" and "good" are the branches before the first and
        behind the last fold wherever they exist, and both are the only branch where there is no fold. Cost: 12 evaluations,
        and once those of the curve, 80-300; the first saddle, if it is a unique poor or a good one, without it: 50-120.
        """
        if branch != "poor" and not self._asked and "poor_curve" not in self.__dict__:
            self._asked = True
            found = self._alone(alpha) if branch == "unique" else self._above_fold(alpha)
            if found is not None:
                return found
        self._check(alpha, branch)
        poor = branch == "poor" or (branch == "unique" and self.window is not None and alpha < self.window[1])
        if alpha < self.begin and (poor or self.window is None):
            found = self._cold(alpha)
            return newton(self.equations, found.c, alpha, slopes=found.slopes)
        curve = self.poor_curve if poor else self.good_curve
        places = curve.crossings(alpha)
        if curve.folds:
            place, load = curve.folds[0 if poor else -1]
            places = [x for x in places if (x < place if poor else x > place)]
            if abs(math.log(alpha / load)) < _CLOSE or (not places and (poor or alpha < math.exp(curve.log_alpha[-1]))):
                return self._beside(curve, self._upper if poor else self._lower, alpha, -1.0 if poor else 1.0)
        if not places:
            return self._beyond(curve, alpha)
        u, _, slopes = curve.at(places[0])
        start = newton(self.equations, conjugates(u), alpha, nodes=COARSE, slopes=slopes, tolerance=1e-6)
        return newton(self.equations, start.c, alpha, slopes=start.slopes)

    def _alone(self, alpha: float) -> Saddle | None:
        """The saddle without the curve, where plain updates from the teacher leave the neighbourhood of a good one for it."""
        found = newton(self.equations, self._settled(alpha), alpha, nodes=COARSE, tolerance=1e-6)
        r = found.point.site.order.r
        if not found.error <= 1e-6 or r > 0.9 or found.crossing <= 0:
            return None
        c = self._teacher(alpha)
        for _ in range(_PATIENCE):
            point = self.equations.point(c, COARSE)
            if abs(point.site.order.r - r) < 0.03:
                return newton(self.equations, found.c, alpha, slopes=found.slopes)
            c = Conjugates(*(alpha * slope for slope in point.energy.slopes))
        return None

    def _above_fold(self, alpha: float) -> Saddle | None:
        """The saddle without the curve, where plain updates from the teacher lead to one with a fold right below it."""
        c = settle(self.equations, self._teacher(alpha), alpha, steps=12)
        found = newton(self.equations, c, alpha, nodes=COARSE, tolerance=1e-6)
        if not found.error <= 1e-6 or found.point.site.order.r < 0.9 or found.crossing <= 0:
            return None
        if not trace(self.equations, found, rising=False, least=self.begin).folds:
            return None
        return newton(self.equations, found.c, alpha, slopes=found.slopes)

    def between(self, alpha: float) -> Saddle | None:
        """The unstable saddle between the folds at a load; None where there is none or it cannot be followed."""
        curve = self.poor_curve
        if self.window is None or not curve.complete or not self.lower_spinodal.alpha < alpha < self.upper_spinodal.alpha:
            return None
        place = brentq(lambda x: math.log(self._plane(curve, x).alpha / alpha), self._upper[0], self._lower[0], xtol=1e-13)
        return self._plane(curve, place)

    def _check(self, alpha: float, branch: str) -> None:
        """NoSolution where the branch does not exist, or where "unique" is not."""
        if self.window is None:
            return
        (low, high), log_alpha = self.window, math.log(alpha)
        wrong = {"unique": low <= alpha <= high, "poor": alpha > high, "good": alpha < low}[branch]
        if not wrong and min(abs(log_alpha - math.log(low)), abs(log_alpha - math.log(high))) > _CLOSE:
            return
        lower, upper = self.lower_spinodal, self.upper_spinodal
        low, begins = (lower.alpha, "exists") if lower else (low, "was found")
        high, ends = (upper.alpha, "exists") if upper else (high, "was found")
        low_end, high_end, here = f"{low:.7g}", f"{high:.7g}", f"{self.name} = {alpha:.6g}"
        if branch == "unique" and low <= alpha <= high:
            raise NoSolution(f"{here} lies in the window from {low_end} to {high_end} where a poor and a good branch coexist; "
                             'choose branch="poor" or branch="good"')
        if branch == "poor" and alpha > high:
            raise NoSolution(f"no poor branch at {here}; the nearest {self.name} where it {ends} is {high_end}")
        if branch == "good" and alpha < low:
            raise NoSolution(f"no good branch at {here}; the nearest {self.name} where it {begins} is {low_end}")

    def _settled(self, alpha: float) -> Conjugates:
        return settle(self.equations, Conjugates(alpha, 0.0, 0.0), alpha, steps=12)

    def _cold(self, alpha: float) -> Saddle:
        """The coarse poor saddle at a small load; where plain updates do not settle, continued from a smaller one."""
        begin = alpha
        while True:
            found = newton(self.equations, self._settled(begin), begin, nodes=COARSE, tolerance=1e-7)
            if found.error <= 1e-6 and found.crossing > 0:
                return found if begin == alpha else follow(self.equations, found, alpha, nodes=COARSE, tolerance=1e-6)
            if begin < 1e-6 * alpha:
                raise NoSolution(f"no saddle was found at small {self.name}, from {begin:.3g} to {alpha:.3g}; "
                                 "rounding takes the order parameters where load times beta^2 is below 1e-24: take more")
            begin /= 4

    def _teacher(self, alpha: float) -> Conjugates:
        slopes = energy(Order(0.999, 0.9994, 0.9992, 8e-4, 2e-4, 2e-4), self.equations.beta, COARSE).slopes
        return Conjugates(*(alpha * slope for slope in slopes))

    @cached_property
    def _upper(self) -> tuple[float, Saddle]:
        return self._turning(self.poor_curve, self.poor_curve.folds[0][0])

    @cached_property
    def _lower(self) -> tuple[float, Saddle]:
        return self._turning(self.good_curve, self.good_curve.folds[-1][0])

    def _plane(self, curve: Curve, place: float) -> Saddle:
        """The saddle in the plane across the curve at a place."""
        u, along, slopes = curve.at(place)
        normal = along / moves(u) ** 2
        return newton(self.equations, conjugates(u), plane=(normal / np.linalg.norm(along / moves(u)), u), slopes=slopes)

    def _turning(self, curve: Curve, place: float) -> tuple[float, Saddle]:
        """The extremum of the load next to a place of the curve, and its exact place."""
        sign = math.copysign(1.0, curve.dlog[int(place)])
        found = minimize_scalar(lambda x: -sign * math.log(self._plane(curve, x).alpha), method="bounded",
                                bounds=(max(0.0, place - 0.3), min(curve.s.size - 1.0, place + 0.3)),
                                options={"xatol": 1e-7})
        return float(found.x), self._plane(curve, float(found.x))

    def _beside(self, curve: Curve, turning: tuple[float, Saddle], alpha: float, away: float) -> Saddle:
        """The saddle close to a fold and on the outer side of it, by the plane across the curve that holds the load."""
        place, saddle = turning
        if (alpha - saddle.alpha) * away <= 0:
            return saddle
        far, last = place + away, curve.s.size - 1.0
        while (self._plane(curve, far).alpha - alpha) * away < 0 and 0 < far < last:
            far = min(max(far + away, 0.0), last)
        found = brentq(lambda x: math.log(self._plane(curve, x).alpha / alpha), place, far, xtol=1e-13)
        return newton(self.equations, self._plane(curve, found).c, alpha)

    def _beyond(self, curve: Curve, alpha: float) -> Saddle:
        """Past the last point of the curve, where Q grows like alpha^2 and the ratios of the conjugates stand still."""
        u = curve.u[-1] + [2 * (math.log(alpha) - curve.log_alpha[-1]), 0.0, 0.0]
        return newton(self.equations, conjugates(u), alpha)
