"""One task from start (or checkpoint) to record: the only loop in which a chain meets its accumulators."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping

import numpy as np

from .. import provenance
from ..errors import StorageError
from ..sampling.accumulators import Accumulators
from ..sampling.tempering import Ladder
from ..storage.taskfile import TaskRecord
from .plan import Task

__all__ = ["compute", "run_task"]

#: Sweeps without measurement are cut into pieces of about this many seconds, so that a request to stop is heard.
_PATIENCE = 0.25


def run_task(task: Task, record: TaskRecord | None = None, **options) -> TaskRecord:
    """`compute`, with an exception inside the task turned into a failed record: its traceback and the last checkpoint.

    KeyboardInterrupt, and the StorageError of a checkpoint that cannot be written, are passed on.
    """
    begun = time.monotonic()
    record = _begin(task, record)
    before = record.seconds
    try:
        return _advance(task, record, **options)
    except StorageError:
        raise
    except Exception:
        record.status, record.message = "failed", traceback.format_exc()
        record.seconds = before + time.monotonic() - begun
        return record


def compute(task: Task, record: TaskRecord | None = None, **options) -> TaskRecord:
    """Run a task to its end, or until stop() is true, and return its record (done or unfinished).

    record: one with a snapshot, which is continued bit for bit as if it had never stopped; any other is started anew.
    options: checkpoint(record) is called about every checkpoint_every seconds (300) with a complete unfinished record.
    stop() is asked after every step, so each visit makes some progress.
    """
    return _advance(task, _begin(task, record), **options)


def _begin(task: Task, record: TaskRecord | None) -> TaskRecord:
    if record is None or record.status == "done" or not record.snapshot:
        return _new_record(task)
    record.status, record.message = "unfinished", ""
    record.provenance = _continued(record.provenance, provenance.collect())
    return record


def _continued(before: dict, now: dict) -> dict:
    """The provenance of a task that another program continues; the same one, later, changes nothing."""
    known = [before, *before.get("continued", ())]
    if any(all(item.get(name) == value for name, value in now.items() if name != "time") for item in known):
        return before
    return {**before, "continued": [*before.get("continued", ()), now]}


def _advance(
    task: Task,
    record: TaskRecord,
    *,
    checkpoint: Callable[[TaskRecord], None] | None = None,
    checkpoint_every: float = 300.0,
    stop: Callable[[], bool] = lambda: False,
) -> TaskRecord:
    visit = _Visit(task, record)
    begun = last = time.monotonic()
    before = record.seconds
    while not visit.finished:
        visit.step()
        now = time.monotonic()
        record.seconds = before + now - begun
        if visit.finished:
            break
        if stop():
            return visit.save()
        if checkpoint is not None and now - last >= checkpoint_every:
            checkpoint(visit.save())
            last = time.monotonic()
    return visit.close()


def _new_record(task: Task) -> TaskRecord:
    return TaskRecord(
        task.task_id,
        task.parameters,
        dict(task.sampling),
        task.seed,
        task.disorder,
        bin_length=task.bin_length,
        provenance=provenance.collect(),
        job=task.job,
    )


class _Visit:
    """A chain and its accumulators, at work on one record."""

    def __init__(self, task: Task, record: TaskRecord):
        self.task, self.record = task, record
        self.thermalize, self.every = task.sampling["thermalize"], task.sampling["measure_every"]
        self.total = self.thermalize + task.n_measurements * self.every
        self.chain, self.accumulators = task.chain(), Accumulators(task.bin_length)
        self.piece = 1  # sweeps per step while nothing is measured
        if record.snapshot:
            self.chain.restore(_without("chain/", record.snapshot))
            self.accumulators.restore(_without("bins/", record.snapshot), record.series)
        elif task.sampling["keep_spins"]:
            record.spins = {"planted": self.chain.planted.copy(), "start": self.chain.spins.copy()}
            images = self.chain.instance.images
            if images is not None and images.examples is not None:
                record.spins |= {"example": images.examples[0, 0], "average": images.examples[0].mean(axis=0)}

    @property
    def finished(self) -> bool:
        return self.chain.sweeps_done >= self.total

    def step(self) -> None:
        """Advance to the next measurement and take it, or advance for about _PATIENCE seconds towards it."""
        done = self.chain.sweeps_done
        left = self.thermalize - done if done < self.thermalize else self.every - (done - self.thermalize) % self.every
        begun = time.perf_counter()
        self.chain.advance(min(left, self.piece))
        if time.perf_counter() - begun < _PATIENCE / 2:
            self.piece *= 2
        elif self.piece > 1 and time.perf_counter() - begun > _PATIENCE:
            self.piece //= 2
        measured = self.chain.sweeps_done - self.thermalize
        if measured > 0 and measured % self.every == 0:
            for name, value in self.chain.measure().items():
                if np.size(value):  # one replica has no pairs
                    self.accumulators.add(name, value)

    def save(self) -> TaskRecord:
        """The record of this moment, with what it takes to continue."""
        snapshot = {f"chain/{name}": np.asarray(array) for name, array in self.chain.snapshot().items()}
        snapshot |= {f"bins/{name}": array for name, array in self.accumulators.snapshot().items()}
        return self._fill(snapshot)

    def close(self) -> TaskRecord:
        """The record of the finished task."""
        final = {"final": self.chain.spins.copy()} if self.task.sampling["keep_spins"] else {}
        record = self._fill({})
        record.status, record.spins = "done", record.spins | final
        return record

    def _fill(self, snapshot: dict[str, np.ndarray]) -> TaskRecord:
        """The record brought up to this moment at once: whatever fails before leaves it at the last checkpoint."""
        series, sweeps_done = self.accumulators.bins(), int(self.chain.sweeps_done)
        lost, acceptance = bool(self.chain.lost), float(self.chain.acceptance)
        record = self.record
        record.series, record.sweeps_done, record.snapshot = series, sweeps_done, snapshot
        record.lost, record.acceptance = lost, acceptance
        record.rungs = self.chain.rungs if isinstance(self.chain, Ladder) else {}
        return record


def _without(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
