"""A task that is done and then made longer is bit for bit one that was longer from the start."""

import copy
import warnings

import pytest
from every_dynamics import job, of_every_dynamics

from hebb.errors import ParameterError
from hebb.runs import worker
from hebb.runs.plan import Plan
from hebb.runs.worker import compute, longer, run_task
from hebb.sampling import accumulators
from hebb.storage.joining import differences
from hebb.storage.taskfile import read_task, write_task


def task_of(name, sweeps, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training that ends before its last task does
        return Plan.from_text(job(name, sweeps, **settings)).tasks[0]


def killed_once(task, record):
    """The end of a task that is stopped after 7 steps, written as a checkpoint is, and continued."""
    asked = []
    record = compute(task, record, stop=lambda: len(asked) == 7 or asked.append(0))
    assert record.status == "unfinished"
    return compute(task, copy.deepcopy(record))


def assert_alike(found, whole):
    assert found.status == whole.status == "done" and differences(found, whole) == []
    assert found.sampling == whole.sampling and found.job == whole.job
    assert found.snapshot.keys() == whole.snapshot.keys()
    for name, array in whole.snapshot.items():
        assert found.snapshot[name].tobytes() == array.tobytes(), name


@of_every_dynamics
def test_longer_from_the_start(name, tmp_path):
    """20 + 30 sweeps = 50 sweeps, by way of a file and with a stop on the way."""
    whole, short = compute(task_of(name, 50)), compute(task_of(name, 20))
    assert short.snapshot and short.sweeps_done == 25
    write_task(tmp_path / "task.h5", short)
    kept = read_task(tmp_path / "task.h5")
    assert_alike(killed_once(task_of(name, 50), kept), whole)
    assert (kept.status, kept.sampling["sweeps"], kept.sweeps_done) == ("done", 20, 25), "what was given is left as it was"
    again = compute(task_of(name, 50), read_task(tmp_path / "task.h5"))
    assert_alike(again, whole)
    assert again.seconds > short.seconds and again.provenance == short.provenance


@of_every_dynamics
def test_longer_where_bins_become_longer(name, monkeypatch):
    """Single measurements are put into the bins of the longer task."""
    for room in (accumulators, worker):
        monkeypatch.setattr(room, "MAX_BINS", 20)
    short, whole = compute(task_of(name, 20)), compute(task_of(name, 50))
    assert (short.bin_length, whole.bin_length) == (1, 3)
    assert_alike(killed_once(task_of(name, 50), short), whole)
    further = compute(task_of(name, 60), whole)
    assert_alike(further, compute(task_of(name, 60)))
    for found in (longer(further.sampling, task_of(name, 61).sampling), longer(further.sampling, task_of(name, 200).sampling)):
        assert "means of 3 were kept of 60 sweeps; give sweeps from 60 to 60, or choose another folder" in found
    with pytest.raises(ParameterError, match="needs means of 4 measurements, and means of 3 were kept"):
        run_task(task_of(name, 61), further)


@of_every_dynamics
def test_longer_after_a_rest_without_measurement(name):
    """7 measurements at every third of 23 sweeps end after 21: the sweep that a longer task measures next is its own."""
    short, whole = (task_of(name, sweeps, measure_every=3) for sweeps in (23, 50))
    record = compute(short)
    assert record.sweeps_done == 26
    assert_alike(compute(whole, record), compute(whole))


def test_an_unfinished_task_becomes_longer_too():
    task = task_of("metropolis", 20)
    record = compute(task, stop=lambda: True)
    assert record.status == "unfinished"
    assert_alike(compute(task_of("metropolis", 50), record), compute(task_of("metropolis", 50)))


def test_a_failure_on_the_way_keeps_what_there_is(monkeypatch):
    """The record of the longer task then has the settings, bins and last state of one and the same task."""
    for room in (accumulators, worker):
        monkeypatch.setattr(room, "MAX_BINS", 20)
    short, task = compute(task_of("metropolis", 20)), task_of("metropolis", 50)
    whole = compute(task)
    with monkeypatch.context() as patch:
        patch.setattr(type(task.chain()), "measure", lambda self: 1 / 0)
        failed = run_task(task, short)
    assert failed.status == "failed" and failed.sampling["sweeps"] == 50 and failed.bin_length == 3
    assert failed.job == task.job and failed.sweeps_done == 25 and len(failed.series["m"]) == 6
    assert_alike(run_task(task, failed), whole)


def test_what_is_done_stays_done():
    task = task_of("metropolis", 20)
    record = compute(task)
    seconds = record.seconds
    assert compute(task, record) is record and record.seconds == seconds
    assert_alike(compute(task_of("metropolis", 50), compute(task, _without_state(record))), compute(task_of("metropolis", 50)))


def _without_state(record):
    """As files of the first versions have it."""
    older = copy.deepcopy(record)
    older.snapshot = {}
    return older


def test_without_a_last_state_the_task_begins_anew():
    short, task = compute(task_of("glauber", 20)), task_of("glauber", 50)
    older = _without_state(short)
    older.series = {}
    assert_alike(compute(task, older), compute(task))


@pytest.mark.parametrize(("changed", "said"), [
    ({"sweeps": 19}, "sweeps = 19 is less than the 20 that were run; give at least 20, or choose another folder"),
    ({"thermalize": 4}, "thermalize = 4 cannot continue tasks that were run with thermalize = 5;"),
    ({"measure_every": 2}, "measure_every = 2 cannot continue tasks that were run with measure_every = 1;"),
    ({"replicas": 3}, "replicas = 3 cannot continue"),
    ({"keep_spins": False}, "keep_spins = False cannot continue"),
    ({"start": "random"}, "start = 'random' cannot continue tasks that were run with start = 'planted'"),
])
def test_only_sweeps_may_grow(changed, said):
    before = dict(task_of("metropolis", 20).sampling)
    assert longer(before, before) == longer(before, before | {"sweeps": 30, "disorder": 9}) == ""
    assert longer(before, before | {"sweeps": 30} | changed).startswith(said)
    record = compute(task_of("metropolis", 20))
    record.sampling = record.sampling | {"learning": [1]}
    with pytest.raises(ParameterError, match=r"task \w+-d0000: learning = None cannot continue"):
        compute(task_of("metropolis", 30), record)


def test_the_remedy_of_bins_works():
    before = dict(task_of("metropolis", 20).sampling)
    many = before | {"sweeps": 5 * 4096 + 1, "measure_every": 5}
    said = longer(many | {"sweeps": 30_000}, many | {"sweeps": 10**6})
    assert said.startswith("sweeps = 1000000 needs means of 49 measurements, and means of 2 were kept of 30000 sweeps; give ")
    most = int(said.split(" to ")[1].split(",")[0])
    assert longer(many | {"sweeps": 30_000}, many | {"sweeps": most}) == ""
    assert longer(many | {"sweeps": 30_000}, many | {"sweeps": most + 1})
    assert longer(many, many | {"sweeps": 10**6}) == ""
