"""What keeps a network from forgetting: terms of the gradient, and a damping of steps.

All of them see the gradient of the loss summed over a batch of b out of M training images; a term of the whole objective
(loss of all M images + term) enters with b/M, so that strength 1 of "kl" and "ewc" are Bayes' rule and Laplace's approximation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .network import VariationalNet, kl_gradient

__all__ = ["Adam", "ElasticWeights", "KullbackLeibler", "LastStep", "Metaplasticity", "Protection"]


class Protection:
    """No protection, and what the others are made of. state: tensors by name, which checkpoints carry."""

    needs_fisher = False

    def __init__(self, strength: float | None = None):
        self.strength = strength
        self.state: dict[str, list[torch.Tensor]] = {}

    def add_to_gradient(self, parameters: Sequence[torch.Tensor], beta: float, share: float) -> None:
        """Add this term's gradient to that of the loss. share: b/M."""

    def damp(self, parameters: Sequence[torch.Tensor], steps: Sequence[torch.Tensor]) -> None:
        """Change the steps, which are about to be subtracted from the parameters."""

    def consolidate(self, net: VariationalNet, beta: float, fisher: Sequence[torch.Tensor] | None) -> None:
        """A task has ended."""


class KullbackLeibler(Protection):
    """strength KL(q || q') to the posterior q' at the end of the task before; nothing in the first task."""

    def add_to_gradient(self, parameters, beta, share) -> None:
        for theta, reference in zip(parameters, self.state.get("reference", ()), strict=False):
            theta.grad.add_(kl_gradient(theta, beta, reference), alpha=self.strength * share)

    def consolidate(self, net, beta, fisher) -> None:
        self.state["reference"] = [beta * theta.detach() for theta in net.parameters]


class LastStep(Protection):
    """KL to the posterior one step before, strength beta^2 sigma (theta_t - theta_{t-1}) in every step, whatever the batch."""

    def add_to_gradient(self, parameters, beta, share) -> None:
        for theta, before in zip(parameters, self.state.get("before", ()), strict=False):
            theta.grad.add_(kl_gradient(theta, beta, beta * before), alpha=self.strength)

    def damp(self, parameters, steps) -> None:
        self.state["before"] = [theta.detach().clone() for theta in parameters]


class ElasticWeights(Protection):
    """strength/2 sum over earlier tasks and weights of F (theta - theta')^2. The sum of the parabolas of all tasks is held as
    sum F and sum F theta', which is all that its gradient needs."""

    needs_fisher = True

    def add_to_gradient(self, parameters, beta, share) -> None:
        for theta, fisher, centre in zip(parameters, *(self.state.get(key, ()) for key in ("fisher", "centre")), strict=False):
            theta.grad.add_(fisher * theta - centre, alpha=self.strength * share)

    def consolidate(self, net, beta, fisher) -> None:
        old = self.state or {"fisher": [0.0] * len(fisher), "centre": [0.0] * len(fisher)}
        self.state = {"fisher": [f + g for f, g in zip(fisher, old["fisher"], strict=True)],
                      "centre": [f * theta.detach() + c for f, theta, c in
                                 zip(fisher, net.parameters, old["centre"], strict=True)]}


class Metaplasticity(Protection):
    """Steps that reduce |W| are multiplied by 1 - tanh^2(strength W)."""

    def damp(self, parameters, steps) -> None:
        for hidden, step in zip(parameters, steps, strict=True):
            firm = torch.tanh(self.strength * hidden).square_()
            step.addcmul_(firm.mul_((hidden * step).gt_(0)), step, value=-1)  # torch.where takes three times as long


class Adam:
    """Kingma and Ba (2015); steps are returned, not taken. mean, square: running moments of the gradient.

    The step is rate * mean/(sqrt(square) + eps) of moments over 1 - beta^t; those factors are taken out of the tensors."""

    def __init__(self, parameters: Sequence[torch.Tensor], rate: float, betas=(0.9, 0.99), eps: float = 1e-8):
        self.rate, self.betas, self.eps, self.steps = rate, betas, eps, 0
        self.mean, self.square = ([torch.zeros_like(p, requires_grad=False) for p in parameters] for _ in range(2))

    def step(self, gradients: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What is to be subtracted from the parameters."""
        self.steps += 1
        (first, second), steps = self.betas, []
        root = (1 - second**self.steps) ** 0.5
        rate = self.rate * root / (1 - first**self.steps)
        for g, mean, square in zip(gradients, self.mean, self.square, strict=True):
            mean.lerp_(g, 1 - first)
            square.mul_(second).addcmul_(g, g, value=1 - second)
            scale = square.sqrt().add_(self.eps * root).div_(rate)
            steps.append(torch.div(mean, scale, out=scale))
        return steps
