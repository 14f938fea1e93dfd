"""Keys of a job that are changed on the command line: what is written is the job that is run."""

import math
import tomllib

import pytest
from conftest import ROOT, TINY, hebb, refused, run_hebb

from hebb.errors import ParameterError
from hebb.runs.changes import changed, parsed
from hebb.runs.plan import Plan

EVERYTHING = r"""
top = {}
[job]
name = 'a "quoted" größe \ with	tab'
"odd key" = "\u007f\u0000\n𝛾"
[model]  # a comment
temperature = [0.5, 1e-300, inf, -inf, nan, 1_000.0]
gamma = [
  0.1,  # another
  0.2,
]
layers = [[784, 512], []]
[run]
walltime = 01:30:00
dates = [1979-05-27, 1979-05-27T07:32:00, 1979-05-27T07:32:00.5-07:00]
flag = true
[sampling.learning]
epochs = 3
nested = { a.b = 1, c = { "d e" = [ { f = 'g' } ] } }
"""


def test_what_is_written_is_what_is_meant():
    """Any TOML is the same after it was written anew, and the order of keys, which is that of points."""
    before = parsed(EVERYTHING)
    after = parsed(changed(EVERYTHING, ["model.n_spins=8"]))
    assert list(after["model"]) == ["temperature", "gamma", "layers", "n_spins"] and after["model"].pop("n_spins") == 8
    assert repr(after) == repr(before)


@pytest.mark.parametrize("path", sorted((ROOT / "mpi_runs").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_jobs_are_written_anew(path):
    text = path.read_text()
    job = tomllib.loads(text)
    job["job"]["name"] = "other"
    assert repr(tomllib.loads(changed(text, ["job.name=other"]))) == repr(job)


@pytest.mark.parametrize(
    "change, value",
    [
        ("sampling.sweeps=500", 500), ("model.gamma=0.2", 0.2), ("model.gamma=[0.1, 0.2]", [0.1, 0.2]),
        ("model.gamma = 0.1:0.5:5", "0.1:0.5:5"), ("job.name=x", "x"), ("job.name='x'", "x"), ('job.name="a=b # c"', "a=b # c"),
        ("model.patterns=C:/data", "C:/data"), ("sampling.tempering=true", True),
        ("sampling.learning={epochs = 3}", {"epochs": 3}), ("sampling.learning.epochs=3", 3), ("model.kappa=-0.5", -0.5),
        ("run.log=tasks", "tasks"),
        ("job.name=größe 1", "größe 1"),
        ("model.temperature=inf", math.inf),
    ],
)  # fmt: skip
def test_values(change, value):
    found = parsed(changed(TINY, [change]))
    for part in change.partition("=")[0].strip().split("."):
        found = found[part]
    assert found == value and type(found) is type(value)


def test_nothing_to_change_is_the_text_itself():
    assert changed(TINY, []) is TINY and changed("no TOML", ()) == "no TOML"


def test_a_key_is_replaced_in_its_place_and_taken_away():
    text = changed(TINY, ["model.n_patterns=", "model.n_spins=[16, 32]", "model.gamma=0.5"])
    assert list(parsed(text)["model"]) == ["kind", "n_spins", "p_body", "temperature", "gamma"]
    assert text.startswith('# changed by --set "model.n_patterns=" --set "model.n_spins=[16, 32]"')
    points = Plan.from_text(text).points
    assert [(model.n_spins, temperature) for model, temperature in points] == [(16, 0.5), (16, 0.8), (32, 0.5), (32, 0.8)]


def test_a_change_is_the_job_that_one_would_have_written():
    by_hand = Plan.from_text(TINY.replace("n_patterns = 2", "n_patterns = 3").replace("sweeps = 400", "sweeps = 300"))
    changes = ["sampling.sweeps=300", "model.n_patterns=3"]
    assert Plan.from_text(changed(TINY, changes)).index() == by_hand.index()
    assert Plan.from_text(changed(changed(TINY, changes), ["job.name=tiny"])).index() == by_hand.index()


@pytest.mark.parametrize(
    "changes, message",
    [
        (["gamma=0.2"], "--set 'gamma=0.2' names no key of a section; write SECTION.KEY=VALUE, for example model.gamma=0.2"),
        (["model.gamma"], "names no key of a section"),
        (["model.=2"], "names no key of a section"),
        (["model.a b=2"], "names no key of a section"),
        (["=2"], "names no key of a section"),
        (["model.gamma=[0.1"], "--set 'model.gamma=.0.1' has no TOML value"),
        (["job.name='x"], "has no TOML value"),
        (["job.name=x\ny"], "has no TOML value"),
        (["job.seed=1\nname = 'x'"], "has more than one value"),
        (["job.seed=1\n[model]"], "has more than one value"),
        (["job.seed=1", "job.seed=1"], "--set job.seed is given twice; give it once"),
        (["model.n_spins.x=1"], "needs a table n_spins, and the job has a value there; set that"),
        (["model.gamma="], "--set model.gamma= takes a key away that the job does not have; give a value, or leave it out"),
        (["job.seed=" + "1" * 5000], "is not a whole number from 0 to"),
    ],
)
def test_changes_are_refused_in_a_sentence(changes, message):
    with pytest.raises(ParameterError, match=message):
        Plan.from_text(changed(TINY, changes))


@pytest.mark.parametrize("text, message", [("a = 3", "a in j.toml is a value, not a section; write .a."),
                                           ("a =", "j.toml is not valid TOML")])
def test_a_job_that_is_none(text, message):
    with pytest.raises(ParameterError, match=message):
        changed(text, ["job.name=x"], "j.toml")


def test_check_knows_changes(folder, capsys):
    code, out, err = hebb(capsys, "check", "tiny.toml", "--set", "sampling.disorder=5", "--set", "model.temperature=0.4:0.6:3",
                          "--set", "job.name=other")
    assert (code, err) == (0, "") and out.startswith("other: 3 points x 5 disorder samples = 15 tasks\n")
    sentence = refused(capsys, "check", "tiny.toml", "--set", "model.gama=0.2")
    assert "unknown key 'gama' in [model]; did you mean 'gamma'?" in sentence
    assert "names no key" in refused(capsys, "check", "tiny.toml", "--set", "x")
    assert [path.name for path in folder.iterdir()] == ["tiny.toml"]


def test_a_run_keeps_the_job_as_it_was_run(folder, capsys):
    changes = ["--set", "model.temperature=0.5:0.7:2", "--set", "sampling.sweeps=50"]
    code, out, err = hebb(capsys, "run", "tiny.toml", *changes)
    assert (code, err) == (0, "")
    kept = (folder / "runs/tiny/job.toml").read_text()
    assert parsed(kept)["model"]["temperature"] == "0.5:0.7:2" and parsed(kept)["sampling"]["sweeps"] == 50
    assert hebb(capsys, "run", "tiny.toml", *changes, "--resume")[:2] == (0, out)
    assert "holds a run of this job, 4 of 4 tasks done" in hebb(capsys, "check", "tiny.toml", *changes)[1]
    assert hebb(capsys, "run", "runs/tiny/job.toml", "--out", "runs/tiny", "--resume")[0] == 0
    for other in ([], ["--set", "sampling.sweeps=51"]):
        assert "holds a different job than tiny.toml" in refused(capsys, "run", "tiny.toml", *other, "--resume")


@pytest.mark.mpi
def test_changes_reach_every_rank(folder):
    done = run_hebb("run", "tiny.toml", "--ranks", "2", "--set", "job.name=two words", "--set", "sampling.disorder=3",
                    cwd=folder)
    assert done.stdout == "hebb: 6 tasks done; results in runs/two words/results.h5\n", done.stderr


def test_the_hint_to_continue_has_the_changes(folder, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1")  # long ago
    code, _, err = hebb(capsys, "run", "tiny.toml", "--set", "model.temperature=[0.5, 0.6]")
    assert code == 3 and err.endswith("hebb run tiny.toml --set 'model.temperature=[0.5, 0.6]' --out runs/tiny --resume\n")
