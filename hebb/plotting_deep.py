"""Figures of networks that learn tasks in sequence."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from .compare_deep import stage_ends
from .looks import colors
from .statistics import of_samples
from .storage.results import Results
from .style import house_style

__all__ = ["learning_curves"]

_DASHED = ("binary", "metaplasticity")
_NAMES = {"none": "no protection", "kl": "KL to the task before", "kl_step": "KL to the step before", "ewc": "EWC",
          "joint": "joint training", "binary": "signs, no protection", "metaplasticity": "signs, metaplasticity"}


def learning_curves(results: Results) -> Figure:
    """Test accuracies, bands: standard error between disorder samples. Left: of the first task, while others are learned;
    middle: averaged over the tasks that were begun (joint training: over all); right: of every task at the end. Vertical lines:
    a new task begins. Broken lines: signs of hidden weights."""
    ends = stage_ends(results, results.points[0])
    with house_style():
        figure = Figure(figsize=(14, 4.6), layout="constrained")
        first, average, last = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
        labels = [_label(results, point) for point in results.points]
        tones = colors(labels)
        offsets = np.linspace(-0.25, 0.25, len(results.points)) if len(results.points) > 1 else [0.0]
        for index, (point, label, offset) in enumerate(zip(results.points, labels, offsets, strict=True)):
            curves = results["accuracy"].series(index)[:, :, 0, :point["n_tasks"]]
            if not len(curves):
                continue
            look = {"color": tones[label], "linestyle": "--" if point["method"] in _DASHED else "-"}
            epochs = results.sweeps
            begun = 1 + np.searchsorted(ends, epochs).clip(max=point["n_tasks"] - 1)
            if point["method"] == "joint":
                begun[:] = point["n_tasks"]
            met = np.stack([curves[:, e, :number].mean(axis=1) for e, number in enumerate(begun)], axis=1)
            _band(first, epochs, curves[:, :, 0], label=label, **look)
            _band(average, epochs, met, **look)
            tasks = 1 + np.arange(point["n_tasks"])
            last.errorbar(tasks + offset, curves[:, -1].mean(axis=0), _error(curves[:, -1]), fmt="o", markersize=4,
                          color=look["color"], markerfacecolor="white" if point["method"] in _DASHED else look["color"])
        for ax in (first, average):
            for end in ends[:-1]:
                ax.axvline(end + 0.5, color="0.8", linewidth=0.8, zorder=0)
            ax.set_xlabel("epoch")
        first.fill_between([], [], [], color="0.4", alpha=0.2, linewidth=0, label="standard error between samples")
        if len(ends) > 1:
            first.plot([], [], color="0.8", linewidth=0.8, label="a new task begins")
        first.set(ylabel="accuracy on the first task")
        average.set(ylabel="mean accuracy over the tasks begun")
        last.set(ylabel="accuracy at the end", xlabel="task", xticks=tasks)
        images = results.points[0]["images"]
        what = f"{images}, permuted" if isinstance(images, str) else ", then ".join(images)
        figure.legend(loc="outside lower center", ncols=4)
        figure.suptitle(f"{results.job['name']}: {what}; layers {results.points[0]['layers']}")
        return figure


def _label(results: Results, point: dict) -> str:
    """The method, and whatever else differs between points of that method."""
    others = {name for other in results.points if other["method"] == point["method"] for name in results.swept
              if name != "method" and other.get(name) != point.get(name)}
    return ", ".join([_NAMES[point["method"]], *(f"{name} = {point.get(name)}" for name in sorted(others))])


def _band(ax, epochs: np.ndarray, values: np.ndarray, **look) -> None:
    mean, error = values.mean(axis=0), _error(values)
    ax.plot(epochs, mean, linewidth=1.5, **look)
    ax.fill_between(epochs, mean - error, mean + error, color=look["color"], alpha=0.2, linewidth=0)


def _error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis; nan, and nothing is drawn, where the samples give none."""
    errors = [of_samples(column).bar for column in values.reshape(len(values), -1).T]
    return np.reshape(errors, values.shape[1:])
