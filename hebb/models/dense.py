"""Dense (P-body) Hebbian networks.

    distinct   H = -(P!/(2 N^(P-1))) sum_mu sum_{i1<...<iP} xi_i1 s_i1 ... xi_iP s_iP = -(P!/(2 N^(P-1))) sum_mu e_P(x_mu)
    naive      H = -(N/2) sum_mu (x_mu/N)^P, minus its average over uniformly random configurations

With a noisy dataset of M examples per pattern, each entry of which agrees with its pattern with probability (1+r)/2,

    supervised    xi is replaced by eb, the average of its M examples, and H by H/R^(P/2), R = r^2 + (1-r^2)/M
    unsupervised  every example enters like a pattern, and H is divided by M sqrt(R_P), R_P = r^2P + (1-r^2P)/M (P = 2: by M R)

The naive form keeps coinciding indices. At K ~ N^(P-1) patterns it is a different model at O(1), with a noise of its own
(see docs/conventions.md), and its average (given the dataset) is a constant that grows with N; for P = 2 the two are one model.

Sources: arXiv:2212.00606 (dense networks), Amit, Gutfreund and Sompolinsky, Ann. Phys. 173, 30 (1987) for P = 2.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from ..errors import ParameterError
from ..params import DenseLaw, check_choice, check_integer, check_real, digest, dilution_factor, load, patterns_at_load, shown
from ..streams import Purpose, generator
from .base import Instance, SpinModel, Tables, tabulate, uniform_mean
from .datasets import load_images
from .images import ImageModel, ImageSample, law_of_archetypes, threshold_of
from .learning import AveragedInstance, Averages, GivenExamples
from .patterns import BitPatterns, noisy_copies, pack, rademacher, warn_of_bits
from .remedies import REMEDIES, whitened

__all__ = ["Dense"]


class Dense(SpinModel):
    """A dense Hebbian network of n_spins neurons.

    Exactly one of gamma (load, see `hebb.params.load`; K is rounded to an integer), n_patterns or an array of patterns.

    patterns: None for Rademacher patterns; an array (K, N) of -1, 0, +1 (zeros are missing entries: e_P then runs over the
        non-zero entries of each pattern, the prefactor keeps N); or images: "mnist", "fashion-mnist", "digits", a folder.
    threshold: grey level in [0, 1] above which a pixel is +1, or "median", that of each pixel. order: "random" draws the
        images anew for every disorder sample, "file" takes the first K of the file (every sample is then the same).
    archetypes, held_out: images as examples of archetypes (`hebb.models.archetypes`), K of them: "class" (K <= the number of
        classes) or "prototypes" (clusters within the classes). With n_examples = M the protocols learn M different training
        images of each; with protocol "storage" (the default without n_examples) the archetypes themselves are stored. r and R
        are measured. held_out: share of each class that is never trained on (default 0.2), the cues of start = "example".
        order: of the classes ("random": a random one is condensed) and the examples ("random" always).
    remedy: "none", or for correlated patterns "centred" (images only) or "whitened": see `hebb.models.remedies`. H is then
        that of the rows so changed over (mean square of their entries)^(P/2), and unsupervised, centred, also over M.
    fields: external field h (N,), in units of J, the coupling of which is 1.
    r, n_examples, rho, protocol: the dataset, see `hebb.params.DenseLaw`; the patterns (random, given or images, without
        zeros) are then the archetypes. "supervised" may leave M to the limit of many examples by giving rho alone.
    examples: the dataset itself, for given patterns: (K, M, N) of +-1, or for "supervised" also its averages (K, N) in
        [-1, 1]. r is then estimated as the mean of xi eb, and R (supervised) as the mean of eb^2, unless r and n_examples are
        given. Averages are kept to 16 bits (`hebb.models.learning`).
    Raises ParameterError (values) or DataError (images).
    """

    kind = "dense"
    KEYS = ("n_spins", "p_body", "gamma", "n_patterns", "patterns", "r", "n_examples", "rho", "protocol", "hamiltonian",
            "threshold", "order", "archetypes", "held_out", "remedy")

    def __init__(self, n_spins=None, p_body=2, gamma=None, n_patterns=None, patterns=None, r=None, n_examples=None, rho=None,
                 protocol=None, hamiltonian="distinct", threshold=0.5, order="random", fields=None, examples=None,
                 archetypes=None, held_out=None, remedy="none"):
        from_images = isinstance(patterns, (str, os.PathLike))
        self.examples = None
        if archetypes is not None and examples is not None:
            raise ParameterError("archetypes have images as examples, and examples are given as well; leave one of them out")
        if archetypes is not None:
            self.law = law_of_archetypes(patterns if from_images else None, p_body, r, n_examples, rho, protocol, hamiltonian)
        elif examples is not None:
            self.examples = GivenExamples.check(examples, patterns)
            self.law = self.examples.law(p_body, r, n_examples, rho, protocol, hamiltonian)
        else:
            self.law = DenseLaw.from_keywords(p_body, r, n_examples, rho, protocol, hamiltonian)
        if self.law.protocol == "unsupervised" and self.law.n_examples is None:
            raise ParameterError(f"rho = {self.law.rho!r} without n_examples: with protocol = 'unsupervised' every example "
                                 "enters the Hamiltonian and must exist; give r and n_examples")
        self.p_body, self.hamiltonian, self.protocol = self.law.p_body, self.law.hamiltonian, self.law.protocol
        self.remedy = check_choice("remedy", remedy, REMEDIES)
        threshold, order = threshold_of(threshold), check_choice("order", order, ("random", "file"))
        self.images: ImageModel | None = None
        self.array: np.ndarray | None = None
        given_bits = image_set = None
        if from_images:
            image_set = load_images(os.fspath(patterns))
            n_spins = self._size(n_spins, image_set.n_pixels, f"the images of {image_set.name!r}")
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
        if from_images:
            self.images = ImageModel(image_set, self.n_patterns, threshold, order, archetypes, held_out, self.law.n_examples)
            self.law = self.images.measured_law(self.law)
        elif held_out is not None:
            raise ParameterError(f"held_out = {shown(held_out)} has no meaning without archetypes of images; leave it out")
        self.fields = None if fields is None else self._checked_fields(fields)
        self._check_stored()
        self.memory_bytes()
        if given_bits is not None:
            warn_of_bits(given_bits)

    def _check_stored(self) -> None:
        """Refuse what cannot be stored under this protocol and remedy."""
        if self.has_zeros and (self.protocol != "storage" or self.remedy != "none"):
            raise ParameterError(f"patterns with zeros have no examples of +-1 and no remedy (protocol = {self.protocol!r}, "
                                 f"remedy = {self.remedy!r}); give patterns of +-1")
        if self.remedy == "centred" and self.images is None:
            raise ParameterError("remedy = 'centred' subtracts the mean of a set of images, which other patterns do not have; "
                                 "use 'whitened' or 'none'")
        if self.remedy == "whitened" and self.n_stored > self.n_spins:
            raise ParameterError(f"remedy = 'whitened' needs linearly independent rows, and {self.n_stored} stored rows of "
                                 f"{self.n_spins} entries cannot be; lower n_patterns or n_examples, or use another remedy")
        if self.has_real_rows and self.hamiltonian == "distinct" and 8 < self.p_body > self.n_spins / 4:
            raise ParameterError(f"n_spins = {self.n_spins} with p_body = {self.p_body}: on real rows of so few spins "
                                 f"the kernel would lose precision; give at least {4 * self.p_body} spins")

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

    @property
    def gamma(self) -> float:
        """The load of the integer number of patterns (alpha = K/N for P = 2)."""
        return load(self.n_patterns, self.n_spins, self.p_body)

    @classmethod
    def loads_of(cls, parameters: Mapping) -> dict[str, float]:
        return {"gamma": load(parameters["n_patterns"], parameters["n_spins"], parameters["p_body"])}

    @property
    def measured(self) -> dict[str, float]:
        """Of images: `ImageModel.measured`, and with a dataset r and R (`second_moment`) of this model."""
        known = {} if self.images is None else self.images.measured
        if self.has_archetypes and self.protocol != "storage":
            known = known | {"second_moment": self.images.archetypes.second_moment(self.law.n_examples)}
        return known

    def summary(self) -> str:
        return "" if self.images is None else self.images.summary()

    def parameters(self) -> dict:
        known = {"kind": self.kind, "n_spins": self.n_spins, "p_body": self.p_body, "n_patterns": self.n_patterns,
                 "protocol": self.protocol, "hamiltonian": self.hamiltonian}
        if self.images is not None:
            known |= self.images.parameters()
        if self.array is not None:
            known["patterns"] = self.array
        if self.examples is not None:
            known["examples"] = self.examples.array
        if self.law.gaussian:
            known |= {"rho": self.law.rho}
        elif self.protocol != "storage" and not self.has_archetypes:  # whose r follows from the images
            known |= {"r": self.law.r, "n_examples": self.law.n_examples}
        if self.remedy != "none":
            known["remedy"] = self.remedy
        if self.fields is not None:
            known["fields"] = self.fields
        return known

    @property
    def disorder_key(self) -> str:
        """Patterns depend on neither temperature, P, Hamiltonian, remedy nor dataset, and images not on their number: the
        first K of one shuffled order are stored. What is compared at different T, P or K is compared on the same patterns and
        the same examples; unsupervised, and for examples that are images, on the same first examples at every M."""
        known = self.parameters()
        names = ("patterns",) if self.array is not None else ("n_spins", "n_patterns")
        names = self.images.disorder_names if self.images is not None else names
        return digest({name: known[name] for name in names})

    def draw(self, seed: int, disorder: int = 0) -> Instance:
        """One disorder sample; see `disorder_key` for who shares it."""
        seed = check_integer("seed", seed, 0)
        disorder = check_integer("disorder", disorder, 0, 2**32 - 1)
        stream = generator(seed, Purpose.DISORDER, self.disorder_key, disorder)
        sample = None if self.images is None else self.images.draw(stream)
        if sample is not None:
            bits = pack(sample.patterns)
        else:
            bits = rademacher(self.n_patterns, self.n_spins, stream) if self._given is None else self._given
        law, stored, averages, learned = self.law, None, None, None
        if law.protocol == "supervised":
            averages = self._averages(bits, sample, stream)
            learned = averages.row(0) / (law.r * (1 + law.rho))
        elif law.protocol == "unsupervised":
            stored = self._examples(bits, sample, stream)
            average = np.mean([stored.pattern(a) for a in range(law.n_examples)], axis=0)
            learned = average / (law.r * (1 + law.rho))
        if self.remedy != "none":
            rows = averages.values() if averages is not None else (bits if stored is None else stored).unpack()
            averages = Averages.of(self._remedied(rows))
        if averages is not None:
            instance = AveragedInstance(self, bits, averages, learned, self.fields, disorder)
        else:
            instance = Instance(self, bits, self.fields, disorder, stored, learned)
        instance.images = sample
        return instance

    def _averages(self, bits: BitPatterns, sample: ImageSample | None, stream: np.random.Generator) -> Averages:
        if self.examples is not None:
            return self.examples.averages
        if self.has_archetypes:
            return Averages.of(sample.examples.mean(axis=1), self.law.n_examples)
        return Averages.draw(self.law, bits, stream)

    def _examples(self, bits: BitPatterns, sample: ImageSample | None, stream: np.random.Generator) -> BitPatterns:
        """All examples as rows, pattern by pattern."""
        if self.examples is not None:
            return self.examples.bits
        if self.has_archetypes:
            return pack(sample.examples.reshape(-1, self.n_spins))
        return noisy_copies(bits, self.law.n_examples, (1 - self.law.r) / 2, stream)

    def _remedied(self, rows: np.ndarray) -> np.ndarray:
        return whitened(rows) if self.remedy == "whitened" else rows - self.images.mean_image

    @property
    def has_archetypes(self) -> bool:
        """Whether images are examples of archetypes."""
        return self.images is not None and self.images.archetypes is not None

    @property
    def has_real_rows(self) -> bool:
        """Whether what is stored are real numbers, not signs."""
        return self.protocol == "supervised" or self.remedy != "none"

    @property
    def n_cues(self) -> float:
        """How many replicas start = "example" can serve: fresh examples are without number, held-out images are not, and
        patterns stored without a dataset, or with one of unknown r, have none."""
        if self.has_archetypes:
            return self.images.archetypes.n_cues
        return 0 if self.protocol == "storage" or (self.law.gaussian and self.law.r == 1.0) else math.inf

    @property
    def has_dataset(self) -> bool:
        return self.protocol != "storage"

    @property
    def n_stored(self) -> int:
        return self.n_patterns * (self.law.n_examples if self.protocol == "unsupervised" else 1)

    def pairs_per_sweep(self) -> float:
        """As in `Model`; a pair with a real entry costs about 2 P of those with a bit."""
        return super().pairs_per_sweep() * (2 * self.p_body if self.has_real_rows else 1)

    def bytes_needed(self, replicas: int) -> int:
        if not self.has_real_rows:
            return super().bytes_needed(replicas) * (2 if self.protocol == "unsupervised" else 1)  # copies while drawing
        entries = self.n_spins * self.n_stored
        drawing = 24 * entries if self.remedy != "none" else 0  # rows before and after, in floating point
        return entries * 17 // 8 + 8 * self.n_stored * self.p_body * (2 * replicas + 1) + drawing

    @property
    def planted_energy(self) -> float | None:
        """Mean energy per spin of the first of random patterns: its own term alone, the noise averages to zero.

        -f_N kappa/2 for distinct indices, with f_N = prod_{k<P}(1 - k/N) and kappa = `DenseLaw.signal` (without a dataset: 1).
        None for given patterns and images, with fields or a remedy, and for naive datasets with P > 2, where that mean is not
        known."""
        if self._given is not None or self.images is not None or self.fields is not None or self.remedy != "none":
            return None
        n = self.n_spins
        if self.protocol == "storage":
            return float(self.potential(np.array([float(n)]), np.array([n]))[0]) / n
        if self.hamiltonian == "naive" and self.p_body > 2:
            return None
        return -dilution_factor(n, self.p_body) * self.law.signal / 2

    @property
    def weight(self) -> float:
        """E = -weight sum F, with F = e_P or the centred P-th power of the overlaps of what is stored."""
        law, weight = self.law, float(self._prefactor)
        if self.remedy == "whitened":
            return weight  # the mean square is 1
        if self.remedy == "centred":
            copies = law.n_examples if law.protocol == "unsupervised" else 1
            return weight * self.images.centred_moment(law) ** (-self.p_body / 2) / copies
        spread = law.r**2 * (1 + law.rho)  # R
        if law.protocol == "supervised":
            weight *= spread ** (-self.p_body / 2)
        elif law.protocol == "unsupervised":
            tuples = law.r ** (2 * self.p_body) * (1 + law.tuple_entropy(self.p_body))  # R_P
            weight /= law.n_examples * (spread if self.p_body == 2 else math.sqrt(tuples))
        return weight

    @property
    def _prefactor(self) -> Fraction:
        """weight of stored patterns."""
        n, p = self.n_spins, self.p_body
        return Fraction(math.factorial(p) if self.hamiltonian == "distinct" else 1, 2 * n ** (p - 1))

    def tables(self, counts: np.ndarray) -> Tables:
        if self.hamiltonian == "naive":
            def values(n):
                return [x**self.p_body for x in range(-n, n + 1, 2)]
        else:
            def values(n):
                return [_elementary_symmetric(x, n, self.p_body) for x in range(-n, n + 1, 2)]
        return tabulate(values, counts, -self.weight, centred=True)

    def potential(self, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        p, n = self.p_body, np.asarray(counts, float)
        if self.hamiltonian == "distinct":
            lower, polynomial = np.ones_like(x), np.array(x, float)
            for k in range(1, p):
                lower, polynomial = polynomial, (x * polynomial - (n - k + 1) * lower) / (k + 1)
        else:
            means = {int(k): float(uniform_mean([x**p for x in range(-int(k), int(k) + 1, 2)])) for k in np.unique(counts)}
            polynomial = x**p - np.array([means[int(k)] for k in counts])
        return -self.weight * polynomial


def _elementary_symmetric(x: int, n: int, p: int) -> int:
    """e_p of n signs whose sum is x, exactly: (k+1) e_{k+1} = x e_k - (n-k+1) e_{k-1}."""
    lower, value = 1, x
    for k in range(1, p):
        lower, value = value, (x * value - (n - k + 1) * lower) // (k + 1)
    return value
