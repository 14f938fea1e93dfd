"""Patterns as bit columns: one contiguous column per spin, one bit per pattern."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import HebbWarning, ParameterError

__all__ = ["BitPatterns", "as_numbers", "diluted", "noisy_copies", "pack", "rademacher", "random_bits",
           "set_bits", "warn_of_bits"]


@dataclass(frozen=True)
class BitPatterns:
    """minus: uint8 (N, stride), bit mu of row i is 1 where xi_i^mu = -1. nonzero: the same for xi != 0, or None if no
    entry vanishes. Bits beyond K are 0; stride is a multiple of 8. Memory: K N / 8 bytes per plane."""

    minus: np.ndarray
    nonzero: np.ndarray | None
    n_patterns: int

    @property
    def n_spins(self) -> int:
        return self.minus.shape[0]

    def counts(self) -> np.ndarray:
        """(K,) int32: non-zero entries of each pattern."""
        if self.nonzero is None:
            return np.full(self.n_patterns, self.n_spins, np.int32)
        rows = max(1, 2**20 // self.n_patterns)  # unpacked bits take a byte each
        blocks = (self.nonzero[first:first + rows] for first in range(0, self.n_spins, rows))
        return sum(_bits(block, self.n_patterns).sum(axis=0, dtype=np.int32) for block in blocks)

    def pattern(self, mu: int) -> np.ndarray:
        """(N,) int8 of one pattern."""
        byte, bit = divmod(mu, 8)
        minus = (self.minus[:, byte] >> bit) & 1
        nonzero = 1 if self.nonzero is None else (self.nonzero[:, byte] >> bit) & 1
        return (nonzero * (1 - 2 * minus.astype(np.int8))).astype(np.int8)

    def spin(self, i: int | slice) -> np.ndarray:
        """(K,) int8: the entries of one spin; (n, K) of a slice of spins."""
        signs = 1 - 2 * _bits(self.minus[i], self.n_patterns).astype(np.int8)
        return signs if self.nonzero is None else signs * _bits(self.nonzero[i], self.n_patterns).astype(np.int8)

    def unpack(self) -> np.ndarray:
        """(K, N) int8."""
        signs = 1 - 2 * _bits(self.minus, self.n_patterns).astype(np.int8)
        if self.nonzero is not None:
            signs = signs * _bits(self.nonzero, self.n_patterns).astype(np.int8)
        return np.ascontiguousarray(signs.T)


def _bits(packed: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(packed, axis=-1, count=count, bitorder="little")


def set_bits(columns: np.ndarray) -> np.ndarray:
    """How many of the rows of columns (n, stride) uint8 have each bit set, (8 stride,) int32. Whole words are added, three rows
    at a time, and carried (full adders): about five operations per word of 64 bits."""
    words = columns.view(np.uint64)
    counts, rows = np.zeros(8 * columns.shape[1], np.int32), max(64, 2**17 // words.shape[1])  # a block stays in the cache
    for first in range(0, len(words), rows):
        group, weight = words[first:first + rows], 1
        while len(group):
            carries = []
            while len(group) > 1:
                third = max(1, len(group) // 3)
                a, b, rest = group[:third], group[third:2 * third], group[2 * third:]
                c, rest = (rest[:third], rest[third:]) if len(rest) else (np.zeros_like(a), rest)
                odd = a ^ b
                carries.append(a & b | odd & c)
                group = np.concatenate([odd ^ c, rest])
            counts += weight * np.unpackbits(group[0].view(np.uint8), bitorder="little").astype(np.int32)
            group, weight = np.concatenate(carries) if carries else group[:0], 2 * weight
    return counts


def _stride(n_patterns: int) -> int:
    return 8 * -(-n_patterns // 64)


def _plane(rows: np.ndarray) -> np.ndarray:
    """(N, K) booleans to (N, stride) bytes."""
    packed = np.packbits(rows, axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, _stride(rows.shape[1]) - packed.shape[1])))


def rademacher(n_patterns: int, n_spins: int, stream: np.random.Generator) -> BitPatterns:
    """K patterns of N independent signs, drawn directly as bits. Cost: K N / 64 draws."""
    words = stream.integers(0, 2**64, size=(n_spins, _stride(n_patterns) // 8), dtype=np.uint64)
    spare = -n_patterns % 64
    words[:, -1] &= np.uint64((1 << (64 - spare)) - 1)
    return BitPatterns(words.astype("<u8", copy=False).view(np.uint8), None, n_patterns)


def diluted(n_patterns: int, n_spins: int, density: float, stream: np.random.Generator) -> BitPatterns:
    """K patterns of N independent entries: 0 with probability 1 - density, +1 and -1 with density/2 each.

    First the signs of all entries as in `rademacher`, those of later zeros included, then (density < 1) which of them stay,
    with exactly this probability (`random_bits`). Cost: K N / 64 draws and about 8 times as many."""
    bits = rademacher(n_patterns, n_spins, stream)
    if density == 1.0:
        return bits
    stay = random_bits(density, bits.minus.size // 8, stream).astype("<u8", copy=False).view(np.uint8)
    nonzero = stay.reshape(bits.minus.shape) & _plane(np.ones((1, n_patterns), bool))
    return BitPatterns(bits.minus & nonzero, nonzero, n_patterns)


def random_bits(probability: float, n_words: int, stream: np.random.Generator) -> np.ndarray:
    """(n_words,) uint64 of independent bits, each 1 with exactly this probability (a double is a finite binary fraction).

    Every bit compares the digits of its own uniform number with those of the probability, most significant first, until
    one differs. Cost: about 8 draws per word."""
    bits, open_ = np.zeros(n_words, np.uint64), np.full(n_words, 2**64 - 1, np.uint64)
    undecided = np.arange(n_words)
    while probability > 0 and undecided.size:
        probability *= 2
        digit = stream.integers(0, 2**64, size=undecided.size, dtype=np.uint64)
        if probability >= 1:
            probability -= 1
            bits[undecided] |= open_[undecided] & ~digit
            open_[undecided] &= digit
        else:
            open_[undecided] &= ~digit
        undecided = undecided[open_[undecided] != 0]
    return bits


def noisy_copies(bits: BitPatterns, n_copies: int, flip: float, stream: np.random.Generator) -> BitPatterns:
    """n_copies examples of each of K patterns, (K n_copies) rows pattern by pattern: every entry is reversed with
    probability flip, zeros stay. Drawn copy by copy, so that the first copies do not depend on how many follow."""
    n_spins, stride = bits.minus.shape
    copies = []
    for _ in range(n_copies):
        flips = random_bits(flip, n_spins * stride // 8, stream).astype("<u8", copy=False).view(np.uint8)
        flips = flips.reshape(n_spins, stride)
        copies.append(bits.minus ^ (flips if bits.nonzero is None else flips & bits.nonzero))
    rows = max(1, 2**25 // (n_copies * bits.n_patterns))  # unpacked bits take a byte each
    minus = np.empty((n_spins, _stride(n_copies * bits.n_patterns)), np.uint8)
    nonzero = None if bits.nonzero is None else np.empty_like(minus)
    for first in range(0, n_spins, rows):
        block = slice(first, first + rows)
        unpacked = np.stack([_bits(copy[block], bits.n_patterns) for copy in copies], axis=-1)
        minus[block] = _plane(unpacked.reshape(len(unpacked), -1))
        if nonzero is not None:
            nonzero[block] = _plane(np.repeat(_bits(bits.nonzero[block], bits.n_patterns), n_copies, axis=1))
    return BitPatterns(minus, nonzero, bits.n_patterns * n_copies)


def as_numbers(name: str, values) -> np.ndarray:
    """values as float64, or ParameterError for what is ragged, masked, complex, boolean or not numeric."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf" or np.ma.is_masked(values):
        kind = "ragged or masked values" if array.dtype == object or np.ma.is_masked(values) else f"type {array.dtype}"
        remedy = f"; give 2*{name}.astype(int) - 1" if array.dtype.kind == "b" else ""
        raise ParameterError(f"{name} of {kind} are not a plain array of real numbers{remedy}")
    return array.astype(float)


def pack(patterns) -> BitPatterns:
    """Patterns given as an array (K, N) of -1, 0, +1. Raises ParameterError on NaN, other values or another shape."""
    array = as_numbers("patterns", patterns)
    if array.ndim != 2 or 0 in array.shape:
        raise ParameterError(f"patterns of shape {array.shape} are not a (K, N) array")
    wrong = ~np.isin(array, (-1, 0, 1))
    if wrong.any():
        mu, i = np.argwhere(wrong)[0]
        raise ParameterError(f"patterns[{mu}, {i}] = {array[mu, i]} is not -1, 0 or +1 ({int(wrong.sum())} such entries); "
                             "binarise the patterns or remove missing values")
    if not array[0].any():
        raise ParameterError("patterns[0] has no entry different from 0; the first pattern is the one that m refers to")
    columns = np.ascontiguousarray(array.T)
    nonzero = columns != 0
    return BitPatterns(_plane(columns < 0), None if nonzero.all() else _plane(nonzero), array.shape[0])


def warn_of_bits(given: BitPatterns) -> None:
    """A HebbWarning where given patterns have zeros and no -1, which may be bits."""
    if given.nonzero is not None and not given.minus.any():
        warnings.warn("the patterns have entries 0 and +1 and none of -1, and entries 0 count as missing (diluted patterns); "
                      "give 2*patterns - 1 if 0 and 1 are the two values of a bit", HebbWarning, stacklevel=3)
