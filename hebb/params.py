"""Parameter records, shared by models and theory: the only thing the two have in common.

Loads: gamma = (P!/2) K/N^(P-1) for P >= 3 and alpha = K/N for P = 2, so that gamma and alpha are one number.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .errors import ParameterError
from .vocabulary import LOSSES as _LOSS_WORDS
from .vocabulary import PROTOCOLS as _PROTOCOL_WORDS
from .vocabulary import hint

__all__ = ["DenseLaw", "MultitaskLaw", "PerceptronLaw", "check_choice", "check_integer", "check_keys", "check_real", "digest",
           "dilution_factor", "float_array", "load", "patterns_at_load", "shown"]

PROTOCOLS = ("storage", "supervised", "unsupervised")
HAMILTONIANS = ("distinct", "naive")
LOSSES = ("violations", "hinge", "quadratic")
LABELS = ("teacher", "random")


def check_real(name: str, value, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False,
               open_high: bool = False, remedy: str = "") -> float:
    """value as a finite float in [low, high], without the ends that are open; otherwise ParameterError.

    Numbers only: no strings, no booleans, no arrays but those without axes.
    """
    try:
        number = float(value) if _is_number(value) else math.nan
    except OverflowError:  # an integer beyond the floats
        number = math.inf
    inside = (low < number if open_low else low <= number) and (number < high if open_high else number <= high)
    if not (math.isfinite(number) and inside):
        left = "]" if open_low or low == -math.inf else "["
        right = "[" if open_high or high == math.inf else "]"
        raise ParameterError(f"{name} = {shown(value)} is not a number in {left}{low:g}, {high:g}{right}"
                             f"{_one_number(value)}{_tail(remedy)}")
    return number


def check_integer(name: str, value, low: int, high: int | None = None, *, remedy: str = "") -> int:
    """value as an int in [low, high]; otherwise ParameterError. 3.0 is accepted, 3.5, "3" and True are not."""
    whole = _is_number(value) and value == value and abs(value) < 2**63 and int(value) == value
    if not whole or value < low or (high is not None and value > high):
        beyond = high is None and _is_number(value) and value >= 2**63
        allowed = f"from {low} to 2^63 - 1" if beyond else f"at least {low}" if high is None else f"from {low} to {high}"
        raise ParameterError(f"{name} = {shown(value)} is not a whole number {allowed}{_one_number(value)}{_tail(remedy)}")
    return int(value)


def float_array(values) -> np.ndarray:
    """Real numbers as a new array of floats of their shape; an empty one where some are none or beyond the floats.

    Strings and booleans are no numbers here, as in `check_real`.
    """
    try:
        array = np.array(values)
        numbers = array.dtype.kind in "iuf" or (array.dtype == object and all(map(_is_number, array.flat)))
        return array.astype(float) if numbers else np.empty(0)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)


def _is_number(value) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _one_number(value) -> str:
    return "; give one number, not an array" if isinstance(value, np.ndarray) and value.ndim else ""


def shown(value) -> str:
    """value as Python writes it, on one line of at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = "an integer of thousands of digits"
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"


def check_choice(name: str, value, choices: Iterable[str], instead: Mapping[str, str] | None = None) -> str:
    """value if it is one of choices; otherwise ParameterError with the nearest choice, or with what to write instead of a word
    that other fields or programs use (`hebb.vocabulary`)."""
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(f"{name} = {shown(value)} is not one of {', '.join(choices)}{hint(value, instead or {}, choices)}")
    return value


def check_keys(where: str, given: Iterable[str], allowed: Iterable[str], instead: Mapping[str, str] | None = None) -> None:
    """Refuse unknown keys with the nearest known one, or with what to write instead as in `check_choice`."""
    allowed = tuple(allowed)
    for key in given:
        if key not in allowed:
            clause = hint(key, instead or {}, allowed) or f"; known keys: {', '.join(allowed)}"
            raise ParameterError(f"unknown key {shown(key)} in {where}{clause}")


def _tail(remedy: str) -> str:
    return f"; {remedy}" if remedy else ""


class _Dataset:
    """What laws with a dataset (fields protocol, r, n_examples, rho) have in common."""

    @property
    def gaussian(self) -> bool:
        """Whether the dataset is the Gaussian limit of many examples."""
        return self.protocol != "storage" and self.n_examples is None

    @property
    def effective_examples(self) -> float:
        """M, which in the Gaussian limit follows from r and rho and need not be whole (infinite at rho = 0)."""
        if self.n_examples is not None:
            return float(self.n_examples)
        return (1 - self.r**2) / (self.rho * self.r**2) if self.rho > 0 else math.inf

    @property
    def second_moment(self) -> float:
        """R = r^2 (1 + rho): the mean square of an average of M examples of a pattern entry +-1."""
        return self.r**2 * (1 + self.rho)


def _dataset(r, n_examples, rho, protocol, quality_needed: bool) -> tuple[str, float, int | None, float]:
    """(protocol, r, M or None, rho) of the keywords that describe a dataset. Raises ParameterError.

    quality_needed: whether unsupervised learning by rho alone needs r as well."""
    r = None if r is None else check_real("r", r, 0.0, 1.0, open_low=True,
                                          remedy="1 is a dataset without noise, 0 would say nothing")
    rho = None if rho is None else check_real("rho", rho, 0.0, 1e12)
    n_examples = None if n_examples is None else check_integer("n_examples", n_examples, 1, 10**9)
    noiseless = r in (None, 1.0) and n_examples is None and rho in (None, 0.0)
    if protocol is None:
        protocol = "storage" if noiseless else "supervised"
    if check_choice("protocol", protocol, PROTOCOLS, _PROTOCOL_WORDS) == "storage":
        if not noiseless:
            raise ParameterError(f"r = {shown(r)}, n_examples = {shown(n_examples)}, rho = {shown(rho)} describe a noisy "
                                 "dataset, which protocol = 'storage' does not have; leave them out")
        return "storage", 1.0, None, 0.0
    if r is not None and r < 1e-6:
        raise ParameterError(f"r = {r!r} is not a number in [1e-06, 1]; examples this noisy say nothing")
    if (n_examples is None) == (rho is None):
        raise ParameterError(f"n_examples = {shown(n_examples)} and rho = {shown(rho)}: protocol = {protocol!r} takes "
                             "exactly one of them; give r and n_examples (exact), or rho (the limit of many examples)")
    quality_needed = quality_needed and protocol == "unsupervised"
    if r is None and (rho is None or quality_needed):
        raise ParameterError(f"r = None: protocol = {protocol!r} with {'n_examples' if rho is None else 'rho'} needs the "
                             "quality r of its examples, a number in ]0, 1]")
    if rho is None:
        return protocol, r, n_examples, (1 - r * r) / (n_examples * r * r)
    if r is not None and not quality_needed:
        raise ParameterError(f"r = {r!r} and rho = {rho!r} given together; {protocol} data take r and n_examples (exact) "
                             "or rho alone (the limit of many examples, in which r drops out)")
    if r == 1.0 and rho > 0:
        raise ParameterError(f"r = 1.0 and rho = {rho!r} contradict each other: examples without noise have rho = 0")
    return protocol, 1.0 if r is None else r, None, rho


@dataclass(frozen=True)
class DenseLaw(_Dataset):
    """What simulation and theory of a dense Hebbian network must agree on (everything but size, load and temperature).

    p_body: interaction order P >= 2. hamiltonian: "distinct" (elementary symmetric polynomial of the overlap, the model
    of the theory) or "naive" (coinciding indices kept, a different model at high load). protocol: "storage" stores the
    patterns themselves, "supervised" the average of M noisy examples of each, "unsupervised" every example by itself.
    r: quality, an entry of an example agrees with its pattern with probability (1+r)/2; n_examples: M. Without M the
    dataset is the Gaussian limit of many examples, known by its entropy rho alone (unsupervised: and by r).
    """

    p_body: int
    protocol: str = "storage"
    hamiltonian: str = "distinct"
    r: float = 1.0
    n_examples: int | None = None
    rho: float = 0.0

    @classmethod
    def from_keywords(cls, p_body, r=None, n_examples=None, rho=None, protocol=None, hamiltonian="distinct") -> DenseLaw:
        """The record of the keywords that `hebb.theory.Dense` and `hebb.models.Dense` share. Raises ParameterError."""
        p_body = check_integer("p_body", p_body, 2, 20)
        check_choice("hamiltonian", hamiltonian, HAMILTONIANS)
        protocol, r, n_examples, rho = _dataset(r, n_examples, rho, protocol, quality_needed=True)
        return cls(p_body, protocol, hamiltonian, r, n_examples, rho)

    @property
    def dataset_name(self) -> str:
        """The dataset in words, such as "supervised, r = 0.8, M = 10"; empty for storage."""
        if self.protocol == "storage":
            return ""
        known = [] if self.gaussian and self.protocol == "supervised" else [f"r = {self.r:.6g}"]
        known.append(f"rho = {self.rho:.6g}" if self.gaussian else f"M = {self.n_examples}")
        return ", ".join([self.protocol, *known])

    def tuple_entropy(self, order: int) -> float:
        """rho_k = (1 - r^2k)/(M r^2k): the entropy of products of k entries of one example (rho_1 = rho)."""
        if self.protocol == "storage" or self.r == 1.0:
            return self.rho
        power = self.r ** (2 * order)
        return (1 - power) / (self.effective_examples * power)

    @property
    def signal(self) -> float:
        """kappa in the condensed energy -(N/2) kappa nt^P with nt = E[u s] (theory/dense: supervised (1+rho)^(-P/2),
        unsupervised (1+rho_P)^(-1/2), P = 2 unsupervised 1/(1+rho)); 1 without a dataset."""
        if self.protocol == "unsupervised" and self.p_body > 2:
            return (1 + self.tuple_entropy(self.p_body)) ** -0.5
        return (1 + self.rho) ** (-self.p_body / 2)


@dataclass(frozen=True)
class MultitaskLaw(_Dataset):
    """What simulation and theory of a multitasking Hopfield network must agree on (everything but size and temperature).

    K patterns of entries 0 (probability d, the dilution) and +-1 (probability p/2 each, p = 1 - d), at low storage:

        H = -scale (N/2) sum_mu g_mu^2 ,    g_mu = (1/N) sum_i y_i^mu s_i ,    E y^2 = p

    storage: y = xi. supervised: y = (average of M examples)/sqrt(R). unsupervised: sum_mu g_mu^2 is replaced by its average
    over the examples, each over sqrt(R). Examples keep the zeros of their pattern, and any other entry agrees with it with
    probability (1+r)/2; R = r^2 + (1-r^2)/M. Without M: the Gaussian limit of many examples, known by its entropy rho.

    scale = 1 by default, so that T_c = p for every dataset. normalize_dilution divides H by p
    (T_c = 1). normalize_examples = False leaves out the division by R (T_c = p R).
    """

    n_patterns: int
    dilution: float
    protocol: str = "storage"
    r: float = 1.0
    n_examples: int | None = None
    rho: float = 0.0
    normalize_dilution: bool = False
    normalize_examples: bool = True

    @classmethod
    def from_keywords(cls, n_patterns, dilution, r=None, n_examples=None, rho=None, protocol=None, normalize_dilution=False,
                      normalize_examples=True) -> MultitaskLaw:
        """The record of the keywords that `hebb.theory.Multitask` and `hebb.models.Multitask` share. Raises ParameterError."""
        n_patterns = check_integer("n_patterns", n_patterns, 1, 10**6)
        dilution = check_real("dilution", dilution, 0.0, 1.0, open_high=True,
                              remedy="it is the share of zero entries, and at 1 nothing would be stored")
        for name, value in (("normalize_dilution", normalize_dilution), ("normalize_examples", normalize_examples)):
            if not isinstance(value, (bool, np.bool_)):
                raise ParameterError(f"{name} = {shown(value)} is not true or false")
        protocol, r, n_examples, rho = _dataset(r, n_examples, rho, protocol, quality_needed=False)
        law = cls(n_patterns, dilution, protocol, r, n_examples, rho, bool(normalize_dilution), bool(normalize_examples))
        if law.gaussian and not law.normalize_examples:
            raise ParameterError(f"normalize_examples = False with rho = {rho!r}: R depends on r, which drops out of the "
                                 "limit of many examples; give r and n_examples, or leave it out")
        return law

    @property
    def density(self) -> float:
        """p = 1 - d, the share of entries that are not zero."""
        return 1 - self.dilution

    @property
    def scale(self) -> float:
        """H over its default normalisation; also T_c/p."""
        return (1.0 if self.normalize_examples else self.second_moment) / (self.density if self.normalize_dilution else 1.0)

    @property
    def dataset_name(self) -> str:
        """The dataset in words, such as "supervised, r = 0.8, M = 10"; empty for storage."""
        if self.protocol == "storage":
            return ""
        known = f"rho = {self.rho:.6g}" if self.gaussian else f"r = {self.r:.6g}, M = {self.n_examples}"
        return f"{self.protocol}, {known}"


@dataclass(frozen=True)
class PerceptronLaw:
    """What simulation and theory of a perceptron with binary weights must agree on (everything but size, load and temperature).

    An example xi, y costs V(D) of its stability D = y (xi.w)/sqrt(N): "violations" 1 where D < kappa (at D = kappa = 0, a tie
    of even N, 1/2), "hinge" (kappa - D)_+, "quadratic" (kappa - D)_+^2. labels: y = sgn(xi.W) of a "teacher" W, or "random".
    """

    loss: str = "violations"
    kappa: float = 0.0
    labels: str = "teacher"

    @classmethod
    def from_keywords(cls, loss="violations", kappa=0.0, labels="teacher") -> PerceptronLaw:
        """The record of the keywords that models and theory share. Raises ParameterError."""
        return cls(check_choice("loss", loss, LOSSES, _LOSS_WORDS), check_real("kappa", kappa, -10.0, 10.0),
                   check_choice("labels", labels, LABELS))

    def cost(self, stability) -> np.ndarray:
        """V of stabilities, an array of any shape."""
        gap = self.kappa - np.asarray(stability, float)
        if self.loss == "violations":
            return np.heaviside(gap, 0.5 if self.kappa == 0 else 0.0)
        return np.maximum(gap, 0.0) ** (2 if self.loss == "quadratic" else 1)


def load(n_patterns: float, n_spins: int, p_body: int) -> float:
    """gamma of n_patterns patterns on n_spins spins (alpha = K/N for P = 2)."""
    scale = 1.0 if p_body == 2 else math.factorial(p_body) / 2
    try:
        return scale * n_patterns / float(n_spins) ** (p_body - 1)
    except OverflowError:                # so many sets of spins that the floats do not reach; in steps, down to 0
        return scale * n_patterns / float(n_spins) ** (p_body // 2) / float(n_spins) ** (p_body - 1 - p_body // 2)


def patterns_at_load(gamma: float, n_spins: int, p_body: int) -> int:
    """The integer K whose load is nearest to gamma, at least 1."""
    one = load(1, n_spins, p_body)
    number = gamma / one if one > 0 else math.inf
    if number >= 2**63:
        raise ParameterError(f"gamma = {gamma:g} on {n_spins} spins is a load of {number:.3g} patterns; lower gamma or n_spins")
    return max(1, round(number))


def dilution_factor(n_spins: int, p_body: int) -> float:
    """f_N = prod_{k<P} (1 - k/N): the share of index tuples without coincidences."""
    return math.prod(1 - k / n_spins for k in range(1, p_body))


def digest(parameters: Mapping) -> str:
    """A 32-digit hexadecimal name of parameters, independent of key order and of int against float spelling."""
    return hashlib.sha256(canonical_json(parameters).encode()).hexdigest()[:32]


def canonical_json(value) -> str:
    """JSON with sorted keys; numbers with an integral value are written as integers."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value):
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"sha256": hashlib.sha256(np.ascontiguousarray(value)).hexdigest(), "shape": list(value.shape),
                "dtype": str(value.dtype)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return int(value) if math.isfinite(value) and float(value).is_integer() else float(value)
    raise TypeError(f"cannot name a value of type {type(value).__name__}")
