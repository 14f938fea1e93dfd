"""Networks with binary weights: a mean-field posterior of them, or signs of hidden weights.

*Variational.* q(w|theta) = prod_i e^(beta theta_i w_i)/2cosh(beta theta_i), with magnetisations mu = tanh(beta theta) and
variances sigma = 1 - mu^2. What training minimises is the variational free energy of the weights

    F(theta) = - < sum_mu ln p(y_mu | x_mu, w) >_q + strength KL(q || q')

The field of a neuron is a sum over many independent weights, hence Gaussian (central limit theorem), and is drawn itself in
place of the weights (local reparameterisation: Kingma, Salimans and Welling, 2015):

    z = mu a/sqrt(n) + eps sqrt(sigma a^2/n) ,      eps ~ N(0, 1), one for each neuron and example

a: inputs of the layer, n their number. With d = dloss/d(mean of z), v = dloss/d(variance of z), the gradient is

    dloss/dtheta_oi = beta sigma_oi sum_b [ d_bo a_bi/sqrt(n) - 2 mu_oi v_bo a_bi^2/n ]
    dloss/da_bi     = sum_o [ d_bo mu_oi/sqrt(n) + 2 a_bi v_bo sigma_oi/n ]

*Signs.* w = sgn(W) of hidden weights W, through which gradients pass unchanged (straight-through estimator).

Between layers ReLU; neither bias nor batch norm; at the end softmax and cross-entropy. Gradients are sums over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

__all__ = ["SignNetwork", "VariationalNet", "field", "kl_divergence", "kl_gradient", "propagate"]

#: Standard deviations of initial hidden weights: fields theta as in the released code of arXiv:2212.02846, and small W, so that
#: weights that have not learned anything are not yet consolidated.
_INITIAL_THETA, _INITIAL_HIDDEN = 1.0, 0.1


def field(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """w a/sqrt(n) of inputs a (batch, n) and weights w (out, n)."""
    return functional.linear(a, w) / math.sqrt(w.shape[1])


def propagate(x: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Outputs (batch, classes) of a network with these weights, without noise."""
    for w in matrices[:-1]:
        x = torch.relu(field(x, w))
    return field(x, matrices[-1])


def kl_divergence(h: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL(q || q') in nats of independent weights in fields h and reference (tanh h their mean): sum over
    m (h - h') - ln cosh h + ln cosh h', without cancellation at large fields."""
    def log_cosh(x):
        return x.abs() + torch.log1p(torch.exp(-2 * x.abs()))

    return torch.sum(torch.tanh(h) * (h - reference) - log_cosh(h) + log_cosh(reference))


def kl_gradient(theta: torch.Tensor, beta: float, reference: torch.Tensor) -> torch.Tensor:
    """dKL/dtheta = beta sigma (beta theta - h'), h' the reference field: beta^2 sigma (theta - theta') at one beta."""
    h = beta * theta
    return beta * (1 - torch.tanh(h) ** 2) * (h - reference)


class VariationalNet:
    """The mean-field posterior of the weights, known by theta, one (out, in) tensor per layer."""

    variational = True

    def __init__(self, parameters: Sequence[torch.Tensor]):
        self.parameters = [p.requires_grad_() for p in parameters]

    @classmethod
    def initial(cls, normals: Sequence[torch.Tensor]) -> VariationalNet:
        """From standard normal numbers."""
        return cls([_INITIAL_THETA * x for x in normals])

    def forward(self, x: torch.Tensor, beta: float, noise: Callable[[Sequence[int]], torch.Tensor],
                trace: list | None = None) -> torch.Tensor:
        """Outputs (batch, classes) with Gaussian fields. noise(shape) gives eps; trace collects (a, mean, variance)."""
        for layer, theta in enumerate(self.parameters):
            x = torch.relu(x) if layer else x
            mean, variance = _GaussianField.apply(x, theta, beta)
            if trace is not None:
                trace.append((x, mean, variance))
            # the clamp keeps the root's slope finite where all weights are certain
            x = mean + noise(mean.shape) * torch.sqrt(variance.clamp_min(1e-12))
        return x

    @torch.no_grad()
    def means(self, beta: float) -> list[torch.Tensor]:
        """Magnetisations mu of all layers."""
        return [torch.tanh(beta * theta) for theta in self.parameters]

    @torch.no_grad()
    def signs(self) -> list[torch.Tensor]:
        """The most probable binary weights."""
        return [_sign(p) for p in self.parameters]

    def fisher(self, x: torch.Tensor, labels: torch.Tensor, beta: float, noise) -> list[torch.Tensor]:
        """Sum over the examples of the squared gradients of each one's loss (empirical Fisher information), by the formula
        above: three products of matrices per layer instead of one gradient per example."""
        trace: list[tuple] = []
        loss = functional.cross_entropy(self.forward(x, beta, noise, trace), labels, reduction="sum")
        inner = [tensor for _, *tensors in trace for tensor in tensors]
        slopes = torch.autograd.grad(loss, inner)
        found = []
        with torch.no_grad():
            for (a, _, _), d, v, theta in zip(trace, slopes[::2], slopes[1::2], self.parameters, strict=True):
                n, mu = theta.shape[1], torch.tanh(beta * theta)
                squares = (d * d).T @ a**2 / n - 4 * mu * ((d * v).T @ a**3) / n**1.5 + 4 * mu**2 * ((v * v).T @ a**4) / n**2
                found.append((beta * (1 - mu * mu)) ** 2 * squares)
        return found


class SignNetwork:
    """Binary weights sgn(W) of hidden real ones, one (out, in) tensor W per layer; beta and noise have no meaning."""

    variational = False

    def __init__(self, parameters: Sequence[torch.Tensor]):
        self.parameters = [p.requires_grad_() for p in parameters]

    @classmethod
    def initial(cls, normals: Sequence[torch.Tensor]) -> SignNetwork:
        """From standard normal numbers."""
        return cls([_INITIAL_HIDDEN * x for x in normals])

    def forward(self, x: torch.Tensor, beta: float, noise) -> torch.Tensor:
        """Outputs (batch, classes)."""
        return propagate(x, [_StraightThrough.apply(hidden) for hidden in self.parameters])

    @torch.no_grad()
    def signs(self) -> list[torch.Tensor]:
        """The weights."""
        return [_sign(p) for p in self.parameters]

    def means(self, beta: float) -> list[torch.Tensor]:
        """The weights."""
        return self.signs()


class _GaussianField(torch.autograd.Function):
    """Mean and variance of the fields of a layer. Its gradient is written out since it passes over the weights, which are
    more than the fields, half as often as automatic differentiation."""

    @staticmethod
    def forward(ctx, a, theta, beta):
        n, mu = theta.shape[1], torch.tanh(beta * theta)
        sigma = torch.addcmul(mu.new_ones(()), mu, mu, value=-1)
        ctx.save_for_backward(a, mu, sigma)
        ctx.beta = beta
        return functional.linear(a, mu) / math.sqrt(n), functional.linear(a * a, sigma) / n

    @staticmethod
    def backward(ctx, d, v):
        a, mu, sigma = ctx.saved_tensors
        n = mu.shape[1]
        d, v, slope, inputs = d / math.sqrt(n), v / n, None, None
        if ctx.needs_input_grad[1]:
            slope = ((ctx.beta * d).T @ a).addcmul_(mu, (ctx.beta * v).T @ (a * a), value=-2).mul_(sigma)
        if ctx.needs_input_grad[0]:
            inputs = d @ mu + 2 * a * (v @ sigma)
        return inputs, slope, None


class _StraightThrough(torch.autograd.Function):
    """Signs whose gradient is passed on as that of what they are the signs of."""

    @staticmethod
    def forward(ctx, hidden):
        return _sign(hidden)

    @staticmethod
    def backward(ctx, slope):
        return slope


def _sign(x: torch.Tensor) -> torch.Tensor:
    return torch.copysign(torch.ones((), dtype=x.dtype), x)
