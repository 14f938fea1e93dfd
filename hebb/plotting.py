"""Figures: curves of theory with points of simulation, z-scores, phase diagrams with the simulated points.

Everything is drawn on plain matplotlib figures, without a window system and without touching a user's settings.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from .compare_dense import law_of, theory_of
from .comparison import Comparison, Row, brief
from .errors import NoSolution
from .finite_size import load_of, retrieval_at_size
from .looks import (
    colors,
    crosses,
    draw_point,
    draw_z,
    key_of_colors,
    key_of_crosses,
    key_of_sizes,
    legend_below,
    load_symbol,
    marks_of_sizes,
)
from .params import load
from .pictures import image_figure
from .plotting_multitask import multitask_figure
from .plotting_perceptron import gibbs_figure
from .plotting_variational import variational_figure
from .style import house_style

__all__ = ["comparison_figure"]

_FAMILIES = {"multitask": multitask_figure, "perceptron": gibbs_figure, "second_task": gibbs_figure,
             "variational_perceptron": variational_figure}
_TITLES = {"m": "overlap $m$", "energy": "energy per spin"}


def comparison_figure(comparison: Comparison) -> Figure:
    """One column per (P, Hamiltonian, protocol), or one row if there is only one: an order parameter along the sweep, z-scores,
    the phase diagram with the points (of the dataset with most of them, if r or M is swept).

    Jobs on images, for which there is no theory, get those of `hebb.pictures`, other models those of their family.
    """
    kind = comparison.results.points[0]["kind"]
    if kind in _FAMILIES:
        return _FAMILIES[kind](comparison)
    if not comparison.theories:
        return image_figure(comparison.results)
    theories = dict(comparison.theories)  # more are added where r or M is swept
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for row in comparison.rows:
        groups.setdefault(tuple(row.point[name] for name in ("p_body", "hamiltonian", "protocol")), []).append(row)
    with house_style():
        if len(groups) == 1:
            figure = Figure(figsize=(14, 5.4), layout="constrained")
            axes = figure.subplots(1, 3, squeeze=False).T
        else:
            figure = Figure(figsize=(1.2 + 4.3 * len(groups), 12.5), layout="constrained")
            axes = figure.subplots(3, len(groups), squeeze=False, height_ratios=(3, 2, 3.2))
            for ax in axes[0, 1:]:
                ax.sharey(axes[0, 0])
        kinds = crosses(comparison.rows)
        for column, ((p, hamiltonian, protocol), rows) in enumerate(groups.items()):
            name = f"P = {p}, {hamiltonian} indices" if p > 2 else "P = 2 (Hopfield)"
            axes[0, column].set_title(name if protocol == "storage" else f"{name}, {protocol}")
            _draw_curves(axes[0, column], theories, rows, kinds)
            sweep = _sweep(rows)
            draw_z(axes[1, column], rows, sweep.x, r"$z$ = (simulation $-$ theory)/error")
            axes[1, column].set_xlabel(sweep.label)
            axes[1, column].locator_params(axis="x", nbins=6)
            legend_below(axes[1, column])
            usual = Counter(law_of(row.point) for row in rows).most_common(1)[0][0]
            _draw_diagram(axes[2, column], theories[usual], [row for row in rows if law_of(row.point) == usual], kinds)
        figure.suptitle(f"{comparison.results.job['name']}: replica theory (lines) and Monte Carlo (points)")
        return figure


def _gamma(row: Row) -> float:
    return load_of(row.point)


@dataclass(frozen=True)
class _Sweep:
    """What runs along the horizontal axis (name, label, value of a row), and what tells one curve from another."""

    name: str
    label: str
    x: Callable[[Row], float]
    curve: Callable[[Row], str]


_LABELS = {"r": "quality of examples $r$", "n_examples": "examples per pattern $M$", "rho": r"dataset entropy $\rho$",
           "size": "1/N", "temperature": "temperature $T$"}
_SYMBOLS = {"temperature": "T", "r": "r", "n_examples": "M", "rho": r"$\rho$"}


def _sweep(rows: list[Row]) -> _Sweep:
    """The load if it varies, else the dataset, else the size (at one temperature), else the temperature."""
    loads = [_gamma(row) for row in rows]
    varies = {name for name in (*_SYMBOLS, "n_spins") if len({row.point.get(name) for row in rows}) > 1}
    symbol = load_symbol(rows[0].point["p_body"])
    name = "temperature"
    if max(loads) > 1.03 * min(loads):
        name = "load"
    elif varies & {"r", "n_examples", "rho"}:
        name = next(name for name in ("r", "n_examples", "rho") if name in varies)
    elif varies == {"n_spins"}:
        name = "size"
    values = {"load": _gamma, "size": lambda row: 1 / row.point["n_spins"]}
    named = [key for key in _SYMBOLS if key != name and key in varies] or ["temperature"]
    gamma = sum(loads) / len(loads)

    def curve(row: Row) -> str:
        if name == "temperature" and named == ["temperature"]:
            return f"{symbol} = {gamma:.3g}"
        return ", ".join(f"{_SYMBOLS[key]} = {row.point[key]:.3g}" for key in named)

    return _Sweep(name, _LABELS.get(name, f"load {symbol}"), values.get(name, lambda row: row.point[name]), curve)


def _draw_curves(ax, theories, rows: list[Row], kinds: dict[str, str]) -> None:
    retrieval = any(row.branch == "retrieval" for row in rows)
    name = "m" if retrieval or not any(row.observable == "energy" for row in rows) else "energy"
    rows = [row for row in rows if row.observable == name]
    sweep = _sweep(rows)
    sizes, tones = marks_of_sizes(rows), colors(sweep.curve(row) for row in rows)
    for curve, color in tones.items():
        here = [row for row in rows if sweep.curve(row) == curve]
        if any(row.branch == "retrieval" for row in here):
            _theory_lines(ax, theories, here, sweep, color)
        for row in here:
            cross = kinds[brief(row.excluded)] if row.excluded else None
            draw_point(ax, sweep.x(row), row.mean, row.error, color, sizes[row.point["n_spins"]], cross)
            if math.isfinite(row.theory):
                ax.plot(sweep.x(row), row.theory, "_", color="black", markersize=9, zorder=4)
    drawn = {line.get_linestyle() for line in ax.get_lines() if len(line.get_xdata()) > 1}
    key_of_colors(ax, tones)
    key_of_sizes(ax, sizes)
    if any(math.isfinite(row.theory) for row in rows):
        ax.plot([], [], "_", color="black", markersize=9, label="theory at the N of the point")
    if "-" in drawn:
        ax.plot([], [], "-", color="0.4", label=f"theory at N = {next(iter(sizes))}")
    if ":" in drawn:
        ax.plot([], [], ":", color="0.4", linewidth=1.0, label="infinite system")
    key_of_crosses(ax, kinds, rows)
    ax.set(xlabel=sweep.label, ylabel=_TITLES[name])
    legend_below(ax)


def _theory_lines(ax, theories, rows: list[Row], sweep: _Sweep, color: str) -> None:
    """m along the sweep: dotted for the infinite system, solid at the size of the points where they share one."""
    last = max(rows, key=sweep.x)
    if sweep.name == "size":
        if math.isfinite(last.infinite):
            ax.plot(0, last.infinite, "*", color=color, markersize=10, label="infinite system", clip_on=False)
        return
    low, high = min(sweep.x(row) for row in rows), sweep.x(last)
    grid = np.linspace(0.8 * low, min(1.1 * high, 1.0) if sweep.name == "r" else 1.1 * high, 20)
    if sweep.name == "n_examples":
        grid = np.unique(np.rint(np.geomspace(low, high, 20)))
    points = [last.point | _changed(last.point, sweep.name, x) for x in grid]
    ax.plot(grid, [_overlap(theories, point, load_of(point)) for point in points], ":", color=color, alpha=0.9, linewidth=1.0)
    if len({row.point["n_spins"] for row in rows}) == 1:
        ax.plot(grid, [_overlap(theories, point) for point in points], "-", color=color, alpha=0.9, linewidth=1.4)


def _changed(point: dict, name: str, x: float) -> dict:
    return {"n_patterns": x / load(1, point["n_spins"], point["p_body"])} if name == "load" else {name: x}


def _overlap(theories, point: dict, gamma: float | None = None) -> float:
    """m at a point, or of the infinite system at load gamma; nan where there is no retrieval."""
    theory = theory_of(point, theories)
    try:
        if gamma is None:
            return retrieval_at_size(point, theory)[1]["m"]
        return theory.solve(gamma=gamma, temperature=point["temperature"], branch="retrieval").m
    except NoSolution:
        return math.nan


def _draw_diagram(ax, theory, rows: list[Row], kinds: dict[str, str]) -> None:
    """The infinite system's phase diagram and where the points lie in it: hollow and crossed where nothing was compared."""
    points: dict[tuple[float, float], list[Row]] = {}
    for row in rows:
        points.setdefault((_gamma(row), row.point["temperature"]), []).append(row)
    highest = 1.15 * max(max(t for _, t in points), 1.0)
    widest = 1.15 * max(*(g for g, _ in points), *theory.branches.spinodal_line.gamma)
    theory.phase_diagram(gamma=np.linspace(0, widest, 80), temperature=np.linspace(0, highest, 80)).plot(ax)
    phases, sizes = ax.get_legend().legend_handles, marks_of_sizes(rows)
    shown = [next((row for row in here if not row.excluded), here[0]) for here in points.values()]
    for row in shown:
        cross = kinds[brief(row.excluded)] if row.excluded else None
        draw_point(ax, _gamma(row), row.point["temperature"], math.nan, "black", sizes[row.point["n_spins"]], cross, 3.5)
    if not all(row.excluded for row in shown):
        ax.plot([], [], "o", color="black", markersize=3.5, label="compared")
    key_of_crosses(ax, kinds, shown)
    key_of_sizes(ax, sizes)
    legend_below(ax, [*phases, *ax.get_legend_handles_labels()[0][-_entries(ax):]], ncols=3)


def _entries(ax) -> int:
    """Entries of the legend that no phase diagram made."""
    return sum(len(line.get_xdata()) == 0 for line in ax.get_lines())
