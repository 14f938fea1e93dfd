"""Saddle points of the field-space perceptron: one quasi-Newton method for a given load, overlap or self-overlap.

`Equations` of a first or second task give, at conjugates c = (Q, R, Qd), the order parameters and the slopes g of G_E there; a
saddle is c = alpha g(c). Written in u = (ln Q, R/Q, Qd/Q) the load enters one equation only, ln Q = ln alpha + ln g_Q, and the
system can be closed in three ways: alpha is given; a plane in u is given and alpha = Q/g_Q follows (to follow a branch along
its arc, where nothing special happens at a fold); or the self-overlap qd is given and Qd, its Lagrange multiplier, is free
of its equation.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import NoSolution
from .perceptron_energy import Conjugates, Energy
from .perceptron_site import Site

__all__ = ["COARSE", "Equations", "Point", "Saddle", "conjugates", "coordinates", "moves", "newton", "residual",
           "follow", "sensitivity", "settle", "tangent"]

COARSE = 0.5               # nodes with which starts are improved: errors of 1e-8
_MOVE = 1e-4               # of finite differences


class Point(NamedTuple):
    """One evaluation of the equations at conjugates c."""

    site: Site
    energy: Energy


class Equations(Protocol):
    beta: float

    def point(self, c: Conjugates, nodes: float = 1.0) -> Point: ...


class Saddle(NamedTuple):
    """Conjugates, load and the evaluation there; slopes (4, 3): `sensitivity`; error: what is left of the equations."""

    c: Conjugates
    alpha: float
    point: Point
    slopes: np.ndarray
    error: float

    @property
    def crossing(self) -> float:
        """det(1 - dc'/dc) of the update c' = alpha g(c): it changes sign at a fold."""
        return float(np.linalg.det(np.eye(3) - self.slopes[:3]))


def coordinates(c) -> np.ndarray:
    return np.array([math.log(c[0]), c[1] / c[0], c[2] / c[0]])


def conjugates(u) -> Conjugates:
    Q = math.exp(u[0])
    return Conjugates(Q, Q * float(u[1]), Q * float(u[2]))


def _quantities(point: Point) -> np.ndarray:
    """What the systems are made of: the slopes g as coordinates, and ln(1 - qd)."""
    if math.isnan(point.energy.value):
        return np.full(4, math.nan)
    return np.array([*coordinates(point.energy.slopes), math.log(point.site.order.rest)])


def moves(u) -> np.ndarray:
    """Natural sizes of the coordinates: R against sqrt(Q), the deviation of the field, and A = Qd - Q/2 against itself."""
    return np.array([1.0, max(math.exp(-u[0] / 2), abs(u[1])), min(0.5, math.exp(-u[0] / 2)) + abs(u[2] - 0.5)])


def residual(c: Conjugates, alpha: float, point: Point, free: bool = False) -> float:
    """Largest |alpha g - c| relative to max(1, |c|); free: without the equation of Qd."""
    wanted = np.array(c)
    error = np.abs(alpha * np.array(point.energy.slopes) - wanted) / np.maximum(1, np.abs(wanted))
    return float(error[:2 if free else 3].max())


def sensitivity(equations: Equations, c: Conjugates, nodes: float = COARSE, point: Point | None = None) -> np.ndarray:
    """(4, 3) derivatives of the slopes g (in coordinates u) and of ln(1 - qd) with respect to u at c.

    By differences: central ones, or one-sided from the evaluation `point` at c with the same nodes.
    """
    u, columns = coordinates(c), []
    for k, size in enumerate(moves(u)):
        move = np.zeros(3)
        move[k] = _MOVE * size
        above = _quantities(equations.point(conjugates(u + move), nodes))
        below = _quantities(equations.point(conjugates(u - move), nodes) if point is None else point)
        columns.append((above - below) / (move[k] if point else 2 * move[k]))
    return np.stack(columns, axis=1)


def tangent(saddle: Saddle) -> tuple[np.ndarray, float]:
    """Direction (3,) of the branch in u/moves(u), of length 1 and with ln Q rising, and d ln alpha along it."""
    size = moves(coordinates(saddle.c))
    normals = (saddle.slopes[1:3] - np.eye(3)[1:3]) * size
    along = np.cross(normals[0], normals[1])
    along /= math.copysign(float(np.linalg.norm(along)), along[0])
    return along, float(along[0] - saddle.slopes[0] @ (size * along))


def newton(equations: Equations, c: Conjugates, alpha: float | None = None, *, plane=None, qd: float | None = None,
           nodes: float = 1.0, slopes: np.ndarray | None = None, tolerance: float = 1e-12, iterations: int = 40) -> Saddle:
    """A saddle near c: at the load alpha; in plane = (normal, origin) of u, with alpha left open; at alpha and self-overlap qd.

    Newton's method with the matrix `slopes` (`sensitivity` near c, computed here if not given) kept up to date by Broyden's
    rank-one corrections, and computed afresh when they stop helping. The caller judges the error of what comes back.
    """
    u = coordinates(c)
    if slopes is None:
        slopes = sensitivity(equations, c, min(nodes, COARSE))
    point, result, worse = equations.point(c, nodes), None, 0
    here = _quantities(point)
    for _ in range(iterations):
        load = math.exp(u[0] - here[0]) if alpha is None else alpha
        left = here[:3] - u + [math.log(load), 0, 0]
        error = residual(conjugates(u), load, point, qd is not None)
        if plane is not None:
            left[0] = plane[0] @ (u - plane[1])
            error = max(error, abs(float(left[0])))
        if qd is not None:
            left[2] = here[3] - math.log1p(-qd)
            error = max(error, abs(float(left[2])))
        worse = worse + 1 if result is not None and error > 0.5 * result.error else 0
        if result is None or error < result.error:
            result = Saddle(conjugates(u), load, point, slopes, error)
        if error <= tolerance or worse > 8 or not math.isfinite(error):
            break
        if worse in (3, 6):
            slopes = sensitivity(equations, conjugates(u), min(nodes, COARSE))
        matrix = slopes[:3] - np.eye(3)
        if plane is not None:
            matrix[0] = plane[0]
        if qd is not None:
            matrix[2] = slopes[3]
        try:
            step = np.linalg.solve(matrix, -left)
        except np.linalg.LinAlgError:                  # nothing moves any more: the error of what was found tells
            break
        step *= min(1.0, 0.5 / float(np.max(np.abs(step) / moves(u))))
        u = u + step
        try:
            point = equations.point(conjugates(u), nodes)
        except NoSolution:                             # a stray step
            break
        new, weight = _quantities(point), step / moves(u) ** 2
        slopes = slopes + np.outer(new - here - slopes @ step, weight) / float(step @ weight)
        here = new
    return result._replace(slopes=slopes)


def settle(equations: Equations, c: Conjugates, alpha: float, *, steps: int = 8, nodes: float = COARSE) -> Conjugates:
    """The conjugates after some plain updates c -> alpha g(c)."""
    for _ in range(steps):
        c = Conjugates(*(alpha * slope for slope in equations.point(c, nodes).energy.slopes))
    return c


def follow(equations: Equations, saddle: Saddle, alpha: float, *, nodes: float = 1.0, tolerance: float = 1e-10) -> Saddle:
    """The saddle continued to the load alpha in steps of ln alpha that Newton takes; where it ends, the last one reached."""
    step, target = 0.2, math.log(alpha)
    while saddle.alpha != alpha and step > 1e-4:
        here = math.log(saddle.alpha)
        last = abs(target - here) <= step
        goal = alpha if last else math.exp(here + math.copysign(step, target - here))
        found = newton(equations, saddle.c, goal, nodes=nodes, slopes=saddle.slopes, tolerance=tolerance / 10, iterations=15)
        if found.error <= tolerance and found.crossing * saddle.crossing > 0:
            saddle, step = found, 1.5 * step
        else:
            step = min(step, abs(target - here)) / 2
    return saddle
