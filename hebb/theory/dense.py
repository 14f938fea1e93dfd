"""Theory of dense (P-body) Hebbian networks at high storage: solutions, boundaries and phase diagrams.

    H = -(P!/(2 N^(P-1))) sum_mu sum_{i1 < ... < iP} xi^mu_i1 s_i1 ... xi^mu_iP s_iP,   gamma = (P!/2) K/N^(P-1)

(P = 2: the Hopfield model, gamma = alpha = K/N). Free energies are per spin, T = 1/beta in units of H. With M noisy
examples per pattern, xi is replaced by their average over sqrt(R), R = r^2 + (1-r^2)/M (supervised), or the sum runs
over all examples with 1/(M sqrt(R_P)), R_P = r^2P + (1-r^2P)/M; P = 2: 1/(M R) (unsupervised).
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from ..errors import NoSolution, ParameterError
from ..params import DenseLaw, check_choice, check_integer, check_real, float_array, shown
from .base import Boundary, ComplexityCurve, Curve, Solution
from .branches import Branches
from .continuation import Fold, invert_line
from .dense_rsb import DenseOneStep
from .example_lines import ExampleLines
from .phases import PhaseDiagram
from .records import boundary, solution
from .solver import bracketed_root

__all__ = ["Dense"]

BRANCHES = ("retrieval", "glass", "paramagnet", "example")
_SMALLEST = 1e-290          # positive loads and temperatures below are refused
_LOST = 1e-4                # residual of a glass of which nothing is left; it happens below the next number
_RESOLVED = 1e-20           # load of P = 2 at T <= 1

_FREE_SPINS = Solution("paramagnet", "RS", gamma=0.0, temperature=0.0, m=0.0, n=0.0, q=0.0, C=math.inf, free_energy=0.0,
                       entropy=math.log(2), energy=0.0, replicon=1.0, stable=False, converged=True, residual=0.0)


class Dense:
    """Replica theory of the P-body Hebbian network with K = 2 gamma N^(P-1)/P! patterns (P = 2: alpha N).

    p_body: P from 2 to 20. hamiltonian: "distinct" indices, or "naive" with coinciding ones, whose noise is the mixture
    g(q) of `hebb.theory.noise` (for P = 2 the two differ by a constant, left out). Noisy datasets: r and n_examples
    (exact for finite M) or rho (limit of many examples), protocol "supervised" or "unsupervised" (then r beside rho);
    see `hebb.params.DenseLaw`. Unsupervised states are those that treat all examples of a pattern alike, and "example".

    Branches: "retrieval" (n > 0, followed from gamma = 0), "glass" (n = 0 < q), "paramagnet" (n = q = 0) and, RS for
    unsupervised data, "example": spins follow one example of the pattern (`ExampleState`; lines: `Dense.examples`, an
    `ExampleLines`). For odd P retrieval has n > 0 only. Odd naive P have a random-field term: no q = 0 state exists, every
    n = 0 state has q > 0 and is called glass; its replicon tells whether it is frozen.

    Symbols, ranges and meanings: `hebb.theory.base.Solution`. Equations: `hebb.theory.replica_symmetric`. RS results
    are approximations where `replicon` < 0; at low temperature RS loads for P >= 3 are 10-20 % too low.
    Even M at low T: spins of u = 0 hear noise only, so that at gamma = 0 their C = P(u=0)/T diverges as T -> 0; for
    P = 2 and T < P(u=0) noise of finite width polarises them at any gamma > 0, which the gamma = 0 state lacks.
    Most methods take ansatz = "RS" or "1RSB" (`hebb.theory.rsb`); all raise ParameterError for values out of range.
    Cost: RS 5-20 ms a point, times the number of different |u| for exact M (at most M/2 + 1, and a few hundred).
    """

    def __init__(self, p_body=4, r=None, n_examples=None, rho=None, protocol=None, hamiltonian="distinct"):
        self.law = DenseLaw.from_keywords(p_body, r, n_examples, rho, protocol, hamiltonian)
        self.branches = Branches(self.law)
        #: where spins follow single examples: spinodal, onset and crossing with retrieval
        self.examples = ExampleLines(self.branches)
        self._folds: dict[float, Fold] = {}

    @cached_property
    def _one_step(self) -> DenseOneStep:
        return DenseOneStep(self)

    def __repr__(self) -> str:
        dataset = self.law.dataset_name
        return f"Dense(p_body={self.law.p_body}, hamiltonian={self.law.hamiltonian!r}" + (f", {dataset})" if dataset else ")")

    # ---- points ------------------------------------------------------------------------------------------------------

    def solve(self, gamma, temperature, ansatz="RS", branch="retrieval") -> Solution:
        """The saddle point of one branch at load gamma >= 0 and temperature T >= 0.

        ansatz = "1RSB": one step of replica symmetry breaking. Retrieval is the RS state where that is stable (q0 = q1,
        theta = NaN) and leaves it continuously at the AT line; the glass exists below the static line (P >= 3) or below
        T = 1 + sqrt(alpha) (P = 2), where it dominates. Cost: up to 0.05 s at T = 0, 0.5 s at T > 0, less for further
        points of one temperature.

        Raises NoSolution, naming the nearest point where it does exist, if the branch does not exist here.
        """
        gamma, temperature = _check_point(gamma, temperature, ansatz)
        check_choice("branch", branch, BRANCHES)
        if branch == "example":
            return self.examples.solve(gamma, _symmetric(temperature, ansatz))
        if ansatz == "1RSB":
            return self._one_step.solve(gamma, temperature, branch)
        getattr(self, f"_require_{branch}")(gamma, temperature)
        if temperature == 0 and branch == "paramagnet":
            return _FREE_SPINS
        folds = self._fold(temperature) if branch == "retrieval" else None
        if branch == "retrieval" and gamma == folds.gamma[0]:
            return self.spinodal(temperature).solution
        states = self.branches.states(branch, np.array([gamma]), np.array([temperature]), folds)
        if branch == "glass" and not states.residual[0] < _LOST:
            raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the glass is lost in rounding, "
                             + (f"as 1 - C ~ sqrt(gamma); take gamma > {_RESOLVED:g}" if self.law.p_body == 2 and temperature <= 1
                                else "so close to its onset; take a temperature below "
                                f"{self.branches.glass.onset_temperature(gamma) * (1 - 1e-6):.10g}"))
        return solution(branch, states)

    def curve(self, temperature, branch="retrieval", ansatz="RS", points=200, gamma_max=None) -> Curve:
        """A branch at fixed temperature as arrays, for example m(gamma): `points` loads from its beginning to its end.

        Retrieval ends at its spinodal (loads crowd there, where m has a square-root edge) unless gamma_max is smaller;
        glass and paramagnet need gamma_max. Cost: 0.1 ms per point. Raises NoSolution where there is no such branch.
        """
        _, temperature = _check_point(0.0, temperature, ansatz)
        check_choice("branch", branch, BRANCHES)
        points = check_integer("points", points, 2)
        start, end, folds = 0.0, math.inf, None
        if branch == "example":
            end = self.examples.spinodal(_symmetric(temperature, ansatz)).gamma
        elif branch == "retrieval":
            end, folds = self.spinodal(temperature, ansatz).gamma, self._fold(temperature).repeated(points)
        elif branch == "glass":
            glass = self.branches.glass if ansatz == "RS" else self._one_step.lines.glass
            start = float(glass.onset(np.float64(temperature)))
        if gamma_max is not None:
            end = min(end, check_real("gamma_max", gamma_max, start, open_low=True,
                                      remedy=f"the {branch} branch begins at gamma = {start:.6g}"))
        if end == math.inf:
            raise ParameterError(f"gamma_max = {gamma_max!r}: the {branch} branch has no end in gamma; "
                                 "give a finite one")
        self.solve(end, temperature, ansatz, branch)
        share = np.linspace(0, 1, points)
        gamma = start + (end - start) * (share * (2 - share) if branch in ("retrieval", "example") else share)
        if ansatz == "1RSB" and branch != "paramagnet":
            return self._one_step.curve(temperature, branch, gamma[1:] if branch == "glass" else gamma)
        states = (self.examples.states(gamma, np.full(points, temperature)) if branch == "example" else
                  self.branches.states(branch, gamma, np.full(points, temperature), folds))
        kept = np.isfinite(states.C)              # the onset itself is not part of the glass
        values = states._asdict()
        fields = ("gamma", "m", "n", "q", "C", "free_energy", "entropy", "energy", "replicon", "residual")
        return Curve(branch, ansatz, temperature, **{name: values[name][kept] for name in fields})

    def complexity(self, gamma, temperature, x) -> ComplexityCurve:
        """Number of glassy (n = 0) states against their free energy, 1RSB, for prescribed x = theta/T (array, > 0).

        x selects the states with d(complexity)/df = x. The complexity vanishes at the lowest states (stationary x), is
        largest where the curve turns, and states with positive replicon are stable. Raises NoSolution above the dynamic
        line. Source: R. Monasson, Phys. Rev. Lett. 75 (1995) 2847. Cost: 0.02 s per x.
        """
        gamma, temperature = _check_point(gamma, temperature, "1RSB")
        values = np.atleast_1d(float_array(x))
        if values.ndim != 1 or not values.size or not np.all(np.isfinite(values) & (values > 0)):
            raise ParameterError(f"x = {shown(x)} is not an array of positive numbers; x = theta/T, for example "
                                 "numpy.linspace(0.5, 1, 20) times Dense.solve(...).breaking_slope")
        if gamma == 0:
            raise NoSolution("gamma = 0: there is no glass without load; take gamma > 0")
        return self._one_step.complexity(gamma, temperature, values)

    # ---- lines -------------------------------------------------------------------------------------------------------

    def spinodal(self, temperature, ansatz="RS") -> Boundary:
        """End of the retrieval branch: the first fold met when it is followed from gamma = 0 at this temperature.

        Raises NoSolution above the highest temperature of retrieval.
        """
        _, temperature = _check_point(0.0, temperature, ansatz)
        if ansatz == "1RSB":
            return self._one_step.spinodal(temperature)
        fold = self._fold(temperature)
        if np.isnan(fold.gamma[0]):
            raise NoSolution(f"temperature = {temperature:.10g}: {self._no_fold(temperature)}")
        states = self.branches.equations.states(fold.n, fold.C, fold.gamma, fold.temperature)
        return boundary("spinodal", solution("retrieval", states, marginal=True), fold.determinant[0])

    def spinodal_temperature(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature at which the retrieval branch exists at load gamma (RS lines are re-entrant).

        Raises NoSolution beyond the largest load of the line.
        """
        gamma, _ = _check_point(gamma, 0.0, ansatz)
        if ansatz == "1RSB":
            return self._one_step.spinodal_temperature(gamma)
        if gamma == 0:
            state = self.branches.low_load_state(self.branches.retrieval.start_v)
            return boundary("spinodal", solution("retrieval", state, marginal=True), 0.0)
        line = self.branches.spinodal_line
        temperature = invert_line(self.branches.spinodal_loads, line, gamma)
        if temperature is None:
            best = int(np.argmax(line.gamma))
            raise NoSolution(f"gamma = {gamma:.10g}: no retrieval at any temperature; its spinodal reaches gamma = "
                             f"{line.gamma[best]:.10g} at temperature = {line.temperature[best]:.6g}")
        end = self.spinodal(temperature).solution
        return boundary("spinodal", end, end.gamma - gamma, gamma=gamma)

    def transition(self, temperature, ansatz="RS") -> Boundary:
        """Load at which retrieval and the best other RS state (glass where it exists, else paramagnet) have equal f.

        `other` is the competing state, `residual` the difference of the free energies. Where the RS glass of P >= 3
        appears with a free energy already below retrieval, the transition is that onset and residual the distance to
        it. Raises NoSolution where the free energies do not cross.
        """
        _, temperature = _check_point(0.0, temperature, ansatz)
        if ansatz == "1RSB":
            return self._one_step.transition(temperature)
        end = self.spinodal(temperature).gamma
        gamma = float(self.branches.transition_loads(np.array([temperature]), self._fold(temperature))[0])
        if gamma == math.inf:
            raise NoSolution(f"temperature = {temperature:.10g}: retrieval is the lowest RS state up to its spinodal "
                             f"at gamma = {end:.10g}")
        if math.isnan(gamma):
            raise NoSolution(f"temperature = {temperature:.10g}: retrieval is metastable at every gamma; it is the "
                             f"lowest state below temperature = {self.branches.top_transition:.10g} (at gamma = 0)")
        return self._crossing(gamma, temperature)

    def transition_temperature(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature of `transition` at load gamma.

        Raises NoSolution beyond the largest load of the line.
        """
        gamma, _ = _check_point(gamma, 0.0, ansatz)
        if ansatz == "1RSB":
            return self._one_step.transition_temperature(gamma)
        branches = self.branches
        if gamma == 0:
            state = branches.low_load_state(branches.transition_v)
            retrieval = solution("retrieval", state, marginal=self.law.p_body == 2)
            other = self.solve(0.0, retrieval.temperature, branch="paramagnet")
            return boundary("transition", retrieval, retrieval.free_energy - other.free_energy, other=other)
        line = branches.transition_line
        temperature = invert_line(branches.clipped_transition_loads, line, gamma)
        if temperature is None:
            best = int(np.argmax(line.gamma))
            raise NoSolution(f"gamma = {gamma:.10g}: retrieval is the lowest RS state at no temperature; the line "
                             f"reaches gamma = {line.gamma[best]:.10g} at temperature = {line.temperature[best]:.6g}")
        return self._crossing(gamma, temperature)

    def at_line(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature at which the replicon of the retrieval branch vanishes (de Almeida-Thouless line).

        At small loads it lies exponentially low, T ~ exp(-P/4 gamma), and is found in ln T. Raises NoSolution where the
        replicon has one sign at all temperatures of the branch. Cost: 0.5 s.
        """
        gamma, _ = _check_point(gamma, 0.0, ansatz)
        branches = self.branches
        top = self.spinodal_temperature(gamma).temperature
        if gamma <= self._fold(0.0).gamma[0]:
            scale = branches.frozen_at_temperature(gamma) if gamma > 0 else 0.0
            if scale < _SMALLEST:
                raise NoSolution(f"gamma = {gamma:.10g}: the replicon of the retrieval branch is positive at every "
                                 "temperature that a float can hold; take a larger gamma")
            temperature = np.geomspace(min(0.05 * scale, 0.01 * top), top * (1 - 1e-9), 48)
        else:
            bottom = invert_line(branches.spinodal_loads, branches.spinodal_line, gamma, lowest=True)
            temperature = np.linspace(bottom, top, 50)[1:-1]
        replicon = branches.replicon(np.full(temperature.shape, gamma), temperature)
        edges = np.flatnonzero((replicon[:-1] < 0) & (replicon[1:] >= 0))
        if not edges.size:
            side = "positive" if np.nanmin(replicon) > 0 else "negative"
            raise NoSolution(f"gamma = {gamma:.10g}: the replicon of the retrieval branch is {side} wherever the "
                             f"branch exists, temperature {temperature[0]:.6g} to {top:.6g}")
        below, above = np.log(temperature[edges[-1]:edges[-1] + 2])
        root = bracketed_root(lambda x, _: branches.replicon(np.array([gamma]), np.exp(x)), below, above)
        edge = self.solve(gamma, math.exp(root[0]))
        return boundary("at", edge, edge.replicon)

    def glass_temperature(self, gamma=1.0, kind="continuous") -> Boundary:
        """Temperature at which the paramagnet gives way to the glass at load gamma.

        kind = "continuous": P = 2, T = 1 + sqrt(alpha); naive even P >= 4, T = sqrt(g''(0) gamma/2), where the replicon
        of the paramagnet vanishes. Where the glass appears with a jump of q1 (1RSB; distinct indices with P >= 3, naive
        ones with even P >= 6): "static", where it begins to dominate (theta = 1, complexity 0); "dynamic", where its
        states appear; "gardner", where they break further. All scale as sqrt(gamma). Raises ParameterError where the
        kind does not apply.
        """
        gamma, _ = _check_point(gamma, 0.0, "RS")
        check_choice("kind", kind, ("static", "dynamic", "gardner", "continuous"))
        if kind != "continuous":
            return self._one_step.glass_temperature(gamma, kind)
        if self.law.p_body == 2:
            temperature = self.branches.glass.onset_temperature(gamma)
        elif self.law.hamiltonian == "naive" and self.law.p_body % 2 == 0:
            temperature = math.sqrt(gamma * self.branches.equations.noise.g(0.0, 2) / 2)
        else:
            reason = ("its glass appears discontinuously" if self.law.hamiltonian == "distinct" else
                      "its random-field term leaves no paramagnet with q = 0")
            raise ParameterError(f"kind = 'continuous' does not apply to {self!r}: {reason}; it applies to P = 2 and "
                                 "to even naive P")
        if gamma == 0:
            raise NoSolution("gamma = 0: there is no glass without load; take gamma > 0")
        states = self.branches.states("paramagnet", np.array([gamma]), np.array([temperature]))
        edge = solution("paramagnet", states, marginal=True)
        return boundary("continuous", edge, edge.replicon)

    def phase_diagram(self, gamma, temperature, ansatz="RS") -> PhaseDiagram:
        """Phases on the grid gamma x temperature (1-d increasing arrays), with the lines between them.

        Labels follow from the lines, which are traced by continuation at every temperature of the grid: retrieval
        exists up to its spinodal and is the lowest state up to the transition; elsewhere the label is glass above the
        onset of the glass branch, else paramagnet. With ansatz = "1RSB" the lines of both ansaetze are given. Cost:
        about 1 s for 100 x 100 points, 10 s for unsupervised data with n_examples, 1RSB 1 to 2 minutes.
        """
        _check_point(0.0, 0.0, ansatz)
        gamma, temperature = _check_axis("gamma", gamma), _check_axis("temperature", temperature)
        examples = self.examples if self.examples.exist else None
        if ansatz == "1RSB":
            return PhaseDiagram.assemble_one_step(self._one_step.lines, gamma, temperature, examples)
        return PhaseDiagram.assemble(self.branches, gamma, temperature, examples)

    # ---- helpers -----------------------------------------------------------------------------------------------------

    def _fold(self, temperature: float) -> Fold:
        if temperature not in self._folds:
            if len(self._folds) >= 4096:
                self._folds.clear()
            self._folds[temperature] = self.branches.retrieval.fold(temperature)
        return self._folds[temperature]

    def _crossing(self, gamma, temperature) -> Boundary:
        retrieval = self.solve(gamma, temperature)
        frozen = gamma > self.branches.glass.onset(np.float64(temperature))
        other = self.solve(gamma, temperature, branch="glass" if frozen else "paramagnet")
        left = self.branches.transition_error(np.array([gamma]), np.array([temperature]), self._fold(temperature))[0]
        return boundary("transition", retrieval, left, other=other)

    def _require_retrieval(self, gamma, temperature):
        end = self._fold(temperature).gamma[0]
        if gamma <= end:
            return
        if np.isnan(end) and gamma == 0 and temperature < self.branches.retrieval.start_temperature:
            return
        where = self._no_fold(temperature) if np.isnan(end) else (
            f"the retrieval branch ends at gamma = {end:.10g} at this temperature")
        try:
            other = f"up to temperature = {self.spinodal_temperature(gamma).temperature:.10g}"
            line = self.branches.spinodal_line
            if gamma > line.gamma[0]:
                bottom = invert_line(self.branches.spinodal_loads, line, gamma, lowest=True)
                other = f"from temperature = {bottom:.10g} {other}"
        except NoSolution:
            other = "at no temperature"
        raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: {where}; "
                         f"at this gamma it exists {other}")

    def _no_fold(self, temperature) -> str:
        limit = self.branches.retrieval.start_temperature
        if temperature >= limit:
            return f"no retrieval at any gamma; it exists below temperature = {limit:.10g}, where it ends at gamma = 0"
        return "retrieval has no fold at this temperature: it fades into the states without retrieval; change temperature"

    def _require_glass(self, gamma, temperature):
        onset = float(self.branches.glass.onset(np.float64(temperature)))
        if gamma > onset:
            return
        limit = f", and below temperature = {self.branches.glass.onset_temperature(gamma):.10g} at this gamma"
        raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the glass branch exists for gamma > "
                         f"{onset:.10g} at this temperature{limit if gamma > 0 else ''}")

    def _require_paramagnet(self, gamma, temperature):
        if gamma == 0:
            return
        point = f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: "
        if self.law.p_body > 2 and self.branches.equations.noise.g(0.0, 1) > 0:
            raise NoSolution(point + "odd naive P has a random-field term, so that q = 0 is a state at gamma = 0 only; "
                             "use branch = 'glass'")
        if self.law.p_body == 2 and temperature <= 1:
            raise NoSolution(point + "the paramagnet with gamma > 0 exists above temperature = 1 only (C = 1/T must "
                             "stay below 1); use branch = 'glass'")
        if temperature == 0:
            raise NoSolution(point + "the paramagnet with gamma > 0 exists above temperature = 0 only; use "
                             "branch = 'glass'")


def _check_point(gamma, temperature, ansatz) -> tuple[float, float]:
    check_choice("ansatz", ansatz, ("RS", "1RSB"))
    gamma = check_real("gamma", gamma, 0.0, 1e6, remedy="gamma is the load (P!/2) K/N^(P-1), alpha for P = 2")
    temperature = check_real("temperature", temperature, 0.0, 1e6, remedy="temperature is T = 1/beta in units of H")
    for name, value in (("gamma", gamma), ("temperature", temperature)):
        if 0 < value < _SMALLEST:
            raise ParameterError(f"{name} = {value!r} lies between 0 and {_SMALLEST:g}, where 1/{name} overflows; "
                                 "use 0.0")
    return gamma, temperature


def _symmetric(temperature: float, ansatz: str) -> float:
    if ansatz != "RS":
        raise ParameterError(f"ansatz = {ansatz!r} with branch = 'example': states that follow one example are known "
                             "replica-symmetric only; use ansatz = 'RS'")
    return temperature


def _check_axis(name: str, values) -> np.ndarray:
    axis = float_array(values)
    good = axis.ndim == 1 and axis.size > 0 and bool(np.all(np.isfinite(axis)))
    if not good or axis[0] < 0 or axis[-1] > 1e6 or np.any(np.diff(axis) <= 0):
        raise ParameterError(f"{name} = {shown(values)} is not a 1-d increasing array of numbers in [0, 1e6]; use for "
                             f"example {name} = numpy.linspace(0, 1, 100)")
    return axis
