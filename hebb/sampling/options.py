"""Settings that belong to one dynamics alone."""

from __future__ import annotations

from ..errors import ParameterError
from ..params import shown

__all__ = ["CLASS_DYNAMICS", "refuse_options"]

#: Dynamics of classes of spins, whose chains hold no configuration of single spins.
CLASS_DYNAMICS = ("lumped", "hubbard_stratonovich")
_OWNERS = {"expansion": "plefka", "damping": "plefka", "rule": "lumped"}


def refuse_options(dynamics: str, **options) -> None:
    """Raise ParameterError for an option that is given and belongs to other dynamics."""
    for name, value in options.items():
        if value is not None:
            raise ParameterError(f"{name} = {shown(value)} has no meaning with dynamics = {dynamics!r}; "
                                 f"it belongs to {_OWNERS[name]!r}; leave it out")
