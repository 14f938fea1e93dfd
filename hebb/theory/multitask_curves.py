"""Curves through points that were found on the lines of a grid."""

from __future__ import annotations

import itertools

import numpy as np

__all__ = ["chained"]

_ON_LINE = 1e-9         # distance in d of a point from the line of constant dilution that it was found on


def chained(points: np.ndarray, dilution, temperature, cells: bool) -> np.ndarray:
    """Points (n, 2), each at a dilution or at a temperature of the grid, in the order of the curves they lie on.

    Rows of NaN separate curves; closed ones end with the point they begin with. Neighbours are points on the sides of one
    cell of the grid, in pairs, the nearest first. cells = False, where points were looked for at the dilutions of the grid
    only: points at neighbouring dilutions, no further apart than two steps of the grid."""
    beside = [[] for _ in points]
    for one, other in _pairs(points, dilution, temperature, cells):
        beside[one].append(other)
        beside[other].append(one)
    curves, rest = [], set(range(len(points)))
    for start in sorted(rest, key=lambda k: (len(beside[k]) > 1, points[k, 1])):         # closed curves last
        curve, follower = [], start if start in rest else None
        while follower is not None:
            curve.append(follower)
            rest.discard(follower)
            follower = next((k for k in beside[follower] if k in rest), None)
        if curve:
            closed = [start] if len(curve) > 2 and start in beside[curve[-1]] else []
            curves += [points[curve + closed], np.full((1, 2), np.nan)]
    return np.concatenate(curves[:-1])


def _pairs(points, dilution, temperature, cells: bool):
    """Pairs of indices of neighbours; every point is in two cells, and in one pair at most of each."""
    steps = [np.median(np.diff(axis)) if axis.size > 1 else 1.0 for axis in (dilution, temperature)]
    members: dict[tuple, list] = {}
    for k, (d, T) in enumerate(points):
        i, j = (np.searchsorted(axis, x, side="right") - 1 for axis, x in ((temperature, T), (dilution, d)))
        column, row = np.abs(dilution - d).argmin(), np.abs(temperature - T).argmin()
        upright = abs(dilution[column] - d) < _ON_LINE
        for cell in ((i, column - 1), (i, column)) if upright else ((row - 1, j), (row, j)):
            members.setdefault(cell if cells else cell[1:], []).append(k)
    for inside in members.values():
        pairs = [(np.hypot(*((points[k] - points[other]) / steps)), k, other) for k, other in itertools.combinations(inside, 2)]
        free = set(inside)
        for distance, k, other in sorted(pairs):
            near = cells or (distance <= 2 and abs(points[k, 0] - points[other, 0]) > _ON_LINE)
            if near and {k, other} <= free:
                free -= {k, other}
                yield k, other
