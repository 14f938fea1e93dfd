"""The kernel of field-space learning against the slow reference, a plain loop of the same steps, and itself on other
instruction sets."""

import math

import numpy as np
import pytest
from scipy.special import erfcx, log_ndtr

from hebb.kernels.field_learning import FieldKernel
from hebb.kernels.overlap import INSTRUCTION_SETS, instruction_set
from hebb.models.variational import VariationalPerceptron

SETS = INSTRUCTION_SETS[: INSTRUCTION_SETS.index(instruction_set()) + 1]


def stream(seed=1):
    return np.random.Generator(np.random.PCG64DXSM(seed))


@pytest.mark.parametrize("name", SETS)
def test_inverse_mills_ratio_and_log_phi(name):
    kernel = FieldKernel(np.zeros((1, 8), np.uint8), 5, name)
    u = np.concatenate([np.linspace(-60, 8, 5001), -np.geomspace(1e-12, 1e8, 500), [0.0, -1e3, -1e150]])
    h, log_normal = kernel.mills(u)
    np.testing.assert_allclose(h, math.sqrt(2 / math.pi) / erfcx(-u / math.sqrt(2)), rtol=2e-14)  # rounding of u^2/2 = 32
    near = u > -1e7                                                                 # scipy's own log_ndtr: 1e-13 around u = -1
    np.testing.assert_allclose(log_normal[near], log_ndtr(u[near]), rtol=4e-13)
    np.testing.assert_allclose(log_normal[-2:], -u[-2:] ** 2 / 2, rtol=2e-5)
    h, log_normal = kernel.mills([8.0, 20.0, 37.0, 1e3])
    np.testing.assert_allclose(h[:3], np.exp(-np.array([8.0, 20, 37]) ** 2 / 2) / math.sqrt(2 * math.pi), rtol=1e-12)
    np.testing.assert_allclose(log_normal[:3], log_ndtr([8.0, 20, 37]), rtol=1e-12)
    assert 0 <= h[3] < 1e-300 and -1e-300 < log_normal[3] <= 0


@pytest.mark.parametrize("n, m", [(1, 1), (7, 3), (63, 64), (64, 65), (65, 130), (200, 300), (129, 7)])
@pytest.mark.parametrize("name", SETS)
def test_loss_and_gradient(name, n, m):
    sample = VariationalPerceptron(n, [m / n, m / n], 0.0, [0.0, 0.6]).draw(1)
    kernel, rng = sample.kernel(1, name), np.random.default_rng(n)
    for scale in (0.1, 1.0, 4.0):
        theta, reference = scale * rng.normal(size=n), rng.normal(size=n)
        loss = kernel.loss(theta) + 0.6 * kernel.divergence(theta, reference)
        assert loss == pytest.approx(sample.loss(theta, 1, reference), rel=1e-12)
        slow = sample.gradient(theta, 1, reference)
        np.testing.assert_allclose(kernel.gradient(theta, reference, 0.6), slow, rtol=1e-10, atol=1e-12 * np.abs(slow).max())
        np.testing.assert_allclose(kernel.overlaps(np.tanh(theta)), sample.examples(1) @ np.tanh(theta), rtol=0, atol=1e-12 * n)
    assert kernel.divergence(theta, theta) == 0.0 and kernel.divergence(np.zeros(n)) == 0.0


def test_far_in_the_tails():
    """Weights sure of the wrong answer: u = -sinh 25 = -4e10, where phi and Phi are 0 in double precision."""
    sample = VariationalPerceptron(1, 1.0).draw(1)
    theta = -25.0 * sample.teachers[0].astype(float)
    kernel = sample.kernel(0)
    assert kernel.loss(theta) == pytest.approx(math.sinh(25) ** 2 / 2, rel=1e-9)
    assert abs(kernel.gradient(theta)[0]) == pytest.approx(math.sinh(25) * math.cosh(25), rel=1e-9)


def test_all_instruction_sets_give_the_same_bits():
    sample = VariationalPerceptron(333, 1.7, kl=0.4).draw(2)
    rng = np.random.default_rng(3)
    start, reference, push = rng.normal(size=(3, 333))
    seen = []
    for name in SETS:
        kernel, states = sample.kernel(0, name), []
        for optimizer, batch in (("sgd", 0), ("sgd", 50), ("adam", 0), ("adam", 32)):
            theta, state, powers = start.copy(), np.zeros((2, 333)), np.ones(2)
            kernel.train(theta, state, optimizer, 5, learning_rate=0.01, weight_decay=0.1, batch_size=batch, kl=0.4,
                         reference=reference, powers=powers, generator=stream())
            states += [theta, state]
        theta, momentum = start.copy(), push.copy()
        change = kernel.trajectory(theta, momentum, 20.0, 7, 0.1, reference, 0.4)
        seen.append(np.concatenate([np.ravel(x) for x in (*states, theta, momentum, change, kernel.loss(theta),
                                                          kernel.gradient(theta, reference), kernel.divergence(theta, push))]))
    assert len(SETS) > 1 or instruction_set() == "plain"
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)


def shuffled(order_stream, m):
    """The order that the kernel draws: Fisher and Yates, a site from each word."""
    order = list(range(m))
    for j in range(m - 1, 0, -1):
        k = int(order_stream.bit_generator.random_raw()) * (j + 1) >> 64
        order[j], order[k] = order[k], order[j]
    return order


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch", [0, 1, 16, 50])
def test_epochs_are_those_of_a_plain_loop(optimizer, batch):
    n, m, rate, decay, momentum, kl = 40, 50, 0.02, 0.05, 0.9, 0.8
    model = VariationalPerceptron(n, m / n, kl=kl)
    sample, rng = model.draw(4), np.random.default_rng(5)
    theta, reference = rng.normal(size=(2, n))
    fast, state, powers = theta.copy(), np.zeros((2, n)), np.ones(2)
    sample.kernel(0).train(fast, state, optimizer, 3, learning_rate=rate, momentum=momentum, weight_decay=decay,
                           batch_size=batch, reference=reference, kl=kl, powers=powers, generator=stream(7))
    xi, orders = sample.examples(0).astype(float), stream(7)
    first, second, t = np.zeros(n), np.zeros(n), 0
    for _ in range(3):
        order = shuffled(orders, m) if batch else list(range(m))
        for begin in range(0, m, batch or m):
            rows = xi[order[begin:begin + (batch or m)]]
            means = np.tanh(theta)
            sigma, width = 1 - means**2, math.sqrt(np.sum(1 - means**2))
            u = rows @ means / width
            h = math.sqrt(2 / math.pi) / erfcx(-u / math.sqrt(2))
            slope = kl * len(rows) / m * sigma * (theta - reference) - sigma * (h @ rows / width + means * (h @ u) / width**2)
            t += 1
            if optimizer == "sgd":
                first = momentum * first + rate * slope
                theta = theta - first - rate * decay * theta
            else:
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                step = first / (1 - 0.9**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
                theta = theta - rate * (step + decay * theta)
    np.testing.assert_allclose(fast, theta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(state[0], first, rtol=1e-8, atol=1e-10)
    if optimizer == "adam":
        np.testing.assert_allclose(powers, [0.9**t, 0.999**t], rtol=1e-12)


def test_epochs_may_be_cut_anywhere():
    sample, states = VariationalPerceptron(70, 1.0).draw(1), []
    for pieces in ([12], [5, 1, 6]):
        theta, state, powers, order = np.zeros(70), np.zeros((2, 70)), np.ones(2), stream()
        for number in pieces:
            sample.kernel(0).train(theta, state, "adam", number, learning_rate=0.01, batch_size=9, powers=powers,
                                   generator=order)
        states.append([theta, state, powers])
    for one, two in zip(*states, strict=True):
        np.testing.assert_array_equal(one, two)


def test_trajectories_are_reversible_and_keep_the_energy():
    sample, rng = VariationalPerceptron(50, 1.0, kl=0.5).draw(1), np.random.default_rng(2)
    kernel, beta = sample.kernel(0), 6.0
    start, reference, push = rng.normal(size=(3, 50))

    def potential(theta):
        return beta * sample_loss(theta) - np.sum(np.log1p(-np.tanh(theta) ** 2))

    def sample_loss(theta):
        return sample.loss(theta, 0, reference)

    changes = []
    for steps in (10, 20, 40):
        theta, momentum = start.copy(), push.copy()
        change = kernel.trajectory(theta, momentum, beta, steps, 1.0 / steps, reference, 0.5)
        changes.append(change)
        explicit = potential(theta) - potential(start) + (momentum @ momentum - push @ push) / 2
        assert change == pytest.approx(explicit, abs=1e-9)
        momentum = -momentum
        kernel.trajectory(theta, momentum, beta, steps, 1.0 / steps, reference, 0.5)
        np.testing.assert_allclose(theta, start, atol=1e-10)
        np.testing.assert_allclose(-momentum, push, atol=1e-10)
    assert abs(changes[1] / changes[2] - 4) < 0.5                                   # second order in the step
    theta, momentum, eps = start.copy(), np.zeros(50), 1e-7                         # one tiny step: p = -step dU/dtheta
    kernel.trajectory(theta, momentum, beta, 1, eps, reference, 0.5)
    slope = beta * sample.gradient(start, 0, reference) + 2 * np.tanh(start)
    np.testing.assert_allclose(-momentum / eps, slope, rtol=1e-5, atol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="multiple of 8"):
        FieldKernel(np.zeros((2, 7), np.uint8), 5)
    with pytest.raises(ValueError, match="bits beyond the last spin"):
        FieldKernel(np.full((2, 8), 255, np.uint8), 5)
    with pytest.raises(ValueError, match="5 spins"):
        FieldKernel(np.zeros((2, 8), np.uint8), 5).loss(np.zeros(6))
    kernel = FieldKernel(np.zeros((2, 8), np.uint8), 5)
    with pytest.raises(ValueError, match="need a generator"):
        kernel.train(np.zeros(5), np.zeros((2, 5)), "sgd", 1, learning_rate=0.1, batch_size=1)
    with pytest.raises(ValueError, match="optimizer = 'sgdd' is not one of sgd, adam"):
        kernel.train(np.zeros(5), np.zeros((2, 5)), "sgdd", 1, learning_rate=0.1)
