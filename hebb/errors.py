"""Every error a user can meet. A message says what was given, what is allowed and what to do about it."""

from __future__ import annotations

__all__ = ["HebbError", "ParameterError", "DataError", "StorageError", "DamagedFile", "EnvironmentMismatch", "NoSolution",
           "ChainTooShort", "HebbWarning"]


class HebbError(Exception):
    """Base of all errors raised on purpose; the command line prints it as one sentence and exits with 2."""


class ParameterError(HebbError, ValueError):
    """A parameter outside its range, an unknown key, or parameters that contradict each other."""


class DataError(HebbError):
    """Input data (images, arrays) that is missing, truncated or not usable."""


class StorageError(HebbError):
    """A result file or run folder that is missing, truncated, of a foreign schema, or not writable."""


class DamagedFile(StorageError):
    """A file of a run that is not what hebb wrote there: a changed byte, a missing end, or another task's or job's file.

    `hebb run --resume` moves such task files aside and repeats only their tasks.
    """


class EnvironmentMismatch(HebbError):
    """The launcher, the MPI library or an optional package do not fit what was asked for."""


class NoSolution(HebbError):
    """The requested branch does not exist at this point; the message names the nearest point where it does."""


class ChainTooShort(HebbError):
    """A chain is too short for its autocorrelation time.

    `estimate` carries what was measured (`statistics.Estimate`), so that the number is not lost.
    """

    def __init__(self, message: str, estimate=None):
        super().__init__(message)
        self.estimate = estimate


class HebbWarning(UserWarning):
    """Something the user should know but that does not make the result wrong."""
