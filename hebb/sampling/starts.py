"""Where chains begin: planted, random, corrupted or given configurations, on streams keyed like the disorder."""

from __future__ import annotations

import numpy as np

from ..errors import ParameterError
from ..models.base import Instance, Model
from ..models.patterns import as_numbers
from ..params import check_choice, check_real
from ..streams import Purpose, generator

__all__ = ["STARTS", "check_start", "starting_spins"]

STARTS = ("planted", "random", "corrupted")


def check_start(model: Model, start, corruption, replicas: int) -> None:
    """Raise ParameterError for a start that R chains of this model cannot have."""
    if isinstance(start, str):
        check_choice("start", start, STARTS)
    else:
        _given_start(start, model.n_spins, replicas)
    if isinstance(start, str) and start == "corrupted":
        check_real("corruption", corruption, 0.0, 0.5, remedy="give the fraction of flipped spins of a corrupted start")
    elif corruption is not None:
        raise ParameterError(f"corruption = {corruption!r} has no meaning with start = {start!r}; use start = 'corrupted'")


def starting_spins(instance: Instance, start, corruption, replicas: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A planted configuration (N,) and the starts (R, N) of checked settings, int8; streams as in `Chain`."""
    streams = [generator(seed, Purpose.START, instance.model.disorder_key, instance.disorder, r) for r in range(replicas)]
    n, pattern = instance.n_spins, instance.condensed

    def signs(stream: np.random.Generator) -> np.ndarray:
        return 1 - 2 * stream.integers(0, 2, n, dtype=np.int8)

    def planted(stream: np.random.Generator) -> np.ndarray:
        drawn = signs(stream)
        return np.where(pattern == 0, drawn, pattern).astype(np.int8)

    reference = planted(streams[0])
    if not isinstance(start, str):
        return reference, _given_start(start, n, replicas)
    if start == "random":
        return reference, np.array([signs(stream) for stream in streams])
    spins = np.array([planted(stream) for stream in streams])
    if start == "corrupted":
        flipped = np.array([stream.random(n) < corruption for stream in streams])
        spins = np.where(flipped, -spins, spins).astype(np.int8)
    return reference, spins


def _given_start(start, n_spins: int, replicas: int) -> np.ndarray:
    spins = as_numbers("start", start)
    if spins.shape == (n_spins,):
        spins = np.tile(spins, (replicas, 1))
    if spins.shape != (replicas, n_spins) or not np.all(np.isin(spins, (-1, 1))):
        raise ParameterError(f"start of shape {spins.shape} is not +-1 of shape ({n_spins},) or ({replicas}, {n_spins})")
    return spins.astype(np.int8)
