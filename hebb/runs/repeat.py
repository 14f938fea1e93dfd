"""Tasks of a finished run computed once more, here and alone: they must agree with what is in their files, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ParameterError
from ..storage import schema
from ..storage.folder import RunFolder
from ..storage.joining import differences
from .plan import Plan
from .worker import compute

__all__ = ["repeated"]


def repeated(path, count: int) -> Iterator[tuple[str, list[str]]]:
    """(task id, names of what differs) of `count` finished tasks chosen at random, or of all if there are fewer.

    Raises StorageError where there is no run, ParameterError where nothing is finished or its job file is not the one that was
    run. Cost: that of the tasks.
    """
    folder = RunFolder.open(Path(path))
    plan = Plan.from_toml(folder.path / schema.JOB_FILE)
    if plan.index()["digest"] != folder.plan["digest"]:
        raise ParameterError(f"{folder.path / schema.JOB_FILE} is not the job of {schema.PLAN_FILE} beside it; put back the "
                             "file that was run")
    plan = plan.at_points_of(folder.plan)
    with folder.tasks() as tasks:
        done = np.flatnonzero(tasks.done).tolist()
        if not done:
            raise ParameterError(f"{folder.path} has no finished task that could be repeated; run it first")
        for index in random.SystemRandom().sample(done, min(count, len(done))):
            yield plan.tasks[index].task_id, differences(tasks.record(index), compute(plan.tasks[index]))
