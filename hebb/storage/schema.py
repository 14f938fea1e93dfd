"""Every name that occurs in a file, the version of the layout, and how older layouts are read.

A file that was ever written stays readable: change a layout by raising SCHEMA_VERSION and adding to MIGRATIONS a
function that changes an open file of the version before into the next one (it is given a copy in memory; files
themselves are never rewritten). tests/data holds a file of every version.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = [
    "ACCEPTANCE",
    "ARRAYS",
    "ASKED",
    "AXES",
    "DAMAGED_FOLDER",
    "DONE",
    "JOB",
    "JOB_FILE",
    "LOCK_FILE",
    "LEDGERS",
    "LOG_FILE",
    "LOST",
    "MIGRATIONS",
    "ORIGINS",
    "PACKS",
    "PARAMETERS",
    "PLAN_FILE",
    "PLAN_VERSION",
    "POINTS",
    "PROVENANCE",
    "RESULTS",
    "RESULTS_FILE",
    "RUNGS",
    "SAMPLES",
    "SCALES",
    "SCHEMA_VERSION",
    "SERIES",
    "SNAPSHOT",
    "SPINS",
    "STATUSES",
    "TASK",
    "TASK_FOLDER",
]

SCHEMA_VERSION = 1

#: Layout of a run folder, in its plan. 1: a file for every task. 2: packs. Both are read; what is continued becomes 2.
PLAN_VERSION = 2

#: version -> function(open file), which makes it a file of version + 1. Empty while there is only one version.
MIGRATIONS: dict[int, Callable] = {}

# The run folder.
JOB_FILE = "job.toml"  # the job as it was run
PLAN_FILE = "plan.json"  # its points and tasks, so that merging needs neither models nor data
TASK_FOLDER = "tasks"  # <rank>.pack with its ledger: finished tasks; <task id>.h5: checkpoints and what is large
PACKS, LEDGERS = ".pack", ".ledger"  # see hebb.storage.packs
DAMAGED_FOLDER = "damaged"  # task files that could not be believed, moved there by --resume
LOCK_FILE = ".lock"  # held while a run writes; see folder.lock
LOG_FILE = "log.txt"
RESULTS_FILE = "results.h5"

# Kinds of file: root attribute "hebb_file"; the layout version is "hebb_schema".
TASK = "task"
RESULTS = "results"
ARRAYS = "arrays"

STATUSES = ("done", "unfinished", "failed")

# Groups and datasets of a task file: SERIES/<name> (n_bins, chains, ...), SPINS/<name>, SNAPSHOT/<name>; RUNGS/<name> (L,) of a
# temperature ladder, whose series are (n_bins, L, chains, ...); the rest are root attributes named as the fields of
# TaskRecord, `parameters`, `sampling` and `provenance` as JSON.
SERIES = "series"
SPINS = "spins"
SNAPSHOT = "snapshot"
RUNGS = "rungs"
PROVENANCE = "provenance"
ORIGINS = "origins"  # attribute of results, JSON: distinct provenances of the tasks, with their numbers (later files)

# Datasets of a results file. P points, D disorder samples, B bins, C chains (replicas or pairs).
POINTS = "points"  # (P,) JSON of each point's parameters
ASKED = "asked"  # (P,) JSON of each point's model keys as they were written (the first files lack it)
JOB = "job"  # () JSON: name, seed, sampling
PARAMETERS = "parameters"  # group: <key> (P,), the numeric parameters that differ, also as written; scales of axis 0
SAMPLES = "samples"  # group: <name> (P, D, ...), mean over measurements and chains; nan where not done. Also m_sorted
DONE = "done"  # (P, D) bool
LOST = "lost"  # (P, D) bool
ACCEPTANCE = "acceptance"  # (P, D)
# RUNGS/<name> (P, D): of temperature ladders exchange_acceptance, round_trips, flow
SCALES = "scales"  # group: the axes below as dimension scales
AXES = ("point", "disorder", "bin", "chain")  # of SERIES/<name> (P, D, B, C, ...); `bin` counts measurements at its end
