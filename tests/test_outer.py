"""What stands outside the package runs: figures, notebook, and the benchmark's parts."""

import importlib.util
import runpy
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, clean_environment, hebb, run_hebb
from drawn import assert_shows_diagram, cells_of

from hebb import bench
from hebb.theory import Dense, Multitask


def test_paper_figures(tmp_path):
    figures = runpy.run_path(str(ROOT / "paper_figures" / "dense_2212_00606.py"))
    (ax,) = figures["phase_diagram"](points=12).axes
    gamma, temperature, _ = cells_of(ax)
    edge = Dense(p_body=4).spinodal_temperature(gamma=0.0).temperature
    assert gamma[0] == pytest.approx(0) and temperature[-1] == pytest.approx(1.2 * edge)
    (spinodal,) = [np.column_stack(line.get_data()) for line in ax.lines if "spinodal" in line.get_label()]
    assert np.abs(spinodal - [0.3957202384, 0.0]).sum(axis=1).min() < 1e-6  # (load, temperature)
    assert np.abs(spinodal - [0.0, edge]).sum(axis=1).min() < 0.03
    assert gamma[-1] == pytest.approx(1.15 * spinodal[:, 0].max(), rel=0.01)
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


def test_every_shipped_job_is_valid(tmp_path, monkeypatch, capsys):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)         # as many images of a class as the largest job needs
    signs = np.random.default_rng(1).random((10, 28 * 28)) < 0.5
    pixels = np.where(np.random.default_rng(2).random((labels.size, 28 * 28)) < 0.8, signs[labels], ~signs[labels])
    for name, array in (("images-idx3", pixels.reshape(-1, 28, 28) * np.uint8(255)), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / f"some-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HEBB_DATA", "")                             # the option sets it
    for job in sorted((ROOT / "mpi_runs").glob("*.toml")):
        code, out, err = hebb(capsys, "check", job, "--data", tmp_path)
        if 'kind = "network"' in job.read_text() and importlib.util.find_spec("torch") is None:
            assert code == 2 and "-m pip install 'torch>=2.4'" in err
            continue
        assert code == 0, f"{job.name}: {err}"
        assert "tasks" in out


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


def test_figures_of_multitasking_networks(tmp_path):
    figures = runpy.run_path(str(ROOT / "paper_figures" / "multitask_2308_04106.py"))
    drawn = figures["phase_diagrams"](numbers=(2,), points=12)
    drawn.savefig(tmp_path / "phases.png")
    diagram = Multitask.phase_diagram(2, np.linspace(0.01, 0.97, 12), np.linspace(0, 1.08, 12), normalize_dilution=True)
    (ax,) = drawn.axes
    assert ax.get_title() == "K = 2 stored patterns" and ax.get_ylabel() == "$T/T_c$"
    ax.set_ylabel("temperature $T$")
    assert_shows_diagram(ax, diagram, "dilution", "dilution $d$")

    figure, table = figures["learning"](n_spins=4000, large=10**7, disorder=3, numbers=(9, 150), qualities=(0.15, 0.9), curve=6)
    figure.savefig(tmp_path / "learning.png")
    for (name, _, _), (mean, _, theory) in table.items():  # three samples of N spins scatter by 2/sqrt(N), of 1e7 by 0.001
        np.testing.assert_allclose(mean, theory, rtol=0, atol=0.003 if name == "large" else 0.03)
    few, many = (table["supervised", 0.3, m][2] for m in (9, 150))
    assert few[0] - few[1] < 1e-6 and many[0] - many[1] > 0.4
    np.testing.assert_array_equal(table["unsupervised", 0.3, 150][2], many)

    figure, table = figures["memory"](entropies=(1.0, 3.2), n_spins=6000, n_examples=51, samples=2, curve=4)
    figure.savefig(tmp_path / "memory.png")
    for energies, overlaps, energy, overlap in table.values():  # finite systems lie lower by about M/N = 0.0085
        assert -0.012 < energies.mean() - energy < 0.002 and abs(overlaps.mean() - overlap) < 0.03
    lowest = [min(("archetype", "example"), key=lambda start: table[start, rho][0].mean()) for rho in (1.0, 3.2)]
    assert lowest == ["archetype", "example"]


def test_figure_of_cost_and_losses(tmp_path):
    """The energy is the product loss to rounding; the plain loss has another minimum, in an actual sample."""
    figures = runpy.run_path(str(ROOT / "paper_figures" / "multitask_2308_04106.py"))
    figure, found = figures["losses"](sweeps=40)
    figure.savefig(tmp_path / "losses.png")
    assert np.abs(found["residual"]).max() < 1e-14
    (signs_energy, _, signs_loss, signs_m), (energy, _, loss, m) = (found["minima"][k] for k in ("parallel", "hierarchical"))
    assert abs(signs_m.sum() - 1.1445) < 0.06 and abs(m.sum() - 0.973) < 0.06      # of the infinite system, d = 0.3
    assert abs(signs_energy + 0.21831) < 0.02 and abs(energy + 0.26903) < 0.01
    assert energy < signs_energy and signs_loss < loss

    figure, table = figures["cost"](spin_by_spin=(1000,), lumped=(1000,), gibbs=(1000, 10**9), seconds=0.002)
    figure.savefig(tmp_path / "cost.png")
    assert [[n for n, _ in rows] for rows in table.values()] == [[1000], [1000], [1000, 10**9]]
    assert all(seconds > 0 for rows in table.values() for _, seconds in rows)


def test_multitasking_notebook(tmp_path):
    notebook = ROOT / "notebooks" / "02_multitasking.py"
    done = subprocess.run([sys.executable, notebook], cwd=tmp_path, env=clean_environment(MPLBACKEND="Agg"),
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "rho_par = 0.368453: 27 examples of r = 0.3" in done.stdout and "rho_x   = 1.891252" in done.stdout
    assert float(done.stdout.split("at N = 1e8: ")[1].split()[0]) < 5e-3


def test_figures_of_continual_learning(tmp_path):
    """A quick form of some panels: curves to the public numbers, simulations next to them."""
    figures = runpy.run_path(str(ROOT / "paper_figures" / "continual_2212_02846.py"))
    figure, curve = figures["order_parameters"](points=10)
    figure.savefig(tmp_path / "2a.png")
    np.testing.assert_allclose(curve.qd[0, 4], 0.9117506156, atol=1e-9)  # alpha = 1

    figure, table = figures["dynamics"](n_spins=201, trials=4, epochs=100, loads=(0.5, 2.0))
    figure.savefig(tmp_path / "1a.png")
    assert abs(table[0.5][0] - 0.3554) < 0.06 and table[2.0][0] < 0.2  # errors of a trial scatter by 0.03 at alpha = 0.5

    figure, table = figures["imposed_overlap"](n_spins=201, trials=2, epochs=40, points=3)
    figure.savefig(tmp_path / "2d.png")
    assert np.all(np.diff(list(table.values())) < 0)

    figure, table = figures["second_task"](n_spins=201, trials=3, epochs=(600, 600), loads=(1.0,), grid=(0.5, 1.0))
    figure.savefig(tmp_path / "3ab.png")
    first, second = np.array([[table[r0, 1.0][2 * task] for r0 in (-0.5, 0.0, 0.5)] for task in (0, 1)])
    assert second[0] > second[2] and first[0] > first[2]  # like teachers help both tasks


def test_continual_learning_notebook(tmp_path):
    notebook = ROOT / "notebooks" / "03_continual_learning.py"
    done = subprocess.run([sys.executable, notebook], cwd=tmp_path, env=clean_environment(MPLBACKEND="Agg"),
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "coexistence: 1.498898, 1.905803" in done.stdout and "alpha = 0.728926" in done.stdout
    kept, lost = (float(part.split()[-1]) for part in done.stdout.split("after task 2: ")[1].split(" without")[0].replace(
        " with the divergence", "").split(","))
    assert kept < lost - 0.1
