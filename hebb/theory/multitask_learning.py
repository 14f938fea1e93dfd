"""How many noisy examples a multitasking network needs, and for what.

- `one_step`: overlaps with the archetypes after one update, and `class_threshold`: the number of examples with which one
  class of sites (those of one archetype column) is updated reliably. Smooth crossovers, put by convention at a fixed
  signal-to-noise ratio.
- `parallel_threshold`: the sharp dataset entropy above which K patterns are retrieved with equal amplitudes because the
  noise hides their hierarchy, whatever the dilution.
- `example_crossing`: the entropy above which, in unsupervised learning, following one example costs less than what all
  examples have in common (a first-order transition; the archetype branch stays locally stable).
- `multicritical_dilution`: which of the two orders appears first below T_c.

Temperatures are in the units of `scale` = 1 (T_c = p). Source: the archetype and dataset-entropy language of
arXiv:2308.04106; the equations are those of `hebb.theory.multitask` and `hebb.theory.multitask_examples`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import NoSolution, ParameterError
from ..params import MultitaskLaw, check_integer, check_real, float_array, shown
from ..progress import Progress
from .column_integral import ColumnIntegral
from .frozen_columns import MOST_LISTED, archetype_columns
from .learning import smallest_whole
from .multitask_examples import ExampleColumns, ExampleState, lowest_example_state
from .multitask_states import distinct, find_states, starts
from .solver import bracketed_root

__all__ = ["ClassThreshold", "ExampleCrossing", "ParallelThreshold", "class_threshold", "example_crossing",
           "multicritical_dilution", "one_step", "parallel_threshold"]

_ENTROPIES = np.geomspace(1e3, 1e-10, 53)       # where thresholds in rho are looked for, from above
_MOST = 10**9                                   # examples that a dataset can have
_REFINED = 12                                   # values that a root takes, about


@dataclass(frozen=True)
class ClassThreshold:
    """The number of examples M (real) with which sites of one archetype column follow a state with overlaps m0.

    column (K,): the archetype entries; snr: |xi.m0|/sqrt(sum xi^2 m0^2); rho = snr^2/(2 theta2), M = (1-r^2)/(r^2 rho):
    there the argument of the error function of `one_step` is sqrt(theta2). snr = 0: rho = 0, no M suffices (infinity).
    """

    column: np.ndarray
    snr: float
    theta2: float
    rho: float
    r: float
    n_examples: float


@dataclass(frozen=True)
class ParallelThreshold:
    """Where equal amplitudes lose stability to different ones as the dataset gets better: rho_par.

    amplitude: m of each pattern, overlap with the archetypes; n_examples: M of that rho at quality r (NaN without r). exact: M
    is the smallest whole number with which the parallel state is unstable, summed over its binomial law; rho is that of M.
    residual: the curvature there (exact: at M; negative).
    """

    n_patterns: int
    dilution: float
    temperature: float
    rho: float
    r: float
    n_examples: float
    exact: bool
    amplitude: float
    residual: float


@dataclass(frozen=True)
class ExampleCrossing:
    """Where a state that follows single examples has the free energy of the lowest state that treats all examples alike.

    Above rho, or below M (n_examples, whole: the smallest with which the archetype state is lowest), following examples
    is cheaper. example: that state there; residual: difference of the free energies (scale = 1).
    """

    n_patterns: int
    dilution: float
    temperature: float
    rho: float
    r: float
    n_examples: float
    example: ExampleState
    residual: float


def one_step(law: MultitaskLaw, m0, temperature=0.0) -> np.ndarray:
    """Archetype overlaps (..., K) after one parallel update of a state with archetype overlaps m0 (..., K), N -> infinity.

        m1_mu = E[xi_mu tanh(y.m0/T')] ,  T' = 0: Gaussian E[xi_mu erf(xi.m0/sqrt(2 rho sum_nu xi_nu^2 m0_nu^2))]

    for a start that knows nothing of the noise of the examples: its fields are sum_mu etabar_mu r m0_mu, and T' is the
    temperature in units in which they are y.m0. Finite M: exact sums over its binomial law (ties of even M are 0).
    """
    given, m0 = m0, float_array(m0)
    if m0.shape[-1:] != (law.n_patterns,) or not np.all(np.isfinite(m0)):
        raise ParameterError(f"m0 = {shown(given)} is not one finite overlap for each of {law.n_patterns} patterns")
    temperature = check_real("temperature", temperature, 0.0)
    if temperature == 0:                        # the direction of the fields is all that counts
        m0 = m0 / np.maximum(np.abs(m0).max(axis=-1, keepdims=True), np.finfo(float).tiny)
    return ColumnIntegral(law).archetype(m0, temperature)


def class_threshold(law: MultitaskLaw, r, m0=None, column=None, theta2=0.5) -> ClassThreshold:
    """`ClassThreshold` of one archetype column, by default the worst (smallest snr) that occurs; r in ]0, 1[.

    m0 (K,): overlaps of the state, by default the hierarchical (1, d, d^2, ...). A pattern alone, snr = 1, with theta2 =
    1/2: rho = 1, M = (1-r^2)/r^2. Raises ParameterError; cost of the worst column: 3^K, K <= 12.
    """
    k = law.n_patterns
    r = check_real("r", r, 1e-6, 1 - 1e-6, remedy="examples without noise need no threshold")
    theta2 = check_real("theta2", theta2, 0.0, open_low=True)
    given, m0 = m0, law.dilution ** np.arange(k) if m0 is None else float_array(m0)
    if m0.shape != (k,) or not np.any(m0) or not np.all(np.isfinite(m0)):
        raise ParameterError(f"m0 = {shown(given)} is not one overlap for each of {k} patterns, some of them not zero")
    if column is None and k > MOST_LISTED:
        raise ParameterError(f"n_patterns = {k}: the worst column is looked for among 3^K, for up to {MOST_LISTED} patterns; "
                             "name a column")
    if column is None:
        columns, weights = archetype_columns(law)
        columns = columns[(weights > 0) & (columns**2 @ m0**2 > 0)]
    else:
        columns = np.atleast_2d(float_array(column))
        if columns.shape != (1, k) or not set(columns.flat) <= {-1.0, 0.0, 1.0} or not columns**2 @ m0**2 > 0:
            raise ParameterError(f"column = {shown(column)} is not {k} entries 0, 1 or -1 that meet the patterns of m0")
    snr = np.abs(columns @ m0) / np.sqrt(columns**2 @ m0**2)
    worst = int(np.argmin(snr))
    rho = float(snr[worst] ** 2 / (2 * theta2)) if snr[worst] > 1e-12 else 0.0
    return ClassThreshold(columns[worst].astype(int), float(snr[worst]), theta2, rho, r, _examples(r, rho))


def multicritical_dilution(law: MultitaskLaw) -> float:
    """d = 1 - kappa/3 with kappa = E y^4/p: below T_c the pure state comes first for smaller dilutions, parallel for larger.

    2/3 for stored patterns, (2/3)/(1+rho)^2 in the limit of many examples: noise acts as further dilution.
    """
    if law.n_examples is None:
        return 2 / (3 * (1 + law.rho) ** 2)
    m, r2 = law.n_examples, law.r**2
    v = 1 - r2                                                                  # variance of one example entry
    fourth = (m * m * r2 * r2 + 6 * m * r2 * v - 8 * r2 * v + 3 * v * v + v * (6 * r2 - 2) / m) / m**2
    return 1 - fourth / (3 * law.second_moment**2)


def parallel_threshold(n_patterns, dilution, temperature=0.0, r=None, exact=False) -> ParallelThreshold:
    """`ParallelThreshold` of K >= 2 patterns: the largest rho with an unstable parallel state, in the limit of many examples.

    Beyond it equal amplitudes are stable; below, with differences growing as the square root of the distance, they split.
    T = 0 at every d in ]0, 1[ (the noise of examples blurs the ties of stored patterns); at T > 0 there may be none, where
    stored patterns themselves are retrieved in parallel. exact: whole M at quality r, T > 0.
    Raises ParameterError, NoSolution. Cost: 10 ms at T = 0, 0.1 s otherwise.
    """
    k = check_integer("n_patterns", n_patterns, 2, 50)
    d = check_real("dilution", dilution, 0.0, 1.0, open_high=True)
    temperature = check_real("temperature", temperature, 0.0)
    r = None if r is None else check_real("r", r, 1e-6, 1 - 1e-6, remedy="examples without noise need no threshold")
    if exact and (r is None or temperature == 0):
        raise ParameterError(f"exact = True with r = {r!r}, temperature = {temperature!r}: whole numbers of examples "
                             "need their quality r and a temperature above 0; at T = 0 their ties split equal amplitudes")
    point = f"n_patterns = {k}, dilution = {d:.6g}, temperature = {temperature:.6g}: "
    if temperature >= 1 - d:
        raise NoSolution(point + f"nothing is retrieved at or above T_c = {1 - d:.6g}")

    def curvature(**dataset) -> float:
        return _parallel(MultitaskLaw.from_keywords(k, d, **dataset), temperature)[1]

    with Progress(_ENTROPIES.size + _REFINED, unit="dataset", delay=5.0) as progress:
        def value(rho: float) -> float:
            progress.advance()
            return curvature(rho=rho)

        rho = _largest_root(value)
    if math.isnan(rho):
        raise NoSolution(point + f"the parallel state is stable for every rho from {_ENTROPIES[-1]:.0e} on; lower one of them")
    if math.isinf(rho):
        raise NoSolution(point + f"the parallel state is unstable up to rho = {_ENTROPIES[0]:.0e}")
    n_examples = math.nan if r is None else _examples(r, rho)
    dataset = {"rho": rho}
    if exact:
        if n_examples > 0.9 * _MOST:
            raise ParameterError(f"r = {r!r}: about {n_examples:.3g} examples are needed, more than the {_MOST:.0e} of an "
                                 "exact dataset; use exact = False")
        n_examples = smallest_whole(lambda m: curvature(r=r, n_examples=m) <= 0, n_examples)
        dataset = {"r": r, "n_examples": n_examples}
    law = MultitaskLaw.from_keywords(k, d, **dataset)
    amplitude, left = _parallel(law, temperature)
    return ParallelThreshold(k, d, temperature, law.rho, math.nan if r is None else r, n_examples, bool(exact), amplitude, left)


def example_crossing(n_patterns, dilution, temperature=0.0, r=None) -> ExampleCrossing:
    """`ExampleCrossing` of unsupervised learning: in rho (limit of many examples), or with r in whole numbers of examples.

    K = 1, T = 0: E|a + b z| = b at rho = 1.8912518407 for every dilution. K >= 2: the lowest stable state found that
    follows one example of one or more patterns, against the lowest of those that treat all examples alike (with few
    examples, even M and low T these may be unstable towards sites where examples cancel following some of them). States
    that follow several examples of one pattern at a time are not looked for. With r: T > 0. Raises ParameterError,
    NoSolution. Cost: 0.2 s for K = 1, seconds for K = 3.
    """
    k = check_integer("n_patterns", n_patterns, 1, 7)
    d = check_real("dilution", dilution, 0.0, 1.0, open_high=True)
    temperature = check_real("temperature", temperature, 0.0)
    r = None if r is None else check_real("r", r, 1e-6, 1 - 1e-6, remedy="examples without noise are their archetypes")
    point = f"n_patterns = {k}, dilution = {d:.6g}, temperature = {temperature:.6g}: "

    def compared(**dataset):
        """(free energy of the stable example state - that of the symmetric one, example state); 1 where there is none."""
        law = MultitaskLaw.from_keywords(k, d, protocol="unsupervised", **dataset)
        following = []
        for n in range(1, k + 1):                          # at low temperatures each of them takes long
            following.append(lowest_example_state(ExampleColumns(law, n), temperature, temperature))
            progress.advance()
        stable = [state for state in following if state and state.stable]
        example = min(stable, key=lambda state: state.free_energy, default=None)
        if example is None:
            return 1.0, None
        symmetric = distinct(find_states(ColumnIntegral(law), temperature, starts(k) * law.density), law.density)
        if not np.isfinite(symmetric.free_energy[0]):
            raise NoSolution(point + f"no stable state treats the examples alike, {law.dataset_name}")
        return example.free_energy - float(symmetric.free_energy[0]), example

    if temperature >= 1 - d:
        raise NoSolution(point + f"nothing is retrieved at or above T_c = {1 - d:.6g}")
    if r is not None and temperature == 0:
        raise ParameterError(f"r = {r!r} at temperature = 0: even numbers of examples leave sites undecided, which single "
                             "examples then decide; use a temperature above 0, or leave r out")
    with Progress(k * (_ENTROPIES.size + _REFINED), unit="state", delay=5.0) as progress:
        rho = _largest_root(lambda rho: compared(rho=rho)[0])
        if math.isnan(rho) or math.isinf(rho):
            raise NoSolution(point + f"no crossing between rho = {_ENTROPIES[-1]:.0e} and {_ENTROPIES[0]:.0e}")
        n_examples, dataset = math.nan, {"rho": rho}
        if r is not None:
            n_examples = smallest_whole(lambda m: m > 1 and compared(r=r, n_examples=m)[0] > 0, _examples(r, rho))
            dataset = {"r": r, "n_examples": n_examples}
            rho = (1 - r * r) / (n_examples * r * r)
        left, example = compared(**dataset)
    return ExampleCrossing(k, d, temperature, rho, math.nan if r is None else r, n_examples, example, left)


def _parallel(law: MultitaskLaw, temperature: float) -> tuple[float, float]:
    """(m, curvature 1 - (J_11 - J_12) towards different amplitudes) of the state with K equal amplitudes."""
    columns, ones = ColumnIntegral(law), np.ones(law.n_patterns)
    if temperature == 0:                                         # F depends on the direction of g only
        size = float(columns.field(ones, 0.0)[0])
    else:                                                        # F is concave in the common amplitude, with slope p/T > 1 at 0
        size = float(bracketed_root(lambda x, _: columns.field(x[:, None] * ones, temperature)[:, 0] - x, 1e-9, 1.0)[0])
    jacobian = columns.jacobian(size * ones, temperature)
    return float(columns.archetype(size * ones, temperature)[0]), float(1 - jacobian[0, 0] + jacobian[0, 1])


def _largest_root(function) -> float:
    """The largest rho at which function, positive beyond for thresholds, changes sign; NaN if nowhere on the grid, infinity if
    it is not positive at its upper end."""
    values = [function(_ENTROPIES[0])]
    for high, low in zip(_ENTROPIES[:-1], _ENTROPIES[1:], strict=True):
        values.append(function(low))
        if values[-1] * values[-2] <= 0:
            root = bracketed_root(lambda x, _: np.array([function(math.exp(x[0]))]), math.log(low), math.log(high))
            return math.exp(root[0])
    return math.nan if values[0] > 0 else math.inf


def _examples(r: float, rho: float) -> float:
    """M (real) of dataset entropy rho."""
    return (1 - r * r) / (r * r * rho) if rho > 0 else math.inf
