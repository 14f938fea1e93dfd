"""`docs/results.md` as its readers run it, `hebb plot` and `hebb export`, and the pictures of results alone."""

import re
import sys

import matplotlib.colors
import numpy as np
import pytest
from conftest import ROOT, hebb, refused

from hebb import load, models, simulate
from hebb.errors import ParameterError
from hebb.style import COLORS


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the blocks of the page ran, and what they defined."""
    pytest.importorskip("xarray")
    pytest.importorskip("pandas")
    path, names = tmp_path_factory.mktemp("page"), {}
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(block, names)
    return path, names


def test_the_page_says_what_happens(place):
    path, names = place
    results, data, m = names["results"], names["data"], names["m"]
    assert results.asked[2]["gamma"] == 0.1 and results.points[2]["n_patterns"] == 34
    assert results.coordinates.at(2) == {"gamma": 0.1, "temperature": 0.3, "n_patterns": 34, "gamma_realised": 0.099609375}
    assert data["m"].sel(gamma=0.1, temperature=0.3) == results["m"].mean[2]
    assert data["n_patterns"].sel(gamma=0.1) == 34 and len(m) == 6 and (path / "small.png").stat().st_size > 10_000


def test_commands_write_what_the_page_says(place, capsys, monkeypatch):
    path, names = place
    monkeypatch.chdir(path)
    assert hebb(capsys, "export", "runs/small", "--csv", "small.csv")[0] == 0
    code, out, _ = hebb(capsys, "export", "runs/small", "--csv", "-")
    assert code == 0 and out == (path / "small.csv").read_text()
    assert out.startswith("gamma,temperature,n_patterns,gamma_realised,observable,component,mean,error,")
    code, out, _ = hebb(capsys, "plot", "runs/small", "--observables", "m,energy", "--x", "gamma", "--out", "other.png")
    assert code == 0 and out == "other.png\n" and (path / "other.png").exists()
    assert hebb(capsys, "plot", "runs/small/results.h5")[0] == 0 and (path / "runs/small/plot.png").exists()
    pytest.importorskip("h5netcdf")
    assert hebb(capsys, "export", "runs/small", "--netcdf", "small.nc", "--samples")[0] == 0
    with pytest.importorskip("xarray").open_dataset(path / "small.nc") as data:
        assert data["m_samples"].sel(gamma=0.2, temperature=0.5).shape == (4,) and "m_chains" not in data


@pytest.mark.parametrize("arguments, words", [
    (("export", "runs/small"), "give --csv FILE"),
    (("export", "runs/small", "--netcdf", "-"), "cannot go to the standard output"),
    (("export", "runs/small", "--csv", "a.csv", "--chains"), "give --netcdf FILE"),
    (("export", "runs/small", "--csv", "no/folder/a.csv"), "cannot write no/folder/a.csv"),
    (("export", "nowhere", "--csv", "a.csv"), "no file or folder nowhere"),
    (("plot", "runs/small", "--observables", "mm"), "observable = 'mm' is not one of .*did you mean 'm'"),
    (("plot", "runs/small", "--x", "gama"), "x = 'gama' is not one of gamma, temperature; did you mean 'gamma'"),
    (("plot", "runs/small", "--out", "a.nothing"), "cannot write a.nothing"),
])  # fmt: skip
def test_bad_requests_are_one_sentence(place, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(place[0])
    assert re.search(words, refused(capsys, *arguments))


def test_a_missing_library_ends_with_its_remedy(place, capsys, monkeypatch):
    monkeypatch.chdir(place[0])
    for library in ("xarray", "h5netcdf"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            assert f"{library} is not installed; `" in refused(capsys, "export", "runs/small", "--netcdf", "b.nc")


def test_a_picture_has_every_point_with_its_error(place):
    results = load(place[0] / "runs" / "small")
    figure = results.plot("m")
    (ax,) = figure.axes
    assert ax.get_xlabel() == r"load $\gamma$" and ax.get_ylabel() == "overlap with the pattern $m$"
    drawn = {tuple(np.round(xy, 12)) for group in ax.containers for xy in group[0].get_xydata()}
    realised = results.coordinates.varying["gamma_realised"]
    assert drawn == {tuple(np.round(pair, 12)) for pair in zip(realised, results["m"].mean, strict=True)}
    bars = {tuple(np.round(segment[:, 1], 12)) for group in ax.containers for segment in group[2][0].get_segments()}
    mean, error = results["m"].mean, results["m"].raw_error
    assert bars == {tuple(np.round((m - e, m + e), 12)) for m, e in zip(mean, error, strict=True)}
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[:2] == ["$T$ = 0.3", "$T$ = 0.5"] and ax.get_legend().get_bbox_to_anchor() is not None


def test_colours_are_told_apart():
    """Eight at most, and then one scale with its bar; beside many keys, panels."""
    results = simulate(models.Dense(20, 2, 0.1), np.linspace(0.3, 1.4, 12), disorder=2, sweeps=20, thermalize=0)
    for keys, point in zip(results.asked, results.points, strict=True):
        keys["n_spins"] = point["n_spins"] = 20 + 2 * (round(point["temperature"], 1) > 0.8)
    figure = results.plot(["m", "q"], x="n_spins")
    used = {matplotlib.colors.to_hex(line.get_color()) for line in figure.axes[0].lines}
    assert len(used - {"#666666"}) == 12 and not used & set(COLORS) and len(figure.axes) == 4, "two panels, two bars"
    assert len(simulate(models.Dense(20, 2, 0.1), [0.5], disorder=1, sweeps=20).plot().axes) == 3
    with pytest.raises(ParameterError, match="empty list"):
        results.plot([])
