"""What tells the points of a job apart: the keys as they were written, and what became of them.

A job file says gamma = 0.1 and a point holds an integer number of patterns; it says alpha = 0.2 for a sequence of tasks and a
point holds one load per task. `Results.points` has what was run, `Results.asked` what was written. Here both become
coordinates: a key has its value as written, and <key>_realised what it is once patterns are whole.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from ..models import loads_of
from ..params import digest
from .taskfile import to_json

__all__ = ["Coordinates", "is_number", "numbers_in", "plain"]

_NO_KEYS = ("kind", "measured")


class Coordinates:
    """The parameters of P points as columns: name -> a list of P values, None where a point does not have it.

    written: every key as in the job file, or as the model was called, and the temperature (of files that do not know, the
    parameters themselves). realised: what a point was run with and no key says so: n_patterns of a load, <load>_realised the
    load of that integer number, <key>_realised where a key became something else (lists: one entry per task), <name>_measured
    of images. Text is what a list of words was.
    """

    def __init__(self, points: Sequence[Mapping], asked: Sequence[Mapping] = ()):
        self.points = list(points)
        self.asked = list(asked) or [{}] * len(self.points)
        self.written = _columns([_as_written(*pair) for pair in zip(self.points, self.asked, strict=True)])
        self.realised = self._realised()

    def _realised(self) -> dict[str, list]:
        parameters = _columns([{name: value for name, value in point.items() if name not in (*_NO_KEYS, "temperature")}
                               for point in self.points])
        found = {}
        for name, values in parameters.items():
            written = self.written.get(name)
            if written is None:
                found[name] = values
            elif any(map(_became_another, written, values)) or name in self.swept and any(isinstance(v, list) for v in written):
                found[f"{name}_realised"] = values
        loads = _columns([loads_of(point) for point in self.points])
        found |= {f"{name}_realised": values for name, values in loads.items()}
        measured = _columns([point.get("measured", {}) for point in self.points])
        return found | {f"{name}_measured": values for name, values in measured.items()}

    @functools.cached_property
    def swept(self) -> tuple[str, ...]:
        """The written keys that differ between points, the slowest first (the temperature if none does)."""
        first = {name: _first_change(values) for name, values in self.written.items()}
        return tuple(sorted(filter(first.get, first), key=lambda name: -first[name])) or ("temperature",)

    @functools.cached_property
    def grid(self) -> tuple[dict[str, list], np.ndarray] | None:
        """(values of each swept key, points of every combination of them) where the points are all combinations, else None.

        The values are in the order in which they were written; the array has an axis for each key and holds indices of points.
        """
        names = [[digest({"": value}) for value in self.written[key]] for key in self.swept]
        distinct = [dict(zip(column, self.written[key], strict=True)) for key, column in zip(self.swept, names, strict=True)]
        order = [{name: k for k, name in enumerate(dict.fromkeys(column))} for column in names]
        shape = tuple(map(len, distinct))
        index = np.full(shape, -1)
        if index.size == len(self.points):
            index[tuple([places[name] for name in column] for places, column in zip(order, names, strict=True))] = (
                np.arange(len(self.points)))
        if np.any(index < 0):
            return None
        return {key: list(values.values()) for key, values in zip(self.swept, distinct, strict=True)}, index

    @functools.cached_property
    def became(self) -> dict[str, list]:
        """The columns of `realised` that differ between points."""
        return {name: values for name, values in self.realised.items() if _first_change(values)}

    @functools.cached_property
    def varying(self) -> dict[str, list]:
        """Columns of plain values that differ between points: swept keys as written, then what became of them.

        Lists of numbers are text under their key, and a column for each entry under <key>_realised[entry].
        """
        return _flat({name: self.written[name] for name in self.swept} | self.became)

    @functools.cached_property
    def fixed(self) -> dict[str, object]:
        """What all points share, with "kind" and without what varies."""
        everything = {"kind": [point.get("kind") for point in self.points]} | self.written | self.realised
        return {name: values[0] for name, values in everything.items()
                if not _first_change(values) and name not in self.swept and values[0] is not None}

    def at(self, index: int) -> dict[str, object]:
        """`varying` of one point."""
        return {name: values[index] for name, values in self.varying.items()}


def _as_written(point: Mapping, asked: Mapping) -> dict:
    if asked:
        return {**asked, "temperature": point.get("temperature")}
    return {name: value for name, value in point.items() if name not in _NO_KEYS}


def _columns(rows: list[Mapping]) -> dict[str, list]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _first_change(values: list) -> int:
    """The first place whose value is not that of place 0; 0 if there is none."""
    return next((i for i, value in enumerate(values) if value != values[0]), 0)


def _became_another(written, value) -> bool:
    """Whether a point was run with another value than was written; the same number for every task is none."""
    if isinstance(value, list) and not isinstance(written, list):
        return any(item != written for item in value)
    return value is not None and value != written


def numbers_in(values: list) -> bool:
    """Whether a column holds lists of numbers."""
    lists = [value for value in values if value is not None]
    return bool(lists) and all(isinstance(value, list) and value and all(map(is_number, value)) for value in lists)


def is_number(value) -> bool:
    """Whether a value is an int or a float, and no bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flat(columns: dict[str, list]) -> dict[str, list]:
    flat = {}
    for name, values in columns.items():
        if name.endswith("_realised") and numbers_in(values):
            longest = max(len(value) for value in values if value)
            flat |= {f"{name}[{k}]": [value[k] if value and k < len(value) else None for value in values]
                     for k in range(longest)}
        else:
            flat[name] = list(map(plain, values))
    return flat


def plain(value):
    """A parameter as one value: sequences and records as text."""
    return str(value) if isinstance(value, (list, tuple)) else to_json(value) if isinstance(value, Mapping) else value
