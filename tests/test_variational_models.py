"""The variational perceptron: sequences of tasks as drawn, and the slow reference of loss and gradient."""

import math

import numpy as np
import pytest
from conftest import assert_z

from hebb import models
from hebb.errors import ParameterError
from hebb.models.variational import VariationalPerceptron


def test_how_long_a_sequence_is():
    one = VariationalPerceptron(100, 0.5)
    assert (one.n_tasks, one.alpha, one.teacher_correlation, one.kl) == (1, (0.5,), (), (0.0,))
    assert VariationalPerceptron(100, 0.5, 0.3).alpha == (0.5, 0.5)
    assert VariationalPerceptron(100, [2.0, 1.0], 0.3).teacher_correlation == (0.3,)
    assert VariationalPerceptron(100, [2.0, 1.0, 0.5], 0.3, 1.0).kl == (1.0, 1.0, 1.0)
    assert VariationalPerceptron(100, 1.0, (0.3, -0.2, 1)).n_tasks == 4
    assert VariationalPerceptron(100, 1.0, 0.0, [0, 1, 1]).alpha == (1.0, 1.0, 1.0)
    assert VariationalPerceptron(100, [2.0], 0.3).n_tasks == 1                     # a swept key may vanish from one point
    assert VariationalPerceptron(49, 1 / 49).n_examples == (1,)                     # 1/49 x 49 < 1 in floating point
    assert VariationalPerceptron(100, np.array([2.0, 0.124]), 0.3).n_examples == (200, 12)
    assert models.from_keys("variational_perceptron", {"n_spins": 10, "alpha": [1, 2], "teacher_correlation": 0.5}).n_tasks == 2


@pytest.mark.parametrize("keys, words", [
    ({"n_spins": 0, "alpha": 1}, "n_spins = 0 is not a whole number from 1"),
    ({"n_spins": 100, "alpha": 0.009}, "alpha = 0.009 on 100 spins is less than one example; give at least 0.01"),
    ({"n_spins": 100, "alpha": -1}, r"alpha = -1 is not a number in \]0, 1e.07\]; it is the number of examples over"),
    ({"n_spins": 100, "alpha": 1e9}, r"alpha = 1000000000.0 is not a number in \]0, 1e.07\]"),
    ({"n_spins": 100, "alpha": "2"}, "alpha = '2' is not a number"),
    ({"n_spins": 100, "alpha": [1, 1]}, "takes 1: one for each later task"),
    ({"n_spins": 100, "alpha": [1, 1], "teacher_correlation": 1.5}, r"teacher_correlation = 1.5 is not a number in \[-1, 1\]"),
    ({"n_spins": 100, "alpha": [1, 1], "teacher_correlation": [0.5, 0.5]}, r"has 2 entries and this sequence takes 3"),
    ({"n_spins": 100, "alpha": [1, 1], "teacher_correlation": 0, "kl": -1}, "kl = -1 is not a number"),
    ({"n_spins": 100, "alpha": [1], "teacher_correlation": 7}, "teacher_correlation = 7 is not a number"),
    ({"n_spins": 100, "alpha": [], "teacher_correlation": 0}, r"has 0 entries and this sequence takes 1: one for each task"),
    ({"n_spins": 100, "alpha": 1, "teacher_correlation": [0.1] * 1000}, "1001 tasks is longer than 1000"),
])
def test_bad_input(keys, words):
    with pytest.raises(ParameterError, match=words):
        VariationalPerceptron(**keys)


def test_memory_is_refused_with_numbers():
    with pytest.raises(ParameterError, match=r"need .* GiB and .* GiB are free; lower n_spins or alpha"):
        VariationalPerceptron(10**6, 1000.0).memory_bytes()


@pytest.mark.parametrize("n", [1, 64, 101, 600])
def test_samples(n):
    model = VariationalPerceptron(n, [1.5, 1.0, 2.0], [0.5, -1.0], 0.3)
    sample = model.draw(3, 2)
    again, other = model.draw(3, 2), model.draw(3, 1)
    for task, number in enumerate(model.n_examples):
        xi, teacher = sample.examples(task), sample.teachers[task].astype(int)
        assert xi.shape == (number, n) and np.all(np.abs(xi) == 1)
        assert np.all(xi @ teacher >= 0) and (n % 2 == 0 or np.all(xi @ teacher > 0))
        np.testing.assert_array_equal(sample.rows[task], again.rows[task])
        assert n == 1 or not np.array_equal(sample.rows[task], other.rows[task])
    overlaps = [np.mean(a * b.astype(float)) for a, b in zip(sample.teachers, sample.teachers[1:], strict=False)]
    assert abs(overlaps[0] - 0.5) <= 1 / n and overlaps[1] == -1
    plain = VariationalPerceptron(n, [1.5, 1.0, 2.0], [0.5, -1.0])
    np.testing.assert_array_equal(plain.draw(3, 2).rows[1], sample.rows[1])         # kl is no part of the data
    assert plain.digest != model.digest


def test_examples_are_what_a_teacher_labels():
    """Stabilities of the teacher are |x|, those of weights beside it have r times its mean; ties get either label."""
    sample = VariationalPerceptron(200, 60.0).draw(1)
    xi, teacher = sample.examples(0), sample.teachers[0].astype(int)
    stability = xi @ teacher / math.sqrt(200)
    assert_z((np.mean(stability**2) - 1) / math.sqrt((2 - 2 / 200) / len(xi)), 1e-6, "variance of the teacher's field")
    tied = xi[xi @ teacher == 0]
    share = math.comb(200, 100) / 2.0**200
    assert_z((len(tied) - len(xi) * share) / math.sqrt(len(xi) * share), 1e-6, "share of ties")
    signs = np.sum(tied[:, 0] * teacher[0])                                         # an input without a bias keeps none
    assert_z(signs / math.sqrt(len(tied)), 1e-6, "labels of ties")
    turned = np.where(np.arange(200) < 50, -teacher, teacher)
    seen = xi @ turned / math.sqrt(200)
    error = seen.std() / math.sqrt(len(xi))
    assert_z((seen.mean() - 0.5 * np.abs(stability).mean()) / error, 1e-6, "field beside the teacher")


def test_gradient_is_the_derivative_of_the_loss():
    """Complex step: no difference is taken, so that only rounding is left."""
    rng = np.random.default_rng(0)
    sample = VariationalPerceptron(30, [2.0, 1.0], 0.2, [0.0, 0.7]).draw(1)
    theta, reference = rng.normal(size=30), rng.normal(size=30)
    for task, prior in ((0, None), (1, reference), (1, None)):
        steps = 1e-30j * np.eye(30)
        slopes = [sample.loss(theta + step, task, prior).imag / 1e-30 for step in steps]
        np.testing.assert_allclose(sample.gradient(theta, task, prior), slopes, rtol=1e-11, atol=1e-12)


def test_loss_in_known_cases():
    sample = VariationalPerceptron(20, 3.0, kl=2.0).draw(1)
    assert sample.loss(np.zeros(20)) == pytest.approx(60 * math.log(2))             # m = 0 says nothing, and is the prior
    theta = np.random.default_rng(1).normal(size=20)
    up = 1 / (1 + np.exp(-2 * theta))
    entropy = -np.sum(up * np.log(up) + (1 - up) * np.log(1 - up))
    plain = VariationalPerceptron(20, 3.0).draw(1)
    assert sample.loss(theta) - plain.loss(theta) == pytest.approx(2 * (20 * math.log(2) - entropy), rel=1e-12)
    one = VariationalPerceptron(1, 1.0).draw(1)
    u = math.sinh(0.7) * int(one.teachers[0][0])                                    # m/sqrt(1 - m^2) = sinh theta
    assert one.loss([0.7]) == pytest.approx(-math.log(0.5 * math.erfc(-u / math.sqrt(2))), rel=1e-12)
