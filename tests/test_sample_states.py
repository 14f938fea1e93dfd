"""The theory of one finite sample against the sum over every configuration of it."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import gammaln

from hebb.errors import ParameterError
from hebb.theory.sample_states import Sample

PAIR = np.array([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]])  # K = 2, classes (1,1), (1,-1), (1,0)
TILTED = np.array([[1.0, 0.4], [-0.3, 1.0], [0.9, -0.7]])
SINGLE = np.array([[1.0], [0.5], [0.0]])


def enumerated(columns, counts, temperature, scale, branch):
    """(average spin of each class, energy per spin) over all configurations with branch(g) true, exactly: classes of n_c
    spins with k_c up, weight prod C(n_c, k_c) exp(scale N |g|^2/2T)."""
    n = counts.sum()
    ups = [np.arange(count + 1) for count in counts]
    shape = [np.reshape(up, [-1 if axis == c else 1 for axis in range(len(ups))]) for c, up in enumerate(ups)]
    sums = [2.0 * up - count for up, count in zip(shape, counts, strict=True)]
    g2, inside = 0.0, [0.0] * columns.shape[1]
    for q in range(columns.shape[1]):
        inside[q] = sum(columns[c, q] * s for c, s in enumerate(sums)) / n
        g2 = g2 + inside[q] ** 2
    exponent = scale * n * g2 / (2 * temperature)
    for up, count in zip(shape, counts, strict=True):
        exponent = exponent + gammaln(count + 1) - gammaln(up + 1) - gammaln(count - up + 1)
    exponent = np.where(branch(inside), exponent, -np.inf)
    weight = np.exp(exponent - exponent.max())
    weight /= weight.sum()
    spins = np.array([np.sum(weight * s) / count for s, count in zip(sums, counts, strict=True)])
    return spins, -scale / 2 * np.sum(weight * g2)


CASES = {
    "one pattern": (SINGLE, (5, 3, 2), 0.3, 1.0, [1.0], lambda g: g[0] > 0),
    "pure": (PAIR, (3, 3, 6), 0.5, 1.0, [0.8, 0.0], lambda g: g[0] > 0),
    "hierarchical": (PAIR, (4, 2, 6), 0.25, 1.0, [0.9, 0.2], lambda g: g[0] > 0),
    "real columns": (TILTED, (5, 4, 3), 0.3, 1.0, [0.5, -0.5], lambda g: g[0] > 0.7 * g[1]),
    "scaled": (TILTED, (5, 4, 3), 0.6, 2.0, [0.5, -0.5], lambda g: g[0] > 0.7 * g[1]),
}


@pytest.mark.parametrize("case", CASES)
def test_order_1_over_n_is_exact(case):
    """What the shifts leave falls like 1/N^2, a quarter when N doubles, while the shifts themselves halve."""
    columns, shares, temperature, scale, start, branch = CASES[case]
    left = []
    for multiple in (15, 30):
        counts = multiple * np.array(shares)
        n = counts.sum()
        state = Sample(columns, counts / n, n, temperature, scale).follow(np.array(start))
        spins, energy = enumerated(columns, counts, temperature, scale, branch)
        exact = np.array([*spins, energy, np.sum(counts / n * spins**2), *((counts / n * spins) @ columns)])
        bare = np.array([*state.magnetization, state.energy, state.replica_overlap(state, shifted=False), *state.g])
        shifted = np.array([*(state.magnetization + state.magnetization_shift), state.energy + state.energy_shift,
                            state.replica_overlap(state), *(state.g + state.g_shift)])
        np.testing.assert_allclose(state.overlap(columns), state.g + state.g_shift, atol=1e-12)
        seen = np.abs(exact - bare) > 1e-6  # blank classes have no shift
        assert np.all(np.abs(exact - shifted)[seen] < 0.2 * np.abs(exact - bare)[seen])
        left.append((n * (exact - bare)[seen], n**2 * (exact - shifted)[seen]))
    assert seen.sum() >= 4
    np.testing.assert_allclose(left[1][0], left[0][0], rtol=0.2)
    np.testing.assert_allclose(left[1][1], left[0][1], rtol=0.3)


def random_sample(rng, n_classes=7, n_rows=3, temperature=0.3, n_spins=500):
    weights = rng.random(n_classes)
    return Sample(rng.standard_normal((n_classes, n_rows)), weights / weights.sum(), n_spins, temperature, scale=1.3)


def test_update_and_hessian_are_derivatives_of_the_free_energy():
    rng = np.random.default_rng(1)
    sample, step = random_sample(rng), 1e-5
    for g in rng.standard_normal((4, 3)):
        e = step * np.eye(3)
        gradient = [(sample.free_energy(g + d) - sample.free_energy(g - d)) / (2 * step) for d in e]
        np.testing.assert_allclose(gradient, 1.3 * (g - sample.update(g)), atol=1e-9)
        hessian = [((g + d - sample.update(g + d)) - (g - d - sample.update(g - d))) / (2 * step) for d in e]
        np.testing.assert_allclose(hessian, sample.hessian(g), atol=1e-8)
        assert sample.free_energy(sample.update(g)) <= sample.free_energy(g) + 1e-15


def test_states_are_minima_in_the_basin_of_the_start():
    rng = np.random.default_rng(2)
    for _ in range(10):
        sample = random_sample(rng)
        start = rng.standard_normal(3)
        state = sample.follow(start)
        assert state.residual < 1e-12 and state.smallest_eigenvalue > 0
        assert state.free_energy <= sample.free_energy(start)
        near = state.g + 1e-3 * rng.standard_normal((20, 3))
        assert all(sample.free_energy(g) > state.free_energy for g in near)
        slow = start
        for _ in range(20000):
            slow = sample.update(slow)
        np.testing.assert_allclose(slow, state.g, atol=1e-9)


def test_a_start_on_the_ridge_is_pushed_off_it():
    every = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=2)))
    weights = np.prod(np.where(every == 0, 0.2, 0.4), axis=1)
    sample = Sample(every, weights, 1000, 0.1)
    state = sample.follow(np.array([0.5, 0.5]))
    assert abs(abs(state.g[0]) - abs(state.g[1])) > 0.1 and state.smallest_eigenvalue > 0
    assert np.max(np.abs(sample.follow(np.zeros(2)).g)) > 0.1


def test_anharmonicity_grows_towards_the_critical_temperature():
    """At K = 1 without zeros the transition is at T = 1. Above it the second derivative of f at 0 is 1 - beta, the fourth
    2 beta^3."""
    values = [Sample([[1.0]], [1.0], 1000, temperature).follow(np.array([0.9])).anharmonicity
              for temperature in (0.5, 0.8, 0.95)]
    assert values[0] < values[1] < values[2]
    above = Sample([[1.0]], [1.0], 1000, 1.25).follow(np.array([0.9]))
    assert above.g[0] == pytest.approx(0, abs=1e-12)
    assert above.anharmonicity == pytest.approx(1.25 / 1000 * 2 * 0.8**3 / (8 * 0.2**2))


def test_replicas_in_opposite_states():
    sample = Sample(PAIR, [0.25, 0.25, 0.5], 500, 0.4)
    up, down = sample.follow(np.array([0.9, 0.0])), sample.follow(np.array([-0.9, 0.0]))
    assert up.replica_overlap(down) == pytest.approx(-up.replica_overlap(up))
    assert up.free_energy == pytest.approx(down.free_energy)
    assert math.isclose(up.energy_shift, down.energy_shift, rel_tol=1e-9)


@pytest.mark.parametrize("arguments, message", [
    (([[1.0]], [0.5, 0.5], 10, 0.5), "give one weight per column"),
    (([[1.0], [0.0]], [0.5, 0.4], 10, 0.5), "divide counts by N"),
    (([[1.0]], [1.0], 10, 0.0), "temperature = 0.0"),
    (([[1.0]], [1.0], 0, 0.5), "n_spins = 0"),
])
def test_bad_input_in_one_sentence(arguments, message):
    with pytest.raises(ParameterError, match=message):
        Sample(*arguments)


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(ParameterError, match="one overlap per entry"):
        Sample([[1.0]], [1.0], 10, 0.5).follow(np.zeros(2))
