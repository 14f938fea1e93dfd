"""Replica-symmetric retrieval states of one dense network as records: by point and name, and the loads at which they end."""

from __future__ import annotations

import math

import numpy as np

from ..errors import NoSolution
from .base import Boundary, Solution
from .branches import Branches
from .continuation import invert_line
from .records import boundary, solution
from .segments import Segment, Segments

__all__ = ["RetrievalStates"]


class RetrievalStates:
    """The methods of `hebb.theory.Dense` about retrieval with ansatz = "RS"; arguments are in range already."""

    def __init__(self, branches: Branches):
        self.branches = branches
        self._segments: dict[float, Segments] = {}

    def at(self, temperature: float) -> Segments:
        """The stretches of retrieval at one temperature, kept for reuse."""
        if temperature not in self._segments:
            if len(self._segments) >= 4096:
                self._segments.clear()
            self._segments[temperature] = self.branches.retrieval.segments(temperature)
        return self._segments[temperature]

    def part(self, temperature: float, branch: str) -> Segment:
        """The stretch of one name. Raises NoSolution where no state has it."""
        segments = self.at(temperature)
        if segments.rank(branch)[0] < 0:
            count = int(segments.count[0])
            names = ", ".join(segments.name(rank, count) for rank in range(count))
            known = f"retrieval states there: {names}" if names else self.without_end(temperature)
            raise NoSolution(f"branch = {branch!r}, temperature = {temperature:.10g}: no such state at any gamma; {known}")
        return segments.named(branch)

    def solve(self, gamma: float, temperature: float, branch: str) -> Solution:
        segments = self.at(temperature)
        gammas, temperatures = np.array([gamma]), np.array([temperature])
        if branch == "retrieval":
            self._require(gamma, temperature)
            part = segments.end
        else:
            part = self.part(temperature, branch)
            start, end = part.gamma_start[0], part.gamma[0]
            if not start <= gamma <= end:
                raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the {branch} state exists from "
                                 f"gamma = {start:.10g} to {end:.10g} at this temperature")
        if gamma == part.gamma[0]:
            return self._marginal(branch, part.n, part.C, gammas, temperatures)
        if gamma > 0 and branch != "retrieval" and gamma == part.gamma_start[0]:
            return self._marginal(branch, part.n_start, part.C_start, gammas, temperatures)
        return solution(branch, self.branches.states(branch, gammas, temperatures, segments))

    def states(self, gamma: float, temperature: float) -> tuple[Solution, ...]:
        segments = self.at(temperature)
        count = int(segments.count[0])
        names = [segments.name(rank, count) for rank, part in enumerate(segments.parts[:count])
                 if gamma == 0 and rank == 0 or part.holds(np.array([gamma]))[0]]
        return tuple(self.solve(gamma, temperature, name) for name in names)

    def spinodal(self, temperature: float, branch: str) -> Boundary:
        segments = self.at(temperature)
        if np.isnan(segments.end.gamma[0]):
            raise NoSolution(f"temperature = {temperature:.10g}: {self.without_end(temperature)}")
        end = segments.end if branch == "retrieval" else self.part(temperature, branch)
        return boundary("spinodal", self._marginal(branch, end.n, end.C, end.gamma, temperature), end.left[0])

    def onset(self, temperature: float, branch: str) -> Boundary:
        part = self.part(temperature, branch)
        state = self._marginal(branch, part.n_start, part.C_start, part.gamma_start, temperature)
        return boundary("onset", state, part.left_start[0])

    def exchange(self, temperature: float) -> Boundary:
        segments = self.at(temperature)
        gamma = float(self.branches.exchange_loads(segments.temperature, segments)[0])
        if math.isnan(gamma):
            raise NoSolution(f"temperature = {temperature:.10g}: fewer than two retrieval states at this temperature, so that "
                             "none exchange; phase_diagram(...).lines['exchange'] shows where two stable ones do")
        high, low = self.states(gamma, temperature)[:2]
        return boundary("exchange", high, high.free_energy - low.free_energy, gamma=gamma, other=low)

    def highest_temperature(self, gamma: float) -> float:
        """The highest temperature of the spinodal at load gamma > 0. Raises NoSolution beyond its largest load."""
        line = self.branches.spinodal_line
        temperature = invert_line(self.branches.spinodal_loads, line, gamma)
        if temperature is None:
            best = int(np.argmax(line.gamma))
            raise NoSolution(f"gamma = {gamma:.10g}: no retrieval at any temperature; its spinodal reaches gamma = "
                             f"{line.gamma[best]:.10g} at temperature = {line.temperature[best]:.6g}")
        return temperature

    def without_end(self, temperature: float) -> str:
        """Why retrieval has no end in gamma at this temperature."""
        limit = self.branches.retrieval.start_temperature
        if temperature >= limit:
            return f"no retrieval at any gamma; it exists below temperature = {limit:.10g}, where it ends at gamma = 0"
        return "retrieval has no fold at this temperature: it fades into the states without retrieval; change temperature"

    def _marginal(self, branch, n, C, gamma, temperature) -> Solution:
        """The state on one end of a stretch."""
        return solution(branch, self.branches.equations.states(n, C, gamma, temperature), marginal=True)

    def _require(self, gamma: float, temperature: float):
        """Raises NoSolution, with the nearest points where there is retrieval, if there is none here."""
        segments, limit = self.at(temperature), self.branches.retrieval.start_temperature
        if segments.exists(np.array([gamma]))[0] or gamma == 0 and temperature < limit:
            return
        end = segments.end.gamma[0]
        if np.isnan(end):
            where = self.without_end(temperature)
        elif gamma > end:
            where = f"the retrieval branch ends at gamma = {end:.10g} at this temperature"
        else:
            loads = " and ".join(f"[{part.gamma_start[0]:.10g}, {part.gamma[0]:.10g}]"
                                 for part in segments.parts[:int(segments.count[0])])
            where = f"the retrieval states at this temperature exist for gamma in {loads}"
        try:
            other = f"up to temperature = {self.highest_temperature(gamma):.10g}"
            line = self.branches.spinodal_line
            if gamma > line.gamma[0]:
                bottom = invert_line(self.branches.spinodal_loads, line, gamma, lowest=True)
                other = f"from temperature = {bottom:.10g} {other}"
        except NoSolution:
            other = "at no temperature"
        raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: {where}; "
                         f"at this gamma it exists {other}")
