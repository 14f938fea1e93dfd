"""Figures of variational perceptrons: Hamiltonian Monte Carlo along its sweep with z-scores, learning curves of gradients."""

from __future__ import annotations

import itertools
import math

from matplotlib.figure import Figure

from .compare_variational import stage_ends
from .comparison import Comparison, Row
from .pictures import COLORS, house_style
from .plotting_perceptron import draw_z
from .storage.results import Results

__all__ = ["learning_curves", "variational_figure"]

_MOST_CURVES = 6
_TITLES = {"q0": "overlap of replicas $q_0$", "qd": "self-overlap $q_d$", "r": "overlap of $m$ with the teachers",
           "overlap": r"overlap $p$ of sgn $m$ with the teachers"}
_SYMBOLS = {"alpha": r"\alpha", "kl": r"\gamma", "teacher_correlation": "r_0", "temperature": "T", "n_spins": "N"}


def variational_figure(comparison: Comparison) -> Figure:
    """hmc: q0, qd, r and p along the parameter with most values (points; bars: theory, joined by lines), and z-scores.
    gradient: for up to 6 points the learning curves (`learning_curves`), for more the errors after the last task."""
    results = comparison.results
    with house_style():
        if results.job["sampling"]["dynamics"] == "hmc":
            figure = _sampled(comparison)
        elif len(results.points) <= _MOST_CURVES:
            figure = Figure(figsize=(1.2 + 4.0 * len(results.points), 3.8), layout="constrained")
            axes = figure.subplots(1, len(results.points), squeeze=False, sharey=True)[0]
            for index, ax in enumerate(axes):
                learning_curves(ax, results, index, comparison.rows)
                ax.set_title(_named(results.points[index], _varying(results)))
            figure.axes[0].set_ylabel(r"test error $\arccos(p)/\pi$")
            figure.axes[0].legend(fontsize="small")
        else:
            figure = _ends(comparison)
        figure.suptitle(results.job["name"])
        return figure


def learning_curves(ax, results: Results, index: int, rows: list[Row]) -> None:
    """Test errors of a point on all of its tasks against the epoch: mean, band from the smallest to the largest replica.

    Dashed: replica symmetry at the end of the task that is learned; dotted: where the next task begins."""
    point, epoch = results.points[index], results.sweeps
    series = results.data["error"][index, results.done[index]]  # (D, B, R, T)
    ends = stage_ends(results, point)
    for task, color in zip(range(series.shape[3]), itertools.cycle(COLORS)):
        curves = series[..., task].transpose(1, 0, 2).reshape(len(epoch), -1)
        ax.plot(epoch, curves.mean(axis=1), color=color, label=f"task {task + 1}")
        ax.fill_between(epoch, curves.min(axis=1), curves.max(axis=1), color=color, alpha=0.2, linewidth=0)
        for row in rows:
            stage = int(row.observable.split()[-1]) - 1 if " " in row.observable else 0
            if row.point == point and row.observable.split(" ")[0] == f"error[{task}]" and math.isfinite(row.infinite):
                begin, end = max(ends[stage - 1] if stage else 0, epoch[0]), min(ends[stage], epoch[-1])
                if begin < end:
                    ax.plot([begin, end], 2 * [row.infinite], "--", color=color, linewidth=1.0)
    for end in ends[:-1]:
        if epoch[0] <= end < epoch[-1]:
            ax.axvline(end, color="0.5", linestyle=":", linewidth=0.9)
    ax.set(xlabel="epoch", ylim=(0, None))


def _flat(point: dict) -> dict[str, float]:
    """Every number of a point by name; of sequences kl[0], kl[1], ..."""
    numbers = {}
    for name in _SYMBOLS:
        value = point[name]
        numbers |= {f"{name}[{i}]": x for i, x in enumerate(value)} if isinstance(value, list) else {name: value}
    return numbers


def _varying(results: Results) -> list[str]:
    """The numbers that differ between points, the one with most values first (the temperature if none does)."""
    flat = [_flat(point) for point in results.points]
    names = dict.fromkeys(name for numbers in flat for name in numbers)
    count = {name: len({numbers.get(name) for numbers in flat}) for name in names}
    return sorted((name for name in names if count[name] > 1), key=lambda name: -count[name]) or ["temperature"]


def _symbol(name: str) -> str:
    key, _, place = name.partition("[")
    task = "" if not place else str(int(place[:-1]) + 1)
    return f"${_SYMBOLS[key]}$" if not task or key == "teacher_correlation" else f"${_SYMBOLS[key]}_{task}$"


def _named(point: dict, names: list[str]) -> str:
    numbers = _flat(point)
    return ", ".join(f"{_symbol(name)} = {numbers[name]:.3g}" for name in names if name in numbers)


def _sampled(comparison: Comparison) -> Figure:
    sweep, *others = _varying(comparison.results)
    figure = Figure(figsize=(5.8, 12.0), layout="constrained")
    axes = figure.subplots(5, 1, sharex=True)
    for ax, (name, title) in zip(axes, _TITLES.items(), strict=False):
        _points(ax, [row for row in comparison.rows if row.observable.split("[")[0] == name], sweep, others, "theory")
        ax.set_ylabel(title)
    for ax in axes[:4]:
        if ax is axes[0] or any(row.observable.endswith("[1]") for row in comparison.rows) and ax is not axes[1]:
            ax.legend(fontsize="x-small", ncols=2)
    draw_z(axes[4], comparison.rows, lambda row: _flat(row.point)[sweep])
    axes[4].set_xlabel(_symbol(sweep))
    return figure


def _ends(comparison: Comparison) -> Figure:
    sweep, *others = _varying(comparison.results)
    names = dict.fromkeys(row.observable for row in comparison.rows if row.observable.startswith("error["))
    last = [name for name in names if name.split()[-1] == list(names)[-1].split()[-1]]
    figure = Figure(figsize=(1.2 + 4.2 * len(last), 4.2), layout="constrained")
    for ax, name in zip(figure.subplots(1, len(last), squeeze=False)[0], last, strict=True):
        _points(ax, [row for row in comparison.rows if row.observable == name], sweep, others, "infinite")
        ax.set(xlabel=_symbol(sweep), ylabel=r"test error $\arccos(p)/\pi$", title=name)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    labels = [label.removeprefix(last[0]).strip() for label in labels]
    figure.legend(handles, labels, loc="outside lower center", fontsize="small", ncols=len(last))
    return figure


def _points(ax, rows: list[Row], sweep: str, others: list[str], theory: str) -> None:
    curves: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        curves.setdefault((row.observable, _named(row.point, others)), []).append(row)
    for number, ((name, label), here) in enumerate(curves.items()):
        round_, place = divmod(number, len(COLORS))
        color, mark = COLORS[place], "osD^v<"[(place + round_) % 6]  # a pair of its own for each curve
        here = sorted(here, key=lambda row: _flat(row.point)[sweep])
        x = [_flat(row.point)[sweep] for row in here]
        for row, place in zip(here, x, strict=True):
            faint = theory == "theory" and bool(row.excluded)
            ax.errorbar(place, row.mean, row.error if math.isfinite(row.error) else None, color=color, markersize=4,
                        fmt="x" if faint else mark, zorder=3)
        ax.plot(x, [getattr(row, theory) for row in here], "_-", color=color, linewidth=0.9, markersize=9)
        ax.plot([], [], mark + "-", color=color, markersize=4, label=f"{name} {label}".strip())
