"""Many finished tasks in one file: a pack, to which its writer appends and in which nothing is ever changed.

Every entry begins with a head of fixed length: what it holds, where, and the SHA-256 of its two parts, the result of a task
and the final state from which its chain could go on. The ledger beside a pack repeats one row of each head, so that a look
at a million tasks reads one array. It is a convenience: where it is missing, short or damaged, the pack is read instead.
A kill leaves at most an entry that is not whole, at the end; a byte that changed is noticed in the entry that holds it, and
the entries behind it are found by the mark with which each begins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..errors import StorageError
from ..params import digest
from . import schema
from .encoding import decoded, encoded, head_of
from .sealed import Broken, folder_to_disk, temporary_beside, write_whole
from .taskfile import GROUPS, TaskRecord

__all__ = ["ROW", "Pack", "PackWriter", "kin_of", "ledger_of", "packable", "rows_of"]

#: One entry, as ledger and head tell it: of which task, `kin_of` its job, where it begins in the pack and how long its parts
#: are, computing time, when it was written (seconds since 1970), whether the planted state was left, and a checksum.
ROW = np.dtype([("task", "S24"), ("kin", "<u8"), ("offset", "<u8"), ("result", "<u8"), ("state", "<u8"),
                ("seconds", "<f8"), ("ended", "<f8"), ("lost", "<u8"), ("check", "<u8")])

_MARK = b"\x93hebb-t\n"
_HEAD = len(_MARK) + ROW.itemsize + 2 * 32
_LARGEST = 1 << 20  # bytes of a record that goes into a pack; larger ones have a file of their own
_TO_DISK = 1.0  # seconds after which what was appended is on disk, too: a kill of the process loses nothing at all
_BLOCK = 1 << 22
_MOST_OPEN = 256
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def kin_of(seed: int, settings: Mapping) -> int:
    """A number that tasks share if their seed and the settings of their chains are the same."""
    return int(digest({"seed": seed, "sampling": dict(settings)})[:16], 16)


def ledger_of(pack: Path) -> Path:
    """The ledger beside a pack."""
    return pack.with_suffix(schema.LEDGERS)


def packable(record: TaskRecord) -> bool:
    """Whether a record goes into a pack: a finished task of moderate size."""
    size = sum(array.nbytes for name in GROUPS.values() for array in getattr(record, name).values())
    return record.status == "done" and size <= _LARGEST and len(record.task_id.encode()) <= ROW["task"].itemsize


class PackWriter:
    """Appends entries to one pack and its ledger. If another process still writes the pack, which can only be what is left of a
    run that was killed, a pack beside it is taken. Raises StorageError where the disk does not take an entry, of which then
    nothing stays."""

    def __init__(self, path: Path, with_ledger: bool = True):
        self.path, self._with_ledger = Path(path), with_ledger
        self._files: tuple[int, int] | None = None
        self._end, self._synced = 0, time.monotonic()

    def append(self, record: TaskRecord, kin: int) -> None:
        """One entry more; `kin_of` the job it belongs to."""
        row = np.zeros((), ROW)
        row["task"], row["kin"], row["lost"] = record.task_id.encode(), kin, record.lost
        row["seconds"], row["ended"] = record.seconds, time.time()
        state = encoded(record, {schema.SNAPSHOT}) if record.snapshot else b""
        self.append_parts(row, encoded(record, {*GROUPS.values()} - {schema.SNAPSHOT}), state)

    def append_parts(self, row, result: bytes, state: bytes) -> None:
        """The same with parts as they lie in a pack; place and lengths in row are filled in."""
        try:
            pack, ledger = self._files or self._open()
            row = row.copy()
            row["offset"], row["result"], row["state"] = self._end, len(result), len(state)
            row["check"] = _checks(row[None])[0]
            mine = row.tobytes()
            entry = b"".join((_MARK, mine, _sha(mine, result), _sha(mine, state), result, state))
            _write_all(pack, self._end, entry)
            with contextlib.suppress(OSError):  # the pack has everything
                _write_all(ledger, os.fstat(ledger).st_size, mine)
            self._end += len(entry)
        except OSError as error:
            raise self._refused(error) from error
        if time.monotonic() - self._synced > _TO_DISK:
            self.to_disk()

    def close(self) -> None:
        """Bring everything to disk."""
        if self._files is None:
            return
        try:
            self.to_disk()
        finally:
            for descriptor in self._files:
                os.close(descriptor)
            self._files = None

    def _open(self) -> tuple[int, int]:
        first, number = self.path, 1
        while not _lock(pack := os.open(self.path, _APPEND, 0o666)):
            os.close(pack)
            self.path, number = first.with_name(f"{first.stem}-{number}{first.suffix}"), number + 1
        if self._with_ledger and os.fstat(pack).st_size:
            Pack(self.path).repair_locked(pack)  # behind an entry that is not whole nothing would be found
        self._files = pack, os.open(ledger_of(self.path) if self._with_ledger else os.devnull, _APPEND, 0o666)
        self._end = os.fstat(pack).st_size
        folder_to_disk(self.path.parent)
        return self._files

    def to_disk(self) -> None:
        """Bring everything to disk now. StorageError where it does not take it."""
        try:
            for descriptor in (self._files or ())[: 1 + self._with_ledger]:
                os.fsync(descriptor)
        except OSError as error:
            raise self._refused(error) from error
        self._synced = time.monotonic()

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"cannot write {self.path} ({error}); check the folder's permissions and free space")


class Pack:
    """A pack, open for reading. rows: of all entries with a sound head, in the order in which they were written; gaps: (begin,
    end) of bytes that belong to no entry; missing: rows of entries behind the end; torn: where an entry begins that is not
    whole, as a kill leaves it or a writer at work, None if there is none.

    Raises OSError where the system does not let it be read; the methods, too.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        listed, whole = _read_ledger(ledger_of(self.path))
        found = os.stat(self.path)  # after the ledger, which never is ahead
        self.size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
        there = _ends(listed) <= self.size
        self.missing, listed = listed[~there], listed[there]
        if len(listed) and not self._is_head(listed[-1]):  # of another pack, or of before it was written again
            self.missing, listed, whole = listed[:0], listed[:0], False
        found, self.gaps, self.torn = self._scan(_end(listed[-1]) if len(listed) else 0)
        self.rows = np.concatenate([listed, np.array(found, ROW)]) if found else listed
        self._ledger_good = whole and not found and not len(self.missing)

    def record(self, row, state: bool = False) -> TaskRecord:
        """The record of an entry; state: with its snapshot. Broken if its bytes are not those that were written."""
        result, final = self._parts(row, state)
        return TaskRecord(**decoded(result) | (decoded(final) if final else {}))

    def head(self, row) -> dict:
        """The record without its arrays, of an entry that is read and checked all the same, with its final state."""
        return head_of(self._parts(row, True)[0])[0]

    @classmethod
    def unscanned(cls, path: Path) -> Pack:
        """A pack of which only entries with a known row are read."""
        pack = cls.__new__(cls)
        pack.path = Path(path)
        return pack

    def repair(self) -> None:
        """Cut off an entry that is not whole, and write the ledger again if it is not that of the pack. A writer that is left
        of a run is let be."""
        if self.torn is None and self._ledger_good:
            return
        with self._alone() as descriptor:
            if descriptor is not None:
                self.repair_locked(descriptor)

    def repair_locked(self, descriptor: int) -> None:
        """The same for who holds the pack by this descriptor."""
        if self.torn is not None:
            os.ftruncate(descriptor, self.torn)
        if not self._ledger_good:
            write_whole(ledger_of(self.path), self.rows.tobytes())

    def rewrite(self, rows: Iterable, keep: Callable[[Path], None] = lambda path: None) -> None:
        """Put a pack with these entries of it, those of them that are sound, in its place; before that, keep(path) is called.
        StorageError where a process still writes it."""
        target = temporary_beside(self.path)
        with self._alone() as descriptor:
            if descriptor is None:
                raise StorageError(f"{self.path} is still written by a process that is left of a run; end it, and try again")
            writer = PackWriter(target, with_ledger=False)
            try:
                for row in rows:
                    with contextlib.suppress(Broken):
                        writer.append_parts(row, *self._parts(row, True))
                writer.close()
                keep(self.path)
                ledger_of(self.path).unlink(missing_ok=True)  # before: a ledger never tells of another pack
                if target.exists():
                    os.replace(target, self.path)
                else:
                    self.path.unlink()
                folder_to_disk(self.path.parent)
            finally:
                with contextlib.suppress(OSError):
                    target.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int | None]:
        """A descriptor that holds the pack against writers, None if there is one."""
        descriptor = os.open(self.path, _APPEND)
        try:
            yield descriptor if _lock(descriptor) else None
        finally:
            os.close(descriptor)

    def close(self) -> None:
        if (descriptor := _open_packs.pop(self, None)) is not None:
            os.close(descriptor)

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _read(self, length: int, at: int) -> bytes:
        if (descriptor := _open_packs.get(self)) is None:
            if len(_open_packs) >= _MOST_OPEN:
                next(iter(_open_packs)).close()
            descriptor = _open_packs[self] = os.open(self.path, os.O_RDONLY)
        return os.pread(descriptor, length, at)

    def _parts(self, row, state: bool) -> tuple[bytes, bytes]:
        """Both parts of an entry, the second one only if it is asked for; Broken unless they are what was written."""
        begin, mine, length = int(row["offset"]), row.tobytes(), int(row["result"])
        content = self._read(_HEAD + length + (int(row["state"]) if state else 0), begin)
        if content[: _HEAD - 64] != _MARK + mine:
            raise Broken("the beginning of its entry has changed")
        parts = content[_HEAD : _HEAD + length], content[_HEAD + length :]
        for part, checksum, length in zip(parts[: 1 + state], (content[_HEAD - 64 : _HEAD - 32], content[_HEAD - 32 : _HEAD]),
                                          (row["result"], row["state"]), strict=False):
            if len(part) < length or _sha(mine, part) != checksum:
                raise Broken("its checksum is not that of its content")
        return parts

    def _is_head(self, row) -> bool:
        return self._read(len(_MARK) + ROW.itemsize, int(row["offset"])) == _MARK + row.tobytes()

    def _scan(self, begin: int) -> tuple[list, list[tuple[int, int]], int | None]:
        """Rows of the entries from here on, what lies between them, and where an entry begins that is not whole."""
        rows, gaps, at = [], [], begin
        while at < self.size:
            head = self._read(len(_MARK) + ROW.itemsize, at)
            row = _sound(head, at)
            reaches = row is not None and _end(row) <= self.size
            if reaches and (self._is_whole(row) or self._next_head(at + 1, _end(row)) is None):
                rows.append(row)
                at = _end(row)
                continue
            if (following := self._next_head(at + 1)) is None:
                cut = len(head) < len(_MARK) + ROW.itemsize and head[: len(_MARK)] == _MARK[: len(head)]
                if row is not None or cut:
                    return rows, gaps, at
                return rows, [*gaps, (at, self.size)], None
            gaps.append((at, following))
            at = following
        return rows, gaps, None

    def _is_whole(self, row) -> bool:
        """Whether its bytes are its own: a torn entry may seem to reach into those that were appended after it."""
        try:
            self._parts(row, True)
        except Broken:
            return False
        return True

    def _next_head(self, begin: int, end: int | None = None) -> int | None:
        """Where the next sound head begins, before end."""
        while begin < (self.size if end is None else end):
            block = self._read(_BLOCK, begin)
            place = block.find(_MARK)
            if place < 0:
                begin += max(1, len(block) - len(_MARK))
            elif _sound(self._read(len(_MARK) + ROW.itemsize, begin + place), begin + place) is not None:
                return begin + place
            else:
                begin += place + 1
        return None


#: Descriptors of packs that are being read: a job on a thousand ranks has more packs than a process may have open files.
_open_packs: dict[Pack, int] = {}


def _lock(descriptor: int) -> bool:
    """Whether nobody else writes this pack. Where the file system has no locks, nobody knows."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def _write_all(descriptor: int, begin: int, content: bytes) -> None:
    """Append all of it, or nothing."""
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(descriptor, view):]
    except BaseException:
        os.ftruncate(descriptor, begin)
        raise


def _sound(head: bytes, at: int):
    """The row in a head, None if it is no head of an entry at this place."""
    if len(head) < len(_MARK) + ROW.itemsize or not head.startswith(_MARK):
        return None
    row = np.frombuffer(head, ROW, 1, len(_MARK))
    return row[0] if _checks(row)[0] == row["check"][0] and row["offset"][0] == at else None


def _end(row) -> int:
    return int(row["offset"]) + _HEAD + int(row["result"]) + int(row["state"])


def _ends(rows: np.ndarray) -> np.ndarray:
    return rows["offset"] + rows["result"] + rows["state"] + np.uint64(_HEAD)


def rows_of(ledger: Path) -> np.ndarray:
    """The rows of a ledger that can be believed."""
    return _read_ledger(ledger)[0]


def _read_ledger(path: Path) -> tuple[np.ndarray, bool]:
    """The rows at the beginning of a ledger that can be believed, and whether these are all."""
    try:
        content = path.read_bytes()
    except OSError:
        return np.zeros(0, ROW), False
    rows = np.frombuffer(content[: len(content) - len(content) % ROW.itemsize], ROW)
    good = _checks(rows) == rows["check"]
    good[1:] &= rows["offset"][1:] == _ends(rows)[:-1]
    good[:1] &= rows["offset"][:1] == 0
    number = len(rows) if good.all() else int(np.argmin(good))
    return rows[:number], number * ROW.itemsize == len(content)


def _checks(rows: np.ndarray) -> np.ndarray:
    """A checksum of everything else in each row. Every step can be undone, so that no single word can change unseen."""
    words = np.ascontiguousarray(rows).view("<u8").reshape(len(rows), ROW.itemsize // 8)
    total = np.full(len(rows), 0x9E3779B97F4A7C15, "<u8")
    for column in words.T[:-1]:
        total = (total ^ column) * np.uint64(0xBF58476D1CE4E5B9)
        total ^= total >> np.uint64(29)
    return total


def _sha(row: bytes, part: bytes) -> bytes:
    sha = hashlib.sha256(row)
    sha.update(part)
    return sha.digest()
