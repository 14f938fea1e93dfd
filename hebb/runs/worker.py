"""One task from start (or checkpoint) to record: the only loop in which a chain meets its accumulators."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping

import numpy as np

from .. import provenance
from ..errors import StorageError
from ..sampling.accumulators import Accumulators
from ..storage.taskfile import TaskRecord
from .plan import Task

__all__ = ["compute", "run_task"]

#: Sweeps without measurement are cut into pieces of about this many seconds, so that a request to stop is heard.
_PATIENCE = 0.25


def run_task(
    task: Task,
    record: TaskRecord | None = None,
    *,
    checkpoint: Callable[[TaskRecord], None] | None = None,
    checkpoint_every: float = 300.0,
    stop: Callable[[], bool] = lambda: False,
) -> TaskRecord:
    """Run a task to its end, or until stop() is true, and return its record (done, unfinished or failed).

    record: an unfinished record to continue, bit for bit as if it had never stopped; any other is started anew.
    checkpoint(record) is called about every checkpoint_every seconds with a complete unfinished record. stop() is asked
    after every step, so each visit makes some progress. An exception inside the task becomes a failed record with its
    traceback; KeyboardInterrupt, and the StorageError of a checkpoint that cannot be written, are passed on.
    """
    begun = time.monotonic()
    try:
        return compute(task, record, checkpoint=checkpoint, checkpoint_every=checkpoint_every, stop=stop)
    except StorageError:
        raise
    except Exception:
        failed = _new_record(task)
        failed.status, failed.message, failed.seconds = "failed", traceback.format_exc(), time.monotonic() - begun
        return failed


def compute(
    task: Task,
    record: TaskRecord | None = None,
    *,
    checkpoint: Callable[[TaskRecord], None] | None = None,
    checkpoint_every: float = 300.0,
    stop: Callable[[], bool] = lambda: False,
) -> TaskRecord:
    """`run_task` without its safety net: exceptions come through."""
    if record is None or record.status != "unfinished" or not record.snapshot:
        record = _new_record(task)
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
        record = self._fill()
        record.snapshot = {f"chain/{name}": np.asarray(array) for name, array in self.chain.snapshot().items()}
        record.snapshot |= {f"bins/{name}": array for name, array in self.accumulators.snapshot().items()}
        return record

    def close(self) -> TaskRecord:
        """The record of the finished task."""
        record = self._fill()
        record.status, record.snapshot = "done", {}
        if self.task.sampling["keep_spins"]:
            record.spins["final"] = self.chain.spins.copy()
        return record

    def _fill(self) -> TaskRecord:
        self.record.series = self.accumulators.bins()
        self.record.sweeps_done = int(self.chain.sweeps_done)
        self.record.lost, self.record.acceptance = bool(self.chain.lost), float(self.chain.acceptance)
        return self.record


def _without(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
