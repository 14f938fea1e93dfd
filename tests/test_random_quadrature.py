"""Why the energetic integral is not done with random numbers: the bias of the usual way, against exact saddle points."""

import json

import numpy as np
import pytest
from conftest import ROOT
from random_quadrature import conjugates, site_averages, truncated

ENTRIES = json.loads((ROOT / "tests/data/reference_perceptron.json").read_text(encoding="utf-8"))
SADDLES = {entry["args"]["alpha"]: entry["values"] for entry in ENTRIES if entry["id"] in ("t1_b20_a0.5", "t1_b20_a1.0")}


def parts(alpha):
    values = SADDLES[alpha]
    return ([values[name] for name in ("q0", "r1", "qd")], [values[name] for name in ("q0_hat", "r1_hat", "qd_hat")])


@pytest.mark.parametrize("alpha", SADDLES)
def test_the_naive_equations_are_the_right_ones(alpha):
    """With x integrated over its whole range they close on the public saddle points: an independent brute force of both parts.

    The grids are good to 1e-8 (p, which has a jump, to the step)."""
    order, hats = parts(alpha)
    np.testing.assert_allclose(truncated(*order, alpha, 20.0, reach=25.0), hats, rtol=1e-8)
    np.testing.assert_allclose(site_averages(*hats)[:3], order, rtol=1e-8)


def test_the_weight_lies_where_no_sample_falls():
    """What lies beyond |x| = 4, which one of 16,000 samples exceeds, is half of R at alpha = 1 and an eighth at 0.5."""
    for alpha, share in ((0.5, 1.139), (1.0, 1.907)):
        order, hats = parts(alpha)
        assert truncated(*order, alpha, 20.0, reach=4.0)[1] / hats[1] == pytest.approx(share, abs=1e-3)  # digits written


def test_random_quadrature_is_biased():
    """At the exact saddle, with the published 20000 samples of x, R is off by far more than its own scatter says."""
    order, hats = parts(1.0)
    stream = np.random.default_rng(5)
    seen = np.array([conjugates(*order, 1.0, 20.0, stream, z_samples=200)[1] for _ in range(8)])
    assert seen.mean() > 1.5 * hats[1]
    assert (seen.mean() - hats[1]) / (seen.std(ddof=1) / np.sqrt(8)) > 5
