"""One observable of a job at every point, and tables of estimates."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence

import numpy as np

from ..error_bars import FEWEST_EVENTS
from ..errors import HebbWarning, ParameterError
from ..statistics import Estimate, disorder_average, estimate, of_samples

__all__ = ["Observable", "Table", "bias_of_refusals"]


class Observable:
    """One observable at every point. Axes: points in job order (P), disorder samples (D), bins (B), chains (C) which
    are replicas or pairs of replicas, then components. What is not done yet is nan. curve: the series are learning curves, and
    not stationary: an average is that of their last entries, and there is no autocorrelation time. places: the points in
    words, for warnings.
    """

    def __init__(self, name: str, samples: np.ndarray, series: np.ndarray | None, done: np.ndarray, bin_length: int,
                 curve: bool = False, places: Sequence[str] = ()):
        self.name = name
        self.samples = samples  # (P, D, ...) means over bins and chains
        self._series, self._done, self._bin_length, self._curve = series, done, bin_length, curve
        self._places = places or [f"point {index}" for index in range(len(samples))]

    @functools.cached_property
    def _estimates(self) -> np.ndarray:
        """(P, ...) Estimate objects."""
        shape = (len(self.samples), *self.samples.shape[2:])
        table = np.empty(shape, dtype=object)
        for index in np.ndindex(shape):
            point, component = index[0], index[1:]
            done = self._done[point]
            if self._series is None or self._curve:
                table[index] = of_samples(self.samples[(point, done, *component)])
            elif np.isnan(self.samples[(point, done, *component)]).all():  # this point has fewer components than others
                table[index] = Estimate(np.nan, np.nan, 0, np.nan, np.nan, 0, False)
            else:
                table[index] = estimate(
                    self._series[(point, done, slice(None), slice(None), *component)], self._bin_length
                )
        return table

    def _each(self, attribute: str, dtype: type = float) -> np.ndarray:
        values = [getattr(item, attribute) for item in self._estimates.flat]
        return np.array(values, dtype=dtype).reshape(self._estimates.shape)

    @property
    def mean(self) -> np.ndarray:
        """(P, ...) averages over the disorder samples."""
        return self._over_samples(lambda samples: samples.mean(axis=0) if len(samples) else np.nan)

    @property
    def error(self) -> np.ndarray:
        """(P, ...) standard errors: scatter between disorder samples.

        nan where there is no error bar, with a HebbWarning that names those points and why: chains too short, fewer than 2
        samples, or too few that differ from all others. `raw_error` has the plain scatter of all points, and
        `estimate(point).refusal` the reason in full.
        """
        self._warn_of_refusals()
        return np.where(self.refused, np.nan, self.raw_error)

    @property
    def refused(self) -> np.ndarray:
        """(P, ...) whether there is no error bar, for whatever reason."""
        return self._each("refusal", bool)

    def interval(self, level: float = 0.95) -> np.ndarray:
        """(2, P, ...) low and high ends of the intervals of this level around mean: wider towards the tail of skewed samples
        (`hebb.error_bars`); nan where there is no error bar, with the warning of error. level: 0 < level < 1."""
        if not 0 < level < 1:
            raise ParameterError(f"level = {level!r} is not between 0 and 1, both excluded; 0.95 is usual")
        self._warn_of_refusals()
        ends = [(np.nan, np.nan) if item.refusal else item.interval(level) for item in self._estimates.flat]
        return np.array(ends, dtype=float).reshape(*self._estimates.shape, 2).transpose(-1, *range(self._estimates.ndim))

    def _warn_of_refusals(self) -> None:
        """One warning for all points without an error bar."""
        reasons: dict[str, str] = {}
        for (point, *component), item in np.ndenumerate(self._estimates):
            unknown = math.isnan(item.mean) if item.n else component  # not measured here: no news
            if item.refusal and not unknown:
                reasons.setdefault(self._places[point], _in_short(item))
        if not reasons:
            return
        shown = [f"{place} ({reason})" for place, reason in list(reasons.items())[:_NAMED]]
        more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        warnings.warn(f"{self.name} has no error bar at {len(reasons)} of {len(self.samples)} points: "
                      f"{', '.join(shown)}{more}; "
                      "raise `sweeps` or `disorder`, or take raw_error, the plain scatter of the samples",
                      HebbWarning, stacklevel=3)

    @property
    def raw_error(self) -> np.ndarray:
        """(P, ...) scatter of the samples over sqrt(D), whether or not that is an error; nan for fewer than 2 samples."""
        return self._over_samples(lambda samples: disorder_average(samples)[1] if len(samples) > 1 else np.nan)

    def _over_samples(self, function) -> np.ndarray:
        """(P, ...) function(finished samples of a point)."""
        values = np.empty((len(self.samples), *self.samples.shape[2:]))
        for point, samples in enumerate(self.samples):
            values[point] = function(samples[self._done[point]])
        return values

    @property
    def tau(self) -> np.ndarray:
        """(P, ...) autocorrelation times in measurements, 1 for white noise."""
        return self._each("tau")

    @property
    def r_hat(self) -> np.ndarray:
        """(P, ...) split R-hat of the worst disorder sample."""
        return self._each("r_hat")

    @property
    def too_short(self) -> np.ndarray:
        """(P, ...) whether the chains were too short for their autocorrelation time."""
        return self._each("too_short", bool)

    @property
    def stationary(self) -> bool:
        """Whether there are chains with an autocorrelation time: not for learning curves and what is known once per sample."""
        return self._series is not None and not self._curve

    @property
    def chains(self) -> np.ndarray | None:
        """(P, D, B, C, ...) bin means, nan where not done; None for what is known once per sample."""
        return self._series

    def estimate(self, point: int, component: tuple[int, ...] = ()) -> Estimate:
        """Everything about one point (and component) in one record."""
        return self._estimates[(point, *component)]

    def series(self, point: int) -> np.ndarray:
        """(n_done, B, C, ...) bin means of the finished disorder samples of one point."""
        if self._series is None:
            raise ParameterError(f"{self.name} is known only as one number per sample; it has no series")
        return self._series[point][self._done[point]]

    def __repr__(self):
        return f"<{self.name}: {', '.join(str(item) for item in self._estimates.flat)}>"


_FEW_REFUSED = 0.1  # of all averages: no bias was seen below 6 %
_NAMED = 4  # points that a warning names, at most


def _in_short(item: Estimate) -> str:
    """Why an estimate has no error bar, in a few words."""
    if not item.too_short:
        return item.rarity
    return f"chains too short: {item.n_measurements} measurements, tau {item.tau:.3g}, R-hat {item.r_hat:.3g}"


class Table(list):
    """A list of rows (dicts); str() aligns it."""

    def __str__(self):
        if not self:
            return "(empty)"
        columns = list(self[0])
        cells = [columns, *[[_cell(row[column]) for column in columns] for row in self]]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        text = "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
        )
        chains = [item.too_short for row in self for item in row.values() if isinstance(item, Estimate) and item.n_measurements]
        notes = {"(?)": "chain too short for its autocorrelation time" + bias_of_refusals(sum(chains), len(chains)),
                 "(-)": f"no error bar: a single sample, or fewer than {FEWEST_EVENTS} that differ from the rest"}
        return text + "".join(f"\n{mark} {note}" for mark, note in notes.items() if mark in text)


def bias_of_refusals(refused: int, among: int) -> str:
    """What is to be said where many averages were refused as too short; "" where they were few."""
    if refused <= _FEW_REFUSED * among:
        return ""
    return (f": {refused} of {among} averages. The others are those whose chains happened to look fast, which biases them; "
            "raise `sweeps`")


def _cell(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
