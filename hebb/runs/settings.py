"""Keys of a job file that need no model to be checked: [sampling] and [run]."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping

from ..errors import HebbWarning, ParameterError
from ..params import check_choice, check_integer, check_keys, shown
from ..sampling.options import CLASS_DYNAMICS, TRAINING
from ..vocabulary import LOGS as LOG_WORDS
from ..vocabulary import SAMPLING_KEYS

__all__ = ["LOGS", "MOST_TASKS", "RUN", "SAMPLING", "TRACEBACK", "log_setting", "sampling_settings", "seconds"]

#: [sampling] keys and their defaults; ... marks a key that a job file must give.
SAMPLING = {
    "disorder": ...,  # disorder samples per point
    "replicas": 2,  # chains on the same disorder sample
    "start": "planted",  # planted | random | corrupted | example | hierarchical | parallel | teacher | reference (see Chain)
    "corruption": None,  # share of flipped spins, for start = "corrupted"
    "thermalize": ...,  # sweeps before the first measurement
    "sweeps": ...,  # sweeps with measurements
    "measure_every": 1,  # sweeps between measurements; sweeps // measure_every are taken
    "dynamics": "metropolis",
    "expansion": None,  # mean_field | tap, for dynamics = "plefka"
    "damping": None,  # share of the old magnetisation kept, for dynamics = "plefka"
    "rule": None,  # metropolis (default) | glauber, for dynamics = "lumped"
    "learning": None,  # a table, see hebb.sampling.learning, hebb.sampling.hmc and hebb.deep.trainer
    "order": "random",  # random | sequential choice of spins
    "tempering": False,  # all temperatures of a model form one ladder, see hebb.sampling.tempering
    "exchange_every": None,  # sweeps between exchanges (default 1), for tempering = true
    "keep_spins": False,  # store start and final configurations
}
#: [run] keys and their defaults.
RUN = {"walltime": None, "checkpoint_every": "00:05:00", "log": "minutes"}
TRACEBACK = logging.WARNING - 1  # of tracebacks of failed tasks: in every log, and not on the screen
#: What log.txt holds besides the beginning, the end, failures and warnings, by [run] log: the least level of its lines.
LOGS = {
    "tasks": logging.DEBUG,  # a line for every task
    "minutes": logging.INFO,  # a line a minute: how many tasks are done
    "warnings": TRACEBACK,  # nothing, not even beginning and end
}

#: Every task is a file and a line of the plan.
MOST_TASKS = 10**6


def sampling_settings(given: Mapping, elsewhere: Mapping[str, str] | None = None) -> dict:
    """[sampling] with defaults filled in and every value checked that does not need a model. elsewhere: what to do with keys of
    other sections."""
    check_keys("[sampling]", given, SAMPLING, {**(elsewhere or {}), **SAMPLING_KEYS})
    for key, value in given.items():
        if isinstance(value, list) and (key != "start" or any(isinstance(item, str) for item in value)):
            raise ParameterError(f"{key} = {shown(value)} is a list, and lists sweep the keys of [model] only: a job has one "
                                 f"{key}; write a job for each")
    missing = [key for key, default in SAMPLING.items() if default is ... and key not in given]
    if missing:
        raise ParameterError(f"[sampling] must give {' and '.join(missing)}")
    settings = {**SAMPLING, **given}
    for key, low in (("disorder", 1), ("replicas", 1), ("thermalize", 0), ("sweeps", 1), ("measure_every", 1)):
        settings[key] = check_integer(key, settings[key], low, MOST_TASKS if key == "disorder" else None)
    if settings["measure_every"] > settings["sweeps"]:
        raise ParameterError(
            f"measure_every = {settings['measure_every']} is more than sweeps = {settings['sweeps']}: "
            "nothing would be measured"
        )
    for key in ("tempering", "keep_spins"):
        if not isinstance(settings[key], bool):
            raise ParameterError(f"{key} = {shown(settings[key])} is not true or false")
    if settings["exchange_every"] is not None and not settings["tempering"]:
        raise ParameterError(f"exchange_every = {shown(settings['exchange_every'])} has no meaning without tempering = true; "
                             "leave it out")
    if settings["exchange_every"] is not None:
        _check_exchanges(settings)
    check_choice("order", settings["order"], ("random", "sequential"))
    if settings["keep_spins"] and settings["dynamics"] in (*CLASS_DYNAMICS, *TRAINING):
        moves = "moves classes of spins" if settings["dynamics"] in CLASS_DYNAMICS else "trains weights"
        raise ParameterError(
            f"keep_spins = true with dynamics = {settings['dynamics']!r}: it {moves}, and there is no "
            "configuration to keep; leave it out"
        )
    return settings


def _check_exchanges(settings: Mapping) -> None:
    """Whether a temperature ladder exchanges anything in its time."""
    every, sweeps = check_integer("exchange_every", settings["exchange_every"], 1), settings["sweeps"]
    if every > settings["thermalize"] + sweeps:
        raise ParameterError(f"exchange_every = {every} is more than thermalize + sweeps = {settings['thermalize'] + sweeps}: "
                             "nothing would be exchanged; lower it, or raise sweeps")
    if every > sweeps:
        warnings.warn(f"exchange_every = {every} is more than sweeps = {sweeps}: nothing may be exchanged while the ladder is "
                      "measured; lower it, or raise sweeps", HebbWarning, stacklevel=3)


def log_setting(run: Mapping) -> str:
    """[run] log, one of LOGS."""
    return check_choice("log", run.get("log", RUN["log"]), LOGS, LOG_WORDS)


def seconds(name: str, text, low: float = 0.0) -> float:
    """Seconds of "HH:MM:SS"; ParameterError below low."""
    found = re.fullmatch(r"([0-9]{1,6}):([0-5]?[0-9]):([0-5]?[0-9])", str(text))  # TOML has times, too
    if not found:
        raise ParameterError(f'{name} = {shown(text)} is not a time like "01:30:00" (hours:minutes:seconds){_as_time(text)}')
    hours, minutes, rest = map(int, found.groups())
    total = 3600.0 * hours + 60.0 * minutes + rest
    if total < low:
        raise ParameterError(f'{name} = {shown(str(text))} leaves no time to compute; give at least "00:00:01", or leave it '
                             "out for no limit")
    return total


def _as_time(value) -> str:
    """What to write for a number, taken for seconds, and for Slurm's days-hours:minutes:seconds; "" for anything else."""
    days = re.fullmatch(r"([0-9]{1,4})-([0-9]{1,2}):([0-5]?[0-9]):([0-5]?[0-9])", str(value))
    if days:
        hours = 24 * int(days[1]) + int(days[2])
        return f'; write "{hours:02d}:{int(days[3]):02d}:{int(days[4]):02d}"'
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < 10**9:
        return ""
    minutes, rest = divmod(round(value), 60)
    return f'; {value:g} seconds are "{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"'
