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

__all__ = ["MOST_LISTED", "GaussianColumns", "LatticeColumns", "archetype_columns", "frozen_columns"]

MOST_LISTED = 12            # of the enumeration by 3^K
_MOST_FIELDS = 1 << 21      # columns of K - 1 patterns
_CHUNK = 1 << 17
_TIE = 1e-12                # fields this small, relative to the terms they are sums of, are zero


@lru_cache(8)
def frozen_columns(law: MultitaskLaw):
    """The T = 0 averages of a law. Raises ParameterError if they would need too many columns."""
    return GaussianColumns.of(law) if law.rho > 0 and law.gaussian else LatticeColumns(law)


def archetype_columns(law: MultitaskLaw):
    """(L, K) columns of entries 0 and +-1 but the blank one, one of each pair of opposites, and the weights of pairs (L,)."""
    k = law.n_patterns
    if k > MOST_LISTED:
        raise ParameterError(f"n_patterns = {k} at T = 0 with a Gaussian dataset means sums over (3^{k} - 1)/2 columns; "
                             f"up to {MOST_LISTED} patterns are possible, or use a small temperature")
    columns = np.array([c for c in itertools.product((0, 1, -1), repeat=k)
                        if next((entry for entry in c if entry), 0) == 1], np.int8)
    filled = np.count_nonzero(columns, axis=1)
    return columns, 2 * (law.density / 2) ** filled * law.dilution ** (k - filled)


class GaussianColumns:
    """Sums over L kinds of columns y = mean + sqrt(variance) z with z ~ N(0, 1) independent for each entry.

    means, variances (L, K); weights (L,); archetypes (L, K): the xi of each kind. g (points, K). A dataset: mean a xi and
    variance b^2 xi^2, a^2 = 1/(1+rho), b^2 = rho/(1+rho). Cost: 50 ns per point, kind and pattern.
    """

    def __init__(self, means, variances, weights, archetypes):
        self.means, self.variances, self.weights, self.archetypes = means, variances, weights, archetypes

    @classmethod
    def of(cls, law: MultitaskLaw) -> GaussianColumns:
        """The columns of a dataset. Raises ParameterError for K > 12."""
        archetypes, weights = archetype_columns(law)
        columns = archetypes.astype(float)
        return cls(columns / math.sqrt(1 + law.rho), columns**2 * (law.rho / (1 + law.rho)), weights, columns)

    def field(self, g) -> np.ndarray:
        """F = E[y sign(y.g)] (points, K)."""
        def average(part, weights, t, deviation, peak):
            return (weights * erf(t / math.sqrt(2))) @ self.means[part] + g * ((weights * peak) @ self.variances[part])
        return self._sum(average, g, g.shape)

    def archetype(self, g) -> np.ndarray:
        """E[xi sign(y.g)] (points, K)."""
        def average(part, weights, t, deviation, peak):
            return (weights * erf(t / math.sqrt(2))) @ self.archetypes[part]
        return self._sum(average, g, g.shape)

    def jacobian(self, g) -> np.ndarray:
        """dF/dg (points, K, K); infinite on the diagonal of entries that are not zero where y.g is zero for certain."""
        def average(part, weights, t, deviation, peak):
            means, variances = self.means[part], self.variances[part]
            still = np.where(deviation > 0, deviation, 1.0)[:, :, None]
            lift = g[:, None, :] * variances / still                                # d deviation/dg
            tilt = means - t[:, :, None] * lift                                     # deviation dt/dg
            density = (weights * peak)[:, :, None]
            total = np.swapaxes(density * tilt, 1, 2) @ tilt - np.swapaxes(density * lift, 1, 2) @ lift
            diagonal = np.arange(g.shape[1])
            total[:, diagonal, diagonal] += density[:, :, 0] @ variances + self._undecided(weights, t, deviation, part)
            return total
        return self._sum(average, g, (*g.shape, g.shape[1]))

    def scatter(self, g) -> np.ndarray:
        """E[xi^2 sech^2(y.g/T)]/T (points, K) for T -> 0."""
        def average(part, weights, t, deviation, peak):
            return (weights * peak) @ self.archetypes[part] ** 2 + self._undecided(weights, t, deviation, part)
        return self._sum(average, g, g.shape)

    def _undecided(self, weights, t, deviation, part):
        """Infinite for patterns that have entries in columns without a field."""
        shares = (weights * ((deviation == 0) & (t == 0))) @ (self.means[part] ** 2 + self.variances[part])
        return np.where(shares > 0, math.inf, 0.0)

    def _sum(self, average, g, shape) -> np.ndarray:
        """average(part, weights, t = mean/deviation of y.g, deviation, 2 density of y.g at zero) over all kinds of columns."""
        total = np.zeros(shape)
        block = max(1, _CHUNK // (len(g) * g.shape[1] + 1))
        for first in range(0, len(self.means), block):
            part = slice(first, first + block)
            mean, deviation = g @ self.means[part].T, np.sqrt((g * g) @ self.variances[part].T)
            still = np.where(deviation > 0, deviation, 1.0)
            t = np.where(deviation > 0, mean / still, 40 * np.sign(mean))           # without spread: a sharp sign
            peak = np.where(deviation > 0, math.sqrt(2 / math.pi) * np.exp(-t * t / 2) / still, 0.0)
            total += average(part, self.weights[part], t, deviation, peak)
        return total


class LatticeColumns:
    """y = letter/(M sqrt R) with whole letters from -M to M, or y = xi: fields are steps, and ties count half.

    g (points, K). Cost: sorting the columns of K - 1 patterns, K times per point. Raises ParameterError beyond 2 million.
    Letters of probability below 1e-20 are left out.
    """

    def __init__(self, law: MultitaskLaw):
        self._letters, self._weights, self._bias, self._scatter = _letters(law)
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

    def scatter(self, g) -> np.ndarray:
        """E[(xi^2 - R y^2) sech^2(y.g/T)]/T (points, K) for T -> 0: zero, but infinite for letters that take part in ties."""
        return np.where(self._sum(g, lambda below, tie: tie @ self._scatter) > 0, math.inf, 0.0)

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
    """Values of y in ascending order, their probabilities, E[xi; y] = P(y, xi = 1) - P(y, xi = -1) and E[xi^2 - R y^2; y]."""
    p, m = law.density, law.n_examples
    if m is None:
        return np.array([-1.0, 0.0, 1.0]), np.array([p / 2, law.dilution, p / 2]), np.array([-p / 2, 0.0, p / 2]), np.zeros(3)
    reach = 10 * math.sqrt(m * (1 - law.r**2)) + 40     # of agreeing examples, around the mean and that of xi = -1
    count = np.unique(np.concatenate([np.arange(max(0, math.floor(m * share - reach)), min(m, math.ceil(m * share + reach)) + 1)
                                      for share in ((1 - law.r) / 2, (1 + law.r) / 2)]))
    up, down = binom.pmf(count, m, (1 + law.r) / 2), binom.pmf(count, m, (1 - law.r) / 2)
    kept = up + down > 1e-20
    values, up, down = (2.0 * count - m)[kept], p / 2 * up[kept], p / 2 * down[kept]
    order = np.argsort(np.append(values, 0.0), kind="stable")                      # the blank comes last of two zeros
    values, weights, bias, scatter = (np.append(a, last)[order] for a, last in (
        (values, 0.0), (up + down, law.dilution), (up - down, 0.0), ((up + down) * (1 - (values / m) ** 2), 0.0)))
    return values / (m * math.sqrt(law.second_moment)), weights, bias, scatter
