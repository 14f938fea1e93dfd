"""What a finite system does, in closed form: where the infinite one describes it, what the fluctuations of one sample add,
and its paramagnet.

Derivations: docs/conventions.md, "Finite size". A point is a dict of a job's parameters (n_spins, n_patterns, p_body,
hamiltonian, temperature, and those of a dataset).
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
from scipy.special import gammaln, logsumexp

from .errors import NoSolution
from .finite_examples import Pull, differ, examples_apart
from .params import DenseLaw, dilution_factor, load
from .theory import Dense
from .theory.base import Solution

__all__ = ["LARGEST_ANHARMONICITY", "SOFT", "NotSmall", "anharmonicity", "annealed_energy", "free_overlap",
           "learning_paramagnet_energy", "load_of", "lowest_energy", "mapped_point", "not_small", "paramagnet_energy",
           "retrieval_at_size", "susceptibility"]

SOFT = 0.005  # anharmonicity from which terms of order 1/N leave a tenth of themselves and more: a remark
LARGEST_ANHARMONICITY = 0.025  # beyond, what they leave grows to their own size within a factor of two: refused
_MOST_FOLLOWERS = 0.01  # share of samples that follow one example: at .005 m is off by a fifth of the terms of order 1/N
_LARGEST_REMAINDER = 0.02  # of the energy of a paramagnet, beyond the third cumulant: known to an eighth of itself
_MOST_TOGETHER = 0.01  # of the energy of a paramagnet, from retrieving two patterns at once: the error is a few times this
_NEGLIGIBLE = 1e-4  # of the energy: retrieval of such a weight need not be told from the paramagnet
_LARGEST_FLUCTUATION = 5.0  # N <q^2>: 1 for free spins; nearer to a continuous glass, ln Z is not normal at usual N


class NotSmall(NoSolution):
    """The state exists, but what a finite size adds to it is no small correction."""


def not_small(found: float) -> str:
    """What is said of a state whose anharmonicity exceeds LARGEST_ANHARMONICITY."""
    return f"anharmonicity {found:.2g} > {LARGEST_ANHARMONICITY}: terms of order 1/N are not small; take a larger N or stay " \
           "farther from where the state ends"


def load_of(point: dict) -> float:
    """gamma (alpha for P = 2) of the integer number of patterns of a point."""
    return load(point["n_patterns"], point["n_spins"], point["p_body"])


def mapped_point(point: dict) -> tuple[float, float, float]:
    """(temperature, load, scale): the infinite system there has the single flips of this finite one; energies times scale."""
    n, k, p = point["n_spins"], point["n_patterns"], point["p_body"]
    others = (k - 1) / k * load_of(point)
    if point["hamiltonian"] == "naive" and p > 2:
        signal = n * (1 - (1 - 2 / n) ** p) / (2 * p)
        return point["temperature"] / signal, others * _naive_noise(n, p) / signal**2, signal
    f_n = dilution_factor(n, p)
    return point["temperature"] / f_n, others / f_n, f_n


def retrieval_at_size(point: dict, theory: Dense) -> tuple[Solution, dict[str, float]]:
    """(state, values): the infinite system at the mapped point, and m, n, q and energy of the finite one.

    Beyond the mapping, values hold what one sample's fluctuations add at order 1/N: exact for a single pattern, without the
    fluctuations of the noise that other patterns make. Raises NoSolution where there is no retrieval, and NotSmall where
    the `anharmonicity` exceeds LARGEST_ANHARMONICITY or where, unsupervised, samples follow single examples. Cost: 30 ms,
    unsupervised 0.1 s.
    """
    n, p, law, equations = point["n_spins"], point["p_body"], theory.law, theory.branches.equations
    temperature, gamma, scale = mapped_point(point)
    state = theory.solve(gamma=gamma, temperature=temperature)
    soft = anharmonicity(point, theory, state)
    if not soft <= LARGEST_ANHARMONICITY:
        raise NotSmall(not_small(soft))
    if differ(law) and (followers := Pull(law, state, n).followers()) > _MOST_FOLLOWERS:
        raise NotSmall(f"in {min(100 * followers, 100):.0f} % of the samples of {n} spins examples of a pattern differ so "
                       "much that spins follow one of them; take a larger N, more examples or better ones")
    distinct = p == 2 or point["hamiltonian"] == "distinct"

    y = state.n * (1 + law.rho)  # E[u s]
    a, a_slope = equations.amplitude(y), equations.amplitude_slope(y)
    width = float(equations.field_width(state.C, gamma, temperature))
    step = 1e-3 * a
    by_field = equations.dataset.averages(a + step * np.array([-1.0, 0.0, 1.0]), width, temperature, finer=True)
    m1, m2 = _derivatives(by_field.m, step)
    c1, c2 = _derivatives(by_field.C, step)
    y1, y2 = _derivatives(-by_field.loss, step)

    gain = 1 - y1 * a_slope
    thermal = temperature * y1 / (n * gain)
    quenched = (1 + law.rho - y**2 - temperature * y1) / (n * gain**2)
    bare = (1 + law.rho - y**2) / n if distinct else 0.0  # distinct indices: part of f_N already
    field_variance = a_slope**2 * quenched
    lift = a * math.comb(p - 1, 2) / y**2 * (thermal + quenched - bare)
    missing = a * (p - 1) / (n * gain)  # what the field on a spin lacks when another spin is absent
    apart = examples_apart(n, law, equations, state, a_slope, width)
    lift += a * math.comb(p - 1, 2) / y**2 * apart.excess
    y_push = y1 * (lift - missing) + y2 * field_variance / 2 + apart.y
    c_push = c1 * lift + c2 * field_variance / 2 + apart.C
    jacobian = np.reshape(equations.residual(y, state.C, gamma, temperature)[2:], (2, 2)).astype(float)
    y_shift, c_shift = np.linalg.solve(jacobian, [-y_push, -c_push])

    field = a + a_slope * y_shift + lift
    width = float(equations.field_width(state.C + c_shift, gamma, temperature))
    there = equations.dataset.averages(field, width, temperature, finer=True)
    m, C = float(there.m) + m2 * field_variance / 2 + apart.m, float(there.C) + c2 * field_variance / 2 + apart.C
    y_there = equations.mean_size - float(there.loss)
    y = y_there + y2 * field_variance / 2 + apart.y
    if distinct:
        aligned = (y_there + apart.y) * field + (y1 + y2 * a / 2) * field_variance
        aligned += (1 + law.rho) * a_slope**2 * thermal / temperature
        energy = -scale * (aligned + a_slope * apart.excess) / p
    else:
        energy = -law.signal / 2 * (y**p + math.comb(p, 2) * y ** (p - 2) * (thermal + quenched + apart.excess))
    if gamma > 0:
        noise = equations.noise
        energy += scale * gamma * float(noise.free_energy(C, temperature) + temperature * noise.entropy(C, temperature)
                                        - C * noise.variance(C, temperature))
    return state, {"m": m, "n": y / (1 + law.rho), "q": 1 - temperature * C, "energy_cv": float(energy)}


def anharmonicity(point: dict, theory: Dense, state: Solution | None = None) -> float:
    """Relative size of what follows the terms of order 1/N in retrieval, inf where the state has no stiffness at all.

    With y = E[u s] and G(y) = y - E[u tanh], C following y, the state is G = 0 and l = dG/dy its stiffness, zero at the end of
    retrieval. Fluctuations of variance V of y, thermal and between samples, leave a relative

        V [5 G2^2/(24 l^2) + |G3|/(8 l)] + V (P-3)(P-4)/(4 y^2)

    with the second and third derivative G2 and G3 of G. The last term is of y^(P-1) itself (P > 4). Unsupervised, that of
    the differences between examples is added, `hebb.finite_examples.Pull.anharmonicity`. state: the infinite system at the
    mapped point, found if not given. Raises NoSolution where there is no retrieval. Cost: 10 ms, unsupervised 60 ms.
    """
    n, p, law, equations = point["n_spins"], point["p_body"], theory.law, theory.branches.equations
    temperature, gamma, _ = mapped_point(point)
    state = theory.solve(gamma=gamma, temperature=temperature) if state is None else state
    y, a_slope = state.n * (1 + law.rho), float(equations.amplitude_slope(state.n * (1 + law.rho)))
    step = 1e-3 * y
    (low, _), (stiffness, bare), (high, _) = (_stiffness(equations, y + move, state.C, gamma, temperature)
                                              for move in (-step, 0.0, step))
    if not stiffness > 0:
        return math.inf
    second, third = _derivatives(np.array([low, stiffness, high]), step)
    answer = temperature * (1 - bare) / a_slope  # T b': thermal variance of a spin's u s
    variance = (answer / stiffness + max(1 + law.rho - y**2 - answer, 0.0) / stiffness**2) / n
    apart = examples_apart(n, law, equations, state, a_slope, float(equations.field_width(state.C, gamma, temperature)))
    power = math.comb(max(p - 3, 0), 2) / (2 * y**2)
    own = variance * (5 * second**2 / (24 * stiffness**2) + abs(third) / (8 * stiffness) + power)
    return own + Pull(law, state, n).anharmonicity(apart) if differ(law) else own


def _stiffness(equations, y: float, C: float, gamma: float, temperature: float) -> tuple[float, float]:
    """dG/dy with C following y, and with C held fixed."""
    for _ in range(4):
        _, r_C, *_, c_slope = (float(x) for x in equations.residual(y, C, gamma, temperature))
        C -= r_C / c_slope
    y_y, y_c, c_y, c_c = (float(x) for x in equations.residual(y, C, gamma, temperature)[2:])
    return y_c * c_y / c_c - y_y, -y_y


def _derivatives(values: np.ndarray, step: float) -> tuple[float, float]:
    """First and second derivative from three values a step apart."""
    below, here, above = values
    return float(above - below) / (2 * step), float(above + below - 2 * here) / step**2


@functools.cache
def _naive_noise(n: int, p: int) -> float:
    """g_N'(1)/g'(1). x^P = sum_k a_k e_k(x) with elementary symmetric polynomials e_k, whose covariance between two
    configurations of overlap q is C(N, k) q^k: g_N(q) = sum_k a_k^2 C(N, k) q^k / (P! N^P)."""
    a = [1] + [0] * p  # x e_k = (k+1) e_{k+1} + (N-k+1) e_{k-1}, applied P times to 1
    for _ in range(p):
        a = [(k * a[k - 1] if k else 0) + ((n - k) * a[k + 1] if k < p else 0) for k in range(p + 1)]
    finite = sum(k * a[k] ** 2 * math.comb(n, k) for k in range(p + 1)) / (math.factorial(p) * n**p)
    limit = 0.0
    for k in range(1, p + 1):
        if (p - k) % 2 == 0:
            j = (p - k) // 2
            hermite = math.factorial(p) / (2**j * math.factorial(j) * math.factorial(k))
            limit += k * hermite**2 * math.factorial(k) / math.factorial(p)
    return finite / limit


def annealed_energy(n_spins: int, n_patterns: int, p_body: int, temperature: float, hamiltonian: str = "distinct") -> float:
    """-(1/N) d/dbeta ln E[Z] = -d/dbeta [K ln E_x exp(-beta f(x))]/N per spin, exact at any N and K: x is the sum of N
    independent signs and f one pattern's energy, with zero average over uniform configurations. Cost: O(N)."""
    x = np.arange(-n_spins, n_spins + 1, 2, dtype=float)
    f = _potential(x, n_spins, p_body, hamiltonian)
    exponent = _log_binomial(n_spins) - f / temperature
    return n_patterns * float(np.sum(f * np.exp(exponent - logsumexp(exponent)))) / n_spins


def _unretrieved_energy(n: int, n_patterns: int, p: int, temperature: float, hamiltonian: str = "distinct") -> float:
    """The annealed energy of configurations whose overlap x with every pattern lies below the barrier towards retrieval, the
    least probable x between: beyond it E[Z] counts states that retrieve a pattern of rare samples, which win every average.

    Raises NotSmall where patterns sit on the barrier, or where overlaps beyond N/sqrt(2) count: E[Z] takes patterns for
    independent, but no configuration has two such overlaps with patterns that are nearly orthogonal."""
    x = np.arange(-n, n + 1, 2, dtype=float)
    f = _potential(x, n, p, hamiltonian)
    exponent = _log_binomial(n) - f / temperature
    inner = np.flatnonzero(np.abs(x) <= n / 2)
    top = int(inner[np.argmax(exponent[inner])])
    rises = np.diff(exponent) > 0  # from one x to the next
    right = next((i for i in range(top, n) if rises[i]), n)
    left = next((i for i in range(top, 0, -1) if not rises[i - 1]), 0)
    every = f * np.exp(exponent - logsumexp(exponent))
    if abs(every[:left].sum() + every[right + 1:].sum()) < _NEGLIGIBLE * abs(every.sum()):
        left, right = 0, n
    kept = slice(left, right + 1)
    weights = np.exp(exponent[kept] - logsumexp(exponent[kept]))
    terms = f[kept] * weights
    total = float(terms.sum())
    barrier = max(abs(terms[0]) if left > 0 else 0.0, abs(terms[-1]) if right < n else 0.0)
    near = np.abs(x[kept]) > n / math.sqrt(2)
    free = np.exp(_log_binomial(n)[kept][near]).sum()  # of a uniform configuration, for which patterns are independent
    together = (n_patterns - 1) * max(float(weights[near].sum() - free), 0.0) * abs(float(terms[near].sum()))
    if n / 2 * barrier > _LARGEST_REMAINDER * abs(total) or together > _MOST_TOGETHER * abs(total):
        raise NotSmall(f"N = {n}, T = {temperature:.3g}: too small and cold for a paramagnet that retrieves nothing; take a "
                       "larger N or a higher temperature")
    return n_patterns * total / n


def paramagnet_energy(n_spins: int, n_patterns: int, p_body: int, temperature: float, hamiltonian: str = "distinct") -> float:
    """Energy per spin in the paramagnet at finite N and K: the annealed one of configurations that retrieve nothing, plus
    (1/2N) d/dbeta Var(ln Z), with the variance from the exact two-replica sum. For distinct P >= 3 that is below 1e-5 and left
    out.

    Raises NoSolution where overlaps are too large for it, and NotSmall where nothing separates the paramagnet from retrieval.
    Cost: O(N^2) for P = 2, O(N^3)/10 s at N = 1000 for naive P.
    """
    energy = _unretrieved_energy(n_spins, n_patterns, p_body, temperature, hamiltonian)
    if p_body > 2 and hamiltonian == "distinct":
        return energy
    beta = 1 / temperature
    step = 1e-4 * beta
    low, high = (_log_variance(n_spins, n_patterns, p_body, hamiltonian, b) for b in (beta - step, beta + step))
    return energy + (high - low) / (4 * step * n_spins)


def learning_paramagnet_energy(point: dict, theory: Dense) -> float:
    """Energy per spin in the paramagnet of a network that learned from examples, at finite N and K.

    P = 2: what the fluctuations of q add to the infinite system at order 1/N, (1/4N) d ln(chi)/dbeta, whatever the dataset.
    P >= 3, distinct: annealed. Supervised, that of stored patterns, from which it differs by less than 1e-6; unsupervised,
    its second and third cumulant are exact and what remains is scaled like the fourth. NoSolution where that is more than
    2 % (the series in 1/N does not converge: a larger N or T is needed), and for naive P >= 3.
    """
    n, k, p, temperature = point["n_spins"], point["n_patterns"], point["p_body"], point["temperature"]
    if p == 2:
        beta, step = 1 / temperature, 1e-4
        log_chi = [math.log(susceptibility(point | {"temperature": 1 / b}, theory)) for b in (beta - step, beta + step)]
        if log_chi[1] > math.log(_LARGEST_FLUCTUATION):
            raise NoSolution(f"T = {temperature:.3g}: too near the glass for its fluctuations; take a higher temperature")
        infinite = theory.solve(gamma=load_of(point), temperature=temperature, branch="paramagnet").energy
        return infinite + (log_chi[1] - log_chi[0]) / (8 * step * n)
    if point["hamiltonian"] == "naive":
        raise NoSolution("the paramagnet of naive indices has no energy at finite N for noisy datasets; use distinct indices")
    stored = _unretrieved_energy(n, k, p, temperature)
    if point["protocol"] == "supervised":
        return stored
    weight = math.factorial(p) / (2 * float(n) ** (p - 1))
    second = -k / n * math.comb(n, p) * weight**2 / temperature
    third, half = 0.0, p // 2
    if p % 2 == 0:
        triples = math.perm(n, 3 * half) / math.factorial(half) ** 3
        third = -k / n * triples * weight**3 / (2 * temperature**2)
    if abs(stored - second - third) > _LARGEST_REMAINDER * abs(stored):
        raise NoSolution(f"N = {n}, T = {temperature:g}: too small and cold for the cumulants of an unsupervised paramagnet")
    pair = _alike(theory.law, {(0, 1): p})
    rings = [(a, b, p - a - b) for a in range(p) for b in range(min(p, p - a + 1)) if p - a - b < p]
    shares = [math.prod(math.factorial(x) for x in ring) ** -2.0 for ring in rings]
    fourth = [_alike(theory.law, {(0, 1): a, (2, 3): a, (0, 2): b, (1, 3): b, (0, 3): c, (1, 2): c}) for a, b, c in rings]
    return (second + third * _alike(theory.law, {(0, 1): half, (0, 2): half, (1, 2): half}) / pair**1.5
            + (stored - second - third) * float(np.average(fourth, weights=shares)) / pair**2)


def _alike(law: DenseLaw, edges: dict[tuple[int, int], int]) -> float:
    """Average, over examples of one pattern drawn for each vertex of a graph, of r^2 to the power of the edges (with their
    multiplicities) that join different examples: what a diagram of the cumulants gains from one pattern's M examples."""
    size = 1 + max(map(max, edges))
    total = 0.0
    for labels in itertools.product(range(size), repeat=size):
        blocks = len(set(labels))
        if list(dict.fromkeys(labels)) == list(range(blocks)):  # every partition of the vertices once
            apart = sum(many for (i, j), many in edges.items() if labels[i] != labels[j])
            total += math.perm(law.n_examples, blocks) * law.r ** (2 * apart)
    return total / law.n_examples**size


def lowest_energy(point: dict, theory: Dense) -> float:
    """A bound below all mean energies per spin, which no state of theory may fall short of.

    P >= 3: the signal where all spins, or those of one example, are aligned, and noise of variance N (gamma/2) g(1) no lower
    than 2^N independent levels, sqrt(gamma g(1) ln 2). P = 2: half the largest eigenvalue of the couplings,
    (1 + sqrt(alpha))^2, and of those between the examples of a pattern. Twice the noise is allowed for small N.
    """
    law, gamma = theory.law, load_of(point)
    apart = law.n_examples is not None and law.protocol == "unsupervised"
    if law.p_body == 2:
        if law.protocol == "unsupervised" and not apart:
            return -math.inf
        modes = [(1.0, gamma)] + ([(law.rho / (1 + law.rho), gamma * (law.n_examples - 1))] if apart else [])
        return -sum(size * (1 + 2 * math.sqrt(load)) ** 2 for size, load in modes) / 2
    signal = law.signal / law.r**law.p_body if apart else law.signal * (1 + law.rho) ** (law.p_body / 2)
    return -signal / 2 - 2 * math.sqrt(gamma * float(theory.branches.equations.noise.g(1.0)) * math.log(2))


def susceptibility(point: dict, theory: Dense) -> float:
    """chi = N <q^2> of replicas in the paramagnet of the infinite system: 1 for free spins, diverging at a continuous glass."""
    temperature = point["temperature"]
    state = theory.solve(gamma=load_of(point), temperature=temperature, branch="paramagnet")
    if not state.replicon > 0:
        raise NoSolution(f"T = {temperature:g}: the paramagnet is unstable; the glass has no comparison in this version")
    return (1 - 1 / temperature) ** 2 / state.replicon if point["p_body"] == 2 else 1 / state.replicon


def free_overlap(n_spins: int) -> float:
    """<|q|> of two independent configurations of N free spins, sqrt(2/(pi N)) at large N."""
    return float(np.sum(np.exp(_log_binomial(n_spins)) * np.abs(np.arange(-n_spins, n_spins + 1, 2)))) / n_spins


def _potential(x: np.ndarray, n: int, p: int, hamiltonian: str) -> np.ndarray:
    if hamiltonian == "naive":
        power = x**p
        mean = float(np.sum(power * np.exp(_log_binomial(n))))
        return -(power - mean) / (2 * float(n) ** (p - 1))
    lower, e = np.ones_like(x), x
    for k in range(1, p):
        lower, e = e, (x * e - (n - k + 1) * lower) / (k + 1)
    return -math.factorial(p) / (2 * float(n) ** (p - 1)) * e


def _log_binomial(n: int) -> np.ndarray:
    k = np.arange(n + 1)
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) - n * math.log(2)


def _log_variance(n: int, n_patterns: int, p: int, hamiltonian: str, beta: float) -> float:
    """Var(ln Z) = ln(E[Z^2]/E[Z]^2) in the paramagnet. Pairs of overlap |q| > 1/2 are left out: a paramagnet has none, though
    rare sets of patterns with nearly frozen configurations would dominate the average."""
    q = 2 * np.arange(n + 1) / n - 1
    inner = np.abs(q) <= 0.5
    pairs = _log_pairs(n, n_patterns, p, hamiltonian, beta)[inner]
    total = logsumexp(pairs)
    if n * np.sum(q[inner] ** 2 * np.exp(pairs - total)) > _LARGEST_FLUCTUATION:
        raise NoSolution(f"T = {1 / beta:.3g}: too near the glass for its fluctuations; take a higher temperature")
    x = np.arange(-n, n + 1, 2, dtype=float)
    return float(total - 2 * n_patterns * logsumexp(_log_binomial(n) - beta * _potential(x, n, p, hamiltonian)))


def _log_pairs(n: int, n_patterns: int, p: int, hamiltonian: str, beta: float) -> np.ndarray:
    """(n+1,) logarithms of the shares that pairs of configurations agreeing on 0, 1, ... n spins have in E[Z^2]/4^N.

    On one pattern such a pair has sums A + B and A - B, with A over the agreeing and B over the other spins. For P = 2
    (A+B)^2 + (A-B)^2 = 2 (A^2 + B^2) factorises."""
    binomials = [_log_binomial(k) for k in range(n + 1)]
    one = np.empty(n + 1)  # ln E over one pattern
    if p == 2:
        h = np.array([_log_sum(b + beta / n * np.arange(-k, k + 1, 2) ** 2.0) for k, b in enumerate(binomials)])
        one = h + h[::-1] - beta
    else:
        exponent = -beta * _potential(np.arange(-n, n + 1, 2, dtype=float), n, p, hamiltonian)
        for k in range(n // 2 + 1):
            a, b = np.arange(k + 1)[:, None], np.arange(n - k + 1)[None]
            both = exponent[a + b] + exponent[a - b + n - k]
            one[k] = one[n - k] = _log_sum(binomials[k][:, None] + binomials[n - k] + both)
    return binomials[n] + n_patterns * one


def _log_sum(exponent: np.ndarray) -> float:
    highest = exponent.max()  # scipy's logsumexp is ten times slower on short arrays
    return highest + math.log(np.exp(exponent - highest).sum())
