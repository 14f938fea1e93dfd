"""Ground-state energy of the pure P-spin glass by k steps of replica symmetry breaking."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq, minimize

from ..errors import NoSolution
from ..params import DenseLaw, check_integer
from .noise import MixtureNoise
from .parisi import Parisi, Point

__all__ = ["GroundState", "ground_state"]

TOLERANCE = 1e-11           # of the saddle-point equations and of the gradient, judged with the finer quadrature
SHIFT_TOLERANCE = 1e-6      # of the saddle itself under the finer quadrature, relative; the energy moves by its square
DECAY = 4                   # e_k - e_infinity falls as k^-4


@dataclass(frozen=True)
class GroundState:
    """The energy per spin at T = 0 and gamma = 1 (energies scale with sqrt(gamma)), and the state that gives it.

    energies: those of 0..k steps, which increase; energy: the last one. q (k+1,): overlaps q_0..q_k = 1; x (k,): breaking
    points over T; C: (1-q_k)/T. residual, shift: saddle-point equations and relative motion of the saddle under a finer
    quadrature. limit: extrapolation to infinitely many steps, e_k = limit + a (k + b)^-4 through the last three energies;
    limit_error: twice its change when the last energy is left out (NaN below k = 4, as is limit below k = 3). With the
    power 4, b settles as k grows (P = 2: 1.15, 1.19, 1.21, 1.22 for k = 4, 6, 8, 9). Finite-step scaling at T = 0:
    R. Oppermann, M. J. Schmidt and D. Sherrington, Phys. Rev. Lett. 98 (2007) 127201.
    """

    p_body: int
    energy: float
    energies: np.ndarray
    q: np.ndarray
    x: np.ndarray
    C: float
    residual: float
    shift: float
    converged: bool
    limit: float
    limit_error: float


def ground_state(p_body: int = 2, k: int = 2) -> GroundState:
    """k-step energy of the glass of covariance N q^P/2 (P = 2: Sherrington-Kirkpatrick), P from 2 to 20, k from 0 to 12.

    f is maximised over q and x, starting from k-1 steps, and the maximum refined by Newton's method. Raises NoSolution
    where k steps cannot be told from fewer in double precision (P = 8 and 9: k > 2, P >= 10: k > 1). Cost: 0.3 s at P = 2,
    k = 4; 2 s at P = 3, k = 5; 20 s at P = 2, k = 12. The states of fewer steps are kept for the next call.
    """
    p_body = check_integer("p_body", p_body, 2, 20)
    k = check_integer("k", k, 0, 12)
    saddles = [_saddle(p_body, steps) for steps in range(k + 1)]
    energies = np.array([saddle.free_energy[0] for saddle in saddles])
    last = saddles[-1]
    limit = _limit(energies)
    error = 2 * abs(limit - _limit(energies[:-1]))
    return GroundState(p_body, float(energies[-1]), energies, last.q[0], last.point.x[0], float(last.point.C[0]),
                       float(last.residual[0]), float(last.shift[0]), _converged(last), limit, error)


@cache
def _saddle(p_body, steps):
    """The saddle of the given number of steps, from that of one step less."""
    noise = MixtureNoise((*[0.0] * p_body, 1.0))
    engine = Parisi(DenseLaw(p_body), steps, noise=noise)
    if steps == 0:
        return engine.solve(Point.of(0.0, [], 0.5, [], 1.0, 0.0))
    q, x = _start(p_body, steps)
    gain = 0.05 * _saddle(p_body, steps - 1).point.C[0] ** 2       # what one more step adds, within a factor of 3
    maximum = minimize(_ascent, _packed(q, x, p_body), args=(engine, gain), jac=True, method="BFGS",
                       options={"gtol": 1e-3, "maxiter": 500})
    q, x, *_ = _unpacked(maximum.x, engine)
    response = engine.evaluate(Point.of(0.0, q, 1.0, x, 1.0, 0.0)).C
    saddle = engine.solve(Point.of(0.0, q, response, x, 1.0, 0.0))
    if not _converged(saddle) or saddle.free_energy[0] <= _saddle(p_body, steps - 1).free_energy[0]:
        raise NoSolution(f"k = {steps} at p_body = {p_body}: the energy cannot be told from that of fewer steps in double "
                         f"precision; the nearest k that can is {steps - 1}")
    return saddle


def _converged(saddle) -> bool:
    return bool(saddle.residual[0] < TOLERANCE and saddle.gradient[0] < TOLERANCE and saddle.shift[0] < SHIFT_TOLERANCE
                and not saddle.collapsed[0])


def _start(p_body, steps):
    """Overlaps q_0..q_{k-1} and breaking points: the profiles of log(1-q) and log x of one step less, resampled."""
    if steps == 1:
        return np.array([0.5 if p_body == 2 else 0.0]), np.array([1.4])
    fewer = _saddle(p_body, steps - 1)
    q, x, C = fewer.point.q[0], fewer.point.x[0], fewer.point.C[0]
    if p_body > 2 and steps == 2:                                  # powers of C that hold at P = 3 and 4
        return np.append(q, 1 - C**1.6), np.append(x, x[-1] + 0.2 / C)
    if steps == 2:
        return np.append(0.7 * q, 1 - (1 - q[-1]) / 3), np.append(0.6 * x, 2 * x[-1])
    first = 1 if p_body > 2 else 0                                 # q_0 = 0 stays
    inner = np.exp(_resampled(np.log(1 - q[first:]), -1.0))
    upper = np.exp(_resampled(np.log(x[first:]), 1.0))
    return np.append(q[:first], 1 - inner), np.append(x[:first], upper)


def _resampled(profile, rise):
    """A profile given in the middle of n equal parts, for n + 1 parts; straight lines beyond the ends.

    rise: how much a single value becomes two.
    """
    n = profile.size
    if n == 1:
        return profile + np.array([-0.5, 0.5]) * rise
    place = (np.arange(n) + 0.5) / n
    wanted = (np.arange(n + 1) + 0.5) / (n + 1)
    out = np.interp(wanted, place, profile)
    for end, inside in ((0, 1), (-1, -2)):
        slope = (profile[end] - profile[inside]) / (place[end] - place[inside])
        out[end] = profile[end] + slope * (wanted[end] - place[end])
    return out


def _packed(q, x, p_body):
    """Free coordinates of ordered overlaps and breaking points: logarithms of their increments (P >= 3: q_0 = 0)."""
    return np.log(np.concatenate([np.diff(np.append(q, 1.0), prepend=0.0)[int(p_body > 2):], np.diff(x, prepend=0.0)]))


def _unpacked(coordinates, engine):
    """(q, x, shares, rises): the increments of q are normalised to sum 1."""
    parts = coordinates.size - engine.steps
    shares = np.exp(coordinates[:parts] - coordinates[:parts].max())
    shares /= shares.sum()
    rises = np.exp(coordinates[parts:])
    q = np.append(np.zeros(engine.steps + 1 - parts), np.cumsum(shares)[:-1])
    return q, np.cumsum(rises), shares, rises


def _ascent(coordinates, engine, unit):
    """(-f, gradient) in the free coordinates, over a unit; f does not depend on C at T = 0."""
    q, x, shares, rises = _unpacked(coordinates, engine)
    point = Point.of(0.0, q, 1.0, x, 1.0, 0.0)
    values = engine.evaluate(point)
    gradient = engine.gradient(point, values)[0]
    k = engine.steps
    above_q = np.append(np.cumsum(gradient[k:0:-1])[::-1], 0.0)[k + 1 - shares.size:]
    above_x = np.cumsum(gradient[:k + 1:-1])[::-1]
    slope = np.concatenate([shares * (above_q - above_q @ shares), above_x * rises])
    return -values.free_energy[0] / unit, -slope / unit


def _limit(energies) -> float:
    """Limit of e_k = limit + a (k + b)^-4 through the last three energies; at least one step in each."""
    k = energies.size - 1
    if k < 3:
        return math.nan
    ratio = (energies[-2] - energies[-3]) / (energies[-1] - energies[-2])

    def fall(b, back):
        return (k - back - 1 + b) ** -DECAY - (k - back + b) ** -DECAY

    b = brentq(lambda b: fall(b, 1) / fall(b, 0) - ratio, 2 - k + 1e-3, 50.0)
    return float(energies[-1] + (energies[-1] - energies[-2]) / fall(b, 0) * (k + b) ** -DECAY)
