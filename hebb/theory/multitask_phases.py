"""Phase diagrams of multitasking networks: all stable states on a grid of dilutions and temperatures, and their lines."""

from __future__ import annotations

import importlib
from colorsys import hls_to_rgb
from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError
from ..params import MultitaskLaw, float_array, shown
from ..progress import Progress
from .multitask_lines import ROUNDS, Family, Line, transitions
from .multitask_stability import stability_edges
from .multitask_states import Found, distinct, names, starts
from .vertices import vertices

__all__ = ["MultitaskDiagram"]

_COLOURS = {"paramagnet": "#f4f1ea", "pure": "#f6d998", "H2[11]": "#cfe3b4", "H3[111]": "#a9cf8d", "H4[1111]": "#8dbd74",
            "hierarchical": "#7fb069", "majority": "#8fb8d8", "parallel": "#b9c6d6"}
_LINES = {     # style, colour, width, words
    "critical": ("-", "#202020", 1.6, r"$T_c$"),
    "pure_edge": (":", "#202020", 1.2, "pure: end of stability"),
    "parallel_lower_edge": ("-.", "#202020", 1.0, "parallel: ends of stability"),
    "parallel_upper_edge": ("-.", "#202020", 1.0, "parallel: ends of stability"),
    "first_order": ("--", "#a02020", 1.2, "first order"),
    "ground_state": ("o", "#a02020", 1.0, r"$T = 0$: first order"),
    "continuous": ("-", "#202020", 0.8, "continuous"),
    "crossover": ("-", "#909090", 0.6, "name changes"),
}


@dataclass(frozen=True)
class MultitaskDiagram:
    """Stable states of a multitasking network on a grid of dilutions and temperatures.

    dilution (nd,), temperature (nT,): the axes. labels (nT, nd): integers, `names[label]` is the state of lowest free
    energy (names: `hebb.theory.multitask_states`). states (nT, nd, S): labels of all stable states, lowest first, -1 where
    there are fewer than S; `metastable(row, column)` lists those above the lowest by name (K >= 4: several may share one).
    free_energy (nT, nd, S): theirs, NaN where there are fewer. m (nT, nd, K): archetype overlaps of the lowest, descending.

    lines[name] (n, 2): columns dilution, temperature; a row of NaN separates pieces:
      "critical"                                       T_c, the end of the paramagnet
      "pure_edge"                                      below it one retrieved pattern is unstable
      "parallel_lower_edge", "parallel_upper_edge"     K equal amplitudes are stable above, below it; also where metastable
      "continuous pure-H2[11]"                         the lowest state changes as it loses its stability
      "first_order hierarchical-majority"              the free energies of two stable states cross
      "crossover hierarchical-majority"                one state whose name changes: no transition
      "ground_state"                                   T = 0: exact dilutions at which the lowest state changes (K <= 5)
    A line that does not occur is absent. residuals[name]: largest size of what vanishes on it (Hessian eigenvalue, difference
    of free energies or of amplitudes, scale 1).

    The lines of the lowest state are found where neighbours on the grid differ, then solved to rounding: phases that are
    nowhere wider than the grid may be missed, and so may single points where states differ by rounding (d > 0.85). Up to
    K = 5 all states are looked for; beyond that those of the starts of `Multitask.states`. With a dataset the lines follow
    columns of constant dilution only.
    """

    dilution: np.ndarray
    temperature: np.ndarray
    labels: np.ndarray
    states: np.ndarray
    free_energy: np.ndarray
    m: np.ndarray
    lines: dict[str, np.ndarray]
    residuals: dict[str, float]
    names: tuple[str, ...]
    title: str

    @classmethod
    def compute(cls, law: MultitaskLaw, dilution, temperature) -> MultitaskDiagram:
        """The diagram of a law, whose own dilution is ignored, on increasing axes (1-d). Raises ParameterError.

        Cost: 60 x 60 points, stored patterns: 2 s for K = 2, 3 to 5 s for K = 3, 20 to 40 s for K = 5. A point: 0.3 s for
        K = 6, seconds for K > 8; datasets, K = 2 and 3: 0.1 to 0.3 s.
        """
        dilution = _axis("dilution", dilution, 1.0)
        temperature = _axis("temperature", temperature, 1e6)
        if temperature[0] == 0 and law.protocol != "storage":
            raise ParameterError(f"temperature = 0 with {law.dataset_name}: phase diagrams at zero temperature are those of "
                                 "stored patterns; begin at a positive temperature")
        family = Family(law)
        with Progress(_steps(family, dilution, temperature), unit="step", delay=5.0) as progress:
            family.advance = progress.advance
            return cls._computed(family, dilution, temperature)

    @classmethod
    def _computed(cls, family: Family, dilution, temperature) -> MultitaskDiagram:
        law, found = family.law, _search(family, dilution, temperature)
        called = np.where(np.isfinite(found.free_energy), names(np.nan_to_num(found.g)), "")
        known = tuple(sorted(set(called.ravel()) - {""}, key=_rank))
        index = {name: label for label, name in enumerate(known)} | {"": -1}
        states = np.vectorize(index.get, otypes=[np.int16])(called)
        lowest = found.g[:, :, 0]
        lines = {"critical": Line(np.stack([dilution, family.critical(dilution)], axis=-1), 0.0)}
        lines |= stability_edges(family, dilution) | transitions(family, dilution, temperature, lowest, called[:, :, 0])
        points = [axis.ravel() for axis in np.meshgrid(dilution, temperature)]
        m = family.archetypes(*points, lowest.reshape(-1, law.n_patterns)).reshape(lowest.shape)
        f = found.free_energy * family.scale(dilution)[:, None]
        return cls(dilution, temperature, states[:, :, 0].astype(int), states, f, m,
                   {name: line.points for name, line in lines.items()},
                   {name: line.residual for name, line in lines.items()}, known, _title(law))

    def metastable(self, row: int, column: int) -> list[str]:
        """Names of the stable states above the lowest at temperature[row], dilution[column], lowest first."""
        return [self.names[label] for label in self.states[row, column, 1:] if label >= 0]

    def plot(self, ax=None):
        """Draw states, lines and where others are metastable on matplotlib axes (new ones by default); returns the axes."""
        import matplotlib.pyplot as plt
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch

        if ax is None:
            ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")[1]
        others = [name for label, name in enumerate(self.names) if name not in _COLOURS and np.any(self.labels == label)]
        # hues in golden steps: neighbours in the list look different
        hues = {name: hls_to_rgb(0.85 + 0.618034 * k, 0.75 - 0.13 * (k % 3), 0.5) for k, name in enumerate(others)}
        colours = [_COLOURS.get(name) or hues.get(name, "white") for name in self.names]
        ax.pcolormesh(self.dilution, self.temperature, self.labels, cmap=ListedColormap(colours), vmin=-0.5,
                      vmax=len(self.names) - 0.5, shading="nearest", rasterized=True)
        limits = ax.get_xlim(), ax.get_ylim()
        present = [Patch(color=colours[label], label=name) for label, name in enumerate(self.names)
                   if np.any(self.labels == label)]
        several = (self.states >= 0).sum(axis=-1) > 1
        if several.any() and min(several.shape) > 1:
            with plt.rc_context({"hatch.linewidth": 0.4, "hatch.color": "#606060"}):
                ax.contourf(self.dilution, self.temperature, several, levels=[0.5, 1.5], colors="none", hatches=["////"])
            present.append(Patch(facecolor="none", edgecolor="#606060", hatch="////", label="others metastable"))
        drawn = {}
        for name, line in self.lines.items():
            kind, _, pair = name.partition(" ")
            style, colour, width, words = _LINES[kind]
            # several lines may separate states of one name: their points say no more than that
            style = "." if pair and len(set(pair.split("-"))) == 1 else style
            artist, = ax.plot(*line.T, style, color=colour, linewidth=width, markersize=3, clip_on=style != "o", label=words)
            drawn[words] = drawn.get(words, artist) if style == "." else artist
        ax.set(xlim=limits[0], ylim=limits[1], xlabel="dilution $d$", ylabel="temperature $T$", title=self.title)
        entries = [*present, *drawn.values()]
        ax.legend(handles=entries, fontsize="small" if len(entries) < 18 else "x-small", ncols=1 + len(entries) // 25,
                  frameon=True, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return ax

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict]:
        """(arrays, attributes): everything in the diagram as plain arrays and plain values, for storage."""
        arrays = {name: getattr(self, name) for name in _ARRAYS} | {f"line_{name}": line for name, line in self.lines.items()}
        attributes = {"title": self.title, "names": list(self.names)}
        return arrays, attributes | {f"residual_{name}": value for name, value in self.residuals.items()}

    @classmethod
    def from_arrays(cls, arrays, attributes) -> MultitaskDiagram:
        """Inverse of `to_arrays`."""
        lines = {key.removeprefix("line_"): np.asarray(value) for key, value in arrays.items() if key.startswith("line_")}
        residuals = {key.removeprefix("residual_"): float(value) for key, value in attributes.items()
                     if key.startswith("residual_")}
        return cls(**{name: np.asarray(arrays[name]) for name in _ARRAYS}, lines=lines, residuals=residuals,
                   names=tuple(str(name) for name in attributes["names"]), title=str(attributes["title"]))

    def save(self, path) -> None:
        """Write the diagram to an HDF5 file."""
        _storage().save_arrays(path, *self.to_arrays())

    @classmethod
    def load(cls, path) -> MultitaskDiagram:
        """Read a diagram written by `save`."""
        return cls.from_arrays(*_storage().load_arrays(path))


_ARRAYS = ("dilution", "temperature", "labels", "states", "free_energy", "m")


def _storage():
    # storage lies above theory, so it is looked up by name when a file is asked for, never imported here
    return importlib.import_module("hebb.storage.arrays")


def _axis(name: str, values, end: float) -> np.ndarray:
    axis = float_array(values)
    good = axis.ndim == 1 and axis.size > 0 and bool(np.all(np.isfinite(axis)))
    if not good or axis[0] < 0 or axis[-1] >= end or np.any(np.diff(axis) <= 0):
        raise ParameterError(f"{name} = {shown(values)} is not a 1-d increasing array of numbers in [0, {end:g}[; use for "
                             f"example {name} = numpy.linspace(0.02, 0.98, 60)")
    return axis


def _title(law: MultitaskLaw) -> str:
    return ", ".join(word for word in (f"multitasking, K = {law.n_patterns}", law.dataset_name) if word)


def _rank(name: str) -> tuple:
    """Order of names: from symmetric to broken."""
    first, last = ("paramagnet", "pure", "parallel"), ("hierarchical", "majority")
    return first.index(name) if name in first else len(first), name.count("1") + 10 * (name in last), name


# ---- all stable states -----------------------------------------------------------------------------------------------

def _steps(family: Family, dilution, temperature) -> int:
    """About how often a diagram calls `family.advance`."""
    return (temperature if family.summed else dilution).size + temperature.size + 2 + ROUNDS


def _search(family: Family, dilution, temperature) -> Found:
    """Stable states (nT, nd, S) of the grid, lowest first, padded by NaN.

    From the starts of every name at every point, then, by rows of increasing temperature, from the states of the row below,
    the first of which are the vertices of T = 0."""
    K = family.n_patterns
    nd, nT = dilution.size, temperature.size
    begin = starts(K)
    d, T = np.broadcast_to(dilution, (nT, nd)), np.broadcast_to(temperature[:, None], (nT, nd))
    cold = T < family.critical(dilution) * (1 - 1e-9)
    ordered = cold & (T > 0)
    fresh = _fresh(family, d[ordered], T[ordered], begin)
    rows, known = [], _vertices(family, dilution)
    used = 0
    for i in range(nT):
        here = np.flatnonzero(ordered[i])
        found = Found(np.full((nd, 1, K), np.nan), *np.full((3, nd, 1), np.nan))
        if temperature[i] == 0:
            found = known
        if here.size:
            part = slice(used, used + here.size)
            used += here.size
            if known.g.shape[1]:
                again = _descents(family, dilution[here], np.full(here.size, temperature[i]), known.g[here])
                both = Found(*(np.concatenate([a[part], b], axis=1) for a, b in zip(fresh, again, strict=True)))
            else:
                both = Found(*(a[part] for a in fresh))
            both = _compact(distinct(both, 1 - dilution[here]))
            found = Found(np.full((nd, both.g.shape[1], K), np.nan), *np.full((3, nd, both.g.shape[1]), np.nan))
            for whole, part in zip(found, both, strict=True):
                whole[here] = part
        if not cold[i].all():
            _paramagnet(family, found, dilution, temperature[i], ~cold[i])
        rows.append(found)
        known = found
        family.advance()
    most = max(row.g.shape[1] for row in rows)
    return Found(*(np.stack([_padded(a, most) for a in arrays]) for arrays in zip(*rows, strict=True)))


def _fresh(family: Family, dilution, temperature, begin) -> Found:
    """States (n, S) from the starts (S, K), by rows of the grid, or by columns where those share their averages."""
    parts, axis = [], temperature if family.summed else dilution
    place = np.empty(0, int)
    for value in np.unique(axis):
        rows = np.flatnonzero(axis == value)
        scaled = begin * (1 - dilution[rows])[:, None, None]
        parts.append(_descents(family, dilution[rows], temperature[rows], scaled))
        place = np.append(place, rows)
        family.advance()
    if not parts:
        return _descents(family, dilution, temperature, np.empty((0, *begin.shape)))
    back = np.argsort(place)
    return Found(*(np.concatenate(arrays)[back] for arrays in zip(*parts, strict=True)))


def _vertices(family: Family, dilution) -> Found:
    """Stable states at T = 0 of stored patterns, (nd, S); none for other laws."""
    K = family.n_patterns
    lists = [[vertex.m(d) for vertex in vertices(K, d)] if family.law.protocol == "storage" else [] for d in dilution.tolist()]
    most = max(map(len, lists))
    g = np.full((len(lists), most, K), np.nan)
    for row, found in zip(g, lists, strict=True):
        row[:len(found)] = np.reshape(found, (-1, K))
    energy = -(g * g).sum(axis=-1) / 2
    return Found(g, energy, np.where(np.isfinite(energy), 1.0, np.nan), 0 * energy)


def _descents(family: Family, dilution, temperature, begin) -> Found:
    """From begin (n, S, K), NaN where there is none, to states (n, S)."""
    n, size, K = begin.shape
    row, slot = np.nonzero(np.isfinite(begin[..., 0]))
    found = family.descend(dilution[row], temperature[row], begin[row, slot])
    result = Found(np.full((n, size, K), np.nan), *np.full((3, n, size), np.nan))
    for whole, part in zip(result, found, strict=True):
        whole[row, slot] = part
    return result


def _compact(found: Found) -> Found:
    """Without the slots that no point uses."""
    most = max(1, int(np.isfinite(found.free_energy).sum(axis=1).max()))
    return Found(*(a[:, :most] for a in found))


def _padded(array: np.ndarray, most: int) -> np.ndarray:
    width = [(0, 0), (0, most - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, width, constant_values=np.nan)


def _paramagnet(family: Family, found: Found, dilution, temperature, where) -> None:
    """g = 0 as the only state of the points `where`, T >= T_c."""
    found.g[where, 0] = 0.0
    found.free_energy[where, 0] = -temperature / family.scale(dilution[where]) * np.log(2)
    found.hessian[where, 0] = np.maximum(1 - family.critical(dilution[where]) / temperature, 0)
    found.residual[where, 0] = 0.0
