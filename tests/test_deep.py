"""Networks in training (needs PyTorch: pytest -m deep): free energies and their gradients against enumeration, differences and
sampled binary weights; what the methods do; the same bits after a checkpoint; a job to its table."""

import itertools
import math

import numpy as np
import pytest
from conftest import ROOT, assert_same_datasets, assert_z, hebb

from hebb import models
from hebb.compare import compare_results
from hebb.runs.plan import Plan
from hebb.runs.worker import compute, run_task
from hebb.storage.merging import merge
from hebb.storage.taskfile import read_task, write_task

pytestmark = pytest.mark.deep
torch = pytest.importorskip("torch")

from hebb.deep.engine import load_torch  # noqa: E402
from hebb.deep.network import SignNetwork, VariationalNet, kl_divergence, kl_gradient, propagate  # noqa: E402
from hebb.deep.protection import Adam, ElasticWeights, KullbackLeibler, Metaplasticity  # noqa: E402
from hebb.deep.trainer import NetworkChain  # noqa: E402

load_torch()


def normals(*shape, seed=0, scale=1.0):
    return torch.from_numpy(scale * np.random.default_rng(seed).standard_normal(shape))


def frozen_noise(seed=3):
    """The same numbers at every call of a forward pass, in double precision."""
    return lambda shape: normals(*shape, seed=seed + shape[1])


def small_net(scale=0.7):
    return VariationalNet([normals(4, 6, scale=scale), normals(3, 4, seed=1, scale=scale)])


X, LABELS = normals(5, 6, seed=2), torch.tensor([0, 2, 1, 1, 0])


def loss_of(net, beta, x=X, labels=LABELS, noise=None):
    return torch.nn.functional.cross_entropy(net.forward(x, beta, noise or frozen_noise()), labels, reduction="sum")


# ---- the Kullback-Leibler divergence


@pytest.mark.parametrize("scale", [0.1, 1.0, 12.0])
def test_kl_is_that_of_the_binary_weights(scale):
    """All 2^6 weights, log q from log-sigmoids."""
    h, reference = normals(6, scale=scale), normals(6, seed=1, scale=scale)
    states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    log_q, log_p = (torch.nn.functional.logsigmoid(2 * states * f).sum(dim=1) for f in (h, reference))
    expected = float(torch.sum(torch.exp(log_q) * (log_q - log_p)))
    assert float(kl_divergence(h, reference)) == pytest.approx(expected, rel=1e-12, abs=1e-14)
    uniform = float(kl_divergence(h, torch.zeros(6, dtype=torch.float64)))  # N ln 2 less the entropy
    assert uniform == pytest.approx(6 * math.log(2) + float(torch.sum(torch.exp(log_q) * log_q)), rel=1e-12, abs=1e-14)


def test_kl_gradient():
    """Against automatic differentiation; at one beta it is beta^2 sigma (theta - theta'), to all orders."""
    theta, other = normals(50).requires_grad_(), normals(50, seed=1)
    for beta, reference in ((1.7, 1.7 * other), (2.5, 0.8 * other)):
        found = kl_gradient(theta.detach(), beta, reference)
        differentiated = torch.autograd.grad(kl_divergence(beta * theta, reference), theta)[0]
        torch.testing.assert_close(found, differentiated, rtol=1e-12, atol=1e-14)
    sigma = 1 - torch.tanh(1.7 * theta.detach()) ** 2
    expected = 1.7**2 * sigma * (theta.detach() - other)
    torch.testing.assert_close(kl_gradient(theta.detach(), 1.7, 1.7 * other), expected, rtol=1e-12, atol=1e-14)


def test_kl_is_elastic_weight_consolidation_to_second_order():
    """With the Bernoulli Fisher information beta^2 (1 - m'^2): what is left is of third order."""
    reference, direction, beta = normals(40), normals(40, seed=1), 1.3
    fisher = beta**2 * (1 - torch.tanh(beta * reference) ** 2)

    def rest(step):
        return float(kl_divergence(beta * (reference + step * direction), beta * reference)
                     - 0.5 * step**2 * torch.sum(fisher * direction**2))

    assert rest(0.02) / rest(0.01) == pytest.approx(8, rel=0.05)     # the fourth order is 1 % of the third here
    assert abs(rest(0.01)) < 0.05 * 0.5 * 0.01**2 * float(torch.sum(fisher * direction**2))


# ---- fields and gradients


def test_gaussian_fields_have_the_moments_of_binary_weights():
    """Mean and variance of a layer over 40,000 draws of weights (rows) and of Gaussian fields; shares above a threshold."""
    n, draws, beta = 400, 40000, 1.2
    theta, a = normals(2, n, scale=0.8), torch.relu(normals(1, n, seed=1))
    mu = torch.tanh(beta * theta)
    rng = np.random.default_rng(5)
    signs = np.sign(rng.random((draws, n), dtype=np.float32)[None] - (1 - mu.numpy()[:, None, :]) / 2)
    sampled = (signs * a.numpy()).sum(axis=2).T / math.sqrt(n)
    gaussian = VariationalNet([theta]).forward(a.expand(draws, n), beta, lambda shape: normals(*shape, seed=6)).detach().numpy()
    mean, variance = sampled.mean(axis=0), sampled.var(axis=0)
    z = [(mean - gaussian.mean(axis=0)) / np.sqrt(2 * variance / draws),
         (variance - gaussian.var(axis=0)) / (2 * variance / math.sqrt(draws))]
    for level in (-1.0, 0.0, 1.0):
        shares = [np.mean(values > mean + level * np.sqrt(variance), axis=0) for values in (sampled, gaussian)]
        z.append((shares[0] - shares[1]) / np.sqrt(2 * shares[0] * (1 - shares[0]) / draws))
    assert_z(np.concatenate(z), 1e-6, "fields of a layer")


def test_gaussian_fields_through_two_layers():
    """Mean and variance of the outputs, and the mean loss, against binary weights that are drawn themselves."""
    n, hidden, draws = 300, 150, 3000
    theta, x = [normals(hidden, n, scale=0.6), normals(3, hidden, seed=1, scale=0.6)], normals(1, n, seed=2)
    gaussian = VariationalNet(theta).forward(x.expand(draws, n), 1.5, lambda shape: normals(*shape, seed=shape[1])).detach()
    rng, sampled = np.random.default_rng(7), []
    shares = [(1 + np.tanh(1.5 * t.detach().numpy())) / 2 for t in theta]
    for _ in range(draws):
        weights = [torch.from_numpy(np.where(rng.random(p.shape) < p, 1.0, -1.0)) for p in shares]
        sampled.append(propagate(x, weights)[0])
    sampled, z = torch.stack(sampled), []
    for values in ((sampled, gaussian), (sampled**2, gaussian**2), tuple(map(torch.logsumexp, (sampled, gaussian), (1, 1)))):
        one, two = values
        z.append(((one.mean(0) - two.mean(0)) / torch.sqrt((one.var(0) + two.var(0)) / draws)).numpy().ravel())
    assert_z(np.concatenate(z), 1e-6, "outputs of two layers")


@pytest.mark.parametrize("beta", [0.4, 1.0, 3.0])
def test_gradient_of_the_loss(beta):
    """That which is written out, against differences and automatic differentiation."""
    net, trace, step = small_net(), [], 1e-6
    loss = torch.nn.functional.cross_entropy(net.forward(X, beta, frozen_noise(), trace), LABELS, reduction="sum")
    gradients = torch.autograd.grad(loss, net.parameters, retain_graph=True)
    for theta, gradient in zip(net.parameters, gradients, strict=True):
        for place in np.ndindex(*theta.shape):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    theta[place] += sign * step
                    values.append(float(loss_of(net, beta)))
                    theta[place] -= sign * step
            assert float(gradient[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-7)
    x, noise = X, frozen_noise()  # the formula of the field, differentiated automatically
    for layer, theta in enumerate(net.parameters):
        mu, n, x = torch.tanh(beta * theta), theta.shape[1], torch.relu(x) if layer else x
        mean, variance = x @ mu.T / math.sqrt(n), x**2 @ (1 - mu**2).T / n
        torch.testing.assert_close(trace[layer][1:], (mean, variance), rtol=1e-12, atol=1e-15)
        x = mean + noise(mean.shape) * variance.clamp_min(1e-12).sqrt()
    differentiated = torch.autograd.grad(torch.nn.functional.cross_entropy(x, LABELS, reduction="sum"), net.parameters)
    for gradient, expected in zip(gradients, differentiated, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


def test_fisher_information_is_the_sum_of_squared_gradients():
    net, noise = small_net(), {size: normals(5, size, seed=size) for size in (4, 3)}
    found = net.fisher(X, LABELS, 1.4, lambda shape: noise[shape[1]])
    expected = [torch.zeros_like(p) for p in net.parameters]
    for k in range(5):
        one = loss_of(net, 1.4, X[k:k + 1], LABELS[k:k + 1], lambda shape, k=k: noise[shape[1]][k:k + 1])
        for total, slope in zip(expected, torch.autograd.grad(one, net.parameters), strict=True):
            total += slope**2
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-16)


def test_certain_weights_are_plain_ones():
    """beta -> infinity: no noise, and the outputs of the signs; gradients vanish and stay finite."""
    net = small_net()
    outputs = net.forward(X, 1e4, frozen_noise())
    torch.testing.assert_close(outputs, propagate(X, net.signs()), rtol=0, atol=1e-5)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(outputs.sum(), net.parameters))


def test_signs_pass_their_gradient_on():
    net = SignNetwork([normals(4, 6), normals(3, 4, seed=1)])
    weights = [w.requires_grad_() for w in net.signs()]
    assert all(torch.all(w.abs() == 1) for w in weights)
    outputs = net.forward(X, math.nan, None)
    torch.testing.assert_close(outputs, propagate(X, weights))
    for one, two in zip(torch.autograd.grad(outputs[:, 0].sum(), net.parameters),
                        torch.autograd.grad(propagate(X, weights)[:, 0].sum(), weights), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


# ---- what protects


def test_adam_is_adam():
    ours, theirs = normals(20), normals(20).requires_grad_()
    mine, reference = Adam([ours], 0.03), torch.optim.Adam([theirs], 0.03, betas=(0.9, 0.99), eps=1e-8)
    for k in range(6):
        theirs.grad = normals(20, seed=k) * 10.0 ** (k - 3)
        ours -= mine.step([theirs.grad])[0]
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-14)


def test_terms_of_the_gradient_are_those_of_their_energies():
    """Three tasks of EWC, and KL to the last of them, with the share of a batch."""
    net, elastic, kl = small_net(), ElasticWeights(0.7), KullbackLeibler(0.3)
    fishers, anchors = [], []
    for seed in range(2):
        with torch.no_grad():
            for p in net.parameters:
                p += normals(*p.shape, seed=seed)
        fishers.append([normals(*p.shape, seed=5 + seed) ** 2 for p in net.parameters])
        anchors.append([p.detach().clone() for p in net.parameters])
        for protection in (elastic, kl):
            protection.consolidate(net, 1.1 + seed, fishers[-1])
    with torch.no_grad():
        for p in net.parameters:
            p += 0.3
    parabolas = sum(0.5 * torch.sum(f * (p - a) ** 2) for fs, anchor in zip(fishers, anchors, strict=True)
                    for f, p, a in zip(fs, net.parameters, anchor, strict=True))
    divergence = sum(kl_divergence(3.0 * p, 2.1 * a) for p, a in zip(net.parameters, anchors[-1], strict=True))
    for protection, energy in ((elastic, 0.7 * parabolas), (kl, 0.3 * divergence)):
        for p in net.parameters:
            p.grad = torch.zeros_like(p)
        with torch.no_grad():
            protection.add_to_gradient(net.parameters, 3.0, 0.25)
        for p, expected in zip(net.parameters, torch.autograd.grad(energy, net.parameters), strict=True):
            torch.testing.assert_close(p.grad, 0.25 * expected, rtol=1e-10, atol=1e-12)


def test_metaplasticity_slows_what_weakens_a_weight():
    hidden, step = normals(30), normals(30, seed=1)
    found = step.clone()
    Metaplasticity(1.35).damp([hidden], [found])
    for w, before, after in zip(hidden, step, found, strict=True):
        smaller = abs(w - 1e-6 * before) < abs(w)
        assert float(after) == pytest.approx(float(before * (1 - math.tanh(1.35 * w) ** 2 if smaller else 1)), rel=1e-12)


# ---- training


def network(method="none", strength=None, n_tasks=2, **changes):
    return models.VariationalNetwork(**({"layers": [64, 24, 10], "images": "digits", "n_train": 500, "n_test": 300}
                                        | changes), n_tasks=n_tasks, method=method, strength=strength)


def chain(method="none", strength=None, point=None, n_tasks=2, **learning):
    instance = network(method, strength, n_tasks).draw(4)
    return NetworkChain(instance, 0.0, seed=4, point=point, learning={"epochs": 2} | learning)


def weights(trained):
    return torch.cat([p.detach().flatten() for p in trained.net.parameters]).numpy()


def test_methods_without_strength_are_no_protection():
    """With the streams of one point, bit for bit; and strength makes a difference, from the second task on."""
    plain, signs = (chain(method, point="0" * 64) for method in ("none", "binary"))
    protected = itertools.product(("kl", "kl_step", "ewc", "metaplasticity"), (0.0, 2.0))
    others = {key: chain(*key, "0" * 64) for key in protected}
    np.testing.assert_allclose(weights(signs), 0.1 * weights(plain), rtol=1e-6)
    for trained in (plain, signs, *others.values()):
        trained.advance(2)
    first = {key: weights(trained) for key, trained in others.items()}
    for method in ("kl", "ewc"):
        np.testing.assert_array_equal(first[method, 2.0], weights(plain), err_msg="nothing to protect in the first task")
    for trained in (plain, signs, *others.values()):
        trained.advance(1)
    for (method, strength), trained in others.items():
        reference = signs if method == "metaplasticity" else plain
        assert np.array_equal(weights(trained), weights(reference)) == (strength == 0.0), (method, strength)


def test_strong_protection_keeps_the_first_task():
    """Weights stay where the first task left them, "none" learns the second task, and "joint" both."""
    found = {}
    for key in (("kl", 1e7), ("ewc", 1e9), ("none",), ("binary",), ("joint",)):
        trained, method = chain(*key, epochs=8, batch_size=16, beta=2.0, learning_rate=0.02), key[0]
        trained.advance(8)
        signs, before = np.sign(weights(trained)), trained.measure()["accuracy"][0]
        trained.advance(8)
        found[method] = before, trained.measure()["accuracy"][0], np.mean(np.sign(weights(trained)) != signs)
    for method in ("kl", "ewc"):
        before, after, flipped = found[method]
        assert flipped < 0.02 and before[0] > 0.7 and after[0] > before[0] - 0.05 and after[1] < 0.4, method
    for method in ("none", "binary"):
        before, after, flipped = found[method]
        assert flipped > 0.05 and before[1] < 0.4 and after[1] > 0.65 and after[0] < before[0] - 0.05, method
    assert found["joint"][1].min() > 0.7


def test_joint_training_meets_the_same_images_as_often():
    plain, joint = chain(n_tasks=3, epochs=[1, 2, 1]), chain("joint", n_tasks=3, epochs=[1, 2, 1])
    met = [np.concatenate([c._presentations(e, np.random.default_rng(e)) for e in range(4)]) for c in (plain, joint)]
    counts = [np.unique(rows, axis=0, return_counts=True) for rows in met]
    np.testing.assert_array_equal(counts[0][0], counts[1][0])
    np.testing.assert_array_equal(counts[0][1], counts[1][1])
    assert len(met[0]) == 2000 and set(counts[0][1][counts[0][0][:, 0] == 1]) == {2}
    shares = np.bincount(joint._presentations(0, None)[:, 0]) / 500
    expected = np.array([0.25, 0.5, 0.25])
    assert_z((shares - expected) / np.sqrt(expected * (1 - expected) / 500), 1e-6, "tasks in an epoch of joint training")
    inputs, labels = joint._batch(met[1][:64])
    for (task, image), row, label in zip(met[1], inputs, labels, strict=False):
        one, its = joint._tasks[task].training(np.array([image]))
        assert torch.equal(row, one[0]) and label == its[0]


def test_observables():
    trained = chain("kl", epochs=3)
    trained.advance(3)
    seen = trained.measure()
    assert {name: value.shape for name, value in seen.items()} == {"training_loss": (1,), "accuracy": (1, 2),
                                                                   "accuracy_binary": (1, 2), "kl": (1,),
                                                                   "first_layer_variance": (1,)}
    beta = 10 * math.tanh(0.1 + 2 * 3 / 6)
    mu = [np.tanh(beta * p.detach().numpy().astype(float)) for p in trained.net.parameters]
    assert seen["first_layer_variance"][0] == pytest.approx(np.mean(1 - mu[0]**2), rel=1e-5)
    entropy = -sum(np.sum(np.log((1 + s * m) / 2 + 1e-300) * (1 + s * m) / 2) for m in mu for s in (1, -1))
    assert seen["kl"][0] == pytest.approx(math.log(2) - entropy / trained.model.n_spins, rel=1e-6)
    task = trained.instance.tasks[1]
    x = task.test_inputs[:, task.permutation].astype(float)
    for name, w in (("accuracy", mu), ("accuracy_binary", [np.sign(m) for m in mu])):
        outputs = np.maximum(x @ w[0].T / 8, 0) @ w[1].T
        assert seen[name][0, 1] == pytest.approx(np.mean(outputs.argmax(axis=1) == task.test_labels), abs=1e-12)
    trained.advance(1)
    drawn_away = trained.measure()["kl"][0]
    assert 0 < drawn_away < seen["kl"][0], "now to the posterior at the end of the first task"


METHODS = ("none", "kl", "kl_step", "ewc", "metaplasticity", "joint")


@pytest.mark.parametrize("method", METHODS)
def test_going_on_from_a_checkpoint_repeats_every_bit(method, tmp_path):
    """Stopped after every epoch, also at the border of tasks; the file is the same as without a stop."""
    plan = Plan.from_keywords(network(method), temperature=0.0, replicas=1, start="random", dynamics="backpropagation",
                              thermalize=0, sweeps=4, disorder=1, learning={"epochs": 2})
    task = plan.tasks[0]
    whole = compute(task)
    record = compute(task, stop=lambda: True)
    visits = 1
    while record.status != "done":
        write_task(tmp_path / "part.h5", record)
        record = run_task(task, read_task(tmp_path / "part.h5"), stop=lambda: True)
        visits += 1
    assert visits == 4 and record.message == ""
    for name, written in (("whole", whole), ("parts", record)):
        write_task(tmp_path / f"{name}.h5", written)
    assert_same_datasets(tmp_path / "whole.h5", tmp_path / "parts.h5")


# ---- jobs


JOB = """
[job]
name = "lessons"
seed = 2
[model]
kind = "network"
layers = [[64, 24, 10]]
images = "digits"
n_tasks = 2
n_train = 500
n_test = 300
method = ["none", "ewc", "joint", "binary", "metaplasticity"]
temperature = 0.0
[sampling]
dynamics = "backpropagation"
start = "random"
disorder = 3
replicas = 1
thermalize = 0
sweeps = 6
[sampling.learning]
epochs = 3
"""


def test_a_job_from_file_to_table_and_figure(folder, capsys):
    (folder / "lessons.toml").write_text(JOB)
    code, out, err = hebb(capsys, "run", "lessons.toml")
    assert code == 0, err
    code, out, err = hebb(capsys, "merge", "runs/lessons")
    assert code == 0 and "(?)" not in out
    code, out, err = hebb(capsys, "compare", "runs/lessons", "--csv", "lessons.csv")
    assert code == 0 and (folder / "runs" / "lessons" / "compare.png").stat().st_size > 20000, err
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["method", "strength", "samples"] and len(lines) == 8
    assert (folder / "lessons.csv").read_text().count("\n") == 6
    results = merge(folder / "runs" / "lessons")
    found = {row["method"]: row for row in compare_results(results).rows}
    curves = {point["method"]: results["accuracy"].series(i)[:, :, 0] for i, point in enumerate(results.points)}
    for method, row in found.items():
        last = curves[method][:, -1]
        assert row["average"] == pytest.approx((last.mean(), last.mean(axis=1).std(ddof=1) / math.sqrt(3)))
        assert row["task 2"][0] == pytest.approx(last[:, 1].mean())
        np.testing.assert_allclose(results["accuracy"].mean[list(found).index(method)], last.mean(axis=0))
    assert found["none"]["forgetting"][0] == pytest.approx(np.mean(curves["none"][:, 2, 0] - curves["none"][:, -1, 0]))
    assert found["ewc"]["new"][0] == pytest.approx(np.mean(curves["ewc"][:, -1, 1]))
    assert found["ewc"]["gain"][0] == pytest.approx(found["ewc"]["average"][0] - found["none"]["average"][0])
    assert found["metaplasticity"]["gain"][0] == pytest.approx(
        found["metaplasticity"]["average"][0] - found["binary"]["average"][0])
    assert math.isnan(found["none"]["gain"][0]) and math.isnan(found["joint"]["forgetting"][0])


def test_shipped_jobs_follow_their_schedules():
    for name in ("deep_quick", "deep_permuted_mnist", "deep_mnist_fashion"):
        text = (ROOT / "mpi_runs" / f"{name}.toml").read_text()
        tasks, epochs, sweeps = (eval(text.split(f"\n{key} = ")[1].split("#")[0].split("\n")[0])
                                 for key in ("n_tasks" if "n_tasks" in text else "images", "epochs", "sweeps"))
        number = tasks if isinstance(tasks, int) else len(tasks[0])
        assert sweeps == (sum(epochs) if isinstance(epochs, list) else number * epochs), name
