"""Figures of perceptrons under the Gibbs measure: order parameters along the sweep with lines of theory, and z-scores."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from .compare_perceptron import first_state, second_state, values_of
from .comparison import Comparison, Row, brief
from .errors import NoSolution, ParameterError
from .looks import (
    colors,
    crosses,
    draw_point,
    draw_z,
    key_of_colors,
    key_of_crosses,
    key_of_sizes,
    legend_below,
    marks_of_sizes,
)
from .style import house_style

__all__ = ["gibbs_figure"]

_GRID = 17
_LABELS = {"alpha": r"load $\alpha = K/N$", "first_alpha": r"load of the first task $\alpha_1$",
           "temperature": "temperature $T$", "teacher_correlation": "correlation of the teachers $r_0$",
           "coupling": r"coupling $\lambda$", "n_spins": "$N$"}
_SYMBOLS = {"alpha": r"$\alpha$", "first_alpha": r"$\alpha_1$", "temperature": "T", "teacher_correlation": "$r_0$",
            "coupling": r"$\lambda$", "n_spins": "N"}
_LOADS = {"alpha": "n_patterns", "first_alpha": "first_n_patterns"}
_TITLES = {"r": "overlap with the teacher $r$", "q": "overlap of replicas $q$", "training_error": "share of violated examples",
           "r1": "overlap with teacher 1, $r_1$", "r2": "overlap with teacher 2, $r_2$",
           "overlap_reference": "overlap with the reference"}


def gibbs_figure(comparison: Comparison) -> Figure:
    """One column per model (loss, margin, labels): its overlaps and training error along the parameter with most values, one
    colour for each value of the others (points; lines: the infinite system where it is replica symmetric and the equilibrium),
    and z-scores. Cost: 20 ms for each of 17 points of a line."""
    groups: dict[str, list[Row]] = {}
    for row in comparison.rows:
        groups.setdefault(row.model, []).append(row)
    names = [name for name in _TITLES if any(row.observable == name for row in comparison.rows)]
    heights = [2.5] * len(names) + [2.0]
    with house_style():
        kinds = crosses(row for row in comparison.rows if row.observable in names)
        figure = Figure(figsize=(1.2 + 4.3 * max(1.2, len(groups)), sum(heights) + 1.2), layout="constrained")
        axes = figure.subplots(len(heights), len(groups), squeeze=False, height_ratios=heights, sharex="col")
        for column, (title, rows) in zip(axes.T, groups.items(), strict=True):
            sweep = _sweep(rows)
            column[0].set_title(title)
            lines = {label: _line([row.point for row in here], sweep) for label, here in _curves(rows, sweep).items()}
            tones, sizes = colors(lines), marks_of_sizes(rows)
            for ax, name in zip(column, names, strict=False):
                _draw(ax, name, [row for row in rows if row.observable == name], sweep, lines, (tones, sizes, kinds))
                ax.set_ylabel(_TITLES[name])
            draw_z(column[-1], rows, lambda row, sweep=sweep: _place(row.point, sweep))
            key_of_colors(column[-1], tones, {label: label or "theory and simulation" for label in tones})
            if len(sizes) == 1 or not any(math.isfinite(row.z) for row in rows):
                key_of_sizes(column[-1], sizes)
            if any(np.isfinite(curve).any() for _, values in lines.values() for curve in values.values()):
                column[-1].plot([], [], "-", color="0.4", linewidth=1.2, label="infinite system")
            key_of_crosses(column[-1], kinds, [row for row in rows if row.observable in names])
            column[-1].set_xlabel(_LABELS[sweep])
            legend_below(column[-1], drop=0.28)
        figure.suptitle(f"{comparison.results.job['name']}: replica symmetry (lines) and Monte Carlo (points)")
        return figure


def _place(point: dict, name: str) -> float:
    return point[_LOADS[name]] / point["n_spins"] if name in _LOADS else point[name]


def _varies(rows: list[Row], name: str) -> int:
    """How many values a parameter has."""
    return len({_place(row.point, name) for row in rows if name in row.point or _LOADS.get(name) in row.point})


def _sweep(rows: list[Row]) -> str:
    """The parameter with most values; the load if none has two."""
    return max(_LABELS, key=lambda name: _varies(rows, name))


def _curves(rows: list[Row], sweep: str) -> dict[str, list[Row]]:
    """Rows that differ in the swept parameter alone, by what else varies."""
    others = [name for name in _LABELS if name != sweep and _varies(rows, name) > 1]
    if sweep in _LOADS and "n_spins" in others:  # loads of several sizes are those of integers
        others.remove("n_spins")
    found: dict[str, list[Row]] = {}
    for row in rows:
        label = ", ".join(f"{_SYMBOLS[name]} = {_place(row.point, name):.3g}" for name in others)
        found.setdefault(label, []).append(row)
    return found


def _line(points: list[dict], sweep: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Observables of the infinite system along a curve, nan where it has no stable state."""
    places = [_place(point, sweep) for point in points]
    widest = 0.08 * (max(places) - min(places)) or 0.2 * abs(places[0]) or 0.2
    low, high = min(places) - widest, max(places) + widest
    if sweep == "teacher_correlation":
        low, high = max(low, -1.0), min(high, 1.0)
    elif sweep != "coupling":
        low = max(low, 0.3 * min(places))
    grid = np.linspace(max(low, 0.0) if sweep == "coupling" else low, high, _GRID)
    if sweep == "n_spins":
        return grid, {}
    state = second_state if points[0]["kind"] == "second_task" else first_state
    found = []
    for x in grid:
        point = points[0] | ({"first_n_patterns": x * points[0]["n_spins"]} if sweep == "first_alpha" else {})
        try:
            here = state(point, **({} if sweep == "first_alpha" else {sweep: float(x)}))
            found.append(values_of(here) if here.stable else {})
        except (NoSolution, ParameterError):
            found.append({})
    names = {name for values in found for name in values}
    return grid, {name: np.array([values.get(name, math.nan) for values in found]) for name in names}


def _draw(ax, name: str, rows: list[Row], sweep: str, lines: dict, looks: tuple[dict, dict, dict]) -> None:
    """looks: colours of the curves, marks of the sizes, crosses of the reasons."""
    curves, (tones, sizes, kinds) = _curves(rows, sweep), looks
    for label, (grid, values) in lines.items():
        if name in values:
            ax.plot(grid, values[name], "-", color=tones[label], linewidth=1.2, alpha=0.8)
        for row in curves.get(label, ()):
            cross = kinds[brief(row.excluded)] if row.excluded else None
            draw_point(ax, _place(row.point, sweep), row.mean, row.error, tones[label], sizes[row.point["n_spins"]], cross, 4)
