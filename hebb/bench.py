"""`hebb bench`: rates of the kernels beside named baselines, measured in turns in one run, as ratios.

Each row times hebb and its baseline alternately and reports the median of the ratios, so that a busy machine slows both.
A baseline whose package is missing is left out, with its name. The numba chain is written as a careful user would write it:
it caches the overlaps and the half-differences of f and sums them with fastmath, vectorised, in numpy's float64. The same
in float32, which rounds energies to 1e-6, is shown beside it. Rates count every proposal, also those whose cost hebb remembers
from an earlier one.
"""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import models
from .bench_baselines import annealer, numba_averages, numba_chain, pointwise, random_integral
from .bench_learning import learning_cases, torch_loops
from .installation import install_command
from .models.base import kernel_module
from .models.classes import Classes
from .runs.executors import MPIExecutor, launch_command
from .sampling.chain import Chain
from .theory import Dense, Perceptron

__all__ = ["Row", "main", "run"]

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One benchmark: rates in `unit`, ratio = hebb/baseline (median over rounds), target (None: for information)."""

    what: str
    unit: str
    hebb: float
    baseline_name: str
    baseline: float
    ratio: float
    target: float | None


def main(json_path: str | None = None) -> list[Row]:
    """Run everything, print the table, optionally write it as JSON."""
    rows, missing = run()
    print(f"instruction set: {kernel_module().instruction_set()}; one core; median of {ROUNDS} rounds measured in turns\n")
    for row in rows:
        goal = "" if row.target is None else f" (target {row.target:g})"
        beside = (f"   {row.baseline_name} {row.baseline:.4g}   ratio {row.ratio:.3g}{goal}" if math.isfinite(row.ratio)
                  else f"   {row.baseline_name} not measured")
        print(f"{row.what}\n    hebb {row.hebb:.4g} {row.unit}{beside}")
    for name in dict.fromkeys(missing):  # numba is a baseline of several rows
        print(f"\nnot measured: {name} is not installed; `{install_command(name)}` brings it")
    if json_path:
        Path(json_path).write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return rows


def run() -> tuple[list[Row], list[str]]:
    """(rows, names of missing baseline packages). Cost: about two minutes, a third of it compiling the numba baselines."""
    missing: list[str] = []
    pairs, proposals = "1e9 spin-pattern pairs/s", "1e6 proposals/s"
    dense = models.Dense(n_spins=100, p_body=4, n_patterns=20833).draw(1)
    hopfield = models.Dense(n_spins=1000, p_body=2, n_patterns=50).draw(1)
    plain_chain = _optional(numba_chain, "numba", missing)
    annealing = _optional(annealer, "dwave-samplers", missing)
    rows = []
    for temperature, sweeps, target in ((0.3, 150, 5), (1.0, 40, 2)):
        size = sweeps * dense.n_spins * dense.n_patterns / 1e9
        for precision, goal in ((np.float64, target), (np.float32, None)):
            rows.append(_row(f"dense P=4, N=100, K=20833, T={temperature}, planted start", pairs, size,
                             _hebb_chain(dense, temperature, sweeps), f"numba (fastmath, {precision.__name__})",
                             plain_chain and plain_chain(dense, temperature, sweeps, precision), goal))
    for order, name in (("sequential", "its default sequential order"), ("random", "random order")):
        sweeps = 400
        rows.append(_row(f"P=2 Hopfield, N=1000, K=50, T=0.5, planted start, {name}", proposals, sweeps * 1000 / 1e6,
                         _hebb_chain(hopfield, 0.5, sweeps, order), "dwave-samplers",
                         annealing and annealing(hopfield, 0.5, sweeps, order), 4))
    rows += _perceptron_rows(plain_chain)
    rows += _averages_rows(_optional(numba_averages, "numba", missing))
    rows += _multitask_rows()
    loops = _optional(torch_loops, "torch", missing)
    for what, size, ours, told, target in learning_cases():
        for autograd in (False, True):
            rows.append(_row(what, "batches/s", size, ours, "torch with autograd" if autograd else "torch by hand",
                             loops and loops(*told, autograd=autograd), None if autograd else target))
    rows.append(_phase_diagram_row())
    rows += _saddle_rows()
    rows += _optional(_mpi_rows, "mpi4py", missing) or []
    return rows, missing


def _row(what, unit, size, ours: Callable[[], float], name, theirs: Callable[[], float] | None, target) -> Row:
    """ours, theirs: return the seconds taken for `size` units of work."""
    ours()
    if theirs:
        theirs()
    seconds = [(ours(), theirs() if theirs else math.nan) for _ in range(ROUNDS)]
    ours_s, theirs_s = (statistics.median(column) for column in zip(*seconds, strict=True))
    return Row(what, unit, size / ours_s, name, size / theirs_s, statistics.median(b / a for a, b in seconds), target)


def _optional(build: Callable, name: str, missing: list[str]):
    try:
        return build()
    except ImportError:
        missing.append(name)
        return None


def _hebb_chain(instance, temperature: float, sweeps: int, order: str = "random", start=None) -> Callable[[], float]:
    def once() -> float:
        kernel = instance.kernel()
        kernel.load((instance.condensed if start is None else start)[None])
        streams = [np.random.Generator(np.random.PCG64DXSM(3))]
        begin = time.perf_counter()
        kernel.sweep(sweeps, temperature, streams, "metropolis", order)
        return time.perf_counter() - begin

    return once


def _perceptron_rows(plain_chain) -> list[Row]:
    """Binary weights in equilibrium, alpha = 1: the acceptance is 2 % at T = 1, 22 % at T = 2."""
    rows, sweeps = [], 300
    for n, temperature, target in ((1001, 1.0, 3), (1001, 2.0, None), (301, 1.0, None), (3001, 1.0, None)):
        instance = models.BinaryPerceptron(n, 1.0).draw(1)
        chain = Chain(instance, temperature, replicas=1, start="random")
        chain.advance(500)
        start = chain.spins[0]
        rows.append(_row(f"perceptron N={n}, alpha=1, T={temperature}, in equilibrium", "1e6 proposals/s", sweeps * n / 1e6,
                         _hebb_chain(instance, temperature, sweeps, start=start), "numba (fastmath, float64)",
                         plain_chain and plain_chain(instance, temperature, sweeps, np.float64, start), target))
    return rows


def _averages_rows(plain_chain) -> list[Row]:
    """Supervised learning: averaged examples (M = 10, r = 0.8), against the order P and the number of patterns."""
    rows = []
    for p, k, temperature, target in ((4, 17000, 0.4, 3), (4, 17000, 1.0, None), (2, 17000, 0.4, None), (3, 17000, 0.4, None),
                                      (6, 17000, 0.4, None), (4, 1000, 0.4, None), (4, 4000, 0.4, None)):
        instance = models.Dense(128, p, n_patterns=k, r=0.8, n_examples=10).draw(1)
        sweeps = max(4, 20 * 17000 // k)
        rows.append(_row(f"averaged examples P={p}, N=128, K={k}, M=10, T={temperature}, planted start",
                         "1e9 spin-pattern pairs/s", sweeps * 128 * k / 1e9, _hebb_chain(instance, temperature, sweeps),
                         "numba (fastmath, float64)", plain_chain and plain_chain(instance, temperature, sweeps), target))
    return rows


def _multitask_rows() -> list[Row]:
    """Chains of classes of spins against the bit kernel, which moves spin by spin: K = 5, in equilibrium at T = 0.1."""
    def model(n: int) -> models.Multitask:
        return models.Multitask(n_spins=n, n_patterns=5, dilution=0.3)

    def timed(n: int, chain: str, number: int) -> Callable[[], float]:
        classes, streams = Classes.draw(model(n), 1), [np.random.Generator(np.random.PCG64DXSM(3))]
        kernel = classes.kernel()
        kernel.load(classes.counts // 2)
        kernel.gibbs(100, 0.1, streams)
        advance = getattr(kernel, chain)

        def once() -> float:
            begin = time.perf_counter()
            advance(number, 0.1, streams)
            return time.perf_counter() - begin

        return once

    full = model(10**6).draw(1).kernel()
    streams = [np.random.Generator(np.random.PCG64DXSM(3))]
    full.load(np.ones((1, 10**6)))
    full.sweep(20, 0.1, streams)

    def spin_by_spin(scale: float) -> Callable[[], float]:
        def once() -> float:
            begin = time.perf_counter()
            full.sweep(1, 0.1, streams)
            return (time.perf_counter() - begin) * scale

        return once

    sweeps, flips = 2000, 10**6
    gibbs = timed(10**8, "gibbs", sweeps)
    rows = [_row("multitasking K=5, one sweep of 1e8 spins (Hubbard-Stratonovich)", "sweeps/s", 1.0, lambda: gibbs() / sweeps,
                 "bit kernel at N=1e6, scaled", spin_by_spin(100.0), 1000)]
    for n in (10**4, 10**8):
        rows.append(_row(f"multitasking K=5, lumped Metropolis flips, N={n:.0e}", "1e6 proposals/s", flips / 1e6,
                         timed(n, "flips", flips), "bit kernel at N=1e6", spin_by_spin(1.0), None))
    return rows


def _mpi_rows() -> list[Row]:
    """Two ranks against twice one process on kernel tasks of about 0.1 s, and the scheduler's cost on tasks that sleep."""
    if importlib.util.find_spec("mpi4py") is None:
        raise ImportError("mpi4py")

    def farm(ranks: int, n: int, sweeps: int, sleep: float) -> float:
        command, environment = launch_command(ranks)
        call = f"from hebb.bench import farm_tasks; farm_tasks({n}, {sweeps}, {sleep})"
        done = subprocess.run([*command, "-c", call], env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout)

    n, sweeps = 40, 12000
    parallel = _row("MPI: 40 kernel tasks on 2 ranks, rate per rank against one process", "tasks/s per rank", n,
                    lambda: 2 * farm(2, n, sweeps, 0.0), "one process", lambda: farm(1, n, sweeps, 0.0), 0.95)
    cost = statistics.median(2 * farm(2, 400, 0, 0.005) / 400 - 0.005 for _ in range(ROUNDS))
    return [parallel, Row("MPI: scheduling of 5 ms tasks on 2 ranks", "tasks scheduled/s", 1 / cost, "1 ms per task", 1000.0,
                          1e-3 / cost, 1)]


def farm_tasks(n: int, sweeps: int, sleep: float) -> None:
    """What one rank of the MPI benchmark does; rank 0 prints the seconds from the common start to the common end."""
    executor = MPIExecutor()
    kernel = models.Dense(n_spins=100, p_body=4, n_patterns=40000).draw(1).kernel()
    kernel.load(np.ones((1, 100)))
    streams = [np.random.Generator(np.random.PCG64DXSM(3))]

    def work(index: int) -> int:
        kernel.sweep(sweeps, 0.1, streams)
        time.sleep(sleep)
        return index

    executor.share(lambda: None)
    begin = time.perf_counter()
    executor.run(work, range(n), lambda outcome: None, lambda: False)
    if executor.rank == 0:
        print(time.perf_counter() - begin)


def _phase_diagram_row(n_points: int = 100, sample: int = 24) -> Row:
    """A whole labelled diagram with lines, against the two states and free energies that a label needs, point by point with
    scipy's root and quad; the latter is timed on a random sample of points and scaled to the grid."""
    gamma, temperature = np.linspace(0.005, 0.5, n_points), np.linspace(0.01, 1.0, n_points)
    rng = np.random.default_rng(0)
    chosen = [(rng.choice(gamma), rng.choice(temperature)) for _ in range(sample)]

    def ours() -> float:
        begin = time.perf_counter()
        Dense(p_body=4).phase_diagram(gamma=gamma, temperature=temperature)
        return time.perf_counter() - begin

    def theirs() -> float:
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quad and root complain near the lines
            for g, t in chosen:
                pointwise(4, g, t)
        return (time.perf_counter() - begin) * n_points**2 / sample

    return _row("RS phase diagram P=4, 100 x 100 points with lines", "diagrams/s", 1.0, ours,
                "scipy root + quad per point", theirs, 50)


def _saddle_rows() -> list[Row]:
    """Saddle points of continual learning from a cold start, against ten iterations (a usual number) with 2e8 random samples
    each, of which a thousandth is timed; and the published curve, 200 loads with all branches."""
    first = Perceptron(20.0).first_task(2.0, branch="good")

    def curve():
        Perceptron(20.0).curve(np.linspace(0.01, 2.0, 200))

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            begin = time.perf_counter()
            work()
            return time.perf_counter() - begin

        return once

    cases = (("first-task saddle, beta=20, alpha=1", "saddles/s", lambda: Perceptron(20.0).first_task(1.0), 1),
             ("second-task saddle after alpha=2, alpha=1, r_0=0, kl=1", "saddles/s",
              lambda: Perceptron(20.0).second_task(first, 1.0, 0.0, 1.0), 1),
             ("first task, 200 loads with all branches", "curves/s", curve, 200))
    return [_row(what, unit, 1.0, timed(work), "2e8 random samples", lambda saddles=saddles: 1e4 * saddles *
                 random_integral(200_000), None) for what, unit, work, saddles in cases]
