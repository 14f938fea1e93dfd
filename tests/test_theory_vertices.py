"""States at T = 0: against the definition of a vertex, against all directions, and against the free energy."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from hebb.errors import ParameterError
from hebb.theory.multitask_states import names
from hebb.theory.vertices import energy_crossings, ground_states, hierarchical, vertices

SWITCHES = {     # verified by two independent routes
    3: [(1 + 2 * 2**0.5) / 7],
    4: [0.518679724610, 0.546918160678, 0.570720298119, 0.620459570323],
    5: [0.507202422889, 0.5187, 0.5316, 0.5432, 0.5469, 0.5509, 0.5612, 0.5664, 0.5862, 0.5920, 0.6, 0.6049, 0.6853, 0.7588],
}


def image(v, dilution):
    """E[xi sgn(xi.v)] by the definition, over all 3^K columns, and the smallest field |xi.v| of one that occurs."""
    columns = np.array(list(itertools.product((-1, 0, 1), repeat=len(v))))
    filled = np.count_nonzero(columns, axis=1)
    probability = ((1 - dilution) / 2) ** filled * dilution ** (len(v) - filled)
    heights = columns @ np.asarray(v, float)
    occurs = (filled > 0) & (probability > 0)
    return (probability * np.sign(heights)) @ columns, np.abs(heights[occurs]).min()


@pytest.mark.parametrize(("n_patterns", "number"), [(1, 1), (2, 1), (3, 2), (4, 14), (5, 516)])
def test_chambers_are_all_chambers(n_patterns, number):
    """As many as there are orderings, and none but these among random directions."""
    from hebb.theory.vertices import _all, _columns

    every = _all(n_patterns)
    columns = np.array(_columns(n_patterns))
    signs = {tuple(np.sign(columns @ np.array(vertex.weights))) for vertex in every}
    assert len(every) == len(signs) == number and all(0 not in row for row in signs)
    directions = -np.sort(-np.random.default_rng(3).random((2000, n_patterns)) ** 2, axis=1)
    seen = {tuple(row) for row in np.sign(directions @ columns.T).astype(int)}
    assert seen <= signs and len(seen) > number / 3


@pytest.mark.parametrize("n_patterns", [1, 2, 3, 4, 5])
def test_vertices_are_fixed_points(n_patterns):
    for dilution in (0.1, 0.45, 0.57, 0.8):
        stable = vertices(n_patterns, dilution)
        energies = [vertex.energy(dilution) for vertex in stable]
        assert np.all(np.diff(energies) > -1e-15) and len({vertex.name for vertex in stable}) == len(stable)
        for vertex in stable[:12]:
            m = vertex.m(dilution)
            again, margin = image(m, dilution)
            assert np.all(np.diff(m) < 0) and margin > 0 and np.abs(again - m).max() < 1e-15
            assert vertex.energy(dilution) == pytest.approx(-0.5 * m @ m, abs=1e-16)


@pytest.mark.parametrize("n_patterns", [3, 4, 5])
def test_iteration_from_anywhere_ends_on_a_vertex(n_patterns):
    """m <- E[xi sgn(xi.m)] lowers the energy and finds nothing that is not listed."""
    rng = np.random.default_rng(5)
    for dilution in (0.3, 0.62):
        known = {tuple(np.round(vertex.m(dilution), 12)) for vertex in vertices(n_patterns, dilution)}
        for m in rng.random((40, n_patterns)):
            last = None
            while last is None or np.abs(m - last).max() > 0:
                last = m
                m, margin = image(m, dilution)
            assert margin < 1e-12 or tuple(np.round(-np.sort(-np.abs(m)), 12)) in known


def test_polynomials_are_exact():
    dilution = Fraction(3, 7)
    top, majority = sorted(vertices(3, dilution), key=lambda vertex: vertex.name)
    assert (top.name, majority.name) == ("hierarchical", "majority")
    p, d = 1 - dilution, dilution
    assert top.m(d) == [p, p * d, p * d**2]
    assert majority.m(d) == [p * (1 + 2 * d - d**2) / 2, p * (1 + d**2) / 2, p * (1 - 2 * d + 3 * d**2) / 2]
    for vertex in (*vertices(3, d), *vertices(5, d)[:5]):
        powers = [sum(c * d**i for i, c in enumerate(row)) for row in vertex.coefficients]
        assert powers == vertex.m(d) and np.allclose(np.array(vertex.m(d), float), vertex.m(float(d)), rtol=0, atol=1e-16)
        assert vertex.energy(d) == sum(c * d**i for i, c in enumerate(vertex.energy_coefficients)) == -sum(
            m * m for m in vertex.m(d)) / 2
    assert vertices(5, 0.4)[3].m(np.linspace(0.1, 0.9, 7).reshape(7, 1)).shape == (7, 1, 5)


@pytest.mark.parametrize("n_patterns", [2, 3, 4, 5, 6, 9])
def test_hierarchical_vertex(n_patterns):
    vertex = hierarchical(n_patterns)
    (low, end), = vertex.existence
    assert low == 0 and (end == 1) == (n_patterns == 2)
    if end < 1:
        assert abs(1 - 2 * end + end**n_patterns) < 1e-15
        assert vertex.exists(end - 1e-9) and not vertex.exists(end + 1e-9)
        if n_patterns < 8:
            assert image(vertex.m(end - 1e-6), end - 1e-6)[1] < 1e-5
    d = 0.37
    assert np.allclose(vertex.m(d), 0.63 * d ** np.arange(n_patterns), rtol=0, atol=1e-15)
    assert vertex.energy(d) == pytest.approx(-0.63**2 / 2 * (1 - d ** (2 * n_patterns)) / (1 - d * d), abs=1e-15)
    if n_patterns < 6:
        assert vertex in vertices(n_patterns, 0.3)


def test_existence_is_where_the_fields_keep_their_signs():
    """Intervals against the decision at single points, for all chambers of four patterns."""
    from hebb.theory.vertices import _all

    grid = np.linspace(0.0125, 0.9875, 40)
    for vertex in _all(4):
        inside = [any(low < d < high for low, high in vertex.existence) for d in grid]
        direct = []
        for d in grid:
            columns = np.array(list(itertools.product((-1, 0, 1), repeat=4)))
            agree = (columns @ vertex.m(d)) * np.sign(columns @ np.array(vertex.weights))
            direct.append(bool(np.all(agree[np.any(columns != 0, axis=1)] > 1e-15)))
        assert inside == direct == [vertex.exists(float(d)) for d in grid]


@pytest.mark.parametrize("n_patterns", [1, 2, 3, 4, 5])
def test_where_the_lowest_state_changes(n_patterns):
    crossings = energy_crossings(n_patterns)
    known = SWITCHES.get(n_patterns, [])
    assert len(crossings) == len(known)
    for crossing, value in zip(crossings, known, strict=True):
        assert abs(crossing.dilution - value) < (1e-12 if value in (*SWITCHES[3], *SWITCHES[4]) else 5.1e-5)
        d = crossing.dilution
        assert abs(np.polyval(crossing.polynomial[::-1], d)) < 1e-13 * np.abs(crossing.polynomial).sum()
        assert crossing.below[0].energy(d) == pytest.approx(crossing.above[0].energy(d), abs=1e-15)
        assert set(ground_states(n_patterns, d - 1e-7)) == set(crossing.below)
        assert set(ground_states(n_patterns, d + 1e-7)) == set(crossing.above)
    # nothing happens in between: the leader of every interval is the lowest state throughout
    ends = [0.0, *(crossing.dilution for crossing in crossings), 1.0]
    leaders = [hierarchical(n_patterns), *(crossing.above[0] for crossing in crossings)]
    for (low, high), leader in zip(itertools.pairwise(ends), leaders, strict=True):
        for d in low + (high - low) * np.array([0.01, 0.3, 0.7, 0.99]):
            assert leader in ground_states(n_patterns, d)


def test_golden_polynomial():
    (crossing,) = energy_crossings(3)
    assert crossing.polynomial == (-1, -2, 7) and crossing.dilution == pytest.approx((1 + 2 * 2**0.5) / 7, abs=2e-16)


def test_two_different_lowest_states_of_four_patterns_are_degenerate():
    """The same energy as polynomials, by amplitudes that differ by (1-d)^4/4."""
    one, other = energy_crossings(4)[-1].above
    assert one.energy_coefficients == other.energy_coefficients and one.coefficients != other.coefficients
    d = Fraction(4, 5)
    assert {abs(a - b) for a, b in zip(one.m(d), other.m(d), strict=True)} == {(1 - d) ** 4 / 4}
    assert {vertex.name for vertex in vertices(4, 0.8)} == {one.name, other.name}


def test_numbers_of_states():
    assert [len(vertices(4, d)) for d in (0.1, 0.5, 0.6, 0.9)] == [7, 10, 7, 2]
    assert [len(vertices(5, d)) for d in (0.1, 0.5, 0.6, 0.9)] == [40, 71, 55, 6]
    assert len(vertices(5, 0.5999)) == 65     # 3/5 itself is where ten of them end


def test_names_agree_with_those_at_positive_temperature():
    for n_patterns in (2, 3, 4, 5):
        for vertex in vertices(n_patterns, 0.45)[:10]:
            name = str(names(vertex.m(0.45)))
            assert name == vertex.name or (vertex.name.startswith("vertex(") and name == f"mix[{'1' * n_patterns}]")


def test_without_dilution_ties_of_blank_entries_do_not_matter():
    pure, mixture = vertices(3, 0.0)
    assert pure.m(0.0).tolist() == [1, 0, 0] and mixture.m(0.0).tolist() == [0.5, 0.5, 0.5]
    assert [vertex.m(0.0).tolist() for vertex in vertices(2, 0)] == [[1, 0]]


def test_many_patterns():
    stable = vertices(6, 0.45)
    assert stable[0] == hierarchical(6) and len(stable) > 10
    for vertex in stable[:5]:
        m = vertex.m(0.45)
        assert np.abs(image(m, 0.45)[0] - m).max() < 1e-15
    assert vertices(12, 0.45) == [hierarchical(12)] and vertices(12, 0.6) == []


@pytest.mark.parametrize("arguments", [(0, 0.3), (3, 1.0), (3, -0.1), (3, "0.3"), (2.5, 0.3), (3, float("nan"))])
def test_bad_input(arguments):
    with pytest.raises(ParameterError):
        vertices(*arguments)
    with pytest.raises(ParameterError, match="not complete"):
        energy_crossings(6)
