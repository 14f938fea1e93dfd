"""Replica-symmetric free energy of the dense Hebbian network and the saddle-point equations that follow from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..params import DenseLaw
from .dataset import Dataset
from .example_response import example_response
from .noise import noise_law

__all__ = ["ReplicaSymmetric", "States"]


class States(NamedTuple):
    """Saddle points as arrays of one shape; fields as in `hebb.theory.base.Solution`."""

    gamma: np.ndarray
    temperature: np.ndarray
    m: np.ndarray
    n: np.ndarray                  # as reported: E[u s]/(1+rho)
    q: np.ndarray
    C: np.ndarray
    free_energy: np.ndarray
    entropy: np.ndarray
    energy: np.ndarray
    replicon: np.ndarray
    extremum: np.ndarray           # True where the saddle is of the right kind in n and q (before the fold)
    example_response: np.ndarray   # x of `hebb.theory.example_response`: from 1 on spins follow single examples
    residual: np.ndarray           # what one update changes, with the finer quadrature
    shift: np.ndarray              # how far a Newton step with the finer quadrature moves the saddle (large on a fold)


class ReplicaSymmetric:
    """Order parameters: n = E[u s], overlap with the stored entries in units of r (hebb.theory.base reports n/(1+rho)),
    and C = (1-q)/T (response), which stays finite down to T = 0.

    Local field h = A(n) u + sigma z with A = (P/2) kappa n^(P-1), kappa = `DenseLaw.signal`, u the dataset's factor
    (`Dataset`; u = kappa = 1 without one) and sigma^2 = gamma v(C, T), see `noise`:

        f(n, C) = (P-1)/2 kappa n^P + gamma F(C, T) - T E ln 2cosh(h/T)
        df/dn = A'(n) [n - E u tanh(h/T)],     df/dC = (gamma/2) dv/dC [C - E sech^2(h/T)/T]

    so that f is stationary exactly where `update` returns its argument; f is a minimum over n and a maximum over q.
    Sources: arXiv:2212.00606 (P >= 3); Amit, Gutfreund and Sompolinsky, Ann. Phys. 173 (1987) 30 (P = 2). Unsupervised
    data: states that treat the examples of a pattern alike.
    All methods take broadcastable arrays with 0 <= n <= E|u|, 0 <= C <= 1/T (P = 2: C < 1), gamma >= 0, T >= 0.
    """

    def __init__(self, law: DenseLaw):
        self.law = law
        self.p_body = law.p_body
        self.noise = noise_law(law)
        self.dataset = Dataset.of(law)
        self.mean_size = self.dataset.mean_size
        self.second_moment = 1 + law.rho
        self._half_signal = law.p_body * law.signal / 2

    def amplitude(self, n):
        """Signal A(n) felt by a spin with u = 1."""
        return self._half_signal * n ** (self.p_body - 1)

    def amplitude_slope(self, n):
        return self._half_signal * (self.p_body - 1) * n ** (self.p_body - 2)

    def field_width(self, C, gamma, temperature):
        """Standard deviation sigma of the noise in the local field."""
        variance = gamma * self.noise.variance(_heard(C, gamma), temperature)
        return np.sqrt(np.maximum(variance, 0))                     # q = 1 - T C may round below 0

    def averages(self, n, C, gamma, temperature, *, finer=False):
        width = self.field_width(C, gamma, temperature)
        return self.dataset.averages(self.amplitude(n), width, temperature, finer=finer)

    def free_energy(self, n, C, gamma, temperature):
        """f(n, C) per spin, defined away from the saddle too."""
        noise = gamma * self.noise.free_energy(_heard(C, gamma), temperature)
        return self._condensed(n) + noise - self.averages(n, C, gamma, temperature).L

    def update(self, n, C, gamma, temperature, *, finer=False):
        """One application of the saddle-point equations: (E u tanh(h/T), E sech^2(h/T)/T)."""
        average = self.averages(n, C, gamma, temperature, finer=finer)
        return self.mean_size - average.loss, average.C

    def residual(self, n, C, gamma, temperature):
        """update - value and its Jacobian: (r_n, r_C, dr_n/dn, dr_n/dC, dr_C/dn, dr_C/dC)."""
        average = self.averages(n, C, gamma, temperature)
        return (self.mean_size - average.loss - n, average.C - C, *self._jacobian(average, n, C, gamma, temperature))

    def _condensed(self, n):
        """(P-1)/2 kappa n^P."""
        return (self.p_body - 1) / self.p_body * n * self.amplitude(n)

    def _jacobian(self, average, n, C, gamma, temperature):
        rise = self.amplitude_slope(n)
        half_variance_slope = gamma * self.noise.variance_slope(_heard(C, gamma), temperature) / 2
        with np.errstate(over="ignore", invalid="ignore"):     # curvature ~ T^-3; no paramagnet at T = 0
            bend = np.where(half_variance_slope == 0, 0.0, average.curvature * half_variance_slope)
            return average.gain * rise - 1, average.slope * half_variance_slope, average.slope * rise, bend - 1

    def kind(self, average, n, C, gamma, temperature):
        """(determinant, curvature) of the Jacobian: its determinant and its element dr_C/dC.

        The state is a minimum of f over n and a maximum over q where the one is positive and the other negative. The
        determinant is positive on a branch that starts at gamma = 0 and zero on its folds: along a branch at fixed T,
        dgamma/dn = gamma * determinant / (slope sigma^2 / 2), and slope < 0.
        """
        j11, j12, j21, j22 = self._jacobian(average, n, C, gamma, temperature)
        return j11 * j22 - j12 * j21, j22

    def states(self, n, C, gamma, temperature) -> States:
        """Everything that is reported about saddle points (n, C) of the given loads and temperatures (1-d arrays)."""
        n, C, gamma, temperature = (np.atleast_1d(np.asarray(item, float))
                                    for item in np.broadcast_arrays(n, C, gamma, temperature))
        average = self.averages(n, C, gamma, temperature, finer=True)
        heard = _heard(C, gamma)
        f = self._condensed(n) + gamma * self.noise.free_energy(heard, temperature) - average.L
        with np.errstate(over="ignore"):           # of the paramagnet, ~ gamma/T^2
            s = average.S + gamma * self.noise.entropy(heard, temperature)
        heat = temperature * average.S + gamma * self.noise.heat(heard, temperature)
        j11, j12, j21, j22 = self._jacobian(average, n, C, gamma, temperature)
        determinant = j11 * j22 - j12 * j21
        scale, size = np.maximum(1, C), max(1.0, self.mean_size)
        free = np.isinf(C)                         # T = gamma = 0 with undecided spins, u = 0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            r_n, r_C = self.mean_size - average.loss - n, np.where(free, 0.0, average.C - C)
            q = np.where(free, 1 - self.dataset.undecided, 1 - temperature * C)
            moved = np.stack([(j12 * r_C - j22 * r_n) / size, (j21 * r_n - j11 * r_C) / scale]) / determinant
            quiet, drop = self.noise.replicon_parts(C, temperature, gamma, average.D)
            replicon = np.where(gamma > 0, quiet - np.where(temperature > 0, drop / temperature, np.inf),
                                np.where(free, 1.0, quiet))
        x = example_response(self.law, self.amplitude_slope(n), average.C, average.gain)
        m = n if self.second_moment == 1 else np.where(n == 0, 0.0, average.m)     # exactly, where they are equal
        return States(gamma, temperature, m, n / self.second_moment, q, C, f, s, f + heat, replicon,
                      (determinant > 0) & (j22 < 0), x, np.maximum(np.abs(r_n) / size, np.abs(r_C) / scale),
                      np.abs(moved).max(axis=0))


def _heard(C, gamma):
    """The response seen by the noise: without load there is no noise law to leave its domain (P = 2, C >= 1)."""
    return np.where(np.asarray(gamma) > 0, C, 0.0)
