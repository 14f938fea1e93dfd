"""Polynomials in the dilution with rational coefficients, lists of ascending powers of d: signs and roots decided exactly."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

__all__ = ["bernstein", "deflated", "horner", "scaled", "sign_changes", "times_p"]


def horner(coefficients, x):
    total = 0
    for entry in reversed(coefficients):
        total = total * x + entry
    return total


def scaled(counts: np.ndarray, size: int) -> np.ndarray:
    """counts (..., K, K) -> 2^(K-1) m_k/(1-d) as integers (..., K, K)."""
    basis = np.zeros((size, size), dtype=object)
    for j in range(size):       # 2^(K-1-j) (1-d)^j d^(K-1-j)
        for i in range(j + 1):
            basis[j, size - 1 - j + i] = 2 ** (size - 1 - j) * math.comb(j, i) * (-1) ** i
    return counts @ basis


def times_p(polynomials: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(polynomials[..., :1])
    return np.concatenate([polynomials, zero], axis=-1) - np.concatenate([zero, polynomials], axis=-1)


def deflated(coefficients) -> tuple[int, ...]:
    """Integer coefficients without common divisor and without the factors d and 1-d; the last one positive."""
    scale = math.lcm(*(Fraction(entry).denominator for entry in coefficients))
    c = [int(entry * scale) for entry in coefficients]
    while c and c[0] == 0:
        c = c[1:]
    while c and c[-1] == 0:
        c = c[:-1]
    while len(c) > 1 and sum(c) == 0:
        c = list(itertools.accumulate(c))[:-1]      # division by 1 - d
    if not c:
        return ()
    divisor = math.gcd(*c) * (1 if c[-1] > 0 else -1)
    return tuple(entry // divisor for entry in c)


def bernstein(degree: int) -> np.ndarray:
    """(n, n): powers of d -> a positive multiple of the Bernstein coefficients, which bound the values on [0, 1]."""
    scale = math.lcm(*(math.comb(degree, k) for k in range(degree + 1)))
    return np.array([[scale * math.comb(i, k) // math.comb(degree, k) for i in range(degree + 1)]
                     for k in range(degree + 1)], dtype=object)


def sign_changes(coefficients) -> list[float]:
    """The roots in ]0, 1[ at which a polynomial with rational coefficients changes sign, to rounding."""
    c = deflated(coefficients)
    if len(c) < 2:
        return []
    roots = np.roots(np.array(c[::-1], float))
    near = sorted(x.real for x in roots if abs(x.imag) < 1e-5 and -1e-5 < x.real < 1 + 1e-5)
    unit = 2**60                # whole multiples of 1/unit keep all signs exact and fast
    shifted = [entry * unit**power for entry, power in zip(c, reversed(range(len(c))), strict=True)]
    fences = [0, *(min(max(int((a + b) / 2 * unit), 0), unit) for a, b in itertools.pairwise(near)), unit]
    found = []
    for low, high in itertools.pairwise(fences):
        start = horner(shifted, low)
        if start * horner(shifted, high) < 0:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if horner(shifted, middle) * start > 0 else (low, middle)
            found.append(high / unit)
    return found
