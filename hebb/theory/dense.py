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
from .continuation import invert_line
from .dense_arguments import SMALLEST, check_ansatz, check_axis, check_point, symmetric_only
from .dense_rsb import DenseOneStep
from .example_lines import ExampleLines
from .phases import PhaseDiagram
from .records import boundary, solution
from .retrieval_states import RetrievalStates
from .segments import RETRIEVAL_NAMES
from .solver import bracketed_root

__all__ = ["Dense"]

BRANCHES = (*RETRIEVAL_NAMES, "glass", "paramagnet", "example")
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

    Branches: "retrieval" (n > 0), "glass" (n = 0 < q), "paramagnet" (n = q = 0) and, RS for unsupervised data, "example":
    spins follow one example of the pattern (`ExampleState`; lines: `Dense.examples`, an `ExampleLines`). For odd P
    retrieval has n > 0 only. Odd naive P have a random-field term: no q = 0 state exists, every n = 0 state has q > 0 and
    is called glass; its replicon tells whether it is frozen.
    Few noisy examples can split retrieval into several stretches of loads, each with a state of its own, which exchange
    in a first-order transition: spins whose examples disagree follow the noise first. "retrieval_high" is the state of
    largest overlap, "retrieval_low" that of the smallest, "retrieval_middle" one between. "retrieval" is the one of
    largest overlap, unless another one is stable (replicon > 0) and lower in f. RS with P >= 3 has such stretches of
    negative replicon at low temperature in most networks: they are no states, but where they reach beyond the others the
    end of retrieval is nearer to theirs (1RSB has one stretch there). `retrieval_states` lists all at one point.

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
        self._retrieval = RetrievalStates(self.branches)

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
        gamma, temperature = check_point(gamma, temperature, ansatz)
        check_choice("branch", branch, BRANCHES)
        check_ansatz(branch, ansatz)
        if branch == "example":
            return self.examples.solve(gamma, symmetric_only(temperature, ansatz))
        if ansatz == "1RSB":
            return self._one_step.solve(gamma, temperature, branch)
        if branch in RETRIEVAL_NAMES:
            return self._retrieval.solve(gamma, temperature, branch)
        getattr(self, f"_require_{branch}")(gamma, temperature)
        if temperature == 0 and branch == "paramagnet":
            return _FREE_SPINS
        states = self.branches.states(branch, np.array([gamma]), np.array([temperature]))
        if branch == "glass" and not states.residual[0] < _LOST:
            raise NoSolution(f"gamma = {gamma:.10g}, temperature = {temperature:.10g}: the glass is lost in rounding, "
                             + (f"as 1 - C ~ sqrt(gamma); take gamma > {_RESOLVED:g}"
                                if self.law.p_body == 2 and temperature <= 1 else
                                "so close to its onset; take a temperature below "
                                f"{self.branches.glass.onset_temperature(gamma) * (1 - 1e-6):.10g}"))
        return solution(branch, states)

    def retrieval_states(self, gamma, temperature) -> tuple[Solution, ...]:
        """All RS retrieval states at one point, by falling overlap: minima of f over n and maxima over q.

        Empty where there is none. Each has the name that `solve` takes as branch; `stable` tells whether its replicon is
        positive, and f which one is the lowest. Cost: 20 ms.

        >>> [round(state.m, 4) for state in Dense(2, r=0.5, n_examples=5).retrieval_states(0.00668, 0.1)]
        [0.7778, 0.7596]
        """
        return self._retrieval.states(*check_point(gamma, temperature, "RS"))

    def curve(self, temperature, branch="retrieval", ansatz="RS", points=200, gamma_max=None) -> Curve:
        """A branch at fixed temperature as arrays, for example m(gamma): `points` loads from its beginning to its end.

        Retrieval ends at its spinodal (loads crowd there, where m has a square-root edge) unless gamma_max is smaller, and
        jumps where one state of it replaces another; "retrieval_high" and "retrieval_low" are continuous. Glass and
        paramagnet need gamma_max. Cost: 0.1 ms per point. Raises NoSolution where there is no such branch.
        """
        _, temperature = check_point(0.0, temperature, ansatz)
        check_choice("branch", branch, BRANCHES)
        points = check_integer("points", points, 2)
        start, end, segments = 0.0, math.inf, None
        if branch in RETRIEVAL_NAMES:
            check_ansatz(branch, ansatz)
            if branch != "retrieval":
                start = self._retrieval.part(temperature, branch).gamma_start[0]
            end, segments = self.spinodal(temperature, ansatz, branch).gamma, self._retrieval.at(temperature).repeated(points)
        elif branch == "example":
            end = self.examples.spinodal(symmetric_only(temperature, ansatz)).gamma
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
        crowded = branch in (*RETRIEVAL_NAMES, "example")
        gamma = start + (end - start) * (share * (2 - share) if crowded else share)
        if ansatz == "1RSB" and branch != "paramagnet":
            return self._one_step.curve(temperature, branch, gamma[1:] if branch == "glass" else gamma)
        states = (self.examples.states(gamma, np.full(points, temperature)) if branch == "example" else
                  self.branches.states(branch, gamma, np.full(points, temperature), segments))
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
        gamma, temperature = check_point(gamma, temperature, "1RSB")
        values = np.atleast_1d(float_array(x))
        if values.ndim != 1 or not values.size or not np.all(np.isfinite(values) & (values > 0)):
            raise ParameterError(f"x = {shown(x)} is not an array of positive numbers; x = theta/T, for example "
                                 "numpy.linspace(0.5, 1, 20) times Dense.solve(...).breaking_slope")
        if gamma == 0:
            raise NoSolution("gamma = 0: there is no glass without load; take gamma > 0")
        return self._one_step.complexity(gamma, temperature, values)

    # ---- lines -------------------------------------------------------------------------------------------------------

    def spinodal(self, temperature, ansatz="RS", branch="retrieval") -> Boundary:
        """End of retrieval in gamma at this temperature: the outermost of the loads at which its states end.

        branch: "retrieval_high", "retrieval_middle" or "retrieval_low" for the end of one of several states (RS). The load
        at which a lower one begins: `onset`. Raises NoSolution above the highest temperature of retrieval, and for a name
        that no state has.
        """
        _, temperature = check_point(0.0, temperature, ansatz)
        check_choice("branch", branch, RETRIEVAL_NAMES)
        check_ansatz(branch, ansatz)
        if ansatz == "1RSB":
            return self._one_step.spinodal(temperature)
        return self._retrieval.spinodal(temperature, branch)

    def onset(self, temperature, branch="retrieval_low") -> Boundary:
        """Smallest load of a retrieval state that does not reach gamma = 0 (RS): it appears there with a jump.

        Raises NoSolution where there is no such state.
        """
        _, temperature = check_point(0.0, temperature, "RS")
        check_choice("branch", branch, ("retrieval_low", "retrieval_middle"))
        return self._retrieval.onset(temperature, branch)

    def exchange(self, temperature) -> Boundary:
        """Load at which "retrieval_high" and the retrieval state next to it have equal free energy (RS, first order).

        solution: the state of larger overlap, the lower one below this load; other: the one of smaller overlap; residual:
        the difference of the free energies. Raises NoSolution where there is only one state.
        """
        _, temperature = check_point(0.0, temperature, "RS")
        return self._retrieval.exchange(temperature)

    def spinodal_temperature(self, gamma, ansatz="RS") -> Boundary:
        """The highest temperature at which the retrieval branch exists at load gamma (RS lines are re-entrant).

        Raises NoSolution beyond the largest load of the line.
        """
        gamma, _ = check_point(gamma, 0.0, ansatz)
        if ansatz == "1RSB":
            return self._one_step.spinodal_temperature(gamma)
        if gamma == 0:
            state = self.branches.low_load_state(self.branches.retrieval.start_v)
            return boundary("spinodal", solution("retrieval", state, marginal=True), 0.0)
        temperature = self._retrieval.highest_temperature(gamma)
        end = self.spinodal(temperature).solution
        return boundary("spinodal", end, end.gamma - gamma, gamma=gamma)

    def transition(self, temperature, ansatz="RS") -> Boundary:
        """Load at which retrieval and the best other RS state (glass where it exists, else paramagnet) have equal f.

        `other` is the competing state, `residual` the difference of the free energies. Where the RS glass of P >= 3
        appears with a free energy already below retrieval, the transition is that onset and residual the distance to
        it. Raises NoSolution where the free energies do not cross.
        """
        _, temperature = check_point(0.0, temperature, ansatz)
        if ansatz == "1RSB":
            return self._one_step.transition(temperature)
        end = self.spinodal(temperature).gamma
        gamma = float(self.branches.transition_loads(np.array([temperature]), self._retrieval.at(temperature))[0])
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
        gamma, _ = check_point(gamma, 0.0, ansatz)
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
        gamma, _ = check_point(gamma, 0.0, ansatz)
        branches = self.branches
        top = self.spinodal_temperature(gamma).temperature
        if gamma <= self._retrieval.at(0.0).end.gamma[0]:
            scale = branches.frozen_at_temperature(gamma) if gamma > 0 else 0.0
            if scale < SMALLEST:
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
        for k in edges[::-1]:
            below, above = np.log(temperature[k:k + 2])
            root = bracketed_root(lambda x, _: branches.replicon(np.array([gamma]), np.exp(x)), below, above)
            edge = self.solve(gamma, math.exp(root[0]))
            if abs(edge.replicon) < 1e-6 or k == edges[0]:       # else one state replaces another there
                break
        return boundary("at", edge, edge.replicon)

    def glass_temperature(self, gamma=1.0, kind="continuous") -> Boundary:
        """Temperature at which the paramagnet gives way to the glass at load gamma.

        kind = "continuous": P = 2, T = 1 + sqrt(alpha); naive even P >= 4, T = sqrt(g''(0) gamma/2), where the replicon
        of the paramagnet vanishes. Where the glass appears with a jump of q1 (1RSB; distinct indices with P >= 3, naive
        ones with even P >= 6): "static", where it begins to dominate (theta = 1, complexity 0); "dynamic", where its
        states appear; "gardner", where they break further. All scale as sqrt(gamma). Raises ParameterError where the
        kind does not apply.
        """
        gamma, _ = check_point(gamma, 0.0, "RS")
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
        check_point(0.0, 0.0, ansatz)
        gamma, temperature = check_axis("gamma", gamma), check_axis("temperature", temperature)
        examples = self.examples if self.examples.exist else None
        if ansatz == "1RSB":
            return PhaseDiagram.assemble_one_step(self._one_step.lines, gamma, temperature, examples)
        return PhaseDiagram.assemble(self.branches, gamma, temperature, examples)

    # ---- helpers -----------------------------------------------------------------------------------------------------

    def _crossing(self, gamma, temperature) -> Boundary:
        retrieval = self.solve(gamma, temperature)
        frozen = gamma > self.branches.glass.onset(np.float64(temperature))
        other = self.solve(gamma, temperature, branch="glass" if frozen else "paramagnet")
        left = self.branches.transition_error(np.array([gamma]), np.array([temperature]), self._retrieval.at(temperature))[0]
        return boundary("transition", retrieval, left, other=other)

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
