"""What a comparison of simulation and theory consists of, whatever the model: rows with z-scores, and their tables."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.special import ndtri_exp

from .error_bars import SKEWED, normal_score, too_rare
from .statistics import Estimate, with_error
from .storage.observable import bias_of_refusals
from .storage.results import Results

__all__ = ["FEWEST_SAMPLES", "Comparison", "Row", "aligned", "brief", "judged", "load_name", "normal_score", "possible"]

FEWEST_SAMPLES = 8  # with fewer, an error bar says little
_PLENTY = 10  # events in every sample, none of which can be missed by chance even where samples differ
_ROUNDING = 1e-9
_SHARES = {"training_error", "generalization_error", "error", "error_task1", "error_task2", "abs_q", "abs_m", "qd"}
_ENERGIES = {"energy", "energy_cv"}


@dataclass(frozen=True)
class Row:
    """One observable at one point.

    theory: at this size (multitasking: of the very samples that were run), infinite: of the infinite system. error: of
    mean - theory, nan where events were too rare to give one. z: what `judged` makes of both, nan where excluded says why there
    is none; z_unmapped: the same against infinite. model: its name without size and temperature. load: gamma (alpha for P = 2
    and perceptrons), nan where there is none.
    """

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
    model: str = ""
    load: float = math.nan


def possible(row: Row, lowest_energy: float = -math.inf) -> Row:
    """The row without values of theory that nothing can have, and why: overlaps outside [-1, 1], shares and error rates outside
    [0, 1], energies below lowest_energy. No such number is printed, drawn or written."""
    name = re.split(r"[\[ ]", row.observable)[0]
    low, high = (lowest_energy, math.inf) if name in _ENERGIES else (0.0, 1.0) if name in _SHARES else (-1.0, 1.0)
    slack = _ROUNDING * max(1.0, abs(low) if math.isfinite(low) else 1.0)
    bad = {key: value for key in ("theory", "infinite")
           if not (math.isnan(value := getattr(row, key)) or low - slack <= value <= high + slack)}
    if not bad:
        return row
    worst = next(iter(bad.values()))
    reason = f"theory of {row.observable} outside [{low:.4g}, {high:.4g}], {worst:.3g}: not valid here"
    changed = dict.fromkeys(bad, math.nan) | ({"z": math.nan} if "theory" in bad else {}) | {"z_unmapped": math.nan}
    excluded = f"{row.excluded}; {reason}" if row.excluded else reason
    return replace(row, **changed, **({"excluded": excluded} if "theory" in bad else {"notes": (*row.notes, reason)}))


def load_name(point: dict) -> str:
    """The load of a point by its name: gamma for dense networks of P >= 3, else alpha = K/N."""
    return "gamma" if point.get("p_body", 2) > 2 else "alpha"


def brief(reason: str) -> str:
    """The kind of a reason, the same for all points it holds of: without counts, places and remedies.

    "3 of 16 samples left the planted state" -> "left the planted state", "T = 0.3: the paramagnet is unstable; take ..." ->
    "the paramagnet is unstable"."""
    kind = re.sub(r"^\d+ of \d+ \w+ ", "", reason.split(";")[0])
    place, _, rest = kind.partition(": ")
    kind = rest if rest and re.search(r"\d", place) else kind
    head, *tail = re.split(r", (?=[^,]*\d)| \(", kind, maxsplit=1)
    return head if tail else kind


@dataclass
class Comparison:
    """All rows of a run, its results, and the theory objects used (keyed by what they need to know of a point)."""

    results: Results
    rows: list[Row]
    theories: dict[tuple, object] = field(default_factory=dict)
    legend: str = ""  # what theory and infinite are, where that needs saying

    @property
    def worst(self) -> float:
        """The largest |z| (0 if nothing could be compared)."""
        return max((abs(row.z) for row in self.rows if math.isfinite(row.z)), default=0.0)

    @property
    def load_name(self) -> str:
        """What the load is called here: alpha = K/N, gamma for dense networks of P >= 3, "load" where a job has both."""
        names = {load_name(point) for point in self.results.points}
        return names.pop() if len(names) == 1 else "load"

    def summary(self) -> list[dict]:
        """Per model, branch and observable (the components of m together): number of points and of z-values, rms z, mean z,
        rms z against the infinite system and the largest |difference| from it (nan where it has no such observable)."""
        lines = []
        groups: dict[tuple, list[Row]] = {}
        for row in self.rows:
            if math.isfinite(row.z):
                groups.setdefault((row.model, row.branch, row.observable.split("[")[0]), []).append(row)
        for (model, branch, observable), rows in groups.items():
            z = np.array([row.z for row in rows])
            raw = np.array([row.z_unmapped for row in rows if math.isfinite(row.z_unmapped)])
            lines.append({"model": model, "branch": branch, "observable": observable,
                          "points": len({repr(row.point) for row in rows}), "values": len(z),
                          "rms_z": float(np.sqrt(np.mean(z**2))), "mean_z": float(z.mean()),
                          "rms_z_unmapped": float(np.sqrt(np.mean(raw**2))) if raw.size else math.nan,
                          "difference": max((abs(row.mean - row.infinite) for row in rows if math.isfinite(row.infinite)),
                                            default=math.nan)})
        return lines

    def table(self) -> str:
        """The comparison as aligned text, with the summary and the finite-size trend below."""
        swept = self.results.swept
        loads = "n_patterns" in swept and all(math.isfinite(row.load) for row in self.rows)
        body = [[*swept, *([self.load_name] if loads else []), "observable", "simulation", "theory", "z", "infinite",
                 "difference", "remark"]]
        for row in self.rows:
            remark = row.excluded or "; ".join(row.notes)
            place = [_short(row.point.get(name)) for name in swept] + ([f"{row.load:.4g}"] if loads else [])
            body.append([*place, row.observable, _measured(row), _resolved(row.theory, row.error),
                         _number(row.z, "+.2f"), _resolved(row.infinite, row.error),
                         _number(row.mean - row.infinite, "+.1e"), remark])
        text = aligned(body)
        lines = [[f"{s['model']}, {s['branch']}: {s['observable']}",
                  f"{s['points']} points" + (f", {s['values']} values" if s["values"] > s["points"] else ""),
                  f"rms z {s['rms_z']:.2f}", f"mean z {s['mean_z']:+.2f}",
                  f"(infinite-size theory: rms z {s['rms_z_unmapped']:.2f}, largest difference {s['difference']:.1e})"
                  if math.isfinite(s["rms_z_unmapped"]) else ""] for s in self.summary()]
        if lines:
            text += "\n\n" + aligned(lines)
        short = sum(row.excluded == "chain too short" for row in self.rows)
        bias = bias_of_refusals(short, short + sum(math.isfinite(row.z) for row in self.rows))
        if bias:
            text += f"\n\nchains too short{bias}"
        if self.legend:
            text += "\n\n" + self.legend
        trend = self.trend()
        if trend:
            text += "\n\nfinite-size trend (extrapolated in 1/N, against the infinite system)\n" + aligned(
                [["point", "observable", "sizes", "N -> inf", "theory", "z"]] + [
                    [t["point"], t["observable"], t["sizes"], with_error(t["mean"], t["error"]), f"{t['theory']:.6g}",
                     f"{t['z']:+.2f}"] for t in trend])
        return text

    def trend(self) -> list[dict]:
        """Where one point in retrieval was run at several N: the extrapolation to 1/N = 0 against the infinite system.

        Weighted least squares in 1/N, with a quadratic term from four sizes on (f_N bends visibly below N = 200). Loads
        count as equal within 2 % (K is an integer)."""
        groups: dict[tuple, list[Row]] = {}
        for row in self.rows:
            if math.isfinite(row.z) and math.isfinite(row.infinite) and row.branch == "retrieval":
                near = f"{math.log(row.load) / 0.02:.0f}"
                groups.setdefault((row.model, near, row.point["temperature"], row.observable), []).append(row)
        lines = []
        for (model, _, temperature, observable), rows in groups.items():
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
            point = f"{model} {load_name(rows[-1].point)}={rows[-1].load:.3g} T={temperature:g}"
            lines.append({"point": point, "observable": observable, "sizes": ",".join(map(str, sizes)),
                          "mean": theory + intercept, "error": error, "theory": theory, "z": intercept / error})
        return lines

    def write_csv(self, path) -> None:
        """One line per row: keys as written that are no parameters (gamma), every parameter of the point, the row."""
        names = [name for name in dict.fromkeys(name for row in self.rows for name in row.point) if name != "measured"]
        known, places = self.results.coordinates, {repr(point): i for i, point in enumerate(self.results.points)}
        written = {name: values for name, values in known.written.items() if name not in names}
        with open(Path(path), "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*written, *names, "observable", "simulation", "error", "theory", "z", "infinite", "z_unmapped",
                             "branch", "remark"])
            for row in self.rows:
                writer.writerow([*(values[places[repr(row.point)]] for values in written.values()),
                                 *(row.point.get(name) for name in names), row.observable, row.mean, row.error, row.theory,
                                 row.z, row.infinite, row.z_unmapped, row.branch, row.excluded or "; ".join(row.notes)])

    def plot(self, path) -> None:
        """The figure of the run: curves with points, z-scores, phase diagrams with the simulated points; see `plotting`."""
        from .plotting import comparison_figure

        comparison_figure(self).savefig(path)


def judged(found: Estimate, theory: float, flip: float = math.nan, own: bool = False) -> tuple[float, str, tuple[str, ...]]:
    """What an average says of theory: (z, why there is none, notes).

    flip: the smallest change of the observable of one configuration (2/N of an overlap), nan where there is none: with it
    one sees how many events theory expects. own: theory is every sample's own and found their difference from it (theory is 0),
    to whose scatter chains that never moved contribute theory alone.

    Rare events give no z, but for one case: not one was seen where theory has _PLENTY of them in every sample.
    """
    if found.n < 2:
        return math.nan, "no scatter between samples", ()
    events = found.moved if own else found.events
    if found.too_rare or (own and too_rare(events, found.n)):
        expected = abs(found.mean - theory) / flip  # in one snapshot of a sample: chains see more
        if events == 0 and expected > _PLENTY:
            return math.copysign(-float(ndtri_exp(-found.n * expected)), found.mean - theory), "", (
                f"nothing happened where theory expects {found.n * expected:.3g} events",)
        what = f"{events} of {found.n} samples saw any" if own else found.rarity
        tail = f" ({found.n * expected:.2g} expected)" if math.isfinite(expected) else ""
        return math.nan, f"events too rare: {what}{tail}", ()
    if not found.raw_error > 0:
        return math.nan, "no scatter between samples", ()
    notes = (f"only {found.n} samples",) if found.n < FEWEST_SAMPLES else ()
    if abs(found.skewness) > SKEWED:
        notes += (f"skewed samples ({found.skewness:+.1f})",)
    return normal_score((found.mean - theory) / found.raw_error, found.n, found.skewness), "", notes


def _measured(row: Row) -> str:
    return "-" if math.isnan(row.mean) else with_error(row.mean, row.error)


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value:{form}}"


def _resolved(value: float, error: float) -> str:
    """A number with the digits that an error can tell apart, and at least six."""
    digits = 6
    if abs(value) < 1e-9 * error:  # rounding of what vanishes
        return "0"
    if error > 0 and abs(value) > 0:
        digits = max(digits, 2 + math.floor(math.log10(abs(value))) - math.floor(math.log10(error)))
    return _number(value, f".{digits}g")


def _short(value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def aligned(lines: list[list[str]]) -> str:
    """Lines of cells as text in columns."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
