"""What several tests need: an mpiexec launcher, the command line here and as a process, and the false-alarm budget."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

ROOT = Path(__file__).resolve().parent.parent

#: The whole suite may fail a correct program with at most this probability, if all seeds were drawn afresh. Every
#: statistical test states its share as `alarm`; seeds are fixed, so a passing test passes for ever.
FALSE_ALARM_BUDGET = 1e-3
_spent = []


def pytest_sessionfinish(session):
    """A suite that spends more than its budget has failed, whatever its tests say."""
    if sum(_spent) > FALSE_ALARM_BUDGET:
        print(f"\nfalse-alarm levels add up to {sum(_spent):.2g}, more than the budget of {FALSE_ALARM_BUDGET:g}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def assert_z(z_values, alarm: float, what: str = "") -> None:
    """Fail if the largest |z| of these standard normal deviates is larger than chance explains.

    alarm: the probability that a correct program fails here, shared among all z_values (Bonferroni).
    """
    _spent.append(alarm)
    z = np.atleast_1d(np.asarray(z_values, dtype=float))
    assert np.all(np.isfinite(z)), f"{what}: {np.sum(~np.isfinite(z))} z-values are not finite"
    limit = norm.isf(alarm / (2 * z.size))
    worst = int(np.argmax(np.abs(z)))
    assert abs(z.flat[worst]) <= limit, (
        f"{what}: |z| = {abs(z.flat[worst]):.2f} (number {worst} of {z.size}) exceeds {limit:.2f}, "
        f"the limit at false-alarm level {alarm:g}"
    )


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without traces of a launcher, one thread per process."""
    launcher = ("PMI_", "OMPI_", "PMIX_", "SLURM_", "HEBB_", "HYDRA_", "HYDI_", "MPIR_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(launcher)}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | extra


def run_hebb(*arguments, cwd, env=None, timeout=120, ranks=None) -> subprocess.CompletedProcess:
    """`python -m hebb ARGUMENTS`, under mpiexec if ranks is given. Output is text."""
    command = [sys.executable, "-m", "hebb", *map(str, arguments)]
    if ranks is not None:
        command = [mpiexec(), "-n", str(ranks), *command]
    return subprocess.run(
        command, cwd=cwd, env=env or clean_environment(), capture_output=True, text=True, timeout=timeout
    )


#: A job of a second, for the command line.
TINY = """
[job]
name = "tiny"
seed = 5
[model]
kind = "dense"
n_spins = 16
p_body = 2
n_patterns = 2
temperature = [0.5, 0.8]
[sampling]
disorder = 2
replicas = 2
thermalize = 5
sweeps = 400
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with tiny.toml."""
    monkeypatch.chdir(tmp_path)
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_JOB_END_TIME", "HEBB_DATA"):
        monkeypatch.setenv(name, "")  # so that it is put back even if a command sets it
        monkeypatch.delenv(name)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def hebb(capsys, *arguments):
    """(exit code, stdout, stderr) of one command in this process."""
    from hebb.__main__ import main

    code = main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


def refused(capsys, *arguments):
    """The one sentence of a command that must end with exit code 2."""
    code, out, err = hebb(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("hebb: ") and err.count("\n") == 1 and "Traceback" not in err and len(err) < 500
    return err


#: A job of two sizes, two temperatures and three samples.
SMALL = """
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
    """The path of small.toml."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def mpiexec() -> str:
    """The launcher that belongs to mpi4py's library. Skips the test only where mpi4py is not installed."""
    pytest.importorskip("mpi4py")
    found = shutil.which(str(Path(sys.executable).parent / "mpiexec")) or shutil.which("mpiexec")
    assert found, "mpi4py is installed but there is no mpiexec beside it or on PATH"
    return found


def datasets_of(path) -> dict[str, np.ndarray]:
    """Every dataset of an HDF5 file as an array."""
    import h5py

    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.__setitem__(name, np.asarray(item[()])) if isinstance(item, h5py.Dataset) else None
        )
    return found


def assert_same_datasets(one, two) -> None:
    """Two HDF5 files hold the same datasets, bit for bit (nan equals nan)."""
    first, second = datasets_of(one), datasets_of(two)
    assert first.keys() == second.keys()
    for name, array in first.items():
        other = second[name]
        assert array.dtype == other.dtype and array.shape == other.shape, name
        same = array.tobytes() == other.tobytes() if array.dtype != object else np.array_equal(array, other)
        assert same, f"dataset {name} differs"


def ar1(rng: np.random.Generator, memory: float, shape: tuple[int, ...]) -> np.ndarray:
    """Stationary AR(1) of unit variance along the last axis: rho(t) = memory^t, tau = (1 + memory)/(1 - memory)."""
    from scipy.signal import lfilter

    noise = rng.standard_normal(shape) * math.sqrt(1 - memory**2)
    noise[..., 0] = rng.standard_normal(shape[:-1])
    return lfilter([1.0], [1.0, -memory], noise, axis=-1)


def dense_point(n_spins, p_body, n_patterns, temperature, hamiltonian="distinct"):
    """The parameters of one point of a job, as results hold them."""
    from hebb import models

    model = models.Dense(n_spins, p_body, n_patterns=n_patterns, hamiltonian=hamiltonian)
    return model.parameters() | {"temperature": temperature}


def comparisons_of(*jobs):
    """The comparisons of job files of mpi_runs, run on two processes."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from hebb.compare import compare_results
    from hebb.runs.plan import Plan
    from hebb.runs.worker import compute
    from hebb.storage.results import Results

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in jobs:
            plan = Plan.from_toml(ROOT / "mpi_runs" / f"{name}.toml")
            results = Results.from_records(plan.index(), pool.map(compute, plan.tasks, chunksize=4))
            assert results.done.all()
            yield compare_results(results)


def finished(folder):
    """task id -> when it was written, of the finished tasks in the packs of a run folder, in job order."""
    from hebb.storage.folder import RunFolder

    with RunFolder.open(folder).tasks() as tasks:
        return {tasks.plan["tasks"][index][0]: float(tasks.ended[index]) for index in np.flatnonzero(tasks.packed)}


def damage(folder, task_id):
    """Change a bit of a finished task."""
    path = next(Path(folder).glob("tasks/*.pack"))
    content = bytearray(path.read_bytes())
    content[content.find(task_id.encode(), content.find(task_id.encode()) + 1)] ^= 4  # in the record, behind the head
    path.write_bytes(content)


def rewritten(folder, change):
    """Give a run of the command line files for its tasks, as the first versions did: change(index, record) may change them."""
    from hebb.storage.folder import RunFolder
    from hebb.storage.taskfile import write_task

    run = RunFolder.open(folder)
    with run.tasks() as tasks:
        records = [tasks.record(index) for index in range(len(tasks))]
    for path in [*run.task_folder.glob("*.pack"), *run.task_folder.glob("*.ledger")]:
        path.unlink()
    paths = [run.task_folder / f"{record.task_id}.h5" for record in records]
    for index, (path, record) in enumerate(zip(paths, records, strict=True)):
        change(index, record)
        write_task(path, record)
    return paths
