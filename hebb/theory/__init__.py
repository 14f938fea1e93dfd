"""Replica theory: saddle points, phase boundaries and phase diagrams, independent of every simulation."""

from .base import Boundary, Curve, Solution
from .dense import Dense
from .phases import PhaseDiagram

__all__ = ["Boundary", "Curve", "Dense", "PhaseDiagram", "Solution"]
