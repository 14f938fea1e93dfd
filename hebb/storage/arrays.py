"""Named arrays in one file: phase diagrams and whatever else is no result of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from . import schema
from .taskfile import open_file, replace_file, to_json

__all__ = ["load_arrays", "save_arrays"]


def save_arrays(path, arrays: Mapping[str, np.ndarray], attributes: Mapping | None = None) -> None:
    """Named arrays (names may contain "/") and JSON-able attributes in one HDF5 file, written atomically."""
    with replace_file(Path(path), schema.ARRAYS) as file:
        file.attrs["attributes"] = to_json(dict(attributes or {}))
        for name, array in arrays.items():
            file.create_dataset(name, data=_storable(array))


def _storable(array) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind == "U":
        import h5py

        return array.astype(h5py.string_dtype())
    return array


def load_arrays(path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and attributes of a file written by `save_arrays`; text arrays come back as arrays of str."""
    arrays: dict[str, np.ndarray] = {}

    def collect(name, item: Sequence):
        if hasattr(item, "shape"):
            arrays[name] = item.asstr()[()].astype(str) if item.dtype.kind == "O" else item[()]

    with open_file(Path(path), schema.ARRAYS) as file:
        file.visititems(collect)
        return arrays, json.loads(file.attrs["attributes"])
