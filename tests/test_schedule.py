"""Who gets how many tasks at once: the policy by itself, and on simulated clocks."""

import runpy

import pytest
from conftest import ROOT

from hebb.runs.schedule import Deal


@pytest.fixture(scope="module")
def simulated():
    return runpy.run_path(str(ROOT / "paper_figures" / "scheduler.py"))


def test_long_tasks_go_out_alone_and_short_ones_in_batches_that_shrink():
    deal = Deal(range(400), 2)
    assert deal.take() == [0], "nothing is known yet"
    deal.measured(1, 1.0)
    assert deal.take() == [1]
    for _ in range(20):
        deal.measured(10, 0.05)
    sizes = []
    while batch := deal.take():
        sizes.append(len(batch))
    assert sizes[0] == 19 and sizes[-1] == 1 and sizes == sorted(sizes, reverse=True) and sum(sizes) == 398


def test_what_is_handed_back_goes_out_next():
    deal = Deal(range(5), 2)
    assert [deal.take_one(), deal.take_one(), deal.take_one()] == [0, 1, 2]
    deal.hand_back([1, 2])
    assert [deal.take_one() for _ in range(5)] == [1, 2, 3, 4, None]


@pytest.mark.parametrize(("ranks", "n", "sigma", "mean", "least"), [
    (200, 4000, 0.8, 30.0, 0.985), (100, 4000, 1.0, 1.0, 0.97), (2, 2000, 0.5, 0.005, 0.95),
    (16, 20000, 1.0, 0.005, 0.9)])  # fmt: skip
def test_many_ranks_are_busy_to_the_end(simulated, ranks, n, sigma, mean, least):
    """Costs are known within a factor of 1.5, messages take a millisecond, rank 0 answers one at a time."""
    seconds = simulated["durations"](n, sigma, mean)
    run = simulated["simulate"](seconds, simulated["longest_first"](seconds), ranks)
    assert run.bound == 1.0 and run.efficiency >= least, run
    assert run.held_back <= Deal((), ranks).span


def test_the_longest_task_is_the_bound_and_it_is_met(simulated):
    """1000 ranks for 20,000 tasks of sigma = 1: one task is longer than the mean load of a rank."""
    seconds = simulated["durations"](20_000, 1.0)
    run = simulated["simulate"](seconds, simulated["longest_first"](seconds), 1000)
    assert run.bound < 0.7 and run.efficiency > 0.99 * run.bound
    assert simulated["simulate"](seconds, simulated["longest_first"](seconds), 500).efficiency > 0.97


def test_a_wrong_guess_does_not_hold_others_up(simulated):
    """Short tasks first, then long ones: whoever meets them hands back the rest of its batch."""
    import numpy as np

    seconds = np.repeat([0.001, 2.0], [2000, 40])
    run = simulated["simulate"](seconds, np.arange(len(seconds)), 4)
    assert run.efficiency > 0.9, run
