"""Between a terminal and a command: misprints, negative ranges, streams that are closed, full or of few letters, threads."""

import os
import subprocess
import sys
import threading

import pytest
from conftest import TINY, clean_environment, hebb, refused

from hebb import command_line, vocabulary
from hebb.__main__ import _parser, main
from hebb.command_line import _Errors, _joined, _Output, whole
from hebb.errors import StorageError


def misused(capsys, *arguments):
    """The last line of a command line that cannot be understood."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == "" and "Traceback" not in err
    return err.splitlines()[-1]


@pytest.mark.parametrize(
    "line, answer",
    [
        ("rum job.toml", "did you mean 'run'?"),
        ("comapre runs/a", "did you mean 'compare'?"),
        ("simulate job.toml", "write hebb run"),
        ("resume job.toml", "write hebb run JOB.toml --resume"),
        ("run job.toml --ouput x", "unrecognized arguments: --ouput x; did you mean '--out'?"),
        ("run job.toml --resum --rnaks 3", "did you mean '--ranks'?"),
        ("run job.toml -n 4", "write --ranks N"),
        ("run -v job.toml", "write --set run.log=tasks, which is a line in log.txt for every task"),
        ("theory", "required: MODEL"),
        ("theory densse --gamma 1", "did you mean 'dense'?"),
        ("theory hopfield --alpha 0.1", "write hebb theory dense --p-body 2, whose load alpha is --gamma"),
        ("theory dense --alpha 0.1 --temperature 0.3", "write --gamma, which with --p-body 2 is alpha"),
        ("theory dense --gama 0.1 --temperature 0.3", "did you mean '--gamma'?"),
        ("theory dense --gamma 0.1 --beta 3", "write --temperature, which is 1/beta"),
        ("theory dense --gamma 0.1 --temperature 0.3 --n-spins 100", "the theory is that of infinitely many spins"),
        ("theory dense --gamma 0.1 --temperature 0.3 --p-body 3.5", "argument --p-body: '3.5' is not a whole number"),
        ("check --probe job.toml", "argument --probe: 'job.toml' is not a number of seconds from 1 to 3600; write --probe"),
        ("check job.toml --probe nan", "'nan' is not a number of seconds"),
        ("check job.toml --calibrate", "write --probe"),
        ("run job.toml --ranks nan", "argument --ranks: 'nan' is not a whole number"),
        ("run job.toml --ranks 1e400", "'1e400' is not a whole number"),
    ],
)  # fmt: skip
def test_misprints_are_answered(capsys, line, answer):
    assert answer in misused(capsys, *line.split())


def test_what_is_right_is_not_answered(capsys):
    assert misused(capsys, "theory", "dense", "--temperature", "0.3").endswith("the following arguments are required: --gamma")
    assert misused(capsys, "run").endswith("required: JOB.toml")


def test_advice_names_commands_and_options_there_are():
    parser = _parser()
    commands = parser._commands.choices
    theories = commands["theory"]._commands.choices
    for word, advice in vocabulary.COMMANDS.items():
        assert word not in commands and (advice.split()[2] in commands or advice.split()[2] in parser._options), word
    for word, advice in vocabulary.THEORIES.items():
        assert word not in theories and advice.split()[3] in theories, word
    for command, table in vocabulary.OPTIONS.items():
        options = {**commands, **theories}[command]._options
        for word, advice in table.items():
            assert f"--{word.replace('_', '-')}" not in options, (command, word)
            assert advice.startswith("leave it out") or advice.split()[1].strip(",") in options, (command, word)


def test_negative_values_belong_to_the_option_before():
    words = ["theory", "--teacher-correlation", "-0.5:0.5:3", "--plot", "-x", "--beta", "-.5", "--kl", "-inf:0:3", "--", "-1"]
    assert _joined(words) == ["theory", "--teacher-correlation=-0.5:0.5:3", "--plot", "-x", "--beta=-.5", "--kl=-inf:0:3", "--",
                              "-1"]
    assert _joined(["--a=3", "-1", 5]) == ["--a=3", "-1", "5"]


@pytest.mark.parametrize("model, options", [
    ("dense", ("gamma", "temperature", "r", "rho")),
    ("multitask", ("dilution", "temperature", "r", "rho")),
    ("perceptron", ("alpha", "beta", "kl", "second-alpha", "teacher-correlation", "second-kl", "temperature", "kappa",
                    "coupling")),
])  # fmt: skip
def test_every_option_takes_a_negative_value(model, options):
    given = [word for option in options for word in (f"--{option}", "-1e-3")]
    found = vars(_parser().parse_args(["theory", model, *given]))
    assert all(float(found[option.replace("-", "_")]) == -1e-3 for option in options)


def test_negative_ranges_reach_the_theory(capsys):
    point = ("theory", "dense", "--temperature", "1", "--gamma")
    assert "gamma = -0.001 is not a number in [0" in refused(capsys, *point, "-1e-3")
    assert "--gamma -0.5:-0.5:3 is neither a number nor low:high:number" in refused(capsys, *point, "-0.5:-0.5:3")


def test_whole_numbers_of_options():
    assert [whole(text) for text in ("4", "+4", "10.0", "1e3", str(10**30))] == [4, 4, 10, 1000, 10**30]


@pytest.mark.parametrize("flag", ["-v", "-V", "--version"])
def test_the_version(capsys, flag):
    with pytest.raises(SystemExit) as caught:
        main([flag])
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("hebb 0.")


def shell(line, folder, **environment):
    """(exit code, stdout, stderr) of a line of sh, in which `hebb` is this hebb."""
    program = f'hebb() {{ "{sys.executable}" -m hebb "$@"; }}\n{line}'
    environment = clean_environment(**environment)
    done = subprocess.run(["bash", "-c", program], cwd=folder, env=environment, capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_closed_streams(folder):
    """Nothing goes to the other stream, into a file, or wrong."""
    assert shell("hebb run none.toml 2>&-", folder) == (2, "", "")
    code, out, err = shell("hebb run tiny.toml >&- 2>&- <&-", folder)
    assert (code, out, err) == (0, "", "") and (folder / "runs/tiny/results.h5").exists()
    assert shell("hebb --help | head -1; exit ${PIPESTATUS[0]}", folder) == (0, "usage: hebb [-h] [-v] COMMAND ...\n", "")
    code, out, err = shell("hebb status runs/tiny > /dev/full", folder)
    assert (code, out) == (2, "") and err.startswith("hebb: cannot write to standard output (No space left on device)")


def test_a_reader_that_has_seen_enough(folder, capsys, monkeypatch):
    """What comes after the table is written all the same."""
    from hebb import compare

    class Comparison:
        worst = 6.0

        def table(self):
            return 10000 * "row\n"

        def write_csv(self, path):
            (folder / path).write_text("csv")

        def plot(self, path):
            path.write_text("figure")

    monkeypatch.setattr(compare, "compare_results", lambda results: Comparison())
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", gone)
            assert main(["compare", "runs/tiny", "--csv", "t.csv"]) == 1
            assert sys.stdout is gone
    assert (folder / "t.csv").read_text() == "csv" and capsys.readouterr().err == ""


def test_streams_of_few_letters(folder, tmp_path):
    (folder / "tiny.toml").write_text(TINY.replace('"tiny"', '"größe"'))
    code, out, err = shell("hebb run tiny.toml", folder, PYTHONIOENCODING="ascii")
    assert (code, out, err) == (0, "hebb: 4 tasks done; results in runs/gr\\xf6\\xdfe/results.h5\n", "")
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    code, out, err = shell("hebb check tiny.toml", folder, **plain)
    assert code == 2 and "[job] name = 'gr\\xf6\\xdfe' has letters that file names of this locale (ascii) lack; set" in err


def test_streams_by_themselves(tmp_path):
    with open(tmp_path / "text", "w", encoding="latin-1") as file:
        stream = _Errors(file)
        assert stream.write("ä±\udcc3→\n") == 5
        stream.flush()
        assert stream.encoding == "latin-1"
    assert (tmp_path / "text").read_text(encoding="latin-1") == "ä±\\udcc3\\u2192\n"
    with open("/dev/full", "w") as full:
        stream = _Output(full)
        stream.write("x")
        with pytest.raises(StorageError, match="cannot write to standard output"):
            stream.flush()
        stream.write("x")
        stream.flush()
    with open("/dev/full", "w") as full:
        stream = _Errors(full)
        stream.write("x")
        stream.flush()


def test_a_thread_runs_jobs(folder, capsys):
    """Signals belong to the main thread; all else works in any."""
    codes = []
    for arguments in (["run", "tiny.toml"], ["run", "tiny.toml"], ["check", "tiny.toml"]):
        thread = threading.Thread(target=lambda given=arguments: codes.append(main(given)))
        thread.start()
        thread.join()
    out, err = capsys.readouterr()
    assert codes == [0, 0, 0] and "4 tasks done" in out and err.count("\n") == 1


def test_one_process_speaks(capsys, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "1")
    assert not command_line.first_of_launcher()
    with pytest.raises(SystemExit):
        main(["rum"])
    assert capsys.readouterr().err == ""
