"""Random streams keyed by meaning, so that no number depends on a rank, a list position or the order of calls."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

__all__ = ["Purpose", "generator", "go_on", "positions"]


class Purpose(enum.IntEnum):
    """What a stream is for. The values are part of every stored result: never renumber them."""

    DISORDER = 1  # patterns, datasets, teachers
    START = 2  # initial configurations
    DYNAMICS = 3  # proposals and acceptances
    EXCHANGE = 4  # replica exchange


def generator(seed: int, purpose: Purpose, point: str, disorder: int = 0, replica: int = 0) -> np.random.Generator:
    """The stream of one purpose at one parameter point.

    point is the hexadecimal digest of the parameters that define the point (`params.digest`). Disorder streams use the
    digest of the *model* alone: a scan over temperature meets the same patterns at every temperature.
    """
    words = [int(point[i : i + 8], 16) for i in range(0, len(point), 8)]
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(purpose), *words, disorder, replica))
    return np.random.Generator(np.random.PCG64DXSM(sequence))


def positions(generators: Sequence[np.random.Generator]) -> np.ndarray:
    """Where these streams stand, (n, 4) uint64, from which `go_on` continues them bit for bit. Buffered 32-bit halves are not
    kept: for streams that are drawn from in words, as the kernels do."""
    states = [g.bit_generator.state["state"] for g in generators]
    words = [[(s[key] >> shift) & (2**64 - 1) for key in ("state", "inc") for shift in (64, 0)] for s in states]
    return np.array(words, np.uint64)


def go_on(generators: Sequence[np.random.Generator], positions: np.ndarray) -> None:
    """Put streams where `positions` found them."""
    for g, words in zip(generators, positions, strict=True):
        state = g.bit_generator.state
        high_state, low_state, high_inc, low_inc = (int(w) for w in words)
        state["state"] = {"state": high_state << 64 | low_state, "inc": high_inc << 64 | low_inc}
        g.bit_generator.state = state
