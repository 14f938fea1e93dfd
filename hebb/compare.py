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
import functools
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import gammaln, logsumexp

from .errors import NoSolution
from .params import dilution_factor, load
from .statistics import with_error
from .storage.results import Results
from .storage.results import load as load_results
from .theory import Dense

__all__ = ["Comparison", "Prediction", "Row", "annealed_energy", "compare", "compare_results", "mapped_point",
           "paramagnet_energy", "predict"]

_SMALLEST_SIZE = {2: 2000}  # below, what the mapping leaves exceeds a fraction of a 32-sample error bar; 128 for P >= 3
_LARGEST_CHI = 1.2  # nearer to a continuous glass, <|q|> of a small system is not the Gaussian one
_LARGEST_FLUCTUATION = 5.0  # N <q^2>: 1 for free spins; nearer to a continuous glass, ln Z is not normal at usual N
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
    """One observable at one point. z = (mean - theory)/error, nan where excluded says why there is none."""

    point: dict
    observable: str
    mean: float
    error: float
    theory: float
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
        body = [[*swept, "observable", "simulation", "theory", "z", "remark"]]
        for row in self.rows:
            remark = row.excluded or "; ".join(row.notes)
            body.append([*(_short(row.point.get(name)) for name in swept), row.observable, with_error(row.mean, row.error),
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
        """Where one point was run at several N: the straight line in 1/N (weighted least squares) against the infinite system.

        Loads count as equal within 2 % (K is an integer)."""
        groups: dict[tuple, list[Row]] = {}
        for row in self.rows:
            if math.isfinite(row.z_unmapped) and row.branch == "retrieval":
                load_name = f"{math.log(_load(row.point)) / 0.02:.0f}"
                key = (row.point["p_body"], row.point["hamiltonian"], load_name, row.point["temperature"], row.observable)
                groups.setdefault(key, []).append(row)
        lines = []
        for (*_, temperature, observable), rows in groups.items():
            sizes = sorted({row.point["n_spins"] for row in rows})
            if len(sizes) < 2:
                continue
            theory = np.array([row.mean - row.z_unmapped * row.error for row in rows])
            design = np.array([[1.0, 1.0 / row.point["n_spins"]] for row in rows]) / np.array([[row.error] for row in rows])
            offsets = np.array([(row.mean - t) / row.error for row, t in zip(rows, theory, strict=True)])
            covariance = np.linalg.inv(design.T @ design)
            intercept = float((covariance @ design.T @ offsets)[0])
            error = float(np.sqrt(covariance[0, 0]))
            lines.append({"point": f"{_model_name(rows[0].point)} gamma={_load(rows[-1].point):.3g} T={temperature:g}",
                          "observable": observable, "sizes": ",".join(map(str, sizes)), "mean": float(theory[-1]) + intercept,
                          "error": error, "theory": float(theory[-1]), "z": intercept / error})
        return lines

    def write_csv(self, path) -> None:
        """One line per row, every parameter of the point included."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.point))
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
        except NoSolution as error:
            prediction, reason = None, str(error)
        names = ("m", "q", "energy") if prediction is None else tuple(prediction.values)
        for name in names:
            if name in results and np.isfinite(results[name].samples[index]).any():
                comparison.rows.append(_row(results, index, name, prediction, reason))
    return comparison


def _row(results: Results, index: int, name: str, prediction: Prediction | None, reason: str) -> Row:
    estimate = results[name].estimate(index)
    excluded, notes = reason, ()
    theory = z = z_unmapped = math.nan
    branch = ""
    if prediction is not None:
        theory, branch, notes = prediction.values[name], prediction.branch, prediction.notes
        lost = int(results.lost[index])
        if branch == "retrieval" and lost:
            excluded = f"{lost} of {results.n_disorder[index]} samples left the planted state"
        elif estimate.too_short:
            excluded = "chain too short"
        elif not estimate.raw_error > 0:
            excluded = "no scatter between samples"
        else:
            z = (estimate.mean - theory) / estimate.raw_error
            z_unmapped = (estimate.mean - prediction.unmapped[name]) / estimate.raw_error
            if branch == "retrieval" and name == "m":
                notes = notes + _skewed(results, index, theory)
    return Row(results.points[index], name, estimate.mean, estimate.raw_error, theory, z, z_unmapped, branch, excluded, notes)


def _skewed(results: Results, index: int, m: float) -> tuple[str, ...]:
    samples = results["m"].samples[index]
    deviation = float(np.nanstd(samples, ddof=1))
    return (f"skewed: sd(m)/(1-m) = {deviation / (1 - m):.2f}",) if deviation > 0.5 * (1 - m) else ()


# ---- predictions ---------------------------------------------------------------------------------------------------------


def predict(point: dict, sampling: dict, theories: dict | None = None) -> Prediction:
    """What theory says of a point of a job. Raises NoSolution with the reason where it says nothing."""
    if point["kind"] != "dense" or "patterns" in point or "fields" in point:
        raise NoSolution("no theory for given or real patterns")
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


def mapped_point(point: dict) -> tuple[float, float, float, float]:
    """(temperature, load, scale, shift): the infinite system there describes this finite one, energies as scale * e + shift."""
    n, k, p = point["n_spins"], point["n_patterns"], point["p_body"]
    others = (k - 1) / k * _load(point)
    if point["hamiltonian"] == "naive" and p > 2:
        signal = n * (1 - (1 - 2 / n) ** p) / (2 * p)
        return point["temperature"] / signal, others * _naive_noise(n, p) / signal**2, signal, -(1 - signal) / 2
    f_n = dilution_factor(n, p)
    return point["temperature"] / f_n, others / f_n, f_n, 0.0


def _model_name(point: dict) -> str:
    return f"P={point['p_body']}" + (f" {point['hamiltonian']}" if point["p_body"] > 2 else "")


def _load(point: dict) -> float:
    return load(point["n_patterns"], point["n_spins"], point["p_body"])


@functools.cache
def _naive_noise(n: int, p: int) -> float:
    """g_N'(1)/g'(1). x^P = sum_k a_k e_k(x) with elementary symmetric polynomials e_k, whose covariance between two
    configurations of overlap q is C(N, k) q^k: g_N(q) = sum_k a_k^2 C(N, k) q^k / (P! N^P)."""
    a = [1] + [0] * p  # x e_k = (k+1) e_{k+1} + (N-k+1) e_{k-1}, applied P times to 1
    for _ in range(p):
        a = [(k * a[k - 1] if k else 0) + ((n - k) * a[k + 1] if k < p else 0) for k in range(p + 1)]
    finite = sum(k * a[k] ** 2 * math.comb(n, k) for k in range(p + 1)) / (math.factorial(p) * n**p)
    limit = 0.0
    for k in range(1, p + 1):
        if (p - k) % 2 == 0:
            j = (p - k) // 2
            hermite = math.factorial(p) / (2**j * math.factorial(j) * math.factorial(k))
            limit += k * hermite**2 * math.factorial(k) / math.factorial(p)
    return finite / limit


def _retrieval(point: dict, theory: Dense) -> Prediction:
    temperature, gamma, scale, shift = mapped_point(point)
    state = theory.solve(gamma=gamma, temperature=temperature, branch="retrieval")
    try:
        plain = theory.solve(gamma=_load(point), temperature=point["temperature"], branch="retrieval")
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
    gamma = _load(point)
    state = theory.solve(gamma=gamma, temperature=temperature, branch="paramagnet")
    if not state.replicon > 0:
        raise NoSolution(f"T = {temperature:g}: the paramagnet is unstable; the glass has no comparison in this version")
    if p > 2 and temperature < math.sqrt(gamma):
        raise NoSolution(f"T = {temperature:g} < sqrt(gamma): near the glass, where chains do not equilibrate")
    beta = 1 / temperature
    chi = (1 - beta) ** 2 / state.replicon if p == 2 else 1 / state.replicon
    values = {"energy": paramagnet_energy(n, k, p, temperature, point["hamiltonian"]), "q": 0.0}
    if chi < _LARGEST_CHI or n >= _SMALLEST_SIZE[2]:
        free = float(np.sum(np.exp(_log_binomial(n)) * np.abs(np.arange(-n, n + 1, 2)))) / n
        values["abs_q"] = math.sqrt(chi) * free
    return Prediction("paramagnet", values, {**values, "energy": state.energy})


def annealed_energy(n_spins: int, n_patterns: int, p_body: int, temperature: float, hamiltonian: str = "distinct") -> float:
    """-(1/N) d/dbeta ln E[Z] = -d/dbeta [K ln E_x exp(-beta f(x))]/N per spin, exact at any N and K: x is the sum of N
    independent signs and f one pattern's energy, with zero average over uniform configurations. Cost: O(N)."""
    x = np.arange(-n_spins, n_spins + 1, 2, dtype=float)
    f = _potential(x, n_spins, p_body, hamiltonian)
    exponent = _log_binomial(n_spins) - f / temperature
    return n_patterns * float(np.sum(f * np.exp(exponent - logsumexp(exponent)))) / n_spins


def paramagnet_energy(n_spins: int, n_patterns: int, p_body: int, temperature: float, hamiltonian: str = "distinct") -> float:
    """Energy per spin in the paramagnet at finite N and K: the annealed one plus (1/2N) d/dbeta Var(ln Z), with the
    variance from the exact two-replica sum. For distinct P >= 3 that is below 1e-5 and left out.

    Raises NoSolution where overlaps are too large for it. Cost: O(N^2) for P = 2, O(N^3)/10 s at N = 1000 for naive P.
    """
    energy = annealed_energy(n_spins, n_patterns, p_body, temperature, hamiltonian)
    if p_body > 2 and hamiltonian == "distinct":
        return energy
    beta = 1 / temperature
    step = 1e-4 * beta
    low, high = (_log_variance(n_spins, n_patterns, p_body, hamiltonian, b) for b in (beta - step, beta + step))
    return energy + (high - low) / (4 * step * n_spins)


def _potential(x: np.ndarray, n: int, p: int, hamiltonian: str) -> np.ndarray:
    if hamiltonian == "naive":
        power = x**p
        mean = float(np.sum(power * np.exp(_log_binomial(n))))
        return -(power - mean) / (2 * float(n) ** (p - 1))
    lower, e = np.ones_like(x), x
    for k in range(1, p):
        lower, e = e, (x * e - (n - k + 1) * lower) / (k + 1)
    return -math.factorial(p) / (2 * float(n) ** (p - 1)) * e


def _log_binomial(n: int) -> np.ndarray:
    k = np.arange(n + 1)
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) - n * math.log(2)


def _log_variance(n: int, n_patterns: int, p: int, hamiltonian: str, beta: float) -> float:
    """Var(ln Z) = ln(E[Z^2]/E[Z]^2) in the paramagnet. Pairs of overlap |q| > 1/2 are left out: a paramagnet has none, though
    rare sets of patterns with nearly frozen configurations would dominate the average."""
    q = 2 * np.arange(n + 1) / n - 1
    inner = np.abs(q) <= 0.5
    pairs = _log_pairs(n, n_patterns, p, hamiltonian, beta)[inner]
    total = logsumexp(pairs)
    if n * np.sum(q[inner] ** 2 * np.exp(pairs - total)) > _LARGEST_FLUCTUATION:
        raise NoSolution(f"T = {1 / beta:.3g}: too near the glass for its fluctuations; take a higher temperature")
    x = np.arange(-n, n + 1, 2, dtype=float)
    return float(total - 2 * n_patterns * logsumexp(_log_binomial(n) - beta * _potential(x, n, p, hamiltonian)))


def _log_pairs(n: int, n_patterns: int, p: int, hamiltonian: str, beta: float) -> np.ndarray:
    """(n+1,) logarithms of the shares that pairs of configurations agreeing on 0, 1, ... n spins have in E[Z^2]/4^N.

    On one pattern such a pair has sums A + B and A - B, with A over the agreeing and B over the other spins. For P = 2
    (A+B)^2 + (A-B)^2 = 2 (A^2 + B^2) factorises."""
    binomials = [_log_binomial(k) for k in range(n + 1)]
    one = np.empty(n + 1)  # ln E over one pattern
    if p == 2:
        h = np.array([_log_sum(b + beta / n * np.arange(-k, k + 1, 2) ** 2.0) for k, b in enumerate(binomials)])
        one = h + h[::-1] - beta
    else:
        exponent = -beta * _potential(np.arange(-n, n + 1, 2, dtype=float), n, p, hamiltonian)
        for k in range(n // 2 + 1):
            a, b = np.arange(k + 1)[:, None], np.arange(n - k + 1)[None]
            both = exponent[a + b] + exponent[a - b + n - k]
            one[k] = one[n - k] = _log_sum(binomials[k][:, None] + binomials[n - k] + both)
    return binomials[n] + n_patterns * one


def _log_sum(exponent: np.ndarray) -> float:
    highest = exponent.max()  # scipy's logsumexp is ten times slower on short arrays
    return highest + math.log(np.exp(exponent - highest).sum())


# ---- text ----------------------------------------------------------------------------------------------------------------


def _short(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
