"""Multitasking networks: every sample against its own theory, and that a wrong theory, sample or shift is caught."""

import copy
import csv
import math

import numpy as np
import pytest
from conftest import assert_z, comparisons_of

from hebb import models, simulate
from hebb.compare import compare_results
from hebb.compare_multitask import rows

SETTINGS = {"disorder": 24, "sweeps": 200, "thermalize": 40}
LEARNED = {"r": 0.7, "n_examples": 10}
SMALL = SETTINGS | {"sweeps": 1500, "measure_every": 3}


def run(start, temperature=0.5, dynamics="metropolis", seed=21, n_spins=1000, n_patterns=2, dilution=0.2, settings=SETTINGS,
        **law):
    model = models.Multitask(n_spins, n_patterns, dilution, normalize_dilution=True, **law)
    return simulate(model, temperature, start=start, dynamics=dynamics, seed=seed, **settings)


CASES = {
    "pure": dict(start="planted"),
    "hierarchical": dict(start="hierarchical", temperature=0.25, dilution=0.5, dynamics="glauber", n_spins=3000),
    "parallel": dict(start="parallel", dilution=0.9, n_spins=3000, n_patterns=3),
    "supervised": dict(start="planted", **LEARNED, protocol="supervised"),
    "unsupervised": dict(start="planted", **LEARNED, protocol="unsupervised"),
    "many examples": dict(start="planted", dilution=0.1, rho=0.05, protocol="supervised"),
    "lumped": dict(start="planted", dynamics="lumped"),
    "lumped, supervised": dict(start="planted", dynamics="lumped", **LEARNED, protocol="supervised"),
    "paramagnet": dict(start="random", temperature=1.5),
    "hubbard_stratonovich": dict(start="planted", dynamics="hubbard_stratonovich"),
}


@pytest.fixture(scope="module")
def runs():
    kept = {}

    def of(case):
        if case not in kept:
            kept[case] = run(**CASES[case])
        return kept[case]

    return of


def scores(found):
    assert found and all(math.isfinite(row.z) for row in found), [row.excluded for row in found]
    return np.array([row.z for row in found])


@pytest.mark.parametrize("case", CASES)
def test_samples_agree_with_their_own_theory(runs, case):
    comparison = compare_results(runs(case))
    names = [row.observable for row in comparison.rows]
    k = CASES[case].get("n_patterns", 2)
    expected = [f"m[{i}]" for i in range(k)] + ([f"n[{i}]" for i in range(k)] if "protocol" in CASES[case] else [])
    assert names == [*expected, "energy", "q"]
    branch = case if case in ("hierarchical", "parallel", "paramagnet") else "pure"
    assert {row.branch for row in comparison.rows} == {branch}
    assert not any("soft" in note for row in comparison.rows for note in row.notes)
    assert_z(scores(comparison.rows), 1e-6, case)


@pytest.mark.parametrize("law", [{}, {"r": 0.9, "n_examples": 10, "protocol": "supervised"},
                                 {"r": 0.9, "n_examples": 10, "protocol": "unsupervised"}])
def test_without_the_shift_they_do_not_agree(law):
    """Small systems and long chains: with the shift the same rows agree."""
    results = run("planted", temperature=0.55, n_spins=400, dilution=0.1, settings=SMALL, **law)
    with_shift, without = ({row.observable: row for row in rows(results, {}, shifted)} for shifted in (True, False))
    assert abs(without["q"].z) > 5 and abs(without["m[0]"].z) > 5
    assert_z([with_shift["q"].z, with_shift["m[0]"].z, with_shift["energy"].z], 1e-6, "with the shift")


def relabelled(results, **parameters):
    lie = copy.copy(results)
    lie.points = [point | parameters for point in results.points]
    return lie


@pytest.mark.parametrize("case, lie", [("pure", {"temperature": 0.505}), ("pure", {"normalize_dilution": False}),
                                       ("supervised", {"r": 0.72}), ("supervised", {"n_examples": 11}),
                                       ("hierarchical", {"temperature": 0.26})])
def test_a_wrong_theory_is_caught(runs, case, lie):
    wrong = rows(relabelled(runs(case), **lie), {})
    assert max((abs(row.z) for row in wrong if math.isfinite(row.z)), default=0) > 5


def test_samples_of_another_seed_are_caught(runs):
    """Against other samples the scatter is that of the disorder, many times that of the chains."""
    true, lie = runs("pure"), copy.copy(runs("pure"))
    lie.job = true.job | {"seed": true.job["seed"] + 1}
    errors = [{row.observable: row.error for row in rows(results, {})} for results in (true, lie)]
    assert all(errors[1][name] > 3 * errors[0][name] for name in ("m[0]", "m[1]", "energy"))


def test_replicas_in_different_states_are_compared_each_with_its_own():
    """From random starts replicas end in states of either sign and pattern: their R-hat is hopeless, that of the differences
    is not."""
    results = run("random", dilution=0.1, settings=SETTINGS | {"thermalize": 100})
    assert results["m"].too_short.all() and results["m"].r_hat.min() > 1.5
    found = rows(results, {})
    assert {row.branch for row in found} == {"pure"}
    assert_z(scores(found), 1e-6, "random starts")
    assert found[0].observable == "m[0]" and found[0].mean > 0.8


def changed(results, disorder, replica):
    """The same run, in which the second half of one chain is of the other sign."""
    other = copy.copy(results)
    other.data = results.data | {"m": results.data["m"].copy()}
    half = other.data["m"].shape[2] // 2
    other.data["m"][0, disorder, half:, replica] *= -1
    vars(other).pop("_observables", None)
    return other


def test_a_chain_that_changed_its_state_takes_its_branch_along(runs):
    found = rows(changed(runs("pure"), 3, 1), {})
    assert {row.excluded for row in found} == {"1 of 48 chains changed their state"}
    assert all(math.isnan(row.z) and math.isfinite(row.theory) for row in found)


def test_chains_that_are_too_short_have_no_z():
    found = rows(run("planted", settings={"disorder": 4, "sweeps": 12, "thermalize": 5}), {})
    assert {row.excluded for row in found} == {"chain too short"}


def test_soft_states_are_marked():
    found = rows(run("planted", temperature=0.85, n_spins=300, settings=SETTINGS | {"disorder": 4}), {})
    assert found and all(row.excluded or any(note.startswith("soft: anharmonicity") for note in row.notes) for row in found)


def test_points_without_theory_say_why(runs):
    quench = simulate(models.Multitask(200, 2, 0.3), 0.0, dynamics="zero_temperature", disorder=2, sweeps=8, thermalize=2)
    assert {row.excluded for row in rows(quench, {})} == {"quenches and mean-field updates are not equilibrium"}


@pytest.mark.parametrize("temperatures", [[0.0, 0.1], [0.1, 0.0]])
def test_points_at_zero_temperature_leave_the_others_their_theory(temperatures):
    mixed = simulate(models.Multitask(2000, 2, 0.3), temperatures, start="hierarchical", dynamics="lumped", rule="glauber",
                     disorder=4, sweeps=60, thermalize=20)
    for row in rows(mixed, {}):
        if row.point["temperature"]:
            assert row.branch == "hierarchical" and math.isfinite(row.theory)
        else:
            assert row.excluded == "quenches and mean-field updates are not equilibrium" and math.isnan(row.theory)


def test_a_single_measurement_has_a_state_and_no_z():
    once = simulate(models.Multitask(2000, 2, 0.3), 0.1, start="hierarchical", disorder=4, sweeps=1, thermalize=9)
    found = rows(once, {})
    assert {row.branch for row in found} == {"hierarchical"} and all(math.isfinite(row.theory) for row in found)
    assert {row.excluded for row in found} == {"chain too short"} and all(math.isnan(row.z) for row in found)
    patterns = np.sign(np.random.default_rng(1).standard_normal((2, 200))).astype(np.int8)
    given = simulate(models.Multitask(patterns=patterns), 0.5, disorder=2, sweeps=8, thermalize=2)
    assert {row.excluded for row in rows(given, {})} == {"no theory for given patterns or fields"}


def test_a_point_without_theory_hides_no_other(runs):
    """Two models in one run: one whose theory fails, and a sample that is not done yet."""
    results = run("planted", temperature=[0.4, 0.5])
    results.points[0] = results.points[0] | {"fields": "of which no theory knows"}
    results.done[1, 5] = False
    found = rows(results, {})
    assert {row.excluded for row in found if row.point == results.points[0]} == {"no theory for given patterns or fields"}
    assert_z(scores([row for row in found if row.point == results.points[1]]), 1e-6, "the other point")


def test_a_thousand_million_spins_are_the_infinite_system():
    results = run("hierarchical", temperature=[0.25, 0.4], dilution=0.5, n_spins=10**9, dynamics="hubbard_stratonovich",
                  settings={"disorder": 16, "sweeps": 300, "thermalize": 200})
    comparison = compare_results(results)
    assert_z(scores(comparison.rows), 1e-6, "samples")
    far = [abs(row.mean - row.infinite) for row in comparison.rows if math.isfinite(row.infinite)]
    assert len(far) == 6 and max(far) < 5e-5
    assert_z([row.z_unmapped for row in comparison.rows if math.isfinite(row.z_unmapped)], 1e-6, "infinite system")


def test_tables_and_figures(runs, tmp_path):
    comparison = compare_results(runs("hierarchical"))
    text = comparison.table()
    assert "every sample's own fixed point" in text and "K=2, hierarchical: m" in text
    (line,) = [line for line in comparison.summary() if line["observable"] == "m"]
    assert (line["points"], line["values"]) == (1, 2)
    comparison.write_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["observable"] for line in lines] == ["m[0]", "m[1]", "energy", "q"]
    assert float(lines[0]["z"]) == comparison.rows[0].z and lines[0]["branch"] == "hierarchical"
    comparison.plot(tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 20_000


# ---- the promise -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise
@pytest.mark.slow
def test_a_hundred_overlaps_agree_with_the_theory_of_their_samples():
    """Spin by spin, K = 2 to 5, N = 4000 to 10000, both rules, on pure, hierarchical, parallel, mixed and majority branches."""
    jobs = [f"multitask_storage_{name}" for name in ("pure", "hierarchical", "parallel", "mixed", "majority")]
    found = [row for comparison in comparisons_of(*jobs) for row in comparison.rows]
    assert sum(bool(row.excluded) for row in found) <= 0.1 * len(found)
    z = {name: np.array([row.z for row in found if row.observable.startswith(name) and not row.excluded and not row.notes])
         for name in ("m", "energy", "q")}
    for name, values in z.items():
        rms = math.sqrt(np.mean(values**2))
        print(f"{name}: {values.size} values, rms z {rms:.2f}, mean {values.mean():+.2f}, largest {np.abs(values).max():.2f}")
        assert 0.7 <= rms <= 1.4 and abs(values.mean()) <= 0.5
    assert z["m"].size >= 100 and {row.point["n_patterns"] for row in found} == {2, 3, 4, 5}
    assert {"pure", "hierarchical", "parallel", "majority"} <= {row.branch for row in found}
