"""The usual way to evaluate the first-task saddle point, kept here to show what is wrong with it; no part of the package.

The energetic term needs ln int Dx Phi(u)^beta. Taking x from its Gaussian law, with however many samples, misses the integrand,
whose weight lies at x = 5 to 15 for ordinary z when beta = 20: averages over it are dominated by the few largest x drawn, and
are biased towards them. Everything else (logarithms, the average over z, the site part) is done as well as it can be here, so
that what remains is this bias alone.

    python tests/random_quadrature.py PICTURE.png

draws where iterating this way ends beside the exact curve, at 2e8 samples for each evaluation; a quarter of an hour on a core.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import log_ndtr, ndtr

#: Samples of z, and of x for each of them: those of the code released with arXiv:2212.02846.
Z_SAMPLES, X_SAMPLES = 10_000, 20_000
_ENTRIES = 2**16  # held at once, in the cache


def conjugates(q0: float, r: float, qd: float, alpha: float, beta: float, stream: np.random.Generator,
               z_samples: int = Z_SAMPLES, x_samples: int = X_SAMPLES) -> np.ndarray:
    """(Q, R, Qd) of the order parameters with x and z drawn from their Gaussian laws, x anew for each z."""
    sums = np.zeros(3)
    block = max(1, _ENTRIES // x_samples)
    for first in range(0, z_samples, block):
        z = stream.standard_normal(min(block, z_samples - first))
        x = stream.standard_normal((len(z), x_samples))
        sums += np.sum(_terms(z, x, np.full(x_samples, 1 / x_samples), q0, r, qd, beta), axis=1)
    return _scaled(sums / z_samples, alpha)


def truncated(q0: float, r: float, qd: float, alpha: float, beta: float, reach: float) -> np.ndarray:
    """(Q, R, Qd) without noise but with x cut at |x| < reach, the largest of exp(reach^2/2) samples or so."""
    z, x = np.linspace(-10, 10, 1001), np.linspace(-reach, reach, 4001)
    law = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    weight = np.exp(-x * x / 2)
    return _scaled(_terms(z, x, weight / weight.sum(), q0, r, qd, beta) @ law, alpha)


def _terms(z, x, law, q0, r, qd, beta):
    """Integrands over z (3, n) of dG_E/dq0, dG_E/dr, dG_E/dqd; x (n, k) or (k,) with weights law (k,) that sum to 1."""
    inside, width, rest = np.sqrt(qd - q0), np.sqrt(1 - qd), q0 - r * r
    u = (np.sqrt(q0) * z[:, None] + inside * x) / width
    log_phi = log_ndtr(u)
    largest = log_phi.max(axis=1, keepdims=True)
    weight = np.exp(beta * (log_phi - largest)) * law
    total = weight.sum(axis=1)
    log_f = beta * largest[:, 0] + np.log(total)
    pull = weight / total[:, None] * np.exp(-u * u / 2 - log_phi) / np.sqrt(2 * np.pi)
    mean, along = np.sum(pull, axis=1), np.sum(pull * x, axis=1)
    teacher = r * z / np.sqrt(rest)
    label, edge = ndtr(teacher), np.exp(-teacher**2 / 2) / np.sqrt(2 * np.pi) * z
    edge, teach = edge / rest**1.5 * log_f, label * beta / 2
    return np.array([teach * (z * mean / np.sqrt(q0) - along / inside) / width - edge * r / 2,
                     edge * q0,
                     teach * (along / inside / width + np.sum(pull * u, axis=1) / (1 - qd))])


def _scaled(slopes, alpha):
    """Q = -2 alpha dG_E/dq0, R = alpha dG_E/dr, Qd = alpha dG_E/dqd, with G_E = 2 int Dz (...)."""
    return 2 * alpha * slopes * np.array([-2.0, 1.0, 1.0])


def site_averages(q_hat: float, r_hat: float, qd_hat: float) -> tuple[float, float, float, float]:
    """(q0, r, qd, p): averages over z on a grid, and over m = tanh t on another."""
    z, t = np.linspace(-10, 10, 801), np.linspace(-20, 20, 8001)
    m = np.tanh(t)
    field = np.sqrt(q_hat) * z + r_hat
    exponent = (qd_hat - q_hat / 2) * m**2 + field[:, None] * m - 2 * (np.abs(t) + np.log1p(np.exp(-2 * np.abs(t))))
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    law = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    mean, sign = weight @ m, weight @ np.sign(t)
    return float(law @ mean**2), float(law @ mean), float(law @ (weight @ m**2)), float(law @ sign)


def iterate(alpha: float, beta: float, start, stream: np.random.Generator, rounds: int = 14, keep: int = 4,
            damping: float = 0.3, **samples) -> tuple[np.ndarray, np.ndarray]:
    """The loop of the usual way, from the conjugates start: mean and error of (q0, r, qd, p) over the last `keep` rounds."""
    hats, seen = np.array(start, float), []
    for _ in range(rounds):
        order = site_averages(*hats)
        seen.append(order)
        hats = damping * hats + (1 - damping) * conjugates(*order[:3], alpha, beta, stream, **samples)
    last = np.array(seen[-keep:])
    return last.mean(axis=0), last.std(axis=0, ddof=1) / np.sqrt(keep)


def figure(alphas=(0.3, 0.6, 0.9, 1.2, 1.4), beta: float = 20.0, seed: int = 1, **samples):
    """q0, qd and the generalisation error: exact (poor branch), and where the random loop settles from the exact saddle."""
    from matplotlib.figure import Figure

    from hebb.pictures import house_style
    from hebb.theory import Perceptron

    perceptron = Perceptron(beta)
    line = [perceptron.first_task(alpha, branch="poor") for alpha in np.linspace(0.05, 1.85, 37)]
    with house_style():
        picture = Figure(figsize=(9.0, 3.6), layout="constrained")
        left, right = picture.subplots(1, 2)
        left.plot([s.alpha for s in line], [s.q0 for s in line], color="C0", label=r"$q_0$ exact")
        left.plot([s.alpha for s in line], [s.qd for s in line], color="C1", label=r"$q_d$ exact")
        right.plot([s.alpha for s in line], [s.generalization_error for s in line], color="C2", label="exact")
        for alpha in alphas:
            exact = perceptron.first_task(alpha, branch="poor")
            (q0, _, qd, p), (e0, _, ed, ep) = iterate(alpha, beta, (exact.q0_hat, exact.r1_hat, exact.qd_hat),
                                                      np.random.default_rng([seed, round(1000 * alpha)]), **samples)
            once = alpha == alphas[0]
            left.errorbar(alpha, q0, e0, fmt="o", color="C0", label=r"$q_0$ random quadrature" if once else None)
            left.errorbar(alpha, qd, ed, fmt="s", color="C1", label=r"$q_d$ random quadrature" if once else None)
            right.errorbar(alpha, np.arccos(p) / np.pi, ep / np.pi / np.sqrt(1 - p * p), fmt="o", color="C2",
                           label="random quadrature" if once else None)
            print(f"alpha {alpha}: q0 {q0:.4f}({e0:.4f}) exact {exact.q0:.4f}, qd {qd:.4f}({ed:.4f}) exact {exact.qd:.4f}, "
                  f"error {np.arccos(p) / np.pi:.4f} exact {exact.generalization_error:.4f}", flush=True)
        left.set(xlabel=r"$\alpha$", ylabel="order parameters")
        right.set(xlabel=r"$\alpha$", ylabel=r"generalisation error $\arccos(p)/\pi$")
        for ax in (left, right):
            ax.legend()
        return picture


if __name__ == "__main__":
    figure().savefig(sys.argv[1], dpi=150)
