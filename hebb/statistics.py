"""Means, errors and the question whether a chain was long enough.

Two levels. Within one disorder sample the measurements of a chain are correlated; their autocorrelation time and the
agreement of the replicas say whether the chain was long enough. Between disorder samples everything is independent, so
the quoted error of an average is the scatter of the samples' means, whatever the chains did. What such an error is worth,
and when there is none, is said in `hebb.error_bars`.

Convention: tau = 1 + 2 sum_{t >= 1} rho(t) in units of measurements, 1 for white noise; the error of the mean of n
measurements with variance v is sqrt(v tau / n).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from . import error_bars
from .errors import ChainTooShort, ParameterError

__all__ = [
    "MEASUREMENTS_PER_TAU",
    "R_HAT_LIMIT",
    "WINDOW",
    "Estimate",
    "autocorrelation_time",
    "bin_means",
    "disorder_average",
    "estimate",
    "jackknife",
    "of_samples",
    "r_hat",
    "samples_that_moved",
    "thermal_error",
    "with_error",
]

#: A chain shorter than this many autocorrelation times is too short: tau itself is then known to no better than 25 %.
MEASUREMENTS_PER_TAU = 20

#: Replicas (and halves) of one disorder sample disagree visibly above this split R-hat of the worst sample. Agreeing
#: chains of 40 tau exceed it in fewer than 2 of 10^4 samples; 1.1, usual for one long run, would condemn one in ten.
R_HAT_LIMIT = 1.3

# Longer chains are binned down to this many bins before their R-hat is taken: sorting millions of numbers to find that
# two chains disagree would be waste.
_R_HAT_BINS = 512

#: The sum over rho stops at the first lag W >= WINDOW * tau(W): what an exponential decay leaves out is exp(-6).
WINDOW = 3.0

# ... but not before this many lags (an anticorrelated series would stop at the first), nor while going on costs less
# than 5 % of noise, sqrt(4 W / all measurements): a slow mode of small weight hides behind fast ones.
_SHORTEST_WINDOW = 6
_CHEAP_WINDOW = 1 / 1600


@dataclass(frozen=True)
class Estimate:
    """An average over disorder samples, with what is known about the chains behind it.

    mean: average of the samples' means. raw_error: its standard error (nan for fewer than 2 samples), never refused.
    n: number of disorder samples. tau: autocorrelation time in measurements. r_hat: split R-hat of the worst sample.
    n_measurements: measurements of one chain. too_short: n_measurements < MEASUREMENTS_PER_TAU * tau, or
    r_hat > R_HAT_LIMIT. skewness: of the samples' means. events: samples that differ from the most frequent value.
    moved: samples in which any chain moved (n where there are no chains).
    str() gives 0.9917(4), or 0.9917(?) if too short, 0.9917(-) where the samples give no error bar.
    """

    mean: float
    raw_error: float
    n: int
    tau: float
    r_hat: float
    n_measurements: int
    too_short: bool
    skewness: float = 0.0
    events: int = 0
    moved: int = 0

    @property
    def error(self) -> float:
        """The standard error; ChainTooShort (carrying this estimate) or ParameterError if it cannot be trusted."""
        if self.too_short:
            raise ChainTooShort(self.refusal, self)
        if self.refusal:
            raise ParameterError(self.refusal)
        return self.raw_error

    @property
    def refusal(self) -> str:
        """Why there is no error bar, and what to do; "" where there is one."""
        if self.too_short:
            return (
                f"{self.n_measurements} measurements are too few for an autocorrelation time of "
                f"{self.tau:.3g} measurements and a split R-hat of {self.r_hat:.3g} (at least "
                f"{MEASUREMENTS_PER_TAU} times tau and R-hat <= {R_HAT_LIMIT:g} are needed); "
                "raise `sweeps`, or measure_every if tau is large"
            )
        if self.n < 2:
            return f"an error needs at least 2 disorder samples and there is {self.n}; raise `disorder`"
        if self.too_rare:
            return f"{self.rarity}, which says nothing of the error; raise `disorder`, or `sweeps`"
        return ""

    @property
    def too_rare(self) -> bool:
        """Whether the scatter is that of too few samples to be an error, all others being alike."""
        return error_bars.too_rare(self.events, self.n)

    @property
    def rarity(self) -> str:
        """In words how few samples differ from the others."""
        if self.n < 2:
            return f"{self.n or 'no'} sample"
        return f"{self.events} of {self.n} samples differ from the rest" if self.events else "no scatter between samples"

    @property
    def bar(self) -> float:
        """What may be drawn as an error bar: raw_error, nan where the samples give none."""
        return math.nan if self.too_rare else self.raw_error

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """(low, high): the interval of this level around mean, wider towards the tail of skewed samples, see
        `hebb.error_bars`. Raises like error.

        Example: 8 samples of mean 0.28(2) and skewness 2: (0.233, 0.375), where Student has (0.233, 0.327)."""
        return error_bars.interval(self.mean, self.error, self.n, self.skewness, level)

    def __str__(self):
        if self.refusal:
            return f"{self.mean:.4g}({'?' if self.too_short else '-'})"
        return with_error(self.mean, self.raw_error)


def with_error(mean: float, error: float) -> str:
    """mean and error in the compact notation: 0.99168, 0.00042 -> "0.9917(4)"; two digits if the first is a 1."""
    if math.isnan(error):
        return f"{mean:.6g}(-)"
    if not (math.isfinite(mean) and math.isfinite(error)):
        return f"{mean:.4g}({error:.2g})"
    if error == 0:
        return f"{mean:.6g}(0)"
    exponent = math.floor(math.log10(error))
    if round(error / 10.0**exponent) == 10:  # 0.0096 is 0.010
        exponent += 1
    digits = 2 if round(error / 10.0 ** (exponent - 1)) < 20 else 1
    decimals = digits - 1 - exponent
    if decimals <= 0:
        return f"{round(mean, decimals):.0f}({round(error, decimals):.0f})"
    inside = f"{error:.{decimals}f}" if exponent >= 0 else f"{round(error * 10.0**decimals)}"
    return f"{mean:.{decimals}f}({inside})"


def bin_means(series: np.ndarray, length: int) -> np.ndarray:
    """Means of consecutive bins: (n, ...) -> (n // length, ...). An incomplete last bin is left out."""
    series = np.asarray(series, dtype=float)
    n_bins = len(series) // length
    return series[: n_bins * length].reshape(n_bins, length, *series.shape[1:]).mean(axis=1)


def disorder_average(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over axis 0, the disorder samples: (n, ...) -> (...), (...).

    Raises ParameterError for fewer than two samples: the scatter of one is unknown, not zero.
    """
    samples = np.asarray(samples, dtype=float)
    if len(samples) < 2:
        raise ParameterError(
            f"an error needs at least 2 disorder samples and there is {len(samples)}; raise `disorder`"
        )
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(samples))


def jackknife(function: Callable[..., np.ndarray], *samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """function(means) and its standard error, for a nonlinear function of averages (a ratio, a cumulant, a z-score).

    samples: arrays (n, ...) of n independent disorder samples (or bins much longer than tau), which are left out one at
    a time from all arrays at once. The O(1/n) bias of the plain value is removed. Cost: n + 1 calls of function.
    """
    arrays = [np.asarray(array, dtype=float) for array in samples]
    n = len(arrays[0])
    if n < 2 or any(len(array) != n for array in arrays):
        raise ParameterError(f"jackknife needs arrays of one length, at least 2; given {[len(a) for a in arrays]}")
    totals = [array.sum(axis=0) for array in arrays]
    plain = np.asarray(function(*(total / n for total in totals)))
    left_out = np.array(
        [
            function(*((total - array[i]) / (n - 1) for total, array in zip(totals, arrays, strict=True)))
            for i in range(n)
        ]
    )
    centre = left_out.mean(axis=0)
    error = np.sqrt((n - 1) / n * ((left_out - centre) ** 2).sum(axis=0))
    return n * plain - (n - 1) * centre, error


def autocorrelation_time(chains: np.ndarray) -> float:
    """Integrated autocorrelation time tau = 1 + 2 sum rho, pooled over chains: (n_chains, n) -> float, in measurements.

    Every chain (a replica of a disorder sample) has its own mean removed, so that true differences between samples do
    not count as slow modes; the bias this brings, about -tau (2W+1)/n, is corrected. The window W is chosen by the data
    (see WINDOW). Relative error about sqrt(12 tau / (n_chains n)), or 5 % if that is more. A constant series gives
    1. A chain shorter than its window gives the largest partial sum, of the order of n: enough to be recognised as too
    short.
    Cost: O(n log n) per chain.
    """
    covariance = _autocovariance(chains)
    return 1.0 if covariance is None else _windowed(covariance, np.size(chains))[1]


def thermal_error(chains: np.ndarray) -> float:
    """Standard error of the mean of one disorder sample's chains (n_chains, n), from the correlations within them.

    A diagnostic of one sample: it knows nothing of the scatter between samples. Zero for constant chains.
    """
    chains = np.atleast_2d(np.asarray(chains, dtype=float))
    covariance = _autocovariance(chains)
    if covariance is None:
        return 0.0
    variance, tau = _windowed(covariance, chains.size)
    return math.sqrt(variance * tau / chains.size)


def _autocovariance(chains: np.ndarray) -> np.ndarray | None:
    """(n,) autocovariance averaged over chains; None if no chain moves or there are too few measurements."""
    chains = np.atleast_2d(np.asarray(chains, dtype=float))
    n = chains.shape[1]
    moved = chains - chains[:, :1]  # exact zeros for a constant chain, which the mean would round
    if n < 4 or not moved.any():
        return None
    moved -= moved.mean(axis=1, keepdims=True)
    spectrum = np.zeros(n + 1)
    for chain in moved:  # one transform at a time keeps memory at O(n)
        spectrum += np.abs(np.fft.rfft(chain, 2 * n)) ** 2
    return np.fft.irfft(spectrum, 2 * n)[:n] / (len(chains) * (n - np.arange(n)))


def _windowed(covariance: np.ndarray, n_all: int) -> tuple[float, float]:
    """(variance, tau) from an autocovariance of n_all measurements whose chains had their own means removed."""
    n = len(covariance)
    shortest = max(_SHORTEST_WINDOW, min(n / 40, _CHEAP_WINDOW * n_all))
    partial = 2.0 * np.cumsum(covariance) / covariance[0] - 1.0
    closed = np.flatnonzero(np.arange(n) >= np.maximum(WINDOW * partial, shortest))
    if not len(closed) or 2 * (2 * closed[0] + 1) > n:
        return covariance[0], max(1.0, partial.max())
    window = int(closed[0])
    # Removing the chain's own mean lowers every covariance by (variance of the mean) = C/n, C = sum over all lags.
    total = covariance[0] * partial[window] / (1 - (2 * window + 1) / n)
    variance = covariance[0] + total / n
    return variance, max(total / variance, 1.0 / n)


def r_hat(chains: np.ndarray) -> float:
    """Rank-normalised split R-hat (Vehtari et al. 2021): the worse of location and scale. (n_chains, n) -> float.

    Each chain is cut in halves, so that a drift shows as a disagreement even with one chain. 1 for chains that agree;
    inf for frozen chains that differ; 1 where nothing moves at all; nan for fewer than 4 measurements.
    """
    return float(_r_hats(np.atleast_2d(np.asarray(chains, dtype=float))[None])[0])


def _r_hats(chains: np.ndarray) -> np.ndarray:
    """(n_samples,) split R-hat of each of (n_samples, n_chains, n)."""
    half = chains.shape[2] // 2
    if half < 2:
        return np.full(len(chains), math.nan)
    halves = np.concatenate([chains[..., :half], chains[..., -half:]], axis=1)
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    return np.maximum(*(_potential_scale_reduction(_normal_scores(values)) for values in (halves, folded)))


def _normal_scores(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # half of the start-up time of a command, which most commands can do without

    ranks = rankdata(values.reshape(len(values), -1), method="average", axis=1)
    return ndtri((ranks - 0.375) / (ranks.shape[1] + 0.25)).reshape(values.shape)


def _potential_scale_reduction(values: np.ndarray) -> np.ndarray:
    n = values.shape[2]
    spread = np.ptp(values, axis=2)
    between = n * values.mean(axis=2).var(axis=1, ddof=1)
    within = np.where(spread > 0, values.var(axis=2, ddof=1), 0.0).mean(axis=1)  # exact zeros for constant chains
    frozen = np.where(np.ptp(values, axis=(1, 2)) > 0, math.inf, 1.0)
    moving = within > 0
    return np.where(moving, np.sqrt((between / np.where(moving, within, 1.0) + n - 1) / n), frozen)


def estimate(series: np.ndarray, bin_length: int = 1) -> Estimate:
    """The average of one scalar observable at one parameter point.

    series: (n_disorder, n_bins, n_chains) bins of bin_length measurements; chains are replicas or pairs of replicas of
    one disorder sample. tau is pooled over everything, R-hat is that of the worst disorder sample. With bins of several
    measurements tau is an upper estimate: at least bin_length, and right where it is much longer.
    """
    series = np.asarray(series, dtype=float)
    n_disorder, n_bins, n_chains = series.shape
    if n_disorder == 0 or n_bins == 0:
        return Estimate(math.nan, math.nan, n_disorder, math.nan, math.nan, n_bins * bin_length, n_disorder > 0)
    means = series.mean(axis=(1, 2))
    error = means.std(ddof=1) / math.sqrt(n_disorder) if n_disorder > 1 else math.nan
    chains = np.moveaxis(series, 1, 2)
    tau = autocorrelation_time(chains.reshape(n_disorder * n_chains, n_bins))
    worst = _r_hats(bin_means(np.moveaxis(series, 1, 0), -(-n_bins // _R_HAT_BINS)).transpose(1, 2, 0)).max()
    too_short = n_bins < MEASUREMENTS_PER_TAU * max(tau, 1.0) or not worst <= R_HAT_LIMIT
    return Estimate(
        float(means.mean()),
        float(error),
        n_disorder,
        float(tau * bin_length),
        float(worst),
        n_bins * bin_length,
        bool(too_short),
        error_bars.skewness(means),
        error_bars.distinct_samples(means),
        int(np.sum(samples_that_moved(series))),
    )


def of_samples(samples: np.ndarray, moved: int | None = None) -> Estimate:
    """The average of something known once per disorder sample: samples (n,) -> an Estimate that knows of no chains.

    moved: the number of samples whose chains saw anything happen, where that is not what samples say themselves.
    """
    samples = np.asarray(samples, dtype=float)
    n = len(samples)
    mean = float(samples.mean()) if n else math.nan
    error = float(samples.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    events = error_bars.distinct_samples(samples)
    moved = n if moved is None else moved
    return Estimate(mean, error, n, math.nan, math.nan, 0, False, error_bars.skewness(samples), events, moved)


def samples_that_moved(series: np.ndarray) -> np.ndarray:
    """(n_disorder,) whether any chain of (n_disorder, n_bins, n_chains) has two different bins, beyond rounding."""
    series = np.asarray(series, dtype=float)
    size = np.abs(series).max(axis=1, initial=0.0)
    return np.any(np.ptp(series, axis=1) > error_bars.ROUNDING * size, axis=1)
