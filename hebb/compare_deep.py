"""Networks that learn tasks in sequence: methods side by side. There is no theory, hence no z: accuracies after the last task,
with errors between disorder samples, and how much was forgotten.

average: accuracy on the test images, averaged over the tasks, in the last measurement. gain: average less that of method
"none" ("binary" for hidden weights) on the very same disorder samples. forgetting: accuracy of a task at the end of its own
epochs less that at the end of all, averaged over the tasks but the last. new: accuracy of a task at the end of its own epochs,
averaged over the tasks but the first. Both are known only where measurements fall on those very epochs, and nan elsewhere.
binary: average with the most probable binary weights. Joint training has no order to forget in.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .comparison import aligned
from .models.networks import METHODS
from .sampling.stages import ends_of_training, entries_at, not_measured
from .statistics import of_samples, with_error
from .storage.results import Results

__all__ = ["LearningTable", "comparison"]

_BASELINES = {"metaplasticity": "binary"}
_COLUMNS = ("average", "gain", "forgetting", "new", "binary")


@dataclass(frozen=True)
class LearningTable:
    """The methods of a job. rows: one per point: what identifies it, "samples", and (mean, error) of average, gain, forgetting,
    new, binary and "task 1", "task 2", ...; nan for what a point does not have. worst: 0, nothing is compared with theory."""

    results: Results
    rows: list[dict]
    worst: float = 0.0

    def table(self) -> str:
        """Aligned text, and what the numbers rest on."""
        names = self._names
        quantities = [key for key in self.rows[0] if isinstance(self.rows[0][key], tuple)]
        body = [[*names, "samples", *quantities]]
        for row in self.rows:
            body.append([*(_short(row[name]) for name in names), str(row["samples"]),
                         *("-" if math.isnan(row[key][0]) else with_error(*row[key]) for key in quantities)])
        point, seconds = self.results.points[0], self.results.seconds
        epochs = self.results.job["sampling"]["learning"]["epochs"]
        text = aligned(body) + (f"\n\n{point['n_tasks']} tasks of {point['images']}: {point['n_train']} images for training, "
                                f"{point['n_test']} for testing, {epochs} epochs per task; {seconds:.0f} s of computing")
        return "\n".join(dict.fromkeys((text, *filter(None, map(self._missing, self.results.points)))))

    def _missing(self, point: dict) -> str:
        """What the measurements of a point do not tell, and how they would."""
        ends = stage_ends(self.results, point)
        return not_measured(ends[-1:] if point["method"] == "joint" else ends, self.results.job["sampling"],
                            self.results.bin_length)

    @property
    def _names(self) -> tuple[str, ...]:
        """What the points differ in, the method in any case."""
        return ("method", *(name for name in self.results.swept if name not in ("method", "temperature")))

    def write_csv(self, path) -> None:
        """One line per point; errors in columns of their own."""
        quantities = [key for key in self.rows[0] if isinstance(self.rows[0][key], tuple)]
        with open(Path(path), "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self._names, "samples", *(name for key in quantities for name in (key, f"{key} error"))])
            for row in self.rows:
                writer.writerow([*(row[name] for name in self._names), row["samples"],
                                 *(value for key in quantities for value in row[key])])

    def plot(self, path) -> None:
        """Learning curves, see `plotting_deep`."""
        from .plotting_deep import learning_curves

        learning_curves(self.results).savefig(path)


def comparison(results: Results) -> LearningTable:
    """The methods of a job side by side."""
    curves = [_curves(results, i) for i in range(len(results.points))]
    rows = []
    for point, (samples, accuracy, signs) in zip(results.points, curves, strict=True):
        averages, found = accuracy[:, -1].mean(axis=1), {}
        found["average"] = averages
        found["gain"] = _gain(point, averages, samples, results.points, curves)
        found |= {"forgetting": None, "new": None}
        if point["method"] != "joint" and point["n_tasks"] > 1:
            own = _at_ends(results, point, accuracy)
            if results.sweeps[-1] >= stage_ends(results, point)[-1]:
                found["forgetting"] = (own - accuracy[:, -1])[:, :-1].mean(axis=1)
            found["new"] = own[:, 1:].mean(axis=1)
        found["binary"] = signs[:, -1].mean(axis=1)
        found |= {f"task {task + 1}": accuracy[:, -1, task] for task in range(point["n_tasks"])}
        rows.append({name: point.get(name) for name in dict.fromkeys(("method", *results.swept))} | {"samples": len(samples)}
                    | {name: _mean(values) for name, values in found.items()})
    return LearningTable(results, rows)


def stage_ends(results: Results, point: dict) -> np.ndarray:
    """(tasks,) epochs that have been made when the training on each task ends."""
    return ends_of_training(results.job["sampling"]["learning"]["epochs"], point["n_tasks"])


def _at_ends(results: Results, point: dict, accuracy: np.ndarray) -> np.ndarray:
    """(D, tasks) accuracies on each task when its own training ended; nan where that was not measured."""
    entries = entries_at(stage_ends(results, point), results.job["sampling"], results.bin_length)
    return np.stack([np.full(len(accuracy), np.nan) if entry is None else accuracy[:, entry, task]
                     for task, entry in enumerate(entries)], axis=1)


def _curves(results: Results, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finished disorder samples (D,) of a point and their test accuracies (D, entries, tasks), with mean and binary weights."""
    tasks = results.points[index]["n_tasks"]
    accuracy, signs = (results[name].series(index)[:, :, 0, :tasks] for name in ("accuracy", "accuracy_binary"))
    return np.flatnonzero(results.done[index]), accuracy, signs


def _gain(point: dict, averages: np.ndarray, samples: np.ndarray, points: list[dict], curves: list) -> np.ndarray | None:
    """Averages less those of the method without protection, sample by sample."""
    method = _BASELINES.get(point["method"], "none")
    own = ("method", "strength")
    for other, (theirs, accuracy, _) in zip(points, curves, strict=True):
        alike = all(other.get(key) == value for key, value in point.items() if key not in own)
        if alike and other["method"] == method and point["method"] in set(METHODS) - {"none", "binary"}:
            _, mine, common = np.intersect1d(samples, theirs, return_indices=True)
            return averages[mine] - accuracy[common, -1].mean(axis=1)
    return None


def _mean(values: np.ndarray | None) -> tuple[float, float]:
    """Mean and standard error over disorder samples, nan where they give none."""
    if values is None or not len(values):
        return math.nan, math.nan
    found = of_samples(values)
    return found.mean, found.bar


def _short(value) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
