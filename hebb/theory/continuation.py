"""Branches of saddle points followed without iteration, and the folds where they end.

A branch at fixed temperature is explicit once the order parameter, rather than the load, is chosen: the overlap n fixes
the signal A(n), the monotone equation E tanh((A + sigma z)/T) = n fixes sigma, quadrature gives C and q, and the load
follows from sigma^2 = gamma v(C, T). A fold is then simply a maximum of gamma along the branch, and nothing has to
converge near it. Many temperatures are followed at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf, erfc, erfcinv, erfinv

from .quadrature import field_averages
from .replica_symmetric import ReplicaSymmetric
from .solver import bracketed_root, increasing_root, newton_pairs

__all__ = ["Fold", "GlassBranch", "Line", "RetrievalBranch", "invert_line", "trace_line"]

_SHARPEST = 6.0       # erfc(6) = 2e-17: overlaps beyond are 1 to rounding; every fold up to P = 20 lies below y = 3
_TINY = np.finfo(float).tiny
_GRID = 128           # points per temperature on which the first fold is looked for


class Fold(NamedTuple):
    """Where a branch ends, one element per temperature; NaN where there is no branch at all."""

    temperature: np.ndarray
    gamma: np.ndarray
    n: np.ndarray
    C: np.ndarray
    n_start: np.ndarray        # overlap at gamma = 0
    determinant: np.ndarray    # what should vanish at the fold

    def rows(self, index) -> Fold:
        """The folds of some of the temperatures."""
        return Fold(*(array[index] for array in self))

    def repeated(self, count: int) -> Fold:
        """The fold of a single temperature, `count` times."""
        return Fold(*(np.broadcast_to(array, (count,)) for array in self))


class Line(NamedTuple):
    """A line gamma(T) from T = 0 to the temperature at which it reaches gamma = 0."""

    temperature: np.ndarray
    gamma: np.ndarray


def trace_line(loads, end: float, points: int = 48) -> Line:
    """gamma(T) = loads(T) (vectorised) on [0, end], dense towards the end where it vanishes, its maximum included."""
    temperature = end * np.concatenate([np.linspace(0, 0.95, points), 1 - np.geomspace(0.04, 1e-5, points // 2)])
    gamma = loads(temperature)
    top = int(np.argmax(gamma))
    if top > 0:
        around = temperature[top - 1], temperature[top + 1]
        peak = minimize_scalar(lambda T: -loads(np.array([T]))[0], bounds=around, method="bounded",
                               options={"xatol": 1e-9 * end})
        place = np.searchsorted(temperature, peak.x)
        temperature, gamma = np.insert(temperature, place, peak.x), np.insert(gamma, place, -peak.fun)
    return Line(np.append(temperature, end), np.append(gamma, 0.0))


def invert_line(loads, line: Line, gamma: float, *, lowest: bool = False) -> float | None:
    """The highest (lowest) temperature at which the line passes through gamma > 0; None if it never does."""
    above = line.gamma >= gamma
    edges = np.flatnonzero(above[:-1] != above[1:])
    if not edges.size:
        return None
    edge = edges[0 if lowest else -1]
    root = bracketed_root(lambda T, _: loads(T) - gamma, line.temperature[edge], line.temperature[edge + 1])
    return float(root[0])


class RetrievalBranch:
    """States with n > 0, labelled by y = erfinv(n): y is large at small load and decreases along the branch.

    In y the T = 0 branch is simply sigma = A/(sqrt(2) y), and overlaps exponentially close to 1 stay resolved.
    """

    def __init__(self, equations: ReplicaSymmetric):
        self.equations = equations
        self._p = equations.p_body
        self.start_v, self.start_temperature = self._low_load_limit()

    def _low_load_limit(self):
        """gamma = 0: n = tanh v on the line T(v) = (P/2) tanh^(P-1)(v)/v, whose maximum is the limit of retrieval."""
        if self._p == 2:
            return 0.0, 1.0
        # dT/dv = 0  <=>  (P-1) 2v = sinh 2v
        v = bracketed_root(lambda v, _: (self._p - 1) * 2 * v - np.sinh(2 * v), 0.5, 10.0 + self._p)[0]
        return float(v), float(self.start_line(v))

    def start_line(self, v):
        """Temperature of the gamma = 0 state with n = tanh v, v > 0."""
        return self._p / 2 * np.tanh(v) ** (self._p - 1) / v

    def start_overlaps(self, temperature):
        """v = atanh(n) of the two gamma = 0 states, lower (unstable) and upper (retrieval), for T < start_temperature.

        T = 0 gives 0 and infinity.
        """
        temperature = np.asarray(temperature, float)
        upper = np.full(temperature.shape, np.inf)
        lower = np.zeros(temperature.shape)
        warm = np.flatnonzero(temperature > 0)
        if warm.size:
            T = temperature[warm]

            def excess(v, rows):
                return self._p / 2 * np.tanh(v) ** (self._p - 1) - T[rows] * v

            low = np.full(T.shape, max(self.start_v, 1e-9))
            upper[warm] = bracketed_root(excess, low, np.maximum(self._p / (2 * T), low) * (1 + 1e-12))
            if self._p > 2:
                tiny = 1e-3 * np.minimum((T / self._p) ** (1 / (self._p - 2)), low)
                lower[warm] = bracketed_root(excess, tiny, low)
        return lower, upper

    def window(self, temperature):
        """Ends (y_low, y_high) of the branch; y_high is cut where the overlap is 1 to rounding."""
        lower, upper = self.start_overlaps(temperature)
        complement = 2 / (np.exp(np.minimum(2 * upper, 700)) + 1)
        return erfinv(np.tanh(lower)), np.minimum(erfcinv(complement), _SHARPEST)

    def follow(self, y, temperature, *, tolerance: float = 1e-15):
        """(n, sigma, C, gamma, determinant) at the points y of the branch; tolerance: last relative step of sigma."""
        y, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(y, temperature))
        n, target = erf(y), np.log(erfc(y))
        a = self.equations.amplitude(n)
        sharp = a / (np.sqrt(2) * y)                    # sigma at T = 0, an upper bound at T > 0
        thermal = sharp**2 - (np.pi * temperature) ** 2 / 12
        start = np.sqrt(np.maximum(thermal, 0.01 * sharp**2))

        def excess(sigma, rows):
            average = field_averages(a[rows], sigma, temperature[rows])
            return np.log(average.loss) - target[rows], -sigma * average.C_a / average.loss

        sigma = increasing_root(excess, 0.0, sharp * (1 + 1e-15), start, tolerance=tolerance)
        average = field_averages(a, sigma, temperature)
        gamma = self.equations.noise.load(sigma, average.C, temperature)
        return n, sigma, average.C, gamma, self.equations.determinant(average, n, average.C, gamma, temperature)

    def fold(self, temperature) -> Fold:
        """The first fold met from gamma = 0, for an array of temperatures (T >= start_temperature: NaN).

        Further maxima of gamma(n) at small n (a second lobe of saddles) are not part of the branch.
        """
        temperature = np.atleast_1d(np.asarray(temperature, float))
        out = np.full((5, temperature.size), np.nan)
        alive = np.flatnonzero(temperature < self.start_temperature)
        if alive.size:
            T = temperature[alive]
            y_low, y_high = self.window(T)
            fractions = 1 - (np.arange(_GRID) + 0.5) / _GRID
            y = y_low[:, None] + (y_high - y_low)[:, None] * fractions
            determinant = self.follow(y, T[:, None], tolerance=1e-8)[4].reshape(y.shape)
            first = np.argmax(determinant <= 0, axis=1)
            rows = np.arange(alive.size)

            def slope(point, index):
                return self.follow(point, T[index])[4]

            ends = y[rows, first], y[rows, np.maximum(first - 1, 0)]
            root = bracketed_root(slope, *ends)
            n, _, C, gamma, left = self.follow(root, T)
            start = np.tanh(self.start_overlaps(T)[1])
            out[:, alive] = gamma, n, C, start, left
        return Fold(temperature, *out)

    def solve(self, gamma, temperature, fold: Fold):
        """(n, C) of the branch for arrays of loads and temperatures; NaN beyond the fold.

        fold: `self.fold(temperature)`, one element per point. Between n_start and the fold gamma(n) is monotone, so a
        solution with n above the fold is the only one: Newton from an interpolated start, kept if it ends there, else
        the monotone equation gamma(y) = gamma in its bracket.
        """
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        n, C = np.full(gamma.size, np.nan), np.full(gamma.size, np.nan)
        rows = np.flatnonzero(gamma <= fold.gamma)
        if not rows.size:
            return n, C
        g, T, n_fold, n_start = gamma[rows], temperature[rows], fold.n[rows], fold.n_start[rows]
        inverse = np.divide(1, T, out=np.full(T.shape, np.inf), where=T > 0)
        C_start = np.divide(1 - n_start**2, T, out=np.zeros(T.shape), where=T > 0)
        share = np.sqrt(np.maximum(0, 1 - g / fold.gamma[rows]))
        x = n_fold + (n_start - n_fold) * share
        c = fold.C[rows] + (C_start - fold.C[rows]) * share
        C_limit = np.minimum(self.equations.noise.response_limit, inverse)

        def residual(n, C, index):
            return self.equations.residual(n, C, g[index], T[index])

        x, c, _ = newton_pairs(residual, x, c, ((0.0, 1.5), (0.0, C_limit)))
        left = residual(x, c, np.arange(rows.size))
        astray = ~(np.maximum(np.abs(left[0]), np.abs(left[1])) < 1e-13) | (x < n_fold * (1 - 1e-12))
        lost = np.flatnonzero(astray)
        if lost.size:
            y_fold, y_high = erfinv(n_fold[lost]), self.window(T[lost])[1]
            y = bracketed_root(lambda y, index: self.follow(y, T[lost][index])[3] - g[lost][index], y_fold, y_high)
            y = np.where(np.isnan(y), y_fold, y)           # rounding may put the end of the bracket on the wrong side
            x[lost], _, c[lost], *_ = self.follow(y, T[lost])
        n[rows], C[rows] = x, c
        return n, C


class GlassBranch:
    """States with n = 0 and q > 0, labelled by sigma: explicit, gamma = sigma^2/v(C, T) with C = E sech^2(sigma z/T)/T.

    The branch runs from sigma = infinity (T/sqrt(gamma) -> 0) down to its onset.
    """

    def __init__(self, equations: ReplicaSymmetric):
        self.equations = equations
        self._noise = equations.noise
        self._hopfield = equations.p_body == 2
        self._largest_response = np.nextafter(self._noise.response_limit, 0)
        self.width_at_onset, self.onset_ratio = (0.0, 0.0) if self._hopfield else self._mixture_onset()

    def _mixture_onset(self):
        """(sigma/T, gamma/T^2) at the onset: for a mixture gamma/T^2 depends on sigma/T only.

        A minimum of gamma is a discontinuous onset; without one the branch grows continuously out of q = 0 at
        gamma/T^2 = 2/g''(0), or, with a random field (g'(0) > 0), never ends.
        """

        def rising(width, _=None):
            average = field_averages(0.0, width, 1.0)
            v, slope = self._noise.variance(average.C, 1.0), self._noise.variance_slope(average.C, 1.0)
            return 2 * v - slope * average.C_aa * width**2

        if self._noise.g(0.0, 1) > 0:
            return 0.0, 0.0
        widths = np.geomspace(1e3, 1e-2, 400)
        falling = np.flatnonzero(rising(widths) <= 0)
        if falling.size:
            edge = falling[0]
            width = bracketed_root(rising, widths[edge], widths[edge - 1])
            C = field_averages(0.0, width, 1.0).C
            return float(width[0]), float(self._noise.load(width, C, 1.0)[0])
        return 0.0, float(2 / self._noise.g(0.0, 2))

    def onset(self, temperature):
        """The load above which the branch exists at each temperature."""
        temperature = np.asarray(temperature, float)
        if self._hopfield:
            return np.where(temperature > 1, (temperature - 1) ** 2, 0.0)
        return self.onset_ratio * temperature**2

    def onset_error(self, temperature):
        """What should vanish on the onset: 1 - d(update of C)/dC of the state there."""
        width = self.width_at_onset * temperature
        average = field_averages(0.0, width, temperature)
        slope = self.onset(temperature) * self._noise.variance_slope(average.C, temperature)
        return np.abs(1 - average.C_aa * slope / 2)

    def onset_temperature(self, gamma: float) -> float:
        """The temperature below which the branch exists at this load (infinite with a random field)."""
        if self._hopfield:
            return 1 + float(np.sqrt(gamma))
        return float(np.sqrt(gamma / self.onset_ratio)) if self.onset_ratio > 0 else np.inf

    def solve(self, gamma, temperature):
        """C of the branch for arrays of loads and temperatures; NaN where it does not exist (and at gamma = 0)."""
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        C = np.full(gamma.size, np.nan)
        rows = np.flatnonzero((gamma > self.onset(temperature)) & (gamma > 0))
        if not rows.size:
            return C
        g, T = gamma[rows], temperature[rows]
        low, high = self._bracket(g, T)

        def excess(sigma, index):
            load = self._noise.load(sigma, field_averages(0.0, sigma, T[index]).C, T[index])
            return np.log(np.maximum(load, _TINY)) - np.log(g[index])

        sigma = bracketed_root(excess, low, high)
        found = np.isfinite(sigma)
        # P = 2: C -> 1 as gamma -> 0; rounding must not put it there
        C[rows[found]] = np.minimum(field_averages(0.0, sigma[found], T[found]).C, self._largest_response)
        return C

    def _bracket(self, gamma, temperature):
        """Widths between which gamma(sigma) rises through the wanted load."""
        wide = 1 + 1e-12
        if not self._hopfield:
            high = np.sqrt(gamma * self._noise.g(1.0, 1) / 2)
            low = np.where(temperature > 0, max(self.width_at_onset, 1e-4) * temperature, high / 2)
            if self.onset_ratio == 0:                  # the random field alone bounds the width from below
                low = np.sqrt(gamma * self._noise.g(0.0, 1) / 2)
            return low / wide, high * wide
        # C < sqrt(2/pi)/sigma bounds sigma from above; where C = 1 is reached at finite width, gamma = 0 there
        high = np.sqrt(gamma) + np.sqrt(2 / np.pi)
        low = 1e-4 * temperature
        cold = np.flatnonzero(temperature < 1)
        if cold.size:
            T = temperature[cold]
            edge = bracketed_root(lambda sigma, index: field_averages(0.0, sigma, T[index]).C - 1,
                                  np.full(cold.size, 1e-9), np.sqrt(2 / np.pi) * wide)
            low[cold] = edge
        return low, high * wide
