"""A finished run that is given more sweeps: bit for bit the run that was longer from the start, and no sweep is made twice."""

import warnings

import pytest
from conftest import assert_same_datasets, hebb, refused
from every_dynamics import job, of_every_dynamics

from hebb.runs import worker
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.sampling import accumulators
from hebb.storage import folder as folder_module
from hebb.storage import packs
from hebb.storage.folder import RunFolder
from hebb.storage.status import status_of


def run(tmp_path, name, sweeps, out, extend=False, **settings):
    (tmp_path / "job.toml").write_text(job(name, sweeps, disorder=2, **settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / out, extend=extend)


@of_every_dynamics
@pytest.mark.parametrize("where", ["packs", "files"])
def test_a_run_grows_by_sweeps(name, tmp_path, monkeypatch, where):
    if where == "files":
        monkeypatch.setattr(packs, "_LARGEST", 0)
    whole = run(tmp_path, name, 50, "whole")
    assert run(tmp_path, name, 20, "grown").done == whole.total
    made, true = [], worker._Visit.step

    def step(visit):
        before = visit.chain.sweeps_done
        true(visit)
        made.append(visit.chain.sweeps_done - before)

    monkeypatch.setattr(worker._Visit, "step", step)
    assert run(tmp_path, name, 50, "grown", extend=True).done == whole.total
    assert_same_datasets(tmp_path / "grown" / "results.h5", tmp_path / "whole" / "results.h5")
    assert sum(made) == 30 * whole.total, "only the new ones"
    made.clear()
    assert run(tmp_path, name, 50, "grown", extend=True).done == whole.total and not made


def test_a_run_that_grows_and_is_stopped_on_the_way(tmp_path, monkeypatch):
    """A checkpoint of the longer task is believed before the end of the shorter one."""
    run(tmp_path, "metropolis", 400, "whole")
    run(tmp_path, "metropolis", 20, "grown")
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_JOB_END_TIME", "1")
        for _ in range(3):
            assert run(tmp_path, "metropolis", 400, "grown", extend=True).reason
            counts = status_of(tmp_path / "grown").counts
            assert counts["done"] == 0 and counts["damaged"] == 0
        true, asked = worker._advance, []

        def patient(*arguments, stop, **options):
            return true(*arguments, stop=lambda: len(asked) > 30 or asked.append(0), **options)

        patch.delenv("SLURM_JOB_END_TIME")
        patch.setattr(worker, "_advance", patient)
        assert run(tmp_path, "metropolis", 400, "grown").done == 0
        assert status_of(tmp_path / "grown").counts["measuring"] == 2
    assert run(tmp_path, "metropolis", 400, "grown").done == 2
    assert_same_datasets(tmp_path / "grown" / "results.h5", tmp_path / "whole" / "results.h5")
    with RunFolder.open(tmp_path / "grown").tasks() as tasks:
        assert not tasks.damaged and not tasks.files


def test_a_second_extension_goes_on_from_the_checkpoint_of_the_first(tmp_path, monkeypatch):
    """Not from the shorter result, though that is finished."""
    run(tmp_path, "metropolis", 400, "whole")
    run(tmp_path, "metropolis", 20, "grown")
    true, asked = worker._advance, []

    def patient(*arguments, stop, **options):
        asked.clear()
        return true(*arguments, stop=lambda: len(asked) > 60 or asked.append(0), **options)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_advance", patient)
        assert run(tmp_path, "metropolis", 300, "grown", extend=True).done == 0
    begun = list(status_of(tmp_path / "grown").unfinished.values())
    assert min(begun) > 60
    made, step = [], worker._Visit.step
    monkeypatch.setattr(worker._Visit, "step", lambda visit: (made.append(visit.chain.sweeps_done), step(visit)))
    assert run(tmp_path, "metropolis", 400, "grown", extend=True).done == 2
    assert min(made) == min(begun)
    assert_same_datasets(tmp_path / "grown" / "results.h5", tmp_path / "whole" / "results.h5")


def test_the_way_back_while_nothing_longer_has_begun(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.toml").write_text(job("metropolis", 20, disorder=2))
    (tmp_path / "typo.toml").write_text(job("metropolis", 2000000, disorder=2))
    assert hebb(capsys, "run", "job.toml", "--out", "run")[0] == 0
    RunFolder.open(tmp_path / "run").grown(Plan.from_toml(tmp_path / "typo.toml").index(), (tmp_path / "typo.toml").read_text())
    assert "2 to go on from fewer sweeps, 0 without" in hebb(capsys, "status", "run")[1]
    code, _, err = hebb(capsys, "run", "job.toml", "--out", "run", "--extend")
    assert code == 0 and "grows from 2000000 to 20 sweeps" in err and status_of("run").counts["done"] == 2
    (tmp_path / "more.toml").write_text(job("metropolis", 30, disorder=2))
    assert hebb(capsys, "run", "more.toml", "--out", "run", "--extend")[0] == 0
    said = refused(capsys, "run", "job.toml", "--out", "run")
    assert "different job" in said and "--extend" not in said, "which would be refused as well"


def test_a_kill_while_the_job_file_changes_loses_none(tmp_path, monkeypatch):
    run(tmp_path, "metropolis", 20, "run")
    before = (tmp_path / "run" / "job.toml").read_text()
    true = folder_module.write_whole
    for deaths in range(3):
        calls = iter(range(9))

        def dying(path, *parts, calls=calls, deaths=deaths):
            if next(calls) == deaths:
                raise KeyboardInterrupt
            true(path, *parts)

        with monkeypatch.context() as patch:
            patch.setattr(folder_module, "write_whole", dying)
            try:
                run(tmp_path, "metropolis", 30, "run", extend=True)
            except KeyboardInterrupt:
                pass
        assert (tmp_path / "run" / "job.toml").exists()
    run(tmp_path, "metropolis", 30, "run", extend=True)
    assert before in [path.read_text() for path in (tmp_path / "run").glob("job.*.toml")]
    assert "sweeps = 30" in (tmp_path / "run" / "job.toml").read_text()


def test_a_run_grows_in_all_ways_at_once(tmp_path):
    text = job("metropolis", 20, disorder=2).replace("temperature = 0.5", "temperature = [0.5, 0.6]")
    more = text.replace("sweeps = 20", "sweeps = 45").replace("disorder = 2", "disorder = 3")
    more = more.replace("[0.5, 0.6]", "[0.4, 0.5]")
    (tmp_path / "job.toml").write_text(text)
    (tmp_path / "more.toml").write_text(more)
    run_job(tmp_path / "job.toml", SerialExecutor(), out=tmp_path / "run")
    with pytest.warns(UserWarning, match="grows from 20 to 45 sweeps, from 4 to 6 tasks: 4 are new, 2 no longer belong to it"):
        from hebb.runs import start

        start._extend(start.Plan.from_text(more), tmp_path / "run")
    assert run_job(tmp_path / "more.toml", SerialExecutor(), out=tmp_path / "run", resume=True).done == 6
    run_job(tmp_path / "more.toml", SerialExecutor(), out=tmp_path / "new")
    assert_same_datasets(tmp_path / "run" / "results.h5", tmp_path / "new" / "results.h5")


def test_what_cannot_grow_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for room in (accumulators, worker):
        monkeypatch.setattr(room, "MAX_BINS", 20)
    (tmp_path / "job.toml").write_text(job("metropolis", 50))
    assert hebb(capsys, "run", "job.toml", "--out", "run")[0] == 0
    for old, new, sentence in (
        ("sweeps = 50", "sweeps = 49", "sweeps = 49 is less than the 50 that were run"),
        ("sweeps = 50", "sweeps = 90", "give sweeps from 50 to 60"),
        ("sweeps = 50\n", "sweeps = 60\nstart = \"random\"\n", "sampling.start, sampling.sweeps differ(s)"),
        ("measure_every = 1", "measure_every = 2", "sampling.measure_every differ(s)"),
    ):
        (tmp_path / "other.toml").write_text(job("metropolis", 50).replace(old, new))
        said = refused(capsys, "run", "other.toml", "--out", "run", "--extend")
        assert "cannot be extended to this job" in said and sentence in said, said
    (tmp_path / "other.toml").write_text(job("metropolis", 60))
    assert "or take over what both share with --extend" in refused(capsys, "run", "other.toml", "--out", "run")
    code, _, err = hebb(capsys, "run", "other.toml", "--out", "run", "--extend")
    assert code == 0 and "grows from 50 to 60 sweeps, from 1 to 1 tasks: 0 are new" in err
