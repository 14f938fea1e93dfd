"""Multitasking Hopfield networks: few patterns with a finite share of zeros, retrieved together.

    storage        H = -scale (N/2) sum_mu g_mu^2 ,                  g_mu = (1/N) sum_i xi_i^mu s_i
    supervised     the same with y = eb/sqrt(R) for xi               eb the average of M noisy examples, R = r^2 + (1-r^2)/M
    unsupervised   H = -scale (N/2) sum_mu (1/M) sum_a g_mu,a^2      y = (example a of mu)/sqrt(R)

Examples keep the zeros of their pattern; any other entry agrees with it with probability (1+r)/2. scale is 1 unless another
normalisation is asked for, see `hebb.params.MultitaskLaw`. The terms i = j of the squares, -(scale/2N) sum_i |y_i|^2, belong
to H and to every energy reported. They do not depend on the spins, hence a flip, whose cost is an exact difference of H, does
not see them.

Sources: Agliari and others, arXiv:2308.04106; Agliari, Barra, Galluzzi, Guerra and Moauro, Phys. Rev. Lett. 109, 268101 (2012).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..errors import ParameterError
from ..params import MultitaskLaw, check_integer, check_real, digest, shown
from ..streams import Purpose, generator
from .base import Instance, SpinModel, Tables, available_memory, quadratic
from .classes import Classes
from .learning import AveragedInstance, Averages
from .patterns import BitPatterns, diluted, noisy_copies, pack, warn_of_bits

__all__ = ["Multitask"]

_MOST_PATTERNS = 10**6  # as `MultitaskLaw` has it
_MOST_SPINS = 10**9  # of chains spin by spin, whose indices have 32 bits


class Multitask(SpinModel):
    """A multitasking Hopfield network of n_spins neurons.

    n_spins: N, from 2 to 10^15; above what the memory holds (and above 10^9) only as classes of spins (`hebb.models.classes`),
        the dynamics "lumped" and "hubbard_stratonovich".
    n_patterns, dilution: K >= 1 and d in [0, 1[, the probability of a zero entry.
    gamma: instead of n_patterns, K = gamma ln N rounded to an integer, at least 1: the load at which hierarchies of more and
        more patterns end (`hebb.log_storage`). The attribute is that of the integer K.
    r, n_examples, rho, protocol, normalize_dilution, normalize_examples: as in `hebb.params.MultitaskLaw`. "unsupervised"
        needs n_examples, since every example enters H.
    patterns: an array (K, N) of -1, 0, +1 instead; N, K and d (the share of zeros) are then measured on it.
    fields: external field h (N,): H has the further term -sum_i h_i s_i, whatever scale is.
    Raises ParameterError. Nothing is drawn before `draw`.
    """

    kind = "multitask"
    KEYS = ("n_spins", "n_patterns", "gamma", "dilution", "r", "n_examples", "rho", "protocol", "normalize_dilution",
            "normalize_examples")
    starts = (*SpinModel.starts, "hierarchical", "parallel")
    p_body, hamiltonian, centred = 2, "naive", False  # the real kernel's (sum_i y_i s_i)^2, self-terms included

    def __init__(self, n_spins=None, n_patterns=None, dilution=None, r=None, n_examples=None, rho=None, protocol=None,
                 normalize_dilution=False, normalize_examples=True, patterns=None, fields=None, gamma=None):
        self._given: BitPatterns | None = None
        self.array: np.ndarray | None = None
        if patterns is not None:
            self._given = pack(patterns)
            self.array = self._given.unpack()
            measured = {"n_spins": self._given.n_spins, "n_patterns": self._given.n_patterns,
                        "dilution": float(np.mean(self.array == 0))}
            for name, value in (("n_spins", n_spins), ("n_patterns", n_patterns), ("dilution", dilution)):
                if value is not None and (np.ndim(value) or value != measured[name]):
                    raise ParameterError(f"{name} = {shown(value)} contradicts the patterns given, which have "
                                         f"{measured[name]:.6g}; leave {name} out")
            if gamma is not None:
                raise ParameterError(f"gamma = {shown(gamma)} beside patterns, whose number is known; leave gamma out")
            n_spins, n_patterns, dilution = measured.values()
        elif (gamma is None) == (n_patterns is None):
            state = "neither" if gamma is None else f"gamma = {shown(gamma)} and n_patterns = {shown(n_patterns)}"
            raise ParameterError(f"{state} given; give exactly one of gamma (K/ln N) and n_patterns (a number), or the "
                                 "patterns themselves as an array (K, N) of -1, 0, +1")
        elif dilution is None:
            raise ParameterError("dilution = None: give d, the share of zero entries, or the patterns themselves as an array "
                                 "(K, N) of -1, 0, +1")
        n_spins = check_integer("n_spins", n_spins, 2, 10**15)
        if gamma is not None:
            n_patterns = _patterns_at(gamma, n_spins)
        self.law = MultitaskLaw.from_keywords(n_patterns, dilution, r, n_examples, rho, protocol, normalize_dilution,
                                              normalize_examples)
        if self.law.protocol == "unsupervised" and self.law.n_examples is None:
            raise ParameterError(f"rho = {self.law.rho!r} without n_examples: with protocol = 'unsupervised' every example "
                                 "enters the Hamiltonian and must exist; give r and n_examples")
        self.protocol, self.n_patterns = self.law.protocol, self.law.n_patterns
        self.n_spins = n_spins
        self.has_zeros = self.law.dilution > 0 if self._given is None else self._given.nonzero is not None
        self.fields = None if fields is None else self._checked_fields(fields)
        if self._given is not None:
            warn_of_bits(self._given)

    @property
    def gamma(self) -> float:
        """K/ln N of the integer number of patterns."""
        return self.n_patterns / math.log(self.n_spins)

    @classmethod
    def loads_of(cls, parameters: Mapping) -> dict[str, float]:
        return {"gamma": parameters["n_patterns"] / math.log(parameters["n_spins"])}

    def parameters(self) -> dict:
        law = self.law
        known = {"kind": self.kind, "n_spins": self.n_spins, "n_patterns": self.n_patterns, "dilution": law.dilution,
                 "protocol": law.protocol, "normalize_dilution": law.normalize_dilution,
                 "normalize_examples": law.normalize_examples}
        if law.gaussian:
            known["rho"] = law.rho
        elif law.protocol != "storage":
            known |= {"r": law.r, "n_examples": law.n_examples}
        if self.array is not None:
            known["patterns"] = self.array
        if self.fields is not None:
            known["fields"] = self.fields
        return known

    @property
    def disorder_key(self) -> str:
        """Patterns depend on N, K and d alone: what is compared at different temperatures, protocols, r, M or units is
        compared on the same patterns, and at different r or M unsupervised on the same draws for the first examples."""
        names = ("patterns",) if self.array is not None else ("n_spins", "n_patterns", "dilution")
        known = self.parameters()
        return digest({name: known[name] for name in names})

    def draw(self, seed: int, disorder: int = 0) -> Instance:
        """One disorder sample spin by spin: patterns (`patterns.diluted`), then the averages of their examples or the
        examples. Raises ParameterError where the memory cannot hold it."""
        seed = check_integer("seed", seed, 0)
        disorder = check_integer("disorder", disorder, 0, 2**32 - 1)
        self.memory_bytes()
        stream = generator(seed, Purpose.DISORDER, self.disorder_key, disorder)
        law, bits = self.law, self._given
        if bits is None:
            bits = diluted(self.n_patterns, self.n_spins, law.density, stream)
        if law.protocol == "supervised":
            return AveragedInstance(self, bits, Averages.draw(law, bits, stream), None, self.fields, disorder)
        stored = noisy_copies(bits, law.n_examples, (1 - law.r) / 2, stream) if law.protocol == "unsupervised" else None
        return Instance(self, bits, self.fields, disorder, stored)

    @property
    def has_dataset(self) -> bool:
        return self.protocol != "storage"

    @property
    def n_cues(self) -> float:
        """Fresh examples are without number, unless r is not known."""
        return 0 if self.protocol == "storage" or self.law.gaussian else math.inf

    @property
    def n_stored(self) -> int:
        return self.n_patterns * (self.law.n_examples if self.protocol == "unsupervised" else 1)

    def pairs_per_sweep(self) -> float:
        """As in `Model`; entries that may vanish cost about twice a bit, real ones four times."""
        return super().pairs_per_sweep() * (4 if self.protocol == "supervised" else 2 if self.has_zeros else 1)

    def bytes_needed(self, replicas: int) -> int:
        """As in `Model`, and what grows with N alone: tables, what each replica knows of its spins, rows to measure with."""
        of_spins = self.n_spins * (32 + 32 * replicas + 12 * self.n_patterns)
        if self.protocol == "supervised":
            return of_spins + 2 * self.n_spins * (8 * -(-self.n_patterns // 8) + 8)
        return of_spins + super().bytes_needed(replicas) * (2 if self.protocol == "unsupervised" else 1)  # copies while drawing

    def memory_bytes(self, replicas: int = 1) -> int:
        needed, free = self.bytes_needed(replicas), available_memory()
        if self.n_spins <= _MOST_SPINS and needed <= free:
            return needed
        remedy = "lower n_spins or n_patterns" + (" or n_examples" if self.protocol == "unsupervised" else "")
        if self._lumps():
            remedy = f"use dynamics = 'lumped' or 'hubbard_stratonovich', which take any n_spins, or {remedy}"
        most = f"at most {_MOST_SPINS} spins" if self.n_spins > _MOST_SPINS else f"{free / 2**30:.3g} GiB are free"
        raise ParameterError(f"n_spins = {self.n_spins} with n_patterns = {self.n_patterns} spin by spin needs "
                             f"{needed / 2**30:.3g} GiB ({most}); {remedy}")

    def _lumps(self) -> bool:
        try:
            Classes.check(self)
        except ParameterError:
            return False
        return True

    @property
    def weight(self) -> float:
        """E = -weight sum over stored rows of (sum_i row_i s_i)^2, rows of patterns, averages or single examples."""
        copies = self.law.n_examples if self.protocol == "unsupervised" else 1
        return self.law.scale / (2 * self.n_spins * self.law.second_moment * copies)

    def tables(self, counts: np.ndarray) -> Tables:
        return quadratic(counts, -self.weight)

    def potential(self, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return -self.weight * x**2


def _patterns_at(gamma, n_spins: int) -> int:
    """The integer K nearest to gamma ln N, at least 1."""
    gamma = check_real("gamma", gamma, 0.0, open_low=True, remedy="n_patterns = 1 is the lowest load")
    number = gamma * math.log(n_spins)
    if number > _MOST_PATTERNS:
        raise ParameterError(f"gamma = {gamma:g} on {n_spins} spins is a load of {number:.3g} patterns, more than "
                             f"{_MOST_PATTERNS}; lower gamma")
    return max(1, round(number))
