"""What a task is expected to cost: operations counted by hand, and the times of shipped jobs that were measured."""

import pytest
from conftest import ROOT

from hebb import models
from hebb.models.classes import Classes
from hebb.runs import cost
from hebb.runs.cost import seconds_of
from hebb.runs.plan import Plan

SPINS = {"dynamics": "metropolis", "thermalize": 30, "sweeps": 70, "measure_every": 8, "replicas": 3}
CONSTANTS = [name for name in vars(cost) if name.startswith("SECONDS_")]


@pytest.fixture
def count(monkeypatch):
    """count(name, model, sampling): how many operations of one kind a task has: one second each, all others are free."""
    def counted(name, model, sampling):
        for constant in CONSTANTS:
            monkeypatch.setattr(cost, constant, float(constant == f"SECONDS_PER_{name}"))
        return seconds_of(model, sampling)
    return counted


DENSE = {
    "patterns": ({}, 50 * 40), "averages of examples": ({"r": 0.8, "n_examples": 6}, 50 * 40 * 2 * 4),
    "examples": ({"r": 0.8, "n_examples": 6, "protocol": "unsupervised"}, 50 * 40 * 6)}


@pytest.mark.parametrize("dataset, pairs", DENSE.values(), ids=DENSE)
def test_spins(count, dataset, pairs):
    """100 sweeps of 3 replicas of 50 spins, each beside every stored row."""
    model = models.Dense(50, 4, n_patterns=40, **dataset)
    assert count("PAIR", model, SPINS) == 3 * 100 * pairs + model.preparation_pairs
    assert count("PROPOSAL", model, SPINS) == 3 * 100 * 50
    assert count("MEASUREMENT", model, SPINS) == 70 // 8
    assert count("MISS", model, SPINS) == 0, "it fits into the cache"


def test_what_leaves_the_cache(count, monkeypatch):
    model = models.Multitask(2000, 3, 0.3)
    monkeypatch.setattr(cost, "_CACHE", model.bytes_needed(1) / 4)
    assert count("MISS", model, SPINS) == pytest.approx(3 * 100 * 2000 * 0.75)
    assert count("PAIR", model, SPINS) == 3 * 100 * 2000 * 3 * 2


def test_other_dynamics_of_spins(count):
    model = models.Dense(50, 4, n_patterns=40)
    assert count("TERM", model, SPINS | {"dynamics": "plefka"}) == 3 * 100 * 50 * 40 * 4
    assert count("PROPOSAL", model, SPINS | {"dynamics": "plefka"}) == 0
    large = models.Multitask(10**6, 3, 0.3)
    gibbs = count("CLASS", large, SPINS | {"dynamics": "hubbard_stratonovich"})
    assert gibbs == pytest.approx(3 * 100 * Classes.expected(large))
    assert count("PROPOSAL", large, SPINS | {"dynamics": "lumped"}) == 3 * 100 * 10**6
    assert count("PAIR", large, SPINS | {"dynamics": "lumped"}) == 0


TWO = models.VariationalPerceptron(10, [2.0, 0.5], 0.3)  # 20 and 5 examples


def test_gradient_descent(count):
    """100 epochs in all, 40 of them of the first task; batches of 4 examples: 5 in the first task, 2 in the second."""
    sampling = SPINS | {"dynamics": "gradient", "learning": {"epochs": 40, "batch_size": 4}}
    assert count("EXAMPLE", TWO, sampling) == 3 * 10 * (40 * 20 + 60 * 5)
    assert count("SITE", TWO, sampling) == 3 * 10 * (40 * 5 + 60 * 2)
    short = sampling | {"thermalize": 0, "sweeps": 25}  # ends within the first task
    assert count("EXAMPLE", TWO, short) == 3 * 10 * 25 * 20 and count("MEASUREMENT", TWO, short) == 25 // 8


def test_hamiltonian_trajectories(count):
    """7 gradients each: one reference for all replicas, tuned by 50 and reached by 11, then 50 + 100 of every replica."""
    sampling = SPINS | {"dynamics": "hmc", "learning": {"steps": 6, "tune_sweeps": 50, "reference_sweeps": 11}}
    assert count("EXAMPLE", TWO, sampling) == 7 * 10 * ((50 + 11) * 20 + 3 * 150 * 5)
    assert count("SITE", TWO, sampling) == 7 * 10 * ((50 + 11) + 3 * 150)


MEASURED = {  # seconds on two cores, from mpi_runs/README.md
    "demo": 15, "finite_size_p4": 30, "plefka_p2": 15, "multitask_large": 90, "multitask_log_n": 120,
    "multitask_storage_pure": 30, "perceptron_gibbs": 60, "perceptron_coupled": 60, "perceptron_gradient_two_tasks": 180,
    "perceptron_hmc": 120, "perceptron_hmc_two_tasks": 240}


@pytest.mark.filterwarnings("ignore::hebb.errors.HebbWarning")
@pytest.mark.parametrize("name", MEASURED)
def test_the_speed_is_that_of_the_shipped_jobs(name):
    """Within the factor by which cores and rounded times differ."""
    plan = Plan.from_toml(ROOT / "mpi_runs" / f"{name}.toml")
    assert 0.35 < sum(task.cost for task in plan.tasks) / (2 * MEASURED[name]) < 1.4
