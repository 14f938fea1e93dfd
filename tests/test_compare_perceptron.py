"""Perceptrons: simulation against replica symmetry, and that a wrong theory, margin or sample is caught."""

import copy
import csv
import math

import numpy as np
import pytest
from conftest import assert_z, comparisons_of

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.compare_perceptron import lattice_margin, of_sample
from hebb.runs.plan import Plan
from hebb.runs.worker import compute
from hebb.storage.results import Results
from hebb.theory import Perceptron

FAST = dict(disorder=24, sweeps=120, thermalize=30, measure_every=2, start="random", seed=3)


def hinge(temperature=(0.5, 1.0), **law):
    return simulate(models.BinaryPerceptron(201, 0.8, loss="hinge", **law), list(temperature), **FAST)


def second(seed=3, **settings):
    first = models.BinaryPerceptron(201, 1.2, loss="hinge")
    model = models.SecondTask(first, alpha=0.8, teacher_correlation=0.4, coupling=0.7, reference_sweeps=60)
    return simulate(model, 0.7, **{**FAST, "start": "reference", "seed": seed} | settings)


def sampled(alpha=0.4, temperature=(0.2,), **settings):
    run = dict(disorder=12, sweeps=120, thermalize=30, start="random", dynamics="hmc", seed=5,
               learning={"tune_sweeps": 60, "steps": 10} | ({"reference_sweeps": 60} if np.ndim(alpha) else {}))
    correlation = {"teacher_correlation": 0.5, "kl": [0.0] + [1.0] * (len(alpha) - 1)} if np.ndim(alpha) else {}
    tasks = alpha if np.ndim(alpha) else [alpha]
    return simulate(models.VariationalPerceptron(151, tasks, **correlation), list(temperature), **run | settings)


def learned(alpha=(2.0, 1.0), epochs=60, **settings):
    model = models.VariationalPerceptron(101, list(alpha), kl=[0.0] + [1.0] * (len(alpha) - 1),
                                         **{"teacher_correlation": 0.5} if len(alpha) > 1 else {})
    return simulate(model, 0.0, **dict(disorder=3, replicas=2, sweeps=epochs * len(alpha), thermalize=0, measure_every=5,
                                       start="random", dynamics="gradient", seed=7,
                                       learning={"epochs": epochs, "learning_rate": 0.01}) | settings)


@pytest.fixture(scope="module")
def runs():
    kept = {}

    def of(make, *arguments):
        if (make, arguments) not in kept:
            kept[make, arguments] = make(*arguments)
        return kept[make, arguments]

    return of


def compared(rows):
    return {row.observable: row for row in rows if math.isfinite(row.z)}


def relabelled(results, **parameters):
    lie = copy.copy(results)
    lie.points = [point | parameters for point in results.points]
    return lie


# ---- the Gibbs measure -----------------------------------------------------------------------------------------------

def test_one_task_agrees_with_replica_symmetry(runs):
    comparison = compare_results(runs(hinge))
    assert [row.observable for row in comparison.rows][:5] == ["r", "q", "training_error", "generalization_error", "energy"]
    z = [row.z for row in comparison.rows if row.observable != "generalization_error"]
    assert_z(z, 1e-6, "one task")
    for row in comparison.rows:
        assert row.branch == "RS" and row.infinite == row.theory
        if row.observable == "generalization_error":
            assert math.isnan(row.z) and row.excluded.startswith("arccos of what fluctuates")


def test_with_the_loss_violations_the_energy_is_the_training_error():
    run = simulate(models.BinaryPerceptron(151, 0.5), 2.0, **FAST)
    found = compare_results(run).rows
    assert [row.observable for row in found] == ["r", "q", "training_error", "generalization_error"]
    assert_z([row.z for row in found[:3]], 1e-6, "violations")


@pytest.mark.parametrize("lie", [{"temperature": 0.4}, {"loss": "quadratic"}, {"n_patterns": 120}, {"kappa": 0.2}])
def test_a_wrong_theory_is_caught(runs, lie):
    wrong = compare_results(relabelled(runs(hinge), **lie))
    assert wrong.worst > 5


@pytest.mark.parametrize("n_spins, kappa", [(201, 0.5), (201, -0.3), (200, 0.5), (7, 1.1), (9, 1 / 3)])
def test_the_margin_of_the_lattice_is_equivalent_and_in_the_middle(n_spins, kappa):
    margin = lattice_margin({"n_spins": n_spins, "kappa": kappa})
    stability = np.arange(-n_spins, n_spins + 1, 2) / math.sqrt(n_spins)
    np.testing.assert_array_equal(stability < margin, stability < kappa)
    below, above = stability[stability < kappa].max(), stability[stability >= kappa].min()
    assert margin == pytest.approx((below + above) / 2, abs=1e-12)
    assert lattice_margin({"n_spins": n_spins, "kappa": 0.0}) == 0.0


def test_the_lattice_of_stabilities_is_seen():
    """With kappa = 0.5 next to a stability the violated share is off by 0.03, against the margin of the lattice it is not."""
    model = models.BinaryPerceptron(201, 0.5, kappa=0.5)
    found = {row.observable: row for row in compare_results(simulate(model, 2.0, **FAST | {"sweeps": 300})).rows}
    row = found["training_error"]
    assert abs(row.theory - row.infinite) > 0.008 and abs(row.z_unmapped) > 5
    assert_z([found[name].z for name in ("r", "q", "training_error")], 1e-6, "margin of the lattice")
    smooth = compare_results(hinge((1.0,), kappa=0.5)).rows
    assert {row.excluded for row in smooth if row.observable == "training_error"} == {
        "kappa off the middle of the lattice of stabilities"}
    assert_z([row.z for row in smooth if row.observable in ("r", "q", "energy")], 1e-6, "hinge with a margin")


def test_points_without_theory_say_why():
    short = dict(disorder=2, sweeps=8, thermalize=2, start="random")
    patterns = np.sign(np.random.default_rng(1).standard_normal((30, 61))).astype(np.int8)
    cases = {
        "the perfect state wins": simulate(models.BinaryPerceptron(61, 2.0), 0.5, **short),
        "entropy of the replica-symmetric state is negative": simulate(models.BinaryPerceptron(61, 2.0, labels="random"), 0.3,
                                                                        **short),
        "no theory for given examples": simulate(models.BinaryPerceptron(patterns=patterns, labels="random"), 1.0, **short),
        "no theory for a tabulated loss": simulate(models.BinaryPerceptron(61, 0.5, loss=lambda d: abs(d)), 1.0, **short),
        "quenches are not equilibrium": simulate(models.BinaryPerceptron(61, 0.5), 0.0, dynamics="zero_temperature", **short),
    }
    for reason, run in cases.items():
        found = compare_results(run).rows
        assert found and all(reason in row.excluded and math.isnan(row.theory) for row in found), reason
        assert all(math.isfinite(row.mean) for row in found)


def test_short_chains_have_no_z():
    run = simulate(models.BinaryPerceptron(61, 0.5), 1.0, disorder=4, sweeps=12, thermalize=2, start="random")
    assert {row.excluded for row in compare_results(run).rows if row.observable in ("r", "q")} == {"chain too short"}


# ---- a second task ---------------------------------------------------------------------------------------------------

def test_a_sample_with_average_overlaps_is_the_population():
    first = Perceptron.gibbs(1.2, 0.7)
    state = Perceptron.gibbs_second(first, 0.8, 0.7, 1.0, 0.4)
    own = of_sample(state, first.r, 0.4 * first.r, 0.4)
    for name in ("q", "r1", "r2", "overlap_reference", "training_error", "cost"):
        assert getattr(own, name) == pytest.approx(getattr(state, name), abs=1e-11), name
    turned = of_sample(state, first.r, -first.r, -1.0)  # W2 = -W1
    assert turned.r1 == pytest.approx(-turned.r2, abs=1e-11)
    same = of_sample(state, 1.0, 0.4, 0.4)  # w' = W1
    assert same.r1 == pytest.approx(same.overlap_reference, abs=1e-11)


def test_a_second_task_agrees_sample_by_sample(runs):
    results = runs(second)
    comparison = compare_results(results)
    found = compared(comparison.rows)
    assert list(found) == ["r1", "r2", "overlap_reference", "q", "training_error", "energy"]
    assert_z([row.z for row in found.values()], 1e-6, "second task")
    assert found["r1"].error < 0.6 * results["r1"].raw_error[0]  # most of its scatter is that of the reference


def test_the_overlaps_of_another_sample_are_caught(runs):
    """Against those of other samples the scatter is not removed but doubled."""
    results = runs(second)
    lie = copy.copy(results)
    lie.data = results.data | {name: np.roll(results.data[name], 1, axis=1) for name in ("reference_r1", "teacher_overlap")}
    vars(lie).pop("_observables", None)
    errors = [compared(compare_results(run).rows)["r1"].error for run in (results, lie)]
    assert errors[1] > 2 * errors[0]


# ---- field space -----------------------------------------------------------------------------------------------------

def test_hamiltonian_monte_carlo_agrees(runs):
    comparison = compare_results(runs(sampled))
    assert [row.observable for row in comparison.rows] == ["q0", "qd", "r[0]", "overlap[0]"]
    assert_z([row.z for row in comparison.rows], 1e-6, "hmc")
    wrong = relabelled(runs(sampled), temperature=0.15)
    assert compare_results(wrong).worst > 5


def test_the_second_task_of_hamiltonian_monte_carlo():
    found = compare_results(sampled([0.4, 0.6])).rows
    assert [row.observable for row in found] == ["q0", "qd", "r[0]", "r[1]", "overlap[0]", "overlap[1]"]
    assert_z([row.z for row in found], 1e-6, "hmc, second task")


def test_no_z_where_replica_symmetry_breaks():
    short = dict(disorder=2, sweeps=8, thermalize=2)
    found = compare_results(sampled(1.0, (0.05,), **short)).rows
    assert {row.excluded for row in found} == {"RS unstable, replicon ratio 2.59"} and math.isfinite(found[0].theory)
    run = sampled([0.3, 0.3, 0.3], (0.2,), **short)
    assert all("3 tasks" in row.excluded for row in compare_results(run).rows)


def test_gradients_stand_beside_the_theory_without_a_z(runs):
    comparison = compare_results(runs(learned))
    found = {row.observable: row for row in comparison.rows}
    assert all(math.isnan(row.z) and math.isnan(row.theory) and row.excluded for row in comparison.rows)
    first = Perceptron(20.0).first_task(2.0)
    assert found["error[0] after task 1"].infinite == pytest.approx(first.generalization_error, abs=1e-9)
    expected = Perceptron(20.0).second_task(first, 1.0, found["qd after task 2"].point["teacher_correlation"][0])
    assert found["error[1] after task 2"].infinite == pytest.approx(expected.error_task2, abs=1e-10)
    assert found["error[1] after task 1"].mean == pytest.approx(runs(learned).data["error"][0, :, 11, :, 1].mean())
    assert comparison.worst == 0 and "gradients" in comparison.table()


def test_sequences_have_a_theory_of_two_tasks():
    found = compare_results(learned((1.0, 0.5, 0.5))).rows
    third = [row for row in found if row.observable.endswith("task 3")]
    assert third and {row.excluded for row in third} == {"no theory beyond the second task"}
    assert math.isfinite(next(row for row in found if row.observable == "error[1] after task 2").infinite)


# ---- tables and figures ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [hinge, second, sampled, learned])
def test_tables_and_figures(runs, make, tmp_path):
    comparison = compare_results(runs(make))
    assert all(row.observable in comparison.table() for row in comparison.rows)
    comparison.write_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        assert [line["observable"] for line in csv.DictReader(file)] == [row.observable for row in comparison.rows]
    comparison.plot(tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 10_000


MANY = """
[model]
kind = "variational_perceptron"
n_spins = 61
alpha = [[0.2], [0.3], [0.4], [0.5], [0.6], [0.7], [0.8]]
temperature = 0.0
[sampling]
dynamics = "gradient"
start = "random"
disorder = 2
thermalize = 0
sweeps = 20
measure_every = 10
learning = {epochs = 20, learning_rate = 0.01}
"""


def test_the_figure_of_many_points(tmp_path):
    plan = Plan.from_text(MANY)
    results = Results.from_records(plan.index(), map(compute, plan.tasks))
    compare_results(results).plot(tmp_path / "ends.png")
    assert (tmp_path / "ends.png").stat().st_size > 10_000


# ---- the promise -----------------------------------------------------------------------------------------------------

@pytest.mark.promise
@pytest.mark.slow
def test_many_points_of_the_gibbs_measure_agree():
    """Three losses, T from 0.5 to 2, alpha from 0.5 to 2, N = 501 and 1001, with and without a margin.

    All points of a job share their samples, so that the mean of their z scatters like one or two of them."""
    found = [row for comparison in comparisons_of("perceptron_gibbs_hot", "perceptron_losses") for row in comparison.rows]
    z = {name: np.array([row.z for row in found if row.observable == name and math.isfinite(row.z)])
         for name in ("r", "q", "training_error", "energy")}
    for name, values in z.items():
        rms = math.sqrt(np.mean(values**2))
        print(f"{name}: {values.size} values, rms z {rms:.2f}, mean {values.mean():+.2f}, largest {np.abs(values).max():.2f}")
        assert values.size >= 24 and 0.7 <= rms <= 1.4 and abs(values.mean()) <= 1.0
