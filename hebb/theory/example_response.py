"""Unsupervised learning: how strongly spins answer when the examples of the condensed pattern part from each other."""

from __future__ import annotations

import numpy as np

from ..params import DenseLaw

__all__ = ["example_response"]


def example_response(law: DenseLaw, rise, response, gain):
    """x, the answer of the spins to a difference between examples, fed back into itself; arrays of one shape.

    rise = A'(nt) of the field A u, response = E[dt/dh] and gain = E[u^2 dt/dh] with t(h) the (average) spin in the field h.
    In the units r of `Dataset`, example a has the overlap g_a = E[v_a t] with v_a = +-1/r and u = (1/M) sum_a v_a, and

        f(g_1..g_M) = (P-1)/2 kappa (1/M) sum_a g_a^P + ... ,   h = (P/2) kappa (1/M) sum_a g_a^(P-1) v_a + sigma z .

    Where all g_a are nt, the Hessian of f in the M - 1 directions with sum_a dg_a = 0 is A'(nt)/M (1 - x),

        x = A'(nt)/M {E[v_a^2 dt/dh] - E[v_a v_b dt/dh]} = A'(nt)/(M-1) {E[dt/dh]/r^2 - E[u^2 dt/dh]},   a != b ,

    and no other order parameter takes part, for they do not tell the examples apart. The state is a minimum in these
    directions for x < 1; from x = 1 on spins follow single examples. 0 where there are no such directions: other protocols,
    one example, examples without noise. Limit of many examples (P = 2: r = 0): the same with M = (1-r^2)/(rho r^2).
    """
    apart = law.effective_examples - 1
    if law.protocol != "unsupervised" or law.rho == 0 or apart <= 0:
        return np.zeros(np.broadcast_shapes(*(np.shape(item) for item in (rise, response, gain))))
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(rise, 0), 0.0, rise / apart * (response / law.r**2 - gain))
