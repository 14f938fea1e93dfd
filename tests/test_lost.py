"""When a sample has left its planted state: |m| below half of the planted value, once, whatever the dynamics."""

import math

import numpy as np
import pytest

from hebb import models
from hebb.params import dilution_factor
from hebb.sampling.chain import Chain
from hebb.sampling.plefka import Plefka
from hebb.sampling.tempering import Ladder

FERROMAGNET = models.Dense(100, 2, n_patterns=1)


def close_from_both_sides(lowest):
    lowest = np.array(lowest)
    return lowest[lowest < 0.5].max() > 0.46 and lowest[lowest >= 0.5].min() < 0.54


def test_chains_are_lost_below_one_half():
    """The kernel's record after every accepted flip, which no sweep may undercut."""
    closest = []
    for seed in range(60):
        chain, lowest = Chain(models.Dense(60, 2, n_patterns=1).draw(seed), 0.7, replicas=1, seed=seed), 1.0
        for _ in range(8):
            chain.advance(1)
            assert abs(chain.measure()["m"][0]) * 60 >= chain.kernel.lowest_overlap[0]
            lowest = min(lowest, chain.kernel.lowest_overlap[0] / 60)
            assert chain.lost == (lowest < 0.5)
        closest.append(lowest)
    assert close_from_both_sides(closest)


def test_each_rung_of_a_ladder_is_lost_below_one_half(monkeypatch):
    """Before every exchange, at the temperature at which the configuration then is."""
    lowest, begun = np.ones(4), Ladder._exchange

    def watched(ladder):
        np.minimum(lowest, np.abs(ladder.spins @ ladder.planted).min(axis=1) / 60, out=lowest)
        begun(ladder)

    monkeypatch.setattr(Ladder, "_exchange", watched)
    closest = []
    for seed in range(16):
        lowest[:] = 1.0
        ladder = Ladder(models.Dense(60, 2, n_patterns=1).draw(seed), [0.5, 0.7, 0.8, 0.9], 2, seed=seed)
        for _ in range(6):
            ladder.advance(4)
            np.testing.assert_array_equal(ladder.rungs["lost"], lowest < 0.5)
            assert ladder.lost == (lowest.min() < 0.5)
        closest += lowest.tolist()
    assert close_from_both_sides(closest)


@pytest.mark.parametrize("m, lost", [(0.52, False), (0.48, True)])
def test_magnetisations_are_lost_below_one_half(m, lost):
    """One pattern: m = tanh(f_N m/T), so that the temperature sets the fixed point."""
    chain = Plefka(FERROMAGNET.draw(1), dilution_factor(100, 2) * m / math.atanh(m), 1)
    chain.advance(400)
    assert abs(chain.measure()["m"][0]) == pytest.approx(m, abs=1e-6) and chain.lost == lost


def test_magnetisations_that_return_were_lost_all_the_same():
    chain = Plefka(FERROMAGNET.draw(1), 0.3, 1)
    chain.advance(5)
    assert not chain.lost
    chain.restore(chain.snapshot() | {"m": 0.1 * chain.m})
    chain.advance(30)
    assert chain.lost and abs(chain.measure()["m"][0]) > 0.99
    again = Plefka(FERROMAGNET.draw(1), 0.3, 1)
    again.restore(chain.snapshot())
    assert again.lost


def test_other_starts_have_no_planted_state_to_leave():
    hot = {"temperature": 3.0, "replicas": 2, "seed": 1}
    for start in ("random", "corrupted"):
        options = hot | {"start": start} | ({"corruption": 0.1} if start == "corrupted" else {})
        chain, update = Chain(FERROMAGNET.draw(1), **options), Plefka(FERROMAGNET.draw(1), **options)
        ladder = Ladder(FERROMAGNET.draw(1), **options | {"temperature": [2.5, 3.0]})
        for each in (chain, update, ladder):
            each.advance(20)
            assert not each.lost
