"""Simulation against theory: `compare` a run folder, whatever its model. How each family is compared is said in its module,
`compare_dense`, `compare_multitask`, `compare_perceptron` and `compare_variational`; what comes out, in `comparison`.
"""

from __future__ import annotations

from . import compare_deep, compare_dense, compare_multitask, compare_perceptron, compare_variational
from .comparison import Comparison, Row, normal_score, possible
from .storage.merging import load as load_results
from .storage.results import Results

__all__ = ["Comparison", "Row", "compare", "compare_results", "normal_score"]

_FAMILIES = {"dense": compare_dense, "multitask": compare_multitask, "perceptron": compare_perceptron,
             "second_task": compare_perceptron, "variational_perceptron": compare_variational}


def compare(folder) -> Comparison:
    """The comparison of a run folder (or results file)."""
    return compare_results(load_results(folder))


def compare_results(results: Results) -> Comparison | compare_deep.LearningTable:
    """Join results with theory. Points without a theory keep their rows, with the reason; of networks methods are joined."""
    if results.points[0]["kind"] == "network":
        return compare_deep.comparison(results)
    family = _FAMILIES[results.points[0]["kind"]]
    theories: dict[tuple, object] = {}
    rows = [possible(row, family.lowest_energy_of(row.point, theories)) for row in family.rows(results, theories)]
    return Comparison(results, rows, theories, getattr(family, "LEGEND", ""))
