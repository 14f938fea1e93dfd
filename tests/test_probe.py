"""`hebb check --probe`: projections from parts of tasks, by a clock of which all is known, and the command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, TINY, clean_environment, hebb, refused

from hebb import probe_command
from hebb.__main__ import main
from hebb.errors import ParameterError
from hebb.runs import probe as module
from hebb.runs.cost import seconds_of
from hebb.runs.plan import Plan
from hebb.runs.probe import Probed, chosen, makespan, measured, probe, projected

LONG = TINY.replace("sweeps = 400", "sweeps = 4000000\nmeasure_every = 5").replace("thermalize = 5", "thermalize = 900000")


def clock(monkeypatch, time_of, reached):
    """Tasks take time_of(task, thermalize, sweeps) seconds after 0.5 s of preparation, and stop at reached(task) sweeps."""
    def run(task, seconds):
        before, most = task.sampling["thermalize"], task.sampling["thermalize"] + task.sampling["sweeps"]
        sweeps = min(most, reached(task))
        return module._Part(0.5, time_of(task, min(sweeps, before), max(0, sweeps - before)), sweeps, sweeps == most, 0.9)
    monkeypatch.setattr(module, "_run", run)


@pytest.mark.parametrize("reached", [10, 1000, 10**6])
def test_sweeps_and_measurements_are_timed_apart(monkeypatch, reached):
    """Speeds that have nothing to do with the estimate; in 10^6 sweeps the task passes into its measurements."""
    task = Plan.from_text(LONG).tasks[0]
    clock(monkeypatch, lambda task, before, counted: 3e-5 * (before + counted) + 7e-4 * (counted // 5), lambda task: reached)
    found = measured(3, task, 1.0)
    assert found.index == 3 and not found.finished and found.preparation == 0.5
    assert found.seconds == pytest.approx(0.5 + 3e-5 * 4900000 + 7e-4 * 800000, rel=1e-5)
    assert found.rate == pytest.approx(1 / (3e-5 + 7e-4 / 5))


def test_a_task_that_ends_is_not_projected(monkeypatch):
    task = Plan.from_text(TINY).tasks[0]
    clock(monkeypatch, lambda task, before, counted: 2.0, lambda task: 10**9)
    assert measured(0, task, 1.0) == Probed(0, 0.5, 405 / 2.0, 2.5, True, 0.9)


@pytest.mark.filterwarnings("ignore::hebb.errors.HebbWarning")
@pytest.mark.parametrize("name", ["perceptron_gradient_two_tasks", "perceptron_sequence", "perceptron_hmc_two_tasks"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_training_is_projected_through_its_tasks(monkeypatch, name, share):
    """Examples of a later task cost something else: a machine four times slower than estimated is found so from any part."""
    task = Plan.from_toml(ROOT / "mpi_runs" / f"{name}.toml").tasks[0]
    numbers = task.sampling["thermalize"] + task.sampling["sweeps"]

    def time_of(task, before, counted):
        return 4 * seconds_of(task.model, {**task.sampling, "thermalize": before, "sweeps": counted})
    clock(monkeypatch, time_of, lambda task: int(share * numbers))
    assert measured(0, task, 1.0).seconds == pytest.approx(0.5 + 4 * task.cost, rel=1e-3)


JOBS = {"demo": "metropolis", "plefka_p2": "plefka", "multitask_large": "lumped", "perceptron_gibbs_cold": "ladder",
        "perceptron_hmc": "hmc", "perceptron_gradient_two_tasks": "gradient", "multitask_log_n": "zero temperature"}


@pytest.mark.filterwarnings("ignore::hebb.errors.HebbWarning")
@pytest.mark.parametrize("name", JOBS, ids=JOBS.values())
def test_every_dynamics_can_be_probed(name):
    plan = Plan.from_toml(ROOT / "mpi_runs" / f"{name}.toml")
    found = measured(0, min(plan.tasks, key=lambda task: task.cost), 0.3)
    assert found.seconds >= found.preparation >= 0 and found.rate > 0


def test_the_longest_the_shortest_and_one_between_them():
    text = TINY.replace("n_spins = 16", "n_spins = [64, 1024, 32, 512, 256]")
    tasks = Plan.from_text(text).tasks
    assert [tasks[place].model.n_spins for place in chosen(tasks)] == [1024, 32, 256]
    assert len(chosen(Plan.from_text(TINY).tasks)) == 1, "equal costs"


def test_other_tasks_go_by_the_nearest():
    tasks = Plan.from_text(TINY.replace("n_spins = 16", "n_spins = [16, 20, 1000, 1024]")).tasks
    costs = {0: tasks[0].cost, len(tasks) - 1: tasks[-1].cost}
    found = [Probed(0, 0, 1, 10 * tasks[0].cost, True), Probed(len(tasks) - 1, 0, 1, 2 * tasks[-1].cost, True)]
    times = projected(tasks, found, costs)
    assert times == [task.cost * (10 if task.model.n_spins < 100 else 2) for task in tasks]


def test_ranks_take_the_longest_first():
    assert makespan([1, 2, 3, 4], 1) == 10 and makespan([1, 2, 3, 4], 2) == 5 and makespan([1, 9, 1], 3) == 9
    assert makespan([3, 3, 2, 2, 2], 2) == 7, "4 + 2 + 2 would need 6"


def test_check_tells_what_was_measured(folder, capsys):
    (folder / "tiny.toml").write_text(TINY.replace("n_spins = 16", "n_spins = [16, 512]"))
    code, out, _ = hebb(capsys, "check", "tiny.toml", "--probe", "2", "--ranks", "1")
    assert code == 0
    lines = out.splitlines()
    assert lines[3].startswith("probe:  task ") and "n_spins = 512" in lines[3] and "n_spins = 16" in lines[4]
    assert all(re.search(r"takes .* \(prepared in .*, ran to its end\); the estimate is", line) for line in lines[3:5])
    assert re.fullmatch(" {8}all tasks take .* core hours, and about .* on 1 rank.s. like this one", lines[5])
    assert [path.name for path in folder.iterdir()] == ["tiny.toml"], "nothing is written"


def test_estimates_that_are_off_are_named(folder, capsys, monkeypatch):
    task = Plan.from_text(TINY).tasks[0]
    for factor, words in ((2.9, None), (1 / 2.9, None), (4, "4 times too low"), (0.2, "5 times too high")):
        monkeypatch.setattr(module, "probe", lambda plan, seconds, f=factor: [Probed(0, 0.0, 1.0, f * task.cost, False)])
        code, out, err = hebb(capsys, "check", "tiny.toml", "--probe")
        assert code == 0 and "at 1 sweeps/s" in out
        assert err == (f"hebb: the estimate of task {task.task_id} is {words} on this machine; go by what the probe measured\n"
                       if words else "")


def test_a_busy_machine_is_named(folder, capsys, monkeypatch):
    for core, said in ((0.81, False), (0.4, True), (2.0, False)):
        monkeypatch.setattr(module, "probe", lambda plan, seconds, c=core: [Probed(0, 0.0, 1.0, plan.tasks[0].cost, False, c)])
        err = hebb(capsys, "check", "tiny.toml", "--probe")[2]
        assert err == ("hebb: the probe had 40% of a core, as other programs run on this machine: a job that has its cores to "
                       "itself is faster\n" if said else "")


def test_waiting_for_a_core_is_no_fault_of_the_estimate(folder, capsys, monkeypatch):
    monkeypatch.setattr(module, "probe", lambda plan, seconds: [Probed(0, 0.0, 1.0, 5 * plan.tasks[0].cost, False, 0.5)])
    assert "times too" not in hebb(capsys, "check", "tiny.toml", "--probe")[2]


def _fails(task, **options):
    raise ParameterError("as a task says it")


def test_what_a_task_says_is_passed_on(folder, monkeypatch):
    """In this process: another would not know of the replacement."""
    sent = []
    monkeypatch.setattr(module, "compute", _fails)
    sender = type("Sender", (), {"send": lambda self, item: sent.append(item)})()
    module._probe(sender, [(0, Plan.from_text(TINY).tasks[0])], 1.0)
    assert sent[0] == "ready" and str(sent[1]) == "as a task says it"
    monkeypatch.setattr(module, "compute", lambda task, **options: 1 / 0)
    module._probe(sender, [(0, Plan.from_text(TINY).tasks[0])], 1.0)
    assert "fails after it has begun (ZeroDivisionError: division by zero)" in str(sent[3])


def test_a_task_that_takes_too_long_is_ended(folder, capsys, monkeypatch):
    """Its time is up as soon as it begins."""
    monkeypatch.setattr(module, "_GRACE", 0.0)
    assert probe(Plan.from_text(LONG.replace("n_spins = 16", "n_spins = 20000")), 0.0) == []
    monkeypatch.setattr(module, "probe", lambda plan, seconds: [])
    code, out, err = hebb(capsys, "check", "tiny.toml", "--probe")
    assert code == 0 and "probe:" not in out
    assert "the longest task was still being prepared, or in a first sweep, when the 20 s of the probe were over; give" in err


def test_a_probe_hears_an_interrupt(folder):
    (folder / "tiny.toml").write_text(LONG)
    command = [sys.executable, "-m", "hebb", "check", "tiny.toml", "--probe", "600"]
    process = subprocess.Popen(command, cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    assert "tasks" in process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: any(map(is_probe, children.read_text().split())))
    others = children.read_text().split()
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "hebb: interrupted\n", err
    wait_for(lambda: not any(map(is_probe, others)))
    assert [path.name for path in folder.iterdir()] == ["tiny.toml"]


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited for a minute")


def is_probe(number):
    """Whether a process is that of a probe."""
    try:
        return b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("words", [["--probe", "0.5"], ["--probe=-1"], ["--probe", "inf"], ["--probe", "x"]])
def test_seconds_of_a_probe(folder, words):
    with pytest.raises(SystemExit) as caught:
        main(["check", "tiny.toml", *words])
    assert caught.value.code == 2 and probe_command.SECONDS == 20


def test_a_bad_job_is_refused_before_it_is_probed(folder, capsys):
    assert "unknown key" in refused(capsys, "check", "tiny.toml", "--probe", "--set", "model.x=1")


def test_a_reference_is_timed_apart(monkeypatch):
    """It is drawn once, is no part of the sweeps that are projected, and one that takes too long gives nothing."""
    from every_dynamics import job

    task = Plan.from_text(job("second_task", 40)).tasks[0]
    found = module.measured(0, task, 0.5)
    assert found.finished and found.preparation > 0 and found.seconds > found.preparation
    monkeypatch.setattr(module.time, "monotonic", iter(range(10**6)).__next__)
    assert module.measured(0, task, 0.5) is None
