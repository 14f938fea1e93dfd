"""Multitasking networks: published numbers, the free energy and its derivatives, states and their stability, refusals."""

import itertools
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hebb.errors import NoSolution, ParameterError
from hebb.params import MultitaskLaw
from hebb.theory import Multitask
from hebb.theory.column_integral import ColumnIntegral
from hebb.theory.columns import Columns, columns_of
from hebb.theory.multitask_states import (
    canonical,
    distinct,
    find_states,
    free_energy,
    groups_of,
    judged,
    multiplicities,
    names,
    starts,
    symmetry_of,
    tidy,
)

# numbers that two independent codes agree on, with their largest errors
ANCHORS = json.loads((Path(__file__).parent / "data" / "reference_multitask.json").read_text())


@cache
def theory(n_patterns, dilution, normalize_dilution=False):
    return Multitask(n_patterns, dilution, normalize_dilution=normalize_dilution)


def all_columns(n_patterns, dilution):
    """Every column (3^K, K) and its probability."""
    columns = np.array(list(itertools.product((0, 1, -1), repeat=n_patterns)), float)
    filled = np.count_nonzero(columns, axis=1)
    return columns, ((1 - dilution) / 2) ** filled * dilution ** (n_patterns - filled)


@pytest.mark.parametrize("entry", ANCHORS, ids=[entry["id"] for entry in ANCHORS])
def test_anchors(entry):
    found = getattr(Multitask(**entry["init"]), entry["call"])(**entry["args"])
    for name, value in entry["values"].items():
        error = entry["abs_err"][name] if isinstance(entry["abs_err"], dict) else entry["abs_err"]
        np.testing.assert_allclose(np.array(getattr(found, name), float), np.array(value, float), rtol=0, atol=error)
    assert found.converged


# ---- columns and free energy -----------------------------------------------------------------------------------------

@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.floats(0, 0.95), st.floats(0.02, 1.5), st.integers(0, 10**6))
def test_columns_are_the_sum_over_all_columns(K, d, T, seed):
    g = np.random.default_rng(seed).normal(size=(3, K)) * 0.4
    columns, weights = all_columns(K, d)
    x = g @ columns.T / T
    of = Columns(K, d)
    np.testing.assert_allclose(of.log_cosh(g, T), (np.abs(x) + np.log1p(np.exp(-2 * np.abs(x)))) @ weights, rtol=1e-13)
    np.testing.assert_allclose(of.field(g, T), np.tanh(x) @ (weights[:, None] * columns), atol=1e-14)
    slope = np.einsum("pc,ci,cj->pij", weights / np.cosh(np.minimum(np.abs(x), 300)) ** 2, columns, columns) / T
    np.testing.assert_allclose(of.jacobian(g, T), slope, atol=1e-13 / T)


def test_columns_at_many_points_and_low_temperature():
    g, T, d = np.array([[0.5, 0.2, 0.1], [0.3, 0.3, 0.0]]), np.array([0.3, 0.1]), np.array([0.2, 0.6])
    many = Columns(3, d)
    for k in range(2):
        assert many.field(g, T)[k] == pytest.approx(Columns(3, d[k]).field(g[k], T[k]), abs=1e-16)
        assert many.jacobian(g, T)[k] == pytest.approx(Columns(3, d[k]).jacobian(g[k], T[k]), abs=1e-15)
    assert many.at([1]).field(g[1:], T[1:])[0] == pytest.approx(many.field(g, T)[1], abs=0)
    frozen = Columns(3, 0.3)
    hierarchical = np.array([0.7, 0.21, 0.063])
    assert frozen.field(hierarchical, 1e-6) == pytest.approx(hierarchical, abs=1e-15)
    assert np.all(frozen.jacobian(hierarchical, 1e-6) == 0)
    assert frozen.potential(hierarchical, 1e-6) == pytest.approx(hierarchical @ hierarchical, rel=1e-5)


def test_either_way_of_averaging_gives_the_same_states():
    law = MultitaskLaw.from_keywords(5, 0.4)
    assert isinstance(columns_of(law), Columns) and isinstance(columns_of(MultitaskLaw.from_keywords(20, 0.4)), ColumnIntegral)
    begin = starts(5)[::6] * law.density
    one, other = (find_states(columns, 0.08, begin) for columns in (columns_of(law), ColumnIntegral(law)))
    stable = (one.hessian > 1e-3) & (other.hessian > 1e-3)
    assert stable.sum() > 3
    assert one.g[stable] == pytest.approx(other.g[stable], abs=1e-11)
    assert one.free_energy[stable] == pytest.approx(other.free_energy[stable], abs=1e-14)


LAWS = [{}, {"rho": 0.05}, {"r": 0.6, "n_examples": 4}, {"r": 0.6, "n_examples": 5, "protocol": "unsupervised"}]


@pytest.mark.parametrize("dataset", LAWS, ids=str)
def test_field_and_hessian_are_derivatives_of_the_free_energy(dataset):
    columns, h = Multitask(3, 0.35, **dataset).columns, 1e-5
    g, T = np.array([0.41, 0.23, 0.08]), 0.17
    for k, unit in enumerate(np.eye(3)):
        slope = (free_energy(columns, T, g + h * unit) - free_energy(columns, T, g - h * unit)) / (2 * h)
        assert slope == pytest.approx((g - columns.field(g, T))[k], abs=1e-9)
        bent = (columns.field(g + h * unit, T) - columns.field(g - h * unit, T)) / (2 * h)
        assert bent == pytest.approx(columns.jacobian(g, T)[k], abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.floats(0, 0.95), st.floats(0.02, 1.2), st.integers(0, 10**6))
def test_iteration_never_increases_the_free_energy(K, d, share, seed):
    columns, T = Columns(K, d), share * (1 - d)
    g = np.random.default_rng(seed).normal(size=(4, K)) * (1 - d)
    before = free_energy(columns, T, g)
    for _ in range(5):
        g = columns.field(g, T)
        after = free_energy(columns, T, g)
        assert np.all(after <= before + 1e-14)
        before = after


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.floats(0, 0.95), st.floats(0.02, 1.2), st.integers(0, 10**6))
def test_search_ends_in_stationary_points_below_its_start(K, d, share, seed):
    columns, T = Columns(K, d), share * (1 - d)
    begin = np.random.default_rng(seed).normal(size=(5, K)) * (1 - d)
    found = find_states(columns, T, begin)
    assert np.all(found.free_energy <= free_energy(columns, T, begin) + 1e-14)
    assert np.all(found.residual <= 1e-8 * (1 - d))
    assert np.all(found.residual[found.hessian > 1e-6] <= 1e-13 * (1 - d))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.floats(0, 0.95), st.floats(1.0, 3.0), st.integers(0, 10**6))
def test_paramagnet_only_above_the_critical_temperature(K, d, share, seed):
    """log cosh x <= x^2/2, so that f - f(0) >= |g|^2 (1 - p/T)/2, and g = 0 is approached by plain iteration."""
    columns, p = Columns(K, d), 1 - d
    g = np.random.default_rng(seed).normal(size=(3, K)) * p
    T = share * p
    raised = free_energy(columns, T, g) - free_energy(columns, T, 0 * g)
    assert np.all(raised >= (g**2).sum(axis=1) * (1 - p / T) / 2 - 1e-14)
    states = theory(K, d).states(T)         # T_c included, where f has a quartic minimum
    assert [state.branch for state in states] == ["paramagnet"] and states[0].stable
    assert states[0].free_energy == pytest.approx(-T * math.log(2))


# ---- names -----------------------------------------------------------------------------------------------------------

NAMED = [
    ([0, 0, 0], "paramagnet"), ([0, 0.3, 0], "pure"), ([-0.3, 0.3, 0.3], "parallel"), ([0.1, 0.3, 0.1], "mix[12]"),
    ([0.3, 0.3, 0.1], "mix[21]"), ([0.1, 0, 0.3], "H2[11]"), ([0.4, 0.2, 0.1], "hierarchical"), ([0.4, 0.3, 0.2], "majority"),
    ([0.3, 0.3, 0], "mix[2]"), ([0.3, 0.2, 0.1, 0], "mix[111]"), ([0.4, 0.2, 0.1, 0], "H3[111]"), ([0.3], "pure"),
    ([0.4, 0.3, 0.2, 0.1], "mix[1111]"), ([0.5, 0.3, 0.3, 0.2, 0.1], "mix[1211]"), ([0.3] * 12, "parallel"),
    ([0.3] * 12 + [0.2] * 3, "mix[12,3]"),
]


@pytest.mark.parametrize(("g", "name"), NAMED)
def test_names(g, name):
    assert str(names(g)) == name == canonical(name, len(g))
    g = tidy(np.array(g, float))
    levels = [len(list(group)) for level, group in itertools.groupby(g) if level > 0]
    assert list(multiplicities(name, len(g))) == levels
    assert symmetry_of(g) == pytest.approx(groups_of(levels, len(g)))


def test_short_names():
    assert canonical("H2", 3) == "H2[11]" and canonical("H3", 3) == "hierarchical" and canonical("mix[111]", 3) == "majority"
    assert canonical("hierarchical", 1) == "pure" and canonical("mix[3]", 3) == "parallel"
    assert canonical("mix[11]", 4) == "H2[11]" and canonical("mix[1]", 4) == "pure"


# ---- states ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dataset", LAWS, ids=str)
@pytest.mark.parametrize("branch", ["pure", "hierarchical", "parallel"])
def test_entropy_is_minus_the_slope_of_the_free_energy(branch, dataset):
    mt, T, h = Multitask(2, 0.35, normalize_dilution=True, **dataset), 0.15, 1e-4
    state, low, high = (mt.solve(t, branch) for t in (T, T - h, T + h))
    assert state.entropy == pytest.approx((low.free_energy - high.free_energy) / (2 * h), abs=3e-7)
    assert state.energy == pytest.approx(state.free_energy + T * state.entropy, abs=1e-15)
    assert state.energy == pytest.approx(-mt.law.scale * (1 + mt.law.rho) * state.n @ state.n / 2, abs=1e-14)


def test_normalisations_rescale_temperature_and_free_energy():
    raw, scaled = theory(3, 0.4), theory(3, 0.4, True)
    assert raw.critical_temperature() == 0.6 and scaled.critical_temperature() == pytest.approx(1.0, abs=1e-15)
    one, other = raw.solve(0.06, "hierarchical"), scaled.solve(0.1, "hierarchical")
    assert other.free_energy == pytest.approx(one.free_energy / 0.6, abs=1e-15)
    assert other.m == pytest.approx(one.m, abs=1e-15)
    assert other.smallest_hessian_eigenvalue == pytest.approx(one.smallest_hessian_eigenvalue, abs=1e-12)
    assert scaled.states(0.0)[0].free_energy == pytest.approx(raw.states(0.0)[0].free_energy / 0.6, abs=1e-15)
    noisy, unscaled = (Multitask(2, 0.4, r=0.5, n_examples=8, normalize_examples=on) for on in (True, False))
    R = 0.25 + 0.75 / 8
    assert unscaled.critical_temperature() == pytest.approx(0.6 * R)
    assert unscaled.solve(0.1 * R, "pure").free_energy == pytest.approx(R * noisy.solve(0.1, "pure").free_energy, abs=1e-15)


def test_one_pattern():
    mt = theory(1, 0.3)
    m = mt.solve(0.2, "pure").m[0]
    assert m == pytest.approx(0.7 * math.tanh(m / 0.2), abs=1e-15)
    for name in ("hierarchical", "parallel"):
        assert mt.solve(0.2, name).branch == "pure"
    assert [s.branch for s in mt.states(0.2)] == ["pure"]
    assert mt.stability_edge("pure").temperature == 0 and mt.stability_edge("pure", "upper").temperature == pytest.approx(0.7)


def test_low_temperature_joins_the_vertices():
    for K, d, branch in [(2, 0.3, "hierarchical"), (3, 0.5, "hierarchical"), (3, 0.5, "majority"), (4, 0.4, "hierarchical")]:
        mt = theory(K, d)
        frozen, cold = mt.solve(0.0, branch), mt.solve(1e-4, branch)
        assert cold.branch == frozen.branch and cold.m == pytest.approx(frozen.m, abs=1e-12)
        assert cold.free_energy == pytest.approx(frozen.free_energy - 1e-4 * d**K * math.log(2), abs=1e-10)
        assert frozen.entropy == pytest.approx(d**K * math.log(2)) == pytest.approx(cold.entropy, abs=1e-9)


def test_vertices_by_name_at_low_temperature():
    mt = theory(4, 0.6)
    for frozen in mt.states(0.0):
        cold = mt.solve(5e-4, frozen.branch)
        assert cold.branch == frozen.branch and cold.stable
        assert cold.m == pytest.approx(frozen.m, abs=0.01)
        assert mt.solve(0.0, frozen.branch).m == pytest.approx(frozen.m, abs=0)


def test_two_patterns_have_one_minimum():
    """At every dilution and temperature exactly one, modulo symmetry, so that all transitions are continuous."""
    d, T = np.meshgrid(np.linspace(0.01, 0.97, 25), np.linspace(0.02, 0.99, 25))
    p = 1 - d
    generator = np.random.default_rng(3)
    begin = np.concatenate([starts(2), generator.random((8, 2))]) * p[..., None, None]
    found = distinct(find_states(Columns(2, d[..., None]), (T * p)[..., None], begin), p)
    assert np.all(np.isfinite(found.free_energy).sum(axis=-1) == 1)


def test_states_of_several_starts_are_listed_once_and_sorted():
    states = theory(4, 0.5).states(0.005)
    energies = [state.free_energy for state in states]
    assert energies == sorted(energies) and len(states) > 4
    for one, other in itertools.combinations(states, 2):
        assert np.abs(one.m - other.m).max() > 1e-6
    assert all(state.stable and state.converged and state.smallest_hessian_eigenvalue > 0 for state in states)


# K, d, [(T/p below which, class)]; the class H has K different amplitudes. For K = 3, d = 0.6 H2[11] becomes unstable at
# 0.6287216: there the third amplitude vanishes like a square root, so that scans put the transition elsewhere (0.62876)
SEQUENCES = [
    (2, 0.62, [(1, "pure"), (0.84569, "H"), (0.79512, "parallel"), (0.46789, "H")]),
    (3, 0.5, [(1, "pure"), (0.57442, "H2[11]"), (0.31811, "H")]),
    (3, 0.6, [(1, "pure"), (0.79008, "H2[11]"), (0.62872, "H"), (0.58744, "mix[21]"), (0.49722, "H")]),
    (3, 0.7, [(1, "parallel"), (0.35009, "mix[21]"), (0.28806, "H")]),
    (3, 0.8, [(1, "parallel"), (0.24325, "mix[21]"), (0.22727, "H")]),
    (4, 0.5, [(1, "pure"), (0.57442, "H2[11]"), (0.31811, "H3[111]"), (0.17341, "H")]),
    (4, 0.7, [(1, "parallel"), (0.36510, "mix[31]"), (0.31825, None), (0.31, "mix[22]"), (0.20411, None), (0.19, "H")]),
    (5, 0.7, [(1, "parallel"), (0.36845, "mix[41]"), (0.32929, "mix[32]"), (0.24415, "mix[212]"), (0.16654, "mix[1112]"),
              (0.14561, "H")]),
]


@pytest.mark.parametrize(("K", "d", "sequence"), SEQUENCES)
def test_sequence_of_lowest_states(K, d, sequence):
    """Just above and just below every published transition; None where a window is too narrow for the published scan."""
    p = 1 - d
    different = {"hierarchical", "majority", f"mix[{'1' * K}]"}
    edges = [edge for edge, _ in sequence]
    share = np.array([[edge - 1.5e-5, edge + 1.5e-5] for edge in edges[1:]]).ravel()
    found = distinct(find_states(Columns(K, d), (share * p)[:, None], starts(K) * p), np.full(share.size, p))
    called = ["H" if name in different else name for name in names(found.g[:, 0])]
    for k, (_, name) in enumerate(sequence[1:]):
        above = sequence[k][1]
        if name is not None and above is not None:
            assert called[2 * k:2 * k + 2] == [name, above], edges[k + 1]


def test_narrow_window_between_mixtures():
    """Four patterns, d = 0.7: mix[211] is the lowest state in a window of 0.008 of T_c between mix[31] and mix[22]."""
    lowest = [theory(4, 0.7, True).states(T)[0].branch for T in (0.330, 0.3145, 0.300)]
    assert lowest == ["mix[31]", "mix[211]", "mix[22]"]


@pytest.mark.parametrize("K", [12, 50])
def test_many_patterns(K):
    mt = theory(K, 0.8)
    state = mt.solve(0.1, "parallel")
    assert state.stable and state.converged and state.n == pytest.approx(np.full(K, state.n[0]), abs=0)
    # the parallel state follows from the law of the sum of all entries
    n = np.arange(K + 1)
    walk = np.zeros(2 * K + 1)
    walk[K] = 1.0
    for _ in range(K):
        walk = 0.8 * walk + 0.1 * (np.roll(walk, 1) + np.roll(walk, -1))
    total = np.arange(-K, K + 1)
    assert n.size == K + 1 and walk.sum() == pytest.approx(1)
    assert state.n[0] == pytest.approx(walk @ (total * np.tanh(total * state.n[0] / 0.1)) / K, abs=1e-14)
    assert mt.states(0.1)[0].branch == "parallel"


# ---- learning --------------------------------------------------------------------------------------------------------

def test_unsupervised_curvature_is_that_of_all_examples():
    """The Hessian of the K M overlaps with single examples, by enumeration of all their columns."""
    K, M, r, d, T = 2, 2, 0.7, 0.4, 0.2
    p, R = 1 - d, r * r + (1 - r * r) / M
    letters = [((0,) * M, d)] + [(tuple(s), p / 2 * sum(math.prod((1 + r * x * e) / 2 for e in s) for x in (1, -1)))
                                 for s in itertools.product((1, -1), repeat=M)]
    columns = [(np.concatenate(c), math.prod(w)) for c, w in (zip(*pair, strict=True) for pair in
                                                              itertools.product(letters, repeat=K))]
    y = np.array([c for c, _ in columns]) / math.sqrt(M * R)
    weight = np.array([w for _, w in columns])
    mt = Multitask(K, d, r=r, n_examples=M, protocol="unsupervised")
    for branch in ("pure", "hierarchical", "parallel"):
        state = mt.solve(T, branch)
        g = np.repeat(state.n * math.sqrt(1 + mt.law.rho) / math.sqrt(M), M)      # overlaps with examples, over sqrt(M R)
        x = y @ g / T
        assert g == pytest.approx((weight * np.tanh(x)) @ y, abs=1e-13)
        bent = np.eye(K * M) - np.einsum("c,ci,cj->ij", weight / np.cosh(x) ** 2, y, y) / T
        assert state.smallest_hessian_eigenvalue == pytest.approx(np.linalg.eigvalsh(bent)[0], abs=1e-12)


def test_noiseless_datasets_are_storage():
    stored = theory(3, 0.4).solve(0.1, "hierarchical")
    for dataset in ({"rho": 0.0}, {"r": 1.0, "n_examples": 7}, {"r": 1.0, "n_examples": 3, "protocol": "unsupervised"}):
        noisy = Multitask(3, 0.4, **{"protocol": "supervised"} | dataset).solve(0.1, "hierarchical")
        assert noisy.m == pytest.approx(stored.m, abs=1e-13) and noisy.n == pytest.approx(stored.n, abs=1e-13)
        assert noisy.free_energy == pytest.approx(stored.free_energy, abs=1e-14)


def test_unsupervised_states_are_supervised_ones():
    one, other = (Multitask(2, 0.3, r=0.5, n_examples=20, protocol=how).solve(0.1) for how in ("supervised", "unsupervised"))
    assert one.m == pytest.approx(other.m, abs=0) and one.free_energy == other.free_energy
    assert other.smallest_hessian_eigenvalue <= one.smallest_hessian_eigenvalue


# ---- edges of stability ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("d", "edge"), [(0.1, 0.0900000067), (0.3, 0.2127631350), (0.5, 0.2872097360), (0.65, 0.3291288550)])
def test_pure_edge(d, edge):
    found = theory(3, d).stability_edge("pure")
    assert found.temperature == pytest.approx(edge, abs=1e-10) and found.residual < 1e-13 and found.converged
    m = found.solution.m[0]     # beta p [d + p (1 - (m/p)^2)] = 1 towards another pattern
    assert (1 - d) * (d + (1 - d) * (1 - (m / (1 - d)) ** 2)) == pytest.approx(found.temperature, abs=1e-14)
    assert theory(3, d).stability_edge("pure", "upper").temperature == pytest.approx(1 - d, abs=1e-14)


def test_pure_state_is_never_stable_beyond_two_thirds():
    assert theory(2, 0.66666).stability_edge("pure").temperature == pytest.approx(1 / 3, abs=1e-4)
    with pytest.raises(NoSolution, match="stable at no temperature"):
        theory(2, 0.66667).stability_edge("pure")
    # and the parallel state is stable up to T_c from there on
    near = 1 - 1e-3
    for K in (2, 3, 5):
        assert theory(K, 0.66, True).solve(near, "pure").stable and not theory(K, 0.66, True).solve(near, "parallel").stable
        assert theory(K, 0.675, True).solve(near, "parallel").stable and not theory(K, 0.675, True).solve(near, "pure").stable


@pytest.mark.parametrize(("d", "edges"), [
    (0.7, (0.0937644, 0.1049796, 0.1092970, 0.1100404)), (0.8, (0.0400806, 0.0486487, 0.0537908, 0.0568451)),
    (0.9, (0.0100000, 0.0135005, 0.0162573, 0.0184289))])
def test_parallel_edges(d, edges):
    for K, edge in zip((2, 3, 4, 5), edges, strict=True):
        found = theory(K, d).stability_edge("parallel")
        assert found.temperature == pytest.approx(edge, abs=6e-8) and found.residual < 1e-12 and found.dilution == d
        if K == 2:      # 1 = beta [p^2 + p d sech^2(beta m)]
            p, T = 1 - d, found.temperature
            assert p * p + p * d / math.cosh(found.solution.m[0] / T) ** 2 == pytest.approx(T, abs=1e-14)


def test_edges_of_continuous_transitions_coincide():
    mt = theory(2, 0.62, True)
    assert mt.stability_edge("parallel", "upper").temperature == pytest.approx(0.79512, abs=5e-6)
    for (one, which), (other, whither) in [(("parallel", "upper"), ("hierarchical", "lower")),
                                           (("pure", "lower"), ("hierarchical", "upper"))]:
        edge = mt.stability_edge(one, which).temperature
        assert edge == pytest.approx(mt.stability_edge(other, whither).temperature, abs=1e-11)
    mt = theory(3, 0.5, True)
    lower, upper = mt.stability_edge("H2", "lower"), mt.stability_edge("hierarchical", "upper")
    assert lower.temperature == pytest.approx(upper.temperature, abs=1e-11)
    assert lower.temperature == pytest.approx(0.31811, abs=5e-6)
    assert mt.stability_edge("hierarchical").temperature == 0


def test_cascade_of_patterns_at_small_dilution():
    """Pattern k + 1 switches on near T = d^(k-1) times the edge of the pure state."""
    mt = theory(3, 0.3, True)
    pure, second = (mt.stability_edge(name).temperature for name in ("pure", "H2"))
    assert pure == pytest.approx(0.30395, abs=5e-6) and second == pytest.approx(0.09118, abs=5e-6)
    assert second == pytest.approx(0.3 * pure, abs=1e-5)


def test_fold_of_a_mixture():
    """Three parallel amplitudes split by a cubic term, so that mix[21] exists a little above the parallel edge."""
    mt = theory(3, 0.7, True)
    parallel, mixture = mt.stability_edge("parallel"), mt.stability_edge("mix[21]", "upper")
    assert 1e-4 < mixture.temperature - parallel.temperature < 3e-4
    assert mixture.converged and mixture.solution.branch == "mix[21]"
    between = (mixture.temperature + parallel.temperature) / 2
    assert {s.branch for s in mt.states(between)} == {"parallel", "mix[21]"}


@pytest.mark.parametrize(("K", "main", "odd"), [(2, 0.601592345, None), (3, 0.620904538, 0.161634), (4, 0.631866994, None),
                                                (5, 0.638568589, 0.121616)])
def test_dilutions_of_parallel_retrieval(K, main, odd):
    found = Multitask.parallel_dilution(K)
    assert found.dilution == pytest.approx(main, abs=6e-10) and found.residual < 1e-9
    if odd is None:
        with pytest.raises(NoSolution, match="no odd lobe"):
            Multitask.parallel_dilution(K, "odd")
    else:
        assert Multitask.parallel_dilution(K, "odd").dilution == pytest.approx(odd, abs=6e-7)


@pytest.mark.parametrize(("K", "edge"), [(3, 0.459794), (5, 0.384739)])
def test_odd_mixtures_of_the_hopfield_model(K, edge):
    mt = theory(K, 0.0)
    found = mt.stability_edge("parallel", "upper")
    assert found.temperature == pytest.approx(edge, abs=6e-7)
    assert mt.stability_edge("parallel").temperature == 0
    assert mt.solve(0.0, "parallel").m == pytest.approx(np.full(K, math.comb(K - 1, K // 2) / 2 ** (K - 1)))
    assert mt.states(0.3)[0].branch == "pure"
    assert not theory(4, 0.0).solve(0.2, "parallel").stable


# ---- refusals --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("call", "message"), [
    (lambda: theory(3, 0.3).solve(-0.1), r"temperature = -0.1 is not a number in \[0, inf\["),
    (lambda: theory(3, 0.3).solve(0.1, "retrieval"), "branch = 'retrieval' is not a state of n_patterns = 3; paramagnet, pure"),
    (lambda: theory(2, 0.3).solve(0.1, "majority"), "is not a state of n_patterns = 2"),
    (lambda: theory(3, 0.3).solve(0.1, "mix[22]"), "of sum at most 3"),
    (lambda: theory(3, 0.3).solve(0.1, "H3[21]"), "is not a state"),
    (lambda: theory(3, 0.3).solve(0.1, 7), "branch = 7 is not a state"),
    (lambda: theory(3, 0.3).states("cold"), "temperature = 'cold' is not a number"),
    (lambda: theory(3, 0.3).solve(1e-12), "temperature = 1e-12 is below 7e-10 = 1e-9 T_c"),
    (lambda: theory(3, 0.3).stability_edge("paramagnet"), "critical_temperature"),
    (lambda: theory(3, 0.3).stability_edge("pure", "left"), "which = 'left' is not one of lower, upper"),
    (lambda: Multitask(3, 1.0), r"dilution = 1.0 is not a number in \[0, 1\["),
    (lambda: Multitask.parallel_dilution(1), "n_patterns = 1 is not a whole number at least 2"),
    (lambda: Multitask.parallel_dilution(3, "even"), "lobe = 'even' is not one of main, odd"),
])
def test_refusals(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def test_missing_branches_name_where_they_exist():
    with pytest.raises(NoSolution, match="no pure state .* at T = 0.8; the nearest temperature where it exists is T = 0.699"):
        theory(3, 0.3).solve(0.8, "pure")
    with pytest.raises(NoSolution, match="nearest temperature where it exists is T = 0.2127"):
        theory(2, 0.3).solve(0.3, "hierarchical")
    for d, T, branch in ((0.3, 0.7, "pure"), (0.3, 0.3, "hierarchical"), (0.45, 0.45, "H2")):
        with pytest.raises(NoSolution) as missing:
            theory(3, d).solve(T, branch)
        nearest = float(str(missing.value).rsplit("T = ", 1)[1])
        assert nearest < T and theory(3, d).solve(nearest, branch).converged
    with pytest.raises(NoSolution, match="at T = 0; its stable states there are majority"):
        theory(3, 0.7).solve(0.0, "hierarchical")
    with pytest.raises(NoSolution, match="its stable states there are hierarchical"):
        theory(2, 0.7).solve(0.0, "parallel")


def test_hierarchies_of_many_patterns_end_at_very_low_temperature():
    """Pattern K is switched on near T = d^(K-2) times the edge of the pure state; other states of K different amplitudes
    that last longer are not the hierarchy."""
    for K, d in ((5, 0.1), (6, 0.1), (8, 0.2)):
        edge = theory(K, d).stability_edge("hierarchical", "upper")
        pure = theory(K, d).stability_edge("pure").temperature
        assert edge.temperature == pytest.approx(d ** (K - 2) * pure, rel=2e-5) and edge.converged
        assert theory(K, d).solve(0.9 * edge.temperature).branch == "hierarchical"
        with pytest.raises(NoSolution, match="the nearest temperature where it exists is T ="):
            theory(K, d).solve(1.5 * edge.temperature)
    with pytest.raises(NoSolution, match="at T = 0.05; it exists at T = 0, up to a temperature below 0.005$"):
        theory(12, 0.5).solve(0.05, "hierarchical")
    # the lowest state, with the name of the other chamber
    assert [s.branch for s in theory(3, 0.6).states(0.04)] == ["majority"] == [theory(3, 0.6).solve(0.04).branch]


def test_judgement_of_amplitudes():
    columns = Columns(2, 0.3)
    state = judged(columns, 0.1, np.array([0.6, 0.2]))
    assert state.residual == pytest.approx(np.abs(columns.field(np.array([0.6, 0.2]), 0.1) - [0.6, 0.2]).max())
