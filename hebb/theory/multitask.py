"""Theory of multitasking Hopfield networks at low storage: states, their free energies and where they are stable.

    H = -scale (N/2) sum_mu g_mu^2 ,    g_mu = (1/N) sum_i y_i^mu s_i ,    E y^2 = p = 1 - d

with K patterns whose entries are 0 with probability d (the dilution), exact for N -> infinity at fixed K (arXiv:2308.04106;
in its units, normalize_dilution = True, T_c = 1). The free energy per spin, of which states are stationary points, is

    f(g) = scale [ |g|^2/2 - T' E log 2cosh(y.g/T') ] ,    T' = T/scale .

Unsupervised learning has the states of supervised learning as those that treat all examples of a pattern alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from ..errors import NoSolution, ParameterError
from ..params import MultitaskLaw, check_choice, check_integer, check_real
from .column_integral import ColumnIntegral
from .columns import columns_of
from .multitask_states import (
    CONVERGED,
    Found,
    canonical,
    distinct,
    find_states,
    groups_of,
    judged,
    multiplicities,
    names,
    starts,
    starts_of,
    tidy,
)
from .solver import bracketed_root
from .vertices import LARGEST_COMPLETE, vertices

__all__ = ["Multitask", "MultitaskState", "StabilityEdge"]


@dataclass(frozen=True)
class MultitaskState:
    """One stationary point of the free energy; numbers per spin, k_B = 1.

    branch: its name, see `hebb.theory.multitask_states`. m (K,): overlaps with the archetypes, in descending order (at
    most p = 1 - d); n (K,): overlaps with the stored averages, g/sqrt(1+rho), which are m without a dataset.
    free_energy, entropy = -df/dT, energy = f + T s: in units of H (normalize_dilution and normalize_examples scale them).
    smallest_hessian_eigenvalue: of 1 - J, the second derivative of f/scale (-inf at T = 0 with ties); stable: whether it is
    positive, so that the state is a local minimum. residual: largest |F(g) - g|; converged: whether it is of rounding.
    """

    branch: str
    n_patterns: int
    dilution: float
    temperature: float
    m: np.ndarray
    n: np.ndarray
    free_energy: float
    energy: float
    entropy: float
    smallest_hessian_eigenvalue: float
    stable: bool
    converged: bool
    residual: float


@dataclass(frozen=True)
class StabilityEdge:
    """Where a branch becomes unstable or ends: the temperature, the dilution and the state there.

    residual: its smallest Hessian eigenvalue, which should vanish (0 at T = 0, where a branch ends by itself)."""

    branch: str
    dilution: float
    temperature: float
    solution: MultitaskState
    residual: float
    converged: bool


class Multitask:
    """Mean-field theory of K diluted patterns: exact for every K, every dataset and every temperature T >= 0.

    n_patterns: K >= 1; dilution: d in [0, 1). Noisy datasets: r and n_examples (exact for finite M) or rho (limit of many
    examples), protocol "supervised" or "unsupervised". normalize_dilution, normalize_examples: see
    `hebb.params.MultitaskLaw`. Temperatures are in units of H: T_c = p by default.

    Names of states: `hebb.theory.multitask_states`. Methods raise ParameterError for values out of range. Cost: 1-10 ms a
    state for K <= 7; beyond that, and for datasets, an integral of cost O(K/T) per evaluation: 0.1 s a state for K = 12.
    """

    def __init__(self, n_patterns, dilution, r=None, n_examples=None, rho=None, protocol=None, normalize_dilution=False,
                 normalize_examples=True):
        self.law = MultitaskLaw.from_keywords(n_patterns, dilution, r, n_examples, rho, protocol, normalize_dilution,
                                              normalize_examples)
        self.columns = columns_of(self.law)

    def __repr__(self) -> str:
        dataset = self.law.dataset_name
        return f"Multitask(n_patterns={self.law.n_patterns}, dilution={self.law.dilution!r}{dataset and f', {dataset}'})"

    # ---- states ------------------------------------------------------------------------------------------------------

    def critical_temperature(self) -> float:
        """T_c = scale p, above which the paramagnet is the only state, for every K and every dataset."""
        return self.law.scale * self.law.density

    def solve(self, temperature, branch="hierarchical") -> MultitaskState:
        """The state of one branch at T >= 0; where several have its name, a stable one and of those the lowest.

        Unstable states (saddles) are returned as such, stable = False. "hierarchical" where the amplitudes differ but are
        not dominated by the largest is the state of K different amplitudes, and carries its own name. At T = 0 stored
        patterns have stable states only: the exact vertices of `hebb.theory.vertices`, whose names are taken too.
        Raises NoSolution, naming the nearest temperature where it exists, if the branch does not exist here.
        """
        temperature = check_real("temperature", temperature, 0.0)
        sizes = multiplicities(branch, self.law.n_patterns)
        state = self._find(temperature, branch, sizes)
        if state is None:
            raise NoSolution(f"no {branch} state of {self!r} at T = {temperature:.6g}; "
                             f"{self._where(temperature, branch, sizes)}")
        return state

    def states(self, temperature) -> list[MultitaskState]:
        """All stable states found at T >= 0, lowest free energy first, once for all signs and permutations.

        T = 0, stored patterns: complete up to K = 5. T > 0: descents from states of every name (up to K = 5, beyond that
        from pure, parallel and hierarchical ones of some patterns), off their symmetry, and from the vertices.
        """
        temperature = check_real("temperature", temperature, 0.0)
        law = self.law
        if temperature == 0 and law.protocol == "storage":
            return [self._vertex_state(vertex) for vertex in vertices(law.n_patterns, law.dilution)]
        begin = self._with_vertices(starts(law.n_patterns) * law.density)
        found = distinct(find_states(self.columns, temperature / law.scale, begin), law.density)
        states = [self._state(found.g[k], temperature) for k in range(len(begin)) if np.isfinite(found.free_energy[k])]
        return [state for state in states if state.stable]

    def _find(self, temperature: float, branch: str, sizes) -> MultitaskState | None:
        law, reduced = self.law, temperature / self.law.scale
        if not sizes:
            return self._state(np.zeros(law.n_patterns), temperature)
        if reduced >= law.density:
            return None
        if law.protocol == "storage" and (temperature == 0 or branch.startswith("vertex")):
            return self._find_vertex(temperature, branch)
        found = self._candidates(reduced, branch, sizes, self._starts_of(sizes))
        best = _best(found)
        return self._state(found.g[best], temperature) if best >= 0 else None

    def _find_vertex(self, temperature, branch) -> MultitaskState | None:
        """At T = 0 the state of that name; at T > 0 what becomes of a vertex, while it stays in its chamber."""
        law, wanted = self.law, canonical(branch, self.law.n_patterns)
        fitting = [(v, s) for v in vertices(law.n_patterns, law.dilution) if (s := self._vertex_state(v)).branch == wanted]
        if temperature == 0 or not fitting:
            return fitting[0][1] if fitting else None
        vertex, frozen = fitting[0]
        found = find_states(self.columns, temperature / law.scale, frozen.n)
        state = self._state(tidy(found.g), temperature)
        inside = np.all(np.array(vertex.walls) @ state.n > 0)
        return replace(state, branch=branch) if inside and state.converged else None

    def _starts_of(self, sizes) -> np.ndarray:
        begin = starts_of(sizes, self.law.n_patterns, self.law.dilution) * self.law.density
        return self._with_vertices(begin) if len(sizes) == self.law.n_patterns else begin

    def _with_vertices(self, begin) -> np.ndarray:
        """begin (S, K) and, where they are completely known, the states of stored patterns at T = 0."""
        law = self.law
        if law.n_patterns > LARGEST_COMPLETE:
            return begin
        return np.concatenate([begin, [vertex.m(law.dilution) for vertex in vertices(law.n_patterns, law.dilution)]])

    def _candidates(self, reduced, branch, sizes, begin) -> Found:
        """What the starts (S, K) lead to at T' (...,) > 0: f is infinite for other states than the branch."""
        K = self.law.n_patterns
        found = find_states(self.columns, np.asarray(reduced)[..., None], begin, groups_of(sizes, K))
        g, called = tidy(found.g), names(found.g)
        wanted = (called == canonical(branch, K)) & (found.residual <= CONVERGED * self.law.density)
        if branch in ("hierarchical", f"H{K}") and K > 2:
            other = called == canonical(f"mix[{'1' * K}]", K)
            wanted |= other & (found.residual <= CONVERGED * self.law.density) & ~wanted.any(axis=-1, keepdims=True)
        return Found(g, np.where(wanted, found.free_energy, np.inf), self._curvature(g, reduced, found.hessian), found.residual)

    def _curvature(self, g, reduced, hessian) -> np.ndarray:
        """The smallest eigenvalue of the Hessian, over the directions in which examples differ as well."""
        return hessian

    def _state(self, g, temperature: float) -> MultitaskState:
        """The record of amplitudes g (K,), positive and descending."""
        law, columns, reduced = self.law, self.columns, temperature / self.law.scale
        found = judged(columns, reduced, g)
        hessian = float(self._curvature(g, reduced, found.hessian))
        free_energy = law.scale * float(found.free_energy)
        if temperature > 0:
            entropy = float(columns.log_cosh(g, reduced) - g @ columns.field(g, reduced) / reduced)
        else:
            entropy = self._blank**law.n_patterns * math.log(2) if hessian > 0 else math.nan
        energy = free_energy + (temperature * entropy if temperature > 0 else 0.0)
        return MultitaskState(str(names(g)), law.n_patterns, law.dilution, temperature, columns.archetype(g, reduced),
                              g / math.sqrt(1 + law.rho), free_energy, energy, entropy, hessian, hessian > 0,
                              bool(found.residual <= CONVERGED * law.density), float(found.residual))

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

    def _where(self, temperature: float, branch: str, sizes) -> str:
        """Where a branch exists that does not at this temperature, in words."""
        scale, grid = self.law.scale, self._grid()
        if branch.startswith("vertex"):
            exists = np.array([self._find_vertex(t * scale, branch) is not None for t in grid])
        else:
            exists = np.isfinite(self._candidates(grid, branch, sizes, self._starts_of(sizes)).free_energy).any(axis=-1)
        frozen = self.law.protocol == "storage" and self._find_vertex(0.0, branch) is not None
        if not exists.any():
            return "it exists at T = 0 only" if frozen else "no temperature was found where it exists"
        near = np.flatnonzero(exists)[np.argmin(np.abs(grid[exists] - temperature / scale))]
        inside, outside = grid[near], temperature / scale
        if near + 1 < grid.size and outside > inside:
            outside = min(outside, grid[near + 1])
        elif near > 0 and outside < inside:
            outside = max(outside, grid[near - 1])
        for _ in range(12):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if self._find(middle * scale, branch, sizes) is None else (middle, outside)
        return f"the nearest temperature where it exists is T = {inside * scale:.5g}"

    def _grid(self) -> np.ndarray:
        """Temperatures T' below p at which branches are looked for."""
        few = self.law.n_patterns > 7
        low = np.geomspace(1e-2, 4e-2, 4) if isinstance(self.columns, ColumnIntegral) else np.geomspace(1e-4, 4e-2, 20)
        return np.concatenate([low, np.linspace(0.05, 0.9995, 20 if few else 120)]) * self.law.density

    # ---- where states are stable -------------------------------------------------------------------------------------

    def stability_edge(self, branch="pure", which="lower") -> StabilityEdge:
        """The temperature below (which = "lower") or above ("upper") which a branch is no longer stable.

        Of several intervals of stability that at the highest temperatures is meant; T = 0 if it reaches down to there.
        The parallel state of dilutions below 2/3 has both edges. Raises NoSolution if the branch is nowhere stable.
        Exact for the pure state of stored patterns: with t = m/p, d = 1 - (1 - t/atanh t)/t^2 and T = p t/atanh t.
        Cost: 0.1 s for K = 3, 1 s for K = 5.
        """
        check_choice("which", which, ("lower", "upper"))
        law = self.law
        sizes = multiplicities(branch, law.n_patterns)
        if not sizes or branch.startswith("vertex"):
            raise ParameterError(f"branch = {branch!r} has no such edge; name a retrieval state, such as pure or parallel "
                                 "(critical_temperature is that of the paramagnet)")
        several_stored = law.protocol == "storage" and law.n_patterns > 1
        if branch == "pure" and which == "lower" and several_stored and 0 < law.dilution < 2 / 3:
            return self._edge(branch, self._pure_edge(), self._starts_of(sizes))
        grid = self._grid()
        found = self._candidates(grid, branch, sizes, self._starts_of(sizes))
        stable = np.isfinite(found.free_energy) & (found.hessian > 0)
        if not stable.any():
            raise NoSolution(f"the {branch} state of {self!r} is stable at no temperature")
        stable = stable.any(axis=-1)
        top = int(np.flatnonzero(stable)[-1])
        bottom = int(np.flatnonzero(~stable[:top])[-1]) + 1 if not stable[:top].all() else 0
        if which == "lower" and bottom == 0:
            frozen = self._find(0.0, branch, sizes)
            if frozen is not None and frozen.stable:
                return StabilityEdge(branch, law.dilution, 0.0, frozen, 0.0, True)
        inside, outside = (top, top + 1) if which == "upper" else (bottom, bottom - 1)
        best = _best(found)
        begin = np.stack([found.g[k, best[k]] for k in (inside, outside) if 0 <= k < grid.size and best[k] >= 0])
        limits = np.concatenate([[grid[0] / 100], grid, [law.density]])

        def curvature(reduced, rows):
            here = self._candidates(reduced, branch, sizes, begin)
            best = _best(here)
            return np.where(best >= 0, np.take_along_axis(here.hessian, best[:, None], axis=1)[:, 0], -1.0)

        reduced = bracketed_root(curvature, limits[[outside + 1]], grid[[inside]])
        return self._edge(branch, float(reduced[0]), begin)

    def _pure_edge(self) -> float:
        """T' of the lower edge of the pure state of K >= 2 stored patterns, d in ]0, 2/3[: it loses its direction to others."""
        p = self.law.density
        t = bracketed_root(lambda t, rows: (1 - t / np.arctanh(t)) / t**2 - p, np.array([1e-3]), np.array([1 - 1e-16]))[0]
        return p * float(t / np.arctanh(t))

    def _edge(self, branch: str, reduced: float, begin) -> StabilityEdge:
        """The record of an edge at T', where the state is found from begin (S, K)."""
        temperature = reduced * self.law.scale
        found = self._candidates(reduced, branch, multiplicities(branch, self.law.n_patterns), begin)
        state = self._state(found.g[_best(found)], temperature)
        left = abs(state.smallest_hessian_eigenvalue)
        return StabilityEdge(branch, self.law.dilution, temperature, state, left, state.converged and left < 1e-6)

    @classmethod
    def parallel_dilution(cls, n_patterns, lobe="main", **dataset) -> StabilityEdge:
        """The end in d of the dilutions at which the parallel state of K >= 2 patterns is stable at some temperature.

        lobe = "main": the smallest such dilution of the lobe that reaches to d = 1. "odd": the largest one of the lobe that
        begins at d = 0, where the parallel state is the symmetric mixture of the Hopfield model; odd K only (otherwise
        NoSolution). dataset: the further keywords of the class. Cost: 1 s.
        """
        check_integer("n_patterns", n_patterns, 2)
        check_choice("lobe", lobe, ("main", "odd"))

        def flattest(dilution):
            """(largest curvature of the parallel state at any temperature, its T')."""
            theory = cls(n_patterns, dilution, **dataset)
            begin = starts_of((n_patterns,), n_patterns, dilution) * theory.law.density

            def curvature(reduced):
                return theory._candidates(np.atleast_1d(reduced), "parallel", (n_patterns,), begin).hessian[..., 0]

            grid = theory._grid()
            values = curvature(grid)
            k = int(np.argmax(values))
            low, high = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
            best = minimize_scalar(lambda t: -float(curvature(t)[0]), bounds=(low, high), method="bounded",
                                   options={"xatol": 1e-9})
            return max((-best.fun, best.x), (values[k], grid[k]))

        scan = np.linspace(0.02, 0.98, 33)
        stable = np.array([flattest(d)[0] > 0 for d in scan])
        if not (stable[-1] if lobe == "main" else stable[0]):
            raise NoSolution(f"the parallel state of {n_patterns} patterns has no {lobe} lobe of stability")
        k = int(np.flatnonzero(~stable)[-1] if lobe == "main" else np.argmin(stable))
        near = scan[k + 1] if lobe == "main" else scan[k - 1]
        dilution = float(bracketed_root(lambda d, rows: np.array([flattest(x)[0] for x in d]), scan[[k]], np.array([near]))[0])
        theory = cls(n_patterns, dilution, **dataset)
        begin = starts_of((n_patterns,), n_patterns, dilution) * theory.law.density
        return theory._edge("parallel", flattest(dilution)[1], begin)


def _best(found: Found):
    """(...,) index among the S of a stable state, of those the lowest; -1 where every f is infinite."""
    order = np.lexsort((found.free_energy, found.hessian <= 0, np.isinf(found.free_energy)), axis=-1)[..., 0]
    exists = np.isfinite(found.free_energy).any(axis=-1)
    return np.where(exists, order, -1)
