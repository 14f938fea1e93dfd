"""One run folder, one run: two processes, a kill, files of another job, and a task that fails half way."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import assert_same_datasets, clean_environment, damage, finished, run_hebb

from hebb.errors import HebbWarning, StorageError
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.runs.worker import run_task
from hebb.sampling.chain import Chain
from hebb.storage import locks
from hebb.storage.locks import lock
from hebb.storage.taskfile import read_status, read_task, write_task

JOB = """
[job]
name = "one"
seed = 3
[model]
kind = "dense"
n_spins = 48
p_body = 4
n_patterns = 500
temperature = [0.4, 0.5]
[sampling]
disorder = 2
replicas = 2
thermalize = 20
sweeps = 800
measure_every = 2
[run]
checkpoint_every = "00:00:00"
"""
CALM = JOB.replace("00:00:00", "01:00:00")
LONG = JOB.replace("disorder = 2", "disorder = 12")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with job.toml (a checkpoint at every measurement), calm.toml (none) and the undisturbed run."""
    path = tmp_path_factory.mktemp("resume")
    (path / "job.toml").write_text(LONG)
    (path / "calm.toml").write_text(LONG.replace("00:00:00", "01:00:00"))
    assert run_job(path / "calm.toml", SerialExecutor(), out=path / "undisturbed").done == 24
    return path


def started(place, name):
    """A run in another process, once its first checkpoint is on disk."""
    command = [sys.executable, "-m", "hebb", "run", "job.toml", "--out", name]
    process = subprocess.Popen(command, cwd=place, env=clean_environment(), stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    while not list((place / name / "tasks").glob("*.h5")):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    return process


def test_a_folder_in_use_is_refused_until_its_owner_is_gone(place):
    process = started(place, "shared")
    try:
        for arguments in (("--resume",), ()):
            second = run_hebb("run", "calm.toml", "--out", "shared", *arguments, cwd=place)
            assert second.returncode == 2 and second.stderr.count("\n") == 1, second.stderr
            assert f"in use by process {process.pid} on {socket.gethostname()}" in second.stderr
        for command in ("status", "merge"):
            assert run_hebb(command, "shared", cwd=place).returncode == 0, "readers do not wait"
        assert process.poll() is None, "the job is too short for this test"
    finally:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (place / "shared" / ".lock").exists()
    again = run_hebb("run", "calm.toml", "--out", "shared", "--resume", cwd=place)
    assert again.returncode == 0, again.stderr
    assert_same_datasets(place / "shared" / "results.h5", place / "undisturbed" / "results.h5")
    assert not list((place / "shared").rglob("*.tmp")) and not (place / "shared" / ".lock").exists()


CONTENDER = """
import os, sys
from hebb.storage.locks import lock
for _ in range(60):
    with lock(sys.argv[1], patience=60):
        os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))  # fails if somebody else is inside
        os.unlink(sys.argv[1] + "/inside")
"""


def test_the_lock_lets_one_in_at_a_time(tmp_path):
    command = [sys.executable, "-c", CONTENDER, str(tmp_path / "run")]
    contenders = [subprocess.Popen(command, env=clean_environment()) for _ in range(3)]
    assert [contender.wait(timeout=60) for contender in contenders] == [0, 0, 0]


def test_waiting_for_an_owner_about_to_end(tmp_path):
    with lock(tmp_path):
        begun = time.monotonic()
        with pytest.raises(StorageError, match=f"in use by process {os.getpid()} "), lock(tmp_path, patience=0.2):
            pass
        assert 0.2 <= time.monotonic() - begun < 5
        (tmp_path / ".lock").write_text("")
        with pytest.raises(StorageError, match="in use by another process"), lock(tmp_path):
            pass
    (tmp_path / ".lock").write_text("process 1 on nowhere")  # what a kill leaves
    with lock(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_named_and_used(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(95, "not supported")))
    with pytest.warns(HebbWarning, match="no locks; start only one run in it"), lock(tmp_path):
        pass
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(StorageError, match="cannot write the run folder .*Input/output error"), lock(tmp_path):
        pass


def test_files_of_another_seed_are_not_adopted(place, tmp_path):
    """Task names contain neither seed nor sampling; the files say what they belong to."""
    (tmp_path / "other.toml").write_text(CALM.replace("seed = 3", "seed = 4").replace("800", "80"))
    assert run_job(tmp_path / "other.toml", SerialExecutor(), out=tmp_path / "other").done == 4
    (tmp_path / "new" / "tasks").mkdir(parents=True)
    victim = next((place / "undisturbed" / "tasks").glob("*.pack"))
    (tmp_path / "new" / "tasks" / victim.name).write_bytes(victim.read_bytes())
    with pytest.raises(StorageError, match="tasks holds files of a run whose plan.json is missing; move them away"):
        run_job(tmp_path / "other.toml", SerialExecutor(), out=tmp_path / "new")
    pack = tmp_path / "other" / "tasks" / "0000.pack"
    for end in (".pack", ".ledger"):
        shutil.copy(victim.with_suffix(end), pack.with_suffix(end))
    shutil.copy(tmp_path / "other" / "results.h5", tmp_path / "before.h5")
    assert "0 of 4 tasks done" in run_hebb("status", "other", cwd=tmp_path).stdout
    again = run_hebb("run", "other.toml", "--out", "other", "--resume", cwd=tmp_path)
    assert again.returncode == 0 and re.search("0000.pack [0-9a-f]{12}-d0000, .* was written by another job .*; moved to "
                                               ".*damaged, and 4 task", again.stderr), again.stderr
    assert (tmp_path / "other" / "damaged" / "0000.pack").read_bytes() == victim.read_bytes()
    assert_same_datasets(tmp_path / "other" / "results.h5", tmp_path / "before.h5")


@pytest.mark.parametrize("lost", ["plan", "no plan", "two tasks", "a pack cut", "a text"])
def test_what_is_damaged_is_repeated_and_nothing_else(place, tmp_path, lost):
    """The end is the undisturbed one, bit for bit; what was damaged lies beside it."""
    run = tmp_path / "run"
    shutil.copytree(place / "undisturbed", run)
    before, pack = finished(run), run / "tasks" / "0000.pack"
    gone, aside = [], ["0000.pack"]
    if lost == "plan":
        content = bytearray((run / "plan.json").read_bytes())
        content[len(content) // 2] ^= 4
        (run / "plan.json").write_bytes(content)
        aside = ["plan.json"]
    elif lost == "no plan":
        (run / "plan.json").unlink()
        aside = []
    elif lost == "two tasks":
        gone = list(before)[1:3]
        for name in gone:
            damage(run, name)
    elif lost == "a pack cut":
        gone = list(before)[-1:]
        pack.write_bytes(pack.read_bytes()[:-999])
    else:
        gone = list(before)
        pack.write_bytes(b"\x00\xff")
    result = run_hebb("run", str(place / "calm.toml"), "--out", "run", "--resume", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr.count("\n") == 1, result.stderr
    assert all(name in result.stderr for name in gone) and ("plan.json" in result.stderr) == ("plan" in lost)
    assert_same_datasets(run / "results.h5", place / "undisturbed" / "results.h5")
    assert [path.name for path in run.glob("damaged/*")] == aside
    after = finished(run)
    assert [name for name in before if before[name] != after[name]] == gone


def test_a_lost_folder_of_tasks_is_made_again(tmp_path):
    (tmp_path / "job.toml").write_text(CALM.replace("800", "80"))
    run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run")
    for path in (tmp_path / "run" / "tasks").iterdir():
        path.unlink()
    (tmp_path / "run" / "tasks").rmdir()
    assert run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run", resume=True).done == 4


def test_a_failed_task_keeps_its_last_checkpoint(tmp_path, monkeypatch):
    """A failure late in a task costs what came after the last checkpoint, and the end is that of an undisturbed task."""
    task = Plan.from_text(JOB.replace("800", "80")).tasks[0]
    whole, true_measure, seen = run_task(task), Chain.measure, []
    path = tmp_path / f"{task.task_id}.h5"

    def fragile(self):
        if self.sweeps_done == 60:
            raise RuntimeError("bad luck")
        return true_measure(self)

    monkeypatch.setattr(Chain, "measure", fragile)
    failed = run_task(task, checkpoint=lambda record: seen.append(record.sweeps_done), checkpoint_every=0.0)
    assert failed.status == "failed" and "bad luck" in failed.message and failed.sweeps_done == seen[-1] == 58
    assert len(failed.series["m"]) == 19 and failed.snapshot and failed.seconds > 0
    write_task(path, failed)
    again = run_task(task, read_task(path))
    assert (again.status, again.sweeps_done) == ("failed", 58), "a second failure costs no more"
    write_task(path, again)
    assert read_status(path)["status"] == "failed"
    monkeypatch.setattr(Chain, "measure", true_measure)
    end = run_task(task, read_task(path))
    assert (end.status, end.message) == ("done", "") and end.snapshot and end.acceptance == whole.acceptance
    assert all(end.series[name].tobytes() == array.tobytes() for name, array in whole.series.items())


def test_a_failure_while_saving_leaves_the_checkpoint_before(monkeypatch):
    """Series, random generators and counters of one record always belong together."""
    task, true_bins = Plan.from_text(JOB.replace("800", "80")).tasks[0], Chain.snapshot
    calls = []

    def fragile(self):
        calls.append(self.sweeps_done)
        if len(calls) == 5:
            raise RuntimeError("bad luck")
        return true_bins(self)

    whole = run_task(task)
    monkeypatch.setattr(Chain, "snapshot", fragile)
    failed = run_task(task, checkpoint=lambda record: None, checkpoint_every=0.0)
    assert failed.status == "failed" and failed.sweeps_done == calls[3] < calls[4]
    end = run_task(task, failed)
    assert end.status == "done" and end.series["q"].tobytes() == whole.series["q"].tobytes()


def test_a_job_resumes_failed_tasks_from_their_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "calm.toml").write_text(CALM.replace("800", "80"))
    run_job(tmp_path / "calm.toml", SerialExecutor(), out=tmp_path / "reference")
    (tmp_path / "job.toml").write_text(JOB.replace("800", "80"))
    true_measure, sweeps = Chain.measure, []

    def fragile(self):
        if self.sweeps_done == 90 and self.instance.disorder == 1:
            raise RuntimeError("bad luck")
        return true_measure(self)

    monkeypatch.setattr(Chain, "measure", fragile)
    assert run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run").failed == 2
    monkeypatch.setattr(Chain, "measure", lambda self: sweeps.append(self.sweeps_done) or true_measure(self))
    assert run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run", resume=True).done == 4
    assert sweeps == [90, 92, 94, 96, 98, 100] * 2
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "reference" / "results.h5")


GROWN = {
    "samples": ("disorder = 12", "disorder = 15", 24, 6, 0),
    "points": ("temperature = [0.4, 0.5]", "temperature = [0.3, 0.4, 0.45, 0.5]", 24, 24, 0),
    "fewer": ("disorder = 12", "disorder = 5", 10, 0, 14),
    "other points": ("temperature = [0.4, 0.5]", "temperature = [0.5, 0.6]", 12, 12, 12),
}


@pytest.mark.parametrize("how", GROWN)
def test_a_run_grows_without_computing_anything_again(place, tmp_path, how):
    """The end is that of a new run of the larger job, bit for bit; what both share is not touched."""
    old, new, kept, added, gone = GROWN[how]
    text = (place / "calm.toml").read_text()
    assert old in text
    (tmp_path / "job.toml").write_text(text.replace(old, new))
    shutil.copytree(place / "undisturbed", tmp_path / "run")
    before = finished(tmp_path / "run")
    assert run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "new").done == kept + added
    refused = run_hebb("run", "job.toml", "--out", "run", "--resume", cwd=tmp_path)
    assert refused.returncode == 2 and "or take over what both share with --extend" in refused.stderr
    result = run_hebb("run", "job.toml", "--out", "run", "--extend", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"grows from 24 to {kept + added} tasks: {added} are new, {gone} no longer belong to it" in result.stderr
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "new" / "results.h5")
    after = finished(tmp_path / "run")
    assert len(after) == kept + added and all(after[name] == stamp for name, stamp in before.items() if name in after)
    assert (tmp_path / "run" / "job.1.toml").read_text() == text
    assert run_hebb("verify", "run", cwd=tmp_path).returncode == 0
    back = run_hebb("run", str(place / "calm.toml"), "--out", "run", "--extend", cwd=tmp_path)
    assert back.returncode == 0 and f"{gone} are new" in back.stderr, "what was taken out comes back as it was"
    assert_same_datasets(tmp_path / "run" / "results.h5", place / "undisturbed" / "results.h5")


def test_a_lost_plan_does_not_open_a_folder_to_another_job(place, tmp_path):
    shutil.copytree(place / "undisturbed", tmp_path / "run")
    (tmp_path / "other.toml").write_text((place / "calm.toml").read_text().replace("seed = 3", "seed = 4"))
    (tmp_path / "run" / "plan.json").unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    refused = run_hebb("run", "other.toml", "--out", "run", "--resume", cwd=tmp_path)
    assert refused.returncode == 2 and "job.toml is a different job than other.toml" in refused.stderr
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


@pytest.mark.parametrize(("old", "new", "what"), [("seed = 3", "seed = 4", "seed"),
                                                  ("thermalize = 20", "thermalize = 30", "sampling.thermalize")])
def test_what_changes_every_number_is_no_extension(place, tmp_path, old, new, what):
    (tmp_path / "job.toml").write_text((place / "calm.toml").read_text().replace(old, new))
    shutil.copytree(place / "undisturbed", tmp_path / "run")
    plan = (tmp_path / "run" / "plan.json").read_bytes()
    with pytest.raises(StorageError, match=rf"cannot be extended to this job: {what} differ\(s\)"):
        run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run", extend=True)
    with pytest.raises(StorageError, match="different job than .*; choose another folder with --out$"):
        run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "plan.json").read_bytes() == plan
