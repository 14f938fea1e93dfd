"""Records of tasks as bytes, in packs: much quicker to write and to read than an HDF5 file for each."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

import numpy as np

from . import schema
from .taskfile import JSON_FIELDS, SIMPLE_FIELDS, TaskRecord, to_json

__all__ = ["decoded", "encoded", "head_of"]


def encoded(record: TaskRecord, groups) -> bytes:
    """Some groups of arrays of a record; with the results, everything else. Length of a JSON head, the head, the arrays."""
    arrays = [(group, key, np.ascontiguousarray(array).reshape(np.shape(array)))
              for group in sorted(groups) for key, array in getattr(record, group).items()]
    head = {"arrays": [[group, key, array.dtype.str, list(array.shape)] for group, key, array in arrays]}
    if schema.SNAPSHOT not in groups:
        head |= {name: kind(getattr(record, name)) for name, kind in SIMPLE_FIELDS.items()}
        head |= {name: to_json(getattr(record, name)) for name in JSON_FIELDS}
    text = json.dumps(head).encode()
    return b"".join((len(text).to_bytes(4, "little"), text, *(array.tobytes() for _, _, array in arrays)))


def decoded(part: bytes) -> dict:
    """Keywords of TaskRecord."""
    values, begin = head_of(part)
    for group, key, dtype, shape in values.pop("arrays"):
        array = np.frombuffer(part, dtype, int(np.prod(shape)), begin).reshape(shape)
        values.setdefault(group, {})[key] = array.copy()
        begin += array.nbytes
    return values


def head_of(part: bytes) -> tuple[dict, int]:
    """What is no array in one of the parts, and where the arrays begin."""
    begin = 4 + int.from_bytes(part[:4], "little")
    values = json.loads(part[4:begin])
    return values | {name: dict(_parsed(values[name])) for name in JSON_FIELDS if name in values}, begin


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Mapping:
    return json.loads(text)
