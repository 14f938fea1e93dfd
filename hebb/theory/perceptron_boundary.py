"""Where the states of a perceptron change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PerceptronBoundary"]


@dataclass(frozen=True)
class PerceptronBoundary:
    """A load at which states of a perceptron appear, disappear, cross or become unstable.

    kind: "spinodal" (a branch ends), "transition" (free entropies cross), "at" (the replicon ratio is 1). alpha: the load.
    solution: the state there; other: the competing state ("transition" between two saddles, else None). residual: what should
    vanish there, as measured (d alpha along the branch, difference of free entropies, replicon ratio - 1); converged: whether
    it and the residuals of the states are of rounding.
    """

    kind: str
    alpha: float
    solution: Any
    residual: float
    converged: bool
    other: Any = None

    def __float__(self) -> float:
        return self.alpha
