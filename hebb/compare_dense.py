"""Dense networks: simulation against replica theory, joined on parameters alone, and what the z-scores are worth.

How a finite sample is compared (docs/conventions.md, "Finite size"):

*Retrieval* (planted starts). The replica-symmetric state is taken where single flips of the planted state have their exact
cost and variance: with distinct indices at T/f_N and load (K-1)/K gamma_K/f_N, f_N = prod_{k<P}(1 - k/N) and gamma_K the
load of the integer K, energies being f_N e; with naive indices by a signal factor s_N = N [1 - (1 - 2/N)^P]/(2P) and the
slope at q = 1 of the noise covariance at finite N. To this the fluctuations of single samples are added at order 1/N.
The same holds for noisy datasets, whose fluctuations are larger (`finite_size.retrieval_at_size`).

*Examples.* Unsupervised, where the state that treats the M examples of the pattern alike is unstable (x >= 1,
`hebb.theory.example_response`), chains follow one example, and the state that does is compared, at the mapped point and without
the fluctuations of one sample. Which example a planted chain follows depends on the sample: it is the one nearer to the
archetype, so that m is larger than the theory's by O(1/sqrt N) and has no z; chains of one sample may follow different ones, so
that q has none either. Of two examples n and energy do not tell which one was followed; of more they do, and nothing has a z.

*Energy.* The raw energy of a planted run is nearly all the planted configuration's own; `energy_cv` has the same mean
without that scatter and is compared instead.

*Decay.* A point where any sample left the planted state has no z: dropping such samples biases, keeping them hides.

*Paramagnet.* The mapping has the wrong sign there. The exact annealed energy at finite N and K is used; for P = 2 and naive
indices with the quenched correction from the exact two-replica sum. Signed q vanishes; <|q|> is sqrt(chi) times
that of free spins, sqrt(2/(pi N)) but for 1/4N, where 1/chi is the replicon (over (1-beta)^2 for P = 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .comparison import Row, judged
from .errors import NoSolution, ParameterError
from .finite_size import (
    SOFT,
    NotSmall,
    anharmonicity,
    free_overlap,
    learning_paramagnet_energy,
    load_of,
    lowest_energy,
    mapped_point,
    paramagnet_energy,
    retrieval_at_size,
    susceptibility,
)
from .storage.results import Results
from .theory import Dense
from .theory.base import Solution

__all__ = ["Prediction", "law_of", "lowest_energy_of", "predict", "rows", "theory_of"]

_LAW = ("p_body", "hamiltonian", "protocol", "r", "n_examples", "rho")
_SMALLEST_SIZE = {2: 2000}  # below, what the mapping leaves exceeds a fraction of a 32-sample error bar; 128 for P >= 3
_FIXED = 1e-8  # change per update below which mean-field magnetisations have arrived
_LARGEST_CHI = 1.2  # nearer to a continuous glass, <|q|> of a small system is not the Gaussian one
_UNPREDICTED = ("m", "q", "energy", "recognised", "recognised_cue")  # shown where there is no theory
_LARGEST_SHARE = 0.6  # of the spinodal load: beyond, the retrieval state is soft and finite-size corrections grow


@dataclass(frozen=True)
class Prediction:
    """What theory says of one point. branch: "retrieval" | "example" | "paramagnet". values: observable -> number; unmapped:
    the same from the infinite system without finite-size mapping. notes: why the point may lie outside the domain of the
    theory. refused: why values are nan though the infinite system has a state. without_z: observable -> why it has no z."""

    branch: str
    values: dict[str, float]
    unmapped: dict[str, float]
    notes: tuple[str, ...] = ()
    refused: str = ""
    without_z: dict[str, str] = field(default_factory=dict)


def rows(results: Results, theories: dict) -> list[Row]:
    """Join results with theory; theories is filled. Points without a theory (images, quenches) keep their rows, with the
    reason."""
    found = []
    for index, point in enumerate(results.points):
        try:
            prediction, reason = predict(point, results.job["sampling"], theories), ""
        except (NoSolution, ParameterError) as error:  # one point outside the theory's range must not hide the others
            prediction, reason = None, str(error)
        names = _UNPREDICTED if prediction is None else tuple(prediction.values)
        for name in names:
            if name in results and np.isfinite(results[name].samples[index]).any():
                found.append(_row(results, index, name, prediction, reason))
    return found


def _row(results: Results, index: int, name: str, prediction: Prediction | None, reason: str) -> Row:
    estimate = results[name].estimate(index)
    excluded, notes = reason, ()
    theory = infinite = z = z_unmapped = math.nan
    branch = ""
    if prediction is not None:
        theory, infinite = prediction.values[name], prediction.unmapped[name]
        branch, notes, excluded = prediction.branch, prediction.notes, prediction.refused
        lost = int(results.lost[index])
        if branch == "retrieval" and lost:
            left = f"{lost} of {results.n_disorder[index]} samples left the planted state"
            excluded = f"{left}; {excluded}" if excluded else left
        elif excluded:
            pass
        elif "fixed_point_change" in results:  # magnetisations that have arrived have no autocorrelation
            if not np.nanmax(results["fixed_point_change"].samples[index]) < _FIXED:
                excluded = "fixed point not reached"
        elif estimate.too_short:
            excluded = "chain too short"
        if branch == "example":
            excluded = _left_example(results, index, prediction) or prediction.without_z.get(name, excluded)
        if not excluded:
            flip = math.nan if "energy" in name else 2 / results.points[index]["n_spins"]
            z, excluded, more = judged(estimate, theory, flip)
            z_unmapped = math.nan if excluded else judged(estimate, infinite, flip)[0]
            notes = notes + more
            if branch == "retrieval" and name == "m" and not excluded:
                notes = notes + _skewed(results, index, theory)
    point = results.points[index]
    return Row(point, name, estimate.mean, estimate.bar, theory, infinite, z, z_unmapped, branch, excluded, notes,
               _model_name(point), load_of(point))


def _left_example(results: Results, index: int, prediction: Prediction) -> str:
    """The remark on a point of which a chain no longer follows an example: its n is below half of what theory says."""
    n = results["n"].samples[index]
    left = int(np.sum(np.any(n.reshape(len(n), -1) < prediction.values["n"] / 2, axis=1)))
    return f"{left} of {results.n_disorder[index]} samples left the state that follows an example" if left else ""


def _skewed(results: Results, index: int, m: float) -> tuple[str, ...]:
    samples = results["m"].samples[index]
    deviation = float(np.nanstd(samples, ddof=1))
    return (f"skewed: sd(m)/(1-m) = {deviation / (1 - m):.2f}",) if deviation > 0.5 * (1 - m) else ()


def predict(point: dict, sampling: dict, theories: dict | None = None) -> Prediction:
    """What theory says of a point of a job. Raises NoSolution with the reason where it says nothing."""
    if "patterns" in point or "fields" in point:
        raise NoSolution("no theory for given patterns, images or fields")
    if sampling["dynamics"] == "zero_temperature":
        raise NoSolution("a quench at T = 0 is not an equilibrium state")
    if sampling["dynamics"] == "plefka" and (sampling["expansion"] != "tap" or sampling["start"] != "planted"):
        raise NoSolution("mean-field updates of first order are not equilibrium; planted fixed points of expansion = 'tap' are")
    theories = {} if theories is None else theories
    theory = theory_of(point, theories)
    if sampling["start"] == "planted":
        if _retrieves(point, theory):
            return _retrieval(point, theory)
        if theory.examples.exist and mapped_point(point)[1] <= theory.examples.branch_end(mapped_point(point)[0]):
            raise NoSolution("no retrieval here, though spins may follow one example: where the chain ends is not given by a "
                             "saddle point alone")
        if sampling["dynamics"] == "plefka":
            raise NoSolution("fixed points of mean-field updates are compared in retrieval only")
    elif sampling["start"] != "random":
        raise NoSolution(f"start = {sampling['start']!r}: where the chain ends is not given by a saddle point alone")
    return _paramagnet(point, theory)


def law_of(point: dict) -> tuple:
    """What `theory.Dense` must know of a point: equal for points of one theory."""
    return tuple(point.get(name) for name in _LAW)


def theory_of(point: dict, theories: dict[tuple, Dense]) -> Dense:
    """The theory of a point, looked up in theories or added to them."""
    key = law_of(point)
    if key not in theories:
        theories[key] = Dense(**{name: point[name] for name in _LAW if name in point})
    return theories[key]


def lowest_energy_of(point: dict, theories: dict[tuple, Dense]) -> float:
    """A bound below all mean energies at a point; none for given patterns."""
    return -math.inf if "patterns" in point or "fields" in point else lowest_energy(point, theory_of(point, theories))


def _model_name(point: dict) -> str:
    name = f"P={point['p_body']}" + (f" {point['hamiltonian']}" if point["p_body"] > 2 else "")
    if point["protocol"] == "storage":
        return name
    dataset = [f"{symbol}={point[key]:g}" for key, symbol in (("r", "r"), ("n_examples", "M"), ("rho", "rho")) if key in point]
    return f"{name} {point['protocol']} {' '.join(dataset)}"


def _retrieves(point: dict, theory: Dense) -> bool:
    temperature, gamma, _ = mapped_point(point)
    try:
        return gamma <= theory.spinodal(temperature).gamma
    except NoSolution:
        return False


def _example(point: dict, theory: Dense) -> Prediction | None:
    """The state that follows one example, where spins leave the one that treats examples alike; None where they do not."""
    temperature, gamma, scale = mapped_point(point)
    if theory.solve(gamma=gamma, temperature=temperature).example_response < 1:
        return None
    names = ("m", "n", "q", "energy")
    state = theory.examples.solve(gamma, temperature)
    try:
        plain = theory.examples.solve(load_of(point), point["temperature"])
        unmapped = {name: getattr(plain, name) for name in names}
    except NoSolution:
        unmapped = dict.fromkeys(names, math.nan)
    values = {name: getattr(state, name) for name in names}
    values["energy"] *= scale
    why = "depends on which example the chains of a sample follow"
    without = {name: why for name in (("m", "q") if point["n_examples"] == 2 else names)}
    if point["p_body"] > 2 and point["hamiltonian"] == "naive":
        without["energy"] = "no finite-size energy of naive indices in the state that follows an example"
    notes = list(_notes(point, theory, state, theory.examples.branch_end(temperature)))
    if state.others_response >= 1:
        notes.append("several examples may be followed")
    return Prediction("example", values, unmapped, tuple(notes), without_z=without)


def _notes(point: dict, theory: Dense, state, end: float) -> tuple[str, ...]:
    """Why a state near the planted configuration may lie outside the domain of the theory; end: the load where it ends."""
    notes = []
    smallest = _SMALLEST_SIZE.get(point["p_body"], 128)
    if point["n_spins"] < smallest:
        notes.append(f"N < {smallest}")
    if state.gamma > _LARGEST_SHARE * end:
        notes.append(f"beyond {_LARGEST_SHARE} of the spinodal load")
    if state.branch == "retrieval" and 1 - state.m < 1e-3:
        notes.append("1 - m < 0.001")
    if not state.replicon > 0:
        notes.append("replica symmetry broken")
    return tuple(notes)


def _retrieval(point: dict, theory: Dense) -> Prediction:
    if theory.examples.exist and (prediction := _example(point, theory)) is not None:
        return prediction
    names = ("m", "q", "energy_cv") if point["protocol"] == "storage" else ("m", "n", "q", "energy_cv")
    try:
        plain = theory.solve(gamma=load_of(point), temperature=point["temperature"], branch="retrieval")
        unmapped = dict(zip(names, (getattr(plain, name.removesuffix("_cv")) for name in names), strict=True))
    except NoSolution:
        unmapped = dict.fromkeys(names, math.nan)
    try:
        soft = anharmonicity(point, theory)
        state, values = retrieval_at_size(point, theory)
    except NotSmall as error:
        return Prediction("retrieval", dict.fromkeys(names, math.nan), unmapped, (), str(error))
    notes = (f"soft: anharmonicity {soft:.2g}",) if soft > SOFT else ()
    end, beginning = _ends(theory, state)
    notes += _notes(point, theory, state, end) + beginning
    return Prediction("retrieval", {name: values[name] for name in names}, unmapped, notes)


def _ends(theory: Dense, state: Solution) -> tuple[float, tuple[str, ...]]:
    """(the largest load of this retrieval state, a note where the load at which it begins is near).

    Raises NoSolution where another stable retrieval state exists at the same point.
    """
    states = theory.retrieval_states(state.gamma, state.temperature)
    if sum(other.stable for other in states) > 1:
        raise NoSolution(f"T = {state.temperature:.3g}: retrieval states with m = "
                         + " and ".join(f"{other.m:.3f}" for other in states if other.stable)
                         + " coexist; which one a chain is in is not given by a saddle point alone")
    name = next(other.branch for other in states if other.m == state.m)
    notes = ()
    if name in ("retrieval_low", "retrieval_middle") and (
            state.gamma * _LARGEST_SHARE < theory.onset(state.temperature, name).gamma):
        notes = (f"within {_LARGEST_SHARE} of the load where this retrieval state begins",)
    return theory.spinodal(state.temperature, branch=name).gamma, notes


def _paramagnet(point: dict, theory: Dense) -> Prediction:
    n, k, p, temperature = point["n_spins"], point["n_patterns"], point["p_body"], point["temperature"]
    gamma = load_of(point)
    state = theory.solve(gamma=gamma, temperature=temperature, branch="paramagnet")
    chi = susceptibility(point, theory)
    if p > 2 and temperature < math.sqrt(gamma):
        raise NoSolution(f"T = {temperature:g} < sqrt(gamma): near the glass, where chains do not equilibrate")
    if point["protocol"] == "storage":
        energy = paramagnet_energy(n, k, p, temperature, point["hamiltonian"])
    else:
        energy = learning_paramagnet_energy(point, theory)
    values = {"energy": energy, "q": 0.0}
    if chi < _LARGEST_CHI or n >= _SMALLEST_SIZE[2]:
        values["abs_q"] = math.sqrt(chi) * free_overlap(n)
    return Prediction("paramagnet", values, {**values, "energy": state.energy})
