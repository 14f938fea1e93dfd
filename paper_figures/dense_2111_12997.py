"""Dense Hebbian networks that store patterns beyond replica symmetry (the storage phase diagrams of arXiv:2111.12997).

    python paper_figures/dense_2111_12997.py FOLDER     writes phase_diagram_rs_and_1rsb.png, capacity.png, glass_lines.png,
                                                        capacity.csv and steps.csv into FOLDER, in five minutes
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hebb.params import DenseLaw
from hebb.theory import Dense, ground_state
from hebb.theory.folds import one_more_step, retrieval_fold
from hebb.theory.parisi import Parisi, Point

_COLOURS = ("#4878a8", "#b5533c", "#5b8c5a")


def capacity_table(orders=range(2, 11)) -> list[dict[str, float]]:
    """Per P at T = 0, RS and 1RSB: gamma_c (largest load with retrieval), the overlap m_c there, and gamma_t (largest load
    at which retrieval is the lowest state). K = 2 gamma N^(P-1)/P!."""
    rows = []
    for p_body in orders:
        theory, row = Dense(p_body=p_body), {"P": p_body}
        for ansatz in ("RS", "1RSB"):
            edge = theory.spinodal(temperature=0.0, ansatz=ansatz)
            row |= {f"gamma_c {ansatz}": edge.gamma, f"m_c {ansatz}": edge.solution.m,
                    f"gamma_t {ansatz}": theory.transition(temperature=0.0, ansatz=ansatz).gamma}
        rows.append(row)
    return rows


def capacity_figure(table: list[dict[str, float]]) -> Figure:
    """Loads and overlaps of `capacity_table` against P."""
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    orders = [row["P"] for row in table]
    for ansatz, style, colour in (("RS", "o--", "#8a8a8a"), ("1RSB", "o-", _COLOURS[0])):
        left.plot(orders, [row[f"gamma_c {ansatz}"] for row in table], style, color=colour, label=rf"$\gamma_c$, {ansatz}")
        left.plot(orders, [row[f"gamma_t {ansatz}"] for row in table], style.replace("o", "s"), color=colour,
                  fillstyle="none", label=rf"$\gamma_t$, {ansatz}")
        right.plot(orders, [row[f"m_c {ansatz}"] for row in table], style, color=colour, label=ansatz)
    left.set(xlabel="interaction order $P$", ylabel=r"load $\gamma$ at $T = 0$", ylim=(0, None))
    right.set(xlabel="interaction order $P$", ylabel=r"overlap at capacity, $T = 0$")
    left.legend(fontsize="small")
    right.legend(fontsize="small")
    return figure


def step_table(orders=(2, 3, 4, 6), steps: int = 3) -> list[dict[str, float]]:
    """Per P and number k of steps at T = 0: the energy of the pure glass at gamma = 1 (P = 2: Sherrington-Kirkpatrick), its
    limit at infinite k with an error (where k suffices to tell), and gamma_c (P = 2: up to k = 1, the next step moves it by
    1e-5)."""
    rows = []
    for p_body in orders:
        edge = Dense(p_body).spinodal(temperature=0.0, ansatz="1RSB").solution
        point = Point.of(edge.n, [edge.q0], edge.C, [edge.breaking_slope], edge.gamma, 0.0)
        capacity = {0: Dense(p_body).spinodal(temperature=0.0).gamma, 1: edge.gamma}
        for k in range(2, steps + 1 if p_body > 2 else 2):
            fold = retrieval_fold(Parisi(DenseLaw(p_body), k), one_more_step(point))
            capacity[k], point = fold.gamma, fold.saddle.point
        for k in range({2: 7, 6: 4}.get(p_body, 6)):
            glass = ground_state(p_body, k)
            rows.append({"P": p_body, "k": k, "energy": glass.energy, "limit": glass.limit, "limit_error": glass.limit_error,
                         "gamma_c": capacity.get(k, math.nan)})
    return rows


def glass_lines(orders=(3, 4, 6), points: int = 40) -> Figure:
    """Where retrieval breaks (AT) and where the glass appears (dynamic), dominates (static) and breaks (Gardner)."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    ax = figure.subplots()
    for p_body, colour in zip(orders, _COLOURS, strict=True):
        theory = Dense(p_body=p_body)
        gamma = theory.spinodal(temperature=0.0, ansatz="1RSB").gamma * np.linspace(0, 1, points) ** 2
        for kind, style in (("dynamic", "-."), ("static", "-"), ("gardner", ":")):
            scale = theory.glass_temperature(gamma=1.0, kind=kind).temperature
            ax.plot(gamma, scale * np.sqrt(gamma), linestyle=style, color=colour, linewidth=1.2,
                    label=f"P = {p_body}, {kind}")
        temperature = np.linspace(0, theory.spinodal_temperature(gamma=0.0).temperature, 2)
        at = theory.phase_diagram(gamma=[0.1], temperature=temperature).lines["at"]
        ax.plot(*at.T, "--", color=colour, linewidth=1.2, label=f"P = {p_body}, retrieval (AT)")
    ax.set(xlabel=r"$\gamma$", ylabel="$T$", xlim=(0, None), ylim=(0, None))
    ax.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def phase_diagram_rs_and_1rsb(orders=(2, 3, 4, 6), points: int = 100) -> Figure:
    """Phases with one step of replica symmetry breaking, replica-symmetric lines beneath in grey."""
    figure = Figure(figsize=(12.5, 8.4), layout="constrained")
    for ax, p_body in zip(figure.subplots(2, 2).flat, orders, strict=True):
        theory = Dense(p_body=p_body)
        edge = theory.spinodal_temperature(gamma=0.0).temperature
        widest = theory.spinodal(temperature=0.0, ansatz="1RSB").gamma
        theory.phase_diagram(gamma=np.linspace(0, 1.25 * widest, points), temperature=np.linspace(0, 1.2 * edge, points),
                             ansatz="1RSB").plot(ax)
    return figure


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    numbers = capacity_table()
    for name, rows in (("capacity", numbers), ("steps", step_table())):
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    capacity_figure(numbers).savefig(folder / "capacity.png", dpi=150)
    glass_lines().savefig(folder / "glass_lines.png", dpi=150)
    phase_diagram_rs_and_1rsb().savefig(folder / "phase_diagram_rs_and_1rsb.png", dpi=150)
