"""The glass with one step of replica symmetry breaking, and the temperatures at which it appears and breaks further.

P >= 3: the free energy is homogeneous, f(gamma, T) = sqrt(gamma) f(1, T/sqrt(gamma)), so every temperature scales as
sqrt(gamma). For distinct indices q_0 = 0: the levels are one glassy state (q_1) among many without overlap. theta = x T
rises from 0 to 1 with temperature; where it reaches 1 (static line) the states stop dominating the paramagnet, and up to
the dynamic line they exist with a positive complexity. P = 2 and naive even P have a continuous glass with q_0 > 0.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from .branches import Branches
from .nested import nested_averages
from .parisi import Parisi, Point, Saddles
from .saddle_sets import replaced, resolved, take
from .solver import bracketed_root

__all__ = ["BrokenGlass"]


class BrokenGlass:
    """Glass states (n = 0) of one law with theta <= 1 and df/dx = 0."""

    def __init__(self, branches: Branches, parisi: Parisi):
        self.branches, self.parisi, self.noise = branches, parisi, branches.equations.noise
        self._hopfield = branches.law.p_body == 2
        self.random_field = not self._hopfield and self.noise.g(0.0, 1) > 0

    # ---- lines, gamma = 1 for P >= 3 ---------------------------------------------------------------------------------

    def frozen(self, width):
        """(T, q, complexity) at theta = 1, gamma = 1, q_0 = 0 for widths s_1/T: explicit, P >= 3 without random field."""
        width = np.atleast_1d(np.asarray(width, float))
        zero = np.zeros(width.size)
        spin = nested_averages(zero[:, None], np.ones(1), np.stack([zero, width], axis=1), np.ones((width.size, 1)),
                               zero + 1)
        q = spin.Q[:, 1]
        T = np.sqrt(self.noise.g(q, 1) / 2) / width
        point = Point.of(0.0, zero[:, None], spin.C / T, 1 / T[:, None], 1.0, T)
        values = self.parisi.evaluate(point)
        return T, q, values.x_slope[:, 0] / T**2

    @cached_property
    def _widths(self):
        """(width of the dynamic line, of the static line), None where the glass sets in continuously."""
        if self._hopfield or self.random_field:
            return None
        width = np.geomspace(0.02, 60, 240)
        T = self.frozen(width)[0]
        top = int(np.argmax(T))
        if top == 0:
            return None
        dynamic = bracketed_root(self._rise, width[top - 1], width[top + 1], tolerance=1e-13)[0]
        beyond = width[top:]
        sign = self.frozen(beyond)[2] < 0
        first = int(np.argmax(sign))
        static = bracketed_root(lambda width, _: self.frozen(width)[2], max(beyond[first - 1], dynamic), beyond[first],
                                tolerance=1e-13)[0]
        return float(dynamic), float(static)

    @property
    def discontinuous(self) -> bool:
        """Whether q_1 jumps where the glass appears: then there are a static and a dynamic line."""
        return self._widths is not None

    def marginal(self, kind: str, gamma: float) -> Saddles:
        """The theta = 1 state on the static or dynamic line."""
        dynamic, static = self._widths
        T, q, _ = self.frozen(static if kind == "static" else dynamic)
        point = Point.of(0.0, [[0.0]], (1 - q) / T / math.sqrt(gamma), 1 / T[:, None] / math.sqrt(gamma), gamma,
                         T * math.sqrt(gamma))
        # stationary in x on the static line; on the dynamic line q_1 is a fold in T at x = 1/T
        return self.parisi.solve(point, unknowns=("C",), equations=("C",), iterations=1)

    def frozen_state(self, gamma: float, temperature: float) -> Point:
        """The theta = 1 state between the dynamic line and T = 0 (wide branch)."""
        wanted = temperature / math.sqrt(gamma)
        dynamic = self._widths[0]
        width = bracketed_root(lambda width, _: self.frozen(width)[0] - wanted, dynamic, 60.0, tolerance=1e-13)
        T, q, _ = self.frozen(width)
        return Point.of(0.0, [[0.0]], (1 - q) / temperature, [[1 / temperature]], gamma, temperature)

    def line_error(self, kind: str) -> float:
        """What should vanish on a line: the complexity (static, "glass"), d ln(T)/d ln(width) (dynamic), the replicon."""
        if not self.discontinuous:
            return 0.0
        if kind == "glass":
            return abs(float(self.frozen(self._widths[1])[2][0]))
        if kind == "glass_dynamic":
            return abs(float(self._rise(np.array(self._widths[0]))[0]))
        return self.gardner[1]

    def _rise(self, width, _=None, h=1e-3):
        """d ln(T)/d ln(width) on the theta = 1 branch, differences of fourth order."""
        up, down, far_up, far_down = (np.log(self.frozen(width * (1 + k * h))[0]) for k in (1, -1, 2, -2))
        return (8 * (up - down) - (far_up - far_down)) / (12 * h)

    @cached_property
    def gardner(self) -> tuple[float, float]:
        """(T, replicon there) where the replicon of the glass vanishes at gamma = 1; NaN if it never does."""
        def replicon(T, _=None):
            return self.solve(np.ones(T.size), T).replicon

        T = self._reduced_onset * np.concatenate([np.geomspace(1e-3, 0.1, 8), np.linspace(0.15, 0.999, 12)])
        value = replicon(T)
        edges = np.flatnonzero((value[:-1] < 0) & (value[1:] >= 0))
        if not edges.size:
            return math.nan, math.nan
        T = bracketed_root(replicon, T[edges[-1]], T[edges[-1] + 1], tolerance=1e-14)
        return float(T[0]), abs(float(replicon(T)[0]))

    @cached_property
    def _reduced_onset(self) -> float:
        if self.random_field:
            return math.inf
        if self.discontinuous:
            return float(self.frozen(self._widths[1])[0][0])
        return math.sqrt(self.noise.g(0.0, 2) / 2)

    def onset_temperature(self, gamma):
        """T below which the glass exists at this load (array); infinite with a random field."""
        gamma = np.asarray(gamma, float)
        if self._hopfield:
            return np.array([self.branches.glass.onset_temperature(float(g)) for g in gamma.ravel()]).reshape(gamma.shape)
        return self._reduced_onset * np.sqrt(gamma)

    def onset(self, temperature):
        """The load above which the glass exists at this temperature (array)."""
        if self._hopfield:
            return self.branches.glass.onset(temperature)
        return (np.asarray(temperature, float) / self._reduced_onset) ** 2

    # ---- states ------------------------------------------------------------------------------------------------------

    def solve(self, gamma, temperature) -> Saddles:
        """The states at arrays of points below the onset, followed in T from T = 0; judge them by `rsb.resolved`.

        Cost: 0.01 s per point at T = 0, 0.1 s at T > 0.
        """
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        scale = np.ones(gamma.size) if self._hopfield else np.sqrt(gamma)
        load = gamma if self._hopfield else np.ones(gamma.size)
        goal = temperature / scale
        point = self._cold_start(load)
        state = self._newton(point)
        end = self.onset_temperature(load)
        reach = np.where(np.isfinite(end), end, 1.0)
        T, share, previous = np.zeros(gamma.size), np.full(gamma.size, 0.25), state.point
        while (going := np.flatnonzero((T < goal) & (share > 0.02))).size:
            room = reach[going] if self.discontinuous or self.random_field else end[going] - T[going]
            new = np.minimum(T[going] + share[going] * room, goal[going])
            found = self._newton(self._predicted(state.point.rows(going), previous.rows(going), new))
            good = resolved(found, 1e-3) & (np.abs(found.q[:, 1] - state.q[going, 1]) < 0.5)
            share[going[~good]] /= 2
            kept = going[good]
            previous = Point(**{name: _with(getattr(previous, name), kept, getattr(state.point, name))
                                               for name in Point._fields})
            state = replaced(state, kept, take(found, good))
            T[kept] = new[good]
        state = self._lost(state, T < goal)
        root = scale[:, None]
        q = state.point
        final = Point(q.nt, q.q, q.C / scale, q.x / root, gamma, temperature)
        return self._newton(final)

    def _newton(self, point: Point) -> Saddles:
        """Newton's method with q_0 an unknown where it is positive; one that falls to 0 is put there."""
        states = None
        free = point.q[:, 0] > 0
        for rows in (np.flatnonzero(free), np.flatnonzero(~free)):
            if not rows.size:
                continue
            part = self.parisi.solve(point.rows(rows))
            if states is None:
                states = Saddles(*(Point(*(np.empty((point.C.size, *a.shape[1:])) for a in item)) if isinstance(item, Point)
                                   else np.empty((point.C.size, *item.shape[1:]), item.dtype) for item in part))
            states = replaced(states, rows, part)
        fell = np.flatnonzero(free & (states.q[:, 0] < 1e-6))
        if fell.size and self.discontinuous:
            now = point.rows(fell)
            states = replaced(states, fell, self.parisi.solve(now._replace(q=np.zeros_like(now.q))))
        return states

    def _lost(self, state: Saddles, rows) -> Saddles:
        """NaN where the branch could not be followed to its temperature."""
        return state._replace(point=state.point._replace(C=np.where(rows, np.nan, state.point.C)))

    def _cold_start(self, load) -> Point:
        """Close to the T = 0 state. P = 2: from the limits alpha -> 0 and alpha -> infinity (SK)."""
        if self._hopfield:
            C = np.sqrt(2 / np.pi) / (np.sqrt(2 / np.pi) + np.sqrt(load * self.noise.total))
            left = (1 - C) * (1 + C * (0.68 + 0.62 * C))
            q = 0.477 + 0.1 * C
            x = C * (0.85 - 0.2 * C) * left / (1 - q)
            return Point.of(0.0, q[:, None], 1 - left, x[:, None], load, 0.0)
        size = math.sqrt(self.noise.g(1.0, 0))
        power = self.branches.law.p_body
        q = 0.0 if self.branches.law.hamiltonian == "distinct" else 0.45
        C = max(0.1 / size, 1e-9) if power < 7 else 0.1 * math.exp(-0.6 * (power - 3))
        return Point.of(0.0, np.full((load.size, 1), q), C, [[1.5 / size]], load, 0.0)

    def _predicted(self, now: Point, previous: Point, temperature) -> Point:
        """Linear in T for q_0, 1 - q_1 = T C and x."""
        past = now.temperature - previous.temperature
        share = np.divide(temperature - now.temperature, past, out=np.zeros_like(past), where=past > 0)
        x = now.x * np.clip(now.x / previous.x, 0.5, 2) ** share[:, None]
        C = now.C * np.clip(now.C / previous.C, 0.3, 3) ** share
        q = now.q + share[:, None] * (now.q - previous.q)
        top = 1 - temperature * C
        C = np.where(top > now.q[:, 0], C, (1 - now.q[:, 0]) / np.maximum(temperature, 1e-300) * 0.9)
        top = (1 - temperature * C)[:, None]
        q = np.where(now.q == 0, 0.0, np.clip(q, 0.05 * top, 0.9 * top))
        return Point(now.nt, q, C, x, now.gamma, temperature)


def _with(old, rows, new):
    """`old` with some rows as in `new`."""
    out = old.copy()
    out[rows] = new[rows]
    return out
