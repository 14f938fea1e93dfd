"""Where the records of a rank go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import schema
from .packs import PackWriter, kin_of, packable
from .taskfile import TaskRecord, write_task
from .tasks import settings_of

__all__ = ["TaskWriter"]


class TaskWriter:
    """Puts the records of one rank into a run folder: finished ones into its pack, everything else into files. part: the name
    of the part of the job, whose ranks have packs of their own."""

    def __init__(self, folder: Path, plan_job: Mapping, rank: int = 0, part: str = ""):
        self.folder = Path(folder)
        self._kin = kin_of(plan_job["seed"], settings_of(plan_job["sampling"]))
        self._pack = PackWriter(self.folder / f"{part}{'-' * bool(part)}{rank:04d}{schema.PACKS}")

    def write(self, record: TaskRecord) -> None:
        """StorageError where the disk does not take it; what was there before is kept then."""
        path = self.folder / f"{record.task_id}.h5"
        if packable(record):
            self._pack.append(record, self._kin)
            if path.exists():  # its checkpoint, which goes only when the result is on disk
                self._pack.to_disk()
                path.unlink(missing_ok=True)
        else:
            write_task(path, record)

    def __enter__(self) -> TaskWriter:
        return self

    def __exit__(self, *error) -> None:
        self._pack.close()
