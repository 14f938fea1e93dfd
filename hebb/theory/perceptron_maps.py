"""Maps of a second task: errors on both tasks over its load, the correlation of the teachers, the weight of the divergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import NoSolution, ParameterError
from ..params import float_array, shown
from .array_record import ArrayRecord
from .perceptron_branches import Family, load_axis

__all__ = ["SecondTaskMap"]

_QUANTITIES = ("q0", "r1", "r2", "qd", "overlap1", "overlap2", "error_task1", "error_task2", "free_entropy", "replicon_ratio",
               "residual")


@dataclass(frozen=True)
class SecondTaskMap(ArrayRecord):
    """States of a second task on a grid of weights of the divergence, correlations and loads, for one first task.

    kl (nk,), teacher_correlation (nr,), alpha (na,): the axes. q0 ... residual (nk, nr, 2, na): as in `SecondTask`; on the
    third axis the branches `names` = ("poor", "good"), NaN where one does not exist; where no branches coexist at any load the
    only one is the first. spinodals (nk, nr, 2): loads between which they coexist, NaN where they nowhere do. equilibrium
    (nk, nr, na): index of the branch of largest free entropy; `at_equilibrium(name)` picks the values there.
    beta, first_beta, first_alpha, first_kl, first_branch: of the second and of the first task.
    """

    beta: float
    first_beta: float
    first_alpha: float
    first_kl: float
    first_branch: str
    kl: np.ndarray
    teacher_correlation: np.ndarray
    alpha: np.ndarray
    q0: np.ndarray
    r1: np.ndarray
    r2: np.ndarray
    qd: np.ndarray
    overlap1: np.ndarray
    overlap2: np.ndarray
    error_task1: np.ndarray
    error_task2: np.ndarray
    free_entropy: np.ndarray
    replicon_ratio: np.ndarray
    residual: np.ndarray
    spinodals: np.ndarray
    names: tuple[str, ...] = ("poor", "good")

    @classmethod
    def compute(cls, family: Callable[[float, float], Family], beta: float, first, alpha, correlation, kl) -> SecondTaskMap:
        """The map on the axes given; family(correlation, kl): all saddles of one curve. Cost: 0.5 s a curve, 50 ms a state."""
        alpha = load_axis(alpha)
        correlations, weights = _values("teacher_correlation", correlation, -1, 1), _values("kl", kl, 0, math.inf)
        shape = (weights.size, correlations.size)
        values = np.full((len(_QUANTITIES), *shape, 2, alpha.size), np.nan)
        ends = np.full((*shape, 2), np.nan)
        for i, j in np.ndindex(shape):
            here = family(float(correlations[j]), float(weights[i]))
            ends[i, j] = here.ends()
            branches = ("unique",) if here.branches.window is None else cls.names
            for row, name in enumerate(branches):
                for column, load in enumerate(alpha.tolist()):
                    try:
                        state = here.at(load, name)
                    except NoSolution:
                        continue
                    values[:, i, j, row, column] = [getattr(state, quantity) for quantity in _QUANTITIES]
        return cls(beta, first.beta, first.alpha, first.kl, first.branch, weights, correlations, alpha,
                   **dict(zip(_QUANTITIES, values, strict=True)), spinodals=ends)

    @property
    def equilibrium(self) -> np.ndarray:
        return np.argmax(np.nan_to_num(self.free_entropy, nan=-np.inf), axis=2)

    def at_equilibrium(self, quantity: str) -> np.ndarray:
        """(nk, nr, na) values of a quantity on the branch of largest free entropy."""
        return np.take_along_axis(getattr(self, quantity), self.equilibrium[:, :, None], axis=2)[:, :, 0]

    def plot(self, ax=None, task=2):
        """Draw the error on a task against the load on matplotlib axes (new ones by default); returns the axes.

        Full lines: equilibrium; dashed: metastable. One colour per correlation, paler for each further kl.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")[1]
        errors, best = getattr(self, f"error_task{task}"), self.equilibrium
        marker = "." if self.alpha.size < 2 else None
        for i, j, row in np.ndindex(errors.shape[:3]):
            style = {"color": f"C{j}", "alpha": 1 / (1 + i)}
            words = [rf"$r_0$ = {self.teacher_correlation[j]:g}"] + [rf"$\gamma$ = {self.kl[i]:g}"] * (self.kl.size > 1)
            stable = np.where(best[i, j] == row, errors[i, j, row], np.nan)
            ax.plot(self.alpha, stable, marker=marker, label=None if row else ", ".join(words), **style)
            ax.plot(self.alpha, errors[i, j, row], "--", linewidth=0.8, **style)
        weight = rf", $\gamma$ = {self.kl[0]:g}" if self.kl.size == 1 else ""
        ax.set(xlabel=r"$\alpha_2$", ylabel=rf"$\epsilon_{task}$",
               title=rf"$\beta$ = {self.beta:g}, $\alpha_1$ = {self.first_alpha:g}{weight}")
        ax.legend(fontsize="small")
        return ax


def _values(name: str, values, low: float, high: float) -> np.ndarray:
    """A number or a 1-d array of them in [low, high]; ParameterError."""
    axis = np.atleast_1d(float_array(values))
    if axis.ndim != 1 or axis.size == 0 or not np.all(np.isfinite(axis)) or axis.min() < low or axis.max() > high:
        interval = f"[{low:g}, {high:g}{']' if high < math.inf else '['}"
        raise ParameterError(f"{name} = {shown(values)} is neither a number in {interval} nor a 1-d array of such numbers")
    return axis
