"""Gradient learning as chains: schedules, observables of sequences, limits, resuming, refusals, and published rows."""

import math

import numpy as np
import pytest
from conftest import SMALL, assert_z

import hebb
from hebb import models, simulate
from hebb.comparison import normal_score
from hebb.errors import HebbError, HebbWarning, ParameterError
from hebb.runs.plan import Plan
from hebb.runs.worker import compute, run_task
from hebb.sampling.learning import GradientChain, learning_settings

TWO = models.VariationalPerceptron(60, [1.0, 0.5], 0.5, [0.0, 1.0])
QUICK = {"epochs": [40, 30], "learning_rate": 0.02, "batch_size": [0, 8]}


def chain(model=TWO, replicas=2, disorder=0, **learning):
    return GradientChain(model.draw(1, disorder), 0.0, replicas, seed=1, learning=learning or QUICK)


def test_observables_are_what_they_say():
    learner = chain()
    learner.advance(70)
    seen, m = learner.measure(), np.tanh(learner.theta)
    teachers, sample = learner.instance.teachers.astype(float), learner.instance
    p = np.sign(m) @ teachers.T / 60
    np.testing.assert_allclose(seen["overlap"], p, atol=1e-14)
    np.testing.assert_allclose(seen["error"], np.arccos(p) / math.pi, atol=1e-14)
    np.testing.assert_allclose(seen["r"], m @ teachers.T / 60, atol=1e-14)
    np.testing.assert_allclose(seen["qd"], np.mean(m**2, axis=1), atol=1e-14)
    np.testing.assert_allclose(seen["q0"], [m[0] @ m[1] / 60], atol=1e-14)
    for task in range(2):
        fields = np.sign(m) @ sample.examples(task).T
        wrong = np.mean((fields < 0) + 0.5 * (fields == 0), axis=1)
        np.testing.assert_allclose(seen["training_error"][:, task], wrong, atol=1e-14)
    whole = [sample.loss(theta, 1, prior) for theta, prior in zip(learner.theta, learner.reference, strict=True)]
    np.testing.assert_allclose(30 * seen["loss"] + 60 * seen["kl"], whole, rtol=1e-10)
    assert learner.numbers(TWO, 2, "random") == sum(np.size(value) for value in seen.values())
    assert math.isnan(learner.acceptance) and not learner.lost
    np.testing.assert_array_equal(learner.spins, np.sign(m))


def test_schedule_forgetting_and_transfer():
    """The tasks follow each other, and errors are kept from the moments that define forgetting and transfer."""
    model = models.VariationalPerceptron(60, [1.0, 0.5, 1.0], 0.2, [0.0, 1.0, 0.3])
    learner = GradientChain(model.draw(1), 0.0, 2, seed=1, learning={"epochs": [20, 10, 30], "learning_rate": 0.03})
    seen, ends = {0: learner.measure()}, {}
    for epoch in range(1, 66):
        learner.advance(1)
        seen[epoch] = learner.measure()
        assert learner.task == (0 if epoch <= 20 else 1 if epoch <= 30 else 2)
        if epoch > 20:
            np.testing.assert_array_equal(learner.reference, ends[20 if epoch <= 30 else 30])
        if epoch in (20, 30):
            ends[epoch] = learner.theta.copy()
    assert np.all(seen[20]["kl"] > 0) and np.all(seen[21]["kl"] < seen[20]["kl"])   # of task 2, it begins at its reference
    for epoch, now in seen.items():
        error = now["error"]
        for task, (begin, end) in enumerate(((0, 20), (20, 30), (30, 66))):
            forgotten = error[:, task] - seen[end]["error"][:, task] if epoch > end else 0.0
            np.testing.assert_allclose(now["forgetting"][:, task], forgotten, atol=1e-15)
            before = seen[begin]["error"] if epoch > begin else error
            np.testing.assert_allclose(now["transfer"][:, task], 0.5 - before[:, task], atol=1e-15)
    assert np.any(seen[65]["forgetting"] != 0) and np.any(seen[65]["transfer"][:, 1:] != 0)


def test_optimiser_begins_anew_with_every_task():
    """The second task alone, from where the first one ended, is the same."""
    learner = chain(epochs=[25, 30], learning_rate=0.02, weight_decay=0.1)
    learner.advance(25)
    theta = learner.theta[0].copy()
    reference = theta.copy()
    learner.advance(30)
    learner.instance.kernel(1).train(theta, np.zeros((2, 60)), "adam", 30, learning_rate=0.02, weight_decay=0.1, kl=1.0,
                                     reference=reference, powers=np.ones(2))
    np.testing.assert_array_equal(theta, learner.theta[0])


@pytest.mark.parametrize("correlation", [1.0, -1.0])
def test_teachers_that_are_equal_or_opposite(correlation):
    model = models.VariationalPerceptron(60, [1.0, 0.5], correlation)
    learner = chain(model)
    learner.advance(40)
    error = learner.measure()["error"]
    np.testing.assert_allclose(error[:, 1], error[:, 0] if correlation > 0 else 1 - error[:, 0], atol=1e-12)


def test_divergence_holds_and_lets_go():
    """A huge kl keeps the weights where they were; without one they forget."""
    forgotten = {}
    for kl in (0.0, 1e3):
        model = models.VariationalPerceptron(300, [2.0, 2.0], 0.0, [0.0, kl])
        learner = GradientChain(model.draw(2), 0.0, 1, learning={"epochs": [1500, 1500], "learning_rate": 2e-3})
        learner.advance(3000)
        forgotten[kl] = learner.measure()["forgetting"][0, 0]
    assert abs(forgotten[1e3]) < 0.02 and forgotten[0.0] > 0.2


@pytest.mark.parametrize("learning", [{"optimizer": "adam", "learning_rate": 2e-3},
                                      {"optimizer": "sgd", "learning_rate": 2e-3, "momentum": 0.9}])
def test_descent_ends_where_the_gradient_vanishes(learning):
    """With the divergence from the uniform prior there is a minimum inside, in small systems a single one."""
    model = models.VariationalPerceptron(40, 0.5, kl=1.0)
    learner = GradientChain(model.draw(1), 0.0, 2, learning={"epochs": 20000, **learning})
    learner.advance(20000)
    left = 1e-4 if learning["optimizer"] == "adam" else 1e-9                        # the steps of Adam have a size of their own
    for theta in learner.theta:
        assert np.abs(model.draw(1).gradient(theta)).max() < left
    np.testing.assert_allclose(learner.theta[0], learner.theta[1], atol=10 * left)


def test_any_cut_gives_the_same_bits():
    straight = chain()
    straight.advance(75)
    cut = chain()
    for number in (1, 30, 9, 3, 27, 5):                                            # 40, the end of a task, among them
        cut.advance(number)
        again = chain()
        again.restore(cut.snapshot())
        cut = again
    for name, value in straight.measure().items():
        np.testing.assert_array_equal(value, cut.measure()[name], err_msg=name)
    assert cut.sweeps_done == 75


def test_replicas_share_the_data_and_nothing_else():
    two, one = chain(replicas=2), chain(replicas=1)
    two.advance(60)
    one.advance(60)
    np.testing.assert_array_equal(two.theta[0], one.theta[0])
    assert not np.array_equal(two.theta[0], two.theta[1])


JOB = """
[job]
name = "learn"
[model]
kind = "variational_perceptron"
n_spins = 50
alpha = [[1.0, 0.5], [2.0, 0.5]]
teacher_correlation = [0.0, 0.5]
kl = [[0.0, 1.0]]
temperature = 0.0
[sampling]
dynamics = "gradient"
start = "random"
disorder = 3
replicas = 2
thermalize = 0
sweeps = 60
measure_every = 10
[sampling.learning]
epochs = [40, 20]
learning_rate = 0.02
batch_size = "published rule"
optimizer = "sgd"
"""


def test_job_resumes_and_equals_simulate(tmp_path):
    from hebb.runs.executors import SerialExecutor
    from hebb.runs.job import run_job
    from hebb.storage.merging import load

    plan = Plan.from_text(JOB)
    assert len(plan.points) == 4 and plan.points[3][0].teacher_correlation == (0.5,)
    for task in plan.tasks[:2]:
        whole, record = compute(task), None
        for _ in range(500):
            record = run_task(task, record, stop=lambda: True)
            if record.status == "done":
                break
        assert record.status == "done"
        for name, series in whole.series.items():
            np.testing.assert_array_equal(series, record.series[name])
    (tmp_path / "job.toml").write_text(JOB)
    assert run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run").done == 12
    results = load(tmp_path / "run")
    assert results["error"].series(0).shape == (3, 6, 2, 2) and results["q0"].series(0).shape == (3, 6, 1)
    last = results["error"].series(1)[:, -1]
    np.testing.assert_allclose(results["error"].mean[1], last.mean(axis=(0, 1)))    # the end of the curve, not its average
    scatter = last.mean(axis=1).std(axis=0, ddof=1) / math.sqrt(3)
    np.testing.assert_allclose(results["error"].raw_error[1], scatter)
    assert "forgetting[0]" in str(results.to_table())
    model = plan.points[1][0]
    here = simulate(model, 0.0, disorder=3, start="random", dynamics="gradient", thermalize=0, sweeps=60, measure_every=10,
                    seed=1, learning=plan.sampling["learning"])
    np.testing.assert_array_equal(here["error"].series(0), results["error"].series(1))
    pytest.importorskip("xarray")
    data = results.to_xarray()
    assert data["alpha"].values.tolist() == ["[1.0, 0.5]", "[2.0, 0.5]"] and data["error"].dims[-1] == "task"


@pytest.mark.parametrize("learning, words", [
    (None, "learning = None is not a table"),
    ({}, "must give epochs"),
    ({"epochs": 10, "loss": "hinge"}, "unknown key 'loss'"),
    ({"epochs": np.array([10])}, r"epochs = array\(\[10\]\) has 1 entries for 2 tasks"),
    ({"epochs": [10]}, r"epochs = \[10\] has 1 entries for 2 tasks"),
    ({"epochs": 0}, "epochs = 0 is not a whole number"),
    ({"epochs": 10, "optimizer": "adamw"}, "optimizer = 'adamw' is not one of sgd, adam; did you mean 'adam'"),
    ({"epochs": 10, "learning_rate": 0}, r"learning_rate = 0 is not a number in \]0"),
    ({"epochs": 10, "momentum": 0.9}, "momentum = 0.9 belongs to optimizer = 'sgd'"),
    ({"epochs": 10, "optimizer": "sgd", "momentum": 1.0}, r"momentum = 1.0 is not a number in \[0, 1\["),
    ({"epochs": 10, "batch_size": 40}, "batch_size = 40 is not a whole number from 0 to 30; it is a number of examples"),
    ({"epochs": 10, "batch_size": "published"}, "batch_size = 'published' is not one of published rule"),
    ({"epochs": 10, "weight_decay": -1}, "weight_decay = -1 is not a number"),
])
def test_bad_tables(learning, words):
    with pytest.raises(ParameterError, match=words):
        learning_settings(TWO, learning)


@pytest.mark.parametrize("change, words", [
    ({"temperature": 0.1}, r"temperature = 0.1 is not a number in \[0, 0\]; gradient descent minimises"),
    ({"start": "planted"}, "start = 'planted' with dynamics = 'gradient'"),
    ({"corruption": 0.1}, "corruption = 0.1 has no meaning"),
    ({"order": "sequential"}, "order = 'sequential' has no meaning"),
    ({"rule": "glauber"}, "it belongs to 'lumped'"),
    ({"replicas": 0}, "replicas = 0"),
])
def test_bad_settings(change, words):
    with pytest.raises(ParameterError, match=words):
        GradientChain.check(TWO, **{"temperature": 0.0, "learning": QUICK} | change)


def test_models_and_dynamics_that_do_not_fit():
    with pytest.raises(ParameterError, match="not of a dense model; use 'metropolis'"):
        GradientChain.check(models.Dense(20, 2, n_patterns=2), temperature=0.0, learning=QUICK)
    with pytest.raises(ParameterError, match="variational_perceptron model has none; it takes dynamics = 'gradient' or 'hmc'"):
        simulate(TWO, 0.5, start="random")
    with pytest.raises(ParameterError, match="'metropolis'; it belongs to 'gradient' and 'hmc' and 'backpropagation'; leave"):
        Plan.from_text(SMALL + "[sampling.learning]\nepochs = 3\n")


def test_runs_that_never_reach_the_last_task_are_named():
    settings = dict(start="random", dynamics="gradient", disorder=1, thermalize=1, learning={"epochs": [4, 2]})
    with pytest.warns(HebbWarning, match="sweeps = 4 epochs end before the last of 2 tasks begins, after 4; raise sweeps"):
        assert np.all(simulate(TWO, 0.0, sweeps=3, **settings)["forgetting"].samples == 0)
    with pytest.warns(HebbWarning, match="training stops after epoch 5 of 6; set thermalize = 0, sweeps = 6 and measure_every"):
        simulate(TWO, 0.0, sweeps=4, **settings)
    simulate(TWO, 0.0, sweeps=5, **settings)


def test_samples_without_spins_are_refused():
    with pytest.raises(ParameterError, match="sample draws spins, and a VariationalSample has none; use hebb.simulate"):
        hebb.sample(TWO.draw(1), 0.5)


def test_diverging_learning_says_so():
    learner = chain(epochs=200, optimizer="sgd", learning_rate=1000.0, weight_decay=1000.0)
    with pytest.raises(HebbError, match="learning diverged before epoch .* lower learning_rate = 1000"):
        learner.advance(200)


def test_published_rule():
    model = models.VariationalPerceptron(1000, [1.0, 0.15], 0.0)
    settings = learning_settings(model, {"epochs": 5, "batch_size": "published rule"})
    assert [one["batch_size"] for one in settings] == [50, 10]
    assert learning_settings(TWO, QUICK)[1]["batch_size"] == 8


# ---- rows that were measured independently (theory note: N = 1000, 5 trials)

ROWS = {-0.5: (0.186, 0.005, 0.603, 0.008), 0.0: (0.159, 0.002, 0.459, 0.006), 0.5: (0.126, 0.005, 0.301, 0.005)}


@pytest.mark.slow
@pytest.mark.parametrize("r0", ROWS)
def test_two_tasks(r0):
    """alpha = 2 then 1, Adam, full batch, kl = 1: both errors, of 8 samples here and 5 there."""
    model = models.VariationalPerceptron(1000, [2.0, 1.0], r0, [0.0, 1.0])
    learning, errors = {"epochs": [5000, 6000], "learning_rate": [1e-3, 5e-3], "weight_decay": 1e-3}, []
    for disorder in range(8):
        learner = GradientChain(model.draw(5, disorder), 0.0, 1, learning=learning)
        learner.advance(11000)
        errors.append(learner.measure()["error"][0])
    mean, error = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1) / math.sqrt(8)
    for task in range(2):
        there, its = ROWS[r0][2 * task:2 * task + 2]
        assert_z(normal_score((mean[task] - there) / math.hypot(error[task], its), 6), 2e-6, f"task {task + 1}")


@pytest.mark.slow
@pytest.mark.parametrize("alpha, error, its", [(0.5, 0.3578, 0.0025), (1.0, 0.2727, 0.0035), (1.5, 0.1853, 0.0072)])
def test_one_task(alpha, error, its):
    """Adam, full batch, weight decay as there: the test errors of 8 samples here and 5 there."""
    model, seen = models.VariationalPerceptron(1000, alpha), []
    for disorder in range(8):
        learner = GradientChain(model.draw(6, disorder), 0.0, 1, learning={"epochs": 5000, "weight_decay": 1e-3})
        learner.advance(5000)
        seen.append(learner.measure()["error"][0, 0])
    z = (np.mean(seen) - error) / math.hypot(np.std(seen, ddof=1) / math.sqrt(8), its)
    assert_z(normal_score(z, 6), 2e-6, "test error")
