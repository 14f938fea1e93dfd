"""From a job file (or keywords) to tasks with stable names. Everything a user can get wrong is refused here, before
anything is drawn. What a job file holds is said in `hebb.runs.job_file`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import models
from ..errors import HebbWarning, ParameterError
from ..models.base import available_memory, kernel_module
from ..params import check_integer, check_real, digest, shown
from ..sampling.accumulators import bin_length_for
from ..sampling.chain import Chain, chain_class
from ..sampling.lumped import GibbsChain, LumpedChain
from ..sampling.options import OPTIONS, TRAINING
from ..sampling.plefka import Plefka
from ..sampling.stages import ends_of_training, not_measured
from ..sampling.starts import STARTS
from ..sampling.tempering import Ladder
from . import job_file
from .cost import seconds_of, series_bytes
from .executors import ranks_of_machine
from .refine import Refine
from .settings import sampling_settings

__all__ = ["Plan", "Task"]

_OF_CHAINS = ("replicas", "corruption", "dynamics", "order", *OPTIONS)


@dataclass(frozen=True)
class Task:
    """One disorder sample at one parameter point, or at all points of a temperature ladder: the unit of work.

    point, temperature: of a ladder all of them, the lowest temperature first. task_id is made of the point's digest and the
    disorder number alone, so it survives any change of the job around it; job is the digest of all of it. cost: estimated
    seconds on one core.
    """

    task_id: str
    point: int | tuple[int, ...]
    disorder: int
    seed: int
    model: object
    temperature: float | tuple[float, ...]
    sampling: Mapping
    start: object
    digest: str
    cost: float
    job: str

    @property
    def n_measurements(self) -> int:
        return self.sampling["sweeps"] // self.sampling["measure_every"]

    @property
    def bin_length(self) -> int:
        return bin_length_for(self.n_measurements)

    @property
    def parameters(self) -> dict:
        return {**self.model.parameters(), "temperature": self.temperature}

    def draw(self):
        """The disorder sample."""
        return _class_of(self.sampling).draw(self.model, self.seed, self.disorder)

    def chain(self, instance=None) -> Chain | Ladder | Plefka | LumpedChain | GibbsChain:
        """Draw the start, and the disorder unless the instance is there already."""
        return _class_of(self.sampling)(
            self.draw() if instance is None else instance,
            temperature=self.temperature,
            start=self.start,
            seed=self.seed,
            point=self.digest,
            **_settings_of(self.sampling),
        )


@dataclass(frozen=True)
class _Share:
    """What the tasks of one point, or of one temperature ladder, have in common; digest names the point."""

    place: int | tuple[int, ...]
    model: object
    temperature: float | tuple[float, ...]
    digest: str
    cost: float


class TaskList(Sequence):
    """The tasks of a job in job order, each made when it is asked for: there may be a million of them."""

    def __init__(self, shares: list[_Share], seed: int, sampling: Mapping, start, job: str):
        self._shares, self._seed, self._sampling, self._start = shares, seed, sampling, start
        self._disorder = sampling["disorder"]
        self.job = job  # digest

    def __len__(self) -> int:
        return len(self._shares) * self._disorder

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        share, disorder = divmod(index % len(self), self._disorder)
        share = self._shares[share]
        return Task(f"{share.digest[:12]}-d{disorder:04d}", share.place, disorder, self._seed, share.model, share.temperature,
                    self._sampling, self._start, share.digest, share.cost, self.job)

    def index(self) -> list[list]:
        """[task id, place of its point, disorder] of each."""
        return [[f"{share.digest[:12]}-d{disorder:04d}", share.place, disorder]
                for share in self._shares for disorder in range(self._disorder)]

    @property
    def costs(self) -> np.ndarray:
        """(n,) estimated seconds of each."""
        return np.repeat([share.cost for share in self._shares], self._disorder)


@dataclass(frozen=True)
class Plan:
    """A checked job. points: (model, temperature) in job order. tasks: in job order (points, then disorder)."""

    name: str
    seed: int
    points: tuple[tuple[object, float], ...]
    tasks: TaskList
    sampling: Mapping
    walltime: float | None  # seconds
    checkpoint_every: float  # seconds
    text: str = ""  # the job file
    refine: Refine | None = None  # points are added where the answer changes

    @classmethod
    def from_toml(cls, path, ranks: int | None = None) -> Plan:
        """The plan of a job file; StorageError if there is none, ParameterError or DataError for its content. ranks: how many
        share this machine's memory (default: as many as a launcher started)."""
        plan = cls.from_text(job_file.read(Path(path)), str(path))
        plan.require_memory(ranks)
        return plan

    @classmethod
    def from_text(cls, text: str, where: str = "the job file") -> Plan:
        """The plan of a job given as TOML text."""
        return cls.build(text=text, **job_file.settings(text, where))

    @classmethod
    def from_keywords(cls, model, temperature, seed: int = 1, start="planted", **sampling) -> Plan:
        """The plan of a model object at one temperature or a list of them; sampling as in [sampling].

        start may be an array of spins here, (N,) or (R, N) of +-1.
        """
        if isinstance(model, models.Instance):
            raise ParameterError(
                "an instance is one disorder sample and a simulation draws its own; give the model, which is instance.model"
            )
        if not isinstance(model, models.Model):
            raise ParameterError(
                f"{shown(model)} is not a model; give one, for example models.Dense(n_spins=64, p_body=4, gamma=0.1)"
            )
        if start is None:
            raise ParameterError(f"start = None is neither one of {', '.join(STARTS)} nor an array of +-1")
        named = isinstance(start, str)
        settings = sampling_settings({**sampling, "start": start if named else "array"})
        temperatures = np.atleast_1d(np.asarray(temperature, dtype=object))
        if temperatures.ndim != 1 or not len(temperatures):
            raise ParameterError(f"temperature = {shown(temperature)} is neither a number nor a list of numbers")
        points = [(model, value) for value in temperatures]
        plan = cls.build(name="simulate", seed=seed, points=points, sampling=settings, start=start)
        plan.require_memory()
        return plan

    @classmethod
    def build(
        cls,
        name: str,
        seed: int,
        points: Iterable[tuple[object, float]],
        sampling: Mapping,
        walltime: float | None = None,
        checkpoint_every: float = 300.0,
        text: str = "",
        start=None,
        refine: Mapping | Refine | None = None,
        job: str = "",
    ) -> Plan:
        """Check every point and lay out its tasks. refine: the section of a job file. job: the digest of the job to which these
        points were added."""
        kernel_module()
        seed = check_integer("seed", seed, 0, 2**63 - 1)
        start = sampling["start"] if start is None else start
        checked, names, digests = [], {}, []
        for model, temperature in points:
            temperature = check_real("temperature", temperature, 0.0)
            point = digest({**model.parameters(), "temperature": temperature})
            if point[:12] in names:
                raise ParameterError(
                    f"points {names[point[:12]]} and {len(checked)} of the job are the same; remove the "
                    "repeated value from its list"
                )
            names[point[:12]] = len(checked)
            checked.append((model, temperature))
            digests.append(point)
        kind, settings, shares = _class_of(sampling), _settings_of(sampling), _shares(checked, sampling["tempering"])
        for model, temperature, _ in shares:
            kind.check(model, temperature=temperature, start=start, **settings)
            kind.memory_bytes(model, sampling["replicas"] * np.size(temperature))
        for caution in dict.fromkeys(text for model, *_ in shares
                                     for text in (model.caution(start), _untrained(kind, model, sampling))):
            if caution:
                warnings.warn(caution, HebbWarning, stacklevel=2)
        tasks = TaskList(
            [_Share(place, model, temperature,
                    digest({**model.parameters(), "temperature": temperature}) if sampling["tempering"] else digests[place],
                    seconds_of(model, sampling) * np.size(temperature))
             for model, temperature, place in shares],
            seed, dict(sampling), start, job or _job_digest(checked, seed, sampling))
        if refine is not None and not isinstance(refine, Refine):
            refine = Refine.of(refine, checked, sampling["tempering"])
        return cls(name, seed, tuple(checked), tasks, dict(sampling), walltime, checkpoint_every, text, refine)

    def with_points(self, points: Iterable[tuple[object, float]]) -> Plan:
        """The same job at more points."""
        return Plan.build(self.name, self.seed, points, self.sampling, self.walltime, self.checkpoint_every, self.text,
                          refine=self.refine, job=self.tasks.job)

    def at_points_of(self, index: Mapping) -> Plan:
        """The same job at the points of a plan as plain data (RunFolder), to which a run may have added some."""
        if index["tasks"] == [[name, list(place) if isinstance(place, tuple) else place, disorder]
                              for name, place, disorder in self.tasks.index()]:
            return self
        pairs = zip(index["points"], index["asked"], strict=True)
        return self.with_points([(models.from_keys(point["kind"], asked), point["temperature"]) for point, asked in pairs])

    @property
    def bytes_per_rank(self) -> int:
        """What one task holds: its model and its series."""
        replicas, kind = self.sampling["replicas"], _class_of(self.sampling)
        shares = ((model, np.size(temperature)) for model, temperature, _ in _shares(self.points, self.sampling["tempering"]))
        return max(kind.memory_bytes(model, replicas * n) + n * series_bytes(model, self.sampling) for model, n in shares)

    @property
    def bytes_of_results(self) -> int:
        """What all tasks together leave, which merging holds at once, sorts where there are overlaps to be sorted, and holds
        once more as the bytes of the file."""
        held = ((2 + (model.kind == "multitask")) * series_bytes(model, self.sampling) for model, _ in self.points)
        return self.sampling["disorder"] * sum(held)

    def require_memory(self, ranks: int | None = None) -> None:
        """ParameterError where this machine's memory cannot hold the tasks of its ranks, or the results."""
        free, ranks = available_memory(), ranks or ranks_of_machine()
        for needed, what, remedy in (
            (ranks * self.bytes_per_rank, f"the tasks of {ranks} rank(s)", "lower replicas or the ranks per machine"),
            (self.bytes_of_results, f"the results of {len(self.tasks)} tasks", "lower disorder, replicas or the points"),
        ):
            if needed > free:
                raise ParameterError(
                    f"{what} need {needed / 2**30:.3g} GiB of memory and {free / 2**30:.3g} GiB are free; raise "
                    f"measure_every, or {remedy}"
                )

    @property
    def job(self) -> dict:
        return {"name": self.name, "seed": self.seed, "sampling": dict(self.sampling)}

    def index(self) -> dict:
        """The plan as plain data (storage.folder.RunFolder)."""
        return {
            "digest": self.tasks.job,
            "job": self.job,
            "points": [point | ({"measured": model.measured} if model.measured else {})
                       for point, (model, _) in zip(_plain_points(self.points), self.points, strict=True)],
            "asked": [model.asked for model, _ in self.points],
            "tasks": self.tasks.index(),
        }

    def longest_first(self, left: Sequence[int] | None = None) -> list[int]:
        """Numbers of tasks (all, or those left), the most expensive first, otherwise in job order."""
        chosen = np.arange(len(self.tasks)) if left is None else np.asarray(left, dtype=int)
        return chosen[np.argsort(-self.tasks.costs[chosen], kind="stable")].tolist()


def _class_of(sampling: Mapping) -> type:
    """The class of the chains of a task with these settings."""
    return Ladder if sampling["tempering"] else chain_class(sampling["dynamics"])


def _settings_of(sampling: Mapping) -> dict:
    """What a chain is told of these settings."""
    return {key: sampling[key] for key in (*_OF_CHAINS, *(["exchange_every"] if sampling["tempering"] else []))}


def _shares(points: Sequence[tuple[object, float]], tempering: bool) -> list[tuple]:
    """(model, temperature, place in points) of every point; of ladders, tuples of them for every model, coldest first."""
    if not tempering:
        return [(model, temperature, place) for place, (model, temperature) in enumerate(points)]
    ladders: dict[str, list[int]] = {}
    for place, (model, _) in enumerate(points):
        ladders.setdefault(model.digest, []).append(place)
    ladders = {name: sorted(places, key=lambda place: points[place][1]) for name, places in ladders.items()}
    return [(points[places[0]][0], tuple(points[place][1] for place in places), tuple(places)) for places in ladders.values()]


def _untrained(kind: type, model, sampling: Mapping) -> str:
    """A sentence where training ends before the last task of a sequence does, or what it had reached at the end of a task is
    not measured."""
    if sampling["dynamics"] not in TRAINING:
        return ""
    stages, epochs = kind.epochs(model, sampling["learning"]), sampling["thermalize"] + sampling["sweeps"]
    before = sum(stages[:-1])
    if epochs > before:
        return not_measured(ends_of_training(stages, len(stages)), sampling)
    return (f"thermalize + sweeps = {epochs} epochs end before the last of {model.n_tasks} tasks begins, after {before}; raise "
            "sweeps, or lower the epochs of [sampling.learning]")


def _plain_points(points: Iterable[tuple[object, float]]) -> list[dict]:
    return [{**model.parameters(), "temperature": temperature} for model, temperature in points]


def _job_digest(points, seed: int, sampling: Mapping) -> str:
    """Names everything that decides the numbers: not the job's name, nor wall time and checkpoints, which may change when
    a job is continued. "rule", "learning" and "exchange_every" count where they are given: older runs without them remain
    the same job."""
    later = ("rule", "learning", "exchange_every")
    sampling = {key: value for key, value in sampling.items() if key not in later or value is not None}
    return digest({"points": _plain_points(points), "seed": seed, "sampling": sampling})
