"""Dense (P-body) Hebbian networks.

    distinct   H = -(P!/(2 N^(P-1))) sum_mu sum_{i1<...<iP} xi_i1 s_i1 ... xi_iP s_iP = -(P!/(2 N^(P-1))) sum_mu e_P(x_mu)
    naive      H = -(N/2) sum_mu (x_mu/N)^P, minus its average over uniformly random configurations

The naive form keeps coinciding indices. At K ~ N^(P-1) patterns it is a different model at O(1), with a noise of its own
(see docs/conventions.md), and its average is a constant that grows with N; for P = 2 the two are one model.

Sources: arXiv:2212.00606 (dense networks), Amit, Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987) for P = 2.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction

import numpy as np

from ..errors import ParameterError
from ..params import DenseLaw, check_choice, check_integer, check_real, digest, load, patterns_at_load
from ..streams import Purpose, generator
from .base import Instance, Model, Tables, tabulate, uniform_mean
from .datasets import ImageSet, load_images
from .patterns import as_numbers, pack, rademacher

__all__ = ["Dense"]


class Dense(Model):
    """A dense Hebbian network of n_spins neurons.

    Exactly one of gamma (load, see `hebb.params.load`; K is rounded to an integer), n_patterns or an array of patterns.

    patterns: None for Rademacher patterns; an array (K, N) of -1, 0, +1 (zeros are missing entries: e_P then runs over the
        non-zero entries of each pattern, the prefactor keeps N); or images: "mnist", "fashion-mnist", "digits", a folder.
    threshold: grey level in [0, 1] above which a pixel is +1. order: "random" draws the images anew for every disorder
        sample, "file" takes the first K of the file (every sample is then the same).
    fields: external field h (N,), in units of J, the coupling of which is 1.
    Raises ParameterError (values) or DataError (images).
    """

    kind = "dense"
    KEYS = ("n_spins", "p_body", "gamma", "n_patterns", "patterns", "r", "n_examples", "rho", "protocol", "hamiltonian",
            "threshold", "order")

    def __init__(self, n_spins=None, p_body=2, gamma=None, n_patterns=None, patterns=None, r=None, n_examples=None, rho=None,
                 protocol=None, hamiltonian="distinct", threshold=0.5, order="random", fields=None):
        self.law = DenseLaw.from_keywords(p_body, r, n_examples, rho, protocol, hamiltonian)
        if self.law.protocol != "storage":
            raise ParameterError(f"protocol = {self.law.protocol!r} is not available in this version; use 'storage'")
        self.p_body, self.hamiltonian, self.protocol = self.law.p_body, self.law.hamiltonian, self.law.protocol
        self.threshold = check_real("threshold", threshold, 0.0, 1.0)
        self.order = check_choice("order", order, ("random", "file"))
        self.images: ImageSet | None = None
        self.array: np.ndarray | None = None
        given_bits = None
        if isinstance(patterns, (str, os.PathLike)):
            self.images = load_images(os.fspath(patterns))
            n_spins = self._size(n_spins, self.images.n_pixels, f"the images of {self.images.name!r}")
        elif patterns is not None:
            given_bits = pack(patterns)
            self.array = given_bits.unpack()
            n_spins = self._size(n_spins, given_bits.n_spins, "the patterns given")
            n_patterns = self._size(n_patterns, given_bits.n_patterns, "the patterns given", "n_patterns")
            self.has_zeros = given_bits.nonzero is not None  # shadows the class default
        self._given = given_bits
        self.n_spins = check_integer("n_spins", n_spins, max(2, self.p_body), 10**9,
                                     remedy=f"a {self.p_body}-body interaction needs at least {self.p_body} spins")
        self.n_patterns = self._count(gamma, n_patterns)
        if self.images is not None and self.n_patterns > len(self.images):
            raise ParameterError(f"n_patterns = {self.n_patterns} exceeds the {len(self.images)} images of "
                                 f"{self.images.name!r}; lower it or give more images")
        self.fields = None if fields is None else self._check_fields(fields)
        self.memory_bytes()

    @staticmethod
    def _size(asked, found: int, what: str, name: str = "n_spins") -> int:
        if asked not in (None, found):
            raise ParameterError(f"{name} = {asked} contradicts {what}, which have {found}; leave {name} out")
        return found

    def _count(self, gamma, n_patterns) -> int:
        if (gamma is None) == (n_patterns is None):
            state = "neither" if gamma is None else f"gamma = {gamma} and n_patterns = {n_patterns}"
            raise ParameterError(f"{state} given; give exactly one of gamma (a load) and n_patterns (a number)")
        if n_patterns is not None:
            return check_integer("n_patterns", n_patterns, 1)
        gamma = check_real("gamma", gamma, 0.0, open_low=True, remedy="n_patterns = 1 is the lowest load")
        return patterns_at_load(gamma, self.n_spins, self.p_body)

    def _check_fields(self, fields) -> np.ndarray:
        fields = as_numbers("fields", fields)
        if fields.shape != (self.n_spins,) or not np.all(np.isfinite(fields)):
            raise ParameterError(f"fields of shape {fields.shape} are not {self.n_spins} finite numbers; give one per spin")
        return fields

    @property
    def gamma(self) -> float:
        """The load of the integer number of patterns (alpha = K/N for P = 2)."""
        return load(self.n_patterns, self.n_spins, self.p_body)

    def parameters(self) -> dict:
        known = {"kind": self.kind, "n_spins": self.n_spins, "p_body": self.p_body, "n_patterns": self.n_patterns,
                 "protocol": self.protocol, "hamiltonian": self.hamiltonian}
        if self.images is not None:
            known |= {"patterns": self.images.name, "images_sha256": self.images.sha256, "threshold": self.threshold,
                      "order": self.order}
        if self.array is not None:
            known["patterns"] = self.array
        if self.fields is not None:
            known["fields"] = self.fields
        return known

    @property
    def disorder_key(self) -> str:
        """Patterns depend on neither temperature, P nor Hamiltonian, and images not on their number: the first K of one
        shuffled order are stored. What is compared at different T, P or K is compared on the same patterns."""
        if self.array is not None:
            return self.digest
        known = self.parameters()
        names = ("n_spins", "n_patterns") if self.images is None else ("images_sha256", "order")
        return digest({name: known[name] for name in names})

    def draw(self, seed: int, disorder: int = 0) -> Instance:
        """One disorder sample; see `disorder_key` for who shares it."""
        seed = check_integer("seed", seed, 0)
        disorder = check_integer("disorder", disorder, 0, 2**32 - 1)
        if self._given is not None:
            return Instance(self, self._given, self.fields, disorder)
        stream = generator(seed, Purpose.DISORDER, self.disorder_key, disorder)
        if self.images is None:
            return Instance(self, rademacher(self.n_patterns, self.n_spins, stream), self.fields, disorder)
        chosen = np.arange(self.n_patterns)
        if self.order == "random":
            chosen = stream.permutation(len(self.images))[:self.n_patterns]
        return Instance(self, pack(self.images.binarised(self.threshold, chosen)), self.fields, disorder)

    @property
    def planted_energy(self) -> float | None:
        """Mean energy per spin of a stored Rademacher pattern: the condensed term alone, the noise averages to zero.

        -f_N/2 with f_N = prod_{k<P}(1 - k/N) for distinct indices. None for given patterns and images, or with fields,
        where the mean over samples is not known."""
        if self._given is not None or self.images is not None or self.fields is not None:
            return None
        n = self.n_spins
        return float(self.potential(np.array([float(n)]), np.array([n]))[0]) / n

    @property
    def _prefactor(self) -> Fraction:
        """f = -prefactor * (integer polynomial of x)."""
        n, p = self.n_spins, self.p_body
        return Fraction(math.factorial(p) if self.hamiltonian == "distinct" else 1, 2 * n ** (p - 1))

    def tables(self, counts: np.ndarray) -> Tables:
        if self.hamiltonian == "naive":
            def values(n):
                return [x**self.p_body for x in range(-n, n + 1, 2)]
        else:
            def values(n):
                return [_elementary_symmetric(x, n, self.p_body) for x in range(-n, n + 1, 2)]
        return tabulate(values, counts, -float(self._prefactor), centred=True)

    def potential(self, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        p, n = self.p_body, np.asarray(counts, float)
        if self.hamiltonian == "distinct":
            lower, polynomial = np.ones_like(x), np.array(x, float)
            for k in range(1, p):
                lower, polynomial = polynomial, (x * polynomial - (n - k + 1) * lower) / (k + 1)
        else:
            means = {int(k): float(uniform_mean([x**p for x in range(-int(k), int(k) + 1, 2)])) for k in np.unique(counts)}
            polynomial = x**p - np.array([means[int(k)] for k in counts])
        return -float(self._prefactor) * polynomial


def _elementary_symmetric(x: int, n: int, p: int) -> int:
    """e_p of n signs whose sum is x, exactly: (k+1) e_{k+1} = x e_k - (n-k+1) e_{k-1}."""
    lower, value = 1, x
    for k in range(1, p):
        lower, value = value, (x * value - (n - k + 1) * lower) // (k + 1)
    return value
