"""Real images as patterns: IDX files (MNIST and its relatives) or the 8x8 digits that scikit-learn ships."""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, EnvironmentMismatch, HebbWarning
from ..installation import install_command

__all__ = ["ImageSet", "load_images", "read_idx"]

NAMED = ("mnist", "fashion-mnist")
_CHUNK = 1000  # images at a time in floating point


@dataclass(frozen=True, eq=False)
class ImageSet:
    """pixels: (n, rows, columns) uint8 from 0 to `white`; the grey level of a pixel is pixel/white in [0, 1].
    labels: (n,) int or None. name and sha256 (of the grey levels as float64) identify the set in results. files: names of the
    files and how many images each holds, in their order."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray | None
    white: int = 255
    files: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def n_pixels(self) -> int:
        """Pixels of one image."""
        return self.pixels[0].size

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
            parts[file.split("-")[0]] = np.arange(first, first + number)
            first += number
        test = parts.get("t10k", parts.get("test"))
        return None if test is None or "train" not in parts else (parts["train"], test)

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


def read_idx(path: Path) -> np.ndarray:
    """An IDX file, gzipped or not. Raises DataError if it is not one or is cut short."""
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an IDX file of bytes (it starts with {data[:4].hex()}); give the original file")
    axes = data[3]
    header = 4 + 4 * axes
    if len(data) < header:
        raise DataError(f"{path} ends within its header, after {len(data)} of {header} bytes; copy it again")
    shape = struct.unpack(f">{axes}I", data[4:header])
    promised = math.prod(shape)
    if len(data) - header != promised:
        raise DataError(f"{path} holds {len(data) - header} bytes where its header promises {promised}; copy it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def load_images(source: str, folder: str | None = None) -> ImageSet:
    """The images called source: "mnist", "fashion-mnist", "digits", or a folder of IDX files.

    Named sets are looked for in folder (else in $HEBB_DATA): in a subfolder of that name, then in it itself. With neither
    given, the scikit-learn digits stand in for a named set, with a warning; the results say which images were used.
    Several image files in one folder are joined in alphabetical order.
    """
    if source == "digits":
        return _digits()
    if source not in NAMED:
        return _folder(Path(source), Path(source).name)
    folder = folder or os.environ.get("HEBB_DATA")
    if not folder:
        warnings.warn(f"no data folder given for {source!r}: using scikit-learn's 8x8 digits; name a folder of IDX files by "
                      "--data or HEBB_DATA for the real set", HebbWarning, stacklevel=2)
        return _digits()
    root = Path(folder)
    return _folder(root / source if (root / source).is_dir() else root, source)


@functools.lru_cache(maxsize=4)
def _folder(root: Path, name: str) -> ImageSet:
    if not root.is_dir():
        raise DataError(f"data folder {str(root)!r} does not exist; give --data or HEBB_DATA a folder with IDX files "
                        "(*-images-idx3-ubyte or .gz), or use patterns = 'digits'")
    files = sorted(p for p in root.iterdir() if "images-idx3" in p.name or "images.idx3" in p.name)
    if not files:
        raise DataError(f"data folder {str(root)!r} holds no IDX images (*-images-idx3-ubyte or .gz); give another folder "
                        "or use patterns = 'digits'")
    files = [p for p in files if p.suffix != ".gz" or p.with_suffix("") not in files]  # an archive beside its content
    stacks = [read_idx(p) for p in files]
    for path, stack in zip(files, stacks, strict=True):
        if stack.ndim != 3:
            raise DataError(f"{path} has {stack.ndim} axes where images have 3; give the original file")
    shapes = {stack.shape[1:] for stack in stacks}
    if len(shapes) > 1:
        raise DataError(f"the images in {str(root)!r} have unequal sizes {sorted(shapes)}; keep one size per folder")
    if not sum(map(len, stacks)):
        raise DataError(f"the IDX files of {str(root)!r} have no images in them; give another folder")
    labels = [p.with_name(p.name.replace("images", "labels").replace("idx3", "idx1")) for p in files]
    known = np.concatenate([read_idx(p) for p in labels]) if all(p.exists() for p in labels) else None
    images = np.concatenate(stacks)
    if known is not None and len(known) != len(images):
        raise DataError(f"{str(root)!r} holds {len(images)} images and {len(known)} labels; copy the files again")
    return ImageSet(name, images, known, files=tuple((p.name, len(stack)) for p, stack in zip(files, stacks, strict=True)))


@functools.cache
def _digits() -> ImageSet:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise EnvironmentMismatch(f"the 8x8 digits need scikit-learn; `{install_command('scikit-learn')}` brings it, or name "
                                  "a folder of IDX files by --data or HEBB_DATA") from None
    data = load_digits()
    return ImageSet("digits", data.images.astype(np.uint8), data.target, white=16)
