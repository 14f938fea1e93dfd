"""Classification by retrieval: which archetype is nearest to the state that a cue was taken to by the dynamics."""

from __future__ import annotations

import numpy as np

from ..models.base import Instance

__all__ = ["Recogniser"]


class Recogniser:
    """Observables of R replicas that started from cues (R, N), examples of the first pattern.

    "recognised" (R,): 1 where the pattern with the largest overlap with the present state is the first one, or, for several
    archetypes of one class, any of its class; 0 elsewhere, ties with another class included. "recognised_cue", "m_cue" (R,):
    the same, and the overlap with the first pattern, of the cue itself: what is reached without any dynamics.
    Cost of a measurement: O(R K N), and 4 K N bytes.
    """

    def __init__(self, instance: Instance, cues: np.ndarray):
        labels = None if instance.images is None else instance.images.labels
        labels = np.arange(instance.n_patterns) if labels is None else labels
        self._patterns = instance.patterns.astype(np.float32)  # sums of +-1 are exact
        self._own = labels == labels[0]
        cues = cues.astype(np.float32)
        m_cue = (cues @ self._patterns[0]).astype(float) / instance.n_spins
        self._cue = {"recognised_cue": self._recognised(cues), "m_cue": m_cue}

    def _recognised(self, spins: np.ndarray) -> np.ndarray:
        overlaps = spins @ self._patterns.T
        others = overlaps[:, ~self._own].max(axis=1, initial=-np.inf)
        return (overlaps[:, self._own].max(axis=1) > others).astype(float)

    def measure(self, spins: np.ndarray) -> dict[str, np.ndarray]:
        """Of configurations or magnetisations (R, N) float32."""
        return {"recognised": self._recognised(spins), **self._cue}
