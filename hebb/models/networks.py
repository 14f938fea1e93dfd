"""Tasks of images that a network with binary weights learns one after the other.

What is learned and by which method, without the learning itself (`hebb.deep`). A network has layers of weights w = +-1, ReLU
between them, no bias and no batch norm:  z = W a/sqrt(n),  n the number of inputs of the layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DataError, ParameterError
from ..params import check_choice, check_integer, check_real, digest, shown
from ..streams import Purpose, generator
from .base import Model, available_memory
from .datasets import ImageSet, load_images

__all__ = ["METHODS", "ImageTask", "TaskSequence", "VariationalNetwork"]

#: Methods and their default strength (None: they have none), chosen on permuted MNIST (docs/deep.md); of "kl_step" as released.
METHODS = {"none": None, "kl": 0.03, "kl_step": 1.0, "ewc": 3000.0, "joint": None, "binary": None, "metaplasticity": 5.0}
_TEST_SHARE = 0.2


@dataclass(frozen=True)
class ImageTask:
    """One task. inputs, test_inputs: (n, pixels) float32, grey levels less the mean of the training images and over their
    standard deviation (one number each for all pixels); labels, test_labels: (n,) int64. permutation: (pixels,) the order in
    which this task shows its pixels, None for the order of the images."""

    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    permutation: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class TaskSequence:
    """One disorder sample: which images are for training, which for testing, and the permutations."""

    model: VariationalNetwork
    disorder: int
    tasks: tuple[ImageTask, ...]
    images = None  # no patterns made of images


class VariationalNetwork(Model):
    """A network with binary weights that learns tasks of images in sequence, all through the same outputs.

    layers: sizes from the pixels to the classes, such as [784, 512, 512, 10] (in a job file a list in a list, since a list
        sweeps its key).
    images: a set as in `hebb.models.Dense`, learned n_tasks times with permuted pixels (the first time as they are), or a list
        of sets, one task each.
    n_tasks: number of permuted tasks, from 1 to 100.
    method: what protects earlier tasks; on the mean-field posterior q(w) = prod e^(theta w)/2cosh(theta) of the weights
        "none"     nothing
        "kl"       strength times KL(q || q'), q' the posterior at the end of the task before; 1 is Bayes' rule
        "kl_step"  as released with arXiv:2212.02846: q' is the posterior one step of the optimiser before, in every step
        "ewc"      elastic weight consolidation (Kirkpatrick et al., PNAS 114, 3521 (2017)): strength/2 sum F (theta-theta')^2,
                   F the empirical Fisher information summed over the training images; 1 is Laplace's approximation
        "joint"    the same presentations of the same images as "none", in random order over all tasks: the upper bound
        and on real hidden weights whose signs are used, with straight-through gradients,
        "binary"   nothing
        "metaplasticity"  Laborieux et al., Nat. Commun. 12, 2549 (2021): steps that reduce a hidden weight W are multiplied by
                   1 - tanh^2(strength W)
    strength: default in METHODS.
    n_train, n_test: images used, one number or one per task. Of folders with the standard files (train-*, t10k-* or test-*)
        training images come from the former and test images from the latter, by default all of them. Other sets are split, by
        default 4:1. Images are drawn anew in every disorder sample, in equal shares of the classes (as the set has them).
    Raises ParameterError or DataError.
    """

    kind = "network"
    KEYS = ("layers", "images", "n_tasks", "method", "strength", "n_train", "n_test")
    dynamics = ("backpropagation",)

    def __init__(self, layers, images="mnist", n_tasks=None, method="none", strength=None, n_train=None, n_test=None):
        if not isinstance(layers, (list, tuple)) or len(layers) < 2:
            raise ParameterError(f"layers = {shown(layers)} is not a list of sizes from the pixels to the classes; in a job "
                                 "file write layers = [[784, 512, 512, 10]]")
        self.layers = tuple(check_integer("an entry of layers", size, 1, 2**20) for size in layers)
        self.permuted = isinstance(images, str)
        if self.permuted:
            self.n_tasks = check_integer("n_tasks", n_tasks, 1, 100, remedy="it is the number of permutations of the pixels")
            names = [images]
        else:
            if not isinstance(images, (list, tuple)) or not images or not all(isinstance(name, str) for name in images):
                raise ParameterError(f"images = {shown(images)} is neither a set of images nor a list of them")
            if n_tasks not in (None, len(images)):
                raise ParameterError(f"n_tasks = {shown(n_tasks)} with {len(images)} sets of images, one task each; leave it "
                                     "out")
            self.n_tasks, names = len(images), list(images)
        self.method = check_choice("method", method, METHODS)
        self.strength = METHODS[method]
        if strength is not None:
            if self.strength is None:
                raise ParameterError(f"strength = {shown(strength)} has no meaning with method = {method!r}; leave it out")
            self.strength = check_real("strength", strength, 0.0, 1e12)
        self.sets = tuple(load_images(name, key="images") for name in names)
        self._require_fit()
        self.splits = tuple(_Split.of(found, *(_one_per_set(key, value, number, len(self.sets)) for key, value in
                                               (("n_train", n_train), ("n_test", n_test))))
                            for number, found in enumerate(self.sets))

    def _require_fit(self) -> None:
        for found in self.sets:
            if found.labels is None:
                raise DataError(f"the images of {found.name!r} have no labels ({found.unlabelled_files}); add them")
            if found.pixels.min() == found.pixels.max():
                raise DataError(f"the images of {found.name!r} have pixels of one grey level only; give others")
            classes = int(found.labels.max()) + 1
            if self.layers[0] != found.n_pixels or self.layers[-1] < classes:
                raise ParameterError(f"layers = {list(self.layers)} do not fit {found.name!r}: its images have "
                                     f"{found.n_pixels} pixels and {classes} classes, so that layers go from {found.n_pixels} "
                                     f"to {classes}")

    def parameters(self) -> dict:
        known = self._data | {"kind": self.kind, "layers": list(self.layers), "method": self.method}
        return known if self.strength is None else known | {"strength": self.strength}

    @property
    def _data(self) -> dict:
        """What the tasks are made of."""
        names = [found.name for found in self.sets]
        return {"images": names[0] if self.permuted else names, "images_sha256": [found.sha256 for found in self.sets],
                "n_tasks": self.n_tasks, "n_train": [split.n_train for split in self.splits],
                "n_test": [split.n_test for split in self.splits]}

    @property
    def disorder_key(self) -> str:
        """All methods and layers meet the same images, permutations and (layers alike) initial weights."""
        return digest(self._data)

    @property
    def n_spins(self) -> int:
        """Number of weights."""
        return sum(a * b for a, b in zip(self.layers, self.layers[1:], strict=False))

    def training_images(self, task: int) -> int:
        """Number of training images of a task."""
        return self.splits[0 if self.permuted else task].n_train

    def draw(self, seed: int, disorder: int = 0) -> TaskSequence:
        stream = generator(check_integer("seed", seed, 0), Purpose.DISORDER, self.disorder_key, disorder)
        tasks = [_drawn(found, split, stream) for found, split in zip(self.sets, self.splits, strict=True)]
        if self.permuted:
            first = tasks[0]
            tasks += [ImageTask(first.inputs, first.labels, first.test_inputs, first.test_labels,
                                stream.permutation(self.layers[0])) for _ in range(self.n_tasks - 1)]
        return TaskSequence(self, disorder, tuple(tasks))

    def pairs_per_sweep(self) -> float:
        """Weights times training images, on average over the tasks (an epoch is a sweep)."""
        return float(self.n_spins) * sum(map(self.training_images, range(self.n_tasks))) / self.n_tasks

    def bytes_needed(self, replicas: int) -> int:
        pixels = self.layers[0] * sum(split.n_train + split.n_test for split in self.splits)
        return 4 * pixels + 48 * replicas * self.n_spins  # weights, their moments, what protects them, and gradients

    def memory_bytes(self, replicas: int = 1) -> int:
        needed, free = self.bytes_needed(replicas), available_memory()
        if needed > free:
            raise ParameterError(f"a network of {self.n_spins} weights and its images need {needed / 2**30:.3g} GiB and "
                                 f"{free / 2**30:.3g} GiB are free; lower layers or n_train, or run fewer ranks per machine")
        return needed

    @property
    def measured(self) -> dict[str, float]:
        return {"training_images": sum(split.n_train for split in self.splits),
                "test_images": sum(split.n_test for split in self.splits)}

    def summary(self) -> str:
        return "\n".join(f"images: {found.name}, {split.n_train} for training and {split.n_test} for testing, "
                         f"{'the standard split' if split.standard else 'drawn from all ' + str(len(found))}"
                         for found, split in zip(self.sets, self.splits, strict=True))


def _one_per_set(key: str, value, number: int, sets: int):
    """The entry of a set in a number, or a list of one per set."""
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != sets:
        raise ParameterError(f"{key} = {shown(value)} has {len(value)} entries for {sets} sets of images; give one number, or "
                             "one per set")
    return value[number]


@dataclass(frozen=True)
class _Split:
    """How many images of a set serve for training and testing; standard: they lie in different files."""

    n_train: int
    n_test: int
    standard: bool

    @classmethod
    def of(cls, images: ImageSet, n_train, n_test) -> _Split:
        known = images.standard_split()
        if known is not None:
            train, test = (check_integer(key, len(part) if value is None else value, 1, len(part),
                                         remedy=f"{images.name!r} has so many") for key, value, part in
                           (("n_train", n_train, known[0]), ("n_test", n_test, known[1])))
            return cls(train, test, True)
        total = len(images)
        share = round(_TEST_SHARE * total)
        test = check_integer("n_test", share if n_test is None else n_test, 1, total - 1)
        train = check_integer("n_train", total - test if n_train is None else n_train, 1, total - test,
                              remedy=f"{images.name!r} has {total} images, and {test} of them are for testing")
        return cls(train, test, False)


def _drawn(images: ImageSet, split: _Split, stream: np.random.Generator) -> ImageTask:
    """Images for training and testing in equal shares of the classes."""
    if split.standard:
        train, test = (_mixed(images.labels, part, stream) for part in images.standard_split())
    else:
        both = _mixed(images.labels, np.arange(len(images)), stream)
        test, train = both[:split.n_test], both[split.n_test:]
    train, test = train[:split.n_train], test[:split.n_test]
    inputs, test_inputs = (images.grey(chosen).astype(np.float32) for chosen in (train, test))
    mean, deviation = inputs.mean(dtype=float), inputs.std(dtype=float) or 1.0
    for array in (inputs, test_inputs):
        array -= np.float32(mean)
        array /= np.float32(deviation)
    labels = images.labels.astype(np.int64)
    return ImageTask(inputs, labels[train], test_inputs, labels[test])


def _mixed(labels: np.ndarray, chosen: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """chosen in a random order of which every part from the beginning has the classes in their shares, to one image."""
    chosen = stream.permutation(chosen)
    place = np.empty(len(chosen))
    for label in np.unique(labels[chosen]):
        here = np.flatnonzero(labels[chosen] == label)
        place[here] = (np.arange(len(here)) + 0.5) / len(here)
    return chosen[np.argsort(place, kind="stable")]
