"""Whether there is an error bar, how far it reaches, and what a comparison makes of it."""

import math

import numpy as np
import pytest
from conftest import assert_z
from scipy.stats import norm, t

from hebb import models, simulate, statistics
from hebb.compare import compare_results
from hebb.comparison import judged
from hebb.error_bars import FEWEST_EVENTS, SKEWED, distinct_samples, interval, normal_score, skewness, too_rare
from hebb.errors import ParameterError


def rare(events, samples=32, size=0.01):
    """Samples of which so many differ from 1."""
    return 1 - size * (np.arange(samples) < events) * (1 + 0.1 * np.arange(samples))


@pytest.mark.parametrize(
    "values, distinct",
    [
        ([1, 1, 0.98, 1, 0.99, 0.99, 1], 3),
        ([0.3] * 5, 0),
        ([0.1 + 0.2, 0.3, 0.3], 0),  # equal but for rounding
        ([1, 2, 3, 4], 3),
        ([], 0),
        ([0, 0, 1e-30], 1),
    ],
)
def test_samples_that_differ_from_the_most_frequent_value(values, distinct):
    assert distinct_samples(np.array(values)) == distinct


def test_rare_events_give_no_error_bar():
    for events in range(8):
        found = statistics.of_samples(rare(events))
        assert found.too_rare == (events < FEWEST_EVENTS) == bool(found.refusal) == math.isnan(found.bar)
        assert found.raw_error == pytest.approx(rare(events).std(ddof=1) / math.sqrt(32))
        assert str(found).endswith("(-)") == found.too_rare
        if found.too_rare:
            with pytest.raises(ParameterError, match="raise `disorder`"):
                found.error  # noqa: B018
    assert not too_rare(2, 4) and too_rare(1, 4) and too_rare(3, 8) and not too_rare(4, 8)
    assert not statistics.of_samples(np.random.default_rng(1).standard_normal(3)).too_rare


def test_events_are_those_of_samples_not_of_bins():
    """Chains that move without a trace in the sample's mean are no events; frozen ones that differ are."""
    moving = np.tile(np.where(np.arange(40) % 2, 1.0, -1.0)[None, :, None], (8, 1, 2))
    found = statistics.estimate(moving)
    assert (found.moved, found.events) == (8, 0) and found.too_rare
    frozen = np.broadcast_to(np.linspace(0.1, 1, 8)[:, None, None], (8, 40, 2))
    found = statistics.estimate(frozen)
    assert (found.moved, found.events) == (0, 7) and not found.too_rare
    assert statistics.samples_that_moved(frozen + 1e-15 * moving).sum() == 0


def test_skewness_of_known_laws():
    rng = np.random.default_rng(2)
    assert np.mean([skewness(x) for x in rng.standard_normal((4000, 8))]) == pytest.approx(0, abs=0.05)
    assert skewness(rng.exponential(size=400_000)) == pytest.approx(2, abs=0.05)
    assert skewness(np.arange(8) == 0) == pytest.approx(math.sqrt(8), rel=1e-12), "the largest that 8 samples can show"
    assert skewness(np.array([1.0, 2.0])) == skewness(np.full(9, 0.1)) == 0


@pytest.mark.parametrize("samples", [2, 4, 8, 32])
def test_normal_score_has_the_false_alarm_rate_of_a_normal_deviate(samples):
    deviations = t.rvs(samples - 1, size=4000, random_state=np.random.default_rng(samples))
    scores = np.array([normal_score(x, samples) for x in deviations])
    assert np.all(np.sign(scores) == np.sign(deviations))
    assert_z([scores.mean() * 4000**0.5, (np.mean(scores**2) - 1) * (4000 / 2) ** 0.5], alarm=1e-6)
    np.testing.assert_allclose(norm.sf(normal_score(3.0, samples)), t.sf(3.0, samples - 1))


@pytest.mark.parametrize("samples", [2, 32, 400])
def test_normal_score_of_huge_deviations_is_finite_and_joins_smoothly(samples):
    below, above, huge = (normal_score(x, samples) for x in (19.999999, 20.000001, 1e4))
    assert 0 < above - below < 1e-5 and above < huge < math.inf


@pytest.mark.parametrize("g", [-6.0, -1.0, -0.2, 0.2, 1.0, 6.0])
def test_skewness_widens_on_the_side_of_the_tail_and_hides_nothing(g):
    for samples in (4, 8, 32, 1000):
        deviations = np.linspace(-60, 60, 241)
        plain, widened = (np.array([normal_score(x, samples, s) for x in deviations]) for s in (0.0, g))
        half = np.array([normal_score(x / 2, samples) for x in deviations])
        assert np.all(np.abs(half) <= np.abs(widened) + 1e-12) and np.all(np.abs(widened) <= np.abs(plain) + 1e-12)
        assert np.all(np.sign(widened) == np.sign(deviations))
        towards_tail = deviations * g < 0  # the mean lies on the other side: the tail was seen too rarely
        assert np.abs(widened[towards_tail]).mean() < np.abs(plain[towards_tail]).mean()
        np.testing.assert_array_equal(widened[~towards_tail], plain[~towards_tail])


@pytest.mark.parametrize("g", [-5.0, -0.7, 0.0, 0.7, 5.0])
@pytest.mark.parametrize("level", [0.68, 0.95, 0.999])
def test_the_interval_is_what_the_score_accepts(g, level):
    for samples in (2, 8, 40):
        low, high = interval(0.3, 0.02, samples, g, level)
        for end in (low, high):
            score = normal_score((0.3 - end) / 0.02, samples, g)
            assert abs(score) <= norm.isf((1 - level) / 2) + 1e-7
            beyond = normal_score((0.3 - (end + 1e-6 * (end - 0.3))) / 0.02, samples, g)
            assert abs(beyond) > norm.isf((1 - level) / 2)
        reach = t.ppf((1 + level) / 2, samples - 1) * 0.02
        assert low <= 0.3 - reach + 1e-12 and high >= 0.3 + reach - 1e-12
        assert (high - 0.3) * g >= (0.3 - low) * g - 1e-12
    assert (high - 0.3) * g > (0.3 - low) * g or g == 0
    assert all(map(math.isnan, interval(0.3, math.nan, 1)))


def test_what_a_comparison_makes_of_samples():
    rng = np.random.default_rng(3)
    plain = statistics.of_samples(rng.standard_normal(32))
    z, excluded, notes = judged(plain, 0.1)
    assert z == normal_score((plain.mean - 0.1) / plain.raw_error, 32, plain.skewness) and not excluded and not notes
    assert judged(statistics.of_samples(np.ones(1)), 0.5)[1:] == ("no scatter between samples", ())
    assert judged(statistics.of_samples(rng.standard_normal(4)), 0)[2] == ("only 4 samples",)
    skewed = statistics.of_samples(np.exp(1.5 * rng.standard_normal(64)))
    assert skewed.skewness > SKEWED and judged(skewed, 3.0)[2] == (f"skewed samples ({skewed.skewness:+.1f})",)
    z, excluded, _ = judged(statistics.of_samples(rare(2)), 0.9999, flip=0.01)
    assert math.isnan(z) and excluded == "events too rare: 2 of 32 samples differ from the rest (1.8 expected)"
    assert math.isnan(judged(statistics.of_samples(rare(0)), 1 - 1e-9, flip=0.01)[0])


def test_nothing_seen_where_theory_expects_much_is_a_disagreement():
    never = statistics.of_samples(np.ones(32))
    z, excluded, notes = judged(never, 0.8, flip=0.01)
    assert z > 5 and not excluded and notes == ("nothing happened where theory expects 640 events",)
    assert math.isnan(judged(never, 0.95, flip=0.01)[0]), "5 in a sample may miss 32 samples that differ among themselves"


# ---- chains that saw nothing -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frozen():
    return simulate(models.Multitask(n_spins=2000, n_patterns=2, dilution=0.0), 0.1, disorder=4, sweeps=100, thermalize=5)


def test_chains_that_never_moved_have_no_z(frozen):
    comparison = compare_results(frozen)
    assert comparison.worst == 0 and len(comparison.rows) == 4
    for row in comparison.rows:
        assert row.excluded.startswith("events too rare: 0 of 4 samples saw any"), row
        assert math.isnan(row.z) and math.isnan(row.z_unmapped) and math.isnan(row.error) and math.isfinite(row.mean)
    assert "1(-)" in comparison.table()


def test_chains_that_never_moved_though_they_should_have_are_seen(frozen):
    frozen.points[0]["temperature"] = 0.4
    try:
        rows = {row.observable: row for row in compare_results(frozen).rows}
    finally:
        frozen.points[0]["temperature"] = 0.1
    assert rows["m[0]"].z > 5 and "nothing happened" in rows["m[0]"].notes[0]


def test_the_scatter_of_theory_alone_is_no_error():
    """Own samples' m[0] lies 10^-9 from its maximum and differs between samples, which no chain can tell."""
    model = models.Multitask(n_spins=2000, n_patterns=2, dilution=0.3)
    results = simulate(model, 0.05, disorder=8, replicas=1, sweeps=250, thermalize=20)
    rows = {row.observable: row for row in compare_results(results).rows}
    assert rows["m[0]"].excluded.startswith("events too rare: 0 of 8 samples saw any") and math.isnan(rows["m[0]"].z)
    assert math.isfinite(rows["m[1]"].z) and rows["m[1]"].error > 0, "the others are judged as ever"


def test_a_spin_that_one_sample_flipped_is_no_error_of_all():
    model = models.Dense(n_spins=128, p_body=4, gamma=0.02)
    comparison = compare_results(simulate(model, 0.3, disorder=16, sweeps=150, thermalize=20, seed=4))
    (m,) = [row for row in comparison.rows if row.observable == "m"]
    assert "events too rare" in m.excluded and "expected" in m.excluded and math.isnan(m.z), m


def test_one_sample_has_no_bar_whatever_the_model():
    field = models.VariationalPerceptron(n_spins=20, alpha=[0.5], kl=[1.0])
    sampled = simulate(field, 1.0, disorder=1, sweeps=60, thermalize=10, start="random", dynamics="hmc")
    learned = simulate(field, 0.0, disorder=1, sweeps=20, thermalize=0, start="random", dynamics="gradient",
                       learning={"epochs": [20]})
    for results in (sampled, learned):
        rows = compare_results(results).rows
        assert rows and all(math.isnan(row.error) and math.isnan(row.z) and math.isfinite(row.mean) for row in rows)
