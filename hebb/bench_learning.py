"""Rows of `hebb bench` on learning in field space: the same loop in PyTorch, on one core and in double precision.

The baseline is written as a careful user would write it: the gradient by hand, without autograd, examples as a dense
matrix from which batches are taken, log_ndtr for the inverse Mills ratio, the optimiser's arithmetic in place. The same
with autograd and torch.optim stands beside it. Both sides are measured in processor time: neither waits for anything.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable

import numpy as np

from . import models
from .deep.engine import load_torch

__all__ = ["learning_cases", "torch_loops"]

_EPOCHS = 4


def learning_cases() -> list[tuple[str, float, Callable[[], float], tuple, float | None]]:
    """(what, batches per run, hebb's seconds, what `torch_loops` is told, target) of each row."""
    cases = []
    for optimizer, batch, target in (("sgd", 32, 5), ("adam", 32, 5), ("adam", 0, None)):
        sample = models.VariationalPerceptron(1000, 1.0, kl=1.0).draw(1)
        name = f"batches of {batch}" if batch else "full batch"
        what = f"field-space learning N=1000, M=1000, {optimizer}, {name}"
        batches = _EPOCHS * -(-1000 // (batch or 1000))
        cases.append((what, batches, _hebb_loop(sample, optimizer, batch), (sample, optimizer, batch), target))
    return cases


def _hebb_loop(sample, optimizer: str, batch: int) -> Callable[[], float]:
    kernel, reference = sample.kernel(0), np.zeros(sample.model.n_spins)
    start = np.random.default_rng(1).standard_normal(sample.model.n_spins)

    def once() -> float:
        theta, state, powers = start.copy(), np.zeros((2, len(start))), np.ones(2)
        stream = np.random.Generator(np.random.PCG64DXSM(3))
        begin = time.process_time()
        kernel.train(theta, state, optimizer, _EPOCHS, learning_rate=1e-3, batch_size=batch, reference=reference, kl=1.0,
                     powers=powers, generator=stream)
        return time.process_time() - begin

    return once


def torch_loops():
    """prepare(sample, optimizer, batch, autograd) -> seconds of the same epochs. ImportError without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        raise ImportError("torch")
    torch = load_torch()
    torch.use_deterministic_algorithms(False)  # which cost some time
    half_log = 0.5 * math.log(2 * math.pi)

    def by_hand(xi, theta, reference, weight):
        m = torch.tanh(theta)
        sigma = 1 - m * m
        width = torch.rsqrt(sigma.sum())
        u = (xi @ m).mul_(width)
        h = torch.exp(-0.5 * u * u - half_log - torch.special.log_ndtr(u))
        pull = (h @ u) * width * width
        return sigma * (weight * (theta - reference) - (xi.T @ h) * width - pull * m)

    def with_autograd(xi, theta, reference, weight):
        m, prior = torch.tanh(theta), torch.tanh(reference)
        u = (xi @ m) * torch.rsqrt((1 - m * m).sum())
        divergence = ((1 + m) / 2 * (torch.log1p(m) - torch.log1p(prior))
                      + (1 - m) / 2 * (torch.log1p(-m) - torch.log1p(-prior))).sum()
        return weight * divergence - torch.special.log_ndtr(u).sum()

    def prepare(sample, optimizer: str, batch: int, autograd: bool = False):
        examples = torch.from_numpy(sample.examples(0).astype(float))
        number, n = examples.shape
        start = torch.from_numpy(np.random.default_rng(1).standard_normal(n))
        reference = torch.zeros(n, dtype=torch.float64)
        size = batch or number

        def batches():
            order = torch.randperm(number) if batch else None
            for first in range(0, number, size):
                rows = examples if order is None else examples.index_select(0, order[first:first + size])
                yield rows, len(rows) / number

        def hand(theta) -> None:
            v, w, t = torch.zeros_like(theta), torch.zeros_like(theta), 0
            for _ in range(_EPOCHS):
                for xi, weight in batches():
                    g, t = by_hand(xi, theta, reference, weight), t + 1
                    if optimizer == "sgd":
                        v.mul_(0.9).add_(g, alpha=1e-3)
                        theta.sub_(v)
                    else:
                        v.mul_(0.9).add_(g, alpha=0.1)
                        w.mul_(0.999).addcmul_(g, g, value=0.001)
                        theta.addcdiv_(v, (w / (1 - 0.999**t)).sqrt_().add_(1e-8), value=-1e-3 / (1 - 0.9**t))

        def automatic(theta) -> None:
            theta.requires_grad_(True)
            steps = torch.optim.SGD([theta], 1e-3, 0.9) if optimizer == "sgd" else torch.optim.Adam([theta], 1e-3)
            for _ in range(_EPOCHS):
                for xi, weight in batches():
                    steps.zero_grad()
                    with_autograd(xi, theta, reference, weight).backward()
                    steps.step()

        def once() -> float:
            theta = start.clone()
            begin = time.process_time()
            (automatic if autograd else hand)(theta)
            return time.process_time() - begin

        return once

    return prepare
