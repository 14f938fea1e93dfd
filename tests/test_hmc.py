"""Hamiltonian Monte Carlo of exp(-beta L) dm against quadrature over m, known marginals, and large systems."""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z
from scipy.special import log_ndtr

from hebb import models, simulate
from hebb.comparison import normal_score
from hebb.errors import HebbError, ParameterError
from hebb.runs.plan import Plan
from hebb.runs.worker import compute, run_task
from hebb.sampling.hmc import HamiltonianChain, hmc_settings


def grid(n, nodes):
    """Nodes theta (n_points, n) and weights of the flat measure prod dm: trapezoid in theta, whose error is exp(-pi^2/step)."""
    x = np.linspace(-9.5, 9.5, nodes)
    weight = (x[1] - x[0]) / np.cosh(x) ** 2
    points = np.array(list(itertools.product(x, repeat=n)))
    return points, np.prod(np.array(list(itertools.product(weight, repeat=n))), axis=1)


def averages(sample, beta, nodes, task=0, reference=0.0):
    """<m_i>, <m_i^2>, <m_1 m_N> and the loss per example without the divergence by quadrature."""
    points, weight = grid(sample.model.n_spins, nodes)
    m, prior = np.tanh(points), np.tanh(reference)
    data = -log_ndtr(m @ sample.examples(task).T / np.sqrt(np.sum(1 - m * m, axis=1, keepdims=True))).sum(axis=1)
    divergence = sum(np.sum((1 + s * m) / 2 * (np.log1p(s * m) - np.log1p(s * prior)), axis=1) for s in (1, -1))
    whole = data + sample.model.kl[task] * divergence
    assert whole[7] == pytest.approx(sample.loss(points[7], task, np.broadcast_to(reference, points[7].shape)), rel=1e-12)
    weight = weight * np.exp(-beta * (whole - whole.min()))
    weight /= weight.sum()
    means = [weight @ (m[:, 0] * m[:, -1]), weight @ data / sample.model.n_examples[task]]
    return np.concatenate([weight @ m, weight @ m**2, means])


@pytest.mark.parametrize("n, alpha, beta, kl, nodes", [(1, 2.0, 3.0, 0.0, 201), (2, 1.5, 2.0, 0.7, 61), (3, 1.0, 4.0, 0.2, 41)])
def test_small_systems(n, alpha, beta, kl, nodes):
    """Means over 48 independent replicas, whose scatter gives their errors."""
    sample = models.VariationalPerceptron(n, alpha, kl=kl).draw(3)
    expected = averages(sample, beta, nodes)
    chain = HamiltonianChain(sample, 1 / beta, 48, seed=2, learning={"steps": 6, "tune_sweeps": 50})
    chain.advance(100)
    sums = 0.0
    for _ in range(300):
        chain.advance(1)
        m = np.tanh(chain.theta)
        data = [chain.kernels[0].loss(theta) / sample.model.n_examples[0] for theta in chain.theta]
        sums = sums + np.column_stack([m, m**2, m[:, 0] * m[:, -1], data])
    z = (np.mean(sums / 300, axis=0) - expected) / (np.std(sums / 300, axis=0, ddof=1) / math.sqrt(48))
    assert_z([normal_score(value, 48) for value in z], 4e-6, f"N = {n}")
    assert 0.6 < chain.acceptance < 0.95


@pytest.mark.parametrize("strength", [0.0, 10.0])
def test_flat_measure_and_the_divergence_alone(strength):
    """At vanishing beta, next to no data: the m_i are independent with the density e^(beta kl S(m))."""
    m = np.linspace(-1, 1, 20003)[1:-1]
    weight = np.exp(strength * -((1 + m) / 2 * np.log((1 + m) / 2) + (1 - m) / 2 * np.log((1 - m) / 2)))
    expected, beta = weight @ m**2 / weight.sum(), 1e-5
    sample = models.VariationalPerceptron(40, 1 / 40, kl=strength / beta).draw(1)
    chain = HamiltonianChain(sample, 1 / beta, 24, seed=1, learning={"steps": 8, "tune_sweeps": 50})
    chain.advance(80)
    seen = []
    for _ in range(100):
        chain.advance(2)
        seen.append(chain.measure()["qd"])
    means = np.mean(seen, axis=0)
    z = (means.mean() - expected) / (means.std(ddof=1) / math.sqrt(24))
    assert_z(normal_score(z, 24), 2e-6, f"beta kl = {strength}")


def test_second_task_is_held_to_samples_of_the_first():
    """N = 1: over many references, <m> and <m m'> of the second task are those of the two-fold quadrature."""
    model = models.VariationalPerceptron(1, [1.0, 1.0], -1.0, [0.0, 0.8])
    sample, beta = model.draw(1), 2.0
    points, weight = grid(1, 101)
    first = weight * np.exp(-beta * np.array([sample.loss(theta, 0) for theta in points]))
    first /= first.sum()
    inner = np.array([averages(sample, beta, 101, 1, reference)[0] for reference in points])
    expected = np.array([first @ inner, first @ (inner * np.tanh(points[:, 0]))])
    values = []
    for number in range(200):
        chain = HamiltonianChain(sample, 1 / beta, 2, seed=5, point=f"{number:032x}",
                                 learning={"steps": 4, "step_size": 0.6, "reference_sweeps": 12})
        chain.advance(12 + 10)
        mean = 0.0
        for _ in range(6):
            chain.advance(3)
            mean = mean + np.tanh(chain.theta).mean() / 6
        assert np.all(chain.reference == chain.reference[0]) and chain.sweeps_done == 28
        values.append([mean, mean * math.tanh(chain.reference[0, 0])])
    z = (np.mean(values, axis=0) - expected) / (np.std(values, axis=0, ddof=1) / math.sqrt(200))
    assert_z([normal_score(value, 200) for value in z], 4e-6, "Franz-Parisi")


def test_step_size_changes_nothing_but_the_acceptance():
    sample, seen, rates = models.VariationalPerceptron(30, 1.0, kl=0.3).draw(1), [], []
    for step in (0.1, 0.3):
        chain = HamiltonianChain(sample, 0.3, 24, seed=3, learning={"steps": 10, "step_size": step})
        chain.advance(60)
        sums = 0.0
        for _ in range(120):
            chain.advance(1)
            now = chain.measure()
            sums = sums + np.column_stack([now["qd"], now["r"], now["loss"], now["kl"]]) / 120
        seen.append(sums)
        rates.append(chain.acceptance)
    error = np.sqrt(sum(np.var(one, axis=0, ddof=1) for one in seen) / 24)
    z = (seen[0].mean(axis=0) - seen[1].mean(axis=0)) / error
    assert_z([normal_score(value, 47) for value in z], 4e-6, "two step sizes")
    assert rates[0] > 0.95 and rates[1] < rates[0]


def test_order_of_the_work():
    """Tuning and references first, none of which counts; then sweeps."""
    model = models.VariationalPerceptron(20, [1.0, 1.0, 1.0], 0.5, [0.0, 1.0, 1.0])
    chain = HamiltonianChain(model.draw(1), 0.5, 2, seed=1, learning={"tune_sweeps": 50, "reference_sweeps": [30, 40],
                                                                     "steps": 3})
    assert chain.acceptance == 0.0
    chain.advance(50 + 30 + 50 + 40 + 50)
    assert chain.sweeps_done == 0
    chain.advance(7)
    assert chain.sweeps_done == 7 and 0 < chain.acceptance <= 1
    steps = chain._walk.log_step.copy()
    chain.advance(20)
    np.testing.assert_array_equal(steps, chain._walk.log_step)                      # frozen
    seen = chain.measure()
    assert seen["r"].shape == (2, 3) and seen["q0"].shape == (1,) and "forgetting" not in seen
    np.testing.assert_array_equal(chain.spins, np.sign(chain.theta))
    assert not chain.lost and chain.planted.shape == (20,)


JOB = """
[job]
name = "hmc"
[model]
kind = "variational_perceptron"
n_spins = 25
alpha = [[1.0, 0.6]]
teacher_correlation = 0.5
kl = [[0.0, 1.0]]
temperature = [0.3, 0.6]
[sampling]
dynamics = "hmc"
start = "random"
disorder = 2
thermalize = 20
sweeps = 40
measure_every = 4
[sampling.learning]
steps = 4
tune_sweeps = 50
reference_sweeps = 20
"""


def test_resumes_bit_for_bit_and_in_any_pieces():
    plan = Plan.from_text(JOB)
    task = plan.tasks[1]
    whole, record = compute(task), None
    for _ in range(500):
        record = run_task(task, record, stop=lambda: True)
        if record.status == "done":
            break
    assert record.status == "done" and record.acceptance == whole.acceptance > 0
    for name, series in whole.series.items():
        np.testing.assert_array_equal(series, record.series[name])
    model = models.VariationalPerceptron(25, [1.0, 0.6], 0.5, [0.0, 1.0])
    cut, straight = (HamiltonianChain(model.draw(1), 0.3, 2, seed=1, learning=plan.sampling["learning"]) for _ in range(2))
    straight.advance(160)
    for number in (13, 37, 15, 6, 29, 50, 10):                                      # within tuning, reference, and between them
        cut.advance(number)
        again = HamiltonianChain(model.draw(1), 0.3, 2, seed=1, learning=plan.sampling["learning"])
        again.restore(cut.snapshot())
        cut = again
    np.testing.assert_array_equal(cut.theta, straight.theta)
    assert cut.acceptance == straight.acceptance
    results = simulate(model, 0.3, disorder=2, start="random", dynamics="hmc", thermalize=20, sweeps=40, measure_every=4,
                       learning=plan.sampling["learning"])
    assert results["qd"].series(0).shape == (2, 10, 2)


def test_starts_from_the_teacher():
    chain = HamiltonianChain(models.VariationalPerceptron(20, [1.0, 1.0], 0.0).draw(1), 0.5, 3, start="teacher")
    np.testing.assert_array_equal(np.sign(chain.theta), np.tile(chain.instance.teachers[1], (3, 1)))
    np.testing.assert_array_equal(np.sign(chain._walk.theta), chain.instance.teachers[:1])


@pytest.mark.parametrize("learning, words", [
    ("fast", "learning = 'fast' is not a table"),
    ({"epochs": 10}, "unknown key 'epochs'"),
    ({"step_size": 0}, r"step_size = 0 is not a number in \]0"),
    ({"step_size": 0.1, "tune_sweeps": 100}, "tune_sweeps = 100 beside step_size = 0.1"),
    ({"steps": 0}, "steps = 0 is not a whole number"),
    ({"tune_sweeps": 3}, "tune_sweeps = 3 .* fewer trajectories find no step_size"),
    ({"reference_sweeps": [1, 2]}, r"reference_sweeps = \[1, 2\] has 2 entries for 1 tasks"),
    ({"reference_sweeps": 0}, "reference_sweeps = 0 is not a whole number"),
])
def test_bad_tables(learning, words):
    with pytest.raises(ParameterError, match=words):
        hmc_settings(models.VariationalPerceptron(10, [1.0, 1.0], 0.0), learning)


def test_a_table_is_checked_where_no_task_uses_it():
    assert hmc_settings(models.VariationalPerceptron(10, 1.0), {"reference_sweeps": 5})["reference_sweeps"] == []
    with pytest.raises(ParameterError, match="reference_sweeps = 'x' is not a whole number"):
        hmc_settings(models.VariationalPerceptron(10, 1.0), {"reference_sweeps": "x"})


def test_bad_settings():
    model = models.VariationalPerceptron(10, 1.0)
    for temperature in (0, -1.0, math.inf):
        with pytest.raises(ParameterError, match="temperature = .* it is 1/beta of exp"):
            HamiltonianChain.check(model, temperature=temperature)
    with pytest.raises(ParameterError, match="fields start 'random' or 'teacher'"):
        HamiltonianChain.check(model, temperature=1.0, start="planted")
    with pytest.raises(ParameterError, match="not of a dense model"):
        HamiltonianChain.check(models.Dense(20, 2, n_patterns=2), temperature=1.0)


def test_too_long_steps_are_named():
    chain = HamiltonianChain(models.VariationalPerceptron(60, 1.0).draw(1), 0.02, 2,
                             learning={"step_size": 2.0, "steps": 20})
    with pytest.raises(HebbError, match="first 100 trajectories were accepted: leapfrog steps of 2 do not keep the energy"):
        chain.advance(150)


# ---- replica symmetry at N = 400 (theory note, section f; columns: q0, r, qd, p)

STATES = [(0.3, 20.0, (0.3596, 0.248, 0.5528, 0.310)), (1.0, 5.0, (0.3830, 0.4539, 0.5246, 0.587)),
          (0.6, 20.0, (0.6186, 0.436, 0.7382, 0.490))]


@pytest.mark.slow
@pytest.mark.parametrize("alpha, beta, expected", STATES)
def test_large_systems(alpha, beta, expected):
    model, rows = models.VariationalPerceptron(401, alpha), []
    for disorder in range(32):
        chain = HamiltonianChain(model.draw(9, disorder), 1 / beta, 2, seed=9)
        chain.advance(400)
        seen = []
        for _ in range(100):
            chain.advance(4)
            now = chain.measure()
            seen.append([now["q0"][0], now["r"].mean(), now["qd"].mean(), now["overlap"].mean()])
        rows.append(np.mean(seen, axis=0))
    z = (np.mean(rows, axis=0) - expected) / (np.std(rows, axis=0, ddof=1) / math.sqrt(32))
    assert_z([normal_score(value, 32) for value in z], 4e-6, f"alpha = {alpha}")
