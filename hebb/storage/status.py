"""How far a run is, from its files alone: at any time, also while it runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from . import schema
from .coordinates import Coordinates
from .folder import RunFolder

__all__ = ["PointStatus", "Status", "status_of"]


@dataclass
class PointStatus:
    """Tasks of one point by what they are at: done; thermalizing or measuring (at their last checkpoint); failed; waiting,
    without a file. lost: tasks whose planted state was left. where: the coordinates of the point."""

    where: dict
    done: int = 0
    measuring: int = 0
    thermalizing: int = 0
    failed: int = 0
    waiting: int = 0
    damaged: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Status:
    """A run. points: of a temperature ladder each of its temperatures has the state of the whole. tasks: their number; counts
    by state as in `PointStatus`, over tasks. seconds: of computing, all ranks together. running: whether a process holds the
    folder. tasks_per_hour: over the last 100 tasks that were done, None before the second of them; remaining_seconds: of a run
    that goes on at that rate, None where it does not run or the rate is not known. unfinished: task id -> sweeps at its
    last checkpoint; failures: task id -> the last line of its traceback; damaged: task id -> why a file cannot be believed.
    """

    name: str
    tasks: int
    counts: dict[str, int]
    points: list[PointStatus]
    seconds: float
    running: bool
    tasks_per_hour: float | None
    remaining_seconds: float | None
    unfinished: dict[str, int]
    failures: dict[str, str]
    damaged: dict[str, str]
    ladders: list[dict]

    def plain(self) -> dict:
        """The same as data for JSON, without ladders."""
        return {name: value for name, value in asdict(self).items() if name != "ladders"}


_RECENT = 100


def status_of(path) -> Status:
    """The state of a run folder. Raises StorageError where there is none. Cost: that of reading every task file once."""
    folder = RunFolder.open(Path(path))
    damaged: dict[str, str] = {}
    found = folder.statuses(damaged)
    plan = folder.plan
    places = Coordinates(plan["points"], plan.get("asked", []))
    points = [PointStatus(places.at(index)) for index in range(len(plan["points"]))]
    counts = dict.fromkeys(("done", "measuring", "thermalizing", "failed", "waiting", "damaged", "lost"), 0)
    thermalize, ends = plan["job"]["sampling"].get("thermalize", 0), []
    for task_id, at, _ in plan["tasks"]:
        seen = found.get(task_id)
        if seen is None:
            state = "damaged" if task_id in damaged else "waiting"
        elif seen["status"] == "unfinished":
            state = "measuring" if seen["sweeps_done"] >= thermalize else "thermalizing"
        else:
            state = seen["status"]
        lost = bool(seen and seen["lost"])
        for one in (counts, *(vars(points[index]) for index in (at if isinstance(at, list) else [at]))):
            one[state] += 1
            one["lost"] += lost
        if state == "done":
            with contextlib.suppress(OSError):
                ends.append(os.stat(folder.task_path(task_id)).st_mtime)
    ends = sorted(ends)[-_RECENT:]
    rate = (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 and ends[-1] > ends[0] else None
    running = _is_held(folder.path)
    return Status(
        plan["job"]["name"], len(plan["tasks"]), counts, points, sum(seen["seconds"] for seen in found.values()), running,
        None if rate is None else 3600 * rate,
        (len(plan["tasks"]) - counts["done"]) / rate if running and rate else None,
        {task_id: seen["sweeps_done"] for task_id, seen in found.items() if seen["status"] == "unfinished"},
        {task_id: (seen["message"].strip().splitlines() or [""])[-1] for task_id, seen in found.items()
         if seen["status"] == "failed"},
        damaged, [seen["rungs"] for seen in found.values() if seen["rungs"]])


def _is_held(path: Path) -> bool:
    """Whether a run works in the folder, as far as the system tells. The question lasts a moment, for which a run that begins
    waits."""
    try:
        descriptor = os.open(path / schema.LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)  # otherwise there are no locks here
    finally:
        os.close(descriptor)
