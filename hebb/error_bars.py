"""What an error bar between disorder samples is worth: whether there is one, how far it reaches, and what a deviation means.

The mean of D independent samples has the standard error sd/sqrt(D). Three things make it say less than it seems to.

*Few samples.* sd is itself estimated: deviations follow Student's t with D - 1 degrees of freedom.

*Rare events.* Where most samples give one and the same number (no spin ever flipped), the scatter is that of the few others,
and of none it is zero. With fewer than FEWEST_EVENTS of them, and those a minority, there is no error bar.

*Skewness.* Samples of a skewed observable have a mean and an sd that move together: where the long tail was missed, both
are small. With a = g/sqrt(D), g the measured skewness, the deviation t in units of the error follows Student's law after

    h(t) = [(1 + a t/3)^3 - 1]/a + a/6

(P. Hall, J. R. Statist. Soc. B 54, 221 (1992)). The smaller of |t| and |h(t)| is taken: g is noisy itself and may widen an
interval on the side of the tail, but never narrow it on the other. Nor is a deviation called less than half of t: h is a
correction, flat at t = -3/a, and would hide what is far away. The interval of a given level is what this score accepts;
how often it covers is measured by tests/error_coverage.py, see docs/conventions.md, "What an error bar covers".
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaln, hyp2f1, ndtri_exp, stdtr, stdtrit

__all__ = ["FEWEST_EVENTS", "ROUNDING", "SKEWED", "distinct_samples", "interval", "normal_score", "skewness", "too_rare"]

#: Fewer samples than this that differ from all others, which are alike and the majority, give no error bar: what k events
#: say of their own scatter is off by 1/(2 sqrt(k)) of it, and no event says that it is zero.
FEWEST_EVENTS = 5

#: Where the measured skewness exceeds this, intervals of 95 % still cover only about 0.9: the tail has been seen too rarely.
SKEWED = 2.0

_WIDEST = 2.0  # an error bar is widened at most so much

#: Relative: means of the same numbers agree to this.
ROUNDING = 1e-12


def distinct_samples(samples: np.ndarray) -> int:
    """How many of the samples (n,) differ from the most frequent value by more than rounding: n - 1 if all differ, 0 if none.

    Example: 3 of [1, 1, 0.98, 1, 0.99, 0.99, 1] do.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    if not len(ordered):
        return 0
    steps = np.diff(ordered) > ROUNDING * np.max(np.abs(ordered))
    edges = np.concatenate([[0], 1 + np.flatnonzero(steps), [len(ordered)]])
    return len(ordered) - int(np.diff(edges).max())


def too_rare(events: int, samples: int) -> bool:
    """Whether so few of the samples stand out from all others that their scatter is no error."""
    return events < FEWEST_EVENTS and 2 * events < samples


def skewness(samples: np.ndarray) -> float:
    """Skewness of the law of the samples (n,), estimated without bias for normal ones; 0 for fewer than 3 or without scatter.

    At most sqrt(n): eight samples cannot show more than 2.8.
    """
    samples = np.asarray(samples, dtype=float)
    n = len(samples)
    if n < 3:
        return 0.0
    centred = samples - samples.mean()
    variance = float(np.mean(centred**2))
    if variance <= (ROUNDING * float(np.max(np.abs(samples)))) ** 2:
        return 0.0
    scaled = centred / math.sqrt(variance)
    return float(np.mean(scaled**3)) * math.sqrt(n * (n - 1)) / (n - 2)


def normal_score(deviation: float, samples: int, skewness: float = 0.0) -> float:
    """A deviation in units of an error that was itself estimated from so many samples, of this measured skewness, as the
    normal deviate of the same probability: 5 error bars are 4.2 with 32 samples and 2.4 with 4."""
    return _student_score(_unskewed(deviation, samples, skewness), samples)


def interval(mean: float, error: float, samples: int, skewness: float = 0.0, level: float = 0.95) -> tuple[float, float]:
    """The values that `normal_score` puts within the central `level` of a normal law: an interval around mean that reaches
    further towards the tail of the samples. nan for fewer than 2 samples."""
    if samples < 2 or not error >= 0:
        return math.nan, math.nan
    reach = float(stdtrit(samples - 1, (1 + level) / 2))
    a = skewness / math.sqrt(samples)
    low, high = -reach, reach
    if abs(a) > 1e-9:  # the inverse of h
        low, high = (3 / a * (float(np.cbrt(1 + a * (end - a / 6))) - 1) for end in (low, high))
    low, high = max(min(low, -reach), -_WIDEST * reach), min(max(high, reach), _WIDEST * reach)
    return mean - error * high, mean - error * low


def _unskewed(deviation: float, samples: int, skewness: float) -> float:
    """The smaller of t and h(t), see above, with the sign of t, and at least half of it."""
    a = skewness / math.sqrt(samples)
    if abs(a) <= 1e-9 or not math.isfinite(deviation):
        return deviation
    skew = ((1 + a * deviation / 3) ** 3 - 1) / a + a / 6
    return math.copysign(min(abs(deviation), max(abs(skew), abs(deviation) / _WIDEST)), deviation)


def _student_score(deviation: float, samples: int) -> float:
    half = (samples - 1) / 2
    if abs(deviation) < 20:
        tail = math.log(stdtr(samples - 1, -abs(deviation)))
    else:  # the incomplete beta function behind it, where that underflows
        w = 2 * half / (2 * half + deviation**2)
        tail = half * math.log(w) - math.log(2 * half) - betaln(half, 0.5) + math.log(hyp2f1(half, 0.5, half + 1, w))
    return math.copysign(-float(ndtri_exp(tail)), deviation)
