"""Lines of a multitasking phase diagram at which the lowest state changes.

The lowest states of neighbouring grid points are followed towards each other. A state that is met in between and is lower
than both splits the edge in two; what is left is bisected and then solved:

    first_order   both states are stable and their free energies cross      f_A - f_B = 0 (or, if the jump is not resolved:
                                                                            the eigenvalue below)
    continuous    the more symmetric state loses its stability              smallest eigenvalue of its Hessian = 0
    crossover     one state whose name changes, no transition               largest amplitudes against the sums of smaller ones
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..params import MultitaskLaw
from .columns import LARGEST_ENUMERATION, Columns, columns_of
from .multitask_branches import check_affordable
from .multitask_curves import chained
from .multitask_states import CONVERGED, Found, find_states, groups_of, multiplicities, names, starts, tidy
from .solver import bracketed_root
from .vertices import LARGEST_COMPLETE, energy_crossings

__all__ = ["ROUNDS", "Family", "Line", "transitions"]

ROUNDS = 16                # of bisection before a transition is classified and solved
_THOROUGH = 3               # of these rounds look for states anew
_SAME = 1e-6                # amplitudes of one state, in units of p
_KICKS = (1e-2, 1e-4, 1e-6)  # off a saddle, in units of p: amplitudes may differ by powers of d
_NEAR_CRITICAL = 1e-3       # distance from T_c, in units of it, up to which lines are followed
_LOWER = 1e-11              # difference of free energies that is no rounding, in units of p
_COLDEST = 1e-10            # stands for T = 0
_SOFT = 1e-7                # eigenvalue of the Hessian below which the symmetry of a state is not judged


class Line(NamedTuple):
    """points (n, 2): d, T; pieces that do not join are separated by a row of NaN. residual: largest size of what vanishes."""

    points: np.ndarray
    residual: float


class Family:
    """States of one law at all dilutions. Temperatures in units of its H; free energies in the default normalisation."""

    def __init__(self, law: MultitaskLaw):
        check_affordable(law.n_patterns)
        self.law = law
        self.n_patterns = law.n_patterns
        self.advance = lambda: None             # called after every step of a diagram, whose progress it may show
        self.summed = law.protocol == "storage" and law.n_patterns <= LARGEST_ENUMERATION

    def scale(self, dilution):
        """H over its default normalisation, as in the law."""
        examples = 1.0 if self.law.normalize_examples else self.law.second_moment
        return examples / (1 - dilution) if self.law.normalize_dilution else np.full(np.shape(dilution), examples)

    def critical(self, dilution):
        """T_c."""
        return self.scale(dilution) * (1 - dilution)

    def descend(self, dilution, temperature, begin, groups=None) -> Found:
        """Stationary points reached from begin (n, K), each at its own d (n,) and T (n,) > 0; g tidied.

        Where the Hessian is soft, amplitudes that should be equal or zero are known to rounding over its eigenvalue only;
        if the state that has them exactly so is stable, it is that one.
        """
        found = self._descend(dilution, temperature, begin, groups)
        rows = np.flatnonzero((np.abs(found.hessian) < 1e-3) & found.g.any(axis=1))
        if groups is None and rows.size:
            simple = _simplified(found.g[rows], 1e-5 * (1 - dilution[rows]))
            rows, simple = rows[(changed := np.any(simple != found.g[rows], axis=1))], simple[changed]
            new = self._descend(dilution[rows], temperature[rows], simple)
            good = self.stable(new, dilution[rows]) & (np.abs(new.g - found.g[rows]).max(axis=1) < 1e-4 * (1 - dilution[rows]))
            for whole, part in zip(found, new, strict=True):
                whole[rows[good]] = part[good]
        return found

    def _descend(self, dilution, temperature, begin, groups=None) -> Found:
        reduced = temperature / self.scale(dilution)
        if self.summed:
            found = find_states(Columns(self.n_patterns, dilution), reduced, begin, groups)
            return found._replace(g=tidy(found.g))
        g, numbers = np.empty((len(begin), self.n_patterns)), np.empty((3, len(begin)))
        for d in np.unique(dilution):
            rows = np.flatnonzero(dilution == d)
            part = find_states(self._columns(d), reduced[rows], begin[rows], groups)
            g[rows], numbers[:, rows] = tidy(part.g), part[1:]
        return Found(g, *numbers)

    def follow(self, dilution, temperature, begin) -> Found:
        """Like `descend`, but a state that turns out to be unstable is left, along no symmetry, for the lowest around it."""
        off = np.cos(np.arange(1, self.n_patterns + 1) ** 2) * (1 - dilution)[:, None]
        found = self.descend(dilution, temperature, np.where(begin.any(axis=1)[:, None], begin, 1e-2 * off))
        rows = np.flatnonzero(found.hessian < -_SOFT)
        left = found.g[rows]
        for size in _KICKS if rows.size else ():
            new = self.descend(dilution[rows], temperature[rows], left + size * off[rows])
            lower = (found.hessian[rows] < 0) | (new.free_energy < found.free_energy[rows])
            better = self.stable(new, dilution[rows]) & lower
            for whole, part in zip(found, new, strict=True):
                whole[rows[better]] = part[better]
        return found

    def lowest(self, dilution, temperature, known, thorough: bool) -> Found:
        """The stable state of lowest f among the known ones and, if thorough, those of the starts of every name."""
        n = len(dilution)
        if thorough:
            begin = starts(self.n_patterns)
            each = [np.repeat(axis, len(begin)) for axis in (dilution, temperature)]
            fresh = self.descend(*each, np.tile(begin, (n, 1)) * (1 - each[0])[:, None])
            fresh = [a.reshape(n, len(begin), *a.shape[1:]) for a in fresh]
            known = [*known, *(Found(*(a[:, k] for a in fresh)) for k in range(len(begin)))]
        best = np.argmin([np.where(self.stable(found, dilution), found.free_energy, np.inf) for found in known], axis=0)
        return Found(*(np.stack(arrays)[best, np.arange(n)] for arrays in zip(*known, strict=True)))

    def archetypes(self, dilution, temperature, g) -> np.ndarray:
        """Overlaps (n, K) with the patterns themselves in states g (n, K)."""
        if self.law.protocol == "storage":
            return g
        reduced, m = temperature / self.scale(dilution), np.empty_like(g)
        for d in np.unique(dilution):
            rows = np.flatnonzero(dilution == d)
            m[rows] = self._columns(d).archetype(g[rows], reduced[rows])
        return m

    def _columns(self, dilution):
        return columns_of(replace(self.law, dilution=float(dilution)))

    def stable(self, found: Found, dilution) -> np.ndarray:
        """Which states are local minima, to rounding."""
        return (found.hessian > 0) & (found.residual <= 10 * CONVERGED * (1 - dilution))


def _simplified(g, size) -> np.ndarray:
    """Descending amplitudes g (n, K) with those below size (n,) made zero and neighbours closer than that made equal."""
    g = np.where(g < size[:, None], 0.0, g)
    for k in range(1, g.shape[1]):
        g[:, k] = np.where(g[:, k - 1] - g[:, k] < size, g[:, k - 1], g[:, k])
    return g


# ---- where the lowest state changes ----------------------------------------------------------------------------------

class _Edges(NamedTuple):
    """Segments of the (d, T) plane with the lowest states at their ends: ends (2, n, 2), g (2, n, K), name (2, n).

    origin (1, n): the number of the edge of the grid of which they are a part."""

    ends: np.ndarray
    g: np.ndarray
    name: np.ndarray
    origin: np.ndarray

    def at(self, rows) -> _Edges:
        return _Edges(*(array[:, rows] for array in self))


def transitions(family: Family, dilution, temperature, g, name) -> dict[str, Line]:
    """Lines between the lowest states g (nT, nd, K), called name (nT, nd), of a grid; keys such as
    "continuous pure-H2[11]". T = 0, which only stored patterns have, is the exact one for K <= 5."""
    edges = _changes(family, _below_critical(family, _grid_edges(family, dilution, temperature, g, name)))
    edges = edges._replace(origin=np.arange(edges.name.shape[1])[None])
    solved, lost = _solved(family, _narrow(family, edges))
    # a shallow state may get lost on the way to the middle of an edge, so that the wrong half was kept: once more from nearby
    wider = lost.ends + 500 * (lost.ends - lost.ends[::-1])
    wider = np.clip(wider, [0.0, _COLDEST], [1 - 1e-9, np.inf])
    solved += _solved(family, _narrow(family, lost._replace(ends=wider)))[0]
    solved = [item[:3] for item in _corrected(family, edges, solved)]
    switches = []
    if family.law.protocol == "storage" and temperature[0] == 0 and family.n_patterns <= LARGEST_COMPLETE:
        for crossing in energy_crossings(family.n_patterns):
            if dilution[0] <= crossing.dilution <= dilution[-1]:
                switches.append((crossing.dilution, 0.0))
                pair = [str(names(side[0].m(crossing.dilution))) for side in (crossing.below, crossing.above)]
                if pair[0] != pair[1]:
                    solved.append((_title("first_order", *pair), switches[-1], 0.0))
    lines = {"ground_state": Line(np.array(switches), 0.0)} if switches else {}
    for title in sorted({title for title, _, _ in solved}):
        points = np.array([point for other, point, _ in solved if other == title])
        left = max(rest for other, _, rest in solved if other == title)
        lines[title] = Line(chained(points, dilution, temperature, family.summed), left)
    return lines


def _grid_edges(family: Family, dilution, temperature, g, name) -> _Edges:
    """All pairs of neighbours, where the dilution may change only if states are summed over columns."""
    # states at T = 0 are followed from a temperature at which they have not moved yet
    grid = np.stack(np.meshgrid(dilution, np.maximum(temperature, _COLDEST)), axis=-1), g, name

    def pairs(here, there):
        return [np.stack([array[part].reshape(-1, *array.shape[2:]) for part in (here, there)]) for array in grid]

    pieces = [pairs(np.s_[:-1], np.s_[1:])]
    if family.summed:
        rows = slice(int(temperature[0] == 0), None)
        pieces.append(pairs(np.s_[rows, :-1], np.s_[rows, 1:]))
    pieces = [np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True)]
    return _Edges(*pieces, np.zeros((1, pieces[0].shape[1]), int))


def _below_critical(family: Family, edges: _Edges) -> _Edges:
    """The parts of edges below T_c, which is known, up to where amplitudes are not small yet."""
    above = edges.name == "paramagnet"
    edges = edges.at(~above.all(axis=0))
    for side in (0, 1):
        rows = np.flatnonzero(edges.name[side] == "paramagnet")
        gap = [family.critical(edges.ends[k, rows, 0]) - edges.ends[k, rows, 1] for k in (side, 1 - side)]
        left = _NEAR_CRITICAL * family.critical(edges.ends[1 - side, rows, 0])
        share = np.clip((gap[1] - left) / (gap[1] - gap[0]), 0, 1)[:, None]
        edges.ends[side, rows] = (1 - share) * edges.ends[1 - side, rows] + share * edges.ends[side, rows]
        d, T = edges.ends[side, rows].T
        best = family.lowest(d, T, [family.follow(d, T, edges.g[1 - side, rows])], thorough=True)
        edges.g[side, rows], edges.name[side, rows] = best.g, names(best.g)
        edges = edges.at(np.delete(np.arange(edges.name.shape[1]), rows[share[:, 0] == 0]))
    return edges


def _changes(family: Family, edges: _Edges) -> _Edges:
    """Those edges whose ends are different states."""
    same = np.zeros(edges.name.shape[1], bool)
    for here, there in ((0, 1), (1, 0)):
        d, T = edges.ends[there].T
        same |= _near(family.follow(d, T, edges.g[here]).g, edges.g[there], d)
    return edges.at(~same | (edges.name[0] != edges.name[1]))


def _near(one, other, dilution) -> np.ndarray:
    return np.abs(one - other).max(axis=-1) <= _SAME * (1 - dilution)


def _narrow(family: Family, edges: _Edges) -> _Edges:
    """Bisection; edges on which a third state is the lowest are split there. All states are looked for at first."""
    for turn in range(ROUNDS):
        if not edges.name.size:
            break
        family.advance()
        middle = edges.ends.mean(axis=0)
        d, T = middle.T
        one, other = (family.follow(d, T, g) for g in edges.g)
        best = family.lowest(d, T, [one, other], thorough=turn < _THOROUGH)
        lowest, called = best.g, names(best.g)
        soft = np.any([(np.abs(found.hessian) < _SOFT) & (found.free_energy <= best.free_energy)
                       for found in (one, other, best)], axis=0)                # close enough
        like = np.stack([_near(lowest, one.g, d), _near(lowest, other.g, d)])
        nearer = np.abs(lowest - edges.g[0]).max(axis=1) <= np.abs(lowest - edges.g[1]).max(axis=1)
        by_name = np.where(edges.name[0] == edges.name[1], nearer, called == edges.name[0])
        left = np.where(like[0] & like[1], by_name, like[0])                    # the middle belongs to the first end
        third = ~soft & ((called != np.where(left, edges.name[0], edges.name[1])) | ~like.any(axis=0))
        beyond = _Edges(np.stack([middle, edges.ends[1]]), np.stack([lowest, edges.g[1]]),
                        np.stack([called, edges.name[1]]), edges.origin).at(third)
        new = ~soft & np.stack([left & ~third, ~left | third])         # which end moves to the middle
        edges = _Edges(np.where(new[..., None], middle, edges.ends), np.where(new[..., None], lowest, edges.g),
                       np.where(new & third, called, edges.name), edges.origin)
        edges = _Edges(*(np.concatenate(pair, axis=1) for pair in zip(edges, _changes(family, beyond), strict=True)))
    return _changes(family, edges)


def _solved(family: Family, edges: _Edges):
    """(title, (d, T), residual, edge) of the transitions within narrow edges, and the edges on which nothing vanishes."""
    found = [*_solve(family, edges)]
    lost = [edge for *_, rest, edge in found if np.isnan(rest)]
    return [item for item in found if not np.isnan(item[2])], _together(lost) if lost else edges.at(slice(0))


def _together(edges) -> _Edges:
    """Single edges as one record."""
    return _Edges(*(np.stack(arrays, axis=1) for arrays in zip(*edges, strict=True)))


def _corrected(family: Family, whole: _Edges, solved: list) -> list:
    """Solved transitions; but where a third state is lower than two that change places, its transitions with others instead.

    Such a state is the lowest in a window that the first rounds of the bisection of the whole edge have missed."""
    jumps = [item for item in solved if item[0].startswith("first_order")]
    if not jumps:
        return solved
    d, T = np.array([point for _, point, *_ in jumps]).T
    edges = _together([edge for *_, edge in jumps])
    known = [family.follow(d, T, g) for g in edges.g]
    best = family.lowest(d, T, known, thorough=True)
    rows = np.flatnonzero(best.free_energy < np.minimum(*(found.free_energy for found in known)) - _LOWER * (1 - d))
    if not rows.size:
        return solved
    part, at = whole.at(edges.origin[0, rows]), (np.stack([d, T], axis=-1)[rows], best.g[rows], names(best.g[rows]))
    halves = [[np.stack([end[0], here] if k == 0 else [here, end[1]]) for end, here in zip(part, at, strict=False)]
              for k in (0, 1)]
    halves = _Edges(*(np.concatenate(pair, axis=1) for pair in zip(*halves, strict=True)), np.tile(part.origin, 2))
    wrong = [id(jumps[row]) for row in rows]
    kept = [item for item in solved if id(item) not in wrong]
    for item in _solved(family, _narrow(family, _changes(family, halves)))[0]:
        if not any(item[0] == other[0] and np.abs(np.subtract(item[1], other[1])).max() < 1e-8 for other in kept):
            kept.append(item)
    return kept


def _solve(family: Family, edges: _Edges):
    """(title, (d, T), residual, edge) of every narrow edge; residual NaN where nothing vanishes."""
    far = [family.descend(*edges.ends[1 - side].T, edges.g[side]) for side in (0, 1)]
    distinct = [family.stable(far[side], edges.ends[1 - side][:, 0])
                & ~_near(far[side].g, edges.g[1 - side], edges.ends[1 - side][:, 0]) for side in (0, 1)]
    jump = distinct[0] & distinct[1]
    yield from _first_order(family, edges.at(jump))
    edges = edges.at(~jump)
    sizes = [[multiplicities(name, family.n_patterns) for name in called] for called in edges.name]
    first, second = (np.array([_pieces(a, b) is not None for a, b in zip(*pair, strict=True)], bool)
                     for pair in (sizes, sizes[::-1]))
    yield from _crossover(family, edges.at(first & second))
    yield from (("", (), np.nan, edges.at(row)) for row in np.flatnonzero(~first & ~second))
    for side, simpler in ((0, second & ~first), (1, first & ~second)):
        for name in sorted(set(edges.name[side][simpler])):
            yield from _continuous(family, edges.at(simpler & (edges.name[side] == name)), side, name)


def _pieces(fine, coarse):
    """Into which sizes each group of equal amplitudes of `coarse` splits in `fine`; None if that is no refinement."""
    rest, pieces = list(fine), []
    for size in coarse:
        taken = []
        while sum(taken) < size and rest:
            taken.append(rest.pop(0))
        if sum(taken) != size:
            return None
        pieces.append(taken)
    return pieces


def _between(edges: _Edges, share, rows):
    """d and T at shares (n,) of the way."""
    start, end = edges.ends[:, rows]
    d, T = (start + np.asarray(share)[:, None] * (end - start)).T
    return d, np.maximum(T, _COLDEST / 10)


def _roots(edges: _Edges, function, kind: str):
    """Solve function(share, rows) = 0 along every edge, or a little beyond its ends."""
    n = edges.name.shape[1]
    if not n:
        return
    share = bracketed_root(function, np.full(n, -0.5), np.full(n, 1.5), tolerance=1e-9)
    for row, point in enumerate(zip(*_between(edges, share, np.arange(n)), strict=True)):
        rest = abs(function(share[[row]], np.array([row]))[0]) if np.isfinite(share[row]) else np.nan
        yield _title(kind, *edges.name[:, row]), point, float(rest), edges.at(row)


def _first_order(family: Family, edges: _Edges):
    def difference(share, rows):
        d, T = _between(edges, share, rows)
        one, other = (family.descend(d, T, g[rows]) for g in edges.g)
        return one.free_energy - other.free_energy
    yield from _roots(edges, difference, "first_order")


def _continuous(family: Family, edges: _Edges, side: int, name: str):
    """The simpler state, of that name on that side, loses its stability."""
    sizes = multiplicities(name, family.n_patterns)
    groups = groups_of(sizes, family.n_patterns)
    for other in sorted(set(edges.name[1 - side])):
        part = edges.at(edges.name[1 - side] == other)

        def softest(share, rows, part=part):
            d, T = _between(part, share, rows)
            return family.descend(d, T, part.g[side][rows], groups).hessian

        # permutations of three or more equal amplitudes allow a cubic term in the free energy, so that the state jumps just
        # before it loses its stability: by too little to be resolved here, and the line is that of the stability
        pieces = _pieces(multiplicities(other, family.n_patterns), sizes)
        jumps = any(size >= 3 and len(piece) > 1 for size, piece in zip(sizes, pieces, strict=True))
        yield from _roots(part, softest, "first_order" if jumps else "continuous")


def _crossover(family: Family, edges: _Edges):
    def margin(share, rows):
        d, T = _between(edges, share, rows)
        g = family.descend(d, T, edges.g[0][rows]).g
        rest = np.cumsum(g[:, ::-1], axis=1)[:, ::-1] - g
        return np.where(g > 0, g - rest, np.inf).min(axis=1) / (1 - d)
    yield from _roots(edges, margin, "crossover")


def _title(kind: str, one: str, other: str) -> str:
    """The more symmetric state first."""
    order = ("paramagnet", "pure", "parallel")
    one, other = sorted((str(one), str(other)), key=lambda name: (name not in order, name.count("1") + len(name), name))
    return f"{kind} {one}-{other}"
