"""What the values of [model] span: ranges, and keys that run side by side."""

import math

import numpy as np
import pytest
from conftest import ROOT, TINY, hebb, refused

from hebb import load, models
from hebb.errors import ParameterError
from hebb.models import _KINDS
from hebb.runs import combinations as module
from hebb.runs.combinations import REAL, WHOLE, combinations
from hebb.runs.plan import Plan

WORDS = {"patterns", "protocol", "hamiltonian", "order", "archetypes", "remedy", "normalize_dilution", "normalize_examples",
         "loss", "labels", "layers", "images", "method"}


def spanned(**section):
    return list(combinations(section, 10**6))


def values(text, key="gamma"):
    return [point[key] for point in spanned(**{key: text})]


def digest_of(*lines):
    """The digest of the tiny job with these lines for its patterns and temperatures."""
    text = TINY.replace("n_patterns = 2\ntemperature = [0.5, 0.8]", "\n".join(lines))
    assert text != TINY
    return Plan.from_text(text).index()["digest"]


def test_every_key_is_a_number_or_a_word():
    keys = {key for kind in _KINDS for key in models.keys(kind)} | {"temperature"}
    assert keys == {*WHOLE, *REAL} | WORDS and not {*WHOLE, *REAL} & WORDS


def test_a_range_is_the_list_that_one_would_write():
    """Decimal numbers as written: numpy.linspace(0.1, 0.5, 5)[2] is not 0.3."""
    assert values("0.1:0.5:5") == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert values("-1:1:3", "kappa") == [-1.0, 0.0, 1.0]
    assert values(" .5 : 1e0 : 2 ") == [0.5, 1.0]
    assert values("0.01:100:5:log") == [0.01, 0.1, 1.0, 10.0, 100.0]
    assert values("1e-3:0.1:5:log") == pytest.approx(np.geomspace(1e-3, 0.1, 5), rel=1e-15)
    assert values("0.2:3.7:1001") == pytest.approx(np.linspace(0.2, 3.7, 1001), rel=1e-15)
    assert values("0.07:5.3:1001:log") == pytest.approx(np.geomspace(0.07, 5.3, 1001), rel=1e-14)


def test_whole_numbers_stay_whole():
    found = values("16:64:4", "n_spins") + values("100:10000:5:log", "n_spins")
    assert found == [16, 32, 48, 64, 100, 316, 1000, 3162, 10000] and {type(value) for value in found} == {int}
    assert values("1e1:2e1:2", "n_patterns") == [10, 20]


def test_ranges_and_values_may_be_mixed_in_a_list():
    assert values([0.05, "0.1:0.2:3", 1]) == [0.05, 0.1, 0.15, 0.2, 1]


def test_names_with_colons_are_names():
    assert values("0:1:3", "patterns") == ["0:1:3"] and values(["C:/data", "1:2:3"], "images") == ["C:/data", "1:2:3"]


@pytest.mark.parametrize("one, two", [
    ("gamma = '0.125:0.5:4'\ntemperature = 0.5", "gamma = [0.125, 0.25, 0.375, 0.5]\ntemperature = 0.5"),
    ("n_patterns = 2\ntemperature = '0.1:0.7:7'", "n_patterns = 2\ntemperature = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]"),
    ("n_patterns = '1:4:3:log'\ntemperature = 1", "n_patterns = [1, 2, 4]\ntemperature = 1"),
    ("together = ['n_patterns', 'temperature']\nn_patterns = '1:2:2'\ntemperature = '0.5:1:2'",
     "n_patterns = [1, 2]\ntogether = [['temperature', 'n_patterns']]\ntemperature = [0.5, 1.0]"),
])  # fmt: skip
def test_a_range_and_its_list_are_one_job(one, two):
    assert digest_of(one) == digest_of(two)


def test_shipped_jobs_keep_their_digests():
    """Of jobs of an earlier version, whose lists are expanded as they were."""
    known = {
        "demo": "d273ad43b5d5590282aa99522403f697",
        "agreement_p4_cold": "def37fe1647cf878933a6553a7d20342",
        "perceptron_gibbs_cold": "dc9308a692723c1b40b0d7808c809bd1"}
    for name, digest in known.items():
        assert Plan.from_toml(ROOT / "mpi_runs" / f"{name}.toml").index()["digest"] == digest


@pytest.mark.parametrize(
    "key, text, message",
    [
        ("gamma", "0.1:0.5", "gamma = '0.1:0.5' is neither a number nor low:high:number or low:high:number:log with"),
        ("gamma", "0.5:0.1:3", "is neither a number nor low:high:number"),
        ("gamma", "0.1:0.5:1", "number >= 2"),
        ("gamma", "0.1:0.5:2.5", "is neither"),
        ("gamma", "0.1:0.5:5:ln", "is neither"),
        ("gamma", "0:1e999:3", "is neither"),
        ("gamma", "nan:1:3", "is neither"),
        ("gamma", "0:1:²", "is neither"),
        ("gamma", "0.1:0.5:1000001", "has more than 1000000 values; take fewer"),
        ("gamma", "0:1:5:log", "gamma = '0:1:5:log' begins at 0, and a logarithmic range has a low above 0; raise it, or"),
        ("n_spins", "16:64:6", "n_spins = '16:64:6' does not consist of whole numbers; write 16:64:5$"),
        ("n_spins", "16:23:6", "whole numbers; write 16:23:8$"),
        ("n_spins", "16.5:23:6", "begin and end at whole numbers"),
        ("n_patterns", "1:4:9:log", "n_patterns = '1:4:9:log' has some whole numbers more than once; take fewer values"),
        ("n_patterns", "1:4:9", "more than once"),
    ],
)  # fmt: skip
def test_ranges_are_refused_in_a_sentence(key, text, message):
    with pytest.raises(ParameterError, match=message):
        values(text, key)


def test_what_is_advised_works():
    assert values("16:64:5", "n_spins") == [16, 28, 40, 52, 64] and values("16:23:8", "n_spins") == list(range(16, 24))


def test_keys_run_together_where_the_first_of_them_stands():
    found = spanned(p_body=2, gamma=[1, 2], n_spins=[5, 6, 7], temperature=[3, 4], together=["temperature", "gamma"])
    assert [(point["gamma"], point["n_spins"], point["temperature"]) for point in found] == [
        (1, 5, 3), (1, 6, 3), (1, 7, 3), (2, 5, 4), (2, 6, 4), (2, 7, 4)]
    assert list(found[0]) == ["p_body", "gamma", "n_spins", "temperature"]
    two = spanned(a=[1, 2], b=[1, 2], r=[1, 2], rho=[3, 4], together=[["a", "r"], ["b", "rho"]])
    assert [tuple(point.values()) for point in two] == [(1, 1, 1, 3), (1, 2, 1, 4), (2, 1, 2, 3), (2, 2, 2, 4)]
    assert spanned(a=1, together=[]) == [{"a": 1}]


@pytest.mark.parametrize(
    "together, message",
    [
        ("gamma", 'together = \'gamma\' is neither a list of two or more keys nor a list of such lists; write for example'),
        (["gamma"], "neither a list of two or more keys"),
        ([["gamma"]], "neither a list of two or more keys"),
        (["gamma", 3], "neither a list of two or more keys"),
        ([3], "neither a list of two or more keys"),
        (["gamma", "r"], "together names 'r', for which .model. gives no list and no range; give one, or leave it out"),
        (["gamma", "p_body"], "together names 'p_body', for which"),
        (["gamma", "gamma"], "together names 'gamma' twice"),
        ([["gamma", "n_spins"], ["gamma", "n_spins"]], "together names 'gamma' twice; name every key once"),
        (["gamma", "temperature"], "gamma has 2 values and temperature has 3, and together lets them run side by side; give"),
    ],
)
def test_what_cannot_run_together(together, message):
    with pytest.raises(ParameterError, match=message):
        spanned(gamma=[1, 2], p_body=2, n_spins=[3, 4], temperature="0.1:0.3:3", together=together)


def test_most_points_count_side_by_side():
    section = {"gamma": "0.1:1:1000", "temperature": "0.1:1:1000", "together": ["gamma", "temperature"]}
    assert sum(1 for _ in combinations(section, 1000)) == 1000
    with pytest.raises(ParameterError, match="spans 1000000 points"):
        next(combinations(section | {"together": []}, 1000))


def test_results_of_keys_that_ran_together(folder, capsys):
    """A line through the plane of gamma and temperature: every command knows what its points are."""
    text = TINY.replace("n_patterns = 2", 'gamma = "0.125:0.375:3"\ntogether = ["gamma", "temperature"]')
    (folder / "tiny.toml").write_text(text.replace("[0.5, 0.8]", '"0.4:0.8:3"').replace("n_spins = 16", "n_spins = [16, 32]"))
    code, out, err = hebb(capsys, "check", "tiny.toml")
    assert (code, err) == (0, "") and "6 points x 2 disorder samples = 12 tasks" in out
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    results = load("runs/tiny")
    assert [(point["n_spins"], asked["gamma"], point["temperature"]) for point, asked in
            zip(results.points, results.asked, strict=True)] == [
        (16, 0.125, 0.4), (16, 0.25, 0.6), (16, 0.375, 0.8), (32, 0.125, 0.4), (32, 0.25, 0.6), (32, 0.375, 0.8)]
    assert all("together" not in asked for asked in results.asked)
    assert results.coordinates.grid is None, "not all combinations"
    data = results.to_xarray()
    assert data["m"].dims[0] == "point" and list(data["gamma"].values) == 2 * [0.125, 0.25, 0.375]
    assert {"gamma", "temperature"} <= set(results.to_table()[0])
    for command in (["plot", "runs/tiny"], ["export", "runs/tiny", "--csv", "t.csv"], ["status", "runs/tiny"],
                    ["export", "runs/tiny", "--netcdf", "t.nc"], ["compare", "runs/tiny", "--csv", "c.csv"]):
        code, out, err = hebb(capsys, *command)
        assert code == 0 or command[0] == "compare" and code == 1, (command, err)
    lines = (folder / "t.csv").read_text().splitlines()
    assert (len(lines) - 1) % 6 == 0 and "gamma" in lines[0] and "temperature" in lines[0]
    assert "holds a run of this job, 12 of 12" in hebb(capsys, "check", "tiny.toml")[1]


def test_a_sentence_reaches_the_terminal(folder, capsys):
    (folder / "tiny.toml").write_text(TINY.replace("[0.5, 0.8]", '"0.8:0.5:4"'))
    for command in ("check", "run"):
        assert "temperature = '0.8:0.5:4' is neither a number nor low:high:number" in refused(capsys, command, "tiny.toml")
    (folder / "tiny.toml").write_text(TINY.replace("[0.5, 0.8]", '[0.5, 0.8]\nzip = ["gamma"]'))
    assert "unknown key 'zip' in [model]; write together" in refused(capsys, "check", "tiny.toml")


def test_values_do_not_depend_on_the_mathematics_library(monkeypatch):
    """Digests name values, and logarithms differ between machines in their last bits."""
    for name in ("log", "exp", "log10", "pow"):
        monkeypatch.setattr(math, name, None)
    assert values("0.1:10:3:log") == [0.1, 1.0, 10.0] and module.decimal.getcontext().prec
