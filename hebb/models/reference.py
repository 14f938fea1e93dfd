"""The weights of the first task that a second task is held to, drawn by a chain that can be stopped and continued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..params import digest
from ..streams import Purpose, generator, go_on, positions

if TYPE_CHECKING:
    from .perceptron import SecondTaskInstance

__all__ = ["ReferenceChain"]


class ReferenceChain:
    """How a reference is drawn: a Metropolis chain of the first task, `reference_sweeps` sweeps from a random start, on streams
    of its own that are keyed by (seed, first task and temperature, disorder sample).

    It is advanced in pieces of any size, and a snapshot continues it bit for bit. That of a chain that is `ready` holds the
    reference alone.
    """

    def __init__(self, sample: SecondTaskInstance, temperature: float, seed: int):
        self._sample, self._temperature, self._seed = sample, temperature, seed
        point = digest({"reference": sample.first.model.parameters(), "temperature": temperature})
        start, dynamics = (generator(seed, purpose, point, sample.disorder) for purpose in (Purpose.START, Purpose.DYNAMICS))
        self._generators = [dynamics]
        self._kernel = sample.first.kernel()
        self._kernel.load(1 - 2 * start.integers(0, 2, (1, sample.n_spins), dtype=np.int8))
        self.sweeps_done = 0

    @property
    def ready(self) -> bool:
        """Whether all sweeps are made."""
        return self.sweeps_done >= self._sample.model.reference_sweeps

    def advance(self, n_sweeps: int) -> None:
        """Up to n_sweeps sweeps of the first task."""
        n_sweeps = min(n_sweeps, self._sample.model.reference_sweeps - self.sweeps_done)
        self._kernel.sweep(n_sweeps, self._temperature, self._generators)
        self.sweeps_done += n_sweeps

    @property
    def instance(self) -> SecondTaskInstance:
        """The sample with the present state as its reference."""
        return self._sample.with_reference(self._kernel.spins[0], self._temperature, self._seed)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        held = {"spins": self._kernel.spins, "sweeps_done": np.array(self.sweeps_done)}
        return held if self.ready else held | {"streams": positions(self._generators)}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        self._kernel.load(np.asarray(snapshot["spins"]))
        self.sweeps_done = int(snapshot["sweeps_done"])
        if not self.ready:
            go_on(self._generators, snapshot["streams"])
