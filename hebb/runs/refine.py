"""Points where the answer changes: along one swept key, between neighbours, until a boundary is known to a tolerance.

    [refine]
    along = "gamma"            # a key of [model] with at least two numbers, or temperature
    criterion = "crossing"     # crossing (default): observable - level changes its sign between neighbours
                               # lost: the share of samples that left the planted state crosses level (default 0.5)
                               # change: the two neighbours between which observable changes most
    observable = "m"           # or a component of it, "m[0]"; of disorder averages
    level = 0.5
    tolerance = 0.005          # largest distance that is left between the two
    most_points = 200          # of the whole job (default 1000): noise may cross a level often

For every combination of the other swept keys by itself, the interval is halved again and again, each time with all disorder
samples of the job. What is asked next depends on nothing but finished results: a run that was stopped and continued, on any
number of ranks, takes the same points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import models
from ..errors import ParameterError
from ..params import canonical_json, check_choice, check_integer, check_keys, check_real, shown
from ..quantities import known_observable
from ..storage.results import Results

__all__ = ["Boundary", "Refine"]

_KEYS = ("along", "criterion", "observable", "level", "tolerance", "most_points")
_CRITERIA = ("crossing", "lost", "change")


@dataclass(frozen=True)
class Boundary:
    """Where the answer changes on one line: between low and high of the key `along`. point: number of the lower one. where: the
    other swept keys in words.
    z_low, z_high: how many standard errors the values there are away from the level (nan for criterion "change", or without an
    error): small ones say that with these samples nobody knows on which side a point lies."""

    point: int
    where: str
    along: str
    low: float
    high: float
    z_low: float
    z_high: float
    what: str

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        text = f"{place}{self.what} between {self.along} = {self.low:.6g} and {self.high:.6g}"
        if math.isnan(self.z_low) or math.isnan(self.z_high):
            return text
        doubt = "" if min(abs(self.z_low), abs(self.z_high)) > 2 else "; more disorder samples would tell better"
        return f"{text} ({self.z_low:+.1f} and {self.z_high:+.1f} standard errors from it{doubt})"


@dataclass(frozen=True)
class Refine:
    """The section [refine] of a job, checked; see the head of this module."""

    along: str
    criterion: str
    observable: str
    component: tuple[int, ...]
    level: float
    tolerance: float
    most_points: int

    @classmethod
    def of(cls, section: Mapping, points: Sequence[tuple], tempering: bool) -> Refine:
        """The section of a job with these points (model, temperature). Raises ParameterError."""
        check_keys("[refine]", section, _KEYS)
        for key in ("along", "tolerance"):
            if key not in section:
                raise ParameterError(f"[refine] must give {key}")
        if tempering:
            raise ParameterError("[refine] adds single points and tempering = true makes ladders of them; leave one out")
        criterion = check_choice("[refine] criterion", section.get("criterion", "crossing"), _CRITERIA)
        name, component = _observable(section, criterion)
        if criterion == "crossing" and "level" not in section:
            raise ParameterError("[refine] must give the level that the observable crosses, for example level = 0.5")
        if criterion == "change" and "level" in section:
            raise ParameterError("[refine] level has no meaning for criterion = 'change'; leave it out")
        level = check_real("[refine] level", section.get("level", 0.5))
        if criterion == "lost" and not 0 < level < 1:
            raise ParameterError(f"[refine] level = {level:g} is not between 0 and 1, and it is a share of samples")
        tolerance = check_real("[refine] tolerance", section["tolerance"], 0.0)
        if not tolerance:
            raise ParameterError("[refine] tolerance = 0 is never reached; give the distance of neighbours that is enough")
        most = check_integer("[refine] most_points", section.get("most_points", 1000), 2)
        found = cls(section["along"], criterion, name, component, level, tolerance, most)
        found._require_axis(points)
        return found

    def more(self, points: Sequence[tuple], results: Results) -> list[tuple]:
        """The points (model, temperature) of the job with those that are to be asked next, line by line, each in order; [] if
        the boundaries are known. results: those of points, in this order."""
        behind: dict[int, tuple] = {}  # the lower neighbour
        lines, room = list(self._lines(points)), self.most_points - len(points)
        for line in lines:
            for low, high in self._intervals(line, results):
                if len(behind) < room and (new := self._between(points[low], points[high])) is not None:
                    behind[low] = new
        if not behind:
            return []
        return [item for line in lines for index in line for item in (points[index], behind.get(index)) if item is not None]

    def boundaries(self, points: Sequence[tuple], results: Results) -> list[Boundary]:
        """What is known of the boundaries by now."""
        what = {"crossing": f"{self._name} crosses {self.level:g}", "change": f"{self._name} changes most",
                "lost": f"the share of samples that left the planted state crosses {self.level:g}"}[self.criterion]
        found = []
        for line in self._lines(points):
            for low, high in self._intervals(line, results):
                ends = [self._deviation(results, index) for index in (low, high)]
                values = [self._value(points[index]) for index in (low, high)]
                found.append(Boundary(low, self._where(results, line), self.along, *values, *ends, what))
        return found

    def sentences(self, points: Sequence[tuple], results: Results) -> list[str]:
        """The boundaries in words, and the lines on which there is none."""
        found = list(map(str, self.boundaries(points, results)))
        for line in self._lines(points):
            if not any(self._intervals(line, results)):
                value = "" if self.criterion == "lost" else f"{self._name} "
                side = "below" if self._values(results)[line[0]] < self.level else "above"
                what = f"{value or 'the share of samples that left the planted state '}is {side} {self.level:g} everywhere"
                ends = [f"{self._value(points[line[at]]):.6g}" for at in (0, -1)]
                where = self._where(results, line)
                found.append(f"{where}{': ' * bool(where)}{what} from {self.along} = {ends[0]} to {ends[1]}; widen its values")
        return found

    @property
    def needed(self) -> str:
        """The series on which everything depends."""
        return {"": "m", "m_sorted": "m"}.get(self.observable, self.observable)

    @property
    def _name(self) -> str:
        return self.observable + "".join(f"[{index}]" for index in self.component)

    def _require_axis(self, points: Sequence[tuple]) -> None:
        values = [self._value(point) for point in points]
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
            raise ParameterError(f"[refine] along = {shown(self.along)} is not a key of [model] with numbers; give one that is "
                                 "swept, or temperature")
        if any(len(line) < 2 for line in self._lines(points)):
            raise ParameterError(f"[refine] along = {shown(self.along)} has fewer than 2 values on a line of points; sweep it "
                                 "in [model], together with no other key")

    def _value(self, point: tuple):
        model, temperature = point
        return temperature if self.along == "temperature" else model.asked.get(self.along)

    def _lines(self, points: Sequence[tuple]) -> Iterator[list[int]]:
        """Indices of the points that differ in nothing else, in ascending order of the key."""
        lines: dict[str, list[int]] = {}
        for index, (model, temperature) in enumerate(points):
            others = {key: value for key, value in model.asked.items() if key != self.along}
            name = canonical_json([model.kind, others, None if self.along == "temperature" else temperature])
            lines.setdefault(name, []).append(index)
        for line in lines.values():
            yield sorted(line, key=lambda index: self._value(points[index]))

    def _intervals(self, line: list[int], results: Results) -> Iterator[tuple[int, int]]:
        """Neighbours between which something happens; points without a finished sample are left out."""
        line = [index for index in line if results.n_disorder[index]]
        values = self._values(results)[line]
        pairs = list(zip(line, line[1:], strict=False))
        if self.criterion == "change":
            if pairs:
                yield pairs[int(np.argmax(np.abs(np.diff(values))))]
            return
        signs = values >= self.level
        yield from (pair for pair, one, other in zip(pairs, signs, signs[1:], strict=False) if one != other)

    def _values(self, results: Results) -> np.ndarray:
        """(P,) what is compared with the level."""
        if self.criterion == "lost":
            return results.lost / np.maximum(1, results.n_disorder)
        if self.observable not in results:
            raise ParameterError(f"[refine] observable = {shown(self.observable)} is not measured here; give one of "
                                 f"{', '.join(results)}, and what was computed is kept")
        means = results[self.observable].mean
        if len(self.component) != means.ndim - 1 or any(map(int.__ge__, self.component, means.shape[1:])):
            last = f"components {self.observable}[0] to [{means.shape[-1] - 1}]" if means.ndim > 1 else "none"
            raise ParameterError(f"[refine] observable = {shown(self._name)}: of components it has {last}; change it, and what "
                                 "was computed is kept")
        return means[(slice(None), *self.component)]

    def _deviation(self, results: Results, index: int) -> float:
        """Standard errors between a value and the level."""
        if self.criterion == "change":
            return math.nan
        if self.criterion == "lost":
            number = int(results.n_disorder[index])
            share = (results.lost[index] + 0.5) / (number + 1)
            return float((share - self.level) / math.sqrt(share * (1 - share) / number))
        found = results[self.observable]
        at = (index, *self.component)
        error = found.raw_error[at]
        return float((found.mean[at] - self.level) / error) if error > 0 else math.nan

    def _between(self, one: tuple, other: tuple) -> tuple | None:
        """The point in the middle of two, None where they are near enough or nothing lies between them."""
        low, high = sorted((self._value(one), self._value(other)))
        if high - low <= self.tolerance:
            return None
        whole = isinstance(low, int) and isinstance(high, int)
        middle = (low + high) // 2 if whole else (low + high) / 2
        if not low < middle < high:
            return None
        model, temperature = one
        if self.along == "temperature":
            return model, middle
        new = models.from_keys(model.kind, {**model.asked, self.along: middle})
        # A load becomes a whole number of patterns, and two of them may have no other between them.
        return None if new.digest in (model.digest, other[0].digest) else (new, temperature)

    def _where(self, results: Results, line: list[int]) -> str:
        names = [name for name in results.coordinates.swept if name != self.along]
        values = results.coordinates.written
        return ", ".join(f"{name} = {values[name][line[0]]:g}" if isinstance(values[name][line[0]], float) else
                         f"{name} = {values[name][line[0]]}" for name in names)


def _observable(section: Mapping, criterion: str) -> tuple[str, tuple[int, ...]]:
    """Name and component of the observable in a section; "" for criterion "lost"."""
    text = section.get("observable", "")
    if criterion == "lost":
        if text:
            raise ParameterError("[refine] observable has no meaning for criterion = 'lost'; leave it out")
        return "", ()
    if not text:
        raise ParameterError('[refine] must give an observable, for example observable = "m"')
    found = re.fullmatch(r"([A-Za-z_0-9]+)((?:\[[0-9]{1,6}\])*)", str(text))
    if not found or not known_observable(found[1]):
        raise ParameterError(f"[refine] observable = {shown(text)} is no observable; `hebb merge` names them in its columns")
    return found[1], tuple(int(index) for index in re.findall("[0-9]+", found[2]))
