"""Figures of comparisons say what they show: colours, marks, reasons and lines have their entries, no legend lies on data."""

import functools
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import dense_point
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hebb.comparison import Comparison, Row, brief
from hebb.finite_size import load_of
from hebb.looks import colors, crosses, draw_z, legend_below, marks
from hebb.params import patterns_at_load
from hebb.pictures import restoration_figure
from hebb.plotting import comparison_figure
from hebb.plotting_deep import learning_curves as deep_curves
from hebb.plotting_multitask import multitask_figure
from hebb.plotting_perceptron import gibbs_figure
from hebb.plotting_variational import variational_figure
from hebb.style import COLORS
from hebb.theory import Dense
from hebb.theory.phases import PhaseDiagram

REASONS = ("3 of 8 samples left the planted state", "chain too short", "no scatter between samples")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Lines of theory and phase diagrams have their own tests; here one value, and one coarse diagram for each P, will do."""
    monkeypatch.setattr("hebb.plotting._overlap", lambda *arguments: 0.95)
    grid = np.linspace(0.1, 1.5, 5)
    monkeypatch.setattr("hebb.plotting_perceptron._line", lambda *arguments: (grid, {"r": 0 * grid, "q": 0 * grid}))
    monkeypatch.setattr(Dense, "phase_diagram", lambda self, **grid: diagram(self.law.p_body))


@functools.cache
def diagram(p):
    grid = np.linspace(0, 1, 4)
    line = np.array([[0.1, 0.0], [0.05, 1.0]])
    return PhaseDiagram(grid, grid, np.zeros((4, 4), int), {"spinodal": line}, {"spinodal": 0.0}, np.zeros((4, 4)),
                        np.zeros((4, 4)), "RS", f"dense, P = {p}")


@functools.cache
def theory(p):
    return Dense(p)


def entries(ax):
    """Texts of the legend of some axes."""
    return [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]


def comparison(rows, kind, theories=None, **job):
    points = [row.point | {"kind": kind} for row in rows]
    results = SimpleNamespace(points=points, job={"name": "fake"} | job, swept=["n_patterns"])
    return Comparison(results, rows, {} if theories is None else theories)


def dense(sizes=(128,), loads=(0.03, 0.06), temperatures=(0.4, 0.5), p=4, excluded=()):
    """A comparison of points that were never run; excluded: their reasons, by turns."""
    rows, reasons = [], itertools.cycle([*excluded, ""])
    for n, gamma, temperature in itertools.product(sizes, loads, temperatures):
        point = dense_point(n, p, patterns_at_load(gamma, n, p), temperature)
        reason = next(reasons)
        for name in ("m", "q"):
            z = math.nan if reason else 0.5
            rows.append(Row(point, name, 0.95, 0.01, 0.951, 0.96, z, z, "retrieval", reason, (), f"P={p}", load_of(point)))
    law = (p, "distinct", "storage", None, None, None)
    return comparison(rows, "dense", {law: theory(p)})


def points_of(ax):
    """(x, y, marker, colour, whether hollow) of everything drawn as single points."""
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    return [(*line.get_xdata(), *line.get_ydata(), line.get_marker(), line.get_color(),
             line.get_markerfacecolor() in ("white", "none")) for line in lines]


def nothing_under_legends(figure):
    """Every legend of a drawn figure lies outside all axes."""
    figure.draw_without_rendering()
    boxes = [ax.get_window_extent() for ax in figure.axes if ax.axison]
    for legend in [ax.get_legend() for ax in figure.axes if ax.get_legend()] + figure.legends:
        here = legend.get_window_extent()
        assert not any(here.overlaps(box.padded(-1)) for box in boxes), [text.get_text() for text in legend.get_texts()]
    return True


# ---- the looks themselves --------------------------------------------------------------------------------------------


def seen(color, kind):
    """A colour as dichromats see it, in CIE Lab (matrices of Vienot, Brettel and Mollon 1999, linear RGB)."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if kind == "protan":
        linear = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]) @ linear
    if kind == "deutan":
        linear = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]) @ linear
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear.clip(0, 1)
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", ["usual", "protan", "deutan"])
def test_eight_colours_are_told_apart_by_colour_blind_readers(kind):
    assert len(set(COLORS)) == 8
    gaps = {(a, b): np.linalg.norm(seen(a, kind) - seen(b, kind)) for a, b in itertools.combinations(COLORS, 2)}
    assert min(gaps.values()) > 9, min(gaps, key=gaps.get)


@pytest.mark.parametrize("number", [1, 6, 7, 8, 9, 16, 40])
def test_no_colour_and_no_mark_twice(number):
    names = [f"T = {i}" for i in range(number)]
    found = colors(names + names)
    assert list(found) == names and len(set(found.values())) == number
    if number < 26:
        assert len(set(marks(names).values())) == number
        assert len(set(crosses([Row({}, "m", 0, 0, 0, 0, 0, 0, "", name) for name in names]).values())) == number


# ---- dense networks --------------------------------------------------------------------------------------------------


def test_every_reason_has_its_own_cross():
    """Points without z used to "have left the planted state", whatever was the matter."""
    figure = comparison_figure(dense(loads=(0.03, 0.06, 0.09), temperatures=(0.4, 0.5, 0.55), excluded=REASONS))
    curves, _, diagram = figure.axes
    kinds = [brief(reason) for reason in REASONS]
    for ax in (curves, diagram):
        assert [text for text in entries(ax) if text.startswith("no z")] == [f"no z: {kind}" for kind in kinds]
    by_cross = {line.get_label().replace("\n", " "): line.get_marker() for line in curves.get_lines()}
    shapes = [by_cross[f"no z: {kind}"] for kind in kinds]
    assert len(set(shapes)) == 3
    drawn = points_of(curves)
    for kind, shape in zip(kinds, shapes, strict=True):
        rows = [row for row in dense(loads=(0.03, 0.06, 0.09), temperatures=(0.4, 0.5, 0.55), excluded=REASONS).rows
                if row.observable == "m" and row.excluded and brief(row.excluded) == kind]
        assert sorted(x for x, _, mark, *_ in drawn if mark == shape) == pytest.approx(sorted(row.load for row in rows))
    hollow = [mark for *_, mark, _, empty in drawn if empty and mark == "o"]
    assert len(hollow) == 7 and sum(mark == "o" and not empty for *_, mark, _, empty in drawn) == 2, "9 points, 2 with z"
    assert nothing_under_legends(figure)


def test_points_that_were_compared_have_no_cross():
    figure = comparison_figure(dense())
    assert not any(text.startswith("no z") for text in entries(figure.axes[0]))
    assert all(mark in ("o", "_") for _, _, mark, *_ in points_of(figure.axes[0]))


@pytest.mark.parametrize("number", [2, 8, 9, 12])
def test_no_colour_stands_for_two_temperatures(number):
    temperatures = tuple(np.linspace(0.2, 0.5, number).round(3))
    figure = comparison_figure(dense(temperatures=temperatures))
    ax = figure.axes[0]
    shades = {color for _, _, mark, color, _ in points_of(ax) if mark == "o"}
    assert len(shades) == number
    names = {f"T = {value:.3g}" for value in temperatures}
    if number <= 8:
        assert names <= set(entries(ax))
    else:
        bars = [other for other in figure.axes[3:] if {text.get_text() for text in other.get_yticklabels()} == names]
        assert len(bars) == 1, "a colour bar with every temperature"
    assert nothing_under_legends(figure)


def test_sizes_are_told_apart_in_every_panel():
    figure = comparison_figure(dense(sizes=(96, 128, 160)))
    for ax in figure.axes[:3]:
        assert {"N = 96", "N = 128", "N = 160"} <= set(entries(ax)), ax.get_ylabel()
        shapes = {line.get_label(): line.get_marker() for line in ax.get_lines() if line.get_label().startswith("N = ")}
        assert len(set(shapes.values())) == 3
        assert set(shapes.values()) <= {mark for _, _, mark, *_ in points_of(ax)}


@pytest.mark.parametrize("sizes", [(128,), (96, 128)])
def test_every_line_is_in_the_legend(sizes):
    """Dotted is the infinite system; solid, where all points have one size, theory there; bars, theory at a point's own."""
    ax = comparison_figure(dense(sizes=sizes)).axes[0]
    styles = {line.get_linestyle() for line in ax.get_lines() if len(line.get_xdata()) > 1}
    assert styles == ({":", "-"} if len(sizes) == 1 else {":"})
    texts = entries(ax)
    assert "infinite system" in texts and "theory at the N of the point" in texts
    assert ("theory at N = 128" in texts) == (len(sizes) == 1)
    shown = {line.get_label(): line.get_linestyle() for line in ax.get_lines()}
    assert shown["infinite system"] == ":" and shown.get("theory at N = 128", "-") == "-"


@pytest.mark.parametrize("p, loads, symbol", [(2, (0.02, 0.05), r"$\alpha$"), (3, (0.03, 0.06), r"$\gamma$")])
def test_one_name_for_the_load_in_figures_and_tables(p, loads, symbol):
    found = dense(sizes=(2000,) if p == 2 else (128,), loads=loads, temperatures=(0.3,), p=p)
    figure = comparison_figure(found)
    assert [ax.get_xlabel() for ax in figure.axes] == [f"load {symbol}"] * 3
    name = {2: "alpha", 3: "gamma"}[p]
    assert found.table().split("\n")[0].split()[:2] == ["n_patterns", name] and found.load_name == name
    still = comparison_figure(dense(loads=loads[:1], p=p, sizes=(2000,) if p == 2 else (128,), temperatures=(0.3,)))
    assert f"{symbol} = " in entries(still.axes[0])[0]


def test_a_table_of_both_loads_says_so():
    both = Comparison(SimpleNamespace(points=dense(p=2).results.points + dense().results.points, swept=["n_patterns"]),
                      dense(p=2).rows + dense().rows)
    assert both.table().split("\n")[0].split()[:2] == ["n_patterns", "load"]


def test_scores_off_the_scale_are_announced():
    rows = dense().rows
    far = Row(rows[0].point, "m", 0.9, 0.01, 0.95, 0.96, 12.0, -30.0, "retrieval", "", (), "P=4", rows[0].load)
    for chosen, announced in ((rows, False), ([*rows, far], True)):
        ax = Figure().subplots()
        draw_z(ax, chosen, lambda row: row.load)
        legend_below(ax)
        assert any("drawn there" in text for text in entries(ax)) == announced
        assert max(abs(y) for _, y, *_ in points_of(ax)) <= 8 and "|z| < 2" in entries(ax)


# ---- other families --------------------------------------------------------------------------------------------------


def test_multitasking_networks_say_which_branch_line_and_reason():
    point = {"n_spins": 800, "n_patterns": 5, "dilution": 0.3, "protocol": "storage"}
    rows = []
    for number, temperature in enumerate((0.1, 0.2, 0.3)):
        reason = ("", "1 of 8 chains changed their state", "chain too short")[number]
        for n in (800, 4000):
            for k, m in enumerate((0.7, 0.2, 0.06, 0.02, 0.006)):
                z = math.nan if reason else 0.3
                place = point | {"temperature": temperature, "n_spins": n}
                rows.append(Row(place, f"m[{k}]", m, 0.01, m, m, z, z, "hierarchical", reason, (), "K=5"))
    figure = multitask_figure(comparison(rows, "multitask"))
    texts = entries(figure.axes[0])
    assert {"N = 800", "N = 4000", "hierarchical", "theory of the samples", "no z: changed their state",
            "no z: chain too short"} <= set(texts)
    assert len({color for *_, color, _ in points_of(figure.axes[0])}) == 3, "two sizes and black"
    assert nothing_under_legends(figure)


def test_perceptrons_say_which_size_line_and_reason():
    rows = []
    for n, alpha, temperature in itertools.product((201, 401), (0.5, 1.0), (1.0, 1.5)):
        point = {"kind": "perceptron", "n_spins": n, "n_patterns": round(alpha * n), "temperature": temperature,
                 "loss": "violations", "kappa": 0.0, "labels": "teacher"}
        for name in ("r", "q"):
            reason = "chain too short" if temperature == 1.0 else ""
            z = math.nan if reason else 0.3
            rows.append(Row(point, name, 0.2, 0.01, 0.2, 0.2, z, math.nan, "RS", reason, (), "perceptron", alpha))
    figure = gibbs_figure(comparison(rows, "perceptron"))
    texts = entries(figure.axes[-1])
    assert {"N = 201", "N = 401", "T = 1", "T = 1.5", "infinite system", "no z: chain too short"} <= set(texts)
    first = points_of(figure.axes[0])
    assert {mark for _, _, mark, *_ in first} - {"_"} == {"o", "s", "x"} and len({color for *_, color, _ in first}) == 2
    assert comparison(rows, "perceptron").table().split("\n")[0].split()[:2] == ["n_patterns", "alpha"]
    assert nothing_under_legends(figure)


def test_many_curves_of_a_perceptron_keep_their_colours():
    rows = [Row({"kind": "perceptron", "n_spins": 201, "n_patterns": round(a * 201), "temperature": t, "loss": "violations",
                 "kappa": 0.0, "labels": "teacher"}, "r", 0.2, 0.01, 0.2, 0.2, 0.3, math.nan, "RS", "", (), "perceptron", a)
            for a in np.linspace(0.1, 0.4, 12) for t in np.linspace(1, 2, 10)]
    ax = gibbs_figure(comparison(rows, "perceptron")).axes[0]
    assert len({color for *_, color, _ in points_of(ax)}) == 10


def test_variational_perceptrons_say_which_task_line_and_reason():
    rows = []
    for temperature, correlation in itertools.product((0.05, 0.2, 0.4), (-0.5, 0.0, 0.2, 0.5, 0.8)):
        point = {"n_spins": 401, "alpha": [0.3, 0.5], "kl": [0.0, 1.0], "teacher_correlation": [correlation],
                 "temperature": temperature}
        reason = "RS unstable of task 2, replicon ratio 1.20" if temperature == 0.05 else ""
        for name in ("q0", "qd", "r[0]", "r[1]", "overlap[0]", "overlap[1]"):
            z = math.nan if reason else 0.3
            rows.append(Row(point, name, 0.2, 0.01, 0.2, 0.2, z, math.nan, "unique", reason, (), "variational perceptron"))
    made = comparison(rows, "variational_perceptron", sampling={"dynamics": "hmc"})
    figure = variational_figure(made)
    shown = points_of(figure.axes[2])
    assert len({color for *_, color, _ in shown}) == 6, "three temperatures of two tasks, over the correlation"
    texts = entries(figure.axes[4])
    assert {"N = 401", "replica symmetry", "no z: RS unstable of task 2"} <= set(texts)
    assert nothing_under_legends(figure)


def test_strengths_of_one_method_have_colours_of_their_own():
    rng = np.random.default_rng(1)
    common = {"kind": "network", "temperature": 0.0, "n_tasks": 2, "images": "digits", "layers": [64, 5, 10]}
    points = [common | {"method": "kl", "strength": strength} for strength in (0.1, 1.0, 10.0)]
    series = rng.uniform(0.2, 0.9, (3, 2, 8, 1, 2))
    observable = type("Fake", (), {"series": lambda self, index: series[index]})()
    results = type("Run", (SimpleNamespace,), {"__getitem__": lambda self, name: observable})(
        points=points, swept=["strength"], sweeps=np.arange(1, 9),
        job={"name": "deep", "sampling": {"learning": {"epochs": 4}, "thermalize": 0, "measure_every": 1}})
    figure = deep_curves(results)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 8]
    assert len({line.get_color() for line in lines}) == 3
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"a new task begins", "standard error between samples"} < set(texts) and len(texts) == 5
    assert nothing_under_legends(figure)


def test_restored_images_have_a_colour_for_each_order_and_temperature():
    points = [{"n_spins": 64, "p_body": p, "temperature": t, "n_patterns": k, "patterns": "digits"}
              for p, t, k in itertools.product((2, 3, 4), (0.0, 0.1, 0.2), (1, 4))]
    found = type("Fake", (), {"estimate": lambda self, index: SimpleNamespace(mean=0.9, raw_error=0.01, bar=0.01)})()
    results = type("Run", (SimpleNamespace,), {"__getitem__": lambda self, name: found})(
        points=points, spins={}, job={"name": "images", "sampling": {}})
    figure = restoration_figure(results)
    ax = figure.axes[0]
    drawn = {container[0].get_color() for container in ax.containers}
    assert len(drawn) == 9 and nothing_under_legends(figure)
