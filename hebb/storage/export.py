"""Results for other programs: rows, a pandas DataFrame, an xarray Dataset, CSV and netCDF files."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EnvironmentMismatch
from ..installation import install_command
from ..quantities import PAIRS, axis_of_components, observable, parameter
from .coordinates import is_number, numbers_in, plain
from .taskfile import to_json

if TYPE_CHECKING:
    from .results import Results

__all__ = ["dataframe", "dataset", "observable_rows", "write_csv", "write_netcdf"]

#: What is known of every estimate, by column.
_ESTIMATE = ("mean", "error", "raw_error", "tau", "r_hat", "too_short")
_WORDS = {"error": "standard error", "raw_error": "standard error, chains that are too short included",
          "tau": "autocorrelation time", "r_hat": "split R-hat of the worst sample",
          "too_short": "whether the chains were too short"}


def columns(results: Results) -> tuple[list[str], list[str]]:
    """Names of the columns of `observable_rows`: (everything but the fixed parameters, fixed parameters)."""
    known = results.coordinates
    return ([*known.varying, "observable", "component", *_ESTIMATE, "samples", "lost"], list(known.fixed))


def observable_rows(results: Results) -> Iterator[dict]:
    """One row per point, observable and component: `Coordinates.varying`, then the estimate, then what all points share.

    component: None for observables without. error: nan where there is no error bar; raw_error as in
    `Observable`. tau: in measurements. samples, lost: finished disorder samples, and how many left the planted state.
    """
    known = results.coordinates
    fixed = {name: plain(value) for name, value in known.fixed.items()}
    for index in range(len(results.points)):
        place, last = known.at(index), {"samples": int(results.n_disorder[index]), "lost": int(results.lost[index])}
        for name in results:
            for at in np.ndindex(results[name].samples.shape[2:]):
                found = results[name].estimate(index, at)
                if at and np.isnan(found.mean):  # a point with fewer components than others
                    continue
                error = np.nan if found.refusal else found.raw_error
                yield place | {"observable": name, "component": at[0] if at else None, "mean": found.mean, "error": error,
                               "raw_error": found.raw_error, "tau": found.tau, "r_hat": found.r_hat,
                               "too_short": found.too_short} | last | fixed


def dataframe(results: Results):
    """See `Results.to_dataframe`."""
    pandas = _import("pandas")
    first, fixed = columns(results)
    rows = list(observable_rows(results))
    frame = pandas.DataFrame({name: _series(pandas, name, [row[name] for row in rows]) for name in (*first, *fixed)})
    frame["observable"] = pandas.Categorical(frame["observable"], categories=list(results))
    frame.attrs = _attributes(results)
    return frame


def _series(pandas, name: str, values: list):
    """A column of the type that its values have: bool, int64 (Int64 with gaps), float64, or str."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        kind = "bool" if len(known) == len(values) else "boolean"
    elif name == "component" or known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        kind = "int64" if known and len(known) == len(values) else "Int64"
    elif all(map(is_number, known)):
        kind = "float64"
    else:
        kind, values = "str", [None if value is None else str(value) for value in values]
        return pandas.Series(values, dtype=object if len(known) < len(values) else kind)
    return pandas.Series(values, dtype=kind)


def write_csv(results: Results, file) -> None:
    """`observable_rows` to an open text file, a header first; nothing where a point has no value, nan as nan."""
    first, fixed = columns(results)
    writer = csv.DictWriter(file, [*first, *fixed], lineterminator="\n")
    writer.writeheader()
    writer.writerows(observable_rows(results))


def dataset(results: Results, samples: bool = False, chains: bool = False):
    """See `Results.to_xarray`."""
    xarray = _import("xarray")
    layout = _Layout(results)
    variables = {}
    for name in results:
        variables |= _of_observable(results, name, layout, samples, chains)
    for name, values, words in (("n_samples", results.n_disorder, "finished disorder samples"),
                                ("lost", results.lost, "samples that left the planted state")):
        variables[name] = (*layout.spread(values), {"long_name": words, "units": "1"})
    if samples:
        variables["lost_samples"] = (*layout.spread(results.lost_samples, ["disorder"]),
                                     {"long_name": "whether a sample left the planted state"})
    return xarray.Dataset(variables, layout.coordinates(variables), _attributes(results))


class _Layout:
    """Where the points lie: on a grid with an axis for each swept key, or side by side on one axis "point"."""

    def __init__(self, results: Results):
        self.results, self.known = results, results.coordinates
        self.grid = self.known.grid
        self.dims = ["point"] if self.grid is None else list(self.known.swept)

    def spread(self, values: np.ndarray, inner=()) -> tuple[list[str], np.ndarray]:
        """(dimensions, array) of values (P, ...)."""
        return [*self.dims, *inner], values if self.grid is None else values[self.grid[1]]

    def coordinates(self, variables: dict) -> dict[str, tuple]:
        """Swept keys along their axes; what became of them along those on which it depends; inner axes."""
        found = {}
        columns = {name: self.known.written[name] for name in self.known.swept}
        columns |= self.known.became
        for name, values in columns.items():
            array, inner = self._array(name, values)
            dims, array = self.spread(array, inner)
            if self.grid is not None:
                own = name if name in self.known.swept else None
                for axis in reversed(range(len(self.dims))):
                    if dims[axis] != own and (own or _same_along(array, axis)):
                        array = np.take(array, 0, axis)
                        dims = [*dims[:axis], *dims[axis + 1:]]
            quantity = parameter(name, self.results.points)
            found[name] = (dims, array, _described(quantity))
        sizes = {axis: length for dims, array, *_ in variables.values() for axis, length in zip(dims, array.shape, strict=True)}
        for axis in ("task", "pattern", "rank", "disorder", "replica", "pair", "point"):
            if axis in sizes and axis not in found:
                found[axis] = ([axis], np.arange(sizes[axis]))
        if "bin" in sizes:
            found["sweep"] = (["bin"], self.results.sweeps,
                              {"long_name": "sweeps made, thermalisation included, mean of the bin", "units": "1"})
        return found

    def _array(self, name: str, values: list) -> tuple[np.ndarray, list[str]]:
        """A column as (P,) numbers or text, or of lists of numbers, one per task, as (P, tasks)."""
        tasks = [len(point["alpha"]) if isinstance(point.get("alpha"), list) else point.get("n_tasks", 0)
                 for point in self.results.points]
        if name.endswith("_realised") and numbers_in(values) and max(tasks):
            table = np.full((len(values), max(tasks)), np.nan)
            for row, numbers, number in zip(table, values, tasks, strict=True):
                row[number - len(numbers):number] = numbers  # teacher_correlation has none for the first task
            return table, ["task"]
        values = list(map(plain, values))
        missing = [value is None for value in values]
        if any(map(is_number, values)) and all(value is None or is_number(value) for value in values):
            whole = all(isinstance(value, int) for value in values)
            return np.array([np.nan if gap else value for value, gap in zip(values, missing, strict=True)],
                            np.int64 if whole else float), []
        if all(isinstance(value, bool) for value in values):
            return np.array(values), []
        return np.array(["" if gap else str(value) for value, gap in zip(values, missing, strict=True)]), []


def _same_along(array: np.ndarray, axis: int) -> bool:
    first = np.take(array, [0], axis)
    return bool(np.all((array == first) | ((array != array) & (first != first))))


def _of_observable(results: Results, name: str, layout: _Layout, samples: bool, chains: bool) -> dict[str, tuple]:
    """The variables of one observable."""
    found, quantity = results[name], observable(name)
    inner = [axis_of_components(name, results.points)] * (found.samples.ndim - 2)
    known = _ESTIMATE if found.stationary else ("mean", "error", "raw_error")
    title = f"{name}_observed" if any(name in point for point in results.points) else name
    variables = {}
    for key in known:
        values = np.where(found.refused, np.nan, found.raw_error) if key == "error" else getattr(found, key)
        about = {"long_name": f"{_WORDS[key]}: {quantity.words}"} if key != "mean" else _described(quantity)
        if key == "tau":
            about["units"] = "measurements"
        elif key != "too_short":
            about["units"] = "1"
        variables[title if key == "mean" else f"{title}_{key}"] = (*layout.spread(values, inner), about)
    if samples:
        variables[f"{title}_samples"] = (*layout.spread(found.samples, ["disorder", *inner]), _described(quantity))
    if chains and found.chains is not None:
        axes = ["disorder", "bin", "pair" if name in PAIRS else "replica", *inner]
        variables[f"{title}_chains"] = (*layout.spread(found.chains, axes), _described(quantity))
    return variables


def _described(quantity) -> dict[str, str]:
    symbol = {"symbol": quantity.symbol} if quantity.symbol else {}
    return {"long_name": quantity.words, "units": "1", **symbol}


def _attributes(results: Results) -> dict:
    """Numbers and text alone, which netCDF can hold: what all points share, then the job."""
    found = {name: _attribute(value) for name, value in results.coordinates.fixed.items()}
    found |= {"name": results.job["name"], "seed": results.job["seed"], "job": to_json(results.job)}
    version = results.provenance.get("hebb")
    return found | ({"hebb_version": version} if version else {})


def _attribute(value):
    if isinstance(value, bool):
        return int(value)  # netCDF has no booleans
    if isinstance(value, list) and value and all(map(is_number, value)):
        return value
    return plain(value)


def write_netcdf(results: Results, path, samples: bool = False, chains: bool = False) -> None:
    """`Results.to_xarray` as a netCDF-4 file."""
    _import("h5netcdf", "xarray")
    dataset(results, samples, chains).to_netcdf(Path(path), engine="h5netcdf")


def _import(name: str, *others: str):
    """A library; EnvironmentMismatch with the command that brings it, and others that will be needed beside it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise EnvironmentMismatch(f"{name} is not installed; `{install_command(name, *others)}` brings it") from None
