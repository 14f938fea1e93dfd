"""States of unsupervised learning that follow single examples of patterns, instead of what their examples have in common.

    H = -(N/2) sum_mu (1/M) sum_a g_mu,a^2 ,      g_mu,a = (1/(N sqrt R)) sum_i eta_i^{mu,a} s_i

Of the first n patterns one example each has an overlap of its own; the other M - 1 examples of these patterns, and all
examples of the other patterns, are treated alike. The columns of this problem have K + n entries, with overlaps x and
f = |x|^2/2 - T E log 2cosh(y.x/T) as for the symmetric states; for mu <= n

    y_mu = sqrt((M-1)/(M R)) (average of the M - 1 others) ,    y_{K+mu} = eta^{mu,1}/sqrt(M R) ,

and y_mu = (average of M)/sqrt R for the other patterns. In the limit of many examples, at fixed rho, r tends to zero: an
example becomes one more pattern, with the zeros of its archetype and signs of its own, of weight 1/(M R) = b^2 =
rho/(1+rho), while y_mu keeps its law. States that follow several examples of one pattern at a time are not covered; in
that limit those without archetype overlap are the mixtures of the Hopfield model, which lie above the states here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binom

from ..errors import NoSolution, ParameterError
from ..params import MultitaskLaw, check_integer, check_real
from .column_integral import CUT, ColumnIntegral, log_power, products_of_others
from .frozen_columns import GaussianColumns, archetype_columns
from .multitask_states import CONVERGED, find_states

__all__ = ["ExampleColumns", "ExampleState", "example_modes", "example_state", "lowest_example_state"]

_MOST_COLUMNS = 1 << 20


@dataclass(frozen=True)
class ExampleState:
    """A state that follows one example of each of the first n patterns; numbers per spin, in the units of H.

    example (n,): overlaps (1/N) sum eta s with these examples (at most p), others (n,): with each other example of their
    patterns. m (K,): overlaps with the archetypes, the n followed patterns first; n (K,): with the stored averages, as in
    `MultitaskState`. smallest_hessian_eigenvalue: of f/scale, in all directions of the overlaps with all K M examples;
    stable: whether it is positive. residual: largest change of the overlaps under one iteration.
    """

    branch: str
    n_patterns: int
    dilution: float
    temperature: float
    example: np.ndarray
    others: np.ndarray
    m: np.ndarray
    n: np.ndarray
    free_energy: float
    smallest_hessian_eigenvalue: float
    stable: bool
    converged: bool
    residual: float


class ExampleColumns(ColumnIntegral):
    """Averages over the K + n entries above: the methods of `ColumnIntegral` with g = x (..., K + n); `archetype` ends with
    the overlaps E[eta tanh(y.x/T)] with the examples.

    followed: n, from 1 to K. T = 0: up to a million columns, K <= 12; otherwise ParameterError.
    """

    def __init__(self, law: MultitaskLaw, followed: int = 1):
        super().__init__(law)
        self.n_patterns, self.followed = law.n_patterns + followed, followed
        m = law.n_examples
        #: the weight sqrt((M-1)/M) of the other examples of a followed pattern, and sqrt(1/(M R)) of the one apart
        self.common = math.sqrt((m - 1) / m) if m else 1.0
        self.single = math.sqrt(1 / (m * law.second_moment)) if m else math.sqrt(law.rho / (1 + law.rho))

    def scatter(self, g, temperature) -> np.ndarray:
        """E[(xi^2 - average^2) sech^2(y.x/T)]/T (..., K): average of the M - 1 other examples of followed patterns, and of all
        examples of the other patterns; without the average in the limit of many examples."""
        return super().scatter(g, temperature)[..., :self.law.n_patterns]

    def _frozen_columns(self):
        return _frozen_example_columns(self.law, self.followed, self.common, self.single)

    def _kinds(self) -> float:
        kinds = super()._kinds() * 2.0**self.followed
        return kinds if 2 * kinds <= _MOST_COLUMNS else math.inf

    def _period(self, x) -> np.ndarray:
        k = self.law.n_patterns
        return super()._period(x[:, :k]) + self.single * np.abs(x[:, k:]).sum(axis=1)

    def _cut(self, x, kernel) -> np.ndarray:
        return np.full(len(x), CUT)                                   # the wave of an example does not decay by itself

    def _pair(self, x, e):
        """Z = E exp(i (x y_mu + e y_{K+mu})) over sites with xi_mu = 1, and Z_x, Z_e, Z_xx, Z_xe, Z_ee."""
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
        """phi (K, ...) of the patterns, psi and chi (K + n, ...) of all entries; of followed patterns (n, ...) also
        E[y_mu y_{K+mu} cos] and E[xi_mu sin]."""
        k, n = self.law.n_patterns, self.followed
        z, z_x, z_e, z_xx, z_xe, z_ee = (self.law.density * part for part in self._pair(x[:n], x[k:]))
        phi, psi, chi = self._letters(self.law, x[n:k], "phi", "psi", "chi")
        return (np.concatenate([self.law.dilution + z.real, phi]), np.concatenate([-z_x.real, psi, -z_e.real]),
                np.concatenate([-z_xx.real, chi, -z_ee.real]), -z_xe.real, z.imag)

    # kernels, as in ColumnIntegral

    def _log_cosh(self, x, w):
        return (1 - np.prod(self._factors(x)[0], axis=0)) @ (1 / (w * np.sinh(math.pi / 2 * w)))

    def _field(self, x, w):
        phi, psi, *_ = self._factors(x)
        rest = products_of_others(phi)
        return (psi * np.concatenate([rest, rest[:self.followed]])) @ (1 / np.sinh(math.pi / 2 * w))

    def _archetype(self, x, w):
        phi, psi, _, _, omega = self._factors(x)
        k, n = self.law.n_patterns, self.followed
        sines = np.concatenate([omega, *self._letters(self.law, x[n:k], "omega"), psi[k:] / self.single])
        rest = products_of_others(phi)
        return (sines * np.concatenate([rest, rest[:n]])) @ (1 / np.sinh(math.pi / 2 * w))

    def _jacobian(self, x, w):
        phi, psi, chi, cross, _ = self._factors(x)
        weight, k, entries = w / np.sinh(math.pi / 2 * w), self.law.n_patterns, len(x)
        total = np.empty((entries, entries, x.shape[1]))
        for mu, nu in itertools.combinations_with_replacement(range(entries), 2):
            rest = np.prod(np.delete(phi, [mu % k, nu % k], axis=0), axis=0)       # entry K + mu belongs to pattern mu
            wave = chi[mu] if mu == nu else cross[mu] if nu == mu + k else -psi[mu] * psi[nu]
            total[mu, nu] = total[nu, mu] = (wave * rest) @ weight
        return total

    def _scatter(self, x, w):
        phi, _, chi, *_ = self._factors(x)
        k, n = self.law.n_patterns, self.followed
        part = phi - self.law.dilution
        if self._exact:
            part[:n] -= self.law.second_moment / self.common**2 * chi[:n]
            part[n:] -= self.law.second_moment * chi[n:k]
        total = (part * products_of_others(phi)) @ (w / np.sinh(math.pi / 2 * w))
        return np.concatenate([total, 0 * total[:n]])                              # the shape of x; cut off above


@lru_cache(8)
def _frozen_example_columns(law: MultitaskLaw, followed: int, common: float, single: float):
    """The averages at T = 0: error functions for Gaussian datasets, otherwise a list of all columns."""
    k, m, n = law.n_patterns, law.n_examples, followed
    number = 3.0**k / 2 * 2**n if law.gaussian else (4.0 * m + 1) ** n * (2.0 * m + 3) ** (k - n)
    if number > _MOST_COLUMNS:
        raise ParameterError(f"{k} patterns, {law.dataset_name}, {n} with one example apart: {number:.3g} columns at T = 0, "
                             f"more than {_MOST_COLUMNS:.2g}; use a small temperature, fewer examples or rho")
    if law.gaussian:
        columns, weights = archetype_columns(law)
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        columns, weights = np.repeat(columns, len(signs), axis=0).astype(float), np.repeat(weights, len(signs)) / len(signs)
        example = np.tile(signs, (len(columns) // len(signs), 1)) * columns[:, :n] ** 2
        return GaussianColumns(np.hstack([columns / math.sqrt(1 + law.rho), single * example]),
                               np.hstack([columns**2 * (law.rho / (1 + law.rho)), 0 * example]), weights,
                               np.hstack([columns, example]))
    kinds = [_letters(law, mu < n) for mu in range(k)]
    which = np.meshgrid(*(np.arange(len(kind[0])) for kind in kinds), indexing="ij")
    average, chance, xi, example = (np.stack([kind[j][w.ravel()] for kind, w in zip(kinds, which, strict=True)], axis=1)
                                    for j in range(4))
    columns = average / math.sqrt(law.second_moment) * np.repeat([common, 1.0], [n, k - n])
    example = example[:, :n]
    return _ListedColumns(np.hstack([columns, single * example]), np.prod(chance, axis=1), np.hstack([xi, example]),
                          np.hstack([xi**2 - average**2, 0 * example]))


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
    """Sums over a list of all columns (L, K + n) at T = 0; ties count nothing."""

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


def example_state(law: MultitaskLaw, temperature, followed=1) -> ExampleState:
    """A state of unsupervised learning at T >= 0 that follows one example of each of the first `followed` patterns.

    The other patterns are retrieved by all their examples. Where the patterns can be ordered in different ways, the stable
    state of lowest free energy. K = 1, T = 0, many examples: example = p, m = 0, f = -(p b)^2/2 with b^2 = rho/(1+rho).
    Raises ParameterError for other protocols and where T = 0 means too many columns, NoSolution where the examples are no
    longer distinguished from the others.
    """
    temperature = check_real("temperature", temperature, 0.0)
    followed = check_integer("followed", followed, 1, law.n_patterns)
    if law.protocol != "unsupervised":
        raise ParameterError(f"protocol = {law.protocol!r} has no states that follow one example; use 'unsupervised'")
    if law.n_examples == 1:
        raise NoSolution("n_examples = 1: the only example is what is stored, and its states are the symmetric ones")
    columns, reduced = ExampleColumns(law, followed), temperature / law.scale
    state = lowest_example_state(columns, reduced, temperature)
    if state is None:
        ladder = law.density * np.concatenate([[0.0], np.linspace(0.02, 0.98, 25)])
        exists = [t for t in ladder if t < reduced and lowest_example_state(columns, t, t) is not None]
        where = f"the highest of 26 temperatures where it exists is {law.scale * exists[-1]:.3g}" if exists else (
            "it exists at none of 26 temperatures below")
        raise NoSolution(f"no state follows single examples of {followed} patterns at T = {temperature:.6g}, n_patterns = "
                         f"{law.n_patterns}, dilution = {law.dilution:.6g}, {law.dataset_name}; {where}")
    return state


def lowest_example_state(columns: ExampleColumns, reduced: float, temperature: float) -> ExampleState | None:
    """`example_state` at T' = T/scale, or None where there is none."""
    law, k, n = columns.law, columns.law.n_patterns, columns.followed
    levels = law.density * np.array([ratio ** np.arange(k) for ratio in (law.dilution, 0.5, 0.8, 1.0)])
    levels = np.concatenate([levels, levels[:, ::-1]])                 # the followed patterns first, or the others
    starts = np.hstack([0 * levels[:, :n], levels[:, n:], columns.single * levels[:, :n]])
    found = find_states(columns, reduced, starts)
    for x in found.g:                                                  # followed patterns, and the others, by size
        first, second = np.argsort(-x[k:], kind="stable"), n + np.argsort(-x[n:k], kind="stable")
        x[:] = x[np.concatenate([first, second, k + first])]
    states = [_record(columns, reduced, temperature, x, *values) for x, *values in zip(*found, strict=True)]
    states = [state for state in states if state.converged
              and np.min(np.abs(state.example) - np.abs(state.others)) > 1e-6 * law.density]
    return min(states, key=lambda state: (not state.stable, state.free_energy), default=None)


def _record(columns: ExampleColumns, reduced, temperature, x, free_energy, hessian, residual) -> ExampleState:
    law, n, k, m = columns.law, columns.followed, columns.law.n_patterns, columns.law.n_examples
    overlaps, g = columns.archetype(x, reduced), x[:k].copy()
    if law.gaussian:
        others, weight = np.zeros(n), columns.single**2
    else:
        others = x[:n] * math.sqrt(law.second_moment) / columns.common
        g[:n] = columns.common * x[:n] + x[k:] / math.sqrt(m)
        apart = (m - 1) / (m * (m - 2)) if m > 2 else 0.0
        weight = np.repeat([apart, 1 / (m - 1)], [n, k - n]) / law.second_moment
    scatter = np.where(weight > 0, columns.scatter(x, reduced), 0.0)
    smallest = float(min(hessian, np.min(1 - weight * scatter)))
    return ExampleState("example", k, law.dilution, temperature, overlaps[k:], others, overlaps[:k], g / math.sqrt(1 + law.rho),
                        law.scale * float(free_energy), smallest, smallest > 0, bool(residual <= CONVERGED * law.density),
                        float(residual))
