"""PyTorch, if it is installed: the only place that asks for it."""

from __future__ import annotations

import functools
import importlib.util

from ..errors import EnvironmentMismatch
from ..installation import install_command

__all__ = ["load_torch", "require_torch"]


def _missing() -> EnvironmentMismatch:
    return EnvironmentMismatch("deep networks are trained by PyTorch, which is not installed; "
                               f"`{install_command('torch')}` brings it")


def require_torch() -> None:
    """EnvironmentMismatch where PyTorch is not installed. It is not imported, which takes seconds."""
    if importlib.util.find_spec("torch") is None:
        raise _missing()


@functools.cache
def load_torch():
    """The module torch, set to one thread and to deterministic algorithms, so that results are the same bit for bit on one
    machine (on another one matrix products may round differently). Both settings hold for the whole process."""
    try:
        import torch
    except ImportError:
        raise _missing() from None
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return torch
