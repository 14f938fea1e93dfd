"""How far a long computation is: on a terminal a bar (if tqdm is installed), elsewhere one line a minute, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

__all__ = ["Progress", "counted"]


class Progress:
    """Counts `total` equal steps, called `unit` in what is printed.

    delay: seconds after which a bar appears, so that short computations print nothing. Steps beyond the total do no harm.
    """

    def __init__(self, total: int, done: int = 0, every: float = 60.0, quiet: bool = False, unit: str = "task",
                 delay: float = 0.0):
        self.total, self.done, self.every, self.unit = total, done, every, unit
        self.started = self.last = time.monotonic()
        self.first = done
        self.bar = None
        if sys.stderr is not None and sys.stderr.isatty() and not quiet:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, initial=done, unit=unit, delay=delay, leave=delay == 0)

    def advance(self) -> None:
        """One more step is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            left = max(0, self.total - self.done) * (self.last - self.started) / (self.done - self.first)
            print(f"hebb: {self.done} of {max(self.total, self.done)} {self.unit}s, about {left / 60:.1f} min left",
                  file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error) -> None:
        self.close()


def counted(items: Sequence, unit: str) -> Iterator:
    """The items one by one, with a `Progress` that shows only if they take long."""
    with Progress(len(items), unit=unit, delay=5.0) as progress:
        for item in items:
            yield item
            progress.advance()
