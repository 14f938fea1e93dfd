"""Phase diagrams: labels on a grid and the lines between them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

import numpy as np

from .continuation import Fold

__all__ = ["PhaseDiagram"]

NAMES = ("paramagnet", "glass", "retrieval", "retrieval_metastable")
_COLOURS = {"paramagnet": "#f4f1ea", "glass": "#b9c6d6", "retrieval": "#7fb069", "retrieval_metastable": "#d3e4c5"}
_STYLES = {"spinodal": "-", "transition": "--", "glass": "-.", "at": ":"}


@dataclass(frozen=True)
class PhaseDiagram:
    """Phases on a grid of loads and temperatures.

    gamma (ngamma,), temperature (nT,): the axes. labels (nT, ngamma): integers, `names[label]` is the phase.
    lines[name] (n, 2): columns gamma, temperature, in order along the line; "spinodal" (retrieval ends), "transition"
    (retrieval stops being the lowest state), "glass" (a q > 0 state without retrieval appears), "at" (replicon of retrieval
    vanishes); a line that does not occur is absent. residuals[name]: the largest error along the line, in the quantity
    that vanishes on it (fold determinant, difference of free energies, replicon relative to T = 0 slope).
    m, replicon (nT, ngamma): of the retrieval branch, NaN where it does not exist. title: what was computed.
    """

    gamma: np.ndarray
    temperature: np.ndarray
    labels: np.ndarray
    lines: dict[str, np.ndarray]
    residuals: dict[str, float]
    m: np.ndarray
    replicon: np.ndarray
    ansatz: str
    title: str
    names: tuple[str, ...] = field(default=NAMES)

    @classmethod
    def assemble(cls, theory, gamma, temperature) -> PhaseDiagram:
        """The diagram of a `Dense` theory on the given axes."""
        folds = theory.folds(temperature)
        transitions, onsets = theory.transition_loads(temperature, folds), theory.glass_onset(temperature)
        exists = gamma[None, :] <= np.nan_to_num(folds.gamma, nan=-1.0)[:, None]
        lowest = gamma[None, :] < np.nan_to_num(transitions, nan=-1.0, posinf=np.inf)[:, None]
        labels = np.where(exists, np.where(lowest, 2, 3), np.where(gamma[None, :] > onsets[:, None], 1, 0))
        rows, columns = np.nonzero(exists)
        states = theory.states("retrieval", gamma[columns], temperature[rows], Fold(*(array[rows] for array in folds)))
        m, replicon = np.full(labels.shape, np.nan), np.full(labels.shape, np.nan)
        m[rows, columns], replicon[rows, columns] = states.n, states.replicon
        lines, residuals = theory.lines(temperature, folds, transitions)
        return cls(gamma, temperature, labels, lines, residuals, m, replicon, "RS", repr(theory))

    def plot(self, ax=None):
        """Draw phases and lines on matplotlib axes (new ones by default); returns the axes."""
        import matplotlib.pyplot as plt
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        if ax is None:
            ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")[1]
        colours = ListedColormap([_COLOURS[name] for name in self.names])
        ax.pcolormesh(self.gamma, self.temperature, self.labels, cmap=colours, vmin=-0.5, vmax=len(self.names) - 0.5,
                      shading="nearest", rasterized=True)
        ax.set_autoscale_on(False)
        drawn = [ax.plot(*line.T, _STYLES[name], color="#202020", linewidth=1.2, label=name)[0]
                 for name, line in self.lines.items()]
        present = [Patch(color=_COLOURS[name], label=name.replace("_", " ")) for label, name in enumerate(self.names)
                   if np.any(self.labels == label)]
        ax.legend(handles=present + drawn, fontsize="small", frameon=True)
        ax.set(xlabel=r"$\gamma$", ylabel=r"$T$", title=f"{self.title}, {self.ansatz}")
        return ax

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict]:
        """(arrays, attributes): everything in the diagram as plain arrays and plain values, for storage."""
        arrays = {"gamma": self.gamma, "temperature": self.temperature, "labels": self.labels, "m": self.m,
                  "replicon": self.replicon} | {f"line_{name}": line for name, line in self.lines.items()}
        attributes = {"ansatz": self.ansatz, "title": self.title, "names": list(self.names)}
        return arrays, attributes | {f"residual_{name}": value for name, value in self.residuals.items()}

    @classmethod
    def from_arrays(cls, arrays, attributes) -> PhaseDiagram:
        """Inverse of `to_arrays`."""
        lines = {key.removeprefix("line_"): np.asarray(value) for key, value in arrays.items() if key.startswith("line_")}
        residuals = {key.removeprefix("residual_"): float(value) for key, value in attributes.items()
                     if key.startswith("residual_")}
        grid = {name: np.asarray(arrays[name]) for name in ("gamma", "temperature", "labels", "m", "replicon")}
        return cls(**grid, lines=lines, residuals=residuals, ansatz=str(attributes["ansatz"]), title=str(attributes["title"]),
                   names=tuple(str(name) for name in attributes["names"]))

    def save(self, path) -> None:
        """Write the diagram to an HDF5 file."""
        _storage().save_arrays(path, *self.to_arrays())

    @classmethod
    def load(cls, path) -> PhaseDiagram:
        """Read a diagram written by `save`."""
        return cls.from_arrays(*_storage().load_arrays(path))


def _storage():
    # storage lies above theory, so it is looked up by name when a file is asked for, never imported here
    return importlib.import_module("hebb.storage.results")
