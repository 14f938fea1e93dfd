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
from .models.base import kernel_module
from .models.classes import Classes
from .runs.executors import MPIExecutor, launch_command
from .theory import Dense

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
    for name in missing:
        print(f"\nnot measured: {name} is not installed; `pip install hebb[bench]` brings the baselines")
    if json_path:
        Path(json_path).write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return rows


def run() -> tuple[list[Row], list[str]]:
    """(rows, names of missing baseline packages). Cost: about two minutes, a third of it compiling the numba baselines."""
    missing: list[str] = []
    pairs, proposals = "1e9 spin-pattern pairs/s", "1e6 proposals/s"
    dense = models.Dense(n_spins=100, p_body=4, n_patterns=20833).draw(1)
    hopfield = models.Dense(n_spins=1000, p_body=2, n_patterns=50).draw(1)
    numba_chain = _optional(_numba_chain, "numba", missing)
    annealer = _optional(_annealer, "dwave-samplers", missing)
    rows = []
    for temperature, sweeps, target in ((0.3, 150, 5), (1.0, 40, 2)):
        size = sweeps * dense.n_spins * dense.n_patterns / 1e9
        for precision, goal in ((np.float64, target), (np.float32, None)):
            rows.append(_row(f"dense P=4, N=100, K=20833, T={temperature}, planted start", pairs, size,
                             _hebb_chain(dense, temperature, sweeps), f"numba (fastmath, {precision.__name__})",
                             numba_chain and numba_chain(dense, temperature, sweeps, precision), goal))
    for order, name in (("sequential", "its default sequential order"), ("random", "random order")):
        sweeps = 400
        rows.append(_row(f"P=2 Hopfield, N=1000, K=50, T=0.5, planted start, {name}", proposals, sweeps * 1000 / 1e6,
                         _hebb_chain(hopfield, 0.5, sweeps, order), "dwave-samplers",
                         annealer and annealer(hopfield, 0.5, sweeps, order), 4))
    rows += _averages_rows(_optional(_numba_averages, "numba", missing))
    rows += _multitask_rows()
    rows.append(_phase_diagram_row())
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


def _hebb_chain(instance, temperature: float, sweeps: int, order: str = "random") -> Callable[[], float]:
    def once() -> float:
        kernel = instance.kernel()
        kernel.load(instance.condensed[None])
        streams = [np.random.Generator(np.random.PCG64DXSM(3))]
        begin = time.perf_counter()
        kernel.sweep(sweeps, temperature, streams, "metropolis", order)
        return time.perf_counter() - begin

    return once


def _numba_chain():
    """The same Metropolis chain, plainly written: x and A cached, one sum over the patterns per proposal."""
    import numba

    @numba.njit(fastmath=True)
    def chain(spins, patterns, x, a, table_a, table_b, offset, temperature, sweeps, seed):
        np.random.seed(seed)
        n, k = patterns.shape
        zero = table_a[0]
        total_b = zero
        for mu in range(k):
            a[mu] = table_a[x[mu] + offset]
            total_b += table_b[x[mu] + offset]
        for _ in range(sweeps * n):
            i = np.random.randint(n)
            column = patterns[i]
            total = zero
            for mu in range(k):
                total += column[mu] * a[mu]
            cost = total_b + spins[i] * total
            if cost <= 0 or np.random.random() < math.exp(-cost / temperature):
                s = spins[i]
                total_b = zero
                for mu in range(k):
                    x[mu] -= 2 * s * column[mu]
                    a[mu] = table_a[x[mu] + offset]
                    total_b += table_b[x[mu] + offset]
                spins[i] = -s

    def prepare(instance, temperature, sweeps, precision):
        n = instance.n_spins
        patterns = np.ascontiguousarray(instance.patterns.T)
        x = np.arange(-n - 2, n + 3, dtype=float)
        f = instance.model.potential(x, np.full(x.size, n))
        table_a, table_b = np.zeros((2, x.size), precision)
        table_a[2:-2] = (f[:-4] - f[4:]) / 2
        table_b[2:-2] = (f[:-4] + f[4:]) / 2 - f[2:-2]

        def once() -> float:
            spins = instance.condensed.astype(np.int32)
            overlaps = (spins @ patterns.astype(np.int32)).astype(np.int32)
            cache = np.zeros(overlaps.size, precision)
            begin = time.perf_counter()
            chain(spins, patterns, overlaps, cache, table_a, table_b, n + 2, temperature, sweeps, 3)
            return time.perf_counter() - begin

        return once

    return prepare


def _averages_rows(numba_chain) -> list[Row]:
    """Supervised learning: averaged examples (M = 10, r = 0.8), against the order P and the number of patterns."""
    rows = []
    for p, k, temperature, target in ((4, 17000, 0.4, 3), (4, 17000, 1.0, None), (2, 17000, 0.4, None), (3, 17000, 0.4, None),
                                      (6, 17000, 0.4, None), (4, 1000, 0.4, None), (4, 4000, 0.4, None)):
        instance = models.Dense(128, p, n_patterns=k, r=0.8, n_examples=10).draw(1)
        sweeps = max(4, 20 * 17000 // k)
        rows.append(_row(f"averaged examples P={p}, N=128, K={k}, M=10, T={temperature}, planted start",
                         "1e9 spin-pattern pairs/s", sweeps * 128 * k / 1e9, _hebb_chain(instance, temperature, sweeps),
                         "numba (fastmath, float64)", numba_chain and numba_chain(instance, temperature, sweeps), target))
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


def _numba_averages():
    """The same chain, plainly written: power sums and e_k cached, one Horner sum over the patterns per proposal. P is a
    constant of the compiled code."""
    import numba

    def compiled(p):
        @numba.njit(fastmath=True)
        def chain(spins, entries, power, e, scale, temperature, sweeps, seed):
            np.random.seed(seed)
            n, k = entries.shape
            for _ in range(sweeps * n):
                i = np.random.randint(n)
                column, s, total = entries[i], spins[i], 0.0
                for mu in range(k):
                    x = column[mu] * s
                    term = 1.0
                    for j in range(1, p):
                        term = e[j, mu] - x * term
                    total += x * term
                cost = scale * total
                if cost <= 0 or np.random.random() < math.exp(-cost / temperature):
                    for mu in range(k):
                        x = column[mu] * s
                        odd = x
                        for j in range(1, p, 2):
                            power[j, mu] -= 2 * odd
                            odd *= x * x
                        for j in range(1, p):
                            value, sign = 0.0, 1.0
                            for i2 in range(1, j + 1):
                                value += sign * power[i2, mu] * e[j - i2, mu]
                                sign = -sign
                            e[j, mu] = value / j
                    spins[i] = -s

        return chain

    def prepare(instance, temperature, sweeps):
        p, chain = instance.model.p_body, compiled(instance.model.p_body)
        entries = np.ascontiguousarray(instance.stored.T)

        def once() -> float:
            spins = instance.condensed.astype(float)
            power = np.array([np.sum((entries * spins[:, None]) ** j, axis=0) for j in range(p)])
            e = np.ones_like(power)
            for j in range(1, p):
                e[j] = sum((-1) ** (i - 1) * power[i] * e[j - i] for i in range(1, j + 1)) / j
            begin = time.perf_counter()
            chain(spins, entries, power, e, 2 * instance.model.weight, temperature, sweeps, 3)
            return time.perf_counter() - begin

        return once

    return prepare


def _annealer():
    """Simulated annealing at one fixed temperature on the explicit couplings. Its set-up time is measured with one sweep and
    taken off, so that only proposals are compared."""
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    def prepare(instance, temperature, sweeps, order):
        n = instance.n_spins
        couplings = -(instance.patterns.T.astype(float) @ instance.patterns) / n
        row, column = np.triu_indices(n, 1)
        model = dimod.BinaryQuadraticModel.from_numpy_vectors(np.zeros(n), (row, column, couplings[row, column]), 0.0, "SPIN")
        start = (instance.condensed[None].astype(np.int8), list(range(n)))

        def timed(number: int) -> float:
            begin = time.perf_counter()
            SimulatedAnnealingSampler().sample(
                model, num_reads=1, beta_schedule_type="custom", beta_schedule=[1 / temperature], num_sweeps_per_beta=number,
                initial_states=start, seed=3, randomize_order=order == "random", proposal_acceptance_criteria="Metropolis")
            return time.perf_counter() - begin

        return lambda: timed(sweeps + 1) - timed(1)

    return prepare


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
                _pointwise(4, g, t)
        return (time.perf_counter() - begin) * n_points**2 / sample

    return _row("RS phase diagram P=4, 100 x 100 points with lines", "diagrams/s", 1.0, ours,
                "scipy root + quad per point", theirs, 50)


def _pointwise(p: int, gamma: float, temperature: float) -> list[float]:
    """What a label needs, with library routines only: the RS states reached from retrieval and from a frozen start, and their
    free energies."""
    from scipy.integrate import quad
    from scipy.optimize import root

    def expectation(function, field, width):
        def integrand(z):
            return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * function((field + width * z) / temperature)

        centre = min(max(-field / width, -8.0), 8.0) if width > 0 else 0.0
        return quad(integrand, -9, 9, points=[centre], limit=200)[0]

    def effective_field(m, q):
        return p / 2 * m ** (p - 1), math.sqrt(gamma * p * min(max(q, 0.0), 1.0) ** (p - 1) / 2)

    def equations(order):
        field = effective_field(*order)
        return [expectation(math.tanh, *field) - order[0], expectation(lambda x: math.tanh(x) ** 2, *field) - order[1]]

    def free_energy(m, q):
        log_cosh = expectation(lambda x: abs(x) + math.log1p(math.exp(-2 * abs(x))), *effective_field(m, q))
        noise = gamma / (4 * temperature) * (1 - p * q ** (p - 1) + (p - 1) * q**p)
        return (p - 1) / 2 * m**p - noise - temperature * log_cosh

    return [free_energy(*root(equations, start, tol=1e-8).x) for start in ([0.99, 0.98], [0.0, 0.9])]
