"""Who gets how many tasks at once. No clock, no message, no thread: ranks and `paper_figures/scheduler.py` use the same code.

A message costs about as much as a millisecond of work, and rank 0 answers one at a time. Short tasks therefore go out in
batches that last about as long as many answers; long ones go out alone. The end of a run is shared out in smaller and smaller
batches, so that all ranks finish together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

__all__ = ["Deal"]

#: Seconds that a batch should last: a hundred times what a rank waits for the answer to its request.
_SPAN = 0.1

#: Seconds of a batch for each rank: while every rank computes one, rank 0 must have answered all, and mostly been asleep.
_SPAN_PER_RANK = 1e-3

#: A batch is at most this part of what every rank would get of the rest.
_PART = 0.5


class Deal:
    """The tasks that nobody has taken yet, the longest first, and what is known of their durations.

    span: the seconds that a batch should last. Who has computed longer than that hands back the rest of its batch: the tasks
    were longer than those before let expect, and others may be waiting for work.
    """

    def __init__(self, indices: Iterable[int], ranks: int):
        self._left, self._ranks = deque(indices), ranks
        self.span = max(_SPAN, _SPAN_PER_RANK * ranks)
        self._seconds: float | None = None  # of one task, lately

    def take(self) -> list[int]:
        """The next batch, empty when nothing is left."""
        return [self._left.popleft() for _ in range(min(self._size(), len(self._left)))]

    def take_one(self) -> int | None:
        """The next task of a rank to which it costs no message."""
        return self._left.popleft() if self._left else None

    def hand_back(self, indices: Sequence[int]) -> None:
        """Tasks that were taken and not begun. They are the next ones to go out."""
        self._left.extendleft(reversed(indices))

    def measured(self, tasks: int, seconds: float) -> None:
        """So many tasks have taken so many seconds together."""
        if tasks:
            mean = seconds / tasks
            self._seconds = mean if self._seconds is None else 0.5 * (self._seconds + mean)

    def clear(self) -> None:
        self._left.clear()

    def _size(self) -> int:
        if self._seconds is None:
            return 1
        in_span = self.span / self._seconds if self._seconds > 0.0 else len(self._left)
        return max(1, int(min(in_span, _PART * len(self._left) / self._ranks)))
