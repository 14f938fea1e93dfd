"""The worker loop and whole jobs on one rank."""

import json

import numpy as np
import pytest
from conftest import SMALL, assert_same_datasets
from hypothesis import given, settings
from hypothesis import strategies as st

import hebb
from hebb import models, provenance
from hebb.errors import StorageError
from hebb.runs import environment, worker
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.runs.worker import run_task
from hebb.sampling.chain import Chain
from hebb.storage.folder import RunFolder
from hebb.storage.taskfile import read_task, write_task


def only_task(**changes):
    settings_ = {"disorder": 1, "thermalize": 5, "sweeps": 40, "measure_every": 3, "keep_spins": True} | changes
    return Plan.from_keywords(models.Dense(n_spins=24, p_body=3, n_patterns=20), 0.8, seed=3, **settings_).tasks[0]


def assert_same_record(one, two):
    assert (one.status, one.sweeps_done, one.lost, one.acceptance) == (
        two.status,
        two.sweeps_done,
        two.lost,
        two.acceptance,
    )
    for left, right in ((one.series, two.series), (one.spins, two.spins), (one.snapshot, two.snapshot)):
        assert left.keys() == right.keys()
        for name in left:
            assert left[name].tobytes() == right[name].tobytes() and left[name].shape == right[name].shape, name


# ---- the worker


def test_the_worker_measures_what_a_chain_shows():
    """The record is what one gets by hand from the same chain."""
    task = only_task()
    record = run_task(task)
    chain = Chain(
        task.model.draw(seed=3, disorder=0), temperature=0.8, replicas=2, start="planted", seed=3, point=task.digest
    )
    start = chain.spins.copy()
    chain.advance(5)
    by_hand = []
    for _ in range(13):  # 40 // 3 measurements
        chain.advance(3)
        by_hand.append(chain.measure())
    assert record.status == "done" and record.sweeps_done == 5 + 39 and record.snapshot
    for name in by_hand[0]:
        np.testing.assert_array_equal(record.series[name], np.array([measured[name] for measured in by_hand]))
    np.testing.assert_array_equal(record.spins["start"], start)
    np.testing.assert_array_equal(record.spins["final"], chain.spins)
    np.testing.assert_array_equal(record.spins["planted"], chain.planted)
    assert record.acceptance == chain.acceptance and record.lost == chain.lost and record.provenance["hebb"]


@given(st.lists(st.integers(1, 6), max_size=12), st.integers(0, 9), st.integers(1, 4))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_stopping_anywhere_changes_no_bit(tmp_path_factory, visits, thermalize, every):
    """Stop after any numbers of steps, go through a file each time, and end with the uninterrupted record."""
    task = only_task(thermalize=thermalize, measure_every=every)
    path = tmp_path_factory.mktemp("stop") / "a.h5"
    record = None
    for steps in visits:
        left = iter(range(steps - 1))
        record = run_task(task, record, stop=lambda left=left: next(left, None) is None)
        write_task(path, record)
        record = read_task(path)
        if record.status == "done":
            break
    if record is None or record.status != "done":
        record = run_task(task, record)
    assert_same_record(record, run_task(task))


def test_every_checkpoint_is_a_place_to_continue_from():
    task, seen = only_task(), []
    whole = run_task(task, checkpoint=lambda record: seen.append(_copy(record)), checkpoint_every=0.0)
    assert len(seen) >= 13 and seen[0].status == "unfinished"
    for record in seen[::3]:
        assert_same_record(run_task(task, record), whole)


def _copy(record):
    import copy

    return copy.deepcopy(record)


def test_a_failing_task_leaves_its_traceback(monkeypatch):
    def explode(self):
        raise RuntimeError("the chain exploded")

    monkeypatch.setattr(Chain, "measure", explode)
    record = run_task(only_task())
    assert record.status == "failed" and "the chain exploded" in record.message and "in explode" in record.message
    assert record.series == {} and record.snapshot == {}
    with pytest.raises(RuntimeError):
        worker.compute(only_task())


def test_what_the_user_or_the_disk_stops_is_not_a_failed_task(monkeypatch):
    def no_space(record):
        raise StorageError("disk full")

    with pytest.raises(StorageError):
        run_task(only_task(), checkpoint=no_space, checkpoint_every=0.0)
    monkeypatch.setattr(Chain, "measure", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_task(only_task())


def test_one_replica_has_no_pairs():
    record = run_task(only_task(replicas=1))
    assert record.series["m"].shape == (13, 1) and "q" not in record.series


# ---- jobs


def test_a_job_equals_simulate(job, tmp_path):
    """One set of numbers, whether asked for by file or by keywords."""
    summary = run_job(job, SerialExecutor(), out=tmp_path / "run", log=environment.configure_logging)
    assert (summary.total, summary.done, summary.failed, summary.reason) == (12, 12, 0, "")
    merged = hebb.load(tmp_path / "run")
    model = models.Dense(n_spins=24, p_body=3, n_patterns=40)
    direct = hebb.simulate(
        model,
        temperature=[0.4, 0.9],
        disorder=3,
        replicas=2,
        sweeps=40,
        thermalize=5,
        measure_every=2,
        seed=7,
        keep_spins=True,
    )
    for name, array in direct.data.items():
        assert array.tobytes() == merged.data[name][2:].tobytes(), name
    assert direct.points == merged.points[2:] and merged.spins[3, 2]["final"].shape == (2, 24)
    np.testing.assert_array_equal(direct.spins[1, 2]["start"], merged.spins[3, 2]["start"])
    np.testing.assert_array_equal(direct["m"].raw_error, merged["m"].raw_error[2:])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "job.toml",
        "log.txt",
        "plan.json",
        "results.h5",
        "tasks",
    ]
    assert (tmp_path / "run" / "job.toml").read_text() == SMALL


def test_an_existing_run_is_not_overwritten(job, tmp_path):
    run_job(job, SerialExecutor(), out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.suffix in (".h5", ".pack")}
    run_job(job, SerialExecutor(), out=tmp_path / "run")
    job.write_text(SMALL.replace("seed = 7", "seed = 8"))
    for resume in (False, True):
        with pytest.raises(StorageError, match="different job"):
            run_job(job, SerialExecutor(), out=tmp_path / "run", resume=resume)
    assert before == {path: path.read_bytes() for path in before}
    job.write_text(SMALL.replace('"small"', '"renamed"') + '[run]\nwalltime = "00:10:00"\n')
    assert run_job(job, SerialExecutor(), out=tmp_path / "run", resume=True).done == 12, "name and wall time may change"


def test_resume_repeats_only_what_is_missing(job, tmp_path, monkeypatch):
    """Failed tasks are repeated, finished ones are not touched, and the end is that of an undisturbed run."""
    run_job(job, SerialExecutor(), out=tmp_path / "reference")
    true_measure, calls = Chain.measure, []

    def fragile(self):
        calls.append(1)
        if self.temperature == 0.9 and self.instance.disorder == 1:
            raise RuntimeError("bad luck")
        return true_measure(self)

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "measure", fragile)
        summary = run_job(job, SerialExecutor(), out=tmp_path / "run", log=environment.configure_logging)
    assert (summary.done, summary.failed) == (10, 2)
    assert "bad luck" in (tmp_path / "run" / "log.txt").read_text()
    assert hebb.load(tmp_path / "run").n_disorder.tolist() == [3, 2, 3, 2]
    tasks = tmp_path / "run" / "tasks"
    pack = (tasks / "0000.pack").read_bytes()
    assert len(list(tasks.glob("*.h5"))) == 2, "failed tasks have a file"
    summary = run_job(job, SerialExecutor(), out=tmp_path / "run", resume=True)
    assert (summary.done, summary.failed) == (12, 0)
    assert not list(tasks.glob("*.h5")) and (tasks / "0000.pack").read_bytes().startswith(pack)
    assert len(RunFolder.open(tmp_path / "run").tasks().packs[0].rows) == 12, "what was finished was not computed again"
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "reference" / "results.h5")


def test_wall_time_and_resume(job, tmp_path, monkeypatch):
    """A job whose wall time is over at once makes progress at every visit and ends like the undisturbed one."""
    run_job(job, SerialExecutor(), out=tmp_path / "reference")
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_JOB_END_TIME", "1")  # long ago
        summary = run_job(job, SerialExecutor(), out=tmp_path / "run")
    assert summary.done == 0 and "wall time" in summary.reason
    assert run_job(job, SerialExecutor(), out=tmp_path / "run", resume=True).done == 12
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "reference" / "results.h5")


def test_plan_json_is_plain(job, tmp_path):
    run_job(job, SerialExecutor(), out=tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["hebb_schema"] == 2 and len(plan["points"]) == 4 and plan["tasks"][0][1:] == [0, 0]


def test_another_program_that_continues_a_task_is_kept(monkeypatch):
    task = Plan.from_text(SMALL).tasks[0]
    half = run_task(task, stop=lambda: True)
    begun = half.provenance
    again = run_task(task, half, stop=lambda: True)
    assert again.provenance == begun, "the same program, later"
    monkeypatch.setattr(provenance, "collect", lambda: {**begun, "numpy": "9.9", "time": "later"})
    end = run_task(task, run_task(task, again, stop=lambda: True))
    assert end.status == "done" and [item["numpy"] for item in end.provenance["continued"]] == ["9.9"]
