"""The stable stretches of a retrieval branch: a branch at fixed temperature may turn more than once in the load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .solver import bracketed_root

__all__ = ["RETRIEVAL_NAMES", "Segment", "Segments", "edges", "with_turns"]

RETRIEVAL_NAMES = ("retrieval", "retrieval_high", "retrieval_middle", "retrieval_low")
_ZOOMS = 2            # rounds of the search for turns between grid points, each four times finer
_INSIDE = np.arange(1, 8) / 8


class Segment(NamedTuple):
    """One stretch on which the state is a minimum of f over n and a maximum over q; one element per temperature.

    From start to end the load rises and the overlap falls. NaN where a temperature has no such stretch.
    """

    gamma_start: np.ndarray    # 0 for the stretch that begins without load
    n_start: np.ndarray        # E[u s], here and below
    C_start: np.ndarray
    y_start: np.ndarray        # erfinv(n/E|u|)
    left_start: np.ndarray     # what should vanish at the start (0 without load)
    gamma: np.ndarray          # its largest load: the fold
    n: np.ndarray
    C: np.ndarray
    y: np.ndarray
    left: np.ndarray           # what should vanish there: the determinant of the Jacobian of the equations

    def rows(self, index) -> Segment:
        return Segment(*(array[index] for array in self))

    def holds(self, gamma) -> np.ndarray:
        """Whether a state of this stretch exists at these loads (gamma > 0)."""
        return (gamma > 0) & (gamma >= self.gamma_start) & (gamma <= self.gamma)


@dataclass(frozen=True, eq=False)
class Segments:
    """All stable stretches at an array of temperatures, by falling overlap; `parts` has at least one element."""

    temperature: np.ndarray
    parts: tuple[Segment, ...]

    def rows(self, index) -> Segments:
        """Those of some of the temperatures."""
        return Segments(self.temperature[index], tuple(part.rows(index) for part in self.parts))

    def repeated(self, count: int) -> Segments:
        """Those of a single temperature, `count` times."""
        return self.rows(np.zeros(count, int))

    @cached_property
    def count(self) -> np.ndarray:
        """Number of stretches, per temperature."""
        return np.sum([np.isfinite(part.gamma) for part in self.parts], axis=0)

    @cached_property
    def end(self) -> Segment:
        """The stretch that reaches the largest load, where retrieval ends; NaN where there is none."""
        loads = np.stack([np.nan_to_num(part.gamma, nan=-1.0) for part in self.parts])
        best, columns = np.argmax(loads, axis=0), np.arange(self.temperature.size)
        return Segment(*(np.stack(arrays)[best, columns] for arrays in zip(*self.parts, strict=True)))

    def exists(self, gamma) -> np.ndarray:
        """Whether some stretch reaches these loads."""
        return np.any([part.holds(gamma) for part in self.parts], axis=0)

    def rank(self, name: str) -> np.ndarray:
        """Place in `parts` of the stretch with this name, per temperature; -1 where no stretch has it.

        high is the one of largest overlap, low that of the smallest where there are two, middle the second of three.
        """
        count = self.count
        if name == "retrieval_high":
            return np.where(count >= 1, 0, -1)
        if name == "retrieval_low":
            return np.where(count >= 2, count - 1, -1)
        return np.where(count >= 3, 1, -1)

    def named(self, name: str) -> Segment:
        """The stretch of this name; NaN where there is none."""
        rank, columns = self.rank(name), np.arange(self.temperature.size)
        return Segment(*(np.where(rank >= 0, np.stack(arrays)[rank, columns], np.nan)
                         for arrays in zip(*self.parts, strict=True)))

    def name(self, rank: int, count: int) -> str:
        """The name of a stretch among `count` of them."""
        if rank == 0:
            return "retrieval_high" if count > 1 else "retrieval"
        return "retrieval_low" if rank == count - 1 else "retrieval_middle"


def with_turns(value: Callable, row: np.ndarray, y: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, y) of points at which value(y, row) changes sign between points of the grid that share one.

    y falls along each row of the flattened grid and `known` is value there. A dip of positive values (a bump of negative
    ones) may hide two turns: its extremum is looked for, and given where the sign there is the other one.
    """
    middle = np.arange(1, y.size - 1)
    middle = middle[(row[middle - 1] == row[middle]) & (row[middle + 1] == row[middle])]
    sign = np.sign(known[middle])
    size = sign * known[middle]
    turning = (size < sign * known[middle - 1]) & (size < sign * known[middle + 1])
    middle, sign = middle[turning], sign[turning]
    high, low, place = y[middle - 1], y[middle + 1], row[middle]
    left = np.arange(middle.size)
    found_row, found_y = [], []
    for _ in range(_ZOOMS):
        if not left.size:
            break
        points = high[left, None] + (low - high)[left, None] * _INSIDE
        values = sign[left, None] * value(points.ravel(), np.repeat(place[left], _INSIDE.size)).reshape(points.shape)
        best, inner = np.argmin(values, axis=1), np.arange(left.size)
        met = values[inner, best] < 0
        found_row.append(place[left[met]])
        found_y.append(points[inner[met], best[met]])
        step = (low - high)[left] / 8
        centre = points[inner, best]
        high[left], low[left] = centre - step, centre + step
        left = left[~met]
    if not found_row:
        return np.empty(0, int), np.empty(0)
    return np.concatenate(found_row), np.concatenate(found_y)


def edges(value: Callable, row, y, good) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, y, falls) of the points between which `good` changes; falls: from good to not good as y falls.

    value(y, row) must change sign there; an edge that shows no such change has y = NaN.
    """
    k = np.flatnonzero((row[:-1] == row[1:]) & (good[:-1] != good[1:]))
    place = row[k]
    return place, bracketed_root(lambda x, index: value(x, place[index]), y[k], y[k + 1]), good[k]
