"""One job in several processes and on several machines: parts of it in one folder, and folders that become one."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import assert_same_datasets, clean_environment, damage, finished, hebb, refused, run_hebb
from test_resume import LONG

from hebb.errors import ParameterError, StorageError
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.runs.start import Part
from hebb.runs.worker import run_task
from hebb.storage.folder import RunFolder
from hebb.storage.joining import take_over
from hebb.storage.locks import lock
from hebb.storage.packs import Pack
from hebb.storage.status import status_of
from hebb.storage.writer import TaskWriter

JOB = LONG.replace("00:00:00", "01:00:00").replace("sweeps = 800", "sweeps = 100")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("parts")
    (path / "job.toml").write_text(JOB)
    assert run_job(path / "job.toml", SerialExecutor(), out=path / "whole").done == 24
    return path


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    shutil.copy(place / "job.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_task_belongs_to_one_part():
    for of in (1, 2, 3, 7, 30):
        parts = [Part(number, of).of_tasks(np.arange(24)[::-1]) for number in range(1, of + 1)]
        assert sorted(np.concatenate(parts)) == list(range(24)) and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "/2", "-1/3", "1/3/5", "a/b", "1.0/2", "", "1/0"])
def test_parts_that_are_none(text):
    with pytest.raises(ParameterError, match="is not a part like 3/8, the third of eight; give I/N with 1 <= I <= N"):
        Part.parse(text)


def test_parts_at_once_in_one_folder(place, here):
    """Started together, they make the folder once; the last one merges, and the end is that of one process, bit for bit."""
    command = [sys.executable, "-m", "hebb", "run", "job.toml", "--out", "run", "--part"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": clean_environment()}
    parts = [subprocess.Popen([*command, f"{number}/4"], **pipes) for number in range(1, 5)]
    ends = [part.communicate(timeout=120) for part in parts]
    assert [part.returncode for part in parts] == [0, 0, 0, 0] and not any(err for _, err in ends), ends
    assert all(f"6 tasks of part {number}/4 done" in out for number, (out, _) in enumerate(ends, 1))
    assert any("results in run/results.h5" in out for out, _ in ends)
    assert_same_datasets("run/results.h5", place / "whole" / "results.h5")
    assert not [path.name for path in (here / "run").glob(".lock*")]


def test_a_part_keeps_whole_runs_and_itself_out(here, capsys):
    assert hebb(capsys, "run", "job.toml", "--out", "run", "--part", "2/3")[0] == 0
    with lock(here / "run", part="1of3"):
        assert "in use by process" in refused(capsys, "run", "job.toml", "--out", "run", "--part", "1/3")
        assert "in use by process" in refused(capsys, "run", "job.toml", "--out", "run")
        assert status_of("run").running and status_of("run").counts["done"] == 8
        code, out, _ = hebb(capsys, "run", "job.toml", "--out", "run", "--part", "3/3")
        assert code == 0 and "8 tasks of other parts are not done yet, and the last one merges" in out
    with lock(here / "run"):
        assert "in use by process" in refused(capsys, "run", "job.toml", "--out", "run", "--part", "1/3")
    assert not status_of("run").running
    assert "--extend with --part 1/3" in refused(capsys, "run", "job.toml", "--out", "run", "--part", "1/3", "--extend")
    assert hebb(capsys, "run", "job.toml", "--out", "run")[0] == 0, "a whole run does what is left"


def test_a_part_repeats_what_is_damaged_and_lets_the_file_be(place, here, capsys):
    """Others may be reading and writing there."""
    for number in (1, 2):
        hebb(capsys, "run", "job.toml", "--out", "run", "--part", f"{number}/2")
    name = min(finished("run"))
    pack = next(path for path in (here / "run" / "tasks").glob("*.pack") if name.encode() in Pack(path).rows["task"])
    other = next(path for path in pack.parent.glob("*.pack") if path != pack)
    other.rename(other.with_suffix(".hidden"))
    damage("run", name)
    other.with_suffix(".hidden").rename(other)
    broken = pack.read_bytes()
    code, _, err = hebb(capsys, "run", "job.toml", "--out", "run", "--part", f"{pack.name[0]}/2")
    assert code == 0 and f"{pack.name} {name} is damaged" in err and "1 task(s) are repeated" in err and "moved" not in err
    assert pack.read_bytes().startswith(broken) and hebb(capsys, "verify", "run")[0] == 0
    assert_same_datasets("run/results.h5", place / "whole" / "results.h5")


@pytest.mark.mpi
def test_parts_on_two_ranks_each(place, here):
    for number in (1, 2):
        result = run_hebb("run", "job.toml", "--out", "run", "--part", f"{number}/2", cwd=here, ranks=2)
        assert result.returncode == 0, result.stderr
    assert_same_datasets("run/results.h5", place / "whole" / "results.h5")


def test_runs_of_two_machines_become_one(place, here, capsys):
    """Finished tasks and checkpoints are taken over, what is in both is compared, and the other folder stays as it is."""
    assert hebb(capsys, "run", "job.toml", "--out", "a", "--part", "1/2")[0] == 0
    assert hebb(capsys, "run", "job.toml", "--out", "b", "--part", "2/2")[0] == 0
    before = {path: path.read_bytes() for path in (here / "b").rglob("*") if path.is_file()}
    code, out, err = hebb(capsys, "merge", "a", "b")
    assert (code, err) == (0, "") and out.startswith("b: 12 finished tasks taken over\n") and "24 of 24 tasks are in" in out
    assert_same_datasets("a/results.h5", place / "whole" / "results.h5")
    assert before == {path: path.read_bytes() for path in (here / "b").rglob("*") if path.is_file()}
    assert "b: 0 finished tasks taken over, 12 are in both, 12 of them the same bits\n" in hebb(capsys, "merge", "a", "b")[1]
    assert hebb(capsys, "verify", "a", "--repeat", "3")[0] == 0


def test_checkpoints_are_taken_over(place, here, capsys):
    for name in ("a", "c"):
        hebb(capsys, "run", "job.toml", "--out", name, "--part", "1/24")
    other = RunFolder.open(here / "c")
    with other.tasks() as tasks:
        index = int(np.flatnonzero(~tasks.done)[0])
    calls = iter([False] * 40 + [True])
    half = run_task(Plan.from_text(JOB).tasks[index], stop=lambda: next(calls))
    assert half.status == "unfinished" and half.sweeps_done > 40
    with TaskWriter(other.task_folder, other.plan["job"]) as writer:
        writer.write(half)
    assert "c: 0 finished tasks taken over, 1 checkpoints, 1 are in both" in hebb(capsys, "merge", "a", "c")[1]
    assert status_of("a").unfinished == {half.task_id: half.sweeps_done}
    assert hebb(capsys, "run", "job.toml", "--out", "a")[0] == 0
    assert_same_datasets("a/results.h5", place / "whole" / "results.h5")


def test_machines_that_disagree_are_told(place, here, capsys):
    shutil.copytree(place / "whole", here / "a")
    shutil.copytree(place / "whole", here / "b")
    other = RunFolder.open(here / "b")
    with other.tasks() as tasks:
        record = tasks.record(5, state=True)
    record.series["m"][3, 1] = np.nextafter(record.series["m"][3, 1], 2)
    with TaskWriter(other.task_folder, other.plan["job"]) as writer:
        writer.write(record)
    code, out, err = hebb(capsys, "merge", "a", "b")
    assert code == 1 and "24 are in both, 23 of them the same bits" in out
    assert err == f"hebb: {record.task_id} is DIFFERENT in series/m; that of a is kept\n"
    assert_same_datasets("a/results.h5", place / "whole" / "results.h5")


def test_what_cannot_be_joined_is_one_sentence(place, here, capsys):
    shutil.copytree(place / "whole", here / "a")
    assert "are the same folder" in refused(capsys, "merge", "a", "../" + here.name + "/a")
    (here / "other.toml").write_text(JOB.replace("seed = 3", "seed = 4").replace("replicas = 2", "replicas = 3"))
    assert hebb(capsys, "run", "other.toml", "--out", "b", "--part", "1/24")[0] == 0
    assert "b is of another job than a: seed, sampling.replicas differ(s)" in refused(capsys, "merge", "a", "b")
    assert "nowhere is not a run folder" in refused(capsys, "merge", "a", "nowhere")
    with lock(here / "a"), pytest.raises(StorageError, match="in use by process"):
        take_over(RunFolder.open(here / "a"), RunFolder.open(place / "whole"))


def test_a_larger_run_takes_over_a_smaller_one(place, here, capsys):
    (here / "more.toml").write_text(JOB.replace("disorder = 12", "disorder = 13"))
    assert hebb(capsys, "run", "more.toml", "--out", "a", "--part", "1/26")[0] == 0
    assert "taken over" in hebb(capsys, "merge", "a", str(place / "whole"))[1]
    assert len(finished("a")) >= 24 and hebb(capsys, "run", "more.toml", "--out", "a")[0] == 0
    assert run_job(here / "more.toml", SerialExecutor(), out=here / "new").done == 26
    assert_same_datasets("a/results.h5", "new/results.h5")


def test_what_is_damaged_at_the_end_is_no_success(place, here, capsys, monkeypatch):
    """An entry that went bad while the run was at work: exit code 3, and the same command repeats it."""
    from hebb.storage import merging

    true = merging.merge_into

    def late(folder, stop):
        damage(folder.path, min(finished(folder.path)))
        return true(folder, stop)

    with monkeypatch.context() as patch:
        patch.setattr("hebb.runs.job.merge_into", late)
        code, out, err = hebb(capsys, "run", "job.toml", "--out", "run")
    assert code == 3 and "stopped because 1 finished task(s) could not be believed when they were merged" in err
    assert hebb(capsys, "run", "job.toml", "--out", "run")[0] == 0
    assert_same_datasets("run/results.h5", place / "whole" / "results.h5")


def test_what_was_taken_out_can_be_removed(place, here, capsys):
    shutil.copytree(place / "whole", here / "run")
    pack = here / "run" / "tasks" / "0000.pack"
    before, size = finished("run"), pack.stat().st_size
    (here / "less.toml").write_text(JOB.replace("disorder = 12", "disorder = 5"))
    assert "nothing to remove" in hebb(capsys, "delete", "run")[1]
    assert hebb(capsys, "run", "less.toml", "--out", "run", "--extend")[0] == 0
    assert "would remove 14 results" in hebb(capsys, "delete", "run")[1] and pack.stat().st_size == size
    assert "removed 14 results" in hebb(capsys, "delete", "run", "--yes")[1] and pack.stat().st_size < 0.5 * size
    after = finished("run")
    assert len(after) == 10 and after.items() <= before.items() and hebb(capsys, "verify", "run", "--repeat", "2")[0] == 0
    assert run_job(here / "less.toml", SerialExecutor(), out=here / "new").done == 10
    assert hebb(capsys, "merge", "run")[0] == 0
    assert_same_datasets("run/results.h5", "new/results.h5")
    damage("run", min(after))
    assert "run its job with --resume first" in refused(capsys, "delete", "run", "--yes")
    with lock(here / "run"):
        assert "in use by process" in refused(capsys, "delete", "run", "--yes")


def test_a_shorter_result_that_a_longer_task_needs_is_no_stranger(here, capsys):
    assert hebb(capsys, "run", "job.toml", "--out", "run")[0] == 0
    (here / "longer.toml").write_text(JOB.replace("sweeps = 100", "sweeps = 140"))
    assert hebb(capsys, "run", "longer.toml", "--out", "run", "--extend", "--set", 'run.walltime="00:00:01"')[0] in (0, 3)
    hebb(capsys, "delete", "run", "--yes")
    assert hebb(capsys, "run", "longer.toml", "--out", "run", "--extend")[0] == 0
    assert "removed 24 results" in hebb(capsys, "delete", "run", "--yes")[1] or len(finished("run")) == 24
    assert run_job(here / "longer.toml", SerialExecutor(), out=here / "new").done == 24
    assert_same_datasets("run/results.h5", "new/results.h5")
