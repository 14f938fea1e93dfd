"""States of stored multitasking patterns at zero temperature, as exact polynomials in the dilution.

At T = 0 the energy -|m|^2/2 is concave on the zonotope {E[xi phi(xi)], |phi| <= 1}, so its minima are vertices

    m = E[xi sgn(xi.v)] ,    m in the chamber of v ,

a chamber being one of the cones into which the planes c.x = 0 of all columns c in {0, +-1}^K cut the space of amplitudes: a
state is stable iff every column c has a field c.m of the sign it was given, c.v; ties are excluded. Within a chamber m is a
polynomial in d with rational coefficients, so existence and energies are decided exactly, and states exchange stability or
the lead at algebraic numbers.

Up to signs and permutations of the patterns there are 1, 1, 2, 14, 516 chambers for K = 1..5 (the comparative probability
orderings that probabilities induce, OEIS A009997), all of which are enumerated here: for K <= 5 the states are complete.
For K >= 6 the hierarchical vertex, m_k = (1-d) d^(k-1), is exact as well; others are what the iteration m <- E[xi sgn(xi.m)]
finds from a fixed set of starts up to K = 7, without a claim to completeness; beyond, there is the hierarchical one only.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property

import numpy as np

from ..errors import ParameterError
from ..params import check_integer, check_real, float_array, shown
from .polynomials import bernstein, deflated, horner, scaled, sign_changes, times_p

__all__ = ["Crossing", "Vertex", "energy_crossings", "ground_states", "hierarchical", "vertices"]

LARGEST_COMPLETE = 5
LARGEST_ITERATED = 7
LARGEST_COUNTED = 60        # patterns of a hierarchical vertex with counts: numbers of K^2 2^K size


@dataclass(frozen=True)
class Vertex:
    """One chamber and its vertex, amplitudes in descending order.

    weights (K,): an integer point of the chamber, the sum of its primitive extreme rays (over their common divisor), which
    names it. counts (K, K): m_k = sum_j counts[k][j-1] 2^(1-j) (1-d)^j d^(K-j), where j is the number of non-zero entries of
    a column. walls: the columns c whose planes bound the chamber, c.v > 0 inside.
    """

    weights: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    walls: tuple[tuple[int, ...], ...]

    @property
    def n_patterns(self) -> int:
        return len(self.weights)

    @property
    def name(self) -> str:
        """ "hierarchical" (each amplitude above the sum of the smaller ones; "pure" for K = 1), "majority" (the other one of
        K = 3), or "vertex(...)" with the weights, such as "vertex(8,6,4,1)"."""
        if self.n_patterns == 1:
            return "pure"
        if self.weights == tuple(2**k for k in reversed(range(self.n_patterns))):
            return "hierarchical"
        return "majority" if self.n_patterns == 3 else f"vertex({','.join(map(str, self.weights))})"

    @cached_property
    def coefficients(self) -> tuple[tuple[Fraction, ...], ...]:
        """(K, K+1): m_k = sum_i coefficients[k][i] d^i."""
        whole = times_p(scaled(np.array([self.counts], dtype=object), self.n_patterns))[0]
        return tuple(tuple(Fraction(int(entry), 2 ** (self.n_patterns - 1)) for entry in row) for row in whole)

    @cached_property
    def energy_coefficients(self) -> tuple[Fraction, ...]:
        """(2K+1,): the energy -|m|^2/2 in powers of d."""
        total = [Fraction(0)] * (2 * self.n_patterns + 1)
        for row in self.coefficients:
            for (i, a), (j, b) in itertools.product(enumerate(row), repeat=2):
                total[i + j] -= a * b / 2
        return tuple(total)

    def m(self, dilution):
        """Amplitudes (..., K) at d (...), or a list of Fractions for a Fraction; also where the vertex is no stable state."""
        if isinstance(dilution, Fraction):
            unit = 2 ** (self.n_patterns - 1) * dilution.denominator**self.n_patterns
            return [Fraction(entry, unit) for entry in self._whole(dilution)]
        d = _dilutions(dilution)[..., None]
        j = np.arange(1, self.n_patterns + 1)
        weights = 2.0 ** (1 - j) * (1 - d) ** j * d ** (self.n_patterns - j)
        return weights @ np.array(self.counts, float).T

    def energy(self, dilution):
        """-|m|^2/2 per spin at d (...), or a Fraction for a Fraction; raw units (T_c = 1 - d)."""
        m = self.m(dilution)
        if isinstance(dilution, Fraction):
            return -_dot(m, m) / 2
        energy = -(m * m).sum(axis=-1) / 2
        return energy if np.ndim(energy) else float(energy)

    def exists(self, dilution) -> bool:
        """Whether the vertex is a stable state at the number d, decided exactly (a float is the decimal it prints as)."""
        m = self._whole(_exact(dilution))
        if dilution == 0:       # columns with zero entries do not occur, so their ties do not matter
            full = itertools.product((1, -1), repeat=self.n_patterns)
            return all(_dot(c, m) * _dot(c, self.weights) > 0 for c in full)
        return all(_dot(wall, m) > 0 for wall in self.walls)

    def _whole(self, dilution: Fraction) -> list[int]:
        """m times 2^(K-1) and the K-th power of the denominator of d."""
        a, b, size = dilution.numerator, dilution.denominator, self.n_patterns
        weights = [2 ** (size - j) * (b - a) ** j * a ** (size - j) for j in range(1, size + 1)]
        return [_dot(row, weights) for row in self.counts]

    @cached_property
    def existence(self) -> tuple[tuple[float, float], ...]:
        """The open intervals of d in ]0, 1[ on which the vertex is a stable state."""
        ends = {0.0, 1.0}
        for wall in self.walls:
            ends.update(sign_changes([_dot(wall, column) for column in zip(*self.coefficients, strict=True)]))
        ends = sorted(ends)
        inside = [self.exists((Fraction(low) + Fraction(high)) / 2) for low, high in itertools.pairwise(ends)]
        intervals: list[tuple[float, float]] = []
        for (low, high), stable in zip(itertools.pairwise(ends), inside, strict=True):
            if stable and intervals and intervals[-1][1] == low and self.exists(low):
                intervals[-1] = (intervals[-1][0], high)
            elif stable:
                intervals.append((low, high))
        return tuple(intervals)


@dataclass(frozen=True)
class Crossing:
    """Where the lowest state at T = 0 changes.

    dilution: the root, to rounding, of polynomial (integer coefficients of ascending powers of d, without the factors d
    and 1-d). below, above: the lowest vertices at smaller and larger d; several where they are degenerate for all d.
    """

    dilution: float
    polynomial: tuple[int, ...]
    below: tuple[Vertex, ...]
    above: tuple[Vertex, ...]


class _Geometric(Vertex):
    """The hierarchical vertex of so many patterns that its counts are not written down: m_k = (1-d) d^(k-1)."""

    def __init__(self, size: int):
        object.__setattr__(self, "size", size)

    def __eq__(self, other):
        return isinstance(other, _Geometric) and other.size == self.size

    def __hash__(self):
        return hash(self.size)

    def __repr__(self) -> str:
        return f"hierarchical({self.size})"

    @property
    def n_patterns(self) -> int:
        return self.size

    @property
    def name(self) -> str:
        return "hierarchical"

    @property
    def weights(self):
        return tuple(2**k for k in reversed(range(self.size)))

    @property
    def counts(self):
        return _geometric_counts(self.size)

    @property
    def walls(self):
        return _geometric_walls(self.size)

    @property
    def existence(self) -> tuple[tuple[float, float], ...]:
        """]0, d[ with 1 - 2d + d^K = 0: d = 1/2 to rounding for K > 53."""
        return ((0.0, 0.5),)

    def m(self, dilution):
        k = np.arange(self.size)
        if isinstance(dilution, Fraction):
            return [(1 - dilution) * dilution**j for j in range(self.size)]
        d = _dilutions(dilution)[..., None]
        return (1 - d) * d**k

    def energy(self, dilution):
        d, power = dilution if isinstance(dilution, Fraction) else _dilutions(dilution), 2 * self.size
        energy = -(1 - d) * (1 - d**power) / (2 * (1 + d))
        return energy if np.ndim(energy) or isinstance(d, Fraction) else float(energy)

    def exists(self, dilution) -> bool:
        d = _exact(dilution)
        if 2 * d <= 1:
            return True
        # d^K > 2d - 1, by logarithms unless they are close
        gap = self.size * math.log(d) - math.log(2 * d - 1)
        return gap > 0 if abs(gap) > 1e-3 else d**self.size > 2 * d - 1


def hierarchical(n_patterns: int) -> Vertex:
    """The vertex m_k = (1-d) d^(k-1) of any K; it exists iff 1 - 2d + d^K > 0."""
    size = check_integer("n_patterns", n_patterns, 1)
    if size > LARGEST_COUNTED:
        return _Geometric(size)
    return Vertex(tuple(2**k for k in reversed(range(size))), _geometric_counts(size), _geometric_walls(size))


def _geometric_counts(size: int):
    return tuple(tuple(2**j * math.comb(size - 1 - k, j) for j in range(size)) for k in range(size))


def _geometric_walls(size: int):
    return tuple(sorted((0,) * k + (1,) + (-1,) * (size - 1 - k) for k in range(size)))


def vertices(n_patterns: int, dilution) -> list[Vertex]:
    """The stable states at T = 0, lowest energy first, of d in [0, 1[ (a number; exact for a Fraction and for a float, which
    is taken as the decimal number it prints as: 0.6 is 3/5).

    Complete for K <= 5; for larger K see the head of this file. At d = 0, where several chambers share a state, one of them
    stands for it. Raises ParameterError. Cost: 20 ms for K = 5 after half a second on first use.
    """
    size = check_integer("n_patterns", n_patterns, 1)
    if not (isinstance(dilution, Fraction) and 0 <= dilution < 1):
        dilution = check_real("dilution", dilution, 0.0, 1.0, open_high=True)
    exact = _exact(dilution)
    if size <= LARGEST_COMPLETE:
        candidates = _all(size)
    elif size <= LARGEST_ITERATED:
        candidates = _iterated(size, float(dilution))
    else:
        candidates = (hierarchical(size),)
    found = {}
    if size > LARGEST_ITERATED:
        return [vertex for vertex in candidates if vertex.exists(exact)]
    for vertex in candidates:
        if vertex.exists(exact):
            m = tuple(vertex._whole(exact))
            found.setdefault(m, (-_dot(m, m), vertex))
    return [vertex for _, vertex in sorted(found.values(), key=lambda item: item[0])]


def ground_states(n_patterns: int, dilution) -> list[Vertex]:
    """The states of lowest energy at T = 0: one, but for exact degeneracies. Arguments as for `vertices`."""
    stable = vertices(n_patterns, dilution)
    energies = [vertex.energy(_exact(dilution)) for vertex in stable]
    return [vertex for vertex, energy in zip(stable, energies, strict=True) if energy == energies[0]]


@cache
def energy_crossings(n_patterns: int) -> tuple[Crossing, ...]:
    """All dilutions in ]0, 1[ at which the lowest state at T = 0 changes, ascending; K from 1 to 5.

    The lowest of all vertices of the zonotope is a stable state, so the lead follows from energies alone: the upper envelope
    of the polynomials |m|^2, walked from root to root. Raises ParameterError. Cost: a second for K = 5.
    """
    size = check_integer("n_patterns", n_patterns, 1, LARGEST_COMPLETE, remedy="beyond, the states are not complete")
    norms = _norms(size)
    bounds = bernstein(norms.shape[1] - 1)
    # the order of polynomials just above d = 0 is the lexicographic order of their coefficients
    leader, here, crossings = np.array(max(norms.tolist()), dtype=object), Fraction(0), []
    while True:
        differences = norms - leader
        lead = differences @ bounds
        able = [k for k in range(len(norms)) if max(lead[k]) > 0]     # elsewhere no point of ]0, 1[ is above the leader
        roots = {k: root for k in able if (root := next((x for x in sign_changes(differences[k]) if x > here), None))}
        if not roots:
            return tuple(crossings)
        at = min(roots.values())
        beyond = Fraction(at) + Fraction(1, 10**10)
        followers = [k for k, root in roots.items() if root - at < 1e-12]
        best = norms[max(followers, key=lambda k: horner(norms[k], beyond))]
        below, above = (tuple(vertex for vertex, norm in zip(_all(size), norms, strict=True) if all(norm == which))
                        for which in (leader, best))
        crossings.append(Crossing(at, deflated(best - leader), below, above))
        leader, here = best, beyond


# chambers

def _exact(dilution) -> Fraction:
    if isinstance(dilution, Fraction):
        return dilution
    return Fraction(repr(check_real("dilution", dilution, 0.0, 1.0)))


def _dilutions(given) -> np.ndarray:
    """Numbers d, one or an array of them. Raises ParameterError."""
    d = float_array(given)
    if not d.size or not np.all((d >= 0) & (d <= 1)):
        raise ParameterError(f"dilution = {shown(given)} is not one or more numbers in [0, 1]")
    return d


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@cache
def _columns(size: int) -> list[tuple[int, ...]]:
    """Columns but the blank one, modulo sign."""
    return [c for c in itertools.product((0, 1, -1), repeat=size) if next((entry for entry in c if entry), 0) == 1]


class _Cone:
    """A cone by its primitive extreme rays; tight: for each ray, the bits of the planes (in the order met) it lies on."""

    def __init__(self, rays, tight):
        self.rays, self.tight = rays, tight

    @classmethod
    def fundamental(cls, size: int) -> _Cone:
        """x_1 >= ... >= x_K >= 0: one point of every orbit of signs and permutations. Its K planes are the first bits."""
        rays = [(1,) * k + (0,) * (size - k) for k in range(1, size + 1)]
        return cls(rays, [((1 << size) - 1) ^ (1 << k) for k in range(size)])

    def cut(self, plane, bit: int) -> list[_Cone]:
        """The parts on the positive and on the negative side of a plane; itself, if that lies outside."""
        heights = [_dot(plane, ray) for ray in self.rays]
        tight = [bits | bit if height == 0 else bits for bits, height in zip(self.tight, heights, strict=True)]
        if min(heights) >= 0 or max(heights) <= 0:
            return [_Cone(self.rays, tight)]
        new: dict[tuple[int, ...], int] = {}
        for (i, up), (j, down) in itertools.product(enumerate(heights), repeat=2):
            common = self.tight[i] & self.tight[j]
            # an edge joins two rays iff no third one lies on all planes that they share
            if up > 0 > down and all(common & ~bits for k, bits in enumerate(self.tight) if k not in (i, j)):
                ray = [up * b - down * a for a, b in zip(self.rays[i], self.rays[j], strict=True)]
                new[_primitive(ray)] = common | bit
        parts = []
        for side in (1, -1):
            kept = [k for k, height in enumerate(heights) if side * height >= 0]
            parts.append(_Cone([self.rays[k] for k in kept] + list(new), [tight[k] for k in kept] + list(new.values())))
        return parts

    def vertex(self) -> Vertex:
        size = len(self.rays[0])
        weights = _primitive([sum(entries) for entries in zip(*self.rays, strict=True)])
        columns = np.array(_columns(size))
        signed = columns * np.sign(columns @ np.array(weights))[:, None]
        filled = np.count_nonzero(columns, axis=1)
        counts = np.stack([signed[filled == j].sum(axis=0) for j in range(1, size + 1)], axis=1)
        # facets are the faces that lie in no larger one
        faces = {index: sum(1 << k for k, height in enumerate(row) if height == 0)
                 for index, row in enumerate(signed @ np.array(self.rays).T)}
        largest = [index for index, face in faces.items()
                   if face and not any(face != other and face & ~other == 0 for other in set(faces.values()))]
        walls = sorted(tuple(map(int, signed[index])) for index in (largest if size > 1 else faces))
        return Vertex(weights, tuple(tuple(map(int, row)) for row in counts), tuple(walls))


def _primitive(vector) -> tuple[int, ...]:
    divisor = math.gcd(*vector)
    return tuple(entry // divisor for entry in vector)


@cache
def _all(size: int) -> tuple[Vertex, ...]:
    """One vertex for every chamber modulo signs and permutations: the fundamental cone, cut plane by plane."""
    cones = [_Cone.fundamental(size)]
    for index, column in enumerate(_columns(size)):
        cones = [part for cone in cones for part in cone.cut(column, 1 << (size + index))]
    return tuple(sorted((cone.vertex() for cone in cones), key=lambda vertex: vertex.weights))


@cache
def _chamber_of(signs: tuple[int, ...], size: int) -> Vertex:
    """The vertex of one chamber in the fundamental cone, by the signs of all columns."""
    cone = _Cone.fundamental(size)
    for index, (sign, column) in enumerate(zip(signs, _columns(size), strict=True)):
        cone = cone.cut([sign * entry for entry in column], 1 << (size + index))[0]
    return cone.vertex()


def _iterated(size: int, dilution: float) -> tuple[Vertex, ...]:
    """Vertices that m <- E[xi sgn(xi.m)] ends on from fixed starts, the hierarchical one first."""
    columns = np.array(_columns(size), float)
    filled = np.count_nonzero(columns, axis=1)
    weight = 2.0 ** (1 - filled) * (1 - dilution) ** filled * dilution ** (size - filled)
    starts = np.concatenate([np.geomspace(1, ratio, size)[None] for ratio in np.geomspace(1e-3, 0.9, 30)]
                            + [np.random.default_rng(size).random((100, size))])
    m = -np.sort(-starts, axis=1)
    for _ in range(200):
        last, m = m, -np.sort(-np.abs((np.sign(m @ columns.T) * weight) @ columns), axis=1)
        if np.allclose(m, last, rtol=0, atol=1e-14):
            break
    heights = m @ columns.T
    settled = np.abs(heights).min(axis=1) > 1e-12
    signs = np.unique(np.sign(heights[settled]).astype(int), axis=0)
    return (hierarchical(size), *(_chamber_of(tuple(row), size) for row in signs.tolist()))


@cache
def _norms(size: int) -> np.ndarray:
    """4^(K-1) |m|^2/(1-d)^2 of all vertices, integers (n, 2K-1)."""
    m = scaled(np.array([vertex.counts for vertex in _all(size)], dtype=object), size)
    norms = np.zeros((len(m), 2 * size - 1), dtype=object)
    for i, j in itertools.product(range(size), repeat=2):
        norms[:, i + j] += (m[:, :, i] * m[:, :, j]).sum(axis=1)
    return norms
