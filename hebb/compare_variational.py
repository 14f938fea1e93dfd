"""Field-space (variational) perceptrons: Hamiltonian Monte Carlo against its theory, gradient descent beside it.

*hmc* samples exp(-beta L) on the flat measure, of which replica symmetry is the theory: q0, qd and, for each task, r[t] and
overlap[t] (p of sgn m) get z-scores. The first task is a saddle of `Perceptron.first_task` with its divergence from the
uniform prior, the second one a Franz-Parisi potential whose reference is a sample of the first at the same beta. Where two
share the load, start = "random" is compared with the poor one and "teacher" with the good one, a state in its own right each.

*gradient* minimises L and samples nothing: its end is set beside the theory, without a z. First tasks without a divergence
have no minimum to converge to (fields grow for ever where the examples can be satisfied) and stand beside beta = 20, those
with one beside beta = 100, later tasks beside beta = 20, the published choices; going on to beta = 1600 moves errors with a
divergence of weight 1 by less than 0.007 (first task) and 0.0005 (second). The end of each task has rows of its own, without a
mean where no measurement falls on that epoch.

Theory chains two tasks, and no more: later ones are listed without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from .comparison import Row, judged
from .errors import NoSolution, ParameterError
from .sampling.stages import ends_of_training, entries_at, not_measured
from .statistics import of_samples
from .storage.results import Results
from .theory.perceptron import FirstTask, Perceptron, SecondTask

__all__ = ["LEGEND", "beside_gradient", "followed", "lowest_energy_of", "rows", "stage_ends", "states"]

LEGEND = ("hmc: replica symmetry of the infinite system at the same beta, with z. gradient: values at the end of each task;\n"
          "infinite is replica symmetry at beta = 20 (first tasks with a divergence: 100), which samples where gradients\n"
          "minimise, hence no z.")

_BETA, _BETA_WITH_PRIOR = 20.0, 100.0
_SAMPLED = ("q0", "qd", "r", "overlap")
_LEARNED = ("error", "overlap", "qd")


def rows(results: Results, theories: dict) -> list[Row]:
    """Join results with theory; theories is filled with the saddles of the points, one for each task. Cost: up to 0.5 s a
    saddle."""
    sampled = results.job["sampling"]["dynamics"] == "hmc"
    return [row for index in range(len(results.points))
            for row in (_sampled if sampled else _learned)(results, index, theories)]


def lowest_energy_of(point: dict, theories: dict) -> float:
    """Log-likelihoods and divergences are not negative."""
    return 0.0


def states(point: dict, branch: str, betas: Sequence[float]) -> list[FirstTask | SecondTask]:
    """The saddles of the tasks of a point, each at its beta and each with the one before as its reference.

    branch: "poor" | "good", where two coexist. Raises NoSolution for a third task.
    """
    if len(point["alpha"]) > 2:
        raise NoSolution(f"{len(point['alpha'])} tasks: a Franz-Parisi potential has a second one only")
    first, *second = (Perceptron(beta) for beta in betas)
    found = [followed(first.first_task, point["alpha"][0], kl=point["kl"][0], branch=branch)]
    for theory in second:
        found.append(followed(theory.second_task, found[0], point["alpha"][1],
                              teacher_correlation=point["teacher_correlation"][0], kl=point["kl"][1], branch=branch))
    return found


def followed(solve, *arguments, branch: str, **keywords):
    """The only saddle, or that of the branch where two coexist."""
    try:
        return solve(*arguments, branch="unique", **keywords)
    except NoSolution:
        return solve(*arguments, branch=branch, **keywords)


def beside_gradient(point: dict) -> list[FirstTask | SecondTask]:
    """What gradient descent is set beside: the saddles of the first two tasks at the published beta."""
    two = {name: point[name][:2] for name in ("alpha", "kl")} | {"teacher_correlation": point["teacher_correlation"][:1]}
    betas = [_BETA_WITH_PRIOR if point["kl"][0] else _BETA, _BETA][:len(two["alpha"])]
    return states(two, "poor", betas)


def _unstable(found: Sequence[FirstTask | SecondTask]) -> str:
    """The reason why replica symmetry is not the answer, if it is not."""
    for task, state in enumerate(found, start=1):
        if state.replicon_ratio >= 1:
            where = f" of task {task}" if len(found) > 1 else ""
            return f"RS unstable{where}, replicon ratio {state.replicon_ratio:.2f}"
    return ""


def _values(found: Sequence[FirstTask | SecondTask]) -> dict[tuple[str, int | None], float]:
    """(observable, task it is of or None) -> value in the last of these states."""
    state = found[-1]
    values = {("q0", None): state.q0, ("qd", None): state.qd, ("r", 0): state.r1}
    if isinstance(state, SecondTask):
        values |= {("r", 1): state.r2, ("overlap", 0): state.overlap1, ("overlap", 1): state.overlap2,
                   ("error", 0): state.error_task1, ("error", 1): state.error_task2}
    else:
        values |= {("overlap", 0): state.overlap, ("error", 0): state.generalization_error}
    return values


def _label(name: str, task: int | None) -> str:
    return name if task is None else f"{name}[{task}]"


# ---- Hamiltonian Monte Carlo -----------------------------------------------------------------------------------------

def _sampled(results: Results, index: int, theories: dict) -> Iterator[Row]:
    point, found, values, reason = results.points[index], [], {}, ""
    try:
        branch = "good" if results.job["sampling"]["start"] == "teacher" else "poor"
        found = states(point, branch, [1 / point["temperature"]] * len(point["alpha"]))
        values, reason, theories[index,] = _values(found), _unstable(found), found
    except (NoSolution, ParameterError) as error:  # one point outside the theory's range must not hide the others
        reason = str(error)
    branch = " after ".join(dict.fromkeys(state.branch for state in reversed(found)))
    for name in _SAMPLED:
        for task in range(len(point["alpha"])) if name in ("r", "overlap") else (None,):
            if name in results:
                estimate = results[name].estimate(index, () if task is None else (task,))
                theory = values.get((name, task), math.nan)
                excluded = reason or ("chain too short" if estimate.too_short else "")
                excluded = excluded if estimate.n else "no finished sample"
                z, excluded, notes = (math.nan, excluded, ()) if excluded else judged(estimate, theory)
                yield Row(point, _label(name, task), estimate.mean, estimate.bar, theory, theory, z, math.nan, branch,
                          excluded, notes, _model_name(point, "hmc"))


# ---- gradient descent ------------------------------------------------------------------------------------------------

def stage_ends(results: Results, point: dict) -> np.ndarray:
    """(T,) epochs that have been made when the training on each task ends."""
    return ends_of_training(results.job["sampling"]["learning"]["epochs"], len(point["alpha"]))


def _learned(results: Results, index: int, theories: dict) -> Iterator[Row]:
    """Rows of every task that was begun; their means are nan where its end was not measured."""
    point, found, reason, sampling = results.points[index], [], "", results.job["sampling"]
    if not results.done[index].any():
        return
    try:
        found = theories[index,] = beside_gradient(point)
    except (NoSolution, ParameterError) as error:
        reason = str(error)
    ends = stage_ends(results, point)
    entries = entries_at(ends, sampling, results.bin_length)
    made = sampling["thermalize"] + sampling["sweeps"] // sampling["measure_every"] * sampling["measure_every"]
    for stage, (begin, entry) in enumerate(zip([0, *ends[:-1]], entries, strict=True)):
        if begin >= made:
            break
        values = _values(found[:stage + 1]) if stage < len(found) else {}
        if stage < len(found):
            reason = _unstable(found[:stage + 1]) or "gradients minimise, no z"
        elif found:
            reason = "no theory beyond the second task"
        if entry is None:
            remedy = not_measured(ends, sampling, results.bin_length).partition("; ")[2]
            reason = f"epoch {ends[stage]} not measured; {remedy}"
        after = f" after task {stage + 1}" if len(point["alpha"]) > 1 else ""
        for name in _LEARNED:
            tasks = (None,) if name == "qd" else range(len(point["alpha"]) if name == "error" else stage + 1)
            for task in tasks:
                mean, error = (math.nan, math.nan) if entry is None else _at_entry(results, index, name, task, entry)
                infinite = values.get((name, task), math.nan)
                yield Row(point, _label(name, task) + after, mean, error, math.nan, infinite, math.nan, math.nan,
                          "", reason, (), _model_name(point, "gradient"))


def _at_entry(results: Results, index: int, name: str, task: int | None, entry: int) -> tuple[float, float]:
    """Mean and error of an entry of the series."""
    series = results.data[name][index, results.done[index], entry]  # (D, R) or (D, R, T)
    samples = (series if task is None else series[..., task]).mean(axis=1)
    found = of_samples(samples)
    return found.mean, found.bar


def _model_name(point: dict, dynamics: str) -> str:
    tasks = len(point["alpha"])
    return f"variational perceptron, {dynamics}" + (f", {tasks} tasks" if tasks > 1 else "")

