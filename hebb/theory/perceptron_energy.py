"""Energetic part of the field-space perceptron: G_E, its derivatives and its curvature (arXiv:2212.02846).

    G_E = 2 int Dz Phi(r z/sqrt(q0-r^2)) ln f(z) ,   f(z) = int Dx Phi(u)^beta ,   u = (sqrt(q0) z + sqrt(qd-q0) x)/sqrt(1-qd)

The law of x at given z, exp(-x^2/2) Phi(u)^beta/f, sits at x = 5-15 for ordinary z once beta is large, where no sample of x
would be. It is log-concave, so that its maximum is a Newton root and it falls off at least as fast as a Gaussian: both
sides of the maximum are integrated down to e^-38 with Gauss-Legendre nodes.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr

__all__ = ["Conjugates", "Energy", "Order", "composite", "energy"]

_REACH = 9.0            # of z: the normal density is 1e-18 there
_FALL = 38.0            # nats below the maximum at which the integral over x stops
_OUTER, _INNER = 14, 40
_STEEP, _LAST = 3.0, 8.5     # of b, where one panel above the maximum gets too coarse; of u: h is 1e-16 there
_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


class Order(NamedTuple):
    """Order parameters of the magnetisations m of one task, with their differences kept to full relative precision."""

    q0: float            # <m>^2, overlap of two states
    r: float             # <m> W, overlap with the teacher
    qd: float            # <m^2>, self-overlap
    rest: float          # 1 - qd
    spread: float        # qd - q0, the mean variance of m
    gap: float           # q0 - r^2

    @classmethod
    def of(cls, q0: float, r: float, qd: float) -> Order:
        """From the three order parameters alone: the differences are as good as theirs."""
        return cls(q0, r, qd, 1 - qd, qd - q0, q0 - r * r)


class Conjugates(NamedTuple):
    """Fields conjugate to `Order`."""

    q0: float
    r: float
    qd: float


class Energy(NamedTuple):
    """G_E at one point, per pattern: conjugates = alpha slopes at a saddle."""

    value: float             # G_E
    slopes: Conjugates       # (-2 dG/dq0, dG/dr, dG/dqd), the derivatives at fixed others
    curvature: float         # E (d^2 ln f / d omega^2)^2, omega = sqrt(q0) z: its share of the replicon


@cache
def _legendre(count: int):
    return np.polynomial.legendre.leggauss(count)


def composite(edges, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the `count`-point Gauss-Legendre rule on each panel between ascending edges."""
    nodes, weights = _legendre(count)
    half = np.diff(edges) / 2
    return ((edges[:-1] + half)[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def energy(order: Order, beta: float, nodes: float = 1.0) -> Energy:
    """G_E, its slopes and curvature at `order`; nodes: factor on the numbers of nodes, for error estimates.

    Needs 0 < r^2 < q0 < qd < 1 (r = 0 is allowed). The slopes are integrated by parts: nothing is divided by sqrt(q0) or
    sqrt(qd-q0). Cost: 1 ms.
    """
    q0, r, _, rest, spread, gap = order
    if not min(q0, rest, spread, gap) > 1e-200:            # fields that only a stray step of a solver asks for
        return Energy(math.nan, Conjugates(math.nan, math.nan, math.nan), math.nan)
    a, b = math.sqrt(q0 / rest), math.sqrt(spread / rest)
    z, weight = _outer(min(1.0, 1 / a, math.sqrt((rest + spread) / q0), math.sqrt(gap) / max(abs(r), 1e-300)), nodes)
    tilt = r / math.sqrt(gap)
    teacher = 2 * weight * ndtr(tilt * z)
    step = 2 * weight * np.exp(-0.5 * (tilt * z) ** 2) / math.sqrt(2 * math.pi)
    log_f, h, h2, slope = _tilted(a * z, b, beta, nodes)
    bend = (beta * beta * (h2 - h * h) - beta * slope) / rest
    return Energy(float(teacher @ log_f),
                  Conjugates(float(beta * beta / rest * (teacher @ (h * h))),
                             float(beta * math.sqrt(q0 / (rest * gap)) * (step @ h)),
                             float(beta * (beta - 1) / (2 * rest) * (teacher @ h2))),
                  float(teacher @ (bend * bend)))


def _outer(scale: float, nodes: float):
    """Nodes z and weights of the normal law; panels as wide as `scale` at 0, doubling away from it."""
    widths = scale * np.concatenate([[1.0], 2.0 ** np.arange(max(0, math.ceil(-math.log2(scale))))])
    edges = np.concatenate([[0.0], np.cumsum(np.minimum(widths, 1.0))])
    rest = math.ceil((_REACH - edges[-1]) / 1.2)
    edges = np.concatenate([edges, edges[-1] + (_REACH - edges[-1]) * np.arange(1, rest + 1) / rest])
    z, weight = composite(edges, max(4, round(_OUTER * nodes)))
    weight = weight * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return np.concatenate([-z[::-1], z]), np.concatenate([weight[::-1], weight])


def _tilted(field, b: float, beta: float, nodes: float):
    """ln f and, under the law of x, E h, E h^2 and E h(u+h), for u = field + b x and h = phi(u)/Phi(u)."""
    # the slope of the exponent, beta b h - x, is convex and falls: Newton from its left climbs to the maximum
    top = np.zeros_like(field)
    for _ in range(40):
        u = field + b * top
        h = _mills(u, log_ndtr(u))
        move = (beta * b * h - top) / (1 + beta * b * b * h * (u + h))
        top += move
        if np.all(np.abs(move) < 1e-4):
            break
    peak = beta * log_ndtr(field + b * top) - top * top / 2
    x, weight = [], []
    count = max(6, round(_INNER * nodes))
    share, share_weight = _legendre(count)
    for side in (-1, 1):
        # the exponent bends at least by 1, so that this is beyond the end; Newton on a concave function stays beyond it
        end = top + side * math.sqrt(2 * _FALL)
        for _ in range(20):
            u = field + b * end
            log_phi = log_ndtr(u)
            move = (beta * log_phi - end * end / 2 - peak + _FALL) / (beta * b * _mills(u, log_phi) - end)
            end -= move
            if np.all(np.abs(move) < 0.1 * np.abs(end - top)):
                break
        panels = [(top, end)]
        if b > _STEEP and side > 0:                        # h falls from u = 0 on in a small part of the range of x
            knee = np.clip((_LAST - field) / b, top, end)
            panels = [(top, knee), (knee, end)]
        for begin, stop in panels:
            half = (stop - begin)[:, None] / 2
            x.append(begin[:, None] + half * (1 + share))
            weight.append(np.abs(half) * share_weight)
    x, weight = np.concatenate(x, axis=1), np.concatenate(weight, axis=1)
    u = field[:, None] + b * x
    log_phi = log_ndtr(u)
    h = _mills(u, log_phi)
    weight *= np.exp(beta * log_phi - x * x / 2 - peak[:, None])
    mass = weight.sum(axis=1)
    weight /= mass[:, None]
    weighted = weight * h
    first = weighted.sum(axis=1)
    second = np.einsum("ij,ij->i", weighted, h)
    return np.log(mass) + peak - _LOG_ROOT_2PI, first, second, np.einsum("ij,ij->i", weighted, u) + second


def _mills(u, log_phi):
    """h = phi(u)/Phi(u)."""
    return np.exp(-0.5 * u * u - log_phi - _LOG_ROOT_2PI)
