"""Real images as patterns: sets of IDX files (MNIST and its relatives) or the 8x8 digits that scikit-learn ships.

Which files of a folder form a set is said in `image_files`.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, EnvironmentMismatch, HebbWarning
from ..installation import install_command
from ..params import shown
from .image_files import LIKE, ImageFile, find_folder, read_idx, read_labels

__all__ = ["NAMED", "ImageSet", "load_images", "read_idx"]

NAMED = ("mnist", "fashion-mnist")
_REPEATED = 0.01  # share of images that repeat others above which a set is warned about
_CHUNK = 1000  # images at a time in floating point


@dataclass(frozen=True, eq=False)
class ImageSet:
    """pixels: (n, rows, columns) uint8 from 0 to `white`; the grey level of a pixel is pixel/white in [0, 1].
    labels: (n,) int or None. name and sha256 (of the grey levels as float64) identify the set in results. files: names of the
    files and how many images each holds, in their order. unlabelled: those of them without a file of labels."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray | None
    white: int = 255
    files: tuple[tuple[str, int], ...] = ()
    unlabelled: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def n_pixels(self) -> int:
        """Pixels of one image."""
        return self.pixels[0].size

    @property
    def unlabelled_files(self) -> str:
        """Which labels are missing, for messages."""
        return f"*-labels-idx1-ubyte beside {' and '.join(map(repr, self.unlabelled[:2])) or 'every image file'}"

    @functools.cached_property
    def sha256(self) -> str:
        found = hashlib.sha256()
        for start in range(0, len(self), _CHUNK):
            found.update(self.grey(slice(start, start + _CHUNK)))
        return found.hexdigest()[:16]

    def grey(self, chosen=slice(None)) -> np.ndarray:
        """(n, rows * columns) float64 grey levels in [0, 1] of the chosen images: eight times the memory of their pixels."""
        pixels = self.pixels[chosen]
        return pixels.reshape(len(pixels), -1) / float(self.white)

    def standard_split(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Indices of the training and of the test images of a set that came in files train-* and t10k-* or test-*."""
        parts, first = {}, 0
        for file, number in self.files:
            part = file.split("-")[0]
            parts[part] = np.concatenate([parts.get(part, np.empty(0, int)), np.arange(first, first + number)])
            first += number
        test = parts.get("t10k", parts.get("test"))
        return None if test is None or "train" not in parts else (parts["train"], test)

    def blank(self, threshold, chosen=slice(None)) -> np.ndarray:
        """(n,) whether all pixels of the chosen images fall on one side of threshold, a number or one per pixel."""
        pixels = self.pixels[chosen]
        pixels = pixels.reshape(len(pixels), -1)
        if np.ndim(threshold) == 0:
            return (pixels.max(axis=1) / float(self.white) <= threshold) | (pixels.min(axis=1) / float(self.white) > threshold)
        return np.abs(self.binarised(threshold, chosen).sum(axis=1, dtype=int)) == self.n_pixels

    def median(self, chosen=slice(None)) -> np.ndarray:
        """(rows * columns,) median grey level of every pixel over the chosen images."""
        pixels = self.pixels[chosen]
        return np.median(pixels.reshape(len(pixels), -1), axis=0) / float(self.white)

    def binarised(self, threshold, chosen=slice(None)) -> np.ndarray:
        """(n, rows * columns) int8 of the chosen images: +1 where the grey level exceeds threshold, a number or one per
        pixel, -1 elsewhere."""
        chosen = np.arange(len(self))[chosen]
        signs = np.full((len(chosen), self.n_pixels), -1, np.int8)
        for start in range(0, len(chosen), _CHUNK):
            part = slice(start, start + _CHUNK)
            signs[part][self.grey(chosen[part]) > threshold] = 1
        return signs


def load_images(source: str, folder: str | None = None, key: str = "patterns") -> ImageSet:
    """The images called source: "mnist", "fashion-mnist", "digits", or a folder of IDX files.

    Named sets are looked for in folder (else in $HEBB_DATA): in a subfolder of that name (also MNIST, FashionMNIST), then in it
    itself. A folder without images of its own may have them further down, in one place (`image_files.find_folder`). With
    neither given, the scikit-learn digits stand in for a named set, with a warning; the results say which images were used.
    Several image files in one folder are joined in alphabetical order. key: what the source is called in messages.
    Raises DataError; a HebbWarning tells of copies that were left out.
    """
    if source == "digits":
        return _digits()
    named = source in NAMED
    folder = folder or os.environ.get("HEBB_DATA")
    if named and not folder:
        warnings.warn(f"no data folder given for {source!r}: using scikit-learn's 8x8 digits; name a folder of IDX files by "
                      "--data or HEBB_DATA for the real set", HebbWarning, stacklevel=2)
        return _digits()
    root = Path(os.path.expanduser(folder if named else source))
    if not os.path.isdir(root) or not source:
        absent = "is a file, not a folder" if os.path.isfile(root) else "does not exist"
        if named:
            raise DataError(f"data folder {str(root)!r} {absent}; give --data or HEBB_DATA a folder with IDX files ({LIKE}), "
                            f"or use {key} = 'digits'")
        near = difflib.get_close_matches(source.lower(), (*NAMED, "digits"), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give one of them, or in Python the array itself"
        given = repr(source) if len(source) < 200 else shown(source)
        raise DataError(f"{key} = {given} is neither a set of images (mnist, fashion-mnist, digits) nor a folder of "
                        f"IDX files (it {absent}); {hint}")
    place, files, notes = find_folder(root, source if named else None, NAMED, f"give another folder or use {key} = 'digits'")
    found, more = _read(str(place), source if named else root.name, tuple(files))
    for note in (*notes, *more):
        warnings.warn(note, HebbWarning, stacklevel=2)
    return found


@functools.lru_cache(maxsize=4)
def _read(folder: str, name: str, files: tuple[ImageFile, ...]) -> tuple[ImageSet, list[str]]:
    """The set that these files hold, and what is remarkable about it. A file that changes is read again."""
    stacks, labels, kept, notes = [], [], [], []
    known: dict[bytes, str] = {}
    for file in files:
        stack = read_idx(file.path)
        if stack.ndim != 3:
            raise DataError(f"{file.path} has {stack.ndim} axes where images have 3; give the original file")
        content = hashlib.sha256(repr(stack.shape).encode() + stack.tobytes()).digest()
        if content in known and len(stack):
            notes.append(f"{file.path} holds the same images as {known[content]} and is left out; remove one of them")
            continue
        known[content] = file.path.name
        kept.append(file)
        stacks.append(stack)
        labels.append(None if file.labels is None else read_labels(file.labels, file.path, len(stack)))
    shapes = {stack.shape[1:] for stack in stacks}
    if len(shapes) > 1:
        raise DataError(f"the images in {folder!r} have unequal sizes {sorted(shapes)}; keep one size per folder")
    images = np.concatenate(stacks)
    if not images.size:
        raise DataError(f"the IDX files of {folder!r} have no images in them; give another folder")
    notes += _repeated(stacks, kept, folder)
    unlabelled = tuple(file.path.name for file, found in zip(kept, labels, strict=True) if found is None)
    everything = None if unlabelled else np.concatenate(labels)
    return ImageSet(name, images, everything, files=tuple((file.path.name, len(stack)) for file, stack in
                                                          zip(kept, stacks, strict=True)), unlabelled=unlabelled), notes


def _repeated(stacks: list[np.ndarray], files: list[ImageFile], folder: str) -> list[str]:
    """A sentence where more than a few images repeat earlier ones; DataError where two files have most of one in common."""
    first: dict[int, int] = {}  # where an image was met first, by its hash
    again, total = 0, sum(map(len, stacks))
    for number, stack in enumerate(stacks):
        common = np.zeros(len(stacks), int)
        for image in stack:
            place = first.setdefault(hash(image.tobytes()), number)
            common[place] += 1
        common[number] -= sum(place == number for place in first.values())
        again += int(common.sum())
        for other in range(number):
            if common[other] > min(len(stack), len(stacks[other])) / 2:
                raise DataError(f"{files[number].path} and {files[other].path.name} have {common[other]} images in common, so "
                                "that images for training would serve for testing; keep one of the two files")
    if again <= _REPEATED * total:
        return []
    return [f"{again} of the {total} images in {folder!r} repeat others, so that images for training serve for testing as "
            "well; keep each once"]


@functools.cache
def _digits() -> ImageSet:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise EnvironmentMismatch(f"the 8x8 digits need scikit-learn; `{install_command('scikit-learn')}` brings it, or name "
                                  "a folder of IDX files by --data or HEBB_DATA") from None
    data = load_digits()
    return ImageSet("digits", data.images.astype(np.uint8), data.target, white=16)
