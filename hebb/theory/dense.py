"""Theory of dense (P-body) Hebbian networks at high storage: solutions, boundaries and phase diagrams.

    H = -(P!/(2 N^(P-1))) sum_mu sum_{i1 < ... < iP} xi^mu_i1 s_i1 ... xi^mu_iP s_iP,   gamma = (P!/2) K/N^(P-1)

(P = 2: the Hopfield model, gamma = alpha = K/N). Free energies are per spin, T = 1/beta in units of H.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from ..errors import NoSolution, ParameterError
from ..params import DenseLaw, check_choice, check_integer, check_real
from .base import Boundary, Curve, Solution
from .continuation import Fold, GlassBranch, Line, RetrievalBranch, invert_line, trace_line
from .phases import PhaseDiagram
from .replica_symmetric import ReplicaSymmetric, States
from .solver import bracketed_root

__all__ = ["Dense"]

BRANCHES = ("retrieval", "glass", "paramagnet")
TOLERANCE = 1e-11           # of the saddle-point equations, quadrature error included
SHIFT_TOLERANCE = 1e-8      # of the saddle itself under a finer quadrature


class Dense:
    """Replica theory of the P-body Hebbian network with K = 2 gamma N^(P-1)/P! patterns (P = 2: alpha N).

    p_body: P from 2 to 20. hamiltonian: "distinct" indices, or "naive" with coinciding ones, whose noise is the mixture
    g(q) of `hebb.theory.noise` (for P = 2 the two differ by a constant, left out). Noisy datasets (r, n_examples, rho)
    and other protocols are refused by `hebb.params.DenseLaw` as long as they are not available.

    Branches: "retrieval" (n > 0, followed from gamma = 0), "glass" (n = 0 < q) and "paramagnet" (n = q = 0). For odd P
    retrieval has n > 0 only. Odd naive P have a random-field term: no q = 0 state exists, every n = 0 state has q > 0 and
    is called glass; its replicon tells whether it is frozen.

    Symbols, ranges and meanings: `hebb.theory.base.Solution`. Equations: `hebb.theory.replica_symmetric`. The replica
    symmetric results are approximations where `replicon` < 0; at low temperature RS loads for P >= 3 are 10-20 % too low.
    Cost: 5-20 ms a point or fold, once per temperature 10 ms more.
    """

    def __init__(self, p_body=4, r=None, n_examples=None, rho=None, protocol=None, hamiltonian="distinct"):
        self.law = DenseLaw.from_keywords(p_body, r, n_examples, rho, protocol, hamiltonian)
        self.equations = ReplicaSymmetric(self.law)
        self._retrieval = RetrievalBranch(self.equations)
        self._glass = GlassBranch(self.equations)
        self._folds: dict[float, Fold] = {}
        self._spinodals: Line | None = None
        self._transitions: Line | None = None

    def __repr__(self) -> str:
        return f"Dense(p_body={self.law.p_body}, hamiltonian={self.law.hamiltonian!r})"

    # ---- points ------------------------------------------------------------------------------------------------------

    def solve(self, gamma, temperature, ansatz="RS", branch="retrieval") -> Solution:
        """The saddle point of one branch at load gamma >= 0 and temperature T >= 0.

        Raises NoSolution, naming the nearest point where the branch exists, and ParameterError.
        """
        gamma, temperature = _check_point(gamma, temperature)
        _check_ansatz(ansatz)
        check_choice("branch", branch, BRANCHES)
        getattr(self, f"_require_{branch}")(gamma, temperature)
        if temperature == 0 and branch == "paramagnet":
            return Solution(branch, "RS", 0.0, 0.0, 0.0, 0.0, 0.0, math.inf, 0.0, math.log(2), 0.0, 1.0, False, True, 0.0)
        folds = self._fold(temperature) if branch == "retrieval" else None
        return self._solution(branch, self.states(branch, gamma, temperature, folds))

    def curve(self, temperature, branch="retrieval", ansatz="RS", points=200, gamma_max=None) -> Curve:
        """A branch at fixed temperature as arrays, e.g. for m(gamma): `points` loads from its beginning to its end.

        retrieval ends at its spinodal (loads crowd there, where m has a square-root edge); glass and paramagnet need
        gamma_max. Cost: 0.1 ms per point.
        """
        _, temperature = _check_point(0.0, temperature)
        _check_ansatz(ansatz)
        check_choice("branch", branch, BRANCHES)
        points = check_integer("points", points, 2)
        folds = None
        if branch == "retrieval":
            folds = Fold(*(np.broadcast_to(array, points) for array in self._fold(temperature)))
            end = self.spinodal(temperature).gamma
            if gamma_max is not None:
                end = min(end, check_real("gamma_max", gamma_max, 0.0, math.inf, open_low=True))
            start = 0.0
        else:
            if gamma_max is None:
                raise ParameterError(f"gamma_max = None: the {branch} branch has no end in gamma; give gamma_max")
            start = float(self._glass.onset(temperature)) if branch == "glass" else 0.0
            end = check_real("gamma_max", gamma_max, start, math.inf, open_low=True,
                             remedy=f"the {branch} branch begins at gamma = {start:.6g}")
        share = np.linspace(0, 1, points)
        gamma = start + (end - start) * (share * (2 - share) if branch == "retrieval" else share)
        states = self.states(branch, gamma, np.full(points, temperature), folds)
        kept = np.isfinite(states.free_energy)
        states = States(*(array[kept] for array in states))
        return Curve(branch, ansatz, temperature, states.gamma, states.n, states.q, states.C, states.free_energy,
                     states.entropy, states.energy, states.replicon, states.residual)

    # ---- lines -------------------------------------------------------------------------------------------------------

    def spinodal(self, temperature, ansatz="RS") -> Boundary:
        """End of the retrieval branch: the first fold met when it is followed from gamma = 0 at this temperature."""
        _, temperature = _check_point(0.0, temperature)
        _check_ansatz(ansatz)
        fold = self._fold(temperature)
        if not np.isfinite(fold.gamma[0]):
            raise NoSolution(f"temperature = {temperature:.10g}: no retrieval at any gamma; it exists below temperature = "
                             f"{self._retrieval.start_temperature:.10g}, where it ends at gamma = 0")
        states = self.equations.states(fold.n, fold.C, fold.gamma, fold.temperature)
        solution = self._solution("retrieval", states, marginal=True)
        left = abs(float(fold.determinant[0]))
        return Boundary("spinodal", solution.gamma, temperature, solution, left, solution.converged and left < 1e-10)

    def spinodal_temperature(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature at which the retrieval branch exists at load gamma (RS lines are re-entrant)."""
        gamma, _ = _check_point(gamma, 0.0)
        _check_ansatz(ansatz)
        if gamma == 0:
            solution = self._solution("retrieval", self._low_load_state(self._retrieval.start_v), marginal=True)
            return Boundary("spinodal", 0.0, solution.temperature, solution, 0.0, solution.converged)
        line = self._spinodal_line()
        temperature = invert_line(self._fold_loads, line, gamma)
        if temperature is None:
            best = int(np.argmax(line.gamma))
            raise NoSolution(f"gamma = {gamma:.10g}: no retrieval at any temperature; its spinodal reaches gamma = "
                             f"{line.gamma[best]:.10g} at temperature = {line.temperature[best]:.6g}")
        edge = self.spinodal(temperature)
        left = abs(edge.gamma - gamma)
        return Boundary("spinodal", gamma, temperature, edge.solution, left, edge.converged and left < 1e-10)

    def transition(self, temperature, ansatz="RS") -> Boundary:
        """Load at which retrieval and the best other RS state (glass where it exists, else paramagnet) have equal f.

        `other` is the competing state; `residual` the difference of the free energies.
        """
        _, temperature = _check_point(0.0, temperature)
        _check_ansatz(ansatz)
        self.spinodal(temperature)
        gamma = float(self.transition_loads([temperature], self._fold(temperature))[0])
        if gamma == math.inf:
            raise NoSolution(f"temperature = {temperature:.10g}: retrieval is the lowest state up to its spinodal at gamma = "
                             f"{self._fold(temperature).gamma[0]:.10g}")
        if not math.isfinite(gamma):
            raise NoSolution(f"temperature = {temperature:.10g}: retrieval is metastable at every gamma; it is the lowest "
                             f"state below temperature = {self._top_transition:.10g} (at gamma = 0)")
        return self._crossing(gamma, temperature)

    def transition_temperature(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature at which retrieval and the best other RS state have equal free energies at gamma."""
        gamma, _ = _check_point(gamma, 0.0)
        _check_ansatz(ansatz)
        if gamma == 0:
            retrieval = self._solution("retrieval", self._low_load_state(self._transition_v), marginal=self.law.p_body == 2)
            other = self.solve(0.0, retrieval.temperature, branch="paramagnet")
            left = abs(retrieval.free_energy - other.free_energy)
            return Boundary("transition", 0.0, retrieval.temperature, retrieval, left, left < 1e-10, other)
        if self._transitions is None:
            self._transitions = trace_line(self._transition_line, self._top_transition)
        line = self._transitions
        temperature = invert_line(self._transition_line, line, gamma)
        if temperature is None:
            best = int(np.argmax(line.gamma))
            raise NoSolution(f"gamma = {gamma:.10g}: retrieval is the lowest RS state at no temperature; the transition line "
                             f"reaches gamma = {line.gamma[best]:.10g} at temperature = {line.temperature[best]:.6g}")
        return self._crossing(gamma, temperature)

    def at_line(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature at which the replicon of the retrieval branch vanishes (de Almeida-Thouless line).

        At small loads the line lies exponentially low, T ~ exp(-P/4 gamma); it is found in ln T.
        """
        gamma, _ = _check_point(gamma, 0.0)
        _check_ansatz(ansatz)
        top = self.spinodal_temperature(gamma).temperature
        if gamma <= self._fold(0.0).gamma[0]:
            drop = self._replicon_scale(gamma) if gamma > 0 else 0.0
            if drop < 1e-290:
                raise NoSolution(f"gamma = {gamma:.10g}: the replicon of the retrieval branch is positive at every "
                                 "temperature that a float can hold; take a larger gamma")
            temperatures = np.geomspace(min(0.05 * drop, 0.01 * top), top * (1 - 1e-9), 48)
        else:
            line = self._spinodal_line()
            bottom = invert_line(self._fold_loads, line, gamma, lowest=True)
            temperatures = np.linspace(bottom, top, 50)[1:-1]
        values = self._replicon(gamma, temperatures)
        crossings = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
        if not crossings.size:
            side = "positive" if np.nanmin(values) > 0 else "negative"
            raise NoSolution(f"gamma = {gamma:.10g}: the replicon of the retrieval branch is {side} at every temperature at "
                             f"which the branch exists, {temperatures[0]:.6g} to {top:.6g}")
        edge = crossings[-1]
        log_t = bracketed_root(lambda x, _: self._replicon(gamma, np.exp(x)),
                               np.log(temperatures[edge]), np.log(temperatures[edge + 1]))[0]
        solution = self.solve(gamma, math.exp(log_t))
        return Boundary("at", gamma, solution.temperature, solution, abs(solution.replicon),
                        solution.converged and abs(solution.replicon) < 1e-9)

    def glass_temperature(self, gamma=1.0, kind="continuous") -> Boundary:
        """Temperature at which the paramagnet gives way to the glass at load gamma.

        kind = "continuous": P = 2, T = 1 + sqrt(alpha); naive even P >= 4, T = sqrt(g''(0) gamma/2), where the replicon of
        the paramagnet vanishes. "static", "dynamic" and "gardner" belong to P >= 3 with one step of replica symmetry
        breaking. Raises ParameterError where the kind does not apply.
        """
        gamma, _ = _check_point(gamma, 0.0)
        check_choice("kind", kind, ("static", "dynamic", "gardner", "continuous"))
        if kind != "continuous":
            raise ParameterError(f"kind = {kind!r} needs ansatz = '1RSB', which is not available in this version; "
                                 "use kind = 'continuous' (P = 2 or even naive P)")
        if self.law.p_body == 2:
            temperature = 1 + math.sqrt(gamma)
        elif self.law.hamiltonian == "naive" and self.law.p_body % 2 == 0:
            temperature = math.sqrt(gamma * self.equations.noise.g(0.0, 2) / 2)
        else:
            reason = ("its glass appears discontinuously" if self.law.hamiltonian == "distinct" else
                      "its random-field term leaves no paramagnet with q = 0")
            raise ParameterError(f"kind = 'continuous' does not apply to {self!r}: {reason}; it applies to P = 2 and to even "
                                 "naive P")
        solution = self._solution("paramagnet", self.states("paramagnet", gamma, temperature), marginal=True)
        return Boundary("continuous", gamma, temperature, solution, abs(solution.replicon), abs(solution.replicon) < 1e-12)

    def phase_diagram(self, gamma, temperature, ansatz="RS") -> PhaseDiagram:
        """Phases on the grid gamma x temperature (1-d increasing arrays), with the lines between them.

        Labels follow from the lines, which are traced at fixed temperature by continuation: retrieval exists up to its
        spinodal and is the lowest state up to the transition; elsewhere the label is glass above its onset load, else
        paramagnet. Cost: about 2 s for 100 x 100 points.
        """
        _check_ansatz(ansatz)
        gamma, temperature = _check_axis("gamma", gamma), _check_axis("temperature", temperature)
        return PhaseDiagram.assemble(self, gamma, temperature)

    # ---- vectorised parts, which the phase diagram uses too ----------------------------------------------------------

    def folds(self, temperature) -> Fold:
        """Spinodals for an array of temperatures; NaN where there is no retrieval."""
        return self._retrieval.fold(temperature)

    def states(self, branch, gamma, temperature, folds: Fold | None = None) -> States:
        """States of a branch at arrays of points (1-d, one shape); NaN where it does not exist.

        folds: `self.folds(temperature)`, needed for retrieval only.
        """
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        n = np.zeros(gamma.size)
        if branch == "retrieval":
            n, C = self._retrieval.solve(gamma, temperature, folds)
        elif branch == "glass":
            C = self._glass.solve(gamma, temperature)
        else:
            C = np.divide(1, temperature, out=np.full(gamma.size, np.inf), where=temperature > 0)
            C = np.where((gamma > 0) & (C >= self.equations.noise.response_limit), np.nan, C)
        return self.equations.states(n, C, gamma, temperature)

    def transition_loads(self, temperature, folds: Fold):
        """Loads of the transition for an array of temperatures.

        NaN where retrieval is metastable at every load, infinity where it is the lowest state up to its spinodal.
        """
        temperature = np.ravel(temperature).astype(float)

        def gain(gamma, rows):
            n, C = self._retrieval.solve(gamma, temperature[rows], Fold(*(array[rows] for array in folds)))
            retrieval = self.equations.free_energy(n, C, gamma, temperature[rows])
            return retrieval - self._other_free_energy(gamma, temperature[rows])

        loads = bracketed_root(gain, 1e-12 * folds.gamma, folds.gamma)
        open_end = np.flatnonzero(np.isnan(loads) & np.isfinite(folds.gamma))
        if open_end.size:
            lowest = gain(folds.gamma[open_end], open_end) < 0
            loads[open_end[lowest]] = np.inf
        return loads

    def at_loads(self, temperature, folds: Fold):
        """Loads at which the replicon of retrieval vanishes for an array of temperatures; NaN where it does not."""
        temperature = np.ravel(temperature).astype(float)

        def replicon(gamma, rows):
            here = Fold(*(array[rows] for array in folds))
            return self.states("retrieval", gamma, temperature[rows], here).replicon

        return bracketed_root(replicon, 1e-12 * folds.gamma, folds.gamma)

    def glass_onset(self, temperature):
        """Loads above which the glass branch exists, for an array of temperatures."""
        return self._glass.onset(temperature)

    def lines(self, temperature, folds: Fold, transitions) -> tuple[dict, dict]:
        """(lines, residuals) of a phase diagram with the given temperatures, see `PhaseDiagram`.

        Every line is traced at the temperatures given and ends exactly on the gamma = 0 axis where it reaches it.
        """
        lines, residuals = {}, {}
        end = {"spinodal": self._retrieval.start_temperature, "transition": self._top_transition}
        at = self.at_loads(temperature, folds)
        for name, loads in (("spinodal", folds.gamma), ("transition", np.where(np.isinf(transitions), np.nan, transitions)),
                            ("glass", self.glass_onset(temperature)), ("at", at)):
            on = np.isfinite(loads) & ((loads > 0) | (name == "spinodal"))
            line = np.column_stack([loads[on], temperature[on]])
            if not on.any():
                continue
            if name in end and temperature[-1] >= end[name]:
                line = np.vstack([line, [0.0, end[name]]])
            lines[name] = line
            if name != "glass":
                residuals[name] = float(np.max(self._line_error(name, loads[on], temperature[on], Fold(*(a[on] for a in folds)))))
        return lines, residuals

    def _line_error(self, name, gamma, temperature, folds):
        """Size of what should vanish on a line at given points of it."""
        if name == "spinodal":
            return np.abs(folds.determinant)
        states = self.states("retrieval", gamma, temperature, folds)
        if name == "transition":
            return np.abs(states.free_energy - self._other_free_energy(gamma, temperature))
        return np.abs(states.replicon)

    def _other_free_energy(self, gamma, temperature):
        """Free energy of the best state without retrieval: glass where it exists, else paramagnet."""
        C = self._glass.solve(gamma, temperature)
        none = np.isnan(C)
        C[none] = 1 / temperature[none]
        return self.equations.free_energy(0.0, C, gamma, temperature)

    def _replicon(self, gamma, temperatures):
        temperatures = np.ravel(temperatures)
        return self.states("retrieval", np.full(temperatures.shape, gamma), temperatures, self.folds(temperatures)).replicon

    def _replicon_scale(self, gamma):
        """T * (1 - replicon) in the limit T -> 0, relative to the value without noise: the scale of the AT temperature."""
        n, C = self._retrieval.solve(gamma, 0.0, self._fold(0.0))
        D = self.equations.averages(n, C, gamma, 0.0).D
        base, noisy = (self.equations.noise.replicon(C, 1.0, load, D) for load in (0.0, gamma))
        return float(((base - noisy) / base)[0])

    # ---- helpers of single points ------------------------------------------------------------------------------------

    def _fold(self, temperature: float) -> Fold:
        if temperature not in self._folds:
            if len(self._folds) > 4096:
                self._folds.clear()
            self._folds[temperature] = self.folds(temperature)
        return self._folds[temperature]

    def _fold_loads(self, temperature):
        return np.nan_to_num(self.folds(temperature).gamma)

    def _transition_line(self, temperature):
        folds = self.folds(temperature)
        return np.nan_to_num(np.minimum(self.transition_loads(temperature, folds), folds.gamma))

    def _spinodal_line(self) -> Line:
        if self._spinodals is None:
            self._spinodals = trace_line(self._fold_loads, self._retrieval.start_temperature)
        return self._spinodals

    @cached_property
    def _transition_v(self) -> float:
        """atanh(n) at gamma = 0 where retrieval and paramagnet have equal free energies (P = 2: 0, at T = 1)."""
        if self.law.p_body == 2:
            return 0.0
        low = self._retrieval.start_v

        def excess(v, _):
            T = self._retrieval.start_line(v)
            return (self.law.p_body - 1) / 2 * np.tanh(v) ** self.law.p_body - T * np.log(np.cosh(v))

        return float(bracketed_root(excess, low, 2.0 * self.law.p_body)[0])

    @cached_property
    def _top_transition(self) -> float:
        return self._low_load_state(self._transition_v).temperature[0]

    def _low_load_state(self, v: float) -> States:
        """The gamma = 0 retrieval state with n = tanh v, at the temperature at which it is one."""
        temperature = float(self._retrieval.start_line(v)) if v > 0 else 1.0
        return self.equations.states(math.tanh(v), 1 / (temperature * math.cosh(v) ** 2), 0.0, temperature)

    def _solution(self, branch, states: States, *, marginal: bool = False) -> Solution:
        """The first of `states` as a record. marginal: a state on a fold or critical line, where f is flat: not stable,
        and its position is judged by the line, not by a Newton step."""
        values = {name: float(getattr(states, name)[0]) for name in States._fields}
        extremum, shift = bool(values.pop("extremum")), values.pop("shift")
        if branch == "paramagnet":
            values["q"] = 0.0
        stable = extremum and values["replicon"] > 0 and not marginal
        converged = values["residual"] < TOLERANCE and (marginal or shift < SHIFT_TOLERANCE)
        return Solution(branch=branch, ansatz="RS", m=values["n"], stable=stable, converged=converged, **values)

    def _require_retrieval(self, gamma, temperature):
        end = self._fold(temperature).gamma[0]
        if gamma <= end:
            return
        point = f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the retrieval branch "
        if np.isnan(end):
            limit = self._retrieval.start_temperature
            point += f"exists below temperature = {limit:.10g} only, where it ends at gamma = 0"
        else:
            point += f"ends at gamma = {end:.10g} at this temperature"
        try:
            point += f"; at this gamma it exists up to temperature = {self.spinodal_temperature(gamma).temperature:.10g}"
        except NoSolution:
            point += "; at this gamma it exists at no temperature"
        raise NoSolution(point)

    def _require_glass(self, gamma, temperature):
        onset = float(self._glass.onset(np.float64(temperature)))
        if gamma > max(onset, 0.0):
            return
        point = f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the glass branch exists for gamma > {onset:.10g} at "
        limit = self._glass.onset_temperature(gamma)
        raise NoSolution(point + "this temperature" + (f", and below temperature = {limit:.10g} at this gamma" if gamma else ""))

    def _require_paramagnet(self, gamma, temperature):
        if gamma == 0:
            return
        point = f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: "
        if self.equations.p_body > 2 and self.equations.noise.g(0.0, 1) > 0:
            raise NoSolution(point + "odd naive P has a random-field term, so that q = 0 is a state at gamma = 0 only; "
                             "use branch = 'glass'")
        if temperature <= (1.0 if self.law.p_body == 2 else 0.0):
            limit = "temperature > 1 (C = 1/T must stay below 1)" if self.law.p_body == 2 else "temperature > 0"
            raise NoSolution(point + f"the paramagnet with gamma > 0 exists for {limit} only; use branch = 'glass'")

    def _crossing(self, gamma, temperature) -> Boundary:
        solution = self.solve(gamma, temperature)
        branch = "glass" if gamma > self._glass.onset(temperature) else "paramagnet"
        other = self.solve(gamma, temperature, branch=branch)
        left = abs(solution.free_energy - other.free_energy)
        return Boundary("transition", gamma, temperature, solution, left,
                        solution.converged and other.converged and left < 1e-10, other)


def _check_point(gamma, temperature) -> tuple[float, float]:
    gamma = check_real("gamma", gamma, 0.0, 1e6, remedy="gamma is the load (P!/2) K/N^(P-1), alpha for P = 2")
    return gamma, check_real("temperature", temperature, 0.0, 1e6, remedy="temperature is T = 1/beta in units of H")


def _check_ansatz(ansatz) -> None:
    check_choice("ansatz", ansatz, ("RS", "1RSB"))
    if ansatz == "1RSB":
        raise ParameterError("ansatz = '1RSB' is not available in this version; use ansatz = 'RS'")


def _check_axis(name: str, values) -> np.ndarray:
    try:
        axis = np.array(values, float)
    except (TypeError, ValueError):
        axis = np.empty(0)
    if axis.ndim != 1 or axis.size == 0 or not np.all(np.isfinite(axis)) or np.any(axis < 0) or np.any(np.diff(axis) <= 0):
        raise ParameterError(f"{name} = {values!r} is not a 1-d increasing array of finite numbers >= 0; "
                             f"use for example {name} = numpy.linspace(0, 1, 100)")
    return axis
