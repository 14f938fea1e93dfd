"""Where retrieval ends with k steps of replica symmetry breaking: the maximum of the load along the branch.

How much the steps matter at T = 0, gamma at the fold (k = 0 is replica symmetric):

    P    k = 0       k = 1       k = 2       k = 3       k = 4
    2    0.1379056   0.1381865   0.1381963
    3    0.3782856   0.4612118   0.4641959   0.4644791   0.4645340
    4    0.3957202   0.4583435   0.4600039   0.4601690   0.4602029
    6    0.4730386   0.5277083   0.5290142   0.5291500   0.5291790
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import NoSolution
from .parisi import Parisi, Point, Saddles

__all__ = ["RetrievalFold", "one_more_step", "retrieval_fold"]

_NODES = np.cos(np.pi * np.arange(5) / 4)     # of the interpolation of gamma(nt), which thus includes both ends
_WIDTH = 0.01                                 # half the window of the interpolation over 1 - nt
TOLERANCE = 1e-9                              # of the saddle-point equations along the branch


class RetrievalFold(NamedTuple):
    """gamma and nt at the fold; the saddle there (B = 1); how far the last two interpolations differ."""

    gamma: float
    nt: float
    saddle: Saddles
    error: float


def retrieval_fold(engine: Parisi, start: Point) -> RetrievalFold:
    """The maximum of gamma along the retrieval branch at fixed temperature, uphill from a point near the branch.

    start: one `Point` (B = 1) with k levels whose nt is roughly that of the fold; everything else is a first guess. With
    nt prescribed and gamma unknown the branch has no singular point at the fold, where gamma(nt) is a parabola. A second
    maximum may lie at smaller nt (saddles of another lobe): start above. Raises NoSolution if Newton's method finds no
    branch with k distinct levels. Cost: about six saddles of five points.
    """
    equations = engine.names[:-2]
    unknowns = tuple("gamma" if name == "nt" else name for name in equations)

    def branch(point, nt):
        """Saddles at the overlaps nt, or None."""
        many = point.rows(np.zeros(nt.size, int))._replace(nt=nt)
        saddles = engine.solve(many, equations=equations, unknowns=unknowns)
        return saddles if (saddles.residual < TOLERANCE).all() and not saddles.collapsed.any() else None

    centre, width, gamma = start.nt[0], 2 * _WIDTH * abs(1 - start.nt[0]), []
    here = branch(start, start.nt)
    for _ in range(40):
        if here is None or width < 1e-2 * _WIDTH * abs(1 - centre):
            break
        nt = centre + width * _NODES
        saddles = branch(here.point, nt)
        if saddles is None:                                        # too far for Newton's method
            width /= 2
            continue
        load = np.polynomial.Polynomial.fit(nt, saddles.point.gamma, 4)
        tops = load.deriv().roots()
        tops = tops[(np.abs(tops.imag) < 1e-9) & (load.deriv(2)(tops.real) < 0)].real
        tops = tops[np.abs(tops - centre) <= width]
        if not tops.size:                                          # the fold is further uphill
            centre = nt[np.argmax(saddles.point.gamma)]
        else:
            centre = tops[0]
            gamma.append(float(load(centre)))
        nearest = saddles.point.rows([int(np.argmin(np.abs(nt - centre)))])
        here = branch(nearest, np.array([centre]))
        if here is not None and len(gamma) > 1 and width <= _WIDTH * abs(1 - centre):
            return RetrievalFold(gamma[-1], float(centre), here, abs(gamma[-1] - gamma[-2]))
        width /= 2 if tops.size else 1
    raise NoSolution(f"k = {engine.steps}, temperature = {start.temperature[0]:.6g}: no fold of a retrieval branch with "
                     f"{engine.steps} distinct levels found near n = {centre:.6g}, gamma = {start.gamma[0]:.6g}; start "
                     "closer to it")


def one_more_step(point: Point) -> Point:
    """A first guess with k + 1 steps from saddles with k >= 1: the profiles of log(1-q) and log x keep their shape.

    q_0 stays; the values of x stand for the middle of their parts. The single values of k = 1 become two as they do at
    P = 2, 3, 4 and 6 and T = 0, within 10 %.
    """
    q = _resampled(np.log1p(-point.q), 0.0, np.log([1.07, 0.16]))
    x = _resampled(np.log(point.x), 0.5, np.log([0.85, 2.1]))
    return point._replace(q=-np.expm1(q), C=point.C * 0.5, x=np.exp(x))


def _resampled(profile, place, split):
    """A profile (B, k), given at this place in each of k equal parts, for k + 1 parts; straight lines beyond the ends."""
    k = profile.shape[1]
    if k == 1:
        return profile + split
    wanted = (np.arange(k + 1) + place) / (k + 1) * k - place          # in units of the old parts, from the first place
    left = np.clip(wanted.astype(int), 0, k - 2)
    share = wanted - left
    return profile[:, left] * (1 - share) + profile[:, left + 1] * share
