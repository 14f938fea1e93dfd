"""What a dataset does to one spin: the law of u = (average of M examples)/(r times the pattern), and averages over it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import erfc
from scipy.stats import binom

from ..params import DenseLaw
from .quadrature import field_averages

__all__ = ["Dataset", "SpinAverages"]

_BLOCK = 1 << 16      # fields averaged at once


class SpinAverages(NamedTuple):
    """Averages of one spin in the field h = A u + sigma z over u and z; arrays of one common shape.

    With b = E[u tanh(h/T)]: db/dA = gain, db/d(sigma^2) = slope/2, dC/dA = slope, dC/d(sigma^2) = curvature/2,
    dL/dA = b, dL/d(sigma^2) = C/2, dL/dT = S.
    """

    loss: np.ndarray        # E|u| - E[u tanh(h/T)], to full relative precision where it is tiny
    gain: np.ndarray        # E[u^2 sech^2(h/T)]/T
    C: np.ndarray           # E sech^2(h/T)/T, the response
    slope: np.ndarray
    curvature: np.ndarray
    D: np.ndarray           # E sech^4(h/T)/T
    L: np.ndarray           # T E ln 2cosh(h/T)
    S: np.ndarray           # entropy of the spin
    m: np.ndarray           # E tanh(h/T), overlap with the pattern itself


@dataclass(frozen=True, eq=False)
class Dataset:
    """u = +-size + sqrt(spread) y with y ~ N(0, 1), mean 1 and E u^2 = 1 + rho.

    Every average but m is of a function that does not change when u and the field change sign together, so that only
    |u| matters: sizes, weights (J,) are its discrete law and bias (J,) is P(u = size) - P(u = -size). spread: variance
    of the Gaussian part, which adds spread * A^2 to the variance of the field A u + sigma z.
    Exact for finite M: u = (2k - M)/(M r), k ~ Bin(M, (1+r)/2), spread 0. From M (1-r^2) = 2304 on only every L-th k is
    summed, eight points per standard deviation of u, which is exact to rounding where T exceeds A sqrt(rho)/2 or sigma
    A sqrt(rho)/5; with rho < 0.02, where u = 0 is out of reach, three points from M (1-r^2) = 324 on.
    Limit of many examples: sizes [1], spread rho.
    """

    sizes: np.ndarray
    weights: np.ndarray
    spread: float
    bias: np.ndarray

    @classmethod
    def of(cls, law: DenseLaw) -> Dataset:
        """The dataset of a law; without one, u = 1."""
        if law.n_examples is None:
            return cls(np.ones(1), np.ones(1), law.rho, np.ones(1))
        m = law.n_examples
        deviation = math.sqrt(m * (1 - law.r**2))                   # of 2k - M, whose steps are 2
        resolution = 8 if law.rho > 0.02 else 3                     # points per standard deviation that are always kept
        stride = max(1, int(deviation / (2 * resolution)))
        stride -= (stride + 1) % 2                                  # odd, so that the sum is symmetric about 2k = M
        reach = 12 * deviation + 80
        low, high = max(0.0, m * law.r - reach), min(m, m * law.r + reach)
        j = np.arange(math.ceil(low / stride), math.floor(high / stride) + 1)
        size = stride * j[j % 2 == m % 2]                           # |2k - M|, from k and from M - k
        up, down = (stride * binom.pmf((m + s) // 2, m, (1 + law.r) / 2) for s in (size, -size))
        weights = np.where(size > 0, up + down, up)
        kept, total = weights > 1e-25, weights.sum()                # 1 but for rounding in the binomials of huge M
        return cls(size[kept] / (m * law.r), weights[kept] / total, 0.0, (up - down)[kept] / total)

    @property
    def second_moment(self) -> float:
        """E u^2 = 1 + rho."""
        return float(self.weights @ self.sizes**2) + self.spread

    @property
    def mean_size(self) -> float:
        """E|u|, the largest value of E[u tanh]."""
        return float(self.weights @ self.sizes) + self._folding

    @property
    def undecided(self) -> float:
        """P(u = 0): the share of spins whose averaged example vanishes."""
        return float(self.weights[self.sizes == 0].sum())

    @property
    def _folding(self) -> float:
        """E|u| - E|size|: what the Gaussian part adds."""
        if self.spread == 0:
            return 0.0
        x = 1 / math.sqrt(2 * self.spread)
        return math.exp(-x * x) / (x * math.sqrt(math.pi)) - float(erfc(x))

    def averages(self, amplitude, sigma, temperature, *, finer: bool = False) -> SpinAverages:
        """`SpinAverages` for broadcastable arrays A >= 0, sigma >= 0, T >= 0. Cost: 5 microseconds per point and size."""
        items = np.broadcast_arrays(np.asarray(amplitude, float), sigma, temperature)
        shape, (a, sigma, temperature) = items[0].shape, (item.ravel().astype(float) for item in items)
        out = np.empty((len(SpinAverages._fields), a.size))
        block = max(1, _BLOCK // self.sizes.size)
        for start in range(0, a.size, block):
            part = slice(start, start + block)
            out[:, part] = self._averages(a[part], sigma[part], temperature[part], finer)
        return SpinAverages(*out.reshape((len(out), *shape)))

    def _averages(self, a, sigma, temperature, finer):
        width = np.hypot(sigma, math.sqrt(self.spread) * a) if self.spread else sigma
        one = field_averages(self.sizes[:, None] * a, width, temperature, finer=finer)
        w, ws = self.weights, self.weights * self.sizes
        moved = self.sizes > 0                                      # an infinite response of u = 0 does not count
        loss, gain, slope = ws @ one.loss, (ws * self.sizes)[moved] @ one.C[moved], ws @ one.C_a
        C, curvature = w @ one.C, w @ one.C_aa
        if self.spread:                                             # E[y X(y)] = E X'(y)
            push = self.spread * a
            loss = np.maximum(loss + (self._folding - push * C), 0)
            gain = gain + self.spread * C + push * (2 * slope + push * curvature)
            slope = slope + push * curvature
        return loss, gain, C, slope, curvature, w @ one.D, w @ one.L, w @ one.S, self.bias @ (1 - one.loss)
