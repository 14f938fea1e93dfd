"""What the values of [model] span: lists and ranges, their outer product, and keys that run side by side.

A range is written as on the command line of `hebb theory`: gamma = "0.1:0.5:5" is [0.1, 0.2, 0.3, 0.4, 0.5], and
"0.01:1:3:log" is [0.01, 0.1, 1.0]. Its values are those of the decimal numbers as written, correctly rounded: a range and the
list that it stands for are the same job, on every machine.
"""

from __future__ import annotations

import decimal
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

from ..errors import ParameterError
from ..params import shown
from .settings import MOST_TASKS

__all__ = ["REAL", "TOGETHER", "WHOLE", "combinations"]

#: The key of [model] that names keys whose lists run side by side.
TOGETHER = "together"

#: Keys that a range may give. Words of other keys are names, of folders too, and those may have colons.
WHOLE = ("n_spins", "p_body", "n_patterns", "n_examples", "n_tasks", "reference_sweeps", "n_train", "n_test")
REAL = ("temperature", "gamma", "alpha", "first_alpha", "dilution", "r", "rho", "threshold", "held_out", "kappa",
        "teacher_correlation", "coupling", "kl", "strength")

_NUMBER = r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*:\s*({_NUMBER})\s*:\s*([0-9]{{1,18}})\s*(:\s*log\s*)?", re.ASCII)
_DIGITS = decimal.Context(prec=60, Emax=10**6, Emin=-(10**6))  # of logarithms, more than any float can tell


def combinations(section: Mapping, most: int) -> Iterator[dict]:
    """The keys of every point of [model] with one value each, in job order: the first key varies slowest, and keys that run
    together vary where the first of them stands. ParameterError for more than most points."""
    values = {key: _values(key, value) for key, value in section.items() if key != TOGETHER}
    axes = _axes(section, values)
    number = math.prod(len(values[keys[0]]) for keys in axes)
    if number > most:
        raise ParameterError(
            f"[model] spans {number} points, and with this many disorder samples a job holds at most {most} "
            f"({MOST_TASKS} tasks); shorten a list or split the job"
        )
    for rows in itertools.product(*(zip(*(values[key] for key in keys), strict=True) for keys in axes)):
        point = {key: value for keys, row in zip(axes, rows, strict=True) for key, value in zip(keys, row, strict=True)}
        yield {key: point[key] for key in values}


def _values(key: str, value) -> list:
    """The values of a key: of a list its items, of a range its numbers, of anything else itself."""
    if value == []:
        raise ParameterError(f"[model] {key} is an empty list; give at least one value")
    items = value if isinstance(value, list) else [value]
    if key not in (*WHOLE, *REAL):
        return items
    return [number for item in items for number in (_range(key, item) if isinstance(item, str) and ":" in item else [item])]


def _axes(section: Mapping, values: Mapping[str, list]) -> list[tuple[str, ...]]:
    """The keys that vary independently of each other, those that run together as one."""
    partners: dict[str, tuple[str, ...]] = {}
    for group in _groups(section.get(TOGETHER, [])):
        for key in group:
            if key not in values or not _spans(section[key]):
                raise ParameterError(f"{TOGETHER} names {shown(key)}, for which [model] gives no list and no range; give "
                                     "one, or leave it out")
            if key in partners or group.count(key) > 1:
                raise ParameterError(f"{TOGETHER} names {shown(key)} twice; name every key once")
            if len(values[key]) != len(values[group[0]]):
                raise ParameterError(
                    f"{group[0]} has {len(values[group[0]])} values and {key} has {len(values[key])}, and {TOGETHER} lets them "
                    "run side by side; give both equally many")
        partners |= dict.fromkeys(group, tuple(group))
    return list(dict.fromkeys(partners.get(key, (key,)) for key in values))


def _groups(together) -> list[list[str]]:
    """Lists of keys that run together; one such list may be written as it is."""
    groups = [together] if isinstance(together, list) and together and isinstance(together[0], str) else together
    if not isinstance(groups, list) or not all(isinstance(group, list) and len(group) >= 2 and
                                               all(isinstance(key, str) for key in group) for group in groups):
        raise ParameterError(f"{TOGETHER} = {shown(together)} is neither a list of two or more keys nor a list of such lists; "
                             f'write for example {TOGETHER} = ["gamma", "temperature"]')
    return groups


def _spans(value) -> bool:
    return isinstance(value, list) or isinstance(value, str) and ":" in value


def _range(key: str, text: str) -> list[float] | list[int]:
    """The numbers of low:high:number or low:high:number:log."""
    found = _RANGE.fullmatch(text)
    low, high = (decimal.Decimal(found[k]) if found else decimal.Decimal("nan") for k in (1, 2))
    number = int(found[3]) if found else 0
    if not found or number < 2 or not low < high or not math.isfinite(float(high) - float(low)):
        raise ParameterError(f"{key} = {shown(text)} is neither a number nor low:high:number or low:high:number:log with "
                             "finite low < high and number >= 2")
    if number > MOST_TASKS:
        raise ParameterError(f"{key} = {shown(text)} has more than {MOST_TASKS} values; take fewer")
    if found[4] and low <= 0:
        raise ParameterError(f"{key} = {shown(text)} begins at {low}, and a logarithmic range has a low above 0; raise it, or "
                             "leave out :log")
    exact = _logarithmic(low, high, number) if found[4] else _linear(low, high, number)
    if key not in WHOLE:
        return list(map(float, exact))
    whole = list(map(round, exact))
    if len(set(whole)) < number:
        raise ParameterError(f"{key} = {shown(text)} has some whole numbers more than once; take fewer values")
    if not found[4] and whole != list(exact):  # an uneven grid would not be what was asked for
        raise ParameterError(f"{key} = {shown(text)} does not consist of whole numbers; {_whole_range(low, high, number)}")
    return whole


def _linear(low: decimal.Decimal, high: decimal.Decimal, number: int) -> list[Fraction]:
    begin, end = Fraction(low), Fraction(high)
    return [begin + (end - begin) * k / (number - 1) for k in range(number)]


def _logarithmic(low: decimal.Decimal, high: decimal.Decimal, number: int) -> list[decimal.Decimal]:
    """Evenly spaced logarithms, in decimal arithmetic, which is the same on all machines."""
    begin, end = _DIGITS.ln(low), _DIGITS.ln(high)
    step = _DIGITS.divide(_DIGITS.subtract(end, begin), number - 1)
    inner = [_DIGITS.exp(_DIGITS.fma(step, k, begin)) for k in range(1, number - 1)]
    return [low, *inner, high]


def _whole_range(low: decimal.Decimal, high: decimal.Decimal, number: int) -> str:
    """What to write for a range of whole numbers: the nearest number of values whose steps are whole."""
    if low != round(low) or high != round(high):
        return "begin and end at whole numbers"
    width = int(high - low)
    steps = min((step for step in range(1, min(width, 2 * number) + 1) if width % step == 0), key=lambda s: abs(s - number + 1))
    return f"write {int(low)}:{int(high)}:{steps + 1}" if steps > 1 else "write a list"
