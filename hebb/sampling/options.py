"""What dynamics have in common, and settings that belong to one of them alone."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ParameterError
from ..models.base import Instance, Model, SpinModel
from ..params import shown

__all__ = ["CLASS_DYNAMICS", "OPTIONS", "TRAINING", "SpinBySpin", "refuse_options", "require_spins"]

#: Dynamics of classes of spins, whose chains hold no configuration of single spins.
CLASS_DYNAMICS = ("lumped", "hubbard_stratonovich")
#: Dynamics that train: their series are learning curves, whose last entries are the result.
TRAINING = ("gradient", "backpropagation")
#: Options that some dynamics have alone, and which.
OPTIONS = {"expansion": ("plefka",), "damping": ("plefka",), "rule": ("lumped",),
           "learning": ("gradient", "hmc", "backpropagation")}


def refuse_options(dynamics: str, options: Mapping) -> None:
    """Raise ParameterError for an option that is given and belongs to other dynamics, TypeError for one that none has."""
    for name, value in options.items():
        if name not in OPTIONS:
            raise TypeError(f"unexpected keyword {name!r}")
        if value is not None:
            raise ParameterError(f"{name} = {shown(value)} has no meaning with dynamics = {dynamics!r}; "
                                 f"it belongs to {' and '.join(map(repr, OPTIONS[name]))}; leave it out")


def require_spins(model: Model, dynamics: str) -> None:
    """Raise ParameterError where the model has no spins that these dynamics could flip."""
    if not isinstance(model, SpinModel):
        raise ParameterError(f"dynamics = {dynamics!r} flips spins, and a {model.kind} model has none; it takes dynamics = "
                             f"{' or '.join(map(repr, model.dynamics))}")


class SpinBySpin:
    """What tasks need of dynamics that hold every spin of a disorder sample."""

    @staticmethod
    def draw(model: Model, seed: int, disorder: int) -> Instance:
        """The disorder sample that these dynamics run on."""
        return model.draw(seed=seed, disorder=disorder)

    @staticmethod
    def memory_bytes(model: Model, replicas: int) -> int:
        """Bytes one task holds. Raises ParameterError if this machine's memory cannot."""
        return model.memory_bytes(replicas)
