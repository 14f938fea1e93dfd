"""States of multitasking networks: minima of the free energy over the amplitudes, how they are found and named.

    f(g) = |g|^2/2 - T E log 2cosh(y.g/T) ,    df/dg = g - F(g) ,    Hessian 1 - J      (methods of `columns`)

J has no negative eigenvalue, so g <- F(g) never increases f, and what this iteration finds stable is a local minimum.
It conserves symmetry: amplitudes that are equal, or zero, stay so although the state may be a saddle.

Names. Amplitudes are taken positive in descending order, m_1 >= m_2 >= ...; patterns with m = 0 are not retrieved.

    paramagnet     all are zero
    pure           one is not
    parallel       all K are equal (K >= 2)
    mix[21]        in general: multiplicities of equal non-zero amplitudes, from the largest amplitude down
    H2[11]         instead of mix[11]: n different amplitudes, each larger than the sum of all smaller ones (Hn[1..1])
    hierarchical   the same with all K patterns retrieved
    majority       three different amplitudes, K = 3, of which the largest is smaller than the sum of the others
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ..errors import ParameterError
from ..params import shown
from .columns import Columns

__all__ = ["CONVERGED", "Found", "canonical", "distinct", "find_states", "free_energy", "groups_of", "held", "judged",
           "multiplicities", "names", "starts", "starts_of", "symmetry_of", "tidy"]

EQUAL = 1e-7                # relative difference of amplitudes that are one
ZERO = 1e-8                 # amplitude, relative to the largest, of a pattern that is not retrieved
CONVERGED = 1e-13           # largest |F(g) - g| of a state, relative to p
_PLAIN = 24                 # iterations of g <- F(g) before the first Newton step
_STEPS = 200                # Newton steps at most
_INFINITE = 1e12            # a curvature that is infinite, for the linear algebra
_MARGINAL = 1e-13           # curvature of the paramagnet that is zero, which at T_c is still the minimum
_SOFT = 1e-9                # curvatures below count as this one in a step
_HELD = 3e-11               # the least force, in units of the amplitude, that is more than rounding


class Found(NamedTuple):
    """Stationary points of f: g (..., K); the others (...,). hessian: the smallest eigenvalue of 1 - J; residual:
    the largest |F(g) - g|."""

    g: np.ndarray
    free_energy: np.ndarray
    hessian: np.ndarray
    residual: np.ndarray


def free_energy(columns, temperature, g) -> np.ndarray:
    """f = |g|^2/2 - T E log 2cosh(y.g/T), shape (...,)."""
    return (g * g).sum(axis=-1) / 2 - columns.potential(g, temperature)


def find_states(columns, temperature, starts, groups=None) -> Found:
    """Descend from starts (..., K) to stationary points of f at a temperature that broadcasts with starts[..., 0].

    groups (K, K): a projection, such as from `groups_of`; the search stays in its image, where it also finds states that
    are unstable outside. First g <- F(g), then Newton steps with |curvature| in place of curvature, so that they lead
    downhill and away from saddles; a step that would increase f is replaced by g <- F(g). All points and starts are
    advanced together; those that have converged are left alone. Cost: about 40 evaluations of F, 10 of J.
    """
    starts, temperature = np.asarray(starts, float), np.asarray(temperature, float)
    K = starts.shape[-1]
    many = isinstance(columns, Columns) and columns.dilution.ndim
    points = np.broadcast_shapes(starts.shape[:-1], temperature.shape, columns.dilution.shape if many else ())
    g = np.array(np.broadcast_to(starts, (*points, K)).reshape(-1, K))
    T = np.broadcast_to(temperature, points).ravel()
    if many:
        columns = Columns(K, np.broadcast_to(columns.dilution, points).ravel())

    def some(rows):
        return columns.at(rows) if many else columns

    def inside(step):
        return step if groups is None else step @ groups

    # T >= p, up to rounding: g = 0 is the only stationary point
    hot = columns.jacobian(np.zeros(K), 1.0)[..., 0, 0] * (1 - _MARGINAL) <= T
    g[hot] = 0.0
    for _ in range(_PLAIN):
        g += inside(columns.field(g, T) - g)
    f = free_energy(columns, T, g)
    rows, best, reach = np.flatnonzero(~hot), np.full(len(g), np.inf), np.full(len(g), 0.3)
    for _ in range(_STEPS if rows.size else 0):
        here, x, t = some(rows), g[rows], T[rows]
        slope = inside(here.field(x, t) - x)
        bent = _hessian(here, x, t)
        if groups is not None:
            bent = groups @ bent @ groups + (np.eye(K) - groups)
        curvature, modes = np.linalg.eigh(bent)
        along = np.einsum("pki,pk->pi", modes, slope) / np.maximum(np.abs(curvature), _SOFT)
        step = inside(np.einsum("pki,pi->pk", modes, along))
        size, length = np.abs(x).max(axis=1), np.abs(step).max(axis=1)
        shorter = np.minimum(1, reach[rows] * size / np.maximum(length, 1e-300))
        step *= shorter[:, None]
        new = free_energy(here, t, x + step)
        # differences of f drown in rounding near a minimum, where Newton needs no judge, and in a wide range around soft ones
        convex = curvature[:, 0] > _SOFT
        close = convex & (length < 1e-4 * np.where(t > 0, np.minimum(size, t), size))
        worse = (new > f[rows] + np.where(convex, 1e-15 * np.abs(f[rows]), 0)) & ~close
        step[worse] = slope[worse]
        tried = np.minimum(shorter * length / np.maximum(size, 1e-300), 0.3)
        reach[rows] = np.where(worse, tried / 4, np.minimum(2 * reach[rows], 0.3))
        g[rows] = x + step
        f[rows] = np.where(worse, free_energy(here, t, g[rows]), new) if worse.any() else new
        change = np.abs(step).max(axis=1)
        # done once the steps are as small as rounding, or small and no longer shrinking
        done = (change <= 2e-16 * size) | (~worse & (change < 1e-9 * size) & (change >= best[rows] / 2))
        best[rows] = np.where(worse, best[rows], np.minimum(best[rows], change))
        rows = rows[~done]
        if not rows.size:
            break
    return Found(*(a.reshape((*points, *a.shape[1:])) for a in judged(columns, T, g)))


def judged(columns, temperature, g) -> Found:
    """Amplitudes g (..., K) with what tells whether they are a state."""
    g = np.asarray(g, float)
    residual = np.abs(columns.field(g, temperature) - g).max(axis=-1)
    hessian = np.linalg.eigvalsh(_hessian(columns, g, temperature))[..., 0]
    hessian = np.where(hessian < -_INFINITE / 2, -np.inf, hessian)
    return Found(g, free_energy(columns, temperature, g), hessian, residual)


def held(columns, temperature, g) -> np.ndarray:
    """Whether states g (S, K) are more than rounding: (S,) whether some force brings each back where it is turned by 2 degrees
    towards its softest direction. Paramagnets, which are exact, are held, and so is a single pattern."""
    length = np.linalg.norm(g, axis=-1, keepdims=True)
    along = g / np.maximum(length, np.finfo(float).tiny)
    aside = np.linalg.eigh(_hessian(columns, g, temperature))[1][..., 0]
    aside = aside - (aside * along).sum(axis=-1, keepdims=True) * along
    width = np.linalg.norm(aside, axis=-1, keepdims=True)
    aside /= np.maximum(width, 0.1)
    force = np.zeros(len(g))
    for angle in (0.03, -0.03):
        turned, tangent = np.cos(angle) * along + np.sin(angle) * aside, np.cos(angle) * aside - np.sin(angle) * along
        pull = (columns.field(length * turned, temperature) - length * turned) * tangent
        force = np.maximum(force, np.abs(pull.sum(axis=-1)))
    return (force > _HELD * length[:, 0] + 2e-15) | (length[:, 0] == 0) | (width[:, 0] < 0.1)


def _hessian(columns, g, temperature) -> np.ndarray:
    """1 - J (..., K, K), with large numbers for the infinite ones that ties have at T = 0."""
    return np.eye(g.shape[-1]) - np.minimum(columns.jacobian(g, temperature), _INFINITE)


# ---- symmetry and names ----------------------------------------------------------------------------------------------

def tidy(g) -> np.ndarray:
    """Amplitudes (..., K) as they are named: positive, descending, those that are equal or zero exactly so."""
    g = -np.sort(-np.abs(g), axis=-1)
    zero = g <= ZERO * g[..., :1]
    g[zero] = 0.0
    group = _levels(g)
    result = g.copy()
    for level in range(1, g.shape[-1] + 1):
        members = (group == level) & ~zero
        number = members.sum(axis=-1, keepdims=True)
        mean = np.where(members, g, 0).sum(axis=-1, keepdims=True) / np.maximum(number, 1)
        result = np.where(members & (number > 1), mean, result)
    return result


def _levels(g) -> np.ndarray:
    """(..., K) number of the group of equal amplitudes that each belongs to, from 1; g descending."""
    new = g[..., :-1] - g[..., 1:] > EQUAL * g[..., :-1]
    return 1 + np.concatenate([np.zeros_like(new[..., :1], shape=(*g.shape[:-1], 1), dtype=int),
                               np.cumsum(new, axis=-1)], axis=-1)


def symmetry_of(g) -> np.ndarray:
    """(K, K) projection on the amplitudes that have the symmetry of g (K,): equal where it is, zero where it is."""
    size = np.abs(g)
    zero = size <= ZERO * size.max()
    same = np.abs(size[:, None] - size) <= EQUAL * np.maximum(size[:, None], size)
    same &= ~zero & ~zero[:, None]
    return np.where(same, np.sign(g) * np.sign(g)[:, None] / np.maximum(same.sum(axis=1), 1), 0.0)


def groups_of(sizes, n_patterns: int) -> np.ndarray:
    """(K, K) projection on amplitudes that are equal within groups of these sizes and zero for the patterns left over."""
    projection, start = np.zeros((n_patterns, n_patterns)), 0
    for size in sizes:
        projection[start:start + size, start:start + size] = 1 / size
        start += size
    return projection


def names(g) -> np.ndarray:
    """Names (...,) of states with amplitudes g (..., K), in any order and sign, as an array of str."""
    g = tidy(np.array(g, float))
    K = g.shape[-1]
    rest = np.cumsum(g[..., ::-1], axis=-1)[..., ::-1] - g
    dominant = ((g > rest) | (g == 0)).all(axis=-1)
    key = np.concatenate([np.where(g > 0, _levels(g), 0), dominant[..., None]], axis=-1).reshape(-1, K + 1)
    keys, which = np.unique(key, axis=0, return_inverse=True)
    words = np.array([_name(np.unique(k[:K][k[:K] > 0], return_counts=True)[1], bool(k[K]), K) for k in keys], object)
    return words[which.ravel()].reshape(g.shape[:-1])


def _name(sizes, dominant: bool, n_patterns: int) -> str:
    retrieved, different = int(sum(sizes)), all(size == 1 for size in sizes)
    digits = _digits(sizes)
    if retrieved <= 1:
        return ("paramagnet", "pure")[retrieved]
    if retrieved == n_patterns and len(sizes) == 1:
        return "parallel"
    if different and dominant:
        return "hierarchical" if retrieved == n_patterns else f"H{retrieved}[{digits}]"
    return "majority" if different and retrieved == n_patterns == 3 else f"mix[{digits}]"


def _digits(sizes) -> str:
    """Multiplicities as in "21"; with commas once one needs two digits."""
    return ("" if max(sizes, default=0) < 10 else ",").join(map(str, sizes))


def multiplicities(branch, n_patterns: int) -> tuple[int, ...]:
    """Sizes of the groups of equal amplitudes in states of that name, without those that are zero. Raises ParameterError.

    "H2" is short for "H2[11]", and "Hn", n = K, for "hierarchical". "vertex(8,6,4,1)": see `hebb.theory.vertices`.
    """
    K = n_patterns
    known = {"paramagnet": (), "pure": (1,), "parallel": (K,), "hierarchical": (1,) * K}
    if K == 3:
        known["majority"] = (1, 1, 1)
    if isinstance(branch, str):
        if branch in known:
            return known[branch]
        if re.fullmatch(r"vertex\([\d,]+\)", branch) and branch.count(",") == K - 1:
            return (1,) * K
        if match := re.fullmatch(r"(?:mix|H(\d+))\[([\d,]+)\]|H(\d+)", branch):
            levels, listed, short = match.groups()
            sizes = [1] * int(short) if short else [int(n) for n in (listed.split(",") if "," in listed else listed) if n]
            fits = not levels or (int(levels) == len(sizes) and set(sizes) == {1})
            if fits and sizes and min(sizes) > 0 and sum(sizes) <= K:
                return tuple(sizes)
    raise ParameterError(f"branch = {shown(branch)} is not a state of n_patterns = {K}; {', '.join(known)}, or "
                         f"multiplicities of equal amplitudes, of sum at most {K}, such as 'mix[21]' or 'H2[11]'")


def canonical(branch: str, n_patterns: int) -> str:
    """The one name (that of `names`) of the states that a valid name asks for."""
    sizes = multiplicities(branch, n_patterns)
    if branch.startswith("vertex"):
        return branch
    return _name(sizes, branch[0] in "Hh" or len(sizes) == 2, n_patterns)


# ---- looking for all of them -----------------------------------------------------------------------------------------

def starts_of(sizes, n_patterns: int, dilution: float) -> np.ndarray:
    """(S, K) directions with the symmetry of groups of these sizes, largest amplitude 1; multiply by p."""
    if len(sizes) == 1:
        levels = np.ones((1, 1))
    else:
        ratios = [dilution] if 0.05 < dilution < 0.95 else []
        steps = np.array([*ratios, 0.3, 0.5, 0.7, 0.85, 0.95])
        levels = steps[:, None] ** np.arange(len(sizes))
        if len(sizes) <= 7:
            scattered = np.random.Generator(np.random.Philox(7)).random((8, len(sizes)))
            levels = np.concatenate([levels, -np.sort(-scattered, axis=1) / scattered.max(axis=1, keepdims=True)])
    retrieved = np.repeat(levels, sizes, axis=1)
    return np.concatenate([retrieved, np.zeros((len(levels), n_patterns - retrieved.shape[1]))], axis=1)


def starts(n_patterns: int, largest: int = 5) -> np.ndarray:
    """(S, K) directions from which the states of every name are found, largest amplitude 1; multiply by p.

    Up to `largest` patterns one steep and one flat for every name, slightly off its symmetry, so that unstable states
    are left for their descendants; for more patterns pure, parallel and hierarchical states of n patterns only.
    """
    K = n_patterns
    if K <= largest:
        kinds = [sizes for n in range(1, K + 1) for sizes in _compositions(n)]
    else:
        some = sorted({*range(1, min(K, 8) + 1), K // 2, K - 1, K})
        kinds = [sizes for n in some for sizes in dict.fromkeys(((n,), (1,) * n))]
    found = []
    for sizes in kinds:
        for ratio in (0.5, 0.85) if len(sizes) > 1 else (1.0,):
            levels = np.repeat(ratio ** np.arange(len(sizes)), sizes)
            found.append(np.concatenate([levels, np.zeros(K - len(levels))]))
    off = 1e-3 * np.sqrt(2) * np.cos(np.arange(1, K + 1) ** 2)     # without any symmetry
    return np.array(found) + off


def _compositions(total: int):
    """All ordered ways to write total as a sum of positive integers."""
    if total == 0:
        yield ()
    for first in range(1, total + 1):
        for rest in _compositions(total - first):
            yield (first, *rest)


def distinct(found: Found, density) -> Found:
    """The stable ones of many states (..., S, K) of each point, once each, lowest f first; the rest of the S are NaN.

    density: p, broadcasting with the points (...,): residuals are judged in its units. Amplitudes become `tidy`.
    """
    g = tidy(found.g)
    p = np.asarray(density, float)[..., None]
    stable = (found.hessian > 0) | ((found.hessian > -_MARGINAL) & (g[..., 0] == 0))
    good = stable & (found.residual <= CONVERGED * p)
    order = np.argsort(np.where(good, found.free_energy, np.inf), axis=-1, kind="stable")
    g = np.take_along_axis(g, order[..., None], axis=-2)
    f, hessian, residual, good = (np.take_along_axis(a, order, axis=-1)
                                  for a in (found.free_energy, found.hessian, found.residual, good))
    for last in range(1, g.shape[-2]):
        near = np.abs(g[..., :last, :] - g[..., last:last + 1, :]).max(axis=-1) <= 1e-6 * p
        good[..., last] &= ~(near & good[..., :last]).any(axis=-1)
    order = np.argsort(~good, axis=-1, kind="stable")
    g = np.take_along_axis(np.where(good[..., None], g, np.nan), order[..., None], axis=-2)
    return Found(g, *(np.take_along_axis(np.where(good, a, np.nan), order, axis=-1) for a in (f, hessian, residual)))
