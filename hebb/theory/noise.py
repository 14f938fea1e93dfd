"""What the uncondensed patterns do to one spin: Gaussian noise whose variance depends on the response C = (1-q)/T.

Both laws are linear in the load gamma and are written per unit load as functions of (C, T), with q = 1 - T C, so that
T = 0 is a regular point. They share the identity d(free_energy)/dC = (C/2) d(variance)/dC, which makes the free energy
stationary exactly where C equals the response of a spin in the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import polynomial as poly

__all__ = ["HopfieldNoise", "MixtureNoise", "noise_law"]


def noise_law(p_body: int, hamiltonian: str):
    """The noise of P-body patterns: `HopfieldNoise` for P = 2, else a mixture with the covariance g(q).

    distinct: g = q^P. naive (coinciding indices kept): z^P = sum_k c_k He_k(z) with c_k = P!/(2^j j! k!), j = (P-k)/2,
    and every Hermite piece has a variance of the same order in N, so g(q) = sum_{k>=1} (c_k^2 k!/P!) q^k. For P = 2 the
    two differ by a constant.
    """
    if p_body == 2:
        return HopfieldNoise()
    covariance = np.zeros(p_body + 1)
    covariance[p_body] = 1.0
    if hamiltonian == "naive":
        for k in range(p_body - 2, 0, -2):
            j = (p_body - k) // 2
            c = math.factorial(p_body) / (2**j * math.factorial(j) * math.factorial(k))
            covariance[k] = c * c * math.factorial(k) / math.factorial(p_body)
    return MixtureNoise(tuple(covariance))


@dataclass(frozen=True)
class MixtureNoise:
    """P >= 3: Gaussian energy of covariance N (gamma/2) g(q); variance sigma^2 = (gamma/2) g'(q).

    free_energy = -[g(1) - g(q) - (1-q) g'(q)] / 4T,  replicon = 1 - gamma g''(q) E sech^4 / 2T^2
    (derived with replicas; 2212.00606 treats g = q^P, with load alpha_P = 2 gamma/P! and beta' = 2 beta/P!).
    """

    covariance: tuple[float, ...]                 # coefficients of g, from q^0 upwards
    derivatives: tuple = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        g = np.asarray(self.covariance)
        object.__setattr__(self, "derivatives", tuple(poly.polyder(g, k) for k in range(g.size)))

    def g(self, q, order: int = 0):
        """The order-th derivative of the covariance at overlap q."""
        return poly.polyval(q, self.derivatives[order])

    @property
    def response_limit(self) -> float:
        """C must stay below this value."""
        return math.inf

    def variance(self, C, temperature):
        return self.g(1 - temperature * C, 1) / 2

    def variance_slope(self, C, temperature):
        """d(variance)/dC at fixed T."""
        return -temperature * self.g(1 - temperature * C, 2) / 2

    def free_energy(self, C, temperature):
        return -temperature * self._bracket(C, temperature) / 4

    def entropy(self, C, temperature):
        """Contribution to the entropy, -d(free energy)/dT at fixed q, variance terms included."""
        return -self._bracket(C, temperature) / 4

    def replicon_parts(self, C, temperature, load, D):
        """(quiet, drop): replicon = quiet - drop/T, with D = E sech^4 / T; drop stays finite at T = 0."""
        return np.ones_like(D), load * self.g(1 - temperature * C, 2) * D / 2

    def load(self, sigma, C, temperature):
        """The gamma at which the field has standard deviation sigma."""
        return sigma**2 / self.variance(C, temperature)

    def _bracket(self, C, temperature):
        """[g(1) - g(q) - (1-q) g'(q)]/T^2 as its Taylor series about q, whose terms are all positive."""
        q = 1 - temperature * C
        return sum(self.g(q, k) * temperature ** (k - 2) * C**k / math.factorial(k)
                   for k in range(2, len(self.covariance)))


@dataclass(frozen=True)
class HopfieldNoise:
    """P = 2: all cumulants of the noise are extensive; variance sigma^2 = alpha q/(1-C)^2 (Amit, Gutfreund, Sompolinsky
    1987).

    free_energy = (1/2) [1 + T ln(1-C) - q/(1-C) + q C/(1-C)^2], replicon = (1-C)^2 - alpha E sech^4/T^2.
    The constant 1/2 removes the diagonal couplings.
    """

    @property
    def response_limit(self) -> float:
        """C must stay below this value: beyond it the Gaussian integral over the uncondensed overlaps diverges."""
        return 1.0

    def variance(self, C, temperature):
        return (1 - temperature * C) / (1 - C) ** 2

    def variance_slope(self, C, temperature):
        return (2 - temperature - temperature * C) / (1 - C) ** 3

    def free_energy(self, C, temperature):
        q = 1 - temperature * C
        return (1 + temperature * np.log1p(-C) - q / (1 - C) + q * C / (1 - C) ** 2) / 2

    def entropy(self, C, temperature):
        return -(np.log1p(-C) + C / (1 - C)) / 2

    def replicon_parts(self, C, temperature, load, D):
        """(quiet, drop): replicon = quiet - drop/T, with D = E sech^4 / T; drop stays finite at T = 0."""
        return (1 - C) ** 2, load * D

    def load(self, sigma, C, temperature):
        q = 1 - temperature * C
        return np.divide((sigma * (1 - C)) ** 2, q, out=np.zeros_like(q), where=q > 0)
