"""Chains of perceptrons: observables, starts, the reference of a second task, jobs, and an independent simulation."""

import math

import numpy as np
import pytest
from conftest import assert_same_datasets, assert_z, hebb, run_hebb
from scipy.stats import chi2, norm
from test_exact import boltzmann, configurations

from hebb import load, models, sample, simulate
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.runs.worker import compute
from hebb.sampling.chain import Chain
from hebb.sampling.observables import observer_class

ALARM = 1e-6


def second(n=61, alpha=1.5, r0=0.4, coupling=0.5, **keys):
    return models.SecondTask(models.BinaryPerceptron(n, 1.0, **keys), alpha, r0, coupling, reference_sweeps=50)


@pytest.mark.parametrize("n", [60, 61])
@pytest.mark.parametrize("loss, kappa", [("violations", 0.0), ("violations", 0.3), ("hinge", 0.3), ("quadratic", 0.0)])
def test_observables(n, loss, kappa):
    model = models.BinaryPerceptron(n, 1.5, loss=loss, kappa=kappa)
    chain = Chain(model.draw(1), 0.7, replicas=3, start="random", seed=4)
    chain.advance(6)
    seen, spins = chain.measure(), chain.spins.astype(float)
    stability = spins @ chain.instance.patterns.T / math.sqrt(n)
    violated = np.where(stability < kappa, 1.0, np.where((stability == kappa) & (kappa == 0), 0.5, 0.0))
    gap = np.maximum(kappa - stability, 0)
    cost = {"violations": violated, "hinge": gap, "quadratic": gap**2}[loss]
    r = spins @ chain.instance.teacher / n
    expected = {"r": r, "generalization_error": np.arccos(r) / np.pi, "training_error": violated.mean(axis=1),
                "energy": cost.sum(axis=1) / n, "q": [spins[a] @ spins[b] / n for a, b in ((0, 1), (0, 2), (1, 2))]}
    if loss != "violations":
        expected["loss"] = cost.mean(axis=1)
    assert set(seen) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name], value, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(chain.kernel.energy / n, seen["energy"], rtol=1e-8)  # values rounded to 2^-28
    assert sum(np.size(value) for value in seen.values()) == observer_class(model).numbers(model, 3, "random")


def test_observables_of_second_tasks():
    model = second(loss="hinge")
    chain = Chain(model.draw(1), 0.7, replicas=3, start="random", seed=4)
    chain.advance(6)
    seen, spins, instance = chain.measure(), chain.spins.astype(float), chain.instance
    cost = np.maximum(-spins @ instance.patterns.T, 0) / math.sqrt(61)
    r1, r2 = spins @ instance.teacher / 61, spins @ instance.teacher2 / 61
    expected = {"r1": r1, "r2": r2, "overlap_reference": spins @ instance.reference / 61, "error_task1": np.arccos(r1) / np.pi,
                "error_task2": np.arccos(r2) / np.pi, "training_error": np.mean(cost > 0, axis=1),
                "energy": cost.sum(axis=1) / 61, "loss": cost.mean(axis=1),
                "reference_r1": [np.mean(instance.teacher * instance.reference.astype(float))] * 3,
                "reference_r2": [np.mean(instance.teacher2 * instance.reference.astype(float))] * 3,
                "teacher_overlap": [np.mean(instance.teacher * instance.teacher2.astype(float))] * 3,
                "q": [spins[a] @ spins[b] / 61 for a, b in ((0, 1), (0, 2), (1, 2))]}
    assert set(seen) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name], value, rtol=1e-12, err_msg=name)
    assert sum(np.size(value) for value in seen.values()) == observer_class(model).numbers(model, 3, "random")
    coupling = 0.7 * 0.5 * spins @ instance.reference
    np.testing.assert_allclose(instance.energy(chain.spins), cost.sum(axis=1) - coupling, rtol=1e-12)


def test_starts():
    model = models.BinaryPerceptron(501, 1.0)
    instance = model.draw(1)
    corruption = {"corrupted": 0.1}
    spins = {start: Chain(instance, 1.0, 3, start, corruption.get(start), seed=2).spins for start in model.starts}
    for start in ("planted", "teacher"):
        np.testing.assert_array_equal(spins[start], np.tile(instance.teacher, (3, 1)))
    flipped = np.mean(spins["corrupted"] != instance.teacher)
    kept = np.mean(spins["random"] == instance.teacher)
    assert_z([(flipped - 0.1) / math.sqrt(0.09 / 1503), (kept - 0.5) / math.sqrt(0.25 / 1503)], ALARM)
    np.testing.assert_array_equal(Chain(instance, 1.0, start=np.ones(501)).spins, 1)
    for other, temperature in ((models.BinaryPerceptron(501, 2.0, loss="hinge"), 1.0), (model, 0.3)):  # those of the disorder
        np.testing.assert_array_equal(Chain(other.draw(1), temperature, 3, start="random", seed=2).spins, spins["random"])
    coupled = Chain(second().draw(1), 1.0, start="reference", seed=5)
    np.testing.assert_array_equal(coupled.spins, np.tile(coupled.instance.reference, (2, 1)))
    np.testing.assert_array_equal(Chain(second().draw(1), 1.0, start="teacher").spins[0], coupled.instance.teacher2)


def test_chains_that_leave_their_teacher_are_not_lost():
    chain = Chain(models.BinaryPerceptron(101, 0.3).draw(1), 2.0, start="teacher", seed=1)
    chain.advance(200)
    assert np.all(np.abs(chain.measure()["r"]) < 0.5) and not chain.lost


def test_no_coupling_is_no_coupling():
    """The same bits as the chain of the second task alone."""
    instance = second(coupling=0.0).draw(1)
    alone = models.BinaryPerceptron(patterns=instance.patterns, teacher=instance.teacher2).draw(1)
    start = np.random.default_rng(0).choice([-1, 1], size=(2, 61))
    one, other = (Chain(sample, 0.9, start=start, seed=3, point="ab" * 16) for sample in (instance, alone))
    for chain in (one, other):
        chain.advance(30)
    np.testing.assert_array_equal(one.spins, other.spins)
    assert one.acceptance > 0
    np.testing.assert_array_equal(one.measure()["energy"], other.measure()["energy"])


def test_references():
    """One for each temperature, seed and sample, the same whatever the second task and the number of replicas are."""
    base = second().draw(1).at(0.8, 3).reference
    for other in (second(alpha=0.5), second(r0=-1.0), second(coupling=0.0)):
        np.testing.assert_array_equal(other.draw(1).at(0.8, 3).reference, base)
    np.testing.assert_array_equal(Chain(second().draw(1), 0.8, replicas=5, start="random", seed=3).instance.reference, base)
    for instance in (second().draw(1).at(0.9, 3), second().draw(1).at(0.8, 4), second().draw(1, 1).at(0.8, 3)):
        assert np.any(instance.reference != base)
    np.testing.assert_allclose(second().draw(1).at(0.8, 3).fields, 0.8 * 0.5 * base)


@pytest.mark.statistical
def test_references_follow_boltzmanns_law():
    n, temperature, number = 7, 0.6, 3000
    model = models.SecondTask(models.BinaryPerceptron(n, 1.5), 1.0, 0.0, 1.0, reference_sweeps=60)
    instance, (states, every) = model.draw(1), configurations(n)
    p = boltzmann(instance.first.energy(every), temperature)
    found = np.array([instance.at(temperature, seed).reference for seed in range(number)])
    counts = np.bincount(((1 - found.astype(int)) // 2) @ (1 << np.arange(n)), minlength=len(states))
    rare = p * number < 10
    expected, seen = (np.append(values[~rare], values[rare].sum()) for values in (p * number, counts))
    assert_z(norm.isf(chi2.sf(np.sum((seen - expected) ** 2 / expected), len(expected) - 1)), ALARM)


@pytest.mark.statistical
def test_second_task_on_average():
    """Disorder, reference and chain at once: r1 and the overlap with the reference against enumeration of both tasks."""
    n, temperature = 7, 0.8
    model = models.SecondTask(models.BinaryPerceptron(n, 1.0), 1.0, 0.5, 0.6, reference_sweeps=40)
    result = simulate(model, temperature, disorder=100, sweeps=400, thermalize=40, start="random", seed=9)
    every, z = configurations(n)[1], {"r1": [], "overlap_reference": []}
    for disorder in range(100):
        instance = model.draw(9, disorder).at(temperature, 9)
        p = boltzmann(instance.energy(every), temperature)
        for name, weights in (("r1", instance.teacher), ("overlap_reference", instance.reference)):
            z[name].append(result[name].samples[0, disorder].mean() - p @ every @ weights / n)
    assert_z([np.mean(values) / (np.std(values, ddof=1) / math.sqrt(100)) for values in z.values()], ALARM)


JOB = """
[job]
name = "weights"
seed = 11
[model]
{model}
temperature = [0.7, 1.0]
[sampling]
disorder = 2
replicas = 2
start = "random"
thermalize = 10
sweeps = 60
measure_every = 2
keep_spins = true
[run]
checkpoint_every = "00:00:00"
"""
KINDS = {"perceptron": 'kind = "perceptron"\nn_spins = 51\nalpha = [0.5, 1.0]\nloss = "hinge"\nkappa = 0.2',
         "second_task": 'kind = "second_task"\nn_spins = 51\nfirst_alpha = 1.0\nalpha = 0.5\nteacher_correlation = [0.0, 0.5]\n'
                        'coupling = 1.0\nreference_sweeps = 20'}


@pytest.mark.parametrize("kind", KINDS)
def test_jobs(kind, tmp_path, capsys, monkeypatch):
    """Stopped at every checkpoint and continued, or not: the same bits, which are those of `simulate`."""
    monkeypatch.chdir(tmp_path)
    job = tmp_path / "job.toml"
    job.write_text(JOB.format(model=KINDS[kind]))
    code, out, _ = hebb(capsys, "check", "job.toml")
    assert code == 0 and "8 tasks" in out
    summary = run_job(job, SerialExecutor(), out=tmp_path / "one")
    assert summary.done == summary.total == 8
    plan = Plan.from_toml(job)
    for task in plan.tasks[1::3]:
        record = compute(task, stop=lambda: True)
        while record.status != "done":
            record = compute(task, record, stop=lambda: True)
        calm = compute(task)
        for name, series in calm.series.items():
            np.testing.assert_array_equal(record.series[name], series)
        np.testing.assert_array_equal(record.spins["final"], calm.spins["final"])
    results = load(tmp_path / "one")
    keywords = dict(disorder=2, start="random", thermalize=10, sweeps=60, measure_every=2, seed=11)
    direct = simulate(plan.points[0][0], [0.7, 1.0], **keywords)
    for name in direct:
        np.testing.assert_array_equal(direct[name].samples, results[name].samples[:2])


@pytest.mark.mpi
def test_ranks(tmp_path):
    (tmp_path / "job.toml").write_text(JOB.format(model=KINDS["second_task"]))
    run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "one")
    result = run_hebb("run", "job.toml", "--out", "two", cwd=tmp_path, ranks=2)
    assert result.returncode == 0, result.stderr
    assert_same_datasets(tmp_path / "one" / "results.h5", tmp_path / "two" / "results.h5")


def test_sample_draws_the_coupled_law():
    """`sample` meets the reference of its own temperature and seed."""
    instance = second(coupling=50.0).draw(1)
    spins = sample(instance, 1.0, n_samples=5, thermalize=200, seed=6)
    np.testing.assert_array_equal(spins[:, 0], np.tile(instance.at(1.0, 6).reference, (5, 1)))


#: T, alpha: training error, r, q with their errors, from 12 samples of N = 301 of another Metropolis program.
INDEPENDENT = [
    (1.0, 0.5, 0.2405, 0.0033, 0.1384, 0.0014, 0.0755, 0.0012),
    (1.0, 1.0, 0.2149, 0.0024, 0.2752, 0.0052, 0.1652, 0.0019),
    (1.0, 1.5, 0.1918, 0.0012, 0.3967, 0.0042, 0.2657, 0.0016),
    (0.5, 0.8, 0.1022, 0.0026, 0.3391, 0.0050, 0.2731, 0.0031),
    (2.0, 2.0, 0.2952, 0.0019, 0.2963, 0.0020, 0.1432, 0.0014),
]


@pytest.mark.slow
@pytest.mark.statistical
def test_another_program_agrees():
    z = []
    for temperature, alpha, train, train_err, r, r_err, q, q_err in INDEPENDENT:
        result = simulate(models.BinaryPerceptron(301, alpha), temperature, disorder=32, sweeps=3000, thermalize=500,
                          measure_every=4, start="random", seed=3)
        for name, value, error in (("training_error", train, train_err), ("r", r, r_err), ("q", q, q_err)):
            spread = np.std(result[name].samples[0].reshape(32, -1).mean(axis=1), ddof=1)
            # a quoted error from 12 samples is itself uncertain: the scatter of 32 samples says what 12 have
            scatter = math.hypot(max(error, spread / math.sqrt(12)), spread / math.sqrt(32))
            z.append((float(result[name].mean[0]) - value) / scatter)
    assert_z(z, ALARM)
