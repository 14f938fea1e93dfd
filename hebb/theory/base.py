"""Records that every theory returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Boundary", "ComplexityCurve", "Curve", "Solution"]


@dataclass(frozen=True)
class Solution:
    """One saddle point. All numbers are per spin, in units where k_B = 1 and the coupling strength is 1.

    branch: "retrieval" | "glass" | "paramagnet"; ansatz: "RS" | "1RSB".
    gamma: load (alpha for P = 2); temperature: T >= 0.
    m: overlap with the archetype, E tanh(h/T); n: overlap with the stored average of its examples,
    E[u tanh(h/T)]/(1+rho) with u = average/(r archetype), at most E|u|/(1+rho); equal to m without a noisy dataset.
    q: overlap of two replicas; C = (1-q)/T, finite at T = 0.
    free_energy: f = -(T/N) <log Z>; entropy: -df/dT; energy: f + T * entropy.
    replicon: smallest eigenvalue of the replica Hessian, in the normalisation of `hebb.theory.noise` (negative: the RS
    ansatz is unstable); -inf at T = 0 with gamma > 0.
    example_response: unsupervised learning, x of `hebb.theory.example_response`: from 1 on the state is unstable, for spins
    rather follow one example than all alike; 0 where there are no such directions.
    stable: replicon > 0, example_response < 1 and the saddle is an extremum of the right kind (not the far side of a fold).
    residual: largest change that one application of the saddle-point equations makes, judged with a finer quadrature
    (1RSB: and largest derivative of f); converged: residual and the change under the finer quadrature are both below
    tolerance.

    1RSB only (NaN for RS): q0 <= q1 overlaps of replicas in different and in the same state; theta: breaking parameter,
    0 to 1; breaking_slope = theta/T, finite at T = 0; complexity: (1/N) ln of the number of states, 0 where f is
    stationary in theta. q = q1, replicon is that of the innermost level. Where the two levels merge (the RS state is
    stable, or they differ by less than 1e-6) the state is the RS one with q0 = q1 = q and theta = breaking_slope = NaN.
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
    q0: float = math.nan
    q1: float = math.nan
    theta: float = math.nan
    breaking_slope: float = math.nan
    complexity: float = math.nan
    example_response: float = 0.0


@dataclass(frozen=True)
class Boundary:
    """A point of a phase boundary: where it lies and the state on it.

    kind: "spinodal" | "transition" | "at" | "continuous" | "static" | "dynamic" | "gardner" | "onset" | "crossing" |
    "exchange". other: the competing state (transition, crossing and exchange). residual: what should vanish on the line,
    as measured (fold determinant, difference of free energies, replicon; 1RSB: distance to the fold in n, complexity).
    """

    kind: str
    gamma: float
    temperature: float
    solution: Solution
    residual: float
    converged: bool
    other: Solution | None = None

    @property
    def q1(self) -> float:
        """Overlap within a state on a 1RSB line."""
        return self.solution.q1


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


@dataclass(frozen=True)
class ComplexityCurve:
    """Glassy states by their free energy, at one load and temperature: arrays over the prescribed x = theta/T.

    free_energy: f of the states that x selects, per spin; complexity: (1/N) ln of their number; q0, q1: their overlaps;
    replicon: positive where these states do not break further. NaN where x selects none.
    """

    gamma: float
    temperature: float
    x: np.ndarray
    free_energy: np.ndarray
    complexity: np.ndarray
    q0: np.ndarray
    q1: np.ndarray
    replicon: np.ndarray
