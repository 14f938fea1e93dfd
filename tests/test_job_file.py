"""The job file: its text, its times, its loads; what a run refuses, a check refuses in the same words."""

import os

import pytest
from conftest import TINY, hebb, refused

from hebb.__main__ import main
from hebb.errors import EnvironmentMismatch, HebbWarning, ParameterError
from hebb.runs import executors, plan
from hebb.runs.plan import Plan


def changed(old, new):
    text = TINY.replace(old, new, 1)
    assert text != TINY
    return text


@pytest.mark.parametrize("encoding, newline", [("utf-8-sig", "\n"), ("utf-8-sig", "\r\n"), ("utf-8", "\r\n"), ("utf-8", "\r")])
def test_marks_and_line_ends_of_other_systems(folder, capsys, encoding, newline):
    """The same job: a run with one is continued with the other."""
    (folder / "job.toml").write_bytes(TINY.replace("tiny", "größe").replace("\n", newline).encode(encoding))
    assert hebb(capsys, "check", "job.toml")[0] == 0
    assert hebb(capsys, "run", "job.toml", "--out", ".")[0] == 0, "beside its own job file"
    (folder / "job.toml").write_text(TINY.replace("tiny", "größe"))
    assert hebb(capsys, "run", "job.toml", "--out", ".", "--resume")[0] == 0
    Plan.from_text("\ufeff" + TINY)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_text_that_is_not_utf8(folder, capsys, encoding):
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (folder / "tiny.toml").write_bytes(mark + TINY.encode(encoding))
    assert "cannot read the job file tiny.toml (it is UTF-16 text); save it as UTF-8" in refused(capsys, "check", "tiny.toml")


@pytest.mark.parametrize(
    "value, message",
    [
        ('"00:00:00"', "walltime = '00:00:00' leaves no time to compute; give at least \"00:00:01\", or leave it out"),
        ("00:00:00", "walltime = '00:00:00' leaves no time"),
        ("3600", 'walltime = 3600 is not a time like .*; 3600 seconds are "01:00:00"'),
        ("90.5", '90.5 seconds are "00:01:30"'),
        ("360000", '360000 seconds are "100:00:00"'),
        ('"1-00:30:00"', 'write "24:30:00"'),
        ('"01:30"', "walltime = '01:30' is not a time like"),
        ("true", r"walltime = True is not a time like .*\)$"),
        ("-5", r"walltime = -5 is not a time like .*\)$"),
        ("nan", "walltime = nan is not a time like"),
        ("[1]", r"walltime = \[1\] is not a time like"),
        ("1979-05-27", "is not a time like"),
        ('"-00:00:01"', "is not a time like"),
    ],
)  # fmt: skip
def test_wall_times(value, message):
    with pytest.raises(ParameterError, match=message):
        Plan.from_text(f"{TINY}[run]\nwalltime = {value}\n")
    assert Plan.from_text(f'{TINY}[run]\nwalltime = "00:00:01"\ncheckpoint_every = "00:00:00"\n').walltime == 1


def test_a_check_divides_by_the_shortest_wall_time(folder, capsys):
    (folder / "tiny.toml").write_text(changed("sweeps = 400", "sweeps = 40000000") + '[run]\nwalltime = "00:00:01"\n')
    code, out, _ = hebb(capsys, "check", "tiny.toml")
    assert code == 0 and "the wall time of 1 s needs at least" in out


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("n_patterns = 2", "gamma = [0.3, 0.01, 0.011]",
         "gamma = 0.01 and gamma = 0.011 on 16 spins are the same n_patterns = 1, a load of 0.0625; leave one of them out"),
        ("n_patterns = 2", "gamma = [0.125, 0.125]", "points 0 and 2 of the job are the same; remove the repeated value"),
        ('"dense"\nn_spins = 16\np_body = 2\nn_patterns = 2', '"perceptron"\nn_spins = 16\nalpha = [1.0, 1.01]',
         "alpha = 1.0 and alpha = 1.01 on 16 spins are the same n_patterns = 16, a load of 1;"),
        ('"dense"\nn_spins = 16\np_body = 2\nn_patterns = 2', '"multitask"\nn_spins = 16\ndilution = 0.2\ngamma = [0.5, 0.51]',
         "gamma = 0.5 and gamma = 0.51 on 16 spins are the same n_patterns = 1"),
        ('"dense"\nn_spins = 16\np_body = 2\nn_patterns = 2',
         '"second_task"\nn_spins = 16\nfirst_alpha = [1.0, 1.01]\nalpha = 2\nteacher_correlation = 0.0\ncoupling = 1',
         "first_alpha = 1.0 and first_alpha = 1.01 on 16 spins are the same first_n_patterns = 16"),
    ],
)  # fmt: skip
def test_loads_that_are_one_number_of_patterns(old, new, message):
    with pytest.raises(ParameterError, match=message):
        Plan.from_text(changed(old, new))


def test_ladders_exchange():
    with pytest.raises(ParameterError, match=r"exchange_every = 406 is more than thermalize \+ sweeps = 405: nothing would be"):
        Plan.from_text(changed("replicas = 2", "tempering = true\nexchange_every = 406"))
    with pytest.warns(HebbWarning, match="exchange_every = 401 is more than sweeps = 400: nothing may be exchanged while"):
        Plan.from_text(changed("replicas = 2", "tempering = true\nexchange_every = 401"))
    Plan.from_text(changed("replicas = 2", "tempering = true\nexchange_every = 400"))


@pytest.mark.parametrize(
    "value, message",
    [
        ("3", r"start = 3 is neither one of planted, random, .* nor an array of \+-1 of shape \(16,\) or \(2, 16\)"),
        ("true", "start = True is neither one of planted"),
        ("{a = 1}", "start = {'a': 1} is neither one of planted"),
        ("[1, -1]", r"start = \[1, -1\] of shape \(2,\) is not \+-1 of shape \(16,\)"),
        ('["planted", "random"]', "is a list, and lists sweep the keys of .model. only: a job has one start"),
        ('"plantd"', "start = 'plantd' is not one of planted, .*; did you mean 'planted'"),
    ],
)
def test_a_bad_start_is_named(value, message):
    with pytest.raises(ParameterError, match=message):
        Plan.from_text(changed("replicas = 2", f"start = {value}"))


def test_lists_sweep_the_model_alone():
    with pytest.raises(ParameterError, match=r"sweeps = \[100, 200\] is a list, and lists sweep the keys of \[model\] only"):
        Plan.from_text(changed("sweeps = 400", "sweeps = [100, 200]"))


def refused_alike(capsys, *options):
    """The one sentence with which check and run refuse, the latter with and without --resume."""
    sentences = {refused(capsys, *command, "tiny.toml", *options) for command in (["check"], ["run"], ["run", "--resume"])}
    assert len(sentences) == 1, sentences
    return sentences.pop()


@pytest.mark.parametrize("name", [300 * "x", 100 * "ß" + 100 * "x", "/", "a/b", "..", "", "\\u0000"])
def test_names_no_folder_can_have(folder, capsys, name):
    (folder / "tiny.toml").write_text(changed('"tiny"', f'"{name}"'))
    refused_alike(capsys)
    assert not (folder / "runs").exists()


def _other_job(folder):
    (folder / "other.toml").write_text(TINY.replace("seed = 5", "seed = 6"))
    assert main(["run", "other.toml", "--out", "runs/tiny"]) == 0


def _write(name, text="x"):
    def make(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return make


@pytest.mark.parametrize(
    "prepare, options, message",
    [
        (_write("runs"), (), "cannot write the run folder runs/tiny (Not a directory)"),
        (_write("runs/tiny"), (), "cannot write the run folder runs/tiny (File exists)"),
        (_write("runs/tiny/job.toml"), (), "holds another job.toml"),
        (_write("runs/tiny/tasks/a.h5"), (), "holds files of a run whose plan.json is missing"),
        (_write("runs/tiny/plan.json", "{}"), (), "is not a plan of hebb"),
        (_write("runs/tiny/log.txt/x"), (), "runs/tiny/log.txt is a folder, and a run writes a file of this name"),
        (_write("runs/tiny/results.h5/x"), (), "runs/tiny/results.h5 is a folder, and a run writes a file of this name"),
        (_other_job, (), "holds a different job than tiny.toml"),
        (_write("x"), ("--out", "x/run"), "cannot write the run folder x/run (Not a directory)"),
        (_write("x"), ("--out", 300 * "y"), "(File name too long)"),
        (_write("x"), ("--ranks", "0"), "--ranks 0 is not at least 1"),
        (_write("x"), ("--ranks", "10000"), "--ranks 10000 is more than"),
        (_write("x"), ("--data", "nowhere"), ""),
    ],
)  # fmt: skip
def test_what_a_run_refuses_a_check_refuses(folder, capsys, prepare, options, message):
    if "--data" in options:
        text = changed("n_patterns = 2", 'n_patterns = 2\npatterns = "mnist"')
        (folder / "tiny.toml").write_text(text.replace("n_spins = 16", ""))
    prepare(folder)
    capsys.readouterr()  # of a run that made it
    before = sorted(path for path in folder.rglob("*") if path.name != "tasks")
    assert message in refused_alike(capsys, *options)
    after = sorted(path for path in folder.rglob("*") if path.name not in ("tasks", "tiny"))
    assert set(after) <= set(before), "nothing is left behind but folders"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place(folder, capsys):
    (folder / "there").mkdir(mode=0o555)
    assert "cannot write the run folder there/run (Permission denied)" in refused_alike(capsys, "--out", "there/run")


def test_a_place_that_may_not_be_written(folder, capsys, monkeypatch):
    """The same by the system's word, which root is not told."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot write the run folder runs/tiny (Permission denied)" in refused(capsys, "check", "tiny.toml")


def test_a_check_tells_of_the_run_that_is_there(folder, capsys):
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    for command in (["check", "tiny.toml"], ["check", "tiny.toml", "--out", "runs/tiny"]):
        code, out, err = hebb(capsys, *command)
        assert code == 0 and err == ""
        assert out.endswith("\nruns/tiny holds a run of this job, 4 of 4 tasks done; `hebb run` continues it\n")
    assert "holds a run" not in hebb(capsys, "check", "tiny.toml", "--out", "new")[1] and not (folder / "new").exists()
    pack = folder / "runs/tiny/tasks/0000.pack"
    pack.write_bytes(pack.read_bytes()[:-1])
    code, out, err = hebb(capsys, "check", "tiny.toml")
    assert code == 0 and out.endswith("3 of 4 tasks done; `hebb run` continues it and repeats 1 whose files are damaged\n")


def test_ranks_share_the_memory(folder, capsys, monkeypatch):
    (folder / "tiny.toml").write_text(changed("disorder = 2", "disorder = 1").replace("[0.5, 0.8]", "0.5"))
    tiny = Plan.from_toml(folder / "tiny.toml")
    monkeypatch.setattr(plan, "available_memory", lambda: 3 * tiny.bytes_per_rank - 1)
    assert hebb(capsys, "check", "tiny.toml", "--ranks", "1")[0] == 0
    assert hebb(capsys, "check", "tiny.toml")[0] == 0
    monkeypatch.setattr(executors, "launch_command", lambda ranks: ([], {}))
    assert "the tasks of 3 rank(s) need" in refused(capsys, "check", "tiny.toml", "--ranks", "3")


def test_ranks_need_mpi4py(monkeypatch):
    monkeypatch.setattr(executors.shutil, "which", lambda name: "/bin/mpiexec")
    monkeypatch.setattr(executors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentMismatch, match="needs mpi4py and an MPI library .mpi4py is not installed"):
        executors.launch_command(2)
