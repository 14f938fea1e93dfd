"""Estimators judged on processes whose answer is known."""

import math

import numpy as np
import pytest
from conftest import ar1, assert_z
from hypothesis import given, settings
from hypothesis import strategies as st

from hebb import statistics
from hebb.errors import ChainTooShort, ParameterError

MEMORIES = (-0.5, 0.0, 0.5, 0.9, 0.97)


def exact_tau(memory):
    return (1 + memory) / (1 - memory)


@pytest.mark.statistical
@pytest.mark.parametrize("memory", MEMORIES)
def test_tau_of_ar1(memory):
    """The mean of tau over 200 experiments agrees with the exact value up to the window's known remainder."""
    rng = np.random.default_rng(11)
    taus = [statistics.autocorrelation_time(ar1(rng, memory, (4, 8192))) for _ in range(200)]
    tau = exact_tau(memory)
    error = np.std(taus, ddof=1) / math.sqrt(len(taus))
    allowance = 0.01 * max(tau, 1)  # exp(-2 WINDOW) of the tail lies beyond the window; ratios are biased by O(tau/n)
    assert_z((np.mean(taus) - tau) / math.hypot(error, allowance), alarm=1e-5, what=f"tau at memory {memory}")
    spread = np.std(taus, ddof=1) / tau
    assert memory < 0 or spread == pytest.approx(max(0.05, math.sqrt(12 * tau / (4 * 8192))), rel=0.35)


@pytest.mark.statistical
@pytest.mark.parametrize("n", [512, 2048])
def test_tau_is_unbiased_when_chains_are_short(n):
    """16 chains of about 27 and 107 tau: removing each chain's own mean must not pull tau down."""
    rng = np.random.default_rng(12)
    taus = [statistics.autocorrelation_time(ar1(rng, 0.9, (16, n))) for _ in range(200)]
    assert np.mean(taus) == pytest.approx(exact_tau(0.9), rel=0.05)


@pytest.mark.statistical
@pytest.mark.parametrize("memory", MEMORIES)
def test_thermal_error_is_the_scatter_of_means(memory):
    """z-scores of 400 means with their own thermal errors have unit variance: error bars are neither big nor small."""
    rng = np.random.default_rng(13)
    z = []
    for _ in range(400):
        chains = ar1(rng, memory, (2, 4096))
        z.append(chains.mean() / statistics.thermal_error(chains))
    # variance of the variance of n normal z: 2/n; the error bar itself adds a share of a few percent at tau = 65
    assert_z((np.var(z) - 1) / (math.sqrt(2 / 400) + 0.05 * (memory > 0.9)), alarm=1e-5, what="variance of z")
    assert_z(np.mean(z) * math.sqrt(400), alarm=1e-5, what="mean of z")


@pytest.mark.statistical
def test_one_slow_mode_mixed_into_many_components():
    """Rotated components share one slow mode; each must report the tau of its own mixture."""
    rng = np.random.default_rng(14)
    modes = np.stack([ar1(rng, memory, (8, 16384)) for memory in (0.0, 0.3, 0.95)])
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    for row in rotation:
        mixture = np.tensordot(row, modes, axes=1)
        exact = sum(w**2 * exact_tau(memory) for w, memory in zip(row, (0.0, 0.3, 0.95), strict=True))
        assert statistics.autocorrelation_time(mixture) == pytest.approx(exact, rel=0.15)


def test_constant_chains():
    assert statistics.autocorrelation_time(np.full((3, 100), 0.1)) == 1.0
    assert statistics.autocorrelation_time(np.array([[0.1] * 50, [0.7] * 50])) == 1.0, "own means are removed"
    assert statistics.thermal_error(np.full((3, 100), 0.1)) == 0.0


def test_offsets_between_chains_do_not_count():
    rng = np.random.default_rng(15)
    chains = ar1(rng, 0.5, (6, 2000))
    shifted = chains + 100 * np.arange(6)[:, None]
    assert statistics.autocorrelation_time(shifted) == pytest.approx(statistics.autocorrelation_time(chains), rel=1e-9)


@pytest.mark.parametrize("method", ["shift", "drift", "variance", "frozen"])
def test_r_hat_sees_every_way_of_disagreeing(method):
    rng = np.random.default_rng(16)
    chains = rng.standard_normal((2, 1000))
    assert statistics.r_hat(chains) < 1.02
    if method == "shift":
        chains[1] += 2
    elif method == "drift":
        chains += np.linspace(-2, 2, 1000)
    elif method == "variance":
        chains[1] *= 8
    else:
        chains = np.array([np.zeros(1000), np.ones(1000)])
    assert statistics.r_hat(chains) > statistics.R_HAT_LIMIT


def test_r_hat_of_one_drifting_chain():
    assert statistics.r_hat(np.random.default_rng(17).standard_normal(1000) + np.linspace(-2, 2, 1000)) > 1.3
    assert statistics.r_hat(np.ones((2, 100))) == 1.0
    assert math.isnan(statistics.r_hat(np.ones((2, 3))))


@pytest.mark.parametrize("n", [4, 7, 100, 1001])
def test_r_hat_equals_arviz(n):
    arviz = pytest.importorskip("arviz_stats.base").array_stats
    rng = np.random.default_rng(n)
    smooth = ar1(rng, 0.8, (4, n))
    for chains in (smooth, np.round(smooth), smooth + np.arange(4)[:, None], np.exp(smooth)):
        expected = float(arviz.rhat(chains, chain_axis=0, draw_axis=1, method="rank"))
        if math.isfinite(expected):
            assert statistics.r_hat(chains) == pytest.approx(expected, rel=1e-10)


def test_tau_agrees_with_arviz_effective_size():
    arviz = pytest.importorskip("arviz_stats.base").array_stats
    chains = ar1(np.random.default_rng(18), 0.8, (4, 20000))
    size = float(arviz.ess(chains, chain_axis=0, draw_axis=1, method="mean"))
    assert chains.size / statistics.autocorrelation_time(chains) == pytest.approx(size, rel=0.1)


@pytest.mark.statistical
def test_disorder_errors_are_two_level():
    """Samples with true differences: the error is their scatter, not the thermal one, and 300 z-scores say so."""
    rng = np.random.default_rng(19)
    z = []
    for _ in range(300):
        centres = 0.5 + 0.3 * rng.standard_normal(16)
        series = centres[:, None, None] + 0.1 * np.moveaxis(ar1(rng, 0.5, (16, 2, 200)), 1, 2)
        estimate = statistics.estimate(series)
        assert not estimate.too_short
        z.append((estimate.mean - 0.5) / estimate.error)
    # Student's t with 15 degrees of freedom has variance 15/13 and fourth moment 3 * 15^2 / (13 * 11)
    variance, fourth = 15 / 13, 3 * 225 / (13 * 11)
    assert_z((np.mean(np.square(z)) - variance) / math.sqrt((fourth - variance**2) / 300), alarm=1e-5, what="scatter")
    assert_z(np.mean(z) * math.sqrt(300 / variance), alarm=1e-5, what="mean")


def test_one_sample_has_no_error():
    estimate = statistics.estimate(np.random.default_rng(20).standard_normal((1, 500, 2)))
    assert math.isnan(estimate.raw_error) and str(estimate).endswith("(-)")
    with pytest.raises(ParameterError, match="at least 2 disorder samples and there is 1"):
        estimate.error  # noqa: B018
    with pytest.raises(ParameterError, match="at least 2"):
        statistics.disorder_average(np.ones((1, 3)))


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: np.moveaxis(ar1(rng, 0.99, (4, 2, 1000)), 1, 2),  # 5 tau
        lambda rng: rng.standard_normal((4, 1000, 2)) + np.array([0, 3]),  # replicas in two states
        lambda rng: rng.standard_normal((4, 1000, 2)) + np.linspace(0, 4, 1000)[:, None],  # drift
        lambda rng: rng.standard_normal((4, 12, 2)),  # nothing can be said about 12 measurements
        lambda rng: (
            np.where(np.arange(64)[:, None, None] == 40, np.array([0.0, 3.0]), 0) + rng.standard_normal((64, 500, 2))
        ),
    ],
    ids=["slow", "two states", "drift", "tiny", "one bad sample of 64"],
)
def test_too_short_is_refused_with_the_estimate(make):
    estimate = statistics.estimate(make(np.random.default_rng(21)))
    assert estimate.too_short and str(estimate).endswith("(?)")
    with pytest.raises(ChainTooShort, match="raise `sweeps`") as caught:
        estimate.error  # noqa: B018
    assert caught.value.estimate is estimate and math.isfinite(caught.value.estimate.mean)


@pytest.mark.statistical
def test_long_chains_are_not_condemned():
    """Of 100 experiments of 16 samples with chains of 60 tau hardly any may be called too short."""
    rng = np.random.default_rng(22)
    condemned = sum(statistics.estimate(np.moveaxis(ar1(rng, 0.8, (16, 2, 540)), 1, 2)).too_short for _ in range(100))
    assert condemned <= 3


def test_tau_counts_measurements_not_bins():
    series = np.moveaxis(ar1(np.random.default_rng(23), 0.9, (4, 2, 40000)), 1, 2)
    whole = statistics.estimate(series)
    binned = statistics.estimate(np.stack([statistics.bin_means(sample, 5) for sample in series]), bin_length=5)
    assert binned.n_measurements == whole.n_measurements == 40000
    assert binned.mean == pytest.approx(whole.mean, abs=1e-12)
    # a bin of 5 has the variance of (1 + 2 sum_{t<5} (1 - t/5) 0.9^t) / 5 measurements
    shrunk = (1 + 2 * sum((1 - t / 5) * 0.9**t for t in range(1, 5))) / 5
    assert binned.tau == pytest.approx(19 / shrunk, rel=0.1) and whole.tau == pytest.approx(19, rel=0.1)


def test_bin_means_leave_out_the_incomplete_bin():
    assert statistics.bin_means(np.arange(7.0), 3).tolist() == [1.0, 4.0]
    assert statistics.bin_means(np.ones((10, 2, 3)), 5).shape == (2, 2, 3)


@pytest.mark.statistical
def test_jackknife_removes_bias_and_knows_the_error():
    """exp(mean) of 20 normal samples: the plain value is biased by 2.5 %, which 4000 experiments would show."""
    rng = np.random.default_rng(24)
    results = np.array([statistics.jackknife(np.exp, rng.standard_normal(20)) for _ in range(4000)])
    value, error = results.T
    assert_z((value.mean() - 1) / (value.std() / math.sqrt(4000)) * 0.9, alarm=1e-4, what="bias")
    assert np.sqrt(np.mean(error**2)) == pytest.approx(value.std(), rel=0.1)


def test_jackknife_of_a_linear_function_is_the_mean():
    samples = np.random.default_rng(25).standard_normal((9, 3))
    value, error = statistics.jackknife(lambda mean: 2 * mean, samples)
    mean, plain = statistics.disorder_average(samples)
    np.testing.assert_allclose(value, 2 * mean, rtol=1e-12)
    np.testing.assert_allclose(error, 2 * plain, rtol=1e-12)
    with pytest.raises(ParameterError, match="one length"):
        statistics.jackknife(np.divide, np.ones(4), np.ones(5))


@pytest.mark.parametrize(
    "mean, error, text",
    [
        (0.99168, 0.00042, "0.9917(4)"),
        (0.99168, 0.00014, "0.99168(14)"),
        (-1.5, 0.0096, "-1.500(10)"),
        (12.34, 1.23, "12.3(1.2)"),
        (12.34, 5.6, "12(6)"),
        (1234.0, 56.0, "1230(60)"),
        (0.5, 0.0, "0.5(0)"),
        (0.5, 0.0195, "0.50(2)"),
        (0.5, 0.996, "0.5(1.0)"),
    ],
)
def test_compact_notation(mean, error, text):
    assert statistics.with_error(mean, error) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-12, 1e5))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_compact_notation_loses_nothing_that_matters(mean, error):
    """Read back, the mean is off by less than the error's last digit and the error by at most a third."""
    head, tail = statistics.with_error(mean, error)[:-1].split("(")
    decimals = len(head.partition(".")[2])
    read = float(tail) if "." in tail or decimals == 0 else float(tail) * 10.0**-decimals
    assert read == pytest.approx(error, rel=0.34)
    assert abs(float(head) - mean) <= 0.51 * error + 1e-9 * abs(mean)
