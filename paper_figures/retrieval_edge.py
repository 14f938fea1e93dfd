"""Where planted retrieval of a dense network ends: the boundary that a run with [refine] found, beside theory.

    python paper_figures/retrieval_edge.py RUN_FOLDER FIGURE.png   of mpi_runs/retrieval_edge_p4.toml, 25 minutes on two cores

Bars are the two neighbouring loads between which half of the samples leave the planted state within the sweeps of the run.
The line is the end of the retrieval state of the infinite system (replica symmetric), dashed at the load and temperature that
a finite network of that size stands for (`hebb.finite_size.mapped_point`).
"""

from __future__ import annotations

import math
import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq

from hebb import load
from hebb.finite_size import mapped_point
from hebb.runs.plan import Plan
from hebb.storage import schema
from hebb.storage.folder import RunFolder
from hebb.theory import Dense

COLOURS = ("#b5533c", "#c9a227", "#4878a8", "#3a3a3a")


def boundaries(folder) -> dict[int, list[tuple[float, float, float]]]:
    """n_spins -> (temperature, low, high) of every boundary that the run in a folder found."""
    folder = RunFolder.open(folder)
    plan = Plan.from_toml(folder.path / schema.JOB_FILE).at_points_of(folder.plan)
    results, found = load(folder.path), {}
    for boundary in plan.refine.boundaries(plan.points, results):
        model, temperature = plan.points[boundary.point]
        found.setdefault(model.n_spins, []).append((temperature, boundary.low, boundary.high))
    return {n: sorted(rows) for n, rows in sorted(found.items())}


def end_at_size(theory: Dense, n_spins: int, temperature: float) -> float:
    """The load at which the point that a finite network stands for lies on the spinodal."""
    p_body = theory.law.p_body

    def beyond(gamma: float) -> float:
        point = {"n_spins": n_spins, "p_body": p_body, "hamiltonian": "distinct", "temperature": temperature,
                 "n_patterns": max(2.0, 2 * gamma * n_spins ** (p_body - 1) / math.factorial(p_body))}
        mapped_temperature, mapped_gamma, _ = mapped_point(point)
        return mapped_gamma - theory.spinodal(temperature=mapped_temperature).gamma

    return brentq(beyond, 1e-3, 10.0, xtol=1e-4)


def figure_of(folder, p_body: int = 4) -> Figure:
    """The picture."""
    theory = Dense(p_body=p_body)
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    ax = figure.subplots()
    edge = theory.spinodal_temperature(gamma=0.0).temperature
    temperatures = np.linspace(0.2, 0.98 * edge, 30)
    ax.plot([theory.spinodal(temperature=t).gamma for t in temperatures], temperatures, "-", color="black", lw=1.4,
            label=r"theory, $N = \infty$")
    cold = np.linspace(0.2, 0.45, 4)  # where replica symmetry is broken at the end
    ax.plot([theory.spinodal(temperature=t, ansatz="1RSB").gamma for t in cold], cold, ":", color="black", lw=1.4, label="1RSB")
    for colour, (n_spins, rows) in zip(COLOURS, boundaries(folder).items(), strict=False):
        at, low, high = np.array(rows).T
        middle = (low + high) / 2
        ax.errorbar(middle, at, xerr=(high - low) / 2, fmt="o", ms=4, capsize=2, color=colour, label=f"$N = {n_spins}$")
        below = np.linspace(at.min(), at.max(), 9)
        ax.plot([end_at_size(theory, n_spins, t) for t in below], below, "--", lw=1, color=colour)
    ax.set(xlabel=r"load $\gamma$", ylabel="temperature $T$", title=f"end of planted retrieval, P = {p_body}")
    ax.legend(frameon=False)
    return figure


if __name__ == "__main__":
    figure_of(sys.argv[1]).savefig(sys.argv[2], dpi=150)
