"""All branches of one dense network together: states and lines for many temperatures at once."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..params import DenseLaw
from .continuation import Fold, Line, RetrievalBranch, trace_line
from .glass import GlassBranch
from .replica_symmetric import ReplicaSymmetric, States
from .solver import bracketed_root

__all__ = ["Branches", "TracedLine"]

_LOWEST_LOAD = 1e-9        # of the spinodal load: where searches along gamma begin


class TracedLine(NamedTuple):
    """Points (n, 2) with columns gamma, temperature, and the largest error of what vanishes on the line."""

    points: np.ndarray
    residual: float


class Branches:
    """The saddle points of a `DenseLaw` and the lines on which they end, cross or lose stability.

    Points are 1-d arrays of one length; `folds` belongs to the temperatures beside it, element by element.
    """

    def __init__(self, law: DenseLaw):
        self.law = law
        self.equations = ReplicaSymmetric(law)
        self.retrieval = RetrievalBranch(self.equations)
        self.glass = GlassBranch(self.equations)

    def states(self, branch, gamma, temperature, folds: Fold | None = None) -> States:
        """States of a branch at arrays of points; NaN where it does not exist.

        folds: `self.retrieval.fold(temperature)`, needed for retrieval only.
        """
        n = np.zeros(gamma.size)
        if branch == "retrieval":
            n, C = self.retrieval.solve(gamma, temperature, folds)
        elif branch == "glass":
            C = self.glass.solve(gamma, temperature)
        else:
            C = np.divide(1, temperature, out=np.full(gamma.size, np.inf), where=temperature > 0)
            C = np.where((gamma > 0) & (C >= self.equations.noise.response_limit), np.nan, C)
        return self.equations.states(n, C, gamma, temperature)

    def gain(self, gamma, temperature, folds: Fold):
        """f(retrieval) - f(best state without retrieval: the glass where it exists, else the paramagnet)."""
        n, C = self.retrieval.solve(gamma, temperature, folds)
        other = self.glass.solve(gamma, temperature)
        none = np.isnan(other)
        other[none] = 1 / temperature[none]
        return (self.equations.free_energy(n, C, gamma, temperature)
                - self.equations.free_energy(0.0, other, gamma, temperature))

    def transition_loads(self, temperature, folds: Fold):
        """Loads of the transition for an array of temperatures.

        NaN where retrieval is metastable at every load, infinity where it is the lowest state up to its spinodal.
        """
        loads = bracketed_root(lambda gamma, rows: self.gain(gamma, temperature[rows], folds.rows(rows)),
                               _LOWEST_LOAD * folds.gamma, folds.gamma)
        unmet = np.flatnonzero(np.isnan(loads) & np.isfinite(folds.gamma))
        if unmet.size:
            at_end = self.gain(folds.gamma[unmet], temperature[unmet], folds.rows(unmet))
            loads[unmet[at_end < 0]] = np.inf
        return loads

    def transition_error(self, gamma, temperature, folds: Fold):
        """|f difference| at points of the transition.

        Where the RS glass appears with a free energy already below retrieval, the transition is its onset and the
        difference jumps: there the distance to the onset counts.
        """
        return np.minimum(np.abs(self.gain(gamma, temperature, folds)), np.abs(gamma - self.glass.onset(temperature)))

    def replicon(self, gamma, temperature, folds: Fold | None = None):
        """Replicon of retrieval at arrays of points."""
        folds = self.retrieval.fold(temperature) if folds is None else folds
        return self.states("retrieval", gamma, temperature, folds).replicon

    def frozen_at_temperature(self, gamma):
        """The AT temperature if the state were that of T = 0: its scale, and its limit at small load."""
        zero = np.zeros(1)
        n, C = self.retrieval.solve(gamma, zero, self.retrieval.fold(zero))
        D = self.equations.averages(n, C, gamma, zero).D
        quiet, drop = self.equations.noise.replicon_parts(C, 0.0, gamma, D)
        return float((drop / quiet)[0])

    # ---- lines gamma(T) ----------------------------------------------------------------------------------------------

    def spinodal_loads(self, temperature):
        """gamma at the spinodal, 0 above the highest temperature of retrieval."""
        return np.nan_to_num(self.retrieval.fold(temperature).gamma)

    def clipped_transition_loads(self, temperature):
        """gamma at the transition; the spinodal where retrieval is lowest up to it, 0 where it is never lowest."""
        folds = self.retrieval.fold(temperature)
        return np.nan_to_num(np.minimum(self.transition_loads(temperature, folds), folds.gamma))

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

    def lines(self, low: float, high: float) -> dict[str, TracedLine]:
        """The lines of a phase diagram between two temperatures, traced at temperatures of their own.

        These lie denser towards T = 0 (where the AT line of P = 2 hides) and towards the ends at gamma = 0.
        """
        ends = {"spinodal": self.retrieval.start_temperature, "transition": self.top_transition}
        span = high - low
        temperature = np.concatenate([low + span * np.linspace(0, 1, 81), low + span * np.geomspace(1e-4, 0.01, 9),
                                      *(end * (1 - np.geomspace(1e-6, 0.02, 9)) for end in ends.values())])
        temperature = np.unique(temperature[(temperature >= low) & (temperature <= high)])
        folds = self.retrieval.fold(temperature)
        transitions = self.transition_loads(temperature, folds)
        at = bracketed_root(lambda gamma, rows: self.replicon(gamma, temperature[rows], folds.rows(rows)),
                            _LOWEST_LOAD * folds.gamma, folds.gamma)
        lines = {}
        for name, loads in (("spinodal", folds.gamma), ("transition", transitions),
                            ("glass", self.glass.onset(temperature)), ("at", at)):
            on = np.flatnonzero(np.isfinite(loads) & (loads > 0))
            if on.size:
                error = self._line_error(name, loads[on], temperature[on], folds.rows(on))
                points = np.column_stack([loads[on], temperature[on]])
                if low <= ends.get(name, -1.0) <= high:
                    points = np.vstack([points, [0.0, ends[name]]])
                lines[name] = TracedLine(points, float(np.max(error)))
        return lines

    def _line_error(self, name, gamma, temperature, folds):
        """Size of what should vanish at points of a line."""
        if name == "spinodal":
            return np.abs(folds.determinant)
        if name == "transition":
            return self.transition_error(gamma, temperature, folds)
        if name == "at":
            return np.abs(self.replicon(gamma, temperature, folds))
        return self.glass.onset_error(temperature)
