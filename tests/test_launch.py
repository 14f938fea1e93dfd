"""`hebb run --ranks N` as the parent of mpiexec: every signal saves, a dead or silent rank is named, nobody is left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import assert_same_datasets, clean_environment, mpiexec, run_hebb
from test_mpi import LONG

from hebb.errors import ParameterError
from hebb.runs.environment import TWICE
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.watch import hung_after

pytestmark = [pytest.mark.mpi, pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the ranks in /proc")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """long.toml (a checkpoint at every measurement), calm.toml (none) and the undisturbed run."""
    folder = tmp_path_factory.mktemp("launch")
    (folder / "long.toml").write_text(LONG)
    (folder / "calm.toml").write_text(LONG.replace("00:00:00", "01:00:00"))
    run_job(folder / "calm.toml", SerialExecutor(), out=folder / "one")
    return folder


def ranks_of(marker):
    """Process ids by rank of the living processes in whose environment marker stands."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            entries = dict(item.partition("=")[::2] for item in (folder / "environ").read_text(errors="replace").split("\0"))
            living = (folder / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            continue
        if living and entries.get("HEBB_TEST_MARKER") == marker and "PMI_RANK" in entries:
            found[int(entries["PMI_RANK"])] = int(folder.name)
    return found


def started(place, name, before=(), **environment):
    """(process, process ids by rank) of a run on 2 ranks, once its first checkpoint is on disk."""
    mpiexec()
    command = [*before, sys.executable, "-m", "hebb", "run", "long.toml", "--ranks", "2", "--out", name]
    process = subprocess.Popen(command, cwd=place, env=clean_environment(HEBB_TEST_MARKER=name, **environment), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    limit = time.monotonic() + 60
    while len(list((place / name / "tasks").glob("*.h5"))) < 2:
        assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
        time.sleep(0.02)
    return process, ranks_of(name)


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def nobody_left(name):
    limit = time.monotonic() + 30
    while ranks_of(name):
        assert time.monotonic() < limit, ranks_of(name)
        time.sleep(0.05)


def resumed(place, name):
    """Continue on one rank: the bits of the undisturbed run."""
    result = run_hebb("run", "calm.toml", "--out", name, "--resume", cwd=place)
    assert result.returncode == 0, result.stderr
    assert_same_datasets(place / "one" / "results.h5", place / name / "results.h5")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
                                    signal.SIGXCPU])  # fmt: skip
def test_every_signal_is_an_orderly_stop(place, number):
    name = number.name
    process, ranks = started(place, name)
    assert sorted(ranks) == [0, 1]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    given = number if number in (signal.SIGINT, signal.SIGTERM) else signal.SIGUSR1
    assert process.returncode == 3 and f"{given.name} was received" in err and "Traceback" not in err, err
    assert ("passed on" in err) == (given != number) and err.count("\n") == 1 + (given != number), err
    nobody_left(name)
    status = run_hebb("status", name, cwd=place)
    assert int(re.search(r"(\d+) of 6 tasks done", status.stdout)[1]) < 6 and " checkpointed at sweep " in status.stdout
    resumed(place, name)


def test_ctrl_c_of_a_terminal_reaches_the_ranks_once(place):
    """The ranks are in no terminal's group: the second signal that a terminal would give them is not theirs."""
    process, ranks = started(place, "once")
    assert all(os.getpgid(pid) != os.getpgid(process.pid) for pid in ranks.values())
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # in haste
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3 and err.count("SIGINT was received") == 1 and err.count("\n") == 1, err


def test_a_later_ctrl_c_interrupts_at_once(place):
    process, ranks = started(place, "later")
    for pid in ranks.values():
        os.kill(pid, signal.SIGSTOP)  # ranks that would take long to save
    process.send_signal(signal.SIGINT)
    time.sleep(TWICE + 0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "hebb: interrupted\n"
    nobody_left("later")
    resumed(place, "later")


def test_nohup_stays_in_force(place):
    process, _ = started(place, "nohup", before=["nohup"])
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3 and "SIGUSR1 was received" in err and "passed on" not in err, err


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_dies_is_named(place, victim):
    name = f"dead{victim}"
    process, ranks = started(place, name)
    os.kill(ranks[victim], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    last = err.splitlines()[-1]
    assert process.returncode == 2 and "Traceback" not in err, err
    assert last.startswith(f"hebb: rank {victim} (process {ranks[victim]}) has died (SIGKILL") and "are kept" in last, err
    assert last.endswith(f"continue with: hebb run long.toml --out {name} --ranks 2 --resume"), err
    nobody_left(name)
    resumed(place, name)


@pytest.mark.promise
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_hangs_is_named(place, victim):
    name = f"hung{victim}"
    process, ranks = started(place, name, HEBB_HUNG_AFTER="2")
    time.sleep(1.5)  # signs of life, with the task, come every 0.4 s
    os.kill(ranks[victim], signal.SIGSTOP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in err, err
    said = re.search(rf"hebb: rank {victim} on \S+ has given no sign of life for 2 s \(HEBB_HUNG_AFTER\), at task (\d) of", err)
    assert said and int(said[1]) < 6 and "--resume" in err, err
    nobody_left(name)
    resumed(place, name)


@pytest.mark.promise
def test_a_pause_of_all_ranks_is_no_hanging(place):
    """Ctrl-Z and fg: whoever was stopped together has missed nothing."""
    process, ranks = started(place, "pause", HEBB_HUNG_AFTER="2")
    process.send_signal(signal.SIGTSTP)
    limit = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T" for pid in ranks.values()):
        assert time.monotonic() < limit
        time.sleep(0.05)
    time.sleep(3.0)
    process.send_signal(signal.SIGCONT)
    time.sleep(3.0)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3 and "SIGTERM was received" in err and "sign of life" not in err, err


@pytest.mark.parametrize("whose", ["parent", "launcher"])
def test_nobody_is_left_behind(place, whose):
    process, ranks = started(place, whose)
    launcher = parent_of(parent_of(ranks[0]))  # between them is a helper of MPICH
    os.kill(process.pid if whose == "parent" else launcher, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    nobody_left(whose)
    if whose == "launcher":
        assert process.returncode == 2 and "the launcher was ended by SIGKILL" in err and "--resume" in err, err
    resumed(place, whose)


def test_a_limit_that_is_none_is_refused(tmp_path, monkeypatch):
    (tmp_path / "long.toml").write_text(LONG)
    mpiexec()
    result = run_hebb("run", "long.toml", "--ranks", 2, cwd=tmp_path, env=clean_environment(HEBB_HUNG_AFTER="ten"))
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "HEBB_HUNG_AFTER = ten is no number" in result.stderr
    for text in ("0.5", "inf", "nan", "-3"):
        monkeypatch.setenv("HEBB_HUNG_AFTER", text)
        with pytest.raises(ParameterError, match="unset it for 600 s"):
            hung_after()
    monkeypatch.setenv("HEBB_HUNG_AFTER", "0")
    assert hung_after() is None and hung_after(5) == 5
    monkeypatch.delenv("HEBB_HUNG_AFTER")
    assert hung_after() == 600


ONE_COMPUTES = """
import time
from hebb.runs.executors import MPIExecutor
executor, reported = MPIExecutor(limit=1.0), []
def work(index):
    time.sleep((4.0 if executor.rank == 1 else 0.3) if index == 0 else 0.01)  # lets the interpreter go, as a kernel does
    return index
executor.run(work, range(3), reported.append, lambda: False)
executor.share(lambda: time.sleep(3.0))
if executor.rank == 0:
    assert sorted(reported) == [0, 1, 2]
time.sleep(2.0 * executor.rank)
"""


@pytest.mark.promise
def test_a_long_task_is_no_hanging(tmp_path):
    (tmp_path / "script.py").write_text(ONE_COMPUTES)
    done = subprocess.run([mpiexec(), "-n", "3", sys.executable, "script.py"], cwd=tmp_path, env=clean_environment(),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
