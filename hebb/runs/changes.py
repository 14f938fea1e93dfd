"""A job file with some of its keys changed on the command line: `--set model.gamma=0.2`.

The job is parsed, changed and written anew, without its comments. What is written is parsed once more and must be the changed
job, so that the file that a run keeps is the job as it was run.
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Sequence

from ..errors import ParameterError
from ..params import shown

__all__ = ["changed", "parsed"]

_FORM = "write SECTION.KEY=VALUE, for example model.gamma=0.2"
_BARE = re.compile("[A-Za-z0-9_-]+")
_BEGINS_TOML = tuple("[{\"'")  # what begins like this is no bare word


def parsed(text: str, where: str = "the job file") -> dict:
    """The content of TOML text; ParameterError if it is none."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:  # ValueError also for integers of thousands of digits
        raise ParameterError(f"{where} is not valid TOML: {error}") from None


def changed(text: str, changes: Sequence[str], where: str = "the job file") -> str:
    """The text of a job with these keys changed, "section.key=value" each; text itself without changes.

    Values are TOML, and words without quotes are strings. A key that is not there is added at the end of its section, so that
    its list varies fastest; an empty value takes a key away. ParameterError where one of them is wrong in form.
    """
    if not changes:
        return text
    job = parsed(text, where)
    for section, content in job.items():
        if not isinstance(content, dict):
            raise ParameterError(f"{section} in {where} is a value, not a section; write [{section}]")
    names = [_change(job, change) for change in changes]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"--set {name} is given twice; give it once")
    comment = "# changed by " + " ".join(f"--set {json.dumps(change)}" for change in changes)
    written = "\n".join([comment, *(_section(name, content) for name, content in job.items())])
    if repr(parsed(written, where)) != repr(job):  # repr: nan is not equal to itself
        raise ParameterError(f"--set cannot write {where} anew; change the file itself")
    return written


def _change(job: dict, change: str) -> str:
    """Change one key of job; its full name."""
    name, sign, text = change.partition("=")
    path = [part.strip() for part in name.split(".")]
    if not sign or len(path) < 2 or not all(map(_BARE.fullmatch, path)):
        raise ParameterError(f"--set {shown(change)} names no key of a section; {_FORM}")
    table = job
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ParameterError(f"--set {shown(change)} needs a table {part}, and the job has a value there; set that")
    name = ".".join(path)
    if text.strip():
        table[path[-1]] = _value(change, text.strip())
    elif path[-1] in table:
        del table[path[-1]]
    else:
        raise ParameterError(f"--set {name}= takes a key away that the job does not have; give a value, or leave it out")
    return name


def _value(change: str, text: str):
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        if text.startswith(_BEGINS_TOML) or not text.isprintable():
            raise ParameterError(f"--set {shown(change)} has no TOML value: {error}") from None
        return text
    if found.keys() != {"value"}:
        raise ParameterError(f"--set {shown(change)} has more than one value; {_FORM}")
    return found["value"]


def _section(name: str, content: dict) -> str:
    return "\n".join([f"[{_key(name)}]", *(f"{_key(key)} = {_toml(value)}" for key, value in content.items()), ""])


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name)


def _toml(value) -> str:
    """A value of a parsed TOML file as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return repr(value)
