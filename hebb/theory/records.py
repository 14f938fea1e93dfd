"""Records of `hebb.theory.base` made from arrays of states."""

from __future__ import annotations

import dataclasses

from .base import Boundary, Solution
from .parisi import Saddles
from .replica_symmetric import States

__all__ = ["as_one_step", "boundary", "broken_solution", "solution"]

TOLERANCE = 1e-11           # of the saddle-point equations, judged with the finer quadrature
SHIFT_TOLERANCE = 1e-8      # of the saddle itself under the finer quadrature
LINE_TOLERANCE = 1e-10      # of what vanishes on a boundary


def solution(branch, states: States, *, marginal: bool = False) -> Solution:
    """The first of `states` as a record.

    marginal: a state on a fold or critical line, where the saddle is flat: not stable, and its position is judged by
    the line rather than by a Newton step.
    """
    values = {name: float(getattr(states, name)[0]) for name in States._fields}
    extremum, shift = bool(values.pop("extremum")), values.pop("shift")
    if branch == "paramagnet":
        values["q"] = 0.0                                   # 1 - T (1/T) may round
    stable = extremum and values["replicon"] > 0 and values["example_response"] < 1 and not marginal
    converged = values["residual"] < TOLERANCE and (marginal or shift < SHIFT_TOLERANCE)
    return Solution(branch=branch, ansatz="RS", stable=stable, converged=converged, **values)


def boundary(kind, state: Solution, left, *, gamma=None, other=None) -> Boundary:
    """A boundary through `state`; left is what should be zero there. gamma: the load asked for, if it was given."""
    left = abs(float(left))
    # the other state may be marginal (the onset of the glass), which its residual does not mind
    converged = state.converged and left < LINE_TOLERANCE and (other is None or other.residual < TOLERANCE)
    gamma = state.gamma if gamma is None else gamma
    return Boundary(kind, gamma, state.temperature, state, left, converged, other)


def as_one_step(state: Solution, *, found: bool = True) -> Solution:
    """A replica-symmetric state as the 1RSB state it is where two levels merge. found: whether they do merge here."""
    return dataclasses.replace(state, ansatz="1RSB", q0=state.q, q1=state.q, complexity=0.0,
                               converged=state.converged and found)


def broken_solution(branch, saddles: Saddles, *, marginal: bool = False) -> Solution:
    """The first of some 1RSB saddles as a record; marginal as in `solution`."""
    point = saddles.point
    gamma, T, x = float(point.gamma[0]), float(point.temperature[0]), float(point.x[0, 0])
    replicon, residual = float(saddles.replicon[0]), float(max(saddles.residual[0], saddles.gradient[0]))
    gap, example_response = float(saddles.q[0, 1] - saddles.q[0, 0]), float(saddles.example_response[0])
    # where the levels are close, they and x are known to rounding over powers of their distance, which f does not mind:
    # it depends on the breaking in the third power of that distance
    allowed = SHIFT_TOLERANCE + 1e-11 / gap**2
    return Solution(branch, "1RSB", gamma, T, m=float(saddles.m[0]), n=float(saddles.n[0]), q=float(saddles.q[0, 1]),
                    C=float(point.C[0]), free_energy=float(saddles.free_energy[0]), entropy=float(saddles.entropy[0]),
                    energy=float(saddles.energy[0]), replicon=replicon,
                    stable=replicon > 0 and example_response < 1 and not marginal,
                    converged=bool(residual < TOLERANCE * max(1, x) and (marginal or saddles.shift[0] < allowed)),
                    residual=residual, q0=float(saddles.q[0, 0]), q1=float(saddles.q[0, 1]), theta=x * T,
                    breaking_slope=x, complexity=float(saddles.complexity[0]), example_response=example_response)
