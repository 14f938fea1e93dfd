"""Gradient descent of the variational perceptron: the tasks of a sequence one after the other, one epoch a sweep.

    sgd:   v <- momentum v + learning_rate g ,      theta <- theta - v - learning_rate weight_decay theta
    adam:  moments of g with (0.9, 0.999, 1e-8),    theta <- theta - learning_rate (s/(sqrt(w) + 1e-8) + weight_decay theta)

g = dL/dtheta is summed over the batch, not averaged; a batch of B of the M examples has B/M of the divergence. The optimiser
starts anew with every task, and theta goes on from the end of the task before, which is also the reference m' of the
divergence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..errors import HebbError, ParameterError
from ..models.base import Model
from ..models.variational import VariationalPerceptron, VariationalSample
from ..params import check_choice, check_integer, check_keys, check_real, shown
from ..streams import go_on, positions
from .fields import FieldChain, one_per_task

__all__ = ["LEARNING", "GradientChain", "learning_settings"]

#: Keys of the table `learning` and their defaults, each one for all tasks or a list of one per task; ... marks one that must be
#: given.
LEARNING = {
    "epochs": ...,
    "optimizer": "adam",  # sgd | adam
    "learning_rate": 1e-3,
    "momentum": None,  # of "sgd", default 0.9
    "batch_size": 0,  # 0: all examples at once; a number; "published rule": max(ceil(M/20), 10), as released with 2212.02846
    "weight_decay": 0.0,
}
_OPTIMIZERS = ("sgd", "adam")
_RULE = "published rule"


def learning_settings(model: VariationalPerceptron, learning) -> list[dict]:
    """The table `learning` as complete settings for each task. Raises ParameterError."""
    if not isinstance(learning, Mapping):
        raise ParameterError(f"learning = {shown(learning)} is not a table; dynamics = 'gradient' needs at least the epochs of "
                             "each task, for example learning = {epochs = 3000}")
    check_keys("[sampling.learning]", learning, LEARNING)
    if "epochs" not in learning:
        raise ParameterError("[sampling.learning] must give epochs, their number for each task")
    columns = {key: one_per_task(key, value, model.n_tasks) for key, value in {**LEARNING, **learning}.items()}
    return [_of_task({key: values[task] for key, values in columns.items()}, number)
            for task, number in enumerate(model.n_examples)]


def _of_task(given: dict, n_examples: int) -> dict:
    optimizer = check_choice("optimizer", given["optimizer"], _OPTIMIZERS)
    momentum = given["momentum"]
    if optimizer == "adam" and momentum is not None:
        raise ParameterError(f"momentum = {shown(momentum)} belongs to optimizer = 'sgd'; 'adam' has moments of its own; "
                             "leave it out")
    batch = given["batch_size"]
    if isinstance(batch, str):
        check_choice("batch_size", batch, (_RULE,))
        batch = min(n_examples, max(-(-n_examples // 20), 10))
    return {
        "epochs": check_integer("epochs", given["epochs"], 1, 10**9),
        "optimizer": optimizer,
        "learning_rate": check_real("learning_rate", given["learning_rate"], 0.0, 1e3, open_low=True),
        "momentum": check_real("momentum", 0.9 if momentum is None else momentum, 0.0, 1.0, open_high=True),
        "batch_size": check_integer("batch_size", batch, 0, n_examples, remedy="it is a number of examples of every task, 0 "
                                    f"for all of them, or {_RULE!r}"),
        "weight_decay": check_real("weight_decay", given["weight_decay"], 0.0, 1e3),
    }


class GradientChain(FieldChain):
    """R perceptrons that learn the tasks of one disorder sample.

    They share the data and differ in their initial theta and the order in which they meet the examples. temperature: 0.
    learning: a mapping, see LEARNING. Other arguments as in `FieldChain`. Epochs beyond those of the last task go on with it.
    What it measures is a learning curve: there is no stationary state whose average the last epochs would be, and errors are
    the scatter between disorder samples.
    Raises ParameterError; HebbError where learning diverges. Cost of an epoch: 2 R N M/8 vector additions, and for every batch
    about 70 vector operations per 8 spins.
    """

    dynamics = "gradient"

    def __init__(self, instance: VariationalSample, temperature: float, replicas: int = 2, start="random", corruption=None,
                 dynamics: str = "gradient", order: str = "random", seed: int = 0, point: str | None = None,
                 learning: Mapping | None = None, **options):
        model = instance.model
        self.check(model, temperature=temperature, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics,
                   order=order, seed=seed, learning=learning, **options)
        super().__init__(instance, temperature, replicas, start, seed, point)
        self.settings = learning_settings(model, learning)
        self._ends = np.cumsum(self.epochs(model, learning))
        self._state = np.zeros((replicas, 2, model.n_spins))
        self._powers = np.ones((replicas, 2))
        self._before, self._after = np.zeros((2, replicas, model.n_tasks))  # errors when each task began, and when it ended
        self._before[:, 0] = self.errors()[:, 0]

    @classmethod
    def check(cls, model: Model, *, temperature, replicas=2, start="random", corruption=None, dynamics="gradient",
              order="random", seed=0, learning=None, **options) -> None:
        """Raise ParameterError for settings no learning of this model can have. Nothing is drawn."""
        cls.check_common(model, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics, order=order,
                         seed=seed, options=options)
        check_real("temperature", temperature, 0.0, 0.0, remedy="gradient descent minimises; set temperature = 0, or sample at "
                   "temperature = 1/beta with dynamics = 'hmc'")
        learning_settings(model, learning)

    @staticmethod
    def epochs(model: VariationalPerceptron, learning: Mapping) -> list[int]:
        """How many epochs this table gives to each task."""
        return [settings["epochs"] for settings in learning_settings(model, learning)]

    @property
    def task(self) -> int:
        """The task that was trained last (at the beginning: the first)."""
        return self._task(max(0, self.sweeps_done - 1))

    def _task(self, epoch: int) -> int:
        return min(int(np.searchsorted(self._ends, epoch, side="right")), self.model.n_tasks - 1)

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps epochs of every replica."""
        while n_sweeps:
            task = self._task(self.sweeps_done)
            if task and self.sweeps_done == self._ends[task - 1]:
                self._begin(task)
            left = n_sweeps if task == self.model.n_tasks - 1 else min(n_sweeps, int(self._ends[task]) - self.sweeps_done)
            for r, stream in enumerate(self._generators):
                self.kernels[task].train(self.theta[r], self._state[r], epochs=left, reference=self.reference[r],
                                         kl=self.model.kl[task], powers=self._powers[r], generator=stream,
                                         **self._options[task])
            self.sweeps_done += left
            n_sweeps -= left
            if not np.isfinite(self.theta).all():
                raise HebbError(f"learning diverged before epoch {self.sweeps_done} with optimizer = "
                                f"{self.settings[task]['optimizer']!r}; lower learning_rate = "
                                f"{self.settings[task]['learning_rate']:g}")

    @property
    def _options(self) -> list[dict]:
        """What the kernel is told of each task."""
        return [{key: value for key, value in settings.items() if key != "epochs"} for settings in self.settings]

    def _begin(self, task: int) -> None:
        """A task has ended and the next one begins."""
        errors = self.errors()
        self._after[:, task - 1], self._before[:, task] = errors[:, task - 1], errors[:, task]
        self.reference = self.theta.copy()
        self._state[:], self._powers[:] = 0.0, 1.0

    def measure(self) -> dict[str, np.ndarray]:
        """The observables of `FieldChain.observe`, and for sequences of tasks

        forgetting (R, T): the error on a task less what it was when its training ended; 0 until then.
        transfer (R, T): 1/2, the error of a fresh perceptron, less the error on a task when its training began (until then:
        less its present error). Both as in Lopez-Paz and Ranzato, NeurIPS 2017, task by task.
        """
        seen, tasks = self.observe(self.task), np.arange(self.model.n_tasks)
        if self.model.n_tasks > 1:
            seen["forgetting"] = np.where(tasks < self.task, seen["error"] - self._after, 0.0)
            seen["transfer"] = 0.5 - np.where(tasks <= self.task, self._before, seen["error"])
        return seen

    @property
    def acceptance(self) -> float:
        """nan: nothing is proposed."""
        return math.nan

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        arrays = {"theta": self.theta, "reference": self.reference, "state": self._state, "powers": self._powers,
                  "before": self._before, "after": self._after, "sweeps_done": np.array(self.sweeps_done)}
        return {name: array.copy() for name, array in arrays.items()} | {"streams": positions(self._generators)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        self.theta, self.reference, self._state, self._powers, self._before, self._after = (
            np.array(snapshot[name], float) for name in ("theta", "reference", "state", "powers", "before", "after"))
        go_on(self._generators, snapshot["streams"])
        self.sweeps_done = int(snapshot["sweeps_done"])
