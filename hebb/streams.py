"""Random streams keyed by meaning, so that no number depends on a rank, a list position or the order of calls."""

from __future__ import annotations

import enum

import numpy as np

__all__ = ["Purpose", "generator"]


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
