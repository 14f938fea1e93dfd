"""Archetypes of real images: what the images of a class, or of a cluster within a class, are noisy examples of.

An archetype is the majority, pixel by pixel, of the binarised training images of its group: of all +-1 vectors the one with
the largest mean overlap r with them. Groups are the classes ("class") or the k-means clusters within them ("prototypes").
Where r and the second moment of the averages are quoted for images, they are measured on the training images, not chosen:

    r_mu = (1/N) sum_i |p_i^mu|,    R(M) = < p^2 + (1 - p^2) (n - M)/(M (n - 1)) >_{mu, i}

with p_i^mu the mean of pixel i over the n training images of group mu, of which M different ones are averaged.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, EnvironmentMismatch, ParameterError
from ..installation import install_command
from ..params import digest
from ..streams import Purpose, generator
from .datasets import ImageSet

__all__ = ["ARCHETYPES", "Archetypes", "Choice", "find_archetypes"]

ARCHETYPES = ("class", "prototypes")
_SPLIT = 0  # the seed of the split into training and held-out images: one split for all runs


@dataclass(frozen=True)
class Choice:
    """What one disorder sample uses of the groups, most of it by number of image. groups: (K,), the condensed one first;
    examples: (K, M); cues: (n,), held-out images of the condensed group."""

    groups: np.ndarray
    examples: np.ndarray
    cues: np.ndarray


@dataclass(frozen=True, eq=False)
class Archetypes:
    """G groups of images and their archetypes.

    rows: (G, N) int8, the archetypes. labels: (G,) the class of each group. means: (G, N) mean of the binarised training
    images. training, held_out: G arrays of image numbers, disjoint. level: grey level above which a pixel is +1, a number or
    (N,). kind: "class" | "prototypes".
    """

    images: ImageSet
    kind: str
    level: float | np.ndarray
    labels: np.ndarray
    means: np.ndarray
    training: tuple[np.ndarray, ...]
    held_out: tuple[np.ndarray, ...]

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """(G, N) int8; a pixel on which the images are divided equally is dark."""
        return np.where(self.means > 0, 1, -1).astype(np.int8)

    @property
    def n_groups(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def quality(self) -> np.ndarray:
        """(G,) r of each group: mean overlap of its training images with its archetype."""
        return np.abs(self.means).mean(axis=1)

    @functools.cached_property
    def mean_image(self) -> np.ndarray:
        """(N,) mean of the binarised training images by Laplace's rule of succession, n/(n+2) times the plain mean: inside
        ]-1, 1[, so that a pixel that never changes keeps a trace of its field when the mean is subtracted."""
        sizes = np.array([len(group) for group in self.training])
        return sizes @ self.means / (sizes.sum() + 2)

    def second_moment(self, n_examples: int, centred: bool = False) -> float:
        """R: mean square of the averages of n_examples different training images, over groups, pixels and draws; with
        centred, of the averages minus `mean_image`."""
        sizes = np.array([[len(group)] for group in self.training])
        left = (sizes - n_examples) / (n_examples * np.maximum(1, sizes - 1))
        kept = self.means - self.mean_image if centred else self.means
        return float(np.mean(kept**2 + (1 - self.means**2) * left))

    def choose(self, stream: np.random.Generator, n_groups: int, n_examples: int, order: str) -> Choice:
        """The groups (order "random": drawn, "file": by class), examples and cues of one disorder sample. The draws do not
        depend on n_groups and n_examples: more examples keep those that were there."""
        groups = stream.permutation(self.n_groups) if order == "random" else np.arange(self.n_groups)
        if self.kind == "prototypes":  # one of every class before the second of any
            seen = {label: 0 for label in self.labels}
            turn = np.empty(self.n_groups, int)
            for place, group in enumerate(groups):
                turn[place] = seen[self.labels[group]]
                seen[self.labels[group]] += 1
            groups = groups[np.argsort(turn, kind="stable")]
        shuffled = [(stream.permutation(known), stream.permutation(kept))
                    for known, kept in zip(self.training, self.held_out, strict=True)]
        return Choice(groups[:n_groups], np.array([shuffled[g][0][:n_examples] for g in groups[:n_groups]]),
                      shuffled[groups[0]][1])

    def binarised(self, chosen: np.ndarray) -> np.ndarray:
        """(..., N) int8 of the images of these numbers."""
        return self.images.binarised(self.level, chosen.ravel()).reshape(*chosen.shape, self.images.n_pixels)

    def require(self, n_groups: int, n_examples: int, order: str) -> None:
        """ParameterError where a disorder sample of these sizes cannot always be drawn."""
        if n_groups > self.n_groups:
            raise ParameterError(f"n_patterns = {n_groups} exceeds the {self.n_groups} classes of {self.images.name!r}; lower "
                                 "it, or divide the classes by archetypes = 'prototypes'")
        possible = range(self.n_groups if order == "random" or self.kind == "prototypes" else n_groups)
        fewest = min(possible, key=lambda group: len(self.training[group]))
        found = len(self.training[fewest])
        if n_examples > found:
            what = "class" if self.kind == "class" else "a prototype of class"
            raise ParameterError(
                f"n_examples = {n_examples} exceeds the {found} training images of {what} {self.labels[fewest]} of "
                f"{self.images.name!r}, which keeps {len(self.held_out[fewest])} for testing; lower n_examples or held_out")

    @property
    def n_cues(self) -> int:
        """Held-out images that every group has at least."""
        return min(map(len, self.held_out))


@functools.lru_cache(maxsize=4)
def find_archetypes(images: ImageSet, kind: str, threshold, held_out: float, n_archetypes: int | None = None) -> Archetypes:
    """Archetypes of a set of images.

    kind: "class" (one per class) or "prototypes" (at least n_archetypes clusters, the same number in every class).
    threshold: grey level, or "median": of each pixel over the training images. held_out: share of every class, in [0, 0.9],
    that is kept for testing; which images that are depends on the images alone.
    Raises ParameterError or DataError. Cost: O(images x pixels); prototypes:
    k-means on every class, seconds for 60,000 images and 100 clusters.
    """
    if images.labels is None:
        raise DataError(f"archetypes = {kind!r} needs to know the classes, and the images of {images.name!r} have no labels "
                        f"({images.unlabelled_files}); add them, or leave archetypes out")
    classes = [np.flatnonzero(images.labels == label) for label in np.unique(images.labels)]
    split = generator(_SPLIT, Purpose.DISORDER, digest({"images_sha256": images.sha256, "split": "held out"}))
    shuffled = [split.permutation(members) for members in classes]
    kept = [members[: round(held_out * len(members))] for members in shuffled]
    known = [members[round(held_out * len(members)):] for members in shuffled]
    for members in known:
        if not len(members):
            raise ParameterError(f"held_out = {held_out:g} leaves no training image of a class; lower it")
    level = images.median(np.sort(np.concatenate(known))) if threshold == "median" else threshold
    labels = np.unique(images.labels)
    if kind == "prototypes":
        each = math.ceil(n_archetypes / len(labels))
        labels = np.repeat(labels, each)
        known, kept = _clusters(images, level, known, kept, each)
    means = np.array([images.binarised(level, np.sort(members)).mean(axis=0) for members in known])
    return Archetypes(images, kind, level, labels, means, tuple(known), tuple(kept))


def _clusters(images: ImageSet, level, known: list, kept: list, each: int) -> tuple[list, list]:
    """Every class divided by k-means on its binarised training images, its held-out images with the nearest centre."""
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise EnvironmentMismatch("archetypes = 'prototypes' needs scikit-learn; "
                                  f"`{install_command('scikit-learn')}` brings it, or use archetypes = 'class'") from None
    training, testing = [], []
    for members, rest in zip(known, kept, strict=True):
        rows = images.binarised(level, members).astype(np.float32)
        if len(np.unique(rows, axis=0)) < each:
            raise ParameterError(f"a class of {images.name!r} has fewer than {each} different training images, one for each "
                                 "prototype; lower n_patterns or held_out")
        means = KMeans(each, n_init=1, random_state=0).fit(rows)
        training += [members[means.labels_ == number] for number in range(each)]
        nearest = means.predict(images.binarised(level, rest).astype(np.float32)) if len(rest) else rest
        testing += [rest[nearest == number] for number in range(each)]
    return training, testing
