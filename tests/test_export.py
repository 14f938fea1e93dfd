"""Results for other programs: xarray, pandas, CSV and netCDF, and what is said where a library is missing."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from test_storage import made_folder

from hebb import load, models, simulate
from hebb.errors import EnvironmentMismatch
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.storage.export import dataframe, dataset, write_csv
from hebb.storage.merging import merge

JOBS = {
    "dense": ("kind = 'dense'\nn_spins = [16, 20]\np_body = 3\ngamma = [0.2, 0.4]\ntemperature = [0.9, 0.6]", ""),
    "multitask": ("kind = 'multitask'\nn_spins = 40\nn_patterns = [2, 3]\ndilution = 0.2\ntemperature = [0.3, 0.5]", ""),
    "sequence": ("kind = 'variational_perceptron'\nn_spins = 20\nalpha = [[0.5, 0.25], [1.0, 0.5]]\nkl = [0.0, 1.0]\n"
                 "teacher_correlation = 0.5\ntemperature = 0.0",
                 "dynamics = 'gradient'\nmeasure_every = 10\n[sampling.learning]\nepochs = [20, 20]\nlearning_rate = 0.02\n"
                 "batch_size = 4\noptimizer = 'sgd'"),
    "perceptron": ("kind = 'perceptron'\nn_spins = 21\nalpha = 1.0\nloss = ['hinge', 'quadratic']\n"
                   "temperature = [1.0, 2.0]", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A small run of each family."""
    path = tmp_path_factory.mktemp("jobs")
    for name, (model, sampling) in JOBS.items():
        settings = "disorder = 3\nreplicas = 2\nthermalize = 0\nsweeps = 40\nstart = 'random'"
        text = f"[model]\n{model}\n[sampling]\n{settings}\n{sampling}"
        (path / f"{name}.toml").write_text(text)
        run_job(path / f"{name}.toml", SerialExecutor(), out=path / name)
    return {name: load(path / name) for name in JOBS}


@pytest.fixture(scope="module")
def xarray():
    return pytest.importorskip("xarray")


def test_a_product_is_a_grid(runs, xarray):
    results = runs["dense"]
    data = results.to_xarray(samples=True, chains=True)
    assert data["m"].dims == ("n_spins", "gamma", "temperature") and data["temperature"].values.tolist() == [0.9, 0.6]
    for index, keys in enumerate(results.asked):
        here = data.sel(n_spins=keys["n_spins"], gamma=keys["gamma"], temperature=results.points[index]["temperature"])
        assert here["n_patterns"] == results.points[index]["n_patterns"]
        for name in ("m", "energy_cv", "acceptance"):
            assert here[name] == results[name].mean[index] and here[f"{name}_raw_error"] == results[name].raw_error[index]
            np.testing.assert_array_equal(here[f"{name}_samples"], results[name].samples[index])
        assert here["q_tau"] == results["q"].tau[index] and here["q_r_hat"] == results["q"].r_hat[index]
        assert here["q_too_short"] == results["q"].too_short[index]
        assert np.isnan(here["q_error"]) if here["q_too_short"] else here["q_error"] == here["q_raw_error"]
        np.testing.assert_array_equal(here["m_chains"], results["m"].series(index))
    assert data["gamma_realised"].dims == ("n_spins", "gamma") and data["m_chains"].dims[-3:] == ("disorder", "bin", "replica")
    assert data["q_chains"].dims[-1] == "pair" and data["q_too_short"].dtype == bool
    assert "acceptance_tau" not in data and data["lost"].dtype.kind == "i"
    assert data["sweep"].values[-1] == 40 and len(data["sweep"]) == 40


def test_a_dataset_explains_itself(runs, xarray):
    data = runs["dense"].to_xarray()
    assert data.attrs["kind"] == "dense" and data.attrs["p_body"] == 3 and data.attrs["seed"] == 1
    assert json.loads(data.attrs["job"])["sampling"]["sweeps"] == 40 and data.attrs["hebb_version"]
    assert all(variable.attrs["long_name"] for variable in data.data_vars.values())
    assert data["m"].attrs == {"long_name": "overlap with the pattern", "units": "1", "symbol": "m"}
    assert data["m_tau"].attrs["units"] == "measurements" and data["gamma"].attrs["symbol"] == r"\gamma"
    assert not any(name.endswith(("_samples", "_chains")) for name in data if name != "n_samples")


def test_components_are_axes(runs, xarray):
    data = runs["multitask"].to_xarray()
    assert data["m"].dims == ("n_patterns", "temperature", "pattern") and data["m_sorted"].dims[-1] == "rank"
    assert np.isnan(data["m"].sel(n_patterns=2, pattern=2)).all() and np.isfinite(data["m"].sel(n_patterns=3)).all()
    assert not data["m_too_short"].sel(n_patterns=2, pattern=2).any()
    data = runs["sequence"].to_xarray()
    assert data["error"].dims == ("alpha", "kl", "task") and data.sel(alpha="[1.0, 0.5]", kl=1.0)["error"].shape == (2,)
    assert data["alpha_realised"].sel(alpha="[0.5, 0.25]").values.tolist() == [0.5, 0.25]
    assert len(runs["sequence"].to_dataframe().query("observable == 'error'")) == 8
    assert "error_tau" not in data and "error_error" in data, "a learning curve has no autocorrelation time"
    assert data["kl_observed"].dims == ("alpha", "kl"), "a parameter keeps its name"


def test_a_parameter_and_an_observable_of_one_name(runs, xarray):
    data = runs["perceptron"].to_xarray()
    assert data.sel(loss="hinge", temperature=2.0)["loss_observed"] == runs["perceptron"]["loss"].mean[1]


def test_points_without_a_grid_lie_side_by_side(xarray):
    one = simulate(models.Dense(20, 2, 0.1), [0.5, 0.7], disorder=2, sweeps=20, thermalize=0)
    one.points[1]["n_patterns"], one.asked = 3, []
    data = one.to_xarray()
    assert data["m"].dims == ("point",) and data["n_patterns"].values.tolist() == [2, 3]
    assert data.set_index(point=["n_patterns", "temperature"])["m"].sel(n_patterns=3, temperature=0.7) == one["m"].mean[1]


def test_netcdf_keeps_everything(runs, xarray, tmp_path):
    pytest.importorskip("h5netcdf")
    for name in ("multitask", "sequence"):
        data = runs[name].to_xarray(samples=True, chains=True)
        data.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        with xarray.open_dataset(tmp_path / f"{name}.nc") as back:
            xarray.testing.assert_identical(back.load(), data)


def test_numbers_beyond_32_bits(xarray, tmp_path):
    """What the older netCDF-3 could not hold."""
    pytest.importorskip("h5netcdf")
    model = models.Multitask(n_spins=10**13, n_patterns=1, dilution=0.2)
    results = simulate(model, [0.3], disorder=1, sweeps=10, thermalize=0, dynamics="hubbard_stratonovich")
    results.to_xarray().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "a.nc") as back:
        assert back.attrs["n_spins"] == 10**13


def test_a_frame_has_a_row_per_estimate_and_true_types(runs):
    pandas = pytest.importorskip("pandas")
    results = runs["dense"]
    frame = results.to_dataframe()
    assert len(frame) == 8 * len(results.keys())
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert [types[name] for name in ("n_spins", "n_patterns", "samples", "lost", "p_body")] == ["int64"] * 5
    assert [types[name] for name in ("gamma", "temperature", "mean", "error", "tau")] == ["float64"] * 5
    assert types["observable"] == "category" and types["too_short"] == "bool" and types["component"] == "Int64"
    m = frame[frame["observable"] == "m"]
    np.testing.assert_array_equal(m["mean"], results["m"].mean)
    np.testing.assert_array_equal(m["error"].isna(), results["m"].too_short)
    table = m[m["n_spins"] == 20].pivot(index="gamma", columns="temperature", values="mean")
    assert table.loc[0.4, 0.6] == results["m"].mean[7]
    assert list(m.groupby("gamma")["mean"].mean().index) == [0.2, 0.4]
    ragged = runs["multitask"].to_dataframe()
    ragged = ragged[ragged["observable"] == "m"]
    assert ragged.groupby("n_patterns").size().tolist() == [4, 6], "no rows for patterns that a point does not have"
    sequence = runs["sequence"].to_dataframe()
    assert sequence["alpha"].iloc[0] == "[0.5, 0.25]" and str(sequence["alpha_realised[1]"].dtype) == "float64"
    assert pandas.api.types.is_string_dtype(sequence["alpha"])


def test_csv_is_the_frame(runs):
    pandas = pytest.importorskip("pandas")
    for results in runs.values():
        text = io.StringIO()
        write_csv(results, text)
        text.seek(0)
        pandas.testing.assert_frame_equal(pandas.read_csv(text), results.to_dataframe(), check_dtype=False, check_exact=True,
                                          check_categorical=False)


def test_csv_needs_no_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    text = io.StringIO()
    write_csv(merge(made_folder(tmp_path / "run").path), text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert [row["temperature"] for row in rows[::3]] == ["0.5", "0.7"] and rows[0]["component"] == ""
    assert {row["observable"] for row in rows} == {"m", "q", "acceptance"} and 0.7 < float(rows[1]["mean"]) < 1


@pytest.mark.parametrize("name, call", [("xarray", dataset), ("pandas", dataframe)])
def test_a_missing_library_is_named_with_its_remedy(tmp_path, monkeypatch, name, call):
    results = merge(made_folder(tmp_path / "run").path)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentMismatch, match=f"{name} is not installed; .*install.* brings it"):
        call(results)
