"""Standard remedies for correlated patterns: other rows in place of the patterns, real-valued.

    centred    eta^mu = xi^mu - a, a the mean image: the covariance rule
    whitened   eta = C^(-1/2) xi, C_mu,nu = (1/N) sum_i xi_i^mu xi_i^nu: orthogonal rows, (1/N) sum_i eta_i^mu eta_i^nu = delta,
               and of all such sets the nearest to xi (symmetric orthogonalisation).

For P = 2 whitened rows have the couplings J = (1/N) eta^T eta = (1/N) xi^T C^(-1) xi, the projection on the span of the
patterns (pseudo-inverse rule: Personnaz, Guyon and Dreyfus, J. Physique Lett. 46, L359 (1985); without self-coupling: Kanter
and Sompolinsky, Phys. Rev. A 35, 380 (1987)), and every xi^mu of +-1 is a fixed point at T = 0 as long as all J_ii < 1. For
P > 2 no such statement holds: the overlap of eta^mu with xi^nu is (C^(1/2))_mu,nu, about half of C_mu,nu.

xi are the rows that would be stored without remedy: patterns, averages of examples (not of +-1), or single examples.
"""

from __future__ import annotations

import numpy as np

from ..errors import ParameterError

__all__ = ["REMEDIES", "whitened"]

REMEDIES = ("none", "centred", "whitened")
_SINGULAR = 1e-9  # smallest eigenvalue of C, relative to the largest, below which C^(-1/2) would be rounding noise


def whitened(rows: np.ndarray) -> np.ndarray:
    """(K, N) float64, C^(-1/2) rows. Raises ParameterError where C is singular. Cost O(K^2 (K + N))."""
    rows = np.asarray(rows, float)
    k, n = rows.shape
    values, vectors = np.linalg.eigh(rows @ rows.T / n)
    if values[0] <= _SINGULAR * values[-1]:
        raise ParameterError(f"remedy = 'whitened' needs linearly independent rows, and the {k} rows of {n} entries have rank "
                             f"{int(np.sum(values > _SINGULAR * values[-1]))}; store fewer, or use remedy = 'centred'")
    return (vectors / np.sqrt(values)) @ (vectors.T @ rows)
