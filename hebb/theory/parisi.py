"""k steps of replica symmetry breaking: free energy, its gradient and a Newton solver for its saddle points."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..params import DenseLaw
from .dataset import Dataset
from .example_response import example_response
from .hierarchy import hierarchy
from .nested import nested_averages
from .noise import noise_law

__all__ = ["Parisi", "Point", "Saddles", "Values"]

_STEP = 2e-6              # relative step of the finite differences of the Jacobian
_LONGEST = 0.6            # of one Newton step, in the logarithm of an unknown
_COLLAPSED = 1e-6         # gap between neighbouring levels below which the ansatz has lost a step


class Point(NamedTuple):
    """B points of the functional, on or off its saddles: arrays (B,), (B, k), (B,), (B, k), (B,), (B,).

    nt = E[u s] (reported n times 1 + rho); q = q_0..q_{k-1} (q_k = 1 - T C); x = x_1..x_k (parameters over T).
    """

    nt: np.ndarray
    q: np.ndarray
    C: np.ndarray
    x: np.ndarray
    gamma: np.ndarray
    temperature: np.ndarray

    @classmethod
    def of(cls, nt, q, C, x, gamma, temperature) -> Point:
        """From numbers and sequences: B is broadcast, q and x carry their levels on the last axis (k = 0: empty)."""
        q, x = np.asarray(q, float), np.asarray(x, float)
        scalars = [np.asarray(item, float) for item in (nt, C, gamma, temperature)]
        (count,) = np.broadcast_shapes((1,), q.shape[:-1], x.shape[:-1], *(item.shape for item in scalars))
        nt, C, gamma, temperature = (np.broadcast_to(item, (count,)).copy() for item in scalars)
        return cls(nt, np.broadcast_to(q, (count, q.shape[-1])).copy(), C,
                   np.broadcast_to(x, (count, x.shape[-1])).copy(), gamma, temperature)

    @property
    def overlaps(self) -> np.ndarray:
        """q_0..q_k, (B, k+1)."""
        return np.concatenate([self.q, (1 - self.temperature * self.C)[:, None]], axis=1)

    def rows(self, index) -> Point:
        return Point(*(item[index] for item in self))

    def columns(self) -> np.ndarray:
        """(B, 2k+4) in the order of `Parisi.names`."""
        return np.concatenate([self.nt[:, None], self.q, self.C[:, None], self.x, self.gamma[:, None],
                               self.temperature[:, None]], axis=1)

    @classmethod
    def from_columns(cls, table: np.ndarray) -> Point:
        k = (table.shape[1] - 4) // 2
        return cls(table[:, 0], table[:, 1:k + 1], table[:, k + 1], table[:, k + 2:2 * k + 2], table[:, -2],
                   table[:, -1])


class Values(NamedTuple):
    """What one application of the saddle-point equations gives at B points; a saddle is where it returns the point."""

    free_energy: np.ndarray    # (B,)
    nt: np.ndarray             # (B,) E u <tanh>
    Q: np.ndarray              # (B, k+1) E <tanh>_j^2
    C: np.ndarray              # (B,) E <sech^2>/T
    x_slope: np.ndarray        # (B, k) df/dx_j at fixed q and conjugates: df/dx_j itself on a saddle
    x_scale: np.ndarray        # (B, k) the noise part of it
    m: np.ndarray              # (B,) overlap with the pattern itself
    D: np.ndarray              # (B,) E <sech^4>/T
    S: np.ndarray              # (B,) entropy of the spin


class Saddles(NamedTuple):
    """B saddle points; see `hebb.theory.base.Solution` for the meaning of what is shared with RS."""

    point: Point
    q: np.ndarray              # (B, k+1) q_0..q_k
    m: np.ndarray
    n: np.ndarray              # nt/(1+rho)
    free_energy: np.ndarray
    entropy: np.ndarray
    energy: np.ndarray
    replicon: np.ndarray       # of the innermost level; -inf at T = 0
    complexity: np.ndarray     # x_1^2 df/dx_1: 0 where x_1 is stationary, Sigma of the states where it is prescribed
    collapsed: np.ndarray      # bool: levels have merged, or x_1 or an unknown q_0 is 0: fewer steps describe it
    residual: np.ndarray       # largest change one application of the equations makes, finer quadrature
    shift: np.ndarray          # how far a Newton step with the finer quadrature moves the saddle, relative
    gradient: np.ndarray       # largest |df/d(nt, q, C, x)| of the unknowns, finer quadrature
    iterations: np.ndarray
    example_response: np.ndarray   # x of `hebb.theory.example_response`, all states of a broken ensemble answering


class Parisi:
    """The dense Hebbian network with k steps of replica symmetry breaking.

        f = (P-1)/2 kappa nt^P + gamma F(q, C, x) - E_{u,z} phi_0(A u + s_0 z),   A = (P/2) kappa nt^(P-1)

    with the noise F and the variances s_j^2 of `hebb.theory.hierarchy` (a Gaussian dataset adds spread A^2 to s_0^2),
    the nested averages phi_j of `hebb.theory.nested`, and u, kappa of the dataset. Saddle point: nt = E u <tanh>,
    q_j = E <tanh>_j^2, C = E <sech^2>/T, df/dx_j = 0; for x prescribed, Sigma = x^2 df/dx_1 (k = 1) is the complexity
    of states of free energy d(x f)/dx. T = 0 is a regular point. f is a minimum over nt and a maximum over the rest.

    G. Parisi, J. Phys. A 13 (1980) 1101. Cost of one point of f with all derivatives, k = 1: 0.1 ms at T = 0, 1 ms at
    T > 0; a saddle is about five times 2k + 3 of them.
    """

    def __init__(self, law: DenseLaw, steps: int, noise=None):
        """noise: a law of `hebb.theory.noise` instead of that of the network."""
        self.law, self.steps = law, steps
        self.noise = noise_law(law) if noise is None else noise
        self.hierarchy = hierarchy(self.noise)
        self.dataset = Dataset.of(law)
        levels = range(1, steps + 1)
        self.names = ("nt", *(f"q{j - 1}" for j in levels), "C", *(f"x{j}" for j in levels), "gamma", "temperature")

    # ---- the functional ----------------------------------------------------------------------------------------------

    def amplitude(self, nt):
        return self.law.p_body / 2 * self.law.signal * nt ** (self.law.p_body - 1)

    def evaluate(self, point: Point, *, finer: bool = False) -> Values:
        """f and one application of the saddle-point equations at B points, which need not be saddles."""
        p, data = self.law.p_body, self.dataset
        nt, _, C, x, gamma, T = point
        q = point.overlaps
        a = self.amplitude(nt)
        width = np.sqrt(gamma[:, None] * self.hierarchy.rises(q, C, x))
        signal_and_noise = (p - 1) / 2 * self.law.signal * nt**p + gamma * self.hierarchy.free_energy(q, C, x, T)
        scale = gamma[:, None] * self.hierarchy.slope(q, C, x)
        if not self.steps:
            spin = data.averages(a, width[:, 0], T, finer=finer)
            return Values(signal_and_noise - spin.L, data.mean_size - spin.loss, (1 - T * spin.C)[:, None], spin.C,
                          scale, scale, spin.m, spin.D, spin.S)
        width[:, 0] = np.hypot(width[:, 0], math.sqrt(data.spread) * a)
        spin = nested_averages(a[:, None] * data.sizes, data.weights, width, x, T, finer=finer)
        response = spin.C + np.sum(x * np.diff(spin.Q, axis=1), axis=1)          # E phi_0'', for the Gaussian part of u
        nt_hat = spin.response @ (data.weights * data.sizes) + data.spread * a * response
        return Values(signal_and_noise - spin.L, nt_hat, spin.Q, spin.C, scale - spin.slope, scale,
                      spin.response @ data.bias, spin.D, spin.S)

    def gradient(self, point: Point, values: Values) -> np.ndarray:
        """df/d(nt, q_0..q_{k-1}, C, x_1..x_k), (B, 2k+2), from the values at the point.

        df/dr_j = (x_j - x_{j+1}) (q_j - Q_j)/2 and df/dr_k = (1 - T x_k) [C - C(values)]/2 reach q, C, x through r.
        """
        p = self.law.p_body
        nt, _, C, x, gamma, T = point
        outer = np.concatenate([np.zeros_like(C)[:, None], x], axis=1)
        r_bar = (outer - np.concatenate([x, outer[:, -1:]], axis=1)) * (point.overlaps - values.Q) / 2
        r_bar[:, -1] = (1 - T * outer[:, -1]) * (C - values.C) / 2
        q_bar, C_bar, x_bar = self.hierarchy.pull_back(point.overlaps, C, x, gamma[:, None] * r_bar)
        slope = p * (p - 1) / 2 * self.law.signal * nt ** (p - 2)
        return np.concatenate([(slope * (nt - values.nt))[:, None], q_bar[:, :-1], (C_bar - T * q_bar[:, -1])[:, None],
                               x_bar + values.x_slope], axis=1)

    # ---- saddle points -----------------------------------------------------------------------------------------------

    def solve(self, point: Point, *, unknowns=None, equations=None, iterations: int = 60,
              tolerance: float = 1e-12) -> Saddles:
        """Newton's method from B starting points at once.

        unknowns, equations: names (`names`), as many of the ones as of the others. Default: all order parameters and
        all x, less nt and q0 if they start at 0 (glass; P >= 3 without a field), which is then exact. For a branch with
        nt as control parameter give unknowns with "gamma" in place of "nt"; for a prescribed x_1 leave "x1" out of
        both.
        Never returns a state of fewer steps silently: see `Saddles.collapsed`. A point that finds no saddle has a large
        residual (NaN: it started outside the domain).
        """
        equations = self._active(point) if equations is None else tuple(equations)
        unknowns = equations if unknowns is None else tuple(unknowns)
        columns = [self.names.index(name) for name in unknowns]
        table = point.columns().copy()
        count = np.zeros(table.shape[0], int)
        rows = np.arange(table.shape[0])
        jacobian = np.full((table.shape[0], len(equations), len(columns)), np.nan)
        last = np.full(table.shape[0], np.inf)
        for _ in range(iterations):
            residual, jacobian[rows] = self._linearised(table[rows], columns, equations)
            step = _solve_all(jacobian[rows], -residual)
            table[rows], taken = self._advance(table[rows], columns, equations, step, jacobian[rows])
            count[rows] += 1
            # near merging levels rounding ends the fall of the steps above the tolerance
            going = (taken > tolerance) & ~((taken < 1e-6) & (taken > last[rows] / 10))
            last[rows] = taken
            rows = rows[going]
            if not rows.size:
                break
        return self._report(Point.from_columns(table), columns, equations, jacobian, count)

    def _active(self, point):
        dropped = set()
        if not point.nt.any():
            dropped.add("nt")
        if self.steps and not point.q[:, 0].any():
            dropped.add("q0")
        return tuple(name for name in self.names[:-2] if name not in dropped)

    def relative_residual(self, table, equations, *, finer=False):
        """The equations in relative form (B, E), so scaled that merged levels are no solution of them.

        C: C(values)/C - 1; q_j: (Q_{j+1} - Q_j)/(q_{j+1} - q_j) - 1; x_j: x_slope over its noise part and the gap.
        """
        point = Point.from_columns(table)
        values, q = self._legal_values(point, finer=finer), point.overlaps
        gap = np.diff(q, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            every = np.concatenate([
                (values.nt - point.nt)[:, None], np.diff(values.Q, axis=1) / gap - 1,
                (values.C / point.C - 1)[:, None], values.x_slope / values.x_scale * q[:, 1:] / gap], axis=1)
        return every[:, [self.names.index(name) for name in equations]]

    def _legal_values(self, point, *, finer):
        """`evaluate`, NaN for points outside the domain.

        Domain: 0 <= q_0 < ... < q_k, 0 < x_1 < ... < x_k, C, gamma > 0 and a response below the limit of the noise.
        """
        q, count = point.overlaps, point.C.size
        gap, rise = np.diff(q, axis=1), np.diff(point.x, axis=1, prepend=0.0)
        with np.errstate(invalid="ignore"):
            legal = ((gap > 0).all(axis=1) & (q[:, 0] >= 0) & (rise > 0).all(axis=1) & (point.C > 0) & (point.gamma > 0)
                     & (point.C + np.sum(point.x * gap, axis=1) < self.noise.response_limit)
                     & np.isfinite(point.nt) & np.isfinite(point.temperature))
        columns = {"Q": self.steps + 1, "x_slope": self.steps, "x_scale": self.steps}
        out = Values(*(np.full((count, columns[name]) if name in columns else count, np.nan) for name in Values._fields))
        if legal.any():
            with np.errstate(over="ignore", invalid="ignore"):         # theta far above 1: a step that will be shortened
                values = self.evaluate(point.rows(legal), finer=finer)
            for whole, part in zip(out, values, strict=True):
                whole[legal] = part
        return out

    def scaled(self, table, columns):
        """The unknowns in which Newton works: log(1-q), log of the others, nt itself."""
        with np.errstate(all="ignore"):
            return np.stack([table[:, c] if c == 0 else np.log1p(-table[:, c]) if c <= self.steps else np.log(table[:, c])
                             for c in columns], axis=1)

    def with_unknowns(self, table, columns, scaled):
        table = np.broadcast_to(table, (*scaled.shape[:-1], table.shape[-1])).copy()
        for place, c in enumerate(columns):
            value = scaled[..., place]
            table[..., c] = value if c == 0 else -np.expm1(value) if c <= self.steps else np.exp(value)
        return table

    def _linearised(self, table, columns, equations):
        """(residual, Jacobian) in the scaled unknowns, by forward differences, all points at once."""
        base = self.scaled(table, columns)
        moves = np.concatenate([np.zeros((1, base.shape[1])), _STEP * np.eye(base.shape[1])])
        trials = self.with_unknowns(table[:, None], columns, base[:, None] + moves)
        out = self.relative_residual(trials.reshape(-1, table.shape[1]), equations).reshape(*trials.shape[:2], -1)
        return out[:, 0], np.swapaxes(out[:, 1:] - out[:, :1], 1, 2) / _STEP

    def _advance(self, table, columns, equations, step, jacobian):
        """The Newton step, shortened until the next one (with the same Jacobian) would be shorter; and its length.

        P. Deuflhard's natural monotonicity test, which does not depend on how equations and unknowns are scaled.
        """
        base = self.scaled(table, columns)
        longest = np.abs(step).max(axis=1)
        share = np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-300))
        best, taken = table.copy(), np.full(longest.shape, np.nan)
        rows = np.flatnonzero(np.isfinite(longest))
        for _ in range(10):
            trial = self.with_unknowns(table[rows], columns, base[rows] + share[rows, None] * step[rows])
            left = np.abs(_solve_all(jacobian[rows], self.relative_residual(trial, equations))).max(axis=1)
            good = (left < longest[rows] * (1 - share[rows] / 4)) | ((left < 1e-6) & (longest[rows] < 1e-6))
            best[rows[good]] = trial[good]
            taken[rows[good]] = (share * longest)[rows[good]]
            rows = rows[~good]
            if not rows.size:
                break
            share[rows] /= 3
        return best, taken

    @np.errstate(divide="ignore", invalid="ignore", over="ignore")       # points far from any saddle
    def _report(self, point, columns, equations, jacobian, count) -> Saddles:
        T = point.temperature
        values = self._legal_values(point, finer=True)
        q = point.overlaps
        changes = np.concatenate([(values.nt - point.nt)[:, None], values.Q[:, :-1] - point.q,
                                  ((values.C - point.C) / np.maximum(1, point.C))[:, None], values.x_slope], axis=1)
        active = [self.names.index(name) for name in equations]
        residual = np.abs(changes[:, active]).max(axis=1)
        gradient = np.abs(self.gradient(point, values)[:, active]).max(axis=1)
        shift = np.abs(_solve_all(jacobian, self.relative_residual(point.columns(), equations, finer=True))).max(axis=1)
        entropy = values.S + point.gamma * self.noise.entropy(point.C, T)
        with np.errstate(divide="ignore", invalid="ignore"):
            quiet, drop = self.noise.replicon_parts(point.C, T, point.gamma, values.D)
            replicon = quiet - np.where(T > 0, drop / T, np.inf)
        complexity = point.x[:, 0] ** 2 * values.x_slope[:, 0] if self.steps else np.zeros_like(T)
        collapsed = (np.diff(q, axis=1) < _COLLAPSED).any(axis=1) | (point.x < _COLLAPSED).any(axis=1)
        if self.steps and "q0" in equations:
            collapsed |= q[:, 0] < _COLLAPSED
        return Saddles(point, q, values.m, point.nt / (1 + self.law.rho), values.free_energy, entropy,
                       values.free_energy + T * entropy, replicon, complexity, collapsed, residual, shift, gradient,
                       count, self.example_response(point, values))

    def example_response(self, point: Point, values: Values) -> np.ndarray:
        """x, with dt/dh of t = <tanh>_0 in the field A u: E dt/dh = C + sum_j x_j (Q_j - Q_{j-1}) of the values at
        the point, and E u^2 dt/dh, the derivative of E u t by A, from differences."""
        law = self.law
        if law.protocol != "unsupervised" or law.effective_examples <= 1:
            return np.zeros(point.C.size)
        step = 1e-5
        low = np.where(point.nt > step, point.nt - step, -point.nt - step)            # E u t is odd in nt
        up, down = (self._legal_values(point._replace(nt=np.abs(nt)), finer=True).nt * np.sign(nt)
                    for nt in (point.nt + step, low))
        slope = law.p_body * (law.p_body - 1) / 2 * law.signal * point.nt ** (law.p_body - 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = (up - down) / (self.amplitude(point.nt + step) - self.amplitude(np.abs(low)) * np.sign(low))
        response = values.C + np.sum(point.x * np.diff(values.Q, axis=1), axis=1)
        return example_response(law, slope, response, gain)


def _solve_all(matrices, vectors):
    """Solutions of B linear systems; NaN where the matrix is singular or not finite."""
    out = np.full(vectors.shape, np.nan)
    for row, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True)):
        if np.isfinite(matrix).all() and np.isfinite(vector).all():
            try:
                out[row] = np.linalg.solve(matrix, vector)
            except np.linalg.LinAlgError:
                continue
    return out
