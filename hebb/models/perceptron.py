"""Perceptrons with binary weights in weight space: the spins are the weights w, the patterns are labelled examples.

    first task    E(w) = sum_mu V(D_mu) ,   D_mu = x_mu/sqrt(N) ,   x_mu = y_mu sum_i xi_i^mu w_i ,   weight exp(-E/T)
    second task   the same on examples of its own, with the weight exp(-E/T + coupling sum_i w_i w'_i)

xi = +-1 are random inputs, D is the stability of an example and V its cost (`hebb.params.PerceptronLaw`). Labels are those of a
teacher, y = sgn(xi . W), or random. The stored rows are y_mu xi^mu. w' is a configuration of the first task, the teacher of the
second task is W2_i = B_i W_i with P(B = +-1) = (1 +- r_0)/2, and the coupling enters a chain as the field T coupling w'_i.

Ties exist for even N alone. An example that its teacher leaves at xi . W = 0 is labelled +1 or -1 at random, and one that the
student leaves at D = 0 = kappa counts 1/2 among the violated ones.

Sources: Gardner and Derrida, J. Phys. A 21, 271 (1988); Gyorgyi, Phys. Rev. A 41, 7097 (1990); arXiv:2212.02846 (two tasks).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from ..errors import ParameterError
from ..params import LOSSES, PerceptronLaw, check_integer, check_real, digest, shown
from ..streams import Purpose, generator
from .base import Instance, SpinModel, Tables, kernel_module, tabulate
from .patterns import BitPatterns, as_numbers, pack, set_bits
from .reference import ReferenceChain

__all__ = ["BinaryPerceptron", "PerceptronInstance", "SecondTask", "SecondTaskInstance", "labelled", "number_at_load"]

_MOST_SPINS = 10**7
_MOST_EXAMPLES = 10**9


class PerceptronInstance(Instance):
    """One disorder sample of a perceptron: `patterns` (K, N) int8 are the rows y_mu xi^mu, `teacher` (N,) int8 or None."""

    def __init__(self, model: SpinModel, bits: BitPatterns, teacher: np.ndarray | None, fields=None, disorder: int = 0):
        super().__init__(model, bits, fields, disorder)
        self.teacher = teacher

    def kernel(self, instruction_set: str | None = None):
        """A fresh compiled kernel on this disorder: of overlaps kept bit by bit where the loss allows it, the same chain."""
        kernels = kernel_module()
        if kernels.bends(self.tables) is None:
            return super().kernel(instruction_set)
        return kernels.StepKernel(self.bits.minus, self.n_patterns, self.tables, self.condensed, self.fields, instruction_set)

    @property
    def condensed(self) -> np.ndarray:
        """(N,) int8: the teacher of the task that is being learned; zeros where there is none."""
        return np.zeros(self.n_spins, np.int8) if self.teacher is None else self.teacher


class SecondTaskInstance(PerceptronInstance):
    """One disorder sample of a second task.

    patterns: those of the second task. teacher, teacher2: (N,) int8, of the first and the second task. reference: (N,) int8,
    the weights w' of the first task, None until a temperature is known (`at`). first: the sample of the first task.
    `fields` and `energy` hold the coupling once there is a reference: E(w) - T coupling w.w'.
    """

    def __init__(self, model: SecondTask, bits: BitPatterns, first: PerceptronInstance, teacher2: np.ndarray,
                 reference: np.ndarray | None = None, temperature: float = 0.0, disorder: int = 0):
        fields = None if reference is None else temperature * model.coupling * reference
        super().__init__(model, bits, first.teacher, fields, disorder)
        self.first, self.teacher2, self.reference = first, teacher2, reference
        self._prepared_for: tuple[float, int] | None = None  # temperature and seed of the reference

    @property
    def condensed(self) -> np.ndarray:
        return self.teacher2

    def at(self, temperature: float, seed: int) -> SecondTaskInstance:
        """This sample with the reference and the fields of a temperature. A sampled reference is the last state of its
        `preparation`, the same whatever the second task is. Cost: reference_sweeps sweeps, none where this is it already."""
        if self._prepared_for == (temperature, seed):
            return self
        if self.model.reference is not None:
            return self.with_reference(self.model.reference, temperature, seed)
        preparation = self.preparation(temperature, seed)
        preparation.advance(self.model.reference_sweeps)
        return preparation.instance

    def preparation(self, temperature: float, seed: int) -> ReferenceChain | None:
        """The chain that a sampled reference is drawn by; None where the reference is given."""
        return ReferenceChain(self, float(temperature), seed) if self.model.reference is None else None

    def with_reference(self, reference: np.ndarray, temperature: float, seed: int) -> SecondTaskInstance:
        """This sample with this reference (N,), which is then the one of this temperature and seed."""
        found = SecondTaskInstance(self.model, self.bits, self.first, self.teacher2, reference, temperature, self.disorder)
        found._prepared_for = (temperature, seed)
        return found


class BinaryPerceptron(SpinModel):
    """A perceptron of n_spins binary weights that learns K examples.

    n_spins: N, from 2 to 10^7. alpha: K/N, with alpha N >= 1; K is rounded to an integer, of which the attribute is.
        n_patterns: K instead.
    loss: "violations" | "hinge" | "quadratic" with the margin kappa (`hebb.params.PerceptronLaw`), or any function of the
        stability: a callable V(D), or its N + 1 values at x = -N, -N+2, ..., N, D = x/sqrt(N). kappa then only says which
        examples count as violated, D < kappa. Where the values are no integers the kernel rounds them to one part in 2^28 of
        the largest change of energy (`Tables.exact`).
    labels: "teacher", or "random", the storage problem.
    patterns: an array (K, N) of +-1 instead of random examples, the rows y_mu xi^mu; they have the teacher that is given, or
        labels = "random". teacher: (N,) of +-1, the same in all disorder samples; by default one is drawn for each.
    Samples of the same seed share teacher and examples between losses, margins and temperatures, and the examples of a lower
    alpha are the first ones of a higher. Ties of even N: see the module.

    Starts: "random" for equilibrium. "teacher" (the same as "planted") has no error, and the cost of leaving it by a single
    flip grows as alpha sqrt(N): it holds chains for times that grow exponentially where it is not the equilibrium (N = 1001,
    alpha = 1, T = 1: longer than 5000 sweeps). For the same reason chains of "violations" slow down as N grows: the
    autocorrelation time of r at T = 1 is 18, 99, 500 sweeps at N = 301, 1001, 3001 for alpha = 1, and 63, 300, 1800 for alpha =
    1.5. Raises ParameterError. Nothing is drawn before `draw`.
    """

    kind = "perceptron"
    KEYS = ("n_spins", "alpha", "n_patterns", "loss", "kappa", "labels")
    loads = ("alpha",)
    centred = False

    def __init__(self, n_spins=None, alpha=None, n_patterns=None, loss="violations", kappa=0.0, labels="teacher",
                 patterns=None, teacher=None):
        self._given: BitPatterns | None = None
        self.array: np.ndarray | None = None
        if patterns is not None:
            self._given = pack(patterns)
            if self._given.nonzero is not None:
                raise ParameterError("patterns of a perceptron are rows y xi of +-1, and these have zeros; give signs, for "
                                     "example 2*patterns - 1 of bits")
            self.array = self._given.unpack()
            if labels == "teacher" and teacher is None:
                raise ParameterError("patterns without their teacher; give it as an array (N,) of +-1, or labels = 'random'")
            for name, value, found in (("n_spins", n_spins, self._given.n_spins),
                                       ("n_patterns", n_patterns, self._given.n_patterns), ("alpha", alpha, None)):
                if value is not None and (found is None or np.ndim(value) or value != found):
                    raise ParameterError(f"{name} = {shown(value)} beside patterns, which have their own; leave {name} out")
            n_spins, n_patterns = self._given.n_spins, self._given.n_patterns
        self.n_spins = check_integer("n_spins", n_spins, 2, _MOST_SPINS)
        self.n_patterns = _number_of_examples(alpha, n_patterns, self.n_spins)
        named = isinstance(loss, str)
        if not named and not callable(loss) and not np.ndim(loss):
            raise ParameterError(f"loss = {shown(loss)} is neither one of {', '.join(LOSSES)} nor a function of the stability "
                                 "(a callable, or an array of its n_spins + 1 values)")
        self.law = PerceptronLaw.from_keywords(loss, kappa, labels) if named else None  # None: tabulated
        self._violations = PerceptronLaw.from_keywords("violations", kappa, labels)
        self.kappa, self.labels = self._violations.kappa, self._violations.labels
        self.loss = loss if named else "tabulated"
        self.values = None if named else _tabulated(loss, self.n_spins)
        self.teacher = None if teacher is None else _checked_signs("teacher", teacher, self.n_spins)
        if self.labels == "random" and teacher is not None:
            raise ParameterError("labels = 'random' beside a teacher, which would give its own; leave one of them out")
        self.memory_bytes()

    @property
    def alpha(self) -> float:
        """K/N of the integer number of examples."""
        return self.n_patterns / self.n_spins

    @classmethod
    def loads_of(cls, parameters: Mapping) -> dict[str, float]:
        return {"alpha": parameters["n_patterns"] / parameters["n_spins"]}

    @property
    def starts(self) -> tuple[str, ...]:
        return ("planted", "teacher", "random", "corrupted") if self.labels == "teacher" else ("random",)

    def parameters(self) -> dict:
        known = {"kind": self.kind, "n_spins": self.n_spins, "n_patterns": self.n_patterns, "loss": self.loss,
                 "kappa": self.kappa, "labels": self.labels}
        arrays = {"values": self.values, "patterns": self.array, "teacher": self.teacher}
        return known | {name: array for name, array in arrays.items() if array is not None}

    @property
    def disorder_key(self) -> str:
        known = self.parameters()
        return digest({name: known[name] for name in ("kind", "n_spins", "labels", "patterns", "teacher") if name in known})

    def caution(self, start) -> str:
        """The default start is a trap here: see the class."""
        if not isinstance(start, str) or start != "planted":
            return ""
        return ("start = 'planted' begins in the teacher, which single flips may not leave for very long though it is not the "
                "equilibrium; for that use start = 'random', or start = 'teacher' if it is meant")

    def summary(self) -> str:
        if self.n_spins % 2:
            return ""
        return (f"n_spins = {self.n_spins} is even: examples that the teacher leaves tied are labelled at random, and one that "
                "the student leaves tied counts 1/2 among the violated ones at kappa = 0")

    def draw(self, seed: int, disorder: int = 0) -> PerceptronInstance:
        """One disorder sample: the teacher, then its examples (`labelled`)."""
        seed = check_integer("seed", seed, 0)
        disorder = check_integer("disorder", disorder, 0, 2**32 - 1)
        stream = generator(seed, Purpose.DISORDER, self.disorder_key, disorder)
        teacher = self.teacher
        if self.labels == "teacher" and teacher is None:
            teacher = _signs(self.n_spins, stream)
        bits = self._given or labelled(self.n_patterns, self.n_spins, teacher, stream)
        return PerceptronInstance(self, bits, teacher, disorder=disorder)

    def bytes_needed(self, replicas: int) -> int:
        """As in `Model`, with the copies made while drawing and the tables."""
        columns = self.n_spins * 8 * -(-self.n_patterns // 64)
        return super().bytes_needed(replicas) + 2 * columns + self.n_spins * (160 + 32 * replicas)

    def cost(self, x: np.ndarray) -> np.ndarray:
        """V of the integers x = sqrt(N) D, in -N, -N+2, ..., N."""
        if self.law is not None:
            return self.law.cost(x / math.sqrt(self.n_spins))
        return self.values[(np.rint(x).astype(np.int64) + self.n_spins) // 2]

    def violated(self, x: np.ndarray) -> np.ndarray:
        """1 where D < kappa, 1/2 at a tie D = kappa = 0, else 0."""
        return self._violations.cost(x / math.sqrt(self.n_spins))

    def potential(self, x: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return self.cost(x)

    def tables(self, counts: np.ndarray) -> Tables:
        row, weight = self._table()
        return tabulate(lambda n: row, counts, weight, centred=False)

    def _table(self) -> tuple[list, float]:
        """V/weight at x = -N, -N+2, ..., N, in integers where there are any."""
        n = self.n_spins
        if self.kappa == 0 and self.loss == "violations":
            return [(x <= 0) + (x < 0) for x in range(-n, n + 1, 2)], 0.5
        if self.kappa == 0 and self.law is not None:
            power = 2 if self.loss == "quadratic" else 1
            return [max(-x, 0) ** power for x in range(-n, n + 1, 2)], n ** (-power / 2)
        values = self.cost(np.arange(-n, n + 1, 2)).tolist()
        if all(value.is_integer() for value in values):
            return [int(value) for value in values], 1.0
        return [Fraction(value) for value in values], 1.0


class SecondTask(BinaryPerceptron):
    """A perceptron that learns a second task while it is held to weights of the first: weight exp(-E/T + coupling w.w').

    first: the `BinaryPerceptron` of the first task, with a teacher. Both tasks have its loss, kappa and n_spins.
    alpha, n_patterns: of the second task, whose inputs are new. teacher_correlation: r_0 in [-1, 1], see the module.
    coupling: >= 0. At 0 the chain is that of the second task alone.
    reference: "sample", drawn for every disorder sample and temperature by a chain of the first task (reference_sweeps sweeps
        from a random start; give more where the first task relaxes slowly, see `BinaryPerceptron`), shared by all replicas
        and all second tasks; or an array (N,) of +-1.
    Temperatures are > 0. Energies that are reported leave the coupling out; `Instance.energy` of a sample as drawn does, too,
    and of the sample with a reference (`SecondTaskInstance.at`) has it. Samples of one seed share the first task, the inputs
    (nested in alpha) and the numbers behind B between all r_0 and couplings. Raises ParameterError. Cost beside the chain's:
    reference_sweeps sweeps of the first task for every disorder sample and temperature. A run keeps them in its checkpoints.
    """

    kind = "second_task"
    KEYS = ("n_spins", "first_alpha", "alpha", "teacher_correlation", "coupling", "loss", "kappa", "reference_sweeps")
    loads = ("first_alpha", "alpha")
    follows_temperature = True
    starts = ("planted", "teacher", "reference", "random", "corrupted")

    def __init__(self, first, alpha=None, teacher_correlation=0.0, coupling=0.0, reference="sample", reference_sweeps=5000,
                 n_patterns=None):
        if type(first) is not BinaryPerceptron:
            raise ParameterError(f"first = {shown(first)} is not the model of a first task; give a models.BinaryPerceptron")
        if first.labels != "teacher":
            raise ParameterError(f"first has labels = {first.labels!r}: the teacher of a second task is correlated with that "
                                 "of the first; give a first task with labels = 'teacher'")
        self.first = first
        self.teacher_correlation = check_real("teacher_correlation", teacher_correlation, -1.0, 1.0)
        self.coupling = check_real("coupling", coupling, 0.0, 1e6)
        self.reference_sweeps = check_integer("reference_sweeps", reference_sweeps, 1, 10**9)
        if isinstance(reference, str) and reference != "sample":
            raise ParameterError(f"reference = {reference!r} is neither 'sample' nor an array (N,) of +-1")
        sampled = isinstance(reference, str)
        self.reference = None if sampled else _checked_signs("reference", reference, first.n_spins)  # None: sampled
        super().__init__(first.n_spins, alpha, n_patterns, first.loss if first.values is None else first.values, first.kappa)

    @classmethod
    def from_keys(cls, n_spins, first_alpha, alpha, teacher_correlation, coupling, loss="violations", kappa=0.0,
                  reference_sweeps=5000) -> SecondTask:
        """The model of a job file's keys."""
        n_spins = check_integer("n_spins", n_spins, 2, _MOST_SPINS)
        number = number_at_load("first_alpha", first_alpha, n_spins)
        first = BinaryPerceptron(n_spins, n_patterns=number, loss=loss, kappa=kappa)
        return cls(first, alpha, teacher_correlation, coupling, reference_sweeps=reference_sweeps)

    @property
    def first_alpha(self) -> float:
        """K/N of the first task."""
        return self.first.alpha

    @classmethod
    def loads_of(cls, parameters: Mapping) -> dict[str, float]:
        return {"first_alpha": parameters["first_n_patterns"] / parameters["n_spins"], **super().loads_of(parameters)}

    def parameters(self) -> dict:
        known = super().parameters() | {"teacher_correlation": self.teacher_correlation, "coupling": self.coupling,
                                        "first_n_patterns": self.first.n_patterns}
        known |= {"reference_sweeps": self.reference_sweeps} if self.reference is None else {"reference": self.reference}
        given = {f"first_{name}": array for name, array in (("patterns", self.first.array), ("teacher", self.first.teacher))
                 if array is not None}
        return known | given

    @property
    def disorder_key(self) -> str:
        return digest({"kind": self.kind, "first": self.first.disorder_key})

    def draw(self, seed: int, disorder: int = 0) -> SecondTaskInstance:
        """One disorder sample: that of the first task as `first.draw` has it, then B and the examples of the second task."""
        first = self.first.draw(seed, disorder)
        stream = generator(check_integer("seed", seed, 0), Purpose.DISORDER, self.disorder_key, first.disorder)
        keep = stream.random(self.n_spins) < (1 + self.teacher_correlation) / 2
        teacher2 = np.where(keep, first.teacher, -first.teacher)
        bits = labelled(self.n_patterns, self.n_spins, teacher2, stream)
        return SecondTaskInstance(self, bits, first, teacher2, disorder=first.disorder)

    @property
    def preparation_pairs(self) -> float:
        """Spin-pattern pairs of drawing the reference."""
        return 0.0 if self.reference is not None else self.reference_sweeps * self.first.pairs_per_sweep()

    def bytes_needed(self, replicas: int) -> int:
        """As in `Model`, both tasks."""
        return super().bytes_needed(replicas) + self.first.bytes_needed(1)


def labelled(n_examples: int, n_spins: int, teacher: np.ndarray | None, stream: np.random.Generator) -> BitPatterns:
    """K rows y_mu xi^mu of random inputs with the labels y = sgn(xi . teacher), +-1 at random where that vanishes; without a
    teacher, random rows. Drawn in blocks of 64 examples: the first ones do not depend on how many follow. Cost: K N / 64 draws
    and about ten times as many operations on words."""
    words = stream.integers(0, 2**64, size=(-(-n_examples // 64), n_spins + 1), dtype=np.uint64)
    spare = -n_examples % 64
    words[-1] &= np.uint64((1 << (64 - spare)) - 1)
    coins = words[:, -1].astype("<u8").view(np.uint8)
    columns = np.ascontiguousarray(words[:, :-1].T).astype("<u8", copy=False).view(np.uint8)
    if teacher is None:
        return BitPatterns(columns, None, n_examples)
    other = np.where(teacher < 0, np.uint8(255), np.uint8(0))[:, None]  # where the input differs from the teacher
    sums = n_spins - 2 * set_bits(columns ^ other)[:n_examples]
    below, tied = (np.packbits(found, bitorder="little") for found in (sums < 0, sums == 0))
    flips = np.zeros(columns.shape[1], np.uint8)
    flips[:len(below)] = below | tied & coins[:len(below)]
    return BitPatterns(columns ^ flips, None, n_examples)


def _signs(n: int, stream: np.random.Generator) -> np.ndarray:
    return 1 - 2 * stream.integers(0, 2, n, dtype=np.int8)


def _checked_signs(name: str, values, n_spins: int) -> np.ndarray:
    signs = as_numbers(name, values)
    if signs.shape != (n_spins,):
        raise ParameterError(f"{name} of shape {signs.shape} is not +-1 of shape ({n_spins},); give one sign for each spin")
    if not np.all(np.abs(signs) == 1):
        wrong = int(np.flatnonzero(np.abs(signs) != 1)[0])
        raise ParameterError(f"{name}[{wrong}] = {signs[wrong]:g} is not -1 or +1; give one sign for each spin")
    return signs.astype(np.int8)


def _number_of_examples(alpha, n_patterns, n_spins: int) -> int:
    if (alpha is None) == (n_patterns is None):
        state = "neither" if alpha is None else f"alpha = {shown(alpha)} and n_patterns = {shown(n_patterns)}"
        raise ParameterError(f"{state} given; give exactly one of alpha (K/N) and n_patterns (a number)")
    if n_patterns is not None:
        return check_integer("n_patterns", n_patterns, 1, _MOST_EXAMPLES)
    return number_at_load("alpha", alpha, n_spins)


def number_at_load(name: str, alpha, n_spins: int) -> int:
    """The integer K nearest to alpha N >= 1. Raises ParameterError."""
    alpha = check_real(name, alpha, 0.0, _MOST_EXAMPLES / n_spins, open_low=True, remedy="it is the number of examples over "
                       "n_spins")
    if alpha * n_spins < 1 - 1e-9:
        raise ParameterError(f"{name} = {alpha:g} on {n_spins} spins is less than one example; give at least "
                             f"{1 / n_spins:.3g}, or a larger n_spins")
    return round(alpha * n_spins)


def _tabulated(loss, n_spins: int) -> np.ndarray:
    """V at x = -N, -N+2, ..., N."""
    if callable(loss):
        loss = [loss(x / math.sqrt(n_spins)) for x in range(-n_spins, n_spins + 1, 2)]
    values = as_numbers("loss", loss)
    if values.shape != (n_spins + 1,) or not np.all(np.isfinite(values)):
        raise ParameterError(f"loss of shape {values.shape} is not {n_spins + 1} finite numbers, the costs at x = -{n_spins}, "
                             f"-{n_spins - 2}, ..., {n_spins}")
    return values
