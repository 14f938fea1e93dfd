"""Theory of multitasking Hopfield networks at low storage: states, their free energies and where they are stable.

    H = -scale (N/2) sum_mu g_mu^2 ,    g_mu = (1/N) sum_i y_i^mu s_i ,    E y^2 = p = 1 - d

with K patterns whose entries are 0 with probability d (the dilution), exact for N -> infinity at fixed K (arXiv:2308.04106).
normalize_dilution = True divides H by p, so that T_c = 1. The free energy per spin, of which states are stationary points, is

    f(g) = scale [ |g|^2/2 - T' E log 2cosh(y.g/T') ] ,    T' = T/scale .

Unsupervised learning has the states of supervised learning as those that treat all examples of a pattern alike.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.stats import binom

from ..errors import NoSolution, ParameterError
from ..params import MultitaskLaw, check_choice, check_integer, check_real
from .columns import Columns
from .multitask_branches import Branches, best, check_affordable
from .multitask_edges import parallel_dilution, pure_edge, temperature_edge
from .multitask_examples import example_state
from .multitask_learning import (
    ClassThreshold,
    ExampleCrossing,
    ParallelThreshold,
    class_threshold,
    example_crossing,
    multicritical_dilution,
    one_step,
    parallel_threshold,
)
from .multitask_phases import MultitaskDiagram
from .multitask_records import MultitaskState, StabilityEdge
from .multitask_states import CONVERGED, canonical, distinct, find_states, held, judged, multiplicities, names, starts, tidy
from .vertices import vertices

__all__ = ["Multitask", "MultitaskState", "StabilityEdge"]


class Multitask:
    """Mean-field theory of K diluted patterns: exact for every K, every dataset and every temperature T >= 0.

    n_patterns: K >= 1; dilution: d in [0, 1). Noisy datasets: r and n_examples (exact for finite M) or rho (limit of many
    examples), protocol "supervised" or "unsupervised". normalize_dilution, normalize_examples: see
    `hebb.params.MultitaskLaw`. Temperatures are in units of H: T_c = p by default.

    Names of states: `hebb.theory.multitask_states`. Methods raise ParameterError for values out of range. Cost: 1-10 ms a
    state for K <= 8; beyond that, and for datasets, an integral of cost O(K/T) per evaluation: 10 ms a state for K = 12,
    half a minute for all states of K = 100.
    """

    def __init__(self, n_patterns, dilution, r=None, n_examples=None, rho=None, protocol=None, normalize_dilution=False,
                 normalize_examples=True):
        self.law = MultitaskLaw.from_keywords(n_patterns, dilution, r, n_examples, rho, protocol, normalize_dilution,
                                              normalize_examples)
        self.branches = Branches(self.law)
        self.columns = self.branches.columns

    def __repr__(self) -> str:
        dataset = self.law.dataset_name
        return f"Multitask(n_patterns={self.law.n_patterns}, dilution={self.law.dilution!r}{dataset and f', {dataset}'})"

    # ---- states ------------------------------------------------------------------------------------------------------

    def critical_temperature(self) -> float:
        """T_c = scale p, above which the paramagnet is the only state, for every K and every dataset."""
        return self.law.scale * self.law.density

    def solve(self, temperature, branch="hierarchical") -> MultitaskState:
        """The state of one branch at T >= 0; where several have its name, a stable one and of those the lowest.

        Unstable states (saddles) are returned as such, stable = False. At T > 0 "hierarchical" also stands for
        the lowest state if its K amplitudes differ without each being above the sum of the smaller ones, which carries its
        own name. At T = 0 stored patterns have stable states only: the exact vertices of `hebb.theory.vertices`, whose names
        are taken too.
        "example", unsupervised: the state that follows one example, an `ExampleState` of `hebb.theory.multitask_examples`.
        Raises NoSolution, naming the nearest temperature where it exists, if the branch does not exist here.
        """
        temperature = self._checked(temperature)
        if branch == "example":
            return example_state(self.law, temperature)
        multiplicities(branch, self.law.n_patterns)
        state = self._find(temperature, branch)
        if state is None:
            raise NoSolution(f"no {branch} state of {self!r} at T = {temperature:.6g}; "
                             f"{self._where(temperature, branch)}")
        return state

    def states(self, temperature) -> list[MultitaskState]:
        """All stable states found at T >= 0, lowest free energy first, once for all signs and permutations.

        T = 0, stored patterns: complete up to K = 5. T > 0: descents from states of every name (up to K = 5, beyond that
        from pure, parallel and hierarchical ones of some patterns), off their symmetry, and from the vertices. Empty where
        none that treats the examples alike is stable (unsupervised). Raises NoSolution where the
        forces that hold the states are lost to rounding (rho of millions, or T within about 1e-8 of T_c).
        """
        temperature, law = self._checked(temperature), self.law
        if temperature == 0 and law.protocol == "storage":
            return [self._vertex_state(vertex) for vertex in vertices(law.n_patterns, law.dilution)]
        if temperature >= self.critical_temperature():
            return [self._paramagnet(temperature)]
        check_affordable(law.n_patterns)
        begin = self.branches.with_vertices(starts(law.n_patterns) * law.density)
        found = distinct(self.branches.descend(np.array([temperature / law.scale]), begin), law.density)
        known = found.g[np.isfinite(found.free_energy)]
        known = known[held(self.columns, temperature / law.scale, known)]
        if not len(known):
            raise NoSolution(f"{self!r} at T = {temperature!r}: the free energies of its states differ by less than rounding; "
                             f"none can be named: lower {'the temperature' if law.rho < 1e3 else 'rho'}")
        states = [self._state(g, temperature) if g.any() else self._paramagnet(temperature) for g in known]
        return [state for state in states if state.stable]

    def _checked(self, temperature) -> float:
        temperature, lowest = check_real("temperature", temperature, 0.0), 1e-9 * self.critical_temperature()
        if 0 < temperature < lowest:
            raise ParameterError(f"temperature = {temperature!r} is below {lowest:.2g} = 1e-9 T_c, where entropies are lost to "
                                 "rounding; use 0")
        return temperature

    def _find(self, temperature: float, branch: str) -> MultitaskState | None:
        law, reduced = self.law, temperature / self.law.scale
        if branch == "paramagnet":
            return self._paramagnet(temperature)
        if reduced >= law.density:
            return None
        if law.protocol == "storage" and (temperature == 0 or branch.startswith("vertex")):
            return self._find_vertex(temperature, branch)
        found = self.branches.find(reduced, branch, self.branches.starts(branch))
        index = best(found)
        return self._state(found.g[index], temperature) if index >= 0 else None

    def _find_vertex(self, temperature, branch) -> MultitaskState | None:
        """At T = 0 the state of that name; at T > 0 what becomes of a vertex, while it stays in its chamber."""
        law, wanted = self.law, canonical(branch, self.law.n_patterns)
        states = [(vertex, self._vertex_state(vertex)) for vertex in vertices(law.n_patterns, law.dilution)]
        fitting = [pair for pair in states if wanted == pair[1].branch or wanted == names(pair[1].m)]
        if temperature == 0 or not fitting:
            return fitting[0][1] if fitting else None
        vertex, frozen = fitting[0]
        found = find_states(self.columns, temperature / law.scale, frozen.n)
        state = self._state(tidy(found.g), temperature)
        inside = np.all(np.array(vertex.walls) @ state.n > 0)
        return replace(state, branch=branch) if inside and state.converged else None

    def _state(self, g, temperature: float) -> MultitaskState:
        """The record of amplitudes g (K,), positive and descending."""
        law, columns, reduced = self.law, self.columns, temperature / self.law.scale
        found = judged(columns, reduced, g)
        hessian = float(np.minimum(found.hessian, self.branches.example_modes(g, reduced)))
        free_energy = law.scale * float(found.free_energy)
        if temperature > 0:
            entropy = float(columns.log_cosh(g, reduced) - g @ columns.field(g, reduced) / reduced)
        else:
            entropy = self._blank**law.n_patterns * math.log(2) if hessian > 0 else math.nan
        energy = free_energy + (temperature * entropy if temperature > 0 else 0.0)
        return MultitaskState(str(names(g)), law.n_patterns, law.dilution, temperature, columns.archetype(g, reduced) + 0.0,
                              g / math.sqrt(1 + law.rho), free_energy, energy, entropy, hessian, hessian > 0,
                              bool(found.residual <= CONVERGED * law.density), float(found.residual))

    def _paramagnet(self, temperature: float) -> MultitaskState:
        law, zero = self.law, np.zeros(self.law.n_patterns)
        hessian = 1 - self.critical_temperature() / temperature if temperature > 0 else -math.inf
        return MultitaskState("paramagnet", law.n_patterns, law.dilution, temperature, zero, zero.copy(),
                              -temperature * math.log(2), 0.0, math.log(2), hessian, hessian > -1e-13, True, 0.0)

    @property
    def _blank(self) -> float:
        """Probability that a site stores nothing of a pattern: its entry, or an even number of examples, adds up to zero."""
        law = self.law
        if law.n_examples is None or law.n_examples % 2:
            return law.dilution
        return law.dilution + law.density * float(binom.pmf(law.n_examples // 2, law.n_examples, (1 + law.r) / 2))

    def _vertex_state(self, vertex) -> MultitaskState:
        """A vertex at T = 0, where the free entropy is that of sites without entries."""
        law = self.law
        m = np.array(vertex.m(law.dilution))
        branch = vertex.name if law.dilution > 0 else str(names(m))
        energy = law.scale * float(vertex.energy(law.dilution))
        entropy = law.dilution**law.n_patterns * math.log(2)
        return MultitaskState(branch, law.n_patterns, law.dilution, 0.0, m, m.copy(), energy, energy, entropy,
                              smallest_hessian_eigenvalue=1.0, stable=True, converged=True, residual=0.0)

    def _where(self, temperature: float, branch: str) -> str:
        """Where a branch exists that does not at this temperature, in words."""
        law, grid = self.law, self.branches.grid()
        if law.n_patterns > 16:
            return "states(temperature) lists those that are stable"
        if temperature == 0 and law.protocol == "storage":
            known = [state.branch for state in self.states(0.0)]
            return (f"its stable states there are {', '.join(known[:4])}{', ...' if len(known) > 4 else ''}" if known else
                    "no state of so many patterns is known there; use a small temperature")
        if branch.startswith("vertex"):
            exists = np.array([self._find_vertex(t * law.scale, branch) is not None for t in grid])
        else:
            begin = self.branches.starts(branch)[:None if isinstance(self.columns, Columns) else 2]
            exists = np.isfinite(self.branches.find(grid, branch, begin).free_energy).any(axis=-1)
        if not exists.any():
            lowest = min(temperature, grid[0] * law.scale)
            return (f"it exists at T = 0, up to a temperature below {lowest:.3g}" if self._find(0.0, branch) is not None else
                    f"no temperature was found where it exists, of those from {grid[0] * law.scale:.3g} on that were tried")
        inside = grid[exists][np.argmin(np.abs(grid[exists] - temperature / law.scale))]
        outside = temperature / law.scale
        beyond = grid[(grid > min(inside, outside)) & (grid < max(inside, outside))]
        if beyond.size:                     # the neighbour of the nearest, where it does not exist
            outside = beyond[np.argmin(np.abs(beyond - inside))]
        for _ in range(12):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if self._find(middle * law.scale, branch) is None else (middle, outside)
        nearest = f"{inside * law.scale:.5g}"
        if self._find(float(nearest), branch) is None:         # rounded out of where it exists
            nearest = f"{inside * law.scale:.12g}"
        return f"the nearest temperature where it exists is T = {nearest}"

    # ---- learning from examples --------------------------------------------------------------------------------------

    def one_step(self, m0, temperature=0.0) -> np.ndarray:
        """Archetype overlaps (..., K) after one parallel update of a state with archetype overlaps m0 (..., K).

        temperature: in units in which the fields are sum_mu y_mu m0_mu. T = 0, many examples: m1_mu = E[xi_mu
        erf(xi.m0/sqrt(2 rho sum_nu xi_nu^2 m0_nu^2))]; sums over the binomial law of M examples, or stored patterns.
        """
        return one_step(self.law, m0, temperature)

    def critical_examples(self, r=None, m0=None, column=None, theta2=0.5) -> ClassThreshold:
        """The number of examples with which sites of one archetype column (K,) are updated reliably by a state m0 (K,).

        r: quality (default: that of the dataset); m0: hierarchical by default; column: the worst by default.
        See `hebb.theory.multitask_learning.class_threshold`.
        """
        return class_threshold(self.law, self.law.r if r is None else r, m0, column, theta2)

    def multicritical_dilution(self) -> float:
        """The dilution above which parallel, not pure, states appear at T_c for this dataset: 2/3 for stored patterns."""
        return multicritical_dilution(self.law)

    def parallel_threshold(self, temperature=0.0, r=None, exact=False) -> ParallelThreshold:
        """The dataset entropy rho beyond which noise makes all K amplitudes equal, at this K and dilution.

        See `hebb.theory.multitask_learning.parallel_threshold`; the dataset of the network itself does not matter.
        """
        law, reduced = self.law, self._dataset_free(temperature)
        return replace(parallel_threshold(law.n_patterns, law.dilution, reduced, r, exact), temperature=temperature)

    def example_crossing(self, temperature=0.0, r=None) -> ExampleCrossing:
        """The rho beyond which, in unsupervised learning, following single examples costs less than following all.

        See `hebb.theory.multitask_learning.example_crossing`; with r, whole numbers of examples. The dataset of the network
        itself does not matter; the free energy of the state on the crossing is that of scale = 1.
        """
        law, reduced = self.law, self._dataset_free(temperature)
        return replace(example_crossing(law.n_patterns, law.dilution, reduced, r), temperature=temperature)

    def _dataset_free(self, temperature) -> float:
        """T/scale, where the scale does not depend on the dataset."""
        if not self.law.normalize_examples:
            raise ParameterError("normalize_examples = False makes the unit of temperature depend on the dataset that is "
                                 "looked for here; leave it out")
        return check_real("temperature", temperature, 0.0) / self.law.scale

    # ---- where states are stable -------------------------------------------------------------------------------------

    def stability_edge(self, branch="pure", which="lower") -> StabilityEdge:
        """The temperature below (which = "lower") or above ("upper") which a branch is no longer stable.

        Of several intervals of stability that at the highest temperatures is meant; T = 0 if it reaches down to there.
        The parallel state of dilutions below 2/3 has both edges. Raises NoSolution if the branch is nowhere stable.
        Exact for the pure state of stored patterns: with t = m/p, d = 1 - (1 - t/atanh t)/t^2 and T = p t/atanh t.
        Cost: 0.02 s for parallel, 0.1 s for others.
        """
        check_choice("which", which, ("lower", "upper"))
        law = self.law
        if not multiplicities(branch, law.n_patterns) or branch.startswith("vertex"):
            raise ParameterError(f"branch = {branch!r} has no such edge; name a retrieval state, such as pure or parallel "
                                 "(critical_temperature is that of the paramagnet)")
        several_stored = law.protocol == "storage" and law.n_patterns > 1
        if branch == "pure" and which == "lower" and several_stored and 0 < law.dilution < 2 / 3:
            reduced = pure_edge(law.dilution)
            return self._edge(branch, reduced, self.solve(reduced * law.scale, "pure").n)
        try:
            return self._edge(branch, *temperature_edge(self.branches, branch, which))
        except NoSolution as missing:
            raise NoSolution(f"the {branch} state of {self!r} is {missing}") from None

    def _edge(self, branch: str, reduced: float, g) -> StabilityEdge:
        """The record of an edge at T' and the amplitudes g there."""
        temperature = reduced * self.law.scale
        if reduced > 0:
            state = replace(self._state(tidy(g), temperature), stable=False)
        elif known := self.law.protocol == "storage" and self.states(0.0):
            state = min(known, key=lambda frozen: np.abs(frozen.n - tidy(g)).max())
        elif self.law.protocol == "storage":        # so many patterns that no vertices are known
            state = self._state(tidy(g), self.branches.grid()[0] * self.law.scale)
        else:
            state = self._state(tidy(find_states(self.columns, 0.0, g).g), 0.0)
        left = abs(state.smallest_hessian_eigenvalue) if reduced > 0 else 0.0
        settled = state.residual <= 1e-9 * self.law.density          # soft as it is there
        return StabilityEdge(branch, self.law.dilution, temperature, state, left, settled and left < 1e-6)

    @classmethod
    def parallel_dilution(cls, n_patterns, lobe="main", **dataset) -> StabilityEdge:
        """The end in d of the dilutions at which the parallel state of K >= 2 patterns is stable at some temperature.

        lobe = "main": the smallest such dilution of the lobe that reaches to d = 1. "odd": the largest one of the lobe that
        begins at d = 0, where the parallel state is the symmetric mixture of the Hopfield model; odd K only (otherwise
        NoSolution). dataset: the further keywords of the class. Cost: 1 s.
        """
        check_choice("lobe", lobe, ("main", "odd"))
        check_integer("n_patterns", n_patterns, 2)
        try:
            dilution, reduced = parallel_dilution(lambda d: cls(n_patterns, d, **dataset).law, lobe)
        except NoSolution as missing:
            raise NoSolution(f"the parallel state of {n_patterns} patterns {missing}") from None
        theory = cls(n_patterns, dilution, **dataset)
        found = theory.branches.find(reduced, "parallel", theory.branches.starts("parallel"))
        return theory._edge("parallel", reduced, found.g[0])

    @classmethod
    def phase_diagram(cls, n_patterns, dilution, temperature, **dataset) -> MultitaskDiagram:
        """All stable states on a grid of dilutions and temperatures (increasing arrays), and the lines between them.

        dataset: the further keywords of the class. See `hebb.theory.multitask_phases.MultitaskDiagram`.
        """
        return MultitaskDiagram.compute(MultitaskLaw.from_keywords(n_patterns, 0.0, **dataset), dilution, temperature)
