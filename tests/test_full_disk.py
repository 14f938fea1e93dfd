"""A disk that takes no more: one sentence, and after space is made the undisturbed end, bit for bit."""

import contextlib
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import assert_same_datasets, clean_environment, mpiexec, run_hebb

from hebb.runs.environment import configure_logging

JOB = """
[job]
name = "full"
seed = 3
[model]
kind = "dense"
n_spins = 32
p_body = 4
gamma = [0.05, 0.1]
temperature = [0.3, 0.4]
[sampling]
disorder = 6
sweeps = 400
thermalize = 20
keep_spins = true
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("full")
    (place / "job.toml").write_text(JOB)
    assert run_hebb("run", "job.toml", "--out", "undisturbed", cwd=place).returncode == 0
    return place


def run_in(place, folder, ranks, preexec=None, resume=False):
    command = [sys.executable, "-m", "hebb", "run", str(place / "job.toml"), "--out", str(folder), *["--resume"] * resume]
    command = [mpiexec(), "-n", str(ranks), *command] if ranks > 1 else command
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120, preexec_fn=preexec)


def assert_one_sentence(result, ranks=1):
    """Every rank says one at most, of its own file."""
    said = [line for line in result.stderr.splitlines() if line.startswith("hebb: ")]
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert 1 <= len(said) <= ranks and all("free space" in line for line in said), result.stderr
    assert "Traceback" not in result.stderr and "HDF5" not in result.stderr and "Logging error" not in result.stderr


@pytest.mark.parametrize("limit", [100, 3_000, 30_000])
def test_a_limit_on_file_sizes(undisturbed, tmp_path, limit):
    """ulimit -f: reached by the job file, by the plan or by the first task. (MPI libraries do not start under it.)"""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    assert_one_sentence(run_in(undisturbed, tmp_path / "run", 1, limited))
    assert not list((tmp_path / "run").rglob("*.tmp"))
    again = run_in(undisturbed, tmp_path / "run", 1, resume=True)
    assert again.returncode == 0, again.stderr
    assert_same_datasets(tmp_path / "run" / "results.h5", undisturbed / "undisturbed" / "results.h5")


@pytest.fixture
def small_disk(tmp_path):
    """A function that makes a disk of so many bytes, or changes its size."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def size(number):
        option = f"{'remount,' if os.path.ismount(disk) else ''}size={number}"
        if shutil.which("mount") is None or subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", disk],
                                                           capture_output=True).returncode:
            pytest.skip("this machine does not let the tests make a file system")
        return disk

    yield size
    if os.path.ismount(disk):
        subprocess.run(["umount", "-l", disk], check=False)


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.mpi)])
def test_a_disk_that_fills_up(undisturbed, small_disk, ranks):
    """At sizes between nothing and the whole run the disk is full at another moment each."""
    whole = sum(path.stat().st_size for path in (undisturbed / "undisturbed").rglob("*") if path.is_file())
    for number in np.random.default_rng(ranks).uniform(0.05, 0.9, 3 if ranks == 1 else 1):
        run = small_disk(int(number * whole)) / "run"
        assert_one_sentence(run_in(undisturbed, run, ranks), ranks)
        assert not list(run.rglob("*.tmp"))
        small_disk(10 * whole)
        again = run_in(undisturbed, run, ranks, resume=True)
        assert again.returncode == 0, again.stderr
        assert_same_datasets(run / "results.h5", undisturbed / "undisturbed" / "results.h5")
        shutil.rmtree(run)


def test_a_log_that_cannot_be_written_is_no_traceback(capfd):
    """Lines are lost while the disk is full; the tasks' own files tell of it."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    configure_logging(path="/dev/full")
    logger = logging.getLogger("hebb")
    (file,) = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    try:
        logger.info("a line that does not fit")
        assert capfd.readouterr().err == ""
    finally:
        logger.removeHandler(file)
        with contextlib.suppress(OSError):
            file.close()
        configure_logging()
