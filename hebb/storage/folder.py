"""The run folder: job.toml, plan.json, tasks/, log.txt and, after merging, results.h5; .lock while a run writes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import StorageError
from . import schema
from .damage import move_aside
from .locks import unwritable
from .plan_file import read_plan, write_plan
from .sealed import is_leftover, is_temporary, write_whole
from .taskfile import to_json
from .tasks import Tasks, settings_of

__all__ = ["RunFolder"]


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
                move_aside(path, path / schema.PLAN_FILE)
            if not job_file.exists():  # a run may live beside its own job file
                write_whole(job_file, job_text.encode())
            write_plan(path, plan)
        except OSError as error:
            raise unwritable(path, error) from error
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
            raise unwritable(path, error) from error
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
            if not job_file.exists():
                write_whole(job_file, job_text.encode())
            elif (before := job_file.read_bytes()).decode("utf-8-sig", errors="replace").replace("\r\n", "\n") != job_text:
                write_whole(kept, before)
                write_whole(job_file, job_text.encode())
            write_plan(self.path, plan)
        except OSError as error:
            raise unwritable(self.path, error) from error
        return RunFolder.open(self.path)

    def differences(self, plan: Mapping) -> list[str]:
        """What forbids that the tasks of this folder belong to the job of another plan, too: [] if nothing does.

        Numbers of a task depend on its point, its disorder sample, the seed and the settings of its chain, and on nothing else.
        """
        mine, other = self.plan["job"], json.loads(to_json(plan["job"]))
        left, right = settings_of(mine["sampling"]), settings_of(other["sampling"])
        different = [f"sampling.{key}" for key in sorted({*left, *right}) if left.get(key) != right.get(key)]
        return (["seed"] if mine["seed"] != other["seed"] else []) + different

    def upgrade(self) -> None:
        """Note in the plan that tasks may lie in packs, which the first versions would not find."""
        if self.plan.get("hebb_schema") != schema.PLAN_VERSION:
            write_plan(self.path, self.plan)

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

    @property
    def task_folder(self) -> Path:
        return self.path / schema.TASK_FOLDER

    def tasks(self) -> Tasks:
        """What is there of every task at this moment."""
        return Tasks(self.task_folder, self.plan)

    @property
    def log_path(self) -> Path:
        return self.path / schema.LOG_FILE

    @property
    def results_path(self) -> Path:
        return self.path / schema.RESULTS_FILE
