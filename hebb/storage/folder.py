"""The run folder: job.toml, plan.json, tasks/<id>.h5, log.txt and, after merging, results.h5."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import StorageError
from . import schema
from .taskfile import read_status, to_json

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """Paths and the plan of one run. The plan is a plain dict:

    {"digest": hex name of the job, "job": {"name", "seed", "sampling"}, "points": [parameters, ...],
     "tasks": [[task id, index of its point, disorder], ...]} with points and tasks in job order.
    """

    path: Path
    plan: Mapping

    @classmethod
    def create(cls, path: Path, plan: Mapping, job_text: str) -> RunFolder:
        """A new run folder. StorageError if it exists with a plan or cannot be written."""
        path = Path(path)
        if (path / schema.PLAN_FILE).exists():
            raise StorageError(
                f"{path} already holds a run; continue it with --resume or choose another folder with --out"
            )
        try:
            if (path / schema.JOB_FILE).exists() and (path / schema.JOB_FILE).read_text(encoding="utf-8") != job_text:
                raise StorageError(
                    f"{path} holds another {schema.JOB_FILE}, which would be overwritten; choose another folder "
                    "with --out"
                )
            (path / schema.TASK_FOLDER).mkdir(parents=True, exist_ok=True)
            (path / schema.JOB_FILE).write_text(job_text, encoding="utf-8")
            temporary = path / (schema.PLAN_FILE + ".tmp")
            temporary.write_text(to_json({"hebb_schema": schema.SCHEMA_VERSION, **plan}), encoding="utf-8")
            os.replace(temporary, path / schema.PLAN_FILE)
        except OSError as error:
            raise StorageError(
                f"cannot write the run folder {path} ({error.strerror or error}); choose another with --out"
            ) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder; StorageError if there is none."""
        path = Path(path)
        try:
            plan = json.loads((path / schema.PLAN_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StorageError(
                f"{path} is not a run folder (it has no {schema.PLAN_FILE}); `hebb run JOB.toml --out DIR` makes one"
            ) from None
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{path / schema.PLAN_FILE} cannot be read ({error}); move the folder away and run the job again"
            ) from error
        return cls(path, plan)

    def require_writable(self) -> None:
        """StorageError now rather than after the first hour."""
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

    def statuses(self) -> dict[str, dict]:
        """task id -> scalar fields of its file (taskfile.read_status), for the tasks that have one, in job order."""
        paths = {task_id: self.task_path(task_id) for task_id, _, _ in self.plan["tasks"]}
        return {task_id: read_status(path) for task_id, path in paths.items() if path.exists()}
