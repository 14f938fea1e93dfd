"""The job file: its text, its times, its loads; what a run refuses, a check refuses in the same words."""

import pytest
from conftest import TINY, hebb, refused

from hebb.errors import HebbWarning, ParameterError
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


@pytest.mark.parametrize("name", [300 * "x", 100 * "ß" + 100 * "x", "/", "a/b", "..", "", "\\u0000"])
def test_names_no_folder_can_have(folder, capsys, name):
    (folder / "tiny.toml").write_text(changed('"tiny"', f'"{name}"'))
    assert refused(capsys, "check", "tiny.toml") == refused(capsys, "run", "tiny.toml")
    assert not (folder / "runs").exists()
