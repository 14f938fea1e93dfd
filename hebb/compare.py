"""Simulation against theory, joined on parameters alone: a table with z-scores, and what it is worth.

How a finite sample is compared (docs/conventions.md, "Finite size"):

*Retrieval* (planted starts). Distinct indices multiply signal and noise covariance by f_N = prod_{k<P}(1 - k/N), and one of
the K patterns is the signal, so that the replica-symmetric state is taken at T/f_N and load (K-1)/K gamma_K/f_N with gamma_K
the load of the integer K; m and q are read off and the energy is f_N e. Naive indices are scaled so that single flips of
the planted state have their exact cost and variance: a signal factor s_N = N [1 - (1 - 2/N)^P]/(2P) (the energy of the
planted state itself stays -1/2), and the slope at q = 1 of the noise covariance at finite N. What remains is O(1/N).

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
from .finite_size import free_overlap, load_of, mapped_point, paramagnet_energy
from .statistics import with_error
from .storage.results import Results
from .storage.results import load as load_results
from .theory import Dense

__all__ = ["Comparison", "Prediction", "Row", "compare", "compare_results", "normal_score", "predict"]

_SMALLEST_SIZE = {2: 2000}  # below, what the mapping leaves exceeds a fraction of a 32-sample error bar; 128 for P >= 3
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
    """All rows of a run, its results, and the theory objects used (keyed by (P, hamiltonian))."""

    results: Results
    rows: list[Row]
    theories: dict[tuple[int, str], Dense] = field(default_factory=dict)

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
                key = (row.point["p_body"], row.point["hamiltonian"], load_name, row.point["temperature"], row.observable)
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
        elif estimate.too_short:
            excluded = "chain too short"
        elif not estimate.raw_error > 0:
            excluded = "no scatter between samples"
        else:
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
    theories = {} if theories is None else theories
    key = point["p_body"], point["hamiltonian"]
    theory = theories.setdefault(key, Dense(p_body=key[0], hamiltonian=key[1]))
    if sampling["start"] == "planted":
        try:
            return _retrieval(point, theory)
        except NoSolution:
            pass
    elif sampling["start"] != "random":
        raise NoSolution(f"start = {sampling['start']!r}: where the chain ends is not given by a saddle point alone")
    return _paramagnet(point, theory)


def _model_name(point: dict) -> str:
    return f"P={point['p_body']}" + (f" {point['hamiltonian']}" if point["p_body"] > 2 else "")


def _retrieval(point: dict, theory: Dense) -> Prediction:
    temperature, gamma, scale, shift = mapped_point(point)
    state = theory.solve(gamma=gamma, temperature=temperature, branch="retrieval")
    try:
        plain = theory.solve(gamma=load_of(point), temperature=point["temperature"], branch="retrieval")
        unmapped = {"m": plain.m, "q": plain.q, "energy_cv": plain.energy}
    except NoSolution:
        unmapped = dict.fromkeys(("m", "q", "energy_cv"), math.nan)
    notes = []
    smallest = _SMALLEST_SIZE.get(point["p_body"], 128)
    if point["n_spins"] < smallest:
        notes.append(f"N < {smallest}")
    if gamma > _LARGEST_SHARE * theory.spinodal(temperature).gamma:
        notes.append(f"beyond {_LARGEST_SHARE} of the spinodal load")
    if 1 - state.m < 1e-3:
        notes.append("1 - m < 0.001")
    if not state.stable:
        notes.append("replica symmetry broken")
    values = {"m": state.m, "q": state.q, "energy_cv": scale * state.energy + shift}
    return Prediction("retrieval", values, unmapped, tuple(notes))


def _paramagnet(point: dict, theory: Dense) -> Prediction:
    n, k, p, temperature = point["n_spins"], point["n_patterns"], point["p_body"], point["temperature"]
    gamma = load_of(point)
    state = theory.solve(gamma=gamma, temperature=temperature, branch="paramagnet")
    if not state.replicon > 0:
        raise NoSolution(f"T = {temperature:g}: the paramagnet is unstable; the glass has no comparison in this version")
    if p > 2 and temperature < math.sqrt(gamma):
        raise NoSolution(f"T = {temperature:g} < sqrt(gamma): near the glass, where chains do not equilibrate")
    beta = 1 / temperature
    chi = (1 - beta) ** 2 / state.replicon if p == 2 else 1 / state.replicon
    values = {"energy": paramagnet_energy(n, k, p, temperature, point["hamiltonian"]), "q": 0.0}
    if chi < _LARGEST_CHI or n >= _SMALLEST_SIZE[2]:
        values["abs_q"] = math.sqrt(chi) * free_overlap(n)
    return Prediction("paramagnet", values, {**values, "energy": state.energy})


# ---- text ----------------------------------------------------------------------------------------------------------------


def _short(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
