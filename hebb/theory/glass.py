"""The branch without retrieval: followed without iteration, like `hebb.theory.continuation`, with the width as label."""

from __future__ import annotations

import numpy as np

from .quadrature import field_averages
from .replica_symmetric import ReplicaSymmetric
from .solver import bracketed_root

__all__ = ["GlassBranch"]

_TINY = np.finfo(float).tiny


class GlassBranch:
    """States with n = 0 and q > 0, labelled by sigma: explicit, gamma = sigma^2/v(C, T) with C = E sech^2(sigma z/T)/T.

    The branch runs from sigma = infinity (T/sqrt(gamma) -> 0) down to its onset.
    """

    def __init__(self, equations: ReplicaSymmetric):
        self.equations = equations
        self._noise = equations.noise
        self._hopfield = equations.p_body == 2
        self._largest_response = np.nextafter(self._noise.response_limit, 0)
        self.width_at_onset, self.onset_ratio = (0.0, 0.0) if self._hopfield else self._mixture_onset()

    def _mixture_onset(self):
        """(sigma/T, gamma/T^2) at the onset: for a mixture gamma/T^2 depends on sigma/T only.

        A minimum of gamma is a discontinuous onset; without one the branch grows continuously out of q = 0 at
        gamma/T^2 = 2/g''(0), or, with a random field (g'(0) > 0), never ends.
        """

        def rising(width, _=None):
            average = field_averages(0.0, width, 1.0)
            v, slope = self._noise.variance(average.C, 1.0), self._noise.variance_slope(average.C, 1.0)
            return 2 * v - slope * average.C_aa * width**2

        if self._noise.g(0.0, 1) > 0:
            return 0.0, 0.0
        widths = np.geomspace(1e3, 1e-2, 400)
        falling = np.flatnonzero(rising(widths) <= 0)
        if falling.size:
            edge = falling[0]
            width = bracketed_root(rising, widths[edge], widths[edge - 1])
            C = field_averages(0.0, width, 1.0).C
            return float(width[0]), float(self._noise.load(width, C, 1.0)[0])
        return 0.0, float(2 / self._noise.g(0.0, 2))

    def onset(self, temperature):
        """The load above which the branch exists at each temperature."""
        temperature = np.asarray(temperature, float)
        if self._hopfield:
            return self._noise.onset(temperature)
        return self.onset_ratio * temperature**2

    def onset_error(self, temperature):
        """What should vanish on the onset: 1 - d(update of C)/dC of the state there."""
        width = self.width_at_onset * temperature
        average = field_averages(0.0, width, temperature)
        slope = self.onset(temperature) * self._noise.variance_slope(average.C, temperature)
        return np.abs(1 - average.C_aa * slope / 2)

    def onset_temperature(self, gamma: float) -> float:
        """The temperature below which the branch exists at this load (infinite with a random field)."""
        if self._hopfield:
            if self._noise.total == 1:
                return 1 + float(np.sqrt(gamma))
            reach = gamma * np.array([1.0, self._noise.total])       # of the first mode, and of all if they were like it
            return float(bracketed_root(lambda T, _: self._noise.onset(T) - gamma, *(1 + np.sqrt(reach)))[0])
        return float(np.sqrt(gamma / self.onset_ratio)) if self.onset_ratio > 0 else np.inf

    def solve(self, gamma, temperature):
        """C of the branch for arrays of loads and temperatures; NaN where it does not exist (and at gamma = 0)."""
        gamma, temperature = (np.ravel(item).astype(float) for item in np.broadcast_arrays(gamma, temperature))
        C = np.full(gamma.size, np.nan)
        rows = np.flatnonzero((gamma > self.onset(temperature)) & (gamma > 0))
        if not rows.size:
            return C
        g, T = gamma[rows], temperature[rows]
        low, high = self._bracket(g, T)

        def excess(share, index):              # of the largest width, so that small ones are as exact
            sigma = share * high[index]
            load = self._noise.load(sigma, field_averages(0.0, sigma, T[index]).C, T[index])
            return np.log(np.maximum(load, _TINY)) - np.log(g[index])

        share = bracketed_root(excess, low / high, 1.0)
        missed = np.flatnonzero(np.isnan(share))           # at a jump the load is flat, and its sign there is rounding
        if missed.size:
            least = (low / high)[missed]
            share[missed] = np.where(np.abs(excess(least, missed)) < 1e-13, least, np.nan)
        sigma = share * high
        found = np.isfinite(sigma)
        # P = 2: C -> 1 as gamma -> 0; rounding must not put it there
        C[rows[found]] = np.minimum(field_averages(0.0, sigma[found], T[found]).C, self._largest_response)
        return C

    def _bracket(self, gamma, temperature):
        """Widths between which gamma(sigma) rises through the wanted load."""
        wide = 1 + 1e-12
        if not self._hopfield:
            high = np.sqrt(gamma * self._noise.g(1.0, 1) / 2)
            low = np.where(temperature > 0, max(self.width_at_onset, 1e-4) * temperature, high / 2)
            if self.onset_ratio == 0:                  # the random field alone bounds the width from below
                low = np.sqrt(gamma * self._noise.g(0.0, 1) / 2)
            return low / wide, high * wide
        # C < sqrt(2/pi)/sigma bounds sigma from above; where C = 1 is reached at finite width, gamma = 0 there
        high = np.sqrt(gamma * self._noise.total) + np.sqrt(2 / np.pi)
        low = 1e-4 * temperature
        cold = np.flatnonzero(temperature < 1)
        if cold.size:
            T = temperature[cold]
            edge = bracketed_root(lambda sigma, index: field_averages(0.0, sigma, T[index]).C - 1,
                                  np.full(cold.size, 1e-9), np.sqrt(2 / np.pi) * wide)
            low[cold] = edge
        return low, high * wide
