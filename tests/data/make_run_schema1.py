"""Wrote run_schema1 when every task had a file of its own: a run with three finished tasks, one checkpoint, two without a file.
Kept to show what it contains; running it again under a later layout would defeat its purpose, so it refuses."""

import socket
from pathlib import Path

from hebb.runs import worker
from hebb.runs.plan import Plan
from hebb.storage import schema
from hebb.storage.folder import RunFolder
from hebb.storage.taskfile import write_task

assert not hasattr(schema, "PACKS"), "these files belong to the layout before packs"
socket.gethostname = lambda: "host"
job = """[job]
name = "old_run"
seed = 11
[model]
kind = "dense"
n_spins = 12
p_body = 2
n_patterns = 2
temperature = [0.3, 0.6]
[sampling]
disorder = 3
thermalize = 2
sweeps = 20
keep_spins = true
"""
plan = Plan.from_text(job)
folder = RunFolder.create(Path(__file__).parent / "run_schema1", plan.index(), job)
for index in (0, 1, 3):
    write_task(folder.task_path(plan.tasks[index].task_id), worker.run_task(plan.tasks[index]))
calls = iter([False] * 8 + [True])
write_task(folder.task_path(plan.tasks[4].task_id), worker.run_task(plan.tasks[4], stop=lambda: next(calls)))
