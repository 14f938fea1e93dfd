"""`hebb check --probe`: what a job costs on this machine, measured beside the estimate."""

from __future__ import annotations

import argparse
import contextlib
import os
import warnings

from .command_line import duration
from .errors import HebbWarning
from .params import shown

__all__ = ["SECONDS", "probe_seconds", "tell"]

#: What a probe takes unless it is told otherwise.
SECONDS = 20.0
_LEAST, _MOST = 1.0, 3600.0
_SIZES = ("n_spins", "n_patterns", "alpha", "layers")
_OFF = 3.0  # a factor by which an estimate may be off without a word
_ENOUGH = 0.8  # of a core, for times that can be relied on


def probe_seconds(text: str) -> float:
    """The seconds of --probe."""
    with contextlib.suppress(ValueError):
        if _LEAST <= float(text) <= _MOST:
            return float(text)
    raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of seconds from {_LEAST:g} to {_MOST:g}; write --probe "
                                     "after the name of the job, or a number behind it")


def tell(plan, seconds: float, ranks: int | None) -> None:
    """Run the probe and print its lines. ranks: how many the time is told for, by default those of this machine."""
    from .runs.probe import chosen, makespan, probe, projected

    found = probe(plan, seconds)
    if len(found) < len(chosen(plan.tasks)):
        missing = "the longest task was" if not found else f"{len(chosen(plan.tasks)) - len(found)} task(s) were"
        warnings.warn(f"{missing} still being prepared, or in a first sweep, when the {seconds:g} s of the probe were over; "
                      "give it more with --probe SECONDS", HebbWarning, stacklevel=2)
    for number, item in enumerate(found):
        task = plan.tasks[item.index]
        how = "ran to its end" if item.finished else f"at {item.rate:.3g} sweeps/s"
        print(f"{'        ' if number else 'probe:  '}task {task.task_id} of {_size(task)} takes {duration(item.seconds)} "
              f"(prepared in {duration(item.preparation)}, {how}); the estimate is {duration(task.cost)}")
        factor = item.seconds * min(1.0, item.core) / task.cost  # waiting for a core is not the estimate's fault
        if not 1 / _OFF <= factor <= _OFF:
            warnings.warn(f"the estimate of task {task.task_id} is {max(factor, 1 / factor):.2g} times too "
                          f"{'low' if factor > 1 else 'high'} on this machine; go by what the probe measured", HebbWarning,
                          stacklevel=2)
    if not found:
        return
    core = sum(item.core for item in found) / len(found)
    if core < _ENOUGH:
        warnings.warn(f"the probe had {core:.0%} of a core, as other programs run on this machine: a job that has its cores to "
                      "itself is faster", HebbWarning, stacklevel=2)
    times = projected(plan.tasks, found, {item.index: plan.tasks[item.index].cost for item in found})
    ranks = ranks or os.cpu_count() or 1
    print(f"        all tasks take {sum(times) / 3600:.3g} core hours, and about {duration(makespan(times, ranks))} on {ranks} "
          "rank(s) like this one")


def _size(task) -> str:
    """What tells the cost of a task: its size and patterns, and how many temperatures it has."""
    parameters = task.model.parameters()
    parts = [f"{key} = {parameters[key]}" for key in _SIZES if parameters.get(key) is not None]
    rungs = len(task.temperature) if isinstance(task.temperature, tuple) else 1
    return ", ".join(parts) + (f", {rungs} temperatures" if rungs > 1 else f", temperature = {task.temperature:g}")
