"""What is in the folder of tasks of a run, at one moment: finished tasks in packs, all others in files of their own.

A task file (`taskfile`) holds a checkpoint, a failed task, or a result that is too large for a pack; runs of the first versions
have one for every task. A pack is believed before a file, which is then left over from before the end of its task.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import DamagedFile, StorageError
from ..params import canonical_json, shown
from . import schema
from .damage import move_aside
from .packs import ROW, Pack, kin_of, ledger_of, rows_of
from .sealed import Broken
from .taskfile import TaskRecord, read_status, read_task

__all__ = ["Source", "Tasks", "settings_of"]

_REMEDY = "run the job again with --resume, which moves it aside and repeats only this task"


class Tasks:
    """The tasks of a plan, by their number in it, as they lie in a folder.

    done: (n,) bool, of tasks that are finished by the word of ledger and files; lost, seconds, ended (n,): whether the planted
    state was left, computing time, time of writing (since 1970; nan where nothing is known). files: number -> fields of a
    task file (`read_status`). damaged: name -> a sentence for everything that cannot be believed, and unbelievable the tasks of
    whose it is known. Results in packs are read, and then believed or not, by `results` and `check`.
    """

    def __init__(self, folder: Path, plan: Mapping):
        self.folder, self.plan = Path(folder), plan
        self.damaged: dict[str, str] = {}
        self.unbelievable: set[int] = set()
        self._bad: set[int] = set()  # places of entries that are damaged
        self.kin = kin_of(plan["job"]["seed"], settings_of(plan["job"]["sampling"]))
        paths = {*self.folder.glob(f"*{schema.PACKS}")}
        paths |= {path.with_suffix(schema.PACKS) for path in self.folder.glob(f"*{schema.LEDGERS}")}
        self._gone: set[bytes] = set()  # tasks that ledgers tell of, whose entries are not there
        self.packs = [pack for path in sorted(paths) if (pack := self._opened(path))]
        self._rows = np.concatenate([np.zeros(0, ROW), *(pack.rows for pack in self.packs)])
        self._owner = np.repeat(np.arange(len(self.packs)), [len(pack.rows) for pack in self.packs])
        ours = self._rows["kin"] == self.kin
        self._entry, self._other = self._latest(np.flatnonzero(ours)), self._latest(np.flatnonzero(~ours))
        self.done = self._entry >= 0
        self.lost, self.seconds, self.ended = np.zeros(len(self), bool), np.zeros(len(self)), np.full(len(self), np.nan)
        self._take_rows(self.done)
        self.files: dict[int, dict] = {}
        self._look_at_files()
        if self._gone:
            self.unbelievable |= {*np.flatnonzero(np.isin(self._names, list(self._gone)) & ~self.done).tolist()}

    def __len__(self) -> int:
        return len(self.plan["tasks"])

    def __enter__(self) -> Tasks:
        return self

    def __exit__(self, *error) -> None:
        for pack in self.packs:
            pack.close()

    @property
    def is_ladder(self) -> bool:
        """Whether the tasks are temperature ladders."""
        return isinstance(self.plan["tasks"][0][1], list)

    def path(self, index: int) -> Path:
        """Where a task file lies, or would."""
        return self.folder / f"{self.plan['tasks'][index][0]}.h5"

    @property
    def packed(self) -> np.ndarray:
        """(n,) bool: finished, and in a pack."""
        return self._entry >= 0

    @property
    def shorter(self) -> np.ndarray:
        """(n,) bool: not done, and a pack holds a result of other settings, from which a longer chain can go on."""
        return ~self.done & (self._other >= 0)

    @property
    def to_be_longer(self) -> np.ndarray:
        """(n,) bool: not done, and there is a result or a checkpoint of fewer sweeps and nothing of this job."""
        found = self.shorter
        found[list(self._short)] = True
        found[list(self.files)] = False
        return found

    def record(self, index: int, state: bool = False) -> TaskRecord | None:
        """What is known of a task, None if nothing is; state: with what continues its chain. Raises DamagedFile."""
        if self._entry[index] >= 0:
            return self._from_pack(index, self._entry[index], Pack.record, state)
        if index in self.files:
            record = read_task(self.path(index), state)
            self._check(index, self.path(index), vars(record))
            return record
        return self._from_pack(index, self._other[index], Pack.record, state) if self._other[index] >= 0 else None

    def known(self) -> dict[int, Source]:
        """Where the records of those tasks lie that are not done and can be continued."""
        begun = self.shorter
        begun[[*self.files, *self._short]] = True
        return {index: self._furthest(index)[1] for index in np.flatnonzero(begun & ~self.done).tolist()}

    def progress(self, index: int) -> int:
        """Sweeps from which a task that is not done can go on, 0 if there is nothing."""
        return self._furthest(index)[0] if index in self.files or index in self._short or self.shorter[index] else 0

    def _furthest(self, index: int) -> tuple[int, Source]:
        """Of its file and the result of a shorter job: the one with more sweeps, and these."""
        found = []
        if index in self.files or index in self._short:
            sweeps = self.files[index]["sweeps_done"] if index in self.files else self._short[index]
            found.append((sweeps, Source(self.path(index))))
        if (place := self._other[index]) >= 0:
            pack, row = self.packs[self._owner[place]], self._rows[place]
            sweeps = pack.head(row)["sweeps_done"] if found else 1  # read only where there is a choice
            found.append((sweeps, Source(pack.path, row.tobytes())))
        return max(found, key=lambda item: item[0])

    def results(self, indices: Iterable[int]) -> Iterator[tuple[int, TaskRecord]]:
        """(number, record) of the finished tasks among these. Damaged ones are left out, and entered in `damaged`."""
        for index in indices:
            while self.done[index]:  # a task may have been computed twice
                try:
                    record = self.record(index)
                except DamagedFile as error:
                    self._disbelieve(index, str(error))
                else:
                    yield index, record
                    break

    def check(self, stop: Callable[[], bool] = lambda: False, indices: np.ndarray | None = None) -> None:
        """Read everything in packs that counts, with final states: what cannot be believed is no longer done, and `damaged`.
        indices: of these tasks only."""
        for index in (np.arange(len(self)) if indices is None else indices).tolist():
            while self._entry[index] >= 0 or not self.done[index] and self._other[index] >= 0:
                if stop():
                    return
                try:
                    self._from_pack(index, self._entry[index] if self._entry[index] >= 0 else self._other[index], Pack.head)
                except DamagedFile as error:
                    self._disbelieve(index, str(error))
                else:
                    break

    def disbelieve(self, index: int, reason: str) -> None:
        """Enter a finished task in `damaged`."""
        place = self._entry[index]
        where = self.path(index) if place < 0 else self._where(index, place)
        self._disbelieve(index, f"{where} {reason}; {_REMEDY}")

    def shapes(self, index: int) -> dict[str, tuple]:
        """name -> shape of the series of a finished task, {} if it is not."""
        return next(({name: array.shape for name, array in record.series.items()} for _, record in self.results([index])), {})

    def repair(self) -> None:
        """Cut off what a killed writer left, write ledgers again, remove files of tasks that are in packs. Only after `check`,
        and for who holds the lock."""
        for pack in self.packs:
            pack.repair()
        for index in self._superseded:
            if self._entry[index] >= 0:
                self.path(index).unlink(missing_ok=True)

    def strangers(self) -> tuple[int, int]:
        """Numbers of results and of bytes that the plan has no use for: tasks that no longer belong to it, and what was
        computed again."""
        count = size = 0
        for pack, useful in self._useful():
            count += int(np.sum(~useful))
            size += int(np.sum((pack.rows["result"] + pack.rows["state"])[~useful]))
        files = self._stranger_files()
        return count + len(files), size + sum(path.stat().st_size for path in files)

    def remove_strangers(self) -> None:
        """Remove them for good. Only after `check`, and for who holds the lock."""
        for pack, useful in list(self._useful()):
            if not useful.all():
                pack.rewrite(pack.rows[useful])
        for path in self._stranger_files():
            path.unlink()

    def _useful(self) -> Iterator[tuple[Pack, np.ndarray]]:
        """Every pack, and which of its rows the plan needs."""
        needed = np.zeros(len(self._rows), bool)
        needed[self._entry[self._entry >= 0]] = True
        needed[self._other[self.shorter]] = True
        for number, pack in enumerate(self.packs):
            yield pack, needed[self._owner == number]

    def _stranger_files(self) -> list[Path]:
        mine = {self.path(index).name for index in range(len(self))}
        return [path for path in sorted(self.folder.glob("*.h5")) if path.name not in mine]

    def set_aside(self) -> Path:
        """Move what is damaged into a folder of its own, which is returned; whole entries of a damaged pack stay. Only for who
        holds the lock."""
        bad = np.zeros(len(self._rows), bool)
        bad[list(self._bad)] = True
        readable = {pack.path.name: number for number, pack in enumerate(self.packs)}
        for name in {name.partition(" ")[0] for name in self.damaged}:
            if (number := readable.get(name)) is not None:
                good = self.packs[number].rows[~bad[self._owner == number]]
                self.packs[number].rewrite(good, lambda path: move_aside(self.folder.parent, path, copy=True))
            elif os.path.lexists(self.folder / name):
                move_aside(self.folder.parent, self.folder / name)
        return self.folder.parent / schema.DAMAGED_FOLDER

    def _opened(self, path: Path) -> Pack | None:
        try:
            pack = Pack(path)
        except IsADirectoryError:
            self.damaged[path.name] = f"{path} is not a file; move it away"
            return None
        except FileNotFoundError:
            if path.is_symlink():
                self.damaged[path.name] = f"{path} is not a file; move it away"
                return None
            self._gone |= {bytes(name) for name in rows_of(ledger_of(path))["task"]}
            self.damaged[ledger_of(path).name] = f"{ledger_of(path)} lists the tasks of a pack that is missing; {_REMEDY}"
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        for begin, end in pack.gaps:
            self.damaged[f"{path.name} {begin}"] = (
                f"{path} {begin} begins {end - begin} bytes that are no result of a task; {_REMEDY}")
        self._gone |= {bytes(row["task"]) for row in pack.missing}
        for row in pack.missing:
            name = bytes(row["task"]).decode(errors="replace")
            self.damaged[f"{path.name} {name}"] = f"{path} {name} is missing, for the pack is truncated; {_REMEDY}"
        return pack

    def _latest(self, places: np.ndarray) -> np.ndarray:
        """(n,) for every task of the plan the place of its last entry among these, -1 if there is none."""
        found = np.full(len(self), -1)
        if len(places):
            rows = self._rows[places]
            order = np.lexsort((rows["ended"], rows["task"]))
            names = rows["task"][order]
            last = np.flatnonzero(np.append(names[1:] != names[:-1], True))
            at = np.minimum(np.searchsorted(names[last], self._names), len(last) - 1)
            good = names[last][at] == self._names
            found[good] = places[order[last[at[good]]]]
        return found

    @cached_property
    def _names(self) -> np.ndarray:
        return np.array([task_id for task_id, _, _ in self.plan["tasks"]], dtype=ROW["task"])

    def _look_at_files(self) -> None:
        there: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            there = {name for name in os.listdir(self.folder) if name.endswith(".h5")}
        self._superseded: list[int] = []
        self._short: dict[int, int] = {}  # with a file of a job of fewer sweeps, and its sweeps
        for index, (task_id, _, _) in enumerate(self.plan["tasks"]) if there else ():
            if f"{task_id}.h5" not in there:
                continue
            path = self.path(index)
            if self._entry[index] >= 0:
                self._superseded.append(index)
                continue
            try:
                found = read_status(path)
                self._check(index, path, found, longer=True)
            except DamagedFile as error:
                self._disbelieve(index, str(error))
                continue
            except StorageError:
                if path.exists():
                    raise
                continue  # a run has just finished this task
            if self._is_shorter(found["sampling"]):
                self._short[index] = found["sweeps_done"]
                continue
            self.files[index] = found
            self.done[index] = found["status"] == "done"
            self.lost[index], self.seconds[index] = found["lost"], found["seconds"]
            with contextlib.suppress(OSError):
                self.ended[index] = os.stat(path).st_mtime

    def _disbelieve(self, index: int, sentence: str) -> None:
        """Enter what a task was believed by in `damaged`, and believe the entry of before, if there is one."""
        place = self._entry[index] if self._entry[index] >= 0 else self._other[index] if self.shorter[index] else -1
        name = self.path(index).name if place < 0 else self._where(index, place).rpartition("/")[2]
        self.damaged[name] = sentence
        self.files.pop(index, None)
        self.done[index], self.lost[index], self.seconds[index] = False, False, 0.0
        if place >= 0:
            self._bad.add(int(place))
            left = np.array(sorted({*np.flatnonzero(self._rows["task"] == self._names[index])} - self._bad), dtype=int)
            ours = self._rows["kin"][left] == self.kin
            self._entry[index], self._other[index] = (self._latest(left[of])[index] for of in (ours, ~ours))
            self.done[index] = self._entry[index] >= 0
            self._take_rows(np.arange(len(self)) == index)
        (self.unbelievable.discard if self.done[index] else self.unbelievable.add)(index)

    def _take_rows(self, which: np.ndarray) -> None:
        """What the rows of these tasks tell, where they are done."""
        which = which & self.done
        rows = self._rows[self._entry[which]]
        self.lost[which], self.seconds[which], self.ended[which] = rows["lost"] > 0, rows["seconds"], rows["ended"]

    def _from_pack(self, index: int, place: int, read: Callable, *options):
        """What a method of a pack reads of an entry, if it is what the plan says."""
        pack, where = self.packs[self._owner[place]], self._where(index, place)
        try:
            found = read(pack, self._rows[place], *options)
            self._check(index, where, found if isinstance(found, dict) else vars(found), longer=place == self._other[index])
        except (Broken, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedFile(f"{where} is damaged ({error}); {_REMEDY}") from error
        except OSError as error:
            raise _unreadable(pack.path, error) from error
        return found

    def _where(self, index: int, place: int) -> str:
        return f"{self.packs[self._owner[place]].path} {self.plan['tasks'][index][0]}"

    def _check(self, index: int, where: Path | str, found: Mapping, longer: bool = False) -> None:
        """Task names are made of the point alone: other jobs, with another seed or sampling, share them. longer: the job may
        ask for more sweeps."""
        task_id, place, disorder = self.plan["tasks"][index]
        if found["task_id"] != task_id:
            raise DamagedFile(f"{where} holds task {shown(found['task_id'])}; {_REMEDY}")
        if disorder != found["disorder"] or self._point(place) != self._canonical(found["parameters"]):
            raise DamagedFile(f"{where} holds another point or disorder sample than the plan says; {_REMEDY}")
        sampling = settings_of(found["sampling"])
        if longer and self._is_shorter(sampling):
            sampling["sweeps"] = self.plan["job"]["sampling"]["sweeps"]
        if self.plan["job"]["seed"] != found["seed"] or self._settings != self._canonical(sampling):
            raise DamagedFile(f"{where} was written by another job (seed or sampling differ); {_REMEDY}")

    def _is_shorter(self, sampling: Mapping) -> bool:
        """Whether a task with these settings made fewer sweeps than the plan asks for."""
        return sampling.get("sweeps", 0) < self.plan["job"]["sampling"].get("sweeps", 0)

    @cached_property
    def _settings(self) -> str:
        return canonical_json(settings_of(self.plan["job"]["sampling"]))

    def _point(self, place) -> str:
        """Canonical JSON of the parameters that the plan has for a task."""
        key = tuple(place) if isinstance(place, list) else place
        if key not in self._points:
            bare = [{name: value for name, value in self.plan["points"][at].items() if name != "measured"}
                    for at in (key if isinstance(key, tuple) else [key])]
            point = bare[0] if isinstance(key, int) else {**bare[0], "temperature": [one["temperature"] for one in bare]}
            self._points[key] = canonical_json(point)
        return self._points[key]

    @cached_property
    def _points(self) -> dict:
        return {}

    def _canonical(self, values: Mapping) -> str:
        """`canonical_json`, remembered: the points of a run are few, and its tasks are many."""
        key = repr(values)
        if key not in self._texts:
            if len(self._texts) > 10_000:
                self._texts.clear()
            self._texts[key] = canonical_json(values)
        return self._texts[key]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be read ({error.strerror or error}); check the disk and the file's permissions, and "
                        "try again")


@dataclass(frozen=True)
class Source:
    """Where the record of a task lies: a task file, or the entry of a pack with this row."""

    path: Path
    row: bytes = b""

    def read(self) -> TaskRecord:
        """The record with what continues its chain. Raises DamagedFile."""
        if not self.row:
            return read_task(self.path)
        try:
            with Pack.unscanned(self.path) as pack:
                return pack.record(np.frombuffer(self.row, ROW)[0], state=True)
        except (Broken, ValueError, KeyError, TypeError) as error:
            raise DamagedFile(f"{self.path} is damaged ({error}); {_REMEDY}") from error
        except OSError as error:
            raise _unreadable(self.path, error) from error


def settings_of(sampling: Mapping) -> dict:
    """Those on which the numbers of one task depend; settings that are not given were unknown to the first versions."""
    return {key: value for key, value in sampling.items() if key != "disorder" and value is not None}
