"""The world around a run: clocks, signals and logs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import HebbWarning
from .settings import LOGS

__all__ = ["TWICE", "StopRequest", "collected_warnings", "configure_logging", "deadline"]

#: Seconds kept free before the end of the allotted time for writing checkpoints.
_MARGIN = 30.0

#: Seconds after the first signal from which on a SIGINT interrupts at once.
TWICE = 1.0
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


def deadline(walltime: float | None, now: float | None = None) -> float | None:
    """The time (seconds of time.time()) at which to save and stop: the earlier of walltime from now and the end of the
    batch job (SLURM_JOB_END_TIME), less a margin of 30 s or a tenth of what is left. None: no limit.
    """
    now = time.time() if now is None else now
    ends = [] if walltime is None else [now + walltime]
    batch_end = os.environ.get("SLURM_JOB_END_TIME", "")
    if batch_end.isdigit():
        ends.append(float(batch_end))
    return min(ends) - min(_MARGIN, max(0.0, 0.1 * (min(ends) - now))) if ends else None


class StopRequest:
    """Tells the workers of this process to save and stop: after a signal, or when the time is up.

    The first signal asks for an orderly stop: SIGINT, SIGTERM, what batch systems send before they kill (SIGUSR1, SIGUSR2,
    SIGXCPU), and SIGHUP, unless `nohup` has switched it off. A later SIGINT raises KeyboardInterrupt at once. Later means
    after TWICE seconds: on Ctrl-C a terminal and mpiexec may each send one. end: in seconds of time.monotonic(), which
    nobody sets.
    """

    def __init__(self, end: float | None = None):
        self.end = end
        self.reason = ""
        self._since: float | None = None  # the first signal

    def __call__(self) -> bool:
        if not self.reason and self.end is not None and time.monotonic() >= self.end:
            self.reason = "the wall time is nearly used up"
        return bool(self.reason)

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Handle these signals inside the block; the handlers before are put back afterwards.

        Signals are those of the main thread. In another one only the time ends a run early.
        """
        here = threading.current_thread() is threading.main_thread()
        signals = [number for number in _STOPPING if here and (number == signal.SIGINT or
                                                              signal.getsignal(number) is not signal.SIG_IGN)]
        before = [signal.signal(number, self._handle) for number in signals]
        try:
            yield self
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python

    def _handle(self, number, frame):
        if self._since is None:
            self._since = time.monotonic()
            self.reason = f"{signal.Signals(number).name} was received"
        elif number == signal.SIGINT and time.monotonic() - self._since > TWICE:
            raise KeyboardInterrupt


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short: what has to be said of that is said by the files of the tasks, in one sentence."""

    def handleError(self, record):  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure_logging(rank: int = 0, size: int = 1, path: Path | None = None, log: str = "minutes") -> None:
    """Warnings to stderr; on rank 0 also to the log file what `log` says, a key of `settings.LOGS`. Called by the command line
    only."""
    who = f"[{rank}] " if size > 1 else ""
    root = logging.getLogger("hebb")
    root.setLevel(min(logging.INFO, LOGS[log]))
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING)
    screen.setFormatter(logging.Formatter(f"hebb: {who}%(message)s"))
    root.addHandler(screen)
    if path is not None and rank == 0:
        file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
        file.setLevel(LOGS[log])
        file.setFormatter(logging.Formatter(f"%(asctime)s {who}%(levelname)s %(message)s"))
        root.addHandler(file)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """A list that holds, after the block, the text of every HebbWarning of it, each once.

    If the block raises, they are issued after all: they may explain the error. Other warnings are always passed on.
    """
    texts: list[str] = []
    caught: list = []
    failed = True
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", HebbWarning)
            yield texts
        failed = False
    finally:
        for item in caught:
            if failed or not issubclass(item.category, HebbWarning):
                warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
            elif str(item.message) not in texts:
                texts.append(str(item.message))
