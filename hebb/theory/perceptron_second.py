"""Equations of the second task of a field-space perceptron: Franz-Parisi potential (arXiv:2212.02846).

The magnetisations m' = tanh theta' of the first task are drawn from its Gibbs measure and kept. The inputs of the second task
are new, so that m' enters through the divergence KL(m || m') only, as a term theta' m on each site:

    b = sqrt(Q) x + R B + c theta' ,    weight exp[A m^2 + b m + c S(m)] ,    A = Qd - Q/2 ,  c = beta kl

with x normal, B = +-1 the product of the two teachers' spins and theta' of the one-dimensional density `reference_density`.
Every average is one over the law of b: a mixture of Gaussians. Replica symmetry and the energetic part are those of one task.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .perceptron_energy import Conjugates, composite, energy
from .perceptron_first import FirstEquations
from .perceptron_saddle import Point
from .perceptron_site import Law, Site, field_edges, gaussian_law, magnetisation_nodes, site, spins

__all__ = ["Reference", "SecondEquations", "reference_density"]

_REACH = 9.0               # of the Gaussian part of the field, in standard deviations
_NODES = 14
_NARROW = 0.25             # sqrt(Q)/c below which the sum over x and theta' is taken as it is


class Reference(NamedTuple):
    """Law of theta' on nodes theta' > 0: weights of +theta' and -theta' where the first teacher's spin is +1."""

    theta: np.ndarray
    up: np.ndarray
    down: np.ndarray


def reference_density(first: FirstEquations, c: Conjugates, widest: float, nodes: float = 1.0) -> Reference:
    """The law of theta' = atanh m' under the Gibbs measure of the first task, at its saddle c; widest: panel in theta'."""
    A, entropy = c.qd - c.q0 / 2, first.beta * first.kl
    law = gaussian_law(c, entropy, nodes)
    log_z = spins(law.h, A, entropy, nodes).log_z
    theta, weight, m, miss = magnetisation_nodes(A, entropy, nodes, widest)
    right = np.exp(weight - law.h[:, None] * miss + (law.h + A - log_z)[:, None])
    left = right * np.exp(-2 * law.h[:, None] * m)
    return Reference(theta, law.up @ right + law.down @ left, law.up @ left + law.down @ right)


@dataclass(frozen=True)
class SecondEquations:
    """Saddle-point equations at inverse temperature beta; kl: weight of the divergence from the first task.

    first, conjugates: equations and saddle of the first task; teacher_correlation: mean of the product of the two teachers.
    """

    beta: float
    kl: float
    teacher_correlation: float
    first: FirstEquations
    conjugates: Conjugates
    _references: dict = field(default_factory=dict, repr=False, compare=False)

    def point(self, c: Conjugates, nodes: float = 1.0) -> Point:
        """Order parameters with the second teacher in the fields c and the energetic part there. Cost: 2 ms."""
        law, _ = self._laws(c, nodes)
        found = site(law, self._spins(law.h, c, nodes))
        return Point(found, energy(found.order, self.beta, nodes))

    def first_site(self, c: Conjugates, nodes: float = 1.0) -> Site:
        """The same averages with the first teacher: order.r is r1, overlap is p1."""
        _, law = self._laws(c, nodes)
        return site(law, self._spins(law.h, c, nodes))

    def constant(self, nodes: float = 1.0) -> float:
        """The part of the free entropy that is no function of m: (c/2) E ln(1 - m'^2)."""
        if self.kl == 0:
            return 0.0
        reference = self._reference(1.2, nodes)
        log_rest = 2 * (math.log(2) - reference.theta - np.log1p(np.exp(-2 * reference.theta)))
        return self.beta * self.kl / 2 * float((reference.up + reference.down) @ log_rest)

    def _spins(self, h, c, nodes):
        return spins(h, c.qd - c.q0 / 2, self.beta * self.kl, nodes)

    def _reference(self, widest: float, nodes: float) -> Reference:
        """Panels halve in steps, so that few references are made."""
        widest = 1.2 * 2.0 ** -max(0, math.ceil(math.log2(1.2 / widest)))
        if (widest, nodes) not in self._references:
            self._references[widest, nodes] = reference_density(self.first, self.conjugates, widest, nodes)
        return self._references[widest, nodes]

    def _laws(self, c: Conjugates, nodes: float) -> tuple[Law, Law]:
        """Law of the field in the gauge of the second and of the first teacher, on common nodes."""
        coupling, deviation = self.beta * self.kl, math.sqrt(c.q0)
        if coupling == 0:
            second = gaussian_law(c, 0.0, nodes)
            agree, differ = (1 + self.teacher_correlation) / 2, (1 - self.teacher_correlation) / 2
            return second, Law(second.h, agree * second.up + differ * second.down, differ * second.up + agree * second.down)
        narrow = deviation < _NARROW * coupling and abs(c.qd - c.q0 / 2) < coupling / 4
        reference = self._reference(1.2 if narrow else 4 * deviation / coupling, nodes)
        h, agree_up, agree_down, differ_up, differ_down = (_products if narrow else _mixture)(c, coupling, reference, nodes)
        agree, differ = (1 + self.teacher_correlation) / 2, (1 - self.teacher_correlation) / 2
        return (Law(h, agree * agree_up + differ * differ_down, agree * agree_down + differ * differ_up),
                Law(h, agree * agree_up + differ * differ_up, agree * agree_down + differ * differ_down))


def _mixture(c: Conjugates, coupling: float, reference: Reference, nodes: float):
    """Nodes h and weights of +h, -h for teachers that agree (B = 1) and differ, in the gauge of the first teacher."""
    deviation = math.sqrt(c.q0)
    far = coupling * reference.theta[-1] + abs(c.r) + _REACH * deviation
    h, weight = composite(field_edges(0.0, far, deviation, c.qd - c.q0 / 2, coupling), max(4, round(_NODES * nodes)))
    weight /= deviation * math.sqrt(2 * math.pi)
    both = np.stack([reference.up, reference.down], axis=1)
    toward, away = coupling * reference.theta, -coupling * reference.theta
    # kernels of the field centred at +-c theta' + R and +-c theta' - R, each with the two weights of theta'
    near_up, near_down = _kernel(h, toward + c.r, deviation) @ both, _kernel(h, away + c.r, deviation) @ both
    far_up, far_down = _kernel(h, toward - c.r, deviation) @ both, _kernel(h, away - c.r, deviation) @ both
    return (h, weight * (near_up[:, 0] + near_down[:, 1]), weight * (far_up[:, 1] + far_down[:, 0]),
            weight * (far_up[:, 0] + far_down[:, 1]), weight * (near_up[:, 1] + near_down[:, 0]))


def _kernel(h, centre, deviation):
    scaled = (h[:, None] - centre) / deviation
    return np.exp(-0.5 * scaled * scaled)


def _products(c: Conjugates, coupling: float, reference: Reference, nodes: float):
    """The same for a narrow Gaussian part: every pair of theta' and a Gauss-Hermite node, spread over the nodes h."""
    x, weight = np.polynomial.hermite_e.hermegauss(max(6, round(_NODES * nodes)))
    weight = weight / math.sqrt(2 * math.pi)
    up, down = (np.outer(item, weight).ravel() for item in (reference.up, reference.down))
    fields, agree, differ = [], [], []
    for sign, straight, turned in ((1, agree, differ), (-1, differ, agree)):
        # b of (theta', x, B = sign), theta' > 0, is also -b of (-theta', -x, B = -sign)
        b = (coupling * reference.theta[:, None] + math.sqrt(c.q0) * x + sign * c.r).ravel()
        fields.append(np.abs(b))
        straight.append((np.where(b >= 0, up, 0.0), np.where(b >= 0, 0.0, up)))
        turned.append((np.where(b >= 0, 0.0, down), np.where(b >= 0, down, 0.0)))
    return _spread(np.concatenate(fields), np.concatenate([*np.concatenate(agree, axis=1), *np.concatenate(differ, axis=1)]
                                                          ).reshape(4, -1), c.qd - c.q0 / 2, coupling, nodes)


def _spread(points, weights, A: float, coupling: float, nodes: float):
    """Nodes h and weights (4 rows) with sum_h w F(h) = sum_points w F(points) for polynomials F on each panel: a point counts
    for the nodes of its panel with their Lagrange polynomials there."""
    edges = field_edges(0.0, float(points.max()) * (1 + 1e-12), math.inf, A, coupling)
    edges = np.unique(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]))
    count = max(6, round(_NODES * nodes))
    h, _ = composite(edges, count)
    panel = np.searchsorted(edges, points, side="right") - 1
    local = (points - edges[panel]) / (edges[panel + 1] - edges[panel])
    near, _ = composite(np.array([0.0, 1.0]), count)
    gaps = near[:, None] - near + np.eye(count)
    away = local[:, None] - near
    away[away == 0] = 1e-300
    basis = np.prod(local[:, None] - near, axis=1, keepdims=True) / (away * np.prod(gaps, axis=1))
    place = (panel[:, None] * count + np.arange(count)).ravel()
    return (h, *(np.bincount(place, (row[:, None] * basis).ravel(), h.size) for row in weights))
