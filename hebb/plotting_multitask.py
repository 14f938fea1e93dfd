"""Figures of multitasking networks: overlaps along the sweep with lines of the infinite system, z-scores, phase diagrams."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from .compare_multitask import theory_of
from .comparison import Comparison, Row, brief
from .looks import (
    colors,
    crosses,
    draw_point,
    draw_z,
    key_of_colors,
    key_of_crosses,
    key_of_marks,
    key_of_sizes,
    legend_below,
    marks,
    marks_of_sizes,
)
from .style import house_style
from .theory.multitask_phases import MultitaskDiagram
from .theory.multitask_states import find_states, names, tidy

__all__ = ["multitask_figure"]

_MOST_PATTERNS = 4
_GRID = 30
_LABELS = {"n_examples": "examples per pattern $M$", "r": "quality of examples $r$", "rho": r"dataset entropy $\rho$",
           "dilution": "dilution $d$", "temperature": "temperature $T$", "n_spins": "$N$"}
_SYMBOLS = {"n_examples": "M", "r": "r", "rho": r"$\rho$", "dilution": "d", "temperature": "T", "n_spins": "N"}
_WHOLE = ("n_examples", "n_spins")


def multitask_figure(comparison: Comparison) -> Figure:
    """One column per number of patterns and protocol: overlaps m of all patterns by size along the sweep (points, one mark
    per branch, black dashes: theory of the samples themselves, lines: the infinite system on that branch), z-scores, and for
    stored patterns up to K = 4 the phase diagram with the points. Cost: up to 15 s per diagram."""
    groups: dict[tuple, list[Row]] = {}
    for row in comparison.rows:
        groups.setdefault((row.point["n_patterns"], row.point["protocol"]), []).append(row)
    with house_style():
        diagrams = any(_has_diagram(rows) for rows in groups.values())
        heights = (3, 2, 3.2) if diagrams else (3, 2)
        kinds, wide = crosses(comparison.rows), max(len(groups), 2 if diagrams else 1.3)
        figure = Figure(figsize=(1.2 + 4.3 * wide, 1.4 * sum(heights) + 1.3 * len(heights)), layout="constrained")
        axes = figure.subplots(len(heights), len(groups), squeeze=False, height_ratios=heights)
        for column, ((k, protocol), rows) in zip(axes.T, groups.items(), strict=True):
            column[0].set_title(f"K = {k}" + ("" if protocol == "storage" else f", {protocol}"))
            sweep = _sweep(rows)
            _draw_overlaps(column[0], dict(comparison.theories), rows, sweep, kinds)
            draw_z(column[1], rows, lambda row, sweep=sweep: row.point[sweep])
            for ax in column[:2]:
                _scale(ax, [row.point[sweep] for row in rows], sweep)
            column[0].set_xlabel(_LABELS[sweep])
            column[1].set(xlabel=_LABELS[sweep], xlim=column[0].get_xlim())
            legend_below(column[1])
            if _has_diagram(rows):
                _draw_diagram(column[2], theory_of(rows[0].point, {}).law, rows, kinds)
            elif diagrams:
                column[2].set_axis_off()
        axes[0, 0].set_ylabel("overlaps $m$")
        axes[1, 0].set_ylabel(r"$z$ = (simulation $-$ theory)/error")
        figure.suptitle(f"{comparison.results.job['name']}: mean-field theory (lines) and Monte Carlo (points)")
        return figure


def _has_diagram(rows: list[Row]) -> bool:
    """Whether a diagram of stored patterns is drawn in a few seconds."""
    return rows[0].point["protocol"] == "storage" and rows[0].point["n_patterns"] <= _MOST_PATTERNS


def _draw_diagram(ax, law, rows: list[Row], kinds: dict[str, str]) -> None:
    """The infinite system's phase diagram and where the points lie in it: hollow and crossed where nothing was compared."""
    temperatures = [row.point["temperature"] for row in rows]
    highest = 1.15 * max(*temperatures, 1.0 if law.normalize_dilution else law.scale)
    axes = np.linspace(0.01, 0.99, _GRID), np.linspace(0.01 * highest, highest, _GRID)
    MultitaskDiagram.compute(law, *axes).plot(ax)
    phases, known, sizes = ax.get_legend().legend_handles, len(ax.get_lines()), marks_of_sizes(rows)
    places: dict[tuple, list[Row]] = {}
    for row in rows:
        places.setdefault(tuple(row.point[name] for name in ("dilution", "temperature", "n_spins")), []).append(row)
    shown = [next((row for row in here if not row.excluded), here[0]) for here in places.values()]
    for row in shown:
        cross = kinds[brief(row.excluded)] if row.excluded else None
        d, temperature, n = (row.point[name] for name in ("dilution", "temperature", "n_spins"))
        draw_point(ax, d, temperature, math.nan, "black", sizes[n], cross, 3.5)
    if not all(row.excluded for row in shown):
        ax.plot([], [], "o", color="black", markersize=3.5, label="compared")
    key_of_crosses(ax, kinds, shown)
    key_of_sizes(ax, sizes)
    ax.set(xlabel=_LABELS["dilution"], ylabel=_LABELS["temperature"])
    legend_below(ax, [*phases, *(line for line in ax.get_lines()[known:] if len(line.get_xdata()) == 0)], ncols=3)


def _sweep(rows: list[Row]) -> str:
    """The parameter with most values; the temperature if none has two."""
    return max(["temperature", *_LABELS], key=lambda name: len({row.point.get(name) for row in rows}))


def _scale(ax, values, sweep: str) -> None:
    """Whole numbers on a logarithmic axis, with their own ticks."""
    if sweep in _WHOLE:
        ax.set_xscale("log")
        ax.minorticks_off()
        ax.set_xticks(sorted(set(values)), [f"{value:g}" for value in sorted(set(values))])


def _curves(rows: list[Row], sweep: str) -> dict[str, list[Row]]:
    """Rows that differ in the swept parameter alone, by what else varies."""
    others = [name for name in _LABELS if name != sweep and len({row.point.get(name) for row in rows}) > 1]
    found: dict[str, list[Row]] = {}
    for row in rows:
        label = ", ".join(f"{_SYMBOLS[name]} = {row.point[name]:.4g}" for name in others if name in row.point)
        found.setdefault(label, []).append(row)
    return found


def _draw_overlaps(ax, theories: dict, rows: list[Row], sweep: str, kinds: dict[str, str]) -> None:
    rows = [row for row in rows if row.observable.startswith("m[")]
    shapes, curves = marks(row.branch for row in rows), _curves(rows, sweep)
    tones = colors(curves)
    for label, here in curves.items():
        for branch in dict.fromkeys(row.branch for row in here):
            if branch:
                on_branch = [row for row in here if row.branch == branch]
                _theory_lines(ax, theories, on_branch, _grid(here, sweep), sweep, tones[label])
        for row in here:
            cross = kinds[brief(row.excluded)] if row.excluded else None
            draw_point(ax, row.point[sweep], row.mean, row.error, tones[label], shapes[row.branch], cross)
            if math.isfinite(row.theory):
                ax.plot(row.point[sweep], row.theory, "_", color="black", markersize=9, zorder=4)
    lines = any(len(line.get_xdata()) > 1 for line in ax.get_lines())
    key_of_colors(ax, tones)
    key_of_marks(ax, {branch or "branch unknown": mark for branch, mark in shapes.items()})
    if any(math.isfinite(row.theory) for row in rows):
        ax.plot([], [], "_", color="black", markersize=9, label="theory of the samples")
    if lines:
        ax.plot([], [], "-", color="0.4", linewidth=1.2, label="infinite system, on the branch")
    key_of_crosses(ax, kinds, rows)
    legend_below(ax)


def _grid(rows: list[Row], sweep: str) -> np.ndarray:
    """Where lines are drawn: a little beyond the points."""
    low, high = (end(row.point[sweep] for row in rows) for end in (min, max))
    if sweep in _WHOLE:
        return np.unique(np.rint(np.geomspace(low, high, 25)))
    return np.linspace(0.9 * low, min(1.1 * high, 0.99) if sweep in ("r", "dilution") else 1.1 * high, 25)


def _theory_lines(ax, theories: dict, rows: list[Row], grid: np.ndarray, sweep: str, color: str) -> None:
    """All m of the infinite system on the branch of these rows, followed from the nearest of them, where it exists."""
    known: dict[float, list[float]] = {}
    for row in rows:
        known.setdefault(row.point[sweep], []).append(row.infinite)
    known = {place: start for place, start in known.items() if np.isfinite(start).all()}
    if not known:
        return
    curves = np.full((len(grid), rows[0].point["n_patterns"]), math.nan)
    for curve, x in zip(curves, grid, strict=True):
        point = rows[0].point | {sweep: int(x) if sweep in _WHOLE else float(x)}
        theory, start = theory_of(point, theories), known[min(known, key=lambda place: abs(place - x))]
        reduced = point["temperature"] / theory.law.scale
        found = find_states(theory.columns, reduced, np.array(start))
        if names(found.g) == rows[0].branch and found.hessian > 0:
            curve[:] = theory.columns.archetype(tidy(found.g), reduced)
    ax.plot(grid, curves, "-", color=color, alpha=0.8, linewidth=1.2)
