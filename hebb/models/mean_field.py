"""The energy of a dense network continued to magnetisations -1 <= m_i <= 1, and the field it exerts on every spin.

The continuation is linear in every m_i: E(m) is the average of the energy over independent spins with <s_i> = m_i, as the
mean field of Plefka's expansion requires. With a_i the entries of a stored row (a pattern, an example, or an average of
examples), E(m) = -prefactor sum_rows e_P - sum_i h_i m_i, where e_k is the coefficient of t^k in

    distinct   prod_i (1 + a_i m_i t)                          the elementary symmetric polynomials of a_i m_i
    naive      prod_i (cosh a_i t + m_i sinh a_i t)            1/k! times the moments of sum_i a_i s_i

The logarithm of either product is sum_k L_k t^k with L_k = sum_i a_i^k l_k(m_i), l_k a polynomial: for distinct indices
(-1)^(k-1) m^k/k (power sums, and the recursion below is Newton's), for naive ones the k-th cumulant of one spin over k!. Hence

    e_k = (1/k) sum_{j=1}^k j L_j e_{k-j} ,     -dE/dm_i = prefactor sum_rows sum_j e_{P-j} a_i^j l_j'(m_i) + h_i .
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.polynomial import Polynomial

from .base import Instance

__all__ = ["MeanFieldEnergy"]

_BLOCK = 2**17  # entries of one block of rows: 1 MiB, which stay in cache from the first product to the last


class MeanFieldEnergy:
    """E(m) and -dE/dm of rows (K, N): int8 of -1, 0, +1 or float64.

    prefactor: of H = -prefactor sum_rows e_P, P!/(2 N^(P-1)) for stored patterns and either Hamiltonian. fields: h (N,).
    Naive energies are counted from their average over uniformly random configurations, as everywhere.
    Cost of one evaluation: about P K N multiply-adds per replica (signs; 2 P K N for real rows), in matrix products over
    blocks of rows.
    """

    def __init__(self, rows: np.ndarray, p_body: int, prefactor: float, hamiltonian: str = "distinct", fields=None):
        self.rows, self.p_body, self.prefactor = rows, p_body, prefactor
        self.fields = np.zeros(rows.shape[1]) if fields is None else np.asarray(fields, float)
        self.logs = _distinct_logs(p_body) if hamiltonian == "distinct" else _naive_logs(p_body)
        self.slopes = [log.deriv() for log in self.logs]
        signs = rows.dtype == np.int8  # their powers are themselves or their squares
        self._orders = [range(1, p_body + 1, 2), range(2, p_body + 1, 2)] if signs else [[j] for j in range(1, p_body + 1)]
        self._full = signs and bool(np.all(rows))
        self.mean = 0.0
        if hamiltonian == "naive":
            self.mean = float(self.energy_and_field(np.zeros((1, rows.shape[1])))[0][0])

    @classmethod
    def of(cls, instance: Instance) -> MeanFieldEnergy:
        """The energy of one disorder sample of a dense network."""
        model = instance.model
        prefactor = model.weight * (math.factorial(model.p_body) if model.hamiltonian == "naive" else 1)
        return cls(instance.stored, model.p_body, prefactor, model.hamiltonian, instance.fields)

    def energy_and_field(self, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Total energies (R,) and fields -dE/dm (R, N) of magnetisations m (R, N)."""
        n = len(m)
        logs = [np.vstack([self.logs[j - 1](m) for j in orders]) for orders in self._orders]  # l_j, R rows each
        sums = [np.zeros_like(log) for log in logs]  # sums over rows of e_{P-j} a^j, in the same places
        total = np.zeros(n)
        for powers in self._blocks():
            series = [None] * self.p_body
            for a, log, orders in zip(powers, logs, self._orders, strict=True):
                product = log @ a.T
                for place, j in enumerate(orders):
                    series[j - 1] = product[place * n:(place + 1) * n]
            e = _exponential(series)
            total += e[-1].sum(axis=1)
            for a, part, orders in zip(powers, sums, self._orders, strict=True):
                weights = np.vstack([e[self.p_body - j] for j in orders])
                part += (weights if len(a) == weights.shape[1] else weights.sum(axis=1, keepdims=True)) @ a
        field = np.zeros_like(m)
        for part, orders in zip(sums, self._orders, strict=True):
            for place, j in enumerate(orders):
                field += self.slopes[j - 1](m) * part[place * n:(place + 1) * n]
        return -self.prefactor * total - m @ self.fields - self.mean, self.prefactor * field + self.fields

    def _blocks(self) -> Iterator[list[np.ndarray]]:
        """Blocks (B, N) of rows as float64 with the powers that `_orders` calls for; one row stands for B rows of ones."""
        n_rows, n_spins = self.rows.shape
        step = max(1, _BLOCK // n_spins)
        for start in range(0, n_rows, step):
            powers = [self.rows[start:start + step].astype(float)]
            while len(powers) < len(self._orders):
                powers.append(np.ones((1, n_spins)) if self._full else powers[-1] * powers[0])
            yield powers


def _exponential(logs: list[np.ndarray]) -> list[np.ndarray]:
    """Coefficients e_0 ... e_P of exp(sum_k L_k t^k) from L_1 ... L_P."""
    e = [np.ones_like(logs[0])]
    for k in range(1, len(logs) + 1):
        e.append(sum(j * logs[j - 1] * e[k - j] for j in range(1, k + 1)) / k)
    return e


def _distinct_logs(p_body: int) -> list[Polynomial]:
    """(-1)^(k-1) m^k / k: log(1 + m t)."""
    return [Polynomial([0.0] * k + [(-1) ** (k - 1) / k]) for k in range(1, p_body + 1)]


def _naive_logs(p_body: int) -> list[Polynomial]:
    """Cumulants of a spin of mean m over k!: log(cosh t + m sinh t), whose k-th derivative at 0 obeys c' = (1 - m^2) dc/dm."""
    cumulants = [Polynomial([0.0, 1.0])]
    while len(cumulants) < p_body:
        cumulants.append(Polynomial([1.0, 0.0, -1.0]) * cumulants[-1].deriv())
    return [cumulant / math.factorial(k) for k, cumulant in enumerate(cumulants, 1)]
