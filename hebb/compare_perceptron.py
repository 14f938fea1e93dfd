"""Perceptrons with binary weights under the Gibbs measure: simulation against replica symmetry, one task and a second one.

*One task.* Overlap r with the teacher, overlap q of replicas and share of violated examples (with another loss also the energy)
at the load of the integer K, against the state of largest free entropy of the infinite system. What a finite system adds is of
order 1/N and measured in docs/perceptron.md. The error rate arccos(r)/pi has no z: r fluctuates, so that the mean of a curved
function of it is off by (1/2) Var(r) r/(pi (1-r^2)^(3/2)), of order 1/N as well; it would repeat what r says, with a bias.

*Second task.* The weights of a sample differ from its average mostly because its reference and its teachers do: the overlap of
w' with both teachers and that of the teachers scatter by 1/sqrt(N). All three are measured, and enter the theory of every
sample in place of their averages: only the share of weights with w' = W2 is in its saddle point. Differences from the theory of
the own sample are averaged, and their scatter between samples is the error.

*The margin.* Stabilities lie on a lattice of spacing 2/sqrt(N), and D < kappa is D < kappa' for the kappa' halfway between its
neighbours, off by up to 1/sqrt(N). With the loss "violations" kappa' enters the theory (kappa = 0: kappa' = 0); of the others
only the share of violated examples feels it, and has no z unless kappa' = kappa.

*No z* where replica symmetry is not the answer: where the perfect state wins (or, for random labels, the weights freeze), and
where the replicon ratio exceeds 1. Nor for chains that are too short: single flips change about N^(1/4) examples at the margin
at once, so that with the loss "violations" their acceptance falls like exp(-c sqrt(N)/T) (docs/perceptron.md).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .comparison import Row, judged
from .errors import NoSolution, ParameterError
from .statistics import of_samples
from .storage.results import Results
from .theory.perceptron_gibbs import GibbsState, SecondGibbsState, gibbs, gibbs_second

__all__ = ["LEGEND", "first_state", "lattice_margin", "lowest_energy_of", "of_sample", "rows", "second_state", "values_of"]

LEGEND = ("theory: replica-symmetric state of the infinite system at the load K/N (and at the margin of the lattice of\n"
          "stabilities); of a second task with every sample's own overlaps of reference and teachers, errors are those of the\n"
          "difference. infinite: with their averages (and the margin kappa).")

_EQUILIBRIUM = ("metropolis", "glauber")
_CURVED = "arccos of what fluctuates, biased at order 1/N: compare overlaps"
_LATTICE = "kappa off the middle of the lattice of stabilities"
_CURVES = ("generalization_error", "error_task1", "error_task2")
_FIRST = ("r", "q", "training_error", "generalization_error")
_SECOND = ("r1", "r2", "overlap_reference", "q", "training_error", "error_task1", "error_task2")


def rows(results: Results, theories: dict) -> list[Row]:
    """Join results with theory; theories is filled with the states of the points. Cost: 20 ms a point, 40 ms a sample of a
    second task."""
    found = []
    for index, point in enumerate(results.points):
        second = point["kind"] == "second_task"
        try:
            if results.job["sampling"]["dynamics"] not in _EQUILIBRIUM:
                raise NoSolution("quenches are not equilibrium")
            solve = second_state if second else first_state
            state = solve(point)
            infinite = values_of(solve(point, kappa=point["kappa"]))
            theories[index,] = state
            reason = "" if state.stable else f"RS unstable, replicon ratio {state.replicon_ratio:.2f}"
            samples = _of_samples(results, index, state) if second else {}
        except (NoSolution, ParameterError) as error:  # one point outside the theory's range must not hide the others
            state, reason, samples, infinite = None, str(error), {}, {}
        values = {} if state is None else values_of(state)
        names = _SECOND if second else _FIRST
        for name in names if point["loss"] == "violations" else (*names, "energy"):  # else alpha times the training error
            if name in results and np.isfinite(results[name].samples[index]).any():
                found.append(_row(results, index, name, values, infinite, samples.get(name), reason))
    return found


def lowest_energy_of(point: dict, theories: dict) -> float:
    """No loss is negative, but for one that is given."""
    return -math.inf if "values" in point else 0.0


def first_state(point: dict, **changed) -> GibbsState:
    """The state of a point's (first) task, or of the same with another alpha, temperature, ...

    Raises NoSolution where there is none."""
    _require_random_examples(point)
    number = "first_n_patterns" if point["kind"] == "second_task" else "n_patterns"
    known = {"alpha": point[number] / point["n_spins"], "temperature": point["temperature"], "loss": point["loss"],
             "kappa": lattice_margin(point) if point["loss"] == "violations" else point["kappa"], "labels": point["labels"]}
    return gibbs(**known | changed)


def lattice_margin(point: dict) -> float:
    """Halfway between the two possible stabilities of a point around its kappa, or kappa = 0."""
    n, kappa = point["n_spins"], point["kappa"]
    below = n - 2 * (math.floor((n - kappa * math.sqrt(n)) / 2) + 1)  # the largest x < kappa sqrt(N)
    return (below + 1) / math.sqrt(n) if kappa else 0.0


def second_state(point: dict, **changed) -> SecondGibbsState:
    """The state of a point's second task after `first_state`, or of the same with another alpha, coupling, ..."""
    if "reference" in point:
        raise NoSolution("no theory for a given reference")
    first = first_state(point, **{name: changed[name] for name in ("temperature", "kappa") if name in changed})
    changed.pop("kappa", None)  # of both tasks
    if not first.stable:
        raise NoSolution(f"the first task is RS unstable, replicon ratio {first.replicon_ratio:.2f}")
    known = {"alpha": point["n_patterns"] / point["n_spins"]}
    known |= {name: point[name] for name in ("temperature", "coupling", "teacher_correlation")}
    return gibbs_second(first, **known | changed)


def _require_random_examples(point: dict) -> None:
    for name in ("patterns", "values", "first_patterns"):
        if name in point:
            raise NoSolution("no theory for a tabulated loss" if name == "values" else "no theory for given examples")


def values_of(state) -> dict[str, float]:
    """The observables of a state by the names of simulation; the energy is per weight, without the coupling."""
    names = _SECOND if isinstance(state, SecondGibbsState) else _FIRST
    return {name: getattr(state, name) for name in names} | {"energy": state.alpha * state.cost}


def of_sample(state: SecondGibbsState, reference_r1: float, reference_r2: float, teacher_overlap: float) -> SecondGibbsState:
    """The second task of a sample whose reference and teachers have these overlaps w'.W1, w'.W2 and W1.W2, per weight.

    The saddle point knows the share of weights with w' = W2 alone, (1 + reference_r2)/2. Given them, <w> W2 is one number
    where w' = W2 and another elsewhere, and r1 = (1/N) sum_i B_i <w_i> W2_i follows from the shares of B in both groups.
    """
    gauge = dataclasses.replace(state.first, r=reference_r2)  # as if W1 were W2: their shares are what is asked for
    found = gibbs_second(gauge, state.alpha, state.temperature, state.coupling, teacher_correlation=1.0)
    same, opposite = (found.r2 + sign * found.overlap_reference for sign in (1, -1))  # times (1 +- reference_r2)
    r1 = sum((teacher_overlap + sign * reference_r1) / 2 * part / (1 + sign * reference_r2)
             for sign, part in ((1, same), (-1, opposite)) if 1 + sign * reference_r2 > 0)
    return dataclasses.replace(found, r1=r1, error_task1=math.acos(r1) / math.pi, first=state.first,
                               teacher_correlation=state.teacher_correlation)


def _of_samples(results: Results, index: int, state: SecondGibbsState) -> dict[str, np.ndarray]:
    """name -> (D,) theory of the samples, nan where not done."""
    measured = [results[name].samples[index] for name in ("reference_r1", "reference_r2", "teacher_overlap")]
    own = [values_of(of_sample(state, *overlaps)) if done else None
           for done, *overlaps in zip(results.done[index], *measured, strict=True)]
    return {name: np.array([math.nan if values is None else values[name] for values in own]) for name in values_of(state)}


def _row(results: Results, index: int, name: str, values: dict, infinite: dict, own: np.ndarray | None, reason: str) -> Row:
    """One observable: values of theory and of the infinite system, and (D,) theory of the samples if they have one."""
    estimate, point = results[name].estimate(index), results.points[index]
    theory, limit = values.get(name, math.nan), infinite.get(name, math.nan)
    judge, center, notes, z, z_infinite = estimate, theory, (), math.nan, math.nan
    if own is not None:
        done = results.done[index]
        theory, center = float(np.mean(own[done])), 0.0
        judge = of_samples(results[name].samples[index, done] - own[done], estimate.moved)
    excluded = reason or (_CURVED if name in _CURVES else "")
    if not excluded and name == "training_error" and point["loss"] != "violations":
        excluded = "" if math.isclose(lattice_margin(point), point["kappa"], abs_tol=1e-3 / point["n_spins"]) else _LATTICE
    if not excluded and estimate.too_short:
        excluded = "chain too short"
    if not excluded:
        flip = 1 / point["n_patterns"] if name == "training_error" else math.nan if name == "energy" else 2 / point["n_spins"]
        z, excluded, notes = judged(judge, center, flip, own is not None)
        if not excluded and (own is not None or limit != theory):
            z_infinite = judged(estimate, limit, flip)[0]
    return Row(point, name, estimate.mean, judge.bar, theory, limit, z, z_infinite, "" if not values else "RS", excluded, notes,
               _model_name(point), point["n_patterns"] / point["n_spins"])


def _model_name(point: dict) -> str:
    name = "second task" if point["kind"] == "second_task" else "perceptron"
    parts = [] if point["loss"] == "violations" else [point["loss"]]
    parts += [f"kappa={point['kappa']:g}"] if point["kappa"] else []
    parts += ["random labels"] if point["labels"] == "random" else []
    return " ".join([name, *parts])

