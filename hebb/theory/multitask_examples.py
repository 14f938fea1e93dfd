"""States of unsupervised learning that follow one example of a pattern, instead of what its examples have in common.

    H = -(N/2) sum_mu (1/M) sum_a g_mu,a^2 ,      g_mu,a = (1/(N sqrt R)) sum_i eta_i^{mu,a} s_i

Of pattern 1 the first example has an overlap of its own; its other M - 1 examples, and all examples of the other
patterns, are treated alike. The columns of this problem have K + 1 entries, with overlaps x and f = |x|^2/2 - T E log
2cosh(y.x/T) as for the symmetric states:

    y_1 = sqrt((M-1)/(M R)) (average of the M - 1 others) ,   y_mu = (average of M)/sqrt R ,   y_{K+1} = eta^{1,1}/sqrt(M R) .

In the limit of many examples, at fixed rho, r tends to zero: the example becomes one more pattern with the zeros of
pattern 1 and signs of its own, of weight 1/(M R) = b^2 = rho/(1+rho), while y_1 keeps its law. States that follow
several examples of one pattern at a time are not described here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binom

from ..errors import NoSolution, ParameterError
from ..params import MultitaskLaw, check_real
from .column_integral import ColumnIntegral, log_power, products_of_others
from .frozen_columns import GaussianColumns, archetype_columns
from .multitask_states import CONVERGED, find_states

__all__ = ["ExampleColumns", "ExampleState", "example_modes", "example_state", "lowest_example_state"]

_MOST_COLUMNS = 1 << 20


@dataclass(frozen=True)
class ExampleState:
    """A state that follows one example of pattern 1; numbers per spin, in the units of H.

    example: overlap (1/N) sum eta s with that example (at most p), others: with each other example of the pattern.
    m (K,): overlaps with the archetypes, pattern 1 first; n (K,): with the stored averages, as in `MultitaskState`.
    smallest_hessian_eigenvalue: of f/scale, in all directions of the overlaps with all K M examples; stable: whether it
    is positive. residual: largest change of the overlaps under one iteration.
    """

    branch: str
    n_patterns: int
    dilution: float
    temperature: float
    example: float
    others: float
    m: np.ndarray
    n: np.ndarray
    free_energy: float
    smallest_hessian_eigenvalue: float
    stable: bool
    converged: bool
    residual: float


class ExampleColumns(ColumnIntegral):
    """Averages over the K + 1 entries above: the methods of `ColumnIntegral` with g = x (..., K + 1); `archetype` ends with
    the overlap E[eta tanh(y.x/T)] with the example.

    T = 0: K <= 12 for Gaussian datasets, and up to a million columns with exact examples; otherwise ParameterError.
    """

    def __init__(self, law: MultitaskLaw):
        super().__init__(law)
        self.n_patterns = law.n_patterns + 1
        m = law.n_examples
        #: the weight sqrt((M-1)/M) of the other examples of pattern 1, and sqrt(1/(M R)) of its first
        self.common = math.sqrt((m - 1) / m) if m else 1.0
        self.single = math.sqrt(1 / (m * law.second_moment)) if m else math.sqrt(law.rho / (1 + law.rho))

    def scatter(self, g, temperature) -> np.ndarray:
        """E[(xi^2 - average^2) sech^2(y.x/T)]/T (..., K): average of the M - 1 other examples of pattern 1, and of all examples
        of the other patterns; without the average in the limit of many examples."""
        return super().scatter(g, temperature)[..., :-1]

    def _frozen_columns(self):
        return _frozen_example_columns(self.law, self.common, self.single)

    def _period(self, x) -> np.ndarray:
        return super()._period(x[:, :-1]) + self.single * np.abs(x[:, -1])

    def _pair(self, x, e):
        """Z = E exp(i (x y_1 + e y_{K+1})) over sites with xi_1 = 1, and Z_x, Z_e, Z_xx, Z_xe, Z_ee."""
        law, (cosine, sine) = self.law, (np.cos(self.single * e), np.sin(self.single * e))
        if law.gaussian:
            a, b2 = 1 / math.sqrt(1 + law.rho), law.rho / (1 + law.rho)
            slope = 1j * a - b2 * x
            z = np.exp(1j * a * x - b2 / 2 * x * x)
            z, z_x, z_xx = z, slope * z, (slope * slope - b2) * z
            one, one_e = cosine, -self.single * sine
        else:
            m, scale = law.n_examples, 1 / math.sqrt((law.n_examples - 1) * law.n_examples * law.second_moment)
            one, one_e = cosine + 1j * law.r * sine, self.single * (-sine + 1j * law.r * cosine)
            cosine, sine = np.cos(scale * x), np.sin(scale * x)
            power, root = np.exp(log_power(law.r, cosine, sine, m - 3)), cosine + 1j * law.r * sine
            slope = -sine + 1j * law.r * cosine
            z, z_x = power * root**2, (m - 1) * scale * power * root * slope
            z_xx = (m - 1) * scale**2 * power * ((m - 2) * slope**2 - root**2)
        return z * one, z_x * one, z * one_e, z_xx * one, z_x * one_e, -self.single**2 * z * one

    def _factors(self, x):
        """phi (K, ...) of the patterns, psi and chi (K + 1, ...) of all entries, E[y_1 y_{K+1} cos] and E[xi_1 sin]."""
        p, k = self.law.density, self.law.n_patterns
        z, z_x, z_e, z_xx, z_xe, z_ee = (p * part for part in self._pair(x[0], x[-1]))
        phi, psi, chi = self._letters(self.law, x[1:k], "phi", "psi", "chi")
        return (np.concatenate([[self.law.dilution + z.real], phi]), np.concatenate([[-z_x.real], psi, [-z_e.real]]),
                np.concatenate([[-z_xx.real], chi, [-z_ee.real]]), -z_xe.real, z.imag)

    # kernels, as in ColumnIntegral

    def _log_cosh(self, x, w):
        return (1 - np.prod(self._factors(x)[0], axis=0)) @ (1 / (w * np.sinh(math.pi / 2 * w)))

    def _field(self, x, w):
        phi, psi, *_ = self._factors(x)
        rest = products_of_others(phi)
        return (psi * np.concatenate([rest, rest[:1]])) @ (1 / np.sinh(math.pi / 2 * w))

    def _archetype(self, x, w):
        phi, psi, _, _, omega = self._factors(x)
        sines = np.concatenate([[omega], *self._letters(self.law, x[1:-1], "omega"), psi[-1:] / self.single])
        rest = products_of_others(phi)
        return (sines * np.concatenate([rest, rest[:1]])) @ (1 / np.sinh(math.pi / 2 * w))

    def _jacobian(self, x, w):
        phi, psi, chi, cross, _ = self._factors(x)
        weight, k = w / np.sinh(math.pi / 2 * w), self.law.n_patterns
        total = np.empty((k + 1, k + 1, x.shape[1]))
        for mu, nu in itertools.combinations_with_replacement(range(k + 1), 2):
            rest = np.prod(np.delete(phi, [mu % k, nu % k], axis=0), axis=0)       # the example, entry K, belongs to pattern 0
            wave = chi[mu] if mu == nu else cross if (mu, nu) == (0, k) else -psi[mu] * psi[nu]
            total[mu, nu] = total[nu, mu] = (wave * rest) @ weight
        return total

    def _scatter(self, x, w):
        phi, _, chi, *_ = self._factors(x)
        part = phi - self.law.dilution
        if self._exact:
            part[0] -= self.law.second_moment / self.common**2 * chi[0]
            part[1:] -= self.law.second_moment * chi[1:-1]
        total = (part * products_of_others(phi)) @ (w / np.sinh(math.pi / 2 * w))
        return np.concatenate([total, 0 * total[:1]])


@lru_cache(8)
def _frozen_example_columns(law: MultitaskLaw, common: float, single: float):
    """The averages at T = 0: error functions for Gaussian datasets, otherwise a list of all columns."""
    k, m = law.n_patterns, law.n_examples
    if law.gaussian:
        columns, weights = archetype_columns(law)
        columns = np.concatenate([columns, columns]).astype(float)
        example = np.repeat([1.0, -1.0], len(weights)) * (columns[:, 0] != 0)
        return GaussianColumns(np.column_stack([columns / math.sqrt(1 + law.rho), single * example]),
                               np.column_stack([columns**2 * (law.rho / (1 + law.rho)), 0 * example]),
                               np.concatenate([weights, weights]) / 2, np.column_stack([columns, example]))
    number = (4 * m + 1) * (2 * m + 3) ** (k - 1)
    if number > _MOST_COLUMNS:
        raise ParameterError(f"n_patterns = {k} with M = {m} examples, one of them apart, at T = 0 means {number:.3g} columns, "
                             f"more than {_MOST_COLUMNS:.2g}; use a small temperature, fewer examples or rho")
    kinds = [_letters(law, mu == 0) for mu in range(k)]
    which = np.meshgrid(*(np.arange(len(kind[0])) for kind in kinds), indexing="ij")
    average, chance, xi, example = (np.stack([kind[j][w.ravel()] for kind, w in zip(kinds, which, strict=True)], axis=1)
                                    for j in range(4))
    columns = average / math.sqrt(law.second_moment) * np.append(common, np.ones(k - 1))
    example, blank = example[:, :1], np.zeros((len(example), 1))
    return _ListedColumns(np.hstack([columns, single * example]), np.prod(chance, axis=1), np.hstack([xi, example]),
                          np.hstack([xi**2 - average**2, blank]))


def _letters(law: MultitaskLaw, apart: bool):
    """The letters of one pattern: average of its examples, probability, xi and, kept apart from the average, one example."""
    m, up = law.n_examples - apart, (1 + law.r) / 2
    example, count = (a.ravel() for a in np.meshgrid([1.0, -1.0] if apart else [0.0], np.arange(m + 1), indexing="ij"))
    chance = binom.pmf(count, m, up) * (np.where(example > 0, up, 1 - up) if apart else 1.0)
    average, ones = (2 * count - m) / m, np.ones(count.size)
    return [np.concatenate([up_half, down_half, [blank]]) for up_half, down_half, blank in (
        (average, -average, 0.0), (law.density / 2 * chance, law.density / 2 * chance, law.dilution), (ones, -ones, 0.0),
        (example, -example, 0.0))]


class _ListedColumns:
    """Sums over a list of all columns (L, K + 1) at T = 0; ties count nothing."""

    def __init__(self, columns, weights, archetypes, scatter):
        self._columns, self._weights, self._archetypes, self._scatter = columns, weights, archetypes, scatter

    def field(self, g) -> np.ndarray:
        return (self._signs(g) * self._weights) @ self._columns

    def archetype(self, g) -> np.ndarray:
        return (self._signs(g) * self._weights) @ self._archetypes

    def jacobian(self, g) -> np.ndarray:
        tied = ((self._signs(g) == 0) * self._weights) @ self._columns**2 > 0
        return np.where(np.eye(g.shape[1], dtype=bool) & tied[:, :, None], math.inf, 0.0)

    def scatter(self, g) -> np.ndarray:
        return np.where(((self._signs(g) == 0) * self._weights) @ self._scatter > 0, math.inf, 0.0)

    def _signs(self, g):
        fields = g @ self._columns.T
        return np.where(np.abs(fields) < 1e-12 * np.abs(fields).max(axis=1, keepdims=True), 0.0, np.sign(fields))


def example_modes(law: MultitaskLaw, g, temperature, columns) -> np.ndarray:
    """Curvatures (..., K) of the free energy of unsupervised learning in the M - 1 directions in which the examples of one
    pattern part from each other, at states g (..., K) that treat them alike; infinite without such directions.

        1 - E[(xi_mu^2 - R y_mu^2) sech^2(y.g/T)]/(T R (M - 1)) ;    many examples: 1 - b^2 E[xi_mu^2 sech^2(y.g/T)]/T

    in the units in which the Hessian towards the supervised directions is 1 - J (columns: a `ColumnIntegral` of the law).
    In the limit of many examples it is a m_mu/g_mu: supervised states that are stable stay so. With even M at T = 0 it is
    -inf, as examples that cancel leave sites undecided.
    """
    g = np.asarray(g, float)
    if law.protocol != "unsupervised" or law.n_examples == 1:
        return np.full(np.broadcast_shapes(g.shape, (*np.shape(temperature), law.n_patterns)), math.inf)
    weight = law.rho / (1 + law.rho) if law.gaussian else 1 / (law.second_moment * (law.n_examples - 1))
    return 1 - weight * columns.scatter(g, temperature) if weight > 0 else np.ones_like(columns.field(g, temperature))


def example_state(law: MultitaskLaw, temperature) -> ExampleState:
    """The state of unsupervised learning at T >= 0 that follows one example of pattern 1, the other patterns generally.

    Where the other patterns can be retrieved in different ways on the sites where pattern 1 is blank, the stable one of
    lowest free energy. K = 1, T = 0, many examples: example = p, m = 0, f = -(p b)^2/2 with b^2 = rho/(1+rho).
    Raises ParameterError for other protocols and where T = 0 means too many columns, NoSolution where the example is no
    longer distinguished from the others.
    """
    temperature = check_real("temperature", temperature, 0.0)
    if law.protocol != "unsupervised":
        raise ParameterError(f"protocol = {law.protocol!r} has no states that follow one example; use 'unsupervised'")
    if law.n_examples == 1:
        raise NoSolution("n_examples = 1: the only example is what is stored, and its states are the symmetric ones")
    columns, reduced = ExampleColumns(law), temperature / law.scale
    state = lowest_example_state(columns, reduced, temperature)
    if state is None:
        ladder = law.density * np.concatenate([[0.0], np.linspace(0.02, 0.98, 49)])
        exists = [t for t in ladder if t < reduced and lowest_example_state(columns, t, t) is not None]
        where = f"the highest of 50 temperatures where it exists is {law.scale * exists[-1]:.3g}" if exists else (
            "it exists at none of 50 temperatures below")
        raise NoSolution(f"no state follows one example at T = {temperature:.6g} of {law.n_patterns} patterns, dilution "
                         f"{law.dilution:.6g}, {law.dataset_name}; {where}")
    return state


def lowest_example_state(columns: ExampleColumns, reduced: float, temperature: float) -> ExampleState | None:
    """`example_state` at T' = T/scale, or None where there is none."""
    law, k = columns.law, columns.law.n_patterns
    p, order = law.density, np.arange(k - 1)
    levels = [1.0 * (order == 0), 0.5 + 0.0 * order, 0.7**order, law.dilution**order] if k > 1 else [order]
    starts = np.array([[0.0, *(p * law.dilution * level), columns.single * p] for level in levels])
    found = find_states(columns, reduced, starts)
    states = [_record(columns, reduced, temperature, x, *values) for x, *values in zip(*found, strict=True)]
    states = [state for state in states if state.converged and state.example - abs(state.others) > 1e-6 * p]
    return min(states, key=lambda state: (not state.stable, state.free_energy), default=None)


def _record(columns: ExampleColumns, reduced, temperature, x, free_energy, hessian, residual) -> ExampleState:
    law, k, m = columns.law, columns.law.n_patterns, columns.law.n_examples
    overlaps = columns.archetype(x, reduced)
    scatter = columns.scatter(x, reduced)
    with np.errstate(invalid="ignore"):
        if law.gaussian:
            others, modes, g = 0.0, 1 - columns.single**2 * scatter, x[:k].copy()
        else:
            others = x[0] * math.sqrt(law.second_moment) / columns.common
            weights = np.array([(m - 1) / (m * (m - 2)) if m > 2 else 0.0, *np.full(k - 1, 1 / (m - 1))])
            modes = 1 - np.where(weights > 0, weights * scatter, 0.0) / law.second_moment
            g = np.array([columns.common * x[0] + x[k] / math.sqrt(m), *x[1:k]])
    smallest = float(min(hessian, modes.min()))
    return ExampleState("example", k, law.dilution, temperature, float(overlaps[k]), float(others), overlaps[:k],
                        g / math.sqrt(1 + law.rho), law.scale * float(free_energy), smallest, smallest > 0,
                        bool(residual <= CONVERGED * law.density), float(residual))
