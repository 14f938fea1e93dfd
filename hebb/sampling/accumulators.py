"""Named time series in bins of fixed length, with the unfinished bin travelling in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ParameterError
from ..params import check_integer

__all__ = ["MAX_BINS", "Accumulators", "bin_length_for"]

#: Memory bound: a chain keeps at most this many bins per observable, and one measurement per bin below it.
MAX_BINS = 4096


def bin_length_for(n_measurements: int) -> int:
    """Measurements per bin so that at most MAX_BINS bins are kept."""
    return max(1, -(-n_measurements // MAX_BINS))


class Accumulators:
    """Collects measurements by name; memory is 8 bytes x components x (full bins + 1) per name.

    Every name has its own shape, fixed by its first value, and its own count.
    """

    def __init__(self, bin_length: int = 1):
        self.bin_length = check_integer("bin_length", bin_length, 1)
        self._bins: dict[str, list[np.ndarray]] = {}
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value) -> None:
        """Add one measurement, an array of any fixed shape. ParameterError if the shape differs from the first one."""
        value = np.array(value, dtype=np.float64)
        if name not in self._sums:
            self._bins[name], self._sums[name], self._counts[name] = [], np.zeros_like(value), 0
        if value.shape != self._sums[name].shape:
            raise ParameterError(
                f"observable {name!r} was measured with shape {self._sums[name].shape} before and now "
                f"has shape {value.shape}; one name stands for one shape"
            )
        self._sums[name] += value
        self._counts[name] += 1
        if self._counts[name] == self.bin_length:
            self._bins[name].append(self._sums[name] / self.bin_length)
            self._sums[name], self._counts[name] = np.zeros_like(value), 0

    def replay(self, bins: Mapping[str, np.ndarray]) -> None:
        """Add bins of single measurements once more, as if they were made now."""
        for name, values in bins.items():
            for value in np.asarray(values):
                self.add(name, value)

    def bins(self) -> dict[str, np.ndarray]:
        """The means of the full bins: name -> (n_full_bins, ...)."""
        return {name: np.array(bins).reshape(len(bins), *self._sums[name].shape) for name, bins in self._bins.items()}

    def snapshot(self) -> dict[str, np.ndarray]:
        """The unfinished bins, as plain arrays: "<name>/sum" and "<name>/count"."""
        arrays = {f"{name}/sum": total.copy() for name, total in self._sums.items()}
        return arrays | {f"{name}/count": np.array(count) for name, count in self._counts.items()}

    def restore(self, snapshot: Mapping[str, np.ndarray], bins: Mapping[str, np.ndarray]) -> None:
        """Continue from a snapshot and the full bins that belonged to it; what was collected here is forgotten."""
        names = [key.removesuffix("/sum") for key in snapshot if key.endswith("/sum")]
        self._bins = {name: list(np.asarray(bins[name], dtype=np.float64)) for name in names}
        self._sums = {name: np.array(snapshot[f"{name}/sum"], dtype=np.float64) for name in names}
        self._counts = {name: int(snapshot[f"{name}/count"]) for name in names}
