"""hebb: statistical mechanics of learning machines, simulated and solved side by side.

    from hebb import models, theory, simulate
    result = simulate(models.Dense(n_spins=64, p_body=4, gamma=0.1), temperature=[0.2, 0.4], seed=1)
    result["m"].mean, result["m"].error, theory.Dense(p_body=4).solve(gamma=0.1, temperature=0.2).m

Nothing is loaded before it is used: importing hebb starts neither MPI nor HDF5 nor a plotting backend.
"""

import importlib

from ._version import __version__

__all__ = ["__version__", "load", "models", "sample", "simulate", "theory"]

_HOME = {"load": "storage.merging", "sample": "sampling.chain", "simulate": "runs.job"}


def __getattr__(name):
    if name in ("models", "theory"):
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
