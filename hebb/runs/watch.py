"""Signs of life: who has stopped is named, instead of being waited for without end.

A small thread of every rank tells rank 0 every few seconds that it lives, and rank 0 answers. Kernels release the interpreter
lock, so a rank that computes one task for days is heard all the time; one that the system has stopped, whose machine hangs, or
whose network is gone is not. A thread cannot see that another one of its own process waits for a dead disk.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ..errors import ParameterError

__all__ = ["Watch", "hung_after"]

#: The environment variable with the seconds of silence after which a rank counts as hung, and its default.
_VARIABLE, _LIMIT = "HEBB_HUNG_AFTER", 600.0

_SHORTEST = 1.0  # seconds: sooner, a busy machine would look hung
_BEAT = 10.0  # seconds between signs of life; with a short limit a fifth of it
_LIFE, _LEAVING = 2, -2  # the tag of signs of life, and what stands for a task in the last one
NO_TASK = -1


def hung_after(limit: float | None = None) -> float | None:
    """The seconds of silence after which a rank counts as hung: limit, else HEBB_HUNG_AFTER, else 600; None: never.

    A limit of 0 means never. ParameterError for what is no such number.
    """
    given = os.environ.get(_VARIABLE, "") if limit is None else limit
    if given == "":
        return _LIMIT
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if seconds == 0.0:
        return None
    if not _SHORTEST <= seconds < math.inf:
        raise ParameterError(f"{_VARIABLE} = {given} is no number of seconds of at least {_SHORTEST:g}, nor 0 (ranks are "
                             f"waited for without end); unset it for {_LIMIT:g} s")
    return seconds


class Watch:
    """The thread of one rank. task: the index that this rank computes, set by whoever computes it.

    comm: a communicator of this thread alone. guard: held around every call of MPI. beat: called before every sign of life.
    hung: called with a sentence when a rank has been silent for limit seconds; it ends the job.
    """

    def __init__(self, comm, hosts: Sequence[str], guard: AbstractContextManager, limit: float, beat: Callable[[], None],
                 hung: Callable[[str], None]):
        self._comm, self._hosts, self._guard = comm, hosts, guard
        self._limit, self._beat, self._hung = limit, beat, hung
        self._every = min(_BEAT, limit / 5)
        self._here = comm.Get_rank()
        self.task = NO_TASK
        others = range(1, comm.Get_size()) if self._here == 0 else (0,)
        self._heard = dict.fromkeys(others, time.monotonic())
        self._tasks = dict.fromkeys(others, NO_TASK)  # what they compute
        self._sent: list[Any] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="signs of life", daemon=True)
        self._thread.start()

    def computes(self, rank: int, task: int) -> None:
        """Rank 0 has given this rank a task: newer than its last sign of life."""
        self._tasks[rank] = task

    def close(self) -> None:
        """This rank leaves in order, and is not missed."""
        self._end.set()
        self._thread.join()
        for rank in self._heard:
            self._say(rank, _LEAVING)

    def _keep(self) -> None:
        pause, looked, spoken = min(1.0, self._every / 4), time.monotonic(), -math.inf
        while not self._end.wait(pause):
            now = time.monotonic()
            if now - looked > max(4 * pause, self._limit / 4):  # this rank itself was stopped, perhaps with all others
                self._heard = dict.fromkeys(self._heard, now)
            looked = now
            if self._here != 0 and self._heard and now - spoken >= self._every:
                self._beat()
                self._say(0, self.task)
                spoken = now
            self._listen(now)
            for rank, heard in self._heard.items():
                if now - heard > self._limit:
                    self._hung(self._sentence(rank))
                    return

    def _listen(self, now: float) -> None:
        while True:
            with self._guard:
                # a sleeper's first look fetches a message from the network, the second one sees it
                if not (self._comm.iprobe(tag=_LIFE) or self._comm.iprobe(tag=_LIFE)):
                    return
                rank, task = self._comm.recv(tag=_LIFE)
            if task == _LEAVING:
                self._heard.pop(rank, None)
                continue
            self._heard[rank], self._tasks[rank] = now, task
            if self._here == 0:
                self._say(rank, self.task)

    def _say(self, rank: int, task: int) -> None:
        """Without waiting: who has hung takes no message."""
        with self._guard:
            self._sent = [request for request in self._sent if not request.Test()]
            if len(self._sent) < 2 * len(self._hosts):
                self._sent.append(self._comm.isend((self._here, task), rank, tag=_LIFE))

    def _sentence(self, rank: int) -> str:
        task = self._tasks[rank]
        doing = "between tasks" if task == NO_TASK else f"at task {task} of plan.json, counted from 0"
        return (f"rank {rank} on {self._hosts[rank]} has given no sign of life for {self._limit:g} s ({_VARIABLE}), {doing}; "
                "finished tasks and checkpoints are kept: look at that machine, then continue with --resume")
