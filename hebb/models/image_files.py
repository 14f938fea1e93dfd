"""Folders of images as people have them: which files form a set, which are copies, where the labels lie, and how an IDX file is
read.

An image file is called *images-idx3-ubyte or *images.idx3-ubyte, its labels the same with labels and idx1, each plain or .gz.
Hidden files are none, and neither are copies under other names ("... (1).gz", "....bak"), which would enter a set twice.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError

__all__ = ["LIKE", "ImageFile", "find_folder", "image_files", "read_idx", "read_labels"]

#: What image files are called, for messages.
LIKE = "*-images-idx3-ubyte or .gz"

_IMAGES = re.compile(r"(?P<set>[^.].*|)images(?P<dot>[-.])idx3(?P<end>([-.]ubyte)?)(?P<zip>(\.gz)?)")
_DEPTH, _MOST_FOLDERS = 3, 1000  # how far below a folder its images are looked for
_CHUNK = 2**24  # bytes read at a time


@dataclass(frozen=True)
class ImageFile:
    """A file of images, that of its labels (None if there is none), and the time and size of both, by which a file that was
    changed is told from what it was."""

    path: Path
    labels: Path | None
    state: tuple[int, ...]


def image_files(folder: Path) -> tuple[list[ImageFile], list[str]]:
    """The image files of a folder, alphabetically, and the names of what looks like copies of some. A plain file beside its own
    archive counts once. Raises DataError where the folder cannot be read."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"data folder {str(folder)!r} cannot be read ({error.strerror}); make it readable, or give "
                        "another one") from None
    here, found, copies = set(names), [], []
    for name in names:
        match = _IMAGES.fullmatch(name)
        if match is None:
            if not name.startswith(".") and re.search(r"images[-.]idx3", name):
                copies.append(name)
        elif os.path.isdir(folder / name) or (match["zip"] and name.removesuffix(".gz") in here):
            continue  # a folder is looked into where nothing else is found
        else:
            dots = dict.fromkeys((match["dot"], "-", "."))
            ends = dict.fromkeys((match["end"], *(f"{dot}ubyte" for dot in dots), ""))
            labels = (f"{match['set']}labels{dot}idx1{end}{zipped}" for dot in dots for end in ends for zipped in ("", ".gz"))
            beside = next((folder / label for label in labels if label in here), None)
            found.append(ImageFile(folder / name, beside, _state(folder / name) + (_state(beside) if beside else ())))
    return found, copies


def _state(path: Path) -> tuple[int, int]:
    try:
        known = path.stat()
    except OSError:
        return 0, 0  # reading it will say why
    return known.st_mtime_ns, known.st_size


def find_folder(root: Path, wanted: str | None, named: Sequence[str], remedy: str) -> tuple[Path, list[ImageFile], list[str]]:
    """The folder with the images of root, their files, and notes about copies left out.

    wanted: None, or the set out of `named` that is looked for, first in a subfolder of that name, in capitals or without
    hyphens as well. Where a folder has no images of its own they are looked for up to three levels below it (MNIST/raw).
    Raises DataError where there are none, where several folders below have some, and where they are those of another set.
    """
    if wanted:
        called = [path for path in _subfolders(root) if _plain(path.name) == _plain(wanted)]
        exact = [path for path in called if path.name == wanted]
        if not called:
            known = {_plain(part) for part in (root.name, root.parent.name if root.name == "raw" else "")}
            other = next((name for name in named if name != wanted and _plain(name) in known), None)
            if other:
                raise DataError(f"data folder {str(root)!r} is called like the set {other!r}, and {wanted!r} was asked for; "
                                "give the folder above, with a subfolder for each set")
        root = (exact or called or [root])[0]
    place, (found, copies) = root, image_files(root)
    if not found:
        below = [folder for folder in _below(root) if _has_images(folder)]
        if wanted and _plain(root.name) != _plain(wanted):  # a folder of any other name may hold any other images
            below = [folder for folder in below if set(map(_plain, folder.relative_to(root).parts)) <= {_plain(wanted), "raw"}]
        if len(below) > 1:
            some = ", ".join(repr(str(folder.relative_to(root))) for folder in below[:4]) + ", ..." * (len(below) > 4)
            raise DataError(f"data folder {str(root)!r} holds IDX images in {len(below)} folders ({some}); give one of them")
        if not below:
            name = f"; {copies[0]!r} is called like a copy: give it the name of the original, or" if copies else ";"
            raise DataError(f"data folder {str(root)!r} holds no IDX images ({LIKE}){name} {remedy}")
        place, (found, copies) = below[0], image_files(below[0])
    if not copies:
        return place, found, []
    names = ", ".join(map(repr, copies[:4])) + ", ..." * (len(copies) > 4)
    return place, found, [f"left out of {str(place)!r}, being called like copies of image files: {names}; remove or rename "
                          "them"]


def _has_images(folder: Path) -> bool:
    try:
        return bool(image_files(folder)[0])
    except DataError:
        return False  # what cannot be read holds nothing


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and os.path.isdir(path))
    except OSError:
        return []


def _below(root: Path) -> list[Path]:
    """The folders below root, each once whatever links lead to it."""
    known, level, found = {os.path.realpath(root)}, [root], []
    for _ in range(_DEPTH):
        following = []
        for folder in level:
            for path in _subfolders(folder):
                real = os.path.realpath(path)
                if real not in known and len(known) < _MOST_FOLDERS:
                    known.add(real)
                    following.append(path)
        found += following
        level = following
    return found


def read_idx(path: Path) -> np.ndarray:
    """An IDX file, gzipped or not. Raises DataError if it is not one or is cut short."""
    try:
        if not path.is_file():
            raise OSError("it is a folder" if path.is_dir() else "it is no file" if os.path.lexists(path) else "no such file")
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else open(path, "rb") as file:
            return _content(file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    except MemoryError:
        raise DataError(f"{path} does not fit into memory; give a smaller set") from None


def _content(file, path: Path) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an IDX file of bytes (it starts with {start.hex()}); give the original file")
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{path} ends within its header, after {4 + len(sizes)} of {4 + 4 * start[3]} bytes; copy it again")
    shape = struct.unpack(f">{start[3]}I", sizes)
    promised = math.prod(shape)
    parts, held = [], 0
    while held <= promised and (part := file.read(_CHUNK)):  # no more than a part beyond what is promised
        parts.append(part)
        held += len(part)
    if held != promised:
        raise DataError(f"{path} holds {'at least ' * (held > promised + _CHUNK // 2)}{held} bytes where its header promises "
                        f"{promised}; copy it again")
    return np.frombuffer(b"".join(parts), np.uint8).reshape(shape)


def read_labels(path: Path, images: Path, number: int) -> np.ndarray:
    """(number,) the class of each image of the file `images`; rows of one 1 among zeros are classes as well."""
    labels = read_idx(path)
    if labels.ndim == 2 and labels.size and labels.max() == 1 and np.all(labels.sum(axis=1, dtype=int) == 1):
        labels = labels.argmax(axis=1).astype(np.uint8)  # one-hot
    if labels.ndim != 1:
        raise DataError(f"{path} has {labels.ndim} axes where labels have 1; give one number per image")
    if len(labels) != number:
        raise DataError(f"{images} holds {number} images and {path} {len(labels)} labels; copy the files again")
    return labels
