"""Records that the theory of multitasking networks returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["MultitaskState", "StabilityEdge"]


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
    """Where a branch becomes unstable or ends: the temperature, the dilution and the state there (marginal: stable = False).

    residual: its smallest Hessian eigenvalue, which should vanish (0 at T = 0, where a branch ends by itself)."""

    branch: str
    dilution: float
    temperature: float
    solution: MultitaskState
    residual: float
    converged: bool
