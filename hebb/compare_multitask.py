"""Multitasking networks: simulation against the theory of the very samples that were run, and against the infinite system.

At low storage a sample is known by its classes of spins, and differs from the average one by O(1/sqrt(N)): far more than a
chain's noise. Hence, for every sample and replica (docs/conventions.md, "Finite size of multitasking networks"):

*Which state.* A chain's overlaps are averaged over the first half of its series; the state is the minimum of the sample's own
free energy in whose basin they lie (`theory.sample_states`). If the second half leads to another one the chain has changed its
state, and its branch has no z at this point: leaving such chains out would bias the rest.
*What is compared.* Overlaps m with every pattern (n with a dataset), energy and q: the time average minus the sample's theory
with its shift of order 1/N. Differences are averaged over replicas, and their scatter between samples is the error.
R-hat, too, is taken of the differences, for replicas may sit in different states of one sample.
*The infinite system* beside it is the population's state in whose basin the sample's state lies, which gives the branch its
name. Its z has the scatter of the averages themselves for an error, to which all samples contribute their disorder.
*Order.* Overlaps are numbered as the population has them, m[0] the largest, with positive sign; patterns that are alike
there stay in the order drawn, and those it does not retrieve keep their sign relative to m[0].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from . import models
from .comparison import Row, judged
from .error_bars import too_rare
from .errors import NoSolution, ParameterError
from .finite_size import LARGEST_ANHARMONICITY, SOFT, not_small
from .models.classes import Classes
from .params import MultitaskLaw
from .sampling.chain import chain_class
from .statistics import MEASUREMENTS_PER_TAU, estimate, of_samples, samples_that_moved
from .storage.results import Results
from .theory.multitask import Multitask
from .theory.multitask_states import find_states, names, tidy
from .theory.sample_states import Sample

__all__ = ["LEGEND", "lowest_energy_of", "rows", "theory_of"]

LEGEND = ("theory: every sample's own fixed point at its shares of spins, on the branch of each chain, with its shift of\n"
          "order 1/N; errors are those of the difference. infinite: the population's fixed point on that branch, whose z has\n"
          "the scatter between samples for an error.")

_LAW = ("n_patterns", "dilution", "protocol", "r", "n_examples", "rho", "normalize_dilution", "normalize_examples")
_EQUILIBRIUM = ("metropolis", "glauber", "lumped", "hubbard_stratonovich")
_SAME = 1e-6  # relative distance of overlaps below which two states are one


def theory_of(point: dict, theories: dict[tuple, Multitask]) -> Multitask:
    """The infinite system of a point, looked up in theories or added to them."""
    key = tuple(point.get(name) for name in _LAW)
    if key not in theories:
        theories[key] = Multitask(**_keywords(point))
    return theories[key]


def lowest_energy_of(point: dict, theories: dict[tuple, Multitask]) -> float:
    """A bound below all mean energies at a point: -(scale/2) times the largest eigenvalue of (1/N) sum_i y_i y_i^T, at most
    (sqrt(p) + sqrt(Q/N))^2 for the Q rows that are stored; none for given patterns."""
    if "patterns" in point or "fields" in point:
        return -math.inf
    law = theory_of(point, theories).law
    rows = law.n_patterns * (law.n_examples or 1 if law.protocol == "unsupervised" else 1)
    return -law.scale / 2 * (math.sqrt(1 - law.dilution) + 2 * math.sqrt(rows / point["n_spins"])) ** 2


def _keywords(point: dict) -> dict:
    return {name: point[name] for name in _LAW if name in point}


def rows(results: Results, theories: dict, shifted: bool = True) -> list[Row]:
    """Join results with theory; theories is filled. shifted = False leaves out the shift of order 1/N.

    Samples are drawn again, each once for all temperatures of its model. Cost: milliseconds per chain in storage, and
    O(N Q^2) per chain for datasets whose Q columns make every spin a class of its own.
    """
    points = [_Point(results, index, shifted) for index in range(len(results.points))]
    quenched = results.job["sampling"]["dynamics"] not in _EQUILIBRIUM
    for point in points:
        if quenched or point.parameters["temperature"] == 0:
            point.reason = "quenches and mean-field updates are not equilibrium"
    for alike in _by_model(point for point in points if not point.reason):
        try:
            model = _model(alike[0].parameters)
            for point in alike:
                point.theory = theory_of(point.parameters, theories)
            for disorder in range(results.done.shape[1]):
                todo = [point for point in alike if results.done[point.index, disorder]]
                if todo:
                    classes = _classes(model, results, disorder)
                    for point in todo:
                        point.meet(classes, disorder)
        except (NoSolution, ParameterError) as error:  # one model outside the theory's range must not hide the others
            for point in alike:
                point.reason = str(error)
    return [row for point in points for row in point.rows()]


def _by_model(points: Iterable[_Point]) -> Iterator[list[_Point]]:
    groups: dict[str, list[_Point]] = {}
    for point in points:
        key = repr({name: value for name, value in point.parameters.items() if name != "temperature"})
        groups.setdefault(key, []).append(point)
    yield from groups.values()


def _model(point: dict):
    """The model of a point, as it was run. Raises NoSolution where it has no theory."""
    if "patterns" in point or "fields" in point:
        raise NoSolution("no theory for given patterns or fields")
    return models.from_keys("multitask", {name: point[name] for name in models.keys("multitask") if name in point})


def _classes(model, results: Results, disorder: int) -> Classes:
    """The sample that the chains ran on."""
    drawn = chain_class(results.job["sampling"]["dynamics"]).draw(model, results.job["seed"], disorder)
    return drawn if isinstance(drawn, Classes) else Classes.of(drawn)


@dataclass
class _Chain:
    """One chain's state in its sample. m, n (K,), energy: as theory has them. guide: (K,) amplitudes |g|, from which the
    population's state is found. changed: whether the halves of the series lead to different states."""

    m: np.ndarray
    n: np.ndarray | None
    energy: float
    anharmonicity: float
    guide: np.ndarray
    changed: bool


@dataclass
class _Point:
    """What theory finds at one point of a job, sample by sample."""

    results: Results
    index: int
    shifted: bool
    theory: Multitask | None = None
    reason: str = ""
    chains: dict[tuple[int, int], _Chain] = field(default_factory=dict)  # (disorder, replica)
    q: dict[tuple[int, int], float] = field(default_factory=dict)  # (disorder, pair)

    @property
    def parameters(self) -> dict:
        return self.results.points[self.index]

    @property
    def model_name(self) -> str:
        law = MultitaskLaw.from_keywords(**_keywords(self.parameters))
        return f"K={law.n_patterns}" + ("" if law.protocol == "storage" else f" {law.protocol}")

    def data(self, name: str) -> np.ndarray:
        """(D, B, C, ...) bins of this point."""
        series = self.results.data[name][self.index]
        return series[..., :self.parameters["n_patterns"]] if name in ("m", "n") else series

    def meet(self, classes: Classes, disorder: int) -> None:
        """Find the states of the replicas on one sample."""
        law = self.theory.law
        sample = Sample(classes.columns * classes.unit, classes.counts / classes.n_spins, classes.n_spins,
                        self.parameters["temperature"], law.scale)
        series = self.data("m" if law.protocol == "storage" else "n")[disorder]
        learned = _projection(law)
        states = []
        try:
            for replica in range(series.shape[1]):
                halves = [half for half in np.array_split(series[:, replica], 2) if len(half)]
                found = [sample.follow((1 + law.rho) * learned @ half.mean(axis=0)) for half in halves]
                first, second = found[0], found[-1]
                changed = np.max(np.abs(first.g - second.g)) > _SAME * np.max(np.abs(sample.columns))
                m = first.overlap(classes.archetypes, self.shifted)
                n = None if law.protocol == "storage" else first.overlap(sample.columns @ learned, self.shifted)
                guide = np.abs(m if n is None else math.sqrt(1 + law.rho) * n)
                energy = first.energy + (first.energy_shift if self.shifted else 0.0)
                self.chains[disorder, replica] = _Chain(m, n, energy, first.anharmonicity, guide, bool(changed))
                states.append(first)
        except NoSolution as error:
            self.reason = f"sample {disorder}: {error}"
            return
        for pair, (a, b) in enumerate(itertools.combinations(states, 2)):
            self.q[disorder, pair] = a.replica_overlap(b, self.shifted)

    # ---- from states to rows -----------------------------------------------------------------------------------------

    def rows(self) -> Iterator[Row]:
        if self.reason or not self.chains:
            yield from self._without_theory()
            return
        shape = self.data("m").shape[0], self.data("m").shape[2]
        amplitudes, branches = self._population()
        for branch in sorted(set(branches.values())):
            mask = np.zeros(shape, bool)
            for at, name in branches.items():
                mask[at] = name == branch
            chosen = next(amplitudes[at] for at, name in branches.items() if name == branch)
            softest = max(self.chains[at].anharmonicity for at in zip(*np.nonzero(mask), strict=True))
            notes = (f"soft: anharmonicity {softest:.2g}",) if softest > SOFT else ()
            moved = sum(self.chains[at].changed for at in zip(*np.nonzero(mask), strict=True))
            reasons = [f"{moved} of {np.count_nonzero(mask)} chains changed their state"] if moved else []
            refused = self.shifted and softest > LARGEST_ANHARMONICITY
            reasons += [not_small(softest)] if refused else []
            for row in self._branch(branch, mask, chosen, "; ".join(reasons), notes):
                yield replace(row, theory=math.nan) if refused else row

    def _without_theory(self) -> Iterator[Row]:
        for name in ("m", "q", "energy"):
            if name in self.results:
                observable = self.results[name]
                for component in np.ndindex(observable.samples.shape[2:]):
                    samples = observable.samples[(self.index, slice(None), *component)]
                    if np.isfinite(samples).any():
                        found = observable.estimate(self.index, component)
                        label = name + "".join(f"[{k}]" for k in component)
                        yield Row(self.parameters, label, found.mean, found.bar, *[math.nan] * 4, "",
                                  self.reason or "no finished sample", (), self.model_name)

    def _population(self) -> tuple[dict, dict]:
        """Amplitudes g (K,) of the population and the name of its branch for every chain."""
        where = list(self.chains)
        starts = np.array([-np.sort(-self.chains[at].guide) for at in where])
        found = find_states(self.theory.columns, self.parameters["temperature"] / self.theory.law.scale, starts)
        amplitudes = tidy(found.g)
        return dict(zip(where, amplitudes, strict=True)), dict(zip(where, map(str, names(amplitudes)), strict=True))

    def _branch(self, branch, mask, amplitudes, excluded, notes) -> Iterator[Row]:
        infinite = _values(self.theory, amplitudes, self.parameters["temperature"])
        observables = list(self._observables(mask, amplitudes))
        # a slow overlap moves everything else with it
        if not excluded and any(self._too_short(series - theory[:, None], where) for _, theory, series, where in observables):
            excluded = "chain too short"
        for name, theory, series, where in observables:
            if where.any():  # replicas on different branches have no q
                yield self._row(name, series, theory, where, infinite.get(name, math.nan), branch, excluded, notes)

    def _observables(self, mask, amplitudes) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """(name, theory (D, C), series (D, B, C), which of them are on the branch (D, C)) of everything compared."""
        shape, k = mask.shape, len(amplitudes)
        order, sign = np.zeros((*shape, k), int), np.ones((*shape, k))
        for at in zip(*np.nonzero(mask), strict=True):
            order[at], sign[at] = _order(self.chains[at], amplitudes)
        for name in ("m", "n"):
            if name == "n" and next(iter(self.chains.values())).n is None:
                continue
            theory = np.full((*shape, k), math.nan)
            for at in zip(*np.nonzero(mask), strict=True):
                theory[at] = getattr(self.chains[at], name)[order[at]] * sign[at]
            series = np.take_along_axis(self.data(name), order[:, None], axis=-1) * sign[:, None]
            for component in range(k):
                yield f"{name}[{component}]", theory[..., component], series[..., component], mask
        theory = np.full(shape, math.nan)
        for at in zip(*np.nonzero(mask), strict=True):
            theory[at] = self.chains[at].energy
        yield "energy", theory, self.data("energy"), mask
        if "q" in self.results.data:
            pairs = list(itertools.combinations(range(shape[1]), 2))
            both = np.stack([mask[:, a] & mask[:, b] for a, b in pairs], axis=1)
            theory = np.array([[self.q.get((d, pair), math.nan) for pair in range(len(pairs))] for d in range(shape[0])])
            yield "q", theory, self.data("q"), both

    def _row(self, name, series, theory, mask, infinite, branch, excluded, notes) -> Row:
        """One observable: series (D, B, C), theory and mask (D, C)."""
        samples = np.flatnonzero(mask.any(axis=1))
        means = np.array([series[d][:, mask[d]].mean() for d in samples])
        expected = np.array([theory[d, mask[d]].mean() for d in samples])
        moved = self._moved(series, mask)
        averages, differences = of_samples(means, moved), of_samples(means - expected, moved)
        z = z_infinite = math.nan
        if not excluded:
            flip = math.nan if name == "energy" else 2 / self.parameters["n_spins"]
            z, excluded, more = judged(differences, 0.0, flip, own=True)
            z_infinite = judged(averages, infinite)[0] if math.isfinite(infinite) and not excluded else math.nan
            notes = notes + more
        bar = math.nan if too_rare(moved, len(samples)) else differences.bar
        return Row(self.parameters, name, averages.mean, bar, float(expected.mean()), infinite, z, z_infinite, branch, excluded,
                   notes, self.model_name)

    @staticmethod
    def _moved(series: np.ndarray, mask: np.ndarray) -> int:
        """The number of samples in which a chain on the branch moved; series (D, B, C), mask (D, C)."""
        return sum(int(samples_that_moved(series[[d]][:, :, mask[d]])[0]) for d in np.flatnonzero(mask.any(axis=1)))

    def _too_short(self, differences, mask) -> bool:
        """Whether the chains on the branch were too short, judged by their differences from their own states. What hardly any
        chain saw happen is too rare to judge by: chains at rest differ from their states by what theory has of it."""
        chains = mask.sum(axis=1)
        long_enough = differences.shape[1] >= MEASUREMENTS_PER_TAU  # even if every measurement were new
        if long_enough and too_rare(self._moved(differences, mask), np.count_nonzero(chains)):
            return False
        return any(estimate(np.array([differences[d][:, mask[d]] for d in np.flatnonzero(chains == number)]),
                            self.results.bin_length).too_short for number in np.unique(chains[chains > 0]))


def _projection(law: MultitaskLaw) -> np.ndarray:
    """(Q, K): n = g @ this for overlaps g with the stored columns (storage: m); (1 + rho) this @ n is g if examples are met
    alike."""
    k = law.n_patterns
    if law.protocol == "unsupervised":
        return np.repeat(np.eye(k), law.n_examples, axis=0) / math.sqrt(law.n_examples * (1 + law.rho))
    return np.eye(k) / math.sqrt(1 + law.rho)


def _order(chain: _Chain, amplitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(order, sign) (K,) in which a chain's overlaps are those of the population, whose amplitudes descend."""
    order = np.argsort(-chain.guide, kind="stable")
    levels = np.concatenate([[0], np.cumsum(np.diff(amplitudes) != 0)])
    order = order[np.lexsort((order, levels))]  # patterns that are alike in the order drawn
    own = np.where(chain.m[order] < 0, -1.0, 1.0)
    return order, np.where(amplitudes > 0, own, own[0])


def _values(theory: Multitask, amplitudes: np.ndarray, temperature: float) -> dict[str, float]:
    """The infinite system's observables in the state of these amplitudes."""
    law = theory.law
    m = np.where(amplitudes > 0, theory.columns.archetype(amplitudes, temperature / law.scale), 0.0)
    values = {f"m[{k}]": float(x) for k, x in enumerate(m)}
    values |= {f"n[{k}]": float(x) for k, x in enumerate(amplitudes / math.sqrt(1 + law.rho))}
    return values | {"energy": -law.scale / 2 * float(amplitudes @ amplitudes)}
