"""How parameters and observables are written: symbol, name in words, and what their components are.

For everything that leaves hebb: axes of figures, attributes of xarray datasets, netCDF files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ORDER_PARAMETERS", "PAIRS", "Quantity", "axis_of_components", "known_observable", "observable", "parameter"]


@dataclass(frozen=True)
class Quantity:
    """A symbol in LaTeX without dollars ("" if it has none) and a name in words. All are pure numbers: J = k_B = 1."""

    symbol: str
    words: str

    @property
    def label(self) -> str:
        """For an axis of a figure."""
        return f"{self.words} ${self.symbol}$" if self.symbol else self.words

    @property
    def short(self) -> str:
        """For a legend."""
        return f"${self.symbol}$" if self.symbol else self.words


_PARAMETERS = {
    "temperature": Quantity("T", "temperature"),
    "n_spins": Quantity("N", "number of spins"),
    "n_patterns": Quantity("K", "number of patterns"),
    "first_n_patterns": Quantity("K_1", "examples of the first task"),
    "p_body": Quantity("P", "interaction order"),
    "gamma": Quantity(r"\gamma", "load"),
    "alpha": Quantity(r"\alpha", "load"),
    "first_alpha": Quantity(r"\alpha_1", "load of the first task"),
    "dilution": Quantity("d", "dilution"),
    "r": Quantity("r", "quality of the examples"),
    "rho": Quantity(r"\rho", "entropy of the dataset"),
    "n_examples": Quantity("M", "examples per pattern"),
    "kappa": Quantity(r"\kappa", "margin"),
    "coupling": Quantity(r"\lambda", "coupling to the first task"),
    "teacher_correlation": Quantity("r_0", "correlation of the teachers"),
    "kl": Quantity(r"\gamma", "factor of the divergence"),
}

_OBSERVABLES = {
    "m": Quantity("m", "overlap with the pattern"),
    "m_sorted": Quantity("m", "overlaps by size"),
    "abs_m": Quantity("|m|", "size of the overlap with the pattern"),
    "n": Quantity("n", "overlap with the average example"),
    "q": Quantity("q", "overlap of replicas"),
    "abs_q": Quantity("|q|", "size of the overlap of replicas"),
    "q_self": Quantity(r"q_\mathrm{self}", "self-overlap"),
    "energy": Quantity("E/N", "energy per spin"),
    "energy_cv": Quantity("E/N", "energy per spin by control variate"),
    "free_energy": Quantity("f", "free energy per spin"),
    "replicon": Quantity("", "replicon"),
    "fixed_point_change": Quantity("", "largest change of an update"),
    "recognised": Quantity("", "share of cues recognised"),
    "recognised_cue": Quantity("", "share of cues recognised without dynamics"),
    "m_cue": Quantity(r"m_\mathrm{cue}", "overlap of the cue with the pattern"),
    "loss": Quantity("", "loss"),
    "product_loss": Quantity("", "product of losses"),
    "r": Quantity("r", "overlap with the teacher"),
    "r1": Quantity("r_1", "overlap with teacher 1"),
    "r2": Quantity("r_2", "overlap with teacher 2"),
    "overlap": Quantity("p", "overlap of the signs with the teacher"),
    "overlap_reference": Quantity("", "overlap with the reference"),
    "reference_r1": Quantity("", "overlap of the reference with teacher 1"),
    "reference_r2": Quantity("", "overlap of the reference with teacher 2"),
    "teacher_overlap": Quantity("", "overlap of the teachers"),
    "error": Quantity(r"\arccos(p)/\pi", "test error"),
    "generalization_error": Quantity(r"\arccos(r)/\pi", "generalization error"),
    "error_task1": Quantity(r"\arccos(r_1)/\pi", "test error of task 1"),
    "error_task2": Quantity(r"\arccos(r_2)/\pi", "test error of task 2"),
    "training_error": Quantity("", "share of violated examples"),
    "qd": Quantity("q_d", "self-overlap"),
    "q0": Quantity("q_0", "overlap of replicas"),
    "kl": Quantity("", "divergence from the reference per weight"),
    "forgetting": Quantity("", "forgetting"),
    "transfer": Quantity("", "transfer"),
    "accuracy": Quantity("", "test accuracy"),
    "accuracy_binary": Quantity("", "test accuracy of binary weights"),
    "training_loss": Quantity("", "training loss"),
    "first_layer_variance": Quantity("", "variance of the first layer"),
    "acceptance": Quantity("", "acceptance"),
    "exchange_acceptance": Quantity("", "acceptance of exchanges"),
    "round_trips": Quantity("", "round trips per replica"),
    "flow": Quantity("", "share that saw the coldest last"),
}

#: Observables of two replicas: their chains are pairs (0,1), (0,2), ...
PAIRS = ("q", "abs_q", "q0")

#: What the states of a family are told apart by, the most telling first.
ORDER_PARAMETERS = ("m_sorted", "m", "n", "recognised", "r", "r1", "r2", "error", "accuracy", "overlap_reference", "q", "q0",
                    "qd", "training_error", "energy")


def parameter(name: str, points: list[Mapping]) -> Quantity:
    """A key of a model, or its name with _realised, in jobs with these points; words alone where it has no symbol."""
    key, realised = name.removesuffix("_realised"), name.endswith("_realised")
    if key == "gamma" and all(point.get("kind") == "dense" and point.get("p_body") == 2 for point in points):
        key = "alpha"  # the load of P = 2
    found = _PARAMETERS.get(key, Quantity("", key.replace("_", " ")))
    return Quantity(found.symbol, f"realised {found.words}") if realised else found


def observable(name: str) -> Quantity:
    """An observable; its name where it is not known here."""
    return _OBSERVABLES.get(name, Quantity("", name.replace("_", " ")))


def known_observable(name: str) -> bool:
    """Whether some model measures an observable of this name."""
    return name in _OBSERVABLES


def axis_of_components(name: str, points: list[Mapping]) -> str:
    """What the components of an observable are: "pattern" (in the order drawn), "rank" (by size) or "task"."""
    if name.endswith("_sorted"):
        return "rank"
    tasks = any(point.get("kind") in ("variational_perceptron", "network") for point in points)
    return "task" if tasks else "pattern"
