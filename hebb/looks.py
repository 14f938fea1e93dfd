"""How curves, sizes and reasons are told apart, the same in every figure.

A colour is a curve: up to eight of a set that colour-blind readers can tell apart (Paul Tol's "muted" set without its
palest colour), beyond that steps of one scale with a colour bar. A mark is a size N (or what a figure says), hollow and
crossed where a point has no z, by a cross of its own for every reason. Legends stand below their panels, where no data are.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex

from .comparison import Row, brief
from .style import COLORS, MARKS

__all__ = ["colors", "crosses", "draw_point", "draw_z", "key_of_colors", "key_of_crosses", "key_of_marks", "key_of_sizes",
           "legend_below", "load_symbol", "marks", "marks_of_sizes"]

_CROSSES = ("x", "+", "1", "2", "3", "4", "|", "_")
_CLIPPED_Z = 8.0
_LONGEST = 46  # letters in a line of a legend


def colors(names: Iterable, palette: tuple[str, ...] = COLORS) -> dict:
    """name -> colour: no colour twice."""
    names = list(dict.fromkeys(names))
    if len(names) <= len(palette):
        return dict(zip(names, palette, strict=False))
    scale = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.95, len(names)))
    return dict(zip(names, map(to_hex, scale), strict=True))


def marks(names: Iterable) -> dict:
    """name -> mark: none of the first three dozen twice (shapes, then letters)."""
    names = list(dict.fromkeys(names))
    letters = (f"${letter}$" for letter in "abcdefghijklmnopqrstuvwyz")
    return dict(zip(names, itertools.chain(MARKS, letters, itertools.repeat("*")), strict=False))


def crosses(rows: Iterable[Row]) -> dict[str, str]:
    """Kind of reason (`comparison.brief`) -> the cross that tells it, for all points that have no z."""
    kinds = list(dict.fromkeys(brief(row.excluded) for row in rows if row.excluded))
    letters = (f"${letter}$" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return dict(zip(kinds, itertools.chain(_CROSSES, letters, itertools.repeat("*")), strict=False))


def draw_point(ax, x: float, y: float, error: float, color, mark: str, cross: str | None = None, size: float = 4.5) -> None:
    """One point with its error bar; with a cross hollow, and crossed."""
    error = error if np.isfinite(error) else None
    if cross is None:
        ax.errorbar(x, y, error, color=color, fmt=mark, markersize=size, zorder=3)
        return
    ax.errorbar(x, y, error, color=color, fmt=mark, markerfacecolor="white", markersize=size + 2, markeredgewidth=0.7,
                elinewidth=0.8, zorder=3)
    ax.plot(x, y, cross, color=color, markersize=size + 0.5, markeredgewidth=1.0, zorder=3.5)


def key_of_colors(ax, looks: dict, labels: dict | None = None, line: str = "-") -> None:
    """The curves' colours: entries of the legend, or past eight a colour bar beside the axes."""
    labels = {name: str(name) for name in looks} if labels is None else labels
    if len(looks) <= len(COLORS):
        for name, color in looks.items():
            if labels[name]:
                ax.plot([], [], line, color=color, linewidth=4, label=labels[name])
        return
    steps = np.arange(len(looks) + 1)
    bar = ax.figure.colorbar(ScalarMappable(BoundaryNorm(steps, len(looks)), ListedColormap(list(looks.values()))), ax=ax,
                             ticks=steps[:-1] + 0.5, pad=0.02)
    bar.ax.set_yticklabels([labels[name] for name in looks], fontsize=7)
    bar.ax.minorticks_off()


def key_of_marks(ax, looks: dict, labels: dict | None = None) -> None:
    """What the marks mean, in grey."""
    for name, mark in looks.items():
        label = str(name) if labels is None else labels[name]
        if label:
            ax.plot([], [], mark, color="0.4", label=label)


def marks_of_sizes(rows: Iterable[Row]) -> dict[int, str]:
    """N -> mark, for the sizes of these rows."""
    return marks(sorted({row.point["n_spins"] for row in rows}))


def key_of_sizes(ax, sizes: dict[int, str]) -> None:
    """What the marks of the sizes mean."""
    key_of_marks(ax, sizes, {n: f"N = {n}" for n in sizes})


def key_of_crosses(ax, looks: dict[str, str], rows: Iterable[Row]) -> None:
    """The reasons of these rows, in grey."""
    here = {brief(row.excluded) for row in rows if row.excluded}
    for kind, cross in looks.items():
        if kind in here:
            ax.plot([], [], cross, color="0.4", label=textwrap.fill(f"no z: {kind}", _LONGEST))


def draw_z(ax, rows: list[Row], place: Callable[[Row], float], label: str = "$z$") -> None:
    """z-scores by observable (colour; components together) and size (mark) against the place of a row on the axis; hollow and
    pale: of the infinite system, where that is another theory."""
    compared = [row for row in rows if math.isfinite(row.z)]
    if not compared:
        ax.text(0.5, 0.5, "nothing to compare", ha="center", transform=ax.transAxes)
        ax.set(ylim=(-_CLIPPED_Z - 0.5, _CLIPPED_Z + 0.5), ylabel=label)
        return
    sizes = marks_of_sizes(compared)
    ax.axhspan(-2, 2, color="0.9", zorder=0, label="|z| < 2")
    # from the other end: in one figure a colour should not be a curve here and an observable there
    for name, color in colors((_observable_of(row) for row in compared), COLORS[::-1]).items():
        here = [row for row in compared if _observable_of(row) == name]
        for row in here:
            x, mark = place(row), sizes[row.point["n_spins"]]
            if math.isfinite(row.z_unmapped):
                ax.plot(x, np.clip(row.z_unmapped, -_CLIPPED_Z, _CLIPPED_Z), mark, color=color, markerfacecolor="none",
                        alpha=0.45, markersize=4)
            ax.plot(x, np.clip(row.z, -_CLIPPED_Z, _CLIPPED_Z), mark, color=color)
        rms = math.sqrt(np.mean([row.z**2 for row in here]))
        ax.plot([], [], "o" if len(sizes) == 1 else "-", color=color, label=f"{name}: rms {rms:.2f}")
    if len(sizes) > 1:
        key_of_sizes(ax, sizes)
    if any(math.isfinite(row.z_unmapped) for row in compared):
        ax.plot([], [], "o", markerfacecolor="none", markeredgecolor="0.5", label="infinite-size theory")
    if any(abs(z) > _CLIPPED_Z for row in compared for z in (row.z, row.z_unmapped)):
        ax.plot([], [], " ", label=f"(beyond \u00b1{_CLIPPED_Z:g}: drawn there)")
    ax.set(ylim=(-_CLIPPED_Z - 0.5, _CLIPPED_Z + 0.5), ylabel=label)


def _observable_of(row: Row) -> str:
    return row.observable.split("[")[0]


def legend_below(ax, handles=None, ncols: int = 2, drop: float = 0.16, **keywords) -> None:
    """A legend under the axes and their label, which no data lie under; none without entries."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    if handles:
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -drop), ncols=ncols, frameon=False,
                  fontsize=keywords.pop("fontsize", 7), columnspacing=1.0, handletextpad=0.5, **keywords)


def load_symbol(p_body: int) -> str:
    """The load's letter in figures: alpha for P = 2, gamma above."""
    return r"$\alpha$" if p_body == 2 else r"$\gamma$"
