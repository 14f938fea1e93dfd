"""The methods of `hebb.theory.Dense` with ansatz = "1RSB": arguments are checked, results are records."""

from __future__ import annotations

import math

import numpy as np

from ..errors import NoSolution, ParameterError
from .base import Boundary, ComplexityCurve, Curve, Solution
from .branches import Branches
from .continuation import invert_line
from .parisi import Point
from .records import as_one_step, boundary, broken_solution, solution
from .rsb_lines import OneStep, StepStates
from .saddle_sets import resolved
from .solver import bracketed_root

__all__ = ["DenseOneStep"]


class DenseOneStep:
    """1RSB results of one network. dense: the replica-symmetric ones (`hebb.theory.Dense`), which hold where the levels
    merge."""

    def __init__(self, dense):
        self.dense = dense
        self.branches: Branches = dense.branches
        self.lines = OneStep(self.branches)
        self._glass = self.lines.glass

    # ---- points ------------------------------------------------------------------------------------------------------

    def solve(self, gamma: float, temperature: float, branch: str) -> Solution:
        if branch == "paramagnet" or gamma == 0:
            return as_one_step(self.dense.solve(gamma, temperature, branch=branch))
        points = np.array([gamma]), np.array([temperature])
        if branch == "glass":
            self._require_glass(gamma, temperature)
            return self._record(branch, self.lines.glass_states(*points))
        states = self.lines.retrieval_states(*points, whole=False)
        if states.lost[0]:
            self._not_found(gamma, temperature)
        if not states.broken.size and np.isnan(states.symmetric.free_energy[0]):
            try:
                end = self.spinodal(temperature)
            except NoSolution as error:
                self._no_retrieval(gamma, str(error))
            if gamma > end.gamma:
                self._no_retrieval(gamma, f"temperature = {temperature:.10g}: the retrieval branch (1RSB) ends at gamma = "
                                          f"{end.gamma:.10g} at this temperature")
            if gamma == end.gamma:
                return end.solution
        return self._record(branch, states)

    def curve(self, temperature: float, branch: str, gamma) -> Curve:
        T = np.full(gamma.size, temperature)
        states = (self.lines.retrieval_states if branch == "retrieval" else self.lines.glass_states)(gamma, T)
        fields = ("m", "n", "q", "C", "free_energy", "entropy", "energy", "replicon", "residual")
        values = {name: states.value(name) for name in fields}
        kept = np.isfinite(values["C"]) & ~states.lost
        return Curve(branch, "1RSB", temperature, gamma[kept], **{name: value[kept] for name, value in values.items()})

    def complexity(self, gamma: float, temperature: float, x) -> ComplexityCurve:
        """See `Dense.complexity`. Starts from the stationary state (theta = 1 above the static line), outwards in x."""
        parisi, seed = self.lines.parisi, self._seed(gamma, temperature)
        equations = ("q0", "C") if seed.q[0, 0] > 0 else ("C",)
        states = np.full((x.size, 6), np.nan)                  # f, complexity, q0, q1, replicon, x of the last step
        for side in (1, -1):
            point, order = seed, np.argsort(side * x)
            for k in order[side * x[order] >= side * seed.x[0, 0] * (1 if side > 0 else 1 - 1e-15)]:
                steps = max(1, math.ceil(abs(math.log(x[k] / point.x[0, 0])) / 0.1))
                for step in np.geomspace(point.x[0, 0], x[k], steps + 1)[1:]:
                    found = parisi.solve(point._replace(x=np.array([[step]])), unknowns=equations, equations=equations)
                    # q1 grows with x along the branch; a jump is another one
                    rise = side * (found.q[0, 1] - 1 + float(point.temperature[0] * point.C[0]))
                    if not resolved(found, 1e-6)[0] or not -1e-12 <= rise < 0.15:
                        break
                    point = found.point
                else:
                    # with x prescribed df/dx = complexity/x^2: the states selected have d(x f)/dx = f + complexity/x
                    sigma = found.complexity[0]
                    states[k] = found.free_energy[0] + sigma / step, sigma, *found.q[0], found.replicon[0], step
                    continue
                break
        return ComplexityCurve(gamma, temperature, x, *states.T[:5])

    def _seed(self, gamma, temperature) -> Point:
        onset = float(self._glass.onset_temperature(gamma))
        if temperature < onset:
            states = self.lines.glass_states(np.array([gamma]), np.array([temperature]))
            if states.broken.size:
                return states.saddles.point
        elif self._glass.discontinuous and temperature <= (top := self._marginal_temperature("dynamic", gamma)):
            return self._glass.frozen_state(gamma, min(temperature, top * (1 - 1e-12)))
        raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: no 1RSB glass states; they exist below "
                         f"temperature = {self._end_of_glass(gamma):.10g} at this gamma")

    def _end_of_glass(self, gamma) -> float:
        if self._glass.discontinuous:
            return self._marginal_temperature("dynamic", gamma)
        return float(self._glass.onset_temperature(gamma))

    def _marginal_temperature(self, kind, gamma) -> float:
        return float(self._glass.marginal(kind, gamma).point.temperature[0])

    def _record(self, branch, states: StepStates) -> Solution:
        if states.broken.size:
            return broken_solution(branch, states.saddles)
        return as_one_step(solution(branch, states.symmetric), found=not states.lost[0])

    def _require_glass(self, gamma, temperature):
        onset = float(self._glass.onset(np.float64(temperature)))
        if gamma <= onset:
            raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the 1RSB glass exists for gamma > "
                             f"{onset:.10g} at this temperature, and below temperature = "
                             f"{float(self._glass.onset_temperature(gamma)):.10g} at this gamma")

    def _not_found(self, gamma, temperature):
        """Raises NoSolution: there is a replica-symmetric state, but it is none of this ansatz, nor was one found."""
        pieces = self.lines.pieces(temperature)
        if pieces and gamma > max(high for _, high in pieces):
            end = max(high for _, high in pieces)
            raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the retrieval branch (1RSB) ends at "
                             f"gamma = {end:.10g} at this temperature")
        loads = " and ".join(f"[{low:.10g}, {high:.10g}]" for low, high in pieces)
        raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the replica-symmetric state is unstable and "
                         f"no 1RSB state was found here; at this temperature retrieval states were found for gamma in "
                         f"{loads or 'no range'}")

    def _no_retrieval(self, gamma, why):
        try:
            other = f"up to temperature = {self.spinodal_temperature(gamma).temperature:.10g}"
        except NoSolution:
            other = "at no temperature"
        raise NoSolution(f"gamma = {gamma:.10g}, {why}; at this gamma it exists {other}")

    # ---- lines -------------------------------------------------------------------------------------------------------

    def spinodal(self, temperature: float) -> Boundary:
        self.dense.spinodal(temperature)                        # NoSolution above the highest temperature of retrieval
        end, left, found = self.lines.end(temperature)
        if not found:
            raise NoSolution(f"temperature = {temperature:.10g}: the 1RSB branch was lost before its end, beyond gamma = "
                             f"{float(end.gamma if isinstance(end, Solution) else end.point.gamma[0]):.10g}; change "
                             "temperature a little")
        state = as_one_step(end) if isinstance(end, Solution) else broken_solution("retrieval", end, marginal=True)
        return boundary("spinodal", state, left)

    def spinodal_temperature(self, gamma: float) -> Boundary:
        if gamma == 0:
            symmetric = self.dense.spinodal_temperature(0.0)
            return boundary("spinodal", as_one_step(symmetric.solution), symmetric.residual)
        temperature = self.lines.spinodal_temperature(gamma)
        if temperature is None:
            raise NoSolution(f"gamma = {gamma:.10g}: no retrieval at any temperature; its 1RSB spinodal lies at gamma = "
                             f"{self.spinodal(0.0).gamma:.10g} at temperature = 0")
        end = self.spinodal(temperature)
        return boundary("spinodal", end.solution, end.gamma - gamma, gamma=gamma)

    def transition(self, temperature: float) -> Boundary:
        end = self.spinodal(temperature).gamma
        loads, left = self.lines.transition_loads(np.array([temperature]))
        gamma = float(loads[0])
        if gamma == math.inf:
            raise NoSolution(f"temperature = {temperature:.10g}: retrieval is the lowest state up to its spinodal at "
                             f"gamma = {end:.10g}")
        if math.isnan(gamma):
            raise NoSolution(f"temperature = {temperature:.10g}: retrieval is metastable at every gamma; it is the "
                             f"lowest state below temperature = {self.branches.top_transition:.10g} (at gamma = 0)")
        return self._crossing(gamma, temperature, float(left[0]))

    def transition_temperature(self, gamma: float) -> Boundary:
        if gamma == 0:
            symmetric = self.dense.transition_temperature(0.0)
            return boundary("transition", as_one_step(symmetric.solution), symmetric.residual,
                            other=as_one_step(symmetric.other))
        line = self.branches.transition_line
        top = invert_line(self.branches.clipped_transition_loads, line, gamma)
        if top is not None:
            # retrieval and paramagnet, both replica symmetric: nothing is broken
            state = self.dense.solve(gamma, top)
            if state.replicon > 0 and gamma <= self._glass.onset(top) and gamma <= self.branches.glass.onset(np.float64(top)):
                return self._crossing(gamma, top, 0.0)

        def excess(T, _=None):
            loads, _ = self.lines.transition_loads(T)
            return np.nan_to_num(np.minimum(loads, self.lines.spinodal_loads(T))) - gamma

        T = self.branches.top_transition * np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0])
        above = np.append(excess(T[:-1]) >= 0, False)
        if not above.any():
            raise NoSolution(f"gamma = {gamma:.10g}: retrieval is the lowest 1RSB state at no temperature; at temperature "
                             f"= 0 it is up to gamma = {self.transition(0.0).gamma:.10g}")
        k = int(np.flatnonzero(above)[-1])
        high = T[k + 1] if k + 2 < T.size else T[k + 1] * (1 - 1e-6)
        root = bracketed_root(excess, T[k], high, tolerance=1e-13)
        return self._crossing(gamma, float(root[0]), None)

    def _crossing(self, gamma, temperature, left) -> Boundary:
        retrieval = self.solve(gamma, temperature, "retrieval")
        frozen = gamma > self._glass.onset(np.float64(temperature))
        other = self.solve(gamma, temperature, "glass" if frozen else "paramagnet")
        return boundary("transition", retrieval, retrieval.free_energy - other.free_energy, other=other)

    def glass_temperature(self, gamma: float, kind: str) -> Boundary:
        if not self._glass.discontinuous:
            reason = "its glass is continuous, use kind = 'continuous'"
            if self.branches.law.p_body > 2 and self.branches.law.p_body % 2:
                reason = "its random-field term leaves no paramagnet with q = 0"
            raise ParameterError(f"kind = {kind!r} does not apply to {self.dense!r}: {reason}; it applies where the glass "
                                 "appears with a jump of q1 (distinct indices with P >= 3, naive ones with even P >= 6)")
        if gamma == 0:
            raise NoSolution("gamma = 0: there is no glass without load; take gamma > 0")
        if kind != "gardner":
            saddles = self._glass.marginal(kind, gamma)
            state = broken_solution("glass", saddles, marginal=True)
            return boundary(kind, state, self._glass.line_error({"static": "glass", "dynamic": "glass_dynamic"}[kind]))
        scale = self._glass.gardner[0]
        if math.isnan(scale):
            raise NoSolution(f"gamma = {gamma:.10g}: the replicon of the glass is positive at all temperatures that were "
                             "searched, from 0.001 times the static one")
        state = self.solve(gamma, scale * math.sqrt(gamma), "glass")
        return boundary("gardner", state, state.replicon)
