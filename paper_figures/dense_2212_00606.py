"""Phase diagrams of dense Hebbian networks that store patterns (arXiv:2212.00606, replica symmetric, noiseless limit).

    python paper_figures/dense_2212_00606.py FOLDER        writes phase_diagram_p4.png and capacity.png into FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hebb.theory import Dense


def phase_diagram(p_body: int = 4, points: int = 100) -> Figure:
    """Retrieval, glass and paramagnet in the plane of load and temperature, with the lines between them."""
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    theory = Dense(p_body=p_body)
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


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    phase_diagram().savefig(folder / "phase_diagram_p4.png", dpi=150)
    capacity().savefig(folder / "capacity.png", dpi=150)
