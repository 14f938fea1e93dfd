"""Measurements on the axis of epochs: what was known when a task ended is right, or missing with the reason."""

import contextlib
import itertools
import math

import numpy as np
import pytest

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.errors import HebbWarning
from hebb.plotting_deep import learning_curves
from hebb.runs.plan import Plan
from hebb.sampling.accumulators import MAX_BINS
from hebb.sampling.stages import ends_of_training, entries_at, kept_sweeps, not_measured
from hebb.storage.results import Results

ENDS = {"epochs": [4, 3, 5]}
SAMPLES, TASKS, EPOCHS = 3, 3, 12


def trained(thermalize=0, sweeps=EPOCHS, measure_every=1, methods=("none", "joint")):
    """The results that networks would have left whose accuracies are known at every epoch."""
    rng = np.random.default_rng(1)
    curves = rng.uniform(0.2, 0.9, (len(methods), SAMPLES, 2 * EPOCHS, 1, TASKS))  # after epochs 1, 2, ...
    measured = np.arange(thermalize + measure_every, thermalize + sweeps + 1, measure_every) - 1
    common = {"kind": "network", "temperature": 0.0, "n_tasks": TASKS, "images": "digits", "n_train": [9], "n_test": [3],
              "layers": [64, 5, 10]}
    done = np.ones((len(methods), SAMPLES), bool)
    sampling = {"dynamics": "backpropagation", "thermalize": thermalize, "sweeps": sweeps, "measure_every": measure_every,
                "learning": ENDS}
    return curves, Results([common | {"method": method} for method in methods],
                           {"name": "lessons", "seed": 1, "sampling": sampling}, done, ~done, np.full(done.shape, np.nan),
                           {name: curves[:, :, measured] for name in ("accuracy", "accuracy_binary")})


SPACINGS = [(t, s, e) for t, e in itertools.product((0, 1, 2, 4, 5), (1, 2, 3, 4, 5)) for s in {EPOCHS - t, EPOCHS, 9}]


@pytest.mark.parametrize("thermalize, sweeps, every", SPACINGS)
def test_forgetting_is_that_of_the_epochs_or_nan(thermalize, sweeps, every):
    curves, results = trained(thermalize, sweeps, every)
    measured = np.arange(thermalize + every, thermalize + sweeps + 1, every)
    np.testing.assert_array_equal(results.sweeps, measured)
    comparison = compare_results(results)
    row, joint = comparison.rows
    own = curves[0, :, [3, 6, 11], 0, [0, 1, 2]].T  # after epochs 4, 7 and 12, each of its own task
    last = curves[0, :, measured[-1] - 1, 0]
    known = [end in measured for end in (4, 7, 12)]
    forgetting = (own - last)[:, :2].mean() if known[0] and known[1] and measured[-1] >= 12 else math.nan
    new = own[:, 1:].mean() if known[1] and known[2] else math.nan
    assert row["forgetting"][0] == pytest.approx(forgetting, nan_ok=True)
    assert row["new"][0] == pytest.approx(new, nan_ok=True)
    assert row["average"][0] == pytest.approx(last.mean())
    assert math.isnan(joint["forgetting"][0]) and math.isnan(joint["new"][0])
    text = comparison.table()
    assert ("set thermalize = 0" in text) == (not all(known)), "what is missing has its reason and its remedy"


@pytest.mark.parametrize("thermalize, every", [(0, 1), (0, 2), (4, 1), (3, 3)])
def test_learning_curves_are_drawn_against_epochs(thermalize, every):
    curves, results = trained(thermalize, 12, every)
    figure = learning_curves(results)
    epochs = np.arange(thermalize + every, thermalize + 13, every)
    line, average = (ax.lines[0] for ax in figure.axes[:2])
    np.testing.assert_array_equal(line.get_xdata(), epochs)
    np.testing.assert_allclose(line.get_ydata(), curves[0, :, epochs - 1, 0, 0].mean(axis=1))
    begun = [1 if epoch <= 4 else 2 if epoch <= 7 else 3 for epoch in epochs]
    expected = [curves[0, :, epoch - 1, 0, :number].mean() for epoch, number in zip(epochs, begun, strict=True)]
    np.testing.assert_allclose(average.get_ydata(), expected)
    marks = [at.get_xdata()[0] for at in figure.axes[0].lines if len(set(at.get_xdata())) == 1 and len(at.get_xdata()) == 2]
    assert marks == [4.5, 7.5], "a new task begins between two epochs"


def test_entries_and_ends():
    assert ends_of_training(4, 3).tolist() == [4, 8, 12] and ends_of_training([4, 3, 5], 3).tolist() == [4, 7, 12]
    sampling = {"thermalize": 1, "sweeps": 11, "measure_every": 3}
    assert kept_sweeps(sampling).tolist() == [4, 7, 10]
    assert entries_at([4, 7, 12], sampling) == [0, 1, None]
    many = {"thermalize": 10, "sweeps": 2 * MAX_BINS + 1, "measure_every": 1}
    assert kept_sweeps(many)[:2].tolist() == [12, 15], "the mean epoch of three"
    assert entries_at([12, 15], many) == [None, None], "a mean over epochs is the value of none"


@pytest.mark.parametrize("ends, settings", [
    ([4, 7, 12], (2, 10, 2)), ([40, 60], (0, 60, 30)), ([40, 60], (0, 50, 10)), ([5000, 11000], (0, 11000, 1)),
    ([10], (0, 25, 4)), ([4, 8], (5, 3, 1))])
def test_the_remedy_works(ends, settings):
    sampling = dict(zip(("thermalize", "sweeps", "measure_every"), settings, strict=True))
    text = not_measured(ends, sampling)
    assert None in entries_at(ends, sampling) and "; set thermalize = 0, sweeps = " in text
    found = [int(word.strip(",")) for word in text.split("set ")[1].split() if word.strip(",").isdigit()]
    better = dict(zip(("thermalize", "sweeps", "measure_every"), found, strict=True))
    assert None not in entries_at(ends, better) and not_measured(ends, better) == ""
    primes = {"thermalize": 0, "sweeps": 4999 + 5003, "measure_every": 1}
    assert not_measured([4999, 10002], primes).endswith("give epochs with a common divisor of at least 3")


TWO = models.VariationalPerceptron(40, [1.0, 0.5], teacher_correlation=0.0, kl=[0.0, 1.0])


def learned(sweeps=70, thermalize=0, measure_every=1):
    return simulate(TWO, 0.0, disorder=3, replicas=2, start="random", dynamics="gradient", seed=3, sweeps=sweeps,
                    thermalize=thermalize, measure_every=measure_every,
                    learning={"epochs": [40, 30], "learning_rate": 0.02})


def test_rows_of_sequences_are_those_of_the_ends_or_nan():
    """The same training at every spacing: a row has the number of the very epoch, or none and the reason."""
    every = learned()
    ends = {"after task 1": 39, "after task 2": 69}
    for settings, known in ((dict(measure_every=10), 2), (dict(sweeps=50, thermalize=20), 2),
                            (dict(measure_every=7), 1), (dict(measure_every=4), 1), (dict(sweeps=20, thermalize=50), 1),
                            (dict(sweeps=60), 1)):
        if known < 2:
            with pytest.warns(HebbWarning, match="set thermalize = 0, sweeps = 70 and measure_every = "):
                results = learned(**settings)
        else:
            results = learned(**settings)
        seen, comparison = 0, compare_results(results)
        assert "nan" not in comparison.table()
        for row in comparison.rows:
            name, task = row.observable.split(" after ")[0], "after " + row.observable.split(" after ")[1]
            if name.startswith("error"):
                expected = every.data["error"][0, :, ends[task], :, int(name[6])].mean()
                assert math.isnan(row.mean) or row.mean == pytest.approx(expected), (settings, row.observable)
                end = 40 if task == "after task 1" else 70
                remark = f"epoch {end} not measured; set thermalize = 0, sweeps = 70 and measure_every = "
                assert row.excluded.startswith(remark) == math.isnan(row.mean)
                seen += math.isfinite(row.mean)
        assert seen == 2 * known, settings


@pytest.mark.parametrize("method, word", [("joint", contextlib.nullcontext()), ("none", pytest.warns(
    HebbWarning, match="falls on the end of a task, epoch 3; set thermalize = 0, sweeps = 6 and measure_every = 1"))])
def test_training_at_once_has_no_ends_between(method, word):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    network = models.VariationalNetwork([64, 8, 10], images="digits", n_tasks=2, method=method, n_train=40, n_test=20)
    with word:
        Plan.from_keywords(network, 0.0, dynamics="backpropagation", start="random", replicas=1, disorder=1, thermalize=0,
                           sweeps=6, measure_every=2, learning={"epochs": 3})
