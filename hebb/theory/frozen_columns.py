"""Averages over the columns of a multitasking network at T = 0, where tanh(y.g/T) is the sign of y.g.

Gaussian datasets: the noise makes everything smooth, and error functions are summed over the (3^K - 1)/2 archetype
columns. Stored patterns and exact examples: y lies on a lattice; for each pattern the field of the K - 1 others is
sorted once, after which its sign against every letter is known. The methods are those of `column_integral`.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
from scipy.special import erf
from scipy.stats import binom

from ..errors import ParameterError
from ..params import MultitaskLaw

__all__ = ["GaussianColumns", "LatticeColumns", "frozen_columns"]

_MOST_PATTERNS = 12         # of the enumeration by 3^K
_MOST_FIELDS = 1 << 21      # columns of K - 1 patterns
_CHUNK = 1 << 17
_TIE = 1e-12                # fields this small, relative to the terms they are sums of, are zero


@lru_cache(8)
def frozen_columns(law: MultitaskLaw):
    """The T = 0 averages of a law. Raises ParameterError if they would need too many columns."""
    return GaussianColumns(law) if law.rho > 0 and law.gaussian else LatticeColumns(law)


class GaussianColumns:
    """y = xi (a + b z): given the archetype column c, y.g is Gaussian of mean h = a c.g and variance S = b^2 sum c^2 g^2.

    g (points, K). Cost: 50 ns per point and column. Raises ParameterError for K > 12.
    """

    def __init__(self, law: MultitaskLaw):
        k = law.n_patterns
        if k > _MOST_PATTERNS:
            raise ParameterError(f"n_patterns = {k} at T = 0 with a Gaussian dataset means sums over (3^{k} - 1)/2 columns; "
                                 f"up to {_MOST_PATTERNS} patterns are possible, or use a small temperature")
        self._columns = np.array([c for c in itertools.product((0.0, 1.0, -1.0), repeat=k)
                                  if next((entry for entry in c if entry), 0) == 1], np.int8)
        filled = np.count_nonzero(self._columns, axis=1)
        self._weights = 2 * (law.density / 2) ** filled * law.dilution ** (k - filled)
        self._a, self._b2 = 1 / math.sqrt(1 + law.rho), law.rho / (1 + law.rho)

    def field(self, g) -> np.ndarray:
        """F = E[y sign(y.g)] (points, K)."""
        def average(columns, weights, t, deviation, peak):
            return (weights * erf(t / math.sqrt(2))) @ (self._a * columns) + self._b2 * g * ((weights * peak) @ columns**2)
        return self._sum(average, g, g.shape)

    def archetype(self, g) -> np.ndarray:
        """E[xi sign(y.g)] (points, K)."""
        def average(columns, weights, t, deviation, peak):
            return (weights * erf(t / math.sqrt(2))) @ columns
        return self._sum(average, g, g.shape)

    def jacobian(self, g) -> np.ndarray:
        """dF/dg (points, K, K); infinite on the diagonal of a pattern that is alone in some column with g = 0."""
        def average(columns, weights, t, deviation, peak):
            weights = weights * peak
            lift = self._b2 * g[:, None, :] * columns**2                            # dS/dg / 2
            lift = lift / np.where(deviation, deviation, 1.0)[:, :, None]
            tilt = self._a * columns - t[:, :, None] * lift
            undecided = (weights * (deviation == 0)) @ np.abs(columns) > 0
            weights = np.where(deviation > 0, weights, 0.0)[:, :, None]
            total = (np.swapaxes(weights * tilt, 1, 2) @ tilt - np.swapaxes(weights * lift, 1, 2) @ lift)
            diagonal = np.arange(columns.shape[1])
            total[:, diagonal, diagonal] += self._b2 * weights[:, :, 0] @ columns**2
            total[:, diagonal, diagonal] += np.where(undecided, math.inf, 0.0)
            return total
        return self._sum(average, g, (*g.shape, g.shape[1]))

    def _sum(self, average, g, shape) -> np.ndarray:
        """average(columns, weights, h/sqrt(S), sqrt(S), 2 density at zero of y.g) over all columns."""
        total = np.zeros(shape)
        block = max(1, _CHUNK // (len(g) * g.shape[1] + 1))
        for first in range(0, len(self._columns), block):
            columns, weights = self._columns[first:first + block].astype(float), self._weights[first:first + block]
            deviation = np.sqrt(self._b2 * (g * g) @ (columns**2).T)
            still = np.where(deviation, deviation, 1.0)
            t = self._a * (g @ columns.T) / still
            peak = math.sqrt(2 / math.pi) * np.exp(-t * t / 2) / still
            total += average(columns, weights, t, deviation, peak)
        return total


class LatticeColumns:
    """y = letter/(M sqrt R) with whole letters from -M to M, or y = xi: fields are steps, and ties count half.

    g (points, K). Cost: sorting the columns of K - 1 patterns, K times per point. Raises ParameterError beyond 2 million.
    Letters of probability below 1e-20 are left out.
    """

    def __init__(self, law: MultitaskLaw):
        self._letters, weights, self._bias = _letters(law)
        self._weights = weights
        k, size = law.n_patterns, self._letters.size
        if (k - 1) * math.log(size) > math.log(_MOST_FIELDS):
            raise ParameterError(f"n_patterns = {k} with {law.dataset_name or 'stored patterns'} at T = 0 means {size}^{k - 1} "
                                 f"columns, more than {_MOST_FIELDS:.2g}; use a small temperature, fewer examples or rho")

    def field(self, g) -> np.ndarray:
        """F = E[y sign(y.g)] (points, K)."""
        return self._sum(g, lambda below, tie: (2 * below + tie - 1) @ (self._weights * self._letters))

    def archetype(self, g) -> np.ndarray:
        """E[xi sign(y.g)] (points, K)."""
        return self._sum(g, lambda below, tie: (2 * below + tie - 1) @ self._bias)

    def jacobian(self, g) -> np.ndarray:
        """dF/dg (points, K, K): zero, but infinite on the diagonal of patterns whose letters take part in ties."""
        undecided = self._sum(g, lambda below, tie: tie @ (self._weights * self._letters**2)) > 0
        diagonal = np.eye(g.shape[1], dtype=bool)
        return np.where(diagonal & undecided[:, :, None], math.inf, 0.0)

    def _sum(self, g, average) -> np.ndarray:
        """average(P(rest < y_mu g_mu), P(rest = y_mu g_mu)) over the letters of each pattern."""
        out = np.empty(g.shape)
        for point, mu in np.ndindex(g.shape):
            rest, weights = np.zeros(1), np.ones(1)
            for other in np.delete(g[point], mu):
                rest = np.add.outer(rest, self._letters * other).ravel()
                weights = np.multiply.outer(weights, self._weights).ravel()
            order = np.argsort(rest)
            cumulative = np.concatenate([[0.0], np.cumsum(weights[order])])
            tolerance = _TIE * np.abs(g[point]).max() * np.abs(self._letters).max()
            own = self._letters * g[point, mu]
            low, high = (cumulative[np.searchsorted(rest[order], own + side)] for side in (-tolerance, tolerance))
            out[point, mu] = average(low, high - low)
        return out


def _letters(law: MultitaskLaw):
    """Values of y in ascending order, their probabilities, and E[xi; y] = P(y, xi = 1) - P(y, xi = -1)."""
    p, m = law.density, law.n_examples
    if m is None:
        return np.array([-1.0, 0.0, 1.0]), np.array([p / 2, law.dilution, p / 2]), np.array([-p / 2, 0.0, p / 2])
    reach = 10 * math.sqrt(m * (1 - law.r**2)) + 40
    count = np.arange(max(0, math.floor(m * (1 - law.r) / 2 - reach)), m + 1)
    up, down = binom.pmf(count, m, (1 + law.r) / 2), binom.pmf(count, m, (1 - law.r) / 2)
    kept = up + down > 1e-20
    values, up, down = (2.0 * count - m)[kept], p / 2 * up[kept], p / 2 * down[kept]
    weights, bias = up + down, up - down
    values, weights, bias = np.append(values, 0.0), np.append(weights, law.dilution), np.append(bias, 0.0)
    order = np.argsort(values, kind="stable")
    return values[order] / (m * math.sqrt(law.second_moment)), weights[order], bias[order]
