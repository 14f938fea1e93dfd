"""The branch of states that follow one example, from gamma = 0 on, and where it ends.

At fixed T the branch is a curve in (G, G', sigma): two equations, G = E eta tanh and G' = the same of the others, and the
load that goes with the noise, gamma = sigma^2/v(C, T), is explicit, as in `hebb.theory.continuation`. It is followed by
arc length (E. L. Allgower and K. Georg, Numerical Continuation Methods, 1990), through its folds, for many temperatures at
once, until G falls to G': there it joins the states that treat all examples alike.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import root

from .branches import Branches
from .example_states import ExampleEquations, ExampleStates, solved
from .solver import bracketed_root

__all__ = ["ExampleBranch", "ExamplePath"]

_FIRST, _LONGEST, _SHORTEST = 0.005, 0.03, 1e-6     # lengths of a step
_STEPS = 600


class ExamplePath(NamedTuple):
    """The branch at one temperature as arrays (n,): overlaps, width of the noise, response, load, and whether the state is
    a minimum over the overlaps and a maximum over q; a place where that changes stands on the path itself.

    merges: the branch ends, stable, in the states that treat examples alike, on the line x = 1.
    """

    temperature: float
    G: np.ndarray
    H: np.ndarray
    sigma: np.ndarray
    C: np.ndarray
    gamma: np.ndarray
    stable: np.ndarray
    determinant: np.ndarray
    merges: bool

    @property
    def end(self) -> int:
        """Index of the largest load of a stable state."""
        return int(np.argmax(np.where(self.stable, self.gamma, -1.0)))


class ExampleBranch:
    """Points are arrays of one length; `Branches`: of the same network."""

    def __init__(self, branches: Branches):
        self.branches = branches
        self.equations = ExampleEquations(branches.law)
        self._unit = self.equations.scale                            # the largest field of one example alone
        self._paths: dict[float, ExamplePath | None] = {}

    # ---- gamma = 0 ---------------------------------------------------------------------------------------------------

    @cached_property
    def low_load_line(self) -> np.ndarray:
        """States without load, rows (G, G', T), from T = 0 until they merge or end; empty where T = 0 has none."""
        equations, zero = self.equations, np.zeros(1)
        G, H = np.ones(1), np.full(1, equations.law.r ** 2)
        for _ in range(1000):
            F = equations.spin(G, H, zero, zero).F
            if abs(F[0, 0] - G[0]) + abs(F[0, 1] - H[0]) < 1e-15:
                break
            G, H = F[:, 0], F[:, 1]
        if not G[0] - H[0] > 1e-6:
            return np.empty((0, 3))

        def evaluate(X, rows):
            G, H, T = X[:, 0], X[:, 1], np.maximum(X[:, 2], 0) * self._unit
            spin, still = equations.spin(G, H, np.zeros(G.size), T), X[:, 2] <= 0
            alpha, beta, alpha_slope, beta_slope = equations.parts(G, H)
            with np.errstate(divide="ignore", invalid="ignore"):
                by_T = -(alpha[:, None] * spin.by_alpha + beta[:, None] * spin.by_beta) / T[:, None] * self._unit
            by_T[still] = 0
            return _equations(spin, G, H, alpha_slope, beta_slope, by_T)

        path = _follow(evaluate, np.array([[G[0], H[0], 0.0]]))[0]
        path[:, 2] *= self._unit
        return path

    @property
    def start_temperature(self) -> float:
        """Highest temperature of the branch without load; 0 where there is no branch."""
        line = self.low_load_line
        return float(line[:, 2].max()) if len(line) else 0.0

    def _starts(self, temperature):
        """(G, G') without load, for temperatures below the highest, from the first piece of the line."""
        line = self.low_load_line
        top = int(np.argmax(line[:, 2]))
        G, H = (np.interp(temperature, line[:top + 1, 2], line[:top + 1, c]) for c in (0, 1))
        T, zero = temperature, np.zeros(temperature.size)
        C = self.equations.spin(G, H, zero, T).F[:, 2]
        return self.equations.solve(G, H, C, zero, T)[:2]

    # ---- paths -------------------------------------------------------------------------------------------------------

    def paths(self, temperature) -> list[ExamplePath | None]:
        """The branch at each of some temperatures (1-d); None where it does not exist."""
        temperature = np.ravel(temperature).astype(float)
        new = np.array(sorted({T for T in temperature.tolist() if T not in self._paths}))
        if len(self._paths) > 4096:
            self._paths.clear()
        self._paths |= dict.fromkeys(new.tolist())
        new = new[new < self.start_temperature]
        if new.size:
            self._paths |= dict(zip(new.tolist(), self._trace(new), strict=True))
        return [self._paths[T] for T in temperature.tolist()]

    def _evaluate(self, temperature):
        """The equations of the curves at some temperatures, as `_follow` takes them."""
        equations = self.equations

        def evaluate(X, rows):
            G, H, sigma = X[:, 0], X[:, 1], np.abs(X[:, 2]) * self._unit
            spin = equations.spin(G, H, sigma, temperature[rows])
            _, _, alpha_slope, beta_slope = equations.parts(G, H)
            by_s = 2 * sigma[:, None] * spin.by_variance * self._unit
            return _equations(spin, G, H, alpha_slope, beta_slope, by_s)

        return evaluate

    def _trace(self, temperature):
        evaluate = self._evaluate(temperature)
        G, H = self._starts(temperature)
        paths = _follow(evaluate, np.stack([G, H, np.zeros(G.size)], axis=-1))
        rows = np.repeat(np.arange(len(paths)), [len(path) for path in paths])
        X = np.concatenate(paths)
        stable = self._along(X, temperature[rows])[-2]
        # the places where stability changes are put in
        turns = np.flatnonzero((stable[:-1] != stable[1:]) & (rows[:-1] == rows[1:]))
        chord = X[turns + 1] - X[turns]

        def place(share, some):
            start = X[turns[some]] + share[:, None] * chord[some]
            return _corrected(evaluate, start, chord[some], rows[turns[some]])[0]

        share = bracketed_root(lambda share, some: self._along(place(share, some), temperature[rows[turns[some]]])[-1],
                               np.zeros(turns.size), np.ones(turns.size), tolerance=1e-13)
        found = np.flatnonzero(np.isfinite(share))
        added = turns[found]
        X = np.insert(X, added + 1, place(share[found], found), axis=0)
        rows = np.insert(rows, added + 1, rows[added])
        values = self._along(X, temperature[rows])
        values[-2][added + 1 + np.arange(added.size)] = True          # an end of a stable piece is part of it
        return [self._path(T, X[rows == row], [value[rows == row] for value in values])
                for row, T in enumerate(temperature.tolist())]

    def _path(self, T, X, values) -> ExamplePath:
        """Cut where it meets the states that treat examples alike, which are its end where it is stable until there."""
        apart = X[:, 0] > X[:, 1] + 1e-7
        last = np.flatnonzero(apart)[-1]
        merges = bool(last + 1 < len(X) and X[last + 1, 0] <= X[last + 1, 1] + 1e-7 and values[-2][last])
        X, values = X[:last + 1], [value[:last + 1] for value in values]
        if merges:
            meeting = self._meeting(T, X[-1])
            values = [np.append(value, at) for value, at in zip(values, self._along(meeting, T), strict=True)]
            values[-2][-1] = True
            X = np.concatenate([X, meeting])
        return ExamplePath(T, *X.T[:2], X[:, 2] * self._unit, *values, merges)

    def _meeting(self, T, near):
        """The state (1, 3) without difference between examples in which a difference costs nothing, x = 1, near a point."""
        equations, T = self.equations, np.full(1, T)

        def left(unknowns):
            G, sigma = unknowns[:1], np.abs(unknowns[1:]) * self._unit
            spin = equations.spin(G, G, sigma, T)
            _, _, slope, other_slope = equations.parts(G, G)
            parting = spin.by_alpha[0, 0] * slope - spin.by_beta[0, 0] * other_slope / equations.rest
            return np.array([spin.F[0, 0] - G[0], parting[0] - 1])

        G, s = root(left, [near[:2].mean(), near[2]], tol=1e-13).x
        return np.array([[G, G, s]])

    def _along(self, X, T):
        """[C, gamma, stable, determinant] at points of paths."""
        equations, T = self.equations, np.broadcast_to(T, len(X))
        G, H, sigma = X[:, 0], X[:, 1], np.abs(X[:, 2]) * self._unit
        spin = equations.spin(G, H, sigma, T)
        C = spin.F[:, 2]
        allowed = (C < equations.noise.response_limit) | (sigma == 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gamma = np.where(sigma > 0, equations.noise.load(sigma, C, T), 0.0)
        stable, determinant = equations.stability(equations.jacobian(spin, G, H, C, gamma, T))
        return [C, gamma, stable & allowed, determinant]

    # ---- states ------------------------------------------------------------------------------------------------------

    def states(self, gamma, temperature) -> ExampleStates | None:
        """The stable state of lowest free energy at each point, NaN where there is none."""
        gamma, temperature = (np.ravel(a).astype(float) for a in np.broadcast_arrays(gamma, temperature))
        paths = self.paths(temperature)
        rows, low, high = [], [], []                     # ends (gamma, G, G', sigma, C) of the pieces that hold the load
        for row, (load, path) in enumerate(zip(gamma.tolist(), paths, strict=True)):
            if path is None:
                continue
            table = np.stack([path.gamma, path.G, path.H, path.sigma, path.C], axis=-1)
            if load == 0:
                held = np.zeros(1, int)
                after = held
            else:
                least, most = np.minimum(path.gamma[:-1], path.gamma[1:]), np.maximum(path.gamma[:-1], path.gamma[1:])
                held = np.flatnonzero((least <= load) & (load <= most) & path.stable[:-1] & path.stable[1:])
                after = held + 1
            rows += [row] * held.size
            low.append(table[held])
            high.append(table[after])
        out = ExampleStates(*np.full((len(ExampleStates._fields), gamma.size), np.nan))
        out.extremum[:] = False
        if rows:
            rows = np.array(rows)
            found = self._within(np.concatenate(low), np.concatenate(high), gamma[rows], temperature[rows])
            for place in np.argsort(-found.free_energy, kind="stable"):                     # the lowest last
                if found.residual[place] < 1e-8:
                    for whole, part in zip(out, found, strict=True):
                        whole[rows[place]] = part[place]
        return out

    def _within(self, low, high, gamma, temperature) -> ExampleStates:
        """The states on pieces of paths between these ends, rows (gamma, G, G', sigma, C): Newton's method from the chord,
        kept if it ends on the piece; else (near folds) the load as a function of the place along the chord."""
        width = high[:, 0] - low[:, 0]
        share = np.divide(gamma - low[:, 0], width, out=np.zeros(gamma.size), where=width != 0)
        guess = low + share[:, None] * (high - low)
        meeting = np.abs(high[:, 1] - high[:, 2]) < 1e-12            # there the difference of the overlaps is a square root
        half = np.where(meeting, (low[:, 1] - low[:, 2]) / 2 * (np.sqrt(np.maximum(1 - share, 0)) - (1 - share)), 0.0)
        guess[:, 1], guess[:, 2] = guess[:, 1] + half, guess[:, 2] - half
        G, H, C = self.equations.solve(guess[:, 1], guess[:, 2], guess[:, 4], gamma, temperature)
        found = self.equations.states(G, H, C, gamma, temperature)
        slack = 1e-9 + 0.2 * np.abs(high[:, 1] - low[:, 1])
        inside = (G > np.minimum(low[:, 1], high[:, 1]) - slack) & (G < np.maximum(low[:, 1], high[:, 1]) + slack)
        astray = np.flatnonzero(~(inside & (found.residual < 1e-11) & found.extremum.astype(bool)) & (gamma > 0)
                                & ~meeting)
        if astray.size:
            T, unit = temperature[astray], np.array([1, 1, self._unit])
            start, chord = low[astray, 1:4] / unit, (high - low)[astray, 1:4] / unit
            evaluate = self._evaluate(T)

            def place(share, some):
                return _corrected(evaluate, start[some] + share[:, None] * chord[some], chord[some], some)[0]

            everything = np.arange(astray.size)
            share = bracketed_root(lambda share, some: self._along(place(share, some), T[some])[1] - gamma[astray[some]],
                                   np.zeros(astray.size), np.ones(astray.size))
            X = place(np.where(np.isfinite(share), share, 1.0), everything)             # rounding at an end
            C = self._along(X, T)[0]
            there = self.equations.states(X[:, 0], X[:, 1], C, gamma[astray], T)
            for whole, part in zip(found, there, strict=True):
                whole[astray] = part
        return found


def _equations(spin, G, H, alpha_slope, beta_slope, by_third):
    """Residuals (B, 2) of the two overlaps and their Jacobian (B, 2, 3) by (G, G', third)."""
    jacobian = np.stack([spin.by_alpha[:, :2] * alpha_slope[:, None], spin.by_beta[:, :2] * beta_slope[:, None],
                         by_third[:, :2]], axis=-1)
    jacobian[:, 0, 0] -= 1
    jacobian[:, 1, 1] -= 1
    return spin.F[:, :2] - np.stack([G, H], axis=-1), jacobian


def _corrected(evaluate, X, along, rows, iterations=8):
    """The points of the curves nearest to X in the planes across `along`, their Jacobians, and whether they were found."""
    start, X = X, X.copy()
    unit = along / np.linalg.norm(along, axis=1)[:, None]
    for _ in range(iterations):
        residual, jacobian = evaluate(X, rows)
        matrix = np.concatenate([jacobian, unit[:, None]], axis=1)
        vector = -np.concatenate([residual, np.sum(unit * (X - start), axis=1)[:, None]], axis=1)
        step = np.nan_to_num(solved(matrix, vector), nan=1.0, posinf=1.0, neginf=-1.0)
        size = np.abs(step).max(axis=1)
        X = X + np.minimum(1, 0.1 / np.maximum(size, 1e-300))[:, None] * step
        if not (size > 3e-12).any():
            break
    residual, jacobian = evaluate(X, rows)
    return X, jacobian, np.abs(residual).max(axis=1) < 1e-11


def _follow(evaluate, start):
    """Curves from their starts (B, 3), third coordinate rising first, until the first falls to the second or the third to 0.

    evaluate(X, rows): residuals (b, 2) and Jacobian (b, 2, 3) for points X of the curves rows. Returns B arrays (n, 3)."""
    rows, X = np.arange(len(start)), start.copy()
    _, jacobian = evaluate(X, rows)
    tangent = _direction(jacobian)
    tangent *= np.where(tangent[:, 2:] < 0, -1, 1)
    length = np.full(len(start), _FIRST)
    paths = [[point] for point in start]
    for _ in range(_STEPS):
        if not rows.size:
            break
        trial, jacobian, good = _corrected(evaluate, X[rows] + length[rows, None] * tangent[rows], tangent[rows], rows)
        new = _direction(jacobian)
        cosine = np.sum(new * tangent[rows], axis=1)
        new *= np.where(cosine < 0, -1, 1)[:, None]
        good &= (np.abs(cosine) > 0.95) & (np.linalg.norm(trial - X[rows], axis=1) < 2 * length[rows])
        taken = rows[good]
        X[taken], tangent[taken] = trial[good], new[good]
        for row in taken:
            paths[row].append(X[row].copy())
        length[rows] = np.where(good, np.minimum(1.4 * length[rows], _LONGEST), length[rows] / 2)
        ended = (X[:, 0] <= X[:, 1]) | (X[:, 2] < 0) | (length < _SHORTEST)
        rows = rows[~ended[rows]]
    return [np.array(path) for path in paths]


def _direction(jacobian):
    """Unit tangents of the curves."""
    tangent = np.cross(jacobian[:, 0], jacobian[:, 1])
    return tangent / np.linalg.norm(tangent, axis=1)[:, None]
