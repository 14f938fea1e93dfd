"""Where the measurements of a job lie on the axis of its sweeps, and whether they fall on the ends of the tasks of a sequence.

A measurement is made after every `measure_every`-th sweep that follows the first `thermalize` ones; of more than
`accumulators.MAX_BINS` measurements the means of several are kept. The number of an entry of a series is thus neither a sweep
nor an epoch of training. What a network or a perceptron knew when its training on a task ended was measured only if one
measurement falls on that very epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .accumulators import MAX_BINS, bin_length_for

__all__ = ["ends_of_training", "entries_at", "kept_sweeps", "not_measured"]


def kept_sweeps(sampling: Mapping, bin_length: int | None = None) -> np.ndarray:
    """(B,) sweeps (epochs, trajectories) that had been made at each entry of a series, the mean of those of its bin.

    sampling: settings of a job. bin_length: measurements in an entry, by default as many as a run would put there.
    """
    measurements, every = sampling["sweeps"] // sampling["measure_every"], sampling["measure_every"]
    length = bin_length or bin_length_for(measurements)
    return sampling["thermalize"] + every * (length * np.arange(measurements // length) + (length + 1) / 2)


def ends_of_training(epochs: int | Sequence[int], n_tasks: int) -> np.ndarray:
    """(n_tasks,) epochs that have been made when the training on each task ends; epochs: one number, or one per task."""
    return np.cumsum(np.broadcast_to(epochs, n_tasks))


def entries_at(ends: Sequence[int], sampling: Mapping, bin_length: int | None = None) -> list[int | None]:
    """For each of these epochs the entry of a series that was measured just then; None where there is none, or a mean."""
    sweeps = kept_sweeps(sampling, bin_length)
    if (bin_length or bin_length_for(sampling["sweeps"] // sampling["measure_every"])) > 1:
        return [None] * len(ends)
    place = {int(sweep): entry for entry, sweep in enumerate(sweeps)}
    return [place.get(int(end)) for end in ends]


def not_measured(ends: Sequence[int], sampling: Mapping, bin_length: int | None = None) -> str:
    """A sentence with its remedy where training stops before the end of the last task, or where the ends of some tasks are not
    measured; "" where all is known. ends: `ends_of_training`, or the last of them where only that counts."""
    missing = [int(end) for end, entry in zip(ends, entries_at(ends, sampling, bin_length), strict=True) if entry is None]
    if not missing:
        return ""
    every, last = sampling["measure_every"], int(ends[-1])
    made = sampling["thermalize"] + sampling["sweeps"] // every * every
    if made < last:
        what = f"training stops after epoch {made} of {last}"
    elif sampling["sweeps"] // every > MAX_BINS:
        what = f"more than {MAX_BINS} measurements are kept as means of several, which are those of no epoch"
    else:
        what = f"no measurement falls on the end of {'a task' if len(ends) > 1 else 'training'}, epoch {missing[0]}"
    sweeps = max(last, made)
    divisors = _divisors(math.gcd(*map(int, ends)))
    few = [number for number in divisors if sweeps // number <= MAX_BINS]
    if not few:
        return f"{what}; give epochs with a common divisor of at least {-(-sweeps // MAX_BINS)}"
    best = max((number for number in few if number <= every), default=few[0])
    return f"{what}; set thermalize = 0, sweeps = {sweeps} and measure_every = {best}"


def _divisors(number: int) -> list[int]:
    """In ascending order."""
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})
