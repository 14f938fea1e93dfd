"""What the differences between the examples of the condensed pattern do to a finite sample, in unsupervised learning.

Derivations: docs/conventions.md, "Finite size". In units of r, example a has the overlap g_a with the spins; in an infinite
system that treats the examples alike all g_a are y. In a sample they differ at random, by about sqrt((M-1) rho/N), and spins
answer to the differences.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from .errors import NoSolution
from .params import DenseLaw
from .theory.base import Solution
from .theory.example_states import ExampleEquations

__all__ = ["Apart", "Pull", "differ", "examples_apart"]

_GRID = 64  # differences at which the pull is known
_NEWTON = 12


class Apart(NamedTuple):
    """What the differences add at order 1/N: to y = E[u s], C and m by the noise that they make, and to the mean square of an
    example's overlap over r. answer: x, the share of a difference that the spins return."""

    y: float = 0.0
    C: float = 0.0
    m: float = 0.0
    excess: float = 0.0
    answer: float = 0.0


def differ(law: DenseLaw) -> bool:
    """Whether the condensed pattern has examples that can differ."""
    return law.protocol == "unsupervised" and law.n_examples != 1 and law.rho > 0


def examples_apart(n: int, law: DenseLaw, equations, state: Solution, a_slope: float, width: float) -> Apart:
    """An example's overlap differs from r y by a random amount of order N^(-1/2), which spins answer; the differences are felt
    most where the examples agree least, by 1 - c^2 for the average c = r u. Raises NoSolution where spins would follow one
    example rather than all."""
    if not differ(law):
        return Apart()
    dataset, temperature = equations.dataset, state.temperature
    share = (1 - (law.r * dataset.sizes) ** 2) / (1 - law.r**2 * (1 + law.rho))
    divided = replace(dataset, weights=dataset.weights * share, bias=dataset.bias * share)
    step = 1e-3 * width + 1e-6
    here, wider = (divided.averages(equations.amplitude(state.n * (1 + law.rho)), w, temperature, finer=True)
                   for w in (width, math.sqrt(width**2 + step)))
    answer = law.rho * a_slope * float(here.C)
    if answer >= 1:
        raise NoSolution(f"T = {temperature:.3g}: spins rather follow one example than all {law.n_examples} alike; "
                         "take more examples or a higher temperature")
    frozen = (1 - temperature * float(here.C)) / (1 - answer) ** 2
    variance = (law.n_examples - 1) / n * (law.rho * a_slope) ** 2 * frozen
    excess = (law.n_examples - 1) / n * law.rho * (temperature * float(here.C) / (1 - answer) + frozen - 1)
    m_slope = float(wider.m - here.m) / step
    return Apart(variance * float(here.slope) / 2, variance * float(here.curvature) / 2, variance * m_slope, excess, answer)


class Pull:
    """The force R(d) = d - (answer of the spins) that holds example 1 at the distance d = g_1 - g' from the M - 1 others.

    sum_a g_a and C follow d. R rises from 0 with the slope 1 - x; where it has a maximum, a sample whose random differences
    exceed that force follows the example. n spins, infinite system at (gamma, temperature). Cost: 50 ms.
    """

    def __init__(self, law: DenseLaw, state: Solution, n: int):
        self.law, self.state, self.equations = law, state, ExampleEquations(law)
        m, y = law.n_examples, state.n * (1 + law.rho)
        #: variance of d in a sample, without the answer of the spins
        self.random = (m / (m - 1)) ** 2 * (m - 1) * law.rho / n
        self._step = 0.01 * y
        self.slope, self.second, self.third = self._derivatives(y)

    def _derivatives(self, y: float) -> tuple[float, float, float]:
        h = self._step
        a, b, c, d = (self._at(np.array([y, self.state.C]), k * h)[0] for k in (-2, -1, 1, 2))
        return (8 * (c - b) - (d - a)) / (12 * h), (c + b) / h**2, (d - 2 * c + 2 * b - a) / (2 * h**3)

    def _at(self, X: np.ndarray, distance: float) -> tuple[float, np.ndarray]:
        """(R, (mean overlap, C)) at a distance, from the mean overlap and C nearby."""
        law, equations, T = self.law, self.equations, np.array([self.state.temperature])
        m, rest, gamma = law.n_examples, law.n_examples - 1, np.array([self.state.gamma])
        for _ in range(_NEWTON):
            G, H = law.r * (X[:1] + distance * rest / m), law.r * (X[:1] - distance / m)
            spin = equations.spin(G, H, equations.width(X[1:], gamma, T), T, finer=True)
            F, J = spin.F[0], equations.jacobian(spin, G, H, X[1:], gamma, T)[0]
            left = np.array([F[0] - G[0] + rest * (F[1] - H[0]), F[2] - X[1]])
            by_mean, by_C = law.r * (J[:, 0] + J[:, 1]), J[:, 2]
            step = np.linalg.solve([[by_mean[0] + rest * by_mean[1], by_C[0] + rest * by_C[1]], [by_mean[2], by_C[2]]], -left)
            X = np.array([X[0] + step[0], max(X[1] + step[1], X[1] / 2)])
            if np.abs(step).max() < 1e-13 * max(1.0, X[1]):
                break
        return float((G[0] - F[0]) - (H[0] - F[1])) / law.r, X

    def anharmonicity(self, apart: Apart) -> float:
        """Relative size of what follows the terms of order 1/N, due to the differences.

        V [5 R2^2/(24 R1^2) + |R3|/(8 R1)] (M+1)/24 with the variance V of d and derivatives of R; (M+1)/3 for M - 1 alike
        directions, and an eighth because the terms leave no more than twice this of themselves, not 8 to 17 times as of y."""
        m = self.law.n_examples
        variance = self.random + (m / (m - 1)) ** 2 * apart.excess
        own = 5 * self.second**2 / (24 * self.slope**2) + abs(self.third) / (8 * self.slope)
        return variance * own * (m + 1) / 24

    def followers(self) -> float:
        """Expected number of examples of a sample whose random difference exceeds the largest force of the others."""
        y, largest, m = self.state.n * (1 + self.law.rho), 0.0, self.law.n_examples
        X = np.array([y, self.state.C])
        for distance in np.linspace(0, m / (m - 1) * (1 / self.law.r - y), _GRID + 1)[1:]:  # there its overlap is 1
            force, X = self._at(X, distance)
            if not force >= largest:
                return m * float(ndtr(-largest / math.sqrt(self.random)))
            largest = force
        return 0.0
