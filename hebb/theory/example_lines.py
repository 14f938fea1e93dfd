"""States that follow one example as points, and the lines that they have in a phase diagram."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..errors import NoSolution, ParameterError
from .base import Boundary
from .branches import Branches, TracedLine
from .example_branch import ExampleBranch
from .example_response import example_response
from .example_states import ExampleState, ExampleStates
from .records import LINE_TOLERANCE, SHIFT_TOLERANCE, TOLERANCE, boundary, solution
from .solver import bracketed_root

__all__ = ["ExampleLines"]

_GRID = 128           # points of the retrieval branch on which x = 1 is looked for
_LOADS = 24           # loads between which a crossing of free energies is looked for


class ExampleLines:
    """`Dense.examples`: replica-symmetric states that follow one example of the condensed pattern, and where they end.

    law: unsupervised with n_examples > 1 and r < 1; otherwise methods raise ParameterError (no such states).
    """

    def __init__(self, branches: Branches):
        self.branches = branches

    @cached_property
    def _branch(self) -> ExampleBranch:
        return ExampleBranch(self.branches)

    @property
    def exist(self) -> bool:
        """Whether the law of the network has single examples at all."""
        law = self.branches.law
        return law.protocol == "unsupervised" and law.n_examples is not None and law.n_examples > 1 and law.r < 1

    def require(self) -> None:
        """Raise ParameterError for a law without single examples."""
        law = self.branches.law
        if law.protocol != "unsupervised":
            raise ParameterError(f"protocol = {law.protocol!r} has no states that follow one example; use 'unsupervised'")
        if law.n_examples is None:
            raise ParameterError(f"rho = {law.rho:.6g}: states that follow one example depend on their number; give r and "
                                 "n_examples instead of rho")
        if not self.exist:
            raise ParameterError(f"r = {law.r:.6g}, n_examples = {law.n_examples}: all examples are one pattern, stored by "
                                 "itself; use branch = 'retrieval'")

    # ---- points ------------------------------------------------------------------------------------------------------

    def solve(self, gamma: float, temperature: float) -> ExampleState:
        """The state at load gamma >= 0 and T >= 0; where several are stable, that of lowest free energy."""
        self.require()
        states = self._branch.states(gamma, temperature)
        if np.isnan(states.m[0]):
            raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: no state follows one example; "
                             + self._where(temperature))
        return record(states)

    def spinodal(self, temperature: float) -> Boundary:
        """The largest load at which a state follows one example: a fold (residual: determinant), or, with two examples, the
        place where the two overlaps become equal (residual: x - 1). Raises NoSolution where there is no such state."""
        self.require()
        path, = self._branch.paths(np.array([temperature]))
        if path is None or not path.gamma[path.end] > 0:
            raise NoSolution(f"temperature = {temperature:.10g}: no state follows one example with patterns beside its own; "
                             + self._where(temperature))
        end = path.end
        states = self._branch.equations.states(path.G[end], path.H[end], path.C[end], path.gamma[end], temperature)
        state = record(states, marginal=True)
        left = abs(float(path.determinant[end]))
        return Boundary("spinodal", state.gamma, temperature, state, left, state.converged and left < LINE_TOLERANCE)

    def onset(self, temperature: float) -> Boundary:
        """The largest load at which x = 1 on the retrieval branch (`hebb.theory.example_response`), which is unstable on one
        side of it. Raises NoSolution where x does not pass 1."""
        self.require()
        _, points = self._onsets(np.array([temperature]))
        if not points.size:
            raise NoSolution(f"temperature = {temperature:.10g}: the response x of retrieval to differences between examples "
                             "does not pass 1 at any load of the branch")
        n, C, gamma = points[:, np.argmax(points[2])]
        state = solution("retrieval", self.branches.equations.states(n, C, gamma, temperature), marginal=True)
        return boundary("onset", state, state.example_response - 1)

    def crossing(self, temperature: float) -> Boundary:
        """The largest load at which retrieval and the state that follows one example, `other`, have equal free energies.

        Raises NoSolution where their free energies do not cross."""
        self.require()
        _, loads = self._crossings(np.array([temperature]), self._difference)
        if not loads.size:
            raise NoSolution(f"temperature = {temperature:.10g}: the free energies of retrieval and of the state that follows "
                             "one example cross at no load at which both are states")
        gamma = loads.max()
        place = np.array([gamma]), np.array([temperature])
        left = float(self._difference(*place)[0])
        other = record(self._branch.states(*place))
        state = solution("retrieval", self._retrieval(*place))
        converged = state.converged and other.converged and abs(left) < LINE_TOLERANCE
        return Boundary("crossing", gamma, temperature, state, abs(left), converged, other)

    def _where(self, temperature: float) -> str:
        top = self._branch.start_temperature
        if not top:
            return "at T = 0 and gamma = 0 spins that follow one example leave it for what all have in common"
        if temperature >= top:
            return f"without load it exists below temperature = {top:.10g}"
        end = self.branch_end(temperature)
        return f"it ends at gamma = {end:.10g} at this temperature, and at gamma = 0 at temperature = {top:.10g}"

    def branch_end(self, temperature: float) -> float:
        """The load of `spinodal`, 0 without one."""
        path, = self._branch.paths(np.array([temperature]))
        return 0.0 if path is None else float(max(path.gamma[path.end], 0.0))

    def states(self, gamma, temperature) -> ExampleStates:
        """At arrays of points (1-d), NaN where no state follows one example."""
        return self._branch.states(gamma, temperature)

    # ---- phase diagrams ----------------------------------------------------------------------------------------------

    def labels(self, gamma, temperature, labels, retrieval, exists) -> np.ndarray:
        """Phases (nT, ngamma), as `PhaseDiagram.names`, from those without these states.

        labels: 0 paramagnet, 1 glass, 2 retrieval, 3 retrieval metastable, of the grid of the axes gamma and temperature;
        exists: where retrieval does; retrieval (number of these points): its free energies, NaN where x >= 1 makes it
        unstable. 4 example: the state that follows one example is stable and the lowest; 5 example_metastable: it is stable,
        retrieval is not, and a state with neither is lower.
        """
        kept, lowest = np.full(labels.shape, np.nan), np.full(labels.shape, np.nan)
        kept[exists] = retrieval
        T, load = (axis.ravel() for axis in np.meshgrid(temperature, gamma, indexing="ij"))
        states = self.states(load, T)
        stable = (np.asarray(states.others_response) < 1).reshape(labels.shape)
        example = np.where(stable, states.free_energy.reshape(labels.shape), np.nan)
        rows, columns = np.nonzero(stable | (exists & np.isnan(kept)))
        lowest[rows, columns], frozen = self._without_pattern(gamma[columns], temperature[rows])
        other = np.where((labels == 2) | (labels == 3), np.nan, labels)
        other[rows, columns] = frozen
        without = np.where(np.isnan(kept) & exists, other, labels)     # retrieval that spins leave is no phase
        wins = stable & ~(example > kept) & ~(example > lowest)
        return np.where(wins, 4, np.where(stable & (without < 2), 5, without)).astype(int)

    # ---- lines -------------------------------------------------------------------------------------------------------

    def lines(self, temperature) -> dict[str, TracedLine]:
        """Lines at increasing temperatures (1-d): "example_spinodal", "example_transition", "example_crossing" and
        "example_onset"; see `PhaseDiagram`."""
        T, top = np.asarray(temperature, float), self._branch.start_temperature
        lines = {}
        paths = [path for path in self._branch.paths(T[T < top]) if path.gamma[path.end] > 0]
        if paths:
            points = np.array([[path.gamma[path.end], path.temperature] for path in paths])
            if T[-1] >= top:
                points = np.vstack([points, [0.0, top]])
            lines["example_spinodal"] = TracedLine(points, max(abs(float(path.determinant[path.end])) for path in paths))
        for name, difference in (("example_transition", self._gain), ("example_crossing", self._difference)):
            rows, loads = self._crossings(T[T < top], difference)
            if rows.size:
                left = np.abs(difference(loads, T[rows]))
                lines[name] = TracedLine(_pieces(rows, loads, T), float(left.max()))
        rows, (n, C, loads) = self._onsets(T)
        if rows.size:
            states = self.branches.equations.states(n, C, loads, T[rows])
            lines["example_onset"] = TracedLine(_pieces(rows, loads, T), float(np.abs(states.example_response - 1).max()))
        return lines

    def kept(self, lines: dict[str, TracedLine]) -> dict[str, TracedLine]:
        """Lines of retrieval without the points at which spins leave it for single examples (x >= 1)."""
        found = dict(lines)
        for name in ("spinodal", "transition", "at"):
            if name in lines:
                points = lines[name].points
                x = self._retrieval(points[:, 0] * (1 - 1e-9), points[:, 1]).example_response
                stays = ~(x >= 1)
                stays[1:] &= ~np.isnan(x[1:]) | stays[:-1]                   # the end without load follows its neighbour
                found[name] = lines[name]._replace(points=points[stays])
        return {name: line for name, line in found.items() if len(line.points)}

    def _retrieval(self, gamma, temperature):
        different, which = np.unique(temperature, return_inverse=True)
        return self.branches.states("retrieval", gamma, temperature, self.branches.retrieval.segments(different).rows(which))

    def _difference(self, gamma, temperature):
        """f(retrieval) - f(example), NaN where one of them does not exist or retrieval is not stable."""
        retrieval = self._retrieval(gamma, temperature)
        kept = np.where(retrieval.example_response < 1, retrieval.free_energy, np.nan)
        return kept - self.states(gamma, temperature).free_energy

    def _without_pattern(self, gamma, temperature):
        """(f, frozen) of the best state without the pattern: the glass where it exists (frozen), else the paramagnet."""
        C = self.branches.glass.solve(gamma, temperature)
        frozen = np.isfinite(C)
        C = np.where(frozen, C, np.divide(1, temperature, out=np.full(C.shape, np.inf), where=temperature > 0))
        with np.errstate(invalid="ignore"):
            return self.branches.equations.free_energy(0.0, C, gamma, temperature), frozen

    def _gain(self, gamma, temperature):
        """f(example) - f(best state without the pattern)."""
        return self.states(gamma, temperature).free_energy - self._without_pattern(gamma, temperature)[0]

    def _crossings(self, temperature, difference):
        """(rows, loads): places where a difference of free energies vanishes."""
        ends = np.array([0.0 if path is None else path.gamma[path.end] for path in self._branch.paths(temperature)])
        if difference == self._difference:
            ends = np.minimum(ends, self.branches.spinodal_loads(temperature))
        share = (np.arange(_LOADS) + 0.02) / (_LOADS - 0.9)
        loads = ends[:, None] * share
        T = np.broadcast_to(temperature[:, None], loads.shape)
        gain = difference(loads.ravel(), T.ravel()).reshape(loads.shape)
        row, column = np.nonzero(gain[:, :-1] * gain[:, 1:] < 0)
        found = bracketed_root(lambda gamma, some: difference(gamma, temperature[row[some]]),
                               loads[row, column], loads[row, column + 1])
        good = np.isfinite(found)
        return row[good], found[good]

    def _onsets(self, temperature):
        """(rows, (n, C, gamma)): places of the retrieval branches where x = 1."""
        branch, equations = self.branches.retrieval, self.branches.equations
        alive = np.flatnonzero(temperature < branch.start_temperature)
        T = temperature[alive]
        if not T.size:
            return alive, np.empty((3, 0))
        low, high = branch.window(T)
        y = low[:, None] + (high - low)[:, None] * (np.arange(_GRID) + 0.5) / _GRID

        def excess(y, rows):
            n, sigma, C, gamma, determinant, curvature = branch.follow(y, T[rows])
            spin = equations.dataset.averages(equations.amplitude(n), sigma, T[rows])
            x = example_response(equations.law, equations.amplitude_slope(n), spin.C, spin.gain)
            return x - 1, (n, C, gamma), (determinant > 0) & (curvature < 0)

        x, _, sound = excess(y.ravel(), np.repeat(np.arange(T.size), _GRID))
        x = np.where(sound, x, np.nan).reshape(y.shape)
        row, column = np.nonzero(x[:, :-1] * x[:, 1:] < 0)
        found = bracketed_root(lambda y, some: excess(y, row[some])[0], y[row, column], y[row, column + 1])
        good = np.isfinite(found)
        if not good.any():
            return alive[:0], np.empty((3, 0))
        return alive[row[good]], np.array(excess(found[good], row[good])[1])


def record(states: ExampleStates, *, marginal: bool = False) -> ExampleState:
    """The first of `states` as a record; marginal as in `hebb.theory.records.solution`."""
    values = {name: float(getattr(states, name)[0]) for name in ExampleStates._fields}
    extremum, shift = bool(values.pop("extremum")), values.pop("shift")
    stable = extremum and values["replicon"] > 0 and values["others_response"] < 1 and not marginal
    converged = values["residual"] < TOLERANCE and (marginal or shift < SHIFT_TOLERANCE)
    return ExampleState("example", "RS", stable=stable, converged=converged, **values)


def _pieces(rows, loads, temperature):
    """(n, 2) of gamma and T; several loads at one temperature belong to lines of their own, divided by rows of NaN."""
    order = np.lexsort((loads, rows))
    rows, loads = rows[order], loads[order]
    rank = np.arange(rows.size) - np.searchsorted(rows, rows)
    pieces = []
    for k in range(rank.max() + 1):
        mine = rank == k
        breaks = np.flatnonzero(np.diff(rows[mine]) > 1) + 1
        for part in np.split(np.column_stack([loads[mine], temperature[rows[mine]]]), breaks):
            pieces += [part, np.full((1, 2), np.nan)]
    return np.concatenate(pieces[:-1])
