"""Averages over a normal variable of functions that are sharp in known places: Gauss-Legendre rules on graded panels."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import erfcx

from .perceptron_energy import composite

__all__ = ["gaussian_nodes", "mills"]

_REACH = 10.5                                   # the normal density is 5e-25 there
_NODES = 16
_STEPS = np.unique(np.concatenate([np.arange(0, 4), 4 * 1.5 ** np.arange(30)]))     # panels grow with the distance
_LADDER = np.concatenate([-_STEPS[:0:-1], _STEPS])


@cache
def _even_panels() -> np.ndarray:
    return np.linspace(-_REACH, _REACH, 22)


def gaussian_nodes(*features, finer=False) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z and weights w with sum w F(z) = int dz exp(-z^2/2)/sqrt(2 pi) F(z), to rounding.

    features: (place, width) of the steps and kinks of F; panels are as wide as that there and grow away from it. A width
    above 1 is no feature: panels of length 1 suffice for functions as smooth as the normal density. finer: panels of half
    the length, for error estimates.
    """
    ends = [_even_panels()]
    for place, width in features:
        if width < 1:
            ladder = place + width * _LADDER
            ends.append(ladder[np.abs(ladder) < _REACH])
    ends = np.unique(np.concatenate(ends))
    if finer:
        ends = np.sort(np.concatenate([ends, (ends[1:] + ends[:-1]) / 2]))
    z, weight = composite(ends, _NODES)
    return z, weight * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def mills(u) -> np.ndarray:
    """h(u) = phi(u)/Phi(u), the slope of ln Phi, to full relative precision on both sides."""
    return np.sqrt(2 / np.pi) / erfcx(-np.asarray(u) / np.sqrt(2))
