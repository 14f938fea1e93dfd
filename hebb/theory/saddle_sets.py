"""Sets of 1RSB saddles: some of them, several together, and which of them Newton's method found."""

from __future__ import annotations

import numpy as np

from .parisi import Point, Saddles

__all__ = ["joined", "replaced", "resolved", "take"]

_RESOLVED = 1e-7          # levels closer than this are not told apart: the state is given as replica symmetric


def take(found: Saddles, index) -> Saddles:
    """Some of the saddles."""
    return Saddles(*(item.rows(index) if isinstance(item, Point) else item[index] for item in found))


def joined(parts: list[Saddles]) -> Saddles:
    """Saddles one after the other."""
    return Saddles(*(Point(*map(np.concatenate, zip(*items, strict=True))) if isinstance(items[0], Point)
                     else np.concatenate(items) for items in zip(*parts, strict=True)))


def replaced(found: Saddles, index, part: Saddles) -> Saddles:
    """`found` with the rows `index` taken from `part`."""
    def put(whole, new):
        whole = whole.copy()
        whole[index] = new
        return whole

    return Saddles(*(Point(*map(put, whole, new)) if isinstance(whole, Point) else put(whole, new)
                     for whole, new in zip(found, part, strict=True)))


def resolved(found: Saddles, shift: float = 2e-5) -> np.ndarray:
    """Whether Newton's method found a saddle with two levels, for each point. shift: largest one, relative."""
    with np.errstate(invalid="ignore"):
        return (found.residual < 1e-10) & (found.shift < shift) & (np.diff(found.q, axis=1)[:, 0] > _RESOLVED)
