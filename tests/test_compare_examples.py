"""Comparison of unsupervised networks whose spins follow one example."""

import math

import numpy as np
import pytest
from conftest import dense_point

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.compare_dense import predict
from hebb.errors import NoSolution
from hebb.finite_examples import Pull
from hebb.finite_size import LARGEST_ANHARMONICITY, anharmonicity, mapped_point
from hebb.theory import Dense

PLANTED = {"start": "planted", "dynamics": "metropolis"}


def unsupervised(n_examples, temperature, r=0.8, n_patterns=400, n=128, p=4):
    return dense_point(n, p, n_patterns, temperature) | {"protocol": "unsupervised", "r": r, "n_examples": n_examples}


def test_the_state_that_chains_are_in_is_predicted():
    """x >= 1: the state that follows one example, at the mapped point; x < 1: retrieval."""
    point = unsupervised(2, 0.2)
    prediction, theory = predict(point, PLANTED), Dense(4, r=0.8, n_examples=2, protocol="unsupervised")
    temperature, gamma, scale = mapped_point(point)
    state = theory.solve(gamma, temperature, branch="example")
    assert theory.solve(gamma, temperature).example_response > 1
    assert prediction.branch == "example" and prediction.notes == ()
    assert prediction.values == {"m": state.m, "n": state.n, "q": state.q, "energy": scale * state.energy}
    assert set(prediction.without_z) == {"m", "q"}                       # which of two examples is not seen by n and energy
    more = predict(unsupervised(3, 0.3, r=0.6, n_patterns=200), PLANTED)
    assert more.branch == "example" and set(more.without_z) == {"m", "n", "q", "energy"}
    alike = predict(unsupervised(5, 0.4), PLANTED)
    assert alike.branch == "retrieval" and alike.notes == () and not alike.without_z


def test_samples_that_follow_an_example_below_x_of_one_are_refused():
    """Differences between the examples of a small sample carry its spins to one of them, long before x = 1."""
    for point in (unsupervised(3, 0.2, n_patterns=1), unsupervised(3, 0.4, n_patterns=800)):
        prediction = predict(point, PLANTED)
        assert prediction.branch == "retrieval" and all(map(math.isnan, prediction.values.values()))
        assert "spins follow one of them" in prediction.refused or "anharmonicity 0.04" in prediction.refused
    theory = Dense(4, r=0.8, n_examples=3, protocol="unsupervised")
    for n, refused in ((1024, True), (4096, False)):                       # small differences, but R_max is smaller
        point = unsupervised(3, 0.3, n_patterns=1, n=n)
        assert anharmonicity(point, theory) < LARGEST_ANHARMONICITY
        assert ("spins follow one of them" in predict(point, PLANTED).refused) == refused


def test_small_samples_follow_an_example_at_small_x():
    """P = 4, r = 0.8, M = 3, N = 128, T = 0.2, x = 0.07: m is far below that of spins that treat the examples alike."""
    model = models.Dense(n_spins=128, p_body=4, n_patterns=1, r=0.8, n_examples=3, protocol="unsupervised")
    row = compare_results(simulate(model, 0.2, disorder=150, sweeps=150, thermalize=100, seed=4)).rows[0]
    assert row.observable == "m" and row.mean < row.infinite - 10 * row.error and math.isnan(row.z)


@pytest.mark.parametrize(("p", "r", "m", "temperature"), [(4, 0.8, 3, 0.4), (4, 0.95, 2, 0.45), (2, 0.5, 5, 0.3),
                                                          (3, 0.9, 4, 0.3)])
def test_the_pull_on_an_example_is_a_gradient(p, r, m, temperature):
    """f(g_1 = y + d (M-1)/M, others y - d/M) of the free energy in `example_states`: its derivatives along d at d = 0."""
    point = unsupervised(m, temperature, r=r, n_patterns=1 if p > 2 else 3, n=400, p=p)
    theory = Dense(p, r=r, n_examples=m, protocol="unsupervised")
    mapped, gamma, _ = mapped_point(point)
    state = theory.solve(gamma, mapped)
    pull = Pull(theory.law, state, 400)
    assert pull.slope == pytest.approx(1 - state.example_response, rel=2e-4)
    equations, y, step = pull.equations, state.n * (1 + theory.law.rho), 0.02
    distance = step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    mean, C = np.transpose([pull._at(np.array([y, state.C]), d)[1] for d in distance])
    G, H = r * (mean + distance * (m - 1) / m), r * (mean - distance / m)
    f = equations.free_energy(G, H, C, np.full(5, gamma), np.full(5, mapped))
    weight = p / 2 * theory.law.signal * (p - 1) * (m - 1) / m**2        # df/dd = weight g^(P-2) R for small d
    second = (-f[4] + 16 * f[3] - 30 * f[2] + 16 * f[1] - f[0]) / (12 * step**2)
    assert second == pytest.approx(weight * y ** (p - 2) * (1 - state.example_response), rel=2e-3)
    if p == 2:                                                              # then for all d
        assert (f[4] - f[0]) / 2 - (f[3] - f[1]) == pytest.approx(weight * pull.second * step**3, rel=2e-3)
        assert f[4] - 4 * f[3] + 6 * f[2] - 4 * f[1] + f[0] == pytest.approx(weight * pull.third * step**4, rel=2e-3)


def test_beyond_retrieval_a_chain_may_still_follow_an_example():
    point = unsupervised(2, 0.2, r=0.5, n_patterns=60, n=2000, p=2)      # alpha = 0.03: retrieval ends at 0.0142
    with pytest.raises(NoSolution, match="no retrieval here, though spins may follow one example"):
        predict(point, PLANTED)


@pytest.mark.parametrize(("n", "p", "r", "n_patterns", "temperature"), [(100, 4, 0.8, 1, 0.2), (100, 4, 0.8, 200, 0.45)])
def test_chains_are_in_the_state_of_one_example(n, p, r, n_patterns, temperature):
    """Energies of P = 4, r = 0.8, M = 2, on which the state that treats examples alike is off by many errors."""
    model = models.Dense(n_spins=n, p_body=p, n_patterns=n_patterns, r=r, n_examples=2, protocol="unsupervised")
    comparison = compare_results(simulate(model, temperature, disorder=24, sweeps=400, thermalize=100, seed=3))
    rows = {row.observable: row for row in comparison.rows}
    assert {row.branch for row in rows.values()} == {"example"}
    assert all(math.isnan(rows[name].z) and "which example" in rows[name].excluded for name in ("m", "q"))
    energy = rows["energy"]
    assert abs(energy.mean - energy.theory) < 3.5 * energy.error
    mapped, gamma, scale = mapped_point(energy.point)
    alike = Dense(p, r=r, n_examples=2, protocol="unsupervised").solve(gamma, mapped)
    assert abs(energy.mean - scale * alike.energy) > 8 * energy.error
