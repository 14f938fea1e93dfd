"""Averages over the columns of a Gaussian dataset at T > 0 by enumeration: a cost that does not grow as T falls.

A kind of columns y = mean + sqrt(variance) z has a Gaussian field y.g, whose averages `hebb.theory.quadrature` knows at every
temperature; what multiplies z follows by parts. The kinds are those of `frozen_columns.GaussianColumns`, the methods those of
`column_integral`, which sums 4|y.g|/T waves instead: more, where T is low and the patterns are few.
"""

from __future__ import annotations

import math

import numpy as np

from .frozen_columns import GaussianColumns
from .quadrature import field_averages

__all__ = ["NODES", "WarmColumns"]

NODES = 200                 # of the quadrature, at about the cost of one wave and pattern each
_BLOCK = 1 << 14            # points times kinds at once


class WarmColumns:
    """All methods take g (points, K) and T (points,) > 0. Cost: 5 microseconds per point and kind of columns."""

    def __init__(self, kinds: GaussianColumns):
        self._kinds = kinds

    def log_cosh(self, g, temperature) -> np.ndarray:
        """E log cosh(y.g/T) (points,)."""
        return self._sum(lambda at, w, c, v, xi: (at.L / temperature[:, None] - math.log(2)) @ w, g, temperature)

    def field(self, g, temperature) -> np.ndarray:
        """E[y tanh(y.g/T)] (points, K)."""
        return self._sum(lambda at, w, c, v, xi: ((1 - at.loss) * w) @ c + g * ((at.C * w) @ v), g, temperature)

    def archetype(self, g, temperature) -> np.ndarray:
        """E[xi tanh(y.g/T)] (points, K)."""
        return self._sum(lambda at, w, c, v, xi: ((1 - at.loss) * w) @ xi, g, temperature)

    def jacobian(self, g, temperature) -> np.ndarray:
        """E[y y^T sech^2(y.g/T)]/T (points, K, K), the derivative of `field`."""
        def average(at, w, c, v, xi):
            spread = g[:, None, :] * v                                  # half of d(deviation^2)/dg
            mixed = np.einsum("pl,lm,pln->pmn", at.C_a * w, c, spread, optimize=True)
            total = (np.einsum("pl,lm,ln->pmn", at.C * w, c, c, optimize=True) + mixed + np.swapaxes(mixed, 1, 2)
                     + np.einsum("pl,plm,pln->pmn", at.C_aa * w, spread, spread, optimize=True))
            diagonal = np.arange(g.shape[1])
            total[:, diagonal, diagonal] += (at.C * w) @ v
            return total
        return self._sum(average, g, temperature)

    def scatter(self, g, temperature) -> np.ndarray:
        """E[xi^2 sech^2(y.g/T)]/T (points, K)."""
        return self._sum(lambda at, w, c, v, xi: (at.C * w) @ xi**2, g, temperature)

    def _sum(self, average, g, temperature) -> np.ndarray:
        """average(field averages (points, kinds), weights, means, variances, archetypes) over all kinds."""
        kinds, total = self._kinds, 0.0
        block = max(1, _BLOCK // len(g))
        for first in range(0, len(kinds.weights), block):
            part = slice(first, first + block)
            means, variances = kinds.means[part], kinds.variances[part]
            at = field_averages(g @ means.T, np.sqrt((g * g) @ variances.T), temperature[:, None])
            total = total + average(at, kinds.weights[part], means, variances, kinds.archetypes[part])
        return total
