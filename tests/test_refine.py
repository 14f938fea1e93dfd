"""Points where the answer changes: which are asked, the same end on any ranks and through kills, and what is said."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import assert_same_datasets, clean_environment, hebb, refused, run_hebb

from hebb import load, models
from hebb.errors import ParameterError
from hebb.runs import job as job_module
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.runs.refine import Refine
from hebb.storage.folder import RunFolder
from hebb.storage.results import Results

JOB = """
[job]
name = "edge"
seed = 5
[model]
kind = "dense"
n_spins = 20
p_body = 4
gamma = [0.02, 0.3, 2.0]
temperature = [0.4, 0.5]
[sampling]
disorder = 6
thermalize = 40
sweeps = 20
[refine]
along = "gamma"
observable = "m"
level = 0.7
tolerance = 0.04
"""


def made(points, values, disorder=4, lost=None):
    """Results in which m of every sample of a point is the value of the point, and the share `lost` of samples is lost."""
    shape = len(points), disorder
    series = np.broadcast_to(np.reshape(values, (-1, 1, 1, 1)), (*shape, 20, 2)) + np.zeros((*shape, 20, 2))
    series = series + 0.001 * np.arange(disorder)[:, None, None]
    plain = [{**model.parameters(), "temperature": temperature} for model, temperature in points]
    gone = np.zeros(shape, bool) if lost is None else np.arange(disorder) < disorder * np.reshape(lost, (-1, 1))
    return Results(plain, {"name": "made", "seed": 1, "sampling": {}}, np.ones(shape, bool), gone, np.full(shape, 0.5),
                   {"m": series}, asked=[dict(model.asked) for model, _ in points])


def refined(function, values, section, temperatures=(0.5,), **options):
    """The points to which a section leads where m of a point is function(gamma, temperature), and the sentences at the end."""
    points = [(models.from_keys("dense", {"n_spins": 200, "p_body": 3, "gamma": gamma}), temperature)
              for gamma in values for temperature in temperatures]
    refine, rounds = Refine.of({"along": "gamma", **section}, points, False), 0
    while True:
        found = [function(model.asked["gamma"], temperature) for model, temperature in points]
        results = made(points, found, lost=found if section.get("criterion") == "lost" else None, **options)
        more = refine.more(points, results)
        if not more:
            places = [(model.asked["gamma"], temperature) for model, temperature in points]
            return places, refine.sentences(points, results), rounds
        points, rounds = more, rounds + 1
        assert rounds < 60


def test_a_crossing_is_halved_to_the_tolerance():
    places, said, rounds = refined(lambda gamma, _: 1 - gamma, [0.1, 0.9], {"observable": "m", "level": 0.7, "tolerance": 0.01})
    gammas = [gamma for gamma, _ in places]
    assert rounds == 7 and len(gammas) == 9 and gammas == sorted(gammas)
    low, high = max(g for g in gammas if 1 - g >= 0.7), min(g for g in gammas if 1 - g < 0.7)
    assert low <= 0.3 <= high and high - low == pytest.approx(0.8 / 2**7)
    assert len(said) == 1 and f"m crosses 0.7 between gamma = {low:.6g} and {high:.6g} (" in said[0]


def test_every_line_has_a_boundary_of_its_own():
    edges = {0.3: 0.31, 0.5: 0.52, 0.7: 0.83}
    places, said, _ = refined(lambda gamma, temperature: float(gamma < edges[temperature]), [0.1, 0.5, 0.9],
                              {"observable": "m", "level": 0.5, "tolerance": 0.02}, (0.7, 0.3, 0.5))
    for temperature, edge in edges.items():
        gammas = [gamma for gamma, at in places if at == temperature]
        assert gammas == sorted(gammas) and [0.1, 0.5, 0.9] == [g for g in gammas if g in (0.1, 0.5, 0.9)]
        inside = np.searchsorted(gammas, edge)
        assert gammas[inside] - gammas[inside - 1] <= 0.02
        assert any(text.startswith(f"temperature = {temperature:g}: m crosses") for text in said)
    assert len(said) == 3


def test_lines_without_a_crossing_and_with_two():
    section = {"observable": "m", "level": 0.5, "tolerance": 0.02}
    places, said, rounds = refined(lambda gamma, _: 0.9, [0.1, 0.9], section)
    assert rounds == 0 and said == ["m is above 0.5 everywhere from gamma = 0.1 to 0.9; widen its values"]
    places, said, _ = refined(lambda gamma, _: float(0.31 < gamma < 0.62), [0.1, 0.5, 0.9], section)
    assert len(said) == 2 and "0.3 and 0.3125" in said[0] and "0.6125 and 0.625" in said[1]


def test_the_largest_change_and_the_share_of_lost_samples():
    places, said, _ = refined(lambda gamma, _: float(gamma < 0.437) + 0.01 * gamma, [0.1, 0.2, 0.9],
                              {"criterion": "change", "observable": "m", "tolerance": 0.01})
    assert len(said) == 1 and said[0].startswith("m changes most between gamma = 0.43") and "standard errors" not in said[0]
    places, said, _ = refined(lambda gamma, _: gamma, [0.0625, 0.9375], {"criterion": "lost", "tolerance": 0.03}, disorder=64)
    assert len(said) == 1
    assert said[0].startswith("the share of samples that left the planted state crosses 0.5 between gamma = 0.4")


def test_whole_numbers_and_loads_that_have_no_other_between_them():
    points = [(models.from_keys("dense", {"n_spins": 200, "p_body": 3, "n_patterns": number}), 0.5) for number in (3, 100)]
    refine = Refine.of({"along": "n_patterns", "observable": "m", "level": 0.5, "tolerance": 0.5}, points, False)
    while more := refine.more(points, made(points, [float(model.asked["n_patterns"] < 41) for model, _ in points])):
        points = more
    numbers = [model.asked["n_patterns"] for model, _ in points]
    assert {40, 41} <= set(numbers) and all(isinstance(number, int) for number in numbers) and len(numbers) < 11
    places, said, rounds = refined(lambda gamma, _: float(gamma < 0.50001), [0.4, 0.6],
                                   {"observable": "m", "level": 0.5, "tolerance": 1e-9})
    assert rounds < 16, "at N = 200 neighbouring numbers of patterns are 7.5e-5 apart"


def test_along_the_temperature_and_no_more_points_than_allowed():
    model = models.from_keys("dense", {"n_spins": 64, "p_body": 2, "n_patterns": 3})
    points = [(model, 0.2), (model, 1.4)]
    section = {"along": "temperature", "observable": "m", "level": 0.5, "tolerance": 1e-3, "most_points": 7}
    refine = Refine.of(section, points, False)
    while more := refine.more(points, made(points, [float(temperature < 0.9) for _, temperature in points])):
        points = more
    assert len(points) == 7 and [temperature for _, temperature in points] == sorted(temperature for _, temperature in points)


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ('along = "gamma"', "", "[refine] must give along"),
    ("tolerance = 0.04", "", "[refine] must give tolerance"),
    ("tolerance = 0.04", "tolerance = 0", "tolerance = 0 is never reached"),
    ("tolerance = 0.04", "tolerance = -1", "tolerance"),
    ("level = 0.7", "", "must give the level that the observable crosses"),
    ("level = 0.7", 'criterion = "slope"', "[refine] criterion"),
    ("level = 0.7", 'criterion = "lost"', "observable has no meaning for criterion = 'lost'"),
    ("level = 0.7", 'level = 0.7\ncriterion = "change"', "level has no meaning"),
    ('observable = "m"\nlevel = 0.7', 'criterion = "lost"\nlevel = 1.0', "is not between 0 and 1"),
    ('observable = "m"', 'observable = "size"', "'size' is no observable"),
    ('observable = "m"', "", "must give an observable"),
    ('along = "gamma"', 'along = "kind"', "is not a key of [model] with numbers"),
    ('along = "gamma"', 'along = "alpha"', "is not a key of [model] with numbers"),
    ('along = "gamma"', 'along = "n_spins"', "has fewer than 2 values on a line of points"),
    ("sweeps = 20", "sweeps = 20\ntempering = true", "leave one out"),
    ("tolerance = 0.04", "tolerance = 0.04\nmost_points = 1", "most_points"),
    ("tolerance = 0.04", "tolerence = 0.04", "tolerence"),
])
def test_sections_that_are_refused(old, new, sentence):
    with pytest.raises(ParameterError) as caught:
        Plan.from_text(JOB.replace(old, new))
    assert sentence in str(caught.value), str(caught.value)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("refine")
    (path / "job.toml").write_text(JOB)
    assert run_job(path / "job.toml", SerialExecutor(), out=path / "undisturbed").done > 36
    return path


def test_a_job_asks_for_points_and_says_what_it_found(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "undisturbed", tmp_path / "run")
    code, out, err = hebb(capsys, "run", str(place / "job.toml"), "--out", "run", "--resume")
    assert code == 0 and err == "" and out.count("m crosses 0.7 between gamma =") >= 2
    plan = RunFolder.open(tmp_path / "run").plan
    results = load(tmp_path / "run")
    assert len(plan["points"]) > 6 and results.done.all() and plan["digest"] == Plan.from_text(JOB).index()["digest"]
    for temperature in (0.4, 0.5):
        line = [i for i, point in enumerate(results.points) if point["temperature"] == temperature]
        loads = [results.coordinates.written["gamma"][i] for i in line]
        means = results["m"].mean[line]
        crossings = [k for k in range(len(line) - 1) if (means[k] >= 0.7) != (means[k + 1] >= 0.7)]
        assert loads == sorted(loads) and crossings and all(loads[k + 1] - loads[k] <= 0.04 for k in crossings)
    assert hebb(capsys, "verify", "run", "--repeat", "3")[0] == 0
    assert hebb(capsys, "plot", "run")[0] == 0 and hebb(capsys, "export", "run", "--csv", "-")[0] == 0


def test_points_are_the_same_through_kills(place):
    """Killed while it refines, again and again: the end is the undisturbed one, bit for bit, and nothing is computed twice."""
    for delay in (0.4, 0.8, 1.2, 1.6):
        process = subprocess.Popen([sys.executable, "-m", "hebb", "run", "job.toml", "--out", "killed", "--resume"], cwd=place,
                                   env=clean_environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = run_hebb("run", "job.toml", "--out", "killed", "--resume", cwd=place)
    assert result.returncode == 0, result.stderr
    assert_same_datasets(place / "killed" / "results.h5", place / "undisturbed" / "results.h5")
    with RunFolder.open(place / "killed").tasks() as tasks:
        assert sum(len(pack.rows) for pack in tasks.packs) == len(tasks)


@pytest.mark.parametrize("part", ["result", "state"])
def test_damage_of_an_added_point_is_repaired(place, tmp_path, part):
    """The next points are not chosen without it, and the run ends as if it had not happened."""
    shutil.copytree(place / "undisturbed", tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    base = {task[0] for task in Plan.from_text(JOB).index()["tasks"]}
    row = next(row for row in folder.tasks().packs[0].rows if bytes(row["task"]).decode() not in base)
    pack = folder.task_folder / "0000.pack"
    content = bytearray(pack.read_bytes())
    content[int(row["offset"]) + 160 + (900 if part == "result" else int(row["result"]) + 500)] ^= 4
    pack.write_bytes(content)
    summary = run_job(place / "job.toml", SerialExecutor(), out=tmp_path / "run", resume=True)
    assert not summary.reason and summary.total == summary.done == len(folder.plan["tasks"])
    assert_same_datasets(tmp_path / "run" / "results.h5", place / "undisturbed" / "results.h5")
    assert (tmp_path / "run" / "damaged" / "0000.pack").exists()


def test_a_resume_keeps_the_points_in_the_plan(place, tmp_path, monkeypatch):
    shutil.copytree(place / "undisturbed", tmp_path / "run")
    before = RunFolder.open(tmp_path / "run").plan
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1")
    assert run_job(place / "job.toml", SerialExecutor(), out=tmp_path / "run", resume=True).total == len(before["tasks"])
    assert RunFolder.open(tmp_path / "run").plan == before


def test_a_stop_between_two_rounds(place, monkeypatch):
    def stopped(start, ledger, stop):
        stop.reason = "SIGTERM was received"
        return true(start, ledger, stop)

    true = job_module.refined
    with monkeypatch.context() as patch:
        patch.setattr(job_module, "refined", stopped)
        summary = run_job(place / "job.toml", SerialExecutor(), out=place / "stopped")
    assert summary.done == 36 and summary.reason
    assert run_job(place / "job.toml", SerialExecutor(), out=place / "stopped").reason == ""
    assert_same_datasets(place / "stopped" / "results.h5", place / "undisturbed" / "results.h5")


@pytest.mark.mpi
def test_points_are_the_same_on_two_ranks(place):
    result = run_hebb("run", "job.toml", "--out", "two", cwd=place, ranks=2)
    assert result.returncode == 0 and "m crosses 0.7 between" in result.stdout, result.stderr
    assert_same_datasets(place / "two" / "results.h5", place / "undisturbed" / "results.h5")


def test_a_smaller_tolerance_goes_on(place):
    (place / "finer.toml").write_text(JOB.replace("tolerance = 0.04", "tolerance = 0.02"))
    shutil.copytree(place / "undisturbed", place / "finer")
    before = len(RunFolder.open(place / "finer").plan["points"])
    summary = run_job(place / "finer.toml", SerialExecutor(), out=place / "finer")
    assert len(RunFolder.open(place / "finer").plan["points"]) > before and not summary.reason


def test_a_job_without_the_section_has_its_own_points_again(place):
    """Of a run that was refined: the others are left out, and not lost."""
    (place / "plain.toml").write_text(JOB[: JOB.index("[refine]")])
    shutil.copytree(place / "undisturbed", place / "plain")
    assert run_job(place / "plain.toml", SerialExecutor(), out=place / "plain").done == 36
    assert load(place / "plain").done.shape == (6, 6)
    run_job(place / "job.toml", SerialExecutor(), out=place / "plain")
    assert_same_datasets(place / "plain" / "results.h5", place / "undisturbed" / "results.h5")


def test_what_does_not_go_together_is_one_sentence(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert "run the job as a whole" in refused(capsys, "run", "job.toml", "--out", "new", "--part", "1/2")
    (place / "wrong.toml").write_text(JOB.replace('observable = "m"', 'observable = "m[1]"'))
    assert "'m[1]': of components it has none" in refused(capsys, "run", "wrong.toml", "--out", "wrong")
    (place / "wrong.toml").write_text(JOB.replace('observable = "m"', 'observable = "recognised"'))
    assert "is not measured here; give one of " in refused(capsys, "run", "wrong.toml", "--out", "wrong", "--resume")
    assert hebb(capsys, "run", "job.toml", "--out", "wrong", "--resume")[0] == 0, "what was computed is kept"
    assert_same_datasets("wrong/results.h5", "undisturbed/results.h5")
