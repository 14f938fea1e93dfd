"""Arguments of `hebb.theory.Dense`, checked: a sentence with value, range and remedy for what is out of range."""

from __future__ import annotations

import numpy as np

from ..errors import ParameterError
from ..params import check_choice, check_real, float_array, shown
from .segments import RETRIEVAL_NAMES

__all__ = ["SMALLEST", "check_ansatz", "check_axis", "check_point", "symmetric_only"]

SMALLEST = 1e-290           # positive loads and temperatures below are refused


def check_point(gamma, temperature, ansatz) -> tuple[float, float]:
    """(gamma, temperature) as numbers in range."""
    check_choice("ansatz", ansatz, ("RS", "1RSB"))
    gamma = check_real("gamma", gamma, 0.0, 1e6, remedy="gamma is the load (P!/2) K/N^(P-1), alpha for P = 2")
    temperature = check_real("temperature", temperature, 0.0, 1e6, remedy="temperature is T = 1/beta in units of H")
    for name, value in (("gamma", gamma), ("temperature", temperature)):
        if 0 < value < SMALLEST:
            raise ParameterError(f"{name} = {value!r} lies between 0 and {SMALLEST:g}, where 1/{name} overflows; "
                                 "use 0.0")
    return gamma, temperature


def symmetric_only(temperature: float, ansatz: str) -> float:
    """The temperature, if states that follow one example are asked for replica-symmetric."""
    if ansatz != "RS":
        raise ParameterError(f"ansatz = {ansatz!r} with branch = 'example': states that follow one example are known "
                             "replica-symmetric only; use ansatz = 'RS'")
    return temperature


def check_axis(name: str, values) -> np.ndarray:
    """One axis of a phase diagram, 1-d and increasing."""
    axis = float_array(values)
    good = axis.ndim == 1 and axis.size > 0 and bool(np.all(np.isfinite(axis)))
    if not good or axis[0] < 0 or axis[-1] > 1e6 or np.any(np.diff(axis) <= 0):
        raise ParameterError(f"{name} = {shown(values)} is not a 1-d increasing array of numbers in [0, 1e6]; use for "
                             f"example {name} = numpy.linspace(0, 1, 100)")
    return axis


def check_ansatz(branch: str, ansatz: str) -> None:
    """States of single stretches are replica symmetric."""
    if ansatz == "1RSB" and branch in RETRIEVAL_NAMES[1:]:
        raise ParameterError(f"branch = {branch!r} names a replica-symmetric state; with ansatz = '1RSB' use branch = "
                             "'retrieval'")
