"""Unsupervised learning: states of dense networks that follow one example of the condensed pattern (memorisation).

    H = -(N/2) kappa/(M r^P) sum_a G_a^P + noise of the other patterns,   G_a = (1/N) sum_i eta_i^a s_i

for the M examples of the condensed pattern. With g_a = G_a/r and v_a = eta_a xi/r = +-1/r the free energy of unequal
overlaps is, replica symmetric and for the noise F and sigma^2 = gamma v(C, T) of `hebb.theory.noise`,

    f(g_1..g_M, C) = (P-1)/2 kappa (1/M) sum_a g_a^P + gamma F(C, T) - T E ln 2cosh(h/T)
    h = (P/2) kappa (1/M) sum_a g_a^(P-1) v_a + sigma z
    df/dg_a = (P(P-1)/2) (kappa/M) g_a^(P-2) [g_a - E v_a tanh(h/T)],   df/dC = (gamma/2) dv/dC [C - E sech^2(h/T)/T]

(derived here; all g_a equal: `hebb.theory.replica_symmetric`, as in arXiv:2212.00606; P = 2: the Hopfield network of
`hebb.theory.multitask_examples`). Here g_1 = g is ahead and the M - 1 others are g'; averages run over v_1 = +-1/r, the
binomial law of the others' average w, and z. A change of sign of (v, w, z) leaves v_1 = 1/r and 2M fields at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..params import DenseLaw
from .dataset import Dataset
from .noise import noise_law
from .quadrature import field_averages

__all__ = ["ExampleEquations", "ExampleState", "ExampleStates"]


@dataclass(frozen=True)
class ExampleState:
    """A state that follows one example of the condensed pattern; fields as in `hebb.theory.base.Solution`, and

    example: overlap (1/N) sum eta s with the example followed, at most 1; others: with each other example of its pattern.
    m: with the archetype; n: with the average of all examples over r(1+rho).
    others_response: x of the others, as `Solution.example_response` among the M - 1 that are treated alike.
    stable: minimum over both overlaps and a maximum over q, replicon > 0 and others_response < 1.
    """

    branch: str
    ansatz: str
    gamma: float
    temperature: float
    m: float
    n: float
    example: float
    others: float
    q: float
    C: float
    free_energy: float
    entropy: float
    energy: float
    replicon: float
    others_response: float
    stable: bool
    converged: bool
    residual: float


class ExampleStates(NamedTuple):
    """`ExampleState` as arrays of one shape; extremum, shift: as in `hebb.theory.replica_symmetric.States`."""

    gamma: np.ndarray
    temperature: np.ndarray
    m: np.ndarray
    n: np.ndarray
    example: np.ndarray
    others: np.ndarray
    q: np.ndarray
    C: np.ndarray
    free_energy: np.ndarray
    entropy: np.ndarray
    energy: np.ndarray
    replicon: np.ndarray
    others_response: np.ndarray
    extremum: np.ndarray
    residual: np.ndarray
    shift: np.ndarray


class _Spin(NamedTuple):
    """Averages F = r E v t, r E w t, E sech^2/T of a spin and their derivatives by parts of its field; arrays (B,), (B, 3)."""

    F: np.ndarray              # (B, 3)
    by_alpha: np.ndarray       # (B, 3): by alpha, the field of the example followed
    by_beta: np.ndarray        # (B, 3): by the factor beta of w
    by_variance: np.ndarray    # (B, 3): by sigma^2
    m: np.ndarray
    D: np.ndarray              # E sech^4/T
    L: np.ndarray              # T E ln 2cosh
    S: np.ndarray


class ExampleEquations:
    """Order parameters X = (G, G', C): overlaps r g and r g' with the example followed and with each other one, response.

    All methods take arrays of one shape (B,); G, G' in [-1, 1], 0 <= C <= 1/T (P = 2: C < 1). Cost: 5 microseconds per
    point and field, 2M fields at most (see `Dataset` for many examples).
    """

    def __init__(self, law: DenseLaw):
        """law: unsupervised, a whole number M > 1 of noisy examples."""
        self.law, self.p_body, self.noise = law, law.p_body, noise_law(law)
        m, r = law.n_examples, law.r
        self.rest = m - 1                                             # number of the others
        others = Dataset.of(replace(law, n_examples=m - 1, rho=(1 - r**2) / (self.rest * r**2)))
        moved = others.sizes > 0
        up, down = (np.where(moved, (others.weights + sign * others.bias) / 2, others.weights) for sign in (1, -1))
        alike, unlike = (1 + r) / 2, (1 - r) / 2                      # P(v_1 = 1/r), P(v_1 = -1/r)
        self.w = np.concatenate([others.sizes, -others.sizes[moved]])
        first = alike * np.concatenate([up, down[moved]])             # of (v_1, w) = (1/r, w)
        mirrored = unlike * np.concatenate([down, up[moved]])         # of (-1/r, -w)
        self.weights = first + mirrored
        self.bias = first - mirrored                                  # for E tanh, the overlap with the archetype
        #: field of a spin: alpha + beta w + sigma z with alpha = scale G^(P-1), beta = scale rest r G'^(P-1)
        self.scale = law.p_body / 2 * law.signal / (m * r**law.p_body)

    def parts(self, G, H):
        """alpha, beta and their derivatives by G and H = G'."""
        p, other = self.p_body, self.scale * self.rest * self.law.r
        return (self.scale * G ** (p - 1), other * H ** (p - 1),
                self.scale * (p - 1) * G ** (p - 2), other * (p - 1) * H ** (p - 2))

    def spin(self, G, H, sigma, temperature, *, finer=False) -> _Spin:
        """Averages of one spin at given overlaps and width of the noise."""
        alpha, beta, _, _ = self.parts(G, H)
        return self.spin_in(alpha, beta, sigma, temperature, finer=finer)

    def spin_in(self, alpha, beta, sigma, temperature, *, finer=False) -> _Spin:
        """The same in the fields alpha + beta w + sigma z."""
        w, p, r = self.w, self.weights, self.law.r
        one = field_averages(alpha[:, None] + beta[:, None] * w, sigma[:, None], temperature[:, None], finer=finer)
        t = 1 - one.loss
        C, C_a, C_aa = one.C @ p, one.C_a @ p, one.C_aa @ p
        wC, wC_a = one.C @ (p * w), one.C_a @ (p * w)
        return _Spin(np.stack([t @ p, r * (t @ (p * w)), C], axis=-1), np.stack([C, r * wC, C_a], axis=-1),
                     np.stack([wC, r * (one.C @ (p * w * w)), wC_a], axis=-1),
                     np.stack([C_a, r * wC_a, C_aa], axis=-1) / 2, t @ self.bias, one.D @ p, one.L @ p, one.S @ p)

    def width(self, C, gamma, temperature):
        heard = np.where(gamma > 0, C, 0.0)
        return np.sqrt(np.maximum(gamma * self.noise.variance(heard, temperature), 0))

    def free_energy(self, G, H, C, gamma, temperature):
        """f per spin, off its saddles as well."""
        spin = self.spin(G, H, self.width(C, gamma, temperature), temperature)
        return self._condensed(G, H) + gamma * self.noise.free_energy(np.where(gamma > 0, C, 0.0), temperature) - spin.L

    def _condensed(self, G, H):
        """(P-1)/2 kappa (1/M) [g^P + (M-1) g'^P]."""
        p = self.p_body
        return (p - 1) / p * self.scale * (G**p + self.rest * H**p)

    def jacobian(self, spin: _Spin, G, H, C, gamma, temperature):
        """d(F - X)/dX, (B, 3, 3)."""
        _, _, alpha_slope, beta_slope = self.parts(G, H)
        noise_slope = gamma * self.noise.variance_slope(np.where(gamma > 0, C, 0.0), temperature)
        return np.stack([spin.by_alpha * alpha_slope[:, None], spin.by_beta * beta_slope[:, None],
                         spin.by_variance * noise_slope[:, None]], axis=-1) - np.eye(3)

    def solve(self, G, H, C, gamma, temperature, iterations=40):
        """(G, H, C) by Newton's method from starts near a saddle; where it is astray the residual of `states` says so."""
        X = np.stack([G, H, C], axis=-1)
        rows = np.arange(len(X))
        for _ in range(iterations):
            g, T = gamma[rows], temperature[rows]
            here = X[rows]
            spin = self.spin(here[:, 0], here[:, 1], self.width(here[:, 2], g, T), T)
            step = solved(self.jacobian(spin, *here.T, g, T), here - spin.F)
            size = np.abs(step) / np.maximum(1, np.abs(here))
            share = np.minimum(1, 0.2 / np.maximum(size.max(axis=1), 1e-300))
            limit = np.minimum(self.noise.response_limit, np.divide(1, T, out=np.full(T.shape, np.inf), where=T > 0))
            new = here + share[:, None] * step
            new[:, 2] = np.where(new[:, 2] >= limit, (here[:, 2] + limit) / 2, np.maximum(new[:, 2], here[:, 2] / 2))
            X[rows] = np.where(np.isfinite(new), new, here)
            rows = rows[size.max(axis=1) > 1e-14]
            if not rows.size:
                break
        return tuple(X.T)

    def stability(self, jacobian):
        """(minimum over the overlaps and maximum over q, minus the determinant, positive on a branch before its fold)."""
        last = jacobian[:, 2, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = jacobian[:, :2, :2] - jacobian[:, :2, 2:] * jacobian[:, 2:, :2] / last[:, None, None]
        determinant = inner[:, 0, 0] * inner[:, 1, 1] - inner[:, 0, 1] * inner[:, 1, 0]
        return (last < 0) & (determinant > 0) & (inner[:, 0, 0] + inner[:, 1, 1] < 0), -determinant * last

    def others_response(self, spin: _Spin, H):
        """x among the other examples, as in `hebb.theory.example_response`."""
        if self.rest == 1:
            return np.zeros(len(spin.F))
        r = self.law.r
        rise = self.scale * self.rest * r * (self.p_body - 1) * r * H ** (self.p_body - 2)     # d beta/dg'
        with np.errstate(invalid="ignore"):
            return np.where(rise == 0, 0.0, rise / (self.rest - 1) * (spin.F[:, 2] / r**2 - spin.by_beta[:, 1] / r))

    def states(self, G, H, C, gamma, temperature) -> ExampleStates:
        """Everything reported about saddles (G, G', C), judged with the finer quadrature."""
        law, noise = self.law, self.noise
        G, H, C, gamma, T = (np.atleast_1d(np.asarray(item, float))
                             for item in np.broadcast_arrays(G, H, C, gamma, temperature))
        spin = self.spin(G, H, self.width(C, gamma, T), T, finer=True)
        jacobian = self.jacobian(spin, G, H, C, gamma, T)
        left = spin.F - np.stack([G, H, C], axis=-1)
        heard = np.where(gamma > 0, C, 0.0)
        f = self._condensed(G, H) + gamma * noise.free_energy(heard, T) - spin.L
        s = spin.S + gamma * noise.entropy(heard, T)
        extremum, _ = self.stability(jacobian)
        scale = np.stack([np.ones_like(C), np.ones_like(C), np.maximum(1, C)], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            quiet, drop = noise.replicon_parts(C, T, gamma, spin.D)
            replicon = np.where(gamma > 0, quiet - np.where(T > 0, drop / T, np.inf), quiet)
        shift = np.abs(solved(jacobian, -left) / scale).max(axis=1)
        n = (G + self.rest * H) / ((self.rest + 1) * law.r * (1 + law.rho))
        return ExampleStates(gamma, T, spin.m, n, G, H, 1 - T * C, C, f, s, f + T * s, replicon,
                             self.others_response(spin, H), extremum, np.abs(left / scale).max(axis=1), shift)


def solved(matrices, vectors):
    """Solutions of B linear systems of three unknowns; NaN where the matrix is singular."""
    first = np.cross(matrices[:, 1], matrices[:, 2])
    determinant = np.sum(matrices[:, 0] * first, axis=1)
    inverse = np.stack([first, np.cross(matrices[:, 2], matrices[:, 0]), np.cross(matrices[:, 0], matrices[:, 1])], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.einsum("bij,bj->bi", inverse, vectors) / determinant[:, None]
