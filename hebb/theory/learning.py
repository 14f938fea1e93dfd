"""How many noisy examples a dense network needs, and how much noise on its couplings it bears."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import NoSolution, ParameterError
from ..params import HAMILTONIANS, check_choice, check_integer, check_real, float_array, shown
from .base import Boundary
from .dense import Dense
from .solver import bracketed_root

__all__ = ["CriticalExamples", "ExampleScaling", "critical_examples", "example_scaling", "noise_load",
           "smallest_whole", "tolerable_noise"]

_PROTOCOLS = ("supervised", "unsupervised")
_KINDS = ("spinodal", "transition")
_MOST = 10**9              # exact numbers of examples that a dataset can have
_FEWEST = 1.01             # real number of examples down to which a threshold is looked for
_LOOK_BEYOND = 2           # a threshold depends on the parity of M: failures are looked for this far beyond it


@dataclass(frozen=True)
class CriticalExamples:
    """The smallest number of examples M with which retrieval exists ("spinodal") or is the lowest state ("transition");
    unsupervised, retrieval that treats the examples alike (x < 1 in `hebb.theory.example_response`).

    n_examples: M, whole if exact, else the real number at which the Gaussian limit of many examples reaches its
    boundary; rho: (1-r^2)/(M r^2). boundary: the boundary in gamma of the network with this M, at this temperature; its
    gamma is the load asked for, or above it if M is whole or x = 1 is what limits it. Retrieval fails for M - 1 and nothing
    is said of smaller M: M = 1 is storage of the single example, which a network that fails with many may well retrieve.
    """

    p_body: int
    protocol: str
    kind: str
    gamma: float
    temperature: float
    r: float
    n_examples: float
    rho: float
    exact: bool
    boundary: Boundary


@dataclass(frozen=True)
class ExampleScaling:
    """M ~ r^(-exponent) at small r: a fit of ln M = a - exponent ln r + b r^2 to n_examples at the qualities r.

    error: change of the exponent when the largest r is left out.
    """

    p_body: int
    protocol: str
    kind: str
    gamma: float
    temperature: float
    r: np.ndarray
    n_examples: np.ndarray
    exponent: float
    error: float


def critical_examples(p_body, gamma, temperature, r, protocol="supervised", kind="spinodal", exact=True,
                      hamiltonian="distinct") -> CriticalExamples:
    """The number of examples of quality r in ]0, 1[ beyond which the network retrieves at load gamma and temperature T.

    kind: "spinodal" (the retrieval branch exists) or "transition" (it is the lowest state). exact: whole M, summed over
    its binomial law; otherwise the Gaussian limit, a real number that differs relatively by about 1/M. Followed
    downwards from many examples to the first failure.
    At T = 0 and P >= 3, unsupervised, rho is negligible at small r, the signal kappa scales the load by kappa^2 and
    M = (1-r^2P)/(r^2P (gamma_c/gamma - 1)), with the capacity gamma_c of stored patterns; supervised, M is (1-r^2)/(r^2
    rho_c(gamma)), and there is a threshold only for loads at which pure noise, rho = infinity, cannot be retrieved.

    Raises ParameterError for values out of range, NoSolution where no M suffices or every M does. Cost: 0.3 s; exact
    some 6 numbers are tried, each up to 0.5 s.
    """
    p_body = check_integer("p_body", p_body, 2, 20)
    gamma = check_real("gamma", gamma, 0.0, 1e6)
    temperature = check_real("temperature", temperature, 0.0, 1e6)
    r = check_real("r", r, 1e-6, 1 - 1e-6, remedy="examples without noise need no threshold")
    check_choice("protocol", protocol, _PROTOCOLS)
    check_choice("kind", kind, _KINDS)
    check_choice("hamiltonian", hamiltonian, HAMILTONIANS)

    def network(n_examples, whole=False) -> Dense:
        if whole:
            return Dense(p_body, r=r, n_examples=n_examples, protocol=protocol, hamiltonian=hamiltonian)
        quality = {"r": r} if protocol == "unsupervised" else {}
        return Dense(p_body, rho=_entropy(r, n_examples), protocol=protocol, hamiltonian=hamiltonian, **quality)

    def margin(n_examples, whole=False) -> float:
        return _margin(network(n_examples, whole), kind, gamma, temperature)

    point = f"gamma = {gamma:.10g}, temperature = {temperature:.10g}, r = {r:.6g}, {protocol}: "
    if _margin(Dense(p_body, hamiltonian=hamiltonian), kind, gamma, temperature) <= 0:
        raise NoSolution(point + f"no number of examples suffices; stored patterns themselves lie beyond the {kind} here")
    many = _largest_crossing(margin, r ** -(2 if protocol == "supervised" else 2 * p_body))
    if many == math.inf:
        raise NoSolution(point + f"no number of examples up to 1e9/r^2P suffices; stored patterns lie at the {kind} here")
    if exact:
        if many > 0.9 * _MOST:
            raise ParameterError(f"r = {r!r}: about {many:.3g} examples are needed, more than the {_MOST:.0e} of an exact "
                                 "dataset; use exact = False")
        many = smallest_whole(lambda n: margin(n, True) > 0, many)
    if many <= 1:
        raise NoSolution(point + f"any number of examples suffices; a threshold of kind {kind!r} needs a larger gamma")
    found = network(many, exact)
    return CriticalExamples(p_body, protocol, kind, gamma, temperature, r, many, found.law.rho, bool(exact),
                            _boundary(found, kind, gamma, temperature))


def example_scaling(p_body, gamma, temperature, protocol="supervised", kind="spinodal", r=None,
                    hamiltonian="distinct") -> ExampleScaling:
    """The power of r with which the critical number of examples (Gaussian limit) grows at small r.

    r: at least 4 qualities, by default 8 from 0.02 to 0.1. To be expected at fixed gamma and T: supervised M ~ r^-2,
    unsupervised M ~ r^-2P, since the products of P entries of an example carry r^P of those of its pattern (for P = 2
    M ~ r^-4: the differences of M examples add noise of relative variance (1-r^2)^2/(M r^4) to every load). Raises as
    `critical_examples`. Cost: 0.2 s per quality.
    """
    given = r
    r = np.sort(np.geomspace(0.02, 0.1, 8) if r is None else float_array(r).ravel())
    if r.size < 4 or not np.all(np.diff(r) > 0):
        raise ParameterError(f"r = {shown(given)} does not hold 4 different qualities; a slope with its error needs 4")
    found = [critical_examples(p_body, gamma, temperature, float(x), protocol, kind, False, hamiltonian) for x in r]
    n_examples = np.array([item.n_examples for item in found])

    def slope(count):
        terms = np.stack([np.ones(count), -np.log(r[:count]), r[:count] ** 2], axis=1)
        return float(np.linalg.lstsq(terms, np.log(n_examples[:count]), rcond=None)[0][1])

    first = found[0]
    return ExampleScaling(first.p_body, protocol, kind, first.gamma, first.temperature, r, n_examples, slope(r.size),
                          abs(slope(r.size) - slope(r.size - 1)))


def noise_load(w, n_spins, p_body) -> float:
    """Load gamma_w = (P!/2) w^2/N^(P-1) of independent noise of standard deviation w on every coupling.

    A coupling is the sum over patterns of the products of P entries, one for each of the C(N, P) sets of spins. For
    P >= 3 its noise acts on the spins as gamma_w more patterns would, so that loads add; for P = 2 it is an SK term of
    variance sigma^2 = gamma_w q, without the response of patterns, and does not add to alpha.
    """
    w, n_spins, p_body = check_real("w", w, 0.0), check_integer("n_spins", n_spins, 2), check_integer("p_body", p_body, 2, 20)
    size = w / float(n_spins) ** ((p_body - 1) / 2)                # its square may fit where those of w and N^(P-1) do not
    if size > 1e140:
        raise ParameterError(f"w = {w!r} on {n_spins} spins is a load beyond the floats; lower w")
    return size * size * (1.0 if p_body == 2 else math.factorial(p_body) / 2)


def tolerable_noise(p_body, n_spins, temperature=0.0, gamma=0.0) -> float:
    """The largest w of `noise_load` with which N spins still retrieve at temperature T besides the load gamma; P >= 3.

    w = sqrt(2 (gamma_c(T) - gamma)/P!) N^((P-1)/2): at low load the signal of one pattern is found under noise that is
    larger by a power of N than itself (ultra-detection). gamma_c: the RS spinodal. Raises NoSolution where there is no
    retrieval without noise.
    """
    p_body = check_integer("p_body", p_body, 3, 20, remedy="for P = 2 the noise is an SK term that does not add to alpha")
    n_spins, gamma = check_integer("n_spins", n_spins, 2), check_real("gamma", gamma, 0.0)
    theory = Dense(p_body)
    theory.solve(gamma, temperature)
    return math.sqrt(2 * (theory.spinodal(temperature).gamma - gamma) / math.factorial(p_body)) * n_spins ** ((p_body - 1) / 2)


def _entropy(r, n_examples) -> float:
    """rho of M examples."""
    return (1 - r * r) / (n_examples * r * r)


def _margin(network: Dense, kind, gamma, temperature) -> float:
    """Distance to the boundary, positive inside: in gamma, or in T without load; unsupervised no more than 1 - x, for from
    x = 1 on spins follow single examples."""
    branches = network.branches
    if gamma == 0:
        margin = (branches.retrieval.start_temperature if kind == "spinodal" else branches.top_transition) - temperature
    else:
        loads = branches.spinodal_loads if kind == "spinodal" else branches.clipped_transition_loads
        margin = float(loads(np.array([temperature]))[0]) - gamma
    if margin <= 0 or network.law.protocol != "unsupervised":
        return margin
    return min(margin, 1 - network.solve(gamma, temperature).example_response)


def _largest_crossing(margin, scale) -> float:
    """The largest real M at which margin(M) changes sign; 0 if it is positive from 1 on, infinity if it never is."""
    high = 1e9 * scale
    if margin(high) <= 0:
        return math.inf
    while margin(low := max(high / 8, _FEWEST)) > 0:
        high = low
        if high == _FEWEST:
            return 0.0
    root = bracketed_root(lambda x, _: np.array([margin(math.exp(x[0]))]), math.log(low), math.log(high))
    return math.exp(root[0])


def smallest_whole(suffices, guess) -> int:
    """1 + the largest M that fails, looked for around a guess in steps that double, then by bisection."""
    good, step = max(math.ceil(guess), 4), 1
    while not suffices(good):
        good, step = min(good + step, _MOST), 2 * step
    low, step = good - 1, 1
    while low >= 1 and suffices(low):
        good, low, step = low, low - step, 2 * step
    low = max(low, 0)
    while good - low > 1:
        middle = (good + low) // 2
        good, low = (middle, low) if suffices(middle) else (good, middle)
    beyond = [good + k for k in range(1, _LOOK_BEYOND + 1) if not suffices(good + k)]
    return max(beyond, default=good - 1) + 1


def _boundary(network: Dense, kind, gamma, temperature) -> Boundary:
    if gamma == 0:
        return network.spinodal_temperature(0.0) if kind == "spinodal" else network.transition_temperature(0.0)
    if kind == "transition":
        try:
            return network.transition(temperature)
        except NoSolution:                   # the lowest state up to its spinodal
            pass
    return network.spinodal(temperature)
