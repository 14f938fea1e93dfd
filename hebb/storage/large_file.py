"""A file that the HDF5 library writes in any order, and that never refuses it anything.

HDF5 does not survive a disk that is full: its own close fails half-way. So what the system does not take is noted here, and
HDF5 ends in peace; its file is then thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path

from ..errors import StorageError
from .sealed import folder_to_disk, seal_of, temporary_beside

__all__ = ["LargeFile"]

_BLOCK = 1 << 20


class LargeFile(io.RawIOBase):
    """A new file beside path, which takes its place with `finish`, sealed and on disk; without it nothing stays."""

    def __init__(self, path: Path):
        self.path, self._beside = path, temporary_beside(path)
        self._refusal: OSError | None = None
        self._at, self._size = 0, 0
        self._untaken: dict[int, bytes] = {}
        try:
            self._file = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise self._sentence(error) from error

    def require_taken(self) -> None:
        """StorageError if the system has refused anything."""
        if self._refusal is not None:
            raise self._sentence(self._refusal) from self._refusal

    def finish(self) -> None:
        """Seal it, bring it to disk, and put it in place."""
        self.require_taken()
        try:
            found, at = hashlib.sha256(), 0
            while block := os.pread(self._file, _BLOCK, at):
                found.update(block)
                at += len(block)
            self._put(seal_of(found), at)
            self.require_taken()
            os.fsync(self._file)
            os.replace(self._beside, self.path)
            folder_to_disk(self.path.parent)
        except OSError as error:
            raise self._sentence(error) from error

    def __exit__(self, kind, error, trace) -> None:
        os.close(self._file)
        with contextlib.suppress(OSError):
            self._beside.unlink(missing_ok=True)  # gone already, unless something went wrong
        if kind is not None and not issubclass(kind, StorageError):
            self.require_taken()  # the cause of whatever HDF5 says

    # What the HDF5 library uses.

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, content) -> int:
        view = memoryview(content).cast("B")
        self._put(view, self._at)
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def readinto(self, target) -> int:
        view = memoryview(target).cast("B")
        number = max(0, min(len(view), self._size - self._at))
        if (kept := self._untaken.get(self._at)) is not None and len(kept) >= number:
            view[:number] = kept[:number]
        else:
            content = os.pread(self._file, number, self._at)
            view[:number] = content + bytes(number - len(content))
        self._at += number
        return number

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._refusal = self._refusal or error
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def _put(self, view: memoryview, at: int) -> None:
        done = 0
        try:
            while self._refusal is None and done < len(view):
                done += os.pwrite(self._file, view[done:], at + done)
        except OSError as error:
            self._refusal = error
        if self._refusal is not None and len(view) <= _BLOCK:  # what HDF5 may want to read again
            self._untaken[at] = bytes(view)

    def _sentence(self, error: OSError) -> StorageError:
        return StorageError(f"cannot write {self.path} ({error}); check the folder's permissions and free space")
