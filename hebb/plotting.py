"""Figures: curves of theory with points of simulation, z-scores, phase diagrams with the simulated points, images.

Everything is drawn on plain matplotlib figures, without a window system and without touching a user's settings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .compare import Comparison, Row
from .errors import NoSolution
from .finite_size import load_of, mapped_point
from .storage.results import Results

__all__ = ["comparison_figure", "restoration_figure"]

_CLIPPED_Z = 8.0
_COLORS = ("#1f4e79", "#c8553d", "#3a7d44", "#8d5a97", "#d99a2b", "#5c6b73")
_TITLES = {"m": "overlap $m$", "energy": "energy per spin", "energy_cv": "energy per spin", "q": "overlap of replicas $q$"}


def _style():
    return style.context(str(resources.files("hebb") / "hebb.mplstyle"))


def comparison_figure(comparison: Comparison) -> Figure:
    """One column per (P, Hamiltonian), or one row if there is only one: an order parameter along the sweep, z-scores, the
    phase diagram with the points.

    Jobs on images, for which there is no theory, get `restoration_figure`.
    """
    if not comparison.theories:
        return restoration_figure(comparison.results)
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in comparison.rows:
        groups.setdefault((row.point["p_body"], row.point["hamiltonian"]), []).append(row)
    with _style():
        if len(groups) == 1:
            figure = Figure(figsize=(14, 4.3), layout="constrained")
            axes = figure.subplots(1, 3, squeeze=False).T
        else:
            figure = Figure(figsize=(1.2 + 4.3 * len(groups), 9.6), layout="constrained")
            axes = figure.subplots(3, len(groups), squeeze=False, height_ratios=(3, 2, 3.2))
            for ax in axes[0, 1:]:
                ax.sharey(axes[0, 0])
        for column, ((p, hamiltonian), rows) in enumerate(groups.items()):
            theory = comparison.theories[p, hamiltonian]
            axes[0, column].set_title(f"P = {p}, {hamiltonian} indices" if p > 2 else "P = 2 (Hopfield)")
            _draw_curves(axes[0, column], theory, rows)
            _draw_z(axes[1, column], rows)
            _draw_diagram(axes[2, column], theory, rows)
        figure.suptitle(f"{comparison.results.job['name']}: replica theory (lines) and Monte Carlo (points)")
        return figure


def _gamma(row: Row) -> float:
    return load_of(row.point)


@dataclass(frozen=True)
class _Sweep:
    """What runs along the horizontal axis (name, label, value of a row) and what is fixed on one curve."""

    name: str
    label: str
    x: Callable[[Row], float]
    fixed_label: str
    fixed: Callable[[Row], float]


def _sweep(rows: list[Row]) -> _Sweep:
    """The load if it varies, else the temperature, else the size."""
    loads, sizes = [_gamma(row) for row in rows], {row.point["n_spins"] for row in rows}
    symbol = r"$\gamma$" if rows[0].point["p_body"] > 2 else r"$\alpha$"
    if max(loads) > 1.03 * min(loads):
        return _Sweep("load", f"load {symbol}", _gamma, "T", lambda row: row.point["temperature"])
    if len(sizes) > 1 and len({row.point["temperature"] for row in rows}) == 1:
        return _Sweep("size", "1/N", lambda row: 1 / row.point["n_spins"], "T", lambda row: row.point["temperature"])
    gamma = sum(loads) / len(loads)
    return _Sweep("temperature", "temperature $T$", lambda row: row.point["temperature"], symbol, lambda row: gamma)


def _draw_curves(ax, theory, rows: list[Row]) -> None:
    retrieval = any(row.branch == "retrieval" for row in rows)
    name = "m" if retrieval or not any(row.observable == "energy" for row in rows) else "energy"
    rows = [row for row in rows if row.observable == name]
    sweep = _sweep(rows)
    sizes = sorted({row.point["n_spins"] for row in rows})
    markers = dict(zip(sizes, itertools.cycle("osD^v<>p*h")))
    for number, fixed in enumerate(sorted({sweep.fixed(row) for row in rows})):
        color = _COLORS[number % len(_COLORS)]
        here = [row for row in rows if sweep.fixed(row) == fixed]
        if retrieval:
            _theory_line(ax, theory, here, sweep, color)
        for row in here:
            lost = bool(row.excluded) and row.branch == "retrieval"
            ax.errorbar(sweep.x(row), row.mean, row.error if math.isfinite(row.error) else None, color=color, zorder=3,
                        fmt="x" if lost else markers[row.point["n_spins"]])
            if math.isfinite(row.theory):
                ax.plot(sweep.x(row), row.theory, "_", color="black", markersize=9, zorder=4)
        ax.plot([], [], color=color, label=f"{sweep.fixed_label} = {fixed:.3g}")
    for n, mark in markers.items():
        ax.plot([], [], mark, color="0.5", label=f"N = {n}")
    ax.plot([], [], "_", color="black", markersize=9, label="theory at this N")
    if any(row.excluded and row.branch == "retrieval" for row in rows):
        ax.plot([], [], "x", color="0.5", label="left the planted state")
    ax.set(xlabel=sweep.label, ylabel=_TITLES[name])
    ax.legend(loc="best", ncols=2)


def _theory_line(ax, theory, rows: list[Row], sweep: _Sweep, color: str) -> None:
    """m along the sweep: dotted for the infinite system, solid mapped to the size of the points where they share one."""
    one_size = len({row.point["n_spins"] for row in rows}) == 1
    last = max(rows, key=sweep.x)
    mapped_temperature, mapped_load, *_ = mapped_point(last.point)
    if sweep.name == "size":
        ax.plot(0, last.infinite, "*", color=color, markersize=10, label="infinite system", clip_on=False)
        return
    for mapped in (False, True) if one_size else (False,):
        temperature = mapped_temperature if mapped else last.point["temperature"]
        stretch = _gamma(last) / mapped_load if mapped else 1.0
        if sweep.name == "load":
            try:
                curve = theory.curve(temperature, branch="retrieval", gamma_max=1.3 * _gamma(last) / stretch)
            except NoSolution:
                continue
            x, m = curve.gamma * stretch, curve.m
        else:
            scale = temperature / last.point["temperature"]
            x = np.linspace(0.8 * min(sweep.x(row) for row in rows), 1.1 * sweep.x(last), 30)
            m = [_overlap(theory, _gamma(last) / stretch, scale * t) for t in x]
        ax.plot(x, m, "-" if mapped else ":", color=color, alpha=0.9, linewidth=1.4 if mapped else 1.0)


def _overlap(theory, gamma: float, temperature: float) -> float:
    try:
        return theory.solve(gamma=gamma, temperature=temperature, branch="retrieval").m
    except NoSolution:
        return math.nan


def _draw_z(ax, rows: list[Row]) -> None:
    compared = [row for row in rows if math.isfinite(row.z)]
    if not compared:
        ax.text(0.5, 0.5, "nothing to compare", ha="center", transform=ax.transAxes)
        return
    sweep = _sweep(rows)
    ax.axhspan(-2, 2, color="0.9", zorder=0)
    names = list(dict.fromkeys(row.observable for row in compared))
    for number, name in enumerate(names):
        here = [row for row in compared if row.observable == name]
        x = [sweep.x(row) for row in here]
        raw = np.clip([row.z_unmapped for row in here], -_CLIPPED_Z, _CLIPPED_Z)
        ax.plot(x, raw, "o", markerfacecolor="none", markeredgecolor=_COLORS[number % len(_COLORS)], alpha=0.45, markersize=4)
        rms = math.sqrt(np.mean([row.z**2 for row in here]))
        ax.plot(x, np.clip([row.z for row in here], -_CLIPPED_Z, _CLIPPED_Z), "o", color=_COLORS[number % len(_COLORS)],
                label=f"{name}: rms {rms:.2f}")
    ax.plot([], [], "o", markerfacecolor="none", markeredgecolor="0.5",
            label=f"infinite-size theory (clipped at {_CLIPPED_Z:g})")
    ax.set(xlabel=sweep.label, ylabel=r"$z$ = (simulation $-$ theory)/error", ylim=(-_CLIPPED_Z - 0.5, _CLIPPED_Z + 0.5))
    ax.legend(loc="best", ncols=2)


def _draw_diagram(ax, theory, rows: list[Row]) -> None:
    """The infinite system's phase diagram and where the points lie in it."""
    points = {(_gamma(row), row.point["temperature"]): row for row in rows}
    highest = 1.15 * max(max(t for _, t in points), 1.0)
    widest = max(1.15 * max(g for g, _ in points), 0.16 if rows[0].point["p_body"] == 2 else 0.5)
    theory.phase_diagram(gamma=np.linspace(0, widest, 80), temperature=np.linspace(0, highest, 80)).plot(ax)
    for (gamma, temperature), row in points.items():
        lost = bool(row.excluded) and row.branch == "retrieval"
        ax.plot(gamma, temperature, "x" if lost else "o", color="black", markerfacecolor="white", markersize=4.5, zorder=5)


def restoration_figure(results: Results) -> Figure:
    """How well corrupted images are restored as their number grows, one curve per P and temperature, and examples: stored,
    corrupted, restored. Needs a job whose start is "corrupted"; the examples need keep_spins = true."""
    orders = sorted({point["p_body"] for point in results.points})
    temperatures = sorted({point["temperature"] for point in results.points})
    with _style():
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
        ax = left.subplots()
        for number, (p, temperature) in enumerate(itertools.product(orders, temperatures)):
            chosen = [i for i, point in enumerate(results.points)
                      if (point["p_body"], point["temperature"]) == (p, temperature)]
            k = [results.points[i]["n_patterns"] for i in chosen]
            name = f"P = {p}" + (f", T = {temperature:g}" if len(temperatures) > 1 else "")
            estimates = [results["m"].estimate(i) for i in chosen]
            ax.errorbar(k, [e.mean for e in estimates], [e.raw_error for e in estimates], fmt="o-",
                        color=_COLORS[number % len(_COLORS)], label=name)
        corruption = results.job["sampling"].get("corruption")
        if corruption is not None:
            ax.axhline(1 - 2 * corruption, color="0.5", linestyle="--", linewidth=1, label=f"start ({corruption:.0%} flipped)")
        alike = _mean_overlap([spins["planted"] for spins in results.spins.values()])
        if alike is not None:
            ax.axhline(alike, color="0.5", linestyle=":", linewidth=1, label="two different images")
        ax.set(xscale="log", xlabel="images stored $K$", ylabel="overlap $m$ with the stored image", ylim=(None, 1.03))
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
        ax.legend()
        images = results.points[0].get("patterns", "patterns")
        ax.set_title(f"restoring {images if isinstance(images, str) else 'patterns'} (N = {results.points[0]['n_spins']})")
        _draw_examples(right, results, orders)
        return figure


def _mean_overlap(patterns: list[np.ndarray]) -> float | None:
    """Mean overlap of two different stored images; None if none were kept. Rademacher patterns would give 0."""
    distinct = np.unique(np.array(patterns), axis=0).astype(float)
    if len(distinct) < 2:
        return None
    total = distinct.sum(axis=0)
    n, size = distinct.shape[1], len(distinct)
    return float((total @ total - n * size) / (n * size * (size - 1)))


def _draw_examples(figure, results: Results, orders: list[int]) -> None:
    kept = sorted({results.points[point]["n_patterns"] for point, _ in results.spins})
    if not kept:
        return
    shown = [kept[0], kept[len(kept) // 3], kept[-1]] if len(kept) > 2 else kept
    n = results.points[0]["n_spins"]
    width = next((w for w in (math.isqrt(n),) if w * w == n), n)
    titles = ["stored", "corrupted", *[f"restored, P = {p}" for p in orders]]
    axes = figure.subplots(len(shown), len(titles), squeeze=False)
    for line, k in enumerate(shown):
        here = {at: spins for at, spins in results.spins.items() if results.points[at[0]]["n_patterns"] == k}
        samples = sorted({disorder for _, disorder in here})
        pictures = {results.points[point]["p_body"]: spins for (point, disorder), spins in sorted(here.items(), reverse=True)
                    if disorder == samples[line % len(samples)]}
        first = next(iter(pictures.values()))
        row = [first["planted"], first["start"][0], *[pictures[p]["final"][0] if p in pictures else None for p in orders]]
        for ax, picture, title in zip(axes[line], row, titles, strict=True):
            ax.set_axis_off()
            if picture is not None:
                ax.imshow(np.reshape(picture, (-1, width)), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
            if line == 0:
                ax.set_title(title, fontsize=8)
        axes[line, 0].text(-0.15, 0.5, f"K = {k}", rotation=90, va="center", ha="right", transform=axes[line, 0].transAxes)
