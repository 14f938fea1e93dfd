"""What a task will cost: time on one core and bytes of results, from its model and [sampling] settings alone."""

from __future__ import annotations

from collections.abc import Mapping

from ..models.classes import Classes
from ..sampling.accumulators import bin_length_for
from ..sampling.chain import chain_class
from ..sampling.hmc import hmc_settings
from ..sampling.learning import learning_settings

__all__ = ["seconds_of", "series_bytes"]

#: Rough speed of one core, for ordering tasks and for `hebb check`: only ratios matter for the order.
SECONDS_PER_PAIR = 1 / 20e9
SECONDS_PER_PROPOSAL = 15e-9
SECONDS_PER_MISS = 120e-9  # of a proposal whose spin or class is not in the cache
_CACHE = 2**24  # bytes
SECONDS_PER_MEASUREMENT = 60e-6
SECONDS_PER_WEIGHT = 3.5e-10  # of a network in training, and image
SECONDS_PER_EXAMPLE = 1e-10  # of a gradient in field space, and spin
SECONDS_PER_SITE = 4.5e-9  # of the rest of it
SECONDS_PER_CLASS = 5e-8  # of spins, in a Hubbard-Stratonovich sweep
SECONDS_PER_TERM = 4e-10  # of a mean-field update, per entry of the stored rows and interaction order


def seconds_of(model, sampling: Mapping) -> float:
    """Rough computing time of one task, in seconds on one core."""
    measurements = sampling["sweeps"] // sampling["measure_every"]
    sweeps = sampling["replicas"] * (sampling["thermalize"] + sampling["sweeps"])
    if sampling["dynamics"] in ("gradient", "hmc"):
        return _seconds_of_fields(model, sampling) + measurements * SECONDS_PER_MEASUREMENT
    before = model.preparation_pairs * SECONDS_PER_PAIR
    return before + sweeps * _seconds_per_sweep(model, sampling["dynamics"]) + measurements * SECONDS_PER_MEASUREMENT


def _seconds_of_fields(model, sampling: Mapping) -> float:
    """Of learning or Hamiltonian trajectories, task by task."""
    def gradients(task: int, number: float, batches: float = 1.0) -> float:
        return number * model.n_spins * (model.n_examples[task] * SECONDS_PER_EXAMPLE + batches * SECONDS_PER_SITE)

    counted, last = sampling["thermalize"] + sampling["sweeps"], model.n_tasks - 1
    if sampling["dynamics"] == "hmc":
        settings = hmc_settings(model, sampling["learning"])
        ends, begun = settings["steps"] + 1, settings["tune_sweeps"]
        earlier = (gradients(task, ends * (begun + number)) for task, number in enumerate(settings["reference_sweeps"]))
        return sum(earlier) + sampling["replicas"] * gradients(last, ends * (begun + counted))
    total = 0.0
    for task, settings in enumerate(learning_settings(model, sampling["learning"])):
        epochs = counted if task == last else min(counted, settings["epochs"])
        counted -= epochs
        total += gradients(task, epochs, -(-model.n_examples[task] // (settings["batch_size"] or model.n_examples[task])))
    return sampling["replicas"] * total


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
