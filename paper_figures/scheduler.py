"""How well many ranks share out tasks of very different lengths, on simulated clocks. The code that hands out tasks in a run
decides here, too; durations, messages and the time that rank 0 needs for answers are simulated.

    python paper_figures/scheduler.py FIGURE.png

Durations are log-normal, exp(sigma x), and known only within a factor of 1.5 when they are sorted. No order can beat the least
time that a run needs: the mean load of a rank, or the longest task where that is more. The dashed lines are this bound.
"""

from __future__ import annotations

import heapq
import sys
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from hebb.runs.schedule import Deal
from hebb.style import COLORS, house_style

LATENCY = 1e-3  # seconds of a message, with half the sleep of the task server
SERVICE = 2e-4  # seconds in which rank 0 reads a request, writes its log and answers


@dataclass(frozen=True)
class Shared:
    """How a run went. efficiency = sum of durations / (ranks x time of the run)."""

    time: float
    efficiency: float
    bound: float  # of the efficiency, whatever the order
    messages: int
    held_back: float  # seconds that an outcome waited in a batch, at most


def durations(n: int, sigma: float, mean: float = 30.0, seed: int = 1) -> np.ndarray:
    values = np.exp(sigma * np.random.default_rng(seed).standard_normal(n))
    return values * (mean / values.mean())


def longest_first(seconds: np.ndarray, factor: float = 1.5, seed: int = 2) -> np.ndarray:
    """The order of estimates that are off by up to this factor, either way."""
    estimates = seconds * factor ** np.random.default_rng(seed).uniform(-1.0, 1.0, len(seconds))
    return np.argsort(-estimates, kind="stable")


def simulate(seconds: np.ndarray, order: np.ndarray, ranks: int) -> Shared:
    """One run. Rank 0 takes its own tasks without a message; the others ask, and wait while rank 0 answers somebody else."""
    deal = Deal(map(int, order), ranks)
    events = [(0.0, rank, 0, 0.0, ()) for rank in range(ranks)]  # when, who asks, after how many tasks, seconds, what is undone
    heapq.heapify(events)
    free = end = held_back = 0.0
    messages = computed = 0
    while events:
        now, rank, done, spent, undone = heapq.heappop(events)
        deal.measured(done, spent)
        deal.hand_back(undone)
        if rank == 0:
            index = deal.take_one()
            if index is not None:
                computed += 1
                end = max(end, now + seconds[index])
                heapq.heappush(events, (now + seconds[index], 0, 1, seconds[index], ()))
            continue
        messages += 1
        free = max(free, now) + SERVICE
        begun, batch = free + LATENCY, deal.take()
        if not batch:
            continue
        clock, number = begun, 0
        while number < len(batch) and (number == 0 or clock - begun < deal.span):  # the rule of a rank, see MPIExecutor
            clock += seconds[batch[number]]
            number += 1
        computed += number
        held_back = max(held_back, clock - begun - seconds[batch[number - 1]])
        end = max(end, clock + LATENCY)
        heapq.heappush(events, (clock + LATENCY, rank, number, clock - begun, tuple(batch[number:])))
    assert computed == len(seconds)
    load = seconds.sum() / ranks
    return Shared(end, load / end, load / max(load, seconds.max()), messages, held_back)


def figure(n: int = 20_000):
    """Efficiency against the number of ranks, for long tasks of three spreads and for tasks of milliseconds."""
    ranks = np.unique(np.geomspace(2, 2048, 16).astype(int))
    drawing = Figure(figsize=(10.0, 4.0), layout="constrained")
    left, right = drawing.subplots(1, 2, sharey=True)
    for sigma, colour in ((0.5, COLORS[0]), (0.8, COLORS[1]), (1.0, COLORS[2])):
        seconds = durations(n, sigma)
        shared = [simulate(seconds, longest_first(seconds), int(r)) for r in ranks]
        left.semilogx(ranks, [run.bound for run in shared], "--", color=colour, lw=1)
        left.semilogx(ranks, [run.efficiency for run in shared], "o-", ms=3, color=colour, label=rf"$\sigma$ = {sigma:g}")
    left.set_title(f"{n} log-normal tasks of 30 s (dashed: bound by the longest one)", fontsize=9)
    for mean, colour in ((0.005, COLORS[0]), (0.05, COLORS[1]), (0.5, COLORS[2])):
        seconds = durations(10 * n, 0.5, mean)
        shared = [simulate(seconds, longest_first(seconds), int(r)) for r in ranks]
        right.semilogx(ranks, [run.efficiency for run in shared], "o-", ms=3, color=colour, label=f"{1e3 * mean:g} ms")
    right.set_title(f"{10 * n} short tasks, $\\sigma$ = 0.5", fontsize=9)
    left.set_ylabel("parallel efficiency")
    for axes in (left, right):
        axes.axhline(0.97, color="0.6", lw=0.8)
        axes.set(xlabel="ranks", ylim=(0, 1.03))
        axes.legend(loc="lower left", fontsize=8)
    return drawing


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python paper_figures/scheduler.py FIGURE.png")
    with house_style():
        figure().savefig(sys.argv[1], dpi=150)
