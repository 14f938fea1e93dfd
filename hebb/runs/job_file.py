"""The job file: its text, its sections and keys, and the points that its lists span.

    [job]       name, seed
    [model]     kind, the keywords of that model, temperature; a list or a range sweeps its key, several give the outer product
                (the first key varies slowest), except for those that run side by side, see `combinations`
    [sampling]  see `settings.SAMPLING`
    [run]       walltime, checkpoint_every as "HH:MM:SS"; log, see `settings.LOGS`
"""

from __future__ import annotations

import codecs
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import models, vocabulary
from ..errors import HebbWarning, ParameterError, StorageError
from ..params import check_keys, shown
from .changes import changed, parsed
from .combinations import TOGETHER, combinations
from .settings import MOST_TASKS, RUN, SAMPLING, log_setting, sampling_settings, seconds

__all__ = ["log_of", "read", "settings"]

_JOB = ("name", "seed")
_LONGEST_NAME = 255  # bytes, on all usual file systems

#: A load that the integer number of patterns misses by more than this share is worth a word.
_ROUNDED = 0.05


def read(path: Path, changes: Sequence[str] = ()) -> str:
    """The text of a job file, without a byte-order mark and with the `changes` of the command line. StorageError if it cannot
    be read, ParameterError for a change that is wrong in form."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character, or a letter that this locale cannot write
        raise StorageError(f"cannot read the job file {path} ({getattr(error, 'strerror', None) or error})") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise StorageError(f"cannot read the job file {path} (it is UTF-16 text); save it as UTF-8")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise StorageError(f"cannot read the job file {path} (it is not UTF-8 text); save it as UTF-8") from None
    return changed(text, changes, str(path))


def log_of(text: str, where: str = "the job file") -> str:
    """What the log of a run is to hold, by [run] log of its job: a key of `settings.LOGS`."""
    return log_setting(parsed(text, where).get("run", {}))


def settings(text: str, where: str = "the job file") -> dict:
    """The keywords of `Plan.build` of a job given as TOML text. ParameterError or DataError for its content."""
    job = parsed(text, where)
    check_keys(where, job, ("job", "model", "sampling", "run", "refine"), vocabulary.SECTIONS)
    for section in ("model", "sampling"):
        if section not in job:
            raise ParameterError(f"{where} has no section [{section}]")
    for section, content in job.items():
        if not isinstance(content, dict):
            raise ParameterError(f"{section} in {where} is a value, not a section; write [{section}]")
    head, run = job.get("job", {}), {**RUN, **job.get("run", {})}
    check_keys("[job]", head, _JOB, _elsewhere("[job]") | vocabulary.JOB_KEYS)
    check_keys("[run]", run, RUN, _elsewhere("[run]") | vocabulary.RUN_KEYS)
    log_setting(run)
    sampling = sampling_settings(job["sampling"], _elsewhere("[sampling]"))
    return {
        "name": _checked_name(head.get("name", Path(where).stem)),
        "seed": head.get("seed", 1),
        "points": _points(job["model"], MOST_TASKS // sampling["disorder"]),
        "sampling": sampling,
        "walltime": None if run["walltime"] is None else seconds("walltime", run["walltime"], low=1.0),
        "checkpoint_every": seconds("checkpoint_every", run["checkpoint_every"]),
        "refine": job.get("refine"),
    }


def _checked_name(name) -> str:
    """name, if a folder can have it."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or set(name) & set("/\\") or name[0] == ".":
        raise ParameterError(f"[job] name = {shown(name)} is not usable as the name of a folder")
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        raise ParameterError(f"[job] name = {shown(name)} has letters that file names of this locale "
                             f"({sys.getfilesystemencoding()}) lack; set LC_ALL=C.UTF-8, or give another name") from None
    if len(encoded) > _LONGEST_NAME:
        raise ParameterError(f"[job] name = {shown(name)} is too long for the name of a folder; give at most {_LONGEST_NAME} "
                             "bytes")
    return name


def _elsewhere(here: str) -> dict[str, str]:
    """What to do with keys that belong to other sections than here."""
    sections = {"[job]": _JOB, "[sampling]": SAMPLING, "[run]": RUN, "[model]": ("kind", TOGETHER, "temperature", "n_spins",
                "p_body", "gamma", "n_patterns", "dilution", "patterns", "protocol", "n_examples", "rho")}
    return {key: f"it belongs to {section}" for section, keys in sections.items() if section != here for key in keys}


def _points(section: Mapping, most: int) -> list[tuple[object, float]]:
    """(model, temperature) of every point that the values in [model] span; ParameterError for more than most."""
    if "kind" not in section or isinstance(section["kind"], list):
        raise ParameterError('[model] must name one kind, for example kind = "dense"')
    known = models.keys(section["kind"])
    check_keys("[model]", section, ("kind", "temperature", TOGETHER, *known),
               {**_elsewhere("[model]"), **models.instead_of_keys(section["kind"])})
    if "temperature" not in section:
        raise ParameterError("[model] must give a temperature (one, or a list)")
    found, built, rounded, asked = [], {}, [], {}
    for keys in combinations(section, most):
        kind, temperature = keys.pop("kind"), keys.pop("temperature")
        name = repr(keys)
        if name not in built:  # one model for all its temperatures: images are read once
            try:
                built[name] = models.from_keys(kind, keys)
            except TypeError as error:
                if "missing" not in str(error):
                    raise
                missing = " and ".join(re.findall(r"'(\w+)'", str(error)))  # keys without defaults
                raise ParameterError(f"[model] with kind = {kind!r} must give {missing}") from None
            loads = (load for load in built[name].loads if load in keys)
            rounded += [(load, keys[load], built[name]) for load in loads
                        if abs(getattr(built[name], load) / keys[load] - 1) > _ROUNDED]
        found.append((built[name], temperature))
        _refuse_same_load(asked, built[name], temperature, keys)
    if rounded:
        load, asked, model = rounded[0]
        others = f"; models off by more than {_ROUNDED:.0%}: {len(rounded)}" if rounded[1:] else ""
        number = _number_of(load)
        warnings.warn(
            f"{load} = {asked:g} on {model.n_spins} spins rounds to {number} = {model.parameters()[number]}, a load of "
            f"{getattr(model, load):.3g}{others}",
            HebbWarning,
            stacklevel=2,
        )
    return found


def _refuse_same_load(asked: dict, model, temperature, keys: Mapping) -> None:
    """ParameterError where two different loads have become one number of patterns. asked: the loads met so far."""
    loads = {load: keys[load] for load in model.loads if load in keys}
    before = asked.setdefault((model.digest, repr(temperature)), loads)
    for load, value in loads.items():
        if value != before.get(load, value):
            number = _number_of(load)
            raise ParameterError(
                f"{load} = {before[load]} and {load} = {value} on {model.n_spins} spins are the same {number} = "
                f"{model.parameters()[number]}, a load of {getattr(model, load):.3g}; leave one of them out, or raise n_spins"
            )


def _number_of(load: str) -> str:
    """The key of the number of patterns that a load is rounded to."""
    return load.replace("gamma", "n_patterns").replace("alpha", "n_patterns")
