"""What gradient descent and Hamiltonian Monte Carlo of a `VariationalPerceptron` share: checks, starts, observables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from ..errors import ParameterError
from ..models.base import Model
from ..models.variational import VariationalPerceptron, VariationalSample
from ..params import check_choice, check_integer, digest, shown
from ..streams import Purpose, generator
from .options import SpinBySpin, refuse_options

__all__ = ["FieldChain", "one_per_task"]

#: theta of a start at the teacher: m = 0.96 W.
_TEACHER_FIELD = 2.0


class FieldChain(SpinBySpin):
    """R states theta (R, N) on one disorder sample, with the face of a `Chain`.

    instance: of a `VariationalPerceptron`. start: "random", theta normal with variance 1, on streams keyed like the disorder.
    seed, point, replicas: as in `Chain`. learning: a mapping, see the dynamics. options, corruption, order: of other dynamics.
    """

    dynamics: str
    starts: tuple[str, ...] = ("random",)

    def __init__(self, instance: VariationalSample, temperature: float, replicas: int, start, seed: int, point: str | None):
        model = instance.model
        self.instance, self.model, self.temperature = instance, model, float(temperature)
        point = point or digest({**model.parameters(), "temperature": self.temperature})
        self.point = point
        self._generators = [generator(seed, Purpose.DYNAMICS, point, instance.disorder, r) for r in range(replicas)]
        self.kernels = [instance.kernel(task) for task in range(model.n_tasks)]
        self._teachers = instance.teachers.astype(float)
        streams = [generator(seed, Purpose.START, model.disorder_key, instance.disorder, r) for r in range(replicas)]
        self.theta = self.starting(start, model.n_tasks - 1, streams)
        self.reference = np.zeros_like(self.theta)  # theta' of the present task
        self.sweeps_done = 0

    def starting(self, start: str, task: int, streams: list) -> np.ndarray:
        """theta, one row for each stream."""
        if start == "teacher":
            return np.tile(_TEACHER_FIELD * self._teachers[task], (len(streams), 1))
        return np.array([stream.standard_normal(self.model.n_spins) for stream in streams])

    @classmethod
    def check_common(cls, model: Model, *, replicas, start, corruption, dynamics, order, seed, options: Mapping) -> None:
        """Raise ParameterError for settings that neither of these dynamics can have."""
        check_choice("dynamics", dynamics, (cls.dynamics,))
        if not isinstance(model, VariationalPerceptron):
            raise ParameterError(f"dynamics = {dynamics!r} moves fields of a variational_perceptron model, not of a "
                                 f"{model.kind} model; use 'metropolis'")
        refuse_options(dynamics, options)
        check_integer("replicas", replicas, 1, 1024)
        check_integer("seed", seed, 0)
        if not isinstance(start, str) or start not in cls.starts:
            raise ParameterError(f"start = {shown(start)} with dynamics = {dynamics!r}: fields start "
                                 f"{' or '.join(map(repr, cls.starts))}; give start = 'random'")
        for name, value, usual in (("corruption", corruption, None), ("order", order, "random")):
            if value != usual:
                raise ParameterError(f"{name} = {shown(value)} has no meaning with dynamics = {dynamics!r}; leave it out")

    @staticmethod
    def numbers(model: Model, replicas: int, start) -> int:
        """How many numbers one measurement takes, at most."""
        return replicas * (6 * model.n_tasks + 3) + replicas * (replicas - 1) // 2

    def errors(self) -> np.ndarray:
        """Test errors (R, T) on all tasks."""
        return np.arccos(np.clip(self._signs @ self._teachers.T / self.model.n_spins, -1, 1)) / math.pi

    def observe(self, task: int) -> dict[str, np.ndarray]:
        """The observables of the present fields, `task` being the one that is learned; m = tanh(theta), T tasks.

        overlap (R, T): p = (1/N) W_t.sgn(m). r (R, T): (1/N) W_t.m. error (R, T): arccos(p)/pi, the test error of sgn(m).
        training_error (R, T): share of the examples of each task that sgn(m) gets wrong, ties 1/2. qd (R,): (1/N) m.m. q0
        (pairs,): (1/N) m_a.m_b of two replicas. loss (R,): -(1/M) sum ln Phi(u) of the present task. kl (R,): divergence from
        the reference of the present task per spin, in nats. Cost O(R N sum M_t).
        """
        n, m, signs = self.model.n_spins, np.tanh(self.theta), self._signs
        wrong = [[np.mean(np.heaviside(-kernel.overlaps(w), 0.5)) for kernel in self.kernels] for w in signs]
        return {
            "overlap": signs @ self._teachers.T / n,
            "r": m @ self._teachers.T / n,
            "error": self.errors(),
            "training_error": np.array(wrong),
            "qd": np.mean(m * m, axis=1),
            "q0": np.array([m[a] @ m[b] / n for a, b in itertools.combinations(range(len(m)), 2)]),
            "loss": np.array([self.kernels[task].loss(theta) for theta in self.theta]) / self.model.n_examples[task],
            "kl": np.array([self.kernels[task].divergence(*pair) for pair in
                            zip(self.theta, self.reference, strict=True)]) / n,
        }

    @property
    def _signs(self) -> np.ndarray:
        return np.where(self.theta < 0, -1.0, 1.0)

    @property
    def spins(self) -> np.ndarray:
        """(R, N) int8, sgn(m)."""
        return self._signs.astype(np.int8)

    @property
    def planted(self) -> np.ndarray:
        """(N,) int8, the teacher of the last task."""
        return self.instance.teachers[-1]

    @property
    def lost(self) -> bool:
        """False: there is no planted state."""
        return False


def one_per_task(name: str, value, number: int) -> list:
    """A value for each of `number` tasks, from one for all or a list of them. Raises ParameterError."""
    values = list(value) if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) else [value] * number
    if len(values) != number:
        raise ParameterError(f"{name} = {shown(value)} has {len(values)} entries for {number} tasks; give one for all, or one "
                             "per task")
    return values
