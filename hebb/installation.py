"""What this installation lacks, and the command that brings it into this very Python.

The project is distributed as hebb-statmech: on the public index the name hebb belongs to somebody else, whose package is also
imported as hebb. A remedy therefore names the missing package itself, never an extra of ours, and so works in an editable
clone, from a wheel and on a cluster alike.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

__all__ = ["DISTRIBUTION", "OPTIONAL", "build_command", "install_command"]

DISTRIBUTION = "hebb-statmech"

#: Everything optional that a message can name, with the lowest version; as in pyproject.toml.
OPTIONAL = {
    "mpi4py": "mpi4py>=4.1",
    "mpich": "mpich>=4.2.3",
    "scikit-learn": "scikit-learn>=1.4.2",
    "xarray": "xarray>=2024.7",
    "pandas": "pandas>=2.2.3",
    "h5netcdf": "h5netcdf>=1.4",
    "torch": "torch>=2.4",
    "numba": "numba>=0.60",
    "dwave-samplers": "dwave-samplers>=1.3",
}


def install_command(*packages: str, from_source: bool = False) -> str:
    """The command line that installs these packages into the running Python.

    packages: keys of OPTIONAL. from_source: compile them here, against the libraries of this machine (a cluster's MPI), also
    where they are installed already.

        install_command("torch")    # "/home/me/hebb/.venv/bin/python -m pip install 'torch>=2.4'"
    """
    own = ["--force-reinstall", "--no-deps", "--no-binary", ",".join(packages)] if from_source else []
    return _pip("install", *own, *(OPTIONAL[package] for package in packages))


def build_command() -> str:
    """The command line that compiles the kernels of this source tree (of the one that a wheel was made from: only its owner
    knows where it is)."""
    root = Path(__file__).resolve().parent.parent
    if (root / "setup.py").is_file():
        return _pip("install", "-e", str(root))
    return _pip("install", "--force-reinstall", "--no-deps", "FOLDER_OF_THE_SOURCES")


def _pip(*arguments: str) -> str:
    python = [sys.executable or "python"]
    command = shlex.join([*python, "-m", "pip", *arguments])
    if importlib.util.find_spec("pip") is None:  # uv leaves it out of the environments that it makes
        return f"{shlex.join([*python, '-m', 'ensurepip'])} && {command}"
    return command
