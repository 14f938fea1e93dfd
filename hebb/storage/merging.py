"""From the tasks of a run folder to results: in memory, or from file to file in blocks."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DamagedFile, HebbWarning, StorageError
from . import schema
from .damage import named
from .folder import RunFolder
from .observable import Table
from .results import Results
from .results_file import ResultsWriter
from .taskfile import TaskRecord, open_file
from .tasks import Tasks

__all__ = ["first_rows", "is_merged", "load", "merge", "merge_into"]

_BLOCK = 1 << 26  # bytes of series that are held at a time


def merge(folder, only: str = "") -> Results:
    """The results of what is finished in a run folder, at any time, also while the job runs. Nothing is written.

    only: the one series to be kept, where it is measured, and no spins; "" for all.
    What cannot be believed is left out, with a HebbWarning that names it all. Cost: reads every finished task; memory 8 bytes x
    measurements x chains x observables x tasks. `merge_into` needs less.
    """
    folder = RunFolder.open(Path(folder))
    with folder.tasks() as tasks:
        plan = folder.plan
        records = (record for _, record in tasks.results(range(len(tasks))))
        results = Results.from_records(plan, (_with_only(record, only) for record in records) if only else records)
    _warn(tasks.damaged)
    return results


def _with_only(record: TaskRecord, name: str) -> TaskRecord:
    series = {name: record.series[name]} if name in record.series else record.series
    return replace(record, series=series, spins={})


def merge_into(folder: RunFolder, stop: Callable[[], bool] = lambda: False) -> Results | None:
    """Write what is finished into results.h5 of a run folder; returned is the same without the series, to say what it holds.
    None, and the old file stays, if stop() became true meanwhile.

    What cannot be believed is left out, with a HebbWarning. Cost: reads every finished task once; memory 64 MB and about 300
    bytes for a task. Raises StorageError where the disk is full; the old file stays then.
    """
    plan = folder.plan
    head = Results.empty(plan, 1 + max(disorder for _, _, disorder in plan["tasks"]))
    with folder.tasks() as tasks:
        groups = list(_groups(plan))
        shapes = _shapes(tasks, groups)
        with contextlib.suppress(_Stopped), ResultsWriter(folder.results_path, head, shapes) as writer:
            for block in _blocks(groups, shapes):
                if stop():
                    raise _Stopped
                writer.put(_filled(head, tasks, block, shapes), block.points, block.first)
            _warn(tasks.damaged)
            return head
    return None


class _Stopped(Exception):
    """The file of results is not to be finished."""


def first_rows(folder: RunFolder, head: Results, most: int) -> Table:
    """Rows, as `Results.to_table` has them, of the first points of merged results with a finished sample."""
    table = Table()
    with open_file(folder.results_path, schema.RESULTS) as file:
        for place in np.flatnonzero(head.n_disorder)[:most].tolist():
            done = head.done[place]
            only = slice(0, 1 + int(np.flatnonzero(done)[-1]))
            point = Results.empty({"points": [head.points[place]], "job": head.job, "tasks": []}, only.stop)
            point.bin_length, point.done = head.bin_length, head.done[[place], only]
            point.lost_samples, point.acceptance = head.lost_samples[[place], only], head.acceptance[[place], only]
            point.exchange = {name: values[[place], only] for name, values in head.exchange.items()}
            once = point.row(0)
            row = head.coordinates.at(place) | {name: once.pop(name) for name in ("samples", "lost")}
            for name, series in file.get(schema.SERIES, {}).items():  # one at a time: a point may have very many samples
                part = replace(point, data={name: series[place : place + 1, only]})
                row |= {label: value for label, value in part.row(0).items() if label not in {*row, *once}}
            table.append(row | once)
    return table


def is_merged(folder: RunFolder) -> bool:
    """Whether results.h5 of a run folder holds the results of all tasks of its plan."""
    try:
        with open_file(folder.results_path, schema.RESULTS) as file:
            return bool(file[schema.DONE][()].all()) and Results.head_of(file).belongs_to(folder.plan)
    except StorageError:
        return False


def load(path) -> Results:
    """Results from a results file or from a run folder.

    Of a folder its results.h5 or, while that is missing or partial, what is finished now.
    """
    path = Path(path)
    if path.is_file():
        return Results.open(path)
    if not path.is_dir():
        raise StorageError(f"there is no file or folder {path}")
    merged = path / schema.RESULTS_FILE
    results = Results.open(merged) if merged.exists() else None
    if results is not None and (path / schema.PLAN_FILE).exists():
        try:
            ours = results.belongs_to(RunFolder.open(path).plan)
        except DamagedFile as error:  # of the plan, which finished results can do without
            warnings.warn(str(error), HebbWarning, stacklevel=2)
            return results
        if not ours:
            warnings.warn(f"{merged} is of another job than its folder; the tasks of the folder are merged instead",
                          HebbWarning, stacklevel=2)
            results = None
    return results if results is not None and results.done.all() else merge(path)


@dataclass(frozen=True)
class _Group:
    """Tasks of a plan that share their point, or the points of a temperature ladder: their numbers, by disorder sample."""

    points: list[int]
    tasks: Mapping[int, int]


@dataclass(frozen=True)
class _Block:
    """Points and a range of disorder samples that are held at a time."""

    points: list[int]
    first: int
    n_disorder: int
    groups: list[_Group]


def _groups(plan: Mapping) -> Iterator[_Group]:
    held: dict[tuple, dict[int, int]] = {}
    for index, (_, place, disorder) in enumerate(plan["tasks"]):
        key = tuple(place) if isinstance(place, list) else (place,)
        held.setdefault(key, {})[disorder] = index
    return (_Group(list(key), tasks) for key, tasks in held.items())


def _shapes(tasks: Tasks, groups: list[_Group]) -> dict[str, tuple]:
    """name -> (B, C, ...) in which the series of all points have room. Samples of one point have the same shapes."""
    found: dict[str, tuple] = {}
    for group in groups:
        shapes = next(filter(None, (tasks.shapes(index) for index in group.tasks.values() if tasks.done[index])), {})
        for name, shape in shapes.items():
            shape = (shape[0], *shape[2:]) if tasks.is_ladder else shape
            found[name] = tuple(map(max, found.get(name, shape), shape))
    return found


def _blocks(groups: list[_Group], shapes: Mapping[str, tuple]) -> Iterator[_Block]:
    """All points and disorder samples in blocks of about _BLOCK bytes."""
    one = max(1, 8 * sum(int(np.prod(shape)) for shape in shapes.values()))
    n_disorder = 1 + max(disorder for group in groups for disorder in group.tasks)
    held: list[_Group] = []
    points = 0
    for group in groups:
        if len(group.points) * n_disorder * one > _BLOCK:
            size = max(1, _BLOCK // (len(group.points) * one))
            for first in range(0, n_disorder, size):
                yield _Block(group.points, first, min(size, n_disorder - first), [group])
            continue
        held.append(group)
        points += len(group.points)
        if points * n_disorder * one > _BLOCK:
            yield _whole(held, n_disorder)
            held, points = [], 0
    if held:
        yield _whole(held, n_disorder)


def _whole(groups: list[_Group], n_disorder: int) -> _Block:
    return _Block([point for group in groups for point in group.points], 0, n_disorder, groups)


def _filled(head: Results, tasks: Tasks, block: _Block, shapes: Mapping[str, tuple]) -> Results:
    """The results of a block; what is not a series goes into head as well."""
    plan = {"points": [head.points[point] for point in block.points], "job": head.job}
    found = Results.empty(plan, block.n_disorder, shapes)
    begin = 0
    for group in block.groups:
        numbers = [group.tasks[disorder] for disorder in range(block.first, block.first + block.n_disorder)
                   if disorder in group.tasks]
        places = list(range(begin, begin + len(group.points))) if tasks.is_ladder else begin
        for index, record in tasks.results(numbers):
            if not _fits(record, shapes, tasks.is_ladder):
                tasks.disbelieve(index, "has series of another shape than the other samples of its point")
                continue
            found.enter(record, places, tasks.plan["tasks"][index][2] - block.first)
        begin += len(group.points)
    head.take(found, block.points, block.first)
    return found


def _fits(record, shapes: Mapping[str, tuple], ladder: bool) -> bool:
    """Whether the series of a task have room in those of the job."""
    for name, series in record.series.items():
        shape = (series.shape[0], *series.shape[2:]) if ladder else series.shape
        if len(shape) != len(shapes.get(name, ())) or any(map(int.__gt__, shape, shapes[name])):
            return False
    return True


def _warn(damaged: Mapping[str, str]) -> None:
    if damaged:
        warnings.warn(f"{named(damaged)}; left out. Run the job again with --resume, which repeats only these tasks",
                      HebbWarning, stacklevel=3)
