"""`docs/jobs.md` as its readers run it."""

import re
import shlex

import pytest
from conftest import ROOT, hebb

from hebb.runs.plan import Plan

PAGE = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
JOB = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()


def test_the_job_of_the_page():
    points = Plan.from_text(JOB).index()["points"]
    assert [(point["n_spins"], point["n_patterns"], point["temperature"]) for point in points] == [
        (100, 5, 0.2), (100, 10, 0.3), (100, 15, 0.4), (100, 20, 0.5),
        (200, 10, 0.2), (200, 20, 0.3), (200, 30, 0.4), (200, 40, 0.5)]


@pytest.mark.parametrize("line, says", list(zip(COMMANDS, ["wider: 8", "line: 8", "line: 8"], strict=True)))
def test_commands_of_the_page(folder, capsys, line, says):
    (folder / "line.toml").write_text(JOB)
    words = shlex.split(line)
    code, out, err = hebb(capsys, *words[1:])
    assert words[0] == "hebb" and code == 0 and out.startswith(f"{says} points"), err


def test_a_log_changes_no_number():
    assert Plan.from_text(JOB).index() == Plan.from_text(JOB.replace('"minutes"', '"tasks"')).index()
