"""All branches of one dense network together: states and lines for many temperatures at once."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..params import DenseLaw
from .continuation import Line, RetrievalBranch, trace_line
from .glass import GlassBranch
from .replica_symmetric import ReplicaSymmetric, States
from .segments import RETRIEVAL_NAMES, Segment, Segments
from .solver import bracketed_root

__all__ = ["Branches", "TracedLine"]

_LOWEST_LOAD = 1e-9        # of the spinodal load: where searches along gamma begin
_VANISHED = 1e-6           # replicon of an AT point
_INNER = ("exchange", "exchange_low", *(f"{name}_{kind}" for name in RETRIEVAL_NAMES[1:] for kind in ("onset", "end")))


class TracedLine(NamedTuple):
    """Points (n, 2) with columns gamma, temperature, and the largest error of what vanishes on the line."""

    points: np.ndarray
    residual: float


class Branches:
    """The saddle points of a `DenseLaw` and the lines on which they end, cross or lose stability.

    Points are 1-d arrays of one length; `segments` belongs to the temperatures beside it, element by element.
    """

    def __init__(self, law: DenseLaw):
        self.law = law
        self.equations = ReplicaSymmetric(law)
        self.retrieval = RetrievalBranch(self.equations)
        self.glass = GlassBranch(self.equations)

    def states(self, branch, gamma, temperature, segments: Segments | None = None) -> States:
        """States of a branch at arrays of points; NaN where it does not exist.

        segments: `self.retrieval.segments(temperature)`, needed for retrieval only.
        """
        n = np.zeros(gamma.size)
        if branch in RETRIEVAL_NAMES:
            n, C = self.retrieval.solve(gamma, temperature, segments, branch)
        elif branch == "glass":
            C = self.glass.solve(gamma, temperature)
        else:
            C = np.divide(1, temperature, out=np.full(gamma.size, np.inf), where=temperature > 0)
            C = np.where((gamma > 0) & (C >= self.equations.noise.response_limit), np.nan, C)
        return self.equations.states(n, C, gamma, temperature)

    def gain(self, gamma, temperature, segments: Segments):
        """f(retrieval) - f(best state without retrieval: the glass where it exists, else the paramagnet)."""
        n, C = self.retrieval.solve(gamma, temperature, segments)
        other = self.glass.solve(gamma, temperature)
        none = np.isnan(other)
        other[none] = 1 / temperature[none]
        return (self.equations.free_energy(n, C, gamma, temperature)
                - self.equations.free_energy(0.0, other, gamma, temperature))

    def transition_loads(self, temperature, segments: Segments):
        """Loads of the transition for an array of temperatures.

        NaN where retrieval is metastable at every load, infinity where it is the lowest state up to its spinodal.
        """
        end = segments.end.gamma
        loads = bracketed_root(lambda gamma, rows: self.gain(gamma, temperature[rows], segments.rows(rows)),
                               _LOWEST_LOAD * end, end)
        unmet = np.flatnonzero(np.isnan(loads) & np.isfinite(end))
        if unmet.size:
            at_end = self.gain(end[unmet], temperature[unmet], segments.rows(unmet))
            loads[unmet[at_end < 0]] = np.inf
        return loads

    def transition_error(self, gamma, temperature, segments: Segments):
        """|f difference| at points of the transition.

        Where the RS glass appears with a free energy already below retrieval, the transition is its onset and the
        difference jumps: there the distance to the onset counts.
        """
        return np.minimum(np.abs(self.gain(gamma, temperature, segments)), np.abs(gamma - self.glass.onset(temperature)))

    def replicon(self, gamma, temperature, segments: Segments | None = None, branch="retrieval"):
        """Replicon of retrieval at arrays of points."""
        segments = self.retrieval.segments(temperature) if segments is None else segments
        return self.states(branch, gamma, temperature, segments).replicon

    def frozen_at_temperature(self, gamma):
        """The AT temperature if the state were that of T = 0: its scale, and its limit at small load."""
        zero = np.zeros(1)
        n, C = self.retrieval.solve(gamma, zero, self.retrieval.segments(zero))
        D = self.equations.averages(n, C, gamma, zero).D
        quiet, drop = self.equations.noise.replicon_parts(C, 0.0, gamma, D)
        return float((drop / quiet)[0])

    # ---- lines gamma(T) ----------------------------------------------------------------------------------------------

    def spinodal_loads(self, temperature):
        """gamma at the spinodal, 0 above the highest temperature of retrieval."""
        return np.nan_to_num(self.retrieval.segments(temperature).end.gamma)

    def clipped_transition_loads(self, temperature):
        """gamma at the transition; the spinodal where retrieval is lowest up to it, 0 where it is never lowest."""
        segments = self.retrieval.segments(temperature)
        return np.nan_to_num(np.minimum(self.transition_loads(temperature, segments), segments.end.gamma))

    @cached_property
    def spinodal_line(self) -> Line:
        return trace_line(self.spinodal_loads, self.retrieval.start_temperature)

    @cached_property
    def transition_line(self) -> Line:
        return trace_line(self.clipped_transition_loads, self.top_transition)

    @cached_property
    def transition_v(self) -> float:
        """h/T at u = 1 and gamma = 0 where retrieval and paramagnet have equal free energies (P = 2: 0, at T = 1)."""
        if self.law.p_body == 2:
            return 0.0

        def gain(v, _=None):
            """[f(retrieval) - f(paramagnet)]/T: v n (P-1)/P - E ln cosh(v u)."""
            average = self.retrieval.low_load(v)
            n = self.equations.mean_size - average.loss
            return (1 - 1 / self.law.p_body) * v * n - (average.L - math.log(2))

        v = self.retrieval.start_v * np.geomspace(1, 1e3, 400)
        lower = int(np.argmax(gain(v) < 0))
        if lower == 0:                                # the lowest state up to the end of the branch
            return self.retrieval.start_v
        return float(bracketed_root(gain, v[lower - 1], v[lower])[0])

    @cached_property
    def top_transition(self) -> float:
        """The temperature at which the transition reaches gamma = 0."""
        return float(self.low_load_state(self.transition_v).temperature[0])

    def low_load_state(self, v: float) -> States:
        """The gamma = 0 retrieval state with h/T = v u, at the temperature at which it is one."""
        temperature = float(self.retrieval.start_line(v))
        average = self.retrieval.low_load(v)
        return self.equations.states(self.equations.mean_size - average.loss, average.C / temperature, 0.0, temperature)

    def exchange_loads(self, temperature, segments: Segments, upper: int = 0):
        """Loads at which two neighbouring stretches have equal free energy; NaN where there is no second one.

        upper: place of the one of larger overlap. Each is the lower one up to its side of the line (first order).
        """
        loads = np.full(temperature.size, np.nan)
        if upper + 1 >= len(segments.parts):
            return loads
        pair = segments.parts[upper:upper + 2]

        def difference(gamma, rows):
            first, second = (self.equations.free_energy(*self.retrieval.on(part.rows(rows), gamma, temperature[rows]), gamma,
                                                        temperature[rows]) for part in pair)
            return first - second

        both = np.flatnonzero(np.isfinite(pair[1].gamma))
        low, high = pair[1].gamma_start[both], np.minimum(pair[0].gamma, pair[1].gamma)[both]
        loads[both] = bracketed_root(lambda gamma, rows: difference(gamma, both[rows]), low, high)
        return loads

    def lines(self, low: float, high: float) -> dict[str, TracedLine]:
        """The lines of a phase diagram between two temperatures, traced at temperatures of their own.

        These lie denser towards T = 0 (where the AT line of P = 2 hides) and towards the ends at gamma = 0.
        """
        ends = {"spinodal": self.retrieval.start_temperature, "transition": self.top_transition}
        span = high - low
        temperature = np.concatenate([low + span * np.linspace(0, 1, 81), low + span * np.geomspace(1e-4, 0.01, 9),
                                      *(end * (1 - np.geomspace(1e-6, 0.02, 9)) for end in ends.values())])
        temperature = np.unique(temperature[(temperature >= low) & (temperature <= high)])
        segments = self.retrieval.segments(temperature)
        outer = segments.end
        transitions = self.transition_loads(temperature, segments)
        at = self.at_loads(outer, temperature)
        # name: (loads, what is left at some of the points of what should vanish there)
        traced = {
            "spinodal": (outer.gamma, lambda on: outer.left[on]),
            "transition": (transitions, lambda on: self.transition_error(transitions[on], temperature[on],
                                                                         segments.rows(on))),
            "glass": (self.glass.onset(temperature), lambda on: self.glass.onset_error(temperature[on])),
            "at": (at, lambda on: self._replicon_on(outer.rows(on), at[on], temperature[on])),
        } | self._inner_lines(temperature, segments)
        lines = {}
        for name, (loads, left) in traced.items():
            on = np.flatnonzero(np.isfinite(loads) & (loads > 0))
            if on.size:
                points = np.column_stack([loads, temperature])
                if name in _INNER:
                    points[~(loads > 0)] = np.nan            # a gap, not a chord between two stretches of the line
                    points = points[on[0]:on[-1] + 1]
                else:
                    points = points[on]
                if low <= ends.get(name, -1.0) <= high:
                    points = np.vstack([points, [0.0, ends[name]]])
                lines[name] = TracedLine(points, float(np.max(np.abs(left(on)))))
        return lines

    def _replicon_on(self, part: Segment, gamma, temperature):
        return self.equations.states(*self.retrieval.on(part, gamma, temperature), gamma, temperature).replicon

    def at_loads(self, part: Segment, temperature):
        """Where the replicon vanishes on a stretch; NaN where it does not, or only in the rounding at an end."""
        loads = bracketed_root(lambda gamma, rows: self._replicon_on(part.rows(rows), gamma, temperature[rows]),
                               np.maximum(part.gamma_start, _LOWEST_LOAD * part.gamma), part.gamma)
        met = np.flatnonzero(np.isfinite(loads))
        if met.size:
            left = self._replicon_on(part.rows(met), loads[met], temperature[met])
            loads[met[~(np.abs(left) < _VANISHED)]] = np.nan
        return loads

    def _inner_lines(self, temperature, segments: Segments):
        """Where stretches begin and end inside the retrieval region, and where two exchange: as in `lines`.

        Only where replica symmetry is stable on the line: elsewhere such stretches need not be states.
        """
        lines = {}
        several = segments.count > 1
        for name in RETRIEVAL_NAMES[1:]:
            part = segments.named(name)
            for kind, loads, n, C, left in (("onset", part.gamma_start, part.n_start, part.C_start, part.left_start),
                                            ("end", part.gamma, part.n, part.C, part.left)):
                inner = several & (loads > 0) & (loads < segments.end.gamma)
                lines[f"{name}_{kind}"] = (self._where_stable(inner, n, C, loads, temperature),
                                           lambda on, left=left: left[on])
        for name, upper in (("exchange", 0), ("exchange_low", 1)):
            loads, gap = self.exchange_loads(temperature, segments, upper), np.zeros(temperature.size)
            on = np.flatnonzero(np.isfinite(loads))
            if on.size:
                pair = [self.retrieval.on(part.rows(on), loads[on], temperature[on])
                        for part in segments.parts[upper:upper + 2]]
                first, second = (self.equations.states(*state, loads[on], temperature[on]) for state in pair)
                gap[on] = first.free_energy - second.free_energy
                loads[on] = np.where((first.replicon > 0) & (second.replicon > 0), loads[on], np.nan)
            lines[name] = loads, lambda on, gap=gap: gap[on]
        return lines

    def _where_stable(self, rows, n, C, gamma, temperature):
        """The loads in these rows whose states have a positive replicon, NaN elsewhere."""
        loads, rows = np.full(gamma.size, np.nan), np.flatnonzero(rows)
        if rows.size:
            replicon = self.equations.states(n[rows], C[rows], gamma[rows], temperature[rows]).replicon
            loads[rows] = np.where(replicon > 0, gamma[rows], np.nan)
        return loads
