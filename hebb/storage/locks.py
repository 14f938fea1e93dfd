"""The lock of a run folder: one run at a time writes in it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..errors import HebbWarning, StorageError
from . import schema

__all__ = ["is_held", "lock", "one_at_a_time", "unwritable"]


@contextlib.contextmanager
def lock(path: Path, patience: float = 0.0, part: str = "") -> Iterator[None]:
    """Hold the run folder path, made if it is missing, against other runs. StorageError, naming the owner, if it is held.

    The lock is the system's (flock): it ends with its process, however that dies, and what is left of the file does not
    matter. patience: seconds to wait for an owner that is about to end. Readers and `hebb merge` do not ask for it.
    part: the name of a part of the job, which holds the folder against whole runs and against itself only.
    """
    with _held(Path(path), schema.LOCK_FILE, patience, shared=bool(part)):
        with _held(Path(path), f"{schema.LOCK_FILE}.{part}", patience) if part else contextlib.nullcontext():
            yield


@contextlib.contextmanager
def one_at_a_time(path: Path, patience: float) -> Iterator[None]:
    """Hold the folder while a part of a job makes it ready, or looks whether it is; the others wait."""
    with _held(Path(path), f"{schema.LOCK_FILE}.ready", patience):
        yield


@contextlib.contextmanager
def _held(path: Path, name: str, patience: float, shared: bool = False) -> Iterator[None]:
    file = path / name
    end = time.monotonic() + max(patience, 0.1)  # `hebb status` asks for a moment whether it is held
    try:
        path.mkdir(parents=True, exist_ok=True)
        while (descriptor := _try_lock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)) is None:
            if time.monotonic() >= end:
                raise StorageError(
                    f"{path} is in use by {_owner(file)}; wait for it or stop it and continue with "
                    "--resume, or choose another folder with --out"
                )
            time.sleep(0.05)
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise unwritable(path, error) from error
    try:
        with contextlib.suppress(OSError):  # a full disk is noticed where it matters
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            if shared:  # the last one removes it
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
        os.close(descriptor)


def unwritable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"cannot write the run folder {path} ({getattr(error, 'strerror', None) or error}); choose another with --out"
    )


def _try_lock(file: Path, kind: int) -> int | None:
    """A descriptor that holds the lock, None if another process does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor  # otherwise its last owner has just removed it: try again
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
            warnings.warn(
                f"the file system of {file.parent} has no locks; start only one run in it at a time",
                HebbWarning,
                stacklevel=6,
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


def is_held(path: Path) -> bool:
    """Whether a run works in the folder, as far as the system tells. The question lasts a moment, for which a run that begins
    waits."""
    try:
        descriptor = os.open(path / schema.LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # parts of a job share it
        return False
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)  # otherwise there are no locks here
    finally:
        os.close(descriptor)
