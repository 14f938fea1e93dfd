"""The house stands on its floors: nobody imports upwards, and four libraries have one door each."""

import ast
import importlib
import subprocess
import sys

import pytest
from conftest import ROOT, clean_environment

FLOORS = {
    "kernels": 0,
    "errors": 0,
    "error_bars": 0,
    "installation": 0,
    "_version": 0,
    "provenance": 0,
    "params": 1,
    "progress": 1,
    "vocabulary": 1,
    "quantities": 1,
    "style": 1,
    "streams": 1,
    "statistics": 1,
    "models": 2,
    "sampling": 3,
    "deep": 3,
    "theory": 3,
    "storage": 4,
    "runs": 5,
    "compare": 6,
    "compare_deep": 6,
    "compare_dense": 6,
    "compare_multitask": 6,
    "compare_perceptron": 6,
    "compare_variational": 6,
    "comparison": 6,
    "finite_examples": 6,
    "finite_size": 6,
    "looks": 6,
    "log_storage": 6,
    "pictures": 6,
    "plotting": 6,
    "plotting_deep": 6,
    "plotting_multitask": 6,
    "plotting_perceptron": 6,
    "plotting_variational": 6,
    "command_line": 7,
    "folder_command": 7,
    "perceptron_command": 7,
    "probe_command": 7,
    "results_command": 7,
    "theory_command": 7,
    "__main__": 7,
    "bench": 7,
    "bench_baselines": 7,
    "bench_learning": 7,
    "__init__": 7,
}
#: On one floor, but they must not see each other; only deep may see sampling.
STRANGERS = {("sampling", "theory"), ("theory", "sampling"), ("deep", "theory"), ("theory", "deep"), ("sampling", "deep")}
DOORS = {
    "h5py": lambda name: name.startswith("hebb.storage."),
    "mpi4py": lambda name: name == "hebb.runs.executors",
    "torch": lambda name: name in ("hebb.deep.engine", "hebb.deep.network", "hebb.deep.protection"),
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted((ROOT / "hebb").rglob("*.py"))
}


def imports_of(name, path):
    """Full names of everything a module imports, wherever in the module."""
    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(name):
    """The room (second part of the name) of a module of hebb; `from . import x` at the top names a room itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"


@pytest.mark.parametrize("name", MODULES)
def test_no_edge_points_upwards(name):
    here = room_of(name)
    assert here != "__init__" or name == "hebb.__init__", f"{name} has no floor; give it one in FLOORS"
    for target in imports_of(name, MODULES[name]):
        if target.split(".")[0] == "hebb":
            there = room_of(target)
            if there == "__init__" and target in ("hebb.__version__",):
                continue
            assert FLOORS[there] <= FLOORS[here], (
                f"{name} (floor {FLOORS[here]}) imports {target} (floor {FLOORS[there]})"
            )
            assert (here, there) not in STRANGERS, f"{name} imports {target}: simulation and theory must not share code"
        for library, allowed in DOORS.items():
            assert target.split(".")[0] != library or allowed(name), f"{name} imports {library}"


def test_the_walk_sees_relative_and_local_imports(tmp_path):
    """The test above would pass on anything if this one did not hold."""
    source = tmp_path / "chain.py"
    source.write_text(
        "from ..runs import plan\nfrom .. import theory\ndef f():\n    import h5py.h5\n    from . import x\n"
    )
    assert set(imports_of("hebb.sampling.chain", source)) == {
        "hebb.runs.plan",
        "hebb.theory",
        "h5py.h5",
        "hebb.sampling.x",
    }
    assert room_of("hebb.runs.plan") == "runs" and room_of("hebb.theory") == "theory"


@pytest.mark.parametrize("name", MODULES)
def test_public_names_exist(name):
    if MODULES[name].name in ("__init__.py", "_version.py"):
        return
    if name in ("hebb.deep.network", "hebb.deep.protection"):  # an optional extra
        pytest.importorskip("torch")
    module = importlib.import_module(name)
    names = module.__all__
    assert len(names) == len(set(names)) and all(hasattr(module, item) for item in names)


def test_import_is_light():
    """`import hebb` and a look at its names load neither MPI, HDF5, a plotting backend, PyTorch nor scipy."""
    code = (
        "import sys, hebb; dir(hebb); hebb.__version__; "
        "print([name for name in ('mpi4py', 'h5py', 'matplotlib', 'scipy', 'torch', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment(), check=True
    )
    assert result.stdout.strip() == "[]"


def test_simulation_needs_neither_mpi_nor_plots():
    code = (
        "import sys; from hebb import models, theory, sample, simulate, load; "
        "print([name for name in ('mpi4py', 'matplotlib.pyplot', 'torch', 'xarray', 'tqdm') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment(), check=True
    )
    assert result.stdout.strip() == "[]"


def test_unknown_names_of_the_package():
    import hebb

    assert set(hebb.__all__) <= set(dir(hebb))
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        hebb.simulat  # noqa: B018
