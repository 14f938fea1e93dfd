"""K = gamma ln N patterns: how deep a hierarchy of retrieved patterns can be (arXiv:2308.04106).

At T = 0 and d < 1/2 the spins of level k, those whose first k - 1 entries vanish and whose k-th does not (a share p d^(k-1)),
follow pattern k, so that m_k = p d^(k-1). All others are random signs to pattern k and add noise of variance p/N:

    signal-to-noise ratio of level k:   s_k = sqrt(N p) d^(k-1)

In one sample the state is stable iff m_k > sum_{l>k} |m_l| for every k, the worst field that a spin of level k can feel.
The last level thus needs s_K of order 1, gamma < 1/(2 ln(1/d)) for N -> infinity. Spins of the last level run out only at
1/ln(1/d). At finite N, with x = 2 gamma ln(1/d),

    s_K = s   at   x = 1 + [ln(p/d^2) - 2 ln s]/ln N ,

an approach to 1 as slow as 1/ln N, and K is an integer: x moves in steps of 2 ln(1/d)/ln N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from . import models
from .errors import DataError
from .looks import colors, marks
from .models.base import Instance
from .models.classes import Classes
from .params import check_integer, check_real
from .sampling.chain import chain_class
from .sampling.starts import entries_of_state
from .storage.observable import Table
from .storage.results import Results
from .style import house_style

__all__ = ["Depth", "depths", "hierarchical_overlaps", "hierarchy_holds", "log_storage_figure", "log_storage_table",
           "stable_share"]

_SAMPLES = 100_000  # Gaussian samples of `stable_share`


@dataclass(frozen=True)
class Depth:
    """What became of the hierarchical state of K patterns at one point of a job at T = 0; arrays (K,) run over the levels.

    m: mean overlaps. deviation: rms over samples and chains of m_k - p d^(k-1); shift: of m_k minus what the same sample had
    at the start; both in units of sqrt(p/N). A level stays if its shift is at most half its signal p d^(k-1); stays: the
    share of chains in which it does; levels: the share of levels that stay; errors of both: between samples. moving: rms
    change of the overlaps from the first bin to the last, largest over levels, same units; nan of a single bin.
    """

    n_spins: int
    n_patterns: int
    dilution: float
    samples: int
    m: np.ndarray
    deviation: np.ndarray
    shift: np.ndarray
    stays: np.ndarray
    stays_error: np.ndarray
    levels: float
    levels_error: float
    moving: float

    @property
    def gamma(self) -> float:
        """K/ln N."""
        return self.n_patterns / math.log(self.n_spins)

    @property
    def load(self) -> float:
        """x = 2 gamma ln(1/d), 1 where the last level ends for N -> infinity."""
        return 2 * self.gamma * math.log(1 / self.dilution)

    @property
    def signal_to_noise(self) -> np.ndarray:
        """s_k = sqrt(N p) d^(k-1) (K,)."""
        return math.sqrt(self.n_spins * (1 - self.dilution)) * self.dilution ** np.arange(self.n_patterns)


def depths(results: Results) -> list[Depth]:
    """One record per point of a job of stored patterns at T = 0 from the start "hierarchical", in job order.

    Samples are drawn again for the overlaps that they began with. Raises DataError for other jobs. Cost: O(N K) a sample.
    """
    sampling = results.job["sampling"]
    for point in results.points:
        wrong = [f"{name} = {value!r}" for name, value, wanted in (
            ("kind", point["kind"], "multitask"), ("protocol", point.get("protocol"), "storage"),
            ("temperature", point["temperature"], 0), ("start", sampling["start"], "hierarchical")) if value != wanted]
        if wrong or "patterns" in point or "fields" in point or not 0 < point["dilution"] < 0.5:
            raise DataError(f"{', '.join(wrong) or 'given patterns, fields or a dilution outside ]0, 1/2['}: the depth of "
                            "hierarchies is read from jobs of kind 'multitask' that store random patterns of dilution below "
                            "1/2, at temperature 0 from start = 'hierarchical'")
    return [_depth(results, index) for index in range(len(results.points)) if results.done[index].any()]


def _depth(results: Results, index: int) -> Depth:
    point = results.points[index]
    n, k, d = point["n_spins"], point["n_patterns"], point["dilution"]
    p, done = 1 - d, np.flatnonzero(results.done[index])
    series = results.data["m"][index][done][..., :k]  # (D, B, C, K)
    model = models.Multitask(n, k, d)
    draw = chain_class(results.job["sampling"]["dynamics"]).draw
    begun = np.array([hierarchical_overlaps(draw(model, results.job["seed"], disorder)) for disorder in done])[:, None]
    m, signal, noise = series[:, -1], p * d ** np.arange(k), math.sqrt(p / n)
    stays = (np.abs(m - begun) <= signal / 2).mean(axis=1)  # (D, K)
    levels, scatter = stays.mean(axis=1), math.sqrt(max(1, len(done) - 1))
    return Depth(n, k, d, len(done), m.mean(axis=(0, 1)), _rms(m - signal) / noise, _rms(m - begun) / noise,
                 stays.mean(axis=0), stays.std(axis=0) / scatter, float(levels.mean()), float(levels.std()) / scatter,
                 float(_rms(m - series[:, 0]).max()) / noise if series.shape[1] > 1 else math.nan)


def _rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(values**2, axis=(0, 1)))


def hierarchical_overlaps(sample: Instance | Classes) -> np.ndarray:
    """(K,) overlaps of the hierarchical state of one sample with its patterns."""
    if isinstance(sample, Classes):
        entries, counts = sample.archetypes.T, sample.counts
    else:
        entries, counts = sample.patterns, np.ones(sample.n_spins)
    return entries.astype(float) @ (entries_of_state(entries, "hierarchical") * counts) / sample.n_spins


def hierarchy_holds(m) -> np.ndarray:
    """Whether m_k > sum_{l>k} |m_l| for every k; m (..., K) -> (...)."""
    m = np.asarray(m, float)
    below = np.cumsum(np.abs(m[..., ::-1]), axis=-1)[..., ::-1] - np.abs(m)
    return np.all(m > below, axis=-1)


def stable_share(n_spins, n_patterns, dilution) -> float:
    """The share of samples in which the hierarchical state of K patterns, d in ]0, 1/2[, is stable at T = 0.

    Its overlaps are independent normal numbers of mean p d^(k-1) and variance [p - p^2 d^(2k-2)]/N here (their covariances
    -p^2 d^(k+l-2)/N matter to the first levels only, which are stable anyway). Any N; error 0.002 (a fixed random sample).
    """
    n = check_real("n_spins", n_spins, 2.0)
    k = check_integer("n_patterns", n_patterns, 1, 1000)
    d = check_real("dilution", dilution, 0.0, 0.5, open_low=True, open_high=True)
    mean = (1 - d) * d ** np.arange(k)
    width = np.sqrt(((1 - d) - mean**2) / n)
    return float(np.mean(hierarchy_holds(mean + width * np.random.default_rng(0).standard_normal((_SAMPLES, k)))))


def log_storage_table(points: list[Depth]) -> Table:
    """One row per point and level k; last: the predicted share of samples whose hierarchical state is stable as a whole."""
    return Table({"n_spins": here.n_spins, "n_patterns": here.n_patterns, "gamma": here.gamma, "dilution": here.dilution,
                  "load": here.load, "level": k + 1, "p d^(k-1)": (1 - here.dilution) * here.dilution**k, "m": here.m[k],
                  "deviation": here.deviation[k], "shift": here.shift[k], "signal/noise": here.signal_to_noise[k],
                  "stays": here.stays[k], "error": here.stays_error[k], "levels": here.levels,
                  "stable": stable_share(here.n_spins, here.n_patterns, here.dilution)}
                 for here in points for k in range(here.n_patterns))


def log_storage_figure(points: list[Depth], larger=(10**9, 10**15)) -> Figure:
    """Left: how often the last level stays, against x = 2 gamma ln(1/d), with the predicted share of stable samples (lines
    through integers K; broken: sizes `larger`). Middle: the same against the signal-to-noise ratio of the last level.
    Right: the share of levels that stay; 1/x if all levels up to the break do and none beyond."""
    with house_style():
        figure = Figure(figsize=(11.5, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        widest = 1.05 * max(here.load for here in points)
        curves = sorted({(here.n_spins, here.dilution) for here in points})
        several = len({d for _, d in curves}) > 1
        tones, shapes = colors(curves), marks(curves)
        for n, d in curves:
            color, mark = tones[n, d], shapes[n, d]
            here = [point for point in points if (point.n_spins, point.dilution) == (n, d)]
            loads = [point.load for point in here]
            look = dict(fmt=mark, color=color)
            last = look | dict(y=[point.stays[-1] for point in here], yerr=[point.stays_error[-1] for point in here])
            name = f"N = {_power(n)}" + (f", d = {d:g}" if several else "")
            left.errorbar(loads, label=name, **last)
            _predicted(left, middle, n, d, widest, color, "-")
            middle.errorbar([point.signal_to_noise[-1] for point in here], **last)
            right.errorbar(loads, [point.levels for point in here], [point.levels_error for point in here], **look)
        for n, style in zip(larger, ("--", ":"), strict=False):
            _predicted(left, None, n, curves[0][1], widest, "0.4", style)
            left.plot([], [], style, color="0.4", label=f"N = {_power(n)} (theory)")
        x = np.linspace(0.02, widest, 200)
        right.plot(x, np.minimum(1, 1 / x), "-", color="0.4", label="min(1, 1/x)")
        for ax in (left, right):
            ax.axvline(1, color="black", linewidth=1.0)
            ax.axvline(2, color="black", linewidth=0.8, linestyle=":")
            ax.set(xlabel=r"$x = 2\gamma\,\ln(1/d)$,  $\gamma = K/\ln N$", xlim=(0, widest), ylim=(-0.03, 1.12))
            ax.text(1.02, 1.055, r"$\gamma = 1/(2\ln(1/d))$", fontsize=7.5)
            ax.text(2.02, 1.055, r"$1/\ln(1/d)$", fontsize=7.5)
        left.set(ylabel="share of samples", title="the last level stays")
        left.legend(loc="lower left", fontsize=6.5, borderaxespad=0.1, handlelength=1.6)
        middle.set(xscale="log", xlabel=r"signal-to-noise ratio of the last level, $s_K = \sqrt{Np}\,d^{K-1}$",
                   ylabel="share of samples", title="the last level stays", xlim=(0.02, 60), ylim=(-0.03, 1.12))
        right.set(ylabel="share of levels", title="levels that stay")
        right.legend(loc="lower left")
        return figure


def _predicted(left, middle, n, d, widest, color, style) -> None:
    """`stable_share` at every integer K within the figure."""
    numbers = np.arange(1, 1 + int(widest * math.log(n) / (2 * math.log(1 / d))))
    shares = [stable_share(n, k, d) for k in numbers]
    left.plot(2 * numbers * math.log(1 / d) / math.log(n), shares, style, color=color, linewidth=1.0, zorder=1)
    if middle is not None:
        middle.plot(math.sqrt(n * (1 - d)) * d ** (numbers - 1.0), shares, style, color=color, linewidth=1.0, zorder=1)


def _power(n: int) -> str:
    exponent = int(math.log10(n))
    first = n / 10**exponent
    return f"$10^{{{exponent}}}$" if first == 1 else f"${first:.3g}\\times 10^{{{exponent}}}$"
