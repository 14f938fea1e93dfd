"""A whole job: prepare its folder, run what is left of it, merge. And the same without a folder: `simulate`."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import HebbWarning
from ..progress import Progress
from ..storage import schema
from ..storage.folder import RunFolder
from ..storage.merging import is_merged, merge_into
from ..storage.results import Results
from ..storage.writer import TaskWriter
from .environment import StopRequest, collected_warnings
from .executors import Executor
from .job_file import log_of
from .plan import Plan
from .settings import TRACEBACK
from .start import Part, Start, prepare, refined
from .worker import compute, run_task

__all__ = ["Outcome", "Summary", "run_job", "simulate"]

_log = logging.getLogger("hebb")
_MINUTE = 60.0  # between two lines of the log on how far a run is



def simulate(
    model,
    temperature,
    disorder: int = 16,
    replicas: int = 2,
    sweeps: int = 2000,
    thermalize: int = 500,
    measure_every: int = 1,
    start="planted",
    dynamics: str = "metropolis",
    tempering: bool = False,
    seed: int = 1,
    order: str = "random",
    corruption: float | None = None,
    keep_spins: bool = False,
    expansion: str | None = None,
    damping: float | None = None,
    rule: str | None = None,
    learning: Mapping | None = None,
    exchange_every: int | None = None,
) -> Results:
    """Simulate model at one temperature or a list of them, here and now, and return the results.

    disorder: disorder samples per temperature (the same ones at every temperature). replicas: chains on each of them.
    thermalize, sweeps, measure_every: in sweeps of n_spins proposals. start: "planted" | "random" | "corrupted" (each
    spin flipped with probability `corruption`) | "example" (a fresh example of the first pattern, or a held-out image of
    it) | for multitasking networks "hierarchical" | "parallel" | for perceptrons "teacher" (the same as "planted"; "random" is
    the start that leads to equilibrium), of a second task "reference" | an array of +-1, (N,) or (R, N). dynamics:
    "metropolis" | "glauber" | "zero_temperature" | "plefka" (mean-field magnetisations instead of spins, with `expansion` and
    `damping` as in `hebb.sampling.plefka.Plefka`; a sweep is one parallel update) | for multitasking networks of any size
    "lumped" (the dynamics `rule` of classes of spins: "metropolis" by default, or "glauber", which takes temperature 0 as well)
    | "hubbard_stratonovich" (the same Boltzmann law, T > 0; see `hebb.sampling.lumped`) | for variational perceptrons
    "gradient" (temperature 0; a sweep is an epoch) | "hmc" (temperature 1/beta; a sweep is a trajectory), from "random" | for
    networks "backpropagation" (replicas = 1, start = "random"; a sweep is an epoch). learning: the table of these three, a
    mapping, see `hebb.sampling.learning`, `hebb.sampling.hmc` and `hebb.deep.trainer`; averages of "gradient" and
    "backpropagation" are those of the last entry of the series: the last measurement, unless there are more than 4096 of them.
    order: "random" | "sequential" choice of spins. keep_spins: keep start and final configurations (and of images one example
    and the average) in `Results.spins`.
    tempering: the temperatures, at least two, form one ladder with replica exchange every `exchange_every` sweeps (default 1),
    for "metropolis" and "glauber" (`hebb.sampling.tempering.Ladder`): the same Boltzmann laws, reached across barriers that
    keep single chains. Cold configurations then leave the planted state by way of the hot ones, which `lost` counts as usual.
    `Results.exchange` tells how it went: acceptance between neighbours, round trips, flow; a HebbWarning where it went badly.
    The numbers are those of a job file with the same keys, bit for bit.
    Raises ParameterError before computing for anything out of range.
    """
    plan = Plan.from_keywords(
        model,
        temperature,
        seed=seed,
        start=start,
        disorder=disorder,
        replicas=replicas,
        sweeps=sweeps,
        thermalize=thermalize,
        measure_every=measure_every,
        dynamics=dynamics,
        tempering=tempering,
        order=order,
        corruption=corruption,
        keep_spins=keep_spins,
        expansion=expansion,
        damping=damping,
        rule=rule,
        learning=learning,
        exchange_every=exchange_every,
    )
    found = Results.from_records(plan.index(), (compute(task) for task in plan.tasks))
    for note in found.exchange_notes:
        warnings.warn(note, HebbWarning, stacklevel=2)
    return found


@dataclass(frozen=True)
class Outcome:
    """What a rank tells rank 0 about a task; everything else is in the task's file."""

    index: int
    status: str
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Summary:
    """How a run ended. done counts finished tasks, of total, those of the whole job or of the part that was asked for; reason:
    why it stopped early ("" if not); elsewhere: tasks of other parts that are not done yet; boundaries: what a section
    [refine] has found, in words."""

    folder: Path
    total: int
    done: int
    failed: int
    reason: str = ""
    elsewhere: int = 0
    boundaries: tuple[str, ...] = ()


def run_job(
    job_file,
    executor: Executor,
    out=None,
    resume: bool = False,
    extend: bool = False,
    log: Callable[[int, int, Path, str], None] | None = None,
    part: Part | None = None,
    changes: Sequence[str] = (),
) -> Summary:
    """Run a job file on the ranks of executor; every rank calls this and gets the same summary.

    out: the run folder (default runs/<job name>). A run of the same job that is there is continued, with a HebbWarning that
    says so: finished tasks are kept, unfinished and failed ones continue from their last checkpoint. Rank 0 holds the
    lock of the folder from beginning to end, so that two runs never share one.
    resume: continue it without the warning, wait a moment for a run that was killed, and write a lost plan again.
    extend: continue it although the job has more or fewer disorder samples or points, or more sweeps, than the run in the
    folder. What both share is kept and not computed again; the end is, bit for bit, that of a new run of this job.
    part: do only these tasks, while other processes do the other parts in the same folder; who ends last merges.
    Where the job has a section [refine], points are added and their tasks done until its boundaries are known.
    changes: of keys of the job, as `--set` has them.
    log: called with (rank, number of ranks, path of log.txt, [run] log of the job) once the folder is known, to set up logging
    if wanted.
    Raises StorageError, ParameterError or DataError before anything is computed.
    """
    begun = time.time()
    with StopRequest().listening() as stop, contextlib.ExitStack() as held:
        with collected_warnings() as notes:  # there is no log yet
            start = executor.share(lambda: prepare(Path(job_file), changes, out, resume, extend, part, held, begun,
                                                    stop))
            stop.end = None if start.seconds is None else time.monotonic() + start.seconds
        plan = start.plan
        if log is not None:
            log(executor.rank, executor.size, start.path / schema.LOG_FILE, log_of(plan.text))
        for note in notes if executor.rank == 0 else ():
            _log.warning("%s", note)
        ledger = _Ledger(start, executor)
        with TaskWriter(start.path / schema.TASK_FOLDER, plan.job, executor.rank, "" if part is None else part.name) as writer:

            def work(index: int) -> Outcome:
                begun = time.monotonic()
                record = run_task(
                    plan.tasks[index],
                    start.known[index].read() if index in start.known else None,
                    checkpoint=writer.write,
                    checkpoint_every=plan.checkpoint_every,
                    stop=stop,
                )
                writer.write(record)
                return Outcome(index, record.status, time.monotonic() - begun, record.message)

            executor.run(work, start.left, ledger.report, stop)
            while plan.refine and (more := executor.share(lambda start=start: refined(start, ledger, stop))) is not None:
                start, plan = more, more.plan
                ledger.go_on(start)
                executor.run(work, start.left, ledger.report, stop)
        ledger.progress.close()
        return executor.share(lambda: _finish(start.path, ledger, stop, part))


class _Ledger:
    """Rank 0's book of what has been reported."""

    def __init__(self, start: Start, executor: Executor):
        self.failed, self.reported, self.boundaries = [], 0, []
        self.quiet, self.progress = executor.rank != 0, None
        self.go_on(start)
        self.started = self.noted = time.monotonic()
        if executor.rank == 0:
            _log.info("start: %d of %d tasks to do on %d rank(s)", len(start.left), self.total, executor.size)

    def go_on(self, start: Start) -> None:
        """Take up the tasks that are left of a plan."""
        if self.progress is not None:
            self.progress.close()
            _log.info("refined: %d points, %d of %d tasks to do", len(start.plan.points), len(start.left), start.total)
        self.plan, self.total, self.done = start.plan, start.total, start.total - len(start.left)
        self.progress = Progress(self.total, self.done, quiet=self.quiet)

    def report(self, outcome: Outcome) -> None:
        name = self.plan.tasks[outcome.index].task_id
        if outcome.status == "failed":
            self.failed.append(name)
            _log.error("task %s failed: %s", name, outcome.message.strip().splitlines()[-1])
            _log.log(TRACEBACK, "%s", outcome.message)
        else:
            _log.debug("task %s %s after %.2f s", name, outcome.status, outcome.seconds)
        self.reported += 1
        if outcome.status == "done":
            self.done += 1
            self.progress.advance()
        if time.monotonic() - self.noted >= _MINUTE:
            self.noted = time.monotonic()
            _log.info("%d of %d tasks done", self.done, self.total)


def _finish(path: Path, ledger: _Ledger, stop: StopRequest, part: Part | None) -> Summary:
    """Merge, unless the run was stopped, which may leave no time for it, or has nothing new; the end of the run in the log."""
    reason = stop.reason
    if not reason and ledger.done + len(ledger.failed) < ledger.total:
        reason = "another rank was asked to stop"
    folder, left = RunFolder.open(path), 0
    if part is not None:
        with folder.tasks() as tasks:
            left = len(tasks) - int(np.sum(tasks.done)) - len(ledger.failed)
    if not reason and not left and (ledger.reported or not is_merged(folder)):
        merged = merge_into(folder, stop)
        if merged is None:
            reason = stop.reason
        elif missing := len(folder.plan["tasks"]) - len(ledger.failed) - merged.tasks_done(folder.plan["tasks"]):
            reason = f"{missing} finished task(s) could not be believed when they were merged"
        for note in [] if merged is None else merged.exchange_notes + merged.origins.notes():
            _log.warning("%s", note)
    for boundary in ledger.boundaries:
        _log.info("%s", boundary)
    _log.info(
        "end after %.1f s: %d of %d tasks done, %d failed%s",
        time.monotonic() - ledger.started,
        ledger.done,
        ledger.total,
        len(ledger.failed),
        f"; stopped because {reason}" if reason else "",
    )
    return Summary(path, ledger.total, ledger.done, len(ledger.failed), reason, left, tuple(ledger.boundaries))
