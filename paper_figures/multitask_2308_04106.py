"""Multitasking Hopfield networks: diluted patterns retrieved together, stored or learned from examples (arXiv:2308.04106).

    python paper_figures/multitask_2308_04106.py FOLDER [RUN]

writes multitask_phases.png, multitask_learning.png, multitask_memory.png, multitask_losses.png and multitask_cost.png into
FOLDER, in about five minutes, and multitask_log_n.png from the run folder of mpi_runs/multitask_log_n.toml.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq

import hebb
from hebb import models, simulate
from hebb.errors import NoSolution
from hebb.log_storage import depths, log_storage_figure
from hebb.params import MultitaskLaw
from hebb.style import COLORS, house_style
from hebb.sampling.chain import Chain, chain_class
from hebb.theory import Multitask
from hebb.theory.multitask_examples import example_state


def phase_diagrams(numbers=(2, 3, 5), points: int = 60) -> Figure:
    """States of lowest free energy of K stored patterns over dilution and temperature, in units of T_c = 1."""
    with house_style():
        figure = Figure(figsize=(6.4, 3.7 * len(numbers)), layout="constrained")
        for ax, k in zip(np.atleast_1d(figure.subplots(len(numbers))), numbers, strict=True):
            Multitask.phase_diagram(k, np.linspace(0.01, 0.97, points), np.linspace(0, 1.08, points),
                                    normalize_dilution=True).plot(ax)
            ax.grid(False)
            ax.set(ylabel=r"$T/T_c$", title=f"K = {k} stored patterns")
        return figure


def learning(n_spins: int = 20_000, large: int = 10**8, disorder: int = 8, numbers=(3, 5, 10, 18, 25, 32, 45, 80, 150, 300),
             qualities=(0.12, 0.18, 0.23, 0.26, 0.28, 0.33, 0.42, 0.6, 0.9), r: float = 0.3, n_examples: int = 41,
             dilution: float = 0.3, temperature: float = 0.15, curve: int = 150) -> tuple[Figure, dict]:
    """Overlaps with K = 2 archetypes after learning, supervised and unsupervised, against M at one r and against r at one M.

    Spin by spin on n_spins, and supervised on `large` spins in classes. Overlaps of a sample are taken by size where the
    two differ in theory, and in the order drawn where they do not (by size, equal ones would be told apart by chance).
    Dashed: where equal overlaps lose their stability, at the M or r drawn, not in the limit of many examples.
    curve: points of the lines. Returns the figure and {(name, r, M): (mean (2,), error (2,), theory (2,))}.
    """
    pair = Multitask(2, dilution)
    split_number = pair.parallel_threshold(temperature, r=r, exact=True).n_examples
    split_quality = brentq(lambda q: _parallel_curvature(q, n_examples, dilution, temperature), 0.05, 0.95, xtol=1e-12)
    by_number, by_quality = [(r, m) for m in numbers], [(q, n_examples) for q in qualities]
    table = {}
    for name, (protocol, n, dynamics, sweeps) in (("supervised", ("supervised", n_spins, "glauber", 60)),
                                                  ("unsupervised", ("unsupervised", n_spins, "glauber", 60)),
                                                  ("large", ("supervised", large, "hubbard_stratonovich", 100))):
        for quality, m in dict.fromkeys(by_number + by_quality):
            model = models.Multitask(n, 2, dilution, r=quality, n_examples=m, protocol=protocol)
            result = simulate(model, temperature, disorder=disorder if n == n_spins else 2, replicas=1, start="hierarchical",
                              dynamics=dynamics, thermalize=100, sweeps=sweeps, seed=11)
            theory = _overlaps(quality, m, dilution, temperature)
            seen = result["m" if theory[0] - theory[1] < 1e-6 else "m_sorted"]
            table[name, quality, m] = (seen.mean[0], np.array([one.bar for one in seen.estimate(0)]), theory)
    with house_style():
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        lines = np.rint(np.geomspace(min(numbers), max(numbers), curve)).astype(int)
        lines = np.unique([*lines, split_number - 1, split_number])
        left.plot(lines, [_overlaps(r, m, dilution, temperature) for m in lines], "-", color="0.45")
        alone = [_following_one(r, m, dilution, temperature) for m in lines]
        left.plot(lines, alone, "--", color="0.45", linewidth=1.0)
        # closer where the overlaps part like a square root
        near = split_quality * (1 + np.linspace(0, 0.3, curve // 5) ** 2)
        grid = np.sort(np.concatenate([np.geomspace(min(qualities), 1, curve), near]))
        right.plot(grid, [_overlaps(q, n_examples, dilution, temperature) for q in grid], "-", color="0.45")
        for ax, chosen, at in ((left, by_number, 1), (right, by_quality, 0)):
            x = np.array([point[at] for point in chosen])
            for name, mark, fill in (("supervised", "o", None), ("unsupervised", "s", "white"), ("large", "x", None)):
                for component, color in enumerate(COLORS[:2]):
                    mean, error = np.array([[v[component] for v in table[(name, *point)][:2]] for point in chosen]).T
                    ax.errorbar(x, mean, error, fmt=mark, color="black" if name == "large" else color, markerfacecolor=fill,
                                markersize=6.5 if fill else 4, zorder=2 if fill else 3)
        _threshold(left, split_number, f"split, M = {split_number}", "--")
        _threshold(left, (1 - r**2) / r**2, r"one step, one pattern: $\rho = 1$", ":")
        _threshold(left, pair.example_crossing(temperature, r=r).n_examples, "example crossing", "-.")
        _threshold(right, split_quality, f"split, r = {split_quality:.3f}", "--")
        _threshold(right, (1 + n_examples) ** -0.5, r"one step, one pattern: $\rho = 1$", ":")
        left.set(xscale="log", xlabel="examples per pattern $M$", ylabel="archetype overlaps $m_1, m_2$",
                 title=f"r = {r:g}", ylim=(0, 0.78))
        right.set(xlabel="quality of examples $r$", title=f"M = {n_examples}")
        right.plot([], [], "-", color="0.45", label="theory, examples alike")
        right.plot([], [], "--", color="0.45", label="theory, one example")
        right.plot([], [], "o", color="0.3", label=f"supervised, N = {n_spins}")
        right.plot([], [], "s", color="0.3", markerfacecolor="white", markersize=6.5, label=f"unsupervised, N = {n_spins}")
        right.plot([], [], "x", color="black", markersize=4, label=rf"supervised, N = $10^{{{np.log10(large):.0f}}}$ (classes)")
        right.legend(loc="center right", bbox_to_anchor=(1.0, 0.47))
        figure.suptitle(f"overlaps with K = 2 archetypes, d = {dilution:g}, T = {temperature:g}")
    return figure, table


def _overlaps(r: float, m: int, dilution: float, temperature: float) -> np.ndarray:
    """m of the state of lowest free energy that treats examples alike."""
    return Multitask(2, dilution, r=r, n_examples=int(m)).states(temperature)[0].m


def _parallel_curvature(r: float, m: int, dilution: float, temperature: float) -> float:
    """Smallest curvature of the state with equal overlaps: positive where it is stable."""
    return Multitask(2, dilution, r=r, n_examples=m).solve(temperature, "parallel").smallest_hessian_eigenvalue


def _following_one(r: float, m: int, dilution: float, temperature: float) -> np.ndarray:
    """m of the state that follows one example, nan where there is none."""
    law = MultitaskLaw.from_keywords(2, dilution, r=r, n_examples=int(m), protocol="unsupervised")
    try:
        return example_state(law, temperature).m
    except NoSolution:
        return np.full(2, np.nan)


def _threshold(ax, x: float, name: str, style: str) -> None:
    ax.axvline(x, color="black", linestyle=style, linewidth=0.9)
    ax.annotate(name, (x, 0.985), xycoords=("data", "axes fraction"), xytext=(-3, 0), textcoords="offset points", rotation=90,
                ha="right", va="top", fontsize=8)


def memory(entropies=(0.7, 1.0, 1.4, 1.9, 2.5, 3.2, 4.0), n_spins: int = 100_000, n_examples: int = 51, samples: int = 4,
           dilution: float = 0.3, curve: int = 30) -> tuple[Figure, dict]:
    """Unsupervised learning of one pattern at T = 0 that begins in the archetype or in its first example: energies and overlaps
    with the archetype against the entropy rho of the dataset.

    Returns the figure and {(start, rho): (energies (samples,), overlaps (samples,), theory energy, theory overlap)}.
    """
    crossing = Multitask(1, dilution).example_crossing().rho
    table = {}
    for rho in entropies:
        data = _dataset(rho, n_examples)
        found = {"archetype": [], "example": []}
        for sample in range(samples):
            patterns = models.Multitask(n_spins, 1, dilution).draw(21, sample).patterns
            model = models.Multitask(patterns=patterns, **data)
            for start, values in found.items():
                entries = patterns[0] if start == "archetype" else model.draw(22, 0).stored[0]
                quench = simulate(model, 0.0, disorder=1, replicas=1, dynamics="zero_temperature", thermalize=30, sweeps=2,
                                  start=np.where(entries == 0, 1, entries), seed=22)
                values.append((quench["energy"].mean[0], quench["m"].mean[0, 0]))
        for start, values in found.items():
            table[start, rho] = (*np.array(values).T, *_two_states(start, dilution, **data))
    with house_style():
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        grid = np.linspace(min(entropies), max(entropies), curve)
        for start, color, mark in zip(("archetype", "example"), COLORS, "os", strict=False):
            seen = np.array([table[start, rho][:2] for rho in entropies])  # (rho, energy or overlap, sample)
            data = np.hstack([seen.mean(axis=2), seen.std(axis=2) / (samples - 1) ** 0.5])
            energy, overlap = np.array([_two_states(start, dilution, **_dataset(x, n_examples)) for x in grid]).T
            left.plot(grid, energy, "-", color=color)
            right.plot(grid, overlap, "-", color=color)
            left.plot(grid, [_two_states(start, dilution, rho=x, protocol="unsupervised")[0] for x in grid], ":", color=color)
            left.errorbar(entropies, data[:, 0], data[:, 2], fmt=mark, color=color, label=f"from the {start}")
            right.errorbar(entropies, data[:, 1], data[:, 3], fmt=mark, color=color)
        left.plot([], [], "-", color="0.4", label=f"theory, M = {n_examples}")
        left.plot([], [], ":", color="0.4", label="limit of many examples")
        for ax in (left, right):
            ax.axvline(crossing, color="black", linestyle="--", linewidth=0.9)
            ax.set(xlabel=r"dataset entropy $\rho = (1-r^2)/(Mr^2)$")
        left.annotate(rf"$\rho_x = {crossing:.4f}$" + "\n(many examples)", (crossing, 0.03), xytext=(-3, 0), ha="right",
                      xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8)
        left.set(ylabel="energy per spin")
        right.set(ylabel="overlap with the archetype", ylim=(0, 0.72))
        left.legend(loc="upper right")
        figure.suptitle(f"one pattern, unsupervised, d = {dilution:g}, T = 0, N = {n_spins}")
    return figure, table


def _dataset(rho: float, n_examples: int) -> dict:
    """M examples of the quality that makes their entropy rho."""
    return dict(r=float((1 + n_examples * rho) ** -0.5), n_examples=n_examples, protocol="unsupervised")


def _two_states(start: str, dilution: float, **data) -> tuple[float, float]:
    """Energy and archetype overlap at T = 0 of what examples have in common, or of one of them."""
    if start == "archetype":
        state = Multitask(1, dilution, **data).solve(0.0, "pure")
    else:
        state = example_state(MultitaskLaw.from_keywords(1, dilution, **data), 0.0)
    return state.free_energy, float(state.m[0])


def losses(n_spins: int = 4000, sweeps: int = 300, seed: int = 4) -> tuple[Figure, dict]:
    """Cost and losses, configuration by configuration, of one sample of K = 3 patterns with d = 0.3.

    Left: energy against the product loss sum L_+ L_- and against the plain loss sum L_- along chains. The first is one line,
    H/N = -(1/2) sum [((1+a)/2)^2 - L_+ L_-]; the second is none, and the two minimisers (of the plain loss, s = sign of the
    sum of the entries, and of H) differ. Right: the deviation from the identity. Returns the figure and the numbers.
    """
    model = models.Multitask(n_spins, 3, 0.3)
    instance = model.draw(seed)
    seen = {}
    for start, temperature in (("random", 0.25), ("parallel", 0.2), ("hierarchical", 0.1)):
        chain = Chain(instance, temperature=temperature, replicas=1, start=start, dynamics="glauber", seed=seed)
        seen[start] = []
        for _ in range(sweeps):
            chain.advance(1)
            seen[start].append([chain.measure()[name][0] for name in ("energy", "product_loss", "loss")])
    a = np.mean(instance.patterns.astype(float) ** 2, axis=1)
    halves = np.sum(((1 + a) / 2) ** 2)
    values = np.concatenate([np.array(rows) for rows in seen.values()])
    residual = values[:, 0] - (values[:, 1] - halves) / 2
    minima = {}
    for start in ("parallel", "hierarchical"):  # of the plain loss; of H, after a quench
        chain = Chain(instance, temperature=0.0, replicas=1, start=start, dynamics="zero_temperature", seed=seed)
        chain.advance(0 if start == "parallel" else 30)
        shot = chain.measure()
        minima[start] = tuple(float(shot[name][0]) for name in ("energy", "product_loss", "loss")) + (shot["m"][0],)
    with house_style():
        figure = Figure(figsize=(12, 3.8), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for (start, rows), color in zip(seen.items(), (COLORS[5], COLORS[4], COLORS[2]), strict=True):
            energy, product, plain = np.array(rows)[sweeps // 20:].T  # what a random start passes through is far above
            for ax, x in ((left, product), (middle, plain)):
                ax.plot(x, energy, ".", color=color, markersize=3, label=f"chain, {start} start")
        for start, mark, name in (("parallel", "D", r"$s = \mathrm{sgn}\,\sum_\mu\xi^\mu$"),
                                  ("hierarchical", "*", "minimum of $H$")):
            energy, product, plain, _ = minima[start]
            for ax, x in ((left, product), (middle, plain)):
                ax.plot(x, energy, mark, color=COLORS[1], markersize=9 if mark == "*" else 6, label=name)
        x = np.array(left.dataLim.intervalx)
        left.plot(x, (x - halves) / 2, "-", color="0.4", linewidth=0.8, zorder=0)
        left.set(xlabel=r"$\sum_\mu L_+^\mu L_-^\mu$", ylabel="energy per spin $H/N$", title="product loss")
        middle.set(xlabel=r"$\sum_\mu L_-^\mu$", ylabel="energy per spin $H/N$", title="plain loss")
        left.legend(loc="upper left", fontsize=7)
        right.plot(residual, ".", markersize=3, color=COLORS[0])
        right.set(xlabel="configuration", ylabel=r"$H/N$ minus its value by $\sum_\mu L_+^\mu L_-^\mu$",
                  title=f"largest deviation {np.abs(residual).max():.1e}")
        figure.suptitle(f"one sample, K = 3, d = 0.3, N = {n_spins}")
    return figure, {"residual": residual, "minima": minima, "halves": halves}


def cost(spin_by_spin=(10**3, 10**4, 10**5, 10**6, 10**7), lumped=(10**3, 10**4, 10**5, 10**6, 10**7, 10**8),
         gibbs=(10**3, 10**5, 10**7, 10**9), n_patterns: int = 3, seconds: float = 0.5) -> tuple[Figure, dict]:
    """Seconds per sweep of the three chains at d = 0.3, T = 0.1 against N, as measured here and now: the best of 5 rounds,
    which together take about `seconds`, or one sweep each. Returns the figure and {name: [(N, seconds)]}."""
    table = {}
    for name, sizes, dynamics in (("spin by spin (Glauber)", spin_by_spin, "glauber"), ("lumped (Glauber)", lumped, "lumped"),
                                  ("Hubbard-Stratonovich", gibbs, "hubbard_stratonovich")):
        table[name] = []
        for n in sizes:
            kind = chain_class(dynamics)
            sample = kind.draw(models.Multitask(n, n_patterns, 0.3), 1, 0)
            chain = kind(sample, temperature=0.1, replicas=1, start="hierarchical", dynamics=dynamics, seed=1,
                         rule="glauber" if dynamics == "lumped" else None)
            sweeps, spent = 1, _seconds(chain, 1)
            while spent < seconds / 5:
                sweeps *= 4
                spent = _seconds(chain, sweeps)
            table[name].append((n, min(spent, *(_seconds(chain, sweeps) for _ in range(4))) / sweeps))
    with house_style():
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        ax = figure.subplots()
        for (name, rows), mark, color in zip(table.items(), "osD", COLORS, strict=False):
            ax.loglog(*np.array(rows).T, mark + "-", color=color, label=name)
        ax.set(xlabel="spins $N$", ylabel="seconds per sweep, one core", title=f"K = {n_patterns}, d = 0.3, T = 0.1")
        ax.legend(loc="upper left")
    return figure, table


def _seconds(chain, sweeps: int) -> float:
    begun = time.perf_counter()
    chain.advance(sweeps)
    return time.perf_counter() - begun


def log_n(run) -> Figure:
    """K = gamma ln N patterns: where the hierarchy loses its last levels, from a run of mpi_runs/multitask_log_n.toml."""
    return log_storage_figure(depths(hebb.load(run)))


def main(folder, run=None) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def save(name: str, figure: Figure) -> None:
        figure.savefig(folder / f"multitask_{name}.png", dpi=150)

    save("phases", phase_diagrams())
    figure, table = learning()
    save("learning", figure)
    for name in ("supervised", "unsupervised", "large"):
        off = [mean - theory for key, (mean, _, theory) in table.items() if key[0] == name]
        print(f"learning, {name}: largest deviation from the infinite system {np.abs(off).max():.4f}")
    figure, table = memory()
    save("memory", figure)
    for start in ("archetype", "example"):
        off = [found[0].mean() - found[2] for key, found in table.items() if key[0] == start]
        print(f"memory, from the {start}: energies above those of the infinite system by {min(off):.4f} to {max(off):.4f}")
    figure, found = losses()
    save("losses", figure)
    print(f"losses: H/N and the product loss agree to {np.abs(found['residual']).max():.1e}")
    for start, (energy, _, plain, m) in found["minima"].items():
        print(f"  {start}: H/N = {energy:.5f}, plain loss {plain:.4f}, sum of overlaps {m.sum():.4f}")
    figure, table = cost()
    save("cost", figure)
    for name, rows in table.items():
        print(f"{name}: " + ", ".join(f"N = {n:.0e}: {seconds:.2e} s" for n, seconds in rows))
    if run is not None:
        save("log_n", log_n(run))


if __name__ == "__main__":
    main(*(sys.argv[1:3] or ["."]))
