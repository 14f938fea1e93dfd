"""The world around a run: clocks, signals, logs, progress, launchers."""

import logging
import os
import signal
import time
import warnings

import pytest
from conftest import TINY

from hebb.errors import EnvironmentMismatch, HebbWarning, ParameterError
from hebb.progress import Progress
from hebb.runs import environment, executors, job_file
from hebb.runs.executors import SerialExecutor
from hebb.runs.plan import Plan


def test_deadline(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert environment.deadline(None) is None
    assert environment.deadline(3600, now=1000) == 1000 + 3600 - 30
    assert environment.deadline(100, now=1000) == 1090, "a tenth of a short time is kept free"
    monkeypatch.setenv("SLURM_JOB_END_TIME", "2000")
    assert environment.deadline(None, now=1000) == 1970 and environment.deadline(3600, now=1000) == 1970
    assert environment.deadline(500, now=1000) == 1470


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
                                    signal.SIGXCPU])
def test_the_first_signal_asks_the_second_interrupts(number):
    before = signal.getsignal(number)
    with environment.StopRequest().listening() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert stop() and signal.Signals(number).name in stop.reason
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C may come twice at once
        time.sleep(environment.TWICE + 0.05)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
    assert signal.getsignal(number) is before
    assert environment.StopRequest(time.monotonic() - 1)()


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with environment.StopRequest().listening() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


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


@pytest.mark.parametrize("log, held", [("tasks", "debug info warning"), ("minutes", "info warning"), ("warnings", "warning")])
def test_the_log_holds_what_the_job_says(tmp_path, capsys, log, held):
    environment.configure_logging(0, 1, tmp_path / "log.txt", log)
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger("hebb"), level)("a line of %s", level)
    environment.configure_logging()
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == held.split()
    assert capsys.readouterr().err == "hebb: a line of warning\n", "the screen is the same"


def test_what_a_log_may_hold():
    for text, words in (('"debug"', "log = 'debug' is not one of tasks, minutes, warnings; write \"tasks\""),
                        ("true", "log = True is not one of tasks, minutes, warnings"), ('"task"', "write \"tasks\"")):
        with pytest.raises(ParameterError, match=words):
            Plan.from_text(f"{TINY}[run]\nlog = {text}\n")
    assert job_file.log_of(TINY) == "minutes" and job_file.log_of(f"{TINY}[run]\nlog = 'tasks'\n") == "tasks"
    assert job_file.log_of("") == "minutes", "of a plan without a file"


def test_collected_warnings():
    """HebbWarnings are kept, each once; other warnings pass; all of them if the block fails."""
    with pytest.warns(RuntimeWarning, match="other"), environment.collected_warnings() as texts:
        for text in ("one", "two", "one"):
            warnings.warn(text, HebbWarning, stacklevel=1)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("other", RuntimeWarning, stacklevel=1)
    assert texts == ["one", "two"]
    with pytest.warns(HebbWarning, match="one"), pytest.raises(KeyError), environment.collected_warnings():
        warnings.warn("one", HebbWarning, stacklevel=1)
        raise KeyError


def test_progress_in_batch_is_one_line_a_minute(capsys):
    progress = Progress(4, 1, every=0.0)
    progress.advance()
    assert capsys.readouterr().err.startswith("hebb: 2 of 4 tasks, about 0.0 min left")
    silent = Progress(4, every=60.0)
    silent.advance()
    silent.close()
    assert capsys.readouterr().err == ""


SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


@pytest.mark.parametrize("name", SIZES)
def test_size_one_worlds_are_refused(monkeypatch, name):
    for other in (*SIZES, "SLURM_NTASKS"):
        monkeypatch.delenv(other, raising=False)
    assert executors.launched_ranks() is None and isinstance(executors.make_executor(), SerialExecutor)
    monkeypatch.setenv(name, "4")
    assert executors.launched_ranks() == 4
    executors.check_launcher(4)
    with pytest.raises(EnvironmentMismatch, match=f"started 4 ranks \\({name}\\) but MPI sees 1"):
        executors.check_launcher(1)


def test_the_launcher_that_speaks_first_decides(monkeypatch):
    """mpiexec inside a batch job starts its helpers with srun, one a node, and may start fewer ranks than were allotted."""
    for name in (*SIZES, "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    with pytest.warns(HebbWarning, match="allotted 8 tasks .* this is one process; start it with srun, or give --ranks 8"):
        assert isinstance(executors.make_executor(), SerialExecutor)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert executors.launched_ranks() == 2
    executors.check_launcher(2)
    monkeypatch.delenv("PMI_SIZE")
    with pytest.raises(EnvironmentMismatch, match="srun --mpi=pmi2"):
        executors.check_launcher(3)
