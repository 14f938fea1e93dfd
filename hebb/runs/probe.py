"""What tasks cost on this machine, measured: a few of them are run for some seconds, and nothing is written.

A task is prepared and advanced by `worker.compute`, as a run does it. What is not reached in the time is projected: sweeps
before the first measurement and sweeps with measurements are timed apart, and each counts in proportion to its estimate.
"""

from __future__ import annotations

import functools
import heapq
import math
import multiprocessing
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .. import provenance
from ..errors import HebbError, HebbWarning, ParameterError
from ..sampling.options import TRAINING
from ..storage.taskfile import TaskRecord
from .cost import seconds_of
from .plan import Plan, Task
from .worker import compute

__all__ = ["Probed", "chosen", "makespan", "measured", "probe", "projected"]

_MOST_PROBED = 3
_REPEATED = 5
_GRACE = 2.0  # seconds for the sweep and the preparation that were under way when the time was up
_START = 120.0  # seconds for a process to begin


@dataclass(frozen=True)
class Probed:
    """One probed task. preparation, seconds: of the whole task, in seconds on one core. rate: sweeps per second after the
    preparation, those with measurements where there were any. finished: whether the task came to its end, so that nothing is
    projected. core: the share of a core that the probe had, below 1 where other programs took the rest."""

    index: int
    preparation: float
    rate: float
    seconds: float
    finished: bool
    core: float = 1.0


def probe(plan: Plan, seconds: float) -> list[Probed]:
    """Measure up to three tasks of different cost for these seconds in all, the longest first.

    They run in a process of their own, which is ended when the time is up wherever it is: a task whose preparation or first
    sweep takes longer is missing. Raises what a task raises.
    """
    tasks = [(index, plan.tasks[index]) for index in chosen(plan.tasks)]
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_alone, args=(there, tasks, seconds), daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the other process can ignore it
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    found: list[Probed] = []
    try:
        _receive(here, _START)
        end = time.monotonic() + seconds + _GRACE
        while len(found) < len(tasks) and (item := _receive(here, end - time.monotonic())) is not None:
            if isinstance(item, HebbError):
                raise item
            found.append(item)
        return found
    finally:
        process.kill()
        process.join()


def _receive(connection, seconds: float):
    """What the other process sends; None if it sends nothing in this time or has ended."""
    try:
        return connection.recv() if connection.poll(max(0.0, seconds)) else None
    except EOFError:
        return None


def _alone(connection, tasks: list[tuple[int, Task]], seconds: float) -> None:
    """The other process, which leaves Ctrl-C to the first one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _probe(connection, tasks, seconds)


def _probe(connection, tasks: list[tuple[int, Task]], seconds: float) -> None:
    """Send a Probed for each task, each within its share of the time that is left."""
    warnings.simplefilter("ignore", HebbWarning)  # the plan has said them
    provenance.collect()
    connection.send("ready")
    end = time.monotonic() + seconds
    for place, (index, task) in enumerate(tasks):
        try:
            if (item := measured(index, task, (end - time.monotonic()) / (len(tasks) - place))) is not None:
                connection.send(item)
        except HebbError as error:
            connection.send(error)
            return
        except Exception as error:
            connection.send(ParameterError(f"task {task.task_id} fails after it has begun ({type(error).__name__}: {error}); a "
                                           "run would say where, in its log.txt"))
            return


def chosen(tasks: Iterable[Task]) -> list[int]:
    """Places of up to three tasks: the longest, the shortest, and one between them; of equal cost only one."""
    costs: dict[float, int] = {}
    for place, task in enumerate(tasks):
        costs.setdefault(float(f"{task.cost:.2g}"), place)
    falling = sorted(costs, reverse=True)
    last = len(falling) - 1
    return [costs[falling[k]] for k in dict.fromkeys((0, last, last // 2))][:_MOST_PROBED]


def measured(index: int, task: Task, seconds: float) -> Probed | None:
    """Run a task for about these seconds, after its preparation at least one step of it. None where drawing a reference takes
    longer."""
    begun = time.monotonic()
    if (reference := _reference(task, seconds)) is None:
        return None
    drawn = time.monotonic() - begun if reference else 0.0
    found = _measured(index, task, max(seconds - drawn, 0.3 * seconds), reference)
    return replace(found, preparation=found.preparation + drawn, seconds=found.seconds + drawn)


def _reference(task: Task, seconds: float) -> dict | None:
    """The part of a snapshot that holds the finished preparation of a disorder sample, {} where it needs none; None if that
    takes longer than these seconds."""
    preparation = task.draw().preparation(task.temperature, task.seed) if task.model.preparation_pairs else None
    if preparation is None:
        return {}
    end, piece = time.monotonic() + seconds, 1
    while not preparation.ready:
        if time.monotonic() > end:
            return None
        begun = time.monotonic()
        preparation.advance(piece)
        piece = 2 * piece if time.monotonic() - begun < 0.1 else piece
    return {f"preparation/{name}": array for name, array in preparation.snapshot().items()}


def _measured(index: int, task: Task, seconds: float, reference: dict) -> Probed:
    spins = task.sampling["dynamics"] not in (*TRAINING, "hmc")
    share = seconds / 3 if spins else seconds
    run = functools.partial(_run, reference=reference) if reference else _run
    whole = run(task, share)
    if whole.finished:
        whole = _typical(task, whole, share - whole.preparation - whole.seconds, run)
        return Probed(index, whole.preparation, whole.sweeps / whole.seconds, whole.preparation + whole.seconds, True,
                      whole.core)
    sampling = task.sampling
    before, counted = sampling["thermalize"], sampling["sweeps"]
    if not spins:  # training runs through its tasks in order, and begins again where it is cut
        reached = _work(task, min(whole.sweeps, before), max(0, whole.sweeps - before))
        total = whole.seconds * _work(task, before, counted) / reached
        return Probed(index, whole.preparation, whole.sweeps / whole.seconds, whole.preparation + total, False, whole.core)
    series = run(_variant(task, thermalize=0), share)
    total = series.seconds * (_work(task, before, counted) - _work(task, before, 0)) / _work(task, 0, series.sweeps)
    parts = [whole, series]
    if before:
        thermal = run(_variant(task, sweeps=sampling["measure_every"]), share)
        swept = min(thermal.sweeps, before)
        total += thermal.seconds * _work(task, before, 0) / _work(task, swept, thermal.sweeps - swept)
        parts.append(thermal)
    preparation = min(part.preparation for part in parts)
    core = sum(part.core for part in parts) / len(parts)
    return Probed(index, preparation, series.sweeps / series.seconds, preparation + total, False, core)


@dataclass(frozen=True)
class _Part:
    preparation: float
    seconds: float
    sweeps: int
    finished: bool
    core: float


def _run(task: Task, seconds: float, reference: Mapping = MappingProxyType({})) -> _Part:
    begun, used, known = time.monotonic(), time.process_time(), []
    if reference:
        known = [TaskRecord(task.task_id, task.parameters, dict(task.sampling), task.seed, task.disorder,
                            bin_length=task.bin_length, snapshot=dict(reference))]
    record = compute(task, *known, stop=lambda: time.monotonic() - begun >= seconds)
    spent = max(time.monotonic() - begun, 1e-9)
    core = (time.process_time() - used) / spent
    return _Part(max(0.0, spent - record.seconds), max(record.seconds, 1e-9), record.sweeps_done, record.status == "done", core)


def _typical(task: Task, first: _Part, seconds: float, run: Callable) -> _Part:
    """The median of a few more runs of a short task, as far as these seconds go: the first one pays for what all later ones
    find in memory."""
    end, parts = time.monotonic() + seconds, []
    while len(parts) < _REPEATED and time.monotonic() + first.preparation + first.seconds < end:
        parts.append(run(task, math.inf))
    return sorted(parts, key=lambda part: part.preparation + part.seconds)[len(parts) // 2] if parts else first


def _variant(task: Task, **changes) -> Task:
    """The same task with other numbers of sweeps."""
    return replace(task, sampling={**task.sampling, **changes})


def _work(task: Task, thermalize: int, sweeps: int) -> float:
    """The estimate of this many sweeps without and with measurements, without the preparation of spins."""
    def estimate(**numbers: int) -> float:
        return seconds_of(task.model, {**task.sampling, **numbers})

    work = estimate(thermalize=thermalize, sweeps=sweeps)
    return work if task.sampling["dynamics"] == "hmc" else work - estimate(thermalize=0, sweeps=0)


def projected(tasks: Iterable[Task], found: Iterable[Probed], costs: Mapping[int, float]) -> list[float]:
    """Seconds of every task: its estimate, corrected like the probed task whose estimate is nearest. costs: the estimates of
    the probed tasks by their index."""
    factors = [(math.log(costs[item.index]), item.seconds / costs[item.index]) for item in found]
    known: dict[float, float] = {}
    for task in tasks:
        if task.cost not in known:
            known[task.cost] = min(factors, key=lambda pair: abs(pair[0] - math.log(task.cost)))[1]
    return [task.cost * known[task.cost] for task in tasks]


def makespan(seconds: Iterable[float], ranks: int) -> float:
    """The time until the last rank is done, if the longest tasks are handed out first to whoever is free."""
    busy = [0.0] * ranks
    for item in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + item)
    return max(busy)
