"""Simulation against theory, joined on parameters alone: a table with z-scores, and what it is worth.

How a finite sample is compared (docs/conventions.md, "Finite size"):

*Retrieval* (planted starts). The replica-symmetric state is taken where single flips of the planted state have their exact
cost and variance: with distinct indices at T/f_N and load (K-1)/K gamma_K/f_N, f_N = prod_{k<P}(1 - k/N) and gamma_K the
load of the integer K, energies being f_N e; with naive indices by a signal factor s_N = N [1 - (1 - 2/N)^P]/(2P) and the
slope at q = 1 of the noise covariance at finite N. To this the fluctuations of single samples are added at order 1/N.
The same holds for noisy datasets, whose fluctuations are larger (`finite_size.retrieval_at_size`).

*Energy.* The raw energy of a planted run is nearly all the planted configuration's own; `energy_cv` has the same mean
without that scatter and is compared instead.

*Decay.* A point where any sample left the planted state has no z: dropping such samples biases, keeping them hides.

*Paramagnet.* The mapping has the wrong sign there. The exact annealed energy at finite N and K is used; for P = 2 and naive
indices with the quenched correction from the exact two-replica sum. Signed q vanishes; <|q|> is sqrt(chi) times
that of free spins, sqrt(2/(pi N)) but for 1/4N, where 1/chi is the replicon (over (1-beta)^2 for P = 2).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import betaln, hyp2f1, ndtri_exp
from scipy.stats import t

from .errors import NoSolution, ParameterError
from .finite_size import (
    free_overlap,
    learning_paramagnet_energy,
    load_of,
    mapped_point,
    paramagnet_energy,
    retrieval_at_size,
    susceptibility,
)
from .statistics import with_error
from .storage.results import Results
from .storage.results import load as load_results
from .theory import Dense

__all__ = ["Comparison", "Prediction", "Row", "compare", "compare_results", "law_of", "normal_score",
           "predict", "theory_of"]

_LAW = ("p_body", "hamiltonian", "protocol", "r", "n_examples", "rho")
_SMALLEST_SIZE = {2: 2000}  # below, what the mapping leaves exceeds a fraction of a 32-sample error bar; 128 for P >= 3
_FIXED = 1e-8  # change per update below which mean-field magnetisations have arrived
_FEWEST_SAMPLES = 8  # with fewer, an error bar says little
_LARGEST_CHI = 1.2  # nearer to a continuous glass, <|q|> of a small system is not the Gaussian one
_UNPREDICTED = ("m", "q", "energy", "recognised", "recognised_cue")  # shown where there is no theory
_LARGEST_SHARE = 0.6  # of the spinodal load: beyond, the retrieval state is soft and finite-size corrections grow


@dataclass(frozen=True)
class Prediction:
    """What theory says of one point. branch: "retrieval" | "paramagnet". values: observable -> number; unmapped: the same
    from the infinite system without finite-size mapping. notes: why the point may lie outside the domain of the theory."""

    branch: str
    values: dict[str, float]
    unmapped: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One observable at one point. theory: at this size, infinite: of the infinite system. z: `normal_score` of
    (mean - theory)/error, nan where excluded says why there is none; z_unmapped: the same against infinite."""

    point: dict
    observable: str
    mean: float
    error: float
    theory: float
    infinite: float
    z: float
    z_unmapped: float
    branch: str
    excluded: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class Comparison:
    """All rows of a run, its results, and the theory objects used (keyed by `law_of` a point)."""

    results: Results
    rows: list[Row]
    theories: dict[tuple, Dense] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """The largest |z| (0 if nothing could be compared)."""
        return max((abs(row.z) for row in self.rows if math.isfinite(row.z)), default=0.0)

    def summary(self) -> list[dict]:
        """Per model, branch and observable: number of points, rms z, mean z, and rms z without the finite-size mapping."""
        lines = []
        groups: dict[tuple, list[Row]] = {}
        for row in self.rows:
            if math.isfinite(row.z):
                groups.setdefault((_model_name(row.point), row.branch, row.observable), []).append(row)
        for (model, branch, observable), rows in groups.items():
            z = np.array([row.z for row in rows])
            raw = np.array([row.z_unmapped for row in rows])
            lines.append({"model": model, "branch": branch, "observable": observable, "points": len(z),
                          "rms_z": float(np.sqrt(np.mean(z**2))), "mean_z": float(z.mean()),
                          "rms_z_unmapped": float(np.sqrt(np.mean(raw**2)))})
        return lines

    def table(self) -> str:
        """The comparison as aligned text, with the summary and the finite-size trend below."""
        swept = self.results.swept
        dense = "n_patterns" in swept and all(row.point["kind"] == "dense" for row in self.rows)
        body = [[*swept, *(["gamma"] if dense else []), "observable", "simulation", "theory", "z", "remark"]]
        for row in self.rows:
            remark = row.excluded or "; ".join(row.notes)
            place = [_short(row.point.get(name)) for name in swept] + ([f"{load_of(row.point):.4g}"] if dense else [])
            body.append([*place, row.observable, with_error(row.mean, row.error),
                         "-" if math.isnan(row.theory) else f"{row.theory:.6g}",
                         "-" if math.isnan(row.z) else f"{row.z:+.2f}", remark])
        text = _aligned(body)
        lines = [[f"{s['model']}, {s['branch']}: {s['observable']}", f"{s['points']} points", f"rms z {s['rms_z']:.2f}",
                  f"mean z {s['mean_z']:+.2f}", f"(infinite-size theory: rms z {s['rms_z_unmapped']:.2f})"]
                 for s in self.summary()]
        if lines:
            text += "\n\n" + _aligned(lines)
        trend = self.trend()
        if trend:
            text += "\n\nfinite-size trend (extrapolated in 1/N, against the infinite system)\n" + _aligned(
                [["point", "observable", "sizes", "N -> inf", "theory", "z"]] + [
                    [t["point"], t["observable"], t["sizes"], with_error(t["mean"], t["error"]), f"{t['theory']:.6g}",
                     f"{t['z']:+.2f}"] for t in trend])
        return text

    def trend(self) -> list[dict]:
        """Where one point was run at several N: the extrapolation to 1/N = 0 against the infinite system.

        Weighted least squares in 1/N, with a quadratic term from four sizes on (f_N bends visibly below N = 200). Loads
        count as equal within 2 % (K is an integer)."""
        groups: dict[tuple, list[Row]] = {}
        for row in self.rows:
            if math.isfinite(row.z) and math.isfinite(row.infinite) and row.branch == "retrieval":
                load_name = f"{math.log(load_of(row.point)) / 0.02:.0f}"
                key = (law_of(row.point), load_name, row.point["temperature"], row.observable)
                groups.setdefault(key, []).append(row)
        lines = []
        for (*_, temperature, observable), rows in groups.items():
            sizes = sorted({row.point["n_spins"] for row in rows})
            if len(sizes) < 2:
                continue
            errors = np.array([row.error for row in rows])
            offsets = np.array([row.mean - row.infinite for row in rows]) / errors
            inverse_size = np.array([sizes[0] / row.point["n_spins"] for row in rows])
            design = np.vander(inverse_size, 3 if len(sizes) >= 4 else 2, increasing=True) / errors[:, None]
            covariance = np.linalg.inv(design.T @ design)
            intercept = float((covariance @ design.T @ offsets)[0])
            error, theory = float(np.sqrt(covariance[0, 0])), rows[-1].infinite
            point = f"{_model_name(rows[0].point)} gamma={load_of(rows[-1].point):.3g} T={temperature:g}"
            lines.append({"point": point, "observable": observable, "sizes": ",".join(map(str, sizes)),
                          "mean": theory + intercept, "error": error, "theory": theory, "z": intercept / error})
        return lines

    def write_csv(self, path) -> None:
        """One line per row, every parameter of the point included."""
        names = [name for name in dict.fromkeys(name for row in self.rows for name in row.point) if name != "measured"]
        with open(Path(path), "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*names, "observable", "simulation", "error", "theory", "z", "z_unmapped", "branch", "remark"])
            for row in self.rows:
                writer.writerow([*(row.point.get(name) for name in names), row.observable, row.mean, row.error, row.theory,
                                 row.z, row.z_unmapped, row.branch, row.excluded or "; ".join(row.notes)])

    def plot(self, path) -> None:
        """The figure of the run: curves with points, z-scores, phase diagrams with the simulated points; see `plotting`."""
        from .plotting import comparison_figure

        comparison_figure(self).savefig(path)


def compare(folder) -> Comparison:
    """The comparison of a run folder (or results file)."""
    return compare_results(load_results(folder))


def compare_results(results: Results) -> Comparison:
    """Join results with theory. Points without a theory (images, quenches) keep their rows, with the reason."""
    comparison = Comparison(results, [])
    for index, point in enumerate(results.points):
        try:
            prediction, reason = predict(point, results.job["sampling"], comparison.theories), ""
        except (NoSolution, ParameterError) as error:  # one point outside the theory's range must not hide the others
            prediction, reason = None, str(error)
        names = _UNPREDICTED if prediction is None else tuple(prediction.values)
        for name in names:
            if name in results and np.isfinite(results[name].samples[index]).any():
                comparison.rows.append(_row(results, index, name, prediction, reason))
    return comparison


def _row(results: Results, index: int, name: str, prediction: Prediction | None, reason: str) -> Row:
    estimate = results[name].estimate(index)
    excluded, notes = reason, ()
    theory = infinite = z = z_unmapped = math.nan
    branch = ""
    if prediction is not None:
        theory, infinite = prediction.values[name], prediction.unmapped[name]
        branch, notes = prediction.branch, prediction.notes
        lost = int(results.lost[index])
        if branch == "retrieval" and lost:
            excluded = f"{lost} of {results.n_disorder[index]} samples left the planted state"
        elif "fixed_point_change" in results:  # magnetisations that have arrived have no autocorrelation
            if not np.nanmax(results["fixed_point_change"].samples[index]) < _FIXED:
                excluded = "fixed point not reached"
        elif estimate.too_short:
            excluded = "chain too short"
        if not excluded and not estimate.raw_error > 0:
            excluded = "no scatter between samples"
        if not excluded:
            samples = int(results.n_disorder[index])
            z, z_unmapped = (normal_score((estimate.mean - x) / estimate.raw_error, samples) for x in (theory, infinite))
            notes = notes + ((f"only {samples} samples",) if samples < _FEWEST_SAMPLES else ())
            if branch == "retrieval" and name == "m":
                notes = notes + _skewed(results, index, theory)
    return Row(results.points[index], name, estimate.mean, estimate.raw_error, theory, infinite, z, z_unmapped, branch,
               excluded, notes)


def normal_score(deviation: float, samples: int) -> float:
    """A deviation in units of an error that was itself estimated from so many samples (Student's t with samples - 1 degrees
    of freedom) as the normal deviate of the same probability: 5 error bars are 4.3 with 32 samples and 2.9 with 4."""
    half = (samples - 1) / 2
    if abs(deviation) < 20:
        tail = t.logsf(abs(deviation), samples - 1)
    else:  # the incomplete beta function behind it, where that underflows
        w = 2 * half / (2 * half + deviation**2)
        tail = half * math.log(w) - math.log(2 * half) - betaln(half, 0.5) + math.log(hyp2f1(half, 0.5, half + 1, w))
    return math.copysign(-float(ndtri_exp(tail)), deviation)


def _skewed(results: Results, index: int, m: float) -> tuple[str, ...]:
    samples = results["m"].samples[index]
    deviation = float(np.nanstd(samples, ddof=1))
    return (f"skewed: sd(m)/(1-m) = {deviation / (1 - m):.2f}",) if deviation > 0.5 * (1 - m) else ()


# ---- predictions ---------------------------------------------------------------------------------------------------------


def predict(point: dict, sampling: dict, theories: dict | None = None) -> Prediction:
    """What theory says of a point of a job. Raises NoSolution with the reason where it says nothing."""
    if point["kind"] != "dense" or "patterns" in point or "fields" in point:
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


def _retrieval(point: dict, theory: Dense) -> Prediction:
    state, values = retrieval_at_size(point, theory)
    names = ("m", "q", "energy_cv") if point["protocol"] == "storage" else ("m", "n", "q", "energy_cv")
    try:
        plain = theory.solve(gamma=load_of(point), temperature=point["temperature"], branch="retrieval")
        unmapped = dict(zip(names, (getattr(plain, name.removesuffix("_cv")) for name in names), strict=True))
    except NoSolution:
        unmapped = dict.fromkeys(names, math.nan)
    notes = []
    smallest = _SMALLEST_SIZE.get(point["p_body"], 128)
    if point["n_spins"] < smallest:
        notes.append(f"N < {smallest}")
    if state.gamma > _LARGEST_SHARE * theory.spinodal(state.temperature).gamma:
        notes.append(f"beyond {_LARGEST_SHARE} of the spinodal load")
    if 1 - state.m < 1e-3:
        notes.append("1 - m < 0.001")
    if not state.stable:
        notes.append("replica symmetry broken")
    return Prediction("retrieval", {name: values[name] for name in names}, unmapped, tuple(notes))


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


# ---- text ----------------------------------------------------------------------------------------------------------------


def _short(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
