"""Broken retrieval over all overlaps at one temperature: where a dataset lets the load turn more than once.

Replica-symmetric retrieval can lose stability, regain it and lose it again along its branch. In every interval of overlaps
in which its replicon is negative the 1RSB branch is followed from the AT point above it, or, where the levels part with a
jump (theta = 1), from a state found inside it. Each stretch on which the load rises as the overlap falls is a state of its
own; it ends at a maximum of the load, where the levels merge again, or where theta = 1.

A positive replicon is not enough: at an overlap n at which a 1RSB solution with theta < 1 exists, its f, which is a maximum
over the other order parameters, is the larger one, and the replica-symmetric state is none. It lies below the static line
of its own valley, like the paramagnet of a P-spin glass below T_s, whose replicon is positive as well.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import erf, erfinv

from .parisi import Saddles
from .rsb_onset import COLD
from .solver import bracketed_root

__all__ = ["Walk", "turns", "whole"]

_GRID = 128
_STEP = 0.08              # of y, nt = E|u| erf(y)
_SHORTEST = 1e-3
_NEGLECTED = 0.3          # a branch that has fallen to this share of its largest load is not followed further down
_CLOSED_GAP = 0.05        # of 1 - q_0: levels closer than this at the end of a walk have merged
_CLOSED_THETA = 0.95      # a walk that ends with theta above this ends at theta = 1


class Walk(NamedTuple):
    """Points (columns as in `Parisi.names`) of a broken branch by falling overlap.

    merged: the AT point above the first one, with x = NaN, or None. closed: the walk did not just get lost at its end.
    """

    points: np.ndarray
    merged: np.ndarray | None
    closed: bool

    @property
    def reach(self) -> tuple[float, float]:
        """Range of nt in which broken states are known, down to 0 where the branch was not followed further."""
        load = self.points[:, -2]
        return (0.0 if load[-1] < _NEGLECTED * load.max() else float(self.points[-1, 0])), float(self.points[0, 0])


def intervals(onset, y_start: float, y_low: float, temperature: float) -> list[tuple[float, float, float]]:
    """(top, worst, bottom): the ranges of y in which levels part, by falling y, and where the replicon is lowest in each.

    top is the AT point, or y_start if there is none.
    """
    y = y_start + (y_low - y_start) * (np.arange(_GRID) + 0.5) / _GRID
    T = np.full(_GRID, temperature)
    excess = onset.excess(y, T)
    apart = excess > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], apart, [False]]).astype(int)))
    found = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        top = y_start
        if first > 0:
            root = bracketed_root(lambda x, _: onset.excess(x, np.full(x.size, temperature)), y[first], y[first - 1])
            top = float(root[0])
        bottom = float(y[stop - 1]) if stop < _GRID else y_low
        found.append((top, float(y[first + np.argmax(excess[first:stop])]), bottom))
    return found


def seeds(branch, y: float, temperature: float) -> np.ndarray | None:
    """A point of the broken branch at y, from many first guesses of the levels and of x; None if none leads to one."""
    guess, _ = branch.onset.emerging(np.array([y]), np.array([temperature]))
    row = guess.columns()[0]
    spread = 1 - row[1]
    if temperature > COLD:
        # theta of order 1, or, in the cold, x times the width of the noise of order 1 and C of order 1/width
        width = float(branch.branches.retrieval.follow(np.array([y]), np.array([temperature])).sigma[0])
        slopes = np.append(np.array([0.3, 0.6, 0.9]) / temperature, np.array([1.5, 3.0, 6.0]) / width)
        gaps = np.append(spread * np.array([0.7, 0.4, 0.1]), temperature * np.array([0.1, 0.4]) / width)
        table = [[row[0], max(1 - spread - 0.3 * (spread - gap), 1e-3), gap / temperature, x, row[4], temperature]
                 for x, gap in itertools.product(slopes[slopes * temperature < 1], gaps[gaps < spread])]
    else:
        table = [[row[0], row[1] - factor * spread, row[2], row[3] * scale, row[4], temperature]
                 for factor, scale in itertools.product((0.0, 1.0, 3.0), (0.5, 1.0, 2.0)) if row[1] > factor * spread]
    found = branch.at_overlap(np.array(table))
    good = _legal(found, branch.resolved(found))
    if not good.any():
        return None
    return found.point.columns()[np.flatnonzero(good)[np.argmin(found.residual[good])]]


def _legal(found: Saddles, good: np.ndarray) -> np.ndarray:
    return good & (found.point.x[:, 0] * found.point.temperature <= 1 + 1e-9)


def walk(branch, known: list[np.ndarray], limit: float, merged=None) -> tuple[list[np.ndarray], bool]:
    """(points, closed): `known` gone on from its last point towards y = limit, in shortening steps.

    closed: it came there, or fell far below its largest load, or the levels merged, or theta reached 1.
    """
    size, path = branch.size, list(known)
    y = float(erfinv(path[-1][0] / size))
    sign, step = np.sign(limit - y), _STEP / 2
    temperature = path[-1][-1]
    while abs(limit - y) > 1e-9 and step >= _SHORTEST:
        wanted = limit if abs(limit - y) < step else y + sign * step
        history = path[-3:] if len(path) > 1 or merged is None else [merged, *path]
        guess = branch.extrapolated(np.array(history), wanted) if len(history) > 1 else path[-1].copy()
        guess[0] = size * erf(wanted)
        found = branch.at_overlap(guess[None])
        point = found.point.columns()[0]
        if not _legal(found, branch.resolved(found))[0] or abs(np.log(point[-2] / path[-1][-2])) > 0.5:
            step *= 0.4
            continue
        path.append(point)
        y, step = wanted, min(1.5 * step, _STEP)
        if sign < 0 and point[-2] < _NEGLECTED * max(row[-2] for row in path):
            return path, True
    last = path[-1]
    gap = 1 - temperature * last[2] - last[1]
    closed = abs(limit - y) <= 1e-9 or gap < _CLOSED_GAP * (1 - last[1]) or last[3] * temperature > _CLOSED_THETA
    return path, bool(closed)


def turns(branch, points: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """(k, point, slope): where the load turns between points k and k + 1 of a walk, as a row of its own."""
    slopes = branch.slope(points)
    found = []
    for k in np.flatnonzero(slopes[:-1] * slopes[1:] < 0):
        around = points[max(0, k - 1):k + 3]

        def solved(nt, around=around):
            guess = np.array([branch.extrapolated(around, erfinv(x / branch.size)) for x in nt])
            guess[:, 0] = nt
            saddles = branch.at_overlap(guess)
            return np.where(branch.resolved(saddles)[:, None], saddles.point.columns(), np.nan)

        root = bracketed_root(lambda nt, _, solved=solved: branch.slope(solved(nt)), points[k, 0], points[k + 1, 0],
                              tolerance=1e-12)
        if np.isfinite(root[0]):
            point = solved(root)
            found.append((int(k), point[0], float(branch.slope(point)[0])))
    return found


def whole(branch, y_start: float, y_low: float, ends: list[float], temperature: float) -> list[Walk]:
    """The walks through all intervals of one temperature; ends: y of the folds of the replica-symmetric branch.

    At the folds a state with theta < 1 is looked for even where the replicon is positive.
    """
    walks: list[Walk] = []
    for top, worst, bottom in intervals(branch.onset, y_start, y_low, temperature):
        if any(_covers(branch, known, bottom + _STEP) for known in walks):
            continue                                            # the walk above came through here already
        warm = temperature > COLD and top < y_start
        merged = branch.onset.merged(np.array([top]), np.array([temperature]))[0] if warm else None
        known = branch.begun(top, worst, temperature, merged)
        if known:
            points, closed = walk(branch, known, y_low, merged)
            walks.append(Walk(np.array(points), merged, closed))
        else:
            places = (worst, (worst + top) / 2, (worst + bottom) / 2, top + 0.2 * (worst - top))
            walks += _through(branch, places, y_start, y_low, temperature)
    for y in ends if temperature > COLD else []:
        if not any(_covers(branch, known, y) for known in walks):
            walks += _through(branch, (y,), y_start, y_low, temperature)
    return walks


def _covers(branch, known: Walk, y: float) -> bool:
    """Whether y lies in the range of a walk."""
    low, high = known.reach
    return bool(low <= branch.size * erf(y) <= high)


def _through(branch, places, y_start: float, y_low: float, temperature: float) -> list[Walk]:
    """The walk through the first of some places at which a broken state is found, as a list; empty if there is none."""
    for y in places:
        seed = seeds(branch, y, temperature)
        if seed is not None:
            up, _ = walk(branch, [seed], y_start)
            points, closed = walk(branch, up[::-1], y_low)
            return [Walk(np.array(points), None, closed)]
    return []
