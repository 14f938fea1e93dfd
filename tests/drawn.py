"""What a figure shows, as numbers: cells, curves and the figures that a command saved."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure


def saved_figures(monkeypatch) -> list[Figure]:
    """A list that every figure joins when it is saved from now on."""
    found, save = [], Figure.savefig

    def keep(figure, *arguments, **options):
        found.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def cells_of(ax):
    """(x, y, values (n_y, n_x)) of the coloured cells of these axes; x and y are the middles of the cells."""
    (mesh,) = [item for item in ax.collections if isinstance(item, QuadMesh)]
    corners = mesh.get_coordinates()
    middles = (corners[1:, 1:] + corners[:-1, :-1]) / 2
    return middles[0, :, 0], middles[:, 0, 1], np.asarray(mesh.get_array()).reshape(middles.shape[:2])


def is_drawn(ax, x, y) -> bool:
    """Whether one of the lines of these axes has just these points."""
    curve = np.column_stack([x, y])
    shown = [np.column_stack(line.get_data()) for line in ax.lines]
    return any(one.shape == curve.shape and np.allclose(one, curve, equal_nan=True) for one in shown)


def assert_shows_diagram(ax, diagram, across: str, label: str) -> None:
    """Labels and lines of a phase diagram lie at their own coordinates; `across` is the horizontal one."""
    x, temperature, labels = cells_of(ax)
    np.testing.assert_allclose(x, getattr(diagram, across), atol=1e-12)
    np.testing.assert_allclose(temperature, diagram.temperature, atol=1e-12)
    np.testing.assert_array_equal(labels, diagram.labels)
    assert len(np.unique(labels)) > 1 and diagram.lines
    assert all(is_drawn(ax, *line.T) for line in diagram.lines.values())
    assert (ax.get_xlabel(), ax.get_ylabel()) == (label, "temperature $T$")
    for limits, values in ((ax.get_xlim(), x), (ax.get_ylim(), temperature)):
        half = (values[1] - values[0]) / 2
        assert limits == pytest.approx((values[0] - half, values[-1] + half))
    shown = {text.get_text() for text in ax.get_legend().get_texts()}
    assert {diagram.names[label].replace("_", " ") for label in np.unique(labels)} <= shown
