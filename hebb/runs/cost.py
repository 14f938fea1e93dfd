"""What a task will cost: time on one core and bytes of results, from its model and [sampling] settings alone."""

from __future__ import annotations

from collections.abc import Mapping

from ..models.classes import Classes
from ..sampling.accumulators import bin_length_for
from ..sampling.chain import chain_class

__all__ = ["seconds_of", "series_bytes"]

#: Rough speed of one core, for ordering tasks and for `hebb check`: only ratios matter for the order.
SECONDS_PER_PAIR = 1 / 20e9
SECONDS_PER_PROPOSAL = 15e-9
SECONDS_PER_MISS = 120e-9  # of a proposal whose spin or class is not in the cache
_CACHE = 2**24  # bytes
SECONDS_PER_MEASUREMENT = 60e-6
SECONDS_PER_WEIGHT = 3.5e-10  # of a network in training, and image
SECONDS_PER_CLASS = 5e-8  # of spins, in a Hubbard-Stratonovich sweep
SECONDS_PER_TERM = 4e-10  # of a mean-field update, per entry of the stored rows and interaction order


def seconds_of(model, sampling: Mapping) -> float:
    """Rough computing time of one task, in seconds on one core."""
    measurements = sampling["sweeps"] // sampling["measure_every"]
    sweeps = sampling["replicas"] * (sampling["thermalize"] + sampling["sweeps"])
    before = model.preparation_pairs * SECONDS_PER_PAIR
    return before + sweeps * _seconds_per_sweep(model, sampling["dynamics"]) + measurements * SECONDS_PER_MEASUREMENT


def _seconds_per_sweep(model, dynamics: str) -> float:
    if dynamics == "backpropagation":
        return model.pairs_per_sweep() * SECONDS_PER_WEIGHT
    if dynamics == "plefka":
        return model.pairs_per_sweep() * model.p_body * SECONDS_PER_TERM
    if dynamics == "hubbard_stratonovich":
        return Classes.expected(model) * SECONDS_PER_CLASS
    if dynamics == "lumped":
        pairs, held = 0.0, Classes.expected(model) / Classes.most(model) * Classes.bytes_needed(model)
    else:
        pairs, held = model.pairs_per_sweep(), model.bytes_needed(1)
    missed = max(0.0, 1 - _CACHE / held)
    return pairs * SECONDS_PER_PAIR + model.n_spins * (SECONDS_PER_PROPOSAL + missed * SECONDS_PER_MISS)


def series_bytes(model, sampling: Mapping) -> int:
    """Bytes that one task leaves: bins of its observables, and spins if they are kept."""
    measurements, replicas = sampling["sweeps"] // sampling["measure_every"], sampling["replicas"]
    bins = measurements // bin_length_for(measurements)
    spins = (2 * replicas + 1) * model.n_spins if sampling["keep_spins"] else 0
    return 8 * bins * chain_class(sampling["dynamics"]).numbers(model, replicas, sampling["start"]) + spins
