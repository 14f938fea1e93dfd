"""Remedies for what is missing: commands that work in the user's own installation."""

import ast
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT, clean_environment, mpiexec

from hebb import installation

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KINDS = ("*.md", "*.cff", "Makefile", "*.toml", "docs/*.md", "mpi_runs/*", "hebb/**/*.py", "notebooks/*.py",
         "paper_figures/*.py", "cython_kernels/*.p*")
TEXTS = sorted(path for kind in KINDS for path in ROOT.glob(kind))


def test_one_name_of_the_distribution():
    assert PROJECT["name"] == installation.DISTRIBUTION != "hebb"


def test_the_minimum_versions_are_those_of_the_extras():
    declared = {requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra}
    assert set(installation.OPTIONAL.values()) <= declared
    assert all(re.split(r"[<>=]", requirement)[0] == name for name, requirement in installation.OPTIONAL.items())


def test_commands_name_this_python_and_the_package_itself(monkeypatch, tmp_path):
    python = shlex.quote(sys.executable)
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: object())
    assert installation.install_command("torch") == f"{python} -m pip install 'torch>=2.4'"
    assert installation.install_command("mpi4py", "mpich") == f"{python} -m pip install 'mpi4py>=4.1' 'mpich>=4.2.3'"
    assert installation.install_command("mpi4py", from_source=True).endswith("--no-deps --no-binary mpi4py 'mpi4py>=4.1'")
    assert installation.build_command() == f"{python} -m pip install -e {shlex.quote(str(ROOT))}"
    monkeypatch.setattr(installation, "__file__", str(tmp_path / "site-packages" / "hebb" / "installation.py"))
    assert "site-packages" not in installation.build_command(), "a wheel has no sources"
    monkeypatch.setattr(installation.sys, "executable", "/my envs/bin/python")
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    assert installation.install_command("torch") == (
        "'/my envs/bin/python' -m ensurepip && '/my envs/bin/python' -m pip install 'torch>=2.4'")


def test_pip_takes_every_command():
    """As a shell would hand it over; nothing is installed."""
    pytest.importorskip("pip")
    command = installation.install_command(*installation.OPTIONAL) + " --dry-run --no-deps --no-index --find-links /nowhere"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=clean_environment())
    assert "Usage" not in done.stderr and "Invalid requirement" not in done.stderr and "No module" not in done.stderr


def test_nothing_points_at_the_stranger_on_the_index():
    """`pip install hebb` and `hebb[extra]` bring another project; in the code one function writes every remedy."""
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install[^`\n]* hebb(?![-/\w])|\bhebb\[[a-z]+\]", text), path
        if path.suffix == ".py" and path.name != "installation.py":
            nodes = ast.walk(ast.parse(text))
            strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            assert not any("pip install" in string for string in strings), f"{path}: install_command writes the remedy"


@pytest.fixture
def above(tmp_path):
    """Where and how to call Python: beside a subfolder hebb, as above a clone, with only the installation to find hebb."""
    found = importlib.metadata.distributions(name=installation.DISTRIBUTION)  # among them what a build leaves in the clone
    origins = [json.loads(one.read_text("direct_url.json") or "{}").get("url") for one in found]
    if ROOT.as_uri() not in origins:
        pytest.skip("this tree is not the one installed here")
    (tmp_path / "hebb" / "hebb").mkdir(parents=True)
    environment = clean_environment()
    del environment["PYTHONPATH"]
    return {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}


def test_a_folder_of_the_same_name_does_not_hide_the_package(above):
    code = "from hebb import simulate; import hebb.kernels.overlap, hebb; print(hebb.__file__)"
    done = subprocess.run([sys.executable, "-c", code], **above)
    assert done.stdout.strip() == str(ROOT / "hebb" / "__init__.py"), done.stderr
    done = subprocess.run([sys.executable, "-m", "hebb", "--version"], **above)
    assert done.stdout.startswith("hebb "), done.stderr


@pytest.mark.mpi
def test_nor_from_ranks(above):
    command = [mpiexec(), "-n", "2", sys.executable, "-m", "hebb", "run", str(ROOT / "mpi_runs" / "no.toml")]
    assert "hebb: cannot read" in subprocess.run(command, **above).stderr
