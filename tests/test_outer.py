"""What stands outside the package runs: figures, notebook, and the benchmark's parts."""

import runpy
import subprocess
import sys

import numpy as np
from conftest import ROOT, clean_environment, run_hebb

from hebb import bench


def test_paper_figures(tmp_path):
    figures = runpy.run_path(str(ROOT / "paper_figures" / "dense_2212_00606.py"))
    figure = figures["phase_diagram"](points=20)
    figure.savefig(tmp_path / "p.png")
    drawn = figures["capacity"](orders=(2, 4)).axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, [0.1379055665, 0.3957202384], atol=1e-9)


def test_figures_of_broken_replica_symmetry(tmp_path):
    figures = runpy.run_path(str(ROOT / "paper_figures" / "dense_2111_12997.py"))
    table = figures["capacity_table"](orders=(4,))
    assert abs(table[0]["gamma_c 1RSB"] - 0.4583434668) < 1e-9 and abs(table[0]["gamma_t 1RSB"] - 0.3797873392) < 1e-9
    figures["capacity_figure"](table).savefig(tmp_path / "capacity.png")
    energies = [row["energy"] for row in figures["step_table"](orders=(4,), steps=1)]
    np.testing.assert_allclose(energies[1], -0.8254705422, atol=1e-9)
    assert np.all(np.diff(energies) > 0)


def test_notebook_reads_a_run(tmp_path):
    job = (ROOT / "mpi_runs" / "demo.toml").read_text()
    (tmp_path / "demo.toml").write_text(job.replace("n_spins = 128", "n_spins = 32").replace("disorder = 32", "disorder = 4"))
    assert run_hebb("run", "demo.toml", "--out", "demo", cwd=tmp_path).returncode == 0
    environment = clean_environment(HEBB_RUN="demo", MPLBACKEND="Agg")
    notebook = ROOT / "notebooks" / "01_dense_phase_diagram.py"
    command = [sys.executable, notebook]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "rms z" in done.stdout


def test_every_shipped_job_is_valid(tmp_path):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 700)          # as many images of a class as the largest job learns
    signs = np.random.default_rng(1).random((10, 28 * 28)) < 0.5
    pixels = np.where(np.random.default_rng(2).random((labels.size, 28 * 28)) < 0.8, signs[labels], ~signs[labels])
    for name, array in (("images-idx3", pixels.reshape(-1, 28, 28) * np.uint8(255)), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / f"some-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    for job in sorted((ROOT / "mpi_runs").glob("*.toml")):
        done = run_hebb("check", job, "--data", str(tmp_path), cwd=ROOT, env=clean_environment(PYTHONPATH=str(ROOT)))
        assert done.returncode == 0, f"{job.name}: {done.stderr}"
        assert "tasks" in done.stdout


def test_benchmark_chain_and_missing_baseline():
    from hebb import models

    instance = models.Dense(n_spins=30, p_body=4, n_patterns=50).draw(1)
    assert bench._hebb_chain(instance, 0.5, 3)() > 0
    missing = []

    def absent():
        raise ImportError

    assert bench._optional(absent, "something", missing) is None and missing == ["something"]
    row = bench._row("x", "1/s", 2.0, lambda: 0.5, "b", lambda: 1.0, 2)
    assert row.hebb == 4.0 and row.baseline == 2.0 and row.ratio == 2.0
