"""Frozen records of arrays that can be stored: what curves and maps have in common."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np

__all__ = ["ArrayRecord"]


class ArrayRecord:
    """A dataclass whose fields are arrays, numbers, text or tuples of text."""

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict]:
        """(arrays, attributes): all fields as plain arrays and plain values, for storage."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        return arrays, {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
                        if name not in arrays}

    @classmethod
    def from_arrays(cls, arrays, attributes):
        """Inverse of `to_arrays`."""
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in attributes.items()}
        return cls(**{name: np.asarray(value) for name, value in arrays.items()}, **plain)

    def save(self, path) -> None:
        """Write the record to an HDF5 file."""
        _storage().save_arrays(path, *self.to_arrays())

    @classmethod
    def load(cls, path):
        """Read a record written by `save`."""
        return cls.from_arrays(*_storage().load_arrays(path))


def _storage():
    # storage lies above theory, so it is looked up by name when a file is asked for, never imported here
    return importlib.import_module("hebb.storage.arrays")
