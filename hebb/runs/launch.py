"""`hebb run --ranks N`: the process that starts mpiexec, passes signals on to it, and says what became of the ranks.

MPICH's mpiexec passes on INT, TERM and USR1; the other signals that ask for an orderly stop end it and the ranks at once. So
mpiexec gets a session of its own, in which no terminal reaches it, and each of these signals from here, in a form it passes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .environment import TWICE

__all__ = ["supervise"]

#: The signals that ask for an orderly stop, and what MPICH's mpiexec gets for each. That of Open MPI ends the ranks at INT and
#: TERM, and gets USR1 for these, too.
_PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGUSR1: signal.SIGUSR1,
    signal.SIGHUP: signal.SIGUSR1,
    signal.SIGUSR2: signal.SIGUSR1,
    signal.SIGXCPU: signal.SIGUSR1,
}

_CODES = (0, 1, 2, 3, 130)  # with which ranks end by themselves
_LOOK = 0.5  # seconds between looks for ranks that have started
_GRACE = 5.0  # seconds for ranks to end after mpiexec has
_PR_SET_PDEATHSIG = 1

#: The environment variable by which mpiexec, its helpers and the ranks are known: each has a session of its own.
_MARK = "HEBB_LAUNCH"


def supervise(command: Sequence[str], environment: dict[str, str], ranks: int, again: str) -> int:
    """Run the command of an mpiexec to its end and return the exit code of `hebb run`.

    again: the command line that continues the run. Where a rank dies, a sentence on stderr names it and the code is 2. If this
    process is killed, Linux tells mpiexec, so that the ranks save and stop; elsewhere they compute to the end.
    """
    begun = _Begun(f"{os.getpid()}.{time.time_ns()}", _passed_on(command[0]))
    environment = environment | {_MARK: begun.mark}
    with begun.listening():
        stdin = subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None  # a session without a terminal
        begun.process = subprocess.Popen(command, env=environment, stdin=stdin, start_new_session=True,
                                         preexec_fn=_dies_with(os.getpid(), begun.passed_on[signal.SIGTERM]))
        for number in begun.early:
            begun.pass_on(number)
        first = _first_to_end(begun.process, begun.mark, ranks)
        code = begun.process.wait()
        _end_all(begun.mark)
    if begun.interrupted:
        raise KeyboardInterrupt
    if code in _CODES:
        return code
    print(f"hebb: {_death(code, first)}; finished tasks and checkpoints are kept; continue with: {again}", file=sys.stderr,
          flush=True)
    return 2


class _Begun:
    """mpiexec and the signals that came for it."""

    def __init__(self, mark: str, passed_on: dict[int, int]):
        self.mark, self.passed_on = mark, passed_on
        self.process: subprocess.Popen | None = None
        self.early: list[int] = []  # came before the process had begun
        self.since: float | None = None
        self.interrupted = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """A signal that is ignored (HUP under nohup) stays so, here and in the ranks."""
        numbers = [number for number in _PASSED_ON if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in numbers}
        before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._pause)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number, frame) -> None:
        now = time.monotonic()
        if self.since is None:
            self.since = now
        elif number == signal.SIGINT and now - self.since > TWICE:  # the rule of StopRequest: at once
            self.interrupted = True
            self._to_all(signal.SIGKILL)
            return
        elif number == signal.SIGINT:
            return  # a key pressed twice in haste; mpiexec would kill the ranks at its second one
        if self.process is None:
            self.early.append(number)
        else:
            self.pass_on(number)

    def pass_on(self, number: int) -> None:
        given = signal.Signals(self.passed_on[number])
        if given != number:
            with contextlib.suppress(OSError, RuntimeError):  # the terminal that hung up; a print that this one interrupts
                print(f"hebb: {signal.Signals(number).name} is passed on to the ranks as {given.name}", file=sys.stderr,
                      flush=True)
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, given)

    def _pause(self, number, frame) -> None:
        """Ctrl-Z stops the ranks, too, and `fg` wakes them up."""
        self._to_all(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._to_all(signal.SIGCONT)

    def _to_all(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, number)
        _kill(self.mark, number)


def _passed_on(launcher: str) -> dict[int, int]:
    """What this mpiexec gets for each signal."""
    try:
        said = subprocess.run([launcher, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    except OSError:  # whoever starts it says why
        return _PASSED_ON
    return dict.fromkeys(_PASSED_ON, signal.SIGUSR1) if b"Open MPI" in said else _PASSED_ON


def _dies_with(parent: int, number: int):
    """What mpiexec does before it begins, so that it does not outlive this process: it gets this signal when it would."""
    try:
        prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec little is allowed
    except (AttributeError, OSError):
        return None

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)

    return prepare


def _first_to_end(process: subprocess.Popen, mark: str, ranks: int) -> tuple[int, int] | None:
    """(rank, process id) of the rank that ended first, None where the system does not tell. Returns when one has, or mpiexec.

    The launcher ends the others within milliseconds, and says of none to a program which one was the first.
    """
    if not hasattr(os, "pidfd_open") or not Path("/proc/self/environ").exists():
        return None
    watched: dict[int, tuple[int, int] | None] = {}
    poll = select.poll()

    def watch(pid: int, who: tuple[int, int] | None) -> None:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            descriptor = os.pidfd_open(pid)
            watched[descriptor] = who
            poll.register(descriptor, select.POLLIN)

    try:
        watch(process.pid, None)
        known: set[int] = set()
        while True:
            if len(known) < ranks:
                for rank, pid in _ranks(mark):
                    if rank not in known:
                        watch(pid, (rank, pid))
                        known.add(rank)
            if ended := poll.poll(1000 * _LOOK):
                return watched[ended[0][0]]
            if process.poll() is not None:
                return None
    finally:
        for descriptor in watched:
            os.close(descriptor)


def _started(mark: str) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    """(process id, environment) of every living process that was started here, as far as the system tells."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = dict(entry.partition(b"=")[::2] for entry in (folder / "environ").read_bytes().split(b"\0"))
            if environment.get(_MARK.encode()) == mark.encode():
                yield int(folder.name), environment


def _ranks(mark: str) -> Iterator[tuple[int, int]]:
    """(rank, process id) of the ranks among them."""
    for pid, environment in _started(mark):
        rank = environment.get(b"PMI_RANK", environment.get(b"OMPI_COMM_WORLD_RANK", b""))
        if rank.isdigit():
            yield int(rank), pid


def _end_all(mark: str) -> None:
    """mpiexec has ended, and nobody is left behind."""
    limit = time.monotonic() + _GRACE
    while any(_started(mark)):
        if time.monotonic() > limit:
            _kill(mark, signal.SIGKILL)
            return
        time.sleep(0.02)


def _kill(mark: str, number: int) -> None:
    for pid, _ in list(_started(mark)):
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _death(code: int, first: tuple[int, int] | None) -> str:
    """Who died and of what, from the exit code of mpiexec."""
    number = -code if code < 0 else code - 128 if code > 128 else code
    try:
        cause = signal.Signals(number).name
    except ValueError:
        cause = f"exit code {code}"
    if code < 0:
        return f"the launcher was ended by {cause}, and the ranks with it"
    who = "a rank" if first is None else f"rank {first[0]} (process {first[1]})"
    hint = ", which the system sends when memory runs out" if cause == "SIGKILL" else ""
    return f"{who} has died ({cause}{hint}) and the others were ended"
