"""A perceptron with binary weights in field space, which learns a sequence of tasks (arXiv:2212.02846).

The weights are independent, w_i = +-1 with mean m_i = tanh(theta_i). By the central limit theorem such a perceptron gives an
input x its label y with probability Phi(u), u = y m.x/sqrt(sum_i (1 - m_i^2)), and learns task t by minimising

    L_t(m) = -sum_mu ln Phi(u_mu) + kl_t D(m||m') ,
    D(m||m') = sum_i { (1+m_i)/2 ln[(1+m_i)/(1+m'_i)] + (1-m_i)/2 ln[(1-m_i)/(1-m'_i)] } ,

m' the end of task t-1 (of the first task: m' = 0, the uniform prior). Its Gibbs measure at beta is exp(-beta L) on the flat
measure prod dm_i. Task t has M_t = alpha_t N random inputs with the labels y = sgn(W_t.x) of its teacher; W_t,i = B_i W_{t-1},i
with (1/N) sum B_i = r_0. Tests are made with the weights sgn(m): error arccos(p)/pi, p = (1/N) sum W sgn(m).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from ..errors import HebbError, ParameterError
from ..installation import build_command
from ..params import check_integer, check_real, digest, shown
from ..streams import Purpose, generator
from .base import Model, available_memory
from .perceptron import labelled, number_at_load

__all__ = ["VariationalPerceptron", "VariationalSample", "field_kernel"]

_MOST_SPINS = 10**7
_MOST_TASKS = 1000
_BLOCK = 512  # spins whose bits are transposed at once; a multiple of 64


def field_kernel():
    """The compiled kernel of learning, or one sentence on how to build it."""
    try:
        from hebb.kernels.field_learning import FieldKernel
    except ImportError as error:
        raise HebbError(f"the kernels are not compiled ({error}); `{build_command()}` compiles them") from None
    return FieldKernel


@dataclass(frozen=True, eq=False)
class VariationalSample:
    """One disorder sample.

    teachers: (T, N) int8. rows: for each task the bits (M_t, stride) of y x, example by example, as the kernel takes them.
    disorder is the number of the sample, which keys the streams of its chains.
    """

    model: VariationalPerceptron
    disorder: int
    teachers: np.ndarray
    rows: tuple[np.ndarray, ...]
    images = None  # no patterns made of images

    def examples(self, task: int) -> np.ndarray:
        """(M_t, N) int8: y x, the inputs times their labels. Eight times the memory of the bits."""
        return 1 - 2 * np.unpackbits(self.rows[task], axis=1, count=self.model.n_spins, bitorder="little").astype(np.int8)

    def kernel(self, task: int, instruction_set: str | None = None):
        """A fresh compiled kernel on the examples of a task."""
        return field_kernel()(self.rows[task], self.model.n_spins, instruction_set)

    def loss(self, theta, task: int = 0, reference=None):
        """L (a number) at theta (N,), real or complex; reference: theta' (N,), None for 0. The slow reference: from scratch."""
        theta = np.asarray(theta)
        m, prior = np.tanh(theta), np.tanh(np.zeros(len(theta)) if reference is None else np.asarray(reference))
        stability = (self.examples(task) @ m) / np.sqrt(np.sum(1 - m * m))
        divergence = sum(np.sum((1 + s * m) / 2 * (np.log1p(s * m) - np.log1p(s * prior))) for s in (1, -1))
        return -np.sum(log_ndtr(stability)) + self.model.kl[task] * divergence

    def gradient(self, theta, task: int = 0, reference=None) -> np.ndarray:
        """dL/dtheta (N,), from scratch."""
        theta = np.asarray(theta, float)
        m, prior = np.tanh(theta), np.zeros(len(theta)) if reference is None else np.asarray(reference)
        sigma, xi = 1 - m * m, self.examples(task).astype(float)
        width = np.sqrt(sigma.sum())
        u = xi @ m / width
        h = np.exp(-u * u / 2 - np.log(2 * np.pi) / 2 - log_ndtr(u))
        return sigma * (self.model.kl[task] * (theta - prior) - h @ (xi / width + np.outer(u, m) / width**2))


class VariationalPerceptron(Model):
    """A sequence of T tasks for a perceptron of n_spins binary weights in field space.

    n_spins: N, from 1 to 10^7. alpha: M/N of the tasks, one number or T of them, with alpha N >= 1; M_t is rounded to an
        integer.
    teacher_correlation: r_0 in [-1, 1] of each later task's teacher with the one before, one number or T - 1 of them. Which
        weights are turned is random, their number is not: the overlap of the teachers is r_0 to 1/N.
    kl: factor gamma >= 0 of the divergence in each task, one number or T of them.
    T is the longest of what is given (a lone teacher_correlation beside a lone alpha: two tasks of this alpha). In a job file a
    list sweeps its key, and a sequence is a list in a list: alpha = [[2.0, 1.0]].
    Samples depend on n_spins, alpha and teacher_correlation, not on kl. Examples that the teacher leaves at W.x = 0 (N even: a
    share sqrt(2/(pi N))) get a random label.
    Raises ParameterError. Nothing is drawn before `draw`.
    """

    kind = "variational_perceptron"
    KEYS = ("n_spins", "alpha", "teacher_correlation", "kl")
    dynamics = ("gradient", "hmc")

    def __init__(self, n_spins, alpha, teacher_correlation=(), kl=0.0):
        self.n_spins = check_integer("n_spins", n_spins, 1, _MOST_SPINS)
        alpha, teacher_correlation, kl = map(_listed, (alpha, teacher_correlation, kl))
        lengths = [len(values) for values in (alpha, kl) if isinstance(values, list)]
        if isinstance(teacher_correlation, list) or not isinstance(alpha, list):
            lengths.append(1 + (len(teacher_correlation) if isinstance(teacher_correlation, list) else 1))
        self.n_tasks = max(1, *lengths)
        if self.n_tasks > _MOST_TASKS:
            raise ParameterError(f"a sequence of {self.n_tasks} tasks is longer than {_MOST_TASKS}; give fewer")
        self.n_examples = self._one_per_task("alpha", alpha, lambda name, value: number_at_load(name, value, self.n_spins))
        self.teacher_correlation = self._one_per_task(
            "teacher_correlation", teacher_correlation, lambda name, value: check_real(name, value, -1.0, 1.0), later=True)
        self.kl = self._one_per_task("kl", kl, lambda name, value: check_real(name, value, 0.0, 1e6))

    def _one_per_task(self, name: str, values, checked: Callable, later: bool = False) -> tuple:
        """What `checked` makes of the value of every (later: but the first) task; one for all is checked if none takes it."""
        number = self.n_tasks - later
        if not isinstance(values, list):
            return (checked(name, values),) * number
        if len(values) != number:
            each = "each later task" if later else "each task"
            raise ParameterError(f"{name} = {shown(values)} has {len(values)} entries and this sequence takes {number}: one "
                                 f"for {each}, or one number for all")
        return tuple(checked(name, value) for value in values)

    @property
    def alpha(self) -> tuple[float, ...]:
        """M_t/N of the integer numbers of examples."""
        return tuple(number / self.n_spins for number in self.n_examples)

    def parameters(self) -> dict:
        return self._data | {"kl": list(self.kl)}

    @property
    def _data(self) -> dict:
        return {"kind": self.kind, "n_spins": self.n_spins, "alpha": list(self.alpha),
                "teacher_correlation": list(self.teacher_correlation)}

    @functools.cached_property
    def disorder_key(self) -> str:
        return digest(self._data)

    def draw(self, seed: int, disorder: int = 0) -> VariationalSample:
        """One disorder sample: task by task the teacher, then its examples. Cost: N M draws of bits and multiply-adds."""
        seed, disorder = check_integer("seed", seed, 0), check_integer("disorder", disorder, 0, 2**32 - 1)
        stream, n = generator(seed, Purpose.DISORDER, self.disorder_key, disorder), self.n_spins
        teachers, rows = [1 - 2 * stream.integers(0, 2, n, dtype=np.int8)], []
        for task, number in enumerate(self.n_examples):
            if task:
                turned = round((1 - self.teacher_correlation[task - 1]) / 2 * n)
                signs = np.ones(n, np.int8)
                signs[stream.permutation(n)[:turned]] = -1
                teachers.append(teachers[-1] * signs)
            rows.append(_transposed(labelled(number, n, teachers[-1], stream)))
        return VariationalSample(self, disorder, np.array(teachers), tuple(rows))

    def pairs_per_sweep(self) -> float:
        """Spins times examples, on average over the tasks (an epoch is a sweep)."""
        return float(self.n_spins) * sum(self.n_examples) / self.n_tasks

    def bytes_needed(self, replicas: int) -> int:
        """The rows of all tasks, what drawing the largest of them takes beside, and the states of the replicas."""
        stride, most = 8 * -(-self.n_spins // 64), max(self.n_examples)
        return stride * (sum(self.n_examples) + 4 * most) + self.n_spins * (80 * replicas + 200) + 5 * _BLOCK * most

    def memory_bytes(self, replicas: int = 1) -> int:
        needed, free = self.bytes_needed(replicas), available_memory()
        if needed > free:
            raise ParameterError(f"{sum(self.n_examples)} examples of {self.n_spins} spins need {needed / 2**30:.3g} GiB and "
                                 f"{free / 2**30:.3g} GiB are free; lower n_spins or alpha, or run fewer ranks per machine")
        return needed

    def summary(self) -> str:
        """What is done with ties."""
        if self.n_spins % 2:
            return ""
        return f"n_spins = {self.n_spins} is even: examples that the teacher leaves tied are labelled at random"


def _listed(values):
    """Sequences as lists, anything else as it is."""
    if isinstance(values, np.ndarray):
        return values.tolist()
    return list(values) if isinstance(values, Sequence) and not isinstance(values, str) else values


def _transposed(bits) -> np.ndarray:
    """`BitPatterns` (a column for each spin) as rows (K, stride) of bits, one for each pattern."""
    rows = np.zeros((bits.n_patterns, 8 * -(-bits.n_spins // 64)), np.uint8)
    for first in range(0, bits.n_spins, _BLOCK):
        block = np.unpackbits(bits.minus[first:first + _BLOCK], axis=1, count=bits.n_patterns, bitorder="little")
        packed = np.packbits(block, axis=0, bitorder="little").T
        rows[:, first // 8:first // 8 + packed.shape[1]] = packed
    return rows
