"""Results of a whole job: in memory, in one HDF5 file, as a table, as xarray."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..params import check_choice
from ..sampling.options import TRAINING
from ..sampling.stages import kept_sweeps
from . import export, schema
from .coordinates import Coordinates
from .observable import Observable, Table
from .origins import Origins
from .results_file import ResultsWriter
from .taskfile import TaskRecord, open_file, to_json

__all__ = ["RARE_EXCHANGE", "Results"]

#: A pair of temperatures that exchanges less often than this slows its ladder down.
RARE_EXCHANGE = 0.1


def _by_size(series: np.ndarray) -> np.ndarray:
    """Components (last axis) of each chain of (P, D, B, C, K) by descending |average over the bins|, signs made positive; nan
    components come last. Averages that differ by less than their noise are sorted by it: their sizes spread apart."""
    means = series.mean(axis=2, keepdims=True)
    order = np.argsort(-np.abs(means), axis=-1, kind="stable")
    ordered = np.take_along_axis(series, order, axis=-1)
    ordered *= np.where(np.take_along_axis(means, order, axis=-1) < 0, -1, 1)  # in place: series may be large
    return ordered


def _in_words(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(repr=False)
class Results:
    """Everything a job measured. `res["m"]` is an Observable; iterating gives the names.

    Where m has a component for every pattern, "m_sorted" has those of each chain by descending |time average|, with positive
    averages; at points with fewer patterns than others both end in nan.

    points: parameters of each point, in job order. asked: the model keys of each as they were written ([] where that is not
    known); `coordinates` has both side by side. job: name, seed and sampling settings. done, lost: (P, D) bool.
    acceptance: (P, D), nan where not done. data: name -> (P, D, B, C, ...) bin means. spins: (point, disorder) -> name
    -> int8 array, where they were kept. seconds: computing time of all tasks together. exchange: of temperature ladders
    "exchange_acceptance", "round_trips" and "flow" (P, D), see `sampling.tempering.Ladder.rungs`; observables as well.
    provenance: of the first task; origins: of all of them, and in what they differ.
    """

    points: list[dict]
    job: dict
    done: np.ndarray
    lost_samples: np.ndarray
    acceptance: np.ndarray
    data: dict[str, np.ndarray]
    bin_length: int = 1
    spins: dict[tuple[int, int], dict[str, np.ndarray]] = field(default_factory=dict)
    seconds: float = 0.0
    provenance: dict = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)
    exchange: dict[str, np.ndarray] = field(default_factory=dict)
    asked: list[dict] = field(default_factory=list)

    @classmethod
    def empty(cls, plan: Mapping, n_disorder: int, inner: Mapping[str, tuple] | None = None) -> Results:
        """Results of a job of which nothing is finished. inner: name -> (B, C, ...) of the series, where they are known."""
        shape = len(plan["points"]), n_disorder
        return cls(
            points=json.loads(to_json(plan["points"])),
            asked=json.loads(to_json(plan.get("asked", []))),
            job=json.loads(to_json(plan["job"])),
            done=np.zeros(shape, bool),
            lost_samples=np.zeros(shape, bool),
            acceptance=np.full(shape, np.nan),
            data={name: np.full((*shape, *inner[name]), np.nan) for name in sorted(inner or {})},
        )

    @classmethod
    def from_records(cls, plan: Mapping, records: Iterable[TaskRecord]) -> Results:
        """Join the finished ones among records; plan as in RunFolder. Unfinished and failed tasks are left out."""
        place = {task_id: (point, disorder) for task_id, point, disorder in plan["tasks"]}
        results = cls.empty(plan, 1 + max(disorder for _, disorder in place.values()))
        for record in records:
            if record.status == "done":
                results.enter(record, *place[record.task_id])
        results.data = dict(sorted(results.data.items()))
        return results

    def enter(self, record: TaskRecord, points: int | Sequence[int], disorder: int) -> None:
        """Put what a task found in place; points: of a temperature ladder all of them."""
        self.bin_length = record.bin_length
        self.seconds += record.seconds
        self.provenance = self.provenance or record.provenance
        self.origins.add(record.provenance)
        if isinstance(points, int):
            self._enter(record, (points, disorder))
        else:
            for rung, point in enumerate(points):
                self._enter(record.at_temperature(rung), (point, disorder))

    def take(self, block: Results, points: Sequence[int], first: int) -> None:
        """Everything but series and spins of a block: of these points, of the disorder samples from `first` on."""
        at = np.asarray(points)[:, None], np.arange(first, first + block.done.shape[1])
        self.done[at], self.lost_samples[at], self.acceptance[at] = block.done, block.lost_samples, block.acceptance
        for name, values in block.exchange.items():
            self.exchange.setdefault(name, np.full(self.done.shape, np.nan))[at] = values
        self.bin_length, self.seconds = max(self.bin_length, block.bin_length), self.seconds + block.seconds
        self.provenance = self.provenance or block.provenance
        self.origins.join(block.origins)

    def _enter(self, record: TaskRecord, at: tuple[int, int]) -> None:
        """Put what was found at one point in place."""
        self.done[at], self.lost_samples[at], self.acceptance[at] = True, record.lost, record.acceptance
        for name, series in record.series.items():
            self._store(name, at, series)
        for name, value in record.rungs.items():
            self.exchange.setdefault(name, np.full(self.done.shape, np.nan))[at] = value
        if record.spins:
            self.spins[at] = record.spins

    def _store(self, name: str, at: tuple[int, int], series: np.ndarray) -> None:
        """Put one series in place; the array grows (with nan) where points have different numbers of components."""
        held = self.data.get(name)
        inner = series.shape if held is None else tuple(np.maximum(held.shape[2:], series.shape))
        if held is None or held.shape[2:] != inner:
            grown = np.full((*self.done.shape, *inner), np.nan)
            if held is not None:
                grown[(slice(None), slice(None), *map(slice, held.shape[2:]))] = held
            self.data[name] = grown
        self.data[name][(*at, *map(slice, series.shape))] = series

    def __getitem__(self, name: str) -> Observable:
        return self._observables[check_choice("observable", name, self._observables)]

    @functools.cached_property
    def _observables(self) -> dict[str, Observable]:
        known = self.data
        if known.get("m", np.empty(0)).ndim == 5:  # an overlap with every pattern
            known = dict(sorted({**known, "m_sorted": _by_size(known["m"])}.items()))
        table, curve = {}, self.job["sampling"].get("dynamics") in TRAINING
        for name, series in known.items():
            samples = series[:, :, -1:].mean(axis=(2, 3)) if curve else series.mean(axis=(2, 3))  # nan where not done
            table[name] = Observable(name, samples, series, self.done, self.bin_length, curve, self.places)
        once = {"acceptance": self.acceptance, **self.exchange}
        return table | {name: Observable(name, samples, None, self.done, 1, places=self.places)
                        for name, samples in once.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._observables)

    def __contains__(self, name) -> bool:
        return name in self._observables

    def keys(self) -> tuple[str, ...]:
        return tuple(self._observables)

    def __repr__(self):
        samples = f"{int(self.done.sum())} of {self.done.size} samples"
        return f"<Results of {self.job['name']!r}: {len(self.points)} points, {samples}>"

    @property
    def lost(self) -> np.ndarray:
        """(P,) number of samples that left the planted state: a point with any is outside the theory's domain."""
        return self.lost_samples.sum(axis=1)

    @property
    def exchange_notes(self) -> list[str]:
        """What is wrong with the temperature ladders, one sentence each with its remedy; [] without ladders."""
        if not self.exchange:
            return []
        ladders: dict[str, list[int]] = {}
        for place, point in enumerate(self.points):
            ladders.setdefault(to_json({**point, "temperature": None}), []).append(place)
        acceptance = {place: value for place, value in enumerate(self["exchange_acceptance"].mean) if value < RARE_EXCHANGE}
        first = [places[0] for places in ladders.values()]
        stuck = int(np.sum(self.done[first] & (self.exchange["round_trips"][first] == 0)))
        notes = []
        if acceptance:
            worst = min(acceptance, key=acceptance.get)
            low = self.points[worst]
            rungs = next(places for places in ladders.values() if worst in places)
            high = min(t for t in (self.points[place]["temperature"] for place in rungs) if t > low["temperature"])
            notes.append(f"neighbouring temperatures {low['temperature']:g} and {high:g} of a ladder exchange in only "
                         f"{acceptance[worst]:.2g} of the attempts (pairs below {RARE_EXCHANGE:g}: {len(acceptance)}); put "
                         "temperatures between them")
        if stuck:
            notes.append(f"in {stuck} of {int(self.done[first].sum())} temperature ladders no configuration went from the "
                         "lowest temperature to the highest and back; raise sweeps, or put temperatures where the flow is "
                         "steepest")
        return notes

    @property
    def n_disorder(self) -> np.ndarray:
        """(P,) number of finished disorder samples."""
        return self.done.sum(axis=1)

    @property
    def sweeps(self) -> np.ndarray:
        """(B,) the axis of every series: sweeps (epochs of training, trajectories) that had been made at each entry, burn-in
        included; of a bin of several measurements their mean."""
        return kept_sweeps(self.job["sampling"], self.bin_length)

    def belongs_to(self, plan: Mapping) -> bool:
        """Whether these are results of the job of this plan (RunFolder)."""
        return to_json([self.points, self.job]) == to_json([plan["points"], plan["job"]])  # what was measured may be nan

    def tasks_done(self, tasks: Iterable) -> int:
        """How many of the tasks of a plan are finished; a temperature ladder is one."""
        return sum(bool(np.all(self.done[points, disorder])) for _, points, disorder in tasks)

    @functools.cached_property
    def swept(self) -> tuple[str, ...]:
        """The parameters that differ between points (temperature if none does); what was measured on data is none."""
        names = dict.fromkeys(name for point in self.points for name in point if name != "measured")
        different = tuple(
            name for name in names if any(point.get(name) != self.points[0].get(name) for point in self.points)
        )
        return different or ("temperature",)

    @functools.cached_property
    def coordinates(self) -> Coordinates:
        """The keys that tell the points apart as they were written, beside what became of them."""
        return Coordinates(self.points, self.asked)

    @functools.cached_property
    def places(self) -> list[str]:
        """(P,) the points in words, by their coordinates: "temperature = 0.5"."""
        return [", ".join(f"{name} = {_in_words(value)}" for name, value in self.coordinates.at(index).items())
                for index in range(len(self.points))]

    def to_table(self) -> Table:
        """One row per point: its coordinates, samples, lost ones, and an Estimate for every observable."""
        return Table(self.coordinates.at(i) | self.row(i) for i in range(len(self.points)))

    def row(self, point: int) -> dict:
        """Samples, lost ones, and an Estimate for every observable of one point."""
        row = {"samples": int(self.n_disorder[point]), "lost": int(self.lost[point])}
        for name in self:
            observable = self[name]
            for component in np.ndindex(observable.samples.shape[2:]):
                row[name + "".join(f"[{index}]" for index in component)] = observable.estimate(point, component)
        return row

    def to_xarray(self, samples: bool = False, chains: bool = False):
        """An xarray.Dataset with an axis for every swept key: `res.to_xarray()["m"].sel(gamma=0.1, temperature=0.4)`.

        Keys have the values that were written, in that order (lists as text). Coordinates along them: n_patterns, the load of
        that integer number as gamma_realised, and whatever else became of them. Points that are not all combinations of some
        values (in files that do not know what was written) lie on one axis "point", the parameters along it. Components have an
        axis "pattern", "rank" (m_sorted) or "task".
        Variables of an observable such as m: m (its mean), m_error (nan where there is no error bar: `Observable.error`),
        m_raw_error, m_tau (in measurements), m_r_hat, m_too_short; the last three not for what has no autocorrelation time. An
        observable with the name of a parameter is <name>_observed. n_samples, lost: finished samples, and those that left the
        planted state. samples: also m_samples (..., disorder), nan where not done. chains: also m_chains (..., disorder, bin,
        replica or pair), with the sweep of each bin.
        Attributes: the parameters that all points share, name, seed, job (JSON, with the sampling), hebb_version; of variables
        long_name, units and symbol (LaTeX). Raises EnvironmentMismatch without xarray.
        """
        return export.dataset(self, samples, chains)

    def to_dataframe(self):
        """A pandas.DataFrame, one row per point, observable and component.

        Columns: coordinates as in `to_xarray` (of lists of numbers also one column per entry, alpha_realised[0], ...),
        observable (categorical), component (Int64, none for observables without), mean, error (nan where there is no error
        bar), raw_error, tau, r_hat, too_short, samples, lost, and the parameters that all points share.
        Numbers are int64 or float64, words str. Raises EnvironmentMismatch without pandas.

            frame = results.to_dataframe()
            frame[frame["observable"] == "m"].pivot(index="gamma", columns="temperature", values="mean")
        """
        return export.dataframe(self)

    def plot(self, observables=None, x: str | None = None):
        """A matplotlib Figure of the means with their errors along one swept key, without theory.

        observables: names, one row each; by default up to four order parameters. x: a swept key, by default the one with most
        values (training: "epoch", learning curves with a band of one standard error); loads are those of the integer numbers of
        patterns. The other keys and components are colours, marks and, where there are many, panels. Hollow: chains that were
        too short. `results.plot().savefig("job.png")`. Raises ParameterError.
        """
        from .figure import results_figure

        return results_figure(self, observables, x)

    def save(self, path) -> None:
        """Write one HDF5 file that `hebb.load` opens; its datasets are a function of the job alone."""
        shapes = {name: series.shape[2:] for name, series in self.data.items()}
        with ResultsWriter(Path(path), self, shapes) as writer:
            writer.put(self, list(range(len(self.points))), 0)

    @classmethod
    def open(cls, path) -> Results:
        """The results in a file written by `save`."""
        with open_file(Path(path), schema.RESULTS) as file:
            results = cls.head_of(file)
            results.data = {name: dataset[()] for name, dataset in file.get(schema.SERIES, {}).items()}
            for point, samples in file.get(schema.SPINS, {}).items():
                for disorder, arrays in samples.items():
                    at = int(point), int(disorder)
                    results.spins[at] = {name: dataset[()] for name, dataset in arrays.items()}
        return results

    @classmethod
    def head_of(cls, file) -> Results:
        """The results in an open file without series and spins."""
        return cls(
            points=[json.loads(text) for text in file[schema.POINTS].asstr()[()]],
            asked=[json.loads(text) for text in file[schema.ASKED].asstr()[()]] if schema.ASKED in file else [],
            job=json.loads(file[schema.JOB].asstr()[()]),
            done=file[schema.DONE][()],
            lost_samples=file[schema.LOST][()],
            acceptance=file[schema.ACCEPTANCE][()],
            exchange={name: dataset[()] for name, dataset in file.get(schema.RUNGS, {}).items()},
            data={},
            bin_length=int(file.attrs["bin_length"]),
            seconds=float(file.attrs["seconds"]),
            provenance=json.loads(file.attrs[schema.PROVENANCE]),
            origins=Origins(json.loads(file.attrs.get(schema.ORIGINS, "[]"))),
        )
