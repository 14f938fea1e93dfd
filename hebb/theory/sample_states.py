"""One finite sample of a multitasking network at low storage: its own mean-field states, and what N adds at order 1/N.

A sample is its columns y_c (Q real numbers each) and the shares w_c = n_c/N of spins that carry them. Its energy is
-(scale N/2) |g|^2 with g = (1/N) sum_i y_i s_i; with T' = T/scale, and z Gaussian of variance T'/N around g,

    Z = (const) int dz exp[-N f(z)/T'],   f(g) = |g|^2/2 - T' sum_c w_c ln 2cosh(y_c.g/T')

without approximation. Averages of a configuration are averages over z: <s_c> = <tanh(y_c.z/T')>, <g> = <z>,
<|g|^2> = <|z|^2> - Q T'/N. Around a minimum of f, with H = f'' and H3 = f''', Laplace's method gives

    <A(z)> = A + (T'/2N) [tr(A'' H^-1) - A'.H^-1 (H3:H^-1)] + O(1/N^2)

for every A: with v_c = y_c.H^-1 y_c, t_c = tanh and k_c = sech^2 of y_c.g/T',

    H = 1 - sum_c w_c k_c y_c y_c^T / T'                        H3:H^-1 = (2/T'^2) sum_c w_c t_c k_c v_c y_c
    dg = -(T'/2N) H^-1 (H3:H^-1)                                d<s_c> = k_c (y_c.dg)/T' - t_c k_c v_c/(N T')
    energy = -(scale/2) [|g|^2 + 2 g.dg + (T'/N) (tr H^-1 - Q)]

and the overlap of two independent replicas is sum_c w_c <s_c> <s_c>'. No average over
samples is taken: what is left between this and a chain on the same sample is of order 1/N^2, and the chain's noise.

Free energies and the minima follow arXiv:2308.04106 for the infinite system; the expansion is derived here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import NoSolution, ParameterError
from ..params import check_real

__all__ = ["Sample", "SampleState"]

_ROUND = 20  # updates between two attempts to finish by Newton's method
_MOST_ROUNDS = 2000
_NEAR = 0.02  # the longest Newton step that is taken: beyond, another minimum could be meant
_RESIDUAL = 1e-13  # of the fixed-point equations, relative to the largest column
_KICK = 1e-3


@dataclass(frozen=True)
class SampleState:
    """A minimum of the free energy of one sample.

    g: (Q,) overlaps in the limit of many spins with the same shares; magnetization: (L,) average spin of each class there.
    g_shift, magnetization_shift, energy_shift: what N spins add at order 1/N. energy: per spin, with its diagonal terms.
    smallest_eigenvalue: of the Hessian of f, positive. anharmonicity: relative size of the next order along the softest
    direction, 5 H3^2 T'/(24 N l^3) + |H4| T'/(8 N l^2) with its eigenvalue l; the shifts are honest where it is small.
    residual: max |g - F(g)|.
    """

    sample: Sample = field(repr=False)
    g: np.ndarray
    magnetization: np.ndarray = field(repr=False)
    free_energy: float
    energy: float
    g_shift: np.ndarray
    magnetization_shift: np.ndarray = field(repr=False)
    energy_shift: float
    smallest_eigenvalue: float
    anharmonicity: float
    residual: float

    def overlap(self, columns: np.ndarray, shifted: bool = True) -> np.ndarray:
        """sum_c w_c columns_c <s_c>, as of the archetypes: columns (L, P) -> (P,). Without the shift if not shifted."""
        spins = self.magnetization + self.magnetization_shift if shifted else self.magnetization
        return (self.sample.weights * spins) @ columns

    def replica_overlap(self, other: SampleState, shifted: bool = True) -> float:
        """q of two independent replicas of one sample, in this state and in the other."""
        first, second = (s.magnetization + s.magnetization_shift if shifted else s.magnetization for s in (self, other))
        return float(np.sum(self.sample.weights * first * second))


class Sample:
    """The mean-field theory of one sample.

    columns: (L, Q) real, y of each class of spins (or of each spin: L = N). weights: (L,) shares n_c/N, which sum to 1.
    n_spins: N, used by the shifts alone. temperature: T > 0. scale: H over -(N/2) |g|^2.
    Raises ParameterError. Cost: O(L Q) an update, O(L Q^2 + Q^3) for a Newton step.
    """

    def __init__(self, columns, weights, n_spins: float, temperature: float, scale: float = 1.0):
        self.columns, self.weights = np.asarray(columns, float), np.asarray(weights, float)
        if self.columns.ndim != 2 or self.weights.shape != self.columns.shape[:1]:
            raise ParameterError(f"columns of shape {self.columns.shape} and weights of shape {self.weights.shape} are not "
                                 "(L, Q) and (L,); give one weight per column")
        if not (np.all(self.weights >= 0) and abs(self.weights.sum() - 1) < 1e-9):
            raise ParameterError(f"weights with sum {self.weights.sum():.12g} are not shares of spins; divide counts by N")
        self.n_spins = check_real("n_spins", n_spins, 1.0)
        self.scale = check_real("scale", scale, 0.0, open_low=True)
        temperature = check_real("temperature", temperature, 0.0, open_low=True,
                                 remedy="a chain at T = 0 is a quench, not an equilibrium state")
        self._t = temperature / self.scale

    def free_energy(self, g: np.ndarray) -> float:
        """scale f(g): per spin, -(T/N) ln Z to leading order."""
        x = self.columns @ g / self._t
        return float(self.scale * (g @ g / 2 - self._t * (self.weights @ np.logaddexp(x, -x))))

    def update(self, g: np.ndarray) -> np.ndarray:
        """F(g) = sum_c w_c y_c tanh(y_c.g/T'), (Q,): g - F(g) is the gradient of f. An update never increases f."""
        return (self.weights * np.tanh(self.columns @ g / self._t)) @ self.columns

    def hessian(self, g: np.ndarray) -> np.ndarray:
        """(Q, Q) second derivatives of f."""
        k = 1 - np.tanh(self.columns @ g / self._t) ** 2
        return np.eye(g.size) - (self.columns.T * (self.weights * k / self._t)) @ self.columns

    def follow(self, start: np.ndarray) -> SampleState:
        """The minimum into whose basin start (Q,) lies: updates, which go down in f, then Newton steps where the Hessian is
        positive. A start on the ridge between minima is pushed off it. Raises NoSolution where none is reached."""
        g = np.array(start, float)
        if g.shape != self.columns.shape[1:]:
            raise ParameterError(f"a start of shape {g.shape} is not ({self.columns.shape[1]},), one overlap per entry of a "
                                 "column")
        for _ in range(_MOST_ROUNDS):
            for _ in range(_ROUND):
                g = self.update(g)
            arrived = self._newton(g)
            if arrived is not None:
                return self._state(arrived)
            values, vectors = np.linalg.eigh(self.hessian(g))
            if values[0] < 0 and np.max(np.abs(self.update(g) - g)) < _KICK**2:
                g = g + _KICK * vectors[:, 0]
        raise NoSolution(f"no stable state within {_MOST_ROUNDS * _ROUND} updates: a mode is too soft; move away from the "
                         "critical temperature")

    def _newton(self, g: np.ndarray) -> np.ndarray | None:
        """The minimum near g, or None if g is not near enough for it to be certain."""
        largest = np.max(np.abs(self.columns), initial=1e-300)
        for _ in range(50):
            try:
                root = np.linalg.cholesky(self.hessian(g))
            except np.linalg.LinAlgError:
                return None
            gap = self.update(g) - g
            if np.max(np.abs(gap)) <= _RESIDUAL * largest:
                return g
            step = np.linalg.solve(root.T, np.linalg.solve(root, gap))
            if np.max(np.abs(step)) > _NEAR * largest:
                return None
            g = g + step
        return None

    def _state(self, g: np.ndarray) -> SampleState:
        y, w, T, n = self.columns, self.weights, self._t, self.n_spins
        t = np.tanh(y @ g / T)
        k = 1 - t**2
        values, vectors = np.linalg.eigh(self.hessian(g))
        inverse = (vectors / values) @ vectors.T
        v = np.einsum("cq,cq->c", y @ inverse, y)
        g_shift = -inverse @ ((w * t * k * v) @ y) / (n * T)
        along = y @ vectors[:, 0]
        third = 2 / T**2 * np.sum(w * t * k * along**3)
        fourth = 2 / T**3 * np.sum(w * k * (1 - 3 * t**2) * along**4)
        soft = values[0]
        return SampleState(
            self, g, t, self.free_energy(g), -self.scale / 2 * float(g @ g), g_shift,
            k * (y @ g_shift) / T - t * k * v / (n * T),
            -self.scale * float(g @ g_shift + T / (2 * n) * np.sum(1 / values - 1)),
            float(soft),
            float(T / n * (5 * third**2 / (24 * soft**3) + abs(fourth) / (8 * soft**2))),
            float(np.max(np.abs(self.update(g) - g))),
        )
