"""Classes of exchangeable spins: at low storage few columns of pattern entries differ, however many spins there are.

Spins whose columns (archetype entries and stored entries of every pattern) agree are one class; reversing a spin together with
its column changes nothing (gauge), so that c and -c are one class, too: (3^K + 1)/2 classes in storage. The state of a network
is the number of spins up in each class, see `hebb.kernels.lumped`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError
from ..params import MultitaskLaw, check_integer
from ..streams import Purpose, generator
from .base import Instance, SpinModel, available_memory, kernel_module

__all__ = ["MOST_CLASSES", "MOST_SPINS", "Classes"]

MOST_CLASSES = 2**22
MOST_SPINS = 10**15  # beyond it counts are no longer exact in double precision where overlaps are summed

_NO_FIELDS = ("fields act on single spins, and classes do not tell spins apart; leave fields out, or use dynamics = "
              "'metropolis' or 'glauber'")


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of one disorder sample of a multitasking network; what their chains take in place of an `Instance`.

    archetypes: (L, K) int8. columns: (L, Q) int64, the stored entries in units of `unit`, so that in every protocol
        H = -scale (N/2) sum_q (unit/N sum_i columns_iq s_i)^2. storage: the archetypes, unit 1. supervised: Q = K,
        2 k - M for k examples of +1, unit 1/(M sqrt R). unsupervised: the Q = K M signs, pattern by pattern, unit
        1/sqrt(R M).
    counts: (L,) int64, spins in each class, all positive. The first archetype entry that is not 0 is +1 (gauge).
    site_class, site_sign: (N,), the class of each spin of an instance and -1 where it was reversed with its column; None
        for classes that were drawn as such.
    """

    model: SpinModel
    disorder: int
    archetypes: np.ndarray
    columns: np.ndarray
    counts: np.ndarray
    unit: float
    site_class: np.ndarray | None = None
    site_sign: np.ndarray | None = None
    images = None  # as an instance without images

    @property
    def n_spins(self) -> int:
        return int(np.sum(self.counts))

    @property
    def n_patterns(self) -> int:
        return self.archetypes.shape[1]

    @property
    def n_classes(self) -> int:
        return len(self.counts)

    @functools.cached_property
    def mean_squares(self) -> np.ndarray:
        """a_q = (1/N) sum_i y_iq^2 (Q,) of the stored entries y = unit columns."""
        return (self.counts / self.n_spins) @ (self.unit * self.columns) ** 2

    @classmethod
    def draw(cls, model: SpinModel, seed: int, disorder: int = 0) -> Classes:
        """The classes of one disorder sample of n_spins <= 1e15 spins, from their exact multinomial law.

        Keyed like the samples of `model.draw`, and with the same law, but not the same sample. Where patterns are given, or
        there are more classes than spins, the spins of `model.draw` are counted. Raises ParameterError as `check`. Cost:
        O(classes) binomials, or O(N) spins.
        """
        cls.check(model)
        seed = check_integer("seed", seed, 0)
        disorder = check_integer("disorder", disorder, 0, 2**32 - 1)
        if cls._counted(model):
            return cls.of(model.draw(seed, disorder))
        law, n = model.law, model.n_spins
        stream = generator(seed, Purpose.DISORDER, model.disorder_key, disorder)
        drawn = _Parts(np.zeros((1, 0), np.int8), np.zeros((1, 0), np.int64), np.array([n], np.int64))
        for _ in range(law.n_patterns):
            drawn = drawn.next_pattern(law, stream)
        return cls(model, disorder, drawn.archetypes, drawn.columns, drawn.counts, _unit(law))

    @classmethod
    def of(cls, instance: Instance) -> Classes:
        """The classes of the spins of an instance. Cost: sorting N columns."""
        model, archetypes = instance.model, instance.patterns.T
        if np.any(instance.fields):
            raise ParameterError(_NO_FIELDS)
        columns, unit = archetypes, _unit(model.law)
        if model.law.protocol == "unsupervised":
            columns = instance.stored.T
        elif model.law.protocol == "supervised":
            averages = instance.averages
            columns = averages.columns[:, :averages.n_patterns]
            unit = averages.unit / math.sqrt(model.law.second_moment)
        rows = np.hstack([archetypes, columns])  # of 8 or 16 bits
        nonzero = rows != 0
        sign = np.where(nonzero.any(axis=1), rows[np.arange(len(rows)), nonzero.argmax(axis=1)], 1)
        sign = np.sign(sign).astype(np.int8)
        found, site_class, counts = np.unique(rows * sign[:, None], axis=0, return_inverse=True, return_counts=True)
        k = archetypes.shape[1]
        return cls(model, instance.disorder, found[:, :k].astype(np.int8), found[:, k:].astype(np.int64, order="C"),
                   counts.astype(np.int64), unit, site_class.ravel(), sign)

    @classmethod
    def check(cls, model: SpinModel, replicas: int = 1) -> None:
        """Raise ParameterError for a model whose classes cannot be drawn, or kept with R chains. Nothing is drawn."""
        law, n = model.law, model.n_spins
        spin_by_spin = "dynamics = 'metropolis' or 'glauber' on an n_spins that fits into memory"
        if model.fields is not None:
            raise ParameterError(_NO_FIELDS)
        if law.gaussian:
            raise ParameterError(f"rho = {law.rho!r} without n_examples: in the limit of many examples every spin is a class "
                                 f"of its own; give r and n_examples, or use {spin_by_spin}")
        if n > MOST_SPINS:
            raise ParameterError(f"n_spins = {n} is not a whole number up to {MOST_SPINS:.0e}; lower n_spins")
        number = _number(law)
        if min(number, n) > MOST_CLASSES:
            most = int(math.log(2 * MOST_CLASSES) / math.log(_letters(law)))
            fewer = f"n_patterns <= {most}" if most else "smaller n_examples"
            fewer += " (or smaller n_examples)" if most and law.protocol != "storage" else ""
            raise ParameterError(f"n_patterns = {law.n_patterns}{_dataset(law)} makes {number:.3g} classes of spins, and at "
                                 f"most {MOST_CLASSES} are kept; take {fewer}, or {spin_by_spin}")
        needed = cls.bytes_needed(model, replicas)
        if needed > available_memory():
            raise ParameterError(f"the classes of n_patterns = {law.n_patterns}{_dataset(law)} need {needed / 2**30:.3g} GiB "
                                 f"and {available_memory() / 2**30:.3g} GiB are free; lower n_patterns or n_examples")

    @staticmethod
    def most(model: SpinModel) -> int:
        """How many classes a sample can have, of a model that `check` lets pass."""
        return int(min(_number(model.law), model.n_spins, MOST_CLASSES))

    @staticmethod
    def expected(model: SpinModel) -> float:
        """About how many classes a sample has: of averages of M examples, those within sqrt(2 ln N) standard deviations."""
        law, most = model.law, Classes.most(model)
        if law.protocol != "supervised":
            return most
        width = math.sqrt(2 * math.log(model.n_spins) * law.n_examples * (1 - law.r**2))
        return min(most, (1 + 2 * (1 + min(law.n_examples, width))) ** law.n_patterns / 2)

    @staticmethod
    def bytes_needed(model: SpinModel, replicas: int = 1) -> int:
        """Bytes that the classes of a model and R of their chains take at most, while they are drawn."""
        of_class = 12 * model.n_patterns + 24 * model.n_stored + 120 + 24 * replicas
        spins = model.bytes_needed(1) if Classes._counted(model) else 0
        return of_class * Classes.most(model) + spins

    @staticmethod
    def _counted(model: SpinModel) -> bool:
        """Whether samples are counted spin by spin."""
        return model.array is not None or _number(model.law) > model.n_spins

    def kernel(self):
        """A fresh compiled kernel on these classes."""
        kernel_module()
        from hebb.kernels.lumped import LumpedKernel

        return LumpedKernel(self.counts, self.columns, self.unit, self.model.law.scale)

    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """(class, sign) of every spin, (N,) each; classes that were drawn as such are laid out one after the other. Raises
        ParameterError where so many spins do not fit into memory."""
        if self.site_class is not None:
            return self.site_class, self.site_sign
        if 40 * self.n_spins > available_memory():
            raise ParameterError(f"the configuration of n_spins = {self.n_spins} needs {40 * self.n_spins / 2**30:.3g} GiB and "
                                 f"{available_memory() / 2**30:.3g} GiB are free; look at the class magnetisations, kernel.up")
        return np.repeat(np.arange(self.n_classes), self.counts), np.ones(self.n_spins, np.int8)

    def up(self, spins: np.ndarray) -> np.ndarray:
        """The numbers of up spins (R, L) of configurations (R, N) of +-1."""
        where, sign = self.sites()
        return np.array([np.bincount(where, row * sign > 0, self.n_classes) for row in spins]).astype(np.int64)

    def spins(self, up: np.ndarray, streams) -> np.ndarray:
        """Configurations (R, N) int8 with up (R, L) spins up: in every class they are chosen at random, by one stream each."""
        where, sign = self.sites()
        first = np.cumsum(self.counts) - self.counts
        spins = np.empty((len(up), len(where)), np.int8)
        for row, numbers, stream in zip(spins, up, streams, strict=True):
            order = np.lexsort((stream.random(len(where)), where))  # class by class, shuffled within
            rank = np.arange(len(where)) - np.repeat(first, self.counts)
            row[order] = np.where(rank < np.repeat(numbers, self.counts), 1, -1)
        return spins * sign


@dataclass(frozen=True)
class _Parts:
    """Spins sorted by the patterns seen so far; fields as in `Classes`."""

    archetypes: np.ndarray
    columns: np.ndarray
    counts: np.ndarray

    def split(self, probabilities, stream) -> tuple[np.ndarray, _Parts]:
        """Every spin takes one of J letters by itself: (letter of each new part, the occupied new parts).

        Letter by letter, the rarest first: conditional probabilities are then below 1/2 and keep their relative accuracy.
        """
        from hebb.kernels.lumped import binomials

        probabilities = np.asarray(probabilities, float)
        order = np.argsort(probabilities, kind="stable")
        order = order[probabilities[order] > 0]
        tails = np.cumsum(probabilities[order][::-1])[::-1]
        left, taken = self.counts, np.zeros((len(probabilities), len(self.counts)), np.int64)
        for letter, tail in zip(order[:-1], tails, strict=False):
            share = min(0.5, probabilities[letter] / tail)
            taken[letter] = binomials(left, share, stream)
            left = left - taken[letter]
        taken[order[-1]] = left
        letter, origin = np.nonzero(taken)
        return letter, _Parts(self.archetypes[origin], self.columns[origin], taken[letter, origin])

    def chosen(self, which: np.ndarray) -> _Parts:
        return _Parts(self.archetypes[which], self.columns[which], self.counts[which])

    def joined(self, other: _Parts) -> _Parts:
        return _Parts(*(np.concatenate(pair) for pair in zip(*((p.archetypes, p.columns, p.counts) for p in (self, other)),
                                                             strict=True)))

    def with_entries(self, archetype=None, column=None) -> _Parts:
        archetypes = self.archetypes if archetype is None else np.column_stack([self.archetypes, archetype]).astype(np.int8)
        columns = self.columns if column is None else np.column_stack([self.columns, column])
        return _Parts(archetypes, columns, self.counts)

    def next_pattern(self, law: MultitaskLaw, stream) -> _Parts:
        """Parts by the archetype entry of one more pattern, and by what is stored of it. Spins that are blank so far are
        reversed where that entry is -1."""
        blank = ~self.archetypes.any(axis=1)
        p = law.density
        letter, undecided = self.chosen(blank).split([law.dilution, p], stream)
        undecided = undecided.with_entries(letter)
        letter, decided = self.chosen(~blank).split([law.dilution, p / 2, p / 2], stream)
        decided = decided.with_entries(np.array([0, 1, -1])[letter])
        both = undecided.joined(decided)
        if law.protocol == "storage":
            return both.with_entries(column=both.archetypes[:, -1])
        void, full = both.chosen(both.archetypes[:, -1] == 0), both.chosen(both.archetypes[:, -1] != 0)
        m, agree = law.n_examples, (1 + law.r) / 2
        if law.protocol == "supervised":
            number, full = full.split(_binomial_law(m, agree), stream)
            return void.with_entries(column=np.zeros(len(void.counts), np.int64)).joined(
                full.with_entries(column=full.archetypes[:, -1] * (2 * number - m)))
        for _ in range(m):
            letter, full = full.split([agree, (1 - law.r) / 2], stream)
            full = full.with_entries(column=full.archetypes[:, -1] * (1 - 2 * letter))
        return void.with_entries(column=np.zeros((len(void.counts), m), np.int64)).joined(full)


def _binomial_law(m: int, p: float) -> np.ndarray:
    """(M + 1,) probabilities of k successes in M."""
    if p == 1:
        return np.concatenate([np.zeros(m), [1.0]])
    log = np.cumsum(np.concatenate([[0.0], np.log(np.arange(1, m + 1))]))
    k = np.arange(m + 1)
    return np.exp(log[m] - log - log[::-1] + k * math.log(p) + (m - k) * math.log1p(-p))


def _letters(law: MultitaskLaw) -> int:
    """How many columns one pattern can contribute."""
    if law.protocol == "supervised":
        return 1 + 2 * (law.n_examples + 1)
    return 3 if law.protocol == "storage" else 1 + 2 * 2 ** min(law.n_examples, 900)


def _number(law: MultitaskLaw) -> float:
    """How many classes there are, c and -c counted once."""
    letters = _letters(law)
    return (letters**law.n_patterns + 1) // 2 if law.n_patterns * math.log2(letters) < 1000 else math.inf


def _unit(law: MultitaskLaw) -> float:
    if law.protocol == "storage":
        return 1.0
    if law.gaussian:
        return math.nan  # that of the instance's own averages
    return law.second_moment**-0.5 / (law.n_examples if law.protocol == "supervised" else math.sqrt(law.n_examples))


def _dataset(law: MultitaskLaw) -> str:
    return "" if law.protocol == "storage" else f" ({law.dataset_name})"
