"""Plans: what a job file or keywords become, and what they are refused for."""

import numpy as np
import pytest
from conftest import SMALL

import hebb
from hebb import models
from hebb.errors import HebbError, ParameterError
from hebb.params import digest
from hebb.runs.plan import Plan
from hebb.runs.settings import sampling_settings


def test_lists_sweep_by_outer_product(job):
    plan = Plan.from_toml(job)
    assert [(model.n_patterns, temperature) for model, temperature in plan.points] == [
        (5, 0.4),
        (5, 0.9),
        (40, 0.4),
        (40, 0.9),
    ]
    assert len(plan.tasks) == 12 and [task.disorder for task in plan.tasks[:4]] == [0, 1, 2, 0]
    assert plan.points[0][0] is plan.points[1][0], "one model serves all its temperatures"
    assert plan.walltime is None and plan.checkpoint_every == 300 and plan.text == SMALL


def test_task_names_are_made_of_the_point_alone(job):
    """Names survive more temperatures, another order, other sampling and another seed."""
    names = {task.task_id: task.parameters for task in Plan.from_toml(job).tasks}
    task = Plan.from_toml(job).tasks[4]
    assert task.task_id == digest({**task.model.parameters(), "temperature": 0.9})[:12] + "-d0001"
    changed = (
        SMALL.replace("[0.4, 0.9]", "[1.3, 0.9, 0.4]")
        .replace("sweeps = 40", "sweeps = 60")
        .replace("seed = 7", "seed = 8")
    )
    again = {task.task_id: task.parameters for task in Plan.from_text(changed).tasks}
    assert names.items() <= again.items() and len(again) == 18


def test_longest_first_but_results_in_job_order(job):
    plan = Plan.from_toml(job)
    order = plan.longest_first()
    assert order == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]
    assert plan.longest_first([2, 8]) == [8, 2]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("n_spins", "n_spin", r"unknown key 'n_spin' in \[model\]; did you mean 'n_spins'"),
        ("sweeps = 40", "sweps = 40", "unknown key 'sweps'.*did you mean 'sweeps'"),
        ("seed = 7", "sede = 7", "unknown key 'sede'.*did you mean 'seed'"),
        ("[sampling]", "[run]\nwaltime = 3\n[sampling]", "unknown key 'waltime'.*did you mean 'walltime'"),
        ("[sampling]", "[samplings]", "unknown key 'samplings'.*did you mean 'sampling'"),
        ("p_body = 3", "p_body = 1", "p_body = 1 is not a whole number"),
        ("n_spins = 24", "n_spins = 24\ngamma = 0.1", "gamma = 0.1 and n_patterns"),
        ("[0.4, 0.9]", "[0.4, 0.0]", "temperature = 0.0.*zero_temperature"),
        ("[0.4, 0.9]", "[0.4, -1]", "temperature = -1 is not a number in"),
        ("[0.4, 0.9]", "[0.4, nan]", "temperature = nan is not a number"),
        ("[0.4, 0.9]", "[]", "temperature is an empty list"),
        ("[0.4, 0.9]", "[0.4, 0.4]", "points 0 and 1 of the job are the same"),
        ("temperature = [0.4, 0.9]", "", "must give a temperature"),
        ("disorder = 3", "disorder = 0", "disorder = 0 is not a whole number from 1"),
        ("disorder = 3", "disorder = 2.5", "disorder = 2.5 is not a whole number"),
        ("disorder = 3", "", r"\[sampling\] must give disorder"),
        ("measure_every = 2", "measure_every = 41", "nothing would be measured"),
        ("replicas = 2", "exchange_every = 2", "exchange_every = 2 has no meaning without tempering = true"),
        ("replicas = 2", "tempering = 1", "tempering = 1 is not true or false"),
        ("keep_spins = true", "keep_spins = 1", "keep_spins = 1 is not true or false"),
        ("replicas = 2", 'order = "randon"', "did you mean 'random'"),
        ("replicas = 2", 'start = "plantd"', "did you mean 'planted'"),
        ("replicas = 2", 'dynamics = "glaubr"', "did you mean 'glauber'"),
        ("replicas = 2", 'start = "corrupted"', "corruption"),
        ('kind = "dense"', 'kind = "dence"', "did you mean 'dense'"),
        ('kind = "dense"', "", "must name one kind"),
        ("seed = 7", "seed = -1", "seed = -1"),
        ('name = "small"', 'name = "../small"', "not usable as the name of a folder"),
        ("[sampling]", '[run]\nwalltime = "1:0"\n[sampling]', "walltime = '1:0' is not a time"),
        ("[sampling]", '[run]\nwalltime = "00:61:00"\n[sampling]', "is not a time"),
        ("[model]", "[model", "not valid TOML"),
        ("n_patterns = [5, 40]", "n_patterns = [5, 100000000000]", "GiB"),
    ],
)
def test_bad_jobs_are_refused_in_one_sentence(old, new, message):
    text = SMALL.replace(old, new, 1)
    assert text != SMALL
    with pytest.raises(HebbError, match=message) as caught:
        Plan.from_text(text)
    assert "\n" not in str(caught.value)


def test_sampling_defaults():
    assert sampling_settings({"disorder": 4, "thermalize": 0, "sweeps": 10.0}) == {
        "disorder": 4,
        "replicas": 2,
        "start": "planted",
        "corruption": None,
        "thermalize": 0,
        "sweeps": 10,
        "measure_every": 1,
        "dynamics": "metropolis",
        "expansion": None,
        "damping": None,
        "rule": None, "learning": None,
        "order": "random",
        "tempering": False, "exchange_every": None,
        "keep_spins": False,
    }


def test_simulate_checks_before_computing():
    model = models.Dense(n_spins=24, p_body=3, n_patterns=5)
    with pytest.raises(ParameterError, match="temperature = 0"):
        hebb.simulate(model, temperature=[0.4, 0.0], disorder=2)
    with pytest.raises(ParameterError, match="a ladder needs at least two temperatures"):
        hebb.simulate(model, temperature=0.4, tempering=True)
    with pytest.raises(TypeError):
        hebb.simulate(model, temperature=0.4, sweps=3)
    with pytest.raises(ParameterError, match="start of shape"):
        hebb.simulate(model, temperature=0.4, start=np.ones(23))
    result = hebb.simulate(model, temperature=0.4, disorder=2, sweeps=30, thermalize=0, start=np.ones(24, int), seed=2)
    assert result.job["sampling"]["start"] == "array" and result["m"].samples.shape == (1, 2)


@pytest.mark.parametrize("wrong", [None, "x", 3, models.Dense, {"n_spins": 4}])
def test_simulate_wants_a_model(wrong):
    model = models.Dense(n_spins=24, p_body=3, n_patterns=5)
    with pytest.raises(ParameterError, match="is not a model; give one, for example models.Dense"):
        hebb.simulate(wrong, temperature=0.4)
    with pytest.raises(ParameterError, match="an instance is one disorder sample .* give the model, which is instance.model"):
        hebb.simulate(model.draw(1), temperature=0.4)


def test_a_start_that_is_none_is_named():
    model = models.Dense(n_spins=24, p_body=3, n_patterns=5)
    with pytest.raises(ParameterError, match="start = None is neither one of planted, random, .*, parallel, .* nor an array"):
        hebb.simulate(model, temperature=0.4, start=None)
    with pytest.raises(ParameterError, match="start = 'array' is not one of"):
        hebb.simulate(model, temperature=0.4, start="array")
