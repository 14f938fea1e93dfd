"""What cannot be believed: moved aside, and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import StorageError
from . import schema

__all__ = ["move_aside", "named"]


def move_aside(folder: Path, file: Path, copy: bool = False) -> None:
    """Move a file (or a copy of it) into the folder of damaged ones, under a name that is free there."""
    place = folder / schema.DAMAGED_FOLDER
    try:
        place.mkdir(exist_ok=True)
        target, number = place / file.name, 1
        while os.path.lexists(target):
            target, number = place / f"{file.stem}.{number}{file.suffix}", number + 1
        if copy:
            shutil.copy2(file, target)
        elif file.is_symlink():
            file.rename(target)
        else:
            shutil.move(file, target)  # tasks may lie on another disk
    except OSError as error:
        raise StorageError(f"cannot move {file} to {place} ({error.strerror or error}); check permissions and free space"
                           ) from error


def named(damaged: Mapping[str, str]) -> str:
    """Everything that cannot be believed, and why, in one sentence without remedy."""
    reasons: dict[str, list[str]] = {}
    for name, text in damaged.items():
        reason = text.split(f"{name} ", 1)[-1].rpartition("; ")[0]
        reasons.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" if len(names) > 1 else f"{names[0]} {reason}"
                     for reason, names in reasons.items())
