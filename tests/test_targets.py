"""Files and folders on the command line: whatever is wrong with them is said before anything is computed."""

import pytest
from conftest import hebb, refused

from hebb import bench, compare, theory_command
from hebb.__main__ import main
from hebb.errors import StorageError

LONG = 300 * "x"


@pytest.fixture
def done(folder, capsys):
    """A finished run."""
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    return folder


@pytest.mark.parametrize(
    "options, message",
    [
        (("--csv", "."), "cannot write .: it is a folder; name a file in it"),
        (("--csv", "none/t.csv"), "cannot write none/t.csv: there is no folder none"),
        (("--csv", LONG), "(File name too long); name another file"),
        (("--plot", "runs"), "cannot write runs: it is a folder"),
        (("--plot", "none/a.png"), "there is no folder none"),
        (("--plot", "a.xyz"), "cannot write a.xyz: xyz is no format of figures; use .png, .pdf or .svg"),
        (("--plot", "a"), "cannot write a: a name without an ending is no format of figures"),
        (("--plot", LONG + ".png"), "(File name too long)"),
    ],
)  # fmt: skip
def test_targets_are_checked_before_computing(done, capsys, monkeypatch, options, message):
    monkeypatch.setattr(compare, "compare_results", lambda results: pytest.fail("computed first"))
    monkeypatch.setattr(bench, "main", lambda path: pytest.fail("measured first"))
    before = sorted(done.rglob("*"))
    assert message in refused(capsys, "compare", "runs/tiny", *options)
    if options[0] == "--csv":
        assert message in refused(capsys, "bench", "--json", options[1])
    ranges = {"dense": "--gamma", "multitask": "--dilution"}
    for model, axis in ranges.items():
        target = ("--save" if options[0] == "--csv" else "--plot", options[1])
        line = ("theory", model, axis, "0.1:0.2:2", "--temperature", "0.1:0.2:2", *target)
        assert message in refused(capsys, *line)
    assert sorted(done.rglob("*")) == before


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "a.png").write_text("mine")
    theory_command.require_figure(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "mine"
    theory_command.require_figure(tmp_path / "b.PDF")
    assert not (tmp_path / "b.PDF").exists()


@pytest.mark.parametrize("line", [
    ("check", ""), ("run", ""), ("run", "tiny.toml", "--out", ""), ("run", "tiny.toml", "--data", ""), ("status", ""),
    ("merge", ""),
    ("compare", ""), ("compare", "x", "--csv", ""), ("compare", "x", "--plot", ""), ("bench", "--json", ""),
    ("theory", "dense", "--gamma", "1", "--temperature", "1", "--plot", ""), ("check", "a\0b"), ("status", "a\0b"),
])  # fmt: skip
def test_an_empty_name_is_no_name(folder, capsys, line):
    """Of a shell variable that is not set: it would be the present folder."""
    with pytest.raises(SystemExit) as caught:
        main(list(line))
    assert caught.value.code == 2 and "names no file or folder" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["tiny.toml"]


@pytest.mark.parametrize("command", ["status", "merge", "compare"])
def test_names_of_no_run(folder, capsys, command):
    sentence = refused(capsys, command, LONG)
    assert "is not a run folder" in sentence or "File name too long" in sentence
    assert refused(capsys, command, "a\nb").count("a\\nb") >= 1, "one line whatever a file is called"
    (folder / "run" / "plan.json").mkdir(parents=True)
    assert "plan.json cannot be read (Is a directory)" in refused(capsys, command, "run")


def test_what_the_system_refuses_is_a_sentence(folder, capsys, monkeypatch):
    from hebb import provenance

    def fail(error):
        def collect():
            raise error

        return collect

    for error, message in ((PermissionError(13, "Permission denied", "a/b"), "hebb: cannot use a/b (Permission denied); check"),
                           (OSError("odd"), "hebb: the system refuses to read or write (odd); check"),
                           (MemoryError(), "hebb: there is not enough memory for this on this machine")):
        monkeypatch.setattr(provenance, "collect", fail(error))
        assert refused(capsys, "info").startswith(message)


@pytest.mark.parametrize("model, options, message", [
    ("dense", ("--gamma", "-0.1:0.1:3", "--temperature", "0.1:0.2:2"), "--gamma -0.1:0.1:3 leaves [0, 1e+06[; give"),
    ("dense", ("--gamma", "0.1:0.2:2", "--temperature", "-1:1:3"), "--temperature -1:1:3 leaves [0, 1e+06["),
    ("multitask", ("--dilution", "0.1:1:3", "--temperature", "0.1"), "--dilution 0.1:1:3 leaves [0, 1[; give a range inside"),
])  # fmt: skip
def test_ranges_outside_of_the_theory(capsys, model, options, message):
    assert message in refused(capsys, "theory", model, *options)


def test_a_target_that_is_no_path():
    with pytest.raises(StorageError, match="null"):
        theory_command.require_target("a\0b")
