"""plan.json of a run folder: written whole, read with suspicion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import DamagedFile, StorageError
from . import schema
from .sealed import write_whole
from .taskfile import to_json

__all__ = ["read_plan", "write_plan"]

_OF_PLANS = "run the job again with --resume, which writes it again"
_CHECKSUM, _NO_SUM = "checksum", 64 * "0"  # of a plan's other bytes; the first plans lack it
_KEYS = {"hebb_schema", "digest", "job", "points", "asked", "tasks"}  # of a plan; another one is a changed one


def read_plan(path: Path) -> dict:
    """The plan in a run folder, as `folder.RunFolder` says. StorageError if there is none, DamagedFile if it is not what was
    written."""
    try:
        content = (path / schema.PLAN_FILE).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character
        if isinstance(error, PermissionError | IsADirectoryError):
            raise StorageError(
                f"{path / schema.PLAN_FILE} cannot be read ({error.strerror}); check its permissions or move it away"
            ) from None
        raise StorageError(
            f"{path} is not a run folder (it has no {schema.PLAN_FILE}); `hebb run JOB.toml --out DIR` makes one"
        ) from None
    try:
        plan = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path / schema.PLAN_FILE} cannot be read ({error}); {_OF_PLANS}") from error
    changed = DamagedFile(f"{path / schema.PLAN_FILE} was changed after it was written; {_OF_PLANS}")
    checksum = plan.pop(_CHECKSUM, None) if isinstance(plan, dict) else None
    if checksum is not None and (not isinstance(checksum, str) or checksum != _sum_of(content, checksum)):
        raise changed
    if isinstance(plan, dict) and isinstance(layout := plan.get("hebb_schema", 0), int) and layout > schema.PLAN_VERSION:
        raise StorageError(f"{path / schema.PLAN_FILE} was written by a newer hebb (layout {layout}, this one knows up to "
                           f"{schema.PLAN_VERSION}); install that version to read it")
    if not _is_plan(plan):
        raise DamagedFile(f"{path / schema.PLAN_FILE} is not a plan of hebb; {_OF_PLANS}, or move it away")
    if not plan.keys() <= _KEYS:
        raise changed
    return plan


def write_plan(path: Path, plan: Mapping) -> None:
    """Put the plan into a run folder, with its checksum."""
    text = to_json({**plan, "hebb_schema": schema.PLAN_VERSION, _CHECKSUM: _NO_SUM}).encode()
    write_whole(path / schema.PLAN_FILE, text.replace(_entry(_NO_SUM), _entry(_sum_of(text))))


def _sum_of(text: bytes, checksum: str = _NO_SUM) -> str:
    """The checksum of a plan's bytes, in which it stands itself as zeros."""
    return hashlib.sha256(text.replace(_entry(checksum), _entry(_NO_SUM))).hexdigest()


def _entry(checksum: str) -> bytes:
    return f'"{_CHECKSUM}": "{checksum}"'.encode()


def _is_plan(plan) -> bool:
    """Whether it has the shape that `RunFolder` promises."""
    try:
        points, tasks, job = plan["points"], plan["tasks"], plan["job"]
        return (
            isinstance(plan["digest"], str)
            and isinstance(job["name"], str)
            and isinstance(job["sampling"], dict)
            and "seed" in job
            and bool(points and tasks)
            and all(isinstance(point, dict) for point in (*points, *plan.get("asked", [])))
            and len(plan.get("asked", points)) == len(points)
            and all(isinstance(name, str) and disorder >= 0 for name, _, disorder in tasks)
            and all(0 <= at < len(points) for _, places, _ in tasks
                    for at in (places if isinstance(places, list) else [places]))
        )
    except (KeyError, TypeError, ValueError):
        return False
