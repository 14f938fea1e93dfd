"""Where chains begin: planted, random, corrupted, an example, states of a multitasking network, the teacher or the reference of
a perceptron, or given configurations, on streams keyed like the disorder."""

from __future__ import annotations

import numpy as np

from .. import vocabulary
from ..errors import ParameterError
from ..models.base import Instance, SpinModel
from ..models.patterns import as_numbers
from ..params import check_choice, check_real, shown
from ..streams import Purpose, generator

__all__ = ["STARTS", "check_start", "entries_of_state", "starting_spins"]

_OF_MULTITASK = ("hierarchical", "parallel")
STARTS = ("planted", "random", "corrupted", "example", *_OF_MULTITASK, "teacher", "reference")


def check_start(model: SpinModel, start, corruption, replicas: int) -> None:
    """Raise ParameterError for a start that R chains of this model cannot have."""
    if isinstance(start, str):
        check_choice("start", start, STARTS, vocabulary.STARTS)
    else:
        _given_start(start, model.n_spins, replicas)
    if isinstance(start, str) and start not in model.starts:
        raise ParameterError(f"start = {start!r} {_why_not(model, start)}; a {model.kind} model starts "
                             f"{', '.join(model.starts)} or from an array")
    if isinstance(start, str) and start == "corrupted":
        check_real("corruption", corruption, 0.0, 0.5, remedy="give the fraction of flipped spins of a corrupted start")
    elif corruption is not None:
        raise ParameterError(f"corruption = {shown(corruption)} has no meaning with start = {shown(start)}; use start = "
                             "'corrupted'")
    if isinstance(start, str) and start == "example" and replicas > model.n_cues:
        raise ParameterError(_too_few_cues(model, replicas))


def _why_not(model: SpinModel, start: str) -> str:
    if start in _OF_MULTITASK:
        return "is a state of multitasking networks"
    if start == "example":
        return "needs patterns with examples that are not trained on"
    if start == "reference":
        return "is what a second task is coupled to"
    return "needs a teacher, which random labels do not have" if model.kind == "perceptron" else "belongs to perceptrons"


def _too_few_cues(model: SpinModel, replicas: int) -> str:
    if not model.n_cues:
        return ("start = 'example' needs examples that are not trained on: a dataset with r, or images with archetypes and "
                "held_out > 0 that leaves some of every archetype; use start = 'corrupted' otherwise")
    return (f"replicas = {replicas} with start = 'example' exceeds the {model.n_cues} held-out images that every archetype "
            "has; lower replicas or raise held_out")


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
    if start in _OF_MULTITASK:
        state = entries_of_state(instance.patterns, start)
        return reference, np.array([np.where(state == 0, signs(stream), state) for stream in streams]).astype(np.int8)
    if start == "reference":
        return reference, np.tile(instance.reference, (replicas, 1))
    spins = np.array([planted(stream) for stream in streams])
    if start == "corrupted":
        return reference, _flipped(spins, corruption, streams)
    if start == "example" and instance.images is not None and instance.images.cues is not None:
        return reference, instance.images.cues[:replicas]
    if start == "example":
        return reference, _flipped(spins, (1 - instance.model.law.r) / 2, streams)
    return reference, spins


def entries_of_state(patterns: np.ndarray, start: str) -> np.ndarray:
    """(N,) of -1, 0, +1: the first non-zero entry of each column of patterns (K, N), or the sign of its sum."""
    if start == "parallel":
        return np.sign(patterns.sum(axis=0, dtype=np.int32))
    first = np.argmax(patterns != 0, axis=0)
    return np.take_along_axis(patterns, first[None], axis=0)[0]


def _flipped(spins: np.ndarray, share: float, streams: list) -> np.ndarray:
    flips = np.array([stream.random(spins.shape[1]) < share for stream in streams])
    return np.where(flips, -spins, spins).astype(np.int8)


def _given_start(start, n_spins: int, replicas: int) -> np.ndarray:
    name = "start" if isinstance(start, np.ndarray) else f"start = {shown(start)}"
    try:
        spins = as_numbers("start", start)
    except ParameterError:
        spins = np.empty(())
    if not spins.ndim:
        raise ParameterError(f"{name} is neither one of {', '.join(STARTS)} nor an array of +-1 of shape ({n_spins},) or "
                             f"({replicas}, {n_spins})")
    if spins.shape == (n_spins,):
        spins = np.tile(spins, (replicas, 1))
    if spins.shape != (replicas, n_spins) or not np.all(np.isin(spins, (-1, 1))):
        raise ParameterError(f"{name} of shape {spins.shape} is not +-1 of shape ({n_spins},) or ({replicas}, {n_spins})")
    return spins.astype(np.int8)
