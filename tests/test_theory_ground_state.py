"""Ground states of the pure P-spin glass: published energies, monotony in the number of steps, extrapolation, refusals."""

import math

import numpy as np
import pytest

import hebb.theory
from hebb.errors import NoSolution, ParameterError
from hebb.params import DenseLaw
from hebb.theory.ground_state import _ascent, _packed, ground_state
from hebb.theory.noise import MixtureNoise
from hebb.theory.parisi import Parisi

SK_LIMIT = -0.76316672656           # full replica symmetry breaking


@pytest.mark.parametrize(("p_body", "k", "energy", "error"), [
    (2, 0, -math.sqrt(2 / math.pi), 1e-15), (2, 1, -0.7652594347, 5e-11), (2, 2, -0.76360801, 5e-9),
    (2, 3, -0.7633135, 5e-8), (3, 1, -0.8135349640, 5e-11), (3, 2, -0.8131912, 5e-8), (3, 3, -0.813174, 5e-7),
    (4, 1, -0.8254705422, 5e-11), (6, 1, -0.8312755196, 5e-11)])
def test_published_energies(p_body, k, energy, error):
    state = ground_state(p_body, k)
    assert state.converged and state.energy == pytest.approx(energy, abs=error)
    assert state.energies[-1] == state.energy and state.energies.shape == (k + 1,)
    assert state.q.shape == (k + 1,) and state.x.shape == (k,)
    assert state.q[-1] == 1 and (np.diff(state.q) > 0).all() and (np.diff(state.x) > 0).all()


def test_four_body_glass_with_two_steps_against_plain_sums():
    """f at the reported saddle by sums over one uniform grid, which know nothing of tilted kernels.

    The corner of |h| falls on a node, where the trapezoidal rule errs by O(step^2): two steps are extrapolated.
    """
    state = ground_state(4, 2)
    (_, q1, _), (x1, x2) = state.q, state.x
    s1, s2 = math.sqrt(2 * q1**3), math.sqrt(2 - 2 * q1**3)

    def plain(step):
        h = step * np.arange(-round(16 / step), round(16 / step) + 1)
        reach = round((9.5 * s2 + x2 * s2**2) / step)
        y = step * np.arange(-reach, reach + 1)
        inner = np.exp(x2 * (np.abs(h[:, None] + y) - np.abs(h[:, None])) - (y / s2) ** 2 / 2).sum(axis=1)
        phi = np.abs(h) + np.log(inner * step / (s2 * math.sqrt(2 * math.pi))) / x2
        outer = np.exp(x1 * phi - (h / s1) ** 2 / 2).sum() * step / (s1 * math.sqrt(2 * math.pi))
        return (x1 * 3 * q1**4 + x2 * 3 * (1 - q1**4)) / 4 - math.log(outer) / x1

    assert state.energy == pytest.approx((4 * plain(0.01) - plain(0.02)) / 3, abs=1e-10)
    assert state.energy == pytest.approx(-0.825430926173, abs=1e-12)


@pytest.mark.parametrize("p_body", [2, 3])
def test_energies_rise_towards_full_breaking(p_body):
    state = ground_state(p_body, 6 if p_body == 2 else 5)
    gains = np.diff(state.energies)
    assert (gains > 0).all() and (np.diff(gains) < 0).all()
    assert state.energy < state.limit < state.energy + 2 * gains[-1]
    if p_body == 2:
        assert abs(state.limit - SK_LIMIT) < state.limit_error < 1e-6
    before = ground_state(p_body, state.energies.size - 2)
    assert abs(before.limit - state.limit) < before.limit_error


def test_entropy_at_zero_temperature_is_negative_and_shrinks_with_every_step():
    """Sherrington-Kirkpatrick: S(T = 0) = -C^2/4 for every k, -1/2pi for k = 0."""
    entropies = []
    for k in (0, 1, 2):
        state = ground_state(2, k)
        entropies.append(MixtureNoise((0.0, 0.0, 1.0)).entropy(state.C, 0.0))
        assert entropies[-1] == pytest.approx(-state.C**2 / 4, rel=1e-12)
    assert entropies[0] == pytest.approx(-1 / (2 * math.pi), rel=1e-12)
    assert entropies[0] < entropies[1] < entropies[2] < 0


def test_many_bodies_are_independent_levels():
    """P -> infinity: the random energy model, e = -sqrt(ln 2) and x = 2 sqrt(ln 2)."""
    distance = [ground_state(p_body, 1).energy + math.sqrt(math.log(2)) for p_body in (10, 15, 20)]
    assert 0 < distance[2] < distance[1] / 20 < distance[0] / 400 and distance[2] < 1e-7
    assert ground_state(20, 1).x[0] == pytest.approx(2 * math.sqrt(math.log(2)), abs=1e-5)


@pytest.mark.parametrize(("p_body", "steps"), [(2, 2), (3, 3)])
def test_ascent_follows_the_gradient(p_body, steps):
    engine = Parisi(DenseLaw(p_body), steps, noise=MixtureNoise((*[0.0] * p_body, 1.0)))
    rng = np.random.default_rng(0)
    q = np.sort(rng.uniform(0.1, 0.9, steps)) * (1.0 if p_body == 2 else np.arange(steps) > 0)
    here = _packed(q, np.cumsum(rng.uniform(0.3, 1.0, steps)), p_body)
    _, gradient = _ascent(here, engine, 1.0)
    step = 1e-4
    for place, direction in enumerate(step * np.eye(here.size)):
        f = [_ascent(here + share * direction, engine, 1.0)[0] for share in (-2, -1, 1, 2)]
        assert (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step) == pytest.approx(gradient[place], abs=1e-11)


def test_refusals():
    assert hebb.theory.ground_state is ground_state
    with pytest.raises(ParameterError, match="p_body"):
        ground_state(1)
    with pytest.raises(ParameterError, match="k = -1"):
        ground_state(2, -1)
    with pytest.raises(NoSolution, match="k = 2 at p_body = 20"):
        ground_state(20, 2)
