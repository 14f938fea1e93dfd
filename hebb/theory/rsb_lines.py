"""One step of replica symmetry breaking for all branches of a dense network: states, and the lines between phases."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from .branches import Branches, TracedLine
from .continuation import invert_line
from .parisi import Parisi, Point, Saddles
from .records import solution
from .replica_symmetric import States
from .rsb import BrokenRetrieval
from .rsb_glass import BrokenGlass
from .rsb_onset import APART, COLD
from .saddle_sets import resolved, take
from .solver import bracketed_root

__all__ = ["OneStep", "StepStates"]

_LOWEST_LOAD = 1e-9        # of the spinodal load: where searches along gamma begin
_LOADS = 65                # between which the replicon of one stretch is looked at
_MARGINAL = 1e-3           # replicons that are negative by less do not tell levels apart
_ALONG = ("gamma", "q0", "C", "x1")
_BROKEN = ("nt", "q0", "C", "x1")


class StepStates(NamedTuple):
    """States of one branch at arrays of points: replica symmetric ones, and in the rows `broken` 1RSB ones instead.

    lost: bool, the levels are apart but the 1RSB state was not found.
    """

    symmetric: States
    broken: np.ndarray
    saddles: Saddles | None
    lost: np.ndarray

    def value(self, name: str) -> np.ndarray:
        """free_energy, m, n, replicon, ... of all points."""
        out = np.array(getattr(self.symmetric, name), float)
        if self.broken.size:
            item = {"q": lambda s: s.q[:, 1], "C": lambda s: s.point.C}.get(name, lambda s: getattr(s, name))
            out[self.broken] = item(self.saddles)
        return out


class OneStep:
    """1RSB states and lines of the law of `branches`. Points are 1-d arrays of one length."""

    def __init__(self, branches: Branches):
        self.branches = branches
        self.parisi = Parisi(branches.law, 1)
        self.retrieval = BrokenRetrieval(branches, self.parisi)
        self.glass = BrokenGlass(branches, self.parisi)
        self._hopfield = branches.law.p_body == 2

    # ---- states ------------------------------------------------------------------------------------------------------

    def retrieval_states(self, gamma, temperature, *, whole: bool = True) -> StepStates:
        """Retrieval; NaN beyond its spinodal. whole: False traces no further than to the loads asked for."""
        distinct, place = np.unique(temperature, return_inverse=True)
        reach = np.inf if whole else float(np.max(gamma))
        traces = self.retrieval.traces(distinct, reach)
        chosen = [traces[k] for k in place]
        rows, saddles = self.retrieval.solve(gamma, temperature, chosen)
        symmetric = self._symmetric(gamma, temperature, self.branches.retrieval.segments(distinct).rows(place))
        if self.retrieval.may_turn and rows.size:
            # where a replica-symmetric state is one too, the lower of the two
            kept = ~(self._holds(symmetric)[rows] & (symmetric.free_energy[rows] <= saddles.free_energy))
            rows, saddles = rows[kept], take(saddles, kept)
        near = [any(_close_to_begin(g, trace) for trace in some) for g, some in zip(gamma, chosen, strict=True)]
        # T = 0: the trace knows where the levels are told apart
        noise = self.branches.equations.noise
        quiet = noise.replicon_parts(symmetric.C, temperature, gamma, np.zeros_like(gamma))[0]
        with np.errstate(invalid="ignore"):
            merged = (temperature > 0) & (0.8 * temperature * symmetric.C * -symmetric.replicon < APART * quiet)
            inside = [not some or any(_clearly_inside(g, trace) for trace in some)
                      for g, some in zip(gamma, chosen, strict=True)]
            if self.retrieval.may_turn:
                lost = ~np.array(near, bool) & (temperature > COLD) & ~self._holds(symmetric) & ~merged
                lost &= np.isfinite(symmetric.C)
            else:
                lost = np.array(inside, bool) & (symmetric.replicon < -_MARGINAL) & ~merged
        lost[rows] = False
        return StepStates(_marginal_at_worst(symmetric, lost), rows, saddles if rows.size else None, lost)

    def _symmetric(self, gamma, temperature, segments) -> States:
        """The replica-symmetric state: with a dataset, of those that are stable the lowest in f, if there is one."""
        best = self.branches.states("retrieval", gamma, temperature, segments)
        if not self.retrieval.may_turn:
            return best
        for part in segments.parts:
            rows = np.flatnonzero(part.holds(gamma))
            if rows.size:
                n, C = self.branches.retrieval.on(part.rows(rows), gamma[rows], temperature[rows])
                other = self.branches.equations.states(n, C, gamma[rows], temperature[rows])
                old = States(*(item[rows] for item in best))
                better = self._holds(other) & (~self._holds(old) | (other.free_energy < old.free_energy))
                for item, new in zip(best, other, strict=True):
                    item[rows[better]] = new[better]
        return best

    def _holds(self, states: States) -> np.ndarray:
        """Whether replica-symmetric states are states of the ansatz: stable, and no broken one at their overlap."""
        nt = states.n * self.branches.equations.second_moment
        with np.errstate(invalid="ignore"):
            return (states.replicon > -_MARGINAL) & ~self.retrieval.replaces(nt, states.temperature)

    def glass_states(self, gamma, temperature, start: Point | None = None) -> StepStates:
        """The glass; replica symmetric where its two levels merge: close to a continuous onset (within 10 %, free
        energies then agree to 1e-7) and, with a random field, above the AT line of the glass."""
        symmetric = self.branches.states("glass", gamma, temperature)
        if self.glass.random_field and np.any(symmetric.replicon > 0):
            return self._partly_broken(symmetric)
        saddles = self.glass.solve(gamma, temperature) if start is None else self.parisi.solve(start)
        kept = resolved(saddles, 1e-4)
        if start is not None and not kept.all():
            return self.glass_states(gamma, temperature)
        rows = np.flatnonzero(kept)
        near = temperature > 0.85 * self.glass.onset_temperature(gamma)
        lost = ~kept & ~(near & (not self.glass.discontinuous)) & ~(symmetric.replicon > 0)
        return StepStates(symmetric, rows, take(saddles, rows) if rows.size else None, lost)

    def _partly_broken(self, symmetric: States) -> StepStates:
        """With a random field, the glass above its AT line is not broken."""
        rows = np.flatnonzero(~(symmetric.replicon > 0))
        lost = np.zeros(symmetric.gamma.size, bool)
        if not rows.size:
            return StepStates(symmetric, rows, None, lost)
        below = self.glass_states(symmetric.gamma[rows], symmetric.temperature[rows])
        lost[rows] = below.lost
        return StepStates(symmetric, rows[below.broken], below.saddles, lost)

    def other_energy(self, gamma, temperature, start: Point | None = None):
        """(f, points of the glass) of the best state without retrieval: the glass where it exists, else the paramagnet."""
        frozen = gamma > self.glass.onset(temperature)
        f = self.branches.states("paramagnet", gamma, temperature).free_energy
        rows = np.flatnonzero(frozen)
        if rows.size:
            f = np.where(frozen, np.nan, f)
            begin = None
            if start is not None:
                begin = start.rows(rows)._replace(gamma=gamma[rows], temperature=temperature[rows])
                if np.isnan(begin.C).any():
                    begin = None
            states = self.glass_states(gamma[rows], temperature[rows], begin)
            f[rows] = states.value("free_energy")
            points = np.full((gamma.size, 6), np.nan)
            if states.broken.size:
                points[rows[states.broken]] = states.saddles.point.columns()
            return f, Point.from_columns(points)
        return f, Point.from_columns(np.full((gamma.size, 6), np.nan))

    # ---- spinodal ----------------------------------------------------------------------------------------------------

    def spinodal_loads(self, temperature) -> np.ndarray:
        """gamma at the end of retrieval, NaN above its highest temperature and where the end was not found."""
        temperature = np.atleast_1d(np.asarray(temperature, float))
        if self.retrieval.may_turn:
            return np.array([self._last(T)[0] for T in temperature.tolist()])
        loads = self.branches.retrieval.segments(temperature).end.gamma.copy()
        for k, some in enumerate(self.retrieval.traces(temperature)):
            for trace in some:
                loads[k] = trace.points[-1, -2] if trace.ends else np.nan
        return loads

    def end(self, temperature: float):
        """(state, what is left of what should vanish there, found) at the end of retrieval: a `Solution` where it is
        replica symmetric, else saddles."""
        T = np.array([temperature])
        if self.retrieval.may_turn:
            gamma, piece = self._last(temperature)
            if isinstance(piece, States):
                fold = self.branches.retrieval.segments(T)
                left = min(min(abs(part.left[0]) for part in fold.parts if np.isfinite(part.gamma[0])
                               and part.gamma[0] == gamma) if any(part.gamma[0] == gamma for part in fold.parts)
                           else np.inf, abs(piece.replicon[0]))
                return solution("retrieval", piece, marginal=True), left, bool(np.isfinite(gamma))
            traces = () if piece is None else (piece,)
            if piece is None:
                return self._fold_of_symmetry(T)[0], np.nan, False
        else:
            traces = self.retrieval.traces(T)[0]
        if not traces:
            state, left = self._fold_of_symmetry(T)
            return state, left, state.replicon > -_MARGINAL
        trace = traces[0]
        saddles = self.parisi.solve(Point.from_columns(trace.points[-1:]), unknowns=_ALONG, equations=_BROKEN)
        error = self.retrieval.fold_error(trace) if trace.ends else 0.0
        return saddles, error, trace.ends or trace.closed

    def _fold_of_symmetry(self, temperature):
        fold = self.branches.retrieval.segments(temperature).end
        states = self.branches.equations.states(fold.n, fold.C, fold.gamma, temperature)
        return solution("retrieval", states, marginal=True), abs(fold.left[0])

    def _ends(self, temperature: float):
        """[(gamma_low, gamma_high, what is there)] of all stretches at one temperature: `States` of the end, or a trace."""
        found = []
        for part in self.branches.retrieval.segments(np.array([temperature])).parts:
            if np.isfinite(part.gamma[0]) and temperature > COLD:
                found += self._stable_ranges(part, temperature)
        return found + [(trace.gamma_start, float(trace.points[-1, -2]), trace)
                        for trace in self.retrieval.traces([temperature])[0]]

    def _stable_ranges(self, part, temperature: float):
        """[(gamma_low, gamma_high, `States` of the end)] where states of one stretch hold."""
        branches, T = self.branches, np.array([temperature])
        low, high = float(part.gamma_start[0]), float(part.gamma[0])

        def states(gamma):
            many = part.rows(np.zeros(gamma.size, int))
            there = np.full(gamma.size, temperature)
            return branches.equations.states(*branches.retrieval.on(many, gamma, there), gamma, there)

        share = np.linspace(0, 1, _LOADS)
        loads = low + (high - low) * share * (2 - share)
        loads[0] = max(low, _LOWEST_LOAD * high)
        last = branches.equations.states(part.n, part.C, part.gamma, T)

        def margin(found: States):
            return np.where(self.retrieval.replaces(found.n * branches.equations.second_moment, found.temperature), -1.0,
                            found.replicon)

        stable = np.append(margin(states(loads[:-1])) > 0, margin(last) > 0)
        change = np.flatnonzero(stable[1:] != stable[:-1])
        edges = bracketed_root(lambda gamma, _: margin(states(gamma)), loads[change], loads[change + 1])
        bounds = [*([low] if stable[0] else []), *edges, *([high] if stable[-1] else [])]
        return [(float(first), float(stop), last if stop == high else states(np.array([stop])))
                for first, stop in zip(bounds[::2], bounds[1::2], strict=True)]

    def pieces(self, temperature: float) -> list[tuple[float, float]]:
        """(low, high) loads of all stretches with a state that is stable in the ansatz."""
        return [(low, high) for low, high, _ in self._ends(temperature)]

    def _last(self, temperature: float):
        """(gamma, piece) of the stretch that reaches the largest load; (NaN, None) if there is none or its end was lost."""
        ends = self._ends(temperature)
        if not ends:
            return np.nan, None
        _, gamma, piece = max(ends, key=lambda item: item[1])
        if not isinstance(piece, States) and not (piece.ends or piece.closed):
            return np.nan, piece
        return gamma, piece

    def spinodal_temperature(self, gamma: float) -> float | None:
        """The highest temperature at which retrieval exists at this load, None if there is none."""
        symmetric = invert_line(self.branches.spinodal_loads, self.branches.spinodal_line, gamma)
        if symmetric is not None and not self.retrieval.traces([symmetric])[0]:
            return symmetric
        low = 0.0 if symmetric is None else symmetric
        T = np.linspace(low, 0.75 * self.branches.retrieval.start_temperature, 10)
        loads = np.nan_to_num(self.spinodal_loads(T))
        above = np.flatnonzero(loads >= gamma)
        if not above.size:
            return None
        k = above[-1]
        root = bracketed_root(lambda T, _: np.nan_to_num(self.spinodal_loads(T)) - gamma, T[k], T[k + 1], tolerance=1e-13)
        return float(root[0])

    # ---- transition --------------------------------------------------------------------------------------------------

    @cached_property
    def _glass_energy(self):
        """f of the glass at gamma = 1 against T, P >= 3 without random field: a spline through exact values and slopes."""
        T = np.linspace(0, float(self.glass.onset_temperature(1.0)) * (1 - 1e-6), 25)
        states = self.glass_states(np.ones(25), T)
        return CubicHermiteSpline(T, states.value("free_energy"), -states.value("entropy"), extrapolate=True)

    def _rough_gain(self, gamma, temperature):
        frozen = gamma > self.glass.onset(temperature)
        if self._hopfield or self.glass.random_field:
            f = self.branches.states("glass", gamma, temperature).free_energy
        else:
            f = np.sqrt(gamma) * self._glass_energy(temperature / np.sqrt(gamma))
        other = self.branches.states("paramagnet", gamma, temperature).free_energy
        return self.retrieval_states(gamma, temperature).value("free_energy") - np.where(frozen, f, other)

    def transition_loads(self, temperature):
        """(loads, residual free-energy difference): NaN where retrieval is never lowest, infinity where it is up to its
        spinodal."""
        temperature = np.atleast_1d(np.asarray(temperature, float))
        end = self.spinodal_loads(temperature)
        loads = np.full(temperature.size, np.nan)
        alive = np.flatnonzero(np.isfinite(end))
        if not alive.size:
            return loads, np.zeros(temperature.size)
        T, last = temperature[alive], end[alive]
        loads[alive] = np.exp(bracketed_root(lambda log, rows: self._rough_gain(np.exp(log), T[rows]),
                                             np.log(_LOWEST_LOAD * last), np.log(last * (1 - 1e-9)), tolerance=1e-5))
        unmet = alive[np.isnan(loads[alive])]
        if unmet.size:
            at_end = self._rough_gain(end[unmet] * (1 - 1e-9), temperature[unmet])
            loads[unmet[at_end < 0]] = np.inf
        left = np.zeros(temperature.size)
        met = np.flatnonzero(np.isfinite(loads))
        if met.size:
            loads[met], left[met] = self._refined(loads[met], temperature[met], end[met])
        return loads, left

    def _refined(self, gamma, temperature, end):
        """Secants on the exact difference of the free energies."""
        start: Point | None = None

        def gain(gamma):
            nonlocal start
            f, start = self.other_energy(gamma, temperature, start)
            return self.retrieval_states(gamma, temperature).value("free_energy") - f

        before = gamma
        value_before = gain(before)
        now = np.minimum(gamma * (1 + 1e-4), end * (1 - 1e-9))
        now = np.where(now == before, before * (1 - 1e-4), now)
        value = gain(now)
        for _ in range(12):
            if np.all(np.abs(value) < 1e-14):
                break
            with np.errstate(divide="ignore", invalid="ignore"):
                new = now - value * (now - before) / (value - value_before)
            new = np.where(np.isfinite(new), np.clip(new, 0.7 * now, np.minimum(1.3 * now, end)), now)
            if np.all(np.abs(new - now) < 1e-15 + 1e-14 * now):
                break
            before, value_before, now = now, value, new
            value = gain(now)
        return now, np.abs(value)

    # ---- lines of a phase diagram ------------------------------------------------------------------------------------

    def lines(self, low: float, high: float, gamma_max: float) -> dict[str, TracedLine]:
        """All lines between two temperatures. RS lines (named *_rs) and, where the replicon vanishes, 1RSB ones."""
        symmetric = self.branches.lines(low, high)
        lines = {f"{name}_rs" if name in ("spinodal", "transition") else name: line for name, line in symmetric.items()
                 if name != "glass" or self._hopfield}
        T = self.line_temperatures(low, high)
        loads = self.spinodal_loads(T)
        on = np.isfinite(loads) & (loads > 0)
        if on.any():
            points = np.column_stack([loads[on], T[on]])
            top = self.branches.retrieval.start_temperature
            if low <= top <= high:
                points = np.vstack([points, [0.0, top]])
            error = max(self.end(t)[1] for t in T[on])
            lines["spinodal"] = TracedLine(points, error)
        loads, left = self.transition_loads(T)
        on = np.isfinite(loads) & (loads > 0)
        if on.any():
            points = np.column_stack([loads[on], T[on]])
            if low <= self.branches.top_transition <= high:
                points = np.vstack([points, [0.0, self.branches.top_transition]])
            lines["transition"] = TracedLine(points, float(left[on].max()))
        return lines | self.glass_lines(low, high, gamma_max)

    def line_temperatures(self, low, high):
        """Where lines are traced: evenly, and denser where they bend, at their ends and near the AT line."""
        span = high - low
        ends = (self.branches.retrieval.start_temperature, self.branches.top_transition)
        T = [low + span * np.linspace(0, 1, 41), *(end * (1 - np.geomspace(1e-5, 0.02, 6)) for end in ends)]
        if self._hopfield:
            T.append(np.geomspace(1e-3, 0.03, 6))
        T = np.unique(np.concatenate(T))
        return T[(T >= low) & (T <= high)]

    def glass_lines(self, low, high, gamma_max) -> dict[str, TracedLine]:
        """T = const sqrt(gamma) for P >= 3 between two temperatures."""
        if self._hopfield or not math.isfinite(self.glass.onset_temperature(1.0)):
            return {}
        scales = {"glass": float(self.glass.onset_temperature(1.0))}
        if self.glass.discontinuous:
            scales["glass_dynamic"] = float(self.glass.marginal("dynamic", 1.0).point.temperature[0])
            scales["gardner"] = self.glass.gardner[0]
        lines = {}
        for name, scale in scales.items():
            top = min(high, scale * math.sqrt(gamma_max))
            if math.isfinite(scale) and top >= low:
                T = np.unique(np.linspace(low, top, 81))
                lines[name] = TracedLine(np.column_stack([(T / scale) ** 2, T]), self.glass.line_error(name))
        return lines


def _marginal_at_worst(states: States, lost) -> States:
    """States whose levels are too close to be told apart: marginal, as the 1RSB state is there to this precision."""
    near = ~lost & (states.temperature > 0) & (states.gamma > 0) & (states.replicon < 0)
    return states._replace(replicon=np.where(near, 0.0, states.replicon))


def _close_to_begin(gamma, trace) -> bool:
    """Whether the load lies beside the AT point that a stretch begins at, or its merging end, levels close."""
    end, width = trace.points[-1, -2], 3e-3 * (trace.points[-1, -2] - trace.gamma_start)
    at_begin = trace.merged is not None and abs(gamma - trace.gamma_start) <= width
    return bool(at_begin or (trace.closed and abs(gamma - end) <= width))


def _clearly_inside(gamma, trace) -> bool:
    """Whether the load lies far enough from the AT point for the levels to be told apart."""
    end = trace.points[-1, -2]
    return trace.gamma_start + 3e-3 * (end - trace.gamma_start) < gamma <= end
