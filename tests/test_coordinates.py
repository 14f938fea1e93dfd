"""Keys of a job as they were written, beside what became of them, for every family of models."""

import dataclasses
import json

import numpy as np
import pytest

from hebb import load, models, simulate
from hebb.runs.plan import Plan
from hebb.storage.coordinates import Coordinates
from hebb.storage.merging import merge
from hebb.storage.results import Results
from hebb.storage.taskfile import to_json


def coordinates(model: str, sampling: str = "", learning: str = "") -> Coordinates:
    """Of a job file; as they come back from the disk."""
    text = f"[model]\n{model}\n[sampling]\ndisorder = 2\nthermalize = 0\nsweeps = 20\nstart = 'random'\n{sampling}\n{learning}"
    index = Plan.from_text(text).index()
    return Coordinates(*(json.loads(to_json(index[name])) for name in ("points", "asked")))


def test_a_load_of_a_dense_network_is_kept_as_written():
    known = coordinates("kind = 'dense'\nn_spins = [16, 20]\np_body = 4\ngamma = [0.1, 0.2]\ntemperature = [0.5, 0.4]")
    assert known.swept == ("n_spins", "gamma", "temperature")
    assert known.at(3) == {"n_spins": 16, "gamma": 0.2, "temperature": 0.4, "n_patterns": 68,
                           "gamma_realised": 12 * 68 / 16**3}
    values, index = known.grid
    assert values == {"n_spins": [16, 20], "gamma": [0.1, 0.2], "temperature": [0.5, 0.4]}
    np.testing.assert_array_equal(index, np.arange(8).reshape(2, 2, 2))
    assert known.fixed == {"kind": "dense", "p_body": 4, "protocol": "storage", "hamiltonian": "distinct"}


def test_the_load_of_p2_is_k_over_n():
    known = coordinates("kind = 'dense'\nn_spins = 30\ngamma = [0.102, 0.205]\ntemperature = 0.5")
    assert known.varying == {"gamma": [0.102, 0.205], "n_patterns": [3, 6], "gamma_realised": [0.1, 0.2]}


@pytest.mark.parametrize("model, varying", [
    ("kind = 'multitask'\nn_spins = 1000\ngamma = [0.3, 0.6]\ndilution = 0.2",
     {"gamma": [0.3, 0.6], "n_patterns": [2, 4], "gamma_realised": [k / np.log(1000) for k in (2, 4)]}),
    ("kind = 'perceptron'\nn_spins = 21\nalpha = [0.5, 1.5]",
     {"alpha": [0.5, 1.5], "n_patterns": [10, 32], "alpha_realised": [10 / 21, 32 / 21]}),
    ("kind = 'second_task'\nn_spins = 21\nfirst_alpha = [0.5, 1.5]\nalpha = 1\nteacher_correlation = 0.5\ncoupling = 1",
     {"first_alpha": [0.5, 1.5], "first_n_patterns": [10, 32], "first_alpha_realised": [10 / 21, 32 / 21]}),
    ("kind = 'perceptron'\nn_spins = 21\nn_patterns = [3, 7]", {"n_patterns": [3, 7], "alpha_realised": [3 / 21, 7 / 21]}),
])  # fmt: skip
def test_loads_of_other_families(model, varying):
    assert coordinates(f"{model}\ntemperature = 0.5").varying == varying


def test_sequences_have_the_numbers_of_their_tasks_beside_what_was_written():
    known = coordinates("kind = 'variational_perceptron'\nn_spins = 21\nalpha = [[2.0, 0.5], [1.0, 0.25]]\n"
                        "kl = [0.0, 1.0]\nteacher_correlation = 0.5\ntemperature = 0.1", "dynamics = 'hmc'")
    assert known.swept == ("alpha", "kl") and known.at(3) == {
        "alpha": "[1.0, 0.25]", "kl": 1.0, "alpha_realised[0]": 1.0, "alpha_realised[1]": 5 / 21}
    assert known.fixed["teacher_correlation"] == 0.5
    one = coordinates("kind = 'variational_perceptron'\nn_spins = 21\nalpha = [0.3, 0.6]\ntemperature = 0.1",
                      "dynamics = 'hmc'")
    assert one.at(1) == {"alpha": 0.6, "alpha_realised[0]": 13 / 21}


def test_what_is_dropped_on_the_way_is_kept_as_written():
    """A remedy "none" and rho = 0 are no parameters of a model."""
    known = coordinates("kind = 'dense'\npatterns = 'digits'\narchetypes = 'class'\nn_patterns = 3\nn_examples = 4\n"
                        "protocol = 'supervised'\nremedy = ['none', 'centred']\ntemperature = 0.5")
    assert known.varying == {"remedy": ["none", "centred"]} and known.fixed["n_spins"] == 64
    assert 0.5 < known.fixed["r_measured"] < 1 and known.fixed["gamma_realised"] == 3 / 64
    known = coordinates("kind = 'dense'\nn_spins = 30\ngamma = 0.1\nrho = [0.0, 0.1]\ntemperature = 0.5")
    assert known.varying == {"rho": [0.0, 0.1], "protocol": ["storage", "supervised"]} and known.grid is not None


@pytest.mark.deep
def test_images_of_networks():
    known = coordinates("kind = 'network'\nlayers = [[64, 10, 10]]\nimages = 'digits'\nn_tasks = 2\nn_train = [100, 200]\n"
                        "n_test = 50\nmethod = ['none', 'kl']\ntemperature = 0.0",
                        "dynamics = 'backpropagation'\nreplicas = 1", "[sampling.learning]\nepochs = 1\nlearning_rate = 0.1")
    assert known.swept == ("n_train", "method") and known.grid is not None
    assert known.varying["n_train"] == [100, 100, 200, 200] and known.varying["strength"][0] is None
    assert known.fixed["layers"] == [64, 10, 10] and known.fixed["n_test"] == 50


def test_simulate_knows_how_its_model_was_called():
    for model in (models.Dense(20, 4, 0.1), models.Dense(n_spins=20, p_body=4, gamma=0.1)):
        results = simulate(model, [0.5], disorder=2, sweeps=20, thermalize=0)
        assert results.asked == [{"n_spins": 20, "p_body": 4, "gamma": 0.1}]
        assert results.coordinates.fixed["gamma"] == 0.1 and results.coordinates.fixed["n_patterns"] == 67
    given = models.Dense(patterns=np.ones((2, 10)), p_body=3)
    assert given.asked == {"p_body": 3} and given.digest == models.Dense(p_body=3, patterns=np.ones((2, 10))).digest


JOB = """
[model]
kind = "dense"
n_spins = 20
p_body = 3
gamma = [0.1, 0.3]
temperature = [0.5, 0.8]
[sampling]
disorder = 2
replicas = 2
thermalize = 5
sweeps = 40
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from hebb.runs.executors import SerialExecutor
    from hebb.runs.job import run_job

    path = tmp_path_factory.mktemp("job")
    (path / "job.toml").write_text(JOB)
    run_job(path / "job.toml", SerialExecutor(), out=path / "run")
    return path / "run"


def test_a_job_swept_in_gamma_has_it_everywhere(run):
    import h5py

    for results in (merge(run), load(run), Results.open(run / "results.h5")):
        assert [keys["gamma"] for keys in results.asked] == [0.1, 0.1, 0.3, 0.3]
        row = results.to_table()[2]
        assert list(row)[:4] == ["gamma", "temperature", "n_patterns", "gamma_realised"]
        assert row["gamma"] == 0.3 and row["n_patterns"] == 40 and row["gamma_realised"] == 3 * 40 / 400
    assert results.points[2] == {"kind": "dense", "n_spins": 20, "p_body": 3, "n_patterns": 40, "protocol": "storage",
                                 "hamiltonian": "distinct", "temperature": 0.5}, "what names a point is as ever"
    with h5py.File(run / "results.h5") as file:
        assert file["parameters/gamma"][()].tolist() == [0.1, 0.1, 0.3, 0.3]
        assert file["parameters/n_patterns"][()].tolist() == [13, 13, 40, 40] and file.attrs["hebb_schema"] == 1


def test_the_table_of_a_comparison_has_the_keys_as_written(run, tmp_path):
    import csv

    from hebb.comparison import Comparison, Row

    results = load(run)
    Comparison(results, [Row(point, "m", 1.0, 0.1, 1.0, 1.0, 0.0, 0.0, "retrieval") for point in results.points]).write_csv(
        tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8") as file:
        assert [(row["gamma"], row["n_patterns"]) for row in csv.DictReader(file)] == 2 * [("0.1", "13")] + 2 * [("0.3", "40")]


def test_files_that_do_not_know_what_was_written(run, tmp_path):
    """Runs of before: the parameters tell the points apart, and the load of the integer number stays known."""
    plan = json.loads((run / "plan.json").read_text())
    del plan["asked"], plan["checksum"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "tasks").symlink_to(run / "tasks")
    merge(tmp_path).save(tmp_path / "results.h5")
    for results in (merge(tmp_path), Results.open(tmp_path / "results.h5")):
        assert results.asked == [] and list(results.coordinates.grid[0]) == ["n_patterns", "temperature"]
        assert results.coordinates.varying["gamma_realised"] == [3 * k / 400 for k in (13, 13, 40, 40)]


def test_points_that_are_not_all_combinations():
    points = [{"kind": "dense", "n_spins": n, "p_body": 2, "n_patterns": k, "temperature": 0.5} for n, k in ((20, 2), (40, 4))]
    known = Coordinates(points)
    assert known.grid is None and known.varying == {"n_spins": [20, 40], "n_patterns": [2, 4]}
    assert known.fixed["gamma_realised"] == 0.1
    stranger = dataclasses.replace(simulate(models.Dense(20, 2, 0.1), [0.5], disorder=1, sweeps=5), asked=[],
                                   points=[{"kind": "of tomorrow", "x": 1, "temperature": 0.5}])
    assert stranger.coordinates.varying == {"temperature": [0.5]}
