"""One example under the Gibbs measure of a perceptron with binary weights: averages over its stability, in closed form.

At fixed order parameters the stability is D = omega + sigma x with x normal. With g(omega) = E_x exp(-beta V(D)) the energetic
part of the free entropy is an average of ln g. In units of u = (omega - kappa)/sigma, s^2 = 1 + 2 beta sigma^2:

    violations   g = e^-beta Phi(-u) + Phi(u)
    hinge        g = Phi(u) + A ,   A = exp(beta sigma u + (beta sigma)^2/2) Phi(-u - beta sigma)
    quadratic    g = Phi(u) + A ,   A = exp(-beta sigma^2 u^2/s^2) Phi(-u/s)/s
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import erfcx, log_ndtr

from ..params import PerceptronLaw

__all__ = ["Tilted", "features", "tilted"]

_LOG_ROOT_2PI = math.log(2 * math.pi) / 2


class Tilted(NamedTuple):
    """An example at given omega; arrays of its shape."""

    log_g: np.ndarray
    slope: np.ndarray        # d ln g / d omega
    bend: np.ndarray         # d^2 ln g / d omega^2
    violated: np.ndarray     # probability that D < kappa
    cost: np.ndarray         # mean of V, -d ln g / d beta


def tilted(law: PerceptronLaw, beta: float, omega, sigma: float) -> Tilted:
    """The averages at omega, an array, for sigma > 0."""
    u = (np.asarray(omega, float) - law.kappa) / sigma
    log_density = -u * u / 2 - _LOG_ROOT_2PI - math.log(sigma)             # of D at kappa
    if law.loss == "violations":
        log_a = log_ndtr(-u) - beta
    elif law.loss == "hinge":
        w = -u - beta * sigma
        with np.errstate(over="ignore", divide="ignore"):                    # in the form that is not chosen
            log_a = np.where(w < 0, np.log(erfcx(-w / math.sqrt(2)) / 2) - u * u / 2,
                             beta * sigma * (u + beta * sigma / 2) + log_ndtr(w))
    else:
        s2 = 1 + 2 * beta * sigma**2
        log_a = log_ndtr(-u / math.sqrt(s2)) - math.log(s2) / 2 - beta * sigma**2 * u * u / s2
    log_g = np.logaddexp(log_ndtr(u), log_a)
    a, density = np.exp(log_a - log_g), np.exp(log_density - log_g)
    if law.loss == "violations":
        slope = -math.expm1(-beta) * density
        return Tilted(log_g, slope, -slope * (u / sigma + slope), a, a)
    if law.loss == "hinge":
        slope = beta * a
        return Tilted(log_g, slope, beta * (beta * a - density) - slope**2, a, sigma * (a * w + sigma * density))
    rate, distance = 2 * beta / s2, -u * sigma                           # distance = kappa - omega
    slope = rate * (a * distance + sigma**2 * density)
    change = rate * distance * a - density / s2                            # A'/g
    bend = rate * (distance * (change + density) - a) - slope**2
    cost = a * (distance**2 / s2 + sigma**2) / s2 + distance * sigma**2 / s2**2 * density
    return Tilted(log_g, slope, bend, a, cost)


def features(law: PerceptronLaw, beta: float, sigma: float, scale: float) -> list[tuple[float, float]]:
    """Places and widths of what is sharp in functions of z at omega = scale z."""
    unit = sigma / (scale + 1e-300)
    turns = [(0.0, 1.0)]
    if law.loss == "violations" and beta > 2:            # Phi(u) = e^-beta
        turns.append((-math.sqrt(2 * beta), 1 / math.sqrt(2 * beta)))
    elif law.loss == "hinge":
        turns.append((-beta * sigma, 1.0))
    return [(law.kappa / (scale + 1e-300) + u * unit, width * unit) for u, width in turns]
