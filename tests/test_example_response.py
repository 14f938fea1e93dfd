"""Unsupervised learning: stability of states that treat examples alike, against the Hessian of another free energy."""

import itertools

import numpy as np
import pytest

from hebb.params import DenseLaw
from hebb.theory import Dense
from hebb.theory.parisi import Parisi, Point

Z = np.linspace(-8, 8, 321)
GAUSS = np.exp(-Z * Z / 2) / np.exp(-Z * Z / 2).sum()


def fields(law, g):
    """Signal of one spin for all signs of the examples of its pattern, and their probabilities; g: overlaps (M,) over r."""
    signs = np.array(list(itertools.product((1, -1), repeat=law.n_examples)))
    weight = np.prod(np.where(signs > 0, (1 + law.r) / 2, (1 - law.r) / 2), axis=1)
    strength = law.p_body / 2 * law.signal / law.n_examples * g ** (law.p_body - 1)
    return signs @ strength / law.r, weight


def condensed(law, g):
    return (law.p_body - 1) / 2 * law.signal * np.mean(g**law.p_body)


def free_energy(law, g, sigma, temperature):
    """The part of f that depends on the overlaps g of the examples, at fixed noise: complex g too."""
    a, weight = fields(law, g)
    h = a[:, None] + sigma * Z
    h = np.where(h.real > 0, h, -h)
    return condensed(law, g) - weight @ (h + temperature * np.log1p(np.exp(-2 * h / temperature))) @ GAUSS


def broken_free_energy(law, g, widths, x, temperature):
    """The same with one step of replica symmetry breaking."""
    a, weight = fields(law, g)
    h = np.abs(a[:, None, None] + widths[0] * Z[:, None] + widths[1] * Z)
    potential = h + temperature * np.log1p(np.exp(-2 * h / temperature))
    return condensed(law, g) - weight @ (np.log(np.exp(x * potential) @ GAUSS) / x) @ GAUSS


def parting(f, g, step=2e-3):
    """Second derivative of f where examples 1 and 2 part, per unit length, to the fourth order of the step."""
    away = np.zeros(g.size)
    away[:2] = step / np.sqrt(2), -step / np.sqrt(2)
    values = np.array([f(g + k * away) for k in range(-2, 3)])
    return values @ [-1, 16, -30, 16, -1] / (12 * step**2)


POINTS = [({"p_body": 4, "r": 0.8, "n_examples": 2}, 0.02, 0.2), ({"p_body": 4, "r": 0.8, "n_examples": 3}, 0.05, 0.35),
          ({"p_body": 4, "r": 0.6, "n_examples": 5}, 0.01, 0.2), ({"p_body": 3, "r": 0.7, "n_examples": 4}, 0.02, 0.3),
          ({"p_body": 2, "r": 0.5, "n_examples": 2}, 0.005, 0.35), ({"p_body": 2, "r": 0.5, "n_examples": 2}, 0.005, 0.5),
          ({"p_body": 2, "r": 0.5, "n_examples": 5}, 0.005, 0.3)]


@pytest.mark.parametrize(("keywords", "gamma", "temperature"), POINTS, ids=str)
def test_response_is_the_hessian_where_examples_part(keywords, gamma, temperature):
    theory = Dense(**keywords, protocol="unsupervised")
    law, state = theory.law, theory.solve(gamma, temperature)
    nt, equations = state.n * (1 + law.rho), theory.branches.equations
    sigma = float(equations.field_width(state.C, gamma, temperature))
    g = np.full(law.n_examples, nt)
    slope = np.imag(free_energy(law, g + 1e-20j * np.eye(g.size)[0], sigma, temperature)) / 1e-20
    assert abs(slope) < 1e-12                                              # the state is a stationary point of this f
    hessian = parting(lambda g: free_energy(law, g, sigma, temperature).real, g)
    expected = equations.amplitude_slope(nt) / law.n_examples * (1 - state.example_response)
    assert hessian == pytest.approx(expected, abs=2e-6 * max(1, abs(expected)))
    assert state.stable == (hessian > 0)                                   # nothing else is unstable here
    merged = theory.solve(gamma, temperature, ansatz="1RSB")
    assert (merged.stable, merged.example_response) == (state.stable, pytest.approx(state.example_response, rel=1e-9))


@pytest.mark.parametrize(("keywords", "load", "temperature"), [
    ({"p_body": 4, "r": 0.8, "n_examples": 3}, 0.25, 0.1), ({"p_body": 4, "r": 0.8, "n_examples": 2}, 0.2, 0.1),
    ({"p_body": 2, "r": 0.5, "n_examples": 2}, 0.2, 0.3)], ids=str)
def test_response_of_a_broken_state(keywords, load, temperature):
    """Off its saddle as well: x belongs to the functional, and q0, q1 and x of the ansatz are free."""
    law = DenseLaw.from_keywords(**keywords, protocol="unsupervised")
    parisi = Parisi(law, 1)
    point = Point.of(0.7 if law.p_body > 2 else 0.4, [0.6], 0.1 / temperature, [1.5], load, temperature)
    widths = np.sqrt(load * parisi.hierarchy.rises(point.overlaps, point.C, point.x))[0]
    g = np.full(law.n_examples, point.nt[0])
    hessian = parting(lambda g: broken_free_energy(law, g, widths, 1.5, temperature), g)
    # off the saddle the curvature of the condensed energy exceeds that of a saddle by A'' (nt - E u t)
    off = law.p_body * (law.p_body - 1) / 2 * law.signal / law.n_examples * point.nt ** (law.p_body - 2)
    values = parisi.evaluate(point, finer=True)
    bend = off * (law.p_body - 2) / point.nt * (point.nt - values.nt)
    expected = (off * (1 - parisi.example_response(point, values)) + bend)[0]
    assert hessian == pytest.approx(expected, abs=1e-5 * max(1, abs(expected)))


def test_response_of_spins_at_rest():
    """n = 0: the products of P > 2 entries are not felt at all, pairs as a mode of strength rho/(1+rho)."""
    pairs, products = (Dense(p, r=0.6, n_examples=4, protocol="unsupervised") for p in (2, 4))
    for branch, point in (("paramagnet", (0.1, 1.5)), ("glass", (0.3, 0.3))):
        state = pairs.solve(*point, branch=branch)
        assert state.example_response == pytest.approx(pairs.law.rho / (1 + pairs.law.rho) * state.C, rel=1e-12)
    assert products.solve(0.1, 0.9, branch="paramagnet").example_response == 0


def test_states_that_spins_leave_for_an_example_are_not_stable():
    """P = 4, r = 0.8, M = 2: Monte Carlo at T = 0.2 has an energy of -0.3606, the state that treats both alike -0.30."""
    two = Dense(4, r=0.8, n_examples=2, protocol="unsupervised")
    unstable = [two.solve(gamma, temperature) for gamma in (0.0, 0.01, 0.05) for temperature in (0.0, 0.1, 0.2, 0.5)]
    assert all(state.example_response > 1 and state.replicon > 0 or state.temperature == 0 for state in unstable)
    assert not any(state.stable for state in unstable)
    broken = two.solve(0.05, 0.02, ansatz="1RSB")
    assert broken.example_response > 1 and not broken.stable
    assert Dense(4, r=0.8, n_examples=5, protocol="unsupervised").solve(0.02, 0.2).stable


@pytest.mark.parametrize("keywords", [{"r": 0.8, "n_examples": 3, "protocol": "supervised"}, {},
                                      {"r": 0.8, "n_examples": 1, "protocol": "unsupervised"},
                                      {"r": 1.0, "n_examples": 3, "protocol": "unsupervised"}], ids=str)
def test_no_response_without_examples_that_can_part(keywords):
    assert Dense(4, **keywords).solve(0.02, 0.2).example_response == 0


def test_many_examples_approach_their_limit():
    """At fixed rho, r -> 0 for P = 2; at fixed r, rho -> 0 both laws agree to order 1/M."""
    exact = Dense(4, r=0.8, n_examples=400, protocol="unsupervised")
    limit = Dense(4, r=0.8, rho=exact.law.rho, protocol="unsupervised")
    states = [theory.solve(0.02, 0.4).example_response for theory in (exact, limit)]
    assert states[0] == pytest.approx(states[1], rel=0.02) and states[0] > 0
