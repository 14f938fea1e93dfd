"""Continual learning in the binary perceptron (arXiv:2212.02846), panel by panel: exact replica curves beside simulations.

    python paper_figures/continual_2212_02846.py FOLDER [--quick]

writes continual_1a.png ... continual_A1d.png into FOLDER (20 minutes on one core, --quick: half a minute) and prints where
gradient descent ends. What differs from the published procedure is said at each panel; in common: smaller N and
fewer trials (N and number in the titles), replica curves by exact quadrature, not tuned to the published ones, whose
random quadrature is biased (docs/perceptron.md). Points: mean and standard error of independent samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hebb import models, simulate
from hebb.compare_variational import followed
from hebb.style import COLORS, house_style
from hebb.statistics import of_samples
from hebb.theory import Perceptron

BETA, BETA_WITH_PRIOR = 20.0, 100.0  # of the theory, as published: without and with a divergence in the first task
_CORRELATIONS = (-0.5, 0.0, 0.5)


def learned(n_spins: int, alpha, trials: int, epochs, every: int = 50, teacher_correlation=0.0, kl=0.0, seed: int = 1,
            **learning) -> dict[str, np.ndarray]:
    """Gradient descent from random fields: "epoch" (B,), "error" (trials, B, T), "overlap", and "qd" (trials, B)."""
    later = dict(teacher_correlation=teacher_correlation) if np.ndim(alpha) and len(alpha) > 1 else {}
    model = models.VariationalPerceptron(n_spins, alpha if np.ndim(alpha) else [alpha], kl=kl, **later)
    total = int(np.sum(epochs))
    run = simulate(model, 0.0, disorder=trials, replicas=1, sweeps=total, thermalize=0, measure_every=every, start="random",
                   dynamics="gradient", seed=seed, learning={"epochs": list(np.atleast_1d(epochs)), **learning})
    return {"epoch": run.sweeps, "error": run.data["error"][0, :, :, 0],
            "overlap": run.data["overlap"][0, :, :, 0], "qd": run.data["qd"][0, :, :, 0]}


def _mean(samples: np.ndarray) -> tuple[float, float]:
    found = of_samples(samples)
    return found.mean, found.bar


def _band(ax, run: dict, task: int, color: str, label: str) -> None:
    """Mean error over the trials, with a band from the smallest to the largest."""
    errors = run["error"][..., task]
    ax.plot(run["epoch"], errors.mean(axis=0), color=color, label=label)
    ax.fill_between(run["epoch"], errors.min(axis=0), errors.max(axis=0), color=color, alpha=0.2, linewidth=0)


def dynamics(n_spins: int = 1001, trials: int = 10, epochs: int = 500, loads=(0.5, 1.0, 1.5, 2.0)) -> tuple[Figure, dict]:
    """Panel 1-a: learning one task by SGD (learning rate 0.03, momentum 0.9, batches of max(M/20, 10)), as published.

    Dotted: replica symmetry at beta = 20 (no limit of SGD). Returns the figure and {alpha: (mean error, standard error)}."""
    table = {}
    with house_style():
        figure = Figure(figsize=(5.6, 3.9), layout="constrained")
        ax = figure.subplots()
        for alpha, color in zip(loads, COLORS, strict=False):
            run = learned(n_spins, alpha, trials, epochs, every=5, optimizer="sgd", learning_rate=0.03,
                          batch_size="published rule")
            _band(ax, run, 0, color, rf"$\alpha$ = {alpha:g}")
            ax.axhline(_first(alpha).generalization_error, color=color, linestyle=":", linewidth=0.9)
            table[alpha] = _mean(run["error"][:, -1, 0])
        ax.set(xlabel="epoch", ylabel=r"$\epsilon_g$", title=f"SGD, N = {n_spins}, {trials} trials; dotted: RS, $\\beta$ = 20")
        ax.legend(loc="upper right", ncols=2)
    return figure, table


def _first(alpha: float, beta: float = BETA, kl: float = 0.0):
    """The only saddle of a first task, or the poor one of two."""
    return followed(Perceptron(beta).first_task, alpha, kl=kl, branch="poor")


def forgetting(n_spins: int = 501, trials: int = 6, epochs: int = 3000, loads=(1.0, 2.0, 4.0)) -> tuple[Figure, dict]:
    """Panels 1-b and 1-c: two tasks by SGD, alpha_1 = 2, r_0 = 0 (learning rate 1e-3, momentum 0.9, batches of 32, divergence
    in the second), as published. Returns the figure and {alpha_2: (error 1, its error, error 2, its error)}."""
    table = {}
    with house_style():
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        reference = Perceptron(BETA).first_task(2.0, branch="good")
        for alpha, color in zip(loads, COLORS, strict=False):
            run = learned(n_spins, [2.0, alpha], trials, [epochs, epochs], every=max(1, epochs // 100), kl=[0.0, 1.0],
                          optimizer="sgd", learning_rate=1e-3, batch_size=32)
            state = followed(Perceptron(BETA).second_task, reference, alpha, teacher_correlation=0.0, kl=1.0, branch="poor")
            for task, (ax, theory) in enumerate(zip(axes, (state.error_task1, state.error_task2), strict=True)):
                _band(ax, run, task, color, rf"$\alpha_2$ = {alpha:g}")
                ax.plot([epochs, 2 * epochs], [theory] * 2, ":", color=color, linewidth=0.9)
                ax.axvline(epochs, color="0.6", linewidth=0.7)
                ax.set(xlabel="epoch", title=f"task {task + 1}")
            table[alpha] = _mean(run["error"][:, -1, 0]) + _mean(run["error"][:, -1, 1])
        axes[0].set_ylabel("test error")
        axes[0].legend()
        figure.suptitle(rf"SGD, N = {n_spins}, {trials} trials, $\alpha_1$ = 2, $r_0$ = 0; dotted: RS, $\beta$ = 20")
    return figure, table


def order_parameters(points: int = 200) -> tuple[Figure, object]:
    """Panel 2-a: q0, r1, qd against alpha at beta = 20, all branches (the published one shows a single curve).

    Solid: the branch of larger free entropy. Grey: replica symmetry is unstable. Returns the figure and the curve."""
    theory = Perceptron(BETA)
    curve = theory.curve(np.linspace(2 / points, 2.0, points), middle=True)
    with house_style():
        figure = Figure(figsize=(5.8, 4.0), layout="constrained")
        ax = figure.subplots()
        for name, label, color in (("q0", "$q_0$", COLORS[0]), ("r1", "$r$", COLORS[1]), ("qd", "$q_d$", COLORS[2])):
            _branches(ax, curve, getattr(curve, name), color, label)
        ax.axvline(theory.transition().alpha, color="0.5", linewidth=0.7, linestyle=":")
        ax.set(xlabel=r"$\alpha$", ylabel="order parameters", ylim=(0, 1.02), title=r"first task, RS, $\beta$ = 20")
        ax.legend(loc="lower right")
    return figure, curve


def _branches(ax, curve, values, color: str, label: str) -> None:
    """All branches of a curve; thick grey where replica symmetry is unstable, dashed where another has more free entropy."""
    best = curve.equilibrium
    for row, name in enumerate(curve.names):
        ax.plot(curve.alpha, np.where(curve.replicon_ratio[row] >= 1, values[row], np.nan), color="0.85", linewidth=5, zorder=0)
        ax.plot(curve.alpha, values[row], ":" if name == "middle" else "--", color=color, linewidth=0.9)
        ax.plot(curve.alpha, np.where(best == row, values[row], np.nan), "-", color=color, label=None if row else label)


def generalization(n_spins: int = 1001, trials: int = 5, epochs: int = 2000, points: int = 100,
                   loads=(0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 1.7)) -> tuple[Figure, dict]:
    """Panel 2-b: p and the test error against alpha. Adam on full batches (learning rate 1e-2, no weight decay) at every load,
    where the published rates, batches and decays are tuned load by load. Returns the figure and {alpha: (error, its error)}."""
    curve = Perceptron(BETA).curve(np.linspace(0.02, 2.0, points), middle=True)
    table = {}
    with house_style():
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _branches(left, curve, curve.overlap, COLORS[0], r"RS, $\beta$ = 20")
        _branches(right, curve, curve.generalization_error, COLORS[0], r"RS, $\beta$ = 20")
        for alpha in loads:
            run = learned(n_spins, alpha, trials, epochs, every=epochs, learning_rate=1e-2)
            table[alpha] = _mean(run["error"][:, -1, 0])
            left.errorbar(alpha, *_mean(run["overlap"][:, -1, 0]), fmt="o", color=COLORS[1], markersize=4)
            right.errorbar(alpha, *table[alpha], fmt="o", color=COLORS[1], markersize=4)
        left.plot([], [], "o", color=COLORS[1], markersize=4, label=f"Adam, N = {n_spins}")
        left.set(xlabel=r"$\alpha$", ylabel=r"$p = \langle {\rm sgn}\, m\rangle W$")
        right.set(xlabel=r"$\alpha$", ylabel=r"$\epsilon_g = \arccos(p)/\pi$")
        left.legend()
        figure.suptitle(f"first task; grey: RS unstable; points: {trials} trials")
    return figure, table


def convergence_time(n_spins: int = 501, trials: int = 6, epochs: int = 10_000, window: int = 1000,
                     loads=(1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0)) -> tuple[Figure, dict]:
    """Panel 2-c: epochs T_c until the test error stands still, the first t at which its standard deviation over the next
    `window` epochs is below 5e-4; SGD on full batches, learning rate 0.01 (published: N = 3000, 51 loads, 20 samples).

    Trials that never stand still count as `epochs - window` (triangles). Returns the figure and {alpha: T_c (trials,)}."""
    table, steps = {}, 10
    for alpha in loads:
        errors = learned(n_spins, alpha, trials, epochs, every=steps, optimizer="sgd", learning_rate=0.01)["error"][..., 0]
        views = np.lib.stride_tricks.sliding_window_view(errors, window // steps, axis=1).std(axis=2) < 5e-4
        table[alpha] = np.array([steps * (np.argmax(view) if view.any() else len(view)) for view in views])
    with house_style():
        figure = Figure(figsize=(5.6, 3.9), layout="constrained")
        ax = figure.subplots()
        for alpha, times in table.items():
            stuck = bool(np.any(times >= epochs - window))
            ax.errorbar(alpha, *_mean(times), fmt="^" if stuck else "o", color=COLORS[0], markersize=4)
        for fold in Perceptron(BETA).spinodals():
            ax.axvline(fold.alpha, color=COLORS[1], linestyle=":")
        ax.set(xlabel=r"$\alpha$", ylabel="epochs $T_c$",
               title=f"SGD, full batches, N = {n_spins}, {trials} trials\n" r"dotted: spinodals, RS, $\beta$ = 20")
    return figure, table


def imposed_overlap(n_spins: int = 1001, trials: int = 10, epochs: int = 500, points: int = 25) -> tuple[Figure, dict]:
    """Panel 2-d: test error against the self-overlap at alpha = 2: replica symmetry at beta = 5 with qd imposed, and the path
    that free SGD takes through (qd, error). The published "slow" run, whose qd is driven by hand, is not repeated.

    Returns the figure and {qd: test error} of the theory."""
    table = {}
    for qd in np.linspace(0.75, 0.99, points):
        table[float(qd)] = Perceptron(5.0).first_task(2.0, qd=qd).generalization_error
    run = learned(n_spins, 2.0, trials, epochs, every=2, optimizer="sgd", learning_rate=0.003, batch_size="published rule")
    with house_style():
        figure = Figure(figsize=(5.6, 3.9), layout="constrained")
        ax = figure.subplots()
        ax.plot(list(table), list(table.values()), color=COLORS[0], label=r"RS, $\beta$ = 5, $q_d$ imposed")
        free = Perceptron(5.0).first_task(2.0)
        ax.plot(free.qd, free.generalization_error, "D", color=COLORS[0], label="RS, free")
        for trial in range(min(trials, 5)):
            ax.plot(run["qd"][trial], run["error"][trial, :, 0], color=COLORS[1], linewidth=0.8, alpha=0.7,
                    label=None if trial else f"SGD, N = {n_spins}")
        ax.set(xlabel="self-overlap $q_d$", ylabel=r"$\epsilon_g$", title=r"$\alpha$ = 2", ylim=(0, 0.52))
        ax.legend()
    return figure, table


def second_task(kl: float = 1.0, n_spins: int = 501, trials: int = 5, epochs=(5000, 6000), loads=(0.5, 1.0, 2.0, 4.0),
                grid=None, first_alpha: float = 2.0, first_kl: float = 0.0, theory: bool = True) -> tuple[Figure, dict]:
    """Panels 3-a to 3-d (kl = 1 and 0.1) and A1-b to A1-d: errors on both tasks against alpha_2 for r_0 = -0.5, 0, 0.5.

    Gradient descent: Adam on full batches, learning rates 1e-3 and 5e-3, weight decay 1e-3, as published but for the epochs of
    the second task (20000 there). Theory: beta = 20, all branches, after the only state of the first task (with a divergence in
    it: beta = 100 and the poor branch, which random starts find). The published gamma = 0.1 panels had p added twice.
    Returns the figure and {(r_0, alpha_2): (error 1, its error, error 2, its error)}."""
    table, found = {}, None
    grid = np.geomspace(0.01, 5.0, 40) if grid is None else np.asarray(grid)
    if theory:
        first = _first(first_alpha, BETA_WITH_PRIOR if first_kl else BETA, first_kl)
        found = Perceptron(BETA).second_task_map(first, grid, list(_CORRELATIONS), kl)
    with house_style():
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        axes = figure.subplots(1, 2)
        for number, (correlation, color) in enumerate(zip(_CORRELATIONS, COLORS, strict=False)):
            for alpha in loads:
                run = learned(n_spins, [first_alpha, alpha], trials, list(epochs), every=int(np.gcd(*epochs)),
                              kl=[first_kl, kl], teacher_correlation=correlation, learning_rate=[1e-3, 5e-3],
                              weight_decay=[0.0 if first_kl else 1e-3, 1e-3])
                errors = run["error"][:, -1]
                table[correlation, alpha] = _mean(errors[:, 0]) + _mean(errors[:, 1])
                for task, ax in ((1, axes[0]), (0, axes[1])):
                    ax.errorbar(alpha, *_mean(errors[:, task]), fmt="o", color=color, markersize=4)
            for task, ax in ((2, axes[0]), (1, axes[1])):
                if found is not None:
                    _second(ax, found, number, task, color)
                ax.plot([], [], "o-", color=color, markersize=4, label=f"$r_0$ = {correlation:g}")
        for task, ax in ((2, axes[0]), (1, axes[1])):
            ax.set(xlabel=r"$\alpha_2$", ylabel=rf"$\epsilon_{task}$", ylim=(0, None))
            if kl < 1:
                ax.set_xscale("log")
        axes[0].legend()
        divergence = rf", divergence x {first_kl:g} in task 1" if first_kl else ""
        lines = r"lines: RS, $\beta$ = 20 (grey: unstable); " if theory else ""
        figure.suptitle(rf"$\alpha_1$ = {first_alpha:g}{divergence}, $\gamma$ = {kl:g}; {lines}points: Adam, N = {n_spins}, "
                        f"{trials} trials")
    return figure, table


def _second(ax, found, number: int, task: int, color: str) -> None:
    errors, best = getattr(found, f"error_task{task}")[0, number], found.equilibrium[0, number]
    for row in range(2):
        ax.plot(found.alpha, np.where(found.replicon_ratio[0, number, row] >= 1, errors[row], np.nan), color="0.85",
                linewidth=5, zorder=0)
        ax.plot(found.alpha, errors[row], "--", color=color, linewidth=0.9)
        ax.plot(found.alpha, np.where(best == row, errors[row], np.nan), "-", color=color)


def first_with_prior(n_spins: int = 1001, trials: int = 5, epochs: int = 3000, points: int = 60,
                     loads=(0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.2)) -> tuple[Figure, dict]:
    """Panel A1-a: p and test error of a first task with the divergence from the uniform prior; RS at beta = 100, Adam on full
    batches (learning rate 1e-2), where the loss has a minimum. Returns the figure and {alpha: (error, its error, RS)}."""
    curve = Perceptron(BETA_WITH_PRIOR).curve(np.linspace(0.1, 2.4, points), kl=1.0)
    table = {}
    with house_style():
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _branches(left, curve, curve.generalization_error, COLORS[0], r"RS, $\beta$ = 100")
        _branches(right, curve, curve.overlap, COLORS[0], r"RS, $\beta$ = 100")
        for alpha in loads:
            run = learned(n_spins, alpha, trials, epochs, every=epochs, kl=1.0, learning_rate=1e-2)
            theory = _first(alpha, BETA_WITH_PRIOR, 1.0).generalization_error
            table[alpha] = (*_mean(run["error"][:, -1, 0]), theory)
            left.errorbar(alpha, *table[alpha][:2], fmt="o", color=COLORS[1], markersize=4)
            right.errorbar(alpha, *_mean(run["overlap"][:, -1, 0]), fmt="o", color=COLORS[1], markersize=4)
        left.plot([], [], "o", color=COLORS[1], markersize=4, label=f"Adam, N = {n_spins}")
        left.set(xlabel=r"$\alpha$", ylabel=r"$\epsilon_g$")
        right.set(xlabel=r"$\alpha$", ylabel="$p$")
        left.legend()
        figure.suptitle(f"first task with a divergence from the uniform prior; {trials} trials")
    return figure, table


def second_with_prior(**sizes) -> tuple[Figure, dict]:
    """Panels A1-b and A1-c: two tasks, the first with a divergence (alpha_1 = 2, our choice)."""
    return second_task(first_kl=1.0, loads=sizes.pop("loads", (0.5, 1.5, 3.0, 4.5)),
                       grid=sizes.pop("grid", np.linspace(0.25, 4.75, 19)), **sizes)


def second_after_few(**sizes) -> tuple[Figure, dict]:
    """Panel A1-d: gradient descent alone at alpha_1 = 1.4 (r_0 = 0 there; all three here)."""
    return second_task(first_alpha=1.4, theory=False, loads=sizes.pop("loads", (0.5, 1.5, 3.0, 4.5)), **sizes)


#: name -> (function, settings for a quick look)
PANELS = {
    "1a": (dynamics, dict(n_spins=201, trials=3, epochs=100)),
    "1bc": (forgetting, dict(n_spins=101, trials=2, epochs=200)),
    "2a": (order_parameters, dict(points=40)),
    "2b": (generalization, dict(n_spins=201, trials=3, epochs=300, points=25, loads=(0.5, 1.0, 1.5))),
    "2c": (convergence_time, dict(n_spins=101, trials=2, epochs=1000, window=200, loads=(1.0, 1.5, 2.0))),
    "2d": (imposed_overlap, dict(n_spins=201, trials=2, epochs=100, points=6)),
    "3ab": (second_task, dict(n_spins=101, trials=2, epochs=(500, 500), loads=(1.0,), grid=(0.5, 1.0, 2.0))),
    "3cd": (lambda **sizes: second_task(kl=0.1, **sizes),
            dict(n_spins=101, trials=2, epochs=(500, 500), loads=(1.0,), grid=(0.5, 1.0, 2.0))),
    "A1a": (first_with_prior, dict(n_spins=201, trials=3, epochs=300, points=10, loads=(0.5, 1.1))),
    "A1bc": (second_with_prior, dict(n_spins=101, trials=2, epochs=(500, 500), loads=(1.5,), grid=(1.5, 3.0))),
    "A1d": (second_after_few, dict(n_spins=101, trials=2, epochs=(500, 500), loads=(1.5,))),
}


def main(folder, quick: bool = False, names=tuple(PANELS)) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        function, small = PANELS[name]
        figure, table = function(**(small if quick else {}))
        figure.savefig(folder / f"continual_{name}.png", dpi=130)
        if isinstance(table, dict):
            for place, values in table.items():
                print(name, place, np.round(values, 4).tolist(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--panels", nargs="*", default=list(PANELS), choices=list(PANELS))
    options = parser.parse_args()
    main(options.folder, options.quick, options.panels)
