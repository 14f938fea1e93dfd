"""A picture of results alone, without theory, for every family of models."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from ..errors import ParameterError
from ..params import check_choice
from ..quantities import ORDER_PARAMETERS, axis_of_components, observable, parameter
from ..sampling.options import TRAINING
from ..style import COLORS, MARKS, house_style
from .coordinates import is_number, plain

if TYPE_CHECKING:
    from .results import Results

__all__ = ["results_figure"]

_MOST_ROWS = 4
_MOST_COLUMNS = 6
_FIRST_AXES = ("gamma", "alpha", "first_alpha", "n_patterns", "n_examples")  # where keys have equally many values


def results_figure(results: Results, observables=None, x: str | None = None) -> Figure:
    """See `Results.plot`."""
    names = _chosen(results, observables)
    training = results.job["sampling"].get("dynamics") in TRAINING
    keys = [key for key in results.coordinates.swept if _distinct(results, key) > 1]
    axes_known = [key for key in results.coordinates.swept if all(map(is_number, results.coordinates.written[key]))]
    axes_known += ["epoch"] if training else []
    x = _axis(results, axes_known, training) if x is None else check_choice("x", x, axes_known)
    others = [key for key in keys if key != x and (x == "epoch" or _told_apart(results, x, key))]
    facet = _facet(results, names, others)
    columns = _distinct(results, facet) if facet else 1
    with house_style():
        figure = Figure(figsize=(2.6 + 3.6 * columns, 0.7 + 2.7 * len(names)), layout="constrained")
        axes = figure.subplots(len(names), columns, squeeze=False, sharex=True, sharey="row")
        for row, name in zip(axes, names, strict=True):
            _Panels(results, name, x, others, facet).draw(row)
        for ax in axes[-1]:
            ax.set_xlabel("epoch" if x == "epoch" else parameter(x, results.points).label)
        figure.suptitle(_title(results))
        return figure


def _facet(results: Results, names: list[str], others: list[str]) -> str | None:
    """The key with a panel for each of its values: of few values, where one panel would hold more curves than colours."""
    components = max(math.prod(results[name].samples.shape[2:]) for name in names)
    few = [key for key in others if _distinct(results, key) <= _MOST_COLUMNS]
    if not few or components * math.prod(_distinct(results, key) for key in others) <= len(COLORS):
        return None
    return min(few, key=lambda key: _distinct(results, key))


def _chosen(results: Results, observables) -> list[str]:
    if observables is not None:
        names = [observables] if isinstance(observables, str) else list(observables)
        if not names:
            raise ParameterError("observables is an empty list; give at least one name")
        return [check_choice("observable", name, results.keys()) for name in names]
    known = [name for name in ORDER_PARAMETERS if name in results and not (name == "m" and "m_sorted" in results)]
    return known[:_MOST_ROWS] or list(results)[:_MOST_ROWS]


def _distinct(results: Results, key: str) -> int:
    return len({repr(value) for value in results.coordinates.written[key]})


def _axis(results: Results, known: list[str], training: bool) -> str:
    """Epochs of training; else the key with most values."""
    if training:
        return "epoch"
    if not known:
        return "temperature"
    return max(known, key=lambda key: (_distinct(results, key), key in _FIRST_AXES, key != "n_spins"))


def _told_apart(results: Results, x: str, key: str) -> bool:
    """Whether points of one x differ in this key."""
    seen: dict = {}
    written = results.coordinates.written
    for place, value in zip(written[x], written[key], strict=True):
        seen.setdefault(place, set()).add(repr(value))
    return any(len(values) > 1 for values in seen.values())


def _title(results: Results) -> str:
    fixed = results.coordinates.fixed
    shown = [f"{parameter(name, results.points).short} = {_written(fixed[name])}"
             for name in ("n_spins", "p_body", "gamma", "alpha", "n_patterns", "dilution", "r", "n_examples", "temperature")
             if name in fixed and is_number(fixed[name])]
    lost = int(results.lost.sum())
    note = f"\n{lost} of {int(results.done.sum())} samples left the planted state" if lost else ""
    return ": ".join(filter(None, (results.job["name"], ", ".join(shown)))) + note


def _written(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(plain(value))


class _Panels:
    """A row of panels: what is along x, which key has a panel for each value, which a colour, which a mark."""

    def __init__(self, results: Results, name: str, x: str, others: list[str], facet: str | None):
        self.results, self.name, self.x, self.facet = results, name, x, facet
        self.observable = results[name]
        inner = self.observable.samples.shape[2:]
        self.components = list(np.ndindex(inner))
        written = results.coordinates.written
        self.values = {key: list({repr(value): value for value in written[key]}.values()) for key in others}
        if len(self.components) > 1:
            self.component = axis_of_components(name, results.points)
            self.values[self.component] = list(range(len(self.components)))
        else:
            self.component = ""
        self.facets = self.values[facet] if facet else [None]
        by_size = sorted((key for key in self.values if key != facet), key=lambda key: len(self.values[key]))
        self.color = by_size.pop() if by_size else None
        self.rest = by_size
        self.colors = _colors(self.values[self.color]) if self.color else {repr(None): COLORS[0]}
        combinations = itertools.product(*(self.values[key] for key in self.rest))
        self.marks = dict(zip(map(repr, combinations), itertools.cycle(MARKS)))

    def draw(self, axes) -> None:
        """All curves, a legend beside the last panel."""
        for ax, facet in zip(axes, self.facets, strict=True):
            for combination in itertools.product(*(values for key, values in self.values.items() if key != self.facet)):
                chosen = dict(zip((key for key in self.values if key != self.facet), combination, strict=True))
                self._curve(ax, chosen | ({self.facet: facet} if self.facet else {}))
            if self.facet:
                ax.set_title(self._word(self.facet, facet))
        axes[0].set_ylabel(observable(self.name).label)
        self._legend(axes[-1])

    def _curve(self, ax, chosen: dict) -> None:
        results, written = self.results, self.results.coordinates.written
        component = self.components[chosen[self.component]] if self.component else self.components[0]
        points = [i for i in range(len(results.points))
                  if all(repr(written[key][i]) == repr(value) for key, value in chosen.items() if key != self.component)]
        look = {"color": self.colors[repr(chosen.get(self.color))],
                "marker": self.marks[repr(tuple(chosen[key] for key in self.rest))]}
        if self.x == "epoch":
            for point in points:
                self._learning_curve(ax, point, component, look)
            return
        found = [self.observable.estimate(point, component) for point in points]
        place = self._places(points)
        good = [k for k in np.argsort(place, kind="stable") if math.isfinite(found[k].mean)]
        if not good:
            return
        x, y = np.array(place)[good], np.array([found[k].mean for k in good])
        error = np.array([found[k].bar for k in good])
        short = np.array([found[k].too_short for k in good])
        ax.plot(x, y, linewidth=0.9, alpha=0.7, color=look["color"])
        for some, face in ((~short, look["color"]), (short, "white")):
            if some.any():
                ax.errorbar(x[some], y[some], error[some], linestyle="", markerfacecolor=face, **look)

    def _learning_curve(self, ax, point: int, component: tuple, look: dict) -> None:
        """Mean over chains and samples with a band of the standard error between samples."""
        series = self.observable.series(point)
        curves = series[(slice(None), slice(None), slice(None), *component)].mean(axis=2)
        if not len(curves) or np.isnan(curves).all():
            return
        epochs, mean = self.results.sweeps[:curves.shape[1]], curves.mean(axis=0)
        ax.plot(epochs, mean, color=look["color"], marker=look["marker"], markevery=max(1, len(epochs) // 8))
        if len(curves) > 1:
            error = curves.std(axis=0, ddof=1) / math.sqrt(len(curves))
            ax.fill_between(epochs, mean - error, mean + error, color=look["color"], alpha=0.2, linewidth=0)

    def _places(self, points: list[int]) -> list[float]:
        """Along x, of loads those of the integer numbers of patterns."""
        known = self.results.coordinates
        column = known.realised.get(f"{self.x}_realised", known.written[self.x])
        column = column if all(map(is_number, column)) else known.written[self.x]
        return [float(column[i]) for i in points]

    def _word(self, key: str, value) -> str:
        if key == self.component:
            return f"{key} {value}"
        quantity = parameter(key, self.results.points)
        return f"{quantity.short} = {_written(value)}" if quantity.symbol or is_number(value) else _written(value)

    def _legend(self, ax) -> None:
        if self.color and len(self.colors) <= len(COLORS):
            marks = {} if self.rest else {"marker": self.marks["()"]}
            for value in self.values[self.color]:
                ax.plot([], [], color=self.colors[repr(value)], label=self._word(self.color, value), **marks)
        elif self.color:
            steps, every = np.arange(len(self.colors) + 1), -(-len(self.colors) // 12)
            scale = ScalarMappable(BoundaryNorm(steps, len(self.colors)), ListedColormap(list(self.colors.values())))
            bar = ax.figure.colorbar(scale, ax=ax, pad=0.02)
            words = [self._word(self.color, value) for value in self.values[self.color][::every]]
            bar.ax.set_yticks(steps[:-1:every] + 0.5, words)
            bar.ax.minorticks_off()
        for name, combination in zip(self.marks, itertools.product(*(self.values[key] for key in self.rest)), strict=True):
            if self.rest:
                words = ", ".join(map(self._word, self.rest, combination))
                ax.plot([], [], self.marks[name], color="0.4", label=words)
        if self.x != "epoch" and self.observable.too_short.any():
            ax.plot([], [], "o", color="0.4", markerfacecolor="white", label="chain too short")
        handles, labels = ax.get_legend_handles_labels()
        if handles:
            aside = 1.02 if len(self.colors) <= len(COLORS) else 1.35
            ax.legend(handles, labels, loc="upper left", bbox_to_anchor=(aside, 1.0), fontsize="small")


def _colors(values: list) -> dict[str, object]:
    """A colour for each value: of the set, or for more of one scale."""
    if len(values) <= len(COLORS):
        return dict(zip(map(repr, values), COLORS, strict=False))
    scale = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.95, len(values)))
    return dict(zip(map(repr, values), map(tuple, scale), strict=True))
