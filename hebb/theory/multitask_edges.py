"""Edges of the stability of multitasking states, in temperature and in dilution; default normalisation (scale = 1)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from ..errors import NoSolution
from ..progress import counted
from .multitask_branches import Branches, best
from .multitask_states import find_states, groups_of, multiplicities, symmetry_of
from .solver import bracketed_root

__all__ = ["parallel_dilution", "pure_edge", "temperature_edge"]


def pure_edge(dilution: float) -> float:
    """Lower edge of the pure state of K >= 2 stored patterns at d in ]0, 2/3[, where m = p t loses its stability.

    d = 1 - (1 - t/atanh t)/t^2 and T = p t/atanh t.
    """
    p = 1 - dilution

    def missing(x, rows):                               # x = atanh t, since t is 1 to rounding at small d
        t = np.tanh(x)
        return (1 - t / x) / t**2 - p

    x = bracketed_root(missing, np.array([1e-3]), np.array([2 + 2 / dilution]))[0]
    return p * float(np.tanh(x) / x)


def temperature_edge(branches: Branches, branch: str, which: str) -> tuple[float, np.ndarray]:
    """(T, g) of the lower or upper edge of the highest interval of temperatures in which a branch is stable.

    T = 0 if the interval reaches down to the lowest temperatures searched. Raises NoSolution where there is none.
    """
    grid, begin = branches.grid(), branches.starts(branch)
    found = branches.find(grid, branch, begin)
    index = best(found)
    stable = (index >= 0) & (np.take_along_axis(found.hessian, index[:, None], axis=1)[:, 0] > 0)
    if not stable.any():
        raise NoSolution(f"stable at no temperature that was tried, from {grid[0] * branches.law.scale:.2g} on")
    top = int(np.flatnonzero(stable)[-1])
    bottom = int(np.flatnonzero(~stable[:top])[-1]) + 1 if not stable[:top].all() else 0
    k, way = (top, 1) if which == "upper" else (bottom, -1)
    inside, state = grid[k], found.g[k, index[k]]
    while True:
        k += way
        if k < 0:
            return 0.0, state
        outside = grid[k] if k < grid.size else branches.law.density
        here = branches.find(outside, branch, state[None])
        if best(here) < 0 or here.hessian[0] <= 0:
            break
        inside, state = outside, here.g[0]
    merging = None
    if best(here) < 0:                      # it does not go on as a saddle
        # close in, so that what it merges with is not lost in what that merges with
        for _ in range(12):
            middle = (inside + outside) / 2
            here = branches.find(middle, branch, state[None])
            if best(here) >= 0 and here.hessian[0] > 0:
                inside, state = middle, here.g[0]
            else:
                outside = middle
        merging = _merging(branches, branch, state, inside, outside)
    ending = _ending(branches, branch, state)
    edge = _root(merging or ending, outside, inside)
    if merging:                             # unless it ends beyond, in a fold, as states that a cubic term creates do
        here = branches.find(edge, branch, state[None])
        if best(here) >= 0 and here.hessian[0] > 1e-6:
            edge = _root(ending, outside, edge)
    return edge, find_states(branches.columns, edge, state, groups_of(multiplicities(branch, state.size), state.size)).g


def _root(softest, outside: float, inside: float) -> float:
    """The root, or inside where rounding leaves no change of sign in a narrow bracket; its residual will tell."""
    root = float(bracketed_root(softest, np.array([outside]), np.array([inside]))[0])
    return inside if np.isnan(root) else root


def _merging(branches: Branches, branch: str, state, inside: float, outside: float):
    """Where a branch merges with a more symmetric one: minus the smallest curvature of that one, in the directions that
    make the difference, as a function of T. None if it does not merge."""
    K = state.size
    groups = groups_of(multiplicities(branch, K), K)
    parent = find_states(branches.columns, outside, state, groups).g
    symmetry = symmetry_of(parent)

    def softest(temperature, rows=None):
        g = find_states(branches.columns, temperature, np.broadcast_to(parent, (*np.shape(temperature), K)), symmetry).g
        bent = groups @ (np.eye(K) - branches.columns.jacobian(g, temperature)) @ groups + (np.eye(K) - groups)
        curvature = np.linalg.eigvalsh(bent)[..., 0]
        return np.where(np.abs(curvature) < 1e-13, 0.0, -curvature)

    signs = softest(np.array([inside, outside]))
    return softest if signs[0] > 0 and signs[1] <= 0 else None     # at T = p the paramagnet is marginal


def _ending(branches: Branches, branch: str, state):
    """The smallest curvature of a branch, -1 where it no longer exists, as a function of T."""
    def softest(temperature, rows):
        found = branches.find(temperature, branch, state[None])
        return np.where(np.isfinite(found.free_energy), found.hessian, -1.0)[:, 0]
    return softest


def parallel_dilution(law_at, lobe: str) -> tuple[float, float]:
    """(d, T) at the end in d of the dilutions at which the parallel state is stable at some temperature.

    law_at(d): the law. lobe: "main", which reaches to d = 1, or "odd", which begins at d = 0. Raises NoSolution.
    """
    def flattest(dilution):
        """(largest over T of the smallest curvature of the parallel state, that T)."""
        branches = Branches(law_at(float(dilution)))
        begin = branches.starts("parallel")

        def curvature(temperature):
            return branches.find(np.atleast_1d(temperature), "parallel", begin).hessian[:, 0]

        grid = branches.grid()
        k = int(np.argmax(curvature(grid)))
        peak = minimize_scalar(lambda t: -curvature(t)[0], bounds=(grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]),
                               method="bounded", options={"xatol": 1e-8})
        return -peak.fun, peak.x

    scan = np.linspace(0.02, 0.98, 25)
    scan = scan[::-1] if lobe == "main" else scan
    values = np.empty(0)
    for d in counted(scan, "dilution"):                 # from the end inside the lobe
        values = np.append(values, flattest(d)[0])
        if values[-1] <= 0:
            break
    if values[0] <= 0 or values[-1] > 0:
        raise NoSolution(f"has no {lobe} lobe of stability")
    low, high = scan[values.size - 2:values.size]
    dilution = bracketed_root(lambda d, rows: np.array([flattest(x)[0] for x in d]), np.array([low]), np.array([high]),
                              tolerance=1e-13)[0]
    return float(dilution), float(flattest(dilution)[1])
