"""Branches of saddle points followed without iteration, and the folds where they end.

A branch at fixed temperature is explicit once the order parameter, rather than the load, is chosen: the overlap n fixes
the signal A(n), the monotone equation E u tanh((A u + sigma z)/T) = n fixes sigma, quadrature gives C and q, and the load
follows from sigma^2 = gamma v(C, T). A fold is then simply a maximum of gamma along the branch, and nothing has to
converge near it. Many temperatures are followed at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf, erfc, erfcinv, erfinv

from .replica_symmetric import ReplicaSymmetric
from .solver import bracketed_root, increasing_root, newton_pairs

__all__ = ["Fold", "Line", "RetrievalBranch", "invert_line", "trace_line"]

_SHARPEST = 6.0       # erfc(6) = 2e-17: overlaps beyond are 1 to rounding; every fold up to P = 20 lies below y = 3
_TINY = np.finfo(float).tiny
_GRID = 128           # points per temperature on which the first fold is looked for
_SMOOTH = 24          # so many sizes of u make gamma(n) as smooth as a Gaussian law does: half the points suffice


class Fold(NamedTuple):
    """Where a branch ends, one element per temperature; NaN where there is no branch at all, or no fold on it."""

    temperature: np.ndarray
    gamma: np.ndarray
    n: np.ndarray              # E[u s], here and below
    C: np.ndarray
    n_start: np.ndarray        # limit gamma -> 0 of the branch, and its C and y
    C_start: np.ndarray
    y_start: np.ndarray
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
    """States with n > 0, labelled by y = erfinv(n/E|u|): y is large at small load and decreases along the branch.

    In y the T = 0 branch without a dataset is simply sigma = A/(sqrt(2) y), and overlaps exponentially close to the
    largest stay resolved.
    """

    def __init__(self, equations: ReplicaSymmetric):
        self.equations = equations
        self._p = equations.p_body
        self._size = equations.mean_size
        self._line_v, self._line_temperature = self._low_load_line()
        top = int(np.argmax(self._line_temperature))
        self.start_v, self.start_temperature = float(self._line_v[top]), float(self._line_temperature[top])

    def _low_load_line(self):
        """Points of the gamma = 0 line T(v), its highest included: beyond it there is no retrieval.

        P = 2: T falls from T(0) = 1 for every dataset.
        """
        sizes = self.equations.dataset.sizes
        v = np.geomspace(1e-3 / max(1.0, sizes.max()), 40 / min(1.0, sizes[sizes > 0].min()), 512)
        if self._p == 2:
            v = np.concatenate([[0.0], v])
        line = self.start_line(v)
        top = int(np.argmax(line))
        if self._p == 2 or top in (0, v.size - 1):
            return v, line
        exact = bracketed_root(lambda v, _: self._line_slope(v), v[top - 1], v[top + 1])
        return np.insert(v, top, exact), np.insert(line, top, self.start_line(exact))

    def low_load(self, v):
        """Averages of a spin without noise in the field v u at unit temperature."""
        return self.equations.dataset.averages(v, 0.0, 1.0)

    def start_line(self, v):
        """Temperature T(v) = A(n)/v of the gamma = 0 state whose fields are h/T = v u, that is n = E u tanh(v u)."""
        v = np.asarray(v, float)
        field = self.equations.amplitude(self._size - self.low_load(v).loss)
        return np.divide(field, v, out=np.ones_like(v), where=v > 0)

    def _line_slope(self, v):
        """Has the sign of dT/dv: (P-1) v n'(v) - n."""
        average = self.low_load(v)
        return (self._p - 1) * v * average.gain - (self._size - average.loss)

    def start_overlaps(self, temperature):
        """v of the two gamma = 0 states, lower (unstable) and upper (retrieval), for T < start_temperature.

        Upper is the largest v of the line at T, lower the next one. T = 0 gives 0 and infinity.
        """
        temperature = np.asarray(temperature, float)
        upper = np.full(temperature.shape, np.inf)
        lower = np.zeros(temperature.shape)
        warm = np.flatnonzero(temperature > 0)
        if warm.size:
            T = temperature[warm]
            v, above = self._line_v, self._line_temperature > T[:, None]
            inner = v.size - 1 - np.argmax(above[:, ::-1], axis=1)           # last point of the line above T
            last = np.maximum(v[inner], 1e-9 / self._size)

            def excess(v, rows):
                return self.equations.amplitude(self._size - self.low_load(v).loss) - T[rows] * v

            far = self.equations.amplitude(self._size) / T
            upper[warm] = bracketed_root(excess, last, np.maximum(far, last) * (1 + 1e-12))
            if self._p > 2:
                below = ~above & (np.arange(v.size) < inner[:, None])
                outer = v.size - 1 - np.argmax(below[:, ::-1], axis=1)       # next point below T, if there is one
                some = below.any(axis=1)
                slope = self.equations.amplitude(self.equations.second_moment)
                bound = (T / slope) ** (1 / (self._p - 2)) * (1 - 1e-9)      # n <= v E u^2
                inner = np.where(some, np.minimum(outer + 1, inner), 0)
                found = bracketed_root(excess, np.where(some, v[outer], bound), v[inner])
                lower[warm] = np.where(np.isnan(found), bound, found)        # where n(v) vanishes to rounding
        return lower, upper

    def without_load(self, temperature):
        """(n, C) of the gamma = 0 state, C infinite at T = 0 if u can vanish; NaN where there is none."""
        temperature = np.ravel(temperature).astype(float)
        n, C = np.full((2, temperature.size), np.nan)
        rows = np.flatnonzero(temperature < self.start_temperature)
        T = temperature[rows]
        v = self.start_overlaps(T)[1]
        n[rows] = self._size - np.where(T > 0, self.low_load(np.where(T > 0, v, 0.0)).loss, 0.0)
        C[rows] = self.equations.averages(n[rows], 0.0, 0.0, T).C
        return n, C

    def window(self, temperature):
        """Ends (y_low, y_high) of the branch; y_high is cut where the overlap is the largest to rounding."""
        lower, upper = self.start_overlaps(temperature)
        cold = np.isinf(upper)
        missing = np.where(cold, 0.0, self.low_load(np.where(cold, 0.0, upper)).loss) / self._size
        reached = 1 - self.low_load(lower).loss / self._size
        return erfinv(reached), np.minimum(erfcinv(missing), _SHARPEST)

    def follow(self, y, temperature, *, tolerance: float = 1e-15):
        """(n, sigma, C, gamma, determinant) at the points y of the branch; tolerance: last relative step of sigma."""
        y, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(y, temperature))
        n, missing = self._size * erf(y), self._size * erfc(y)
        target = np.log(missing)
        a = self.equations.amplitude(n)
        average_of = self.equations.dataset.averages
        # sigma at T = 0, an upper bound at T > 0: for datasets by Jensen's inequality
        sharp = a / (np.sqrt(2) * y) * (self.equations.second_moment / self._size)
        thermal = sharp**2 - (np.pi * temperature) ** 2 / 12
        start = np.sqrt(np.maximum(thermal, 0.01 * sharp**2))

        def excess(sigma, rows):
            average = average_of(a[rows], sigma, temperature[rows])
            loss = np.maximum(average.loss, _TINY)
            return np.log(loss) - target[rows], -sigma * average.slope / loss

        sigma = increasing_root(excess, 0.0, sharp * (1 + 1e-15), start, tolerance=tolerance)
        average = average_of(a, sigma, temperature)
        gamma = self.equations.noise.load(sigma, average.C, temperature)
        return n, sigma, average.C, gamma, self.equations.determinant(average, n, average.C, gamma, temperature)

    def fold(self, temperature) -> Fold:
        """The first fold met from gamma = 0, for an array of temperatures.

        NaN for T >= start_temperature, and where the branch has no fold. Further maxima of gamma(n) at small n (a
        second lobe of saddles) are not part of the branch.
        """
        temperature = np.atleast_1d(np.asarray(temperature, float))
        out = np.full((7, temperature.size), np.nan)
        alive = np.flatnonzero(temperature < self.start_temperature)
        if alive.size:
            T = temperature[alive]
            y_low, y_high = self.window(T)
            count = _GRID if self.equations.dataset.sizes.size < _SMOOTH else _GRID // 2
            fractions = 1 - (np.arange(count) + 0.5) / count
            y = y_low[:, None] + (y_high - y_low)[:, None] * fractions
            _, _, response, _, determinant = (item.reshape(y.shape) for item in
                                              self.follow(y, T[:, None], tolerance=1e-8))
            n_start, C_start, y_start, begin = self._start(T, y, y_high, response)
            met = (determinant <= 0) & (np.arange(count) >= begin[:, None])
            first = np.argmax(met, axis=1)
            rows = np.arange(alive.size)

            def slope(point, index):
                return self.follow(point, T[index])[4]

            # the lower end of the branch, at gamma = 0 again for P > 2, lies behind a fold that no grid point may show
            seen = met.any(axis=1)
            before = np.where(first > begin, y[rows, np.maximum(first - 1, 0)], y_start)
            root = bracketed_root(slope, np.where(seen, y[rows, first], y_low), np.where(seen, before, y[:, -1]))
            found = np.flatnonzero(np.isfinite(root))
            n, _, C, gamma, left = self.follow(root[found], T[found])
            out[:, alive[found]] = gamma, n, C, n_start[found], C_start[found], y_start[found], left
        return Fold(temperature, *out)

    def _start(self, temperature, y, y_high, response):
        """(n, C, y) where gamma = 0 on the branch, and the first point of each row of the grid y behind it.

        This is the gamma = 0 state, unless its C exceeds the limit of the noise (P = 2: spins of small u are freer
        than the noise allows and freeze at any load): then the branch begins with sigma > 0 where C is the limit.
        """
        limit = self.equations.noise.response_limit * (1 - 1e-12)
        n, C = self.without_load(temperature)
        start, begin = y_high.copy(), np.zeros(n.size, int)
        freed = np.flatnonzero(C >= limit)
        if freed.size and np.isfinite(limit):
            T = temperature[freed]
            begin[freed] = np.argmax(response[freed] < limit, axis=1)
            outer = np.where(begin[freed] > 0, y[freed, begin[freed] - 1], y_high[freed])
            found = bracketed_root(lambda y, rows: self.follow(y, T[rows])[2] - limit, y[freed, begin[freed]], outer)
            start[freed] = np.where(np.isnan(found), y_high[freed], found)      # there n is the largest to rounding
            n[freed], C[freed] = self._size * erf(start[freed]), limit
        return n, C, start, begin

    def solve(self, gamma, temperature, fold: Fold):
        """(n, C) of the branch for arrays of loads and temperatures; NaN beyond the fold.

        fold: `self.fold(temperature)`, one element per point. Between n_start and the fold gamma(n) is monotone, so a
        solution with n above the fold is the only one: Newton from an interpolated start, kept if it ends there, else
        the monotone equation gamma(y) = gamma in its bracket.
        """
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        n, C = np.full(gamma.size, np.nan), np.full(gamma.size, np.nan)
        idle = np.flatnonzero(gamma == 0)
        n[idle], C[idle] = self.without_load(temperature[idle])
        rows = np.flatnonzero((gamma > 0) & (gamma <= fold.gamma))
        if not rows.size:
            return n, C
        g, T = gamma[rows], temperature[rows]
        n_fold, n_start = fold.n[rows], fold.n_start[rows]
        inverse = np.divide(1, T, out=np.full(T.shape, np.inf), where=T > 0)
        C_limit = np.minimum(self.equations.noise.response_limit, inverse)
        C_start = np.where(np.isfinite(fold.C_start[rows]), fold.C_start[rows], fold.C[rows])
        share = np.sqrt(np.maximum(0, 1 - g / fold.gamma[rows]))
        x = n_fold + (n_start - n_fold) * share
        c = np.minimum(fold.C[rows] + (C_start - fold.C[rows]) * share, C_limit * (1 - 1e-9))

        def residual(n, C, index):
            return self.equations.residual(n, C, g[index], T[index])

        x, c, _ = newton_pairs(residual, x, c, ((0.0, 1.5 * self._size), (0.0, C_limit)))
        left = residual(x, c, np.arange(rows.size))
        error = np.maximum(np.abs(left[0]) / max(1.0, self._size), np.abs(left[1]) / np.maximum(1, c))
        astray = ~(error < 1e-13) | (x < n_fold * (1 - 1e-12))
        lost = np.flatnonzero(astray)
        if lost.size:
            x[lost], c[lost] = self._bracketed(g[lost], T[lost], erfinv(n_fold[lost] / self._size),
                                               fold.y_start[rows[lost]], C_limit[lost])
        n[rows], C[rows] = x, c
        return n, C

    def _bracketed(self, gamma, temperature, y_fold, y_start, C_limit):
        """`solve` by the monotone equation gamma(y) = gamma; where n is the largest to rounding, by that of C alone."""
        y = bracketed_root(lambda y, rows: self.follow(y, temperature[rows])[3] - gamma[rows], y_fold, y_start)
        beyond = np.flatnonzero(np.isnan(y))
        y[beyond] = y_fold[beyond]                         # rounding may put the end of the bracket on the wrong side
        n, _, C, *_ = self.follow(y, temperature)
        sharp = beyond[gamma[beyond] < self.follow(y_start[beyond], temperature[beyond])[3]]
        if sharp.size:
            n[sharp] = self._size * erf(y_start[sharp])

            def excess(C, rows):
                index = sharp[rows]
                return self.equations.update(n[index], C, gamma[index], temperature[index])[1] - C

            high = np.where(np.isinf(C_limit[sharp]), 2 * (1 + excess(np.zeros(sharp.size), slice(None))), C_limit[sharp])
            C[sharp] = bracketed_root(excess, 0.0, high * (1 - 1e-15))
        return n, C
