"""What the uncondensed patterns do to a spin whose replica overlaps form a hierarchy of k steps.

Overlaps q_0 <= ... <= q_k with q_k = 1 - T C, breaking points x_1 < ... < x_k (x = parameter of the ansatz over T). The
conjugate r_j(q) of q_j sets the variances of the local field, v_0 = gamma r_0 and v_j = gamma (r_j - r_{j-1}), and

    F = [C r_k + sum_j x_j (r_j q_j - r_{j-1} q_{j-1})]/2 + W(q, C, x)

per unit load is stationary in q and C at fixed r and x. k = 0 is the replica-symmetric law of `hebb.theory.noise`.
Arrays: q (B, k+1), C (B,), x (B, k), temperature (B,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .noise import HopfieldNoise, MixtureNoise, log_remainder

__all__ = ["HopfieldHierarchy", "MixtureHierarchy", "hierarchy"]


def hierarchy(noise: MixtureNoise | HopfieldNoise):
    """The k-step form of a replica-symmetric noise law."""
    return HopfieldHierarchy(noise) if isinstance(noise, HopfieldNoise) else MixtureHierarchy(noise)


@dataclass(frozen=True)
class MixtureHierarchy:
    """P >= 3: Gaussian energies of covariance N (gamma/2) g(q); r_j = g'(q_j)/2 and, with G(q) = q g'(q) - g(q),

    F = -[g(1) - g(q_k) - (1-q_k) g'(q_k)]/4T + sum_j x_j [G(q_j) - G(q_{j-1})]/4.
    """

    noise: MixtureNoise

    def rises(self, q, C, x):
        """r_0, r_1 - r_0, ..., r_k - r_{k-1}, (B, k+1): as series in the gaps, which merging levels do not spoil."""
        return np.concatenate([self.noise.g(q[:, :1], 1), self._rise(q, 1)], axis=1) / 2

    def free_energy(self, q, C, x, temperature):
        return self.noise.free_energy(C, temperature) + np.sum(x * self.slope(q, C, x), axis=1)

    def slope(self, q, C, x):
        """dF/dx_j at fixed q and r."""
        gap, inner = np.diff(q, axis=1), q[:, 1:]
        return (inner * self._rise(q, 1) + gap * self.noise.g(q[:, :-1], 1) - self._rise(q, 0)) / 4

    def _rise(self, q, order):
        """g^(order)(q_j) - g^(order)(q_{j-1})."""
        gap, outer = np.diff(q, axis=1), q[:, :-1]
        return sum(self.noise.g(outer, order + k) * gap**k / math.factorial(k)
                   for k in range(1, len(self.noise.covariance) - order))

    def pull_back(self, q, C, x, r_bar):
        """Derivatives (q, C, x) of sum_j r_bar_j r_j(q, C, x)."""
        return r_bar * self.noise.g(q, 2) / 2, np.zeros_like(C), np.zeros_like(x)


@dataclass(frozen=True)
class HopfieldHierarchy:
    """P = 2: replica determinant of the uncondensed overlaps, with the modes (strength l, trace t) of `HopfieldNoise`.

    X_k = C, X_{j-1} = X_j + x_j (q_j - q_{j-1}) are the responses of the levels, L_j = 1 - l X_j, and
    r_0 = sum t l q_0/L_0^2, r_j = r_{j-1} + sum t l (q_j - q_{j-1})/(L_j L_{j-1}),
    W = (1/2) sum (t/l) [l + T ln L_k + sum_j ln(L_{j-1}/L_j)/x_j - l q_0/L_0].
    k = 1: Crisanti, Amit and Gutfreund, Europhys. Lett. 2 (1986) 337.
    """

    noise: HopfieldNoise

    def _modes(self, q, C, x):
        """(strength, trace, X, L) with X, L (B, k+1)."""
        inside = np.flip(np.cumsum(np.flip(x * np.diff(q, axis=1), axis=1), axis=1), axis=1)
        X = C[:, None] + np.concatenate([inside, np.zeros_like(C)[:, None]], axis=1)
        for strength, trace in zip(self.noise.strengths, self.noise.traces, strict=True):
            yield strength, trace, X, 1 - strength * X

    def rises(self, q, C, x):
        """r_0, r_1 - r_0, ..., r_k - r_{k-1}, (B, k+1)."""
        steps = np.concatenate([q[:, :1], np.diff(q, axis=1)], axis=1)
        return sum(trace * strength * steps / (L * np.concatenate([L[:, :1], L[:, :-1]], axis=1))
                   for strength, trace, _, L in self._modes(q, C, x))

    def free_energy(self, q, C, x, temperature):
        r, gap = np.cumsum(self.rises(q, C, x), axis=1), np.diff(q, axis=1)
        F = C * r[:, -1] + np.sum(x * np.diff(r * q, axis=1), axis=1)
        for strength, trace, X, L in self._modes(q, C, x):
            # W with q_k = 1 - T C used: every term vanishes with l, so that many weak modes lose no digits
            log = log_remainder(strength * x * gap / L[:, 1:])
            F += trace * (temperature * C * log_remainder(strength * C) - strength * q[:, 0] * X[:, 0] / L[:, 0]
                          + np.sum(gap / L[:, 1:] * (log - strength * X[:, 1:]), axis=1))
        return F / 2

    def slope(self, q, C, x):
        """dF/dx_j at fixed q and r."""
        gap = np.diff(q, axis=1)
        slope = q[:, 1:] * self.rises(q, C, x)[:, 1:]
        for strength, trace, _, L in self._modes(q, C, x):
            slope -= trace * gap / (x * L[:, :-1]) * log_remainder(-strength * x * gap / L[:, :-1])
        return slope / 2

    def pull_back(self, q, C, x, r_bar):
        """Derivatives (q, C, x) of sum_j r_bar_j r_j(q, C, x)."""
        gap = np.diff(q, axis=1)
        inside = np.flip(np.cumsum(np.flip(r_bar, axis=1), axis=1), axis=1)       # sum_{i >= j} r_bar_i
        q_bar, C_bar, x_bar = np.zeros_like(q), np.zeros_like(C), np.zeros_like(x)
        for strength, trace, _, L in self._modes(q, C, x):
            scale = trace * strength * inside
            outer = scale[:, 0] / L[:, 0] ** 2
            rise = scale[:, 1:] / (L[:, 1:] * L[:, :-1])
            L_bar = np.zeros_like(L)
            L_bar[:, 0] = -2 * outer * q[:, 0] / L[:, 0]
            L_bar[:, 1:] -= rise * gap / L[:, 1:]
            L_bar[:, :-1] -= rise * gap / L[:, :-1]
            through = np.cumsum(L_bar, axis=1)                     # L_i with i < j moves with L_j
            gap_bar = rise - strength * x * through[:, :-1]
            q_bar[:, 0] += outer
            q_bar[:, 1:] += gap_bar
            q_bar[:, :-1] -= gap_bar
            C_bar -= strength * through[:, -1]
            x_bar -= strength * gap * through[:, :-1]
        return q_bar, C_bar, x_bar
