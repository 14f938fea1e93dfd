"""Figures of jobs on images: learning curves of archetypes, restoration of corrupted images, and example pictures."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .errors import NoSolution
from .finite_size import load_of
from .looks import colors, legend_below
from .storage.results import Results
from .style import house_style
from .theory import Dense

__all__ = ["image_figure", "learning_figure", "restoration_figure"]

_LINES = {"storage": ":", "supervised": "-", "unsupervised": "--"}
_MARKS = {"storage": "^", "supervised": "o", "unsupervised": "s"}


def image_figure(results: Results) -> Figure:
    """The figure of a job on images (or other given patterns): learning curves if it has archetypes."""
    learns = any("archetypes" in point for point in results.points)
    return learning_figure(results) if learns else restoration_figure(results)


def learning_figure(*jobs: Results) -> Figure:
    """Learning curves of jobs on images that are examples of archetypes, one column per P.

    Above (start = "example"): share of the cues whose largest overlap, after the dynamics, is with their own archetype;
    below: overlap m with it; against the number of examples M (of archetypes K, if M does not vary), error bars between
    disorder samples. Broken grey lines: the same of the cues themselves, without dynamics. Crosses: replica theory for r as
    measured, M and the load; it assumes independent archetypes and is a guide here, not a prediction. Pictures, of jobs with
    keep_spins: the largest M.
    """
    shown = [_Place(results, i) for results in jobs for i in range(len(results.points))]
    orders = sorted({place.point["p_body"] for place in shown})
    kept = _kept_pictures(shown)
    names = [name for name in ("recognised", "m") if all(name in results for results in jobs)]
    heights = 0.8 + 2.7 * len(names), 1.25 * len(kept)
    with house_style():
        figure = Figure(figsize=(1.5 + 3.4 * max(2, len(orders)), sum(heights)), layout="constrained")
        upper, lower = figure.subfigures(2, 1, height_ratios=heights) if kept else (figure, None)
        axes = upper.subplots(len(names), len(orders), squeeze=False, sharex=True, sharey="row")
        for column, p in zip(axes.T, orders, strict=True):
            here = [place for place in shown if place.point["p_body"] == p]
            for ax, name in zip(column, names, strict=True):
                _draw_learning(ax, here, shown, name)
            _draw_guide(column[-1], here)
            column[0].set_title(f"P = {p}")
            column[-1].set_xlabel("archetypes $K$" if _abscissa(shown) == "n_patterns" else "examples $M$ of each archetype")
        axes[0, 0].set(ylabel="share of cues recognised", ylim=(0, 1.02))
        axes[-1, 0].set(ylabel="overlap $m$ with the archetype", ylim=(None, 1.03))
        labels = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        upper.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=4)
        point = shown[0].point
        upper.suptitle(f"{point['patterns']}, {point['archetypes']} archetypes: K = {point['n_patterns']}, "
                       f"N = {point['n_spins']}, T = {point['temperature']:g}")
        if kept:
            _draw_pictures(lower, kept, orders)
        return figure


@dataclass(frozen=True)
class _Place:
    """One point of one job."""

    results: Results
    index: int

    @property
    def point(self) -> dict:
        return self.results.points[self.index]

    @property
    def spins(self) -> dict[int, dict[str, np.ndarray]]:
        """Kept configurations by disorder sample."""
        return {disorder: arrays for (index, disorder), arrays in self.results.spins.items() if index == self.index}


def _abscissa(shown: list[_Place]) -> str:
    return "n_examples" if len({place.point.get("n_examples") for place in shown}) > 1 else "n_patterns"


def _curve(place: _Place, shown: list[_Place]) -> tuple:
    """What is constant on a curve: protocol, remedy and whatever else varies."""
    symbols = {"n_patterns": "K", "temperature": "T", "threshold": "threshold"}
    other = [(symbol, place.point[key]) for key, symbol in symbols.items()
             if key != _abscissa(shown) and len({p.point[key] for p in shown}) > 1]
    return place.point["protocol"], place.point.get("remedy", "none"), *other


def _draw_learning(ax, here: list[_Place], shown: list[_Place], name: str) -> None:
    curves = list(dict.fromkeys(_curve(place, shown) for place in shown))
    tones = colors(curve[1:] for curve in curves)
    axis = _abscissa(shown)
    for curve in curves:
        protocol, remedy, *other = curve
        places = sorted((p for p in here if _curve(p, shown) == curve), key=lambda p: p.point.get(axis) or 0)
        label = ", ".join([protocol, "no remedy" if remedy == "none" else remedy, *(f"{k} = {v}" for k, v in other)])
        estimates = [p.results[name].estimate(p.index) for p in places]
        look = {"color": tones[curve[1:]], "linestyle": _LINES[protocol], "label": label}
        if places and axis not in places[0].point:  # the archetypes themselves are stored
            ax.axhline(estimates[0].mean, **look)
        elif places:
            ax.errorbar([p.point[axis] for p in places], [e.mean for e in estimates], [e.bar for e in estimates],
                        marker=_MARKS[protocol], **look)
    if f"{name}_cue" in here[0].results:
        cue = np.mean([place.results[f"{name}_cue"].mean[place.index] for place in here])
        ax.axhline(cue, color="0.5", linestyle=(0, (6, 3)), linewidth=1, label="the cue itself")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")


def _draw_guide(ax, here: list[_Place]) -> None:
    """m of independent archetypes at the measured r."""
    points = {(p["protocol"], p["n_examples"]): p for p in (place.point for place in here) if p.get("n_examples")}
    if "measured" not in here[0].point or len({p["n_patterns"] for p in points.values()}) > 1:
        return
    for protocol in dict.fromkeys(protocol for protocol, _ in points):
        found = []
        for (kind, m), p in sorted(points.items()):
            if kind == protocol:
                theory = Dense(p_body=p["p_body"], r=p["measured"]["r"], n_examples=m, protocol=protocol)
                try:
                    found.append((m, theory.solve(gamma=load_of(p), temperature=p["temperature"], branch="retrieval").m))
                except NoSolution:
                    pass
        ax.plot(*(zip(*found, strict=True) if found else ([], [])), "x" if protocol == "supervised" else "+", color="black",
                label=f"theory of independent archetypes, {protocol}")


def _kept_pictures(shown: list[_Place]) -> list[tuple[str, int, dict[int, dict[str, np.ndarray]]]]:
    """(remedy, M, P -> kept configurations), one per remedy, of the largest M of the protocol named first."""
    lines = {}
    for place in shown:
        point, spins = place.point, place.spins
        if spins and point["protocol"] == shown[0].point["protocol"]:
            line = lines.setdefault(point.get("remedy", "none"), {})
            size = point.get("n_examples") or 0
            if size >= line.get(point["p_body"], (-1, None))[0]:
                line[point["p_body"]] = size, spins[min(spins)]
    return [("no remedy" if remedy == "none" else remedy, max(size for size, _ in line.values()),
             {p: spins for p, (_, spins) in line.items()}) for remedy, line in lines.items()]


def _draw_pictures(figure, kept, orders: list[int]) -> None:
    size = kept[0][1]
    sources = {"planted": "archetype", "example": "one example", "average": f"average of {size}", "start": "cue"}
    titles = [*sources.values(), *(f"retrieved, P = {p}" for p in orders)]
    axes = figure.subplots(len(kept), len(titles), squeeze=False)
    for line, (name, _, by_order) in enumerate(kept):
        first = next(iter(by_order.values()))
        pictures = [first[source] if source in first else None for source in sources]
        pictures += [by_order[p]["final"] if p in by_order else None for p in orders]
        for ax, picture, title in zip(axes[line], pictures, titles, strict=True):
            _show(ax, picture if picture is None or picture.ndim == 1 else picture[0])
            if line == 0:
                ax.set_title(title, fontsize=8)
        axes[line, 0].text(-0.1, 0.5, name, rotation=90, va="center", ha="right", transform=axes[line, 0].transAxes)


def _show(ax, picture: np.ndarray | None) -> None:
    """An image of N pixels, square if N is a square."""
    ax.set_axis_off()
    if picture is not None:
        side = math.isqrt(picture.size)
        ax.imshow(np.reshape(picture, (-1, side if side * side == picture.size else picture.size)), cmap="gray_r", vmin=-1,
                  vmax=1, interpolation="nearest")


def restoration_figure(results: Results) -> Figure:
    """How well corrupted images are restored as their number grows, one curve per P and temperature, and examples: stored,
    corrupted, restored. Needs a job whose start is "corrupted"; the examples need keep_spins = true."""
    orders = sorted({point["p_body"] for point in results.points})
    temperatures = sorted({point["temperature"] for point in results.points})
    with house_style():
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
        ax = left.subplots()
        for (p, temperature), color in colors(itertools.product(orders, temperatures)).items():
            chosen = [i for i, point in enumerate(results.points)
                      if (point["p_body"], point["temperature"]) == (p, temperature)]
            k = [results.points[i]["n_patterns"] for i in chosen]
            name = f"P = {p}" + (f", T = {temperature:g}" if len(temperatures) > 1 else "")
            estimates = [results["m"].estimate(i) for i in chosen]
            ax.errorbar(k, [e.mean for e in estimates], [e.bar for e in estimates], fmt="o-",
                        color=color, label=name)
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
        legend_below(ax)
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
            _show(ax, picture)
            if line == 0:
                ax.set_title(title, fontsize=8)
        axes[line, 0].text(-0.15, 0.5, f"K = {k}", rotation=90, va="center", ha="right", transform=axes[line, 0].transAxes)
