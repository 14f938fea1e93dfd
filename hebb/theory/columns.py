"""Averages over the columns of a multitasking network: what one site contributes to the free energy and its derivatives.

A column y = (y^1 .. y^K) is what a site stores of the K patterns. At low storage everything is an average over columns,
as a function of the K amplitudes g and the temperature T:

    log_cosh   E log 2cosh(y.g/T)
    potential  T E log 2cosh(y.g/T)                     the free energy is f = |g|^2/2 - potential
    field      F = E[y tanh(y.g/T)]                     = d(potential)/dg; states are its fixed points g = F(g)
    jacobian   J = E[y y^T sech^2(y.g/T)]/T             = dF/dg; the Hessian of f is 1 - J
    archetype  E[xi tanh(y.g/T)]                        overlaps with the patterns themselves

Here for stored patterns (y = xi) by summing over all columns; `column_integral` has the same methods for any K and for
noisy datasets. Everything in the default normalisation (scale = 1 of `hebb.params.MultitaskLaw`).
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np

from ..params import MultitaskLaw
from .column_integral import ColumnIntegral

__all__ = ["Columns", "columns_of"]

LARGEST_ENUMERATION = 8     # (3^8 - 1)/2 = 3280 columns: as fast as the integral at T = p/2, and faster below
_CHUNK = 1 << 17            # entries of a temporary array: 1 MiB, which caches hold


@cache
def _enumerate(n_patterns: int):
    """All columns but the blank one, modulo sign, by their number of non-zero entries; where each number ends; products
    of two entries (upper triangle)."""
    columns = np.array([c for c in itertools.product((0, 1, -1), repeat=n_patterns)
                        if next((entry for entry in c if entry), 0) == 1], float)
    filled = np.count_nonzero(columns, axis=1)
    columns = columns[np.argsort(filled, kind="stable")]
    ends = np.cumsum(np.bincount(filled, minlength=n_patterns + 1))
    upper = np.triu_indices(n_patterns)
    return columns, ends, columns[:, upper[0]] * columns[:, upper[1]], upper


class Columns:
    """Exact averages over the 3^K columns of diluted patterns, as (3^K - 1)/2 terms: y and -y contribute alike.

    dilution: d in [0, 1), a number, or an array with one value for each of many points. In all methods g has shape
    (..., K), temperature > 0 and dilution have shapes that broadcast with g[..., 0]. Cost: 3 ns per point and column.
    Source: sums over xi in {0, +-1}^K with P(0) = d as in arXiv:2308.04106.
    """

    def __init__(self, n_patterns: int, dilution):
        self.n_patterns, self.dilution = n_patterns, np.asarray(dilution, float)
        self._columns, self._ends, self._products, self._upper = _enumerate(n_patterns)

    def at(self, rows) -> Columns:
        """The columns of some points only, where dilution is an array of points."""
        return self if self.dilution.ndim == 0 else Columns(self.n_patterns, self.dilution[rows])

    def log_cosh(self, g, temperature) -> np.ndarray:
        """E log 2cosh(y.g/T), shape (...,); blank columns contribute d^K log 2."""
        def log_cosh(x):
            x = np.abs(x)
            return x + np.log1p(np.exp(-2 * x))
        total = self._sum(log_cosh, np.ones((len(self._columns), 1)), g, temperature)[..., 0]
        return total + self.dilution**self.n_patterns * math.log(2)

    def potential(self, g, temperature) -> np.ndarray:
        """T E log 2cosh(y.g/T), shape (...,), whose gradient is `field`."""
        return temperature * self.log_cosh(g, temperature)

    def field(self, g, temperature) -> np.ndarray:
        """F = E[y tanh(y.g/T)], shape (..., K)."""
        return self._sum(np.tanh, self._columns, g, temperature)

    archetype = field       # y = xi

    def jacobian(self, g, temperature) -> np.ndarray:
        """J = E[y y^T sech^2(y.g/T)]/T, shape (..., K, K)."""
        def sech_squared(x):
            decay = np.exp(-2 * np.abs(x))
            return 4 * decay / (1 + decay) ** 2
        triangle = self._sum(sech_squared, self._products, g, temperature) / np.asarray(temperature, float)[..., None]
        full = np.empty((*triangle.shape[:-1], self.n_patterns, self.n_patterns))
        full[..., self._upper[0], self._upper[1]] = triangle
        full[..., self._upper[1], self._upper[0]] = triangle
        return full

    def _sum(self, function, factors, g, temperature) -> np.ndarray:
        """E[function(y.g/T) factor(y)] without the blank column, shape (..., number of factors)."""
        g = np.asarray(g, float)
        points = np.broadcast_shapes(g.shape[:-1], np.shape(temperature), self.dilution.shape)
        slopes = np.broadcast_to(g / np.asarray(temperature, float)[..., None], (*points, self.n_patterns))
        slopes = slopes.reshape(-1, self.n_patterns)
        weights = _weights(self.n_patterns, np.broadcast_to(self.dilution, points).reshape(-1))
        result = np.empty((slopes.shape[0], factors.shape[1]))
        step = max(1, _CHUNK // len(self._columns))
        for start in range(0, slopes.shape[0], step):
            part = slice(start, start + step)
            values = function(self._columns @ slopes[part].T)
            for filled in range(1, self.n_patterns + 1):
                values[self._ends[filled - 1]:self._ends[filled]] *= weights[filled, part]
            result[part] = values.T @ factors
        return result.reshape((*points, factors.shape[1]))


def _weights(n_patterns: int, dilution) -> np.ndarray:
    """(K+1, points): probability of a column and its opposite by their number of non-zero entries."""
    filled = np.arange(n_patterns + 1)[:, None]
    return 2 * ((1 - dilution) / 2) ** filled * dilution ** (n_patterns - filled)


def columns_of(law: MultitaskLaw):
    """The cheaper exact way to average over the columns of this law: their sum (few stored patterns) or the integral."""
    if law.protocol == "storage" and law.n_patterns <= LARGEST_ENUMERATION:
        return Columns(law.n_patterns, law.dilution)
    return ColumnIntegral(law)
