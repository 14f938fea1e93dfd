"""Files that are whole or not there, and that tell when a byte of them has changed.

Everything hebb keeps is made in memory and written as plain bytes: beside the old file, to disk, renamed over it, and the
folder to disk. A full disk, a quota or a limit on file sizes is then an error of `write`, never one inside the HDF5 library.
The bytes end with a seal, the SHA-256 of all before it. HDF5 does not look beyond its own end, so that other programs read
such files as before. Files of the first versions have no seal, and are taken as they are.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import time
from pathlib import Path

from ..errors import StorageError

__all__ = ["SEALED", "Broken", "check_seal", "folder_to_disk", "is_leftover", "is_temporary", "seal", "seal_of",
           "temporary_beside", "write_whole"]

#: Root attribute of HDF5 files that must end with a seal: without it, cutting the seal off would make an old file of a new one.
SEALED = "hebb_sealed"

_MARK = b"\nhebb-sha256:"
_LENGTH = len(_MARK) + 64 + 1
_BLOCK = 1 << 20
_OLD = 86400.0  # seconds after which a half-written file of another machine is left over
_TEMPORARY = re.compile(r".+\.(h5|json|toml|pack|ledger)\.(.+)-(\d+)\.tmp")


class Broken(ValueError):
    """The bytes of a file are not those that were sealed."""


def seal(content: bytes | memoryview) -> bytes:
    """What follows content in its file."""
    return seal_of(hashlib.sha256(content))


def seal_of(found) -> bytes:
    """The same, of content that has gone through hashlib.sha256."""
    return _MARK + found.hexdigest().encode() + b"\n"


def check_seal(path: Path) -> bool:
    """Whether a file has a seal. Raises Broken if its content is another one, OSError if it cannot be read."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - _LENGTH
        if size < 0:
            return False
        file.seek(size)
        end = file.read(_LENGTH)
        if not end.startswith(_MARK):
            return False
        file.seek(0)
        found, left = hashlib.sha256(), size
        while left and (block := file.read(min(left, _BLOCK))):
            found.update(block)
            left -= len(block)
    if end != seal_of(found):
        raise Broken("its checksum is not that of its content")
    return True


def temporary_beside(path: Path) -> Path:
    """A name beside path that no other process uses, whichever machine of a shared disk it runs on."""
    return path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `write_whole` was writing, or is."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_leftover(path: Path) -> bool:
    """The same of a process that no longer runs, as far as this machine knows."""
    if (found := _TEMPORARY.fullmatch(path.name)) is None:
        return False
    try:
        if found[2] != socket.gethostname():  # who knows
            return time.time() - path.stat().st_mtime > _OLD
        return int(found[3]) == os.getpid() or os.kill(int(found[3]), 0)
    except (ProcessLookupError, FileNotFoundError, OverflowError):
        return True
    except PermissionError:
        return False


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Put the parts, one after the other, under path: the old file or all of the new one, whatever happens meanwhile.

    Raises StorageError where the disk does not take them; what was written of them is removed.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder_to_disk(path.parent)  # the rename itself
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error}); check the folder's permissions and free space") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # gone already, unless something went wrong


def folder_to_disk(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
        # a file system that does not do this for folders; the file itself is on disk
