"""Tasks for networks: which images serve for what, what is refused, and what happens without PyTorch."""

import sys

import numpy as np
import pytest
from conftest import ROOT, refused

from hebb import models, simulate
from hebb.errors import DataError, EnvironmentMismatch, ParameterError
from hebb.models.networks import METHODS
from hebb.runs.plan import Plan
from hebb.sampling.chain import chain_class

pytest.importorskip("sklearn")
NETWORK = {"layers": [64, 20, 10], "images": "digits", "n_tasks": 3}


def network(**changes):
    return models.VariationalNetwork(**(NETWORK | changes))


def write_set(folder, prefix, labels, size=4):
    """IDX files of pictures that are their own number, so that they can be told apart."""
    folder.mkdir(exist_ok=True)
    pixels = np.zeros((len(labels), size, size), np.uint8)
    pixels[:, 0, 0], pixels[:, 0, 1] = np.arange(len(labels)) % 250, np.arange(len(labels)) // 250
    pixels[:, 1] = 10 if prefix.startswith("t10k") else 200
    for name, array in (("images-idx3", pixels), ("labels-idx1", np.asarray(labels, np.uint8))):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"{prefix}-{name}-ubyte").write_bytes(header + array.tobytes())


def rows(inputs):
    return {row.tobytes() for row in inputs}


def test_images_are_divided_by_classes_and_drawn_anew():
    model = network(n_train=1000, n_test=200)
    task = model.draw(1).tasks[0]
    assert task.inputs.shape == (1000, 64) and task.test_inputs.shape == (200, 64) and task.inputs.dtype == np.float32
    assert not rows(task.inputs) & rows(task.test_inputs), "no test image is learned"
    counts = np.bincount(model.sets[0].labels) / 1797
    np.testing.assert_allclose(np.bincount(task.labels) / 1000, counts, atol=1.5e-3)     # an image and a half
    np.testing.assert_allclose(np.bincount(task.test_labels) / 200, counts, atol=7.5e-3)
    assert abs(task.inputs.mean()) < 1e-5 and abs(task.inputs.std() - 1) < 1e-5
    again, other = model.draw(1).tasks[0], model.draw(1, disorder=1).tasks[0]
    np.testing.assert_array_equal(task.inputs, again.inputs)
    assert len(rows(task.test_inputs) & rows(other.test_inputs)) < 60, "another disorder sample tests other images"


def test_permuted_tasks_show_the_same_images_and_all_methods_the_same_permutations():
    one, other = (network(method=method).draw(5) for method in ("none", "metaplasticity"))
    assert one.tasks[0].permutation is None and one.tasks[1].inputs is one.tasks[0].inputs
    for a, b in zip(one.tasks[1:], other.tasks[1:], strict=True):
        np.testing.assert_array_equal(np.sort(a.permutation), np.arange(64))
        np.testing.assert_array_equal(a.permutation, b.permutation)
    assert not np.array_equal(one.tasks[1].permutation, one.tasks[2].permutation)
    assert network(layers=[64, 30, 10]).disorder_key == network().disorder_key != network(n_train=100).disorder_key
    assert network(method="kl").digest != network(method="kl", strength=2.0).digest != network().digest


def test_a_folder_with_the_standard_files_keeps_its_split(tmp_path):
    write_set(tmp_path / "full", "train", np.arange(300) % 3)
    write_set(tmp_path / "full", "t10k", np.arange(60) % 3)
    model = models.VariationalNetwork([16, 3], str(tmp_path / "full"), n_tasks=1)
    assert model.splits[0] == type(model.splits[0])(300, 60, True) and "the standard split" in model.summary()
    task = model.draw(1).tasks[0]
    assert np.all(task.inputs[:, 4] > task.test_inputs[:, 4].max()), "test images come from the t10k file"
    fewer = models.VariationalNetwork([16, 3], str(tmp_path / "full"), n_tasks=1, n_train=30, n_test=6).draw(1).tasks[0]
    assert np.all(np.bincount(fewer.labels) == 10) and np.all(np.bincount(fewer.test_labels) == 2)
    with pytest.raises(ParameterError, match="n_test = 61 is not a whole number from 1 to 60"):
        models.VariationalNetwork([16, 3], str(tmp_path / "full"), n_tasks=1, n_test=61)


def test_a_sequence_of_sets(tmp_path):
    for name, number in (("one", 40), ("two", 20)):
        write_set(tmp_path / name, "some", np.arange(number) % 2)
    folders = [str(tmp_path / "one"), str(tmp_path / "two")]
    model = models.VariationalNetwork([16, 2], folders, n_train=[20, 10], n_test=[10, 5])
    assert model.n_tasks == 2 and [model.training_images(task) for task in (0, 1)] == [20, 10]
    assert [len(task.labels) for task in model.draw(1).tasks] == [20, 10] and model.pairs_per_sweep() == 32 * 15
    with pytest.raises(ParameterError, match=r"n_train = \[20\] has 1 entries for 2 sets"):
        models.VariationalNetwork([16, 2], folders, n_train=[20])
    with pytest.raises(ParameterError, match="n_tasks = 3 with 2 sets of images"):
        models.VariationalNetwork([16, 2], folders, n_tasks=3)
    write_set(tmp_path / "bare", "some", np.arange(20) % 2)
    (tmp_path / "bare" / "some-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="'bare' have no labels"):
        models.VariationalNetwork([16, 2], [folders[0], str(tmp_path / "bare")])


@pytest.mark.parametrize("changes, message", [
    ({"layers": 64}, r"layers = 64 is not a list of sizes.*layers = \[\[784, 512, 512, 10\]\]"),
    ({"layers": [64, 0, 10]}, "an entry of layers = 0 is not a whole number"),
    ({"layers": [784, 10]}, r"layers = \[784, 10\] do not fit 'digits': its images have 64 pixels and 10 classes"),
    ({"layers": [64, 9]}, "layers go from 64 to 10"),
    ({"n_tasks": None}, "n_tasks = None is not a whole number from 1 to 100"),
    ({"images": 3}, "images = 3 is neither a set of images nor a list"),
    ({"method": "emc"}, "method = 'emc' is not one of.*did you mean 'ewc'"),
    ({"strength": 1.0}, "strength = 1.0 has no meaning with method = 'none'"),
    ({"method": "kl", "strength": -1}, "strength = -1 is not a number in"),
    ({"n_train": 1797}, "n_train = 1797 is not a whole number from 1 to 1438; 'digits' has 1797 images, and 359 of them"),
])
def test_refused_models(changes, message):
    with pytest.raises(ParameterError, match=message):
        network(**changes)


def options(**changes):
    return {"temperature": 0.0, "replicas": 1, "start": "random", "dynamics": "backpropagation", "thermalize": 0, "sweeps": 3,
            "disorder": 1, "learning": {"epochs": 1}} | changes


@pytest.mark.parametrize("changes, message", [
    ({"learning": None}, "learning = None is not a table.*epochs"),
    ({"learning": {}}, r"\[sampling.learning\] must give epochs"),
    ({"learning": {"epoch": 3}}, "unknown key 'epoch'.*did you mean 'epochs'"),
    ({"learning": {"epochs": [1, 2]}}, r"epochs = \[1, 2\] has 2 entries for 3 tasks"),
    ({"learning": {"epochs": 0}}, "epochs = 0 is not a whole number"),
    ({"learning": {"epochs": 1, "learning_rate": 0}}, "learning_rate = 0 is not a number in"),
    ({"replicas": 2}, "replicas = 2 with dynamics = 'backpropagation'"),
    ({"start": "planted"}, "start = 'planted' with dynamics = 'backpropagation'"),
    ({"order": "sequential"}, "order = 'sequential' has no meaning"),
    ({"temperature": 0.5}, "temperature = 0.5.*training minimises"),
    ({"dynamics": "metropolis", "learning": None}, "dynamics = 'metropolis' flips spins, and a network model has none"),
    ({"keep_spins": True}, "keep_spins = true with dynamics = 'backpropagation': it trains weights"),
    ({"rule": "glauber"}, "rule = 'glauber' has no meaning"),
])
def test_refused_settings(changes, message):
    with pytest.raises(ParameterError, match=message):
        Plan.from_keywords(network(), **options(**changes))


def test_refused_for_other_models():
    with pytest.raises(ParameterError, match="trains networks"):
        Plan.from_keywords(models.Dense(16, 2, n_patterns=2), **options())


def test_without_torch_there_is_one_sentence(monkeypatch, folder, capsys):
    """Nothing is computed, whoever asks; everything else works."""
    monkeypatch.setitem(sys.modules, "torch", None)  # what an import of a package that is not there does
    with pytest.raises(EnvironmentMismatch, match="PyTorch, which is not installed; `.* -m pip install 'torch>=2.4'`"):
        simulate(network(), **options())
    for command in ("check", "run"):
        assert "-m pip install 'torch>=2.4'" in refused(capsys, command, ROOT / "mpi_runs" / "deep_quick.toml")
    assert not (folder / "runs").exists()
    from hebb.deep.engine import load_torch

    load_torch.cache_clear()
    with pytest.raises(EnvironmentMismatch, match="pip install"):
        load_torch()
    assert chain_class("backpropagation").numbers(network(), 1, "random") == 9 and set(METHODS) >= {"kl", "ewc", "joint"}
