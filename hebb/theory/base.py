"""Records that every theory returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Boundary", "Curve", "Solution"]


@dataclass(frozen=True)
class Solution:
    """One saddle point. All numbers are per spin, in units where k_B = 1 and the coupling strength is 1.

    branch: "retrieval" | "glass" | "paramagnet"; ansatz: "RS".
    gamma: load (alpha for P = 2); temperature: T >= 0.
    m: overlap with the archetype, E tanh(h/T); n: overlap with the stored average of its examples,
    E[u tanh(h/T)]/(1+rho) with u = average/(r archetype), at most E|u|/(1+rho); equal to m without a noisy dataset.
    q: overlap of two replicas; C = (1-q)/T, finite at T = 0.
    free_energy: f = -(T/N) <log Z>; entropy: -df/dT; energy: f + T * entropy.
    replicon: smallest eigenvalue of the replica Hessian, in the normalisation of `hebb.theory.noise` (negative: the RS
    ansatz is unstable); -inf at T = 0 with gamma > 0.
    stable: replicon > 0 and the saddle is an extremum of the right kind (not the far side of a fold).
    residual: largest change that one application of the saddle-point equations makes, judged with a finer quadrature;
    converged: residual and the change under the finer quadrature are both below tolerance.
    """

    branch: str
    ansatz: str
    gamma: float
    temperature: float
    m: float
    n: float
    q: float
    C: float
    free_energy: float
    entropy: float
    energy: float
    replicon: float
    stable: bool
    converged: bool
    residual: float


@dataclass(frozen=True)
class Boundary:
    """A point of a phase boundary: where it lies and the state on it.

    kind: "spinodal" | "transition" | "at" | "continuous". other: the competing state (transition only).
    residual: what should vanish on the line, as measured (fold determinant, difference of free energies, replicon).
    """

    kind: str
    gamma: float
    temperature: float
    solution: Solution
    residual: float
    converged: bool
    other: Solution | None = None


@dataclass(frozen=True)
class Curve:
    """A branch at fixed temperature, from its low-load end to its high-load end: arrays of one length.

    Fields as in `Solution`; `gamma` increases along the arrays.
    """

    branch: str
    ansatz: str
    temperature: float
    gamma: np.ndarray
    m: np.ndarray
    n: np.ndarray
    q: np.ndarray
    C: np.ndarray
    free_energy: np.ndarray
    entropy: np.ndarray
    energy: np.ndarray
    replicon: np.ndarray
    residual: np.ndarray
