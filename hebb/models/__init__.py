"""Models: what is simulated. Each has patterns, a potential and a slow reference energy; see `hebb.models.base`."""

import functools
from collections.abc import Mapping

from ..params import check_choice, check_keys
from ..vocabulary import KINDS, model_keys
from .base import Instance, Model, SpinModel
from .dense import Dense
from .multitask import Multitask
from .networks import VariationalNetwork
from .perceptron import BinaryPerceptron, SecondTask
from .variational import VariationalPerceptron

__all__ = ["BinaryPerceptron", "Dense", "Instance", "Model", "Multitask", "SecondTask", "SpinModel", "VariationalNetwork",
           "VariationalPerceptron", "from_keys", "instead_of_keys", "keys", "loads_of"]

_KINDS = {"dense": Dense, "multitask": Multitask, "perceptron": BinaryPerceptron, "second_task": SecondTask,
          "network": VariationalNetwork, "variational_perceptron": VariationalPerceptron}


def keys(kind: str) -> tuple[str, ...]:
    """The keys a job file may give for this kind of model."""
    return _KINDS[check_choice("kind", kind, _KINDS, KINDS)].KEYS


@functools.cache
def instead_of_keys(kind: str) -> dict[str, str]:
    """What to write instead of a key that this kind of model has not: key -> a clause."""
    kinds = {key: [repr(other) for other, model in _KINDS.items() if key in model.KEYS]
             for model in _KINDS.values() for key in model.KEYS if key not in keys(kind)}
    others = {key: f"kind = {' or '.join(names)} has it" for key, names in kinds.items()}
    return others | model_keys(kind)


def from_keys(kind: str, given: dict) -> Model:
    """The model of a job file's keys. Raises ParameterError on unknown keys, with the nearest known one."""
    check_keys(f"a {kind} model", given, keys(kind), instead_of_keys(kind))
    model = _KINDS[kind].from_keys(**given)
    model.asked = dict(given)
    return model


def loads_of(parameters: Mapping) -> dict[str, float]:
    """The loads of a point, `Model.loads_of`; {} where its kind of model, or a parameter that it needs, is not known."""
    try:
        return _KINDS[parameters["kind"]].loads_of(parameters)
    except KeyError:
        return {}
