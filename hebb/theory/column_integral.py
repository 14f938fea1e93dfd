"""Averages over the columns of a multitasking network in O(K): every number of patterns, datasets exact at every M.

A spin sees its column y = (y_1, ..., y_K) of independent entries only through v = y.g/T. With

    tanh v = int_0^inf sin(w v)/sinh(pi w/2) dw ,      log cosh v = int_0^inf (1 - cos w v)/(w sinh(pi w/2)) dw ,

averages of functions of v become averages of waves, which are products over the patterns of

    phi(x) = E cos(x y) = 1 - gap(x) ,   psi(x) = E[y sin(x y)] ,   chi(x) = E[y^2 cos(x y)] ,   omega(x) = E[xi sin(x y)] .

The integrals are summed by the midpoint rule of step 2 pi/P, which replaces tanh v by its image of period 2P with
alternating signs: the error is below 2 exp(-2(P - |v|)), and P is chosen so that its average is below exp(-40).
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import ParameterError
from ..params import MultitaskLaw
from .frozen_columns import MOST_LISTED, frozen_columns
from .warm_columns import NODES, WarmColumns

__all__ = ["CUT", "ColumnIntegral", "log_power", "products_of_others"]

_EXPONENT = 40.0        # errors of the midpoint rule and of the cut are of order exp(-40)
_DECAYED = 10.0         # exp(-10^2/2) = 2e-22
CUT = 26.0             # 1/sinh(pi w/2) = 4e-18 here
_BLOCK = 1 << 15        # waves times patterns summed at once, which stay in the second-level cache
_MOST_WAVES = 1 << 22


class ColumnIntegral:
    """Column averages of `law`, in its default normalisation (scale = 1) and for states symmetric in the examples.

    All methods take g (..., K), overlaps with the stored rows, and temperatures T (...,) >= 0, broadcast; units of
    E y^2 = 1 - d. T > 0: 4|y.g|/T + 80 waves are summed, |y.g| being the largest field that occurs, at 10-20 ns for each
    pattern (jacobian: K^2/10 more); Gaussian datasets need no more at low T, but for `log_cosh` and patterns with g_mu
    near 0; where it is cheaper their columns are enumerated (`hebb.theory.warm_columns`). T = 0: enumeration, see
    `hebb.theory.frozen_columns`. Raises ParameterError where T is positive but so low that more than 4 million waves would
    be needed (T about 1e-6), and at T = 0 where the columns are too many.
    Checked against enumeration to 1e-14.
    """

    def __init__(self, law: MultitaskLaw):
        self.law = law
        self.n_patterns = law.n_patterns
        self._exact = exact = law.protocol != "storage" and not law.gaussian
        self._letters = _binomial_letters if exact else _gaussian_letters
        # log E exp(t y) <= mean |t| + variance t^2/2 (exact examples: Hoeffding's bound), and |y| <= largest
        self._mean = law.r / math.sqrt(law.second_moment) if exact else 1 / math.sqrt(1 + law.rho)
        self._variance = 1 / (law.n_examples * law.second_moment) if exact else law.rho / (1 + law.rho)
        self._largest = 1 / math.sqrt(law.second_moment) if exact else math.inf

    def at(self, rows) -> ColumnIntegral:
        """The columns of some points only: the same, since all points share one law."""
        return self

    def log_cosh(self, g, temperature) -> np.ndarray:
        """E log 2cosh(y.g/T), for T > 0."""
        return math.log(2) + self._sum(self._log_cosh, (), g, temperature)

    def potential(self, g, temperature) -> np.ndarray:
        """T E log 2cosh(y.g/T), which is E|y.g| at T = 0: the free energy is g^2/2 minus this. Its gradient is `field`."""
        g, temperature = _broadcast(g, temperature)
        cold = temperature == 0
        out = np.empty(temperature.shape)
        out[~cold] = temperature[~cold] * self.log_cosh(g[~cold], temperature[~cold])
        out[cold] = np.sum(g[cold] * self.field(g[cold], 0.0), axis=-1)
        return out

    def field(self, g, temperature) -> np.ndarray:
        """F = E[y tanh(y.g/T)] (..., K), whose fixed points are the stationary states."""
        return self._sum(self._field, (self.n_patterns,), g, temperature, "field")

    def archetype(self, g, temperature) -> np.ndarray:
        """E[xi tanh(y.g/T)] (..., K): the overlaps m with the archetypes."""
        return self._sum(self._archetype, (self.n_patterns,), g, temperature, "archetype")

    def jacobian(self, g, temperature) -> np.ndarray:
        """dF/dg = E[y y^T sech^2(y.g/T)]/T (..., K, K), positive; the Hessian of the free energy is 1 minus it."""
        return self._sum(self._jacobian, (self.n_patterns,) * 2, g, temperature, "jacobian", power=1)

    def scatter(self, g, temperature) -> np.ndarray:
        """E[(xi^2 - R y^2) sech^2(y.g/T)]/T (..., K): R y^2 is the squared average of the M examples, xi^2 the average of
        their squares. Gaussian datasets: E[xi^2 sech^2(y.g/T)]/T, since R -> 0."""
        return self._sum(self._scatter, (self.n_patterns,), g, temperature, "scatter", power=1)

    def _sum(self, kernel, shape, g, temperature, frozen=None, power=0) -> np.ndarray:
        """kernel summed over the waves of each point, over T^power; where T = 0, the method `frozen` of the enumeration."""
        g, temperature = _broadcast(g, temperature)
        if g.shape[-1] != self.n_patterns:
            raise ParameterError(f"g has {g.shape[-1]} components, but the network has {self.n_patterns} patterns")
        points, g, temperature = temperature.shape, g.reshape(-1, self.n_patterns), temperature.ravel()
        if not np.all(temperature >= 0) or (frozen is None and not np.all(temperature > 0)):
            allowed = "numbers above 0" if frozen is None else "numbers of at least 0"
            raise ParameterError(f"temperature = {float(np.min(temperature))!r}: column averages need {allowed}")
        out = np.empty((temperature.size, *shape))
        cold = temperature == 0
        if cold.any():
            out[cold] = getattr(self._frozen_columns(), frozen)(g[cold])
        warm = np.flatnonzero(~cold)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            x = g[warm] / temperature[warm, None]
            period = self._period(x)
            cut = self._cut(x, kernel)
            waves = np.ceil(cut * period / (2 * math.pi))
        waves = np.where(np.isfinite(waves), waves, math.inf)
        listed = waves * self.n_patterns > NODES * self._kinds()
        if listed.any():
            rows = warm[listed]
            out[rows] = getattr(WarmColumns(self._frozen_columns()), frozen or "log_cosh")(g[rows], temperature[rows])
            waves = np.where(listed, 0.0, waves)
        if not waves.max(initial=0.0) <= _MOST_WAVES:
            worst = warm[np.argmax(waves)]
            raise ParameterError(f"temperature = {temperature[worst]:.6g} would take more than {_MOST_WAVES:.2g} waves; use "
                                 f"T = 0, or a temperature above {10 * np.abs(g[worst]).sum() / _MOST_WAVES:.2g}")
        waves = waves.astype(int)
        warm, x, period, cut, waves = (a[~listed] for a in (warm, x, period, cut, waves))
        alike = np.floor(2 * np.log2(period))                          # points of one block share their waves
        order = np.lexsort((-waves, alike))
        start = 0
        while start < order.size:
            some = order[start:start + max(1, _BLOCK // (waves[order[start]] * self.n_patterns))]
            some = some[alike[some] == alike[some[0]]]
            step, rows, total = 2 * math.pi / period[some].max(), x[some].T[:, :, None], 0.0
            longest = math.ceil(cut[some].max() / step)
            block = max(1, _BLOCK // (self.n_patterns * some.size))
            for first in range(0, longest, block):
                w = step * (np.arange(first, min(first + block, longest)) + 0.5)
                total = total + kernel(rows * w, w)
            out[warm[some]] = np.moveaxis(total * (step / temperature[warm[some]] ** power), -1, 0)
            start += some.size
        return out.reshape((*points, *shape))

    def _frozen_columns(self):
        return frozen_columns(self.law)

    def _kinds(self) -> float:
        """How many kinds of columns an enumeration at T > 0 has; infinite where there is none."""
        law = self.law
        return (3.0**law.n_patterns - 1) / 2 if law.gaussian and law.rho and law.n_patterns <= MOST_LISTED else math.inf

    def _period(self, x) -> np.ndarray:
        """P of points x = g/T: the smallest for which E exp(-s (P - |v|)) < exp(-40) for some s <= 2."""
        size, square = np.abs(x).sum(axis=-1), self._variance * np.sum(x * x, axis=-1)
        with np.errstate(divide="ignore"):
            s = np.minimum(2.0, np.sqrt(2 * _EXPONENT / square))
        period = self._mean * size + _EXPONENT / s + s * square / 2
        return np.minimum(period, self._largest * size + _EXPONENT / 2) if self._exact else period

    def _cut(self, x, kernel) -> np.ndarray:
        """The w beyond which nothing is left: 1/sinh decays, and at low T, for Gaussian datasets, the letters do before.

        All factors of the field decay with |x_mu| w but those of patterns with x_mu = 0, which are zero; those of the
        jacobian, without exception. phi tends to d and does not decay."""
        if self._exact or not self.law.rho or kernel == self._log_cosh:
            return np.full(len(x), CUT)
        size = np.abs(x)
        if kernel in (self._field, self._archetype):
            size = np.where(size > 0, size, np.inf)
        with np.errstate(divide="ignore"):
            return np.clip(_DECAYED / (math.sqrt(self._variance) * size.min(axis=1)), 1e-300, CUT)

    # kernels: x (K, points, waves) = w g/T and the waves w; sums over the waves, points last

    def _log_cosh(self, x, w):
        gap, = self._letters(self.law, x, "gap")
        total = np.zeros(x.shape[1:])
        for one in gap:                                  # 1 - prod phi, without cancellation where all phi are near 1
            total += one * (1 - total)
        return total @ (1 / (w * np.sinh(math.pi / 2 * w)))

    def _field(self, x, w):
        phi, psi = self._letters(self.law, x, "phi", "psi")
        return (psi * products_of_others(phi)) @ (1 / np.sinh(math.pi / 2 * w))

    def _archetype(self, x, w):
        phi, omega = self._letters(self.law, x, "phi", "omega")
        return (omega * products_of_others(phi)) @ (1 / np.sinh(math.pi / 2 * w))

    def _scatter(self, x, w):
        phi, chi = self._letters(self.law, x, "phi", "chi")
        part = phi - self.law.dilution - (self.law.second_moment * chi if self._exact else 0.0)
        return (part * products_of_others(phi)) @ (w / np.sinh(math.pi / 2 * w))

    def _jacobian(self, x, w):
        phi, psi, chi = self._letters(self.law, x, "phi", "psi", "chi")
        weight = w / np.sinh(math.pi / 2 * w)
        before, after = _products_before(phi), _products_before(phi[::-1])[::-1]
        total = np.empty((self.n_patterns, self.n_patterns, x.shape[1]))
        for mu in range(self.n_patterns):
            total[mu, mu] = (chi[mu] * before[mu] * after[mu]) @ weight
            rest = before[mu] * psi[mu]                  # and, going on, the factors between mu and nu
            for nu in range(mu + 1, self.n_patterns):
                total[mu, nu] = total[nu, mu] = -(rest * psi[nu] * after[nu]) @ weight
                rest = rest * phi[nu]
        return total


def _broadcast(g, temperature):
    g, temperature = np.asarray(g, float), np.asarray(temperature, float)
    points = np.broadcast_shapes(g.shape[:-1], temperature.shape)
    return np.broadcast_to(g, (*points, g.shape[-1])), np.broadcast_to(temperature, points)


def _products_before(phi) -> np.ndarray:
    """Products over the patterns before each one (1 for the first)."""
    out = np.ones_like(phi)
    np.cumprod(phi[:-1], axis=0, out=out[1:])
    return out


def products_of_others(phi) -> np.ndarray:
    """Products over all other patterns, without division: factors may be zero."""
    return _products_before(phi) * _products_before(phi[::-1])[::-1]


def _gaussian_letters(law: MultitaskLaw, x, *names):
    """gap, phi, psi, chi, omega for y = xi (a + b z), z ~ N(0, 1), a^2 + b^2 = 1; storage: b = 0."""
    a, b2 = 1 / math.sqrt(1 + law.rho), law.rho / (1 + law.rho)
    exponent = np.maximum(-b2 / 2 * x * x, -100.0)                   # no arithmetic with denormal numbers
    damping = law.density * np.exp(exponent) if law.rho else law.density
    cosine, sine = damping * np.cos(a * x), damping * np.sin(a * x)
    values = {"gap": lambda: 2 * damping * np.sin(a / 2 * x) ** 2 - law.density * np.expm1(exponent),
              "phi": lambda: law.dilution + cosine, "psi": lambda: a * sine + b2 * x * cosine, "omega": lambda: sine,
              "chi": lambda: (1 - (b2 * x) ** 2) * cosine - 2 * a * b2 * x * sine}
    return [values[name]() for name in names]


def _binomial_letters(law: MultitaskLaw, x, *names):
    """gap, phi, psi, chi, omega for y = (average of M examples)/sqrt(R): powers of z = cos u + i r sin u, u = x/(M sqrt R)."""
    m, root = law.n_examples, math.sqrt(law.second_moment)
    u = x / (m * root)
    cosine, sine = np.cos(u), np.sin(u)
    z, slope = cosine + 1j * law.r * sine, -sine + 1j * law.r * cosine
    power = law.density * np.exp(log_power(law.r, cosine, sine, m - 2))
    whole = log_power(law.r, cosine, sine, m) if "gap" in names else None
    values = {"gap": lambda: law.density * (2 * np.exp(whole.real) * np.sin(whole.imag / 2) ** 2 - np.expm1(whole.real)),
              "phi": lambda: law.dilution + (power * z * z).real, "psi": lambda: -(power * z * slope).real / root,
              "omega": lambda: (power * z * z).imag,
              "chi": lambda: (power * (z * z - (m - 1) * slope * slope)).real / (m * root * root)}
    return [values[name]() for name in names]


def log_power(r, cosine, sine, exponent) -> np.ndarray:
    """log z^exponent of z = cos u + i r sin u for a whole exponent, to rounding for large ones.

    The half turn where cos u < 0 is kept apart, so that angles are small where the exponent times them matters."""
    size = np.where(cosine**2 > 0.5, np.log1p(-(1 - r * r) * sine**2), np.log(cosine**2 + (r * sine) ** 2)) / 2
    angle = exponent * np.arctan(r * sine / cosine)
    return exponent * size + 1j * (angle + math.pi * (cosine < 0) if exponent % 2 else angle)
