"""Branches of saddle points followed without iteration, and the folds where they end.

A branch at fixed temperature is explicit once the order parameter, rather than the load, is chosen: the overlap n fixes
the signal A(n), the monotone equation E u tanh((A u + sigma z)/T) = n fixes sigma, quadrature gives C and q, and the load
follows from sigma^2 = gamma v(C, T). Every state with n > 0 lies on this one curve. A fold is simply a maximum of gamma
along it, and nothing has to converge near it. Noisy datasets can make gamma turn several times: each stretch on which the
state is a minimum over n is a state of its own (`hebb.theory.segments`). Many temperatures are followed at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf, erfc, erfcinv, erfinv

from .replica_symmetric import ReplicaSymmetric
from .segments import Segment, Segments, edges, with_turns
from .solver import bracketed_root, increasing_root, newton_pairs

__all__ = ["Followed", "Line", "RetrievalBranch", "invert_line", "trace_line"]

_SHARPEST = 6.0       # erfc(6) = 2e-17: overlaps beyond are 1 to rounding; every fold up to P = 20 lies below y = 3
_TINY = np.finfo(float).tiny
_GRID = 128           # points per temperature between which turns are looked for
_SMOOTH = 24          # so many sizes of u make gamma(n) as smooth as a Gaussian law does: half the points suffice


class Followed(NamedTuple):
    """Points of a branch at chosen overlaps."""

    n: np.ndarray              # E[u s]
    sigma: np.ndarray
    C: np.ndarray
    gamma: np.ndarray
    determinant: np.ndarray    # of the Jacobian of the equations: 0 on a fold
    curvature: np.ndarray      # negative where the state is a maximum of f over q


class Line(NamedTuple):
    """A line gamma(T) from T = 0 to the temperature at which it reaches gamma = 0."""

    temperature: np.ndarray
    gamma: np.ndarray


def trace_line(loads, end: float, points: int = 48) -> Line:
    """gamma(T) = loads(T) (vectorised) on [0, end], dense towards the end where it vanishes, its maximum included."""
    temperature = end * np.concatenate([np.linspace(0, 0.95, points), 1 - np.geomspace(0.04, 1e-5, points // 2)])
    gamma = loads(temperature)
    top = int(np.argmax(gamma))
    if 0 < top < temperature.size - 1:
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

    def follow(self, y, temperature, *, tolerance: float = 1e-15) -> Followed:
        """The points y of the branch; tolerance: last relative step of sigma."""
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
        determinant, curvature = self.equations.kind(average, n, average.C, gamma, temperature)
        return Followed(n, sigma, average.C, gamma, determinant, curvature)

    def segments(self, temperature) -> Segments:
        """All stable stretches of the branch, for an array of temperatures.

        None for T >= start_temperature, and none without a fold at its end. A stretch begins where gamma = 0 or at a
        minimum of gamma(n). Cost: 1 ms per temperature.
        """
        temperature = np.atleast_1d(np.asarray(temperature, float))
        alive = np.flatnonzero(temperature < self.start_temperature)
        parts: list[np.ndarray] = [np.full((10, temperature.size), np.nan)]
        if alive.size:
            T = temperature[alive]
            y_low, y_high = self.window(T)
            row, y, rising, start = self._grid(T, y_low, y_high)

            def value(points, index):
                return self.follow(points, T[index]).determinant

            place, turn, falls = edges(value, row, y, rising)
            kept = np.isfinite(turn)
            place, turn, falls = place[kept], turn[kept], falls[kept]
            there = self.follow(turn, T[place])
            found = np.stack([there.gamma, there.n, there.C, turn, there.determinant])
            known = np.zeros(alive.size, int)
            for k in np.flatnonzero(falls):
                # a stretch begins at the turn before its end, or at the start of the branch
                first = k == 0 or place[k - 1] != place[k]
                if there.curvature[k] >= 0 or (not first and falls[k - 1]):
                    continue                          # no maximum over q; the turn between was lost to rounding
                begin = start[:, place[k]] if first else found[:, k - 1]
                if not first and there.curvature[k - 1] >= 0:
                    begin = self._begin(turn[k - 1], turn[k], T[place[k]])
                if known[place[k]] == len(parts):
                    parts.append(np.full((10, temperature.size), np.nan))
                parts[known[place[k]]][:, alive[place[k]]] = np.concatenate([begin, found[:, k]])
                known[place[k]] += 1
        return Segments(temperature, tuple(Segment(*part) for part in parts))

    def _begin(self, y_turn, y_end, temperature):
        """(gamma, n, C, y, what vanishes) from which on the states of a stretch that ends at y_end are maxima over q."""
        y = np.linspace(y_turn, y_end, _GRID)
        last = int(np.flatnonzero(self.follow(y, temperature).curvature >= 0)[-1])
        root = bracketed_root(lambda y, _: self.follow(y, temperature).curvature, y[last], y[min(last + 1, _GRID - 1)])
        point = self.follow(root, temperature)
        return np.array([point.gamma[0], point.n[0], point.C[0], root[0], point.curvature[0]])

    def _grid(self, temperature, y_low, y_high):
        """(row, y, rising, start): points of the branch by falling y, row by row, between which `rising` changes at turns.

        start (5, rows): gamma, n, C, y at the begin of the branch, and what vanishes there. rising: the load grows as y
        falls. Where it does at the last point, the lower end of the branch follows, at gamma = 0 again for P > 2.
        """
        count = _GRID if self.equations.dataset.sizes.size < _SMOOTH else _GRID // 2
        fractions = 1 - (np.arange(count) + 0.5) / count
        y = y_low[:, None] + (y_high - y_low)[:, None] * fractions

        def determinant(points, index):
            return self.follow(points, temperature[index], tolerance=1e-8).determinant

        points = self.follow(y, temperature[:, None], tolerance=1e-8)
        known, response = points.determinant.reshape(y.shape), points.C.reshape(y.shape)
        n, C, y_start, begin = self._start(temperature, y, y_high, response)
        row = np.repeat(np.arange(temperature.size), count)
        kept = (np.arange(count) >= begin[:, None]).ravel()
        row, y, known = row[kept], y.ravel()[kept], known.ravel()[kept]
        more_row, more_y = with_turns(determinant, row, y, known)
        # the lower end of the branch lies behind a fold that no grid point may show
        rows = np.arange(temperature.size)
        ended = row[np.flatnonzero((np.diff(row, append=-1) != 0) & (known > 0))]
        ended = ended[y_low[ended] > 0]
        more_row, more_y = np.append(more_row, ended), np.append(more_y, y_low[ended])
        row, y = np.concatenate([rows, row, more_row]), np.concatenate([y_start, y, more_y])
        more = determinant(more_y, more_row) if more_y.size else more_y
        rising = np.concatenate([np.ones(rows.size), known, more]) > 0
        order = np.lexsort((np.arange(row.size), -y, row))
        return row[order], y[order], rising[order], np.stack([np.zeros(n.size), n, C, y_start, np.zeros(n.size)])

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
            found = bracketed_root(lambda y, rows: self.follow(y, T[rows]).C - limit, y[freed, begin[freed]], outer)
            start[freed] = np.where(np.isnan(found), y_high[freed], found)      # there n is the largest to rounding
            n[freed], C[freed] = self._size * erf(start[freed]), limit
        return n, C, start, begin

    def solve(self, gamma, temperature, segments: Segments, name: str = "retrieval"):
        """(n, C) of the branch for arrays of loads and temperatures; NaN where there is no such state.

        segments: `self.segments(temperature)`, one element per point. name: "retrieval" is the state of largest overlap,
        unless one of smaller overlap is stable against replica symmetry breaking and lower in f; "retrieval_high",
        "retrieval_middle" and "retrieval_low" are those of single stretches.
        """
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        if name != "retrieval":
            n, C = self.on(segments.named(name), gamma, temperature)
        else:
            n, C = self.on(segments.parts[0], gamma, temperature)
            for part in segments.parts[1:]:
                rows = np.flatnonzero(part.holds(gamma))
                if rows.size:
                    n[rows], C[rows] = self._lower(n[rows], C[rows], *self.on(part.rows(rows), gamma[rows],
                                                                               temperature[rows]),
                                                   gamma[rows], temperature[rows])
        idle = np.flatnonzero(gamma == 0) if name in ("retrieval", "retrieval_high") else np.empty(0, int)
        n[idle], C[idle] = self.without_load(temperature[idle])
        return n, C

    def _lower(self, n, C, other_n, other_C, gamma, temperature):
        """Of two states per point, the first unless it does not exist, or the other is stable and lower in f."""
        none = np.isnan(n)
        n, C = np.where(none, other_n, n), np.where(none, other_C, C)
        first, other = (self.equations.states(*pair, gamma, temperature) for pair in ((n, C), (other_n, other_C)))
        taken = (other.replicon > 0) & (other.example_response < 1) & (other.free_energy < first.free_energy)
        return np.where(taken, other_n, n), np.where(taken, other_C, C)

    def on(self, part: Segment, gamma, temperature):
        """(n, C) on one stretch; NaN for loads outside it.

        gamma(n) is monotone on it, so that a solution with n between its ends is the only one: Newton from an
        interpolated start, kept if it ends there, else the monotone equation gamma(y) = gamma in its bracket.
        """
        n, C = np.full(gamma.size, np.nan), np.full(gamma.size, np.nan)
        rows = np.flatnonzero(part.holds(gamma))
        if not rows.size:
            return n, C
        g, T, part = gamma[rows], temperature[rows], part.rows(rows)
        inverse = np.divide(1, T, out=np.full(T.shape, np.inf), where=T > 0)
        C_limit = np.minimum(self.equations.noise.response_limit, inverse)
        C_start = np.where(np.isfinite(part.C_start), part.C_start, part.C)
        share = np.sqrt((part.gamma - g) / (part.gamma - part.gamma_start))
        x = part.n + (part.n_start - part.n) * share
        c = np.minimum(part.C + (C_start - part.C) * share, C_limit * (1 - 1e-9))

        def residual(n, C, index):
            return self.equations.residual(n, C, g[index], T[index])

        x, c, _ = newton_pairs(residual, x, c, ((0.0, 1.5 * self._size), (0.0, C_limit)))
        left = residual(x, c, np.arange(rows.size))
        error = np.maximum(np.abs(left[0]) / max(1.0, self._size), np.abs(left[1]) / np.maximum(1, c))
        inner = part.gamma_start > 0
        astray = ~(error < 1e-13) | (x < part.n * (1 - 1e-12)) | (inner & (x > part.n_start * (1 + 1e-12)))
        lost = np.flatnonzero(astray)
        if lost.size:
            x[lost], c[lost] = self._bracketed(g[lost], T[lost], part.y[lost], part.y_start[lost], C_limit[lost])
        n[rows], C[rows] = x, c
        return n, C

    def _bracketed(self, gamma, temperature, y_fold, y_start, C_limit):
        """`solve` by the monotone equation gamma(y) = gamma; where n is the largest to rounding, by that of C alone."""
        y = bracketed_root(lambda y, rows: self.follow(y, temperature[rows]).gamma - gamma[rows], y_fold, y_start)
        beyond = np.flatnonzero(np.isnan(y))
        y[beyond] = y_fold[beyond]                         # rounding may put the end of the bracket on the wrong side
        n, _, C, *_ = self.follow(y, temperature)
        sharp = beyond[gamma[beyond] < self.follow(y_start[beyond], temperature[beyond]).gamma]
        if sharp.size:
            n[sharp] = self._size * erf(y_start[sharp])

            def excess(C, rows):
                index = sharp[rows]
                return self.equations.update(n[index], C, gamma[index], temperature[index])[1] - C

            high = np.where(np.isinf(C_limit[sharp]), 2 * (1 + excess(np.zeros(sharp.size), slice(None))), C_limit[sharp])
            C[sharp] = bracketed_root(excess, 0.0, high * (1 - 1e-15))
        return n, C
