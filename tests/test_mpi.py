"""Many ranks: the same bits, no idle rank, an end that all ranks share. Each test starts mpiexec."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, assert_same_datasets, clean_environment, mpiexec, run_hebb

from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job

pytestmark = pytest.mark.mpi

JOB = """
[job]
name = "ranks"
seed = 11
[model]
kind = "dense"
n_spins = 32
p_body = [2, 4]
n_patterns = [3, 200]
temperature = [0.3, 0.8]
[sampling]
disorder = 2
replicas = 2
thermalize = 10
sweeps = 60
measure_every = 2
keep_spins = true
"""
#: Short work, stretched by a checkpoint at every measurement, so that a kill always finds a task half done.
LONG = """
[job]
name = "long"
seed = 3
[model]
kind = "dense"
n_spins = 64
p_body = 4
n_patterns = 500
temperature = [0.4, 0.5]
[sampling]
disorder = 3
replicas = 2
thermalize = 20
sweeps = 800
measure_every = 2
keep_spins = true
[run]
checkpoint_every = "00:00:00"
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The job on one rank, without MPI."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "job.toml").write_text(JOB)
    assert run_job(folder / "job.toml", SerialExecutor(), out=folder / "one").done == 16
    return folder


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_any_number_of_ranks_gives_the_same_bits(reference, ranks):
    out = reference / f"ranks{ranks}"
    result = run_hebb("run", "job.toml", "--out", out, cwd=reference, ranks=ranks)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"hebb: 16 tasks done; results in {out}/results.h5\n" and result.stderr == ""
    assert_same_datasets(reference / "one" / "results.h5", out / "results.h5")
    assert f"on {ranks} rank(s)" in (out / "log.txt").read_text()


def test_the_ranks_option_starts_mpiexec(reference):
    mpiexec()
    result = run_hebb("run", "job.toml", "--ranks", 3, "--out", "option", cwd=reference)
    assert result.returncode == 0, result.stderr
    assert_same_datasets(reference / "one" / "results.h5", reference / "option" / "results.h5")
    assert "on 3 rank(s)" in (reference / "option" / "log.txt").read_text()
    again = run_hebb("run", "job.toml", "--ranks", 2, "--out", "option", cwd=reference)
    assert again.returncode == 0 and again.stderr.count("\n") == 1 and "16 of 16 tasks done, and is continued" in again.stderr


def start(folder, name, ranks):
    """`hebb run` in its own process group, returned once its first checkpoint is on disk."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hebb", "run", "long.toml", "--ranks", str(ranks), "--out", name],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    tasks = folder / name / "tasks"
    limit = time.monotonic() + 60
    while not (tasks.is_dir() and any(path.suffix == ".h5" for path in tasks.iterdir())):
        assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def long_reference(tmp_path_factory):
    """The long job undisturbed and without checkpoints."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "long.toml").write_text(LONG)
    (folder / "calm.toml").write_text(LONG.replace("00:00:00", "01:00:00"))
    run_job(folder / "calm.toml", SerialExecutor(), out=folder / "one")
    return folder


@pytest.mark.parametrize(
    "number, ranks",
    [(signal.SIGKILL, 2), (signal.SIGTERM, 2), (signal.SIGINT, 2), (signal.SIGKILL, 1), (signal.SIGTERM, 1)],
)
def test_killed_and_resumed_equals_undisturbed(long_reference, number, ranks):
    if ranks > 1:
        mpiexec()
    name = f"{signal.Signals(number).name}{ranks}"
    process = start(long_reference, name, ranks)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 3, err
        assert "--resume" in err and f"{signal.Signals(number).name} was received" in err and "Traceback" not in err
    status = run_hebb("status", name, cwd=long_reference)
    done = int(re.search(r"(\d+) of 6 tasks done", status.stdout)[1])
    assert status.returncode == 0 and done < 6 and " checkpointed at sweep " in status.stdout
    result = run_hebb("run", "calm.toml", "--out", name, "--resume", "--ranks", 3 - ranks, cwd=long_reference)
    assert result.returncode == 0, result.stderr
    assert_same_datasets(long_reference / "one" / "results.h5", long_reference / name / "results.h5")
    assert not list((long_reference / name / "tasks").glob("*.tmp"))


def test_ctrl_c_on_a_terminal_is_an_orderly_stop(long_reference):
    """A terminal sends SIGINT to mpiexec and to the ranks, and mpiexec passes its own on."""
    mpiexec()
    process = start(long_reference, "ctrl_c", 2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3 and "SIGINT was received" in err and "Traceback" not in err, err


def script(tmp_path, text, ranks, *arguments, timeout=60):
    path = tmp_path / "script.py"
    path.write_text(text)
    return subprocess.run(
        [mpiexec(), "-n", str(ranks), sys.executable, str(path), *map(str, arguments)],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


FAILING = """
import sys
from hebb.__main__ import main
from hebb.sampling.chain import Chain
true = Chain.measure
def fragile(self):
    if self.temperature == 0.8 and self.instance.disorder == 1:
        raise RuntimeError("bad luck")
    return true(self)
Chain.measure = fragile
sys.exit(main(["run", sys.argv[1], "--out", sys.argv[2]]))
"""


def test_failed_tasks_do_not_stop_the_others(reference, tmp_path):
    result = script(tmp_path, FAILING, 2, reference / "job.toml", tmp_path / "run")
    assert result.returncode == 1 and "4 of 16 tasks failed" in result.stderr and "Traceback" not in result.stderr
    assert (tmp_path / "run" / "log.txt").read_text().count("RuntimeError: bad luck") >= 4
    again = run_hebb("run", reference / "job.toml", "--out", tmp_path / "run", "--resume", cwd=tmp_path, ranks=2)
    assert again.returncode == 0
    assert_same_datasets(reference / "one" / "results.h5", tmp_path / "run" / "results.h5")


LAST_RANK_BREAKS = """
import os, sys
from hebb.__main__ import main
from hebb.storage.writer import TaskWriter
from hebb.errors import StorageError
true = TaskWriter.write
def breaking(self, record):
    if os.environ["PMI_RANK"] == sys.argv[3]:
        if sys.argv[4] == "storage":
            raise StorageError("cannot write: the disk of this node is full")
        raise OSError("strange")
    true(self, record)
TaskWriter.write = breaking
sys.exit(main(["run", sys.argv[1], "--out", sys.argv[2]]))
"""


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", ["storage", "other"])
def test_an_error_outside_tasks_ends_all_ranks(reference, tmp_path, rank, kind):
    result = script(tmp_path, LAST_RANK_BREAKS, 2, reference / "job.toml", tmp_path / "run", rank, kind)
    assert result.returncode != 0
    if kind == "storage":
        said = f"hebb: rank {rank}: cannot write: the disk of this node is full"
        assert said in result.stderr and "Traceback" not in result.stderr
    else:
        assert f"hebb: rank {rank}: the system refuses to read or write (strange)" in result.stderr


def test_a_wrong_job_is_one_sentence_on_many_ranks(tmp_path):
    (tmp_path / "job.toml").write_text(JOB.replace("n_spins", "n_spinz"))
    result = run_hebb("run", "job.toml", cwd=tmp_path, ranks=3)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "did you mean 'n_spins'" in result.stderr


def test_worlds_of_size_one_are_refused(tmp_path):
    """Four processes that each believe to be alone (a foreign launcher) must not each run the job."""
    mpiexec()
    (tmp_path / "job.toml").write_text(JOB)
    env = clean_environment(OMPI_COMM_WORLD_SIZE="4", OMPI_COMM_WORLD_RANK="0")
    result = run_hebb("run", "job.toml", cwd=tmp_path, env=env)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "started 4" in result.stderr
    silent = run_hebb("run", "job.toml", cwd=tmp_path, env=env | {"OMPI_COMM_WORLD_RANK": "3"})
    assert silent.returncode == 2 and silent.stderr == "" and not (tmp_path / "runs").exists()


ONE_RANK_LEAVES = """
import time
from hebb.runs.executors import MPIExecutor
executor, reported, mine = MPIExecutor(), [], []
def work(index):
    time.sleep(0.02)
    mine.append(index)
    return index
executor.run(work, range(30), reported.append, lambda: executor.rank == 1 and len(mine) >= 3)
if executor.rank == 0:
    assert sorted(reported) == list(range(30)), reported
else:
    assert len(mine) == 3
"""


def test_a_rank_that_must_stop_leaves_its_work_to_the_others(tmp_path):
    result = script(tmp_path, ONE_RANK_LEAVES, 2)
    assert result.returncode == 0, result.stderr


SHORT_AND_STOPPED = """
import time
from hebb.runs.executors import MPIExecutor
executor, reported, mine, messages = MPIExecutor(), [], [], []
true = executor._ask
executor._ask = lambda *request: messages.append(request) or true(*request)
def work(index):
    time.sleep(0.002)
    mine.append(index)
    return index
executor.run(work, range(400), reported.append, lambda: executor.rank == 1 and len(mine) >= 100)
if executor.rank == 0:
    assert sorted(reported) == list(range(400)), len(reported)
else:
    assert len(mine) == 100 and len(messages) < 50, (len(mine), len(messages))
    assert messages[-1][2] and messages[-1][3], "the stop came in the middle of a batch"
"""


def test_short_tasks_come_in_batches_that_a_stop_interrupts(tmp_path):
    """What the rank that stops has not begun is done by the other one."""
    result = script(tmp_path, SHORT_AND_STOPPED, 2)
    assert result.returncode == 0, result.stderr


LATE_IN_A_BATCH = """
import time
from hebb.runs.executors import MPIExecutor
executor, told, mine = MPIExecutor(limit=2.0), {}, []
def work(index):
    mine.append(index)
    slow = executor.rank == 1 and len(mine) == 150
    time.sleep(3.0 if slow else 0.002)
    return index, executor.rank, slow, time.monotonic()
def report(outcome):
    told[outcome] = time.monotonic()
executor.run(work, range(2000), report, lambda: False)
if executor.rank == 0:
    assert sorted(outcome[0] for outcome in told) == list(range(2000))
    end = next(outcome[3] for outcome in told if outcome[2])
    assert all(when < end for outcome, when in told.items() if outcome[1] == 1 and outcome[3] < end)
"""


def test_outcomes_do_not_wait_for_a_long_task_behind_them(tmp_path):
    """The thread that gives signs of life hands them in while the long one goes on."""
    result = script(tmp_path, LATE_IN_A_BATCH, 2)
    assert result.returncode == 0, result.stderr


SCHEDULER = """
import sys, time
from hebb.runs.executors import MPIExecutor
executor, n, seconds, reported = MPIExecutor(), int(sys.argv[1]), float(sys.argv[2]), []
def work(index):
    time.sleep(seconds)  # lets the interpreter go, as a kernel does
    return index, executor.rank
executor.run(work, range(n), reported.append, lambda: False)
if executor.rank == 0:
    assert sorted(index for index, _ in reported) == list(range(n))
    print(*[sum(rank == r for _, rank in reported) for r in range(executor.size)])
"""


def test_every_rank_computes(tmp_path):
    result = script(tmp_path, SCHEDULER, 2, 40, 0.05)
    assert result.returncode == 0, result.stderr
    assert min(map(int, result.stdout.split())) >= 10


@pytest.mark.parametrize("ranks", [1, 3])
def test_an_mpi_library_without_threads(tmp_path, ranks):
    """Where no thread may talk to MPI, tasks are dealt out beforehand and every one is done once."""
    single = "import mpi4py\nmpi4py.rc.thread_level = 'single'\n"
    result = script(tmp_path, single + SCHEDULER, ranks, 31, 0.001)
    assert result.returncode == 0, result.stderr
    shares = sorted(map(int, result.stdout.split()))
    assert shares == ([31] if ranks == 1 else [10, 10, 11])


def test_one_module_knows_mpi():
    sources = [path for path in (ROOT / "hebb").rglob("*.py") if "from mpi4py" in path.read_text(encoding="utf-8")]
    assert sources == [Path(ROOT / "hebb" / "runs" / "executors.py")]
