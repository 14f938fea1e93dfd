"""Figures of variational perceptrons: Hamiltonian Monte Carlo along its sweep with z-scores, learning curves of gradients."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from .compare_variational import stage_ends
from .comparison import Comparison, Row, brief
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
from .storage.results import Results
from .style import house_style

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
            figure = Figure(figsize=(1.2 + 4.0 * len(results.points), 4.4), layout="constrained")
            axes = figure.subplots(1, len(results.points), squeeze=False, sharey=True)[0]
            for index, ax in enumerate(axes):
                learning_curves(ax, results, index, comparison.rows)
                ax.set_title(_named(results.points[index], _varying(results)))
            figure.axes[0].set_ylabel(r"test error $\arccos(p)/\pi$")
            legend_below(figure.axes[0], drop=0.18)
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
    for task, color in colors(range(series.shape[3])).items():
        curves = series[..., task].transpose(1, 0, 2).reshape(len(epoch), -1)
        ax.plot(epoch, curves.mean(axis=1), color=color, label=f"task {task + 1}")
        ax.fill_between(epoch, curves.min(axis=1), curves.max(axis=1), color=color, alpha=0.2, linewidth=0)
        for row in rows:
            stage = int(row.observable.split()[-1]) - 1 if " " in row.observable else 0
            if row.point == point and row.observable.split(" ")[0] == f"error[{task}]" and math.isfinite(row.infinite):
                begin, end = max(ends[stage - 1] if stage else 0, epoch[0]), min(ends[stage], epoch[-1])
                if begin < end:
                    ax.plot([begin, end], 2 * [row.infinite], "--", color=color, linewidth=1.0)
    ax.fill_between([], [], [], color="0.4", alpha=0.2, linewidth=0, label="all replicas")
    if any(line.get_linestyle() == "--" for line in ax.get_lines()):
        ax.plot([], [], "--", color="0.4", linewidth=1.0, label="replica symmetry at the end of the task")
    for end in ends[:-1]:
        if epoch[0] <= end < epoch[-1]:
            ax.axvline(end, color="0.5", linestyle=":", linewidth=0.9)
    if any(epoch[0] <= end < epoch[-1] for end in ends[:-1]):
        ax.plot([], [], ":", color="0.5", linewidth=0.9, label="the next task begins")
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
    figure = Figure(figsize=(5.8, 14.5), layout="constrained")
    axes = figure.subplots(5, 1, sharex=True, height_ratios=(1, 1, 1.2, 1.2, 1))
    tones, sizes, kinds = _looks(comparison.rows, others)
    for ax, (name, title) in zip(axes, _TITLES.items(), strict=False):
        _points(ax, [row for row in comparison.rows if row.observable.split("[")[0] == name], sweep, others, "theory",
                (tones, sizes, kinds))
        ax.set_ylabel(title)
    draw_z(axes[4], comparison.rows, lambda row: _flat(row.point)[sweep])
    _keys(axes[4], comparison.rows, (tones, sizes, kinds), "theory")
    axes[4].set_xlabel(_symbol(sweep))
    legend_below(axes[4], drop=0.3)
    return figure


def _ends(comparison: Comparison) -> Figure:
    sweep, *others = _varying(comparison.results)
    names = dict.fromkeys(row.observable for row in comparison.rows if row.observable.startswith("error["))
    last = [name for name in names if name.split()[-1] == list(names)[-1].split()[-1]]
    figure = Figure(figsize=(1.2 + 4.2 * len(last), 4.9), layout="constrained")
    rows = [row for row in comparison.rows if row.observable in last]
    looks = _looks(rows, others)
    for ax, name in zip(figure.subplots(1, len(last), squeeze=False)[0], last, strict=True):
        _points(ax, [row for row in rows if row.observable == name], sweep, others, "infinite", looks)
        ax.set(xlabel=_symbol(sweep), ylabel=r"test error $\arccos(p)/\pi$", title=name)
    _keys(figure.axes[0], rows, looks, "infinite")
    figure.legend(handles=figure.axes[0].get_legend_handles_labels()[0], loc="outside lower center", fontsize="small",
                  ncols=1 + len(last))
    return figure


def _looks(rows: list[Row], others: list[str]) -> tuple[dict, dict, dict]:
    """Colours of the curves, each a task and what varies besides; marks of the sizes; crosses of the reasons for no z."""
    sampled = [row for row in rows if row.observable.split("[")[0] in _TITLES]
    return colors(_curve(row, others) for row in sampled or rows), marks_of_sizes(rows), crosses(sampled)


def _curve(row: Row, others: list[str]) -> str:
    """What a curve is called: the task of an overlap, and the values of the other parameters."""
    task = f"task {int(row.observable.split('[')[1][0]) + 1}" if "[" in row.observable and " " not in row.observable else ""
    return ", ".join(part for part in (task, _named(row.point, others)) if part)


def _keys(ax, rows: list[Row], looks: tuple[dict, dict, dict], theory: str) -> None:
    tones, sizes, kinds = looks
    key_of_colors(ax, tones, {label: label or "simulation" for label in tones})
    if len(sizes) == 1 or theory == "infinite" or not any(math.isfinite(row.z) for row in rows):
        key_of_sizes(ax, sizes)
    if any(math.isfinite(getattr(row, theory)) for row in rows):
        ax.plot([], [], "_-", color="0.4", linewidth=0.9, markersize=9, label="replica symmetry")
    if theory == "theory":
        key_of_crosses(ax, kinds, [row for row in rows if row.observable.split("[")[0] in _TITLES])


def _points(ax, rows: list[Row], sweep: str, others: list[str], theory: str, looks: tuple[dict, dict, dict]) -> None:
    tones, sizes, kinds = looks
    curves: dict[str, list[Row]] = {}
    for row in rows:
        curves.setdefault(_curve(row, others), []).append(row)
    for label, here in curves.items():
        here = sorted(here, key=lambda row: _flat(row.point)[sweep])
        x = [_flat(row.point)[sweep] for row in here]
        for row, place in zip(here, x, strict=True):
            cross = kinds[brief(row.excluded)] if theory == "theory" and row.excluded else None
            draw_point(ax, place, row.mean, row.error, tones[label], sizes[row.point["n_spins"]], cross, 4)
        ax.plot(x, [getattr(row, theory) for row in here], "_-", color=tones[label], linewidth=0.9, markersize=9)
