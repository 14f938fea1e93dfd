"""What is measured on the configurations of a chain, spin by spin: one observer for each kind of model."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..models.base import Instance, SpinModel
from ..models.learning import AveragedInstance
from ..params import MultitaskLaw
from .recognition import Recogniser

__all__ = ["DenseObserver", "MultitaskObserver", "PerceptronObserver", "SecondTaskObserver", "observer_class", "of_rows"]

_BLOCK = 2**20  # spins whose products are summed in single precision, which is exact up to 2^24 terms of +-1


class DenseObserver:
    """Observables of a dense network: "m", "abs_m", "n", "energy", "energy_cv" (R,) and "q", "abs_q" (pairs,).

    m is the signed overlap with the condensed pattern, n that with its average example over r (1 + rho), left out without a
    dataset. Energies are per spin; energy_cv is the energy minus that of the planted configuration in the same sample plus
    the mean of the latter over samples (`Dense.planted_energy`): the same mean as energy with a far smaller scatter near the
    planted state; it is left out where that mean is not known (given patterns, images, fields). Pairs run (0,1), (0,2), ...
    With start = "example" also those of `Recogniser`.
    """

    follows_start = True  # theory describes the planted state: chains that leave it are told apart

    def __init__(self, instance: Instance, kernel, planted: np.ndarray, spins: np.ndarray, start):
        """planted (N,) and spins (R, N): the planted configuration and the starts; the kernel is left with the former."""
        self.instance = instance
        kernel.load(planted[None])
        self._planted_energy = float(kernel.energy[0])
        self._recogniser = Recogniser(instance, spins) if isinstance(start, str) and start == "example" else None

    @staticmethod
    def numbers(model: SpinModel, replicas: int, start) -> int:
        """How many numbers one measurement takes, at most."""
        from_cue = isinstance(start, str) and start == "example"
        return replicas * (4 + model.has_dataset + 3 * from_cue) + replicas * (replicas - 1)

    def measure(self, kernel) -> dict[str, np.ndarray]:
        """The observables of the configurations that a kernel holds."""
        n, model = self.instance.n_spins, self.instance.model
        m = kernel.first_overlap / n
        energy = kernel.energy / n
        spins = kernel.spins.astype(np.float32)  # products and sums of +-1 are exact up to 2^24 spins
        q = np.array([float(np.dot(spins[a], spins[b])) / n for a, b in itertools.combinations(range(len(spins)), 2)])
        seen = {"m": m, "abs_m": np.abs(m), "energy": energy, "q": q, "abs_q": np.abs(q)}
        if self.instance.learned is not None:
            seen["n"] = spins @ self.instance.learned / n
        if self._recogniser is not None:
            seen |= self._recogniser.measure(spins)
        if model.planted_energy is not None:
            seen["energy_cv"] = energy + (model.planted_energy - self._planted_energy / n)
        return seen


class MultitaskObserver:
    """Observables of a multitasking network: "m", "n" (R, K), "energy", "loss", "product_loss" (R,) and "q" (pairs,).

    m: signed overlaps (1/N) sum_i xi_i^mu s_i with the archetypes, in the order drawn; |m| <= 1 - d but for fluctuations.
    n: overlaps with the averages of their examples over r (1 + rho), left out without a dataset. energy: H/N, self-terms
    included. loss, product_loss: see `of_rows`; up to a constant of the sample product_loss is 2 H/(scale N), loss is not.
    """

    follows_start = False  # a change of state is legitimate, and theory is compared on the state that a chain is in

    def __init__(self, instance: Instance, kernel, planted: np.ndarray, spins: np.ndarray, start):
        law, n = instance.model.law, instance.n_spins
        self.instance = instance
        self._archetypes = instance.patterns.T.astype(np.float32)
        self._averages = None  # integers, in double precision: their sums are exact
        if isinstance(instance, AveragedInstance):
            averages = instance.averages
            self._averages = averages.columns[:, :averages.n_patterns].astype(float)
            self._unit = averages.unit / (n * math.sqrt(law.second_moment))
            self._squares = np.sum(self._averages**2, axis=0) * self._unit**2 * n
        else:
            self._unit = 1 / (n * math.sqrt(law.second_moment))
            self._squares = instance.stored_bits.counts() / (n * law.second_moment)

    @staticmethod
    def numbers(model: SpinModel, replicas: int, start) -> int:
        """How many numbers one measurement takes."""
        return replicas * (3 + model.n_patterns * (1 + model.has_dataset)) + replicas * (replicas - 1) // 2

    def measure(self, kernel) -> dict[str, np.ndarray]:
        """The observables of the configurations that a kernel holds. Cost O(R N K)."""
        n, law, spins = self.instance.n_spins, self.instance.model.law, kernel.spins
        m, q, rows = 0.0, 0.0, 0.0
        for first in range(0, n, _BLOCK):
            block = slice(first, first + _BLOCK)
            signs = spins[:, block].astype(np.float32)
            m = m + (signs @ self._archetypes[block]).astype(float)
            q = q + (signs @ signs.T).astype(float)
            if self._averages is not None:
                rows = rows + signs.astype(float) @ self._averages[block]
        g = self._unit * (kernel.overlaps if self._averages is None else rows)
        return {"m": m / n, "energy": kernel.energy / n,
                "q": q[np.triu_indices(len(q), 1)] / n} | of_rows(law, g, self._squares)


def of_rows(law: MultitaskLaw, g: np.ndarray, squares: np.ndarray) -> dict[str, np.ndarray]:
    """"loss", "product_loss" (R,) and, with a dataset, "n" (R, K): what is known from the stored rows y alone.

    g: (R, Q) their overlaps (1/N) sum_i y_i s_i. squares: (Q,) their mean squares a = (1/N) sum_i y_i^2.
    The losses are sum_mu L_-^mu and sum_mu L_+^mu L_-^mu of L_+- = (1/2N) sum_i (y_i +- s_i)^2 = (1 + a)/2 +- g, averaged over
    the examples of a pattern where each of them is a row.
    H = -scale (N/2) sum_mu [((1 + a)/2)^2 - L_+ L_-], so that the product of the losses has the landscape of H, and their
    plain sum, const - sum_mu g, has not.
    """
    half, copies = (1 + squares) / 2, g.shape[1] // law.n_patterns
    seen = {"loss": np.sum(half - g, axis=1) / copies, "product_loss": np.sum(half**2 - g**2, axis=1) / copies}
    if law.protocol != "storage":
        seen["n"] = g.reshape(len(g), law.n_patterns, copies).mean(axis=2) / math.sqrt(1 + law.rho)
    return seen


class PerceptronObserver:
    """Observables of a perceptron, (R,) each, and "q" (pairs,) of the weights of two replicas.

    "r": overlap (1/N) sum_i W_i w_i with the teacher, and "generalization_error" = arccos(r)/pi; left out for random labels.
    "training_error": share of the violated examples, D < kappa (a tie of even N at kappa = 0 counts 1/2). "loss": E/K, per
    example, left out for the loss "violations", of which it is the training error. "energy": E/N.
    """

    follows_start = False  # the teacher is no metastable state: chains that leave it are on their way

    def __init__(self, instance: Instance, kernel, planted: np.ndarray, spins: np.ndarray, start):
        self.instance = instance
        self._teachers = self._known(instance)

    @staticmethod
    def _known(instance: Instance) -> dict[str, np.ndarray]:
        return {} if instance.teacher is None else {"r": instance.teacher.astype(np.float32)}

    @staticmethod
    def numbers(model: SpinModel, replicas: int, start) -> int:
        """How many numbers one measurement takes."""
        teachers = 2 if model.kind == "second_task" else int(model.labels == "teacher")
        of_replica = 2 * teachers + (model.kind == "second_task") + 2 + (model.loss != "violations")
        return replicas * of_replica + replicas * (replicas - 1) // 2

    def measure(self, kernel) -> dict[str, np.ndarray]:
        """The observables of the configurations that a kernel holds. Cost O(R (N + K))."""
        model, n = self.instance.model, self.instance.n_spins
        x, spins = kernel.overlaps.astype(float), kernel.spins.astype(np.float32)  # sums of +-1 are exact up to 2^24 spins
        energy = np.sum(model.cost(x), axis=1)
        seen = {name: (spins @ weights).astype(float) / n for name, weights in self._teachers.items()}
        seen |= {_ERRORS[name]: np.arccos(r) / np.pi for name, r in seen.items() if name in _ERRORS}
        seen |= {"energy": energy / n, "training_error": np.mean(model.violated(x), axis=1),
                 "q": (spins @ spins.T).astype(float)[np.triu_indices(len(spins), 1)] / n}
        return seen if model.loss == "violations" else seen | {"loss": energy / model.n_patterns}


_ERRORS = {"r": "generalization_error", "r1": "error_task1", "r2": "error_task2"}


class SecondTaskObserver(PerceptronObserver):
    """Observables of a second task: "r1", "r2" (overlaps with the two teachers), "error_task1", "error_task2" (arccos of them
    over pi), "overlap_reference" (with the weights w' of the first task) and those of `PerceptronObserver` but "r" and
    "generalization_error". The training error, loss and energy are those of the second task alone, without the coupling.
    Constant along a chain, but of this sample: "reference_r1", "reference_r2" = w'.W1/N, w'.W2/N, "teacher_overlap" = W1.W2/N.
    """

    def __init__(self, instance: Instance, kernel, planted: np.ndarray, spins: np.ndarray, start):
        super().__init__(instance, kernel, planted, spins, start)
        teacher, teacher2, reference = (a.astype(int) for a in (instance.teacher, instance.teacher2, instance.reference))
        self._constants = {"reference_r1": teacher @ reference, "reference_r2": teacher2 @ reference,
                           "teacher_overlap": teacher @ teacher2}

    @staticmethod
    def _known(instance: Instance) -> dict[str, np.ndarray]:
        weights = {"r1": instance.teacher, "r2": instance.teacher2, "overlap_reference": instance.reference}
        return {name: array.astype(np.float32) for name, array in weights.items()}

    @staticmethod
    def numbers(model: SpinModel, replicas: int, start) -> int:
        """How many numbers one measurement takes."""
        return PerceptronObserver.numbers(model, replicas, start) + 3 * replicas

    def measure(self, kernel) -> dict[str, np.ndarray]:
        """The observables of the configurations that a kernel holds. Cost O(R (N + K))."""
        seen, n = super().measure(kernel), self.instance.n_spins
        return seen | {name: np.full(len(seen["r1"]), value / n) for name, value in self._constants.items()}


_OBSERVERS = {"dense": DenseObserver, "multitask": MultitaskObserver, "perceptron": PerceptronObserver,
              "second_task": SecondTaskObserver}


def observer_class(model: SpinModel) -> type[DenseObserver | MultitaskObserver | PerceptronObserver]:
    """The observer of the chains of a model."""
    return _OBSERVERS[model.kind]
