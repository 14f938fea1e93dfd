"""Nested Gaussian averages of one spin: the Parisi recursion for k steps of replica symmetry breaking.

    phi_k(h) = T ln 2cosh(h/T)  (T = 0: |h|),    phi_{j-1}(h) = (1/x_j) ln E_z exp(x_j phi_j(h + s_j z)),   j = k..1
    L = E_{u,z} phi_0(A u + s_0 z)

Every phi_j is even, so fields h >= 0 are enough, and phi_j - h stays bounded: all exponentials below are of bounded
arguments and all sums have positive terms, whatever x. The innermost step is a closed form of error functions at T = 0
and the same form plus a thermal correction, an integral over |h'|/T, at T > 0. The other steps are trapezoidal sums on
uniform grids, whose error is exponentially small: exp(y^2/2 - 2 pi y/step) for a unit Gaussian times a function without
singularities up to the distance y from the real axis. The law of the field of level j, tilted by exp(x_j phi_j), follows
from the transposed sums, so that all derivatives come from one sweep inwards and one outwards.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr

__all__ = ["NestedAverages", "nested_averages"]

_REACH = 8.5                  # standard deviations kept: the normal law beyond has weight 2e-17
_DIGITS = 37.0                # minus the logarithm of the relative error of a trapezoidal sum
_MOST = 2**13                 # nodes of one average: levels too narrow for them are summed badly, as `finer` then shows
_BLOCK = 2**21                # array elements worked on at once
_ROWS = 64                    # of a kernel kept together


class NestedAverages(NamedTuple):
    """Averages for B points; <.> is the tilted average of the levels inside the one named."""

    L: np.ndarray              # (B,) E phi_0
    response: np.ndarray       # (B, J) E_z <tanh(h/T)> in the field A |u| of each dataset size
    Q: np.ndarray              # (B, k+1) E <tanh>_j^2, the overlap of level j; Q_k = 1 - T C
    C: np.ndarray              # (B,) E <sech^2(h/T)>/T
    slope: np.ndarray          # (B, k) dL/dx_j at fixed widths
    D: np.ndarray              # (B,) E_{k-1} [<sech^4(h/T)>]/T, innermost average included
    S: np.ndarray              # (B,) dL/dT = <entropy of the spin>


def nested_averages(a, weights, s, x, temperature, *, finer: bool = False) -> NestedAverages:
    """Averages over the field a + s_0 z_0 + ... + s_k z_k, tilted by exp(x_j phi_j), for B points and k >= 1.

    a (B, J) signals with weights (J,); s (B, k+1) standard deviations, s_0 >= 0, the others > 0; x (B, k) > 0;
    temperature (B,) >= 0. The rules are chosen for the most demanding point. finer: smaller steps on a wider range.
    """
    size = a.shape[1] * s.shape[1]
    count, parts = a.shape[0], []
    start = 0
    while start < count:
        rows = slice(start, count)
        rules = _Rules(a[rows], s[rows], x[rows], temperature[rows], finer)
        fit = max(1, _BLOCK // max(rules.elements, size))
        if fit < count - start:
            rows = slice(start, start + fit)
            rules = _Rules(a[rows], s[rows], x[rows], temperature[rows], finer)
        parts.append(_sweep(rules, a[rows], weights, s[rows], x[rows], temperature[rows]))
        start += fit
    return NestedAverages(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class _Rules:
    """Nodes of the outermost average and grids of the levels 1..k-1, shared by all points of a block up to scale."""

    def __init__(self, a, s, x, temperature, finer):
        reach = _REACH + 1.5 * finer
        most = 2 * _MOST if finer else _MOST
        self.finer = finer
        variance, levels = s**2, x.shape[1]
        # distance of the nearest zero of exp(x phi) from the real axis: for |h| smoothed at width s it is close to
        # pi s/(2 x s + 0.9), and for the bare spin pi T/2; wider after every further average
        width = np.maximum(np.pi * temperature / 2, np.pi * s[:, -1] / (2 * x[:, -1] * s[:, -1] + 0.9))
        drift = np.cumsum(x * variance[:, 1:], axis=1)
        spread = np.sqrt(np.cumsum(variance, axis=1))
        self.steps, self.counts = [None] * levels, [0] * levels
        for j in range(levels - 1, 0, -1):
            self.steps[j] = s[:, j] * _unit_step(width / s[:, j], finer)
            top = a.max(axis=1) + drift[:, j - 1] + reach * spread[:, j]
            self.steps[j] = np.maximum(self.steps[j], top / most)
            self.counts[j] = 2 + int(np.ceil((top / self.steps[j]).max()))
            width = np.maximum(width, np.pi * s[:, j] / (2 * x[:, j - 1] * s[:, j] + 0.9))
        self.fields, self.density = _outermost(a, s[:, 0], width, reach, most, finer)
        self.counts[0] = self.fields.shape[1] * self.fields.shape[2]
        pairs = [self.counts[j] * self.counts[j + 1] for j in range(levels - 1)]
        inner = self.counts[-1] * (_thermal_nodes(finer)[0].size if temperature.any() else 1)
        self.elements = max([inner, *pairs])

    def grid(self, j):
        """Fields (B, N_j) of level j >= 1 and their weights, those of the half line."""
        index = np.arange(self.counts[j])
        weight = np.repeat(self.steps[j][:, None], index.size, axis=1)
        weight[:, 0] /= 2
        return self.steps[j][:, None] * index, weight


def _unit_step(width, finer):
    """Step of the trapezoidal rule for a unit Gaussian times a function with singularities at this distance."""
    digits = 2 * _DIGITS if finer else _DIGITS
    y = np.minimum(width, np.sqrt(2 * digits))                     # beyond, the Gaussian itself limits the step
    return 2 * np.pi * y / (digits + y * y / 2)


def _outermost(a, s, width, reach, most, finer):
    """Fields a + s z of the outermost average and their weights, (B, J, n) each.

    Uniform in z, unless the singularities at the distance `width` from h = 0 ask for more nodes than h = width sinh(t)
    with uniform t does: there the strip without singularities is pi/2 wide, of which the Gaussian lets 1/2 be used.
    """
    half = not a.any()                                             # even in z: half of the nodes, twice the weight
    if not s.any():
        return a[:, :, None], np.ones((*a.shape, 1))
    step = max(_unit_step(width / np.maximum(s, 1e-300), finer).min(), reach / most)
    nodes = int(np.ceil(reach / step))
    if s.all():
        digits = (2 * _DIGITS if finer else _DIGITS) + 0.22 * ((a / s[:, None]) ** 2).max()
        width = np.minimum(width, s)
        end = np.arcsinh((a.max(axis=1) + reach * s) / width)
        count = int(np.ceil((end * digits / np.pi).max()))
        if count < nodes:
            step = end / count
            t = (step[:, None] * np.arange(0 if half else -count, count + 1))[:, None]
            h = np.broadcast_to(width[:, None, None] * np.sinh(t), (*a.shape, t.shape[2]))
            density = (np.exp(-(((h - a[:, :, None]) / s[:, None, None]) ** 2) / 2) * np.cosh(t)
                       * (width / s * step / np.sqrt(2 * np.pi))[:, None, None])
            density[..., 1 if half else t.shape[2]:] *= 2
            return h, density
    z = step * np.arange(0 if half else -nodes, nodes + 1)
    density = np.exp(-z * z / 2) * step / np.sqrt(2 * np.pi)
    density[1 if half else z.size:] *= 2
    return a[:, :, None] + s[:, None, None] * z, np.broadcast_to(density, (*a.shape, z.size))


def _sweep(rules, a, weights, s, x, temperature):
    count, levels = x.shape
    h = rules.fields.reshape(count, -1)
    sign, fields = np.sign(h), [np.abs(h)]
    law = [(weights[:, None] * rules.density).reshape(count, -1)]
    grids = [rules.grid(j) for j in range(1, levels)]
    fields += [grid for grid, _ in grids]

    inner = _innermost(fields[-1], s[:, -1], x[:, -1], temperature, rules.finer)
    delta, tanh = [None] * levels, [None] * levels           # phi_j - h and <tanh>_j = dphi_j/dh
    delta[-1], tanh[-1] = inner.delta, inner.tanh
    steps = [None] * levels
    for j in range(levels - 1, 0, -1):
        tilt = np.exp(x[:, j - 1, None] * delta[j])
        step = _Step(fields[j - 1], *grids[j - 1], s[:, j], x[:, j - 1])
        norm, moment = step.inwards(tilt, tilt * tanh[j])
        tanh[j - 1] = moment / norm
        delta[j - 1] = x[:, j - 1, None] * s[:, j, None] ** 2 / 2 + np.log(norm) / x[:, j - 1, None]
        steps[j] = step, tilt, norm
    for j in range(1, levels):
        step, tilt, norm = steps[j]
        law.append(tilt * step.outwards(law[-1] / norm))

    potential = [np.sum(p * (field + d), axis=1) for p, field, d in zip(law, fields, delta, strict=True)]
    gains = [potential[j] - potential[j - 1] for j in range(1, levels)] + [np.sum(law[-1] * inner.gain, axis=1)]
    C, D, S = (np.sum(law[-1] * item, axis=1) for item in (inner.C, inner.D, inner.S))
    Q = [np.sum(p * t * t, axis=1) for p, t in zip(law, tanh, strict=True)] + [1 - temperature * C]
    response = np.sum((sign * tanh[0]).reshape(rules.density.shape) * rules.density, axis=2)
    response = np.where(a == 0, 0.0, response)                     # the nodes may be half of an even law
    return potential[0], response, np.stack(Q, axis=1), C, np.stack(gains, axis=1) / x, D, S


class _Step:
    """One average over the grid y of the next level, for fields h >= 0: the kernel exp(x (y - h) - x^2 s^2/2) times the
    normal density of y - h, and its mirror image at -y.

    Stored in blocks of rows, with the columns in reach of the Gaussian.
    """

    def __init__(self, h, y, weight, s, x):
        self.shape = y.shape
        shift, reach = (x * s * s)[:, None], (_REACH + 0.5) * s[:, None]
        low, high = h + shift - reach, h + shift + reach
        low = np.where(h < shift + reach, 0.0, low)                # there the mirror image counts as well
        step = y[:, 1:2]
        s, x, shift = s[:, None, None], x[:, None, None], shift[:, :, None]
        self.blocks = []
        for start in range(0, h.shape[1], _ROWS):
            rows = slice(start, start + _ROWS)
            columns = slice(int((low[:, rows] / step).min()), 1 + int(np.ceil((high[:, rows] / step).max())))
            here, there = h[:, rows, None], y[:, None, columns]
            density = weight[:, None, columns] / (s * np.sqrt(2 * np.pi))
            near = density * np.exp(-(((there - here - shift) / s) ** 2) / 2)
            far = density * np.exp(-(((there + here - shift) / s) ** 2) / 2 - 2 * x * here)
            self.blocks.append((rows, columns, near + far, near - far))

    def inwards(self, even, odd):
        """Averages (B, n) of an even and of an odd function (B, N) given on y >= 0."""
        parts = [(_apply(both, even[:, columns]), _apply(difference, odd[:, columns]))
                 for _, columns, both, difference in self.blocks]
        return tuple(np.concatenate(part, axis=1) for part in zip(*parts, strict=True))

    def outwards(self, law):
        """Law (B, N) on the grid from weights (B, n) of the fields h: the transposed average of even functions."""
        out = np.zeros(self.shape)
        for rows, columns, both, _ in self.blocks:
            out[:, columns] += (law[:, None, rows] @ both)[:, 0]
        return out


def _apply(kernel, values):
    return (kernel @ values[:, :, None])[:, :, 0]


class _Innermost(NamedTuple):
    """The innermost step, all (B, n): phi_{k-1} - h, <tanh>, <sech^2>/T, <phi_k> - phi_{k-1}, <sech^4>/T, <entropy>."""

    delta: np.ndarray
    tanh: np.ndarray
    C: np.ndarray
    gain: np.ndarray
    D: np.ndarray
    S: np.ndarray


def _innermost(h, s, x, temperature, finer) -> _Innermost:
    out = np.empty((6, *h.shape))
    frozen, warm = temperature == 0, temperature > s
    for chosen, rule in ((frozen, _frozen), (~frozen & ~warm, _cold), (warm, _warm)):
        rows = np.flatnonzero(chosen)
        if rows.size:
            columns = (s[rows, None], x[rows, None], temperature[rows, None])
            out[:, rows] = _normalised(*rule(h[rows], *columns, finer), h[rows], *columns)
    return _Innermost(*out)


def _normalised(norm, tanh, phi, C, D, S, h, s, x, temperature):
    """Averages from sums weighted by exp(x (phi_k - h) - x^2 s^2/2); phi is the sum of phi_k - h."""
    delta = x * s * s / 2 + np.log(norm) / x
    return delta, tanh / norm, C / norm, phi / norm - delta, D / norm, S / norm


def _frozen(h, s, x, temperature, finer):
    """T = 0: phi_k = |h|. C and D are the limits of sech^2/T -> 2 delta(h) and sech^4/T -> (4/3) delta(h)."""
    shift = x * s * s
    up, down = (shift + h) / s, (shift - h) / s
    rising = ndtr(up)
    falling = np.exp(log_ndtr(down) - 2 * x * h)
    edge = np.exp(-up * up / 2) / np.sqrt(2 * np.pi)               # the density of both signs at h' = 0, times s
    phi = shift * rising + (shift - 2 * h) * falling + 2 * s * edge
    return rising + falling, rising - falling, phi, 2 * edge / s, 4 * edge / (3 * s), np.zeros_like(h)


@cache
def _thermal_nodes(finer: bool):
    """Nodes y = |h'|/T and weights on the half line for integrands that fall like exp(-2y), poles at y = +-i pi/2."""
    step = 0.06 if finer else 0.1
    t = step * np.arange(-round(3.7 / step), round(3.3 / step) + 1)
    y = np.exp(t - np.exp(-t))
    kept = y < 26
    return y[kept], (step * y * (1 + np.exp(-t)))[kept]


def _cold(h, s, x, temperature, finer):
    """0 < T <= s: the closed form of T = 0 plus what e^(x phi_k) - e^(x |h'|) and its moments add at |h'| = T y."""
    y, weight = _thermal_nodes(finer)
    e = np.exp(-2 * y)
    log_e = np.log1p(e)
    more = np.expm1(x * temperature * log_e)                       # (B, n_y): (1+e)^theta - 1
    full = 1 + more
    even = weight * np.stack([temperature * more, temperature**2 * (full * (y + log_e) - y),
                              full * 4 * e / (1 + e) ** 2, full * 16 * e**2 / (1 + e) ** 4,
                              temperature * full * (log_e + 2 * y * e / (1 + e))], axis=1)
    odd = weight * temperature * (more - full * 2 * e / (1 + e))
    s, x, temperature = s[:, :, None], x[:, :, None], temperature[:, :, None]
    shift, centre = x * s * s, h[:, :, None]
    near = np.exp(-(((temperature * y - centre - shift) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi))
    far = np.exp(-(((temperature * y + centre - shift) / s) ** 2) / 2 - 2 * x * centre) / (s * np.sqrt(2 * np.pi))
    norm, phi, C, D, S = np.moveaxis((near + far) @ np.swapaxes(even, 1, 2), 2, 0)
    tanh = _apply(near - far, odd)
    sharp = _frozen(h, s[:, :, 0], x[:, :, 0], None, finer)
    return sharp[0] + norm, sharp[1] + tanh, sharp[2] + phi - h * norm, C, D, S


def _warm(h, s, x, temperature, finer):
    """T > s: everything is smooth on the scale of z."""
    step, reach = (0.12, 12.0) if finer else (0.2, 10.4)
    z = step * np.arange(-round(reach / step), round(reach / step) + 1)
    s, x, temperature, h = s[:, :, None], x[:, :, None], temperature[:, :, None], h[:, :, None]
    tilted = h + s * (z + x * s)                                   # the drift of the tilt moves the nodes along
    size = np.abs(tilted)
    e = np.exp(-2 * size / temperature)
    log_e = np.log1p(e)
    weight = np.exp(-z * z / 2 + x * (size - tilted) + x * temperature * log_e) * step / np.sqrt(2 * np.pi)
    tanh = np.sign(tilted) * (1 - e) / (1 + e)
    sech2 = 4 * e / (1 + e) ** 2
    phi = size - h + temperature * log_e
    entropy = log_e + 2 * size / temperature * e / (1 + e)
    return tuple(np.sum(weight * item, axis=2) for item in
                 (1.0, tanh, phi, sech2 / temperature, sech2**2 / temperature, entropy))
