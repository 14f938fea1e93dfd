"""The law of u = (average of M examples)/(r times the pattern), the factor by which a dataset changes a spin's signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from ..params import DenseLaw

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """u = +-size + sqrt(spread) y with y ~ N(0, 1), mean 1 and E u^2 = 1 + rho.

    Every average needed is of a function that does not change when u and the field change sign together, so that only
    |u| matters: sizes, weights (J,) are its discrete law. spread: variance of the Gaussian part, which adds
    spread * A^2 to the variance of the field A u + sigma z.
    Exact for finite M: u = (2k - M)/(M r), k ~ Bin(M, (1+r)/2), spread 0. Limit of many examples: sizes [1], spread rho.
    """

    sizes: np.ndarray
    weights: np.ndarray
    spread: float

    @classmethod
    def of(cls, law: DenseLaw) -> Dataset:
        """The dataset of a law; without one, u = 1."""
        if law.n_examples is None:
            return cls(np.ones(1), np.ones(1), law.rho)
        m = law.n_examples
        k = np.arange(m // 2 + 1)                                   # 2k <= M: k and M - k share |u|
        weights = binom.pmf(k, m, (1 + law.r) / 2) + binom.pmf(m - k, m, (1 + law.r) / 2)
        if m % 2 == 0:
            weights[-1] /= 2
        kept = weights > 1e-25
        return cls((m - 2 * k[kept]) / (m * law.r), weights[kept], 0.0)

    @property
    def second_moment(self) -> float:
        """E u^2 = 1 + rho."""
        return float(self.weights @ self.sizes**2) + self.spread
