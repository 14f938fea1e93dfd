"""A network at learning, with the face of a chain: one epoch of one task is a sweep.

A disorder sample of a `VariationalNetwork` is its images, permutations and initial weights; the network learns its tasks in
their order, `epochs` each, and meets every training image of the task once in an epoch. method = "joint" meets the same images
equally often, but in a random order over all tasks. Everything else is the same for all methods: batches, optimiser and its
rate per kind of network, number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..errors import ParameterError
from ..models.base import Model
from ..models.networks import TaskSequence, VariationalNetwork
from ..params import check_choice, check_integer, check_keys, check_real, digest, shown
from ..sampling.options import SpinBySpin, refuse_options
from ..streams import Purpose, generator
from .engine import load_torch, require_torch

__all__ = ["LEARNING", "NetworkChain", "learning_settings"]

#: Keys of the table [sampling.learning] and their defaults; ... marks one that must be given.
LEARNING = {
    "epochs": ...,  # per task: one number, or a list of one per task
    "batch_size": 64,
    "learning_rate": None,  # default 0.01 for permuted tasks and 0.005 for sets of images, 0.005 for hidden weights
    "beta": 10.0,  # beta in the e-th of E epochs is beta tanh(0.1 + annealing e/E)
    "annealing": None,  # default 2 for permuted tasks and 1 for sets of images
}
_TEST_BATCH = 1000
_SIGNS = ("binary", "metaplasticity")


def learning_settings(model: VariationalNetwork, learning) -> dict:
    """The table `learning` with defaults filled in, epochs as one number per task. Raises ParameterError."""
    if not isinstance(learning, Mapping):
        raise ParameterError(f"learning = {shown(learning)} is not a table; dynamics = 'backpropagation' needs at least the "
                             "epochs per task, for example learning = {epochs = 5}")
    check_keys("[sampling.learning]", learning, LEARNING)
    settings = {**LEARNING, **learning}
    if settings["epochs"] is ...:
        raise ParameterError("[sampling.learning] must give epochs, their number per task")
    epochs = settings["epochs"]
    epochs = list(epochs) if isinstance(epochs, (list, tuple)) else [epochs] * model.n_tasks
    if len(epochs) != model.n_tasks:
        raise ParameterError(f"epochs = {shown(epochs)} has {len(epochs)} entries for {model.n_tasks} tasks; give one number, "
                             "or one per task")
    signs = model.method in _SIGNS
    rate = settings["learning_rate"]
    if rate is None:
        rate = 0.01 if model.permuted and not signs else 0.005
    annealing = settings["annealing"]
    if annealing is None:
        annealing = 2.0 if model.permuted else 1.0
    return {
        "epochs": [check_integer("epochs", number, 1, 10**6) for number in epochs],
        "batch_size": check_integer("batch_size", settings["batch_size"], 1, 10**6),
        "learning_rate": check_real("learning_rate", rate, 0.0, 10.0, open_low=True),
        "beta": check_real("beta", settings["beta"], 0.0, 1e3, open_low=True),
        "annealing": check_real("annealing", annealing, 0.0, 1e3),
    }


class NetworkChain(SpinBySpin):
    """A network on one disorder sample.

    instance: of a `VariationalNetwork`. temperature: 0, training minimises. replicas: 1; start: "random". Initial weights are
        keyed like the disorder, so that all methods begin with the same ones; batches and noise of every epoch by
        (seed, point, disorder sample, epoch), so that going on from a checkpoint repeats them bit for bit.
    learning: a mapping, see LEARNING. The optimiser is Adam(0.9, 0.99) with the gradient summed over a batch.
    Sweeps beyond the last task's epochs go on with the last task.
    Raises ParameterError, and EnvironmentMismatch without PyTorch. Cost of an epoch: about 12 n_train n_weights multiply-adds.
    """

    def __init__(self, instance: TaskSequence, temperature: float, replicas: int = 1, start="random", corruption=None,
                 dynamics: str = "backpropagation", order: str = "random", seed: int = 0, point: str | None = None,
                 learning: Mapping | None = None, **options):
        model = instance.model
        self.check(model, temperature=temperature, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics,
                   order=order, seed=seed, learning=learning, **options)
        torch = load_torch()
        from . import protection
        from .network import SignNetwork, VariationalNet

        self._torch, self.instance, self.model, self.seed = torch, instance, model, seed
        self.settings = learning_settings(model, learning)
        self.point = point or digest({**model.parameters(), "temperature": 0.0})
        self.schedule = np.repeat(np.arange(model.n_tasks), self.settings["epochs"])
        stream = generator(seed, Purpose.START, model.disorder_key, instance.disorder)
        shapes = zip(model.layers[1:], model.layers, strict=False)
        normals = [torch.from_numpy(stream.standard_normal(shape).astype(np.float32)) for shape in shapes]
        self.net = (SignNetwork if model.method in _SIGNS else VariationalNet).initial(normals)
        kinds = {"kl": protection.KullbackLeibler, "kl_step": protection.LastStep, "ewc": protection.ElasticWeights,
                 "metaplasticity": protection.Metaplasticity}
        self.protection = kinds.get(model.method, protection.Protection)(model.strength)
        self.optimizer = protection.Adam(self.net.parameters, self.settings["learning_rate"])
        self._tasks = [_Tensors(torch, task) for task in instance.tasks]
        self._anchor = [torch.zeros_like(p, requires_grad=False) for p in self.net.parameters]
        self._loss = math.nan
        self.sweeps_done = 0

    @staticmethod
    def check(model: Model, *, temperature, replicas=1, start="random", corruption=None, dynamics="backpropagation",
              order="random", seed=0, learning=None, **options) -> None:
        """Raise ParameterError for settings no training of this model can have, EnvironmentMismatch without PyTorch."""
        check_choice("dynamics", dynamics, ("backpropagation",))
        if not isinstance(model, VariationalNetwork):
            raise ParameterError(f"dynamics = 'backpropagation' trains networks (kind = \"network\"), not a {model.kind} model")
        refuse_options(dynamics, options)
        if replicas != 1:
            raise ParameterError(f"replicas = {shown(replicas)} with dynamics = 'backpropagation': every disorder sample has "
                                 "one network, and errors are the scatter between samples; set replicas = 1")
        if not isinstance(start, str) or start != "random":
            raise ParameterError(f"start = {shown(start)} with dynamics = 'backpropagation': networks start = 'random'")
        if corruption is not None or order != "random":
            name, value = ("order", order) if corruption is None else ("corruption", corruption)
            raise ParameterError(f"{name} = {shown(value)} has no meaning with dynamics = 'backpropagation'; leave it out")
        check_integer("seed", seed, 0)
        check_real("temperature", temperature, 0.0, 0.0, remedy="training minimises; set temperature = 0")
        learning_settings(model, learning)
        require_torch()

    @staticmethod
    def numbers(model: Model, replicas: int, start) -> int:
        """How many numbers one measurement takes, at most."""
        return 2 * model.n_tasks + 3

    @staticmethod
    def epochs(model: Model, learning: Mapping) -> list[int]:
        """How many epochs this table gives to each task, one after the other; of joint training to all at once."""
        epochs = learning_settings(model, learning)["epochs"]
        return [sum(epochs)] if model.method == "joint" else epochs

    @property
    def beta(self) -> float:
        """Inverse temperature of the fields in the epoch that was finished last (at the beginning: in the first)."""
        epoch = min(max(1, self.sweeps_done), len(self.schedule))
        return self.settings["beta"] * math.tanh(0.1 + self.settings["annealing"] * epoch / len(self.schedule))

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps epochs."""
        for _ in range(n_sweeps):
            self._epoch()

    def _task(self, epoch: int) -> int:
        return int(self.schedule[min(epoch, len(self.schedule) - 1)])

    def _epoch(self) -> None:
        epoch, torch = self.sweeps_done, self._torch
        stream = self._stream(epoch + 1)
        noise, noise_of_fisher = self._noise(stream), self._noise(stream)
        if epoch and self._task(epoch) != self._task(epoch - 1) and self.model.method != "joint":
            self._consolidate(self._task(epoch - 1), noise_of_fisher)
        self.sweeps_done += 1
        beta, total = self.beta, 0.0
        shown_images = self._presentations(epoch, stream)
        for first in range(0, len(shown_images), self.settings["batch_size"]):
            inputs, labels = self._batch(shown_images[first:first + self.settings["batch_size"]])
            for p in self.net.parameters:
                p.grad = None
            loss = torch.nn.functional.cross_entropy(self.net.forward(inputs, beta, noise), labels, reduction="sum")
            loss.backward()
            total += float(loss.detach())
            with torch.no_grad():
                self.protection.add_to_gradient(self.net.parameters, beta, len(labels) / len(shown_images))
                steps = self.optimizer.step([p.grad for p in self.net.parameters])
                self.protection.damp(self.net.parameters, steps)
                for p, step in zip(self.net.parameters, steps, strict=True):
                    p.sub_(step)
        self._loss = total / len(shown_images)

    def _stream(self, number: int) -> np.random.Generator:
        """Epoch `number`, counted from 1; 0 is the order of joint training."""
        return generator(self.seed, Purpose.DYNAMICS, self.point, self.instance.disorder, number)

    def _noise(self, stream: np.random.Generator):
        source = self._torch.Generator().manual_seed(int(stream.integers(2**63)))
        return lambda shape: self._torch.randn(shape, generator=source)

    def _presentations(self, epoch: int, stream: np.random.Generator) -> np.ndarray:
        """(n, 2) task and number of the images of an epoch, in order."""
        if self.model.method != "joint":
            task = self._task(epoch)
            images = stream.permutation(self.model.training_images(task))
            return np.column_stack([np.full(len(images), task), images])
        sizes = [self.model.training_images(task) for task in self.schedule]
        everything = np.concatenate([np.column_stack([np.full(size, task), np.arange(size)])
                                     for task, size in zip(self.schedule, sizes, strict=True)])
        self._stream(0).shuffle(everything)
        ends = np.cumsum(sizes)
        epoch %= len(sizes)
        return everything[ends[epoch] - sizes[epoch]:ends[epoch]]

    def _batch(self, chosen: np.ndarray):
        """Inputs and labels of images (n, 2)."""
        tasks = np.unique(chosen[:, 0])
        if len(tasks) == 1:
            return self._tasks[tasks[0]].training(chosen[:, 1])
        inputs = self._torch.empty((len(chosen), self.model.layers[0]))
        labels = self._torch.empty(len(chosen), dtype=self._torch.int64)
        for task in tasks:
            rows = np.flatnonzero(chosen[:, 0] == task)
            inputs[rows], labels[rows] = self._tasks[task].training(chosen[rows, 1])
        return inputs, labels

    def _consolidate(self, task: int, noise) -> None:
        """A task has ended; beta is still that of its last epoch."""
        beta = self.beta
        if not self.net.variational:
            return
        fisher = None
        if self.protection.needs_fisher:
            fisher = [self._torch.zeros_like(p, requires_grad=False) for p in self.net.parameters]
            for first in range(0, self.model.training_images(task), _TEST_BATCH):
                last = min(first + _TEST_BATCH, self.model.training_images(task))
                part = self.net.fisher(*self._tasks[task].training(np.arange(first, last)), beta, noise)
                for total, found in zip(fisher, part, strict=True):
                    total.add_(found)
        self.protection.consolidate(self.net, beta, fisher)
        self._anchor = [beta * p.detach() for p in self.net.parameters]

    def measure(self) -> dict[str, np.ndarray]:
        """The observables after the present epoch.

        accuracy (1, tasks): on the test images of every task, with the mean weights mu = tanh(beta theta); accuracy_binary:
        with the most probable binary weights sgn theta (the weights themselves where they are signs). training_loss (1,): mean
        cross-entropy in the epoch, with its noise. Of the posterior: first_layer_variance, mean of sigma there; kl: per weight,
        to the posterior at the end of the task before (in the first task: to the uniform one), in nats.
        """
        from .network import kl_divergence, propagate

        torch, beta = self._torch, self.beta
        seen = {"training_loss": np.array([self._loss])}
        with torch.no_grad():
            for name, matrices in (("accuracy", self.net.means(beta)), ("accuracy_binary", self.net.signs())):
                seen[name] = np.array([[task.accuracy(lambda x, w=matrices: propagate(x, w)) for task in self._tasks]])
            if self.net.variational:
                first, kl = self.net.means(beta)[0], 0.0
                for theta, reference in zip(self.net.parameters, self._anchor, strict=True):
                    kl += float(kl_divergence(beta * theta.double(), reference.double()))
                seen["first_layer_variance"] = np.array([float(torch.mean(1 - first * first))])
                seen["kl"] = np.array([kl / self.model.n_spins])
        return seen

    @property
    def lost(self) -> bool:
        """False: there is no planted state."""
        return False

    @property
    def acceptance(self) -> float:
        """nan: nothing is proposed."""
        return math.nan

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays: weights, moments, what protects them, and the epoch."""
        lists = {"weights": self.net.parameters, "mean": self.optimizer.mean, "square": self.optimizer.square,
                 "anchor": self._anchor, **{f"protection_{key}": value for key, value in self.protection.state.items()}}
        arrays = {f"{name}{layer}": tensor.detach().numpy().copy() for name, tensors in lists.items()
                  for layer, tensor in enumerate(tensors)}
        return arrays | {"sweeps_done": np.array(self.sweeps_done), "steps": np.array(self.optimizer.steps),
                         "loss": np.array(self._loss)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        def tensors(name):
            return [self._torch.from_numpy(np.array(snapshot[f"{name}{layer}"])) for layer in range(len(self.net.parameters))]

        with self._torch.no_grad():
            for p, held in zip(self.net.parameters, tensors("weights"), strict=True):
                p.copy_(held)
        self.optimizer.mean, self.optimizer.square, self._anchor = map(tensors, ("mean", "square", "anchor"))
        names = {key.removeprefix("protection_").rstrip("0123456789") for key in snapshot if key.startswith("protection_")}
        self.protection.state = {name: tensors(f"protection_{name}") for name in names}
        self.sweeps_done, self.optimizer.steps = int(snapshot["sweeps_done"]), int(snapshot["steps"])
        self._loss = float(snapshot["loss"])


class _Tensors:
    """The images of one task."""

    def __init__(self, torch, task):
        self.inputs, self.labels = torch.from_numpy(task.inputs), torch.from_numpy(task.labels)
        self.test_inputs, self.test_labels = torch.from_numpy(task.test_inputs), torch.from_numpy(task.test_labels)
        self.permutation = None if task.permutation is None else torch.from_numpy(task.permutation)

    def training(self, chosen: np.ndarray):
        """Inputs and labels of training images."""
        return self._permuted(self.inputs[chosen]), self.labels[chosen]

    def accuracy(self, outputs) -> float:
        """Share of the test images whose largest output is that of their class."""
        right = 0
        for first in range(0, len(self.test_labels), _TEST_BATCH):
            part = slice(first, first + _TEST_BATCH)
            found = outputs(self._permuted(self.test_inputs[part])).argmax(dim=1)
            right += int((found == self.test_labels[part]).sum())
        return right / len(self.test_labels)

    def _permuted(self, inputs):
        return inputs if self.permutation is None else inputs[:, self.permutation]
