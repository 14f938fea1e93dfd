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
from .rsb_onset import COLD, Onset
from .rsb_paths import turns, whole
from .saddle_sets import joined, replaced, resolved, take
from .solver import bracketed_root

__all__ = ["BrokenRetrieval", "Trace"]

_ROUNDING = 1e-14         # of the load on a fold, relative
_STEP = 0.12              # of the control parameter y, nt = E|u| erf(y)
_LARGEST_Y = 3.5          # beyond, nt is too close to E|u| to control anything
_TRIES = 7                # of shorter steps
_FACTORS = (1.0, 0.77, 1.3, 0.6, 1.6, 0.4, 2.2)      # of the first guess of a gap
_AT_NT = ("nt", "q0", "C", "x1")
_ALONG = ("gamma", "q0", "C", "x1")


class Trace(NamedTuple):
    """A broken stretch of the retrieval branch at one temperature, from the AT point (T = 0: from merged levels) on, or
    from a minimum of the load.

    gamma increases along `points` (columns as in `Parisi.names`), whose last row is the fold, or, if the branch was
    wanted up to a load only, lies beyond that load. slope: d ln(gamma)/d nt at the fold, NaN without one.
    """

    start: float                   # y of its begin, nt = E|u| erf(y)
    gamma_start: float
    merged: np.ndarray | None      # the AT point, with x = NaN; None if T = 0 or if its load is too small to be found
    points: np.ndarray
    slope: float
    highest: float = np.inf        # of nt on it
    closed: bool = False           # it ends without a fold where levels merge or theta = 1

    @property
    def ends(self) -> bool:
        return np.isfinite(self.slope)

    def ends_at(self, gamma) -> bool:
        """Whether this load is that of the fold, to rounding."""
        return bool(self.ends and abs(gamma - self.points[-1, -2]) <= _ROUNDING * gamma)


class BrokenRetrieval:
    """Retrieval with n > 0 and q_0 < q_1, of one law."""

    def __init__(self, branches: Branches, parisi: Parisi):
        self.branches, self.parisi = branches, parisi
        self.onset = Onset(branches, parisi)
        self.size = self._size = branches.equations.mean_size
        self.resolved, self.extrapolated = resolved, self._extrapolated
        self._traces: dict[float, Trace | None] = {}
        self._several: dict[float, tuple[Trace, ...]] = {}
        self._covered: dict[float, list[tuple[float, float]]] = {}

    @property
    def may_turn(self) -> bool:
        """Whether the load may turn more than once along the branch: with a dataset."""
        return self.branches.law.rho > 0

    # ---- the broken part ---------------------------------------------------------------------------------------------

    def traces(self, temperature, up_to=np.inf) -> list[tuple[Trace, ...]]:
        """The broken stretches of each temperature, empty where retrieval is replica symmetric up to its spinodal. Kept.

        up_to: no further than the first point beyond this load (without a dataset). Cost of one temperature: 0.3 s at
        T > 0, 0.15 s at T = 0; with a dataset three times that, with exact M times the number of different |u|.
        """
        temperature = np.atleast_1d(np.asarray(temperature, float))
        if not self.may_turn:
            return [() if trace is None else (trace,) for trace in self._first_traces(temperature, up_to)]
        if len(self._several) > 4096:
            self._several.clear()
            self._covered.clear()
        for T in temperature.tolist():
            if T not in self._several:
                self._several[T] = self._stretches(T)
        return [self._several[T] for T in temperature.tolist()]

    def replaces(self, nt, temperature) -> np.ndarray:
        """Whether replica-symmetric states of these overlaps are none, since 1RSB ones with theta < 1 exist there."""
        found = np.zeros(nt.size, bool)
        if self.may_turn:
            self.traces(np.unique(temperature))
            for T in np.unique(temperature).tolist():
                for low, high in self._covered[T]:
                    found |= (temperature == T) & (nt >= low) & (nt <= high)
        return found

    def at_overlap(self, table) -> Saddles:
        """Saddles at prescribed nt, with the load as an unknown, from rows of first guesses."""
        return self.parisi.solve(Point.from_columns(table), unknowns=_ALONG, equations=_AT_NT, iterations=30)

    def begun(self, top, bottom, temperature, merged) -> list[np.ndarray]:
        """The first points of the branch that leaves the AT point at y = top continuously; empty if none is found."""
        T, start = np.array([temperature]), np.array([min(top, _LARGEST_Y)])
        path, = self._march(T, start, np.array([max(top - bottom, 1e-3)]), 0.0, [[]], [merged])
        return [] if path and path[-1][3] * temperature > 1 else path

    def _stretches(self, temperature: float) -> tuple[Trace, ...]:
        """All stretches of one temperature on which the load rises."""
        branch = self.branches.retrieval
        T = np.array([temperature])
        parts = branch.segments(T).parts
        start, ends = float(parts[0].y_start[0]), [float(part.y[0]) for part in parts if np.isfinite(part.y[0])]
        if not np.isfinite(start):
            self._covered[temperature] = []
            return ()
        walks = whole(self, start, float(branch.window(T)[0][0]), ends, temperature)
        self._covered[temperature] = [one.reach for one in walks]
        found = []
        for points, merged, closed in walks:
            ends = turns(self, points) if len(points) > 1 else []
            cuts = [(-1, None, np.nan), *ends, (len(points) - 1, None, np.nan)]
            for (k, first, _), (stop, last, slope) in zip(cuts[:-1], cuts[1:], strict=True):
                rows = [*([] if first is None else [first]), *points[k + 1:stop + 1], *([] if last is None else [last])]
                if len(rows) < 2 or rows[-1][-2] < rows[0][-2]:
                    continue
                begin = merged if first is None and merged is not None else None
                y = float(erfinv((rows[0] if begin is None else begin)[0] / self._size))
                load = rows[0][-2] if begin is None else begin[-2]
                if first is None and begin is None and temperature <= COLD:
                    load = 0.0                                     # T = 0: levels merge exponentially
                highest = np.inf if load == 0 else (rows[0] if begin is None else begin)[0]
                found.append(Trace(y, float(load), begin, np.array(rows), slope, highest, last is None and closed))
        return tuple(found)

    def _first_traces(self, temperature, up_to) -> list[Trace | None]:
        """The stretch that leaves the AT point, up to its first fold; None where there is none."""
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
        folds = self.branches.retrieval.segments(temperature).parts[0]
        known = [self._traces.get(T) for T in temperature.tolist()]
        y_at = np.array([np.nan if trace is None else trace.start for trace in known])
        new = np.flatnonzero(np.isnan(y_at))
        if new.size:
            y_at[new] = self.onset.at_points(temperature[new], folds.rows(new))
        traces: list[Trace | None] = [None] * temperature.size
        rows = np.flatnonzero(np.isfinite(y_at))
        if not rows.size:
            return traces
        T, start = temperature[rows], y_at[rows]
        # spins of u = 0 are broken down to the smallest loads
        deep = (start > _LARGEST_Y) & (self.branches.equations.dataset.undecided > 0)
        start = np.where(deep | (T <= COLD), np.minimum(start, _LARGEST_Y), start)
        edge = self.onset.merged(start, T)
        merged = [at if warm else None for at, warm in zip(edge, (T > COLD) & ~deep, strict=True)]
        begun = [[] if known[row] is None else list(known[row].points) for row in rows]
        paths = self._march(T, start, start - erfinv(folds.n[rows] / self._size), up_to, begun, merged)
        turned = [k for k, path in enumerate(paths) if len(path) > 1 and path[-1][-2] < max(p[-2] for p in path)]
        turned += [k for k, path in enumerate(paths) if len(path) > 1 and k not in turned
                   and self.slope(path[-1][None])[0] > 0]
        ends = self._folds([paths[k] for k in turned], [merged[k] for k in turned]) if turned else []
        slopes = np.full(rows.size, np.nan)
        for k, (end, slope) in zip(turned, ends, strict=True):
            if np.isnan(slope):
                continue
            paths[k] = [p for p in paths[k] if p[0] > end[0]] + [end]
            slopes[k] = slope
        for k, row in enumerate(rows):
            if paths[k]:
                gamma_start = 0.0 if deep[k] else edge[k, -2]
                traces[row] = Trace(y_at[row], gamma_start, merged[k], np.array(paths[k]), slopes[k])
        return traces

    def _march(self, T, start, reach, up_to, paths, merged):
        """Points (rows of columns) of each branch away from its start, the last one beyond the fold or the load.

        paths: the points that are known of each, which are gone on from; merged: its AT point or None.
        """
        y = np.array([erfinv(path[-1][0] / self._size) if path else at for path, at in zip(paths, start, strict=True)])
        step = np.where(T > 0, np.minimum(_STEP, np.maximum(0.4 * reach, 1e-3)), _STEP)
        tries, going = np.zeros(T.size, int), list(range(T.size))
        while going:
            wanted = y[going] - step[going]
            guess = self.onset.emerging(wanted, T[going])[0].columns()
            for k, row in enumerate(going):
                known = _with_start(merged[row], paths[row])
                if paths[row] and len(known) > 1:
                    guess[k] = self._extrapolated(np.array(known[-3:]), wanted[k])
            guess[:, 0] = self._size * erf(wanted)
            found = self.parisi.solve(Point.from_columns(guess), unknowns=_ALONG, equations=_AT_NT, iterations=30)
            table, good = found.point.columns(), resolved(found)
            still = []
            for k, row in enumerate(going):
                path = paths[row]
                if not good[k] and not path:
                    wanted[k], table[k], good[k] = self._seed(start[row], T[row], step[row])
                    tries[row] = _TRIES
                if good[k] and (not path or abs(np.log(table[k, -2] / path[-1][-2])) < 0.5):
                    past = table[k, -2] < path[-1][-2] if path else self.slope(table[k:k + 1])[0] > 0
                    path[:] = self._back(merged[row], table[k], start[row]) if past and not path else [*path, table[k]]
                    y[row], step[row] = wanted[k], min(1.5 * step[row], _STEP)
                    tries[row] = 0
                    if not past and table[k, -2] < up_to:
                        still.append(row)
                elif tries[row] < _TRIES:
                    tries[row] += 1
                    step[row] *= 0.3
                    still.append(row)
            going = still
        return paths

    def _seed(self, start, temperature, step):
        """(y, point, found) of the branch not far from its start, by many first guesses of the gap at several distances."""
        factor = np.array(_FACTORS)
        for share in 2.0 ** np.arange(6):
            y = start - step * share
            guess = self.onset.emerging(np.full(factor.size, y), np.full(factor.size, temperature), factor)[0]
            found = self.parisi.solve(guess, unknowns=_ALONG, equations=_AT_NT, iterations=30)
            good = resolved(found)
            k = int(np.argmax(good))
            if good[k]:
                return y, found.point.columns()[k], True
        return y, found.point.columns()[k], False

    def _back(self, merged, beyond, y_start):
        """Path to a point beyond the fold from between it and the AT point; empty if the fold is where levels merge."""
        path = [beyond]
        for _ in range(8):
            y = (y_start + erfinv(path[0][0] / self._size)) / 2
            guess = self._extrapolated(np.array(_with_start(merged, path[:2])), y)
            guess[0] = self._size * erf(y)
            found = self.parisi.solve(Point.from_columns(guess[None]), unknowns=_ALONG, equations=_AT_NT)
            if not resolved(found)[0]:
                return []
            path.insert(0, found.point.columns()[0])
            if self.slope(path[0][None])[0] < 0:
                return path
        return []

    def _extrapolated(self, table, y):
        """The point at y on the parabola through the last points: q_1 - q_0 (T = 0: its logarithm), logarithms of the rest.

        The first point may be an AT point, whose x is taken from the next one.
        """
        cold = table[-1, -1] <= COLD
        gap = 1 - table[:, -1] * table[:, 2] - table[:, 1]
        x = np.where(np.isnan(table[:, 3]), table[min(1, len(table) - 1), 3], table[:, 3])
        known = erfinv(table[:, 0] / self._size)
        values = np.column_stack([np.log(gap) if cold else gap, np.log(table[:, 2]), np.log(x), np.log(table[:, 4])])
        weights = np.array([np.prod([(y - other) / (one - other) for other in known if other != one]) for one in known])
        gap, C, x, gamma = weights @ values
        gap = np.exp(gap) if cold else max(gap, 1e-12)
        return np.array([0.0, 1 - table[-1, -1] * np.exp(C) - gap, np.exp(C), np.exp(x), np.exp(gamma), table[-1, -1]])

    def _folds(self, paths, merged):
        """(point, slope) of the maximum of gamma near the end of each path: root of d ln(gamma)/d nt."""
        slopes = np.split(self.slope(np.concatenate(paths)), np.cumsum([len(path) for path in paths])[:-1])
        first = [max(int(np.argmax(slope > 0)), 1) for slope in slopes]
        before, after = np.array([(path[k - 1][0], path[k][0]) for path, k in zip(paths, first, strict=True)]).T
        ends = [np.array(_with_start(at, path[:k + 1])[-3:])
                for at, path, k in zip(merged, paths, first, strict=True)]

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
        base = self.parisi.scaled(table, columns)
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
                trials.append(self.parisi.with_unknowns(table, columns, moved))
        out = self.parisi.relative_residual(np.concatenate(trials), _AT_NT).reshape(5, 4, len(table), 4)
        for c in columns:
            jacobian[:, :, c] = sum(w * o for w, o in zip(weights, out[c], strict=True)) / (12 * h * scale[:, c])[:, None]
        result = np.full(len(table), np.nan)
        for k, j in enumerate(jacobian):
            if np.isfinite(j).all():
                result[k] = np.linalg.solve(j[:, 1:], -j[:, 0])[-1]
        return result

    # ---- points ------------------------------------------------------------------------------------------------------

    def solve(self, gamma, temperature, traces) -> tuple[np.ndarray, Saddles | None]:
        """(indices, saddles) of the points at which retrieval is broken; the stretches of its temperature per point.

        The lowest in f where several exist. NaN, by `resolved`, where Newton's method did not find the branch.
        """
        parts = [self._on(gamma, [some[k] if k < len(some) else None for some in traces])
                 for k in range(max(map(len, traces), default=0))]
        parts = [(rows, saddles) for rows, saddles in parts if rows.size]
        if len(parts) < 2:
            return parts[0] if parts else (np.empty(0, int), None)
        rows = np.concatenate([part for part, _ in parts])
        saddles = joined([part for _, part in parts])
        order = np.lexsort((saddles.free_energy, rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        return rows[first], take(saddles, first)

    def _on(self, gamma, traces) -> tuple[np.ndarray, Saddles | None]:
        """`solve` with one stretch per point, or None."""
        rows = np.array([k for k, trace in enumerate(traces) if trace is not None
                         and trace.gamma_start < gamma[k] <= trace.points[-1, -2] * (1 + _ROUNDING)], int)
        if not rows.size:
            return rows, None
        found = None
        starts = np.array([self._start(gamma[k], traces[k]) for k in rows])
        lowest = np.array([traces[k].points[-1, 0] for k in rows]) - 1e-9
        highest = np.array([traces[k].highest for k in rows]) + 1e-9
        left = np.arange(rows.size)
        for factor in _FACTORS:
            guess = starts[left].copy()
            guess[:, 1] += (1 - factor) * (1 - guess[:, -1] * guess[:, 2] - guess[:, 1])
            part = self.parisi.solve(Point.from_columns(guess), unknowns=_AT_NT, equations=_AT_NT)
            found = part if found is None else replaced(found, left, part)
            # on the fold itself the load determines nothing
            on_fold = np.array([traces[rows[k]].ends_at(gamma[rows[k]]) for k in left])
            inside = (part.point.nt > lowest[left]) & (part.point.nt < highest[left])
            left = left[~(resolved(part) & inside) | on_fold]
            if not left.size or on_fold.all():
                break
        for row in left:
            part = self._degenerate(gamma[rows[row]], traces[rows[row]])
            if part is not None:
                found, left = replaced(found, np.array([row]), part), left[left != row]
        kept = np.setdiff1d(np.arange(rows.size), left)
        return rows[kept], take(found, kept)

    def _degenerate(self, gamma, trace) -> Saddles | None:
        """The state between the AT point and the first point of the trace, by a search in y, or on the fold; None if lost.

        Close to the AT point Newton's method at fixed load stalls (its equations become degenerate), not at fixed nt.
        """
        if trace.ends_at(gamma):
            return self.parisi.solve(Point.from_columns(trace.points[-1:]), unknowns=_ALONG, equations=_AT_NT)
        if trace.merged is None or not gamma < trace.points[0, -2]:
            return None
        known = [trace.points[0]]
        y_at = erfinv(trace.merged[0] / self._size)

        def solved(y):
            guess = self._extrapolated(np.array([trace.merged, *known[:2]]), y)
            guess[0] = self._size * erf(y)
            return self.parisi.solve(Point.from_columns(guess[None]), unknowns=_ALONG, equations=_AT_NT)

        while known[0][-2] > gamma:
            part = solved((y_at + erfinv(known[0][0] / self._size)) / 2)
            if not resolved(part, 1e-4)[0] or len(known) > 12:
                return None
            known.insert(0, part.point.columns()[0])
        ends = [erfinv(point[0] / self._size) for point in known[:2]]
        y = bracketed_root(lambda y, _: solved(y[0]).point.gamma - gamma, *ends, tolerance=1e-15)
        part = solved(y[0])
        if not resolved(part, 1e-4)[0]:
            return None
        return part._replace(point=part.point._replace(gamma=np.array([gamma])))

    def _start(self, gamma, trace):
        """A point near the branch at this load, by interpolation in the square root of the distance to the end."""
        points, T = trace.points, trace.points[-1, -1]
        if trace.merged is None and gamma < points[0, -2]:
            # spins of u = 0 only: 1/C and x follow the width of the noise, the levels stay
            nt, q0, C, x, load = points[0, :5]
            scale = np.sqrt(load / gamma)
            return np.array([nt, q0, C * scale, x * scale, gamma, T])
        if trace.merged is not None:
            points = np.vstack([trace.merged, points])
        share = -np.sqrt(np.maximum(points[-1, -2] * (1 + 1e-15) - points[:, -2], 0))
        at = -np.sqrt(max(points[-1, -2] * (1 + 1e-15) - gamma, 0))
        cold = points[-1, -1] <= COLD
        gap = 1 - points[:, -1] * points[:, 2] - points[:, 1]
        x = np.where(np.isnan(points[:, 3]), points[min(1, len(points) - 1), 3], points[:, 3])
        values = [np.log(gap) if cold else gap, np.log(points[:, 2]), np.log(x), erfinv(points[:, 0] / self._size)]
        gap, C, x, y = (PchipInterpolator(share, value)(at) for value in values)
        gap = np.exp(gap) if cold else max(gap, 1e-12)
        return np.array([self._size * erf(y), 1 - T * np.exp(C) - gap, np.exp(C), np.exp(x), gamma, T])


def _with_start(merged, path):
    return list(path) if merged is None else [merged, *path]
