"""The baselines of `hebb bench`: what a careful user of numba, dwave-samplers or scipy would write for the same task."""

from __future__ import annotations

import math
import time

import numpy as np

__all__ = ["annealer", "numba_averages", "numba_chain", "pointwise", "random_integral"]


def numba_chain():
    """The same Metropolis chain, plainly written: x and A cached, one sum over the patterns per proposal."""
    import numba

    @numba.njit(fastmath=True)
    def chain(spins, patterns, x, a, table_a, table_b, offset, temperature, sweeps, seed):
        np.random.seed(seed)
        n, k = patterns.shape
        zero = table_a[0]
        total_b = zero
        for mu in range(k):
            a[mu] = table_a[x[mu] + offset]
            total_b += table_b[x[mu] + offset]
        for _ in range(sweeps * n):
            i = np.random.randint(n)
            column = patterns[i]
            total = zero
            for mu in range(k):
                total += column[mu] * a[mu]
            cost = total_b + spins[i] * total
            if cost <= 0 or np.random.random() < math.exp(-cost / temperature):
                s = spins[i]
                total_b = zero
                for mu in range(k):
                    x[mu] -= 2 * s * column[mu]
                    a[mu] = table_a[x[mu] + offset]
                    total_b += table_b[x[mu] + offset]
                spins[i] = -s

    def prepare(instance, temperature, sweeps, precision, start=None):
        n, start = instance.n_spins, instance.condensed if start is None else start
        patterns = np.ascontiguousarray(instance.patterns.T)
        x = np.arange(-n - 2, n + 3, dtype=float)
        f = instance.model.potential(x, np.full(x.size, n))
        table_a, table_b = np.zeros((2, x.size), precision)
        table_a[2:-2] = (f[:-4] - f[4:]) / 2
        table_b[2:-2] = (f[:-4] + f[4:]) / 2 - f[2:-2]

        def once() -> float:
            spins = start.astype(np.int32)
            overlaps = (spins @ patterns.astype(np.int32)).astype(np.int32)
            cache = np.zeros(overlaps.size, precision)
            begin = time.perf_counter()
            chain(spins, patterns, overlaps, cache, table_a, table_b, n + 2, temperature, sweeps, 3)
            return time.perf_counter() - begin

        return once

    return prepare


def numba_averages():
    """The same chain, plainly written: power sums and e_k cached, one Horner sum over the patterns per proposal. P is a
    constant of the compiled code."""
    import numba

    def compiled(p):
        @numba.njit(fastmath=True)
        def chain(spins, entries, power, e, scale, temperature, sweeps, seed):
            np.random.seed(seed)
            n, k = entries.shape
            for _ in range(sweeps * n):
                i = np.random.randint(n)
                column, s, total = entries[i], spins[i], 0.0
                for mu in range(k):
                    x = column[mu] * s
                    term = 1.0
                    for j in range(1, p):
                        term = e[j, mu] - x * term
                    total += x * term
                cost = scale * total
                if cost <= 0 or np.random.random() < math.exp(-cost / temperature):
                    for mu in range(k):
                        x = column[mu] * s
                        odd = x
                        for j in range(1, p, 2):
                            power[j, mu] -= 2 * odd
                            odd *= x * x
                        for j in range(1, p):
                            value, sign = 0.0, 1.0
                            for i2 in range(1, j + 1):
                                value += sign * power[i2, mu] * e[j - i2, mu]
                                sign = -sign
                            e[j, mu] = value / j
                    spins[i] = -s

        return chain

    def prepare(instance, temperature, sweeps):
        p, chain = instance.model.p_body, compiled(instance.model.p_body)
        entries = np.ascontiguousarray(instance.stored.T)

        def once() -> float:
            spins = instance.condensed.astype(float)
            power = np.array([np.sum((entries * spins[:, None]) ** j, axis=0) for j in range(p)])
            e = np.ones_like(power)
            for j in range(1, p):
                e[j] = sum((-1) ** (i - 1) * power[i] * e[j - i] for i in range(1, j + 1)) / j
            begin = time.perf_counter()
            chain(spins, entries, power, e, 2 * instance.model.weight, temperature, sweeps, 3)
            return time.perf_counter() - begin

        return once

    return prepare


def annealer():
    """Simulated annealing at one fixed temperature on the explicit couplings. Its set-up time is measured with one sweep and
    taken off, so that only proposals are compared."""
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    def prepare(instance, temperature, sweeps, order):
        n = instance.n_spins
        couplings = -(instance.patterns.T.astype(float) @ instance.patterns) / n
        row, column = np.triu_indices(n, 1)
        model = dimod.BinaryQuadraticModel.from_numpy_vectors(np.zeros(n), (row, column, couplings[row, column]), 0.0, "SPIN")
        start = (instance.condensed[None].astype(np.int8), list(range(n)))

        def timed(number: int) -> float:
            begin = time.perf_counter()
            SimulatedAnnealingSampler().sample(
                model, num_reads=1, beta_schedule_type="custom", beta_schedule=[1 / temperature], num_sweeps_per_beta=number,
                initial_states=start, seed=3, randomize_order=order == "random", proposal_acceptance_criteria="Metropolis")
            return time.perf_counter() - begin

        return lambda: timed(sweeps + 1) - timed(1)

    return prepare


def pointwise(p: int, gamma: float, temperature: float) -> list[float]:
    """What a label needs, with library routines only: the RS states reached from retrieval and from a frozen start, and their
    free energies."""
    from scipy.integrate import quad
    from scipy.optimize import root

    def expectation(function, field, width):
        def integrand(z):
            return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * function((field + width * z) / temperature)

        centre = min(max(-field / width, -8.0), 8.0) if width > 0 else 0.0
        return quad(integrand, -9, 9, points=[centre], limit=200)[0]

    def effective_field(m, q):
        return p / 2 * m ** (p - 1), math.sqrt(gamma * p * min(max(q, 0.0), 1.0) ** (p - 1) / 2)

    def equations(order):
        field = effective_field(*order)
        return [expectation(math.tanh, *field) - order[0], expectation(lambda x: math.tanh(x) ** 2, *field) - order[1]]

    def free_energy(m, q):
        log_cosh = expectation(lambda x: abs(x) + math.log1p(math.exp(-2 * abs(x))), *effective_field(m, q))
        noise = gamma / (4 * temperature) * (1 - p * q ** (p - 1) + (p - 1) * q**p)
        return (p - 1) / 2 * m**p - noise - temperature * log_cosh

    return [free_energy(*root(equations, start, tol=1e-8).x) for start in ([0.99, 0.98], [0.0, 0.9])]


def random_integral(samples: int) -> float:
    """Seconds for E_x h(u) under Phi(u)^beta with `samples` random pairs z, x: what an iteration of the usual way takes."""
    from scipy.special import log_ndtr

    rng, n_x = np.random.default_rng(0), 20_000
    begin = time.perf_counter()
    for z in rng.standard_normal(samples // n_x):
        u = 3.1 * z + 0.84 * rng.standard_normal(n_x)
        log_phi = log_ndtr(u)
        np.average(np.exp(-u * u / 2 - log_phi), weights=np.exp(20.0 * (log_phi - log_phi.max())))
    return time.perf_counter() - begin
