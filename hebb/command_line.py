"""What stands between a terminal and a command: words that are no options, misprints, warnings, streams that close early."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import sys
import warnings

from .errors import HebbWarning, StorageError
from .params import shown
from .vocabulary import COMMANDS, OPTIONS, THEORIES, hint, nearest

__all__ = ["Parser", "duration", "first_of_launcher", "one_line", "one_line_warnings", "place", "steady_streams", "whole"]

#: What follows an option as its value although it begins with a minus: a number, or a range that begins with one.
_NEGATIVE = re.compile(r"-(\.?[0-9]|inf|nan)", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """argparse's parser, which takes negative ranges for values and answers a misprint by what was meant.

    The parsers of commands are made of the same class. words: the command line, the same list for all of them.
    """

    def __init__(self, *arguments, words: list[str] | None = None, **settings):
        self.words: list[str] = [] if words is None else words
        self._options: list[str] = []
        self._commands: argparse.Action | None = None
        super().__init__(*arguments, **settings)
        self.set_defaults(parser=self)

    def add_argument(self, *arguments, **settings):
        action = super().add_argument(*arguments, **settings)
        self._options += action.option_strings
        return action

    def add_subparsers(self, **settings):
        self._commands = super().add_subparsers(parser_class=functools.partial(Parser, words=self.words), **settings)
        return self._commands

    def parse_args(self, args=None, namespace=None):
        self.words[:] = _joined(sys.argv[1:] if args is None else args)
        options, unknown = self.parse_known_args(self.words, namespace)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options

    def error(self, message: str):
        if not first_of_launcher():
            sys.exit(2)
        super().error(message + self._hint())

    def _hint(self) -> str:
        """What was meant by a command or an option that this parser does not have; "" if it has them all."""
        if self._commands is not None:
            level = len(self.prog.split()) - 1
            names = [word for word in self.words if not word.startswith("-")][level : level + 1]
            known = self._commands.choices
            return "".join(hint(name, THEORIES if level else COMMANDS, known) for name in names if name not in known)
        for word in self.words:
            name = word.partition("=")[0]
            if re.match("--?[A-Za-z]", name) and not any(option.startswith(name) for option in self._options):
                return hint(name.strip("-"), OPTIONS.get(self.prog.split()[-1], {})) or nearest(name, self._options)
        return ""


def _joined(words) -> list[str]:
    """The words of a command line with "--option", "-0.5:0.5:3" as one, which argparse would take for two options."""
    joined: list[str] = []
    for word in map(str, words):
        if _NEGATIVE.match(word) and joined and re.fullmatch("--[a-z][a-z0-9-]*", joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def whole(text: str) -> int:
    """The whole number of an option's text; 10.0 and 1e3 are."""
    with contextlib.suppress(ValueError, OverflowError):
        return int(text) if re.fullmatch("[+-]?[0-9]+", text) else _exactly(float(text))
    raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number")


def _exactly(number: float) -> int:
    if number != int(number):
        raise ValueError
    return int(number)


def place(text: str) -> str:
    """The file or folder that an option names."""
    if not text or "\0" in text:  # an empty name would be the present folder
        raise argparse.ArgumentTypeError(f"{shown(text)} names no file or folder")
    return text


def one_line(error: Exception) -> str:
    """What an error says, on one line, whatever the names of files in it are made of."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in str(error))


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def first_of_launcher() -> bool:
    """Whether this is the one process of a parallel start that speaks for all."""
    ranks = [os.environ.get(name) for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")]
    return next((rank for rank in ranks if rank), "0") == "0"


@contextlib.contextmanager
def one_line_warnings():
    """HebbWarnings like errors: one line, once, from one process."""
    said = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", HebbWarning)
        usual = warnings.showwarning

        def say(message, category, *where, **more):
            if not issubclass(category, HebbWarning):
                usual(message, category, *where, **more)
            elif str(message) not in said and first_of_launcher():
                said.add(str(message))
                print(f"hebb: {message}", file=sys.stderr, flush=True)

        warnings.showwarning = say
        yield


@contextlib.contextmanager
def steady_streams():
    """Inside the block standard output and error exist, take any letter, and may be closed by whoever reads them."""
    _open_missing()
    before = sys.stdout, sys.stderr
    if not isinstance(sys.stdout, _Errors):  # another thread may have done so
        sys.stdout, sys.stderr = _Output(sys.stdout), _Errors(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(StorageError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _open_missing() -> None:
    """Open what the shell has closed (`2>&-`): otherwise print() would write errors to standard output, and the next file to be
    opened would take the number of the stream and get its text."""
    if sys.stdout is not None and sys.stderr is not None:
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 2:
        pass
    if descriptor > 2:
        os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")


class _Errors:
    """A text stream: letters that its encoding lacks are written as escapes, and what nobody can read any more is dropped."""

    def __init__(self, stream):
        self._stream = stream
        self._silent = False

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _try(self, action, *arguments) -> None:
        if self._silent:
            return
        try:
            action(*arguments)
        except OSError as error:
            self._silent = True
            with contextlib.suppress(OSError, ValueError):  # what is still on its way must not fail at the very end
                number, null = self._stream.fileno(), os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, number)
                os.close(null)
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        """Nobody is left to be told."""


class _Output(_Errors):
    """The same for results: a full disk is an error, a reader that has seen enough (`| head`) is none."""

    def _lost(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            raise StorageError(f"cannot write to standard output ({error.strerror or error}); give it another place") from error
