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

from ..params import DenseLaw

__all__ = ["HopfieldNoise", "MixtureNoise", "log_remainder", "noise_law", "overlap"]

_ROUNDING = 4 * np.finfo(float).eps        # of 1 - T C


def noise_law(law: DenseLaw):
    """The noise of P-body patterns: `HopfieldNoise` for P = 2, else a mixture with the covariance g(q).

    distinct: g = q^P. naive (coinciding indices kept): z^P = sum_k c_k He_k(z) with c_k = P!/(2^j j! k!), j = (P-k)/2,
    and every Hermite piece has a variance of the same order in N, so g(q) = sum_{k>=1} (c_k^2 k!/P!) q^k. For P = 2 the
    two differ by a constant.

    A supervised dataset changes nothing: averaged entries, normalised, have unit variance. Unsupervised, the M examples
    a of one pattern enter one by one; k-tuples of two of them have the overlap r^2k q^k (q^k if they are the same), so
    piece k carries R_k/R_P with R_k = r^2k + (1-r^2k)/M, which is 1 for distinct indices.
    """
    p = law.p_body
    if p == 2:
        return HopfieldNoise(*_example_modes(law))
    covariance = np.zeros(p + 1)
    covariance[p] = 1.0
    if law.hamiltonian == "naive":
        for k in range(p - 2, 0, -2):
            j = (p - k) // 2
            c = math.factorial(p) / (2**j * math.factorial(j) * math.factorial(k))
            covariance[k] = c * c * math.factorial(k) / math.factorial(p)
            if law.protocol == "unsupervised":
                covariance[k] *= _tuple_power(law, k) / _tuple_power(law, p)
    return MixtureNoise(tuple(covariance))


def overlap(C, temperature):
    """q = 1 - T C. What rounding leaves of q = 0 is 0: gamma/T^2 would blow it up."""
    q = 1 - temperature * np.asarray(C)
    return np.where(np.abs(q) > _ROUNDING, q, 0.0)


def _tuple_power(law: DenseLaw, order: int) -> float:
    """R_k = r^2k + (1-r^2k)/M: mean over two examples of one pattern of the product of their k-tuples."""
    power = law.r ** (2 * order)
    return power + (1 - power) / law.effective_examples


def _example_modes(law: DenseLaw):
    """(eigenvalues, traces) of the covariance of one pattern's examples, P = 2, in units of M R.

    Unsupervised: 1 once (their average) and rho/(1+rho) with multiplicity M-1 (their differences); traces are the
    eigenvalues times their multiplicities and add up to 1/R = 1/(r^2 (1+rho)).
    """
    if law.protocol == "unsupervised" and law.rho > 0 and law.effective_examples > 1:
        differences = law.rho / (1 + law.rho)
        return (1.0, differences), (1.0, (law.effective_examples - 1) * differences)
    return (1.0,), (1.0,)


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
        return self.g(overlap(C, temperature), 1) / 2

    def variance_slope(self, C, temperature):
        """d(variance)/dC at fixed T."""
        return -temperature * self.g(overlap(C, temperature), 2) / 2

    def free_energy(self, C, temperature):
        return -temperature * C * (C * self._bracket(C, temperature)) / 4

    def entropy(self, C, temperature):
        """Contribution to the entropy, -d(free energy)/dT at fixed q, variance terms included."""
        return -C * (C * self._bracket(C, temperature)) / 4

    def heat(self, C, temperature):
        """T times `entropy`, finite where that overflows."""
        return self.free_energy(C, temperature)

    def replicon_parts(self, C, temperature, load, D):
        """(quiet, drop): replicon = quiet - drop/T, with D = E sech^4 / T; drop stays finite at T = 0."""
        return np.ones_like(D), load * self.g(overlap(C, temperature), 2) * D / 2

    def load(self, sigma, C, temperature):
        """The gamma at which the field has standard deviation sigma."""
        return sigma**2 / self.variance(C, temperature)

    def _bracket(self, C, temperature):
        """[g(1) - g(q) - (1-q) g'(q)]/(1-q)^2 as its Taylor series about q, whose terms are all positive."""
        q = overlap(C, temperature)
        return sum(self.g(q, k) * (temperature * C) ** (k - 2) / math.factorial(k) for k in range(2, len(self.covariance)))


@dataclass(frozen=True)
class HopfieldNoise:
    """P = 2: all cumulants of the noise are extensive; variance sigma^2 = alpha q/(1-C)^2 (Amit, Gutfreund, Sompolinsky
    1987).

    free_energy = (1/2) [1 + T ln(1-C) - q/(1-C) + q C/(1-C)^2], replicon = (1-C)^2 - alpha E sech^4/T^2.
    The constant 1/2 removes the diagonal couplings.

    Unsupervised data: patterns come as modes of strength l <= 1 and trace t, l times the multiplicity (the first mode
    has l = t = 1). With x = l C each contributes t l q/(1-x)^2 to the variance, to the free energy
    (t/2) [1 + (T/l) ln(1-x) - q/(1-x) + q x/(1-x)^2] (the constants add up to 1/2R, the diagonal), and
    (1-C)^2 t l/(1-x)^2 to what multiplies alpha E sech^4/T^2 in the replicon.
    """

    strengths: tuple[float, ...] = (1.0,)
    traces: tuple[float, ...] = (1.0,)

    @property
    def response_limit(self) -> float:
        """C must stay below this value: beyond it the Gaussian integral over the uncondensed overlaps diverges."""
        return 1.0

    def variance(self, C, temperature):
        return (1 - temperature * C) * self._power(C) / (1 - C) ** 2

    def variance_slope(self, C, temperature):
        q = 1 - temperature * C
        return sum(t * s * (2 * s * q - temperature * (1 - s * C)) / (1 - s * C) ** 3 for s, t in self._modes())

    def free_energy(self, C, temperature):
        q = 1 - temperature * C
        # every term vanishes as x^2: no constant is subtracted, however large the traces
        return sum(t * (temperature * C * log_remainder(s * C) + q * (s * C / (1 - s * C)) ** 2)
                   for s, t in self._modes()) / 2

    def entropy(self, C, temperature):
        """Contribution to the entropy, -d(free energy)/dT at fixed q, variance terms included."""
        return -sum(t * C * (log_remainder(s * C) + s * C / (1 - s * C)) for s, t in self._modes()) / 2

    def heat(self, C, temperature):
        """T times `entropy`."""
        return temperature * self.entropy(C, temperature)

    def replicon_parts(self, C, temperature, load, D):
        """(quiet, drop): replicon = quiet - drop/T, with D = E sech^4 / T; drop stays finite at T = 0."""
        return (1 - C) ** 2, load * D * self._power(C)

    def load(self, sigma, C, temperature):
        q = (1 - temperature * C) * self._power(C)
        return np.divide((sigma * (1 - C)) ** 2, q, out=np.zeros_like(q), where=q > 0)

    def onset(self, temperature):
        """Load at which the replicon of the paramagnet (q = 0, C = 1/T) vanishes; 0 for T <= 1."""
        T = np.maximum(temperature, 1.0)
        return (T - 1) ** 2 / self._power(1 / T)

    @property
    def total(self) -> float:
        """sum of trace times strength: the variance per unit load and overlap without response."""
        return sum(s * t for s, t in self._modes())

    def _modes(self):
        return zip(self.strengths, self.traces, strict=True)

    def _power(self, C):
        """(1-C)^2 sum t l/(1-l C)^2, which is 1 where examples have one mode."""
        rest = ((s, t) for s, t in self._modes() if s != 1)
        return sum((t * s * ((1 - C) / (1 - s * C)) ** 2 for s, t in rest), np.ones_like(C))


def log_remainder(x):
    """1 + ln(1-x)/x for x < 1, which starts as -x/2, to full relative precision."""
    x = np.asarray(x, float)
    small = np.abs(x) < 0.03
    y = np.where(small, x, 0.0)
    series = -y * (1 / 2 + y * (1 / 3 + y * (1 / 4 + y * (1 / 5 + y * (1 / 6 + y * (1 / 7 + y * (1 / 8 + y * (
        1 / 9 + y * (1 / 10 + y * (1 / 11 + y / 12))))))))))
    safe = np.where(small, 0.5, x)
    return np.where(small, series, 1 + np.log1p(-safe) / safe)
