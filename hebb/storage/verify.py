"""Everything in a run folder read and checked, on request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DamagedFile
from . import schema
from .folder import RunFolder
from .results import Results
from .sealed import check_seal
from .taskfile import read_task

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True)
class Verdict:
    """What was found in a run folder: number of files and of tasks in packs that are as they were written, names of files of
    the first versions among them, whose bytes have no checksum, and name -> reason of what cannot be believed. missing: tasks
    of which nothing is there."""

    good: int
    packed: int
    unsealed: tuple[str, ...]
    damaged: dict[str, str]
    missing: int

    def __str__(self) -> str:
        packed = f" and {self.packed} finished tasks in packs" if self.packed else ""
        lines = [f"{self.good - len(self.unsealed)} files{packed} are as they were written, {self.missing} tasks have none yet"]
        if self.unsealed:
            lines.append(f"{len(self.unsealed)} can be read, and were written before files had checksums: "
                         f"{', '.join(self.unsealed)}")
        lines += [f"damaged: {reason}" for reason in self.damaged.values()]
        return "\n".join(lines)


def verify(path) -> Verdict:
    """Read everything in a run folder: plan, tasks with their checkpoints and final states, results. Nothing is written.

    Raises StorageError where there is no run folder, DamagedFile where its plan is damaged. Cost: that of reading all bytes.
    """
    folder = RunFolder.open(Path(path))
    with folder.tasks() as tasks:
        tasks.check()
        for index in list(tasks.files):
            try:
                read_task(tasks.path(index))
            except DamagedFile as error:
                tasks.damaged[tasks.path(index).name] = str(error)
                del tasks.files[index]
        packed, damaged = int(np.sum(tasks.packed)), dict(tasks.damaged)
        found = {tasks.path(index).name: tasks.path(index) for index in tasks.files}
        missing = len(tasks) - len(found) - packed - len(tasks.unbelievable)
    if folder.results_path.exists():
        try:
            if not Results.open(folder.results_path).belongs_to(folder.plan):
                raise DamagedFile(f"{folder.results_path} is of another job than its folder; `hebb merge` writes it again")
            found[schema.RESULTS_FILE] = folder.results_path
        except DamagedFile as error:
            damaged[schema.RESULTS_FILE] = str(error)
    unsealed = tuple(name for name, file in found.items() if file.exists() and not check_seal(file))
    return Verdict(1 + len(found), packed, unsealed, damaged, missing)
