"""Lines of a multitasking phase diagram at which the states of one and of all patterns lose their stability."""

from __future__ import annotations

import numpy as np

from .multitask_lines import Family, Line
from .multitask_states import groups_of
from .solver import bracketed_root

__all__ = ["stability_edges"]

_SHARES = 1 - np.concatenate([np.linspace(1 - 0.002, 0.1, 70), np.geomspace(0.09, 1e-4, 25)])    # T/T_c looked at
_ROUND = np.arange(1, 16) / 16       # temperatures at which the end of a lobe is drawn, between its edges


def stability_edges(family: Family, dilution) -> dict[str, Line]:
    """Temperatures at which the states of one pattern and of all K gain or lose stability, at every d.

    "pure_edge", "parallel_lower_edge" and "parallel_upper_edge": the state is stable above, above and below. Where two edges
    meet between dilutions of the grid they are followed to their common end."""
    lines = {}
    for name, size in (("pure", 1), ("parallel", family.n_patterns)) if family.n_patterns > 1 else ():
        lines |= _edges(family, dilution, name, size)
        family.advance()
    return lines


def _edges(family: Family, dilution, name: str, size: int) -> dict[str, Line]:
    """The edges of `size` equal amplitudes."""
    groups, start = groups_of((size,), family.n_patterns), np.where(np.arange(family.n_patterns) < size, 1 / size, 0.0)

    def softest(d, share):
        return family.descend(d, share * family.critical(d), start * (1 - d)[:, None], groups).hessian

    d, share = (axis.ravel() for axis in np.meshgrid(dilution, _SHARES, indexing="ij"))
    curvature = softest(d, share).reshape(len(dilution), -1)
    column, k = np.nonzero(curvature[:, 1:] * curvature[:, :-1] < 0)
    share = bracketed_root(lambda x, rows: softest(dilution[column[rows]], x), _SHARES[k], _SHARES[k + 1], tolerance=1e-13)
    rising = curvature[column, k + 1] > 0
    points = {True: [np.stack([dilution[column], share], axis=-1)[rising]],
              False: [np.stack([dilution[column], share], axis=-1)[~rising]]}
    for low in np.flatnonzero(rising[:-1] & ~rising[1:] & (column[:-1] == column[1:])):
        inside = (_SHARES > share[low]) & (_SHARES < share[low + 1])
        for beyond in (column[low] - 1, column[low] + 1):
            if 0 <= beyond < len(dilution) and inside.any() and np.all(curvature[beyond, inside] < 0):
                end = _end(softest, dilution[column[low]], dilution[beyond], *share[low:low + 2])
                tip = np.argmin(np.abs(end[:, 0] - dilution[beyond]))
                points[True].append(end[:tip + 1])
                points[False].append(end[tip:])
    lines = {}
    for is_lower, title in ((True, f"{name}_lower_edge"), (False, f"{name}_upper_edge")):
        d, share = np.concatenate(points[is_lower]).T
        if d.size:
            left = np.abs(softest(d, share)).max()
            line = np.stack([d, share * family.critical(d)], axis=-1)[np.argsort(d, kind="stable")]
            lines["pure_edge" if title == "pure_lower_edge" else title] = Line(_split(line, dilution), float(left))
    return lines


def _end(softest, inside: float, outside: float, low: float, high: float) -> np.ndarray:
    """(n, 2): d, T/T_c around the end of a lobe that at d = inside extends from low to high, and at d = outside is over."""
    share = low + (high - low) * _ROUND
    d = bracketed_root(lambda x, rows: softest(x, share[rows]), np.full(share.size, min(inside, outside)),
                       np.full(share.size, max(inside, outside)), tolerance=1e-13)
    return np.stack([d, share], axis=-1)[np.isfinite(d)]


def _split(points: np.ndarray, dilution) -> np.ndarray:
    """Points by increasing d, with a row of NaN where dilutions of the grid are left out."""
    index = np.searchsorted(dilution, points[:, 0])
    gaps = np.flatnonzero(np.diff(index) > 1) + 1
    return np.insert(points, gaps, np.nan, axis=0)
