"""One file per task: what a worker hands over, written whole or not at all.

A file holds results, random-generator states and bin contents of the same instant. A kill at any moment leaves either the
old or the new file, never a mixture, and a byte that changed on disk is noticed (`hebb.storage.sealed`).
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from ..errors import DamagedFile, StorageError
from ..params import digest, shown
from . import schema
from .large_file import LargeFile
from .sealed import SEALED, Broken, check_seal, seal, write_whole

__all__ = [
    "GROUPS",
    "JSON_FIELDS",
    "SIMPLE_FIELDS",
    "TaskRecord",
    "open_file",
    "read_status",
    "read_task",
    "replace_file",
    "replace_large_file",
    "to_json",
    "write_task",
]


@dataclass
class TaskRecord:
    """Everything a task leaves behind; plain values and arrays only.

    parameters: the point (model keys, "kind", "temperature"). sampling: the settings of the chain. series: name ->
    (n_bins, R or pairs, ...), means of bins of bin_length measurements. lost: a planted state was left at some sweep.
    spins: "planted" (N,), "start" and "final" (R, N) int8, if they were asked for. snapshot: what continues the chain
    bit for bit, while unfinished; of a failed task, its last checkpoint. message: the traceback of a failed task.
    seconds: time spent, all visits together. job: digest of the job it belongs to ("" if it is not known).
    rungs: of a temperature ladder what is known of each of its temperatures (L,), `sampling.tempering.Ladder.rungs`;
    series are then (n_bins, L, R or pairs, ...), and "start" and "final" (L, R, N).
    """

    task_id: str
    parameters: dict
    sampling: dict
    seed: int
    disorder: int
    status: str = "unfinished"
    sweeps_done: int = 0
    series: dict[str, np.ndarray] = field(default_factory=dict)
    bin_length: int = 1
    lost: bool = False
    acceptance: float = float("nan")
    spins: dict[str, np.ndarray] = field(default_factory=dict)
    snapshot: dict[str, np.ndarray] = field(default_factory=dict)
    message: str = ""
    seconds: float = 0.0
    provenance: dict = field(default_factory=dict)
    job: str = ""
    rungs: dict[str, np.ndarray] = field(default_factory=dict)

    def at_temperature(self, rung: int) -> TaskRecord:
        """What the ladder found at one of its temperatures, as the record of a task at that temperature alone."""
        return replace(
            self,
            parameters=self.parameters | {"temperature": self.parameters["temperature"][rung]},
            series={name: bins[:, rung] for name, bins in self.series.items()},
            lost=bool(self.rungs["lost"][rung]),
            acceptance=float(self.rungs["acceptance"][rung]),
            spins={name: array[rung] if name in ("start", "final") else array for name, array in self.spins.items()},
            rungs={name: values[rung] for name, values in self.rungs.items() if name not in ("lost", "acceptance")},
        )


SIMPLE_FIELDS = {
    "task_id": str,
    "seed": int,
    "disorder": int,
    "status": str,
    "sweeps_done": int,
    "bin_length": int,
    "lost": bool,
    "acceptance": float,
    "message": str,
    "seconds": float,
    "job": str,
}
_LATER = {"job": ""}  # what the first files lack
JSON_FIELDS = ("parameters", "sampling", "provenance")
GROUPS = {schema.SERIES: "series", schema.SPINS: "spins", schema.SNAPSHOT: "snapshot", schema.RUNGS: "rungs"}


def write_task(path: Path, record: TaskRecord) -> None:
    """Write record to path, atomically. StorageError if the folder cannot be written."""
    with replace_file(path, schema.TASK) as file:
        for name, kind in SIMPLE_FIELDS.items():
            file.attrs[name] = kind(getattr(record, name))
        for name in JSON_FIELDS:
            file.attrs[name] = to_json(getattr(record, name))
        for group, name in GROUPS.items():
            for key, array in getattr(record, name).items():
                file.create_dataset(f"{group}/{key}", data=array)


def read_task(path: Path, state: bool = True) -> TaskRecord:
    """The record in path, with its snapshot if state. DamagedFile, naming the remedy, if it is not a complete task file."""
    with open_file(path, schema.TASK) as file:
        attributes = dict(file.attrs)
        values = _read_simple(attributes)
        values |= {name: json.loads(attributes[name]) for name in JSON_FIELDS}
        groups = {group: name for group, name in GROUPS.items() if state or group != schema.SNAPSHOT}
        values |= {name: _read_group(file, group) for group, name in groups.items()}
    return TaskRecord(**values)


def read_status(path: Path) -> dict:
    """The scalar fields of a task file, its parameters, sampling and `rungs`, no other arrays."""
    with open_file(path, schema.TASK) as file:
        attributes = dict(file.attrs)
        texts = {name: json.loads(attributes[name]) for name in ("parameters", "sampling")}
        return _read_simple(attributes) | texts | {"rungs": _read_group(file, schema.RUNGS)}


def _read_simple(attributes: Mapping) -> dict:
    found = {name: kind(attributes[name]) for name, kind in SIMPLE_FIELDS.items() if name in attributes or name not in _LATER}
    return _LATER | found


def _read_group(file: h5py.File, group: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()] if item.shape else np.asarray(item[()])

    if group in file:
        file[group].visititems(collect)
    return arrays


def to_json(value) -> str:
    """JSON with sorted keys. Arrays, which only in-memory models have, are named by their digest (params.digest)."""

    def plain(item):
        if isinstance(item, np.ndarray):
            return {"sha256": digest({"array": item}), "shape": list(item.shape), "dtype": str(item.dtype)}
        return item.item()

    return json.dumps(value, sort_keys=True, default=plain)


@contextlib.contextmanager
def replace_file(path: Path, kind: str) -> Iterator[h5py.File]:
    """A new HDF5 file in memory that appears under path, complete and on disk, when the block ends without an error."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        _begin(file, kind)
        yield file
    image = memory.getbuffer()
    write_whole(Path(path), image, seal(image))


@contextlib.contextmanager
def replace_large_file(path: Path, kind: str) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """The same for a file that is larger than the memory may be, and a function that raises StorageError once the disk has
    refused to take any more of it."""
    with LargeFile(Path(path)) as target:
        with h5py.File(target, "w") as file:
            _begin(file, kind)
            yield file, target.require_taken
        target.finish()


def _begin(file: h5py.File, kind: str) -> None:
    file.attrs["hebb_file"] = kind
    file.attrs["hebb_schema"] = schema.SCHEMA_VERSION
    file.attrs[SEALED] = True


@contextlib.contextmanager
def open_file(path: Path, kind: str) -> Iterator[h5py.File]:
    """A file of this kind, open for reading. Whatever is wrong with it becomes one StorageError with a remedy; DamagedFile
    where the file is the cause, not who may read it nor which version does."""
    path = Path(path)
    if not path.is_file():
        raise DamagedFile(f"{path} is not a file; move it away") if path.exists() else StorageError(f"there is no file {path}")
    ours = _in_its_place(path, kind)
    try:
        whole = _sealed(path)
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get(SEALED) and not whole:
                raise Broken("its end is missing")
            if elsewhere := file.id.links.visit(_link_elsewhere, info=True):
                raise Broken(f"its {shown(elsewhere.decode())} points elsewhere")  # results lie in a file, not in another one
            found, version = str(file.attrs.get("hebb_file")), int(file.attrs.get("hebb_schema", 0))
            if found != kind:
                raise DamagedFile(f"{path} is not a {kind} file of hebb; {_instead(path, kind)}")
            ours = True
            if version > schema.SCHEMA_VERSION:
                raise StorageError(
                    f"{path} was written by a newer hebb (layout {version}, this one knows up to "
                    f"{schema.SCHEMA_VERSION}); install that version to read it"
                )
            yield file if version == schema.SCHEMA_VERSION else _migrated(file, version)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        if not ours and not h5py.is_hdf5(path):
            raise DamagedFile(f"{path} is not an HDF5 file; {_instead(path, kind)}") from None
        remedy = _REMEDIES.get(kind, "write it again") if ours else _instead(path, kind)
        raise DamagedFile(f"{path} is truncated or damaged ({_first_line(error)}); {remedy}") from error


def _link_elsewhere(name: bytes, link) -> bytes | None:
    return None if link.type == h5py.h5l.TYPE_HARD else name


def _sealed(path: Path) -> bool:
    """`check_seal`; what the system refuses says nothing of the file: a network disk, permissions, too many open files."""
    try:
        return check_seal(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror or error}); check the disk and the file's permissions, and "
                           "try again") from error


#: Only for files that hebb wrote and can write again.
_REMEDIES = {
    schema.TASK: "run the job again with --resume, which moves it aside and repeats only this task",
    schema.RESULTS: "delete it and run `hebb merge` on its folder, which writes it again",
}


def _in_its_place(path: Path, kind: str) -> bool:
    """Whether path is where hebb itself puts files of this kind in a run folder."""
    if kind == schema.TASK:
        return path.suffix == ".h5" and path.absolute().parent.name == schema.TASK_FOLDER
    return kind == schema.RESULTS and path.name == schema.RESULTS_FILE


def _instead(path: Path, kind: str) -> str:
    if _in_its_place(path, kind):
        return "run the job again with --resume, which moves it aside and repeats only this task" if kind == schema.TASK else (
            "it lies where one belongs: move it away and run the job again with --resume")
    return {
        schema.RESULTS: f"give a run folder or its {schema.RESULTS_FILE}",
        schema.ARRAYS: "give a file that was saved as one",
    }.get(kind, "give another one")


def _migrated(file: h5py.File, version: int) -> h5py.File:
    """A copy in memory, brought up to the present layout; the file itself is left as it is."""
    copy = h5py.File(f"{file.filename} in memory", "w", driver="core", backing_store=False)
    for key, value in file.attrs.items():
        copy.attrs[key] = value
    for name in file:
        file.copy(name, copy)
    for old in range(version, schema.SCHEMA_VERSION):
        schema.MIGRATIONS[old](copy)
    return copy


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
