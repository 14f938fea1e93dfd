"""Jobs under a real Slurm, where there is one: launchers, allotments, and a run that requeues itself until it is done."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, assert_same_datasets, clean_environment, mpiexec, run_hebb

JOB = """
[job]
name = "batch"
seed = 3
[model]
kind = "dense"
n_spins = 64
p_body = 4
n_patterns = 2000
temperature = [0.4, 0.5]
[sampling]
disorder = 4
thermalize = 20
sweeps = 1500
"""


def has_slurm() -> bool:
    if shutil.which("sbatch") is None:
        return False
    nodes = subprocess.run(["sinfo", "--noheader", "--format", "%T"], capture_output=True, text=True, check=False)
    return nodes.returncode == 0 and nodes.stdout.strip() in ("idle", "mixed")


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_slurm(), reason="no Slurm here that answers")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("slurm")
    (path / "job.toml").write_text(JOB)
    assert run_hebb("run", "job.toml", "--out", "undisturbed", cwd=path).returncode == 0
    return path


def batch(place, script, *options):
    """(exit code of the batch job, what it printed)."""
    (place / "script").write_text("#!/bin/bash\n" + script)
    environment = clean_environment(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", PYTHONPATH=str(ROOT))
    done = subprocess.run(["sbatch", "--wait", "--output=out.%j", "--time=3", *options, "script"], cwd=place, env=environment,
                          capture_output=True, text=True, timeout=300, check=False)
    output = place / f"out.{done.stdout.split()[-1]}"
    return done.returncode, output.read_text()


@pytest.mark.parametrize(("number", "command"), [
    (2, "srun --mpi=pmi2 {python} -m hebb run job.toml --out {out}"),
    (2, "{mpiexec} -n 2 {python} -m hebb run job.toml --out {out}"),
    (2, "{python} -m hebb run job.toml --ranks 2 --out {out}"),
    (2, "srun --ntasks=1 --mpi=pmi2 {python} -m hebb run job.toml --out {out}"),
    (1, "{python} -m hebb run job.toml --out {out}")])  # fmt: skip
def test_launchers(place, tmp_path, number, command):
    """srun, mpiexec and --ranks inside a batch job, with as many ranks as were allotted and with fewer."""
    code, text = batch(place, command.format(python=sys.executable, mpiexec=mpiexec(), out=tmp_path / "run"),
                       f"--ntasks={number}")
    assert code == 0, text
    assert_same_datasets(tmp_path / "run" / "results.h5", place / "undisturbed" / "results.h5")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"on {1 if '--ntasks=1' in command or number == 1 else 2} rank(s)" in log


def test_a_foreign_launcher_is_told_what_to_write(place, tmp_path):
    code, text = batch(place, f"srun --mpi=none {sys.executable} -m hebb run job.toml --out {tmp_path / 'run'}", "--ntasks=2")
    assert code == 2 and text.count("hebb: ") == 1 and "srun --mpi=pmi2 (MPICH)" in text and not (tmp_path / "run").exists()


def test_one_process_of_a_larger_allotment_is_said(place, tmp_path):
    code, text = batch(place, f"{sys.executable} -m hebb run job.toml --out {tmp_path / 'run'}", "--ntasks=2")
    assert code == 0 and "allotted 2 tasks (SLURM_NTASKS) and this is one process" in text, text


def test_submit_slurm_requeues_itself_until_done(place, tmp_path):
    """Stopped before its end again and again, the run ends with the bits of the undisturbed one."""
    (tmp_path / "whole.toml").write_text(JOB.replace("sweeps = 1500", "sweeps = 60000"))
    (tmp_path / "long.toml").write_text(JOB.replace("sweeps = 1500", "sweeps = 60000") + '[run]\nwalltime = "00:00:05"\n')
    reference = run_hebb("run", "whole.toml", "--out", "undisturbed", cwd=tmp_path, timeout=300)
    assert reference.returncode == 0
    environment = clean_environment(PYTHONPATH=str(ROOT), HEBB_VENV=str(Path(sys.executable).parent.parent))
    script = ROOT / "mpi_runs" / "submit.slurm"
    submit = ["sbatch", "--ntasks=2", "--time=2", script, "long.toml", "--out", "run"]
    sent = subprocess.run(submit, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    number, limit = sent.stdout.split()[-1], time.monotonic() + 600
    queue = ["squeue", "--noheader", "--jobs", number]
    while subprocess.run(queue, capture_output=True, text=True, check=False).stdout.strip():
        assert time.monotonic() < limit
        # a job that was put back waits two minutes otherwise
        subprocess.run(["scontrol", "update", f"jobid={number}", "StartTime=now"], capture_output=True, check=False)
        time.sleep(2)
    text = (tmp_path / f"slurm-{number}.out").read_text()
    assert text.count("stopped because") >= 2 and text.count("8 tasks done") == 1, text
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "undisturbed" / "results.h5")


def test_a_job_array_shares_one_folder(place, tmp_path):
    """submit.slurm as an array: its jobs run at once or one after the other, and the last one merges."""
    environment = clean_environment(PYTHONPATH=str(ROOT), HEBB_VENV=str(Path(sys.executable).parent.parent))
    script = ROOT / "mpi_runs" / "submit.slurm"
    submit = ["sbatch", "--wait", "--array=1-3", "--ntasks=1", "--time=2", script, place / "job.toml", "--out", "run"]
    done = subprocess.run(submit, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    texts = [path.read_text() for path in sorted(tmp_path.glob("slurm-*.out"))]
    assert done.returncode == 0 and len(texts) == 3, texts
    assert [f"tasks of part {number}/3 done" in text for number, text in enumerate(texts, 1)] == 3 * [True], texts
    assert_same_datasets(tmp_path / "run" / "results.h5", place / "undisturbed" / "results.h5")
