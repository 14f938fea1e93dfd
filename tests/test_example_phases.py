"""Phase diagrams of unsupervised learning: retrieval that spins leave for one example is not drawn as retrieval."""

import matplotlib
import numpy as np
import pytest

from hebb.errors import NoSolution
from hebb.theory import Dense

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def network():
    return Dense(4, r=0.8, n_examples=2, protocol="unsupervised")


@pytest.fixture(scope="module")
def diagram(network):
    return network.phase_diagram(np.linspace(0.0, 0.32, 9), np.linspace(0.0, 0.75, 6))


def point(network, gamma, temperature, branch):
    try:
        return network.solve(gamma, temperature, branch=branch)
    except NoSolution:
        return None


def test_labels_equal_single_points(network, diagram):
    """Every point by itself: stable states of the three kinds, and the lowest of them."""
    assert diagram.names[:4] == ("paramagnet", "glass", "retrieval", "retrieval_metastable")      # as in older files
    assert {diagram.names[label] for label in diagram.labels.ravel()} >= {"example", "example_metastable", "paramagnet"}
    for row, column in np.ndindex(diagram.labels.shape):
        place = diagram.gamma[column], diagram.temperature[row]
        example, retrieval = (point(network, *place, branch) for branch in ("example", "retrieval"))
        if example is not None and example.others_response >= 1:
            example = None
        if retrieval is not None and retrieval.example_response >= 1:
            retrieval = None
        glass = point(network, *place, "glass")
        other = glass or point(network, *place, "paramagnet")
        f = {name: state.free_energy for name, state in
             (("example", example), ("retrieval", retrieval), ("other", other)) if state is not None}
        lowest = min(f, key=f.get)
        expected = lowest if lowest != "other" else "retrieval_metastable" if retrieval else (
            "example_metastable" if example else "glass" if glass else "paramagnet")
        assert diagram.names[diagram.labels[row, column]] == expected, place


def test_lines(network, diagram):
    """What vanishes on the lines of single examples, and no line of retrieval where spins leave it."""
    assert {"example_spinodal", "example_transition", "example_onset"} <= set(diagram.lines)
    assert max(diagram.residuals.values()) < 1e-9
    for name in ("spinodal", "transition", "at"):
        for gamma, temperature in diagram.lines.get(name, ())[::20]:
            state = point(network, gamma * (1 - 1e-9), temperature, "retrieval")
            assert state is None or state.example_response < 1, name
    ends = diagram.lines["example_spinodal"]
    gamma, temperature = ends[len(ends) // 2]
    assert network.examples.spinodal(temperature).gamma == pytest.approx(gamma, rel=1e-9)
    gamma, temperature = diagram.lines["example_transition"][10]
    other = point(network, gamma, temperature, "glass") or point(network, gamma, temperature, "paramagnet")
    assert network.solve(gamma, temperature, branch="example").free_energy == pytest.approx(other.free_energy, abs=1e-12)


def test_plot_and_storage(diagram, tmp_path):
    import matplotlib.pyplot as plt

    ax = diagram.plot()
    assert "example metastable" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(ax.lines) == len(diagram.lines)
    plt.close("all")
    diagram.save(tmp_path / "diagram.h5")
    again = type(diagram).load(tmp_path / "diagram.h5")
    assert np.array_equal(again.labels, diagram.labels) and again.names == diagram.names
    assert np.array_equal(again.lines["example_onset"], diagram.lines["example_onset"], equal_nan=True)
