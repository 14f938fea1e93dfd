"""Figures: curves of theory with points of simulation, z-scores, phase diagrams with the simulated points.

Everything is drawn on plain matplotlib figures, without a window system and without touching a user's settings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from .compare import Comparison, Row
from .errors import NoSolution
from .finite_size import load_of, mapped_point
from .pictures import COLORS, house_style, image_figure

__all__ = ["comparison_figure"]

_CLIPPED_Z = 8.0
_TITLES = {"m": "overlap $m$", "energy": "energy per spin", "energy_cv": "energy per spin", "q": "overlap of replicas $q$"}


def comparison_figure(comparison: Comparison) -> Figure:
    """One column per (P, Hamiltonian), or one row if there is only one: an order parameter along the sweep, z-scores, the
    phase diagram with the points.

    Jobs on images, for which there is no theory, get those of `hebb.pictures`.
    """
    if not comparison.theories:
        return image_figure(comparison.results)
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in comparison.rows:
        groups.setdefault((row.point["p_body"], row.point["hamiltonian"]), []).append(row)
    with house_style():
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
        color = COLORS[number % len(COLORS)]
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
        ax.plot(x, raw, "o", markerfacecolor="none", markeredgecolor=COLORS[number % len(COLORS)], alpha=0.45, markersize=4)
        rms = math.sqrt(np.mean([row.z**2 for row in here]))
        ax.plot(x, np.clip([row.z for row in here], -_CLIPPED_Z, _CLIPPED_Z), "o", color=COLORS[number % len(COLORS)],
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
