"""Comparison of unsupervised networks whose spins follow one example."""

import math

import pytest
from conftest import dense_point

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.compare_dense import predict
from hebb.errors import NoSolution
from hebb.finite_size import mapped_point
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
    assert "x = 0.50: spins nearly follow single examples" in predict(unsupervised(3, 0.4, n_patterns=800), PLANTED).notes


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
