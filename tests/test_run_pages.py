"""`docs/runs.md` as its readers run it."""

import re
import shlex

import pytest
from conftest import ROOT, hebb

from hebb.__main__ import main

PAGE = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
EDGE = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
LINE = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8"), re.DOTALL)[1]
COMMANDS = [line.partition("#")[0] for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_the_section_refine_of_the_page(folder, capsys):
    (folder / "edge.toml").write_text(EDGE)
    code, out, err = hebb(capsys, "run", "edge.toml")
    assert code == 0 and len(re.findall(r"temperature = 0\.[45]: m crosses 0\.7 between gamma = ", out)) >= 2, out + err


def test_the_commands_of_the_page(folder, capsys):
    assert [line.split()[:2] for line in COMMANDS] == [["hebb", "run"], ["hebb", "merge"]]
    (folder / "line.toml").write_text(LINE)
    assert hebb(capsys, "run", "line.toml", "--out", "copy/of/line", "--part", "2/2")[0] == 0
    assert hebb(capsys, "run", "line.toml", "--part", "1/2")[0] == 0
    code, out, _ = hebb(capsys, *shlex.split(COMMANDS[1])[1:])
    assert code == 0 and "16 finished tasks taken over" in out and "32 of 32 tasks are in runs/line/results.h5" in out
    (folder / "line.toml").write_text(LINE.replace("disorder = 4", "disorder = 5").replace("sweeps = 100", "sweeps = 120"))
    code, _, err = hebb(capsys, *shlex.split(COMMANDS[0])[1:])
    assert code == 0 and "grows from 100 to 120 sweeps, from 32 to 40 tasks: 8 are new" in err
    assert "would remove 32 results" in hebb(capsys, "delete", "runs/line")[1]


@pytest.mark.parametrize("word", sorted(set(re.findall(r"`(--[a-z-]+)", PAGE))))
def test_options_of_the_page_are_there(capsys, word):
    helps = []
    for command in ("run", "status", "verify", "delete", "merge"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helps.append(capsys.readouterr().out)
    assert any(word in text for text in helps), word
