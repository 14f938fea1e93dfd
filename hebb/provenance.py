"""Which code, on which machine, produced a result."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import platform
import socket
import subprocess
import sys
from pathlib import Path

from ._version import __version__

__all__ = ["collect", "git_revision", "kernel_build"]


def kernel_build() -> dict:
    """Flags, compiler and instruction set of the compiled kernels; {} where they are not compiled."""
    try:
        from hebb.kernels import overlap
    except ImportError:
        return {}
    return {**overlap.build_info(), "instruction_set": overlap.instruction_set()}


@functools.cache
def git_revision() -> str | None:
    """The commit of the source tree, with "+dirty" if tracked files were changed; None outside a checkout of hebb."""
    root = Path(__file__).resolve().parent.parent
    # An installed copy may lie inside somebody else's repository, whose revision would be a wrong answer.
    if not (root / ".git").exists():
        return None
    try:
        described = [
            subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return described[0] + ("+dirty" if described[1] else "")


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _mpi_library() -> str | None:
    """The MPI library if this process has loaded one; asking must not start MPI."""
    module = sys.modules.get("mpi4py.MPI")
    return module.Get_library_version().splitlines()[0].strip("\x00 ") if module else None


@functools.cache
def _software() -> dict:
    """What cannot change while the process lives."""
    return {
        "hebb": __version__,
        "git": git_revision(),
        "python": platform.python_version(),
        **{package: _version_of(package) for package in ("numpy", "scipy", "h5py", "mpi4py", "torch")},
        "host": socket.gethostname(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def collect() -> dict:
    """A plain dict of strings (or None, or one dict for the kernels) that is stored with every result."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {**_software(), "kernels": kernel_build(), "mpi": _mpi_library(), "time": now}
