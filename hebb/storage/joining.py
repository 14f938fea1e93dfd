"""Runs of one job on different machines become one: what is finished in another folder is taken over."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import HebbWarning, StorageError
from .damage import named
from .folder import RunFolder
from .locks import lock
from .taskfile import TaskRecord
from .tasks import Tasks
from .writer import TaskWriter

__all__ = ["Joined", "differences", "take_over"]

_GROUPS = ("series", "spins", "rungs")
_NUMBERS = ("bin_length", "sweeps_done", "lost", "acceptance")


@dataclass(frozen=True)
class Joined:
    """Numbers of tasks: taken over, checkpoints taken over, finished in both folders, and task id -> names of what differs
    between these two results, which should be the same bits."""

    taken: int
    checkpoints: int
    both: int
    different: dict[str, list[str]]


def take_over(folder: RunFolder, other: RunFolder) -> Joined:
    """Put what another run of the same job has and this one lacks into this folder; the other one is left as it is.

    The other job may have other disorder samples and points, of which those count that this one has, too. What cannot be
    believed there is left out with a HebbWarning. Raises StorageError where seed or settings differ, or a run is at work here.
    """
    if folder.path.resolve() == other.path.resolve():
        raise StorageError(f"{folder.path} and {other.path} are the same folder; give another one")
    if different := folder.differences(other.plan):
        raise StorageError(f"{other.path} is of another job than {folder.path}: {', '.join(different)} differ(s), on which "
                           "every number depends; merge it by itself")
    with lock(folder.path), folder.tasks() as mine, other.tasks() as theirs:
        folder.upgrade()
        mine.check()
        theirs.check()
        numbers = {task[0]: index for index, task in enumerate(other.plan["tasks"])}
        pairs = [(index, numbers[task[0]]) for index, task in enumerate(folder.plan["tasks"]) if task[0] in numbers]
        with TaskWriter(folder.task_folder, folder.plan["job"], part="joined") as writer:
            joined = _joined(mine, theirs, pairs, writer)
    if theirs.damaged:
        warnings.warn(f"{named(theirs.damaged)}; left out", HebbWarning, stacklevel=2)
    return joined


def _joined(mine: Tasks, theirs: Tasks, pairs: list[tuple[int, int]], writer: TaskWriter) -> Joined:
    taken = checkpoints = both = 0
    different = {}
    for here, there in pairs:
        if mine.done[here] and theirs.done[there]:
            both += 1
            if found := differences(mine.record(here), theirs.record(there)):
                different[mine.plan["tasks"][here][0]] = found
        elif theirs.done[there]:
            writer.write(theirs.record(there, state=True))
            taken += 1
        elif there in theirs.files and theirs.progress(there) > mine.progress(here):
            writer.write(theirs.record(there, state=True))
            checkpoints += 1
    return Joined(taken, checkpoints, both, different)


def differences(one: TaskRecord, other: TaskRecord) -> list[str]:
    """Names of numbers and arrays in which two records of a task differ by any bit."""
    found = [name for name in _NUMBERS if not _alike(np.asarray(getattr(one, name)), np.asarray(getattr(other, name)))]
    for group in _GROUPS:
        left, right = getattr(one, group), getattr(other, group)
        found += [f"{group}/{name}" for name in sorted({*left, *right})
                  if name not in left or name not in right or not _alike(np.asarray(left[name]), np.asarray(right[name]))]
    return found


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
