"""What comes before the first task: the job is checked, its folder made or found, and what is left to do counted."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DamagedFile, HebbError, HebbWarning, ParameterError, StorageError
from ..params import shown
from ..storage import schema
from ..storage.damage import named
from ..storage.folder import RunFolder
from ..storage.locks import lock, one_at_a_time
from ..storage.merging import merge
from ..storage.tasks import Source
from .environment import deadline
from .job_file import read as job_file_text
from .plan import Plan
from .worker import longer

__all__ = ["Part", "Start", "prepare", "refined", "survey"]

#: Seconds in which the ranks of a run that was killed must have died, so that --resume may follow at once.
_PATIENCE = 5.0
_SWEEPS = "sampling.sweeps"  # of all settings the one that may grow
_ATTEMPTS = 5  # to move aside what is damaged, behind which more may come to light
#: Seconds in which other parts of a job must have made the folder ready.
_READY = 120.0


@dataclass(frozen=True)
class Part:
    """Part `number` (from 1) of `of` parts of a job, as job arrays of batch systems run them."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part in "3/8". ParameterError for anything else."""
        found = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ParameterError(f"--part {shown(text)} is not a part like 3/8, the third of eight; give I/N with 1 <= I <= N")
        return cls(int(found[1]), int(found[2]))

    @property
    def name(self) -> str:
        return f"{self.number}of{self.of}"

    def of_tasks(self, order: np.ndarray) -> np.ndarray:
        """Those of the tasks in this order that belong to it: all parts get long and short ones."""
        return order[self.number - 1 :: self.of]

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Start:
    """What rank 0 tells the others when a run begins: the plan and the folder, how many tasks are to be done in all and the
    numbers of those that are left, the longest first, where those of them lie that can be continued, and seconds to compute
    (None: no limit). No other rank reads plan.json or looks at tasks."""

    plan: Plan
    path: Path
    total: int
    left: list[int]
    known: dict[int, Source]
    seconds: float | None


def prepare(job_file: Path, changes: Sequence[str], out, resume: bool, extend: bool, part: Part | None,
            held: contextlib.ExitStack, begun: float, stop: Callable[[], bool]) -> Start:
    """Check the job and its folder, whose lock is left in held. begun: time.time() of the beginning, from which the wall time
    counts. Raises StorageError, ParameterError or DataError before anything is computed."""
    plan = Plan.from_text(job_file_text(job_file, changes), str(job_file))
    plan.require_memory()
    path = _folder_of(plan, out)
    if part is not None and extend:
        raise ParameterError(f"--extend with --part {part}: only a whole run can change the plan of its folder; extend it with "
                             "one process (a wall time of 00:00:01 ends it at once), then start the parts")
    if part is not None and plan.refine is not None:
        raise ParameterError(f"--part {part}: [refine] asks for points where all others are done; run the job as a whole")
    with one_at_a_time(path, _READY) if part else contextlib.nullcontext():
        held.enter_context(lock(path, _PATIENCE if resume or extend else 0.0, "" if part is None else part.name))
        if extend:
            _extend(plan, path)
        folder = _continued(plan, path, job_file) if resume or extend else _run_of(plan, path, job_file)
        if folder is None:
            folder, resume = RunFolder.create(path, plan.index(), plan.text), True
        if (now := plan.at_points_of(folder.plan)) is not plan:  # a run has added points
            if plan.refine is None:
                folder = folder.grown(plan.index(), plan.text)
            else:
                plan = now
        folder.require_writable()
        folder.upgrade()
        if part is None:
            folder.clear_leftovers()
    order = np.array(plan.longest_first())
    mine = order if part is None else part.of_tasks(order)
    done, known = _found(folder, stop, None if part is None else mine)
    left = mine[~done[mine]]
    if not resume and not extend and part is None:
        warnings.warn(f"{path} holds a run of this job, {len(mine) - len(left)} of {len(mine)} tasks done, and is continued; "
                      "to start afresh, choose another folder with --out or remove this one", HebbWarning, stacklevel=2)
    end = deadline(plan.walltime, begun)
    return Start(plan, path, len(mine), left.tolist(), known, None if end is None else end - time.time())


def _found(folder: RunFolder, stop: Callable[[], bool], mine: np.ndarray | None) -> tuple[np.ndarray, dict[int, Source]]:
    """(n,) bool, which tasks are done, and where those of the others lie that can be continued. What is damaged is moved aside.
    mine: the tasks of a part of the job, which looks at these only and moves nothing: others are at work in the folder."""
    for attempt in itertools.count():
        with folder.tasks() as tasks:
            tasks.check(stop, mine)
            if tasks.damaged and attempt == _ATTEMPTS:
                raise StorageError(f"{named(tasks.damaged)}; move it away by hand, and run the job again")
            again = len(tasks.unbelievable if mine is None else tasks.unbelievable & {*mine.tolist()})
            if tasks.damaged and mine is None and not stop():
                place = tasks.set_aside()
                warnings.warn(f"{named(tasks.damaged)}; moved to {place}, and {again} task(s) are repeated", HebbWarning,
                              stacklevel=3)
                continue
            if again and mine is not None:
                warnings.warn(f"{named(tasks.damaged)}; {again} task(s) are repeated", HebbWarning, stacklevel=3)
            if mine is None and not stop():
                tasks.repair()
            return tasks.done, tasks.known()


def refined(start: Start, ledger, stop: Callable[[], bool]) -> Start | None:
    """What is to be done next where points are added, None at the end: then ledger.boundaries has what was found. ledger: of
    what was done (`job._Ledger`)."""
    if stop() or ledger.failed or ledger.done < ledger.total:
        return None
    plan, folder = start.plan, RunFolder.open(start.path)
    results = merge(start.path, plan.refine.needed)
    if results.tasks_done(folder.plan["tasks"]) < start.total:  # which the merging at the end tells as well
        return None
    points = plan.refine.more(plan.points, results)
    if not points:
        ledger.boundaries = plan.refine.sentences(plan.points, results)
        return None
    plan = plan.with_points(points)
    with folder.grown(plan.index(), plan.text).tasks() as tasks:
        left = [index for index in plan.longest_first() if not tasks.done[index]]
        return Start(plan, start.path, len(plan.tasks), left, tasks.known(), None)


def _extend(plan: Plan, path: Path) -> None:
    """Give the run in a folder, if there is one, the plan of this job. StorageError where its numbers would be others."""
    if not (path / schema.PLAN_FILE).exists():
        return
    folder, index = RunFolder.open(path), plan.index()
    if folder.plan["digest"] == index["digest"]:
        return
    different = folder.differences(index)
    if different == [_SWEEPS]:
        if reason := _why_not(folder, plan):
            raise StorageError(f"{path} cannot be extended to this job: {reason}")
    elif different:
        raise StorageError(f"{path} cannot be extended to this job: {', '.join(different)} differ(s), on which every number "
                           "depends; choose another folder with --out")
    before, after = {task[0] for task in folder.plan["tasks"]}, {task[0] for task in index["tasks"]}
    told = [f"from {len(before)} to {len(after)} tasks: {len(after - before)} are new, {len(before - after)} no longer belong "
            "to it"]
    if different:
        sweeps = [job["sampling"]["sweeps"] for job in (folder.plan["job"], index["job"])]
        told.insert(0, f"from {sweeps[0]} to {sweeps[1]} sweeps")
    folder.grown(index, plan.text)
    warnings.warn(f"{path} grows {', '.join(told)}", HebbWarning, stacklevel=2)


def _why_not(folder: RunFolder, plan: Plan) -> str:
    """Why the tasks of a run cannot get the sweeps of another job, "" if they can. Back to fewer they can while nothing of the
    longer job has begun."""
    reason = longer(folder.plan["job"]["sampling"], plan.job["sampling"])
    if reason and plan.job["sampling"]["sweeps"] < folder.plan["job"]["sampling"]["sweeps"]:
        with folder.tasks() as tasks:
            return reason if tasks.done.any() or tasks.files else ""
    return reason


def _continued(plan: Plan, path: Path, job_file) -> RunFolder | None:
    """The run to be continued in a folder, whose plan is written again where it is lost or damaged; None if there is none."""
    tasks, ours = path / schema.TASK_FOLDER, (path / schema.JOB_FILE).exists()  # without it nothing says that hebb ran here
    try:
        folder = _run_of(plan, path, job_file)
        if folder is not None or not (ours and tasks.is_dir() and any(tasks.iterdir())):
            return folder
        reason = f"{path / schema.PLAN_FILE} is missing"
    except DamagedFile as error:
        if not ours:
            raise
        reason = str(error).rpartition("; ")[0]
    if _digest_of(path / schema.JOB_FILE) != plan.index()["digest"]:
        raise StorageError(f"{reason}, and {path / schema.JOB_FILE} is a different job than {job_file}; choose another folder "
                           "with --out, or continue that job")
    warnings.warn(f"{reason}; it is written again from {job_file}", HebbWarning, stacklevel=2)
    return RunFolder.rewrite(path, plan.index(), plan.text)


def _digest_of(job_file: Path) -> str:
    """The digest of a job file, "" if it is none."""
    try:
        return Plan.from_toml(job_file).index()["digest"]
    except HebbError:
        return ""


def survey(plan: Plan, job_file, out=None) -> str:
    """A sentence about what is in the folder of a run that has not begun, "" if nothing is. Nothing is written.

    Raises StorageError where `run_job` would, with resume or without.
    """
    path = _folder_of(plan, out)
    folder = _run_of(plan, path, job_file)
    if folder is None:
        RunFolder.require_free(path, plan.text)
        return ""
    with folder.tasks() as tasks:
        done, total, damaged = int(np.sum(tasks.done)), len(tasks), len(tasks.damaged)
    left = f" and repeats {damaged} whose files are damaged" if damaged else ""
    return f"{path} holds a run of this job, {done} of {total} tasks done; `hebb run` continues it{left}"


def _folder_of(plan: Plan, out) -> Path:
    return Path(out) if out is not None else Path("runs") / plan.name


def _run_of(plan: Plan, path: Path, job_file) -> RunFolder | None:
    """The run in a folder, None if there is none; StorageError if it is another job's."""
    try:
        if not (path / schema.PLAN_FILE).exists():
            return None
    except OSError:  # who makes the folder is told what is wrong with it
        return None
    folder = RunFolder.open(path)
    if folder.plan["digest"] != plan.index()["digest"]:
        different = folder.differences(plan.index())
        possible = not different or different == [_SWEEPS] and not _why_not(folder, plan)
        remedy = ", or take over what both share with --extend" if possible else ""
        raise StorageError(f"{path} holds a different job than {job_file}; choose another folder with --out{remedy}")
    return folder
