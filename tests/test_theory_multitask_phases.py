"""Diagrams of multitasking networks: against single points, many random starts, closed forms and verified sequences."""

import numpy as np
import pytest
from scipy.optimize import brentq

from hebb.errors import ParameterError
from hebb.theory import Multitask
from hebb.theory.columns import Columns
from hebb.theory.multitask_curves import chained
from hebb.theory.multitask_phases import MultitaskDiagram
from hebb.theory.multitask_states import distinct, find_states, groups_of, names, tidy
from hebb.theory.vertices import energy_crossings, vertices

#: Changes of the lowest state on cooling, T/T_c (5 digits), by a scan of independent code.
SEQUENCES = {
    (3, 0.5): [(0.57442, "continuous pure-H2[11]"), (0.31811, "continuous H2[11]-hierarchical")],
    (3, 0.6): [(0.79008, "continuous pure-H2[11]"), (0.62872, "continuous H2[11]-hierarchical"),
               (0.58744, "continuous majority-mix[21]"), (0.49722, "continuous majority-mix[21]")],
    (3, 0.7): [(0.35009, "first_order parallel-mix[21]"), (0.28806, "continuous majority-mix[21]")],
    (3, 0.8): [(0.24325, "first_order parallel-mix[21]"), (0.22727, "continuous majority-mix[21]")],
    (4, 0.5): [(0.57442, "continuous pure-H2[11]"), (0.31811, "continuous H2[11]-H3[111]"),
               (0.17341, "continuous H3[111]-hierarchical")],
    (4, 0.7): [(0.36510, "first_order parallel-mix[31]"), (0.31825, "first_order mix[31]-mix[211]"),
               (0.31224, "continuous mix[22]-mix[211]"), (0.20411, "continuous mix[22]-mix[211]"),
               (0.20215, "continuous mix[211]-mix[1111]")],
    (2, 0.62): [(0.84569, "continuous pure-hierarchical"), (0.79512, "continuous parallel-hierarchical"),
                (0.46789, "continuous parallel-hierarchical")],
}


@pytest.fixture(scope="module")
def three():
    return Multitask.phase_diagram(n_patterns=3, dilution=np.linspace(0.04, 0.96, 24), temperature=np.linspace(0, 1, 26))


@pytest.mark.parametrize(("n_patterns", "dilution"), SEQUENCES)
def test_sequences_on_cooling(n_patterns, dilution):
    diagram = Multitask.phase_diagram(n_patterns, [dilution], np.linspace(0, 1.1, 56), normalize_dilution=True)
    met = sorted(((T, name) for name, line in diagram.lines.items() for _, T in line
                  if name.startswith(("continuous", "first_order")) and T > 0), reverse=True)
    expected = SEQUENCES[n_patterns, dilution]
    assert [name for _, name in met] == [name for _, name in expected]
    assert np.abs([T for T, _ in met] - np.array([T for T, _ in expected])).max() < 1e-5
    assert diagram.lines["critical"].tolist() == [[dilution, pytest.approx(1)]]


def test_states_equal_single_points(three):
    rng = np.random.default_rng(4)
    below = np.argwhere(three.temperature[:, None] < 1 - three.dilution - 1e-9)
    for i, j in below[rng.integers(len(below), size=40)]:
        states = Multitask(3, three.dilution[j]).states(three.temperature[i])
        name = three.names[three.labels[i, j]]
        assert [name, *three.metastable(i, j)] == [state.branch for state in states]
        f = three.free_energy[i, j]
        assert np.allclose(f[np.isfinite(f)], [state.free_energy for state in states], rtol=0, atol=1e-13)
        assert np.abs(three.m[i, j] - states[0].m).max() < 1e-11
    assert np.all(three.labels[three.temperature[:, None] > 1 - three.dilution] == three.names.index("paramagnet"))


@pytest.mark.parametrize(("n_patterns", "size"), [(2, 9), (3, 7), (4, 5)])
def test_no_state_is_missed(n_patterns, size):
    """As many stable states as from a hundred random starts, at every point."""
    d, ratio = np.linspace(0.06, 0.94, size), np.linspace(0.03, 0.95, size)
    diagram = Multitask.phase_diagram(n_patterns, d, ratio, normalize_dilution=True)
    rng = np.random.default_rng(11)
    starts = rng.random((100, n_patterns)) ** rng.choice([0.3, 1, 3], size=(100, 1))
    for j, dilution in enumerate(d):
        p = 1 - dilution
        found = find_states(Columns(n_patterns, dilution), (ratio * p)[:, None], starts * p)
        g = tidy(found.g)
        for i in range(size):
            stable = g[i, (found.hessian[i] > 1e-9) & (found.residual[i] < 1e-12)]
            kinds = np.unique(np.round(stable / p, 5), axis=0)
            listed = (diagram.states[i, j] >= 0).sum()
            assert listed >= len(kinds) and (listed == len(kinds) or ratio[i] < 0.1)


def test_two_patterns_have_one_state_everywhere():
    diagram = Multitask.phase_diagram(2, np.linspace(0.02, 0.98, 20), np.linspace(0, 1, 20))
    assert diagram.states.shape == (20, 20, 1)
    assert set(diagram.names) == {"paramagnet", "pure", "parallel", "hierarchical"}
    assert not [name for name in diagram.lines if name.startswith("first_order")]


def test_lowest_state_changes_across_its_lines(three):
    rng = np.random.default_rng(9)
    checked = 0
    for name, line in three.lines.items():
        assert line.ndim == 2 and line.shape[1] == 2 and three.residuals[name] < 1e-10
        kind, _, pair = name.partition(" ")
        if kind not in ("continuous", "first_order"):
            continue
        points = line[np.isfinite(line[:, 0]) & (line[:, 1] > 1e-3) & (line[:, 0] < 0.8)]
        for d, T in points[rng.permutation(len(points))[:3]]:
            # lines may be followed upwards or sideways
            around = {Multitask(3, x).states(t)[0].branch for x, t in ((d, T * (1 + 2e-3)), (d, T * (1 - 2e-3)),
                                                                     (d + 2e-3, T), (d - 2e-3, T))}
            assert around >= set(pair.split("-")), (name, d, T, around)
            checked += 1
    assert checked >= 15


def test_edges_of_pure_and_parallel_states(three):
    d, T = three.lines["pure_edge"].T
    u = np.array([_slope(x) for x in d])
    assert len(d) == np.sum(three.dilution < 2 / 3) and np.abs(T - (1 - d) * np.tanh(u) / u).max() < 1e-11
    diagram = Multitask.phase_diagram(3, [0.0, 0.1, 0.7, 0.8, 0.9], [0.2, 0.5])
    lower = {round(float(x), 6): y for x, y in diagram.lines["parallel_lower_edge"] if np.isfinite(x)}
    assert [lower[x] for x in (0.7, 0.8, 0.9)] == pytest.approx([0.1049796, 0.0486487, 0.0135005], abs=1e-7)
    upper = diagram.lines["parallel_upper_edge"]
    assert upper[0].tolist() == [0.0, pytest.approx(0.459794, abs=1e-6)] and upper[-1, 0] == 0.1
    edge = Multitask(3, 0.7).stability_edge("parallel")
    assert lower[0.7] == pytest.approx(edge.temperature, abs=1e-10)


def _slope(dilution):
    """u = m/T of the pure state where it loses its stability: 1 - d = (1 - tanh(u)/u)/tanh(u)^2."""
    return brentq(lambda u: (1 - np.tanh(u) / u) / np.tanh(u) ** 2 - 1 + dilution, 1e-3, 1e4, xtol=1e-14, rtol=1e-14)


def test_edges_meet_at_the_ends_of_their_lobes(three):
    lower, upper = (three.lines[f"parallel_{which}_edge"] for which in ("lower", "upper"))
    gap = int(np.flatnonzero(np.isnan(lower[:, 0]))[0])
    assert lower[gap - 1] == pytest.approx(upper[np.flatnonzero(np.isnan(upper[:, 0]))[0] - 1], abs=0)
    assert lower[gap + 1] == pytest.approx(upper[np.flatnonzero(np.isnan(upper[:, 0]))[0] + 1], abs=0)
    # no further out than the exact end, and close to it
    for where, end, sign in ((gap - 1, 0.161634, 1), (gap + 1, 0.620904538, -1)):
        assert -1e-6 < sign * (end - lower[where, 0]) < 2e-4
    for d, T in np.concatenate([lower[gap - 3:gap], lower[gap + 1:gap + 4]]):
        assert abs(Multitask(3, d).solve(T, "parallel").smallest_hessian_eigenvalue) < 1e-11


def test_chained():
    """Where a closed curve, narrower than the grid, and a line cross a grid: every point once, in the order of the curves."""
    d, T = np.linspace(0.1, 0.9, 9), np.linspace(0.2, 1.0, 9)
    angle = np.linspace(0, 2 * np.pi, 400_001)
    curve = np.stack([0.502 + 0.06 * np.cos(angle), 0.61 + 0.25 * np.sin(angle)], axis=-1)
    line = np.stack([np.linspace(0.65, 0.89, 400_001), np.linspace(0.21, 0.98, 400_001)], axis=-1)

    def met(path):
        crossed = [np.flatnonzero(np.diff(np.searchsorted(grid, x))) for grid, x in zip((d, T), path.T, strict=True)]
        points = [path[np.concatenate(crossed)][:len(crossed[0])], path[np.concatenate(crossed)][len(crossed[0]):]]
        for axis, grid, part in zip((0, 1), (d, T), points, strict=True):
            part[:, axis] = grid[np.abs(grid[:, None] - part[:, axis]).argmin(axis=0)]
        return np.concatenate(points)

    one, two = met(curve), met(line)
    shuffled = np.random.default_rng(2).permutation(np.concatenate([one, two]))
    found = chained(shuffled, d, T, cells=True)
    cut = int(np.flatnonzero(np.isnan(found[:, 0]))[0])
    open_line, closed = found[:cut], found[cut + 1:]
    assert len(open_line) == len(two) and np.all(np.diff(open_line[:, 1]) > 0)
    assert len(closed) == len(one) + 1 and closed[0].tolist() == closed[-1].tolist()
    turn = np.unwrap(np.arctan2((closed[:, 1] - 0.61) / 0.25, (closed[:, 0] - 0.502) / 0.06))
    assert abs(turn[-1] - turn[0]) == pytest.approx(2 * np.pi) and len(set(np.sign(np.diff(turn)))) == 1
    flat = np.stack([d, 0.5 + 0.3 * d], axis=-1)
    assert chained(np.random.default_rng(3).permutation(flat), d, T, cells=False).tolist() == flat.tolist()


def test_island_of_a_mixture():
    """Five patterns: around d = 0.563, T/T_c = 0.19 two of the amplitudes are equal, all around they are not."""
    diagram = Multitask.phase_diagram(5, np.linspace(0.55, 0.58, 7), np.linspace(0.14, 0.24, 6), normalize_dilution=True)
    line = diagram.lines["continuous mix[1112]-mix[11111]"]
    assert np.all(np.isfinite(line)) and line[0].tolist() == line[-1].tolist()
    corners = line - [0.563, 0.19]
    turn = np.unwrap(np.arctan2(corners[:, 1] / 0.1, corners[:, 0] / 0.03))
    assert abs(turn[-1] - turn[0]) == pytest.approx(2 * np.pi)
    starts = np.random.default_rng(5).random((60, 5))
    for d, T, name in ((0.563, 0.19, "mix[1112]"), (0.545, 0.19, "mix[11111]"), (0.578, 0.19, "mix[11111]"),
                       (0.563, 0.14, "mix[11111]"), (0.563, 0.25, "mix[11111]")):
        found = distinct(find_states(Columns(5, d), T * (1 - d), starts * (1 - d)), 1 - d)
        assert str(names(found.g[0])) == name


def test_window_narrower_than_the_bisection_looks():
    """Five patterns near (2/3, T_c): mix[4] is the lowest in a tenth of a grid step between mix[3] and the parallel state."""
    diagram = Multitask.phase_diagram(5, [0.644576, 0.660847], [0.9162711864], normalize_dilution=True)
    lines = diagram.lines
    assert "first_order parallel-mix[3]" not in lines
    (left, T), (right, _) = lines["first_order mix[3]-mix[4]"][0], lines["first_order parallel-mix[4]"][0]
    assert right - left == pytest.approx(0.0018677, abs=1e-6)
    for d, pair in ((left, (3, 4)), (right, (4, 5))):
        columns, f = Columns(5, d), []
        for n in pair:
            start = np.where(np.arange(5) < n, 0.3, 0.0) * (1 - d)
            f.append(float(find_states(columns, T * (1 - d), start, groups_of((n,), 5)).free_energy))
        assert f[0] == pytest.approx(f[1], abs=1e-15)
    starts = np.random.default_rng(6).random((200, 5))
    for d, name in ((left - 1e-4, "mix[3]"), (left + 1e-4, "mix[4]"), (right - 1e-4, "mix[4]"), (right + 1e-4, "parallel")):
        found = distinct(find_states(Columns(5, d), T * (1 - d), starts * (1 - d)), 1 - d)
        assert str(names(found.g[0])) == name


def test_zero_temperature(three):
    for j, d in enumerate(three.dilution):
        stable = vertices(3, d)
        assert [three.names[label] for label in three.states[0, j] if label >= 0] == [vertex.name for vertex in stable]
        assert np.allclose(three.m[0, j], stable[0].m(d), rtol=0, atol=1e-15)
    (crossing,) = energy_crossings(3)
    assert three.lines["ground_state"].tolist() == [[crossing.dilution, 0.0]]
    line = three.lines["first_order majority-hierarchical"]
    assert [crossing.dilution, 0.0] in line.tolist() and np.abs(line[:, 0] - crossing.dilution).max() < 1e-3
    # the tangent at T = 0 is vertical up to what is exponentially small in 1/T
    cold = Multitask.phase_diagram(3, np.linspace(0.54, 0.555, 4), [0.004, 0.008])
    line = cold.lines["first_order majority-hierarchical"]
    assert np.abs(line[:, 0] - crossing.dilution).max() < 1e-6


def test_units():
    """normalize_dilution divides temperatures and free energies by p; r without normalisation multiplies them by R."""
    one, two = (Multitask.phase_diagram(3, [0.3], np.array([0.04, 0.1, 0.3, 0.5]) * unit, normalize_dilution=unit != 1)
                for unit in (1, 1 / 0.7))
    assert np.array_equal(one.states, two.states) and np.allclose(one.m, two.m, rtol=0, atol=1e-12)
    assert np.allclose(one.free_energy / 0.7, two.free_energy, rtol=0, atol=1e-12, equal_nan=True)
    for name, line in one.lines.items():
        assert np.allclose(line / [1, 0.7], two.lines[name], rtol=0, atol=1e-10, equal_nan=True)


def test_dataset():
    dataset = {"r": 0.5, "n_examples": 20}
    diagram = Multitask.phase_diagram(2, [0.3, 0.75], [0.05, 0.15, 0.3, 0.8], **dataset)
    for i, T in enumerate(diagram.temperature):
        for j, d in enumerate(diagram.dilution):
            state = Multitask(2, d, **dataset).states(T)[0]
            assert diagram.names[diagram.labels[i, j]] == state.branch
            assert np.abs(diagram.m[i, j] - state.m).max() < 1e-10
            assert diagram.free_energy[i, j, 0] == pytest.approx(state.free_energy, abs=1e-12)
    assert diagram.title == "multitasking, K = 2, supervised, r = 0.5, M = 20" and diagram.lines
    with pytest.raises(ParameterError, match="positive temperature"):
        Multitask.phase_diagram(2, [0.3], [0.0, 0.1], **dataset)


def test_storage_and_picture(three, tmp_path):
    three.save(tmp_path / "diagram.h5")
    back = MultitaskDiagram.load(tmp_path / "diagram.h5")
    for name in ("dilution", "temperature", "labels", "states", "free_energy", "m"):
        assert np.array_equal(getattr(back, name), getattr(three, name), equal_nan=name == "free_energy")
    assert back.lines.keys() == three.lines.keys() and back.residuals == three.residuals
    assert all(np.array_equal(back.lines[name], line, equal_nan=True) for name, line in three.lines.items())
    assert (back.names, back.title, back.metastable(1, 3)) == (three.names, three.title, three.metastable(1, 3))

    import matplotlib

    matplotlib.use("Agg")
    axes = three.plot()
    words = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"paramagnet", "hierarchical", "majority", "parallel", "others metastable", "first order"} <= words
    matplotlib.pyplot.close(axes.figure)


def test_one_point():
    diagram = Multitask.phase_diagram(3, [0.5], [0.0])
    assert diagram.names[diagram.labels[0, 0]] == "hierarchical" and diagram.metastable(0, 0) == ["majority"]


@pytest.mark.parametrize("bad", [{"dilution": [0.5, 0.4]}, {"dilution": [0.5, 1.0]}, {"dilution": 0.5}, {"temperature": [-0.1]},
                                 {"temperature": []}, {"n_patterns": 0}, {"rho": -1.0}, {"dilution": np.linspace(0, 1, 60)}])
def test_bad_input(bad):
    with pytest.raises(ParameterError) as refused:
        Multitask.phase_diagram(**({"n_patterns": 3, "dilution": [0.5], "temperature": [0.1]} | bad))
    assert "\n" not in str(refused.value)
