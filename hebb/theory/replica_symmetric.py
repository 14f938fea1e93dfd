"""Replica-symmetric free energy of the dense Hebbian network and the saddle-point equations that follow from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..params import DenseLaw
from .noise import noise_law
from .quadrature import field_averages

__all__ = ["ReplicaSymmetric", "States"]


class States(NamedTuple):
    """Saddle points as arrays of one shape; fields as in `hebb.theory.base.Solution` (m = n without a dataset)."""

    gamma: np.ndarray
    temperature: np.ndarray
    n: np.ndarray
    q: np.ndarray
    C: np.ndarray
    free_energy: np.ndarray
    entropy: np.ndarray
    energy: np.ndarray
    replicon: np.ndarray
    extremum: np.ndarray           # True where the saddle is of the right kind in n and q (before the fold)
    residual: np.ndarray           # what one update changes, with the finer quadrature
    shift: np.ndarray              # how far a Newton step with the finer quadrature moves the saddle (large on a fold)


class ReplicaSymmetric:
    """Order parameters: n (overlap) and C = (1-q)/T (response), which stays finite down to T = 0.

    Local field h = A(n) + sigma z with A = (P/2) n^(P-1) (A = n for P = 2) and sigma^2 = gamma v(C, T), see `noise`:

        f(n, C) = (P-1)/2 n^P + gamma F(C, T) - T E ln 2cosh(h/T)
        df/dn = A'(n) [n - E tanh(h/T)],     df/dC = (gamma/2) dv/dC [C - E sech^2(h/T)/T]

    so that f is stationary exactly where `update` returns its argument; f is a minimum over n and a maximum over q.
    Sources: arXiv:2212.00606 (P >= 3); Amit, Gutfreund and Sompolinsky, Ann. Phys. 173 (1987) 30 (P = 2).
    All methods take broadcastable arrays with 0 <= n, 0 <= C <= 1/T (P = 2: C < 1), gamma >= 0, T >= 0.
    """

    def __init__(self, law: DenseLaw):
        self.p_body = law.p_body
        self.noise = noise_law(law.p_body, law.hamiltonian)

    def amplitude(self, n):
        """Signal A(n) felt by every spin."""
        return self.p_body / 2 * n ** (self.p_body - 1)

    def amplitude_slope(self, n):
        return self.p_body * (self.p_body - 1) / 2 * n ** (self.p_body - 2)

    def field_width(self, C, gamma, temperature):
        """Standard deviation sigma of the noise in the local field."""
        variance = gamma * self.noise.variance(_heard(C, gamma), temperature)
        return np.sqrt(np.maximum(variance, 0))                     # q = 1 - T C may round below 0

    def averages(self, n, C, gamma, temperature, *, finer=False):
        return field_averages(self.amplitude(n), self.field_width(C, gamma, temperature), temperature, finer=finer)

    def free_energy(self, n, C, gamma, temperature):
        """f(n, C) per spin, defined away from the saddle too."""
        signal = (self.p_body - 1) / 2 * n**self.p_body
        noise = gamma * self.noise.free_energy(_heard(C, gamma), temperature)
        return signal + noise - self.averages(n, C, gamma, temperature).L

    def update(self, n, C, gamma, temperature, *, finer=False):
        """One application of the saddle-point equations: (E tanh(h/T), E sech^2(h/T)/T)."""
        average = self.averages(n, C, gamma, temperature, finer=finer)
        return 1 - average.loss, average.C

    def residual(self, n, C, gamma, temperature):
        """update - value and its Jacobian: (r_n, r_C, dr_n/dn, dr_n/dC, dr_C/dn, dr_C/dC)."""
        average = self.averages(n, C, gamma, temperature)
        return (1 - average.loss - n, average.C - C, *self._jacobian(average, n, C, gamma, temperature))

    def _jacobian(self, average, n, C, gamma, temperature):
        slope = self.amplitude_slope(n)
        half_variance_slope = gamma * self.noise.variance_slope(_heard(C, gamma), temperature) / 2
        return (average.C * slope - 1, average.C_a * half_variance_slope,
                average.C_a * slope, average.C_aa * half_variance_slope - 1)

    def determinant(self, average, n, C, gamma, temperature):
        """Determinant of the Jacobian: positive on a branch that starts at gamma = 0, zero on its fold.

        Along a branch at fixed T, dgamma/dn = gamma * determinant / (C_a sigma^2 / 2), and C_a < 0.
        """
        j11, j12, j21, j22 = self._jacobian(average, n, C, gamma, temperature)
        return j11 * j22 - j12 * j21

    def states(self, n, C, gamma, temperature) -> States:
        """Everything that is reported about saddle points (n, C) of the given loads and temperatures (1-d arrays)."""
        n, C, gamma, temperature = (np.atleast_1d(np.asarray(item, float))
                                    for item in np.broadcast_arrays(n, C, gamma, temperature))
        average = self.averages(n, C, gamma, temperature, finer=True)
        heard = _heard(C, gamma)
        f = (self.p_body - 1) / 2 * n**self.p_body + gamma * self.noise.free_energy(heard, temperature) - average.L
        s = average.S + gamma * self.noise.entropy(heard, temperature)
        j11, j12, j21, j22 = self._jacobian(average, n, C, gamma, temperature)
        determinant = j11 * j22 - j12 * j21
        r_n, r_C = 1 - average.loss - n, average.C - C
        scale = np.maximum(1, C)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.abs(np.stack([j12 * r_C - j22 * r_n, (j21 * r_n - j11 * r_C) / scale]) / determinant).max(axis=0)
            quiet, drop = self.noise.replicon_parts(C, temperature, gamma, average.D)
            replicon = quiet - np.where(gamma > 0, np.where(temperature > 0, drop / temperature, np.inf), 0.0)
        return States(gamma, temperature, n, 1 - temperature * C, C, f, s, f + temperature * s, replicon,
                      (determinant > 0) & (j22 < 0), np.maximum(np.abs(r_n), np.abs(r_C) / scale), shift)


def _heard(C, gamma):
    """The response seen by the noise: without load there is no noise law to leave its domain (P = 2, C >= 1)."""
    return np.where(np.asarray(gamma) > 0, C, 0.0)
