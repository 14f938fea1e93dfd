"""States with one step of replica symmetry breaking (1RSB): the retrieval branch and the glass.

Retrieval is replica symmetric as long as its replicon is positive. Where it vanishes (AT point) the 1RSB branch leaves it
continuously, with a breaking parameter theta of about 1/2, and is followed from there with the overlap nt as control
parameter and the load as an unknown, which passes the fold. At T = 0 there is no AT point: for gamma -> 0 the two levels
merge exponentially, in a universal way, x s_1 -> 1.0543 and C/C_RS -> 0.23346.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import erf, erfinv

from .branches import Branches
from .parisi import Parisi, Point, Saddles
from .solver import bracketed_root

__all__ = ["BrokenRetrieval", "Trace", "replaced", "resolved", "take"]

_RESOLVED = 1e-7          # levels closer than this are not told apart: the state is given as replica symmetric
_APART = 1e-6             # of the levels where the branch at T = 0 is followed from
_STEP = 0.12              # of the control parameter y, nt = E|u| erf(y)
_FACTORS = (1.0, 0.77, 1.3, 0.6, 1.6, 0.4, 2.2)      # of the first guess of a gap, tried in turn
_AT_NT = ("nt", "q0", "C", "x1")
_ALONG = ("gamma", "q0", "C", "x1")


class Trace(NamedTuple):
    """The broken part of the retrieval branch at one temperature, from the AT point (T = 0: from merged levels) on.

    gamma increases along `points` (columns as in `Parisi.names`), whose last row is the fold, or, if the branch was
    wanted up to a load only, lies beyond that load. slope: d ln(gamma)/d nt at the fold, NaN without one.
    """

    gamma_start: float
    merged: np.ndarray | None      # the AT point (T > 0), with x = NaN
    points: np.ndarray
    slope: float

    @property
    def ends(self) -> bool:
        return np.isfinite(self.slope)


class BrokenRetrieval:
    """Retrieval with n > 0 and q_0 < q_1, of one law."""

    def __init__(self, branches: Branches, parisi: Parisi):
        self.branches, self.parisi = branches, parisi
        self._size = branches.equations.mean_size
        self._traces: dict[float, Trace | None] = {}

    # ---- the replica-symmetric part ----------------------------------------------------------------------------------

    def at_points(self, temperature, folds):
        """y of the first AT point of the replica-symmetric branch met from gamma = 0, NaN if there is none.

        T = 0: y where the two levels are told apart.
        """
        y = np.full(temperature.size, np.nan)
        alive = np.flatnonzero(np.isfinite(folds.gamma))
        if not alive.size:
            return y
        T, top = temperature[alive], folds.y_start[alive]
        low = erfinv(np.minimum(folds.n[alive] / self._size, 1))
        grid = top[:, None] + (low - top)[:, None] * (np.arange(96) + 0.5) / 96
        grid[:, -1] = low
        excess = self._excess(grid.ravel(), np.repeat(T, 96)).reshape(grid.shape)
        first = np.argmax(excess > 0, axis=1)
        rows = np.arange(alive.size)
        outer = np.where(first > 0, grid[rows, np.maximum(first - 1, 0)], top * (1 - 1e-12))
        found = bracketed_root(lambda y, rows: self._excess(y, T[rows]), grid[rows, first], outer)
        # T = 0, u = 0 possible: the spins that hear noise only are broken at any load
        found = np.where(np.isnan(found) & (T == 0) & (first == 0), grid[:, 0], found)
        y[alive] = np.where((excess > 0).any(axis=1), found, np.nan)
        return y

    def _excess(self, y, temperature):
        """Positive where the levels are apart: minus the replicon; at T = 0, gap over `_APART` less 1."""
        guess, replicon = self._emerging(y, temperature)
        return np.where(temperature > 0, -replicon, (1 - guess.q[:, 0]) / _APART - 1)

    def _emerging(self, y, temperature, factor=1.0):
        """(starting points close to where the levels merge, replica-symmetric replicon)."""
        n, sigma, C, gamma, _ = self.branches.retrieval.follow(y, temperature)
        D = self.branches.equations.averages(n, C, gamma, temperature).D
        quiet, drop = self.branches.equations.noise.replicon_parts(C, temperature, gamma, D)
        edge = drop / quiet                                # the replicon vanishes at T = edge
        t = np.minimum(temperature / edge, 1)
        gap = np.minimum(1.19 * edge * D * (1 - t) * (1 + 1.7 * t) * factor, 0.4 * (1 - temperature * C))
        x = 0.967 * (1 - t) / edge
        warm = temperature > 0
        x[warm] += (t * self._onset_slope(n, sigma, C, temperature, edge / D))[warm]
        C = np.maximum(C * (0.2335 + 0.7665 * t) - t * gap / (2 * edge), 0.1 * C)
        replicon = quiet - np.where(warm, drop / np.where(warm, temperature, 1.0), np.inf)
        return Point.of(n, (1 - temperature * C - gap)[:, None], C, x[:, None], gamma, temperature), replicon

    def _onset_slope(self, n, sigma, C, temperature, b):
        """x on the AT line: marginality holds along the whole hierarchy, b E m'^2 = 1 with b = gamma dr/dq, and so does

        its derivative with respect to q; primes are derivatives of m = tanh(h/T) with respect to the field. Rough.
        """
        data, noise = self.branches.equations.dataset, self.branches.equations.noise
        y = np.linspace(-8, 8, 161)
        T = np.where(temperature > 0, temperature, 1.0)[:, None]
        width = np.hypot(sigma, np.sqrt(data.spread) * self.parisi.amplitude(n))[:, None]
        law = sum(w * np.exp(-(((T * y - size * self.parisi.amplitude(n)[:, None]) / width) ** 2) / 2)
                  for size, w in zip(data.sizes, data.weights, strict=True)) * T * (y[1] - y[0]) / (width * np.sqrt(2 * np.pi))
        sech2 = 1 / np.cosh(y) ** 2
        cube, curve = law @ sech2**3 / T[:, 0] ** 3, law @ (4 * sech2**2 * (1 - sech2)) / T[:, 0] ** 4
        if self.branches.law.p_body == 2:
            return curve / (2 * (cube + 1 / (b**2 * (1 - C))))
        q = 1 - temperature * C
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):       # no load: nothing to guess
            return (noise.g(q, 3) / (noise.g(q, 2) * b**2) + curve) / (2 * cube)

    # ---- the broken part ---------------------------------------------------------------------------------------------

    def traces(self, temperature, up_to=np.inf) -> list[Trace | None]:
        """One trace per temperature, None where retrieval is replica symmetric up to its spinodal. Kept for reuse.

        up_to: no further than the first point beyond this load. Cost: 0.3 s each at T > 0, 0.03 s at T = 0.
        """
        temperature = np.atleast_1d(np.asarray(temperature, float))
        known = [self._traces.get(T) if T in self._traces else "new" for T in temperature]
        missing = [k for k, trace in enumerate(known) if isinstance(trace, str)
                   or trace is not None and not trace.ends and trace.points[-1, -2] < up_to]
        if missing:
            if len(self._traces) > 4096:
                self._traces.clear()
            T = temperature[missing]
            self._traces.update(zip(T.tolist(), self._follow(T, up_to), strict=True))
        return [self._traces[T] for T in temperature.tolist()]

    def _follow(self, temperature, up_to):
        folds = self.branches.retrieval.fold(temperature)
        y_at = self.at_points(temperature, folds)
        traces: list[Trace | None] = [None] * temperature.size
        rows = np.flatnonzero(np.isfinite(y_at))
        if not rows.size:
            return traces
        T, start = temperature[rows], y_at[rows]
        gamma_start = self.branches.retrieval.follow(start, T)[3]
        paths = self._march(T, start, start - erfinv(folds.n[rows] / self._size), up_to)
        turned = [k for k, path in enumerate(paths) if len(path) > 1 and path[-1][-2] < path[-2][-2]]
        ends = self._folds([paths[k] for k in turned]) if turned else []
        slopes = np.full(rows.size, np.nan)
        for k, (end, slope) in zip(turned, ends, strict=True):
            if np.isnan(slope):
                continue
            paths[k] = [p for p in paths[k] if p[0] > end[0]] + [end]
            slopes[k] = slope
        for k, row in enumerate(rows):
            if paths[k]:
                traces[row] = Trace(gamma_start[k], self._merged(start[k:k + 1], T[k:k + 1])[0] if T[k] > 0 else None,
                                    np.array(paths[k]), slopes[k])
        return traces

    def _march(self, T, start, reach, up_to):
        """Points (rows of columns) of each branch away from its start, the last one beyond the fold or the load."""
        y, step = start.copy(), np.where(T > 0, np.minimum(_STEP, np.maximum(0.4 * reach, 1e-3)), _STEP)
        merged = self._merged(start, T)
        paths, tries, going = [[] for _ in T], np.zeros(T.size, int), list(range(T.size))
        while going:
            wanted = y[going] - step[going]
            guess = self._emerging(wanted, T[going], np.array(_FACTORS)[tries[going]])[0].columns()
            for k, row in enumerate(going):
                known = [merged[row]] + paths[row] if T[row] > 0 else paths[row]
                if paths[row] and len(known) > 1:
                    guess[k] = self._extrapolated(np.array(known[-3:]), wanted[k])
            guess[:, 0] = self._size * erf(wanted)
            found = self.parisi.solve(Point.from_columns(guess), unknowns=_ALONG, equations=_AT_NT, iterations=30)
            table, good = found.point.columns(), resolved(found)
            still = []
            for k, row in enumerate(going):
                path = paths[row]
                if good[k] and (not path or abs(np.log(table[k, -2] / path[-1][-2])) < 0.5):
                    past = table[k, -2] < path[-1][-2] if path else self.slope(table[k:k + 1])[0] > 0
                    path[:] = self._back(merged[row], table[k], start[row]) if past and not path else [*path, table[k]]
                    y[row], step[row] = wanted[k], min(1.5 * step[row], _STEP)
                    tries[row] = 0
                    if not past and table[k, -2] < up_to:
                        still.append(row)
                elif tries[row] + 1 < len(_FACTORS):
                    tries[row] += 1
                    step[row] *= 0.3 if path else 1.6
                    still.append(row)
            going = still
        return paths

    def _back(self, merged, beyond, y_start):
        """Path to a point beyond the fold from between it and the AT point; empty if the fold is where levels merge."""
        path = [beyond]
        for _ in range(8):
            y = (y_start + erfinv(path[0][0] / self._size)) / 2
            guess = self._extrapolated(np.array([merged, *path[:2]]), y)
            guess[0] = self._size * erf(y)
            found = self.parisi.solve(Point.from_columns(guess[None]), unknowns=_ALONG, equations=_AT_NT)
            if not resolved(found)[0]:
                return []
            path.insert(0, found.point.columns()[0])
            if self.slope(path[0][None])[0] < 0:
                return path
        return []

    def _merged(self, y, temperature):
        """The AT points as columns, with x = NaN."""
        n, _, C, gamma, _ = self.branches.retrieval.follow(y, temperature)
        return np.column_stack([n, 1 - temperature * C, C, np.full(n.size, np.nan), gamma, temperature])

    def _extrapolated(self, table, y):
        """The point at y on the parabola through the last points: q_1 - q_0 (T = 0: its logarithm), logarithms of the rest.

        The first point may be an AT point, whose x is taken from the next one.
        """
        cold = table[-1, -1] == 0
        gap = 1 - table[:, -1] * table[:, 2] - table[:, 1]
        x = np.where(np.isnan(table[:, 3]), table[1, 3], table[:, 3])
        known = erfinv(table[:, 0] / self._size)
        values = np.column_stack([np.log(gap) if cold else gap, np.log(table[:, 2]), np.log(x), np.log(table[:, 4])])
        weights = np.array([np.prod([(y - other) / (one - other) for other in known if other != one]) for one in known])
        gap, C, x, gamma = weights @ values
        gap = np.exp(gap) if cold else max(gap, 1e-12)
        return np.array([0.0, 1 - table[-1, -1] * np.exp(C) - gap, np.exp(C), np.exp(x), np.exp(gamma), table[-1, -1]])

    def _folds(self, paths):
        """(point, slope) of the maximum of gamma near the end of each path: root of d ln(gamma)/d nt."""
        ends = [np.array(path[-3:]) for path in paths]
        slopes = np.split(self.slope(np.concatenate(ends)), np.cumsum([len(end) for end in ends])[:-1])
        after = np.array([end[np.argmax(s > 0), 0] for end, s in zip(ends, slopes, strict=True)])
        before = np.array([end[max(np.argmax(s > 0) - 1, 0), 0] for end, s in zip(ends, slopes, strict=True)])

        def solved(nt, rows):
            guess = np.array([self._extrapolated(ends[k], erfinv(x / self._size)) for x, k in zip(nt, rows, strict=True)])
            guess[:, 0] = nt
            found = self.parisi.solve(Point.from_columns(guess), unknowns=_ALONG, equations=_AT_NT)
            return np.where(resolved(found)[:, None], found.point.columns(), np.nan)

        root = bracketed_root(lambda nt, rows: self.slope(solved(nt, rows)), before, after, tolerance=1e-12)
        table = solved(np.where(np.isnan(root), after, root), np.arange(root.size))
        return list(zip(table, np.where(np.isnan(root), np.nan, self.slope(table)), strict=True))

    def fold_error(self, trace: Trace) -> float:
        """Distance in nt between the last point of the trace and the zero of `slope` beside it."""
        moved = trace.points[-1:].copy()
        moved[0, 0] += 1e-3 * (trace.points[-2, 0] - trace.points[-1, 0])
        beside = self.parisi.solve(Point.from_columns(moved), unknowns=_ALONG, equations=_AT_NT).point.columns()
        curvature = (self.slope(beside)[0] - trace.slope) / (moved[0, 0] - trace.points[-1, 0])
        return abs(trace.slope / curvature)

    def slope(self, table):
        """d ln(gamma)/d nt along the branch at fixed temperature, from differences of fourth order of the equations."""
        columns, h = [0, 1, 2, 3, 4], 1e-3
        base = self.parisi._scaled(table, columns)
        scale = np.ones_like(base)
        gap = 1 - table[:, -1] * table[:, 2] - table[:, 1]
        scale[:, 1] = np.minimum(1.0, gap / (1 - table[:, 1]))          # no step may take q_0 above q_1
        scale[:, 2] = np.where(table[:, -1] > 0, np.minimum(1.0, gap / np.maximum(table[:, -1] * table[:, 2], 1e-300)), 1.0)
        scale[:, 0] = np.minimum(1.0, 10 * (self._size - table[:, 0]))
        jacobian = np.empty((len(table), 4, 5))
        trials, weights = [], (8, -8, -1, 1)
        for c in columns:
            for share in (1, -1, 2, -2):
                moved = base.copy()
                moved[:, c] += share * h * scale[:, c]
                trials.append(self.parisi._with_unknowns(table, columns, moved))
        out = self.parisi._residual(np.concatenate(trials), _AT_NT).reshape(5, 4, len(table), 4)
        for c in columns:
            jacobian[:, :, c] = sum(w * o for w, o in zip(weights, out[c], strict=True)) / (12 * h * scale[:, c])[:, None]
        result = np.full(len(table), np.nan)
        for k, j in enumerate(jacobian):
            if np.isfinite(j).all():
                result[k] = np.linalg.solve(j[:, 1:], -j[:, 0])[-1]
        return result

    # ---- points ------------------------------------------------------------------------------------------------------

    def solve(self, gamma, temperature, traces) -> tuple[np.ndarray, Saddles | None]:
        """(indices, saddles) of the points at which retrieval is broken; one trace per point.

        NaN, by `resolved`, where Newton's method did not find the branch.
        """
        rows = np.array([k for k, trace in enumerate(traces) if trace is not None
                         and trace.gamma_start < gamma[k] <= trace.points[-1, -2]], int)
        if not rows.size:
            return rows, None
        found = None
        starts = np.array([self._start(gamma[k], traces[k]) for k in rows])
        lowest = np.array([traces[k].points[-1, 0] for k in rows]) - 1e-9
        left = np.arange(rows.size)
        for factor in _FACTORS:
            guess = starts[left].copy()
            guess[:, 1] += (1 - factor) * (1 - guess[:, -1] * guess[:, 2] - guess[:, 1])
            part = self.parisi.solve(Point.from_columns(guess), unknowns=_AT_NT, equations=_AT_NT)
            found = part if found is None else replaced(found, left, part)
            left = left[~(resolved(part) & (part.point.nt > lowest[left]))]
            if not left.size:
                break
        for row in left:
            near = self._approach(gamma[rows[row]], traces[rows[row]])
            for _ in range(6 * (near is not None)):                # close to the AT point Newton's method stops early
                part = self.parisi.solve(Point.from_columns(near[None]), unknowns=_AT_NT, equations=_AT_NT)
                near = part.point.columns()[0]
                if resolved(part, 1e-3)[0]:
                    found, left = replaced(found, np.array([row]), part), left[left != row]
                    break
        kept = np.setdiff1d(np.arange(rows.size), left)
        return rows[kept], take(found, kept)

    def _approach(self, gamma, trace):
        """A point close to this load between the AT point and the first of the trace, by secants in y; None if lost."""
        first = trace.points[0]
        if trace.merged is None or gamma >= first[-2]:
            return None
        y_at, known = erfinv(trace.merged[0] / self._size), [first]
        for _ in range(12):
            low, nearest = trace.merged[-2], known[0]
            y_near = erfinv(nearest[0] / self._size)
            y = y_at + (y_near - y_at) * min(0.95, max((gamma - low) / (nearest[-2] - low), 0.3))
            guess = self._extrapolated(np.array([trace.merged, *known[:2]]), y)
            guess[0] = self._size * erf(y)
            part = self.parisi.solve(Point.from_columns(guess[None]), unknowns=_ALONG, equations=_AT_NT)
            if not resolved(part)[0]:
                return None
            known.insert(0, part.point.columns()[0])
            if abs(known[0][-2] - gamma) < 0.05 * (gamma - low):
                return np.array([*known[0][:4], gamma, known[0][-1]])
            if known[0][-2] < gamma:
                known.pop(0)
                return np.array([*self._between(trace.merged, part.point.columns()[0], known[0], gamma)])
        return None

    def _between(self, merged, low, high, gamma):
        """Parabola through the AT point and two others, at a load between the latter."""
        y_low, y_high = erfinv(low[0] / self._size), erfinv(high[0] / self._size)
        y = y_low + (y_high - y_low) * (gamma - low[-2]) / (high[-2] - low[-2])
        point = self._extrapolated(np.array([merged, low, high]), y)
        point[0], point[-2] = self._size * erf(y), gamma
        return point

    def _start(self, gamma, trace):
        """A point near the branch at this load, by interpolation in the square root of the distance to the end."""
        points = trace.points
        if trace.merged is not None:
            points = np.vstack([trace.merged, points])
        share = -np.sqrt(np.maximum(points[-1, -2] * (1 + 1e-15) - points[:, -2], 0))
        at = -np.sqrt(max(points[-1, -2] * (1 + 1e-15) - gamma, 0))
        cold = points[-1, -1] == 0
        gap = 1 - points[:, -1] * points[:, 2] - points[:, 1]
        x = np.where(np.isnan(points[:, 3]), points[min(1, len(points) - 1), 3], points[:, 3])
        values = [np.log(gap) if cold else gap, np.log(points[:, 2]), np.log(x), erfinv(points[:, 0] / self._size)]
        gap, C, x, y = (PchipInterpolator(share, value)(at) for value in values)
        gap = np.exp(gap) if cold else max(gap, 1e-12)
        T = points[-1, -1]
        return np.array([self._size * erf(y), 1 - T * np.exp(C) - gap, np.exp(C), np.exp(x), gamma, T])


def take(found: Saddles, index) -> Saddles:
    """Some of the saddles."""
    return Saddles(*(item.rows(index) if isinstance(item, Point) else item[index] for item in found))


def replaced(found: Saddles, index, part: Saddles) -> Saddles:
    """`found` with the rows `index` taken from `part`."""
    def put(whole, new):
        whole = whole.copy()
        whole[index] = new
        return whole

    return Saddles(*(Point(*map(put, whole, new)) if isinstance(whole, Point) else put(whole, new)
                     for whole, new in zip(found, part, strict=True)))


def resolved(found: Saddles, shift: float = 2e-5) -> np.ndarray:
    """Whether Newton's method found a saddle with two levels, for each point. shift: largest one, relative."""
    with np.errstate(invalid="ignore"):
        return (found.residual < 1e-10) & (found.shift < shift) & (np.diff(found.q, axis=1)[:, 0] > _RESOLVED)
