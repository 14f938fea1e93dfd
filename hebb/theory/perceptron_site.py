"""Site part of the field-space perceptron: one magnetisation m in [-1, 1] in a random field (arXiv:2212.02846).

    <F(m)>_h = int dm F(m) exp[A m^2 + h m + c S(m)] / Z(h) ,      A = Qd - Q/2 ,  c = beta kl ,  S the binary entropy in nats

and averages over the law of the field h. With m = tanh t everything near m = +-1 is known to full relative precision: 1 - m,
1 - m^2 and Var m are summed as such, and fields of thousands do no harm. Only |h| matters: the law is folded onto h >= 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..errors import NoSolution
from .perceptron_energy import Conjugates, Order, composite

__all__ = ["Law", "Site", "Spins", "field_edges", "gaussian_law", "magnetisation_nodes", "site", "spins"]

_REACH = 9.0               # of Gaussian fields, in standard deviations
_FARTHEST = 21.0           # of t: 1 - m = 1e-18 there
_NODES = 14
_MOST_PANELS = 20000       # of m or of h: 10 times what beta = 1e4 takes
_MOST_PAIRS = 1e7          # of nodes of m and of h, at 10 ns and 8 bytes each


class Law(NamedTuple):
    """Law of a field on nodes h >= 0: weights of +h and of -h in the gauge where the teacher's spin is +1."""

    h: np.ndarray
    up: np.ndarray
    down: np.ndarray


class Spins(NamedTuple):
    """Averages over m at fields h >= 0."""

    log_z: np.ndarray
    miss: np.ndarray          # 1 - <m>
    rest: np.ndarray          # 1 - <m^2>
    variance: np.ndarray      # <m^2> - <m>^2
    wrong: np.ndarray         # 1 - <sgn m>


class Site(NamedTuple):
    """Averages over the law of the field."""

    order: Order
    wrong: float              # 1 - p, p the average of <sgn m> W
    log_z: float              # G_S
    variance2: float          # average of Var(m)^2

    @property
    def overlap(self) -> float:
        """p, overlap of the binary weights sgn m with the teacher."""
        return 1 - self.wrong

    @property
    def error(self) -> float:
        """arccos(p)/pi, without loss of digits as p -> 1."""
        return 2 / math.pi * math.asin(math.sqrt(min(1.0, self.wrong / 2)))


def magnetisation_nodes(A: float, c: float, nodes: float = 1.0, widest: float = 1.2):
    """t > 0, log weight of dt without exp(h m + A), m = tanh t and 1 - m, for the integral over m.

    Panels as wide as m may vary, growing like cosh t; widest: the largest panel in t. A large A > 0 leaves nothing but the
    neighbourhood of m = 1, which is smooth in t.
    """
    edges, scale = [0.0], 3.2 / math.sqrt(1 + 2 * max(-A, min(A, 15.0)) + c)
    while edges[-1] < _FARTHEST:
        edges.append(edges[-1] + min(widest, scale * math.cosh(edges[-1])))
        _bounded(len(edges))
    t, weight = composite(np.array(edges), max(4, round(_NODES * nodes)))
    e = np.exp(-2 * t)
    soft, miss = np.log1p(e), 2 * e / (1 + e)
    rest = miss * (2 - miss)
    return t, np.log(weight * rest) - A * rest + c * (soft + t * miss), 1 - miss, miss


def _bounded(panels: float) -> None:
    """NoSolution where fields are so large that the integrals would take hours or all memory."""
    if panels > _MOST_PANELS:
        raise NoSolution("the fields on the weights are too large for their averages to be summed; take a smaller load, a "
                         "smaller beta or a smaller kl")


def spins(h: np.ndarray, A: float, c: float, nodes: float = 1.0) -> Spins:
    """Averages over m at fields h (n,) >= 0. Cost: 10 ns for each of n times about 200 nodes."""
    _, weight, m, miss = magnetisation_nodes(A, c, nodes)
    _bounded(h.size * m.size / _MOST_PAIRS * _MOST_PANELS)
    right = weight - h[:, None] * miss
    top = right.max(axis=1)
    right = np.exp(right - top[:, None])                   # weights of m and of -m, relative to exp(top + h + A)
    left = right * np.exp(-2 * h[:, None] * m)
    columns = np.stack([np.ones_like(m), miss, miss * (2 - miss)], axis=1)
    right_mass, right_miss, right_rest = (right @ columns).T
    left_mass, left_miss, left_rest = (left @ columns).T
    norm = 1 / (right_mass + left_mass)
    average = norm * (right_miss + 2 * left_mass - left_miss)
    away = miss - average[:, None]
    right *= away * away
    away = 2 - miss - average[:, None]
    left *= away * away
    variance = norm * (right.sum(axis=1) + left.sum(axis=1))
    return Spins(top + h + A - np.log(norm), average, norm * (right_rest + left_rest), variance, 2 * norm * left_mass)


def field_edges(low: float, high: float, deviation: float, A: float, c: float) -> np.ndarray:
    """Panels in h on which <m>_h and a Gaussian law of this deviation are smooth."""
    width, far = 2 * math.sqrt(1 + max(0.0, c - 2 * A)), max(0.0, -2 * A)
    edges = [low]
    while edges[-1] < high:
        edges.append(edges[-1] + min(1.5 * deviation, max(width, 0.6 * (edges[-1] - far))))
        _bounded(len(edges))
    edges[-1] = high
    return np.array(edges)


def gaussian_law(conjugates: Conjugates, c: float, nodes: float = 1.0) -> Law:
    """The field sqrt(Q) z + R of a first task."""
    deviation, mean = math.sqrt(conjugates.q0), abs(conjugates.r)
    edges = field_edges(max(0.0, mean - _REACH * deviation), mean + _REACH * deviation, deviation,
                        conjugates.qd - conjugates.q0 / 2, c)
    h, weight = composite(edges, max(4, round(_NODES * nodes)))
    weight /= deviation * math.sqrt(2 * math.pi)
    near, far = (weight * np.exp(-(((h - sign * mean) / deviation) ** 2) / 2) for sign in (1, -1))
    return Law(h, near, far) if conjugates.r >= 0 else Law(h, far, near)


def site(law: Law, at: Spins) -> Site:
    """Order parameters of spins in a random field; the differences are summed as such."""
    up, down = law.up, law.down
    both = up + down
    m = 1 - at.miss
    short = float(up @ at.miss + down @ (2 - at.miss))      # 1 - r
    r = float((up - down) @ m)
    rest, spread = float(both @ at.rest), float(both @ at.variance)
    gap = float(up @ (at.miss - short) ** 2 + down @ (2 - at.miss - short) ** 2)
    order = Order(float(both @ (m * m)), r, 1 - rest, rest, spread, gap)
    wrong = max(0.0, float(up @ at.wrong + down @ (2 - at.wrong)))
    return Site(order, wrong, float(both @ at.log_z), float(both @ at.variance**2))
