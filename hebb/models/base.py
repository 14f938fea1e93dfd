"""What a model is: parameters, disorder samples, a potential f(x), and a slow reference energy beside the kernel's tables.

A new model of spins is one file: subclass `SpinModel`, say how patterns and fields are drawn and what f is, and register it in
`hebb.models`; what is measured on it is said in `hebb.sampling.observables`. Everything else (chains, statistics, runs,
results) works on it as it stands.
"""

from __future__ import annotations

import abc
import functools
import inspect
import math
import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..errors import HebbError, ParameterError
from ..installation import build_command
from ..params import digest
from .images import ImageSample
from .patterns import BitPatterns, as_numbers

__all__ = ["Instance", "Model", "SpinModel", "Tables", "available_memory", "kernel_module", "quadratic", "tabulate",
           "uniform_mean"]

_EXACT_MEANS = 2000  # spins up to which averages over all configurations are summed exactly
_LARGEST_ENTRY = 2**28  # table entries above twice this are rounded: a 32-bit lane must hold several of them


def kernel_module():
    """The compiled overlap kernel, or one sentence on how to build it."""
    try:
        from hebb.kernels import overlap
    except ImportError as error:
        raise HebbError(f"the kernels are not compiled ({error}); `{build_command()}` compiles them") from None
    return overlap


@dataclass(frozen=True)
class Tables:
    """Integer tables of the potentials of one disorder sample; see `hebb.kernels.overlap` for the layout.

    sum_mu f(x_mu) = constant + unit * sum_mu f[index_mu]. `exact` is False if the values had to be rounded (to one part
    in 2^28 of the largest change of energy): the chain is then exact for the rounded potential.
    """

    a: np.ndarray
    b: np.ndarray
    f: np.ndarray
    base: np.ndarray
    count: np.ndarray
    unit: float
    constant: float
    exact: bool


def tabulate(values, counts: np.ndarray, weight: float, centred: bool) -> Tables:
    """Tables of f = weight * F for patterns with `counts` (K,) non-zero entries.

    values(n) gives F at x = -n, -n+2, ..., n as n + 1 Python integers or fractions. centred subtracts from f its average
    over uniformly random configurations. Cost: the distinct counts times their length, in Python integers.
    """
    distinct, which = np.unique(counts, return_inverse=True)
    rows = {int(n): list(values(int(n))) for n in distinct}
    pairs = {n: _second_order(row) for n, row in rows.items()}
    largest = max(1, max(max(map(abs, a + b)) for a, b in pairs.values()))
    exact = largest < 2 * _LARGEST_ENTRY and all(isinstance(x, int) for row in rows.values() for x in row)
    if not exact:
        scale = Fraction(_LARGEST_ENTRY) / Fraction(largest)
        rows = {n: [round(Fraction(x) * scale) for x in row] for n, row in rows.items()}
        pairs = {n: _second_order(row) for n, row in rows.items()}
        weight = weight / float(scale)
    step = math.gcd(*(x for a, b in pairs.values() for x in a + b)) or 1
    base, start = {}, 0
    for n in rows:
        base[n] = start
        start += n + 1
    mean = {n: float(uniform_mean(row)) if centred else 0.0 for n, row in rows.items()}
    multiplicity = np.bincount(which, minlength=distinct.size)
    constant = weight * math.fsum(int(k) * (rows[n][0] - mean[n]) for n, k in zip(rows, multiplicity, strict=True))
    return Tables(
        a=np.array([x // step for a, _ in pairs.values() for x in a], np.int32),
        b=np.array([x // step for _, b in pairs.values() for x in b], np.int32),
        f=np.array([2 * (x - row[0]) // step for row in rows.values() for x in row], np.int64),
        base=np.array([base[int(n)] for n in distinct], np.int32)[which],
        count=counts.astype(np.int32),
        unit=weight * step / 2,
        constant=constant,
        exact=exact,
    )


def quadratic(counts: np.ndarray, weight: float) -> Tables:
    """Tables of f = weight x^2 for patterns with `counts` (K,) non-zero entries, exact: what `tabulate` would give, but one
    table serves all even counts and one all odd ones. Cost and memory: 16 bytes for each value x up to the largest count."""
    counts = np.asarray(counts, np.int64)
    odd = counts % 2
    rows, base = [], np.empty_like(counts)
    for parity in np.unique(odd):
        chosen = odd == parity
        top = counts[chosen].max()
        base[chosen] = sum(map(len, rows)) + (top - counts[chosen]) // 2
        rows.append(np.arange(-top, top + 1, 2))
    x = np.concatenate(rows)
    return Tables(a=(-x).astype(np.int32), b=np.ones(len(x), np.int32), f=x * x // 4, base=base.astype(np.int32),
                  count=counts.astype(np.int32), unit=4 * weight, constant=weight * int(odd.sum()), exact=True)


def _second_order(row: list) -> tuple[list, list]:
    """F(x-2) - F(x+2) and F(x-2) + F(x+2) - 2 F(x). The guards at +-(n+2) cancel from every flip that can happen; they are
    extrapolated quadratically so that a quadratic F keeps a constant second difference."""
    if len(row) == 1:
        return [0], [0]
    if len(row) == 2:
        low, high = 2 * row[0] - row[1], 2 * row[1] - row[0]
    else:
        low, high = 3 * (row[0] - row[1]) + row[2], 3 * (row[-1] - row[-2]) + row[-3]
    padded = [low, *row, high]
    return ([x - z for x, z in zip(padded, padded[2:], strict=False)],
            [x + z - 2 * y for x, y, z in zip(padded, padded[1:], padded[2:], strict=False)])


def uniform_mean(row: list) -> Fraction:
    """Average of F over uniformly random configurations; row as in `tabulate`. For more than 2000 spins to 400 binary digits of
    the largest F, or exactly where its rounding to a float needs more. Cost: O(sqrt(n)) integers there."""
    n = len(row) - 1
    if n > _EXACT_MEANS:
        mean, error = _central_mean(row)
        if abs(mean) <= error:
            return Fraction(0)
        if float(mean - error) == float(mean + error):
            return mean
    total, binomial = 0, 1
    for k, x in enumerate(row):
        total += binomial * x
        binomial = binomial * (n - k) // (k + 1)
    return Fraction(total, 2**n)


def _central_mean(row: list) -> tuple[Fraction, Fraction]:
    """(average, bound of its error) from binomials within 32 standard deviations and to 1024 binary digits."""
    n, one = len(row) - 1, 1 << 1024
    low = max(0, n // 2 - 16 * math.isqrt(n))
    weights = [one]  # relative to that of n // 2, downwards; the law is symmetric
    for k in range(n // 2, low, -1):
        weights.append(weights[-1] * k // (n - k + 1))
    total = weight = 0
    for k, w in enumerate(weights):
        total, weight = total + w * row[n // 2 - k], weight + w
    for k, w in enumerate(weights[1 - n % 2:], start=(n + 1) // 2 + (1 - n % 2)):
        total, weight = total + w * row[k], weight + w
    return Fraction(total, weight), max(map(abs, row)) / Fraction(1 << 400)


class Instance:
    """One disorder sample of a model.

    patterns: (K, N) int8 in {-1, 0, +1}. fields: (N,) float64. `bits` holds the patterns as bit columns, `stored_bits` what
    enters the Hamiltonian: the patterns themselves, or every example of them. learned: (N,) float64, the average example
    of the condensed pattern over r (1 + rho), with which n = (1/N) sum_i learned_i s_i; None without a dataset, and where
    every pattern has its n. disorder is the number of the sample, which keys the streams of its chains. images: what was drawn
    from a set of images, if it was.
    """

    images: ImageSample | None = None

    def __init__(self, model: SpinModel, bits: BitPatterns, fields: np.ndarray | None = None, disorder: int = 0,
                 stored_bits: BitPatterns | None = None, learned: np.ndarray | None = None):
        self.model = model
        self.disorder = disorder
        self.bits = bits
        self.stored_bits = bits if stored_bits is None else stored_bits
        self.learned = learned
        self.n_spins, self.n_patterns = bits.n_spins, bits.n_patterns
        self.fields = np.zeros(self.n_spins) if fields is None else np.asarray(fields, float)

    @functools.cached_property
    def patterns(self) -> np.ndarray:
        """(K, N) int8. Eight times the memory of the bits; unpacked on first use."""
        return self.bits.unpack()

    @functools.cached_property
    def stored(self) -> np.ndarray:
        """What enters the Hamiltonian, one row each: the patterns (K, N) or all examples (K M, N), pattern by pattern."""
        return self.patterns if self.stored_bits is self.bits else self.stored_bits.unpack()

    @property
    def condensed(self) -> np.ndarray:
        """(N,) int8: the pattern that planted starts begin in and that m is measured against (the first one)."""
        return self.bits.pattern(0)

    def at(self, temperature: float, seed: int) -> Instance:
        """This sample as a chain of this seed meets it at a temperature: itself, unless its fields depend on it."""
        return self

    def preparation(self, temperature: float, seed: int):
        """What has to be advanced until it is `ready`, and then has this sample as `at` gives it as its `instance`; None where
        `at` costs nothing. It has the `advance`, `snapshot` and `restore` of a chain."""
        return None

    @functools.cached_property
    def tables(self) -> Tables:
        if self.stored_bits.nonzero is None:
            return self.model.full_tables
        return self.model.tables(self.stored_bits.counts())

    def kernel(self, instruction_set: str | None = None):
        """A fresh compiled kernel on this disorder."""
        stored = self.stored_bits
        return kernel_module().OverlapKernel(stored.minus, stored.n_patterns, self.tables, self.condensed, self.fields,
                                             stored.nonzero, instruction_set)

    def energy(self, spins) -> np.ndarray:
        """Total energies (R,) of spins (R, N) (or (N,)), from scratch: no table, no cache. Cost O(R N K)."""
        spins, potential = self._configurations(spins), self._potential()
        return np.array([potential(s) - self.fields @ s for s in spins])

    def unstable(self, spins) -> np.ndarray:
        """How many single flips would lower the energy of spins (R, N) (or (N,)), (R,) int: 0 at a fixed point of
        zero-temperature dynamics, at which a quench of so many sweeps need not have arrived. Cost: that of R sweeps."""
        spins, kernel = self._configurations(spins), self.kernel()
        kernel.load(spins.astype(np.int8))
        return np.array([np.count_nonzero(kernel.costs(replica) < 0) for replica in range(len(spins))])

    def _configurations(self, spins) -> np.ndarray:
        """(R, N) of +-1, from the same or (N,)."""
        spins = as_numbers("spins", spins)
        spins = spins[None] if spins.ndim == 1 else spins
        if spins.ndim != 2 or spins.shape[1] != self.n_spins or not np.all(np.abs(spins) == 1):
            raise ParameterError(f"spins of shape {spins.shape} are not +-1 of shape (R, {self.n_spins})")
        return spins

    def _potential(self) -> Callable[[np.ndarray], float]:
        """The energy of one configuration without the field, the slow reference."""
        counts, stored = self.stored_bits.counts(), self.stored.astype(float)
        return lambda s: np.sum(self.model.potential(stored @ s, counts))


class Model(abc.ABC):
    """The contract of everything a task can run on. A model is immutable; its identity is `digest`, the name of its parameters.

    draw gives one disorder sample; which dynamics run on it is said by their `check`. asked: the keywords as they were
    written. `parameters` knows what became of them (of gamma = 0.1 an integer number of patterns), and they are no part of the
    identity.
    """

    kind: str
    n_spins: int
    dynamics: tuple[str, ...]  # those that run on it, where it has no spins
    loads: tuple[str, ...] = ()  # keys of loads that an integer number of patterns is rounded from, attributes as well
    preparation_pairs: float = 0.0  # spin-pattern pairs that a chain costs before its first sweep
    asked: Mapping = MappingProxyType({})

    def __new__(cls, *arguments, **keywords):
        model = super().__new__(cls)
        names = [*inspect.signature(cls.__init__).parameters][1:]
        given = dict(zip(names, arguments, strict=False)) | keywords
        model.asked = {name: value for name, value in given.items() if _is_plain(value)}
        return model

    @classmethod
    def loads_of(cls, parameters: Mapping) -> dict[str, float]:
        """The loads of these `parameters`, by the key that a job file gives each: those of the integer numbers of patterns."""
        return {}

    @classmethod
    def from_keys(cls, **keys) -> Model:
        """The model of a job file's keys."""
        return cls(**keys)

    @abc.abstractmethod
    def parameters(self) -> dict:
        """Everything that defines the model, plain and canonical, "kind" included."""

    @abc.abstractmethod
    def draw(self, seed: int, disorder: int = 0):
        """One disorder sample; the same (seed, disorder) gives the same sample, whatever was drawn before."""

    @abc.abstractmethod
    def pairs_per_sweep(self) -> float:
        """Spin-pattern pairs of one sweep of one replica: the unit in which cost is counted."""

    @abc.abstractmethod
    def bytes_needed(self, replicas: int) -> int:
        """Bytes one task holds."""

    @abc.abstractmethod
    def memory_bytes(self, replicas: int = 1) -> int:
        """Bytes one task holds. Raises ParameterError if this machine's memory cannot."""

    @property
    def measured(self) -> dict[str, float]:
        """What was found in the data that the model was given (no part of its identity); {} without data."""
        return {}

    def caution(self, start) -> str:
        """A sentence where chains from this start are easily taken for what they are not."""
        return ""

    def summary(self) -> str:
        """`measured`, and what else a user must know about the model, as text."""
        return ""

    @functools.cached_property
    def digest(self) -> str:
        return digest(self.parameters())

    @property
    def disorder_key(self) -> str:
        """Digest of what the disorder depends on: models that share it meet the same patterns and starts."""
        return self.digest


class SpinModel(Model):
    """A model of spins +-1 that meet patterns through a tabulated potential: what the overlap kernels run."""

    n_patterns: int
    loads = ("gamma",)
    starts: tuple[str, ...] = ("planted", "random", "corrupted", "example")  # the named starts of its chains
    has_zeros = False
    centred = True  # whether energies with coinciding indices are counted from their average over configurations
    has_dataset = False  # whether noisy examples are learned, and n is an observable
    n_cues: float = 0  # replicas that start = "example" can serve
    follows_temperature = False  # whether samples have other fields at every temperature (`Instance.at`), which is then > 0
    planted_energy: float | None = None  # mean energy per spin of the planted configuration over samples, where known

    @abc.abstractmethod
    def draw(self, seed: int, disorder: int = 0) -> Instance:
        """As in `Model`."""

    @abc.abstractmethod
    def tables(self, counts: np.ndarray) -> Tables:
        """Integer tables of f for patterns with counts (K,) non-zero entries."""

    @abc.abstractmethod
    def potential(self, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """f(x) in floating point, the slow reference; x, counts (K,)."""

    def _checked_fields(self, fields) -> np.ndarray:
        """External fields given by the user as (N,) float64. Raises ParameterError."""
        fields = as_numbers("fields", fields)
        if fields.shape != (self.n_spins,) or not np.all(np.isfinite(fields)):
            raise ParameterError(f"fields of shape {fields.shape} are not {self.n_spins} finite numbers; give one per spin")
        return fields

    @functools.cached_property
    def full_tables(self) -> Tables:
        """The tables of patterns without zero entries, the same for every disorder sample."""
        return self.tables(np.full(self.n_stored, self.n_spins, np.int32))

    @property
    def n_stored(self) -> int:
        """How many rows enter the Hamiltonian: K, or K M where every example enters by itself."""
        return self.n_patterns

    def pairs_per_sweep(self) -> float:
        return float(self.n_spins) * self.n_stored

    def bytes_needed(self, replicas: int) -> int:
        """As in `Model`: bit columns, indices and cached table values."""
        planes = 2 if self.has_zeros else 1
        columns = self.n_spins * 8 * -(-self.n_stored // 64)
        return planes * columns + self.n_stored * (replicas * (4 + 4 * planes) + 32)

    def memory_bytes(self, replicas: int = 1) -> int:
        needed, free = self.bytes_needed(replicas), available_memory()
        if needed > free:
            what = f"{self.n_patterns} patterns" + self._of_examples
            raise ParameterError(
                f"{what} on {self.n_spins} spins need {needed / 2**30:.3g} GiB and {free / 2**30:.3g} GiB "
                f"are free; lower n_spins, {self.loads[-1]} or n_patterns{', n_examples' if self._of_examples else ''}, or run "
                "fewer ranks per machine")
        return needed

    @property
    def _of_examples(self) -> str:
        return f" with {self.n_stored // self.n_patterns} examples each" if self.n_stored > self.n_patterns else ""


def _is_plain(value) -> bool:
    """Whether a keyword's value is a number, a word, or a list of them; arrays and objects are not."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (str, numbers.Real, np.bool_))


def available_memory() -> int:
    """Bytes of memory that a new allocation can get: what the machine has free, or less where a batch system set a limit."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/proc/meminfo") as lines:
            free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        with open("/proc/self/cgroup") as lines:
            group = next(line.split(":", 2)[2].strip() for line in lines if line.startswith("0::"))
        folder = Path("/sys/fs/cgroup") / group.lstrip("/")
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        if limit.isdigit():
            free = min(free, max(0, int(limit) - int(used)))
    except (OSError, StopIteration):
        pass  # another operating system, or no control group: the last known number stands
    return free
