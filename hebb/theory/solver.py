"""Vectorised root finders: many independent scalar roots, or many independent 2 x 2 systems, at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["bracketed_root", "increasing_root", "newton_pairs"]

_EPS = np.finfo(float).eps


def bracketed_root(function: Callable, low, high, *, tolerance: float = 4 * _EPS, iterations: int = 100) -> np.ndarray:
    """Roots of function between low and high, one per element, by Chandrupatla's method.

    function(x, rows) returns values for the points x, which belong to the elements `rows` of the flattened problem; it
    must have opposite signs (or a zero) at the two ends. Elements whose ends have one sign, or a NaN, give NaN. Stops
    when the bracket is tolerance * (1 + |x|) wide or the value is exactly 0. Inverse quadratic steps where they are
    safe, bisection elsewhere (T. R. Chandrupatla, Adv. Eng. Software 28 (1997) 145); about 8 evaluations per root.
    """
    b, a = (np.array(end, float).ravel() for end in np.broadcast_arrays(low, high))
    everything = np.arange(a.size)
    root = np.full(a.size, np.nan)
    fa, fb = np.asarray(function(a, everything), float), np.asarray(function(b, everything), float)
    rows = np.flatnonzero((fa * fb <= 0) & np.isfinite(fa * fb))
    a, b, fa, fb = a[rows], b[rows], fa[rows], fb[rows]
    c, fc, t = a.copy(), fa.copy(), np.full(rows.size, 0.5)
    for _ in range(iterations):
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        root[rows] = best
        width = np.abs(b - a)
        going = (width > tolerance * (1 + np.abs(best))) & (fa != 0) & (fb != 0)
        if not going.any():
            break
        rows, a, b, c, fa, fb, fc, t = (array[going] for array in (rows, a, b, c, fa, fb, fc, t))
        # a step never closer to an end than half the tolerance, so that the bracket closes from both sides
        margin = np.minimum(0.5, tolerance * (1 + np.abs(a)) / (2 * np.abs(b - a)))
        x = a + np.clip(t, margin, 1 - margin) * (b - a)
        fx = np.asarray(function(x, rows), float)
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        with np.errstate(divide="ignore", invalid="ignore"):
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
            step = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = np.where(safe & np.isfinite(step), step, 0.5)
    return root


def increasing_root(value_and_slope: Callable, low, high, start, *, tolerance: float = 4 * _EPS,
                    iterations: int = 80) -> np.ndarray:
    """Roots of increasing functions on [low, high], one per element: Newton, bisecting whenever it leaves the bracket.

    value_and_slope(x, rows) returns two arrays for the elements `rows`. A function of one sign on the whole interval
    converges to the end nearest to its root. Stops when the relative step is below tolerance.
    """
    low, high, x = (np.array(item, float).ravel() for item in np.broadcast_arrays(low, high, start))
    rows = np.arange(x.size)
    for _ in range(iterations):
        here = x[rows]
        value, slope = value_and_slope(here, rows)
        low[rows] = np.where(value <= 0, here, low[rows])
        high[rows] = np.where(value >= 0, here, high[rows])
        with np.errstate(divide="ignore", invalid="ignore"):
            new = here - value / slope
        inside = (new > low[rows]) & (new < high[rows])
        new = np.where(inside, new, np.where(value == 0, here, (low[rows] + high[rows]) / 2))
        x[rows] = new
        rows = rows[np.abs(new - here) > tolerance * np.abs(new)]
        if not rows.size:
            break
    return x


def newton_pairs(residual: Callable, x, y, bounds, *, tolerance: float = 1e-15, iterations: int = 60):
    """Solve residual(x, y) = 0 for many independent pairs by Newton steps kept inside the box `bounds`.

    residual(x, y, rows) returns (r1, r2, j11, j12, j21, j22) for the elements `rows`; bounds = ((x_low, x_high),
    (y_low, y_high)) are never reached: a step that would cross goes half of the way to the wall. Elements stop when the
    step is below tolerance * (1 + |value|); the bounds may be arrays, one element per pair. An element whose Jacobian
    is singular to rounding stops where it is. Returns x, y and the last step taken (the larger of the two relative
    ones): the caller judges convergence by the residual of the result.
    """
    x, y = np.array(x, float).ravel(), np.array(y, float).ravel()
    (x_low, x_high), (y_low, y_high) = (tuple(np.broadcast_to(end, x.shape) for end in pair) for pair in bounds)
    rows, last = np.arange(x.size), np.full(x.size, np.inf)
    for _ in range(iterations):
        r1, r2, j11, j12, j21, j22 = residual(x[rows], y[rows], rows)
        determinant = j11 * j22 - j12 * j21
        with np.errstate(divide="ignore", invalid="ignore"):
            dx = (j12 * r2 - j22 * r1) / determinant
            dy = (j21 * r1 - j11 * r2) / determinant
        usable = np.isfinite(dx) & np.isfinite(dy)
        rows, dx, dy = rows[usable], dx[usable], dy[usable]
        new_x = _inside(x[rows], dx, x_low[rows], x_high[rows])
        new_y = _inside(y[rows], dy, y_low[rows], y_high[rows])
        step = np.maximum(np.abs(new_x - x[rows]) / (1 + np.abs(x[rows])),
                          np.abs(new_y - y[rows]) / (1 + np.abs(y[rows])))
        x[rows], y[rows], last[rows] = new_x, new_y, step
        rows = rows[step > tolerance]
        if not rows.size:
            break
    return x, y, last


def _inside(value, step, low, high):
    new = value + step
    return np.where(new < low, (value + low) / 2, np.where(new >= high, (value + high) / 2, new))
