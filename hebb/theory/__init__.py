"""Replica theory: saddle points, phase boundaries and phase diagrams, independent of every simulation."""

from .base import Boundary, Curve, Solution
from .dense import Dense
from .ground_state import GroundState, ground_state
from .learning import CriticalExamples, ExampleScaling, critical_examples, example_scaling, noise_load, tolerable_noise
from .multitask import Multitask
from .multitask_phases import MultitaskDiagram
from .multitask_records import MultitaskState, StabilityEdge
from .perceptron import Perceptron
from .perceptron_boundary import PerceptronBoundary
from .perceptron_branches import PerceptronCurve
from .perceptron_gibbs import GibbsState, SecondGibbsState
from .perceptron_maps import SecondTaskMap
from .perceptron_records import FirstTask, SecondTask
from .phases import PhaseDiagram

__all__ = ["Boundary", "CriticalExamples", "Curve", "Dense", "ExampleScaling", "FirstTask", "GibbsState", "GroundState",
           "Multitask", "MultitaskDiagram", "MultitaskState", "Perceptron", "PerceptronBoundary", "PerceptronCurve",
           "PhaseDiagram", "SecondGibbsState", "SecondTask", "SecondTaskMap", "Solution", "StabilityEdge",
           "critical_examples", "example_scaling", "ground_state", "noise_load", "tolerable_noise"]
