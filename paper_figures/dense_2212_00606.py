"""Dense Hebbian networks that store patterns or learn from examples (arXiv:2212.00606, replica symmetric).

    python paper_figures/dense_2212_00606.py FOLDER     writes phase_diagram_p4.png, phase_diagram_p4_examples.png,
                                                        capacity.png and examples.png into FOLDER, in a minute
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hebb.statistics import with_error
from hebb.theory import Dense, example_scaling


def phase_diagram(p_body: int = 4, points: int = 100, **dataset) -> Figure:
    """Retrieval, glass and paramagnet in the plane of load and temperature, with the lines between them.

    dataset: r and n_examples, or rho, and protocol, of `hebb.theory.Dense`."""
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    theory = Dense(p_body=p_body, **dataset)
    edge = theory.spinodal_temperature(gamma=0.0).temperature
    widest = max(theory.spinodal(temperature=t).gamma for t in np.linspace(0, 0.95 * edge, 24))
    theory.phase_diagram(gamma=np.linspace(0, 1.15 * widest, points), temperature=np.linspace(0, 1.2 * edge, points)).plot(
        figure.subplots())
    return figure


def capacity(orders=(2, 3, 4, 5, 6, 7, 8)) -> Figure:
    """Largest load with retrieval at T = 0 against P."""
    figure = Figure(figsize=(4.2, 3.4), layout="constrained")
    ax = figure.subplots()
    ax.plot(orders, [Dense(p_body=p).spinodal(temperature=0.0).gamma for p in orders], "o-")
    ax.set(xlabel="interaction order $P$", ylabel=r"capacity $\gamma_c$ at $T = 0$ (RS)")
    return figure


def examples(loads=((2, 0.05), (4, 0.2)), temperature: float = 0.1) -> Figure:
    """Left: examples needed for retrieval against their quality, with the fitted exponents (loads: pairs of P and gamma).
    Right: capacity at T = 0 against the entropy rho of the dataset."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (p_body, gamma), colour in zip(loads, ("#4878a8", "#b5533c"), strict=True):
        for protocol, style in (("supervised", "o-"), ("unsupervised", "s--")):
            fit = example_scaling(p_body, gamma, temperature, protocol)
            left.loglog(fit.r, fit.n_examples, style, color=colour, markersize=4,
                        label=rf"P = {p_body}, $\gamma = {gamma:g}$, {protocol}: {with_error(fit.exponent, fit.error)}")
        rho = np.concatenate([[0.0], np.geomspace(0.01, 1.0, 25)])
        right.plot(rho, [Dense(p_body=p_body, rho=x).spinodal(temperature=0.0).gamma for x in rho], "-", color=colour,
                   label=f"P = {p_body}")
    left.set(xlabel="quality $r$", ylabel="critical number of examples $M$",
             title=rf"$M \sim r^{{-z}}$ at $T = {temperature:g}$")
    left.legend(title="exponent $z$", fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    right.set(xlabel=r"dataset entropy $\rho$", ylabel=r"capacity $\gamma_c$ at $T = 0$ (RS)", xlim=(0, 1), ylim=(0, None))
    right.legend()
    return figure


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    phase_diagram().savefig(folder / "phase_diagram_p4.png", dpi=150)
    phase_diagram(r=0.7, n_examples=10).savefig(folder / "phase_diagram_p4_examples.png", dpi=150)
    capacity().savefig(folder / "capacity.png", dpi=150)
    examples().savefig(folder / "examples.png", dpi=150)
