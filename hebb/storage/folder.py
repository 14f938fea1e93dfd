"""The run folder: job.toml, plan.json, tasks/<id>.h5, log.txt and, after merging, results.h5; .lock while a run writes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import DamagedFile, HebbWarning, StorageError
from ..params import canonical_json, shown
from . import schema
from .plan_file import read_plan, write_plan
from .sealed import is_leftover, is_temporary, write_whole
from .taskfile import TaskRecord, read_status, read_task, to_json

__all__ = ["RunFolder", "lock", "named"]


@contextlib.contextmanager
def lock(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the run folder path, made if it is missing, against other runs. StorageError, naming the owner, if it is held.

    The lock is the system's (flock): it ends with its process, however that dies, and what is left of the file does not
    matter. patience: seconds to wait for an owner that is about to end. Readers and `hebb merge` do not ask for it.
    """
    path = Path(path)
    end = time.monotonic() + max(patience, 0.1)  # `hebb status` asks for a moment whether it is held
    try:
        path.mkdir(parents=True, exist_ok=True)
        while (descriptor := _try_lock(path / schema.LOCK_FILE)) is None:
            if time.monotonic() >= end:
                raise StorageError(
                    f"{path} is in use by {_owner(path / schema.LOCK_FILE)}; wait for it or stop it and continue with "
                    "--resume, or choose another folder with --out"
                )
            time.sleep(0.05)
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise _unwritable(path, error) from error
    try:
        with contextlib.suppress(OSError):  # a full disk is noticed where it matters
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            (path / schema.LOCK_FILE).unlink()
        os.close(descriptor)


def _unwritable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"cannot write the run folder {path} ({getattr(error, 'strerror', None) or error}); choose another with --out"
    )


def _require_place(path: Path) -> None:
    """OSError, as making it would raise, if the folder path can neither be written in nor made. Nothing is tried."""
    for there in (path, *path.absolute().parents):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(there.stat().st_mode):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            if not os.access(there, os.W_OK | os.X_OK):
                number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
                raise PermissionError(number, os.strerror(number))
            return


def _require_files(path: Path) -> None:
    """StorageError if something is in the way of the files that a run writes."""
    for name in (schema.LOG_FILE, schema.RESULTS_FILE):
        file = path / name
        if file.is_dir():
            raise StorageError(f"{file} is a folder, and a run writes a file of this name; move it away or choose another "
                               "folder with --out")
        if file.exists() and not os.access(file, os.W_OK):
            raise StorageError(f"cannot write {file} (Permission denied); check its permissions or choose another folder "
                               "with --out")


def _try_lock(file: Path) -> int | None:
    """A descriptor that holds the lock, None if another process does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor  # otherwise its last owner has just removed it: try again
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
            warnings.warn(
                f"the file system of {file.parent} has no locks; start only one run in it at a time",
                HebbWarning,
                stacklevel=4,
            )
            return descriptor
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            os.close(descriptor)
            raise
    os.close(descriptor)
    return None


def _owner(file: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        if text := file.read_text(encoding="utf-8").strip():
            return text
    return "another process"


_OF_TASKS = "run the job again with --resume, which moves it aside and repeats only this task"


@dataclass(frozen=True)
class RunFolder:
    """Paths and the plan of one run. The plan is a plain dict:

    {"digest": hex name of the job, "job": {"name", "seed", "sampling"}, "points": [parameters, ...],
     "asked": [model keys as written, ...], "tasks": [[task id, index of its point, disorder], ...]} with points, asked and
    tasks in job order; the first plans lack "asked". A task that is a temperature ladder has a list of points, the lowest
    temperature first.
    """

    path: Path
    plan: Mapping

    @classmethod
    def create(cls, path: Path, plan: Mapping, job_text: str) -> RunFolder:
        """A new run folder. StorageError if it exists with a plan or cannot be written."""
        path = Path(path)
        cls.require_free(path, job_text)
        return cls.rewrite(path, plan, job_text)

    @classmethod
    def rewrite(cls, path: Path, plan: Mapping, job_text: str) -> RunFolder:
        """The run folder with its plan written (again): one that is there is moved aside, tasks are left as they are."""
        path = Path(path)
        job_file = path / schema.JOB_FILE
        try:
            (path / schema.TASK_FOLDER).mkdir(parents=True, exist_ok=True)
            if (path / schema.PLAN_FILE).exists():
                _move_aside(path, path / schema.PLAN_FILE)
            if not job_file.exists():  # a run may live beside its own job file
                write_whole(job_file, job_text.encode())
            write_plan(path, plan)
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls.open(path)

    @classmethod
    def require_free(cls, path: Path, job_text: str) -> None:
        """StorageError if a run of this job cannot begin in this folder, which need not exist. Nothing is written."""
        path = Path(path)
        try:
            _require_place(path)
            if (path / schema.PLAN_FILE).exists():
                raise StorageError(
                    f"{path} already holds a run; continue it with --resume or choose another folder with --out"
                )
            tasks, job_file = path / schema.TASK_FOLDER, path / schema.JOB_FILE
            if tasks.is_dir() and any(tasks.iterdir()):
                remedy = "--resume writes it again and goes on" if job_file.exists() else "move them away"
                raise StorageError(f"{tasks} holds files of a run whose {schema.PLAN_FILE} is missing; {remedy}, or choose "
                                   "another folder with --out")
            if job_file.exists() and job_file.read_text(encoding="utf-8-sig", errors="replace") != job_text:
                raise StorageError(
                    f"{path} holds another {schema.JOB_FILE}, which would be overwritten; choose another folder "
                    "with --out"
                )
        except (OSError, ValueError) as error:  # ValueError: a null character
            raise _unwritable(path, error) from error
        _require_files(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder; StorageError if there is none."""
        path = Path(path)
        return cls(path, read_plan(path))

    def grown(self, plan: Mapping, job_text: str) -> RunFolder:
        """The folder with the plan of a larger or smaller job that has no `differences`; the job file of before is kept."""
        job_file, number = self.path / schema.JOB_FILE, 1
        while (kept := self.path / f"job.{number}.toml").exists():
            number += 1
        try:
            if job_file.exists() and job_file.read_text(encoding="utf-8-sig", errors="replace") != job_text:
                os.replace(job_file, kept)
                write_whole(job_file, job_text.encode())
            write_plan(self.path, plan)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return RunFolder.open(self.path)

    def differences(self, plan: Mapping) -> list[str]:
        """What forbids that the tasks of this folder belong to the job of another plan, too: [] if nothing does.

        Numbers of a task depend on its point, its disorder sample, the seed and the settings of its chain, and on nothing else.
        """
        mine, other = self.plan["job"], json.loads(to_json(plan["job"]))
        left, right = _settings(mine["sampling"]), _settings(other["sampling"])
        different = [f"sampling.{key}" for key in sorted({*left, *right}) if left.get(key) != right.get(key)]
        return (["seed"] if mine["seed"] != other["seed"] else []) + different

    def clear_leftovers(self) -> None:
        """Remove half-written files of a run that was killed. Only for who holds the lock."""
        tasks = self.path / schema.TASK_FOLDER  # in which nobody else writes; `hebb merge` may write beside it
        for left in [*filter(is_temporary, tasks.glob("*.tmp")), *filter(is_leftover, self.path.glob("*.tmp"))]:
            left.unlink(missing_ok=True)

    def require_writable(self) -> None:
        """StorageError now rather than after the first hour. A missing folder of tasks is made."""
        _require_files(self.path)
        with contextlib.suppress(OSError):  # the probe says what is wrong
            (self.path / schema.TASK_FOLDER).mkdir(exist_ok=True)
        for folder in (self.path, self.path / schema.TASK_FOLDER):
            probe = folder / f".probe{os.getpid()}"
            try:
                probe.write_bytes(b"")
                probe.unlink()
            except OSError as error:
                raise StorageError(
                    f"cannot write in {folder} ({error.strerror}); check its permissions or choose another "
                    "folder with --out"
                ) from error

    def task_path(self, task_id: str) -> Path:
        return self.path / schema.TASK_FOLDER / f"{task_id}.h5"

    @property
    def log_path(self) -> Path:
        return self.path / schema.LOG_FILE

    @property
    def results_path(self) -> Path:
        return self.path / schema.RESULTS_FILE

    def statuses(self, damaged: dict[str, str] | None = None) -> dict[str, dict]:
        """task id -> scalar fields of its file (taskfile.read_status), for the tasks that have one, in job order.

        damaged: takes task id -> reason of files that cannot be believed; without it the first of them raises DamagedFile.
        """
        return dict(self._believed(read_status, damaged))

    def records(self, damaged: dict[str, str] | None = None) -> Iterator[TaskRecord]:
        """The records of the tasks that have a file, one after the other in job order; damaged as in `statuses`."""
        return (record for _, record in self._believed(read_task, damaged))

    def read(self, task_id: str) -> TaskRecord | None:
        """The record of a task, None if it has no file. DamagedFile if the file is another task's or another job's."""
        path = self.task_path(task_id)
        if not path.exists():
            return None
        record = read_task(path)
        self._check(path, vars(record))
        return record

    def set_aside(self, damaged: Mapping[str, str]) -> Path:
        """Move the files of these tasks into a folder of their own, which is returned. Only for who holds the lock."""
        try:
            for task_id in damaged:
                _move_aside(self.path, self.task_path(task_id))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return self.path / schema.DAMAGED_FOLDER

    def _believed(self, read, damaged: dict[str, str] | None) -> Iterator[tuple[str, object]]:
        for task_id, _, _ in self.plan["tasks"]:
            if not (path := self.task_path(task_id)).exists():
                continue
            try:
                item = read(path)
                self._check(path, item if isinstance(item, dict) else vars(item))
            except DamagedFile as error:
                if damaged is None:
                    raise
                damaged[task_id] = str(error)
            else:
                yield task_id, item

    def _check(self, path: Path, found: Mapping) -> None:
        """Task names are made of the point alone: other jobs, with another seed or sampling, share them."""
        if found["task_id"] != path.stem:
            raise DamagedFile(f"{path} holds task {shown(found['task_id'])}; {_OF_TASKS}")
        parameters, disorder = self._expected[path.stem]
        if disorder != found["disorder"] or parameters != canonical_json(found["parameters"]):
            raise DamagedFile(f"{path} holds another point or disorder sample than the plan says; {_OF_TASKS}")
        if self.plan["job"]["seed"] != found["seed"] or self._sampling != canonical_json(_settings(found["sampling"])):
            raise DamagedFile(f"{path} was written by another job (seed or sampling differ); {_OF_TASKS}")

    @cached_property
    def _sampling(self) -> str:
        return canonical_json(_settings(self.plan["job"]["sampling"]))

    @cached_property
    def _expected(self) -> dict[str, tuple[str, int]]:
        """task id -> (canonical JSON of its parameters, disorder), as the plan says."""
        bare = [{name: value for name, value in point.items() if name != "measured"} for point in self.plan["points"]]
        texts: dict[object, str] = {}
        for _, place, _ in self.plan["tasks"]:
            key = tuple(place) if isinstance(place, list) else place
            if key not in texts:
                point = bare[key] if isinstance(key, int) else (
                    {**bare[key[0]], "temperature": [bare[at]["temperature"] for at in key]})
                texts[key] = canonical_json(point)
        return {task_id: (texts[tuple(place) if isinstance(place, list) else place], disorder)
                for task_id, place, disorder in self.plan["tasks"]}


def _settings(sampling: Mapping) -> dict:
    """Those on which the numbers of one task depend; settings that are not given were unknown to the first versions."""
    return {key: value for key, value in sampling.items() if key != "disorder" and value is not None}


def _move_aside(folder: Path, file: Path) -> None:
    """Move a file into the folder of damaged ones, under a name that is free there."""
    place = folder / schema.DAMAGED_FOLDER
    place.mkdir(exist_ok=True)
    target, number = place / file.name, 1
    while target.exists():
        target, number = place / f"{file.stem}.{number}{file.suffix}", number + 1
    shutil.move(file, target)  # tasks may lie on another disk


def named(damaged: Mapping[str, str]) -> str:
    """All files that cannot be believed, and why, in one sentence without remedy."""
    reasons: dict[str, list[str]] = {}
    for task_id, text in damaged.items():
        reason = text.split(".h5 ", 1)[-1].rpartition("; ")[0]
        reasons.setdefault(reason, []).append(f"{task_id}.h5")
    return "; ".join(f"{', '.join(files)}: {reason}" if len(files) > 1 else f"{files[0]} {reason}"
                     for reason, files in reasons.items())
