"""Every file of a run folder read and checked, on request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import DamagedFile
from . import schema
from .folder import RunFolder
from .results import Results
from .sealed import check_seal

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True)
class Verdict:
    """What was found in a run folder: number of files that can be read, names of those of the first versions among them, whose
    bytes have no checksum, and name -> reason of those that cannot be believed. missing: tasks without a file."""

    good: int
    unsealed: tuple[str, ...]
    damaged: dict[str, str]
    missing: int

    def __str__(self) -> str:
        lines = [f"{self.good - len(self.unsealed)} files are as they were written, {self.missing} tasks have none yet"]
        if self.unsealed:
            lines.append(f"{len(self.unsealed)} can be read, and were written before files had checksums: "
                         f"{', '.join(self.unsealed)}")
        lines += [f"damaged: {reason}" for reason in self.damaged.values()]
        return "\n".join(lines)


def verify(path) -> Verdict:
    """Read every file of a run folder: plan, tasks with their checkpoints, results. Nothing is written.

    Raises StorageError where there is no run folder, DamagedFile where its plan is damaged. Cost: that of reading all bytes.
    """
    folder = RunFolder.open(Path(path))
    damaged: dict[str, str] = {}
    found = {f"{record.task_id}.h5": folder.task_path(record.task_id) for record in folder.records(damaged)}
    damaged = {f"{task_id}.h5": reason for task_id, reason in damaged.items()}
    missing = len(folder.plan["tasks"]) - len(found) - len(damaged)
    if folder.results_path.exists():
        try:
            if not Results.open(folder.results_path).belongs_to(folder.plan):
                raise DamagedFile(f"{folder.results_path} is of another job than its folder; `hebb merge` writes it again")
            found[schema.RESULTS_FILE] = folder.results_path
        except DamagedFile as error:
            damaged[schema.RESULTS_FILE] = str(error)
    unsealed = tuple(name for name, file in found.items() if file.exists() and not check_seal(file))
    return Verdict(1 + len(found), unsealed, damaged, missing)
