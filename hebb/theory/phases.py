"""Phase diagrams: labels on a grid and the lines between them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

import numpy as np

from .branches import Branches
from .example_lines import ExampleLines
from .rsb_lines import OneStep
from .segments import RETRIEVAL_NAMES, Segments

__all__ = ["PhaseDiagram"]

NAMES = ("paramagnet", "glass", "retrieval", "retrieval_metastable", "example", "example_metastable")
_COLOURS = {"paramagnet": "#f4f1ea", "glass": "#b9c6d6", "retrieval": "#7fb069", "retrieval_metastable": "#d3e4c5",
            "example": "#f6d998", "example_metastable": "#fbeed2"}
_STYLES = {"spinodal": "-", "transition": "--", "glass": "-.", "at": ":", "glass_dynamic": (0, (6, 1, 1, 1, 1, 1)),
           "gardner": (0, (1, 3)), "spinodal_rs": "-", "transition_rs": "--",
           "exchange": (0, (5, 2)), "exchange_low": (0, (5, 2))} | dict.fromkeys(
               [f"{name}_{kind}" for name in RETRIEVAL_NAMES[1:] for kind in ("onset", "end")], (0, (1, 1))) | {
           "example_spinodal": "-", "example_transition": "--", "example_crossing": ":", "example_onset": (0, (4, 1, 1, 1))}
_ROWS = 61                  # temperatures of the lines of states that follow one example
_EXAMPLE = "#a06010"        # lines of states that follow one example


@dataclass(frozen=True)
class PhaseDiagram:
    """Phases on a grid of loads and temperatures.

    gamma (ngamma,), temperature (nT,): the axes. labels (nT, ngamma): integers, `names[label]` is the phase.
    lines[name] (n, 2): columns gamma, temperature, by increasing temperature: "spinodal" (retrieval ends), "transition"
    (it stops being the lowest state), "glass" (a q > 0 state without retrieval appears; 1RSB, P >= 3: it begins to
    dominate the paramagnet, the static line), "at" (the replicon of retrieval vanishes); 1RSB adds "glass_dynamic"
    (glassy states appear), "gardner" (they break further) and the RS lines "spinodal_rs" and "transition_rs".
    Where several retrieval states that are stable against replica symmetry breaking exist at one temperature (`Dense`):
    "exchange" (two of them have equal f, first order), "retrieval_low_onset" (the lower one appears) and
    "retrieval_high_end" (the upper one ends before the spinodal); with three states also "exchange_low" and the ends of
    "retrieval_middle". Rows of NaN stand where such a line has a gap.
    Unsupervised data with n_examples add, RS, "example_spinodal" (the state that follows one example ends),
    "example_transition" (it stops being lower than states without the pattern), "example_crossing" (its free energy is that
    of retrieval) and "example_onset" (retrieval is unstable towards it on one
    side: x = 1 of `hebb.theory.example_response`); rows of NaN separate pieces. Labels: "example" where that state is the
    lowest, "example_metastable" where it is stable and retrieval is not; retrieval with x >= 1 has no label of its own, and its
    lines are left out there.
    A line that does not occur is absent. Lines are not cut at the last gamma of the grid, but for those of the 1RSB glass.
    residuals[name]: largest size, along the line, of what vanishes on it (fold determinant, free-energy difference,
    replicon).
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
    def assemble(cls, branches: Branches, gamma, temperature, examples: ExampleLines | None = None) -> PhaseDiagram:
        """The diagram of a dense network on the given axes, by rows of constant temperature.

        examples: the states that follow one example, where the law has them."""
        segments = branches.retrieval.segments(temperature)
        transitions = np.nan_to_num(branches.transition_loads(temperature, segments), nan=-1.0, posinf=np.inf)
        exists = _exists(segments, gamma)
        frozen = gamma > branches.glass.onset(temperature)[:, None]
        labels = np.where(exists, np.where(gamma < transitions[:, None], 2, 3), np.where(frozen, 1, 0))
        rows, columns = np.nonzero(exists)
        states = branches.states("retrieval", gamma[columns], temperature[rows], segments.rows(rows))
        m, replicon = np.full(labels.shape, np.nan), np.full(labels.shape, np.nan)
        m[exists], replicon[exists] = states.m, states.replicon
        lines = branches.lines(temperature[0], temperature[-1])
        if examples is not None:
            kept = np.where(states.example_response < 1, states.free_energy, np.nan)
            labels = examples.labels(gamma, temperature, labels, kept, exists)
            lines = examples.kept(lines) | examples.lines(np.linspace(temperature[0], temperature[-1], _ROWS))
        law = branches.law
        hamiltonian = "" if law.hamiltonian == "distinct" else law.hamiltonian
        title = ", ".join(word for word in (f"dense, P = {law.p_body}", hamiltonian, law.dataset_name) if word)
        return cls(gamma, temperature, labels, {name: line.points for name, line in lines.items()},
                   {name: line.residual for name, line in lines.items()}, m, replicon, "RS", title)

    @classmethod
    def assemble_one_step(cls, one_step: OneStep, gamma, temperature, examples: ExampleLines | None = None) -> PhaseDiagram:
        """The diagram with one step of replica symmetry breaking, RS lines included."""
        branches = one_step.branches
        symmetric = cls.assemble(branches, gamma, temperature)
        ends = np.nan_to_num(one_step.spinodal_loads(temperature), nan=-1.0)
        transitions = np.nan_to_num(one_step.transition_loads(temperature)[0], nan=-1.0, posinf=np.inf)
        exists = gamma <= ends[:, None]
        frozen = gamma > one_step.glass.onset(temperature)[:, None]
        labels = np.where(exists, np.where(gamma < transitions[:, None], 2, 3), np.where(frozen, 1, 0))
        rows, columns = np.nonzero(exists)
        m, replicon, kept = np.full(labels.shape, np.nan), np.full(labels.shape, np.nan), np.empty(0)
        if rows.size:
            states = one_step.retrieval_states(gamma[columns], temperature[rows])
            m[exists], replicon[exists] = (np.where(states.lost, np.nan, states.value(name)) for name in ("m", "replicon"))
            kept = np.where(states.value("example_response") < 1, states.value("free_energy"), np.nan)
        lines = one_step.lines(temperature[0], temperature[-1], gamma[-1])
        if examples is not None:
            labels = examples.labels(gamma, temperature, labels, kept, exists)
            lines = examples.kept(lines) | examples.lines(np.linspace(temperature[0], temperature[-1], _ROWS))
        return cls(gamma, temperature, labels, {name: line.points for name, line in lines.items()},
                   {name: line.residual for name, line in lines.items()}, m, replicon, "1RSB", symmetric.title)

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
        limits = ax.get_xlim(), ax.get_ylim()
        ranked = sorted(self.lines.items(), key=lambda item: not item[0].endswith("_rs"))         # RS lines lie below
        drawn = [ax.plot(*line.T, linestyle=_STYLES[name], color=_line_colour(name),
                         linewidth=0.9 if name.endswith("_rs") else 1.2, label=_label(name))[0] for name, line in ranked]
        present = [Patch(color=_COLOURS[name], label=name.replace("_", " ")) for label, name in enumerate(self.names)
                   if np.any(self.labels == label)]
        ax.set(xlim=limits[0], ylim=limits[1])
        aside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(present + drawn) > 9 else {}
        ax.legend(handles=present + drawn, fontsize="small", frameon=True, **aside)
        load = r"load $\alpha$" if "P = 2" in self.title.split(", ") else r"load $\gamma$"
        ax.set(xlabel=load, ylabel="temperature $T$", title=f"{self.title}, {self.ansatz}")
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
        lines = {key.removeprefix("line_"): np.asarray(value) for key, value in arrays.items()
                 if key.startswith("line_")}
        residuals = {key.removeprefix("residual_"): float(value) for key, value in attributes.items()
                     if key.startswith("residual_")}
        grid = {name: np.asarray(arrays[name]) for name in ("gamma", "temperature", "labels", "m", "replicon")}
        return cls(**grid, lines=lines, residuals=residuals, ansatz=str(attributes["ansatz"]),
                   title=str(attributes["title"]), names=tuple(str(name) for name in attributes["names"]))

    def save(self, path) -> None:
        """Write the diagram to an HDF5 file."""
        _storage().save_arrays(path, *self.to_arrays())

    @classmethod
    def load(cls, path) -> PhaseDiagram:
        """Read a diagram written by `save`."""
        return cls.from_arrays(*_storage().load_arrays(path))


def _line_colour(name: str) -> str:
    return "#666666" if name.endswith("_rs") else _EXAMPLE if name.startswith("example") else "#202020"


def _exists(segments: Segments, gamma) -> np.ndarray:
    """(nT, ngamma): whether retrieval exists, at gamma = 0 wherever the branch begins."""
    ends = np.nan_to_num(segments.end.gamma, nan=-1.0)[:, None]
    inside = [(gamma >= part.gamma_start[:, None]) & (gamma <= part.gamma[:, None]) for part in segments.parts]
    return np.any(inside, axis=0) & (gamma <= ends)


def _label(name: str) -> str:
    """spinodal_rs -> spinodal (RS)."""
    words = name.replace("_rs", " (RS)").replace("_", " ")
    return words.replace("at", "AT") if words == "at" else words


def _storage():
    # storage lies above theory, so it is looked up by name when a file is asked for, never imported here
    return importlib.import_module("hebb.storage.arrays")
