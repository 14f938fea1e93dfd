"""Lines, limits and phase diagrams of dense networks with noisy datasets, replica symmetric."""

import math

import numpy as np
import pytest
from scipy.stats import binom
from test_theory_datasets import SOME, theory

from hebb.errors import NoSolution


@pytest.mark.parametrize("keywords", SOME, ids=str)
def test_lines_meet_what_they_invert(keywords):
    th = theory(**keywords)
    top = th.spinodal_temperature(0.0).temperature
    gamma = 0.4 * th.spinodal(0.0).gamma
    edge = th.spinodal_temperature(gamma)
    assert edge.converged and abs(th.spinodal(edge.temperature).gamma - gamma) < 1e-12
    crossing = th.transition(0.6 * top)
    assert crossing.converged and abs(th.transition_temperature(crossing.gamma).temperature - 0.6 * top) < 1e-9
    at = th.at_line(gamma)
    assert at.converged and th.solve(gamma, 1.05 * at.temperature).stable
    assert th.solve(gamma, 0.95 * at.temperature).replicon < 0
    curve = th.curve(0.3 * top, points=40)
    assert np.all(np.diff(curve.m) < 0) and np.all(np.diff(curve.n) < 0)
    state = th.solve(float(curve.gamma[11]), 0.3 * top)
    assert abs(state.m - curve.m[11]) < 1e-13 and abs(state.n - curve.n[11]) < 1e-13


def test_undecided_spins():
    """Even M: u = 0 counts nothing at gamma = T = 0, as in the limit gamma -> 0; P = 2 holds them at any load."""
    r, n_examples = 0.3, 4
    k = np.arange(n_examples + 1)
    weights, sign = binom.pmf(k, n_examples, (1 + r) / 2), np.sign(2 * k - n_examples)
    for p_body in (2, 3, 4):
        th = theory(p_body=p_body, r=r, n_examples=n_examples)
        s = th.solve(0.0, 0.0)
        assert s.converged and s.m == pytest.approx(weights @ sign, abs=1e-15)
        assert s.q == pytest.approx(1 - weights[2], abs=1e-15) and s.C == math.inf
        assert s.entropy == pytest.approx(weights[2] * math.log(2), abs=1e-15)
    near = theory(p_body=4, r=r, n_examples=n_examples).solve(1e-10, 0.0)
    assert near.converged and abs(near.m - weights @ sign) < 1e-12
    th = theory(p_body=2, r=r, n_examples=n_examples)
    free, held = th.solve(0.0, 0.2), th.solve(1e-10, 0.2)
    assert free.C > weights[2] / 0.2 > 1 and free.converged
    assert held.converged and 0.9999 < held.C < 1 and held.q > free.q + 0.1


def test_glass_of_unsupervised_hopfield():
    """The replicon of the paramagnet, alpha sum lambda^2/(T - lambda)^2 = 1, and the glass grows out of it."""
    th = theory(p_body=2, r=0.3, n_examples=7, protocol="unsupervised")
    eigenvalues = np.linalg.eigvalsh(0.09 + 0.91 * np.eye(7)) / (7 * (0.09 + 0.91 / 7))
    edge = th.glass_temperature(0.2)
    assert edge.converged and 0.2 * np.sum((eigenvalues / (edge.temperature - eigenvalues)) ** 2) == pytest.approx(1, abs=1e-12)
    assert edge.temperature > 1 + math.sqrt(0.2)
    below = th.solve(0.2, edge.temperature * (1 - 1e-4), branch="glass")
    assert 0 < below.q < 1e-3 and below.converged and below.replicon < 0
    with pytest.raises(NoSolution):
        th.solve(0.2, edge.temperature * (1 + 1e-9), branch="glass")
    supervised = theory(p_body=2, r=0.3, n_examples=7).glass_temperature(0.2)
    assert supervised.temperature == pytest.approx(1 + math.sqrt(0.2), abs=1e-15)


@pytest.mark.parametrize("keywords, title", [
    ({"p_body": 2, "r": 0.8, "n_examples": 4}, "dense, P = 2, supervised, r = 0.8, M = 4"),
    ({"p_body": 4, "rho": 0.1, "hamiltonian": "naive"}, "dense, P = 4, naive, supervised, rho = 0.1"),
    ({"p_body": 3, "rho": 0.1, "r": 0.5, "protocol": "unsupervised"}, "dense, P = 3, unsupervised, r = 0.5, rho = 0.1")])
def test_phase_diagrams(keywords, title):
    th = theory(**keywords)
    top = th.spinodal_temperature(0.0).temperature
    pd = th.phase_diagram(np.linspace(0, 1.2 * th.spinodal(0.0).gamma, 25), np.linspace(0, 1.1 * top, 15))
    assert pd.title == title and all(error < 1e-10 for error in pd.residuals.values())
    rng = np.random.default_rng(3)
    for i, j in zip(rng.integers(15, size=12), rng.integers(25, size=12), strict=True):
        point = float(pd.gamma[j]), float(pd.temperature[i])
        exists = pd.labels[i, j] >= 2
        if exists:
            assert abs(th.solve(*point).m - pd.m[i, j]) < 1e-12
        else:
            with pytest.raises(NoSolution):
                th.solve(*point)
