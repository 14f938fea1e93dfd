"""Branches of states of one multitasking network: states by name at many temperatures at once."""

from __future__ import annotations

import numpy as np

from ..errors import ParameterError
from ..params import MultitaskLaw
from ..progress import counted
from .column_integral import ColumnIntegral
from .columns import columns_of
from .multitask_examples import example_modes
from .multitask_states import CONVERGED, Found, canonical, find_states, groups_of, multiplicities, names, starts_of, tidy
from .vertices import LARGEST_COMPLETE, vertices

__all__ = ["Branches", "best", "check_affordable"]

_MOST_PATTERNS = 200        # amplitudes of a descent, whose cost grows like their third power: minutes for 200
_SHOWN = 16                 # patterns beyond which starts are followed one after the other, to show how far it is


def check_affordable(n_patterns: int) -> None:
    """ParameterError for more patterns than states can be looked for."""
    if n_patterns > _MOST_PATTERNS:
        raise ParameterError(f"n_patterns = {n_patterns} is more than {_MOST_PATTERNS}, and looking for states below T_c would "
                             "take hours; use fewer, or temperature = 0, where that of stored patterns is known in closed form")


class Branches:
    """States of a law in its default normalisation (scale = 1), T > 0, searched within the symmetry of their name."""

    def __init__(self, law: MultitaskLaw):
        self.law, self.columns = law, columns_of(law)

    def grid(self) -> np.ndarray:
        """Temperatures below p at which branches are looked for; fewer where the averages are integrals."""
        if isinstance(self.columns, ColumnIntegral):
            low, points = np.geomspace(1e-2, 4e-2, 4), 40 if self.law.n_patterns <= 4 else 16
        else:
            low, points = np.geomspace(1e-8, 4e-2, 40), 120
        return np.concatenate([low, np.linspace(0.05, 0.9995, points)]) * self.law.density

    def starts(self, branch: str) -> np.ndarray:
        """(S, K) amplitudes to look for a branch from."""
        sizes = multiplicities(branch, self.law.n_patterns)
        check_affordable(self.law.n_patterns)
        begin = starts_of(sizes, self.law.n_patterns, self.law.dilution) * self.law.density
        return self.with_vertices(begin) if len(sizes) == self.law.n_patterns else begin

    def with_vertices(self, begin) -> np.ndarray:
        """begin (S, K) and, where they are completely known, the states of stored patterns at T = 0."""
        K, d = self.law.n_patterns, self.law.dilution
        if K > LARGEST_COMPLETE:
            return begin
        return np.concatenate([begin, [vertex.m(d) for vertex in vertices(K, d)]])

    def find(self, temperature, branch: str, begin) -> Found:
        """What the starts (S, K) lead to at temperatures (...,), as (..., S); f is infinite for states of other names.

        "hierarchical", where there is no such state, means that of K different amplitudes, if it is the lowest one found.
        """
        K, temperature = self.law.n_patterns, np.asarray(temperature, float)[..., None]
        found = self.descend(temperature, begin, groups_of(multiplicities(branch, K), K))
        g, called = tidy(found.g), names(found.g)
        converged = found.residual <= CONVERGED * self.law.density
        wanted = (called == canonical(branch, K)) & converged
        if branch in ("hierarchical", f"H{K}") and K > 2:
            lowest = np.where(converged & (found.hessian > 0), found.free_energy, np.inf).min(axis=-1, keepdims=True)
            other = (called == canonical(f"mix[{'1' * K}]", K)) & converged & (found.free_energy <= lowest)
            wanted |= other & ~wanted.any(axis=-1, keepdims=True)
        hessian = np.minimum(found.hessian, self.example_modes(g, temperature))
        return Found(g, np.where(wanted, found.free_energy, np.inf), hessian, found.residual)

    def descend(self, temperature, begin, groups=None) -> Found:
        """`find_states` from the starts (S, K) at temperatures (..., 1), with progress where it takes long."""
        if self.law.n_patterns <= _SHOWN:
            return find_states(self.columns, temperature, begin, groups)
        found = [find_states(self.columns, temperature, start[None], groups) for start in counted(begin, "start")]
        return Found(*(np.concatenate(arrays, axis=np.ndim(temperature) - 1) for arrays in zip(*found, strict=True)))

    def example_modes(self, g, temperature) -> np.ndarray:
        """The smallest of `multitask_examples.example_modes` (...,): infinite but for unsupervised learning."""
        return example_modes(self.law, g, temperature, self.columns).min(axis=-1)


def best(found: Found) -> np.ndarray:
    """(...,) index among the S of a stable state, of those the lowest; -1 where every f is infinite."""
    order = np.lexsort((found.free_energy, found.hessian <= 0, np.isinf(found.free_energy)), axis=-1)[..., 0]
    return np.where(np.isfinite(found.free_energy).any(axis=-1), order, -1)
