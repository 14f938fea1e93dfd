"""Models: what is simulated. Each has patterns, a potential and a slow reference energy; see `hebb.models.base`."""

from ..params import check_choice, check_keys
from .base import Instance, Model, SpinModel
from .dense import Dense
from .multitask import Multitask
from .networks import VariationalNetwork
from .perceptron import BinaryPerceptron, SecondTask
from .variational import VariationalPerceptron

__all__ = ["BinaryPerceptron", "Dense", "Instance", "Model", "Multitask", "SecondTask", "SpinModel", "VariationalNetwork",
           "VariationalPerceptron", "from_keys", "keys"]

_KINDS = {"dense": Dense, "multitask": Multitask, "perceptron": BinaryPerceptron, "second_task": SecondTask,
          "network": VariationalNetwork, "variational_perceptron": VariationalPerceptron}


def keys(kind: str) -> tuple[str, ...]:
    """The keys a job file may give for this kind of model."""
    return _KINDS[check_choice("kind", kind, _KINDS)].KEYS


def from_keys(kind: str, given: dict) -> Model:
    """The model of a job file's keys. Raises ParameterError on unknown keys, with the nearest known one."""
    check_keys(f"a {kind} model", given, keys(kind))
    return _KINDS[kind].from_keys(**given)
