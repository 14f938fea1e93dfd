"""Plans, the worker loop and whole jobs on one rank."""

import json
import logging
import os
import signal
import time

import numpy as np
import pytest
from conftest import assert_same_datasets
from hypothesis import given, settings
from hypothesis import strategies as st

import hebb
from hebb import models
from hebb.errors import EnvironmentMismatch, HebbError, ParameterError, StorageError
from hebb.params import digest
from hebb.runs import environment, executors, worker
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan, sampling_settings
from hebb.runs.worker import run_task
from hebb.sampling.chain import Chain
from hebb.storage.taskfile import read_task, write_task

JOB = """
[job]
name = "small"
seed = 7
[model]
kind = "dense"
n_spins = 24
p_body = 3
n_patterns = [5, 40]
temperature = [0.4, 0.9]
[sampling]
disorder = 3
replicas = 2
thermalize = 5
sweeps = 40
measure_every = 2
keep_spins = true
"""


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(JOB)
    return path


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


# ---- plans


def test_lists_sweep_by_outer_product(job):
    plan = Plan.from_toml(job)
    assert [(model.n_patterns, temperature) for model, temperature in plan.points] == [
        (5, 0.4),
        (5, 0.9),
        (40, 0.4),
        (40, 0.9),
    ]
    assert len(plan.tasks) == 12 and [task.disorder for task in plan.tasks[:4]] == [0, 1, 2, 0]
    assert plan.points[0][0] is plan.points[1][0], "one model serves all its temperatures"
    assert plan.walltime is None and plan.checkpoint_every == 300 and plan.text == JOB


def test_task_names_are_made_of_the_point_alone(job):
    """Names survive more temperatures, another order, other sampling and another seed."""
    names = {task.task_id: task.parameters for task in Plan.from_toml(job).tasks}
    task = Plan.from_toml(job).tasks[4]
    assert task.task_id == digest({**task.model.parameters(), "temperature": 0.9})[:12] + "-d0001"
    changed = (
        JOB.replace("[0.4, 0.9]", "[1.3, 0.9, 0.4]")
        .replace("sweeps = 40", "sweeps = 60")
        .replace("seed = 7", "seed = 8")
    )
    again = {task.task_id: task.parameters for task in Plan.from_text(changed).tasks}
    assert names.items() <= again.items() and len(again) == 18


def test_longest_first_but_results_in_job_order(job):
    plan = Plan.from_toml(job)
    order = plan.longest_first()
    assert order == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]
    assert plan.longest_first([plan.tasks[i].task_id for i in (2, 8)]) == [8, 2]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("n_spins", "n_spin", r"unknown key 'n_spin' in \[model\]; did you mean 'n_spins'"),
        ("sweeps = 40", "sweps = 40", "unknown key 'sweps'.*did you mean 'sweeps'"),
        ("seed = 7", "sede = 7", "unknown key 'sede'.*did you mean 'seed'"),
        ("[sampling]", "[run]\nwaltime = 3\n[sampling]", "unknown key 'waltime'.*did you mean 'walltime'"),
        ("[sampling]", "[samplings]", "unknown key 'samplings'.*did you mean 'sampling'"),
        ("p_body = 3", "p_body = 1", "p_body = 1 is not a whole number"),
        ("n_spins = 24", "n_spins = 24\ngamma = 0.1", "gamma = 0.1 and n_patterns"),
        ("[0.4, 0.9]", "[0.4, 0.0]", "temperature = 0.0.*zero_temperature"),
        ("[0.4, 0.9]", "[0.4, -1]", "temperature = -1 is not a number in"),
        ("[0.4, 0.9]", "[0.4, nan]", "temperature = nan is not a number"),
        ("[0.4, 0.9]", "[]", "temperature is an empty list"),
        ("[0.4, 0.9]", "[0.4, 0.4]", "points 0 and 1 of the job are the same"),
        ("temperature = [0.4, 0.9]", "", "must give a temperature"),
        ("disorder = 3", "disorder = 0", "disorder = 0 is not a whole number from 1"),
        ("disorder = 3", "disorder = 2.5", "disorder = 2.5 is not a whole number"),
        ("disorder = 3", "", r"\[sampling\] must give disorder"),
        ("measure_every = 2", "measure_every = 41", "nothing would be measured"),
        ("replicas = 2", "tempering = true", "tempering = true is not available in this version"),
        ("keep_spins = true", "keep_spins = 1", "keep_spins = 1 is not true or false"),
        ("replicas = 2", 'order = "randon"', "did you mean 'random'"),
        ("replicas = 2", 'start = "plantd"', "did you mean 'planted'"),
        ("replicas = 2", 'dynamics = "glaubr"', "did you mean 'glauber'"),
        ("replicas = 2", 'start = "corrupted"', "corruption"),
        ('kind = "dense"', 'kind = "dence"', "did you mean 'dense'"),
        ('kind = "dense"', "", "must name one kind"),
        ("seed = 7", "seed = -1", "seed = -1"),
        ('name = "small"', 'name = "../small"', "not usable as the name of a folder"),
        ("[sampling]", '[run]\nwalltime = "1:0"\n[sampling]', "walltime = '1:0' is not a time"),
        ("[sampling]", '[run]\nwalltime = "00:61:00"\n[sampling]', "is not a time"),
        ("[model]", "[model", "not valid TOML"),
        ("n_patterns = [5, 40]", "n_patterns = [5, 100000000000]", "GiB"),
    ],
)
def test_bad_jobs_are_refused_in_one_sentence(old, new, message):
    text = JOB.replace(old, new, 1)
    assert text != JOB
    with pytest.raises(HebbError, match=message) as caught:
        Plan.from_text(text)
    assert "\n" not in str(caught.value)


def test_sampling_defaults():
    assert sampling_settings({"disorder": 4, "thermalize": 0, "sweeps": 10.0}) == {
        "disorder": 4,
        "replicas": 2,
        "start": "planted",
        "corruption": None,
        "thermalize": 0,
        "sweeps": 10,
        "measure_every": 1,
        "dynamics": "metropolis",
        "order": "random",
        "tempering": False,
        "keep_spins": False,
    }


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
    assert record.status == "done" and record.sweeps_done == 5 + 39 and record.snapshot == {}
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
    assert (tmp_path / "run" / "job.toml").read_text() == JOB


def test_simulate_checks_before_computing():
    model = models.Dense(n_spins=24, p_body=3, n_patterns=5)
    with pytest.raises(ParameterError, match="temperature = 0"):
        hebb.simulate(model, temperature=[0.4, 0.0], disorder=2)
    with pytest.raises(ParameterError, match="tempering"):
        hebb.simulate(model, temperature=0.4, tempering=True)
    with pytest.raises(TypeError):
        hebb.simulate(model, temperature=0.4, sweps=3)
    with pytest.raises(ParameterError, match="start of shape"):
        hebb.simulate(model, temperature=0.4, start=np.ones(23))
    result = hebb.simulate(model, temperature=0.4, disorder=2, sweeps=30, thermalize=0, start=np.ones(24, int), seed=2)
    assert result.job["sampling"]["start"] == "array" and result["m"].samples.shape == (1, 2)


def test_an_existing_run_is_not_overwritten(job, tmp_path):
    run_job(job, SerialExecutor(), out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.h5")}
    with pytest.raises(StorageError, match="--resume"):
        run_job(job, SerialExecutor(), out=tmp_path / "run")
    job.write_text(JOB.replace("seed = 7", "seed = 8"))
    for resume in (False, True):
        with pytest.raises(StorageError, match="different job"):
            run_job(job, SerialExecutor(), out=tmp_path / "run", resume=resume)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.h5")}
    job.write_text(JOB.replace('"small"', '"renamed"') + '[run]\nwalltime = "00:10:00"\n')
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
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "tasks").iterdir()}
    assert len(times) == 12
    summary = run_job(job, SerialExecutor(), out=tmp_path / "run", resume=True)
    assert (summary.done, summary.failed) == (12, 0)
    changed = [path for path, stamp in times.items() if path.stat().st_mtime_ns != stamp]
    assert len(changed) == 2
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "reference" / "results.h5")


def test_wall_time_and_resume(job, tmp_path):
    """A job whose wall time is over at once makes progress at every visit and ends like the undisturbed one."""
    run_job(job, SerialExecutor(), out=tmp_path / "reference")
    job.write_text(JOB + '[run]\nwalltime = "00:00:00"\n')
    summary = run_job(job, SerialExecutor(), out=tmp_path / "run")
    assert summary.done == 0 and "wall time" in summary.reason
    job.write_text(JOB)
    assert run_job(job, SerialExecutor(), out=tmp_path / "run", resume=True).done == 12
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "reference" / "results.h5")


# ---- the world around


def test_deadline(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert environment.deadline(None) is None
    assert environment.deadline(3600, now=1000) == 1000 + 3600 - 30
    assert environment.deadline(100, now=1000) == 1090, "a tenth of a short time is kept free"
    monkeypatch.setenv("SLURM_JOB_END_TIME", "2000")
    assert environment.deadline(None, now=1000) == 1970 and environment.deadline(3600, now=1000) == 1970
    assert environment.deadline(500, now=1000) == 1470


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_the_second_interrupts(number):
    before = signal.getsignal(number)
    with environment.StopRequest().listening() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert stop() and signal.Signals(number).name in stop.reason
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C may come twice at once
        time.sleep(environment._TWICE + 0.05)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
    assert signal.getsignal(number) is before
    assert environment.StopRequest(time.time() - 1)()


def test_logging_goes_to_the_file_on_rank_0_only(tmp_path, capsys):
    log = logging.getLogger("hebb")
    environment.configure_logging(0, 2, tmp_path / "log.txt")
    log.info("quiet")
    log.warning("loud")
    environment.configure_logging(1, 2, tmp_path / "log.txt")
    log.error("from rank 1")
    environment.configure_logging()
    text = (tmp_path / "log.txt").read_text()
    assert "[0] INFO quiet" in text and "[0] WARNING loud" in text and "rank 1" not in text
    assert capsys.readouterr().err == "hebb: [0] loud\nhebb: [1] from rank 1\n"


def test_progress_in_batch_is_one_line_a_minute(capsys):
    progress = environment.Progress(4, 1, every=0.0)
    progress.advance()
    assert capsys.readouterr().err.startswith("hebb: 2 of 4 tasks, about 0.0 min left")
    silent = environment.Progress(4, every=60.0)
    silent.advance()
    silent.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"])
def test_size_one_worlds_are_refused(monkeypatch, name):
    for other in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(other, raising=False)
    assert executors.launched_ranks() is None and isinstance(executors.make_executor(), SerialExecutor)
    monkeypatch.setenv(name, "4")
    assert executors.launched_ranks() == 4
    executors.check_launcher(4)
    with pytest.raises(EnvironmentMismatch, match=f"started 4 ranks \\({name}\\) but MPI sees 1"):
        executors.check_launcher(1)


def test_plan_json_is_plain(job, tmp_path):
    run_job(job, SerialExecutor(), out=tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["hebb_schema"] == 1 and len(plan["points"]) == 4 and plan["tasks"][0][1:] == [0, 0]
