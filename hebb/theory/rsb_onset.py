"""Where the two levels of 1RSB retrieval part from each other, and what the 1RSB state looks like close to there."""

from __future__ import annotations

import numpy as np
from scipy.special import erfinv

from .branches import Branches
from .parisi import Parisi, Point
from .solver import bracketed_root

__all__ = ["APART", "COLD", "Onset"]

_TINY = 1e-290
COLD = 1e-9               # up to this temperature the levels part as they do at T = 0
APART = 1e-6             # of the levels where the branch at T = 0 is followed from


class Onset:
    """AT points of the replica-symmetric retrieval branch, labelled by y = erfinv(nt/E|u|), and the states beside them."""

    def __init__(self, branches: Branches, parisi: Parisi):
        self.branches, self.parisi = branches, parisi
        self._size = branches.equations.mean_size

    def at_points(self, temperature, folds):
        """y of the first AT point of the replica-symmetric branch met from gamma = 0, NaN if there is none.

        T = 0: y where the two levels are told apart.
        """
        y = np.full(temperature.size, np.nan)
        alive = np.flatnonzero(np.isfinite(folds.gamma))
        if not alive.size:
            return y
        T, top = temperature[alive], folds.y_start[alive]
        low = erfinv(np.minimum(folds.n[alive] / self._size, 1))
        grid = top[:, None] + (low - top)[:, None] * (np.arange(96) + 0.5) / 96
        grid[:, -1] = low
        excess = self.excess(grid.ravel(), np.repeat(T, 96)).reshape(grid.shape)
        first = np.argmax(excess > 0, axis=1)
        rows = np.arange(alive.size)
        outer = np.where(first > 0, grid[rows, np.maximum(first - 1, 0)], top * (1 - 1e-12))
        found = bracketed_root(lambda y, rows: self.excess(y, T[rows]), grid[rows, first], outer)
        # u = 0 possible: the spins that hear noise only are broken at any load if T = 0, almost any if T is small
        found = np.where(np.isnan(found) & (first == 0), grid[:, 0], found)
        y[alive] = np.where((excess > 0).any(axis=1), found, np.nan)
        return y

    def excess(self, y, temperature):
        """Positive where the levels are apart: minus the replicon; at T = 0 (up to `COLD`), gap over `APART` less 1."""
        guess, replicon = self.emerging(y, temperature)
        gap = np.diff(guess.overlaps, axis=1)[:, 0]
        return np.where(temperature > COLD, -replicon, gap / APART - 1)

    def emerging(self, y, temperature, factor=1.0):
        """(starting points close to where the levels merge, replica-symmetric replicon)."""
        n, sigma, C, gamma, *_ = self.branches.retrieval.follow(y, temperature)
        D = np.maximum(self.branches.equations.averages(n, C, gamma, temperature).D, _TINY)
        quiet, drop = self.branches.equations.noise.replicon_parts(C, temperature, gamma, D)
        edge = np.maximum(drop / quiet, _TINY)             # the replicon vanishes at T = edge
        t = np.minimum(temperature / edge, 1)
        gap = np.minimum(1.19 * edge * D * (1 - t) * (1 + 1.7 * t) * factor, 0.4 * (1 - temperature * C))
        x = 0.967 * (1 - t) / edge
        warm = temperature > COLD
        x[warm] += (t * self._onset_slope(n, sigma, C, temperature, edge / D))[warm]
        C = np.maximum(C * (0.2335 + 0.7665 * t) - t * gap / (2 * edge), 0.1 * C)
        replicon = quiet - np.where(warm, drop / np.where(warm, temperature, 1.0), np.inf)
        return Point.of(n, (1 - temperature * C - gap)[:, None], C, x[:, None], gamma, temperature), replicon

    def _onset_slope(self, n, sigma, C, temperature, b):
        """x on the AT line: marginality holds along the whole hierarchy, b E m'^2 = 1 with b = gamma dr/dq, and so does

        its derivative with respect to q; primes are derivatives of m = tanh(h/T) with respect to the field. Rough.
        """
        data, noise = self.branches.equations.dataset, self.branches.equations.noise
        y = np.linspace(-8, 8, 161)
        T = np.where(temperature > COLD, temperature, 1.0)[:, None]
        width = np.hypot(sigma, np.sqrt(data.spread) * self.parisi.amplitude(n))[:, None]
        law = sum(w * np.exp(-(((T * y - size * self.parisi.amplitude(n)[:, None]) / width) ** 2) / 2)
                  for size, w in zip(data.sizes, data.weights, strict=True)) * T * (y[1] - y[0]) / (width * np.sqrt(2 * np.pi))
        sech2 = 1 / np.cosh(y) ** 2
        cube, curve = law @ sech2**3 / T[:, 0] ** 3, law @ (4 * sech2**2 * (1 - sech2)) / T[:, 0] ** 4
        if self.branches.law.p_body == 2:
            return curve / (2 * (cube + 1 / (b**2 * (1 - C))))
        q = 1 - temperature * C
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):       # no load: nothing to guess
            return (noise.g(q, 3) / (noise.g(q, 2) * b**2) + curve) / (2 * cube)

    def merged(self, y, temperature):
        """The AT points as columns, with x = NaN."""
        n, _, C, gamma, *_ = self.branches.retrieval.follow(y, temperature)
        return np.column_stack([n, 1 - temperature * C, C, np.full(n.size, np.nan), gamma, temperature])
