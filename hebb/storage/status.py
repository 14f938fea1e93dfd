"""How far a run is, from its files alone: at any time, also while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .coordinates import Coordinates
from .folder import RunFolder
from .locks import is_held

__all__ = ["PointStatus", "Status", "status_of"]


@dataclass
class PointStatus:
    """Tasks of one point by what they are at: done; thermalizing or measuring (at their last checkpoint); failed; shorter, with
    a result of fewer sweeps that is to go on; waiting, with nothing.
    lost: tasks whose planted state was left. where: the coordinates of the point."""

    where: dict
    done: int = 0
    measuring: int = 0
    thermalizing: int = 0
    failed: int = 0
    shorter: int = 0
    waiting: int = 0
    damaged: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Status:
    """A run. points: of a temperature ladder each of its temperatures has the state of the whole. tasks: their number; counts
    by state as in `PointStatus`, over tasks. seconds: of computing, all ranks together. running: whether a process holds the
    folder. tasks_per_hour: over the last 100 tasks that were done, None before the second of them; remaining_seconds: of a run
    that goes on at that rate, None where it does not run or the rate is not known. unfinished: task id -> sweeps at its
    last checkpoint; failures: task id -> the last line of its traceback; damaged: file, or pack and task id ->
    why it cannot be believed.
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
    """The state of a run folder. Raises StorageError where there is none. Cost: that of reading the ledgers of finished tasks,
    and every task file once; results in packs are not read, `hebb verify` does that."""
    folder = RunFolder.open(Path(path))
    plan = folder.plan
    with folder.tasks() as tasks:
        places = Coordinates(plan["points"], plan.get("asked", []))
        points = [PointStatus(places.at(index)) for index in range(len(plan["points"]))]
        names = ("done", "measuring", "thermalizing", "failed", "shorter", "waiting", "damaged", "lost")
        states = _states(tasks, names)
        counts = {name: int(np.sum(states == number)) for number, name in enumerate(names)} | {"lost": int(np.sum(tasks.lost))}
        for place, index in _by_point(plan["tasks"]):
            for number, name in enumerate(names[:-1]):
                setattr(points[place], name, int(np.sum(states[index] == number)))
            points[place].lost = int(np.sum(tasks.lost[index]))
        ends = np.sort(tasks.ended[tasks.done & ~np.isnan(tasks.ended)])[-_RECENT:]
        rate = (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 and ends[-1] > ends[0] else None
        rungs = [record.rungs for _, record in tasks.results(np.flatnonzero(tasks.done))] if tasks.is_ladder else []
    running = is_held(folder.path)
    files = {plan["tasks"][index][0]: seen for index, seen in tasks.files.items()}
    return Status(
        plan["job"]["name"], len(tasks), counts, points, float(np.sum(tasks.seconds)), running,
        None if rate is None else 3600 * rate,
        (len(tasks) - counts["done"]) / rate if running and rate else None,
        {task_id: seen["sweeps_done"] for task_id, seen in files.items() if seen["status"] == "unfinished"},
        {task_id: (seen["message"].strip().splitlines() or [""])[-1] for task_id, seen in files.items()
         if seen["status"] == "failed"},
        tasks.damaged, rungs)


def _states(tasks, names: Sequence[str]) -> np.ndarray:
    """(n,) for every task what it is at, as a place in names."""
    number = {name: place for place, name in enumerate(names)}
    states = np.where(tasks.done, number["done"], np.where(tasks.to_be_longer, number["shorter"], number["waiting"]))
    thermalize = tasks.plan["job"]["sampling"].get("thermalize", 0)
    for index, seen in tasks.files.items():
        if seen["status"] == "unfinished":
            states[index] = number["measuring" if seen["sweeps_done"] >= thermalize else "thermalizing"]
        elif seen["status"] == "failed":
            states[index] = number["failed"]
    states[list(tasks.unbelievable)] = number["damaged"]
    return states


def _by_point(tasks) -> Iterator[tuple[int, np.ndarray]]:
    """(point, numbers of its tasks); the tasks of a temperature ladder belong to each of its points."""
    if isinstance(tasks[0][1], list):
        pairs = [(place, index) for index, (_, places, _) in enumerate(tasks) for place in places]
        points, numbers = map(np.array, zip(*pairs, strict=True))
    else:
        points, numbers = np.array([place for _, place, _ in tasks]), np.arange(len(tasks))
    order = np.argsort(points, kind="stable")
    ends = np.flatnonzero(np.diff(points[order])) + 1
    for group in np.split(order, ends):
        yield int(points[group[0]]), numbers[group]
