"""Images as the patterns of a model: single ones, or archetypes with their examples and the cues kept back for testing.

The theory assumes independent, unbiased patterns whose examples err independently with one rate. Images are correlated, mostly
dark, and err at the edges of their shapes. `correlations` says by how much; no z-score is claimed for images.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, HebbWarning, ParameterError
from ..params import DenseLaw, check_choice, check_real, shown
from .archetypes import ARCHETYPES, Archetypes, find_archetypes
from .datasets import ImageSet

__all__ = ["ImageModel", "ImageSample", "correlations", "law_of_archetypes", "threshold_of"]

_HELD_OUT = 0.2
_SURVEYED = 1000  # single images among which correlations are measured


@dataclass(frozen=True)
class ImageSample:
    """The images of one disorder sample. patterns: (K, N) int8, single images or archetypes, the condensed one first. With
    archetypes also labels (K,), the class of each; cues (n, N) int8, held-out images of the condensed group; examples
    (K, M, N) int8, or None where the archetypes themselves are stored."""

    patterns: np.ndarray
    labels: np.ndarray | None = None
    cues: np.ndarray | None = None
    examples: np.ndarray | None = None


class ImageModel:
    """What a model does with a set of images: K single images as patterns, or K archetypes with M examples each.

    Arguments as in `hebb.models.Dense`, where threshold and order are checked. Raises ParameterError or DataError.
    """

    def __init__(self, images: ImageSet, n_patterns: int, threshold=0.5, order="random", archetypes=None, held_out=None,
                 n_examples=None):
        self.images, self.n_patterns, self.n_examples = images, n_patterns, n_examples
        self.threshold, self.order = threshold, order
        self.archetypes: Archetypes | None = None
        if archetypes is None:
            if held_out is not None:
                raise ParameterError(f"held_out = {held_out!r} has no meaning for single images; give archetypes = 'class'")
            _require_contrast(images, self.threshold, self.level)
            if n_patterns > len(images):
                raise ParameterError(f"n_patterns = {n_patterns} exceeds the {len(images)} images of {images.name!r}; lower it "
                                     "or give more images")
            return
        check_choice("archetypes", archetypes, ARCHETYPES)
        self.held_out = check_real("held_out", _HELD_OUT if held_out is None else held_out, 0.0, 0.9,
                                   remedy="it is the share of each class that is kept for testing")
        number = n_patterns if archetypes == "prototypes" else None
        self.archetypes = find_archetypes(images, archetypes, self.threshold, self.held_out, number)
        self.archetypes.require(n_patterns, n_examples or 1, order)
        _require_contrast(images, self.threshold, self.level)

    @property
    def level(self) -> float | np.ndarray:
        """The grey level above which a pixel is +1, a number or (N,)."""
        return _level(self.images, self.threshold) if self.archetypes is None else self.archetypes.level

    def parameters(self) -> dict:
        known = {"patterns": self.images.name, "images_sha256": self.images.sha256, "threshold": self.threshold,
                 "order": self.order}
        if self.archetypes is not None:
            known |= {"archetypes": self.archetypes.kind, "held_out": self.held_out}
            if self.archetypes.kind == "prototypes":  # k-means of another library version may differ
                known["archetypes_sha256"] = hashlib.sha256(self.archetypes.rows).hexdigest()[:16]
            if self.n_examples is not None:
                known["n_examples"] = self.n_examples
        return known

    @property
    def disorder_names(self) -> tuple[str, ...]:
        """The parameters that decide which images a sample uses: neither K, M nor the threshold is among them, so that
        what is compared at different K or M is compared on the same images (prototypes: at the same K)."""
        own = () if self.archetypes is None else ("archetypes", "held_out")
        if own and self.archetypes.kind == "prototypes":
            own += ("archetypes_sha256",)
        return ("images_sha256", "order", *own)

    def draw(self, stream: np.random.Generator) -> ImageSample:
        """The images of one disorder sample."""
        found = self.archetypes
        if found is None:
            chosen = np.arange(self.n_patterns)
            if self.order == "random":
                chosen = stream.permutation(len(self.images))[:self.n_patterns]
            return ImageSample(self.images.binarised(self.level, chosen))
        choice = found.choose(stream, self.n_patterns, self.n_examples or 0, self.order)
        examples = found.binarised(choice.examples) if self.n_examples else None
        return ImageSample(found.rows[choice.groups], found.labels[choice.groups], found.binarised(choice.cues), examples)

    def measured_law(self, law: DenseLaw) -> DenseLaw:
        """The law with r as measured, the mean over the groups, and, supervised, rho = R(M)/r^2 - 1 as measured."""
        if self.archetypes is None or law.protocol == "storage":
            return law
        r, m = float(self.archetypes.quality.mean()), law.n_examples
        plain = DenseLaw.from_keywords(law.p_body, r, m, None, law.protocol, law.hamiltonian)
        rho = max(0.0, self.archetypes.second_moment(m) / r**2 - 1) if law.protocol == "supervised" else plain.rho
        return dataclasses.replace(plain, rho=rho)

    def centred_moment(self, law: DenseLaw) -> float:
        """Mean square of what is stored after `mean_image` is subtracted, over all groups and draws."""
        if self.archetypes is None:
            # the plain mean is 1 + 2/n times mean_image a, so that the mean of (x - a)^2 is 1 - 2 (1 + 2/n) a^2 + a^2
            return float(np.mean(1 - (1 + 4 / len(self.images)) * self.mean_image**2))
        if law.protocol == "storage":
            return float(np.mean((self.archetypes.rows - self.mean_image) ** 2))
        return self.archetypes.second_moment(law.n_examples if law.protocol == "supervised" else 1, centred=True)

    @functools.cached_property
    def mean_image(self) -> np.ndarray:
        """(N,) what remedy "centred" subtracts: `Archetypes.mean_image`, or the same mean over all single images."""
        if self.archetypes is not None:
            return self.archetypes.mean_image
        return self.images.binarised(self.level).sum(axis=0, dtype=float) / (len(self.images) + 2)

    @functools.cached_property
    def measured(self) -> dict[str, float]:
        """What was found in the images, as numbers: `correlations` of all archetypes, or of at most 1000 single images spread
        evenly over the set; with archetypes also r (mean over the groups, lowest and highest) and the numbers of images."""
        found = self.archetypes
        if found is None:
            return _survey(self.images, self.threshold)
        r = found.quality
        return {"r": float(r.mean()), "r_lowest": float(r.min()), "r_highest": float(r.max()),
                "training_images": sum(map(len, found.training)), "held_out_images": sum(map(len, found.held_out)),
                **correlations(found.rows)}

    def summary(self) -> str:
        """`measured` as text of two lines."""
        found, level = self.measured, "median" if self.threshold == "median" else f"{self.threshold:g}"
        if self.archetypes is None:
            what, rows = "single images", min(len(self.images), _SURVEYED)
        else:
            rows = self.archetypes.n_groups
            what = (f"{self.archetypes.kind} archetypes, {found['training_images']} training and {found['held_out_images']} "
                    f"held-out images, r = {found['r']:.3f} ({found['r_lowest']:.3f} to {found['r_highest']:.3f})")
        return (f"images: {self.images.name}, threshold {level}: {what}\n"
                f"        {rows} of them: mean entry {found['activity']:.3f}, overlap mean {found['overlap_mean']:.3f}, rms "
                f"{found['overlap_rms']:.3f}, largest {found['overlap_max']:.3f} (independent: rms "
                f"{found['overlap_independent']:.3f}), effective rank {found['effective_rank']:.1f}, "
                f"{found['constant']:.0%} of the pixels alike")


@functools.lru_cache(maxsize=4)
def _level(images: ImageSet, threshold) -> float | np.ndarray:
    return images.median() if threshold == "median" else threshold


def _require_contrast(images: ImageSet, threshold, level) -> None:
    """Raise DataError where binarised images are all uniform, and warn of those that are."""
    blank = int(np.count_nonzero(images.blank(level)))
    if not blank:
        return
    low, high = (float(found) / images.white for found in (images.pixels.min(), images.pixels.max()))
    if blank < len(images):
        warnings.warn(f"{blank} of the {len(images)} images of {images.name!r} are uniform at threshold = {shown(threshold)}, "
                      "and patterns made of them say nothing; remove them, or change threshold", HebbWarning, stacklevel=2)
    elif low < high:
        raise DataError(f"at threshold = {shown(threshold)} every image of {images.name!r} is uniform, its grey levels being "
                        f"from {low:.3g} to {high:.3g}; set threshold between them, for example {(low + high) / 2:.3g}")
    else:
        raise DataError(f"all pixels of all images of {images.name!r} have the same grey level, {low:.3g}; give other images")


@functools.lru_cache(maxsize=4)
def _survey(images: ImageSet, threshold) -> dict[str, float]:
    chosen = np.unique(np.linspace(0, len(images) - 1, _SURVEYED).astype(int))
    return correlations(images.binarised(_level(images, threshold), chosen))


def law_of_archetypes(source, p_body, r, n_examples, rho, protocol, hamiltonian) -> DenseLaw:
    """The law of `hebb.models.Dense` with archetypes, but for r and rho, which `ImageModel.measured_law` puts in."""
    if source is None:
        raise ParameterError("archetypes are made from images, and the patterns are not images; leave archetypes out, or give "
                             "patterns = 'mnist', 'fashion-mnist', 'digits' or a folder")
    if r is not None or rho is not None:
        raise ParameterError(f"r = {shown(r)} and rho = {shown(rho)} cannot be chosen for images, whose r is measured; leave "
                             "them out and give n_examples")
    protocol = protocol or ("storage" if n_examples is None else "supervised")
    if protocol != "storage" and n_examples is None:
        raise ParameterError(f"protocol = {shown(protocol)} learns from examples; give n_examples, their number per archetype")
    return DenseLaw.from_keywords(p_body, None if protocol == "storage" else 1.0, n_examples, None, protocol, hamiltonian)


def threshold_of(value) -> float | str:
    """A grey level in [0, 1] or "median", checked."""
    if isinstance(value, str):
        return check_choice("threshold", value, ("median",))
    return check_real("threshold", value, 0.0, 1.0)


def correlations(rows: np.ndarray) -> dict[str, float]:
    """How far +-1 rows (K, N) are from independent and unbiased ones. Cost O(K^2 N).

    activity: mean entry; activity_rms: root mean square of the mean entry of each pixel over the rows (independent:
    K^(-1/2)). overlap_mean, overlap_rms, overlap_max (of |C|): of C_mu,nu = (1/N) sum_i xi_i^mu xi_i^nu, mu != nu;
    overlap_independent = N^(-1/2), the rms of independent rows. effective_rank: exp of the entropy of the eigenvalues of C over
    K (Roy and Vetterli 2007), K for orthogonal rows, 1 for equal ones. constant: share of pixels that are equal in all rows.
    """
    rows = np.asarray(rows, np.float32)
    k, n = rows.shape
    overlaps = (rows @ rows.T).astype(float) / n
    others = overlaps[~np.eye(k, dtype=bool)] if k > 1 else np.zeros(1)
    weights = np.clip(np.linalg.eigvalsh(overlaps) / k, 1e-300, None)
    return {"activity": float(rows.mean()), "activity_rms": float(np.sqrt(np.mean(rows.mean(axis=0, dtype=float) ** 2))),
            "overlap_mean": float(others.mean()), "overlap_rms": float(np.sqrt(np.mean(others**2))),
            "overlap_max": float(np.abs(others).max()), "overlap_independent": n**-0.5,
            "effective_rank": float(np.exp(-np.sum(weights * np.log(weights)))),
            "constant": float(np.mean(np.all(rows == rows[0], axis=0)))}
