"""`hebb theory perceptron`."""

import numpy as np
import pytest
from conftest import hebb, refused
from drawn import is_drawn, saved_figures

from hebb.theory import Perceptron, PerceptronCurve, SecondTaskMap

COMMAND = ("theory", "perceptron")


def command(capsys, *arguments):
    code, out, _ = hebb(capsys, *COMMAND, *arguments)
    assert code == 0
    return out.splitlines()


def test_first_task_at_a_point(capsys):
    lines = command(capsys, "--alpha", "1.7")
    for line, branch in zip(lines, ("poor", "good"), strict=False):
        state = Perceptron(20.0).first_task(1.7, branch=branch)
        assert line.startswith(f"{branch}: q0 = {state.q0:.10g}  r1 = {state.r1:.10g}") and "converged = True" in line
    assert lines[2].startswith("spinodals: alpha = 1.498897538 to 1.905802528")
    assert lines[3].startswith("transition: alpha = 1.65")
    assert lines[4] == "replica symmetry breaks: alpha = 0.7289260461"
    lines = command(capsys, "--alpha", "1", "--beta", "5")
    assert lines[0].startswith("unique: q0 = 0.38298661") and "one smooth branch" in lines[1] and len(lines) == 3
    cold = command(capsys, "--alpha", "1", "--beta", "300")                    # the poor branch has no end, but a crossing
    assert "the poor one has no fold" in cold[2] and cold[3].startswith("transition: alpha = 2.267532")
    assert command(capsys, "--alpha", "1")[1].startswith("good: no good branch at alpha = 1")


def test_curve(folder, capsys, monkeypatch):
    figures = saved_figures(monkeypatch)
    lines = command(capsys, "--alpha", "1.4:2:4", "--plot", "c.png", "--save", "c.h5")
    assert lines[0].startswith("poor: 3 loads, alpha 1.4 to 1.8, generalization_error 0.24")
    assert lines[1].startswith("good: 3 loads")
    curve = PerceptronCurve.load("c.h5")
    assert curve.alpha == pytest.approx(np.linspace(1.4, 2, 4)) and (folder / "c.png").exists()
    (ax,) = figures[0].axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"$\alpha$", r"$\epsilon_g$")
    for row, errors in enumerate(curve.generalization_error):
        assert is_drawn(ax, curve.alpha, errors)
        assert is_drawn(ax, curve.alpha, np.where(curve.equilibrium == row, errors, np.nan))


def test_second_task(folder, capsys, monkeypatch):
    figures = saved_figures(monkeypatch)
    lines = command(capsys, "--alpha", "2", "--branch", "good", "--second-alpha", "1")
    assert lines[0].startswith("first task: q0 = 0.9782378786") and lines[1].startswith("poor: q0 = 0.6231936483")
    assert "error_task1 = 0.1504518483" in lines[1] and lines[2].startswith("good: no good branch")
    lines = command(capsys, "--alpha", "2", "--branch", "good", "--second-alpha", "0.5:1:2",
                    "--teacher-correlation", "-0.5:0:2", "--plot", "m.png", "--save", "m.h5")
    assert "kl = 1, teacher_correlation = 0, poor: 2 loads, alpha 0.5 to 1, error_task2 0.488226 to 0.468785" in lines
    found = SecondTaskMap.load("m.h5")
    assert found.error_task1.shape == (1, 2, 2, 2) and (folder / "m.png").exists() and len(figures[0].axes) == 2
    for task, ax in enumerate(figures[0].axes, 1):
        errors = getattr(found, f"error_task{task}")
        assert (ax.get_xlabel(), ax.get_ylabel()) == (r"$\alpha_2$", rf"$\epsilon_{task}$")
        assert all(is_drawn(ax, found.alpha, errors[0, j, row]) for j, row in np.ndindex(2, 2))


def test_binary_weights(capsys):
    lines = command(capsys, "--alpha", "1", "--temperature", "1")
    state = Perceptron.gibbs(1.0, 1.0)
    assert lines[0].startswith(f"gibbs: q = {state.q:.10g}  r = {state.r:.10g}")
    assert lines[1].startswith(f"equilibrium up to: alpha = {Perceptron.gibbs_transition(1.0).alpha:.10g}")
    lines = command(capsys, "--alpha", "1.5", "--temperature", "1", "--second-alpha", "1", "--coupling", "0.5",
                    "--teacher-correlation", "0.5")
    second = Perceptron.gibbs_second(Perceptron.gibbs(1.5, 1.0), 1.0, 1.0, 0.5, 0.5)
    assert lines[1].startswith(f"second task: q = {second.q:.10g}  r1 = {second.r1:.10g}")
    assert "cost = " in command(capsys, "--alpha", "0.5", "--temperature", "0.3", "--loss", "hinge", "--labels", "random")[0]
    assert "is the equilibrium up to" in command(capsys, "--alpha", "1", "--temperature", "1", "--kappa", "0.5")[1]


def test_capacities(capsys):
    lines = command(capsys, "--capacities")
    assert "alpha = 0.8330785997 (replica symmetry breaks at 1.01465361)" in lines[0] and lines[1].endswith("alpha = 2")
    assert "alpha = 1.24468399, R = 0.6937602197 to 1" in lines[2] and "alpha/T = 1.695932643" in lines[3]
    assert "kappa = 0.5: alpha = 0.9612050528" in command(capsys, "--capacities", "--kappa", "0.5")[1]


@pytest.mark.parametrize("arguments, message", [
    ((), "--alpha is missing"),
    (("--alpha", "1:0:5"), "low:high:number"),
    (("--alpha", "0:1:5"), "is not a 1-d increasing array of numbers in"),
    (("--alpha", "0.1:1:9999"), "at most 2000"),
    (("--alpha", "1", "--plot", "x.png"), "give a range, for example --alpha"),
    (("--alpha", "1:2:3", "--save", "none/x.h5"), "no folder"),
    (("--alpha", "1:2:3", "--branch", "good"), "--branch has no meaning with a range of --alpha"),
    (("--alpha", "1", "--beta", "-3"), "beta = -3"),
    (("--alpha", "1", "--kl", "-3"), "kl = -3"),
    (("--alpha", "1", "--loss", "hinge"), "--loss has no meaning with no --temperature"),
    (("--alpha", "1", "--coupling", "1"), "--coupling has no meaning with no --second-alpha"),
    (("--alpha", "1:2:3", "--second-alpha", "1"), "--alpha 1:2:3 is a range; give one number here"),
    (("--alpha", "1.7", "--second-alpha", "1"), "poor and a good branch coexist"),
    (("--alpha", "1", "--second-alpha", "1", "--teacher-correlation", "2"), "teacher_correlation = 2"),
    (("--alpha", "1", "--temperature", "1", "--beta", "3"), "--beta has no meaning with --temperature"),
    (("--alpha", "1", "--temperature", "0"), "temperature = 0"),
    (("--alpha", "1.6", "--temperature", "0.5"), "the perfect state wins"),
    (("--alpha", "1", "--temperature", "1", "--loss", "cubic"), "loss = 'cubic' is not one of"),
    (("--capacities", "--alpha", "1"), "--alpha has no meaning with --capacities"),
    (("--capacities", "--kappa", "99"), "kappa = 99"),
])
def test_refusals(folder, capsys, arguments, message):
    assert message in refused(capsys, *COMMAND, *arguments)
