"""Averaged examples: the disorder sample of supervised learning, whose Hamiltonian holds real entries in place of signs.

The average of M examples of pattern mu at spin i is eb_i^mu = xi_i^mu c_i^mu. It is kept as a 16-bit integer times a unit:
exactly for M <= 32767, rounded to one part in 32767 of the largest entry otherwise, so that the disorder sample itself has
the values that the kernel computes with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import ParameterError
from ..params import DenseLaw, MultitaskLaw, check_choice, check_integer, shown
from .base import Instance, SpinModel, kernel_module
from .patterns import BitPatterns, as_numbers, pack

__all__ = ["AveragedInstance", "Averages", "GivenExamples", "elementary_symmetric", "power_of_random_sum"]

_STEPS = 2**15 - 1
_BLOCK = 2**14  # entries drawn at once
_WIDEST = 8.0  # Gaussian noise is cut off here, in standard deviations: once in 10^15 entries


class Averages:
    """Averaged examples as columns (N, stride) int16 times unit, patterns padded with zeros to a multiple of 8."""

    def __init__(self, n_patterns: int, n_spins: int, unit: float):
        self.n_patterns, self.unit = n_patterns, unit
        self.columns = np.zeros((n_spins, 8 * -(-n_patterns // 8)), np.int16)

    def set(self, spin: int | slice, values: np.ndarray) -> None:
        """The entries (K,) of one spin, or (n, K) of a slice of spins."""
        limit = _STEPS * self.unit
        self.columns[spin, :self.n_patterns] = np.rint(np.clip(values, -limit, limit) / self.unit)

    def row(self, mu: int) -> np.ndarray:
        """(N,) float64 of one pattern."""
        return self.columns[:, mu] * self.unit

    def values(self) -> np.ndarray:
        """(K, N) float64."""
        return np.ascontiguousarray(self.columns[:, :self.n_patterns].T) * self.unit

    @classmethod
    def unit_of(cls, n_examples: int | None, largest: float = 1.0) -> float:
        return 1.0 / n_examples if n_examples is not None and n_examples <= _STEPS else largest / _STEPS

    @classmethod
    def draw(cls, law: DenseLaw | MultitaskLaw, patterns: BitPatterns, stream: np.random.Generator) -> Averages:
        """The averages of M examples of each pattern from their exact binomial law, at a cost independent of M; without M,
        r (1 + sqrt(rho) y) with normal y. Spin by spin, also for entries that vanish (and stay 0)."""
        largest = law.r * (1 + _WIDEST * math.sqrt(law.rho))
        drawn = cls(patterns.n_patterns, patterns.n_spins, cls.unit_of(law.n_examples, 1.0 if law.n_examples else largest))
        rows = max(1, _BLOCK // patterns.n_patterns)
        for first in range(0, patterns.n_spins, rows):
            spins = slice(first, first + rows)
            signs = patterns.spin(spins)
            if law.n_examples is None:
                c = law.r * (1 + math.sqrt(law.rho) * stream.standard_normal(signs.shape))
            else:
                agree = stream.binomial(law.n_examples, (1 + law.r) / 2, signs.shape)
                c = (2 * agree - law.n_examples) / law.n_examples
            drawn.set(spins, signs * c)
        return drawn

    @classmethod
    def of(cls, values: np.ndarray, n_examples: int | None = None) -> Averages:
        """Of an array (K, N), which with n_examples lies in [-1, 1]."""
        averages = cls(*values.shape, cls.unit_of(n_examples, float(np.abs(values).max()) or 1.0))
        for i in range(values.shape[1]):
            averages.set(i, values[:, i])
        return averages


class GivenExamples:
    """A dataset given as an array: examples (K, M, N) of +-1, or their averages (K, N) in [-1, 1], of patterns (K, N)."""

    def __init__(self, array: np.ndarray, patterns: np.ndarray):
        self.array = array
        self.n_examples = array.shape[1] if array.ndim == 3 else None
        self.bits = pack(array.reshape(-1, array.shape[-1])) if array.ndim == 3 else None
        self.averages = Averages.of(array.mean(axis=1) if array.ndim == 3 else array, self.n_examples)
        values = self.averages.values()
        self.r, self.second_moment = float(np.mean(patterns * values)), float(np.mean(values**2))

    @classmethod
    def check(cls, examples, patterns) -> GivenExamples:
        """Raises ParameterError for what is no dataset of these patterns."""
        if patterns is None or isinstance(patterns, str):
            raise ParameterError("examples need the patterns that they are examples of, as an array (K, N) of +-1")
        array, patterns = as_numbers("examples", examples), as_numbers("patterns", patterns)
        shape = array.shape if array.ndim == 2 else array.shape[:1] + array.shape[2:]
        if array.ndim not in (2, 3) or shape != patterns.shape or 0 in array.shape:
            raise ParameterError(f"examples of shape {array.shape} do not belong to patterns of shape {patterns.shape}; give "
                                 "(K, M, N) of +-1, or their averages (K, N)")
        if not np.all(np.abs(array) == 1 if array.ndim == 3 else np.abs(array) <= 1):
            raise ParameterError(f"examples of shape {array.shape} are not all "
                                 f"{'+-1' if array.ndim == 3 else 'numbers in [-1, 1]'}; scale or binarise them")
        return cls(array, patterns)

    def law(self, p_body, r, n_examples, rho, protocol, hamiltonian) -> DenseLaw:
        """The law of the keywords where they give r, the estimated one otherwise."""
        protocol = check_choice("protocol", "supervised" if protocol is None else protocol, ("supervised", "unsupervised"))
        if protocol == "unsupervised" and self.bits is None:
            raise ParameterError(f"examples of shape {self.array.shape} are averages, and protocol = 'unsupervised' needs "
                                 "every example: give (K, M, N) of +-1")
        if n_examples not in (None, self.n_examples) and self.n_examples is not None:
            raise ParameterError(f"n_examples = {n_examples} contradicts the {self.n_examples} examples given; leave it out")
        if rho is not None:
            raise ParameterError(f"rho = {shown(rho)} describes averages in units of r, and the examples are given; leave it "
                                 "out (it is measured), or give r and n_examples")
        if r is not None:
            n_examples = self.n_examples if n_examples is None else n_examples
            return DenseLaw.from_keywords(p_body, r, n_examples, None, protocol, hamiltonian)
        if self.r < 1e-6:
            raise ParameterError(f"the examples do not resemble their patterns: r, the mean of pattern times example, is "
                                 f"{self.r:.3g} and must be positive")
        n_examples = self.n_examples if n_examples is None else check_integer("n_examples", n_examples, 1)
        plain = DenseLaw.from_keywords(p_body, self.r, n_examples or 1, None, protocol, hamiltonian)
        rho = plain.rho if protocol == "unsupervised" else max(0.0, self.second_moment / self.r**2 - 1)
        return DenseLaw(plain.p_body, protocol, hamiltonian, self.r, n_examples, rho)


class AveragedInstance(Instance):
    """One disorder sample of supervised learning: `patterns` (K, N) int8 are the archetypes, `stored` (K, N) float64 the
    averages of their examples."""

    def __init__(self, model: SpinModel, bits: BitPatterns, averages: Averages, learned: np.ndarray, fields=None,
                 disorder: int = 0):
        super().__init__(model, bits, fields, disorder, learned=learned)
        self.averages = averages

    @property
    def stored(self) -> np.ndarray:
        return self.averages.values()

    def kernel(self, instruction_set: str | None = None):
        kernel_module()
        from hebb.kernels.real_patterns import RealPatternKernel

        model, averages = self.model, self.averages
        constant = 0.0
        if model.hamiltonian == "naive" and model.centred:
            constant = model.weight * float(np.sum(power_of_random_sum(averages.columns, model.p_body, averages.unit)))
        return RealPatternKernel(averages.columns, averages.n_patterns, averages.unit, model.p_body,
                                 model.hamiltonian == "naive", model.weight, constant, self.condensed, self.fields,
                                 instruction_set)

    def _potential(self) -> Callable[[np.ndarray], float]:
        entries, p = self.stored.T, self.model.p_body
        if self.model.hamiltonian == "distinct":
            return lambda s: -self.model.weight * np.sum(elementary_symmetric(entries * s[:, None], p))
        mean = power_of_random_sum(entries, p) if self.model.centred else 0.0
        return lambda s: -self.model.weight * np.sum((s @ entries) ** p - mean)


def elementary_symmetric(x: np.ndarray, p: int) -> np.ndarray:
    """e_p over the first axis of x (N, K), one variable at a time: (K,)."""
    e = np.zeros((p + 1, x.shape[1]))
    e[0] = 1
    for row in x:
        e[1:] += row * e[:-1]
    return e[p]


def power_of_random_sum(x: np.ndarray, p: int, unit: float = 1.0) -> np.ndarray:
    """Average of (sum_i +-unit x_i)^p over all signs, x (N, K): (K,). For p = 4 it is 3 (sum x^2)^2 - 2 sum x^4.

    One variable at a time, the moments of the sum so far: all terms are positive."""
    moments = np.zeros((p + 1, x.shape[1]))
    moments[0] = 1
    for row in x if p % 2 == 0 else ():
        square = (unit * row) ** 2
        for n in range(p, 0, -2):
            power = np.ones(x.shape[1])
            for k in range(2, n + 1, 2):
                power = power * square
                moments[n] += math.comb(n, k) * power * moments[n - k]
    return moments[p] if p % 2 == 0 else np.zeros(x.shape[1])
