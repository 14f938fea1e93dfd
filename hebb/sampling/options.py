"""What dynamics have in common, and settings that belong to one of them alone."""

from __future__ import annotations

from ..errors import ParameterError
from ..models.base import Instance, Model
from ..params import shown

__all__ = ["CLASS_DYNAMICS", "SpinBySpin", "refuse_options"]

#: Dynamics of classes of spins, whose chains hold no configuration of single spins.
CLASS_DYNAMICS = ("lumped", "hubbard_stratonovich")
_OWNERS = {"expansion": "plefka", "damping": "plefka", "rule": "lumped"}


def refuse_options(dynamics: str, **options) -> None:
    """Raise ParameterError for an option that is given and belongs to other dynamics."""
    for name, value in options.items():
        if value is not None:
            raise ParameterError(f"{name} = {shown(value)} has no meaning with dynamics = {dynamics!r}; "
                                 f"it belongs to {_OWNERS[name]!r}; leave it out")


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
