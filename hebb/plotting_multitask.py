"""Figures of multitasking networks: overlaps along the sweep with lines of the infinite system, z-scores, phase diagrams."""

from __future__ import annotations

import itertools
import math

import numpy as np
from matplotlib.figure import Figure

from .compare_multitask import theory_of
from .comparison import Comparison, Row
from .pictures import COLORS, house_style
from .theory.multitask_phases import MultitaskDiagram
from .theory.multitask_states import find_states, names, tidy

__all__ = ["multitask_figure"]

_CLIPPED_Z = 8.0
_MOST_PATTERNS = 4
_GRID = 30
_LABELS = {"n_examples": "examples per pattern $M$", "r": "quality of examples $r$", "rho": r"dataset entropy $\rho$",
           "dilution": "dilution $d$", "temperature": "temperature $T$", "n_spins": "$N$"}
_SYMBOLS = {"n_examples": "M", "r": "r", "rho": r"$\rho$", "dilution": "d", "temperature": "T", "n_spins": "N"}
_WHOLE = ("n_examples", "n_spins")
_MARKS = "osD^v<>p*h"


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
        figure = Figure(figsize=(1.2 + 4.3 * max(2, len(groups)), 1.4 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), len(groups), squeeze=False, height_ratios=heights)
        for column, ((k, protocol), rows) in zip(axes.T, groups.items(), strict=True):
            column[0].set_title(f"K = {k}" + ("" if protocol == "storage" else f", {protocol}"))
            sweep = _sweep(rows)
            _draw_overlaps(column[0], dict(comparison.theories), rows, sweep)
            _draw_z(column[1], rows, sweep)
            for ax in column[:2]:
                _scale(ax, [row.point[sweep] for row in rows], sweep)
            column[1].set(xlabel=_LABELS[sweep], xlim=column[0].get_xlim())
            if _has_diagram(rows):
                _draw_diagram(column[2], theory_of(rows[0].point, {}).law, rows)
            elif diagrams:
                column[2].set_axis_off()
        axes[0, 0].set_ylabel("overlaps $m$")
        axes[1, 0].set_ylabel(r"$z$ = (simulation $-$ theory)/error")
        figure.suptitle(f"{comparison.results.job['name']}: mean-field theory (lines) and Monte Carlo (points)")
        return figure


def _has_diagram(rows: list[Row]) -> bool:
    """Whether a diagram of stored patterns is drawn in a few seconds."""
    return rows[0].point["protocol"] == "storage" and rows[0].point["n_patterns"] <= _MOST_PATTERNS


def _draw_diagram(ax, law, rows: list[Row]) -> None:
    """The infinite system's phase diagram and where the points lie in it."""
    temperatures = [row.point["temperature"] for row in rows]
    highest = 1.15 * max(*temperatures, 1.0 if law.normalize_dilution else law.scale)
    axes = np.linspace(0.01, 0.99, _GRID), np.linspace(0.01 * highest, highest, _GRID)
    MultitaskDiagram.compute(law, *axes).plot(ax)
    handles = ax.get_legend().legend_handles
    ax.legend(handles=handles, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    for place in {(row.point["dilution"], row.point["temperature"]) for row in rows}:
        ax.plot(*place, "o", color="black", markerfacecolor="white", markersize=4.5, zorder=5)


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


def _draw_overlaps(ax, theories: dict, rows: list[Row], sweep: str) -> None:
    rows = [row for row in rows if row.observable.startswith("m[")]
    marks = dict(zip(dict.fromkeys(row.branch for row in rows), itertools.cycle(_MARKS)))
    for color, (label, here) in zip(itertools.cycle(COLORS), _curves(rows, sweep).items()):
        for branch in dict.fromkeys(row.branch for row in here):
            if branch:
                _theory_lines(ax, theories, [row for row in here if row.branch == branch], _grid(here, sweep), sweep, color)
        for row in here:
            ax.errorbar(row.point[sweep], row.mean, row.error if math.isfinite(row.error) else None, color=color, zorder=3,
                        fmt="x" if row.excluded else marks[row.branch])
            if math.isfinite(row.theory):
                ax.plot(row.point[sweep], row.theory, "_", color="black", markersize=9, zorder=4)
        if label:
            ax.plot([], [], color=color, label=label)
    for branch, mark in marks.items():
        if branch:
            ax.plot([], [], mark, color="0.5", label=branch)
    ax.plot([], [], "_", color="black", markersize=9, label="theory of the samples")
    if any(row.excluded for row in rows):
        ax.plot([], [], "x", color="0.5", label="no z: see the table")
    ax.legend(loc="best", ncols=2)


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
    curves = np.full((len(grid), rows[0].point["n_patterns"]), math.nan)
    for curve, x in zip(curves, grid, strict=True):
        point = rows[0].point | {sweep: int(x) if sweep in _WHOLE else float(x)}
        theory, start = theory_of(point, theories), known[min(known, key=lambda place: abs(place - x))]
        reduced = point["temperature"] / theory.law.scale
        found = find_states(theory.columns, reduced, np.array(start))
        if names(found.g) == rows[0].branch and found.hessian > 0:
            curve[:] = theory.columns.archetype(tidy(found.g), reduced)
    ax.plot(grid, curves, "-", color=color, alpha=0.8, linewidth=1.2)


def _draw_z(ax, rows: list[Row], sweep: str) -> None:
    ax.axhspan(-2, 2, color="0.9", zorder=0)
    for color, name in zip(itertools.cycle(COLORS), dict.fromkeys(row.observable.split("[")[0] for row in rows)):
        here = [row for row in rows if row.observable.split("[")[0] == name and math.isfinite(row.z)]
        if here:
            rms = math.sqrt(np.mean([row.z**2 for row in here]))
            ax.plot([row.point[sweep] for row in here], np.clip([row.z for row in here], -_CLIPPED_Z, _CLIPPED_Z), "o",
                    color=color, alpha=0.8, label=f"{name}: rms {rms:.2f}")
    ax.set_ylim(-_CLIPPED_Z - 0.5, _CLIPPED_Z + 0.5)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best", ncols=2)
    else:
        ax.text(0.5, 0.5, "nothing to compare", ha="center", transform=ax.transAxes)
