"""One task from start (or checkpoint) to record: the only loop in which a chain meets its accumulators."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from .. import provenance
from ..errors import ParameterError, StorageError
from ..params import digest, shown
from ..sampling.accumulators import MAX_BINS, Accumulators, bin_length_for
from ..sampling.tempering import Ladder
from ..storage.taskfile import TaskRecord
from .plan import Task

__all__ = ["compute", "longer", "run_task"]

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

    record: one with a snapshot, which is continued bit for bit as if it had never stopped; any other is started anew. One of
    fewer sweeps, done or not, is continued as if it had been longer from the start, where `longer` has nothing against it;
    ParameterError otherwise. A record that is done keeps its final state for that.
    options: checkpoint(record) is called about every checkpoint_every seconds (300) with a complete unfinished record.
    stop() is asked after every step, so each visit makes some progress.
    """
    return _advance(task, _begin(task, record), **options)


def longer(before: Mapping, after: Mapping, bin_length: int | None = None) -> str:
    """Why a task with the settings `before` cannot be continued under the settings `after`, in one sentence; "" where it can.

    Both as in `TaskRecord.sampling`. Only sweeps may differ, and grow; the number of disorder samples is not asked for.
    bin_length: measurements in a bin of the task before, by default as many as a run would put there.
    """
    for name in sorted({*before, *after} - {"sweeps", "disorder"}):
        old, new = before.get(name), after.get(name)
        if digest({name: old}) != digest({name: new}):
            return (f"{name} = {shown(new)} cannot continue tasks that were run with {name} = {shown(old)}; leave it as it "
                    "was, or choose another folder")
    old, new, every = before["sweeps"], after["sweeps"], after["measure_every"]
    if new < old:
        return f"sweeps = {new} is less than the {old} that were run; give at least {old}, or choose another folder"
    length, needed = bin_length or bin_length_for(old // every), bin_length_for(new // every)
    if length not in (1, needed):
        most = length * MAX_BINS * every + every - 1
        return (f"sweeps = {new} needs means of {needed} measurements, and means of {length} were kept of {old} sweeps; give "
                f"sweeps from {old} to {most}, or choose another folder")
    return ""


def _begin(task: Task, record: TaskRecord | None) -> TaskRecord:
    if record is None or not record.snapshot or (record.task_id, record.seed) != (task.task_id, task.seed):
        return _new_record(task)
    if reason := longer(record.sampling, task.sampling, record.bin_length):
        raise ParameterError(f"task {task.task_id}: {reason}")
    if record.sampling["sweeps"] < task.sampling["sweeps"]:
        record = _lengthened(task, record)
    elif record.status == "done":
        return record
    record.status, record.message = "unfinished", ""
    record.provenance = _continued(record.provenance, provenance.collect())
    return record


def _lengthened(task: Task, record: TaskRecord) -> TaskRecord:
    """The record as a longer task would have left it at this moment."""
    record = replace(record, sampling=dict(task.sampling), job=task.job)
    if record.bin_length == task.bin_length:
        return record
    accumulators = Accumulators(task.bin_length)
    accumulators.replay(record.series)
    record.series, record.bin_length = accumulators.bins(), task.bin_length
    record.snapshot = {name: array for name, array in record.snapshot.items() if not name.startswith("bins/")}
    record.snapshot |= _with_prefix("bins/", accumulators.snapshot())
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
    """A chain and its accumulators, at work on one record.

    Before the chain comes the `preparation` of its disorder sample, if it needs any, which is stopped and kept like a chain.
    """

    def __init__(self, task: Task, record: TaskRecord):
        self.task, self.record = task, record
        self.thermalize, self.every = task.sampling["thermalize"], task.sampling["measure_every"]
        self.total = self.thermalize + task.n_measurements * self.every
        self.accumulators = Accumulators(task.bin_length)
        self.piece = 1  # sweeps per step while nothing is measured
        self.chain, self.preparation = None, None
        if task.model.preparation_pairs:
            self.preparation = task.draw().preparation(task.temperature, task.seed)
            if prepared := _without("preparation/", record.snapshot):
                self.preparation.restore(prepared)
            if self.preparation.ready:
                self._meet(self.preparation.instance)
        else:
            self._meet(task.draw())

    def _meet(self, instance) -> None:
        """The chain on a disorder sample that is prepared: where the record has it, or at its start."""
        task, record, self.piece = self.task, self.record, 1
        self.chain = task.chain(instance)
        if chain := _without("chain/", record.snapshot):
            self.chain.restore(chain)
            self.accumulators.restore(_without("bins/", record.snapshot), record.series)
        elif task.sampling["keep_spins"]:
            record.spins = {"planted": self.chain.planted.copy(), "start": self.chain.spins.copy()}
            images = self.chain.instance.images
            if images is not None and images.examples is not None:
                record.spins |= {"example": images.examples[0, 0], "average": images.examples[0].mean(axis=0)}

    @property
    def finished(self) -> bool:
        return self.chain is not None and self.chain.sweeps_done >= self.total

    def step(self) -> None:
        """Advance to the next measurement and take it, or advance for about _PATIENCE seconds towards it."""
        if self.chain is None:
            self._advance(self.preparation, self.piece)
            if self.preparation.ready:
                self._meet(self.preparation.instance)
            return
        done = self.chain.sweeps_done
        left = self.thermalize - done if done < self.thermalize else self.every - (done - self.thermalize) % self.every
        self._advance(self.chain, min(left, self.piece))
        measured = self.chain.sweeps_done - self.thermalize
        if measured > 0 and measured % self.every == 0:
            for name, value in self.chain.measure().items():
                if np.size(value):  # one replica has no pairs
                    self.accumulators.add(name, value)

    def _advance(self, chain, n_sweeps: int) -> None:
        """So many sweeps; the next piece is longer or shorter by what they took."""
        begun = time.perf_counter()
        chain.advance(n_sweeps)
        if time.perf_counter() - begun < _PATIENCE / 2:
            self.piece *= 2
        elif self.piece > 1 and time.perf_counter() - begun > _PATIENCE:
            self.piece //= 2

    def save(self) -> TaskRecord:
        """The record of this moment, with what it takes to continue."""
        snapshot = {} if self.preparation is None else _with_prefix("preparation/", self.preparation.snapshot())
        if self.chain is None:  # a chain that the record has already, of a version that did not keep its reference, stays
            others = {name: array for name, array in self.record.snapshot.items() if not name.startswith("preparation/")}
            self.record.snapshot = others | snapshot
            return self.record
        snapshot |= _with_prefix("chain/", self.chain.snapshot())
        return self._fill(snapshot | _with_prefix("bins/", self.accumulators.snapshot()))

    def close(self) -> TaskRecord:
        """The record of the finished task, which keeps its last state for a longer one."""
        final = {"final": self.chain.spins.copy()} if self.task.sampling["keep_spins"] else {}
        record = self.save()
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


def _with_prefix(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: np.asarray(array) for name, array in arrays.items()}


def _without(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
